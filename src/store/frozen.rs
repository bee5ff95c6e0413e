//! The code of merged migrations that both engines call, as it was when they were merged. Never edited.

/// How many owners a part of migration 16 holds at most.
const OWNERS_A_PART: usize = 256;

/// The key of a part, version and first owner, and its octets.
pub(in crate::store) type Part = (i64, i64, Vec<u8>);

/// Migration 16: packs the owners that moved alike, which come in the order of their versions and rows.
#[derive(Default)]
pub(in crate::store) struct SharedPacker {
    version_id: i64,
    last: (i64, i64),
    count: usize,
    octets: Vec<u8>,
    first: i64,
}

impl SharedPacker {
    /// Takes an owner of a version. Returns the part before it, if that is whole.
    pub(in crate::store) fn take(
        &mut self,
        [version_id, owner_id, count]: [i64; 3],
    ) -> Option<Part> {
        let is_other = self.version_id != version_id || self.count == OWNERS_A_PART;
        let whole = if is_other { self.end() } else { None };
        if self.count == 0 {
            (self.version_id, self.first, self.last) = (version_id, owner_id, (owner_id, 0));
        }
        let is_new = count != self.last.1;
        let step = owner_id.wrapping_sub(self.last.0) as u64;
        push_varint(&mut self.octets, step << 1 | u64::from(is_new));
        if is_new {
            push_varint(&mut self.octets, count as u64);
        }
        self.last = (owner_id, count);
        self.count += 1;
        whole
    }

    /// Returns the part that was begun, if any was.
    pub(in crate::store) fn end(&mut self) -> Option<Part> {
        let begun = std::mem::take(self);
        (begun.count > 0).then_some((begun.version_id, begun.first, begun.octets))
    }
}

/// Appends a number, seven bits an octet, the lowest first.
fn push_varint(octets: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        octets.push(number as u8 | 0x80);
        number >>= 7;
    }
    octets.push(number as u8);
}
