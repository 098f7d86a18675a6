//! Legal spellings the adopted parser does not read, turned into the ordinary ones: folded lines and
//! blanks where RFC 3261 §7.3.1 and the grammar of §25.1 (`LWS`, `SLASH`, `SEMI`, `EQUAL`, `COMMA`)
//! allow them. RFC 4475 §3.1.1.1 is full of them.

use std::borrow::Cow;

/// Headers whose parameters everything depends on, beside Via.
const NAME_ADDRESSES: [&str; 8] = [
    "From",
    "f",
    "To",
    "t",
    "Contact",
    "m",
    "Route",
    "Record-Route",
];

/// The message with an ordinary head; the body is not touched.
pub(crate) fn tidy(bytes: &[u8]) -> Cow<'_, [u8]> {
    let head_end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .unwrap_or(bytes.len());
    let (head, rest) = bytes.split_at(head_end);
    if is_ordinary(head) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut header: Option<Vec<u8>> = None;
    for (n, line) in lines(head).enumerate() {
        // The start line cannot be folded (§7.1, §7.2).
        if n == 0 {
            out.extend_from_slice(line);
            continue;
        }
        match &mut header {
            Some(folded) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                folded.push(b' ');
                folded.extend_from_slice(line.trim_ascii());
            }
            Some(_) | None => {
                if let Some(whole) = header.replace(line.to_vec()) {
                    push_header(&mut out, &whole);
                }
            }
        }
    }
    if let Some(whole) = header {
        push_header(&mut out, &whole);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut left = Some(head);
    std::iter::from_fn(move || {
        let bytes = left?;
        match bytes.windows(2).position(|w| w == b"\r\n") {
            Some(end) => {
                left = Some(&bytes[end + 2..]);
                Some(&bytes[..end])
            }
            None => {
                left = None;
                Some(bytes)
            }
        }
    })
}

/// No blank stands beside a separator or begins a line: nearly every message.
fn is_ordinary(head: &[u8]) -> bool {
    let blank = |b: u8| matches!(b, b' ' | b'\t');
    !head.windows(2).any(|pair| {
        (blank(pair[0]) && matches!(pair[1], b':' | b';' | b'=' | b'/' | b','))
            || (blank(pair[1]) && matches!(pair[0], b';' | b'=' | b'/' | b',' | b'\n'))
    })
}

fn push_header(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(b"\r\n");
    let Some(colon) = line.iter().position(|b| *b == b':') else {
        // Not a header: the parser has its own opinion.
        out.extend_from_slice(line);
        return;
    };
    let (name, value) = (
        line[..colon].trim_ascii_end(),
        line[colon + 1..].trim_ascii(),
    );
    let named = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    if named("Via") || named("v") {
        push_without_blanks(out, value, b"/;=,");
    } else if NAME_ADDRESSES.into_iter().any(named) {
        push_without_blanks(out, value, b";=");
    } else {
        out.extend_from_slice(value);
    }
}

/// Blanks around separators go, but not those in quotes or between `<` and `>`.
fn push_without_blanks(out: &mut Vec<u8>, value: &[u8], separators: &[u8]) {
    let start = out.len();
    let (mut quoted, mut escaped, mut in_uri) = (false, false, false);
    let mut after_separator = false;
    for byte in value {
        if quoted {
            (quoted, escaped) = match (byte, escaped) {
                (b'"', false) => (false, false),
                (b'\\', false) => (true, true),
                _ => (true, false),
            };
            out.push(*byte);
            continue;
        }
        match byte {
            b'<' => in_uri = true,
            b'>' => in_uri = false,
            _ => {}
        }
        if !in_uri && separators.contains(byte) {
            while out.len() > start && matches!(out.last(), Some(b' ' | b'\t')) {
                out.pop();
            }
            after_separator = true;
            out.push(*byte);
            continue;
        }
        if after_separator && matches!(byte, b' ' | b'\t') {
            continue;
        }
        after_separator = false;
        quoted = *byte == b'"';
        out.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tidied(text: &str) -> String {
        String::from_utf8_lossy(&tidy(text.as_bytes())).into_owned()
    }

    #[test]
    fn what_is_ordinary_is_not_copied() {
        let text =
            b"OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z\r\nTo: <sip:a@h>\r\n\r\nx ;y";
        assert!(matches!(tidy(text), Cow::Borrowed(_)));
    }

    #[test]
    fn blanks_and_folds_are_taken_out() {
        let text = "INVITE sip:a@h SIP/2.0\r\nTO :\r\n sip:a@h ;   tag    = 1\r\n\
                    Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2 ;branch = z\r\n\
                    From: \"J ; = \\\" x\"   <sip:j@h ;x>\r\n  ;\r\n\ttag = 9\r\n\
                    cseq: 0009\r\n  INVITE\r\nSubject : a ; b\r\n\r\nbody ; kept\r\n here";
        let expected = "INVITE sip:a@h SIP/2.0\r\nTO: sip:a@h;tag=1\r\n\
                    Via: SIP/2.0/UDP 192.0.2.2;branch=z\r\n\
                    From: \"J ; = \\\" x\"   <sip:j@h ;x>;tag=9\r\n\
                    cseq: 0009 INVITE\r\nSubject: a ; b\r\n\r\nbody ; kept\r\n here";
        assert_eq!(tidied(text), expected);
        // Once is enough.
        assert_eq!(tidied(expected), expected);
    }

    #[test]
    fn noise_stays_noise() {
        for text in [
            "",
            " ;",
            "\r\n ;",
            "a\r\n b\r\n c",
            "\r\n\r\n",
            "x\r\nno colon ; here",
        ] {
            let _ = tidied(text);
        }
        assert_eq!(
            tidied("a ;b\r\nno colon ; here\r\n\r\n"),
            "a ;b\r\nno colon ; here\r\n\r\n"
        );
    }
}
