//! Replays the history of an entity: from instants to change points.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::detector::alike::is_slip_of;
use crate::detector::events::{Event, Pair, Place, Spot, Values, each_event};
use crate::detector::held::{Became, Held, Presences, Union};
use crate::detector::sorted::Sorted;
use crate::detector::timeline::{
    BULK_7D_MAX, ChangePoint, ChangedHost, Departure, Instant, Moment, NO_VERSION, Replay, Timeline,
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
    addresses_before: Sorted<Spot>,
    addresses_after: Sorted<Spot>,
    names_changed: bool,
    /// The names whose addresses changed, in order.
    changed_hosts: Vec<Place>,
    /// Of these, those that had none and took over from others.
    begun_hosts: Vec<Place>,
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
        changed.extend_from_slice(&begun);
        changed.sort_unstable();
        (self.changed_hosts, self.begun_hosts) = (changed, begun);
    }
}

/// Replays an entity's history.
pub(super) fn replay(input: &Replay<'_>) -> Timeline {
    let values = Values::of(input);
    let mut walk = Walk::new(input, &values);
    walk.learn_left_out();
    each_event(input, &values, |event| walk.step(event));
    if let Some(reset_at) = input
        .reset_at
        .filter(|reset| !walk.is_reset && *reset <= input.now)
    {
        // No version came after the registration: the records of before it are where the domain begins.
        walk.begin_anew(reset_at);
    }
    walk.finish()
}

/// Hosts with their addresses, shared by the change points that have the same.
type NamedAddresses = Arc<[(Name, IpAddr)]>;

/// Marks of values that were met since they were last forgotten.
struct Met {
    marks: Vec<u32>,
    mark: u32,
}

impl Met {
    /// Returns one of so many values, of which none was met.
    fn of(count: usize) -> Self {
        Self {
            marks: vec![0; count],
            mark: 0,
        }
    }

    /// Forgets those that were met.
    fn forget(&mut self) {
        self.mark += 1;
    }

    /// Notes that a value is met. Returns whether it is for the first time.
    fn is_first(&mut self, value: u32) -> bool {
        std::mem::replace(&mut self.marks[value as usize], self.mark) != self.mark
    }

    /// Returns whether a value was met.
    fn has(&self, value: u32) -> bool {
        self.marks[value as usize] == self.mark
    }
}

/// The state between two instants.
struct Walk<'a> {
    input: &'a Replay<'a>,
    all: &'a Values<'a>,
    raw_names: Sorted<Place>,
    /// By the places of names.
    raw_addresses: Vec<Sorted<Spot>>,
    /// The same, where there are no name servers: for the union of owners.
    raw_pairs: Sorted<Spot>,
    /// The addresses that are there of all active names, as long as neither changed.
    raw_union: Option<Sorted<Spot>>,
    names: Held<Place>,
    /// By the places of names.
    addresses: Vec<Held<Spot>>,
    /// The active addresses of the active names, as long as neither changed.
    active: Option<Sorted<Spot>>,
    /// Whether each name was seen.
    seen_names: Vec<bool>,
    /// Whether what addresses count as was seen, by its number.
    seen_addresses: Vec<bool>,
    is_reset: bool,
    points: Vec<ChangePoint>,
    /// The names whose addresses changed, of all points, as these have them.
    changed_hosts: Vec<Place>,
    /// The first point that still has its sets.
    detailed_from: usize,
    /// How many values the sets of all points hold.
    detailed_values: usize,
    /// The sets that were listed last: most points begin with what the one before ended with.
    listed_names: (Sorted<Place>, Arc<[Name]>),
    listed_addresses: (Sorted<Spot>, NamedAddresses),
    name_sets: BTreeSet<Sorted<Place>>,
    name_presences: Presences,
    address_presences: Presences,
    union: Union,
    absences: BTreeSet<(Timestamp, bool)>,
    /// What of the addresses of an instant was counted as fresh, as added, and as there before.
    fresh: Met,
    added: Met,
    before: Met,
}

