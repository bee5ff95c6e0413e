//! What waits to be judged by a worker of its own, so that judging holds no zone's history up.
//!
//! Nothing is lost with it: each zone's row says up to which version it was judged, and every pass over a source
//! notes its zones anew.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::dns::Name;
use crate::pipeline::judge::look::Look;
use crate::store::View;
use crate::time::Timestamp;

/// For how many milliseconds who judges waits for those who add lines.
// A mutex need not be fair: without a pause whoever judges could take it again and again.
const JOINERS_WAITED_FOR: u32 = 50;

/// Zones that wait, each once, in the order in which they were noted.
#[derive(Default)]
pub struct Docket {
    waiting: Mutex<Waiting>,
    noted: Condvar,
    /// Held while a version is judged, and while lines are added to one that may have been judged: how often that was
    /// so, by zone.
    joined: Mutex<HashMap<Name, u64>>,
    /// How many wait to add lines.
    pub(in crate::pipeline) joiner_count: AtomicUsize,
    /// Whether whoever adds to it empties it afterwards, so that nobody judges meanwhile.
    pub(in crate::pipeline) is_of_pass: bool,
    /// How much was read: lines, and what came over the network.
    progress: AtomicU64,
    /// Sources whose last pass ended before they were read to their end, each with the time up to which it tells all; none
    /// if there is no such time.
    cut: Mutex<HashMap<String, Option<Timestamp>>>,
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
pub(in crate::pipeline) struct ZoneMatter {
    /// Views with versions that may not be judged yet.
    pub(in crate::pipeline) views: Vec<View>,
    /// When open cases without changes are judged again, if they are.
    pub(in crate::pipeline) again: Option<Look>,
}

impl ZoneMatter {
    /// Notes that open cases are looked at once more.
    fn look_again(&mut self, look: Look) {
        self.again = Some(self.again.map_or(look, |known| known.or_later(look)));
    }
}

/// Members of a catalog that stand, whose open cases are judged again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pipeline) struct Sweep {
    pub(in crate::pipeline) zones: HashSet<Name>,
    pub(in crate::pipeline) at: Timestamp,
}

/// What is judged next.
#[derive(Debug, PartialEq, Eq)]
pub struct Matter(pub(in crate::pipeline) Subject);

/// What a matter is about.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::pipeline) enum Subject {
    Zone(Name, ZoneMatter),
    Sweep(String, Sweep),
    /// Everything that is stored and not judged, of whatever zone.
    Stored,
}

impl Docket {
    /// Returns that of a pass which judges at its end what it stored.
    pub(in crate::pipeline) fn of_pass() -> Self {
        Self {
            is_of_pass: true,
            ..Self::default()
        }
    }

    /// Notes that versions of any zone may be stored and not judged. They come before everything else, for they are
    /// older, and what is judged later rests on it.
    pub fn note_stored(&self) {
        self.waiting().stored = true;
        self.noted.notify_one();
    }

    /// Notes that something was read.
    pub fn note_progress(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns a number that moves on with all that is read.
    pub fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// Notes that a source was read to its end, or cannot be.
    pub(in crate::pipeline) fn note_read(&self, source: &str) {
        self.cut().remove(source);
    }

    /// Notes that the next pass over a source goes on where this one ended, and up to which time it was read, if it is in the
    /// order of its times.
    pub(in crate::pipeline) fn note_cut(&self, source: &str, until: Option<Timestamp>) {
        self.cut().insert(source.to_owned(), until);
    }

    /// Returns whether the last pass over a source ended before its end.
    pub fn is_cut(&self, source: &str) -> bool {
        self.cut().contains_key(source)
    }

    /// Returns up to which time all sources were read; `None` if each was to its end.
    pub(in crate::pipeline) fn cut_at(&self) -> Option<Option<Timestamp>> {
        self.cut().values().copied().min()
    }

    /// Locks what was cut off. Nothing panics while it is locked.
    fn cut(&self) -> MutexGuard<'_, HashMap<String, Option<Timestamp>>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a view of a zone may have versions that are not judged.
    pub(in crate::pipeline) fn note_versions(&self, apex: &Name, view: View) {
        self.note_zone(apex, |matter| {
            if !matter.views.contains(&view) {
                matter.views.push(view);
            }
        });
    }

    /// Notes that the open cases of a zone are to be looked at.
    pub(in crate::pipeline) fn note_again(&self, apex: &Name, look: Look) {
        self.note_zone(apex, |matter| matter.look_again(look));
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
                if let Some(look) = left.again {
                    matter.look_again(look);
                }
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

    /// Takes all that waits, without waiting for more.
    pub(in crate::pipeline) fn take_all(&self) -> impl Iterator<Item = Matter> {
        std::iter::from_fn(|| self.take(Duration::ZERO))
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
    pub(in crate::pipeline) fn joined(&self) -> MutexGuard<'_, HashMap<Name, u64>> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those who wait to add lines go first, for a moment at most.
    pub(in crate::pipeline) fn let_join(&self) {
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
        let look = |now| Look::live(Timestamp::from_unix(now));
        docket.note_again(&a, look(2));
        docket.note_again(&a, look(1));
        let matter = ZoneMatter {
            views: vec![View::Zone],
            again: Some(look(2)),
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
