//! When each name server or address was there, in cells that survive a mail client. Pure.

use std::collections::HashMap;

use serde::Serialize;

use crate::detector::{ChangePoint, Plane, PlaneFinding};
use crate::time::{Span, Timestamp};

/// How many cells a lane has, as in `history --view timeline`.
const CELLS: usize = 36;
/// The time before the last judgement that is shown at most.
const SPAN_MAX: Span = Span::days(7);
/// The most lanes.
const LANES_MAX: usize = 16;

/// How many of them stand for all where there is little room.
pub(super) const BRIEF_LANES: usize = 3;
/// And how many of each of several planes: a text stays within its 80 lines.
pub(super) const BRIEF_LANES_OF_SEVERAL: usize = 2;
/// The characters of a line of text.
const COLUMNS: usize = 78;

/// Lanes over the time in which the values that are shown changed, oldest cell first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// When the first cell begins.
    pub from: String,
    /// When the last cell ends.
    pub to: String,
    /// The time of a cell: `2h`.
    pub cell: String,
    /// One lane a name server or address, in the order in which they came: those that changed last.
    pub lanes: Vec<Lane>,
    /// How many there are; more than `lanes` holds if the list was cut.
    pub lanes_count: usize,
    /// How many of `lanes` stand for all where there is little room.
    pub brief_count: usize,
}

/// A lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lane {
    /// The name server, without its final dot, or the address.
    pub label: String,
    /// Whether the label is a name.
    pub is_name: bool,
    /// The name server that an address belongs to, without its final dot, if it is one alone; `None` on the
    /// address plane.
    pub host: Option<String>,
    /// Whether the lane fits a line of text with its name server.
    pub is_host_shown: bool,
    /// Whether it is one of the few that stand for all where there is little room.
    pub is_in_brief: bool,
    /// Cells of one kind in a row, oldest first.
    pub runs: Vec<Run>,
    /// The cells in characters: `#` for there, `.` for gone.
    pub text: String,
}

/// Cells of one kind in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Whether it was there at some time in each cell.
    pub present: bool,
    /// The cells in characters.
    pub text: String,
}

/// When a value was there: half-open, and one a stay.
type Stays = Vec<(Timestamp, Timestamp)>;

impl Timeline {
    /// Returns the lanes of a plane: of name servers where their names changed, else of addresses.
    ///
    /// The cells are as long as the time in which the lanes that are shown changed asks for: values that
    /// change by the minute are told apart like those that change by the day.
    /// `brief_lanes` of them, two at least, stand in a text: what came last, what left last, and the oldest.
    pub fn of(plane: &PlaneFinding, brief_lanes: usize) -> Self {
        let by_name =
            plane.plane != Plane::Addresses && plane.points.iter().any(|point| point.names_changed);
        let oldest = (plane.now - SPAN_MAX).max(plane.watched_since);
        let all = stays_of(plane, by_name, oldest);
        let lanes_count = all.len();
        let shown = newest_of(all, plane.now);
        let changed_at = shown
            .iter()
            .flat_map(|(_, stays)| stays.iter().flat_map(|(from, to)| [*from, *to]));
        let first = changed_at
            .filter(|at| *at > oldest)
            .min()
            .unwrap_or(plane.now);
        // One cell before the first change shows what was there.
        let whole = plane.now.since(first).as_seconds();
        let from = oldest.max(first - Span::seconds(whole / (CELLS as i64 - 1) + 1));
        let brief = brief_of(&shown, plane.now, brief_lanes);
        let lanes = shown.iter().enumerate().map(|(i, (label, stays))| {
            let cells = cells_of(stays, from, plane.now);
            let host = (plane.plane == Plane::Nameservers && !by_name)
                .then(|| host_of(plane, label))
                .flatten();
            Lane {
                is_host_shown: host.as_deref().is_some_and(|host| fits(label, host)),
                host,
                label: label.clone(),
                is_name: by_name,
                is_in_brief: brief.contains(&i),
                runs: runs_of(&cells),
                text: cells.iter().map(|it| mark(*it)).collect(),
            }
        });
        Self {
            from: from.to_table(),
            to: plane.now.to_table(),
            cell: plane.now.since(from).divided_by(CELLS as i64).to_string(),
            lanes: lanes.collect(),
            lanes_count,
            brief_count: brief.len(),
        }
    }
}

/// Returns the lanes that changed last, no more than are shown, in the order that they have.
fn newest_of(mut lanes: Vec<(String, Stays)>, now: Timestamp) -> Vec<(String, Stays)> {
    if lanes.len() > LANES_MAX {
        let mut changed: Vec<Timestamp> = lanes.iter().map(|it| changed_at(&it.1, now)).collect();
        changed.sort_unstable();
        // Of those that changed at one time the ones stay that came last.
        let least = changed[changed.len() - LANES_MAX];
        let above = changed.iter().filter(|it| **it > least).count();
        let mut at_least = lanes
            .iter()
            .filter(|it| changed_at(&it.1, now) == least)
            .count();
        lanes.retain(|(_, stays)| {
            let at = changed_at(stays, now);
            let is_kept = at > least || at == least && at_least <= LANES_MAX - above;
            at_least -= usize::from(at == least);
            is_kept
        });
    }
    lanes
}