impl<'a> Walk<'a> {
    fn new(input: &'a Replay<'a>, all: &'a Values<'a>) -> Self {
        let (name_count, pair_count) = (all.names.len(), all.pairs.len());
        Self {
            input,
            all,
            raw_names: Sorted::default(),
            raw_addresses: vec![Sorted::default(); name_count],
            raw_pairs: Sorted::default(),
            raw_union: None,
            names: Held::default(),
            addresses: vec![Held::default(); name_count],
            active: None,
            seen_names: vec![false; name_count],
            seen_addresses: vec![false; all.key_count()],
            is_reset: input.reset_at.is_none(),
            points: Vec::new(),
            changed_hosts: Vec::new(),
            detailed_from: 0,
            detailed_values: 0,
            listed_names: Default::default(),
            listed_addresses: Default::default(),
            name_sets: BTreeSet::new(),
            name_presences: Presences::of(name_count),
            address_presences: Presences::of(pair_count),
            union: Union::of(pair_count),
            absences: BTreeSet::new(),
            fresh: Met::of(all.key_count()),
            added: Met::of(all.key_count()),
            before: Met::of(all.number_count),
        }
    }

    /// Returns the name that an address belongs to.
    fn host_of(&self, spot: Spot) -> Place {
        self.all.pair(spot).place
    }

    /// Ends what has been absent for too long, and says of each point how long what left had been there.
    fn settle(&mut self) {
        let (now, absence_max) = (self.input.now, self.input.absence_max);
        // An absence that nothing ended by an event ends here, at the time that is judged.
        if let Some(at) = self.names.ended_at(now, absence_max) {
            // What moved while the set was gone is nobody's, whether it comes back or not.
            self.drop_points(|it| it.moment.at > at - absence_max);
            self.name_presences.lapse(at, |_| true);
            self.address_presences.lapse(at, |_| true);
        }
        let is_union_of_owners = self.input.names.is_none() && self.input.is_union;
        let ended_at = self.union.set.ended_at(now, absence_max);
        if let Some(at) = ended_at.filter(|_| is_union_of_owners) {
            self.address_presences.lapse(at, |_| true);
        }
        let open = self.address_presences.open.iter();
        let mut hosts: Vec<Place> = open.map(|spot| self.host_of(*spot)).collect();
        hosts.dedup();
        for place in hosts {
            let held = &self.addresses[place as usize];
            if let Some(at) = held.ended_at(now, absence_max) {
                let [first, end] = self.all.spots_of(place);
                let is_of_host = |spot: &Spot| (first..end).contains(spot);
                self.address_presences.lapse(at, is_of_host);
            }
        }
        let mut names = self.name_presences.departures(|_| 0);
        let mut addresses = self.address_presences.departures(|spot| self.host_of(spot));
        let mut places = self.changed_hosts.iter();
        for point in &mut self.points {
            let instant = point.moment.instant();
            let of_names = names.find(0, instant).map(|it| *it);
            point.names_departure = of_names.unwrap_or_default();
            for (changed, place) in point.changed_hosts.iter_mut().zip(&mut places) {
                let of_host = addresses.find(*place, instant).map(|it| *it);
                // The shortest stay counts: what left soonest shows the rotation.
                changed.departure = changed.departure.min(of_host.unwrap_or_default());
            }
        }
        excuse_bulk(&mut self.points);
    }

    /// Returns the history, in names.
    fn finish(mut self) -> Timeline {
        self.settle();
        let name = |place: Place| self.all.name(place);
        let raw = self.raw_addresses.iter();
        let pairs = self.all.pairs.iter();
        let sets = self.name_sets.iter();
        Timeline {
            name_sets: sets
                .map(|set| set.iter().map(|place| name(*place)).collect())
                .collect(),
            name_table: self.all.names.iter().map(|it| (*it).clone()).collect(),
            names: self.name_presences.all,
            pair_table: pairs.map(|it| (name(it.place), it.address)).collect(),
            addresses: self.address_presences.all,
            names_now: self.raw_names.iter().map(|place| name(*place)).collect(),
            addresses_now: raw.flatten().copied().collect(),
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
            self.record_presences(moment.instant());
        } else {
            let addresses = event.addresses.iter().flatten();
            let touched = addresses.chain(&event.known_addresses);
            let mut touched: Vec<Place> = touched.map(|spot| self.host_of(*spot)).collect();
            touched.sort_unstable();
            touched.dedup();
            let addresses_after = self.compare(moment, &touched);
            self.note_presences(&addresses_after, moment.instant());
        }
    }

    /// Begins at a new registration with the records that are there.
    fn begin_anew(&mut self, at: Timestamp) {
        self.is_reset = true;
        self.forget();
        self.learn_all();
        self.record_presences((at, NO_VERSION));
    }

    /// Notes what is there from an instant on.
    fn record_presences(&mut self, instant: Instant) {
        let addresses = self.active_addresses();
        self.note_presences(&addresses, instant);
    }

