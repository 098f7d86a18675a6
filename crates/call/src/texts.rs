//! Every sentence the call itself says, word by word: these never pass a language model, because
//! what a caller is told about humans, messages and notices has to be true.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use switchhook_model::Language;

/// Which sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextKey {
    /// A human is being dialled.
    Hold,
    /// The extension the caller named is not available; others are dialled.
    HoldInstead,
    /// All targets rang and none answered.
    NobodyAnswered,
    /// All targets were busy.
    Busy,
    /// All targets refused.
    Declined,
    /// No target could be reached.
    NotReachable,
    /// Several of these together.
    NobodyAvailable,
    /// Outside the open hours.
    Closed,
    /// Nobody is configured to take calls.
    NoTarget,
    /// No further transfer in this call.
    NoMoreTransfers,
    /// The assistant is back.
    BackWithAssistant,
    /// The caller may leave a message.
    MessagePrompt,
    /// The message is stored. Nobody was told yet.
    MessageSaved,
    /// Nothing was said.
    NoMessage,
    /// The staff's receiver accepted the notice of the message.
    TeamInformed,
    /// The message is stored, but the staff's receiver did not accept the notice.
    SavedNotDelivered,
    /// The staff are being told about the call.
    Notifying,
    /// The staff's receiver did not accept the notice, and there is no message.
    NotNotified,
    /// What the staff were sent did not reach them after all; another way is tried.
    TryingAnotherWay,
    /// What the staff were sent did not reach them after all.
    NotInformedAfterAll,
    /// The longest allowed duration is reached.
    TimeLimit,
    /// For the answering machine of somebody we called.
    MachineMessage,
    /// The last words.
    Goodbye,
}

impl TextKey {
    /// All keys, in the order a caller may hear them.
    pub const ALL: [Self; 23] = [
        Self::Hold,
        Self::HoldInstead,
        Self::NobodyAnswered,
        Self::Busy,
        Self::Declined,
        Self::NotReachable,
        Self::NobodyAvailable,
        Self::Closed,
        Self::NoTarget,
        Self::NoMoreTransfers,
        Self::BackWithAssistant,
        Self::MessagePrompt,
        Self::MessageSaved,
        Self::NoMessage,
        Self::TeamInformed,
        Self::SavedNotDelivered,
        Self::Notifying,
        Self::NotNotified,
        Self::TryingAnotherWay,
        Self::NotInformedAfterAll,
        Self::TimeLimit,
        Self::MachineMessage,
        Self::Goodbye,
    ];

