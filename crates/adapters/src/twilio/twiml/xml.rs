//! Elements and attributes as text. Escaping is the library's.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::TwimlError;
use super::text::clean;

/// Attributes: `None` is left out.
pub(super) type Attributes<'a> = [(&'a str, Option<String>)];

/// Longest URL that is written, in bytes.
const MAX_URL: usize = 2_000;

pub(super) struct Xml {
    writer: Writer<Vec<u8>>,
    /// There is no document that relative URLs could be relative to.
    absolute: bool,
}

impl Xml {
    /// Begins with the declaration: nothing may stand before it (12100).
    pub(super) fn new(absolute: bool) -> Self {
        let mut xml = Self {
            writer: Writer::new(Vec::with_capacity(1024)),
            absolute,
        };
        xml.write(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        xml
    }

    fn write(&mut self, event: Event<'_>) {
        self.writer
            .write_event(event)
            .expect("a Vec takes everything");
    }

    fn start<'a>(name: &'a str, attributes: &Attributes<'_>) -> BytesStart<'a> {
        let mut start = BytesStart::new(name);
        for (name, value) in attributes {
            if let Some(value) = value {
                start.push_attribute((*name, clean(value).as_str()));
            }
        }
        start
    }

    pub(super) fn open(&mut self, name: &str, attributes: &Attributes<'_>) {
        self.write(Event::Start(Self::start(name, attributes)));
    }

    pub(super) fn close(&mut self, name: &str) {
        self.write(Event::End(BytesEnd::new(name)));
    }

    pub(super) fn empty(&mut self, name: &str, attributes: &Attributes<'_>) {
        self.write(Event::Empty(Self::start(name, attributes)));
    }

    /// An element that holds nothing but text.
    pub(super) fn element(&mut self, name: &str, attributes: &Attributes<'_>, text: &str) {
        self.open(name, attributes);
        self.write(Event::Text(BytesText::new(&clean(text))));
        self.close(name);
    }

    /// Checks a URL Twilio is to call: absolute by http or https, or relative where there is a
    /// document it is relative to.
    pub(super) fn url(&self, what: &'static str, url: &str) -> Result<String, TwimlError> {
        let error = |problem| TwimlError::Url { what, problem };
        if url.is_empty() || url.len() > MAX_URL {
            return Err(error("it is empty or longer than 2000 characters"));
        }
        if !url.chars().all(|c| c.is_ascii_graphic()) {
            return Err(error(
                "it holds spaces or characters that need percent encoding",
            ));
        }
        match url::Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => Ok(url.to_owned()),
            Ok(_) => Err(error("its scheme is neither http nor https")),
            Err(url::ParseError::RelativeUrlWithoutBase) if !self.absolute => Ok(url.to_owned()),
            Err(url::ParseError::RelativeUrlWithoutBase) => Err(error(
                "it is relative, but the document is sent over REST and has no URL of its own",
            )),
            Err(_) => Err(error("it cannot be read")),
        }
    }

    /// The same for a URL that may be absent.
    pub(super) fn optional_url(
        &self,
        what: &'static str,
        url: Option<&String>,
    ) -> Result<Option<String>, TwimlError> {
        url.map(|url| self.url(what, url)).transpose()
    }

    pub(super) fn finish(self) -> String {
        String::from_utf8(self.writer.into_inner()).expect("made of text")
    }
}
