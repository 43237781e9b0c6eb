//! From `tracing` events to records. Formats in the caller's thread, waits for nothing.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::Shared;
use super::queue::Record;

/// The crates whose events are logged at every level; of all others, warnings and errors.
const OURS: [&str; 4] = ["xbeat", "cluster", "reflex", "ebpf"];
/// The target of events that came through the `log` crate; their own is in a field.
const LOG_TARGET: &str = "log";

pub(super) struct QueueLayer {
    shared: Arc<Shared>,
}

impl QueueLayer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl<S: Subscriber> Layer<S> for QueueLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.shared.level()))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = *event.metadata().level();
        let foreign = text.log_target.as_deref().is_some_and(|target| !is_ours(target));
        if foreign && level > Level::WARN {
            return;
        }
        self.shared.queue.push(Record { time: SystemTime::now(), level, text: text.message + &text.fields });
    }
}

impl QueueLayer {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let level = *metadata.level();
        level <= self.shared.level() && (level <= Level::WARN || target == LOG_TARGET || is_ours(target))
    }
}

fn is_ours(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or(target);
    OURS.contains(&name)
}

/// An event's message, then its fields as `name=value`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
    log_target: Option<String>,
}

impl Text {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a String cannot fail, whatever a Debug or Display implementation returns is its own loss.
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            "log.target" => {
                self.log_target = Some(value.to_string());
                Ok(())
            }
            name if name.starts_with("log.") => Ok(()),
            name => write!(self.fields, " {name}={value}"),
        };
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    /// With the whole chain of causes.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut chain = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            chain += &format!(": {error}");
            cause = error.source();
        }
        self.add(field, format_args!("{chain}"));
    }
}
