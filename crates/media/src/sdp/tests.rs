use proptest::prelude::*;

use super::*;

const BARESIP: &str = "v=0\r\n\
    o=- 3373387186 3373387186 IN IP4 192.0.2.10\r\n\
    s=-\r\n\
    c=IN IP4 192.0.2.10\r\n\
    t=0 0\r\n\
    m=audio 10042 RTP/AVP 8 0 101\r\n\
    a=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\n\
    a=sendrecv\r\n\
    a=ptime:20\r\n";

fn local() -> LocalMedia {
    LocalMedia::new("198.51.100.1:10000".parse().unwrap(), 77)
}

fn answer_to(text: &str) -> (String, RtpParams) {
    answer(&Offer::parse(text).unwrap(), &local()).unwrap()
}

fn error(text: &str) -> String {
    Offer::parse(text)
        .and_then(|offer| answer(&offer, &local()))
        .unwrap_err()
        .to_string()
}

fn with(from: &str, to: &str) -> String {
    assert!(BARESIP.contains(from));
    BARESIP.replace(from, to)
}

#[test]
fn an_offer_is_answered_in_the_partys_order() {
    let (text, params) = answer_to(BARESIP);
    assert_eq!(
        text,
        "v=0\r\n\
         o=switchhook 77 1 IN IP4 198.51.100.1\r\n\
         s=-\r\n\
         c=IN IP4 198.51.100.1\r\n\
         t=0 0\r\n\
         m=audio 10000 RTP/AVP 8 101\r\n\
         a=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-15\r\n\
         a=ptime:20\r\n\
         a=sendrecv\r\n"
    );
    assert_eq!(
        params,
        RtpParams {
            remote: "192.0.2.10:10042".parse().unwrap(),
            codec: Codec::Pcma,
            payload_type: 8,
            also_receives: None,
            dtmf_pt: Some(101),
            dtmf_clock_hz: 8_000,
            opus: OpusParams::default(),
            direction: MediaDirection::SendRecv,
            rtcp: RtcpParams::beside("192.0.2.10:10042".parse().unwrap()),
            srtp: None,
        }
    );
}

#[test]
fn our_offer_and_its_answer_agree() {
    let ours = offer(&local());
    let party = LocalMedia::new("192.0.2.10:4000".parse().unwrap(), 5);
    let (text, theirs) = answer(&Offer::parse(&ours).unwrap(), &party).unwrap();
    let params = apply_answer(&local(), &text).unwrap();
    assert_eq!(params.remote, "192.0.2.10:4000".parse().unwrap());
    assert_eq!(theirs.remote, local().address);
    assert_eq!((params.codec, params.payload_type), (Codec::Pcmu, 0));
    assert_eq!(params.dtmf_pt, Some(101));
}

fn all_codecs() -> LocalMedia {
    LocalMedia {
        codecs: vec![Codec::G722, Codec::Pcmu, Codec::Pcma, Codec::Opus],
        ..local()
    }
}

#[test]
fn our_offer_of_all_codecs() {
    let text = offer(&all_codecs());
    assert!(text.contains("RTP/AVP 9 0 8 96 101 102\r\n"), "{text}");
    for line in [
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:102 telephone-event/48000",
        "a=fmtp:102 0-15",
    ] {
        assert!(text.contains(&format!("{line}\r\n")), "{line} in {text}");
    }
    let fmtp = text.lines().find(|l| l.starts_with("a=fmtp:96 ")).unwrap();
    for parameter in [
        "useinbandfec=1",
        "stereo=0",
        "maxplaybackrate=8000",
        "minptime=10",
    ] {
        assert!(fmtp.contains(parameter), "{fmtp}");
    }
    // What we write, we read.
    let party = LocalMedia::new("192.0.2.10:4000".parse().unwrap(), 5);
    let opus_only = LocalMedia {
        codecs: vec![Codec::Opus],
        ..party
    };
    let (answered, theirs) = answer(&Offer::parse(&text).unwrap(), &opus_only).unwrap();
    assert_eq!((theirs.codec, theirs.payload_type), (Codec::Opus, 96));
    assert_eq!((theirs.dtmf_pt, theirs.dtmf_clock_hz), (Some(102), 48_000));
    assert!(theirs.opus.inband_fec);
    let ours = apply_answer(&all_codecs(), &answered).unwrap();
    assert_eq!((ours.codec, ours.payload_type), (Codec::Opus, 96));
    assert_eq!((ours.dtmf_pt, ours.dtmf_clock_hz), (Some(102), 48_000));
}

