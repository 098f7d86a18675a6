//! The next program of a call, as the carrier reads it.
//!
//! It is given with the step that has it, also if the request that waits for it is another: that one
//! finds it stored. A request that is gone is followed by one at the fallback URL, which finds it, too.

use switchhook_adapters::twilio::twiml::Document;
use switchhook_model::Timestamp;

use super::channel::Channel;
use super::document;
use super::settings::Settings;

/// The next program as the carrier reads it. Another delivery of the same webhook may have got it
/// already.
pub(super) fn give(
    channel: &mut Channel,
    now: Timestamp,
    is_late: bool,
    settings: &Settings,
) -> Option<String> {
    if !channel.state.in_hand {
        let last = channel.state.last.clone();
        return last.or_else(|| Some(written(&document::hangup())));
    }
    let program = if is_late {
        channel.program_now(now)
    } else {
        channel.program(now)?
    };
    let text = match document::render(&program, channel, settings) {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(call.id = %channel.call.id(), %error, "a program cannot be carried out");
            // A target that cannot be dialled: the call goes on to what follows.
            channel.not_carried_out(now, &program, &error.to_string());
            return give_after_fault(channel, now, settings);
        }
    };
    channel.state.last = Some(text.clone());
    Some(text)
}

fn give_after_fault(channel: &mut Channel, now: Timestamp, settings: &Settings) -> Option<String> {
    let program = channel.program_now(now);
    let text = document::render(&program, channel, settings)
        .unwrap_or_else(|_| written(&document::apology(settings)));
    channel.state.last = Some(text.clone());
    Some(text)
}

/// A document of our own words: that it cannot be written is a fault of ours, and nothing to say is
/// better than the carrier's error message.
pub(super) fn written(document: &Document) -> String {
    document.to_xml().unwrap_or_else(|error| {
        tracing::error!(%error, "a document could not be written");
        NOTHING.to_owned()
    })
}

const NOTHING: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response><Hangup/></Response>"#;
