//! The digest table of a zone, cached beside the database.
//!
//! A file per zone in `DATABASE.digests/`: a header, the slots, the hash of the version, a keyed checksum; and beside it a
//! journal of what later versions changed, so that a small change does not write the whole table. It
//! is only a cache: files that are missing, damaged, of another database or do not lead to the newest
//! version are made anew from the records. Number and hash tell a version: after a backup was restored, or a standby
//! promoted that had not received all, the number is another version's, and a table of the one hides changes of the other.
//! New TTLs alone make no version, but another mark: another host may have written them.

use std::fs;
use std::hash::Hasher;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::dns::{Name, Record};
use crate::evidence::Hash;
use crate::file;
use crate::store::door::Value;
use crate::store::error::StoreError;
use crate::store::ledger::Ledger;
use crate::store::sqlite::dialect::IN_ORDER;
use crate::store::sqlite::file::{PRIVATE, with_suffix};
use crate::store::zones::watched::ZoneState;
use crate::zone::{DigestTable, Slot};

/// The first octets of a cache file.
const MAGIC: &[u8; 8] = b"FLXDIG02";
/// Octets before the slots: magic, database id, version, count.
const HEADER_OCTETS: usize = 8 + 16 + 8 + 8;
/// The count of a file that was begun before it was known: as many as there are.
const AS_MANY_AS_THERE_ARE: u64 = u64::MAX;
/// Octets of a slot in the file.
const SLOT_OCTETS: usize = 24;
/// How many slots are read at a time.
const SLOTS_AT_ONCE: usize = 1024;
/// How much of the cache file is read or written at a time.
const READ_OCTETS: usize = 256 << 10;
/// Octets after the slots: the version's mark, a checksum.
const END_OCTETS: usize = 8 + 8;
/// Octets of a journal entry before its slots: version before and after, each with its mark, and the count.
const ENTRY_HEADER_OCTETS: usize = 2 * (8 + 8) + 8;
/// A journal is at most this part of its table; beyond it, the table is written anew.
const JOURNAL_PART: u64 = 4;
/// Zones with fewer names are read from the database, which is as quick.
pub(in crate::store) const CACHED_NAMES_MIN: usize = 5000;

/// A state of a zone: the number of its newest version, and what tells it from others of that number.
type Mark = (i64, u64);

/// What tells a state of a zone from others.
#[derive(Debug, Clone, Copy)]
pub struct Newest {
    /// The version's row.
    pub version_id: i64,
    /// Its hash; `None` where none is known.
    pub hash: Option<Hash>,
    /// The zone's [`ZoneState::ttls`].
    pub ttls: i64,
}

impl Newest {
    /// Returns the state that a zone was read in; `None` of one without a version.
    pub fn of(zone: &ZoneState) -> Option<Self> {
        Some(Self {
            version_id: zone.version_id?,
            hash: zone.newest_hash,
            ttls: zone.ttls,
        })
    }

    fn mark(self) -> Mark {
        let hash = self.hash.unwrap_or_default();
        let beginning = u64::from_le_bytes(hash.0[..8].try_into().expect("eight octets"));
        (self.version_id, beginning ^ self.ttls as u64)
    }
}

