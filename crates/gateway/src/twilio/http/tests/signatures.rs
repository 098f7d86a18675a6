//! Who is let in, and what answers everybody.

use super::world::{TOKEN, World, inbound, params};

#[tokio::test]
async fn without_a_valid_signature_nothing_happens() {
    let world = World::new().await;
    let form = inbound(&[("CallStatus", "ringing")]);
    let body = params(&form).to_form();
    let unsigned = world.raw("POST", "/twilio/voice", &body, &[]).await;
    assert_eq!(unsigned.status, 403, "{}", unsigned.body);
    let wrong = world.signed("/twilio/voice", &form, None, "another").await;
    assert_eq!(wrong.status, 403);
    assert!(wrong.body.contains("webhook.signature"), "{}", wrong.body);
    // The signature of another body, another path, another query.
    let signature = switchhook_adapters::twilio::signature::sign_form(
        &switchhook_adapters::Secret::new(TOKEN),
        "https://gw.example.com/twilio/voice",
        &params(&form),
    );
    let headers = [("x-twilio-signature", signature)];
    for (target, body) in [
        ("/twilio/voice", format!("{body}&Digits=1")),
        ("/twilio/transfer?extension=2001", body.clone()),
        ("/twilio/voice?a=b", body.clone()),
        ("/api/twilio/voice", body.clone()),
    ] {
        let tampered = world.raw("POST", target, &body, &headers).await;
        assert_eq!(tampered.status, 403, "{target}");
    }
    assert_eq!(world.calls().await.len(), 0, "no effect");
    let right = world.raw("POST", "/twilio/voice", &body, &headers).await;
    assert_eq!(right.status, 200);
    assert_eq!(world.calls().await.len(), 1);
}

#[tokio::test]
async fn too_much_and_malformed_is_refused() {
    let world = World::new().await;
    let long = format!("a={}", "x".repeat(70_000));
    assert_eq!(
        world.raw("POST", "/twilio/voice", &long, &[]).await.status,
        413
    );
    let malformed = world.raw("POST", "/twilio/voice", "a=%FF", &[]).await;
    assert_eq!(malformed.status, 400);
}

#[tokio::test]
async fn probes_need_no_signature_and_change_nothing() {
    let world = World::new().await;
    for prefix in ["", "/api", "/anthropic/convonet_todo", "/convonet_todo"] {
        let test = world
            .raw("POST", &format!("{prefix}/twilio/test"), "", &[])
            .await;
        assert_eq!(test.content_type, "text/xml; charset=utf-8");
        assert_eq!(
            test.body,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Say>Hello, this is a test call from the system.</Say><Hangup/></Response>"
        );
        let health = world
            .raw("GET", &format!("{prefix}/twilio/health"), "", &[])
            .await;
        let health: serde_json::Value = serde_json::from_str(&health.body).unwrap();
        assert_eq!(health["status"], "ok");
        assert_eq!(health["elevenlabs_number_configured"], false);
        let bridge = format!("{prefix}/twilio/voice_assistant/transfer_bridge?extension=2001");
        let probe = world.raw("GET", &bridge, "", &[]).await;
        let probe: serde_json::Value = serde_json::from_str(&probe.body).unwrap();
        assert_eq!(probe["extension"], "2001");
    }
    assert_eq!(world.calls().await.len(), 0);
}

#[tokio::test]
async fn the_fallback_apologises() {
    let world = World::new().await;
    let answer = world
        .post("/api/twilio/error", &inbound(&[("ErrorCode", "12100")]))
        .await;
    assert!(answer.body.contains("technical problem"), "{}", answer.body);
    assert!(answer.body.ends_with("<Hangup/></Response>"));
}
