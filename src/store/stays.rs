//! The intervals of one owner, as lookups read them.
//!
//! A name's records share few versions, sources and name servers: each is read once for a lookup, instead of
//! being joined to every record.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params};

use crate::dns::{Name, Rdata, RecordType, Serial};
use crate::store::history::Wanted;
use crate::store::zones::ZoneId;
use crate::store::{Store, StoreError};
use crate::time::Timestamp;

/// Open intervals of one owner.
const OPEN: &str = "
    select r.rrtype, r.rdata, r.ttl, r.baseline, r.added_id, null, h.name
      from record r left join host h on r.rrtype = 2 and h.id = r.rdata where r.owner_id = ?1";
/// Closed intervals of one owner in one month.
const CLOSED: &str = "
    select p.rrtype, p.rdata, p.ttl, p.baseline, p.added_id, p.removed_id, h.name
      from past_record p left join host h on p.rrtype = 2 and h.id = p.rdata where p.bucket = ?2 and p.owner_id = ?1";

/// A version, as an interval's end names it.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub version_id: i64,
    pub at: Timestamp,
    pub serial: Option<Serial>,
    pub bulk: bool,
}

/// A record's interval.
pub(super) struct Stay {
    pub rdata: Rdata,
    pub ttl: u32,
    pub added: End,
    pub removed: Option<End>,
    /// When the zone was last looked at while the record was there.
    pub looked_at: Option<Timestamp>,
    /// The source of the version that added it.
    pub source: String,
    pub baseline: bool,
}

/// A version, as far as lookups tell of it.
#[derive(Clone)]
struct VersionRow {
    end: End,
    source_id: i64,
    previous_id: Option<i64>,
}

/// The versions that a lookup has met.
struct Versions<'a> {
    store: &'a Store,
    rows: HashMap<i64, VersionRow>,
    sources: HashMap<i64, String>,
}

impl Versions<'_> {
    /// Returns a version's row.
    fn row(&mut self, id: i64) -> Result<&VersionRow, StoreError> {
        if !self.rows.contains_key(&id) {
            let row = self.store.run(|connection| {
                let sql = "select observed_at, serial, bulk, source_id, previous_id from version where id = ?";
                let read = |row: &Row<'_>| {
                    Ok(VersionRow {
                        end: End {
                            version_id: id,
                            at: Timestamp::from_unix(row.get(0)?),
                            serial: row.get::<_, Option<u32>>(1)?.map(Serial),
                            bulk: row.get(2)?,
                        },
                        source_id: row.get(3)?,
                        previous_id: row.get(4)?,
                    })
                };
                connection.prepare_cached(sql)?.query_row([id], read).optional()
            })?;
            let row = row.ok_or_else(|| {
                self.store.damaged(format!(
                    "a record refers to version {id}, which is not there"
                ))
            })?;
            self.rows.insert(id, row);
        }
        Ok(&self.rows[&id])
    }

    /// Returns the time of the version before another, if that is known.
    fn time_before(&mut self, id: i64) -> Result<Option<Timestamp>, StoreError> {
        match self.row(id)?.previous_id {
            Some(previous) => Ok(Some(self.row(previous)?.end.at)),
            None => Ok(None),
        }
    }

    /// Returns the name of a source.
    fn source(&mut self, id: i64) -> Result<String, StoreError> {
        if let Some(name) = self.sources.get(&id) {
            return Ok(name.clone());
        }
        let name: String = self.store.run(|connection| {
            connection
                .prepare_cached("select name from source where id = ?")?
                .query_row([id], |row| row.get(0))
        })?;
        self.sources.insert(id, name.clone());
        Ok(name)
    }
}

/// An interval as it is stored.
struct RawStay {
    code: u16,
    value: Value,
    ttl: Option<u32>,
    baseline: bool,
    added_id: i64,
    removed_id: Option<i64>,
    host: Option<String>,
}

impl RawStay {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            code: row.get(0)?,
            value: row.get(1)?,
            ttl: row.get(2)?,
            baseline: row.get(3)?,
            added_id: row.get(4)?,
            removed_id: row.get(5)?,
            host: row.get(6)?,
        })
    }
}

impl Store {
    /// Returns the wanted intervals of an owner.
    pub(super) fn stays(
        &self,
        owner_id: i64,
        zone: ZoneId,
        wanted: &Wanted,
    ) -> Result<Vec<Stay>, StoreError> {
        let mut stays = Vec::new();
        let mut versions = Versions {
            store: self,
            rows: HashMap::new(),
            sources: HashMap::new(),
        };
        let (usual_ttl, newest_id): (Option<u32>, Option<i64>) = self.run(|connection| {
            connection
                .prepare_cached("select usual_ttl, version_id from zone where id = ?")?
                .query_row([zone.0], |row| Ok((row.get(0)?, row.get(1)?)))
        })?;
        for bucket in self.buckets_since(zone, wanted.since)? {
            let rows = self.run(|connection| {
                let mut statement =
                    connection.prepare_cached(if bucket == 0 { OPEN } else { CLOSED })?;
                let rows = match bucket {
                    0 => statement.query_map([owner_id], RawStay::read)?,
                    _ => statement.query_map(params![owner_id, bucket], RawStay::read)?,
                };
                rows.collect::<rusqlite::Result<Vec<_>>>()
            })?;
            for row in rows {
                if RecordType::from_code(row.code).is_some_and(|rtype| !wanted.has_type(rtype)) {
                    continue;
                }
                let added = versions.row(row.added_id)?.clone();
                let (removed, looked_at) = match row.removed_id {
                    Some(id) => (
                        Some(versions.row(id)?.end.clone()),
                        versions.time_before(id)?,
                    ),
                    None => (
                        None,
                        newest_id
                            .map(|id| versions.row(id).map(|row| row.end.at))
                            .transpose()?,
                    ),
                };
                if !wanted.has_stay(added.end.at, removed.as_ref().map(|end| end.at)) {
                    continue;
                }
                let rdata = match row.host {
                    Some(key) => {
                        let host = Name::from_relative_key(&key, &Name::root());
                        Rdata::Ns(host.map_err(|fault| self.damaged(fault.to_string()))?)
                    }
                    None => self.read_rdata(row.code, &row.value)?,
                };
                stays.push(Stay {
                    rdata,
                    ttl: row.ttl.or(usual_ttl).unwrap_or_default(),
                    added: added.end,
                    removed,
                    looked_at,
                    source: versions.source(added.source_id)?,
                    baseline: row.baseline,
                });
            }
        }
        Ok(stays)
    }
}
