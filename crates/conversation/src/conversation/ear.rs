//! The ear's data: the caller's utterances since the last answer, and what counts as noise.

use serde::{Deserialize, Serialize};
use switchhook_model::{Language, Timestamp};

/// More utterances than this without a transcript: the oldest is given up.
pub(super) const MAX_WAITING: usize = 32;

/// Speech that runs now.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) since: Timestamp,
    /// It began while nobody listened.
    pub(super) ignored: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Recognition {
    Waiting,
    Words(String),
    Noise,
    Failed,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Utterance {
    pub(super) id: u32,
    pub(super) voice_began_at: Timestamp,
    pub(super) voice_ended_at: Timestamp,
    pub(super) asked_at: Timestamp,
    pub(super) recognised_at: Option<Timestamp>,
    pub(super) recognition: Recognition,
}

impl Utterance {
    pub(super) fn voice_ms(&self) -> u64 {
        self.voice_ended_at.millis_since(self.voice_began_at)
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Ear {
    pub(super) run: Option<Run>,
    pub(super) utterances: Vec<Utterance>,
}

impl Ear {
    /// The caller speaks and is listened to.
    pub(super) fn is_speaking(&self) -> bool {
        self.run.is_some_and(|run| !run.ignored)
    }

    pub(super) fn waits_for_transcript(&self) -> bool {
        self.utterances
            .iter()
            .any(|u| u.recognition == Recognition::Waiting)
    }

    /// It is not clear yet what the caller said, or whether they said anything.
    pub(super) fn is_busy(&self) -> bool {
        self.is_speaking() || self.waits_for_transcript()
    }
}

/// Recognisers that lose the thread write one sentence over and over. Repeats are dropped where the
/// text is longer than anybody could have said in `voice_ms`; what is left may still be too long.
pub(super) fn without_repeats(text: &str, voice_ms: u64) -> Option<String> {
    let fits = |text: &str| {
        let chars = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        chars <= 80 + voice_ms / 25
    };
    if fits(text) {
        return Some(text.to_owned());
    }
    let mut sentences: Vec<&str> = Vec::new();
    for sentence in text.split_inclusive(['.', '!', '?', ',']) {
        let bare = |s: &str| {
            s.trim_matches(|c: char| !c.is_alphanumeric())
                .to_lowercase()
        };
        if !sentences.iter().any(|said| bare(said) == bare(sentence)) {
            sentences.push(sentence);
        }
    }
    let shorter = sentences.concat();
    fits(&shorter).then_some(shorter)
}

/// Whether a transcript holds nothing the caller said. Recognisers write down noise: marks in
/// brackets, hesitation, and, on silence, sentences from the subtitles they were trained on.
pub(super) fn is_noise(text: &str, language: Language, over_the_assistant: bool) -> bool {
    let mut bare = String::new();
    let mut depth = 0_u32;
    for c in text.chars() {
        match c {
            '[' | '(' | '<' => depth += 1,
            ']' | ')' | '>' => depth = depth.saturating_sub(1),
            c if depth == 0 && (c.is_alphanumeric() || c.is_whitespace()) => {
                bare.extend(c.to_lowercase());
            }
            '-' | '.' if depth == 0 => bare.push(' '),
            _ => {}
        }
    }
    let words: Vec<&str> = bare.split_whitespace().collect();
    if words.is_empty() {
        return true;
    }
    let hesitation = ["um", "uhm", "uh", "er", "erm", "äh", "ähm", "öh", "em"];
    if words.iter().all(|w| hesitation.contains(w)) {
        return true;
    }
    // "Mhm" over the assistant's words means "go on". "Yes" may be an answer.
    let go_on = [
        "mhm", "hm", "hmm", "mm", "mmm", "uh", "huh", "aha", "ah", "oh", "um", "mmhm", "ach",
    ];
    if over_the_assistant && words.iter().all(|w| go_on.contains(w)) {
        return true;
    }
    let joined = words.join(" ");
    let invented: &[&str] = match language {
        Language::En => &[
            "you",
            "thanks for watching",
            "thank you for watching",
            "please subscribe",
            "subtitles by the amaraorg community",
            "subtitles by the amara org community",
        ],
        Language::De => &[
            "untertitel der amaraorg community",
            "untertitel der amara org community",
            "untertitel im auftrag des zdf",
            "untertitelung des zdf",
            "untertitelung im auftrag des zdf",
            "vielen dank fürs zuschauen",
            "copyright wdr",
        ],
        Language::Ar => &["ترجمة نانسي قنقر", "اشتركوا في القناة"],
    };
    invented.contains(&joined.as_str())
        || invented
            .iter()
            .any(|phrase| phrase.starts_with("untertitel") && joined.starts_with(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_repeats_are_one_sentence() {
        let text = "Call me back tomorrow. ".repeat(20);
        assert_eq!(
            without_repeats(&text, 1_500).as_deref().map(str::trim),
            Some("Call me back tomorrow.")
        );
        assert_eq!(without_repeats(&"la".repeat(300), 1_500), None);
        assert_eq!(
            without_repeats("Yes. Yes.", 200).as_deref(),
            Some("Yes. Yes.")
        );
    }

    #[test]
    fn noise_is_told_from_words() {
        for text in [
            "",
            " ",
            "...",
            "[Music]",
            "(silence) <noise>",
            "Um.",
            "Thanks for watching!",
        ] {
            assert!(is_noise(text, Language::En, false), "{text}");
        }
        assert!(is_noise("Untertitelung des ZDF, 2020", Language::De, false));
        assert!(is_noise("Mm-hmm.", Language::En, true));
        for text in ["yes", "Mhm", "Thank you.", "2001", "no [noise]"] {
            assert!(!is_noise(text, Language::En, false), "{text}");
        }
        assert!(!is_noise("yes", Language::En, true));
    }
}
