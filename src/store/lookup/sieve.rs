//! Which of many domains have changed often enough lately to be looked at closely.
//!
//! Of ten thousand domains that a version changes, hardly one has changed often. Each of them costs some sixteen
//! questions to be judged; this asks a dozen about all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::dns::Name;
use crate::store::door::{Fault, Numbers, Row, Texts, Value, params};
use crate::store::error::StoreError;
use crate::store::keys::{View, ZoneId};
use crate::store::lookup::Lookup;
use crate::store::sqlite::dialect::{IN_ORDER, rows_of, texts_of};
use crate::time::Timestamp;

/// How many domains are asked about together.
const DOMAINS_AT_ONCE: usize = 2_000;
/// The most rows that are read for them with one statement: who has more is looked at closely, all of them together.
const ROWS_MAX: usize = 500_000;

/// The most owners of a zone that is one domain; one with more is looked at closely.
const ZONE_OWNERS_MAX: usize = 2_000;

/// Since when changes count, and of which time those name servers are that may have brought some.
#[derive(Debug, Clone, Copy)]
pub struct Stir {
    /// Changes after this count.
    pub since: Timestamp,
    /// Name servers that a domain had after this.
    pub hosts_since: Timestamp,
    /// So many of them make a domain one to be looked at.
    pub instants_min: f64,
}

/// What was read of some domains of one chunk, by their places in it.
#[derive(Default)]
struct Stirred {
    /// The versions that changed something of each.
    versions: Vec<HashSet<i64>>,
    /// The name servers of each.
    hosts: Vec<HashSet<i64>>,
    /// Those of which there is too much to be read.
    unread: Vec<usize>,
}

/// An owner of a zone and the domain that it is part of: its row, the domain's place, whether it is the domain itself.
type Part = (i64, usize, bool);

/// An interval's owner, type and data, and the versions at its ends.
type RawEnds = (i64, u16, Value, i64, Option<i64>);

