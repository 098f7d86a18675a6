//! How a call at Twilio begins.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_call::view::Channel as Way;
use switchhook_call::{Call, Event, Route};
use switchhook_model::{CallId, CallerIdentity, LegId, Timestamp};

use super::state::CallToken;
use super::{Channel, Rules, State};

/// Seconds the carrier takes beyond a ring timeout until it reports the end of its dial: it rings
/// five seconds longer than it is told, speaks our sentence first, and its request may be slow.
pub(super) const RING_REPORT_S: u32 = 30;

/// A caller whom nobody knows yet.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub account: String,
    pub sid: String,
    pub caller: CallerIdentity,
    /// The dialled number.
    pub callee: String,
    /// The path prefix the carrier used.
    pub prefix: String,
    /// Headers of the INVITE, for calls over a SIP domain.
    pub sip_headers: BTreeMap<String, String>,
    /// `CallToken`, where the carrier sent one.
    pub call_token: Option<CallToken>,
}

impl Channel {
    /// A caller arrived: the assistant takes the call.
    pub fn inbound(id: CallId, arrival: Arrival, rules: Arc<Rules>, now: Timestamp) -> Self {
        let leg = LegId::derive(&id, 0);
        let mut policy = rules.policy.clone();
        policy.ring_report_s = RING_REPORT_S;
        let call = Call::new(id, rules.profile.clone(), policy, now).over(Way::Twilio);
        let mut state = State::new(
            arrival.account,
            arrival.sid,
            leg.clone(),
            arrival.prefix,
            rules.conversation.language,
        );
        state.call_token = arrival.call_token;
        let route = Route::Assistant {
            name: rules.assistant.clone(),
        };
        let mut channel = Self::new(call, state, rules);
        channel.has_new_sid = true;
        channel.queue.push_back(Event::CallerArrived {
            leg,
            caller: arrival.caller,
            callee: arrival.callee,
            route,
            sip_headers: arrival.sip_headers,
        });
        channel.run(now);
        channel
    }
}
