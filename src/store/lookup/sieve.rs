//! Which of many domains have changed often enough lately to be looked at closely.
//!
//! Of ten thousand domains that a version changes, hardly one has changed often. Each of them costs some sixteen
//! questions to be judged; this asks a dozen about all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::dns::{Name, RecordType};
use crate::store::door::{Fault, Numbers, Row, Texts, Value, params};
use crate::store::error::StoreError;
use crate::store::keys::{View, ZoneId};
use crate::store::lookup::Lookup;
use crate::store::ranges::is_below;
use crate::store::sqlite::dialect::{IN_ORDER, rows_of, texts_of};
use crate::time::Timestamp;

/// Fewer domains than these are not asked about: each costs no more to be judged.
const DOMAINS_MIN: usize = 8;
/// How many domains are asked about together...
const DOMAINS_AT_ONCE: usize = 10_000;
/// ...and how many of those of which there is too much to be read for all of them.
const BUSY_DOMAINS_AT_ONCE: usize = 2_000;
/// The most rows that are read for them with one statement: who has more is looked at closely, all of them together.
const ROWS_MAX: usize = 500_000;

/// The most closed intervals of an owner in a month that are read; one with more is looked at closely.
const OWNER_ROWS_MAX: i64 = 512;

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
struct Stirred {
    /// The versions that changed something of each.
    versions: Vec<HashSet<i64>>,
    /// The name servers of each.
    hosts: Vec<HashSet<i64>>,
    /// Those that are looked at whatever changed: there is too much to be read, or they are no delegations.
    unread: Vec<usize>,
}

/// An owner of a zone and the domain that it is part of: its row, the domain's place, whether it is the domain itself.
type Part = (i64, usize, bool);

/// Domains of one zone.
struct Domains {
    /// Their keys in it, and their places.
    keyed: Vec<(String, usize)>,
    /// Their rows, in the same order; `None` of one that history does not know.
    ids: Vec<Option<i64>>,
    /// The ends of their open intervals.
    open: Vec<RawEnds>,
}

impl Domains {
    /// Returns those at some places, and the places of the others. Open intervals of the others may be among theirs.
    fn split(self, places: &HashSet<usize>) -> (Self, Vec<usize>) {
        let mut here = Self {
            keyed: Vec::new(),
            ids: Vec::new(),
            open: self.open,
        };
        let mut others = Vec::new();
        for ((key, place), id) in self.keyed.into_iter().zip(self.ids) {
            match places.contains(&place) {
                true => {
                    here.keyed.push((key, place));
                    here.ids.push(id);
                }
                false => others.push(place),
            }
        }
        (here, others)
    }
}

/// An interval's owner, type and data, and the versions at its ends.
type RawEnds = (i64, u16, Value, i64, Option<i64>);

/// The ends of owners' intervals.
#[derive(Default)]
struct Ends {
    rows: Vec<RawEnds>,
    /// Owners of which there are more than are read.
    busy: HashSet<i64>,
}

