//! The name-server plane: delegations and the addresses of their name servers.
//!
//! `S = 40 min(1, c7/8) + 20 min(1, f7/8) + 25 max(clamp((asn-2)/4), clamp((ops-2)/4)) + tenure`,
//! where c7 is the weighted number of change instants in 7 days, f7 the values never seen before,
//! asn the autonomous systems and ops the operator domains of the window, and tenure 15, 10 or 5
//! points for values that stay at most 24, 48 or 96 hours. The gate is
//! `(c7 >= 5 or c3 >= 3) and f7 >= 3 and (asn >= 4 or ops >= 4)`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::count::counted;
use crate::detector::features::{
    Spread, Stayed, Window, ceiling, clamp_share, networks_text, prefix_of, values_in,
};
use crate::detector::finding::{
    Check, Gate, Level, Plane, PlaneFinding, SeenAddress, SeenName, Term,
};
use crate::detector::timeline::{ChangePoint, LeftOut, Replay, Stay, Timeline, replay};
use crate::detector::{DetectPolicy, Knowledge};
use crate::dns::Name;
use crate::time::{Span, Timestamp};

/// The weight of a change instant that only restores what was seen before.
const RESTORED_WEIGHT: f64 = 0.34;

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
    /// The part that is left out, where there are more intervals than are replayed.
    pub left_out: Option<LeftOut>,
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
            now,
            left_out: window.left_out.as_ref(),
        });
        Self { timeline, now }
    }
}

/// Returns the last new registration by a time.
pub(super) fn last_reset(resets: &[Timestamp], now: Timestamp) -> Option<Timestamp> {
    resets.iter().filter(|at| **at <= now).max().copied()
}

/// A change instant with what counts of it.
struct Counted<'a> {
    point: &'a ChangePoint,
    weight: f64,
    fresh: u32,
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
    // A delegation younger than the window is measured over its own age.
    let since = timeline
        .began_at()
        .map_or(window.watched_since, |at| at.max(window.watched_since));
    let since = LeftOut::cut(left_out, since);
    let week = Window::before(now, Span::days(7), since);
    let names = values_in(&week, &timeline.names);
    let is_popular = |name: &Name| {
        window
            .popular
            .as_ref()
            .is_some_and(|set| set.contains(name))
    };
    // No provider's customer moves so often that its week is more than is replayed.
    let is_cut = LeftOut::is_of_week(left_out, now);
    let all_popular = !is_cut && !names.is_empty() && names.iter().all(|name| is_popular(name));
    let shared = shared_moves(timeline, policy, now);
    let glue_changes = glue_changes_30d(timeline, now);
    let excuses = Excuses {
        all_names: all_popular,
        shared_moves: shared.excuses,
        // A provider that renumbers now and then is no matter of its customers.
        is_host: &|host: &Name| {
            is_popular(host)
                && !host.is_at_or_below(&window.owner)
                && glue_changes.get(host).copied().unwrap_or(0)
                    <= policy.nameservers.shared_move_changes_30d_max
        },
    };
    let counted = count_points(timeline, &excuses, policy);
    let excused_glue = timeline
        .points
        .iter()
        .filter(|point| week.holds(point.moment.at))
        .any(|point| {
            point
                .changed_hosts
                .iter()
                .any(|(host, _)| (excuses.is_host)(host))
        });
    let sum = |window: &Window| {
        let within = counted.iter().filter(|it| window.holds(it.point.moment.at));
        within.fold(0.0, |sum, it| sum + it.weight)
    };
    let changes_7d = sum(&week);
    let changes_3d = sum(&Window::before(now, Span::days(3), since));
    let fresh = counted
        .iter()
        .filter(|it| week.holds(it.point.moment.at))
        .map(|it| it.fresh)
        .sum::<u32>();
    let addresses = values_in(&week, &timeline.addresses);
    let spread = Spread::of(addresses.iter().copied(), knowledge);
    let operators: BTreeSet<String> = if all_popular {
        BTreeSet::new()
    } else {
        count_operators(timeline, &names, knowledge)
    };
    let tenure = shortest_tenure(&week, timeline);

    let basis = |by_network| {
        let measures = Measures {
            changes_7d,
            changes_3d,
            fresh,
            spread: &spread,
            operators: operators.len() as u32,
            tenure,
            by_network,
        };
        measures.judge(policy, ceiling(by_network, &spread, knowledge, now))
    };
    let judged = spread
        .bases(knowledge)
        .map(basis)
        .reduce(|best, other| match other.rank() > best.rank() {
            true => other,
            false => best,
        })
        .expect("networks are counted in one way at least");
    let points: Vec<&ChangePoint> = timeline
        .points
        .iter()
        .filter(|point| week.holds(point.moment.at))
        .collect();
    let mut checks = vec![
        popular_check(&names, window.popular.as_deref(), all_popular, excused_glue),
        shared.check,
        bulk_check(&points),
        reset_check(last_reset(&window.resets, now)),
    ];
    checks.extend(left_out_check(left_out, &points));
    checks.extend(judged.ceiling);
    PlaneFinding {
        plane: Plane::Nameservers,
        zone: window.zone.clone(),
        owner: window.owner.clone(),
        level: at_least_reviewed(judged.level, is_cut),
        score: judged.score,
        gate_open: judged.gate_open,
        terms: judged.terms,
        gates: judged.gates,
        checks,
        change_counts: change_counts(&points, now),
        points: listed(&points),
        tenure_hours: tenure,
        names: names
            .iter()
            .map(|name| SeenName {
                host: (*name).clone(),
                operator: knowledge.operator(name),
                popular: is_popular(name),
                present: timeline.names_now.contains(*name),
            })
            .collect(),
        addresses: addresses
            .iter()
            .map(|value| seen_address(value, timeline, knowledge))
            .collect(),
        holz: None,
        watched_since: window.watched_since,
        now,
    }
}

