//! What the caller wants, by phrase lists: a human, an extension, the end of the call.
//!
//! A wish for a human must not depend on a model being up, and must not be guessed from a single
//! word: "agent" is in "real-estate agent", "transfer" in "transfer 50 dollars". So the words are
//! normalised, mis-hearings of the recogniser are mended, refusals and compounds are masked, and
//! only then the wishes are looked for, at word boundaries. The lists are data: `phrases/*.toml`.
//!
//! A goodbye ends the call only where the whole utterance is a leave-taking; "thanks, and one more
//! thing" is not. What is unclear is left to the model.

mod lexicon;
mod normalise;
mod numbers;
mod pattern;

use std::sync::Arc;

pub use lexicon::{Lexicon, PhrasesError};
pub use normalise::normalise;
pub(crate) use numbers::{is_number_joint, is_number_word, may_be_digit, number_spans};
pub(crate) use pattern::{Pattern, Words};

use switchhook_model::{Extension, Language};

use crate::config::{ConversationConfig, Department};

/// Where the caller wants to be transferred.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransferWish {
    /// The configured department that was named.
    pub department: Option<String>,
    /// The digits of the extension that was named, where that is allowed.
    pub extension: Option<String>,
}

/// The phrases of one language, prepared for a conversation.
#[derive(Debug, Clone)]
pub struct Matcher {
    lexicon: Arc<Lexicon>,
    departments: Vec<(String, Vec<Pattern>)>,
    department_class: Vec<Pattern>,
    mishearings: Vec<(Vec<String>, Vec<String>)>,
    allow_spoken_extension: bool,
}

impl Matcher {
    /// The built-in lists of the configured language, with the configuration's departments and
    /// mis-hearings.
    pub fn new(config: &ConversationConfig) -> Self {
        Self::with(
            Lexicon::builtin(config.language),
            &config.departments,
            &config.mishearings,
            config.allow_spoken_extension,
        )
    }

    /// Any lists.
    pub fn with(
        lexicon: Arc<Lexicon>,
        departments: &[Department],
        mishearings: &[(String, String)],
        allow_spoken_extension: bool,
    ) -> Self {
        let language = lexicon.language();
        let departments: Vec<(String, Vec<Pattern>)> = departments
            .iter()
            .map(|department| {
                let names = std::iter::once(&department.name).chain(&department.aliases);
                let patterns = names
                    .filter_map(|name| Pattern::literal(&normalise(name, language)))
                    .collect();
                (department.name.clone(), patterns)
            })
            .collect();
        let department_class = departments
            .iter()
            .flat_map(|(_, patterns)| patterns.iter().cloned())
            .collect();
        let mishearings = mishearings
            .iter()
            .map(|(heard, meant)| (normalise(heard, language), normalise(meant, language)))
            .filter(|(heard, _)| !heard.is_empty())
            .collect();
        Self {
            lexicon,
            departments,
            department_class,
            mishearings,
            allow_spoken_extension,
        }
    }

    /// Whether the caller asks for a human, and which.
    pub fn transfer(&self, text: &str) -> Option<TransferWish> {
        let lexicon = &self.lexicon;
        let mut tokens = normalise(text, lexicon.language());
        normalise::replace_all(&mut tokens, &self.mishearings);
        normalise::replace_all(&mut tokens, lexicon.mishearings());
        tokens.retain(|token| !lexicon.is_dropped(token));
        // Again: "can I um not" is now "can I not".
        normalise::replace_all(&mut tokens, lexicon.mishearings());
        normalise::join_repeats(&mut tokens, lexicon.language());

        let mut words = Words::new(tokens, lexicon.language());
        words.mask(lexicon.refusals(), &self.department_class);
        let extension = self.extension(&words);
        let mut wished =
            extension.is_some() || words.any(lexicon.desk_wishes(), &self.department_class);
        let department = self.named_department(&words);
        words.mask(lexicon.compounds(), &self.department_class);
        wished |= words.any(lexicon.wishes(), &self.department_class);
        if !wished {
            return None;
        }
        Some(TransferWish {
            department,
            extension: extension
                .filter(|_| self.allow_spoken_extension)
                .map(|extension| extension.as_str().to_owned()),
        })
    }

