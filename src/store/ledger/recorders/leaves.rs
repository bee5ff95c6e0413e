//! Hashes what a version did to each owner: the leaves of the tree whose root its link in the chain holds.

use std::collections::{BTreeMap, HashMap, hash_map};

use crate::evidence::{ChainHead, Entry, Hash, Merkle, Op, leaf};
use crate::store::error::StoreError;
use crate::store::ledger::chain::{NewLink, VersionKey};
use crate::store::ledger::writing::{OwnerEdit, Writing};

/// Hashes what a version did.
#[derive(Default)]
pub(in crate::store) struct Leaves {
    /// By owner; `None` where the version came in parts: that is read from the records.
    by_owner: HashMap<i64, Option<Hash>>,
    /// The leaves of a first version, in the order of their owners' rows, up to the last of them.
    first: (Merkle, i64),
}

impl Leaves {
    /// Hashes an edit.
    pub fn note(&mut self, edit: &OwnerEdit) {
        if !edit.changes.iter().any(|told| told.change.is_change()) {
            return;
        }
        let known = self.by_owner.entry(edit.id);
        if let hash_map::Entry::Occupied(mut known) = known {
            known.insert(None);
            return;
        }
        let mut entries: Vec<Entry<'_>> = Vec::new();
        for told in &edit.changes {
            let op = if told.baseline { Op::There } else { Op::Added };
            let added = told.change.added.iter();
            entries.extend(added.map(|rr| Entry::new(op, &rr.rdata)));
            let removed = told.change.removed.iter();
            entries.extend(removed.map(|rr| Entry::new(Op::Removed, &rr.rdata)));
        }
        known.or_insert(Some(leaf(edit.owner.as_wire(), &mut entries)));
    }

    /// Takes the leaf of an owner of a zone's first version, whose row comes after those before it.
    pub fn note_first(&mut self, owner_id: i64, leaf: Hash) {
        self.first.0.push(leaf);
        self.first.1 = owner_id;
    }

    /// Returns whether no edit was hashed.
    pub fn is_empty(&self) -> bool {
        self.by_owner.is_empty()
    }

    /// Returns the owners of the edits.
    pub fn owners(&self) -> impl Iterator<Item = i64> {
        self.by_owner.keys().copied()
    }

    /// Appends the version to the zone's chain of hashes, as it is now. Returns the chain's newest hash.
    pub fn write(&self, writing: &Writing<'_>) -> Result<Hash, StoreError> {
        let ledger = writing.store.ledger();
        let (zone, apex) = (writing.zone.id, &writing.zone.apex);
        let version = match writing.is_more() {
            true => ledger.version_key(writing.id)?,
            false => writing.key(),
        };
        if writing.is_more() {
            // Only a version that was there before is part of a state that was hashed already.
            if let Some(start) = ledger.last_start(zone)?
                && start.holds(version.id, version.at)
            {
                let root = ledger.state_root(zone, apex, start.at, start.newest_id)?;
                return ledger.append_start(zone, apex, start.at, (root, start.newest_id));
            }
        }
        let is_late_first = writing.is_baseline() && self.is_out_of_order();
        let root = if writing.is_more() || is_late_first {
            ledger.root_of(zone, apex, version)?
        } else {
            self.root(writing, version)?
        };
        let head = ChainHead {
            is_start: false,
            at: version.at,
            serial: version.serial,
        };
        let link = NewLink {
            head,
            version_id: writing.id,
            root,
        };
        ledger.append_link(zone, apex, &link, writing.chain_before)
    }

    /// Returns the root over the leaves.
    fn root(&self, writing: &Writing<'_>, version: VersionKey) -> Result<Hash, StoreError> {
        let ledger = writing.store.ledger();
        let (zone, apex) = (writing.zone.id, &writing.zone.apex);
        let mut tree = self.first.0.clone();
        let months = match self.by_owner.values().all(Option::is_some) {
            true => Vec::new(),
            false => writing
                .store
                .zones()
                .buckets_since(zone, Some(version.at))?,
        };
        let leaves: BTreeMap<_, _> = self.by_owner.iter().collect();
        for (owner_id, hash) in leaves {
            let hash = match hash {
                Some(hash) => Some(*hash),
                None => {
                    let owner = ledger.owner_name(*owner_id, apex)?;
                    ledger.leaf_of(&months, &owner, *owner_id, version)?
                }
            };
            hash.into_iter().for_each(|hash| tree.push(hash));
        }
        Ok(tree.root())
    }

    /// Returns whether an owner of a first version came late whose row lies before others.
    fn is_out_of_order(&self) -> bool {
        self.by_owner
            .keys()
            .any(|owner_id| *owner_id <= self.first.1)
    }
}
