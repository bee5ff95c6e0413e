//! Tables, JSON and CSV on stdout.

use std::io::{self, BufWriter, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::cli::arguments::ListFormat;
use crate::cli::failure::Failure;

/// Returns stdout, buffered.
pub fn stdout() -> BufWriter<io::StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
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

/// Prints a list.
pub fn print_list<T: Row>(rows: &[T], format: ListFormat) -> Result<(), Failure> {
    let mut out = stdout();
    match format {
        ListFormat::Table if rows.is_empty() => writeln!(out, "nothing to list")?,
        ListFormat::Table => writeln!(
            out,
            "{}",
            table(T::TABLE_HEADINGS, rows.iter().map(Row::table_cells))
        )?,
        ListFormat::Json => {
            serde_json::to_writer_pretty(&mut out, rows)?;
            writeln!(out)?;
        }
        ListFormat::Ndjson => {
            for row in rows {
                serde_json::to_writer(&mut out, row)?;
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
                writer.write_record(row.cells())?;
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
        table.add_row(row);
    }
    table.trim_fmt()
}
