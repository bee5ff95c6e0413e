//! Gathers a zone's first version: nothing is known to compare it with, so that its owners are only sorted, and its name
//! servers numbered.

use std::io;
use std::ops::Range;

use crate::dns::{Name, RecordType, push_relative_key, wire_is_at_or_below};
use crate::zone::digest::DigestKey;
use crate::zone::hosts::HostNames;
use crate::zone::runs::{KeyedGroup, Merged, Runs};
use crate::zone::spool::{RECORD_HEAD_OCTETS, Spool, record_head};

/// How many octets of owners are given at a time.
const BATCH_OCTETS: usize = 1 << 20;
/// Says instead of the length of a record's data that a name server stands there by its number.
const HOST_NUMBER: u16 = u16::MAX;

/// What a zone's first version is gathered in: nothing is known to compare it with, and its owners are sorted.
pub(super) struct First {
    apex: Name,
    runs: Runs,
    hosts: HostNames,
    /// Memory for the key of an owner, its group and the hashes of name servers.
    owner_key: String,
    group: Vec<u8>,
    hashes: Vec<u64>,
    /// The groups in order, once the version has ended, and how many octets they have.
    merged: Option<Merged>,
    octets: u64,
}

impl First {
    /// Returns the number of a name server with its hash, and notes whether the owner is one that counts as its user; `None`
    /// if there are too many.
    fn number_host(
        &mut self,
        key: &DigestKey,
        owner: &[u8],
        (hash, host): (u64, &[u8]),
    ) -> Option<u32> {
        let number = self.hosts.number(key, hash, host)?;
        if !wire_is_at_or_below(host, owner) {
            self.hosts.note_use(number);
        }
        Some(number)
    }

    /// Begins the first version of the zone `apex`, sorted so many octets at a time.
    pub fn new(apex: &Name, run_octets: usize) -> Self {
        Self {
            apex: apex.clone(),
            runs: Runs::new(run_octets),
            hosts: HostNames::default(),
            owner_key: String::new(),
            group: Vec::new(),
            hashes: Vec::new(),
            merged: None,
            octets: 0,
        }
    }

    /// Returns how many octets of owners were taken.
    pub fn octets(&self) -> u64 {
        self.octets + self.runs.octets()
    }

    /// Gives the name servers away.
    pub fn take_hosts(&mut self) -> HostNames {
        std::mem::take(&mut self.hosts)
    }

    /// Takes owners' records that follow each other, as groups of the intake, and numbers their name servers.
    pub fn take_groups<'g>(
        &mut self,
        key: &DigestKey,
        groups: impl Iterator<Item = (&'g [u8], &'g [u8])> + Clone,
        spool: &mut impl Spool,
    ) -> io::Result<()> {
        let mut hashes = std::mem::take(&mut self.hashes);
        hashes.clear();
        let records = groups.clone().flat_map(|(_, records)| RawRecords(records));
        let hosts = records.filter(|(rtype, ..)| *rtype == RecordType::Ns);
        hashes.extend(hosts.map(|(_, _, host)| key.hash_owner(host)));
        self.hosts.fetch(&hashes);
        let mut group = std::mem::take(&mut self.group);
        let mut next = hashes.iter();
        for (owner, records) in groups {
            group.clear();
            for (rtype, ttl, rdata) in RawRecords(records) {
                let number = match rtype {
                    RecordType::Ns => {
                        let hash = next.next().expect("each name server was hashed");
                        self.number_host(key, owner, (*hash, rdata))
                    }
                    _ => None,
                };
                match number {
                    Some(number) => {
                        group.extend_from_slice(&record_head(rtype, ttl, HOST_NUMBER));
                        group.extend_from_slice(&number.to_be_bytes());
                    }
                    None => {
                        group.extend_from_slice(&record_head(rtype, ttl, rdata.len() as u16));
                        group.extend_from_slice(rdata);
                    }
                }
            }
            self.push_group(owner, &group, spool)?;
        }
        (self.hashes, self.group) = (hashes, group);
        Ok(())
    }

    /// Ends the version.
    pub fn finish(&mut self, spool: &mut impl Spool) -> io::Result<()> {
        let runs = std::mem::replace(&mut self.runs, Runs::new(0));
        self.octets = runs.octets();
        self.merged = Some(runs.merge(spool)?);
        Ok(())
    }

    /// Returns the next owners in the order of their keys; `None` at the end.
    pub fn next_batch(&mut self, spool: &mut impl Spool) -> io::Result<Option<SortedBatch>> {
        let Some(merged) = &mut self.merged else {
            return Ok(None);
        };
        let mut batch = SortedBatch::default();
        while let Some(group) = merged.peek() {
            if !batch.takes(group) {
                break;
            }
            merged.advance(spool)?;
        }
        Ok((!batch.groups.is_empty()).then_some(batch))
    }

    /// Takes the group of an owner whose name servers are numbered.
    fn push_group(
        &mut self,
        owner: &[u8],
        records: &[u8],
        spool: &mut impl Spool,
    ) -> io::Result<()> {
        self.owner_key.clear();
        if !push_relative_key(owner, self.apex.as_wire(), &mut self.owner_key) {
            // Whoever reads a version refuses such names.
            return Err(io::Error::other("an owner that is not in the zone"));
        }
        let key = self.owner_key.as_bytes();
        let group = KeyedGroup {
            key,
            owner,
            records,
        };
        self.runs.push(group, spool)
    }
}