impl Lookup<'_> {
    /// Returns those of some domains of which so much may have changed lately: their delegation, the glue below it, or the
    /// addresses of their name servers. What it leaves out is delegated in every zone that is judged, and has changed at
    /// fewer instants; of what it returns, some may have too. What is no delegation it returns always.
    pub fn stirred(&self, domains: &[&Name], stir: &Stir) -> Result<HashSet<Name>, StoreError> {
        if domains.len() < DOMAINS_MIN {
            return Ok(domains.iter().map(|domain| (*domain).clone()).collect());
        }
        let mut all = HashSet::new();
        let mut waiting: Vec<&[&Name]> = domains.chunks(DOMAINS_AT_ONCE).collect();
        while let Some(chunk) = waiting.pop() {
            let Some(stirred) = self.stirred_of(chunk, stir)? else {
                match chunk.len() > BUSY_DOMAINS_AT_ONCE {
                    true => waiting.extend(chunk.chunks(BUSY_DOMAINS_AT_ONCE)),
                    false => all.extend(chunk.iter().map(|domain| (*domain).clone())),
                }
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
            let Some(domains_read) = self.read_domains(zone, keys)? else {
                return Ok(None);
            };
            // What is no delegation is judged by its own names too, of which many may come at one instant.
            let delegated = self.delegated_among(zone, &apex, domains, &domains_read)?;
            let (delegations, unread) = domains_read.split(&delegated);
            stirred.unread.extend(unread);
            let Some(parts) = self.parts_of(zone, &delegations)? else {
                return Ok(None);
            };
            if !self.read_parts(zone, (&parts, delegations.open), stir, &mut stirred)? {
                return Ok(None);
            }
        }
        Ok(self.read_hosts(stir, &mut stirred)?.then_some(stirred))
    }

    /// Returns the zones that enclose names and are judged, with the places of those names.
    pub(in crate::store) fn by_zone(
        &self,
        names: &[&Name],
    ) -> Result<BTreeMap<(ZoneId, Name), Vec<usize>>, StoreError> {
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

    /// Reads the rows of domains, which have keys in a zone, and their open intervals; `None` if there are too many.
    fn read_domains(
        &self,
        zone: ZoneId,
        keyed: Vec<(String, usize)>,
    ) -> Result<Option<Domains>, StoreError> {
        let keys: Vec<String> = keyed.iter().map(|(key, _)| key.clone()).collect();
        let ids = self.store.ledger().ids_of_keys(zone, &keys)?;
        let there: Numbers = ids.iter().copied().flatten().collect();
        let open = match there.0.is_empty() {
            true => Vec::new(),
            false => self.open_ends(&there)?,
        };
        Ok((open.len() < ROWS_MAX).then_some(Domains { keyed, ids, open }))
    }

    /// Returns the places of those domains that are delegations, or lie below one. That has name servers now tells of most;
    /// of the others their past and the names above are asked. One whose delegation is gone and of which the zone has
    /// something itself is none.
    fn delegated_among(
        &self,
        zone: ZoneId,
        apex: &Name,
        domains: &[&Name],
        read: &Domains,
    ) -> Result<HashSet<usize>, StoreError> {
        let with_ns: HashSet<i64> = read
            .open
            .iter()
            .filter(|(_, code, ..)| *code == RecordType::Ns.code())
            .map(|(owner, ..)| *owner)
            .collect();
        let places = read.ids.iter().zip(&read.keyed);
        let (mut delegated, mut others) = (HashSet::new(), Vec::new());
        for (id, (_, place)) in places {
            let is_cut = id.is_some_and(|id| with_ns.contains(&id)) && domains[*place] != apex;
            match is_cut {
                true => _ = delegated.insert(*place),
                false => others.push(*place),
            }
        }
        let names: Vec<&Name> = others.iter().map(|place| domains[*place]).collect();
        let below = self.lately_below_cut(zone, apex, &names)?;
        let with_data = self.with_data(zone, apex, &below)?;
        delegated.extend(others.into_iter().filter(|place| {
            let domain = domains[*place];
            below.contains(domain) && !with_data.contains(domain)
        }));
        Ok(delegated)
    }

    /// Returns the owners of a zone that are at or below some domains of it; `None` if there are too many.
    fn parts_of(&self, zone: ZoneId, domains: &Domains) -> Result<Option<Vec<Part>>, StoreError> {
        let own = domains.ids.iter().zip(&domains.keyed);
        let mut parts: Vec<Part> = own
            .filter_map(|(id, (_, place))| Some(((*id)?, *place, true)))
            .collect();
        let keys: Vec<String> = domains.keyed.iter().map(|(key, _)| key.clone()).collect();
        let places: HashMap<&str, usize> = (domains.keyed.iter())
            .map(|(key, place)| (key.as_str(), *place))
            .collect();
        let rows: Vec<Part> = self.store.run(|db| {
            let sql = format!(
                "select o.id, w.value
                   from {list} w {IN_ORDER} owner o on o.zone_id = ?1 and {below}
                  limit ?3",
                list = texts_of("?2"),
                below = is_below("o.name", "w.value")
            );
            let asked = params![zone, Texts(keys), ROWS_MAX as i64];
            db.query(&sql, asked, |row| {
                let place = places.get(row.text_at(1)?).copied().unwrap_or_default();
                Ok((row.at(0)?, place, false))
            })
        })?;
        if rows.len() == ROWS_MAX {
            return Ok(None);
        }
        parts.extend(rows);
        Ok(Some(parts))
    }

    /// Reads what changed of owners, and the name servers of those that are domains, whose open intervals are read already.
    /// Returns whether that is all.
    fn read_parts(
        &self,
        zone: ZoneId,
        (parts, open): (&[Part], Vec<RawEnds>),
        stir: &Stir,
        stirred: &mut Stirred,
    ) -> Result<bool, StoreError> {
        let mut by_owner: HashMap<i64, Vec<(usize, bool)>> = HashMap::new();
        for (owner, place, is_itself) in parts {
            let places = by_owner.entry(*owner).or_default();
            places.push((*place, *is_itself));
        }
        let first = self.first_version(zone, stir.since)?;
        let mut unread: Vec<usize> = Vec::new();
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
        let (domains, below): (Vec<&Part>, Vec<&Part>) =
            parts.iter().partition(|(_, _, is_itself)| *is_itself);
        let domains: Numbers = domains.iter().map(|(owner, ..)| *owner).collect();
        let below: Numbers = below.iter().map(|(owner, ..)| *owner).collect();
        let open_below = match below.0.is_empty() {
            true => Vec::new(),
            false => self.open_ends(&below)?,
        };
        if open_below.len() >= ROWS_MAX {
            return Ok(false);
        }
        open.into_iter().chain(open_below).for_each(&mut take);
        let changed_since = stir.since.month_bucket();
        let months = self.store.zones();
        let months = months.buckets_since(zone, Some(stir.hosts_since))?;
        // The bucket 0 stands for what is open.
        let months = months.into_iter().filter(|month| *month != 0);
        let is_late = |month: &i64| *month >= changed_since;
        let (late, early): (Vec<i64>, Vec<i64>) = months.partition(is_late);
        for (months, owners) in [(late, &owners), (early, &domains)] {
            let Some(ends) = self.ends_in(&months, owners)? else {
                return Ok(false);
            };
            ends.rows.into_iter().for_each(&mut take);
            let busy = ends.busy.iter().filter_map(|owner| by_owner.get(owner));
            unread.extend(busy.flatten().map(|(place, _)| *place));
        }
        stirred.unread.extend(unread);
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
        let mut busy: HashSet<usize> = HashSet::new();
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
            let months = self.store.zones().buckets_since(zone, Some(stir.since))?;
            let Some(ends) = self.ends_in(&months, &owners)? else {
                return Ok(false);
            };
            busy.extend(ends.busy.iter().map(|owner| by_owner[owner]));
            for (owner, _, _, added, removed) in ends.rows {
                let ends = [Some(added), removed].into_iter().flatten();
                versions[by_owner[&owner]].extend(ends.filter(|id| *id >= first));
            }
        }
        let places: HashMap<i64, usize> = ids.into_iter().zip(0..).collect();
        for (domain, hosts) in stirred.hosts.iter().enumerate() {
            for place in hosts.iter().filter_map(|host| places.get(host)) {
                stirred.versions[domain].extend(&versions[*place]);
                if busy.contains(place) {
                    stirred.unread.push(domain);
                }
            }
        }
        Ok(true)
    }

    /// Returns the ends of the intervals of owners that ended in some months, or, for month 0, are open; `None` if there
    /// are too many.
    fn ends_in(&self, months: &[i64], owners: &Numbers) -> Result<Option<Ends>, StoreError> {
        let mut ends = Ends::default();
        if months.contains(&0) {
            ends.rows = self.open_ends(owners)?;
        }
        let closed: Numbers = months.iter().copied().filter(|month| *month != 0).collect();
        if !closed.0.is_empty() && !owners.0.is_empty() {
            ends.busy = self.busy_in(&closed, owners, OWNER_ROWS_MAX)?;
            let calm = owners.0.iter().filter(|owner| !ends.busy.contains(owner));
            let calm: Numbers = calm.copied().collect();
            ends.rows.extend(self.closed_ends(&closed, &calm)?);
        }
        Ok((ends.rows.len() < ROWS_MAX).then_some(ends))
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

    /// Returns the ends of the intervals of owners that ended in some months.
    fn closed_ends(&self, months: &Numbers, owners: &Numbers) -> Result<Vec<RawEnds>, StoreError> {
        self.store.run(|db| {
            let sql = format!(
                "select p.owner_id, p.rrtype, p.rdata, p.added_id, p.removed_id
                   from {months} m {IN_ORDER} {owners} w on true
                        {IN_ORDER} past_record p on p.bucket = m.value and p.owner_id = w.value
                  limit ?3",
                months = rows_of("?1"),
                owners = rows_of("?2")
            );
            db.query(&sql, params![months, owners, ROWS_MAX as i64], read_ends)
        })
    }
}

/// Reads the ends of an interval: by place, for every interval of every domain passes here.
fn read_ends(row: &Row<'_>) -> Result<RawEnds, Fault> {
    Ok((row.at(0)?, row.at(1)?, row.at(2)?, row.at(3)?, row.at(4)?))
}

#[cfg(test)]
pub(super) mod tests {
    use crate::dns::{Rdata, Record, RecordType};
    use crate::store::handle::{Store, StoreOptions};
    use crate::store::keys::SourceKind;
    use crate::store::ledger::draft::{VersionDraft, VersionKind};
    use crate::store::ledger::version::SourceChange;
    use crate::zone::diff;

    use super::*;

    pub(in crate::store::lookup) const START: i64 = 1_790_000_000;
    pub(in crate::store::lookup) const HOUR: i64 = 3600;

    pub(in crate::store::lookup) fn name(text: &str) -> Name {
        Name::parse(text).expect("valid")
    }

    /// Gives an owner these records of their type, in a version of its own.
    pub(in crate::store::lookup) fn tell(store: &Store, at: i64, owner: &str, records: &[Rdata]) {
        write(store, (None, Timestamp::from_unix(at)), owner, records);
    }

    /// [`tell`], as more of a version.
    pub(in crate::store::lookup) fn tell_more(
        store: &Store,
        (version, at): (i64, Timestamp),
        owner: &str,
        records: &[Rdata],
    ) {
        write(store, (Some(version), at), owner, records);
    }

    /// Writes the records of an owner and type, in a version of a time.
    fn write(
        store: &Store,
        (joins, observed_at): (Option<i64>, Timestamp),
        owner: &str,
        records: &[Rdata],
    ) {
        let zones = store.zones();
        let source = zones.ensure_source("feed", SourceKind::Feed).expect("made");
        let zone = zones.ensure_zone(&name("example"), source).expect("made");
        let kind = match zone.version_id {
            None => VersionKind::Baseline,
            Some(_) => VersionKind::Feed,
        };
        let draft = VersionDraft {
            source,
            kind,
            serial: None,
            observed_at,
            joins,
            drift: false,
        };
        let mut tx = store.ledger().begin(&zone, draft).expect("begun");
        let owner = name(owner);
        let rtype = records.first().map_or(RecordType::Ns, Rdata::rtype);
        let before = tx.rrsets(&[(&owner, rtype)]).expect("read").remove(0);
        let record = |rdata: &Rdata| Record {
            rdata: rdata.clone(),
            ttl: 300,
        };
        let mut after: Vec<Record> = records.iter().map(record).collect();
        after.sort();
        after.dedup();
        let change = diff(&before, &after);
        let baseline = kind == VersionKind::Baseline;
        let told = vec![SourceChange {
            owner,
            change,
            baseline,
        }];
        tx.apply_changes(told).expect("applied");
        tx.commit(false).expect("committed");
    }

    /// Returns which of the domains are to be looked at, by what changed in the 7 days before an hour.
    fn stirred(store: &Store, domains: &[Name], hour: i64) -> Vec<String> {
        let at = Timestamp::from_unix(START + hour * HOUR);
        let stir = Stir {
            since: Timestamp::from_unix(at.unix() - 168 * HOUR),
            hosts_since: Timestamp::from_unix(at.unix() - 90 * 24 * HOUR),
            instants_min: 3.0,
        };
        let domains: Vec<&Name> = domains.iter().collect();
        let found = store.lookup().stirred(&domains, &stir).expect("read");
        let mut found: Vec<String> = found.iter().map(Name::to_string).collect();
        found.sort();
        found
    }

    #[test]
    fn domain_is_looked_at_if_it_or_its_name_servers_changed_often_lately() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("opened");
        let ns = |host: &str| Rdata::Ns(name(host));
        let address = |last: i64| Rdata::A([192, 0, 2, last as u8].into());
        let domains: Vec<Name> = (0..10).map(|n| name(&format!("d{n}.example"))).collect();
        for (n, domain) in domains.iter().enumerate() {
            let host = if n == 7 { "ns.d8.example" } else { "ns.op.net" };
            tell(&store, START, &domain.to_string(), &[ns(host)]);
        }
        // d1 moves itself, d8 has a name server whose address moves, which d7 uses; d2 moves once, d3 long ago.
        for step in 1..=3 {
            let at = START + step * HOUR;
            tell(
                &store,
                at,
                "d3.example",
                &[ns(&format!("ns{step}.other.net"))],
            );
        }
        for step in 1..=3 {
            let at = START + (400 + step) * HOUR;
            tell(
                &store,
                at,
                "d1.example",
                &[ns(&format!("ns{step}.other.net"))],
            );
            tell(&store, at, "ns.d8.example", &[address(step)]);
        }
        tell(
            &store,
            START + 404 * HOUR,
            "d2.example",
            &[ns("ns.other.net")],
        );
        // n9 is no delegation, but a name of the zone's own: how many names it gets at one instant is not counted here.
        tell(&store, START + 404 * HOUR, "www.n9.example", &[address(9)]);
        let mut domains = domains;
        domains[9] = name("n9.example");
        assert_eq!(
            stirred(&store, &domains, 405),
            ["d1.example.", "d7.example.", "d8.example.", "n9.example."]
        );
        assert_eq!(stirred(&store, &domains, 600), ["n9.example."]);
        // Few are not asked about.
        assert_eq!(stirred(&store, &domains[..2], 600).len(), 2);
    }
}