    /// Notes that the active names and these addresses are there from an instant on.
    fn note_presences(&mut self, addresses: &Sorted<Spot>, instant: Instant) {
        self.name_presences.note(&self.names.active, instant);
        self.address_presences.note(addresses, instant);
    }

    /// Forgets everything before a new registration.
    fn forget(&mut self) {
        self.names = Held::default();
        self.addresses.fill(Held::default());
        self.forget_sums();
        self.seen_names.fill(false);
        self.seen_addresses.fill(false);
        self.points.clear();
        self.changed_hosts.clear();
        (self.detailed_from, self.detailed_values) = (0, 0);
        self.name_sets.clear();
        self.name_presences.clear();
        self.address_presences.clear();
        self.union = Union::of(self.all.pairs.len());
        self.absences.clear();
    }

    /// Notes that the addresses of all active names are to be put together anew.
    fn forget_sums(&mut self) {
        (self.active, self.raw_union) = (None, None);
    }

    /// Takes what a part that is left out had as seen before, unless a new registration came later.
    fn learn_left_out(&mut self) {
        let reset_at = self.input.reset_at;
        let part = self.input.left_out;
        let part = part.filter(|part| reset_at.is_none_or(|reset| reset < part.until));
        let Some(part) = part else { return };
        // Only what comes again can be mistaken for something new.
        for place in part.names.iter().filter_map(|name| self.all.find(name)) {
            self.seen_names[place as usize] = true;
        }
        for key in part
            .addresses
            .iter()
            .filter_map(|it| self.all.find_key(*it))
        {
            self.seen_addresses[key as usize] = true;
        }
    }

    /// Notes that names were seen.
    fn see_names(&mut self, names: &[Place]) {
        for place in names {
            self.seen_names[*place as usize] = true;
        }
    }

    /// Notes that addresses were seen.
    fn see_addresses(&mut self, spots: &[Spot]) {
        for spot in spots {
            self.seen_addresses[self.all.pair(*spot).key as usize] = true;
        }
    }

    /// Takes in records that were there before they were first told of: no change.
    fn learn_known(&mut self, event: &Event) {
        let (names, addresses) = (&event.known_names, &event.known_addresses);
        if names.is_empty() && addresses.is_empty() {
            return;
        }
        self.forget_sums();
        self.name_presences.know(names);
        self.raw_names.insert_all(names);
        self.names.active.insert_all(names);
        self.see_names(names);
        self.address_presences.know(addresses);
        self.union.learn(addresses);
        if self.input.names.is_none() {
            self.raw_pairs.insert_all(addresses);
        }
        for of_name in self.by_host(addresses) {
            let place = self.host_of(of_name[0]) as usize;
            self.raw_addresses[place].insert_all(of_name);
            self.addresses[place].active.insert_all(of_name);
        }
        self.see_addresses(addresses);
    }

