//! What is read of many domains together before each is judged, so that hardly one of its questions needs a statement of
//! its own.
//!
//! A domain that is judged asks some twenty questions. [`Lookup::sight`] reads the answers for hundreds of domains with
//! some twenty statements in all, and whoever asks is answered from there. Where there is more to be read than a sight
//! holds, nothing of it is kept, and that question is asked by itself: the answers are the same.

use std::cell::RefMut;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::dns::Name;
use crate::store::caches::{RawInterval, Seen, SeenIntervals};
use crate::store::door::{Fault, Numbers, Row, Texts, Value, params};
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::keys::{EntityKey, ZoneId};
use crate::store::lookup::Lookup;
use crate::store::ranges::is_below;
use crate::store::sqlite::dialect::{IN_ORDER, rows_of, texts_of};
use crate::time::Timestamp;

/// Fewer domains than these are not read together: each costs no more by itself.
const DOMAINS_MIN: usize = 8;
/// The most rows that are read of their owners with one statement, at 100 octets each: of more nothing is kept.
const ROWS_MAX: usize = 100_000;
/// The most closed intervals of an owner in a month that are kept; one with more asks for itself.
const OWNER_ROWS_MAX: i64 = 512;

/// Which part of the history of some domains is read.
#[derive(Debug, Clone, Copy)]
pub struct SightRange {
    /// Intervals that ended in the month of this time or later.
    pub since: Timestamp,
    /// Of how many names a domain has many.
    pub names_max: usize,
}

/// What is known of some domains, until this is dropped.
#[must_use]
pub struct Sight<'a> {
    store: &'a Store,
}

impl Drop for Sight<'_> {
    fn drop(&mut self) {
        self.store.seen.replace(None);
    }
}

