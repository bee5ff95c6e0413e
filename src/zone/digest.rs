//! One keyed digest per owner name: what decides whether an owner is compared at all.
//!
//! The digest of an owner is the wrapping sum of the keyed hashes of its records, so that the order
//! of records does not matter (a sum, not XOR: XOR would cancel a record given twice). The key is a
//! secret of the database, since whoever holds a domain chooses its records.

use std::hash::Hasher;
use std::hint::black_box;

use siphasher::sip::SipHasher13;

use crate::dns::Record;

/// The secret under every owner hash and record digest of one database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DigestKey([u64; 4]);

impl DigestKey {
    /// Takes 32 random octets.
    pub fn new(octets: [u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(octets.chunks_exact(8)) {
            *word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
        }
        Self(words)
    }

    /// Returns the hash of an owner's wire name. Never zero.
    pub fn hash_owner(&self, owner: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0[0], self.0[1]);
        hasher.write(owner);
        hasher.finish().max(1)
    }

    /// Returns the digest of one record: type, TTL and canonical wire RDATA.
    pub fn digest_record(&self, code: u16, ttl: u32, rdata: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0[2], self.0[3]);
        hasher.write_u64(u64::from(code) << 32 | u64::from(ttl));
        hasher.write(rdata);
        hasher.finish()
    }

    /// Returns the digest of an owner's whole record set, which holds no record twice.
    pub fn digest_owner(&self, records: &[Record]) -> u64 {
        records.iter().fold(0, |sum: u64, rr| {
            sum.wrapping_add(self.digest_record(
                rr.rdata.rtype().code(),
                rr.ttl,
                &rr.rdata.to_wire(),
            ))
        })
    }

    /// Returns a checksum of `octets` under this key, for the cache file.
    pub fn checksum(&self, octets: &[u8]) -> u64 {
        let mut hasher = self.checksummer();
        hasher.write(octets);
        hasher.finish()
    }

    /// Returns what computes [`DigestKey::checksum`] of octets that come in parts.
    pub fn checksummer(&self) -> impl Hasher + use<> {
        SipHasher13::new_with_keys(self.0[1], self.0[2])
    }
}

/// One owner of the last version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slot {
    /// [`DigestKey::hash_owner`] of its name.
    pub hash: u64,
    /// [`DigestKey::digest_owner`] of its records.
    pub digest: u64,
    /// Its row in history; 0 while it has none.
    pub id: i64,
}

/// What the snapshot being read has said of an owner so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The slot is empty.
    Empty,
    /// Not mentioned yet.
    No,
    /// Mentioned once, with exactly the records of the last version.
    Equal,
    /// Mentioned once, with other records; they are in the spool.
    Candidate,
    /// Mentioned more than once, not at first with exactly the records of the last version; all of them
    /// are in the spool.
    Scattered,
    /// First with exactly the records of the last version, then with more; the rest is in the spool.
    EqualAndMore,
}

/// The owners of a zone's last version: open-addressing tables with linear probing, one for each value of
/// a hash's first bits, so that a table that grows is there twice only in a small part.
///
/// 25 octets a slot, at most five sixths full: 30 octets an owner where the number of owners is known
/// beforehand, up to 37 while it grows.
#[derive(Clone)]
pub struct DigestTable {
    shards: Vec<Shard>,
}

/// How many bits of a hash choose the shard.
const SHARD_BITS: u32 = 6;
/// How many places of the table are brought from memory at a time: more than a processor can wait for at once.
pub(super) const FETCHED_MAX: usize = 32;
/// The smallest number of slots of a shard.
const SLOTS_MIN: usize = 4;

/// Where an owner stands in the table, until the table changes its owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    shard: usize,
    at: usize,
}

impl DigestTable {
    /// Returns the table of a version that is compared with nothing: no owner can be put into it.
    pub(super) fn none() -> Self {
        Self { shards: Vec::new() }
    }

    /// Returns an empty table with room for `owners`.
    pub fn with_capacity(owners: usize) -> Self {
        // A shard may get a few more than its share.
        let share = (owners >> SHARD_BITS) + (owners >> (SHARD_BITS + 6));
        let shards = 1 << SHARD_BITS;
        Self {
            shards: (0..shards).map(|_| Shard::with_capacity(share)).collect(),
        }
    }

