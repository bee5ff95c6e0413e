//! More stories: what harms nobody and was once reported or reviewed (L), and what somebody does who has read
//! docs/explanation/detection.md (A). Their numbers were written down before they were run, and are not edited after.

use std::collections::BTreeSet;
use std::net::IpAddr;

use fluxwatch::dns::Name;

use super::stories::{DAY, Expected, HOUR, Story, What};
use crate::numbers::Numbers;

/// Every story's number, title and expectation.
pub const MORE: [(&str, &str, Expected); 28] = [
    (
        "L1",
        "three small providers tried in three days",
        Expected::Review,
    ),
    (
        "L2",
        "slips at set-up and their correction",
        Expected::WatchAtMost,
    ),
    (
        "L3",
        "three secondaries added, a day each",
        Expected::WatchAtMost,
    ),
    (
        "L4",
        "name servers renamed, addresses kept",
        Expected::WatchAtMost,
    ),
    (
        "L5",
        "hoster that renumbers 13 hosts",
        Expected::WatchAtMost,
    ),
    (
        "L6",
        "pairs of one provider, assigned anew",
        Expected::WatchAtMost,
    ),
    (
        "L7",
        "drop-catch, auction, resale in three days",
        Expected::ReviewAtMost,
    ),
    ("A1", "one name of twelve, every 12 h", Expected::Report),
    ("A2", "13 hosts, each address 72 h", Expected::Report),
    ("A3", "13 hosts, each address 120 h", Expected::Review),
    (
        "A4",
        "names under one foreign domain, every 3 h",
        Expected::Review,
    ),
    (
        "A5",
        "one label under three suffixes, every 6 h",
        Expected::Review,
    ),
    (
        "A6",
        "old servers, then another pair every 11 h",
        Expected::Report,
    ),
    (
        "L8",
        "services of one owner each, moved",
        Expected::WatchAtMost,
    ),
    (
        "A7",
        "16 hosts, one has glue at a time, 3 h",
        Expected::Report,
    ),
    ("A8", "an owner used once each, an hour", Expected::Review),
    ("A9", "12 owners, one at a time, 3 h", Expected::Review),
    (
        "A10",
        "pool shown slowly, then rotated hourly",
        Expected::Review,
    ),
    (
        "A11",
        "names of a popular operator, hourly",
        Expected::Review,
    ),
    (
        "A12",
        "a dozen names move alike, every 12 h",
        Expected::Report,
    ),
    ("A13", "bots of two access networks", Expected::Review),
    (
        "A14",
        "glue shown slowly, then rotated hourly",
        Expected::Report,
    ),
    (
        "L9",
        "balanced over six content networks",
        Expected::ReviewAtMost,
    ),
    (
        "L10",
        "balanced over eight content networks",
        Expected::ReviewAtMost,
    ),
    (
        "L11",
        "short-lived machines of five clouds",
        Expected::ReviewAtMost,
    ),
    (
        "L12",
        "a dozen nodes at home, one name",
        Expected::ReviewAtMost,
    ),
    (
        "L13",
        "dynamic address behind a tunnel",
        Expected::ReviewAtMost,
    ),
    (
        "L14",
        "seeders of a peer-to-peer network",
        Expected::ReviewAtMost,
    ),
];

/// Returns a name.
fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

/// Returns the two name servers of a provider.
fn pair(provider: &str) -> Vec<Name> {
    [1, 2].map(|n| name(&format!("ns{n}.{provider}"))).to_vec()
}

/// Tells the story with a number, with a seed.
///
/// # Panics
///
/// If there is none with that number.
pub fn tell_more(id: &str, seed: u64) -> Story {
    let (id, ..) = *MORE
        .iter()
        .find(|(known, ..)| *known == id)
        .expect("a story of that number");
    let mut writer = Writer {
        numbers: Numbers(
            seed.wrapping_mul(0x3_0001)
                ^ id.bytes()
                    .fold(0, |sum, octet| sum * 131 + u64::from(octet)),
        ),
        story: Story {
            id,
            domain: name("subject.example."),
            before: Vec::new(),
            events: Vec::new(),
            begins: 0,
            ends: 14 * DAY,
            popular: BTreeSet::new(),
            gaps: Vec::new(),
        },
    };
    if id.starts_with('L') {
        writer.write_look_alike()
    } else {
        writer.write_attack()
    }
    let mut story = writer.story;
    story.events.retain(|(at, _)| *at <= story.ends);
    story.events.sort_by_key(|(at, _)| *at);
    story
}

