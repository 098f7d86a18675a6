//! Vectors made with the official Python and Node.js libraries, and what must not pass.

use proptest::prelude::*;

use super::*;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const GATEWAY: &str = "https://gw.example.com";
/// The call of vector B.
const FORM_B: &str = "AccountSid=AC00000000000000000000000000000001&ApiVersion=2010-04-01\
    &CallSid=CA00000000000000000000000000000001&CallStatus=ringing&Called=%2B493012345678\
    &Caller=%2B4915112345678&Direction=inbound&From=%2B4915112345678&FromCity=&FromCountry=DE\
    &To=%2B493012345678&ToCity=Berlin+M%C3%B6ckern";
const TARGET_B: &str = "/twilio/voice?tenant=acme&leg=a%20b";
const SIGNATURE_B: &str = "kQMH5/QeTbQoKKb7mm/CioP3wRw=";

fn token() -> Secret {
    Secret::new(TOKEN)
}

fn verifier(base: &str) -> Verifier {
    Verifier::new(base, vec![token()], BTreeMap::new()).expect("a verifier")
}

fn form(text: &str) -> Params {
    Params::parse(text.as_bytes()).expect("a form")
}

fn get<'a>(target: &'a str, signature: &'a str) -> Signed<'a> {
    Signed {
        path_and_query: target,
        signature: Some(signature),
        ..Signed::default()
    }
}

fn post<'a>(target: &'a str, form: &'a Params, signature: &'a str) -> Signed<'a> {
    Signed {
        form: Some(form),
        ..get(target, signature)
    }
}

fn websocket<'a>(target: &'a str, signature: &'a str) -> Signed<'a> {
    Signed {
        is_websocket: true,
        ..get(target, signature)
    }
}

fn plainly(key: usize) -> Result<Matched, Unsigned> {
    Ok(Matched {
        key: SigningKey::Token(key),
        form: UrlForm::Plain,
    })
}

#[test]
fn vector_a_the_libraries_own() {
    let params = form(
        "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212",
    );
    let token = Secret::new("12345");
    let signature = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
    let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
    assert_eq!(sign_form(&token, url, &params), signature);
    assert_eq!(
        sign_form(&token, &format!("{url}#rc=3&rp=5xx"), &params),
        signature,
        "the fragment is not signed"
    );
    let verifier =
        Verifier::new("https://mycompany.com", vec![token], BTreeMap::new()).expect("a verifier");
    assert_eq!(
        verifier.verify(&post("/myapp.php?foo=1&bar=2", &params, signature)),
        plainly(0)
    );
}

#[test]
fn vector_b_empty_values_other_letters_and_a_query() {
    let params = form(FORM_B);
    let verifier = verifier(GATEWAY);
    assert_eq!(
        verifier.verify(&post(TARGET_B, &params, SIGNATURE_B)),
        plainly(0)
    );
    assert_eq!(
        verifier.verify(&post(TARGET_B, &params, "7b/yt3yt1Em7e/ckuySjFWXu2Nk=")),
        plainly(0),
        "signed with :443"
    );
    let url = format!("{GATEWAY}{TARGET_B}");
    assert_eq!(sign_form(&token(), &url, &params), SIGNATURE_B);
    assert_eq!(
        sign_form_sha256(&token(), &url, &params),
        "DRRCV80R2zuRVcs2+T59l6twtPIRuOOn4EZMhWv9Y48="
    );
}

#[test]
fn vector_c_get() {
    let target = "/twilio/status?CallSid=CA00000000000000000000000000000001&CallStatus=completed&SequenceNumber=3";
    let signature = "hCz83YmTXOZA8s+EkvstzILfSsg=";
    assert_eq!(
        verifier(GATEWAY).verify(&get(target, signature)),
        plainly(0)
    );
    assert_eq!(sign_url(&token(), &format!("{GATEWAY}{target}")), signature);
    let empty = Params::default();
    assert_eq!(
        verifier(GATEWAY).verify(&post(target, &empty, signature)),
        plainly(0),
        "no parameters are signed like none"
    );
}

