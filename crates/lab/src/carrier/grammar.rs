//! The documented verbs, nouns and attributes of voice TwiML: whatever is not here is warned of
//! (Errors: 12200 "schema warning", the call goes on and the attribute is ignored).

use super::twiml::Element;

/// Name, attributes, elements it may hold.
type Rule = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const CALLBACK: [&str; 3] = [
    "statusCallback",
    "statusCallbackEvent",
    "statusCallbackMethod",
];

const AMD: [&str; 7] = [
    "machineDetection",
    "machineDetectionTimeout",
    "machineDetectionSpeechThreshold",
    "machineDetectionSpeechEndThreshold",
    "machineDetectionSilenceTimeout",
    "amdStatusCallback",
    "amdStatusCallbackMethod",
];

const SPEECH: [&str; 11] = [
    "break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w", "speak",
];

/// TwiML, attribute lists of the verbs' pages.
const RULES: [Rule; 23] = [
    (
        "Response",
        &[],
        &[
            "Say", "Play", "Pause", "Gather", "Record", "Dial", "Redirect", "Reject", "Hangup",
            "Connect", "Start", "Stop", "Enqueue", "Leave", "Refer", "Sms", "Echo", "Pay",
        ],
    ),
    ("Say", &["voice", "language", "loop"], &SPEECH),
    ("Play", &["loop", "digits"], &[]),
    ("Pause", &["length"], &[]),
    (
        "Gather",
        &[
            "input",
            "action",
            "method",
            "timeout",
            "speechTimeout",
            "maxSpeechTime",
            "numDigits",
            "finishOnKey",
            "language",
            "hints",
            "speechModel",
            "enhanced",
            "profanityFilter",
            "bargeIn",
            "actionOnEmptyResult",
            "partialResultCallback",
            "partialResultCallbackMethod",
            "debug",
        ],
        &["Say", "Play", "Pause"],
    ),
    (
        "Record",
        &[
            "action",
            "method",
            "timeout",
            "finishOnKey",
            "maxLength",
            "playBeep",
            "trim",
            "recordingStatusCallback",
            "recordingStatusCallbackMethod",
            "recordingStatusCallbackEvent",
            "transcribe",
            "transcribeCallback",
            "recordingConfigurationId",
        ],
        &[],
    ),
    (
        "Dial",
        &[
            "action",
            "method",
            "answerOnBridge",
            "timeout",
            "timeLimit",
            "callerId",
            "hangupOnStar",
            "record",
            "recordingTrack",
            "recordingStatusCallback",
            "recordingStatusCallbackMethod",
            "recordingStatusCallbackEvent",
            "trim",
            "sequential",
            "referUrl",
            "referMethod",
            "ringTone",
            "callReason",
            "events",
        ],
        &[
            "Number",
            "Sip",
            "Conference",
            "Client",
            "Queue",
            "WhatsApp",
            "Application",
            "Sim",
        ],
    ),
    ("Number", &["sendDigits", "url", "method", "byoc"], &[]),
    ("Sip", &["username", "password", "url", "method"], &[]),
    ("Client", &["url", "method"], &["Identity", "Parameter"]),
    ("Identity", &[], &[]),
    ("Parameter", &["name", "value"], &[]),
    (
        "Conference",
        &[
            "muted",
            "beep",
            "startConferenceOnEnter",
            "endConferenceOnExit",
            "participantLabel",
            "jitterBufferSize",
            "waitUrl",
            "waitMethod",
            "maxParticipants",
            "record",
            "trim",
            "coach",
            "region",
            "recordingStatusCallback",
            "recordingStatusCallbackMethod",
            "recordingStatusCallbackEvent",
            "eventCallbackUrl",
        ],
        &[],
    ),
    ("Redirect", &["method"], &[]),
    ("Reject", &["reason"], &[]),
    ("Hangup", &[], &[]),
    (
        "Connect",
        &["action", "method"],
        &[
            "Stream",
            "ConversationRelay",
            "Room",
            "VirtualAgent",
            "Conversation",
        ],
    ),
    (
        "Start",
        &["action", "method"],
        &["Stream", "Siprec", "Transcription", "Recording"],
    ),
    ("Stop", &[], &["Stream", "Siprec", "Transcription"]),
    (
        "Stream",
        &[
            "url",
            "name",
            "track",
            "connectorName",
            "audioFormat",
            "sampleRate",
        ],
        &["Parameter"],
    ),
    (
        "Recording",
        &[
            "recordingStatusCallback",
            "recordingStatusCallbackMethod",
            "recordingStatusCallbackEvent",
            "trim",
            "track",
            "channels",
        ],
        &[],
    ),
    (
        "Enqueue",
        &[
            "action",
            "method",
            "maxQueueSize",
            "waitUrl",
            "waitUrlMethod",
            "workflowSid",
        ],
        &[],
    ),
    ("Refer", &["action", "method"], &["Sip"]),
];

/// Documented, but nothing the stand-in looks into.
const UNCHECKED: [&str; 14] = [
    "Leave",
    "Sms",
    "Echo",
    "Pay",
    "Queue",
    "WhatsApp",
    "Application",
    "Sim",
    "ConversationRelay",
    "Room",
    "VirtualAgent",
    "Conversation",
    "Siprec",
    "Transcription",
];

/// Notes what is wrong with an element in its parent, and looks into it.
pub(super) fn check(parent: &str, element: &Element, found: &mut Vec<String>) {
    let name = element.name.as_str();
    if !children_of(parent).contains(&name) {
        found.push(format!("<{name}> is nothing that <{parent}> may hold"));
        return;
    }
    if UNCHECKED.contains(&name) || SPEECH.contains(&name) {
        return;
    }
    for (attribute, _) in &element.attributes {
        if !is_attribute(name, attribute) {
            found.push(format!("<{name}> has no attribute {attribute}"));
        }
    }
    for child in &element.children {
        check(name, child, found);
    }
}

fn children_of(name: &str) -> &'static [&'static str] {
    let rule = RULES.iter().find(|(n, _, _)| *n == name);
    rule.map_or(&[], |(_, _, children)| children)
}

fn is_attribute(name: &str, attribute: &str) -> bool {
    let rule = RULES.iter().find(|(n, _, _)| *n == name);
    let own = rule.is_some_and(|(_, attributes, _)| attributes.contains(&attribute));
    let calls_back = matches!(name, "Number" | "Sip" | "Client" | "Conference")
        && CALLBACK.contains(&attribute)
        || name == "Stream" && matches!(attribute, "statusCallback" | "statusCallbackMethod");
    let detects = matches!(name, "Number" | "Sip" | "Client") && AMD.contains(&attribute);
    own || calls_back || detects
}
