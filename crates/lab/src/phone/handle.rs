//! One call of a phone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::event::CallNumber;
use super::rtp::{Heard, Media, Playable};
use super::sdp::MediaDirection;
use super::{Command, Phone, PhoneError, PhoneEvent};
use crate::audio::wav::WavError;
use crate::audio::{Audio, speech, tone, wav};

/// How often something heard is looked at again while waiting for it.
const LISTEN_EVERY: Duration = Duration::from_millis(100);

/// A call placed or received by a [`Phone`].
#[derive(Debug, Clone)]
pub struct PhoneCall {
    pub(super) phone: Phone,
    pub(super) number: CallNumber,
}

impl PhoneCall {
    /// Its number at the phone.
    pub fn number(&self) -> CallNumber {
        self.number
    }

    /// Waits until it is answered; an end that comes first is an error.
    pub async fn wait_answered(&self, within: Duration) -> Result<(), PhoneError> {
        let number = self.number;
        let event = self
            .phone
            .wait_for(
                "the call to be answered",
                |e| {
                    e.call() == Some(number)
                        && (e.is_end() || matches!(e, PhoneEvent::Answered { .. }))
                },
                within,
            )
            .await?;
        match event {
            PhoneEvent::Answered { .. } => Ok(()),
            got => Err(PhoneError::Other {
                phone: self.phone.name.clone(),
                what: "wanted the call to be answered".into(),
                got,
                ladder: self.phone.ladder(),
            }),
        }
    }

    /// Waits for an event of this call, past ones included.
    pub async fn wait_for(
        &self,
        what: &str,
        mut matches: impl FnMut(&PhoneEvent) -> bool,
        within: Duration,
    ) -> Result<PhoneEvent, PhoneError> {
        let number = self.number;
        self.phone
            .wait_for(what, |e| e.call() == Some(number) && matches(e), within)
            .await
    }

    /// Waits until it is over, and says how.
    pub async fn wait_ended(&self, within: Duration) -> Result<PhoneEvent, PhoneError> {
        self.wait_for("the call to end", PhoneEvent::is_end, within)
            .await
    }

    /// Sends a request within the call, for example REFER or NOTIFY. Its answer is in the phone's
    /// messages.
    pub fn request(&self, method: &str, headers: &[(&str, &str)], body: Option<(&str, &str)>) {
        self.phone.command(Command::Request {
            call: self.number,
            method: method.to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.map(|(kind, text)| (kind.to_owned(), text.to_owned())),
        });
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.phone
            .events()
            .iter()
            .any(|(_, e)| e.call() == Some(self.number) && e.is_end())
    }

    /// CANCEL before the answer, BYE after it, 603 for a call that waits for us; returns when the
    /// call is over.
    pub async fn hangup(&self) -> Result<PhoneEvent, PhoneError> {
        self.start_hangup();
        self.wait_ended(Duration::from_secs(35)).await
    }

    /// The same without waiting.
    pub fn start_hangup(&self) {
        self.phone.command(Command::Hangup { call: self.number });
    }

    /// Sends 180.
    pub fn ring(&self) {
        self.phone.command(Command::Ring { call: self.number });
    }

    /// Sends 183 with a description, and from then on what is played: early media.
    pub fn progress(&self) {
        self.phone.command(Command::Progress { call: self.number });
    }

    /// Answers with 200.
    pub fn answer(&self) {
        self.phone.command(Command::Answer { call: self.number });
    }

    /// Refuses with a status from 300 to 699.
    pub fn reject(&self, status: u16) {
        self.phone.command(Command::Reject {
            call: self.number,
            status,
        });
    }

    /// Puts the other side on hold.
    pub async fn hold(&self) -> Result<PhoneEvent, PhoneError> {
        self.reinvite(MediaDirection::SendOnly).await
    }

    /// Takes the other side back.
    pub async fn resume(&self) -> Result<PhoneEvent, PhoneError> {
        self.reinvite(MediaDirection::SendRecv).await
    }

    /// Changes the direction of the media by re-INVITE and waits for the answer.
    pub async fn reinvite(&self, direction: MediaDirection) -> Result<PhoneEvent, PhoneError> {
        let mark = self.phone.mark();
        let number = self.number;
        self.phone.command(Command::ReInvite {
            call: number,
            direction,
        });
        self.phone
            .wait_after(
                mark,
                "an answer to the re-INVITE",
                |e| e.call() == Some(number) && matches!(e, PhoneEvent::ReInviteAnswered { .. }),
                Duration::from_secs(10),
            )
            .await
    }

