//! What happened to a name: its records as intervals, and its changes in order.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Row, params};

use crate::dns::{Name, Rdata, RecordType, Serial};
use crate::store::zones::{Gap, View, ZoneId};
use crate::store::{Store, StoreError};
use crate::time::Timestamp;

/// Which names a lookup covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryScope {
    /// The name itself.
    Name,
    /// The name and what lies below it in the same zone: a delegation with its in-domain glue.
    AtOrBelow,
}

/// One record and when it was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// The owner.
    pub owner: Name,
    /// The data.
    pub rdata: Rdata,
    /// Seconds, as last seen.
    pub ttl: u32,
    /// The zone it stood in.
    pub zone: Name,
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
    pub source: String,
    /// Whether it was there when watching began.
    pub baseline: bool,
}

/// What one version did to one RRset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// The version's time.
    pub at: Timestamp,
    /// The owner.
    pub owner: Name,
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

/// A version, as an interval's end names it.
#[derive(Debug, Clone)]
struct End {
    version_id: i64,
    at: Timestamp,
    serial: Option<Serial>,
    bulk: bool,
    source: String,
}

/// A record's interval.
struct Stay {
    owner: Name,
    rdata: Rdata,
    ttl: u32,
    added: End,
    removed: Option<End>,
    last_seen_at: Option<Timestamp>,
    baseline: bool,
}

/// Open and closed intervals of one owner, with the versions at their ends.
const STAYS: &str = "
    select r.rrtype, r.rdata, r.ttl, r.baseline, a.id, a.observed_at, a.serial, a.bulk, s.name, null, null, null, null,
           (select n.observed_at from owner o join zone z on z.id = o.zone_id join version n on n.id = z.version_id where o.id = r.owner_id)
      from record r join version a on a.id = r.added_id join source s on s.id = a.source_id where r.owner_id = ?1
    union all
    select p.rrtype, p.rdata, coalesce(p.ttl, (select usual_ttl from zone where id = ?3)), p.baseline, a.id, a.observed_at, a.serial, a.bulk, s.name, d.id, d.observed_at, d.serial, d.bulk,
           (select q.observed_at from version q where q.id = d.previous_id)
      from past_record p join version a on a.id = p.added_id join source s on s.id = a.source_id join version d on d.id = p.removed_id
     where p.bucket = ?2 and p.owner_id = ?1";

impl Store {
    /// Returns the history of a name in every zone that holds it; empty if none does.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn history(&self, name: &Name, scope: HistoryScope) -> Result<History, StoreError> {
        let mut history = History::default();
        for EnclosingZone {
            id: zone,
            apex,
            view,
        } in self.zones_enclosing(name)?
        {
            // Below an apex lies the whole zone: that is never meant.
            let scope = if *name == apex {
                HistoryScope::Name
            } else {
                scope
            };
            let owners = self.owners_in_scope(zone, &apex, name, scope)?;
            if !owners.is_empty() {
                let gaps = self.gaps(zone)?.into_iter();
                history.gaps.extend(gaps.map(|gap| (apex.clone(), gap)));
            }
            for owner_id in owners {
                let owner = self.owner_name(owner_id, &apex)?;
                let stays = self.stays(owner_id, &owner, zone)?;
                add_stays(&mut history, &apex, view, stays);
            }
        }
        history.records.sort_by(|left, right| {
            (
                &left.owner,
                left.rdata.rtype(),
                left.added_at,
                &left.rdata,
                left.removed_at,
            )
                .cmp(&(
                    &right.owner,
                    right.rdata.rtype(),
                    right.added_at,
                    &right.rdata,
                    right.removed_at,
                ))
        });
        history.changes.sort_by(|left, right| {
            (left.at, &left.owner, left.rtype).cmp(&(right.at, &right.owner, right.rtype))
        });
        Ok(history)
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
            let views: Vec<(i64, String)> = self.run(|connection| {
                let sql =
                    "select id, view from zone where name = ? order by view = 'zone' desc, view";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map([candidate.to_string()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
                rows.collect()
            })?;
            for (id, view) in views {
                let view = View::parse(&view)
                    .ok_or_else(|| self.damaged(format!("view {view:?} of zone {candidate}")))?;
                zones.push(EnclosingZone {
                    id: ZoneId(id),
                    apex: candidate.clone(),
                    view,
                });
            }
            apex = candidate.parent();
        }
        Ok(zones)
    }

