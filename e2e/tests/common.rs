//! What many tests begin with: a caller, and a call with the assistant whose greeting was heard.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use switchhook_e2e::api::{Api, pretty};
use switchhook_e2e::baresip::{Baresip, BaresipConfig};
use switchhook_e2e::gateway::Gateway;
use switchhook_e2e::phrases::Phrase;
use switchhook_lab::audio::speech::{self, Sound, Stretch};
use switchhook_lab::audio::{Audio, tone, wav};
use switchhook_lab::notices::{Delivery, NoticeReceiver};
use switchhook_lab::phone::{LadderLine, Phone, PhoneCall, PhoneConfig, PhoneEvent};
use switchhook_lab::tap::SipTap;
pub use switchhook_lab::wait::{check, until};

/// For signalling that needs nobody to think.
pub const SOON: Duration = Duration::from_secs(15);
/// For answers that are recognized, thought about and spoken on a busy machine.
pub const ANSWER: Duration = Duration::from_secs(60);
/// For whole calls to be judged and stored.
pub const ENDED: Duration = Duration::from_secs(30);

/// Frequency the human's phone plays.
pub const HUMAN_HZ: f64 = 1250.0;
/// Frequency the caller plays.
pub const CALLER_HZ: f64 = 1600.0;
/// A note of the chime a held party hears.
pub const CHIME_HZ: f64 = 523.25;
/// Frequency of the beep before a message.
pub const BEEP_HZ: f64 = 1000.0;

/// Silence that ends somebody's speech, longer than the pauses between sentences.
pub const PAUSE_MS: u64 = 1_200;

/// A phone on loopback without credentials.
pub async fn caller() -> Phone {
    Phone::start(PhoneConfig::new("caller")).await.unwrap()
}

/// Calls the assistant and listens until the greeting is over.
pub async fn greeted(phone: &Phone, gateway: &Gateway) -> PhoneCall {
    let call = phone.dial(&gateway.assistant()).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.wait_speech_ended(0, 500, PAUSE_MS, ANSWER)
        .await
        .unwrap();
    call
}

/// Says a WAV file.
pub async fn say(call: &PhoneCall, path: &Path) {
    call.say(wav::read_phone(path).unwrap()).await.unwrap();
}

/// Says some audio and listens until the reply is over; returns what was heard since.
pub async fn say_and_listen(call: &PhoneCall, audio: Audio) -> Audio {
    call.say(audio).await.unwrap();
    let from = call.now_ms();
    let heard = call
        .wait_speech_ended(from, 300, PAUSE_MS, ANSWER)
        .await
        .unwrap();
    heard.audio.window(from, heard.audio.duration_ms())
}

/// From now on the tone is heard for a second.
pub async fn hears(call: &PhoneCall, hz: f64) {
    call.wait_tone(hz, call.now_ms(), 1_000, SOON)
        .await
        .unwrap();
}

/// From now on baresip hears the tone for a second, in its call number `n`.
pub async fn baresip_hears(phone: &Baresip, n: usize, hz: f64) {
    let from = phone.heard(n).duration_ms();
    until("a second of the tone", SOON, async || {
        let heard = phone.heard(n);
        let ms = tone::present_ms(&heard.window(from, heard.duration_ms()), hz);
        check(ms >= 1_000, || {
            let (all, log) = (heard.duration_ms(), phone.log());
            format!("{ms} ms of {hz} Hz since {from} ms of {all} ms\n{log}")
        })
    })
    .await;
}

/// Waits until the phone has heard this much of a tone since the call began.
pub async fn hears_in_all(phone: &Baresip, n: usize, hz: f64, ms: u64, within: Duration) {
    until("the tone", within, async || {
        let heard = tone::present_ms(&phone.heard(n), hz);
        check(heard >= ms, || {
            format!("{heard} ms of {hz} Hz\n{}", phone.log())
        })
    })
    .await;
}

