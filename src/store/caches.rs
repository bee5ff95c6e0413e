//! What is kept of a database while one state of it is read.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::detector::{Moment, Stay};
use crate::dns::{Name, Rdata, Serial};
use crate::store::door::{Fault, Row, Value};
use crate::store::keys::{View, ZoneId};
use crate::time::Timestamp;
use crate::zone::Missed;

/// A view of a zone: its row, and when watching it ended.
pub(super) type ZoneView = (ZoneId, View, Option<Timestamp>);

/// What is known of which zones there are.
#[derive(Default)]
pub(super) struct ZonesAt {
    /// By their apexes: rows and views, a zone's own first; empty for a name that is no zone's.
    pub by_apex: HashMap<Name, Vec<ZoneView>>,
    /// Whether these are all that there are; `None` before that was looked at.
    pub is_whole: Option<bool>,
    /// Whether there were more than are read at once.
    pub are_many: bool,
}

/// A name server's row, and that of its operator's domain if a name outside the name server's own has
/// ever used it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct HostRow {
    pub id: i64,
    pub operator_id: Option<i64>,
}

/// A version, as an interval's end names it.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct End {
    pub version_id: i64,
    pub at: Timestamp,
    pub serial: Option<Serial>,
    pub bulk: bool,
    pub drift: bool,
    pub missed: Option<Missed>,
}

/// A version, as far as lookups tell of it.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct VersionRow {
    pub(in crate::store) end: End,
    pub(in crate::store) source_id: i64,
    /// When the zone was last looked at as the version before left it, if there is one.
    pub(in crate::store) before: Option<Timestamp>,
    pub(in crate::store) previous_id: Option<i64>,
    /// When the zone was last looked at as this one left it; at its own time if that is not known.
    pub(in crate::store) seen_until: Option<Timestamp>,
}

impl VersionRow {
    pub(in crate::store) fn read(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(Self {
            end: End {
                version_id: row.get("id")?,
                at: row.get("observed_at")?,
                serial: row.get("serial")?,
                bulk: row.get("bulk")?,
                drift: row.get("drift")?,
                missed: row.get::<Option<u32>>("missed_max")?.map(Missed::read),
            },
            source_id: row.get("source_id")?,
            before: row.get("before")?,
            previous_id: row.get("previous_id")?,
            seen_until: row.get("seen_until_at")?,
        })
    }
}

/// Versions that were read, kept while nobody commits: what is added to a version may make it a bulk change.
#[derive(Debug, Default)]
pub(in crate::store) struct KnownVersions {
    /// SQLite's `data_version` of the state that they were read of.
    pub(in crate::store) state: Option<i64>,
    pub(in crate::store) rows: HashMap<i64, VersionRow>,
}

/// The times of a zone's first and last version, if it has any.
pub(in crate::store) type ZoneSpan = (Option<i64>, Option<i64>);

/// What the histories of a zone's owners share.
#[derive(Debug)]
pub(in crate::store) struct SharedOf {
    pub(in crate::store) usual_ttl: Option<u32>,
    /// The zone's newest version.
    pub(in crate::store) newest_id: Option<i64>,
    /// When the zone was last looked at, if that says anything of its records.
    pub(in crate::store) seen_at: Option<Timestamp>,
    /// At most so many versions did not arrive, and how often an unknown number.
    pub(in crate::store) missed: (i64, i64),
    /// The zone's source, if it is there: its row and name.
    pub(in crate::store) source: Option<(i64, Arc<str>)>,
    /// Times in which the zone could not be seen: from, to, and the word of the last refusal.
    pub(in crate::store) gaps: Vec<(Timestamp, Timestamp, String)>,
}

impl SharedOf {
    /// Reads all but the gaps.
    pub(in crate::store) fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let source_id = row.get("source_id")?;
        let source: Option<String> = row.get("source_name")?;
        Ok(Self {
            usual_ttl: row.get("usual_ttl")?,
            newest_id: row.get("version_id")?,
            seen_at: row.get("seen_at")?,
            missed: (row.get("missed_count")?, row.get("missed_unknown_count")?),
            source: source.map(|name| (source_id, name.into())),
            gaps: Vec::new(),
        })
    }
}

