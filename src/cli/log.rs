//! Log lines, sent to stderr: as text, or as JSON ([log] format); with priorities where stderr is systemd's journal.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::field::{Field, Visit};
use tracing::{Level, Metadata};
use tracing_subscriber::Layer;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{Targets, dynamic_filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, MakeWriter, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::plain::{is_steering, plain};
use crate::config::LogFormat;

/// The fields that the sentence of a line does not say, beside the times in milliseconds. JSON has all fields.
const BESIDE: [&str; 4] = ["source", "reason", "serial", "hash"];
/// The end of the names of times in milliseconds.
const TIMES: &str = "_ms";

/// Whether lines are JSON: known once the configuration was read.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Writes from now on the lines that `targets` let through.
pub fn start(targets: Targets, colour: bool) {
    let has_priorities = is_journal();
    let to = |is_json| Stderr {
        has_priorities,
        is_json,
    };
    let text = layer()
        .fmt_fields(Brief)
        .with_writer(to(false))
        .with_ansi(colour)
        .with_target(false);
    // The journal has its own time of each line.
    let text = if has_priorities {
        text.without_time().boxed()
    } else {
        text.boxed()
    };
    let json = layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(to(true));
    tracing_subscriber::registry()
        // Both, one of them silent: the log has begun when the configuration says which format is wanted.
        .with(text.with_filter(dynamic_filter_fn(|_, _| !IS_JSON.load(Ordering::Relaxed))))
        .with(json.with_filter(dynamic_filter_fn(|_, _| IS_JSON.load(Ordering::Relaxed))))
        .with(targets)
        .init();
}

/// Writes lines in a format from now on.
pub fn use_format(format: LogFormat) {
    IS_JSON.store(format == LogFormat::Json, Ordering::Relaxed);
}

/// Returns a sentence that ends the program as it is written to stderr: with its priority in the journal.
pub fn last_words(sentence: &str) -> String {
    if is_journal() {
        format!("<3>{}", sentence.replace('\n', "\n<3>"))
    } else {
        sentence.to_owned()
    }
}

/// Returns whether stderr is systemd's journal: `JOURNAL_STREAM` names its device and inode (systemd.exec(5)).
fn is_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let Some((device, inode)) = stream.split_once(':') else {
        return false;
    };
    let stderr = io::stderr();
    let same = stderr
        .as_fd()
        .try_clone_to_owned()
        .and_then(|it| File::from(it).metadata());
    // Compared, since a program that was started with its stderr elsewhere inherits the variable, too.
    same.is_ok_and(|it| device == it.dev().to_string() && inode == it.ino().to_string())
}

/// Returns the priority of a level, as syslog and the journal count.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Writes the sentence of a line, and the fields that it does not say.
struct Brief;

impl<'w> FormatFields<'w> for Brief {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = BriefLine {
            writer,
            done: Ok(()),
        };
        fields.record(&mut line);
        line.done
    }
}

/// A line that is being written.
struct BriefLine<'w> {
    writer: Writer<'w>,
    done: fmt::Result,
}

impl BriefLine<'_> {
    /// Writes a field, if it is one of those that are written.
    fn write(&mut self, name: &str, value: &str) {
        let text = match name {
            "message" => plain(value).into_owned(),
            _ if BESIDE.contains(&name) || name.ends_with(TIMES) => {
                format!(" {name}={}", plain(value))
            }
            _ => return,
        };
        if self.done.is_ok() {
            self.done = self.writer.write_str(&text);
        }
    }
}

impl Visit for BriefLine<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field.name(), &format!("{value:?}"));
    }
}

/// Makes what writes one line.
struct Stderr {
    has_priorities: bool,
    is_json: bool,
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Lines<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Lines {
            out: io::stderr(),
            priority: None,
            is_json: self.is_json,
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        Lines {
            priority: self.has_priorities.then(|| priority(*meta.level())),
            ..self.make_writer()
        }
    }
}

/// Writes log lines so that nothing in one of them looks like another line: what other machines say may hold ends of
/// lines. The library escapes what steers a terminal (C0 and C1), but neither those nor the direction of writing.
struct Lines<W> {
    out: W,
    priority: Option<u8>,
    is_json: bool,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(octets);
        let start = self.priority.map_or(String::new(), |it| format!("<{it}>"));
        let event = if self.is_json {
            start + &plain_json(&text)
        } else {
            plain_event(&text, &start)
        };
        self.out.write_all(event.as_bytes())?;
        // What was taken: escaped it may be longer.
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Returns an event, which ends with its line, with `start` before each line: those behind the first are indented.
fn plain_event(text: &str, start: &str) -> String {
    let (text, end) = match text.strip_suffix('\n') {
        Some(text) => (text, "\n"),
        None => (text, ""),
    };
    let mut event = start.to_owned();
    for character in text.chars() {
        match character {
            '\n' => {
                event.push('\n');
                event.push_str(start);
                event.push_str("    ");
            }
            // The colours of the line itself; others are escaped before.
            '\u{1b}' | '\t' => event.push(character),
            _ if is_steering(character) => event.extend(character.escape_unicode()),
            _ => event.push(character),
        }
    }
    event + end
}

/// Returns an event in JSON, whose strings hold nothing that steers a terminal: JSON's own escapes stand for it.
fn plain_json(text: &str) -> String {
    let mut event = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            _ if is_steering(character) && character != '\n' => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    event.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => event.push(character),
        }
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_cannot_look_like_another_one() {
        let said = "WARN refused: a\r\n2026-11-28T00:00:00Z ERROR forged\u{202e}\n";
        assert_eq!(
            plain_event(said, ""),
            "WARN refused: a\\u{d}\n    2026-11-28T00:00:00Z ERROR forged\\u{202e}\n"
        );
        assert_eq!(plain_event("one line\n", "<6>"), "<6>one line\n");
        assert_eq!(
            plain_event("two\n<0>lines\n", "<4>"),
            "<4>two\n<4>    <0>lines\n"
        );
    }

    #[test]
    fn event_in_json_stays_json() {
        let event = plain_json("{\"message\":\"a\u{202e}b\"}\n");
        assert_eq!(event, "{\"message\":\"a\\u202eb\"}\n");
        let read: serde_json::Value = serde_json::from_str(&event).expect("JSON");
        assert_eq!(read["message"], "a\u{202e}b");
    }
}
