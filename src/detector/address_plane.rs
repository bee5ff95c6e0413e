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

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use crate::count::counted;
use crate::detector::features::{
    Exposure, Networks, Spread, Window, addresses_in, ceiling, clamp_share, network_word,
    networks_text, points_in,
};
use crate::detector::finding::{
    Check, Gate, Level, Plane, PlaneFinding, SERVICE_CHECK, SHARED_CHECK, Term, Weight,
};
use crate::detector::nameserver_plane::Judged;
use crate::detector::plane_checks::{
    absence_check, at_least_reviewed, bulk_check, change_counts, last_reset, left_out_check,
    listed, reset_check, tenure_points, tenure_text,
};
use crate::detector::replay::replay;
use crate::detector::timeline::{ChangePoint, LeftOut, Presence, Replay, Stay, Timeline};
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
    /// Whether an address stays for a while after it was seen last, as a probe's does: then there are more at a time,
    /// for longer, than are shown.
    pub lingers: bool,
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
    window: Window,
    changes: f64,
    /// Instants at which an address left soon after it came, whatever they weigh.
    steps: u32,
    spread: Rc<Spread>,
    turnover: f64,
    novelty: f64,
    tenure: Option<f64>,
    mean_size: f64,
    hours: f64,
    by_network: bool,
}

/// What else bears on the level of an owner.
#[derive(Debug, Clone, Copy)]
struct Outside {
    /// Most of its addresses lie in published ranges of content networks and clouds.
    is_shared: bool,
    /// It rotates inside one hosting network.
    one_network: bool,
    /// It changes often enough to be watched.
    watched: bool,
    /// It rotates fast, however little of it is new.
    is_restless: bool,
    /// It looks like a service that harms nobody.
    is_service: bool,
}

/// Whose addresses are judged: an owner's, or those of all owners of a domain together.
struct Entity<'a> {
    zone: &'a Name,
    owner: &'a Name,
    watched_since: Timestamp,
    addresses: Vec<(Name, Stay<IpAddr>)>,
    resets: &'a [Timestamp],
    left_out: Option<&'a LeftOut>,
    is_union: bool,
    lingers: bool,
}

/// Judges an owner's addresses at `now`.
pub fn evaluate_addresses(
    window: &AddressWindow,
    policy: &DetectPolicy,
    knowledge: &dyn Knowledge,
    now: Timestamp,
) -> PlaneFinding {
    let addresses = window.addresses.iter();
    let entity = Entity {
        zone: &window.zone,
        owner: &window.owner,
        watched_since: window.watched_since,
        addresses: addresses
            .map(|stay| (window.owner.clone(), stay.clone()))
            .collect(),
        resets: &window.resets,
        left_out: window.left_out.as_ref(),
        is_union: false,
        lingers: window.lingers,
    };
    evaluate(&entity, policy, knowledge, now)
}

/// The most addresses that the owners of a domain that moved lately have at a time to be judged as one set: the work at
/// a change is that of the set, and the gate asks for five times as many new ones in a week. Chosen by hand.
const OWNERS_ADDRESSES_MAX: usize = 200;

/// Judges the addresses of several owners of a domain as one set at `now`; `None` where there are fewer than two, or
/// where these have more than [`OWNERS_ADDRESSES_MAX`] addresses.
///
/// A domain that gives an address to one owner after another rotates like one that gives one owner address after
/// address. Owners of many customers look the same, so nobody is reported for it: the level is at most review.
pub fn evaluate_owners(
    domain: &Name,
    windows: &[&AddressWindow],
    policy: &DetectPolicy,
    knowledge: &dyn Knowledge,
    now: Timestamp,
) -> Option<PlaneFinding> {
    let [first, _, ..] = windows else {
        return None;
    };
    let all = windows.iter().flat_map(|it| &it.addresses);
    if all.filter(|stay| stay.removed.is_none()).count() > OWNERS_ADDRESSES_MAX {
        return None;
    }
    let part = windows.iter().filter_map(|it| it.left_out.as_ref());
    let part = part.max_by_key(|part| part.until);
    let of_owner = |window: &&AddressWindow| {
        let owner = window.owner.clone();
        let stays = window.addresses.clone().into_iter();
        stays.map(move |stay| (owner.clone(), stay))
    };
    let entity = Entity {
        zone: &first.zone,
        owner: domain,
        watched_since: first.watched_since,
        addresses: windows.iter().flat_map(of_owner).collect(),
        resets: &first.resets,
        left_out: part,
        is_union: true,
        lingers: windows.iter().any(|it| it.lingers),
    };
    let mut plane = evaluate(&entity, policy, knowledge, now);
    plane.level = plane.level.filter(|level| *level >= Level::Review);
    plane.level = plane.level.map(|level| level.min(Level::Review));
    plane.checks.push(Check {
        name: "owners of the domain",
        result: format!(
            "the addresses of {} are judged as one set: reviewed, never reported for that alone",
            counted(windows.len(), "owner")
        ),
        explains: false,
    });
    Some(plane)
}

