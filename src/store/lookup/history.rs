//! What happened to a name: its records as intervals, and its changes in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dns::{Name, RecordType};
use crate::store::caches::End;
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::keys::{View, ZoneId};
use crate::store::lookup::Lookup;
use crate::store::lookup::answer::{ChangeRow, Coarse, History, RecordRow, last_seen};
use crate::store::lookup::question::{CoveredName, HistoryScope, Wanted};
use crate::store::lookup::spans::Stay;
use crate::store::ranges::{is_at_or_below, is_below};
use crate::store::zones::enclosing::EnclosingZone;
use crate::store::zones::status::Gap;

/// How many zones below a name are listed at a time.
const ZONES_BELOW_AT_A_TIME: usize = if cfg!(test) { 2 } else { 500 };

impl Lookup<'_> {
    /// Returns the history of a name in every zone that holds it; empty if none does.
    pub fn history(&self, name: &Name, scope: HistoryScope) -> Result<History, StoreError> {
        // One state of the database, and one lock of it instead of one for every statement.
        let _reading = if self.store.db.is_in_transaction() {
            None
        } else {
            Some(self.store.begin_reading()?)
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
        let guessed = self.store.zones().zones_guessed(name);
        self.ask_ahead_of_names(&guessed, (name, scope), limit)?;
        let enclosing = self.store.zones().zones_enclosing(name)?;
        if enclosing != guessed {
            self.ask_ahead_of_names(&enclosing, (name, scope), limit)?;
        }
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

    /// Tells a server that the names that a lookup covers in some zones are asked for next, and what their histories share.
    fn ask_ahead_of_names(
        &self,
        zones: &[EnclosingZone],
        (name, scope): (&Name, HistoryScope),
        limit: usize,
    ) -> Result<(), StoreError> {
        if !self.store.db.asks_ahead() {
            return Ok(());
        }
        for zone in zones {
            let question = OwnersQuestion::new(zone, name, scope, None);
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            self.store.run(|db| {
                let (key, none) = (&question.key, None::<&str>);
                db.ask_ahead(&question.sql, params![zone.id, key, limit, none])
            })?;
            self.ask_ahead_of_zone(zone.id)?;
        }
        Ok(())
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
                .map_err(|fault| self.store.damaged(fault.to_string()))?;
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
        let shared = self.shared_of(zone.id)?;
        for (from, to, reason) in &shared.gaps {
            if wanted.has_stay(*from, Some(*to)) {
                let (from, to, reason) = (*from, *to, reason.clone());
                let gap = Gap { from, to, reason };
                history.gaps.push((zone.apex.clone(), gap));
            }
        }
        // All versions arrived, as far as is known, if neither is there.
        let (missed_max, unknown) = shared.missed;
        if missed_max + unknown > 0 {
            let coarse = Coarse {
                missed_max: missed_max as u64,
                unknown: unknown as u64,
            };
            history.coarse.push((zone.apex.clone(), coarse));
        }
        let newest = newest.filter(|_| zone.view != View::Passive);
        let stays = self.stays(name.owner_id, zone.id, wanted, newest)?;
        add_stays(&mut history, name, stays, wanted);
        history.sort();
        Ok(history)
    }

    /// Returns the zones whose apex lies below a name, in order, at most [`ZONES_BELOW_AT_A_TIME`]: those after the zone
    /// `last`, or from it on if it is wanted too.
    pub(in crate::store) fn zones_below(
        &self,
        name: &Name,
        last: Option<ZoneId>,
        with_last: bool,
    ) -> Result<Vec<EnclosingZone>, StoreError> {
        if let Some(known) = &*self.store.zones_at.borrow()
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
            "select id, name, view
               from zone
              where substr(name, length(name) - length(?1) + 1) = ?1 and name <> ?2 and {from}
              order by name, view limit {ZONES_BELOW_AT_A_TIME}"
        );
        let rows: Vec<(i64, String, String)> = self.store.run(|db| {
            let mut statement = db.prepare(&sql)?;
            let last = last.map_or(0, |last| last.0);
            statement.query(params![end, name.to_string(), last], |row| {
                Ok((row.get("id")?, row.get("name")?, row.get("view")?))
            })
        })?;
        let read = |(id, apex, view): (i64, String, String)| {
            Ok(EnclosingZone {
                id: ZoneId(id),
                apex: self.store.read_name(&apex)?,
                view: self.store.zones().read_view(&view, name)?,
                ended_at: None,
            })
        };
        rows.into_iter().map(read).collect()
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
        let question = OwnersQuestion::new(zone, name, scope, after);
        self.store.run(|db| {
            db.query(
                &question.sql,
                params![zone.id, question.key, limit, after],
                |row| Ok((row.get("id")?, row.get("name")?)),
            )
        })
    }
}

