//! Who is judged for the addresses of a name server, and for which time.
//!
//! Whoever has the delegation at or above a name server answers for it, and its users do not: but only for the time at
//! which it is itself judged for that name server. What moves at another time is its users' change.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::detector::{
    DetectPolicy, Knowledge, Level, NameserverReplay, NameserverWindow, Operator, PlaneFinding,
    evaluate_nameservers, judge_nameservers, review_left_behind, review_scattered,
};
use crate::dns::Name;
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::Findings;
use crate::pipeline::findings::delegated::is_judged_for;
use crate::pipeline::findings::find::ANSWERS_FOR;
use crate::pipeline::findings::windows::ADDRESSES_SINCE;
use crate::store::{EnclosingZone, EntityKey, UsedHost, View, ZoneId};
use crate::time::{Span, Timestamp};

/// Of how many sets of an operator's name servers, each of them somebody's, it is asked what he sees: those that moved through
/// most networks come first. Chosen by hand.
const SETS_ASKED_MAX: usize = 64;

/// For how long what a reported delegation left behind has nobody reported. Chosen by hand.
const LEFT_BEHIND_FOR: Span = Span::days(7);

/// The name servers that names of a zone had.
type Servers = HashMap<ZoneId, HashMap<Name, Vec<UsedHost>>>;

/// A time in which a name was delegated: after when, and until when.
type Spell = (Timestamp, Option<Timestamp>);

