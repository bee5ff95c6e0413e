//! The name servers that a zone's first version names, each once and by a number: what they cost is counted by name server
//! and not by record.

use std::hint::black_box;

use crate::zone::digest::DigestKey;

/// The most name servers that are numbered: some 70 octets each with their rows. Those beyond are told by their names.
const HOSTS_MAX: usize = 8_000_000;
/// The most octets of their names, for each that may be numbered.
const NAME_OCTETS_MAX: usize = 64;
/// Places of an empty table.
const PLACES_MIN: usize = 16;

/// Name servers by number, from 0.
#[derive(Debug, Default)]
pub struct HostNames {
    /// Their canonical wire names, one after the other.
    octets: Vec<u8>,
    /// Where each name ends.
    ends: Vec<u32>,
    /// Whether an owner that is not at or above it uses it.
    is_used: Vec<bool>,
    /// An open-addressing table with linear probing: the first half of a name's hash, and its number and one; 0 where nothing
    /// stands.
    places: Vec<(u32, u32)>,
}

impl HostNames {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the canonical wire name of a name server.
    pub fn name(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let begin = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.octets[begin as usize..self.ends[number] as usize]
    }

    /// Returns whether an owner that is not at or above it uses it.
    pub fn is_used(&self, number: u32) -> bool {
        self.is_used[number as usize]
    }

    /// Returns the number of a canonical wire name with this hash, new if it was not met; `None` for one that is too many.
    pub(super) fn number(&mut self, key: &DigestKey, hash: u64, name: &[u8]) -> Option<u32> {
        self.number_below(key, (hash, name), HOSTS_MAX)
    }

    /// Has what is known of names with these hashes brought from memory, all at once, as `DigestTable::fetch` does: looked
    /// for one after the other, they took a third of the time in which a first version is read.
    pub(super) fn fetch(&self, hashes: &[u64]) {
        if self.places.is_empty() {
            return;
        }
        let known = |hash: &u64| match self.places[self.home(*hash)] {
            (_, 0) => 0,
            (_, number) => self.name(number - 1)[0],
        };
        // None of these reads waits for that of another name. What they come to is of no use, which the compiler is not to
        // find out.
        black_box(hashes.iter().map(known).fold(0, u8::wrapping_add));
    }

    /// Returns the number of the canonical wire name of an operator's domain, new if it was not met: there is at most one
    /// for each name server.
    pub fn number_any(&mut self, key: &DigestKey, name: &[u8]) -> u32 {
        self.number_below(key, (key.hash_owner(name), name), 2 * HOSTS_MAX)
            .expect("there are no more operators than name servers, and none has a longer name")
    }

    /// Returns the number of a canonical wire name with its hash, new if it was not met and there are fewer than so many.
    fn number_below(
        &mut self,
        key: &DigestKey,
        (hash, name): (u64, &[u8]),
        hosts_max: usize,
    ) -> Option<u32> {
        if (self.len() + 1) * 4 > self.places.len() * 3 {
            self.grow(key);
        }
        let mut at = self.home(hash);
        loop {
            match self.places[at] {
                (_, 0) => break,
                (half, number) if half == half_of(hash) && self.name(number - 1) == name => {
                    return Some(number - 1);
                }
                _ => at = self.next(at),
            }
        }
        let octets_max = hosts_max * NAME_OCTETS_MAX;
        if self.len() >= hosts_max || self.octets.len() + name.len() > octets_max {
            return None;
        }
        let number = self.len() as u32;
        self.octets.extend_from_slice(name);
        self.ends.push(self.octets.len() as u32);
        self.is_used.push(false);
        self.places[at] = (half_of(hash), number + 1);
        Some(number)
    }

    /// Notes that an owner that is not at or above a name server uses it.
    pub fn note_use(&mut self, number: u32) {
        self.is_used[number as usize] = true;
    }

    /// Makes twice the places.
    fn grow(&mut self, key: &DigestKey) {
        let count = (self.places.len() * 2).max(PLACES_MIN);
        self.places = vec![(0, 0); count];
        for number in 0..self.len() as u32 {
            let hash = key.hash_owner(self.name(number));
            let mut at = self.home(hash);
            while self.places[at].1 != 0 {
                at = self.next(at);
            }
            self.places[at] = (half_of(hash), number + 1);
        }
    }

    /// Returns where the probing for a hash starts.
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.places.len() as u128) >> 64) as usize
    }

    /// Returns the place after `at`; the first after the last.
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.places.len() {
            0
        } else {
            at + 1
        }
    }
}

/// Returns the half of a hash that does not choose the place.
fn half_of(hash: u64) -> u32 {
    hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_one_number_however_often_it_is_met() {
        let key = DigestKey::new([5; 32]);
        let mut hosts = HostNames::default();
        let name = |n: u32| format!("\u{4}h{:03}\u{0}", n % 300).into_bytes();
        for n in 0..1000_u32 {
            let hash = key.hash_owner(&name(n));
            hosts.fetch(&[hash]);
            assert_eq!(hosts.number(&key, hash, &name(n)), Some(n % 300));
            assert_eq!(hosts.name(n % 300), name(n));
        }
        assert_eq!(hosts.len(), 300);
        hosts.note_use(7);
        assert!(hosts.is_used(7) && !hosts.is_used(8));
    }
}
