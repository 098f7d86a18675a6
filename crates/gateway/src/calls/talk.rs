//! The assistant of one call: the conversation machine with its ears, mouth and brain. Outputs of
//! the machine are carried out here; what concerns the call comes back as [`TalkResult`].

use std::sync::Arc;

use switchhook_adapters::{ListenHints, Pcm, SpeechToText};
use switchhook_call::{AssistantEnd, Event, Heard};
use switchhook_conversation::{
    self as conversation, Conversation, EndReason, Input, Output, PinAnswer, SayId, Turn, tools,
};
use switchhook_media::{MediaEvent, MediaLeg};
use switchhook_model::{CallId, Language, LegId, RequestId, Target, Timestamp};

use super::Shared;
use super::booking::BookingRequest;
use super::brain::Brain;
use super::ears::Ears;
use super::inbox::TalkInbox;
use super::mouth::Mouth;

/// What the call's task has to deal with.
#[derive(Debug, Default)]
pub(super) struct TalkResult {
    pub events: Vec<Event>,
    pub turns: Vec<Turn>,
    pub bookings: Vec<BookingRequest>,
}

pub(super) struct Talk {
    call: CallId,
    leg: LegId,
    machine: Conversation,
    ears: Ears,
    mouth: Mouth,
    brain: Brain,
    listener: Arc<dyn SpeechToText>,
    language: Language,
    inbox: TalkInbox,
}

impl Talk {
    /// Connects an assistant with a leg.
    pub(super) fn open(
        shared: &Shared,
        call: &CallId,
        leg: &LegId,
        media: &MediaLeg,
        inbox: TalkInbox,
        now: Timestamp,
    ) -> Self {
        let (mut input, out) = media.assistant();
        input.set_gain_control(shared.config.speech.gain_control);
        let config = &shared.config;
        Self {
            call: call.clone(),
            leg: leg.clone(),
            machine: Conversation::new(shared.conversation.clone(), now),
            ears: Ears::open(input, shared.endpointing, inbox.clone()),
            mouth: Mouth::open(
                out,
                Arc::clone(&shared.voice),
                config.language,
                config.speech.voice.clone(),
                inbox.clone(),
            ),
            brain: Brain::new(Arc::clone(&shared.brain), inbox.clone()),
            listener: Arc::clone(&shared.listener),
            language: config.language,
            inbox,
        }
    }

    /// Where its parts report to.
    pub(super) fn inbox(&self) -> &TalkInbox {
        &self.inbox
    }

    pub(super) fn leg(&self) -> &LegId {
        &self.leg
    }

    /// Stopped, and nothing is left to tell.
    pub(super) fn is_finished(&self) -> bool {
        self.machine.is_finished()
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.machine.next_deadline()
    }

    /// Gives one input to the machine and carries out what it wants.
    pub(super) fn handle(&mut self, now: Timestamp, input: Input) -> TalkResult {
        let mut result = TalkResult::default();
        let took = self.machine.takes_own_message();
        for output in self.machine.handle(now, input) {
            self.perform(output, &mut result);
        }
        self.ears.set_assistant_speaks(self.machine.is_speaking());
        let taking = self.machine.takes_own_message();
        if taking != took {
            result.events.push(Event::AssistantTakesMessage { taking });
        }
        result
    }

    /// What the leg's media reports, in the conversation's words.
    pub(super) fn media(&mut self, now: Timestamp, event: &MediaEvent) -> TalkResult {
        let input = match *event {
            MediaEvent::Playout { item, played_ms }
            | MediaEvent::PlayoutCut { item, played_ms } => Input::PlayoutProgress {
                item,
                played_ms,
                total_ms: self.mouth.total_ms(item),
            },
            MediaEvent::PlayoutFinished { item, .. } => Input::PlayoutFinished { item },
            MediaEvent::Digit { digit, .. } => Input::Digit(digit),
            _ => return TalkResult::default(),
        };
        self.handle(now, input)
    }

