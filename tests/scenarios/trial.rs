//! Runs a story past the detector and the case, as a feed shows it.
//!
//! What the program stores as intervals is kept here in memory, as exactly as the detector needs it; a
//! test holds one story against the whole program.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use fluxwatch::case::{Case, CaseState, Observation, Standing, observe};
use fluxwatch::detector::{
    AddressWindow, AliasWindow, DetectPolicy, Finding, Level, Moment, NameserverWindow,
    PlaneFinding, Planes, Stay, evaluate_addresses, evaluate_alias_owners, evaluate_aliases,
    evaluate_nameservers, evaluate_owners, judge_planes,
};
use fluxwatch::dns::Name;
use fluxwatch::time::{Span, Timestamp};

use super::internet::{Known, as_v6};
use super::stories::{DAY, HOUR, MINUTE, Story, What};
use crate::numbers::Numbers;

/// When every story begins, in Unix seconds.
const EPOCH: i64 = 1_790_000_000;
/// How long the zone was watched before.
const WATCHED_BEFORE: i64 = 60 * DAY;
/// How soon a domain is judged again after a change: a flux of minutes, and what harms nobody, of which
/// every half an hour is looked at for the whole story.
const CHANGE_PAUSE: [i64; 2] = [10 * MINUTE, 30 * MINUTE];

/// How often the zone is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// Every change.
    Every,
    /// A look every so many seconds.
    Polls(i64),
}

/// What is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ablation {
    /// Nothing.
    Nothing,
    /// The table of autonomous systems.
    Networks,
    /// Who uses a name server.
    Popularity,
    /// IPv4.
    OldProtocol,
    /// IPv4, and all but IPv4 of the table of autonomous systems.
    OldProtocolButInTable,
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The highest level of the case.
    pub peak: Option<Level>,
    /// Hours from the story's beginning to the report.
    pub reported_h: Option<f64>,
    /// Hours to level review or above.
    pub reviewed_h: Option<f64>,
    /// The highest score.
    pub score: f64,
    /// What rules that others have published say: hours to their first alarm.
    pub others_h: [Option<f64>; 3],
    /// Hours and score, one judgement after another.
    pub series: Vec<(f64, f64)>,
}

/// What a value is kept under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Glue(Name),
    Address(Name),
}

/// The state of everything at one time.
type State = (
    BTreeSet<Name>,
    BTreeMap<Place, BTreeSet<IpAddr>>,
    BTreeMap<Name, Name>,
);

/// What is stored.
#[derive(Default)]
struct Stored {
    names: Vec<Stay<Name>>,
    glue: Vec<(Name, Stay<IpAddr>)>,
    addresses: BTreeMap<Name, Vec<Stay<IpAddr>>>,
    aliases: BTreeMap<Name, Vec<Stay<Name>>>,
    resets: Vec<Timestamp>,
    last_version: i64,
}

/// Runs a story.
pub fn run(
    story: &Story,
    feed: Feed,
    ablation: Ablation,
    policy: &DetectPolicy,
    phase_seed: u64,
) -> Outcome {
    let mut trial = Trial {
        story,
        policy,
        known: Known {
            has_table: ablation != Ablation::Networks,
            has_v6: ablation != Ablation::OldProtocolButInTable,
        },
        popular: match ablation {
            Ablation::Popularity => BTreeSet::new(),
            _ => story.popular.clone(),
        },
        v6: matches!(
            ablation,
            Ablation::OldProtocol | Ablation::OldProtocolButInTable
        ),
        state: State::default(),
        seen: State::default(),
        stored: Stored::default(),
        case: None,
        judged_at: i64::MIN / 2,
        outcome: Outcome {
            peak: None,
            reported_h: None,
            reviewed_h: None,
            score: 0.0,
            others_h: [None; 3],
            series: Vec::new(),
        },
    };
    for what in &story.before {
        trial.happen(what);
    }
    trial.see(-WATCHED_BEFORE, 0, true);
    match feed {
        Feed::Every => trial.run_every(),
        Feed::Polls(period) => {
            let phase = Numbers(phase_seed).below(period as u64) as i64;
            trial.run_polls(period, phase);
        }
    }
    trial.outcome
}