    /// Returns the owners that a lookup covers, in order of their keys.
    fn owners_in_scope(
        &self,
        zone: ZoneId,
        apex: &Name,
        name: &Name,
        scope: HistoryScope,
    ) -> Result<Vec<i64>, StoreError> {
        let key = name.relative_key(apex).expect("the zone encloses the name");
        self.run(|connection| {
            // '/' follows '.', so that the range holds exactly the keys that go on with a label.
            let below = match scope {
                HistoryScope::Name => "",
                HistoryScope::AtOrBelow => {
                    " or (zone_id = ?1 and name >= ?2 || '.' and name < ?2 || '/')"
                }
            };
            let mut statement = connection.prepare_cached(&format!(
                "select id from owner where (zone_id = ?1 and name = ?2){below} order by name"
            ))?;
            let rows = statement.query_map(params![zone.0, key], |row| row.get(0))?;
            rows.collect()
        })
    }

    /// Returns every interval of an owner.
    fn stays(&self, owner_id: i64, owner: &Name, zone: ZoneId) -> Result<Vec<Stay>, StoreError> {
        let mut stays = Vec::new();
        for bucket in self.buckets_since(zone, None)? {
            let rows = self.run(|connection| {
                let mut statement = connection.prepare_cached(STAYS)?;
                let rows = statement.query_map(params![owner_id, bucket, zone.0], read_stay)?;
                rows.collect::<rusqlite::Result<Vec<_>>>()
            })?;
            for (code, value, mut stay) in rows {
                stay.rdata = self.read_rdata(code, &value)?;
                stay.owner = owner.clone();
                // The open intervals come with every bucket: take them once.
                if stay.removed.is_some() || bucket == 0 {
                    stays.push(stay);
                }
            }
        }
        Ok(stays)
    }

    /// Returns the buckets that closed intervals of a zone may lie in, after the number 0, which
    /// holds none: the months from `since` (or the zone's first version) to its newest version.
    pub(super) fn buckets_since(
        &self,
        zone: ZoneId,
        since: Option<Timestamp>,
    ) -> Result<Vec<i64>, StoreError> {
        let (first, last): (Option<i64>, Option<i64>) = self.run(|connection| {
            connection
                .prepare_cached(
                    "select min(observed_at), max(observed_at) from version where zone_id = ?",
                )?
                .query_row([zone.0], |row| Ok((row.get(0)?, row.get(1)?)))
        })?;
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

/// Reads an interval; owner and data are filled in by the caller.
fn read_stay(row: &Row<'_>) -> rusqlite::Result<(u16, Value, Stay)> {
    let end = |at: usize, source: String| -> rusqlite::Result<Option<End>> {
        let Some(version_id) = row.get::<_, Option<i64>>(at)? else {
            return Ok(None);
        };
        Ok(Some(End {
            version_id,
            at: Timestamp::from_unix(row.get(at + 1)?),
            serial: row.get::<_, Option<u32>>(at + 2)?.map(Serial),
            bulk: row.get(at + 3)?,
            source,
        }))
    };
    let added = end(4, row.get(8)?)?.expect("every record has the version that added it");
    let stay = Stay {
        owner: Name::root(),
        rdata: Rdata::Ns(Name::root()),
        ttl: row.get(2)?,
        added,
        removed: end(9, String::new())?,
        last_seen_at: row.get::<_, Option<i64>>(13)?.map(Timestamp::from_unix),
        baseline: row.get(3)?,
    };
    Ok((row.get(0)?, row.get(1)?, stay))
}

/// Adds an owner's intervals to a history.
fn add_stays(history: &mut History, zone: &Name, view: View, stays: Vec<Stay>) {
    let mut changes: BTreeMap<(i64, RecordType), ChangeRow> = BTreeMap::new();
    for stay in stays {
        let rtype = stay.rdata.rtype();
        if !stay.baseline {
            push_change(&mut changes, &stay.owner, rtype, &stay.added)
                .added
                .push(stay.rdata.clone());
        }
        if let Some(removed) = &stay.removed {
            push_change(&mut changes, &stay.owner, rtype, removed)
                .removed
                .push(stay.rdata.clone());
        }
        history.records.push(RecordRow {
            owner: stay.owner,
            rdata: stay.rdata,
            ttl: stay.ttl,
            zone: zone.clone(),
            view,
            added_at: stay.added.at,
            added_serial: stay.added.serial,
            removed_at: stay.removed.as_ref().map(|end| end.at),
            removed_serial: stay.removed.as_ref().and_then(|end| end.serial),
            last_seen_at: stay
                .last_seen_at
                .unwrap_or(stay.added.at)
                .max(stay.added.at),
            source: stay.added.source,
            baseline: stay.baseline,
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
    owner: &Name,
    rtype: RecordType,
    end: &End,
) -> &'a mut ChangeRow {
    changes
        .entry((end.version_id, rtype))
        .or_insert_with(|| ChangeRow {
            at: end.at,
            owner: owner.clone(),
            rtype,
            serial: end.serial,
            added: Vec::new(),
            removed: Vec::new(),
            bulk: end.bulk,
        })
}
