//! What is said while a PIN is asked for, word by word: nothing of it passes a model.

use serde::{Deserialize, Serialize};
use switchhook_model::Language;

/// Which sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinText {
    /// The first question.
    Prompt,
    /// Neither speech nor keys.
    NothingHeard,
    /// Something else than four to six digits.
    NotAPin,
    /// Nobody has this PIN.
    Wrong,
    /// It could not be looked up.
    Trouble,
    /// No further attempt.
    Locked,
    /// The caller said goodbye, or gave no PIN as often as the bound allows.
    GiveUp,
    /// The PIN is right. `{name}` stands for the caller's.
    Welcome,
    /// The PIN is right, and the account has no name.
    WelcomeUnnamed,
}

/// The sentences. Each question stands for itself: it says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinTexts {
    pub prompt: String,
    /// Behind the questions, where callers without a PIN may reach a human.
    pub human: String,
    pub nothing_heard: String,
    pub not_a_pin: String,
    pub wrong: String,
    pub trouble: String,
    pub locked: String,
    pub give_up: String,
    pub welcome: String,
    pub welcome_unnamed: String,
}

impl PinTexts {
    /// Complete texts of a language.
    pub fn defaults(language: Language) -> Self {
        let own = |text: &str| text.to_owned();
        match language {
            Language::En => Self {
                prompt: own(
                    "Please say your four to six digit PIN, or enter it and press the hash key.",
                ),
                human: own("To speak to a human, press zero."),
                nothing_heard: own(
                    "I did not hear anything. Please say your PIN, or enter it and press the hash \
                     key.",
                ),
                not_a_pin: own(
                    "A PIN has four to six digits. Please say them one by one, or enter them and \
                     press the hash key.",
                ),
                wrong: own("That PIN is not right. Please try again."),
                trouble: own("I could not check your PIN just now. Please try again."),
                locked: own("There were too many wrong PINs, so I cannot check another one now."),
                give_up: own("Without a PIN I cannot go on. Goodbye."),
                welcome: own("Welcome back, {name}. How can I help you?"),
                welcome_unnamed: own("Welcome back. How can I help you?"),
            },
            Language::De => Self {
                prompt: own(
                    "Bitte sagen Sie Ihre vier- bis sechsstellige PIN, oder geben Sie sie ein und \
                     drücken Sie die Rautetaste.",
                ),
                human: own("Wenn Sie mit einem Menschen sprechen möchten, drücken Sie die Null."),
                nothing_heard: own(
                    "Ich habe nichts gehört. Bitte sagen Sie Ihre PIN, oder geben Sie sie ein und \
                     drücken Sie die Rautetaste.",
                ),
                not_a_pin: own(
                    "Eine PIN hat vier bis sechs Ziffern. Bitte sagen Sie sie einzeln, oder geben \
                     Sie sie ein und drücken Sie die Rautetaste.",
                ),
                wrong: own("Diese PIN stimmt leider nicht. Bitte versuchen Sie es noch einmal."),
                trouble: own(
                    "Ich konnte Ihre PIN gerade nicht prüfen. Bitte versuchen Sie es noch einmal.",
                ),
                locked: own(
                    "Es gab zu viele falsche PINs, deshalb kann ich jetzt keine weitere prüfen.",
                ),
                give_up: own("Ohne PIN komme ich leider nicht weiter. Auf Wiederhören."),
                welcome: own("Willkommen zurück, {name}. Wie kann ich Ihnen helfen?"),
                welcome_unnamed: own("Willkommen zurück. Wie kann ich Ihnen helfen?"),
            },
            Language::Ar => Self {
                prompt: own("من فضلك قل رقمك السري المكون من أربعة إلى ستة أرقام، \
                     أو أدخله ثم اضغط مفتاح المربع."),
                human: own("للتحدث مع موظف اضغط صفر."),
                nothing_heard: own(
                    "لم أسمع شيئاً. من فضلك قل رقمك السري، أو أدخله ثم اضغط مفتاح المربع.",
                ),
                not_a_pin: own("الرقم السري من أربعة إلى ستة أرقام. \
                     من فضلك قلها رقماً رقماً، أو أدخلها ثم اضغط مفتاح المربع."),
                wrong: own("هذا الرقم السري غير صحيح. حاول مرة أخرى من فضلك."),
                trouble: own("لم أتمكن من التحقق من رقمك السري الآن. حاول مرة أخرى من فضلك."),
                locked: own("كانت هناك محاولات خاطئة كثيرة، لذلك لا أستطيع التحقق من رقم آخر الآن."),
                give_up: own("لا أستطيع المتابعة بدون الرقم السري. مع السلامة."),
                welcome: own("أهلاً بعودتك، {name}. كيف يمكنني مساعدتك؟"),
                welcome_unnamed: own("أهلاً بعودتك. كيف يمكنني مساعدتك؟"),
            },
        }
    }

    /// One sentence, as configured.
    pub fn get(&self, text: PinText) -> &str {
        match text {
            PinText::Prompt => &self.prompt,
            PinText::NothingHeard => &self.nothing_heard,
            PinText::NotAPin => &self.not_a_pin,
            PinText::Wrong => &self.wrong,
            PinText::Trouble => &self.trouble,
            PinText::Locked => &self.locked,
            PinText::GiveUp => &self.give_up,
            PinText::Welcome => &self.welcome,
            PinText::WelcomeUnnamed => &self.welcome_unnamed,
        }
    }
}
