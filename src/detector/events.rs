//! The instants of a replay: the ends of all intervals, by version, with names and addresses as numbers.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::detector::timeline::{Moment, Replay, address_key};
use crate::dns::Name;
use crate::time::Timestamp;

/// The place of a name among those of a replay, which are in order: sets of places are compared and copied
/// where sets of names would be, and are in the same order.
pub(super) type Place = u32;

/// The place of an address of a name among those of a replay, which are in the order of names, then of addresses.
pub(super) type Spot = u32;

/// Stands for no address where a name comes or leaves.
const NO_SPOT: Spot = Spot::MAX;

/// An address of a name.
pub(super) struct Pair {
    pub place: Place,
    pub address: IpAddr,
    /// The number of the address, whatever name it belongs to.
    pub number: u32,
    /// The number of what it counts as; see [`address_key`].
    pub key: u32,
}

/// The names and addresses of a replay.
pub(super) struct Values<'a> {
    /// The names, in canonical order, each once.
    pub names: Vec<&'a Name>,
    /// The addresses of each, in order, each once.
    pub pairs: Vec<Pair>,
    /// Of each name the first of its addresses and the one after the last.
    spots: Vec<[Spot; 2]>,
    /// What addresses count as, in order: the place of each is its number.
    keys: Vec<IpAddr>,
    /// How many addresses there are, whatever name they belong to.
    pub number_count: usize,
    /// The names of the intervals of names, as these come.
    name_of_stay: Vec<Place>,
    /// The addresses of the intervals of addresses, as these come.
    spot_of_stay: Vec<Spot>,
}

/// Returns an address as numbers that are in its order.
fn order_of(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(address) => (false, u128::from(address.to_bits())),
        IpAddr::V6(address) => (true, address.to_bits()),
    }
}

/// Names that are gathered, each with a number, in no order. Equal ones may have several.
#[derive(Default)]
struct Gathered<'a> {
    names: Vec<&'a Name>,
    /// By where their octets are: most are shared.
    by_octets: HashMap<*const u8, u32>,
    last: Option<(*const u8, u32)>,
}

impl<'a> Gathered<'a> {
    /// Returns the number of a name.
    fn number(&mut self, name: &'a Name) -> u32 {
        let octets = name.as_wire().as_ptr();
        if let Some((_, number)) = self.last.filter(|(last, _)| *last == octets) {
            return number;
        }
        let names = &mut self.names;
        let number = *self.by_octets.entry(octets).or_insert_with(|| {
            names.push(name);
            names.len() as u32 - 1
        });
        self.last = Some((octets, number));
        number
    }

    /// Returns the names in order, each once, and the place of each number.
    fn in_order(self) -> (Vec<&'a Name>, Vec<Place>) {
        let mut order: Vec<u32> = (0..self.names.len() as u32).collect();
        order.sort_unstable_by_key(|number| self.names[*number as usize]);
        let mut places = vec![0; order.len()];
        let mut in_order: Vec<&Name> = Vec::with_capacity(order.len());
        for number in order {
            let name = self.names[number as usize];
            if in_order.last() != Some(&name) {
                in_order.push(name);
            }
            places[number as usize] = in_order.len() as Place - 1;
        }
        (in_order, places)
    }
}

impl<'a> Values<'a> {
    /// Gathers the names and addresses of intervals.
    pub fn of(input: &Replay<'a>) -> Self {
        let mut gathered = Gathered::default();
        let names = input.names.unwrap_or_default().iter();
        let mut name_of_stay: Vec<u32> = names.map(|it| gathered.number(&it.value)).collect();
        let hosts = input.addresses.iter();
        let hosts: Vec<u32> = hosts.map(|(host, _)| gathered.number(host)).collect();
        let (names, places) = gathered.in_order();
        for number in &mut name_of_stay {
            *number = places[*number as usize];
        }
        let mut values = Self {
            spots: vec![[0, 0]; names.len()],
            names,
            pairs: Vec::new(),
            keys: Vec::new(),
            number_count: 0,
            name_of_stay,
            spot_of_stay: vec![0; hosts.len()],
        };
        let mut stays: Vec<(Place, bool, u128, u32)> = Vec::with_capacity(hosts.len());
        for (n, (host, (_, stay))) in (0..).zip(hosts.iter().zip(input.addresses)) {
            let (family, bits) = order_of(stay.value);
            stays.push((places[*host as usize], family, bits, n));
        }
        stays.sort_unstable();
        for (place, .., n) in stays {
            let address = input.addresses[n as usize].1.value;
            let last = values.pairs.last();
            if last.is_none_or(|it| (it.place, it.address) != (place, address)) {
                let spot = values.pairs.len() as Spot;
                let range = &mut values.spots[place as usize];
                if range[0] == range[1] {
                    range[0] = spot;
                }
                range[1] = spot + 1;
                values.pairs.push(Pair {
                    place,
                    address,
                    number: 0,
                    key: 0,
                });
            }
            values.spot_of_stay[n as usize] = values.pairs.len() as Spot - 1;
        }
        values.number_addresses();
        values
    }

    /// Numbers the addresses, and what they count as, in their order.
    fn number_addresses(&mut self) {
        let mut order: Vec<(bool, u128, Spot)> = Vec::with_capacity(self.pairs.len());
        for (spot, pair) in (0..).zip(&self.pairs) {
            let (family, bits) = order_of(pair.address);
            order.push((family, bits, spot));
        }
        if !order.is_sorted() {
            order.sort_unstable();
        }
        let mut last: Option<IpAddr> = None;
        for (.., spot) in order {
            let pair = &mut self.pairs[spot as usize];
            if last != Some(pair.address) {
                self.number_count += 1;
                last = Some(pair.address);
                // What addresses count as is in their order.
                let key = address_key(pair.address);
                if self.keys.last() != Some(&key) {
                    self.keys.push(key);
                }
            }
            pair.number = self.number_count as u32 - 1;
            pair.key = self.keys.len() as u32 - 1;
        }
    }

