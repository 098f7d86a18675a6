//! What fails, and whether it is asked for again.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::json;
use switchhook_adapters::Secret;
use switchhook_adapters::twilio::rest::{
    AudioFile, CallUpdate, Carrier, Credentials, ErrorKind, RestConfig, TwilioRest,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::{SOON, closed_port};
use super::server::{Answer, Server};
use super::{ACCOUNT, call, new_call, sid};

#[tokio::test]
async fn refusals_are_not_tried_again_and_explained() {
    let old = json!({"code": 21210, "message": "+12025550100 is not yours", "status": 400});
    let new = json!({"type": "https://example.com/e", "title": "Invalid", "status": 400, "code": 21219, "detail": "no"});
    let server = Server::start([Answer::Json(400, old), Answer::Json(400, new)]).await;
    let rest = server.rest();
    let error = rest.create_call(&new_call()).await.expect_err("refused");
    assert_eq!((error.kind, error.code), (ErrorKind::Refused, Some(21_210)));
    assert!(error.to_string().contains("verify the number"), "{error}");
    assert!(
        !format!("{error} {error:?}").contains("2025550100"),
        "{error:?}"
    );
    assert_eq!(error.vendor_message(), Some("+12025550100 is not yours"));
    let error = rest.create_call(&new_call()).await.expect_err("refused");
    assert_eq!(error.code, Some(21_219));
    assert_eq!(server.asked().len(), 2, "one try each");
}

#[tokio::test]
async fn a_call_that_is_over_is_gone() {
    let server = Server::start([
        Answer::Json(
            404,
            json!({"code": 20404, "message": "gone", "status": 404}),
        ),
        Answer::Json(
            400,
            json!({"code": 21220, "message": "over", "status": 400}),
        ),
    ])
    .await;
    let rest = server.rest();
    for _ in 0..2 {
        let error = rest
            .update_call(&sid(), &CallUpdate::Hangup)
            .await
            .expect_err("over");
        assert_eq!(error.kind, ErrorKind::Gone);
    }
}

#[tokio::test]
async fn too_many_requests_are_tried_again_at_the_time_asked_for() {
    let busy = |headers| {
        Answer::Head(
            429,
            headers,
            r#"{"code":20429,"message":"busy","status":429}"#,
        )
    };
    let server = Server::start([
        busy(Vec::new()),
        busy(vec![("retry-after", "1".to_owned())]),
        Answer::Json(201, call()),
    ])
    .await;
    let began = std::time::Instant::now();
    server
        .rest()
        .create_call(&new_call())
        .await
        .expect("the third time");
    assert!(began.elapsed() >= Duration::from_secs(1), "as asked for");
    assert_eq!(server.asked().len(), 3);

    let server = Server::start([busy(vec![("retry-after", "600".to_owned())])]).await;
    let error = server
        .rest()
        .create_call(&new_call())
        .await
        .expect_err("later");
    assert_eq!(error.kind, ErrorKind::RateLimited);
    assert_eq!(error.retry_after, Some(Duration::from_secs(600)));
    assert_eq!(server.asked().len(), 1, "not within its patience");

    let server = Server::start(std::iter::repeat_n(busy(Vec::new()), 9)).await;
    let error = server
        .rest()
        .create_call(&new_call())
        .await
        .expect_err("busy");
    assert!(error.is_retryable());
    assert_eq!(server.asked().len(), 4, "bounded");
}

#[tokio::test]
async fn what_may_have_been_done_is_not_asked_for_again() {
    let server = Server::start([Answer::Hang, Answer::Json(201, call())]).await;
    let mut config = server.config();
    config.limits.whole = Duration::from_secs(2);
    let rest = TwilioRest::new(config).expect("a client");
    let error = rest.create_call(&new_call()).await.expect_err("no answer");
    assert_eq!((error.kind, error.status), (ErrorKind::Unknown, None));
    assert!(
        error.to_string().contains("may have been carried out"),
        "{error}"
    );
    assert_eq!(server.asked().len(), 1);

    let server = Server::start([
        Answer::Head(503, Vec::new(), "down"),
        Answer::Head(201, Vec::new(), "no JSON"),
        Answer::Json(201, json!({"status": "queued"})),
    ])
    .await;
    let rest = server.rest();
    for _ in 0..3 {
        let error = rest
            .create_call(&new_call())
            .await
            .expect_err("no usable answer");
        assert_eq!(error.kind, ErrorKind::Unknown, "{error}");
    }
    assert_eq!(server.asked().len(), 3, "one try each");
}

#[tokio::test]
async fn a_connection_that_breaks_behind_the_request_leaves_it_unknown() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let accepted = tokio::spawn(async move {
        let mut count = 0;
        loop {
            let patience = if count == 0 {
                SOON
            } else {
                Duration::from_secs(2)
            };
            let Ok(Ok((mut socket, _))) = tokio::time::timeout(patience, listener.accept()).await
            else {
                return count;
            };
            count += 1;
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket
                .write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 900\r\n\r\n{")
                .await;
        }
    });
    let mut config = RestConfig::new(Credentials::token(ACCOUNT, Secret::new("auth-token")));
    config.base_url = Some(format!("http://{address}"));
    config.limits.whole = SOON;
    let rest = TwilioRest::new(config).expect("a client");
    let error = rest.create_call(&new_call()).await.expect_err("broken");
    assert_eq!(error.kind, ErrorKind::Unknown, "{error}");
    assert_eq!(accepted.await.expect("counted"), 1, "not sent twice");
}

#[tokio::test]
async fn without_a_connection_nothing_was_done() {
    let mut config = RestConfig::new(Credentials::token(ACCOUNT, Secret::new("auth-token")));
    config.base_url = Some(format!("http://{}", closed_port()));
    let rest = TwilioRest::new(config).expect("a client");
    let error = rest
        .create_call(&new_call())
        .await
        .expect_err("nobody there");
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    assert!(error.is_retryable());
    assert!(error.to_string().contains("not carried out"), "{error}");
}

#[tokio::test]
async fn a_recording_that_is_missing_moves_in_circles_or_stalls_is_an_error() {
    let server = Server::start([Answer::Json(404, json!({"code": 20404, "status": 404}))]).await;
    let fetched = server
        .rest()
        .recording_media("RE1", AudioFile::Mp3, false)
        .await;
    assert_eq!(fetched.expect_err("missing").kind, ErrorKind::Gone);
    assert!(server.only().path.ends_with("/RE1.mp3"));

    let circle = || Answer::Head(302, vec![("location", "/again".into())], "");
    let server = Server::start(std::iter::repeat_with(circle).take(9)).await;
    let fetched = server
        .rest()
        .recording_media("RE1", AudioFile::Wav, false)
        .await;
    assert_eq!(fetched.expect_err("a circle").kind, ErrorKind::Refused);
    assert_eq!(server.asked().len(), 4);

    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let stalls = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a client");
        let mut request = [0; 4096];
        let _ = socket.read(&mut request).await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nRIFF";
        socket.write_all(head).await.expect("sent");
        std::future::pending::<()>().await;
    });
    let mut config = server.config();
    config.base_url = Some(format!("http://{address}"));
    config.limits.whole = Duration::from_secs(5);
    let rest = TwilioRest::new(config).expect("a client");
    let media = rest
        .recording_media("RE1", AudioFile::Wav, false)
        .await
        .expect("begun");
    let pieces: Vec<_> = media.bytes.collect().await;
    let last = pieces.last().expect("an end");
    assert!(
        last.as_ref()
            .is_err_and(|e| e.to_string().contains("stalled")),
        "{last:?}"
    );
    stalls.abort();
}
