//! What the detector says: terms, gates, checks, level and verdict.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::detector::prefix::Prefix;
use crate::detector::timeline::ChangePoint;
use crate::dns::Name;
use crate::time::Timestamp;

/// How sure, from the least. In order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Changes often; nothing else is said.
    Watch,
    /// Worth a person's look; nobody is mailed.
    Review,
    /// The abuse desk is told.
    Report,
}

impl Level {
    /// Returns the word in listings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Review => "review",
            Self::Report => "report",
        }
    }

    /// Returns the level that [`Level::word`] gave `word` for.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Watch, Self::Review, Self::Report]
            .into_iter()
            .find(|level| level.word() == word)
    }
}

/// What is suspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Name servers and addresses rotate.
    DoubleFlux,
    /// Name servers rotate; the addresses do not, or cannot be seen.
    NsFlux,
    /// Addresses rotate.
    SingleFlux,
}

impl Verdict {
    /// Returns the word in listings.
    pub fn word(self) -> &'static str {
        match self {
            Self::DoubleFlux => "double-flux",
            Self::NsFlux => "ns-flux",
            Self::SingleFlux => "single-flux",
        }
    }

    /// Returns the verdict that [`Verdict::word`] gave `word` for.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::DoubleFlux, Self::NsFlux, Self::SingleFlux]
            .into_iter()
            .find(|verdict| verdict.word() == word)
    }
}

/// The check of name servers that a reported delegation left behind.
pub(super) const LEFT_BEHIND_CHECK: &str = "name servers of a reported domain that is gone";

/// The check of name servers of which no user has enough.
pub(super) const SCATTERED_CHECK: &str = "name servers of different users";

/// The check of addresses that only a hosted zone of others tells, which nobody is known to delegate.
pub(super) const UNPROVEN_CHECK: &str = "name servers in zones of others";

/// The name of the check for published ranges of content networks and clouds.
pub(super) const SHARED_CHECK: &str = "content networks and clouds";
/// The name of the check for services that rotate as flux does.
pub(super) const SERVICE_CHECK: &str = "services that look alike";
/// The name of the check for owner names that are no host's.
pub(super) const HOST_CHECK: &str = "owner of a host's name";
/// The checks that hold the level of a plane, and excuse no single change.
const LEVEL_CHECKS: [&str; 6] = [
    SHARED_CHECK,
    SERVICE_CHECK,
    HOST_CHECK,
    LEFT_BEHIND_CHECK,
    SCATTERED_CHECK,
    UNPROVEN_CHECK,
];

/// One of the planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// NS names and the addresses of those name servers.
    Nameservers,
    /// An owner's own addresses.
    Addresses,
    /// What an owner's CNAME leads to.
    Aliases,
}

/// One summand of a score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Term {
    /// What is measured.
    pub name: &'static str,
    /// Its value, with its unit.
    pub value: String,
    /// Points it gives.
    pub points: f64,
    /// Points it can give at most.
    pub points_max: f64,
}

/// One condition of the gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gate {
    /// What is asked.
    pub name: &'static str,
    /// The value found.
    pub value: String,
    /// The value needed.
    pub needed: String,
    /// Whether it is met.
    pub passed: bool,
}

/// A benign explanation that was looked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The explanation.
    pub name: &'static str,
    /// What was found.
    pub result: String,
    /// Whether it explains what was seen, in whole or in part.
    pub explains: bool,
}

/// How much a change instant counts for the score, and why not in full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weight {
    /// 0 to 1.
    pub weight: f64,
    /// Why it counts less than 1; empty where it counts in full.
    pub reason: &'static str,
}

impl Weight {
    /// That of an instant that counts in full.
    pub(super) const FULL: Self = Self {
        weight: 1.0,
        reason: "",
    };

    /// Returns that of an instant that counts in part.
    pub(super) fn part(weight: f64, reason: &'static str) -> Self {
        Self { weight, reason }
    }

    /// Returns that of an instant that does not count.
    pub(super) fn none(reason: &'static str) -> Self {
        Self::part(0.0, reason)
    }

