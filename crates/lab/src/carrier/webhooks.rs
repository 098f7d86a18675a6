//! Requests to the application: signed, tried again as documented, logged, and made worse on demand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::Shared;
use super::config::{Faults, Forgery};
use super::leg::Leg;
use super::log::{Answer, Webhook, WebhookKind, lock};
use super::sign::{Params, encode, sign, without_fragment};

/// Webhook transport rules: the ceiling for a call-related request, whatever overrides say.
const CEILING: Duration = Duration::from_secs(15);
/// Webhook transport rules: redirects that are followed; then 11215.
const REDIRECTS: usize = 10;

/// A request to be made.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub kind: WebhookKind,
    /// Whose cookies it carries.
    pub leg: Option<Arc<Leg>>,
    /// With its fragment, if it has one.
    pub url: String,
    /// `POST` or `GET`; empty means `POST`.
    pub method: String,
    pub params: Params,
}

/// What the application answered.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
    /// Where the answer is from: relative URLs in it are resolved against this.
    pub url: String,
}

/// Why there is no usable answer.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    pub code: u32,
    pub cause: String,
}

/// Webhook connection overrides in the fragment of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Overrides {
    connect: Duration,
    read: Duration,
    total: Duration,
    retries: u32,
    on_4xx: bool,
    on_5xx: bool,
    on_connect: bool,
    on_read: bool,
}

impl Overrides {
    /// Defaults: connect 5 s, read and total 15 s, one retry after a connect failure.
    fn of(url: &str) -> Self {
        let mut overrides = Self {
            connect: Duration::from_secs(5),
            read: CEILING,
            total: CEILING,
            retries: 1,
            on_4xx: false,
            on_5xx: false,
            on_connect: true,
            on_read: false,
        };
        let fragment = url.split_once('#').map_or("", |(_, fragment)| fragment);
        for (key, value) in fragment.split('&').filter_map(|part| part.split_once('=')) {
            let ms = || value.parse().map(Duration::from_millis).ok();
            match key {
                "ct" => overrides.connect = ms().unwrap_or(overrides.connect),
                "rt" => overrides.read = ms().unwrap_or(overrides.read),
                "tt" => overrides.total = ms().unwrap_or(overrides.total).min(CEILING),
                "rc" => overrides.retries = value.parse().unwrap_or(1).min(5),
                "rp" => {
                    let has = |policy| value.split(',').any(|p| p == policy || p == "all");
                    overrides.on_4xx = has("4xx");
                    overrides.on_5xx = has("5xx");
                    overrides.on_connect = has("ct");
                    overrides.on_read = has("rt");
                }
                // Edges and SNI have no meaning here.
                _ => {}
            }
        }
        overrides
    }

    fn retries_status(&self, status: u16) -> bool {
        match status {
            400..=499 => self.on_4xx,
            500..=599 => self.on_5xx,
            _ => false,
        }
    }
}

/// One try.
enum Try {
    Answered(Got),
    NotConnected(String),
    TimedOut(String),
    Broken(u32, String),
}

impl Shared {
    /// Makes a request whose answer has no effect on the call.
    pub(super) async fn notify(self: &Arc<Self>, ask: Ask) {
        let call = super::sign::first(&ask.params, "CallSid").unwrap_or_default();
        let (call, url) = (call.to_owned(), ask.url.clone());
        let answered = self.ask(ask).await;
        // Errors: 15003, a status callback was answered with an error.
        match answered {
            Ok(got) if got.status < 400 => {}
            Ok(got) => self.problem(15003, &call, format!("{url} answered {}", got.status)),
            Err(failed) => self.problem(15003, &call, format!("{url}: {}", failed.cause)),
        }
    }

    /// Makes a request, with the copies the faults ask for.
    pub(super) async fn ask(self: &Arc<Self>, ask: Ask) -> Result<Got, Failed> {
        self.may_ask().await;
        if self.is_stopped() {
            return Err(Failed {
                code: 11205,
                cause: "the carrier has stopped".to_owned(),
            });
        }
        let faults: Faults = lock(&self.faults).clone();
        let late = match ask.kind {
            WebhookKind::CallStatus => faults.delay + faults.delay_status,
            _ => faults.delay,
        };
        if !late.is_zero() {
            tokio::time::sleep(late).await;
        }
        let token = super::sid("");
        if let Some(forgery) = faults.forge {
            let _ = self
                .attempts(&ask, &super::sid(""), Some(forgery), false)
                .await;
        }
        let first = self.attempts(&ask, &token, None, false);
        if !faults.duplicates {
            return first.await;
        }
        let second = self.attempts(&ask, &token, None, true);
        if faults.at_once {
            return tokio::join!(first, second).0;
        }
        let answer = first.await;
        // Its answer has no effect.
        let _ = second.await;
        answer
    }

