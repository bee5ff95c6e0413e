//! What is suspected of a domain: a pure function of its history, what is known of its addresses,
//! and a policy. See docs/explanation/detection.md for every formula.
//!
//! Three planes are judged apart. The **name-server plane** is a delegation's NS names *and* the
//! addresses of those name servers; the **address plane** is an owner's own A and AAAA records in a
//! hosted zone; the **alias plane** is what an owner's CNAME leads to there. One zone version is one change instant, however many records it touches. Event time
//! alone rules: the wall clock is not to be had here.

mod address_plane;
mod alias_plane;
mod alike;
mod events;
mod features;
mod finding;
mod held;
mod nameserver_plane;
mod nameserver_steps;
mod nameserver_window;
mod operators;
mod plane_checks;
mod policy;
mod prefix;
mod replay;
mod sorted;
mod timeline;
mod vouching;
mod whose;
mod zone_evidence;

pub use address_plane::{AddressWindow, evaluate_addresses, evaluate_owners};
pub use alias_plane::{
    AliasWindow, evaluate_alias_owners, evaluate_aliases, operator_of, without_known_operators,
};
pub use finding::{
    Check, Finding, Gate, Level, Plane, PlaneFinding, Planes, SeenAddress, SeenName, Term, Verdict,
    Weight, judge, judge_planes,
};
pub use nameserver_plane::{
    NameserverReplay, evaluate_nameservers, judge_nameservers, without_excuses,
};
pub use nameserver_window::{NameserverWindow, Operated, Operator};
pub use policy::{
    AddressPolicy, AliasPolicy, DetectPolicy, NameserverPolicy, POLICY_NUMBER, POLICY_VERSION,
};
pub use prefix::Prefix;
pub use timeline::{BULK_7D_MAX, ChangePoint, ChangedHost, Departure, LeftOut, Moment, Stay};
pub use vouching::{LARGE_PROVIDER_NAMES, VOUCHED_WITHIN, Vouching, is_vouching_asked};
pub use whose::{review_left_behind, review_scattered, review_unproven};
pub use zone_evidence::{
    HostStanding, NEWLY_DELEGATED, Shadows, SittingHost, mark_sitting_hosts, new_owners,
    old_before, shadows, standing_of,
};

use std::net::IpAddr;

use crate::dns::Name;
use crate::time::Timestamp;

/// What is known about addresses and names beyond the zone. Implemented by the enrich room.
pub trait Knowledge {
    /// Returns the number of the autonomous system that announces an address, if the table has it.
    fn asn(&self, address: IpAddr) -> Option<u32>;

    /// Returns the name of an autonomous system, if the table gives one.
    fn asn_name(&self, asn: u32) -> Option<&str>;

    /// Returns whether there is a table at all; without one, prefixes stand in.
    fn has_asn_table(&self) -> bool;

    /// Returns when that table was made, if it is known.
    fn asn_table_at(&self) -> Option<Timestamp> {
        None
    }

    /// Returns the operator domain of a name server: its registrable domain by the Public Suffix
    /// List, or the name itself if it has none.
    fn operator(&self, host: &Name) -> Name;

    /// Returns whether an autonomous system is known to be a hosting provider's.
    fn is_hosting(&self, asn: u32) -> bool;

    /// Returns whether an autonomous system is that of a large cloud, content network or hosting provider, by a list
    /// that the program comes with.
    fn is_cloud(&self, asn: u32) -> bool {
        let _ = asn;
        false
    }

    /// Returns whether an address is one of a content network's or cloud's published ranges.
    fn is_shared(&self, address: IpAddr) -> bool;

    /// Returns where those ranges are from and when they were published; `None` if there is no list.
    fn shared_ranges(&self) -> Option<(&str, &str)>;

    /// Returns whether a name lies under a service that lets others have names below its own, such as
    /// dynamic DNS.
    fn is_under_private_suffix(&self, name: &Name) -> bool;
}