    /// Returns the place of a name; `None` if it is not among them.
    pub fn find(&self, name: &Name) -> Option<Place> {
        self.names.binary_search(&name).ok().map(|at| at as Place)
    }

    /// Returns the number of what an address counts as; `None` if none of the intervals has such an address.
    pub fn find_key(&self, address: IpAddr) -> Option<u32> {
        let key = address_key(address);
        self.keys.binary_search(&key).ok().map(|at| at as u32)
    }

    /// Returns how many different things addresses count as.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Returns the name at a place.
    pub fn name(&self, place: Place) -> Name {
        self.names[place as usize].clone()
    }

    /// Returns an address with its name.
    pub fn pair(&self, spot: Spot) -> &Pair {
        &self.pairs[spot as usize]
    }

    /// Returns the addresses of a name: from the first to the one after the last.
    pub fn spots_of(&self, place: Place) -> [Spot; 2] {
        self.spots[place as usize]
    }
}

/// What happens at one instant. All lists are in order, each value once.
pub(super) struct Event {
    pub moment: Moment,
    /// The names that left, and those that came.
    pub names: [Vec<Place>; 2],
    /// The addresses that left, and those that came.
    pub addresses: [Vec<Spot>; 2],
    pub known_names: Vec<Place>,
    pub known_addresses: Vec<Spot>,
}

impl Event {
    /// Returns one in which nothing happens.
    fn empty(moment: Moment) -> Self {
        Self {
            moment,
            names: Default::default(),
            addresses: Default::default(),
            known_names: Vec::new(),
            known_addresses: Vec::new(),
        }
    }

    /// Gathers the ends of one instant.
    fn fill(&mut self, ends: &[End<'_>]) {
        let [names_left, names_came] = &mut self.names;
        let [left, came] = &mut self.addresses;
        let (known_names, known) = (&mut self.known_names, &mut self.known_addresses);
        let mut of_names = [names_left, names_came, known_names];
        let mut of_addresses = [left, came, known];
        of_names.iter_mut().for_each(|list| list.clear());
        of_addresses.iter_mut().for_each(|list| list.clear());
        self.moment = *ends[0].moment;
        for end in ends {
            // Where several owners share a version, the delegation's own end knows of the shared move.
            let shared_count = self.moment.shared_count.max(end.moment.shared_count);
            self.moment.shared_count = shared_count;
            let kind = end.kind as usize;
            if end.spot == NO_SPOT {
                of_names[kind].push(end.place);
            } else {
                of_addresses[kind].push(end.spot);
            }
        }
        for list in of_names.into_iter().chain(of_addresses) {
            list.sort_unstable();
            list.dedup();
        }
    }
}

/// An end of an interval.
struct End<'a> {
    at: Timestamp,
    version_id: i64,
    moment: &'a Moment,
    kind: EndKind,
    /// The name that came or left, where no address did.
    place: Place,
    /// The address; [`NO_SPOT`] where a name came or left.
    spot: Spot,
}

/// What an end of an interval is.
#[derive(Clone, Copy)]
enum EndKind {
    Left = 0,
    Came = 1,
    /// The value was there before it was first told of.
    Known = 2,
}

impl EndKind {
    /// Returns what the beginning of an interval is.
    fn of_beginning(baseline: bool) -> Self {
        if baseline { Self::Known } else { Self::Came }
    }
}

/// Calls `apply` with the instants of all intervals up to the time that is judged, in order.
pub(super) fn each_event<'i>(input: &Replay<'i>, all: &Values<'i>, mut apply: impl FnMut(&Event)) {
    let names = input.names.unwrap_or_default();
    let mut ends = Vec::with_capacity(2 * (names.len() + input.addresses.len()));
    let mut add = |place: Place, spot: Spot, moment: &'i Moment, kind| {
        if moment.at <= input.now {
            ends.push(End {
                at: moment.at,
                version_id: moment.version_id,
                moment,
                kind,
                place,
                spot,
            });
        }
    };
    // Those that ended last are read first: the other way around most ends are in order.
    for (stay, place) in names.iter().zip(&all.name_of_stay).rev() {
        if let Some(removed) = &stay.removed {
            add(*place, NO_SPOT, removed, EndKind::Left);
        }
    }
    for (stay, place) in names.iter().zip(&all.name_of_stay).rev() {
        let kind = EndKind::of_beginning(stay.baseline);
        add(*place, NO_SPOT, &stay.added, kind);
    }
    for ((_, stay), spot) in input.addresses.iter().zip(&all.spot_of_stay).rev() {
        if let Some(removed) = &stay.removed {
            add(0, *spot, removed, EndKind::Left);
        }
    }
    for ((_, stay), spot) in input.addresses.iter().zip(&all.spot_of_stay).rev() {
        let kind = EndKind::of_beginning(stay.baseline);
        add(0, *spot, &stay.added, kind);
    }
    ends.sort_by_key(|end| (end.at, end.version_id));
    let Some(first) = ends.first() else { return };
    let mut event = Event::empty(*first.moment);
    for ends in ends.chunk_by(|one, next| (one.at, one.version_id) == (next.at, next.version_id)) {
        event.fill(ends);
        apply(&event);
    }
}
