//! Whether a number may be called now: what it is, when, how often, and at what cost. Whatever is
//! refused has changed nothing. Extensions and SIP addresses cost nothing and are not held to this.
//!
//! Counts are exact across processes but begin with their first call, not with the clock's minute or
//! midnight. Two gateways at one database may each let a call in at the same moment.

use std::time::Duration;

use phonenumber::country;
use switchhook_model::{CallId, Direction, E164, Timestamp};
use switchhook_store::{CallFilter, CallHead, Store, StoreError};

use crate::calls::Shared;
use crate::clock;
use crate::config::{Config, OutboundConfig, Prices};
use crate::http::ports::InitiateError;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const CALLS: &str = "outbound:calls";
const MINUTES: &str = "outbound:minutes";
const SPENT: &str = "outbound:spent";
/// Live calls that are read at a time.
const PAGE: u32 = 200;

/// Who is to be called.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    pub number: &'a E164,
    pub customer: Option<&'a str>,
}

/// A number as people write it.
///
/// # Errors
/// If it is none, or no region is configured whose national number it could be.
pub fn number(text: &str, region: Option<country::Id>) -> Result<E164, InitiateError> {
    let invalid = |reason: &str| InitiateError::InvalidNumber {
        reason: reason.to_owned(),
    };
    let plain: String = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.' | '/' | '\u{a0}'))
        .collect();
    // Nothing else is a number, whatever a library can make of it.
    let digits = plain.strip_prefix('+').unwrap_or(&plain);
    if digits.is_empty() || digits.len() > 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid("it is no telephone number"));
    }
    if plain.starts_with('+') {
        return plain
            .parse()
            .map_err(|_| invalid("a number with + has 7 to 15 digits, the first not 0"));
    }
    let region = region.ok_or_else(|| {
        invalid("write it with + and the country code, or set outbound.region (SWITCHHOOK_OUTBOUND_REGION)")
    })?;
    let read = phonenumber::parse(Some(region), &plain)
        .map_err(|_| invalid("it is no number of the region in outbound.region"))?;
    if !read.is_valid() {
        return Err(invalid("it is no number of the region in outbound.region"));
    }
    read.format()
        .mode(phonenumber::Mode::E164)
        .to_string()
        .parse()
        .map_err(|_| invalid("it is no telephone number"))
}

/// Lets one call through and counts it, or says why not. Hold a lock from here until the call is
/// stored: calls at the same time are counted by their rows.
///
/// # Errors
/// One for each limit, with a code of its own.
pub async fn admit(shared: &Shared, wish: Wish<'_>, now: Timestamp) -> Result<(), InitiateError> {
    let admitted = within_limits(shared, wish, now).await;
    if let Err(InitiateError::Limit { code, .. }) = &admitted {
        // Whoever watches the gateway is told: a limit may be all that stands before a bill.
        metrics::counter!("switchhook_outbound_refused_total", "code" => *code).increment(1);
        tracing::warn!(code, "a call out was refused by a limit");
    }
    admitted
}

