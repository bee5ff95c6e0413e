//! RRsets as they were at the end of a version: what a feed's late lines are held against.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::dns::{Name, Rdata, RecordType};
use crate::store::door::{Fault, Numbers, Row, Value, params};
use crate::store::error::StoreError;
use crate::store::keys::ZoneId;
use crate::store::lookup::Lookup;
use crate::store::sqlite::dialect::{IN_ORDER, rows_of};
use crate::store::zones::enclosing::EnclosingZone;
use crate::store::zones::watched::ZoneState;
use crate::time::Timestamp;

/// An RRset at a time, and whether it has changed since. Sorted; may be empty.
pub type RrsetThen = (Vec<Rdata>, bool);

/// An interval of a record: its owner, type and data, and the versions at its ends.
struct Stood {
    owner_id: i64,
    code: u16,
    value: Value,
    added: End,
    removed: Option<End>,
    baseline: bool,
}

/// Which part of the history of owners is read.
struct Part {
    /// Intervals that were open at or after this time.
    since: Timestamp,
    /// No version before this row is of that time or later.
    first: i64,
    /// Whether NS records are all that is asked for.
    only_nameservers: bool,
}

/// A version at an end of an interval: its time and row, in the order in which versions follow each other.
type End = (Timestamp, i64);

/// A name server that a name had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedHost {
    /// The name server.
    pub host: Name,
    /// When it came.
    pub added_at: Timestamp,
    /// When it went; `None` if it was still there.
    pub removed_at: Option<Timestamp>,
    /// Whether it was there before it was told of.
    pub baseline: bool,
}

