//! Verifies the message digest of a whole zone (ZONEMD, RFC 8976): scheme SIMPLE, SHA-384 and SHA-512.
//!
//! The digest is over every record of the zone in canonical order, the types that are not kept
//! included. Records are sorted in memory up to [`RUN_OCTETS`] at a time; what is more goes to a file
//! that is gone with the process, and is merged at the end.
//!
//! It is not known at the beginning whether a zone has a digest. Knot, NSD and BIND send the apex
//! first, so the records of the apex are held until another owner comes; where no digest was among
//! them, nothing more is collected.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use ring::digest::{Context, SHA384, SHA512};

use crate::dns::{Name, Serial};
use crate::source::SourceError;
use crate::source::spool::make_spool;
use crate::source::wire::{WireError, WireRecord};
use crate::zone::{Refusal, ZonemdRule};

/// Type ZONEMD (RFC 8976 §5.1).
const TYPE_ZONEMD: u16 = 63;
/// Type RRSIG.
const TYPE_RRSIG: u16 = 46;
/// Scheme SIMPLE (RFC 8976 §5.2).
const SCHEME_SIMPLE: u8 = 1;
/// The octets of records that are sorted in memory.
// RFC 8976 §3.3.1 wants every record in canonical order; a zone does not fit in memory, its sorted runs do.
const RUN_OCTETS: usize = 16 << 20;
/// The octets of apex records that are held before it is known whether there is a digest.
// Knot, NSD and BIND send the apex first: only until it is past can it be known whether the zone has a digest.
const APEX_OCTETS_MAX: usize = 1 << 20;
/// The octets that are read ahead of each run: 4 KiB of memory for each MiB of records.
const READ_OCTETS: usize = 64 << 10;
/// The most digests of a zone; two schemes and hashes are in use.
const DIGESTS_MAX: usize = 64;
/// Octets of a ZONEMD record before the digest: serial, scheme, hash algorithm (RFC 8976 §2.2).
const HEAD_OCTETS: usize = 6;

/// What a whole zone's digest said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Zonemd {
    /// There was none to look at, or nobody looked.
    #[default]
    None,
    /// It is the digest of what arrived.
    Verified,
    /// Only schemes and hashes that this program does not know (RFC 8976 §4: not verified, not failed).
    Unsupported,
    /// It came after other names, too late to be verified; `zonemd = "require"` collects from the start.
    Late,
}

impl Zonemd {
    /// Returns the word for a log line.
    pub fn code(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Verified => "verified",
            Self::Unsupported => "unsupported",
            Self::Late => "late",
        }
    }
}

/// Collects the records of one whole zone and compares them with the digest among them.
pub(super) struct ZoneDigester {
    rule: ZonemdRule,
    apex: Vec<u8>,
    serial: Serial,
    /// Whether records are collected.
    collects: bool,
    /// Whether a record of another owner than the apex has come.
    left_apex: bool,
    /// RDATA of the ZONEMD records of the apex.
    digests: Vec<Vec<u8>>,
    run: Vec<Entry>,
    run_octets: usize,
    /// How many of them are sorted in memory.
    run_octets_max: usize,
    /// Where each spilled run ends in the file.
    spilled: Vec<u64>,
    spool: Option<BufWriter<File>>,
    rdata: Vec<u8>,
}

impl ZoneDigester {
    /// Starts before the opening SOA.
    pub fn new(rule: ZonemdRule, apex: &Name) -> Self {
        Self {
            rule,
            apex: apex.as_wire().to_vec(),
            serial: Serial(0),
            collects: rule != ZonemdRule::Ignore,
            left_apex: false,
            digests: Vec::new(),
            run: Vec::new(),
            run_octets: 0,
            run_octets_max: RUN_OCTETS,
            spilled: Vec::new(),
            spool: None,
            rdata: Vec::new(),
        }
    }

