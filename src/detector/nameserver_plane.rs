//! The name-server plane: delegations and the addresses of their name servers.
//!
//! `S = 40 min(1, c7/8) + 20 min(1, f7/8) + 25 max(clamp((asn-2)/4), clamp((ops-2)/4)) + tenure`,
//! where c7 is the weighted number of steps of a rotation in 7 days, f7 the values never seen before that
//! they brought, asn the autonomous systems and ops the operator domains of the window, and tenure 15, 10 or 5
//! points for values that stay at most 24, 48 or 96 hours. The gate is
//! `c7 >= 5 and f7 >= 3 and (asn >= 4 or ops >= 4)`.
//!
//! A change instant is a *step* if something left that had not been there for long: a set that grows, or one
//! whose old values give way to others that stay, does not rotate.

use std::collections::BTreeSet;

use crate::count::counted;
use crate::detector::features::{
    Exposure, Networks, Spread, Window, addresses_in, ceiling, clamp_share, names_in,
    networks_text, points_in,
};
use crate::detector::finding::{Check, Gate, Level, Plane, PlaneFinding, SeenName, Term};
use crate::detector::nameserver_steps::{
    Counted, Excuses, count_excused, count_points, glue_changes_30d, shared_moves, step_check,
    weights_of,
};
use crate::detector::nameserver_window::{NameserverWindow, Operated};
use crate::detector::operators::Operators;
use crate::detector::plane_checks::{
    RESET_CHECK, absence_check, at_least_reviewed, bulk_check, change_counts, last_reset,
    left_out_check, listed, reset_check, tenure_points, tenure_text,
};
use crate::detector::replay::replay;
use crate::detector::timeline::{LeftOut, Presence, Replay, Timeline};
use crate::detector::whose::operated_check;
use crate::detector::{DetectPolicy, Knowledge};
use crate::dns::Name;
use crate::time::{Span, Timestamp};

/// A delegation's history, replayed: judged again where somebody has looked who is popular.
pub struct NameserverReplay {
    timeline: Timeline,
    now: Timestamp,
}

impl NameserverReplay {
    /// Replays a window up to `now`.
    pub fn of(window: &NameserverWindow, policy: &DetectPolicy, now: Timestamp) -> Self {
        let timeline = replay(&Replay {
            names: Some(&window.names),
            addresses: &window.addresses,
            reset_at: last_reset(&window.resets, now),
            absence_max: policy.absence_max,
            is_union: true,
            now,
            left_out: window.left_out.as_ref(),
        });
        Self { timeline, now }
    }
}

/// Judges a delegation at `now`.
pub fn evaluate_nameservers(
    window: &NameserverWindow,
    policy: &DetectPolicy,
    knowledge: &dyn Knowledge,
    now: Timestamp,
) -> PlaneFinding {
    let replayed = NameserverReplay::of(window, policy, now);
    judge_nameservers(&replayed, window, policy, knowledge)
}

/// Judges a delegation whose history was replayed.
pub fn judge_nameservers(
    replayed: &NameserverReplay,
    window: &NameserverWindow,
    policy: &DetectPolicy,
    knowledge: &dyn Knowledge,
) -> PlaneFinding {
    let (timeline, now) = (&replayed.timeline, replayed.now);
    let left_out = window.left_out.as_ref();
    let since = measured_since(timeline, window);
    let week = Window::before(now, Span::days(7), since);
    let names = names_in(&week, timeline);
    // No provider's customer moves so often that its week is more than is replayed.
    let is_cut = LeftOut::is_of_week(left_out, now);
    let operated = window.operated.as_ref();
    let all_popular =
        !is_cut && !names.is_empty() && names.iter().all(|name| window.is_popular(name));
    let shared = shared_moves(timeline, policy, now);
    let mut operators_of = Operators::of(knowledge);
    let excuses = Excuses {
        all_names: all_popular,
        shared_moves: shared.excuses,
        window,
        glue_changes: glue_changes_30d(timeline, window, now),
        glue_changes_max: policy.nameservers.shared_move_changes_30d_max,
    };
    let counted = count_points(timeline, &excuses, policy, &mut operators_of);
    let excused = count_excused(&counted, &week);
    let is_used_up = excused > policy.nameservers.provider_changes_7d_max;
    let three_days = Window::before(now, Span::days(3), since);
    let rotation = Rotation::of(&counted, &week, &three_days);
    let addresses = addresses_in(&week, timeline);
    let networks = Networks::of(timeline, &addresses, knowledge);
    let spread = own_spread(&week, timeline, &networks, window);
    let operators: BTreeSet<String> = if all_popular {
        BTreeSet::new()
    } else {
        operators_of.count(timeline, &names)
    };
    let tenure = shortest_tenure(&week, timeline, window);
    let measures = Measures {
        rotation: &rotation,
        spread: &spread,
        operators: operators.len() as u32,
        tenure,
        by_network: true,
    };
    let judged = judge_bases(measures, policy, knowledge, now);
    let points = points_in(&week, timeline);
    let mut checks = vec![
        popular_check(
            &names,
            window.popular.as_deref(),
            all_popular,
            (excused, policy.nameservers.provider_changes_7d_max),
        ),
        shared.check,
        step_check(&counted, &week),
        bulk_check(&points),
        reset_check(&window.resets, now),
    ];
    checks.extend(operated.and_then(|operated| operated_check(operated, points.iter().copied())));
    checks.extend(absence_check(timeline, now));
    checks.extend(left_out_check(left_out, &points));
    checks.extend(judged.ceiling);
    PlaneFinding {
        plane: Plane::Nameservers,
        zone: window.zone.clone(),
        owner: window.owner.clone(),
        // What could not be looked at, or was excused too often, is for a person to see.
        level: at_least_reviewed(judged.level, is_cut, is_used_up),
        score: judged.score,
        gate_open: judged.gate_open,
        terms: judged.terms,
        gates: judged.gates,
        checks,
        weights: weights_of(&counted, &week),
        change_counts: change_counts(&points, now),
        points: listed(&points),
        last_step_at: rotation.last_step_at,
        tenure_hours: tenure,
        names: seen_names(&names, window, timeline, &mut operators_of),
        addresses: networks.seen(&addresses),
        holz: None,
        watched_since: window.watched_since,
        now,
    }
}

