//! The ways a call over the carrier can go, each with callers and a phone of its own, several at once at
//! one gateway.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchhook_e2e::api::{Api, pretty, told};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_e2e::ports;
use switchhook_lab::carrier::{Behaviour, Carrier, Fate, MessageFate, Pace, Party, Phone, Then};
use switchhook_lab::door::{Door, Knock, Stop};

use crate::common::*;
use crate::twilio_line::*;

/// Beside a desk for each ladder: an agent is asked for by extension.
const CONFIG: &str = r#"
mode = "demo"
time_zone = "Europe/Berlin"
language = "en"
[twilio]
enabled = true
[assistant]
name = "Clara"
company = "Example Hotel"
brain = "scripted"
[transfer]
ring_timeout_s = 5
targets = ["2001"]
spoken_extension = true
fallback = ["take_message", "notify_staff", "goodbye"]
[users.demo]
password = "demo"
role = "admin"
"#;

/// And a gateway that calls people.
const CALLS: &str = r#"
[outbound]
allowed_prefixes = ["+493023125"]
calls_per_minute = 1000
max_calls = 100
"#;

/// A way a call can go.
pub struct Ladder {
    pub name: &'static str,
    pub extension: &'static str,
    pub behaves: Behaviour,
    pub way: Way,
    /// How it ends, whatever goes wrong meanwhile.
    pub outcome: &'static str,
    /// What came of the agent's phone, if it is to ring.
    pub attempt: Option<&'static str>,
    /// Text messages about it.
    pub texts: usize,
    /// How else it may end.
    pub or: Option<Or>,
}

/// Which way a call goes, and what the person at its other end does.
pub enum Way {
    /// They call in: what somebody with this number does, who reaches this phone.
    In(fn(&Party, &Phone, &str)),
    /// We call them.
    Out(Behaviour),
}

/// Another end of a ladder: outcome, attempt and text messages.
#[derive(Clone, Copy)]
pub struct Or {
    outcome: &'static str,
    attempt: &'static str,
    texts: usize,
    /// Where the call was stopped.
    when: fn(Option<Stop>) -> bool,
}

impl Or {
    /// Of a call that was stopped, wherever.
    pub fn if_stopped(outcome: &'static str, attempt: &'static str, texts: usize) -> Self {
        Self {
            outcome,
            attempt,
            texts,
            when: |stop| stop.is_some(),
        }
    }
}

/// Somebody calls in.
pub fn ladder(
    name: &'static str,
    extension: &'static str,
    behaves: Behaviour,
    caller: fn(&Party, &Phone, &str),
    outcome: &'static str,
    attempt: &'static str,
    texts: usize,
) -> Ladder {
    Ladder {
        name,
        extension,
        behaves,
        way: Way::In(caller),
        outcome,
        attempt: Some(attempt),
        texts,
        or: None,
    }
}