    /// Returns addresses, which are in order, by their names.
    fn by_host<'s>(&self, spots: &'s [Spot]) -> impl Iterator<Item = &'s [Spot]> + use<'a, 's> {
        let all = self.all;
        spots.chunk_by(|one, next| all.pair(*one).place == all.pair(*next).place)
    }

    /// Moves the sets as the zone has them.
    fn apply_raw(&mut self, event: &Event) {
        let [left, came] = &event.names;
        self.raw_names.remove_all(left);
        self.raw_names.insert_all(came);
        let [left, came] = &event.addresses;
        if left.is_empty() && came.is_empty() {
            return;
        }
        self.raw_union = None;
        for of_name in self.by_host(left) {
            let place = self.host_of(of_name[0]) as usize;
            self.raw_addresses[place].remove_all(of_name);
        }
        for of_name in self.by_host(came) {
            let place = self.host_of(of_name[0]) as usize;
            self.raw_addresses[place].insert_all(of_name);
        }
        if self.input.names.is_none() {
            self.raw_pairs.remove_all(left);
            self.raw_pairs.insert_all(came);
        }
    }

    /// Takes the whole present state as known: a domain begins.
    fn learn_all(&mut self) {
        self.names.active = self.raw_names.clone();
        for (held, set) in self.addresses.iter_mut().zip(&self.raw_addresses) {
            *held = Held {
                active: set.clone(),
                ..Held::default()
            };
        }
        self.forget_sums();
        let (names, addresses) = (self.raw_names.clone(), self.raw_addresses.clone());
        self.see_names(names.as_slice());
        for set in addresses {
            self.see_addresses(set.as_slice());
        }
        let union = self.raw_union();
        self.union.begin(union);
    }

    /// Returns the addresses that are there of all active names. Takes time for these where one of them changed.
    fn raw_union(&mut self) -> Sorted<Spot> {
        if self.input.names.is_none() {
            return self.raw_pairs.clone();
        }
        let raw = &self.raw_addresses;
        let union = self.raw_union.get_or_insert_with(|| {
            let sets = self.names.active.iter();
            sets.flat_map(|place| &raw[*place as usize])
                .copied()
                .collect()
        });
        union.clone()
    }

    /// Returns the active addresses of the active name servers. Takes time for these where one of them changed.
    fn active_addresses(&mut self) -> Sorted<Spot> {
        if self.input.names.is_none() && self.input.is_union {
            return self.union.set.active.clone();
        }
        let held = &self.addresses;
        let active = self
            .active
            .get_or_insert_with(|| match (self.input.names, &held[..]) {
                (Some(_), _) => {
                    let names = self.names.active.iter();
                    names
                        .flat_map(|place| &held[*place as usize].active)
                        .copied()
                        .collect()
                }
                (None, [only]) => only.active.clone(),
                (None, _) => held.iter().flat_map(|it| &it.active).copied().collect(),
            });
        active.clone()
    }

    /// Compares the sets before and after and records a change point. Only the addresses of the names that
    /// are `touched` can have changed. Returns the active addresses after.
    fn compare(&mut self, moment: Moment, touched: &[Place]) -> Sorted<Spot> {
        let names_before = self.names.active.clone();
        let addresses_before = self.active_addresses();
        let names_became =
            self.names
                .become_set(&self.raw_names, moment.at, self.input.absence_max);
        if !matches!(names_became, Became::Same) {
            self.forget_sums();
        }
        let [changed_hosts, begun_hosts] = self.step_hosts(moment.instant(), touched);
        self.end_presences(moment.instant(), &names_became);
        if let Became::BeganAnew(ended_at) = names_became {
            let went_at = ended_at - self.input.absence_max;
            let is_another = names_before != self.names.active;
            self.drop_points(|it| is_another || it.moment.at > went_at);
        }
        let names_after = self.names.active.clone();
        let taken_over = self.step_union(moment.at);
        let addresses_after = self.active_addresses();
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
        for place in step.names_after.difference(&step.names_before) {
            self.seen_names[*place as usize] = true;
        }
        for spot in step.addresses_after.difference(&step.addresses_before) {
            self.seen_addresses[self.all.pair(*spot).key as usize] = true;
        }
        step.addresses_after
    }

    /// Moves the addresses of the names that are `touched`. Returns those whose set changed, and those whose set began.
    fn step_hosts(&mut self, instant: Instant, touched: &[Place]) -> [Vec<Place>; 2] {
        let at = instant.0;
        let (mut changed_hosts, mut begun_hosts) = (Vec::new(), Vec::new());
        let on_address_plane = self.input.names.is_none();
        for name in touched.iter().copied() {
            // Only names that are touched come here: a version costs what it changes, not what the entity has.
            let held = &mut self.addresses[name as usize];
            let set = &self.raw_addresses[name as usize];
            let became = held.become_set(set, at, self.input.absence_max);
            if !matches!(became, Became::Same) {
                self.active = None;
            }
            let [first, end] = self.all.spots_of(name);
            let is_of_host = |spot: &Spot| (first..end).contains(spot);
            match became {
                Became::Changed => changed_hosts.push(name),
                Became::BeganAnew(ended_at) => {
                    begun_hosts.push(name);
                    self.address_presences.lapse(ended_at, is_of_host);
                    if on_address_plane && !self.input.is_union {
                        self.absences.insert((at, true));
                    }
                }
                Became::CameBack(ended_at) => {
                    self.address_presences.leave(ended_at, instant, is_of_host);
                    if on_address_plane {
                        self.absences.insert((at, false));
                    }
                    changed_hosts.push(name);
                }
                Became::Began => begun_hosts.push(name),
                Became::Same => {}
            }
        }
        [changed_hosts, begun_hosts]
    }

    /// Ends what was present before an absence of all names.
    fn end_presences(&mut self, instant: Instant, names_became: &Became) {
        let at = instant.0;
        match *names_became {
            Became::BeganAnew(ended_at) => {
                self.name_presences.lapse(ended_at, |_| true);
                self.address_presences.lapse(ended_at, |_| true);
                self.absences.insert((at, true));
            }
            Became::CameBack(ended_at) => {
                self.name_presences.leave(ended_at, instant, |_| true);
                self.address_presences.lapse(ended_at, |_| true);
                self.absences.insert((at, false));
            }
            _ => {}
        }
    }

    /// Records a change point.
    fn record_point(&mut self, step: &Step) {
        let all = self.all;
        let added = step.addresses_after.difference(&step.addresses_before);
        let added: Vec<&Pair> = added.map(|spot| all.pair(*spot)).collect();
        self.fresh.forget();
        let (seen, fresh) = (&self.seen_addresses, &mut self.fresh);
        let mut count_fresh = |counts: &dyn Fn(&Place) -> bool| -> u32 {
            let keys = added.iter().filter(|pair| counts(&pair.place));
            keys.filter(|pair| !seen[pair.key as usize] && fresh.is_first(pair.key))
                .count() as u32
        };
        let glue = step.changed_hosts.iter().map(|host| ChangedHost {
            host: all.name(*host),
            fresh: count_fresh(&|name| name == host),
            departure: if step.begun_hosts.binary_search(host).is_ok() {
                step.taken_over
            } else {
                Departure::Nothing
            },
        });
        let changed: Vec<ChangedHost> = glue.collect();
        let fresh_host_addresses = count_fresh(&|name| !step.is_kept(name));
        let is_counted =
            |name: &Place| step.changed_hosts.binary_search(name).is_ok() || !step.is_kept(name);
        let counted = added.iter().filter(|pair| is_counted(&pair.place));
        self.added.forget();
        let added_keys = counted.filter(|pair| self.added.is_first(pair.key)).count();
        let is_rename = self.is_rename(step);
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
        let fresh_names = names.filter(|it| !self.seen_names[**it as usize]).count();
        self.changed_hosts.extend_from_slice(&step.changed_hosts);
        self.points.push(ChangePoint {
            moment: step.moment,
            fresh_names: fresh_names as u32,
            fresh_host_addresses,
            added_addresses: added_keys as u32,
            names_before,
            names_after,
            addresses_before,
            addresses_after,
            names_changed: step.names_changed,
            names_departure: Departure::Nothing,
            is_rename: is_rename
                || is_recent && self.is_correction(&step.names_before, &step.names_after),
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
    fn list_addresses(&mut self, set: &Sorted<Spot>) -> NamedAddresses {
        if self.listed_addresses.0 != *set {
            let pairs = set.iter().map(|spot| self.all.pair(*spot));
            let named = pairs.map(|it| (self.all.name(it.place), it.address));
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

    /// Returns whether every name that came has addresses, and only such as another name had before.
    fn is_rename(&mut self, step: &Step) -> bool {
        let mut came = step.names_after.difference(&step.names_before).peekable();
        if came.peek().is_none() {
            return false;
        }
        self.before.forget();
        for spot in &step.addresses_before {
            self.before.is_first(self.all.pair(*spot).number);
        }
        came.all(|name| {
            // A range, for whoever fluxes decides how many names there are.
            let mut own = step.addresses_after.range(self.all.spots_of(*name));
            let was_there = |spot: &Spot| self.before.has(self.all.pair(*spot).number);
            own.len() > 0 && own.all(was_there)
        })
    }

    /// Returns whether every name that came is a slip of the finger away from one that left.
    fn is_correction(&self, before: &Sorted<Place>, after: &Sorted<Place>) -> bool {
        let names = |places: &mut dyn Iterator<Item = &Place>| -> Vec<&Name> {
            let names = places.take(CORRECTED_NAMES_MAX + 1);
            names.map(|place| self.all.names[*place as usize]).collect()
        };
        let came = names(&mut after.difference(before));
        let left = names(&mut before.difference(after));
        let is_slip = |name: &&Name| left.iter().any(|gone| is_slip_of(name, gone));
        !came.is_empty()
            && came.len().max(left.len()) <= CORRECTED_NAMES_MAX
            && came.iter().all(is_slip)
    }

    /// Leaves out the newest points of which that is true: nothing that they changed counts any more.
    fn drop_points(&mut self, is_dropped: impl Fn(&ChangePoint) -> bool) {
        while let Some(point) = self.points.pop_if(|it| is_dropped(it)) {
            let kept = self.changed_hosts.len() - point.changed_hosts.len();
            self.changed_hosts.truncate(kept);
            self.detailed_values -= point.value_count();
        }
        self.detailed_from = self.detailed_from.min(self.points.len());
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

#[cfg(test)]
mod tests;