impl<'a> Lookup<'a> {
    /// Reads what is asked of some domains when they are judged, of one state of the database, and keeps it until what is
    /// returned is dropped. Reads nothing of few.
    pub fn sight(&self, domains: &[&Name], range: &SightRange) -> Result<Sight<'a>, StoreError> {
        let sight = Sight { store: self.store };
        self.store.seen.replace(None);
        if domains.len() >= DOMAINS_MIN {
            let seen = self.see(domains, range)?;
            self.store.seen.replace(Some(seen));
        }
        Ok(sight)
    }

    /// Reads what is kept of some domains.
    fn see(&self, domains: &[&Name], range: &SightRange) -> Result<Seen, StoreError> {
        let mut seen = Seen {
            names_max: range.names_max,
            ..Seen::default()
        };
        self.store.zones().know_zones(domains)?;
        for ((zone, apex), places) in self.by_zone(domains)? {
            let names: Vec<&Name> = places.iter().map(|place| domains[*place]).collect();
            self.see_many_names(zone, &apex, &names, &mut seen)?;
            let above = names.iter().flat_map(|name| name.up_to(&apex));
            self.see_owners(zone, &apex, above.collect(), range.since, &mut seen)?;
        }
        self.see_hosts(range.since, &mut seen)?;
        self.see_moments(&mut seen)?;
        self.see_registrations(&mut seen)?;
        if self.store.has_reverse_index {
            self.see_used_elsewhere(domains, &mut seen)?;
        }
        Ok(seen)
    }

    /// Reads which of some names of a zone have many names.
    fn see_many_names(
        &self,
        zone: ZoneId,
        apex: &Name,
        names: &[&Name],
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        // Every name is at or below the apex: that one is asked about by itself.
        let by_key: HashMap<String, &Name> = names
            .iter()
            .filter(|name| **name != apex)
            .filter_map(|name| Some((name.relative_key(apex)?, *name)))
            .collect();
        let keys = Texts(by_key.keys().cloned().collect());
        let many: Vec<String> = self.store.run(|db| {
            let sql = format!(
                "select w.value
                   from {list} w
                  where exists (select 1
                                  from owner
                                 where zone_id = ?1 and {below}
                                 limit 1 offset ?3)",
                list = texts_of("?2"),
                below = is_below("name", "w.value")
            );
            db.values(&sql, params![zone, keys, seen.names_max as i64])
        })?;
        let many: HashSet<String> = many.into_iter().collect();
        let known = seen.many_names.entry(zone).or_default();
        known.extend(
            by_key
                .into_iter()
                .map(|(key, name)| (name.clone(), many.contains(&key))),
        );
        Ok(())
    }

    /// Reads the rows of owners of a zone, and their intervals.
    fn see_owners(
        &self,
        zone: ZoneId,
        apex: &Name,
        owners: BTreeSet<Name>,
        since: Timestamp,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let (names, keys): (Vec<Name>, Vec<String>) = owners
            .into_iter()
            .filter_map(|owner| Some((owner.clone(), owner.relative_key(apex)?)))
            .unzip();
        let ids = self.store.ledger().ids_of_keys(zone, &keys)?;
        let new: BTreeSet<i64> = ids.iter().flatten().copied().collect();
        let known = seen.owners.entry(zone).or_default();
        known.extend(names.into_iter().zip(ids));
        let months = self.store.zones().buckets_since(zone, Some(since))?;
        // The bucket 0 stands for what is open.
        let months: Numbers = months.into_iter().skip(1).collect();
        self.see_intervals(new, &months, seen)
    }

    /// Reads the intervals of owners that are open, and those that ended in some months.
    fn see_intervals(
        &self,
        mut owners: BTreeSet<i64>,
        months: &Numbers,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        owners.retain(|owner| !seen.intervals.contains_key(owner));
        let list: Numbers = owners.iter().copied().collect();
        let busy = self.busy_in(months, &list, OWNER_ROWS_MAX)?;
        owners.retain(|owner| !busy.contains(owner));
        let list: Numbers = owners.iter().copied().collect();
        let (open, closed) = (self.open_of(&list)?, self.closed_of(months, &list)?);
        if open.len() == ROWS_MAX || closed.len() == ROWS_MAX {
            return Ok(());
        }
        let empty = || SeenIntervals {
            closed: months.0.iter().map(|month| (*month, Vec::new())).collect(),
            ..SeenIntervals::default()
        };
        let mut by_owner: HashMap<i64, SeenIntervals> =
            owners.into_iter().map(|owner| (owner, empty())).collect();
        for (owner, _, row) in open {
            by_owner.entry(owner).or_default().open.push(row);
        }
        for (owner, month, row) in closed {
            let closed = &mut by_owner.entry(owner).or_default().closed;
            closed.entry(month).or_default().push(row);
        }
        for (owner, mut intervals) in by_owner {
            for rows in intervals.closed.values_mut() {
                // As an index is read from its end.
                rows.reverse();
                rows.sort_by_key(|(.., removed_id)| std::cmp::Reverse(*removed_id));
            }
            seen.intervals.insert(owner, Arc::new(intervals));
        }
        Ok(())
    }

    /// Returns those of some owners of which more intervals than `rows_max` ended in one of some months.
    pub(in crate::store) fn busy_in(
        &self,
        months: &Numbers,
        owners: &Numbers,
        rows_max: i64,
    ) -> Result<HashSet<i64>, StoreError> {
        let busy: Vec<i64> = self.store.run(|db| {
            let sql = format!(
                "select w.value
                   from {months} m {IN_ORDER} {owners} w on true
                  where exists (select 1
                                  from past_record
                                 where bucket = m.value and owner_id = w.value
                                 limit 1 offset ?3)",
                months = rows_of("?1"),
                owners = rows_of("?2")
            );
            db.values(&sql, params![months, owners, rows_max])
        })?;
        Ok(busy.into_iter().collect())
    }

    /// Returns the open intervals of owners, in the order of their rows' key.
    fn open_of(&self, owners: &Numbers) -> Result<Vec<(i64, i64, RawInterval)>, StoreError> {
        self.store.run(|db| {
            let sql = format!(
                "select r.owner_id, 0 as bucket, r.rrtype, r.rdata, r.baseline, r.added_id,
                        null as removed_id
                   from {list} w {IN_ORDER} record r on r.owner_id = w.value
                  limit ?2",
                list = rows_of("?1")
            );
            db.query(&sql, params![owners, ROWS_MAX as i64], read_owned)
        })
    }

    /// Returns the intervals of owners that ended in some months, in the order of their rows' key.
    fn closed_of(
        &self,
        months: &Numbers,
        owners: &Numbers,
    ) -> Result<Vec<(i64, i64, RawInterval)>, StoreError> {
        self.store.run(|db| {
            let sql = format!(
                "select p.owner_id, p.bucket, p.rrtype, p.rdata, p.baseline, p.added_id,
                        p.removed_id
                   from {months} m {IN_ORDER} {owners} w on true
                        {IN_ORDER} past_record p on p.bucket = m.value and p.owner_id = w.value
                  limit ?3",
                months = rows_of("?1"),
                owners = rows_of("?2")
            );
            db.query(&sql, params![months, owners, ROWS_MAX as i64], read_owned)
        })
    }

    /// Reads the addresses that the name servers of what was seen have in any zone.
    fn see_hosts(&self, since: Timestamp, seen: &mut Seen) -> Result<(), StoreError> {
        let intervals = seen.intervals.values();
        let hosts = intervals.flat_map(|it| it.all().filter_map(|row| host_of(&row.1)));
        let hosts: BTreeSet<i64> = hosts.collect();
        let ledger = self.store.ledger();
        ledger.know_hosts(hosts.iter().copied())?;
        let names = hosts.iter().map(|id| ledger.host_name(*id));
        let names: Vec<Name> = names.collect::<Result<_, _>>()?;
        let names: Vec<&Name> = names.iter().collect();
        self.store.zones().know_zones(&names)?;
        for ((zone, apex), places) in self.by_zone(&names)? {
            let owners = places.iter().map(|place| names[*place].clone());
            self.see_owners(zone, &apex, owners.collect(), since, seen)?;
        }
        Ok(())
    }

    /// Reads the versions at the ends of the intervals, and how many names made the same move in them.
    fn see_moments(&self, seen: &mut Seen) -> Result<(), StoreError> {
        let mut moments = self.store.moments.take();
        let Some(known) = &mut moments else {
            return Ok(());
        };
        let ends = |row: &RawInterval| [Some(row.3), row.4].into_iter().flatten();
        let ids = seen.intervals.values();
        let ids = ids.flat_map(|it| it.all().flat_map(ends)).collect();
        let learned = self.learn_moments(ids, known);
        let is_shared = |id: &i64| known.by_id.get(id).is_some_and(|(_, is_shared)| *is_shared);
        let mut owners: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
        for (owner, intervals) in &seen.intervals {
            for version in intervals.all().flat_map(ends).filter(is_shared) {
                owners.entry(version).or_default().insert(*owner);
            }
        }
        self.store.moments.replace(moments);
        learned?;
        let ledger = self.store.ledger();
        for (version, owners) in owners {
            let read = ledger.shared_counts(version, owners.iter().copied().collect())?;
            let noted: HashMap<i64, u32> = read.into_iter().collect();
            let counts = owners.into_iter().map(|owner| {
                let count = noted.get(&owner).copied().unwrap_or(0);
                ((version, owner), count)
            });
            seen.shared_counts.extend(counts);
        }
        Ok(())
    }

    /// Reads the times of the registrations of the owners that were seen.
    fn see_registrations(&self, seen: &mut Seen) -> Result<(), StoreError> {
        let owners = seen.owners.values().flat_map(HashMap::values);
        let owners: Numbers = owners.flatten().copied().collect();
        seen.registrations = owners.0.iter().map(|owner| (*owner, Vec::new())).collect();
        let rows: Vec<(i64, Timestamp)> = self.store.run(|db| {
            let sql = format!(
                "select r.owner_id, v.observed_at
                   from {list} w {IN_ORDER} registration r on r.owner_id = w.value
                        {IN_ORDER} version v on v.id = r.version_id
                  order by v.observed_at, v.id",
                list = rows_of("?")
            );
            db.query(&sql, [owners], |row| Ok((row.at(0)?, row.at(1)?)))
        })?;
        for (owner, at) in rows {
            seen.registrations.entry(owner).or_default().push(at);
        }
        Ok(())
    }

    /// Reads at or below which of some domains a name server lies that others use.
    fn see_used_elsewhere(&self, domains: &[&Name], seen: &mut Seen) -> Result<(), StoreError> {
        let root = Name::root();
        let keys = domains.iter().filter_map(|it| it.relative_key(&root));
        let used: Vec<String> = self.store.run(|db| {
            let sql = format!(
                "select w.value
                   from {list} w
                  where exists (select 1
                                  from host h
                                 where h.name = w.value
                                       and exists (select 1 from popularity p where p.user_of = h.id))
                        or exists (select 1
                                     from host h
                                    where {below}
                                          and exists (select 1 from popularity p where p.user_of = h.id))",
                list = texts_of("?"),
                below = is_below("h.name", "w.value")
            );
            db.values(&sql, [Texts(keys.collect())])
        })?;
        let used: HashSet<String> = used.into_iter().collect();
        let is_used = |it: &Name| {
            it.relative_key(&root)
                .is_some_and(|key| used.contains(&key))
        };
        seen.used_elsewhere = domains
            .iter()
            .map(|it| ((*it).clone(), is_used(it)))
            .collect();
        Ok(())
    }
}