    fn perform(&mut self, output: Output, result: &mut TalkResult) {
        match output {
            Output::Transcribe { utterance } => self.transcribe(utterance),
            Output::DropUtterance { utterance } => drop(self.ears.take(utterance)),
            Output::EndUtterance => self.ears.finish(),
            Output::Think {
                request,
                messages,
                tools,
            } => {
                self.brain.think(request, messages, tools);
            }
            Output::CancelThink { request } => self.brain.cancel(request),
            Output::Speak { item, text } => self.mouth.speak(item, text),
            Output::Beep { item } => self.mouth.beep(item),
            Output::StopPlayout => self.mouth.cut(),
            Output::AskForHuman {
                request,
                department,
                target,
                reason,
                summary,
            } => {
                let request = RequestId::derive(&self.call, request);
                // A target that is no target is no reason to lose the wish for a human.
                let target = target.and_then(|text| text.parse::<Target>().ok());
                result.events.push(Event::AssistantAskedForHuman {
                    request,
                    target,
                    department,
                    reason,
                    summary,
                });
            }
            Output::CallTool {
                request,
                id,
                name,
                arguments,
            } => {
                if name == tools::BOOK_APPOINTMENT {
                    result.bookings.push(BookingRequest {
                        request,
                        id,
                        arguments,
                    });
                } else {
                    // Its name is the model's text: in the transcript's place, not in the log.
                    tracing::warn!(request, "the model called a tool that is not offered");
                    let content = format!("{{\"error\":\"there is no tool {name:?}\"}}");
                    let input = Input::ToolResult {
                        request,
                        id,
                        content,
                    };
                    self.inbox.send(input);
                }
            }
            // Nobody is asked for a PIN over SIP.
            Output::CheckPin { .. } => {
                self.inbox.send(Input::PinChecked(PinAnswer::Unavailable));
            }
            Output::EndCall { reason } => {
                let reason = match reason {
                    EndReason::Goodbye => AssistantEnd::Goodbye,
                    EndReason::Silence => AssistantEnd::Silence,
                    EndReason::TurnLimit => AssistantEnd::TurnLimit,
                    EndReason::TimeLimit => AssistantEnd::TimeLimit,
                    EndReason::Errors => AssistantEnd::Errors,
                    EndReason::NotIdentified => AssistantEnd::NotIdentified,
                };
                result.events.push(Event::AssistantEnded { reason });
            }
            Output::MessageTaken {
                text,
                duration_ms,
                recorded,
            } => {
                result.events.push(Event::MessageTaken {
                    text,
                    duration_ms,
                    recorded,
                });
            }
            Output::MessageAbandoned => result.events.push(Event::MessageAbandoned),
            Output::SayFinished {
                id: SayId(id),
                heard,
            } => {
                let heard = match heard {
                    conversation::Heard::Full => Heard::Full,
                    conversation::Heard::Cut => Heard::Cut,
                    conversation::Heard::None => Heard::None,
                };
                result.events.push(Event::SayFinished {
                    say: switchhook_call::SayId(id),
                    heard,
                });
            }
            Output::TurnEnded(turn) => result.turns.push(turn),
        }
    }

    fn transcribe(&self, utterance: u32) {
        let inbox = self.inbox.clone();
        let samples = self.ears.take(utterance);
        let listener = Arc::clone(&self.listener);
        let language = self.language;
        tokio::spawn(async move {
            inbox.send(recognise(listener, language, utterance, samples).await);
        });
    }
}

/// What was said in an utterance, as the conversation is told.
pub async fn recognise(
    listener: Arc<dyn SpeechToText>,
    language: Language,
    utterance: u32,
    samples: Option<Vec<i16>>,
) -> Input {
    let Some(samples) = samples else {
        let error = "the utterance's audio is gone: too many waited".to_owned();
        return Input::TranscriptFailed { utterance, error };
    };
    let audio = Pcm::new(samples, 8000);
    let hints = ListenHints::default();
    match listener.transcribe(&audio, language, &hints).await {
        Ok(transcript) => Input::Transcript {
            utterance,
            text: transcript.text,
        },
        Err(error) => {
            tracing::warn!(%error, utterance, "recognition failed");
            metrics::counter!("switchhook_stt_errors_total").increment(1);
            Input::TranscriptFailed {
                utterance,
                error: error.to_string(),
            }
        }
    }
}
