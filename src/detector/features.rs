//! Numbers of a window: networks, tenure, set sizes.

use std::collections::BTreeSet;

use crate::count::counted;
use crate::detector::Knowledge;
use crate::detector::finding::{Check, SeenAddress};
use crate::detector::prefix::{Prefix, prefix_of};
use crate::detector::timeline::{ChangePoint, Presence, Timeline, address_key};
use crate::dns::Name;
use crate::time::{Span, Timestamp};

/// The age at which a table of autonomous systems accuses nobody any more. Space that a cloud has bought since is
/// still its seller's in an old table, so that one cloud looks like several networks. Chosen by hand; see
/// docs/explanation/detection.md, "Without a table of autonomous systems".
const TABLE_AGE_MAX: Span = Span::days(730);

/// A half-open window `(from, now]`, cut where watching began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub from: Timestamp,
    pub now: Timestamp,
}

impl Window {
    /// Returns the window of `span` before `now`.
    pub fn before(now: Timestamp, span: Span, watched_since: Timestamp) -> Self {
        Self {
            from: (now - span).max(watched_since),
            now,
        }
    }

    /// Returns whether an instant lies in the window.
    pub fn holds(&self, at: Timestamp) -> bool {
        // Half open: an instant lies in one of two windows that follow each other.
        at > self.from && at <= self.now
    }

    /// Returns how many hours the window lasts.
    pub fn hours(&self) -> f64 {
        self.now.since(self.from).as_hours().max(0.0)
    }

    /// Returns for how many hours of the window a value was there.
    fn exposure_hours(&self, presence: &Presence) -> f64 {
        let from = presence.from.max(self.from);
        let to = presence.to.unwrap_or(self.now).min(self.now);
        to.since(from).as_hours().max(0.0)
    }

    /// Returns whether a value was there at any time of the window.
    pub fn touches(&self, presence: &Presence) -> bool {
        presence.from <= self.now && presence.to.is_none_or(|to| to > self.from)
    }
}

/// Returns the change points of the window, in order of time.
pub(super) fn points_in<'a>(window: &Window, timeline: &'a Timeline) -> Vec<&'a ChangePoint> {
    let points = timeline.points.iter();
    points
        .filter(|point| window.holds(point.moment.at))
        .collect()
}

/// Returns the name servers that were there at any time of the window, each once, in order.
pub(super) fn names_in<'a>(window: &Window, timeline: &'a Timeline) -> BTreeSet<&'a Name> {
    let places = places_in(window, &timeline.names, timeline.name_table.len());
    places.into_iter().map(|it| timeline.name(it)).collect()
}

/// Returns the addresses that were there at any time of the window, by their places in the timeline's table: each once, in
/// order.
pub(super) fn addresses_in(window: &Window, timeline: &Timeline) -> Vec<u32> {
    places_in(window, &timeline.addresses, timeline.pair_table.len())
}

/// Returns the values that were there at any time of the window, each once, in order.
fn places_in(window: &Window, presences: &[(u32, Presence)], count: usize) -> Vec<u32> {
    let mut is_there = vec![false; count];
    for (place, presence) in presences {
        is_there[*place as usize] |= window.touches(presence);
    }
    let places = (0..).zip(is_there);
    places
        .filter_map(|(place, is_there)| is_there.then_some(place))
        .collect()
}

/// The autonomous systems of addresses of a timeline, each looked up once.
pub(super) struct Networks<'a> {
    timeline: &'a Timeline,
    pub knowledge: &'a dyn Knowledge,
    /// Of each address of the table; `None` of those that were not looked up.
    found: Vec<Option<Option<u32>>>,
}

impl<'a> Networks<'a> {
    /// Looks up some addresses of a timeline.
    pub fn of(timeline: &'a Timeline, addresses: &[u32], knowledge: &'a dyn Knowledge) -> Self {
        let mut found = vec![None; timeline.pair_table.len()];
        for place in addresses {
            found[*place as usize] = Some(knowledge.asn(timeline.pair(*place).1));
        }
        Self {
            timeline,
            knowledge,
            found,
        }
    }

    /// Returns the number of the autonomous system that announces an address, if the table has it.
    pub fn asn(&self, place: u32) -> Option<u32> {
        let found = self.found[place as usize];
        found.unwrap_or_else(|| self.knowledge.asn(self.timeline.pair(place).1))
    }

    /// Returns addresses with what is known of each.
    pub fn seen(&self, addresses: &[u32]) -> Vec<SeenAddress> {
        let places = addresses.iter();
        places.map(|place| self.seen_address(*place)).collect()
    }

    /// Returns an address with what is known of it.
    fn seen_address(&self, place: u32) -> SeenAddress {
        let (host, address) = self.timeline.pair(place);
        let asn = self.asn(place);
        SeenAddress {
            host: host.clone(),
            address: *address,
            prefix: prefix_of(*address),
            asn,
            asn_name: asn
                .and_then(|asn| self.knowledge.asn_name(asn))
                .map(str::to_owned),
            present: self.timeline.has_now(place),
        }
    }
}

/// Exposure and removals of a set in a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exposure {
    /// Hours that the values were there, summed.
    pub exposure_hours: f64,
    /// How often a value left.
    pub removals: u32,
}