/// Asks for the owners of a zone that a lookup covers.
struct OwnersQuestion {
    sql: String,
    /// The name in the zone.
    key: String,
}

impl OwnersQuestion {
    fn new(zone: &EnclosingZone, name: &Name, scope: HistoryScope, after: Option<&str>) -> Self {
        // A zone below the name is covered whole; its apex too.
        let key = name.relative_key(&zone.apex);
        let range = match (scope, key.as_deref()) {
            (_, None) | (HistoryScope::AtOrBelow, Some("")) => "name >= ?2".to_owned(),
            (HistoryScope::Name, _) => "name = ?2".to_owned(),
            (HistoryScope::AtOrBelow, _) => is_at_or_below("name", "?2"),
            (HistoryScope::Below, Some("")) => "name > ?2".to_owned(),
            (HistoryScope::Below, _) => is_below("name", "?2"),
        };
        let after_sql = if after.is_some() {
            "name > ?4"
        } else {
            "cast(?4 as text) is null"
        };
        let sql = format!(
            "select id, name
               from owner where zone_id = ?1 and {range} and {after_sql}
              order by name limit ?3"
        );
        let key = key.unwrap_or_default();
        Self { sql, key }
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
        let is_gone_by_drift = stay.removed.as_ref().is_some_and(|end| end.drift);
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
            drift: [stay.added.drift, is_gone_by_drift],
        });
    }
    for mut change in changes.into_values() {
        change.added.sort();
        change.removed.sort();
        history.changes.push(change);
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
    use crate::dns::{Rdata, Record, Serial};
    use crate::store::handle::{Store, StoreOptions};
    use crate::store::keys::SourceKind;
    use crate::store::ledger::draft::{VersionDraft, VersionKind};
    use crate::time::Timestamp;
    use crate::zone::OwnerChange;

    use super::*;

    /// Stores the first version of a zone, with an address at its apex and at `a` below it.
    fn add_zone(store: &Store, apex: &str) {
        let source = store
            .zones()
            .ensure_source("made", SourceKind::Transfer)
            .expect("made");
        let apex = Name::parse(apex).expect("valid");
        let zone = store.zones().ensure_zone(&apex, source).expect("made");
        let draft = VersionDraft {
            source,
            kind: VersionKind::Baseline,
            serial: Some(Serial(1)),
            observed_at: Timestamp::from_unix(1_790_000_000),
            joins: None,
            drift: false,
        };
        let mut tx = store.ledger().begin(&zone, draft).expect("begun");
        let change = OwnerChange {
            added: vec![Record {
                rdata: Rdata::A([192, 0, 2, 1].into()),
                ttl: 60,
            }],
            ..OwnerChange::default()
        };
        let below = Name::parse(&format!("a.{apex}")).expect("valid");
        for name in [&apex, &below] {
            tx.apply_changes(vec![crate::store::SourceChange {
                owner: name.clone(),
                change: change.clone(),
                baseline: true,
            }])
            .expect("applied");
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
        let store = Store::open(folder.path().join("f.db"), options).expect("made");
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
        let all = store
            .lookup()
            .covered_names(&name, HistoryScope::AtOrBelow, None, usize::MAX);
        let all: Vec<String> = all.expect("read").iter().map(CoveredName::cursor).collect();
        assert_eq!(all.len(), 10, "{all:?}");
        for count in 1..=4 {
            let (mut paged, mut cursor) = (Vec::new(), None);
            loop {
                let scope = HistoryScope::AtOrBelow;
                let page = store
                    .lookup()
                    .covered_names(&name, scope, cursor.as_deref(), count);
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
