//! Master files (RFC 1035 §5), plain, gzip and zstd, streamed.
//!
//! The file is cut into entries (a line, or several joined by parentheses or quotes), each into its
//! words. Records of the kept types are read to the last octet; of all others the type must be known
//! and is counted, so that a type whose data this program does not understand cannot stop a zone. An
//! entry that cannot be read refuses the file: a zone file with a hole in it would look like a deletion.
//! So does a last line without its newline, the mark of a download that was cut off, unless the source
//! says otherwise or the record is the SOA that closes a dump; and whatever `dump` says of a file's ends.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::dns::{LABEL_OCTETS_MAX, NAME_OCTETS_MAX, Name, NameError, Rdata, RecordType, Serial};
use crate::file;
use crate::source::bounds::{FileTime, OverLimit};
use crate::source::compression::open_text;
use crate::source::dump::Ends;
use crate::source::fields::{
    CLASS_ANY, CLASS_IN, DS_ALGORITHMS, DS_DIGESTS, TYPE_SOA, class_fault, ds_number, parse_class,
    parse_ds, parse_soa, parse_ttl, parse_unknown_form,
};
use crate::source::generate::{GenerateRange, expand};
use crate::source::plain::{
    NameOctets, PLAIN_DATA_WORDS, PlainData, PlainHead, ends_word, line_end, may_be_plain,
    push_plain_name, read_plain_name,
};
use crate::source::rrtypes::parse_type;
use crate::source::words::{CutFault, Word, cut_entry};
use crate::source::{Fetched, SourceError, Zonemd, check_rrset};
use crate::zone::{Intake, Limits, Refusal, Spool};

/// How much is read at a time.
const CHUNK_OCTETS: usize = 256 << 10;
/// The most octets of one entry, parentheses included.
// A parenthesis that nobody closes would make one entry of the rest of the file.
const ENTRY_OCTETS_MAX: usize = 1 << 20;
/// Words of record data that are held without memory of their own.
const FEW_WORDS: usize = 8;
/// How deep `$INCLUDE` may go.
// A file that includes itself would never end.
const INCLUDE_DEPTH_MAX: u32 = 8;
/// The most files a pattern may name.
// The names are held in memory all at a time.
const GLOB_FILES_MAX: usize = 1_000_000;

/// What is allowed in a zone file.
#[derive(Debug, Clone, Copy)]
pub struct ZonefileRules {
    /// It must have its SOA.
    pub require_soa: bool,
    /// Its last line must end with a newline, unless that line is the SOA that closes a dump.
    pub require_final_newline: bool,
    /// `$INCLUDE` is followed. Not for files from elsewhere: they could name any file of this machine.
    pub include: bool,
    /// What it may cost.
    pub limits: Limits,
}

/// A zone file that was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRead {
    /// What it brought.
    pub fetched: Fetched,
    /// Whether it ends with the SOA that it begins with, as a dump of a transfer does.
    pub ends_with_soa: bool,
}

/// Reads the zone file `file`, which was opened at `path` (plain, gzip or zstd by its first octets), into
/// the intake.
///
/// # Errors
///
/// [`SourceError::Refused`] for a file that is unreadable, malformed, cut off, of another zone, or
/// without its SOA although that is required; the intake is then worthless.
pub fn read_zonefile<S: Spool>(
    path: &Path,
    file: File,
    apex: &Name,
    rules: &ZonefileRules,
    intake: &mut Intake<S>,
) -> Result<FileRead, SourceError> {
    let mut reader = ZoneReader::new(apex, rules, intake);
    reader.folder = path.parent().unwrap_or(Path::new("")).to_owned();
    reader.read_file(file)?;
    reader.finish()
}

/// Reads a zone from plain text that is no file.
pub(super) fn read_text<S: Spool>(
    text: impl Read,
    apex: &Name,
    rules: &ZonefileRules,
    intake: &mut Intake<S>,
) -> Result<Fetched, SourceError> {
    let mut reader = ZoneReader::new(apex, rules, intake);
    reader.read_stream(text)?;
    Ok(reader.finish()?.fetched)
}

