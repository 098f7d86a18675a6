//! Keypad digits as RTP events (RFC 4733), received and sent.

use switchhook_model::Digit;
use thiserror::Error;

use crate::frame::FRAME_SAMPLES;

/// Payload type we offer for `telephone-event/8000`.
pub const DEFAULT_PAYLOAD_TYPE: u8 = 101;

/// Digits that may wait to be sent; further ones are refused.
pub const SEND_QUEUE: usize = 64;

/// One event payload (RFC 4733 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPayload {
    /// 0 to 15 are the keys; others (flash, fax, trunk tones) are not ours.
    pub event: u8,
    pub end: bool,
    /// Power in −dBm0, 0 to 63.
    pub volume: u8,
    /// Since the event began, in timestamp units.
    pub duration: u16,
}

/// The payload is shorter than the four octets of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("telephone-event payload of {0} octets, expected at least 4")]
pub struct EventTooShort(pub usize);

impl EventPayload {
    /// Reads the first event; a second one in the same packet (RFC 4733 §2.5.1.5) is for trunk
    /// signalling and ignored.
    pub fn parse(payload: &[u8]) -> Result<Self, EventTooShort> {
        let octets: &[u8; 4] = payload.first_chunk().ok_or(EventTooShort(payload.len()))?;
        Ok(Self {
            event: octets[0],
            end: octets[1] & 0x80 != 0,
            volume: octets[1] & 0x3F,
            duration: u16::from_be_bytes([octets[2], octets[3]]),
        })
    }

    pub fn to_octets(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [
            self.event,
            (u8::from(self.end) << 7) | (self.volume & 0x3F),
            high,
            low,
        ]
    }
}

/// Reports each key press once, at its first packet, however often and in whatever order its
/// packets come.
#[derive(Debug)]
pub struct DtmfReceiver {
    current: Option<Press>,
    /// Units of the stream's clock per unit of an 8 kHz clock.
    scale: i32,
}

impl Default for DtmfReceiver {
    fn default() -> Self {
        Self {
            current: None,
            scale: 1,
        }
    }
}

#[derive(Debug)]
struct Press {
    event: u8,
    /// Of the segment that arrived last: long presses have several.
    timestamp: u32,
    duration: u16,
    ended: bool,
    last_sequence: u16,
}

impl DtmfReceiver {
    /// The RTP clock of the stream, 8000 Hz unless told otherwise.
    pub fn set_clock(&mut self, clock_hz: u32) {
        self.scale = scale_of(clock_hz);
    }

    /// Feeds one packet of the negotiated telephone-event payload type.
    pub fn on_packet(
        &mut self,
        sequence: u16,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Result<Option<Digit>, EventTooShort> {
        let event = EventPayload::parse(payload)?;
        let Some(digit) = Digit::from_event(event.event) else {
            return Ok(None);
        };
        if let Some(press) = &mut self.current {
            let age = timestamp.wrapping_sub(press.timestamp).cast_signed();
            if age == 0 && event.event == press.event {
                // An update or one of the three end packets (RFC 4733 §2.5.1.4).
                press.ended |= event.end;
                press.duration = press.duration.max(event.duration);
                press.last_sequence = sequence;
                return Ok(None);
            }
            // A retransmission of an earlier event that was overtaken. Two minutes and more back
            // it is a new timeline instead.
            if (-960_000 * self.scale..0).contains(&age) {
                return Ok(None);
            }
            if !press.ended
                && event.event == press.event
                && press.continued_by(sequence, age, marker, self.scale)
            {
                press.timestamp = timestamp;
                press.duration = event.duration;
                press.ended = event.end;
                press.last_sequence = sequence;
                return Ok(None);
            }
        }
        self.current = Some(Press {
            event: event.event,
            timestamp,
            duration: event.duration,
            ended: event.end,
            last_sequence: sequence,
        });
        Ok(Some(digit))
    }
}

impl Press {
    /// True when a later timestamp with the same key is the same press going on: the next segment
    /// of a long press (RFC 4733 §2.5.1.3), or a sender that moves the timestamp with every packet
    /// although §2.2.1 forbids it. Such packets carry no marker and follow closely.
    fn continued_by(&self, sequence: u16, age: i32, marker: bool, scale: i32) -> bool {
        // Durations may count in a slower clock than the timestamps of the stream.
        let duration = i32::from(self.duration);
        let next_segment = (age == duration || age == duration * scale) && self.duration >= 0xFF00;
        let creeping = !marker
            && (1..=3).contains(&sequence.wrapping_sub(self.last_sequence))
            && age <= 3 * 320 * scale;
        next_segment || creeping
    }
}

fn scale_of(clock_hz: u32) -> i32 {
    (clock_hz / crate::frame::SAMPLE_RATE_HZ)
        .clamp(1, 12)
        .cast_signed()
}

/// Length of a sent digit and of the pause after it, in ticks of 20 ms. 100 ms and 60 ms exceed
/// what receivers must accept (40 ms each, ITU-T Q.24).
const DIGIT_TICKS: u16 = 5;
const PAUSE_TICKS: u8 = 3;
/// The end packet is sent three times (RFC 4733 §2.5.1.4).
const END_PACKETS: u8 = 3;
/// −10 dBm0, as phones do.
const VOLUME: u8 = 10;

/// An event packet to send in place of this tick's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPacket {
    /// When the event began; the same for all its packets.
    pub timestamp: u32,
    pub marker: bool,
    pub payload: [u8; 4],
}

