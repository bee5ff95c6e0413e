//! The version that is being written, as its recorders see it, and an owner that it changes.

use crate::dns::{Name, Rdata, Record};
use crate::evidence::Hash;
use crate::store::door::Value;
use crate::store::handle::Store;
use crate::store::ledger::chain::VersionKey;
use crate::store::ledger::draft::{VersionDraft, VersionKind};
use crate::store::ledger::open_row::{OpenRow, is_ns};
use crate::store::ledger::states::OwnerState;
use crate::store::zones::watched::ZoneState;
use crate::zone::OwnerChange;

/// The version that recorders write for.
pub(in crate::store) struct Writing<'a> {
    pub store: &'a Store,
    /// The zone as it was when the version was begun.
    pub zone: ZoneState,
    pub draft: VersionDraft,
    /// The version's row.
    pub id: i64,
    /// The newest hash of the zone's chain before the version; `None` if it is more of one and that was not read.
    pub chain_before: Option<Hash>,
}

impl Writing<'_> {
    /// Returns what the chain needs of a version that is not more of another: its row as it was made.
    pub fn key(&self) -> VersionKey {
        VersionKey {
            id: self.id,
            at: self.draft.observed_at,
            serial: self.draft.serial,
            is_baseline: self.is_baseline(),
        }
    }

    /// Returns whether it is more of a version that is there already.
    pub fn is_more(&self) -> bool {
        self.draft.joins.is_some()
    }

    /// Returns whether it is a zone's first version, whose records were there before it.
    pub fn is_baseline(&self) -> bool {
        self.draft.kind == VersionKind::Baseline
    }
}

/// An owner as it stands, and what the version does to it.
pub(in crate::store) struct OwnerEdit {
    /// Its row.
    pub id: i64,
    pub owner: Name,
    /// Its open records before the edit.
    pub rows: Vec<OpenRow>,
    /// As [`OwnerState::cut`].
    pub cut: i64,
    /// What changes: every record is in one of them at most.
    pub changes: Vec<Told>,
}

/// A change, and whether its new records were there before watching began.
pub(in crate::store) struct Told {
    pub change: OwnerChange,
    pub baseline: bool,
}

impl OwnerEdit {
    /// Begins an edit of an owner as it stands.
    pub fn new(owner: Name, state: OwnerState, changes: Vec<Told>) -> Self {
        Self {
            id: state.id,
            owner,
            rows: state.rows,
            cut: state.cut,
            changes,
        }
    }

    /// Returns the records that the edit takes away.
    pub fn removed(&self) -> impl Iterator<Item = &Record> {
        self.changes.iter().flat_map(|told| &told.change.removed)
    }

    /// Returns the records that the edit brings.
    pub fn added(&self) -> impl Iterator<Item = &Record> {
        self.changes.iter().flat_map(|told| &told.change.added)
    }

    /// Returns whether the owner had a name server before the edit.
    pub fn has_ns(&self) -> bool {
        self.rows.iter().any(OpenRow::is_ns)
    }

    /// Returns whether it takes a name server away.
    pub fn is_cut(&self) -> bool {
        self.removed().any(is_ns)
    }

    /// Returns whether it moves name servers.
    pub fn moves_ns(&self) -> bool {
        self.is_cut() || self.added().any(is_ns)
    }

    /// Returns the name servers that the owner has afterwards, those that version `id` adds included.
    pub fn name_servers_after(&self, id: i64) -> Vec<OpenRow> {
        let is_gone = |rdata: &Rdata| self.removed().any(|gone| gone.rdata == *rdata);
        let stay = self.rows.iter().filter(|row| row.is_ns());
        let mut rows: Vec<OpenRow> = stay
            .filter(|row| !is_gone(&row.record.rdata))
            .cloned()
            .collect();
        for told in &self.changes {
            let added = told.change.added.iter().filter(|rr| is_ns(rr));
            rows.extend(added.map(|rr| OpenRow {
                record: rr.clone(),
                value: Value::Null,
                added_id: id,
                baseline: told.baseline,
            }));
        }
        rows
    }
}

/// Returns the name servers among rows that are not at or below their owner: nobody vouches for himself.
pub(in crate::store) fn hosts_elsewhere<'a>(
    owner: &'a Name,
    rows: &'a [OpenRow],
) -> impl Iterator<Item = &'a Name> {
    rows.iter().filter_map(move |row| match &row.record.rdata {
        Rdata::Ns(host) if !host.is_at_or_below(owner) => Some(host),
        _ => None,
    })
}