/// All calls, once there are `count` and each has ended.
pub async fn ended_calls(api: &Api, count: usize, within: Duration) -> Vec<Value> {
    until("calls to end", within, async || {
        let calls = api.calls().await;
        assert!(calls.len() <= count, "more than {count} calls: {calls:#?}");
        if calls.len() == count && calls.iter().all(|one| one["status"] == "ended") {
            Ok(calls)
        } else {
            Err(format!("{calls:#?}"))
        }
    })
    .await
}

/// The secret notices are signed with.
pub const NOTICE_SECRET: &str = "whsec_c3dpdGNoaG9vay1lbmQtdG8tZW5kLXRlc3Qtc2VjcmV0";

/// A receiver of notices that checks their signatures.
pub async fn notice_receiver() -> NoticeReceiver {
    NoticeReceiver::start(Some(NOTICE_SECRET)).await.unwrap()
}

/// Waits until this many deliveries were accepted.
pub async fn wait_accepted(receiver: &NoticeReceiver, count: usize, within: Duration) {
    let accepted = |d: &&Delivery| d.status.is_some_and(|s| (200..300).contains(&s));
    receiver
        .wait_until(within, |all| all.iter().filter(accepted).count() >= count)
        .await
        .unwrap();
}

/// The message a caller leaves, in a voice of its own.
pub const MESSAGE: Phrase = Phrase::new(
    "This is Maria Keller. Please call me back tomorrow morning about my invoice.",
    "en-gb+f3",
);

/// Waits for the beep that follows `from_ms`, leaves [`MESSAGE`] after it, and listens until the
/// gateway ends the call; returns what was heard after the message.
pub async fn leave_message(call: &PhoneCall, from_ms: u64) -> Audio {
    wait_beep(call, from_ms).await;
    call.say(MESSAGE.audio().await).await.unwrap();
    let said_at = call.now_ms();
    let end = call.wait_ended(ANSWER).await.unwrap();
    assert!(
        matches!(
            end,
            PhoneEvent::Ended {
                by_remote: true,
                ..
            }
        ),
        "{end:?}"
    );
    let heard = call.heard().audio;
    heard.window(said_at, heard.duration_ms())
}

/// Waits until the beep after which a message is spoken has sounded and ended.
pub async fn wait_beep(call: &PhoneCall, from_ms: u64) {
    wait_sound(call, "the beep", from_ms, |audio| {
        // A vowel may hold a frame of the same pitch: the beep is longer.
        tone::present_ms(audio, BEEP_HZ) >= 160
    })
    .await;
}

/// Waits until one burst of the ringing tone has sounded and ended; its frequency differs from
/// country to country.
pub async fn wait_ringing_tone(call: &PhoneCall, from_ms: u64) {
    wait_sound(call, "a ringing tone", from_ms, |audio| {
        let is_tone = |s: &Stretch| matches!(s.sound, Sound::Tone { .. });
        speech::stretches(audio).last().is_some_and(is_tone)
    })
    .await;
}

async fn wait_sound(call: &PhoneCall, what: &str, from_ms: u64, present: impl Fn(&Audio) -> bool) {
    call.wait_heard(
        what,
        |h| {
            let part = h.audio.window(from_ms, h.audio.duration_ms());
            speech::silent_since_ms(&part).is_some_and(|ms| ms >= 200) && present(&part)
        },
        ANSWER,
    )
    .await
    .unwrap();
}

/// baresip registered as 2001 through a tap that counts what is on the wire.
pub struct HumanPhone {
    pub tap: SipTap,
    pub baresip: Baresip,
    pub answers_by_hand: bool,
}

impl HumanPhone {
    /// Answers by itself and plays [`HUMAN_HZ`].
    pub async fn answering(gateway: &Gateway) -> Self {
        Self::start(gateway, "auto").await
    }

    /// Rings and does nothing else.
    pub async fn ringing(gateway: &Gateway) -> Self {
        Self::start(gateway, "manual").await
    }

    /// Answers by itself with this codec (baresip's name) and no other.
    pub async fn with_codec(gateway: &Gateway, codec: &'static str) -> Self {
        Self::start_with(gateway, "auto", |config| config.codec = codec).await
    }

    async fn start(gateway: &Gateway, answer_mode: &'static str) -> Self {
        Self::start_with(gateway, answer_mode, |_| {}).await
    }

