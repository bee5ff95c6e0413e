//! The address plane: an owner's own A and AAAA records in a hosted zone.
//!
//! Over 24 hours and over 7 days, the better of the two:
//!
//! ```text
//! S = 25 min(1, c/(12|24)) + 15 clamp((n-4)/16) + 30 clamp((asn-2)/6)
//!   + 15 min(1, turn/(4|10)) + 5 nov + tenure
//! ```
//!
//! where n counts distinct addresses, turn is fresh addresses divided by the mean
//! set size, nov fresh divided by added, and tenure 10, 7 or 4 points for stays of at most 3, 12 or
//! 48 hours. Every condition of the gate must hold in the same window.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::detector::features::{
    Spread, Stayed, Window, ceiling, clamp_share, network_word, networks_text, values_in,
};
use crate::detector::finding::{Check, Gate, Level, Plane, PlaneFinding, Term};
use crate::detector::nameserver_plane::{
    Judged, at_least_reviewed, bulk_check, change_counts, last_reset, left_out_check, listed,
    reset_check, seen_address, tenure_points, tenure_text,
};
use crate::detector::timeline::{ChangePoint, LeftOut, Replay, Stay, Timeline, replay};
use crate::detector::{DetectPolicy, Knowledge};
use crate::dns::Name;
use crate::time::{Span, Timestamp};

/// The weight of a change instant that only restores what was seen before.
const RESTORED_WEIGHT: f64 = 0.34;
/// Weights of Holz et al., NDSS 2008: per address, per autonomous system.
const HOLZ: [f64; 2] = [1.32, 18.54];

/// What history says of an owner's addresses.
#[derive(Debug, Clone)]
pub struct AddressWindow {
    /// The zone.
    pub zone: Name,
    /// The owner.
    pub owner: Name,
    /// When watching of the zone began.
    pub watched_since: Timestamp,
    /// Its addresses, as far back as the memory goes.
    pub addresses: Vec<Stay<IpAddr>>,
    /// Every new registration that is known; of those by the time that is judged the last counts.
    pub resets: Vec<Timestamp>,
    /// The part that is left out, where there are more intervals than are replayed.
    pub left_out: Option<LeftOut>,
}

/// What differs between the two windows.
#[derive(Clone, Copy)]
struct Scale {
    span: Span,
    name: &'static str,
    changes_full: f64,
    turnover_full: f64,
    turnover_min: f64,
}

/// The numbers of one window.
#[derive(Clone)]
struct Measures {
    scale: Scale,
    changes: f64,
    spread: Spread,
    turnover: f64,
    novelty: f64,
    tenure: Option<f64>,
    mean_size: f64,
    hours: f64,
    by_network: bool,
}

/// What else bears on the level of an owner.
struct Outside {
    /// Most of its addresses lie in published ranges of content networks and clouds.
    is_shared: bool,
    /// It rotates inside one hosting network.
    one_network: bool,
    /// It changes often enough to be watched.
    watched: bool,
}