/// Sends queued digits one after the other, one packet per tick.
#[derive(Debug)]
pub struct DtmfSender {
    queue: [u8; SEND_QUEUE],
    first: usize,
    waiting: usize,
    state: Sending,
    /// Duration of a tick in units of the negotiated clock.
    tick: u16,
}

#[derive(Debug, Clone, Copy)]
enum Sending {
    Nothing,
    Pressed {
        event: u8,
        timestamp: u32,
        ticks: u16,
    },
    Ended {
        event: u8,
        timestamp: u32,
        sent: u8,
    },
    Pause {
        left: u8,
    },
}

impl Default for DtmfSender {
    fn default() -> Self {
        Self {
            queue: [0; SEND_QUEUE],
            first: 0,
            waiting: 0,
            state: Sending::Nothing,
            tick: FRAME_SAMPLES as u16,
        }
    }
}

impl DtmfSender {
    /// The clock negotiated for telephone-event, 8000 Hz unless told otherwise.
    pub fn set_clock(&mut self, clock_hz: u32) {
        self.tick = FRAME_SAMPLES as u16 * scale_of(clock_hz) as u16;
    }

    /// Queues a digit; false when [`SEND_QUEUE`] digits wait already.
    pub fn push(&mut self, digit: Digit) -> bool {
        if self.waiting == SEND_QUEUE {
            return false;
        }
        self.queue[(self.first + self.waiting) % SEND_QUEUE] = digit.event();
        self.waiting += 1;
        true
    }

    /// True when neither a digit nor its pause is going on.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, Sending::Nothing) && self.waiting == 0
    }

    /// The packet for the tick at `timestamp`, or nothing: then audio is sent.
    pub fn next(&mut self, timestamp: u32) -> Option<EventPacket> {
        if let Sending::Pause { left } = self.state {
            self.state = match left {
                0 | 1 => Sending::Nothing,
                _ => Sending::Pause { left: left - 1 },
            };
            return None;
        }
        if matches!(self.state, Sending::Nothing) {
            if self.waiting == 0 {
                return None;
            }
            let event = self.queue[self.first];
            self.first = (self.first + 1) % SEND_QUEUE;
            self.waiting -= 1;
            self.state = Sending::Pressed {
                event,
                timestamp,
                ticks: 0,
            };
        }
        match self.state {
            Sending::Pressed {
                event,
                timestamp,
                ticks,
            } => {
                let ticks = ticks + 1;
                self.state = if ticks == DIGIT_TICKS - 1 {
                    Sending::Ended {
                        event,
                        timestamp,
                        sent: 0,
                    }
                } else {
                    Sending::Pressed {
                        event,
                        timestamp,
                        ticks,
                    }
                };
                Some(packet(
                    event,
                    timestamp,
                    ticks * self.tick,
                    ticks == 1,
                    false,
                ))
            }
            Sending::Ended {
                event,
                timestamp,
                sent,
            } => {
                self.state = if sent + 1 == END_PACKETS {
                    Sending::Pause { left: PAUSE_TICKS }
                } else {
                    Sending::Ended {
                        event,
                        timestamp,
                        sent: sent + 1,
                    }
                };
                Some(packet(
                    event,
                    timestamp,
                    DIGIT_TICKS * self.tick,
                    false,
                    true,
                ))
            }
            Sending::Nothing | Sending::Pause { .. } => None,
        }
    }
}