#[test]
fn opus_is_found_among_several_payload_types() {
    let text = with(
        "m=audio 10042 RTP/AVP 8 0 101\r\n",
        "m=audio 10042 RTP/AVP 120 111 63 9 101\r\n\
         a=rtpmap:120 opus/16000/2\r\n\
         a=rtpmap:111 OPUS/48000/2\r\n\
         a=fmtp:111 minptime=10; UseInbandFec=1 ;maxaveragebitrate=16000;cbr=1\r\n\
         a=rtpmap:63 red/48000/2\r\n",
    );
    let (answered, params) = answer(&Offer::parse(&text).unwrap(), &all_codecs()).unwrap();
    assert_eq!((params.codec, params.payload_type), (Codec::Opus, 111));
    assert_eq!(
        params.opus,
        OpusParams {
            inband_fec: true,
            constant_bit_rate: true,
            max_bit_rate: Some(16_000),
        }
    );
    assert!(answered.contains("RTP/AVP 111 101\r\n"), "{answered}");
    // Only telephone-event/8000 was offered: taken, with its clock.
    assert_eq!((params.dtmf_pt, params.dtmf_clock_hz), (Some(101), 8_000));
    // Without Opus among ours the next in the party's order is taken: static 9.
    let without = LocalMedia {
        codecs: vec![Codec::Pcmu, Codec::G722],
        ..local()
    };
    let (_, params) = answer(&Offer::parse(&text).unwrap(), &without).unwrap();
    assert_eq!((params.codec, params.payload_type), (Codec::G722, 9));
}

#[test]
fn nonsense_in_fmtp_is_passed_over() {
    for fmtp in [
        "111",
        "111 ",
        "x y=z",
        "111 ;;=;useinbandfec",
        "111 maxaveragebitrate=-1;cbr=yes",
    ] {
        let text = with(
            "m=audio 10042 RTP/AVP 8 0 101\r\n",
            &format!("m=audio 10042 RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:{fmtp}\r\n"),
        );
        let (_, params) = answer(&Offer::parse(&text).unwrap(), &all_codecs()).unwrap();
        assert_eq!(params.opus, OpusParams::default(), "{fmtp}");
    }
}

#[test]
fn an_answer_with_two_codecs_allows_both() {
    let text = with("RTP/AVP 8 0 101", "RTP/AVP 0 8 101");
    let params = apply_answer(&local(), &text).unwrap();
    assert_eq!(params.codec, Codec::Pcmu);
    assert_eq!(
        params.also_receives,
        Some(PayloadFormat {
            codec: Codec::Pcma,
            payload_type: 8
        })
    );
}

#[test]
fn holding_turns_the_direction_round() {
    for (party, ours, hold) in [
        ("sendrecv", MediaDirection::SendRecv, false),
        ("sendonly", MediaDirection::RecvOnly, true),
        ("recvonly", MediaDirection::SendOnly, false),
        ("inactive", MediaDirection::Inactive, true),
    ] {
        let text = with("a=sendrecv", &format!("a={party}"));
        let (answered, params) = answer_to(&text);
        assert_eq!(params.direction, ours, "{party}");
        assert!(answered.contains(&format!("a={}\r\n", ours.name())));
        assert_eq!(Offer::parse(&text).unwrap().is_hold(), hold, "{party}");
    }
    // At session level, and overridden below.
    let session = with("t=0 0\r\n", "t=0 0\r\na=inactive\r\n");
    assert_eq!(answer_to(&session).1.direction, MediaDirection::SendRecv);
    let session = session.replace("a=sendrecv\r\n", "");
    assert_eq!(answer_to(&session).1.direction, MediaDirection::Inactive);
}

#[test]
fn the_old_hold_by_address_is_understood() {
    let text = with("c=IN IP4 192.0.2.10", "c=IN IP4 0.0.0.0");
    let (_, params) = answer_to(&text);
    assert_eq!(params.direction, MediaDirection::RecvOnly);
    assert!(!params.has_target());
    assert!(Offer::parse(&text).unwrap().is_hold());
}