/// Judges an owner's addresses at `now`.
pub fn evaluate_addresses(
    window: &AddressWindow,
    policy: &DetectPolicy,
    knowledge: &dyn Knowledge,
    now: Timestamp,
) -> PlaneFinding {
    let stays: Vec<(Name, Stay<IpAddr>)> = window
        .addresses
        .iter()
        .map(|stay| (window.owner.clone(), stay.clone()))
        .collect();
    let timeline = replay(&Replay {
        names: None,
        addresses: &stays,
        reset_at: last_reset(&window.resets, now),
        absence_max: policy.absence_max,
        now,
        left_out: window.left_out.as_ref(),
    });
    let day = Scale {
        span: Span::hours(24),
        name: "24 hours",
        changes_full: 12.0,
        turnover_full: 4.0,
        turnover_min: policy.addresses.turnover_24h_min,
    };
    let week = Scale {
        span: Span::days(7),
        name: "7 days",
        changes_full: 24.0,
        turnover_full: 10.0,
        turnover_min: policy.addresses.turnover_7d_min,
    };
    let [in_day, in_week] =
        [day, week].map(|scale| measure(&timeline, window, scale, knowledge, now));
    let week = Window::before(now, Span::days(7), since(&timeline, window));
    let addresses = values_in(&week, &timeline.addresses);
    let shared = shared_share(&addresses, knowledge);
    let outside = Outside {
        is_shared: shared.is_some_and(|share| share >= policy.addresses.shared_share_max),
        one_network: rotates_in_one_network(&in_week, window, policy, knowledge),
        watched: in_week.changes >= policy.watch_changes_7d_min,
    };
    let (is_shared, one_network) = (outside.is_shared, outside.one_network);
    let bases = in_week.spread.bases(knowledge).map(|by_network| {
        let [in_day, in_week] = [&in_day, &in_week].map(|it| Measures {
            by_network,
            ..it.clone()
        });
        let best = match in_day.outranks(&in_week, policy) {
            true => in_day,
            false => in_week,
        };
        best.judge(policy, &outside, |spread| {
            ceiling(by_network, spread, knowledge, now)
        })
    });
    let judged = bases
        .reduce(|best, other| match other.rank() > best.rank() {
            true => other,
            false => best,
        })
        .expect("networks are counted in one way at least");
    let spread = Spread::of(addresses.iter().copied(), knowledge);
    let holz = knowledge
        .has_asn_table()
        .then(|| HOLZ[0] * f64::from(spread.addresses) + HOLZ[1] * spread.networks.len() as f64);
    let points: Vec<&ChangePoint> = timeline
        .points
        .iter()
        .filter(|point| week.holds(point.moment.at))
        .collect();
    let mut checks = vec![
        shared_check(shared, is_shared, knowledge),
        one_network_check(one_network),
        bulk_check(&points),
        reset_check(last_reset(&window.resets, now)),
    ];
    checks.extend(left_out_check(window.left_out.as_ref(), &points));
    checks.extend(judged.ceiling);
    PlaneFinding {
        plane: Plane::Addresses,
        zone: window.zone.clone(),
        owner: window.owner.clone(),
        level: at_least_reviewed(
            judged.level,
            LeftOut::is_of_week(window.left_out.as_ref(), now),
        ),
        score: judged.score,
        gate_open: judged.gate_open,
        terms: judged.terms,
        gates: judged.gates,
        checks,
        change_counts: change_counts(&points, now),
        points: listed(&points),
        tenure_hours: Stayed::of(&week, &timeline.addresses).tenure_hours(),
        names: Vec::new(),
        addresses: addresses
            .iter()
            .map(|value| seen_address(value, &timeline, knowledge))
            .collect(),
        holz,
        watched_since: window.watched_since,
        now,
    }
}

/// How many addresses at a time a rotation inside one network has at most, on average.
const ONE_NETWORK_SIZE_MAX: f64 = 2.0;
/// Hours after which an alias that is flattened has shown most of its pool, even at a look every 6 hours.
const ONE_NETWORK_HOURS_MIN: f64 = 160.0;
/// The share of its added addresses that must be new.
const ONE_NETWORK_NOVELTY_MIN: f64 = 0.8;

/// Returns whether an owner goes through the addresses of one hosting network, one or two at a time: what
/// dynamic DNS does from access networks, and nobody from a data centre. Without a list of hosting
/// networks nothing is.
fn rotates_in_one_network(
    week: &Measures,
    window: &AddressWindow,
    policy: &DetectPolicy,
    knowledge: &dyn Knowledge,
) -> bool {
    let policy = &policy.addresses;
    let mut networks = week.spread.networks.iter();
    let is_hosting = match (networks.next(), networks.next()) {
        (Some(only), None) => knowledge.is_hosting(*only),
        _ => false,
    };
    is_hosting
        && week.spread.addresses >= policy.one_network_addresses_min
        && week.novelty >= ONE_NETWORK_NOVELTY_MIN
        && week.mean_size <= ONE_NETWORK_SIZE_MAX
        && week.hours >= ONE_NETWORK_HOURS_MIN
        && week
            .tenure
            .is_some_and(|hours| hours <= policy.one_network_tenure_max.as_hours())
        && !knowledge.is_under_private_suffix(&window.owner)
}

