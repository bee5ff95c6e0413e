//! Owners as they stand, many at a time: their rows, their names, their open records.

use std::collections::HashMap;

use crate::dns::{Name, Record};
use crate::store::door::{Fault, Numbers, Row, Texts, Value, params};
use crate::store::error::StoreError;
use crate::store::keys::ZoneId;
use crate::store::ledger::Ledger;
use crate::store::ledger::open_row::{OpenRow, RawRow, read_row};
use crate::store::sqlite::dialect::{IN_ORDER, rows_of, texts_of};
use crate::store::zones::watched::ZoneState;

/// The rows of how many owners are kept, about: some 100 octets each.
const IDS_KEPT_MAX: usize = 200_000;

/// An owner as it stands.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct OwnerState {
    /// Its row.
    pub id: i64,
    /// Its open records.
    pub rows: Vec<OpenRow>,
    /// The week in which it last lost a name server, if that is later than any that it has; else 0.
    pub cut: i64,
}

/// The columns of a state: an open record, if there is one, and what is said of its owner.
const STATE: &str =
    "r.rrtype, r.rdata, r.ttl, r.added_id, r.baseline, o.id, coalesce(c.week, 0) as cut, o.name";
/// What is said of an owner.
const OF_OWNER: &str =
    "left join nameserver_cut c on c.owner_id = o.id left join record r on r.owner_id = o.id";

/// A row of [`STATE`]: the record, the owner's row and cut.
type RawState = (Option<RawRow>, i64, i64);

/// Reads a row of [`STATE`].
fn read_state(row: &Row<'_>) -> Result<RawState, Fault> {
    let record = match row.at::<Option<u16>>(0)? {
        Some(_) => Some(read_row(row)?),
        None => None,
    };
    Ok((record, row.at(5)?, row.at(6)?))
}