/// Every outcome of a dial, and the ways callers and agents end a call.
pub fn ladders() -> Vec<Ladder> {
    let talks = Then::stays().hangs_up_after(Duration::from_secs(8));
    let greets = Then::stays().says("Front desk, good morning");
    vec![
        ladder(
            "the agent hangs up",
            "2001",
            Behaviour::answers_then(talks),
            |party, _, _| asks_for(party, 2001),
            "transferred",
            "answered",
            0,
        ),
        ladder(
            "the caller hangs up on the agent",
            "2002",
            Behaviour::answers_then(greets),
            |party, _, _| {
                asks_for(party, 2002);
                party.when_hears_hangs_up("good morning");
            },
            "transferred",
            "answered",
            0,
        ),
        ladder(
            "nobody answers",
            "2003",
            Behaviour::NoAnswer,
            |party, _, _| {
                asks_for(party, 2003);
                leaves_a_message(party);
            },
            "message_taken",
            "no_answer",
            1,
        ),
        ladder(
            "busy",
            "2004",
            Behaviour::Busy,
            |party, _, _| {
                asks_for(party, 2004);
                leaves_a_message(party);
            },
            "message_taken",
            "busy",
            1,
        ),
        ladder(
            "rejected, and the caller leaves no message",
            "2005",
            Behaviour::Rejects,
            |party, _, _| {
                asks_for(party, 2005);
                party.when_hears_hangs_up("after the tone");
            },
            "caller_gone",
            "failed",
            0,
        ),
        ladder(
            "the caller hangs up while it rings",
            "2006",
            Behaviour::NoAnswer,
            |party, phone, number| {
                asks_for(party, 2006);
                let (party, phone, number) = (party.clone(), phone.clone(), number.to_owned());
                tokio::spawn(async move {
                    // A call that does not come so far fails where it is looked at.
                    if phone.until_rung_by(&number, AFTER_LEASE).await.is_ok() {
                        party.hangs_up();
                    }
                });
            },
            "caller_gone",
            "canceled",
            0,
        ),
        ladder(
            "unreachable",
            "2007",
            Behaviour::Unreachable,
            |party, _, _| {
                asks_for(party, 2007);
                leaves_a_message(party);
            },
            "message_taken",
            "failed",
            1,
        ),
        // 487 without a wish of ours: somebody ended the agent's leg at the carrier.
        ladder(
            "the agent's leg is canceled",
            "2008",
            Behaviour::Fails(487),
            |party, _, _| {
                asks_for(party, 2008);
                leaves_a_message(party);
            },
            "message_taken",
            "failed",
            1,
        ),
    ]
}

/// The ladders of an agent who has to press a key ([`desk_with_key`]); what is sent by WhatsApp is lost.
pub fn ladders_with_key() -> Vec<Ladder> {
    let presses = Then::stays()
        .presses("Press 1", "1")
        .hangs_up_after(Duration::from_secs(40));
    vec![
        Ladder {
            name: "the agent takes the call",
            extension: "2001",
            behaves: Behaviour::answers_then(presses),
            way: Way::In(|party, _, _| {
                asks_for(party, 2001);
                leaves_a_message(party);
            }),
            outcome: "transferred",
            attempt: Some("answered"),
            texts: 0,
            // A request about an agent's leg has no fallback URL, and agents do not wait for ever.
            or: Some(Or::if_stopped("message_taken", "failed", 2)),
        },
        Ladder {
            name: "nobody presses the key",
            extension: "2002",
            behaves: Behaviour::answers(),
            way: Way::In(|party, _, _| {
                asks_for(party, 2002);
                leaves_a_message(party);
            }),
            outcome: "message_taken",
            attempt: Some("failed"),
            texts: 2,
            or: None,
        },
    ]
}

/// Calls of ours ([`calling_desk`]): to people who talk, and to whoever cannot be talked to.
pub fn ladders_out() -> Vec<Ladder> {
    let ladder = |name, person, outcome, attempt| Ladder {
        name,
        extension: "2001",
        behaves: Behaviour::answers_then(Then::stays().hangs_up_after(Duration::from_secs(8))),
        way: Way::Out(person),
        outcome,
        attempt,
        texts: 0,
        or: None,
    };
    // Known to them before they answer: a test that is told of it might come too late.
    let asks = Then::stays().says_upon("How can I help", "Connect me to extension 2001 please");
    let talks = Then::stays()
        .says_upon("How can I help", "What are your opening hours?")
        .hangs_up_upon("We are open");
    vec![
        ladder(
            "whom we call asks for a human",
            Behaviour::answers_then(asks),
            "transferred",
            Some("answered"),
        ),
        ladder(
            "whom we call talks and hangs up",
            Behaviour::answers_then(talks),
            "caller_hung_up",
            None,
        ),
        ladder("whom we call is busy", Behaviour::Busy, "busy", None),
        ladder(
            "whom we call does not answer",
            Behaviour::NoAnswer,
            "no_answer",
            None,
        ),
        ladder(
            "a machine answers our call",
            Behaviour::machine(Duration::from_secs(6)),
            "voicemail",
            None,
        ),
    ]
}

