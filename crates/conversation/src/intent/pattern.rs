//! A small pattern language over words, and the masked words it runs on.
//!
//! `talk|speak to [a|the] {human}`: alternatives, optional words, classes. `*` is up to three words
//! of any kind, `**` up to six, `?` exactly one, `agent~` any word that begins so, `{number}` a number, `^` and `$`
//! the ends of the utterance. Positions are bits of a `u128`, so a match costs the same however
//! many ways there are to make it.

use std::collections::BTreeMap;

use switchhook_model::Language;

use super::lexicon::{Lexicon, PhrasesError};
use super::numbers::is_number_word;

/// Positions in the utterance: bit `i` stands before word `i`.
type Positions = u128;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Element {
    Words {
        exact: Vec<String>,
        prefixes: Vec<String>,
    },
    Number,
    /// Alternatives, each a pattern.
    Class(Vec<Pattern>),
    /// The class the matcher brings along: its departments.
    Departments,
    Optional(Box<Element>),
    Gap(usize),
    /// Exactly one word.
    Any,
    Start,
    End,
}

/// One phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    elements: Vec<Element>,
}

impl Pattern {
    /// Exactly these words. None for no words.
    pub(crate) fn literal(words: &[String]) -> Option<Self> {
        (!words.is_empty()).then(|| Self {
            elements: words
                .iter()
                .map(|word| Element::Words {
                    exact: vec![word.clone()],
                    prefixes: Vec::new(),
                })
                .collect(),
        })
    }

    /// Reads a pattern; `classes` are those it may name.
    pub(crate) fn parse(
        text: &str,
        classes: &BTreeMap<String, Vec<Pattern>>,
        language: Language,
    ) -> Result<Self, PhrasesError> {
        let wrong = |why: &str| PhrasesError::Pattern {
            pattern: text.chars().take(80).collect(),
            why: why.to_owned(),
        };
        let mut elements = Vec::new();
        for part in text.split_whitespace() {
            let (part, optional) = match part.strip_prefix('[').map(|p| p.strip_suffix(']')) {
                Some(Some(inner)) => (inner, true),
                Some(None) => return Err(wrong("a [ without its ] in the same word")),
                None => (part, false),
            };
            let element = match part {
                "*" => Element::Gap(3),
                "**" => Element::Gap(6),
                "?" => Element::Any,
                "^" => Element::Start,
                "$" => Element::End,
                _ => Self::alternatives(part, classes, language).map_err(|why| wrong(&why))?,
            };
            elements.push(if optional {
                Element::Optional(Box::new(element))
            } else {
                element
            });
        }
        let consumes = elements.iter().any(|e| match e {
            Element::Words { .. } | Element::Number | Element::Class(_) | Element::Departments => {
                true
            }
            Element::Optional(_)
            | Element::Gap(_)
            | Element::Any
            | Element::Start
            | Element::End => false,
        });
        if !consumes {
            return Err(wrong("it matches everything"));
        }
        Ok(Self { elements })
    }

    /// `a|b~|{class}`: plain words stay one element, classes make it a choice of patterns.
    fn alternatives(
        part: &str,
        classes: &BTreeMap<String, Vec<Self>>,
        language: Language,
    ) -> Result<Element, String> {
        let (named, plain): (Vec<&str>, Vec<&str>) = part
            .split('|')
            .partition(|alternative| alternative.starts_with('{'));
        let mut choices = Vec::new();
        for alternative in named {
            let name = alternative
                .strip_prefix('{')
                .and_then(|p| p.strip_suffix('}'));
            let name = name.ok_or_else(|| "a { without its }".to_owned())?;
            match name {
                "number" => choices.push(Self::single(Element::Number)),
                "department" => choices.push(Self::single(Element::Departments)),
                _ => choices.extend(
                    classes
                        .get(name)
                        .ok_or_else(|| format!("there is no class {name:?} before it"))?
                        .iter()
                        .cloned(),
                ),
            }
        }
        if plain.is_empty() {
            return Ok(Element::Class(choices));
        }
        let words =
            Self::words(&plain.join("|"), language).ok_or_else(|| "an empty word".to_owned())?;
        if choices.is_empty() {
            return Ok(words);
        }
        choices.push(Self::single(words));
        Ok(Element::Class(choices))
    }

    fn single(element: Element) -> Self {
        Self {
            elements: vec![element],
        }
    }

    fn words(part: &str, language: Language) -> Option<Element> {
        let mut exact = Vec::new();
        let mut prefixes = Vec::new();
        for word in part.split('|') {
            let (word, prefix) = match word.strip_suffix('~') {
                Some(stem) => (stem, true),
                None => (word, false),
            };
            let normal = super::normalise(word, language);
            let [normal] = normal.as_slice() else {
                return None;
            };
            if prefix {
                prefixes.push(normal.clone());
            } else {
                exact.push(normal.clone());
            }
        }
        Some(Element::Words { exact, prefixes })
    }

    fn ends(&self, words: &Words, starts: Positions, departments: &[Pattern]) -> Positions {
        self.elements.iter().fold(starts, |at, element| {
            if at == 0 {
                0
            } else {
                element.ends(words, at, departments)
            }
        })
    }
}

