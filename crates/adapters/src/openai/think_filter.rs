//! Removes `<think>…</think>` from streamed text: several local models write their reasoning into
//! the answer, and it must not be spoken.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// The filter's position. Tags may be cut anywhere.
#[derive(Debug, Default)]
pub struct ThinkFilter {
    inside: bool,
    /// The beginning of what may become a tag; always a prefix of the tag looked for.
    held: String,
}

impl ThinkFilter {
    /// What of `text`, and of what was held back before, is to be spoken.
    pub fn push(&mut self, text: &str) -> String {
        let mut input = std::mem::take(&mut self.held);
        input.push_str(text);
        let mut rest = input.as_str();
        let mut spoken = String::new();
        loop {
            let tag = if self.inside { CLOSE } else { OPEN };
            if let Some(at) = rest.find(tag) {
                if !self.inside {
                    spoken.push_str(&rest[..at]);
                }
                rest = &rest[at + tag.len()..];
                self.inside = !self.inside;
                continue;
            }
            let keep = partial_tag(rest, tag);
            if !self.inside {
                spoken.push_str(&rest[..rest.len() - keep]);
            }
            rest[rest.len() - keep..].clone_into(&mut self.held);
            return spoken;
        }
    }

    /// What was held back and turned out not to be a tag, at the end of the answer.
    pub fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        if self.inside { String::new() } else { held }
    }
}

/// Length of the longest end of `text` that is a beginning of `tag`.
fn partial_tag(text: &str, tag: &str) -> usize {
    (1..tag.len())
        .rev()
        .find(|n| text.ends_with(&tag[..*n]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_is_removed_however_it_is_cut() {
        let text =
            "<think>They want\n a < b </thin </think>Hello <b>you</b> <th<think>x</think>!<thi";
        for size in 1..text.len() {
            let mut filter = ThinkFilter::default();
            let mut spoken = String::new();
            for piece in text.as_bytes().chunks(size) {
                spoken.push_str(&filter.push(std::str::from_utf8(piece).expect("ASCII")));
            }
            spoken.push_str(&filter.finish());
            assert_eq!(spoken, "Hello <b>you</b> <th!<thi", "pieces of {size}");
        }
    }

    #[test]
    fn unfinished_reasoning_is_not_spoken() {
        let mut filter = ThinkFilter::default();
        assert_eq!(filter.push("<think>hm</th"), "");
        assert_eq!(filter.finish(), "");
    }
}
