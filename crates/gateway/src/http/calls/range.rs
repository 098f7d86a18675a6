//! Byte ranges (RFC 9110 §14).

/// What part of a body is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// No range, several, or one we cannot read: a server may answer with all (§14.2).
    Whole,
    /// First and last byte, both included.
    Bytes { first: u64, last: u64 },
    /// Beyond the end: 416.
    Unsatisfiable,
}

/// Reads a `Range` header for a body of `length` bytes.
pub(super) fn part(header: Option<&str>, length: u64) -> Part {
    let Some((unit, ranges)) = header.and_then(|value| value.split_once('=')) else {
        return Part::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || ranges.contains(',') {
        return Part::Whole;
    }
    let Some((from, to)) = ranges.trim().split_once('-') else {
        return Part::Whole;
    };
    let end = length.saturating_sub(1);
    match (digits(from), digits(to)) {
        // The last n bytes (§14.1.2).
        (Number::None, Number::Some(n)) if n > 0 && length > 0 => Part::Bytes {
            first: length.saturating_sub(n),
            last: end,
        },
        (Number::None, Number::Some(_)) => Part::Unsatisfiable,
        (Number::Some(first), _) if first >= length => Part::Unsatisfiable,
        (Number::Some(first), Number::None) => Part::Bytes { first, last: end },
        (Number::Some(first), Number::Some(last)) if last >= first => Part::Bytes {
            first,
            last: last.min(end),
        },
        _ => Part::Whole,
    }
}

enum Number {
    None,
    Some(u64),
    Bad,
}

fn digits(text: &str) -> Number {
    let text = text.trim();
    if text.is_empty() {
        return Number::None;
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Number::Bad;
    }
    // More digits than fit are a number beyond any end.
    Number::Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let of = |header| part(Some(header), 100);
        let bytes = |first, last| Part::Bytes { first, last };
        assert_eq!(of("bytes=0-9"), bytes(0, 9));
        assert_eq!(of("bytes=90-"), bytes(90, 99));
        assert_eq!(of("bytes=-5"), bytes(95, 99));
        assert_eq!(of("bytes=-500"), bytes(0, 99));
        assert_eq!(of("bytes=99-99999999999999999999999"), bytes(99, 99));
        assert_eq!(of("BYTES = 1-2"), bytes(1, 2));
        for beyond in [
            "bytes=100-",
            "bytes=100-200",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(of(beyond), Part::Unsatisfiable, "{beyond}");
        }
        for unread in [
            "bytes=5-4",
            "bytes=a-b",
            "bytes=0-1,5-6",
            "lines=1-2",
            "bytes=",
            "bytes=-",
            "x",
            "bytes=+1-2",
        ] {
            assert_eq!(of(unread), Part::Whole, "{unread}");
        }
        assert_eq!(part(None, 100), Part::Whole);
        assert_eq!(part(Some("bytes=0-"), 0), Part::Unsatisfiable);
        assert_eq!(part(Some("bytes=-5"), 0), Part::Unsatisfiable);
    }
}
