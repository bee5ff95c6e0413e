//! What is suggested, why, and what would clear the domain. Pure.
//!
//! The rungs are ordered by what they take away: freezing a delegation keeps its NS records as they are and takes
//! nothing off line; a hold takes the name down. A report suggests the lowest rung that stops what is
//! suspected and says why (SAC025 finding 4; RAA 3.18.2 asks to weigh harm against collateral damage).

use serde::Serialize;

use crate::count::counted;
use crate::detector::{DetectPolicy, Finding, Verdict};
use crate::time::{Span, Timestamp};

/// A registration younger than this, at the first finding, points to a name registered for this.
const YOUNG: Span = Span::days(90);
/// One older than this points to a name that was taken over.
const OLD: Span = Span::days(365);

/// Whether the name looks registered for this, or taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assessment {
    /// `registered for this`, `taken over` or `not determined`.
    pub word: &'static str,
    /// Why.
    pub reason: String,
}

impl Assessment {
    /// Returns what the registration's age says.
    pub fn of(registered_at: Option<Timestamp>, first_detected_at: Timestamp) -> Self {
        let Some(registered_at) = registered_at else {
            return Self {
                word: "not determined",
                reason: "the registration date is not known here".to_owned(),
            };
        };
        let age = first_detected_at.since(registered_at);
        let days = age.as_seconds() / 86_400;
        let (word, reason) = if age < YOUNG {
            (
                "registered for this",
                format!(
                    "it was {} old when this began; weigh other signs too",
                    counted(days, "day")
                ),
            )
        } else if age > OLD {
            (
                "taken over",
                format!(
                    "it was {} old when this began: its holder may be a victim",
                    counted(days, "day")
                ),
            )
        } else {
            (
                "not determined",
                format!("it was {} old when this began", counted(days, "day")),
            )
        };
        Self { word, reason }
    }
}

/// What is suggested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// The suggested step.
    pub step: String,
    /// Why this one.
    pub reason: String,
    /// Who else is touched.
    pub collateral: String,
    /// The step after it, if the first does not suffice.
    pub then: String,
    /// What would clear the domain.
    pub clears: Vec<String>,
}

/// Who else is touched.
#[derive(Debug, Clone, Copy)]
pub struct Others {
    /// Other cases of its campaign.
    pub of_campaign: usize,
    /// Names on its rare name servers that are not suspected; `None` if nobody has looked.
    pub on_servers: Option<usize>,
}

impl Others {
    /// Says who they are.
    fn words(self) -> String {
        let members = (self.of_campaign > 0).then(|| {
            let count = counted(self.of_campaign, "other case");
            format!("{count} of its campaign: see to them together")
        });
        let users = match self.on_servers {
            None => "whether other names use its rare name servers was not looked up".to_owned(),
            Some(0) => "no name that is not suspected uses its rare name servers".to_owned(),
            Some(1) => "1 name that is not suspected uses its rare name servers".to_owned(),
            Some(count) => {
                format!("{count} names that are not suspected use its rare name servers")
            }
        };
        let parts: Vec<String> = members.into_iter().chain([users]).collect();
        parts.join("; ")
    }
}

/// What of a delegation moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moves {
    /// Its NS records.
    Records,
    /// The addresses of name servers at or below it, and nothing else.
    OwnHosts,
    /// The addresses of others' name servers, and nothing else.
    OthersHosts,
    /// Nothing: the addresses inside the zone do.
    Nothing,
    /// Nothing: what aliases inside the zone lead to does.
    Targets,
}

impl Moves {
    /// Returns what the listed changes of a finding show.
    fn of(finding: &Finding) -> Self {
        if !matches!(finding.verdict, Verdict::NsFlux | Verdict::DoubleFlux) {
            return if says_most_by_aliases(finding) {
                Self::Targets
            } else {
                Self::Nothing
            };
        }
        let points = || finding.nameservers.iter().flat_map(|plane| &plane.points);
        let mut hosts = points().flat_map(|point| &point.changed_hosts);
        if points().any(|point| point.names_changed) || hosts.clone().next().is_none() {
            Self::Records
        } else if hosts.any(|it| it.host.is_at_or_below(&finding.domain)) {
            Self::OwnHosts
        } else {
            Self::OthersHosts
        }
    }
}

impl Advice {
    /// Returns the advice for a finding; `others` are those that are touched too.
    pub fn of(
        finding: &Finding,
        assessment: &Assessment,
        others: Others,
        policy: &DetectPolicy,
    ) -> Self {
        let taken_over = assessment.word == "taken over";
        let (step, reason) = match (Moves::of(finding), taken_over) {
            (Moves::Records, false) => (
                "freeze the delegation (EPP clientUpdateProhibited) and ask the registrant why it changes so often",
                "it keeps the NS records as they are and takes nothing off line while you look",
            ),
            (Moves::OwnHosts, false) => (
                "freeze the delegation and its host objects (EPP clientUpdateProhibited on both) and ask the registrant why their addresses change so often",
                "the NS records stand still, the addresses of its name servers do not: freezing the hosts keeps them, and takes nothing off line while you look",
            ),
            (Moves::Records | Moves::OwnHosts, true) => (
                "freeze the delegation and its host objects (EPP clientUpdateProhibited), tell the registrant, and restore the last name servers that were stable",
                "the name is old: its holder is more likely a victim, and a hold would hurt them",
            ),
            (Moves::OthersHosts, _) => (
                "ask the operator of its name servers why their addresses change so often",
                "only the addresses of others' name servers change: freezing this delegation would stop nothing",
            ),
            (Moves::Nothing, false) => (
                "ask the registrant, and the account that edits the zone, why the addresses change so often",
                "the delegation stands still: freezing it would stop nothing, and a hold needs a confirmed purpose",
            ),
            (Moves::Targets, false) => (
                "ask the registrant, and the account that edits the zone, why its aliases lead elsewhere so often",
                "the delegation stands still: freezing it would stop nothing, and a hold needs a confirmed purpose",
            ),
            (Moves::Nothing | Moves::Targets, true) => (
                "tell the registrant that the zone may be edited by somebody else, and require a new login for its account",
                "the name is old: its holder is more likely a victim, and a hold would hurt them",
            ),
        };
        let then = if taken_over {
            "clientHold, only if the registrant cannot be reached and the harm is confirmed"
        } else {
            "clientHold, once you know that the name serves malware, botnets, phishing, pharming or the spam for them"
        };
        let collateral = others.words();
        let mut clears = vec![
            "a content network, a failover or a move explains every change".to_owned(),
            format!(
                "it stands still for {}: the case then closes by itself",
                policy.settled_after
            ),
        ];
        clears.push("you know the service behind it: exempt it (fluxwatch exempt add)".to_owned());
        Self {
            step: step.to_owned(),
            reason: reason.to_owned(),
            collateral,
            then: then.to_owned(),
            clears,
        }
    }
}

/// Returns whether what a finding says of the domain's own names is said by the alias plane.
pub(super) fn says_most_by_aliases(finding: &Finding) -> bool {
    let aliases = finding.aliases.as_ref();
    finding.verdict != Verdict::NsFlux
        && aliases.is_some_and(|plane| {
            let addresses = finding.addresses.as_ref();
            plane.level.is_some() && addresses.is_none_or(|other| plane.outranks(other))
        })
}
