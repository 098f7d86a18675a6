//! From columns to values. A column that contradicts the model is an error naming it, not a panic
//! and not a default.

use std::str::FromStr;

use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use switchhook_model::{Direction, Timestamp};

use super::Origin;
use crate::error::StoreError;
use crate::json::Json;

/// A row of either database. Texts and 64-bit numbers are all that our columns hold.
pub(crate) trait Source: Send + Sync {
    fn text(&self, column: &str) -> Result<Option<&str>, sqlx::Error>;
    fn int(&self, column: &str) -> Result<Option<i64>, sqlx::Error>;
}

macro_rules! source {
    ($($row:ty)*) => {$(
        impl Source for $row {
            fn text(&self, column: &str) -> Result<Option<&str>, sqlx::Error> {
                self.try_get(column)
            }

            fn int(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
                self.try_get(column)
            }
        }
    )*};
}
source!(SqliteRow PgRow);

/// A row and where it came from.
pub(crate) struct Columns<'a> {
    row: &'a dyn Source,
    origin: Origin<'a>,
    table: &'static str,
    /// The column that names the row in messages.
    key: &'static str,
}

impl<'a> Columns<'a> {
    pub fn new(
        row: &'a dyn Source,
        origin: Origin<'a>,
        table: &'static str,
        key: &'static str,
    ) -> Self {
        Self {
            row,
            origin,
            table,
            key,
        }
    }

    fn opt_str(&self, column: &'static str) -> Result<Option<&'a str>, StoreError> {
        self.row
            .text(column)
            .map_err(|error| self.origin.error(error))
    }

    pub fn opt_int(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.row
            .int(column)
            .map_err(|error| self.origin.error(error))
    }

    fn str(&self, column: &'static str) -> Result<&'a str, StoreError> {
        self.opt_str(column)?
            .ok_or_else(|| self.inconsistent(column, "null"))
    }

    pub fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.str(column).map(str::to_owned)
    }

    pub fn opt_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.opt_str(column)?.map(str::to_owned))
    }

    pub fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        self.opt_int(column)?
            .ok_or_else(|| self.inconsistent(column, "null"))
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
        match self.opt_int(column)? {
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
        Ok(self.opt_int(column)?.map(Timestamp::from_millis))
    }

    pub fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, StoreError> {
        let text = self.str(column)?;
        text.parse().map_err(|_| self.inconsistent(column, text))
    }

    pub fn opt_parsed<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        match self.opt_str(column)? {
            None => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| self.inconsistent(column, text)),
        }
    }

    /// One of a closed set of words.
    pub fn word<T>(
        &self,
        column: &'static str,
        from_text: impl Fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text = self.str(column)?;
        from_text(text).ok_or_else(|| self.inconsistent(column, text))
    }

    /// Checked to be JSON.
    pub fn json(&self, column: &'static str) -> Result<Json, StoreError> {
        self.checked_json(column, self.str(column)?)
    }

    pub fn opt_json(&self, column: &'static str) -> Result<Option<Json>, StoreError> {
        self.opt_str(column)?
            .map(|text| self.checked_json(column, text))
            .transpose()
    }

    fn checked_json(&self, column: &'static str, text: &str) -> Result<Json, StoreError> {
        Json::parse(text).map_err(|_| self.inconsistent(column, text))
    }

    /// Taken apart.
    pub fn value(&self, column: &'static str) -> Result<Value, StoreError> {
        let text = self.str(column)?;
        serde_json::from_str(text).map_err(|_| self.inconsistent(column, text))
    }

    pub fn opt_value(&self, column: &'static str) -> Result<Option<Value>, StoreError> {
        match self.opt_str(column)? {
            None => Ok(None),
            Some(text) => serde_json::from_str(text)
                .map(Some)
                .map_err(|_| self.inconsistent(column, text)),
        }
    }

    fn inconsistent(&self, column: &'static str, found: &str) -> StoreError {
        StoreError::Inconsistent {
            database: self.origin.database.to_owned(),
            table: self.table,
            column,
            row: self
                .row
                .text(self.key)
                .ok()
                .flatten()
                .unwrap_or("?")
                .to_owned(),
            // Enough to recognise it; the column may hold what a caller said.
            found: found.chars().take(24).collect(),
        }
    }
}

pub(crate) fn direction_text(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

pub(crate) fn direction_from(text: &str) -> Option<Direction> {
    match text {
        "inbound" => Some(Direction::Inbound),
        "outbound" => Some(Direction::Outbound),
        _ => None,
    }
}

/// For a signed 64-bit column. Our counters do not reach the end of it.
pub(crate) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
