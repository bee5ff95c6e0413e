//! Replays the detector and the case over stored history, with a policy, by event time. Nothing is written.
//!
//! Domains are independent of each other but for what they share, which is read as it is now: who counts
//! as a provider is told by today's users. So a domain at a time is replayed: owners that changed are read
//! once, grouped by domain, and only domains that changed as often within 7 days as any rule asks for
//! are judged, at every change and, while a report is held or a case is open, in between: until they are reported, for
//! what comes after changes nothing of what a backtest says of a domain.

use crate::pipeline::judge::Judge;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::case::{Case, CaseState, Observation, Standing, observe};
use crate::detector::{
    AddressWindow, AliasWindow, DetectPolicy, Level, NameserverWindow, Stay, judge_planes,
};
use crate::dns::{Name, case_domain};
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::windows::{ADDRESSES_SINCE, DomainWindows, Range};
use crate::pipeline::judge::again::next_reevaluation;
use crate::pipeline::judge::detect::{changed_enough, delegation_at, may_be_watched};
use crate::store::{ChangedOwner, ZoneId};
use crate::time::{Span, Timestamp};

/// How soon a domain is judged again after a change.
const CHANGE_PAUSE: Span = Span::seconds(600);
/// The most closed intervals of a domain that are replayed, the newest: a domain is read once for all its judgements.
const REPLAYED_INTERVALS_MAX: usize = 100_000;

/// What a backtest found of one domain.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// The domain.
    pub domain: Name,
    /// The highest level that its case reached.
    pub peak: Level,
    /// When it reached level review.
    pub reviewed_at: Option<Timestamp>,
    /// When it would have been reported.
    pub reported_at: Option<Timestamp>,
    /// What was suspected then, or last.
    pub verdict: &'static str,
    /// The score then, or the highest.
    pub score: f64,
    /// The term that gave most points then, with its value.
    pub term: String,
    /// What the desk decided on the case that is stored, if there is one.
    pub decided: Option<CaseState>,
}

