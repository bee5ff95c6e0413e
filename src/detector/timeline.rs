//! From intervals to change points: what an entity's set was before and after each instant.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::detector::alike::is_slip_of;
use crate::dns::{Name, Serial};
use crate::time::{Span, Timestamp};

/// A zone version, as the end of an interval: a change instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The version's row.
    pub version_id: i64,
    /// Its time.
    pub at: Timestamp,
    /// Its serial.
    pub serial: Option<Serial>,
    /// Whether so much of the zone changed that nobody is accused.
    pub bulk: bool,
    /// Whether it is no change of the zone: an earlier version lost it on its way.
    pub drift: bool,
    /// How many names made the same name-server move in it; 0 if fewer than two.
    pub shared_count: u32,
}

impl Moment {
    /// Returns whether what changed in it weighs nothing.
    pub fn is_excused(&self) -> bool {
        self.bulk || self.drift
    }

    /// Orders moments by time, then by version.
    fn key(&self) -> (Timestamp, i64) {
        (self.at, self.version_id)
    }
}

/// A value and when it was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay<T> {
    /// The value.
    pub value: T,
    /// The version that added it.
    pub added: Moment,
    /// The version that removed it; `None` while it is there.
    pub removed: Option<Moment>,
    /// Whether it was there when watching began.
    pub baseline: bool,
}

/// What changed for an entity at one instant. All lists are sorted; the sets of instants more than
/// eight days back are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePoint {
    /// The instant.
    pub moment: Moment,
    /// Name servers before.
    pub names_before: Vec<Name>,
    /// Name servers after.
    pub names_after: Vec<Name>,
    /// Addresses before, each with the name server it belongs to (the owner, on the address plane).
    pub addresses_before: Vec<(Name, IpAddr)>,
    /// Addresses after.
    pub addresses_after: Vec<(Name, IpAddr)>,
    /// Name servers never seen before.
    pub fresh_names: u32,
    /// Addresses never seen before of name servers that came.
    pub fresh_host_addresses: u32,
    /// Distinct addresses added.
    pub added_addresses: u32,
    /// Whether the set of names differs.
    pub names_changed: bool,
    /// How long the names that left had been there; see [`Departure`].
    pub names_departure: Departure,
    /// Whether the names that came have only addresses that were there before, or are each a slip of the finger
    /// away from one that left: the same name servers under other names.
    pub is_rename: bool,
    /// The name servers that stayed and whose addresses differ (on the address plane the owner).
    pub changed_hosts: Vec<ChangedHost>,
    /// Whether what changed weighs nothing: see [`Moment::is_excused`]. Mass changes and drift are excused
    /// [`BULK_7D_MAX`] times in 7 days, together.
    pub is_excused: bool,
    /// Whether the sets before and after are here.
    pub has_sets: bool,
}

/// A name server that stayed and whose addresses differ (on the address plane the owner).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedHost {
    /// The name server.
    pub host: Name,
    /// How many of its new addresses were never seen before.
    pub fresh: u32,
    /// How long the addresses that left had been there.
    pub departure: Departure,
}

/// What left a set at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Departure {
    /// Something, after this time at the shortest. What came at the same instant and has left since counts with
    /// its own time: who leaves again so soon had no place of its own.
    After(Span),
    /// Only what was there when watching began: since when is not known.
    OfBaseline,
    /// Nothing: the set only grew.
    #[default]
    Nothing,
}

impl Departure {
    /// Returns whether something left.
    pub fn is_some(self) -> bool {
        self != Self::Nothing
    }

    /// Returns whether something left after at most `span`.
    pub fn is_within(self, span: Span) -> bool {
        self <= Self::After(span)
    }
}

impl ChangePoint {
    /// Returns how many values its sets hold.
    pub fn value_count(&self) -> usize {
        let names = self.names_before.len() + self.names_after.len();
        names + self.addresses_before.len() + self.addresses_after.len()
    }

    /// Takes its sets away.
    fn forget_sets(&mut self) {
        (self.names_before, self.names_after) = (Vec::new(), Vec::new());
        (self.addresses_before, self.addresses_after) = (Vec::new(), Vec::new());
        self.has_sets = false;
    }

    /// Returns how many addresses never seen before came to name servers that stayed.
    pub fn fresh_glue(&self) -> u32 {
        self.changed_hosts.iter().map(|it| it.fresh).sum()
    }
}

/// Change points older than this carry their counts, not their sets: bounds memory.
const DETAIL_SPAN: Span = Span::days(8);
/// How many values the sets of all change points of an entity hold; the oldest lose theirs first. 100 octets
/// each. Chosen by hand: a set of ten that changes every minute keeps 5,000 changes, more than three days.
const DETAIL_VALUES_MAX: usize = 100_000;

/// How many mass changes excuse an entity within 7 days: of the .gov zone at most 3 came in a week. Junk that moves
/// with a flux at every version is no excuse for it.
pub const BULK_7D_MAX: usize = 4;
/// How often in 30 days an entity that was absent for longer than [`Replay::absence_max`] begins anew without a change:
/// who goes away again and again to come back as another rotates. Chosen by hand: a name expires once.
pub(super) const ABSENCES_30D_MAX: usize = 2;
/// The most names that came at an instant of which it is asked whether they correct others: more are no slip.
const CORRECTED_NAMES_MAX: usize = 13;

/// One value's presence; `to` is `None` while it is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presence {
    pub from: Timestamp,
    pub to: Option<Timestamp>,
}

/// An entity's history, replayed up to a time.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// In order of time.
    pub points: Vec<ChangePoint>,
    /// Name servers and when they were there.
    pub names: Vec<(Name, Presence)>,
    /// Addresses and when they were there.
    pub addresses: Vec<((Name, IpAddr), Presence)>,
    /// The name servers that are there at the end.
    pub names_now: BTreeSet<Name>,
    /// The different sets of name servers before and after the points of the last eight days.
    pub name_sets: Vec<Vec<Name>>,
    /// The addresses that are there at the end, of whatever name.
    pub addresses_now: BTreeSet<(Name, IpAddr)>,
    /// When it came back after a long absence, and whether that was excused: one set at one time once, in order.
    pub absences: BTreeSet<(Timestamp, bool)>,
}