    async fn attempts(
        self: &Arc<Self>,
        ask: &Ask,
        token: &str,
        forgery: Option<Forgery>,
        duplicate: bool,
    ) -> Result<Got, Failed> {
        let overrides = Overrides::of(&ask.url);
        let signed = without_fragment(&ask.url).to_owned();
        let method = if ask.method.eq_ignore_ascii_case("GET") {
            "GET"
        } else {
            "POST"
        };
        let url = if method == "GET" {
            with_query(&signed, &ask.params)
        } else {
            signed
        };
        let place = {
            let mut log = self.log();
            log.webhooks.push(Webhook {
                kind: ask.kind,
                method: method.to_owned(),
                url: url.clone(),
                params: ask.params.clone(),
                token: token.to_owned(),
                attempts: 0,
                forged: forgery.is_some(),
                duplicate,
                answer: Answer::Pending,
            });
            log.webhooks.len() - 1
        };
        self.pulse.beat();
        let began = Instant::now();
        let mut tries = 0;
        let result = loop {
            tries += 1;
            self.log().webhooks[place].attempts = tries;
            let got = self
                .follow(ask, method, &url, token, forgery, &overrides)
                .await;
            let may_retry = tries <= overrides.retries && began.elapsed() < overrides.total;
            let (again, result) = match got {
                Try::Answered(got) => (overrides.retries_status(got.status), Ok(got)),
                Try::NotConnected(cause) => {
                    (overrides.on_connect, Err(Failed { code: 11205, cause }))
                }
                Try::TimedOut(cause) => (overrides.on_read, Err(Failed { code: 11200, cause })),
                Try::Broken(code, cause) => (false, Err(Failed { code, cause })),
            };
            if !(again && may_retry) {
                break result;
            }
        };
        self.log().webhooks[place].answer = match &result {
            Ok(got) => Answer::Http {
                status: got.status,
                content_type: got.content_type.clone(),
                body: String::from_utf8_lossy(&got.body).into_owned(),
            },
            Err(failed) => Answer::Failed {
                code: failed.code,
                cause: failed.cause.clone(),
            },
        };
        self.pulse.beat();
        result
    }

    /// Webhook transport rules: up to ten redirects are followed; 301 and 302 turn a POST into a
    /// GET without what was entered.
    async fn follow(
        &self,
        ask: &Ask,
        method: &str,
        url: &str,
        token: &str,
        forgery: Option<Forgery>,
        overrides: &Overrides,
    ) -> Try {
        let (mut method, mut url) = (method.to_owned(), url.to_owned());
        let mut params = ask.params.clone();
        for _ in 0..=REDIRECTS {
            let sent = self
                .send(ask, &method, &url, &params, token, forgery, overrides)
                .await;
            let (response, client_url) = match sent {
                Ok(sent) => sent,
                Err(failed) => return failed,
            };
            let status = response.status().as_u16();
            let header = |name: &str| {
                let value = response.headers().get(name).and_then(|v| v.to_str().ok());
                value.map(str::to_owned)
            };
            if let Some(leg) = &ask.leg {
                for cookie in response.headers().get_all("set-cookie") {
                    let pair = cookie.to_str().unwrap_or("").split(';').next();
                    if let Some((name, value)) = pair.and_then(|p| p.split_once('=')) {
                        let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
                        leg.state().cookies.insert(name, value);
                    }
                }
            }
            if let (301 | 302 | 303 | 307 | 308, Some(location)) = (status, header("location")) {
                let Ok(next) = Url::parse(&client_url).and_then(|u| u.join(&location)) else {
                    return Try::Broken(11100, format!("redirected to {location}"));
                };
                url = next.to_string();
                if status < 307 && method == "POST" {
                    "GET".clone_into(&mut method);
                    params = standard_only(&params);
                    url = with_query(&url, &params);
                }
                continue;
            }
            let content_type = header("content-type").unwrap_or_default();
            return match response.bytes().await {
                Ok(body) => Try::Answered(Got {
                    status,
                    content_type,
                    body: body.to_vec(),
                    url,
                }),
                Err(error) => Try::TimedOut(error.to_string()),
            };
        }
        Try::Broken(11215, format!("more than {REDIRECTS} redirects"))
    }

