//! Sets that go on through a short absence, and how long each of their values was there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detector::events::Place;
use crate::detector::sorted::Sorted;
use crate::detector::timeline::{ABSENCES_30D_MAX, Departure, Presence};
use crate::time::{Span, Timestamp};

/// A set that goes on through a short absence.
#[derive(Clone)]
pub(super) struct Held<T> {
    pub active: Sorted<T>,
    pub empty_since: Option<Timestamp>,
    /// When it began anew without a change.
    pub begun_anew: Vec<Timestamp>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self {
            active: Sorted::default(),
            empty_since: None,
            begun_anew: Vec::new(),
        }
    }
}

/// What became of a [`Held`] set.
pub(super) enum Became {
    /// It is the same, or absent for now.
    Same,
    /// It began.
    Began,
    /// It began anew; it had ended at this time, after as long an absence as is waited for.
    BeganAnew(Timestamp),
    /// The same, but it did so too often for that to be an excuse: it was another set before.
    CameBack(Timestamp),
    /// It was another set before.
    Changed,
}

impl<T: Ord + Clone> Held<T> {
    /// Returns when the set ended, if it has been absent for longer than is waited for by `now`.
    pub fn ended_at(&self, now: Timestamp, absence_max: Span) -> Option<Timestamp> {
        let ended_at = self.empty_since.map(|since| since + absence_max);
        ended_at.filter(|ended_at| now > *ended_at)
    }

    /// Moves the set to `after`.
    pub fn become_set(&mut self, after: &Sorted<T>, at: Timestamp, absence_max: Span) -> Became {
        if after.is_empty() {
            if !self.active.is_empty() {
                // The values stay in the set for as long as is waited: a zone without the records for an hour is no
                // rotation.
                self.empty_since.get_or_insert(at);
            }
            return Became::Same;
        }
        let ended_at = self.empty_since.take().map(|since| since + absence_max);
        let before = std::mem::replace(&mut self.active, after.clone());
        if before.is_empty() {
            Became::Began
        } else if let Some(ended_at) = ended_at.filter(|ended_at| at > *ended_at) {
            let recent = self.begun_anew.iter().rev();
            let recent = recent.take_while(|it| at.since(**it) < Span::days(30));
            // Else going away for a day between two sets would make every change of a flux a new beginning.
            if before != *after && recent.count() >= ABSENCES_30D_MAX {
                return Became::CameBack(ended_at);
            }
            if before != *after {
                self.begun_anew.push(at);
            }
            Became::BeganAnew(ended_at)
        } else if before == *after {
            Became::Same
        } else {
            Became::Changed
        }
    }
}

/// The addresses of all names together, and since when each has been there.
#[derive(Default)]
pub(super) struct Union {
    pub set: Held<(Place, IpAddr)>,
    /// When each came; `None` if it was there before.
    pub since: BTreeMap<(Place, IpAddr), Option<Timestamp>>,
    /// What left since an address came.
    pub left: Departure,
}

impl Union {
    /// Begins with a set that was there before.
    pub fn begin(&mut self, set: Sorted<(Place, IpAddr)>) {
        self.since = set.iter().map(|value| (*value, None)).collect();
        self.set = Held {
            active: set,
            ..Held::default()
        };
        self.left = Departure::Nothing;
    }

    /// Takes in addresses that were there before.
    pub fn learn(&mut self, values: &[(Place, IpAddr)]) {
        self.set.active.extend(values.iter().copied());
        self.since.extend(values.iter().map(|value| (*value, None)));
    }

    /// Moves the set to `after`. Returns what gave way to what came.
    pub fn step(
        &mut self,
        after: &Sorted<(Place, IpAddr)>,
        at: Timestamp,
        absence_max: Span,
    ) -> Departure {
        let before = self.set.active.clone();
        match self.set.become_set(after, at, absence_max) {
            Became::Same => Departure::Nothing,
            Became::Began | Became::BeganAnew(_) => {
                self.since = after.iter().map(|value| (*value, Some(at))).collect();
                self.left = Departure::Nothing;
                Departure::Nothing
            }
            Became::Changed | Became::CameBack(_) => {
                // What left waits for what comes: the zone may lose the one an hour before it has the next.
                for gone in before.difference(after) {
                    let departure = match self.since.remove(gone).flatten() {
                        Some(since) => Departure::After(at.since(since)),
                        None => Departure::OfBaseline,
                    };
                    self.left = self.left.min(departure);
                }
                let mut came = after.difference(&before).peekable();
                let left = match came.peek() {
                    Some(_) => std::mem::take(&mut self.left),
                    None => Departure::Nothing,
                };
                self.since.extend(came.map(|value| (*value, Some(at))));
                left
            }
        }
    }
}