impl Lookup<'_> {
    /// Returns those of some domains of which so much may have changed lately: their own records and those of the names
    /// below them, or the addresses of their name servers. What it leaves out has changed less often; of what it
    /// returns, some may have too.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn stirred(&self, domains: &[&Name], stir: &Stir) -> Result<HashSet<Name>, StoreError> {
        let mut all = HashSet::new();
        for chunk in domains.chunks(DOMAINS_AT_ONCE) {
            let Some(stirred) = self.stirred_of(chunk, stir)? else {
                all.extend(chunk.iter().map(|domain| (*domain).clone()));
                continue;
            };
            let is_stirred = |versions: &HashSet<i64>| versions.len() as f64 >= stir.instants_min;
            let versions = chunk.iter().zip(&stirred.versions);
            let found = versions.filter(|(_, versions)| is_stirred(versions));
            let found = found.map(|(domain, _)| *domain);
            let unread = stirred.unread.iter().map(|place| chunk[*place]);
            all.extend(found.chain(unread).cloned());
        }
        Ok(all)
    }

    /// Reads what changed of some domains; `None` if that is too much to be read for all of them.
    fn stirred_of(&self, domains: &[&Name], stir: &Stir) -> Result<Option<Stirred>, StoreError> {
        let mut stirred = Stirred {
            versions: vec![HashSet::new(); domains.len()],
            hosts: vec![HashSet::new(); domains.len()],
            unread: Vec::new(),
        };
        for ((zone, apex), places) in self.by_zone(domains)? {
            let keys: Vec<(String, usize)> = places
                .into_iter()
                .filter_map(|place| Some((domains[place].relative_key(&apex)?, place)))
                .collect();
            let Some(mut parts) = self.parts_of(zone, &keys)? else {
                return Ok(None);
            };
            if let Some((_, place)) = keys.iter().find(|(key, _)| key.is_empty()) {
                match self.parts_of_zone(zone, *place)? {
                    Some(whole) => parts.extend(whole),
                    None => stirred.unread.push(*place),
                }
            }
            if !self.read_parts(zone, &parts, stir, &mut stirred)? {
                return Ok(None);
            }
        }
        Ok(self.read_hosts(stir, &mut stirred)?.then_some(stirred))
    }

    /// Returns the zones that enclose names and are judged, with the places of those names.
    fn by_zone(&self, names: &[&Name]) -> Result<BTreeMap<(ZoneId, Name), Vec<usize>>, StoreError> {
        let mut by_zone: BTreeMap<(ZoneId, Name), Vec<usize>> = BTreeMap::new();
        for (place, name) in names.iter().enumerate() {
            for zone in self.store.zones().zones_enclosing(name)? {
                if zone.view != View::Passive {
                    let places = by_zone.entry((zone.id, zone.apex)).or_default();
                    places.push(place);
                }
            }
        }
        Ok(by_zone)
    }

    /// Returns the owners of a zone that are at or below some domains of it; `None` if there are too many.
    fn parts_of(
        &self,
        zone: ZoneId,
        domains: &[(String, usize)],
    ) -> Result<Option<Vec<Part>>, StoreError> {
        let places: HashMap<&str, usize> = domains
            .iter()
            .map(|(key, place)| (key.as_str(), *place))
            .collect();
        let keys = domains.iter().filter(|(key, _)| !key.is_empty());
        let keys = Texts(keys.map(|(key, _)| key.clone()).collect());
        let below = "o.name >= w.value || '.' and o.name < w.value || '/'";
        let mut parts = Vec::new();
        for (is_itself, is_part) in [(true, "o.name = w.value"), (false, below)] {
            let rows: Vec<Part> = self.store.run(|db| {
                let sql = format!(
                    "select o.id, w.value
                       from {list} w {IN_ORDER} owner o on o.zone_id = ?1 and {is_part}
                      limit ?3",
                    list = texts_of("?2")
                );
                db.query(&sql, params![zone, keys, ROWS_MAX as i64], |row| {
                    let place = places.get(row.text_at(1)?).copied().unwrap_or_default();
                    Ok((row.at(0)?, place, is_itself))
                })
            })?;
            if rows.len() == ROWS_MAX {
                return Ok(None);
            }
            parts.extend(rows);
        }
        Ok(Some(parts))
    }

    /// Returns the owners of a whole zone that is one domain; `None` if there are many.
    fn parts_of_zone(&self, zone: ZoneId, place: usize) -> Result<Option<Vec<Part>>, StoreError> {
        let parts: Vec<Part> = self.store.run(|db| {
            let sql = "select id, name = '' as is_itself from owner where zone_id = ? limit ?";
            db.query(sql, params![zone, ZONE_OWNERS_MAX as i64 + 1], |row| {
                Ok((row.get("id")?, place, row.get("is_itself")?))
            })
        })?;
        Ok((parts.len() <= ZONE_OWNERS_MAX).then_some(parts))
    }

    /// Reads what changed of owners, and the name servers of those that are domains. Returns whether that is all.
    fn read_parts(
        &self,
        zone: ZoneId,
        parts: &[Part],
        stir: &Stir,
        stirred: &mut Stirred,
    ) -> Result<bool, StoreError> {
        let mut by_owner: HashMap<i64, Vec<(usize, bool)>> = HashMap::new();
        for (owner, place, is_itself) in parts {
            let places = by_owner.entry(*owner).or_default();
            places.push((*place, *is_itself));
        }
        let first = self.first_version(zone, stir.since)?;
        let mut take = |(owner, _, value, added, removed): RawEnds| {
            for (place, is_itself) in by_owner.get(&owner).into_iter().flatten() {
                let ends = [Some(added), removed].into_iter().flatten();
                stirred.versions[*place].extend(ends.filter(|id| *id >= first));
                if let (true, Value::Integer(host)) = (*is_itself, &value) {
                    stirred.hosts[*place].insert(*host);
                }
            }
        };
        let owners: Numbers = by_owner.keys().copied().collect();
        let domains = parts.iter().filter(|(_, _, is_itself)| *is_itself);
        let domains: Numbers = domains.map(|(owner, ..)| *owner).collect();
        let changed_since = stir.since.month_bucket();
        // The bucket 0 stands for what is open.
        for month in self
            .store
            .zones()
            .buckets_since(zone, Some(stir.hosts_since))?
        {
            let rows = match month {
                0 => self.open_ends(&owners)?,
                month if month >= changed_since => self.closed_ends(month, &owners)?,
                month => self.closed_ends(month, &domains)?,
            };
            if rows.len() == ROWS_MAX {
                return Ok(false);
            }
            rows.into_iter().for_each(&mut take);
        }
        Ok(true)
    }

    /// Adds to each domain what changed of the addresses of its name servers. Returns whether that is all.
    fn read_hosts(&self, stir: &Stir, stirred: &mut Stirred) -> Result<bool, StoreError> {
        let ids: BTreeSet<i64> = stirred.hosts.iter().flatten().copied().collect();
        let ledger = self.store.ledger();
        ledger.know_hosts(ids.iter().copied())?;
        let names: Vec<Name> = ids
            .iter()
            .map(|id| ledger.host_name(*id))
            .collect::<Result<_, _>>()?;
        let names: Vec<&Name> = names.iter().collect();
        let mut versions: Vec<HashSet<i64>> = vec![HashSet::new(); names.len()];
        for ((zone, apex), places) in self.by_zone(&names)? {
            let keys: Vec<String> = places
                .iter()
                .filter_map(|place| names[*place].relative_key(&apex))
                .collect();
            let owners = ledger.ids_of_keys(zone, &keys)?;
            let by_owner: HashMap<i64, usize> = owners
                .into_iter()
                .zip(places)
                .filter_map(|(owner, place)| Some((owner?, place)))
                .collect();
            if by_owner.is_empty() {
                continue;
            }
            let first = self.first_version(zone, stir.since)?;
            let owners: Numbers = by_owner.keys().copied().collect();
            for month in self.store.zones().buckets_since(zone, Some(stir.since))? {
                let rows = match month {
                    0 => self.open_ends(&owners)?,
                    month => self.closed_ends(month, &owners)?,
                };
                if rows.len() == ROWS_MAX {
                    return Ok(false);
                }
                for (owner, _, _, added, removed) in rows {
                    let ends = [Some(added), removed].into_iter().flatten();
                    versions[by_owner[&owner]].extend(ends.filter(|id| *id >= first));
                }
            }
        }
        let versions: HashMap<i64, HashSet<i64>> = ids.into_iter().zip(versions).collect();
        for (hosts, all) in stirred.hosts.iter().zip(&mut stirred.versions) {
            for host in hosts {
                all.extend(versions.get(host).into_iter().flatten());
            }
        }
        Ok(true)
    }

    /// Returns the first version of a zone that is of a time or later. Those that arrived late come after it too.
    fn first_version(&self, zone: ZoneId, since: Timestamp) -> Result<i64, StoreError> {
        let first: Option<i64> = self.store.run(|db| {
            let sql = "select min(id) from version where zone_id = ? and observed_at >= ?";
            db.value(sql, params![zone, since])
        })?;
        Ok(first.unwrap_or(i64::MAX))
    }

    /// Returns the ends of the open intervals of owners.
    fn open_ends(&self, owners: &Numbers) -> Result<Vec<RawEnds>, StoreError> {
        self.store.run(|db| {
            let sql = format!(
                "select r.owner_id, r.rrtype, r.rdata, r.added_id, null as removed_id
                   from {list} w {IN_ORDER} record r on r.owner_id = w.value
                  limit ?2",
                list = rows_of("?1")
            );
            db.query(&sql, params![owners, ROWS_MAX as i64], read_ends)
        })
    }

    /// Returns the ends of the intervals of owners that ended in a month.
    fn closed_ends(&self, month: i64, owners: &Numbers) -> Result<Vec<RawEnds>, StoreError> {
        self.store.run(|db| {
            let sql = format!(
                "select p.owner_id, p.rrtype, p.rdata, p.added_id, p.removed_id
                   from {list} w {IN_ORDER} past_record p
                        on p.bucket = ?1 and p.owner_id = w.value
                  limit ?3",
                list = rows_of("?2")
            );
            db.query(&sql, params![month, owners, ROWS_MAX as i64], read_ends)
        })
    }
}

/// Reads the ends of an interval: by place, for every interval of every domain passes here.
fn read_ends(row: &Row<'_>) -> Result<RawEnds, Fault> {
    Ok((row.at(0)?, row.at(1)?, row.at(2)?, row.at(3)?, row.at(4)?))
}
