//! The alias plane: what an owner's CNAME leads to.
//!
//! `S = 30 min(1, c7/16) + 20 min(1, f7/12) + 30 clamp((ops-2)/8) + tenure`, where c7 is the weighted number of steps
//! in 7 days, f7 the operators never seen before that they brought, ops the operators of the week, and tenure 20, 14 or
//! 8 points for targets that stay at most 3, 12 or 48 hours.
//!
//! An *operator* is the registrable domain of a target, a value's network: whoever rotates targets below one domain
//! could as well rotate the addresses of one target. Three kinds of targets count for no operator, and change of them
//! weighs as a return: those below the owner's own domain, those of a *service* that lets others have names below its
//! own (the private part of the Public Suffix List: content networks, clouds, platforms), and those of operators to
//! which names of many other domains lead. None of them hides a step or what others bring.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::count::counted;
use crate::detector::features::{Exposure, Spread, Window, ceiling, clamp_share, names_in};
use crate::detector::finding::{
    Check, Gate, HOST_CHECK, Level, Plane, PlaneFinding, SeenName, Term, Weight,
};
use crate::detector::plane_checks::{
    at_least_reviewed, bulk_check, change_counts, last_reset, left_out_check, listed, reset_check,
    tenure_points, tenure_text,
};
use crate::detector::replay::replay;
use crate::detector::timeline::{ChangePoint, Instant, LeftOut, Replay, Stay, Timeline};
use crate::detector::{AliasPolicy, DetectPolicy, Knowledge};
use crate::dns::{Name, operator_domain, shared_service};
use crate::time::{Span, Timestamp};

/// The weight of a step that brings no operator never seen before.
const RETURNED_WEIGHT: f64 = 0.34;
/// The most targets that the owners of a domain have at a time to be judged as one set. Chosen by hand, as for
/// addresses: the work at a change is that of the set.
const OWNERS_TARGETS_MAX: usize = 200;

/// What history says of an owner's aliases.
#[derive(Debug, Clone)]
pub struct AliasWindow {
    /// The zone.
    pub zone: Name,
    /// The owner.
    pub owner: Name,
    /// When watching of the zone began.
    pub watched_since: Timestamp,
    /// What it led to, as far back as the memory goes.
    pub targets: Vec<Stay<Name>>,
    /// Every new registration that is known; of those by the time that is judged the last counts.
    pub resets: Vec<Timestamp>,
    /// Operators to which stable names of many other domains lead; `None` if nobody has looked.
    pub popular: Option<Arc<BTreeSet<Name>>>,
    /// The part that is left out, where there are more intervals than are replayed.
    pub left_out: Option<LeftOut>,
}

/// Judges an owner's aliases at `now`. Without a table of autonomous systems, or with one that is too
/// old, nobody is reported, on whatever plane.
pub fn evaluate_aliases(
    window: &AliasWindow,
    policy: &DetectPolicy,
    knowledge: &dyn Knowledge,
    now: Timestamp,
) -> PlaneFinding {
    let (mut plane, _) = evaluate(window, policy, now);
    let is_host = is_host_name(&window.owner);
    if !is_host {
        plane.level = plane.level.map(|level| level.min(Level::Review));
    }
    let result = if is_host {
        "its name may be that of a host"
    } else {
        "a label of its name begins with an underscore, so it stands for text such as keys and proofs: reviewed at most"
    };
    plane.checks.push(Check {
        name: HOST_CHECK,
        result: result.to_owned(),
        explains: !is_host,
    });
    if let Some(check) = ceiling(true, &Spread::default(), knowledge, now) {
        plane.level = plane.level.map(|level| level.min(Level::Review));
        plane.checks.push(check);
    }
    plane
}

