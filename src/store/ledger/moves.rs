//! Moves that many names made at once.

use crate::dns::Name;
use crate::store::door::{IntoValue, Table, ValueRef};
use crate::store::error::StoreError;
use crate::store::keys::ZoneId;
use crate::store::ledger::Ledger;
use crate::time::Timestamp;

/// What moved together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkKind {
    /// The name servers of many names, from one set to one other.
    Nameservers,
    /// The addresses of a name server that many names use.
    Glue,
    /// So much of a zone that nobody is accused for it.
    Version,
}

impl BulkKind {
    /// Returns the word of the row.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nameservers => "nameservers",
            Self::Glue => "glue",
            Self::Version => "version",
        }
    }

    /// Returns the kind that [`BulkKind::word`] gave `word` for.
    pub(in crate::store) fn parse(word: &str) -> Option<Self> {
        [Self::Nameservers, Self::Glue, Self::Version]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// A move of many names in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkMove {
    /// Its number; 0 before it is kept.
    pub id: i64,
    /// The version.
    pub version_id: i64,
    /// The zone.
    pub zone: Name,
    /// Event time.
    pub at: Timestamp,
    /// What moved.
    pub kind: BulkKind,
    /// How many names.
    pub name_count: u32,
    /// From, with commas.
    pub before: String,
    /// To, with commas.
    pub after: String,
    /// Some of the names, with commas.
    pub names: String,
}

/// Rows of moves. A later part of the same version adds to one.
const BULK_MOVES: Table = Table {
    name: "bulk_move",
    columns: &[
        "version_id",
        "zone_id",
        "at",
        "kind",
        "name_count",
        "before",
        "after",
        "names",
    ],
    on_conflict: "on conflict (version_id, kind, before, after)
                    do update set name_count = case when excluded.name_count > bulk_move.name_count
                                                    then excluded.name_count
                                                    else bulk_move.name_count end",
};

impl Ledger<'_> {
    /// Keeps mass moves of a version, each once, in the order of what moved.
    pub fn note_bulk_moves(
        &self,
        zone: ZoneId,
        mut moves: Vec<BulkMove>,
    ) -> Result<(), StoreError> {
        moves.sort_by(|one, other| {
            let of = |it: &BulkMove| (it.kind.word(), it.name_count);
            let ((kind, count), (other_kind, other_count)) = (of(one), of(other));
            (&one.before, &one.after, kind, other_count, &one.names).cmp(&(
                &other.before,
                &other.after,
                other_kind,
                count,
                &other.names,
            ))
        });
        // A statement takes each row once. Moves whose records came in another order may read alike: that of most names
        // stands for them.
        moves.dedup_by(|one, before| {
            (one.kind, &one.before, &one.after) == (before.kind, &before.before, &before.after)
        });
        let values: Vec<ValueRef<'_>> = moves
            .iter()
            .flat_map(|moved| {
                [
                    moved.version_id.to_value(),
                    zone.to_value(),
                    moved.at.to_value(),
                    moved.kind.word().to_value(),
                    moved.name_count.to_value(),
                    moved.before.to_value(),
                    moved.after.to_value(),
                    moved.names.to_value(),
                ]
            })
            .collect();
        self.store.run(|db| db.insert_rows(&BULK_MOVES, &values))
    }
}
