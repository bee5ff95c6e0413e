//! What waits to be judged by a worker of its own, so that judging holds no zone's history up.
//!
//! Nothing is lost with it: each zone's row says up to which version it was judged, and every pass over a source
//! notes its zones anew.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::dns::Name;
use crate::pipeline::context::Pipeline;
use crate::pipeline::error::PipelineError;
use crate::pipeline::outcome::PollOptions;
use crate::store::View;
use crate::time::Timestamp;

/// For how many milliseconds who judges waits for those who add lines.
const JOINERS_WAITED_FOR: u32 = 50;

/// Judges versions as long as what it is given says so. Returns whether none is left.
type Judge<'a> = dyn Fn(&dyn Fn() -> bool) -> Result<bool, PipelineError> + 'a;

/// Zones that wait, each once, in the order in which they were noted.
#[derive(Default)]
pub struct Docket {
    waiting: Mutex<Waiting>,
    noted: Condvar,
    /// Held while a version is judged, and while lines are added to one that may have been judged: how often that was
    /// so, by zone.
    joined: Mutex<HashMap<Name, u64>>,
    /// How many wait to add lines.
    joiner_count: AtomicUsize,
}

/// Lines are being added to a version of a zone that may have been judged: until this is dropped, after the commit.
pub(in crate::pipeline) struct Joining<'a> {
    joined: MutexGuard<'a, HashMap<Name, u64>>,
    zone: Name,
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        *self.joined.entry(self.zone.clone()).or_default() += 1;
    }
}

/// What a docket holds.
#[derive(Default)]
struct Waiting {
    turns: VecDeque<Turn>,
    zones: HashMap<Name, ZoneMatter>,
    sweeps: HashMap<String, Sweep>,
    /// Whether everything that is stored and not judged comes first.
    stored: bool,
}

/// Whose turn it is.
#[derive(Clone)]
enum Turn {
    Zone(Name),
    Sweep(String),
}

/// What is to be done about a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ZoneMatter {
    /// Views with versions that may not be judged yet.
    views: Vec<View>,
    /// When open cases without changes are judged again, if they are.
    again: Option<Timestamp>,
}

/// Members of a catalog that stand, whose open cases are judged again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sweep {
    zones: HashSet<Name>,
    at: Timestamp,
}

/// What is judged next.
#[derive(Debug, PartialEq, Eq)]
pub struct Matter(Subject);

/// What a matter is about.
#[derive(Debug, PartialEq, Eq)]
enum Subject {
    Zone(Name, ZoneMatter),
    Sweep(String, Sweep),
    /// Everything that is stored and not judged, of whatever zone.
    Stored,
}

impl Docket {
    /// Notes that versions of any zone may be stored and not judged. They come before everything else, for they are
    /// older, and what is judged later rests on it.
    pub fn note_stored(&self) {
        self.waiting().stored = true;
        self.noted.notify_one();
    }

    /// Notes that a view of a zone may have versions that are not judged.
    pub(in crate::pipeline) fn note_versions(&self, apex: &Name, view: View) {
        self.note_zone(apex, |matter| {
            if !matter.views.contains(&view) {
                matter.views.push(view);
            }
        });
    }

    /// Notes that the open cases of a zone are to be judged at a time.
    pub(in crate::pipeline) fn note_again(&self, apex: &Name, at: Timestamp) {
        self.note_zone(apex, |matter| matter.again = matter.again.max(Some(at)));
    }

    /// Notes that the open cases of some zones are to be judged at a time. What the same source noted before and
    /// nobody has taken is replaced.
    pub(in crate::pipeline) fn note_sweep(
        &self,
        source: &str,
        zones: HashSet<Name>,
        at: Timestamp,
    ) {
        let mut waiting = self.waiting();
        let known = waiting
            .sweeps
            .insert(source.to_owned(), Sweep { zones, at });
        if known.is_none() {
            waiting.turns.push_back(Turn::Sweep(source.to_owned()));
        }
        self.noted.notify_one();
    }

    /// Adds to what is to be done about a zone.
    fn note_zone(&self, apex: &Name, add: impl FnOnce(&mut ZoneMatter)) {
        let mut waiting = self.waiting();
        match waiting.zones.get_mut(apex) {
            Some(matter) => add(matter),
            None => {
                let mut matter = ZoneMatter::default();
                add(&mut matter);
                waiting.zones.insert(apex.clone(), matter);
                waiting.turns.push_back(Turn::Zone(apex.clone()));
            }
        }
        self.noted.notify_one();
    }