/// Judges the aliases of several owners of a domain as one set at `now`; `None` where there are fewer than two owners
/// of hosts, or where these lead to more than [`OWNERS_TARGETS_MAX`] targets.
///
/// A domain that gives a target to one owner after another rotates like one that gives one owner target after target.
/// Owners of many customers look the same, so the level is review or none.
pub fn evaluate_alias_owners(
    domain: &Name,
    windows: &[AliasWindow],
    policy: &DetectPolicy,
    now: Timestamp,
) -> Option<PlaneFinding> {
    let hosts = || windows.iter().filter(|it| is_host_name(&it.owner));
    let (first, count) = (hosts().next()?, hosts().count());
    let all = hosts().flat_map(|it| &it.targets);
    let there = all.clone().filter(|stay| stay.removed.is_none()).count();
    if count < 2 || there > OWNERS_TARGETS_MAX {
        return None;
    }
    // The part that ends last: what came before its end is not known of every owner.
    let part = hosts().filter_map(|it| it.left_out.as_ref());
    let union = AliasWindow {
        owner: domain.clone(),
        targets: merged(all.cloned().collect()),
        left_out: part.max_by_key(|part| part.until).cloned(),
        ..first.clone()
    };
    let (mut plane, measures) = evaluate(&union, policy, now);
    // Proofs that services ask for come and go too, a few in a week.
    let rules = &policy.aliases;
    let is_suspect = measures.is_restless(rules) && measures.is_short(rules);
    plane.level = is_suspect.then_some(Level::Review);
    plane.checks.push(Check {
        name: "owners of the domain",
        result: format!(
            "the aliases of {} are judged as one set: reviewed, never reported for that alone",
            counted(count, "owner")
        ),
        explains: false,
    });
    Some(plane)
}

/// Says of a plane that was judged before anybody had looked who else leads to its operators that nobody does: nothing
/// else depends on that.
pub fn without_known_operators(mut plane: PlaneFinding) -> PlaneFinding {
    let check = popular_check(Some(&BTreeSet::new()), 0, 0);
    if let Some(known) = plane.checks.iter_mut().find(|it| it.name == check.name) {
        *known = check;
    }
    plane
}

/// Returns the operator of a target: the service below whose name it lies, or its registrable domain.
pub fn operator_of(target: &Name) -> Name {
    shared_service(target).unwrap_or_else(|| operator_domain(target))
}

/// Returns whether a name can be a host's. RFC 8552 §1.1: a label that begins with an underscore tells what the
/// record is for.
fn is_host_name(name: &Name) -> bool {
    name.labels().all(|label| !label.starts_with(b"_"))
}

/// Joins overlapping stays of one target, whatever owners have it, into one that lasts as long as any of them.
fn merged(mut stays: Vec<Stay<Name>>) -> Vec<Stay<Name>> {
    stays.sort_by(|one, other| {
        let key = |it: &Stay<Name>| (it.added.at, it.added.version_id);
        one.value.cmp(&other.value).then(key(one).cmp(&key(other)))
    });
    let mut merged: Vec<Stay<Name>> = Vec::new();
    for stay in stays {
        let last = merged.last_mut().filter(|last| {
            let goes_on = last.removed.is_none_or(|end| end.at >= stay.added.at);
            last.value == stay.value && goes_on
        });
        match last {
            Some(last) => {
                last.removed = match (last.removed, stay.removed) {
                    (Some(one), Some(other)) => Some(if one.at >= other.at { one } else { other }),
                    _ => None,
                };
            }
            None => merged.push(stay),
        }
    }
    merged
}

/// Whose a target is.
struct Owned {
    operator: Name,
    /// Whether the operator is a service that lets others have names below its own.
    is_service: bool,
    /// Whether the operator counts.
    counts: bool,
}

/// Whose targets are.
struct Operators {
    /// Each target's, told once: to tell it takes long, and a target stands in many sets.
    of_target: HashMap<Name, Owned>,
    /// How many operators that count were led to for the first time, by that instant.
    fresh: BTreeMap<Instant, u32>,
}

impl Operators {
    /// Tells the operators of a history.
    fn of(timeline: &Timeline, window: &AliasWindow, popular: Option<&BTreeSet<Name>>) -> Self {
        let own = operator_of(&window.owner);
        let mut of_target: HashMap<Name, Owned> = HashMap::new();
        let mut first_at: BTreeMap<Name, Instant> = BTreeMap::new();
        for (place, presence) in &timeline.names {
            let target = timeline.name(*place);
            let owned = of_target.entry(target.clone()).or_insert_with(|| {
                let service = shared_service(target);
                let is_service = service.is_some();
                let operator = service.unwrap_or_else(|| operator_domain(target));
                let is_popular = popular.is_some_and(|set| set.contains(&operator));
                Owned {
                    counts: !is_service && !is_popular && operator != own,
                    is_service,
                    operator,
                }
            });
            if owned.counts {
                let first = first_at.entry(owned.operator.clone());
                let first = first.or_insert(presence.began());
                *first = presence.began().min(*first);
            }
        }
        let left_out = window.left_out.iter().flat_map(|part| &part.names);
        for target in left_out {
            first_at.remove(&operator_of(target));
        }
        let mut fresh = BTreeMap::new();
        for at in first_at.into_values() {
            *fresh.entry(at).or_default() += 1;
        }
        Self { of_target, fresh }
    }

