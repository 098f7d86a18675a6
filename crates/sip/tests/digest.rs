//! RFC 8760 as seen from the wire: what is offered, what is taken, downgrade and replay.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Message, Peer, World, authorization_by, config};
use switchhook_sip::digest::DigestHash;
use switchhook_sip::{SipConfig, SipEndpoint, SipEvent, SipStartError};

fn offering(hashes: &[DigestHash]) -> SipConfig {
    let mut config = config();
    config.digest = hashes.to_vec();
    config
}

struct Phone {
    peer: Peer,
    cseq: u32,
}

impl Phone {
    async fn new(world: &World) -> Self {
        let peer = Peer::new(world.udp).await;
        Self { peer, cseq: 0 }
    }

    /// A REGISTER of 2001 with these credentials; any final answer.
    async fn register(&mut self, authorization: &str) -> Message {
        self.cseq += 1;
        let contact = format!("Contact: <sip:2001@{}>\r\n", self.peer.addr());
        let text = self
            .peer
            .compose_register("2001", self.cseq, &contact, authorization);
        self.peer.send(&text).await;
        self.peer.recv().await
    }

    fn answer(&self, challenge: &str, nc: u32) -> String {
        let uri = format!("sip:{}", self.peer.to);
        authorization_by(challenge, "2001", "demo-2001", "REGISTER", &uri, nc)
    }
}

#[tokio::test]
async fn every_offered_algorithm_is_taken() {
    let mut world = World::with(offering(&DigestHash::STRONGEST_FIRST)).await;
    let mut phone = Phone::new(&world).await;
    let refused = phone.register("").await;
    assert_eq!(refused.status(), Some(401));
    let challenges: Vec<String> = refused
        .headers("WWW-Authenticate")
        .into_iter()
        .map(str::to_owned)
        .collect();
    let algorithms = ["SHA-512-256", "SHA-256", "MD5"];
    assert_eq!(challenges.len(), 3);
    for (challenge, algorithm) in challenges.iter().zip(algorithms) {
        let named = format!("algorithm={algorithm},");
        assert!(challenge.contains(&named), "strongest first: {challenge}");
        let answer = phone.answer(challenge, 1);
        assert_eq!(phone.register(&answer).await.status(), Some(200));
        assert!(matches!(world.event().await, SipEvent::Registered { .. }));
        // The same request recorded and sent again is worth a new challenge and nothing else.
        let replayed = phone.register(&answer).await;
        assert_eq!(replayed.status(), Some(401), "{algorithm}");
        assert!(replayed.header("WWW-Authenticate").contains("stale=true"));
        // -sess of what was offered is another way to compute it.
        let session = challenge.replace(algorithm, &format!("{algorithm}-sess"));
        let answer = phone.answer(&session, 2);
        assert_eq!(phone.register(&answer).await.status(), Some(200));
        world.event().await;
    }
}

#[tokio::test]
async fn a_weaker_algorithm_than_offered_is_refused() {
    let world = World::with(offering(&[DigestHash::Sha256])).await;
    let mut phone = Phone::new(&world).await;
    let refused = phone.register("").await;
    let challenges = refused.headers("WWW-Authenticate");
    assert_eq!(challenges.len(), 1);
    // Somebody on the way has turned the challenge into one for MD5.
    let challenge = challenges[0].replace("SHA-256", "MD5");
    let answer = phone.answer(&challenge, 1);
    let refused = phone.register(&answer).await;
    assert_eq!(refused.status(), Some(401));
    assert!(!refused.header("WWW-Authenticate").contains("stale"));
    // The header says SHA-256 while the digest is MD5's: too short to be one.
    let lying = answer.replace("algorithm=MD5", "algorithm=SHA-256");
    assert_eq!(phone.register(&lying).await.status(), Some(401));
    // Without the parameter it would be MD5.
    let silent = answer.replace("algorithm=MD5, ", "");
    assert_eq!(phone.register(&silent).await.status(), Some(401));
    assert!(world.endpoint.bindings().is_empty());
}

#[tokio::test]
async fn algorithms_that_no_account_has_stop_the_start() {
    let mut config = offering(&[]);
    let error = SipEndpoint::start(config.clone()).await.unwrap_err();
    assert!(matches!(error, SipStartError::NoDigest(_)), "{error}");
    config.digest = vec![DigestHash::Sha256];
    let ha1 = DigestHash::Md5.ha1("2001", &config.realm, "demo-2001");
    config.extensions[0].secret = switchhook_sip::AccountSecret::Ha1(ha1);
    let error = SipEndpoint::start(config).await.unwrap_err();
    assert!(error.to_string().contains("extension 2001"), "{error}");
}
