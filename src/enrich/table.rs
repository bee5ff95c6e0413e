//! Tables in CSV, as others write them: quoted fields, a heading or none, comments that begin with `#`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::file;
use crate::time::{Timestamp, timestamp_of};

/// The most octets of a file.
pub(super) const OCTETS_MAX: u64 = 4 << 30;

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be read, or holds nothing.
    #[error("{path}: {fault}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
    /// A row is not what the table holds.
    #[error("{path}, line {line}: {what}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// What a table that is in use holds, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableSummary {
    /// How many rows count.
    pub rows: usize,
    /// What a row is, in the plural.
    pub unit: &'static str,
    /// When it was made: as it says itself, else when its file was written.
    pub made_at: Option<Timestamp>,
    /// What is sound and hardly meant, a sentence each.
    pub notes: Vec<String>,
}

/// A column, by its own name and those that others give it. The names are in lower case.
pub(super) struct Column(pub &'static [&'static str]);

/// How the rows of a table are laid out: the columns in their order where there is no heading, of which the
/// first `needed` must be there.
pub(super) struct Layout {
    pub columns: &'static [Column],
    pub needed: usize,
}

/// Where the columns of a layout are in a row; `None` for one that is not there.
pub(super) type ColumnNumbers = Vec<Option<usize>>;

/// Returns an error about a whole file.
pub(super) fn unreadable(path: &Path, fault: impl ToString) -> TableError {
    TableError::Unreadable {
        path: path.to_owned(),
        fault: fault.to_string(),
    }
}

/// Reads a file of text.
pub(super) fn read_text(path: &Path) -> Result<String, TableError> {
    let octets = file::read(path, OCTETS_MAX).map_err(|fault| unreadable(path, fault))?;
    String::from_utf8(octets).map_err(|fault| {
        let good = fault.utf8_error().valid_up_to();
        let before = fault.as_bytes().get(..good).unwrap_or_default();
        TableError::Line {
            path: path.to_owned(),
            line: before.iter().filter(|octet| **octet == b'\n').count() as u64 + 1,
            what: "is not UTF-8".to_owned(),
        }
    })
}

/// Returns when a file was written.
pub(super) fn written_at(path: &Path) -> Option<Timestamp> {
    let written = fs::metadata(path).and_then(|meta| meta.modified());
    written.ok().map(timestamp_of)
}

/// Returns the comments of a text, without their `#`.
pub(super) fn comments(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| line.trim_start().strip_prefix('#'))
        .map(str::trim)
}

/// Returns a reader of CSV.
pub(super) fn reader(text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        // Rows may leave optional columns out at their end; too many fields are refused where the row is read.
        .flexible(true)
        .comment(Some(b'#'))
        .buffer_capacity(512)
        .from_reader(text.as_bytes())
}

/// Calls `each` with every row, where its columns are, and where it begins.
///
/// The first row is a heading where it names every column that is needed. A row with a quote that is not closed,
/// or that does not begin right after its comma, is refused: its commas would not be where they seem to be.
pub(super) fn each_row(
    path: &Path,
    text: &str,
    layouts: &[Layout],
    mut each: impl FnMut(&csv::StringRecord, &ColumnNumbers, u64) -> Result<(), String>,
) -> Result<ColumnNumbers, TableError> {
    let mut reader = reader(text);
    let usual = &layouts[0];
    let mut places: ColumnNumbers = (0..usual.columns.len()).map(Some).collect();
    let mut width_max = usual.columns.len();
    let mut row = csv::StringRecord::new();
    let mut is_first = true;
    while reader
        .read_record(&mut row)
        .map_err(|fault| unreadable(path, fault))?
    {
        let position = row.position().cloned().unwrap_or_else(csv::Position::new);
        // Blank lines and comments in front of a row count to its beginning, not to its line.
        let skipped = skipped_lines(text, position.byte());
        let line = |what: String| TableError::Line {
            path: path.to_owned(),
            line: position.line() + skipped,
            what,
        };
        if row.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        if is_first {
            is_first = false;
            if let Some(found) = layouts.iter().find_map(|layout| heading(&row, layout)) {
                (places, width_max) = (found, row.len());
                continue;
            }
        }
        check_quotes(&row).map_err(line)?;
        if row.len() > width_max {
            let what = format!(
                "{} fields where there are {width_max} at most; put a field with a comma in quotes",
                row.len()
            );
            return Err(line(what));
        }
        each(&row, &places, position.byte()).map_err(|what| match position.record() {
            0 => line(format!(
                "{what}; nor is it a heading, which names {}",
                names(usual)
            )),
            _ => line(what),
        })?;
    }
    Ok(places)
}

/// Returns how many blank lines and comments follow a place in a text.
fn skipped_lines(text: &str, at: u64) -> u64 {
    let rest = text.get(at as usize..).unwrap_or_default();
    let is_skipped = |line: &&str| line.trim().is_empty() || line.starts_with('#');
    rest.lines().take_while(is_skipped).count() as u64
}

/// Returns where the columns of a layout are, if a row names all that are needed.
fn heading(row: &csv::StringRecord, layout: &Layout) -> Option<ColumnNumbers> {
    let folded = |field: &str| {
        field
            .trim()
            // The mark of UTF-8, as spreadsheets write it in front.
            .trim_start_matches('\u{feff}')
            .to_ascii_lowercase()
            .replace(['-', ' '], "_")
    };
    let named: Vec<String> = row.iter().map(folded).collect();
    let find = |column: &Column| {
        named
            .iter()
            .position(|name| column.0.contains(&name.as_str()))
    };
    let places: ColumnNumbers = layout.columns.iter().map(find).collect();
    places[..layout.needed]
        .iter()
        .all(Option::is_some)
        .then_some(places)
}

/// Refuses rows whose quotes are not where CSV has them.
fn check_quotes(row: &csv::StringRecord) -> Result<(), String> {
    for field in row {
        if field.contains('\n') {
            return Err("a field that goes on in the next line: is a quote not closed?".to_owned());
        }
        let trimmed = field.trim_start();
        if trimmed.len() < field.len() && trimmed.starts_with('"') {
            return Err(format!("{trimmed:?}: a quote begins right after its comma"));
        }
    }
    Ok(())
}

/// Returns the names of the columns that a layout needs.
fn names(layout: &Layout) -> String {
    let names: Vec<&str> = layout.columns[..layout.needed]
        .iter()
        .map(|column| column.0[0])
        .collect();
    names.join(", ")
}

/// Returns a field that is not empty.
pub(super) fn field<'r>(
    row: &'r csv::StringRecord,
    places: &ColumnNumbers,
    column: usize,
) -> Option<&'r str> {
    let field = row.get((*places.get(column)?)?)?;
    Some(field.trim().trim_start_matches('\u{feff}')).filter(|field| !field.is_empty())
}

/// Parses the number of an autonomous system, `AS` in front or not.
pub(super) fn parse_asn(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as"));
    digits.unwrap_or(text).trim().parse().ok()
}
