//! SIP targets that are really dialled: an INVITE by the lab's own phone, its audio on the line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::phone::{Rung, status_of_sip};
use super::target::Target;
use crate::audio::FRAME_SAMPLES;
use crate::carrier::Shared;
use crate::carrier::amd::Nature;
use crate::carrier::leg::{Direction, Leg, Status};
use crate::carrier::log::lock;
use crate::carrier::room;
use crate::carrier::trunk::origination_headers;
use crate::phone::message::SipMessage;
use crate::phone::{Dial, Phone, PhoneCall, PhoneConfig, PhoneEvent, Playable, Transport};

/// How long somebody may ring at most; whoever dials gives up earlier.
const RING: Duration = Duration::from_secs(900);

/// Where the host of a SIP URI listens, if it is to be dialled for real.
pub(in crate::carrier) fn where_to(shared: &Shared, uri: &str) -> Option<SocketAddr> {
    let address = uri.split([';', '?']).next()?;
    let host = address
        .trim_start_matches("sips:")
        .trim_start_matches("sip:");
    let host = host.rsplit('@').next()?;
    shared.config.sip.get(host).copied()
}

/// Hangs up when whoever rings loses interest.
pub(in crate::carrier) struct HangUp(pub(in crate::carrier) PhoneCall);

impl Drop for HangUp {
    fn drop(&mut self) {
        // The phone lives until the other side has agreed.
        let call = self.0.clone();
        crate::carrier::spawn(async move { drop(call.hangup().await) });
    }
}

pub(in crate::carrier) async fn ring(
    shared: &Arc<Shared>,
    leg: &Arc<Leg>,
    target: &Target,
    address: SocketAddr,
) -> Rung {
    let refused = |sip| Rung::Refused {
        status: status_of_sip(sip),
        sip,
    };
    let (uri, headers) = target
        .address
        .split_once('?')
        .unwrap_or((&target.address, ""));
    let Some(phone) = caller_of(shared, leg, uri, address).await else {
        return refused(503);
    };
    let from = format!("<sip:{}@sip.twilio.com>", target.caller_id);
    let mut dial = Dial::to(uri).from(&from);
    let own = vendor_headers(shared, leg);
    for (name, value) in own.clone() {
        dial = dial.header(name, &value);
    }
    for (name, value) in url::form_urlencoded::parse(headers.replace('+', "%2B").as_bytes()) {
        dial = dial.header(&name, &value);
    }
    if let Some((user, password)) = &target.credentials {
        dial = dial.credentials(user, password);
    }
    let Ok(call) = phone.place(dial).await else {
        return refused(400);
    };
    let hang_up = HangUp(call.clone());
    let mut rang = false;
    let event = loop {
        let awaited = call.wait_for(
            "an answer",
            |e| {
                let ringing = matches!(e, PhoneEvent::Progress { status: 180.., .. });
                e.is_end() || matches!(e, PhoneEvent::Answered { .. }) || ringing && !rang
            },
            RING,
        );
        match awaited.await {
            Ok(PhoneEvent::Progress { .. }) => {
                rang = true;
                shared.advance(leg, Status::Ringing);
            }
            Ok(event) => break event,
            Err(_) => return refused(408),
        }
    };
    let sent = phone.messages();
    let is_ours = |message: &SipMessage| own.iter().all(|(name, v)| message.header(name) == v);
    let call_id = sent
        .iter()
        .filter_map(|line| line.message.as_ref().ok())
        .find(|message| is_ours(message))
        .map(|message| message.call_id().to_owned());
    leg.state().sip_call_id = call_id;
    match event {
        PhoneEvent::Answered { .. } => {
            leg.line.state().silent = true;
            crate::carrier::spawn(carry(Arc::clone(leg), call, hang_up));
            Rung::Answered {
                nature: Nature::Human,
            }
        }
        PhoneEvent::Failed { status, .. } => refused(status),
        _ => refused(487),
    }
}

/// The caller's call to a number of the trunk, if that is what this leg carries on.
fn from_trunk(shared: &Shared, leg: &Leg) -> Option<Arc<Leg>> {
    let parent = leg.parent.as_deref().and_then(|sid| shared.leg(sid));
    parent.filter(|parent| parent.direction == Direction::TrunkOriginating)
}

/// The phone that makes the call. A trunk calls from where it is called.
async fn caller_of(shared: &Shared, leg: &Leg, uri: &str, address: SocketAddr) -> Option<Phone> {
    if from_trunk(shared, leg).is_some() {
        return shared.trunk().map(|trunk| trunk.phone().clone());
    }
    let mut config = PhoneConfig::new("carrier").server(address);
    // Sip: transport udp unless the URI says otherwise.
    if uri.to_ascii_lowercase().contains("transport=tcp") {
        config = config.transport(Transport::Tcp);
    }
    Phone::start(config).await.ok()
}

/// Sip: the INVITE carries API version, AccountSid and CallSid. One of a trunk is different.
fn vendor_headers(shared: &Shared, leg: &Leg) -> Vec<(&'static str, String)> {
    let account = &shared.config.account_sid;
    match from_trunk(shared, leg) {
        Some(parent) => origination_headers(&parent.to, account, &parent.sid).into(),
        None => vec![
            ("X-Twilio-ApiVersion", "2010-04-01".to_owned()),
            ("X-Twilio-AccountSid", account.clone()),
            ("X-Twilio-CallSid", leg.sid.clone()),
        ],
    }
}

/// The person's line and the RTP of the SIP call are one, until either ends.
pub(in crate::carrier) async fn carry(leg: Arc<Leg>, call: PhoneCall, hang_up: HangUp) {
    let line = Arc::clone(&leg.line);
    let tap = line.put_tap();
    let live = crate::phone::LiveAudio::default();
    call.play(Playable::Live(live.clone()));
    let mut heard = usize::try_from(call.now_ms()).unwrap_or(0) * 8;
    let mut digits = 0;
    let mut beat = room::beat();
    loop {
        beat.tick().await;
        if line.state().ended.is_some() {
            break;
        }
        if call.is_over() {
            line.state().hung_up = true;
            line.pulse.beat();
            break;
        }
        let samples = call.heard_since(heard);
        let whole = samples.len() / FRAME_SAMPLES * FRAME_SAMPLES;
        heard += whole;
        line.play(&samples[..whole]);
        let pressed = call.digits_heard();
        for digit in pressed.iter().skip(digits) {
            line.act_now(super::line::Act::Presses(*digit));
        }
        digits = pressed.len();
        let mut tap = lock(&tap);
        tap.inbound.clear();
        live.extend(tap.outbound.drain(..));
    }
    drop(hang_up);
}