fn packet(event: u8, timestamp: u32, duration: u16, marker: bool, end: bool) -> EventPacket {
    EventPacket {
        timestamp,
        marker,
        payload: EventPayload {
            event,
            end,
            volume: VOLUME,
            duration,
        }
        .to_octets(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn octets(event: u8, end: bool, duration: u16) -> [u8; 4] {
        EventPayload {
            event,
            end,
            volume: 10,
            duration,
        }
        .to_octets()
    }

    /// Feeds `(sequence, timestamp, marker, event, end, duration)` and returns the keys reported.
    fn keys(packets: &[(u16, u32, bool, u8, bool, u16)]) -> String {
        let mut receiver = DtmfReceiver::default();
        packets
            .iter()
            .filter_map(|(sequence, timestamp, marker, event, end, duration)| {
                receiver
                    .on_packet(
                        *sequence,
                        *timestamp,
                        *marker,
                        &octets(*event, *end, *duration),
                    )
                    .unwrap()
            })
            .map(Digit::as_char)
            .collect()
    }

    #[test]
    fn a_press_is_reported_once_with_its_end_retransmitted() {
        let press = [
            (1, 1000, true, 5, false, 160),
            (2, 1000, false, 5, false, 320),
            (3, 1000, false, 5, true, 480),
            (4, 1000, false, 5, true, 480),
            (5, 1000, false, 5, true, 480),
        ];
        assert_eq!(keys(&press), "5");
        // Only the last end packet survived the network.
        assert_eq!(keys(&press[4..]), "5");
    }

    #[test]
    fn the_same_key_twice_is_two_presses() {
        assert_eq!(
            keys(&[
                (1, 1000, true, 1, false, 160),
                (2, 1000, false, 1, true, 320),
                (3, 2000, true, 1, false, 160),
                (4, 2000, false, 1, true, 320),
            ]),
            "11"
        );
        // All end packets of the first press lost: the marker tells.
        assert_eq!(
            keys(&[
                (1, 1000, true, 1, false, 160),
                (7, 2000, true, 1, false, 160)
            ]),
            "11"
        );
    }

    #[test]
    fn an_overtaken_end_packet_is_no_new_press() {
        assert_eq!(
            keys(&[
                (1, 1000, true, 1, false, 160),
                (3, 2000, true, 2, false, 160),
                (2, 1000, false, 1, true, 320),
                (4, 2000, false, 2, true, 320),
            ]),
            "12"
        );
    }

    #[test]
    fn a_long_press_in_segments_is_one_press() {
        assert_eq!(
            keys(&[
                (1, 0, true, 9, false, 160),
                (2, 0, false, 9, false, 0xFFFF),
                (3, 0xFFFF, false, 9, false, 160),
                (4, 0xFFFF, false, 9, true, 320),
            ]),
            "9"
        );
    }

    #[test]
    fn a_sender_that_moves_the_timestamp_is_understood() {
        assert_eq!(
            keys(&[
                (1, 160, true, 3, false, 160),
                (2, 320, false, 3, false, 320),
                (3, 480, false, 3, false, 480),
                (4, 640, false, 3, true, 640),
            ]),
            "3"
        );
    }

    #[test]
    fn events_that_are_no_keys_and_short_payloads_are_not_digits() {
        assert_eq!(keys(&[(1, 0, true, 16, false, 160)]), "");
        let mut receiver = DtmfReceiver::default();
        assert_eq!(
            receiver.on_packet(1, 0, true, &[1, 2, 3]),
            Err(EventTooShort(3))
        );
    }

    #[test]
    fn what_we_send_is_what_we_receive() {
        let mut sender = DtmfSender::default();
        for key in "159#".chars() {
            assert!(sender.push(key.try_into().unwrap()));
        }
        let mut receiver = DtmfReceiver::default();
        let (mut got, mut timestamp, mut ends) = (String::new(), u32::MAX - 500, 0);
        for sequence in 0..200u16 {
            if let Some(packet) = sender.next(timestamp) {
                ends += u32::from(EventPayload::parse(&packet.payload).unwrap().end);
                let digit = receiver
                    .on_packet(sequence, packet.timestamp, packet.marker, &packet.payload)
                    .unwrap();
                got.extend(digit.map(Digit::as_char));
            }
            timestamp = timestamp.wrapping_add(160);
        }
        assert_eq!(got, "159#");
        assert_eq!(ends, 12, "three end packets for each digit");
        assert!(sender.is_idle());
    }

    #[test]
    fn the_send_queue_is_bounded() {
        let mut sender = DtmfSender::default();
        let digit = Digit::try_from('1').unwrap();
        for _ in 0..SEND_QUEUE {
            assert!(sender.push(digit));
        }
        assert!(!sender.push(digit));
    }

    proptest! {
        #[test]
        fn any_payload_is_read_or_refused(
            packets in proptest::collection::vec(
                (any::<u16>(), any::<u32>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..8)),
                0..50,
            )
        ) {
            let mut receiver = DtmfReceiver::default();
            for (sequence, timestamp, marker, payload) in packets {
                let result = receiver.on_packet(sequence, timestamp, marker, &payload);
                prop_assert_eq!(result.is_err(), payload.len() < 4);
            }
        }
    }
}
