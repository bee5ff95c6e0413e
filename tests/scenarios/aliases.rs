//! Stories of aliases: what an owner's CNAME leads to, malicious (MC) and benign (BC). Their numbers were written down
//! before they were run, and are not edited after.

use std::collections::BTreeSet;

use fluxwatch::dns::Name;

use super::stories::{DAY, Expected, HOUR, MINUTE, Story, What};
use crate::numbers::Numbers;

/// Every story's number, title and expectation.
pub const ALIASES: [(&str, &str, Expected); 21] = [
    ("MC1", "alias to a fresh domain, hourly", Expected::Report),
    (
        "MC2",
        "alias to a fresh domain, every 10 min",
        Expected::Report,
    ),
    ("MC3", "double flux, NS and CNAME", Expected::Report),
    ("MC4", "alias over 40 domains, hourly", Expected::Report),
    (
        "MC5",
        "alias to a fresh domain, every 6 h",
        Expected::Report,
    ),
    (
        "MC6",
        "an owner used once each, alias, hourly",
        Expected::Review,
    ),
    (
        "MC7",
        "12 domains shown slowly, then hourly",
        Expected::Review,
    ),
    (
        "MC8",
        "every second target a content network's",
        Expected::Report,
    ),
    ("BC1", "steering among two networks", Expected::WatchAtMost),
    (
        "BC2",
        "steering among three networks",
        Expected::WatchAtMost,
    ),
    ("BC3", "steering among five networks", Expected::WatchAtMost),
    (
        "BC4",
        "balancing by alias among 12 sites",
        Expected::WatchAtMost,
    ),
    (
        "BC5",
        "staged migration, rollback of two",
        Expected::WatchAtMost,
    ),
    ("BC6", "two variants in turn", Expected::WatchAtMost),
    ("BC7", "proofs for certificates", Expected::WatchAtMost),
    ("BC8", "keys of mail services", Expected::WatchAtMost),
    (
        "BC9",
        "platform moves 40 owners at once",
        Expected::WatchAtMost,
    ),
    (
        "BC10",
        "a build a time at a platform",
        Expected::WatchAtMost,
    ),
    (
        "BC11",
        "five platforms tried in a week",
        Expected::WatchAtMost,
    ),
    (
        "BC12",
        "customers' names come and go",
        Expected::WatchAtMost,
    ),
    (
        "BC13",
        "nine services ask for proofs",
        Expected::WatchAtMost,
    ),
];

/// Returns a name.
fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