/// Judges an entity at `now`.
fn evaluate(
    entity: &Entity<'_>,
    policy: &DetectPolicy,
    knowledge: &dyn Knowledge,
    now: Timestamp,
) -> PlaneFinding {
    let window = entity;
    let timeline = replay(&Replay {
        names: None,
        addresses: &entity.addresses,
        reset_at: last_reset(entity.resets, now),
        absence_max: policy.absence_max,
        is_union: entity.is_union,
        now,
        left_out: entity.left_out,
    });
    let week = Window::before(now, Span::days(7), since(&timeline, window));
    let addresses = addresses_in(&week, &timeline);
    let networks = Networks::of(&timeline, &addresses, knowledge);
    let [in_day, in_week] =
        scales(policy).map(|scale| measure(&timeline, window, scale, &networks, now));
    let shared = shared_share(&addresses, &timeline, knowledge);
    // A probe keeps a value for as long as it may be missing, so that it shows no stays to tell services by.
    let service = if entity.lingers {
        None
    } else {
        Service::of([&in_day, &in_week], &timeline, policy, knowledge)
    };
    let outside = Outside {
        is_shared: shared.is_some_and(|share| share >= policy.addresses.shared_share_max),
        one_network: rotates_in_one_network(&in_week, window.owner, policy, knowledge),
        watched: in_week.changes >= policy.watch_changes_7d_min,
        is_restless: false,
        is_service: service.is_some(),
    };
    let judged = judge_measures([&in_day, &in_week], outside, policy, knowledge, now);
    let spread = &in_week.spread;
    let holz = knowledge
        .has_asn_table()
        .then(|| HOLZ[0] * f64::from(spread.addresses) + HOLZ[1] * spread.networks.len() as f64);
    let points = points_in(&week, &timeline);
    let mut checks = vec![
        shared_check(shared, outside.is_shared, knowledge),
        one_network_check(outside.one_network),
        bulk_check(&points),
        reset_check(window.resets, now),
    ];
    checks.extend(service.map(service_check));
    checks.extend(absence_check(&timeline, now));
    checks.extend(left_out_check(window.left_out, &points));
    checks.extend(judged.ceiling);
    PlaneFinding {
        plane: Plane::Addresses,
        zone: window.zone.clone(),
        owner: window.owner.clone(),
        level: at_least_reviewed(
            judged.level,
            LeftOut::is_of_week(window.left_out, now),
            false,
        ),
        score: judged.score,
        gate_open: judged.gate_open,
        terms: judged.terms,
        gates: judged.gates,
        checks,
        weights: points
            .iter()
            .map(|point| (point.moment.version_id, reasoned_weight_of(point)))
            .collect(),
        change_counts: change_counts(&points, now),
        points: listed(&points),
        last_step_at: points
            .iter()
            .rfind(|point| weight_of(point) > 0.0)
            .map(|point| point.moment.at),
        tenure_hours: stay_of(&week, &timeline).tenure_hours(),
        names: Vec::new(),
        addresses: networks.seen(&addresses),
        holz,
        watched_since: window.watched_since,
        now,
    }
}

/// Returns the windows that an owner is measured in: a day and a week.
fn scales(policy: &DetectPolicy) -> [Scale; 2] {
    [
        Scale {
            span: Span::hours(24),
            name: "24 hours",
            changes_full: 12.0,
            turnover_full: 4.0,
            turnover_min: policy.addresses.turnover_24h_min,
        },
        Scale {
            span: Span::days(7),
            name: "7 days",
            changes_full: 24.0,
            turnover_full: 10.0,
            turnover_min: policy.addresses.turnover_7d_min,
        },
    ]
}

