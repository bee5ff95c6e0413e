//! Tables, JSON and CSV on stdout.

use std::io::{self, BufWriter, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::cli::arguments::ListFormat;
use crate::cli::failure::Failure;
use crate::cli::plain::{is_steering, plain};

/// Returns stdout, buffered.
pub fn stdout() -> BufWriter<io::StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Writes JSON in which nothing steers a terminal: the same values, with more of them escaped than RFC 8259 §7 asks.
struct Escaped<F>(F);

impl<F: serde_json::ser::Formatter> serde_json::ser::Formatter for Escaped<F> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_steering) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut characters = from.chars();
            // RFC 8259 §7: what lies beyond the first 65,536 characters is escaped as a surrogate pair.
            let mut units = [0; 2];
            for unit in characters
                .next()
                .map_or(&[][..], |it| it.encode_utf16(&mut units))
            {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// Writes a value as JSON over several lines.
pub fn write_json_pretty(out: &mut impl Write, value: &impl Serialize) -> Result<(), Failure> {
    let formatter = Escaped(serde_json::ser::PrettyFormatter::new());
    let mut writer = serde_json::Serializer::with_formatter(out, formatter);
    Ok(value.serialize(&mut writer)?)
}

/// Writes a value as JSON on one line, without its end.
pub fn write_json(out: &mut impl Write, value: &impl Serialize) -> Result<(), Failure> {
    let formatter = Escaped(serde_json::ser::CompactFormatter);
    let mut writer = serde_json::Serializer::with_formatter(out, formatter);
    Ok(value.serialize(&mut writer)?)
}

/// A row of a list.
pub trait Row: Serialize {
    /// The headings of CSV: everything.
    const HEADINGS: &'static [&'static str];
    /// The headings of the table: what fits 80 columns.
    const TABLE_HEADINGS: &'static [&'static str];

    /// Returns the row's cells, one for each of [`Row::HEADINGS`].
    fn cells(&self) -> Vec<String>;

    /// Returns the row's cells, one for each of [`Row::TABLE_HEADINGS`].
    fn table_cells(&self) -> Vec<String>;
}

/// Prints a list; people read `nothing` if there is no row.
pub fn print_list<T: Row>(rows: &[T], format: ListFormat, nothing: &str) -> Result<(), Failure> {
    let mut out = stdout();
    match format {
        ListFormat::Table if rows.is_empty() => writeln!(out, "{nothing}")?,
        ListFormat::Table => writeln!(
            out,
            "{}",
            table(T::TABLE_HEADINGS, rows.iter().map(Row::table_cells))
        )?,
        ListFormat::Json => {
            write_json_pretty(&mut out, &rows)?;
            writeln!(out)?;
        }
        ListFormat::Ndjson => {
            for row in rows {
                write_json(&mut out, row)?;
                writeln!(out)?;
            }
        }
        ListFormat::Csv => {
            let mut writer = csv::Writer::from_writer(&mut out);
            writer.write_record(
                T::HEADINGS
                    .iter()
                    .map(|heading| heading.to_lowercase().replace(' ', "_")),
            )?;
            for row in rows {
                // A cell may hold what others wrote, and CSV has no escapes: shown on a terminal it would steer
                // that.
                writer.write_record(row.cells().iter().map(|cell| plain(cell).into_owned()))?;
            }
            writer.flush()?;
        }
    }
    Ok(out.flush()?)
}

/// Lays out a table without borders, wrapped to the terminal's width.
pub fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    // As ls and others: who sets COLUMNS wants that width, terminal or not.
    let columns = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.parse().ok());
    if let Some(columns) = columns.filter(|columns| *columns > 20) {
        table.set_width(columns);
    }
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell).into_owned()));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_others_wrote_steers_a_terminal() {
        let text = "a\u{1b}[2J\u{7}\u{9b}1m\r\u{202e}ö\nb";
        assert_eq!(plain(text), "a\\u{1b}[2J\\u{7}\\u{9b}1m\\u{d}\\u{202e}ö\nb");
        let table = table(&["words"], [vec![text.to_owned()]].into_iter());
        assert!(
            !table.contains(|it: char| is_steering(it) && it != '\n'),
            "{table:?}"
        );
        let mut json = Vec::new();
        write_json(&mut json, &text).expect("written");
        let json = String::from_utf8(json).expect("text");
        assert!(!json.contains(is_steering), "{json:?}");
        let read: String = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read, text, "the value is the same");
    }
}
