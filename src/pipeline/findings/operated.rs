//! The name servers of a domain that others use: judged as one set, that of their operator.
//!
//! What the zone that delegates a domain has of them is glue, and counts while others use it. What a hosted zone has of
//! them is that zone's own data, which the plane of addresses judges, whoever names it as a name server.

use std::collections::{BTreeSet, HashSet};

use crate::detector::{LeftOut, Moment, NameserverWindow, Stay};
use crate::dns::{Name, RecordType};
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::Findings;
use crate::pipeline::findings::cuts::seconds_of;
use crate::pipeline::findings::delegated::{began_anew, delegated, is_judged_for};
use crate::pipeline::findings::windows::{
    Budget, OWNERS_JUDGED_MAX, Range, as_address, as_nameserver,
};
use crate::store::{EntityKey, Extent, Used, View, Wanted};
use crate::time::Timestamp;

/// The most name servers of an operator that are judged as one set. Where others use more, those come first that changed
/// most.
const OPERATED_HOSTS_MAX: usize = 256;

/// How many uses of a name server are read: of one that has more it is taken that somebody uses it all the time. Chosen
/// by hand.
const USES_READ_MAX: usize = 2000;

/// A time in which a domain was delegated, as [`delegated`] returns it.
type Spell = (Moment, bool, Option<Moment>);

/// When others than a domain used a name server below it.
pub(in crate::pipeline) struct Uses {
    /// `None`: all the time, as far as is known.
    times: Option<Vec<(Timestamp, Timestamp)>>,
    /// By when that is known.
    until: Timestamp,
}

impl Uses {
    /// Returns whether a value belongs to those who use the name server: it was used for at least half of the time that
    /// the value was there.
    pub(in crate::pipeline) fn has<T>(&self, stay: &Stay<T>) -> bool {
        let Some(times) = &self.times else {
            return true;
        };
        let added = stay.added.at;
        let end = stay.removed.map_or(self.until, |end| end.at);
        let end = end.min(self.until);
        let met = times
            .iter()
            .filter(|(from, to)| *from <= end && added <= *to);
        let used = met.map(|(from, to)| (added.max(*from), end.min(*to)));
        let used: Vec<(Timestamp, Timestamp)> = used.collect();
        let life = end.since(added).as_seconds();
        !used.is_empty() && 2 * seconds_of(used.into_iter()) >= life
    }
}

