//! What a leg sends: composed of bridge, assistant and tones, one packet per tick.

use std::net::SocketAddr;

use super::command::LinkFrame;
use super::heard::{Heard, Passed};
use super::leg::LegState;
use crate::assistant::PlayoutReport;
use crate::codec::Codec;
use crate::codec::coders::{Encoder, PAYLOAD_MAX};
use crate::codec::opus::OpusParams;
use crate::event::MediaEvent;
use crate::frame::{FRAME_SAMPLES, Frame, SILENCE, mix_into};
use crate::rtp::{HEADER_LEN, RtpPacket};
use crate::srtp;

const PACKET_LEN: usize = HEADER_LEN + PAYLOAD_MAX;
/// A packet with what SRTP adds.
const PROTECTED_LEN: usize = PACKET_LEN + srtp::OVERHEAD_MAX;

/// Whom the party hears.
pub(crate) enum Other<'a> {
    Nobody,
    /// The other leg of a bridge on this worker.
    Leg(&'a mut Heard),
    /// The others of a conference.
    Mix(&'a Frame),
}

/// The RTP stream to the party.
pub(super) struct Sender {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// The next audio packet begins a talk spurt.
    marker: bool,
    packet: [u8; PACKET_LEN],
    pub encoder: Encoder,
    /// For the recording: this tick's frame as samples, kept if wanted.
    sent: Frame,
    keeps_sent: bool,
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
            encoder: Encoder::new(Codec::Pcmu, OpusParams::default()),
            sent: SILENCE,
            keeps_sent: false,
        }
    }

    /// Clock units of a tick.
    fn step(&self) -> u32 {
        FRAME_SAMPLES as u32 * self.encoder.codec().clock_per_sample()
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
        let samples = ticks.wrapping_mul(self.step());
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.marker = true;
    }

    /// Puts samples into the packet; returns the length of its payload, 0 when none is to be sent.
    fn encode(&mut self, frame: &Frame) -> usize {
        if self.keeps_sent {
            self.sent = *frame;
        }
        let payload = payload(&mut self.packet);
        self.encoder.encode(frame, payload)
    }

    /// Silence is sent too: it keeps NAT bindings open and proves that we are there.
    fn silence(&mut self) -> usize {
        self.sent = SILENCE;
        let payload = payload(&mut self.packet);
        self.encoder.silence(payload)
    }

    /// Passes on what another leg heard, without touching it where that is possible.
    fn pass(&mut self, peer: &mut Heard) -> usize {
        match peer.passes_as(self.encoder.codec()) {
            Passed::Octets => {
                if self.keeps_sent {
                    self.sent = *peer.pcm();
                }
                self.encoder.pass(peer.octets());
                *payload(&mut self.packet) = *peer.octets();
                FRAME_SAMPLES
            }
            // Nothing leaves, so that the far end notices the loss and hides it.
            Passed::Lost if self.encoder.is_passing() => {
                if self.keeps_sent {
                    self.sent = *peer.pcm();
                }
                0
            }
            Passed::Samples | Passed::Lost => self.encode(peer.pcm()),
            Passed::Silence => self.silence(),
        }
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

fn payload(packet: &mut [u8; PACKET_LEN]) -> &mut [u8; PAYLOAD_MAX] {
    packet
        .last_chunk_mut()
        .expect("the packet is header and one frame")
}

impl LegState {
    /// Second half of a tick: sends what the party is to hear.
    pub fn send(&mut self, other: Other<'_>) {
        #[cfg(test)]
        assert_ne!(self.fault, Some(true), "fault made by a test");
        let Some(active) = &self.active else {
            return;
        };
        let params = active.params;
        let target = active.guard.target();
        let sends = params.direction.sends() && !target.ip().is_unspecified();

        let timestamp = self.sender.timestamp;
        self.sender.timestamp = timestamp.wrapping_add(self.sender.step());
        let event = match params.dtmf_pt {
            Some(payload_type) => self.dtmf_out.next(timestamp).map(|e| (payload_type, e)),
            None => None,
        };
        // Composed even if an event or a hold takes its place: playout goes on.
        let composed = self.compose(other);
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
                    HEADER_LEN + composed
                }
            };
            self.sender.sequence = self.sender.sequence.wrapping_add(1);
            if len > HEADER_LEN {
                self.transmit(len, target);
            }
        } else {
            self.sender.marker = true;
        }
        self.record(sends && event.is_none());
        self.report_if_due(timestamp);
    }

    /// Sends the first `len` octets of the packet, protected if that was agreed on.
    fn transmit(&mut self, len: usize, target: SocketAddr) {
        // In a copy: it is longer.
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
    }

    /// Puts this tick's audio into the packet and returns its length, 0 for none. A tone replaces
    /// everything; an assistant that speaks in a bridge (an announcement) is mixed in; ringback
    /// fills a pause.
    fn compose(&mut self, other: Other<'_>) -> usize {
        let mut speech = SILENCE;
        let speaks = self.take_assistant_audio(&mut speech);
        let linked = self.take_linked_frame();
        self.sender.keeps_sent = self.recording.is_some();

        if let Some(player) = &mut self.tone {
            let mut frame = SILENCE;
            if player.fill(&mut frame) {
                return self.sender.encode(&frame);
            }
            self.tone = None;
            self.report(MediaEvent::ToneFinished);
        }
        if let Some(player) = &mut self.music {
            let mut frame = player.next_frame();
            if speaks {
                mix_into(&mut frame, &speech);
            }
            return self.sender.encode(&frame);
        }
        let mut linked_heard;
        let other = match (other, linked) {
            _ if self.is_deaf => Other::Nobody,
            (Other::Nobody, Some(heard)) => {
                linked_heard = heard;
                Other::Leg(&mut linked_heard)
            }
            (other, _) => other,
        };
        match other {
            Other::Leg(peer) if speaks => {
                mix_into(&mut speech, peer.pcm());
                return self.sender.encode(&speech);
            }
            Other::Leg(peer) => return self.sender.pass(peer),
            Other::Mix(mix) => {
                mix_into(&mut speech, mix);
                return self.sender.encode(&speech);
            }
            Other::Nobody => {}
        }
        if speaks {
            return self.sender.encode(&speech);
        }
        if let Some(player) = &mut self.ringback {
            let mut frame = SILENCE;
            player.fill(&mut frame);
            return self.sender.encode(&frame);
        }
        self.sender.silence()
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
        match link.from_peer.pop() {
            Ok(LinkFrame::Octets(codec, octets)) => {
                heard.set_codec(codec);
                *heard.octets_buffer() = octets;
                heard.use_octets();
            }
            Ok(LinkFrame::Samples(frame)) => *heard.pcm_mut() = frame,
            // The peer is closed: whatever else is to be heard comes through.
            Err(_) if link.from_peer.is_abandoned() => return None,
            Err(_) => {}
        }
        Some(heard)
    }

    fn record(&mut self, sent_audio: bool) {
        let Some(recording) = &mut self.recording else {
            return;
        };
        if recording.is_listening() {
            let sent = if sent_audio {
                &self.sender.sent
            } else {
                &SILENCE
            };
            if !recording.push(self.heard.pcm(), sent) {
                self.shared.counters.recording_dropped.add(1);
            }
        }
        recording.index = recording.index.saturating_add(1);
    }
}