impl Ledger<'_> {
    /// Returns the digests of a zone's newest version.
    pub fn load_digests(&self, zone: &ZoneState) -> Result<DigestTable, StoreError> {
        let Some(newest) = Newest::of(zone) else {
            return Ok(DigestTable::with_capacity(0));
        };
        match self.read_cache(zone, newest.mark()) {
            Some(table) => Ok(table),
            None => {
                // Else its journal would grow on, and never lead to the newest version.
                self.drop_digests(zone);
                self.rebuild_digests(zone)
            }
        }
    }

    /// Saves the digests of a version of a zone. A failure costs the next poll some time only.
    pub fn save_digests(&self, zone: &ZoneState, newest: Newest, table: &DigestTable) {
        if table.len() < CACHED_NAMES_MIN || self.store.is_grouped.get() {
            return;
        }
        if let Err(error) = self.write_cache(zone, newest.mark(), table) {
            tracing::warn!(zone = %zone.apex, %error, "digest cache of zone {} was not saved: {error}", zone.apex);
        }
    }

    /// Returns whether a zone is so small that its digests are not cached: such versions may be stored many at a time.
    pub fn is_small(zone: &ZoneState) -> bool {
        zone.name_count < CACHED_NAMES_MIN as u64
    }

    /// Removes the cache of a zone whose records are about to change without it.
    pub(in crate::store) fn drop_digests(&self, zone: &ZoneState) {
        // A cache that cannot be removed was never written, or the folder is not ours: nothing to do
        // in the first case, and in the second it cannot have been written by this program.
        let _ = fs::remove_file(self.cache_path(zone));
        let _ = fs::remove_file(self.cache_path(zone).with_extension("journal"));
    }

    /// Notes beside a zone's cached table what a version, committed just now, changed: hashes, each with
    /// its new slot or `None` for an owner that is gone. False if there is no table to note it beside, or
    /// its journal would grow too long: the table is then to be saved whole, or is made anew when it is
    /// needed.
    pub fn extend_digests(
        &self,
        zone: &ZoneState,
        newest: Newest,
        changed: &[(u64, Option<Slot>)],
    ) -> bool {
        let Some(before) = Newest::of(zone) else {
            return false;
        };
        if self.store.is_grouped.get() {
            // What is noted of a version that is not durable yet may be noted of another one with its number.
            self.drop_digests(zone);
            return true;
        }
        let path = self.cache_path(zone);
        let journal = path.with_extension("journal");
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |meta| meta.len());
        let grown = size(&journal) + (changed.len() * SLOT_OCTETS) as u64;
        let fits = size(&path) > 0 && grown <= size(&path) / JOURNAL_PART;
        let mut entry = Vec::with_capacity(ENTRY_HEADER_OCTETS + changed.len() * SLOT_OCTETS + 8);
        for (version_id, mark) in [before.mark(), newest.mark()] {
            entry.extend_from_slice(&version_id.to_le_bytes());
            entry.extend_from_slice(&mark.to_le_bytes());
        }
        entry.extend_from_slice(&(changed.len() as u64).to_le_bytes());
        for (hash, slot) in changed {
            let slot = slot.unwrap_or_default();
            entry.extend_from_slice(&hash.to_le_bytes());
            entry.extend_from_slice(&slot.digest.to_le_bytes());
            entry.extend_from_slice(&slot.id.to_le_bytes());
        }
        let checksum = self.store.key.checksum(&entry);
        entry.extend_from_slice(&checksum.to_le_bytes());
        let append = || file::append_or_make(&journal, PRIVATE)?.write_all(&entry);
        // An entry that was written in part fails its checksum, and the table is made anew.
        let is_noted = fits && append().is_ok();
        if !is_noted {
            self.drop_digests(zone);
        }
        is_noted
    }

    /// Returns where a zone's cache lies.
    fn cache_path(&self, zone: &ZoneState) -> PathBuf {
        with_suffix(&self.store.beside, ".digests").join(zone.id.0.to_string())
    }

    /// Reads the cache; `None` if it cannot be used. Neither the file nor the table is there twice.
    fn read_cache(&self, zone: &ZoneState, newest: Mark) -> Option<DigestTable> {
        let file = fs::File::open(self.cache_path(zone)).ok()?;
        let length = file.metadata().ok()?.len();
        let mut file = BufReader::with_capacity(READ_OCTETS, file);
        let mut checksum = self.store.key.checksummer();
        let mut header = [0; HEADER_OCTETS];
        file.read_exact(&mut header).ok()?;
        checksum.write(&header);
        let word = |octets: &[u8], at: usize| {
            u64::from_le_bytes(octets[at..at + 8].try_into().expect("eight octets"))
        };
        let (at_version, told) = (word(&header, 24) as i64, word(&header, 32));
        let octets = length.checked_sub((HEADER_OCTETS + END_OCTETS) as u64)?;
        let count = octets / SLOT_OCTETS as u64;
        let fits = &header[..8] == MAGIC
            && header[8..24] == self.store.cache_id()
            && (told == count || told == AS_MANY_AS_THERE_ARE)
            && octets.is_multiple_of(SLOT_OCTETS as u64);
        if !fits {
            return None;
        }
        let mut table = DigestTable::with_capacity(count as usize);
        let (mut octets, mut slots) = (Vec::new(), Vec::new());
        let mut left = count as usize;
        while left > 0 {
            octets.resize(left.min(SLOTS_AT_ONCE) * SLOT_OCTETS, 0);
            file.read_exact(&mut octets).ok()?;
            checksum.write(&octets);
            slots.clear();
            slots.extend(octets.chunks_exact(SLOT_OCTETS).map(|octets| Slot {
                hash: word(octets, 0),
                digest: word(octets, 8),
                id: word(octets, 16) as i64,
            }));
            table.insert_all(&slots);
            left -= slots.len();
        }
        let mut last = [0; END_OCTETS];
        file.read_exact(&mut last).ok()?;
        checksum.write(&last[..8]);
        if word(&last, 8) != checksum.finish() {
            return None;
        }
        let journal = self.cache_path(zone).with_extension("journal");
        let at = self.apply_journal(&journal, (at_version, word(&last, 0)), &mut table)?;
        (at == newest).then_some(table)
    }

    /// Brings a table of version `at` up to what its journal says. Returns the version it is of then, or
    /// `None` for a journal that is damaged or does not go on from the table.
    fn apply_journal(&self, path: &Path, mut at: Mark, table: &mut DigestTable) -> Option<Mark> {
        let octets = match fs::read(path) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(at),
            Err(_) => return None,
        };
        let mut rest = octets.as_slice();
        while !rest.is_empty() {
            let word = |at: usize| {
                rest.get(at..at + 8)
                    .map(|eight| u64::from_le_bytes(eight.try_into().expect("eight octets")))
            };
            let (before, after) = ((word(0)? as i64, word(8)?), (word(16)? as i64, word(24)?));
            let slots = (word(32)? as usize).checked_mul(SLOT_OCTETS)?;
            let end = ENTRY_HEADER_OCTETS.checked_add(slots)?;
            if before != at || word(end)? != self.store.key.checksum(rest.get(..end)?) {
                return None;
            }
            for slot in (ENTRY_HEADER_OCTETS..end).step_by(SLOT_OCTETS) {
                let (hash, digest, id) = (word(slot)?, word(slot + 8)?, word(slot + 16)? as i64);
                match id {
                    0 => table.remove(hash),
                    _ => table.insert(Slot { hash, digest, id }),
                }
            }
            at = after;
            rest = rest.get(end + 8..)?;
        }
        Some(at)
    }

    /// Writes the cache whole or not at all.
    fn write_cache(
        &self,
        zone: &ZoneState,
        (version_id, mark): Mark,
        table: &DigestTable,
    ) -> io::Result<()> {
        let path = self.cache_path(zone);
        let mut writer = CacheWriter::create(self, path, version_id, table.len() as u64)?;
        for slot in table.iter() {
            writer.push(slot)?;
        }
        writer.finish(mark)
    }

    /// Computes the digests from the records.
    fn rebuild_digests(&self, zone: &ZoneState) -> Result<DigestTable, StoreError> {
        let mut table = DigestTable::with_capacity(zone.name_count as usize);
        let mut close = |owner: &Option<(i64, Name)>, records: &mut Vec<Record>| {
            if let Some((id, name)) = owner {
                let hash = self.store.key.hash_owner(name.as_wire());
                table.insert(Slot {
                    hash,
                    digest: self.store.key.digest_owner(records),
                    id: *id,
                });
            }
            records.clear();
        };
        // The outer loop is the zone's owners, the inner one their records: an owner's rows follow
        // each other without a sort.
        let sql = format!(
            "select o.id, o.name, r.rrtype, r.rdata, r.ttl, h.name
               from owner o {IN_ORDER} record r on r.owner_id = o.id
                    left join host h on r.rrtype = 2 and h.id /* as data */ = r.rdata
              where o.zone_id = ?
              order by o.name"
        );
        let mut owner: Option<(i64, Name)> = None;
        let mut records = Vec::new();
        let engine = |fault| self.store.engine(fault);
        let mut statement = self.store.db.prepare(&sql).map_err(engine)?;
        let mut rows = statement.scan([zone.id.0]).map_err(engine)?;
        while let Some(row) = rows.next().map_err(engine)? {
            // By place: every record of the zone passes here.
            let id: i64 = row.at(0).map_err(engine)?;
            if owner.as_ref().is_none_or(|(last, _)| *last != id) {
                close(&owner, &mut records);
                let key: String = row.at(1).map_err(engine)?;
                owner = Some((
                    id,
                    Name::from_relative_key(&key, &zone.apex)
                        .map_err(|fault| self.store.damaged(fault.to_string()))?,
                ));
            }
            let code: u16 = row.at(2).map_err(engine)?;
            let value: Value = row.at(3).map_err(engine)?;
            let host: Option<String> = row.at(5).map_err(engine)?;
            let rdata = match host {
                Some(host) => crate::dns::Rdata::Ns(
                    Name::from_relative_key(&host, &Name::root())
                        .map_err(|fault| self.store.damaged(fault.to_string()))?,
                ),
                None => self.read_rdata(code, &value)?,
            };
            records.push(Record {
                rdata,
                ttl: row.at(4).map_err(engine)?,
            });
        }
        close(&owner, &mut records);
        Ok(table)
    }
}

