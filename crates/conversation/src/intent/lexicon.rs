//! The phrase lists of a language, read from a TOML file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use switchhook_model::Language;

use super::normalise::normalise;
use super::pattern::Pattern;

/// A phrase file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhrasesError {
    #[error("the phrase file is not valid: {0}")]
    Toml(String),
    #[error("the phrase {pattern:?} is not valid: {why}")]
    Pattern { pattern: String, why: String },
    #[error("the phrase file is longer than {max} bytes")]
    TooLong { max: usize },
}

const MAX_BYTES: usize = 256 * 1024;
/// Classes may name classes; a file must not unfold without end.
const MAX_CLASS_PATTERNS: usize = 4_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    language: Language,
    /// Words that carry nothing.
    drop: Vec<String>,
    /// `[heard, meant]`.
    mishearings: Vec<(String, String)>,
    /// In order: a class may name those before it.
    class: Vec<ClassEntry>,
    transfer: Transfer,
    extension: ExtensionWords,
    exit: Exit,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassEntry {
    name: String,
    is: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    /// What sounds like a wish and is none; masked first.
    refusals: Vec<String>,
    /// Wishes that name a desk or department.
    desks: Vec<String>,
    /// Nouns that hold a human and mean something else; masked before the wishes.
    compounds: Vec<String>,
    wishes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtensionWords {
    /// Directly before the number.
    keywords: Vec<String>,
    /// Up to the number, without a keyword.
    verbs: Vec<String>,
    /// After a number that is no extension.
    units: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exit {
    /// Clear by themselves.
    farewells: Vec<String>,
    /// Mostly the end, but a confirmation too.
    closings: Vec<String>,
    /// What people say while leaving.
    leavings: Vec<String>,
    /// Words that may stand beside.
    courtesy: Vec<String>,
    confirmations: Vec<String>,
    /// With one of these it is no leave-taking.
    refusals: Vec<String>,
    mishearings: Vec<(String, String)>,
    /// `[last word heard, meant]`, only after courtesy.
    last_word: Vec<(String, String)>,
}

type Replacements = Vec<(Vec<String>, Vec<String>)>;

/// The prepared lists of one language.
#[derive(Debug, Clone)]
pub struct Lexicon {
    language: Language,
    drop: BTreeSet<String>,
    mishearings: Replacements,
    refusals: Vec<Pattern>,
    desks: Vec<Pattern>,
    compounds: Vec<Pattern>,
    wishes: Vec<Pattern>,
    extension_keywords: Vec<Pattern>,
    extension_verbs: Vec<Pattern>,
    units: BTreeSet<String>,
    farewells: Vec<Pattern>,
    closings: Vec<Pattern>,
    leavings: Vec<Pattern>,
    courtesy: BTreeSet<String>,
    confirmations: BTreeSet<String>,
    exit_refusals: Vec<Pattern>,
    exit_mishearings: Replacements,
    last_word: Vec<(String, String)>,
}

impl Lexicon {
    /// The lists that come with the program.
    pub fn builtin(language: Language) -> Arc<Self> {
        static EN: LazyLock<Arc<Lexicon>> =
            LazyLock::new(|| shipped(include_str!("../../phrases/en.toml")));
        static DE: LazyLock<Arc<Lexicon>> =
            LazyLock::new(|| shipped(include_str!("../../phrases/de.toml")));
        static AR: LazyLock<Arc<Lexicon>> =
            LazyLock::new(|| shipped(include_str!("../../phrases/ar.toml")));
        Arc::clone(match language {
            Language::En => &EN,
            Language::De => &DE,
            Language::Ar => &AR,
        })
    }

    /// Reads lists of the same form. The error names the place or the phrase.
    pub fn parse(text: &str) -> Result<Self, PhrasesError> {
        if text.len() > MAX_BYTES {
            return Err(PhrasesError::TooLong { max: MAX_BYTES });
        }
        let file: File = toml::from_str(text).map_err(|e| PhrasesError::Toml(e.to_string()))?;
        let language = file.language;
        let mut classes: BTreeMap<String, Vec<Pattern>> = BTreeMap::new();
        let mut unfolded = 0;
        for entry in file.class {
            let patterns = patterns(&entry.is, &classes, language)?;
            unfolded += entry
                .is
                .iter()
                .map(|text| {
                    1 + classes
                        .iter()
                        .filter(|(name, _)| text.contains(&format!("{{{name}}}")))
                        .map(|(_, p)| p.len())
                        .sum::<usize>()
                })
                .sum::<usize>();
            if unfolded > MAX_CLASS_PATTERNS {
                return Err(PhrasesError::Pattern {
                    pattern: entry.name,
                    why: "the classes unfold to too many phrases".to_owned(),
                });
            }
            classes.insert(entry.name, patterns);
        }
        let list = |texts: &[String]| patterns(texts, &classes, language);
        let words = |texts: &[String]| -> BTreeSet<String> {
            texts.iter().flat_map(|t| normalise(t, language)).collect()
        };
        let pairs = |texts: &[(String, String)]| -> Replacements {
            texts
                .iter()
                .map(|(heard, meant)| (normalise(heard, language), normalise(meant, language)))
                .collect()
        };
        Ok(Self {
            language,
            drop: words(&file.drop),
            mishearings: pairs(&file.mishearings),
            refusals: list(&file.transfer.refusals)?,
            desks: list(&file.transfer.desks)?,
            compounds: list(&file.transfer.compounds)?,
            wishes: list(&file.transfer.wishes)?,
            extension_keywords: list(&file.extension.keywords)?,
            extension_verbs: list(&file.extension.verbs)?,
            units: words(&file.extension.units),
            farewells: list(&file.exit.farewells)?,
            closings: list(&file.exit.closings)?,
            leavings: list(&file.exit.leavings)?,
            courtesy: words(&file.exit.courtesy),
            confirmations: words(&file.exit.confirmations),
            exit_refusals: list(&file.exit.refusals)?,
            exit_mishearings: pairs(&file.exit.mishearings),
            last_word: file.exit.last_word,
        })
    }

    pub fn language(&self) -> Language {
        self.language
    }

    pub(super) fn is_dropped(&self, token: &str) -> bool {
        self.drop.contains(token)
    }

    pub(super) fn mishearings(&self) -> &[(Vec<String>, Vec<String>)] {
        &self.mishearings
    }

    pub(super) fn refusals(&self) -> &[Pattern] {
        &self.refusals
    }

    pub(super) fn desk_wishes(&self) -> &[Pattern] {
        &self.desks
    }

    pub(super) fn compounds(&self) -> &[Pattern] {
        &self.compounds
    }

    pub(super) fn wishes(&self) -> &[Pattern] {
        &self.wishes
    }

    pub(super) fn extension_keywords(&self) -> &[Pattern] {
        &self.extension_keywords
    }

    pub(super) fn extension_verbs(&self) -> &[Pattern] {
        &self.extension_verbs
    }

    pub(super) fn is_unit(&self, token: &str) -> bool {
        self.units.contains(token)
    }

    pub(super) fn farewells(&self) -> &[Pattern] {
        &self.farewells
    }

    pub(super) fn closings(&self) -> &[Pattern] {
        &self.closings
    }

    pub(super) fn leavings(&self) -> &[Pattern] {
        &self.leavings
    }

    pub(super) fn exit_refusals(&self) -> &[Pattern] {
        &self.exit_refusals
    }

    pub(super) fn exit_mishearings(&self) -> &[(Vec<String>, Vec<String>)] {
        &self.exit_mishearings
    }

    pub(super) fn is_courtesy(&self, token: &str) -> bool {
        self.courtesy.contains(token)
    }

    pub(super) fn is_confirmation(&self, token: &str) -> bool {
        self.confirmations.contains(token)
    }

    /// "Thank you, by": a last word that means nothing there, and sounds like a farewell.
    pub(super) fn mend_exit_end(&self, tokens: &mut [String]) {
        let Some((last, before)) = tokens.split_last_mut() else {
            return;
        };
        if before.last().is_some_and(|token| self.is_courtesy(token))
            && let Some((_, meant)) = self.last_word.iter().find(|(heard, _)| heard == last)
        {
            meant.clone_into(last);
        }
    }
}

fn patterns(
    texts: &[String],
    classes: &BTreeMap<String, Vec<Pattern>>,
    language: Language,
) -> Result<Vec<Pattern>, PhrasesError> {
    texts
        .iter()
        .map(|text| Pattern::parse(text, classes, language))
        .collect()
}

fn shipped(text: &str) -> Arc<Lexicon> {
    Arc::new(Lexicon::parse(text).expect("the shipped phrase files are checked by a test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_lists_are_valid() {
        for language in [Language::En, Language::De, Language::Ar] {
            assert_eq!(Lexicon::builtin(language).language(), language);
        }
    }

    #[test]
    fn errors_name_the_phrase_or_the_place() {
        let error = Lexicon::parse("language = 'en'\ndrop = 3")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 2") && error.contains("drop"),
            "{error}"
        );
        let long = "#".repeat(MAX_BYTES + 1);
        assert_eq!(
            Lexicon::parse(&long).unwrap_err(),
            PhrasesError::TooLong { max: MAX_BYTES }
        );
    }
}
