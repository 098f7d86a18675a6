//! A trunk whose telephone network is the carrier's own: who is called over it rings on the page, and who
//! calls one of its numbers reaches the gateway by SIP.
//!
//! Inside, both are a `<Dial>`: so ringing, bridging and sound are those of every other call here. No
//! application is asked; a trunk knows neither documents nor webhooks (Elastic SIP Trunking).

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::{Terminated, Trunk, TrunkConfig};
use crate::carrier::Shared;
use crate::carrier::executor::{Outcome, Place, Source, run};
use crate::carrier::leg::{Control, Direction, Leg, NewLeg, Status, Subscription};
use crate::carrier::people::Party;
use crate::carrier::people::sip::{HangUp, carry};
use crate::carrier::{room, spawn};
use crate::phone::{OnCall, PhoneCall, PhoneError};

/// How often it is looked whether the carrier is still there.
const LOOK: Duration = Duration::from_secs(2);

/// The account's Elastic SIP trunk.
#[derive(Clone)]
pub struct ElasticTrunk {
    /// `acme.pstn.twilio.com`: the termination host without an edge.
    pub domain: String,
    /// User name and password of its credential list; without one nothing is asked.
    pub credentials: Option<(String, String)>,
    /// Where its SIP is bound, UDP and TCP; port 0 takes any.
    pub bind: SocketAddr,
    /// The SIP address of the gateway: where calls to the trunk's numbers go (origination URI).
    pub origination: SocketAddr,
}

impl std::fmt::Debug for ElasticTrunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ElasticTrunk({} at {})", self.domain, self.bind)
    }
}

/// Opens the trunk of the configuration.
pub(in crate::carrier) async fn open(
    shared: &Arc<Shared>,
    config: ElasticTrunk,
) -> Result<Trunk, PhoneError> {
    let owners = Arc::downgrade(shared);
    let rules = TrunkConfig {
        domain: config.domain,
        credentials: config.credentials,
        owned: Vec::new(),
        account_sid: shared.config.account_sid.clone(),
    };
    // Whoever owns a number today, not when the trunk was opened.
    let may_show = move |number: &str| {
        let shared = owners.upgrade();
        shared.is_some_and(|shared| shared.may_call_as(number))
    };
    let trunk = Trunk::open(rules, config.bind, Some(OnCall::Manual), may_show).await?;
    spawn(take_calls(Arc::downgrade(shared), trunk.clone()));
    Ok(trunk)
}

async fn take_calls(shared: Weak<Shared>, trunk: Trunk) {
    let mut nth = 0;
    loop {
        let came = trunk.phone().incoming(nth, LOOK).await;
        let Some(shared) = shared.upgrade().filter(|shared| !shared.is_stopped()) else {
            return;
        };
        if let Ok(call) = came {
            let taken = trunk.taken().get(nth).cloned();
            nth += 1;
            if let Some(taken) = taken {
                spawn(terminate(shared, call, taken));
            }
        }
    }
}

/// A call of the gateway to somebody on the telephone network.
async fn terminate(shared: Arc<Shared>, call: PhoneCall, taken: Terminated) {
    let document = format!(
        "<Response><Dial answerOnBridge=\"true\" timeout=\"600\"><Number>{}</Number></Dial></Response>",
        taken.to
    );
    let (leg, control) = begin(&shared, Direction::TrunkTerminating, taken.from, taken.to);
    leg.line.state().silent = true;
    let hang_up = HangUp(call.clone());
    spawn(live(
        Arc::clone(&shared),
        Arc::clone(&leg),
        control,
        document,
    ));
    let mut rang = false;
    let mut beat = room::beat();
    loop {
        beat.tick().await;
        if call.is_over() {
            leg.line.state().hung_up = true;
            leg.line.pulse.beat();
            return;
        }
        let status = leg.status();
        if status == Status::InProgress {
            break;
        }
        let child = dialled(&shared, &leg);
        if status.is_final() {
            let code = child.and_then(|child| child.state().sip_code);
            call.reject(code.unwrap_or(480));
            return;
        }
        if !rang && child.is_some_and(|child| child.status() == Status::Ringing) {
            rang = true;
            call.ring();
        }
    }
    call.answer();
    carry(leg, call, hang_up).await;
}

/// Somebody on the telephone network calls a number of the trunk.
pub(in crate::carrier) fn originate(
    shared: &Arc<Shared>,
    origination: SocketAddr,
    from: String,
    to: String,
) -> Party {
    let document = format!(
        "<Response><Dial answerOnBridge=\"true\" timeout=\"600\">\
         <Sip>sip:{to}@{origination}</Sip></Dial></Response>"
    );
    let (leg, control) = begin(shared, Direction::TrunkOriginating, from, to);
    let party = Party::new(Arc::clone(&leg.line), &leg.sid);
    spawn(live(Arc::clone(shared), leg, control, document));
    party
}

fn begin(
    shared: &Arc<Shared>,
    direction: Direction,
    from: String,
    to: String,
) -> (Arc<Leg>, UnboundedReceiver<Control>) {
    let new = NewLeg {
        direction,
        from,
        to,
        parent: None,
        is_sip: true,
        // A trunk has no status callbacks.
        subscription: Subscription::default(),
    };
    let (leg, control) = Leg::create(shared, new);
    shared.advance(&leg, Status::Ringing);
    (leg, control)
}

/// Runs the call to its end; one that was never answered ended as the leg it rang.
async fn live(
    shared: Arc<Shared>,
    leg: Arc<Leg>,
    mut control: UnboundedReceiver<Control>,
    document: String,
) {
    let source = Source::Inline(document);
    let outcome = run(&shared, &leg, &mut control, source, Place::Call).await;
    let by_person = matches!(outcome, Outcome::Gone);
    let was_answered = leg.state().answered_at.is_some();
    let status = match dialled(&shared, &leg) {
        _ if was_answered => Status::Completed,
        _ if by_person => Status::Canceled,
        Some(child) => {
            let code = child.state().sip_code;
            leg.state().sip_code = code;
            child.status()
        }
        None => Status::Failed,
    };
    shared.finish(&leg, status, by_person).await;
}

/// Whom the call rang.
fn dialled(shared: &Shared, leg: &Leg) -> Option<Arc<Leg>> {
    let state = shared.state();
    let mut legs = state.legs.iter().rev();
    let found = legs.find(|other| other.parent.as_deref() == Some(&leg.sid));
    found.cloned()
}
