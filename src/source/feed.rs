//! The change feed: NDJSON, one change a line (docs/reference/feed.md).
//!
//! Lines are read one at a time and bounded. A line that cannot be read is handed on with its
//! number, its octets and the reason, so that the caller can set it aside; the rest go on.

use std::fs::{self, File};
use std::io::{self, BufRead};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::dns::{Name, Rdata, RecordType, Serial};
use crate::file;
use crate::source::bounds::FileTime;
use crate::source::fields::{TYPE_SOA, parse_soa};
use crate::source::rrtypes::parse_type;
use crate::time::{Span, Timestamp};

/// The most octets of one line, its newline included.
// A line is held whole before it is parsed, and whoever writes the feed decides how long it is.
pub const LINE_OCTETS_MAX: usize = 256 << 10;
/// The most records of one line.
const RDATA_MAX: usize = 4096;

/// What a line does to its RRset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedOp {
    /// These records are there from now on.
    Add,
    /// These records are gone.
    Remove,
    /// The RRset is now exactly this; nothing, if the list is empty.
    Set,
}

/// What a line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedSubject {
    /// Records of a kept type.
    Records {
        /// The type of all of them.
        rtype: RecordType,
        /// Sorted, without duplicates; may be empty for [`FeedOp::Set`].
        rdata: Vec<Rdata>,
    },
    /// The zone's SOA: only its serial is kept.
    Soa,
    /// A type that is not kept.
    Other,
}

/// One line, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedLine {
    /// When it happened: event time.
    pub at: Timestamp,
    /// The zone, if the line names it.
    pub zone: Option<Name>,
    /// The owner.
    pub owner: Name,
    /// Type and records.
    pub subject: FeedSubject,
    /// What is done to them.
    pub op: FeedOp,
    /// Seconds; 0 if the line does not say.
    pub ttl: u32,
    /// The zone's serial after the change.
    pub serial: Option<Serial>,
    /// The registry's id of the domain object.
    pub object: Option<String>,
    /// When the domain was registered.
    pub created: Option<Timestamp>,
}

/// One line that was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedLine {
    /// The line's octets without the newline, cut at [`LINE_OCTETS_MAX`].
    pub octets: Vec<u8>,
    /// Why.
    pub reason: String,
}

/// A line that was read: understood, with its octets, or not.
pub type ReadLine = Result<(FeedLine, Vec<u8>), RejectedLine>;

/// A line as it is written.
#[derive(Deserialize)]
struct WrittenLine {
    at: Timestamp,
    zone: Option<String>,
    rrname: String,
    rrtype: String,
    op: FeedOp,
    ttl: Option<u32>,
    #[serde(default)]
    rdata: OneOrMany,
    serial: Option<u32>,
    object: Option<String>,
    created: Option<Timestamp>,
}

/// RDATA as the passive DNS format allows it: a string or a list.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    /// Reads every record as one of a kept type. Sorted, without duplicates.
    pub(super) fn parse(&self, rtype: RecordType) -> Result<Vec<Rdata>, String> {
        let texts = match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        };
        if texts.len() > RDATA_MAX {
            return Err(format!("rdata: more than {RDATA_MAX} records in one line"));
        }
        let mut rdata = texts
            .iter()
            .map(|text| Rdata::parse(rtype, text).map_err(|fault| format!("rdata: {fault}")))
            .collect::<Result<Vec<_>, _>>()?;
        rdata.sort();
        rdata.dedup();
        Ok(rdata)
    }

    /// Returns the first record's text.
    fn first(&self) -> Option<&str> {
        match self {
            Self::One(text) => Some(text),
            Self::Many(texts) => texts.first().map(String::as_str),
        }
    }
}

/// Returns what is wrong with a line's JSON, with the column. The library's own line is always 1: it sees one
/// line at a time.
pub(super) fn in_line(fault: &serde_json::Error) -> String {
    let text = fault.to_string();
    let (line, column) = (fault.line(), fault.column());
    match text.strip_suffix(&format!(" at line {line} column {column}")) {
        Some(what) => format!("{what} at column {column}"),
        None => text,
    }
}

