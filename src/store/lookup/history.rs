//! What happened to a name: its records as intervals, and its changes in order.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::params;

use crate::dns::{Name, Rdata, RecordType, Serial};
use crate::store::ledger::passive::AFTER_LAST;
use crate::store::lookup::spans::{End, Stay};
use crate::store::open::ZonesAt;
use crate::store::zones::watched::{Gap, View, ZoneId};
use crate::store::{Store, StoreError};
use crate::time::Timestamp;
use crate::zone::Missed;

/// The most names of which it is kept which zones are there.
const NAMES_KNOWN_MAX: usize = 200_000;

/// The most zones that are read at once.
const ZONES_AT_ONCE_MAX: i64 = 1000;

/// How many zones below a name are listed at a time.
const ZONES_BELOW_AT_A_TIME: usize = if cfg!(test) { 2 } else { 500 };

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
    fn has_change(&self, at: Timestamp) -> bool {
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
    owner_id: i64,
    key: String,
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
}

/// The times of a zone's first and last version, if it has any.
pub(in crate::store) type ZoneSpan = (Option<i64>, Option<i64>);

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
    /// Whether it is no change of the zone: a version before it lost it on its way. Nobody is accused.
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

/// A zone that a name lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnclosingZone {
    /// Its row.
    pub id: ZoneId,
    /// Its apex.
    pub apex: Name,
    /// Who says what stands in it.
    pub view: View,
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
            let by_owner = match Arc::ptr_eq(&left.owner, &right.owner) {
                true => Ordering::Equal,
                false => left.owner.cmp(&right.owner),
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

impl Store {
    /// Returns the history of a name in every zone that holds it; empty if none does.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn history(&self, name: &Name, scope: HistoryScope) -> Result<History, StoreError> {
        // One state of the database, and one lock of it instead of one for every statement.
        let _reading = match self.connection.is_autocommit() {
            true => Some(self.begin_reading()?),
            false => None,
        };
        let mut history = History::default();
        for covered in self.covered_names(name, scope, None, usize::MAX)? {
            history.add(self.history_of(&covered, &Wanted::default())?);
        }
        history.sort();
        Ok(history)
    }

    /// Returns the names that a lookup covers, after the one that `cursor` was made for, at most `limit`.
    /// By zones, the nearest first, and within a zone in the order of their keys.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn covered_names(
        &self,
        name: &Name,
        scope: HistoryScope,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Vec<CoveredName>, StoreError> {
        let cursor = cursor.and_then(|cursor| {
            let (zone, key) = cursor.split_once('/')?;
            Some((ZoneId(zone.parse().ok()?), key.to_owned()))
        });
        let mut names = Vec::new();
        let enclosing = self.zones_enclosing(name)?;
        let at = cursor.as_ref().map(|(id, _)| *id);
        let first = match at {
            Some(id) => enclosing.iter().position(|zone| zone.id == id),
            None => Some(0),
        };
        for zone in enclosing.iter().skip(first.unwrap_or(enclosing.len())) {
            let after = cursor.as_ref().filter(|(id, _)| *id == zone.id);
            let after = after.map(|(_, key)| key.as_str());
            self.add_names(zone, (name, scope), after, limit, &mut names)?;
        }
        // A cursor in none of them is one in a zone below.
        let mut last = at.filter(|_| first.is_none());
        let mut after = cursor.map(|(_, key)| key).filter(|_| first.is_none());
        while scope != HistoryScope::Name && names.len() < limit {
            let zones = self.zones_below(name, last, after.is_some())?;
            for zone in &zones {
                let after = after.take();
                self.add_names(zone, (name, scope), after.as_deref(), limit, &mut names)?;
            }
            match zones.last() {
                Some(zone) if zones.len() == ZONES_BELOW_AT_A_TIME => last = Some(zone.id),
                _ => break,
            }
        }
        Ok(names)
    }

    /// Adds the names of one zone that a lookup covers, until there are `limit`.
    fn add_names(
        &self,
        zone: &EnclosingZone,
        (name, scope): (&Name, HistoryScope),
        after: Option<&str>,
        limit: usize,
        names: &mut Vec<CoveredName>,
    ) -> Result<(), StoreError> {
        let rest = limit.saturating_sub(names.len());
        if rest == 0 {
            return Ok(());
        }
        for (owner_id, key) in self.owners_in_scope(zone, name, scope, after, rest)? {
            let owner = Name::from_relative_key(&key, &zone.apex)
                .map_err(|fault| self.damaged(fault.to_string()))?;
            names.push(CoveredName {
                zone: zone.clone(),
                owner,
                owner_id,
                key,
            });
        }
        Ok(())
    }

    /// Returns what is wanted of one name's history in one zone, sorted as [`History`] says.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn history_of(&self, name: &CoveredName, wanted: &Wanted) -> Result<History, StoreError> {
        self.history_until(name, wanted, None)
    }

    /// Returns what is wanted of one name's history in one zone, as the versions up to `newest` made it; all of it
    /// without. What others recorded is no version's.
    pub(in crate::store) fn history_until(
        &self,
        name: &CoveredName,
        wanted: &Wanted,
        newest: Option<i64>,
    ) -> Result<History, StoreError> {
        let mut history = History::default();
        let zone = &name.zone;
        let gaps = self.gaps(zone.id)?.into_iter();
        let gaps = gaps.filter(|gap| wanted.has_stay(gap.from, Some(gap.to)));
        history
            .gaps
            .extend(gaps.map(|gap| (zone.apex.clone(), gap)));
        let coarse = self.coarse(zone.id)?;
        history
            .coarse
            .extend(coarse.map(|it| (zone.apex.clone(), it)));
        let newest = newest.filter(|_| zone.view != View::Passive);
        let stays = self.stays(name.owner_id, zone.id, wanted, newest)?;
        add_stays(&mut history, name, stays, wanted);
        history.sort();
        Ok(history)
    }

    /// Returns how many versions of a zone did not arrive; `None` if all did, as far as is known.
    fn coarse(&self, zone: ZoneId) -> Result<Option<Coarse>, StoreError> {
        let (missed_max, unknown): (i64, i64) = self.run(|connection| {
            connection
                .prepare_cached("select missed_count, missed_unknown_count from zone where id = ?")?
                .query_row([zone.0], |row| Ok((row.get(0)?, row.get(1)?)))
        })?;
        let coarse = Coarse {
            missed_max: missed_max as u64,
            unknown: unknown as u64,
        };
        Ok((missed_max + unknown > 0).then_some(coarse))
    }

    /// Returns the zones whose apex lies below a name, in order, at most [`ZONES_BELOW_AT_A_TIME`]: those after the zone
    /// `last`, or from it on if it is wanted too.
    pub(in crate::store) fn zones_below(
        &self,
        name: &Name,
        last: Option<ZoneId>,
        with_last: bool,
    ) -> Result<Vec<EnclosingZone>, StoreError> {
        if let Some(known) = &*self.zones_at.borrow()
            && known.is_whole == Some(true)
            && !known.by_apex.keys().any(|apex| apex.is_below(name))
        {
            return Ok(Vec::new());
        }
        let end = if name.is_root() {
            String::new()
        } else {
            format!(".{name}")
        };
        // The index of names serves the order and the place to go on from; the ends are sieved.
        let from = match (last, with_last) {
            (None, _) => "?3 = 0",
            (Some(_), true) => "(name, view) >= (select name, view from zone where id = ?3)",
            (Some(_), false) => "(name, view) > (select name, view from zone where id = ?3)",
        };
        let sql = format!(
            "select id, name, view from zone where substr(name, -length(?1)) = ?1 and name <> ?2 and {from}
              order by name, view limit {ZONES_BELOW_AT_A_TIME}"
        );
        let rows: Vec<(i64, String, String)> = self.run(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let last = last.map_or(0, |last| last.0);
            let rows = statement.query_map(params![end, name.to_string(), last], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            rows.collect()
        })?;
        let read = |(id, apex, view): (i64, String, String)| {
            Ok(EnclosingZone {
                id: ZoneId(id),
                apex: self.read_name(&apex)?,
                view: self.read_view(&view, name)?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Returns the zones whose apex is the name or above it, the nearest first; a zone's own view first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn zones_enclosing(&self, name: &Name) -> Result<Vec<EnclosingZone>, StoreError> {
        let mut zones = Vec::new();
        let mut apex = Some(name.clone());
        while let Some(candidate) = apex {
            for (id, view) in self.zones_at(&candidate)? {
                zones.push(EnclosingZone {
                    id,
                    apex: candidate.clone(),
                    view,
                });
            }
            apex = candidate.parent();
        }
        Ok(zones)
    }

    /// Returns the views of the zone at a name; most names have none. While one state of the database is
    /// read, few zones are read at once, and many are asked for once at each name.
    fn zones_at(&self, name: &Name) -> Result<Vec<(ZoneId, View)>, StoreError> {
        let must_look = matches!(&*self.zones_at.borrow(), Some(known) if known.is_whole.is_none());
        if must_look {
            self.load_zones()?;
        }
        if let Some(known) = &*self.zones_at.borrow() {
            match known.by_apex.get(name) {
                Some(views) => return Ok(views.clone()),
                None if known.is_whole == Some(true) => return Ok(Vec::new()),
                None => {}
            }
        }
        let rows: Vec<(i64, String)> = self.run(|connection| {
            let sql = "select id, view from zone where name = ? order by view = 'zone' desc, view";
            let mut statement = connection.prepare_cached(sql)?;
            let rows =
                statement.query_map([name.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })?;
        let views = rows
            .into_iter()
            .map(|(id, view)| Ok((ZoneId(id), self.read_view(&view, name)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        if let Some(known) = self
            .zones_at
            .borrow_mut()
            .as_mut()
            .filter(|known| known.by_apex.len() < NAMES_KNOWN_MAX)
        {
            known.by_apex.insert(name.clone(), views.clone());
        }
        Ok(views)
    }

    /// Reads which zones there are, if there are few.
    fn load_zones(&self) -> Result<(), StoreError> {
        let rows: Vec<(i64, String, String)> = self.run(|connection| {
            let counted = "select count(*) from (select 1 from zone limit ?)";
            let count: i64 = connection
                .prepare_cached(counted)?
                .query_row([ZONES_AT_ONCE_MAX + 1], |row| row.get(0))?;
            if count > ZONES_AT_ONCE_MAX {
                return Ok(Vec::new());
            }
            let sql = "select id, name, view from zone order by view = 'zone' desc, view";
            let mut statement = connection.prepare_cached(sql)?;
            let rows =
                statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect()
        })?;
        let mut known = ZonesAt {
            is_whole: Some(!rows.is_empty()),
            ..ZonesAt::default()
        };
        for (id, apex, view) in rows {
            let apex = self.read_name(&apex)?;
            let view = self.read_view(&view, &apex)?;
            known
                .by_apex
                .entry(apex)
                .or_default()
                .push((ZoneId(id), view));
        }
        self.zones_at.replace(Some(known));
        Ok(())
    }

    /// Reads the word for a view.
    fn read_view(&self, word: &str, apex: &Name) -> Result<View, StoreError> {
        View::parse(word).ok_or_else(|| self.damaged(format!("view {word:?} of zone {apex}")))
    }

    /// Returns the owners of a zone that a lookup covers, in order of their keys: row and key.
    fn owners_in_scope(
        &self,
        zone: &EnclosingZone,
        name: &Name,
        scope: HistoryScope,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // A zone below the name is covered whole; its apex too.
        let key = name.relative_key(&zone.apex);
        // '/' follows '.', so that the range holds exactly the keys that go on with a label.
        let range = match (scope, key.as_deref()) {
            (_, None) | (HistoryScope::AtOrBelow, Some("")) => "name >= ?2",
            (HistoryScope::Name, _) => "name = ?2",
            // A range first, which the index serves; what lies in it beside the name's own is sieved out.
            (HistoryScope::AtOrBelow, _) => {
                "name >= ?2 and name < ?2 || '/' and (name = ?2 or name >= ?2 || '.')"
            }
            (HistoryScope::Below, Some("")) => "name > ?2",
            (HistoryScope::Below, _) => "name >= ?2 || '.' and name < ?2 || '/'",
        };
        let after_sql = if after.is_some() {
            "name > ?4"
        } else {
            "?4 is null"
        };
        self.run(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "select id, name from owner where zone_id = ?1 and {range} and {after_sql} order by name limit ?3"
            ))?;
            let rows = statement.query_map(
                params![zone.id.0, key.unwrap_or_default(), limit, after],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            rows.collect()
        })
    }

    /// Returns the times of a zone's first and last version. Read once while one state of the database is read.
    fn span_of(&self, zone: ZoneId) -> Result<ZoneSpan, StoreError> {
        let known = self
            .spans
            .borrow()
            .as_ref()
            .and_then(|it| it.get(&zone).copied());
        if let Some(known) = known {
            return Ok(known);
        }
        let span = self.run(|connection| {
            connection
                // Each end by itself is found in the index; both together are a scan of all versions.
                .prepare_cached(
                    "select (select min(observed_at) from version where zone_id = ?1), (select max(observed_at) from version where zone_id = ?1)",
                )?
                .query_row([zone.0], |row| Ok((row.get(0)?, row.get(1)?)))
        })?;
        if let Some(known) = &mut *self.spans.borrow_mut() {
            known.insert(zone, span);
        }
        Ok(span)
    }

    /// Returns the buckets that closed intervals of a zone may lie in, after the number 0, which
    /// holds none: the months from `since` (or the zone's first version) to its newest version.
    pub(in crate::store) fn buckets_since(
        &self,
        zone: ZoneId,
        since: Option<Timestamp>,
    ) -> Result<Vec<i64>, StoreError> {
        let (first, last) = self.span_of(zone)?;
        let mut buckets = vec![0];
        if let (Some(first), Some(last)) = (first, last) {
            let first = since.map_or(first, |since| since.unix().max(first));
            buckets.extend(
                Timestamp::from_unix(first).month_bucket()
                    ..=Timestamp::from_unix(last).month_bucket(),
            );
        }
        Ok(buckets)
    }
}

/// Adds an owner's intervals to a history.
fn add_stays(history: &mut History, name: &CoveredName, stays: Vec<Stay>, wanted: &Wanted) {
    let (zone, owner) = (
        Arc::new(name.zone.apex.clone()),
        Arc::new(name.owner.clone()),
    );
    let view = name.zone.view;
    let mut changes: BTreeMap<(i64, RecordType), ChangeRow> = BTreeMap::new();
    for stay in stays {
        let rtype = stay.rdata.rtype();
        // That others saw a record, or did not any more, is no change that anybody made.
        let is_change = view != View::Passive;
        if is_change && !stay.baseline && wanted.has_change(stay.added.at) {
            push_change(&mut changes, &owner, rtype, &stay.added)
                .added
                .push(stay.rdata.clone());
        }
        if let Some(removed) = stay
            .removed
            .as_ref()
            .filter(|end| is_change && wanted.has_change(end.at))
        {
            push_change(&mut changes, &owner, rtype, removed)
                .removed
                .push(stay.rdata.clone());
        }
        history.records.push(RecordRow {
            owner: Arc::clone(&owner),
            rdata: stay.rdata,
            ttl: stay.ttl,
            zone: Arc::clone(&zone),
            view,
            added_at: stay.added.at,
            added_serial: stay.added.serial,
            removed_at: stay.removed.as_ref().map(|end| end.at),
            removed_serial: stay.removed.as_ref().and_then(|end| end.serial),
            last_seen_at: last_seen(
                view,
                stay.added.at,
                stay.removed.as_ref().map(|end| end.at),
                stay.looked_at,
            ),
            source: stay.source,
            baseline: stay.baseline,
        });
    }
    for mut change in changes.into_values() {
        change.added.sort();
        change.removed.sort();
        history.changes.push(change);
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

/// Returns the change of one RRset in one version, made if it is not there.
fn push_change<'a>(
    changes: &'a mut BTreeMap<(i64, RecordType), ChangeRow>,
    owner: &Arc<Name>,
    rtype: RecordType,
    end: &End,
) -> &'a mut ChangeRow {
    changes
        .entry((end.version_id, rtype))
        .or_insert_with(|| ChangeRow {
            at: end.at,
            owner: Arc::clone(owner),
            rtype,
            serial: end.serial,
            added: Vec::new(),
            removed: Vec::new(),
            bulk: end.bulk,
            drift: end.drift,
            missed: end.missed,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Record;
    use crate::store::{SourceKind, StoreOptions, VersionDraft, VersionKind};
    use crate::zone::OwnerChange;

    /// Stores the first version of a zone, with an address at its apex and at `a` below it.
    fn add_zone(store: &Store, apex: &str) {
        let source = store
            .ensure_source("made", SourceKind::Transfer)
            .expect("made");
        let apex = Name::parse(apex).expect("valid");
        let zone = store.ensure_zone(&apex, source).expect("made");
        let draft = VersionDraft {
            source,
            kind: VersionKind::Baseline,
            serial: Some(Serial(1)),
            observed_at: Timestamp::from_unix(1_790_000_000),
            joins: None,
            drift: false,
        };
        let mut tx = store.begin(&zone, draft).expect("begun");
        let change = OwnerChange {
            added: vec![Record {
                rdata: Rdata::A([192, 0, 2, 1].into()),
                ttl: 60,
            }],
            ..OwnerChange::default()
        };
        let below = Name::parse(&format!("a.{apex}")).expect("valid");
        for name in [&apex, &below] {
            tx.apply_change(name, &change, true).expect("applied");
        }
        tx.commit(false).expect("committed");
    }

    #[test]
    fn pages_over_many_zones_below_a_name_neither_lose_nor_repeat() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(&folder.path().join("f.db"), options).expect("made");
        for apex in [
            "example",
            "other.test",
            "b.example",
            "c.example",
            "d.b.example",
            "e.example",
        ] {
            add_zone(&store, apex);
        }
        let name = Name::parse("example").expect("valid");
        let all = store.covered_names(&name, HistoryScope::AtOrBelow, None, usize::MAX);
        let all: Vec<String> = all.expect("read").iter().map(CoveredName::cursor).collect();
        assert_eq!(all.len(), 10, "{all:?}");
        for count in 1..=4 {
            let (mut paged, mut cursor) = (Vec::new(), None);
            loop {
                let scope = HistoryScope::AtOrBelow;
                let page = store.covered_names(&name, scope, cursor.as_deref(), count);
                let page = page.expect("read");
                assert!(page.len() <= count);
                let Some(last) = page.last() else { break };
                cursor = Some(last.cursor());
                paged.extend(page.iter().map(CoveredName::cursor));
            }
            assert_eq!(paged, all, "by {count}");
        }
    }
}
