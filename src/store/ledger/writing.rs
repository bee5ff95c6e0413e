//! A version while it is written: what its recorders share.

use std::collections::HashMap;

use crate::dns::{Name, Rdata, Record, RecordType};
use crate::evidence::{Hash, Merkle};
use crate::store::handle::{Store, StoreTx};
use crate::store::ledger::changes::ChangeCounts;
use crate::store::ledger::draft::{Comparison, VersionDraft};
use crate::store::ledger::tally::{HostKey, Tally};
use crate::store::zones::watched::ZoneState;
use crate::zone::{OwnerChange, Slot};

/// How the zone's totals move.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Totals {
    pub(in crate::store) kept: i64,
    pub(in crate::store) names: i64,
    pub(in crate::store) delegations: i64,
}

/// The same move of the name servers of some owners.
pub(in crate::store) struct Move {
    pub(in crate::store) owners: Vec<i64>,
    pub(in crate::store) before: String,
    pub(in crate::store) after: String,
    /// The first owners, up to [`MOVED_NAMES_KEPT`].
    pub(in crate::store) names: Vec<String>,
}

impl Move {
    /// Returns the move of one owner.
    pub(in crate::store) fn of(change: &OwnerChange) -> Self {
        let hosts = |records: &[Record]| {
            let hosts = records.iter().filter_map(|it| match &it.rdata {
                Rdata::Ns(host) => Some(host.to_string()),
                _ => None,
            });
            hosts.collect::<Vec<_>>().join(",")
        };
        Self {
            owners: Vec::new(),
            before: hosts(&change.removed),
            after: hosts(&change.added),
            names: Vec::new(),
        }
    }
}

/// A version being written.
pub struct VersionTx<'a> {
    pub(in crate::store) store: &'a Store,
    /// `None` for a version that is part of the caller's transaction.
    pub(in crate::store) tx: Option<StoreTx<'a>>,
    pub(in crate::store) zone: ZoneState,
    pub(in crate::store) draft: VersionDraft,
    pub(in crate::store) id: i64,
    pub(in crate::store) changes: HashMap<i64, ChangeCounts>,
    /// What the version did to each owner, hashed; `None` where that is to be read from the records.
    pub(in crate::store) leaves: HashMap<i64, Option<Hash>>,
    /// The leaves of a first version, in the order of their owners' rows, up to the last of them.
    pub(in crate::store) first: (Merkle, i64),
    /// The zone's usual TTL, if this version is the one that sets it.
    pub(in crate::store) first_ttl: Option<u32>,
    pub(in crate::store) moves: HashMap<u64, Move>,
    pub(in crate::store) totals: Totals,
    /// What the version does to how many names use a name server.
    pub(in crate::store) tally: Tally,
    /// The name servers of the owner that is being counted.
    pub(in crate::store) users: Vec<HostKey>,
    /// The weeks of versions.
    pub(in crate::store) weeks: HashMap<i64, i64>,
    pub(in crate::store) has_registration: bool,
    pub(in crate::store) is_kept: bool,
    pub(in crate::store) retimed_name_count: u64,
    pub(in crate::store) breaks_cname: bool,
    pub(in crate::store) is_step: bool,
    pub(in crate::store) compared: Option<Comparison>,
    /// The largest RRset that the version adds to: owner, type, records.
    pub(in crate::store) widest: Option<(Name, RecordType, u64)>,
    pub(in crate::store) digests: Vec<(u64, Option<Slot>)>,
}
