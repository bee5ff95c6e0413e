//! What a zone shows beside rotation: evidence lines, and at most review.
//!
//! - A **sitting duck**: a delegation's name server lies below a domain of the same zone that is not delegated, so
//!   whoever registers that domain answers for the delegation; or that was delegated after the name server was named.
//! - **Shadowing**: many new names below a domain that has been there for long, on networks foreign to it. Whoever has
//!   the login of an account adds them and leaves the rest as it is.
//!
//! Both have harmless forms (a slip in a name, a move to a cloud), so neither reports alone.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::count::counted;
use crate::detector::address_plane::AddressWindow;
use crate::detector::finding::{Check, Level, PlaneFinding};
use crate::detector::prefix::prefix_of;
use crate::detector::{Knowledge, Stay};
use crate::dns::Name;
use crate::time::{Span, Timestamp};

/// How long a domain counts as newly delegated. Chosen by hand: a month is longer than most of what is registered for
/// a campaign lives before it is used.
pub const NEWLY_DELEGATED: Span = Span::days(30);
/// How long names count as new.
const FRESH: Span = Span::days(7);
/// How long a zone must have been watched before names of it count as new: what was there before is not known.
const WATCHED_MIN: Span = Span::days(30);
/// New names on foreign networks from which they are told of. Chosen by hand: few services are rolled out with more
/// names in a week.
const SHADOWS_TOLD_MIN: usize = 10;
/// New names on foreign networks that are reviewed...
const SHADOWS_REVIEWED_MIN: usize = 20;
/// ...if they lie in so many networks: a move to a cloud is to one or two...
const SHADOW_NETWORKS_MIN: usize = 4;
/// ...and so many of a hundred had an address that left within [`SHADOW_STAY_MAX`].
const SHADOWS_SHORT_PERCENT_MIN: usize = 50;
/// How long an address of a shadow stays at most.
const SHADOW_STAY_MAX: Span = Span::hours(48);
/// How many names a line gives.
const NAMED_MAX: usize = 3;

/// How the domain of a name server stands in the zone of the delegation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostStanding {
    /// It is not delegated, and the name server has no address in the zone.
    NotDelegated,
    /// It was delegated then, after the delegation that is judged had named the name server.
    DelegatedAfterNamed(Timestamp),
    /// It was delegated then, within [`NEWLY_DELEGATED`].
    NewlyDelegated(Timestamp),
}

/// A name server below a domain of the delegation's own zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SittingHost {
    /// How its domain stands.
    pub standing: HostStanding,
    /// The name server.
    pub host: Name,
    /// The domain.
    pub domain: Name,
}

impl SittingHost {
    /// Returns it in words.
    fn words(&self) -> String {
        let (host, domain) = (
            self.host.to_text_without_dot(),
            self.domain.to_text_without_dot(),
        );
        match self.standing {
            HostStanding::NotDelegated => format!(
                "{host} lies below {domain}, which this zone does not delegate: whoever registers it answers for the name"
            ),
            HostStanding::DelegatedAfterNamed(at) => format!(
                "{host} was named before {domain} was delegated at {at}: whoever registered it answers for the name"
            ),
            HostStanding::NewlyDelegated(at) => {
                format!("{host} lies below {domain}, which is delegated since {at}")
            }
        }
    }
}

/// Returns how the domain of a name server stands that was named at some time: `delegated` says since when the domain
/// has been delegated and whether it was when watching began, `None` if it is not delegated.
pub fn standing_of(
    named: &Stay<Name>,
    delegated: Option<(Timestamp, bool)>,
    now: Timestamp,
) -> Option<HostStanding> {
    match delegated {
        None => Some(HostStanding::NotDelegated),
        // It was there when watching began, so which of both was first is not known.
        Some((_, true)) => None,
        Some((at, false)) if now.since(at) > NEWLY_DELEGATED => None,
        Some((at, false)) if named.baseline || named.added.at < at => {
            Some(HostStanding::DelegatedAfterNamed(at))
        }
        Some((at, false)) => Some(HostStanding::NewlyDelegated(at)),
    }
}

/// Says on a name-server plane which of its name servers are sitting ducks. A plane that is watched is reviewed, if one
/// can be taken over or was; no other level changes.
pub fn mark_sitting_hosts(plane: &mut PlaneFinding, mut hosts: Vec<SittingHost>) {
    if hosts.is_empty() {
        return;
    }
    hosts.sort_unstable();
    let is_open = |it: &SittingHost| !matches!(it.standing, HostStanding::NewlyDelegated(_));
    if plane.level == Some(Level::Watch) && hosts.iter().any(is_open) {
        plane.level = Some(Level::Review);
    }
    let lines: Vec<String> = hosts
        .iter()
        .take(NAMED_MAX)
        .map(SittingHost::words)
        .collect();
    let more = if hosts.len() > NAMED_MAX {
        format!("; and {} more", hosts.len() - NAMED_MAX)
    } else {
        String::new()
    };
    plane.checks.push(Check {
        name: "name servers below a domain that is not delegated, or newly",
        result: format!("{}{more}", lines.join("; ")),
        explains: false,
    });
}

/// New names below an old domain on networks foreign to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadows {
    /// The names.
    names: Vec<Name>,
    /// How many of them had an address that left soon.
    short_count: usize,
    /// The networks: autonomous systems, or prefixes where there is no table.
    networks: BTreeSet<String>,
    /// Whether the networks are autonomous systems.
    by_network: bool,
}