    #[expect(clippy::too_many_arguments, reason = "one request, all of it")]
    async fn send(
        &self,
        ask: &Ask,
        method: &str,
        url: &str,
        params: &Params,
        token: &str,
        forgery: Option<Forgery>,
        overrides: &Overrides,
    ) -> Result<(reqwest::Response, String), Try> {
        let parsed = Url::parse(url).map_err(|e| Try::Broken(11100, format!("{url}: {e}")))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(Try::Broken(11100, format!("{url} is no absolute URL")));
        }
        let form = if method == "GET" {
            &[][..]
        } else {
            &params[..]
        };
        let key = &self.config.auth_token;
        let signature = match forgery {
            None => Some(sign(key, url, form)),
            Some(Forgery::Unsigned) => None,
            Some(Forgery::WrongToken) => Some(sign("ffffffffffffffffffffffffffffffff", url, form)),
            Some(Forgery::Tampered) => Some(sign(key, &format!("{url}x"), form)),
        };
        let (target, behind) = self.route(&parsed);
        let client = super::client(overrides.connect);
        let mut request = match method {
            "GET" => client.get(target),
            _ => client
                .post(target)
                .header(
                    "content-type",
                    "application/x-www-form-urlencoded; charset=UTF-8",
                )
                .body(encode(params)),
        };
        request = request
            .timeout(overrides.read.min(overrides.total))
            .header("i-twilio-idempotency-token", token)
            .header("user-agent", "TwilioProxy/1.1")
            .header("accept", "*/*");
        if let Some(signature) = signature {
            request = request.header("x-twilio-signature", signature);
        }
        if let Some(host) = behind {
            request = request
                .header("host", &host)
                .header("x-forwarded-host", &host)
                .header("x-forwarded-proto", "https");
        }
        if let Some(leg) = &ask.leg {
            let cookies: Vec<String> = {
                let state = leg.state();
                let each = state.cookies.iter();
                each.map(|(name, value)| format!("{name}={value}"))
                    .collect()
            };
            if !cookies.is_empty() {
                request = request.header("cookie", cookies.join("; "));
            }
        }
        match request.send().await {
            Ok(response) => Ok((response, url.to_owned())),
            Err(error) if error.is_connect() => Err(Try::NotConnected(chain(&error))),
            Err(error) => Err(Try::TimedOut(chain(&error))),
        }
    }

    /// Where a URL is really reached, and the host it is called by if that is elsewhere.
    pub(super) fn route(&self, url: &Url) -> (Url, Option<String>) {
        match self.offloaded(url) {
            None => (url.clone(), None),
            Some(address) => {
                let mut host = url.host_str().unwrap_or_default().to_owned();
                if let Some(port) = url.port() {
                    host = format!("{host}:{port}");
                }
                let mut target = url.clone();
                // An address is a host of a URL, and http needs one as https does.
                let _ = target.set_scheme("http");
                let _ = target.set_ip_host(address.ip());
                let _ = target.set_port(Some(address.port()));
                (target, Some(host))
            }
        }
    }

    /// Where an origin is reached that a proxy stands before.
    pub(super) fn offloaded(&self, url: &Url) -> Option<SocketAddr> {
        let scheme = match url.scheme() {
            "wss" => "https",
            "ws" => "http",
            other => other,
        };
        let host = url.host_str()?;
        let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
        let origin = format!("{scheme}://{host}{port}");
        let addresses = self.config.offload.get(&origin)?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        addresses.get(turn % addresses.len().max(1)).copied()
    }
}

/// Parameters in the query of a GET.
fn with_query(url: &str, params: &Params) -> String {
    if params.is_empty() {
        return url.to_owned();
    }
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{}", encode(params))
}

/// Without what a verb added.
fn standard_only(params: &Params) -> Params {
    const ADDED: [&str; 6] = [
        "Digits",
        "SpeechResult",
        "Confidence",
        "FinishedOnKey",
        "RecordingUrl",
        "RecordingDuration",
    ];
    let keep = |(name, _): &&(String, String)| !ADDED.contains(&name.as_str());
    params.iter().filter(keep).cloned().collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_read_from_the_fragment() {
        let plain = Overrides::of("https://gw.example.com/x");
        assert_eq!(
            (plain.retries, plain.on_connect, plain.on_5xx),
            (1, true, false)
        );
        let given =
            Overrides::of("https://gw.example.com/x#rc=3&rp=5xx,rt&ct=1000&rt=4000&tt=99000");
        assert_eq!(
            (given.retries, given.on_connect, given.on_5xx),
            (3, false, true)
        );
        assert_eq!(given.read, Duration::from_secs(4));
        assert_eq!(given.total, CEILING);
        assert!(given.retries_status(503) && !given.retries_status(404));
        let all = Overrides::of("https://gw.example.com/x#rp=all");
        assert!(all.on_4xx && all.on_5xx && all.on_connect && all.on_read);
    }

    #[test]
    fn a_get_carries_its_parameters_in_the_query() {
        let params = vec![super::super::sign::pair("To", "+49 1")];
        assert_eq!(
            with_query("http://x/a?b=1", &params),
            "http://x/a?b=1&To=%2B49+1"
        );
        assert_eq!(with_query("http://x/a", &params), "http://x/a?To=%2B49+1");
    }
}