/// Tells the story with a number, with a seed.
///
/// # Panics
///
/// If there is none with that number.
pub fn tell_alias(id: &str, seed: u64) -> Story {
    let (id, ..) = *ALIASES
        .iter()
        .find(|(known, ..)| *known == id)
        .expect("a story of that number");
    let salt = id
        .bytes()
        .fold(0_u64, |sum, octet| sum * 131 + u64::from(octet));
    let mut writer = Writer {
        numbers: Numbers(seed.wrapping_mul(0x5_0001) ^ salt),
        count: 0,
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
    if id.starts_with('M') {
        writer.write_flux()
    } else {
        writer.write_harmless()
    }
    let mut story = writer.story;
    story.events.retain(|(at, _)| *at <= story.ends);
    story.events.sort_by_key(|(at, _)| *at);
    story
}

/// Writes a story.
struct Writer {
    numbers: Numbers,
    /// Domains that were made up.
    count: u32,
    story: Story,
}

impl Writer {
    /// Returns a name below a domain that nobody has seen.
    fn fresh(&mut self) -> Name {
        self.count += 1;
        let word = self.numbers.below(1 << 40);
        name(&format!("edge.q{word:x}x{}.test.", self.count))
    }

    /// Leads an owner of the domain to a target at a time.
    fn lead(&mut self, at: i64, owner: &str, target: Option<Name>) {
        let owner = name(&format!("{owner}.subject.example."));
        self.story.events.push((at, What::Alias(owner, target)));
    }

    /// Has an owner lead to a target when watching begins.
    fn stand(&mut self, owner: &str, target: &str) {
        let owner = name(&format!("{owner}.subject.example."));
        let what = What::Alias(owner, Some(name(target)));
        self.story.before.push(what);
    }

    /// Returns the times from the beginning to the end, a period apart, each up to a tenth of it later.
    fn times(&mut self, period: i64) -> Vec<i64> {
        let times = (0..self.story.ends / period).map(|turn| turn * period);
        times
            .map(|at| at + self.numbers.between(0, period / 10))
            .collect()
    }

    /// Leads `www` to one of some targets, drawn each time, every period.
    fn steer(&mut self, targets: &[&str], period: i64) {
        self.stand("www", targets[0]);
        for at in self.times(period) {
            let target = targets[self.numbers.below(targets.len() as u64) as usize];
            self.lead(at, "www", Some(name(target)));
        }
    }

    /// Writes a malicious one.
    fn write_flux(&mut self) {
        self.stand("www", "subject.quiet-hosting.test.");
        match self.story.id {
            "MC1" => self.rotate(HOUR),
            "MC2" => self.rotate(10 * MINUTE),
            "MC3" => {
                self.rotate(HOUR);
                self.rotate_nameservers();
            }
            "MC4" => {
                let pool: Vec<Name> = (0..40).map(|_| self.fresh()).collect();
                for (turn, at) in self.times(HOUR).into_iter().enumerate() {
                    self.lead(at, "www", Some(pool[turn % 40].clone()));
                }
            }
            "MC5" => self.rotate(6 * HOUR),
            "MC6" => {
                for (turn, at) in self.times(HOUR).into_iter().enumerate() {
                    let (owner, target) = (format!("n{turn}"), self.fresh());
                    self.lead(at, &owner, Some(target));
                    self.lead(at + HOUR, &owner, None);
                }
            }
            "MC7" => {
                self.story.begins = 36 * DAY;
                self.story.ends = 42 * DAY;
                let pool: Vec<Name> = (0..12).map(|_| self.fresh()).collect();
                for (turn, target) in (0..).zip(&pool) {
                    self.lead(turn * 3 * DAY, "www", Some(target.clone()));
                }
                for turn in 0..6 * 24_usize {
                    let at = 36 * DAY + turn as i64 * HOUR;
                    self.lead(at, "www", Some(pool[turn * 5 % 12].clone()));
                }
            }
            _ => {
                for (turn, at) in self.times(HOUR).into_iter().enumerate() {
                    let target = match turn % 2 {
                        0 => self.fresh(),
                        _ => name(&format!("d{turn}.cloudfront.net.")),
                    };
                    self.lead(at, "www", Some(target));
                }
            }
        }
    }

    /// Leads `www` to a fresh domain every period.
    fn rotate(&mut self, period: i64) {
        for at in self.times(period) {
            let target = self.fresh();
            self.lead(at, "www", Some(target));
        }
    }

    /// Has two other name servers every 12 hours, below domains that nobody has seen.
    fn rotate_nameservers(&mut self) {
        let pair = |writer: &mut Self| vec![writer.fresh(), writer.fresh()];
        let first = pair(self);
        self.story.before.push(What::Ns(first, 1));
        for at in self.times(12 * HOUR) {
            let set = pair(self);
            self.story.events.push((at, What::Ns(set, 1)));
        }
    }

    /// Writes a benign one.
    fn write_harmless(&mut self) {
        let vendors = [
            "subject.map.north-edge.test.",
            "subject.cdn.south-edge.test.",
            "subject.p.west-edge.test.",
            "subject.a.east-edge.test.",
            "subject.far-edge.test.",
        ];
        match self.story.id {
            "BC1" => self.steer(&["d111.cloudfront.net.", vendors[0]], 5 * MINUTE),
            "BC2" => self.steer(&vendors[..3], HOUR + 12 * MINUTE),
            "BC3" => self.steer(&vendors, 30 * MINUTE),
            "BC4" => {
                let sites: Vec<String> = (0..12)
                    .map(|site| format!("site{site}.balancer.test."))
                    .collect();
                let sites: Vec<&str> = sites.iter().map(String::as_str).collect();
                self.steer(&sites, 15 * MINUTE);
            }
            "BC5" => self.migrate(&vendors),
            "BC6" => {
                self.stand("www", vendors[0]);
                for (turn, at) in self.times(4 * HOUR).into_iter().enumerate() {
                    self.lead(at, "www", Some(name(vendors[(turn + 1) % 2])));
                }
            }
            "BC7" => self.prove_certificates(),
            "BC8" => self.rotate_keys(),
            "BC9" => self.move_customers(),
            "BC10" => {
                self.stand("preview", "build-0.netlify.app.");
                for (turn, at) in self.times(72 * MINUTE).into_iter().enumerate() {
                    let target = name(&format!("build-{}.netlify.app.", turn + 1));
                    self.lead(at, "preview", Some(target));
                }
            }
            "BC11" => {
                self.stand("www", "subject.quiet-hosting.test.");
                for turn in 0..5 {
                    let (at, target) = (turn * 30 * HOUR, self.fresh());
                    self.lead(at, "www", Some(target));
                }
            }
            "BC12" => self.serve_customers(),
            _ => {
                for turn in 0..9 {
                    let (owner, target) = (format!("proof{turn}"), self.fresh());
                    let at = self.numbers.between(0, 2 * DAY);
                    self.lead(at, &owner, Some(target));
                    let stays = self.numbers.between(HOUR, 12 * HOUR);
                    self.lead(at + stays, &owner, None);
                }
            }
        }
    }

    /// Moves eight owners from one vendor to another, some hours apart, and two of them back and once more.
    fn migrate(&mut self, vendors: &[&str]) {
        for n in 0..8 {
            let owner = format!("app{n}");
            self.stand(&owner, vendors[0]);
            let at = n * 6 * HOUR;
            self.lead(at, &owner, Some(name(vendors[1])));
            if n < 2 {
                self.lead(at + HOUR, &owner, Some(name(vendors[0])));
                self.lead(at + DAY, &owner, Some(name(vendors[1])));
            }
        }
    }

    /// Proves twelve hosts to three authorities, each proof for less than a day, every 5 days.
    fn prove_certificates(&mut self) {
        let authorities = ["first-ca.test", "second-ca.test", "third-ca.test"];
        for round in 0..3 {
            for n in 0..12_i64 {
                let at = round * 5 * DAY + n * 20 * MINUTE;
                let (hash, proof) = (self.numbers.below(1 << 48), self.numbers.below(1 << 48));
                let authority = authorities[n as usize % 3];
                let owner = format!("_{hash:x}.host{n}");
                self.lead(at, &owner, Some(name(&format!("_{proof:x}.{authority}."))));
                let stays = self.numbers.between(HOUR, 20 * HOUR);
                self.lead(at + stays, &owner, None);
            }
        }
    }

    /// Goes to and fro between two mail services with three selectors each.
    fn rotate_keys(&mut self) {
        for turn in 0..4 {
            for selector in 1..4 {
                let service = ["post-office.test", "mail-house.test"][turn as usize % 2];
                let target = name(&format!("s{selector}.u{turn}.{service}."));
                self.lead(
                    turn * 3 * DAY,
                    &format!("s{selector}._domainkey"),
                    Some(target),
                );
            }
        }
    }

    /// Moves forty owners at once: three times among clusters of one domain, then to another domain and back.
    fn move_customers(&mut self) {
        let clusters = [
            "c1.platform.test.",
            "c2.platform.test.",
            "c3.platform.test.",
            "c1.platform.test.",
            "edge.platform-cdn.test.",
            "c1.platform.test.",
            "edge.platform-cdn.test.",
        ];
        for n in 0..40 {
            self.stand(&format!("shop{n}"), clusters[0]);
            for (turn, cluster) in (0..).zip(clusters).skip(1) {
                self.lead(turn * 8 * HOUR, &format!("shop{n}"), Some(name(cluster)));
            }
        }
    }

    /// Has sixty customers' names that lead to the customers' own domains; two a day join, and a fifth of these leave
    /// within the day.
    fn serve_customers(&mut self) {
        for n in 0..60 {
            let target = self.fresh();
            self.stand(&format!("old{n}"), &target.to_string());
        }
        for n in 0..28 {
            let (owner, target) = (format!("new{n}"), self.fresh());
            let at = n * 12 * HOUR + self.numbers.between(0, 6 * HOUR);
            self.lead(at, &owner, Some(target));
            if n % 5 == 0 {
                let stays = self.numbers.between(HOUR, 20 * HOUR);
                self.lead(at + stays, &owner, None);
            }
        }
    }
}
