//! Who uses a name server.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::dns::Name;
use crate::store::door::{Numbers, params};
use crate::store::error::StoreError;
use crate::store::keys::ZoneId;
use crate::store::lookup::Lookup;
use crate::store::ranges::is_at_or_below;
use crate::store::sqlite::dialect::{AS_HOST, IN_ORDER, rows_of};

/// Who uses a name server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostUsers {
    /// How many owners.
    pub count: usize,
    /// Their names, each once; fewer where there are more than were asked for.
    pub names: BTreeSet<Name>,
}

impl Lookup<'_> {
    /// Returns the owners whose NS records name any of `hosts` now, in any zone; without duplicates.
    ///
    /// One look in the reverse index for each; where there is none, one pass over all records, unless only
    /// names above them use them.
    pub fn delegations_using(&self, hosts: &BTreeSet<Name>) -> Result<BTreeSet<Name>, StoreError> {
        let used = self.delegations_by_host(hosts)?;
        Ok(used.into_values().flatten().collect())
    }

    /// [`Lookup::delegations_using`], for each host.
    pub fn delegations_by_host(
        &self,
        hosts: &BTreeSet<Name>,
    ) -> Result<BTreeMap<Name, BTreeSet<Name>>, StoreError> {
        let users = self.users_by_host(hosts, usize::MAX)?.into_iter();
        Ok(users.map(|(host, users)| (host, users.names)).collect())
    }

    /// Returns who uses each of some name servers, `limit` users in all by name: first of those name servers that
    /// fewest use.
    pub fn users_by_host(
        &self,
        hosts: &BTreeSet<Name>,
        limit: usize,
    ) -> Result<BTreeMap<Name, HostUsers>, StoreError> {
        let mut owners: Vec<_> = self.owners_by_host(hosts)?.into_values().collect();
        owners.sort_by_key(|(_, owners)| owners.len());
        let mut names = self.names_within(&owners, limit)?;
        let (mut users, mut room) = (BTreeMap::new(), limit);
        for (host, owners) in owners {
            let mut named = BTreeSet::new();
            for id in owners.iter().take(room) {
                named.insert(match names.remove(id) {
                    Some(name) => name,
                    None => self.absolute_owner(*id)?,
                });
            }
            // A name that several zones hold has a row for each.
            let count = match owners.len() <= room {
                true => named.len(),
                false => owners.len(),
            };
            room -= named.len().min(room);
            users.insert(
                host,
                HostUsers {
                    count,
                    names: named,
                },
            );
        }
        Ok(users)
    }

    /// Returns which of some name servers somebody uses together: of each owner that uses any, those that it uses.
    pub fn sets_in_use(
        &self,
        hosts: &BTreeSet<Name>,
    ) -> Result<BTreeSet<BTreeSet<Name>>, StoreError> {
        let by_host = self.owners_by_host(hosts)?;
        let mut of_owner: HashMap<i64, BTreeSet<&Name>> = HashMap::new();
        for (host, owners) in by_host.values() {
            for owner in owners {
                of_owner.entry(*owner).or_default().insert(host);
            }
        }
        let sets: HashSet<BTreeSet<&Name>> = of_owner.into_values().collect();
        let sets = sets.into_iter();
        Ok(sets.map(|set| set.into_iter().cloned().collect()).collect())
    }

    /// Returns the names of the owners of some name servers that there is room for, by their rows.
    fn names_within(
        &self,
        owners: &[(Name, BTreeSet<i64>)],
        mut room: usize,
    ) -> Result<HashMap<i64, Name>, StoreError> {
        let mut ids = BTreeSet::new();
        for (_, owners) in owners {
            ids.extend(owners.iter().take(room));
            room -= owners.len().min(room);
        }
        self.absolute_owners(&ids)
    }

    /// Returns the rows of the owners that use each of some name servers, by its row.
    fn owners_by_host(
        &self,
        hosts: &BTreeSet<Name>,
    ) -> Result<BTreeMap<i64, (Name, BTreeSet<i64>)>, StoreError> {
        let ids = self.store.ledger().find_hosts(hosts)?;
        let mut by_id: BTreeMap<i64, (Name, BTreeSet<i64>)> = ids
            .into_iter()
            .map(|(host, id)| (id, (host, BTreeSet::new())))
            .collect();
        if by_id.is_empty() {
            return Ok(by_id);
        }
        let ids: Numbers = by_id.keys().copied().collect();
        let users = if self.store.has_reverse_index {
            // "rrtype = 2" stands literally, so that the partial index serves.
            let sql = format!(
                "select r.rdata, r.owner_id
                   from {list} w {IN_ORDER} record r on r.rrtype = 2 and r.rdata{AS_HOST} = w.value",
                list = rows_of("?")
            );
            self.store
                .run(|db| db.query(&sql, [ids], |row| Ok((row.at(0)?, row.at(1)?))))?
        } else {
            // Only one that a name outside it uses can be used anywhere.
            let elsewhere: BTreeSet<i64> = self.store.run(|db| {
                let sql = format!(
                    "select w.value
                       from {list} w
                      where exists (select 1 from popularity where user_of = w.value)",
                    list = rows_of("?")
                );
                Ok(db.values(&sql, [ids])?.into_iter().collect())
            })?;
            let inside = by_id.iter().filter(|(id, _)| !elsewhere.contains(id));
            let inside: Vec<(i64, &Name)> = inside.map(|(id, (host, _))| (*id, host)).collect();
            let mut users = self.users_above(&inside)?;
            users.extend(self.find_users(&elsewhere)?);
            users
        };
        for (host, owner) in users {
            if let Some((_, owners)) = by_id.get_mut(&host) {
                owners.insert(owner);
            }
        }
        Ok(by_id)
    }

    /// Finds the users of some name servers in one pass over all records: the name server's row and the user's.
    fn find_users(&self, hosts: &BTreeSet<i64>) -> Result<Vec<(i64, i64)>, StoreError> {
        let mut users = Vec::new();
        if hosts.is_empty() {
            return Ok(users);
        }
        self.store.run(|db| {
            let sql = "select owner_id, rdata from record where rrtype = 2";
            let mut statement = db.prepare(sql)?;
            let mut rows = statement.scan(())?;
            while let Some(row) = rows.next()? {
                // By place: every delegation there is passes here.
                let host = row.at(1)?;
                if hosts.contains(&host) {
                    users.push((host, row.at(0)?));
                }
            }
            Ok(users)
        })
    }

    /// Returns the owners at or above name servers that use them, in any zone: the name server's row and the user's.
    fn users_above(&self, hosts: &[(i64, &Name)]) -> Result<Vec<(i64, i64)>, StoreError> {
        let mut by_zone: BTreeMap<(ZoneId, Name), BTreeMap<String, Vec<i64>>> = BTreeMap::new();
        for (id, host) in hosts {
            for zone in self.store.zones().zones_enclosing(host)? {
                let keys = by_zone.entry((zone.id, zone.apex.clone())).or_default();
                for owner in host.up_to(&zone.apex) {
                    let key = owner.relative_key(&zone.apex).unwrap_or_default();
                    keys.entry(key).or_default().push(*id);
                }
            }
        }
        let mut users = Vec::new();
        for ((zone, _), below) in by_zone {
            let (keys, below): (Vec<String>, Vec<Vec<i64>>) = below.into_iter().unzip();
            let owners = self.store.ledger().ids_of_keys(zone, &keys)?;
            let below: HashMap<i64, Vec<i64>> = owners
                .into_iter()
                .zip(below)
                .filter_map(|(owner, hosts)| Some((owner?, hosts)))
                .collect();
            let rows: Vec<(i64, i64)> = self.store.run(|db| {
                let sql = format!(
                    "select r.rdata, r.owner_id
                       from {list} w {IN_ORDER} record r on r.owner_id = w.value and r.rrtype = 2",
                    list = rows_of("?")
                );
                let owners: Numbers = below.keys().copied().collect();
                db.query(&sql, [owners], |row| Ok((row.at(0)?, row.at(1)?)))
            })?;
            users.extend(
                rows.into_iter()
                    .filter(|(host, owner)| below[owner].contains(host)),
            );
        }
        Ok(users)
    }

    /// Returns the absolute names of owners in whatever zones they are, by their rows.
    fn absolute_owners(&self, owners: &BTreeSet<i64>) -> Result<HashMap<i64, Name>, StoreError> {
        if owners.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(i64, String, String)> = self.store.run(|db| {
            let sql = format!(
                "select o.id, z.name as zone_name, o.name as owner_name
                   from {list} w {IN_ORDER} owner o on o.id = w.value
                        join zone z on z.id = o.zone_id",
                list = rows_of("?")
            );
            let owners: Numbers = owners.iter().copied().collect();
            db.query(&sql, [owners], |row| {
                Ok((
                    row.get("id")?,
                    row.get("zone_name")?,
                    row.get("owner_name")?,
                ))
            })
        })?;
        let read = |(id, zone, key): (i64, String, String)| {
            let name = Name::from_relative_key(&key, &self.store.read_name(&zone)?);
            Ok((
                id,
                name.map_err(|fault| self.store.damaged(fault.to_string()))?,
            ))
        };
        rows.into_iter().map(read).collect()
    }

    /// Returns the absolute name of an owner in whatever zone it is.
    fn absolute_owner(&self, owner_id: i64) -> Result<Name, StoreError> {
        let (apex, key): (String, String) = self.store.run(|db| {
            let sql = "select z.name as zone_name, o.name as owner_name
                         from owner o join zone z on z.id = o.zone_id where o.id = ?";
            db.query_one(sql, [owner_id], |row| {
                Ok((row.get("zone_name")?, row.get("owner_name")?))
            })
        })?;
        Name::from_relative_key(&key, &self.store.read_name(&apex)?)
            .map_err(|fault| self.store.damaged(fault.to_string()))
    }

    /// Returns whether a name server at or below `domain` is used by a name that it is not below.
    pub fn has_host_used_elsewhere(&self, domain: &Name) -> Result<bool, StoreError> {
        if let Some(known) = self.seen_used_elsewhere(domain) {
            return Ok(known);
        }
        let key = domain
            .relative_key(&Name::root())
            .expect("every name is below the root");
        self.store.run(|db| {
            let sql = format!(
                "select exists (
                    select 1 from host h
                     where {}
                       and exists (select 1 from popularity p where p.user_of = h.id))",
                is_at_or_below("h.name", "?1")
            );
            db.value(&sql, [key])
        })
    }

    /// Returns the name servers at or below `domain` that a name uses which is neither these nor above them, in
    /// canonical order of their names; at most `limit`.
    pub fn hosts_used_elsewhere(
        &self,
        domain: &Name,
        limit: usize,
    ) -> Result<Vec<Name>, StoreError> {
        let key = domain
            .relative_key(&Name::root())
            .expect("every name is below the root");
        let keys: Vec<String> = self.store.run(|db| {
            let sql = format!(
                "select h.name from host h
                  where {}
                    and exists (select 1 from popularity p where p.user_of = h.id)
                  order by h.name limit ?2",
                is_at_or_below("h.name", "?1")
            );
            db.values(&sql, params![key, limit as i64])
        })?;
        let name = |key: &String| {
            Name::from_relative_key(key, &Name::root())
                .map_err(|fault| self.store.damaged(fault.to_string()))
        };
        keys.iter().map(name).collect()
    }

    /// Returns the rows of a name server, or of every name server at or below an operator's domain.
    pub(in crate::store) fn hosts_of(
        &self,
        host: &Name,
        whole_operator: bool,
    ) -> Result<Vec<i64>, StoreError> {
        let key = host
            .relative_key(&Name::root())
            .expect("every name is below the root");
        let these = if whole_operator {
            is_at_or_below("name", "?1")
        } else {
            "name = ?1".to_owned()
        };
        let sql = format!("select id from host where {these}");
        self.store.run(|db| db.values(&sql, [key]))
    }
}
