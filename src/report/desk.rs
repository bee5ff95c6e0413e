//! Everything about a case, for whoever has to act on it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use crate::case::{Case, SendReason, campaign_reference};
use crate::count::counted;
use crate::detector::{
    ChangePoint, Check, DetectPolicy, Finding, Gate, Plane, PlaneFinding, Prefix, SeenAddress,
    Verdict,
};
use crate::dns::{Name, Serial};
use crate::evidence::Hash;
use crate::report::advice::{Advice, Assessment, Others, says_most_by_aliases};
use crate::report::timeline::{BRIEF_LANES, BRIEF_LANES_OF_SEVERAL, Timeline};
use crate::time::{Span, Timestamp};

/// The most transitions of a plane that a report prints; `history` shows all.
pub const TRANSITIONS_MAX: usize = 10;
/// The most addresses of a plane that a report prints.
pub const ADDRESSES_MAX: usize = 60;
/// The most name servers that a report prints.
pub const NAMES_MAX: usize = 40;
/// The most that a short text leaves out. Each step leaves out what the one before does, and more: drawings of all planes
/// but the first; all drawings; names of the campaign but two, and those that are not suspected; the points of the score.
pub const BREVITY_MAX: u8 = 4;
/// The time that is judged.
const JUDGED_SPAN: Span = Span::days(7);
/// The most domains of a campaign that a mail names.
// Chosen by hand: whoever is told of a case reads its name, and whoever read it reads that it is over.
pub const RELATED_MAX: usize = 1_000;
/// The most names that are not suspected that a report prints.
pub const NEIGHBOURS_MAX: usize = 30;

/// Who reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reporter {
    /// The organisation.
    pub org: String,
    /// Where to write when the report is wrong.
    pub contact: String,
}

/// Everything a desk report says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeskReport {
    /// The case's number.
    pub case_id: i64,
    /// The case's reference in subjects: `FW-000012`.
    pub reference: String,
    /// The domain, without its final dot.
    pub domain: String,
    /// The zone whose history says most.
    pub zone: String,
    /// `double-flux`, `ns-flux` or `single-flux`.
    pub verdict: &'static str,
    /// What is suspected, in a few words.
    pub allegation: String,
    /// Number of this mail about the case.
    pub revision: u32,
    /// Why this is written: `first report of this case`.
    pub reason: String,
    /// Whether the suspicion is withdrawn: the desk dismissed the case.
    pub is_withdrawn: bool,
    /// Where the case stands: `open` and so on.
    pub state: &'static str,
    /// The domain in its own script, if it has one that can be shown; `Some("")`: it is withheld because
    /// it could be taken for another name.
    pub unicode: Option<String>,
    /// `report`, `review` or `watch`.
    pub level: &'static str,
    /// 0 to 100, one decimal.
    pub score: String,
    /// `high`, `medium` or `low`.
    pub grade: &'static str,
    /// Version of the formulas and thresholds.
    pub policy_version: String,
    /// Event time of the oldest change that counts in what is shown, if that is before the first finding.
    pub began_at: Option<String>,
    /// Event time of the first finding.
    pub first_detected_at: String,
    /// Event time of the last change.
    pub last_change_at: String,
    /// Event time of this judgement: nothing later is in the report.
    pub judged_at: String,
    /// The same as an argument of a command: `2026-11-22T10:00:00Z`.
    pub judged_at_argument: String,
    /// When the 7 days that are judged begin, as an argument of a command.
    pub judged_from_argument: String,
    /// The newest change, of each plane that changed at that time, if there is one.
    pub last_change: Option<Transition>,
    /// The newest version that is stored of the zones that are described, if it is after this judgement.
    pub history_until: Option<String>,
    /// Who ended the case and why, for a closure.
    pub ending: Option<Ending>,
    /// Whether the details are an attachment of their own (`details.txt`), and the text is the short one.
    pub has_details: bool,
    /// How much the short text leaves out beside that, so that it stays short: 0 nothing, to [`BREVITY_MAX`].
    pub brevity: u8,
    /// MITRE ATT&CK technique.
    pub attack: &'static str,
    /// Where what it rests on came from: `transfer`, `feed` and so on.
    pub source: String,
    /// When the table of autonomous systems was made, if there is one.
    pub asn_table_of: Option<String>,
    /// When the domain was registered, if that is known.
    pub registered_at: Option<String>,
    /// How many days before the first finding that was.
    pub age_days: Option<i64>,
    /// The sponsoring registrar, if it is known.
    pub registrar: Option<String>,
    /// A token of the account that stands for it here and nowhere else, if it is known.
    pub account: Option<String>,
    /// As whom the recipient of a notice is addressed; empty for the desk.
    pub party: String,
    /// What a person of the desk adds to a notice.
    pub paragraph: Option<String>,
    /// The case's page in the console; never in a notice.
    pub page: Option<String>,
    /// Registered for this, or taken over.
    pub assessment: Assessment,
    /// What is suggested.
    pub advice: Advice,
    /// The campaign: `FC-3`.
    pub campaign: Option<String>,
    /// Other cases of the campaign, those that were not told before first; in a closure those that it ends, the withdrawn
    /// ones first.
    pub related: Vec<RelatedLine>,
    /// How many there are; more than `related` holds if the list was cut.
    pub related_count: usize,
    /// How many of `related` are no longer suspected: the first ones.
    pub withdrawn_count: usize,
    /// Other names on its rare name servers that are not suspected.
    pub neighbours: Vec<String>,
    /// How many there are; more than `neighbours` holds if the list was cut.
    pub neighbours_count: usize,
    /// What each plane shows; the name-server plane first.
    pub planes: Vec<PlaneSection>,
    /// The states of zones that this report describes, each with its hash.
    pub evidence: Vec<EvidenceLine>,
    /// Who reports.
    pub reporter: Reporter,
    /// Version of the program.
    pub program_version: &'static str,
}

