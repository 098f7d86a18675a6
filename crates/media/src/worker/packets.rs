//! Datagrams of a leg's RTP port on its worker: opened, judged, and sorted into audio, key presses
//! and comfort noise.

use std::net::SocketAddr;

use super::leg::LegState;
use super::watch::Refused;
use crate::codec::Codec;
use crate::comfort;
use crate::event::MediaEvent;
use crate::jitter::Inserted;
use crate::receiver::{Order, Verdict};
use crate::rtp::RtpPacket;
use crate::srtp::SrtpError;
use crate::sys::{BATCH, RecvBatch};

/// Datagrams a leg takes per tick. A party sends one or two; what floods a port stays in the
/// kernel's buffer and is dropped there.
const DATAGRAMS_PER_TICK: usize = 8 * BATCH;

impl LegState {
    pub(super) fn take_datagrams(&mut self, batch: &mut RecvBatch) {
        let mut taken = 0;
        while taken < DATAGRAMS_PER_TICK {
            let received = batch.receive(&self.socket);
            for i in 0..received {
                match batch.get(i) {
                    Some(datagram) if !datagram.truncated => {
                        self.on_datagram(datagram.from, datagram.data, datagram.arrival_ns);
                    }
                    Some(_) | None => self.shared.counters.rx_invalid.add(1),
                }
            }
            taken += received;
            if received < BATCH {
                break;
            }
        }
    }

    fn on_datagram(&mut self, from: SocketAddr, data: &mut [u8], arrival_ns: u64) {
        let counters = &self.shared.counters;
        let Some(active) = &mut self.active else {
            return; // early packets before signalling finished
        };
        // RFC 5761 §4: what is RTCP is told by its packet type, also when it is encrypted.
        if active.params.rtcp.mux && data.get(1).is_some_and(|t| (192..=223).contains(t)) {
            self.on_report(from, data, arrival_ns);
            return;
        }
        // Before the source is judged: what is not authentic must not be latched on to.
        let data = match &mut self.srtp {
            None => &*data,
            Some(session) => match session.inbound.open_rtp(data) {
                Ok(len) => &data[..len],
                Err(SrtpError::Malformed) => {
                    counters.rx_invalid.add(1);
                    self.refused.unusable();
                    return;
                }
                Err(SrtpError::NotAuthentic) => {
                    counters.rx_unauthentic.add(1);
                    self.refused.unauthentic();
                    return;
                }
                Err(SrtpError::Replayed) => {
                    counters.rx_replayed.add(1);
                    return;
                }
            },
        };
        let Ok(packet) = RtpPacket::parse(data) else {
            counters.rx_invalid.add(1);
            self.refused.unusable();
            return;
        };
        let params = &active.params;
        let is_event = params.dtmf_pt == Some(packet.payload_type);
        let is_comfort = packet.payload_type == comfort::PAYLOAD_TYPE;
        let codec = if packet.payload_type == params.payload_type {
            Some(params.codec)
        } else {
            params
                .also_receives
                .filter(|format| format.payload_type == packet.payload_type)
                .map(|format| format.codec)
        };
        if codec.is_none() && !is_event && !is_comfort {
            counters.rx_invalid.add(1);
            self.refused.unusable();
            return;
        }
        let announced = params.remote;
        let receives = params.direction.receives();
        match active.guard.judge(from, &packet) {
            Verdict::Accept => {}
            Verdict::Latched => {
                self.report(MediaEvent::RtpStarted { from });
                if from != announced {
                    self.report(MediaEvent::RemoteChanged {
                        announced,
                        latched: from,
                    });
                }
            }
            Verdict::Probation => return,
            Verdict::Foreign => {
                counters.rx_foreign.add(1);
                self.refused.foreign();
                return;
            }
        }
        self.on_valid_packet(&packet, codec, receives, arrival_ns);
    }

    fn on_valid_packet(
        &mut self,
        packet: &RtpPacket<'_>,
        codec: Option<Codec>,
        receives: bool,
        arrival_ns: u64,
    ) {
        self.silent_ticks = 0;
        self.refused = Refused::default();
        if std::mem::take(&mut self.no_rtp_reported) {
            self.report(MediaEvent::RtpResumed);
        }
        let order = self.sequence.on_packet(packet);
        if order == Order::Restarted {
            self.forget_waiting();
        }
        let counters = &self.shared.counters;
        match order {
            Order::Next | Order::Restarted => {}
            Order::Reordered => counters.rx_reordered.add(1),
            Order::Duplicate => {
                counters.rx_duplicate.add(1);
                return;
            }
            Order::Suspect => return,
        }
        counters.rx_packets.add(1);
        let Some(codec) = codec else {
            if packet.payload_type == comfort::PAYLOAD_TYPE {
                self.on_comfort(packet);
            } else {
                self.on_event(packet);
            }
            return;
        };
        self.comfort.audio_came = true;
        // Where the timestamp wraps, the quotient jumps; that is passed over there as any jump is.
        let timestamp = packet.timestamp / codec.clock_per_sample();
        self.sequence.on_arrival(timestamp, arrival_ns);
        if receives {
            // A change of format is rare; what waits in the old one plays as noise for 40 ms
            // otherwise, so it is dropped.
            if self.heard.set_codec(codec) {
                self.forget_waiting();
            }
            let inserted = match (codec, &mut self.heard.decoders.opus) {
                (Codec::Opus, Some(opus)) => {
                    opus.insert(&mut self.jitter, packet.timestamp, packet.payload)
                }
                (Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opus, _) => {
                    self.jitter.insert(packet.timestamp, packet.payload)
                }
            };
            if inserted == Inserted::Refused {
                self.shared.counters.rx_invalid.add(1);
            }
        }
    }

    fn on_event(&mut self, packet: &RtpPacket<'_>) {
        let pressed = self.dtmf_in.on_packet(
            packet.sequence,
            packet.timestamp,
            packet.marker,
            packet.payload,
        );
        match pressed {
            Ok(Some(digit)) => {
                self.shared.counters.digits.add(1);
                self.report(MediaEvent::Digit {
                    digit,
                    at_ms: self.at_ms(),
                });
            }
            Ok(None) => {}
            Err(_) => self.shared.counters.rx_invalid.add(1),
        }
    }
}
