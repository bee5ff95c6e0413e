//! What is known of addresses and names beyond the zone: autonomous systems and operator domains.

mod asn;
mod suffix;

pub use asn::{AsnTable, AsnTableError};
pub use suffix::{case_domain, operator_domain};

use std::net::IpAddr;

use crate::detector::Knowledge;
use crate::dns::Name;

/// Everything the program knows beyond the zones.
#[derive(Debug, Default)]
pub struct Enrichment {
    /// Address ranges and their autonomous systems, if a table is configured.
    pub asn: Option<AsnTable>,
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
}
