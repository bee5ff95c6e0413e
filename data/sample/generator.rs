//! Makes the sample zones: three flux domains among look-alikes, from a seed.
//!
//! The sample is data, not a demonstration of skill: every role is a plain loop over hours. Addresses
//! come from 10.0.0.0/8 (RFC 1918) with an address table of their own, since the documentation blocks
//! are too small to show a spread over networks; AS numbers are those for documentation (RFC 5398);
//! names end in .example and .test (RFC 2606). `examples/make_sample.rs` writes it to files, the tests
//! make it anew with other names and at other times.

#![allow(
    clippy::too_many_lines,
    reason = "a role is one loop over hours, told in its order"
)]

use crate::numbers::Numbers;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

/// 2026-11-01T00:00:00Z.
const START: i64 = 1_793_491_200;
/// Seconds of an hour.
const HOUR: i64 = 3600;
/// Versions of the registry zone, one an hour.
const REGISTRY_HOURS: i64 = 84;
/// Versions of the hosted zone, one an hour.
const HOSTED_HOURS: i64 = 36;
/// Hours that the feed covers.
const FEED_HOURS: i64 = 36;
/// How many networks the address table has: all AS numbers for documentation.
pub const NETWORKS: u32 = 32;
/// How many /16 each network has.
const PREFIXES: u64 = 7;
/// The second octet of the first /16.
const FIRST_PREFIX: u64 = 16;

/// What may differ between two samples that must be judged alike.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Chooses addresses.
    pub seed: u64,
    /// Chooses names.
    pub names_seed: u64,
    /// Seconds that every time is moved by; whole hours.
    pub shift_s: i64,
}

/// A made sample.
pub struct Sample {
    /// Path below the sample's folder, and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// The domain that plays each role, with its final dot.
    pub roles: BTreeMap<&'static str, String>,
}

impl Numbers {
    /// Returns an address of a network, counted modulo [`NETWORKS`], in any of its prefixes.
    fn address(&mut self, network: u64) -> String {
        let prefix = FIRST_PREFIX
            + network % u64::from(NETWORKS)
            + u64::from(NETWORKS) * self.below(PREFIXES);
        format!("10.{prefix}.{}.{}", self.below(256), 1 + self.below(254))
    }
}

/// Chooses names that look like names and occur once.
struct Names {
    numbers: Numbers,
    used: Vec<String>,
}

impl Names {
    /// Returns a new label.
    fn label(&mut self) -> String {
        const FIRST: [&str; 16] = [
            "amber", "birch", "cedar", "copper", "field", "garden", "harbor", "iron", "lake",
            "maple", "north", "orchard", "paper", "quiet", "river", "stone",
        ];
        const SECOND: [&str; 16] = [
            "bakery", "books", "camera", "choir", "cycles", "ferry", "gale", "kite", "lantern",
            "market", "moss", "museum", "press", "school", "tours", "works",
        ];
        loop {
            let label = format!(
                "{}-{}",
                FIRST[self.numbers.below(16) as usize],
                SECOND[self.numbers.below(16) as usize]
            );
            if !self.used.contains(&label) {
                self.used.push(label.clone());
                return label;
            }
        }
    }
}

/// Makes the sample.
pub fn generate(options: Options) -> Sample {
    let mut names = Names {
        numbers: Numbers(options.names_seed),
        used: Vec::new(),
    };
    let mut roles = BTreeMap::new();
    let mut files = vec![("asn.csv".to_owned(), address_table().into_bytes())];
    registry(&options, &mut names, &mut roles, &mut files);
    hosted(&options, &mut names, &mut roles, &mut files);
    feed(&options, &mut names, &mut roles, &mut files);
    Sample { files, roles }
}

/// Returns the address table: some /16 and one /48 for each network.
fn address_table() -> String {
    let mut table = String::from("start,end,asn,organisation\n");
    for network in 0..NETWORKS {
        let asn = if network < 16 {
            64_496 + network
        } else {
            65_520 + network
        };
        for prefix in 0..PREFIXES {
            let octet = FIRST_PREFIX + u64::from(network) + u64::from(NETWORKS) * prefix;
            writeln!(
                table,
                "10.{octet}.0.0,10.{octet}.255.255,{asn},Sample Network {}",
                network + 1
            )
            .expect("text grows");
        }
        writeln!(table, "2001:db8:{network:x}::,2001:db8:{network:x}:ffff:ffff:ffff:ffff:ffff,{asn},Sample Network {}", network + 1).expect("text grows");
    }
    table
}

/// Compresses a file; the same text gives the same octets.
fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), flate2::Compression::best());
    encoder
        .write_all(text.as_bytes())
        .expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

/// Returns a time as file names carry it.
fn stamp(at: i64) -> String {
    let (days, rest) = (at.div_euclid(86_400), at.rem_euclid(86_400));
    // Days to date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}{:02}{:02}",
        rest / 3600,
        rest % 3600 / 60
    )
}

