//! Log lines, sent to stderr. What writes them is made when there is one: most commands have none, and it takes room for
//! the spans of 4,096 threads.

use std::io::{self, Write};
use std::sync::OnceLock;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Subscriber;
use tracing::{Event, Metadata};
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::cli::output::is_steering;

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
                .with_writer(|| Lines(io::stderr()))
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

/// Writes log lines so that nothing in one of them looks like another line: what other machines say may hold ends of
/// lines. The library escapes what steers a terminal (C0 and C1), but neither those nor the direction of writing.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write_all(plain_event(octets).as_bytes())?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns the octets of one event, which ends with its line: lines behind the first are indented.
fn plain_event(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let (text, end) = match text.strip_suffix('\n') {
        Some(text) => (text, "\n"),
        None => (&*text, ""),
    };
    let mut event = String::with_capacity(octets.len());
    for character in text.chars() {
        match character {
            '\n' => event.push_str("\n    "),
            // The colours of the line itself; others are escaped before.
            '\u{1b}' | '\t' => event.push(character),
            _ if is_steering(character) => event.extend(character.escape_unicode()),
            _ => event.push(character),
        }
    }
    event + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_cannot_look_like_another_one() {
        let said = "WARN refused: a\r\n2026-11-28T00:00:00Z ERROR forged\u{202e}\n";
        assert_eq!(
            plain_event(said.as_bytes()),
            "WARN refused: a\\u{d}\n    2026-11-28T00:00:00Z ERROR forged\\u{202e}\n"
        );
        assert_eq!(plain_event("one line\n".as_bytes()), "one line\n");
    }
}