/// Returns since when a delegation is measured: one younger than the window is measured over its own age.
fn measured_since(timeline: &Timeline, window: &NameserverWindow) -> Timestamp {
    let since = timeline
        .began_at()
        .map_or(window.watched_since, |at| at.max(window.watched_since));
    LeftOut::cut(window.left_out.as_ref(), since)
}

/// Returns how far addresses spread. What others' name servers do is no spread of this delegation's.
fn own_spread(
    week: &Window,
    timeline: &Timeline,
    networks: &Networks<'_>,
    window: &NameserverWindow,
) -> Spread {
    let own = own_addresses(timeline, window).filter(|(_, it)| week.touches(it));
    let own: BTreeSet<u32> = own.map(|(place, _)| *place).collect();
    Spread::of(own.into_iter(), networks)
}

/// Returns the addresses of a delegation's name servers that came while these were no other's.
fn own_addresses<'a>(
    timeline: &'a Timeline,
    window: &NameserverWindow,
) -> impl Iterator<Item = &'a (u32, Presence)> {
    let all = timeline.addresses.iter();
    all.filter(|(place, it)| !window.is_of_other(&timeline.pair(*place).0, it.from))
}

/// Judges measures with each way of counting networks, and returns what ranks highest; the first of equals.
fn judge_bases(
    measures: Measures<'_>,
    policy: &DetectPolicy,
    knowledge: &dyn Knowledge,
    now: Timestamp,
) -> Judged {
    let bases = measures.spread.bases(knowledge).map(|by_network| {
        let ceiling = ceiling(by_network, measures.spread, knowledge, now);
        let measures = Measures {
            by_network,
            ..measures
        };
        measures.judge(policy, ceiling)
    });
    bases
        .reduce(|best, other| {
            if other.rank() > best.rank() {
                other
            } else {
                best
            }
        })
        .expect("networks are counted in one way at least")
}

/// Returns the name servers of a week, in canonical order.
fn seen_names<'a>(
    names: &BTreeSet<&'a Name>,
    window: &NameserverWindow,
    timeline: &Timeline,
    operators: &mut Operators<'a>,
) -> Vec<SeenName> {
    names
        .iter()
        .map(|name| SeenName {
            host: (*name).clone(),
            operator: operators.operator(name),
            popular: window.is_popular(name),
            present: timeline.names_now.contains(*name),
        })
        .collect()
}

/// Says of a plane that was judged before anybody had looked whose its name servers are that none is a provider's, and
/// none another's that moved: who uses the domain's own is said beside, and nothing else depends on that.
pub fn without_excuses(
    mut plane: PlaneFinding,
    operated: &Operated,
    policy: &DetectPolicy,
) -> PlaneFinding {
    let names = plane.names.iter().map(|name| &name.host).collect();
    let used = (0, policy.nameservers.provider_changes_7d_max);
    let check = popular_check(&names, Some(&BTreeSet::new()), false, used);
    if let Some(known) = plane.checks.iter_mut().find(|it| it.name == check.name) {
        *known = check;
    }
    if let Some(check) = operated_check(operated, plane.points.iter()) {
        let after = plane.checks.iter().position(|it| it.name == RESET_CHECK);
        let place = after.map_or(plane.checks.len(), |at| at + 1);
        plane.checks.insert(place, check);
    }
    plane
}