impl Exposure {
    /// Sums over `presences`.
    pub fn of<'a>(window: &Window, presences: impl Iterator<Item = &'a Presence>) -> Self {
        // `sum()` of no floats is -0.0, which would show in listings.
        let mut exposure = Self {
            exposure_hours: 0.0,
            removals: 0,
        };
        for presence in presences {
            exposure.exposure_hours += window.exposure_hours(presence);
            let is_removed = presence.to.is_some_and(|to| window.holds(to));
            exposure.removals += u32::from(is_removed);
        }
        exposure
    }

    /// Returns the mean time a value stayed, in hours; `None` if none left.
    ///
    /// Exposure divided by removals: values that are still there count with the time they have had,
    /// so that a short watch does not make a stable set look short-lived.
    pub fn tenure_hours(&self) -> Option<f64> {
        (self.removals > 0).then(|| self.exposure_hours / f64::from(self.removals))
    }

    /// Returns the mean number of values over the window.
    pub fn mean_size(&self, window: &Window) -> f64 {
        if window.hours() > 0.0 {
            self.exposure_hours / window.hours()
        } else {
            0.0
        }
    }
}

/// Where a set of addresses lies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Spread {
    /// Distinct addresses, IPv6 by /48.
    pub addresses: u32,
    /// Distinct autonomous systems that the table knows.
    pub networks: BTreeSet<u32>,
    /// How many distinct prefixes: /16 of IPv4, /32 of IPv6.
    pub prefixes: u32,
    /// Those of them with an address of which the table knows no autonomous system; all without a table.
    pub unanswered: BTreeSet<Prefix>,
}

impl Spread {
    /// Returns by what networks can be counted: by autonomous systems where there is a table, and by prefixes where
    /// it does not answer. Each is judged, and what says more counts: an address that the table lacks is
    /// never no network at all.
    pub fn bases(&self, knowledge: &dyn Knowledge) -> impl Iterator<Item = bool> {
        let by_prefix = !knowledge.has_asn_table() || !self.unanswered.is_empty();
        let by_network = knowledge.has_asn_table().then_some(true);
        by_network.into_iter().chain(by_prefix.then_some(false))
    }

    /// Returns how many networks there are: autonomous systems, or prefixes that stand in for them where no table
    /// answers.
    pub fn network_count(&self, by_network: bool) -> u32 {
        if by_network {
            self.networks.len() as u32
        } else {
            self.prefix_count()
        }
    }

    /// Returns how many prefixes stand in for networks: those of the family that has more, so that a
    /// dual-stack network does not count twice.
    fn prefix_count(&self) -> u32 {
        let of_v6 = self
            .unanswered
            .iter()
            .filter(|prefix| prefix.is_ipv6())
            .count();
        of_v6.max(self.unanswered.len() - of_v6) as u32
    }

    /// Measures a set of addresses.
    pub fn of(addresses: impl Iterator<Item = u32>, networks: &Networks<'_>) -> Self {
        let mut spread = Self::default();
        let (mut keys, mut prefixes) = (Vec::new(), Vec::new());
        for place in addresses {
            let address = networks.timeline.pair(place).1;
            // Whoever has a /48 has 2^80 addresses: more of them are no more machines.
            keys.push(address_key(address));
            let prefix = prefix_of(address);
            if prefixes.last() != Some(&prefix) {
                prefixes.push(prefix);
            }
            match networks.asn(place) {
                Some(network) => _ = spread.networks.insert(network),
                None => _ = spread.unanswered.insert(prefix),
            }
        }
        spread.addresses = count_distinct(keys);
        spread.prefixes = count_distinct(prefixes);
        spread
    }
}

/// Returns how many different values there are.
fn count_distinct<T: Ord>(mut values: Vec<T>) -> u32 {
    if !values.is_sorted() {
        values.sort_unstable();
    }
    values.dedup();
    values.len() as u32
}

/// Why a plane reaches level review at most, however it scores; `None` if nothing stands against a report.
///
/// A report accuses, and the accused is whoever has that many networks. Prefixes are no networks: a provider has
/// up to thousands of them (docs/explanation/detection.md, "Without a table of autonomous systems").
pub(super) fn ceiling(
    by_network: bool,
    spread: &Spread,
    knowledge: &dyn Knowledge,
    now: Timestamp,
) -> Option<Check> {
    let reason = if !knowledge.has_asn_table() {
        "none is in use: prefixes (/16, /32) stand in for networks".to_owned()
    } else if !by_network {
        let count = counted(spread.unanswered.len(), "prefix");
        format!("it does not answer for addresses in {count}, which stand in for networks")
    } else {
        let old = knowledge.asn_table_at();
        let old = old.filter(|at| now.since(*at) > TABLE_AGE_MAX)?;
        format!("it is of {}, and too old to accuse by", old.to_date())
    };
    Some(Check {
        name: "table of autonomous systems",
        result: format!("{reason}; the level is review at most"),
        explains: false,
    })
}

/// Returns a count of networks, as terms and gates call them.
pub(super) fn networks_text(count: u32, by_network: bool) -> String {
    if by_network {
        counted(count, "autonomous system")
    } else {
        format!("{} (/16, /32)", counted(count, "prefix"))
    }
}

/// Returns what networks are called where no count stands before them.
pub(super) fn network_word(by_network: bool) -> &'static str {
    if by_network {
        "autonomous systems"
    } else {
        "prefixes (/16, /32)"
    }
}

/// Returns `value` as a share of 0 to 1 of the way from `from` to `from + over`.
pub(super) fn clamp_share(value: f64, from: f64, over: f64) -> f64 {
    ((value - from) / over).clamp(0.0, 1.0)
}
