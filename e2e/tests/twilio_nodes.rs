//! Two gateways on one PostgreSQL share each call: its webhooks go to both in turn, and to the other one
//! when one is killed.

use std::time::Duration;

use serde_json::Value;
use switchhook_e2e::api::{only_attempt, only_transfer, pretty, told};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_e2e::ports;
use switchhook_lab::carrier::{Behaviour, Carrier, Then};
use switchhook_lab::door::Door;
use switchhook_lab::postgres::Cluster;

use crate::common::*;
use crate::twilio_line::*;

struct Nodes {
    nodes: Vec<Gateway>,
    door: Door,
    carrier: Carrier,
}

impl Nodes {
    async fn start(settings: fn() -> GatewaySettings) -> Self {
        // The server's start is no work for a runtime.
        let database = tokio::task::spawn_blocking(|| Cluster::shared().database());
        let database = database.await.unwrap();
        let ports = [ports::free(), ports::free()];
        let addresses = ports.map(|port| ([127, 0, 0, 1], port).into());
        let door = Door::open(addresses.to_vec()).await.unwrap();
        let carrier = carrier(vec![door.address()], |_| {}).await;
        let mut nodes = Vec::new();
        for (n, port) in ports.into_iter().enumerate() {
            let node = known_to(settings(), port, &carrier)
                .env("DATABASE_URL", &database)
                .env("SWITCHHOOK_NODE", format!("voice-{n}"))
                .env(
                    "SWITCHHOOK_SIGNING_KEY",
                    "a key of both nodes, long enough for tests",
                )
                .start()
                .await;
            nodes.push(node);
        }
        Self {
            nodes,
            door,
            carrier,
        }
    }

    /// The newest call once it is over, as both show it.
    async fn ended(&self) -> Value {
        let calls = futures_of_two(&self.nodes).await;
        assert_eq!(pretty(&calls[0]), pretty(&calls[1]), "both show the same");
        let taken = self.door.taken();
        assert!(
            taken.iter().all(|n| *n > 0),
            "both had a part in it: {taken:?}"
        );
        calls[0].clone()
    }

    /// Text messages, once none is on its way any more.
    async fn texts(&self, api: usize) -> usize {
        let api = self.nodes[api].api().await;
        until("delivery", Duration::from_secs(120), async || {
            let messages = api.messages().await;
            let delivered = |message: &&Value| message["state"] == "delivered";
            let sms = messages.iter().filter(|m| m["channel"] == "sms");
            let sms: Vec<&Value> = sms.collect();
            let is_over = !sms.is_empty() && sms.iter().all(delivered);
            check(is_over, || format!("{messages:#?}"))
        })
        .await;
        self.carrier.messages().len()
    }
}

async fn futures_of_two(nodes: &[Gateway]) -> Vec<Value> {
    let mut calls = Vec::new();
    for node in nodes {
        calls.push(node.api().await.ended_call(ENDED).await);
    }
    // Judged by one while the other was asked.
    calls[0] = nodes[0].api().await.ended_call(ENDED).await;
    calls
}

fn desk() -> GatewaySettings {
    gather().ring_timeout_s(5).env("TWILIO_SMS_TO", STAFF)
}

#[tokio::test]
async fn a_call_is_transferred_by_both() {
    let house = Nodes::start(desk).await;
    let agent = house.carrier.phone(EXTENSION, Behaviour::answers());
    let caller = wants_a_human(&house.carrier, CALLER).await;
    let colleague = agent.until_answered(0, ANSWER).await.unwrap();
    colleague.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    let call = house.ended().await;
    assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
    assert_eq!(only_attempt(&call)["result"], "answered");
    assert_eq!(agent.rung(), 1, "exactly one dial");
    let problems = house.carrier.log().problems;
    assert!(problems.is_empty(), "{problems:#?}");
}