/// Writes a cache file: under another name until it is whole.
struct CacheWriter {
    path: PathBuf,
    /// Its name until then; `None` once it has the other.
    temporary: Option<PathBuf>,
    file: BufWriter<fs::File>,
    checksum: Box<dyn Hasher>,
}

impl CacheWriter {
    /// Begins the file at `path` of so many slots of a version.
    fn create(ledger: &Ledger<'_>, path: PathBuf, version_id: i64, count: u64) -> io::Result<Self> {
        let folder = path.parent().expect("the path was joined to a folder");
        file::make_folders(folder, 0o700)?;
        let temporary = path.with_extension("new");
        let file = file::make_anew(&temporary, PRIVATE)?;
        let mut writer = Self {
            path,
            temporary: Some(temporary),
            file: BufWriter::with_capacity(READ_OCTETS, file),
            checksum: Box::new(ledger.store.key.checksummer()),
        };
        writer.write(MAGIC)?;
        writer.write(&ledger.store.cache_id())?;
        writer.write(&version_id.to_le_bytes())?;
        writer.write(&count.to_le_bytes())?;
        Ok(writer)
    }

    /// Writes octets and counts them in the checksum.
    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.checksum.write(octets);
        self.file.write_all(octets)
    }

    /// Writes a slot.
    fn push(&mut self, slot: &Slot) -> io::Result<()> {
        let mut octets = [0; SLOT_OCTETS];
        octets[..8].copy_from_slice(&slot.hash.to_le_bytes());
        octets[8..16].copy_from_slice(&slot.digest.to_le_bytes());
        octets[16..].copy_from_slice(&slot.id.to_le_bytes());
        self.write(&octets)
    }

    /// Ends the file with the version's mark and gives it its name.
    fn finish(mut self, mark: u64) -> io::Result<()> {
        self.write(&mark.to_le_bytes())?;
        let checksum = self.checksum.finish();
        self.file.write_all(&checksum.to_le_bytes())?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        // The journal of the table before would not go on from this one; without it nothing is lost.
        match fs::remove_file(self.path.with_extension("journal")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.path)?;
        }
        self.temporary = None;
        Ok(())
    }
}