impl Ledger<'_> {
    /// Returns owners as they stand, in the order in which they are named, each once. Rows of those that are not there
    /// are made in that order.
    pub(in crate::store) fn owner_states(
        &self,
        zone: &ZoneState,
        owners: &[&Name],
    ) -> Result<Vec<OwnerState>, StoreError> {
        let keys = owners.iter().map(|owner| self.owner_key(owner, &zone.apex));
        let keys: Vec<String> = keys.collect::<Result<_, _>>()?;
        let places: HashMap<&str, usize> = keys.iter().map(String::as_str).zip(0..).collect();
        let mut ids: Vec<Option<i64>> = vec![None; keys.len()];
        let rows: Vec<RawState> = self.store.run(|db| {
            let sql = format!(
                "select {STATE}
                   from {list} w {IN_ORDER} owner o on o.zone_id = ?1 and o.name = w.value {OF_OWNER}",
                list = texts_of("?2")
            );
            // In the order in which they are named, which is mostly that of their index.
            db.query(&sql, params![zone.id, Texts(keys.clone())], |row| {
                let state = read_state(row)?;
                if let Some(place) = places.get(row.text_at(7)?) {
                    ids[*place] = Some(state.1);
                }
                Ok(state)
            })
        })?;
        let mut states = self.finish_states(rows)?;
        let ids = self.ids_or_made(zone, &keys, ids)?;
        let state = |id: i64| {
            let made = OwnerState {
                id,
                ..OwnerState::default()
            };
            states.remove(&id).unwrap_or(made)
        };
        Ok(ids.into_iter().map(state).collect())
    }

    /// Returns owners as they stand and their names, by their rows.
    pub(in crate::store) fn states_of(
        &self,
        owners: &[i64],
        apex: &Name,
    ) -> Result<HashMap<i64, (Name, OwnerState)>, StoreError> {
        let mut keys: HashMap<i64, String> = HashMap::new();
        let rows: Vec<RawState> = self.store.run(|db| {
            let sql = format!(
                "select {STATE} from {list} w {IN_ORDER} owner o on o.id = w.value {OF_OWNER}",
                list = rows_of("?")
            );
            db.query(&sql, [Numbers(owners.to_vec())], |row| {
                let state = read_state(row)?;
                keys.entry(state.1).or_insert(row.at(7)?);
                Ok(state)
            })
        })?;
        let states = self.finish_states(rows)?.into_iter();
        let named = states.map(|(id, state)| {
            let name = Name::from_relative_key(&keys[&id], apex);
            let name = name.map_err(|fault| self.store.damaged(fault.to_string()))?;
            Ok((id, (name, state)))
        });
        named.collect()
    }

    /// Gathers the records of owners, by their rows.
    fn finish_states(&self, rows: Vec<RawState>) -> Result<HashMap<i64, OwnerState>, StoreError> {
        self.know_hosts_among(rows.iter().filter_map(|(row, ..)| row.as_ref()))?;
        let mut states: HashMap<i64, OwnerState> = HashMap::new();
        for (row, id, cut) in rows {
            let row = row.map(|row| self.finish_row(row)).transpose()?;
            let state = states.entry(id).or_default();
            (state.id, state.cut) = (id, cut);
            state.rows.extend(row);
        }
        Ok(states)
    }

    /// Returns the rows of owners, in the order in which they are named, each once. Those that are not there are made in
    /// that order.
    pub(in crate::store) fn owner_ids(
        &self,
        zone: &ZoneState,
        owners: &[&Name],
    ) -> Result<Vec<i64>, StoreError> {
        let keys = owners.iter().map(|owner| self.owner_key(owner, &zone.apex));
        let keys: Vec<String> = keys.collect::<Result<_, _>>()?;
        let ids = self.ids_of_keys(zone.id, &keys)?;
        self.ids_or_made(zone, &keys, ids)
    }

    /// Returns the rows of the owners that have these keys: those that are not there are made in that order.
    fn ids_or_made(
        &self,
        zone: &ZoneState,
        keys: &[String],
        mut ids: Vec<Option<i64>>,
    ) -> Result<Vec<i64>, StoreError> {
        let missing: Vec<&str> = (ids.iter().zip(keys))
            .filter(|(id, _)| id.is_none())
            .map(|(_, key)| key.as_str())
            .collect();
        if !missing.is_empty() {
            let first = self.make_owners(zone.id, missing.into_iter())?;
            for (new, id) in (first..).zip(ids.iter_mut().filter(|id| id.is_none())) {
                *id = Some(new);
            }
        }
        Ok(ids.into_iter().flatten().collect())
    }

    /// Returns the rows of the owners of a zone that are there, in the order in which they are named.
    pub(in crate::store) fn find_owners(
        &self,
        zone: &ZoneState,
        owners: &[&Name],
    ) -> Result<Vec<Option<i64>>, StoreError> {
        let keys = owners.iter().map(|owner| self.owner_key(owner, &zone.apex));
        self.ids_of_keys(zone.id, &keys.collect::<Result<Vec<_>, _>>()?)
    }

    /// Returns the open records of owners, by their rows. An owner without any may be left out.
    pub(in crate::store) fn open_rows_of(
        &self,
        owners: &[i64],
    ) -> Result<HashMap<i64, Vec<OpenRow>>, StoreError> {
        if owners.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(i64, RawRow)> = self.store.run(|db| {
            let sql = format!(
                "select r.rrtype, r.rdata, r.ttl, r.added_id, r.baseline, r.owner_id
                   from {list} w {IN_ORDER} record r on r.owner_id = w.value",
                list = rows_of("?")
            );
            db.query(&sql, [Numbers(owners.to_vec())], |row| {
                Ok((row.at(5)?, read_row(row)?))
            })
        })?;
        self.know_hosts_among(rows.iter().map(|(_, row)| row))?;
        let mut by_owner: HashMap<i64, Vec<OpenRow>> = HashMap::new();
        for (owner_id, row) in rows {
            let row = self.finish_row(row)?;
            by_owner.entry(owner_id).or_default().push(row);
        }
        Ok(by_owner)
    }

    /// Returns the names of owners, by their rows.
    pub(in crate::store) fn owner_names(
        &self,
        owners: &[i64],
        apex: &Name,
    ) -> Result<HashMap<i64, Name>, StoreError> {
        let rows: Vec<(i64, String)> = self.store.run(|db| {
            let sql = format!(
                "select o.id, o.name from {list} w {IN_ORDER} owner o on o.id = w.value",
                list = rows_of("?")
            );
            db.query(&sql, [Numbers(owners.to_vec())], |row| {
                Ok((row.get("id")?, row.get("name")?))
            })
        })?;
        let read = |(id, key): (i64, String)| {
            let name = Name::from_relative_key(&key, apex);
            Ok((
                id,
                name.map_err(|fault| self.store.damaged(fault.to_string()))?,
            ))
        };
        rows.into_iter().map(read).collect()
    }

    /// Returns the rows of the owners of a zone that have these keys; `None` for one that is not there.
    pub(in crate::store) fn ids_of_keys(
        &self,
        zone: ZoneId,
        keys: &[String],
    ) -> Result<Vec<Option<i64>>, StoreError> {
        let mut ids = self.kept_ids(zone, keys);
        let places: HashMap<&str, usize> = (keys.iter().zip(0..))
            .filter(|(_, place)| ids[*place].is_none())
            .map(|(key, place)| (key.as_str(), place))
            .collect();
        if places.is_empty() {
            return Ok(ids);
        }
        // In the order in which they are named, which is mostly that of their index.
        let asked = keys.iter().filter(|key| places.contains_key(key.as_str()));
        let asked = asked.cloned().collect();
        self.store.run(|db| {
            let sql = format!(
                "select o.name, o.id
                   from {list} w {IN_ORDER} owner o on o.zone_id = ?1 and o.name = w.value",
                list = texts_of("?2")
            );
            let mut statement = db.prepare(&sql)?;
            let mut rows = statement.rows(params![zone, Texts(asked)])?;
            while let Some(row) = rows.next()? {
                if let Some(place) = places.get(row.text_at(0)?) {
                    ids[*place] = Some(row.at(1)?);
                }
            }
            Ok(())
        })?;
        Ok(ids)
    }

    /// Keeps the rows of owners that were read, while one state of the database is read: they are soon asked for by their
    /// names.
    pub(in crate::store) fn keep_ids<'k>(
        &self,
        zone: ZoneId,
        owners: impl Iterator<Item = (i64, &'k Name)>,
        apex: &Name,
    ) {
        if let Some(kept) = self.store.owner_ids.borrow_mut().as_mut() {
            if kept.values().map(HashMap::len).sum::<usize>() >= IDS_KEPT_MAX {
                kept.clear();
            }
            let known = owners.filter_map(|(id, name)| Some((name.relative_key(apex)?, id)));
            kept.entry(zone).or_default().extend(known);
        }
    }

    /// Returns the row of an owner of a zone that has a key, if it is kept.
    pub(in crate::store) fn kept_id(&self, zone: ZoneId, key: &str) -> Option<i64> {
        let kept = self.store.owner_ids.borrow();
        kept.as_ref()?.get(&zone)?.get(key).copied()
    }

    /// Returns the rows of those owners of a zone that are kept.
    fn kept_ids(&self, zone: ZoneId, keys: &[String]) -> Vec<Option<i64>> {
        let kept = self.store.owner_ids.borrow();
        match kept.as_ref().and_then(|kept| kept.get(&zone)) {
            Some(kept) => keys.iter().map(|key| kept.get(key).copied()).collect(),
            None => vec![None; keys.len()],
        }
    }

    /// Reads the names of the name servers among rows that are not known yet.
    fn know_hosts_among<'r>(
        &self,
        rows: impl Iterator<Item = &'r RawRow>,
    ) -> Result<(), StoreError> {
        self.know_hosts(rows.filter_map(|(_, value, ..)| match value {
            Value::Integer(host) => Some(*host),
            _ => None,
        }))
    }

    /// Returns a row as a record.
    pub(in crate::store) fn finish_row(&self, row: RawRow) -> Result<OpenRow, StoreError> {
        let (code, value, ttl, added_id, baseline) = row;
        let rdata = self.read_rdata(code, &value)?;
        Ok(OpenRow {
            record: Record { rdata, ttl },
            value,
            added_id,
            baseline,
        })
    }

    /// Returns the key of an owner in its zone.
    fn owner_key(&self, owner: &Name, apex: &Name) -> Result<String, StoreError> {
        owner
            .relative_key(apex)
            .ok_or_else(|| self.store.damaged(format!("{owner} is not in zone {apex}")))
    }
}
