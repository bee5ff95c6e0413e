//! Between rows and values: RDATA, owners, hosts.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use crate::dns::{Name, Rdata, RecordType, operator_domain};
use crate::store::caches::HostRow;
use crate::store::door::{IntoValue, Numbers, Table, Texts, Value, ValueRef, params};
use crate::store::error::StoreError;
use crate::store::keys::ZoneId;
use crate::store::ledger::Ledger;
use crate::store::ledger::tally::HostKey;
use crate::store::sqlite::dialect::{IN_ORDER, rows_of, texts_of};

/// Rows of name servers.
pub(in crate::store) const HOSTS: Table = Table {
    name: "host",
    columns: &["id", "name", "operator_id"],
    on_conflict: "",
};

/// Asks for the names of some name servers.
static HOST_NAMES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select h.id, h.name, h.operator_id
           from {list} w {IN_ORDER} host h on h.id = w.value",
        list = rows_of("?1")
    )
});

/// Rows of owners.
const OWNERS: Table = Table {
    name: "owner",
    columns: &["id", "zone_id", "name"],
    on_conflict: "",
};

/// Name servers that are to get rows.
struct NewHosts {
    /// Those that are there and those that are made, by their keys.
    rows: HashMap<String, HostRow>,
    /// The keys of those that are made, in the order of their rows.
    made: Vec<String>,
    /// Those that were there without an operator, and get one: both rows.
    told: Vec<(i64, i64)>,
    /// The newest row of those that are there.
    there: i64,
    newest: i64,
}

impl NewHosts {
    /// Begins with the rows that are there, and the newest row of all.
    fn after(rows: HashMap<String, HostRow>, newest: i64) -> Self {
        Self {
            rows,
            made: Vec::new(),
            told: Vec::new(),
            there: newest,
            newest,
        }
    }

    /// Makes the row of a name server and, if one is named, that of its operator's domain.
    fn make(&mut self, name: &Name, operator: Option<&Name>) {
        let key = host_text(name);
        let known = self.rows.get(&key).copied();
        let row = known.unwrap_or_else(|| self.push(&key));
        let Some(operator) = operator.filter(|_| row.operator_id.is_none()) else {
            return;
        };
        let operator_key = host_text(operator);
        let operator_id = match self.rows.get(&operator_key) {
            Some(row) => row.id,
            None => self.push(&operator_key).id,
        };
        // A row that is made says its operator itself.
        if row.id <= self.there {
            self.told.push((row.id, operator_id));
        }
        self.rows
            .entry(key)
            .and_modify(|row| row.operator_id = Some(operator_id));
    }

