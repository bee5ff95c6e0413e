//! Files of columns: Apache Parquet.

use std::fs::File;
use std::io::{self, BufWriter};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::export::RowFile;
use crate::store::MoveRow;

/// How many rows are held before their columns are written. Bounds memory.
const ROWS_AT_A_TIME: usize = 100_000;

/// The columns. Numbers of 32 bits without a sign stand in 64 bits, which every engine reads.
const SCHEMA: &str = "message changes {
    required int64 changed_at (timestamp(micros, true));
    required int64 version;
    required binary zone (string);
    required binary view (string);
    required binary rrname (string);
    required binary rrtype (string);
    required binary rdata (string);
    required int64 ttl;
    required binary op (string);
    optional int64 serial;
    required binary source (string);
    required boolean bulk;
    required boolean drift;
}";

/// A Parquet file.
pub(super) struct ParquetFile {
    writer: SerializedFileWriter<BufWriter<File>>,
    rows: Rows,
}

/// Rows that wait, by columns.
#[derive(Default)]
struct Rows {
    at: Vec<i64>,
    version: Vec<i64>,
    zone: Vec<ByteArray>,
    view: Vec<ByteArray>,
    rrname: Vec<ByteArray>,
    rrtype: Vec<ByteArray>,
    rdata: Vec<ByteArray>,
    ttl: Vec<i64>,
    op: Vec<ByteArray>,
    /// The serials that are there, and for each row whether it has one.
    serial: (Vec<i64>, Vec<i16>),
    source: Vec<ByteArray>,
    bulk: Vec<bool>,
    drift: Vec<bool>,
}

impl ParquetFile {
    /// Begins the file.
    pub fn new(file: File) -> io::Result<Self> {
        let schema = parse_message_type(SCHEMA).expect("the schema is well-formed");
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("fluxwatch ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer =
            SerializedFileWriter::new(BufWriter::new(file), Arc::new(schema), Arc::new(properties));
        Ok(Self {
            writer: writer.map_err(fault)?,
            rows: Rows::default(),
        })
    }

    /// Writes the rows that wait as a row group.
    fn write(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.rows);
        if rows.at.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        /// Writes one column of a type.
        macro_rules! column {
            ($type:ty, $values:expr, $levels:expr) => {{
                let mut column = group
                    .next_column()?
                    .expect("the schema has as many columns as are written");
                column
                    .typed::<$type>()
                    .write_batch($values, $levels, None)?;
                column.close()?;
            }};
        }
        // In the order of the schema: the library hands out one column after another.
        column!(Int64Type, &rows.at, None);
        column!(Int64Type, &rows.version, None);
        column!(ByteArrayType, &rows.zone, None);
        column!(ByteArrayType, &rows.view, None);
        column!(ByteArrayType, &rows.rrname, None);
        column!(ByteArrayType, &rows.rrtype, None);
        column!(ByteArrayType, &rows.rdata, None);
        column!(Int64Type, &rows.ttl, None);
        column!(ByteArrayType, &rows.op, None);
        column!(Int64Type, &rows.serial.0, Some(&rows.serial.1));
        column!(ByteArrayType, &rows.source, None);
        column!(BoolType, &rows.bulk, None);
        column!(BoolType, &rows.drift, None);
        group.close()?;
        Ok(())
    }
}

impl RowFile for ParquetFile {
    fn take(&mut self, row: &MoveRow<'_>) -> io::Result<()> {
        let text = |text: &str| ByteArray::from(text.as_bytes().to_vec());
        let rows = &mut self.rows;
        rows.at.push(row.at.unix() * 1_000_000);
        rows.version.push(row.version);
        rows.zone.push(text(&row.zone.to_string()));
        rows.view.push(text(row.view.word()));
        rows.rrname.push(text(&row.owner.to_string()));
        rows.rrtype.push(text(row.rdata.rtype().mnemonic()));
        rows.rdata.push(text(&row.rdata.to_string()));
        rows.ttl.push(i64::from(row.ttl));
        rows.op.push(text(row.kind.word()));
        rows.serial
            .0
            .extend(row.serial.map(|serial| i64::from(serial.0)));
        // The level at which a value is defined: where it is 0 the column holds no value at all.
        rows.serial.1.push(i16::from(row.serial.is_some()));
        rows.source.push(text(row.source));
        rows.bulk.push(row.bulk);
        rows.drift.push(row.drift);
        if rows.at.len() >= ROWS_AT_A_TIME {
            self.write().map_err(fault)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<File> {
        self.write().map_err(fault)?;
        let buffer = self.writer.into_inner().map_err(fault)?;
        buffer.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Returns a fault of the library as one of the file.
fn fault(fault: ParquetError) -> io::Error {
    io::Error::other(fault)
}