/// Returns the share of addresses in published ranges of content networks and clouds; `None` without a
/// list or an address.
fn shared_share(addresses: &BTreeSet<&(Name, IpAddr)>, knowledge: &dyn Knowledge) -> Option<f64> {
    knowledge.shared_ranges()?;
    let shared = addresses
        .iter()
        .filter(|(_, address)| knowledge.is_shared(*address));
    (!addresses.is_empty()).then(|| shared.count() as f64 / addresses.len() as f64)
}

/// Says how many addresses are those of content networks and clouds.
fn shared_check(share: Option<f64>, is_shared: bool, knowledge: &dyn Knowledge) -> Check {
    let result = match (share, knowledge.shared_ranges()) {
        (Some(share), Some((source, date))) => format!(
            "{:.0} % of the addresses lie in the published ranges of {source} ({date})",
            100.0 * share
        ),
        _ => "no list of such ranges is configured".to_owned(),
    };
    Check {
        name: "content networks and clouds",
        result,
        explains: is_shared,
    }
}

/// Says whether the addresses rotate inside one network.
fn one_network_check(rotates: bool) -> Check {
    let result = match rotates {
        true => "yes, a hosting provider's: reviewed, never reported for that alone",
        false => "no, or not of a hosting provider that is known",
    };
    Check {
        name: "rotation inside one network",
        result: result.to_owned(),
        explains: false,
    }
}

/// Returns from when on an owner can be measured: a name younger than the window has its own age.
fn since(timeline: &Timeline, entity: &AddressWindow) -> Timestamp {
    let since = timeline
        .began_at()
        .map_or(entity.watched_since, |at| at.max(entity.watched_since));
    LeftOut::cut(entity.left_out.as_ref(), since)
}

/// Measures one window.
fn measure(
    timeline: &Timeline,
    entity: &AddressWindow,
    scale: Scale,
    knowledge: &dyn Knowledge,
    now: Timestamp,
) -> Measures {
    let window = Window::before(now, scale.span, since(timeline, entity));
    let points: Vec<&ChangePoint> = timeline
        .points
        .iter()
        .filter(|point| window.holds(point.moment.at) && !point.moment.is_excused())
        .collect();
    let fresh: u32 = points.iter().map(|point| point.fresh_glue()).sum();
    let added: u32 = points.iter().map(|point| point.added_addresses).sum();
    let stayed = Stayed::of(&window, &timeline.addresses);
    let mean_size = stayed.mean_size(&window);
    Measures {
        scale,
        changes: points
            .iter()
            .map(|point| {
                if point.fresh_glue() > 0 {
                    1.0
                } else {
                    RESTORED_WEIGHT
                }
            })
            .sum(),
        spread: Spread::of(
            values_in(&window, &timeline.addresses).into_iter(),
            knowledge,
        ),
        turnover: if mean_size > 0.0 {
            f64::from(fresh) / mean_size
        } else {
            0.0
        },
        novelty: if added > 0 {
            f64::from(fresh) / f64::from(added)
        } else {
            0.0
        },
        tenure: stayed.tenure_hours(),
        mean_size,
        hours: window.hours(),
        by_network: knowledge.has_asn_table(),
    }
}

impl Measures {
    /// Returns whether this says more than `other`: whether every condition is met, then the score.
    fn outranks(&self, other: &Self, policy: &DetectPolicy) -> bool {
        let rank = |measures: &Self| {
            (
                measures.gates(policy, false).iter().all(|gate| gate.passed),
                measures.score(),
            )
        };
        rank(self).partial_cmp(&rank(other)) == Some(std::cmp::Ordering::Greater)
    }

