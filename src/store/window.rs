//! What the detector reads: intervals of an owner, who changed, who depends on a name server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params};

use crate::detector::{Moment, Stay};
use crate::dns::{Name, Rdata, RecordType, Serial};
use crate::store::changes::ChangeCounts;
use crate::store::zones::{View, ZoneId, ZoneState};
use crate::store::{Store, StoreError};
use crate::time::Timestamp;

/// An owner name in a zone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityKey {
    /// The zone.
    pub zone: ZoneId,
    /// Its apex.
    pub apex: Name,
    /// The owner.
    pub owner: Name,
}

/// One record of an owner and when it was there.
pub type Interval = Stay<Rdata>;

/// What changed of an owner in a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerChanges {
    /// The owner.
    pub key: EntityKey,
    /// Whether NS records changed.
    pub nameservers: bool,
    /// Whether addresses changed.
    pub addresses: bool,
}

/// Open intervals of an owner.
const OPEN: &str = "
    select r.rrtype, r.rdata, r.baseline, a.id, a.observed_at, a.serial, a.bulk, a.drift, coalesce(ca.shared_count, 0), null, null, null, null, null, null
      from record r join version a on a.id = r.added_id left join shared_change ca on ca.version_id = a.id and ca.owner_id = r.owner_id
     where r.owner_id = ?1";
/// Intervals of an owner that were closed in one month.
const CLOSED: &str = "
    select p.rrtype, p.rdata, p.baseline, a.id, a.observed_at, a.serial, a.bulk, a.drift, coalesce(ca.shared_count, 0),
           d.id, d.observed_at, d.serial, d.bulk, d.drift, coalesce(cd.shared_count, 0)
      from past_record p join version a on a.id = p.added_id join version d on d.id = p.removed_id
           left join shared_change ca on ca.version_id = a.id and ca.owner_id = p.owner_id
           left join shared_change cd on cd.version_id = d.id and cd.owner_id = p.owner_id
     where p.bucket = ?2 and p.owner_id = ?1";

