//! Numbers as callers say them: "two zero zero one", "twenty oh one", "zweitausendeins".

use switchhook_model::Language;

/// A run of number words and the digits they make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NumberSpan {
    pub(crate) start: usize,
    /// Behind the last word.
    pub(crate) end: usize,
    pub(crate) digits: String,
}

/// What one word means within a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// 0 to 19.
    Value(u32),
    /// 20, 30 … 90.
    Tens(u32),
    Hundred,
    Thousand,
    /// The next digit twice or three times.
    Repeat(usize),
    And,
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
            Part::Value(_) | Part::Tens(_) | Part::Hundred | Part::Thousand => true,
            Part::Repeat(_) | Part::And => false,
        }),
        None => false,
    }
}

/// Whether a word is a number or may be one misheard.
pub(crate) fn may_be_digit(word: &str, language: Language) -> bool {
    is_number_word(word, language) || sounds_like(word, language).is_some()
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
            Part::Value(_) | Part::Tens(_) | Part::Hundred | Part::Thousand => {
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
        Some(Part::Value(_) | Part::Tens(_) | Part::Repeat(_) | Part::And) | None => (used, number),
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

/// 0 to 99: "twenty", "twenty one", German "ein und zwanzig".
fn read_below_hundred(parts: &[Part]) -> (usize, u32) {
    match parts {
        [Part::Tens(tens), Part::Value(ones @ 1..=9), ..] => (2, tens + ones),
        [Part::Value(ones @ 1..=9), Part::And, Part::Tens(tens), ..] => (3, tens + ones),
        [Part::Tens(value), ..] | [Part::Value(value), ..] => (1, *value),
        [
            Part::Hundred | Part::Thousand | Part::Repeat(_) | Part::And,
            ..,
        ]
        | [] => (0, 0),
    }
}

fn parts(word: &str, language: Language) -> Option<Vec<Part>> {
    match language {
        Language::En => english(word).map(|part| vec![part]),
        Language::De => german(word),
        Language::Ar => arabic(word).map(|part| vec![part]),
    }
}

fn english(word: &str) -> Option<Part> {
    Some(match word {
        "zero" | "oh" | "o" | "nought" | "naught" | "null" => Part::Value(0),
        "one" => Part::Value(1),
        "two" => Part::Value(2),
        "three" => Part::Value(3),
        "four" => Part::Value(4),
        "five" => Part::Value(5),
        "six" => Part::Value(6),
        "seven" => Part::Value(7),
        "eight" => Part::Value(8),
        "nine" | "niner" => Part::Value(9),
        "ten" => Part::Value(10),
        "eleven" => Part::Value(11),
        "twelve" => Part::Value(12),
        "thirteen" => Part::Value(13),
        "fourteen" => Part::Value(14),
        "fifteen" => Part::Value(15),
        "sixteen" => Part::Value(16),
        "seventeen" => Part::Value(17),
        "eighteen" => Part::Value(18),
        "nineteen" => Part::Value(19),
        "twenty" => Part::Tens(20),
        "thirty" => Part::Tens(30),
        "forty" | "fourty" => Part::Tens(40),
        "fifty" => Part::Tens(50),
        "sixty" => Part::Tens(60),
        "seventy" => Part::Tens(70),
        "eighty" => Part::Tens(80),
        "ninety" => Part::Tens(90),
        "hundred" => Part::Hundred,
        "thousand" => Part::Thousand,
        "double" => Part::Repeat(2),
        "triple" => Part::Repeat(3),
        "and" => Part::And,
        _ => return None,
    })
}

/// German writes numbers as one word, and recognisers glue digits together: the word is cut into
/// its pieces, the longest first.
fn german(word: &str) -> Option<Vec<Part>> {
    const PIECES: &[(&str, Part)] = &[
        ("null", Part::Value(0)),
        ("eins", Part::Value(1)),
        ("einen", Part::Value(1)),
        ("zwei", Part::Value(2)),
        ("zwo", Part::Value(2)),
        ("dreizehn", Part::Value(13)),
        ("dreissig", Part::Tens(30)),
        ("drei", Part::Value(3)),
        ("vierzehn", Part::Value(14)),
        ("vierzig", Part::Tens(40)),
        ("vier", Part::Value(4)),
        ("fuenfzehn", Part::Value(15)),
        ("fuenfzig", Part::Tens(50)),
        ("fuenf", Part::Value(5)),
        ("sechzehn", Part::Value(16)),
        ("sechzig", Part::Tens(60)),
        ("sechs", Part::Value(6)),
        ("siebzehn", Part::Value(17)),
        ("siebzig", Part::Tens(70)),
        ("sieben", Part::Value(7)),
        ("achtzehn", Part::Value(18)),
        ("achtzig", Part::Tens(80)),
        ("acht", Part::Value(8)),
        ("neunzehn", Part::Value(19)),
        ("neunzig", Part::Tens(90)),
        ("neun", Part::Value(9)),
        ("zehn", Part::Value(10)),
        ("elf", Part::Value(11)),
        ("zwoelf", Part::Value(12)),
        ("zwanzig", Part::Tens(20)),
        ("hundert", Part::Hundred),
        ("tausend", Part::Thousand),
        ("doppel", Part::Repeat(2)),
        ("doppelt", Part::Repeat(2)),
        ("zweimal", Part::Repeat(2)),
        ("dreimal", Part::Repeat(3)),
        ("und", Part::And),
        ("ein", Part::Value(1)),
    ];
    // "Ein" alone is an article.
    if matches!(word, "ein" | "einen") || word.len() > 64 {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = word;
    while !rest.is_empty() {
        let (piece, part) = PIECES
            .iter()
            .filter(|(piece, _)| rest.starts_with(piece))
            .max_by_key(|(piece, _)| piece.len())?;
        parts.push(*part);
        rest = &rest[piece.len()..];
    }
    (!parts.is_empty()).then_some(parts)
}

fn arabic(word: &str) -> Option<Part> {
    let word = word
        .strip_prefix('و')
        .filter(|w| w.chars().count() > 2)
        .unwrap_or(word);
    Some(match word {
        "صفر" => Part::Value(0),
        "واحد" | "احد" => Part::Value(1),
        "اثنين" | "اثنان" | "اتنين" => Part::Value(2),
        "ثلاثه" | "تلاته" => Part::Value(3),
        "اربعه" => Part::Value(4),
        "خمسه" => Part::Value(5),
        "سته" => Part::Value(6),
        "سبعه" => Part::Value(7),
        "ثمانيه" | "تمانيه" => Part::Value(8),
        "تسعه" => Part::Value(9),
        "عشره" => Part::Value(10),
        "عشرين" | "عشرون" => Part::Tens(20),
        _ => return None,
    })
}

/// Words a recogniser writes for digits.
fn sounds_like(word: &str, language: Language) -> Option<u32> {
    let value = match (language, word) {
        (Language::En, "owe" | "ho" | "row" | "nero" | "near" | "nearer" | "mirror" | "xero") => 0,
        (Language::En, "won" | "wun") => 1,
        (Language::En, "to" | "too" | "tu") => 2,
        (Language::En, "tree" | "free") => 3,
        (Language::En, "for" | "fore" | "foe") => 4,
        (Language::En, "fife" | "hive" | "time" | "times") => 5,
        (Language::En, "sex" | "sics") => 6,
        (Language::En, "ate" | "hate") => 8,
        (Language::En, "nein" | "mine") => 9,
        (Language::De, "nul" | "nulle") => 0,
        (Language::De, "ein" | "eines") => 1,
        (Language::De, "zwai" | "so" | "two") => 2,
        (Language::De, "frei") => 3,
        (Language::De, "fuer" | "wir") => 4,
        (Language::De, "fuenft") => 5,
        (Language::De, "lieben") => 7,
        (Language::De, "nein" | "neu") => 9,
        (Language::En | Language::De | Language::Ar, _) => return None,
    };
    Some(value)
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
        assert_eq!(digits("hundertfünf", Language::De), ["105"]);
        assert_eq!(digits("ein Tisch", Language::De), Vec::<String>::new());
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