/// A trial at work.
struct Trial<'a> {
    story: &'a Story,
    policy: &'a DetectPolicy,
    known: Known,
    popular: BTreeSet<Name>,
    v6: bool,
    /// What is.
    state: State,
    /// What was seen last.
    seen: State,
    stored: Stored,
    case: Option<Case>,
    judged_at: i64,
    outcome: Outcome,
}

impl Trial<'_> {
    /// Every change is seen when it happens; cases are judged again every hour.
    fn run_every(&mut self) {
        let events = &self.story.events;
        for (i, (at, what)) in events.iter().enumerate() {
            self.judge_until(*at);
            let shared = self.happen(what);
            self.register(what, *at);
            // What happens in one second is one version.
            let is_last = events.get(i + 1).is_none_or(|(next, _)| next != at);
            if is_last && self.see(*at, shared, false) {
                self.judge_change(*at);
            }
            if self.is_over() {
                return;
            }
        }
        self.judge_until(self.story.ends);
    }

    /// Judges the case whenever an hour has passed without, before a time.
    fn judge_until(&mut self, at: i64) {
        let is_open = |case: &Case| matches!(case.state, CaseState::Open | CaseState::Acknowledged);
        while self.case.as_ref().is_some_and(is_open)
            && self.judged_at + HOUR < at
            && !self.is_over()
        {
            self.judge(self.judged_at + HOUR);
        }
    }

    /// The zone is looked at every `period`.
    fn run_polls(&mut self, period: i64, phase: i64) {
        let mut events = self.story.events.iter().peekable();
        let mut at = phase;
        while at <= self.story.ends + period {
            let mut shared = 0;
            while let Some((when, what)) = events.next_if(|(when, _)| *when <= at) {
                shared = self.happen(what).max(shared);
                self.register(what, *when);
            }
            let is_missed = self
                .story
                .gaps
                .iter()
                .any(|(from, to)| (*from..*to).contains(&at));
            if !is_missed {
                self.judge_until(at);
                if self.see(at, shared, false) {
                    self.judge_change(at);
                } else {
                    self.judge_until(at + 1);
                }
            }
            if self.is_over() {
                return;
            }
            at += period;
        }
    }

    /// Returns whether nothing more can come of it: a reported flux stays reported.
    fn is_over(&self) -> bool {
        self.outcome.reported_h.is_some()
    }

    /// Brings the state up to what happened. Returns how many names made the same move.
    fn happen(&mut self, what: &What) -> u32 {
        let (names, addresses, aliases) = &mut self.state;
        let v6 = self.v6;
        let set = |values: &[IpAddr]| -> BTreeSet<IpAddr> {
            let values = values.iter();
            values.map(|it| if v6 { as_v6(*it) } else { *it }).collect()
        };
        match what {
            What::Ns(set, shared) => {
                *names = set.iter().cloned().collect();
                return *shared;
            }
            What::Glue(host, values) => {
                addresses.insert(Place::Glue(host.clone()), set(values));
            }
            What::Address(owner, values) => {
                addresses.insert(Place::Address(owner.clone()), set(values));
            }
            What::Alias(owner, Some(target)) => {
                aliases.insert(owner.clone(), target.clone());
            }
            What::Alias(owner, None) => {
                aliases.remove(owner);
            }
            What::Registered => {}
        }
        0
    }

    /// Notes a new registration.
    fn register(&mut self, what: &What, at: i64) {
        if matches!(what, What::Registered) {
            self.stored.resets.push(Timestamp::from_unix(EPOCH + at));
        }
    }

    /// Stores what is another than before. Returns whether anything is.
    fn see(&mut self, at: i64, shared_count: u32, baseline: bool) -> bool {
        if self.state == self.seen {
            return false;
        }
        self.stored.last_version += 1;
        let moment = Moment {
            version_id: self.stored.last_version,
            at: Timestamp::from_unix(EPOCH + at),
            serial: None,
            bulk: false,
            drift: false,
            shared_count: if shared_count > 1 { shared_count } else { 0 },
        };
        let stay = |value: &IpAddr| Stay {
            value: *value,
            added: moment,
            removed: None,
            baseline,
        };
        let stored = &mut self.stored;
        for gone in self.seen.0.difference(&self.state.0) {
            let open = stored.names.iter_mut().rev();
            for it in open
                .filter(|it| it.removed.is_none() && it.value == *gone)
                .take(1)
            {
                it.removed = Some(moment);
            }
        }
        for came in self.state.0.difference(&self.seen.0) {
            stored.names.push(Stay {
                value: came.clone(),
                added: moment,
                removed: None,
                baseline,
            });
        }
        let nothing = BTreeSet::new();
        for (place, now) in &self.state.1 {
            let before = self.seen.1.get(place).unwrap_or(&nothing);
            for gone in before.difference(now) {
                let close = |it: &mut Stay<IpAddr>| it.removed = Some(moment);
                match place {
                    Place::Glue(host) => stored
                        .glue
                        .iter_mut()
                        .rev()
                        .filter(|(name, it)| {
                            name == host && it.value == *gone && it.removed.is_none()
                        })
                        .take(1)
                        .for_each(|(_, it)| close(it)),
                    Place::Address(owner) => stored
                        .addresses
                        .entry(owner.clone())
                        .or_default()
                        .iter_mut()
                        .rev()
                        .filter(|it| it.value == *gone && it.removed.is_none())
                        .take(1)
                        .for_each(close),
                }
            }
            for came in now.difference(before) {
                match place {
                    Place::Glue(host) => stored.glue.push((host.clone(), stay(came))),
                    Place::Address(owner) => stored
                        .addresses
                        .entry(owner.clone())
                        .or_default()
                        .push(stay(came)),
                }
            }
        }
        self.see_aliases(moment, baseline);
        self.seen = self.state.clone();
        !baseline
    }

    /// Stores where aliases lead now and did not before.
    fn see_aliases(&mut self, moment: Moment, baseline: bool) {
        let (before, now) = (&self.seen.2, &self.state.2);
        let is_same = |owner: &Name| before.get(owner) == now.get(owner);
        for owner in before.keys().filter(|owner| !is_same(owner)) {
            let stays = self.stored.aliases.entry(owner.clone()).or_default();
            if let Some(last) = stays.last_mut() {
                last.removed = Some(moment);
            }
        }
        for (owner, target) in now.iter().filter(|(owner, _)| !is_same(owner)) {
            let stays = self.stored.aliases.entry(owner.clone()).or_default();
            stays.push(Stay {
                value: target.clone(),
                added: moment,
                removed: None,
                baseline,
            });
        }
    }

    /// Judges after a change.
    fn judge_change(&mut self, at: i64) {
        let is_benign = self.story.id.starts_with(['B', 'L']);
        if at - self.judged_at >= CHANGE_PAUSE[usize::from(is_benign)] {
            self.judge(at);
        }
    }

    /// Judges.
    fn judge(&mut self, at: i64) {
        self.judged_at = at;
        let now = Timestamp::from_unix(EPOCH + at);
        let hours = (at - self.story.begins) as f64 / HOUR as f64;
        let (nameservers, addresses) = (self.nameservers(now), self.addresses(now));
        self.hear_others(hours, now, addresses.as_ref());
        let planes = Planes {
            nameservers,
            addresses,
            aliases: self.aliases(now),
        };
        let score = planes.iter().map(|plane| plane.score);
        let score = score.fold(0.0, f64::max);
        let finding: Option<Finding> = judge_planes(&self.story.domain, planes, now);
        self.outcome.score = self.outcome.score.max(score);
        self.outcome.series.push((hours, score));
        let observation = Observation {
            finding: finding.as_ref(),
            last_change_at: None,
            standing: self.standing(),
            is_seen: true,
            now,
        };
        let observed = observe(self.case.as_ref(), &observation, self.policy);
        self.case = observed.map(|(case, _)| case);
        let Some(case) = &self.case else {
            return;
        };
        self.outcome.peak = self.outcome.peak.max(Some(case.peak_level));
        if case.level >= Level::Review {
            self.outcome.reviewed_h.get_or_insert(hours);
        }
        if case.level == Level::Report {
            self.outcome.reported_h.get_or_insert(hours);
        }
    }

    /// Returns whether the domain is still there.
    fn standing(&self) -> Standing {
        if self.seen.0.is_empty() && !self.stored.names.is_empty() {
            Standing::Gone
        } else {
            Standing::Active
        }
    }

    /// Judges the name-server plane.
    fn nameservers(&self, now: Timestamp) -> Option<PlaneFinding> {
        if self.stored.names.is_empty() {
            return None;
        }
        let window = NameserverWindow {
            zone: Name::parse("example.").expect("a name"),
            owner: self.story.domain.clone(),
            watched_since: Timestamp::from_unix(EPOCH - WATCHED_BEFORE),
            names: self.stored.names.clone(),
            addresses: self.stored.glue.clone(),
            resets: self.stored.resets.clone(),
            popular: Some(Arc::new(self.popular.clone())),
            operated: None,
            left_out: None,
            is_operated: false,
        };
        Some(evaluate_nameservers(&window, self.policy, &self.known, now))
    }

    /// Judges the address plane.
    fn addresses(&self, now: Timestamp) -> Option<PlaneFinding> {
        let stored = self.stored.addresses.iter();
        let windows: Vec<AddressWindow> = stored
            .map(|(owner, addresses)| AddressWindow {
                zone: self.story.domain.clone(),
                owner: owner.clone(),
                watched_since: Timestamp::from_unix(EPOCH - WATCHED_BEFORE),
                addresses: addresses.clone(),
                resets: self.stored.resets.clone(),
                left_out: None,
                lingers: false,
            })
            .collect();
        let (policy, known) = (self.policy, &self.known);
        let planes = windows
            .iter()
            .map(|window| evaluate_addresses(window, policy, known, now));
        let all: Vec<&AddressWindow> = windows.iter().collect();
        let union = evaluate_owners(&self.story.domain, &all, policy, known, now);
        planes
            .chain(union)
            .reduce(|best, other| if other.outranks(&best) { other } else { best })
    }

    /// Judges the alias plane.
    fn aliases(&self, now: Timestamp) -> Option<PlaneFinding> {
        let moved = self.stored.aliases.iter();
        let moved = moved.filter(|(_, stays)| stays.iter().any(|stay| !stay.baseline));
        let windows: Vec<AliasWindow> = moved
            .map(|(owner, targets)| AliasWindow {
                zone: self.story.domain.clone(),
                owner: owner.clone(),
                watched_since: Timestamp::from_unix(EPOCH - WATCHED_BEFORE),
                targets: targets.clone(),
                resets: self.stored.resets.clone(),
                popular: Some(Arc::new(BTreeSet::new())),
                left_out: None,
            })
            .collect();
        let planes = windows
            .iter()
            .map(|window| evaluate_aliases(window, self.policy, &self.known, now));
        let union = evaluate_alias_owners(&self.story.domain, &windows, self.policy, now);
        planes
            .chain(union)
            .reduce(|best, other| if other.outranks(&best) { other } else { best })
    }

    /// Notes what rules that others have published say.
    fn hear_others(&mut self, hours: f64, now: Timestamp, addresses: Option<&PlaneFinding>) {
        let recent = |span: Span| {
            let names = self.stored.names.iter();
            let ends = names.flat_map(|it| {
                let added = (!it.baseline).then_some(it.added);
                [added, it.removed]
            });
            let ends = ends.flatten().filter(move |end| now.since(end.at) < span);
            ends.map(|end| end.version_id)
                .collect::<BTreeSet<i64>>()
                .len()
        };
        let operators = || {
            let names = self.stored.names.iter();
            let there = names.filter(|it| {
                it.removed
                    .is_none_or(|removed| now.since(removed.at) < Span::hours(72))
            });
            let operators = there.map(|it| fluxwatch::dns::operator_domain(&it.value));
            operators.collect::<BTreeSet<Name>>().len()
        };
        let holz = addresses.and_then(|plane| plane.holz);
        let alarms = [
            // Holz et al., NDSS 2008.
            holz.is_some_and(|score| score > 142.38),
            // Any change of name servers.
            recent(Span::days(7)) > 0,
            // At least 4 changes and 5 operator domains in 72 hours.
            recent(Span::hours(72)) >= 4 && operators() >= 5,
        ];
        for (known, alarm) in self.outcome.others_h.iter_mut().zip(alarms) {
            if alarm {
                known.get_or_insert(hours);
            }
        }
    }
}