    /// Returns how many owners the table holds.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len).sum()
    }

    /// Returns whether the table holds no owner.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Inserts an owner of the last version or gives it a new digest and row.
    pub fn insert(&mut self, slot: Slot) {
        let place = self.find_or_make(slot.hash);
        let shard = &mut self.shards[place.shard];
        shard.slots[place.at] = slot;
        shard.seen[place.at] = Seen::No;
    }

    /// [`DigestTable::insert`] of several owners: cheaper by far than one after the other, see [`DigestTable::fetch`].
    pub fn insert_all(&mut self, slots: &[Slot]) {
        for slots in slots.chunks(FETCHED_MAX) {
            self.fetch(slots.iter().map(|slot| slot.hash));
            slots.iter().for_each(|slot| self.insert(*slot));
        }
    }

    /// Has the places of some owners, of [`FETCHED_MAX`] at most, brought from memory, all at once.
    ///
    /// A table of millions of owners lies in no cache of a processor, and who looks for one after the other waits for the
    /// memory at each: that was a third of the time in which a zone file without changes is read.
    pub(super) fn fetch(&self, hashes: impl Iterator<Item = u64>) {
        let home = |hash: u64| {
            let shard = &self.shards[shard_of(hash)];
            let at = shard.home(hash);
            // Probing goes on to the next line of memory as often as not.
            let later = shard.slots.get(at + 3).map_or(0, |slot| slot.hash);
            shard.slots[at].hash ^ later ^ shard.seen[at] as u64
        };
        // None of these reads waits for another. What they come to is of no use, which the compiler is not to find out.
        black_box(hashes.map(home).fold(0, u64::wrapping_add));
    }

    /// Removes the owner with this hash, if it is there.
    pub fn remove(&mut self, hash: u64) {
        self.shards[shard_of(hash)].remove(hash);
    }

    /// Returns the owners, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.filled().map(|(slot, _)| slot)
    }

    /// Forgets what a snapshot said, so that the table can meet the next one.
    ///
    /// Owners without a row, which the snapshot brought, are kept: the caller gives them one or
    /// removes them.
    pub fn forget_seen(&mut self) {
        for seen in self.shards.iter_mut().flat_map(|shard| &mut shard.seen) {
            if *seen != Seen::Empty {
                *seen = Seen::No;
            }
        }
    }

    /// Forgets a snapshot that came to nothing: what it said, and the owners that it brought.
    pub fn forget_snapshot(&mut self) {
        let brought = self.filled().filter(|(slot, _)| slot.id == 0);
        let brought: Vec<u64> = brought.map(|(slot, _)| slot.hash).collect();
        for hash in brought {
            self.remove(hash);
        }
        self.forget_seen();
    }

    /// Returns the rows and hashes of owners that the snapshot did not mention.
    pub(super) fn vanished(&self) -> Vec<(i64, u64)> {
        self.filled()
            .filter(|(slot, seen)| *seen == Seen::No && slot.id != 0)
            .map(|(slot, _)| (slot.id, slot.hash))
            .collect()
    }

    /// Returns the place of `hash`.
    pub(super) fn find(&self, hash: u64) -> Option<Place> {
        let shard = shard_of(hash);
        let at = self.shards[shard].find(hash)?;
        Some(Place { shard, at })
    }

    /// Returns the place of `hash`, new and not mentioned if it was not there.
    pub(super) fn find_or_make(&mut self, hash: u64) -> Place {
        let shard = shard_of(hash);
        let at = self.shards[shard].find_or_make(hash);
        Place { shard, at }
    }

    /// Returns the slot at a place.
    pub(super) fn slot(&self, place: Place) -> &Slot {
        &self.shards[place.shard].slots[place.at]
    }

    /// Returns what was said of the owner at a place.
    pub(super) fn seen_at(&self, place: Place) -> Seen {
        self.shards[place.shard].seen[place.at]
    }

    /// Notes what is said of the owner at a place.
    pub(super) fn mark(&mut self, place: Place, seen: Seen) {
        self.shards[place.shard].seen[place.at] = seen;
    }

    /// Returns every owner with what was said of it, in no order.
    fn filled(&self) -> impl Iterator<Item = (&Slot, Seen)> {
        self.shards
            .iter()
            .flat_map(|shard| shard.slots.iter().zip(shard.seen.iter().copied()))
            .filter(|(_, seen)| *seen != Seen::Empty)
    }
}

/// Returns which shard a hash belongs to.
fn shard_of(hash: u64) -> usize {
    (hash >> (64 - SHARD_BITS)) as usize
}

/// One of the tables.
#[derive(Clone)]
struct Shard {
    slots: Vec<Slot>,
    seen: Vec<Seen>,
    len: usize,
}