    /// Takes a record of the zone; the opening SOA is one, the closing SOA is none.
    ///
    /// # Errors
    ///
    /// [`SourceError::Refused`] for RDATA that cannot be read, [`SourceError::Local`] if the spool fails.
    pub fn take(&mut self, record: &WireRecord<'_>) -> Result<(), SourceError> {
        if self.rule == ZonemdRule::Ignore {
            return Ok(());
        }
        let is_apex = record.owner == self.apex;
        if record.code == TYPE_ZONEMD && is_apex {
            // RFC 8976 §3.3.1.1 leaves it out of the digest.
            if self.digests.len() == DIGESTS_MAX {
                let what = format!("more than {DIGESTS_MAX} ZONEMD records");
                return Err(Refusal::Malformed(what).into());
            }
            self.digests.push(record.uncut_rdata().to_vec());
            return Ok(());
        }
        if !self.collects {
            return Ok(());
        }
        if !is_apex && !self.left_apex {
            self.left_apex = true;
            // Servers send the apex first, though RFC 5936 leaves the order open. A zone that has no digest there has none, and need not be kept and
            // sorted.
            if self.rule == ZonemdRule::Auto && self.digests.is_empty() {
                self.collects = false;
                self.run = Vec::new();
                return Ok(());
            }
        }
        if is_apex && let Some(soa) = record.soa() {
            self.serial = soa.serial;
        }
        record.canonical_rdata(&mut self.rdata).map_err(malformed)?;
        let covers_zonemd = || self.rdata.get(..2) == Some(&TYPE_ZONEMD.to_be_bytes());
        // RFC 8976 §3.3.1.1: the signature over the ZONEMD RRset cannot be in a digest that it signs.
        if record.code == TYPE_RRSIG && is_apex && covers_zonemd() {
            return Ok(());
        }
        let entry = Entry::new(record, &self.rdata);
        self.run_octets += entry.0.len();
        self.run.push(entry);
        // An apex without end would be collected in memory while it is still open whether there is a digest.
        if !self.left_apex && self.run_octets > APEX_OCTETS_MAX && self.digests.is_empty() {
            self.left_apex = true;
            if self.rule == ZonemdRule::Auto {
                self.collects = false;
                self.run = Vec::new();
            }
        }
        if self.run_octets > self.run_octets_max {
            self.spill().map_err(SourceError::Local)?;
        }
        Ok(())
    }

    /// Compares at the end of the zone.
    ///
    /// # Errors
    ///
    /// [`Refusal::Zonemd`] if the digest is another, or is required and missing.
    pub fn finish(mut self) -> Result<Zonemd, SourceError> {
        if self.rule == ZonemdRule::Ignore {
            return Ok(Zonemd::None);
        }
        let outcome = match self.wanted()? {
            Wanted::Nothing => Zonemd::None,
            Wanted::Unknown => Zonemd::Unsupported,
            Wanted::Digests(_) if !self.collects => Zonemd::Late,
            Wanted::Digests(wanted) => {
                let hashes = self.hash(&wanted).map_err(SourceError::Local)?;
                // RFC 8976 §4 step 4: one that verifies is enough.
                let matches = |(hash, wanted): (&Vec<u8>, &(u8, Vec<u8>))| *hash == wanted.1;
                if !hashes.iter().zip(&wanted).any(matches) {
                    let what =
                        format!("serial {}: the records are not those digested", self.serial);
                    return Err(Refusal::Zonemd(what).into());
                }
                Zonemd::Verified
            }
        };
        if self.rule == ZonemdRule::Require && outcome != Zonemd::Verified {
            let what = format!(
                "serial {}: no digest that can be verified, and it is required",
                self.serial
            );
            return Err(Refusal::Zonemd(what).into());
        }
        Ok(outcome)
    }

    /// Returns the digests that can be compared (RFC 8976 §4).
    fn wanted(&self) -> Result<Wanted, Refusal> {
        if self.digests.is_empty() {
            return Ok(Wanted::Nothing);
        }
        let mut wanted: Vec<(u8, Vec<u8>)> = Vec::new();
        let mut twice = Vec::new();
        let mut of_serial = false;
        for rdata in &self.digests {
            let Some((head, digest)) = rdata.split_at_checked(HEAD_OCTETS) else {
                return Err(Refusal::Malformed("ZONEMD record cut short".to_owned()));
            };
            let serial = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            // Where nothing was collected the serial is not known either.
            if self.collects && serial != self.serial.0 {
                continue;
            }
            of_serial = true;
            let (scheme, hash) = (head[4], head[5]);
            // RFC 8976 §4: what is not known is passed over and does not fail.
            if scheme != SCHEME_SIMPLE || octets_of(hash) != Some(digest.len()) {
                continue;
            }
            // RFC 8976 §2.2.3: two of one scheme and hash must not be used.
            if wanted.iter().any(|(other, _)| *other == hash) {
                twice.push(hash);
            }
            wanted.push((hash, digest.to_vec()));
        }
        wanted.retain(|(hash, _)| !twice.contains(hash));
        if !of_serial {
            let what = format!("the digest is of another serial than {}", self.serial);
            return Err(Refusal::Zonemd(what));
        }
        Ok(if wanted.is_empty() {
            Wanted::Unknown
        } else {
            Wanted::Digests(wanted)
        })
    }

