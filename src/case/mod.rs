//! The desk's work item about one domain, and the decision to report. Pure.
//!
//! ```text
//!             finding                    desk (a later release)
//!   (none) ───────────▶ open ───────────────────────────▶ acknowledged, dismissed, mitigated, closed
//!                        ▲ │ quiet, and never above watch
//!                        │ ▼
//!                       closed
//! ```
//!
//! A case opens with the first finding about its domain and keeps the highest level it reached. One
//! that was never worth a review closes itself when the domain is quiet; any other waits for the
//! desk. New flux reopens a closed case.

use serde::Serialize;

use crate::detector::{Finding, Level, Verdict};
use crate::dns::Name;
use crate::time::Timestamp;

/// Where a case stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseState {
    /// Nobody has decided.
    Open,
    /// The desk works on it.
    Acknowledged,
    /// The desk found it to be nothing.
    Dismissed,
    /// The domain no longer fluxes because somebody acted.
    Mitigated,
    /// Over.
    Closed,
}

impl CaseState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Open,
        Self::Acknowledged,
        Self::Dismissed,
        Self::Mitigated,
        Self::Closed,
    ];

    /// Returns the word in listings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Dismissed => "dismissed",
            Self::Mitigated => "mitigated",
            Self::Closed => "closed",
        }
    }

    /// Returns the state that [`CaseState::word`] gave `word` for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// What is known of a suspected domain.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The domain.
    pub domain: Name,
    /// The zone whose history says most.
    pub zone: Name,
    /// What is suspected.
    pub verdict: Verdict,
    /// How sure, now.
    pub level: Level,
    /// How sure it ever was.
    pub peak_level: Level,
    /// Where the desk stands.
    pub state: CaseState,
    /// 0 to 100, now.
    pub score: f64,
    /// Event time of the finding that opened it.
    pub first_detected_at: Timestamp,
    /// The last change that a finding rests on.
    pub last_change_at: Timestamp,
    /// When it was last judged.
    pub evaluated_at: Timestamp,
    /// Revision of the desk's report; 0 before the first.
    pub revision: u32,
}

/// One line of a case's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseEvent {
    /// When.
    pub at: Timestamp,
    /// The state before; `None` for a new case.
    pub from: Option<CaseState>,
    /// The state after.
    pub to: CaseState,
    /// What happened.
    pub note: String,
}

/// Returns what a finding, or its absence, makes of a case, and what the log says of it.
///
/// `None` if there was no case and there is no finding. The events are empty if nothing that a
/// person would want to read has changed.
pub fn observe(
    case: Option<&Case>,
    finding: Option<&Finding>,
    now: Timestamp,
) -> Option<(Case, Vec<CaseEvent>)> {
    match (case, finding) {
        (None, None) => None,
        (None, Some(finding)) => Some(open_case(finding)),
        (Some(case), Some(finding)) => Some(update_case(case, finding)),
        (Some(case), None) => Some(quieten_case(case, now)),
    }
}

/// Opens a case.
fn open_case(finding: &Finding) -> (Case, Vec<CaseEvent>) {
    let case = Case {
        domain: finding.domain.clone(),
        zone: finding.zone.clone(),
        verdict: finding.verdict,
        level: finding.level,
        peak_level: finding.level,
        state: CaseState::Open,
        score: finding.score,
        first_detected_at: finding.now,
        last_change_at: finding.last_change_at,
        evaluated_at: finding.now,
        revision: 0,
    };
    let note = format!(
        "opened: suspected {}, level {}",
        finding.verdict.word(),
        finding.level.word()
    );
    (
        case,
        vec![CaseEvent {
            at: finding.now,
            from: None,
            to: CaseState::Open,
            note,
        }],
    )
}

/// Brings a case up to a finding; a closed or mitigated one opens again if something new changed.
fn update_case(case: &Case, finding: &Finding) -> (Case, Vec<CaseEvent>) {
    let mut events = Vec::new();
    let reopens = matches!(case.state, CaseState::Closed | CaseState::Mitigated)
        && finding.last_change_at > case.last_change_at;
    let state = if reopens { CaseState::Open } else { case.state };
    if reopens {
        events.push(CaseEvent {
            at: finding.now,
            from: Some(case.state),
            to: state,
            note: format!("reopened: new changes, level {}", finding.level.word()),
        });
    }
    if finding.level > case.peak_level {
        events.push(CaseEvent {
            at: finding.now,
            from: Some(state),
            to: state,
            note: format!(
                "level rose from {} to {}: suspected {}",
                case.peak_level.word(),
                finding.level.word(),
                finding.verdict.word()
            ),
        });
    } else if finding.verdict != case.verdict && finding.level >= Level::Review {
        events.push(CaseEvent {
            at: finding.now,
            from: Some(state),
            to: state,
            note: format!(
                "suspected {}, before that {}",
                finding.verdict.word(),
                case.verdict.word()
            ),
        });
    }
    let updated = Case {
        zone: finding.zone.clone(),
        verdict: finding.verdict,
        level: finding.level,
        peak_level: case.peak_level.max(finding.level),
        state,
        score: finding.score,
        last_change_at: case.last_change_at.max(finding.last_change_at),
        evaluated_at: finding.now,
        ..case.clone()
    };
    (updated, events)
}

