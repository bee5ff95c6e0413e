//! Master files (RFC 1035 §5), plain and gzip, streamed.
//!
//! The file is cut into entries (a line, or several joined by parentheses or quotes) and each run of
//! whole entries is given to NLnet Labs' scanner, which keeps `$ORIGIN`, `$TTL` and the last owner.
//! One entry that cannot be read refuses the file: a zone file with a hole in it would look like a
//! deletion. So does a last line without its newline, the mark of a download that was cut off.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use domain::base::Name as WireName;
use domain::base::iana::Class;
use domain::base::name::ToName;
use domain::rdata::ZoneRecordData;
use domain::zonefile::inplace::{Entry, Zonefile};
use flate2::bufread::MultiGzDecoder;

use crate::dns::{Name, RecordType, Serial};
use crate::source::{Fetched, SourceError};
use crate::zone::{Intake, Refusal, Spool};

/// How much is read, and given to the scanner, at a time.
const CHUNK_OCTETS: usize = 256 << 10;
/// The most octets of one entry, parentheses included.
const ENTRY_OCTETS_MAX: usize = 1 << 20;
/// The most octets of one file after decompression.
const FILE_OCTETS_MAX: u64 = 256 << 30;
/// The most files a pattern may name.
const GLOB_FILES_MAX: usize = 1_000_000;

/// Reads the zone file at `path` (gzip if the name ends in `.gz`) into the intake.
///
/// # Errors
///
/// [`SourceError::Refused`] for a file that is unreadable, malformed, cut off, of another zone, or
/// without its SOA although `require_soa` is set; the intake is then worthless.
pub fn read_zonefile<S: Spool>(
    path: &Path,
    apex: &Name,
    require_soa: bool,
    intake: &mut Intake<S>,
) -> Result<Fetched, SourceError> {
    let unreadable = |error: io::Error| Refusal::Unreadable(format!("{}: {error}", path.display()));
    let file = BufReader::with_capacity(CHUNK_OCTETS, File::open(path).map_err(unreadable)?);
    if path.extension().is_some_and(|extension| extension == "gz") {
        read_stream(MultiGzDecoder::new(file), apex, require_soa, intake)
    } else {
        read_stream(file, apex, require_soa, intake)
    }
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

/// Reads a zone from a stream of text.
fn read_stream<S: Spool>(
    mut stream: impl Read,
    apex: &Name,
    require_soa: bool,
    intake: &mut Intake<S>,
) -> Result<Fetched, SourceError> {
    let mut reader = ZoneReader::new(apex, intake);
    let mut cutter = EntryCutter {
        at_line_start: true,
        ..EntryCutter::default()
    };
    let mut chunk = vec![0; CHUNK_OCTETS];
    let mut octets = 0_u64;
    loop {
        let length = match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Refusal::EndedEarly(format!(
                    "compressed data is cut off after line {}",
                    cutter.line
                ))
                .into());
            }
            Err(error) => {
                return Err(
                    Refusal::Unreadable(format!("after line {}: {error}", cutter.line)).into(),
                );
            }
        };
        octets += length as u64;
        if octets > FILE_OCTETS_MAX {
            return Err(
                Refusal::Limit(format!("zone file of more than {FILE_OCTETS_MAX} octets")).into(),
            );
        }
        cutter.push(&chunk[..length])?;
        reader.read_entries(cutter.take_whole())?;
    }
    if !cutter.is_at_end_of_entry() {
        return Err(Refusal::EndedEarly(format!(
            "the last line, {}, is not complete: no newline at its end",
            cutter.line
        ))
        .into());
    }
    reader.finish(require_soa)
}

/// The octets that may change the state of [`EntryCutter`].
const IS_SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0x80;
    while octet < 256 {
        table[octet] = true;
        octet += 1;
    }
    table[b'\n' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'"' as usize] = true;
    table[b';' as usize] = true;
    table[b'(' as usize] = true;
    table[b')' as usize] = true;
    table[b'.' as usize] = true;
    table
};