impl Timeline {
    /// Returns when the first value in memory began; `None` if there never was one.
    pub fn began_at(&self) -> Option<Timestamp> {
        let names = self.names.iter().map(|(_, presence)| presence.from);
        names
            .chain(self.addresses.iter().map(|(_, presence)| presence.from))
            .min()
    }
}

/// What to replay.
pub(super) struct Replay<'a> {
    /// Name servers; `None` on the address plane, where the owner stands for the one name.
    pub names: Option<&'a [Stay<Name>]>,
    /// Addresses with the name they belong to.
    pub addresses: &'a [(Name, Stay<IpAddr>)],
    /// A new registration: everything before it is forgotten.
    pub reset_at: Option<Timestamp>,
    /// See [`DetectPolicy::absence_max`](super::DetectPolicy::absence_max).
    pub absence_max: Span,
    /// Whether the addresses of all names are one set, so that one that leaves a name gives way to one that comes to
    /// another. On the name-server plane they always are.
    pub is_union: bool,
    /// What comes later is not looked at.
    pub now: Timestamp,
    /// What is left out, if anything.
    pub left_out: Option<&'a LeftOut>,
}

/// The oldest part of a history that has more intervals than are replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// What ended by then is left out; what was there then is where the replay begins.
    pub until: Timestamp,
    /// The name servers of the part that is left out: never fresh again.
    pub names: BTreeSet<Name>,
    /// The addresses of that part.
    pub addresses: BTreeSet<IpAddr>,
}

impl LeftOut {
    /// Returns a part that ends at a time and whose values nobody has read.
    pub fn until(until: Timestamp) -> Self {
        Self {
            until,
            names: BTreeSet::new(),
            addresses: BTreeSet::new(),
        }
    }

    /// Returns the windows' beginning where a part is left out: measured is what is replayed.
    pub(super) fn cut(left_out: Option<&Self>, since: Timestamp) -> Timestamp {
        left_out.map_or(since, |part| part.until.max(since))
    }

    /// Returns whether a part of the last 7 days is left out.
    pub(super) fn is_of_week(left_out: Option<&Self>, now: Timestamp) -> bool {
        left_out.is_some_and(|part| now.since(part.until) < Span::days(7))
    }
}

/// The place of a name among those of a replay, which are in order: sets of places are compared and copied
/// where sets of names would be, and are in the same order.
type Place = u32;

/// The names of a replay.
struct Names<'a> {
    /// In canonical order.
    in_order: Vec<&'a Name>,
    /// In the order of their octets, which is faster to look into, with their places among the others.
    by_octets: Vec<(&'a [u8], Place)>,
}

impl<'a> Names<'a> {
    /// Gathers the names of intervals.
    fn of(input: &Replay<'a>) -> Self {
        let names = input.names.unwrap_or_default().iter();
        let names = names.map(|stay| &stay.value);
        let mut in_order: Vec<&Name> = names
            .chain(input.addresses.iter().map(|(name, _)| name))
            .collect();
        in_order.sort_unstable_by_key(|name| name.as_wire());
        in_order.dedup();
        in_order.sort_unstable();
        let places = in_order.iter().zip(0..);
        let mut by_octets: Vec<(&[u8], Place)> = places
            .map(|(name, place)| (name.as_wire(), place))
            .collect();
        by_octets.sort_unstable();
        Self {
            in_order,
            by_octets,
        }
    }

    /// Returns the place of a name that was gathered.
    fn place(&self, name: &Name) -> Place {
        self.find(name).expect("every name was gathered")
    }

    /// Returns the place of a name; `None` if it is not among them.
    fn find(&self, name: &Name) -> Option<Place> {
        let found = self
            .by_octets
            .binary_search_by_key(&name.as_wire(), |(octets, _)| octets);
        found.ok().map(|at| self.by_octets[at].1)
    }

    /// Returns the name at a place.
    fn name(&self, place: Place) -> Name {
        self.in_order[place as usize].clone()
    }
}

/// What happens at one instant.
#[derive(Default)]
struct Event {
    moment: Option<Moment>,
    names: [Vec<Place>; 2],
    addresses: [Vec<(Place, IpAddr)>; 2],
    known_names: Vec<Place>,
    known_addresses: Vec<(Place, IpAddr)>,
}

/// A set that goes on through a short absence.
#[derive(Clone)]
struct Held<T> {
    active: BTreeSet<T>,
    empty_since: Option<Timestamp>,
    /// When it began anew without a change.
    begun_anew: Vec<Timestamp>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self {
            active: BTreeSet::new(),
            empty_since: None,
            begun_anew: Vec::new(),
        }
    }
}

/// The sets before and after an instant.
struct Step {
    moment: Moment,
    on_address_plane: bool,
    names_before: BTreeSet<Place>,
    names_after: BTreeSet<Place>,
    addresses_before: BTreeSet<(Place, IpAddr)>,
    addresses_after: BTreeSet<(Place, IpAddr)>,
    names_changed: bool,
    /// The names whose addresses changed.
    changed_hosts: BTreeSet<Place>,
    /// Of these, those that had none and took over from others.
    begun_hosts: BTreeSet<Place>,
    /// What gave way to them.
    taken_over: Departure,
}

impl Step {
    /// Returns whether a name is in the set before and in that after.
    fn is_kept(&self, name: &Place) -> bool {
        self.on_address_plane
            || (self.names_before.contains(name) && self.names_after.contains(name))
    }

    /// Leaves the names whose addresses changed while they were in the set.
    fn keep_hosts(&mut self) {
        let [mut changed, mut begun] =
            [&mut self.changed_hosts, &mut self.begun_hosts].map(std::mem::take);
        changed.retain(|name| self.is_kept(name));
        // Of a set of names of which few have addresses at a time, others take over.
        begun.retain(|name| self.taken_over.is_some() && self.is_kept(name));
        changed.extend(&begun);
        (self.changed_hosts, self.begun_hosts) = (changed, begun);
    }
}

