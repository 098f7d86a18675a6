//! A dialled leg: rung, perhaps screened by a document of its own, then bridged.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::{Outcome, Place, Source, run, run_to_end};
use crate::carrier::Shared;
use crate::carrier::amd::Wish;
use crate::carrier::leg::{Control, Leg, Status};
use crate::carrier::people::Heard;
use crate::carrier::people::{phone::Rung, target::Target};

/// What a dialled leg tells the one that dials.
#[derive(Debug)]
pub(super) enum Report {
    /// Nobody took it.
    Failed { status: Status },
    /// Somebody did.
    Answered { child: usize },
    /// It may be bridged: no document of its own, or that has run out.
    Ready { child: usize },
    /// It is over: hung up, before or on the bridge.
    Ended { child: usize },
    /// A live update gave it a document: it goes its own way.
    Left { child: usize },
}

/// How a leg is dialled.
pub(super) struct ChildSpec {
    pub number: usize,
    pub target: Target,
    pub whisper: Option<Source>,
    pub send_digits: Option<String>,
    pub detection: Option<Wish>,
    pub reports: UnboundedSender<Report>,
}

/// Dials in a task of its own.
pub(super) fn spawn(
    shared: Arc<Shared>,
    leg: Arc<Leg>,
    control: UnboundedReceiver<Control>,
    spec: ChildSpec,
) {
    crate::carrier::spawn(live(shared, leg, control, spec));
}

fn live(
    shared: Arc<Shared>,
    leg: Arc<Leg>,
    mut control: UnboundedReceiver<Control>,
    spec: ChildSpec,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let child = spec.number;
        // Whoever dials may have gone away; the leg then ends by its control.
        let report = |report| drop(spec.reports.send(report));
        shared.advance(&leg, Status::Initiated);
        let rung = tokio::select! {
            biased;
            status = hung_up(&mut control) => Rung::Refused { status, sip: 487 },
            rung = shared.ring(&leg, &spec.target) => rung,
        };
        let nature = match rung {
            Rung::Answered { nature } => nature,
            Rung::Refused { status, sip } => {
                // A cancelled leg was not answered, whatever it was told.
                let status = if status == Status::Completed {
                    Status::Canceled
                } else {
                    status
                };
                leg.state().sip_code = Some(sip);
                shared.finish(&leg, status, false).await;
                report(Report::Failed { status });
                return;
            }
        };
        leg.state().sip_code = Some(200);
        shared.advance(&leg, Status::InProgress);
        report(Report::Answered { child });
        if let Some(digits) = spec.send_digits {
            leg.line.hear(Heard::Keys { digits });
        }
        if let Some(wish) = spec.detection {
            let (beside, leg) = (Arc::clone(&shared), Arc::clone(&leg));
            shared.beside(async move { beside.detect(&leg, &wish, nature).await });
        }
        if let Some(whisper) = spec.whisper {
            match run(&shared, &leg, &mut control, whisper, Place::Whisper).await {
                Outcome::RanOut => {}
                Outcome::HungUp(_) | Outcome::Killed(_) => {
                    shared.finish(&leg, Status::Completed, false).await;
                    report(Report::Ended { child });
                    return;
                }
                Outcome::Gone => {
                    shared.finish(&leg, Status::Completed, true).await;
                    report(Report::Ended { child });
                    return;
                }
            }
        }
        report(Report::Ready { child });
        tokio::select! {
            biased;
            told = control.recv() => match told {
                Some(Control::Replace(source)) => {
                    report(Report::Left { child });
                    run_to_end(&shared, &leg, &mut control, source).await;
                }
                Some(Control::HangUp(_)) | None => {
                    shared.finish(&leg, Status::Completed, false).await;
                    report(Report::Ended { child });
                }
            },
            () = leg.line.gone() => {
                shared.finish(&leg, Status::Completed, true).await;
                report(Report::Ended { child });
            }
        }
    })
}

/// Returns when the leg is to be given up; a leg that rings takes no documents.
pub(in crate::carrier) async fn hung_up(control: &mut UnboundedReceiver<Control>) -> Status {
    loop {
        match control.recv().await {
            Some(Control::HangUp(status)) => return status,
            Some(Control::Replace(_)) => {}
            None => return Status::Canceled,
        }
    }
}
