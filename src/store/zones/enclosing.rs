//! Which zones there are at and above a name, and the months that they have history in.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use crate::dns::Name;
use crate::store::caches::{ZoneSpan, ZoneView, ZonesAt};
use crate::store::door::{Texts, params};
use crate::store::error::StoreError;
use crate::store::keys::{SourceKind, View, ZoneId};
use crate::store::sqlite::dialect::{IN_ORDER, texts_of};
use crate::store::zones::Zones;
use crate::store::zones::unwatched::ENDED_AT;
use crate::time::Timestamp;

/// The most names of which it is kept which zones are there.
pub(in crate::store) const NAMES_KNOWN_MAX: usize = 200_000;

/// The most zones that are read at once.
pub(in crate::store) const ZONES_AT_ONCE_MAX: i64 = 1000;

/// When a zone was last looked at and was as its newest version left it, if its source looks at it in between: not of
/// a file, which says what was at its own time, nor of a probe, to which a record may be missing for a while. Of `z`.
pub(in crate::store) const SEEN_AT: &str = "
    case when (select s.kind in ('transfer', 'catalog') from source s where s.id = z.source_id)
         then z.last_success_at end";

/// The times of a zone's first and last version: each end by itself is found in the index; both together are a scan of
/// all versions.
pub(in crate::store) const SPAN: &str = "
    select (select min(observed_at) from version where zone_id = ?1) as first_at,
           (select max(observed_at) from version where zone_id = ?1) as last_at";

/// The views of the zone at a name.
static AT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select z.id, z.view, {ENDED_AT} as ended_at
           from zone z join source s on s.id = z.source_id
          where z.name = ?
          order by z.view = 'zone' desc, z.view"
    )
});

/// Which zones there are, if there are few.
static ALL: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select z.id, z.name, z.view, {ENDED_AT} as ended_at
           from (select id, name, view, source_id, ended, last_success_at
                   from zone limit ?) z join source s on s.id = z.source_id
          order by z.view = 'zone' desc, z.view"
    )
});

/// Returns whether [`SEEN_AT`] says anything of a zone of a source of this kind.
pub(in crate::store) fn is_looked_at_between(kind: SourceKind) -> bool {
    matches!(kind, SourceKind::Transfer | SourceKind::Catalog)
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
    /// When watching it ended, by the time of its own source; `None` while it is watched.
    pub ended_at: Option<Timestamp>,
}

impl EnclosingZone {
    /// Returns whether what stands in it counts when a domain is judged at a time: nobody is judged by what others
    /// recorded, nor by what stood in a zone when watching it ended.
    pub fn is_judged_at(&self, at: Timestamp) -> bool {
        self.view != View::Passive && self.ended_at.is_none_or(|end| at <= end)
    }
}