impl Drop for CacheWriter {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // What is left is written over by the next.
            let _ = fs::remove_file(temporary);
        }
    }
}

/// The digests of a zone's first version, in a cache file while they are many.
#[derive(Default)]
pub(in crate::store) struct FirstSlots {
    /// Those that came before there was a file.
    waiting: Vec<Slot>,
    writer: Option<CacheWriter>,
    /// Why there will be no file.
    fault: Option<io::Error>,
}

impl FirstSlots {
    /// Takes the digest of one more owner of a version.
    pub fn push(&mut self, ledger: Ledger<'_>, (zone, version_id): (&ZoneState, i64), slot: Slot) {
        let pushed = match (&self.fault, &mut self.writer) {
            (Some(_), _) => return,
            (None, Some(writer)) => writer.push(&slot),
            (None, None) => {
                self.waiting.push(slot);
                if self.waiting.len() < CACHED_NAMES_MIN {
                    return;
                }
                self.begin(ledger, zone, version_id)
            }
        };
        self.fault = pushed.err();
    }

    /// Begins the file with those that wait.
    fn begin(&mut self, ledger: Ledger<'_>, zone: &ZoneState, version_id: i64) -> io::Result<()> {
        let path = ledger.cache_path(zone);
        let mut writer = CacheWriter::create(&ledger, path, version_id, AS_MANY_AS_THERE_ARE)?;
        for slot in self.waiting.drain(..) {
            writer.push(&slot)?;
        }
        self.writer = Some(writer);
        Ok(())
    }

    /// Gives the file its name: the version is in history. A failure costs the next poll some time only.
    pub fn publish(self, zone: &Name, newest: Newest) {
        let done = match (self.fault, self.writer) {
            (Some(fault), _) => Err(fault),
            (None, Some(writer)) => writer.finish(newest.mark().1),
            (None, None) => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(%zone, %error, "digest cache of zone {zone} was not saved: {error}");
        }
    }
}