impl Store {
    /// Returns every interval of an owner that was open at or after `since`, in no order; empty for
    /// an owner that history does not know.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn window(&self, key: &EntityKey, since: Timestamp) -> Result<Vec<Interval>, StoreError> {
        let Some(owner_id) = self.find_owner(key.zone, &key.apex, &key.owner)? else {
            return Ok(Vec::new());
        };
        let mut intervals = Vec::new();
        for bucket in self.buckets_since(key.zone, Some(since))? {
            let sql = if bucket == 0 { OPEN } else { CLOSED };
            let rows = self.run(|connection| {
                let mut statement = connection.prepare_cached(sql)?;
                let rows = if bucket == 0 {
                    statement.query_map(params![owner_id], read_interval)?
                } else {
                    statement.query_map(params![owner_id, bucket], read_interval)?
                };
                rows.collect::<rusqlite::Result<Vec<_>>>()
            })?;
            for (code, value, stay) in rows {
                if stay
                    .removed
                    .is_none_or(|removed: Moment| removed.at >= since)
                {
                    intervals.push(Stay {
                        value: self.read_rdata(code, &value)?,
                        added: stay.added,
                        removed: stay.removed,
                        baseline: stay.baseline,
                    });
                }
            }
        }
        Ok(intervals)
    }

    /// Returns the intervals of every address that `host` had in any zone since `since`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn host_addresses(
        &self,
        host: &Name,
        since: Timestamp,
    ) -> Result<Vec<Stay<IpAddr>>, StoreError> {
        // The same address may stand as glue in the parent and as data in the child: one presence
        // that lasts as long as either.
        let mut merged: BTreeMap<IpAddr, Vec<Stay<IpAddr>>> = BTreeMap::new();
        let zones = self.zones_enclosing(host)?.into_iter();
        for zone in zones.filter(|zone| zone.view != View::Passive) {
            for interval in self.window(
                &EntityKey {
                    zone: zone.id,
                    apex: zone.apex,
                    owner: host.clone(),
                },
                since,
            )? {
                if let Some(address) = interval.value.address() {
                    let stay = Stay {
                        value: address,
                        added: interval.added,
                        removed: interval.removed,
                        baseline: interval.baseline,
                    };
                    merged.entry(address).or_default().push(stay);
                }
            }
        }
        Ok(merged.into_values().flat_map(merge_stays).collect())
    }

    /// Returns the owners that changed in a version, in order of their rows.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn counts(
        &self,
        zone: &ZoneState,
        version_id: i64,
    ) -> Result<Vec<OwnerChanges>, StoreError> {
        let owners = self.changes_of(version_id)?;
        let changed = owners.into_iter().filter(|(_, counts)| !counts.is_zero());
        let read = |(owner_id, counts): (i64, ChangeCounts)| {
            Ok(OwnerChanges {
                key: EntityKey {
                    zone: zone.id,
                    apex: zone.apex.clone(),
                    owner: self.owner_name(owner_id, &zone.apex)?,
                },
                nameservers: counts.ns != [0; 2],
                addresses: counts.address != [0; 2],
            })
        };
        changed.map(read).collect()
    }

    /// Returns the versions of a zone after `after`, oldest first: row and time.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn versions_after(
        &self,
        zone: ZoneId,
        after: i64,
    ) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(
                "select id, observed_at from version where zone_id = ? and id > ? order by id",
            )?;
            let rows = statement.query_map(params![zone.0, after], |row| {
                Ok((row.get(0)?, Timestamp::from_unix(row.get(1)?)))
            })?;
            rows.collect()
        })
    }

    /// Returns whether a version changed too much to accuse anybody, or is drift.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn is_bulk_version(&self, version_id: i64) -> Result<bool, StoreError> {
        self.run(|connection| {
            connection
                .prepare_cached("select bulk or drift from version where id = ?")?
                .query_row([version_id], |row| row.get(0))
        })
    }

    /// Returns how many versions of a zone since a time accuse nobody.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn bulk_count(&self, zone: ZoneId, since: Timestamp) -> Result<u32, StoreError> {
        self.run(|connection| {
            let sql =
                "select count(*) from version where zone_id = ? and observed_at > ? and bulk = 1";
            connection
                .prepare_cached(sql)?
                .query_row(params![zone.0, since.unix()], |row| row.get(0))
        })
    }

    /// Returns how many versions of a zone since a time are drift. Relies on `version_drift`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn drift_count(&self, zone: ZoneId, since: Timestamp) -> Result<u32, StoreError> {
        self.run(|connection| {
            let sql =
                "select count(*) from version where zone_id = ? and observed_at > ? and drift = 1";
            connection
                .prepare_cached(sql)?
                .query_row(params![zone.0, since.unix()], |row| row.get(0))
        })
    }

    /// Notes that the detector has judged a version.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn set_detected(&self, zone: ZoneId, version_id: i64) -> Result<(), StoreError> {
        self.run(|connection| {
            connection
                .prepare_cached("update zone set detected_version_id = ?2 where id = ?1")?
                .execute(params![zone.0, version_id])
        })
        .map(|_| ())
    }

    /// Returns when a zone was first seen.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn watched_since(&self, zone: ZoneId) -> Result<Option<Timestamp>, StoreError> {
        self.run(|connection| {
            connection
                .prepare_cached("select min(observed_at) from version where zone_id = ?")?
                .query_row([zone.0], |row| row.get::<_, Option<i64>>(0))
        })
        .map(|at| at.map(Timestamp::from_unix))
    }

    /// Returns the owners whose NS records name any of `hosts` now, in any zone; without duplicates.
    ///
    /// One look in the reverse index for each; where there is none, one pass over all records, unless only
    /// names above them use them.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn delegations_using(&self, hosts: &BTreeSet<Name>) -> Result<BTreeSet<Name>, StoreError> {
        let used = self.delegations_by_host(hosts)?;
        Ok(used.into_values().flatten().collect())
    }

    /// [`Store::delegations_using`], for each host.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn delegations_by_host(
        &self,
        hosts: &BTreeSet<Name>,
    ) -> Result<BTreeMap<Name, BTreeSet<Name>>, StoreError> {
        let mut by_id: BTreeMap<i64, (Name, BTreeSet<i64>)> = BTreeMap::new();
        for host in hosts {
            if let Some(id) = self.find_host(host)? {
                by_id.insert(id, (host.clone(), BTreeSet::new()));
            }
        }
        if self.has_reverse_index {
            for (id, (_, owners)) in &mut by_id {
                // "rrtype = 2" stands literally, so that the partial index serves.
                owners.extend(self.run(|connection| {
                    let sql = "select owner_id from record where rrtype = 2 and rdata = ?";
                    let mut statement = connection.prepare_cached(sql)?;
                    let rows = statement.query_map([id], |row| row.get::<_, i64>(0))?;
                    rows.collect::<rusqlite::Result<Vec<_>>>()
                })?);
            }
        } else {
            // Only one that a name outside it uses can be used anywhere.
            let mut elsewhere: BTreeMap<i64, &mut BTreeSet<i64>> = BTreeMap::new();
            for (id, (host, owners)) in &mut by_id {
                match self.is_used_elsewhere(*id)? {
                    true => drop(elsewhere.insert(*id, owners)),
                    false => *owners = self.users_above(host, *id)?,
                }
            }
            self.find_users(elsewhere)?;
        }
        let named = by_id.into_values().map(|(host, owners)| {
            let owners = owners.into_iter().map(|id| self.absolute_owner(id));
            Ok((host, owners.collect::<Result<_, StoreError>>()?))
        });
        named.collect()
    }

    /// Finds the users of some name servers in one pass over all records.
    fn find_users(&self, mut users: BTreeMap<i64, &mut BTreeSet<i64>>) -> Result<(), StoreError> {
        if users.is_empty() {
            return Ok(());
        }
        self.run(|connection| {
            let sql = "select owner_id, rdata from record where rrtype = 2";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if let Some(owners) = users.get_mut(&row.get::<_, i64>(1)?) {
                    owners.insert(row.get(0)?);
                }
            }
            Ok(())
        })
    }

    /// Returns the owners at or above a name server that use it, in any zone.
    fn users_above(&self, host: &Name, host_id: i64) -> Result<BTreeSet<i64>, StoreError> {
        let mut owners = BTreeSet::new();
        for zone in self.zones_enclosing(host)? {
            let mut name = Some(host.clone());
            while let Some(owner) = name.filter(|name| name.is_at_or_below(&zone.apex)) {
                owners.extend(self.run(|connection| {
                    connection
                        .prepare_cached("select o.id from owner o join record r on r.owner_id = o.id and r.rrtype = 2 and r.rdata = ?3 where o.zone_id = ?1 and o.name = ?2")?
                        .query_row(params![zone.id.0, owner.relative_key(&zone.apex), host_id], |row| row.get::<_, i64>(0))
                        .optional()
                })?);
                name = owner.parent();
            }
        }
        Ok(owners)
    }

    /// Returns the absolute name of an owner in whatever zone it is.
    fn absolute_owner(&self, owner_id: i64) -> Result<Name, StoreError> {
        let (apex, key): (String, String) = self.run(|connection| {
            let sql =
                "select z.name, o.name from owner o join zone z on z.id = o.zone_id where o.id = ?";
            connection
                .prepare_cached(sql)?
                .query_row([owner_id], |row| Ok((row.get(0)?, row.get(1)?)))
        })?;
        Name::from_relative_key(&key, &self.read_name(&apex)?)
            .map_err(|fault| self.damaged(fault.to_string()))
    }

    /// Returns whether an owner, or a name between it and the apex, is or was lately a delegation: what
    /// lies there is glue, not the zone's own data.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn is_at_or_below_cut(&self, key: &EntityKey) -> Result<bool, StoreError> {
        // A delegation that was taken away lately leaves glue behind, not data of the zone.
        let last_bucket = self
            .buckets_since(key.zone, None)?
            .last()
            .copied()
            .unwrap_or(0);
        let mut name = Some(key.owner.clone());
        while let Some(candidate) = name.filter(|name| name.is_below(&key.apex)) {
            if let Some(owner_id) = self.find_owner(key.zone, &key.apex, &candidate)? {
                let has_ns: bool = self.run(|connection| connection.prepare_cached("select exists (select 1 from record where owner_id = ?1 and rrtype = 2)\n                         or exists (select 1 from past_record where bucket = ?2 and owner_id = ?1 and rrtype = 2)
                         or exists (select 1 from past_record where bucket = ?3 and owner_id = ?1 and rrtype = 2)")?.query_row(params![owner_id, last_bucket - 1, last_bucket], |row| row.get(0)))?;
                if has_ns {
                    return Ok(true);
                }
            }
            name = candidate.parent();
        }
        Ok(false)
    }

    /// Returns whether an owner had name servers that are gone.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn had_nameservers(&self, key: &EntityKey) -> Result<bool, StoreError> {
        let Some(owner_id) = self.find_owner(key.zone, &key.apex, &key.owner)? else {
            return Ok(false);
        };
        for bucket in self.buckets_since(key.zone, None)?.into_iter().skip(1) {
            let has_ns: bool = self.run(|connection| {
                connection
                    .prepare_cached("select exists (select 1 from past_record where bucket = ? and owner_id = ? and rrtype = 2)")?
                    .query_row([bucket, owner_id], |row| row.get(0))
            })?;
            if has_ns {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the names at or below `domain` in a zone whose addresses changed since `since`, those
    /// that changed most first; at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn owners_with_new_addresses(
        &self,
        zone: ZoneId,
        apex: &Name,
        domain: &Name,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<EntityKey>, StoreError> {
        let Some(key) = domain.relative_key(apex) else {
            return Ok(Vec::new());
        };
        let range = if key.is_empty() {
            "?2 = ''"
        } else {
            "(o.name = ?2 or o.name >= ?2 || '.' and o.name < ?2 || '/')"
        };
        let buckets = self.buckets_since(zone, Some(since))?;
        let (first, last) = (
            buckets.get(1).copied().unwrap_or(0),
            buckets.last().copied().unwrap_or(0),
        );
        let sql = format!(
            "with recursive month (bucket) as (select ?4 union all select bucket + 1 from month where bucket < ?5)
             select o.name from owner o where o.zone_id = ?1 and {range}
                and (exists (select 1 from record r join version v on v.id = r.added_id
                              where r.owner_id = o.id and r.rrtype in (1, 28) and r.baseline = 0 and v.observed_at > ?3)
                  or exists (select 1 from month cross join past_record p on p.bucket = month.bucket where p.owner_id = o.id and p.rrtype in (1, 28)))
              order by (select count(*) from month cross join past_record p on p.bucket = month.bucket where p.owner_id = o.id) desc, o.name limit ?6"
        );
        let names = self.run(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(
                params![zone.0, key, since.unix(), first, last, limit as i64],
                |row| row.get::<_, String>(0),
            )?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let entity = |key: String| {
            let owner = Name::from_relative_key(&key, apex)
                .map_err(|fault| self.damaged(fault.to_string()))?;
            Ok(EntityKey {
                zone,
                apex: apex.clone(),
                owner,
            })
        };
        names.into_iter().map(entity).collect()
    }

    /// Returns the records of an RRset as they were at the end of a version, and whether it has changed
    /// since; `None` for an RRset that history has never known. Sorted; may be empty.
    ///
    /// Versions of one second are in the order of their rows; `version_id` is `None` for one that is yet
    /// to be written, which comes after them.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn rrset_at(
        &self,
        key: &EntityKey,
        rtype: RecordType,
        at: Timestamp,
        version_id: Option<i64>,
    ) -> Result<Option<(Vec<Rdata>, bool)>, StoreError> {
        let stays = self
            .window(key, Timestamp::from_unix(i64::MIN))?
            .into_iter();
        let stays: Vec<Interval> = stays.filter(|stay| stay.value.rtype() == rtype).collect();
        let moment = (at, version_id.unwrap_or(i64::MAX));
        let is_by_then = |end: &Moment| (end.at, end.version_id) <= moment;
        let ends = stays
            .iter()
            .flat_map(|stay| [Some(stay.added), stay.removed])
            .flatten();
        let has_changed_since = ends.into_iter().any(|end| !is_by_then(&end));
        let there = |stay: &&Interval| {
            is_by_then(&stay.added) && !stay.removed.is_some_and(|removed| is_by_then(&removed))
        };
        let mut rdata: Vec<Rdata> = stays
            .iter()
            .filter(there)
            .map(|stay| stay.value.clone())
            .collect();
        rdata.sort();
        Ok((!stays.is_empty()).then_some((rdata, has_changed_since)))
    }

    /// Returns the times of an owner's new registrations up to `until`, in order. The first that a feed
    /// told of is none: it says when the domain was registered, not that it was registered anew.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn registered_anew(
        &self,
        key: &EntityKey,
        until: Timestamp,
    ) -> Result<Vec<Timestamp>, StoreError> {
        let Some(owner_id) = self.find_owner(key.zone, &key.apex, &key.owner)? else {
            return Ok(Vec::new());
        };
        let times = self.run(|connection| {
            let sql =
                "select v.observed_at from registration r join version v on v.id = r.version_id
                       where r.owner_id = ? and v.observed_at <= ? order by v.observed_at, v.id";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![owner_id, until.unix()], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<Vec<i64>>>()
        })?;
        let later = times.get(1..).unwrap_or_default();
        Ok(later.iter().map(|at| Timestamp::from_unix(*at)).collect())
    }

    /// Returns the rows of a name server, or of every name server at or below an operator's domain.
    pub(super) fn hosts_of(
        &self,
        host: &Name,
        whole_operator: bool,
    ) -> Result<Vec<i64>, StoreError> {
        let key = host
            .relative_key(&Name::root())
            .expect("every name is below the root");
        let below = " union all select id from host where name >= ?1 || '.' and name < ?1 || '/'";
        let sql = format!(
            "select id from host where name = ?1{}",
            if whole_operator { below } else { "" }
        );
        self.run(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([key], |row| row.get(0))?;
            rows.collect()
        })
    }
}

