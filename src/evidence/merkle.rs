//! Hashes: of an owner's changes, of a version, of the chain of versions.

use std::borrow::Cow;
use std::fmt;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::dns::{Name, Rdata, Serial};
use crate::time::Timestamp;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Hash {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (octet, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *octet = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is not 64 hexadecimal digits"))
        })
    }
}

/// What a version did with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// It was added.
    Added,
    /// It was removed.
    Removed,
    /// It was there when watching it began, or at the cut of retention.
    There,
}

impl Op {
    /// Returns the octet in the hash.
    fn octet(self) -> u8 {
        match self {
            Self::Added => b'+',
            Self::Removed => b'-',
            Self::There => b'=',
        }
    }
}

/// One record of a leaf. TTLs are not hashed: history keeps only the last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry<'a> {
    /// What was done.
    pub op: Op,
    /// The type's number.
    pub code: u16,
    /// Canonical wire data.
    pub rdata: Cow<'a, [u8]>,
}

impl Entry<'static> {
    /// Returns the entry of a record.
    pub fn new(op: Op, rdata: &Rdata) -> Self {
        Self {
            op,
            code: rdata.rtype().code(),
            rdata: Cow::Owned(rdata.to_wire()),
        }
    }
}

/// Returns the leaf of an owner: SHA-256 of 0x00, the owner's wire name, and its entries in order, each
/// an octet (`+`, `-` or `=`), the type, the length of its data, its data.
pub fn leaf(owner: &[u8], entries: &mut [Entry<'_>]) -> Hash {
    // The order of the records is none of what a version says: the same changes have the same hash.
    entries.sort_unstable();
    // Put together first: a first version has a million of them, and each call into the hash costs.
    let octets: usize = entries.iter().map(|entry| 5 + entry.rdata.len()).sum();
    let mut text = Vec::with_capacity(1 + owner.len() + octets);
    text.push(0);
    text.extend_from_slice(owner);
    for entry in entries.iter() {
        text.push(entry.op.octet());
        text.extend_from_slice(&entry.code.to_be_bytes());
        text.extend_from_slice(&(entry.rdata.len() as u16).to_be_bytes());
        text.extend_from_slice(&entry.rdata);
    }
    hash_octets(&text)
}

/// Returns [`leaf`] of an owner whose records, all [`Op::There`], are sorted by type and data. `text` is memory for what
/// is hashed.
pub fn leaf_of_there<'a>(
    owner: &[u8],
    records: impl Iterator<Item = (u16, &'a [u8])>,
    text: &mut Vec<u8>,
) -> Hash {
    text.clear();
    text.push(0);
    text.extend_from_slice(owner);
    for (code, rdata) in records {
        text.push(Op::There.octet());
        text.extend_from_slice(&code.to_be_bytes());
        text.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
        text.extend_from_slice(rdata);
    }
    hash_octets(text)
}

/// Hashes leaves, given one after the other, into the root of their tree (RFC 9162 §2.1.1). Holds one
/// hash for each power of two.
#[derive(Debug, Clone, Default)]
pub struct Merkle {
    /// Roots of complete trees with how many times two leaves they have, largest first.
    trees: Vec<(u32, Hash)>,
}

impl Merkle {
    /// Takes the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let (mut height, mut hash) = (0, leaf);
        while let Some(&(other, left)) = self.trees.last()
            && other == height
        {
            self.trees.pop();
            hash = node(left, hash);
            height += 1;
        }
        self.trees.push((height, hash));
    }

    /// Returns the root; of no leaves, the SHA-256 of nothing.
    pub fn root(&self) -> Hash {
        let mut trees = self.trees.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = trees.next() else {
            return hash_octets(&[]);
        };
        trees.fold(last, |right, left| node(left, right))
    }
}

/// Returns the audit path of the leaf at `index`: the hashes beside the way to the root, the nearest
/// first (RFC 9162 §2.1.3.1). `index` is that of a leaf.
pub fn audit_path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let middle = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(middle);
    let (mut path, other) = if index < middle {
        (audit_path(left, index), right)
    } else {
        (audit_path(right, index - middle), left)
    };
    let mut tree = Merkle::default();
    other.iter().for_each(|leaf| tree.push(*leaf));
    path.push(tree.root());
    path
}

