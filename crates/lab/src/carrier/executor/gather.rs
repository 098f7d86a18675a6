//! Gather: keys, or speech that a recogniser has turned into words.

use std::time::Duration;

use super::{Run, Step, ear, speak};
use crate::carrier::log::WebhookKind;
use crate::carrier::people::line::{Act, Wanted};
use crate::carrier::sign::pair;
use crate::carrier::twiml::Element;
use crate::carrier::webhooks::Ask;

/// `speechTimeout="auto"`: the carrier decides; about so long.
const AUTO: Duration = Duration::from_secs(1);

/// What was entered.
#[derive(Default)]
struct Entered {
    digits: String,
    finished_on: Option<char>,
    speech: Vec<String>,
    confidence: f64,
}

pub(super) async fn gather(run: &Run, verb: &Element) -> Step {
    run.answer();
    let line = &run.leg.line;
    let input = verb.attribute("input").unwrap_or("dtmf");
    let wanted = Wanted {
        digits: input.split_whitespace().any(|i| i == "dtmf"),
        speech: input.split_whitespace().any(|i| i == "speech"),
    };
    if let ("auto", Some(model)) = (
        verb.attribute("speechTimeout").unwrap_or_default(),
        verb.attribute("speechModel"),
    ) {
        // Errors: 13335, `auto` with a speech model.
        let text = format!("speechTimeout=\"auto\" with speechModel={model:?}");
        run.shared.problem(13335, &run.leg.sid, text);
    }
    let listening = line.listen();
    let entered = {
        let asked = async {
            let early = prompt(run, verb, wanted).await;
            listen(run, verb, wanted, early).await
        };
        let ear = ear::listen(run, verb.attribute("language"), wanted.speech);
        tokio::select! {
            biased;
            entered = asked => entered,
            () = ear => Entered::default(),
        }
    };
    line.state().speaking = false;
    drop(listening);
    let mut extra = Vec::new();
    if !entered.speech.is_empty() {
        extra.push(pair("SpeechResult", entered.speech.join(" ")));
        extra.push(pair("Confidence", format!("{:.8}", entered.confidence)));
        partial(run, verb, &entered);
    } else if !entered.digits.is_empty() {
        extra.push(pair("Digits", &entered.digits));
        if let Some(key) = entered.finished_on {
            extra.push(pair("FinishedOnKey", key.to_string()));
        }
    } else if verb.is_true("actionOnEmptyResult", false) {
        if wanted.digits {
            extra.push(pair("Digits", ""));
        }
        if wanted.speech {
            extra.push(pair("SpeechResult", ""));
        }
    } else {
        // With no input the action is not asked: the flow falls through.
        return Step::Next;
    }
    run.action_or_self(verb, extra)
}

/// The nested audio; gives what cut it short. Without barge-in keys are kept for afterwards and
/// speech is lost.
async fn prompt(run: &Run, verb: &Element, wanted: Wanted) -> Option<Act> {
    let line = &run.leg.line;
    let prompts = speak::prompts(run, &verb.children);
    if !verb.is_true("bargeIn", true) {
        prompts.await;
        let mut state = line.state();
        let typed: Vec<Act> = state.live.drain(..).collect();
        let (keys, lost): (Vec<Act>, Vec<Act>) = typed
            .into_iter()
            .partition(|act| matches!(act, Act::Presses(_)));
        state.live.extend(keys);
        state.missed.extend(lost);
        return None;
    }
    tokio::select! {
        biased;
        act = run.shared.pulse.when(|| line.take(wanted, false)) => Some(act),
        // Somebody begins to speak; the words come later.
        () = run.shared.pulse.when(|| line.state().speaking.then_some(())) => None,
        () = prompts => None,
    }
}

async fn listen(run: &Run, verb: &Element, wanted: Wanted, early: Option<Act>) -> Entered {
    let line = &run.leg.line;
    let timeout = Duration::from_secs(verb.number("timeout", 5));
    let speech_timeout = match verb.attribute("speechTimeout") {
        Some("auto") => AUTO,
        Some(given) => given.parse().map_or(timeout, Duration::from_secs),
        None => timeout,
    };
    let finish_on = verb.attribute("finishOnKey").unwrap_or("#");
    let most = usize::try_from(verb.number("numDigits", u64::MAX)).unwrap_or(usize::MAX);
    let mut entered = Entered::default();
    let mut act = match early {
        Some(act) => Some(act),
        None => run.patiently(timeout, || line.take(wanted, true)).await,
    };
    let pace = run.shared.config.pace;
    // The first detected kind wins.
    while let Some(now) = act.take() {
        match now {
            Act::Presses(key) if finish_on.contains(key) => {
                entered.finished_on = Some(key);
                break;
            }
            Act::Presses(key) => {
                entered.digits.push(key);
                if entered.digits.chars().count() >= most {
                    break;
                }
                let due = tokio::time::Instant::now() + pace.wall(timeout);
                let more = || line.take(Wanted::DIGITS, true);
                act = run.shared.pulse.until(due, more).await;
            }
            Act::Says { text, confidence } => {
                entered.speech.push(text);
                entered.confidence = confidence;
                let due = tokio::time::Instant::now() + pace.wall(speech_timeout);
                let more = || line.take(Wanted::SPEECH, false);
                act = run.shared.pulse.until(due, more).await;
            }
        }
    }
    entered
}

/// partialResultCallback: beside the call, its answer ignored.
fn partial(run: &Run, verb: &Element, entered: &Entered) {
    let given = verb.attribute("partialResultCallback");
    let Some(url) = given.and_then(|url| run.resolve(url)) else {
        return;
    };
    let mut params = run.leg.params(&run.shared);
    params.push(pair("UnstableSpeechResult", entered.speech.join(" ")));
    params.push(pair("SequenceNumber", "0"));
    let ask = Ask {
        kind: WebhookKind::Partial,
        leg: None,
        url,
        method: verb
            .attribute("partialResultCallbackMethod")
            .unwrap_or("POST")
            .to_owned(),
        params,
    };
    run.shared.notify_beside(ask);
}