impl Findings<'_> {
    /// Loads the name servers at or below a domain that others use and whose glue moved, where the domain does not use
    /// all of these itself: as one set, that of their operator. `None` where there are none.
    pub(in crate::pipeline) fn load_operated(
        &self,
        key: &EntityKey,
        own: &NameserverWindow,
        range: &Range<'_>,
        budget: &mut Budget,
    ) -> Result<Option<NameserverWindow>, PipelineError> {
        // A hosted zone is judged for the name servers that it uses itself.
        let times = delegated(&own.names, &self.config.detect.hold_nameservers);
        if key.owner == key.apex || times.is_empty() {
            return Ok(None);
        }
        let hosts = self.hosts_of_others(key, range)?;
        if hosts.is_empty() {
            return Ok(None);
        }
        // Those that it gave up and others still use are judged here.
        let is_there = |stay: &&Stay<Name>| stay.removed.is_none_or(|end| end.at > range.until);
        let there = own.names.iter().filter(is_there).map(|stay| &stay.value);
        let known: HashSet<&Name> = there.collect();
        let mut window = NameserverWindow {
            names: Vec::new(),
            addresses: Vec::new(),
            is_operated: true,
            ..own.clone()
        };
        (window.resets).extend(began_anew(
            &own.names,
            &times,
            self.config.detect.absence_max,
        ));
        let mut is_any_of_others = false;
        for host in hosts {
            if !self.has_glue_that_moved(key, &host, range, budget)? {
                continue;
            }
            is_any_of_others |= !known.contains(&host);
            self.add_operated(key, host, &times, budget, &mut window)?;
        }
        Ok(is_any_of_others.then_some(window))
    }

    /// Adds a name server to those of an operator, with what its addresses did while others used it. What they did
    /// before the operator was delegated, and while it was not, is not its doing.
    fn add_operated(
        &self,
        key: &EntityKey,
        host: Name,
        times: &[Spell],
        budget: &mut Budget,
        window: &mut NameserverWindow,
    ) -> Result<(), PipelineError> {
        let read = self.store.lookup().host_addresses(&host, &budget.extent)?;
        budget.spend(&read.stays);
        if let Some(cut) = read.cut {
            let part = (window.left_out).get_or_insert_with(|| LeftOut::until(cut.at));
            part.until = part.until.max(cut.at);
        }
        let Extent { since, until, .. } = budget.extent;
        let uses = self.uses_by_others(&host, &key.owner, &read.stays, (since, until))?;
        let stays = read.stays.into_iter().filter(|stay| uses.has(stay));
        let stays = stays.map(|stay| (host.clone(), stay));
        window.addresses.extend(stays);
        for (added, baseline, removed) in times {
            window.names.push(Stay {
                value: host.clone(),
                added: *added,
                removed: *removed,
                baseline: *baseline,
            });
        }
        Ok(())
    }

    /// Returns whether the zone that delegates a domain has addresses of a name server, and they moved lately.
    fn has_glue_that_moved(
        &self,
        key: &EntityKey,
        host: &Name,
        range: &Range<'_>,
        budget: &Budget,
    ) -> Result<bool, PipelineError> {
        let glue = EntityKey {
            owner: host.clone(),
            ..key.clone()
        };
        let read = self
            .store
            .lookup()
            .newest_intervals(&glue, &budget.extent)?;
        let mut stays = read.stays.into_iter().filter_map(as_address);
        let is_late = |at: Timestamp| at > range.moved_since;
        Ok(stays.any(|stay| {
            (!stay.baseline && is_late(stay.added.at))
                || stay.removed.is_some_and(|end| is_late(end.at))
        }))
    }

    /// Returns the name servers that a delegation is judged for and that others use. Where these are more than are judged,
    /// those of them whose glue moved most.
    fn hosts_of_others(
        &self,
        domain: &EntityKey,
        range: &Range<'_>,
    ) -> Result<BTreeSet<Name>, PipelineError> {
        let lookup = self.store.lookup();
        let mut hosts = BTreeSet::new();
        // What a name above uses is not told where the users are counted.
        let mut above = domain.owner.parent();
        while let Some(owner) = above.filter(|name| name.is_at_or_below(&domain.apex)) {
            let key = EntityKey {
                owner: owner.clone(),
                ..domain.clone()
            };
            let used = self.window_until(&key, range.until, range.until)?;
            let used = used.into_iter().filter_map(as_nameserver);
            let below = used.filter(|it| it.value.is_at_or_below(&domain.owner));
            hosts.extend(below.map(|it| it.value));
            above = owner.parent();
        }
        if lookup.has_host_used_elsewhere(&domain.owner)? {
            let most = OPERATED_HOSTS_MAX + 1;
            hosts.extend(lookup.hosts_used_elsewhere(&domain.owner, most)?);
        }
        hosts.retain(|host| is_judged_for(&domain.apex, &domain.owner, host));
        if hosts.len() <= OPERATED_HOSTS_MAX {
            return Ok(hosts);
        }
        let moved = lookup.owners_with_new_addresses(
            domain.zone,
            &domain.apex,
            &domain.owner,
            range.moved_since,
            OWNERS_JUDGED_MAX,
        )?;
        let mut most = BTreeSet::new();
        for moved in moved.into_iter().map(|moved| moved.owner) {
            if most.len() < OPERATED_HOSTS_MAX && lookup.has_host_used_elsewhere(&moved)? {
                most.insert(moved);
            }
        }
        Ok(most)
    }

    /// Returns when others than a domain and the names below it used a name server between two times, as far as it bears on
    /// these stays of values there: nothing more is read once all of them belong to who uses it. Without the reverse index
    /// nobody knows, and it is taken for used.
    pub(in crate::pipeline) fn uses_by_others<T>(
        &self,
        host: &Name,
        domain: &Name,
        stays: &[Stay<T>],
        (since, until): (Timestamp, Timestamp),
    ) -> Result<Uses, PipelineError> {
        let throughout = Uses { times: None, until };
        if !self.store.has_reverse_index() {
            return Ok(throughout);
        }
        let wanted = Wanted {
            types: vec![RecordType::Ns],
            since: Some(since),
            until: Some(until),
        };
        let mut uses = Uses {
            times: Some(Vec::new()),
            until,
        };
        let (mut read, mut is_throughout) = (0, false);
        let used = Used::Host(host.clone());
        let lookup = self.store.lookup();
        lookup.users_of(&used, &wanted, None, |record, _| {
            read += 1;
            if record.view != View::Passive && !record.owner.is_at_or_below(domain) {
                let end = record.removed_at.map_or(until, |end| end.min(until));
                let times = uses.times.get_or_insert_default();
                times.push((record.added_at, end));
                // More uses take no value away. Asked ever less often: each time costs as much as there was read.
                is_throughout =
                    times.len().is_power_of_two() && stays.iter().all(|stay| uses.has(stay));
            }
            is_throughout |= read >= USES_READ_MAX;
            Ok::<_, PipelineError>(!is_throughout)
        })?;
        match is_throughout {
            true => Ok(throughout),
            false => Ok(uses),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What ends the reading of uses once all belongs to who uses it.
        #[test]
        fn more_uses_take_no_value_away(
            times in prop::collection::vec((0..60_i64, 0..60_i64), 1..8),
            (added, life) in (0..60_i64, prop::option::of(0..60_i64)),
        ) {
            let at = Timestamp::from_unix;
            let moment = |second: i64| Moment {
                version_id: second,
                at: at(second),
                serial: None,
                bulk: false,
                drift: false,
                shared_count: 0,
            };
            let stay = Stay {
                value: (),
                added: moment(added),
                removed: life.map(|life| moment(added + life)),
                baseline: false,
            };
            let times: Vec<_> = times.iter().map(|(from, length)| (at(*from), at(from + length))).collect();
            let has = |count: usize| {
                let times = Some(times[..count].to_vec());
                Uses { times, until: at(90) }.has(&stay)
            };
            for count in 1..times.len() {
                prop_assert!(!has(count) || has(count + 1), "{} of {:?}", count, times);
            }
        }
    }

    #[test]
    fn address_is_its_users_for_whom_it_was_there_for_half_of_its_time() {
        let at = |hour: i64| Timestamp::from_unix(hour * 3600);
        let moment = |hour: i64| Moment {
            version_id: hour,
            at: at(hour),
            serial: None,
            bulk: false,
            drift: false,
            shared_count: 0,
        };
        let used = |times: &[(i64, i64)], added: i64, removed: Option<i64>| {
            let times = times.iter().map(|(from, to)| (at(*from), at(*to)));
            let uses = Uses {
                times: Some(times.collect()),
                until: at(100),
            };
            uses.has(&Stay {
                value: (),
                added: moment(added),
                removed: removed.map(moment),
                baseline: false,
            })
        };
        assert!(used(&[(0, 100)], 10, None));
        // It came at the time that is judged.
        assert!(used(&[(0, 100)], 100, None));
        assert!(!used(&[(0, 90)], 100, None));
        assert!(!used(&[], 10, None));
        assert!(used(&[(15, 100)], 10, Some(20)));
        assert!(!used(&[(16, 100)], 10, Some(20)));
        assert!(used(&[(12, 15), (14, 17)], 10, Some(20)));
        assert!(!used(&[(12, 15), (13, 16)], 10, Some(20)));
        assert!(!used(&[(20, 30)], 30, Some(40)));
    }
}
