//! What lists can be asked for.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use switchhook_model::{CallId, Direction, MessageId, Timestamp};

/// Most rows a page holds; a larger limit is cut to it.
pub const PAGE_MAX: u32 = 200;

/// One page, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Cuts one row too many into a page and its cursor.
    pub(crate) fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = limit as usize;
        let next_cursor = (items.len() > limit)
            .then(|| {
                items.truncate(limit);
                items.last().map(&cursor)
            })
            .flatten();
        Self { items, next_cursor }
    }
}

/// Which calls. All conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// Any of these; empty: all.
    pub statuses: Vec<String>,
    pub direction: Option<Direction>,
    /// Started at or after.
    pub from: Option<Timestamp>,
    /// Started before.
    pub to: Option<Timestamp>,
    /// Part of the id, caller, caller's name, callee, assistant or outcome; ASCII letters match in
    /// either case; no character is special, and a NUL is found nowhere (PostgreSQL cannot store
    /// one, SQLite ends a pattern at it).
    pub q: Option<String>,
    /// 1 to [`PAGE_MAX`].
    pub limit: u32,
    /// Only what comes after it.
    pub cursor: Option<CallCursor>,
}

impl CallFilter {
    pub(crate) fn page_size(&self) -> u32 {
        self.limit.clamp(1, PAGE_MAX)
    }
}

/// Which messages.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    pub call: Option<CallId>,
    pub state: Option<String>,
    /// 1 to [`PAGE_MAX`].
    pub limit: u32,
    /// Only what comes after it.
    pub cursor: Option<(Timestamp, MessageId)>,
}

impl MessageFilter {
    pub(crate) fn page_size(&self) -> u32 {
        self.limit.clamp(1, PAGE_MAX)
    }

    /// Reads [`Page::next_cursor`] of a message list.
    pub fn parse_cursor(text: &str) -> Result<(Timestamp, MessageId), BadCursor> {
        parse_cursor(text)
    }
}

/// A place in the list of calls: the last row of the page before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallCursor {
    pub started_at: Timestamp,
    pub id: CallId,
}

/// The text is not a cursor this API gave out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cursor is not one this API gave out; take next_cursor of the page before")]
pub struct BadCursor;

impl fmt::Display for CallCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&cursor_text(self.started_at, &self.id))
    }
}

impl FromStr for CallCursor {
    type Err = BadCursor;
    fn from_str(text: &str) -> Result<Self, BadCursor> {
        parse_cursor(text).map(|(started_at, id)| Self { started_at, id })
    }
}

pub(crate) fn cursor_text(at: Timestamp, id: &impl fmt::Display) -> String {
    format!("{}.{id}", at.as_millis())
}

fn parse_cursor<I: FromStr>(text: &str) -> Result<(Timestamp, I), BadCursor> {
    let (millis, id) = text.split_once('.').ok_or(BadCursor)?;
    let millis = millis.parse().map_err(|_| BadCursor)?;
    let id = id.parse().map_err(|_| BadCursor)?;
    Ok((Timestamp::from_millis(millis), id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_and_foreign_text_does_not() {
        let cursor = CallCursor {
            started_at: Timestamp::from_millis(17),
            id: CallId::from_unique("a-b_c"),
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", ".", "17", "17.", "x.call_a", "17.leg_a", "17.call_a'--"] {
            assert_eq!(bad.parse::<CallCursor>(), Err(BadCursor), "{bad}");
        }
    }
}