/// Reads an interval; its data is read by the caller.
fn read_interval(row: &Row<'_>) -> rusqlite::Result<(u16, Value, Stay<()>)> {
    let moment = |at: usize| -> rusqlite::Result<Option<Moment>> {
        let Some(version_id) = row.get::<_, Option<i64>>(at)? else {
            return Ok(None);
        };
        Ok(Some(Moment {
            version_id,
            at: Timestamp::from_unix(row.get(at + 1)?),
            serial: row.get::<_, Option<u32>>(at + 2)?.map(Serial),
            bulk: row.get(at + 3)?,
            drift: row.get(at + 4)?,
            shared_count: row.get(at + 5)?,
        }))
    };
    let added = moment(3)?.expect("every record has the version that added it");
    Ok((
        row.get(0)?,
        row.get(1)?,
        Stay {
            value: (),
            added,
            removed: moment(9)?,
            baseline: row.get(2)?,
        },
    ))
}

/// Joins overlapping stays of one value into one that lasts as long as any of them.
fn merge_stays(mut stays: Vec<Stay<IpAddr>>) -> Vec<Stay<IpAddr>> {
    stays.sort_by_key(|stay| (stay.added.at, stay.added.version_id));
    let mut merged: Vec<Stay<IpAddr>> = Vec::new();
    for stay in stays {
        match merged.last_mut() {
            Some(last)
                if last
                    .removed
                    .is_none_or(|removed| removed.at > stay.added.at) =>
            {
                last.removed = match (last.removed, stay.removed) {
                    (Some(one), Some(other)) => Some(if one.at >= other.at { one } else { other }),
                    _ => None,
                };
            }
            _ => merged.push(stay),
        }
    }
    merged
}