    /// Sorts what is in memory and writes it to the spool.
    fn spill(&mut self) -> io::Result<()> {
        let mut spool = match self.spool.take() {
            Some(spool) => spool,
            None => BufWriter::new(make_spool()?),
        };
        self.run.sort_unstable();
        let mut end = self.spilled.last().copied().unwrap_or(0);
        for entry in self.run.drain(..) {
            // An entry is a name and a record, far below four gigabytes.
            spool.write_all(&(entry.0.len() as u32).to_be_bytes())?;
            spool.write_all(&entry.0)?;
            end += 4 + entry.0.len() as u64;
        }
        self.spilled.push(end);
        self.run_octets = 0;
        self.spool = Some(spool);
        Ok(())
    }

    /// Returns the hash of the sorted records for each that is wanted.
    fn hash(&mut self, wanted: &[(u8, Vec<u8>)]) -> io::Result<Vec<Vec<u8>>> {
        let mut hashers: Vec<Context> = wanted
            .iter()
            .map(|(hash, _)| Context::new(if *hash == 1 { &SHA384 } else { &SHA512 }))
            .collect();
        let mut last: Option<Entry> = None;
        let mut record = Vec::new();
        let mut put = |entry: Entry| {
            // RFC 8976 §3.3.1: the same record twice counts once, whatever its TTL.
            if last.as_ref().map(Entry::key) != Some(entry.key()) {
                entry.write_record(&mut record);
                for hasher in &mut hashers {
                    hasher.update(&record);
                }
            }
            last = Some(entry);
        };
        self.run.sort_unstable();
        if self.spool.is_none() {
            self.run.drain(..).for_each(&mut put);
        } else {
            self.spill()?;
            self.merge(&mut put)?;
        }
        let hash_of = |hasher: Context| hasher.finish().as_ref().to_vec();
        Ok(hashers.into_iter().map(hash_of).collect())
    }

    /// Gives the entries of all spilled runs in order.
    fn merge(&mut self, put: &mut impl FnMut(Entry)) -> io::Result<()> {
        let spool = self.spool.take().expect("a run was spilled");
        let file = spool.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut runs = Vec::new();
        let mut start = 0;
        for end in &self.spilled {
            let section = Section {
                file: &file,
                at: start,
                end: *end,
            };
            runs.push(BufReader::with_capacity(READ_OCTETS, section));
            start = *end;
        }
        // One entry of each run: as many as runs lie in memory, whatever the size of the zone.
        let mut heap = BinaryHeap::new();
        for (i, run) in runs.iter_mut().enumerate() {
            heap.extend(next_entry(run)?.map(|entry| Reverse((entry, i))));
        }
        while let Some(Reverse((entry, i))) = heap.pop() {
            put(entry);
            heap.extend(next_entry(&mut runs[i])?.map(|entry| Reverse((entry, i))));
        }
        Ok(())
    }
}

/// What the digests of a zone ask for.
enum Wanted {
    /// There are none.
    Nothing,
    /// There are only such as are not known.
    Unknown,
    /// Hash algorithm and digest.
    Digests(Vec<(u8, Vec<u8>)>),
}

/// A part of a file.
struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min((self.end - self.at) as usize);
        let mut file = self.file;
        file.seek(SeekFrom::Start(self.at))?;
        let count = file.read(&mut buffer[..most])?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Reads the next entry of a run; `None` at its end.
fn next_entry(run: &mut impl Read) -> io::Result<Option<Entry>> {
    let mut length = [0; 4];
    match run.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut entry = vec![0; u32::from_be_bytes(length) as usize].into_boxed_slice();
    run.read_exact(&mut entry)?;
    Ok(Some(Entry(entry)))
}

/// Returns the octets of a digest of this hash algorithm (RFC 8976 §5.3); `None` if it is not known.
fn octets_of(hash: u8) -> Option<usize> {
    match hash {
        1 => Some(48),
        2 => Some(64),
        _ => None,
    }
}

/// A record in canonical order (RFC 4034 §6.1, §6.3; RFC 8976 §3.3.1): the owner's labels from the root
/// down, each with its zero octets escaped and a zero at its end; a zero; the type; the RDATA; and last
/// the TTL, which orders nothing but the same record twice.
#[derive(PartialEq, Eq)]
struct Entry(Box<[u8]>);

