//! The instants of a replay: the ends of all intervals, by version, with names as places.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::detector::timeline::{Moment, Replay};
use crate::dns::Name;
use crate::time::Timestamp;

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
#[derive(Default)]
pub(super) struct Event {
    pub moment: Option<Moment>,
    pub names: [Vec<Place>; 2],
    pub addresses: [Vec<(Place, IpAddr)>; 2],
    pub known_names: Vec<Place>,
    pub known_addresses: Vec<(Place, IpAddr)>,
}

/// Sorts the ends of all intervals into instants.
pub(super) fn collect_events(
    input: &Replay<'_>,
    all: &Names<'_>,
) -> BTreeMap<(Timestamp, i64), Event> {
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
