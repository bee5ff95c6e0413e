//! Writes history for the engines of analysts: a file a day, in folders that DuckDB, ClickHouse and Spark
//! read as one table (`day=2026-11-22/changes.parquet`).
//!
//! A day's file is written under a temporary name in its folder and then takes the place of the one before,
//! so that a reader never meets half a file, and a day can be exported again.

mod columns;
mod lines;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::store::{MoveRow, StoreError};
use crate::time::{Span, Timestamp};

use columns::ParquetFile;
use lines::{CsvFile, JsonFile};

/// How a day's file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// Apache Parquet, columns compressed with zstd.
    Parquet,
    /// A JSON object a line, compressed with zstd.
    Ndjson,
    /// CSV with a heading (RFC 4180), compressed with zstd.
    Csv,
}

impl ExportFormat {
    /// Returns the name of a day's file.
    fn file_name(self) -> &'static str {
        match self {
            Self::Parquet => "changes.parquet",
            Self::Ndjson => "changes.ndjson.zst",
            Self::Csv => "changes.csv.zst",
        }
    }
}

/// Why nothing more was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder, or a file in it.
    #[error("{path}: {fault}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the machine said.
        fault: io::Error,
    },
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Files, one a day.
    pub days: u64,
    /// Rows in them.
    pub rows: u64,
}

/// A file that takes rows.
trait RowFile {
    /// Takes a row.
    fn take(&mut self, row: &MoveRow<'_>) -> io::Result<()>;
    /// Ends the file and returns it.
    fn finish(self: Box<Self>) -> io::Result<File>;
}

/// Writes rows, which come in the order of time, into a folder.
pub struct DayWriter {
    folder: PathBuf,
    format: ExportFormat,
    day: Option<Day>,
    exported: Exported,
}

/// The day that is being written.
struct Day {
    begins: Timestamp,
    path: PathBuf,
    temporary: NamedTempFile,
    file: Box<dyn RowFile>,
}

impl DayWriter {
    /// Makes the folder, if it is not there.
    pub fn new(folder: &Path, format: ExportFormat) -> Result<Self, ExportError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            format,
            day: None,
            exported: Exported::default(),
        })
    }

    /// Takes a row; it is not from a day before that of the last.
    pub fn take(&mut self, row: &MoveRow<'_>) -> Result<(), ExportError> {
        let begins = row.at.start_of_day();
        if self.day.as_ref().is_none_or(|day| day.begins != begins) {
            // Rows come in the order of time, so that a new day ends the one before; one file is open at a time.
            self.end_day()?;
            self.day = Some(self.begin_day(begins)?);
        }
        let day = self.day.as_mut().expect("it was just begun");
        day.file.take(row).map_err(at(&day.path))?;
        self.exported.rows += 1;
        Ok(())
    }

    /// Ends the last day.
    pub fn finish(mut self) -> Result<Exported, ExportError> {
        self.end_day()?;
        Ok(self.exported)
    }

    /// Begins a day's file.
    fn begin_day(&self, begins: Timestamp) -> Result<Day, ExportError> {
        let folder = self.folder.join(format!("day={}", begins.to_date()));
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        let path = folder.join(self.format.file_name());
        // A name with a dot in front is passed over by whoever reads the folder.
        let temporary = tempfile::Builder::new()
            .prefix(".changes-")
            .tempfile_in(&folder)
            .map_err(at(&folder))?;
        let begin = || -> io::Result<Box<dyn RowFile>> {
            let file = temporary.reopen()?;
            Ok(match self.format {
                ExportFormat::Parquet => Box::new(ParquetFile::new(file)?),
                ExportFormat::Ndjson => Box::new(JsonFile::new(file)?),
                ExportFormat::Csv => Box::new(CsvFile::new(file)?),
            })
        };
        let file = begin().map_err(at(&path))?;
        Ok(Day {
            begins,
            path,
            temporary,
            file,
        })
    }

    /// Ends the day that is being written, if there is one.
    fn end_day(&mut self) -> Result<(), ExportError> {
        let Some(day) = self.day.take() else {
            return Ok(());
        };
        let path = day.path;
        let end = || -> io::Result<()> {
            // Before the rename: a file that is there under its name is whole, also after the power failed.
            day.file.finish()?.sync_all()?;
            day.temporary.persist(&path).map_err(|fault| fault.error)?;
            Ok(())
        };
        end().map_err(at(&path))?;
        self.exported.days += 1;
        Ok(())
    }
}

/// Returns the whole days that a range of time touches: the first one's beginning, and the beginning of
/// the one after the last.
pub fn whole_days(
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> (Option<Timestamp>, Option<Timestamp>) {
    (
        since.map(Timestamp::start_of_day),
        until.map(|until| until.start_of_day() + Span::days(1)),
    )
}

/// Returns what makes a fault of a file.
fn at(path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_owned();
    move |fault| ExportError::Io { path, fault }
}