impl Element {
    fn ends(&self, words: &Words, at: Positions, departments: &[Pattern]) -> Positions {
        match self {
            Self::Words { exact, prefixes } => words.step(at, |token| {
                exact.iter().any(|w| w == token)
                    || prefixes.iter().any(|p| token.starts_with(p.as_str()))
            }),
            Self::Number => words.step(at, |token| is_number_word(token, words.language)),
            Self::Class(patterns) => patterns
                .iter()
                .fold(0, |ends, p| ends | p.ends(words, at, departments)),
            Self::Departments => departments
                .iter()
                .fold(0, |ends, p| ends | p.ends(words, at, &[])),
            Self::Optional(inner) => at | inner.ends(words, at, departments),
            Self::Gap(n) => (0..*n).fold(at, |reached, _| reached | words.step(reached, |_| true)),
            Self::Any => words.step(at, |_| true),
            Self::Start => at & 1,
            Self::End => at & (1 << words.tokens.len()),
        }
    }
}

/// The words of an utterance; masked ones match nothing, not even a gap.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    tokens: Vec<String>,
    masked: Positions,
    language: Language,
}

impl Words {
    pub(crate) fn new(mut tokens: Vec<String>, language: Language) -> Self {
        tokens.truncate(super::normalise::MAX_WORDS);
        Self {
            tokens,
            masked: 0,
            language,
        }
    }

    fn step(&self, at: Positions, accept: impl Fn(&str) -> bool) -> Positions {
        let mut next = 0;
        let mut left = at & !self.masked;
        while left != 0 {
            let i = left.trailing_zeros() as usize;
            left &= left - 1;
            if self.tokens.get(i).is_some_and(|token| accept(token)) {
                next |= 1 << (i + 1);
            }
        }
        next
    }

    fn all(&self) -> Positions {
        (1 << (self.tokens.len() + 1)) - 1
    }

    /// Whether any of the patterns matches anywhere.
    pub(crate) fn any(&self, patterns: &[Pattern], departments: &[Pattern]) -> bool {
        patterns
            .iter()
            .any(|p| p.ends(self, self.all(), departments) != 0)
    }

    /// Masks every match of the patterns, at its longest; true if there was one.
    pub(crate) fn mask(&mut self, patterns: &[Pattern], departments: &[Pattern]) -> bool {
        let mut mask = 0;
        for pattern in patterns {
            if pattern.ends(self, self.all(), departments) == 0 {
                continue;
            }
            for start in 0..self.tokens.len() {
                let ends = pattern.ends(self, 1 << start, departments);
                if ends != 0 {
                    let end = 127 - ends.leading_zeros() as usize;
                    for i in start..end {
                        mask |= 1 << i;
                    }
                }
            }
        }
        self.masked |= mask;
        mask != 0
    }

    /// Where the last match of the pattern begins.
    pub(crate) fn last_start(&self, pattern: &Pattern, departments: &[Pattern]) -> Option<usize> {
        (0..self.tokens.len())
            .rev()
            .find(|start| pattern.ends(self, 1 << start, departments) != 0)
    }

    /// The positions behind every match, in order.
    pub(crate) fn ends_of(&self, patterns: &[Pattern], departments: &[Pattern]) -> Vec<usize> {
        let ends = patterns
            .iter()
            .fold(0, |ends, p| ends | p.ends(self, self.all(), departments));
        (0..=self.tokens.len())
            .filter(|i| ends & (1 << i) != 0)
            .collect()
    }

    /// The words from a position to the next masked one.
    pub(crate) fn tokens_from(&self, at: usize) -> &[String] {
        let at = at.min(self.tokens.len());
        let len = (at..self.tokens.len())
            .take_while(|i| self.masked & (1 << i) == 0)
            .count();
        &self.tokens[at..at + len]
    }

    pub(crate) fn unmasked(&self) -> impl Iterator<Item = &str> {
        self.tokens
            .iter()
            .enumerate()
            .filter(|(i, _)| self.masked & (1 << i) == 0)
            .map(|(_, token)| token.as_str())
    }

    /// Whether a unit stands at a position: "50 dollars" is no extension.
    pub(crate) fn follows_unit(&self, at: usize, lexicon: &Lexicon) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| lexicon.is_unit(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let class = vec![Pattern::parse("human|person", &BTreeMap::new(), Language::En).unwrap()];
        let classes = BTreeMap::from([("human".to_owned(), class)]);
        let pattern = Pattern::parse(pattern, &classes, Language::En).unwrap();
        let words = Words::new(super::super::normalise(text, Language::En), Language::En);
        words.any(&[pattern], &[])
    }

    #[test]
    fn the_pattern_language() {
        assert!(matches(
            "talk|speak to [a|the] {human}",
            "can i talk to a human"
        ));
        assert!(matches("talk|speak to [a|the] {human}", "speak to person"));
        assert!(!matches("talk to [a] {human}", "talk to a inhuman"));
        assert!(matches("talk * {human}", "talk to the nice human"));
        assert!(!matches("talk * {human}", "talk to the very nice human"));
        assert!(matches("^ human $", "human"));
        assert!(!matches("^ human $", "human resources"));
        assert!(matches("{number} dollars", "fifty dollars"));
        assert!(matches("mis~ is", "mishap is"));
        assert!(matches("talk to ?", "talk to me"));
        assert!(!matches("talk to ?", "talk to"));
    }

    #[test]
    fn wrong_patterns_are_explained() {
        for (pattern, why) in [
            ("{nobody}", "no class"),
            ("[a", "without its ]"),
            ("[a] *", "everything"),
            ("a||b", "empty word"),
        ] {
            let error = Pattern::parse(pattern, &BTreeMap::new(), Language::En)
                .unwrap_err()
                .to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_longest_utterance_fits() {
        let words = Words::new(vec!["a".to_owned(); 500], Language::En);
        let pattern = Pattern::parse("a $", &BTreeMap::new(), Language::En).unwrap();
        assert!(words.any(std::slice::from_ref(&pattern), &[]));
        let mut words = words;
        assert!(words.mask(&[pattern], &[]));
    }
}
