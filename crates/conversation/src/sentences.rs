//! Cuts streamed text into sentences, so that the first is synthesised while the rest is written.

use serde::{Deserialize, Serialize};
use switchhook_model::Language;

/// A sentence that goes on beyond this is cut at a comma or a space.
const MAX_SENTENCE_CHARS: usize = 240;
/// Shorter pieces wait for the next sentence: "Hm." alone sounds chopped.
const MIN_SENTENCE_CHARS: usize = 4;

/// Words whose full stop ends no sentence, in lower case without it.
const ABBREVIATIONS: &[&str] = &[
    // English
    "mr", "mrs", "ms", "dr", "prof", "st", "no", "vs", "approx", "e.g", "i.e", "a.m", "p.m", "u.s",
    "inc", "ltd", "jr", "sr", "ave", "blvd", "rd", // German
    "z", "b", "z.b", "d.h", "u.a", "bzw", "ca", "nr", "str", "tel", "hr", "fr", "evtl", "ggf",
    "inkl", "zzgl", "usw", "o.ä", "s.o", "mio", "mrd", "std", "min", "max",
];

/// Collects deltas, gives whole sentences.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SentenceCutter {
    buffer: String,
    language: Language,
}

impl SentenceCutter {
    pub(crate) fn new(language: Language) -> Self {
        Self {
            buffer: String::new(),
            language,
        }
    }

    /// More text; returns the sentences that are complete now.
    pub(crate) fn push(&mut self, text: &str) -> Vec<String> {
        self.buffer.push_str(text);
        let mut sentences = Vec::new();
        while let Some(end) = self.next_end() {
            let rest = self.buffer.split_off(end);
            let sentence = std::mem::replace(&mut self.buffer, rest);
            sentences.extend(speakable(&sentence));
        }
        sentences
    }

    /// The reply is complete: what is left, if it can be spoken.
    pub(crate) fn finish(&mut self) -> Option<String> {
        speakable(&std::mem::take(&mut self.buffer))
    }

    /// Byte position behind the first complete sentence. A stop counts only once white space
    /// follows: before that, "3." may become "3.5".
    fn next_end(&self) -> Option<usize> {
        let text = &self.buffer;
        let mut chars = 0;
        let mut break_at = None;
        let mut iter = text.char_indices().peekable();
        while let Some((at, c)) = iter.next() {
            chars += 1;
            let after = at + c.len_utf8();
            let next = iter.peek().map(|(_, n)| *n);
            if c == '\n' && !text[..at].trim().is_empty() {
                return Some(after);
            }
            let followed = next.is_some_and(char::is_whitespace);
            match c {
                '.' | '!' | '?' | '…' | '。' | '؟' | '！' | '？' if followed => {
                    let long_enough = text[..at].trim().chars().count() >= MIN_SENTENCE_CHARS;
                    if long_enough
                        && (c != '.' || self.stop_ends_sentence(&text[..at], &text[after..]))
                    {
                        return Some(after);
                    }
                }
                ',' | ';' | ':' | '–' if followed && chars >= MIN_SENTENCE_CHARS => {
                    break_at = Some(after);
                }
                _ => {}
            }
            if chars >= MAX_SENTENCE_CHARS && (c.is_whitespace() || chars >= MAX_SENTENCE_CHARS * 2)
            {
                return Some(break_at.unwrap_or(after));
            }
        }
        None
    }

    /// Whether the full stop between `before` and `after` ends a sentence.
    fn stop_ends_sentence(&self, before: &str, after: &str) -> bool {
        let word = before
            .rsplit(char::is_whitespace)
            .next()
            .unwrap_or_default()
            .trim_start_matches(['(', '"', '„', '“']);
        if word.is_empty() {
            return false;
        }
        if word.chars().all(|c| c.is_ascii_digit()) {
            // "22. November" is a date. A short number may be an ordinal in German; a year is not.
            return match self.language {
                Language::De => word.len() > 2,
                Language::En | Language::Ar => after
                    .trim_start()
                    .chars()
                    .next()
                    .is_some_and(|c| !c.is_lowercase() && !c.is_ascii_digit()),
            };
        }
        let lower = word.to_lowercase();
        !ABBREVIATIONS.contains(&lower.as_str())
    }
}

/// Without the marks that models write and nobody speaks. None if nothing is left to say.
pub(crate) fn speakable(text: &str) -> Option<String> {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' | '`' | '#' | '_' | '~' => {}
            c if c.is_control() || c.is_whitespace() => {
                if !clean.ends_with(' ') {
                    clean.push(' ');
                }
            }
            c => clean.push(c),
        }
    }
    let clean = clean.trim().trim_start_matches("- ").trim();
    clean
        .chars()
        .any(char::is_alphanumeric)
        .then(|| clean.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(language: Language, text: &str) -> Vec<String> {
        let mut cutter = SentenceCutter::new(language);
        let mut all: Vec<String> = text
            .chars()
            .flat_map(|c| cutter.push(&c.to_string()))
            .collect();
        all.extend(cutter.finish());
        all
    }

    #[test]
    fn the_first_sentence_leaves_while_the_second_is_written() {
        let mut cutter = SentenceCutter::new(Language::En);
        assert_eq!(
            cutter.push("We are open till six. And"),
            ["We are open till six."]
        );
        assert_eq!(cutter.push(" on Sunday"), Vec::<String>::new());
        assert_eq!(cutter.finish().as_deref(), Some("And on Sunday"));
    }

    #[test]
    fn abbreviations_dates_and_decimals_are_no_ends() {
        assert_eq!(
            cut(
                Language::De,
                "Am 22. November um 19 Uhr, z. B. bei Dr. Weiß. Passt das?"
            ),
            [
                "Am 22. November um 19 Uhr, z. B. bei Dr. Weiß.",
                "Passt das?"
            ]
        );
        assert_eq!(
            cut(
                Language::En,
                "It costs 3.50 at 7 p.m. sharp. Dr. Who? Yes! Fine."
            ),
            ["It costs 3.50 at 7 p.m. sharp.", "Dr. Who?", "Yes! Fine."]
        );
    }

    #[test]
    fn short_words_join_the_next_sentence() {
        assert_eq!(
            cut(Language::En, "Hm. Let me see. Ok."),
            ["Hm. Let me see.", "Ok."]
        );
    }

    #[test]
    fn endless_text_is_cut_at_commas_and_spaces() {
        let text = "word ".repeat(200);
        let parts = cut(Language::En, &text);
        assert!(parts.len() > 2);
        assert!(
            parts
                .iter()
                .all(|p| p.chars().count() <= MAX_SENTENCE_CHARS + 10),
            "{parts:?}"
        );
        assert_eq!(parts.join(" "), text.trim());
        let unbroken = "x".repeat(2000);
        assert!(cut(Language::En, &unbroken).len() >= 4);
    }

    #[test]
    fn marks_nobody_speaks_are_dropped() {
        assert_eq!(
            cut(Language::En, "**Bold** `code`.\n- first point\n\n***\n"),
            ["Bold code.", "first point"]
        );
        assert_eq!(speakable(" \n …*"), None);
    }
}
