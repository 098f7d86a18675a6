//! Recordings: made, finished, announced by callback, and kept as WAV.

use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Shared;
use super::log::{WebhookKind, lock};
use super::people::line::Tap;
use super::sign::{Params, first, pair};
use super::twiml::Element;
use super::webhooks::Ask;
use crate::audio::PHONE_RATE_HZ;

/// A recording as REST shows it.
#[derive(Debug, Clone)]
pub struct Recording {
    /// `RE…`.
    pub sid: String,
    /// The leg it hangs on: of two, the parent.
    pub call_sid: String,
    /// `CF…`, if it is of a conference.
    pub conference_sid: Option<String>,
    /// `RecordVerb`, `DialVerb`, …
    pub source: String,
    /// 1 or 2.
    pub channels: u16,
    /// `in-progress`, `paused`, `completed`, `absent`.
    pub status: String,
    /// Seconds, when it is over.
    pub duration_s: u64,
    /// When it began.
    pub start_time: Timestamp,
    /// The file, when it is over.
    pub wav: Vec<u8>,
}

/// Who is told of a recording.
#[derive(Debug, Clone, Default)]
pub(super) struct Callback {
    pub url: String,
    pub method: String,
    /// `in-progress completed absent`; empty means `completed`.
    pub events: Vec<String>,
}

impl Callback {
    /// Attributes `recordingStatusCallback…`.
    pub(super) fn of(element: &Element, resolved: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name: &str| element.attribute(name).unwrap_or_default().to_owned();
        let given = element.attribute("recordingStatusCallback");
        Self {
            url: given.and_then(resolved).unwrap_or_default(),
            method: text("recordingStatusCallbackMethod"),
            events: text("recordingStatusCallbackEvent")
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
        }
    }