pub fn asks_for(party: &Party, extension: u16) {
    let wish = format!("Connect me to extension {extension} please");
    party.when_hears_says("How can I help", &wish);
}

pub fn leaves_a_message(party: &Party) {
    party.when_hears_says("after the tone", "Please call me back tomorrow");
}

/// A gateway whose staff get text messages.
pub fn desk() -> GatewaySettings {
    desk_of(CONFIG, "")
}

/// The same, which also calls people, as many as a test likes.
pub fn calling_desk() -> GatewaySettings {
    desk_of(CONFIG, CALLS)
}

/// Staff are told at once, and callers leave no message.
pub fn desk_without_messages() -> GatewaySettings {
    desk_of(&CONFIG.replace("\"take_message\", ", ""), "")
}

fn desk_of(config: &str, more: &str) -> GatewaySettings {
    let desk = |n: u32| format!("[extensions.{n}]\npassword = \"demo-{n}\"\n");
    let desks: String = (2001..=2008).map(desk).collect();
    GatewaySettings::media(&format!("{config}{desks}{more}")).env("TWILIO_SMS_TO", STAFF)
}

/// An agent has to press a key, and staff get WhatsApp messages first.
pub fn desk_with_key() -> GatewaySettings {
    desk()
        .env("SWITCHHOOK_TWILIO_ACCEPT_KEY", "1")
        .env("TWILIO_WHATSAPP_FROM", "whatsapp:+12025550186")
        .env("TWILIO_WHATSAPP_TO", format!("whatsapp:{STAFF}"))
        .env("SWITCHHOOK_NOTICE_WAYS", "whatsapp,sms")
}

/// What is sent to staff by WhatsApp is accepted and lost.
pub fn loses_whatsapp(carrier: &Carrier) {
    let fate = MessageFate::of(Fate::Undelivered(63016));
    carrier.recipient(&format!("whatsapp:{STAFF}"), fate);
}

/// Whoever is at the other end of one ladder's call.
pub struct Caller<'a> {
    pub ladder: &'a Ladder,
    pub number: String,
    pub stop: Option<Stop>,
    /// Of their own leg.
    sid: String,
    person: Person,
}

enum Person {
    Calls(Party),
    IsCalled(Phone),
}

impl Person {
    fn transcript(&self) -> Vec<String> {
        match self {
            Self::Calls(party) => party.transcript(),
            Self::IsCalled(phone) => phone
                .answered()
                .iter()
                .flat_map(Party::transcript)
                .collect(),
        }
    }
}

/// A gateway behind a door, with the phones of the ladders.
pub struct House {
    pub gateway: Gateway,
    pub carrier: Arc<Carrier>,
    pub door: Door,
    phones: BTreeMap<&'static str, Phone>,
    next: u32,
}

impl House {
    pub async fn build(settings: GatewaySettings, ladders: &[Ladder]) -> Self {
        let port = ports::free();
        let gateway = vec![([127, 0, 0, 1], port).into()];
        let door = Door::open(gateway).await.unwrap();
        let line = line_by(settings, port, door.address(), |config| {
            // Many calls at once on a busy machine: people here answer within seconds of the carrier.
            config.pace = Pace {
                speed: 6.0,
                ..Pace::fast()
            };
        })
        .await;
        let carrier = Arc::new(line.carrier);
        let known = Arc::clone(&carrier);
        door.tells_apart_by(move |knock| caller_of(&known, knock));
        let plug_in = |ladder: &Ladder| {
            let address = format!("sip:{}@pbx.example.com", ladder.extension);
            (ladder.name, carrier.phone(&address, ladder.behaves.clone()))
        };
        let phones = ladders.iter().map(plug_in).collect();
        Self {
            gateway: line.gateway,
            carrier,
            door,
            phones,
            next: 200,
        }
    }

