//! Signed notices.

use std::time::Duration;

use switchhook_adapters::webhook::{MAX_BODY, WebhookLimits, WebhookSender};
use switchhook_adapters::{Accepted, Notice, NoticeError, NoticeSender, Secret};
use switchhook_lab::notices::{Answer, NoticeReceiver, Signature};
use switchhook_model::MessageId;

use super::{SOON, closed_port};

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn notice(url: &str) -> Notice {
    Notice {
        id: MessageId::from_unique("01-1"),
        url: url.to_owned(),
        body: r#"{"text":"Rückruf erbeten"}"#.to_owned(),
        secret: Some(Secret::new(SECRET)),
    }
}

fn sender() -> WebhookSender {
    WebhookSender::new(WebhookLimits {
        connect: SOON,
        whole: SOON,
    })
    .expect("a client")
}

#[tokio::test]
async fn a_notice_arrives_signed_and_under_its_id() {
    let receiver = NoticeReceiver::start(Some(SECRET))
        .await
        .expect("a free port");
    receiver.answers([Answer::Status(204)]);
    let accepted = sender().deliver(&notice(&receiver.url())).await;
    assert_eq!(accepted, Ok(Accepted { status: 204 }));
    let delivery = receiver.deliveries().remove(0);
    assert_eq!(delivery.id, "msg_01-1");
    assert_eq!(delivery.signature, Signature::Valid);
    assert_eq!(delivery.body["text"], "Rückruf erbeten");
    assert_eq!(receiver.accepted(), ["msg_01-1"]);
}

#[tokio::test]
async fn a_wrong_or_missing_signature_is_refused_for_good() {
    let receiver = NoticeReceiver::start(Some(SECRET))
        .await
        .expect("a free port");
    let other = Secret::new("whsec_FRQTEhEQDw4NDAsKCQgHBgUEAwIBAP8eHRwbGhk=");
    for secret in [None, Some(other)] {
        let mut notice = notice(&receiver.url());
        notice.secret = secret;
        let error = sender().deliver(&notice).await.expect_err("unsigned");
        assert!(
            matches!(error, NoticeError::Refused { status: 401, .. }),
            "{error:?}"
        );
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("signing secret"), "{error}");
    }
    assert_eq!(receiver.accepted(), Vec::<String>::new());
}

#[tokio::test]
async fn the_status_says_whether_it_is_tried_again() {
    let receiver = NoticeReceiver::start(None).await.expect("a free port");
    for (status, retryable) in [
        (500, true),
        (503, true),
        (408, true),
        (429, true),
        (400, false),
        (404, false),
        (410, false),
        (302, false),
    ] {
        receiver.answers([Answer::Status(status)]);
        let error = sender()
            .deliver(&notice(&receiver.url()))
            .await
            .expect_err("refused");
        assert_eq!(error.is_retryable(), retryable, "{status}: {error}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
    }
    assert_eq!(receiver.count("msg_01-1"), 8, "one try each");
}

#[tokio::test]
async fn receivers_that_are_silent_or_gone_are_tried_again() {
    let receiver = NoticeReceiver::start(None).await.expect("a free port");
    receiver.otherwise(Answer::Hang);
    let hasty = WebhookSender::new(WebhookLimits {
        connect: SOON,
        whole: Duration::from_millis(200),
    })
    .expect("a client");
    let error = hasty
        .deliver(&notice(&receiver.url()))
        .await
        .expect_err("silent");
    assert!(
        matches!(error, NoticeError::TimedOut { .. }) && error.is_retryable(),
        "{error}"
    );

    let url = format!("http://{}/hook?key=secret", closed_port());
    let error = sender().deliver(&notice(&url)).await.expect_err("gone");
    assert!(matches!(error, NoticeError::Unreachable { .. }) && error.is_retryable());
    assert!(
        !error.to_string().contains("secret"),
        "a URL may hold a key: {error}"
    );
}

#[tokio::test]
async fn what_cannot_be_sent_is_not_sent() {
    let receiver = NoticeReceiver::start(None).await.expect("a free port");
    let mut large = notice(&receiver.url());
    large.body = "x".repeat(MAX_BODY + 1);
    let mut unsigned = notice(&receiver.url());
    unsigned.secret = Some(Secret::new("hunter2"));
    let mut nowhere = notice("ftp://example.org");
    nowhere.secret = None;
    for (notice, named) in [(large, "larger"), (unsigned, "whsec_"), (nowhere, "ftp")] {
        let error = sender().deliver(&notice).await.expect_err(named);
        assert!(!error.is_retryable());
        assert!(error.to_string().contains(named), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    assert!(receiver.deliveries().is_empty());
}