/// Notes that nothing is found any more.
fn quieten_case(case: &Case, now: Timestamp) -> (Case, Vec<CaseEvent>) {
    let closes = case.state == CaseState::Open && case.peak_level == Level::Watch;
    let state = if closes {
        CaseState::Closed
    } else {
        case.state
    };
    let events = if closes {
        vec![CaseEvent {
            at: now,
            from: Some(case.state),
            to: state,
            note: "closed: quiet, and never above watch".to_owned(),
        }]
    } else {
        Vec::new()
    };
    (
        Case {
            level: Level::Watch,
            state,
            score: 0.0,
            evaluated_at: now,
            ..case.clone()
        },
        events,
    )
}

/// Whether the desk is told now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is.
    Send(SendReason),
    /// It is not.
    Hold(HoldReason),
}

/// Why the desk is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendReason {
    /// The case reached `report` and the desk has not had a report of it.
    #[error("first report of this case")]
    FirstReport,
}

/// Why the desk is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoldReason {
    /// The level is not `report`.
    #[error("below level report")]
    BelowReport,
    /// The desk has a report of this case.
    #[error("the desk has a report of this case")]
    AlreadyReported,
    /// The desk has decided.
    #[error("the desk has decided on this case")]
    NotOpen,
    /// Brought in by hand without `--report`.
    #[error("imported without --report")]
    NoMailWanted,
}

/// Decides whether the desk is told of a case.
pub fn decide_report(case: &Case, mail_wanted: bool) -> Decision {
    if case.level < Level::Report {
        Decision::Hold(HoldReason::BelowReport)
    } else if case.revision > 0 {
        Decision::Hold(HoldReason::AlreadyReported)
    } else if case.state != CaseState::Open {
        Decision::Hold(HoldReason::NotOpen)
    } else if !mail_wanted {
        Decision::Hold(HoldReason::NoMailWanted)
    } else {
        Decision::Send(SendReason::FirstReport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(level: Level, at: i64) -> Finding {
        let name = Name::parse("bad.example").expect("valid");
        let now = Timestamp::from_unix(at);
        Finding {
            domain: name.clone(),
            zone: name,
            verdict: Verdict::NsFlux,
            level,
            score: 70.0,
            last_change_at: now,
            now,
            nameservers: None,
            addresses: None,
        }
    }

    #[test]
    fn quiet_watch_cases_close_and_reopen_with_new_changes() {
        let now = Timestamp::from_unix;
        let (case, _) = observe(None, Some(&finding(Level::Watch, 10)), now(10)).expect("opened");
        let (closed, events) = observe(Some(&case), None, now(20)).expect("a case stays");
        assert_eq!((closed.state, events.len()), (CaseState::Closed, 1));
        let (reopened, _) = observe(Some(&closed), Some(&finding(Level::Report, 30)), now(30))
            .expect("a case stays");
        assert_eq!(
            (reopened.state, reopened.first_detected_at),
            (CaseState::Open, now(10))
        );
        assert_eq!(observe(None, None, now(1)), None);
    }

    #[test]
    fn reported_cases_stay_open_when_quiet_and_are_not_reported_again() {
        let now = Timestamp::from_unix;
        let (mut case, _) =
            observe(None, Some(&finding(Level::Report, 10)), now(10)).expect("opened");
        assert_eq!(
            decide_report(&case, true),
            Decision::Send(SendReason::FirstReport)
        );
        assert_eq!(
            decide_report(&case, false),
            Decision::Hold(HoldReason::NoMailWanted)
        );
        case.revision = 1;
        let (quiet, _) = observe(Some(&case), None, now(20)).expect("a case stays");
        assert_eq!(
            (quiet.state, quiet.level, quiet.peak_level),
            (CaseState::Open, Level::Watch, Level::Report)
        );
        assert_eq!(
            decide_report(&quiet, true),
            Decision::Hold(HoldReason::BelowReport)
        );
        assert_eq!(
            decide_report(&case, true),
            Decision::Hold(HoldReason::AlreadyReported)
        );
    }
}
