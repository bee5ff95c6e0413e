//! A made Internet: networks with their prefixes, and seeded draws from them.

use crate::numbers::Numbers;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use fluxwatch::detector::Knowledge;
use fluxwatch::dns::{Name, is_under_private_suffix, operator_domain};

use super::networks::{ACCESS, HOSTING};

/// Access networks, of which the first ten hold 43 % of the draws (Zipf with exponent 1, as the agents of
/// Holz et al. were spread).
const ACCESS_NETWORKS: u64 = ACCESS.len() as u64;
/// Hosting networks.
const HOSTING_NETWORKS: u64 = HOSTING.len() as u64;
/// The /16 that is the first network's first.
const FIRST_V4: u32 = 20 << 8;
/// The /32 that is the first network's first.
const FIRST_V6: u32 = 0x2a00_0000;
/// Where the prefixes of each network begin, and those of the last end: of IPv4, of IPv6.
static BEGINS: LazyLock<[Vec<u32>; 2]> = LazyLock::new(|| {
    let counts: Vec<(u32, u32)> = ACCESS.into_iter().chain(HOSTING).collect();
    let sums = |first: u32, count: &dyn Fn(&(u32, u32)) -> u32| {
        let mut next = first;
        let mut begins = vec![first];
        begins.extend(counts.iter().map(|pair| {
            next += count(pair);
            next
        }));
        begins
    };
    [
        sums(FIRST_V4, &|pair| pair.0),
        sums(FIRST_V6, &|pair| pair.1),
    ]
});
/// The first number of an access network.
const ACCESS_BASE: u32 = 100_000;
/// The first number of a hosting network.
const HOSTING_BASE: u32 = 200_000;

impl Numbers {
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
        let network = network as usize;
        let [first, next] = [BEGINS[0][network], BEGINS[0][network + 1]];
        let prefix = first + self.below(u64::from(next - first)) as u32;
        let host = self.below(65_534) as u32 + 1;
        IpAddr::V4(Ipv4Addr::from(prefix << 16 | host))
    }

    /// Returns so many addresses of access networks.
    pub fn access_pool(&mut self, count: usize) -> Vec<IpAddr> {
        (0..count).map(|_| self.access_address()).collect()
    }
}

/// Returns the network that has a prefix.
fn network_of(begins: &[u32], prefix: u32) -> Option<u32> {
    let after = begins.partition_point(|first| *first <= prefix);
    let network = after.checked_sub(1)?;
    (network + 1 < begins.len()).then_some(network as u32)
}

/// Returns the number of a network.
fn number_of(network: u32) -> u32 {
    match network.checked_sub(ACCESS_NETWORKS as u32) {
        None => ACCESS_BASE + network,
        Some(rank) => HOSTING_BASE + rank,
    }
}

/// The made Internet as a table, for the whole program: a range of IPv4 for each network.
#[allow(dead_code)]
pub fn table() -> String {
    let begins = BEGINS[0].windows(2).enumerate();
    begins.fold(String::new(), |mut text, (network, pair)| {
        let (first, last) = (
            Ipv4Addr::from(pair[0] << 16),
            Ipv4Addr::from((pair[1] << 16) - 1),
        );
        let number = number_of(network as u32);
        writeln!(text, "{first},{last},{number}").expect("text grows");
        text
    })
}

/// Returns the IPv6 address that stands for an address of IPv4: one of its network's /32, a /48 of its own.
pub fn as_v6(address: IpAddr) -> IpAddr {
    let IpAddr::V4(v4) = address else {
        return address;
    };
    let prefix = u32::from(v4) >> 16;
    let [v4_begins, v6_begins] = &*BEGINS;
    let Some(network) = network_of(v4_begins, prefix) else {
        return address;
    };
    let network = network as usize;
    let [first, next] = [v6_begins[network], v6_begins[network + 1]];
    let v6_prefix = first + (prefix - v4_begins[network]) % (next - first);
    let site = u32::from(v4) as u16;
    let [high, low] = [(v6_prefix >> 16) as u16, v6_prefix as u16];
    IpAddr::V6(Ipv6Addr::new(high, low, site, 0, 0, 0, 0, 1))
}

/// What is known of the made Internet.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Whether there is a table of autonomous systems.
    pub has_table: bool,
    /// Whether it has ranges of IPv6.
    pub has_v6: bool,
}

impl Knowledge for Known {
    fn asn(&self, address: IpAddr) -> Option<u32> {
        if !self.has_table {
            return None;
        }
        let network = match address {
            IpAddr::V4(v4) => network_of(&BEGINS[0], u32::from(v4) >> 16)?,
            IpAddr::V6(_) if !self.has_v6 => return None,
            IpAddr::V6(v6) => network_of(&BEGINS[1], (u128::from(v6) >> 96) as u32)?,
        };
        Some(number_of(network))
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