/// Judges the measures of a day and a week with each way of counting networks, and returns what ranks highest.
fn judge_measures(
    [day, week]: [&Measures; 2],
    outside: Outside,
    policy: &DetectPolicy,
    knowledge: &dyn Knowledge,
    now: Timestamp,
) -> Judged {
    let bases = week.spread.bases(knowledge).map(|by_network| {
        let [in_day, in_week] = [day, week].map(|it| Measures {
            by_network,
            ..it.clone()
        });
        let outside = Outside {
            is_restless: is_restless(&in_day, &in_week, policy, knowledge),
            ..outside
        };
        // One of both windows is shown, never terms of the one with gates of the other.
        let best = if in_day.outranks(&in_week, policy) {
            in_day
        } else {
            in_week
        };
        best.judge(policy, &outside, |spread| {
            ceiling(by_network, spread, knowledge, now)
        })
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

/// How many addresses at a time a rotation inside one network has at most, on average.
const ONE_NETWORK_SIZE_MAX: f64 = 2.0;
/// Hours after which an alias that is flattened has shown most of its pool, even at a look every 6 hours.
const ONE_NETWORK_HOURS_MIN: f64 = 160.0;
/// The share of its added addresses that must be new.
const ONE_NETWORK_NOVELTY_MIN: f64 = 0.8;

/// How many addresses at a time those that crowd few networks have at least, on average.
const CROWD_SIZE_MIN: f64 = 3.0;
/// Mean stay, in hours, up to which a pool in many networks is reviewed.
const POOL_STAY_MAX_H: f64 = 3.0;

/// Returns whether addresses rotate fast, however little of it was never seen before: a pool that was shown slowly
/// first is no newer when it is rotated. Also whether hundreds of addresses a day crowd few networks.
fn is_restless(
    day: &Measures,
    week: &Measures,
    policy: &DetectPolicy,
    knowledge: &dyn Knowledge,
) -> bool {
    let rules = &policy.addresses;
    // Without a table prefixes stand in, of which a network has several.
    let networks_min = |min: u32| {
        if day.by_network {
            min
        } else {
            min.saturating_mul(rules.prefixes_min) / rules.networks_min.max(1)
        }
    };
    let is_steady = week.steps >= rules.review_steps_7d_min
        && week.networks() >= networks_min(rules.review_networks_min);
    let is_pool = day.networks() >= networks_min(rules.review_pool_networks_min)
        && day.steps as f64 >= rules.changes_min
        && day.tenure.is_some_and(|hours| hours <= POOL_STAY_MAX_H);
    let hosting = day.spread.networks.iter();
    let is_hosting = hosting.filter(|asn| knowledge.is_hosting(**asn)).count() > 0;
    let is_crowd = day.spread.addresses >= rules.review_crowd_24h_min
        && day.mean_size >= CROWD_SIZE_MIN
        && day.novelty >= rules.novelty_min
        && day.turnover >= rules.turnover_24h_min
        && day.hours >= 24.0
        // A crowd of machines at a hoster is a service that scales; bots sit at access providers.
        && !is_hosting
        && day.by_network;
    is_steady || is_pool || is_crowd
}

/// A service that rotates as flux does and harms nobody: reviewed, never reported. What a bot does that the rule lets
/// through is reviewed too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    /// All networks of a week but one at most are hosting providers' or clouds', and they are few: services scale, and
    /// balance, in some clouds, and tunnels end there.
    Clouds(usize),
    /// Addresses stay for about as long as a dynamic line keeps one, and the next is of the same network.
    Lines,
    /// So many addresses at a time, of which some come back, are a pool of peers.
    Peers,
}

/// Instants of a pool of peers before which too few can have come back.
const PEERS_STEPS_MIN: u32 = 24;
/// The share of added addresses that were never there before, from which a crowd is no pool of peers. After
/// [`PEERS_STEPS_MIN`] instants some 0.9 of 25 out of 3,000 are new.
const PEERS_NOVELTY_MAX: f64 = 0.98;
/// The share of addresses that left of which the network stayed, from which they are addresses of lines. Chosen by hand.
const LINES_KEPT_MIN: f64 = 0.8;

impl Service {
    /// Returns which one an owner looks like by its day and its week, if any.
    fn of(
        [day, week]: [&Measures; 2],
        timeline: &Timeline,
        policy: &DetectPolicy,
        knowledge: &dyn Knowledge,
    ) -> Option<Self> {
        let rules = &policy.addresses;
        let networks = &week.spread.networks;
        let is_cloud = |asn: &&u32| knowledge.is_hosting(**asn) || knowledge.is_cloud(**asn);
        // One more may be the line at home that is used in between.
        let clouds = networks.iter().filter(is_cloud).count();
        let stays_long = |hours: f64| {
            hours > rules.report_tenure_max.as_hours() && hours <= rules.tenure_max.as_hours()
        };
        let is_all_new = week.steps >= PEERS_STEPS_MIN && week.novelty > PEERS_NOVELTY_MAX;
        if day.mean_size >= rules.peers_size_min && !is_all_new {
            Some(Self::Peers)
        } else if (networks.len() as u32) < rules.cloud_networks_min
            && week.spread.unanswered.is_empty()
            && clouds > 0
            && clouds + 1 >= networks.len()
        {
            Some(Self::Clouds(clouds))
        } else if day.tenure.is_some_and(stays_long)
            && kept_share(&week.window, timeline, knowledge) >= LINES_KEPT_MIN
        {
            Some(Self::Lines)
        } else {
            None
        }
    }
}

/// Returns of what share of the addresses that left within a window another address of the same network was there
/// then; 0 where none left, and for networks that are not known.
fn kept_share(window: &Window, timeline: &Timeline, knowledge: &dyn Knowledge) -> f64 {
    let mut by_network: BTreeMap<u32, Vec<Presence>> = BTreeMap::new();
    let mut left = 0;
    for (place, presence) in &timeline.addresses {
        left += u32::from(presence.to.is_some_and(|to| window.holds(to)));
        if let Some(asn) = knowledge.asn(timeline.pair(*place).1) {
            by_network.entry(asn).or_default().push(*presence);
        }
    }
    let mut kept = 0;
    for presences in by_network.values_mut() {
        presences.sort_by_key(|it| it.from);
        let ends = |it: &Presence| it.to.unwrap_or(window.now + Span::seconds(1));
        let mut gone: Vec<Timestamp> = presences.iter().filter_map(|it| it.to).collect();
        gone.retain(|at| window.holds(*at));
        gone.sort();
        let (mut next, mut covered_to) = (0, None);
        for at in gone {
            while let Some(it) = presences.get(next).filter(|it| it.from <= at) {
                covered_to = covered_to.max(Some(ends(it)));
                next += 1;
            }
            kept += u32::from(covered_to > Some(at));
        }
    }
    f64::from(kept) / f64::from(left.max(1))
}

/// Says which service an owner looks like.
fn service_check(service: Service) -> Check {
    let result = match service {
        Service::Clouds(count) => format!(
            "one in several clouds: {} of 7 days are hosting providers', and at most one other is there; the level is review at most",
            counted(count, "autonomous system")
        ),
        Service::Lines => {
            "one on dynamic lines: addresses stay for about a day, and the next is of the same network; the level is review at most"
                .to_owned()
        }
        Service::Peers => {
            "a pool of peers: so many addresses at a time, not all of them new; the level is review at most".to_owned()
        }
    };
    Check {
        name: SERVICE_CHECK,
        result,
        explains: true,
    }
}

/// Returns whether an owner goes through the addresses of one hosting network, one or two at a time: what
/// dynamic DNS does from access networks, and nobody from a data centre. Without a list of hosting
/// networks nothing is.
fn rotates_in_one_network(
    week: &Measures,
    owner: &Name,
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
        && !knowledge.is_under_private_suffix(owner)
}

/// Returns the share of addresses in published ranges of content networks and clouds; `None` without a
/// list or an address.
fn shared_share(addresses: &[u32], timeline: &Timeline, knowledge: &dyn Knowledge) -> Option<f64> {
    knowledge.shared_ranges()?;
    let shared = addresses
        .iter()
        .filter(|place| knowledge.is_shared(timeline.pair(**place).1));
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
        name: SHARED_CHECK,
        result,
        explains: is_shared,
    }
}

/// Says whether the addresses rotate inside one network.
fn one_network_check(rotates: bool) -> Check {
    let result = if rotates {
        "yes, a hosting provider's: reviewed, never reported for that alone"
    } else {
        "no, or not of a hosting provider that is known"
    };
    Check {
        name: "rotation inside one network",
        result: result.to_owned(),
        explains: false,
    }
}

/// Returns from when on an owner can be measured: a name younger than the window has its own age.
fn since(timeline: &Timeline, entity: &Entity<'_>) -> Timestamp {
    let since = timeline
        .began_at()
        .map_or(entity.watched_since, |at| at.max(entity.watched_since));
    LeftOut::cut(entity.left_out, since)
}

/// Returns how long addresses were there in a window.
fn stay_of(window: &Window, timeline: &Timeline) -> Exposure {
    Exposure::of(window, timeline.addresses.iter().map(|(_, it)| it))
}

/// Measures one window.
fn measure(
    timeline: &Timeline,
    entity: &Entity<'_>,
    scale: Scale,
    networks: &Networks<'_>,
    now: Timestamp,
) -> Measures {
    let window = Window::before(now, scale.span, since(timeline, entity));
    let points: Vec<&ChangePoint> = timeline
        .points
        .iter()
        .filter(|point| window.holds(point.moment.at) && !point.is_excused)
        .collect();
    let fresh: u32 = points.iter().map(|point| point.fresh_glue()).sum();
    let added: u32 = points.iter().map(|point| point.added_addresses).sum();
    let stayed = stay_of(&window, timeline);
    let mean_size = stayed.mean_size(&window);
    Measures {
        scale,
        window,
        changes: points.iter().map(|point| weight_of(point)).sum(),
        steps: points.iter().filter(|point| is_step(point)).count() as u32,
        spread: Spread::of(addresses_in(&window, timeline).into_iter(), networks).into(),
        // A set that was there for no time has no size, so nothing of it turned over.
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
        by_network: networks.knowledge.has_asn_table(),
    }
}

/// Hours within which an address must leave for its leaving to be a step of fast rotation.
const STEP_STAY_MAX: Span = Span::hours(48);

/// Returns whether an address left soon after it came.
fn is_step(point: &ChangePoint) -> bool {
    let mut changed = point.changed_hosts.iter();
    changed.any(|it| it.departure.is_within(STEP_STAY_MAX))
}

/// Returns how much an instant counts: not at all where no address left.
fn weight_of(point: &ChangePoint) -> f64 {
    let left = point.changed_hosts.iter().any(|it| it.departure.is_some());
    match (left && !point.is_excused, point.fresh_glue()) {
        (false, _) => 0.0,
        (true, 0) => RESTORED_WEIGHT,
        (true, _) => 1.0,
    }
}

/// Returns how much an instant counts, and why not in full.
fn reasoned_weight_of(point: &ChangePoint) -> Weight {
    match weight_of(point) {
        _ if point.is_excused => Weight::excused(point),
        weight if weight <= 0.0 => Weight::none("nothing left"),
        weight if weight < 1.0 => Weight::part(weight, "only what was there before came"),
        _ => Weight::FULL,
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
        let is_open = self.gates(policy, true).iter().all(|gate| gate.passed);
        let is_review = is_open || outside.one_network || outside.is_restless;
        let level = if gate_open && score >= policy.addresses.score_min && !outside.is_shared {
            Some(Level::Report)
        } else if is_review || (gate_open && outside.is_shared) {
            Some(Level::Review)
        } else {
            outside.watched.then_some(Level::Watch)
        };
        let ceiling = ceiling(&self.spread);
        Judged {
            level: if ceiling.is_some() || outside.is_service {
                level.min(Some(Level::Review))
            } else {
                level
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
            f64::from(self.spread.prefixes) / f64::from(self.spread.addresses)
        }
    }

    /// Returns the sum of the terms.
    fn score(&self) -> f64 {
        self.terms().iter().fold(0.0, |sum, term| sum + term.points)
    }

    /// Returns the summands of the score.
    fn terms(&self) -> Vec<Term> {
        // One network has several prefixes: more of these say as much.
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
