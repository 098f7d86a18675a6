//! Dial Conference: a seat in a named room, and the wait for it to begin.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{Outcome, Place, Run, Source, Step, documents};
use crate::carrier::conferences::{Callback, Conference, Joining};
use crate::carrier::leg::Status;
use crate::carrier::people::Heard;
use crate::carrier::sign::pair;
use crate::carrier::twiml::Element;

pub(super) async fn dial(run: &Run, verb: &Element, noun: &Element) -> Step {
    run.answer();
    let room = noun.text.trim();
    if room.is_empty() || room.chars().count() > 128 {
        // Errors: 13237, bad conference name.
        let text = "the conference's name is missing or too long".to_owned();
        run.shared.problem(13237, &run.leg.sid, text);
        return Step::HangUp(Status::Completed);
    }
    let label = noun.attribute("participantLabel").unwrap_or_default();
    let joining = Joining {
        label: label.to_owned(),
        muted: noun.is_true("muted", false),
        start_on_enter: noun.is_true("startConferenceOnEnter", true),
        end_on_exit: noun.is_true("endConferenceOnExit", false),
        record: noun.attribute("record") == Some("record-from-start"),
        recording: crate::carrier::recordings::Callback::of(noun, |url| run.resolve(url)),
        callback: Callback {
            url: noun
                .attribute("statusCallback")
                .and_then(|url| run.resolve(url))
                .unwrap_or_default(),
            method: noun
                .attribute("statusCallbackMethod")
                .unwrap_or("POST")
                .to_owned(),
            events: noun
                .attribute("statusCallbackEvent")
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
        },
        most: usize::try_from(noun.number("maxParticipants", 250)).unwrap_or(250),
    };
    let wait = noun.attribute("waitUrl");
    let music = match wait {
        // Conference: classical music by default, an empty URL is silence.
        None => Some(Source::Inline(String::new())),
        Some("") => None,
        Some(url) => run.resolve(url).map(|url| Source::Fetch {
            url,
            method: noun.attribute("waitMethod").unwrap_or("POST").to_owned(),
            extra: Vec::new(),
        }),
    };
    let joined = run.shared.join(room, &run.leg, joining);
    let (conference, seat) = match joined {
        Ok(joined) => joined,
        Err((code, text)) => {
            run.shared.problem(code, &run.leg.sid, text);
            return Step::HangUp(Status::Completed);
        }
    };
    let out = seat.out.clone();
    let failed = tokio::select! {
        biased;
        () = out.cancelled() => false,
        failed = wait_and_talk(run, &conference, music) => failed,
    };
    // Leaves before the action is asked.
    drop(seat);
    if failed {
        let text = "the waitUrl failed; the participant leaves".to_owned();
        run.shared.problem(13238, &run.leg.sid, text);
    }
    // Dial action: `answered` after a conference, and no child.
    run.action(verb, vec![pair("DialCallStatus", "answered")])
        .unwrap_or(Step::Next)
}

/// Returns only if the music cannot be had: a failing waitUrl drops the participant.
fn wait_and_talk<'a>(
    run: &'a Run,
    conference: &'a Arc<Conference>,
    music: Option<Source>,
) -> BoxFuture<'a, bool> {
    Box::pin(async move {
        match music {
            None => {}
            Some(Source::Inline(_)) if conference.has_started() => {}
            Some(Source::Inline(_)) => {
                run.leg.line.hear(Heard::Music { url: String::new() });
            }
            Some(source @ Source::Fetch { .. }) => loop {
                let waited = tokio::select! {
                    biased;
                    () = conference.started() => break,
                    waited = documents(&run.shared, &run.leg, source.clone(), Place::Wait) => waited,
                };
                match waited {
                    // Repeated until the conference starts.
                    Outcome::RanOut => {
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await
                    }
                    Outcome::HungUp(_) | Outcome::Gone | Outcome::Killed(_) => return true,
                }
            },
        }
        std::future::pending().await
    })
}
