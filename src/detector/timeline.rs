//! From intervals to change points: what an entity's set was before and after each instant.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

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
    /// Whether it is no change of the zone: found when the whole zone differed from the state to which its steps had led.
    pub drift: bool,
    /// How many names made the same name-server move in it; 0 if fewer than two.
    pub shared_count: u32,
}

/// A version by its time and its row: those of one second are instants of their own.
pub(super) type Instant = (Timestamp, i64);

/// The row of what happens without a version: a new registration that changes no record.
pub(super) const NO_VERSION: i64 = i64::MIN;

impl Moment {
    /// Returns its place among all versions.
    pub(super) fn instant(&self) -> Instant {
        (self.at, self.version_id)
    }

    /// Returns whether what changed in it weighs nothing.
    pub fn is_excused(&self) -> bool {
        self.bulk || self.drift
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
/// eight days back are left out. Instants that follow each other share their sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePoint {
    /// The instant.
    pub moment: Moment,
    /// Name servers before.
    pub names_before: Arc<[Name]>,
    /// Name servers after.
    pub names_after: Arc<[Name]>,
    /// Addresses before, each with the name server it belongs to (the owner, on the address plane).
    pub addresses_before: Arc<[(Name, IpAddr)]>,
    /// Addresses after.
    pub addresses_after: Arc<[(Name, IpAddr)]>,
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
    pub(super) fn forget_sets(&mut self) {
        (self.names_before, self.names_after) = Default::default();
        (self.addresses_before, self.addresses_after) = Default::default();
        self.has_sets = false;
    }

    /// Returns how many addresses never seen before came to name servers that stayed.
    pub fn fresh_glue(&self) -> u32 {
        self.changed_hosts.iter().map(|it| it.fresh).sum()
    }
}

/// How many mass changes excuse an entity within 7 days: of the .gov zone at most 3 came in a week. Junk that moves
/// with a flux at every version is no excuse for it.
pub const BULK_7D_MAX: usize = 4;

/// How often in 30 days an entity that was absent for longer than [`Replay::absence_max`] begins anew without a change:
/// who goes away again and again to come back as another rotates. Chosen by hand: a name expires once.
pub(super) const ABSENCES_30D_MAX: usize = 2;

/// One value's presence; `to` is `None` while it is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presence {
    pub from: Timestamp,
    /// The version that it began with; [`NO_VERSION`] if it began without one.
    pub version_id: i64,
    pub to: Option<Timestamp>,
}

impl Presence {
    /// Returns the instant at which it began.
    pub fn began(&self) -> Instant {
        (self.from, self.version_id)
    }
}

/// An entity's history, replayed up to a time.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// In order of time.
    pub points: Vec<ChangePoint>,
    /// Every name server that there ever was, in canonical order.
    pub name_table: Vec<Name>,
    /// Name servers, by their places in the table, and when they were there.
    pub names: Vec<(u32, Presence)>,
    /// Every address that there ever was, with its name, in order.
    pub pair_table: Vec<(Name, IpAddr)>,
    /// Addresses, by their places in the table, and when they were there.
    pub addresses: Vec<(u32, Presence)>,
    /// The name servers that are there at the end.
    pub names_now: BTreeSet<Name>,
    /// The different sets of name servers before and after the points of the last eight days.
    pub name_sets: Vec<Vec<Name>>,
    /// The addresses that are there at the end, of whatever name: their places in the table, in order.
    pub addresses_now: Vec<u32>,
    /// When it came back after a long absence, and whether that was excused: one set at one time once, in order.
    pub absences: BTreeSet<(Timestamp, bool)>,
}

impl Timeline {
    /// Returns the name server at a place of the table.
    pub fn name(&self, place: u32) -> &Name {
        &self.name_table[place as usize]
    }

    /// Returns the address at a place of the table, with its name.
    pub fn pair(&self, place: u32) -> &(Name, IpAddr) {
        &self.pair_table[place as usize]
    }

    /// Returns whether an address is there at the end, by its place in the table.
    pub fn has_now(&self, place: u32) -> bool {
        self.addresses_now.binary_search(&place).is_ok()
    }

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