    /// Plays from now on instead of what was playing.
    pub fn play(&self, what: Playable) -> u32 {
        self.media().play(what)
    }

    /// Plays a WAV file once.
    pub fn play_wav(&self, path: &Path) -> Result<u32, WavError> {
        Ok(self.play(Playable::Audio(wav::read_phone(path)?)))
    }

    /// Plays some audio and waits until its last frame is sent.
    pub async fn say(&self, audio: Audio) -> Result<(), PhoneError> {
        let within = Duration::from_millis(audio.duration_ms() * 2 + 5_000);
        let number = self.play(Playable::Audio(audio));
        self.wait_for(
            "the audio to be played to its end",
            |e| matches!(e, PhoneEvent::PlayFinished { play, .. } if *play == number),
            within,
        )
        .await
        .map(|_| ())
    }

    /// Plays a sine until something else is played.
    pub fn play_tone(&self, hz: f64) {
        self.play(Playable::Tone { hz });
    }

    /// Keypad digits as RFC 4733 events.
    pub fn send_digits(&self, digits: &str) {
        self.media().send_digits(digits);
    }

    /// One keypad digit as SIP INFO.
    pub fn send_info_digit(&self, digit: char) {
        self.phone.command(Command::InfoDigit {
            call: self.number,
            digit,
        });
    }

    /// Stops or resumes sending RTP packets at all.
    pub fn set_sending_rtp(&self, sending: bool) {
        self.media().set_sending(sending);
    }

    /// Sends these bytes from the call's audio socket to where its RTP goes.
    pub fn send_raw_rtp(&self, datagram: Vec<u8>) {
        self.media().send_raw(datagram);
    }

    /// What was heard so far.
    pub fn heard(&self) -> Heard {
        self.media().heard()
    }

    /// What was received from this sample on: cheap, for whoever passes it on.
    pub fn heard_since(&self, sample: usize) -> Vec<i16> {
        self.media().heard_since(sample)
    }

    /// The keypad digits received so far (RFC 4733).
    pub fn digits_heard(&self) -> Vec<char> {
        self.media().digits_heard()
    }

    /// Writes what was heard so far as a WAV file.
    pub fn save_heard(&self, path: &Path) -> Result<(), WavError> {
        wav::write(path, &self.heard().audio)
    }

    /// Listens until what was heard satisfies the test.
    pub async fn wait_heard(
        &self,
        what: &str,
        matches: impl Fn(&Heard) -> bool,
        within: Duration,
    ) -> Result<Heard, PhoneError> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let heard = self.heard();
            if matches(&heard) {
                return Ok(heard);
            }
            if tokio::time::Instant::now() >= deadline {
                let heard_so_far = format!(
                    "{what} (heard so far: {:?}; {} packets)",
                    speech::stretches(&heard.audio),
                    heard.arrivals.len()
                );
                return Err(self.phone.timeout(&heard_so_far, within));
            }
            tokio::time::sleep(LISTEN_EVERY).await;
        }
    }

    /// Listens until this tone was heard for `ms` in all since `from_ms` of the call.
    pub async fn wait_tone(
        &self,
        hz: f64,
        from_ms: u64,
        ms: u64,
        within: Duration,
    ) -> Result<Heard, PhoneError> {
        self.wait_heard(
            &format!("{ms} ms of a tone of {hz} Hz"),
            |h| tone::present_ms(&h.audio.window(from_ms, u64::MAX / 100_000), hz) >= ms,
            within,
        )
        .await
    }

    /// Listens until somebody has spoken for `speech_ms` since `from_ms` of the call and has been
    /// silent for `pause_ms` since.
    pub async fn wait_speech_ended(
        &self,
        from_ms: u64,
        speech_ms: u64,
        pause_ms: u64,
        within: Duration,
    ) -> Result<Heard, PhoneError> {
        self.wait_heard(
            &format!("{speech_ms} ms of speech, then {pause_ms} ms of silence"),
            |h| {
                let part = h.audio.window(from_ms, u64::MAX / 100_000);
                speech::silent_since_ms(&part).is_some_and(|s| s >= pause_ms)
                    && speech::speech_ms(&part) >= speech_ms
            },
            within,
        )
        .await
    }

    /// How long the call has been listening, in milliseconds: a mark for the waits above.
    pub fn now_ms(&self) -> u64 {
        let heard = self.media().started_elapsed();
        u64::try_from(heard.as_millis()).unwrap_or(u64::MAX)
    }

    fn media(&self) -> Arc<Media> {
        self.phone
            .log
            .media(self.number)
            .expect("a call has its audio before it has a handle")
    }
}
