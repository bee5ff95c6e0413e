//! The stories: what the domain under test does, malicious (M) and benign (B), with seeds.
//!
//! The numbers are those of the literature that docs/explanation/detection.md names (sizes of pools, periods, spread).
//! They were frozen before the detector was tuned on them; later edits are listed in docs/explanation/evaluation.md.
//! Time is seconds from the story's beginning.

use std::collections::BTreeSet;
use std::net::IpAddr;

use fluxwatch::dns::Name;

use crate::numbers::Numbers;

/// Seconds of a minute, an hour, a day.
pub const MINUTE: i64 = 60;
/// See [`MINUTE`].
pub const HOUR: i64 = 3600;
/// See [`MINUTE`].
pub const DAY: i64 = 86_400;

/// What a story is expected to end with, at feeds of every change and of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A report.
    Report,
    /// A case at level review, and no report.
    Review,
    /// No report, and perhaps a case at level review.
    ReviewAtMost,
    /// No case above level watch.
    WatchAtMost,
}

/// Something that happens.
#[derive(Debug, Clone)]
pub enum What {
    /// The delegation's name servers are now these; so many names made the same move at once.
    Ns(Vec<Name>, u32),
    /// A name server's addresses are now these.
    Glue(Name, Vec<IpAddr>),
    /// An owner's own addresses are now these.
    Address(Name, Vec<IpAddr>),
    /// An owner's alias leads there now, or is gone.
    Alias(Name, Option<Name>),
    /// The registry tells of a new registration.
    Registered,
}

/// A story.
pub struct Story {
    /// Its number: `M1` and so on.
    pub id: &'static str,
    /// The domain under test.
    pub domain: Name,
    /// What is there when watching begins.
    pub before: Vec<What>,
    /// What happens, in order of time.
    pub events: Vec<(i64, What)>,
    /// When the bad (or odd) behaviour begins: time to report counts from here.
    pub begins: i64,
    /// When it ends.
    pub ends: i64,
    /// Name servers that many stable names of the portfolio use.
    pub popular: BTreeSet<Name>,
    /// Times in which nobody polls.
    pub gaps: Vec<(i64, i64)>,
}

/// Every story's number, title and expectation.
pub const ALL: [(&str, &str, Expected); 39] = [
    ("M1", "Storm-like double flux", Expected::Report),
    ("M2", "pharmacy single flux", Expected::Report),
    ("M3", "rock-phish", Expected::Report),
    ("M4", "slow double flux", Expected::Report),
    ("M5", "glue flux, child hidden", Expected::Report),
    ("M6", "NS-name flux, 12 h", Expected::Report),
    ("M7", "NS-name flux, 24 h", Expected::Report),
    ("M8", "Dark Cloud", Expected::Report),
    ("M9", "stealth, one address", Expected::Report),
    ("M10", "hosted flux", Expected::Report),
    ("M11", "one network, slow", Expected::Review),
    ("M12", "lives six hours", Expected::Report),
    ("M13", "sleeper of a campaign", Expected::Report),
    ("M14", "intermittent double flux", Expected::Report),
    ("M15", "padded pool", Expected::Report),
    ("M16", "half popular, half fluxing", Expected::Report),
    ("B1", "static site", Expected::WatchAtMost),
    ("B2", "static pool", Expected::WatchAtMost),
    ("B3", "alias flattening", Expected::WatchAtMost),
    ("B4", "several content networks", Expected::ReviewAtMost),
    ("B5", "volunteer pool", Expected::WatchAtMost),
    ("B6", "dynamic DNS, daily", Expected::WatchAtMost),
    ("B7", "dynamic DNS, ten a day", Expected::WatchAtMost),
    ("B7b", "dynamic DNS, three ISPs", Expected::WatchAtMost),
    ("B8", "failover", Expected::WatchAtMost),
    ("B9", "autoscaling, one cloud", Expected::WatchAtMost),
    ("B9b", "autoscaling, four clouds", Expected::ReviewAtMost),
    ("B10", "bulk migration", Expected::WatchAtMost),
    ("B11", "switch, rollback, retry", Expected::WatchAtMost),
    ("B12", "outage, second provider", Expected::WatchAtMost),
    ("B13", "expiry, auction, new owner", Expected::WatchAtMost),
    ("B14", "gradual migration (.lb)", Expected::ReviewAtMost),
    ("B15", "vanity servers renumbered", Expected::WatchAtMost),
    ("B16", "toggling among providers", Expected::WatchAtMost),
    ("B17", "name server on a home line", Expected::WatchAtMost),
    ("B18", "re-signing only", Expected::WatchAtMost),
    ("B20", "drop-catch reuse", Expected::WatchAtMost),
    ("B21", "takedown to a sinkhole", Expected::WatchAtMost),
    ("B22", "missed polls", Expected::WatchAtMost),
];