/// Returns the owners whose first address came within 7 days, of a zone that was watched for 30 days before.
pub fn new_owners<'a>(windows: &[&'a AddressWindow], now: Timestamp) -> Vec<&'a AddressWindow> {
    let is_new = |window: &&AddressWindow| {
        let begins = window.addresses.iter().map(|stay| stay.added.at).min();
        let was_there = window.addresses.iter().any(|stay| stay.baseline);
        let is_fresh = begins.is_some_and(|at| {
            now.since(at) < FRESH && at.since(window.watched_since) >= WATCHED_MIN
        });
        // A part that is left out may hold the true beginning of the name.
        is_fresh && !was_there && window.left_out.is_none()
    };
    let new: Vec<&AddressWindow> = windows.iter().copied().filter(is_new).collect();
    if new.len() >= SHADOWS_TOLD_MIN {
        new
    } else {
        Vec::new()
    }
}

/// Returns from when back an address of a domain is one that it has had for long.
pub fn old_before(now: Timestamp) -> Timestamp {
    now - WATCHED_MIN
}

/// Returns what of some new owners of a domain is foreign to the addresses that it has had for long; `None` for few,
/// and for a domain that has none.
pub fn shadows(
    new: &[&AddressWindow],
    old: &[IpAddr],
    knowledge: &dyn Knowledge,
    now: Timestamp,
) -> Option<Shadows> {
    let by_network = knowledge.has_asn_table();
    let network = |address: IpAddr| {
        if by_network {
            knowledge.asn(address).map(|asn| format!("AS{asn}"))
        } else {
            Some(prefix_of(address).to_string())
        }
    };
    let own: BTreeSet<String> = old.iter().filter_map(|it| network(*it)).collect();
    // Without addresses of its own nothing can be foreign to a domain.
    if own.is_empty() {
        return None;
    }
    let mut found = Shadows {
        names: Vec::new(),
        short_count: 0,
        networks: BTreeSet::new(),
        by_network,
    };
    for window in new {
        let networks = window.addresses.iter().map(|stay| network(stay.value));
        let Some(networks) = networks.collect::<Option<BTreeSet<String>>>() else {
            // Of a network that the table lacks nobody can say that it is foreign.
            continue;
        };
        if networks.is_disjoint(&own) {
            let mut stays = window.addresses.iter();
            let is_short = stays.any(|stay| {
                // An end after the time that is judged is not known then.
                let left = stay.removed.map(|end| end.at).filter(|at| *at <= now);
                left.is_some_and(|at| at.since(stay.added.at) <= SHADOW_STAY_MAX)
            });
            found.short_count += usize::from(is_short);
            found.networks.extend(networks);
            found.names.push(window.owner.clone());
        }
    }
    (found.names.len() >= SHADOWS_TOLD_MIN).then_some(found)
}

impl Shadows {
    /// Returns whether they are reviewed by themselves: many, in many networks, most of them short-lived.
    fn is_reviewed(&self) -> bool {
        self.by_network
            && self.names.len() >= SHADOWS_REVIEWED_MIN
            && self.networks.len() >= SHADOW_NETWORKS_MIN
            && self.short_count * 100 >= self.names.len() * SHADOWS_SHORT_PERCENT_MIN
    }

    /// Says them on a plane.
    pub fn mention_on(&self, plane: &mut PlaneFinding) {
        let names = self.names.iter().take(NAMED_MAX);
        let names: Vec<String> = names.map(Name::to_text_without_dot).collect();
        let word = if self.by_network {
            "autonomous system"
        } else {
            "prefix"
        };
        plane.checks.push(Check {
            name: "new names on foreign networks",
            result: format!(
                "{} of 7 days in {} in which no name of the domain has an address of 30 days or more; {} had an address for at most {}: {} and others",
                counted(self.names.len(), "name"),
                counted(self.networks.len(), word),
                self.short_count,
                SHADOW_STAY_MAX,
                names.join(", ")
            ),
            explains: false,
        });
    }

    /// Says them on the plane of all owners of the domain together, which is at least reviewed where they are.
    pub fn judge_on(&self, plane: &mut PlaneFinding) {
        self.mention_on(plane);
        if self.is_reviewed() {
            plane.level = plane.level.max(Some(Level::Review));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::Moment;

    #[test]
    fn host_stands_by_when_its_domain_was_delegated_and_when_it_was_named() {
        let day = |day: i64| Timestamp::from_unix(day * 86_400);
        let named = |at: Timestamp, baseline: bool| Stay {
            value: Name::parse("ns1.gone.example").expect("valid"),
            added: Moment {
                version_id: 1,
                at,
                serial: None,
                bulk: false,
                drift: false,
                shared_count: 0,
            },
            removed: None,
            baseline,
        };
        let stands =
            |named_at, delegated| standing_of(&named(named_at, false), delegated, day(100));
        assert_eq!(stands(day(1), None), Some(HostStanding::NotDelegated));
        assert_eq!(stands(day(1), Some((day(0), true))), None);
        assert_eq!(stands(day(1), Some((day(60), false))), None, "long ago");
        let taken = HostStanding::DelegatedAfterNamed(day(90));
        assert_eq!(stands(day(1), Some((day(90), false))), Some(taken));
        let new = HostStanding::NewlyDelegated(day(90));
        assert_eq!(stands(day(95), Some((day(90), false))), Some(new));
        let known = standing_of(&named(day(95), true), Some((day(90), false)), day(100));
        assert_eq!(known, Some(taken), "it was named when watching began");
    }
}