#[tokio::test]
async fn staff_get_one_message_of_both() {
    let house = Nodes::start(desk).await;
    let agent = house.carrier.phone(EXTENSION, Behaviour::NoAnswer);
    let caller = wants_a_human(&house.carrier, CALLER).await;
    caller.when_hears_says("after the tone", "Please call me back tomorrow");
    caller
        .until_hears("I have informed the team", ANSWER)
        .await
        .unwrap();
    caller.ended(ANSWER).await.unwrap();
    let call = house.ended().await;
    assert_eq!(only_transfer(&call)["outcome"], "message_taken");
    assert_eq!(agent.rung(), 1, "exactly one dial");
    assert_eq!(house.texts(0).await, 1, "{:#?}", house.carrier.messages());
    assert_eq!(house.texts(1).await, 1);
}

/// One dies while the agent's phone rings; the other one takes the call to its end.
#[tokio::test]
async fn one_of_them_is_killed() {
    for killed in [0, 1] {
        let mut house = Nodes::start(desk).await;
        let agent = house
            .carrier
            .phone(EXTENSION, Behaviour::AnswersWhenTold(Then::stays()));
        let caller = wants_a_human(&house.carrier, CALLER).await;
        agent.until_rung(1, ANSWER).await.unwrap();
        house.nodes[killed].kill_9().await;
        // Nobody tells it to: it rings out.
        caller.when_hears_says("after the tone", "Please call me back tomorrow");
        caller.ended(ANSWER).await.unwrap();
        let survivor = 1 - killed;
        let api = house.nodes[survivor].api().await;
        let call = api.ended_call(ENDED).await;
        assert_eq!(
            only_attempt(&call)["result"],
            "no_answer",
            "{}",
            pretty(&call)
        );
        assert_eq!(only_transfer(&call)["outcome"], "message_taken");
        assert_eq!(agent.rung(), 1, "exactly one dial");
        assert_eq!(house.texts(survivor).await, 1);
        house.nodes[killed].start_again().await;
        house.ended().await;
        assert_eq!(house.carrier.messages().len(), 1);
    }
}

/// While caller and agent talk nobody of us is needed, and then any of both.
#[tokio::test]
async fn one_of_them_is_killed_while_caller_and_agent_talk() {
    for killed in [0, 1] {
        let mut house = Nodes::start(desk).await;
        let agent = house.carrier.phone(EXTENSION, Behaviour::answers());
        let caller = wants_a_human(&house.carrier, CALLER).await;
        let colleague = agent.until_answered(0, ANSWER).await.unwrap();
        house.nodes[killed].kill_9().await;
        colleague.hangs_up();
        caller.ended(ANSWER).await.unwrap();
        let api = house.nodes[1 - killed].api().await;
        let call = api.ended_call(ENDED).await;
        assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
        assert_eq!(agent.rung(), 1, "exactly one dial");
    }
}

/// A media stream stands at one of them, and webhooks and the staff's message are the other one's: the
/// caller hears what became of it all the same.
#[tokio::test]
async fn what_one_learns_is_said_over_the_stream_of_the_other() {
    let house = Nodes::start(|| {
        receptionist("stream")
            .ring_timeout_s(5)
            .env("TWILIO_SMS_TO", STAFF)
    })
    .await;
    let human = house.carrier.phone(HUMAN, Behaviour::NoAnswer);
    for n in 0..2 {
        let from = format!("+120255501{n:02}");
        let caller = house.carrier.call_in(&from, OURS).await.unwrap();
        hears_greeting(&caller).await;
        caller.presses("0");
        let api = house.nodes[0].api().await;
        let informed = api
            .wait_call("the team informed", ANSWER, |call| {
                call["caller"] == from && told(call).contains("ich habe das team informiert")
            })
            .await;
        assert_ne!(informed["status"], "ended", "{}", pretty(&informed));
        caller.hangs_up();
        house.ended().await;
        assert_eq!(human.rung(), n + 1, "exactly one dial");
        assert_eq!(house.texts(n).await, n + 1);
    }
}