/// Writes a story.
struct Writer {
    numbers: Numbers,
    story: Story,
}

impl Writer {
    /// The name servers are these from a time on.
    fn servers(&mut self, at: i64, set: &[Name]) {
        let jitter = self.numbers.between(0, HOUR);
        self.story
            .events
            .push((at + jitter, What::Ns(set.to_vec(), 0)));
    }

    /// The domain had these name servers long before.
    fn servers_before(&mut self, set: &[Name]) {
        self.story.before.push(What::Ns(set.to_vec(), 0));
    }

    /// The domain had so many name servers of its own long before, each with an address of a hoster.
    fn own_servers_before(&mut self, count: u64) -> Vec<Name> {
        let own: Vec<Name> = (1..=count)
            .map(|n| name(&format!("ns{n}.{}", self.story.domain)))
            .collect();
        self.servers_before(&own);
        for host in &own {
            let address = vec![self.numbers.hosting_address(7)];
            self.story.before.push(What::Glue(host.clone(), address));
        }
        own
    }

    /// One after another, the hosts get another address of an access network, every `period`.
    fn moving_glue(&mut self, hosts: &[Name], period: i64) {
        let mut at = period;
        for host in hosts.iter().cycle() {
            if at > self.story.ends {
                break;
            }
            let address = vec![self.numbers.access_address()];
            self.story
                .events
                .push((at, What::Glue(host.clone(), address)));
            at += period;
        }
    }

    /// Returns a word of letters that nobody uses.
    fn word(&mut self) -> String {
        (0..9)
            .map(|_| char::from(b'a' + self.numbers.below(26) as u8))
            .collect()
    }

    /// Writes the events of what harms nobody.
    fn write_look_alike(&mut self) {
        let providers = [
            "alpha-dns.test.",
            "bravo-host.invalid.",
            "charlie-net.test.",
            "delta-domains.invalid.",
        ];
        let [a, b, c, d] = providers.map(pair);
        match self.story.id {
            "L1" => {
                self.servers_before(&a);
                for (hours, set) in [(6, &b), (28, &c), (54, &d)] {
                    self.servers(hours * HOUR, set);
                }
            }
            "L2" => {
                self.servers_before(&a);
                let slips = [
                    "ns1.brav-host.invalid.",
                    "ns1.bravo-hots.invalid.",
                    "ns1.brvo-host.invalid.",
                ];
                for (turn, slip) in slips.iter().enumerate() {
                    let at = (6 + 20 * turn as i64) * HOUR;
                    self.servers(at, &[name(slip), b[1].clone()]);
                }
                self.servers(66 * HOUR, &b);
            }
            "L3" => {
                self.servers_before(&a);
                let mut set = a;
                for (day, more) in [(1, b), (2, c), (3, d)] {
                    set.extend(more);
                    self.servers(day * DAY, &set);
                }
            }
            "L4" => {
                let own = self.own_servers_before(4);
                let mut set = own.clone();
                for (n, host) in own.iter().enumerate() {
                    let new = name(&format!(
                        "{}.dns.{}",
                        (b'a' + n as u8) as char,
                        self.story.domain
                    ));
                    let address = self.story.before.iter().find_map(|what| match what {
                        What::Glue(known, address) if known == host => Some(address.clone()),
                        _ => None,
                    });
                    let at = DAY + n as i64 * 12 * HOUR;
                    let address = address.expect("every server has one");
                    self.story
                        .events
                        .push((at, What::Glue(new.clone(), address)));
                    set[n] = new;
                    self.story.events.push((at, What::Ns(set.clone(), 0)));
                }
            }
            "L5" => {
                let own = self.own_servers_before(13);
                for (n, host) in own.iter().enumerate() {
                    let address = vec![self.numbers.hosting_address(n as u64 % 5)];
                    let at = DAY + n as i64 * 4 * HOUR;
                    self.story
                        .events
                        .push((at, What::Glue(host.clone(), address)));
                }
            }
            "L6" => {
                self.servers_before(&a);
                for (hours, names) in [
                    (4, ["ada", "bob"]),
                    (20, ["cleo", "dan"]),
                    (47, ["eve", "finn"]),
                    (50, ["gus", "hal"]),
                ] {
                    let set = names.map(|it| name(&format!("{it}.ns.bravo-host.test.")));
                    self.servers(hours * HOUR, &set);
                }
            }
            "L7" => {
                self.servers_before(&a);
                self.servers(5 * HOUR, &[]);
                self.servers(6 * HOUR, &b);
                self.servers(30 * HOUR, &c);
                self.servers(70 * HOUR, &d);
            }
            "L8" => {
                self.servers_before(&a);
                for n in 0..40 {
                    let owner = name(&format!("s{n}.{}", self.story.domain));
                    let address = vec![self.numbers.hosting_address(n)];
                    self.story
                        .before
                        .push(What::Address(owner.clone(), address));
                    let at = n as i64 * 4 * HOUR;
                    let address = vec![self.numbers.hosting_address(n + 7)];
                    self.story.events.push((at, What::Address(owner, address)));
                }
            }
            _ => self.write_service(),
        }
    }

