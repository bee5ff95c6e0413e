//! What the plots of a plane show, as plain data: when each value was there, and how its changes add up. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::detector::{ChangePoint, Plane, PlaneFinding, Weight};
use crate::time::{Span, Timestamp};

/// The time before the last judgement that is shown.
const SPAN: Span = Span::days(7);

/// What a lane is a value of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LanesOf {
    /// Name servers, or targets of aliases.
    Names,
    /// Addresses.
    Addresses,
}

/// When a value was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlotLane {
    /// The name without its final dot, or the address.
    pub label: String,
    /// The operator domain of a name; of an address the autonomous system, else the prefix.
    pub group: String,
    /// Half-open, in order of time, one a stay; cut at the ends of the plot.
    pub stays: Vec<(Timestamp, Timestamp)>,
}

/// Lanes over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lanes {
    /// Where the plot begins.
    pub from: Timestamp,
    /// Where it ends: the time of judgement.
    pub to: Timestamp,
    /// One for each value; of one group together, those in the order in which they came.
    pub lanes: Vec<PlotLane>,
}

/// Change instants, cumulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Cumulated {
    /// Where the plot begins.
    pub from: Timestamp,
    /// Where it ends.
    pub to: Timestamp,
    /// Each instant, with what all up to it count together, and what it counts.
    pub instants: Vec<(Timestamp, f64, Weight)>,
    /// How much opens the gate.
    pub threshold: f64,
}

/// Returns when each name or address of a plane was there in the last 7 days.
pub fn lanes(plane: &PlaneFinding, of: LanesOf) -> Lanes {
    let from = (plane.now - SPAN).max(plane.watched_since);
    let groups = groups(plane, of);
    let mut lanes: Vec<PlotLane> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut take = |labels: Vec<String>, begins: Timestamp, ends: Timestamp| {
        let (begins, ends) = (begins.max(from), ends.min(plane.now));
        if ends <= begins {
            return;
        }
        for label in labels {
            let place = *places.entry(label.clone()).or_insert_with(|| {
                let group = groups.get(&label).cloned().unwrap_or_default();
                lanes.push(PlotLane {
                    label,
                    group,
                    stays: Vec::new(),
                });
                lanes.len() - 1
            });
            let stays = &mut lanes[place].stays;
            match stays.last_mut() {
                Some(last) if last.1 >= begins => last.1 = last.1.max(ends),
                _ => stays.push((begins, ends)),
            }
        }
    };
    let points: Vec<&ChangePoint> = plane.points.iter().filter(|it| it.has_sets).collect();
    if let Some(first) = points.first() {
        take(
            labels(first, of, true),
            plane.watched_since,
            first.moment.at,
        );
    }
    for (i, point) in points.iter().enumerate() {
        let ends = points.get(i + 1).map_or(plane.now, |next| next.moment.at);
        take(labels(point, of, false), point.moment.at, ends);
    }
    // Groups in the order in which their first value came.
    let mut order: Vec<String> = Vec::new();
    for lane in &lanes {
        if !order.contains(&lane.group) {
            order.push(lane.group.clone());
        }
    }
    lanes.sort_by_key(|lane| order.iter().position(|group| *group == lane.group));
    Lanes {
        from,
        to: plane.now,
        lanes,
    }
}

/// Returns the labels of a set, each once.
fn labels(point: &ChangePoint, of: LanesOf, before: bool) -> Vec<String> {
    let (names, addresses) = match before {
        true => (&point.names_before, &point.addresses_before),
        false => (&point.names_after, &point.addresses_after),
    };
    let mut labels: Vec<String> = match of {
        LanesOf::Names => names.iter().map(|it| it.to_text_without_dot()).collect(),
        LanesOf::Addresses => addresses.iter().map(|(_, it)| it.to_string()).collect(),
    };
    labels.sort();
    labels.dedup();
    labels
}

/// Returns the operator or the network of each value.
fn groups(plane: &PlaneFinding, of: LanesOf) -> BTreeMap<String, String> {
    match of {
        LanesOf::Names => {
            let names = plane.names.iter();
            let group = |name: &crate::detector::SeenName| name.operator.to_text_without_dot();
            names
                .map(|it| (it.host.to_text_without_dot(), group(it)))
                .collect()
        }
        LanesOf::Addresses => {
            let network = |it: &crate::detector::SeenAddress| match (it.asn, &it.asn_name) {
                (Some(asn), Some(name)) => format!("AS{asn} {name}"),
                (Some(asn), None) => format!("AS{asn}"),
                (None, _) => it.prefix.to_string(),
            };
            let addresses = plane.addresses.iter();
            addresses
                .map(|it| (it.address.to_string(), network(it)))
                .collect()
        }
    }
}

/// Returns the change instants of the last 7 days of a plane, cumulated.
pub fn cumulated(plane: &PlaneFinding, threshold: f64) -> Cumulated {
    let from = (plane.now - SPAN).max(plane.watched_since);
    let mut count = 0.0;
    let instants = plane.points.iter().filter(|point| point.moment.at >= from);
    let instants = instants.map(|point| {
        let weight = plane.weight_of(point);
        count += weight.weight;
        (point.moment.at, count, weight)
    });
    Cumulated {
        from,
        to: plane.now,
        instants: instants.collect(),
        threshold,
    }
}

impl Lanes {
    /// Returns the table of the plot: a row for each stay.
    pub fn to_rows(&self) -> Vec<[String; 4]> {
        let rows = self.lanes.iter().flat_map(|lane| {
            let stay = |(from, to): &(Timestamp, Timestamp)| {
                [
                    lane.label.clone(),
                    lane.group.clone(),
                    from.to_string(),
                    to.to_string(),
                ]
            };
            lane.stays.iter().map(stay).collect::<Vec<_>>()
        });
        rows.collect()
    }
}

/// Returns what the lanes of a plane are called.
pub fn lanes_title(plane: Plane, of: LanesOf) -> &'static str {
    match (plane, of) {
        (Plane::Aliases, LanesOf::Names) => "Targets of the alias over time",
        (_, LanesOf::Names) => "Name servers over time, by operator",
        (Plane::Nameservers, LanesOf::Addresses) => {
            "Addresses of name servers over time, by network"
        }
        (_, LanesOf::Addresses) => "Addresses over time, by network",
    }
}
