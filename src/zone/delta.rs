//! An incremental transfer: the steps from one version of a zone to the next.
//!
//! Records are held as octets, so that a step of many records costs little more than it did on the
//! wire. A step is applied owner by owner and must fit the state exactly: what it removes must be
//! there, and what it adds must not. A step that does not fit was made from another state than ours.

use std::collections::BTreeMap;

use crate::dns::{Name, Rdata, Record, RecordType, Serial};
use crate::zone::{IntakeError, OwnerChange};

/// One step of an incremental transfer (RFC 1995 §4: one difference sequence).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The serial before it.
    pub from: Serial,
    /// The serial after it.
    pub to: Serial,
    removed: Vec<u8>,
    added: Vec<u8>,
}

/// Records of one owner that a step removes and adds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepOwner {
    /// In the order of the transfer.
    pub removed: Vec<Record>,
    /// In the order of the transfer.
    pub added: Vec<Record>,
}

impl Step {
    /// Starts a step that does nothing and leads nowhere yet.
    pub fn new(from: Serial) -> Self {
        Self {
            from,
            to: from,
            removed: Vec::new(),
            added: Vec::new(),
        }
    }

    /// Notes a removed record of a kept type. `owner` and names in `rdata` are canonical wire names.
    pub fn remove(&mut self, owner: &[u8], rtype: RecordType, ttl: u32, rdata: &[u8]) {
        push(&mut self.removed, owner, rtype, ttl, rdata);
    }

    /// Notes an added record of a kept type, as [`Step::remove`].
    pub fn add(&mut self, owner: &[u8], rtype: RecordType, ttl: u32, rdata: &[u8]) {
        push(&mut self.added, owner, rtype, ttl, rdata);
    }

    /// Returns how many octets the step holds.
    pub fn octets(&self) -> usize {
        self.removed.len() + self.added.len()
    }

    /// Returns what the step does, by owner in canonical order.
    ///
    /// # Errors
    ///
    /// [`IntakeError`] for a record that is none.
    pub fn owners(&self) -> Result<BTreeMap<Name, StepOwner>, IntakeError> {
        let mut owners: BTreeMap<Name, StepOwner> = BTreeMap::new();
        read(&self.removed, |owner, rr| {
            owners.entry(owner).or_default().removed.push(rr);
        })?;
        read(&self.added, |owner, rr| {
            owners.entry(owner).or_default().added.push(rr);
        })?;
        Ok(owners)
    }
}

impl StepOwner {
    /// Returns the change of an owner whose records are `before`.
    ///
    /// A TTL alone that changes comes as a removal and an addition of the same data.
    ///
    /// # Errors
    ///
    /// A sentence, if the step was made from other records than these.
    pub fn change(&self, before: &[Record]) -> Result<OwnerChange, String> {
        let mut state: BTreeMap<&Rdata, u32> =
            before.iter().map(|rr| (&rr.rdata, rr.ttl)).collect();
        // Removals first: a new TTL comes as a removal and an addition of the same data.
        for rr in &self.removed {
            if state.remove(&rr.rdata).is_none() {
                return Err(format!(
                    "removes {} {}, which is not there",
                    rr.rdata.rtype(),
                    rr.rdata
                ));
            }
        }
        for rr in &self.added {
            if state.insert(&rr.rdata, rr.ttl).is_some() {
                return Err(format!(
                    "adds {} {}, which is there",
                    rr.rdata.rtype(),
                    rr.rdata
                ));
            }
        }
        let after: Vec<Record> = state
            .into_iter()
            .map(|(rdata, ttl)| Record {
                rdata: rdata.clone(),
                ttl,
            })
            .collect();
        Ok(crate::zone::diff(before, &after))
    }
}

/// Appends a record to a step's octets.
fn push(octets: &mut Vec<u8>, owner: &[u8], rtype: RecordType, ttl: u32, rdata: &[u8]) {
    octets.push(owner.len() as u8);
    octets.extend_from_slice(&rtype.code().to_be_bytes());
    octets.extend_from_slice(&ttl.to_be_bytes());
    octets.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
    octets.extend_from_slice(owner);
    octets.extend_from_slice(rdata);
}

/// Reads a step's octets.
fn read(mut octets: &[u8], mut take: impl FnMut(Name, Record)) -> Result<(), IntakeError> {
    while let Some((head, rest)) = octets.split_at_checked(9) {
        let code = u16::from_be_bytes([head[1], head[2]]);
        let ttl = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let length = u16::from_be_bytes([head[7], head[8]]) as usize;
        let (owner, rest) = rest.split_at(head[0] as usize);
        let (rdata, rest) = rest.split_at(length);
        let rtype = RecordType::from_code(code).expect("only kept types are noted");
        let rdata = Rdata::from_wire(rtype, rdata)?;
        take(Name::from_wire(owner)?, Record { rdata, ttl });
        octets = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::zone::{apply, diff};

    fn a(last: u8, ttl: u32) -> Record {
        Record {
            rdata: Rdata::A([192, 0, 2, last].into()),
            ttl,
        }
    }

    fn any_records() -> impl Strategy<Value = Vec<Record>> {
        prop::collection::btree_map(0_u8..6, 60_u32..62, 0..6)
            .prop_map(|map| map.into_iter().map(|(last, ttl)| a(last, ttl)).collect())
    }

    proptest! {
        // A step made of the difference of two states turns the one into the other.
        #[test]
        fn a_step_applied_is_the_difference_diffed(before in any_records(), after in any_records()) {
            let owner = Name::parse("bad.example").expect("valid");
            let change = diff(&before, &after);
            let mut step = Step::new(Serial(1));
            let old = |rr: &Record| before.iter().find(|was| was.rdata == rr.rdata).cloned().expect("retimed");
            for rr in change.removed.iter().cloned().chain(change.retimed.iter().map(old)) {
                step.remove(owner.as_wire(), rr.rdata.rtype(), rr.ttl, &rr.rdata.to_wire());
            }
            for rr in change.added.iter().chain(&change.retimed) {
                step.add(owner.as_wire(), rr.rdata.rtype(), rr.ttl, &rr.rdata.to_wire());
            }
            let owners = step.owners().expect("well-formed");
            let again = owners.get(&owner).cloned().unwrap_or_default().change(&before).expect("fits");
            prop_assert_eq!(apply(&before, &again), apply(&before, &change));
            prop_assert_eq!(again, change);
        }
    }

    #[test]
    fn a_step_from_another_state_does_not_fit() {
        let step = |removed: &[Record], added: &[Record]| StepOwner {
            removed: removed.to_vec(),
            added: added.to_vec(),
        };
        let before = [a(1, 60)];
        assert!(step(&[a(2, 60)], &[]).change(&before).is_err());
        assert!(step(&[], &[a(1, 60)]).change(&before).is_err());
        assert!(step(&[a(1, 60)], &[a(1, 300)]).change(&before).is_ok());
    }
}