/// The registry's zone `example.`: one name-server flux, a migration of many names, a gradual
/// migration, a change taken back, name servers on a dynamic line, and names that never change.
fn registry(
    options: &Options,
    names: &mut Names,
    roles: &mut BTreeMap<&'static str, String>,
    files: &mut Vec<(String, Vec<u8>)>,
) {
    let mut numbers = Numbers(options.seed);
    let providers: Vec<String> = (0..4).map(|_| names.label()).collect();
    let still: Vec<String> = (0..60).map(|_| names.label()).collect();
    let moved: Vec<String> = (0..14).map(|_| names.label()).collect();
    let [flux, gradual, undone, home] =
        [names.label(), names.label(), names.label(), names.label()];
    for (role, label) in [
        ("ns-flux", &flux),
        ("gradual migration", &gradual),
        ("change taken back", &undone),
        ("name servers on a dynamic line", &home),
        ("migration of many names", &moved[0]),
    ] {
        roles.insert(role, format!("{label}.example."));
    }
    let pair = |provider: usize| {
        [
            format!("ns1.{}.test.", providers[provider]),
            format!("ns2.{}.test.", providers[provider]),
        ]
    };
    let mut flux_glue = [numbers.address(0), numbers.address(1)];
    let mut home_glue = numbers.address(5);
    for hour in 0..=REGISTRY_HOURS {
        // From hour 30 on, every two hours, one of the two name servers gets a new address.
        if hour >= 30 && hour % 2 == 0 {
            flux_glue[(hour / 2 % 2) as usize] = numbers.address(2 + hour as u64);
        }
        if hour % 12 == 5 {
            home_glue = numbers.address(5 + (hour / 12) as u64 % 2);
        }
        let mut text = format!(
            "$ORIGIN example.\n$TTL 86400\n@ IN SOA ns1.registry.test. hostmaster.registry.test. {} 1800 900 604800 3600\n@ IN NS ns1.registry.test.\n@ IN NS ns2.registry.test.\n",
            2_026_110_000 + hour
        );
        let mut delegate = |label: &str, hosts: &[String]| {
            hosts
                .iter()
                .for_each(|host| writeln!(text, "{label} IN NS {host}").expect("text grows"))
        };
        for (i, label) in still.iter().enumerate() {
            delegate(label, &pair(i % 2));
        }
        for label in &moved {
            delegate(label, &pair(if hour < 40 { 2 } else { 3 }));
        }
        // Make before break: the new pair is added, then the old one is taken out, one by one.
        let step = [
            (20, pair(0).to_vec()),
            (44, [pair(0).to_vec(), pair(1).to_vec()].concat()),
            (68, [vec![pair(0)[0].clone()], pair(1).to_vec()].concat()),
            (i64::MAX, pair(1).to_vec()),
        ];
        let set = step
            .iter()
            .find(|(until, _)| hour < *until)
            .map(|(_, set)| set.clone())
            .unwrap_or_default();
        delegate(&gradual, &set);
        delegate(&undone, &pair(if (50..53).contains(&hour) { 3 } else { 2 }));
        delegate(
            &flux,
            &[
                format!("ns1.{flux}.example."),
                format!("ns2.{flux}.example."),
            ],
        );
        delegate(&home, &[format!("ns1.{home}.example.")]);
        for (i, address) in flux_glue.iter().enumerate() {
            writeln!(text, "ns{}.{flux} IN A {address}", i + 1).expect("text grows");
        }
        writeln!(text, "ns1.{home} IN A {home_glue}").expect("text grows");
        files.push((
            format!(
                "registry/example-{}.zone.gz",
                stamp(START + options.shift_s + hour * HOUR)
            ),
            gzip(&text),
        ));
    }
}

/// A hosted zone that fluxes in both planes: its name servers' addresses and its own.
fn hosted(
    options: &Options,
    names: &mut Names,
    roles: &mut BTreeMap<&'static str, String>,
    files: &mut Vec<(String, Vec<u8>)>,
) {
    let mut numbers = Numbers(options.seed ^ 1);
    let label = names.label();
    // The file's name must not tell the domain: the configuration names the zone.
    roles.insert("double-flux", format!("{label}.test."));
    let mut hosts: Vec<String> = (0..3).map(|network| numbers.address(network)).collect();
    let mut addresses: Vec<String> = (0..6).map(|network| numbers.address(network + 3)).collect();
    for hour in 0..=HOSTED_HOURS {
        if hour >= 13 {
            hosts[(hour % 3) as usize] = numbers.address(hour as u64);
        }
        if hour >= 12 {
            for i in 0..3 {
                addresses[((hour * 3 + i) % 6) as usize] = numbers.address((hour * 5 + i) as u64);
            }
        }
        let mut text = format!(
            "$ORIGIN {label}.test.\n$TTL 300\n@ IN SOA ns1 hostmaster {} 1800 900 604800 300\n",
            2_026_110_000 + hour
        );
        for (i, host) in hosts.iter().enumerate() {
            writeln!(text, "@ IN NS ns{0}\nns{0} IN A {host}", i + 1).expect("text grows");
        }
        for address in &addresses {
            writeln!(text, "@ 120 IN A {address}").expect("text grows");
        }
        text.push_str("www IN CNAME @\n@ IN TXT \"v=spf1 -all\"\n");
        files.push((
            format!(
                "hosted/hosted-{}.zone.gz",
                stamp(START + options.shift_s + hour * HOUR)
            ),
            gzip(&text),
        ));
    }
}

