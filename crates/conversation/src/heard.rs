//! From milliseconds of playout to the words the caller really heard.

/// Speech rate assumed while the length of an item is not known yet. Slower than most voices, so
/// that rather too little than too much counts as heard.
const ASSUMED_MS_PER_CHAR: u64 = 75;
/// A pause at a comma or stop takes about as long as this many letters.
const PAUSE_WEIGHT: u64 = 4;
/// When a sentence is taken up again, at most this many words are repeated.
const MAX_REPEATED_WORDS: usize = 8;

/// Byte position behind the last word of `text` that was heard to its end.
///
/// `total_ms` is the item's whole length, if known. Words are weighted by their letters and the
/// pauses that follow them: exact enough to tell which word was cut.
pub(crate) fn heard_end(text: &str, played_ms: u64, total_ms: Option<u64>) -> usize {
    let words = words(text);
    let whole: u64 = words.iter().map(|w| w.weight).sum();
    let total_ms = match total_ms {
        Some(total) if total > 0 => total,
        Some(_) | None => whole.saturating_mul(ASSUMED_MS_PER_CHAR),
    };
    if played_ms >= total_ms {
        return text.len();
    }
    let mut end = 0;
    let mut spoken = 0;
    for word in &words {
        spoken += word.weight - word.pause;
        if u128::from(spoken) * u128::from(total_ms) > u128::from(played_ms) * u128::from(whole) {
            break;
        }
        end = word.end;
        spoken += word.pause;
    }
    end
}

/// Where to take up a text again that was cut at `heard_end`: at the beginning of the clause, or a
/// few words back in a long one, so that the caller finds into it again.
pub(crate) fn resume_start(text: &str, heard_end: usize) -> usize {
    let words = words(text);
    let heard = words.iter().filter(|w| w.end <= heard_end).count();
    let clause = words[..heard]
        .iter()
        .rposition(|w| w.pause > 0)
        .map_or(0, |i| i + 1);
    let from = clause.max(heard.saturating_sub(MAX_REPEATED_WORDS));
    words.get(from).map_or(text.len(), |w| w.start)
}

/// How long a text takes to be spoken at so many ms for each letter.
pub(crate) fn speaking_ms(text: &str, ms_per_letter: u64) -> u64 {
    let letters: u64 = words(text).iter().map(|w| w.weight).sum();
    letters.saturating_mul(ms_per_letter)
}

struct Word {
    start: usize,
    end: usize,
    /// Letters, a gap, and the pause.
    weight: u64,
    pause: u64,
}

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        if !c.is_whitespace() {
            start.get_or_insert(at);
        } else if let Some(from) = start.take() {
            let word = &text[from..at];
            let pause = if word.ends_with([',', '.', ';', ':', '?', '!', '–', '…', '،', '؟'])
            {
                PAUSE_WEIGHT
            } else {
                0
            };
            // A digit is spoken as a word.
            let letters: u64 = word
                .chars()
                .map(|c| if c.is_numeric() { 4 } else { 1 })
                .sum();
            words.push(Word {
                start: from,
                end: at,
                weight: letters + 1 + pause,
                pause,
            });
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "We are open from nine to six, and on Saturday until noon.";

    #[test]
    fn nothing_half_and_all() {
        assert_eq!(heard_end(TEXT, 0, Some(4000)), 0);
        assert_eq!(heard_end(TEXT, 4000, Some(4000)), TEXT.len());
        assert_eq!(
            &TEXT[..heard_end(TEXT, 1100, Some(4000))],
            "We are open from"
        );
        assert_eq!(
            &TEXT[..heard_end(TEXT, 2200, Some(4000))],
            "We are open from nine to six,"
        );
    }

    #[test]
    fn an_unknown_length_is_estimated_on_the_short_side() {
        assert_eq!(&TEXT[..heard_end(TEXT, 500, None)], "We");
        assert_eq!(heard_end(TEXT, 60_000, None), TEXT.len());
        assert_eq!(heard_end("", 10, None), 0);
    }

    #[test]
    fn a_cut_sentence_is_taken_up_at_its_clause() {
        let cut = heard_end(TEXT, 3000, Some(4000));
        assert_eq!(
            &TEXT[resume_start(TEXT, cut)..],
            "and on Saturday until noon."
        );
        assert_eq!(resume_start(TEXT, 0), 0);
        assert_eq!(resume_start(TEXT, TEXT.len()), TEXT.len());
        let long = "one two three four five six seven eight nine ten eleven twelve thirteen";
        let cut = long.find(" twelve").unwrap();
        assert_eq!(
            &long[resume_start(long, cut)..],
            "four five six seven eight nine ten eleven twelve thirteen"
        );
    }

    #[test]
    fn odd_text_is_safe() {
        for text in ["   ", "ä ö ü", "\u{200f}مرحبا بك", "1234 56"] {
            for played in [0, 1, 77, 500, u64::MAX] {
                let end = heard_end(text, played, Some(100));
                let start = resume_start(text, end);
                assert!(text.is_char_boundary(end) && text.is_char_boundary(start));
            }
        }
    }
}
