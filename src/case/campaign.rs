//! Campaigns: cases that share what few others use. Pure.
//!
//! Two suspected domains belong together if they share at least [`HOSTS_SHARED_MIN`] name servers that are
//! not a provider's, or at least [`ADDRESSES_SHARED_MIN`] addresses that are not a content network's. A
//! pool of hacked machines is shared by the names of one network (Nazario and Holz 2008 found 14 names an
//! address on average).

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::detector::{Finding, Knowledge, Level};
use crate::dns::Name;

/// Name servers that two cases of one campaign share at least.
const HOSTS_SHARED_MIN: u32 = 2;
/// Addresses that two cases of one campaign share at least.
const ADDRESSES_SHARED_MIN: u32 = 5;
/// The most addresses of one finding that are compared.
const ADDRESSES_MAX: usize = 500;

/// What a finding rests on and another may share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traits {
    /// Name servers that are not a provider's and not below the domain itself.
    pub hosts: BTreeSet<Name>,
    /// Addresses that are not a content network's.
    pub addresses: BTreeSet<IpAddr>,
}

/// What two cases share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shared {
    /// Rare name servers.
    pub hosts: u32,
    /// Addresses.
    pub addresses: u32,
}

impl Traits {
    /// Returns the traits of a finding; none below level review.
    pub fn of(finding: &Finding, knowledge: &dyn Knowledge) -> Self {
        if finding.level < Level::Review {
            return Self::default();
        }
        let planes = || finding.nameservers.iter().chain(&finding.addresses);
        let hosts = planes().flat_map(|plane| &plane.names);
        let hosts = hosts.filter(|it| !it.popular && !it.host.is_at_or_below(&finding.domain));
        // Those that are there now first: they are what another domain can be found with.
        let mut addresses: Vec<_> = planes()
            .filter(|plane| plane.level >= Some(Level::Review))
            .flat_map(|plane| &plane.addresses)
            .filter(|it| !knowledge.is_shared(it.address))
            .collect();
        addresses.sort_by_key(|it| !it.present);
        Self {
            hosts: hosts.map(|it| it.host.clone()).collect(),
            addresses: addresses
                .into_iter()
                .take(ADDRESSES_MAX)
                .map(|it| it.address)
                .collect(),
        }
    }

    /// Returns whether there is nothing that could be shared.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.addresses.is_empty()
    }
}

impl Shared {
    /// Returns whether it is enough for one campaign.
    pub fn joins(&self) -> bool {
        self.hosts >= HOSTS_SHARED_MIN || self.addresses >= ADDRESSES_SHARED_MIN
    }

    /// Returns it in words.
    pub fn words(&self) -> String {
        let count = |count: u32, one: &str, many: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            _ => Some(format!("{count} {many}")),
        };
        let parts = [
            count(self.hosts, "rare name server", "rare name servers"),
            count(self.addresses, "address", "addresses"),
        ];
        parts
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" and ")
    }
}

/// Returns the name of the campaign whose first case has a number.
pub fn campaign_reference(id: i64) -> String {
    format!("FC-{id}")
}
