//! Reads a whole version of a zone, one record at a time, without holding it.
//!
//! Records of one owner that follow each other are one group. A group whose digest is the owner's
//! last digest is done with; any other group goes to the spool, to be compared exactly. Owners whose
//! records are scattered over the version are put together again when the spool is read.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, SeekFrom};
use std::ops::Range;

use crate::dns::{Name, NameError, Rdata, RdataError, Record, RecordType};
use crate::zone::digest::{DigestKey, DigestTable, FETCHED_MAX, Seen};
use crate::zone::first::{First, SortedBatch};
use crate::zone::hosts::HostNames;
use crate::zone::runs::RUN_OCTETS;
use crate::zone::spool::{Spool, record_head};

/// How many spooled octets are put together at a time. Bounds memory; more means more passes.
const PARTITION_OCTETS: u64 = 16 << 20;
/// How many spooled octets [`Intake::next_batch`] reads at a time.
const BATCH_OCTETS: u64 = 2 << 20;
/// Octets of a group before its owner: the owner's length, and the length of its records.
const HEAD_OCTETS: usize = 5;
/// The most octets that wait in memory before the spool file is used.
const SPOOL_BUFFER_OCTETS: usize = 1 << 20;
/// The most octets of groups that wait to be settled.
const WAITING_OCTETS_MAX: usize = 64 << 10;
/// The most octets of one owner's group that wait in memory; then it is spooled in parts.
const GROUP_OCTETS_MAX: usize = 4 << 20;

