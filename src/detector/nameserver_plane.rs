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

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::count::counted;
use crate::detector::features::{
    Spread, Stayed, Window, ceiling, clamp_share, networks_text, points_in, prefix_of, values_in,
};
use crate::detector::finding::{
    Check, Gate, Level, Plane, PlaneFinding, SeenAddress, SeenName, Term,
};
use crate::detector::timeline::{
    ABSENCES_30D_MAX, BULK_7D_MAX, ChangePoint, ChangedHost, LeftOut, Moment, Replay, Stay,
    Timeline, replay,
};
use crate::detector::{DetectPolicy, Knowledge};
use crate::dns::Name;
use crate::time::{Span, Timestamp};

/// The weight of a change instant that only restores what was seen before, or goes from names of an operator to
/// others of the same.
const RESTORED_WEIGHT: f64 = 0.34;
/// How many renames of name servers that keep their addresses, and corrections of names, are excused within 7 days.
/// Chosen by hand: who makes more goes through names.
const RENAMES_7D_MAX: usize = 3;

/// Under how many suffixes at once a provider's domains must stand to count as one.
const FAMILY_SUFFIXES_MIN: usize = 3;
/// The fewest letters that tell one provider from another.
const FAMILY_LETTERS_MIN: usize = 4;

/// What history says of a delegation.
#[derive(Debug, Clone)]
pub struct NameserverWindow {
    /// The zone.
    pub zone: Name,
    /// The delegation.
    pub owner: Name,
    /// When watching of the zone began.
    pub watched_since: Timestamp,
    /// NS names, as far back as the memory goes.
    pub names: Vec<Stay<Name>>,
    /// Addresses of any of those name servers, in any zone that history holds.
    pub addresses: Vec<(Name, Stay<IpAddr>)>,
    /// Every new registration that is known; of those by the time that is judged the last counts.
    pub resets: Vec<Timestamp>,
    /// Those of the name servers that are a provider's; `None` if nobody has looked.
    pub popular: Option<Arc<BTreeSet<Name>>>,
    /// Whose the name servers are; `None` if nobody has looked.
    pub operated: Option<Operated>,
    /// The part that is left out, where there are more intervals than are replayed.
    pub left_out: Option<LeftOut>,
}

impl NameserverWindow {
    /// Returns whether a name server is known to be a provider's.
    fn is_popular(&self, name: &Name) -> bool {
        self.popular.as_ref().is_some_and(|set| set.contains(name))
    }

    /// Returns whether a name server lies at or below another delegation, which is judged for it.
    fn is_of_other(&self, host: &Name) -> bool {
        self.operated
            .as_ref()
            .is_some_and(|operated| operated.by_others.contains_key(host))
    }
}

/// Whose the name servers of a delegation are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operated {
    /// Those that lie at or below another delegation, each with that one: it is judged for their addresses, and its
    /// customers are not.
    pub by_others: BTreeMap<Name, Name>,
    /// How many other names use those that are at or below the delegation.
    pub user_count: usize,
    /// The first of these names.
    pub users: Vec<Name>,
}

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

/// How many new registrations are believed within 30 days.
const RESETS_30D_MAX: usize = 2;

/// Returns the last new registration by a time that is believed.
pub(super) fn last_reset(resets: &[Timestamp], now: Timestamp) -> Option<Timestamp> {
    believed_resets(resets, now).last().copied()
}

/// Returns the new registrations by a time that are believed, in order: the first [`RESETS_30D_MAX`] of any 30 days.
/// What two sources tell within a day is one.
fn believed_resets(resets: &[Timestamp], now: Timestamp) -> Vec<Timestamp> {
    let mut told: Vec<Timestamp> = resets.iter().filter(|at| **at <= now).copied().collect();
    told.sort_unstable();
    // When each began to be told, and when it was told last.
    let mut believed: Vec<[Timestamp; 2]> = Vec::new();
    for at in told {
        let recent = believed.iter().rev();
        let recent = recent
            .take_while(|[first, _]| at.since(*first) < Span::days(30))
            .count();
        match believed.last_mut() {
            Some([first, last]) if at.since(*first) < Span::days(1) => *last = at,
            _ if recent < RESETS_30D_MAX => believed.push([at, at]),
            _ => {}
        }
    }
    believed.into_iter().map(|[_, last]| last).collect()
}

