//! Writing rows, many to a statement.

use std::collections::HashSet;

use sqlx::postgres::PgRow;
use sqlx::query_builder::Separated;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use crate::sql::lists::storable;
use crate::sql::tables::{Put, Stored, pieces};

impl Put for Separated<'_, Postgres, &'static str> {
    fn text(&mut self, text: &str) -> &mut Self {
        // A NUL somebody sent must not cost a call its step.
        if text.contains('\0') {
            self.push_bind(storable(text))
        } else {
            self.push_bind(text)
        }
    }

    fn opt_text(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.push_bind(None::<&str>),
        }
    }

    fn int(&mut self, n: i64) -> &mut Self {
        self.push_bind(n)
    }

    fn opt_int(&mut self, n: Option<i64>) -> &mut Self {
        self.push_bind(n)
    }
}

/// Writes all rows of a table, as if one after the other; returns how many were inserted or changed.
pub(super) async fn write<'a, T: Stored + 'a>(
    connection: &mut PgConnection,
    rows: impl Iterator<Item = &'a T>,
) -> Result<u64, sqlx::Error> {
    let mut written = 0;
    for round in rounds(rows.collect()) {
        for piece in pieces(&round) {
            let mut query = statement(piece);
            let done = query
                .build()
                .persistent(true)
                .execute(&mut *connection)
                .await?;
            written += done.rows_affected();
        }
    }
    Ok(written)
}

/// The same for a statement that returns something.
pub(super) async fn write_returning<'a, T: Stored + 'a>(
    connection: &mut PgConnection,
    rows: impl Iterator<Item = &'a T>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut returned = Vec::new();
    for round in rounds(rows.collect()) {
        for piece in pieces(&round) {
            let mut query = statement(piece);
            let rows = query
                .build()
                .persistent(true)
                .fetch_all(&mut *connection)
                .await?;
            returned.extend(rows);
        }
    }
    Ok(returned)
}

fn statement<T: Stored>(piece: &[&T]) -> QueryBuilder<Postgres> {
    let [head, tail] = T::SQL;
    let mut query = QueryBuilder::new(head);
    query.push_values(piece, |mut cells, row| row.put(&mut cells));
    query.push(tail);
    query
}

/// The rows in groups without two of the same identity, which one statement may not change twice.
fn rounds<T: Stored>(mut rows: Vec<&T>) -> Vec<Vec<&T>> {
    let mut rounds = Vec::new();
    while !rows.is_empty() {
        let mut seen = HashSet::new();
        let (round, later) = rows
            .into_iter()
            .partition(|row| row.identity().is_none_or(|identity| seen.insert(identity)));
        rounds.push(round);
        rows = later;
    }
    rounds
}