impl Shard {
    /// Returns an empty shard with room for `owners`.
    fn with_capacity(owners: usize) -> Self {
        let size = (owners * 6 / 5 + 2).max(SLOTS_MIN);
        Self {
            slots: vec![Slot::default(); size],
            seen: vec![Seen::Empty; size],
            len: 0,
        }
    }

    /// Removes the owner with this hash, if it is there.
    fn remove(&mut self, hash: u64) {
        let Some(mut hole) = self.find(hash) else {
            return;
        };
        let size = self.slots.len();
        let behind = |at: usize, from: usize| (at + size - from) % size;
        let mut at = hole;
        // Close the gap, so that probing never stops early at it.
        loop {
            at = self.next(at);
            if self.seen[at] == Seen::Empty {
                break;
            }
            let home = self.home(self.slots[at].hash);
            // Moved only if the hole lies between its home and its place, or a search from its home would miss it.
            if behind(at, home) >= behind(at, hole) {
                self.slots[hole] = self.slots[at];
                self.seen[hole] = self.seen[at];
                hole = at;
            }
        }
        self.slots[hole] = Slot::default();
        self.seen[hole] = Seen::Empty;
        self.len -= 1;
    }

    /// Returns where `hash` stands.
    fn find(&self, hash: u64) -> Option<usize> {
        let mut at = self.home(hash);
        loop {
            match self.slots[at].hash {
                found if found == hash => return Some(at),
                // No owner has this hash, and every slot that is empty.
                0 => return None,
                _ => at = self.next(at),
            }
        }
    }

    /// Returns where `hash` stands, new and not mentioned if it was not there.
    fn find_or_make(&mut self, hash: u64) -> usize {
        if let Some(at) = self.find(hash) {
            return at;
        }
        // Beyond five sixths linear probing takes long walks.
        if (self.len + 1) * 6 > self.slots.len() * 5 {
            self.grow();
        }
        let at = self.free_place(hash);
        self.slots[at] = Slot {
            hash,
            digest: 0,
            id: 0,
        };
        self.seen[at] = Seen::No;
        self.len += 1;
        at
    }

    /// Returns the free place for a hash that is not there.
    fn free_place(&self, hash: u64) -> usize {
        let mut at = self.home(hash);
        while self.seen[at] != Seen::Empty {
            at = self.next(at);
        }
        at
    }

    /// Returns where the probing for `hash` starts: what follows the shard's bits, as a share of all
    /// places.
    fn home(&self, hash: u64) -> usize {
        let share = hash << SHARD_BITS;
        ((u128::from(share) * self.slots.len() as u128) >> 64) as usize
    }

    /// Returns the place after `at`; the first after the last.
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() {
            0
        } else {
            at + 1
        }
    }

    /// Makes the slots a quarter more.
    fn grow(&mut self) {
        let size = self.slots.len() * 5 / 4 + 2;
        let slots = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
        let seen = std::mem::replace(&mut self.seen, vec![Seen::Empty; size]);
        let filled = slots.into_iter().zip(seen);
        for (slot, seen) in filled.filter(|(_, seen)| *seen != Seen::Empty) {
            let at = self.free_place(slot.hash);
            self.slots[at] = slot;
            self.seen[at] = seen;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_table_behaves_as_a_map(steps in prop::collection::vec((1_u64..40, any::<bool>(), any::<u64>()), 0..200)) {
            let mut table = DigestTable::with_capacity(0);
            let mut model = HashMap::new();
            for (key, insert, digest) in steps {
                // Few distinct high bits, so that owners collide and gaps are closed.
                let hash = (key % 5) << 61 | (key % 3) << 56 | key;
                if insert {
                    table.insert(Slot { hash, digest, id: key as i64 });
                    model.insert(hash, digest);
                } else {
                    table.remove(hash);
                    model.remove(&hash);
                }
                prop_assert_eq!(table.len(), model.len());
                for (hash, digest) in &model {
                    let at = table.find(*hash).expect("in the model");
                    prop_assert_eq!(table.slot(at).digest, *digest);
                }
            }
            prop_assert_eq!(table.iter().count(), model.len());
        }
    }

    #[test]
    fn two_equal_records_do_not_cancel_each_other() {
        let key = DigestKey::new([7; 32]);
        let once = key.digest_record(1, 60, &[192, 0, 2, 1]);
        assert_ne!(once.wrapping_add(once), 0);
        assert_ne!(
            key.digest_record(1, 61, &[192, 0, 2, 1]),
            once,
            "a new TTL must be noticed"
        );
    }
}
