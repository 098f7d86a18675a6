//! Session timers (RFC 4028): a dialog that nobody refreshes ends.

use std::time::Duration;

use rsipstack::sip::{Header, Request, Response};
use switchhook_model::HangupCause;
use tokio::time::Instant;

use super::extras::{Purpose, ReInviteOrder};
use super::{Leg, Phase};
use crate::config::SessionTimerConfig;
use crate::extension::{Refresher, SessionExpires, has_option, min_se};
use crate::message::header_of;

/// How long before its expiry a session that was not refreshed is ended (RFC 4028 §10), at most a
/// third of it.
const MARGIN: Duration = Duration::from_secs(32);

/// What a request that says nothing accepts at least (RFC 4028 §5).
const DEFAULT_MIN_SE_S: u32 = 90;

/// 422s of one leg we follow.
const MAX_RAISED: u8 = 4;

/// The timer of one dialog.
pub(super) struct Session {
    /// What we ask for and accept; `None`: timers are off.
    ask: Option<SessionTimerConfig>,
    active: Option<Active>,
    /// How often the other side wanted longer intervals.
    raised: u8,
}

struct Active {
    interval_s: u32,
    /// When we refresh; `None` when the other side does.
    refresh_at: Option<Instant>,
    expires_at: Instant,
}

/// What a 2xx of ours says, and what follows for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreed {
    interval_s: u32,
    refresher: Refresher,
}

impl Agreed {
    fn headers(self) -> Vec<Header> {
        let expires = SessionExpires {
            interval_s: self.interval_s,
            refresher: Some(self.refresher),
        };
        let mut headers = vec![header_of("Session-Expires", expires.to_string())];
        if self.refresher == Refresher::Uac {
            // RFC 4028 §9: the UAC has to understand that it is its turn.
            headers.push(header_of("Require", "timer"));
        }
        headers
    }
}

impl Session {
    pub(super) fn new(ask: Option<SessionTimerConfig>) -> Self {
        Self {
            ask,
            active: None,
            raised: 0,
        }
    }

    /// Session-Expires and Min-SE for a request of ours: what runs, else what we would like.
    pub(super) fn request_headers(&self) -> Vec<Header> {
        let Some(ask) = self.ask else {
            return Vec::new();
        };
        let expires = match &self.active {
            // The roles stay as they are; in this transaction we are the UAC.
            Some(active) => SessionExpires {
                interval_s: active.interval_s.max(ask.min_s),
                refresher: Some(match active.refresh_at {
                    Some(_) => Refresher::Uac,
                    None => Refresher::Uas,
                }),
            },
            None => SessionExpires {
                interval_s: ask.expires_s,
                refresher: None,
            },
        };
        vec![
            header_of("Session-Expires", expires.to_string()),
            header_of("Min-SE", ask.min_s.to_string()),
        ]
    }

    /// Whether a timer runs.
    pub(super) fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// What a 2xx to this request says (RFC 4028 §9); `Err`: 422 with this Min-SE.
    pub(super) fn answer_to(&self, request: &Request) -> Result<Option<Agreed>, u32> {
        let Some(ask) = self.ask else {
            return Ok(None);
        };
        let headers = &request.headers;
        let supports =
            has_option(headers, "Supported", "timer") || has_option(headers, "Require", "timer");
        let least_s = min_se(headers).unwrap_or(DEFAULT_MIN_SE_S).max(ask.min_s);
        let Some(theirs) = SessionExpires::of(headers) else {
            return Ok(supports.then(|| Agreed {
                interval_s: ask.expires_s.max(least_s),
                refresher: Refresher::Uas,
            }));
        };
        if theirs.interval_s < ask.min_s && supports {
            return Err(ask.min_s);
        }
        // It may be made shorter, but not shorter than Min-SE, and never longer, unless a proxy
        // asked in the name of a UAC that cannot be told.
        let interval_s = if theirs.interval_s < ask.min_s {
            ask.min_s
        } else {
            theirs.interval_s.min(ask.expires_s.max(least_s))
        };
        Ok(Some(Agreed {
            interval_s,
            refresher: match (supports, theirs.refresher) {
                (true, Some(refresher)) => refresher,
                (true, None) => Refresher::Uac,
                (false, _) => Refresher::Uas,
            },
        }))
    }

