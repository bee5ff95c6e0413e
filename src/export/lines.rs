//! Files of lines: JSON and CSV, compressed.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::dns::{Name, RecordType, Serial};
use crate::export::RowFile;
use crate::store::{MoveRow, View};
use crate::time::Timestamp;

/// zstd's level: its default.
const LEVEL: i32 = 3;

/// A row as a line. The names and the order of the columns are those of [`super::columns`].
#[derive(Serialize)]
struct Line<'a> {
    changed_at: Timestamp,
    version: i64,
    zone: &'a Name,
    view: View,
    rrname: &'a Name,
    rrtype: RecordType,
    rdata: String,
    ttl: u32,
    op: &'static str,
    serial: Option<Serial>,
    source: &'a str,
    bulk: bool,
    drift: bool,
}

impl<'a> From<&'a MoveRow<'a>> for Line<'a> {
    fn from(row: &'a MoveRow<'a>) -> Self {
        Self {
            changed_at: row.at,
            version: row.version,
            zone: row.zone,
            view: row.view,
            rrname: row.owner,
            rrtype: row.rdata.rtype(),
            rdata: row.rdata.to_string(),
            ttl: row.ttl,
            op: row.kind.word(),
            serial: row.serial,
            source: row.source,
            bulk: row.bulk,
            drift: row.drift,
        }
    }
}

/// What compresses a file.
type Compressor = zstd::Encoder<'static, BufWriter<File>>;

/// Begins a compressed file.
fn compress(file: File) -> io::Result<Compressor> {
    Compressor::new(BufWriter::new(file), LEVEL)
}

/// Ends a compressed file.
fn end(compressor: Compressor) -> io::Result<File> {
    let buffer = compressor.finish()?;
    buffer.into_inner().map_err(io::IntoInnerError::into_error)
}

/// A JSON object a line.
pub(super) struct JsonFile(Compressor);

impl JsonFile {
    /// Begins the file.
    pub fn new(file: File) -> io::Result<Self> {
        Ok(Self(compress(file)?))
    }
}

impl RowFile for JsonFile {
    fn take(&mut self, row: &MoveRow<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, &Line::from(row))?;
        self.0.write_all(b"\n")
    }

    fn finish(self: Box<Self>) -> io::Result<File> {
        end(self.0)
    }
}

/// CSV with a heading.
pub(super) struct CsvFile(csv::Writer<Compressor>);

impl CsvFile {
    /// Begins the file.
    pub fn new(file: File) -> io::Result<Self> {
        Ok(Self(csv::Writer::from_writer(compress(file)?)))
    }
}

impl RowFile for CsvFile {
    fn take(&mut self, row: &MoveRow<'_>) -> io::Result<()> {
        self.0.serialize(Line::from(row)).map_err(io::Error::other)
    }

    fn finish(self: Box<Self>) -> io::Result<File> {
        let writer = self.0;
        end(writer
            .into_inner()
            .map_err(csv::IntoInnerError::into_error)?)
    }
}