/// Returns the files that `pattern` names, in order of their paths. A pattern without wildcards
/// names one file, whether it is there or not.
///
/// # Errors
///
/// A sentence for a malformed pattern, a folder that cannot be read, or too many files.
pub fn expand_glob(pattern: &str) -> Result<Vec<PathBuf>, Refusal> {
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let paths = glob::glob(pattern)
        .map_err(|fault| Refusal::Unreadable(format!("pattern {pattern:?}: {fault}")))?;
    let mut files = Vec::new();
    for path in paths {
        files.push(path.map_err(|fault| Refusal::Unreadable(fault.to_string()))?);
        if files.len() > GLOB_FILES_MAX {
            return Err(Refusal::Limit(format!(
                "pattern {pattern:?} names more than {GLOB_FILES_MAX} files"
            )));
        }
    }
    Ok(files)
}

/// Reads entries and gives their records to the intake.
struct ZoneReader<'a, S> {
    apex: &'a Name,
    rules: &'a ZonefileRules,
    intake: &'a mut Intake<S>,
    /// Where included files lie.
    folder: PathBuf,
    /// How deep the file in hand was included.
    depth: u32,
    /// How much of a file is cut into entries at a time. In octets.
    chunk_octets: usize,
    /// How long the file has been read, with what it includes.
    time: FileTime,
    /// Octets read so far, of all files.
    octets: u64,
    /// Octets that `$GENERATE` lines made so far, of all files.
    generated: u64,
    /// Records read so far.
    records: u64,
    /// Lines read so far.
    line: u64,
    origin: Vec<u8>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    owner: Vec<u8>,
    /// How the owner was written, if a plain line told it.
    owner_word: Vec<u8>,
    /// Whether lines of the plain form are read the short way.
    reads_plain_lines: bool,
    rdata: Vec<u8>,
    /// Memory for the name that is being read.
    name: NameOctets,
    words: Vec<Word>,
    serial: Option<Serial>,
    ends: Ends,
}

/// The TTL of records before which neither the file nor `$TTL` named one.
// RFC 1035 knows no default; a TTL is no part of what a change is, so that a guess changes no finding.
const TTL_DEFAULT: u32 = 3600;

impl<'a, S: Spool> ZoneReader<'a, S> {
    /// Starts with the apex as origin.
    fn new(apex: &'a Name, rules: &'a ZonefileRules, intake: &'a mut Intake<S>) -> Self {
        let mut time = FileTime::new(rules.limits.file);
        time.start();
        Self {
            apex,
            rules,
            intake,
            folder: PathBuf::new(),
            depth: 0,
            chunk_octets: CHUNK_OCTETS,
            time,
            octets: 0,
            generated: 0,
            records: 0,
            line: 0,
            origin: apex.as_wire().to_vec(),
            default_ttl: None,
            last_ttl: None,
            owner: Vec::new(),
            owner_word: Vec::new(),
            reads_plain_lines: true,
            rdata: Vec::new(),
            name: [0; NAME_OCTETS_MAX],
            words: Vec::new(),
            serial: None,
            ends: Ends::default(),
        }
    }