impl FeedLine {
    /// Reads one line.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn parse(octets: &[u8]) -> Result<Self, String> {
        let written: WrittenLine = serde_json::from_slice(octets)
            .map_err(|fault| format!("not a change: {}", in_line(&fault)))?;
        let read_name = |field: &str, text: &str| {
            Name::parse(text).map_err(|fault| format!("{field}: {fault}"))
        };
        let owner = read_name("rrname", &written.rrname)?;
        let zone = written
            .zone
            .as_deref()
            .map(|text| read_name("zone", text))
            .transpose()?;
        if let Some(zone) = &zone
            && !owner.is_at_or_below(zone)
        {
            return Err(format!("rrname {owner} is not in zone {zone}"));
        }
        let mut serial = written.serial.map(Serial);
        let code =
            parse_type(written.rrtype.as_bytes()).map_err(|fault| format!("rrtype: {fault}"))?;
        let subject = if let Some(rtype) = RecordType::from_code(code) {
            let rdata = written.rdata.parse(rtype)?;
            if rdata.is_empty() && written.op != FeedOp::Set {
                return Err("rdata is empty: only op \"set\" may leave it out".to_owned());
            }
            FeedSubject::Records { rtype, rdata }
        } else if code == TYPE_SOA {
            let told = written.rdata.first().map(read_soa).transpose()?;
            serial = serial.or(told);
            FeedSubject::Soa
        } else {
            FeedSubject::Other
        };
        let ttl = written.ttl.unwrap_or(0).min(i32::MAX as u32);
        Ok(Self {
            at: written.at,
            zone,
            owner,
            subject,
            op: written.op,
            ttl,
            serial,
            object: written.object,
            created: written.created,
        })
    }
}

/// Reads the RDATA of a SOA: its serial. Every word is read as in a master file.
fn read_soa(text: &str) -> Result<Serial, String> {
    let fault = || format!("rdata: {text:?} is not SOA RDATA");
    let words: Vec<(&[u8], bool)> = text
        .split_ascii_whitespace()
        .map(|word| (word.as_bytes(), false))
        .collect();
    let serial = parse_soa(&words).ok_or_else(fault)?;
    let names = text.split_ascii_whitespace().take(2);
    let is_unknown_form = text.trim_start().starts_with("\\#");
    if !is_unknown_form && names.map(Name::parse).any(|name| name.is_err()) {
        return Err(fault());
    }
    Ok(serial)
}

/// Reads a feed line by line and knows where it is.
pub struct FeedReader<R> {
    input: R,
    /// How long it has been read, if that is limited.
    time: Option<FileTime>,
    /// Whether it stands within a line that was longer than allowed, and was set aside.
    in_long_line: bool,
    /// The number of the line read last, from 1.
    line_number: u64,
    /// Octets read so far.
    offset: u64,
}

impl<R: BufRead> FeedReader<R> {
    /// Starts at `offset`, before line `line_number + 1`; `input` stands there already.
    pub fn new(input: R, line_number: u64, offset: u64) -> Self {
        Self {
            input,
            time: None,
            in_long_line: false,
            line_number,
            offset,
        }
    }

    /// Limits how long it may be read. What the caller does between two lines is not counted.
    pub fn within(mut self, limit: Span) -> Self {
        self.time = Some(FileTime::new(limit));
        self
    }

    /// Says that the start lies within a line that was set aside for its length, where
    /// [`FeedReader::is_in_long_line`] said so.
    pub fn inside_long_line(mut self, is_inside: bool) -> Self {
        self.in_long_line = is_inside;
        self
    }

    /// Returns whether the rest of the line read last is still to be passed over.
    pub fn is_in_long_line(&self) -> bool {
        self.in_long_line
    }

    /// Returns the number of the line read last, from 1.
    pub fn line_number(&self) -> u64 {
        self.line_number
    }

    /// Returns how many octets lie before the next line.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next whole line, with its octets; empty lines are passed over. `None` at the end.
    ///
    /// A last line without its newline is still being written: it is left for the next time, unless
    /// `is_whole` says that nothing will come after it.
    ///
    /// # Errors
    ///
    /// If the input cannot be read.
    pub fn next_line(&mut self, is_whole: bool) -> io::Result<Option<ReadLine>> {
        let Some(line) = self.next_octets(is_whole)? else {
            return Ok(None);
        };
        Ok(Some(line.and_then(|octets| {
            match FeedLine::parse(&octets) {
                Ok(line) => Ok((line, octets)),
                Err(reason) => Err(RejectedLine { octets, reason }),
            }
        })))
    }

    /// [`FeedReader::next_line`] of lines that are something else than changes.
    ///
    /// # Errors
    ///
    /// If the input cannot be read.
    pub fn next_octets(
        &mut self,
        is_whole: bool,
    ) -> io::Result<Option<Result<Vec<u8>, RejectedLine>>> {
        if let Some(time) = &mut self.time {
            time.start();
        }
        let line = self.find_line(is_whole);
        if let Some(time) = &mut self.time {
            time.pause();
        }
        line
    }