/// The spans of zones, while one state of the database is read.
#[derive(Debug, Default)]
pub(in crate::store) struct Spans {
    pub(in crate::store) by_zone: HashMap<ZoneId, ZoneSpan>,
    /// What the histories of zones' owners share.
    pub(in crate::store) shared: HashMap<ZoneId, Arc<SharedOf>>,
    /// The row of the first version of a zone since a time, if there is one.
    pub(in crate::store) firsts: HashMap<(ZoneId, Timestamp), Option<i64>>,
    /// The time before another in which nobody could see a zone.
    pub(in crate::store) unseen: HashMap<(ZoneId, Timestamp), Option<Unseen>>,
}

/// A time in which a zone could not be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unseen {
    /// When it had been seen last.
    pub since: Timestamp,
    /// Since when it was known that it is not seen: until then it was taken for as it had been.
    pub known_at: Timestamp,
}

/// Versions as the ends of intervals, while one state of the database is read: each ends and begins several.
#[derive(Debug, Default)]
pub(in crate::store) struct Moments {
    /// By row; whether names made the same move in it, which is then to be read for each of them.
    pub(in crate::store) by_id: HashMap<i64, (Moment, bool)>,
}

/// Versions that added records and versions that removed them.
pub(in crate::store) type Pairs = Vec<(i64, i64)>;

/// Which versions removed what each version added, of owners with many past records; for as long as one state of
/// the database is read.
#[derive(Debug, Default)]
pub(in crate::store) struct Additions {
    /// By owner and month: versions that added and that removed, in order, each pair once. `None` for few records.
    pub(in crate::store) by_owner: HashMap<(i64, i64), Option<Pairs>>,
    /// How many pairs there are in all.
    pub(in crate::store) count: usize,
}

/// An interval as it is stored: type, data, whether it was there when watching began, the versions at its ends.
pub(in crate::store) type RawInterval = (u16, Value, bool, i64, Option<i64>);

/// What was read of many owners together, of one state of the database.
#[derive(Default)]
pub(in crate::store) struct Seen {
    /// The rows of owners, by their zones and names; `None` of one that history does not know.
    pub(in crate::store) owners: HashMap<ZoneId, HashMap<Name, Option<i64>>>,
    /// Intervals of owners, by their rows.
    pub(in crate::store) intervals: HashMap<i64, Arc<SeenIntervals>>,
    /// How many names made the same move in a version: by its row and an owner's; 0 if none is noted.
    pub(in crate::store) shared_counts: HashMap<(i64, i64), u32>,
    /// The times of registrations, by the rows of owners, in order.
    pub(in crate::store) registrations: HashMap<i64, Vec<Timestamp>>,
    /// Whether domains have many names; of how many that is.
    pub(in crate::store) many_names: HashMap<ZoneId, HashMap<Name, bool>>,
    pub(in crate::store) names_max: usize,
    /// Whether name servers at or below domains are used elsewhere.
    pub(in crate::store) used_elsewhere: HashMap<Name, bool>,
    /// The first versions of zones since times.
    pub(in crate::store) first_versions: HashMap<(ZoneId, Timestamp), i64>,
}

/// The intervals of an owner.
#[derive(Default)]
pub(in crate::store) struct SeenIntervals {
    /// Those that are open.
    pub(in crate::store) open: Vec<RawInterval>,
    /// All that ended in a month, by months, those that ended last first; a month that is not here was not read.
    pub(in crate::store) closed: BTreeMap<i64, Vec<RawInterval>>,
}

impl SeenIntervals {
    /// Returns every interval that is here.
    pub(in crate::store) fn all(&self) -> impl Iterator<Item = &RawInterval> {
        self.open.iter().chain(self.closed.values().flatten())
    }
}

/// The most closed intervals of all owners that are kept, at some 150 octets each.
const KEPT_ROWS_MAX: usize = 200_000;

/// What is kept of owners that change often.
#[derive(Default)]
pub(in crate::store) struct Kept {
    pub(in crate::store) zones: HashMap<ZoneId, ZoneMark>,
    pub(in crate::store) owners: HashMap<i64, KeptOwner>,
    /// How many closed intervals there are in all.
    pub(in crate::store) row_count: usize,
    /// The first versions of zones since whole hours. Later versions have later rows, whatever time they are of.
    pub(in crate::store) firsts: HashMap<(ZoneId, Timestamp), i64>,
}

/// The first versions of how many hours are kept, at some 50 octets each.
const KEPT_FIRSTS_MAX: usize = 100_000;

