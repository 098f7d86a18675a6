//! What a channel without a process of its own needs: vendor ids, answers, tallies.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use switchhook_model::{CallId, Timestamp};

use super::PostgresBackend;
use crate::backend::{Answers, Tallies, VendorIds};
use crate::error::StoreError;
use crate::rows::{AnswerRow, VendorIdRow};
use crate::sql::columns::{Columns, signed};
use crate::sql::lists::storable;

#[async_trait]
impl VendorIds for PostgresBackend {
    async fn vendor_id(
        &self,
        vendor: &str,
        vendor_id: &str,
    ) -> Result<Option<VendorIdRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM vendor_ids WHERE vendor = $1 AND vendor_id = $2")
            .bind(storable(vendor))
            .bind(storable(vendor_id));
        self.fetch_optional(query).await
    }

    async fn vendor_ids(&self, call: &CallId) -> Result<Vec<VendorIdRow>, StoreError> {
        let sql = "SELECT * FROM vendor_ids WHERE call_id = $1 ORDER BY vendor, vendor_id";
        self.fetch(sqlx::query(sql).bind(call.as_str())).await
    }
}

#[async_trait]
impl Answers for PostgresBackend {
    async fn answer(&self, key: &str) -> Result<Option<AnswerRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM answers WHERE key = $1").bind(storable(key));
        self.fetch_optional(query).await
    }

    async fn forget_answers(&self, before: Timestamp) -> Result<u64, StoreError> {
        let query = sqlx::query("DELETE FROM answers WHERE at < $1").bind(before.as_millis());
        self.execute(query).await
    }
}

#[async_trait]
impl Tallies for PostgresBackend {
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
        let query = sqlx::query(
            "INSERT INTO tallies (subject, began_at, count) VALUES ($1, $2, $3)
             ON CONFLICT (subject) DO UPDATE SET
                count = CASE WHEN tallies.began_at > $4 THEN tallies.count + excluded.count
                        ELSE excluded.count END,
                began_at = CASE WHEN tallies.began_at > $4 THEN tallies.began_at
                           ELSE excluded.began_at END
             RETURNING count",
        )
        .bind(storable(subject))
        .bind(now.as_millis())
        .bind(signed(add))
        .bind((now - window).as_millis());
        let rows = self.rows(&self.write, query).await?;
        self.count_of(&rows)
    }

    async fn tallied(
        &self,
        subject: &str,
        now: Timestamp,
        window: Duration,
    ) -> Result<u64, StoreError> {
        let query = sqlx::query("SELECT count FROM tallies WHERE subject = $1 AND began_at > $2")
            .bind(storable(subject))
            .bind((now - window).as_millis());
        let rows = self.rows(&self.read, query).await?;
        self.count_of(&rows)
    }

    async fn clear_tally(&self, subject: &str) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM tallies WHERE subject = $1").bind(storable(subject));
        self.execute(query).await.map(|_| ())
    }

    async fn forget_tallies(&self, before: Timestamp) -> Result<u64, StoreError> {
        let query = sqlx::query("DELETE FROM tallies WHERE began_at < $1").bind(before.as_millis());
        self.execute(query).await
    }
}

impl PostgresBackend {
    /// Of a tally's row, 0 where there is none.
    fn count_of(&self, rows: &[PgRow]) -> Result<u64, StoreError> {
        rows.first().map_or(Ok(0), |row| {
            Columns::new(row, self.origin(), "tallies", "count").number("count")
        })
    }
}