    /// The key as configuration, logs and the API write it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::HoldInstead => "hold_instead",
            Self::NobodyAnswered => "nobody_answered",
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::NotReachable => "not_reachable",
            Self::NobodyAvailable => "nobody_available",
            Self::Closed => "closed",
            Self::NoTarget => "no_target",
            Self::NoMoreTransfers => "no_more_transfers",
            Self::BackWithAssistant => "back_with_assistant",
            Self::MessagePrompt => "message_prompt",
            Self::MessageSaved => "message_saved",
            Self::NoMessage => "no_message",
            Self::TeamInformed => "team_informed",
            Self::SavedNotDelivered => "saved_not_delivered",
            Self::Notifying => "notifying",
            Self::NotNotified => "not_notified",
            Self::TryingAnotherWay => "trying_another_way",
            Self::NotInformedAfterAll => "not_informed_after_all",
            Self::TimeLimit => "time_limit",
            Self::MachineMessage => "machine_message",
            Self::Goodbye => "goodbye",
        }
    }

    /// The shipped sentence.
    pub fn default_text(self, language: Language) -> &'static str {
        match language {
            Language::En => self.english(),
            Language::De => self.german(),
            Language::Ar => self.arabic(),
        }
    }

    fn english(self) -> &'static str {
        match self {
            Self::Hold => "One moment please, I am calling a colleague for you.",
            Self::HoldInstead => {
                "I cannot put you through to that extension. One moment please, I am calling a colleague instead."
            }
            Self::NobodyAnswered => "I am sorry, nobody answered.",
            Self::Busy => "I am sorry, the line is busy.",
            Self::Declined => "I am sorry, nobody can take your call right now.",
            Self::NotReachable => "I am sorry, I could not reach anyone.",
            Self::NobodyAvailable => "I am sorry, nobody is available right now.",
            Self::Closed => "I am sorry, our office is closed at the moment.",
            Self::NoTarget => "I am sorry, there is nobody I could connect you with.",
            Self::NoMoreTransfers => "I am sorry, I cannot try again to connect you in this call.",
            Self::BackWithAssistant => "I am still here for you. How else can I help?",
            Self::MessagePrompt => {
                "Please leave a message after the tone, with your name and your number."
            }
            Self::MessageSaved => "Thank you, I saved your message.",
            Self::NoMessage => "I did not hear a message.",
            Self::TeamInformed => "I have informed the team.",
            Self::SavedNotDelivered => "Your message is saved, but I could not reach the team yet.",
            Self::Notifying => "One moment please, I am letting the team know that you called.",
            Self::NotNotified => "I am sorry, I could not reach the team. Please call again later.",
            Self::TryingAnotherWay => {
                "I have just learned that what I sent to the team did not arrive. I am trying another way."
            }
            Self::NotInformedAfterAll => {
                "I am sorry, I have just learned that what I sent to the team did not arrive. Please call again later."
            }
            Self::TimeLimit => {
                "I am sorry, this call has reached its time limit and has to end now."
            }
            Self::MachineMessage => {
                "Hello, we tried to reach you by telephone. We will call again another time. Goodbye."
            }
            Self::Goodbye => "Goodbye.",
        }
    }

    fn german(self) -> &'static str {
        match self {
            Self::Hold => "Einen Moment bitte, ich rufe jemanden für Sie an.",
            Self::HoldInstead => {
                "Zu dieser Durchwahl kann ich Sie nicht verbinden. Einen Moment bitte, ich rufe jemand anderen für Sie an."
            }
            Self::NobodyAnswered => "Es tut mir leid, es hat niemand abgenommen.",
            Self::Busy => "Es tut mir leid, die Leitung ist besetzt.",
            Self::Declined => "Es tut mir leid, gerade kann niemand Ihren Anruf annehmen.",
            Self::NotReachable => "Es tut mir leid, ich konnte niemanden erreichen.",
            Self::NobodyAvailable => "Es tut mir leid, gerade ist niemand zu sprechen.",
            Self::Closed => "Es tut mir leid, unser Büro ist im Moment geschlossen.",
            Self::NoTarget => {
                "Es tut mir leid, es gibt niemanden, mit dem ich Sie verbinden könnte."
            }
            Self::NoMoreTransfers => {
                "Es tut mir leid, in diesem Gespräch kann ich Sie nicht noch einmal verbinden."
            }
            Self::BackWithAssistant => "Ich bin weiter für Sie da. Was kann ich sonst für Sie tun?",
            Self::MessagePrompt => {
                "Bitte hinterlassen Sie nach dem Ton eine Nachricht mit Ihrem Namen und Ihrer Nummer."
            }
            Self::MessageSaved => "Danke, ich habe Ihre Nachricht gespeichert.",
            Self::NoMessage => "Ich habe keine Nachricht gehört.",
            Self::TeamInformed => "Ich habe das Team informiert.",
            Self::SavedNotDelivered => {
                "Ihre Nachricht ist gespeichert, aber ich konnte das Team noch nicht erreichen."
            }
            Self::Notifying => "Einen Moment bitte, ich sage dem Team, dass Sie angerufen haben.",
            Self::NotNotified => {
                "Es tut mir leid, ich konnte das Team nicht erreichen. Bitte rufen Sie später noch einmal an."
            }
            Self::TryingAnotherWay => {
                "Ich erfahre gerade, dass meine Nachricht an das Team nicht angekommen ist. Ich versuche es auf einem anderen Weg."
            }
            Self::NotInformedAfterAll => {
                "Es tut mir leid, ich erfahre gerade, dass meine Nachricht an das Team nicht angekommen ist. Bitte rufen Sie später noch einmal an."
            }
            Self::TimeLimit => {
                "Es tut mir leid, dieses Gespräch hat die längste erlaubte Dauer erreicht und endet jetzt."
            }
            Self::MachineMessage => {
                "Guten Tag, wir haben versucht, Sie telefonisch zu erreichen. Wir rufen ein anderes Mal wieder an. Auf Wiederhören."
            }
            Self::Goodbye => "Auf Wiederhören.",
        }
    }

    fn arabic(self) -> &'static str {
        match self {
            Self::Hold => "لحظة من فضلك، أتصل بأحد الزملاء من أجلك.",
            Self::HoldInstead => {
                "لا أستطيع تحويلك إلى هذا الرقم الداخلي. لحظة من فضلك، أتصل بزميل آخر."
            }
            Self::NobodyAnswered => "عذراً، لم يرد أحد.",
            Self::Busy => "عذراً، الخط مشغول.",
            Self::Declined => "عذراً، لا يستطيع أحد الرد على مكالمتك الآن.",
            Self::NotReachable => "عذراً، لم أتمكن من الوصول إلى أحد.",
            Self::NobodyAvailable => "عذراً، لا يوجد أحد متاح الآن.",
            Self::Closed => "عذراً، مكتبنا مغلق في الوقت الحالي.",
            Self::NoTarget => "عذراً، لا يوجد من يمكنني تحويلك إليه.",
            Self::NoMoreTransfers => "عذراً، لا أستطيع محاولة التحويل مرة أخرى في هذه المكالمة.",
            Self::BackWithAssistant => "ما زلت معك. كيف يمكنني مساعدتك؟",
            Self::MessagePrompt => "من فضلك اترك رسالة بعد الصافرة مع اسمك ورقمك.",
            Self::MessageSaved => "شكراً، لقد حفظت رسالتك.",
            Self::NoMessage => "لم أسمع أي رسالة.",
            Self::TeamInformed => "لقد أبلغت الفريق.",
            Self::SavedNotDelivered => "رسالتك محفوظة، لكنني لم أتمكن من الوصول إلى الفريق بعد.",
            Self::Notifying => "لحظة من فضلك، أبلغ الفريق باتصالك.",
            Self::NotNotified => "عذراً، لم أتمكن من الوصول إلى الفريق. من فضلك اتصل لاحقاً.",
            Self::TryingAnotherWay => "علمت للتو أن رسالتي إلى الفريق لم تصل. أحاول بطريقة أخرى.",
            Self::NotInformedAfterAll => {
                "عذراً، علمت للتو أن رسالتي إلى الفريق لم تصل. من فضلك اتصل لاحقاً."
            }
            Self::TimeLimit => "عذراً، بلغت هذه المكالمة مدتها القصوى ويجب أن تنتهي الآن.",
            Self::MachineMessage => {
                "مرحباً، حاولنا الاتصال بك هاتفياً. سنعاود الاتصال بك في وقت آخر. مع السلامة."
            }
            Self::Goodbye => "مع السلامة.",
        }
    }
}