    /// Makes a row.
    fn push(&mut self, key: &str) -> HostRow {
        self.newest += 1;
        let row = HostRow {
            id: self.newest,
            operator_id: None,
        };
        self.rows.insert(key.to_owned(), row);
        self.made.push(key.to_owned());
        row
    }
}

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

    /// Makes the rows of name servers, in the order in which they are named: of each its own, and with `true` its
    /// operator's domain. Those that are there are read with one statement, the others written with one.
    pub(in crate::store) fn make_hosts(&self, wanted: &[(&Name, bool)]) -> Result<(), StoreError> {
        let is_known = |(name, with_operator): &&(&Name, bool)| {
            let known = self.store.host_rows.borrow().get(name.as_wire()).copied();
            known.is_some_and(|row| !with_operator || row.operator_id.is_some())
        };
        let unknown: Vec<(&Name, Option<Name>)> = wanted
            .iter()
            .filter(|it| !is_known(it))
            .map(|(name, with_operator)| (*name, with_operator.then(|| operator_domain(name))))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let names = unknown.iter().map(|(name, _)| *name);
        let names = names.chain(unknown.iter().filter_map(|(_, operator)| operator.as_ref()));
        let there = self.host_rows_of(names.clone())?;
        // Where all are there, none gets a new number.
        let are_there = names
            .clone()
            .all(|name| there.contains_key(&host_text(name)));
        let newest = match there.values().map(|row| row.id).max() {
            Some(newest) if are_there => newest,
            _ => self.newest_host()?,
        };
        let mut new = NewHosts::after(there, newest);
        for (name, operator) in &unknown {
            new.make(name, operator.as_ref());
        }
        self.write_hosts(&new)?;
        for name in unknown
            .iter()
            .flat_map(|(name, operator)| [Some(*name), operator.as_ref()])
        {
            let Some(name) = name else { continue };
            let row = new.rows[&host_text(name)];
            self.know_host(name.as_wire(), row.id, row.operator_id);
        }
        Ok(())
    }

    /// Returns the number of the newest row of a name server.
    pub(in crate::store) fn newest_host(&self) -> Result<i64, StoreError> {
        self.store
            .run(|db| db.value("select coalesce(max(id), 0) from host", ()))
    }

    /// Returns the rows of name servers that are there, by their keys.
    fn host_rows_of<'n>(
        &self,
        names: impl Iterator<Item = &'n Name>,
    ) -> Result<HashMap<String, HostRow>, StoreError> {
        let mut keys: Vec<String> = names.map(host_text).collect();
        keys.sort_unstable();
        keys.dedup();
        self.host_rows_of_keys(keys)
    }

    /// Returns the rows of name servers that are there, by their keys.
    pub(in crate::store) fn host_rows_of_keys(
        &self,
        keys: Vec<String>,
    ) -> Result<HashMap<String, HostRow>, StoreError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.store.run(|db| {
            let sql = format!(
                "select h.name, h.id, h.operator_id
                   from {list} w {IN_ORDER} host h on h.name = w.value",
                list = texts_of("?")
            );
            db.query(&sql, [Texts(keys)], |row| {
                let (id, operator_id) = (row.get("id")?, row.get("operator_id")?);
                Ok((row.get("name")?, HostRow { id, operator_id }))
            })
        })?;
        Ok(rows.into_iter().collect())
    }

    /// Writes rows of name servers that are new, and operators of those that had none.
    fn write_hosts(&self, new: &NewHosts) -> Result<(), StoreError> {
        let operator_of = |key: &str| new.rows[key].operator_id;
        let operators: Vec<Option<i64>> = new.made.iter().map(|key| operator_of(key)).collect();
        let rows: Vec<ValueRef<'_>> = (new.made.iter().zip(&operators))
            .flat_map(|(key, operator)| {
                let id = ValueRef::Integer(new.rows[key].id);
                [id, ValueRef::Text(key), operator.to_value()]
            })
            .collect();
        let told: Vec<ValueRef<'_>> = (new.told.iter())
            .flat_map(|(id, operator)| [operator, id].map(|it| ValueRef::Integer(*it)))
            .collect();
        self.store.run(|db| {
            db.insert_rows(&HOSTS, &rows)?;
            db.update_rows("host", "operator_id", &["id"], &told)
        })
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

    /// Returns the row of a name server that is kept in memory.
    pub(in crate::store) fn known_host(&self, wire: &[u8]) -> Option<HostRow> {
        self.store.host_rows.borrow().get(wire).copied()
    }

    /// Keeps the row of a name server in memory.
    pub(in crate::store) fn know_host(&self, wire: &[u8], id: i64, operator_id: Option<i64>) {
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

    /// Returns the rows of those of some name servers that history knows.
    pub(in crate::store) fn find_hosts(
        &self,
        names: &BTreeSet<Name>,
    ) -> Result<Vec<(Name, i64)>, StoreError> {
        let rows = self.host_rows_of(names.iter())?;
        let row = |name: &Name| Some((name.clone(), rows.get(&host_text(name))?.id));
        Ok(names.iter().filter_map(row).collect())
    }

    /// Returns the row of an owner, if history knows it; kept while one state of the database is read.
    pub(in crate::store) fn find_owner(
        &self,
        zone: ZoneId,
        apex: &Name,
        owner: &Name,
    ) -> Result<Option<i64>, StoreError> {
        let Some(key) = owner.relative_key(apex) else {
            return Ok(None);
        };
        if let Some(known) = self.kept_id(zone, &key) {
            return Ok(Some(known));
        }
        let found = self.store.run(|db| {
            let sql = "select id from owner where zone_id = ? and name = ?";
            db.first_value(sql, params![zone, key])
        })?;
        self.keep_ids(zone, found.map(|id| (id, owner)).into_iter(), apex);
        Ok(found)
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

    /// Makes the rows of owners in their order. Returns the first; the others follow it one by one.
    pub(in crate::store) fn make_owners<'k>(
        &self,
        zone: ZoneId,
        keys: impl Iterator<Item = &'k str>,
    ) -> Result<i64, StoreError> {
        let first: i64 = self
            .store
            .run(|db| db.value("select coalesce(max(id), 0) + 1 from owner", ()))?;
        let rows: Vec<ValueRef<'_>> = (first..)
            .zip(keys)
            .flat_map(|(id, key)| {
                [
                    ValueRef::Integer(id),
                    ValueRef::Integer(zone.0),
                    ValueRef::Text(key),
                ]
            })
            .collect();
        self.store.run(|db| db.insert_rows(&OWNERS, &rows))?;
        Ok(first)
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
        let mut unknown = self.unknown_hosts(ids);
        let mut known = self.store.host_names.borrow_mut();
        if unknown.is_empty() {
            return Ok(());
        }
        if known.len() + unknown.len() > HOSTS_CACHED_MAX {
            known.clear();
            unknown.truncate(HOSTS_CACHED_MAX);
        }
        let rows: Vec<(i64, String, Option<i64>)> = self.store.run(|db| {
            db.query(&HOST_NAMES, [Numbers(unknown)], |row| {
                Ok((row.at(0)?, row.at(1)?, row.at(2)?))
            })
        })?;
        for (id, key, operator_id) in rows {
            let name = Name::from_relative_key(&key, &Name::root())
                .map_err(|fault| self.store.damaged(fault.to_string()))?;
            // Whoever takes their records away counts their users next.
            self.know_host(name.as_wire(), id, operator_id);
            known.insert(id, name);
        }
        Ok(())
    }

    /// Tells a server that the names of name servers are asked for next.
    pub(in crate::store) fn ask_ahead_of_hosts(
        &self,
        ids: impl Iterator<Item = i64>,
    ) -> Result<(), StoreError> {
        if !self.store.db.asks_ahead() {
            return Ok(());
        }
        let mut unknown = self.unknown_hosts(ids);
        unknown.truncate(HOSTS_CACHED_MAX);
        match unknown.is_empty() {
            true => Ok(()),
            false => self
                .store
                .run(|db| db.ask_ahead(&HOST_NAMES, [Numbers(unknown)])),
        }
    }

    /// Returns those name servers of which no name is kept, each once, in order.
    fn unknown_hosts(&self, ids: impl Iterator<Item = i64>) -> Vec<i64> {
        let known = self.store.host_names.borrow();
        let mut unknown: Vec<i64> = ids.filter(|id| !known.contains_key(id)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }

    /// Returns the statement that names of name servers are read by, for a server to prepare.
    pub(in crate::store) fn text_of_hosts() -> &'static str {
        &HOST_NAMES
    }

    /// Returns the name of an owner.
    pub(in crate::store) fn owner_name(&self, id: i64, apex: &Name) -> Result<Name, StoreError> {
        let key: Option<String> = self
            .store
            .run(|db| db.first_value("select name from owner where id = ?", [id]))?;
        let key = key.ok_or_else(|| self.store.damaged(format!("owner {id} is not there")))?;
        Name::from_relative_key(&key, apex).map_err(|fault| self.store.damaged(fault.to_string()))
    }
}

/// Returns a name server's name as it stands in its row.
fn host_text(name: &Name) -> String {
    name.relative_key(&Name::root())
        .expect("every name is below the root")
}