#[test]
fn our_own_hold_limits_the_answer() {
    let mut local = local();
    local.direction = MediaDirection::SendOnly;
    let (text, params) = answer(&Offer::parse(BARESIP).unwrap(), &local).unwrap();
    assert_eq!(params.direction, MediaDirection::SendOnly);
    assert!(text.contains("a=sendonly\r\n"));
}

#[test]
fn other_streams_are_refused_and_kept_in_place() {
    let text = with(
        "m=audio 10042",
        "m=video 5000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=audio 10042",
    ) + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    let (answered, params) = answer_to(&text);
    assert_eq!(params.remote.port(), 10_042);
    let streams: Vec<&str> = answered
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(
        streams,
        [
            "m=video 0 RTP/AVP 96",
            "m=audio 10000 RTP/AVP 8 101",
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        ]
    );
}

#[test]
fn static_types_need_no_map_and_dynamic_ones_count() {
    let bare =
        "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 0\n";
    let (text, params) = answer_to(bare);
    assert_eq!((params.codec, params.dtmf_pt), (Codec::Pcmu, None));
    assert!(!text.contains("telephone-event"));
    let dynamic = "v=0\nc=IN IP6 2001:db8::1\nm=audio 4000/2 RTP/AVP 97 9 98\n\
                   a=rtpmap:97 pcma/8000/1\na=rtpmap:98 Telephone-Event/8000\n";
    let (text, params) = answer_to(dynamic);
    assert_eq!(
        (params.codec, params.payload_type, params.dtmf_pt),
        (Codec::Pcma, 97, Some(98))
    );
    assert_eq!(params.remote, "[2001:db8::1]:4000".parse().unwrap());
    assert!(text.contains("m=audio 10000 RTP/AVP 97 98\r\na=rtpmap:97 PCMA/8000\r\n"));
    // A static number that is mapped to something else is that.
    let twisted = "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0 8\na=rtpmap:0 G726-32/8000\n";
    assert_eq!(answer_to(twisted).1.codec, Codec::Pcma);
    // telephone-event at another clock is not ours.
    let wide =
        "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/48000\n";
    assert_eq!(answer_to(wide).1.dtmf_pt, None);
}

#[test]
fn no_agreement_says_what_was_there() {
    assert_eq!(
        error("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 18 97\na=rtpmap:97 iLBC/8000\n"),
        "no common codec: the party has 18, \"iLBC\" (97), we have PCMU, PCMA"
    );
    assert_eq!(
        error("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/SAVPF 0\nm=video 0 RTP/AVP 96\n"),
        "SDP offers no audio over RTP/AVP or RTP/SAVP; \
         it offers \"audio\" over \"RTP/SAVPF\", \"video\" over \"RTP/AVP\""
    );
    let refused = apply_answer(&local(), &with("audio 10042", "audio 0")).unwrap_err();
    assert_eq!(refused, SdpError::Refused);
    assert!(!refused.is_malformed());
}

#[test]
fn errors_name_line_and_field() {
    for (from, to, expected) in [
        ("v=0", "v=1", "SDP line 1, v=: version is \"1\", expected 0"),
        (
            "v=0\r\n",
            "",
            "SDP line 1, o=: the first line must be \"v=0\"",
        ),
        (
            "o=- 3373387186 3373387186 IN",
            "o=- x 1 IN",
            "SDP line 2, o= sess-id: \"x\" is not a number",
        ),
        (
            "o=- 3373387186 ",
            "o=- ",
            "SDP line 2, o=: 5 fields, expected 6",
        ),
        (
            "c=IN IP4 192.0.2.10",
            "c=IN IP4 pbx.example",
            "SDP line 4, c= address: \"pbx.example\" is not an IP address",
        ),
        (
            "c=IN IP4 192.0.2.10",
            "c=IN IP6 192.0.2.10",
            "SDP line 4, c= addrtype: is \"IP6\", expected \"IP4\"",
        ),
        (
            "c=IN IP4 192.0.2.10",
            "c=IN IP4 224.2.1.1/127",
            "SDP line 4, c= address: multicast is not supported",
        ),
        (
            "c=IN IP4 192.0.2.10\r\n",
            "",
            "SDP line 5, m=: no connection address (c=) for this stream or the session",
        ),
        (
            "audio 10042",
            "audio 99999",
            "SDP line 6, m= port: \"99999\" is not a number from 0 to 65535",
        ),
        (
            "RTP/AVP 8 0 101",
            "RTP/AVP 8 x",
            "SDP line 6, m= format: \"x\" is not a payload type from 0 to 127",
        ),
        ("RTP/AVP 8 0 101", "RTP/AVP", "SDP line 6, m=: no formats"),
        (
            "8 PCMA/8000",
            "8 PCMA",
            "SDP line 7, a=rtpmap: clock rate \"\" is not a number",
        ),
        (
            "8 PCMA/8000",
            "200 PCMA/8000",
            "SDP line 7, a=rtpmap: payload type \"200\" is not 0 to 127",
        ),
        (
            "s=-",
            "s",
            "SDP line 3, line: expected a letter and \"=\": \"s\"",
        ),
        (
            "s=-",
            "s=a\u{0}b",
            "SDP line 3, line: control character: \"s=a\\0b\"",
        ),
    ] {
        assert_eq!(error(&with(from, to)), expected);
    }
    assert_eq!(error(""), "SDP has no v= line");
    assert_eq!(error("v=0\r\n"), "SDP has no m= line");
}

