//! When each name server or address was there, in cells that survive a mail client. Pure.

use serde::Serialize;

use crate::detector::{Plane, PlaneFinding};
use crate::time::{Span, Timestamp};

/// How many cells a lane has: half a day each, over the 7 days that are judged.
const CELLS: usize = 14;
/// The time of a cell.
const CELL: Span = Span::hours(12);
/// The most lanes.
const LANES_MAX: usize = 16;

/// Lanes over the last 7 days, oldest cell first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// When the first cell begins.
    pub from: String,
    /// When the last cell ends.
    pub to: String,
    /// One lane a name server or address, in the order in which they came.
    pub lanes: Vec<Lane>,
    /// How many there are; more than `lanes` holds if the list was cut.
    pub lanes_count: usize,
}

/// A lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lane {
    /// The name server, without its final dot, or the address.
    pub label: String,
    /// Whether the label is a name.
    pub is_name: bool,
    /// Whether it was there at some time in the cell.
    pub cells: Vec<bool>,
    /// The same in characters: `#` for there, `.` for gone.
    pub text: String,
}

impl Timeline {
    /// Returns the lanes of a plane: of name servers where their names changed, else of addresses.
    pub fn of(plane: &PlaneFinding) -> Self {
        let by_name = plane.plane == Plane::Nameservers
            && plane.points.iter().any(|point| point.names_changed);
        let from = plane.now - Span::seconds(CELL.as_seconds() * CELLS as i64);
        let mut lanes: Vec<(String, [bool; CELLS])> = Vec::new();
        let mut mark = |labels: Vec<String>, begins: Timestamp, ends: Timestamp| {
            if ends < from {
                return;
            }
            let cell = |at: Timestamp| {
                let since = at.since(from).as_seconds().max(0) / CELL.as_seconds();
                (since as usize).min(CELLS - 1)
            };
            for label in labels {
                let i = match lanes.iter().position(|(known, _)| *known == label) {
                    Some(i) => i,
                    None => {
                        lanes.push((label, [false; CELLS]));
                        lanes.len() - 1
                    }
                };
                lanes[i].1[cell(begins)..=cell(ends)].fill(true);
            }
        };
        let labels = |before: bool, point: &crate::detector::ChangePoint| -> Vec<String> {
            let (names, addresses) = match before {
                true => (&point.names_before, &point.addresses_before),
                false => (&point.names_after, &point.addresses_after),
            };
            match by_name {
                true => names.iter().map(|it| it.to_text_without_dot()).collect(),
                false => addresses.iter().map(|(_, it)| it.to_string()).collect(),
            }
        };
        if let Some(first) = plane.points.first() {
            let begins = plane.watched_since.max(from);
            mark(labels(true, first), begins, first.moment.at.max(begins));
        }
        for (i, point) in plane.points.iter().enumerate() {
            let ends = plane
                .points
                .get(i + 1)
                .map_or(plane.now, |next| next.moment.at);
            mark(labels(false, point), point.moment.at, ends);
        }
        let lanes_count = lanes.len();
        // The newest say most.
        let cut = lanes_count.saturating_sub(LANES_MAX);
        let lane = |(label, cells): &(String, [bool; CELLS])| Lane {
            label: label.clone(),
            is_name: by_name,
            cells: cells.to_vec(),
            text: cells.iter().map(|it| if *it { '#' } else { '.' }).collect(),
        };
        Self {
            from: from.to_minute(),
            to: plane.now.to_minute(),
            lanes: lanes[cut..].iter().map(lane).collect(),
            lanes_count,
        }
    }
}