/// Returns the root that a leaf and its audit path lead to, in a tree of `count` leaves; `None` if the
/// path cannot be that of the leaf at `index` (RFC 9162 §2.1.3.2).
pub fn root_of_path(leaf: Hash, index: u64, count: u64, path: &[Hash]) -> Option<Hash> {
    if index >= count {
        return None;
    }
    let (mut here, mut last, mut hash) = (index, count - 1, leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if here & 1 == 1 || here == last {
            hash = node(*beside, hash);
            while here & 1 == 0 && here != 0 {
                here >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(hash, *beside);
        }
        here >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// What a link of the chain says besides its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// Whether it is the state at a cut of retention rather than a version.
    pub is_start: bool,
    /// The version's time; of a start, that of the cut.
    pub at: Timestamp,
    /// The version's serial.
    pub serial: Option<Serial>,
}

/// Returns the hash of a link: SHA-256 of 0x02, the hash before it (zeros for a zone's first), the
/// apex's wire name, `v` or `s` (a version or a start), the time as eight octets of Unix seconds, the
/// serial as 0x00 or 0x01 and four octets, and the root.
pub fn chain_hash(before: Hash, apex: &Name, head: ChainHead, root: Hash) -> Hash {
    let mut text = vec![2];
    text.extend_from_slice(&before.0);
    text.extend_from_slice(apex.as_wire());
    text.push(if head.is_start { b's' } else { b'v' });
    text.extend_from_slice(&head.at.unix().to_be_bytes());
    match head.serial {
        Some(serial) => {
            text.push(1);
            text.extend_from_slice(&serial.0.to_be_bytes());
        }
        None => text.push(0),
    }
    text.extend_from_slice(&root.0);
    hash_octets(&text)
}

/// Returns the SHA-256 of some octets.
pub fn hash_octets(octets: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, octets).as_ref());
    Hash(hash)
}

/// Returns the hash of an inner node.
fn node(left: Hash, right: Hash) -> Hash {
    let mut text = [1; 65];
    text[1..33].copy_from_slice(&left.0);
    text[33..].copy_from_slice(&right.0);
    hash_octets(&text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The root as RFC 9162 §2.1.1 defines it.
    fn defined_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => hash_octets(&[]),
            [leaf] => *leaf,
            _ => {
                let middle = leaves.len().next_power_of_two() / 2;
                node(
                    defined_root(&leaves[..middle]),
                    defined_root(&leaves[middle..]),
                )
            }
        }
    }

    proptest! {
        #[test]
        fn every_leaf_leads_to_the_root_and_no_other_does(count in 1_usize..70, index in 0_usize..70, wrong in 0_usize..70) {
            let index = index % count;
            let leaves: Vec<Hash> = (0..count).map(|it| hash_octets(&[it as u8])).collect();
            let mut tree = Merkle::default();
            leaves.iter().for_each(|leaf| tree.push(*leaf));
            prop_assert_eq!(tree.root(), defined_root(&leaves));
            let path = audit_path(&leaves, index);
            let root = |leaf, at: usize| root_of_path(leaf, at as u64, count as u64, &path);
            prop_assert_eq!(root(leaves[index], index), Some(tree.root()));
            prop_assert_ne!(root(hash_octets(b"other"), index), Some(tree.root()));
            if wrong % count != index {
                prop_assert_ne!(root(leaves[index], wrong % count), Some(tree.root()));
            }
        }
    }

    #[test]
    fn hash_of_nothing_is_the_one_everybody_knows() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hash_octets(&[]).to_string(), text);
        assert_eq!(Hash::parse(text), Some(hash_octets(&[])));
        assert_eq!(Hash::parse(&text[1..]), None);
    }

    #[test]
    fn order_of_entries_does_not_matter_and_their_content_does() {
        let entry = |op, octet| Entry {
            op,
            code: 1,
            rdata: vec![192, 0, 2, octet].into(),
        };
        let hash = |mut entries: Vec<Entry<'_>>| leaf(b"\x03bad\x00", &mut entries);
        let one = hash(vec![entry(Op::Added, 1), entry(Op::Removed, 2)]);
        assert_eq!(one, hash(vec![entry(Op::Removed, 2), entry(Op::Added, 1)]));
        assert_ne!(one, hash(vec![entry(Op::Added, 2), entry(Op::Removed, 1)]));
    }
}