/// What comes of measures where networks are counted in one way.
pub(super) struct Judged {
    pub level: Option<Level>,
    pub score: f64,
    pub gate_open: bool,
    pub terms: Vec<Term>,
    pub gates: Vec<Gate>,
    /// Why the level is review at most, if it is.
    pub ceiling: Option<Check>,
}

impl Judged {
    /// Returns the order in which ways of counting compete.
    pub fn rank(&self) -> (Option<Level>, bool, f64) {
        (self.level, self.gate_open, self.score)
    }
}

/// The steps of a rotation, summed.
struct Rotation {
    changes_7d: f64,
    changes_3d: f64,
    fresh: u32,
    fresh_names: u32,
    /// Instants that are steps, whatever they weigh.
    steps: u32,
    /// Instants that are steps if values may stay for as long as a case takes to settle.
    slow_steps: u32,
    last_step_at: Option<Timestamp>,
}

impl Rotation {
    /// Sums over what counts.
    fn of(counted: &[Counted<'_>], week: &Window, three_days: &Window) -> Self {
        let sum = |window: &Window| {
            let within = counted.iter().filter(|it| window.holds(it.point.moment.at));
            within.fold(0.0, |sum, it| sum + it.weight)
        };
        let of_week = || counted.iter().filter(|it| week.holds(it.point.moment.at));
        let last = of_week().rfind(|it| it.weight > 0.0);
        Self {
            changes_7d: sum(week),
            changes_3d: sum(three_days),
            fresh: of_week().map(|it| it.fresh).sum(),
            fresh_names: of_week().map(|it| it.fresh_names).sum(),
            steps: of_week().filter(|it| it.weight > 0.0).count() as u32,
            slow_steps: of_week().filter(|it| it.is_slow_step).count() as u32,
            last_step_at: last.map(|it| it.point.moment.at),
        }
    }
}

/// The numbers that terms, gates and levels are made of.
#[derive(Clone, Copy)]
struct Measures<'a> {
    rotation: &'a Rotation,
    spread: &'a Spread,
    operators: u32,
    tenure: Option<f64>,
    by_network: bool,
}

