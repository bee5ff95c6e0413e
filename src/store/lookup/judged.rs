//! Which versions are to be judged, which owners they changed, and which of them accuse nobody.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::dns::Name;
use crate::store::door::{Row, Value, params};
use crate::store::error::StoreError;
use crate::store::keys::{EntityKey, View, ZoneId};
use crate::store::lookup::Lookup;
use crate::store::sqlite::dialect::IN_ORDER;
use crate::store::zones::watched::ZoneState;
use crate::time::Timestamp;

/// A version that is stored and not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingVersion {
    /// Its zone.
    pub apex: Name,
    /// Who tells of the zone.
    pub view: View,
    /// Its row.
    pub version_id: i64,
    /// Its time.
    pub at: Timestamp,
}

/// What changed of an owner in a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerChanges {
    /// The owner.
    pub key: EntityKey,
    /// Whether NS records changed.
    pub nameservers: bool,
    /// Whether addresses changed.
    pub addresses: bool,
    /// Whether other records changed: an alias, or what signs a delegation.
    pub others: bool,
}

/// How many owners' names are read with one statement.
const NAMES_AT_ONCE: usize = 10_000;
/// How many versions are looked through for those of a zone that are to be judged. Chosen by hand.
const NEW_VERSIONS_MAX: i64 = 1000;

/// Returns the statement that lists what waits to be judged, zone by zone: a planner that begins with the versions, since
/// their index has the order of the turns, reads those of all the years.
fn oldest_to_judge() -> String {
    format!(
        "select name, view, id, observed_at
           from (select z.name, z.view, v.id, v.observed_at,
                        max(v.observed_at) over (partition by v.zone_id order by v.id) as turn
                   from zone z {IN_ORDER} source s on s.id = z.source_id
                        {IN_ORDER} version v on v.zone_id = z.id and v.id > z.detected_version_id
                  where z.version_id > z.detected_version_id and z.view <> 'passive'
                        and s.kind <> 'import') found
          order by turn, id limit ?"
    )
}

/// A version that is to be judged.
#[derive(Debug)]
pub struct VersionToJudge {
    version_id: i64,
    /// Whether it changed too much to accuse anybody, or is drift.
    pub is_bulk: bool,
    /// The packed list of the owners that changed; `None` where there is none, or it is read only if it is asked for.
    octets: Option<Vec<u8>>,
}

