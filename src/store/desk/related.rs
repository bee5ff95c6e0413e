//! What a case has in common with others: name servers and addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::case::Exempt;
use crate::dns::Name;
use crate::store::desk::Desk;
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::ranges::is_at_or_below;
use crate::store::sqlite::dialect::IN_ORDER;

/// The most name servers of a case that are looked for among others.
const HOSTS_MAX: usize = 64;
/// The most cases with one name server that are looked at: with more of them it says little.
const CASES_OF_HOST_MAX: i64 = 256;

impl Desk<'_> {
    /// Returns the name servers that a case rests on and that are not a provider's, in order; no more than
    /// [`HOSTS_MAX`].
    pub fn hosts_of_case(&self, id: i64) -> Result<BTreeSet<Name>, StoreError> {
        let ids = self.host_traits(id)?;
        let names = ids.into_iter().map(|id| self.store.ledger().host_name(id));
        names.collect()
    }

    /// Returns the rows of the name servers that a case rests on.
    fn host_traits(&self, id: i64) -> Result<Vec<i64>, StoreError> {
        self.store.run(|db| {
            let sql = "select value from case_trait where case_id = ? and kind = 'host' limit ?";
            db.values(sql, params![id, HOSTS_MAX as i64])
        })
    }

    /// Returns the other cases that rest on name servers of a case, with how many they share, the most first.
    pub fn cases_sharing_hosts(&self, id: i64) -> Result<Vec<(i64, u32)>, StoreError> {
        let hosts = self.host_traits(id)?;
        let mut shared: BTreeMap<i64, u32> = BTreeMap::new();
        self.store.run(|db| {
            let sql = "select case_id
                         from case_trait
                        where kind = 'host' and value = ?1 and case_id <> ?2
                        limit ?3";
            let mut sharing = db.prepare(sql)?;
            for host in &hosts {
                let found = sharing.query(params![host, id, CASES_OF_HOST_MAX], |row| {
                    row.get::<i64>("case_id")
                })?;
                for other in found {
                    *shared.entry(other).or_default() += 1;
                }
            }
            Ok(())
        })?;
        let mut shared: Vec<(i64, u32)> = shared.into_iter().collect();
        shared.sort_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
        Ok(shared)
    }

    /// Returns the cases at level review or above, open or acknowledged, that rest on what an exemption covers, by
    /// number; no more than so many. Of providers, whose name servers and addresses many have, no case is known
    /// here.
    pub fn cases_resting_on(&self, covers: &Exempt, count: usize) -> Result<Vec<i64>, StoreError> {
        let open = "c.state in ('open', 'acknowledged') and c.level <> 'watch'";
        let count = count as i64;
        match covers {
            Exempt::Nameserver(host) | Exempt::Operator(host) => self.store.run(|db| {
                let is_operator = matches!(covers, Exempt::Operator(_));
                let these = if is_operator {
                    is_at_or_below("h.name", "?1")
                } else {
                    "h.name = ?1".to_owned()
                };
                let sql = format!(
                    "select distinct t.case_id
                       from host h
                            {IN_ORDER} case_trait t on t.kind = 'host' and t.value = h.id /* as data */
                            join abuse_case c on c.id = t.case_id
                      where {these} and {open}
                      order by t.case_id limit ?2"
                );
                db.values(&sql, params![host_key(host), count])
            }),
            Exempt::Addresses(first, last) => self.store.run(|db| {
                let sql = format!(
                    "select distinct t.case_id
                       from case_trait t join abuse_case c on c.id = t.case_id
                      where t.kind = 'address' and t.value >= ?1 and t.value <= ?2
                            and octet_length(t.value) = ?3 and {open}
                      order by t.case_id limit ?4"
                );
                let (first, last) = (octets(*first), octets(*last));
                let length = first.len() as i64;
                db.values(&sql, params![first, last, length, count])
            }),
            Exempt::Domain(_) | Exempt::Subtree(_) | Exempt::Account(_) => Ok(Vec::new()),
        }
    }
}

/// Returns an address as a trait has it.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Returns a name server's name as it stands in its row.
fn host_key(host: &Name) -> String {
    host.relative_key(&Name::root()).unwrap_or_default()
}
