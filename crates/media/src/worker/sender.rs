//! What a leg sends: composed of bridge, assistant and tones, one packet per tick.

use super::heard::Heard;
use super::leg::LegState;
use crate::assistant::PlayoutReport;
use crate::event::MediaEvent;
use crate::frame::{FRAME_SAMPLES, Frame, SILENCE, mix_into};
use crate::params::RtpParams;
use crate::rtp::{HEADER_LEN, RtpPacket};
use crate::srtp;

const PACKET_LEN: usize = HEADER_LEN + FRAME_SAMPLES;
/// A packet with what SRTP adds.
const PROTECTED_LEN: usize = PACKET_LEN + srtp::OVERHEAD_MAX;

/// The RTP stream to the party.
pub(super) struct Sender {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// The next audio packet begins a talk spurt.
    marker: bool,
    packet: [u8; PACKET_LEN],
}

impl Sender {
    pub fn new(random: [u64; 2]) -> Self {
        Self {
            ssrc: random[0] as u32,
            // The lower half: a receiver that misses the first packets then still knows that its
            // roll-over counter is zero (RFC 3711 §3.3.1).
            sequence: (random[0] >> 32) as u16 & 0x7FFF,
            timestamp: random[1] as u32,
            marker: true,
            packet: [0; PACKET_LEN],
        }
    }

    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Of the next packet.
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    pub fn begin_spurt(&mut self) {
        self.marker = true;
    }

    /// Ticks that were left out: the timeline goes on.
    pub fn skip(&mut self, ticks: u32) {
        let samples = ticks.wrapping_mul(FRAME_SAMPLES as u32);
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.marker = true;
    }

    fn payload(&mut self) -> &mut [u8; FRAME_SAMPLES] {
        (&mut self.packet[HEADER_LEN..])
            .try_into()
            .expect("the packet is header and one frame")
    }

    /// Writes a header before the payload that is in place already.
    fn header(&mut self, payload_type: u8, marker: bool, timestamp: u32) {
        let header = RtpPacket {
            marker,
            payload_type,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            payload: &[],
        };
        header.write(&mut self.packet);
    }
}

impl LegState {
    /// Second half of a tick: sends what the party is to hear. `peer` is what the other leg of a
    /// bridge on this worker heard.
    pub fn send(&mut self, peer: Option<&mut Heard>) {
        #[cfg(test)]
        assert_ne!(self.fault, Some(true), "fault made by a test");
        let Some(active) = &self.active else {
            return;
        };
        let params = active.params;
        let target = active.guard.target();
        let sends = params.direction.sends() && !target.ip().is_unspecified();

        let timestamp = self.sender.timestamp;
        self.sender.timestamp = timestamp.wrapping_add(FRAME_SAMPLES as u32);
        let event = match params.dtmf_pt {
            Some(payload_type) => self.dtmf_out.next(timestamp).map(|e| (payload_type, e)),
            None => None,
        };
        // Composed even if an event or a hold takes its place: playout goes on.
        self.compose(params, peer);
        if sends {
            let len = match event {
                Some((payload_type, event)) => {
                    self.sender
                        .header(payload_type, event.marker, event.timestamp);
                    self.sender.packet[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&event.payload);
                    self.sender.marker = true;
                    HEADER_LEN + 4
                }
                None => {
                    let marker = std::mem::take(&mut self.sender.marker);
                    self.sender.header(params.payload_type, marker, timestamp);
                    PACKET_LEN
                }
            };
            self.sender.sequence = self.sender.sequence.wrapping_add(1);
            // In a copy: the recording still needs the audio as it was.
            let mut protected = [0; PROTECTED_LEN];
            let datagram = match &mut self.srtp {
                None => &self.sender.packet[..len],
                Some(session) => {
                    protected[..len].copy_from_slice(&self.sender.packet[..len]);
                    let len = session.outbound.protect_rtp(&mut protected, len);
                    &protected[..len]
                }
            };
            match self.socket.send_to(datagram, target) {
                Ok(_) => {
                    self.shared.counters.tx_packets.add(1);
                    self.rtcp.sent(len - HEADER_LEN);
                }
                Err(_) => self.shared.counters.tx_errors.add(1),
            }
        } else {
            self.sender.marker = true;
        }
        self.record(params, sends && event.is_none());
        self.report_if_due(timestamp);
    }

