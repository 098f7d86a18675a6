//! The assistant's fixed sentences. Call control has its own; these are the conversation's.

use serde::{Deserialize, Serialize};
use switchhook_model::Language;

/// Spoken verbatim, never through the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConversationTexts {
    /// The first sentence. Without one the model opens the conversation.
    pub greeting: Option<String>,
    /// Asked in turn when the caller is silent; the last is repeated.
    pub silence_prompts: Vec<String>,
    pub silence_goodbye: String,
    /// Answer to a goodbye.
    pub farewell: String,
    /// The caller spoke, but no words were recognised.
    pub not_understood: String,
    /// A provider failed; the caller may try again.
    pub trouble: String,
    /// Providers keep failing.
    pub trouble_goodbye: String,
    /// The bound on turns or minutes was reached.
    pub limit_goodbye: String,
    /// Spoken in turn while an answer takes long.
    pub fillers: Vec<String>,
    /// Before the beep, when the model takes a message.
    pub message_prompt: String,
}

impl ConversationTexts {
    /// Complete texts of a language.
    pub fn defaults(language: Language) -> Self {
        let own = |text: &str| text.to_owned();
        match language {
            Language::En => Self {
                greeting: Some(own(
                    "Hello, this is your virtual assistant. How can I help you?",
                )),
                silence_prompts: vec![
                    own("Are you still there?"),
                    own("I can't hear you. How can I help?"),
                    own("If you are still there, please say something or press zero for a human."),
                ],
                silence_goodbye: own("I can't hear you, so I will end the call now. Goodbye."),
                farewell: own("Thank you for calling. Goodbye."),
                not_understood: own("Sorry, I didn't catch that. Could you say it again?"),
                trouble: own("Sorry, something went wrong on my side. Could you say that again?"),
                trouble_goodbye: own("I'm sorry, I have a technical problem and cannot go on. \
                     Please call again later. Goodbye."),
                limit_goodbye: own("We have reached the end of this call's time. Goodbye."),
                fillers: vec![own("One moment, please."), own("Let me see.")],
                message_prompt: own(
                    "Please speak after the tone. Press the hash key when you are done, \
                     or simply stop speaking.",
                ),
            },
            Language::De => Self {
                greeting: Some(own(
                    "Guten Tag, hier ist Ihre virtuelle Assistentin. Wie kann ich Ihnen helfen?",
                )),
                silence_prompts: vec![
                    own("Sind Sie noch da?"),
                    own("Ich höre Sie leider nicht. Wie kann ich Ihnen helfen?"),
                    own(
                        "Wenn Sie noch da sind, sagen Sie bitte etwas oder drücken Sie die Null \
                         für einen Menschen.",
                    ),
                ],
                silence_goodbye: own(
                    "Ich höre Sie leider nicht und beende jetzt das Gespräch. Auf Wiederhören.",
                ),
                farewell: own("Vielen Dank für Ihren Anruf. Auf Wiederhören."),
                not_understood: own(
                    "Das habe ich leider nicht verstanden. Können Sie es bitte wiederholen?",
                ),
                trouble: own(
                    "Entschuldigung, bei mir ist etwas schiefgegangen. Können Sie das bitte noch \
                     einmal sagen?",
                ),
                trouble_goodbye: own(
                    "Es tut mir leid, ich habe eine technische Störung und komme nicht weiter. \
                     Bitte rufen Sie später noch einmal an. Auf Wiederhören.",
                ),
                limit_goodbye: own("Die Zeit für dieses Gespräch ist leider um. Auf Wiederhören."),
                fillers: vec![own("Einen Moment, bitte."), own("Ich sehe kurz nach.")],
                message_prompt: own(
                    "Bitte sprechen Sie nach dem Ton. Drücken Sie die Rautetaste, wenn Sie fertig \
                     sind, oder hören Sie einfach auf zu sprechen.",
                ),
            },
            Language::Ar => Self {
                greeting: Some(own("مرحباً، أنا مساعدتك الافتراضية. كيف يمكنني مساعدتك؟")),
                silence_prompts: vec![
                    own("هل ما زلت معي؟"),
                    own("لا أسمعك. كيف يمكنني مساعدتك؟"),
                    own("إذا كنت معي فتكلم من فضلك أو اضغط صفر للتحدث مع موظف."),
                ],
                silence_goodbye: own("لا أسمعك، لذلك سأنهي المكالمة الآن. مع السلامة."),
                farewell: own("شكراً لاتصالك. مع السلامة."),
                not_understood: own("عفواً، لم أفهم ذلك. هل يمكنك إعادته؟"),
                trouble: own("عفواً، حدث خطأ عندي. هل يمكنك إعادة ما قلت؟"),
                trouble_goodbye: own("نعتذر، لدينا عطل فني. يرجى الاتصال لاحقاً. مع السلامة."),
                limit_goodbye: own("انتهى وقت هذه المكالمة. مع السلامة."),
                fillers: vec![own("لحظة من فضلك.")],
                message_prompt: own("تكلم بعد الصافرة من فضلك، واضغط مفتاح المربع عند الانتهاء."),
            },
        }
    }
}
