//! `[notice]`: how staff are reached.

use std::time::Duration;

use switchhook_model::E164;

use super::problems::Problems;
use super::raw::RawNotice;
use super::resolve::require_http_url;
use super::types::{Mode, NoticeConfig, NoticeWay, TwilioSection};

pub(super) fn resolve(
    raw: RawNotice,
    mode: Mode,
    twilio: Option<&TwilioSection>,
    problems: &mut Problems,
) -> NoticeConfig {
    let wait = problems.in_range("notice.wait_s", raw.wait_s.unwrap_or(8), 1, 30);
    let secret = problems.secret("notice.secret", raw.secret, raw.secret_file);
    let webhook = raw.url.map(|url| {
        require_http_url("notice.url (SWITCHHOOK_NOTICE_URL)", &url, problems);
        if secret.is_none() && mode == Mode::Production {
            problems.add("notice.secret (SWITCHHOOK_NOTICE_SECRET) is missing: notices are signed");
        }
        NoticeWay::Webhook(url, secret)
    });
    let mut number = |key: &str, text: Option<String>| -> Option<E164> {
        let text = text?;
        problems.parse(key, text.strip_prefix("whatsapp:").unwrap_or(&text))
    };
    let sms_to = number("notice.sms_to", raw.sms_to);
    let sms_from = number("notice.sms_from", raw.sms_from);
    let whatsapp_to = number("notice.whatsapp_to", raw.whatsapp_to);
    let whatsapp_from = number("notice.whatsapp_from", raw.whatsapp_from);
    let sms_from = sms_from.or_else(|| twilio?.number.clone());
    let sms = pair("notice.sms", sms_from, sms_to, problems)
        .map(|(from, to)| NoticeWay::Sms { from, to });
    let template = raw.whatsapp_template;
    let whatsapp = pair("notice.whatsapp", whatsapp_from, whatsapp_to, problems)
        .map(|(from, to)| NoticeWay::WhatsApp { from, to, template });
    if (sms.is_some() || whatsapp.is_some()) && twilio.is_none() {
        problems.add(
            "notice: text messages need an account: set twilio.account_sid (TWILIO_ACCOUNT_SID) and twilio.auth_token (TWILIO_AUTH_TOKEN)",
        );
    }
    let ways = match raw.ways {
        None => [sms, whatsapp, webhook].into_iter().flatten().collect(),
        Some(names) => chosen(&names, sms, whatsapp, webhook, problems),
    };
    NoticeConfig {
        ways,
        wait: Duration::from_secs(u64::from(wait)),
    }
}

/// A receiver needs a sender; a sender alone is a number that is there for something else.
fn pair(
    key: &str,
    from: Option<E164>,
    to: Option<E164>,
    problems: &mut Problems,
) -> Option<(E164, E164)> {
    match (from, to) {
        (Some(from), Some(to)) => Some((from, to)),
        (None, Some(_)) => {
            problems.add(format!(
                "{key}_from is missing: {key}_to says who receives, but nobody sends"
            ));
            None
        }
        (Some(_) | None, None) => None,
    }
}

fn chosen(
    names: &[String],
    sms: Option<NoticeWay>,
    whatsapp: Option<NoticeWay>,
    webhook: Option<NoticeWay>,
    problems: &mut Problems,
) -> Vec<NoticeWay> {
    let mut ways = Vec::new();
    let mut set_up = [("sms", sms), ("whatsapp", whatsapp), ("webhook", webhook)];
    for name in names {
        if name == "inbox" {
            ways.push(NoticeWay::Inbox);
            continue;
        }
        let Some((_, way)) = set_up.iter_mut().find(|(known, _)| known == name) else {
            problems.add(format!(
                "notice.ways: expected sms, whatsapp, webhook or inbox, got {name:?}"
            ));
            continue;
        };
        match way.take() {
            Some(way) => ways.push(way),
            None => problems.add(format!(
                "notice.ways: {name} is not set up, or stands there twice"
            )),
        }
    }
    ways
}
