//! Replays the history of an entity: from instants to change points.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::detector::alike::is_slip_of;
use crate::detector::events::{Event, Names, Place, collect_events};
use crate::detector::held::{Became, Held, Presences, Union};
use crate::detector::sorted::Sorted;
use crate::detector::timeline::{
    BULK_7D_MAX, ChangePoint, ChangedHost, Departure, Moment, Replay, Timeline, address_key,
};
use crate::dns::Name;
use crate::time::{Span, Timestamp};

/// Change points older than this carry their counts, not their sets: bounds memory.
const DETAIL_SPAN: Span = Span::days(8);

/// How many values the sets of all change points of an entity hold; the oldest lose theirs first. 100 octets
/// each. Chosen by hand: a set of ten that changes every minute keeps 5,000 changes, more than three days.
const DETAIL_VALUES_MAX: usize = 100_000;

/// The most names that came at an instant of which it is asked whether they correct others: more are no slip.
const CORRECTED_NAMES_MAX: usize = 13;

/// The sets before and after an instant.
struct Step {
    moment: Moment,
    on_address_plane: bool,
    names_before: Sorted<Place>,
    names_after: Sorted<Place>,
    addresses_before: Sorted<(Place, IpAddr)>,
    addresses_after: Sorted<(Place, IpAddr)>,
    names_changed: bool,
    /// The names whose addresses changed.
    changed_hosts: Sorted<Place>,
    /// Of these, those that had none and took over from others.
    begun_hosts: Sorted<Place>,
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
        changed.extend(begun.iter().copied());
        (self.changed_hosts, self.begun_hosts) = (changed, begun);
    }
}

/// Replays an entity's history.
pub(super) fn replay(input: &Replay<'_>) -> Timeline {
    let names = Names::of(input);
    let mut walk = Walk::new(input, &names);
    walk.learn_left_out();
    for event in collect_events(input, &names) {
        walk.step(&event);
    }
    if let Some(reset_at) = input
        .reset_at
        .filter(|reset| !walk.is_reset && *reset <= input.now)
    {
        // No version came after the registration: the records of before it are where the domain begins.
        walk.begin_anew(reset_at);
    }
    walk.finish()
}

/// The state between two instants.
struct Walk<'a> {
    input: &'a Replay<'a>,
    all: &'a Names<'a>,
    raw_names: Sorted<Place>,
    raw_addresses: BTreeMap<Place, Sorted<IpAddr>>,
    /// The same, where there are no name servers: for the union of owners.
    raw_pairs: Sorted<(Place, IpAddr)>,
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
    /// The sets that were listed last: most points begin with what the one before ended with.
    listed_names: (Sorted<Place>, Arc<[Name]>),
    listed_addresses: (Sorted<(Place, IpAddr)>, Arc<[(Name, IpAddr)]>),
    name_sets: BTreeSet<Sorted<Place>>,
    name_presences: Presences<Place>,
    address_presences: Presences<(Place, IpAddr)>,
    union: Union,
    absences: BTreeSet<(Timestamp, bool)>,
}

