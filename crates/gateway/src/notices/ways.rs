//! How staff can be reached.

use std::sync::Arc;

use switchhook_adapters::Secret;
use switchhook_model::{E164, Language};

/// One way.
#[derive(Debug, Clone)]
pub enum Way {
    /// To this URL, signed when there is a secret.
    Webhook { url: String, secret: Option<Secret> },
    /// Nowhere else: the message row is the inbox, shown by `/api/messages`.
    Inbox,
    /// By Twilio.
    Sms { from: E164, to: E164 },
    /// By Twilio, as free text within 24 hours of the receiver's last word, else as a template that
    /// was approved: `template` is its `HX…` id; its first variable is the text.
    WhatsApp {
        from: E164,
        to: E164,
        template: Option<String>,
    },
}

impl Way {
    pub(super) fn channel(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Inbox => "inbox",
            Self::Sms { .. } => "sms",
            Self::WhatsApp { .. } => "whatsapp",
        }
    }

    /// Who receives it, as the console shows it: of a URL the host, never a path that may hold a
    /// token.
    pub(super) fn recipient(&self) -> String {
        match self {
            Self::Webhook { url, .. } => url::Url::parse(url)
                .ok()
                .and_then(|url| url.host_str().map(str::to_owned))
                .unwrap_or_else(|| "webhook".to_owned()),
            Self::Inbox => "staff".to_owned(),
            Self::Sms { to, .. } | Self::WhatsApp { to, .. } => to.to_string(),
        }
    }

    /// Whether a person reads it as it is.
    pub(super) fn reads_text(&self) -> bool {
        match self {
            Self::Sms { .. } | Self::WhatsApp { .. } => true,
            Self::Webhook { .. } | Self::Inbox => false,
        }
    }
}

/// What the texts are made with.
#[derive(Debug, Clone)]
pub struct Words {
    pub language: Language,
    /// The assistant's name, before the text.
    pub assistant: String,
    /// Seconds a target rings.
    pub ring_timeout_s: u32,
}

/// All ways, the best one first; never none.
#[derive(Debug, Clone)]
pub struct Ways {
    chain: Arc<[Way]>,
    words: Arc<Words>,
}

impl Ways {
    /// Without any, the inbox is the way.
    pub fn new(chain: Vec<Way>, words: Words) -> Self {
        let chain = if chain.is_empty() {
            vec![Way::Inbox]
        } else {
            chain
        };
        Self {
            chain: chain.into(),
            words: Arc::new(words),
        }
    }

    /// The built-in inbox alone.
    #[cfg(test)]
    pub fn inbox() -> Self {
        let words = Words {
            language: Language::default(),
            assistant: "Clara".to_owned(),
            ring_timeout_s: 20,
        };
        Self::new(Vec::new(), words)
    }

    pub fn get(&self, way: usize) -> Option<&Way> {
        self.chain.get(way)
    }

    pub fn first(&self) -> &Way {
        &self.chain[0]
    }

    pub fn is_last(&self, way: usize) -> bool {
        way + 1 >= self.chain.len()
    }

    pub(super) fn words(&self) -> &Words {
        &self.words
    }
}
