//! Keys to the other side by INFO, for peers that take them no other way (RFC 6086 §2 calls this
//! use legacy, and it is: `application/dtmf-relay` is described by its users only).

use std::collections::VecDeque;

use rsipstack::sip::{Method, Response};
use switchhook_model::Digit;

use super::{ClientKind, Leg, Phase};
use crate::event::SipLegEvent;
use crate::message::{header_of, random_token, set_body};

/// Keys that may wait; further ones are refused. A person presses fewer.
const WAITING_MAX: usize = 32;
/// What we say a key was pressed for.
const DURATION_MS: u32 = 100;

/// Keys on their way. One at a time: two requests may overtake each other.
#[derive(Default)]
pub(super) struct Keys {
    waiting: VecDeque<Digit>,
    in_flight: Option<InFlight>,
}

struct InFlight {
    digit: Digit,
    /// Credentials were tried.
    retried: bool,
}

impl Leg {
    /// Sends a key, after those that wait.
    pub(super) async fn send_digit(&mut self, digit: Digit) {
        if self.keys.waiting.len() >= WAITING_MAX {
            return self.emit(SipLegEvent::DigitRefused { status: None });
        }
        self.keys.waiting.push_back(digit);
        if self.keys.in_flight.is_none() {
            self.next_digit().await;
        }
    }

    async fn next_digit(&mut self) {
        if !matches!(self.phase, Phase::Established | Phase::Answering { .. }) {
            self.keys = Keys::default();
            return;
        }
        if let Some(digit) = self.keys.waiting.pop_front() {
            self.info_with(digit, None).await;
        }
    }

    async fn info_with(&mut self, digit: Digit, authorization: Option<(String, String)>) {
        let path = self.dialog_path().await;
        self.record.local_cseq += 1;
        let cseq = self.record.local_cseq;
        let branch = format!("z9hG4bK{}", random_token(16));
        let request = self
            .record
            .dialog_request(Method::Info, cseq, &branch, self.user_agent());
        let (Ok(mut request), Ok(path)) = (request, path) else {
            return self.emit(SipLegEvent::DigitRefused { status: None });
        };
        if let Some((name, value)) = &authorization {
            request.headers.push(header_of(name, value.as_str()));
        }
        let body = format!("Signal={}\r\nDuration={DURATION_MS}\r\n", digit.as_char());
        let kind = "application/dtmf-relay";
        set_body(&mut request.headers, &mut request.body, kind, &body);
        self.keys.in_flight = Some(InFlight {
            digit,
            retried: authorization.is_some(),
        });
        self.emit_record();
        self.send_in_dialog(ClientKind::Info, request, &path);
    }

    pub(super) async fn info_outcome(&mut self, response: Option<Response>) {
        let Some(key) = self.keys.in_flight.take() else {
            return;
        };
        let status = response.as_ref().map(|r| r.status_code.code());
        match (response, status) {
            (_, Some(200..=299)) => {}
            (Some(response), Some(401 | 407)) if !key.retried => {
                if let Some(answer) = self.answer_challenge(&response, "INFO") {
                    return self.info_with(key.digit, Some(answer)).await;
                }
                self.emit(SipLegEvent::DigitRefused { status });
            }
            (_, status) => self.emit(SipLegEvent::DigitRefused { status }),
        }
        self.next_digit().await;
    }
}