/// A change instant with what counts of it.
struct Counted<'a> {
    point: &'a ChangePoint,
    weight: f64,
    fresh: u32,
    fresh_names: u32,
    /// Whether something left that had stayed for less than a case takes to settle.
    is_slow_step: bool,
    /// Whether it would be a step, and part of it is not counted because name servers are a provider's.
    is_of_provider: bool,
    /// Why it is no step of a rotation, if it is none though nobody is excused.
    no_step: Option<NoStep>,
}

/// Why a change is no step of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoStep {
    /// Nothing left.
    Grew,
    /// What left had been there for long, and what came stays.
    Replaced,
    /// Name servers have other names and the addresses that were there, or corrected names.
    Renamed,
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
    let names = values_in(&week, &timeline.names);
    // No provider's customer moves so often that its week is more than is replayed.
    let is_cut = LeftOut::is_of_week(left_out, now);
    let operated = window.operated.as_ref();
    let all_popular =
        !is_cut && !names.is_empty() && names.iter().all(|name| window.is_popular(name));
    let shared = shared_moves(timeline, policy, now);
    let excuses = Excuses {
        all_names: all_popular,
        shared_moves: shared.excuses,
        window,
        glue_changes: glue_changes_30d(timeline, now),
        glue_changes_max: policy.nameservers.shared_move_changes_30d_max,
    };
    let counted = count_points(timeline, &excuses, policy, knowledge);
    let excused = count_excused(&counted, &week);
    let is_used_up = excused > policy.nameservers.provider_changes_7d_max;
    let three_days = Window::before(now, Span::days(3), since);
    let rotation = Rotation::of(&counted, &week, &three_days);
    let addresses = values_in(&week, &timeline.addresses);
    let spread = own_spread(&addresses, window, knowledge);
    let operators: BTreeSet<String> = if all_popular {
        BTreeSet::new()
    } else {
        count_operators(timeline, &names, knowledge)
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
    checks.extend(operated.and_then(|operated| operated_check(operated, &moved_hosts(&points))));
    checks.extend(absence_check(timeline, now));
    checks.extend(left_out_check(left_out, &points));
    checks.extend(judged.ceiling);
    PlaneFinding {
        plane: Plane::Nameservers,
        zone: window.zone.clone(),
        owner: window.owner.clone(),
        level: at_least_reviewed(judged.level, is_cut, is_used_up),
        score: judged.score,
        gate_open: judged.gate_open,
        terms: judged.terms,
        gates: judged.gates,
        checks,
        change_counts: change_counts(&points, now),
        points: listed(&points),
        last_step_at: rotation.last_step_at,
        tenure_hours: tenure,
        names: seen_names(&names, window, timeline, knowledge),
        addresses: addresses
            .iter()
            .map(|value| seen_address(value, timeline, knowledge))
            .collect(),
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
    addresses: &BTreeSet<&(Name, IpAddr)>,
    window: &NameserverWindow,
    knowledge: &dyn Knowledge,
) -> Spread {
    let own = addresses.iter();
    let own = own.filter(|(host, _)| !window.is_of_other(host));
    Spread::of(own.copied(), knowledge)
}

/// Returns how many changes of a week are not counted because name servers are a provider's.
fn count_excused(counted: &[Counted<'_>], week: &Window) -> u32 {
    let of_week = counted.iter().filter(|it| week.holds(it.point.moment.at));
    of_week.filter(|it| it.is_of_provider).count() as u32
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

/// Returns the name servers whose addresses changed.
fn moved_hosts<'a>(points: &[&'a ChangePoint]) -> BTreeSet<&'a Name> {
    let moved = points.iter().flat_map(|point| &point.changed_hosts);
    moved.map(|it| &it.host).collect()
}

