//! What an owner is: a delegation, glue below one, or the zone's own; and which of a domain's names moved.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use crate::dns::Name;
use crate::store::door::{Numbers, params};
use crate::store::error::StoreError;
use crate::store::keys::{EntityKey, ZoneId};
use crate::store::lookup::Lookup;
use crate::store::ranges::{is_at_or_below, is_below};
use crate::store::sqlite::dialect::{IN_ORDER, rows_of};
use crate::store::zones::enclosing::EnclosingZone;
use crate::time::Timestamp;

/// The newest records of an owner in one month among which its kind is looked for: who changed more often since is no
/// longer judged by what it was. Chosen by hand.
const KIND_ROWS_MAX: usize = 1024;
/// Of how many owners it is kept whether they lie at or below a cut: some 100 octets each.
const KINDS_KEPT_MAX: usize = 200_000;
/// Those of some owners that have name servers, or had any lately in one of two months.
static HAD_NS: LazyLock<String> = LazyLock::new(|| {
    let had_in = |month: &str| {
        format!(
            "exists (select 1
                       from (select rrtype
                               from past_record
                              where bucket = {month} and owner_id = w.value
                              order by removed_id desc limit ?4) as newest
                      where rrtype = 2)"
        )
    };
    format!(
        "select w.value
           from {list} w
          where exists (select 1 from record where owner_id = w.value and rrtype = 2)
                or {before}
                or {last}",
        list = rows_of("?1"),
        before = had_in("?2"),
        last = had_in("?3")
    )
});