    /// A 2xx of ours is on its way.
    fn runs_as_uas(&mut self, agreed: Option<Agreed>) {
        match agreed {
            Some(agreed) => self.start(agreed.interval_s, agreed.refresher == Refresher::Uas),
            None => self.active = None,
        }
    }

    /// A 2xx to a request of ours (RFC 4028 §7.2).
    pub(super) fn runs_as_uac(&mut self, response: &Response) {
        let Some(ask) = self.ask else { return };
        match SessionExpires::of(&response.headers) {
            // Below what we said we accept: a peer that wants us to refresh all the time.
            Some(theirs) => self.start(
                theirs.interval_s.max(ask.min_s),
                theirs.refresher != Some(Refresher::Uas),
            ),
            None => self.active = None,
        }
    }

    fn start(&mut self, interval_s: u32, we_refresh: bool) {
        self.start_at(Instant::now(), interval_s, we_refresh);
    }

    fn start_at(&mut self, now: Instant, interval_s: u32, we_refresh: bool) {
        let interval = Duration::from_secs(u64::from(interval_s));
        self.active = Some(Active {
            interval_s,
            refresh_at: we_refresh.then(|| now + interval / 2),
            expires_at: now + (interval - MARGIN.min(interval / 3)),
        });
    }

    /// 422: asks for at least what the other side wants. False when that changes nothing.
    pub(super) fn raise(&mut self, response: &Response) -> bool {
        let (Some(ask), Some(least_s)) = (&mut self.ask, min_se(&response.headers)) else {
            return false;
        };
        let asked_s = self.active.as_ref().map_or(ask.expires_s, |a| a.interval_s);
        if (least_s <= asked_s && least_s <= ask.min_s) || self.raised >= MAX_RAISED {
            return false;
        }
        self.raised += 1;
        ask.min_s = ask.min_s.max(least_s);
        ask.expires_s = ask.expires_s.max(least_s);
        if let Some(active) = &mut self.active {
            active.interval_s = active.interval_s.max(least_s);
        }
        true
    }

    /// The refresh is repeated after this, unless one succeeds before.
    fn refresh_in(&mut self, wait: Duration) {
        if let Some(active) = &mut self.active
            && active.refresh_at.is_some()
        {
            active.refresh_at = Some(Instant::now() + wait);
        }
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        let active = self.active.as_ref()?;
        let refresh_at = active.refresh_at.unwrap_or(active.expires_at);
        Some(refresh_at.min(active.expires_at))
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.active.as_ref().is_some_and(|a| a.expires_at <= now)
    }
}

impl Leg {
    /// Puts what was agreed into a 2xx of ours and starts the timer. The request was checked by
    /// [`Self::too_brief`] before.
    pub(super) fn agree_session(&mut self, request: &Request, response: &mut Response) {
        let agreed = self.ext.session.answer_to(request).unwrap_or(None);
        for header in agreed.map(Agreed::headers).unwrap_or_default() {
            response.headers.push(header);
        }
        self.ext.session.runs_as_uas(agreed);
    }

    /// 422 for an interval we do not accept (RFC 4028 §6).
    pub(super) fn too_brief(&self, request: &Request) -> Option<Response> {
        let min_s = self.ext.session.answer_to(request).err()?;
        let mut response = self.dialog_response(request, 422);
        response
            .headers
            .push(header_of("Min-SE", min_s.to_string()));
        Some(response)
    }