    /// Puts a matter that is not done at the end.
    pub fn put_back(&self, matter: Matter) {
        match matter.0 {
            Subject::Zone(apex, left) => self.note_zone(&apex, |matter| {
                for view in left.views {
                    if !matter.views.contains(&view) {
                        matter.views.push(view);
                    }
                }
                matter.again = matter.again.max(left.again);
            }),
            Subject::Sweep(source, sweep) => {
                let mut waiting = self.waiting();
                // A newer sweep knows better.
                if !waiting.sweeps.contains_key(&source) {
                    waiting.sweeps.insert(source.clone(), sweep);
                    waiting.turns.push_back(Turn::Sweep(source));
                }
            }
            Subject::Stored => self.note_stored(),
        }
    }

    /// Takes what is next; waits for it up to `wait`.
    pub fn take(&self, wait: Duration) -> Option<Matter> {
        let waiting = self.waiting();
        let is_empty = |waiting: &mut Waiting| waiting.turns.is_empty() && !waiting.stored;
        let (mut waiting, _) = self
            .noted
            .wait_timeout_while(waiting, wait, is_empty)
            .unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut waiting.stored) {
            return Some(Matter(Subject::Stored));
        }
        let subject = match waiting.turns.pop_front()? {
            Turn::Zone(apex) => {
                let matter = waiting.zones.remove(&apex)?;
                Subject::Zone(apex, matter)
            }
            Turn::Sweep(source) => {
                let sweep = waiting.sweeps.remove(&source)?;
                Subject::Sweep(source, sweep)
            }
        };
        Some(Matter(subject))
    }

    /// Begins to add lines to a version that may have been judged. It has to be judged again then, and the commit
    /// takes back that it was: without this, who judges a later version meanwhile would write that all before it
    /// are judged.
    pub(in crate::pipeline) fn join_version(&self, zone: &Name) -> Joining<'_> {
        self.joiner_count.fetch_add(1, Ordering::SeqCst);
        let joined = self.joined();
        self.joiner_count.fetch_sub(1, Ordering::SeqCst);
        Joining {
            joined,
            zone: zone.clone(),
        }
    }

    /// Locks what was joined. Nothing panics while it is locked.
    fn joined(&self) -> MutexGuard<'_, HashMap<Name, u64>> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those who wait to add lines go first, for a moment at most.
    fn let_join(&self) {
        for _ in 0..JOINERS_WAITED_FOR {
            std::thread::sleep(Duration::from_millis(1));
            if self.joiner_count.load(Ordering::SeqCst) == 0 {
                return;
            }
        }
    }

    /// Returns how many matters wait.
    pub fn len(&self) -> usize {
        let waiting = self.waiting();
        waiting.turns.len() + usize::from(waiting.stored)
    }

    /// Returns whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Locks what waits. Nothing panics while it is locked.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipeline {
    /// Judges a matter of a docket, until it is done, `until` has come or `goes_on` says no. Returns what is left of
    /// it.
    ///
    /// # Errors
    ///
    /// [`PipelineError`]; what was judged before the fault stays judged.
    pub fn judge_matter(
        &self,
        docket: &Docket,
        matter: &Matter,
        until: Instant,
        options: &PollOptions,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Matter>, PipelineError> {
        let in_time = || goes_on() && Instant::now() < until;
        match &matter.0 {
            Subject::Zone(apex, zone) => {
                let goes_on = in_time;
                for (done, view) in zone.views.iter().enumerate() {
                    if !self.judge_view(docket, apex, *view, options, &goes_on)? {
                        let left = ZoneMatter {
                            views: zone.views[done..].to_vec(),
                            again: zone.again,
                        };
                        return Ok(Some(Matter(Subject::Zone(apex.clone(), left))));
                    }
                }
                if let Some(at) = zone.again {
                    self.reevaluate(apex, at, options)?;
                }
            }
            Subject::Sweep(_, sweep) => {
                self.reevaluate_among(|zone| sweep.zones.contains(zone), sweep.at, options)?;
            }
            Subject::Stored => {
                let count = |joined: &HashMap<Name, u64>| joined.values().sum();
                let judge = |goes_on: &dyn Fn() -> bool| self.judge_oldest(options, goes_on);
                if !self.judge_unjoined(docket, &count, &in_time, &judge)? {
                    return Ok(Some(Matter(Subject::Stored)));
                }
            }
        }
        Ok(None)
    }

    /// Judges versions of a view as long as `goes_on` says so, and no lines are added to a version of its zone that may
    /// be judged. Returns whether none is left.
    fn judge_view(
        &self,
        docket: &Docket,
        apex: &Name,
        view: View,
        options: &PollOptions,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<bool, PipelineError> {
        let count = |joined: &HashMap<Name, u64>| joined.get(apex).copied().unwrap_or(0);
        let judge = |goes_on: &dyn Fn() -> bool| self.detect_some(apex, view, options, goes_on);
        self.judge_unjoined(docket, &count, goes_on, &judge)
    }

    /// Has `judge` judge versions as long as `goes_on` says so, and no lines are added to a version that may be judged:
    /// `count_of` says how often that was so. Returns whether none is left.
    ///
    /// What was judged is written before anybody may add lines to it: the commit that adds them takes that back.
    fn judge_unjoined(
        &self,
        docket: &Docket,
        count_of: &dyn Fn(&HashMap<Name, u64>) -> u64,
        goes_on: &dyn Fn() -> bool,
        judge: &Judge<'_>,
    ) -> Result<bool, PipelineError> {
        let held = RefCell::new(Some(docket.joined()));
        let count = || held.borrow().as_deref().map(count_of);
        let (at_start, fault) = (count(), RefCell::new(None));
        let goes_on = || {
            if docket.joiner_count.load(Ordering::SeqCst) > 0 {
                if let Err(error) = self.store.lookup().write_judged() {
                    fault.replace(Some(error));
                    return false;
                }
                held.replace(None);
                docket.let_join();
                held.replace(Some(docket.joined()));
            }
            count() == at_start && goes_on()
        };
        let is_done = judge(&goes_on);
        if let Some(error) = fault.take() {
            self.store.lookup().forget_judged();
            return Err(error.into());
        }
        if is_done.is_err() {
            // Judged once more, to the same end.
            self.store.lookup().forget_judged();
        } else {
            self.store.lookup().write_judged()?;
        }
        Ok(is_done? && count() == at_start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the next apex without waiting.
    fn next(docket: &Docket) -> Option<(String, ZoneMatter)> {
        match docket.take(Duration::ZERO)?.0 {
            Subject::Zone(apex, matter) => Some((apex.to_string(), matter)),
            Subject::Sweep(..) | Subject::Stored => None,
        }
    }

    #[test]
    fn what_is_stored_comes_before_every_zone_until_it_is_done() {
        let docket = Docket::default();
        docket.note_versions(&Name::parse("a.example").expect("a name"), View::Zone);
        docket.note_stored();
        docket.note_stored();
        let stored = docket.take(Duration::ZERO).expect("noted");
        assert_eq!(stored, Matter(Subject::Stored));
        docket.put_back(stored);
        assert_eq!(docket.len(), 2);
        assert_eq!(docket.take(Duration::ZERO), Some(Matter(Subject::Stored)));
        assert_eq!(next(&docket).expect("the zone").0, "a.example.");
        assert!(docket.is_empty());
    }

    #[test]
    fn zones_come_in_turn_and_once_each() {
        let [a, b] = ["a.example", "b.example"].map(|text| Name::parse(text).expect("a name"));
        let docket = Docket::default();
        docket.note_versions(&a, View::Zone);
        docket.note_versions(&b, View::Zone);
        docket.note_versions(&a, View::Zone);
        docket.note_again(&a, Timestamp::from_unix(2));
        docket.note_again(&a, Timestamp::from_unix(1));
        let matter = ZoneMatter {
            views: vec![View::Zone],
            again: Some(Timestamp::from_unix(2)),
        };
        assert_eq!(
            next(&docket),
            Some(("a.example.".to_owned(), matter.clone()))
        );
        // One that is not done comes after those that wait.
        docket.put_back(Matter(Subject::Zone(a, matter.clone())));
        assert_eq!(next(&docket).expect("the other zone").0, "b.example.");
        assert_eq!(next(&docket), Some(("a.example.".to_owned(), matter)));
        assert_eq!(next(&docket), None);
    }

    #[test]
    fn a_newer_sweep_of_a_source_takes_the_place_of_the_one_before() {
        let docket = Docket::default();
        let sweep = |at| Sweep {
            zones: HashSet::new(),
            at: Timestamp::from_unix(at),
        };
        docket.note_sweep("c", HashSet::new(), Timestamp::from_unix(1));
        docket.note_sweep("c", HashSet::new(), Timestamp::from_unix(2));
        docket.put_back(Matter(Subject::Sweep("c".to_owned(), sweep(1))));
        let taken = docket.take(Duration::ZERO);
        assert_eq!(
            taken,
            Some(Matter(Subject::Sweep("c".to_owned(), sweep(2))))
        );
        assert!(docket.is_empty());
    }
}
