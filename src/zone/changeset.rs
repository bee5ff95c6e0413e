//! The exact difference of one owner's records between two versions of a zone.

use std::collections::BTreeMap;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::dns::{Name, Rdata, Record, RecordType};

/// What happened to one owner name between two versions.
///
/// Invariant: no RDATA is in two of the lists; each list is sorted and without duplicates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnerChange {
    /// Records that are no longer there.
    pub removed: Vec<Record>,
    /// Records that were not there before.
    pub added: Vec<Record>,
    /// Records whose TTL alone is new, with the new TTL. No change to history.
    pub retimed: Vec<Record>,
}

impl OwnerChange {
    /// Returns whether history has something to record: a TTL alone is not.
    pub fn is_change(&self) -> bool {
        !self.removed.is_empty() || !self.added.is_empty()
    }
}

/// Returns what turns `before` into `after`.
///
/// Neither needs an order; a record given twice counts once, with its last TTL.
pub fn diff(before: &[Record], after: &[Record]) -> OwnerChange {
    let old: BTreeMap<&Rdata, u32> = before.iter().map(|rr| (&rr.rdata, rr.ttl)).collect();
    let new: BTreeMap<&Rdata, u32> = after.iter().map(|rr| (&rr.rdata, rr.ttl)).collect();
    let record = |(rdata, ttl): (&&Rdata, &u32)| Record {
        rdata: (*rdata).clone(),
        ttl: *ttl,
    };
    OwnerChange {
        removed: old
            .iter()
            .filter(|(rdata, _)| !new.contains_key(*rdata))
            .map(record)
            .collect(),
        added: new
            .iter()
            .filter(|(rdata, _)| !old.contains_key(*rdata))
            .map(record)
            .collect(),
        retimed: new
            .iter()
            .filter(|(rdata, ttl)| old.get(*rdata).is_some_and(|was| was != *ttl))
            .map(record)
            .collect(),
    }
}

/// Returns the type and the number of records of the largest RRset that a change adds to, after it; `None` if it
/// adds to none. `before` has what it removes.
pub fn widest_grown<'a>(
    before: impl Iterator<Item = &'a Record> + Clone,
    change: &OwnerChange,
) -> Option<(RecordType, u64)> {
    let count = |records: &[Record], rtype| {
        let of_type = records.iter().filter(|rr| rr.rdata.rtype() == rtype);
        of_type.count() as u64
    };
    let mut types: Vec<RecordType> = change.added.iter().map(|rr| rr.rdata.rtype()).collect();
    types.sort_unstable();
    types.dedup();
    let grown = types.into_iter().map(|rtype| {
        let there = before.clone().filter(|rr| rr.rdata.rtype() == rtype);
        let records = there.count() as u64 + count(&change.added, rtype);
        (rtype, records.saturating_sub(count(&change.removed, rtype)))
    });
    grown.max_by_key(|(_, records)| *records)
}

/// Returns whether an owner's records cannot stand beside each other: two CNAMEs, or a CNAME and something
/// else. Types that are not kept are not known of.
pub fn breaks_cname(records: &[Record]) -> bool {
    // RFC 1034 §3.6.2: a CNAME stands alone.
    let is_cname = |rr: &Record| rr.rdata.rtype() == RecordType::Cname;
    records.len() > 1 && records.iter().any(is_cname)
}

/// Returns `before` with `change` applied, sorted and without duplicates.
///
/// Law: `apply(a, &diff(a, b))` is the sorted `b`.
pub fn apply(before: &[Record], change: &OwnerChange) -> Vec<Record> {
    let mut state: BTreeMap<Rdata, u32> =
        before.iter().map(|rr| (rr.rdata.clone(), rr.ttl)).collect();
    for rr in &change.removed {
        state.remove(&rr.rdata);
    }
    for rr in change.added.iter().chain(&change.retimed) {
        state.insert(rr.rdata.clone(), rr.ttl);
    }
    state
        .into_iter()
        .map(|(rdata, ttl)| Record { rdata, ttl })
        .collect()
}

/// Returns a signature of the name-server move in `change`: equal for two owners that left the
/// same name servers for the same others. `None` if no NS record was added and removed.
///
/// Names below `owner` itself (its own in-domain name servers) never make two owners alike.
pub fn transition_signature(owner: &Name, change: &OwnerChange) -> Option<u64> {
    let mut hasher = SipHasher13::new();
    let mut counts = [0_usize; 2];
    for (side, records) in [&change.removed, &change.added].into_iter().enumerate() {
        for rr in records {
            if let Rdata::Ns(host) = &rr.rdata {
                if host.is_at_or_below(owner) {
                    return None;
                }
                counts[side] += 1;
                hasher.write_usize(side);
                hasher.write(host.as_wire());
            }
        }
    }
    (counts[0] > 0 && counts[1] > 0).then(|| hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn any_records() -> impl Strategy<Value = Vec<Record>> {
        let rdata = prop_oneof![
            (0_u32..12).prop_map(|n| Rdata::A(Ipv4Addr::from(0xc000_0200 + n))),
            (0_u8..6)
                .prop_map(|n| Rdata::Ns(Name::parse(&format!("ns{n}.example")).expect("valid"))),
        ];
        prop::collection::vec(
            (rdata, 0_u32..3).prop_map(|(rdata, ttl)| Record { rdata, ttl }),
            0..14,
        )
    }

    proptest! {
        #[test]
        fn applying_a_difference_gives_the_new_version(a in any_records(), b in any_records()) {
            let change = diff(&a, &b);
            let target = apply(&[], &OwnerChange { added: apply(&b, &OwnerChange::default()), ..OwnerChange::default() });
            prop_assert_eq!(apply(&a, &change), target);
            prop_assert!(change.removed.iter().all(|gone| change.added.iter().all(|new| new.rdata != gone.rdata)));
            prop_assert!(!diff(&b, &b).is_change());
        }
    }

    #[test]
    fn moves_between_the_same_name_servers_share_a_signature() {
        let ns = |text: &str| Record {
            rdata: Rdata::Ns(Name::parse(text).expect("valid")),
            ttl: 1,
        };
        let change = diff(&[ns("ns1.old.example")], &[ns("ns1.new.example")]);
        let other = diff(&[ns("ns1.new.example")], &[ns("ns1.old.example")]);
        let [a, b] = ["a.example", "b.example"].map(|text| Name::parse(text).expect("valid"));
        assert_eq!(
            transition_signature(&a, &change),
            transition_signature(&b, &change)
        );
        assert_ne!(
            transition_signature(&a, &change),
            transition_signature(&a, &other)
        );
        assert_eq!(
            transition_signature(&Name::parse("new.example").expect("valid"), &change),
            None
        );
    }
}