/// Cuts text into whole entries, and refuses what the scanner would misread.
#[derive(Default)]
struct EntryCutter {
    buffer: Vec<u8>,
    /// How much of `buffer` has been looked at.
    looked_at: usize,
    /// Where the last whole entry ends in `buffer`.
    whole: usize,
    /// Lines seen so far.
    line: u64,
    depth: u32,
    in_quote: bool,
    in_comment: bool,
    escaped: bool,
    last_was_dot: bool,
    entry_has_high_octets: bool,
    rewrites: Vec<(usize, usize)>,
    begun: bool,
    at_line_start: bool,
    has_control_entry: bool,
}

impl EntryCutter {
    /// Appends text and finds the ends of entries in it.
    fn push(&mut self, text: &[u8]) -> Result<(), Refusal> {
        self.buffer.extend_from_slice(text);
        if !self.begun {
            // Wait for three octets: the file may begin with a byte order mark.
            if self.buffer.len() < 3 {
                return Ok(());
            }
            self.begun = true;
            if self.buffer.starts_with(b"\xef\xbb\xbf") {
                self.buffer.drain(..3);
            }
        }
        while self.looked_at < self.buffer.len() {
            // Most octets change nothing: pass over them in one run.
            if !self.in_comment && !self.escaped && !self.in_quote && !self.at_line_start {
                let rest = &self.buffer[self.looked_at..];
                let plain = rest
                    .iter()
                    .position(|octet| IS_SPECIAL[*octet as usize])
                    .unwrap_or(rest.len());
                if plain > 0 {
                    self.looked_at += plain;
                    self.last_was_dot = false;
                    continue;
                }
            }
            let octet = self.buffer[self.looked_at];
            self.looked_at += 1;
            self.look_at(octet)?;
        }
        if self.buffer.len() - self.whole > ENTRY_OCTETS_MAX + CHUNK_OCTETS {
            return Err(Refusal::Limit(format!(
                "line {}: entry of more than {ENTRY_OCTETS_MAX} octets",
                self.line + 1
            )));
        }
        Ok(())
    }

    /// Moves the state by one octet.
    fn look_at(&mut self, octet: u8) -> Result<(), Refusal> {
        let was_dot = std::mem::replace(&mut self.last_was_dot, false);
        if std::mem::replace(&mut self.at_line_start, octet == b'\n') && octet == b'$' {
            self.has_control_entry = true;
        }
        if octet == b'\n' {
            self.line += 1;
            self.in_comment = false;
            self.escaped = false;
            if self.depth == 0 && !self.in_quote {
                if self.entry_has_high_octets {
                    self.rewrites.push((self.whole, self.looked_at));
                    self.entry_has_high_octets = false;
                }
                self.whole = self.looked_at;
            }
            return Ok(());
        }
        if self.in_comment {
            return Ok(());
        }
        if self.escaped {
            self.escaped = false;
            return Ok(());
        }
        match octet {
            b'\\' => self.escaped = true,
            b'"' => self.in_quote = !self.in_quote,
            _ if self.in_quote => {}
            b';' => self.in_comment = true,
            b'(' => self.depth += 1,
            b')' => {
                self.depth = self.depth.checked_sub(1).ok_or_else(|| {
                    Refusal::Malformed(format!("line {}: unmatched )", self.line + 1))
                })?
            }
            b'.' if was_dot => {
                return Err(Refusal::Malformed(format!(
                    "line {}: name with an empty label",
                    self.line + 1
                )));
            }
            b'.' => self.last_was_dot = true,
            0x80.. => self.entry_has_high_octets = true,
            _ => {}
        }
        Ok(())
    }

    /// Returns whether nothing is left over.
    fn is_at_end_of_entry(&self) -> bool {
        self.whole == self.buffer.len() && !self.in_quote && self.depth == 0
    }

