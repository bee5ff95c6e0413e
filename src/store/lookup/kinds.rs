//! What an owner is: a delegation, glue below one, or the zone's own; and which of a domain's names moved.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::dns::Name;
use crate::store::door::{Numbers, Texts, params};
use crate::store::error::StoreError;
use crate::store::keys::{EntityKey, ZoneId};
use crate::store::lookup::Lookup;
use crate::store::ranges::{is_at_or_below, is_below};
use crate::store::sqlite::dialect::{IN_ORDER, rows_of, texts_of};
use crate::store::zones::enclosing::EnclosingZone;
use crate::time::Timestamp;

/// The newest records of an owner in one month among which its kind is looked for: who changed more often since is no
/// longer judged by what it was. Chosen by hand.
const KIND_ROWS_MAX: usize = 1024;
/// Returns the statement for those of some owners that have name servers which came by a time, or had any then that went
/// later, in one of some months.
fn had_ns_at(months: &[i64]) -> String {
    let had_in = |month: &i64| {
        format!(
            "
                or exists (select 1
                             from (select rrtype, added_id, removed_id
                                     from past_record
                                    where bucket = {month} and owner_id = w.value
                                    order by removed_id desc limit {KIND_ROWS_MAX}) as newest
                                  {IN_ORDER} version a on a.id = newest.added_id
                                  {IN_ORDER} version e on e.id = newest.removed_id
                            where newest.rrtype = 2 and a.observed_at <= ?2
                                  and e.observed_at > ?2)"
        )
    };
    format!(
        "select w.value
           from {list} w
          where exists (select 1
                          from record r {IN_ORDER} version v on v.id = r.added_id
                         where r.owner_id = w.value and r.rrtype = 2 and v.observed_at <= ?2){past}",
        list = rows_of("?1"),
        past = months.iter().map(had_in).collect::<String>()
    )
}

/// Returns the statement for those of some owners that have name servers, or had any that went in one of some months.
fn had_ns(months: &[i64]) -> String {
    let had_in = |month: &i64| {
        format!(
            "
                or exists (select 1
                             from (select rrtype
                                     from past_record
                                    where bucket = {month} and owner_id = w.value
                                    order by removed_id desc limit {KIND_ROWS_MAX}) as newest
                            where rrtype = 2)"
        )
    };
    format!(
        "select w.value
           from {list} w
          where exists (select 1 from record where owner_id = w.value and rrtype = 2){past}",
        list = rows_of("?1"),
        past = months.iter().map(had_in).collect::<String>()
    )
}

