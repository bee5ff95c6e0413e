//! From intervals to change points: what an entity's set was before and after each instant.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

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
    /// The name servers that stayed and whose addresses differ (on the address plane the owner),
    /// each with how many of its new addresses were never seen before.
    pub changed_hosts: Vec<(Name, u32)>,
    /// Whether the sets before and after are here.
    pub has_sets: bool,
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
        self.changed_hosts.iter().map(|(_, fresh)| fresh).sum()
    }
}

/// Change points older than this carry their counts, not their sets: bounds memory.
const DETAIL_SPAN: Span = Span::days(8);
/// How many values the sets of all change points of an entity hold; the oldest lose theirs first. 100 octets
/// each. Chosen by hand: a set of ten that changes every minute keeps 5,000 changes, more than three days.
const DETAIL_VALUES_MAX: usize = 100_000;

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
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self {
            active: BTreeSet::new(),
            empty_since: None,
        }
    }
}

/// What became of a [`Held`] set.
enum Became {
    /// It is the same, or absent for now.
    Same,
    /// It began.
    Began,
    /// It was another set before.
    Changed,
}

impl<T: Ord + Clone> Held<T> {
    /// Moves the set to `after`.
    fn become_set(&mut self, after: &BTreeSet<T>, at: Timestamp, absence_max: Span) -> Became {
        if after.is_empty() {
            if !self.active.is_empty() {
                self.empty_since.get_or_insert(at);
            }
            return Became::Same;
        }
        let too_long = self
            .empty_since
            .take()
            .is_some_and(|since| at.since(since) > absence_max);
        let before = std::mem::replace(&mut self.active, after.clone());
        if before.is_empty() || too_long {
            Became::Began
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
}

/// When each value was there.
struct Presences<T> {
    /// In order of their beginning.
    all: Vec<(T, Presence)>,
    /// Those that have no end yet, with their places among all.
    open: BTreeMap<T, usize>,
}

impl<T> Default for Presences<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            open: BTreeMap::new(),
        }
    }
}

impl<T: Ord + Clone> Presences<T> {
    /// Ends the presence of what left and begins that of what came: `after` is there from `at` on.
    fn note(&mut self, after: &BTreeSet<T>, at: Timestamp) {
        let all = &mut self.all;
        self.open.retain(|value, place| {
            let stays = after.contains(value);
            if !stays {
                all[*place].1.to = Some(at);
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

    /// Forgets all of them.
    fn clear(&mut self) {
        self.all.clear();
        self.open.clear();
    }
}

impl<'a> Walk<'a> {
    fn new(input: &'a Replay<'a>, all: &'a Names<'a>) -> Self {
        Self {
            input,
            all,
            raw_names: BTreeSet::new(),
            raw_addresses: BTreeMap::new(),
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
        }
    }

    /// Returns the history, in names.
    fn finish(self) -> Timeline {
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
            self.raw_names.insert(*name);
            self.names.active.insert(*name);
            self.seen_names.insert(*name);
        }
        for (name, address) in &event.known_addresses {
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
        }
        for (name, address) in &event.addresses[1] {
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
                    empty_since: None,
                },
            );
            self.seen_addresses
                .extend(set.iter().map(|address| address_key(*address)));
        }
        self.seen_names.extend(self.raw_names.iter());
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
            None => self.addresses.keys().flat_map(of).collect(),
        }
    }

    /// Compares the sets before and after and notes a change point. Only the addresses of the names that
    /// are `touched` can have changed.
    fn compare(&mut self, moment: Moment, touched: BTreeSet<Place>) {
        let names_before = self.names.active.clone();
        let addresses_before = self.active_addresses(&names_before);
        let names_became =
            self.names
                .become_set(&self.raw_names, moment.at, self.input.absence_max);
        let mut changed_hosts = BTreeSet::new();
        for name in touched {
            let Some(set) = self.raw_addresses.get(&name) else {
                continue;
            };
            let held = self.addresses.entry(name).or_default();
            if let Became::Changed = held.become_set(set, moment.at, self.input.absence_max) {
                changed_hosts.insert(name);
            }
        }
        let names_after = self.names.active.clone();
        let addresses_after = self.active_addresses(&names_after);
        let names_changed = matches!(names_became, Became::Changed);
        let on_address_plane = self.input.names.is_none();
        let stays = |name: &Place| {
            on_address_plane || (names_before.contains(name) && names_after.contains(name))
        };
        changed_hosts.retain(stays);
        if names_changed || !changed_hosts.is_empty() {
            let added: Vec<&(Place, IpAddr)> =
                addresses_after.difference(&addresses_before).collect();
            let seen = &self.seen_addresses;
            let mut fresh = BTreeSet::new();
            let mut count_fresh = |counts: &dyn Fn(&Place) -> bool| -> u32 {
                let keys = added.iter().filter(|(name, _)| counts(name));
                let keys = keys.map(|(_, address)| address_key(*address));
                keys.filter(|key| !seen.contains(key) && fresh.insert(*key))
                    .count() as u32
            };
            let glue = changed_hosts
                .iter()
                .map(|host| (self.all.name(*host), count_fresh(&|name| name == host)));
            let changed: Vec<(Name, u32)> = glue.collect();
            let fresh_host_addresses = count_fresh(&|name| !stays(name));
            let counted = added
                .iter()
                .filter(|(name, _)| changed_hosts.contains(name) || !stays(name));
            let added_keys: BTreeSet<IpAddr> =
                counted.map(|(_, address)| address_key(*address)).collect();
            let is_recent = self.input.now.since(moment.at) <= DETAIL_SPAN;
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
                for set in [&names_before, &names_after] {
                    self.name_sets.insert(set.iter().copied().collect());
                }
            }
            self.points.push(ChangePoint {
                moment,
                fresh_names: names_after.difference(&self.seen_names).count() as u32,
                fresh_host_addresses,
                added_addresses: added_keys.len() as u32,
                names_before: names_of(&names_before),
                names_after: names_of(&names_after),
                addresses_before: addresses_of(&addresses_before),
                addresses_after: addresses_of(&addresses_after),
                names_changed,
                changed_hosts: changed,
                has_sets: is_recent,
            });
            self.bound_details();
        }
        self.seen_names.extend(names_after);
        self.seen_addresses.extend(
            addresses_after
                .iter()
                .map(|(_, address)| address_key(*address)),
        );
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

#[cfg(test)]
mod tests {
    use super::*;

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
                now: moment(199).at,
                left_out,
            });
            let points = timeline.points.into_iter();
            points
                .filter(|point| point.moment.version_id > cut)
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