/// The end of a case, as its log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// Who: a person's name, or `fluxwatch`.
    pub by: String,
    /// Whether the program did it by itself.
    pub is_by_itself: bool,
    /// When.
    pub at: String,
    /// Why: `dismissed as migration: moved to another operator`.
    pub note: String,
}

/// Another case of the campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RelatedLine {
    /// `FW-000013`.
    pub reference: String,
    /// Without its final dot.
    pub domain: String,
    /// `double-flux`, `ns-flux` or `single-flux`.
    pub verdict: &'static str,
    /// `report`, `review` or `watch`: now.
    pub level: &'static str,
    /// `open` and so on.
    pub state: &'static str,
    /// Whether no mail has told of it before.
    pub is_new: bool,
    /// Whether it is at level report and not over.
    pub is_suspected: bool,
    /// Whether the desk dismissed it: it is no longer suspected.
    pub is_withdrawn: bool,
    /// Who ended it and why, in a closure.
    pub ending: Option<Ending>,
}

/// What a report says beside the finding.
#[derive(Debug, Clone)]
pub struct CaseFacts<'a> {
    /// The case's number.
    pub case_id: i64,
    /// The case.
    pub case: &'a Case,
    /// Why it is written.
    pub reason: SendReason,
    /// Who reports.
    pub reporter: &'a Reporter,
    /// The policy.
    pub policy: &'a DetectPolicy,
    /// The hashes of history that it rests on.
    pub evidence: Vec<EvidenceLine>,
    /// The newest version that is stored of the zones that it rests on.
    pub history_until: Option<Timestamp>,
    /// Where what it rests on came from.
    pub source: String,
    /// The domain in its own script: see [`DeskReport::unicode`].
    pub unicode: Option<String>,
    /// When the table of autonomous systems was made, and which it is if it came with the program.
    pub asn_table: Option<String>,
    /// When the domain was registered.
    pub registered_at: Option<Timestamp>,
    /// The sponsoring registrar.
    pub registrar: Option<String>,
    /// A token of the account.
    pub account: Option<String>,
    /// As whom the recipient of a notice is addressed.
    pub party: String,
    /// What a person of the desk adds to a notice.
    pub paragraph: Option<String>,
    /// The case's page in the console; never in a notice.
    pub page: Option<String>,
    /// The campaign's number.
    pub campaign: Option<i64>,
    /// Other cases of the campaign.
    pub related: Vec<RelatedLine>,
    /// Other names on its rare name servers that are not suspected; `None` if nobody has looked.
    pub neighbours: Option<BTreeSet<Name>>,
    /// How many more of these there are that are exempt: they are counted, and not named.
    pub exempt_neighbours: usize,
    /// Who ended the case and why.
    pub ending: Option<Ending>,
    /// Whether the details are attached.
    pub has_details: bool,
}

