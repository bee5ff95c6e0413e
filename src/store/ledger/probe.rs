//! What probes need: the records that are there, and how long one has been missing in answers.

use std::collections::{BTreeMap, BTreeSet};

use crate::dns::{Name, Rdata, Record};
use crate::store::door::{Value, params};
use crate::store::error::StoreError;
use crate::store::keys::ZoneId;
use crate::store::ledger::Ledger;
use crate::store::zones::attempts::{OF_VIEW, note_failed, note_seen};
use crate::store::zones::watched::ZoneState;
use crate::time::Timestamp;
use crate::zone::Refusal;

impl Ledger<'_> {
    /// Returns the records that are there now, by their owners, each in the order of types. For small
    /// zones: all of them are held.
    pub fn present_records(
        &self,
        zone: &ZoneState,
    ) -> Result<BTreeMap<Name, Vec<Record>>, StoreError> {
        let rows: Vec<(String, u16, Value, u32)> = self.store.run(|db| {
            let sql = "select o.name, r.rrtype, r.rdata, r.ttl
                         from owner o join record r on r.owner_id = o.id
                        where o.zone_id = ?
                        order by o.id, r.rrtype, r.rdata";
            db.query(sql, [zone.id.0], |row| {
                Ok((
                    row.get("name")?,
                    row.get("rrtype")?,
                    row.get("rdata")?,
                    row.get("ttl")?,
                ))
            })
        })?;
        let mut records: BTreeMap<Name, Vec<Record>> = BTreeMap::new();
        for (key, code, value, ttl) in rows {
            let rdata = self.read_rdata(code, &value)?;
            let owner = self.read_owner(&key, zone)?;
            records
                .entry(owner)
                .or_default()
                .push(Record { rdata, ttl });
        }
        Ok(records)
    }

    /// Returns the records of a zone that the last answers lacked.
    pub fn missing_records(&self, zone: &ZoneState) -> Result<BTreeSet<(Name, Rdata)>, StoreError> {
        let rows: Vec<(String, u16, Value)> = self.store.run(|db| {
            let sql = "select o.name, a.rrtype, a.rdata
                         from owner o join probe_absence a on a.owner_id = o.id
                        where o.zone_id = ?";
            db.query(sql, [zone.id.0], |row| {
                Ok((row.get("name")?, row.get("rrtype")?, row.get("rdata")?))
            })
        })?;
        let read = |(key, code, value): (String, u16, Value)| {
            Ok((self.read_owner(&key, zone)?, self.read_rdata(code, &value)?))
        };
        rows.into_iter().map(read).collect()
    }

    /// Returns the owner that a key of a zone stands for.
    fn read_owner(&self, key: &str, zone: &ZoneState) -> Result<Name, StoreError> {
        Name::from_relative_key(key, &zone.apex)
            .map_err(|fault| self.store.damaged(fault.to_string()))
    }

    /// Notes that a record is not missing any more.
    pub fn forget_missing(
        &self,
        zone: &ZoneState,
        owner: &Name,
        rdata: &Rdata,
    ) -> Result<(), StoreError> {
        let owner_id = self.owner_id(zone.id, &zone.apex, owner)?;
        let value = self.rdata_value(rdata)?;
        self.store.run(|db| {
            db.execute(
                "delete from probe_absence where owner_id = ? and rrtype = ? and rdata = ?",
                params![owner_id, rdata.rtype().code(), value],
            )
            .map(|_| ())
        })
    }

    /// Notes that an answer lacked a record. Returns since when, and in how many answers in a row.
    pub fn note_missing(
        &self,
        zone: &ZoneState,
        owner: &Name,
        rdata: &Rdata,
        now: Timestamp,
    ) -> Result<(Timestamp, u32), StoreError> {
        let owner_id = self.owner_id(zone.id, &zone.apex, owner)?;
        let value = self.rdata_value(rdata)?;
        self.store.run(|db| {
            let sql = "insert into probe_absence (owner_id, rrtype, rdata, since_at, miss_count)
                       values (?, ?, ?, ?, 1)
                       on conflict (owner_id, rrtype, rdata)
                         do update set miss_count = probe_absence.miss_count + 1
                       returning since_at, miss_count";
            let bound = params![owner_id, rdata.rtype().code(), value, now];
            db.write_returning_one(sql, bound, |row| {
                Ok((row.get("since_at")?, row.get("miss_count")?))
            })
        })
    }

    /// Notes how an attempt at a view ended: `None` is a success. A success after failures leaves a gap.
    pub fn note_view_attempt(
        &self,
        zone: ZoneId,
        at: Timestamp,
        refusal: Option<&Refusal>,
    ) -> Result<(), StoreError> {
        self.store.run(|db| match refusal {
            Some(refusal) => note_failed(db, OF_VIEW, &zone, at, refusal),
            None => note_seen(db, OF_VIEW, std::iter::once(zone), at),
        })
    }
}
