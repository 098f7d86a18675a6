//! How good a leg's audio is, in figures people know.

use serde::{Deserialize, Serialize};

use crate::stats::LegStats;

/// What a leg's audio was like, seen from here and, by its RTCP reports, from the party.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LegQuality {
    pub packets_received: u64,
    pub packets_sent: u64,
    /// Never came, in packets and per cent of what was sent to us.
    pub lost: u64,
    pub loss_percent: f64,
    /// Came too late to be played, in packets.
    pub late: u64,
    /// Audio made up for what was missing, in milliseconds.
    pub concealed_ms: u64,
    pub jitter_ms: f64,
    /// There and back, from RTCP; nothing when the party does not report.
    pub round_trip_ms: Option<f64>,
    /// Estimate of how we hear the party, 1 to 4.4; nothing without audio.
    pub mos: Option<f64>,
    /// What the party says of our audio; nothing when it does not report.
    pub far: Option<FarQuality>,
    /// SRTP packets that were not believed.
    pub unauthentic: u64,
}

/// What the party says of our audio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FarQuality {
    /// Its reports.
    pub reports: u64,
    pub lost: u64,
    /// Of all we sent until its last report.
    pub loss_percent: f64,
    pub jitter_ms: f64,
    pub mos: f64,
}

/// ITU-T G.107 with everything at its default but loss and delay, for G.711.
///
/// R = 93.2 − Id − Ie,eff. `Id` is the delay's share, in the approximation of Cole and Rosenbluth
/// (2001); `Ie,eff = 95 · Ppl / (Ppl + Bpl)` with Bpl = 25.1, G.711 with loss concealment
/// (G.113 appendix I), for random loss. MOS by G.107 annex B. An estimate: echo, noise and what
/// codecs do before us are not in it.
fn mos(loss_percent: f64, one_way_ms: f64) -> f64 {
    let late = (one_way_ms - 177.3).max(0.0);
    let delay = 0.024 * one_way_ms + 0.11 * late;
    let loss = 95.0 * loss_percent / (loss_percent + 25.1);
    let r = (93.2 - delay - loss).clamp(0.0, 100.0);
    let mos = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6;
    (mos.clamp(1.0, 4.5) * 100.0).round() / 100.0
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 * 10_000.0 / whole as f64).round() / 100.0
}

fn ms(us: u64) -> f64 {
    (us as f64 / 10.0).round() / 100.0
}

impl LegStats {
    /// The figures for people.
    pub fn quality(&self) -> LegQuality {
        let sent_to_us = self.rx_packets + self.rx_lost;
        // Half the round trip, a packet's time, and what waits in a jitter buffer.
        let network_ms = self.round_trip_us as f64 / 2_000.0 + 20.0;
        let missing = percent(self.rx_lost + self.rx_late, sent_to_us);
        let one_way_ms = network_ms + self.buffered_ms as f64;
        let far = (self.far_reports > 0).then(|| {
            let loss_percent = percent(self.far_lost, self.far_expected);
            FarQuality {
                reports: self.far_reports,
                lost: self.far_lost,
                loss_percent,
                jitter_ms: ms(self.far_jitter_us),
                // Its buffer is unknown; two packets are usual.
                mos: mos(loss_percent, network_ms + 40.0),
            }
        });
        LegQuality {
            packets_received: self.rx_packets,
            packets_sent: self.tx_packets,
            lost: self.rx_lost,
            loss_percent: percent(self.rx_lost, sent_to_us),
            late: self.rx_late,
            concealed_ms: self.concealed_frames * 20,
            jitter_ms: ms(self.jitter_us),
            round_trip_ms: (self.round_trip_us > 0).then(|| ms(self.round_trip_us)),
            mos: (self.rx_packets > 0).then(|| mos(missing, one_way_ms)),
            far,
            unauthentic: self.rx_unauthentic,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_falls_with_loss_and_delay() {
        assert_eq!(mos(0.0, 0.0), 4.41, "R = 93.2 (G.107 annex B)");
        assert!((4.3..4.41).contains(&mos(0.0, 80.0)));
        assert!((3.9..4.15).contains(&mos(3.0, 80.0)), "{}", mos(3.0, 80.0));
        assert!((3.3..3.8).contains(&mos(10.0, 80.0)), "{}", mos(10.0, 80.0));
        assert!(mos(0.0, 400.0) < mos(0.0, 150.0) - 0.5);
        assert_eq!(mos(100.0, 5_000.0), 1.0);
    }

    #[test]
    fn figures_are_there_when_they_are_known() {
        let mut stats = LegStats::default();
        let nothing = stats.quality();
        assert_eq!(
            (nothing.mos, nothing.round_trip_ms, nothing.far),
            (None, None, None)
        );
        stats.rx_packets = 970;
        stats.rx_lost = 30;
        stats.jitter_us = 4_321;
        stats.round_trip_us = 50_000;
        stats.far_reports = 2;
        stats.far_expected = 1_000;
        stats.far_lost = 50;
        let quality = stats.quality();
        assert_eq!((quality.loss_percent, quality.jitter_ms), (3.0, 4.32));
        assert_eq!(quality.round_trip_ms, Some(50.0));
        let far = quality.far.unwrap();
        assert_eq!(far.loss_percent, 5.0);
        assert!(far.mos < quality.mos.unwrap());
    }
}
