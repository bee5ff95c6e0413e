//! History as a stream of changes in the order of time, for engines that read all of it.

use crate::dns::{Name, Rdata, Serial};
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::keys::{View, ZoneId};
use crate::store::ledger::chain::VersionKey;
use crate::store::lookup::Lookup;
use crate::time::Timestamp;

/// How many versions are read in one state of the database.
const VERSIONS_AT_A_TIME: usize = 1000;
/// After so many rows the next version is read in another one.
const ROWS_AT_A_TIME: usize = 100_000;

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveKind {
    /// It was there when watching began.
    There,
    /// It came.
    Added,
    /// It went.
    Removed,
}

impl MoveKind {
    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

/// One record that a version added or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveRow<'a> {
    /// The version's time.
    pub at: Timestamp,
    /// The version's row: the same for all that changed at once.
    pub version: i64,
    /// The zone.
    pub zone: &'a Name,
    /// Who said so.
    pub view: View,
    /// The owner.
    pub owner: &'a Name,
    /// The data.
    pub rdata: &'a Rdata,
    /// Seconds, as last seen.
    pub ttl: u32,
    /// What happened.
    pub kind: MoveKind,
    /// The version's serial.
    pub serial: Option<Serial>,
    /// The version's source.
    pub source: &'a str,
    /// Whether so much of the zone changed at once that nobody is accused for it.
    pub bulk: bool,
    /// Whether it is no change of the zone: it was found when the whole zone differed from the state to which its steps had led.
    pub drift: bool,
}

/// What is exported.
#[derive(Debug, Clone, Default)]
pub struct ExportRange {
    /// Of these zones; empty for all.
    pub zones: Vec<Name>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub before: Option<Timestamp>,
}

/// A version to be read.
struct Version {
    key: VersionKey,
    zone: ZoneId,
    apex: Name,
    view: View,
    usual_ttl: u32,
    bulk: bool,
    drift: bool,
    source: String,
}

impl Lookup<'_> {
    /// Calls `each` with every record that was added or removed, in the order of time, then of versions,
    /// then of owners' rows. What was imported from passive DNS is none.
    ///
    /// Some versions at a time are read in one state of the database, so that a poller beside it is not
    /// held up and the write-ahead log can be moved in between. Memory grows by 16 octets a version, and by one first version's name at a time.
    ///
    /// # Errors
    ///
    /// [`StoreError`], or whatever `each` returns.
    pub fn export_moves<E: From<StoreError>>(
        &self,
        range: &ExportRange,
        mut each: impl FnMut(&MoveRow<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let versions = self.versions_in(range)?;
        let mut left = versions.iter().peekable();
        while left.peek().is_some() {
            let _reading = self.store.begin_reading()?;
            let mut rows_count = 0;
            for (_, id) in left.by_ref().take(VERSIONS_AT_A_TIME) {
                let version = self.version_to_export(*id)?;
                self.export_version(&version, &mut |row| {
                    rows_count += 1;
                    each(row)
                })?;
                if rows_count >= ROWS_AT_A_TIME {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Returns the versions of a range in the order of time.
    fn versions_in(&self, range: &ExportRange) -> Result<Vec<(i64, i64)>, StoreError> {
        let since = range.since.map_or(i64::MIN, Timestamp::unix);
        let before = range.before.map_or(i64::MAX, Timestamp::unix);
        let mut versions: Vec<(i64, i64)> = Vec::new();
        let mut add = |sql: &str, zone: i64| -> Result<(), StoreError> {
            self.store.run(|db| {
                let mut statement = db.prepare(sql)?;
                let mut rows = statement.scan(params![since, before, zone])?;
                while let Some(row) = rows.next()? {
                    versions.push((row.get("observed_at")?, row.get("id")?));
                }
                Ok(())
            })
        };
        if range.zones.is_empty() {
            add(
                "select observed_at, id
                   from version
                  where observed_at >= ?1 and observed_at < ?2 and kind <> 'passive' and ?3 = 0",
                0,
            )?;
        }
        for zone in &range.zones {
            for enclosing in self.store.zones().zones_enclosing(zone)? {
                if enclosing.apex == *zone && enclosing.view != View::Passive {
                    add(
                        "select observed_at, id
                           from version
                          where zone_id = ?3 and observed_at >= ?1 and observed_at < ?2",
                        enclosing.id.0,
                    )?;
                }
            }
        }
        versions.sort_unstable();
        Ok(versions)
    }

    /// Returns what a version's rows have in common.
    fn version_to_export(&self, id: i64) -> Result<Version, StoreError> {
        let (zone, apex, view, usual_ttl, bulk, drift, source): (
            i64,
            String,
            String,
            Option<u32>,
            bool,
            bool,
            String,
        ) = self.store.run(|db| {
            let sql = "select z.id, z.name as zone_name, z.view, z.usual_ttl, v.bulk, v.drift,
                              s.name as source_name
                         from version v join zone z on z.id = v.zone_id
                              join source s on s.id = v.source_id
                        where v.id = ?";
            db.query_one(sql, [id], |row| {
                Ok((
                    row.get("id")?,
                    row.get("zone_name")?,
                    row.get("view")?,
                    row.get("usual_ttl")?,
                    row.get("bulk")?,
                    row.get("drift")?,
                    row.get("source_name")?,
                ))
            })
        })?;
        Ok(Version {
            key: self.store.ledger().version_key(id)?,
            zone: ZoneId(zone),
            view: View::parse(&view)
                .ok_or_else(|| self.store.damaged(format!("view {view:?} of zone {apex}")))?,
            apex: self.store.read_name(&apex)?,
            usual_ttl: usual_ttl.unwrap_or(0),
            bulk,
            drift,
            source,
        })
    }

    /// Calls `each` with what a version did.
    fn export_version<E: From<StoreError>>(
        &self,
        version: &Version,
        each: &mut impl FnMut(&MoveRow<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let months = self
            .store
            .zones()
            .buckets_since(version.zone, Some(version.key.at))?;
        // What `each` says goes through the store's own errors.
        let mut failure = None;
        let mut tell = |owner_id: i64, owner: &Name| -> Result<bool, StoreError> {
            for moved in self
                .store
                .ledger()
                .moves_of(&months, owner_id, version.key.id)?
            {
                let added = if moved.baseline {
                    MoveKind::There
                } else {
                    MoveKind::Added
                };
                let kinds = [
                    moved.is_added.then_some(added),
                    moved.is_removed.then_some(MoveKind::Removed),
                ];
                for kind in kinds.into_iter().flatten() {
                    let row = MoveRow {
                        at: version.key.at,
                        version: version.key.id,
                        zone: &version.apex,
                        view: version.view,
                        owner,
                        rdata: &moved.rdata,
                        ttl: moved.ttl.unwrap_or(version.usual_ttl),
                        kind,
                        serial: version.key.serial,
                        source: &version.source,
                        bulk: version.bulk,
                        drift: version.drift,
                    };
                    if let Err(error) = each(&row) {
                        failure = Some(error);
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        };
        if version.key.is_baseline {
            // A first version lists no owners: they are the zone's.
            let mut goes_on = true;
            self.store
                .ledger()
                .each_owner(version.zone, &version.apex, |owner_id, owner| {
                    if goes_on {
                        goes_on = tell(owner_id, owner)?;
                    }
                    Ok(())
                })?;
        } else {
            for (owner_id, _) in self.store.ledger().changes_of(version.key.id)? {
                if !tell(
                    owner_id,
                    &self.store.ledger().owner_name(owner_id, &version.apex)?,
                )? {
                    break;
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }
}