    /// Takes the whole entries out, U-labels and `$TTL` units rewritten.
    fn take_whole(&mut self) -> Vec<u8> {
        let rest = self.buffer.split_off(self.whole);
        let mut whole = std::mem::replace(&mut self.buffer, rest);
        self.looked_at -= self.whole;
        self.whole = 0;
        for (start, end) in std::mem::take(&mut self.rewrites).into_iter().rev() {
            let ascii = rewrite_high_octets(&whole[start..end]);
            whole.splice(start..end, ascii);
        }
        if std::mem::take(&mut self.has_control_entry) {
            rewrite_default_ttl(whole)
        } else {
            whole
        }
    }
}

/// Rewrites every word with non-ASCII characters as the name it is, in A-labels. What is no name
/// stays, for the scanner to refuse.
fn rewrite_high_octets(entry: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(entry) else {
        return entry.to_vec();
    };
    let mut ascii = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest
            .find([' ', '\t', '\n', '\r', '(', ')', ';', '"'])
            .unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        match Name::parse(word) {
            Ok(name) if !word.is_ascii() && word.ends_with('.') => {
                ascii.push_str(&name.to_string())
            }
            Ok(name) if !word.is_ascii() => ascii.push_str(&name.to_text_without_dot()),
            _ => ascii.push_str(word),
        }
        let separator = tail.chars().next().map_or(0, char::len_utf8);
        if tail.starts_with(';') {
            // Nothing in a comment matters.
            ascii.push('\n');
            break;
        }
        ascii.push_str(&tail[..separator]);
        rest = &tail[separator..];
    }
    ascii.into_bytes()
}

/// Rewrites `$TTL 1h` (BIND's form) in seconds, which is all that RFC 2308 §4 knows.
fn rewrite_default_ttl(text: Vec<u8>) -> Vec<u8> {
    let mut rewritten = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        let words: Option<(String, String)> = std::str::from_utf8(line).ok().and_then(|line| {
            let mut words = line.split_ascii_whitespace();
            Some((words.next()?.to_owned(), words.next()?.to_ascii_lowercase()))
        });
        match words {
            Some((word, value))
                if word.eq_ignore_ascii_case("$TTL")
                    && !value.bytes().all(|octet| octet.is_ascii_digit()) =>
            {
                match crate::time::Span::parse(&value) {
                    Ok(span) => rewritten
                        .extend_from_slice(format!("$TTL {}\n", span.as_seconds()).as_bytes()),
                    Err(_) => rewritten.extend_from_slice(line),
                }
            }
            _ => rewritten.extend_from_slice(line),
        }
    }
    rewritten
}

/// Gives scanned records to the intake.
struct ZoneReader<'a, S> {
    apex: &'a Name,
    intake: &'a mut Intake<S>,
    scanner: Zonefile,
    owner: Vec<u8>,
    rdata: Vec<u8>,
    serial: Option<Serial>,
}

impl<'a, S: Spool> ZoneReader<'a, S> {
    /// Starts with the apex as origin.
    fn new(apex: &'a Name, intake: &'a mut Intake<S>) -> Self {
        let mut scanner = Zonefile::new();
        let origin = WireName::from_octets(apex.as_wire().to_vec().into())
            .expect("a canonical name is a wire name");
        scanner.set_origin(origin);
        scanner.set_default_class(Class::IN);
        Self {
            apex,
            intake,
            scanner,
            owner: Vec::new(),
            rdata: Vec::new(),
            serial: None,
        }
    }

    /// Reads text that ends with a whole entry.
    fn read_entries(&mut self, text: Vec<u8>) -> Result<(), SourceError> {
        self.scanner.extend_from_slice(&text);
        while let Some(entry) = self
            .scanner
            .next_entry()
            .map_err(|fault| Refusal::Malformed(format!("line {fault}")))?
        {
            match entry {
                Entry::Record(record) => {
                    if record.class() != Class::IN {
                        return Err(Refusal::Malformed(format!(
                            "record of class {}, not IN",
                            record.class()
                        ))
                        .into());
                    }
                    self.owner.clear();
                    push_canonical(record.owner(), &mut self.owner);
                    if !crate::dns::wire_is_at_or_below(&self.owner, self.apex.as_wire()) {
                        return Err(Refusal::ForeignName(record.owner().to_bytes_name()).into());
                    }
                    self.take(record.ttl().as_secs(), record.data())?;
                }
                Entry::Include { .. } => {
                    return Err(Refusal::Malformed("$INCLUDE is not followed".to_owned()).into());
                }
            }
        }
        Ok(())
    }

