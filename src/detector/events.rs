//! The instants of a replay: the ends of all intervals, by version, with names as places.

use std::net::IpAddr;

use crate::detector::timeline::{Moment, Replay};
use crate::dns::Name;

/// The place of a name among those of a replay, which are in order: sets of places are compared and copied
/// where sets of names would be, and are in the same order.
pub(super) type Place = u32;

/// The names of a replay.
pub(super) struct Names<'a> {
    /// In canonical order.
    pub in_order: Vec<&'a Name>,
    /// In the order of their octets, which is faster to look into, with their places among the others.
    pub by_octets: Vec<(&'a [u8], Place)>,
}

impl<'a> Names<'a> {
    /// Gathers the names of intervals.
    pub fn of(input: &Replay<'a>) -> Self {
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
    pub fn place(&self, name: &Name) -> Place {
        self.find(name).expect("every name was gathered")
    }

    /// Returns the place of a name; `None` if it is not among them.
    pub fn find(&self, name: &Name) -> Option<Place> {
        let found = self
            .by_octets
            .binary_search_by_key(&name.as_wire(), |(octets, _)| octets);
        found.ok().map(|at| self.by_octets[at].1)
    }

    /// Returns the name at a place.
    pub fn name(&self, place: Place) -> Name {
        self.in_order[place as usize].clone()
    }
}

/// What happens at one instant.
pub(super) struct Event {
    pub moment: Moment,
    pub names: [Vec<Place>; 2],
    pub addresses: [Vec<(Place, IpAddr)>; 2],
    pub known_names: Vec<Place>,
    pub known_addresses: Vec<(Place, IpAddr)>,
}

impl Event {
    /// Gathers the ends of one instant.
    fn of(ends: &[End<'_>]) -> Self {
        let mut event = Self {
            moment: *ends[0].moment,
            names: Default::default(),
            addresses: Default::default(),
            known_names: Vec::new(),
            known_addresses: Vec::new(),
        };
        for end in ends {
            // Where several owners share a version, the delegation's own end knows of the shared move.
            let shared_count = event.moment.shared_count.max(end.moment.shared_count);
            event.moment.shared_count = shared_count;
            let place = end.place;
            match (end.address, end.kind) {
                (None, EndKind::Known) => event.known_names.push(place),
                (None, EndKind::Left) => event.names[0].push(place),
                (None, EndKind::Came) => event.names[1].push(place),
                (Some(address), EndKind::Known) => event.known_addresses.push((place, address)),
                (Some(address), EndKind::Left) => event.addresses[0].push((place, address)),
                (Some(address), EndKind::Came) => event.addresses[1].push((place, address)),
            }
        }
        event
    }
}

/// An end of an interval.
struct End<'a> {
    moment: &'a Moment,
    kind: EndKind,
    place: Place,
    /// The address; `None` where a name came or left.
    address: Option<IpAddr>,
}

/// What an end of an interval is.
#[derive(Clone, Copy)]
enum EndKind {
    /// The value was there before it was first told of.
    Known,
    Came,
    Left,
}

impl EndKind {
    /// Returns what the beginning of an interval is.
    fn of_beginning(baseline: bool) -> Self {
        if baseline { Self::Known } else { Self::Came }
    }
}

/// Returns the instants of all intervals up to the time that is judged, in order.
pub(super) fn collect_events(input: &Replay<'_>, all: &Names<'_>) -> impl Iterator<Item = Event> {
    let names = input.names.unwrap_or_default();
    let mut ends = Vec::with_capacity(2 * (names.len() + input.addresses.len()));
    let mut add = |place: Place, address: Option<IpAddr>, moment, kind| {
        ends.push(End {
            moment,
            kind,
            place,
            address,
        });
    };
    for stay in names {
        let place = all.place(&stay.value);
        add(
            place,
            None,
            &stay.added,
            EndKind::of_beginning(stay.baseline),
        );
        if let Some(removed) = &stay.removed {
            add(place, None, removed, EndKind::Left);
        }
    }
    for (name, stay) in input.addresses {
        let (place, address) = (all.place(name), Some(stay.value));
        add(
            place,
            address,
            &stay.added,
            EndKind::of_beginning(stay.baseline),
        );
        if let Some(removed) = &stay.removed {
            add(place, address, removed, EndKind::Left);
        }
    }
    ends.retain(|end| end.moment.at <= input.now);
    ends.sort_by_key(|end| end.moment.key());
    let instants = ends.chunk_by(|one, next| one.moment.key() == next.moment.key());
    let events: Vec<Event> = instants.map(Event::of).collect();
    events.into_iter()
}
