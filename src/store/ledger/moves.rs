//! Moves that many names made at once.

use crate::dns::Name;
use crate::store::door::params;
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

impl Ledger<'_> {
    /// Keeps a mass move, once; a later part of the same version adds to it.
    pub fn note_bulk_move(&self, zone: ZoneId, moved: &BulkMove) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                let sql =
                    "insert into bulk_move (version_id, zone_id, at, kind, name_count, before,
                                            after, names) values (?, ?, ?, ?, ?, ?, ?, ?)
                     on conflict (version_id, kind, before, after)
                       do update set name_count = case when excluded.name_count > bulk_move.name_count
                                                       then excluded.name_count
                                                       else bulk_move.name_count end";
                db.execute(
                    sql,
                    params![
                        moved.version_id,
                        zone,
                        moved.at,
                        moved.kind.word(),
                        moved.name_count,
                        moved.before,
                        moved.after,
                        moved.names
                    ],
                )
            })
            .map(|_| ())
    }
}