/// Returns when a value came or left last.
fn changed_at(stays: &Stays, now: Timestamp) -> Timestamp {
    let last = stays.last();
    last.map_or(now, |(from, to)| if *to > now { *from } else { *to })
}

/// Returns the places of the few lanes that stand for all: of what came last, of what left last, of the oldest, and of
/// others. Sorted.
fn brief_of(shown: &[(String, Stays)], now: Timestamp, count: usize) -> Vec<usize> {
    let last = |is_there: bool| {
        let lanes = shown.iter().enumerate();
        let of_kind = lanes
            .filter(|(_, (_, stays))| stays.last().is_some_and(|(_, to)| (*to > now) == is_there));
        of_kind.max_by_key(|(_, (_, stays))| changed_at(stays, now))
    };
    let few = [last(true), last(false)].into_iter().flatten();
    let few = few.map(|(place, _)| place).chain(0..shown.len());
    let mut brief: Vec<usize> = Vec::new();
    for place in few {
        if brief.len() < count && !brief.contains(&place) {
            brief.push(place);
        }
    }
    brief.sort_unstable();
    brief
}

/// Returns when each value was there, cut at `oldest`, in the order in which they came.
fn stays_of(plane: &PlaneFinding, by_name: bool, oldest: Timestamp) -> Vec<(String, Stays)> {
    let labels = |point: &ChangePoint, before: bool| -> Vec<String> {
        let (names, addresses) = if before {
            (&point.names_before, &point.addresses_before)
        } else {
            (&point.names_after, &point.addresses_after)
        };
        if by_name {
            names.iter().map(|it| it.to_text_without_dot()).collect()
        } else {
            addresses.iter().map(|(_, it)| it.to_string()).collect()
        }
    };
    let mut lanes: Vec<(String, Stays)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut take = |labels: Vec<String>, from: Timestamp, to: Timestamp| {
        if to <= oldest {
            return;
        }
        for label in labels {
            let stay = (from.max(oldest), to);
            let Some(place) = places.get(&label) else {
                places.insert(label.clone(), lanes.len());
                lanes.push((label, vec![stay]));
                continue;
            };
            let stays = &mut lanes[*place].1;
            match stays.last_mut() {
                Some(last) if last.1 == stay.0 => last.1 = to,
                _ => stays.push(stay),
            }
        }
    };
    if let Some(first) = plane.points.first() {
        take(labels(first, true), plane.watched_since, first.moment.at);
    }
    for (i, point) in plane.points.iter().enumerate() {
        // What is there when it is judged has no end: it lasts through the last cell.
        let to = plane
            .points
            .get(i + 1)
            .map_or(plane.now + Span::seconds(1), |next| next.moment.at);
        take(labels(point, false), point.moment.at, to);
    }
    lanes
}

/// Returns the name server that an address belongs to, if it is one alone.
fn host_of(plane: &PlaneFinding, address: &str) -> Option<String> {
    let seen = plane.addresses.iter();
    let mut hosts = seen
        .filter(|it| it.address.to_string() == address)
        .map(|it| &it.host);
    let first = hosts.next()?;
    let is_alone = hosts.all(|host| host == first);
    is_alone.then(|| first.to_text_without_dot())
}

/// Returns whether a lane, two spaces before each of its three parts, fits a line; dots are in brackets there.
fn fits(label: &str, host: &str) -> bool {
    let host = host.chars().count() + 2 * host.matches('.').count();
    3 * 2 + CELLS + label.chars().count() + host <= COLUMNS
}

/// Returns the cells of a lane: each in which it was there at some time, however short.
fn cells_of(stays: &Stays, from: Timestamp, to: Timestamp) -> [bool; CELLS] {
    let whole = to.since(from).as_seconds().max(1);
    let place = |at: Timestamp| {
        let since = at.since(from).as_seconds().max(0);
        (since * CELLS as i64 / whole) as usize
    };
    let mut cells = [false; CELLS];
    for (begins, ends) in stays.iter().filter(|(_, ends)| *ends > from) {
        let first = place(*begins).min(CELLS - 1);
        let end = if *ends > to { CELLS } else { place(*ends) };
        cells[first..end.clamp(first + 1, CELLS)].fill(true);
    }
    cells
}

/// Returns the runs of a lane.
fn runs_of(cells: &[bool]) -> Vec<Run> {
    let runs = cells.chunk_by(|one, next| one == next);
    runs.map(|run| Run {
        present: run[0],
        text: run.iter().map(|it| mark(*it)).collect(),
    })
    .collect()
}

/// Returns the character of a cell.
fn mark(is_there: bool) -> char {
    if is_there { '#' } else { '.' }
}
