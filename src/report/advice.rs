//! What is suggested, why, and what would clear the domain. Pure.
//!
//! The rungs are ordered by what they take away: freezing a delegation stops the rotation and takes
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

impl Advice {
    /// Returns the advice for a finding; `neighbours` is how many other names use its rare name servers.
    pub fn of(
        finding: &Finding,
        assessment: &Assessment,
        neighbours: usize,
        policy: &DetectPolicy,
    ) -> Self {
        let delegation_moves = matches!(finding.verdict, Verdict::NsFlux | Verdict::DoubleFlux);
        let taken_over = assessment.word == "taken over";
        let (step, reason) = match (delegation_moves, taken_over) {
            (true, false) => (
                "freeze the delegation (EPP clientUpdateProhibited) and ask the registrant why it changes so often",
                "it stops the rotation of name servers and takes nothing off line while you look",
            ),
            (true, true) => (
                "freeze the delegation (EPP clientUpdateProhibited), tell the registrant, and restore the last name servers that were stable",
                "the name is old: its holder is more likely a victim, and a hold would hurt them",
            ),
            (false, false) => (
                "ask the registrant, and the account that edits the zone, why the addresses change so often",
                "the delegation stands still: freezing it would stop nothing, and a hold needs a confirmed purpose",
            ),
            (false, true) => (
                "tell the registrant that the zone may be edited by somebody else, and require a new login for its account",
                "the name is old: its holder is more likely a victim, and a hold would hurt them",
            ),
        };
        let then = if taken_over {
            "clientHold, only if the registrant cannot be reached and the harm is confirmed"
        } else {
            "clientHold, once you know that the name serves malware, botnets, phishing, pharming or the spam for them"
        };
        let collateral = match neighbours {
            0 => "no other watched name uses its rare name servers".to_owned(),
            1 => "1 other watched name uses its rare name servers: look at it too".to_owned(),
            _ => format!(
                "{neighbours} other watched names use its rare name servers: look at them too"
            ),
        };
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
