//! Log lines, sent to stderr. What writes them is made when there is one: most commands have none, and it takes room for
//! the spans of 4,096 threads.

use std::sync::OnceLock;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Subscriber;
use tracing::{Event, Metadata};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// Chooses which lines are written.
pub struct Log {
    targets: Targets,
    colour: bool,
    lines: OnceLock<Box<dyn Subscriber + Send + Sync>>,
}

impl Log {
    /// Begins to take what `targets` let through.
    pub fn start(targets: Targets, colour: bool) {
        let log = Self {
            targets,
            colour,
            lines: OnceLock::new(),
        };
        tracing::subscriber::set_global_default(log).expect("nobody else begins a log");
    }

    /// Returns what writes the lines.
    fn lines(&self) -> &(dyn Subscriber + Send + Sync) {
        self.lines.get_or_init(|| {
            let lines = tracing_subscriber::fmt()
                .with_max_level(LevelFilter::TRACE)
                .with_writer(std::io::stderr)
                .with_ansi(self.colour)
                .with_target(false)
                .finish();
            Box::new(lines)
        })
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.targets
            .would_enable(metadata.target(), metadata.level())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.targets
            .iter()
            .map(|(_, level)| level)
            .chain(self.targets.default_level())
            .max()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.lines().new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.lines().record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.lines().record_follows_from(span, follows);
    }

    fn event(&self, event: &Event<'_>) {
        self.lines().event(event);
    }

    fn enter(&self, span: &Id) {
        self.lines().enter(span);
    }

    fn exit(&self, span: &Id) {
        self.lines().exit(span);
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.lines().clone_span(span)
    }

    fn try_close(&self, span: Id) -> bool {
        self.lines().try_close(span)
    }
}
