//! Prefixes, which stand in for networks where no table says whose an address is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Serialize, Serializer};

/// A prefix that stands in for a network: `10.3.0.0/16`, `2001:db8::/32`. Its first address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(IpAddr);

impl Prefix {
    /// Returns whether it is one of IPv6 addresses.
    pub(super) fn is_ipv6(self) -> bool {
        self.0.is_ipv6()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = if self.0.is_ipv4() { 16 } else { 32 };
        write!(f, "{}/{length}", self.0)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Returns the prefix of an address.
pub(super) fn prefix_of(address: IpAddr) -> Prefix {
    Prefix(match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            Ipv4Addr::new(a, b, 0, 0).into()
        }
        IpAddr::V6(address) => {
            let [a, b, ..] = address.segments();
            Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0).into()
        }
    })
}