/// How far a zone's chain was looked at.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct ZoneMark {
    /// The row of its newest link.
    pub(in crate::store) link: i64,
    /// Its newest version that has a link.
    pub(in crate::store) version: i64,
    /// What ended before this is pruned, if anything is.
    pub(in crate::store) pruned_until: Option<Timestamp>,
    /// Whether that was looked at while this state of the database is read.
    pub(in crate::store) is_checked: bool,
}

/// The intervals of an owner.
pub(in crate::store) struct KeptOwner {
    /// What ended before this is not here.
    pub(in crate::store) since: Timestamp,
    /// What versions after this one did is not here.
    pub(in crate::store) version: i64,
    pub(in crate::store) open: Vec<Stay<Rdata>>,
    /// In the order of their ends, the last first.
    pub(in crate::store) closed: VecDeque<Stay<Rdata>>,
    /// The end of the first that there was no room for, if any was.
    pub(in crate::store) rest: Option<Moment>,
}

impl Kept {
    /// Begins to read another state of the database.
    pub(in crate::store) fn begin(&mut self) {
        self.zones
            .values_mut()
            .for_each(|mark| mark.is_checked = false);
    }

    /// Forgets everything.
    pub(in crate::store) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Keeps the first version of a zone since an hour; forgets all others if there are too many.
    pub(in crate::store) fn keep_first(&mut self, zone: ZoneId, hour: Timestamp, first: i64) {
        if self.firsts.len() >= KEPT_FIRSTS_MAX {
            self.firsts.clear();
        }
        self.firsts.insert((zone, hour), first);
    }

    /// Takes an owner out.
    pub(in crate::store) fn take(&mut self, owner_id: i64) -> Option<KeptOwner> {
        let owner = self.owners.remove(&owner_id)?;
        self.row_count -= owner.closed.len();
        Some(owner)
    }

    /// Puts an owner in; forgets all others if there are too many.
    pub(in crate::store) fn put(&mut self, owner_id: i64, owner: KeptOwner) {
        if self.row_count + owner.closed.len() > KEPT_ROWS_MAX {
            self.owners.clear();
            self.row_count = 0;
        }
        self.row_count += owner.closed.len();
        self.owners.insert(owner_id, owner);
    }
}

/// The most traits of all cases that are kept, at some 40 octets each. Chosen by hand: those of hundreds of large cases.
const KEPT_TRAITS_MAX: usize = 500_000;

/// A trait of a case: the row of a name server, or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::store) enum TraitKey {
    Host(i64),
    V4([u8; 4]),
    V6([u8; 16]),
    /// The program writes no others, and what somebody else wrote is no trait of a finding.
    Other,
}

/// The traits of a case.
pub(in crate::store) struct CaseTraits {
    /// Which case that is: after a purge its number may come again for another.
    pub(in crate::store) domain: Name,
    pub(in crate::store) first_detected_at: Timestamp,
    /// All that are noted.
    pub(in crate::store) noted: HashSet<TraitKey>,
    /// Those of them that another case had when it was looked for: no fewer than another has.
    pub(in crate::store) shared: HashSet<TraitKey>,
}

/// The traits of cases that are judged again and again. Only who judges notes any, and that is one connection.
#[derive(Default)]
pub(in crate::store) struct KeptTraits {
    cases: HashMap<i64, CaseTraits>,
    /// How many there are in all.
    count: usize,
}

impl KeptTraits {
    /// Takes those of a case out, if they are here.
    pub(in crate::store) fn take(
        &mut self,
        id: i64,
        domain: &Name,
        first_detected_at: Timestamp,
    ) -> Option<CaseTraits> {
        let own = self.cases.remove(&id)?;
        self.count -= own.noted.len();
        let is_same = own.domain == *domain && own.first_detected_at == first_detected_at;
        is_same.then_some(own)
    }

    /// Puts those of a case in, of which some were noted just now; forgets all others if there are too many.
    pub(in crate::store) fn put(&mut self, id: i64, own: CaseTraits, new: &[TraitKey]) {
        for other in self.cases.values_mut() {
            let also_new = new.iter().filter(|it| other.noted.contains(it));
            other.shared.extend(also_new);
        }
        if self.count + own.noted.len() > KEPT_TRAITS_MAX {
            *self = Self::default();
        }
        if own.noted.len() <= KEPT_TRAITS_MAX {
            self.count += own.noted.len();
            self.cases.insert(id, own);
        }
    }
}