impl Entry {
    /// Makes an entry of a record whose canonical RDATA is given.
    fn new(record: &WireRecord<'_>, rdata: &[u8]) -> Self {
        let mut starts = Vec::with_capacity(8);
        let mut at = 0;
        while record.owner[at] != 0 {
            starts.push(at);
            at += 1 + record.owner[at] as usize;
        }
        let mut entry = Vec::with_capacity(record.owner.len() + rdata.len() + 10);
        for start in starts.into_iter().rev() {
            let end = start + 1 + record.owner[start] as usize;
            for octet in &record.owner[start + 1..end] {
                match octet {
                    0 => entry.extend([1, 1]),
                    1 => entry.extend([1, 2]),
                    other => entry.push(*other),
                }
            }
            entry.push(0);
        }
        entry.push(0);
        entry.extend(record.code.to_be_bytes());
        entry.extend(rdata);
        entry.extend(record.ttl.to_be_bytes());
        Self(entry.into_boxed_slice())
    }

    /// Returns everything but the TTL.
    fn key(&self) -> &[u8] {
        &self.0[..self.0.len() - 4]
    }

    /// Writes the record in canonical wire form (RFC 4034 §6.2).
    fn write_record(&self, record: &mut Vec<u8>) {
        let entry = &self.0;
        let mut labels: Vec<Vec<u8>> = Vec::with_capacity(8);
        let mut at = 0;
        while entry[at] != 0 {
            let mut label = Vec::with_capacity(16);
            while entry[at] != 0 {
                let is_escaped = entry[at] == 1;
                label.push(if is_escaped {
                    entry[at + 1] - 1
                } else {
                    entry[at]
                });
                at += if is_escaped { 2 } else { 1 };
            }
            labels.push(label);
            at += 1;
        }
        at += 1;
        record.clear();
        for label in labels.iter().rev() {
            record.push(label.len() as u8);
            record.extend(label);
        }
        record.push(0);
        let ttl = entry.len() - 4;
        record.extend(&entry[at..at + 2]);
        record.extend([0, 1]);
        record.extend(&entry[ttl..]);
        record.extend(((ttl - at - 2) as u16).to_be_bytes());
        record.extend(&entry[at + 2..ttl]);
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // An RDATA that another begins with comes first; their TTLs must not decide.
        self.key()
            .cmp(other.key())
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Returns the refusal of RDATA that cannot be read.
fn malformed(fault: WireError) -> SourceError {
    Refusal::Malformed(fault.to_string()).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::wire::AnswerWalker;

    /// The zone of RFC 8976 Appendix A.1, as owner, type, TTL and RDATA.
    fn simple_zone() -> Vec<(Vec<u8>, u16, u32, Vec<u8>)> {
        let name = |text: &str| Name::parse(text).expect("a name").as_wire().to_vec();
        let mut soa = [name("ns1.example."), name("admin.example.")].concat();
        for number in [2_018_031_900_u32, 1800, 900, 604_800, 86_400] {
            soa.extend(number.to_be_bytes());
        }
        let digest = "c68090d90a7aed716bc459f9340e3d7c1370d4d24b7e2fc3a1ddc0b9a87153b9a9713b3c9ae5cc27777f98b8e730044c";
        let mut zonemd = 2_018_031_900_u32.to_be_bytes().to_vec();
        zonemd.extend([1, 1]);
        zonemd.extend(
            (0..digest.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&digest[at..at + 2], 16).expect("two digits")),
        );
        let apex = name("example.");
        let v6 = "2001:db8::63"
            .parse::<std::net::Ipv6Addr>()
            .expect("an address");
        vec![
            (apex.clone(), 6, 86_400, soa),
            (apex.clone(), 2, 86_400, name("NS1.example.")),
            (apex.clone(), 2, 86_400, name("ns2.example.")),
            (apex, 63, 86_400, zonemd),
            (name("ns1.example."), 1, 3600, vec![203, 0, 113, 63]),
            (name("NS2.example."), 28, 3600, v6.octets().to_vec()),
        ]
    }

    /// Gives records to a digester that sorts so many octets at a time.
    fn verify(
        rule: ZonemdRule,
        run_octets_max: usize,
        records: &[(Vec<u8>, u16, u32, Vec<u8>)],
    ) -> Result<Zonemd, String> {
        let apex = Name::parse("example.").expect("a name");
        let mut digester = ZoneDigester::new(rule, &apex);
        digester.run_octets_max = run_octets_max;
        let mut message = vec![0, 1, 0x84, 0, 0, 0];
        message.extend((records.len() as u16).to_be_bytes());
        message.extend([0; 4]);
        for (owner, code, ttl, rdata) in records {
            message.extend(owner);
            message.extend(code.to_be_bytes());
            message.extend([0, 1]);
            message.extend(ttl.to_be_bytes());
            message.extend((rdata.len() as u16).to_be_bytes());
            message.extend(rdata);
        }
        let mut walker = AnswerWalker::new(&message).expect("a header");
        while let Some(record) = walker.next_record().expect("a record") {
            digester.take(&record).map_err(|error| error.to_string())?;
        }
        digester.finish().map_err(|error| error.to_string())
    }

    #[test]
    fn the_simple_zone_of_the_rfc_verifies() {
        assert_eq!(
            verify(ZonemdRule::Auto, RUN_OCTETS, &simple_zone()),
            Ok(Zonemd::Verified)
        );
    }

    #[test]
    fn a_record_that_changed_went_or_came_is_refused() {
        let mut changed = simple_zone();
        changed[4].3[3] = 64;
        let mut went = simple_zone();
        went.pop();
        let mut came = simple_zone();
        came.push((b"\x01x\x07example\x00".to_vec(), 16, 60, b"\x01x".to_vec()));
        let mut ttl = simple_zone();
        ttl[4].2 = 60;
        for records in [changed, went, came, ttl] {
            let refused = verify(ZonemdRule::Auto, RUN_OCTETS, &records);
            assert!(
                refused
                    .expect_err("refused")
                    .starts_with("ZONEMD: serial 2018031900")
            );
        }
    }

    #[test]
    fn digests_that_may_not_be_used_are_not() {
        let mut other_serial = simple_zone();
        other_serial[3].3[3] += 1;
        assert!(verify(ZonemdRule::Auto, RUN_OCTETS, &other_serial).is_err());
        let mut unknown = simple_zone();
        unknown[3].3[5] = 240;
        assert_eq!(
            verify(ZonemdRule::Auto, RUN_OCTETS, &unknown),
            Ok(Zonemd::Unsupported)
        );
        assert!(verify(ZonemdRule::Require, RUN_OCTETS, &unknown).is_err());
        let mut twice = simple_zone();
        let mut wrong = twice[3].clone();
        wrong.3[10] ^= 1;
        twice.insert(3, wrong);
        assert_eq!(
            verify(ZonemdRule::Auto, RUN_OCTETS, &twice),
            Ok(Zonemd::Unsupported)
        );
    }

    #[test]
    fn a_zone_without_a_digest_is_refused_where_one_is_required() {
        let mut without = simple_zone();
        without.remove(3);
        assert_eq!(
            verify(ZonemdRule::Auto, RUN_OCTETS, &without),
            Ok(Zonemd::None)
        );
        assert!(verify(ZonemdRule::Require, RUN_OCTETS, &without).is_err());
        let mut late = simple_zone();
        let zonemd = late.remove(3);
        late.push(zonemd);
        assert_eq!(
            verify(ZonemdRule::Auto, RUN_OCTETS, &late),
            Ok(Zonemd::Late)
        );
        // Who does not look is not told of a digest that is cut short either.
        late.last_mut().expect("records").3.truncate(3);
        assert_eq!(
            verify(ZonemdRule::Ignore, RUN_OCTETS, &late),
            Ok(Zonemd::None)
        );
    }

    proptest! {
        #[test]
        fn neither_order_nor_repetition_nor_memory_matters(
            order in Just((1..6_usize).collect::<Vec<_>>()).prop_shuffle(),
            again in prop::collection::vec(1..6_usize, 0..4),
            run_octets_max in 0..400_usize,
        ) {
            let zone = simple_zone();
            // A digest record may not come twice.
            let again = again.iter().filter(|at| **at != 3);
            let records: Vec<_> = [0]
                .iter()
                .chain(&order)
                .chain(again)
                .map(|at| zone[*at].clone())
                .collect();
            prop_assert_eq!(verify(ZonemdRule::Require, run_octets_max, &records), Ok(Zonemd::Verified));
        }

        #[test]
        fn entries_give_their_records_back_in_canonical_order(
            labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..5), 0..4),
            rdata in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let mut owner: Vec<u8> = labels
                .iter()
                .flat_map(|label| [&[label.len() as u8], label.as_slice()].concat())
                .collect();
            owner.push(0);
            let mut record = WireRecord::of_a_test(&owner, 16, &rdata);
            record.ttl = 7;
            let entry = Entry::new(&record, &rdata);
            let mut written = Vec::new();
            entry.write_record(&mut written);
            let mut wanted = owner.clone();
            wanted.extend([0, 16, 0, 1, 0, 0, 0, 7, 0, rdata.len() as u8]);
            wanted.extend(&rdata);
            prop_assert_eq!(written, wanted);
            // One octet more in the RDATA comes after, whatever the TTLs are.
            let longer = [rdata.as_slice(), &[0]].concat();
            let later = WireRecord::of_a_test(&owner, 16, &longer);
            prop_assert!(entry < Entry::new(&later, &longer));
        }
    }
}