impl Zones<'_> {
    /// Returns the zones whose apex is the name or above it, the nearest first; a zone's own view first.
    pub fn zones_enclosing(&self, name: &Name) -> Result<Vec<EnclosingZone>, StoreError> {
        self.look_at_zones()?;
        if !self.are_all_known() && self.store.db.asks_ahead() {
            for candidate in name.up_to(&Name::root()) {
                let candidate = [candidate.to_string()];
                self.store.run(|db| db.ask_ahead(&AT, candidate))?;
            }
        }
        let mut zones = Vec::new();
        let mut apex = Some(name.clone());
        while let Some(candidate) = apex {
            let at = self.zones_at(&candidate)?.into_iter();
            zones.extend(at.map(|(id, view, ended_at)| EnclosingZone {
                id,
                apex: candidate.clone(),
                view,
                ended_at,
            }));
            apex = candidate.parent();
        }
        Ok(zones)
    }

    /// Returns the zones at and above a name as they were when they were last read, of a server: whatever is told in
    /// advance of them costs nothing but its answer if they are others now.
    pub(in crate::store) fn zones_guessed(&self, name: &Name) -> Vec<EnclosingZone> {
        if !self.store.db.asks_ahead() {
            return Vec::new();
        }
        let before = self.store.zones_before.borrow();
        let views = name.up_to(&Name::root()).flat_map(|apex| {
            let views = before.by_apex.get(&apex).cloned().unwrap_or_default();
            views.into_iter().map(move |view| (apex.clone(), view))
        });
        views
            .map(|(apex, (id, view, ended_at))| EnclosingZone {
                id,
                apex,
                view,
                ended_at,
            })
            .collect()
    }

    /// Returns the statement that zones are read by, for a server to prepare.
    pub(in crate::store) fn text_of_zones() -> &'static str {
        &ALL
    }

    /// Returns the views of the zone at a name; most names have none. While one state of the database is
    /// read, few zones are read at once, and many are asked for once at each name.
    pub(in crate::store) fn zones_at(&self, name: &Name) -> Result<Vec<ZoneView>, StoreError> {
        self.look_at_zones()?;
        if let Some(known) = &*self.store.zones_at.borrow() {
            match known.by_apex.get(name) {
                Some(views) => return Ok(views.clone()),
                None if known.is_whole == Some(true) => return Ok(Vec::new()),
                None => {}
            }
        }
        let rows: Vec<(i64, String, Option<Timestamp>)> = self.store.run(|db| {
            db.query(&AT, [name.to_string()], |row| {
                Ok((row.get("id")?, row.get("view")?, row.get("ended_at")?))
            })
        })?;
        let views = rows
            .into_iter()
            .map(|(id, view, ended_at)| Ok((ZoneId(id), self.read_view(&view, name)?, ended_at)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        if let Some(known) = self
            .store
            .zones_at
            .borrow_mut()
            .as_mut()
            .filter(|known| known.by_apex.len() < NAMES_KNOWN_MAX)
        {
            known.by_apex.insert(name.clone(), views.clone());
        }
        Ok(views)
    }

    /// Reads which zones there are at and above some names with one statement, while one state of the database is read.
    pub(in crate::store) fn know_zones(&self, names: &[&Name]) -> Result<(), StoreError> {
        self.look_at_zones()?;
        let mut known = self.store.zones_at.borrow_mut();
        let Some(known) = known.as_mut().filter(|it| it.is_whole != Some(true)) else {
            return Ok(());
        };
        let room = NAMES_KNOWN_MAX.saturating_sub(known.by_apex.len());
        let above = names.iter().flat_map(|name| name.up_to(&Name::root()));
        let unknown: BTreeSet<Name> = above.filter(|it| !known.by_apex.contains_key(it)).collect();
        let unknown: HashMap<String, Name> = unknown
            .into_iter()
            .take(room)
            .map(|name| (name.to_string(), name))
            .collect();
        let keys = Texts(unknown.keys().cloned().collect());
        let rows: Vec<(String, i64, String, Option<Timestamp>)> = self.store.run(|db| {
            let sql = format!(
                "select z.name, z.id, z.view, {ENDED_AT} as ended_at
                   from {list} w {IN_ORDER} zone z on z.name = w.value
                        {IN_ORDER} source s on s.id = z.source_id
                  order by z.view = 'zone' desc, z.view",
                list = texts_of("?")
            );
            db.query(&sql, [keys], |row| {
                Ok((
                    row.get("name")?,
                    row.get("id")?,
                    row.get("view")?,
                    row.get("ended_at")?,
                ))
            })
        })?;
        for name in unknown.values() {
            known.by_apex.insert(name.clone(), Vec::new());
        }
        for (key, id, view, ended_at) in rows {
            if let Some(name) = unknown.get(&key) {
                let view = self.read_view(&view, name)?;
                let views = known.by_apex.entry(name.clone()).or_default();
                views.push((ZoneId(id), view, ended_at));
            }
        }
        Ok(())
    }

    /// Reads which zones there are, if there are few, once while one state of the database is read.
    fn look_at_zones(&self) -> Result<(), StoreError> {
        let must_look =
            matches!(&*self.store.zones_at.borrow(), Some(known) if known.is_whole.is_none());
        if !must_look {
            return Ok(());
        }
        if self.store.zones_before.borrow().are_many {
            // They are asked for one by one, as in the reading before.
            let many = ZonesAt {
                is_whole: Some(false),
                are_many: true,
                ..ZonesAt::default()
            };
            self.store.zones_at.replace(Some(many));
            return Ok(());
        }
        self.load_zones()
    }

    /// Returns whether it is known which zones there are.
    fn are_all_known(&self) -> bool {
        let known = self.store.zones_at.borrow();
        known.as_ref().is_some_and(|it| it.is_whole == Some(true))
    }

    /// Reads which zones there are, if there are few.
    pub(in crate::store) fn load_zones(&self) -> Result<(), StoreError> {
        let rows: Vec<(i64, String, String, Option<Timestamp>)> = self.store.run(|db| {
            db.query(&ALL, [ZONES_AT_ONCE_MAX + 1], |row| {
                Ok((
                    row.get("id")?,
                    row.get("name")?,
                    row.get("view")?,
                    row.get("ended_at")?,
                ))
            })
        })?;
        // Of more it is not said which there are.
        let are_many = rows.len() as i64 > ZONES_AT_ONCE_MAX;
        let rows = match are_many {
            true => Vec::new(),
            false => rows,
        };
        let mut known = ZonesAt {
            is_whole: Some(!rows.is_empty()),
            are_many,
            ..ZonesAt::default()
        };
        for (id, apex, view, ended_at) in rows {
            let apex = self.store.read_name(&apex)?;
            let view = self.read_view(&view, &apex)?;
            known
                .by_apex
                .entry(apex)
                .or_default()
                .push((ZoneId(id), view, ended_at));
        }
        self.store.zones_at.replace(Some(known));
        Ok(())
    }

    /// Reads the word for a view.
    pub(in crate::store) fn read_view(&self, word: &str, apex: &Name) -> Result<View, StoreError> {
        View::parse(word).ok_or_else(|| self.store.damaged(format!("view {word:?} of zone {apex}")))
    }

    /// Returns the times of a zone's first and last version. Read once while one state of the database is read.
    pub(in crate::store) fn span_of(&self, zone: ZoneId) -> Result<ZoneSpan, StoreError> {
        let spans = self.store.spans.borrow();
        let known = spans.as_ref().and_then(|it| it.by_zone.get(&zone).copied());
        drop(spans);
        if let Some(known) = known {
            return Ok(known);
        }
        let span = self.store.run(|db| {
            db.query_one(SPAN, [zone], |row| {
                Ok((row.get("first_at")?, row.get("last_at")?))
            })
        })?;
        if let Some(known) = &mut *self.store.spans.borrow_mut() {
            known.by_zone.insert(zone, span);
        }
        Ok(span)
    }

    /// Returns the row of the first version of a zone that is of a time or later, if any is. Read once while one state of
    /// the database is read, with the zone's span.
    pub(in crate::store) fn first_since(
        &self,
        zone: ZoneId,
        since: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let spans = self.store.spans.borrow();
        let known = spans
            .as_ref()
            .and_then(|it| it.firsts.get(&(zone, since)).copied());
        drop(spans);
        if let Some(known) = known {
            return Ok(known);
        }
        let (first, span) = self.store.run(|db| {
            let sql = "select (select min(id)
                                 from version where zone_id = ?1 and observed_at >= ?2) as first_id,
                              (select min(observed_at) from version where zone_id = ?1) as first_at,
                              (select max(observed_at) from version where zone_id = ?1) as last_at";
            db.query_one(sql, params![zone, since], |row| {
                let span = (row.get("first_at")?, row.get("last_at")?);
                Ok((row.get("first_id")?, span))
            })
        })?;
        if let Some(known) = &mut *self.store.spans.borrow_mut() {
            known.by_zone.insert(zone, span);
            known.firsts.insert((zone, since), first);
        }
        Ok(first)
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

    /// Returns whether no version of a zone is newer than a time.
    pub(in crate::store) fn is_newest_at(
        &self,
        zone: ZoneId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (_, last) = self.span_of(zone)?;
        Ok(last.is_none_or(|last| last <= at.unix()))
    }

    /// Returns the name of a source.
    pub(in crate::store) fn source_name(&self, id: i64) -> Result<String, StoreError> {
        self.store
            .run(|db| db.value("select name from source where id = ?", [id]))
    }
}