impl std::str::FromStr for TextKey {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, TextError> {
        Self::ALL
            .into_iter()
            .find(|key| key.code() == text)
            .ok_or_else(|| TextError::UnknownKey(text.to_owned()))
    }
}

/// What may stand in braces in a text: `{department}` and `{target}`, the last dialled one with its
/// digits apart, so that it is read digit by digit.
pub const PLACEHOLDERS: [&str; 2] = ["department", "target"];

/// What is wrong with a configured text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// No such sentence.
    #[error("texts.{0} is not a sentence of the call; see the list of keys in the documentation")]
    UnknownKey(String),
    /// Empty.
    #[error("texts.{0} is empty; write a sentence or remove the line")]
    Empty(&'static str),
    /// Too long to be said to somebody who waits.
    #[error("texts.{key} has {chars} characters; {max} are allowed")]
    TooLong {
        /// Which.
        key: &'static str,
        /// How many.
        chars: usize,
        /// How many may be.
        max: usize,
    },
    /// A brace without a partner, or a name nobody knows.
    #[error("texts.{key}: {{{placeholder}}} is not known; use {{department}} or {{target}}")]
    Placeholder {
        /// Which.
        key: &'static str,
        /// The name.
        placeholder: String,
    },
}

/// The longest allowed sentence in characters: about a minute of speech.
pub const MAX_TEXT_CHARS: usize = 800;