    /// The department that stands in the words, the last one if there are several ("not sales,
    /// support").
    fn named_department(&self, words: &Words) -> Option<String> {
        self.departments
            .iter()
            .filter_map(|(name, patterns)| {
                let at = patterns
                    .iter()
                    .filter_map(|p| words.last_start(p, &[]))
                    .max()?;
                Some((at, name))
            })
            .max_by_key(|(at, _)| *at)
            .map(|(_, name)| name.clone())
    }

    /// "Extension 2001", "transfer me to two zero zero one".
    fn extension(&self, words: &Words) -> Option<Extension> {
        let lexicon = &self.lexicon;
        for at in words.ends_of(lexicon.extension_keywords(), &self.department_class) {
            let spans = number_spans(words.tokens_from(at), lexicon.language(), true);
            if let Some(span) = spans.first()
                && span.start == 0
                && let Ok(extension) = span.digits.parse()
            {
                return Some(extension);
            }
        }
        for at in words.ends_of(lexicon.extension_verbs(), &self.department_class) {
            let spans = number_spans(words.tokens_from(at), lexicon.language(), false);
            if let Some(span) = spans.first()
                && span.start == 0
                && span.digits.len() >= 3
                && !words.follows_unit(at + span.end, lexicon)
                && let Ok(extension) = span.digits.parse()
            {
                return Some(extension);
            }
        }
        None
    }

    /// Whether the whole utterance is a leave-taking.
    pub fn is_exit(&self, text: &str) -> bool {
        let lexicon = &self.lexicon;
        let mut tokens = normalise(text, lexicon.language());
        normalise::replace_all(&mut tokens, &self.mishearings);
        normalise::replace_all(&mut tokens, lexicon.mishearings());
        normalise::replace_all(&mut tokens, lexicon.exit_mishearings());
        lexicon.mend_exit_end(&mut tokens);
        let mut words = Words::new(tokens, lexicon.language());
        if words.any(lexicon.exit_refusals(), &[]) {
            return false;
        }
        let strong = words.mask(lexicon.farewells(), &[]);
        let weak = words.mask(lexicon.closings(), &[]);
        if !strong && !weak {
            return false;
        }
        if !strong && words.unmasked().any(|token| lexicon.is_confirmation(token)) {
            // "Yes, that's it" confirms.
            return false;
        }
        words.mask(lexicon.leavings(), &[]);
        words.unmasked().all(|token| lexicon.is_courtesy(token))
    }

    /// The language of the lists.
    pub fn language(&self) -> Language {
        self.lexicon.language()
    }
}

/// Body of a fuzz target: any bytes as an utterance, in every language.
pub fn fuzz_intent(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for language in [Language::En, Language::De, Language::Ar] {
        let departments = [Department {
            name: "sales".to_owned(),
            aliases: vec![text.chars().take(20).collect()],
        }];
        let mishearings = [(text.chars().take(9).collect(), "human".to_owned())];
        let matcher = Matcher::with(Lexicon::builtin(language), &departments, &mishearings, true);
        if let Some(extension) = matcher.transfer(&text).and_then(|wish| wish.extension) {
            assert!(extension.parse::<Extension>().is_ok(), "{extension:?}");
        }
        matcher.is_exit(&text);
        number_spans(&normalise(&text, language), language, true);
        if let Some(digits) = crate::pin::spoken_digits(&text, language) {
            assert!(digits.bytes().all(|b| b.is_ascii_digit()), "{digits:?}");
        }
    }
    // The same bytes as lists: errors, never a panic.
    if let Ok(lexicon) = Lexicon::parse(&text) {
        let matcher = Matcher::with(Arc::new(lexicon), &[], &[], true);
        matcher.transfer("please transfer me to a human at extension 2001");
        matcher.is_exit("goodbye");
    }
}
