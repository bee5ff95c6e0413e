//! What is known of addresses and names beyond the zone: autonomous systems, operator domains, content
//! networks, registrations.

mod asn;
mod builtin;
mod lists;
mod registrations;
mod table;

pub use asn::AsnTable;
pub use builtin::{BuiltInTable, pack_table};
pub use lists::{HostingNetworks, SharedRanges};
pub use registrations::{Registration, Registrations};
pub use table::{TableError, TableSummary};

use std::net::IpAddr;

use crate::detector::Knowledge;
use crate::dns::{Name, is_under_private_suffix, operator_domain};
use crate::time::Timestamp;

/// Large clouds, content networks and hosting providers, by number: Amazon, Google, Microsoft, Oracle, IBM, Alibaba,
/// Tencent, Huawei, Yandex; Cloudflare, Akamai, Fastly, Edgecast, Limelight, Imperva, G-Core, Datacamp, Bunny; OVH,
/// Hetzner, DigitalOcean, Vultr, Leaseweb, Contabo, IONOS, GoDaddy, Hostinger, Scaleway and others. Chosen by hand, each
/// held against its name in the built-in table (June 2026).
#[rustfmt::skip]
const CLOUDS: [u32; 73] = [
    8068, 8069, 8075, 8560, 9009, 12876, 13335, 14061, 14618, 15133,
    15169, 16276, 16509, 16625, 19527, 19551, 19994, 20473, 20940, 21342,
    22822, 24940, 26496, 27357, 28753, 30148, 30633, 31898, 32787, 33070,
    36007, 36351, 36408, 37963, 40021, 45090, 45102, 46606, 47583, 50340,
    51167, 54113, 55286, 55293, 55990, 59253, 60068, 60626, 60781, 61317,
    62785, 63473, 63949, 132203, 133752, 135377, 136907, 139190, 141995, 197540,
    199524, 200325, 200350, 202053, 209242, 212238, 212317, 213230, 395747, 396356,
    396982, 398101, 400940,
];

/// Everything the program knows beyond the zones.
#[derive(Debug, Default)]
pub struct Enrichment {
    /// Address ranges and their autonomous systems: the table that is configured, else the one that is built in; none
    /// where that is turned off.
    pub asn: Option<Networks>,
    /// Which autonomous systems are hosting providers, if a list is configured.
    pub hosting: Option<HostingNetworks>,
    /// Addresses of content networks and clouds, if a list is configured.
    pub shared: Option<SharedRanges>,
    /// When domains were registered, if a file is configured.
    pub registrations: Option<Registrations>,
}

/// A table of autonomous systems.
#[derive(Debug)]
pub enum Networks {
    /// One that was read from a file.
    Read(AsnTable),
    /// The one that comes with the program.
    BuiltIn(BuiltInTable),
}

impl Networks {
    /// Returns what the table holds.
    pub fn summary(&self) -> &TableSummary {
        match self {
            Self::Read(table) => table.summary(),
            Self::BuiltIn(table) => table.summary(),
        }
    }

    /// Returns its date and which table it is, as people are told: `2026-06-17 (built in; …)`.
    pub fn label(&self) -> Option<String> {
        let date = self.summary().made_at?.to_date();
        Some(match self {
            Self::Read(_) => date,
            Self::BuiltIn(_) => format!("{date} ({})", BuiltInTable::title()),
        })
    }

    /// Returns the autonomous system of an address, if the table holds it.
    pub fn lookup(&self, address: IpAddr) -> Option<u32> {
        match self {
            Self::Read(table) => table.lookup(address),
            Self::BuiltIn(table) => table.lookup(address),
        }
    }
}

impl Knowledge for Enrichment {
    fn asn(&self, address: IpAddr) -> Option<u32> {
        self.asn.as_ref()?.lookup(address)
    }

    fn asn_name(&self, asn: u32) -> Option<&str> {
        match self.asn.as_ref()? {
            Networks::Read(table) => table.name(asn),
            Networks::BuiltIn(table) => table.name(asn),
        }
    }

    fn asn_table_at(&self) -> Option<Timestamp> {
        self.asn.as_ref()?.summary().made_at
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

    fn is_cloud(&self, asn: u32) -> bool {
        CLOUDS.binary_search(&asn).is_ok()
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
