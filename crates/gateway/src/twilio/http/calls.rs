//! Webhooks that are answered with the next program of a caller's leg.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use switchhook_adapters::twilio::webhook::{CallDirection, CallStatus, Webhook};
use switchhook_model::{CallId, CallerIdentity, Extension, Target, Timestamp};
use tokio::time::Instant;

use super::guard::{Asked, refuse};
use super::{given, xml};
use crate::twilio::channel::{Arrival, CallToken, Came, Channel, DialEnd, Lost, Recorded};
use crate::twilio::engine::{Engine, StepError};
use crate::twilio::giving::{give, written};
use crate::twilio::{document, outgoing};

/// Longest time the carrier is kept waiting for a program. It gives up after 15 s, the caller hears
/// nothing meanwhile, and our own filler comes after a second and a half.
const PATIENCE: Duration = Duration::from_secs(6);
/// How often a call goes on although an answer of ours did not arrive; then the caller hears an apology.
const RESCUES: u32 = 8;

pub(super) async fn first(engine: &Arc<Engine>, asked: &Asked) -> Response {
    answer(engine, asked, Came::First).await
}

pub(super) async fn heard(engine: &Arc<Engine>, asked: &Asked) -> Response {
    let webhook = Webhook::new(&asked.params);
    let came = Came::Heard {
        digits: webhook.digits().map(str::to_owned),
        speech: webhook.speech().map(str::to_owned),
    };
    answer(engine, asked, came).await
}

pub(super) async fn back(engine: &Arc<Engine>, asked: &Asked) -> Response {
    answer(engine, asked, Came::Back).await
}

/// An extension of two to eight digits: an endpoint of older deployments, called by whoever knows
/// our token. It reaches whom the configuration names, when humans are there.
pub(super) async fn transfer(engine: &Arc<Engine>, asked: &Asked, in_room: bool) -> Response {
    let wanted = given(&asked.params, "extension").map(str::parse::<Extension>);
    let target = match wanted {
        Some(Ok(extension)) => Some(Target::Extension(extension)),
        Some(Err(error)) => {
            return refuse(
                StatusCode::BAD_REQUEST,
                "transfer.extension",
                &error.to_string(),
            );
        }
        None => engine.default_target(),
    };
    let Some(target) = target else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "transfer.extension",
            "say which extension: ?extension=2001",
        );
    };
    answer(engine, asked, Came::Transfer { target, in_room }).await
}

pub(super) async fn dial_ended(engine: &Arc<Engine>, asked: &Asked) -> Response {
    let Some(outcome) = Webhook::new(&asked.params).dial() else {
        return answer(engine, asked, Came::Back).await;
    };
    let end = DialEnd {
        bridged: outcome.is_bridged,
        answered: matches!(outcome.status, CallStatus::Completed | CallStatus::Answered),
        cause: outcome.cause(),
        sip_status: outcome.sip_status,
        sid: outcome.call_sid.map(|sid| sid.to_string()),
    };
    answer(engine, asked, Came::DialEnded(end)).await
}

pub(super) async fn recorded(engine: &Arc<Engine>, asked: &Asked) -> Response {
    if let Err(error) = engine.message_recorded(&asked.params).await {
        // The report of the recording is to come, too.
        tracing::warn!(%error, "a message's recording could not be noted");
    }
    let recording = Webhook::new(&asked.params).recording();
    let duration = recording.and_then(|recording| recording.duration);
    let recorded = Recorded {
        duration_ms: duration.map_or(0, |duration| {
            u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
        }),
        text: String::new(),
    };
    answer(engine, asked, Came::Recorded(recorded)).await
}

/// Tells the call that the carrier came, and answers with what it is to do next.
async fn answer(engine: &Arc<Engine>, asked: &Asked, came: Came) -> Response {
    match next(engine, asked, came).await {
        Ok(text) => xml(text),
        Err(error) => {
            tracing::error!(%error, "a webhook could not be answered");
            // The carrier tries its fallback URL; what it reported was not kept.
            refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "webhook.not_stored",
                "the step could not be stored; see the log",
            )
        }
    }
}

async fn next(engine: &Arc<Engine>, asked: &Asked, came: Came) -> Result<String, StepError> {
    let webhook = Webhook::new(&asked.params);
    let Ok(sid) = webhook.call_sid() else {
        // A probe by hand, without a call.
        return Ok(written(&document::hangup()));
    };
    let picker = webhook.answered_by().and_then(outgoing::picker);
    let is_gone = webhook
        .call_status()
        .is_some_and(|status| status.is_final());
    let settings = &engine.settings;
    let mut step = |channel: &mut Channel, now: Timestamp| {
        let known = repeated(channel, asked).or_else(|| dropped(channel, asked, &came));
        if let Some(known) = known {
            return Some(known);
        }
        if asked.is_new(channel) {
            // Whoever left a conference may have left an agent who has just answered.
            if is_gone && channel.is_in_room() {
                channel.caller_gone(now);
            }
            // Whoever is asked for first is connected now.
            if channel.is_unanswered() && came == Came::Back {
                channel.came(now, Came::Connected(picker));
            } else {
                channel.came(now, came.clone());
            }
            if is_gone {
                channel.caller_gone(now);
            }
        }
        if channel.is_parting() {
            return Some(written(&document::hangup()));
        }
        give(channel, now, false, settings)
    };
    let call = match (engine.call_of(sid.as_str()).await?, &asked.session) {
        (Some(call), _) => call,
        (None, None) => {
            let arrival = arrival(asked, sid.as_str());
            let (call, given) = engine.arrive(arrival, &mut step).await?;
            return until_given(engine, &call, given, step).await;
        }
        (None, Some(session)) => match engine.call_of_session(session, sid.as_str()).await? {
            Some(call) => call,
            None => {
                tracing::warn!("the carrier asks about a session that is not known");
                return Ok(written(&document::apology(&engine.settings)));
            }
        },
    };
    until_given(engine, &call, None, step).await
}

