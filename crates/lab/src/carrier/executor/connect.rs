//! Connect and Start: media streams and recordings beside the document.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Run, Step};
use crate::carrier::recordings::Callback;
use crate::carrier::sign::{Params, pair};
use crate::carrier::stream::{self, StreamSpec};
use crate::carrier::twiml::Element;

/// Connect: blocks until the application closes the socket.
pub(super) async fn connect(run: &Run, verb: &Element) -> Step {
    run.answer();
    let Some(noun) = verb.child("Stream") else {
        let text = "only <Stream> is connected here".to_owned();
        run.shared.problem(12200, &run.leg.sid, text);
        return Step::Next;
    };
    // Stream, track: bidirectional streams have the inbound track only (31941).
    let track = noun.attribute("track").unwrap_or("inbound_track");
    if track != "inbound_track" {
        let text = format!("track=\"{track}\" on a bidirectional stream");
        run.shared.problem(31941, &run.leg.sid, text);
        return run.action(verb, Vec::new()).unwrap_or(Step::Next);
    }
    if let Some(spec) = spec(run, noun, true, vec!["inbound"]) {
        let stop = CancellationToken::new();
        // Whatever interrupts the verb stops the stream.
        let guard = stop.clone().drop_guard();
        let (shared, leg) = (Arc::clone(&run.shared), Arc::clone(&run.leg));
        let live = crate::carrier::spawn(async move {
            stream::live(shared, leg, spec, stop).await;
        });
        if let Err(error) = live.await {
            run.shared.problem(31924, &run.leg.sid, error.to_string());
        }
        drop(guard);
    }
    run.action(verb, Vec::new()).unwrap_or(Step::Next)
}

/// Start: goes on at once.
pub(super) fn start(run: &Run, verb: &Element) -> Step {
    run.answer();
    for noun in &verb.children {
        match noun.name.as_str() {
            "Stream" => start_stream(run, noun),
            "Recording" => {
                let dual = noun.attribute("channels") == Some("dual");
                let recorder = run.shared.start_recording(
                    &run.leg.sid,
                    None,
                    "StartCallRecordingTwiML",
                    if dual { 2 } else { 1 },
                    run.leg.line.put_tap(),
                    Callback::of(noun, |url| run.resolve(url)),
                );
                run.leg.state().recorders.push(recorder);
            }
            other => {
                let text = format!("<Start><{other}> is not executed");
                run.shared.problem(12200, &run.leg.sid, text);
            }
        }
    }
    Step::Next
}

fn start_stream(run: &Run, noun: &Element) {
    let tracks = match noun.attribute("track").unwrap_or("inbound_track") {
        "inbound_track" => vec!["inbound"],
        "outbound_track" => vec!["outbound"],
        "both_tracks" => vec!["inbound", "outbound"],
        other => {
            let text = format!("track=\"{other}\"");
            return run.shared.problem(31941, &run.leg.sid, text);
        }
    };
    let Some(spec) = spec(run, noun, false, tracks) else {
        return;
    };
    let stop = CancellationToken::new();
    let guard = stop.clone().drop_guard();
    let name = spec.name.clone();
    run.leg.state().streams.push((name, guard));
    let (shared, leg) = (Arc::clone(&run.shared), Arc::clone(&run.leg));
    crate::carrier::spawn(async move { stream::live(shared, leg, spec, stop).await });
}

/// Stop: streams by their name.
pub(super) fn stop(run: &Run, verb: &Element) -> Step {
    for noun in verb.children.iter().filter(|n| n.name == "Stream") {
        let name = noun.attribute("name").unwrap_or_default();
        run.leg.state().streams.retain(|(n, _)| n != name);
    }
    Step::Next
}

/// Stream errors: 31922 scheme, 31923 malformed, 31920 a query string.
fn spec(
    run: &Run,
    noun: &Element,
    bidirectional: bool,
    tracks: Vec<&'static str>,
) -> Option<StreamSpec> {
    let url = noun.attribute("url").unwrap_or_default().to_owned();
    let problem = |code, text: String| {
        run.shared.problem(code, &run.leg.sid, text);
        None
    };
    let Ok(parsed) = Url::parse(&url) else {
        return problem(31923, format!("{url:?} is no URL"));
    };
    let plain = parsed.scheme() == "ws" && run.shared.config.allow_plain_streams;
    if parsed.scheme() != "wss" && !plain {
        return problem(31922, format!("{url} is not wss"));
    }
    if parsed.query().is_some() {
        return problem(31920, format!("{url} has a query string"));
    }
    let parameters: Params = noun
        .children
        .iter()
        .filter(|c| c.name == "Parameter")
        .map(|c| {
            let value = c.attribute("value").unwrap_or_default();
            pair(c.attribute("name").unwrap_or_default(), value)
        })
        .collect();
    // Stream, Parameter: name and value together under 500 characters.
    if let Some((name, _)) = parameters
        .iter()
        .find(|(n, v)| n.chars().count() + v.chars().count() >= 500)
    {
        let text = format!("<Parameter name=\"{name}\"> is longer than 500 characters");
        run.shared.problem(12200, &run.leg.sid, text);
    }
    let callback = noun.attribute("statusCallback");
    Some(StreamSpec {
        sid: crate::carrier::sid("MZ"),
        name: noun.attribute("name").unwrap_or_default().to_owned(),
        url,
        bidirectional,
        tracks,
        parameters,
        callback: callback.map(|callback| {
            let method = noun.attribute("statusCallbackMethod").unwrap_or("POST");
            (callback.to_owned(), method.to_owned())
        }),
    })
}