/// The newest version of a zone when the case was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceLine {
    /// The zone, without its final dot.
    pub zone: String,
    /// The version's serial, if known.
    pub serial: Option<u32>,
    /// The version's time.
    pub at: String,
    /// The hash over every change up to that version: 64 hexadecimal digits.
    pub hash: String,
}

impl EvidenceLine {
    /// Returns the line of a zone's version.
    pub fn new(zone: &Name, serial: Option<Serial>, at: Timestamp, hash: Hash) -> Self {
        Self {
            zone: bare(zone),
            serial: serial.map(|serial| serial.0),
            at: at.to_table(),
            hash: hash.to_string(),
        }
    }
}

/// What one plane shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlaneSection {
    /// The plane in words.
    pub title: &'static str,
    /// Whether this is the name-server plane.
    pub is_nameservers: bool,
    /// Whether this is the alias plane: its names are targets.
    pub is_aliases: bool,
    /// The delegation or owner, without its final dot.
    pub owner: String,
    /// The zone, without its final dot.
    pub zone: String,
    /// When watching of the zone began.
    pub watched_since: String,
    /// Score of the plane, one decimal.
    pub score: String,
    /// Whether every gate is open.
    pub gate_open: bool,
    /// Change instants in 24 hours.
    pub changes_24h: u32,
    /// Change instants in 72 hours.
    pub changes_72h: u32,
    /// Change instants in 7 days.
    pub changes_7d: u32,
    /// Which changes of 7 days do not count in full, a line a reason: `not counted: 1 of 4, nothing left`.
    pub lesser_changes: Vec<String>,
    /// Mean stay of a value.
    pub mean_stay: String,
    /// That it has not changed, and for how long that is known: `Not changed in 7 days; watched since …`.
    pub stillness: String,
    /// The summands of the score.
    pub terms: Vec<TermLine>,
    /// The conditions.
    pub gates: Vec<Gate>,
    /// How many of them are met.
    pub gates_met: usize,
    /// The benign explanations that were looked for.
    pub checks: Vec<Check>,
    /// The last transitions, newest first.
    pub transitions: Vec<Transition>,
    /// How many transitions there are; more than `transitions` holds if the list was cut.
    pub transitions_count: usize,
    /// Name servers of the last 7 days, or targets of aliases.
    pub names: Vec<NameLine>,
    /// How many there are; more than `names` holds if the list was cut.
    pub names_count: usize,
    /// Addresses of the last 7 days.
    pub addresses: Vec<AddressLine>,
    /// How many there are; more than `addresses` holds if the list was cut.
    pub addresses_count: usize,
    /// How many autonomous systems, or prefixes without a table; of aliases, how many operators.
    pub networks: String,
    /// The Holz value, if it can be computed.
    pub holz: Option<String>,
    /// When each value was there.
    pub timeline: Timeline,
}

/// A summand, with its points in one decimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TermLine {
    /// What is measured.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Points it gives.
    pub points: String,
    /// Points it can give.
    pub points_max: String,
}

