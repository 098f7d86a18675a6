//! What the two SQL back ends share: how rows are read from columns and which columns are written.
//!
//! Does not belong here: a query. Each back end has its own, because what matters in them differs.

pub(crate) mod columns;
pub(crate) mod lists;
pub(crate) mod read;
pub(crate) mod tables;

use crate::error::StoreError;
use columns::{Columns, Source};
use read::Readable;

/// Which database something came from, for errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub database: &'a str,
    /// The driver's error in our words.
    pub translate: fn(&str, sqlx::Error) -> StoreError,
}

impl Origin<'_> {
    pub fn error(&self, error: sqlx::Error) -> StoreError {
        (self.translate)(self.database, error)
    }

    pub fn read<T: Readable>(&self, row: &impl Source) -> Result<T, StoreError> {
        T::read(&Columns::new(row, *self, T::TABLE, T::KEY))
    }

    pub fn read_all<'r, T: Readable, R: Source + 'r>(
        &self,
        rows: impl IntoIterator<Item = &'r R>,
    ) -> Result<Vec<T>, StoreError> {
        rows.into_iter().map(|row| self.read(row)).collect()
    }
}
