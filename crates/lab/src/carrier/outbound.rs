//! Calls the API begins: queued, rung, perhaps judged by the detector, then given a document or a
//! seat in a conference.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::Shared;
use super::amd::{Nature, Wish};
use super::conferences::{Conference, Joining};
use super::executor::{Source, hung_up, run_to_end};
use super::leg::{Control, Leg, Status};
use super::people::Heard;
use super::people::{phone::Rung, target::Target};

/// What happens when somebody answers.
pub(super) enum Purpose {
    /// A document.
    Document(Source),
    /// A seat.
    Conference(Arc<Conference>, Joining),
}

/// A call to be made.
pub(super) struct Order {
    pub target: Target,
    /// Carrier time.
    pub timeout: Duration,
    pub send_digits: Option<String>,
    pub detection: Option<Wish>,
    /// Carrier time.
    pub time_limit: Option<Duration>,
    pub purpose: Purpose,
}

impl Shared {
    /// Makes a call in a task of its own.
    pub(super) fn call_out(
        self: &Arc<Self>,
        leg: Arc<Leg>,
        control: UnboundedReceiver<Control>,
        order: Order,
    ) {
        let shared = Arc::clone(self);
        super::spawn(async move { Box::pin(live(shared, leg, control, order)).await });
    }

    /// Rates: calls above the account's calls per second wait in order.
    async fn wait_in_queue(&self, leg: &Leg) {
        let Some(per_second) = self.config.calls_per_second else {
            return;
        };
        let pace = self.config.pace;
        let gap = pace.wall(Duration::from_secs_f64(1.0 / per_second.max(0.001)));
        let now = Instant::now();
        let begins = {
            let mut state = self.state();
            let begins = state.next_call.filter(|next| *next > now).unwrap_or(now);
            state.next_call = Some(begins + gap);
            begins
        };
        tokio::time::sleep_until(begins).await;
        leg.state().queue_time = pace.carrier(now.elapsed());
    }
}

async fn live(
    shared: Arc<Shared>,
    leg: Arc<Leg>,
    mut control: UnboundedReceiver<Control>,
    order: Order,
) {
    // Dial, Calls: some seconds are added to a timeout.
    let allowed = order.timeout + Duration::from_secs(5);
    let ringing = async {
        shared.wait_in_queue(&leg).await;
        shared.advance(&leg, Status::Initiated);
        let limit = shared.config.pace.wall(allowed);
        let rung = tokio::time::timeout(limit, shared.ring(&leg, &order.target)).await;
        rung.unwrap_or(Rung::Refused {
            status: Status::NoAnswer,
            sip: 487,
        })
    };
    let rung = tokio::select! {
        biased;
        _ = hung_up(&mut control) => Rung::Refused { status: Status::Canceled, sip: 487 },
        rung = ringing => rung,
    };
    let nature = match rung {
        Rung::Answered { nature } => nature,
        Rung::Refused { status, sip } => {
            leg.state().sip_code = Some(sip);
            shared.finish(&leg, status, false).await;
            if let Purpose::Conference(conference, _) = &order.purpose {
                shared.not_joined(conference, &leg);
            }
            return;
        }
    };
    leg.state().sip_code = Some(200);
    shared.advance(&leg, Status::InProgress);
    if let Some(limit) = order.time_limit {
        let (leg, wall) = (Arc::clone(&leg), shared.config.pace.wall(limit));
        super::spawn(async move {
            tokio::time::sleep(wall).await;
            leg.tell(Control::HangUp(Status::Completed));
        });
    }
    if let Some(digits) = order.send_digits {
        leg.line.hear(Heard::Keys { digits });
    } else if let Some(wish) = order.detection
        && !detected(&shared, &leg, &mut control, wish, nature).await
    {
        return;
    }
    match order.purpose {
        Purpose::Document(source) => run_to_end(&shared, &leg, &mut control, source).await,
        Purpose::Conference(conference, joining) => {
            sit(&shared, &leg, &mut control, &conference, joining).await;
        }
    }
}

/// AMD: synchronous detection blocks the first document, asynchronous runs beside it. False if the
/// call is over before it is known.
async fn detected(
    shared: &Arc<Shared>,
    leg: &Arc<Leg>,
    control: &mut UnboundedReceiver<Control>,
    wish: Wish,
    nature: Nature,
) -> bool {
    if wish.callback.is_some() {
        let (beside, leg) = (Arc::clone(shared), Arc::clone(leg));
        shared.beside(async move { beside.detect(&leg, &wish, nature).await });
        return true;
    }
    let by_person = tokio::select! {
        biased;
        _ = hung_up(control) => false,
        () = leg.line.gone() => true,
        () = shared.detect(leg, &wish, nature) => return true,
    };
    shared.finish(leg, Status::Completed, by_person).await;
    false
}

/// A participant added by the API: in the conference until put out, hung up or given a document.
async fn sit(
    shared: &Arc<Shared>,
    leg: &Arc<Leg>,
    control: &mut UnboundedReceiver<Control>,
    conference: &Arc<Conference>,
    joining: Joining,
) {
    let joined = shared.join(&conference.sid, leg, joining);
    let (_, seat) = match joined {
        Ok(joined) => joined,
        Err((code, text)) => {
            shared.problem(code, &leg.sid, text);
            shared.finish(leg, Status::Completed, false).await;
            return;
        }
    };
    let out = seat.out.clone();
    let (told, by_person) = tokio::select! {
        biased;
        told = control.recv() => (told, false),
        () = leg.line.gone() => (None, true),
        () = out.cancelled() => (None, false),
    };
    drop(seat);
    match told {
        Some(Control::Replace(source)) => run_to_end(shared, leg, control, source).await,
        Some(Control::HangUp(_)) | None => {
            shared.finish(leg, Status::Completed, by_person).await;
        }
    }
}
