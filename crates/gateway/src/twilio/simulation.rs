//! A call this program acts: no carrier, no person, but the same call, conversation and rows. For
//! those who try the program before they have an account.

use std::sync::Arc;
use std::time::Duration;

use switchhook_conversation::documents::Documents;
use switchhook_model::{CallId, HangupCause, Language};
use tokio::time::{Instant, sleep};

use super::channel::{CalledStatus, Came, DialEnd, Picker, Program, Recorded};
use super::engine::{Engine, StepError};

/// How long the phone rings.
const RINGS: Duration = Duration::from_secs(2);
/// Longest wait for a program.
const PATIENCE: Duration = Duration::from_secs(6);
/// Between what was heard and what is said.
const BREATH: Duration = Duration::from_millis(800);
/// Programs after which the callee hangs up, whatever is said.
const LONGEST: usize = 60;

/// What the callee says, one after the other; then it hangs up.
fn lines(language: Language) -> [&'static str; 3] {
    match language {
        Language::En => [
            "Hello, yes, now is a good time.",
            "That is all I wanted to know, thank you.",
            "Goodbye.",
        ],
        Language::De => [
            "Hallo, ja, es passt gerade gut.",
            "Mehr wollte ich nicht wissen, vielen Dank.",
            "Auf Wiederhören.",
        ],
        Language::Ar => [
            "مرحباً، نعم، الوقت مناسب الآن.",
            "هذا كل ما أردت معرفته، شكراً.",
            "مع السلامة.",
        ],
    }
}

/// Acts the carrier and the callee until the call is over.
pub(super) async fn play(engine: &Arc<Engine>, id: &CallId) {
    match acted(engine, id).await {
        // It ended meanwhile, by an operator.
        Ok(()) | Err(StepError::Unknown) => {}
        Err(error) => tracing::error!(call.id = %id, %error, "a simulated call could not go on"),
    }
}

async fn acted(engine: &Arc<Engine>, id: &CallId) -> Result<(), StepError> {
    let sid = format!("simulated-{}", id.unique());
    engine
        .step(id, |channel, now| {
            channel.placed(now, &sid);
            channel.called(now, None, CalledStatus::Ringing);
        })
        .await?;
    sleep(RINGS).await;
    let mut lines = lines(engine.settings.language).into_iter();
    let mut came = Came::Connected(Some(Picker::Person));
    for _ in 0..LONGEST {
        if is_over(engine, id).await? {
            return Ok(());
        }
        let program = next(engine, id, &came).await?;
        came = match program {
            Program::Hangup | Program::Refuse { .. } => return Ok(()),
            Program::Listen { say, over, .. } => {
                heard(engine, &[say, over].concat()).await;
                match lines.next() {
                    Some(line) => Came::Heard {
                        digits: None,
                        speech: Some(line.to_owned()),
                    },
                    None => break,
                }
            }
            Program::Tell { say } => {
                heard(engine, &say).await;
                Came::Back
            }
            Program::Wait => {
                sleep(Duration::from_secs(1)).await;
                Came::Back
            }
            // Whoever would be rung is a real person: nobody is.
            Program::Dial { say, .. } | Program::Meet { say, .. } => {
                heard(engine, &say).await;
                Came::DialEnded(DialEnd {
                    bridged: Some(false),
                    answered: false,
                    cause: HangupCause::NoAnswer,
                    sip_status: None,
                    sid: None,
                })
            }
            Program::TakeMessage { say } => {
                heard(engine, &say).await;
                Came::Recorded(Recorded {
                    duration_ms: 0,
                    text: String::new(),
                })
            }
            Program::Elsewhere | Program::Stream => Came::Back,
        };
    }
    engine
        .step(id, |channel, now| channel.caller_gone(now))
        .await
}

async fn is_over(engine: &Arc<Engine>, id: &CallId) -> Result<bool, StepError> {
    engine.look(id, |channel| channel.call.is_ended()).await
}

/// The next program, when there is one.
async fn next(engine: &Arc<Engine>, id: &CallId, came: &Came) -> Result<Program, StepError> {
    let until = Instant::now() + PATIENCE;
    let mut program = engine
        .step(id, |channel, now| {
            channel.came(now, came.clone());
            channel.program(now)
        })
        .await?;
    loop {
        if let Some(program) = program {
            return Ok(program);
        }
        engine.wait(id, until).await;
        let is_late = Instant::now() >= until;
        program = engine
            .step(id, |channel, now| {
                if is_late {
                    Some(channel.program_now(now))
                } else {
                    channel.program(now)
                }
            })
            .await?;
    }
}

/// The time it takes to hear these words to their end.
async fn heard(engine: &Arc<Engine>, words: &[String]) {
    let language = engine.settings.language;
    let length: u64 = words
        .iter()
        .map(|text| Documents::speaking_ms(language, text))
        .sum();
    sleep(Duration::from_millis(length) + BREATH).await;
}
