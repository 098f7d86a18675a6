//! Media streams and their calls.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use switchhook_adapters::twilio::stream::Start;
use switchhook_conversation::Input;
use switchhook_model::CallId;

use super::Engine;
use super::engine::StepError;
use super::settings::Settings;
use super::stream::StreamHandle;

/// Parameters of the `<Stream>` by which it is known again.
pub(super) const CALL: &str = "call";
pub(super) const PROGRAM: &str = "program";
pub(super) const TOKEN: &str = "token";

impl Settings {
    /// What only we and the carrier know of the stream of this program.
    pub(super) fn stream_token(&self, call: &CallId, program: u32) -> String {
        let tag = self.stream_mac(call, program).finalize().into_bytes();
        tag[..16].iter().map(|b| format!("{b:02x}")).collect()
    }

    fn is_stream_token(&self, call: &CallId, program: u32, token: &str) -> bool {
        let bytes: Option<Vec<u8>> = (0..token.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(token.get(at..at + 2)?, 16).ok())
            .collect();
        bytes.is_some_and(|bytes| {
            bytes.len() == 16
                && self
                    .stream_mac(call, program)
                    .verify_truncated_left(&bytes)
                    .is_ok()
        })
    }

    fn stream_mac(&self, call: &CallId, program: u32) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.stream_key.expose().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(format!("media stream {call} {program}").as_bytes());
        mac
    }
}

impl Engine {
    /// The call and program a stream says it belongs to, if its token and its leg are right.
    pub(super) async fn stream_of(&self, start: &Start) -> Option<(CallId, u32)> {
        let call: CallId = start.parameters.get(CALL)?.parse().ok()?;
        let program: u32 = start.parameters.get(PROGRAM)?.parse().ok()?;
        let token = start.parameters.get(TOKEN)?;
        if !self.settings.is_stream_token(&call, program, token) {
            return None;
        }
        let of_leg = self.call_of(start.call_sid.as_str()).await.ok()??;
        (of_leg == call).then_some((call, program))
    }

    /// The stream stands: the number of the conversation it carries, if one waits for it.
    pub(super) async fn stream_up(
        self: &Arc<Self>,
        call: &CallId,
        program: u32,
        handle: StreamHandle,
    ) -> Option<u32> {
        let slot = self.slots.get(call);
        let talk = self
            .step(call, |channel, now| {
                if !channel.may_stream(program) {
                    return None;
                }
                // What it has to say leaves with the step.
                slot.set_stream(Some(handle.clone()));
                channel.stream_up(now);
                Some(channel.state.talks)
            })
            .await;
        match talk {
            Ok(talk) => talk,
            Err(error) => {
                tracing::error!(call.id = %call, %error, "a media stream cannot be taken");
                slot.set_stream(None);
                None
            }
        }
    }

    pub(super) async fn stream_down(self: &Arc<Self>, call: &CallId, program: u32) {
        let down = self
            .step_of_stream(call, |channel, now| {
                channel.stream_down(now, program);
            })
            .await;
        match down {
            Ok(()) | Err(StepError::Unknown) => {}
            Err(error) => tracing::error!(call.id = %call, %error, "a stream's end was not kept"),
        }
    }

    /// Reports of ears and mouth; true if the assistant is speaking now.
    pub(super) async fn listen(
        self: &Arc<Self>,
        call: &CallId,
        talk: u32,
        inputs: Vec<Input>,
    ) -> bool {
        let speaking = self
            .step_of_stream(call, |channel, now| {
                channel.listen(now, talk, inputs.iter().cloned());
                channel.is_speaking()
            })
            .await;
        match speaking {
            Ok(speaking) => speaking,
            Err(StepError::Unknown) => false,
            Err(error) => {
                tracing::error!(call.id = %call, %error, "what was heard could not be taken");
                false
            }
        }
    }
}
