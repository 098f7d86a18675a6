//! What handles and the phone's loop share: events, ladder, INVITEs seen, and the calls' audio.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::event::EventLog;
use super::ladder::LadderLine;
use super::message::SipMessage;
use super::rtp::Media;

/// One INVITE transaction that reached the phone: distinct by branch and Call-ID, outside any
/// dialog. Retransmissions are counted, not listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteSeen {
    /// Time since the phone was started.
    pub at: Duration,
    /// SIP Call-ID.
    pub call_id: String,
    /// Branch of the topmost Via.
    pub branch: String,
    /// From header.
    pub from: String,
    /// How often the same request came again.
    pub retransmissions: u32,
}

#[derive(Debug)]
pub(super) struct PhoneLog {
    started: Instant,
    pub events: Arc<EventLog>,
    lines: Mutex<Vec<LadderLine>>,
    invites: Mutex<Vec<InviteSeen>>,
    media: Mutex<Vec<Arc<Media>>>,
}

impl PhoneLog {
    pub(super) fn new() -> Self {
        let started = Instant::now();
        Self {
            started,
            events: Arc::new(EventLog::new(started)),
            lines: Mutex::default(),
            invites: Mutex::default(),
            media: Mutex::default(),
        }
    }

    pub(super) fn wire(
        &self,
        sent: bool,
        peer: SocketAddr,
        message: Result<SipMessage, String>,
        raw: String,
    ) {
        self.lines
            .lock()
            .expect("no holder of this lock panics")
            .push(LadderLine {
                at: self.started.elapsed(),
                wall: SystemTime::now(),
                sent,
                peer,
                message,
                raw,
            });
    }

    pub(super) fn lines(&self) -> Vec<LadderLine> {
        self.lines
            .lock()
            .expect("no holder of this lock panics")
            .clone()
    }

    /// Notes an INVITE; true when it is a new transaction.
    pub(super) fn invite(&self, request: &SipMessage) -> bool {
        let mut invites = self.invites.lock().expect("no holder of this lock panics");
        let branch = request.branch();
        let known = invites
            .iter_mut()
            .find(|i| i.branch == branch && i.call_id == request.call_id());
        if let Some(seen) = known {
            seen.retransmissions += 1;
            return false;
        }
        invites.push(InviteSeen {
            at: self.started.elapsed(),
            call_id: request.call_id().to_owned(),
            branch,
            from: request.header("From").to_owned(),
            retransmissions: 0,
        });
        true
    }

    pub(super) fn invites(&self) -> Vec<InviteSeen> {
        self.invites
            .lock()
            .expect("no holder of this lock panics")
            .clone()
    }

    pub(super) fn add_media(&self, media: Arc<Media>) {
        self.media
            .lock()
            .expect("no holder of this lock panics")
            .push(media);
    }

    pub(super) fn media(&self, call: usize) -> Option<Arc<Media>> {
        self.media
            .lock()
            .expect("no holder of this lock panics")
            .get(call)
            .cloned()
    }
}