/// What is asked of a sight; each answers `None` where it does not know.
impl Lookup<'_> {
    /// Returns what is kept, if anything.
    fn seen(&self) -> Option<RefMut<'_, Seen>> {
        let seen = self.store.seen.borrow_mut();
        RefMut::filter_map(seen, Option::as_mut).ok()
    }

    /// Returns the row of an owner, if history knows it: from the sight, or from the database.
    pub(in crate::store) fn owner_row(&self, key: &EntityKey) -> Result<Option<i64>, StoreError> {
        let seen = self.seen();
        let known = seen.and_then(|it| it.owners.get(&key.zone)?.get(&key.owner).copied());
        match known {
            Some(known) => Ok(known),
            None => self
                .store
                .ledger()
                .find_owner(key.zone, &key.apex, &key.owner),
        }
    }

    /// Returns the intervals of an owner.
    pub(in crate::store) fn seen_intervals(&self, owner: i64) -> Option<Arc<SeenIntervals>> {
        self.seen()?.intervals.get(&owner).cloned()
    }

    /// Returns how many names made the same move as an owner in a version.
    pub(in crate::store) fn seen_shared_count(&self, version: i64, owner: i64) -> Option<u32> {
        self.seen()?.shared_counts.get(&(version, owner)).copied()
    }

    /// Returns the times of an owner's registrations.
    pub(in crate::store) fn seen_registrations(&self, owner: i64) -> Option<Vec<Timestamp>> {
        self.seen()?.registrations.get(&owner).cloned()
    }

    /// Returns whether a domain has more names in a zone than so many.
    pub(in crate::store) fn seen_many_names(
        &self,
        zone: ZoneId,
        domain: &Name,
        names_max: usize,
    ) -> Option<bool> {
        let seen = self.seen()?;
        let known = seen.many_names.get(&zone)?.get(domain).copied();
        known.filter(|_| seen.names_max == names_max)
    }

    /// Returns whether a name server at or below a domain is used by a name that it is not below.
    pub(in crate::store) fn seen_used_elsewhere(&self, domain: &Name) -> Option<bool> {
        self.seen()?.used_elsewhere.get(domain).copied()
    }

    /// Returns the first version of a zone since a time, if it was asked for before.
    pub(in crate::store) fn seen_first_version(&self, zone: ZoneId, at: Timestamp) -> Option<i64> {
        self.seen()?.first_versions.get(&(zone, at)).copied()
    }

    /// Keeps the first version of a zone since a time.
    pub(in crate::store) fn keep_first_version(&self, zone: ZoneId, at: Timestamp, id: i64) {
        if let Some(mut seen) = self.seen() {
            seen.first_versions.insert((zone, at), id);
        }
    }
}