    /// Returns the operator of a target, if it counts as one.
    fn counted(&self, target: &Name) -> Option<&Name> {
        let owned = self.of_target.get(target)?;
        owned.counts.then_some(&owned.operator)
    }

    /// Returns whether a change brings a target of an operator that counts; where its sets are not kept it is taken to.
    fn are_led_to(&self, point: &ChangePoint) -> bool {
        let came = point.names_after.iter();
        let mut came = came.filter(|it| point.names_before.binary_search(it).is_err());
        !point.has_sets || came.any(|it| self.counted(it).is_some())
    }

    /// Returns how many operators a change led to for the first time.
    fn fresh_in(&self, point: &ChangePoint) -> u32 {
        self.fresh
            .get(&point.moment.instant())
            .copied()
            .unwrap_or(0)
    }
}

/// The numbers that terms, gates and levels are made of.
struct Measures {
    /// Steps of the week, weighted.
    changes: f64,
    /// Steps of the week.
    steps: u32,
    /// Steps to targets of operators that count.
    counted_steps: u32,
    /// Steps that brought operators never seen before.
    fresh_steps: u32,
    /// Operators never seen before that steps brought.
    fresh: u32,
    /// Operators of the week that count.
    operators: u32,
    /// Changes of the week that are no steps: what left had stayed for long.
    replaced: u32,
    /// Mean stay of a target, in hours.
    tenure: Option<f64>,
    /// Hours from the first step of the week to the last.
    lasted_h: f64,
    /// The last step.
    last_step_at: Option<Timestamp>,
}

impl Measures {
    /// Measures a week.
    fn of(timeline: &Timeline, week: &Window, operators: &Operators, policy: &AliasPolicy) -> Self {
        let points = timeline.points.iter();
        let points = points.filter(|it| week.holds(it.moment.at) && !it.is_excused);
        let (steps, others): (Vec<&ChangePoint>, Vec<&ChangePoint>) =
            points.partition(|it| is_step(it, policy));
        let fresh: Vec<u32> = steps.iter().map(|it| operators.fresh_in(it)).collect();
        let weight = |fresh: &u32| if *fresh > 0 { 1.0 } else { RETURNED_WEIGHT };
        let (first, last) = (steps.first(), steps.last());
        let lasted = first
            .zip(last)
            .map(|(first, last)| last.moment.at.since(first.moment.at));
        let targets = names_in(week, timeline).into_iter();
        let of_week: BTreeSet<&Name> = targets.filter_map(|it| operators.counted(it)).collect();
        Self {
            changes: fresh.iter().map(weight).sum(),
            steps: steps.len() as u32,
            counted_steps: steps.iter().filter(|it| operators.are_led_to(it)).count() as u32,
            fresh_steps: fresh.iter().filter(|it| **it > 0).count() as u32,
            fresh: fresh.iter().sum(),
            operators: of_week.len() as u32,
            replaced: others.len() as u32,
            tenure: Exposure::of(week, timeline.names.iter().map(|(_, it)| it)).tenure_hours(),
            lasted_h: lasted.map_or(0.0, Span::as_hours),
            last_step_at: last.map(|it| it.moment.at),
        }
    }

    /// Returns the share of steps to operators that count which brought some never seen before: targets of services
    /// in between make nothing old.
    fn novelty(&self) -> f64 {
        f64::from(self.fresh_steps) / f64::from(self.counted_steps.max(1))
    }

    /// Returns whether targets stay for no longer than in a rotation.
    fn is_short(&self, policy: &AliasPolicy) -> bool {
        self.tenure
            .is_some_and(|hours| hours <= policy.tenure_max.as_hours())
    }

    /// Returns whether targets change often among many operators, however little is fresh.
    fn is_restless(&self, policy: &AliasPolicy) -> bool {
        self.steps >= policy.review_steps_7d_min
            && self.operators >= policy.review_steps_operators_min
    }

