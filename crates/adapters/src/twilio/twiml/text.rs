//! Text for XML and for Twilio's voices: only characters XML 1.0 allows, in pieces Twilio takes.

/// Longest text of one `<Say>`, in characters.
pub(super) const MAX_SAY: usize = 4_096;

/// Removes what XML 1.0 (§2.2) cannot hold even escaped; line breaks and tabs become spaces, because
/// a reader may change them.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\t' | '\n' | '\r' => Some(' '),
            '\u{FFFE}' | '\u{FFFF}' => None,
            c if c.is_control() => None,
            c => Some(c),
        })
        .collect()
}

/// Cuts a text into pieces of at most `limit` characters: behind the last sentence that fits, else
/// behind the last word, else where it must be.
pub(super) fn pieces(text: &str, limit: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while let Some((end, _)) = rest.char_indices().nth(limit) {
        let head = &rest[..end];
        let cut = sentence_end(head)
            .or_else(|| head.rfind(char::is_whitespace))
            .filter(|cut| *cut > 0)
            .unwrap_or(end);
        pieces.push(rest[..cut].trim_end());
        rest = rest[cut..].trim_start();
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// Behind the last mark that ends a sentence and is followed by white space.
fn sentence_end(text: &str) -> Option<usize> {
    text.char_indices().rev().find_map(|(at, c)| {
        let behind = at + c.len_utf8();
        let ends = matches!(c, '.' | '!' | '?' | '…' | '؟' | '。');
        let space = text[behind..]
            .chars()
            .next()
            .is_some_and(char::is_whitespace);
        (ends && space).then_some(behind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_cut_behind_sentences_then_words_then_anywhere() {
        assert_eq!(pieces("Eins. Zwei drei.", 20), ["Eins. Zwei drei."]);
        assert_eq!(pieces("Eins. Zwei drei.", 12), ["Eins.", "Zwei drei."]);
        assert_eq!(pieces("ما هذا؟ نعم نعم", 10), ["ما هذا؟", "نعم نعم"]);
        assert_eq!(pieces("eins zwei drei", 10), ["eins zwei", "drei"]);
        assert_eq!(pieces("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(
            pieces("Um 9.30 Uhr kommt er", 10),
            ["Um 9.30", "Uhr kommt", "er"]
        );
        assert_eq!(pieces("  ", 3), Vec::<&str>::new());
    }

    #[test]
    fn characters_xml_cannot_hold_are_dropped() {
        assert_eq!(
            clean("a\0b\u{1b}[0m\tc\r\nd\u{FFFF}\u{85}ü😀"),
            "ab[0m c  dü😀"
        );
    }

    proptest! {
        #[test]
        fn no_word_is_lost_and_no_piece_is_too_long(text in "(?s).{0,300}", limit in 1usize..40) {
            let pieces = pieces(&text, limit);
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&pieces.concat()), letters(&text));
            for piece in pieces {
                prop_assert!((1..=limit).contains(&piece.chars().count()));
            }
        }
    }
}