impl Judge<'_> {
    /// Replays a policy from `since` to `until`; those that were at least watched, in the order of names.
    /// `progress` is told how many domains are to be judged and how many are done.
    pub fn backtest(
        &self,
        policy: &DetectPolicy,
        since: Timestamp,
        until: Timestamp,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Vec<Replayed>, PipelineError> {
        let groups = self.suspects(policy, since, until)?;
        let mut replayed = Vec::new();
        for (done, (domain, times)) in groups.iter().enumerate() {
            progress(groups.len(), done);
            // One state of the database for a domain, and one lock instead of one for each question.
            let _reading = self.store.begin_reading()?;
            replayed.extend(self.replay_domain(domain, times, policy, since, until)?);
        }
        Ok(replayed)
    }

    /// Returns the domains that changed often enough within 7 days to be suspected, with the times.
    fn suspects(
        &self,
        policy: &DetectPolicy,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<BTreeMap<Name, Vec<Timestamp>>, PipelineError> {
        // Few of all that changed are suspects: those alone are put in order.
        let mut groups: HashMap<Name, Vec<Timestamp>> = HashMap::new();
        let mut hosts: BTreeMap<Name, Vec<Timestamp>> = BTreeMap::new();
        let add = |changed: ChangedOwner| -> Result<(), PipelineError> {
            let owner = &changed.key.owner;
            let domain = case_domain(&changed.key.apex, owner);
            if changed.nameservers && *owner != domain {
                let times = groups.entry(owner.clone()).or_default();
                times.extend(&changed.times);
            }
            if changed.addresses {
                hosts.insert(owner.clone(), changed.times.clone());
            }
            groups.entry(domain).or_default().extend(changed.times);
            Ok(())
        };
        self.store
            .lookup()
            .each_changed_owner(since - Span::days(7), until, add)?;
        // Who uses a name server whose addresses moved is touched by that as well.
        let names: BTreeSet<Name> = hosts.keys().cloned().collect();
        for (host, domains) in self.store.lookup().delegations_by_host(&names)? {
            for domain in domains {
                groups.entry(domain).or_default().extend(&hosts[&host]);
            }
        }
        let needed = policy.changes_min();
        for times in groups.values_mut() {
            times.sort_unstable();
            times.dedup();
        }
        groups.retain(|_, times| changed_often(times, needed));
        Ok(groups.into_iter().collect())
    }

    /// Replays one domain.
    fn replay_domain(
        &self,
        domain: &Name,
        times: &[Timestamp],
        policy: &DetectPolicy,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Replayed>, PipelineError> {
        let windows = self.windows_to_replay(domain, policy, [since, until])?;
        let mut times = times.to_vec();
        times.extend(self.times_seen_again(&windows, [since, until])?);
        times.sort_unstable();
        let life = Life {
            times: &times,
            policy,
            since,
            until,
            enough: Level::Report,
        };
        let mut replayed = self.replay_windows(domain, &windows, &life)?;
        if let Some(replayed) = &mut replayed {
            let stored = self.store.desk().find_case(domain)?;
            replayed.decided = stored.map(|row| row.case.state);
        }
        Ok(replayed)
    }

    /// Returns the highest level that a domain's case reaches between two times under a policy, up to `enough`; `None`
    /// if there is no case.
    pub(in crate::pipeline) fn replay_until(
        &self,
        domain: &Name,
        policy: &DetectPolicy,
        [since, until]: [Timestamp; 2],
        enough: Level,
    ) -> Result<Option<Level>, PipelineError> {
        let windows = self.windows_to_replay(domain, policy, [since, until])?;
        let mut times: BTreeSet<Timestamp> = windows.change_times().collect();
        // What was seen before is judged first.
        times.insert(since);
        times.extend(self.times_seen_again(&windows, [since, until])?);
        let times: Vec<Timestamp> = times.into_iter().collect();
        let life = Life {
            times: &times,
            policy,
            since,
            until,
            enough,
        };
        let replayed = self.replay_windows(domain, &windows, &life)?;
        Ok(replayed.map(|replayed| replayed.peak))
    }

    /// Loads what is replayed of a domain.
    fn windows_to_replay(
        &self,
        domain: &Name,
        policy: &DetectPolicy,
        [since, until]: [Timestamp; 2],
    ) -> Result<DomainWindows, PipelineError> {
        let range = Range {
            since: since - policy.memory,
            until,
            moved_since: since - ADDRESSES_SINCE,
            limit: REPLAYED_INTERVALS_MAX,
            among: None,
            only_times: false,
            is_replayed: true,
        };
        let mut windows = self.findings.load_windows(domain, &range)?;
        // Asked once: each judgement needs one evaluation then, not two.
        self.findings
            .find_operators(domain, &mut windows.aliases, policy, until)?;
        Ok(windows)
    }

    /// Returns when zones of a domain were seen again that could not be seen: what moved meanwhile is judged then.
    fn times_seen_again(
        &self,
        windows: &DomainWindows,
        [since, until]: [Timestamp; 2],
    ) -> Result<Vec<Timestamp>, PipelineError> {
        let mut times = Vec::new();
        for zone in windows.zones.iter().flatten() {
            let ends = self.store.zones().gaps(*zone)?.into_iter();
            times.extend(ends.map(|gap| gap.to));
        }
        times.retain(|at| (since..=until).contains(at));
        Ok(times)
    }

    /// Leaves out of what was known of a domain at a time what moved while nobody could see the zone that it lies in.
    fn leave_unseen(
        &self,
        zone: ZoneId,
        window: &mut NameserverWindow,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let mut last = HashMap::new();
        for (host, _) in &window.addresses {
            if !last.contains_key(host) {
                let used = self.findings.last_use(zone, &window.names, host, now)?;
                last.insert(host.clone(), used);
            }
        }
        let is_held = |(host, stay): &(Name, Stay<IpAddr>)| {
            let last = last.get(host).copied().flatten();
            last.is_none_or(|last| stay.added.at <= last)
        };
        window.addresses.retain(is_held);
        Ok(())
    }

    /// Judges what was loaded of a domain at one time after another.
    fn replay_windows(
        &self,
        domain: &Name,
        windows: &DomainWindows,
        life: &Life<'_>,
    ) -> Result<Option<Replayed>, PipelineError> {
        let Life {
            times,
            policy,
            since,
            until,
            enough,
        } = *life;
        // Asked once for all that the domain ever used: each judgement needs one evaluation then, not two.
        let mut popular: Option<Arc<BTreeSet<Name>>> = None;
        let mut case: Option<Case> = None;
        let mut replayed: Option<Replayed> = None;
        let mut changes = times.iter().filter(|at| **at >= since).peekable();
        let mut judged_at: Option<Timestamp> = None;
        loop {
            // The next change, unless it follows the last judgement too soon; or the case's turn.
            let working = case.as_ref().filter(|case| case.state.is_working());
            let turn = working.map(|case| {
                let next = next_reevaluation(case, policy, until);
                case.due_at.map_or(next, |due_at| next.min(due_at))
            });
            let soonest = judged_at.map_or(since, |at| at + CHANGE_PAUSE);
            let change = changes.peek().map(|at| (**at).max(soonest));
            let Some(now) = change
                .into_iter()
                .chain(turn)
                .min()
                .filter(|now| *now <= until)
            else {
                break;
            };
            while changes.next_if(|at| **at <= now).is_some() {}
            judged_at = Some(now);
            let works_on = case.as_ref().is_some_and(|case| case.state.is_working());
            // Without a case to go on with, only what changed often enough lately can be suspected.
            if !works_on && !may_be_suspected(windows, policy, now) {
                continue;
            }
            if popular.is_none() {
                let names = windows.nameservers.iter().flat_map(|it| &it.names);
                let hosts: BTreeSet<&Name> = names.map(|stay| &stay.value).collect();
                popular = Some(Arc::new(self.findings.popular_among(
                    hosts.into_iter(),
                    policy,
                    until,
                )?));
            }
            let (mut at_now, zones) = cut(windows, popular.as_ref(), now - policy.memory, now);
            for (window, zone) in at_now.nameservers.iter_mut().zip(zones) {
                if let Some(zone) = zone {
                    self.leave_unseen(zone, window, now)?;
                }
            }
            let last_change_at = at_now.last_change_at(now);
            let planes = self
                .findings
                .judge_planes(domain, &mut at_now, policy, now, until)?;
            let finding = judge_planes(domain, planes, now);
            let observation = Observation {
                finding: finding.as_ref(),
                last_change_at,
                standing: self.standing_then(domain, windows, policy, now)?,
                is_seen: true,
                now,
            };
            case = observe(case.as_ref(), &observation, policy).map(|(case, _)| case);
            if let (Some(case), Some(finding)) = (&case, &finding) {
                note(&mut replayed, case, finding, now);
            }
            if replayed.as_ref().is_some_and(|it| it.peak >= enough) {
                break;
            }
        }
        Ok(replayed)
    }

    /// Returns whether a domain was still there at a time, as [`Judge::standing`] says of now.
    fn standing_then(
        &self,
        domain: &Name,
        windows: &DomainWindows,
        policy: &DetectPolicy,
        now: Timestamp,
    ) -> Result<Standing, PipelineError> {
        let hold = &policy.hold_nameservers;
        let mut hosts = BTreeSet::new();
        for delegation in &windows.delegations {
            let window = &windows.nameservers[delegation.place];
            let is_known = window.names.iter().any(|stay| stay.added.at <= now);
            let (there, gone_at) = delegation_at(&window.names, now);
            if delegation.is_above && is_known {
                let is_gone = there.is_empty()
                    && !self
                        .findings
                        .has_moving_data(domain, windows, &window.zone, now)?;
                return Ok(Standing::of(&there, is_gone, hold).until(gone_at, now));
            }
            hosts.extend(there);
        }
        Ok(Standing::of(&hosts, false, hold))
    }
}

/// What of a domain's life is replayed, and how.
#[derive(Clone, Copy)]
struct Life<'a> {
    /// When it changed, in order.
    times: &'a [Timestamp],
    policy: &'a DetectPolicy,
    since: Timestamp,
    until: Timestamp,
    /// The level at which no more is asked.
    enough: Level,
}

/// Notes what a judgement says of a domain.
fn note(
    replayed: &mut Option<Replayed>,
    case: &Case,
    finding: &crate::detector::Finding,
    now: Timestamp,
) {
    let planes = finding.planes();
    let terms = planes
        .filter(|plane| plane.level == Some(finding.level))
        .flat_map(|plane| &plane.terms);
    let term = terms.max_by(|left, right| left.points.total_cmp(&right.points));
    let term = term.map_or_else(String::new, |term| format!("{}: {}", term.name, term.value));
    let known = replayed.get_or_insert_with(|| Replayed {
        domain: case.domain.clone(),
        peak: case.level,
        reviewed_at: None,
        reported_at: None,
        verdict: finding.verdict.word(),
        score: 0.0,
        term: String::new(),
        decided: None,
    });
    let is_first_report = case.level == Level::Report && known.reported_at.is_none();
    if known.reported_at.is_none() && (is_first_report || finding.score >= known.score) {
        known.verdict = finding.verdict.word();
        known.score = finding.score;
        known.term = term;
    }
    known.peak = known.peak.max(case.level);
    if case.level >= Level::Review {
        known.reviewed_at.get_or_insert(now);
    }
    if is_first_report {
        known.reported_at = Some(now);
    }
}

/// Returns whether some times lie close enough: `needed` of them within 7 days.
fn changed_often(times: &[Timestamp], needed: f64) -> bool {
    let needed = (needed.ceil() as usize).max(1);
    times
        .windows(needed)
        .any(|run| run[needed - 1].since(run[0]) <= Span::days(7))
}

/// Returns whether any plane of a domain changed often enough by `now` to be watched.
fn may_be_suspected(windows: &DomainWindows, policy: &DetectPolicy, now: Timestamp) -> bool {
    let by_servers = |it: &NameserverWindow| may_be_watched(policy, &it.names, &it.addresses, now);
    let by_addresses = |it: &AddressWindow| {
        let ends = it
            .addresses
            .iter()
            .flat_map(|it| [Some(it.added), it.removed]);
        changed_enough(policy, ends.flatten(), now)
    };
    let by_aliases = |it: &AliasWindow| {
        let ends = it.targets.iter();
        let ends = ends.flat_map(|it| [Some(it.added), it.removed]);
        changed_enough(policy, ends.flatten(), now)
    };
    windows.nameservers.iter().any(by_servers)
        || windows.addresses.iter().any(by_addresses)
        || windows.aliases.iter().any(by_aliases)
}

/// Returns what was known of a domain at a time, and the zone of each of its name servers' windows.
fn cut(
    windows: &DomainWindows,
    popular: Option<&Arc<BTreeSet<Name>>>,
    since: Timestamp,
    now: Timestamp,
) -> (DomainWindows, Vec<Option<ZoneId>>) {
    fn is_kept<T>(stay: &Stay<T>, since: Timestamp, now: Timestamp) -> bool {
        stay.added.at <= now && stay.removed.is_none_or(|removed| removed.at >= since)
    }
    let (mut cut, mut zones) = (DomainWindows::default(), Vec::new());
    for (window, zone) in windows.nameservers.iter().zip(&windows.zones) {
        let names = window.names.iter().filter(|stay| is_kept(stay, since, now));
        let names: Vec<_> = names.cloned().collect();
        if !names.is_empty() {
            let addresses = window.addresses.iter();
            zones.push(*zone);
            cut.nameservers.push(NameserverWindow {
                zone: window.zone.clone(),
                owner: window.owner.clone(),
                watched_since: window.watched_since,
                names,
                addresses: addresses
                    .filter(|(_, stay)| is_kept(stay, since, now))
                    .cloned()
                    .collect(),
                resets: window.resets.clone(),
                popular: popular.cloned(),
                operated: None,
                left_out: window.left_out.clone(),
                is_operated: window.is_operated,
            });
        }
    }
    for window in &windows.addresses {
        let addresses = window
            .addresses
            .iter()
            .filter(|stay| is_kept(stay, since, now));
        let addresses: Vec<_> = addresses.cloned().collect();
        if !addresses.is_empty() {
            cut.addresses.push(AddressWindow {
                zone: window.zone.clone(),
                owner: window.owner.clone(),
                watched_since: window.watched_since,
                addresses,
                resets: window.resets.clone(),
                left_out: window.left_out.clone(),
                lingers: window.lingers,
            });
        }
    }
    for window in &windows.aliases {
        let targets = window.targets.iter();
        let targets: Vec<_> = targets
            .filter(|stay| is_kept(stay, since, now))
            .cloned()
            .collect();
        if !targets.is_empty() {
            cut.aliases.push(AliasWindow {
                targets,
                ..window.clone()
            });
        }
    }
    (cut, zones)
}

#[cfg(test)]
mod tests {
    use crate::detector::{Finding, Verdict};

    use super::*;

    #[test]
    fn what_follows_a_report_changes_nothing_of_what_is_said() {
        let domain = Name::parse("bad.example").expect("valid");
        let (policy, mut case, mut replayed) = (DetectPolicy::default(), None, None);
        let mut at_report = None;
        // Held for an hour, reported, then worse and worse, then quiet.
        for (hour, score) in (0..).zip([60.0, 70.0, 90.0, 99.0, 100.0, 0.0, 80.0]) {
            let now = Timestamp::from_unix(1_790_000_000 + hour * 7200);
            let finding = Finding {
                domain: domain.clone(),
                zone: domain.clone(),
                verdict: match hour {
                    0..=2 => Verdict::NsFlux,
                    _ => Verdict::DoubleFlux,
                },
                level: Level::Report,
                score,
                last_change_at: now,
                last_step_at: now,
                now,
                nameservers: None,
                addresses: None,
                aliases: None,
            };
            let finding = Some(finding).filter(|it| it.score > 0.0);
            let observation = Observation {
                finding: finding.as_ref(),
                last_change_at: Some(now),
                standing: Standing::Active,
                is_seen: true,
                now,
            };
            case = observe(case.as_ref(), &observation, &policy).map(|(case, _)| case);
            if let (Some(case), Some(finding)) = (&case, &finding) {
                note(&mut replayed, case, finding, now);
            }
            let is_reported = replayed.as_ref().is_some_and(|it| it.peak >= Level::Report);
            if is_reported && at_report.is_none() {
                assert!(hour < 3, "reported as soon as it is held no longer");
                at_report = replayed.clone();
            }
        }
        assert!(
            at_report
                .as_ref()
                .is_some_and(|it| it.reported_at.is_some())
        );
        assert_eq!(replayed, at_report);
    }
}