    /// By UPDATE if the other side takes it: no offer, no answer, nothing to go wrong. Else by a
    /// re-INVITE with the description that holds.
    pub(super) async fn refresh_session(&mut self) {
        let busy = self.reinvite.is_some()
            || self.pending.is_some()
            || self.ext.update.is_some()
            || self.ext.retry.is_some();
        if busy {
            let soon = self.scaled(1.0);
            return self.ext.session.refresh_in(soon);
        }
        // Should it fail, there is time for another before the session expires.
        let interval_s = self.ext.session.active.as_ref().map_or(0, |a| a.interval_s);
        let again = Duration::from_secs(u64::from(interval_s)) / 12;
        self.ext.session.refresh_in(again.max(self.scaled(1.0)));
        if self.ext.peer_takes_update {
            self.send_update(None).await;
        } else if let Some(sdp) = self.ext.local_sdp.clone() {
            let order = ReInviteOrder {
                sdp,
                purpose: Purpose::Refresh,
                tries: 0,
            };
            self.order_reinvite(order, None).await;
        }
    }

    /// Nobody refreshed it in time (RFC 4028 §10).
    pub(super) async fn session_expired(&mut self) {
        if matches!(self.phase, Phase::Established) {
            self.ext.ending = Some("Session timer expired");
            self.send_bye(HangupCause::MediaLost).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &str) -> Request {
        let text = format!(
            "INVITE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:f@h>;tag=1\r\n\
             To: <sip:t@h>\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        Request::try_from(text.as_str()).expect("valid")
    }

    fn session() -> Session {
        Session::new(Some(SessionTimerConfig {
            expires_s: 1_800,
            min_s: 120,
        }))
    }

    /// RFC 4028 §9, table 2, and the bounds of §9.
    #[test]
    fn who_refreshes_and_how_often() {
        use Refresher::{Uac, Uas};
        for (headers, expected) in [
            ("", Ok(None)),
            ("Supported: timer\r\n", Ok(Some((1_800, Uas)))),
            ("Session-Expires: 600\r\n", Ok(Some((600, Uas)))),
            (
                "Session-Expires: 600;refresher=uac\r\n",
                Ok(Some((600, Uas))),
            ),
            ("k: timer\r\nx: 600\r\n", Ok(Some((600, Uac)))),
            (
                "Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n",
                Ok(Some((600, Uas))),
            ),
            (
                "Require: timer\r\nSession-Expires: 600;refresher=uac\r\n",
                Ok(Some((600, Uac))),
            ),
            // Shorter than asked, but not below what the other side accepts.
            (
                "Supported: timer\r\nSession-Expires: 7200\r\n",
                Ok(Some((1_800, Uac))),
            ),
            (
                "Supported: timer\r\nSession-Expires: 7200\r\nMin-SE: 3600\r\n",
                Ok(Some((3_600, Uac))),
            ),
            ("Supported: timer\r\nSession-Expires: 60\r\n", Err(120)),
            // A proxy asked; 422 would not be understood.
            ("Session-Expires: 60\r\n", Ok(Some((120, Uas)))),
        ] {
            let answer = session().answer_to(&request(headers));
            let answer = answer.map(|a| a.map(|a| (a.interval_s, a.refresher)));
            assert_eq!(answer, expected, "{headers}");
        }
        let off = Session::new(None);
        let asked = request("Supported: timer\r\nSession-Expires: 60\r\n");
        assert_eq!(off.answer_to(&asked), Ok(None));
        assert!(off.request_headers().is_empty());
    }

    #[test]
    fn times_are_those_of_the_rfc() {
        let mut session = session();
        let begun = Instant::now();
        session.start_at(begun, 1_800, true);
        let at = |s| begun + Duration::from_secs(s);
        assert_eq!(session.next_timer(), Some(at(900)));
        assert!(!session.is_expired(at(1_767)) && session.is_expired(at(1_768)));
        session.start_at(begun, 90, false);
        assert_eq!(
            session.next_timer(),
            Some(at(60)),
            "a third when it is short"
        );
    }
}