#[test]
fn size_and_counts_are_bounded() {
    let huge = format!("{BARESIP}{}", "a=x\r\n".repeat(4_000));
    assert_eq!(
        error(&huge),
        format!("SDP of {} octets; at most 16384 are read", huge.len())
    );
    let streams = format!("{BARESIP}{}", "m=video 0 X 1\r\n".repeat(20));
    assert!(error(&streams).contains("more than 16 streams"));
    let formats = with("RTP/AVP 8", &format!("RTP/AVP {}", "9 ".repeat(70)));
    assert!(error(&formats).contains("more than 64 formats"));
}

#[test]
fn hostile_text_does_not_reach_the_answer_or_break_an_error() {
    let text = with(
        "m=audio 10042",
        "m=vi<script>deo 1 a\u{7f}b 1\r\nm=audio 10042",
    );
    assert!(error(&text).contains("control character"));
    let long = with(
        "IN IP4 192.0.2.10\r\ns",
        &format!("IN IP4 {}\r\ns", "x".repeat(5_000)),
    );
    assert!(Offer::parse(&long).is_ok(), "o= address is not used");
    let long = with(
        "c=IN IP4 192.0.2.10",
        &format!("c=IN IP4 {}", "x".repeat(5_000)),
    );
    assert!(error(&long).len() < 200);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,400}") {
        let _ = Offer::parse(&text);
    }

    /// Damaged descriptions: whatever is still understood can be answered or refused.
    #[test]
    fn damaged_descriptions_do_no_harm(at in 0usize..300, len in 0usize..20, insert in "[ -~\\r\\n]{0,20}") {
        let mut text = BARESIP.to_owned();
        let start = at.min(text.len());
        let end = (start + len).min(text.len());
        text.replace_range(start..end, &insert);
        if let Ok(offer) = Offer::parse(&text)
            && let Ok((answer, params)) = answer(&offer, &local())
        {
            prop_assert!(Offer::parse(&answer).is_ok(), "{answer}");
            prop_assert!(params.payload_type < 128);
        }
        let _ = apply_answer(&local(), &text);
    }
}

#[test]
fn the_partys_rtcp_is_found() {
    let rtcp = |lines: &str| answer_to(&format!("{BARESIP}{lines}"));
    let (text, params) = rtcp("a=rtcp:20000\r\n");
    assert_eq!(params.rtcp.remote, "192.0.2.10:20000".parse().unwrap());
    assert!(!params.rtcp.mux && !text.contains("rtcp-mux"), "{text}");
    let (_, params) = rtcp("a=rtcp:20000 IN IP6 2001:db8::1\r\n");
    assert_eq!(params.rtcp.remote, "[2001:db8::1]:20000".parse().unwrap());
    let (text, params) = rtcp("a=rtcp-mux\r\n");
    assert!(
        params.rtcp.mux && text.ends_with("a=rtcp-mux\r\n"),
        "{text}"
    );
    let ours = offer(&local());
    assert!(
        !ours.contains("rtcp-mux"),
        "what we do not offer nobody answers"
    );
    for wrong in ["x", "70000", "1 IN IP4 x", "1 IN IP4 224.0.0.1", "1 IN"] {
        let error = error(&format!("{BARESIP}a=rtcp:{wrong}\r\n"));
        assert!(error.contains("a=rtcp"), "{wrong}: {error}");
    }
}