/// What became of a [`Held`] set.
enum Became {
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
    fn ended_at(&self, now: Timestamp, absence_max: Span) -> Option<Timestamp> {
        let ended_at = self.empty_since.map(|since| since + absence_max);
        ended_at.filter(|ended_at| now > *ended_at)
    }

    /// Moves the set to `after`.
    fn become_set(&mut self, after: &BTreeSet<T>, at: Timestamp, absence_max: Span) -> Became {
        if after.is_empty() {
            if !self.active.is_empty() {
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

/// Returns what an address counts as: itself, or its /48 for IPv6.
pub(super) fn address_key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let octets = address.octets();
            let mut prefix = [0; 16];
            prefix[..6].copy_from_slice(&octets[..6]);
            IpAddr::V6(prefix.into())
        }
    }
}

/// Replays an entity's history.
pub(super) fn replay(input: &Replay<'_>) -> Timeline {
    let names = Names::of(input);
    let mut walk = Walk::new(input, &names);
    walk.learn_left_out();
    for (_, event) in collect_events(input, &names) {
        walk.step(event);
    }
    if let Some(reset_at) = input
        .reset_at
        .filter(|reset| !walk.is_reset && *reset <= input.now)
    {
        walk.begin_anew(reset_at);
    }
    walk.finish()
}

/// Sorts the ends of all intervals into instants.
fn collect_events(input: &Replay<'_>, all: &Names<'_>) -> BTreeMap<(Timestamp, i64), Event> {
    let mut events: BTreeMap<(Timestamp, i64), Event> = BTreeMap::new();
    for stay in input.names.unwrap_or_default() {
        let place = all.place(&stay.value);
        if let Some(event) = event_at(&mut events, &stay.added, input.now) {
            if stay.baseline {
                &mut event.known_names
            } else {
                &mut event.names[1]
            }
            .push(place);
        }
        if let Some(event) = stay
            .removed
            .as_ref()
            .and_then(|removed| event_at(&mut events, removed, input.now))
        {
            event.names[0].push(place);
        }
    }
    for (name, stay) in input.addresses {
        let value = (all.place(name), stay.value);
        if let Some(event) = event_at(&mut events, &stay.added, input.now) {
            if stay.baseline {
                &mut event.known_addresses
            } else {
                &mut event.addresses[1]
            }
            .push(value);
        }
        if let Some(event) = stay
            .removed
            .as_ref()
            .and_then(|removed| event_at(&mut events, removed, input.now))
        {
            event.addresses[0].push(value);
        }
    }
    events
}

/// Returns the event of a moment, made if it is not there; `None` if it is later than `now`.
fn event_at<'a>(
    events: &'a mut BTreeMap<(Timestamp, i64), Event>,
    moment: &Moment,
    now: Timestamp,
) -> Option<&'a mut Event> {
    if moment.at > now {
        return None;
    }
    let event = events.entry(moment.key()).or_default();
    // Where several owners share a version, the delegation's own end knows of the shared move.
    let shared = event
        .moment
        .map_or(0, |known| known.shared_count)
        .max(moment.shared_count);
    event.moment = Some(Moment {
        shared_count: shared,
        ..*moment
    });
    Some(event)
}

/// The state between two instants.
struct Walk<'a> {
    input: &'a Replay<'a>,
    all: &'a Names<'a>,
    raw_names: BTreeSet<Place>,
    raw_addresses: BTreeMap<Place, BTreeSet<IpAddr>>,
    /// The same, for the union of owners.
    raw_pairs: BTreeSet<(Place, IpAddr)>,
    names: Held<Place>,
    addresses: BTreeMap<Place, Held<IpAddr>>,
    seen_names: BTreeSet<Place>,
    seen_addresses: BTreeSet<IpAddr>,
    is_reset: bool,
    points: Vec<ChangePoint>,
    /// The first point that still has its sets.
    detailed_from: usize,
    /// How many values the sets of all points hold.
    detailed_values: usize,
    name_sets: BTreeSet<Vec<Place>>,
    name_presences: Presences<Place>,
    address_presences: Presences<(Place, IpAddr)>,
    union: Union,
    absences: BTreeSet<(Timestamp, bool)>,
}

/// The addresses of all names together, and since when each has been there.
#[derive(Default)]
struct Union {
    set: Held<(Place, IpAddr)>,
    /// When each came; `None` if it was there before.
    since: BTreeMap<(Place, IpAddr), Option<Timestamp>>,
    /// What left since an address came.
    left: Departure,
}

impl Union {
    /// Begins with a set that was there before.
    fn begin(&mut self, set: BTreeSet<(Place, IpAddr)>) {
        self.since = set.iter().map(|value| (*value, None)).collect();
        self.set = Held {
            active: set,
            ..Held::default()
        };
        self.left = Departure::Nothing;
    }

    /// Takes in an address that was there before.
    fn learn(&mut self, value: (Place, IpAddr)) {
        self.set.active.insert(value);
        self.since.insert(value, None);
    }