    /// Gives one record on.
    fn take<O: domain::dep::octseq::Octets, N: ToName>(
        &mut self,
        ttl: u32,
        data: &ZoneRecordData<O, N>,
    ) -> Result<(), SourceError> {
        self.rdata.clear();
        let rtype = match data {
            ZoneRecordData::Ns(ns) => {
                push_canonical(ns.nsdname(), &mut self.rdata);
                RecordType::Ns
            }
            ZoneRecordData::Cname(cname) => {
                push_canonical(cname.cname(), &mut self.rdata);
                RecordType::Cname
            }
            ZoneRecordData::A(a) => {
                self.rdata.extend_from_slice(&a.addr().octets());
                RecordType::A
            }
            ZoneRecordData::Aaaa(aaaa) => {
                self.rdata.extend_from_slice(&aaaa.addr().octets());
                RecordType::Aaaa
            }
            ZoneRecordData::Ds(ds) => {
                self.rdata.extend_from_slice(&ds.key_tag().to_be_bytes());
                self.rdata
                    .extend([ds.algorithm().to_int(), ds.digest_type().to_int()]);
                self.rdata.extend_from_slice(ds.digest().as_ref());
                RecordType::Ds
            }
            ZoneRecordData::Soa(soa) => return self.take_soa(Serial(soa.serial().into_int())),
            _ => {
                self.intake.count_other();
                return Ok(());
            }
        };
        // RFC 2181 §8: a TTL with the high bit set counts as 0.
        let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
        Ok(self.intake.take(&self.owner, rtype, ttl, &self.rdata)?)
    }

