//! The digits in what a caller said, where digits were asked for.
//!
//! Here, and only here, words that merely sound like digits count: "for two to won" is a PIN when a
//! PIN was asked for. At the edge of the digits such a word may still be an ordinary one ("change
//! it *to* 1 2 3 4", "1 2 3 4 *for* my account"); then the length a PIN has decides.

use switchhook_model::Language;

use super::{MAX_DIGITS, MIN_DIGITS};
use crate::intent::{is_number_joint, is_number_word, may_be_digit, normalise, number_spans};

/// What a word is among digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Number,
    /// Part of a number, none by itself: "double", "and".
    Joint,
    /// Sounds like a digit.
    Sound,
    Other,
}

/// Words without anything but digits between them.
#[derive(Debug, Default)]
struct Run {
    words: Vec<(String, Role)>,
    /// The word before it; None at the beginning.
    before: Option<String>,
    /// The word behind it; None at the end.
    after: Option<String>,
}

/// The digits a caller said when asked for digits, e.g. `"1234"` of "my pin is twelve thirty-four,
/// please". Where several groups were said, the last one that can be a PIN ("… no, sorry, …");
/// otherwise all of them together. None without any digit. Recognised are figures, number words
/// (one after the other, and as numbers up to thousands), "double" and "triple", and words that
/// only sound like digits.
pub fn spoken_digits(text: &str, language: Language) -> Option<String> {
    let text = match language {
        Language::En => without_sigh(text),
        Language::De | Language::Ar => text,
    };
    let runs = runs(text, language);
    let with_numbers = runs
        .iter()
        .any(|run| run.words.iter().any(|(_, role)| *role == Role::Number));
    let groups: Vec<String> = runs
        .iter()
        .map(|run| digits_of(run, language))
        .zip(&runs)
        .filter(|(digits, run)| {
            let certain = run.words.iter().any(|(_, role)| *role == Role::Number);
            // Sounds alone are digits only where nothing else is, and enough of them.
            !digits.is_empty() && (certain || (!with_numbers && digits.len() >= MIN_DIGITS))
        })
        .map(|(digits, _)| digits)
        .collect();
    if let Some(pin) = groups.iter().rev().find(|digits| has_pin_length(digits)) {
        return Some(pin.clone());
    }
    let all = groups.concat();
    (!all.is_empty()).then_some(all)
}

/// Whether somebody says zero and nothing else: the key for a human, spoken. "Oh" is no such word.
pub(super) fn is_spoken_zero(text: &str, language: Language) -> bool {
    let words = normalise(text, language);
    let zero: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !is_hesitation(word, language) && !is_courtesy(word, language))
        .collect();
    matches!(
        (language, zero.as_slice()),
        (_, ["0"])
            | (Language::En, ["zero"])
            | (Language::De, ["null"] | ["die", "null"])
            | (Language::Ar, ["صفر"] | ["زيرو"])
    )
}

fn has_pin_length(digits: &str) -> bool {
    (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len())
}

fn runs(text: &str, language: Language) -> Vec<Run> {
    let words: Vec<String> = normalise(text, language)
        .into_iter()
        .filter(|word| !is_hesitation(word, language))
        .collect();
    let mut runs: Vec<Run> = Vec::new();
    let mut open = false;
    let mut before: Option<(&String, Role)> = None;
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).map(String::as_str);
        let role = role(word, before.map(|(_, role)| role), next, language);
        if role == Role::Other {
            if let Some(run) = runs.last_mut().filter(|_| open) {
                run.after = Some(word.clone());
            }
            open = false;
        } else {
            if !open {
                runs.push(Run {
                    before: before.map(|(word, _)| word.clone()),
                    ..Run::default()
                });
                open = true;
            }
            if let Some(run) = runs.last_mut() {
                run.words.push((word.clone(), role));
            }
        }
        before = Some((word, role));
    }
    runs
}

