//! What is asked of history.

use crate::dns::{Name, RecordType};
use crate::store::zones::enclosing::EnclosingZone;
use crate::time::Timestamp;

/// Which names a lookup covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryScope {
    /// The name itself.
    Name,
    /// The name and whatever lies below it, in every zone: a delegation with its in-domain glue, a hosted zone whole.
    AtOrBelow,
    /// Whatever lies below the name, in every zone, and not the name itself.
    Below,
}

/// Which part of a history is wanted. By default all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Records of these types; empty for every type.
    pub types: Vec<RecordType>,
    /// Records that were there at or after this, and changes from then on.
    pub since: Option<Timestamp>,
    /// Records that were there at or before this, and changes until then.
    pub until: Option<Timestamp>,
}

impl Wanted {
    /// Wants what was there at one moment.
    pub fn at(moment: Timestamp) -> Self {
        Self {
            since: Some(moment),
            until: Some(moment),
            ..Self::default()
        }
    }

    /// Returns whether a record is of a wanted type.
    pub(in crate::store) fn has_type(&self, rtype: RecordType) -> bool {
        self.types.is_empty() || self.types.contains(&rtype)
    }

    /// Returns whether a record was there within the wanted time. It is there from the version that added
    /// it until just before the one that removed it.
    pub(in crate::store) fn has_stay(&self, added: Timestamp, removed: Option<Timestamp>) -> bool {
        self.until.is_none_or(|until| added <= until)
            && removed.is_none_or(|removed| self.since.is_none_or(|since| removed > since))
    }

    /// Returns whether a change lies within the wanted time.
    pub(in crate::store) fn has_change(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at <= until)
    }
}

/// A name in a zone that a lookup covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoveredName {
    /// The zone.
    pub zone: EnclosingZone,
    /// The name.
    pub owner: Name,
    pub(in crate::store) owner_id: i64,
    pub(in crate::store) key: String,
}

impl CoveredName {
    /// Returns the owner's row.
    pub(in crate::store) fn owner_id(&self) -> i64 {
        self.owner_id
    }

    /// Returns where a later lookup of the same names goes on after this one.
    pub fn cursor(&self) -> String {
        format!("{}/{}", self.zone.id.0, self.key)
    }
}