/// When each value was there.
pub(super) struct Presences<T> {
    /// In order of their beginning.
    pub all: Vec<(T, Presence)>,
    /// Those that have no end yet, with their places among all.
    pub open: BTreeMap<T, usize>,
    /// Those that were there before they were first told of.
    pub known: BTreeSet<T>,
    /// Those that left, with when they came (`None` if they were there before) and when they left.
    pub left: Vec<(T, Option<Timestamp>, Timestamp)>,
}

impl<T> Default for Presences<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            open: BTreeMap::new(),
            known: BTreeSet::new(),
            left: Vec::new(),
        }
    }
}

impl<T: Ord + Clone> Presences<T> {
    /// Ends the presence of what left and begins that of what came: `after` is there from `at` on.
    pub fn note(&mut self, after: &Sorted<T>, at: Timestamp) {
        let (all, known, left) = (&mut self.all, &mut self.known, &mut self.left);
        self.open.retain(|value, place| {
            let stays = after.contains(value);
            if !stays {
                let presence = &mut all[*place].1;
                presence.to = Some(at);
                let came_at = (!known.remove(value)).then_some(presence.from);
                left.push((value.clone(), came_at, at));
            }
            stays
        });
        for value in after {
            if !self.open.contains_key(value) {
                self.open.insert(value.clone(), self.all.len());
                let presence = Presence { from: at, to: None };
                self.all.push((value.clone(), presence));
            }
        }
    }

    /// Ends those that were absent for too long: they did not leave for others.
    pub fn lapse(&mut self, at: Timestamp, is_absent: impl Fn(&T) -> bool) {
        self.end(at, None, is_absent);
    }

    /// Ends those that were absent for too long, and left for those that came at `left_at`.
    pub fn leave(&mut self, at: Timestamp, left_at: Timestamp, is_absent: impl Fn(&T) -> bool) {
        self.end(at, Some(left_at), is_absent);
    }

    /// Ends some at a time; they left for others at `left_at`, if at all.
    fn end(&mut self, at: Timestamp, left_at: Option<Timestamp>, is_absent: impl Fn(&T) -> bool) {
        let (all, known, left) = (&mut self.all, &mut self.known, &mut self.left);
        self.open.retain(|value, place| {
            let is_absent = is_absent(value);
            if is_absent {
                let presence = &mut all[*place].1;
                presence.to = Some(at);
                let came_at = (!known.remove(value)).then_some(presence.from);
                left.extend(left_at.map(|left_at| (value.clone(), came_at, left_at)));
            }
            !is_absent
        });
    }

    /// Returns what left of each set at each instant. `set_of` says which set a value belongs to.
    pub fn departures<S: Ord>(
        &self,
        set_of: impl Fn(&T) -> S,
    ) -> BTreeMap<(S, Timestamp), Departure> {
        let mut departures = BTreeMap::new();
        let stay = |came_at: Option<Timestamp>, left_at: Timestamp| {
            came_at.map_or(Departure::OfBaseline, |at| {
                Departure::After(left_at.since(at))
            })
        };
        for (value, came_at, left_at) in &self.left {
            let known = departures
                .entry((set_of(value), *left_at))
                .or_insert(Departure::Nothing);
            *known = stay(*came_at, *left_at).min(*known);
        }
        // What came at an instant counts for it too, once it left: the shorter stay shows the rotation.
        for (value, came_at, left_at) in &self.left {
            let Some(came_at) = came_at else { continue };
            if let Some(known) = departures.get_mut(&(set_of(value), *came_at)) {
                *known = stay(Some(*came_at), *left_at).min(*known);
            }
        }
        departures
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