/// Sentences that differ from the shipped ones, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<TextKey, String>",
    into = "BTreeMap<TextKey, String>"
)]
pub struct Texts(BTreeMap<TextKey, String>);

impl TryFrom<BTreeMap<TextKey, String>> for Texts {
    type Error = TextError;
    fn try_from(texts: BTreeMap<TextKey, String>) -> Result<Self, TextError> {
        for (key, text) in &texts {
            check(*key, text)?;
        }
        Ok(Self(texts))
    }
}

impl From<Texts> for BTreeMap<TextKey, String> {
    fn from(texts: Texts) -> Self {
        texts.0
    }
}

impl Texts {
    /// From the names and sentences of a configuration file.
    pub fn from_config<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, TextError> {
        let mut texts = BTreeMap::new();
        for (name, text) in entries {
            texts.insert(name.parse()?, text.to_owned());
        }
        texts.try_into()
    }

    /// The sentence with its placeholders filled in.
    pub fn render(&self, key: TextKey, language: Language, values: &[(&str, String)]) -> String {
        let template = self
            .0
            .get(&key)
            .map_or(key.default_text(language), String::as_str);
        values
            .iter()
            .fold(template.to_owned(), |text, (name, value)| {
                text.replace(&format!("{{{name}}}"), value)
            })
    }
}

fn check(key: TextKey, text: &str) -> Result<(), TextError> {
    let code = key.code();
    if text.trim().is_empty() {
        return Err(TextError::Empty(code));
    }
    let chars = text.chars().count();
    if chars > MAX_TEXT_CHARS {
        return Err(TextError::TooLong {
            key: code,
            chars,
            max: MAX_TEXT_CHARS,
        });
    }
    for part in text.split('{').skip(1) {
        let name = part.split('}').next().unwrap_or(part);
        if !part.contains('}') || !PLACEHOLDERS.contains(&name) {
            return Err(TextError::Placeholder {
                key: code,
                placeholder: name.to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_exists_in_every_language_and_is_distinct() {
        for language in [Language::En, Language::De, Language::Ar] {
            let mut seen = std::collections::BTreeSet::new();
            for key in TextKey::ALL {
                let text = key.default_text(language);
                assert_eq!(check(key, text), Ok(()), "{key:?} {language}");
                assert!(
                    seen.insert(text),
                    "{key:?} {language} says what another says"
                );
            }
        }
    }

    #[test]
    fn keys_are_written_as_in_the_json() {
        for key in TextKey::ALL {
            assert_eq!(
                serde_json::to_string(&key).unwrap(),
                format!("\"{}\"", key.code())
            );
            assert_eq!(key.code().parse(), Ok(key));
        }
    }

    #[test]
    fn only_the_right_text_claims_that_the_team_was_informed() {
        for key in TextKey::ALL {
            let claims = key.default_text(Language::En).contains("have informed")
                || key.default_text(Language::De).contains("Team informiert");
            assert_eq!(claims, key == TextKey::TeamInformed, "{key:?}");
        }
    }

    #[test]
    fn placeholders_are_filled_and_unknown_ones_refused() {
        let texts =
            Texts::from_config([("nobody_answered", "{target} in {department} is away.")]).unwrap();
        let said = texts.render(
            TextKey::NobodyAnswered,
            Language::En,
            &[("target", "2 0 0 1".into()), ("department", "sales".into())],
        );
        assert_eq!(said, "2 0 0 1 in sales is away.");
        assert_eq!(
            Texts::from_config([("busy", "{name} is busy")])
                .unwrap_err()
                .to_string(),
            "texts.busy: {name} is not known; use {department} or {target}"
        );
        assert!(Texts::from_config([("busy", "{target")]).is_err());
        assert!(Texts::from_config([("busy", " ")]).is_err());
        assert!(Texts::from_config([("bussy", "x")]).is_err());
    }
}