/// Returns the name server that is the data of a record.
fn host_of(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(host) => Some(*host),
        _ => None,
    }
}

/// Reads an owner, the month in which its interval ended, and that: by place, for every one of every domain passes here.
fn read_owned(row: &Row<'_>) -> Result<(i64, i64, RawInterval), Fault> {
    let interval = (row.at(2)?, row.at(3)?, row.at(4)?, row.at(5)?, row.at(6)?);
    Ok((row.at(0)?, row.at(1)?, interval))
}

#[cfg(test)]
mod tests {
    use crate::dns::Rdata;
    use crate::store::handle::StoreOptions;
    use crate::store::lookup::sieve::tests::{HOUR, START, name, tell};
    use crate::store::lookup::window::Extent;

    use super::*;

    /// Which names of a domain there are to be asked about.
    const NAMES: [&str; 4] = ["", "ns.", "www.", "a.www."];

    /// Returns what the questions about some domains are answered, each as text.
    fn answers(store: &Store, domains: &[Name], until: i64) -> Vec<String> {
        let lookup = store.lookup();
        let until = Timestamp::from_unix(until);
        let zones = store.zones().zones_enclosing(&domains[0]).expect("read");
        let zone = zones.first().expect("a zone");
        let mut answers = Vec::new();
        for domain in domains {
            for label in NAMES {
                let key = EntityKey {
                    zone: zone.id,
                    apex: zone.apex.clone(),
                    owner: name(&format!("{label}{domain}")),
                };
                for limit in [2, 1000] {
                    let extent = Extent {
                        since: Timestamp::from_unix(START + 30 * HOUR),
                        until,
                        limit,
                        instants_min: 2,
                        is_once: false,
                    };
                    let newest = lookup.newest_intervals(&key, &extent).expect("read");
                    let hosts = lookup.host_addresses(&key.owner, &extent).expect("read");
                    answers.push(format!("{newest:?} {hosts:?}"));
                }
                let window = lookup.window(&key, until).expect("read");
                let anew = lookup.registered_anew(&key, until).expect("read");
                answers.push(format!("{window:?} {anew:?}"));
            }
            let many = lookup.has_more_names(zone, domain, 2).expect("read");
            let used = lookup.has_host_used_elsewhere(domain).expect("read");
            answers.push(format!("{many} {used}"));
        }
        answers
    }