/// Says of a plane that was judged before anybody had looked who is popular that none of its name servers is: nothing
/// else of it depends on that.
pub fn without_providers(mut plane: PlaneFinding) -> PlaneFinding {
    let names = plane.names.iter().map(|name| &name.host).collect();
    let check = popular_check(&names, Some(&BTreeSet::new()), false, false);
    if let Some(known) = plane.checks.iter_mut().find(|it| it.name == check.name) {
        *known = check;
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

/// The numbers that terms, gates and levels are made of.
struct Measures<'a> {
    changes_7d: f64,
    changes_3d: f64,
    fresh: u32,
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
                value: format!("{:.2}", self.changes_7d),
                points: 40.0 * (self.changes_7d / 8.0).min(1.0),
                points_max: 40.0,
            },
            Term {
                name: "values never seen before, 7 days",
                value: self.fresh.to_string(),
                points: 20.0 * (f64::from(self.fresh) / 8.0).min(1.0),
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
                    self.changes_7d, self.changes_3d
                ),
                needed: format!(
                    "{} in 7 days or {} in 3 days",
                    policy.changes_7d_min, policy.changes_3d_min
                ),
                passed: self.changes_7d >= policy.changes_7d_min
                    || self.changes_3d >= policy.changes_3d_min,
            },
            Gate {
                name: "values never seen before",
                value: self.fresh.to_string(),
                needed: policy.fresh_min.to_string(),
                passed: self.fresh >= policy.fresh_min,
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

    /// Returns the level.
    fn level(&self, policy: &DetectPolicy, score: f64, gate_open: bool) -> Option<Level> {
        let rules = &policy.nameservers;
        let review_networks = if self.by_network {
            rules.review_networks_min
        } else {
            rules.review_prefixes_min
        };
        let review = score >= rules.review_score_min
            && self.changes_7d >= rules.review_changes_7d_min
            && self.fresh >= rules.review_fresh_min
            && (self.networks() >= review_networks || self.operators >= rules.review_operators_min);
        if gate_open && score >= rules.score_min {
            Some(Level::Report)
        } else if review || gate_open {
            Some(Level::Review)
        } else if self.changes_7d >= policy.watch_changes_7d_min {
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
    /// Whether changes of this name server's addresses are.
    is_host: &'a dyn Fn(&Name) -> bool,
}

/// Weighs every change instant.
fn count_points<'a>(
    timeline: &'a Timeline,
    excuses: &Excuses<'_>,
    policy: &DetectPolicy,
) -> Vec<Counted<'a>> {
    let weigh = |point: &'a ChangePoint| {
        let is_shared = excuses.shared_moves
            && point.moment.shared_count >= policy.nameservers.shared_move_names;
        let names_count = point.names_changed && !excuses.all_names && !is_shared;
        let glue = point
            .changed_hosts
            .iter()
            .filter(|(host, _)| !(excuses.is_host)(host));
        let glue: Vec<u32> = glue.map(|(_, fresh)| *fresh).collect();
        let counts = !point.moment.is_excused() && (names_count || !glue.is_empty());
        let fresh_names = if names_count {
            point.fresh_names + point.fresh_host_addresses
        } else {
            0
        };
        let fresh = if counts {
            fresh_names + glue.iter().sum::<u32>()
        } else {
            0
        };
        let weight = match (counts, fresh) {
            (false, _) => 0.0,
            (true, 0) => RESTORED_WEIGHT,
            (true, _) => 1.0,
        };
        Counted {
            point,
            weight,
            fresh,
        }
    };
    timeline.points.iter().map(weigh).collect()
}