impl Lookup<'_> {
    /// Returns those of some owners of a zone at or above which, below the apex, name servers are that were there at a
    /// time: what such a name has came while they were there, and is glue.
    pub fn below_cut_at(
        &self,
        zone: ZoneId,
        apex: &Name,
        owners: &[&Name],
        at: Timestamp,
    ) -> Result<HashSet<Name>, StoreError> {
        // Of the newest version nothing went later.
        let months = match self.store.zones().is_newest_at(zone, at)? {
            true => Vec::new(),
            false => self
                .store
                .zones()
                .buckets_since(zone, Some(at))?
                .split_off(1),
        };
        let sql = had_ns_at(&months);
        let cuts = self.cuts_among(zone, apex, owners, |ids| {
            self.store.run(|db| db.values(&sql, params![ids, at]))
        })?;
        Ok(at_or_below(owners, apex, &cuts))
    }

    /// Returns those of some owners of a zone at or above which, below the apex, name servers are, or were lately: in the
    /// month of the zone's newest version or the one before.
    pub(in crate::store) fn lately_below_cut(
        &self,
        zone: ZoneId,
        apex: &Name,
        owners: &[&Name],
    ) -> Result<HashSet<Name>, StoreError> {
        let months = self.store.zones().buckets_since(zone, None)?;
        let last = months.last().copied().unwrap_or(0);
        let sql = had_ns(&[last - 1, last]);
        let cuts = self.cuts_among(zone, apex, owners, |ids| {
            self.store.run(|db| db.values(&sql, params![ids]))
        })?;
        Ok(at_or_below(owners, apex, &cuts))
    }

    /// Returns the names at or above some owners of a zone, below its apex, that have name servers, or had any that went
    /// in the month of a time or later.
    pub fn cuts_since(
        &self,
        zone: ZoneId,
        apex: &Name,
        owners: &[&Name],
        since: Timestamp,
    ) -> Result<BTreeSet<Name>, StoreError> {
        // The bucket 0 stands for what is open.
        let months = self.store.zones().buckets_since(zone, Some(since))?;
        let sql = had_ns(&months[1..]);
        let first = months.get(1).copied().unwrap_or(i64::MAX);
        let kept_months = first..=months.last().copied().unwrap_or(0);
        self.cuts_among(zone, apex, owners, |ids| {
            let (mut found, mut unknown) = (Vec::new(), Vec::new());
            for id in ids.0 {
                let kept = (&kept_months, KIND_ROWS_MAX);
                match self.had_ns_kept(zone, id, kept)? {
                    Some(true) => found.push(id),
                    Some(false) => {}
                    None => unknown.push(id),
                }
            }
            if !unknown.is_empty() {
                let ids = Numbers(unknown);
                let read: Vec<i64> = self.store.run(|db| db.values(&sql, params![ids]))?;
                found.extend(read);
            }
            Ok(found)
        })
    }

    /// Returns those of the names at or above some owners of a zone, below its apex, whose rows `find` finds.
    fn cuts_among(
        &self,
        zone: ZoneId,
        apex: &Name,
        owners: &[&Name],
        find: impl Fn(Numbers) -> Result<Vec<i64>, StoreError>,
    ) -> Result<BTreeSet<Name>, StoreError> {
        let above = |owner: &&Name| owner.up_to(apex).filter(|name| name != apex);
        let names: BTreeSet<Name> = owners.iter().flat_map(above).collect();
        if names.is_empty() {
            return Ok(BTreeSet::new());
        }
        let keys: Vec<String> = names
            .iter()
            .filter_map(|it| it.relative_key(apex))
            .collect();
        let ids = self.store.ledger().ids_of_keys(zone, &keys)?;
        let mut by_id: HashMap<i64, Name> = ids
            .into_iter()
            .zip(names)
            .filter_map(|(id, name)| Some((id?, name)))
            .collect();
        if by_id.is_empty() {
            return Ok(BTreeSet::new());
        }
        let found = find(by_id.keys().copied().collect())?;
        Ok(found.iter().filter_map(|id| by_id.remove(id)).collect())
    }

    /// Returns those of some names of a zone at or below which it has addresses or aliases now.
    pub fn with_data(
        &self,
        zone: ZoneId,
        apex: &Name,
        names: &HashSet<Name>,
    ) -> Result<HashSet<Name>, StoreError> {
        let by_key: HashMap<String, &Name> = names
            .iter()
            .filter_map(|name| Some((name.relative_key(apex)?, name)))
            .collect();
        if by_key.is_empty() {
            return Ok(HashSet::new());
        }
        let keys = Texts(by_key.keys().cloned().collect());
        let found: Vec<String> = self.store.run(|db| {
            let has = |range: &str| {
                format!(
                    "exists (select 1
                               from owner o {IN_ORDER} record r on r.owner_id = o.id
                              where o.zone_id = ?1 and {range} and r.rrtype in (1, 5, 28))"
                )
            };
            let sql = format!(
                "select w.value
                   from {list} w
                  where {itself}
                        or {below}",
                list = texts_of("?2"),
                itself = has("o.name = w.value"),
                below = has(&is_below("o.name", "w.value"))
            );
            db.values(&sql, params![zone, keys])
        })?;
        let found = found.iter().filter_map(|key| by_key.get(key.as_str()));
        Ok(found.map(|name| (*name).clone()).collect())
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
        let months = match &buckets[1..] {
            [] => &buckets[..],
            months => months,
        };
        let months = months.iter().map(i64::to_string).collect::<Vec<_>>();
        let in_months = format!("p.bucket in ({})", months.join(", "));
        let moved = format!(
            "select o.name, o.id
               from owner o
              where o.zone_id = ?1 and {range}
                    and (exists (select 1
                                   from record r join version v on v.id = r.added_id
                                  where r.owner_id = o.id and r.rrtype in (1, 5, 28)
                                        and r.baseline = 0 and v.observed_at > ?3)
                         or exists (select 1
                                      from past_record p
                                     where {in_months} and p.owner_id = o.id and p.rrtype in (1, 5, 28)))"
        );
        let read = |sql: &str, limit: usize| {
            let values = params![zone, key, since, limit as i64];
            self.store.run(|db| db.values::<String>(sql, values))
        };
        // The records of one that is alone, as most are, need not be counted.
        let mut names = read(&format!("{moved} limit ?4"), 2)?;
        if names.len() > 1 {
            let sql = format!(
                "select o.name
                   from ({moved}) o
                  order by (select count(*)
                              from (select 1
                                      from past_record p
                                     where {in_months} and p.owner_id = o.id limit {KIND_ROWS_MAX}) found) desc,
                        o.name limit ?4"
            );
            names = read(&sql, limit)?;
        }
        names.truncate(limit);
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

/// Returns those of some owners that lie at or below any of some names.
fn at_or_below(owners: &[&Name], apex: &Name, cuts: &BTreeSet<Name>) -> HashSet<Name> {
    let is_below = |owner: &&&Name| owner.up_to(apex).any(|it| cuts.contains(&it));
    let below = owners.iter().filter(is_below);
    below.map(|owner| (*owner).clone()).collect()
}
