//! Which owners made the same move of name servers in a version, and how many did, as packed octets.
//!
//! A version's owners are in ascending order of their rows, in parts of at most [`OWNERS_A_PART`]; the key of a part is
//! its version and its first owner. Of each owner: the row less the one before it, twice, and one more if another count
//! than that of the owner before it follows, as varints (LEB128). The owner before the first is the first itself, with
//! no count.
//!
//! A row for each owner took 92 octets of a PostgreSQL database, a quarter of what a name takes that gets two other name
//! servers; this takes 2 or 3. The parts are short, so that the count of one owner costs no more in a large version.

use std::collections::BTreeMap;

use crate::store::door::{Numbers, Table, ValueRef, params};
use crate::store::error::StoreError;
use crate::store::ledger::Ledger;
use crate::store::ledger::changes::{push_varint, read_varint};
use crate::store::sqlite::dialect::rows_of;
use crate::store::value::Parameters;

/// The most owners of a part.
const OWNERS_A_PART: usize = 256;
/// Owners that moved alike.
const PARTS: Table = Table {
    name: "shared_change",
    columns: &["version_id", "owner_id", "octets"],
    on_conflict: "",
};

/// How many owners made the same move, by the row of each of them.
pub(in crate::store) type SharedCounts = BTreeMap<i64, u32>;

/// Packs owners: the first of each part, and its octets.
fn pack(owners: &SharedCounts) -> Vec<(i64, Vec<u8>)> {
    let mut parts: Vec<(i64, Vec<u8>)> = Vec::new();
    let mut last = (0, 0);
    for (place, (&owner_id, &count)) in owners.iter().enumerate() {
        if place % OWNERS_A_PART == 0 {
            parts.push((owner_id, Vec::new()));
            last = (owner_id, 0);
        }
        let Some((_, octets)) = parts.last_mut() else {
            continue;
        };
        let step = owner_id.wrapping_sub(last.0) as u64;
        push_varint(octets, step << 1 | u64::from(count != last.1));
        if count != last.1 {
            push_varint(octets, u64::from(count));
        }
        last = (owner_id, count);
    }
    parts
}

/// Unpacks a part; `None` for octets that [`pack`] does not write.
fn unpack(first: i64, octets: &[u8]) -> Option<Vec<(i64, u32)>> {
    let mut rest = octets;
    let mut owners = Vec::new();
    let mut last = (first, 0);
    while !rest.is_empty() {
        let step = read_varint(&mut rest)?;
        let count = match step & 1 {
            0 => last.1,
            _ => u32::try_from(read_varint(&mut rest)?).ok()?,
        };
        last = (last.0.wrapping_add((step >> 1) as i64), count);
        owners.push(last);
    }
    Some(owners)
}