    /// Reads a file that is open, decompressed as its first octets say.
    fn read_file(&mut self, file: File) -> Result<(), SourceError> {
        let limits = &self.rules.limits;
        let text = open_text(file, limits).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Refusal::Malformed(error.to_string()),
            _ if OverLimit::is_in(&error) => Refusal::Limit(error.to_string()),
            _ => Refusal::Unreadable(error.to_string()),
        })?;
        self.read_stream(text)
    }

    /// Reads a stream of text.
    fn read_stream(&mut self, mut stream: impl Read) -> Result<(), SourceError> {
        let mut buffer: Vec<u8> = Vec::with_capacity(2 * self.chunk_octets);
        let mut chunk = vec![0; self.chunk_octets];
        let mut begun = false;
        loop {
            let (length, fault) = self.fill(&mut stream, &mut chunk);
            if length == 0 && fault.is_none() {
                break;
            }
            self.octets += length as u64;
            if self.octets > self.rules.limits.octets {
                let limit = self.rules.limits.octets;
                let what = format!("zone file of more than limits.octets = {limit}");
                return Err(Refusal::Limit(what).into());
            }
            buffer.extend_from_slice(&chunk[..length]);
            if !begun && buffer.len() >= 3 {
                begun = true;
                // The mark of UTF-8, which editors on Windows put in front; it would be a part of the first owner.
                if buffer.starts_with(b"\xef\xbb\xbf") {
                    buffer.drain(..3);
                }
            }
            if begun {
                let used = self.read_entries(&buffer)?;
                buffer.drain(..used);
            }
            // What came before the fault was read, so that the refusal can name the line at which it broke.
            if let Some(error) = fault {
                return Err(self.read_fault(&error).into());
            }
        }
        self.read_last_line(buffer)
    }

    /// Reads until `chunk` is full, or the stream ends or fails. Returns how many octets were read, and the
    /// fault.
    ///
    /// An entry is cut from its first octet whenever more of it has come: of reads of single octets (gzip
    /// members of one octet) that would cost the square of its length.
    fn fill(&self, stream: &mut impl Read, chunk: &mut [u8]) -> (usize, Option<io::Error>) {
        let mut length = 0;
        while length < chunk.len() {
            if let Err(fault) = self.time.check() {
                return (length, Some(fault.into()));
            }
            match stream.read(&mut chunk[length..]) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (length, Some(error)),
            }
        }
        (length, None)
    }

    /// Returns the refusal of a stream that failed.
    fn read_fault(&self, error: &io::Error) -> Refusal {
        let line = self.line;
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Refusal::EndedEarly(format!("compressed data is cut off after line {line}"))
            }
            _ if OverLimit::is_in(error) => Refusal::Limit(format!("after line {line}: {error}")),
            _ => Refusal::Unreadable(format!("after line {line}: {error}")),
        }
    }

    /// Reads what stands behind the last newline that ends an entry.
    fn read_last_line(&mut self, mut rest: Vec<u8>) -> Result<(), SourceError> {
        if rest.is_empty() {
            return Ok(());
        }
        // With a newline the entry is open for another reason: a parenthesis.
        let has_newline = rest.ends_with(b"\n");
        rest.push(b'\n');
        let used = self.read_entries(&rest).map_err(|error| match error {
            SourceError::Refused(Refusal::Malformed(what)) if !has_newline => {
                let what = format!("{what}; the line is not complete: no newline at its end");
                Refusal::EndedEarly(what).into()
            }
            error => error,
        })?;
        if has_newline || used < rest.len() {
            let line = self.line + 1;
            let what = format!(
                "line {line}: a parenthesis is opened in the entry that begins here, and the file ends before it is closed; or the file is cut off"
            );
            return Err(Refusal::EndedEarly(what).into());
        }
        if self.rules.require_final_newline && !self.ends.is_closed() {
            let line = self.line;
            let what = format!(
                "line {line} is not complete: no newline at its end, which is what a download that was cut off looks like; if the files of this source end so, set require_final_newline = false (import: --no-final-newline)"
            );
            return Err(Refusal::EndedEarly(what).into());
        }
        Ok(())
    }

    /// Reads every whole entry and returns how many octets they took.
    fn read_entries(&mut self, text: &[u8]) -> Result<usize, SourceError> {
        let mut used = 0;
        let mut words = std::mem::take(&mut self.words);
        loop {
            let rest = &text[used..];
            if self.reads_plain_lines
                && let Some(length) = self.read_plain_line(rest)?
            {
                self.line += 1;
                used += length;
                continue;
            }
            let cut = cut_entry(rest, &mut words).map_err(|fault| self.cut_fault(fault))?;
            let Some((end, lines)) = cut else { break };
            if words.is_empty() {
                self.take_comment(&rest[..end]);
            } else {
                self.read_entry(rest, &words)?;
            }
            self.line += lines;
            used += end;
        }
        self.words = words;
        // Without a bound a parenthesis that is never closed would hold the rest of the file in memory.
        if text.len() - used > ENTRY_OCTETS_MAX {
            let what = format!(
                "line {}: entry of more than {ENTRY_OCTETS_MAX} octets; is a parenthesis not closed?",
                self.line + 1
            );
            return Err(Refusal::Limit(what).into());
        }
        Ok(used)
    }

    /// Reads a line of the form that registries publish: one record of a usual type, without quotes, escapes, comments or
    /// parentheses. Returns its length; `None` for any other line, which is left to the careful way: of it, no more was taken
    /// than the owner, which that way reads once more.
    fn read_plain_line(&mut self, text: &[u8]) -> Result<Option<usize>, SourceError> {
        if !may_be_plain(text) {
            return Ok(None);
        }
        let Some(owner_length) = self.read_plain_owner(text) else {
            return Ok(None);
        };
        let Some(head) = PlainHead::read(&text[owner_length..]) else {
            return Ok(None);
        };
        let begin = owner_length + head.length;
        let rest = &text[begin..];
        let ttl = head.ttl.or(self.default_ttl).or(self.last_ttl);
        let ttl = ttl.unwrap_or(TTL_DEFAULT);
        let length = if head.rtype == RecordType::Ns {
            let Some(host) = read_plain_name(rest, &self.origin, &mut self.name) else {
                return Ok(None);
            };
            let Some(end) = line_end(&rest[host.length..]) else {
                return Ok(None);
            };
            self.last_ttl = head.ttl.or(self.last_ttl);
            self.admit_record()?;
            self.ends.take_record(None);
            self.rdata.clear();
            self.rdata.extend_from_slice(&self.name[..host.wire_length]);
            self.keep_record(head.rtype, ttl)?;
            host.length + end
        } else {
            let Some(data) = PlainData::read(rest, head.rtype) else {
                return Ok(None);
            };
            self.last_ttl = head.ttl.or(self.last_ttl);
            let mut words: [(&[u8], bool); PLAIN_DATA_WORDS] = [(b"", false); PLAIN_DATA_WORDS];
            for (place, word) in words.iter_mut().zip(data.words()) {
                place.0 = word;
            }
            self.read_record(head.rtype.code(), ttl, &words[..data.words().len()])?;
            data.length
        };
        Ok(Some(begin + length))
    }

    /// Reads the owner of a line of the form that registries publish. Returns how many octets it has there.
    fn read_plain_owner(&mut self, text: &[u8]) -> Option<usize> {
        // An owner has several records.
        if let Some(rest) = text.strip_prefix(self.owner_word.as_slice())
            && !self.owner_word.is_empty()
            && ends_word(rest)
        {
            return Some(self.owner_word.len());
        }
        let name = read_plain_name(text, &self.origin, &mut self.name)?;
        if !ends_word(&text[name.length..]) {
            return None;
        }
        self.owner.clear();
        self.owner.extend_from_slice(&self.name[..name.wire_length]);
        self.owner_word.clear();
        self.owner_word.extend_from_slice(&text[..name.length]);
        Some(name.length)
    }

    /// Returns the refusal of an entry that cannot be cut into words.
    fn cut_fault(&self, fault: CutFault) -> Refusal {
        let line = self.line + 1 + fault.lines;
        Refusal::Malformed(format!("line {line}: {}", fault.what))
    }

    /// Notes a line that is a comment, or empty.
    fn take_comment(&mut self, line: &[u8]) {
        let text = line.trim_ascii();
        if text.starts_with(b";") {
            self.ends.take_comment(self.line + 1, text);
        }
    }

    /// Reads one entry.
    fn read_entry(&mut self, text: &[u8], words: &[Word]) -> Result<(), SourceError> {
        self.owner_word.clear();
        let word = |at: usize| words.get(at).map(|(range, _)| &text[range.clone()]);
        let first = word(0).expect("an entry has a word");
        // RFC 1035 §5.1: an entry that begins with a blank is of the owner before it.
        let is_indented = matches!(text.first(), Some(b' ' | b'\t'));
        if !is_indented && first.starts_with(b"$") && !words[0].1 {
            return self.read_control(first, text, words);
        }
        let mut next = 0;
        if !is_indented {
            let mut owner = std::mem::take(&mut self.owner);
            self.read_name(first, words[0].1, &mut owner)?;
            self.owner = owner;
            next = 1;
        } else if self.owner.is_empty() {
            return Err(self
                .malformed("a record without an owner, and none before it")
                .into());
        }
        let (mut ttl, mut has_class) = (None, false);
        let code = loop {
            let Some(text) = word(next) else {
                return Err(self.malformed("a record without a type").into());
            };
            next += 1;
            // RFC 1035 §5.1: TTL and class stand in either order, each at most once.
            if ttl.is_none()
                && let Some(value) = parse_ttl(text)
            {
                ttl = Some(value);
            } else if !has_class && let Some(class) = parse_class(text) {
                if class != CLASS_IN {
                    let rest = (next..words.len()).filter_map(word);
                    return self.read_other_class(class, rest);
                }
                has_class = true;
            } else {
                break parse_type(text).map_err(|what| self.malformed(&what))?;
            }
        };
        if ttl.is_some() {
            self.last_ttl = ttl;
        }
        let ttl = ttl
            // RFC 2308 §4: `$TTL` holds for what follows; only without it does the last TTL go on (RFC 1035 §5.1).
            .or(self.default_ttl)
            .or(self.last_ttl)
            .unwrap_or(TTL_DEFAULT);
        let words = &words[next..];
        let word = |(range, quoted): &Word| -> (&[u8], bool) { (&text[range.clone()], *quoted) };
        // Nearly every record has few words; they need no memory of their own.
        let mut few: [(&[u8], bool); FEW_WORDS] = [(b"", false); FEW_WORDS];
        if words.len() <= FEW_WORDS {
            for (place, it) in few.iter_mut().zip(words) {
                *place = word(it);
            }
            self.read_record(code, ttl, &few[..words.len()])
        } else {
            let many: Vec<(&[u8], bool)> = words.iter().map(word).collect();
            self.read_record(code, ttl, &many)
        }
    }

    /// Reads a record of another class than IN: `data` has the words behind its class.
    fn read_other_class<'t>(
        &mut self,
        class: u16,
        mut data: impl Iterator<Item = &'t [u8]>,
    ) -> Result<(), SourceError> {
        // dig and kdig print the signature of a signed transfer among its records.
        let rrtype = data.next().unwrap_or_default().to_ascii_uppercase();
        let is_signature = class == CLASS_ANY
            && match rrtype.as_slice() {
                b"TSIG" => data.any(|word| word == b"NOERROR"),
                b"TYPE250" => data.next().is_some_and(|word| word == b"\\#"),
                _ => false,
            };
        if !is_signature {
            return Err(self.malformed(&class_fault(class)).into());
        }
        self.ends.take_signature(self.line + 1);
        Ok(())
    }

    /// Reads a line that begins with a dollar sign.
    fn read_control(
        &mut self,
        control: &[u8],
        text: &[u8],
        words: &[Word],
    ) -> Result<(), SourceError> {
        let word = |at: usize| words.get(at).map(|(range, _)| &text[range.clone()]);
        match (control.to_ascii_uppercase().as_slice(), word(1)) {
            (b"$ORIGIN", Some(name)) => {
                let mut origin = Vec::new();
                self.read_name(name, false, &mut origin)?;
                self.origin = origin;
                Ok(())
            }
            (b"$TTL", Some(text)) => {
                let ttl = parse_ttl(text).ok_or_else(|| self.malformed("$TTL without a time"))?;
                self.default_ttl = Some(ttl);
                Ok(())
            }
            (b"$INCLUDE", _) if !self.rules.include => Err(self
                .malformed("$INCLUDE is not followed; include = true of the source allows it")
                .into()),
            (b"$INCLUDE", Some(path)) => self.include(path, word(2)),
            (b"$GENERATE", Some(range)) => {
                let range = lossy(range);
                let template = words.get(2..).unwrap_or_default();
                self.generate(&range, text, template)
            }
            // BIND takes the age of a cache from it, and leaves out what has expired.
            (b"$DATE", _) => Err(self
                .malformed("$DATE stands in dumps of a cache, which are no zone files")
                .into()),
            _ => Err(self
                .malformed(&format!(
                    "{} is not known, or lacks its value",
                    lossy(control)
                ))
                .into()),
        }
    }

    /// Reads another file in the place of a `$INCLUDE` (RFC 1035 §5.1). Origin and owner are afterwards
    /// what they were before.
    fn include(&mut self, path: &[u8], origin: Option<&[u8]>) -> Result<(), SourceError> {
        if self.depth >= INCLUDE_DEPTH_MAX {
            let what = format!("$INCLUDE more than {INCLUDE_DEPTH_MAX} deep");
            return Err(Refusal::Limit(what).into());
        }
        let path = self.folder.join(lossy(path));
        let mut inner = self.origin.clone();
        if let Some(origin) = origin {
            self.read_name(origin, false, &mut inner)?;
        }
        let file = file::open(&path)
            .map_err(|error| self.malformed(&format!("$INCLUDE {}: {error}", path.display())))?;
        // The owner too: an entry behind the `$INCLUDE` that begins with a blank is of the owner before it.
        let outer = (
            std::mem::replace(&mut self.origin, inner),
            self.owner.clone(),
            self.line,
        );
        // Refusals name a line of the file that they lie in.
        self.line = 0;
        self.depth += 1;
        let read = self.read_file(file);
        self.depth -= 1;
        (self.origin, self.owner, self.line) = outer;
        self.owner_word.clear();
        let within = |what: String| format!("{}: {what}", path.display());
        read.map_err(|error| match error {
            SourceError::Refused(Refusal::Malformed(what)) => {
                Refusal::Malformed(within(what)).into()
            }
            SourceError::Refused(Refusal::EndedEarly(what)) => {
                Refusal::EndedEarly(within(what)).into()
            }
            other => other,
        })
    }

    /// Makes the records of a `$GENERATE start-stop[/step] owner [ttl] [class] type data`.
    fn generate(&mut self, range: &str, text: &[u8], template: &[Word]) -> Result<(), SourceError> {
        let Some(range) = GenerateRange::parse(range) else {
            let what = format!("$GENERATE {range:?} is no range such as 1-9 or 0-254/2");
            return Err(self.malformed(&what).into());
        };
        let count = range.count();
        if count > self.rules.limits.generate_records {
            let limit = self.rules.limits.generate_records;
            return Err(Refusal::Limit(format!(
                "line {}: $GENERATE of {count} records, more than limits.generate_records = {limit}",
                self.line + 1
            ))
            .into());
        }
        for value in range.values() {
            let line = self.generate_line(value, text, template)?;
            // A template must not make control lines: it could include files, or generate without end.
            if line.starts_with(b"$") {
                return Err(self.malformed("$GENERATE of a line that is none").into());
            }
            let mut words = Vec::new();
            match cut_entry(&line, &mut words) {
                Ok(Some(_)) if !words.is_empty() => self.read_entry(&line, &words)?,
                _ => return Err(self.malformed("$GENERATE of a line that is none").into()),
            }
        }
        Ok(())
    }

    /// Makes one line of a `$GENERATE`, and counts its octets.
    fn generate_line(
        &mut self,
        value: u32,
        text: &[u8],
        template: &[Word],
    ) -> Result<Vec<u8>, Refusal> {
        self.time
            .check()
            .map_err(|fault| Refusal::Limit(format!("line {}: {fault}", self.line + 1)))?;
        let mut line = Vec::new();
        for (range, quoted) in template {
            let word = expand(&text[range.clone()], value)
                .ok_or_else(|| self.malformed("$GENERATE with a ${...} that cannot be read"))?;
            if !line.is_empty() {
                line.push(b' ');
            }
            let quote: &[u8] = if *quoted { b"\"" } else { b"" };
            line.extend_from_slice(&[quote, &word, quote].concat());
        }
        line.push(b'\n');
        self.generated += line.len() as u64;
        let limit = self.rules.limits.generate_octets;
        if self.generated > limit {
            Err(Refusal::Limit(format!(
                "line {}: $GENERATE makes more than limits.generate_octets = {limit}",
                self.line + 1
            )))
        } else {
            Ok(line)
        }
    }

    /// Counts a record of the owner in hand.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if its owner is not in the zone, or the file has more than is allowed.
    fn admit_record(&mut self) -> Result<(), SourceError> {
        if !crate::dns::wire_is_at_or_below(&self.owner, self.apex.as_wire()) {
            let owner = Name::from_wire(&self.owner)
                .map(|name| name.to_string())
                .unwrap_or_default();
            let what = format!("{owner} (line {})", self.line + 1);
            return Err(Refusal::ForeignName(what).into());
        }
        self.records += 1;
        if self.records > self.rules.limits.records {
            let limit = self.rules.limits.records;
            let what = format!("zone file of more than limits.records = {limit}");
            return Err(Refusal::Limit(what).into());
        }
        if self.intake.has_more_names(self.rules.limits.names)? {
            let limit = self.rules.limits.names;
            let what = format!("zone file of more than limits.names = {limit}");
            return Err(Refusal::Limit(what).into());
        }
        if self.intake.spooled_octets() > self.rules.limits.spool_octets {
            let limit = self.rules.limits.spool_octets;
            let what = format!("more changed owners than limits.spool_octets = {limit}");
            return Err(Refusal::Limit(what).into());
        }
        Ok(())
    }

    /// Reads the data of a record and gives it on.
    fn read_record(
        &mut self,
        code: u16,
        ttl: u32,
        data: &[(&[u8], bool)],
    ) -> Result<(), SourceError> {
        self.admit_record()?;
        if code == TYPE_SOA {
            return self.read_soa(data);
        }
        self.ends.take_record(None);
        let Some(rtype) = RecordType::from_code(code) else {
            self.intake.count_other();
            return Ok(());
        };
        let mut rdata = std::mem::take(&mut self.rdata);
        rdata.clear();
        self.read_rdata(rtype, data, &mut rdata)?;
        self.rdata = rdata;
        self.keep_record(rtype, ttl)
    }

    /// Gives a record of a kept type on, whose data was read.
    fn keep_record(&mut self, rtype: RecordType, ttl: u32) -> Result<(), SourceError> {
        if self.rdata.len() as u64 > self.rules.limits.record_octets {
            let (octets, limit) = (self.rdata.len(), self.rules.limits.record_octets);
            return Err(Refusal::Limit(format!(
                "line {}: {rtype} record of {octets} octets, more than limits.record_octets = {limit}",
                self.line + 1
            ))
            .into());
        }
        self.intake.take(&self.owner, rtype, ttl, &self.rdata)?;
        let limits = &self.rules.limits;
        Ok(check_rrset(limits, self.intake, &self.owner, rtype)?)
    }

    /// Reads the data of a kept type into canonical wire form.
    fn read_rdata(
        &self,
        rtype: RecordType,
        data: &[(&[u8], bool)],
        rdata: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let fault = || self.malformed(&format!("{rtype} record with data that cannot be read"));
        if data
            .first()
            .is_some_and(|(word, quoted)| *word == b"\\#" && !quoted)
        {
            // RFC 3597 §5: the unknown form, of a type that is known.
            let octets = parse_unknown_form(&data[1..]).ok_or_else(fault)?;
            let canonical = Rdata::from_wire(rtype, &octets).map_err(|_| fault())?;
            rdata.extend_from_slice(&canonical.to_wire());
            return Ok(());
        }
        match (rtype, data) {
            (RecordType::Ns | RecordType::Cname, [(name, quoted)]) => {
                self.read_name(name, *quoted, rdata)
            }
            (RecordType::A | RecordType::Aaaa, [(address, _)]) => {
                let text = std::str::from_utf8(address).map_err(|_| fault())?;
                let parsed = Rdata::parse(rtype, text)
                    .map_err(|fault| self.malformed(&fault.to_string()))?;
                match parsed.address() {
                    Some(IpAddr::V4(address)) => rdata.extend_from_slice(&address.octets()),
                    Some(IpAddr::V6(address)) => rdata.extend_from_slice(&address.octets()),
                    None => return Err(fault()),
                }
                Ok(())
            }
            (RecordType::Ds, [tag, algorithm, digest_type, ..]) if data.len() >= 4 => {
                if let Some(octets) = parse_ds(tag.0, algorithm.0, digest_type.0, &data[3..]) {
                    rdata.extend_from_slice(&octets);
                    return Ok(());
                }
                let word = |word: &(&[u8], bool)| lossy(word.0);
                let hex: String = data[3..].iter().map(word).collect();
                let text = format!(
                    "{} {} {} {hex}",
                    word(tag),
                    ds_number(&word(algorithm), &DS_ALGORITHMS),
                    ds_number(&word(digest_type), &DS_DIGESTS)
                );
                let parsed = Rdata::parse(rtype, &text)
                    .map_err(|fault| self.malformed(&fault.to_string()))?;
                rdata.extend_from_slice(&parsed.to_wire());
                Ok(())
            }
            _ => Err(fault()),
        }
    }

    /// Reads the SOA. A dump of a transfer has it twice, at both ends, with one serial.
    fn read_soa(&mut self, data: &[(&[u8], bool)]) -> Result<(), SourceError> {
        if self.owner != self.apex.as_wire() {
            let owner = Name::from_wire(&self.owner)
                .map(|name| name.to_string())
                .unwrap_or_default();
            return Err(self
                .malformed(&format!(
                    "SOA of {owner}, which is not the apex {}",
                    self.apex
                ))
                .into());
        }
        let serial = parse_soa(data)
            .ok_or_else(|| self.malformed("SOA record with data that cannot be read"))?;
        self.ends.take_record(Some(data));
        match self.serial {
            Some(first) if first != serial => Err(Refusal::SoaMismatch(format!(
                "two SOA records, serials {first} and {serial}"
            ))
            .into()),
            Some(_) => Ok(()),
            None => {
                self.intake.count_other();
                self.serial = Some(serial);
                Ok(())
            }
        }
    }

    /// Reads a name into canonical wire form; relative names get the origin, `@` is the origin.
    fn read_name(&self, word: &[u8], quoted: bool, wire: &mut Vec<u8>) -> Result<(), Refusal> {
        wire.clear();
        if word == b"@" && !quoted {
            wire.extend_from_slice(&self.origin);
            return Ok(());
        }
        if push_plain_name(word, &self.origin, wire) {
            return Ok(());
        }
        let is_plain = word.iter().all(|octet| octet.is_ascii() && *octet != b'\\');
        if !is_plain || word.is_empty() || word == b"." {
            return self.read_odd_name(word, quoted, wire);
        }
        let (text, is_absolute) = word
            .strip_suffix(b".")
            .map_or((word, false), |text| (text, true));
        for label in text.split(|octet| *octet == b'.') {
            if label.is_empty() || label.len() > LABEL_OCTETS_MAX {
                return Err(self.malformed(&format!(
                    "{:?} is not a name: a label is empty or too long",
                    lossy(word)
                )));
            }
            wire.push(label.len() as u8);
            wire.extend_from_slice(label);
        }
        self.end_name(word, is_absolute, wire)
    }

    /// Reads a name with escapes, U-labels or other octets, the root, or what is no name.
    fn read_odd_name(&self, word: &[u8], quoted: bool, wire: &mut Vec<u8>) -> Result<(), Refusal> {
        let as_text = |keeps_unicode| {
            let text = escape_octets(word, quoted, keeps_unicode);
            Name::parse(&text)
        };
        let is_unicode = std::str::from_utf8(word).is_ok();
        let name = match as_text(is_unicode) {
            // RFC 1035 §3.1: a label is octets. What is no U-label is taken as it stands, as BIND does.
            Err(NameError::BadUnicode(_)) => as_text(false),
            name => name,
        };
        let name = name.map_err(|fault| self.malformed(&fault.to_string()))?;
        let before_dot = word.strip_suffix(b".").unwrap_or(word);
        let escapes = before_dot
            .iter()
            .rev()
            .take_while(|octet| **octet == b'\\')
            .count();
        let is_absolute = word.ends_with(b".") && escapes % 2 == 0;
        wire.extend_from_slice(&name.as_wire()[..name.as_wire().len() - 1]);
        self.end_name(word, is_absolute, wire)
    }

    /// Adds the origin or the root to a name and lower-cases it.
    fn end_name(&self, word: &[u8], is_absolute: bool, wire: &mut Vec<u8>) -> Result<(), Refusal> {
        if is_absolute {
            wire.push(0);
        } else {
            wire.extend_from_slice(&self.origin);
        }
        if wire.len() > NAME_OCTETS_MAX {
            return Err(self.malformed(&format!("{:?} is longer than 255 octets", lossy(word))));
        }
        // Length octets are at most 63 and so below the upper-case letters.
        wire.make_ascii_lowercase();
        Ok(())
    }

    /// Returns the refusal of the entry in hand.
    fn malformed(&self, what: &str) -> Refusal {
        Refusal::Malformed(format!("line {}: {what}", self.line + 1))
    }

    /// Ends the file.
    fn finish(self) -> Result<FileRead, SourceError> {
        self.ends.judge(self.line)?;
        if self.serial.is_none() && self.rules.require_soa {
            return Err(Refusal::EndedEarly("no SOA record in the file; if such files are normal here, set require_soa = false (import: --no-soa)".to_owned()).into());
        }
        let counts = self.intake.finish()?;
        if counts.kept == 0 {
            return Err(Refusal::EndedEarly(
                "the file holds no delegation and no address".to_owned(),
            )
            .into());
        }
        Ok(FileRead {
            fetched: Fetched {
                serial: self.serial,
                counts,
                zonemd: Zonemd::None,
            },
            ends_with_soa: self.ends.is_closed(),
        })
    }
}

/// Returns a word as the text of a name: octets that are no ASCII as `\DDD`, unless they are kept, and in
/// quotes whatever would end a word.
fn escape_octets(word: &[u8], quoted: bool, keeps_unicode: bool) -> String {
    let ends_word = |octet: u8| octet.is_ascii_whitespace() || b"\"();".contains(&octet);
    let mut octets = Vec::with_capacity(word.len());
    let mut is_escaped = false;
    for &octet in word {
        let is_odd = (!octet.is_ascii() && !keeps_unicode) || (quoted && ends_word(octet));
        match (is_odd, is_escaped) {
            // The backslash is there already.
            (true, true) => octets.extend_from_slice(format!("{octet:03}").as_bytes()),
            (true, false) => octets.extend_from_slice(format!("\\{octet:03}").as_bytes()),
            (false, _) => octets.push(octet),
        }
        is_escaped = octet == b'\\' && !is_escaped;
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// Returns octets as text for a sentence.
fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[cfg(test)]
mod tests;
