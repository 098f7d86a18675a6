//! `switchhook token`: an access token for scripts.

use std::time::Duration;

use clap::Args;

use super::{Failure, SourceArgs, show};
use crate::http::auth::{Role, TokenKeys};
use crate::{clock, signing_key};

/// Longest life: a token made here cannot be taken back before its time.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// operator, admin, desk or viewer
    #[arg(long)]
    role: String,
    /// How long it is good for: 90s, 30m, 1h, 7d
    #[arg(long, default_value = "1h", value_parser = parse_ttl)]
    ttl: Duration,
}

pub(super) fn run(args: TokenArgs) -> Result<(), Failure> {
    let role: Role = args
        .role
        .parse()
        .map_err(|error| Failure::input(format!("--role: {error}")))?;
    let config = args.source.or_demo().load()?;
    let key = signing_key::load(&config).map_err(Failure::run)?;
    let keys = TokenKeys::new(key.expose()).map_err(Failure::input)?;
    show(keys.issue("cli", role, clock::now(), args.ttl));
    Ok(())
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let unit = text.chars().last().unwrap_or_default();
    let number = text.strip_suffix(unit).unwrap_or_default();
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(format!("expected a number with s, m, h or d, got {text:?}")),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{number:?} is not a whole number"))?;
    let ttl = Duration::from_secs(number.saturating_mul(factor));
    if ttl.is_zero() || ttl > LONGEST {
        return Err("expected 1s to 30d".to_owned());
    }
    Ok(ttl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_read_and_bounded() {
        assert_eq!(parse_ttl("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_ttl("90s"), Ok(Duration::from_secs(90)));
        for bad in ["", "h", "1", "0s", "31d", "99999999999999999999d", "1é"] {
            assert!(parse_ttl(bad).is_err(), "{bad}");
        }
    }
}
