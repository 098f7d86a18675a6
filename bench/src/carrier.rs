//! The carrier's side of a webhook, as light as it can be: signed forms over one kept connection.
//!
//! The lab's stand-in executes TwiML and keeps a log of all it does; here only the gateway is to be
//! measured, so this one reads no more of an answer than where to come back.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use switchhook_lab::carrier::sign;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::form_urlencoded;

/// The public address that is signed; nothing of it is resolved.
pub const HOST: &str = "https://gw.example.com";
const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OURS: &str = "+493023125000";
const CALLER: &str = "+12025550142";

/// Makes a gateway take this carrier's calls. `talk` is `gather` or `stream`.
pub fn config(talk: &str) -> String {
    format!(
        r#"
[twilio]
enabled = true
account_sid = "{ACCOUNT}"
auth_token = "{TOKEN}"
api_url = "http://127.0.0.1:9"
number = "{OURS}"
sip_domain = "pbx.example.com"
talk = "{talk}"
"#
    )
}

/// The leg of the `n`th call of a run.
pub fn call_sid(n: u64) -> String {
    format!("CA{n:032x}")
}

/// Signature of a websocket's upgrade request.
pub fn sign_socket(path: &str) -> String {
    let url = format!("{}{path}", HOST.replacen("https", "wss", 1));
    sign(TOKEN, &url, &[])
}

/// One kept connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Connection {
    pub async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(8 * 1024),
        })
    }

    /// Posts what a call's webhook holds: `more` beside what every one has. `target` is path and
    /// query.
    pub async fn webhook(
        &mut self,
        target: &str,
        sid: &str,
        status: &str,
        more: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let standard = [
            ("AccountSid", ACCOUNT),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", sid),
            ("CallStatus", status),
            ("Called", OURS),
            ("Caller", CALLER),
            ("Direction", "inbound"),
            ("From", CALLER),
            ("FromCity", ""),
            ("FromCountry", "US"),
            ("To", OURS),
            ("ToCity", ""),
            ("ToCountry", "DE"),
        ];
        let params: Vec<(String, String)> = standard
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let signature = sign(TOKEN, &format!("{HOST}{target}"), &params);
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&params)
            .finish();
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: gw.example.com\r\nUser-Agent: TwilioProxy/1.1\r\n\
             Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n\
             X-Twilio-Signature: {signature}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<Answer> {
        self.buffer.clear();
        let head = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let text = std::str::from_utf8(&self.buffer[..head])?;
        let status = text.get(9..12).context("no HTTP answer")?.parse()?;
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>())
        });
        let length = length.transpose()?.unwrap_or(0);
        while self.buffer.len() < head + length {
            self.more().await?;
        }
        let body = String::from_utf8(self.buffer[head..head + length].to_vec())?;
        Ok(Answer { status, body })
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the gateway closed the connection");
        }
        Ok(())
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|part| part == what)
}

impl Answer {
    /// Path and query of where the document sends the carrier next: the action of its Gather, or
    /// its Redirect.
    pub fn next(&self) -> Option<String> {
        let action = between(&self.body, " action=\"", "\"");
        let redirect = || {
            let element = between(&self.body, "<Redirect", "</Redirect>")?;
            element.split_once('>').map(|(_, url)| url)
        };
        let url = action.or_else(redirect)?.replace("&amp;", "&");
        Some(url.strip_prefix(HOST)?.to_owned())
    }

    /// The number of the document: what was stored when it was given.
    pub fn program(&self) -> Option<u64> {
        let query = self.next()?;
        query.rsplit_once("n=")?.1.parse().ok()
    }

    /// The parameters of its media stream.
    pub fn parameters(&self) -> Vec<(String, String)> {
        self.body
            .split("<Parameter ")
            .skip(1)
            .filter_map(|element| {
                let name = between(element, "name=\"", "\"")?;
                let value = between(element, "value=\"", "\"")?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect()
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(t, _)| t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_where_to_come_back() {
        let answer = |body: &str| Answer {
            status: 200,
            body: body.to_owned(),
        };
        let gather = answer(
            r#"<Response><Gather action="https://gw.example.com/twilio/process_audio?n=3"/></Response>"#,
        );
        assert_eq!(gather.next().as_deref(), Some("/twilio/process_audio?n=3"));
        assert_eq!(gather.program(), Some(3));
        let redirect = answer(
            r#"<Response><Pause/><Redirect method="POST">https://gw.example.com/twilio/connect/c?a=1&amp;n=4</Redirect></Response>"#,
        );
        assert_eq!(
            redirect.next().as_deref(),
            Some("/twilio/connect/c?a=1&n=4")
        );
        assert_eq!(answer("<Response><Hangup/></Response>").next(), None);
        let stream = answer(r#"<Stream url="x"><Parameter name="token" value="ab"/></Stream>"#);
        assert_eq!(stream.parameters(), [("token".to_owned(), "ab".to_owned())]);
    }
}
