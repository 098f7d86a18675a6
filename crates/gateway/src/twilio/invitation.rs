//! An agent who is met in a conference: the dial over REST, and the documents of both.
//!
//! The agent's document travels with the dial: whoever answers is connected also if no process of
//! ours runs at that moment.

use switchhook_adapters::Secret;
use switchhook_adapters::twilio::rest::{CallDocument, NewCall, SipLogin};
use switchhook_adapters::twilio::twiml::{Beep, CallEvent, Conference, Dial, Document, Noun, Play};
use switchhook_media::wav;
use switchhook_media::{SAMPLE_RATE_HZ, Tone, ToneCountry};
use switchhook_model::{E164, Language, LegId, Target};

use super::channel::Channel;
use super::document::{self, Urls};
use super::settings::Settings;

/// Adds little delay; the carrier's own choice adds 300 ms and more.
const JITTER_BUFFER: &str = "small";
/// Caller and agent.
const PARTICIPANTS: u32 = 2;

/// Leads the caller into the conference: it begins with the agent and ends with either.
pub(super) fn entrance(urls: &Urls<'_>, leg: &LegId, action: String) -> Dial {
    Dial {
        action: Some(action),
        targets: vec![Noun::Conference(Conference {
            start_on_enter: Some(false),
            participant_label: Some("caller".to_owned()),
            wait_url: Some(urls.of_leg("room", leg)),
            ..conference(leg)
        })],
        ..Dial::default()
    }
}

/// One for each dial, and no place for numbers and names: an account's conferences are one list.
fn conference(leg: &LegId) -> Conference {
    Conference {
        name: leg.to_string(),
        end_on_exit: Some(true),
        beep: Some(Beep::Never),
        max_participants: Some(PARTICIPANTS),
        jitter_buffer_size: Some(JITTER_BUFFER.to_owned()),
        ..Conference::default()
    }
}

/// Leads the agent into it.
pub(super) fn seat(leg: &LegId) -> Document {
    let seat = Dial::to(Noun::Conference(Conference {
        start_on_enter: Some(true),
        participant_label: Some("agent".to_owned()),
        // Nobody who comes late is to listen to music.
        wait_url: Some(String::new()),
        ..conference(leg)
    }));
    Document::new().dial(seat).hangup()
}

/// The dial of the agent of this leg.
///
/// # Errors
/// If it cannot be made, with cause and cure.
pub(super) fn call(channel: &Channel, leg: &LegId, settings: &Settings) -> Result<NewCall, String> {
    let section = &settings.section;
    let order = &channel.seat(leg).ok_or("nobody is to be dialled")?.order;
    let urls = Urls::of(channel, settings);
    let uri = document::sip_uri(&order.target, &order.display, &urls, settings)
        .map_err(|error| error.to_string())?;
    let is_sip = uri.is_some();
    let to = uri.map_or_else(|| order.target.to_string(), |uri| uri.to_string());
    let (from, call_token) = shown(channel, settings, &order.target).ok_or(
        "a leg over REST is dialled from a number of ours: set twilio.number (TWILIO_PHONE_NUMBER)",
    )?;
    let mut document = Document::new();
    if section.whisper {
        document = document::whisper(channel, leg, settings);
    }
    if section.accept_key.is_none() {
        for verb in seat(leg).verbs() {
            document = document.with(verb.clone());
        }
    }
    let document = document
        .to_inline_xml()
        .map_err(|error| error.to_string())?;
    let login = section.sip_credentials.as_ref().filter(|_| is_sip);
    Ok(NewCall {
        status_callback: Some(urls.of_leg("status", leg)),
        status_callback_events: CallEvent::ALL.to_vec(),
        timeout: Some(order.ring_timeout_s),
        sip_login: login.map(|(user, password)| SipLogin {
            username: user.clone(),
            password: Secret::new(password.expose()),
        }),
        call_token,
        ..NewCall::new(to, from, CallDocument::Twiml(document))
    })
}

/// The number the agent sees, as for a dial from the caller's leg; the caller's own number is shown to
/// a telephone only with what the carrier sent for that.
fn shown(
    channel: &Channel,
    settings: &Settings,
    target: &Target,
) -> Option<(String, Option<String>)> {
    let section = &settings.section;
    if let Some(configured) = &section.caller_id {
        return Some((configured.to_string(), None));
    }
    let caller = channel.call.view().caller.parse::<E164>().ok();
    let token = channel.state.call_token.as_ref().map(|token| &token.0);
    let is_phone = matches!(target, Target::Number(_));
    let passed = caller.filter(|_| section.passes_caller && (!is_phone || token.is_some()));
    if let Some(caller) = passed {
        return Some((caller.to_string(), token.filter(|_| is_phone).cloned()));
    }
    let own = section.number.as_ref()?;
    Some((own.to_string(), None))
}

/// While the agent rings: the ringing tone. Its file has no secret and needs none.
pub(super) fn waiting(channel: &Channel, settings: &Settings) -> Document {
    let urls = Urls::of(channel, settings);
    Document::new().play(Play::Forever(urls.open("ringback.wav")))
}

/// For whoever waits for nothing.
pub(super) fn silence() -> Document {
    Document::new().pause(1)
}

/// One round of the ringing tone, as a WAV file.
pub(super) fn ringback(language: Language) -> Vec<u8> {
    let country = match language {
        Language::En => ToneCountry::Us,
        Language::De | Language::Ar => ToneCountry::De,
    };
    wav::encode_mono(&Tone::ringback(country).render(), SAMPLE_RATE_HZ)
}