    /// Takes the SOA. A dump of a transfer has it twice, at both ends, with one serial.
    fn take_soa(&mut self, serial: Serial) -> Result<(), SourceError> {
        if self.owner != self.apex.as_wire() {
            let owner = Name::from_wire(&self.owner)
                .map(|name| name.to_string())
                .unwrap_or_default();
            return Err(Refusal::Malformed(format!(
                "SOA of {owner}, which is not the apex {}",
                self.apex
            ))
            .into());
        }
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

    /// Ends the file.
    fn finish(self, require_soa: bool) -> Result<Fetched, SourceError> {
        if self.serial.is_none() && require_soa {
            return Err(Refusal::EndedEarly("no SOA record in the file; if such files are normal here, set require_soa = false (import: --no-soa)".to_owned()).into());
        }
        let counts = self.intake.finish()?;
        if counts.kept == 0 {
            return Err(Refusal::EndedEarly(
                "the file holds no delegation and no address".to_owned(),
            )
            .into());
        }
        Ok(Fetched {
            serial: self.serial,
            counts,
        })
    }
}

/// Appends the canonical wire form of a scanned name.
fn push_canonical(name: &impl ToName, octets: &mut Vec<u8>) {
    let start = octets.len();
    for label in name.iter_labels() {
        octets.push(label.len() as u8);
        octets.extend_from_slice(label.as_slice());
    }
    octets[start..].make_ascii_lowercase();
}

/// The presentation form of a scanned name, for a sentence.
trait ToBytesName {
    /// Returns the canonical presentation form.
    fn to_bytes_name(&self) -> String;
}

impl<N: ToName> ToBytesName for N {
    fn to_bytes_name(&self) -> String {
        let mut octets = Vec::new();
        push_canonical(self, &mut octets);
        Name::from_wire(&octets)
            .map(|name| name.to_string())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::zone::{Candidate, DigestKey, DigestTable};

    fn read(text: &[u8]) -> Result<(Fetched, Vec<Candidate>), String> {
        let apex = Name::parse("example.").expect("valid");
        let mut intake = Intake::new(
            DigestKey::new([1; 32]),
            DigestTable::with_capacity(0),
            Cursor::new(Vec::new()),
        );
        let fetched =
            read_stream(text, &apex, true, &mut intake).map_err(|error| error.to_string())?;
        let candidates = intake.candidates(0).expect("own spool reads");
        Ok((fetched, candidates))
    }

    fn lines(text: &[u8]) -> Vec<String> {
        let (_, candidates) = read(text).expect("the test's zone is valid");
        candidates
            .iter()
            .flat_map(|it| {
                it.records
                    .iter()
                    .map(|rr| format!("{} {} {}", it.owner, rr.rdata.rtype(), rr.rdata))
            })
            .collect()
    }

    const SOA: &str = "@ SOA ns1 host ( 7 ; serial\n 3600 600 86400 300 )\n";

    #[test]
    fn master_file_forms_are_read() {
        let text = format!(
            "\u{feff}$TTL 1h\n{SOA}bad NS ns1\n\tNS\tNS2.Other.TEST.\n$ORIGIN bad.example.\nns1 A 192.0.2.1 ; first\nx TXT \"a;b(\" \"..\"\nns1 300 IN AAAA 2001:DB8:0::1\n"
        );
        assert_eq!(
            lines(text.as_bytes()),
            [
                "bad.example. NS ns1.example.",
                "bad.example. NS ns2.other.test.",
                "ns1.bad.example. A 192.0.2.1",
                "ns1.bad.example. AAAA 2001:db8::1"
            ]
        );
    }

    #[test]
    fn u_labels_become_a_labels() {
        let text = format!("{SOA}bücher.example. 60 IN NS ns1.bücher.example. ; größer\n");
        assert_eq!(
            lines(text.as_bytes()),
            ["xn--bcher-kva.example. NS ns1.xn--bcher-kva.example."]
        );
    }

    #[test]
    fn what_is_cut_off_or_odd_is_refused() {
        let whole = format!("{SOA}bad NS ns1.other.test.\n");
        assert!(read(whole.as_bytes()).is_ok());
        for (text, reason) in [
            (whole[..whole.len() - 1].to_owned(), "not complete"),
            (format!("{whole}half 60"), "not complete"),
            (format!("{whole}half 60\n"), "malformed"),
            (format!("{whole}x ( A 192.0.2.1\n"), "not complete"),
            (format!("{whole}a..b A 192.0.2.1\n"), "empty label"),
            (
                format!("{whole}other.test. A 192.0.2.1\n"),
                "not in the zone",
            ),
            (format!("{whole}$INCLUDE /etc/passwd\n"), "$INCLUDE"),
            (
                format!("{whole}$GENERATE 1-9 a$ A 192.0.2.$\n"),
                "malformed",
            ),
            (whole.replace("@ SOA", "@ CH SOA"), "malformed"),
            ("bad NS ns1.other.test.\n".to_owned(), "no SOA"),
            (format!("{whole}@ SOA ns1 host 8 1 1 1 1\n"), "SOA mismatch"),
            (SOA.to_owned(), "no delegation"),
        ] {
            let error = read(text.as_bytes()).expect_err(&text);
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn chunks_of_any_size_read_alike() {
        let text =
            format!("{SOA}bad NS ns1\n  NS bücher\nq TXT ( \"a\"\n \"b\" )\nns1 A 192.0.2.1\n");
        for size in [1, 2, 3, 7, 1000] {
            /// Gives at most `self.1` octets a read.
            struct Slow<'a>(&'a [u8], usize);
            impl Read for Slow<'_> {
                fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                    let length = self.1.min(self.0.len()).min(buffer.len());
                    buffer[..length].copy_from_slice(&self.0[..length]);
                    self.0 = &self.0[length..];
                    Ok(length)
                }
            }
            let apex = Name::parse("example.").expect("valid");
            let mut intake = Intake::new(
                DigestKey::new([1; 32]),
                DigestTable::with_capacity(0),
                Cursor::new(Vec::new()),
            );
            let fetched =
                read_stream(Slow(text.as_bytes(), size), &apex, true, &mut intake).expect("valid");
            assert_eq!(fetched.counts.kept, 3, "{size}");
        }
    }
}