impl Findings<'_> {
    /// Returns, for each of some name servers, the delegations that it lies at or below, or the zones of its own that use
    /// it, the nearest first, each with the time of the last days for which it is judged for its addresses. Leaves out
    /// those of which none is watched.
    pub(in crate::pipeline) fn operators_of(
        &self,
        hosts: &BTreeSet<Name>,
        now: Timestamp,
    ) -> Result<BTreeMap<Name, Vec<Operator>>, PipelineError> {
        let mut enclosing = Vec::new();
        let mut asked: BTreeMap<ZoneId, (EnclosingZone, BTreeSet<Name>)> = BTreeMap::new();
        for host in hosts {
            let mut zones = self.store.zones().zones_enclosing(host)?;
            // What stood in a zone that is not watched any more accuses nobody, and still excuses.
            zones.retain(|zone| zone.view != View::Passive);
            for zone in &zones {
                let known = asked.entry(zone.id);
                let (_, names) = known.or_insert_with(|| (zone.clone(), BTreeSet::new()));
                names.extend(host.up_to(&zone.apex));
            }
            enclosing.push((host, zones));
        }
        let mut servers = Servers::new();
        for (id, (zone, names)) in asked {
            let since = now - ADDRESSES_SINCE - LEFT_BEHIND_FOR;
            let there = self.store.lookup();
            let there = there.nameservers_between(&zone, &names, since, now)?;
            servers.insert(id, there);
        }
        let mut operators = BTreeMap::new();
        for (host, zones) in enclosing {
            let of_host = self.operators_among(host, &zones, &servers, now)?;
            if !of_host.is_empty() {
                operators.insert(host.clone(), of_host);
            }
        }
        Ok(operators)
    }

    /// [`Findings::operators_of`] for one name server, by what the zones that enclose it have.
    fn operators_among(
        &self,
        host: &Name,
        zones: &[EnclosingZone],
        servers: &Servers,
        now: Timestamp,
    ) -> Result<Vec<Operator>, PipelineError> {
        let detect = &self.config.detect;
        let mut operators = Vec::new();
        let Some(farthest) = zones.last() else {
            return Ok(operators);
        };
        for domain in host.up_to(&farthest.apex) {
            let mut spells = Vec::new();
            for (zone, said_until) in self.deciding(&domain, zones, servers, now)? {
                let answers_for_all = is_judged_for(&zone.apex, &domain, host);
                let used = used_in(servers, zone, &domain).iter();
                // Those that suspended domains are moved to end a case: nobody is judged while there are no others.
                let used = used.filter(|it| !detect.hold_nameservers.contains(&it.host));
                let used = used.filter(|it| answers_for_all || it.host == *host);
                spells.extend(used.filter_map(|it| spell(it, said_until)));
            }
            let spells = merged(spells, detect.absence_max.max(ANSWERS_FOR)).into_iter();
            operators.extend(spells.map(|(after, until)| {
                Operator {
                    name: domain.clone(),
                    after,
                    until: until
                        .map(|at| at + ANSWERS_FOR.min(at.since(after)))
                        .filter(|at| *at <= now),
                }
            }));
        }
        Ok(operators)
    }

    /// Returns which zones say whether a domain is delegated, by the rule of [`Judge::standing`], each with until when, where
    /// another says it since: the nearest above it that delegates it or did, alone from when that one was first known; where
    /// no zone above is watched, its own and probes, and those that were watched.
    ///
    /// [`Judge::standing`]: crate::pipeline::judge::Judge::standing
    fn deciding<'z>(
        &self,
        domain: &Name,
        zones: &'z [EnclosingZone],
        servers: &Servers,
        now: Timestamp,
    ) -> Result<Vec<(&'z EnclosingZone, Option<Timestamp>)>, PipelineError> {
        let is_above = |zone: &EnclosingZone| {
            zone.is_judged_at(now) && zone.view == View::Zone && zone.apex != *domain
        };
        let these = zones.iter().filter(|it| domain.is_at_or_below(&it.apex));
        let mut these: Vec<&EnclosingZone> = these.collect();
        these.sort_by_key(|zone| !is_above(zone));
        let (mut deciding, mut said_until) = (Vec::new(), None);
        for zone in these {
            let used = used_in(servers, zone, domain);
            if !used.is_empty() {
                deciding.push((zone, said_until));
            }
            if is_above(zone) && self.knows(zone, domain, used, now)? {
                // What was before that is said by who said it then.
                let since = self.knows_since(zone, used, now)?;
                said_until = Some(said_until.map_or(since, |known: Timestamp| known.min(since)));
            }
        }
        Ok(deciding)
    }

    /// Returns whether a zone delegates a domain, or did.
    fn knows(
        &self,
        zone: &EnclosingZone,
        domain: &Name,
        used: &[UsedHost],
        now: Timestamp,
    ) -> Result<bool, PipelineError> {
        if !used.is_empty() {
            return Ok(true);
        }
        let key = EntityKey {
            zone: zone.id,
            apex: zone.apex.clone(),
            owner: domain.clone(),
        };
        Ok(self.store.lookup().had_nameservers(&key, now)?)
    }

    /// Returns since when it is known what a zone says of a domain that it delegates: since the zone was watched, or since
    /// it told of the domain first, where it tells of what is there name by name.
    fn knows_since(
        &self,
        zone: &EnclosingZone,
        used: &[UsedHost],
        now: Timestamp,
    ) -> Result<Timestamp, PipelineError> {
        let first = used.iter().min_by_key(|it| it.added_at);
        if let Some(first) = first.filter(|it| it.baseline) {
            return Ok(first.added_at);
        }
        Ok(self.store.lookup().watched_since(zone.id)?.unwrap_or(now))
    }

    /// Holds a plane at review that is at report only by what the name servers of delegations did that went in the last
    /// days, after these had been reported themselves: else the report of one hoster would be followed by one about each
    /// of its customers.
    pub(in crate::pipeline) fn judge_left_behind(
        &self,
        replayed: &NameserverReplay,
        window: &NameserverWindow,
        policy: &DetectPolicy,
        plane: &mut PlaneFinding,
    ) -> Result<(), PipelineError> {
        let Some(operated) = window.operated.as_ref() else {
            return Ok(());
        };
        if plane.level != Some(Level::Report) {
            return Ok(());
        }
        let (mut operated, mut reported) = (operated.clone(), BTreeSet::new());
        for operator in operated.by_others.values_mut().flatten() {
            let Some(until) = operator.until else {
                continue;
            };
            if reported.contains(&operator.name) || self.was_reported(&operator.name, until)? {
                reported.insert(operator.name.clone());
                // Else a second a week would keep its users at review for good.
                let lasted = until.since(operator.after);
                operator.until = Some(until + LEFT_BEHIND_FOR.min(lasted));
            }
        }
        if reported.is_empty() {
            return Ok(());
        }
        let without = NameserverWindow {
            operated: Some(operated),
            ..window.clone()
        };
        let without = judge_nameservers(replayed, &without, policy, &self.parts.knowledge);
        if without.level < Some(Level::Report) {
            review_left_behind(plane, &reported);
        }
        Ok(())
    }

    /// Returns whether a domain's case had reached report, and was opened by a time.
    fn was_reported(&self, domain: &Name, by: Timestamp) -> Result<bool, PipelineError> {
        let row = self.store.desk().find_case(domain)?;
        Ok(row.is_some_and(|row| {
            row.case.peak_level == Level::Report && row.case.first_detected_at <= by
        }))
    }

    /// Holds the name servers that others use below a domain at review, where no user's own set of them would be
    /// reported: the customers of a service that lets them have hosts, such as dynamic DNS, are no flux together.
    pub(in crate::pipeline) fn judge_scattered(
        &self,
        window: &NameserverWindow,
        policy: &DetectPolicy,
        plane: &mut PlaneFinding,
    ) -> Result<(), PipelineError> {
        if !window.is_operated || plane.level != Some(Level::Report) {
            return Ok(());
        }
        let mut moves: HashMap<&Name, Vec<Option<u32>>> = HashMap::new();
        for (host, stay) in &window.addresses {
            let network = self.parts.knowledge.asn(stay.value);
            moves.entry(host).or_default().push(network);
        }
        let hosts: BTreeSet<Name> = window.names.iter().map(|it| it.value.clone()).collect();
        let sets = self.store.lookup().sets_in_use(&hosts)?;
        let mut sets: Vec<BTreeSet<Name>> = sets.into_iter().collect();
        // Many that move within one network hide none that moves through many.
        sets.sort_by_cached_key(|set| {
            let moved = set.iter().filter_map(|host| moves.get(host)).flatten();
            let networks: BTreeSet<u32> = moved.clone().copied().flatten().collect();
            Reverse((networks.len(), moved.count()))
        });
        for set in sets.iter().take(SETS_ASKED_MAX) {
            let names = window.names.iter().filter(|it| set.contains(&it.value));
            let addresses = (window.addresses.iter()).filter(|(host, _)| set.contains(host));
            let of_user = NameserverWindow {
                zone: window.zone.clone(),
                owner: window.owner.clone(),
                watched_since: window.watched_since,
                names: names.cloned().collect(),
                addresses: addresses.cloned().collect(),
                resets: window.resets.clone(),
                popular: window.popular.clone(),
                operated: None,
                left_out: window.left_out.clone(),
                is_operated: true,
            };
            let of_user = evaluate_nameservers(&of_user, policy, &self.parts.knowledge, plane.now);
            if of_user.level == Some(Level::Report) {
                return Ok(());
            }
        }
        review_scattered(plane);
        Ok(())
    }
}