async fn within_limits(
    shared: &Shared,
    wish: Wish<'_>,
    now: Timestamp,
) -> Result<(), InitiateError> {
    let outbound = &shared.config.outbound;
    check_hours(outbound, wish.number, now)?;
    check_live(&shared.store, outbound, wish.number).await?;
    check_spent(&shared.store, outbound, now).await?;
    let limits = &outbound.limits;
    let counts = [
        (
            CALLS.to_owned(),
            MINUTE,
            limits.calls_per_minute,
            "outbound.rate",
            "calls in a minute (outbound.calls_per_minute)",
        ),
        (
            format!("outbound:number:{}", wish.number),
            DAY,
            limits.customer_calls_per_day,
            "outbound.customer_rate",
            "calls to this number in a day (outbound.customer_calls_per_day)",
        ),
    ];
    let customer = wish.customer.map(|customer| {
        (
            format!("outbound:customer:{customer}"),
            DAY,
            limits.customer_calls_per_day,
            "outbound.customer_rate",
            "calls for this customer in a day (outbound.customer_calls_per_day)",
        )
    });
    let counts: Vec<_> = counts.into_iter().chain(customer).collect();
    let store = &shared.store;
    // Looked at first, all of them: a refusal counts nowhere.
    for (subject, window, most, code, what) in &counts {
        let so_far = store.tallied(subject, now, *window).await.map_err(failed)?;
        if so_far >= u64::from(*most) {
            return Err(limit(code, *most, what, window.as_secs()));
        }
    }
    for (subject, window, ..) in &counts {
        store
            .tally(subject, 1, now, *window)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

fn limit(code: &'static str, most: u32, what: &str, retry_after_s: u64) -> InitiateError {
    InitiateError::Limit {
        code,
        message: format!("no more than {most} {what}; try again later"),
        // A day's count may end sooner.
        retry_after_s: retry_after_s.min(3600),
    }
}

fn failed(error: StoreError) -> InitiateError {
    InitiateError::Internal {
        detail: error.to_string(),
    }
}

fn check_hours(
    outbound: &OutboundConfig,
    number: &E164,
    now: Timestamp,
) -> Result<(), InitiateError> {
    let Some(hours) = &outbound.hours else {
        return Ok(());
    };
    let there = hours
        .by_prefix
        .iter()
        .filter(|(prefix, _)| number.as_str().starts_with(prefix.as_str()))
        .max_by_key(|(prefix, _)| prefix.len())
        .map_or(&hours.otherwise, |(_, hours)| hours);
    if there.is_open(now) {
        return Ok(());
    }
    Err(InitiateError::OutsideHours {
        time_zone: there.time_zone().to_owned(),
    })
}

async fn check_live(
    store: &Store,
    outbound: &OutboundConfig,
    number: &E164,
) -> Result<(), InitiateError> {
    let mut filter = CallFilter {
        statuses: ["ringing", "assistant", "transferring", "with_agent"]
            .map(str::to_owned)
            .to_vec(),
        direction: Some(Direction::Outbound),
        limit: PAGE,
        ..CallFilter::default()
    };
    let mut calls = 0;
    loop {
        let live = store.calls(&filter).await.map_err(failed)?;
        if live.items.iter().any(|call| call.callee == number.as_str()) {
            return Err(InitiateError::Limit {
                code: "outbound.customer_busy",
                message: "this number is being called already; wait for the end of that call"
                    .to_owned(),
                retry_after_s: 60,
            });
        }
        let to_numbers = |call: &&CallHead| call.callee.starts_with('+');
        calls += live.items.iter().filter(to_numbers).count();
        let Some(next) = live.next_cursor else { break };
        let next = next.parse().map_err(|error| InitiateError::Internal {
            detail: format!("{error}"),
        })?;
        filter.cursor = Some(next);
    }
    let most = outbound.limits.max_calls;
    if calls >= usize::try_from(most).unwrap_or(usize::MAX) {
        let what = "calls to numbers at the same time (outbound.max_calls)";
        return Err(limit("outbound.concurrency", most, what, 60));
    }
    Ok(())
}

async fn check_spent(
    store: &Store,
    outbound: &OutboundConfig,
    now: Timestamp,
) -> Result<(), InitiateError> {
    let limits = &outbound.limits;
    let minutes = store.tallied(MINUTES, now, DAY).await.map_err(failed)?;
    if minutes >= u64::from(limits.minutes_per_day) {
        let what = "minutes of calls to numbers in a day (outbound.minutes_per_day)";
        return Err(limit(
            "outbound.minutes",
            limits.minutes_per_day,
            what,
            3600,
        ));
    }
    if let Some(prices) = &limits.prices {
        let spent = store.tallied(SPENT, now, DAY).await.map_err(failed)?;
        if spent >= thousandths(prices.per_day) {
            return Err(InitiateError::Limit {
                code: "outbound.spend",
                message: format!(
                    "calls have cost {} today, as much as they may (outbound.spend_per_day); try again tomorrow",
                    prices.per_day
                ),
                retry_after_s: 3600,
            });
        }
    }
    Ok(())
}

/// Counts what an ended call cost, once, however often it is asked.
pub async fn account(shared: &Shared, id: &CallId) {
    if let Err(error) = counted(&shared.store, &shared.config, id, clock::now()).await {
        tracing::warn!(call.id = %id, %error, "the cost of the call is not counted");
    }
}

async fn counted(
    store: &Store,
    config: &Config,
    id: &CallId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(row) = store.call(id).await? else {
        return Ok(());
    };
    let head = &row.head;
    let is_charged = head.direction == Direction::Outbound
        && head.callee.starts_with('+')
        && row.view.value()["simulated"] != true;
    let (Some(answered_at), true) = (head.answered_at, is_charged) else {
        return Ok(());
    };
    let mark = format!("outbound:counted:{id}");
    if store.tally(&mark, 1, now, DAY).await? > 1 {
        return Ok(());
    }
    let ended_at = head.ended_at.unwrap_or(now);
    // Begun minutes are paid.
    let minutes = ended_at.millis_since(answered_at).div_ceil(60_000).max(1);
    store.tally(MINUTES, minutes, now, DAY).await?;
    if let Some(prices) = &config.outbound.limits.prices {
        let cost = thousandths(price(prices, &head.callee)) * minutes;
        store.tally(SPENT, cost, now, DAY).await?;
    }
    Ok(())
}

/// Of a minute. A number that nobody gave a price costs as much as the dearest.
fn price(prices: &Prices, number: &str) -> f64 {
    let fits = prices
        .per_minute
        .iter()
        .filter(|(prefix, _)| number.starts_with(prefix.as_str()))
        .max_by_key(|(prefix, _)| prefix.len());
    match fits {
        Some((_, price)) => *price,
        None => prices.per_minute.values().copied().fold(0.0, f64::max),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked when the configuration was read: between 0 and a million"
)]
fn thousandths(amount: f64) -> u64 {
    (amount * 1000.0).round() as u64
}

#[cfg(test)]
mod tests;
