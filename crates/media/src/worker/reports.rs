//! A leg's RTCP on its worker: the second socket is read a few times a second, a report is sent
//! every few. Arrival times come from the kernel, so reading late costs no precision.

use std::net::SocketAddr;

use super::leg::LegState;
use crate::event::MediaEvent;
use crate::rtcp::wire::{COMPOUND_MAX, Compound};
use crate::rtcp::{Deafness, unix_ns};
use crate::srtp::{self, SrtpError};
use crate::sys::RecvBatch;

/// Ticks between two looks at the socket: a third of a second.
const LOOK_EVERY_TICKS: u64 = 16;

impl LegState {
    /// Takes what came to the RTCP port, when its turn has come.
    pub(super) fn take_reports(&mut self, batch: &mut RecvBatch) {
        // Legs begin at different ticks, so their looks are spread.
        if self.active.is_none() || !self.ticks.is_multiple_of(LOOK_EVERY_TICKS) {
            return;
        }
        // One batch: more than four in a third of a second are no party's reports.
        let received = batch.receive(&self.rtcp_socket);
        for i in 0..received {
            match batch.get(i) {
                Some(datagram) if !datagram.truncated => {
                    self.on_report(datagram.from, datagram.data, datagram.arrival_ns);
                }
                Some(_) | None => self.shared.counters.rtcp_invalid.add(1),
            }
        }
    }

    pub(super) fn on_report(&mut self, from: SocketAddr, data: &mut [u8], arrival_ns: u64) {
        let counters = &self.shared.counters;
        let Some(active) = &self.active else {
            return;
        };
        if !self
            .rtcp
            .is_party(from, &active.params, active.guard.target())
        {
            counters.rx_foreign.add(1);
            return;
        }
        let data = match &mut self.srtp {
            None => &*data,
            Some(session) => match session.inbound.open_rtcp(data) {
                Ok(len) => &data[..len],
                Err(SrtpError::Malformed) => return counters.rtcp_invalid.add(1),
                Err(SrtpError::NotAuthentic) => return counters.rx_unauthentic.add(1),
                Err(SrtpError::Replayed) => return counters.rx_replayed.add(1),
            },
        };
        let Ok(compound) = Compound::parse(data, self.sender.ssrc()) else {
            return counters.rtcp_invalid.add(1);
        };
        counters.rtcp_received.add(1);
        let arrival_ns = if arrival_ns == 0 {
            unix_ns()
        } else {
            arrival_ns
        };
        let view = self.rtcp.on_report(from, &compound, arrival_ns);
        if let Some(units) = view.round_trip {
            counters
                .round_trip_us
                .set((u64::from(units) * 1_000_000) >> 16);
        }
        if let Some(sent) = view.sent {
            counters.far_sent.set(u64::from(sent));
        }
        if let Some(block) = view.reception {
            counters.far_reports.add(1);
            counters
                .far_lost
                .set(u64::try_from(block.lost).unwrap_or(0));
            counters
                .far_expected
                .set(self.rtcp.packets_sent().max(counters.far_lost.get()));
            counters
                .far_fraction_lost
                .set(u64::from(block.fraction_lost));
            // The far end counts in the clock of what we send.
            let samples = block.jitter / self.sender.encoder.codec().clock_per_sample();
            counters.far_jitter_us.set(u64::from(samples) * 125);
        }
        let heard = if self.is_watched && self.flows_both_ways() {
            self.rtcp.judge_hearing(view.reception)
        } else {
            self.rtcp.hearing_is_not_expected()
        };
        match heard {
            Deafness::Same => {}
            Deafness::NotHeard => self.report(MediaEvent::NotHeard),
            Deafness::HeardAgain => self.report(MediaEvent::HeardAgain),
        }
    }

    /// Sends a report if one is due. `timestamp` is the RTP clock's now.
    pub(super) fn report_if_due(&mut self, timestamp: u32) {
        if self.rtcp.is_due() {
            self.send_report(timestamp, false);
        }
    }

    /// The last report, with a BYE (RFC 3550 §6.6).
    pub fn say_goodbye(&mut self) {
        if self.active.is_some() {
            let timestamp = self.sender.timestamp();
            self.send_report(timestamp, true);
        }
    }

    fn send_report(&mut self, timestamp: u32, bye: bool) {
        let Some(active) = &self.active else {
            return;
        };
        let target = self.rtcp.target(&active.params, active.guard.target());
        if target.ip().is_unspecified() || target.port() == 0 {
            return;
        }
        let is_muxed = active.params.rtcp.mux;
        let mut buffer = [0; COMPOUND_MAX + srtp::OVERHEAD_MAX];
        let report = self.rtcp.report(
            self.sender.ssrc(),
            timestamp,
            unix_ns(),
            &self.sequence,
            bye,
        );
        let mut len = report.write(&mut buffer);
        if let Some(session) = &mut self.srtp {
            len = session.outbound.protect_rtcp(&mut buffer, len);
        }
        let socket = if is_muxed {
            &self.socket
        } else {
            &self.rtcp_socket
        };
        match socket.send_to(&buffer[..len], target) {
            Ok(_) => self.shared.counters.rtcp_sent.add(1),
            Err(_) => self.shared.counters.tx_errors.add(1),
        }
    }
}
