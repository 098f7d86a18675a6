//! Torture messages after RFC 4475: what is unusual and right is understood, what is wrong gets the
//! right answer or none, and a call works after each of them.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::time::Duration;

use common::{Message, Peer, SDP, World};

/// One message of `tests/torture`.
struct Torture {
    name: String,
    bytes: Vec<u8>,
    is_invite: bool,
    expected: Vec<String>,
}

fn torture(file: &str) -> Vec<Torture> {
    let mut found = Vec::new();
    for record in file.split("\n@@ ").skip(1) {
        let (head, text) = record.split_once('\n').expect("a head line");
        let mut words = head.split(' ');
        let (name, section) = (words.next().unwrap(), words.next().unwrap());
        let (start, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let body = octets(&body.replace("{sdp}\n", "{sdp}").replace("{sdp}", ""), body);
        let start = start.trim_end_matches('\n');
        let start = start.replace("{len}", &body.len().to_string());
        let mut bytes = octets(&start, "");
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(&body);
        found.push(Torture {
            name: format!("{name} (§{section})"),
            bytes,
            is_invite: start.starts_with("INVITE"),
            expected: words.map(str::to_owned).collect(),
        });
    }
    found
}

/// Lines end in CR LF, `\xNN` is one octet; a body that begins with `{sdp}` has ours before the
/// rest.
fn octets(text: &str, original: &str) -> Vec<u8> {
    let mut out = Vec::new();
    if original.starts_with("{sdp}") {
        out.extend_from_slice(SDP.as_bytes());
    }
    let text = text.replace('\n', "\r\n");
    let mut rest = text.as_str();
    while let Some(at) = rest.find("\\x") {
        let octet = rest
            .get(at + 2..at + 4)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.extend_from_slice(&rest.as_bytes()[..at]);
        match octet {
            Some(octet) => {
                out.push(octet);
                rest = &rest[at + 4..];
            }
            None => {
                out.extend_from_slice(b"\\x");
                rest = &rest[at + 2..];
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// The next final answer; `None` when a later probe was answered first.
async fn answer(peer: &Peer, probe: &str) -> Option<Message> {
    loop {
        let message = peer.recv().await;
        let is_probe = message.header("Call-ID") == peer.call_id;
        match message.status() {
            Some(100..=199) => {}
            Some(200) if is_probe && message.header("CSeq").contains(probe) => return None,
            Some(_) if !is_probe => return Some(message),
            Some(_) | None => panic!("unexpected: {}", message.text),
        }
    }
}

async fn play(world: &mut World, message: &Torture) -> Result<(), String> {
    let peer = Peer::new(world.udp).await;
    peer.socket
        .send_to(&message.bytes, world.udp)
        .await
        .unwrap();
    let first = &message.expected[0];
    let got = if first == "call" {
        // It reaches the application, which is busy.
        let event = tokio::time::timeout(Duration::from_secs(5), world.incoming()).await;
        match event {
            Ok(call) => {
                call.handle.reject(486, None).unwrap();
                let refusal = answer(&peer, "-").await.unwrap();
                acknowledge(&peer, &refusal).await;
                world.leg_event(&call.leg).await;
                "call".to_owned()
            }
            Err(_) => {
                let text = peer.recv_within(Duration::from_millis(100)).await;
                text.map_or("silence".to_owned(), |m| m.start_line().to_owned())
            }
        }
    } else {
        // A probe from the same socket: when its answer comes, no other was on the way.
        let uri = format!("sip:probe@{}", world.udp);
        peer.send(&peer.compose("OPTIONS", &uri, 77, "", "", ""))
            .await;
        match answer(&peer, "77 OPTIONS").await {
            None => "silence".to_owned(),
            Some(found) => {
                if message.is_invite {
                    acknowledge(&peer, &found).await;
                }
                found.start_line().to_owned()
            }
        }
    };
    let is_right = match first.as_str() {
        "call" | "silence" => got == *first,
        status => got.starts_with(&format!("SIP/2.0 {status} ")),
    };
    if is_right {
        Ok(())
    } else {
        Err(format!("{}: wanted {first}, got {got}", message.name))
    }
}

/// ACK for a refusal, with what the answer repeats (RFC 3261 §17.1.1.3).
async fn acknowledge(peer: &Peer, answer: &Message) {
    let cseq = answer.header("CSeq");
    let number = cseq.split_whitespace().next().unwrap_or("0");
    let mut text = "ACK sip:x@example.com SIP/2.0\r\n".to_owned();
    for (name, value) in [
        ("Via", answer.header("Via")),
        ("From", answer.header("From")),
        ("To", answer.header("To")),
        ("Call-ID", answer.header("Call-ID")),
    ] {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!(
        "CSeq: {number} ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ));
    peer.send(&text).await;
}

/// A whole call, to see that nothing was harmed.
async fn still_alive(world: &mut World) {
    let peer = Peer::new(world.udp).await;
    peer.invite("assistant").await;
    let call = world.incoming().await;
    call.handle.answer(SDP.to_owned()).unwrap();
    let ok = peer.response("INVITE", 200).await;
    let uri = format!("sip:assistant@{}", world.udp);
    peer.send(&peer.compose("ACK", &uri, 1, ok.tag("To"), "", ""))
        .await;
    world.leg_event(&call.leg).await;
    peer.send(&peer.compose("BYE", &uri, 2, ok.tag("To"), "", ""))
        .await;
    peer.response("BYE", 200).await;
    world.leg_event(&call.leg).await;
}

async fn play_all(file: &str, count: usize) {
    let mut world = World::start().await;
    let messages = torture(file);
    assert_eq!(messages.len(), count, "every record is read");
    let mut wrong = Vec::new();
    for message in &messages {
        if let Err(what) = play(&mut world, message).await {
            wrong.push(what);
        }
        still_alive(&mut world).await;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(world.endpoint.leg_count(), 0);
}

#[tokio::test]
async fn unusual_messages_are_understood() {
    play_all(include_str!("torture/valid.txt"), 13).await;
}

#[tokio::test]
async fn wrong_messages_get_the_right_answer_or_none() {
    play_all(include_str!("torture/invalid.txt"), 36).await;
}
