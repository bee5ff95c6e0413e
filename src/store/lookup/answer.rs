//! What history answers.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::dns::{Name, Rdata, RecordType, Serial};
use crate::store::keys::{AFTER_LAST, View};
use crate::store::zones::status::Gap;
use crate::time::Timestamp;
use crate::zone::Missed;

/// One record and when it was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// The owner.
    pub owner: Arc<Name>,
    /// The data.
    pub rdata: Rdata,
    /// Seconds, as last seen.
    pub ttl: u32,
    /// The zone it stood in.
    pub zone: Arc<Name>,
    /// Who said so.
    pub view: View,
    /// When it was first seen.
    pub added_at: Timestamp,
    /// The serial of that version.
    pub added_serial: Option<Serial>,
    /// When it was first seen gone; `None` while it is there.
    pub removed_at: Option<Timestamp>,
    /// The serial of that version.
    pub removed_serial: Option<Serial>,
    /// When it was last seen: in the version before its removal, or in the zone's newest.
    pub last_seen_at: Timestamp,
    /// The source of the version that added it.
    pub source: Arc<str>,
    /// Whether it was there when watching began.
    pub baseline: bool,
    /// Whether that it came, and that it went, is no change of the zone: see [`ChangeRow::drift`].
    pub drift: [bool; 2],
}

/// What one version did to one RRset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// The version's time.
    pub at: Timestamp,
    /// The owner.
    pub owner: Arc<Name>,
    /// The type.
    pub rtype: RecordType,
    /// The version's serial.
    pub serial: Option<Serial>,
    /// Data that is there from now on; sorted.
    pub added: Vec<Rdata>,
    /// Data that is gone; sorted.
    pub removed: Vec<Rdata>,
    /// Whether so much of the zone changed at once that nobody is accused for it.
    pub bulk: bool,
    /// Whether it is no change of the zone: it was found when the whole zone differed from the state to which its steps had
    /// led. Nobody is accused.
    pub drift: bool,
    /// What did not arrive between the version and the one before.
    pub missed: Option<Missed>,
}

/// The history of a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// In order of owner, type, time added, data.
    pub records: Vec<RecordRow>,
    /// In order of time, owner, type; those of one RRset in the order of their versions.
    pub changes: Vec<ChangeRow>,
    /// Times in which a zone that holds the name could not be seen: zone and gap.
    pub gaps: Vec<(Name, Gap)>,
    /// Zones that hold the name and of which versions did not arrive since watching began: what came and went
    /// between two that did is not in history.
    pub coarse: Vec<(Name, Coarse)>,
}

/// How many versions of a zone did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coarse {
    /// At most so many, where the serials count.
    pub missed_max: u64,
    /// How often an unknown number.
    pub unknown: u64,
}

impl Coarse {
    /// Says it in words.
    pub fn in_words(self) -> String {
        let times = match self.unknown {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        let counted = match self.missed_max {
            0 => None,
            1 => Some("up to 1 version did not arrive".to_owned()),
            count => Some(format!("up to {count} versions did not arrive")),
        };
        let unknown = (self.unknown > 0)
            .then(|| format!("an unknown number of versions may not have arrived ({times})"));
        let parts: Vec<String> = counted.into_iter().chain(unknown).collect();
        parts.join(", ")
    }
}

impl History {
    /// Adds another history, unsorted.
    pub fn add(&mut self, other: Self) {
        self.records.extend(other.records);
        self.changes.extend(other.changes);
        for gap in other.gaps {
            if !self.gaps.contains(&gap) {
                self.gaps.push(gap);
            }
        }
        for coarse in other.coarse {
            if !self.coarse.contains(&coarse) {
                self.coarse.push(coarse);
            }
        }
    }

    /// Sorts as the fields say.
    pub fn sort(&mut self) {
        self.records.sort_by(|left, right| {
            let key = |row: &RecordRow| (row.rdata.rtype(), row.added_at);
            let by_owner = if Arc::ptr_eq(&left.owner, &right.owner) {
                Ordering::Equal
            } else {
                left.owner.cmp(&right.owner)
            };
            by_owner
                .then_with(|| key(left).cmp(&key(right)))
                .then_with(|| left.rdata.cmp(&right.rdata))
                .then_with(|| left.removed_at.cmp(&right.removed_at))
        });
        self.changes.sort_by(|left, right| {
            (left.at, &left.owner, left.rtype).cmp(&(right.at, &right.owner, right.rtype))
        });
    }
}

/// Returns when a record was last seen, given when the zone was last looked at before it was gone.
pub(in crate::store) fn last_seen(
    view: View,
    added: Timestamp,
    removed: Option<Timestamp>,
    looked: Option<Timestamp>,
) -> Timestamp {
    match (view, removed) {
        (View::Passive, Some(removed)) => removed - AFTER_LAST,
        _ => looked.unwrap_or(added).max(added),
    }
}
