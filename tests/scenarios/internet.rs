//! A made Internet: networks with their prefixes, and seeded draws from them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fluxwatch::detector::Knowledge;
use fluxwatch::dns::{Name, is_under_private_suffix, operator_domain};

/// Access networks, of which the first ten hold 43 % of the draws (Zipf with exponent 1, as the agents of
/// Holz et al. were spread).
const ACCESS_NETWORKS: u64 = 600;
/// Hosting networks.
const HOSTING_NETWORKS: u64 = 60;
/// Prefixes of a network.
const PREFIXES: u64 = 4;
/// The first number of an access network.
const ACCESS_BASE: u32 = 100_000;
/// The first number of a hosting network.
const HOSTING_BASE: u32 = 200_000;

/// A seeded sequence of numbers (splitmix64).
#[derive(Clone)]
pub struct Numbers(pub u64);

impl Numbers {
    /// Returns the next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    /// Returns a number from `first` to `last`, both included.
    pub fn between(&mut self, first: i64, last: i64) -> i64 {
        first + self.below((last - first + 1) as u64) as i64
    }

    /// Returns a share of 0 to 1, 1 excluded.
    fn share(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns `count` different members of a pool.
    pub fn sample<T: Clone>(&mut self, pool: &[T], count: usize) -> Vec<T> {
        let mut pool = pool.to_vec();
        (0..count.min(pool.len()))
            .map(|_| pool.swap_remove(self.below(pool.len() as u64) as usize))
            .collect()
    }

    /// Returns an address of an access network.
    pub fn access_address(&mut self) -> IpAddr {
        // The inverse of Zipf's distribution, near enough: ranks are exponential in the share.
        let rank = ((ACCESS_NETWORKS as f64).powf(self.share()) - 1.0) as u64;
        self.address_of(rank)
    }

    /// Returns an address of the hosting network with a rank.
    pub fn hosting_address(&mut self, rank: u64) -> IpAddr {
        self.address_of(ACCESS_NETWORKS + rank % HOSTING_NETWORKS)
    }

    /// Returns an address of the access network with a rank.
    pub fn line_address(&mut self, rank: u64) -> IpAddr {
        self.address_of(rank % ACCESS_NETWORKS)
    }

    /// Returns an address of a network.
    fn address_of(&mut self, network: u64) -> IpAddr {
        let prefix = network * PREFIXES + self.below(PREFIXES);
        let host = self.below(65_534) + 1;
        let [c, d] = (host as u16).to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(20 + (prefix >> 8) as u8, prefix as u8, c, d))
    }

    /// Returns so many addresses of access networks.
    pub fn access_pool(&mut self, count: usize) -> Vec<IpAddr> {
        (0..count).map(|_| self.access_address()).collect()
    }
}

/// Returns the IPv6 address that stands for an address of IPv4: a network's /32, a /48 of its own.
pub fn as_v6(address: IpAddr) -> IpAddr {
    let IpAddr::V4(v4) = address else {
        return address;
    };
    let [a, b, c, d] = v4.octets();
    let network = (u16::from(a) << 8 | u16::from(b)) / PREFIXES as u16;
    let site = u16::from(c) << 8 | u16::from(d);
    IpAddr::V6(Ipv6Addr::new(0x2a00, network, site, 0, 0, 0, 0, 1))
}

/// What is known of the made Internet.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Whether there is a table of autonomous systems.
    pub has_table: bool,
}

impl Knowledge for Known {
    fn asn(&self, address: IpAddr) -> Option<u32> {
        if !self.has_table {
            return None;
        }
        let prefix = match address {
            IpAddr::V4(v4) => {
                let [a, b, ..] = v4.octets();
                (u64::from(a).checked_sub(20)? << 8) | u64::from(b)
            }
            IpAddr::V6(v6) => {
                let [first, network, ..] = v6.segments();
                if first != 0x2a00 {
                    return None;
                }
                (u64::from(network) * PREFIXES).checked_sub(20 << 8)?
            }
        };
        let network = prefix / PREFIXES;
        Some(if network < ACCESS_NETWORKS {
            ACCESS_BASE + network as u32
        } else {
            HOSTING_BASE + (network - ACCESS_NETWORKS) as u32
        })
    }

    fn asn_name(&self, _: u32) -> Option<&str> {
        None
    }

    fn has_asn_table(&self) -> bool {
        self.has_table
    }

    fn operator(&self, host: &Name) -> Name {
        operator_domain(host)
    }

    fn is_hosting(&self, asn: u32) -> bool {
        asn >= HOSTING_BASE
    }

    fn is_shared(&self, _: IpAddr) -> bool {
        false
    }

    fn shared_ranges(&self) -> Option<(&str, &str)> {
        None
    }

    fn is_under_private_suffix(&self, name: &Name) -> bool {
        is_under_private_suffix(name)
    }
}
