//! Numbers as callers say them: "two zero zero one", "twenty oh one", "zweitausendeins".

mod words;

use switchhook_model::Language;

use words::{Part, parts, sounds_like};

/// A run of number words and the digits they make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NumberSpan {
    pub(crate) start: usize,
    /// Behind the last word.
    pub(crate) end: usize,
    pub(crate) digits: String,
}

/// All numbers in the words. With `mishearings`, words that only sound like digits count as well
/// ("to" for two): right where a number must stand, wrong anywhere else.
pub(crate) fn number_spans(
    words: &[String],
    language: Language,
    mishearings: bool,
) -> Vec<NumberSpan> {
    let mut spans = Vec::new();
    let mut at = 0;
    while at < words.len() {
        match read_span(&words[at..], language, mishearings) {
            Some((used, digits)) => {
                spans.push(NumberSpan {
                    start: at,
                    end: at + used,
                    digits,
                });
                at += used;
            }
            None => at += 1,
        }
    }
    spans
}

/// Whether a word is a number or a part of one.
pub(crate) fn is_number_word(word: &str, language: Language) -> bool {
    if !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
        return true;
    }
    match parts(word, language) {
        Some(parts) => parts.iter().any(|part| match part {
            Part::Value(_)
            | Part::Tens(_)
            | Part::Round(_)
            | Part::Teen
            | Part::Hundred
            | Part::Thousand => true,
            Part::Repeat(_) | Part::And => false,
        }),
        None => false,
    }
}

/// Whether a word is a number or may be one misheard.
pub(crate) fn may_be_digit(word: &str, language: Language) -> bool {
    is_number_word(word, language) || sounds_like(word, language).is_some()
}

/// Whether a word is no number by itself, but stands within one: "double", "and".
pub(crate) fn is_number_joint(word: &str, language: Language) -> bool {
    parts(word, language).is_some() && !is_number_word(word, language)
}

/// The longest number at the beginning of the words: how many words, and its digits.
fn read_span(words: &[String], language: Language, mishearings: bool) -> Option<(usize, String)> {
    enum Piece {
        Digits(String),
        Parts(Vec<Part>),
    }
    let mut pieces = Vec::new();
    let mut used = 0;
    for (i, word) in words.iter().enumerate() {
        if word.bytes().all(|b| b.is_ascii_digit()) && !word.is_empty() {
            pieces.push(Piece::Digits(word.clone()));
            used = i + 1;
        } else if let Some(parts) = parts(word, language) {
            let only_and = parts == [Part::And];
            let only_repeat = matches!(parts.as_slice(), [Part::Repeat(_)]);
            if only_and && pieces.is_empty() {
                return None;
            }
            pieces.push(Piece::Parts(parts));
            if !only_and && !only_repeat {
                used = i + 1;
            }
        } else if let Some(value) = mishearings.then(|| sounds_like(word, language)).flatten() {
            pieces.push(Piece::Parts(vec![Part::Value(value)]));
            used = i + 1;
        } else if mishearings && word == "or" && !pieces.is_empty() {
            // "Zero" comes out as "near or".
            pieces.push(Piece::Parts(Vec::new()));
        } else if language == Language::De
            && word == "die"
            && matches!(pieces.last(), Some(Piece::Parts(p)) if matches!(p.as_slice(), [Part::Repeat(_)]))
        {
            // "Zweimal die Null".
            pieces.push(Piece::Parts(Vec::new()));
        } else {
            break;
        }
    }
    if used == 0 {
        return None;
    }
    pieces.truncate(used);
    let mut digits = String::new();
    let mut run = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Digits(text) => {
                let repeat = match run.last() {
                    Some(Part::Repeat(n)) => *n,
                    Some(_) | None => 1,
                };
                spell(&run, &mut digits);
                run.clear();
                let (first, rest) = text.split_at(1);
                digits.push_str(&first.repeat(repeat));
                digits.push_str(rest);
            }
            Piece::Parts(parts) => run.extend(parts),
        }
    }
    // "2000 and five", half in figures.
    let (used_parts, rest) = read_rest(&run, false);
    if digits.len() == 4
        && digits.ends_with("000")
        && used_parts == run.len()
        && (1..100).contains(&rest)
    {
        digits.replace_range(2.., &format!("{rest:02}"));
    } else {
        spell(&run, &mut digits);
    }
    (!digits.is_empty()).then_some((used, digits))
}

/// Writes a run of parts as the digits a caller means. Small numbers stand for themselves, one
/// after the other; "hundred" and "thousand" make one number.
fn spell(parts: &[Part], digits: &mut String) {
    let mut at = 0;
    while at < parts.len() {
        match parts[at] {
            Part::Repeat(n) => {
                let value = match parts.get(at + 1) {
                    Some(Part::Value(value)) => *value,
                    Some(_) | None => {
                        at += 1;
                        continue;
                    }
                };
                digits.push_str(&value.to_string().repeat(n));
                at += 2;
            }
            Part::And => at += 1,
            Part::Value(_)
            | Part::Tens(_)
            | Part::Round(_)
            | Part::Teen
            | Part::Hundred
            | Part::Thousand => {
                let (used, number) = read_number(&parts[at..]);
                digits.push_str(&number.to_string());
                at += used.max(1);
            }
        }
    }
}