impl Measures<'_> {
    /// Returns what comes of them; at level review at most under a ceiling.
    fn judge(&self, policy: &DetectPolicy, ceiling: Option<Check>) -> Judged {
        let terms = self.terms();
        let score = terms.iter().fold(0.0, |sum, term| sum + term.points);
        let gates = self.gates(policy);
        let gate_open = gates.iter().all(|gate| gate.passed);
        let level = self.level(policy, score, gate_open);
        Judged {
            level: match ceiling {
                Some(_) => level.min(Some(Level::Review)),
                None => level,
            },
            score,
            gate_open,
            terms,
            gates,
            ceiling,
        }
    }

    /// Returns how many networks there are.
    fn networks(&self) -> u32 {
        self.spread.network_count(self.by_network)
    }

    /// Returns the summands of the score.
    fn terms(&self) -> Vec<Term> {
        // Without a table, prefixes count as the same numbers plus 2.
        let from = if self.by_network { 2.0 } else { 4.0 };
        let networks = clamp_share(f64::from(self.networks()), from, 4.0);
        let operators = clamp_share(f64::from(self.operators), 2.0, 4.0);
        vec![
            Term {
                name: "change instants in 7 days, weighted",
                value: format!("{:.2}", self.rotation.changes_7d),
                points: 40.0 * (self.rotation.changes_7d / 8.0).min(1.0),
                points_max: 40.0,
            },
            Term {
                name: "values never seen before, 7 days",
                value: self.rotation.fresh.to_string(),
                points: 20.0 * (f64::from(self.rotation.fresh) / 8.0).min(1.0),
                points_max: 20.0,
            },
            Term {
                name: "spread of name servers, 7 days",
                value: format!(
                    "{}, {}",
                    networks_text(self.networks(), self.by_network),
                    counted(self.operators, "operator domain")
                ),
                points: 25.0 * networks.max(operators),
                points_max: 25.0,
            },
            Term {
                name: "mean stay of a name server or its address",
                value: tenure_text(self.tenure),
                points: tenure_points(self.tenure, [(24.0, 15.0), (48.0, 10.0), (96.0, 5.0)]),
                points_max: 15.0,
            },
        ]
    }

    /// Returns the conditions of the gate.
    fn gates(&self, policy: &DetectPolicy) -> Vec<Gate> {
        let policy = &policy.nameservers;
        let networks_min = if self.by_network {
            policy.networks_min
        } else {
            policy.prefixes_min
        };
        vec![
            Gate {
                name: "weighted change instants",
                value: format!(
                    "{:.2} in 7 days, {:.2} in 3 days",
                    self.rotation.changes_7d, self.rotation.changes_3d
                ),
                needed: format!("{} in 7 days", policy.changes_7d_min),
                passed: self.rotation.changes_7d >= policy.changes_7d_min,
            },
            Gate {
                name: "values never seen before",
                value: self.rotation.fresh.to_string(),
                needed: policy.fresh_min.to_string(),
                passed: self.rotation.fresh >= policy.fresh_min,
            },
            Gate {
                name: "spread of name servers",
                value: format!(
                    "{}, {}",
                    networks_text(self.networks(), self.by_network),
                    counted(self.operators, "operator domain")
                ),
                needed: format!(
                    "{} or {}",
                    networks_text(networks_min, self.by_network),
                    counted(policy.operators_min, "operator domain")
                ),
                passed: self.networks() >= networks_min || self.operators >= policy.operators_min,
            },
        ]
    }

    /// Returns whether the name servers are spread as widely as the gate asks for.
    fn is_spread(&self, policy: &DetectPolicy) -> bool {
        let policy = &policy.nameservers;
        let networks_min = if self.by_network {
            policy.networks_min
        } else {
            policy.prefixes_min
        };
        self.networks() >= networks_min || self.operators >= policy.operators_min
    }

    /// Returns the level.
    fn level(&self, policy: &DetectPolicy, score: f64, gate_open: bool) -> Option<Level> {
        let rules = &policy.nameservers;
        let review_networks = if self.by_network {
            rules.review_networks_min
        } else {
            rules.review_prefixes_min
        };
        let rotation = self.rotation;
        let is_steady = score >= rules.review_score_min
            && rotation.changes_7d >= rules.review_changes_7d_min
            && rotation.fresh >= rules.review_fresh_min
            && (self.networks() >= review_networks || self.operators >= rules.review_operators_min);
        let is_quick = rotation.changes_3d >= rules.changes_3d_min
            && rotation.fresh >= rules.fresh_min
            && self.is_spread(policy);
        let is_slow =
            rotation.slow_steps >= rules.review_slow_changes_7d_min && self.is_spread(policy);
        let is_endless = rotation.fresh_names >= rules.review_fresh_names_min;
        let is_restless = rotation.steps >= rules.review_steps_7d_min && self.is_spread(policy);
        let review = is_steady || is_quick || is_slow || is_endless || is_restless;
        if gate_open && score >= rules.score_min {
            Some(Level::Report)
        } else if review || gate_open {
            Some(Level::Review)
        } else if self.rotation.changes_7d >= policy.watch_changes_7d_min {
            Some(Level::Watch)
        } else {
            None
        }
    }
}

/// Says whether the name servers are a provider's.
fn popular_check(
    names: &BTreeSet<&Name>,
    popular: Option<&BTreeSet<Name>>,
    all_popular: bool,
    (excused, excused_max): (u32, u32),
) -> Check {
    let result = match popular {
        None => "not looked up".to_owned(),
        Some(popular) => {
            let count = names.iter().filter(|name| popular.contains(**name)).count();
            let end = if all_popular {
                "; changes of name are not counted"
            } else {
                ""
            };
            let used = match excused {
                0 => String::new(),
                _ if excused > excused_max => format!(
                    "; {} in 7 days not counted, more than the {excused_max} that this excuses: reviewed",
                    counted(excused, "change")
                ),
                _ => format!("; {excused} of {excused_max} changes in 7 days used up"),
            };
            format!(
                "{count} of {} in use by many stable names{end}{used}",
                counted(names.len(), "name server")
            )
        }
    };
    Check {
        name: "name servers of a known provider",
        result,
        explains: all_popular || excused > 0,
    }
}

/// Returns the shorter of the mean stays of names and of addresses, in hours.
fn shortest_tenure(week: &Window, timeline: &Timeline, window: &NameserverWindow) -> Option<f64> {
    let names = timeline.names.iter().map(|(_, it)| it);
    let names = Exposure::of(week, names).tenure_hours();
    let own = own_addresses(timeline, window);
    let addresses = Exposure::of(week, own.map(|(_, it)| it)).tenure_hours();
    match (names, addresses) {
        (Some(names), Some(addresses)) => Some(names.min(addresses)),
        (one, other) => one.or(other),
    }
}
