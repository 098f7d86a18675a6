//! Every log line of our own crates, whatever its level, with all its fields and spans.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// The lines so far.
#[derive(Clone)]
pub struct Capture {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Sender<usize>,
}

impl Capture {
    /// From now on everything in this process is captured.
    pub fn install() -> Self {
        let capture = Self {
            lines: Arc::default(),
            count: watch::Sender::new(0),
        };
        let subscriber = tracing_subscriber::registry().with(capture.clone());
        tracing::subscriber::set_global_default(subscriber)
            .expect("nothing else in this process takes the log");
        capture
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until a line holds this text.
    pub async fn wait_for(&self, text: &str, within: Duration) {
        let mut count = self.count.subscribe();
        let found = tokio::time::timeout(within, async {
            loop {
                count.borrow_and_update();
                if self.lines().iter().any(|line| line.contains(text)) {
                    return;
                }
                count.changed().await.expect("the capture lives on");
            }
        });
        assert!(
            found.await.is_ok(),
            "no line with {text:?} within {within:?}:\n{}",
            self.lines().join("\n")
        );
    }

    fn push(&self, metadata: &Metadata<'_>, fields: Fields) {
        let line = format!("{} {}{}", metadata.level(), metadata.target(), fields.0);
        let count = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(line);
            lines.len()
        };
        self.count.send_replace(count);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with("switchhook")
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        self.push(attributes.metadata(), fields);
    }

    fn on_record(&self, span: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(metadata) = context.metadata(span) {
            self.push(metadata, fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.push(event.metadata(), fields);
    }
}

#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, " {}={value}", field.name()).expect("a String takes everything");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).expect("a String takes everything");
    }
}