/// One change instant, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// Event time.
    pub at: String,
    /// The zone's serial, if known.
    pub serial: Option<u32>,
    /// Whether it came with a mass change and does not count.
    pub bulk: bool,
    /// Whether it is drift, which is no change of the zone, and does not count.
    pub drift: bool,
    /// How much it counts for the score, and why not in full: `counts 1`, `nothing left, not counted`.
    pub counts: String,
    /// The set before.
    pub before: Vec<Endpoint>,
    /// The set after.
    pub after: Vec<Endpoint>,
    /// What is in the set before and not after; a name server whose addresses changed is in both.
    pub removed: Vec<Endpoint>,
    /// What is in the set after and not before.
    pub added: Vec<Endpoint>,
}

/// A name server with its addresses, or an address alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Endpoint {
    /// The name server, without its final dot; `None` on the address plane.
    pub host: Option<String>,
    /// Its addresses.
    pub addresses: Vec<String>,
}

/// A name server with its operator domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameLine {
    /// The name server, without its final dot.
    pub host: String,
    /// Its operator domain, without its final dot.
    pub operator: String,
    /// Whether it is a provider's.
    pub popular: bool,
    /// Whether it is there now.
    pub present: bool,
}

/// An address with its network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddressLine {
    /// The name it belongs to, without its final dot.
    pub host: String,
    /// The address.
    pub address: String,
    /// Its prefix, /16 or /32.
    pub prefix: String,
    /// `AS64500`, if known.
    pub asn: Option<String>,
    /// The autonomous system's name, if known.
    pub asn_name: Option<String>,
    /// Whether it is there now.
    pub present: bool,
}

/// Returns the reference of a case in subjects.
pub fn case_reference(case_id: i64) -> String {
    format!("FW-{case_id:06}")
}

/// Returns what a report about a case says.
pub fn build_report(finding: &Finding, facts: CaseFacts<'_>) -> DeskReport {
    let case = facts.case;
    let assessment = Assessment::of(facts.registered_at, case.first_detected_at);
    let others = Others {
        of_campaign: facts.related.len(),
        on_servers: (facts.neighbours.as_ref()).map(|it| it.len() + facts.exempt_neighbours),
    };
    let advice = Advice::of(finding, &assessment, others, facts.policy);
    let neighbours = facts.neighbours.unwrap_or_default();
    let age = facts
        .registered_at
        .map(|at| case.first_detected_at.since(at).as_seconds() / 86_400);
    let planes = finding.planes();
    let changed = finding.planes().filter(|plane| !plane.points.is_empty());
    let lanes = match changed.count() {
        0 | 1 => BRIEF_LANES,
        _ => BRIEF_LANES_OF_SEVERAL,
    };
    DeskReport {
        case_id: facts.case_id,
        reference: case_reference(facts.case_id),
        domain: bare(&finding.domain),
        zone: bare(&finding.zone),
        verdict: finding.verdict.word(),
        allegation: allegation(finding),
        revision: case.revision,
        reason: facts.reason.to_string(),
        is_withdrawn: facts.reason == SendReason::Withdrawn,
        state: case.state.word(),
        unicode: facts.unicode,
        level: case.level.word(),
        score: one_decimal(finding.score),
        grade: grade(finding.score),
        policy_version: facts.policy.label(),
        began_at: began_at(finding)
            .filter(|at| *at < case.first_detected_at)
            .map(Timestamp::to_table),
        first_detected_at: case.first_detected_at.to_table(),
        last_change_at: finding.last_change_at.to_table(),
        judged_at: finding.now.to_table(),
        judged_at_argument: finding.now.to_string(),
        judged_from_argument: (finding.now - JUDGED_SPAN).to_string(),
        last_change: last_change(finding),
        history_until: facts
            .history_until
            .filter(|at| *at > finding.now)
            .map(Timestamp::to_table),
        ending: facts.ending,
        has_details: facts.has_details,
        brevity: 0,
        attack: "T1568.001",
        source: facts.source,
        asn_table_of: facts.asn_table.clone(),
        registered_at: facts.registered_at.map(|at| at.to_table()),
        age_days: age,
        registrar: facts.registrar,
        account: facts.account,
        party: facts.party,
        paragraph: facts.paragraph,
        page: facts.page,
        assessment,
        advice,
        campaign: facts.campaign.map(campaign_reference),
        related_count: facts.related.len(),
        withdrawn_count: facts.related.iter().filter(|it| it.is_withdrawn).count(),
        related: facts.related.into_iter().take(RELATED_MAX).collect(),
        neighbours_count: neighbours.len(),
        neighbours: neighbours.iter().take(NEIGHBOURS_MAX).map(bare).collect(),
        planes: planes.map(|plane| section_of(plane, lanes)).collect(),
        evidence: facts.evidence,
        reporter: facts.reporter.clone(),
        program_version: env!("CARGO_PKG_VERSION"),
    }
}