    /// Returns what comes of them; at level review at most under a ceiling.
    fn judge(
        &self,
        policy: &DetectPolicy,
        outside: &Outside,
        ceiling: impl Fn(&Spread) -> Option<Check>,
    ) -> Judged {
        let gates = self.gates(policy, false);
        let gate_open = gates.iter().all(|gate| gate.passed);
        let score = self.score();
        let is_review = self.gates(policy, true).iter().all(|gate| gate.passed);
        let level = if gate_open && score >= policy.addresses.score_min && !outside.is_shared {
            Some(Level::Report)
        } else if is_review || outside.one_network || (gate_open && outside.is_shared) {
            Some(Level::Review)
        } else {
            outside.watched.then_some(Level::Watch)
        };
        let ceiling = ceiling(&self.spread);
        Judged {
            level: match ceiling {
                Some(_) => level.min(Some(Level::Review)),
                None => level,
            },
            score,
            gate_open,
            terms: self.terms(),
            gates,
            ceiling,
        }
    }

    /// Returns how many networks there are.
    fn networks(&self) -> u32 {
        self.spread.network_count(self.by_network)
    }

    /// Returns distinct prefixes divided by distinct addresses.
    fn prefix_ratio(&self) -> f64 {
        if self.spread.addresses == 0 {
            0.0
        } else {
            self.spread.prefixes.len() as f64 / f64::from(self.spread.addresses)
        }
    }

    /// Returns the sum of the terms.
    fn score(&self) -> f64 {
        self.terms().iter().fold(0.0, |sum, term| sum + term.points)
    }

    /// Returns the summands of the score.
    fn terms(&self) -> Vec<Term> {
        let from = if self.by_network { 2.0 } else { 4.0 };
        let scale = &self.scale;
        let within = |text: String| format!("{text} in {}", scale.name);
        vec![
            Term {
                name: "change instants, weighted",
                value: within(format!("{:.2}", self.changes)),
                points: 25.0 * (self.changes / scale.changes_full).min(1.0),
                points_max: 25.0,
            },
            Term {
                name: "distinct addresses",
                value: within(self.spread.addresses.to_string()),
                points: 15.0 * clamp_share(f64::from(self.spread.addresses), 4.0, 16.0),
                points_max: 15.0,
            },
            Term {
                name: "spread of addresses",
                value: within(networks_text(self.networks(), self.by_network)),
                points: 30.0 * clamp_share(f64::from(self.networks()), from, 6.0),
                points_max: 30.0,
            },
            Term {
                name: "turnover: fresh addresses / mean set size",
                value: within(format!("{:.2}", self.turnover)),
                points: 15.0 * (self.turnover / scale.turnover_full).min(1.0),
                points_max: 15.0,
            },
            Term {
                name: "novelty: fresh / added addresses",
                value: within(format!("{:.2}", self.novelty)),
                points: 5.0 * self.novelty,
                points_max: 5.0,
            },
            Term {
                name: "mean stay of an address",
                value: tenure_text(self.tenure),
                points: tenure_points(self.tenure, [(3.0, 10.0), (12.0, 7.0), (48.0, 4.0)]),
                points_max: 10.0,
            },
        ]
    }

    /// Returns the conditions of the gate, or of the review rule, which asks for fewer networks.
    fn gates(&self, policy: &DetectPolicy, review: bool) -> Vec<Gate> {
        let policy = &policy.addresses;
        let networks_min = match (self.by_network, review) {
            (true, false) => policy.networks_min,
            (true, true) => policy.review_networks_min,
            (false, false) => policy.prefixes_min,
            (false, true) => policy.review_prefixes_min,
        };
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
            count(
                "distinct addresses",
                self.spread.addresses,
                policy.addresses_min,
            ),
            count(network_word(self.by_network), self.networks(), networks_min),
            at_least(
                "prefixes / addresses",
                self.prefix_ratio(),
                policy.prefix_ratio_min,
            ),
            at_least(
                "change instants, weighted",
                self.changes,
                policy.changes_min,
            ),
            at_least("novelty", self.novelty, policy.novelty_min),
            at_least("turnover", self.turnover, self.scale.turnover_min),
            Gate {
                name: "mean stay of an address",
                value: tenure_text(self.tenure),
                needed: format!("at most {} h", policy.tenure_max.as_hours()),
                passed: self
                    .tenure
                    .is_some_and(|hours| hours <= policy.tenure_max.as_hours()),
            },
        ]
    }
}
