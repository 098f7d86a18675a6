//! From a transcript to comparable words: no case, no punctuation, no contractions, no umlauts.

use switchhook_model::Language;

/// Longer utterances are cut: nobody asks for a human after two hundred words, and the matcher
/// keeps positions in 128 bits.
pub(crate) const MAX_WORDS: usize = 126;

/// The words of a text in the form the phrase lists are kept in.
pub fn normalise(text: &str, language: Language) -> Vec<String> {
    let mut clean = String::with_capacity(text.len());
    let chars: Vec<char> = text.chars().take(4_000).collect();
    for (i, c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|i| chars.get(i)).copied();
        let after = chars.get(i + 1).copied();
        let digit_before = before.is_some_and(|c| c.is_ascii_digit());
        let digit_after = after.is_some_and(|c| c.is_ascii_digit());
        match c {
            // Arabic vowel signs and stretching are no letters of their own.
            '\u{064B}'..='\u{0652}' | '\u{0640}' | '\u{0670}' => {}
            '\'' | '’' | '‘' | '`' | '´' => clean.push('\''),
            // Thousands: 2,001 is one number.
            ',' | '.' if digit_before && digit_after && three_digits_follow(&chars[i + 1..]) => {}
            '$' => clean.push_str(" dollars "),
            '€' => clean.push_str(" euro "),
            '£' => clean.push_str(" pounds "),
            '%' => clean.push_str(" percent "),
            c if c.is_alphanumeric() => {
                let letter_meets_digit = (c.is_ascii_digit()
                    && before.is_some_and(char::is_alphabetic))
                    || (c.is_alphabetic() && digit_before);
                // Recognisers glue words: "MeToExtension2001".
                let new_word = c.is_uppercase() && before.is_some_and(char::is_lowercase);
                if letter_meets_digit || new_word {
                    clean.push(' ');
                }
                fold(*c, &mut clean);
            }
            '.' | '-' | '–' | '—' | '/' | ':' => clean.push(' '),
            _ => clean.push(' '),
        }
    }
    let mut words = Vec::new();
    for word in clean.split_whitespace() {
        expand(word, language, &mut words);
        if words.len() >= MAX_WORDS {
            words.truncate(MAX_WORDS);
            break;
        }
    }
    words
}

/// Exactly three digits, then something else: a thousands separator stood before them.
fn three_digits_follow(rest: &[char]) -> bool {
    rest.iter().take_while(|c| c.is_ascii_digit()).count() == 3
}

fn fold(c: char, out: &mut String) {
    for lower in c.to_lowercase() {
        match lower {
            'ä' => out.push_str("ae"),
            'ö' => out.push_str("oe"),
            'ü' => out.push_str("ue"),
            'ß' => out.push_str("ss"),
            'é' | 'è' | 'ê' => out.push('e'),
            'á' | 'à' | 'â' => out.push('a'),
            'ó' | 'ò' | 'ô' => out.push('o'),
            'أ' | 'إ' | 'آ' => out.push('ا'),
            'ة' => out.push('ه'),
            'ى' => out.push('ي'),
            // Arabic-Indic digits are digits.
            '٠'..='٩' => out.extend(char::from_digit(u32::from(lower) - 0x0660, 10)),
            '۰'..='۹' => out.extend(char::from_digit(u32::from(lower) - 0x06F0, 10)),
            // A combining mark left over by lower-casing.
            '\u{0300}'..='\u{036F}' => {}
            other => out.push(other),
        }
    }
}

