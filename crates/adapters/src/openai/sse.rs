//! Server-sent events from a byte stream (WHATWG HTML §9.2.6), whatever way TCP cuts it.

/// Longest event that is read, in bytes: a tool call with all its arguments in one event is far
/// below it, and a server that never ends an event must not fill the memory.
pub const MAX_EVENT: usize = 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// The `event:` field; empty if there was none.
    pub kind: String,
    /// The `data:` lines, joined by line feeds.
    pub data: String,
}

/// An event grew beyond [`MAX_EVENT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {MAX_EVENT} bytes")]
pub struct EventTooLong;

/// Puts events together. Lines end in LF, CR LF or CR; comments and unknown fields are skipped.
#[derive(Debug, Default)]
pub struct SseReader {
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
    after_cr: bool,
    begun: bool,
}

impl SseReader {
    /// The events completed by `bytes`.
    ///
    /// # Errors
    /// If an event is too long; the reader is not to be used any further.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, EventTooLong> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            match rest.iter().position(|b| matches!(b, b'\n' | b'\r')) {
                None => {
                    self.extend_line(rest)?;
                    break;
                }
                Some(end) => {
                    self.extend_line(&rest[..end])?;
                    self.after_cr = rest[end] == b'\r';
                    rest = &rest[end + 1..];
                    events.extend(self.end_line());
                }
            }
        }
        Ok(events)
    }

    /// What is left when the stream ends without a blank line. The standard drops it; the reader
    /// of a stream with an end marker may want to see whether this is the marker.
    pub fn finish(&mut self) -> Option<SseEvent> {
        let ended = self.end_line();
        ended.or_else(|| self.dispatch())
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        if self.line.len() + self.event.data.len() + bytes.len() > MAX_EVENT {
            return Err(EventTooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let bytes = std::mem::take(&mut self.line);
        let mut bytes = bytes.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            // A byte order mark may begin the stream.
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        if bytes.is_empty() {
            return self.dispatch();
        }
        let line = String::from_utf8_lossy(bytes);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.kind),
            // A comment (empty name), `id`, `retry`, or something newer.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let event = std::mem::take(&mut self.event);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn data(text: &str) -> SseEvent {
        SseEvent {
            kind: String::new(),
            data: text.into(),
        }
    }

    const STREAM: &str = "\u{feff}: keep-alive\n\ndata: {\"a\":\r\ndata: \"ü\"}\r\n\r\nevent: error\rdata:x\r\rid: 7\nretry\n\ndata\n\ndata: [DONE]\n\n";

    fn expected() -> Vec<SseEvent> {
        vec![
            data("{\"a\":\n\"ü\"}"),
            SseEvent {
                kind: "error".into(),
                data: "x".into(),
            },
            data(""),
            data("[DONE]"),
        ]
    }

    #[test]
    fn all_line_ends_comments_and_joined_lines() {
        assert_eq!(SseReader::default().push(STREAM.as_bytes()), Ok(expected()));
    }

    #[test]
    fn the_cutting_does_not_matter() {
        for size in 1..STREAM.len() {
            let mut reader = SseReader::default();
            let mut events = Vec::new();
            for piece in STREAM.as_bytes().chunks(size) {
                events.extend(reader.push(piece).expect("short events"));
            }
            assert_eq!(events, expected(), "pieces of {size} bytes");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = SseReader::default();
        let line = vec![b'x'; 64 * 1024];
        let failed = (0..20).any(|_| reader.push(&line).is_err());
        assert!(failed);
        let mut reader = SseReader::default();
        let line = format!("data: {}\n", "x".repeat(64 * 1024));
        let failed = (0..20).any(|_| reader.push(line.as_bytes()).is_err());
        assert!(failed, "many lines of one event");
    }

    #[test]
    fn what_is_left_at_the_end_can_be_seen() {
        let mut reader = SseReader::default();
        assert_eq!(reader.push(b"data: [DONE]"), Ok(vec![]));
        assert_eq!(reader.finish(), Some(data("[DONE]")));
        assert_eq!(reader.finish(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_cut_anyhow_give_the_same_events(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b'd'), any::<u8>()], 0..200),
            size in 1usize..9,
        ) {
            let whole = SseReader::default().push(&bytes);
            let mut reader = SseReader::default();
            let mut pieces = Vec::new();
            for piece in bytes.chunks(size) {
                pieces.extend(reader.push(piece).expect("short"));
            }
            prop_assert_eq!(whole.expect("short"), pieces);
        }
    }
}