/// Returns the grade of a score.
fn grade(score: f64) -> &'static str {
    match score {
        score if score >= 80.0 => "high",
        score if score >= 60.0 => "medium",
        _ => "low",
    }
}

/// Returns what is suspected, in a few words: how often what changed in the 7 days before the judgement.
fn allegation(finding: &Finding) -> String {
    let times = |plane: &Option<PlaneFinding>| {
        let count = plane.as_ref().map_or(0, |plane| plane.change_counts[2]);
        (count > 0).then(|| counted(count, "time"))
    };
    let (servers, addresses) = (times(&finding.nameservers), times(&finding.addresses));
    if let Some(aliases) = times(&finding.aliases).filter(|_| says_most_by_aliases(finding)) {
        let own = format!("the target of its alias changed {aliases} in 7 days");
        return match (finding.verdict, servers) {
            (Verdict::DoubleFlux, Some(servers)) => {
                format!("{own}, and its name servers or their addresses {servers}")
            }
            _ => own,
        };
    }
    match (finding.verdict, servers, addresses) {
        (Verdict::DoubleFlux, Some(servers), Some(addresses)) => format!(
            "its name servers or their addresses changed {servers}, and its own addresses {addresses}, in 7 days"
        ),
        (Verdict::NsFlux, Some(servers), _) => {
            format!("its name servers or their addresses changed {servers} in 7 days")
        }
        (Verdict::SingleFlux, _, Some(addresses)) => {
            format!("its addresses changed {addresses} in 7 days")
        }
        // What the case was about; nothing of it is found any more.
        (Verdict::DoubleFlux, ..) => "its name servers and its addresses changed often".to_owned(),
        (Verdict::NsFlux, ..) => "its name servers or their addresses changed often".to_owned(),
        (Verdict::SingleFlux, ..) => "its addresses changed often".to_owned(),
    }
}

/// Returns what a plane shows.
pub fn section(plane: &PlaneFinding) -> PlaneSection {
    section_of(plane, BRIEF_LANES)
}