impl Ledger<'_> {
    /// Adds owners to those of a version that moved alike; `is_more`: there may be some.
    pub(in crate::store) fn add_shared(
        &self,
        version_id: i64,
        is_more: bool,
        mut owners: SharedCounts,
    ) -> Result<(), StoreError> {
        if owners.is_empty() {
            return Ok(());
        }
        if is_more {
            let sql = "select owner_id, octets from shared_change where version_id = ?";
            for (owner_id, count) in self.read_shared(version_id, sql, params![version_id])? {
                owners.entry(owner_id).or_insert(count);
            }
            self.store.run(|db| {
                let sql = "delete from shared_change where version_id = ?";
                db.write(sql, [version_id])
            })?;
        }
        let parts = pack(&owners);
        let values: Vec<ValueRef<'_>> = parts
            .iter()
            .flat_map(|(first, octets)| {
                let numbers = [version_id, *first].map(ValueRef::Integer);
                numbers.into_iter().chain([ValueRef::Octets(octets)])
            })
            .collect();
        self.store.run(|db| db.insert_rows(&PARTS, &values))
    }

    /// Returns how many owners made the same move as one in a version; 0 if none is noted.
    pub(in crate::store) fn shared_count(
        &self,
        version_id: i64,
        owner_id: i64,
    ) -> Result<u32, StoreError> {
        let sql = "select owner_id, octets
                     from shared_change
                    where version_id = ? and owner_id <= ?
                    order by owner_id desc limit 1";
        let part = self.read_shared(version_id, sql, params![version_id, owner_id])?;
        let found = part.binary_search_by_key(&owner_id, |(id, _)| *id);
        Ok(found.map_or(0, |place| part[place].1))
    }

    /// Returns how many owners made the same move in a version as each of some owners, and as others; of those of which
    /// it is noted.
    pub(in crate::store) fn shared_counts(
        &self,
        version_id: i64,
        owners: Vec<i64>,
    ) -> Result<Vec<(i64, u32)>, StoreError> {
        let sql = format!(
            "select s.owner_id, s.octets
               from shared_change s
              where s.version_id = ?1
                    and s.owner_id in (select (select p.owner_id
                                                 from shared_change p
                                                where p.version_id = ?1 and p.owner_id <= w.value
                                                order by p.owner_id desc limit 1)
                                         from {list} w)",
            list = rows_of("?2")
        );
        self.read_shared(version_id, &sql, params![version_id, Numbers(owners)])
    }

    /// Reads parts of a version.
    fn read_shared(
        &self,
        version_id: i64,
        sql: &str,
        parameters: impl Parameters,
    ) -> Result<Vec<(i64, u32)>, StoreError> {
        let parts: Vec<(i64, Vec<u8>)> = self
            .store
            .run(|db| db.query(sql, parameters, |row| Ok((row.at(0)?, row.at(1)?))))?;
        let mut owners = Vec::new();
        for (first, octets) in parts {
            let part = unpack(first, &octets).ok_or_else(|| {
                let what = format!("moves that names of version {version_id} share");
                self.store.damaged(what)
            })?;
            owners.extend(part);
        }
        Ok(owners)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::handle::{Store, StoreOptions};

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(owners in prop::collection::btree_map(1_i64..i64::MAX / 2, 2_u32..5, 0..600)) {
            let parts = pack(&owners);
            prop_assert!(parts.len() == owners.len().div_ceil(OWNERS_A_PART));
            let unpacked = parts.iter().map(|(first, octets)| unpack(*first, octets));
            let unpacked: Vec<Vec<(i64, u32)>> = unpacked.map(|it| it.expect("packed")).collect();
            prop_assert!(parts.iter().zip(&unpacked).all(|((first, _), part)| part[0].0 == *first));
            prop_assert_eq!(unpacked.concat(), owners.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_octets_are_unpacked_or_refused(first in any::<i64>(), octets in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = unpack(first, &octets);
        }
    }

    #[test]
    fn what_is_added_to_a_version_joins_what_is_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("opened");
        let ledger = store.ledger();
        let add = |version, is_more, owners: &[(i64, u32)]| {
            let owners = owners.iter().copied().collect();
            ledger.add_shared(version, is_more, owners).expect("added");
        };
        let many: Vec<(i64, u32)> = (1..=600).map(|id| (2 * id, 600)).collect();
        add(7, false, &many);
        add(8, false, &[(2, 2), (4, 2)]);
        add(7, true, &[(3, 2), (1200, 2)]);
        add(7, true, &[]);
        let count = |version, owner| ledger.shared_count(version, owner).expect("read");
        let counts = [1, 2, 3, 4, 1198, 1199, 1200, 1201].map(|owner| count(7, owner));
        assert_eq!(counts, [0, 600, 2, 600, 600, 0, 2, 0]);
        assert_eq!([2, 3, 4].map(|owner| count(8, owner)), [2, 0, 2]);
        assert_eq!(count(9, 2), 0);
        // Of many at once: those that are asked for are among what is told, and nothing else of another version.
        let told = ledger.shared_counts(7, vec![1, 3, 1200]).expect("read");
        let told: SharedCounts = told.into_iter().collect();
        assert_eq!(
            [1, 3, 1200].map(|id| told.get(&id).copied()),
            [None, Some(2), Some(2)]
        );
        assert!(told.iter().all(|(id, count)| *count == of(*id)));
    }

    /// How many moved alike with an owner of version 7 in the test before.
    fn of(id: i64) -> u32 {
        match id {
            3 | 1200 => 2,
            _ => 600,
        }
    }

    #[test]
    fn name_that_moves_with_its_neighbour_takes_one_octet() {
        let owners = SharedCounts::from([(100, 2), (150, 2)]);
        assert_eq!(pack(&owners), [(100, vec![1, 2, 100])]);
    }
}