    /// A call of or to somebody with a number of their own.
    pub async fn call<'a>(
        &mut self,
        api: &Api,
        ladder: &'a Ladder,
        stop: Option<Stop>,
    ) -> Caller<'a> {
        let number = format!("+493023125{:03}", self.next);
        self.next += 1;
        if let Some(stop) = stop {
            self.door.stops(&number, stop);
        }
        let (sid, person) = match &ladder.way {
            Way::In(does) => {
                let party = self.carrier.call_in(&number, OURS).await.unwrap();
                does(&party, &self.phones[ladder.name], &number);
                (party.call_sid().to_owned(), Person::Calls(party))
            }
            Way::Out(behaves) => {
                let phone = self.carrier.phone(&number, behaves.clone());
                let order = json!({ "phone": number });
                let (status, begun) = api.try_post("/api/calls/initiate", &order).await;
                assert_eq!(status, 202, "{}: {begun:#}", ladder.name);
                let sid = begun["call_sid"].as_str().unwrap().to_owned();
                (sid, Person::IsCalled(phone))
            }
        };
        Caller {
            ladder,
            number,
            stop,
            sid,
            person,
        }
    }

    /// Until each of them was stopped at the door, or is through.
    pub async fn stopped(&self, callers: &[Caller<'_>]) {
        let mut counts = Vec::new();
        let mut since = Instant::now();
        let all = self.door.until(ANSWER, || {
            let now: Vec<usize> = callers.iter().map(|c| self.door.count(&c.number)).collect();
            if now != counts {
                counts = now;
                since = Instant::now();
            }
            let is_quiet = since.elapsed() > Duration::from_secs(2);
            callers.iter().all(|caller| {
                self.door.has_stopped(&caller.number)
                    || (is_quiet && is_over(&self.carrier, &caller.sid))
            })
        });
        assert!(all.await, "somebody was not stopped");
    }

    async fn over(&self, api: &Api, caller: &Caller<'_>) -> Value {
        let what = || format!("{} {:?}", caller.ladder.name, caller.stop);
        until(&format!("the end of {}", what()), ANSWER, async || {
            check(is_over(&self.carrier, &caller.sid), || {
                format!("heard {:#?}", caller.person.transcript())
            })
        })
        .await;
        let side = match caller.ladder.way {
            Way::In(_) => "caller",
            Way::Out(_) => "callee",
        };
        until(&what(), AFTER_LEASE, async || {
            let all = api.calls().await;
            let own = all.iter().filter(|call| call[side] == caller.number);
            let own: Vec<&Value> = own.collect();
            assert!(own.len() <= 1, "{}: one call", what());
            let Some(id) = own.first().and_then(|call| call["id"].as_str()) else {
                return Err("no call".to_owned());
            };
            let call = api.call(id).await;
            // What is lost by one way is marked until it has arrived by the next.
            if call["status"] == "ended" && call["violations"] == json!([]) {
                Ok(call)
            } else {
                Err(pretty(&call))
            }
        })
        .await
    }

    /// The call went its way, whatever went wrong; gives the number of text messages about it.
    pub async fn verify(&self, api: &Api, caller: &Caller<'_>) -> usize {
        let ladder = caller.ladder;
        let call = self.over(api, caller).await;
        let of = || format!("{} {:?}: {}", ladder.name, caller.stop, pretty(&call));
        let attempts: Vec<&Value> = call["transfers"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|transfer| transfer["attempts"].as_array().into_iter().flatten())
            .map(|attempt| &attempt["result"])
            .collect();
        let or = ladder.or.filter(|or| (or.when)(caller.stop));
        let mut ends = vec![(ladder.outcome, ladder.attempt, ladder.texts)];
        ends.extend(or.map(|or| (or.outcome, Some(or.attempt), or.texts)));
        let outcome = &call["outcome"]["code"];
        let end = ends.iter().find(|(code, attempt, _)| {
            let attempt: Vec<&str> = attempt.iter().copied().collect();
            outcome == code && attempts == attempt
        });
        let Some((_, attempt, texts)) = end else {
            panic!("none of {ends:?}: {}", of());
        };
        if outcome == "staff_notified" {
            let told = told(&call);
            assert!(told.contains("i have informed the team"), "{}", of());
        }
        assert_eq!(
            self.rung_for(caller),
            usize::from(attempt.is_some()),
            "exactly one dial: {}",
            of()
        );
        if let Person::IsCalled(phone) = &caller.person {
            let placed = self.placed(&caller.number);
            assert_eq!((phone.rung(), placed), (1, 1), "called once: {}", of());
        }
        // Whoever hangs up before the beep, or just behind it, makes the difference of a notice.
        let noticed = call["transfers"][0]["notices"]
            .as_array()
            .map_or(0, Vec::len);
        noticed.max(*texts)
    }

    /// How often the agent's phone was rung from somebody's leg, or into a conference with them.
    fn rung_for(&self, caller: &Caller<'_>) -> usize {
        let calls = self.carrier.calls();
        let rings = self.phones[caller.ladder.name].rings();
        let is_theirs = |sid: &str| {
            let mut legs = calls.iter();
            legs.any(|leg| {
                leg.sid == sid
                    && match &leg.parent {
                        Some(parent) => *parent == caller.sid,
                        None => leg.from == caller.number,
                    }
            })
        };
        let theirs = rings.iter().filter(|ring| is_theirs(&ring.call_sid));
        theirs.count()
    }

    /// Calls to somebody that the carrier was asked for.
    fn placed(&self, number: &str) -> usize {
        let calls = self.carrier.calls();
        let to = calls
            .iter()
            .filter(|leg| leg.to == number && leg.parent.is_none());
        to.count()
    }

    fn texts(&self, number: &str) -> Vec<String> {
        let messages = self.carrier.messages().into_iter();
        let of = messages.filter(|message| message.body.contains(number));
        of.map(|message| message.to).collect()
    }

    /// Every text message that is owed was sent, and each once: name, caller and number of messages.
    pub async fn texts_were_sent_once(&self, owed: &[(&str, String, usize)]) {
        // One that was under way when a process died is taken again after its lease.
        let all = self.door.until(AFTER_LEASE, || {
            owed.iter()
                .all(|(_, number, texts)| self.texts(number).len() >= *texts)
        });
        let has_all = all.await;
        for (ladder, number, texts) in owed {
            let sent = self.texts(number);
            assert_eq!(sent.len(), *texts, "{ladder} of {number}: {sent:?}");
        }
        assert!(has_all);
    }
}

/// Whether the carrier is done with a leg.
fn is_over(carrier: &Carrier, sid: &str) -> bool {
    let calls = carrier.calls();
    let leg = calls.iter().find(|leg| leg.sid == sid);
    leg.is_some_and(|leg| !["queued", "ringing", "in-progress"].contains(&leg.status.as_str()))
}

/// The person whom a webhook is about; a caller's number is in the text of every message.
fn caller_of(carrier: &Carrier, knock: &Knock) -> Option<String> {
    if knock.path().ends_with("/media") {
        return None;
    }
    if let Some(sid) = knock.param("MessageSid") {
        let messages = carrier.messages();
        let message = messages.iter().find(|message| message.sid == sid)?;
        let at = message.body.find("+493023125")?;
        return message.body.get(at..at + 13).map(str::to_owned);
    }
    let sid = knock.param("CallSid")?;
    let calls = carrier.calls();
    let leg = calls.iter().find(|call| call.sid == sid)?;
    let root = match &leg.parent {
        Some(parent) => calls.iter().find(|call| call.sid == *parent)?,
        None => leg,
    };
    // An agent who is dialled over REST sees who calls.
    Some(if root.from == OURS {
        root.to.clone()
    } else {
        root.from.clone()
    })
}