/// Takes a step that may give the next program, unless it was `taken` when the call arrived, and waits
/// for the program if it does not.
async fn until_given(
    engine: &Arc<Engine>,
    call: &CallId,
    taken: Option<Option<String>>,
    step: impl FnMut(&mut Channel, Timestamp) -> Option<String>,
) -> Result<String, StepError> {
    let until = Instant::now() + PATIENCE;
    let settings = &engine.settings;
    // As long as this request is there, also between two looks.
    let _waits = engine.slots.get(call).stored.subscribe();
    let mut answered = match taken {
        Some(answered) => answered,
        None => engine.step(call, step).await?,
    };
    while answered.is_none() {
        engine.wait(call, until).await;
        let is_late = Instant::now() >= until;
        answered = engine
            .step(call, |channel, now| give(channel, now, is_late, settings))
            .await?;
    }
    answered.ok_or(StepError::Unknown)
}

/// The carrier did not get an answer and asks at the fallback URL: the call goes on where it is. None if
/// it is not about a caller's leg.
pub(super) async fn go_on(
    engine: &Arc<Engine>,
    asked: &Asked,
    lost: Lost,
) -> Result<Option<String>, StepError> {
    let webhook = Webhook::new(&asked.params);
    let (Ok(sid), None) = (webhook.call_sid(), given(&asked.params, "ParentCallSid")) else {
        return Ok(None);
    };
    let settings = &engine.settings;
    let picker = webhook.answered_by().and_then(outgoing::picker);
    let mut step = |channel: &mut Channel, now: Timestamp| {
        if asked.is_new(channel) {
            // The lost request told who picked up.
            if let Some(picker) = picker.filter(|_| channel.is_unanswered()) {
                channel.detected(now, picker);
            }
            channel.unanswered(now, lost);
        }
        if channel.state.rescues > RESCUES {
            return Some(written(&document::apology(settings)));
        }
        give(channel, now, false, settings)
    };
    let (call, taken) = match engine.call_of(sid.as_str()).await? {
        Some(call) => (call, None),
        // One we placed, whose id never reached us: nobody arrives here.
        None if webhook.direction() == Some(CallDirection::OutboundApi) => return Ok(None),
        None => {
            let arrival = arrival(asked, sid.as_str());
            engine.arrive(arrival, &mut step).await?
        }
    };
    until_given(engine, &call, taken, step).await.map(Some)
}

/// The program given last, if this webhook is about an earlier one.
fn repeated(channel: &Channel, asked: &Asked) -> Option<String> {
    let number: u32 = given(&asked.params, "n")?.parse().ok()?;
    if number == channel.state.given {
        return None;
    }
    channel.state.last.clone()
}

/// The carrier was told to come, came by itself first, and dropped what it was given then for the order
/// that arrived late: it gets the same again.
fn dropped(channel: &Channel, asked: &Asked, came: &Came) -> Option<String> {
    // An order's URL belongs to no program.
    let is_ordered = *came == Came::Back && given(&asked.params, "n").is_none();
    let last = channel.state.last.as_ref();
    last.filter(|_| is_ordered && channel.needs_nothing_new())
        .cloned()
}

impl Asked {
    /// False for a second delivery of a webhook that is being answered.
    fn is_new(&self, channel: &mut Channel) -> bool {
        self.token
            .as_deref()
            .is_none_or(|token| channel.state.is_new(token))
    }
}

fn arrival(asked: &Asked, sid: &str) -> Arrival {
    let webhook = Webhook::new(&asked.params);
    let number = webhook.from().map(|from| from.to_string());
    let called = webhook.to().map(|to| to.to_string());
    let headers: BTreeMap<String, String> = asked
        .params
        .iter()
        .filter_map(|(name, value)| {
            let header = name.strip_prefix("SipHeader_")?;
            Some((header.to_owned(), value.to_owned()))
        })
        .take(16)
        .collect();
    Arrival {
        account: webhook.account_sid().unwrap_or_default().to_owned(),
        sid: sid.to_owned(),
        caller: CallerIdentity::from_untrusted(
            &number.unwrap_or_default(),
            webhook.text("CallerName"),
        ),
        callee: CallerIdentity::from_untrusted(&called.unwrap_or_default(), None).number,
        prefix: asked.prefix.to_owned(),
        sip_headers: headers,
        call_token: webhook
            .call_token()
            .map(|token| CallToken(token.to_owned())),
    }
}
