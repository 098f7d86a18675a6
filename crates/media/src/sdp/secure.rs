//! Which streams of an offer our policy on SRTP allows, and with which keys (RFC 4568 §6, RFC 8643).

use super::parse::Media;
use super::{LocalMedia, Offer, SdpError};
use crate::srtp::SrtpParams;
use crate::srtp::sdes::{Crypto, CryptoLine, SrtpPolicy};

/// The party's crypto line that is accepted, and our key for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Agreed {
    tag: u32,
    pub params: SrtpParams,
}

impl Agreed {
    /// Our line: the party's tag, our key.
    pub fn ours(&self) -> CryptoLine {
        CryptoLine {
            tag: self.tag,
            key: self.params.local,
        }
    }
}

/// What we offer the audio over.
pub(super) fn offered_profile(local: &LocalMedia) -> &'static str {
    match local.srtp.policy() {
        SrtpPolicy::Off | SrtpPolicy::Optional => "RTP/AVP",
        SrtpPolicy::Required => "RTP/SAVP",
    }
}

/// The first audio stream that policy allows, with its index and keys. When none is, the error is
/// that of the first.
pub(super) fn choose<'a>(
    offer: &'a Offer,
    local: &LocalMedia,
) -> Result<(usize, &'a Media, Option<Agreed>), SdpError> {
    let mut refusal = None;
    for (index, media) in offer.audio_streams() {
        match agree(media, local) {
            Ok(agreed) => return Ok((index, media, agreed)),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    Err(refusal.unwrap_or_else(|| offer.no_audio()))
}

fn agree(media: &Media, local: &LocalMedia) -> Result<Option<Agreed>, SdpError> {
    let usable = || {
        media.crypto.iter().find_map(|crypto| match crypto {
            Crypto::Usable(line) => Some(Agreed {
                tag: line.tag,
                params: SrtpParams {
                    local: *local.srtp.key(line.key.suite())?,
                    remote: line.key,
                },
            }),
            Crypto::Unusable { .. } => None,
        })
    };
    match (local.srtp.policy(), media.is_secure()) {
        (SrtpPolicy::Off, false) => Ok(None),
        (SrtpPolicy::Off, true) => Err(SdpError::SrtpOff),
        // Keys in RTP/AVP are a wish (RFC 8643): what we cannot use is passed over.
        (SrtpPolicy::Optional, false) => Ok(usable()),
        (SrtpPolicy::Required, false) if media.crypto.is_empty() => Err(SdpError::SrtpRequired),
        (SrtpPolicy::Optional, true) | (SrtpPolicy::Required, _) => usable()
            .map(Some)
            .ok_or_else(|| no_common_suite(&media.crypto)),
    }
}

/// What an answer to our offer agreed to.
pub(super) fn answered(media: &Media, local: &LocalMedia) -> Result<Option<SrtpParams>, SdpError> {
    let Some(crypto) = media.crypto.first() else {
        return match local.srtp.policy() {
            SrtpPolicy::Required => Err(SdpError::SrtpRequired),
            SrtpPolicy::Optional if media.is_secure() => Err(no_common_suite(&[])),
            SrtpPolicy::Off if media.is_secure() => Err(SdpError::SrtpOff),
            SrtpPolicy::Off | SrtpPolicy::Optional => Ok(None),
        };
    };
    if local.srtp.policy() == SrtpPolicy::Off {
        // We offered no keys, so this one is meaningless.
        return if media.is_secure() {
            Err(SdpError::SrtpOff)
        } else {
            Ok(None)
        };
    }
    let Crypto::Usable(theirs) = crypto else {
        return Err(no_common_suite(&media.crypto));
    };
    // The tag names the line of ours that was chosen; the suite must be its (RFC 4568 §5.1.3).
    let ours = local
        .srtp
        .offered()
        .find(|ours| ours.tag == theirs.tag && ours.key.suite() == theirs.key.suite())
        .ok_or(SdpError::CryptoNotOffered)?;
    Ok(Some(SrtpParams {
        local: ours.key,
        remote: theirs.key,
    }))
}

fn no_common_suite(crypto: &[Crypto]) -> SdpError {
    let names: Vec<&str> = crypto.iter().map(Crypto::suite_name).collect();
    let offered = if names.is_empty() {
        "none (no a=crypto)".to_owned()
    } else {
        names.join(", ")
    };
    SdpError::NoCommonSuite { offered }
}

#[cfg(test)]
mod tests {
    use super::super::{answer, apply_answer, offer};
    use super::*;
    use crate::params::RtpParams;
    use crate::srtp::Suite;
    use crate::srtp::sdes::LocalSrtp;

    const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    fn local(policy: SrtpPolicy) -> LocalMedia {
        let mut local = LocalMedia::new("198.51.100.1:10000".parse().unwrap(), 77);
        local.srtp = LocalSrtp::new(policy);
        local
    }

    fn offered(profile: &str, lines: &[&str]) -> String {
        let lines: String = lines
            .iter()
            .map(|line| format!("a=crypto:{line}\r\n"))
            .collect();
        format!("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 {profile} 0 8\r\n{lines}")
    }

    fn answer_to(text: &str, local: &LocalMedia) -> Result<(String, RtpParams), SdpError> {
        answer(&Offer::parse(text)?, local)
    }

    fn line(tag: u32, suite: Suite) -> String {
        let octets = vec![7; suite.inline_len()];
        let key = crate::srtp::MasterKey::new(suite, &octets).unwrap();
        crate::srtp::sdes::write(&CryptoLine { tag, key })["crypto:".len()..].to_owned()
    }

    #[test]
    fn protected_offers_are_answered_in_kind_with_our_key() {
        for suite in Suite::ALL {
            for (policy, profile) in [
                (SrtpPolicy::Optional, "RTP/SAVP"),
                (SrtpPolicy::Required, "RTP/SAVP"),
                (SrtpPolicy::Optional, "RTP/AVP"),
                (SrtpPolicy::Required, "RTP/AVP"),
            ] {
                let local = local(policy);
                let theirs = line(3, suite);
                let lines = ["1 AEAD_AES_128_GCM inline:abcd", theirs.as_str()];
                let (text, params) = answer_to(&offered(profile, &lines), &local).unwrap();
                let srtp = params.srtp.expect("protected");
                assert_eq!(srtp.remote.expose(), vec![7; suite.inline_len()]);
                assert_eq!(&srtp.local, local.srtp.key(suite).unwrap());
                let ours = CryptoLine {
                    tag: 3,
                    key: srtp.local,
                };
                let expected = format!(
                    "m=audio 10000 {profile} 0\r\na={}\r\n",
                    crate::srtp::sdes::write(&ours)
                );
                assert!(text.contains(&expected), "{text}");
                assert!(!format!("{params:?}").contains("[7, 7"), "{params:?}");
                // A re-INVITE gets the same key again.
                let (again, _) = answer_to(&offered(profile, &lines), &local).unwrap();
                assert_eq!(again, text);
            }
        }
    }

    #[test]
    fn policy_decides_what_is_refused() {
        let known = line(1, Suite::AesCm128HmacSha1Tag80);
        let plain = offered("RTP/AVP", &[]);
        let secured = offered("RTP/SAVP", &[&known]);
        let foreign = offered("RTP/SAVP", &["1 AEAD_AES_128_GCM inline:abcd"]);
        let error = |text: &str, policy| answer_to(text, &local(policy)).unwrap_err();
        assert_eq!(error(&plain, SrtpPolicy::Required), SdpError::SrtpRequired);
        assert_eq!(error(&secured, SrtpPolicy::Off), SdpError::SrtpOff);
        for policy in [SrtpPolicy::Optional, SrtpPolicy::Required] {
            let refused = error(&foreign, policy);
            assert!(
                refused.to_string().contains("AEAD_AES_128_GCM"),
                "{refused}"
            );
            assert!(!refused.is_malformed());
            let keyless = error(&offered("RTP/SAVP", &[]), policy);
            assert!(matches!(keyless, SdpError::NoCommonSuite { .. }));
        }
        let (text, params) = answer_to(&plain, &local(SrtpPolicy::Optional)).unwrap();
        assert_eq!(params.srtp, None);
        assert!(!text.contains("crypto"), "{text}");
        let (_, params) =
            answer_to(&offered("RTP/AVP", &[&known]), &local(SrtpPolicy::Off)).unwrap();
        assert_eq!(params.srtp, None);
    }

    #[test]
    fn of_two_streams_the_one_that_is_allowed_is_taken() {
        let known = line(1, Suite::AesCm128HmacSha1Tag80);
        let both = format!(
            "{}m=audio 4002 RTP/AVP 0\r\n",
            offered("RTP/SAVP", &[&known])
        );
        let (text, params) = answer_to(&both, &local(SrtpPolicy::Off)).unwrap();
        assert_eq!(params.remote.port(), 4002);
        assert!(
            text.contains("m=audio 0 RTP/SAVP 0 8\r\nm=audio 10000 RTP/AVP 0"),
            "{text}"
        );
        let (_, params) = answer_to(&both, &local(SrtpPolicy::Required)).unwrap();
        assert_eq!(params.remote.port(), 4000);
    }

    #[test]
    fn our_offer_follows_policy_and_its_answer_agrees() {
        for (policy, profile) in [
            (SrtpPolicy::Off, "RTP/AVP"),
            (SrtpPolicy::Optional, "RTP/AVP"),
            (SrtpPolicy::Required, "RTP/SAVP"),
        ] {
            let ours = local(policy);
            let text = offer(&ours);
            assert!(
                text.contains(&format!("m=audio 10000 {profile} ")),
                "{text}"
            );
            assert_eq!(text.contains("a=crypto:1 "), policy != SrtpPolicy::Off);
            let party = local(SrtpPolicy::Optional);
            let (answer, theirs) = answer_to(&text, &party).unwrap();
            let params = apply_answer(&ours, &answer).unwrap();
            assert_eq!(params.srtp.map(|s| s.local), theirs.srtp.map(|s| s.remote));
            assert_eq!(params.srtp.map(|s| s.remote), theirs.srtp.map(|s| s.local));
            assert_eq!(params.srtp.is_some(), policy != SrtpPolicy::Off);
        }
    }

    #[test]
    fn an_answer_must_be_one_to_our_offer() {
        let answer = |policy, profile, lines: &[&str]| {
            apply_answer(&local(policy), &offered(profile, lines)).map(|params| params.srtp)
        };
        let second = line(2, Suite::AesCm128HmacSha1Tag32);
        let accepted = answer(SrtpPolicy::Required, "RTP/SAVP", &[&second]);
        assert!(matches!(accepted, Ok(Some(_))));
        for wrong in [
            line(9, Suite::AesCm128HmacSha1Tag80),
            line(2, Suite::AesCm128HmacSha1Tag80),
            line(1, Suite::Aes256CmHmacSha1Tag80),
        ] {
            let refused = answer(SrtpPolicy::Required, "RTP/SAVP", &[&wrong]);
            assert_eq!(refused, Err(SdpError::CryptoNotOffered), "{wrong}");
        }
        let plain = answer(SrtpPolicy::Required, "RTP/AVP", &[]);
        assert_eq!(plain, Err(SdpError::SrtpRequired));
        assert_eq!(answer(SrtpPolicy::Optional, "RTP/AVP", &[]), Ok(None));
        assert_eq!(answer(SrtpPolicy::Off, "RTP/AVP", &[&second]), Ok(None));
        let off = answer(SrtpPolicy::Off, "RTP/SAVP", &[&second]);
        assert_eq!(off, Err(SdpError::SrtpOff));
    }

    #[test]
    fn bad_lines_are_named_without_the_key() {
        let error = |lines: &[&str]| {
            answer_to(&offered("RTP/SAVP", lines), &local(SrtpPolicy::Optional))
                .unwrap_err()
                .to_string()
        };
        let good = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
        let short = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", &KEY[..36]);
        let error_short = error(&[&short]);
        assert!(
            error_short.contains("SDP line 4, a=crypto"),
            "{error_short}"
        );
        assert!(!error_short.contains(&KEY[..10]), "{error_short}");
        assert!(error(&[&good, &good]).contains("tag 1 stands twice"));
        let many: Vec<String> = (1..=17).map(|tag| format!("{tag} X_Y inline:a")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(error(&many).contains("more than 16"));
    }
}
