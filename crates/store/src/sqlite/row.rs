//! From columns to values. A column that contradicts the model is an error naming it, not a panic
//! and not a default.

use std::str::FromStr;

use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite};
use switchhook_model::{Direction, Timestamp};

use super::error::translate;
use crate::error::StoreError;
use crate::json::Json;

/// A row and where it came from.
pub(super) struct Columns<'a> {
    row: &'a SqliteRow,
    database: &'a str,
    table: &'static str,
    /// The column that names the row in messages.
    key: &'static str,
}

impl<'a> Columns<'a> {
    pub fn new(
        row: &'a SqliteRow,
        database: &'a str,
        table: &'static str,
        key: &'static str,
    ) -> Self {
        Self {
            row,
            database,
            table,
            key,
        }
    }

    fn get<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'a, Sqlite> + sqlx::Type<Sqlite>,
    {
        self.row
            .try_get(column)
            .map_err(|error| translate(self.database, error))
    }

    pub fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.get(column)
    }

    pub fn opt_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.get(column)
    }

    pub fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        self.get(column)
    }

    /// An unsigned number of any width.
    pub fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, StoreError> {
        let found = self.int(column)?;
        T::try_from(found).map_err(|_| self.inconsistent(column, &found.to_string()))
    }

    pub fn opt_number<T: TryFrom<i64>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        match self.get::<Option<i64>>(column)? {
            None => Ok(None),
            Some(found) => T::try_from(found)
                .map(Some)
                .map_err(|_| self.inconsistent(column, &found.to_string())),
        }
    }

    pub fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    pub fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.int(column).map(Timestamp::from_millis)
    }

    pub fn opt_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp::from_millis))
    }

    pub fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, StoreError> {
        let text = self.text(column)?;
        text.parse().map_err(|_| self.inconsistent(column, &text))
    }

    pub fn opt_parsed<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        match self.opt_text(column)? {
            None => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| self.inconsistent(column, &text)),
        }
    }

    /// One of a closed set of words.
    pub fn word<T>(
        &self,
        column: &'static str,
        from_text: impl Fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text = self.text(column)?;
        from_text(&text).ok_or_else(|| self.inconsistent(column, &text))
    }

    /// Checked to be JSON.
    pub fn json(&self, column: &'static str) -> Result<Json, StoreError> {
        self.checked_json(column, self.get(column)?)
    }

    pub fn opt_json(&self, column: &'static str) -> Result<Option<Json>, StoreError> {
        self.get::<Option<&str>>(column)?
            .map(|text| self.checked_json(column, text))
            .transpose()
    }

    fn checked_json(&self, column: &'static str, text: &str) -> Result<Json, StoreError> {
        Json::parse(text).map_err(|_| self.inconsistent(column, text))
    }

    /// Taken apart.
    pub fn value(&self, column: &'static str) -> Result<Value, StoreError> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|_| self.inconsistent(column, &text))
    }

    pub fn opt_value(&self, column: &'static str) -> Result<Option<Value>, StoreError> {
        match self.opt_text(column)? {
            None => Ok(None),
            Some(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|_| self.inconsistent(column, &text)),
        }
    }

    fn inconsistent(&self, column: &'static str, found: &str) -> StoreError {
        StoreError::Inconsistent {
            database: self.database.to_owned(),
            table: self.table,
            column,
            row: self
                .row
                .try_get::<String, _>(self.key)
                .unwrap_or_else(|_| "?".to_owned()),
            // Enough to recognise it; the column may hold what a caller said.
            found: found.chars().take(24).collect(),
        }
    }
}

pub(super) fn direction_text(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

pub(super) fn direction_from(text: &str) -> Option<Direction> {
    match text {
        "inbound" => Some(Direction::Inbound),
        "outbound" => Some(Direction::Outbound),
        _ => None,
    }
}

/// For a signed 64-bit column. Our counters do not reach the end of it.
pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