/// Writes a story.
struct Writer {
    numbers: Numbers,
    story: Story,
}

/// Returns a name.
fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

/// Tells the story with a number, with a seed.
///
/// # Panics
///
/// If there is none with that number.
pub fn tell(id: &str, seed: u64) -> Story {
    let (id, ..) = *ALL
        .iter()
        .find(|(known, ..)| *known == id)
        .expect("a story of that number");
    let salt = id
        .bytes()
        .fold(0_u64, |sum, octet| sum * 131 + u64::from(octet));
    let mut writer = Writer {
        numbers: Numbers(seed.wrapping_mul(0x1_0001) ^ salt),
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
    writer.write();
    let mut story = writer.story;
    story.events.retain(|(at, _)| *at <= story.ends);
    story.events.sort_by_key(|(at, _)| *at);
    story
}

impl Writer {
    /// Returns the owner whose addresses are the site's.
    fn site(&self) -> Name {
        self.story.domain.clone()
    }

    /// Returns the domain's own name server with a number.
    fn own(&self, n: u64) -> Name {
        name(&format!("ns{n}.{}", self.story.domain))
    }

    /// Something happens.
    fn at(&mut self, at: i64, what: What) {
        self.story.events.push((at, what));
    }

    /// The name servers before the story, of a provider: popular, or one that few know.
    fn provider_before(&mut self, provider: &str, popular: bool) {
        let hosts = provider_set(provider);
        if popular {
            self.story.popular.extend(hosts.iter().cloned());
        }
        self.story.before.push(What::Ns(hosts, 0));
    }

    /// The domain's own name servers, with glue, from a time on.
    fn own_servers(&mut self, at: i64, count: u64) {
        let hosts: Vec<Name> = (1..=count).map(|n| self.own(n)).collect();
        for host in &hosts {
            let address = self.numbers.access_address();
            self.at(at, What::Glue(host.clone(), vec![address]));
        }
        self.at(at, What::Ns(hosts, 0));
    }

    /// The glue of one of the domain's name servers after another moves, every `period`.
    fn moving_glue(&mut self, from: i64, to: i64, period: i64, servers: u64, pool: &[IpAddr]) {
        let (mut at, mut turn) = (from + period, 0);
        while at <= to {
            let host = self.own(turn % servers + 1);
            let address = self.numbers.sample(pool, 1);
            self.at(at, What::Glue(host, address));
            turn += 1;
            at += period;
        }
    }

    /// Addresses of the site: `count` of a pool, of which `replaced` change after each pause.
    fn moving_addresses(
        &mut self,
        (from, to): (i64, i64),
        pause: (i64, i64),
        count: usize,
        replaced: usize,
        pool: &[IpAddr],
    ) {
        let mut set = self.numbers.sample(pool, count);
        let mut at = from;
        let site = self.site();
        while at <= to {
            self.at(at, What::Address(site.clone(), set.clone()));
            at += self.numbers.between(pause.0, pause.1);
            let fresh = self.numbers.sample(pool, replaced);
            set.drain(..replaced.min(set.len()));
            set.extend(fresh);
            set.sort();
            set.dedup();
        }
    }

    /// Throw-away name servers: another two of eighty every `period`.
    fn moving_names(&mut self, from: i64, to: i64, period: i64) {
        let pool: Vec<Name> = (0..80)
            .map(|n| name(&format!("ns1.{}{n}.test.", word(&mut self.numbers))))
            .collect();
        let mut at = from;
        while at <= to {
            let set = self.numbers.sample(&pool, 2);
            self.at(at, What::Ns(set, 0));
            at += period;
        }
    }

    /// Writes the events.
    fn write(&mut self) {
        match self.story.id {
            "M1" => {
                let (glue, pool) = (
                    self.numbers.access_pool(3000),
                    self.numbers.access_pool(6000),
                );
                self.own_servers(0, 5);
                self.moving_glue(0, 14 * DAY, 10 * MINUTE, 5, &glue);
                self.moving_addresses((0, 14 * DAY), (2 * MINUTE, 10 * MINUTE), 5, 5, &pool);
            }
            "M2" | "M15" => {
                let mut pool = self.numbers.access_pool(1500);
                if self.story.id == "M15" {
                    // A fifth are addresses of large companies: few networks.
                    for address in pool.iter_mut().step_by(5) {
                        let rank = 40 + self.numbers.below(8);
                        *address = self.numbers.hosting_address(rank);
                    }
                }
                self.provider_before("quiet-dns.test.", true);
                self.moving_addresses((0, 14 * DAY), (5 * MINUTE, 15 * MINUTE), 10, 5, &pool);
            }
            "M3" => {
                self.story.ends = 7 * DAY;
                let pool = self.numbers.access_pool(1121);
                self.provider_before("quiet-dns.test.", true);
                self.moving_addresses((0, 7 * DAY), (30 * MINUTE, 30 * MINUTE), 5, 5, &pool);
            }
            "M4" => self.slow_double(0, 14 * DAY),
            "M5" => {
                let pool = self.numbers.access_pool(300);
                self.own_servers(0, 2);
                self.moving_glue(0, 14 * DAY, 90 * MINUTE, 2, &pool);
            }
            "M6" => self.moving_names(0, 14 * DAY, 12 * HOUR),
            "M7" => self.moving_names(0, 14 * DAY, 24 * HOUR),
            "M8" => {
                let (glue, pool) = (
                    self.numbers.access_pool(600),
                    self.numbers.access_pool(1200),
                );
                self.own_servers(0, 2);
                self.moving_glue(0, 14 * DAY, 2 * HOUR, 2, &glue);
                self.moving_addresses((0, 14 * DAY), (10 * MINUTE, 10 * MINUTE), 10, 6, &pool);
            }
            "M9" => {
                self.story.ends = 10 * DAY;
                let pool: Vec<IpAddr> = (0..200)
                    .map(|_| {
                        let rank = self.numbers.below(16);
                        self.numbers.line_address(rank)
                    })
                    .collect();
                self.provider_before("quiet-dns.test.", true);
                self.moving_addresses((0, 10 * DAY), (30 * MINUTE, 30 * MINUTE), 1, 1, &pool);
            }
            "M10" => {
                self.story.ends = 10 * DAY;
                let pool: Vec<IpAddr> = (0..60)
                    .map(|n| self.numbers.hosting_address(n % 20))
                    .collect();
                self.provider_before("quiet-dns.test.", true);
                self.moving_addresses((0, 10 * DAY), (HOUR, HOUR), 6, 6, &pool);
            }
            "M11" => {
                self.provider_before("quiet-dns.test.", true);
                let pool: Vec<IpAddr> = (0..500).map(|_| self.numbers.hosting_address(3)).collect();
                self.moving_addresses((0, 14 * DAY), (4 * HOUR, 4 * HOUR), 1, 1, &pool);
            }
            "M12" => {
                self.story.ends = DAY;
                let pool = self.numbers.access_pool(2000);
                self.own_servers(0, 2);
                self.moving_glue(0, 6 * HOUR, 30 * MINUTE, 2, &pool);
                self.moving_addresses((0, 6 * HOUR), (5 * MINUTE, 5 * MINUTE), 5, 5, &pool);
                let site = self.site();
                self.at(6 * HOUR, What::Address(site, Vec::new()));
                self.at(6 * HOUR, What::Ns(Vec::new(), 0));
            }
            "M13" => {
                self.story.begins = 28 * DAY;
                self.story.ends = 42 * DAY;
                let pool = self.numbers.access_pool(1500);
                self.provider_before("parking-dns.test.", true);
                self.moving_addresses(
                    (28 * DAY, 42 * DAY),
                    (5 * MINUTE, 15 * MINUTE),
                    10,
                    5,
                    &pool,
                );
            }
            "M14" => {
                self.story.ends = 40 * DAY;
                let mut at = 0;
                while at < 40 * DAY {
                    let burst = self.numbers.between(2 * DAY, 3 * DAY);
                    self.slow_double(at, at + burst);
                    at += burst * 100 / 24;
                }
            }
            "M16" => {
                let providers = provider_set("big-dns.test.");
                self.story.popular.extend(providers.iter().cloned());
                let pool = self.numbers.access_pool(300);
                self.own_servers(0, 2);
                let set = [providers, vec![self.own(1), self.own(2)]].concat();
                self.at(0, What::Ns(set, 0));
                self.moving_glue(0, 14 * DAY, 6 * HOUR, 2, &pool);
            }
            _ => self.write_benign(),
        }
    }

    /// Slow double flux between two times: one glue every 18 hours, four addresses every ten minutes.
    fn slow_double(&mut self, from: i64, to: i64) {
        let (glue, pool) = (
            self.numbers.access_pool(300),
            self.numbers.access_pool(2000),
        );
        if from == 0 {
            self.own_servers(0, 4);
        }
        self.moving_glue(from, to, 18 * HOUR, 4, &glue);
        self.moving_addresses((from, to), (10 * MINUTE, 10 * MINUTE), 4, 4, &pool);
    }

    /// Writes the events of what harms nobody.
    fn write_benign(&mut self) {
        let site = self.site();
        match self.story.id {
            "B1" | "B18" => {
                self.provider_before("quiet-dns.test.", true);
                let address = self.numbers.hosting_address(1);
                self.story.before.push(What::Address(site, vec![address]));
            }
            "B2" => {
                self.provider_before("quiet-dns.test.", true);
                let count = self.numbers.between(6, 80) as usize;
                let pool = self.numbers.access_pool(count);
                self.story.before.push(What::Address(site, pool));
            }
            "B3" | "B4" => {
                self.provider_before("quiet-dns.test.", true);
                let networks = if self.story.id == "B3" { 1 } else { 3 };
                let count = self.numbers.between(70, 80) as u64;
                let pool: Vec<IpAddr> = (0..count)
                    .map(|n| self.numbers.hosting_address(10 + n % networks))
                    .collect();
                self.moving_addresses((0, 14 * DAY), (20, 300), 2, 2, &pool);
            }
            "B5" => {
                self.provider_before("quiet-dns.test.", true);
                let address = |numbers: &mut Numbers| {
                    let rank = numbers.below(45);
                    numbers.line_address(rank)
                };
                let mut set: Vec<IpAddr> = (0..80).map(|_| address(&mut self.numbers)).collect();
                self.story
                    .before
                    .push(What::Address(site.clone(), set.clone()));
                for turn in 1..42 {
                    let leaves = self.numbers.below(set.len() as u64) as usize;
                    set[leaves] = address(&mut self.numbers);
                    self.at(turn * 8 * HOUR, What::Address(site.clone(), set.clone()));
                }
            }
            "B6" | "B7" | "B7b" => {
                self.provider_before("dynamic-dns.test.", true);
                let (pause, lines) = match self.story.id {
                    "B6" => (DAY, 1),
                    "B7" => (DAY / 10, 1),
                    _ => (DAY / 20, 3),
                };
                let mut at = 0;
                while at < 14 * DAY {
                    let line = 3 + self.numbers.below(lines);
                    let address = self.numbers.line_address(line);
                    self.at(at, What::Address(site.clone(), vec![address]));
                    at += pause + self.numbers.between(-pause / 4, pause / 4);
                }
            }
            "B8" => {
                self.provider_before("quiet-dns.test.", true);
                let values: Vec<IpAddr> = (0..3)
                    .map(|n| self.numbers.hosting_address(20 + n))
                    .collect();
                let mut at = 0;
                while at < 14 * DAY {
                    let one = self.numbers.sample(&values, 1);
                    self.at(at, What::Address(site.clone(), one));
                    at += self.numbers.between(40 * MINUTE, 104 * MINUTE);
                }
            }
            "B9" | "B9b" => {
                self.provider_before("quiet-dns.test.", true);
                let clouds = if self.story.id == "B9" { 1 } else { 4 };
                let mut set: Vec<IpAddr> = Vec::new();
                let mut at = 0;
                while at < 14 * DAY {
                    let wanted = self.numbers.between(3, 6) as usize;
                    if set.len() >= wanted {
                        set.remove(0);
                    }
                    while set.len() < wanted {
                        let cloud = 30 + self.numbers.below(clouds);
                        set.push(self.numbers.hosting_address(cloud));
                    }
                    self.at(at, What::Address(site.clone(), set.clone()));
                    at += self.numbers.between(40 * MINUTE, 104 * MINUTE);
                }
            }
            _ => self.write_benign_delegation(),
        }
    }

    /// Writes the events of delegations that harm nobody.
    fn write_benign_delegation(&mut self) {
        let (a, b, c, d) = (
            provider_set("alpha-dns.test."),
            provider_set("bravo-host.test."),
            provider_set("charlie-net.test."),
            provider_set("delta-domains.test."),
        );
        self.story.before.push(What::Ns(a.clone(), 0));
        let jitter = self.numbers.between(0, 3 * HOUR);
        let change = |writer: &mut Self, at: i64, set: &[Name], shared: u32| {
            writer.at(at + jitter, What::Ns(set.to_vec(), shared));
        };
        match self.story.id {
            "B10" => change(self, 2 * DAY, &b, 5000),
            "B11" => {
                for (at, set) in [
                    (6, &b),
                    (20, &a),
                    (44, &b),
                    (70, &[b[0].clone(), name("ns3.bravo-host.test.")].to_vec()),
                ] {
                    change(self, at * HOUR, set, 0);
                }
            }
            "B12" => {
                change(self, 10 * HOUR, &[a.clone(), b].concat(), 0);
                change(self, 50 * HOUR, &a, 0);
            }
            "B13" => {
                self.story.popular.extend(b.iter().chain(&c).cloned());
                change(self, DAY, &b, 0);
                change(self, 4 * DAY, &[], 0);
                self.at(5 * DAY + jitter, What::Registered);
                change(self, 5 * DAY, &c, 0);
                change(self, 8 * DAY, &d, 0);
                change(self, 12 * DAY, &a, 0);
            }
            "B14" => {
                // Seven name servers of three operators become nine, one step after another.
                let of = |operator: &str, count: u64| -> Vec<Name> {
                    (1..=count)
                        .map(|n| name(&format!("ns{n}.{operator}")))
                        .collect()
                };
                let (old, new, third) = (
                    of("registry-a.test.", 4),
                    of("anycast-b.test.", 6),
                    of("university-c.test.", 3),
                );
                self.story.before = vec![What::Ns([old.clone(), third.clone()].concat(), 0)];
                let steps: [(i64, Vec<Name>); 4] = [
                    (0, [&old[..], &third[..], &new[..2]].concat()),
                    (49 * HOUR, [&old[..2], &third[..], &new[..4]].concat()),
                    (98 * HOUR, [&old[..1], &third[..], &new[..5]].concat()),
                    (149 * HOUR, [&third[..], &new[..6]].concat()),
                ];
                for (at, set) in &steps {
                    change(self, DAY + at, set, 0);
                }
            }
            "B15" => {
                let hosts = [name("ns1.vanity.example."), name("ns2.vanity.example.")];
                self.story.before = vec![What::Ns(hosts.to_vec(), 0)];
                for host in &hosts {
                    let address = self.numbers.hosting_address(7);
                    self.story
                        .before
                        .push(What::Glue(host.clone(), vec![address]));
                }
                for (n, host) in hosts.iter().enumerate() {
                    let address = self.numbers.hosting_address(8);
                    self.at(
                        DAY + n as i64 * 10 * MINUTE,
                        What::Glue(host.clone(), vec![address]),
                    );
                }
            }
            "B16" => {
                let sets = [&a, &b, &c, &d];
                self.story.popular = sets.iter().flat_map(|set| set.iter().cloned()).collect();
                for turn in 1..=7 {
                    let set = sets[turn as usize % 4].clone();
                    change(self, turn * 7 * HOUR - HOUR, &set, 0);
                }
            }
            "B17" => {
                let hosts = [self.own(1), name("ns2.friend.test.")];
                self.story.before = vec![What::Ns(hosts.to_vec(), 0)];
                let line = 3 + self.numbers.below(2);
                for day in 0..14 {
                    let address = self.numbers.line_address(line + u64::from(day % 5 == 4));
                    self.at(
                        day * DAY + jitter,
                        What::Glue(hosts[0].clone(), vec![address]),
                    );
                }
            }
            "B20" => {
                change(self, 3 * DAY, &[], 0);
                self.at(3 * DAY + jitter + 60, What::Registered);
                let at = 3 * DAY + 60;
                change(self, at, &b, 0);
                change(self, at + 2 * HOUR, &c, 0);
                change(self, at + DAY, &d, 0);
            }
            "B21" => {
                let sinkhole = vec![name("ns1.sinkhole.test."), name("ns2.sinkhole.test.")];
                change(self, 2 * DAY, &sinkhole, 200);
            }
            "B22" => {
                for (day, set) in [(2, &b), (3, &c), (4, &a), (9, &d)] {
                    change(self, day * DAY, set, 0);
                }
                let begins = self.numbers.between(DAY, 2 * DAY);
                let lasts = self.numbers.between(DAY, 5 * DAY);
                self.story.gaps = vec![(begins, begins + lasts)];
            }
            other => panic!("no story {other}"),
        }
    }
}

/// Returns the two name servers of a provider.
fn provider_set(provider: &str) -> Vec<Name> {
    vec![
        name(&format!("ns1.{provider}")),
        name(&format!("ns2.{provider}")),
    ]
}

/// Returns a word of letters that nobody uses.
fn word(numbers: &mut Numbers) -> String {
    (0..9)
        .map(|_| char::from(b'a' + numbers.below(26) as u8))
        .collect()
}