    /// The domain's own address set is this from a time on.
    fn addresses(&mut self, at: i64, set: Vec<IpAddr>) {
        let owner = self.story.domain.clone();
        self.story.events.push((at, What::Address(owner, set)));
    }

    /// Writes the events of services that rotate, for three days.
    fn write_service(&mut self) {
        self.story.ends = 3 * DAY;
        match self.story.id {
            "L9" | "L10" => {
                let networks = if self.story.id == "L9" { 6 } else { 8 };
                for turn in 0..3 * 144 {
                    let network = 10 + self.numbers.below(networks);
                    let set = [0, 1].map(|_| self.numbers.hosting_address(network));
                    self.addresses(turn * 600, set.to_vec());
                }
            }
            "L11" => {
                let mut set: Vec<IpAddr> = (0..5)
                    .map(|n| self.numbers.hosting_address(30 + n))
                    .collect();
                for turn in 0..3 * 48 {
                    let cloud = turn as u64 % 5;
                    set[cloud as usize] = self.numbers.hosting_address(30 + cloud);
                    self.addresses(turn * 1800, set.clone());
                }
            }
            "L12" => {
                let mut set: Vec<IpAddr> = (0..12).map(|n| self.numbers.line_address(n)).collect();
                for turn in 0..3 * 12 {
                    let node = turn as u64 % 12;
                    set[node as usize] = self.numbers.line_address(node);
                    self.addresses(turn * 7200, set.clone());
                }
            }
            "L13" => {
                for turn in 0..30 {
                    let address = match turn % 5 {
                        0 => self.numbers.line_address(3),
                        _ => {
                            let exit = self.numbers.below(6);
                            self.numbers.hosting_address(20 + exit)
                        }
                    };
                    self.addresses(turn * 8640, vec![address]);
                }
            }
            "L14" => {
                let pool: Vec<IpAddr> = (0..3000).map(|_| self.numbers.access_address()).collect();
                for turn in 0..3 * 48 {
                    let set = self.numbers.sample(&pool, 25);
                    self.addresses(turn * 1800, set);
                }
            }
            other => panic!("no story {other}"),
        }
    }

    /// Writes the events of what means harm.
    fn write_attack(&mut self) {
        match self.story.id {
            "A1" => {
                let still: Vec<Name> = (0..11)
                    .map(|n| name(&format!("ns{n}.quiet-dns.test.")))
                    .collect();
                self.servers_before(&still);
                for turn in 0..28 {
                    let one = name(&format!("ns1.{}.test.", self.word()));
                    self.servers(turn * 12 * HOUR, &[&still[..], &[one]].concat());
                }
            }
            "A2" | "A3" => {
                let own = self.own_servers_before(13);
                let stay = if self.story.id == "A2" { 72 } else { 120 };
                self.moving_glue(&own, stay * HOUR / 13);
            }
            "A4" => {
                for turn in 0..112 {
                    let set = [0, 1].map(|n| name(&format!("n{}.one.test.", turn * 2 + n)));
                    self.story
                        .events
                        .push((turn * 3 * HOUR, What::Ns(set.to_vec(), 0)));
                }
            }
            "A5" => {
                for turn in 0..56 {
                    let set = ["test", "invalid", "example"]
                        .map(|suffix| name(&format!("ns{turn}.bad-dns.{suffix}.")));
                    self.story
                        .events
                        .push((turn * 6 * HOUR, What::Ns(set.to_vec(), 0)));
                }
            }
            "A6" => {
                self.servers_before(&pair("alpha-dns.test."));
                for turn in 0..30 {
                    let set = [0, 1].map(|_| name(&format!("ns1.{}.test.", self.word())));
                    self.story
                        .events
                        .push((turn * 11 * HOUR, What::Ns(set.to_vec(), 0)));
                }
            }
            _ => self.write_hidden_attack(),
        }
    }

