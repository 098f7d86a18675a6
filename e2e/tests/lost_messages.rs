//! Late and lost messages, played by SIPp: what is repeated is answered again and happens once.

use std::collections::BTreeSet;

use switchhook_e2e::api::{only_attempt, only_transfer, pretty};
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_e2e::sipp::Sipp;

use crate::common::*;

/// Messages in SIPp's log that begin with these words, each with its whole text.
fn messages<'a>(log: &'a str, begin: &str) -> Vec<&'a str> {
    let starts = log.match_indices(begin).filter(|(at, _)| {
        // Begins a line: the log has the direction on a line of its own.
        log[..*at].ends_with('\n')
    });
    starts
        .map(|(at, _)| {
            let rest = &log[at..];
            rest.split("\n-----").next().unwrap_or(rest)
        })
        .collect()
}

fn branches(messages: &[&str]) -> BTreeSet<String> {
    messages
        .iter()
        .filter_map(|m| m.split_once("branch=")?.1.split([';', '\r', '\n']).next())
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_called_party_answers_late_and_its_answer_to_bye_is_late_as_well() {
    let mut carrier = Sipp::called("called-answers-late.xml", 1).await;
    let gateway = GatewaySettings::demo()
        .env(
            "SWITCHHOOK_TRUNK_TERMINATION",
            format!("127.0.0.1:{}", carrier.port()),
        )
        // SIPp plays calls only: OPTIONS is not in its scenario.
        .env("SWITCHHOOK_TRUNK_QUALIFY_S", 0)
        .env("SWITCHHOOK_TRANSFER_TARGETS", "+493023125110")
        .start()
        .await;
    let phone = caller().await;
    let call = greeted(&phone, &gateway).await;
    call.send_digits("0");
    let api = gateway.api().await;
    api.wait_call("an answered attempt", ANSWER, |c| {
        c["transfers"][0]["attempts"][0]["result"] == "answered"
    })
    .await;
    // SIPp loses ACKs now and then; a BYE before one was kept is not part of its scenario.
    until("an ACK", ANSWER, async || {
        let log = carrier.messages();
        let lost = log.matches("message lost (recv)").count();
        check(messages(&log, "ACK sip:").len() > lost, || log.clone())
    })
    .await;
    call.hangup().await.unwrap();
    carrier.succeed(ANSWER).await;
    let record = api.ended_call(ENDED).await;
    assert_eq!(
        only_transfer(&record)["outcome"],
        "bridged",
        "{}",
        pretty(&record)
    );
    assert_eq!(
        only_attempt(&record)["result"],
        "answered",
        "{}",
        pretty(&record)
    );
    assert_eq!(
        record["outcome"]["code"],
        "transferred",
        "{}",
        pretty(&record)
    );
    let log = carrier.messages();
    for (method, at_least) in [("INVITE sip:", 3), ("BYE sip:", 2)] {
        let sent = messages(&log, method);
        assert!(sent.len() >= at_least, "{method} was not repeated:\n{log}");
        assert_eq!(branches(&sent).len(), 1, "one transaction:\n{log}");
    }
    assert!(!messages(&log, "ACK sip:").is_empty(), "{log}");
}

#[tokio::test]
async fn callers_on_a_lossy_line_are_answered_once_each() {
    const CALLS: u32 = 12;
    let gateway = GatewaySettings::demo().start().await;
    let target = gateway.sip().to_string();
    let extra = ["-s", "assistant", "-l", "4", "-r", "4"];
    let mut callers = Sipp::calling("caller-on-a-lossy-line.xml", CALLS, &target, &extra).await;
    callers.succeed(ANSWER * 2).await;
    let api = gateway.api().await;
    for call in ended_calls(&api, CALLS as usize, ENDED).await {
        let record = api.call(call["id"].as_str().unwrap()).await;
        assert_eq!(
            record["outcome"]["code"],
            "caller_hung_up",
            "{}",
            pretty(&record)
        );
        let none = record["violations"].as_array().is_some_and(Vec::is_empty);
        assert!(none, "{}", pretty(&record));
    }
}
