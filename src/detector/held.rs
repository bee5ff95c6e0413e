//! Sets that go on through a short absence, and how long each of their values was there.

use crate::detector::events::Spot;
use crate::detector::sorted::Sorted;
use crate::detector::timeline::{ABSENCES_30D_MAX, Departure, Instant, Presence};
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
pub(super) struct Union {
    pub set: Held<Spot>,
    /// When each came that is there; `None` if it was there before.
    since: Vec<Option<Timestamp>>,
    /// What left since an address came.
    left: Departure,
}

impl Union {
    /// Returns one of which nothing is there, of so many addresses that may come.
    pub fn of(count: usize) -> Self {
        Self {
            set: Held::default(),
            since: vec![None; count],
            left: Departure::Nothing,
        }
    }

    /// Begins with a set that was there before.
    pub fn begin(&mut self, set: Sorted<Spot>) {
        self.note(set.iter(), None);
        self.set = Held {
            active: set,
            ..Held::default()
        };
        self.left = Departure::Nothing;
    }

    /// Takes in addresses that were there before.
    pub fn learn(&mut self, values: &[Spot]) {
        self.set.active.insert_all(values);
        self.note(values.iter(), None);
    }

    /// Notes when some came.
    fn note<'v>(&mut self, values: impl Iterator<Item = &'v Spot>, at: Option<Timestamp>) {
        for value in values {
            self.since[*value as usize] = at;
        }
    }

    /// Moves the set to `after`. Returns what gave way to what came.
    pub fn step(&mut self, after: &Sorted<Spot>, at: Timestamp, absence_max: Span) -> Departure {
        let before = self.set.active.clone();
        match self.set.become_set(after, at, absence_max) {
            Became::Same => Departure::Nothing,
            Became::Began | Became::BeganAnew(_) => {
                self.note(after.iter(), Some(at));
                self.left = Departure::Nothing;
                Departure::Nothing
            }
            Became::Changed | Became::CameBack(_) => {
                // What left waits for what comes: the zone may lose the one an hour before it has the next.
                for gone in before.difference(after) {
                    let departure = match self.since[*gone as usize] {
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
                for value in came {
                    self.since[*value as usize] = Some(at);
                }
                left
            }
        }
    }
}

/// When each value was there. Values are numbers.
pub(super) struct Presences {
    /// In order of their beginning.
    pub all: Vec<(u32, Presence)>,
    /// Those that have no end yet.
    pub open: Sorted<u32>,
    /// Of each value that has no end yet, its place among all.
    places: Vec<u32>,
    /// Whether each was there before it was first told of, and has not left since.
    known: Vec<bool>,
    /// Those that left, with when they came (`None` if they were there before) and when they left.
    left: Vec<(u32, Option<Instant>, Instant)>,
}

impl Presences {
    /// Returns none, of so many values that may come.
    pub fn of(count: usize) -> Self {
        Self {
            all: Vec::new(),
            open: Sorted::default(),
            places: vec![0; count],
            known: vec![false; count],
            left: Vec::new(),
        }
    }

    /// Notes that values were there before they were first told of.
    pub fn know(&mut self, values: &[u32]) {
        for value in values {
            self.known[*value as usize] = true;
        }
    }

    /// Ends the presence of what left and begins that of what came: `after` is there from `at` on.
    pub fn note(&mut self, after: &Sorted<u32>, instant: Instant) {
        if self.open.is_shared_with(after) {
            return;
        }
        let before = std::mem::replace(&mut self.open, after.clone());
        for value in before.difference(after) {
            self.end_one(*value, instant.0, Some(instant));
        }
        for value in after.difference(&before) {
            self.places[*value as usize] = self.all.len() as u32;
            let presence = Presence {
                from: instant.0,
                version_id: instant.1,
                to: None,
            };
            self.all.push((*value, presence));
        }
    }

    /// Ends those that were absent for too long: they did not leave for others.
    pub fn lapse(&mut self, at: Timestamp, is_absent: impl Fn(&u32) -> bool) {
        self.end(at, None, is_absent);
    }

    /// Ends those that were absent for too long, and left for those that came at `left_at`.
    pub fn leave(&mut self, at: Timestamp, left_at: Instant, is_absent: impl Fn(&u32) -> bool) {
        self.end(at, Some(left_at), is_absent);
    }

    /// Ends some at a time; they left for others at `left_at`, if at all.
    fn end(&mut self, at: Timestamp, left_at: Option<Instant>, is_absent: impl Fn(&u32) -> bool) {
        let absent: Vec<u32> = self.open.iter().copied().filter(is_absent).collect();
        self.open.remove_all(&absent);
        for value in absent {
            self.end_one(value, at, left_at);
        }
    }

    /// Ends one at a time; it left for others at `left_at`, if at all.
    fn end_one(&mut self, value: u32, at: Timestamp, left_at: Option<Instant>) {
        let presence = &mut self.all[self.places[value as usize] as usize].1;
        presence.to = Some(at);
        let was_known = std::mem::take(&mut self.known[value as usize]);
        let came_at = (!was_known).then_some(presence.began());
        self.left
            .extend(left_at.map(|left_at| (value, came_at, left_at)));
    }

    /// Returns what left of each set at each instant. `set_of` says which set a value belongs to.
    pub fn departures(&self, set_of: impl Fn(u32) -> u32) -> Departures {
        let stay = |came_at: Option<Instant>, left_at: Instant| {
            came_at.map_or(Departure::OfBaseline, |came_at| {
                Departure::After(left_at.0.since(came_at.0))
            })
        };
        let left = self.left.iter();
        let mut ends: Vec<((u32, Instant), Departure)> = left
            .map(|(value, came_at, left_at)| ((set_of(*value), *left_at), stay(*came_at, *left_at)))
            .collect();
        // What is shorter comes first, and stays.
        ends.sort();
        ends.dedup_by_key(|(key, _)| *key);
        let mut departures = Departures(ends);
        // What came at an instant counts for it too, once it left: the shorter stay shows the rotation.
        for (value, came_at, left_at) in &self.left {
            let Some(came_at) = came_at else { continue };
            if let Some(known) = departures.find(set_of(*value), *came_at) {
                *known = stay(Some(*came_at), *left_at).min(*known);
            }
        }
        departures
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        *self = Self::of(self.places.len());
    }
}

/// What left of sets at instants, in the order of these. A version that loses nothing has no part in what another of the same
/// second loses.
pub(super) struct Departures(Vec<((u32, Instant), Departure)>);

impl Departures {
    /// Returns what left of a set at an instant; `None` if nothing did.
    pub fn find(&mut self, set: u32, instant: Instant) -> Option<&mut Departure> {
        let found = self
            .0
            .binary_search_by_key(&(set, instant), |(key, _)| *key);
        found.ok().map(|place| &mut self.0[place].1)
    }
}