impl Lookup<'_> {
    /// Returns whether an owner, or a name between it and the apex, is or was lately a delegation: what
    /// lies there is glue, not the zone's own data.
    pub fn is_at_or_below_cut(&self, key: &EntityKey) -> Result<bool, StoreError> {
        if let Some(known) = self.seen_below_cut(key) {
            return Ok(known);
        }
        let below = self.at_or_below_cut(key.zone, &key.apex, &[&key.owner])?;
        Ok(below.contains(&key.owner))
    }

    /// Returns those of some owners of a zone of which [`Lookup::is_at_or_below_cut`] is true. While one state of the
    /// database is read, each is asked about once.
    pub fn at_or_below_cut(
        &self,
        zone: ZoneId,
        apex: &Name,
        owners: &[&Name],
    ) -> Result<HashSet<Name>, StoreError> {
        let (mut below, mut unknown) = (HashSet::new(), Vec::new());
        for owner in owners {
            match self.kept_below_cut(zone, owner) {
                Some(true) => _ = below.insert((*owner).clone()),
                Some(false) => {}
                None => unknown.push(*owner),
            }
        }
        if unknown.is_empty() {
            return Ok(below);
        }
        let found = self.find_at_or_below_cut(zone, apex, &unknown)?;
        if let Some(kept) = self.store.below_cut.borrow_mut().as_mut() {
            if kept.values().map(HashMap::len).sum::<usize>() + unknown.len() > KINDS_KEPT_MAX {
                kept.clear();
            }
            let owners = unknown.into_iter();
            let known = owners.map(|owner| (owner.clone(), found.contains(owner)));
            kept.entry(zone).or_default().extend(known);
        }
        below.extend(found);
        Ok(below)
    }

    /// Keeps that owners of a zone are delegations, as far as there is room.
    pub(in crate::store) fn keep_at_cut<'n>(
        &self,
        zone: ZoneId,
        owners: impl ExactSizeIterator<Item = &'n Name>,
    ) {
        if let Some(kept) = self.store.below_cut.borrow_mut().as_mut()
            && kept.values().map(HashMap::len).sum::<usize>() + owners.len() <= KINDS_KEPT_MAX
        {
            let known = owners.map(|owner| (owner.clone(), true));
            kept.entry(zone).or_default().extend(known);
        }
    }

    /// Returns whether an owner is at or below a cut, if that was asked before.
    fn kept_below_cut(&self, zone: ZoneId, owner: &Name) -> Option<bool> {
        let kept = self.store.below_cut.borrow();
        kept.as_ref()?.get(&zone)?.get(owner).copied()
    }

    /// [`Lookup::at_or_below_cut`] of the database.
    fn find_at_or_below_cut(
        &self,
        zone: ZoneId,
        apex: &Name,
        owners: &[&Name],
    ) -> Result<HashSet<Name>, StoreError> {
        let above = |owner: &&Name| owner.up_to(apex).filter(|name| name != apex);
        let names: BTreeSet<Name> = owners.iter().flat_map(above).collect();
        let keys: Vec<String> = names
            .iter()
            .filter_map(|it| it.relative_key(apex))
            .collect();
        let ids = self.store.ledger().ids_of_keys(zone, &keys)?;
        let by_id: HashMap<i64, Name> = ids
            .into_iter()
            .zip(names)
            .filter_map(|(id, name)| Some((id?, name)))
            .collect();
        if by_id.is_empty() {
            return Ok(HashSet::new());
        }
        // A delegation that was taken away lately leaves glue behind, not data of the zone.
        let months = self.store.zones().buckets_since(zone, None)?;
        let last = months.last().copied().unwrap_or(0);
        let ids: Numbers = by_id.keys().copied().collect();
        let rows_max = KIND_ROWS_MAX as i64;
        let cuts: Vec<i64> = self
            .store
            .run(|db| db.values(&HAD_NS, params![ids, last - 1, last, rows_max]))?;
        let cuts: HashSet<&Name> = cuts.iter().filter_map(|id| by_id.get(id)).collect();
        let is_below = |owner: &&&Name| owner.up_to(apex).any(|it| cuts.contains(&it));
        Ok(owners
            .iter()
            .filter(is_below)
            .map(|it| (*it).clone())
            .collect())
    }

    /// Returns whether an owner had name servers that were gone by a time.
    pub fn had_nameservers(&self, key: &EntityKey, by: Timestamp) -> Result<bool, StoreError> {
        let Some(owner_id) = self.owner_row(key)? else {
            return Ok(false);
        };
        for bucket in self
            .store
            .zones()
            .buckets_since(key.zone, None)?
            .into_iter()
            .skip(1)
        {
            let has_ns: bool = self.store.run(|db| {
                let sql = "select exists (select 1
                             from (select rrtype, removed_id
                                     from past_record
                                    where bucket = ? and owner_id = ?
                                    order by removed_id desc limit ?) found
                                  join version v on v.id = found.removed_id
                            where found.rrtype = 2 and v.observed_at <= ?)";
                let rows_max = KIND_ROWS_MAX as i64;
                db.value(sql, params![bucket, owner_id, rows_max, by])
            })?;
            if has_ns {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether history knows more than `limit` names at or below `domain` in a zone.
    pub fn has_more_names(
        &self,
        zone: &EnclosingZone,
        domain: &Name,
        limit: usize,
    ) -> Result<bool, StoreError> {
        if let Some(known) = self.seen_many_names(zone.id, domain, limit) {
            return Ok(known);
        }
        let Some(key) = domain.relative_key(&zone.apex) else {
            return Ok(false);
        };
        let range = if key.is_empty() {
            "?2 = ''".to_owned()
        } else {
            is_below("name", "?2")
        };
        let sql = format!(
            "select exists (select 1 from owner where zone_id = ?1 and {range} limit 1 offset ?3)"
        );
        self.store
            .run(|db| db.value(&sql, params![zone.id, key, limit as i64]))
    }

    /// Returns the names at or below `domain` in a zone whose addresses or aliases changed since `since`, those
    /// that changed most first; at most `limit`.
    pub fn owners_with_new_addresses(
        &self,
        zone: ZoneId,
        apex: &Name,
        domain: &Name,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<EntityKey>, StoreError> {
        let Some(key) = domain.relative_key(apex) else {
            return Ok(Vec::new());
        };
        let range = if key.is_empty() {
            "?2 = ''".to_owned()
        } else {
            is_at_or_below("o.name", "?2")
        };
        let buckets = self.store.zones().buckets_since(zone, Some(since))?;
        let (first, last) = (
            buckets.get(1).copied().unwrap_or(0),
            buckets.last().copied().unwrap_or(0),
        );
        let sql = format!(
            "with recursive month (bucket) as (select cast(?4 as bigint)
                                               union all
                                               select bucket + 1
                                                 from month
                                                where bucket < ?5)
             select o.name
               from owner o
              where o.zone_id = ?1 and {range}
                    and (exists (select 1
                                   from record r join version v on v.id = r.added_id
                                  where r.owner_id = o.id and r.rrtype in (1, 5, 28)
                                        and r.baseline = 0 and v.observed_at > ?3)
                         or exists (select 1
                                      from month {IN_ORDER} past_record p on p.bucket = month.bucket
                                     where p.owner_id = o.id and p.rrtype in (1, 5, 28)))
              order by (select count(*)
                          from (select 1
                                  from month {IN_ORDER} past_record p on p.bucket = month.bucket
                                 where p.owner_id = o.id limit {KIND_ROWS_MAX}) found) desc,
                       o.name limit ?6"
        );
        let names = self.store.run(|db| {
            db.values::<String>(&sql, params![zone, key, since, first, last, limit as i64])
        })?;
        let entity = |key: String| {
            let owner = Name::from_relative_key(&key, apex)
                .map_err(|fault| self.store.damaged(fault.to_string()))?;
            Ok(EntityKey {
                zone,
                apex: apex.clone(),
                owner,
            })
        };
        names.into_iter().map(entity).collect()
    }

    /// Returns the times of an owner's new registrations up to `until`, in order. The first that a feed
    /// told of is none: it says when the domain was registered, not that it was registered anew.
    pub fn registered_anew(
        &self,
        key: &EntityKey,
        until: Timestamp,
    ) -> Result<Vec<Timestamp>, StoreError> {
        let Some(owner_id) = self.owner_row(key)? else {
            return Ok(Vec::new());
        };
        let mut times: Vec<Timestamp> = match self.seen_registrations(owner_id) {
            Some(known) => known,
            None => self.store.run(|db| {
                let sql =
                    "select v.observed_at from registration r join version v on v.id = r.version_id
                      where r.owner_id = ? and v.observed_at <= ? order by v.observed_at, v.id";
                db.values(sql, params![owner_id, until])
            })?,
        };
        times.retain(|at| *at <= until);
        times.drain(..times.len().min(1));
        Ok(times)
    }
}
