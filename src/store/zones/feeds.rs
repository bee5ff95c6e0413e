//! How far feeds and files were read: positions, marks of files, lines that were set aside.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::store::door::{Fault, IntoValue, Row, Table, Texts, ValueRef, params};
use crate::store::error::StoreError;
use crate::store::keys::{SourceId, ZoneId};
use crate::store::sqlite::dialect::{IN_ORDER, texts_of};
use crate::store::zones::Zones;
use crate::time::Timestamp;

/// Lines that are set aside, each once.
const REJECTED: Table = Table {
    name: "rejected_line",
    columns: &[
        "source_id",
        "line_number",
        "kind",
        "reason",
        "octets",
        "rejected_at",
    ],
    on_conflict: "on conflict do nothing",
};

/// Where a followed feed goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FeedPosition {
    /// Octets that have been read.
    pub offset: u64,
    /// Lines that have been read.
    pub line_number: u64,
    /// Keyed checksum of the octets just before `offset`: whether it is still the same file.
    pub tail_checksum: u64,
    /// The file's device and inode, by which it is found again under another name.
    #[serde(default)]
    pub file: Option<(u64, u64)>,
    /// Whether it lies within a line that was set aside for its length, and whose end has not been read.
    #[serde(default)]
    pub in_long_line: bool,
}

/// A zone file as it was when it was last looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMark {
    /// Modification time in nanoseconds since the epoch.
    pub modified_at_ns: i64,
    /// Size in octets.
    pub size_bytes: i64,
    /// The version time that was given to it.
    pub version_at: Timestamp,
    /// Why it was refused, if it was.
    pub refused_reason: Option<String>,
}

/// Why a feed line was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectKind {
    /// It could not be read.
    Unreadable,
    /// It is older than the newest change of its RRset and history says otherwise.
    Late,
}

impl RejectKind {
    /// Returns its word in the database.
    fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Late => "late",
        }
    }
}

/// A line to set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Why, for programs.
    pub kind: RejectKind,
    /// Its number in the feed, from 1.
    pub number: u64,
    /// Its octets.
    pub octets: Vec<u8>,
    /// Why, for people.
    pub reason: String,
}

/// A line that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// The source's name.
    pub source: String,
    /// Its number in its file, from 1.
    pub line: u64,
    /// `unreadable` or `late`.
    pub kind: String,
    /// Why, in a sentence.
    pub reason: String,
    /// The line without its newline, as it was read.
    pub octets: Vec<u8>,
    /// When it was set aside.
    pub rejected_at: Timestamp,
}

