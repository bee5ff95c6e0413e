//! Whether a message about a case may leave. Pure.
//!
//! [`decide_mail`](crate::case::decide_mail) says whether there is something to tell. Between that and the server that
//! takes a message hours can pass: a person approves a notice, a digest comes due, a mail server is down. So the
//! question what may leave is asked again at each of these steps, and here alone it is answered.

use crate::case::{Case, CaseState};
use crate::detector::Level;

/// What a message about a case is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    /// A report or an update to the desk, or what a webhook hears of either.
    Report,
    /// The end, to the desk or a webhook.
    Closure,
    /// The line of a digest that is the first report of a case.
    Digest,
    /// To somebody beside the desk: a registrar, an operator, a network.
    Notice,
}

/// What is known beside the case when a message is to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// The exemption that covers the case.
    pub exemption: Option<i64>,
    /// Whether the configuration names its recipient for this case.
    pub is_addressee: bool,
    /// Whether a person asked for it after the case was dismissed or exempted.
    pub is_asked: bool,
    /// Whether its recipient got, or is to get, the report that a closure ends.
    pub has_beginning: bool,
}

/// Why a message does not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// The case is not open.
    #[error("the case is {}", .0.word())]
    Over(CaseState),
    /// The level is not `report`.
    #[error("the case is below level report")]
    BelowReport,
    /// An exemption covers the case.
    #[error("the case is exempt by number {0}")]
    Exempt(i64),
    /// Its address was taken out of the configuration.
    #[error("the configuration does not name this recipient for it")]
    NoAddressee,
    /// The report that it ends never left.
    #[error("the report that it ends was not sent")]
    NeverBegan,
    /// It tells of another case, which is dismissed or exempt by now.
    #[error("a case that it names is dismissed or exempt by now")]
    NamesWithdrawn,
    /// It is a digest, and a case ended or somebody was exempted after it was written.
    #[error("a case ended or somebody was exempted after it was written; another takes its place")]
    Overtaken,
    /// It is a closure, and the case is open again.
    #[error("the case is open again")]
    OpenAgain,
}

/// Returns why a message about a case may not leave; `None` if it may.
///
/// A notice accuses somebody to a stranger: it needs a case that goes on, at level `report`, that no exemption covers,
/// whoever asked for it. The desk's own mail is stopped by a dismissal or an exemption alone, and goes all the same
/// where somebody asked for it later. A closure takes an accusation back: it goes to whoever heard that, and not once the
/// case is open again.
pub fn stop_reason(
    case: &Case,
    letter: Letter,
    circumstances: &Circumstances,
) -> Option<StopReason> {
    let Circumstances {
        exemption,
        is_addressee,
        is_asked,
        has_beginning,
    } = *circumstances;
    let is_working = case.state.is_working();
    let stop = match letter {
        Letter::Notice | Letter::Digest if !is_working => Some(StopReason::Over(case.state)),
        Letter::Notice | Letter::Digest if case.level < Level::Report => {
            Some(StopReason::BelowReport)
        }
        Letter::Notice | Letter::Digest => exemption.map(StopReason::Exempt),
        Letter::Report if is_asked => None,
        Letter::Report if case.state == CaseState::Dismissed => Some(StopReason::Over(case.state)),
        Letter::Report => exemption.map(StopReason::Exempt),
        Letter::Closure if is_working => Some(StopReason::OpenAgain),
        Letter::Closure => (!has_beginning).then_some(StopReason::NeverBegan),
    };
    stop.or((!is_addressee).then_some(StopReason::NoAddressee))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Told;
    use crate::detector::Verdict;
    use crate::dns::Name;
    use crate::time::Timestamp;

    fn case(state: CaseState, level: Level) -> Case {
        let name = Name::parse("bad.example").expect("valid");
        let at = Timestamp::from_unix(0);
        Case {
            domain: name.clone(),
            zone: name,
            verdict: Verdict::NsFlux,
            level,
            peak_level: Level::Report,
            state,
            score: 80.0,
            first_detected_at: at,
            last_change_at: at,
            evaluated_at: at,
            due_at: None,
            pending_since: None,
            revision: 1,
            reported: true,
            told: Told::default(),
            assignee: None,
            dismissed_as: None,
            reviewed_at: None,
        }
    }

    const FREE: Circumstances = Circumstances {
        exemption: None,
        is_addressee: true,
        is_asked: false,
        has_beginning: true,
    };

    #[test]
    fn a_notice_needs_an_open_case_at_level_report_that_nothing_exempts_whoever_asks() {
        use CaseState::{Acknowledged, Closed, Dismissed, Mitigated, Open};
        let asked = Circumstances {
            is_asked: true,
            ..FREE
        };
        for letter in [Letter::Notice, Letter::Digest] {
            for state in [Open, Acknowledged] {
                assert_eq!(
                    stop_reason(&case(state, Level::Report), letter, &FREE),
                    None
                );
                assert_eq!(
                    stop_reason(&case(state, Level::Review), letter, &asked),
                    Some(StopReason::BelowReport)
                );
                let exempt = Circumstances {
                    exemption: Some(3),
                    ..asked
                };
                assert_eq!(
                    stop_reason(&case(state, Level::Report), letter, &exempt),
                    Some(StopReason::Exempt(3))
                );
            }
            for state in [Dismissed, Mitigated, Closed] {
                assert_eq!(
                    stop_reason(&case(state, Level::Report), letter, &asked),
                    Some(StopReason::Over(state))
                );
            }
        }
        let unnamed = Circumstances {
            is_addressee: false,
            ..FREE
        };
        assert_eq!(
            stop_reason(&case(Open, Level::Report), Letter::Notice, &unnamed),
            Some(StopReason::NoAddressee)
        );
    }

    #[test]
    fn the_desks_mail_is_stopped_by_dismissal_and_exemption_unless_it_was_asked_for_later() {
        let exempt = Circumstances {
            exemption: Some(3),
            ..FREE
        };
        let (open, dismissed) = (
            case(CaseState::Open, Level::Watch),
            case(CaseState::Dismissed, Level::Report),
        );
        let stop = |case: &Case, circumstances: Circumstances| {
            stop_reason(case, Letter::Report, &circumstances)
        };
        assert_eq!(stop(&open, FREE), None);
        assert_eq!(stop(&open, exempt), Some(StopReason::Exempt(3)));
        assert_eq!(
            stop(&dismissed, FREE),
            Some(StopReason::Over(CaseState::Dismissed))
        );
        // What ended by itself was true when it was written.
        assert_eq!(stop(&case(CaseState::Closed, Level::Watch), FREE), None);
        for case in [&open, &dismissed] {
            let asked = Circumstances {
                is_asked: true,
                ..exempt
            };
            assert_eq!(stop(case, asked), None);
        }
    }

    #[test]
    fn a_closure_goes_to_whoever_heard_of_the_beginning_and_to_nobody_else() {
        let dismissed = case(CaseState::Dismissed, Level::Report);
        let unheard = Circumstances {
            has_beginning: false,
            ..FREE
        };
        assert_eq!(stop_reason(&dismissed, Letter::Closure, &FREE), None);
        assert_eq!(
            stop_reason(&dismissed, Letter::Closure, &unheard),
            Some(StopReason::NeverBegan)
        );
        for state in [CaseState::Open, CaseState::Acknowledged] {
            let open = case(state, Level::Report);
            let stop = stop_reason(&open, Letter::Closure, &FREE);
            assert_eq!(stop, Some(StopReason::OpenAgain));
        }
    }
}
