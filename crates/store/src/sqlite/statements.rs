//! Writing rows, many to a statement.

use sqlx::query_builder::Separated;
use sqlx::sqlite::SqliteQueryResult;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::error::{is_foreign_key, is_unique, translate};
use crate::error::{CommitError, StoreError};
use crate::rows::{AnswerRow, CallRow};
use crate::sql::tables::{Put, Stored, pieces};

impl Put for Separated<'_, Sqlite, &'static str> {
    fn text(&mut self, text: &str) -> &mut Self {
        self.push_bind(text)
    }

    fn opt_text(&mut self, text: Option<&str>) -> &mut Self {
        self.push_bind(text)
    }

    fn int(&mut self, n: i64) -> &mut Self {
        self.push_bind(n)
    }

    fn opt_int(&mut self, n: Option<i64>) -> &mut Self {
        self.push_bind(n)
    }
}

/// Writes all rows of a table.
pub(super) async fn write<'a, T: Stored + 'a>(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &'a T>,
) -> Result<(), CommitError> {
    let rows: Vec<&T> = rows.collect();
    for piece in pieces(&rows) {
        // A broken reference means that the call is not stored. Of several rows this names the first.
        let refused = |error| match piece[0].needs() {
            Some((call, what)) if is_foreign_key(&error) => CommitError::UnknownCall {
                call: call.clone(),
                what,
            },
            Some(_) | None => translate(database, error).into(),
        };
        write_piece(connection, piece).await.map_err(refused)?;
    }
    Ok(())
}

/// The same for calls, of which only a newer revision is written.
pub(super) async fn write_calls(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &CallRow>,
) -> Result<(), CommitError> {
    let rows: Vec<&CallRow> = rows.collect();
    for piece in pieces(&rows) {
        let done = write_piece(connection, piece)
            .await
            .map_err(|error| translate(database, error))?;
        if done.rows_affected() != piece.len() as u64 {
            return Err(stale(connection, database, piece[0]).await?);
        }
    }
    Ok(())
}

async fn write_piece<T: Stored>(
    connection: &mut SqliteConnection,
    piece: &[&T],
) -> Result<SqliteQueryResult, sqlx::Error> {
    let [head, tail] = T::SQL;
    let mut query = QueryBuilder::new(head);
    query.push_values(piece, |mut cells, row| row.put(&mut cells));
    query.push(tail);
    query.build().persistent(true).execute(connection).await
}

/// The same for answers, whose keys must be new.
pub(super) async fn write_answers(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &AnswerRow>,
) -> Result<(), CommitError> {
    let rows: Vec<&AnswerRow> = rows.collect();
    for piece in pieces(&rows) {
        // Of several rows this names the first; a step has one.
        let refused = |error| {
            if is_unique(&error) {
                let key = piece[0].key.clone();
                CommitError::Answered { key }
            } else {
                translate(database, error).into()
            }
        };
        write_piece(connection, piece).await.map_err(refused)?;
    }
    Ok(())
}

/// Says what is stored of the call already. Of several calls it need not be the one.
async fn stale(
    connection: &mut SqliteConnection,
    database: &str,
    row: &CallRow,
) -> Result<CommitError, StoreError> {
    let stored: i64 = sqlx::query_scalar("SELECT revision FROM calls WHERE id = $1")
        .bind(row.head.id.as_str())
        .fetch_one(connection)
        .await
        .map_err(|error| translate(database, error))?;
    Ok(CommitError::StaleRevision {
        call: row.head.id.clone(),
        stored: u64::try_from(stored).unwrap_or(0),
        given: row.revision,
    })
}
