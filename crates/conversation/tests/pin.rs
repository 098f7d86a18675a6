//! PINs as callers say and press them: a corpus for each language, whole exchanges, and what must
//! hold whatever comes in.

use std::collections::BTreeSet;

use proptest::prelude::*;
use switchhook_conversation::intent::{Matcher, TransferWish};
use switchhook_conversation::pin::{MAX_DIGITS, MIN_DIGITS, PinText};
use switchhook_conversation::{
    ConversationConfig, LocalZone, Pin, PinCheck, PinConfig, PinTexts, Verdict, spoken_digits,
};
use switchhook_model::{Digit, Language};

fn phrases(language: Language) -> Matcher {
    Matcher::new(&ConversationConfig::new(language, LocalZone::utc()))
}

fn pin(digits: &str) -> Verdict {
    Verdict::Try(Pin::new(digits).expect("four to six digits"))
}

fn check_corpus(language: Language, corpus: &str) {
    let phrases = phrases(language);
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in corpus
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        let (mark, text) = line.split_once(' ').expect("a mark and a phrase");
        count += 1;
        // A recogniser may get the case wrong.
        for variant in [text.to_owned(), text.to_lowercase(), text.to_uppercase()] {
            let found = spoken_digits(&variant, language);
            let expected = match mark {
                "-" => None,
                digits => Some(digits.trim_start_matches('=')),
            };
            if found.as_deref() != expected {
                wrong.push(format!(
                    "{variant:?}: expected {expected:?}, found {found:?}"
                ));
                break;
            }
            let mut check = PinCheck::new(language, PinConfig::default());
            let verdict = check.speech(&variant, &phrases).expect("it is asking");
            let expected = match mark {
                digits if digits.starts_with(|c: char| c.is_ascii_digit()) => pin(digits),
                _ => Verdict::NotAPin,
            };
            if verdict != expected {
                wrong.push(format!("{variant:?}: the verdict is not what it says"));
                break;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count >= 40, "only {count} phrases");
}

#[test]
fn english_pins_are_understood() {
    check_corpus(Language::En, include_str!("corpus/pin_en.txt"));
}

#[test]
fn german_pins_are_understood() {
    check_corpus(Language::De, include_str!("corpus/pin_de.txt"));
}

#[test]
fn arabic_pins_are_understood() {
    check_corpus(Language::Ar, include_str!("corpus/pin_ar.txt"));
}

fn asking() -> PinCheck {
    PinCheck::new(Language::En, PinConfig::default())
}

fn press(check: &mut PinCheck, keys: &str) -> Vec<Verdict> {
    keys.chars()
        .filter_map(|key| check.key(Digit::try_from(key).expect("a key")))
        .collect()
}

#[test]
fn the_keypad_ends_with_hash() {
    let mut check = asking();
    assert_eq!(press(&mut check, "1234"), []);
    assert_eq!(press(&mut check, "#"), [pin("1234")]);
    // While it is looked up, nothing else counts.
    assert_eq!(check.text(), None);
    assert_eq!(press(&mut check, "5678#"), []);
    check.accepted(Some("Ada"));
    assert!(check.is_known());
    assert_eq!(
        check.to_say(&PinTexts::defaults(Language::En)).as_deref(),
        Some("Welcome back, Ada. How can I help you?")
    );
    assert_eq!(check.refused(2), None);
    assert!(check.is_known(), "a late refusal changes nothing");

    assert_eq!(press(&mut asking(), "12#"), [Verdict::NotAPin]);
    assert_eq!(press(&mut asking(), "1234567#"), [Verdict::NotAPin]);
    assert_eq!(press(&mut asking(), "99*012345#"), [pin("012345")]);
    assert_eq!(press(&mut asking(), "#"), [Verdict::NotAPin]);
}

#[test]
fn a_carrier_hands_back_whole_entries() {
    assert_eq!(asking().keys("1234"), Some(pin("1234")));
    assert_eq!(asking().keys("1234#"), Some(pin("1234")));
    assert_eq!(asking().keys("12#34"), Some(Verdict::NotAPin));
    assert_eq!(asking().keys("12w"), Some(Verdict::NotAPin));
    let mut check = asking();
    assert_eq!(check.keys(""), Some(Verdict::NotAPin));
    assert_eq!(check.text(), Some(PinText::NothingHeard));
    // Keys one by one, and then a pause instead of the hash key.
    let mut check = asking();
    assert_eq!(press(&mut check, "4711"), []);
    assert_eq!(check.nothing(), Some(pin("4711")));
}

#[test]
fn wrong_pins_are_bounded_by_call_and_by_account() {
    let mut check = asking();
    for left in [9, 8] {
        assert_eq!(check.keys("1234"), Some(pin("1234")));
        assert_eq!(check.refused(left), Some(Verdict::Wrong));
        assert_eq!(check.text(), Some(PinText::Wrong));
    }
    assert_eq!(check.keys("1234"), Some(pin("1234")));
    assert_eq!(check.refused(7), Some(Verdict::Locked));
    assert_eq!(check.keys("1234"), Some(Verdict::Locked));
    assert_eq!(
        check.speech("one two three four", &phrases(Language::En)),
        Some(Verdict::Locked)
    );
    check.accepted(Some("Mallory"));
    assert!(!check.is_known(), "a lock is not opened by a late answer");

    let mut check = asking();
    check.keys("1234");
    assert_eq!(check.refused(0), Some(Verdict::Locked));
    let mut check = asking();
    assert_eq!(check.locked(), Some(Verdict::Locked));
    assert_eq!(check.text(), Some(PinText::Locked));
}

#[test]
fn silence_and_nonsense_are_bounded_together() {
    let mut check = asking();
    assert_eq!(check.nothing(), Some(Verdict::NotAPin));
    assert_eq!(
        check.speech("what do you mean", &phrases(Language::En)),
        Some(Verdict::NotAPin)
    );
    assert_eq!(check.text(), Some(PinText::NotAPin));
    assert_eq!(check.keys("1"), Some(Verdict::GiveUp));
    assert_eq!(check.text(), Some(PinText::GiveUp));
    assert_eq!(check.nothing(), Some(Verdict::GiveUp));
}

#[test]
fn accounts_out_of_reach_are_no_wrong_pin() {
    let mut check = asking();
    for _ in 0..2 {
        check.keys("1234");
        assert_eq!(check.unavailable(), Some(Verdict::NotAPin));
        assert_eq!(check.text(), Some(PinText::Trouble));
    }
    check.keys("1234");
    assert_eq!(check.unavailable(), Some(Verdict::GiveUp));
}

#[test]
fn a_human_is_reached_without_a_pin_where_that_is_allowed() {
    let wishes = |check: &mut PinCheck, language: Language, text: &str| {
        check
            .speech(text, &phrases(language))
            .expect("it is asking")
    };
    for (language, text) in [
        (Language::En, "I want to speak to a human"),
        (Language::En, "Transfer me to extension two zero zero one"),
        (Language::En, "zero"),
        (Language::De, "Ich möchte mit einem Mitarbeiter sprechen"),
        (Language::De, "Null, bitte"),
        (Language::Ar, "أريد التحدث مع موظف"),
        (Language::Ar, "صفر"),
    ] {
        let mut check = PinCheck::new(language, PinConfig::default());
        assert!(
            matches!(wishes(&mut check, language, text), Verdict::Human(_)),
            "{text}"
        );
        assert_eq!(check.text(), None);
        let config = PinConfig {
            human_without_pin: false,
            ..PinConfig::default()
        };
        let mut check = PinCheck::new(language, config);
        assert_eq!(
            wishes(&mut check, language, text),
            Verdict::NotAPin,
            "{text}"
        );
        let said = check.to_say(&PinTexts::defaults(language)).expect("asks");
        let hint = PinTexts::defaults(language).human;
        assert!(!said.contains(&hint), "what is off is not mentioned");
    }
    let human = Verdict::Human(TransferWish::default());
    assert_eq!(asking().keys("0"), Some(human.clone()));
    assert_eq!(press(&mut asking(), "0#"), [human]);
    // A PIN may begin with zero.
    assert_eq!(press(&mut asking(), "0123#"), [pin("0123")]);

    // Nobody was reached: the question again, and what was missed still counts.
    let mut check = asking();
    check.nothing();
    check.nothing();
    check.keys("0");
    check.ask_again();
    assert_eq!(check.text(), Some(PinText::Prompt));
    assert_eq!(check.nothing(), Some(Verdict::GiveUp));
}

#[test]
fn a_goodbye_ends_the_question() {
    let verdict = asking().speech("Okay, goodbye", &phrases(Language::En));
    assert_eq!(verdict, Some(Verdict::GiveUp));
}

#[test]
fn every_language_has_its_own_texts() {
    let texts = [
        PinText::Prompt,
        PinText::NothingHeard,
        PinText::NotAPin,
        PinText::Wrong,
        PinText::Trouble,
        PinText::Locked,
        PinText::GiveUp,
        PinText::Welcome,
        PinText::WelcomeUnnamed,
    ];
    let mut seen = BTreeSet::new();
    for language in [Language::En, Language::De, Language::Ar] {
        let own = PinTexts::defaults(language);
        for text in texts {
            let words = own.get(text);
            assert!(!words.contains("  "), "{words}");
            assert_eq!(words.contains("{name}"), text == PinText::Welcome);
            assert!(seen.insert(words.to_owned()), "{words} twice");
        }
    }
}

#[test]
fn a_name_cannot_add_to_what_is_said() {
    let mut check = asking();
    check.keys("1234");
    check.accepted(Some(&format!("Ada\n\u{7}  {}", "x".repeat(500))));
    let said = check
        .to_say(&PinTexts::defaults(Language::En))
        .expect("a welcome");
    assert!(
        said.contains("Ada xxx") && said.chars().count() < 120,
        "{said}"
    );
    let mut check = asking();
    check.keys("1234");
    check.accepted(Some("  "));
    assert_eq!(check.text(), Some(PinText::WelcomeUnnamed));
}

#[test]
fn neither_debug_nor_the_stored_form_tells_digits_of_an_entry() {
    let mut check = asking();
    press(&mut check, "73");
    let stored = serde_json::to_string(&check).expect("serialises");
    let shown = format!("{check:?} {stored}");
    assert!(!shown.contains("73"), "{shown}");
    press(&mut check, "918");
    let verdict = check.key(Digit::try_from('#').expect("a key"));
    assert_eq!(verdict, Some(pin("73918")));
    let stored = serde_json::to_string(&check).expect("serialises");
    let shown = format!("{check:?} {verdict:?} {stored}");
    assert!(!shown.contains("73") && !shown.contains("918"), "{shown}");
}

/// What may happen during the question.
#[derive(Debug, Clone)]
enum Op {
    Key(char),
    Keys(String),
    Speech(String),
    Nothing,
    Accepted,
    Refused(u32),
    Locked,
    Unavailable,
    AskAgain,
    Restored,
}

fn op() -> impl Strategy<Value = Op> {
    let key = prop_oneof![
        Just('0'),
        Just('1'),
        Just('2'),
        Just('7'),
        Just('9'),
        Just('#'),
        Just('*'),
        Just('A')
    ];
    let word = prop_oneof![
        Just("one"),
        Just("to"),
        Just("twelve"),
        Just("double"),
        Just("and"),
        Just("please"),
        Just("zero"),
        Just("9999"),
        Just("human"),
        Just("goodbye"),
        Just("transfer me"),
        Just("oh"),
        Just("hundred"),
    ];
    prop_oneof![
        8 => key.prop_map(Op::Key),
        3 => "[0-9#*]{0,9}".prop_map(Op::Keys),
        3 => proptest::collection::vec(word, 0..9).prop_map(|words| Op::Speech(words.join(" "))),
        1 => "\\PC{0,40}".prop_map(Op::Speech),
        2 => Just(Op::Nothing),
        1 => Just(Op::Accepted),
        3 => (0..5_u32).prop_map(Op::Refused),
        1 => Just(Op::Locked),
        1 => Just(Op::Unavailable),
        2 => Just(Op::AskAgain),
        2 => Just(Op::Restored),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Only four to six digits are ever tried, no more often than allowed, and only a PIN that was
    /// tried makes somebody known.
    #[test]
    fn whatever_comes_in_the_bounds_hold(ops in proptest::collection::vec(op(), 1..80), human in any::<bool>()) {
        let phrases = phrases(Language::En);
        let config = PinConfig { human_without_pin: human, ..PinConfig::default() };
        let mut check = PinCheck::new(Language::En, config);
        let (mut tried, mut refused, mut checking, mut locked) = (0, 0, false, false);
        for op in ops {
            let was_known = check.is_known();
            let verdict = match op {
                Op::Key(key) => check.key(Digit::try_from(key).expect("a key")),
                Op::Keys(keys) => check.keys(&keys),
                Op::Speech(text) => check.speech(&text, &phrases),
                Op::Nothing => check.nothing(),
                Op::Accepted => {
                    check.accepted(Some("Ada"));
                    prop_assert!(was_known || check.is_known() == checking);
                    checking = false;
                    None
                }
                Op::Refused(left) => {
                    refused += u32::from(checking);
                    checking = false;
                    check.refused(left)
                }
                Op::Locked => {
                    let verdict = check.locked();
                    checking &= verdict.is_none();
                    verdict
                }
                Op::Unavailable => {
                    checking = false;
                    check.unavailable()
                }
                Op::AskAgain => {
                    check.ask_again();
                    None
                }
                Op::Restored => {
                    let stored = serde_json::to_string(&check).expect("serialises");
                    check = serde_json::from_str(&stored).expect("reads");
                    None
                }
            };
            prop_assert!(!was_known || check.is_known(), "who is known stays known");
            match verdict {
                Some(Verdict::Try(pin)) => {
                    prop_assert!((MIN_DIGITS..=MAX_DIGITS).contains(&pin.digits().len()));
                    prop_assert!(pin.digits().bytes().all(|b| b.is_ascii_digit()));
                    prop_assert!(!locked, "tried after the lock");
                    checking = true;
                    tried += 1;
                }
                Some(Verdict::Human(_)) => prop_assert!(human),
                Some(Verdict::Locked) => locked = true,
                Some(Verdict::NotAPin | Verdict::Wrong | Verdict::GiveUp) | None => {}
            }
            prop_assert!(refused <= 3, "{refused} wrong PINs");
            prop_assert!(tried <= 6, "{tried} PINs tried, looked up in vain included");
            let said = check.to_say(&PinTexts::defaults(Language::En)).unwrap_or_default();
            prop_assert!(!said.contains("{name}"), "a gap in what is said");
        }
    }

    /// Any text in any language: no panic, and digits only.
    #[test]
    fn any_text_is_safe(text in "\\PC{0,200}", with in "([a-z0-9٠-٩oh]{1,9} ?){0,20}") {
        for language in [Language::En, Language::De, Language::Ar] {
            for text in [&text, &with] {
                if let Some(digits) = spoken_digits(text, language) {
                    prop_assert!(!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
                }
            }
        }
    }
}