/// Returns what a plane shows, with so many lanes where there is little room.
fn section_of(plane: &PlaneFinding, lanes: usize) -> PlaneSection {
    let transitions = plane
        .points
        .iter()
        .rev()
        .take(TRANSITIONS_MAX)
        .map(|point| transition(plane, point));
    let names = plane.names.iter().map(|name| NameLine {
        host: bare(&name.host),
        operator: bare(&name.operator),
        popular: name.popular,
        present: name.present,
    });
    PlaneSection {
        title: match plane.plane {
            Plane::Nameservers => "Name servers",
            Plane::Addresses => "Addresses",
            Plane::Aliases => "Aliases",
        },
        is_nameservers: plane.plane == Plane::Nameservers,
        is_aliases: plane.plane == Plane::Aliases,
        owner: bare(&plane.owner),
        zone: bare(&plane.zone),
        watched_since: plane.watched_since.to_table(),
        score: one_decimal(plane.score),
        gate_open: plane.gate_open,
        changes_24h: plane.change_counts[0],
        changes_72h: plane.change_counts[1],
        changes_7d: plane.change_counts[2],
        lesser_changes: lesser_changes(plane),
        mean_stay: plane.tenure_hours.map_or_else(
            || "none left in 7 days".to_owned(),
            |hours| format!("{hours:.1} hours"),
        ),
        stillness: stillness(plane),
        terms: plane
            .terms
            .iter()
            .map(|term| TermLine {
                name: term.name,
                value: term.value.clone(),
                points: one_decimal(term.points),
                points_max: format!("{:.0}", term.points_max),
            })
            .collect(),
        gates_met: plane.gates.iter().filter(|gate| gate.passed).count(),
        gates: plane.gates.clone(),
        checks: plane.checks.clone(),
        transitions: transitions.collect(),
        transitions_count: plane.points.len(),
        names: names.take(NAMES_MAX).collect(),
        names_count: plane.names.len(),
        addresses: plane
            .addresses
            .iter()
            .take(ADDRESSES_MAX)
            .map(address_line)
            .collect(),
        addresses_count: plane.addresses.len(),
        networks: match plane.plane {
            Plane::Aliases => operators(plane),
            Plane::Nameservers | Plane::Addresses => networks(&plane.addresses),
        },
        holz: plane.holz.map(one_decimal),
        timeline: Timeline::of(plane, lanes),
    }
}

/// Says of a plane that has not changed for how long that is known.
fn stillness(plane: &PlaneFinding) -> String {
    let since = plane.watched_since.to_table();
    match plane.watched_since > plane.now - JUDGED_SPAN {
        true => format!("Not changed since watching began, {since} UTC"),
        false => format!("Not changed in 7 days; watched since {since} UTC"),
    }
}

/// Returns the time of the oldest change of 7 days that counts, of the planes that have the finding's level.
pub(super) fn began_at(finding: &Finding) -> Option<Timestamp> {
    let planes = finding.planes();
    let at_level = planes.filter(|plane| plane.level == Some(finding.level));
    let counted = at_level
        .flat_map(|plane| &plane.points)
        .filter(|point| !point.moment.bulk && !point.moment.drift);
    counted.map(|point| point.moment.at).min()
}

/// Returns the newest change of a finding: what every plane that changed at that time lost and gained.
///
/// The planes take turns, so that the first few lines show each of them.
fn last_change(finding: &Finding) -> Option<Transition> {
    let planes = || finding.planes();
    let newest_at = planes().filter_map(PlaneFinding::last_change_at).max()?;
    let mut changes = planes()
        .filter_map(|plane| Some((plane, plane.points.last()?)))
        .filter(|(_, point)| point.moment.at == newest_at)
        .map(|(plane, point)| transition(plane, point));
    let first = changes.next()?;
    Some(changes.fold(first, |one, other| Transition {
        at: one.at,
        serial: one.serial.filter(|serial| Some(*serial) == other.serial),
        bulk: one.bulk && other.bulk,
        drift: one.drift && other.drift,
        counts: one.counts,
        before: in_turns(one.before, other.before),
        after: in_turns(one.after, other.after),
        removed: in_turns(one.removed, other.removed),
        added: in_turns(one.added, other.added),
    }))
}

/// Joins two lists, one of each in turn, each endpoint once.
fn in_turns(one: Vec<Endpoint>, other: Vec<Endpoint>) -> Vec<Endpoint> {
    let mut joined: Vec<Endpoint> = Vec::with_capacity(one.len() + other.len());
    let mut known = HashSet::new();
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    loop {
        let pair = [one.next(), other.next()];
        if pair.iter().all(Option::is_none) {
            return joined;
        }
        let new = pair.into_iter().flatten();
        joined.extend(new.filter(|endpoint| known.insert(endpoint.clone())));
    }
}

