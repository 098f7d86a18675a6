//! From the configuration to the rules that `call` and `conversation` follow.

use switchhook_call::{CallPolicy, RecordPolicy, Texts};
use switchhook_conversation::{
    Bounds, ConversationConfig, ConversationTexts, Department, EndpointingConfig, LocalZone,
    ToolPolicy, UnknownZone,
};

use switchhook_adapters::Secret;
use switchhook_model::Language;

use switchhook_sip::{DialTarget, Source, TrunkId};

use crate::config::{BrainConfig, Config, NoticeWay};
use crate::notices::{Way, Ways, Words};

fn whole_seconds(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// The rules of a call under this configuration.
pub fn call(config: &Config) -> CallPolicy {
    let transfer = &config.transfer;
    CallPolicy {
        ring_timeout_s: whole_seconds(transfer.ring_timeout),
        targets: transfer.departments.clone(),
        default_targets: transfer.targets.clone(),
        allow_spoken_extension: transfer.spoken_extension,
        dialable_extensions: config.extensions.keys().cloned().collect(),
        open_hours: transfer.open_hours.clone(),
        fallback: transfer.fallback.clone(),
        fallback_on: transfer.fallback_on.clone(),
        closed_fallback: transfer.closed_fallback.clone(),
        max_transfers: transfer.max_transfers,
        caller_id: config
            .outbound
            .trunk
            .as_ref()
            .and_then(|name| config.trunks.get(name))
            .and_then(|trunk| trunk.caller_id.as_ref())
            .map(ToString::to_string),
        record: if config.recording.enabled {
            RecordPolicy::AssistantCalls
        } else {
            RecordPolicy::Off
        },
        max_call_s: whole_seconds(config.limits.call),
        notice_timeout_s: whole_seconds(config.notice.wait),
        language: config.language,
        machine: config.outbound.machine,
        texts: call_texts(config),
        ..CallPolicy::default()
    }
}

/// Sentences of the call that differ from the shipped ones; they were checked.
fn call_texts(config: &Config) -> Texts {
    let message = config.outbound.machine_message.as_deref();
    let texts = message.map(|text| ("machine_message", text));
    Texts::from_config(texts).unwrap_or_default()
}

/// How staff are reached.
pub fn ways(config: &Config) -> Ways {
    let chain = config
        .notice
        .ways
        .iter()
        .map(|way| match way {
            NoticeWay::Webhook(url, secret) => Way::Webhook {
                url: url.clone(),
                secret: secret.as_ref().map(|s| Secret::new(s.expose())),
            },
            NoticeWay::Inbox => Way::Inbox,
            NoticeWay::Sms { from, to } => Way::Sms {
                from: from.clone(),
                to: to.clone(),
            },
            NoticeWay::WhatsApp { from, to, template } => Way::WhatsApp {
                from: from.clone(),
                to: to.clone(),
                template: template.clone(),
            },
        })
        .collect();
    let words = Words {
        language: config.language,
        assistant: config.assistant.name.clone(),
        ring_timeout_s: whole_seconds(config.transfer.ring_timeout),
    };
    Ways::new(chain, words)
}

/// Whether a caller who came from there may have others sent outside: it costs us calls.
pub(super) fn source_may_refer_out(config: &Config, source: &Source) -> bool {
    match source {
        Source::Extension(_) => true,
        Source::Trunk(trunk) => trunk_may_refer(config, trunk),
        Source::Guest => false,
    }
}

/// Whether whom we called may.
pub(super) fn may_refer_out(config: &Config, target: &DialTarget) -> bool {
    match target {
        DialTarget::Extension(_) => true,
        DialTarget::Trunk { trunk, .. } => trunk_may_refer(config, trunk),
        DialTarget::Uri(_) => false,
    }
}

fn trunk_may_refer(config: &Config, trunk: &TrunkId) -> bool {
    config
        .trunks
        .get(trunk.as_str())
        .is_some_and(|trunk| trunk.may_refer)
}

/// The shipped prompts for a silent caller before the one that offers a human.
const SILENCE_PROMPTS_WITHOUT_HUMAN: usize = 2;

/// Whether the configuration names anybody a caller could be passed on to.
fn has_targets(config: &Config) -> bool {
    let transfer = &config.transfer;
    let mut lists = std::iter::once(&transfer.targets).chain(transfer.departments.values());
    lists.any(|targets| !targets.is_empty())
}

/// How the assistant talks under this configuration.
pub fn conversation(config: &Config) -> Result<ConversationConfig, UnknownZone> {
    let zone: LocalZone = config.time_zone.parse()?;
    let mut talk = ConversationConfig::new(config.language, zone);
    let has_targets = has_targets(config);
    talk.texts = texts(config);
    talk.system_prompt = system_prompt(config);
    talk.departments = config
        .transfer
        .departments
        .keys()
        .map(|name| Department {
            name: name.clone(),
            aliases: Vec::new(),
        })
        .collect();
    talk.allow_spoken_extension = config.transfer.spoken_extension;
    // Where nobody can be reached, no human is spoken of.
    talk.match_transfer_phrases = config.transfer.phrases && has_targets;
    talk.keypad_human = has_targets;
    if !has_targets {
        talk.texts
            .silence_prompts
            .truncate(SILENCE_PROMPTS_WITHOUT_HUMAN);
    }
    talk.match_exit_phrases = config.transfer.phrases;
    talk.tools = ToolPolicy {
        request_human_transfer: has_targets,
        book_appointment: true,
        ..ToolPolicy::default()
    };
    talk.bounds = Bounds {
        max_silence_prompts: config.limits.silent_prompts,
        max_turns: config.limits.turns,
        max_minutes: whole_seconds(config.limits.assistant) / 60,
        max_errors: config.limits.errors,
        ..Bounds::default()
    };
    Ok(talk)
}

/// When the caller's turn begins and ends.
pub fn endpointing(config: &Config) -> EndpointingConfig {
    EndpointingConfig {
        end_silence_ms: u64::try_from(config.assistant.end_silence.as_millis()).unwrap_or(700),
        ..EndpointingConfig::default()
    }
}

fn texts(config: &Config) -> ConversationTexts {
    let mut texts = ConversationTexts::defaults(config.language);
    let greeting = config.assistant.greeting.clone();
    let greeting = greeting.unwrap_or_else(|| greeting_of(config));
    texts.greeting = Some(match announcement(config) {
        Some(announcement) => format!("{announcement} {greeting}"),
        None => greeting,
    });
    texts
}

/// What is said before anything is recorded.
pub fn announcement(config: &Config) -> Option<&'static str> {
    let is_due = config.recording.enabled && config.recording.announce;
    is_due.then_some(match config.language {
        Language::En => "This call is recorded.",
        Language::De => "Dieses Gespräch wird aufgezeichnet.",
        Language::Ar => "هذه المكالمة مسجلة.",
    })
}