fn role(word: &str, before: Option<Role>, next: Option<&str>, language: Language) -> Role {
    let is_moment = language == Language::En
        && word == "one"
        && matches!(next, Some("moment" | "second" | "sec" | "minute"));
    if is_moment {
        return Role::Other;
    }
    match (language, word, before) {
        // A zero, or a sigh.
        (Language::En, "oh" | "o", _) => return Role::Sound,
        // "Near or" is a zero too, and "zweimal die Null" two of them.
        (Language::En, "or", Some(Role::Number | Role::Sound))
        | (Language::De, "die", Some(Role::Joint)) => return Role::Joint,
        (_, _, _) => {}
    }
    if is_number_word(word, language) {
        Role::Number
    } else if is_number_joint(word, language) {
        Role::Joint
    } else if may_be_digit(word, language) {
        Role::Sound
    } else {
        Role::Other
    }
}

/// The digits of a run, without ordinary words at its edges that only sound like one.
fn digits_of(run: &Run, language: Language) -> String {
    let spell = |words: &[(String, Role)]| -> String {
        let words: Vec<String> = words.iter().map(|(word, _)| word.clone()).collect();
        number_spans(&words, language, true)
            .into_iter()
            .map(|span| span.digits)
            .collect()
    };
    let words = run.words.as_slice();
    let sounds_before = words
        .iter()
        .take_while(|(_, role)| *role == Role::Sound)
        .count();
    let (first, rest) = words.split_at(sounds_before);
    let sounds_behind = rest
        .iter()
        .rev()
        .take_while(|(_, role)| *role == Role::Sound)
        .count();
    let (core, last) = rest.split_at(rest.len() - sounds_behind);
    let drops_first = match &run.before {
        Some(before) => !introduces_digits(before, language),
        None => first
            .iter()
            .all(|(word, _)| is_interjection(word, language)),
    };
    let drops_last = run
        .after
        .as_ref()
        .is_some_and(|after| !is_courtesy(after, language));
    let first: &[(String, Role)] = if drops_first { &[] } else { first };
    let last: &[(String, Role)] = if drops_last { &[] } else { last };
    let trimmed = spell(&[first, core, last].concat());
    if has_pin_length(&trimmed) {
        trimmed
    } else {
        spell(words)
    }
}

/// Said between digits, and no word of its own.
fn is_hesitation(word: &str, language: Language) -> bool {
    let words: &[&str] = match language {
        Language::En => &[
            "uh", "uhm", "um", "er", "erm", "hm", "hmm", "then", "comma", "dash", "space", "dot",
        ],
        Language::De => &[
            "aeh", "aehm", "oeh", "oehm", "hm", "hmm", "dann", "danach", "also", "komma", "strich",
        ],
        Language::Ar => &["اه", "امم", "ثم", "بعدين", "يعني", "فاصله"],
    };
    words.contains(&word)
}

/// May stand behind the digits, or before them.
fn is_courtesy(word: &str, language: Language) -> bool {
    let words: &[&str] = match language {
        Language::En => &["please", "thanks", "thank", "hash", "pound"],
        Language::De => &["bitte", "danke", "raute"],
        Language::Ar => &["فضلك", "شكرا", "من", "لو", "سمحت", "مربع"],
    };
    words.contains(&word)
}

/// What stands behind it is the PIN, even if it only sounds like digits.
fn introduces_digits(word: &str, language: Language) -> bool {
    let words: &[&str] = match language {
        Language::En => &["is", "are", "be", "says", "pin", "number"],
        Language::De => &["ist", "sind", "lautet", "heisst", "waere", "pin", "nummer"],
        Language::Ar => &["هو", "هي", "السري"],
    };
    words.contains(&word)
}

/// Opens an utterance more often than it is a digit.
fn is_interjection(word: &str, language: Language) -> bool {
    match language {
        Language::De => matches!(word, "so" | "nein" | "wir" | "fuer"),
        Language::En | Language::Ar => false,
    }
}

/// "Oh, 1234" begins with a sigh, "oh one two three" and "oh, one, two, three" with a zero.
fn without_sigh(text: &str) -> &str {
    let text = text.trim_start();
    let rest = text.get(..2).filter(|oh| oh.eq_ignore_ascii_case("oh"));
    let rest = rest.and_then(|_| text[2..].strip_prefix([',', '!', '.', '…']));
    match rest {
        Some(rest) if !rest.contains(',') => rest,
        Some(_) | None => text,
    }
}