/// Says which changes of 7 days do not count in full, a line a reason, the smallest weight first.
fn lesser_changes(plane: &PlaneFinding) -> Vec<String> {
    let all = plane.weights.len();
    let mut counts: BTreeMap<(u32, &str), usize> = BTreeMap::new();
    for it in plane.weights.values().filter(|it| it.weight < 1.0) {
        let per_cent = (it.weight * 100.0).round() as u32;
        *counts.entry((per_cent, it.reason)).or_default() += 1;
    }
    let lines = counts.into_iter().map(|((per_cent, reason), count)| {
        let what = match per_cent {
            0 => "not counted".to_owned(),
            _ => format!("counted {:.2}", f64::from(per_cent) / 100.0),
        };
        format!("{what}: {count} of {all}, {reason}")
    });
    lines.collect()
}

/// Returns a change instant of a plane as it is printed.
fn transition(plane: &PlaneFinding, point: &ChangePoint) -> Transition {
    let before = endpoints(&point.names_before, &point.addresses_before);
    let after = endpoints(&point.names_after, &point.addresses_after);
    let only = |these: &[Endpoint], others: &[Endpoint]| -> Vec<Endpoint> {
        let others: HashSet<&Endpoint> = others.iter().collect();
        let missing = these.iter().filter(|it| !others.contains(it));
        missing.cloned().collect()
    };
    Transition {
        at: point.moment.at.to_table(),
        serial: point.moment.serial.map(|serial| serial.0),
        bulk: point.moment.bulk,
        drift: point.moment.drift,
        counts: plane.weight_of(point).words(),
        removed: only(&before, &after),
        added: only(&after, &before),
        before,
        after,
    }
}

/// Joins addresses to the name servers they belong to.
fn endpoints(names: &[Name], addresses: &[(Name, std::net::IpAddr)]) -> Vec<Endpoint> {
    if names.is_empty() {
        return addresses
            .iter()
            .map(|(_, address)| Endpoint {
                host: None,
                addresses: vec![address.to_string()],
            })
            .collect();
    }
    let mut by_host: HashMap<&Name, Vec<String>> = HashMap::new();
    for (host, address) in addresses {
        by_host.entry(host).or_default().push(address.to_string());
    }
    names
        .iter()
        .map(|name| Endpoint {
            host: Some(bare(name)),
            addresses: by_host.get(name).cloned().unwrap_or_default(),
        })
        .collect()
}

/// Returns an address with its network.
fn address_line(seen: &SeenAddress) -> AddressLine {
    AddressLine {
        host: bare(&seen.host),
        address: seen.address.to_string(),
        prefix: seen.prefix.to_string(),
        asn: seen.asn.map(|asn| format!("AS{asn}")),
        asn_name: seen.asn_name.clone(),
        present: seen.present,
    }
}

/// Counts the operators of a plane's names.
fn operators(plane: &PlaneFinding) -> String {
    let operators: BTreeSet<&Name> = plane.names.iter().map(|it| &it.operator).collect();
    counted(operators.len(), "operator")
}

/// Counts the networks of a set of addresses.
fn networks(addresses: &[SeenAddress]) -> String {
    let systems: BTreeSet<u32> = addresses.iter().filter_map(|seen| seen.asn).collect();
    let prefixes: BTreeSet<Prefix> = addresses.iter().map(|seen| seen.prefix).collect();
    if systems.is_empty() {
        counted(prefixes.len(), "prefix")
    } else {
        format!(
            "{}, {}",
            counted(systems.len(), "autonomous system"),
            counted(prefixes.len(), "prefix")
        )
    }
}

/// Returns a name without its final dot.
fn bare(name: &Name) -> String {
    name.to_text_without_dot()
}

/// Returns a number with one decimal.
fn one_decimal(value: f64) -> String {
    format!("{value:.1}")
}