/// The shipped greeting with the assistant's and the company's name.
fn greeting_of(config: &Config) -> String {
    let name = &config.assistant.name;
    match (config.language, &config.assistant.company) {
        (Language::En, None) => {
            format!("Hello, this is {name}, your virtual assistant. How can I help you?")
        }
        (Language::En, Some(company)) => format!(
            "Hello and welcome to {company}. This is {name}, your virtual assistant. How can I help you?"
        ),
        (Language::De, None) => format!(
            "Guten Tag, hier ist {name}, Ihre virtuelle Assistentin. Wie kann ich Ihnen helfen?"
        ),
        (Language::De, Some(company)) => format!(
            "Guten Tag und willkommen bei {company}. Hier ist {name}, Ihre virtuelle Assistentin. Wie kann ich Ihnen helfen?"
        ),
        (Language::Ar, _) => {
            format!("مرحباً، أنا {name}، مساعدتك الافتراضية. كيف يمكنني مساعدتك؟")
        }
    }
}

fn system_prompt(config: &Config) -> String {
    if !matches!(config.assistant.brain, BrainConfig::OpenAi(_)) {
        return String::new();
    }
    let mut prompt = format!("You are {}, the voice assistant", config.assistant.name);
    if let Some(company) = &config.assistant.company {
        prompt.push_str(&format!(" of {company}"));
    }
    prompt.push_str(
        ", talking on the telephone. Answer in one or two short spoken sentences, without lists, \
         markup or emoji. Never invent facts, and never claim that somebody was informed",
    );
    if has_targets(config) {
        prompt.push_str(" or that a human is coming");
    }
    prompt.push_str(": the telephone system says so itself when it is true.");
    if let Some(instructions) = &config.assistant.instructions {
        prompt.push_str("\n\n");
        prompt.push_str(instructions);
    }
    prompt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Source as From, load};

    /// Toll fraud begins with whoever may have us dial.
    #[test]
    fn who_may_have_others_sent_outside() {
        let trunk = |line: &str| {
            let text =
                format!("mode = \"demo\"\n[trunks.pbx]\ntermination = \"192.0.2.1\"\n{line}");
            let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
            std::fs::write(file.path(), text).unwrap();
            load(
                &From::File(file.path().to_owned()),
                &Environment::from_pairs([]),
            )
            .unwrap()
        };
        let pbx = || TrunkId::new("pbx".to_owned());
        let called = || DialTarget::Trunk {
            trunk: pbx(),
            number: "+493023125110".to_owned(),
        };
        for (line, expected) in [("", false), ("may_refer = true", true)] {
            let config = trunk(line);
            assert_eq!(
                source_may_refer_out(&config, &Source::Trunk(pbx())),
                expected
            );
            assert_eq!(may_refer_out(&config, &called()), expected);
            assert!(!source_may_refer_out(&config, &Source::Guest));
            let uri = DialTarget::Uri("sip:a@example.com".to_owned());
            assert!(!may_refer_out(&config, &uri));
            let extension = || "2001".parse().unwrap();
            assert!(source_may_refer_out(
                &config,
                &Source::Extension(extension())
            ));
            assert!(may_refer_out(&config, &DialTarget::Extension(extension())));
        }
    }
}