    /// Moves the set to `after`. Returns what gave way to what came.
    fn step(
        &mut self,
        after: &BTreeSet<(Place, IpAddr)>,
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
struct Presences<T> {
    /// In order of their beginning.
    all: Vec<(T, Presence)>,
    /// Those that have no end yet, with their places among all.
    open: BTreeMap<T, usize>,
    /// Those that were there before they were first told of.
    known: BTreeSet<T>,
    /// Those that left, with when they came (`None` if they were there before) and when they left.
    left: Vec<(T, Option<Timestamp>, Timestamp)>,
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
    fn note(&mut self, after: &BTreeSet<T>, at: Timestamp) {
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
    fn lapse(&mut self, at: Timestamp, is_absent: impl Fn(&T) -> bool) {
        self.end(at, None, is_absent);
    }

    /// Ends those that were absent for too long, and left for those that came at `left_at`.
    fn leave(&mut self, at: Timestamp, left_at: Timestamp, is_absent: impl Fn(&T) -> bool) {
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
    fn departures<S: Ord>(&self, set_of: impl Fn(&T) -> S) -> BTreeMap<(S, Timestamp), Departure> {
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
        for (value, came_at, left_at) in &self.left {
            let Some(came_at) = came_at else { continue };
            if let Some(known) = departures.get_mut(&(set_of(value), *came_at)) {
                *known = stay(Some(*came_at), *left_at).min(*known);
            }
        }
        departures
    }

    /// Forgets all of them.
    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl<'a> Walk<'a> {
    fn new(input: &'a Replay<'a>, all: &'a Names<'a>) -> Self {
        Self {
            input,
            all,
            raw_names: BTreeSet::new(),
            raw_addresses: BTreeMap::new(),
            raw_pairs: BTreeSet::new(),
            names: Held::default(),
            addresses: BTreeMap::new(),
            seen_names: BTreeSet::new(),
            seen_addresses: BTreeSet::new(),
            is_reset: input.reset_at.is_none(),
            points: Vec::new(),
            detailed_from: 0,
            detailed_values: 0,
            name_sets: BTreeSet::new(),
            name_presences: Presences::default(),
            address_presences: Presences::default(),
            union: Union::default(),
            absences: BTreeSet::new(),
        }
    }

    /// Ends what has been absent for too long, and says of each point how long what left had been there.
    fn settle(&mut self) {
        let (now, absence_max) = (self.input.now, self.input.absence_max);
        if let Some(at) = self.names.ended_at(now, absence_max) {
            self.name_presences.lapse(at, |_| true);
            self.address_presences.lapse(at, |_| true);
        }
        let is_union_of_owners = self.input.names.is_none() && self.input.is_union;
        let ended_at = self.union.set.ended_at(now, absence_max);
        if let Some(at) = ended_at.filter(|_| is_union_of_owners) {
            self.address_presences.lapse(at, |_| true);
        }
        let open = self.address_presences.open.keys();
        let hosts: BTreeSet<Place> = open.map(|(host, _)| *host).collect();
        for place in hosts {
            let held = self.addresses.get(&place);
            if let Some(at) = held.and_then(|held| held.ended_at(now, absence_max)) {
                self.address_presences.lapse(at, |(host, _)| *host == place);
            }
        }
        let names = self.name_presences.departures(|_| ());
        let addresses = self.address_presences.departures(|(place, _)| *place);
        for point in &mut self.points {
            let at = point.moment.at;
            let of_names = names.get(&((), at)).copied();
            point.names_departure = of_names.unwrap_or_default();
            for changed in &mut point.changed_hosts {
                let place = self.all.place(&changed.host);
                let of_host = addresses.get(&(place, at)).copied().unwrap_or_default();
                changed.departure = changed.departure.min(of_host);
            }
        }
        excuse_bulk(&mut self.points);
    }

    /// Returns the history, in names.
    fn finish(mut self) -> Timeline {
        self.settle();
        let name = |place: Place| self.all.name(place);
        let addresses_now = self.raw_addresses.iter();
        let addresses_now = addresses_now
            .flat_map(|(place, set)| set.iter().map(move |address| (name(*place), *address)));
        let names = self.name_presences.all.iter();
        let addresses = self.address_presences.all.iter();
        let sets = self.name_sets.iter();
        Timeline {
            name_sets: sets
                .map(|set| set.iter().map(|place| name(*place)).collect())
                .collect(),
            names: names.map(|(place, it)| (name(*place), *it)).collect(),
            addresses: addresses
                .map(|((place, address), it)| ((name(*place), *address), *it))
                .collect(),
            names_now: self.raw_names.iter().map(|place| name(*place)).collect(),
            addresses_now: addresses_now.collect(),
            absences: self.absences,
            points: self.points,
        }
    }

    /// Applies one instant. Takes time for what it touches and for the set that is there, not for what was.
    fn step(&mut self, event: Event) {
        let moment = event.moment.expect("every event is made with its moment");
        let reset_at = self
            .input
            .reset_at
            .filter(|reset| !self.is_reset && moment.at >= *reset);
        // A poll shows later what came with the registration.
        let is_beginning = reset_at.is_some_and(|at| moment.at.since(at) <= self.input.absence_max);
        if let Some(reset_at) = reset_at {
            if is_beginning {
                self.is_reset = true;
                self.forget();
            } else {
                // Registered anew without a change of records: they are where it begins.
                self.begin_anew(reset_at);
            }
        }
        self.learn_known(&event);
        self.apply_raw(&event);
        if is_beginning {
            self.learn_all();
        } else {
            let addresses = event.addresses.iter().flatten();
            let touched = addresses.chain(&event.known_addresses);
            self.compare(moment, touched.map(|(name, _)| *name).collect());
        }
        self.note_presences(moment.at);
    }

    /// Begins at a new registration with the records that are there.
    fn begin_anew(&mut self, at: Timestamp) {
        self.is_reset = true;
        self.forget();
        self.learn_all();
        self.note_presences(at);
    }

    /// Notes what is there from `at` on.
    fn note_presences(&mut self, at: Timestamp) {
        let addresses = self.active_addresses(&self.names.active);
        self.name_presences.note(&self.names.active, at);
        self.address_presences.note(&addresses, at);
    }

    /// Forgets everything before a new registration.
    fn forget(&mut self) {
        self.names = Held::default();
        self.addresses.clear();
        self.seen_names.clear();
        self.seen_addresses.clear();
        self.points.clear();
        (self.detailed_from, self.detailed_values) = (0, 0);
        self.name_sets.clear();
        self.name_presences.clear();
        self.address_presences.clear();
        self.union = Union::default();
        self.absences.clear();
    }

    /// Takes what a part that is left out had as seen before, unless a new registration came later.
    fn learn_left_out(&mut self) {
        let reset_at = self.input.reset_at;
        let part = self.input.left_out;
        let part = part.filter(|part| reset_at.is_none_or(|reset| reset < part.until));
        let Some(part) = part else { return };
        // Of the names only those that come again can be mistaken for new ones.
        let names = part.names.iter().filter_map(|name| self.all.find(name));
        self.seen_names.extend(names);
        let addresses = part.addresses.iter();
        self.seen_addresses
            .extend(addresses.map(|it| address_key(*it)));
    }

    /// Takes in records that were there before they were first told of: no change.
    fn learn_known(&mut self, event: &Event) {
        for name in &event.known_names {
            self.name_presences.known.insert(*name);
            self.raw_names.insert(*name);
            self.names.active.insert(*name);
            self.seen_names.insert(*name);
        }
        for (name, address) in &event.known_addresses {
            self.address_presences.known.insert((*name, *address));
            self.union.learn((*name, *address));
            self.raw_pairs.insert((*name, *address));
            self.raw_addresses
                .entry(*name)
                .or_default()
                .insert(*address);
            self.addresses
                .entry(*name)
                .or_default()
                .active
                .insert(*address);
            self.seen_addresses.insert(address_key(*address));
        }
    }

    /// Moves the sets as the zone has them.
    fn apply_raw(&mut self, event: &Event) {
        for name in &event.names[0] {
            self.raw_names.remove(name);
        }
        self.raw_names.extend(event.names[1].iter());
        for (name, address) in &event.addresses[0] {
            if let Some(set) = self.raw_addresses.get_mut(name) {
                set.remove(address);
            }
            self.raw_pairs.remove(&(*name, *address));
        }
        for (name, address) in &event.addresses[1] {
            self.raw_pairs.insert((*name, *address));
            self.raw_addresses
                .entry(*name)
                .or_default()
                .insert(*address);
        }
    }

    /// Takes the whole present state as known: a domain begins.
    fn learn_all(&mut self) {
        self.names.active.clone_from(&self.raw_names);
        for (name, set) in &self.raw_addresses {
            self.addresses.insert(
                *name,
                Held {
                    active: set.clone(),
                    ..Held::default()
                },
            );
            self.seen_addresses
                .extend(set.iter().map(|address| address_key(*address)));
        }
        self.seen_names.extend(self.raw_names.iter());
        let union = self.raw_union();
        self.union.begin(union);
    }

    /// Returns the addresses that are there of all active names. Takes time for these.
    fn raw_union(&self) -> BTreeSet<(Place, IpAddr)> {
        if self.input.names.is_none() {
            return self.raw_pairs.clone();
        }
        let active = self.names.active.iter();
        let sets = active.filter_map(|place| Some((*place, self.raw_addresses.get(place)?)));
        sets.flat_map(|(place, set)| set.iter().map(move |address| (place, *address)))
            .collect()
    }

    /// Returns the active addresses of the active name servers.
    fn active_addresses(&self, names: &BTreeSet<Place>) -> BTreeSet<(Place, IpAddr)> {
        let of = |name: &Place| {
            self.addresses
                .get(name)
                .map(|held| {
                    held.active
                        .iter()
                        .map(|address| (*name, *address))
                        .collect::<Vec<_>>()
                })
                .unwrap_or_default()
        };
        match self.input.names {
            Some(_) => names.iter().flat_map(of).collect(),
            None if self.input.is_union => self.union.set.active.clone(),
            None => self.addresses.keys().flat_map(of).collect(),
        }
    }

    /// Compares the sets before and after and records a change point. Only the addresses of the names that
    /// are `touched` can have changed.
    fn compare(&mut self, moment: Moment, touched: BTreeSet<Place>) {
        let names_before = self.names.active.clone();
        let addresses_before = self.active_addresses(&names_before);
        let names_became =
            self.names
                .become_set(&self.raw_names, moment.at, self.input.absence_max);
        let [changed_hosts, begun_hosts] = self.step_hosts(moment.at, touched);
        self.end_presences(moment.at, &names_became);
        let names_after = self.names.active.clone();
        let taken_over = self.step_union(moment.at);
        let addresses_after = self.active_addresses(&names_after);
        let mut step = Step {
            moment,
            on_address_plane: self.input.names.is_none(),
            names_before,
            names_after,
            addresses_before,
            addresses_after,
            names_changed: matches!(names_became, Became::Changed | Became::CameBack(_)),
            changed_hosts,
            begun_hosts,
            taken_over,
        };
        step.keep_hosts();
        if step.names_changed || !step.changed_hosts.is_empty() {
            self.record_point(&step);
            self.bound_details();
        }
        self.seen_names.extend(step.names_after);
        let seen = step.addresses_after.iter();
        self.seen_addresses
            .extend(seen.map(|(_, address)| address_key(*address)));
    }

    /// Moves the addresses of the names that are `touched`. Returns those whose set changed, and those whose set began.
    fn step_hosts(&mut self, at: Timestamp, touched: BTreeSet<Place>) -> [BTreeSet<Place>; 2] {
        let mut changed_hosts = BTreeSet::new();
        let mut begun_hosts = BTreeSet::new();
        let on_address_plane = self.input.names.is_none();
        for name in touched {
            let Some(set) = self.raw_addresses.get(&name) else {
                continue;
            };
            let held = self.addresses.entry(name).or_default();
            match held.become_set(set, at, self.input.absence_max) {
                Became::Changed => {
                    changed_hosts.insert(name);
                }
                Became::BeganAnew(ended_at) => {
                    begun_hosts.insert(name);
                    let presences = &mut self.address_presences;
                    presences.lapse(ended_at, |(host, _)| *host == name);
                    if on_address_plane && !self.input.is_union {
                        self.absences.insert((at, true));
                    }
                }
                Became::CameBack(ended_at) => {
                    let presences = &mut self.address_presences;
                    presences.leave(ended_at, at, |(host, _)| *host == name);
                    if on_address_plane {
                        self.absences.insert((at, false));
                    }
                    changed_hosts.insert(name);
                }
                Became::Began => {
                    begun_hosts.insert(name);
                }
                Became::Same => {}
            }
        }
        [changed_hosts, begun_hosts]
    }

    /// Ends what was present before an absence of all names.
    fn end_presences(&mut self, at: Timestamp, names_became: &Became) {
        match *names_became {
            Became::BeganAnew(ended_at) => {
                self.name_presences.lapse(ended_at, |_| true);
                self.address_presences.lapse(ended_at, |_| true);
                self.absences.insert((at, true));
            }
            Became::CameBack(ended_at) => {
                self.name_presences.leave(ended_at, at, |_| true);
                self.address_presences.lapse(ended_at, |_| true);
                self.absences.insert((at, false));
            }
            _ => {}
        }
    }

    /// Records a change point.
    fn record_point(&mut self, step: &Step) {
        let added: Vec<&(Place, IpAddr)> = step
            .addresses_after
            .difference(&step.addresses_before)
            .collect();
        let seen = &self.seen_addresses;
        let mut fresh = BTreeSet::new();
        let mut count_fresh = |counts: &dyn Fn(&Place) -> bool| -> u32 {
            let keys = added.iter().filter(|(name, _)| counts(name));
            let keys = keys.map(|(_, address)| address_key(*address));
            keys.filter(|key| !seen.contains(key) && fresh.insert(*key))
                .count() as u32
        };
        let glue = step.changed_hosts.iter().map(|host| ChangedHost {
            host: self.all.name(*host),
            fresh: count_fresh(&|name| name == host),
            departure: if step.begun_hosts.contains(host) {
                step.taken_over
            } else {
                Departure::Nothing
            },
        });
        let changed: Vec<ChangedHost> = glue.collect();
        let fresh_host_addresses = count_fresh(&|name| !step.is_kept(name));
        let counted = added
            .iter()
            .filter(|(name, _)| step.changed_hosts.contains(name) || !step.is_kept(name));
        let added_keys: BTreeSet<IpAddr> =
            counted.map(|(_, address)| address_key(*address)).collect();
        let is_recent = self.input.now.since(step.moment.at) <= DETAIL_SPAN;
        let names_of = |set: &BTreeSet<Place>| {
            if is_recent {
                set.iter().map(|place| self.all.name(*place)).collect()
            } else {
                Vec::new()
            }
        };
        let addresses_of = |set: &BTreeSet<(Place, IpAddr)>| {
            if is_recent {
                let named = set.iter().map(|(place, it)| (self.all.name(*place), *it));
                named.collect()
            } else {
                Vec::new()
            }
        };
        if is_recent {
            for set in [&step.names_before, &step.names_after] {
                self.name_sets.insert(set.iter().copied().collect());
            }
        }
        self.points.push(ChangePoint {
            moment: step.moment,
            fresh_names: step.names_after.difference(&self.seen_names).count() as u32,
            fresh_host_addresses,
            added_addresses: added_keys.len() as u32,
            names_before: names_of(&step.names_before),
            names_after: names_of(&step.names_after),
            addresses_before: addresses_of(&step.addresses_before),
            addresses_after: addresses_of(&step.addresses_after),
            names_changed: step.names_changed,
            names_departure: Departure::Nothing,
            is_rename: is_rename(
                [&step.names_before, &step.names_after],
                &step.addresses_before,
                &step.addresses_after,
            ) || is_recent && self.is_correction(&step.names_before, &step.names_after),
            changed_hosts: changed,
            is_excused: false,
            has_sets: is_recent,
        });
    }

    /// Moves the union of addresses. Returns what gave way to what came.
    fn step_union(&mut self, at: Timestamp) -> Departure {
        let is_union = self.input.is_union;
        if !is_union && self.input.names.is_none() {
            return Departure::Nothing;
        }
        let absence_max = self.input.absence_max;
        let union = self.raw_union();
        let ended_at = self.union.set.ended_at(at, absence_max);
        let ended_at = ended_at.filter(|_| !union.is_empty());
        let left = self.union.step(&union, at, absence_max);
        if let Some(ended_at) = ended_at {
            self.absences.insert((at, !left.is_some()));
            // What was absent for too long did not give way to what begins now.
            if self.input.names.is_none() {
                self.address_presences.lapse(ended_at, |_| true);
            }
        }
        left
    }

    /// Returns whether every name that came is a slip of the finger away from one that left.
    fn is_correction(&self, before: &BTreeSet<Place>, after: &BTreeSet<Place>) -> bool {
        let names = |places: &mut dyn Iterator<Item = &Place>| -> Vec<&Name> {
            let names = places.take(CORRECTED_NAMES_MAX + 1);
            names
                .map(|place| self.all.in_order[*place as usize])
                .collect()
        };
        let came = names(&mut after.difference(before));
        let left = names(&mut before.difference(after));
        let is_slip = |name: &&Name| left.iter().any(|gone| is_slip_of(name, gone));
        !came.is_empty()
            && came.len().max(left.len()) <= CORRECTED_NAMES_MAX
            && came.iter().all(is_slip)
    }

    /// Takes the sets of the oldest points away, as long as all together hold more than
    /// [`DETAIL_VALUES_MAX`] values: what they counted stays.
    fn bound_details(&mut self) {
        self.detailed_values += self.points.last().map_or(0, ChangePoint::value_count);
        while self.detailed_values > DETAIL_VALUES_MAX && self.detailed_from + 1 < self.points.len()
        {
            let oldest = &mut self.points[self.detailed_from];
            self.detailed_values -= oldest.value_count();
            oldest.forget_sets();
            self.detailed_from += 1;
        }
    }
}

/// Excuses the instants of mass changes and of drift, the first [`BULK_7D_MAX`] of any 7 days.
fn excuse_bulk(points: &mut [ChangePoint]) {
    let mut excused: Vec<Timestamp> = Vec::new();
    for point in points {
        let at = point.moment.at;
        let recent = excused.iter().rev();
        let recent = recent.take_while(|it| at.since(**it) < Span::days(7));
        let has_room = recent.count() < BULK_7D_MAX;
        point.is_excused = point.moment.is_excused() && has_room;
        if point.is_excused {
            excused.push(at);
        }
    }
}

/// Returns whether every name that came has addresses, and only such as another name had before.
fn is_rename(
    [names_before, names_after]: [&BTreeSet<Place>; 2],
    addresses_before: &BTreeSet<(Place, IpAddr)>,
    addresses_after: &BTreeSet<(Place, IpAddr)>,
) -> bool {
    let known: BTreeSet<IpAddr> = addresses_before.iter().map(|(_, it)| *it).collect();
    let mut came = names_after.difference(names_before).peekable();
    let [first, last] = [
        IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::from([0xff_u8; 16]),
    ];
    let keeps_addresses = |name: &Place| {
        // A range, for whoever fluxes decides how many names there are.
        let own = addresses_after.range((*name, first)..=(*name, last));
        let mut own = own.peekable();
        own.peek().is_some() && own.all(|(_, address)| known.contains(address))
    };
    came.peek().is_some() && came.all(keeps_addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn third_return_from_a_long_absence_as_another_is_a_change_and_the_same_set_never_is() {
        let turns = |same: bool| -> Vec<Stay<Name>> {
            let host = |turn: i64| {
                if same {
                    name("ns1.a.test")
                } else {
                    name(&format!("ns{turn}.a.test"))
                }
            };
            (0..5)
                .map(|turn| stay(host(turn), turn * 30, Some(turn * 30 + 4)))
                .collect()
        };
        let names = turns(false);
        let timeline = points(&names, &[], 200);
        let hours: Vec<i64> = timeline
            .points
            .iter()
            .map(|it| it.moment.version_id)
            .collect();
        assert_eq!(hours, [90, 120]);
        assert!(
            timeline.points[0]
                .names_departure
                .is_within(Span::hours(96))
        );
        let absences: Vec<bool> = timeline.absences.iter().map(|(_, it)| *it).collect();
        assert_eq!(absences, [true, true, false, false]);
        assert!(points(&turns(true), &[], 200).points.is_empty());
    }

    fn moment(hour: i64) -> Moment {
        Moment {
            version_id: hour,
            at: Timestamp::from_unix(hour * 3600),
            serial: None,
            bulk: false,
            drift: false,
            shared_count: 0,
        }
    }

    fn stay<T>(value: T, added: i64, removed: Option<i64>) -> Stay<T> {
        let baseline = added == 0;
        Stay {
            value,
            added: moment(added),
            removed: removed.map(moment),
            baseline,
        }
    }

    fn name(text: &str) -> Name {
        Name::parse(text).expect("the test's name is valid")
    }

    /// Replays name servers up to an hour.
    fn points(names: &[Stay<Name>], addresses: &[(Name, Stay<IpAddr>)], now: i64) -> Timeline {
        replay(&Replay {
            names: Some(names),
            addresses,
            reset_at: None,
            absence_max: Span::hours(24),
            is_union: false,
            now: Timestamp::from_unix(now * 3600),
            left_out: None,
        })
    }

    #[test]
    fn baseline_and_first_set_are_no_change() {
        let names = [stay(name("a.test"), 0, None)];
        assert_eq!(points(&names, &[], 9).points, []);
        let names = [stay(name("a.test"), 5, None)];
        assert_eq!(points(&names, &[], 9).points, []);
    }

    #[test]
    fn short_absence_is_a_change_and_a_long_one_a_new_beginning() {
        let gone_for = |hours: i64| {
            let names = [
                stay(name("a.test"), 0, Some(10)),
                stay(name("b.test"), 10 + hours, None),
            ];
            points(&names, &[], 100).points.len()
        };
        assert_eq!((gone_for(1), gone_for(24), gone_for(25)), (1, 1, 0));
    }

    #[test]
    fn names_and_glue_of_one_version_are_one_instant() {
        let names = [
            stay(name("ns1.a.test"), 0, Some(4)),
            stay(name("ns2.a.test"), 4, None),
            stay(name("ns3.a.test"), 0, None),
        ];
        let address = |text: &str| text.parse::<IpAddr>().expect("valid");
        let addresses = [
            (name("ns1.a.test"), stay(address("192.0.2.1"), 0, Some(4))),
            (name("ns2.a.test"), stay(address("192.0.2.2"), 4, None)),
            (name("ns3.a.test"), stay(address("192.0.2.3"), 0, Some(4))),
            (name("ns3.a.test"), stay(address("192.0.2.4"), 4, None)),
        ];
        let found = points(&names, &addresses, 9).points;
        assert_eq!(found.len(), 1);
        assert_eq!(
            (
                found[0].fresh_names,
                found[0].fresh_glue(),
                found[0].fresh_host_addresses
            ),
            (1, 1, 1)
        );
    }

    #[test]
    fn values_that_come_back_are_not_fresh_and_what_comes_later_is_not_seen() {
        let names = [
            stay(name("a.test"), 0, Some(2)),
            stay(name("b.test"), 2, Some(4)),
            stay(name("a.test"), 4, Some(6)),
            stay(name("c.test"), 6, None),
        ];
        let fresh: Vec<u32> = points(&names, &[], 9)
            .points
            .iter()
            .map(|point| point.fresh_names)
            .collect();
        assert_eq!(fresh, [1, 0, 1]);
        assert_eq!(points(&names, &[], 5).points.len(), 2);
    }

    #[test]
    fn what_leaves_soon_is_told_from_what_was_there_for_long() {
        let names = [
            stay(name("old.test"), 0, Some(200)),
            stay(name("b.test"), 200, Some(212)),
            stay(name("c.test"), 212, None),
            stay(name("more.test"), 300, None),
        ];
        let found: Vec<Departure> = points(&names, &[], 400)
            .points
            .iter()
            .map(|point| point.names_departure)
            .collect();
        let half_a_day = Departure::After(Span::hours(12));
        // What replaced the old name was gone after 12 hours, so that was no move for good.
        assert_eq!(found, [half_a_day, half_a_day, Departure::Nothing]);
        let found = points(&names[..1], &[], 400).points;
        assert_eq!(found, [], "gone, and nothing came");
        let moved = [
            stay(name("old.test"), 0, Some(200)),
            stay(name("b.test"), 200, None),
        ];
        let found = points(&moved, &[], 400).points;
        assert_eq!(found[0].names_departure, Departure::OfBaseline);
    }

    #[test]
    fn name_server_that_takes_over_from_another_is_a_change() {
        let hosts: Vec<Name> = (0..4).map(|n| name(&format!("ns{n}.a.test"))).collect();
        let names: Vec<Stay<Name>> = hosts.iter().map(|it| stay(it.clone(), 0, None)).collect();
        // Each has an address for 10 hours and is back after 40, with another.
        let addresses: Vec<(Name, Stay<IpAddr>)> = (0..12_i64)
            .map(|turn| {
                let address = IpAddr::from([192, 0, 2, turn as u8]);
                let from = 10 + turn * 10;
                (
                    hosts[turn as usize % 4].clone(),
                    stay(address, from, Some(from + 10)),
                )
            })
            .collect();
        let found = points(&names, &addresses, 125).points;
        let fresh: u32 = found.iter().map(ChangePoint::fresh_glue).sum();
        assert_eq!((found.len(), fresh), (11, 11), "{found:?}");
        let is_soon = |point: &ChangePoint| {
            let mut changed = point.changed_hosts.iter();
            changed.all(|it| it.departure == Departure::After(Span::hours(10)))
        };
        assert!(found.iter().all(is_soon), "{found:?}");
    }

    #[test]
    fn set_that_is_absent_is_there_for_as_long_as_is_waited_and_no_longer() {
        let names = [stay(name("a.test"), 5, Some(10))];
        let end_at = |now: i64| points(&names, &[], now).names[0].1.to;
        assert_eq!(end_at(20), None);
        assert_eq!(end_at(500), Some(Timestamp::from_unix(34 * 3600)));
    }

    #[test]
    fn fifth_mass_change_of_a_week_excuses_nobody() {
        let mut names: Vec<Stay<Name>> = (0..8)
            .map(|n| stay(name(&format!("ns.x{n}.test")), n * 10, Some(n * 10 + 10)))
            .collect();
        for it in &mut names {
            it.added.bulk = true;
            it.removed.as_mut().expect("each left").bulk = true;
        }
        let found = points(&names, &[], 75).points;
        let excused: Vec<bool> = found.iter().map(|it| it.is_excused).collect();
        assert_eq!(excused, [true, true, true, true, false, false, false]);
    }

    #[test]
    fn addresses_of_one_48_are_one_value() {
        let names = [stay(name("ns.a.test"), 0, None)];
        let address = |text: &str| text.parse::<IpAddr>().expect("valid");
        let addresses = [
            (
                name("ns.a.test"),
                stay(address("2001:db8:1::1"), 0, Some(3)),
            ),
            (
                name("ns.a.test"),
                stay(address("2001:db8:1:9::2"), 3, Some(6)),
            ),
            (name("ns.a.test"), stay(address("2001:db8:2::1"), 6, None)),
        ];
        let fresh: Vec<u32> = points(&names, &addresses, 9)
            .points
            .iter()
            .map(ChangePoint::fresh_glue)
            .collect();
        assert_eq!(fresh, [0, 1]);
    }

    #[test]
    fn replay_of_the_newest_part_says_of_it_what_the_whole_says() {
        // Ten addresses in turn, two at a time, and a new one every tenth hour.
        let address = |hour: i64| {
            let last = if hour % 10 == 0 { hour } else { hour % 10 };
            IpAddr::from([192, 0, 2, last as u8])
        };
        let host = name("ns.a.test");
        let names = [stay(host.clone(), 0, None)];
        let all: Vec<(Name, Stay<IpAddr>)> = (0..200)
            .map(|hour| (host.clone(), stay(address(hour), hour, Some(hour + 2))))
            .collect();
        let cut = 100;
        let mut newest = all.clone();
        newest.retain(|(_, stay)| stay.removed.is_some_and(|end| end.version_id > cut));
        for (_, stay) in &mut newest {
            stay.baseline |= stay.added.version_id <= cut;
        }
        let part = LeftOut {
            addresses: (0..cut - 1).map(address).collect(),
            ..LeftOut::until(moment(cut).at)
        };
        let replayed = |addresses: &[(Name, Stay<IpAddr>)], left_out: Option<&LeftOut>| {
            let timeline = replay(&Replay {
                names: Some(&names),
                addresses,
                reset_at: None,
                absence_max: Span::hours(24),
                is_union: false,
                now: moment(199).at,
                left_out,
            });
            let points = timeline.points.into_iter();
            // How long what is there at the cut has been there is not known.
            points
                .filter(|point| point.moment.version_id > cut + 2)
                .collect::<Vec<_>>()
        };
        let whole = replayed(&all, None);
        assert_eq!(replayed(&newest, Some(&part)), whole);
        let unknown = LeftOut::until(part.until);
        assert_ne!(
            replayed(&newest, Some(&unknown)),
            whole,
            "nothing was seen before"
        );
    }

    #[test]
    fn sets_of_a_long_history_are_bounded_and_the_newest_stay() {
        let host = name("ns.a.test");
        let names = [stay(host.clone(), 0, None)];
        // A set of 60 that loses one and gets one at every instant: 120 values a change.
        let addresses: Vec<(Name, Stay<IpAddr>)> = (1..1200)
            .map(|i| {
                let [.., high, low] = (i as u32).to_be_bytes();
                let mut one = stay(IpAddr::from([10, 0, high, low]), i, Some(i + 60));
                for end in [Some(&mut one.added), one.removed.as_mut()]
                    .into_iter()
                    .flatten()
                {
                    end.at = Timestamp::from_unix(end.version_id);
                }
                (host.clone(), one)
            })
            .collect();
        let points = points(&names, &addresses, 1).points;
        let values: usize = points.iter().map(ChangePoint::value_count).sum();
        assert!(values <= DETAIL_VALUES_MAX, "{values} values");
        assert!(points.last().is_some_and(|point| point.has_sets));
        assert!(!points[0].has_sets && points[0].added_addresses == 1);
    }
}