    /// Another of some names gets an address, and the one before loses its own, every `period`.
    fn taking_turns(&mut self, period: i64, count: i64, what: impl Fn(i64, Vec<IpAddr>) -> What) {
        let turns = self.story.ends / period;
        for turn in 0..turns {
            let address = vec![self.numbers.access_address()];
            let at = turn * period;
            self.story.events.push((at, what(turn % count, address)));
            if turn > 0 {
                self.story
                    .events
                    .push((at, what((turn - 1) % count, Vec::new())));
            }
        }
    }

    /// Writes the events of what means harm and hides behind what is excused, or is not compared.
    fn write_hidden_attack(&mut self) {
        let domain = self.story.domain.clone();
        let owner = |n: i64| name(&format!("w{n}.{domain}"));
        match self.story.id {
            "A7" => {
                let own = self.own_servers_before(16);
                for host in &own {
                    self.story.before.push(What::Glue(host.clone(), Vec::new()));
                }
                self.taking_turns(3 * HOUR, 16, |n, address| {
                    What::Glue(own[n as usize].clone(), address)
                });
            }
            "A8" => self.taking_turns(HOUR, i64::MAX, |n, address| {
                What::Address(owner(n), address)
            }),
            "A9" => self.taking_turns(3 * HOUR, 12, |n, address| What::Address(owner(n), address)),
            "A10" | "A14" => {
                let pool: Vec<IpAddr> =
                    (0..28).map(|n| self.numbers.line_address(n % 14)).collect();
                let own = match self.story.id {
                    "A14" => self.own_servers_before(1),
                    _ => Vec::new(),
                };
                self.story.begins = 28 * 2 * DAY;
                self.story.ends = self.story.begins + 5 * DAY;
                let show = |address: &[IpAddr]| match own.first() {
                    Some(host) => What::Glue(host.clone(), address.to_vec()),
                    None => What::Address(domain.clone(), address.to_vec()),
                };
                for (day, address) in pool.iter().enumerate() {
                    self.story
                        .events
                        .push((day as i64 * 2 * DAY, show(&[*address])));
                }
                for turn in 0..120 {
                    let one = self.numbers.sample(&pool, 1);
                    self.story
                        .events
                        .push((self.story.begins + turn * HOUR, show(&one)));
                }
            }
            "A11" => {
                let pool: Vec<Name> = (0..20)
                    .map(|n| name(&format!("ns{n}.parked.example.")))
                    .collect();
                self.story.popular = pool.iter().cloned().collect();
                for turn in 0..14 * 24 {
                    let set = self.numbers.sample(&pool, 2);
                    self.story.events.push((turn * HOUR, What::Ns(set, 0)));
                }
            }
            "A12" => {
                for turn in 0..28 {
                    let set = [0, 1].map(|_| name(&format!("ns1.{}.test.", self.word())));
                    self.story
                        .events
                        .push((turn * 12 * HOUR, What::Ns(set.to_vec(), 12)));
                }
            }
            "A13" => {
                let pool: Vec<IpAddr> =
                    (0..500).map(|n| self.numbers.line_address(n % 2)).collect();
                for turn in 0..14 * 24 * 6 {
                    let set = self.numbers.sample(&pool, 4);
                    self.story
                        .events
                        .push((turn * 600, What::Address(domain.clone(), set)));
                }
            }
            other => panic!("no story {other}"),
        }
    }
}
