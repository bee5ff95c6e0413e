//! `fluxwatch import rejected`: the lines that were set aside.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::arguments::ImportRejected;
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{Row, print_list};
use crate::cli::plain::is_steering;
use crate::cli::session::{load_config, open_to_look};
use crate::store::RejectedRow;
use crate::time::Timestamp;

/// How much of a line a table shows. Unit: characters.
const TABLE_LINE_LENGTH: usize = 160;

/// A line that was set aside, as scripts read it.
#[derive(Serialize)]
struct RejectedJson {
    source: String,
    line: u64,
    kind: String,
    reason: String,
    rejected_at: Timestamp,
    /// The line; what is no UTF-8 in it, and every control character, as `\xNN` or `\u{...}`.
    text: String,
}

impl Row for RejectedJson {
    const HEADINGS: &'static [&'static str] =
        &["source", "line", "kind", "reason", "rejected at", "text"];
    const TABLE_HEADINGS: &'static [&'static str] = &[
        "source",
        "line",
        "kind",
        "set aside (utc)",
        "reason and line",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.source.clone(),
            self.line.to_string(),
            self.kind.clone(),
            self.reason.clone(),
            self.rejected_at.to_string(),
            self.text.clone(),
        ]
    }

    fn table_cells(&self) -> Vec<String> {
        let mut text: String = self.text.chars().take(TABLE_LINE_LENGTH).collect();
        if text.len() < self.text.len() {
            text.push('…');
        }
        vec![
            self.source.clone(),
            self.line.to_string(),
            self.kind.clone(),
            self.rejected_at.to_minute(),
            format!("{}\n{text}", self.reason),
        ]
    }
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &ImportRejected) -> Result<Done, Failure> {
    let store = open_to_look(&load_config(config)?)?;
    if let Some(name) = &command.source
        && store.zones().source_kind(name)?.is_none()
    {
        return Err(Failure::failed(format!("history knows no source {name}"))
            .hint("`fluxwatch status` lists the sources"));
    }
    let rows = store
        .zones()
        .rejected_lines(command.source.as_deref(), command.limit)?;
    let rows: Vec<RejectedJson> = rows.into_iter().map(rejected_json).collect();
    print_list(&rows, command.format, "no line was set aside")?;
    if rows.len() == command.limit {
        writeln!(
            std::io::stderr(),
            "these are the newest {}; --limit COUNT shows more",
            rows.len()
        )?;
    }
    Ok(Done::Well)
}

/// Returns a line as scripts read it.
fn rejected_json(row: RejectedRow) -> RejectedJson {
    RejectedJson {
        source: row.source,
        line: row.line,
        kind: row.kind,
        reason: visible(row.reason.as_bytes()),
        rejected_at: row.rejected_at,
        text: visible(&row.octets),
    }
}

/// Returns octets as text that a terminal shows as it is: what is no UTF-8 as `\xNN`, and what moves the cursor or
/// the direction of writing as `\u{...}`.
fn visible(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_steering(character) {
                text.extend(character.escape_unicode());
            } else {
                text.push(character);
            }
        }
        for octet in chunk.invalid() {
            text.push_str(&format!("\\x{octet:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_steer_the_terminal() {
        assert_eq!(visible("bücher {\"a\":1}".as_bytes()), "bücher {\"a\":1}");
        assert_eq!(visible(b"a\x1b[2Jb\xff\tc"), "a\\u{1b}[2Jb\\xff\\u{9}c");
        assert_eq!(visible("a\u{202e}b\u{9b}".as_bytes()), "a\\u{202e}b\\u{9b}");
    }
}