    /// Parameters `RecordingStatusCallback…`.
    pub(super) fn of_form(form: &Params) -> Self {
        let text = |name: &str| first(form, name).unwrap_or_default().to_owned();
        Self {
            url: text("RecordingStatusCallback"),
            method: text("RecordingStatusCallbackMethod"),
            events: super::sign::all(form, "RecordingStatusCallbackEvent")
                .into_iter()
                .flat_map(str::split_whitespace)
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// `PauseBehavior`: what the file holds of a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paused {
    Silence,
    Skip,
}

/// A running recording of what passes on a line.
#[derive(Debug)]
pub(super) struct Recorder {
    pub sid: String,
    tap: Arc<Mutex<Tap>>,
    kept: (Vec<i16>, Vec<i16>),
    pause: Option<Paused>,
    began: Instant,
    callback: Callback,
}

impl Recorder {
    fn keep(&mut self) {
        let mut guard = lock(&self.tap);
        let tap = &mut *guard;
        let (inbound, outbound) = (tap.inbound.drain(..), tap.outbound.drain(..));
        match self.pause {
            None => {
                self.kept.0.extend(inbound);
                self.kept.1.extend(outbound);
            }
            Some(Paused::Silence) => {
                self.kept.0.extend(inbound.map(|_| 0));
                self.kept.1.extend(outbound.map(|_| 0));
            }
            Some(Paused::Skip) => {}
        }
    }

    /// Pauses, or goes on.
    pub(super) fn set_pause(&mut self, pause: Option<Paused>) {
        self.keep();
        self.pause = pause;
    }
}

impl Shared {
    /// Begins a recording of what goes through the tap.
    pub(super) fn start_recording(
        self: &Arc<Self>,
        call_sid: &str,
        conference_sid: Option<&str>,
        source: &str,
        channels: u16,
        tap: Arc<Mutex<Tap>>,
        callback: Callback,
    ) -> Recorder {
        let sid = super::sid("RE");
        let recording = Recording {
            sid: sid.clone(),
            call_sid: call_sid.to_owned(),
            conference_sid: conference_sid.map(str::to_owned),
            source: source.to_owned(),
            channels,
            status: "in-progress".to_owned(),
            duration_s: 0,
            start_time: Timestamp::now(),
            wav: Vec::new(),
        };
        self.state().recordings.push(recording.clone());
        self.announce(&recording, &callback);
        self.pulse.beat();
        Recorder {
            sid,
            tap,
            kept: (Vec::new(), Vec::new()),
            pause: None,
            began: Instant::now(),
            callback,
        }
    }

    /// Ends a recording; gives its sid.
    pub(super) fn finish_recording(self: &Arc<Self>, mut recorder: Recorder) -> String {
        recorder.keep();
        let lasted = recorder.began.elapsed();
        let length = samples_of(lasted);
        let (mut one, mut two) = recorder.kept;
        one.resize(one.len().max(length), 0);
        two.resize(one.len(), 0);
        let channels = self.recording(&recorder.sid).map_or(1, |r| r.channels);
        let wav = if channels == 2 {
            to_wav(&[&one, &two])
        } else {
            let both = one.iter().zip(&two).map(|(a, b)| a.saturating_add(*b));
            to_wav(&[&both.collect::<Vec<_>>()])
        };
        let seconds = self.config.pace.carrier(lasted).as_secs().max(1);
        self.complete(&recorder.sid, wav, seconds, &recorder.callback);
        recorder.sid
    }

    /// Keeps a recording that is already over; gives its sid.
    pub(super) fn add_recording(
        self: &Arc<Self>,
        call_sid: &str,
        source: &str,
        samples: &[i16],
        seconds: u64,
        callback: &Callback,
    ) -> String {
        let sid = super::sid("RE");
        self.state().recordings.push(Recording {
            sid: sid.clone(),
            call_sid: call_sid.to_owned(),
            conference_sid: None,
            source: source.to_owned(),
            channels: 1,
            status: "in-progress".to_owned(),
            duration_s: 0,
            start_time: Timestamp::now(),
            wav: Vec::new(),
        });
        self.complete(&sid, to_wav(&[samples]), seconds, callback);
        sid
    }

    fn complete(self: &Arc<Self>, sid: &str, wav: Vec<u8>, seconds: u64, callback: &Callback) {
        let finished = {
            let mut state = self.state();
            let Some(recording) = state.recordings.iter_mut().find(|r| r.sid == sid) else {
                return;
            };
            "completed".clone_into(&mut recording.status);
            recording.wav = wav;
            recording.duration_s = seconds;
            recording.clone()
        };
        self.announce(&finished, callback);
        self.pulse.beat();
    }

    /// A recording by its sid.
    pub(super) fn recording(&self, sid: &str) -> Option<Recording> {
        let state = self.state();
        state.recordings.iter().find(|r| r.sid == sid).cloned()
    }

    /// `RecordingUrl`: serves a WAV.
    pub(super) fn recording_url(&self, sid: &str) -> String {
        let account = &self.config.account_sid;
        format!(
            "{}/2010-04-01/Accounts/{account}/Recordings/{sid}",
            self.url()
        )
    }

    /// Recording status callback: the parameters, and only the events asked for.
    fn announce(self: &Arc<Self>, recording: &Recording, callback: &Callback) {
        let event = recording.status.as_str();
        let wanted = if callback.events.is_empty() {
            event == "completed"
        } else {
            callback.events.iter().any(|e| e == event)
        };
        if callback.url.is_empty() || !wanted {
            return;
        }
        let mut params = vec![
            pair("AccountSid", &self.config.account_sid),
            pair("CallSid", &recording.call_sid),
            pair("RecordingSid", &recording.sid),
            pair("RecordingUrl", self.recording_url(&recording.sid)),
            pair("RecordingStatus", event),
            pair("RecordingChannels", recording.channels.to_string()),
            pair("RecordingStartTime", super::rfc2822(recording.start_time)),
            pair("RecordingSource", &recording.source),
            pair("RecordingTrack", "both"),
        ];
        if let Some(conference) = &recording.conference_sid {
            params.push(pair("ConferenceSid", conference));
        }
        if event == "completed" {
            params.push(pair("RecordingDuration", recording.duration_s.to_string()));
        }
        let ask = Ask {
            kind: WebhookKind::Recording,
            leg: None,
            url: callback.url.clone(),
            method: callback.method.clone(),
            params,
        };
        self.notify_beside(ask);
    }
}

/// Samples in so long.
pub(super) fn samples_of(time: Duration) -> usize {
    (time.as_secs_f64() * f64::from(PHONE_RATE_HZ)) as usize
}

/// A WAV of 8 kHz with these channels, all equally long.
pub(super) fn to_wav(channels: &[&[i16]]) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: u16::try_from(channels.len()).unwrap_or(1),
        sample_rate: PHONE_RATE_HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).expect("memory can be written");
    for at in 0..channels.first().map_or(0, |c| c.len()) {
        for channel in channels {
            let sample = channel.get(at).copied().unwrap_or(0);
            writer.write_sample(sample).expect("memory can be written");
        }
    }
    writer.finalize().expect("memory can be written");
    bytes.into_inner()
}
