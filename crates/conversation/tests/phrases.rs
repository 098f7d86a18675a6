//! The phrase lists against a corpus: what callers say, and what it must mean.

use switchhook_conversation::intent::Matcher;
use switchhook_conversation::{ConversationConfig, Department, LocalZone};
use switchhook_model::Language;

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Transfer {
        department: Option<String>,
        extension: Option<String>,
    },
    Exit,
    Neither,
}

fn matcher(language: Language) -> Matcher {
    let mut config = ConversationConfig::new(language, LocalZone::utc());
    config.allow_spoken_extension = true;
    let department = |name: &str, aliases: &[&str]| Department {
        name: name.into(),
        aliases: aliases.iter().map(|a| (*a).to_owned()).collect(),
    };
    config.departments = match language {
        Language::En => vec![
            department("sales", &[]),
            department("billing", &["accounting", "invoices"]),
        ],
        Language::De => vec![
            department("vertrieb", &["Verkauf"]),
            department("buchhaltung", &["Rechnungsabteilung"]),
        ],
        Language::Ar => Vec::new(),
    };
    Matcher::new(&config)
}

fn meaning(matcher: &Matcher, text: &str) -> Meaning {
    match matcher.transfer(text) {
        Some(wish) => Meaning::Transfer {
            department: wish.department,
            extension: wish.extension,
        },
        None if matcher.is_exit(text) => Meaning::Exit,
        None => Meaning::Neither,
    }
}

fn check(language: Language, corpus: &str, at_least: usize) {
    let matcher = matcher(language);
    let mut wrong = Vec::new();
    let mut phrases = 0;
    for line in corpus
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        let (mark, text) = line.split_once(' ').expect("a mark and a phrase");
        let transfer = |department: Option<&str>, extension: Option<&str>| Meaning::Transfer {
            department: department.map(str::to_owned),
            extension: extension.map(str::to_owned),
        };
        let expected = match mark.split_at(1) {
            ("T", "") => transfer(None, None),
            ("T", rest) if rest.starts_with('@') => transfer(Some(&rest[1..]), None),
            ("T", rest) => transfer(None, Some(rest.trim_start_matches(':'))),
            ("X", _) => Meaning::Exit,
            ("-", _) => Meaning::Neither,
            _ => panic!("unknown mark in {line:?}"),
        };
        phrases += 1;
        // A recogniser may leave out punctuation and case.
        let bare: String = text
            .chars()
            .filter(|c| c.is_alphanumeric() || c.is_whitespace() || matches!(c, '\'' | '-' | '’'))
            .collect();
        for variant in [text.to_owned(), bare.to_lowercase(), text.to_uppercase()] {
            let found = meaning(&matcher, &variant);
            if found != expected {
                wrong.push(format!(
                    "{variant:?}: expected {expected:?}, found {found:?}"
                ));
                break;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {phrases} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(phrases >= at_least, "only {phrases} phrases");
}

#[test]
fn english_callers_are_understood() {
    check(Language::En, include_str!("corpus/en.txt"), 200);
}

#[test]
fn german_callers_are_understood() {
    check(Language::De, include_str!("corpus/de.txt"), 150);
}

#[test]
fn arabic_callers_are_understood() {
    check(Language::Ar, include_str!("corpus/ar.txt"), 15);
}

#[test]
fn an_extension_is_not_dialled_where_that_is_not_allowed() {
    let config = ConversationConfig::new(Language::En, LocalZone::utc());
    let wish = Matcher::new(&config).transfer("transfer me to extension 2001");
    assert_eq!(wish.expect("still wants a human").extension, None);
}

#[test]
fn mishearings_can_be_configured() {
    let mut config = ConversationConfig::new(Language::En, LocalZone::utc());
    let text = "give me the sweet chook please";
    assert_eq!(Matcher::new(&config).transfer(text), None);
    config.mishearings = vec![("the sweet chook".into(), "the switchboard".into())];
    assert!(Matcher::new(&config).transfer(text).is_some());
}