    /// Returns the summands of the score.
    fn terms(&self) -> Vec<Term> {
        vec![
            Term {
                name: "changes of alias in 7 days, weighted",
                value: format!("{:.2}", self.changes),
                points: 30.0 * (self.changes / 16.0).min(1.0),
                points_max: 30.0,
            },
            Term {
                name: "operators of targets never seen before, 7 days",
                value: self.fresh.to_string(),
                points: 20.0 * (f64::from(self.fresh) / 12.0).min(1.0),
                points_max: 20.0,
            },
            Term {
                name: "operators of targets, 7 days",
                value: self.operators.to_string(),
                points: 30.0 * clamp_share(f64::from(self.operators), 2.0, 8.0),
                points_max: 30.0,
            },
            Term {
                name: "mean stay of a target",
                value: tenure_text(self.tenure),
                points: tenure_points(self.tenure, [(3.0, 20.0), (12.0, 14.0), (48.0, 8.0)]),
                points_max: 20.0,
            },
        ]
    }

    /// Returns the conditions of the gate.
    fn gates(&self, policy: &AliasPolicy) -> Vec<Gate> {
        let at_least = |name: &'static str, value: f64, min: f64| Gate {
            name,
            value: format!("{value:.2}"),
            needed: format!("{min}"),
            passed: value >= min,
        };
        let count = |name: &'static str, value: u32, min: u32| Gate {
            name,
            value: value.to_string(),
            needed: min.to_string(),
            passed: value >= min,
        };
        vec![
            at_least(
                "changes of alias, weighted",
                self.changes,
                policy.changes_7d_min,
            ),
            count("operators never seen before", self.fresh, policy.fresh_min),
            count("operators of targets", self.operators, policy.operators_min),
            at_least(
                "share of changes that bring such operators",
                self.novelty(),
                policy.novelty_min,
            ),
            Gate {
                name: "mean stay of a target",
                value: tenure_text(self.tenure),
                needed: format!("at most {} h", policy.tenure_max.as_hours()),
                passed: self.is_short(policy),
            },
            Gate {
                name: "hours from the first such change to the last",
                value: format!("{:.1}", self.lasted_h),
                needed: format!("{}", policy.lasting_min.as_hours()),
                passed: self.lasted_h >= policy.lasting_min.as_hours(),
            },
        ]
    }

    /// Returns the level.
    fn level(&self, policy: &DetectPolicy, score: f64, gate_open: bool) -> Option<Level> {
        let rules = &policy.aliases;
        let is_steady = self.changes >= rules.review_changes_7d_min
            && self.fresh >= rules.review_fresh_min
            && self.operators >= rules.review_operators_min
            && self.is_short(rules);
        if gate_open && score >= rules.score_min {
            Some(Level::Report)
        } else if gate_open || is_steady || self.is_restless(rules) {
            Some(Level::Review)
        } else {
            let is_watched = self.changes >= policy.watch_changes_7d_min
                && self.operators >= rules.watch_operators_min;
            is_watched.then_some(Level::Watch)
        }
    }
}