impl Lookup<'_> {
    /// Returns RRsets of a zone as they were at the end of a version; `None` for one that history has never known.
    ///
    /// Versions of one second are in the order of their rows; `version_id` is `None` for one that is yet
    /// to be written, which comes after them.
    pub fn rrsets_at(
        &self,
        zone: &ZoneState,
        keys: &[(&Name, RecordType)],
        at: Timestamp,
        version_id: Option<i64>,
    ) -> Result<Vec<Option<RrsetThen>>, StoreError> {
        let mut owners: Vec<&Name> = keys.iter().map(|(owner, _)| *owner).collect();
        owners.sort_unstable();
        owners.dedup();
        let ids = self.store.ledger().find_owners(zone, &owners)?;
        let rows: Vec<Option<(i64, u16)>> = keys
            .iter()
            .map(|(owner, rtype)| {
                let place = owners.binary_search(owner).ok()?;
                Some((ids[place]?, rtype.code()))
            })
            .collect();
        let part = Part {
            since: at,
            first: self.first_version(zone.id, at)?,
            only_nameservers: false,
        };
        let stood = self.stood_since(zone.id, ids.into_iter().flatten().collect(), &part)?;
        let mut by_rrset: HashMap<(i64, u16), Vec<&Stood>> = HashMap::new();
        for it in &stood {
            let rrset = by_rrset.entry((it.owner_id, it.code)).or_default();
            rrset.push(it);
        }
        let unknown = rows
            .iter()
            .flatten()
            .filter(|it| !by_rrset.contains_key(it));
        let had = self.had_rrsets(zone, unknown.copied().collect())?;
        let moment = (at, version_id.unwrap_or(i64::MAX));
        let then = |row: &Option<(i64, u16)>| {
            let Some(row) = row else { return Ok(None) };
            match by_rrset.get(row) {
                Some(stood) => self.rrset_of(stood, moment).map(Some),
                None => Ok(had.contains(row).then(|| (Vec::new(), false))),
            }
        };
        rows.iter().map(then).collect()
    }

    /// Returns the name servers that names of a zone had at any time from `since` to `until`, by those that had any.
    pub fn nameservers_between(
        &self,
        zone: &EnclosingZone,
        names: &BTreeSet<Name>,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<HashMap<Name, Vec<UsedHost>>, StoreError> {
        let ledger = self.store.ledger();
        let keys: Vec<String> = names
            .iter()
            .filter_map(|name| name.relative_key(&zone.apex))
            .collect();
        let ids = ledger.ids_of_keys(zone.id, &keys)?;
        let by_id: HashMap<i64, &Name> = ids
            .into_iter()
            .zip(names)
            .filter_map(|(id, name)| Some((id?, name)))
            .collect();
        // A name server has many more addresses than it has name servers.
        let part = Part {
            since,
            first: self.no_version_before(zone.id, since)?,
            only_nameservers: true,
        };
        let stood = self.stood_since(zone.id, by_id.keys().copied().collect(), &part)?;
        let mut servers: HashMap<Name, Vec<UsedHost>> = HashMap::new();
        for it in stood {
            let was_there = it.added.0 <= until;
            if let (true, Rdata::Ns(host)) = (was_there, ledger.read_rdata(it.code, &it.value)?) {
                let end = it.removed.map(|end| end.0).filter(|end| *end <= until);
                let name = by_id[&it.owner_id].clone();
                servers.entry(name).or_default().push(UsedHost {
                    host,
                    added_at: it.added.0,
                    removed_at: end,
                    baseline: it.baseline,
                });
            }
        }
        Ok(servers)
    }

    /// Returns what of an RRset's intervals was there at the end of a version, and whether it has changed since.
    fn rrset_of(&self, stood: &[&Stood], moment: End) -> Result<RrsetThen, StoreError> {
        let is_by_then = |end: &End| *end <= moment;
        let mut ends = stood
            .iter()
            .flat_map(|it| [Some(it.added), it.removed])
            .flatten();
        let has_changed_since = ends.any(|end| !is_by_then(&end));
        let there = stood
            .iter()
            .filter(|it| is_by_then(&it.added) && !it.removed.as_ref().is_some_and(is_by_then));
        let ledger = self.store.ledger();
        let rdata = there.map(|it| ledger.read_rdata(it.code, &it.value));
        let mut rdata: Vec<Rdata> = rdata.collect::<Result<_, _>>()?;
        rdata.sort();
        Ok((rdata, has_changed_since))
    }

    /// Returns the intervals of owners of which a part of the history is read.
    fn stood_since(
        &self,
        zone: ZoneId,
        owners: Vec<i64>,
        part: &Part,
    ) -> Result<Vec<Stood>, StoreError> {
        let Part { since, first, .. } = *part;
        let owners = Numbers(owners);
        let [of_open, of_past] = match part.only_nameservers {
            true => ["and r.rrtype = 2", "and p.rrtype = 2"],
            false => ["", ""],
        };
        let mut stood = self.store.run(|db| {
            let sql = format!(
                "select r.owner_id, r.rrtype, r.rdata, r.baseline, r.added_id, a.observed_at as added_at,
                        null as removed_id, null as removed_at
                   from {list} w {IN_ORDER} record r on r.owner_id = w.value {of_open}
                        join version a on a.id = r.added_id",
                list = rows_of("?")
            );
            db.query(&sql, params![owners], read_stood)
        })?;
        // The bucket 0 stands for what is open.
        let months = self.store.zones().buckets_since(zone, Some(since))?;
        for month in months.into_iter().skip(1) {
            stood.extend(self.store.run(|db| {
                let sql = format!(
                    "select p.owner_id, p.rrtype, p.rdata, p.baseline, p.added_id, a.observed_at as added_at,
                            p.removed_id, d.observed_at as removed_at
                       from {list} w {IN_ORDER} past_record p
                            on p.bucket = ?1 and p.owner_id = w.value and p.removed_id >= ?2 {of_past}
                            join version a on a.id = p.added_id
                            join version d on d.id = p.removed_id
                      where d.observed_at >= ?3",
                    list = rows_of("?4")
                );
                db.query(&sql, params![month, first, since, owners], read_stood)
            })?);
        }
        Ok(stood)
    }

    /// Returns which of some RRsets ever lost a record.
    fn had_rrsets(
        &self,
        zone: &ZoneState,
        mut rrsets: HashSet<(i64, u16)>,
    ) -> Result<HashSet<(i64, u16)>, StoreError> {
        let mut had = HashSet::new();
        if rrsets.is_empty() {
            return Ok(had);
        }
        let months = self.store.zones().buckets_since(zone.id, None)?;
        let codes: HashSet<u16> = rrsets.iter().map(|(_, code)| *code).collect();
        for month in months.into_iter().skip(1).rev() {
            for code in &codes {
                let of_type = rrsets.iter().filter(|(_, its)| its == code);
                let owners: Numbers = of_type.map(|(owner, _)| *owner).collect();
                let found: Vec<i64> = self.store.run(|db| {
                    let sql = format!(
                        "select w.value
                           from {list} w
                          where exists (select 1
                                          from past_record
                                         where bucket = ?1 and owner_id = w.value and rrtype = ?2)",
                        list = rows_of("?3")
                    );
                    db.values(&sql, params![month, code, owners])
                })?;
                for owner in found {
                    rrsets.remove(&(owner, *code));
                    had.insert((owner, *code));
                }
            }
        }
        Ok(had)
    }
}

/// Reads an interval.
fn read_stood(row: &Row<'_>) -> Result<Stood, Fault> {
    let removed: Option<i64> = row.get("removed_id")?;
    let removed_at: Option<Timestamp> = row.get("removed_at")?;
    Ok(Stood {
        owner_id: row.get("owner_id")?,
        code: row.get("rrtype")?,
        value: row.get("rdata")?,
        added: (row.get("added_at")?, row.get("added_id")?),
        removed: removed_at.zip(removed),
        baseline: row.get("baseline")?,
    })
}