#[test]
fn vector_d_json_with_its_hash() {
    let body = br#"{"event":"ping","n":1}"#;
    let target =
        "/twilio/json?bodySHA256=9239c422a41b555493841e492401a13c6081045f49bd7223f575c7e1f7d86f7f";
    let signature = "Zmj9oW5jScI9wkn7AXOIN/YU53w=";
    let json = |body: &'static [u8]| Signed {
        json_body: Some(body),
        ..get(target, signature)
    };
    let verifier = verifier(GATEWAY);
    assert_eq!(verifier.verify(&json(body)), plainly(0));
    assert_eq!(
        sign_body(&token(), &format!("{GATEWAY}/twilio/json"), body),
        (format!("{GATEWAY}{target}"), signature.to_owned())
    );

    assert_eq!(
        verifier.verify(&json(br#"{"event":"ping","n":2}"#)),
        Err(Unsigned::BodyHash)
    );
    assert_eq!(verifier.verify(&json(b"")), Err(Unsigned::BodyHash));
    assert_eq!(
        verifier.verify(&get(target, signature)),
        Err(Unsigned::BodyHash)
    );
    let params = form("a=1");
    let url = format!("{GATEWAY}{target}");
    let signed_form = sign_form(&token(), &url, &params);
    assert_eq!(
        verifier.verify(&post(target, &params, &signed_form)),
        Err(Unsigned::BodyHash),
        "a form under the hash of another body"
    );
    let unhashed = sign_url(&token(), &format!("{GATEWAY}/twilio/json"));
    assert_eq!(
        verifier.verify(&Signed {
            json_body: Some(body),
            ..get("/twilio/json", &unhashed)
        }),
        Err(Unsigned::BodyHash),
        "a body nobody signed"
    );
}

#[test]
fn vector_e_duplicates_count_once_and_sorted() {
    let params = form("MessageSid=SM1&MediaUrl=b&MediaUrl=a&MediaUrl=a");
    let signature = "1jXsOdefcLkI5OPk/GA3MZ0xvtQ=";
    let verifier = verifier(GATEWAY);
    assert_eq!(
        verifier.verify(&post("/twilio/sms", &params, signature)),
        plainly(0)
    );
    for other in [
        "MessageSid=SM1&MediaUrl=b",
        "MessageSid=SM1&MediaUrl=b&MediaUrl=a&MediaUrl=c",
        "MessageSid=SM1&mediaurl=b&mediaurl=a",
    ] {
        assert_eq!(
            verifier.verify(&post("/twilio/sms", &form(other), signature)),
            Err(Unsigned::Wrong),
            "{other}"
        );
    }
}

#[test]
fn vector_f_websockets() {
    let verifier = verifier(GATEWAY);
    let matched = |signature| verifier.verify(&websocket("/twilio/media", signature));
    assert_eq!(matched("XbuEIyqfcj7N6LuncPZwBi5k3OI="), plainly(0));
    assert_eq!(
        matched("aRgUStiV0RdF4YNQ5EgMLNFyU/A="),
        plainly(0),
        "with :443"
    );
    let https = matched("R1GVrTSOg+9lJTeSC4KAm6UTTSs=").expect("accepted with a warning");
    assert_eq!(https.form, UrlForm::Https);
    assert!(https.is_odd());

    let slash = sign_url(&token(), "wss://gw.example.com/twilio/media/");
    let slash = matched(&slash).expect("a slash more");
    assert_eq!((slash.form, slash.is_odd()), (UrlForm::Slash, false));
    assert_eq!(
        verifier.verify(&get("/twilio/media", "XbuEIyqfcj7N6LuncPZwBi5k3OI=")),
        Err(Unsigned::Wrong),
        "a websocket's signature opens nothing else"
    );
}

#[test]
fn vector_g_ports() {
    let with_port = "0h68tPDz7pOLMGXR4Gk3nHJfQ0E=";
    let without = "tA6NvAKgTCWwhL/VYCiIi9xb8q0=";
    let seen_on_8443 = verifier("https://gw.example.com:8443");
    assert_eq!(seen_on_8443.verify(&get("/x", with_port)), plainly(0));
    assert_eq!(seen_on_8443.verify(&get("/x", without)), plainly(0));
    let seen_without = verifier(GATEWAY);
    assert_eq!(seen_without.verify(&get("/x", without)), plainly(0));
    assert_eq!(
        seen_without.verify(&get("/x", with_port)),
        Err(Unsigned::Wrong)
    );
}

#[test]
fn vector_h_with_and_without_the_user() {
    let without = "9Bi8CPHzgXFe8kGbneg+MVXclzc=";
    let with = "eimka3X9H4OwR21BKOgiKUCD7YM=";
    let logged_in = verifier("https://user:pa55@gw.example.com");
    assert_eq!(logged_in.verify(&get("/twilio/voice", with)), plainly(0));
    assert_eq!(logged_in.verify(&get("/twilio/voice", without)), plainly(0));
    let open = verifier(GATEWAY);
    assert_eq!(open.verify(&get("/twilio/voice", without)), plainly(0));
    assert_eq!(
        open.verify(&get("/twilio/voice", with)),
        Err(Unsigned::Wrong)
    );
}

#[test]
fn nothing_may_be_changed_added_or_removed() {
    let verifier = verifier(GATEWAY);
    let refused = |target: &str, text: &str| {
        assert_eq!(
            verifier.verify(&post(target, &form(text), SIGNATURE_B)),
            Err(Unsigned::Wrong),
            "{target} {text}"
        );
    };
    refused(TARGET_B, &FORM_B.replace("ringing", "completed"));
    refused(TARGET_B, &FORM_B.replace("&FromCity=", ""));
    refused(TARGET_B, &format!("{FORM_B}&Digits=1"));
    refused(TARGET_B, &format!("{FORM_B}&FromCity=x"));
    refused(TARGET_B, "");
    refused("/twilio/voice?tenant=acme&leg=a%20c", FORM_B);
    refused("/twilio/voice?tenant=evil&leg=a%20b", FORM_B);
    refused("/twilio/voice/?tenant=acme&leg=a%20b", FORM_B);
    refused("/Twilio/voice?tenant=acme&leg=a%20b", FORM_B);
    refused("/twilio/voice", FORM_B);
}

#[test]
fn missing_and_unreadable_signatures_are_told_apart_from_wrong_ones() {
    let params = form(FORM_B);
    let verifier = verifier(GATEWAY);
    let with = |signature| {
        verifier.verify(&Signed {
            path_and_query: TARGET_B,
            form: Some(&params),
            signature,
            ..Signed::default()
        })
    };
    assert_eq!(with(None), Err(Unsigned::Missing));
    for wrong in [
        "",
        "=",
        "not base64",
        "kQMH5/QeTbQoKKb7mm/CioP3wRw",
        "kQMH5/QeTbQoKKb7mm/CioP3wRx=",
        "kqMH5/QeTbQoKKb7mm/CioP3wRw=",
        "kQMH5/QeTbQoKKb7mm/CioP3wRw=kQMH5/QeTbQoKKb7mm/CioP3wRw=",
        // The right SHA-256 where SHA-1 is due.
        "DRRCV80R2zuRVcs2+T59l6twtPIRuOOn4EZMhWv9Y48=",
    ] {
        assert_eq!(with(Some(wrong)), Err(Unsigned::Wrong), "{wrong}");
    }
}

#[test]
fn both_tokens_of_a_rotation_are_taken_and_no_other() {
    let old = Secret::new("ffffffffffffffffffffffffffffffff");
    let verifier =
        Verifier::new(GATEWAY, vec![token(), old.clone()], BTreeMap::new()).expect("two tokens");
    let params = form(FORM_B);
    let url = format!("{GATEWAY}{TARGET_B}");
    for (place, key) in [token(), old].iter().enumerate() {
        let signature = sign_form(key, &url, &params);
        assert_eq!(
            verifier.verify(&post(TARGET_B, &params, &signature)),
            plainly(place)
        );
    }
    let foreign = sign_form(&Secret::new("another"), &url, &params);
    assert_eq!(
        verifier.verify(&post(TARGET_B, &params, &foreign)),
        Err(Unsigned::Wrong)
    );
}

#[test]
fn shared_keys_are_found_by_the_settings_header() {
    let id = "webhooks_sharedkey_01";
    let shared = Secret::new("shared-secret-of-the-rule");
    let keys = BTreeMap::from([(id.to_owned(), shared.clone())]);
    let verifier = Verifier::new(GATEWAY, vec![token()], keys).expect("a verifier");
    let params = form(FORM_B);
    let url = format!("{GATEWAY}{TARGET_B}");
    let with = |settings: &str, signature: &str| {
        verifier.verify(&Signed {
            settings: Some(settings),
            ..post(TARGET_B, &params, signature)
        })
    };
    let settings = format!("key={id},algorithm=HMAC_SHA256");
    let by_shared = sign_form_sha256(&shared, &url, &params);
    let spaced = format!(" algorithm = HMAC_SHA256 , key = {id} ");
    for settings in [&settings, &spaced] {
        assert_eq!(
            with(settings, &by_shared).expect("shared").key,
            SigningKey::Shared(id.to_owned())
        );
    }
    let by_token = sign_form_sha256(&token(), &url, &params);
    assert_eq!(with(&settings, &by_token), Err(Unsigned::Wrong));
    assert_eq!(with("algorithm=HMAC_SHA256", &by_token), plainly(0));
    assert_eq!(with("", SIGNATURE_B), plainly(0));
    assert_eq!(
        with(
            "key=webhooks_sharedkey_02,algorithm=HMAC_SHA256",
            &by_shared
        ),
        Err(Unsigned::UnknownKey)
    );
    assert_eq!(
        with(&format!("key={id},algorithm=MD5"), &by_shared),
        Err(Unsigned::UnknownAlgorithm)
    );
}

#[test]
fn a_query_written_by_the_legacy_serialiser_is_known() {
    let signature = sign_url(&token(), "https://gw.example.com/x?name=O%27Hara");
    let matched = verifier(GATEWAY).verify(&get("/x?name=O'Hara", &signature));
    assert_eq!(matched.expect("accepted").form, UrlForm::LegacyQuery);
}

#[test]
fn a_proxys_path_is_part_of_the_signed_url() {
    let verifier = verifier("https://gw.example.com/pbx");
    let signature = sign_url(&token(), "https://gw.example.com/pbx/twilio/voice");
    for target in ["/twilio/voice", "/pbx/twilio/voice"] {
        assert_eq!(
            verifier.verify(&get(target, &signature)),
            plainly(0),
            "{target}"
        );
    }
    let without = sign_url(&token(), "https://gw.example.com/twilio/voice");
    assert_eq!(
        verifier.verify(&get("/twilio/voice", &without)),
        Err(Unsigned::Wrong)
    );
}

#[test]
fn a_verifier_without_a_key_is_refused() {
    for tokens in [
        Vec::new(),
        vec![Secret::new(" ")],
        vec![token(), Secret::new("")],
    ] {
        let error = Verifier::new(GATEWAY, tokens, BTreeMap::new()).expect_err("no key");
        assert!(error.to_string().contains("auth_token"), "{error}");
    }
    let debug = format!("{:?}", verifier("https://user:pa55@gw.example.com"));
    assert!(!debug.contains(TOKEN) && !debug.contains("pa55"), "{debug}");
}

proptest! {
    #[test]
    fn whatever_is_signed_verifies_and_one_changed_byte_does_not(
        pairs in prop::collection::vec(("(?s).{0,8}", "(?s).{0,20}"), 0..12),
        query in "[a-zA-Z0-9%=&+'()_.~-]{0,30}",
        at in any::<prop::sample::Index>(),
        flip in 1u8..=255,
    ) {
        let params: Params = pairs.into_iter().collect();
        let target = format!("/twilio/voice?{query}");
        let signature = sign_form(&token(), &format!("{GATEWAY}{target}"), &params);
        let verifier = verifier(GATEWAY);
        // The hash of a body is another story.
        prop_assume!(!query.contains("bodySHA256"));
        prop_assert_eq!(verifier.verify(&post(&target, &params, &signature)), plainly(0));

        let body = params.to_form();
        if !body.is_empty() {
            let mut bytes = body.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(changed) = Params::parse(&bytes) {
                // Another way to write the same parameters is no change, and neither is one more
                // or less of what is signed without separators.
                if signed_parameters(&changed) != signed_parameters(&params) {
                    prop_assert_eq!(
                        verifier.verify(&post(&target, &changed, &signature)),
                        Err(Unsigned::Wrong)
                    );
                }
            }
        }

        let mut bytes = signature.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert_eq!(
                verifier.verify(&post(&target, &params, &changed)),
                Err(Unsigned::Wrong)
            );
        }
    }

    #[test]
    fn one_changed_byte_of_the_target_does_not_verify(
        query in "[a-zA-Z0-9=&_.~-]{1,30}",
        at in any::<prop::sample::Index>(),
        to in "[a-zA-Z0-9=&_.~-]",
    ) {
        let target = format!("/twilio/voice?{query}");
        let signature = sign_url(&token(), &format!("{GATEWAY}{target}"));
        let mut bytes = target.clone().into_bytes();
        let at = at.index(bytes.len() - 1) + 1;
        bytes[at] = to.as_bytes()[0];
        let changed = String::from_utf8(bytes).expect("ASCII");
        prop_assume!(changed != target && !changed.contains("bodySHA256"));
        // `a&&b` and the like are written again as `a=&b=`: the same parameters to whoever reads them.
        let read = |t: &str| t.split_once('?').map(|(p, q)| {
            (p.to_owned(), url::form_urlencoded::parse(q.as_bytes()).into_owned().collect::<Vec<_>>())
        });
        prop_assume!(read(&changed) != read(&target));
        prop_assert_eq!(verifier(GATEWAY).verify(&get(&changed, &signature)), Err(Unsigned::Wrong));
    }
}
