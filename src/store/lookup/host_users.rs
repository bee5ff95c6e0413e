//! Who uses a name server.

use std::collections::{BTreeMap, BTreeSet};

use crate::dns::Name;
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::lookup::Lookup;

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
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn delegations_using(&self, hosts: &BTreeSet<Name>) -> Result<BTreeSet<Name>, StoreError> {
        let used = self.delegations_by_host(hosts)?;
        Ok(used.into_values().flatten().collect())
    }

    /// [`Lookup::delegations_using`], for each host.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn delegations_by_host(
        &self,
        hosts: &BTreeSet<Name>,
    ) -> Result<BTreeMap<Name, BTreeSet<Name>>, StoreError> {
        let users = self.users_by_host(hosts, usize::MAX)?.into_iter();
        Ok(users.map(|(host, users)| (host, users.names)).collect())
    }

    /// Returns who uses each of some name servers, `limit` users in all by name: first of those name servers that
    /// fewest use.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn users_by_host(
        &self,
        hosts: &BTreeSet<Name>,
        limit: usize,
    ) -> Result<BTreeMap<Name, HostUsers>, StoreError> {
        let mut owners: Vec<_> = self.owners_by_host(hosts)?.into_values().collect();
        owners.sort_by_key(|(_, owners)| owners.len());
        let (mut users, mut room) = (BTreeMap::new(), limit);
        for (host, owners) in owners {
            let named = owners.iter().take(room);
            let names: BTreeSet<Name> = named
                .map(|id| self.absolute_owner(*id))
                .collect::<Result<_, _>>()?;
            room -= names.len().min(room);
            let count = owners.len();
            users.insert(host, HostUsers { count, names });
        }
        Ok(users)
    }

    /// Returns the rows of the owners that use each of some name servers, by its row.
    fn owners_by_host(
        &self,
        hosts: &BTreeSet<Name>,
    ) -> Result<BTreeMap<i64, (Name, BTreeSet<i64>)>, StoreError> {
        let mut by_id: BTreeMap<i64, (Name, BTreeSet<i64>)> = BTreeMap::new();
        for host in hosts {
            if let Some(id) = self.store.ledger().find_host(host)? {
                by_id.insert(id, (host.clone(), BTreeSet::new()));
            }
        }
        if self.store.has_reverse_index {
            for (id, (_, owners)) in &mut by_id {
                // "rrtype = 2" stands literally, so that the partial index serves.
                owners.extend(self.store.run(|db| {
                    let sql = "select owner_id from record where rrtype = 2 and rdata = ?";
                    db.values::<i64>(sql, [id])
                })?);
            }
        } else {
            // Only one that a name outside it uses can be used anywhere.
            let mut elsewhere: BTreeMap<i64, &mut BTreeSet<i64>> = BTreeMap::new();
            for (id, (host, owners)) in &mut by_id {
                if self.store.ledger().is_used_elsewhere(*id)? {
                    elsewhere.insert(*id, owners);
                } else {
                    *owners = self.users_above(host, *id)?;
                }
            }
            self.find_users(elsewhere)?;
        }
        Ok(by_id)
    }

    /// Finds the users of some name servers in one pass over all records.
    fn find_users(&self, mut users: BTreeMap<i64, &mut BTreeSet<i64>>) -> Result<(), StoreError> {
        if users.is_empty() {
            return Ok(());
        }
        self.store.run(|db| {
            let sql = "select owner_id, rdata from record where rrtype = 2";
            let mut statement = db.prepare(sql)?;
            let mut rows = statement.rows(())?;
            while let Some(row) = rows.next()? {
                // By place: every delegation there is passes here.
                if let Some(owners) = users.get_mut(&row.at::<i64>(1)?) {
                    owners.insert(row.at(0)?);
                }
            }
            Ok(())
        })
    }

    /// Returns the owners at or above a name server that use it, in any zone.
    fn users_above(&self, host: &Name, host_id: i64) -> Result<BTreeSet<i64>, StoreError> {
        let mut owners = BTreeSet::new();
        for zone in self.store.zones().zones_enclosing(host)? {
            let mut name = Some(host.clone());
            while let Some(owner) = name.filter(|name| name.is_at_or_below(&zone.apex)) {
                owners.extend(self.store.run(|db| {
                    let sql = "select o.id
                                 from owner o
                                      join record r on r.owner_id = o.id and r.rrtype = 2
                                           and r.rdata = ?3
                                where o.zone_id = ?1 and o.name = ?2";
                    db.first_value::<i64>(
                        sql,
                        params![zone.id, owner.relative_key(&zone.apex), host_id],
                    )
                })?);
                name = owner.parent();
            }
        }
        Ok(owners)
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
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn has_host_used_elsewhere(&self, domain: &Name) -> Result<bool, StoreError> {
        let key = domain
            .relative_key(&Name::root())
            .expect("every name is below the root");
        self.store.run(|db| {
            let sql = "
                select exists (
                    select 1 from host h
                     where (h.name = ?1 or h.name >= ?1 || '.' and h.name < ?1 || '/')
                       and exists (select 1 from popularity p where p.user_of = h.id))";
            db.value(sql, [key])
        })
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
        let below = " union all select id from host where name >= ?1 || '.' and name < ?1 || '/'";
        let sql = format!(
            "select id from host where name = ?1{}",
            if whole_operator { below } else { "" }
        );
        self.store.run(|db| db.values(&sql, [key]))
    }
}