/// The records of a group of the intake: type, TTL and data.
struct RawRecords<'a>(&'a [u8]);

impl<'a> Iterator for RawRecords<'a> {
    type Item = (RecordType, u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_first_chunk::<RECORD_HEAD_OCTETS>()?;
        let rtype = RecordType::from_code(u16::from_be_bytes([head[0], head[1]]));
        let ttl = u32::from_be_bytes([head[2], head[3], head[4], head[5]]);
        let (rdata, rest) = rest.split_at(u16::from_be_bytes([head[6], head[7]]).into());
        self.0 = rest;
        Some((rtype.expect("only kept types are taken"), ttl, rdata))
    }
}

/// Owners of a first version in the order of their keys, each with all its records, as octets.
#[derive(Debug, Default)]
pub struct SortedBatch {
    octets: Vec<u8>,
    groups: Vec<SortedGroup>,
}

/// Where an owner of a sorted batch stands.
#[derive(Debug, Clone)]
struct SortedGroup {
    key: Range<usize>,
    owner: Range<usize>,
    records: Range<usize>,
}

/// An owner of a first version.
#[derive(Debug, Clone, Copy)]
pub struct FirstOwner<'a> {
    /// Its key in its zone; see [`Name::relative_key`].
    pub key: &'a str,
    /// Its canonical wire name.
    pub wire: &'a [u8],
    records: &'a [u8],
}

/// A record of a first version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstRecord<'a> {
    /// The type; always a kept one.
    pub rtype: RecordType,
    /// Canonical wire data.
    pub rdata: &'a [u8],
    /// Seconds.
    pub ttl: u32,
    /// The number of the name server that the data is, unless there are too many.
    pub host: Option<u32>,
}

impl SortedBatch {
    /// Takes a group, if there is room: more records of the owner in hand, or an owner that comes after it.
    fn takes(&mut self, group: KeyedGroup<'_>) -> bool {
        if let Some(last) = self.groups.last_mut()
            && self.octets[last.key.clone()] == *group.key
        {
            self.octets.extend_from_slice(group.records);
            last.records.end = self.octets.len();
            return true;
        }
        if self.octets.len() >= BATCH_OCTETS {
            return false;
        }
        let mut push = |octets: &[u8]| {
            let begin = self.octets.len();
            self.octets.extend_from_slice(octets);
            begin..self.octets.len()
        };
        let (key, owner) = (push(group.key), push(group.owner));
        let records = push(group.records);
        self.groups.push(SortedGroup {
            key,
            owner,
            records,
        });
        true
    }

    /// Returns how many owners there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Returns the owners.
    pub fn owners(&self) -> impl Iterator<Item = FirstOwner<'_>> {
        self.groups.iter().map(|group| FirstOwner {
            key: str::from_utf8(&self.octets[group.key.clone()]).expect("a key is ASCII"),
            wire: &self.octets[group.owner.clone()],
            records: &self.octets[group.records.clone()],
        })
    }
}

impl<'a> FirstOwner<'a> {
    /// Reads the owner's records into `records`, sorted, each once: of those that are there twice, the last TTL counts.
    pub fn read_records(&self, hosts: &'a HostNames, records: &mut Vec<FirstRecord<'a>>) {
        records.clear();
        let mut octets = self.records;
        while octets.len() >= 8 {
            let code = u16::from_be_bytes([octets[0], octets[1]]);
            let length = u16::from_be_bytes([octets[6], octets[7]]);
            let rtype = RecordType::from_code(code).expect("only kept types are spooled");
            // A name is shorter than that; the data of other types may be as long.
            let is_number = rtype == RecordType::Ns && length == HOST_NUMBER;
            let (data, host) = if is_number {
                let number = u32::from_be_bytes([octets[8], octets[9], octets[10], octets[11]]);
                (4, Some(number))
            } else {
                (length as usize, None)
            };
            records.push(FirstRecord {
                rtype,
                rdata: host.map_or(&octets[8..8 + data], |number| hosts.name(number)),
                ttl: u32::from_be_bytes([octets[2], octets[3], octets[4], octets[5]]),
                host,
            });
            octets = &octets[8 + data..];
        }
        // Stable: of those that are the same, the last one stands last.
        records.sort_by(|left, right| (left.rtype, left.rdata).cmp(&(right.rtype, right.rdata)));
        records.dedup_by(|later, kept| {
            let is_same = (later.rtype, later.rdata) == (kept.rtype, kept.rdata);
            if is_same {
                kept.ttl = later.ttl;
            }
            is_same
        });
    }
}