    /// Returns that of an instant that is excused: see [`ChangePoint::is_excused`].
    pub(super) fn excused(point: &ChangePoint) -> Self {
        Self::none(match point.moment.drift {
            true => "drift",
            false => "mass change",
        })
    }

    /// Says it.
    pub fn words(&self) -> String {
        if self.weight <= 0.0 {
            format!("{}, not counted", self.reason)
        } else if self.weight < 1.0 {
            format!("counts {:.2}: {}", self.weight, self.reason)
        } else {
            "counts 1".to_owned()
        }
    }
}

/// An address of the window with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SeenAddress {
    /// The name it belongs to.
    pub host: Name,
    /// The address.
    pub address: IpAddr,
    /// Its prefix: /16 or /32.
    pub prefix: Prefix,
    /// The autonomous system, if the table knows it.
    pub asn: Option<u32>,
    /// That system's name, if the table gives one.
    pub asn_name: Option<String>,
    /// Whether it is there now.
    pub present: bool,
}

/// A name server of the window with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SeenName {
    /// The name server.
    pub host: Name,
    /// Its operator domain.
    pub operator: Name,
    /// Whether so many stable names use it that it is a provider's.
    pub popular: bool,
    /// Whether it is there now.
    pub present: bool,
}

/// What is found on one plane of one owner.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaneFinding {
    /// The plane.
    pub plane: Plane,
    /// The zone.
    pub zone: Name,
    /// The delegation or owner.
    pub owner: Name,
    /// The level it reaches; `None` if it is not even watched.
    pub level: Option<Level>,
    /// 0 to 100: the sum of the terms.
    pub score: f64,
    /// Whether every gate is open.
    pub gate_open: bool,
    /// The summands of the score.
    pub terms: Vec<Term>,
    /// The conditions.
    pub gates: Vec<Gate>,
    /// The benign explanations that were looked for.
    pub checks: Vec<Check>,
    /// Change instants of the last 7 days, oldest first.
    pub points: Vec<ChangePoint>,
    /// How much each change instant of the last 7 days counts, by its version.
    pub weights: BTreeMap<i64, Weight>,
    /// Change instants in the last 24 hours, 72 hours and 7 days, bulk ones left out.
    pub change_counts: [u32; 3],
    /// When the last change of the last 7 days was that counts.
    pub last_step_at: Option<Timestamp>,
    /// Mean time a value stayed, in hours, over 7 days; `None` if none left.
    pub tenure_hours: Option<f64>,
    /// Name servers of the last 7 days, on the alias plane targets; empty on the address plane.
    pub names: Vec<SeenName>,
    /// Addresses of the last 7 days.
    pub addresses: Vec<SeenAddress>,
    /// `1.32 n + 18.54 asn` (Holz et al., NDSS 2008; flux above 142.38); `None` on other planes than that of addresses
    /// or without a table of autonomous systems.
    pub holz: Option<f64>,
    /// When watching of this zone began.
    pub watched_since: Timestamp,
    /// The time it was judged at.
    pub now: Timestamp,
}

impl PlaneFinding {
    /// Returns when the last change of the last 7 days was.
    pub fn last_change_at(&self) -> Option<Timestamp> {
        self.points.last().map(|point| point.moment.at)
    }

    /// Returns how much a change instant counts.
    pub fn weight_of(&self, point: &ChangePoint) -> Weight {
        let known = self.weights.get(&point.moment.version_id);
        known.copied().unwrap_or(Weight::FULL)
    }

    /// Returns whether a harmless explanation explains only a part: some change counts all the same. One that holds the
    /// level as a whole explains no single change.
    pub fn explains_a_part(&self, check: &Check) -> bool {
        let is_of_level = LEVEL_CHECKS.contains(&check.name);
        let is_any_left = self.weights.values().any(|it| it.weight > 0.0);
        check.explains && !is_of_level && is_any_left
    }

    /// Returns the order in which planes of one kind compete: level, open gate, score.
    fn rank(&self) -> (Option<Level>, bool, f64) {
        (self.level, self.gate_open, self.score)
    }

    /// Returns whether this says more than `other`.
    pub fn outranks(&self, other: &Self) -> bool {
        self.rank().partial_cmp(&other.rank()) == Some(std::cmp::Ordering::Greater)
    }
}