/// Contractions in full, so that "I'd like" and "I would like" are one phrase.
fn expand(word: &str, language: Language, out: &mut Vec<String>) {
    let word = word.trim_matches('\'');
    if word.is_empty() {
        return;
    }
    let mut push = |parts: &[&str]| out.extend(parts.iter().map(|p| (*p).to_owned()));
    match language {
        Language::En => {
            let whole: Option<&[&str]> = match word {
                "can't" | "cant" | "cannot" => Some(&["can", "not"]),
                "won't" | "wont" => Some(&["will", "not"]),
                "dont" => Some(&["do", "not"]),
                "doesnt" => Some(&["does", "not"]),
                "didnt" => Some(&["did", "not"]),
                "isnt" => Some(&["is", "not"]),
                "thats" => Some(&["that", "is"]),
                "thatll" => Some(&["that", "will"]),
                "whats" => Some(&["what", "is"]),
                "im" => Some(&["i", "am"]),
                "ive" => Some(&["i", "have"]),
                "youve" => Some(&["you", "have"]),
                "wanna" => Some(&["want", "to"]),
                "gonna" => Some(&["going", "to"]),
                "gotta" => Some(&["got", "to"]),
                "lemme" => Some(&["let", "me"]),
                "gimme" => Some(&["give", "me"]),
                "let's" | "lets" => Some(&["let", "us"]),
                _ => None,
            };
            if let Some(parts) = whole {
                push(parts);
                return;
            }
            let endings = [
                ("n't", "not"),
                ("'d", "would"),
                ("'ll", "will"),
                ("'m", "am"),
                ("'re", "are"),
                ("'ve", "have"),
                ("'s", "is"),
            ];
            for (ending, full) in endings {
                if let Some(stem) = word.strip_suffix(ending).filter(|s| !s.is_empty()) {
                    push(&[&stem.replace('\'', ""), full]);
                    return;
                }
            }
        }
        Language::De => {
            let stem = [
                "war's", "geht's", "gibt's", "mach's", "ist's", "habe's", "wär's",
            ]
            .contains(&word)
            .then(|| word.trim_end_matches("'s"));
            if let Some(stem) = stem {
                push(&[stem, "es"]);
                return;
            }
            match word {
                "wars" => return push(&["war", "es"]),
                "gibts" => return push(&["gibt", "es"]),
                "machs" => return push(&["mach", "es"]),
                "hab" => return push(&["habe"]),
                _ => {}
            }
        }
        Language::Ar => {}
    }
    let bare = word.replace('\'', "");
    if !bare.is_empty() {
        push(&[&bare]);
    }
}

/// Replaces each run of words by another, leftmost first, without reading its own output again.
pub(crate) fn replace_all(tokens: &mut Vec<String>, pairs: &[(Vec<String>, Vec<String>)]) {
    for (heard, meant) in pairs {
        if heard.is_empty() || heard.len() > tokens.len() {
            continue;
        }
        let mut out = Vec::with_capacity(tokens.len());
        let mut at = 0;
        let mut changed = false;
        while at < tokens.len() {
            if tokens[at..].starts_with(heard) {
                out.extend(meant.iter().cloned());
                at += heard.len();
                changed = true;
            } else {
                out.push(tokens[at].clone());
                at += 1;
            }
        }
        if changed {
            out.truncate(MAX_WORDS);
            *tokens = out;
        }
    }
}

/// "Agent, agent, agent" is one agent; "zero zero" stays two zeros.
pub(crate) fn join_repeats(tokens: &mut Vec<String>, language: Language) {
    tokens.dedup_by(|b, a| a == b && !super::numbers::may_be_digit(a, language));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, language: Language) -> String {
        normalise(text, language).join(" ")
    }

    #[test]
    fn spelling_is_levelled() {
        let cases = [
            (
                "I'd like to speak to a REAL-person, please!",
                "i would like to speak to a real person please",
            ),
            ("That’s all, don't worry", "that is all do not worry"),
            ("ext. 2,001 or 20:01 or 7pm", "ext 2001 or 20 01 or 7 pm"),
            ("$50 and 3.50", "dollars 50 and 3 50"),
            (
                "Transfer MeToExtension2001",
                "transfer me to extension 2001",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text, Language::En), expected);
        }
        assert_eq!(
            words("Tschüß! Das war’s, Herr Größe.", Language::De),
            "tschuess das war es herr groesse"
        );
        assert_eq!(words("مع السَّلامة ٢٠", Language::Ar), "مع السلامه 20");
    }

    #[test]
    fn mishearings_are_mended_once() {
        let mut tokens = normalise("transport this call and this call", Language::En);
        let pair = (
            normalise("this call", Language::En),
            normalise("this call please", Language::En),
        );
        replace_all(&mut tokens, &[pair]);
        assert_eq!(
            tokens.join(" "),
            "transport this call please and this call please"
        );
    }
}