/// Judges aliases at `now`.
fn evaluate(
    window: &AliasWindow,
    policy: &DetectPolicy,
    now: Timestamp,
) -> (PlaneFinding, Measures) {
    let left_out = window.left_out.as_ref();
    let timeline = replay(&Replay {
        names: Some(&window.targets),
        addresses: &[],
        reset_at: last_reset(&window.resets, now),
        absence_max: policy.absence_max,
        is_union: true,
        now,
        left_out,
    });
    // A name younger than the watch has its own age only.
    let began_at = timeline.began_at();
    let since = began_at.map_or(window.watched_since, |at| at.max(window.watched_since));
    let week = Window::before(now, Span::days(7), LeftOut::cut(left_out, since));
    let targets = names_in(&week, &timeline);
    let popular = window.popular.as_deref();
    // As if nobody were popular: whose targets are does not depend on that.
    let mut operators = Operators::of(&timeline, window, None);
    let led_to = targets.iter().filter_map(|it| operators.counted(it));
    let known: BTreeSet<&Name> = match popular {
        Some(popular) => led_to.filter(|it| popular.contains(*it)).collect(),
        None => BTreeSet::new(),
    };
    let excused = known.len() as u32;
    let excused_max = policy.aliases.popular_operators_7d_max;
    // Whoever leads to more of them than that would hide behind them: they all count again.
    if excused > 0 && excused <= excused_max {
        operators = Operators::of(&timeline, window, popular);
    }
    let measures = Measures::of(&timeline, &week, &operators, &policy.aliases);
    let terms = measures.terms();
    let score = terms.iter().fold(0.0, |sum, term| sum + term.points);
    let gates = measures.gates(&policy.aliases);
    let gate_open = gates.iter().all(|gate| gate.passed);
    let points = timeline.points.iter();
    let points: Vec<&ChangePoint> = points.filter(|it| week.holds(it.moment.at)).collect();
    let level = measures.level(policy, score, gate_open);
    let mut checks = vec![
        service_check(&targets, &operators),
        popular_check(popular, excused, excused_max),
        step_check(&measures),
        bulk_check(&points),
        reset_check(&window.resets, now),
    ];
    checks.extend(left_out_check(left_out, &points));
    let seen = |target: &&Name| {
        let owned = operators.of_target.get(*target)?;
        Some(SeenName {
            host: (*target).clone(),
            operator: owned.operator.clone(),
            popular: popular.is_some_and(|set| set.contains(&owned.operator)),
            present: timeline.names_now.contains(*target),
        })
    };
    let plane = PlaneFinding {
        plane: Plane::Aliases,
        zone: window.zone.clone(),
        owner: window.owner.clone(),
        level: at_least_reviewed(level, LeftOut::is_of_week(left_out, now), false),
        score,
        gate_open,
        terms,
        gates,
        checks,
        weights: points
            .iter()
            .map(|it| {
                let weight = weight_of(it, &operators, &policy.aliases);
                (it.moment.version_id, weight)
            })
            .collect(),
        change_counts: change_counts(&points, now),
        points: listed(&points),
        last_step_at: measures.last_step_at,
        tenure_hours: measures.tenure,
        names: targets.iter().filter_map(seen).collect(),
        addresses: Vec::new(),
        holz: None,
        watched_since: window.watched_since,
        now,
    };
    (plane, measures)
}

/// Returns whether a target left that had not been there for long.
fn is_step(point: &ChangePoint, policy: &AliasPolicy) -> bool {
    point.names_departure.is_within(policy.tenure_max)
}

/// Returns how much an instant counts, and why not in full.
fn weight_of(point: &ChangePoint, operators: &Operators, policy: &AliasPolicy) -> Weight {
    if point.is_excused {
        Weight::excused(point)
    } else if !is_step(point, policy) {
        Weight::none("what left had been there for long")
    } else if operators.fresh_in(point) == 0 {
        Weight::part(RETURNED_WEIGHT, "no operator never seen before")
    } else {
        Weight::FULL
    }
}

/// Says how many targets are a service's.
fn service_check(targets: &BTreeSet<&Name>, operators: &Operators) -> Check {
    let of_service = |it: &&&Name| {
        let owned = operators.of_target.get(**it);
        owned.is_some_and(|owned| owned.is_service)
    };
    let services = targets.iter().filter(of_service).count();
    let result = match services {
        0 => "no target lies below a service that lets others have names below its own".to_owned(),
        _ => format!(
            "{services} of {} below services that let others have names below their own (Public Suffix List): these count for no operator",
            counted(targets.len(), "target")
        ),
    };
    Check {
        name: "content networks and platforms",
        result,
        explains: services > 0,
    }
}

/// Says how many operators are known by what leads to them.
fn popular_check(popular: Option<&BTreeSet<Name>>, excused: u32, excused_max: u32) -> Check {
    let result = match (popular, excused) {
        (None, _) => "not looked up".to_owned(),
        (_, 0) => {
            "no operator of a target is one to which names of many other domains lead".to_owned()
        }
        _ if excused > excused_max => format!(
            "counted: {} to which names of many other domains lead, more than the {excused_max} that this excuses",
            counted(excused, "operator")
        ),
        _ => format!(
            "not counted: {} to which names of many other domains lead; {excused} of {excused_max} used up",
            counted(excused, "operator")
        ),
    };
    Check {
        name: "operators that many names lead to",
        result,
        explains: excused > 0 && excused <= excused_max,
    }
}

