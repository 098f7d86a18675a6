//! Messages of the application over a media stream: exactly the documented fields, or nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A conforming message of the application.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Media(Vec<u8>),
    Mark(String),
    Clear,
}

impl Message {
    pub(super) fn read(text: &str, stream_sid: &str, bidirectional: bool) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let fields = value.as_object()?;
        let event = fields.get("event")?.as_str()?;
        if fields.get("streamSid")?.as_str()? != stream_sid || !bidirectional {
            return None;
        }
        let inner = |name: &str, field: &str| {
            let content = fields.get(name)?.as_object()?;
            let only = content.len() == 1 && fields.len() == 3;
            content.get(field).and_then(Value::as_str).filter(|_| only)
        };
        match event {
            "media" => {
                let bytes = STANDARD.decode(inner("media", "payload")?).ok()?;
                Some(Self::Media(bytes))
            }
            "mark" => Some(Self::Mark(inner("mark", "name")?.to_owned())),
            "clear" if fields.len() == 2 => Some(Self::Clear),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Message> {
        Message::read(text, "MZ1", true)
    }

    #[test]
    fn exactly_the_documented_fields_conform() {
        let media = r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8="}}"#;
        assert_eq!(read(media), Some(Message::Media(vec![255, 255])));
        let mark = r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"a"}}"#;
        assert_eq!(read(mark), Some(Message::Mark("a".into())));
        let clear = r#"{"event":"clear","streamSid":"MZ1"}"#;
        assert_eq!(read(clear), Some(Message::Clear));
        for wrong in [
            r#"{"event":"clear","streamSid":"MZ2"}"#,
            r#"{"event":"clear","streamSid":"MZ1","x":1}"#,
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8=","track":"outbound"}}"#,
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"?"}}"#,
            r#"{"event":"media","media":{"payload":"//8="}}"#,
            r#"{"event":"hangup","streamSid":"MZ1"}"#,
            "nothing",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(Message::read(clear, "MZ1", false), None);
    }
}