impl Lookup<'_> {
    /// Returns whom a version touched, as far as its own row and the list of its owners say. The list of one that changed
    /// too much is not read: it may be that of a whole zone, and most of them accuse nobody.
    pub fn version_to_judge(&self, version_id: i64) -> Result<VersionToJudge, StoreError> {
        let (is_bulk, octets): (bool, Option<Vec<u8>>) = self.store.run(|db| {
            let sql = "select v.bulk = 1 or v.drift = 1 as is_bulk, c.octets
                         from version v
                              left join change c
                                on c.version_id = v.id and v.bulk = 0 and v.drift = 0
                        where v.id = ?";
            db.query_one(sql, [version_id], |row| {
                Ok((row.get("is_bulk")?, row.get("octets")?))
            })
        })?;
        Ok(VersionToJudge {
            version_id,
            is_bulk,
            octets,
        })
    }

    /// Returns the owners that changed in a version, in order of their rows.
    pub fn counts(
        &self,
        zone: &ZoneState,
        version: VersionToJudge,
    ) -> Result<Vec<OwnerChanges>, StoreError> {
        let ledger = self.store.ledger();
        let mut changed = match version.is_bulk {
            true => ledger.changes_of(version.version_id)?,
            false => ledger.unpack_changes(version.version_id, version.octets)?,
        };
        changed.retain(|(_, counts)| !counts.is_zero());
        let mut changes = Vec::with_capacity(changed.len());
        for part in changed.chunks(NAMES_AT_ONCE) {
            let ids: Vec<i64> = part.iter().map(|(id, _)| *id).collect();
            let mut names = ledger.owner_names(&ids, &zone.apex)?;
            let kept = names.iter().map(|(id, name)| (*id, name));
            ledger.keep_ids(zone.id, kept, &zone.apex);
            for (id, counts) in part {
                let owner = names.remove(id);
                let lost = || self.store.damaged(format!("no owner {id}"));
                changes.push(OwnerChanges {
                    key: EntityKey {
                        zone: zone.id,
                        apex: zone.apex.clone(),
                        owner: owner.ok_or_else(lost)?,
                    },
                    nameservers: counts.ns != [0; 2],
                    addresses: counts.address != [0; 2],
                    others: counts.other != 0,
                });
            }
        }
        Ok(changes)
    }

    /// Returns the versions of a zone that the detector has not judged yet, oldest first: row and time.
    pub fn versions_to_judge(&self, zone: &ZoneState) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        let noted = self.store.judged.borrow().get(&zone.id).copied();
        let judged = zone.detected_version_id;
        let after = noted.map_or(judged, |noted| noted.max(judged));
        self.versions_among(zone.id, after, zone.newest_of_all)
    }

    /// Returns the versions of a zone after `after`, oldest first: row and time.
    pub fn versions_after(
        &self,
        zone: ZoneId,
        after: i64,
    ) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        let newest: Option<i64> = self
            .store
            .run(|db| db.value("select max(id) from version", ()))?;
        self.versions_among(zone, after, newest.unwrap_or(0))
    }

    /// [`Lookup::versions_after`] where the newest version of any zone is about this.
    fn versions_among(
        &self,
        zone: ZoneId,
        after: i64,
        newest: i64,
    ) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        // By their numbers where few versions came after, of whatever zone; else by the zone's index, which has
        // all of its versions.
        let zone_id = match newest - after <= NEW_VERSIONS_MAX {
            true => "+zone_id",
            false => "zone_id",
        };
        self.store.run(|db| {
            let sql = format!(
                "select id, observed_at from version where {zone_id} = ? and id > ? order by id"
            );
            db.query(&sql, params![zone, after], |row| {
                Ok((row.get("id")?, row.get("observed_at")?))
            })
        })
    }

    /// Returns versions that the detector has not judged, of whatever zone, in the order in which they are to be
    /// judged, `limit` at most: by time, and never one before another that was stored before it in its zone. Leaves out
    /// what was imported, and what passive DNS tells, which nobody judges.
    ///
    /// Looks at every zone's row, and by `version_by_zone` at the versions of those that wait.
    pub fn oldest_to_judge(&self, limit: usize) -> Result<Vec<WaitingVersion>, StoreError> {
        let rows: Vec<(String, String, i64, i64)> = self.store.run(|db| {
            let mut statement = db.prepare(&oldest_to_judge())?;
            let read = |row: &Row<'_>| {
                Ok((
                    row.get("name")?,
                    row.get("view")?,
                    row.get("id")?,
                    row.get("observed_at")?,
                ))
            };
            statement.query([limit as i64], read)
        })?;
        let read = |(name, view, version_id, at): (String, String, i64, i64)| {
            let view = View::parse(&view)
                .ok_or_else(|| self.store.damaged(format!("view {view:?} of zone {name}")))?;
            Ok(WaitingVersion {
                apex: self.store.read_name(&name)?,
                view,
                version_id,
                at: Timestamp::from_unix(at),
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Returns the versions of all zones after a time, zone by zone, the newest `limit` of them. Leaves out what passive DNS
    /// tells.
    pub fn versions_since(
        &self,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<WaitingVersion>, StoreError> {
        let rows: Vec<(String, String, i64, Timestamp)> = self.store.run(|db| {
            let sql = format!(
                "select z.name, z.view, v.id, v.observed_at
                   from zone z {IN_ORDER} version v on v.zone_id = z.id and v.observed_at > ?1
                  where z.view <> 'passive'
                  order by v.observed_at desc, v.id desc limit ?2"
            );
            db.query(&sql, params![since, limit as i64], |row| {
                Ok((
                    row.get("name")?,
                    row.get("view")?,
                    row.get("id")?,
                    row.get("observed_at")?,
                ))
            })
        })?;
        let read = |(name, view, version_id, at): (String, String, i64, Timestamp)| {
            let view = View::parse(&view)
                .ok_or_else(|| self.store.damaged(format!("view {view:?} of zone {name}")))?;
            Ok(WaitingVersion {
                apex: self.store.read_name(&name)?,
                view,
                version_id,
                at,
            })
        };
        let found: Result<Vec<WaitingVersion>, StoreError> = rows.into_iter().map(read).collect();
        let mut found = found?;
        found.sort_by(|one, other| {
            let key = |it: &WaitingVersion| (it.view.word(), it.version_id);
            (&one.apex, key(one)).cmp(&(&other.apex, key(other)))
        });
        Ok(found)
    }

    /// Returns addresses that stand in the zones now, found among so many records.
    pub fn sample_addresses(&self, records_max: usize) -> Result<BTreeSet<IpAddr>, StoreError> {
        let rows: Vec<(u16, Value)> = self.store.run(|db| {
            let sql = "select rrtype, rdata
                         from (select rrtype, rdata from record limit ?) found
                        where rrtype in (1, 28)";
            db.query(sql, [records_max as i64], |row| {
                Ok((row.get("rrtype")?, row.get("rdata")?))
            })
        })?;
        let mut addresses = BTreeSet::new();
        for (code, value) in rows {
            addresses.extend(self.store.ledger().read_rdata(code, &value)?.address());
        }
        Ok(addresses)
    }

    /// Returns whether a zone has one version and no more.
    pub fn has_one_version(&self, zone: ZoneId) -> Result<bool, StoreError> {
        self.store.run(|db| {
            let sql =
                "select count(*) = 1 from (select 1 from version where zone_id = ? limit 2) found";
            db.value(sql, [zone.0])
        })
    }

    /// Returns how many versions of a zone after `since` and up to `until` are mass changes.
    pub fn bulk_count(
        &self,
        zone: ZoneId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<u32, StoreError> {
        self.store.run(|db| {
            let sql = "select count(*)
                         from version
                        where zone_id = ? and observed_at > ? and observed_at <= ? and bulk = 1";
            let bounds = params![zone, since, until];
            db.value(sql, bounds)
        })
    }

    /// Returns how many versions of a zone since a time are drift. Relies on `version_drift`.
    pub fn drift_count(&self, zone: ZoneId, since: Timestamp) -> Result<u32, StoreError> {
        self.store.run(|db| {
            let sql =
                "select count(*) from version where zone_id = ? and observed_at > ? and drift = 1";
            db.value(sql, params![zone, since])
        })
    }

    /// Notes that the detector has judged a version of which there is nothing else to write. The zone's row says so
    /// from the next transaction on: a transaction of its own would cost as much as that of the version. What is
    /// noted and not written when the process ends is judged once more, to the same end.
    pub fn note_judged(&self, zone: ZoneId, version_id: i64) {
        self.store.judged.borrow_mut().insert(zone, version_id);
    }

    /// Writes what was noted by [`Lookup::note_judged`].
    pub fn write_judged(&self) -> Result<(), StoreError> {
        if self.store.judged.borrow().is_empty() {
            return Ok(());
        }
        self.store.begin_batch()?.commit()
    }

    /// Forgets what was noted by [`Lookup::note_judged`] and is not written: it is judged once more.
    pub fn forget_judged(&self) {
        self.store.judged.borrow_mut().clear();
    }

    /// Writes what was noted, as part of a transaction.
    pub(in crate::store) fn write_noted(&self) -> Result<(), StoreError> {
        let noted = self.store.judged.borrow();
        noted
            .iter()
            .try_for_each(|(zone, version_id)| self.set_detected(*zone, *version_id))
    }

    /// Writes that the detector has judged a version.
    pub fn set_detected(&self, zone: ZoneId, version_id: i64) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                db.execute(
                    "update zone set detected_version_id = ?2 where id = ?1",
                    params![zone, version_id],
                )
            })
            .map(|_| ())
    }

    /// Returns the row of the first version of a zone that is of a time or later; `i64::MAX` if none is. Exact, however late
    /// versions arrived: no earlier row has this time or a later one.
    pub(in crate::store) fn first_version(
        &self,
        zone: ZoneId,
        since: Timestamp,
    ) -> Result<i64, StoreError> {
        if let Some(known) = self.seen_first_version(zone, since) {
            return Ok(known);
        }
        let first = self.store.zones().first_since(zone, since)?;
        let first = first.unwrap_or(i64::MAX);
        self.keep_first_version(zone, since, first);
        Ok(first)
    }

    /// Returns a row of before [`Lookup::first_version`], or that: no earlier row has this time or a later one. To find it
    /// takes all versions since, and so it is looked for once for each hour of these times.
    pub(in crate::store) fn no_version_before(
        &self,
        zone: ZoneId,
        since: Timestamp,
    ) -> Result<i64, StoreError> {
        let hour = since.start_of_hour();
        let known = self.store.kept.borrow().firsts.get(&(zone, hour)).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let Some(first) = self.store.zones().first_since(zone, hour)? else {
            return Ok(i64::MAX);
        };
        self.store.kept.borrow_mut().keep_first(zone, hour, first);
        Ok(first)
    }

    /// Returns when a zone was first seen.
    pub fn watched_since(&self, zone: ZoneId) -> Result<Option<Timestamp>, StoreError> {
        let (first, _) = self.store.zones().span_of(zone)?;
        Ok(first.map(Timestamp::from_unix))
    }
}

#[cfg(test)]
mod tests {
    use crate::dns::Rdata;
    use crate::store::handle::{Store, StoreOptions};
    use crate::store::lookup::sieve::tests::{HOUR, START, name, tell};

    use super::*;

    #[test]
    fn group_is_read_within_it_and_leaves_no_trace_when_it_is_dropped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions {
            reverse_index: true,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("made");
        let address = |octet: u8| [Rdata::A([192, 0, 2, octet].into())];
        tell(&store, START, "bad.example", &address(0));
        let zone = || {
            let zone = store.zones().find_zone(&name("example"));
            zone.expect("read").expect("there")
        };
        let waiting = || store.lookup().versions_to_judge(&zone()).expect("read");
        let before = waiting();
        for is_kept in [false, true] {
            let group = store.begin_group().expect("begun");
            for step in 1..4_u8 {
                let at = START + i64::from(step) * HOUR;
                tell(&store, at, "bad.example", &address(step));
                let reading = store.begin_reading().expect("begun");
                let newest = waiting().last().expect("told").0;
                if step == 2 {
                    drop(reading);
                    let part = store.begin_batch().expect("begun");
                    let noted = store.lookup().set_detected(zone().id, newest);
                    noted.and_then(|()| part.commit()).expect("written");
                } else {
                    store.lookup().note_judged(zone().id, newest);
                }
                assert!(waiting().is_empty());
            }
            if is_kept {
                group.commit().expect("written");
                assert_eq!(Some(zone().detected_version_id), zone().version_id);
            } else {
                drop(group);
                assert_eq!(waiting(), before);
            }
        }
        assert!(waiting().is_empty());
    }

    #[test]
    fn newest_versions_since_a_time_are_kept_where_there_are_too_many() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions {
            reverse_index: true,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("made");
        for step in 0..4_u8 {
            let at = START + i64::from(step) * HOUR;
            tell(
                &store,
                at,
                "bad.example",
                &[Rdata::A([192, 0, 2, step].into())],
            );
        }
        let times = |limit| -> Vec<i64> {
            let since = Timestamp::from_unix(START);
            let found = store.lookup().versions_since(since, limit).expect("read");
            found
                .iter()
                .map(|it| (it.at.unix() - START) / HOUR)
                .collect()
        };
        assert_eq!(times(9), [1, 2, 3]);
        assert_eq!(times(2), [2, 3]);
    }

    #[test]
    fn list_of_a_mass_change_is_read_only_where_it_is_asked_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions {
            reverse_index: true,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("made");
        let address = |octet: u8| [Rdata::A([192, 0, 2, octet].into())];
        tell(&store, START, "bad.example", &address(0));
        tell(&store, START + HOUR, "bad.example", &address(1));
        let zone = store.zones().find_zone(&name("example"));
        let zone = zone.expect("read").expect("there");
        let newest = zone.version_id.expect("told");
        let sql = "update version set bulk = 1 where id = ?";
        store.run(|db| db.execute(sql, [newest])).expect("written");
        let version = store.lookup().version_to_judge(newest).expect("read");
        assert!(version.is_bulk && version.octets.is_none());
        let changes = store.lookup().counts(&zone, version).expect("read");
        assert_eq!(changes[0].key.owner, name("bad.example"));
    }

    #[test]
    fn look_for_what_waits_reads_no_versions_of_zones_that_do_not_wait() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions {
            reverse_index: true,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("made");
        let plan: Vec<String> = store
            .run(|db| {
                let sql = format!("explain query plan {}", oldest_to_judge());
                db.query(&sql, [1], |row| row.get("detail"))
            })
            .expect("planned");
        let versions: Vec<&String> = plan.iter().filter(|step| step.contains(" v ")).collect();
        assert!(
            versions.len() == 1 && versions[0].starts_with("SEARCH v "),
            "{plan:#?}"
        );
    }
}