/// Returns the name servers of a week, in canonical order.
fn seen_names(
    names: &BTreeSet<&Name>,
    window: &NameserverWindow,
    timeline: &Timeline,
    knowledge: &dyn Knowledge,
) -> Vec<SeenName> {
    names
        .iter()
        .map(|name| SeenName {
            host: (*name).clone(),
            operator: knowledge.operator(name),
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
    let moved = plane.points.iter().flat_map(|point| &point.changed_hosts);
    let moved = moved.map(|it| &it.host).collect();
    if let Some(check) = operated_check(operated, &moved) {
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

/// What is not counted against a delegation.
struct Excuses<'a> {
    /// Changes of name: all its name servers are a provider's.
    all_names: bool,
    /// Changes of name that many names made at once.
    shared_moves: bool,
    /// Whose name servers are a provider's, and whose another domain's.
    window: &'a NameserverWindow,
    /// How often each name server's addresses changed within 30 days.
    glue_changes: HashMap<&'a Name, u32>,
    /// How often a provider's may.
    glue_changes_max: u32,
}

impl Excuses<'_> {
    /// Returns whether changes of this name server's addresses are excused: it is a provider's.
    ///
    /// A provider that renumbers now and then is no matter of its customers.
    fn is_host(&self, host: &Name) -> bool {
        self.window.is_popular(host)
            && !host.is_at_or_below(&self.window.owner)
            && self.glue_changes.get(host).copied().unwrap_or(0) <= self.glue_changes_max
    }

    /// Returns whether they are another domain's, which is judged for them.
    fn is_of_other(&self, host: &Name) -> bool {
        self.window.is_of_other(host)
    }
}

/// Weighs every change instant.
fn count_points<'a>(
    timeline: &'a Timeline,
    excuses: &Excuses<'_>,
    policy: &DetectPolicy,
    knowledge: &dyn Knowledge,
) -> Vec<Counted<'a>> {
    let mut weigher = Weigher {
        excuses,
        policy,
        knowledge,
        excused_renames: excused_renames(timeline),
        carried: (0, 0),
    };
    let points = timeline.points.iter();
    points.map(|point| weigher.weigh(point)).collect()
}

/// Returns the instants whose renames are excused: the first of any 7 days.
fn excused_renames(timeline: &Timeline) -> BTreeSet<i64> {
    let mut excused: Vec<Moment> = Vec::new();
    for point in timeline.points.iter().filter(|point| point.is_rename) {
        let recent = excused.iter().rev();
        let recent = recent.take_while(|it| point.moment.at.since(it.at) < Span::days(7));
        if recent.count() < RENAMES_7D_MAX {
            excused.push(point.moment);
        }
    }
    excused.iter().map(|it| it.version_id).collect()
}

/// Weighs change instants in order of time.
struct Weigher<'a> {
    excuses: &'a Excuses<'a>,
    policy: &'a DetectPolicy,
    knowledge: &'a dyn Knowledge,
    excused_renames: BTreeSet<i64>,
    /// Values never seen before, and names among them, that came since something left.
    carried: (u32, u32),
}

impl Weigher<'_> {
    /// Weighs one.
    fn weigh<'a>(&mut self, point: &'a ChangePoint) -> Counted<'a> {
        let mut counted = Counted {
            point,
            weight: 0.0,
            fresh: 0,
            fresh_names: 0,
            is_slow_step: false,
            is_of_provider: self.is_of_provider(point),
            no_step: None,
        };
        let rules = &self.policy.nameservers;
        let is_shared =
            self.excuses.shared_moves && point.moment.shared_count >= rules.shared_move_names;
        let is_renamed = self.excused_renames.contains(&point.moment.version_id);
        let names_count = point.names_changed && !self.excuses.all_names && !is_shared;
        let glue = point.changed_hosts.iter();
        let glue: Vec<&ChangedHost> = glue
            .filter(|it| !self.excuses.is_of_other(&it.host))
            .filter(|it| !self.excuses.is_host(&it.host))
            .collect();
        if point.is_excused || (!names_count && glue.is_empty()) {
            return counted;
        }
        let is_within = |span: Span| {
            names_count && !is_renamed && point.names_departure.is_within(span)
                || glue.iter().any(|it| it.departure.is_within(span))
        };
        let left = names_count && point.names_departure.is_some()
            || glue.iter().any(|it| it.departure.is_some());
        let fresh_glue: u32 = glue.iter().map(|it| it.fresh).sum();
        let (fresh_names, fresh) = if names_count && !is_renamed {
            (
                point.fresh_names,
                point.fresh_names + point.fresh_host_addresses + fresh_glue,
            )
        } else {
            (0, fresh_glue)
        };
        let (carried, carried_names) = self.carried;
        self.carried = (carried + fresh, carried_names + fresh_names);
        if left {
            (counted.fresh, counted.fresh_names) = std::mem::take(&mut self.carried);
        }
        counted.is_slow_step = is_within(self.policy.settled_after);
        if is_within(rules.stay_max) {
            let is_step_of_names =
                names_count && !is_renamed && glue.is_empty() && self.is_reassigned(point);
            counted.weight = if counted.fresh > 0 && !is_step_of_names {
                1.0
            } else {
                RESTORED_WEIGHT
            };
        } else {
            (counted.fresh, counted.fresh_names) = (0, 0);
            counted.no_step = Some(match (left, is_renamed) {
                (false, _) => NoStep::Grew,
                (true, true) => NoStep::Renamed,
                (true, false) => NoStep::Replaced,
            });
        }
        counted
    }

    /// Returns whether a change would be a step but for what is excused because name servers are a provider's.
    fn is_of_provider(&self, point: &ChangePoint) -> bool {
        let span = self.policy.nameservers.stay_max;
        let names = self.excuses.all_names && point.names_changed;
        let mut hosts = point.changed_hosts.iter();
        !point.is_excused
            && (names && point.names_departure.is_within(span)
                || hosts.any(|it| {
                    let is_others = self.excuses.is_of_other(&it.host);
                    it.departure.is_some() && !is_others && self.excuses.is_host(&it.host)
                }))
    }

    /// Returns whether names gave way to others of the same operators, or of the same provider's numbered domains, of
    /// which no new address is known.
    fn is_reassigned(&self, point: &ChangePoint) -> bool {
        let operators = |names: &[Name]| -> BTreeSet<Name> {
            names.iter().map(|it| self.knowledge.operator(it)).collect()
        };
        if !point.has_sets || point.fresh_host_addresses > 0 {
            return false;
        }
        let [before, after] = [&point.names_before, &point.names_after].map(|it| operators(it));
        before == after || {
            let family = one_family(&before);
            family.is_some() && family == one_family(&after)
        }
    }
}

