//! Users of the API, and where extensions are registered.

use async_trait::async_trait;
use switchhook_model::Timestamp;

use super::PostgresBackend;
use crate::backend::{Bindings, Users};
use crate::error::{StoreError, UserError};
use crate::rows::{BindingRow, UserRow};
use crate::sql::lists::storable;

#[async_trait]
impl Users for PostgresBackend {
    async fn add_user(&self, user: UserRow) -> Result<(), UserError> {
        let query = sqlx::query(
            "INSERT INTO users (name, password_hash, role, credential_version, disabled, created_at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING",
        )
        .bind(storable(&user.name))
        .bind(storable(&user.password_hash))
        .bind(storable(&user.role))
        .bind(i64::from(user.credential_version))
        .bind(i64::from(user.disabled))
        .bind(user.created_at.as_millis());
        match self.execute(query).await? {
            1 => Ok(()),
            _ => Err(UserError::Exists { name: user.name }),
        }
    }

    async fn update_user(&self, user: UserRow) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE users SET password_hash = $1, role = $2, credential_version = $3, disabled = $4,
                created_at = $5
             WHERE name = $6",
        )
        .bind(storable(&user.password_hash))
        .bind(storable(&user.role))
        .bind(i64::from(user.credential_version))
        .bind(i64::from(user.disabled))
        .bind(user.created_at.as_millis())
        .bind(storable(&user.name));
        Ok(self.execute(query).await? == 1)
    }

    async fn user(&self, name: &str) -> Result<Option<UserRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM users WHERE name = $1").bind(storable(name));
        self.fetch_optional(query).await
    }

    async fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        self.fetch(sqlx::query("SELECT * FROM users ORDER BY name"))
            .await
    }
}

#[async_trait]
impl Bindings for PostgresBackend {
    async fn replace_bindings(
        &self,
        extension: &str,
        bindings: Vec<BindingRow>,
    ) -> Result<(), StoreError> {
        // One statement may write a row once only: of two for a contact the later one stays.
        let mut latest: Vec<BindingRow> = Vec::with_capacity(bindings.len());
        for row in bindings {
            latest.retain(|earlier| earlier.contact != row.contact);
            latest.push(row);
        }
        let contacts: Vec<String> = latest.iter().map(|row| storable(&row.contact)).collect();
        let data: Vec<String> = latest.iter().map(|row| row.data.to_string()).collect();
        let expire: Vec<i64> = latest.iter().map(|r| r.expires_at.as_millis()).collect();
        let update: Vec<i64> = latest.iter().map(|r| r.updated_at.as_millis()).collect();
        let query = sqlx::query(
            "WITH gone AS (
                DELETE FROM bindings WHERE extension = $1 AND contact <> ALL($2::text[]))
             INSERT INTO bindings (extension, contact, data, expires_at, updated_at)
             SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[])
             ON CONFLICT (extension, contact) DO UPDATE SET data = excluded.data,
                expires_at = excluded.expires_at, updated_at = excluded.updated_at",
        )
        .bind(storable(extension))
        .bind(contacts)
        .bind(data)
        .bind(expire)
        .bind(update);
        self.execute(query).await.map(|_| ())
    }

    async fn bindings(&self, now: Timestamp) -> Result<Vec<BindingRow>, StoreError> {
        let query =
            sqlx::query("SELECT * FROM bindings WHERE expires_at > $1 ORDER BY extension, contact")
                .bind(now.as_millis());
        self.fetch(query).await
    }
}