impl Zones<'_> {
    /// Returns where a feed goes on; the start if it was never read.
    pub fn feed_position(&self, source: SourceId) -> Result<FeedPosition, StoreError> {
        let text: Option<String> = self
            .store
            .run(|db| db.value("select position from source where id = ?", [source.0]))?;
        match text {
            Some(text) => {
                serde_json::from_str(&text).map_err(|fault| self.store.damaged(fault.to_string()))
            }
            None => Ok(FeedPosition::default()),
        }
    }

    /// Notes where a feed goes on.
    pub fn set_feed_position(
        &self,
        source: SourceId,
        position: &FeedPosition,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(position).expect("numbers have a JSON form");
        self.store
            .run(|db| {
                db.execute(
                    "update source set position = ?2 where id = ?1",
                    params![source, text],
                )
            })
            .map(|_| ())
    }

    /// Returns what is known of a zone file.
    pub fn file_mark(&self, source: SourceId, path: &Path) -> Result<Option<FileMark>, StoreError> {
        self.store.run(|db| {
            let sql = "select modified_at_ns, size_bytes, version_at, refused_reason
                         from source_file where source_id = ? and path = ?";
            db.query_first(sql, params![source, path.to_string_lossy()], read_mark)
        })
    }

    /// Returns what is known of zone files, by their paths as texts: those that are no UTF-8 stand there as nearly as a text
    /// can say them.
    pub fn file_marks_of(
        &self,
        source: SourceId,
        paths: &[PathBuf],
    ) -> Result<HashMap<String, FileMark>, StoreError> {
        let asked = Texts(
            paths
                .iter()
                .map(|it| it.to_string_lossy().into_owned())
                .collect(),
        );
        let marks = self.store.run(|db| {
            let sql = format!(
                "select f.modified_at_ns, f.size_bytes, f.version_at, f.refused_reason, f.path
                   from {list} w {IN_ORDER} source_file f on f.source_id = ?1 and f.path = w.value",
                list = texts_of("?2")
            );
            db.query(&sql, params![source, asked], |row| {
                Ok((row.get("path")?, read_mark(row)?))
            })
        })?;
        Ok(marks.into_iter().collect())
    }

    /// Returns the marks of all files of a source with the paths that they stand under, in no order.
    pub fn file_marks(&self, source: SourceId) -> Result<Vec<(PathBuf, FileMark)>, StoreError> {
        self.store.run(|db| {
            let sql = "select modified_at_ns, size_bytes, version_at, refused_reason, path
                         from source_file where source_id = ?";
            let mut marks = db.prepare(sql)?;
            let marks = marks.query([source.0], |row| {
                Ok((PathBuf::from(row.get::<String>("path")?), read_mark(row)?))
            })?;
            Ok(marks)
        })
    }

    /// Moves the mark of a zone file to another spelling of its path.
    pub fn move_file_mark(
        &self,
        source: SourceId,
        from: &Path,
        to: &Path,
    ) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                db.execute(
                    // Nothing stands under the new path: whoever moves a mark has found none there, and only the
                    // poller writes marks.
                    "update source_file
                        set path = ?3
                      where source_id = ?1 and path = ?2",
                    params![source, from.to_string_lossy(), to.to_string_lossy()],
                )
            })
            .map(|_| ())
    }

    /// Notes that a zone file was looked at.
    pub fn set_file_mark(
        &self,
        source: SourceId,
        path: &Path,
        mark: &FileMark,
    ) -> Result<(), StoreError> {
        self.store.run(|db| {
            let sql = "insert into source_file (source_id, path, modified_at_ns, size_bytes,
                                                    version_at, refused_reason)
                           values (?, ?, ?, ?, ?, ?)
                           on conflict (source_id, path)
                             do update set modified_at_ns = excluded.modified_at_ns,
                                           size_bytes = excluded.size_bytes,
                                           version_at = excluded.version_at,
                                           refused_reason = excluded.refused_reason";
            db.write(
                sql,
                params![
                    source,
                    path.to_string_lossy(),
                    mark.modified_at_ns,
                    mark.size_bytes,
                    mark.version_at,
                    mark.refused_reason
                ],
            )
        })
    }

    /// Returns whether the last file that a source brought of a zone ended with its SOA, as a dump of a transfer
    /// does. False if there was none.
    pub fn ended_with_soa(&self, source: SourceId, zone: ZoneId) -> Result<bool, StoreError> {
        Ok(self.store.desk().saved_number(&ending_key(source, zone))? == Some(1))
    }

    /// Notes how the last file that a source brought of a zone ended.
    pub fn save_file_ending(
        &self,
        source: SourceId,
        zone: ZoneId,
        ends_with_soa: bool,
    ) -> Result<(), StoreError> {
        self.store
            .desk()
            .save_number(&ending_key(source, zone), ends_with_soa.into())
    }

    /// Sets lines of a feed aside, in one transaction. A line that was set aside before is not set aside again.
    pub fn reject_lines(
        &self,
        source: SourceId,
        lines: &[SetAside],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        let tx = self.store.begin_batch()?;
        let numbers: Vec<i64> = lines.iter().map(|line| line.number as i64).collect();
        let rows = lines.iter().zip(&numbers).flat_map(|(line, number)| {
            [
                source.to_value(),
                number.to_value(),
                line.kind.word().to_value(),
                line.reason.to_value(),
                line.octets.to_value(),
                at.to_value(),
            ]
        });
        let rows: Vec<ValueRef<'_>> = rows.collect();
        self.store.run(|db| db.insert_rows(&REJECTED, &rows))?;
        tx.commit()
    }

    /// Returns the lines that were set aside, of one source or of all, newest first, at most `limit`. Those of
    /// one second follow their line numbers: what cannot be read is set aside before what is late.
    pub fn rejected_lines(
        &self,
        source: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RejectedRow>, StoreError> {
        self.store.run(|db| {
            let sql = "select s.name, r.line_number, r.kind, r.reason, r.octets, r.rejected_at
                         from rejected_line r join source s on s.id = r.source_id
                         where cast(?1 as text) is null or s.name = ?1
                         order by r.rejected_at desc, r.line_number desc, r.id desc limit ?2";
            db.query(sql, params![source, limit as i64], |row| {
                Ok(RejectedRow {
                    source: row.get("name")?,
                    line: row.get::<i64>("line_number")? as u64,
                    kind: row.get("kind")?,
                    reason: row.get("reason")?,
                    octets: row.get("octets")?,
                    rejected_at: row.get("rejected_at")?,
                })
            })
        })
    }
}

/// Reads the mark of a zone file from the first four columns.
fn read_mark(row: &Row<'_>) -> Result<FileMark, Fault> {
    Ok(FileMark {
        modified_at_ns: row.get("modified_at_ns")?,
        size_bytes: row.get("size_bytes")?,
        version_at: row.get("version_at")?,
        refused_reason: row.get("refused_reason")?,
    })
}

/// Returns the name under which the ending of a source's last file of a zone is kept.
fn ending_key(source: SourceId, zone: ZoneId) -> String {
    format!("file_ends_with_soa {} {}", source.0, zone.0)
}
