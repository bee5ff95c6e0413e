//! Which owners a version changed and how much, as packed octets.
//!
//! A version's owners are in ascending order of their rows. Of each: the row less the one before it, as
//! a varint (LEB128), and a byte of counts. Its low three bits are the NS records added, the next three
//! those removed; bit 6 says that three varints follow (addresses added, addresses removed, other
//! records); bit 7 that five varints follow instead, because a count of NS records is above 7. A byte of
//! zero is an owner whose records were there when watching it began: nothing that changed.
//!
//! A row for each owner took 19 octets, a quarter of what a change takes on disk; this takes 2 or 3.

use crate::store::error::StoreError;
use crate::store::ledger::Ledger;

/// What a version did to one owner.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct ChangeCounts {
    /// NS records added and removed.
    pub ns: [u32; 2],
    /// Addresses added and removed.
    pub address: [u32; 2],
    /// Records of other types, added or removed.
    pub other: u32,
}

impl ChangeCounts {
    /// Returns whether nothing changed.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what else the version did.
    pub fn add(&mut self, more: &Self) {
        for side in 0..2 {
            self.ns[side] += more.ns[side];
            self.address[side] += more.address[side];
        }
        self.other += more.other;
    }
}

/// Bit of the byte of counts: the counts of other than NS records follow.
const MORE: u8 = 0x40;
/// Bit of the byte of counts: all five counts follow.
const WIDE: u8 = 0x80;

/// Packs owners, which are sorted by their rows, each once.
pub(in crate::store) fn pack<'a>(owners: impl Iterator<Item = (i64, &'a ChangeCounts)>) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut last = 0;
    for (owner_id, counts) in owners {
        push_varint(&mut octets, owner_id.wrapping_sub(last) as u64);
        last = owner_id;
        let rest = [counts.address[0], counts.address[1], counts.other];
        if counts.ns.iter().any(|count| *count > 7) {
            octets.push(WIDE);
            counts
                .ns
                .iter()
                .chain(&rest)
                .for_each(|count| push_varint(&mut octets, u64::from(*count)));
            continue;
        }
        let ns = counts.ns[0] as u8 | (counts.ns[1] as u8) << 3;
        if rest == [0; 3] {
            octets.push(ns);
        } else {
            octets.push(ns | MORE);
            rest.iter()
                .for_each(|count| push_varint(&mut octets, u64::from(*count)));
        }
    }
    octets
}

/// Unpacks owners; `None` for octets that [`pack`] does not write.
pub(in crate::store) fn unpack(octets: &[u8]) -> Option<Vec<(i64, ChangeCounts)>> {
    let mut rest = octets;
    let mut owners = Vec::new();
    let mut last = 0_i64;
    while !rest.is_empty() {
        last = last.wrapping_add(read_varint(&mut rest)? as i64);
        let (&byte, after) = rest.split_first()?;
        rest = after;
        let mut counts = ChangeCounts::default();
        let mut count = || read_varint(&mut rest).and_then(|it| u32::try_from(it).ok());
        counts.ns = match byte & WIDE {
            0 => [u32::from(byte & 7), u32::from(byte >> 3 & 7)],
            _ => [count()?, count()?],
        };
        if byte & (WIDE | MORE) != 0 {
            counts.address = [count()?, count()?];
            counts.other = count()?;
        }
        owners.push((last, counts));
    }
    Some(owners)
}

impl Ledger<'_> {
    /// Returns the owners that a version lists, in the order of their rows; empty for a first version.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; [`StoreError::Damaged`] for a list that this program does not write.
    pub(in crate::store) fn changes_of(
        &self,
        version_id: i64,
    ) -> Result<Vec<(i64, ChangeCounts)>, StoreError> {
        let octets: Option<Vec<u8>> = self.store.run(|db| {
            db.first_value(
                "select octets from change where version_id = ?",
                [version_id],
            )
        })?;
        self.unpack_changes(version_id, octets)
    }

    /// Returns the owners that a version lists, of its octets.
    pub(in crate::store) fn unpack_changes(
        &self,
        version_id: i64,
        octets: Option<Vec<u8>>,
    ) -> Result<Vec<(i64, ChangeCounts)>, StoreError> {
        unpack(&octets.unwrap_or_default()).ok_or_else(|| {
            self.store
                .damaged(format!("changes of version {version_id}"))
        })
    }
}

/// Appends a number, seven bits an octet, the lowest first.
pub(in crate::store) fn push_varint(octets: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        octets.push(number as u8 | 0x80);
        number >>= 7;
    }
    octets.push(number as u8);
}

/// Reads a number that [`push_varint`] wrote.
pub(in crate::store) fn read_varint(octets: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = octets.split_first()?;
        *octets = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts() -> impl Strategy<Value = ChangeCounts> {
        (any::<[u8; 2]>(), any::<[u8; 2]>(), 0_u32..300).prop_map(|(ns, address, other)| {
            ChangeCounts {
                ns: ns.map(|it| u32::from(it % 12)),
                address: address.map(|it| u32::from(it) * u32::from(it % 3)),
                other: other / 200 * other,
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(owners in prop::collection::btree_map(1_i64..i64::MAX, counts(), 0..50)) {
            let octets = pack(owners.iter().map(|(id, counts)| (*id, counts)));
            prop_assert_eq!(unpack(&octets), Some(owners.into_iter().collect::<Vec<_>>()));
        }

        #[test]
        fn any_octets_are_unpacked_or_refused(octets in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = unpack(&octets);
        }
    }

    #[test]
    fn a_move_of_name_servers_takes_two_octets_beside_its_neighbour() {
        let counts = ChangeCounts {
            ns: [2, 2],
            ..ChangeCounts::default()
        };
        assert_eq!(pack([(100, &counts), (190, &counts)].into_iter()).len(), 4);
    }
}
