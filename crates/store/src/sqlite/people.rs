//! Users of the API, and where extensions are registered.

use async_trait::async_trait;
use switchhook_model::Timestamp;

use super::SqliteBackend;
use super::error::is_unique;
use crate::backend::{Bindings, Users};
use crate::error::{StoreError, UserError};
use crate::rows::{BindingRow, UserRow};

#[async_trait]
impl Users for SqliteBackend {
    async fn add_user(&self, user: UserRow) -> Result<(), UserError> {
        let mut transaction = self.begin().await?;
        let added = sqlx::query(
            "INSERT INTO users (name, password_hash, role, credential_version, disabled, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&user.name)
        .bind(&user.password_hash)
        .bind(&user.role)
        .bind(i64::from(user.credential_version))
        .bind(i64::from(user.disabled))
        .bind(user.created_at.as_millis())
        .execute(transaction.connection())
        .await;
        match added {
            Ok(_) => Ok(transaction.commit().await?),
            Err(error) if is_unique(&error) => {
                transaction.rollback().await?;
                Err(UserError::Exists { name: user.name })
            }
            Err(error) => Err(self.error(error).into()),
        }
    }

    async fn update_user(&self, user: UserRow) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query(
            "UPDATE users SET password_hash = $1, role = $2, credential_version = $3, disabled = $4,
                created_at = $5
             WHERE name = $6",
        )
        .bind(&user.password_hash)
        .bind(&user.role)
        .bind(i64::from(user.credential_version))
        .bind(i64::from(user.disabled))
        .bind(user.created_at.as_millis())
        .bind(&user.name)
        .execute(transaction.connection())
        .await
        .map_err(|error| self.error(error))?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    async fn user(&self, name: &str) -> Result<Option<UserRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM users WHERE name = $1").bind(name);
        self.fetch_optional(query).await
    }

    async fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        self.fetch(sqlx::query("SELECT * FROM users ORDER BY name"))
            .await
    }
}

#[async_trait]
impl Bindings for SqliteBackend {
    async fn replace_bindings(
        &self,
        extension: &str,
        bindings: Vec<BindingRow>,
    ) -> Result<(), StoreError> {
        let failed = |error| self.error(error);
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM bindings WHERE extension = $1")
            .bind(extension)
            .execute(transaction.connection())
            .await
            .map_err(failed)?;
        for row in &bindings {
            sqlx::query(
                "INSERT INTO bindings (extension, contact, data, expires_at, updated_at)
                 VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (extension, contact) DO UPDATE SET data = excluded.data,
                    expires_at = excluded.expires_at, updated_at = excluded.updated_at",
            )
            .bind(extension)
            .bind(&row.contact)
            .bind(row.data.to_string())
            .bind(row.expires_at.as_millis())
            .bind(row.updated_at.as_millis())
            .execute(transaction.connection())
            .await
            .map_err(failed)?;
        }
        transaction.commit().await
    }

    async fn bindings(&self, now: Timestamp) -> Result<Vec<BindingRow>, StoreError> {
        let query =
            sqlx::query("SELECT * FROM bindings WHERE expires_at > $1 ORDER BY extension, contact")
                .bind(now.as_millis());
        self.fetch(query).await
    }
}