/// Returns in how many of the last 30 days' instants the addresses of each name server changed.
fn glue_changes_30d(timeline: &Timeline, now: Timestamp) -> HashMap<&Name, u32> {
    let recent = timeline
        .points
        .iter()
        .filter(|point| now.since(point.moment.at) < Span::days(30));
    let mut counts = HashMap::new();
    for (host, _) in recent.flat_map(|point| &point.changed_hosts) {
        *counts.entry(host).or_default() += 1;
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
    let excuses = month.len() as u32 <= policy.nameservers.shared_move_changes_30d_max;
    let result = match (shared, excuses) {
        (0, _) => "no move was shared with other names".to_owned(),
        (count, true) => format!(
            "not counted: {} that at least {} made at once",
            counted(count, "move"),
            counted(policy.nameservers.shared_move_names, "name")
        ),
        (count, false) => format!(
            "{} with other names, but {} in 30 days are too many for a migration",
            counted(count, "shared move"),
            counted(month.len(), "change")
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
    excused_glue: bool,
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
            format!(
                "{count} of {} in use by many stable names{end}",
                counted(names.len(), "name server")
            )
        }
    };
    Check {
        name: "name servers of a known provider",
        result,
        explains: all_popular || excused_glue,
    }
}

/// Says whether bulk instants were left out.
pub(super) fn bulk_check(points: &[&ChangePoint]) -> Check {
    let excused = points.iter().filter(|point| point.moment.is_excused());
    let count = excused.clone().count();
    let drifts = excused.filter(|point| point.moment.drift).count();
    let result = if count == 0 {
        "none of the changes came with a mass change of the zone".to_owned()
    } else if drifts > 0 {
        format!(
            "{count} changes came with a mass change of the zone, or with drift ({drifts}), and are not counted"
        )
    } else {
        format!(
            "not counted: {} that came with a mass change of the zone",
            counted(count, "change")
        )
    };
    Check {
        name: "mass change of the zone",
        result,
        explains: count > 0,
    }
}

/// Says what is known of a new registration.
pub(super) fn reset_check(reset_at: Option<Timestamp>) -> Check {
    let result = match reset_at {
        Some(at) => format!("registered anew at {at}; nothing before it counts"),
        None => "no new registration is known; sources that do not tell of one leave it unknown"
            .to_owned(),
    };
    Check {
        name: "new registration",
        result,
        explains: false,
    }
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

/// Raises a level to review where a part of the last 7 days is left out: who changes so often is worth a look,
/// and nobody gets calm by changes that push others out.
pub(super) fn at_least_reviewed(level: Option<Level>, is_cut: bool) -> Option<Level> {
    match is_cut {
        true => level.map(|level| level.max(Level::Review)),
        false => level,
    }
}

/// Returns how many instants, bulk ones left out, lie in the last 24 hours, 72 hours and 7 days.
pub(super) fn change_counts(points: &[&ChangePoint], now: Timestamp) -> [u32; 3] {
    [Span::hours(24), Span::hours(72), Span::days(7)].map(|span| {
        points
            .iter()
            .filter(|point| !point.moment.is_excused() && now.since(point.moment.at) < span)
            .count() as u32
    })
}

/// Returns the shorter of the mean stays of names and of addresses, in hours.
fn shortest_tenure(window: &Window, timeline: &Timeline) -> Option<f64> {
    let names = Stayed::of(window, &timeline.names).tenure_hours();
    let addresses = Stayed::of(window, &timeline.addresses).tenure_hours();
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
    fn points_of_a_stay_are_those_of_the_first_step_it_does_not_exceed() {
        let steps = [(24.0, 15.0), (48.0, 10.0), (96.0, 5.0)];
        let points = [Some(24.0), Some(24.1), Some(96.0), Some(96.1), None]
            .map(|hours| tenure_points(hours, steps));
        assert_eq!(points, [15.0, 10.0, 5.0, 0.0, 0.0]);
    }
}
