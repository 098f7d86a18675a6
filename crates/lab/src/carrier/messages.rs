//! Messages: SMS and WhatsApp, accepted or refused at once, and what becomes of them afterwards.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Shared;
use super::log::WebhookKind;
use super::people::target::is_e164;
use super::sign::{Params, all, first, pair};
use super::webhooks::Ask;

/// What becomes of a message in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// `sent`, then `delivered`.
    Delivered,
    /// `sent`, `delivered`, `read` (WhatsApp).
    Read,
    /// `sent`, and never anything again.
    OnlySent,
    /// `sent`, then `undelivered` with this code, such as 30005.
    Undelivered(u32),
    /// `failed` with this code, such as 63016.
    Failed(u32),
    /// The request itself is refused: HTTP 400 with this code, such as 21610.
    Refused(u32),
}

/// What becomes of messages to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFate {
    /// How it ends.
    pub fate: Fate,
    /// Time between two states (carrier time).
    pub step: Duration,
    /// Whether a WhatsApp recipient has joined the sandbox.
    pub joined: bool,
}

impl Default for MessageFate {
    fn default() -> Self {
        Self::of(Fate::Delivered)
    }
}

impl MessageFate {
    /// A second between two states; joined.
    pub fn of(fate: Fate) -> Self {
        Self {
            fate,
            step: Duration::from_secs(1),
            joined: true,
        }
    }

    /// A recipient who has not joined the sandbox.
    pub fn not_joined() -> Self {
        Self {
            joined: false,
            ..Self::default()
        }
    }
}

/// A message as REST shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `SM…`.
    pub sid: String,
    /// Sender.
    pub from: String,
    /// Recipient.
    pub to: String,
    /// Text; for a template empty.
    pub body: String,
    /// `HX…`, if a template was sent.
    pub content_sid: Option<String>,
    /// The template's variables, JSON.
    pub content_variables: Option<String>,
    /// `queued`, `sent`, `delivered`, `undelivered`, `failed`, `read`.
    pub status: String,
    /// Every status so far, in order.
    pub history: Vec<String>,
    /// Of `undelivered` and `failed`.
    pub error_code: Option<u32>,
    /// When it was accepted.
    pub created: Timestamp,
}

/// Messages: "63016 outside the 24-hour window", "63015 sandbox not joined".
const OUTSIDE_WINDOW: u32 = 63016;
const NOT_JOINED: u32 = 63015;

impl Shared {
    /// Takes a message; gives it, or the code of the refusal.
    pub(super) fn send_message(self: &Arc<Self>, form: &Params) -> Result<Message, u32> {
        let text = |name: &str| first(form, name).unwrap_or_default().to_owned();
        let (from, to, body) = (text("From"), text("To"), text("Body"));
        let content_sid = first(form, "ContentSid").map(str::to_owned);
        let media = all(form, "MediaUrl");
        let fate = self.judge(&from, &to)?;
        if let Fate::Refused(code) = fate.fate {
            return Err(code);
        }
        // Messages: 21602 body missing, 21617 longer than 1600, 21623 too many media, 21654
        // variables without a template, 21655 bad template, 21656 variables are no JSON.
        if body.is_empty() && media.is_empty() && content_sid.is_none() {
            return Err(21602);
        }
        if body.chars().count() > 1_600 {
            return Err(21617);
        }
        if media.len() > 10 {
            return Err(21623);
        }
        let variables = first(form, "ContentVariables").map(str::to_owned);
        match (&content_sid, &variables) {
            (None, Some(_)) => return Err(21654),
            (Some(sid), _) if !sid.starts_with("HX") => return Err(21655),
            (Some(_), Some(text)) if serde_json::from_str::<serde_json::Value>(text).is_err() => {
                return Err(21656);
            }
            (None | Some(_), None) | (Some(_), Some(_)) => {}
        }
        let message = Message {
            sid: super::sid("SM"),
            from,
            to,
            body,
            content_sid,
            content_variables: variables,
            status: "queued".to_owned(),
            history: vec!["queued".to_owned()],
            error_code: None,
            created: Timestamp::now(),
        };
        self.state().messages.push(message.clone());
        self.pulse.beat();
        let (shared, sid) = (Arc::clone(self), message.sid.clone());
        let end = self.end_of(&message, &fate);
        let callback = first(form, "StatusCallback").map(str::to_owned);
        self.beside(async move { shared.deliver(&sid, &end, fate.step, callback).await });
        Ok(message)
    }