/// One number in words at the beginning of the parts.
fn read_number(parts: &[Part]) -> (usize, u32) {
    let (mut used, mut number) = read_below_hundred(parts);
    if used == 0 && !matches!(parts.first(), Some(Part::Hundred | Part::Thousand)) {
        return (1, 0);
    }
    if used == 0 {
        // "Tausendeins".
        number = 1;
    }
    match parts.get(used) {
        Some(Part::Thousand) => {
            let (more, rest) = read_rest(&parts[used + 1..], true);
            (used + 1 + more, number * 1000 + rest)
        }
        Some(Part::Hundred) => {
            let (more, rest) = read_rest(&parts[used + 1..], false);
            used += 1 + more;
            let hundreds = number * 100 + rest;
            if parts.get(used) == Some(&Part::Thousand) {
                let (more, rest) = read_rest(&parts[used + 1..], true);
                (used + 1 + more, hundreds * 1000 + rest)
            } else {
                (used, hundreds)
            }
        }
        Some(
            Part::Value(_)
            | Part::Tens(_)
            | Part::Round(_)
            | Part::Teen
            | Part::Repeat(_)
            | Part::And,
        )
        | None => (used, number),
    }
}

/// What follows "hundred" or "thousand", with or without "and".
fn read_rest(parts: &[Part], hundreds_allowed: bool) -> (usize, u32) {
    let and = usize::from(parts.first() == Some(&Part::And));
    let (used, number) = read_below_hundred(&parts[and..]);
    if used == 0 {
        return (0, 0);
    }
    if hundreds_allowed && parts.get(and + used) == Some(&Part::Hundred) {
        let (more, rest) = read_rest(&parts[and + used + 1..], false);
        return (and + used + 1 + more, number * 100 + rest);
    }
    (and + used, number)
}

/// 0 to 99: "twenty", "twenty one", German "ein und zwanzig", Arabic "three ten".
fn read_below_hundred(parts: &[Part]) -> (usize, u32) {
    match parts {
        [Part::Tens(tens), Part::Value(ones @ 1..=9), ..] => (2, tens + ones),
        [
            Part::Value(ones @ 1..=9),
            Part::And,
            Part::Tens(tens) | Part::Round(tens),
            ..,
        ] => (3, tens + ones),
        [Part::Value(ones @ 1..=9), Part::Teen, ..] => (2, 10 + ones),
        [Part::Teen, ..] => (1, 10),
        [
            Part::Tens(value) | Part::Round(value) | Part::Value(value),
            ..,
        ] => (1, *value),
        [
            Part::Hundred | Part::Thousand | Part::Repeat(_) | Part::And,
            ..,
        ]
        | [] => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str, language: Language) -> Vec<String> {
        number_spans(&super::super::normalise(text, language), language, false)
            .into_iter()
            .map(|span| span.digits)
            .collect()
    }

    #[test]
    fn english_numbers() {
        for text in [
            "2001",
            "2 0 0 1",
            "two zero zero one",
            "two oh oh one",
            "two double zero one",
            "twenty oh one",
            "twenty zero one",
            "two thousand one",
            "two thousand and one",
            "2,001",
            "20-01",
            "twenty hundred one",
        ] {
            assert_eq!(digits(text, Language::En), ["2001"], "{text}");
        }
        assert_eq!(digits("one hundred and five", Language::En), ["105"]);
        assert_eq!(digits("forty two", Language::En), ["42"]);
        assert_eq!(digits("seven and then nine", Language::En), ["7", "9"]);
        assert_eq!(digits("and", Language::En), Vec::<String>::new());
    }

    #[test]
    fn german_numbers() {
        for text in [
            "zwei null null eins",
            "zwo null null eins",
            "zweinullnulleins",
            "zwanzig null eins",
            "zwanzignulleins",
            "zweitausendeins",
            "zwei tausend eins",
            "zwei zweimal die null eins",
            "zwei doppel null eins",
            "2 0 0 1",
            "zweitausendundeins",
        ] {
            assert_eq!(digits(text, Language::De), ["2001"], "{text}");
        }
        assert_eq!(digits("einundzwanzig", Language::De), ["21"]);
        assert_eq!(digits("zwanzig einundzwanzig", Language::De), ["2021"]);
        assert_eq!(digits("hundertfünf", Language::De), ["105"]);
        assert_eq!(digits("ein Tisch", Language::De), Vec::<String>::new());
    }

    #[test]
    fn arabic_numbers() {
        for text in [
            "٢٠٠١",
            "۲۰۰۱",
            "اثنين صفر صفر واحد",
            "اتنين صفرين واحد",
            "ألفين وواحد",
            "عشرين صفر واحد",
        ] {
            assert_eq!(digits(text, Language::Ar), ["2001"], "{text}");
        }
        assert_eq!(digits("خمسة وعشرون", Language::Ar), ["25"]);
        assert_eq!(digits("تسعين خمسة وأربعين", Language::Ar), ["9045"]);
        assert_eq!(digits("ثلاثة عشر", Language::Ar), ["13"]);
        assert_eq!(digits("حداشر", Language::Ar), ["11"]);
        assert_eq!(digits("ثلاثمئة وخمسة", Language::Ar), ["305"]);
    }

    #[test]
    fn sounds_count_only_where_a_number_must_stand() {
        let words = super::super::normalise("to zero zero won", Language::En);
        assert_eq!(number_spans(&words, Language::En, true)[0].digits, "2001");
        assert_eq!(number_spans(&words, Language::En, false)[0].digits, "00");
        let words = super::super::normalise("to near or near or one", Language::En);
        assert_eq!(number_spans(&words, Language::En, true)[0].digits, "2001");
        let words = super::super::normalise("2000 and five", Language::En);
        assert_eq!(number_spans(&words, Language::En, false)[0].digits, "2005");
    }

    #[test]
    fn odd_runs_do_not_overflow() {
        for text in [
            "thousand thousand thousand",
            "hundred and",
            "double",
            "ninety nine thousand nine hundred ninety nine thousand",
        ] {
            digits(text, Language::En);
        }
    }
}
