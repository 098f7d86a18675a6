//! SMS and WhatsApp: refused at once, or told of afterwards.

use switchhook_lab::carrier::{Carrier, Fate, MessageFate, WebhookKind};

use crate::app::{App, Reply, Rest};
use crate::{AGENT, OUR_NUMBER, SOON};

const SANDBOX: &str = "whatsapp:+12025550186";
const MOBILE: &str = "whatsapp:+493023125101";

async fn start() -> (App, Carrier) {
    let app = App::start(|_| Reply::Status(204)).await;
    let mut config = app.config();
    config.whatsapp_senders.push("+493023125001".into());
    let carrier = Carrier::start(config).await.unwrap();
    (app, carrier)
}

async fn send(app: &App, carrier: &Carrier, form: &[(&str, &str)]) -> (u16, u64) {
    let callback = app.url("/message");
    let mut form = form.to_vec();
    form.push(("StatusCallback", callback.as_str()));
    let answered = Rest::of(carrier).post("/Messages.json", &form).await;
    (answered.status, answered.body["code"].as_u64().unwrap_or(0))
}

#[tokio::test]
async fn a_text_is_delivered_or_not_and_each_state_is_told() {
    let (app, carrier) = start().await;
    let form = [
        ("To", AGENT),
        ("From", OUR_NUMBER),
        ("Body", "A call was missed"),
    ];
    assert_eq!(send(&app, &carrier, &form).await, (201, 0));
    carrier.recipient("+493023125102", MessageFate::of(Fate::Undelivered(30005)));
    let form = [
        ("To", "+493023125102"),
        ("From", OUR_NUMBER),
        ("Body", "A call was missed"),
    ];
    assert_eq!(send(&app, &carrier, &form).await, (201, 0));
    let bad = carrier
        .until_webhook("the failure", SOON, |w| {
            w.param("MessageStatus") == Some("undelivered")
        })
        .await
        .unwrap();
    assert_eq!(bad.param("ErrorCode"), Some("30005"));
    let good = carrier
        .until_webhook("the delivery", SOON, |w| {
            w.param("MessageStatus") == Some("delivered")
        })
        .await
        .unwrap();
    assert_eq!(good.kind, WebhookKind::Message);
    let messages = carrier.messages();
    assert_eq!(messages[0].history, ["queued", "sent", "delivered"]);
    assert_eq!(good.param("MessageSid"), Some(messages[0].sid.as_str()));
    let path = format!("/Messages/{}.json", messages[1].sid);
    let shown = Rest::of(&carrier).get(&path).await;
    assert_eq!(shown.body["status"], "undelivered");
    assert_eq!(shown.body["error_code"], 30005);
}

#[tokio::test]
async fn bad_messages_are_refused_at_once() {
    let (app, carrier) = start().await;
    carrier.recipient(AGENT, MessageFate::of(Fate::Refused(21610)));
    let long = "a".repeat(1_601);
    let other = "+493023125102";
    for (form, code) in [
        (
            vec![("To", "x"), ("From", OUR_NUMBER), ("Body", "a")],
            21211,
        ),
        (vec![("To", other), ("Body", "a")], 21603),
        (
            vec![("To", other), ("From", "+493023125999"), ("Body", "a")],
            21606,
        ),
        (vec![("To", other), ("From", OUR_NUMBER)], 21602),
        (
            vec![("To", other), ("From", OUR_NUMBER), ("Body", long.as_str())],
            21617,
        ),
        (
            vec![("To", AGENT), ("From", OUR_NUMBER), ("Body", "a")],
            21610,
        ),
        // The prefix is missing.
        (
            vec![("To", MOBILE), ("From", "+493023125001"), ("Body", "a")],
            63007,
        ),
        (
            vec![
                ("To", MOBILE),
                ("From", "whatsapp:+493023125002"),
                ("Body", "a"),
            ],
            63007,
        ),
        (
            vec![
                ("To", other),
                ("From", OUR_NUMBER),
                ("Body", "a"),
                ("ContentVariables", "{}"),
            ],
            21654,
        ),
        (
            vec![
                ("To", MOBILE),
                ("From", SANDBOX),
                ("ContentSid", "HX1"),
                ("ContentVariables", "{"),
            ],
            21656,
        ),
    ] {
        assert_eq!(send(&app, &carrier, &form).await, (400, code), "{form:?}");
    }
    assert!(carrier.messages().is_empty());
}

#[tokio::test]
async fn whatsapp_has_its_window_its_templates_and_its_sandbox() {
    let (app, carrier) = start().await;
    let text = [
        ("To", MOBILE),
        ("From", "whatsapp:+493023125001"),
        ("Body", "hello"),
    ];
    // Accepted, and refused afterwards.
    assert_eq!(send(&app, &carrier, &text).await, (201, 0));
    let refused = carrier
        .until_webhook("63016", SOON, |w| w.param("ErrorCode") == Some("63016"))
        .await
        .unwrap();
    assert_eq!(refused.param("MessageStatus"), Some("failed"));
    assert_eq!(refused.param("ChannelPrefix"), Some("whatsapp"));
    let template = [
        ("To", MOBILE),
        ("From", "whatsapp:+493023125001"),
        ("ContentSid", "HX00000000000000000000000000000001"),
        ("ContentVariables", "{\"1\":\"Anna\"}"),
    ];
    assert_eq!(send(&app, &carrier, &template).await, (201, 0));
    carrier.writes_in(MOBILE);
    assert_eq!(send(&app, &carrier, &text).await, (201, 0));
    carrier.recipient(MOBILE, MessageFate::not_joined());
    let sandbox = [("To", MOBILE), ("From", SANDBOX), ("Body", "hello")];
    assert_eq!(send(&app, &carrier, &sandbox).await, (201, 0));
    carrier
        .until("all to be settled", SOON, |c| {
            let ends = ["delivered", "failed"];
            let all = c.messages();
            all.iter()
                .all(|m| ends.contains(&m.status.as_str()))
                .then_some(())
        })
        .await
        .unwrap();
    let ended: Vec<(String, Option<u32>)> = carrier
        .messages()
        .into_iter()
        .map(|m| (m.status, m.error_code))
        .collect();
    assert_eq!(
        ended,
        [
            ("failed".into(), Some(63016)),
            ("delivered".into(), None),
            ("delivered".into(), None),
            ("failed".into(), Some(63015)),
        ]
    );
}
