//! Who leads where by an alias, and what stands below a domain for long.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::dns::{Name, Rdata, case_domain};
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::keys::{EntityKey, ZoneId};
use crate::store::lookup::Lookup;
use crate::store::lookup::window::{Extent, Interval};
use crate::store::ranges::is_at_or_below;
use crate::time::Timestamp;

/// How many owners are looked at for those that lead to an operator. Chosen by hand: some 20 ms, however many names
/// there are and however often they change.
const OWNERS_SAMPLED_MAX: i64 = 20_000;

/// How many names of a domain are looked through for those that have addresses for long.
const NAMES_MAX: i64 = 4096;
/// How many intervals tell since when a domain has been delegated: who changed more often since was so for long, or is
/// judged by that.
const DELEGATION_ROWS_MAX: usize = 64;

/// Where the alias of a name leads.
struct AliasRow {
    apex: String,
    owner: String,
    target: Vec<u8>,
}

impl Lookup<'_> {
    /// Returns how many domains other than `domain` have a name that has led below each of some operators since
    /// `before` or longer; `operator_of` tells the operator of a target.
    ///
    /// Looks at the first [`OWNERS_SAMPLED_MAX`] names that history came to know, of whatever zone: a number may be too
    /// low, and never is too high.
    pub fn domains_leading_to(
        &self,
        operators: &BTreeSet<Name>,
        domain: &Name,
        before: Timestamp,
        operator_of: impl Fn(&Name) -> Name,
    ) -> Result<BTreeMap<Name, usize>, StoreError> {
        let rows = self.store.run(|db| {
            let sql = "
                select z.name as zone_name, o.name as owner_name, r.rdata
                  from (select id, zone_id, name from owner order by id limit ?1) o
                  join record r on r.owner_id = o.id and r.rrtype = 5
                  join version v on v.id = r.added_id and v.observed_at <= ?2
                  join zone z on z.id = o.zone_id";
            db.query(sql, params![OWNERS_SAMPLED_MAX, before], |row| {
                Ok(AliasRow {
                    apex: row.get("zone_name")?,
                    owner: row.get("owner_name")?,
                    target: row.get("rdata")?,
                })
            })
        })?;
        let mut domains: BTreeMap<Name, BTreeSet<Name>> = BTreeMap::new();
        for row in rows {
            let target = Name::from_wire(&row.target)
                .map_err(|fault| self.store.damaged(fault.to_string()))?;
            let operator = operator_of(&target);
            if !operators.contains(&operator) {
                continue;
            }
            let apex = self.store.read_name(&row.apex)?;
            let owner = Name::from_relative_key(&row.owner, &apex)
                .map_err(|fault| self.store.damaged(fault.to_string()))?;
            let other = case_domain(&apex, &owner);
            if other != *domain {
                domains.entry(operator).or_default().insert(other);
            }
        }
        let counts = domains.into_iter();
        Ok(counts.map(|(operator, of)| (operator, of.len())).collect())
    }

    /// Returns the addresses that names at or below `domain` in a zone have had since `before` or longer; at most
    /// `limit`, of the `limit` names that history came to know first among [`NAMES_MAX`].
    pub fn old_addresses(
        &self,
        zone: ZoneId,
        apex: &Name,
        domain: &Name,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<IpAddr>, StoreError> {
        let Some(key) = domain.relative_key(apex) else {
            return Ok(Vec::new());
        };
        let range = if key.is_empty() {
            "?2 = ''".to_owned()
        } else {
            is_at_or_below("name", "?2")
        };
        let sql = format!(
            "select r.rrtype, r.rdata
               from (select id
                       from (select id
                               from owner where zone_id = ?1 and {range}
                              order by name limit {NAMES_MAX}) found
                      order by id limit ?4) o
                    join record r on r.owner_id = o.id and r.rrtype in (1, 28)
                    join version v on v.id = r.added_id
                         and (r.baseline = 1 or v.observed_at <= ?3) limit ?4"
        );
        let rows = self.store.run(|db| {
            let mut statement = db.prepare(&sql)?;
            let bound = params![zone, key, before, limit as i64];
            statement.query(bound, |row| Ok((row.get("rrtype")?, row.get("rdata")?)))
        })?;
        let mut addresses = Vec::new();
        for (code, value) in rows {
            addresses.extend(self.store.ledger().read_rdata(code, &value)?.address());
        }
        Ok(addresses)
    }

    /// Returns since when an owner has had name servers without a break, and whether that was so when watching began;
    /// `None` if it has none at `now`. Reads the newest [`DELEGATION_ROWS_MAX`] intervals: what is older counts as there
    /// when watching began.
    pub fn delegated_since(
        &self,
        key: &EntityKey,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<(Timestamp, bool)>, StoreError> {
        let extent = Extent {
            since,
            until: now,
            limit: DELEGATION_ROWS_MAX,
            instants_min: 0,
            is_once: false,
        };
        let stays = self.newest_intervals(key, &extent)?.stays.into_iter();
        let mut stays: Vec<Interval> = stays
            .filter(|stay| matches!(stay.value, Rdata::Ns(_)))
            .collect();
        stays.sort_by_key(|stay| Reverse(stay.added.at));
        let mut begins: Option<(Timestamp, bool)> = None;
        // From the newest back, as long as one reaches into the next.
        for stay in stays {
            let end = stay.removed.map(|end| end.at);
            let reaches = match begins {
                None => end.is_none_or(|end| end > now),
                Some((at, _)) => end.is_none_or(|end| end >= at),
            };
            if reaches {
                let was_there = begins.is_some_and(|(_, was_there)| was_there);
                begins = Some((stay.added.at, was_there || stay.baseline));
            }
        }
        Ok(begins)
    }

    /// Returns whether an owner has a record now.
    pub fn has_records(&self, key: &EntityKey) -> Result<bool, StoreError> {
        let Some(owner_id) = self.owner_row(key)? else {
            return Ok(false);
        };
        self.store.run(|db| {
            let sql = "select exists (select 1 from record where owner_id = ?)";
            db.value(sql, [owner_id])
        })
    }
}