    /// [`FeedReader::next_octets`], while the time runs.
    fn find_line(&mut self, is_whole: bool) -> io::Result<Option<Result<Vec<u8>, RejectedLine>>> {
        loop {
            if self.in_long_line {
                self.pass_long_line()?;
                if self.in_long_line {
                    return Ok(None);
                }
            }
            let mut octets = Vec::new();
            let ended = self.read_bounded(&mut octets)?;
            let is_long = octets.len() > LINE_OCTETS_MAX;
            if octets.is_empty() || (!ended && !is_long && !is_whole) {
                return Ok(None);
            }
            // Only now: a line without its end is read again from its beginning.
            self.offset += octets.len() as u64;
            self.line_number += 1;
            if is_long {
                self.in_long_line = !ended;
                // The rest is passed over without being held, however long it is.
                octets.truncate(LINE_OCTETS_MAX);
                let reason = format!("line of more than {LINE_OCTETS_MAX} octets");
                return Ok(Some(Err(RejectedLine { octets, reason })));
            }
            if ended {
                octets.pop();
            }
            if octets.trim_ascii().is_empty() {
                continue;
            }
            return Ok(Some(Ok(octets)));
        }
    }

    /// Reads to the next newline, which is included, and at most one octet more than [`LINE_OCTETS_MAX`].
    /// Returns whether there was one.
    fn read_bounded(&mut self, octets: &mut Vec<u8>) -> io::Result<bool> {
        while octets.len() <= LINE_OCTETS_MAX {
            let room = LINE_OCTETS_MAX + 1 - octets.len();
            let Some(available) = self.available()? else {
                return Ok(false);
            };
            let available = &available[..available.len().min(room)];
            let newline = available.iter().position(|octet| *octet == b'\n');
            let used = newline.map_or(available.len(), |at| at + 1);
            octets.extend_from_slice(&available[..used]);
            self.input.consume(used);
            if newline.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Passes over what is left of a line, as far as it has been written.
    fn pass_long_line(&mut self) -> io::Result<()> {
        while let Some(available) = self.available()? {
            let newline = available.iter().position(|octet| *octet == b'\n');
            let used = newline.map_or(available.len(), |at| at + 1);
            self.input.consume(used);
            self.offset += used as u64;
            if newline.is_some() {
                self.in_long_line = false;
                break;
            }
        }
        Ok(())
    }

    /// Returns what can be read without waiting for more than one read; `None` at the end.
    fn available(&mut self) -> io::Result<Option<&[u8]>> {
        if let Some(time) = &self.time {
            time.check()?;
        }
        loop {
            match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
        let available = self.input.fill_buf()?;
        Ok((!available.is_empty()).then_some(available))
    }
}

/// A file that a followed feed goes on in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPart {
    /// The file.
    pub path: PathBuf,
    /// Whether it is the one that was read last, so that reading goes on where it stopped.
    pub goes_on: bool,
    /// Whether nothing will be appended to it any more.
    pub is_whole: bool,
}

/// Returns the device and inode of a file.
///
/// # Errors
///
/// If it cannot be looked at.
pub fn file_identity(file: &File) -> io::Result<(u64, u64)> {
    let meta = file.metadata()?;
    Ok((meta.dev(), meta.ino()))
}

/// Returns the files to read of a feed at `path` that was last read in the file `last`: what is left of
/// that one under its new name, whatever was rotated away after it, and the one at `path`. The second
/// value is whether the file that was read last is gone.
///
/// Where no file is `last`, one that `is_copy` finds to say the same up to where it was read is read on: the same feed
/// on another host, or a file that a copying program has put in its place. At `path` it says all that was read, and
/// nothing is gone; of one that was rotated away nobody knows whether it has all lines of the one that was read.
///
/// Rotated files lie in the same folder, are named as [`is_rotated_name`] says, and are not compressed yet.
///
/// # Errors
///
/// If the folder or the feed cannot be read.
pub fn find_feed_parts(
    path: &Path,
    last: Option<(u64, u64)>,
    is_copy: &dyn Fn(&Path) -> bool,
) -> io::Result<(Vec<FeedPart>, bool)> {
    let now = file_identity(&file::open(path)?)?;
    let current = |goes_on| FeedPart {
        path: path.to_owned(),
        goes_on,
        is_whole: false,
    };
    let Some(last) = last.filter(|last| *last != now) else {
        return Ok((vec![current(true)], false));
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut rotated = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let (file, meta) = (entry.file_name(), entry.metadata()?);
        let file = file.to_string_lossy();
        let is_plain = !file.ends_with(".gz") && !file.ends_with(".zst") && meta.is_file();
        if is_rotated_name(&file, &name) && is_plain && (meta.dev(), meta.ino()) != now {
            let written_at = (meta.mtime(), meta.mtime_nsec());
            rotated.push((written_at, entry.path(), (meta.dev(), meta.ino())));
        }
    }
    // By time of writing: files that were rotated after one another are read in that order.
    rotated.sort();
    let itself = rotated.iter().position(|(_, _, file)| *file == last);
    if itself.is_none() && is_copy(path) {
        return Ok((vec![current(true)], false));
    }
    let copy = || rotated.iter().rposition(|(_, path, _)| is_copy(path));
    let Some(at) = itself.or_else(copy) else {
        return Ok((vec![current(false)], true));
    };
    let parts = rotated.split_off(at).into_iter().enumerate();
    let mut parts: Vec<FeedPart> = parts
        .map(|(place, (_, path, _))| FeedPart {
            path,
            goes_on: place == 0,
            is_whole: true,
        })
        .collect();
    parts.push(current(false));
    Ok((parts, itself.is_none()))
}

/// Returns whether a file's name is what a rotation makes of a feed's name: `changes.ndjson.1` and
/// `changes.ndjson-20261128`, or, where logrotate's `extension` keeps the end, `changes.1.ndjson` and
/// `changes-20261128.ndjson`. In the latter only digits and what dates have between them: another feed of
/// the folder is `changes-eu.ndjson`.
fn is_rotated_name(file: &str, feed: &str) -> bool {
    let is_separator = |it: char| it == '.' || it == '-';
    if let Some(rest) = file.strip_prefix(feed) {
        return rest.starts_with(is_separator);
    }
    let Some((stem, extension)) = feed.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else {
        return false;
    };
    let number = file
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(extension)?.strip_suffix('.'))
        .and_then(|rest| rest.strip_prefix(is_separator));
    let is_of_date = |it: char| it.is_ascii_digit() || "-._:TZ".contains(it);
    number.is_some_and(|it| {
        it.starts_with(|first: char| first.is_ascii_digit()) && it.chars().all(is_of_date)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_names_are_told_from_other_feeds() {
        for (file, is_rotated) in [
            ("changes.ndjson.1", true),
            ("changes.ndjson-20261128", true),
            ("changes.1.ndjson", true),
            ("changes-20261128.ndjson", true),
            ("changes-2026-11-28T10:00.ndjson", true),
            ("changes-20261128-1795341600.ndjson", true),
            ("changes-eu.ndjson", false),
            ("changes.eu.1.ndjson", false),
            ("changes1.ndjson", false),
            ("changes..ndjson", false),
            ("changes.ndjson", false),
            ("other.1.ndjson", false),
        ] {
            assert_eq!(
                is_rotated_name(file, "changes.ndjson"),
                is_rotated,
                "{file}"
            );
        }
        assert!(is_rotated_name("changes.1", "changes"));
        assert!(!is_rotated_name("x.1", ".ndjson"));
    }

    const LINE: &str = r#"{"at":"2026-11-22T10:00:00Z","zone":"example.","rrname":"BAD.example","rrtype":"NS","op":"set","ttl":3600,"rdata":["ns2.b.test.","NS1.a.test","ns1.a.test."],"serial":2026112201}"#;

    #[test]
    fn the_contracts_line_is_read_in_canonical_form() {
        let line = FeedLine::parse(LINE.as_bytes()).expect("valid");
        assert_eq!(line.owner.to_string(), "bad.example.");
        assert_eq!(line.serial, Some(Serial(2_026_112_201)));
        let FeedSubject::Records {
            rtype: RecordType::Ns,
            rdata,
        } = line.subject
        else {
            panic!("NS records expected")
        };
        assert_eq!(
            rdata.iter().map(Rdata::to_string).collect::<Vec<_>>(),
            ["ns1.a.test.", "ns2.b.test."]
        );
        let seconds = LINE.replace("\"2026-11-22T10:00:00Z\"", "1795341600");
        assert_eq!(
            FeedLine::parse(seconds.as_bytes()).expect("valid").at,
            line.at
        );
    }

    #[test]
    fn unreadable_lines_say_why_and_the_rest_go_on() {
        let feed = format!(
            "{LINE}\n\nnot json\n{}\n{}\n{}\n{LINE}",
            LINE.replace("\"NS\"", "\"NSS\""),
            LINE.replace("BAD.example", "bad.test"),
            LINE.replace("\"set\"", "\"put\"")
        );
        let mut reader = FeedReader::new(feed.as_bytes(), 0, 0);
        let mut kinds = Vec::new();
        while let Some(line) = reader.next_line(false).expect("memory does not fail") {
            kinds.push((reader.line_number(), line.map_err(|it| it.reason).err()));
        }
        let numbers: Vec<u64> = kinds.iter().map(|(number, _)| *number).collect();
        assert_eq!(
            numbers,
            [1, 3, 4, 5, 6],
            "the last line has no newline and is still being written"
        );
        assert!(kinds[0].1.is_none());
        let unread = kinds[1].1.as_deref().unwrap_or_default();
        assert!(
            unread.contains(" at column ") && !unread.contains("line 1"),
            "{unread}"
        );
        for (kind, reason) in
            kinds[1..]
                .iter()
                .zip(["not a change", "no record type", "not in zone", "put"])
        {
            assert!(
                kind.1.as_deref().is_some_and(|text| text.contains(reason)),
                "{kind:?}"
            );
        }
        assert!(
            reader
                .next_line(true)
                .expect("memory does not fail")
                .is_none(),
            "the half line was consumed from the buffer but not counted"
        );
    }

    #[test]
    fn words_that_are_no_rdata_of_the_type_are_refused() {
        for (rrtype, rdata, reason) in [
            ("NS", r#"["ns1.a.test. 192.0.2.1"]"#, "is not one name"),
            ("NS", r#"["ns1.a.test. ns2.a.test."]"#, "is not one name"),
            (
                "NS",
                r#"["ns1.a.test.", "ns2.a.test.\t3600"]"#,
                "is not one name",
            ),
            ("NS", r#"["ns1.a.test.;"]"#, "is not one name"),
            ("NS", r#"["\"ns1.a.test.\""]"#, "is not one name"),
            ("NS", r#"["@"]"#, "stands for an origin"),
            ("CNAME", r#""a.test. b.test.""#, "is not one name"),
            ("TYPE2", r#"["ns1.a.test. ns2.a.test."]"#, "is not one name"),
            ("A", r#"["192.0.2.1 192.0.2.2"]"#, "is not A RDATA"),
            ("AAAA", r#"["2001:db8::1/64"]"#, "is not AAAA RDATA"),
            ("DS", r#"["1 8 2 +a"]"#, "is not DS RDATA"),
            (
                "SOA",
                r#"["ns1.a.test. host.a.test. 7"]"#,
                "is not SOA RDATA",
            ),
            (
                "SOA",
                r#"["ns1..test. host.a.test. 7 1 1 1 1"]"#,
                "is not SOA RDATA",
            ),
            ("AXFR", "[]", "AXFR is a type of queries"),
            ("ANY", "[]", "ANY is a type of queries"),
        ] {
            let line = format!(
                r#"{{"at":1,"rrname":"a.example.","rrtype":"{rrtype}","op":"add","rdata":{rdata}}}"#
            );
            let fault = FeedLine::parse(line.as_bytes()).expect_err(&line);
            assert!(fault.contains(reason), "{line}: {fault}");
        }
        let names = LINE.replace("BAD.example", "bad.example 3600");
        let fault = FeedLine::parse(names.as_bytes()).expect_err("two words");
        assert!(fault.starts_with("rrname: "), "{fault}");
        let by_number = LINE.replace("\"NS\"", "\"TYPE2\"");
        assert_eq!(
            FeedLine::parse(by_number.as_bytes()),
            FeedLine::parse(LINE.as_bytes())
        );
    }

    #[test]
    fn an_endless_line_is_bounded() {
        let feed = format!("{}\n{LINE}\n", "x".repeat(LINE_OCTETS_MAX * 3));
        let mut reader = FeedReader::new(feed.as_bytes(), 0, 0);
        let rejected = reader
            .next_line(false)
            .expect("memory")
            .expect("a line")
            .expect_err("too long");
        assert_eq!(rejected.octets.len(), LINE_OCTETS_MAX);
        assert!(
            reader
                .next_line(false)
                .expect("memory")
                .expect("a line")
                .is_ok()
        );
    }
}