/// Lines of the feed, by time.
struct Lines {
    lines: Vec<(i64, String)>,
    shift_s: i64,
}

impl Lines {
    /// Adds the first version of a zone: its name servers and addresses.
    fn begin(&mut self, zone: &str, host: &str, addresses: &[String], ttl: u32) {
        self.add(0, format!(r#""zone":"{zone}","rrname":"{zone}","rrtype":"NS","op":"set","ttl":86400,"rdata":["ns1.{host}","ns2.{host}"]"#));
        self.set(0, zone, addresses, ttl);
    }

    /// Adds a whole address set, `minutes` after the start.
    fn set(&mut self, minutes: i64, zone: &str, addresses: &[String], ttl: u32) {
        let rdata: Vec<String> = addresses
            .iter()
            .map(|address| format!("\"{address}\""))
            .collect();
        self.add(minutes, format!(r#""zone":"{zone}","rrname":"{zone}","rrtype":"A","op":"set","ttl":{ttl},"rdata":[{}]"#, rdata.join(",")));
    }

    /// Adds a line.
    fn add(&mut self, minutes: i64, fields: String) {
        let at = START + self.shift_s + minutes * 60;
        self.lines.push((at, format!("{{\"at\":{at},{fields}}}\n")));
    }
}

/// Hosted zones by feed: one single flux among a static pool, a failover, a dynamic address, an alias
/// that is flattened, and a volunteer pool.
fn feed(
    options: &Options,
    names: &mut Names,
    roles: &mut BTreeMap<&'static str, String>,
    files: &mut Vec<(String, Vec<u8>)>,
) {
    let mut numbers = Numbers(options.seed ^ 2);
    let provider = format!("{}.test.", names.label());
    let zones: Vec<String> = (0..6).map(|_| format!("{}.test.", names.label())).collect();
    let [flux, robin, failover, dynamic, alias, pool] =
        [0, 1, 2, 3, 4, 5].map(|i| zones[i].as_str());
    for (role, zone) in [
        ("single-flux", flux),
        ("round robin", robin),
        ("failover", failover),
        ("dynamic address", dynamic),
        ("flattened alias", alias),
        ("volunteer pool", pool),
    ] {
        roles.insert(role, zone.to_owned());
    }
    let mut lines = Lines {
        lines: Vec::new(),
        shift_s: options.shift_s,
    };
    let many = |numbers: &mut Numbers, count: u64, networks: u64| {
        (0..count)
            .map(|i| numbers.address(i % networks))
            .collect::<Vec<_>>()
    };
    let mut flux_set = many(&mut numbers, 5, 5);
    let robin_set = many(&mut numbers, 12, 4);
    let failover_sets = [vec![numbers.address(7)], vec![numbers.address(8)]];
    let mut pool_set = many(&mut numbers, 40, 20);
    lines.begin(flux, &provider, &flux_set, 180);
    lines.begin(robin, &provider, &robin_set, 60);
    lines.begin(failover, &provider, &failover_sets[0], 60);
    lines.begin(dynamic, &provider, &[numbers.address(11)], 60);
    let alias_set = many(&mut numbers, 2, 1);
    lines.begin(alias, &provider, &alias_set, 60);
    lines.begin(pool, &provider, &pool_set, 150);
    for minutes in (20..=FEED_HOURS * 60).step_by(10) {
        // Half of the set is new every 20 minutes, from a pool over all networks.
        if minutes >= 360 && minutes % 20 == 0 {
            for i in 0..3 {
                flux_set[((minutes / 20 * 3 + i) % 5) as usize] =
                    numbers.address((minutes / 20 * 7 + i) as u64);
            }
            lines.set(minutes, flux, &flux_set, 180);
        }
        // The order turns and the TTL changes; the set stays.
        if minutes % 60 == 0 {
            let mut turned = robin_set.clone();
            turned.rotate_left((minutes / 60 % 12) as usize);
            lines.set(minutes, robin, &turned, 30 + (minutes / 60 % 2) as u32 * 30);
        }
        if minutes % 90 == 0 {
            lines.set(
                minutes,
                failover,
                &failover_sets[(minutes / 90 % 2) as usize],
                60,
            );
        }
        if minutes % 180 == 0 {
            lines.set(
                minutes,
                dynamic,
                &[numbers.address(11 + (minutes / 180 % 2) as u64)],
                60,
            );
        }
        if minutes % 30 == 0 {
            let flattened = many(&mut numbers, 2, 1);
            lines.set(minutes, alias, &flattened, 60);
        }
        if minutes % 480 == 0 {
            pool_set[(minutes / 480 % 40) as usize] = numbers.address((minutes / 480) as u64);
            lines.set(minutes, pool, &pool_set, 150);
        }
    }
    lines.lines.sort_by_key(|(at, _)| *at);
    files.push((
        "customers.ndjson".to_owned(),
        lines
            .lines
            .into_iter()
            .map(|(_, line)| line)
            .collect::<String>()
            .into_bytes(),
    ));
}