/// What is suspected of a domain.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The domain.
    pub domain: Name,
    /// The zone of the plane that says most.
    pub zone: Name,
    /// What is suspected.
    pub verdict: Verdict,
    /// How sure.
    pub level: Level,
    /// 0 to 100: the highest score of the planes at that level.
    pub score: f64,
    /// The last change of either plane within 7 days.
    pub last_change_at: Timestamp,
    /// The last of those that count.
    pub last_step_at: Timestamp,
    /// The time it was judged at.
    pub now: Timestamp,
    /// What the name-server plane says.
    pub nameservers: Option<PlaneFinding>,
    /// What the address plane says.
    pub addresses: Option<PlaneFinding>,
    /// What the alias plane says.
    pub aliases: Option<PlaneFinding>,
}

impl Finding {
    /// Returns what each plane says, the name-server plane first.
    pub fn planes(&self) -> impl Iterator<Item = &PlaneFinding> + Clone {
        let own = self.addresses.iter().chain(&self.aliases);
        self.nameservers.iter().chain(own)
    }

    /// Returns whether every condition of a plane at the finding's level is met.
    pub fn is_open(&self) -> bool {
        let mut at_level = self
            .planes()
            .filter(|plane| plane.level == Some(self.level));
        at_level.any(|plane| plane.gate_open)
    }
}

/// What each plane of a domain says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Planes {
    /// The name-server plane.
    pub nameservers: Option<PlaneFinding>,
    /// The address plane.
    pub addresses: Option<PlaneFinding>,
    /// The alias plane.
    pub aliases: Option<PlaneFinding>,
}

impl Planes {
    /// Returns those that there are, the name-server plane first.
    pub fn iter(&self) -> impl Iterator<Item = &PlaneFinding> + Clone {
        let own = self.addresses.iter().chain(&self.aliases);
        self.nameservers.iter().chain(own)
    }
}

/// [`judge_planes`] of a domain without aliases.
pub fn judge(
    domain: &Name,
    nameservers: Option<PlaneFinding>,
    addresses: Option<PlaneFinding>,
    now: Timestamp,
) -> Option<Finding> {
    let planes = Planes {
        nameservers,
        addresses,
        aliases: None,
    };
    judge_planes(domain, planes, now)
}

/// Joins the planes of a domain; `None` if none is even watched.
///
/// A rotation of name servers beside one of addresses or of aliases is double flux: the advisory AA25-093A of April
/// 2025 names both NS and CNAME records.
pub fn judge_planes(domain: &Name, planes: Planes, now: Timestamp) -> Option<Finding> {
    let level = planes.iter().filter_map(|plane| plane.level).max()?;
    let open = |plane: &Option<PlaneFinding>| plane.as_ref().is_some_and(|plane| plane.gate_open);
    let is_host_open = open(&planes.addresses) || open(&planes.aliases);
    let of_all = planes.iter();
    let strongest = of_all.reduce(|best, other| if other.outranks(best) { other } else { best })?;
    let verdict = match (open(&planes.nameservers), is_host_open, strongest.plane) {
        (true, true, _) => Verdict::DoubleFlux,
        (_, _, Plane::Nameservers) => Verdict::NsFlux,
        (_, _, Plane::Addresses | Plane::Aliases) => Verdict::SingleFlux,
    };
    let at_level = planes.iter().filter(|plane| plane.level == Some(level));
    let score = at_level.map(|plane| plane.score).fold(0.0, f64::max);
    let last_change_at = planes.iter().filter_map(PlaneFinding::last_change_at).max();
    let last_change_at = last_change_at.unwrap_or(now);
    let last_step_at = planes.iter().filter_map(|plane| plane.last_step_at).max();
    Some(Finding {
        domain: domain.clone(),
        zone: strongest.zone.clone(),
        verdict,
        level,
        score,
        last_change_at,
        last_step_at: last_step_at.unwrap_or(last_change_at),
        now,
        nameservers: planes.nameservers,
        addresses: planes.addresses,
        aliases: planes.aliases,
    })
}
