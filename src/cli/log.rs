//! Log lines, sent to stderr.

use std::io::{self, Write};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::plain::is_steering;

/// Writes from now on the lines that `targets` let through.
pub fn start(targets: Targets, colour: bool) {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(|| Lines(io::stderr()))
        .with_ansi(colour)
        .with_target(false)
        .finish()
        .with(targets)
        .init();
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