    async fn start_with(
        gateway: &Gateway,
        answer_mode: &'static str,
        change: impl FnOnce(&mut BaresipConfig),
    ) -> Self {
        let tap = SipTap::open(gateway.sip()).await.unwrap();
        let mut config = BaresipConfig::with_tone("2001", tap.addr(), HUMAN_HZ);
        config.answer_mode = answer_mode;
        change(&mut config);
        let baresip = Baresip::start(config).await;
        Self {
            tap,
            baresip,
            answers_by_hand: answer_mode == "manual",
        }
    }

    /// Waits until the phone rings.
    pub async fn rings(&self) {
        self.baresip.wait_event("CALL_INCOMING", 1, ANSWER).await;
    }

    /// Exactly one INVITE transaction was on the wire.
    pub fn assert_rang_once(&self) {
        assert_eq!(self.tap.invites_to_phone(), 1, "{}", self.tap.ladder());
    }
}

/// Share of the words of `expected` that occur in `heard`: recognisers differ in a word or two.
pub fn words_in_common(expected: &str, heard: &str) -> f64 {
    let words = |text: &str| -> BTreeSet<String> {
        text.to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| w.len() > 2)
            .map(str::to_owned)
            .collect()
    };
    let (expected, heard) = (words(expected), words(heard));
    if expected.is_empty() {
        return 0.0;
    }
    expected.intersection(&heard).count() as f64 / expected.len() as f64
}

/// The statuses that NOTIFYs reported.
pub fn notified(phone: &Phone) -> Vec<String> {
    let notifies = phone.received("NOTIFY");
    let body = |line: &LadderLine| {
        let message = line.message.as_ref().unwrap();
        message.body_text().trim().to_owned()
    };
    let mut told: Vec<String> = notifies.iter().map(body).collect();
    told.dedup();
    told
}

/// Waits until a NOTIFY reported this status.
pub async fn wait_notified(phone: &Phone, last: &str) {
    until("a NOTIFY", SOON, async || {
        let all = notified(phone);
        let is_last = all.last().is_some_and(|told| told.starts_with(last));
        check(is_last, || format!("no {last}:\n{}", phone.ladder()))
    })
    .await;
}

/// The judge found nothing.
pub fn clean(record: &Value) {
    assert_eq!(record["violations"], json!([]), "{}", pretty(record));
}

/// Holds or resumes the caller as an operator does.
pub async fn operate(api: &Api, record: &Value, deed: &str) {
    let path = format!("/api/calls/{}/{deed}", record["id"].as_str().unwrap());
    let (status, body) = api.try_post(&path, &json!({})).await;
    assert_eq!(status, 202, "{body}");
}

/// An operator holds the caller and takes them back; each time the caller's phone is told.
pub async fn operator_holds_and_resumes(api: &Api, record: &Value, caller: &PhoneCall) {
    for (deed, direction) in [("hold", "sendonly"), ("resume", "sendrecv")] {
        operate(api, record, deed).await;
        caller
            .wait_for(
                deed,
                |event| matches!(event, PhoneEvent::ReInvited { direction: got, .. } if *got == direction),
                SOON,
            )
            .await
            .unwrap();
    }
}

/// Whether the call's events have this fact.
pub fn has_fact(events: &Value, label: &str) -> bool {
    events["items"]
        .as_array()
        .unwrap()
        .iter()
        .any(|one| one["label"] == label)
}

/// Refer-To of an attended transfer: the dialog of the phone's newest call, which it placed itself.
pub fn replacing_last(phone: &Phone, target: &str) -> String {
    let ok = phone
        .messages()
        .into_iter()
        .filter(|line| !line.sent)
        .filter_map(|line| line.message.ok())
        .rfind(|m| m.status() == Some(200) && m.header("CSeq").ends_with("INVITE"))
        .unwrap();
    format!(
        "<{target}?Replaces={}%3Bto-tag%3D{}%3Bfrom-tag%3D{}>",
        ok.call_id().replace('@', "%40"),
        ok.to_tag().unwrap(),
        ok.from_tag().unwrap(),
    )
}