impl<'a> Walk<'a> {
    fn new(input: &'a Replay<'a>, all: &'a Names<'a>) -> Self {
        Self {
            input,
            all,
            raw_names: Sorted::default(),
            raw_addresses: BTreeMap::new(),
            raw_pairs: Sorted::default(),
            names: Held::default(),
            addresses: BTreeMap::new(),
            seen_names: BTreeSet::new(),
            seen_addresses: BTreeSet::new(),
            is_reset: input.reset_at.is_none(),
            points: Vec::new(),
            detailed_from: 0,
            detailed_values: 0,
            listed_names: Default::default(),
            listed_addresses: Default::default(),
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
        // An absence that nothing ended by an event ends here, at the time that is judged.
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
                // The shortest stay counts: what left soonest shows the rotation.
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
    fn step(&mut self, event: &Event) {
        let moment = event.moment;
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
        // Before the changes: what was there before it was told of is no change, whatever else the version does.
        self.learn_known(event);
        self.apply_raw(event);
        if is_beginning {
            self.learn_all();
            self.record_presences(moment.at);
        } else {
            let addresses = event.addresses.iter().flatten();
            let touched = addresses.chain(&event.known_addresses);
            let touched = touched.map(|(name, _)| *name).collect();
            let addresses_after = self.compare(moment, touched);
            self.note_presences(&addresses_after, moment.at);
        }
    }

    /// Begins at a new registration with the records that are there.
    fn begin_anew(&mut self, at: Timestamp) {
        self.is_reset = true;
        self.forget();
        self.learn_all();
        self.record_presences(at);
    }

    /// Notes what is there from `at` on.
    fn record_presences(&mut self, at: Timestamp) {
        let addresses = self.active_addresses(&self.names.active);
        self.note_presences(&addresses, at);
    }

    /// Notes that the active names and these addresses are there from `at` on.
    fn note_presences(&mut self, addresses: &Sorted<(Place, IpAddr)>, at: Timestamp) {
        self.name_presences.note(&self.names.active, at);
        self.address_presences.note(addresses, at);
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
        let (names, addresses) = (&event.known_names, &event.known_addresses);
        self.name_presences.known.extend(names);
        self.raw_names.extend(names.iter().copied());
        self.names.active.extend(names.iter().copied());
        self.seen_names.extend(names);
        self.address_presences.known.extend(addresses);
        self.union.learn(addresses);
        if self.input.names.is_none() {
            self.raw_pairs.extend(addresses.iter().copied());
        }
        for (name, of_name) in by_name(addresses) {
            let raw = self.raw_addresses.entry(name).or_default();
            raw.extend(of_name.iter().copied());
            let held = self.addresses.entry(name).or_default();
            held.active.extend(of_name);
        }
        let keys = addresses.iter().map(|(_, address)| address_key(*address));
        self.seen_addresses.extend(keys);
    }

    /// Moves the sets as the zone has them.
    fn apply_raw(&mut self, event: &Event) {
        let [left, came] = &event.names;
        self.raw_names.remove_all(left.iter().copied());
        self.raw_names.extend(came.iter().copied());
        let [left, came] = &event.addresses;
        for (name, of_name) in by_name(left) {
            if let Some(set) = self.raw_addresses.get_mut(&name) {
                set.remove_all(of_name);
            }
        }
        for (name, of_name) in by_name(came) {
            self.raw_addresses.entry(name).or_default().extend(of_name);
        }
        if self.input.names.is_none() {
            self.raw_pairs.remove_all(left.iter().copied());
            self.raw_pairs.extend(came.iter().copied());
        }
    }

    /// Takes the whole present state as known: a domain begins.
    fn learn_all(&mut self) {
        self.names.active = self.raw_names.clone();
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
    fn raw_union(&self) -> Sorted<(Place, IpAddr)> {
        if self.input.names.is_none() {
            return self.raw_pairs.clone();
        }
        let active = self.names.active.iter();
        let sets = active.filter_map(|place| Some((*place, self.raw_addresses.get(place)?)));
        sets.flat_map(|(place, set)| set.iter().map(move |address| (place, *address)))
            .collect()
    }

    /// Returns the active addresses of the active name servers.
    fn active_addresses(&self, names: &Sorted<Place>) -> Sorted<(Place, IpAddr)> {
        let pairs = |name: Place, held: &'_ Held<IpAddr>| -> Vec<(Place, IpAddr)> {
            held.active.iter().map(|address| (name, *address)).collect()
        };
        match self.input.names {
            Some(_) => {
                let held = names.iter();
                let held = held.filter_map(|name| Some((*name, self.addresses.get(name)?)));
                held.flat_map(|(name, held)| pairs(name, held)).collect()
            }
            None if self.input.is_union => self.union.set.active.clone(),
            None => {
                let held = self.addresses.iter();
                held.flat_map(|(name, held)| pairs(*name, held)).collect()
            }
        }
    }

    /// Compares the sets before and after and records a change point. Only the addresses of the names that
    /// are `touched` can have changed. Returns the active addresses after.
    fn compare(&mut self, moment: Moment, touched: Sorted<Place>) -> Sorted<(Place, IpAddr)> {
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
        // An instant that only names servers without addresses in common, or touches others' hosts, changes nothing
        // here.
        if step.names_changed || !step.changed_hosts.is_empty() {
            self.record_point(&step);
            self.bound_details();
        }
        // After the point was recorded: a value is fresh at the instant at which it comes. What was there before has
        // been seen.
        let came = step.names_after.difference(&step.names_before);
        self.seen_names.extend(came);
        let came = step.addresses_after.difference(&step.addresses_before);
        self.seen_addresses
            .extend(came.map(|(_, address)| address_key(*address)));
        step.addresses_after
    }

    /// Moves the addresses of the names that are `touched`. Returns those whose set changed, and those whose set began.
    fn step_hosts(&mut self, at: Timestamp, touched: Sorted<Place>) -> [Sorted<Place>; 2] {
        let mut changed_hosts = Sorted::default();
        let mut begun_hosts = Sorted::default();
        let on_address_plane = self.input.names.is_none();
        for name in touched.iter().copied() {
            let Some(set) = self.raw_addresses.get(&name) else {
                continue;
            };
            // Only names that are touched come here: a version costs what it changes, not what the entity has.
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
        if is_recent {
            for set in [&step.names_before, &step.names_after] {
                if !self.name_sets.contains(set) {
                    self.name_sets.insert(set.clone());
                }
            }
        }
        let [names_before, names_after] = match is_recent {
            true => [&step.names_before, &step.names_after].map(|set| self.list_names(set)),
            false => Default::default(),
        };
        let [addresses_before, addresses_after] = match is_recent {
            true => {
                [&step.addresses_before, &step.addresses_after].map(|set| self.list_addresses(set))
            }
            false => Default::default(),
        };
        let names = step.names_after.iter();
        let fresh_names = names.filter(|it| !self.seen_names.contains(it)).count();
        self.points.push(ChangePoint {
            moment: step.moment,
            fresh_names: fresh_names as u32,
            fresh_host_addresses,
            added_addresses: added_keys.len() as u32,
            names_before,
            names_after,
            addresses_before,
            addresses_after,
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

    /// Returns a set of names as a change point has it.
    fn list_names(&mut self, set: &Sorted<Place>) -> Arc<[Name]> {
        if self.listed_names.0 != *set {
            let names = set.iter().map(|place| self.all.name(*place));
            self.listed_names = (set.clone(), names.collect());
        }
        Arc::clone(&self.listed_names.1)
    }

    /// Returns a set of addresses as a change point has it.
    fn list_addresses(&mut self, set: &Sorted<(Place, IpAddr)>) -> Arc<[(Name, IpAddr)]> {
        if self.listed_addresses.0 != *set {
            let named = set.iter().map(|(place, it)| (self.all.name(*place), *it));
            self.listed_addresses = (set.clone(), named.collect());
        }
        Arc::clone(&self.listed_addresses.1)
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
    fn is_correction(&self, before: &Sorted<Place>, after: &Sorted<Place>) -> bool {
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

/// Returns the addresses of each name.
fn by_name(pairs: &[(Place, IpAddr)]) -> BTreeMap<Place, Vec<IpAddr>> {
    let mut by_name: BTreeMap<Place, Vec<IpAddr>> = BTreeMap::new();
    for (name, address) in pairs {
        by_name.entry(*name).or_default().push(*address);
    }
    by_name
}

/// Returns whether every name that came has addresses, and only such as another name had before.
pub(super) fn is_rename(
    [names_before, names_after]: [&Sorted<Place>; 2],
    addresses_before: &Sorted<(Place, IpAddr)>,
    addresses_after: &Sorted<(Place, IpAddr)>,
) -> bool {
    let known: Sorted<IpAddr> = addresses_before.iter().map(|(_, it)| *it).collect();
    let mut came = names_after.difference(names_before).peekable();
    let [first, last] = [
        IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::from([0xff_u8; 16]),
    ];
    let keeps_addresses = |name: &Place| {
        // A range, for whoever fluxes decides how many names there are.
        let mut own = addresses_after.range((*name, first), (*name, last));
        own.len() > 0 && own.all(|(_, address)| known.contains(address))
    };
    came.peek().is_some() && came.all(keeps_addresses)
}

#[cfg(test)]
mod tests;
