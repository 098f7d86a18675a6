//! What a channel without a process of its own needs: vendor ids, answers, tallies.

use std::time::Duration;

use async_trait::async_trait;
use switchhook_model::{CallId, Timestamp};

use super::SqliteBackend;
use crate::backend::{Answers, Tallies, VendorIds};
use crate::error::StoreError;
use crate::rows::{AnswerRow, VendorIdRow};
use crate::sql::columns::signed;

#[async_trait]
impl VendorIds for SqliteBackend {
    async fn vendor_id(
        &self,
        vendor: &str,
        vendor_id: &str,
    ) -> Result<Option<VendorIdRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM vendor_ids WHERE vendor = $1 AND vendor_id = $2")
            .bind(vendor)
            .bind(vendor_id);
        self.fetch_optional(query).await
    }

    async fn vendor_ids(&self, call: &CallId) -> Result<Vec<VendorIdRow>, StoreError> {
        let sql = "SELECT * FROM vendor_ids WHERE call_id = $1 ORDER BY vendor, vendor_id";
        self.fetch(sqlx::query(sql).bind(call.as_str())).await
    }
}

#[async_trait]
impl Answers for SqliteBackend {
    async fn answer(&self, key: &str) -> Result<Option<AnswerRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM answers WHERE key = $1").bind(key);
        self.fetch_optional(query).await
    }

    async fn forget_answers(&self, before: Timestamp) -> Result<u64, StoreError> {
        let query = sqlx::query("DELETE FROM answers WHERE at < $1").bind(before.as_millis());
        self.execute(query).await
    }
}

#[async_trait]
impl Tallies for SqliteBackend {
    async fn tally(
        &self,
        subject: &str,
        add: u64,
        now: Timestamp,
        window: Duration,
    ) -> Result<u64, StoreError> {
        if add == 0 {
            return self.tallied(subject, now, window).await;
        }
        let mut transaction = self.begin().await?;
        let count: i64 = sqlx::query_scalar(
            "INSERT INTO tallies (subject, began_at, count) VALUES ($1, $2, $3)
             ON CONFLICT (subject) DO UPDATE SET
                count = CASE WHEN began_at > $4 THEN count + excluded.count ELSE excluded.count END,
                began_at = CASE WHEN began_at > $4 THEN began_at ELSE excluded.began_at END
             RETURNING count",
        )
        .bind(subject)
        .bind(now.as_millis())
        .bind(signed(add))
        .bind((now - window).as_millis())
        .fetch_one(transaction.connection())
        .await
        .map_err(|error| self.error(error))?;
        transaction.commit().await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn tallied(
        &self,
        subject: &str,
        now: Timestamp,
        window: Duration,
    ) -> Result<u64, StoreError> {
        let count: Option<i64> =
            sqlx::query_scalar("SELECT count FROM tallies WHERE subject = $1 AND began_at > $2")
                .bind(subject)
                .bind((now - window).as_millis())
                .fetch_optional(&self.read)
                .await
                .map_err(|error| self.error(error))?;
        Ok(count.map_or(0, |count| u64::try_from(count).unwrap_or(0)))
    }

    async fn clear_tally(&self, subject: &str) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM tallies WHERE subject = $1").bind(subject);
        self.execute(query).await.map(|_| ())
    }

    async fn forget_tallies(&self, before: Timestamp) -> Result<u64, StoreError> {
        let query = sqlx::query("DELETE FROM tallies WHERE began_at < $1").bind(before.as_millis());
        self.execute(query).await
    }
}
