//! Answering machine detection: what answered, how long it takes to know, and who is told.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::leg::Leg;
use super::log::WebhookKind;
use super::sign::{Params, first, pair};
use super::twiml::Element;
use super::webhooks::Ask;

/// What answered a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// A person.
    Human,
    /// A machine that speaks for this long (carrier time), and then perhaps beeps.
    Machine {
        /// How long its greeting is.
        greeting: Duration,
        /// Whether it beeps.
        beep: bool,
    },
    /// A fax.
    Fax,
    /// Nothing the detector could tell.
    Unclear,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Detection {
    /// `AnsweredBy`.
    pub answered_by: &'static str,
    /// `MachineDetectionDuration`.
    pub took: Duration,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// `DetectMessageEnd` instead of `Enable`.
    pub message_end: bool,
    /// Carrier time.
    pub timeout: Duration,
    /// Asynchronous: who is told, and by which method.
    pub callback: Option<(String, String)>,
}

impl Wish {
    /// Calls API and Participants API. `AsyncAmd` belongs to the former, `AmdStatusCallback` to the
    /// latter; the wrong ones are refused with 21263, bad values with 21234.
    pub(super) fn of_form(form: &Params, participant: bool) -> Result<Option<Self>, u32> {
        let Some(mode) = first(form, "MachineDetection") else {
            return Ok(None);
        };
        let seconds = |name: &str, otherwise: u64| match first(form, name) {
            None => Ok(otherwise),
            Some(given) => given.parse().map_err(|_| 21234u32),
        };
        let timeout = seconds("MachineDetectionTimeout", 30)?;
        if !matches!(mode, "Enable" | "DetectMessageEnd") || !(3..=60).contains(&timeout) {
            return Err(21234);
        }
        let (url, method) = if participant {
            if first(form, "AsyncAmd").is_some() || first(form, "AsyncAmdStatusCallback").is_some()
            {
                return Err(21263);
            }
            ("AmdStatusCallback", "AmdStatusCallbackMethod")
        } else {
            ("AsyncAmdStatusCallback", "AsyncAmdStatusCallbackMethod")
        };
        let is_async = participant || first(form, "AsyncAmd") == Some("true");
        let callback = first(form, url).filter(|_| is_async);
        // Errors: 21262, asynchronous without a callback.
        if is_async && callback.is_none() {
            return Err(21262);
        }
        Ok(Some(Self {
            message_end: mode == "DetectMessageEnd",
            timeout: Duration::from_secs(timeout),
            callback: callback.map(|url| {
                let method = first(form, method).unwrap_or("POST");
                (url.to_owned(), method.to_owned())
            }),
        }))
    }

    /// TwiML Number, Sip: attributes of the noun; in the background.
    pub(super) fn of_noun(
        noun: &Element,
        resolved: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let mode = noun.attribute("machineDetection")?;
        let callback = noun.attribute("amdStatusCallback").and_then(resolved);
        let method = noun.attribute("amdStatusCallbackMethod").unwrap_or("POST");
        Some(Self {
            message_end: mode == "DetectMessageEnd",
            timeout: Duration::from_secs(noun.number("machineDetectionTimeout", 30)),
            callback: callback.map(|url| (url, method.to_owned())),
        })
    }

    /// Answering machine detection: values of `AnsweredBy` by mode.
    fn found(&self, nature: Nature) -> Detection {
        let ms = Duration::from_millis;
        let (answered_by, took) = match (nature, self.message_end) {
            (Nature::Human, _) => ("human", ms(2_400)),
            (Nature::Machine { .. }, false) => ("machine_start", ms(3_900)),
            (Nature::Machine { greeting, beep }, true) if beep => {
                ("machine_end_beep", greeting + ms(400))
            }
            (Nature::Machine { greeting, .. }, true) => {
                ("machine_end_silence", greeting + ms(5_000))
            }
            (Nature::Fax, _) => ("fax", ms(3_000)),
            (Nature::Unclear, _) => ("unknown", self.timeout),
        };
        if took > self.timeout {
            Detection {
                answered_by: "unknown",
                took: self.timeout,
            }
        } else {
            Detection { answered_by, took }
        }
    }
}

impl Shared {
    /// Finds out who answered; returns when it is known. Whoever asked for a callback gets it.
    pub(super) async fn detect(self: &Arc<Self>, leg: &Arc<Leg>, wish: &Wish, nature: Nature) {
        let detection = wish.found(nature);
        tokio::time::sleep(self.config.pace.wall(detection.took)).await;
        {
            let mut state = leg.state();
            if state.status.is_final() && wish.callback.is_none() {
                return;
            }
            state.detection = Some(detection);
        }
        let took = pair(
            "MachineDetectionDuration",
            detection.took.as_millis().to_string(),
        );
        let answered_by = pair("AnsweredBy", detection.answered_by);
        let Some((url, method)) = wish.callback.clone() else {
            leg.state().extra.extend([answered_by, took]);
            return;
        };
        // AMD: the asynchronous callback carries these four and no numbers.
        let params = vec![
            pair("CallSid", &leg.sid),
            pair("AccountSid", &self.config.account_sid),
            answered_by,
            took,
        ];
        self.notify(Ask {
            kind: WebhookKind::Amd,
            leg: None,
            url,
            method,
            params,
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(message_end: bool, timeout_s: u64) -> Wish {
        Wish {
            message_end,
            timeout: Duration::from_secs(timeout_s),
            callback: None,
        }
    }

    #[test]
    fn what_is_found_depends_on_what_was_asked() {
        let machine = |greeting_s, beep| Nature::Machine {
            greeting: Duration::from_secs(greeting_s),
            beep,
        };
        let by = |wish: Wish, nature| wish.found(nature).answered_by;
        assert_eq!(by(wish(false, 30), Nature::Human), "human");
        assert_eq!(by(wish(false, 30), machine(8, true)), "machine_start");
        assert_eq!(by(wish(true, 30), machine(8, true)), "machine_end_beep");
        assert_eq!(by(wish(true, 30), machine(8, false)), "machine_end_silence");
        assert_eq!(by(wish(true, 10), machine(9, false)), "unknown");
        assert_eq!(by(wish(false, 30), Nature::Fax), "fax");
    }

    #[test]
    fn bad_wishes_are_refused_by_their_number() {
        let form =
            |pairs: &[(&str, &str)]| -> Params { pairs.iter().map(|(n, v)| pair(n, *v)).collect() };
        let code = |pairs: &[(&str, &str)], participant| {
            Wish::of_form(&form(pairs), participant).unwrap_err()
        };
        assert_eq!(code(&[("MachineDetection", "on")], false), 21234);
        let with = |name, value| [("MachineDetection", "Enable"), (name, value)];
        assert_eq!(code(&with("MachineDetectionTimeout", "2"), false), 21234);
        assert_eq!(code(&with("AsyncAmd", "true"), false), 21262);
        assert_eq!(code(&with("AsyncAmd", "true"), true), 21263);
        assert!(Wish::of_form(&form(&[]), false).unwrap().is_none());
    }
}
