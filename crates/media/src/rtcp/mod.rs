//! RTCP (RFC 3550 §6): what both ends of a leg tell each other about the audio.
//!
//! [`wire`] reads and writes compound packets; `session` decides when to report, what to say, and
//! what the party's reports mean. Nothing here allocates.
//!
//! Left out on purpose: reduced-size packets (RFC 5506), feedback (RFC 4585), extended reports
//! (RFC 3611); they are passed over. A BYE of the party is noted, not obeyed: signalling decides.

mod session;
pub mod wire;

pub(crate) use session::{Deafness, RtcpSession};

/// 1900 to 1970 in seconds (RFC 3550 §4).
const NTP_EPOCH_S: u64 = 2_208_988_800;

/// Nanoseconds since 1970 as an NTP timestamp: seconds and a fraction of 32 bits each.
pub(crate) fn ntp(unix_ns: u64) -> u64 {
    let seconds = unix_ns / 1_000_000_000 + NTP_EPOCH_S;
    let fraction = ((unix_ns % 1_000_000_000) << 32) / 1_000_000_000;
    seconds << 32 | fraction
}

/// The middle 32 bits: units of 1/65536 s, as reports carry them.
pub(crate) fn ntp_middle(unix_ns: u64) -> u32 {
    (ntp(unix_ns) >> 16) as u32
}

/// The wall clock. The workers read the time here only, twice in a report's interval.
pub(crate) fn unix_ns() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_time_is_that_of_rfc_3550() {
        assert_eq!(ntp(0) >> 32, NTP_EPOCH_S);
        assert_eq!(ntp(1_500_000_000), (NTP_EPOCH_S + 1) << 32 | 0x8000_0000);
        let later = ntp_middle(10_250_000_000).wrapping_sub(ntp_middle(10_000_000_000));
        assert_eq!(later, 65_536 / 4);
    }
}