    /// Asks what a sight has of each of some domains. Returns how many there are.
    fn of_domains(store: &Store, domains: &[Name], until: i64) -> usize {
        let (lookup, until) = (store.lookup(), Timestamp::from_unix(until));
        let extent = Extent {
            since: Timestamp::from_unix(START + 30 * HOUR),
            until,
            limit: 1000,
            instants_min: 2,
            is_once: false,
        };
        let ask = |domain: &Name| {
            let zones = store.zones().zones_enclosing(domain)?;
            let zone = zones.first().expect("a zone");
            let key = EntityKey {
                zone: zone.id,
                apex: zone.apex.clone(),
                owner: domain.clone(),
            };
            lookup.newest_intervals(&key, &extent)?;
            lookup.registered_anew(&key, until)?;
            lookup.has_more_names(zone, domain, 2)?;
            lookup.has_host_used_elsewhere(domain)
        };
        domains.iter().filter(|domain| ask(domain).is_ok()).count()
    }

    #[test]
    fn sight_of_many_domains_answers_as_each_question_by_itself() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions {
            reverse_index: true,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("opened");
        let domains: Vec<Name> = (0..12).map(|n| name(&format!("d{n}.example"))).collect();
        let address = |n: i64| Rdata::A([192, 0, 2, n as u8].into());
        // Over three months: some move often, one more often than a sight holds, and some have names of their own.
        for step in 0..13_i64 {
            let at = START + 160 * HOUR * step;
            for (n, domain) in (0_i64..).zip(&domains) {
                if n < 10 && step % (n + 1) == 0 {
                    let host = if n % 2 == 0 {
                        "ns.other.net".into()
                    } else {
                        format!("ns.d{n}.example")
                    };
                    let last = name(&format!("ns{step}.op.net"));
                    let hosts = [Rdata::Ns(name(&host)), Rdata::Ns(last)];
                    tell(&store, at, &domain.to_string(), &hosts);
                    tell(&store, at, &format!("ns.{domain}"), &[address(step)]);
                }
                if n >= 9 {
                    tell(&store, at, &format!("www.{domain}"), &[address(100 + step)]);
                    tell(&store, at, &format!("a.www.{domain}"), &[address(200)]);
                }
            }
        }
        for step in 0..4 {
            let set: Vec<Rdata> = (0..250)
                .map(|n| Rdata::A([10, 0, step, n].into()))
                .collect();
            let at = START + (2100 + i64::from(step)) * HOUR;
            tell(&store, at, "ns.d1.example", &set);
        }
        let until = START + 2200 * HOUR;
        let reading = store.begin_reading().expect("begun");
        let by_themselves = answers(&store, &domains, until);
        let range = SightRange {
            since: Timestamp::from_unix(START + 30 * HOUR),
            names_max: 2,
        };
        let seen: Vec<&Name> = domains.iter().collect();
        let sight = store.lookup().sight(&seen, &range).expect("read");
        assert_eq!(answers(&store, &domains, until), by_themselves);
        let before = store.call_count();
        assert_eq!(
            of_domains(&store, &domains, until),
            domains.len(),
            "each is answered"
        );
        assert_eq!(store.call_count() - before, 0);
        drop(sight);
        assert!(store.seen.borrow().is_none());
        drop(reading);
    }
}