/// Returns the name servers that a domain had in a zone.
fn used_in<'s>(servers: &'s Servers, zone: &EnclosingZone, domain: &Name) -> &'s [UsedHost] {
    let of_zone = servers.get(&zone.id);
    of_zone
        .and_then(|it| it.get(domain))
        .map_or(&[], Vec::as_slice)
}

/// Returns when a name server was used, as far as a zone says it that says nothing after a time; `None` if it does not.
fn spell(used: &UsedHost, said_until: Option<Timestamp>) -> Option<Spell> {
    // One that was there before it was told of answers for what moved at that instant too.
    let before = Span::seconds(i64::from(used.baseline));
    let after = used.added_at - before;
    let until = match (used.removed_at, said_until) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    until
        .is_none_or(|until| after < until)
        .then_some((after, until))
}

/// Puts times together that follow each other within a short absence: a delegation that comes back so soon went on.
fn merged(mut spells: Vec<Spell>, absence_max: Span) -> Vec<Spell> {
    spells.sort_unstable();
    let mut merged: Vec<Spell> = Vec::new();
    for (after, until) in spells {
        match merged.last_mut() {
            Some((_, last)) if last.is_none_or(|last| after.since(last) <= absence_max) => {
                *last = last.zip(until).map(|(one, other)| one.max(other));
            }
            _ => merged.push((after, until)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delegation_that_comes_back_soon_went_on_and_later_is_another_time() {
        let at = |hour: i64| Timestamp::from_unix(hour * 3600);
        let spells = |spells: &[(i64, Option<i64>)]| {
            let spells = spells.iter().map(|(from, to)| (at(*from), to.map(at)));
            merged(spells.collect(), Span::hours(24))
        };
        let told = |from: i64, to: Option<i64>| (at(from), to.map(at));
        assert_eq!(spells(&[(0, Some(5)), (29, None)]), [told(0, None)]);
        assert_eq!(
            spells(&[(30, None), (0, Some(5))]),
            [told(0, Some(5)), told(30, None)]
        );
        assert_eq!(spells(&[(0, None), (3, Some(5))]), [told(0, None)]);
        assert_eq!(spells(&[(0, Some(9)), (3, Some(5))]), [told(0, Some(9))]);
    }
}
