//! Reading a TwiML document: XML into a tree, and what the tree says that the carrier does not know.
//!
//! What a verb does is in [`super::executor`]; here is only what the document is.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::grammar;

/// An element of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Name, letter case kept: it matters.
    pub name: String,
    /// Attributes in order.
    pub attributes: Vec<(String, String)>,
    /// Elements in it.
    pub children: Vec<Element>,
    /// Its text, that of its children included (SSML in a `Say`), outer white space trimmed.
    pub text: String,
}

impl Element {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether an attribute says `true`.
    pub(super) fn is_true(&self, name: &str, otherwise: bool) -> bool {
        self.attribute(name).map_or(otherwise, |v| v == "true")
    }

    /// A whole number, or `otherwise` where it is missing or none.
    pub(super) fn number(&self, name: &str, otherwise: u64) -> u64 {
        let given = self.attribute(name).and_then(|v| v.parse().ok());
        given.unwrap_or(otherwise)
    }

    /// The first child of that name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|c| c.name == name)
    }
}

/// Why a document cannot be executed, by the number of the carrier's error catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub code: u32,
    pub text: String,
}

/// Largest document (Errors: 11750).
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// The verbs of a document.
///
/// Errors: 11750 too large, 11770 empty, 12100 no XML, or something before the prolog.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Element>, Unreadable> {
    let bad = |text: String| Unreadable { code: 12100, text };
    if body.len() > MAX_BYTES {
        return Err(Unreadable {
            code: 11750,
            text: format!("{} bytes; at most {MAX_BYTES} are read", body.len()),
        });
    }
    let text = std::str::from_utf8(body).map_err(|e| bad(e.to_string()))?;
    if text.trim().is_empty() {
        return Err(Unreadable {
            code: 11770,
            text: "the document is empty".into(),
        });
    }
    if text.starts_with('\u{feff}') {
        return Err(bad("a byte order mark before the document".into()));
    }
    if !text.starts_with("<?xml") && text.trim_start().starts_with("<?xml") {
        return Err(bad("white space before the XML declaration".into()));
    }
    let root = tree(text).map_err(bad)?;
    if root.name != "Response" {
        return Err(bad(format!("the root is <{}>, not <Response>", root.name)));
    }
    Ok(root.children)
}

/// Everything about a document that the carrier warns of (12200) and otherwise ignores.
pub(super) fn warnings(verbs: &[Element]) -> Vec<String> {
    let mut found = Vec::new();
    for verb in verbs {
        grammar::check("Response", verb, &mut found);
    }
    found
}

fn tree(text: &str) -> Result<Element, String> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut root: Option<Element> = None;
    loop {
        match reader.read_event().map_err(|e| e.to_string())? {
            Event::Start(start) => {
                if root.is_some() {
                    return Err("a second root element".into());
                }
                open.push(element(&start)?);
            }
            Event::Empty(start) => {
                let empty = element(&start)?;
                close(empty, &mut open, &mut root)?;
            }
            Event::End(_) => {
                let ended = open.pop().ok_or("an end without its start")?;
                close(ended, &mut open, &mut root)?;
            }
            Event::Text(text) => {
                let text = text.decode().map_err(|e| e.to_string())?;
                add_text(&text, &mut open)?;
            }
            Event::CData(data) => {
                let text = data.decode().map_err(|e| e.to_string())?;
                add_text(&text, &mut open)?;
            }
            Event::GeneralRef(reference) => {
                let resolved = match reference.resolve_char_ref().map_err(|e| e.to_string())? {
                    Some(character) => character.to_string(),
                    None => {
                        let name = reference.decode().map_err(|e| e.to_string())?;
                        let known = quick_xml::escape::resolve_predefined_entity(&name);
                        known.ok_or(format!("unknown entity &{name};"))?.to_owned()
                    }
                };
                add_text(&resolved, &mut open)?;
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
    }
    if let Some(unclosed) = open.last() {
        return Err(format!("<{}> is not closed", unclosed.name));
    }
    root.ok_or_else(|| "no root element".into())
}

fn element(start: &BytesStart<'_>) -> Result<Element, String> {
    let name = std::str::from_utf8(start.name().as_ref())
        .map_err(|e| e.to_string())?
        .to_owned();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| e.to_string())?;
        let key = std::str::from_utf8(attribute.key.as_ref()).map_err(|e| e.to_string())?;
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|e| e.to_string())?;
        attributes.push((key.to_owned(), value.into_owned()));
    }
    Ok(Element {
        name,
        attributes,
        children: Vec::new(),
        text: String::new(),
    })
}

fn close(
    mut ended: Element,
    open: &mut [Element],
    root: &mut Option<Element>,
) -> Result<(), String> {
    match open.last_mut() {
        Some(parent) => {
            parent.text.push_str(&ended.text);
            ended.text = ended.text.trim().to_owned();
            parent.children.push(ended);
        }
        None if root.is_some() => return Err("a second root element".into()),
        None => *root = Some(ended),
    }
    Ok(())
}

fn add_text(text: &str, open: &mut [Element]) -> Result<(), String> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err("text outside the root element".into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> u32 {
        parse(body.as_bytes()).unwrap_err().code
    }

    #[test]
    fn a_document_becomes_a_tree() {
        let verbs = parse(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response>\n\
             <Gather input=\"dtmf speech\" action=\"/m?a=1&amp;b=2\"><Say>Für &lt;Sie&gt;: \
             <emphasis>eins</emphasis> &#38; zwei</Say></Gather><Hangup/></Response>"
                .as_bytes(),
        )
        .unwrap();
        assert_eq!(verbs.len(), 2);
        assert_eq!(verbs[0].attribute("action"), Some("/m?a=1&b=2"));
        assert_eq!(verbs[0].children[0].text, "Für <Sie>: eins & zwei");
        assert_eq!(warnings(&verbs), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_document_is_named_by_its_number() {
        assert_eq!(code("  \n"), 11770);
        assert_eq!(code("\u{feff}<Response/>"), 12100);
        assert_eq!(code("\n<?xml version=\"1.0\"?><Response/>"), 12100);
        assert_eq!(code("<Response><Say>a & b</Say></Response>"), 12100);
        assert_eq!(code("<Response><Say>a</Response>"), 12100);
        assert_eq!(code("<Response>"), 12100);
        assert_eq!(code("<html/>"), 12100);
        assert_eq!(code(&format!("<Response>{}", " ".repeat(65_536))), 11750);
        assert_eq!(parse(b"<Response/>"), Ok(Vec::new()));
    }

    #[test]
    fn unknown_verbs_attributes_and_places_are_warned_of() {
        for wrong in [
            "<Response><say>a</say></Response>",
            "<Response><Say Voice=\"man\">a</Say></Response>",
            "<Response><Gather><Dial>+493023125100</Dial></Gather></Response>",
            "<Response><Number>+493023125100</Number></Response>",
            "<Response><Dial timeout=\"20\"><Sip usernam=\"x\">sip:a@example.com</Sip></Dial></Response>",
        ] {
            let verbs = parse(wrong.as_bytes()).unwrap();
            assert_eq!(warnings(&verbs).len(), 1, "{wrong}");
        }
    }
}
