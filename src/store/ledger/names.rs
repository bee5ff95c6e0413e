//! Between rows and values: RDATA, owners, hosts.

use crate::dns::{Name, Rdata, RecordType, operator_domain};
use crate::store::caches::HostRow;
use crate::store::door::{Numbers, Value, params};
use crate::store::error::StoreError;
use crate::store::keys::ZoneId;
use crate::store::ledger::Ledger;
use crate::store::ledger::tally::HostKey;
use crate::store::sqlite::dialect::{IN_ORDER, rows_of};

/// The most rows of name servers that are kept in memory.
const HOSTS_CACHED_MAX: usize = 200_000;

impl Ledger<'_> {
    /// Returns the row of a name server's name, made if it is not there.
    pub(in crate::store) fn host_id(&self, name: &Name) -> Result<i64, StoreError> {
        self.host_id_of_wire(name.as_wire())
    }

    /// [`Ledger::host_id`] of a canonical wire name.
    pub(in crate::store) fn host_id_of_wire(&self, wire: &[u8]) -> Result<i64, StoreError> {
        if let Some(known) = self.store.host_rows.borrow().get(wire) {
            return Ok(known.id);
        }
        let name = &Name::from_wire(wire).map_err(|fault| self.store.damaged(fault.to_string()))?;
        if let Some(found) = self.find_host_row(name)? {
            return Ok(found.id);
        }
        let id = self
            .store
            .run(|db| db.insert("insert into host (name) values (?)", [host_text(name)]))?;
        self.know_host(wire, id, None);
        Ok(id)
    }

    /// Returns the rows of a name server's name and of its operator's domain, made if they are not there.
    pub(in crate::store) fn host_key_of_wire(&self, wire: &[u8]) -> Result<HostKey, StoreError> {
        let known = self.store.host_rows.borrow().get(wire).copied();
        if let Some((id, operator_id)) =
            known.and_then(|row| row.operator_id.map(|it| (row.id, it)))
        {
            return Ok(HostKey { id, operator_id });
        }
        let name = &Name::from_wire(wire).map_err(|fault| self.store.damaged(fault.to_string()))?;
        let id = self.host_id(name)?;
        let operator_id = match self.find_host_row(name)?.and_then(|row| row.operator_id) {
            Some(told) => told,
            None => {
                let operator_id = self.host_id(&operator_domain(name))?;
                self.store.run(|db| {
                    db.execute(
                        "update host set operator_id = ? where id = ?",
                        [operator_id, id],
                    )
                })?;
                self.know_host(wire, id, Some(operator_id));
                operator_id
            }
        };
        Ok(HostKey { id, operator_id })
    }

    /// Returns the row of a name server's name and its operator's, if history knows them.
    pub(in crate::store) fn find_host_row(
        &self,
        name: &Name,
    ) -> Result<Option<HostRow>, StoreError> {
        if let Some(known) = self.store.host_rows.borrow().get(name.as_wire()) {
            return Ok(Some(*known));
        }
        let found = self.store.run(|db| {
            db.query_first(
                "select id, operator_id from host where name = ?",
                [host_text(name)],
                |row| {
                    Ok(HostRow {
                        id: row.get("id")?,
                        operator_id: row.get("operator_id")?,
                    })
                },
            )
        })?;
        if let Some(row) = found {
            self.know_host(name.as_wire(), row.id, row.operator_id);
        }
        Ok(found)
    }

    /// Keeps the row of a name server in memory.
    fn know_host(&self, wire: &[u8], id: i64, operator_id: Option<i64>) {
        let mut known = self.store.host_rows.borrow_mut();
        if known.len() >= HOSTS_CACHED_MAX {
            known.clear();
        }
        known.insert(wire.into(), HostRow { id, operator_id });
    }

    /// Returns the row of a name server's name, if history knows it.
    pub(in crate::store) fn find_host(&self, name: &Name) -> Result<Option<i64>, StoreError> {
        Ok(self.find_host_row(name)?.map(|row| row.id))
    }

    /// Returns the row of an owner, if history knows it.
    pub(in crate::store) fn find_owner(
        &self,
        zone: ZoneId,
        apex: &Name,
        owner: &Name,
    ) -> Result<Option<i64>, StoreError> {
        let Some(key) = owner.relative_key(apex) else {
            return Ok(None);
        };
        self.store.run(|db| {
            db.first_value(
                "select id from owner where zone_id = ? and name = ?",
                params![zone, key],
            )
        })
    }

    /// Returns the row of an owner, made if it is not there.
    pub(in crate::store) fn owner_id(
        &self,
        zone: ZoneId,
        apex: &Name,
        owner: &Name,
    ) -> Result<i64, StoreError> {
        if let Some(id) = self.find_owner(zone, apex, owner)? {
            return Ok(id);
        }
        let key = owner
            .relative_key(apex)
            .ok_or_else(|| self.store.damaged(format!("{owner} is not in zone {apex}")))?;
        self.make_owner(zone, &key)
    }

    /// Makes the row of an owner.
    pub(in crate::store) fn make_owner(&self, zone: ZoneId, key: &str) -> Result<i64, StoreError> {
        self.store.run(|db| {
            db.insert(
                "insert into owner (zone_id, name) values (?, ?)",
                params![zone, key],
            )
        })
    }

    /// Returns what RDATA is in a row.
    pub(in crate::store) fn rdata_value(&self, rdata: &Rdata) -> Result<Value, StoreError> {
        match rdata {
            Rdata::Ns(host) => Ok(Value::Integer(self.host_id(host)?)),
            other => Ok(Value::Octets(other.to_wire())),
        }
    }

    /// Returns the RDATA of a row.
    pub(in crate::store) fn read_rdata(
        &self,
        code: u16,
        value: &Value,
    ) -> Result<Rdata, StoreError> {
        let rtype = RecordType::from_code(code)
            .ok_or_else(|| self.store.damaged(format!("record type {code}")))?;
        match value {
            Value::Integer(host) => Ok(Rdata::Ns(self.host_name(*host)?)),
            Value::Octets(octets) => Rdata::from_wire(rtype, octets)
                .map_err(|fault| self.store.damaged(fault.to_string())),
            _ => Err(self
                .store
                .damaged(format!("{rtype} RDATA that is neither a number nor octets"))),
        }
    }

    /// Returns the name of a name server.
    pub(in crate::store) fn host_name(&self, id: i64) -> Result<Name, StoreError> {
        if let Some(name) = self.store.host_names.borrow().get(&id) {
            return Ok(name.clone());
        }
        let (key, operator_id): (String, Option<i64>) = self.store.run(|db| {
            db.query_one(
                "select name, operator_id from host where id = ?",
                [id],
                |row| Ok((row.get("name")?, row.get("operator_id")?)),
            )
        })?;
        let name = Name::from_relative_key(&key, &Name::root())
            .map_err(|fault| self.store.damaged(fault.to_string()))?;
        self.know_host(name.as_wire(), id, operator_id);
        let mut known = self.store.host_names.borrow_mut();
        if known.len() >= HOSTS_CACHED_MAX {
            known.clear();
        }
        known.insert(id, name.clone());
        Ok(name)
    }

    /// Reads the names of name servers of which many are soon asked for, unless they are known.
    pub(in crate::store) fn know_hosts(
        &self,
        ids: impl Iterator<Item = i64>,
    ) -> Result<(), StoreError> {
        let mut known = self.store.host_names.borrow_mut();
        let mut unknown: Vec<i64> = ids.filter(|id| !known.contains_key(id)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        if known.len() + unknown.len() > HOSTS_CACHED_MAX {
            known.clear();
            unknown.truncate(HOSTS_CACHED_MAX);
        }
        let rows: Vec<(i64, String)> = self.store.run(|db| {
            let sql = format!(
                "select h.id, h.name from {list} w {IN_ORDER} host h on h.id = w.value",
                list = rows_of("?1")
            );
            db.query(&sql, [Numbers(unknown)], |row| {
                Ok((row.get("id")?, row.get("name")?))
            })
        })?;
        for (id, key) in rows {
            let name = Name::from_relative_key(&key, &Name::root())
                .map_err(|fault| self.store.damaged(fault.to_string()))?;
            known.insert(id, name);
        }
        Ok(())
    }

    /// Returns the name of an owner.
    pub(in crate::store) fn owner_name(&self, id: i64, apex: &Name) -> Result<Name, StoreError> {
        let key: String = self
            .store
            .run(|db| db.value("select name from owner where id = ?", [id]))?;
        Name::from_relative_key(&key, apex).map_err(|fault| self.store.damaged(fault.to_string()))
    }
}

/// Returns a name server's name as it stands in its row.
fn host_text(name: &Name) -> String {
    name.relative_key(&Name::root())
        .expect("every name is below the root")
}