    /// Puts this tick's audio into the packet. A tone replaces everything; an assistant that speaks
    /// in a bridge (an announcement) is mixed in; ringback fills a pause.
    fn compose(&mut self, params: RtpParams, peer: Option<&mut Heard>) {
        let mut speech = SILENCE;
        let speaks = self.take_assistant_audio(&mut speech);
        let linked = self.take_linked_frame();

        if let Some(player) = &mut self.tone {
            let mut frame = SILENCE;
            if player.fill(&mut frame) {
                params.codec.encode(&frame, self.sender.payload());
                return;
            }
            self.tone = None;
            self.report(MediaEvent::ToneFinished);
        }
        let mut linked_heard;
        let peer = match (peer, linked) {
            (Some(peer), _) => Some(peer),
            (None, Some(heard)) => {
                linked_heard = heard;
                Some(&mut linked_heard)
            }
            (None, None) => None,
        };
        if let Some(peer) = peer {
            if speaks {
                mix_into(&mut speech, peer.pcm());
                params.codec.encode(&speech, self.sender.payload());
            } else {
                peer.encode_into(params.codec, self.sender.payload());
            }
            return;
        }
        if speaks {
            params.codec.encode(&speech, self.sender.payload());
            return;
        }
        if let Some(player) = &mut self.ringback {
            let mut frame = SILENCE;
            player.fill(&mut frame);
            params.codec.encode(&frame, self.sender.payload());
            return;
        }
        // Silence is sent too: it keeps NAT bindings open and proves that we are there.
        self.sender.payload().fill(params.codec.silence_octet());
    }

    /// The assistant's next frame, with everything there is to report about it.
    fn take_assistant_audio(&mut self, frame: &mut Frame) -> bool {
        let Some(mut assistant) = self.assistant.take() else {
            return false;
        };
        let speaks = assistant.speak(frame, |report| match report {
            PlayoutReport::Progress { item, played_ms } => {
                self.report(MediaEvent::Playout { item, played_ms });
            }
            PlayoutReport::Finished { item, played_ms } => {
                self.report(MediaEvent::PlayoutFinished { item, played_ms });
            }
            PlayoutReport::Cut { item, played_ms } => {
                self.report(MediaEvent::PlayoutCut { item, played_ms });
            }
            PlayoutReport::Underrun => self.shared.counters.assistant_out_underruns.add(1),
        });
        self.assistant = Some(assistant);
        speaks
    }

    /// The frame from a peer on another worker. When more than two wait after a hiccup, the oldest
    /// are left out, else they would stay as delay.
    fn take_linked_frame(&mut self) -> Option<Heard> {
        let link = self.peer.link.as_mut()?;
        while link.from_peer.slots() > 2 {
            let _ = link.from_peer.pop();
            self.shared.counters.link_dropped.add(1);
        }
        let mut heard = Heard::default();
        if let Ok(frame) = link.from_peer.pop() {
            heard.set_codec(frame.codec);
            *heard.octets_buffer() = frame.octets;
            heard.use_octets();
        }
        Some(heard)
    }

    fn record(&mut self, params: RtpParams, sent_audio: bool) {
        let Some(recording) = &mut self.recording else {
            return;
        };
        if recording.is_listening() {
            let mut sent = SILENCE;
            if sent_audio {
                params
                    .codec
                    .decode(&self.sender.packet[HEADER_LEN..], &mut sent);
            }
            if !recording.push(self.heard.pcm(), &sent) {
                self.shared.counters.recording_dropped.add(1);
            }
        }
        recording.index = recording.index.saturating_add(1);
    }
}