/// Returns the family of all operators of a set of name servers, if it is one that stands under
/// [`FAMILY_SUFFIXES_MIN`] suffixes at once: a provider that numbers its domains.
fn one_family(operators: &BTreeSet<Name>) -> Option<String> {
    if operators.len() < FAMILY_SUFFIXES_MIN {
        return None;
    }
    let parts = operators.iter().map(operator_family);
    let parts: Vec<(String, String)> = parts.collect::<Option<_>>()?;
    let families: BTreeSet<&String> = parts.iter().map(|(family, _)| family).collect();
    let suffixes: BTreeSet<&String> = parts.iter().map(|(_, suffix)| suffix).collect();
    let is_one = families.len() == 1 && suffixes.len() >= FAMILY_SUFFIXES_MIN;
    is_one.then(|| parts[0].0.clone())
}

/// Says which changes of the week are no steps of a rotation.
fn step_check(counted: &[Counted<'_>], week: &Window) -> Check {
    let of_week = counted.iter().filter(|it| week.holds(it.point.moment.at));
    let no_steps: Vec<NoStep> = of_week.filter_map(|it| it.no_step).collect();
    let part = |kind: NoStep, words: &str| {
        let count = no_steps.iter().filter(|it| **it == kind).count();
        (count > 0).then(|| format!("{count} {words}"))
    };
    let parts = [
        part(NoStep::Grew, "where nothing left"),
        part(
            NoStep::Replaced,
            "where only what had been there for long left",
        ),
        part(
            NoStep::Renamed,
            "where name servers were renamed and kept their addresses, or names were corrected",
        ),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let result = if parts.is_empty() {
        "every change of 7 days that is not excused is a step of a rotation".to_owned()
    } else {
        format!("not counted: {}", parts.join(", "))
    };
    Check {
        name: "changes that are no rotation",
        result,
        explains: !no_steps.is_empty(),
    }
}

/// Returns in how many of the last 30 days' instants the addresses of each name server changed.
fn glue_changes_30d(timeline: &Timeline, now: Timestamp) -> HashMap<&Name, u32> {
    let recent = timeline
        .points
        .iter()
        .filter(|point| now.since(point.moment.at) < Span::days(30));
    let mut counts = HashMap::new();
    for changed in recent.flat_map(|point| &point.changed_hosts) {
        *counts.entry(&changed.host).or_default() += 1;
    }
    counts
}

/// Returns the operators of a set of name servers, one provider once.
///
/// Some providers number their domains and spread each set over top-level domains
/// (`dns-12.example`, `dns-7.test`, `dns-3.invalid`). Domains that share a first label but for a
/// number at its end are one operator if one set held them under [`FAMILY_SUFFIXES_MIN`] different
/// suffixes at once; otherwise each registrable domain counts for itself.
fn count_operators(
    timeline: &Timeline,
    names: &BTreeSet<&Name>,
    knowledge: &dyn Knowledge,
) -> BTreeSet<String> {
    let mut families: BTreeSet<String> = BTreeSet::new();
    // A name server stands in many sets, and its operator takes long to tell.
    let mut known: HashMap<&Name, Option<(String, String)>> = HashMap::new();
    let now: Vec<Name> = timeline.names_now.iter().cloned().collect();
    for set in timeline.name_sets.iter().chain([&now]) {
        for host in set {
            if !known.contains_key(host) {
                known.insert(host, operator_family(&knowledge.operator(host)));
            }
        }
        let mut suffixes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (family, suffix) in set.iter().filter_map(|host| known[host].as_ref()) {
            suffixes.entry(family).or_default().insert(suffix);
        }
        let spread = suffixes
            .into_iter()
            .filter(|(_, suffixes)| suffixes.len() >= FAMILY_SUFFIXES_MIN);
        families.extend(spread.map(|(family, _)| family.to_owned()));
    }
    let operator = |name: &&Name| {
        let operator = knowledge.operator(name);
        let family = operator_family(&operator).map(|(family, _)| family);
        family
            .filter(|family| families.contains(family))
            .unwrap_or_else(|| operator.to_string())
    };
    names.iter().map(operator).collect()
}

/// Returns the first label of an operator's domain without a number at its end, and what follows the
/// label; `None` where too few letters are left to tell one provider from another.
fn operator_family(operator: &Name) -> Option<(String, String)> {
    let text = operator.to_text_without_dot();
    let (label, suffix) = text.split_once('.')?;
    let stem = label
        .trim_end_matches(|c: char| c.is_ascii_digit())
        .trim_end_matches('-');
    (stem.len() >= FAMILY_LETTERS_MIN).then(|| (stem.to_owned(), suffix.to_owned()))
}

/// Whether moves that many names made together are excused, and what to say of it.
struct SharedMoves {
    excuses: bool,
    check: Check,
}

/// Looks for moves that many names made at the same instant.
fn shared_moves(timeline: &Timeline, policy: &DetectPolicy, now: Timestamp) -> SharedMoves {
    let month: Vec<&ChangePoint> = timeline
        .points
        .iter()
        .filter(|point| now.since(point.moment.at) < Span::days(30))
        .collect();
    let shared = month
        .iter()
        .filter(|point| point.moment.shared_count >= policy.nameservers.shared_move_names)
        .count();
    let rules = &policy.nameservers;
    let excuses = month.len() as u32 <= rules.shared_move_changes_30d_max
        && shared as u32 <= rules.shared_moves_30d_max;
    let result = match (shared, excuses) {
        (0, _) => "no move was shared with other names".to_owned(),
        (count, true) => format!(
            "not counted: {} that at least {} made at once; {count} of {} in 30 days used up",
            counted(count, "move"),
            counted(rules.shared_move_names, "name"),
            rules.shared_moves_30d_max
        ),
        (count, false) => format!(
            "counted: {} with other names and {} in 30 days are too many for a migration ({} and {} are excused)",
            counted(count, "move"),
            counted(month.len(), "change"),
            rules.shared_moves_30d_max,
            rules.shared_move_changes_30d_max
        ),
    };
    SharedMoves {
        excuses,
        check: Check {
            name: "migration of many names at once",
            result,
            explains: shared > 0 && excuses,
        },
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

/// How many users and operators a line names.
const USERS_NAMED_MAX: usize = 5;

/// Says whose changes of address are counted where; `None` where no name server of others moved and nobody else uses
/// the domain's own.
fn operated_check(operated: &Operated, moved: &BTreeSet<&Name>) -> Option<Check> {
    let others = operated.by_others.iter();
    let others: BTreeSet<&Name> = others
        .filter(|(host, _)| moved.contains(host))
        .map(|(_, operator)| operator)
        .collect();
    let listed = |names: &mut dyn Iterator<Item = &Name>| -> String {
        let names = names.take(USERS_NAMED_MAX);
        let names: Vec<String> = names.map(Name::to_text_without_dot).collect();
        names.join(", ")
    };
    let of_others = (!others.is_empty()).then(|| {
        format!(
            "not counted: addresses of name servers of {}, which is judged for them",
            listed(&mut others.iter().copied())
        )
    });
    let of_users = (operated.user_count > 0 && !moved.is_empty()).then(|| {
        format!(
            "{} on its own name servers, not accused for these: {}{}",
            counted(operated.user_count, "other name"),
            listed(&mut operated.users.iter()),
            if operated.user_count > USERS_NAMED_MAX {
                " and more"
            } else {
                ""
            }
        )
    });
    let parts: Vec<String> = of_others.into_iter().chain(of_users).collect();
    (!parts.is_empty()).then(|| Check {
        name: "whose name servers move",
        result: parts.join("; "),
        explains: !others.is_empty(),
    })
}

/// Says whether bulk instants were left out.
pub(super) fn bulk_check(points: &[&ChangePoint]) -> Check {
    let excused = points.iter().filter(|point| point.is_excused);
    let count = excused.clone().count();
    let drifts = excused.filter(|point| point.moment.drift).count();
    let beyond = points
        .iter()
        .filter(|point| point.moment.is_excused() && !point.is_excused);
    let beyond = beyond.count();
    let result = if beyond > 0 {
        format!(
            "counted: {} with a mass change beyond the {BULK_7D_MAX} in 7 days that are excused",
            counted(beyond, "change")
        )
    } else if count == 0 {
        "none of the changes came with a mass change of the zone".to_owned()
    } else if drifts > 0 {
        format!(
            "not counted: {} that came with a mass change of the zone, or with drift ({drifts}); {count} of {BULK_7D_MAX} in 7 days used up",
            counted(count, "change")
        )
    } else {
        format!(
            "not counted: {} that came with a mass change of the zone; {count} of {BULK_7D_MAX} in 7 days used up",
            counted(count, "change")
        )
    };
    Check {
        name: "mass change of the zone",
        result,
        explains: count > 0,
    }
}

/// The name of the check of new registrations.
const RESET_CHECK: &str = "new registration";

/// Says what is known of a new registration.
pub(super) fn reset_check(resets: &[Timestamp], now: Timestamp) -> Check {
    let believed = believed_resets(resets, now);
    let recent = believed.iter().rev();
    let recent = recent
        .take_while(|it| now.since(**it) < Span::days(30))
        .count();
    let result = match believed.last() {
        Some(at) if recent > 0 => format!(
            "registered anew at {at}; nothing before it counts; {recent} of {RESETS_30D_MAX} in 30 days used up"
        ),
        Some(at) => format!("registered anew at {at}; nothing before it counts"),
        None => "no new registration is known; sources that do not tell of one leave it unknown"
            .to_owned(),
    };
    Check {
        name: RESET_CHECK,
        result,
        explains: false,
    }
}

/// Says how often an entity began anew after a long absence; `None` if it did not within 30 days.
pub(super) fn absence_check(timeline: &Timeline, now: Timestamp) -> Option<Check> {
    let recent = timeline.absences.iter();
    let recent = recent.filter(|(at, _)| now.since(*at) < Span::days(30));
    let count = |excused: bool| {
        let those = recent.clone().filter(|(_, it)| *it == excused);
        let instants: BTreeSet<Timestamp> = those.map(|(at, _)| *at).collect();
        instants.len()
    };
    let (excused, beyond) = (count(true), count(false));
    let result = match (excused, beyond) {
        (0, 0) => return None,
        (_, 0) => format!(
            "began anew after a long absence: not counted as a change; {excused} of {ABSENCES_30D_MAX} in 30 days used up"
        ),
        _ => format!(
            "counted: {} from a long absence as another, beyond the {ABSENCES_30D_MAX} in 30 days that are excused",
            counted(beyond, "return")
        ),
    };
    Some(Check {
        name: "absence",
        result,
        explains: beyond == 0,
    })
}

/// Says what of a history that is too long was left out; `None` if it was judged whole.
pub(super) fn left_out_check(left_out: Option<&LeftOut>, points: &[&ChangePoint]) -> Option<Check> {
    let listed = points.iter().filter(|point| point.has_sets).count();
    let unlisted = (listed < points.len()).then(|| {
        format!(
            "of {} in 7 days the newest {listed} are listed",
            counted(points.len(), "change")
        )
    });
    let unread = left_out.map(|part| {
        format!(
            "more changes than are judged: those before {} are left out, the counts are at least what is said, and their values count as seen before",
            part.until
        )
    });
    let result: Vec<String> = unread.into_iter().chain(unlisted).collect();
    (!result.is_empty()).then(|| Check {
        name: "length of the history",
        result: result.join("; "),
        explains: false,
    })
}

/// Returns the instants that can be listed with their sets.
pub(super) fn listed(points: &[&ChangePoint]) -> Vec<ChangePoint> {
    let listed = points.iter().filter(|point| point.has_sets);
    listed.map(|point| (*point).clone()).collect()
}

/// Raises a level to review where an excuse is used up, or where a part of the last 7 days is left out: who changes
/// so often is worth a look, and nobody gets calm by changes that push others out.
pub(super) fn at_least_reviewed(
    level: Option<Level>,
    is_cut: bool,
    is_used_up: bool,
) -> Option<Level> {
    match (is_cut, is_used_up) {
        (_, true) => level.max(Some(Level::Review)),
        (true, false) => level.map(|level| level.max(Level::Review)),
        (false, false) => level,
    }
}

/// Returns how many instants, bulk ones left out, lie in the last 24 hours, 72 hours and 7 days.
pub(super) fn change_counts(points: &[&ChangePoint], now: Timestamp) -> [u32; 3] {
    [Span::hours(24), Span::hours(72), Span::days(7)].map(|span| {
        points
            .iter()
            .filter(|point| !point.is_excused && now.since(point.moment.at) < span)
            .count() as u32
    })
}

/// Returns the shorter of the mean stays of names and of addresses, in hours.
fn shortest_tenure(week: &Window, timeline: &Timeline, window: &NameserverWindow) -> Option<f64> {
    let names = Stayed::of(week, &timeline.names).tenure_hours();
    let own = timeline.addresses.iter();
    let own: Vec<_> = own
        .filter(|((host, _), _)| !window.is_of_other(host))
        .cloned()
        .collect();
    let addresses = Stayed::of(week, &own).tenure_hours();
    match (names, addresses) {
        (Some(names), Some(addresses)) => Some(names.min(addresses)),
        (one, other) => one.or(other),
    }
}

/// Returns the points of a mean stay: those of the first step that it does not exceed.
pub(super) fn tenure_points(tenure: Option<f64>, steps: [(f64, f64); 3]) -> f64 {
    tenure
        .and_then(|hours| steps.into_iter().find(|(hours_max, _)| hours <= *hours_max))
        .map_or(0.0, |(_, points)| points)
}

/// Returns a mean stay in words.
pub(super) fn tenure_text(tenure: Option<f64>) -> String {
    tenure.map_or_else(
        || "none left in the window".to_owned(),
        |hours| format!("{hours:.1} h"),
    )
}

/// Returns an address with what is known of it.
pub(super) fn seen_address(
    value: &(Name, IpAddr),
    timeline: &Timeline,
    knowledge: &dyn Knowledge,
) -> SeenAddress {
    let asn = knowledge.asn(value.1);
    SeenAddress {
        host: value.0.clone(),
        address: value.1,
        prefix: prefix_of(value.1),
        asn,
        asn_name: asn
            .and_then(|asn| knowledge.asn_name(asn))
            .map(str::to_owned),
        present: timeline.addresses_now.contains(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_tell_providers_apart_and_words_do() {
        let family =
            |text: &str| operator_family(&Name::parse(text).expect("valid")).map(|it| it.0);
        assert_eq!(family("dnscloud-12.com"), family("dnscloud-07.co.uk"));
        assert_eq!(family("ns1.com"), None, "too few letters to tell");
        assert_ne!(family("apple.test"), family("brick.test"));
    }

    #[test]
    fn third_registration_of_a_month_is_not_believed_and_two_sources_are_one() {
        let day = |day: i64| Timestamp::from_unix(day * 86_400);
        let told = [day(1), day(1) + Span::hours(2), day(9), day(20)];
        assert_eq!(
            believed_resets(&told, day(25)),
            [day(1) + Span::hours(2), day(9)]
        );
        assert_eq!(
            last_reset(&[day(1), day(9), day(40)], day(41)),
            Some(day(40))
        );
        assert_eq!(last_reset(&told, day(5)), Some(day(1) + Span::hours(2)));
    }

    #[test]
    fn points_of_a_stay_are_those_of_the_first_step_it_does_not_exceed() {
        let steps = [(24.0, 15.0), (48.0, 10.0), (96.0, 5.0)];
        let points = [Some(24.0), Some(24.1), Some(96.0), Some(96.1), None]
            .map(|hours| tenure_points(hours, steps));
        assert_eq!(points, [15.0, 10.0, 5.0, 0.0, 0.0]);
    }
}