    /// Whether sender and recipient go together.
    fn judge(&self, from: &str, to: &str) -> Result<MessageFate, u32> {
        let (sender, is_channel) = match from.strip_prefix("whatsapp:") {
            Some(number) => (number, true),
            None => (from, false),
        };
        let (recipient, to_channel) = match to.strip_prefix("whatsapp:") {
            Some(number) => (number, true),
            None => (to, false),
        };
        // Messages: 21211 bad To, 21603 From missing.
        if !is_e164(recipient) {
            return Err(21211);
        }
        if from.is_empty() {
            return Err(21603);
        }
        let config = &self.config;
        if to_channel || is_channel {
            let known = config.whatsapp_senders.iter().any(|s| s == sender)
                || config.whatsapp_sandbox.as_deref() == Some(sender);
            // 63007: no channel for this From: the prefix is missing or the sender unknown.
            if !is_channel || !known {
                return Err(63007);
            }
            if !to_channel {
                return Err(21612);
            }
        } else {
            let is_alphanumeric = !sender.starts_with('+') && sender.len() <= 11;
            let owned = {
                let state = self.state();
                state.numbers.iter().find(|n| n.number == sender).cloned()
            };
            // 21606: From is not message-capable; 21212: no sender at all.
            match owned {
                Some(number) if number.messages => {}
                Some(_) => return Err(21606),
                None if is_alphanumeric => {}
                None if is_e164(sender) => return Err(21606),
                None => return Err(21212),
            }
        }
        Ok(self.state().fates.get(to).cloned().unwrap_or_default())
    }

    /// How a message ends: the channel's rules before what was scripted.
    fn end_of(&self, message: &Message, fate: &MessageFate) -> Fate {
        let Some(sender) = message.from.strip_prefix("whatsapp:") else {
            return fate.fate.clone();
        };
        let is_sandbox = self.config.whatsapp_sandbox.as_deref() == Some(sender);
        if is_sandbox && !fate.joined {
            return Fate::Failed(NOT_JOINED);
        }
        // WhatsApp: free text only within 24 hours of the recipient's last message; outside it a
        // template, or 63016 by callback. The POST itself is 201.
        let open = self.state().windows.contains(&message.to);
        if !open && message.content_sid.is_none() {
            return Fate::Failed(OUTSIDE_WINDOW);
        }
        fate.fate.clone()
    }

    async fn deliver(
        self: &Arc<Self>,
        sid: &str,
        end: &Fate,
        step: Duration,
        callback: Option<String>,
    ) {
        let states: Vec<(&str, Option<u32>)> = match end {
            Fate::Delivered => vec![("sent", None), ("delivered", None)],
            Fate::Read => vec![("sent", None), ("delivered", None), ("read", None)],
            Fate::OnlySent => vec![("sent", None)],
            Fate::Undelivered(code) => vec![("sent", None), ("undelivered", Some(*code))],
            Fate::Failed(code) => vec![("failed", Some(*code))],
            Fate::Refused(_) => Vec::new(),
        };
        for (status, error) in states {
            tokio::time::sleep(self.config.pace.wall(step)).await;
            let message = {
                let mut state = self.state();
                let mut messages = state.messages.iter_mut();
                let Some(message) = messages.find(|m| m.sid == sid) else {
                    return;
                };
                status.clone_into(&mut message.status);
                message.history.push(status.to_owned());
                message.error_code = error;
                message.clone()
            };
            self.pulse.beat();
            if let Some(url) = &callback {
                self.tell_message(&message, url).await;
            }
        }
    }

    /// Message status callback.
    async fn tell_message(self: &Arc<Self>, message: &Message, url: &str) {
        let mut params = vec![
            pair("AccountSid", &self.config.account_sid),
            pair("ApiVersion", "2010-04-01"),
            pair("From", &message.from),
            pair("To", &message.to),
            pair("MessageSid", &message.sid),
            pair("SmsSid", &message.sid),
            pair("MessageStatus", &message.status),
            pair("SmsStatus", &message.status),
        ];
        if let Some(code) = message.error_code {
            params.push(pair("ErrorCode", code.to_string()));
        }
        if message.from.starts_with("whatsapp:") {
            params.push(pair("ChannelPrefix", "whatsapp"));
        }
        self.notify(Ask {
            kind: WebhookKind::Message,
            leg: None,
            url: url.to_owned(),
            method: "POST".to_owned(),
            params,
        })
        .await;
    }
}