/// Says which changes of the week are no steps of a rotation.
fn step_check(measures: &Measures) -> Check {
    let result = match measures.replaced {
        0 => "every change of 7 days that is not excused is a step of a rotation".to_owned(),
        count => format!("not counted: {count} where what left had been there for long"),
    };
    Check {
        name: "changes that are no rotation",
        result,
        explains: measures.replaced > 0,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::detector::Moment;

    /// Somebody who has a table.
    struct Known;

    impl Knowledge for Known {
        fn asn(&self, _: IpAddr) -> Option<u32> {
            None
        }

        fn asn_name(&self, _: u32) -> Option<&str> {
            None
        }

        fn has_asn_table(&self) -> bool {
            true
        }

        fn operator(&self, host: &Name) -> Name {
            operator_domain(host)
        }

        fn is_hosting(&self, _: u32) -> bool {
            false
        }

        fn is_shared(&self, _: IpAddr) -> bool {
            false
        }

        fn shared_ranges(&self) -> Option<(&str, &str)> {
            None
        }

        fn is_under_private_suffix(&self, _: &Name) -> bool {
            false
        }
    }

    /// Returns a name.
    fn name(text: &str) -> Name {
        Name::parse(text).expect("the test's name is valid")
    }

    /// Returns the instant of an hour.
    fn moment(hour: i64) -> Moment {
        Moment {
            version_id: hour,
            at: Timestamp::from_unix(hour * 3600),
            serial: None,
            bulk: false,
            drift: false,
            shared_count: 0,
        }
    }

    /// Returns an owner that leads to one target after another, an hour each.
    fn window(owner: &str, targets: impl Iterator<Item = String>) -> AliasWindow {
        let stay = |(hour, target): (i64, String)| Stay {
            value: name(&target),
            added: moment(hour),
            removed: Some(moment(hour + 1)),
            baseline: hour == 1000,
        };
        AliasWindow {
            zone: name("bad.example"),
            owner: name(owner),
            watched_since: Timestamp::from_unix(0),
            targets: (1000..).zip(targets).map(stay).collect(),
            resets: Vec::new(),
            popular: None,
            left_out: None,
        }
    }

    /// Judges an owner after forty targets.
    fn level(owner: &str, target: impl Fn(i64) -> String) -> Option<Level> {
        let window = window(owner, (0..40).map(target));
        let policy = DetectPolicy::default();
        evaluate_aliases(&window, &policy, &Known, moment(1039).at).level
    }

    #[test]
    fn fresh_domains_rotate_and_names_below_one_domain_or_a_service_do_not() {
        let www = "www.bad.example";
        assert_eq!(level(www, |n| format!("e.t{n}.test")), Some(Level::Report));
        assert_eq!(level(www, |n| format!("e{n}.one.test")), None);
        assert_eq!(level(www, |n| format!("d{n}.cloudfront.net")), None);
        assert_eq!(level(www, |n| format!("e{n}.bad.example")), None);
    }

    #[test]
    fn owner_that_is_no_host_is_reviewed_at_most() {
        let owner = "_acme-challenge.www.bad.example";
        assert_eq!(
            level(owner, |n| format!("e.t{n}.test")),
            Some(Level::Review)
        );
    }

    #[test]
    fn what_came_before_the_part_that_is_left_out_brings_nothing_new() {
        let mut window = window("www.bad.example", (0..40).map(|n| format!("e.t{n}.test")));
        let mut part = LeftOut::until(moment(999).at);
        part.names = (0..40).map(|n| name(&format!("x.t{n}.test"))).collect();
        window.left_out = Some(part);
        let plane = evaluate_aliases(&window, &DetectPolicy::default(), &Known, moment(1039).at);
        assert_eq!((plane.level, plane.gate_open), (Some(Level::Review), false));
    }

    #[test]
    fn one_target_of_two_owners_stays_as_long_as_either_has_it() {
        let stay = |from: i64, to: Option<i64>| Stay {
            value: name("e.test"),
            added: moment(from),
            removed: to.map(moment),
            baseline: false,
        };
        let joined = merged(vec![stay(5, Some(9)), stay(1, Some(6)), stay(20, None)]);
        assert_eq!(joined, [stay(1, Some(9)), stay(20, None)]);
    }
}
