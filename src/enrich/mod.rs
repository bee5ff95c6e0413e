//! What is known of addresses and names beyond the zone: autonomous systems, operator domains, content
//! networks, registrations.

mod asn;
mod lists;
mod registrations;
mod table;

pub use asn::AsnTable;
pub use lists::{HostingNetworks, SharedRanges};
pub use registrations::{Registration, Registrations};
pub use table::{TableError, TableSummary};

use std::net::IpAddr;

use crate::detector::Knowledge;
use crate::dns::{Name, is_under_private_suffix, operator_domain};

/// Everything the program knows beyond the zones.
#[derive(Debug, Default)]
pub struct Enrichment {
    /// Address ranges and their autonomous systems, if a table is configured.
    pub asn: Option<AsnTable>,
    /// Which autonomous systems are hosting providers, if a list is configured.
    pub hosting: Option<HostingNetworks>,
    /// Addresses of content networks and clouds, if a list is configured.
    pub shared: Option<SharedRanges>,
    /// When domains were registered, if a file is configured.
    pub registrations: Option<Registrations>,
}

impl Knowledge for Enrichment {
    fn asn(&self, address: IpAddr) -> Option<u32> {
        self.asn.as_ref()?.lookup(address)
    }

    fn asn_name(&self, asn: u32) -> Option<&str> {
        self.asn.as_ref()?.name(asn)
    }

    fn has_asn_table(&self) -> bool {
        self.asn.is_some()
    }

    fn operator(&self, host: &Name) -> Name {
        operator_domain(host)
    }

    fn is_hosting(&self, asn: u32) -> bool {
        self.hosting.as_ref().is_some_and(|list| list.holds(asn))
    }

    fn is_shared(&self, address: IpAddr) -> bool {
        self.shared.as_ref().is_some_and(|list| list.holds(address))
    }

    fn shared_ranges(&self) -> Option<(&str, &str)> {
        let list = self.shared.as_ref()?;
        Some((&list.source, &list.date))
    }

    fn is_under_private_suffix(&self, name: &Name) -> bool {
        is_under_private_suffix(name)
    }
}
