//! Lists with optional conditions. Nearly all of it is the same in both dialects; what is not is a
//! parameter.

use sqlx::{Database, Encode, QueryBuilder, Type};

use super::columns::direction_text;
use crate::query::{CallFilter, MessageFilter};

/// What differs.
pub(crate) trait Dialect: Database {
    /// `LIKE` that takes ASCII letters in either case.
    const LIKE: &'static str;
}

impl Dialect for sqlx::Sqlite {
    const LIKE: &'static str = " LIKE ";
}

impl Dialect for sqlx::Postgres {
    const LIKE: &'static str = " ILIKE ";
}

/// One row more than a page holds tells whether there is a next one.
fn one_more(page_size: u32) -> i64 {
    i64::from(page_size) + 1
}

pub(crate) fn calls<DB: Dialect>(filter: &CallFilter) -> QueryBuilder<DB>
where
    for<'t> String: Encode<'t, DB> + Type<DB>,
    for<'t> i64: Encode<'t, DB> + Type<DB>,
{
    let CallFilter {
        statuses,
        direction,
        from,
        to,
        q,
        limit: _,
        cursor,
    } = filter;
    let mut query = QueryBuilder::new(
        "SELECT id, status, direction, channel, profile, assistant, caller, caller_name, callee,
            started_at, answered_at, ended_at, outcome
         FROM calls WHERE 1 = 1",
    );
    if !statuses.is_empty() {
        query.push(" AND status IN (");
        let mut list = query.separated(", ");
        for status in statuses {
            list.push_bind(storable(status));
        }
        query.push(")");
    }
    if let Some(direction) = direction {
        query
            .push(" AND direction = ")
            .push_bind(direction_text(*direction).to_owned());
    }
    if let Some(from) = from {
        query
            .push(" AND started_at >= ")
            .push_bind(from.as_millis());
    }
    if let Some(to) = to {
        query.push(" AND started_at < ").push_bind(to.as_millis());
    }
    if q.as_ref().is_some_and(|q| q.contains('\0')) {
        query.push(" AND 1 = 0");
    } else if let Some(q) = q {
        let pattern = like_pattern(q);
        query.push(" AND (");
        for (i, column) in [
            "id",
            "caller",
            "caller_name",
            "callee",
            "assistant",
            "outcome",
        ]
        .into_iter()
        .enumerate()
        {
            if i > 0 {
                query.push(" OR ");
            }
            query
                .push(column)
                .push(DB::LIKE)
                .push_bind(pattern.clone())
                .push(" ESCAPE '\\'");
        }
        query.push(")");
    }
    if let Some(cursor) = cursor {
        query
            .push(" AND (started_at, id) < (")
            .push_bind(cursor.started_at.as_millis())
            .push(", ")
            .push_bind(cursor.id.as_str().to_owned())
            .push(")");
    }
    query.push(" ORDER BY started_at DESC, id DESC LIMIT ");
    query.push_bind(one_more(filter.page_size()));
    query
}

pub(crate) fn messages<DB: Dialect>(filter: &MessageFilter) -> QueryBuilder<DB>
where
    for<'t> String: Encode<'t, DB> + Type<DB>,
    for<'t> i64: Encode<'t, DB> + Type<DB>,
{
    let mut query = QueryBuilder::new("SELECT * FROM messages WHERE 1 = 1");
    if let Some(call) = &filter.call {
        query
            .push(" AND call_id = ")
            .push_bind(call.as_str().to_owned());
    }
    if let Some(state) = &filter.state {
        query.push(" AND state = ").push_bind(storable(state));
    }
    if let Some((at, id)) = &filter.cursor {
        query
            .push(" AND (created_at, id) < (")
            .push_bind(at.as_millis())
            .push(", ")
            .push_bind(id.as_str().to_owned())
            .push(")");
    }
    query.push(" ORDER BY created_at DESC, id DESC LIMIT ");
    query.push_bind(one_more(filter.page_size()));
    query
}

/// Finds `text` anywhere; no character of it is special.
fn like_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// With U+FFFD in place of NUL, which PostgreSQL neither stores nor compares.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