/// Why a version cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The spool failed: the machine's fault, not the zone's.
    #[error("spool of changed owners: {0}")]
    Spool(#[from] io::Error),
    /// A kept record has RDATA that cannot be read.
    #[error("{0}")]
    Rdata(#[from] RdataError),
    /// A name cannot be read.
    #[error("{0}")]
    Name(#[from] NameError),
}

/// What a version holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records of every type, the SOA once.
    pub records: u64,
    /// Records of the kept types.
    pub kept: u64,
    /// Owner names with kept records.
    pub names: u64,
    /// Owner names with NS records.
    pub delegations: u64,
}

/// The groups of one owner, put together.
#[derive(Debug)]
pub struct Candidate {
    /// The owner's name.
    pub owner: Name,
    /// Its records, unsorted, perhaps with duplicates.
    pub records: Vec<Record>,
    /// Whether the records of the last version are all there too, besides these.
    pub extends_last: bool,
}

/// Changed owners, each with all its records, as octets.
#[derive(Debug, Default)]
pub struct Batch {
    octets: Vec<u8>,
    groups: Vec<Group>,
}

/// Where an owner and its records stand in a batch.
#[derive(Debug, Clone)]
struct Group {
    owner: Range<usize>,
    records: Range<usize>,
    end: usize,
}

impl Group {
    /// Returns how long the first group of `octets` is, its head included.
    fn length(octets: &[u8]) -> Option<usize> {
        let head = octets.get(..HEAD_OCTETS)?;
        let body = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        Some(HEAD_OCTETS + head[0] as usize + body)
    }

    /// Returns the group that begins at `at`, if it is there to its end.
    fn cut(octets: &[u8], at: usize) -> Option<Self> {
        let end = at + Self::length(octets.get(at..)?)?;
        let owner_end = at + HEAD_OCTETS + octets[at] as usize;
        (end <= octets.len()).then_some(Self {
            owner: at + HEAD_OCTETS..owner_end,
            records: owner_end..end,
            end,
        })
    }
}

impl Batch {
    /// Returns each owner's canonical wire name and the octets of its records, which
    /// [`Batch::candidate`] reads.
    pub fn groups(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.groups.iter().map(|group| {
            let owner = &self.octets[group.owner.clone()];
            (owner, &self.octets[group.records.clone()])
        })
    }

    /// Returns the group's owner with its records, for an exact comparison.
    ///
    /// # Errors
    ///
    /// [`IntakeError`] for what is no name or no record.
    pub fn candidate(owner: &[u8], records: &[u8]) -> Result<Candidate, IntakeError> {
        let mut list = Vec::new();
        read_group(records, &mut list)?;
        Ok(Candidate {
            owner: Name::from_wire(owner)?,
            records: list,
            extends_last: false,
        })
    }
}

/// Returns the fault of a spool that ends inside of a group.
fn cut_off() -> IntakeError {
    IntakeError::Spool(io::Error::from(io::ErrorKind::UnexpectedEof))
}

/// A group that waits to be settled.
struct Waiting {
    /// Where it ends among those that wait; it begins where the one before it ends.
    end: usize,
    /// Those of its owner and its records; 0 in a first version, which nothing is compared with.
    hash: u64,
    digest: u64,
    is_split: bool,
}

/// Takes in a version of a zone.
pub struct Intake<S> {
    key: DigestKey,
    table: DigestTable,
    spool: S,
    buffer: Vec<u8>,
    spooled: u64,
    /// Where [`Intake::next_batch`] goes on.
    read_at: u64,
    /// Groups that wait to be settled, as the spool has them, and the one in hand.
    groups: Vec<u8>,
    /// What is known of those that wait.
    waiting: Vec<Waiting>,
    /// Where the group in hand begins; `None` before the first record and behind the last.
    group: Option<usize>,
    digest: u64,
    group_is_split: bool,
    has_ns: bool,
    /// How many records of each kept type the group in hand has, in the order they were met.
    group_counts: Vec<(RecordType, u64)>,
    /// Whether some owner's records do not follow each other.
    has_scattered: bool,
    counts: Counts,
    /// Set for a zone's first version.
    first: Option<First>,
}

impl<S: Spool> Intake<S> {
    /// Starts a version against the last one, `table`.
    pub fn new(key: DigestKey, table: DigestTable, spool: S) -> Self {
        Self {
            key,
            table,
            spool,
            buffer: Vec::new(),
            spooled: 0,
            read_at: 0,
            groups: Vec::new(),
            waiting: Vec::new(),
            group: None,
            digest: 0,
            group_is_split: false,
            has_ns: false,
            group_counts: Vec::new(),
            has_scattered: false,
            counts: Counts::default(),
            first: None,
        }
    }

    /// Starts the first version of the zone `apex`: all of it is new, and [`Intake::next_sorted`] gives it in the order of
    /// its rows.
    pub fn first(key: DigestKey, apex: &Name, spool: S) -> Self {
        Self::first_in_runs(key, apex, spool, RUN_OCTETS)
    }

    /// [`Intake::first`] that sorts so many octets at a time.
    pub(crate) fn first_in_runs(key: DigestKey, apex: &Name, spool: S, run_octets: usize) -> Self {
        Self {
            first: Some(First::new(apex, run_octets)),
            ..Self::new(key, DigestTable::none(), spool)
        }
    }

    /// Returns whether more owner names than so many have been met whose records were all read. Of a first version none: its
    /// names take no memory, and whoever stores them counts them.
    ///
    /// # Errors
    ///
    /// [`IntakeError::Spool`] if the spool cannot be written.
    pub fn has_more_names(&mut self, limit: u64) -> Result<bool, IntakeError> {
        if self.first.is_some() {
            return Ok(false);
        }
        if self.counts.names + self.waiting.len() as u64 > limit {
            // Not all of those that wait need be new names.
            self.settle_groups()?;
        }
        Ok(self.counts.names > limit)
    }

    /// Returns how many records of this type the owner taken last has, those that follow each other.
    pub fn rrset_records(&self, rtype: RecordType) -> u64 {
        let count = self.group_counts.iter().find(|(it, _)| *it == rtype);
        count.map_or(0, |(_, count)| *count)
    }

    /// Counts a record of the group in hand. An owner has few types.
    fn count_of(&mut self, rtype: RecordType) {
        match self.group_counts.iter_mut().find(|(it, _)| *it == rtype) {
            Some((_, count)) => *count += 1,
            None => self.group_counts.push((rtype, 1)),
        }
    }

    /// Returns how many octets of changed owners wait in the spool.
    pub fn spooled_octets(&self) -> u64 {
        self.first.as_ref().map_or(self.spooled, First::octets)
    }

    /// Counts a record of a type that is not kept.
    pub fn count_other(&mut self) {
        self.counts.records += 1;
    }

    /// Takes a record of a kept type. `owner` and any name in `rdata` are canonical wire names.
    ///
    /// # Errors
    ///
    /// [`IntakeError::Spool`] if the spool cannot be written.
    pub fn take(
        &mut self,
        owner: &[u8],
        rtype: RecordType,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), IntakeError> {
        match self.group {
            Some(begin) if self.owner_at(begin) == owner => {
                if self.groups.len() - begin > GROUP_OCTETS_MAX {
                    // One owner may have records without end. In parts it is compared exactly, whatever its digests say.
                    self.group_is_split = true;
                    self.close_group()?;
                    self.open_group(owner);
                }
            }
            _ => {
                self.close_group()?;
                self.open_group(owner);
                self.group_counts.clear();
            }
        }
        self.counts.records += 1;
        self.counts.kept += 1;
        self.has_ns |= rtype == RecordType::Ns;
        self.count_of(rtype);
        if self.first.is_none() {
            let digest = self.key.digest_record(rtype.code(), ttl, rdata);
            // A sum: the order in which a primary sends the records of an owner is none of their content.
            self.digest = self.digest.wrapping_add(digest);
        }
        self.groups
            .extend_from_slice(&record_head(rtype, ttl, rdata.len() as u16));
        self.groups.extend_from_slice(rdata);
        Ok(())
    }

    /// Begins the group of an owner.
    fn open_group(&mut self, owner: &[u8]) {
        self.group = Some(self.groups.len());
        // The length of its records is written when they are all there.
        self.groups
            .extend_from_slice(&[owner.len() as u8, 0, 0, 0, 0]);
        self.groups.extend_from_slice(owner);
    }

    /// Returns the owner of the group that begins at a place.
    fn owner_at(&self, begin: usize) -> &[u8] {
        let owner = begin + HEAD_OCTETS;
        &self.groups[owner..owner + self.groups[begin] as usize]
    }

    /// Ends the version and returns what it holds.
    ///
    /// # Errors
    ///
    /// [`IntakeError::Spool`] if the spool cannot be written.
    pub fn finish(&mut self) -> Result<Counts, IntakeError> {
        self.close_group()?;
        self.settle_groups()?;
        match &mut self.first {
            Some(first) => first.finish(&mut self.spool)?,
            None => self.flush()?,
        }
        Ok(self.counts)
    }

    /// Gives the name servers of a first version away, by the numbers that its records name.
    pub fn take_hosts(&mut self) -> HostNames {
        let first = self.first.as_mut();
        first.map_or_else(HostNames::default, First::take_hosts)
    }

    /// Returns the next owners of a first version in the order of their keys, each once with all of its records; `None` at
    /// the end.
    ///
    /// # Errors
    ///
    /// [`IntakeError`] if the spool cannot be read.
    pub fn next_sorted(&mut self) -> Result<Option<SortedBatch>, IntakeError> {
        match &mut self.first {
            Some(first) => Ok(first.next_batch(&mut self.spool)?),
            None => Ok(None),
        }
    }

    /// Returns the next changed owners whose records followed each other (all of a sorted zone's do), in
    /// the order of the version; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`IntakeError`] if the spool cannot be read.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, IntakeError> {
        if self.read_at >= self.spooled {
            return Ok(None);
        }
        self.spool.seek(SeekFrom::Start(self.read_at))?;
        let mut batch = Batch::default();
        let length = (self.spooled - self.read_at).min(BATCH_OCTETS);
        batch.octets.resize(length as usize, 0);
        self.spool.read_exact(&mut batch.octets)?;
        let mut at = 0;
        while let Some(group) = Group::cut(&batch.octets, at) {
            at = group.end;
            let seen = self
                .table
                .find(self.key.hash_owner(&batch.octets[group.owner.clone()]))
                .map(|at| self.table.seen_at(at));
            if seen == Some(Seen::Candidate) {
                batch.groups.push(group);
            }
        }
        if at == 0 {
            // A group that is longer than a batch.
            let need = Group::length(&batch.octets).ok_or_else(cut_off)?;
            let have = batch.octets.len();
            batch.octets.resize(need, 0);
            self.spool.read_exact(&mut batch.octets[have..])?;
            let group = Group::cut(&batch.octets, 0).ok_or_else(cut_off)?;
            at = group.end;
            let owner = &batch.octets[group.owner.clone()];
            let seen = self.table.find(self.key.hash_owner(owner));
            if seen.map(|at| self.table.seen_at(at)) == Some(Seen::Candidate) {
                batch.groups.push(group);
            }
        }
        self.read_at += at as u64;
        Ok(Some(batch))
    }

    /// Returns how many passes over the spool [`Intake::scattered`] needs; none if all records of each
    /// owner followed each other.
    pub fn partition_count(&self) -> u64 {
        if self.has_scattered {
            self.spooled.div_ceil(PARTITION_OCTETS).max(1)
        } else {
            0
        }
    }

    /// Returns the changed owners of one pass whose records were scattered over the version, in canonical
    /// order of names.
    ///
    /// # Errors
    ///
    /// [`IntakeError`] if the spool cannot be read or holds what is no record.
    pub fn scattered(&mut self, partition: u64) -> Result<Vec<Candidate>, IntakeError> {
        let partitions = self.partition_count().max(1);
        let mut found: HashMap<Vec<u8>, (Vec<Record>, bool)> = HashMap::new();
        self.spool.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::with_capacity(SPOOL_BUFFER_OCTETS, &mut self.spool);
        let mut left = self.spooled;
        let mut body = Vec::new();
        while left > 0 {
            let mut head = [0; 5];
            reader.read_exact(&mut head)?;
            let owner_len = head[0] as usize;
            let body_len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            body.resize(owner_len + body_len, 0);
            reader.read_exact(&mut body)?;
            left -= (head.len() + body.len()) as u64;
            let (owner, records) = body.split_at(owner_len);
            let hash = self.key.hash_owner(owner);
            if hash % partitions != partition {
                continue;
            }
            let seen = self.table.find(hash).map(|at| self.table.seen_at(at));
            if matches!(seen, Some(Seen::Scattered | Seen::EqualAndMore)) {
                let extends_last = seen == Some(Seen::EqualAndMore);
                let entry = found.entry(owner.to_vec()).or_default();
                entry.1 = extends_last;
                read_group(records, &mut entry.0)?;
            }
        }
        let mut candidates = Vec::with_capacity(found.len());
        for (owner, (records, extends_last)) in found {
            candidates.push(Candidate {
                owner: Name::from_wire(&owner)?,
                records,
                extends_last,
            });
        }
        candidates.sort_by(|left, right| left.owner.cmp(&right.owner));
        Ok(candidates)
    }

    /// Returns the rows and hashes of the owners that are gone.
    pub fn vanished(&self) -> Vec<(i64, u64)> {
        self.table.vanished()
    }

    /// Gives the table back, with what was said of the owners forgotten.
    pub fn into_table(mut self) -> DigestTable {
        self.table.forget_seen();
        self.table
    }

    /// Gives the table back as it was before a version that came to nothing.
    pub fn abandon(mut self) -> DigestTable {
        self.table.forget_snapshot();
        self.table
    }

    /// Ends the group in hand: it waits to be settled.
    fn close_group(&mut self) -> Result<(), IntakeError> {
        let Some(begin) = self.group.take() else {
            return Ok(());
        };
        self.counts.delegations += u64::from(self.has_ns);
        self.has_ns = false;
        let owner = self.owner_at(begin);
        let hash = match self.first {
            Some(_) => 0,
            None => self.key.hash_owner(owner),
        };
        let records = begin + HEAD_OCTETS + owner.len();
        let octets = (self.groups.len() - records) as u32;
        self.groups[begin + 1..begin + HEAD_OCTETS].copy_from_slice(&octets.to_be_bytes());
        self.waiting.push(Waiting {
            end: self.groups.len(),
            hash,
            digest: std::mem::take(&mut self.digest),
            is_split: std::mem::take(&mut self.group_is_split),
        });
        if self.waiting.len() == FETCHED_MAX || self.groups.len() >= WAITING_OCTETS_MAX {
            self.settle_groups()?;
        }
        Ok(())
    }

    /// Compares the groups that wait with their owners' last digests, or gives them to what gathers a first version: many at
    /// a time, since what is known of their names lies anywhere in memory.
    fn settle_groups(&mut self) -> Result<(), IntakeError> {
        let settled = self.waiting.last().map_or(0, |group| group.end);
        match &mut self.first {
            Some(first) => {
                self.counts.names += self.waiting.len() as u64;
                let octets = self.groups.as_slice();
                let mut begin = 0;
                let groups = self.waiting.iter().map(move |group| {
                    let group = &octets[std::mem::replace(&mut begin, group.end)..group.end];
                    group[HEAD_OCTETS..].split_at(group[0] as usize)
                });
                first.take_groups(&self.key, groups, &mut self.spool)?;
            }
            None => self.compare_groups(),
        }
        self.waiting.clear();
        self.groups.drain(..settled);
        self.group = self.group.map(|at| at - settled);
        if self.buffer.len() >= SPOOL_BUFFER_OCTETS {
            self.flush()?;
        }
        Ok(())
    }

    /// Compares the groups that wait with their owners' last digests and drops or spools each.
    fn compare_groups(&mut self) {
        self.table
            .fetch(self.waiting.iter().map(|group| group.hash));
        let mut begin = 0;
        for group in &self.waiting {
            let at = self.table.find_or_make(group.hash);
            let slot = *self.table.slot(at);
            let before = self.table.seen_at(at);
            if before == Seen::No {
                self.counts.names += 1;
            }
            let equal = slot.id != 0 && slot.digest == group.digest && !group.is_split;
            let after = match before {
                Seen::No if equal => Seen::Equal,
                Seen::Equal | Seen::EqualAndMore => Seen::EqualAndMore,
                Seen::Candidate | Seen::Scattered => Seen::Scattered,
                Seen::No | Seen::Empty => Seen::Candidate,
            };
            self.has_scattered |= matches!(after, Seen::Scattered | Seen::EqualAndMore);
            self.table.mark(at, after);
            if after != Seen::Equal {
                self.buffer
                    .extend_from_slice(&self.groups[begin..group.end]);
            }
            begin = group.end;
        }
    }

    /// Moves the waiting octets into the spool.
    fn flush(&mut self) -> Result<(), IntakeError> {
        self.spool.write_all(&self.buffer)?;
        self.spool.flush()?;
        self.spooled += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Reads the records of one spooled group.
fn read_group(mut octets: &[u8], records: &mut Vec<Record>) -> Result<(), IntakeError> {
    while octets.len() >= 8 {
        let code = u16::from_be_bytes([octets[0], octets[1]]);
        let ttl = u32::from_be_bytes([octets[2], octets[3], octets[4], octets[5]]);
        let length = u16::from_be_bytes([octets[6], octets[7]]) as usize;
        let rtype = RecordType::from_code(code).expect("only kept types are spooled");
        records.push(Record {
            rdata: Rdata::from_wire(rtype, &octets[8..8 + length])?,
            ttl,
        });
        octets = &octets[8 + length..];
    }
    Ok(())
}

#[cfg(test)]
impl<S: Spool> Intake<S> {
    /// Returns every changed owner, in canonical order.
    pub(crate) fn all_candidates(&mut self) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        while let Some(batch) = self.next_batch().expect("own spool reads") {
            for (owner, records) in batch.groups() {
                candidates.push(Batch::candidate(owner, records).expect("own records"));
            }
        }
        for partition in 0..self.partition_count() {
            candidates.extend(self.scattered(partition).expect("own spool reads"));
        }
        candidates.sort_by(|left, right| left.owner.cmp(&right.owner));
        candidates
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::zone::{Slot, apply, diff};

    type State = BTreeMap<Name, Vec<Record>>;

    fn key() -> DigestKey {
        DigestKey::new([3; 32])
    }

    fn table_of(state: &State) -> (DigestTable, BTreeMap<i64, Name>) {
        let mut table = DigestTable::with_capacity(0);
        let mut ids = BTreeMap::new();
        for (i, (owner, records)) in state.iter().enumerate() {
            let id = i as i64 + 1;
            table.insert(Slot {
                hash: key().hash_owner(owner.as_wire()),
                digest: key().digest_owner(records),
                id,
            });
            ids.insert(id, owner.clone());
        }
        (table, ids)
    }

    /// Runs a version through the intake and applies what it reports to the last version.
    fn next_state(last: &State, rows: &[(Name, Record)]) -> (State, usize) {
        let (table, ids) = table_of(last);
        let mut intake = Intake::new(key(), table, Cursor::new(Vec::new()));
        for (owner, rr) in rows {
            intake
                .take(
                    owner.as_wire(),
                    rr.rdata.rtype(),
                    rr.ttl,
                    &rr.rdata.to_wire(),
                )
                .expect("a cursor does not fail");
        }
        intake.finish().expect("a cursor does not fail");
        let mut state = last.clone();
        let candidates = intake.all_candidates();
        let compared = candidates.len();
        for candidate in candidates {
            let old = last.get(&candidate.owner).cloned().unwrap_or_default();
            let mut new = candidate.records;
            if candidate.extends_last {
                new.extend(old.iter().cloned());
            }
            state.insert(candidate.owner, apply(&old, &diff(&old, &new)));
        }
        for (id, _) in intake.vanished() {
            state.remove(&ids[&id]);
        }
        (state, compared)
    }

    fn any_rows() -> impl Strategy<Value = Vec<(Name, Record)>> {
        let row = (0_u8..5, 0_u8..4).prop_map(|(owner, address)| {
            let owner = Name::parse(&format!("o{owner}.example")).expect("valid");
            (
                owner,
                Record {
                    rdata: Rdata::A([192, 0, 2, address].into()),
                    ttl: 60,
                },
            )
        });
        // More groups than wait at a time, too.
        prop_oneof![
            prop::collection::vec(row.clone(), 0..16),
            prop::collection::vec(row, 60..120)
        ]
    }

    fn state_of(rows: &[(Name, Record)]) -> State {
        let mut sets: BTreeMap<Name, BTreeSet<Record>> = BTreeMap::new();
        for (owner, rr) in rows {
            sets.entry(owner.clone()).or_default().insert(rr.clone());
        }
        sets.into_iter()
            .map(|(owner, set)| (owner, set.into_iter().collect()))
            .collect()
    }

    proptest! {
        // Any order, split owners, duplicates: the state after the intake is the version itself.
        #[test]
        fn any_order_of_records_gives_the_same_state(last in any_rows(), rows in any_rows()) {
            let (state, _) = next_state(&state_of(&last), &rows);
            prop_assert_eq!(state, state_of(&rows));
        }

        // Whether there are more names than allowed is asked between any two records, and answered exactly.
        #[test]
        fn names_are_counted_exactly_in_the_midst_of_a_version(last in any_rows(), rows in any_rows(), limit in 0_u64..6) {
            let (table, _) = table_of(&state_of(&last));
            let mut intake = Intake::new(key(), table, Cursor::new(Vec::new()));
            let (mut ended, mut in_hand) = (BTreeSet::new(), None);
            for (owner, rr) in &rows {
                let (wire, rdata) = (owner.as_wire(), rr.rdata.to_wire());
                intake.take(wire, rr.rdata.rtype(), rr.ttl, &rdata).expect("a cursor does not fail");
                ended.extend(in_hand.replace(owner).filter(|before| *before != owner));
                let has_more = intake.has_more_names(limit).expect("a cursor does not fail");
                prop_assert_eq!(has_more, ended.len() as u64 > limit);
            }
            let counts = intake.finish().expect("a cursor does not fail");
            prop_assert_eq!(counts.names, state_of(&rows).len() as u64);
        }
    }

    #[test]
    fn an_unchanged_version_compares_nothing() {
        let rows: Vec<(Name, Record)> = (0..50_u8)
            .map(|n| {
                (
                    Name::parse(&format!("o{n}.example")).expect("valid"),
                    Record {
                        rdata: Rdata::A([192, 0, 2, n].into()),
                        ttl: 60,
                    },
                )
            })
            .collect();
        let (_, compared) = next_state(&state_of(&rows), &rows);
        assert_eq!(compared, 0);
    }
}
