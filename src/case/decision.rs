//! Whether somebody is told of a case now, and why or why not. Pure.

use crate::case::{Case, CaseState};
use crate::count::counted;
use crate::detector::Level;
use crate::time::{Span, Timestamp};

/// How much a case must have grown since it was told of to be told of again: to so many times. A factor of
/// two made two of three mails of a month of 350 flux domains (examples/month.rs).
const GROWTH_FACTOR: u32 = 5;
/// And by so many name servers and addresses.
const GROWTH_MIN: u32 = 30;

/// How often the desk is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailRules {
    /// Reminds of a case that nobody has taken up after this time; `None`: never.
    pub repeat: Option<Span>,
    /// The least time between two mails about one case, its end excepted.
    pub update_after: Span,
}

/// What is known beside the case when it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailContext {
    /// Whether mail is wanted at all.
    pub wanted: bool,
    /// The exemption that covers the case.
    pub exemption: Option<i64>,
    /// Another case whose mails tell of this one's campaign: of an open case one that is open too.
    pub lead: Option<i64>,
    /// Cases that joined this one's campaign since the last mail.
    pub joined: u32,
    /// Cases of this one's thread, itself left out, that are still open.
    pub open_members: u32,
    /// Whether somebody did not hear all that was told of the case, or of those that are told in its mails.
    pub has_unheard: bool,
    /// Whether the case was to be told, the desk has taken it up meanwhile, and nobody heard of it.
    pub is_owed: bool,
    /// When somebody was last told of the case.
    pub told_at: Option<Timestamp>,
    /// How many name servers and addresses the finding has.
    pub size: u32,
    /// Whether the case was over before, and is open again.
    pub was_over: bool,
    /// Whether a person ended it; `false` if it ended by itself.
    pub is_by_person: bool,
    /// Whether the hour has room for another mail.
    pub has_room: bool,
    /// The time of the mail.
    pub now: Timestamp,
}

/// Whether somebody is told now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Send(SendReason),
    /// No.
    Hold(HoldReason),
}

/// Why somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendReason {
    /// The case reached `report` and nobody has been told of it.
    #[error("first report of this case")]
    FirstReport,
    /// The case was over, and is open again.
    #[error("this case was over and is open again")]
    Again,
    /// The mail before was dropped, or perhaps did not arrive: it goes to those who did not get that.
    #[error("the mail before this one was not sent, or may not have arrived")]
    Missed,
    /// What is suspected is not what was told.
    #[error("another kind of flux is suspected now")]
    NewVerdict,
    /// Five times as many name servers and addresses as were told.
    #[error("the case has grown to at least five times what was told")]
    Growth,
    /// Cases joined the campaign.
    #[error("{}", joined_text(*.0))]
    CampaignGrew(u32),
    /// Nobody has taken the case up.
    #[error("nobody has taken this case up since the last mail")]
    Repeat,
    /// Somebody asked for another revision.
    #[error("a new revision was asked for")]
    Asked,
    /// It ended by itself, or somebody acted.
    #[error("the case is mitigated")]
    Mitigated,
    /// The desk ended it.
    #[error("the case is closed")]
    Closed,
    /// The desk found it to be nothing.
    #[error("the suspicion is withdrawn")]
    Withdrawn,
}

/// Says how many domains joined a campaign.
fn joined_text(count: u32) -> String {
    let verb = if count == 1 { "belongs" } else { "belong" };
    format!("{} {verb} to its campaign", counted(count, "more domain"))
}

impl SendReason {
    /// Returns the reason for the first mail about a case since it was opened, or opened again.
    pub fn first(case: &Case, was_over: bool) -> Self {
        // Of a revision that was dropped nobody heard.
        if was_over && case.revision > 0 {
            Self::Again
        } else {
            Self::FirstReport
        }
    }

    /// Returns the reason that its words stand for; `None` if they stand for none.
    pub fn parse(words: &str) -> Option<Self> {
        let all = [
            Self::FirstReport,
            Self::Again,
            Self::Missed,
            Self::NewVerdict,
            Self::Growth,
            Self::Repeat,
            Self::Asked,
            Self::Mitigated,
            Self::Closed,
            Self::Withdrawn,
        ];
        let count = words.split(' ').next().and_then(|it| it.parse().ok());
        let grew = count.map(Self::CampaignGrew);
        (all.into_iter().chain(grew)).find(|reason| reason.to_string() == words)
    }

    /// Returns whether the mail is the last of its thread.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Mitigated | Self::Closed | Self::Withdrawn)
    }

    /// Returns whether the mail is the first since the case was opened, or opened again.
    pub fn is_first(self) -> bool {
        matches!(self, Self::FirstReport | Self::Again)
    }
}

/// Why nobody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoldReason {
    /// The level is not `report`.
    #[error("below level report")]
    BelowReport,
    /// Nothing is new since the last mail.
    #[error("nothing new since the last mail")]
    NothingNew,
    /// Something is new, and the last mail is too fresh.
    #[error("told of lately; what is new waits")]
    ToldLately,
    /// The desk has decided.
    #[error("the desk has decided on this case")]
    NotOpen,
    /// Neither mail nor a webhook is configured.
    #[error("mail is not configured; it is told once it is")]
    NoWay,
    /// Who heard of it is not configured any more.
    #[error("nobody who heard of it is configured any more")]
    NobodyLeft,
    /// Brought in by hand without `--report`, or a test of the monitor.
    #[error("no mail is wanted")]
    NoMailWanted,
    /// An exemption covers it.
    #[error("exempt by number {0}")]
    Exempt(i64),
    /// Told in the mails of another case of its campaign.
    #[error("told in the mails of case {0}, which is of the same campaign")]
    Campaign(i64),
    /// Too many mails within an hour.
    #[error("beyond the hourly number of mails: told in the digest")]
    HourlyCap,
    /// It is over, and nobody was told that it began.
    #[error("over, and never told of")]
    NeverTold,
    /// Others of its campaign go on.
    #[error("over; others of its campaign go on")]
    CampaignGoesOn,
}

impl HoldReason {
    /// Returns whether the case would be mailed but for this: worth a line in its log.
    pub fn is_silencing(self) -> bool {
        matches!(
            self,
            Self::Exempt(_)
                | Self::Campaign(_)
                | Self::HourlyCap
                | Self::NoMailWanted
                | Self::NoWay
        )
    }
}

/// Decides whether somebody is told of a case.
pub fn decide_mail(case: &Case, context: &MailContext, rules: &MailRules) -> Decision {
    match case.state {
        CaseState::Open | CaseState::Acknowledged => decide_open(case, context, rules),
        CaseState::Mitigated => decide_end(case, context, SendReason::Mitigated),
        CaseState::Closed => decide_end(case, context, SendReason::Closed),
        CaseState::Dismissed => decide_end(case, context, SendReason::Withdrawn),
    }
}

/// Decides on a case that is over.
///
/// An exemption holds the end that a case came to by itself. What a person decided is told to whoever read the
/// accusation: nobody else takes that back.
fn decide_end(case: &Case, context: &MailContext, reason: SendReason) -> Decision {
    let exemption = context.exemption.filter(|_| !context.is_by_person);
    if !case.reported {
        Decision::Hold(HoldReason::NeverTold)
    } else if let Some(exemption) = exemption {
        Decision::Hold(HoldReason::Exempt(exemption))
    } else if let Some(lead) = context.lead {
        Decision::Hold(HoldReason::Campaign(lead))
    } else if context.open_members > 0 {
        Decision::Hold(HoldReason::CampaignGoesOn)
    } else if !context.wanted {
        Decision::Hold(HoldReason::NoMailWanted)
    } else {
        Decision::Send(reason)
    }
}

/// Decides on a case that somebody works on, or should.
fn decide_open(case: &Case, context: &MailContext, rules: &MailRules) -> Decision {
    let reason = match news(case, context, rules) {
        Ok(reason) => reason,
        Err(hold) => return Decision::Hold(hold),
    };
    if let Some(exemption) = context.exemption {
        Decision::Hold(HoldReason::Exempt(exemption))
    } else if !context.wanted {
        Decision::Hold(HoldReason::NoMailWanted)
    } else if let Some(lead) = context.lead {
        Decision::Hold(HoldReason::Campaign(lead))
    // The first mail is never put off: an update may be, since its thread is there already.
    } else if !reason.is_first()
        && (case.told.at).is_some_and(|at| context.now.since(at) < rules.update_after)
    {
        Decision::Hold(HoldReason::ToldLately)
    } else if !context.has_room {
        Decision::Hold(HoldReason::HourlyCap)
    } else {
        Decision::Send(reason)
    }
}

/// Returns what is new of an open case; else why there is nothing to tell.
fn news(case: &Case, context: &MailContext, rules: &MailRules) -> Result<SendReason, HoldReason> {
    // A campaign goes on in the mails of its lead, whatever the lead's own name does.
    if case.reported && context.joined > 0 {
        return Ok(SendReason::CampaignGrew(context.joined));
    }
    if case.level < Level::Report {
        return match context.has_unheard {
            true => Ok(SendReason::Missed),
            false => Err(HoldReason::BelowReport),
        };
    }
    if !case.reported {
        return match case.state {
            CaseState::Open => Ok(SendReason::first(case, context.was_over)),
            // It was taken up in the console while its report waited.
            CaseState::Acknowledged if context.is_owed => {
                Ok(SendReason::first(case, context.was_over))
            }
            _ => Err(HoldReason::NotOpen),
        };
    }
    let told = &case.told;
    // A size of 0 was not told.
    let has_grown = told.size > 0
        && context.size >= told.size * GROWTH_FACTOR
        && context.size >= told.size + GROWTH_MIN;
    let is_ignored = case.state == CaseState::Open
        && rules
            .repeat
            .zip(context.told_at)
            .is_some_and(|(repeat, at)| context.now.since(at) >= repeat);
    if told.verdicts.is_empty() {
        Ok(SendReason::Missed)
    } else if !told.verdicts.contains(&case.verdict) {
        Ok(SendReason::NewVerdict)
    } else if has_grown {
        Ok(SendReason::Growth)
    } else if context.has_unheard {
        Ok(SendReason::Missed)
    } else if is_ignored {
        Ok(SendReason::Repeat)
    } else {
        Err(HoldReason::NothingNew)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Told;
    use crate::detector::Verdict;
    use crate::dns::Name;

    const RULES: MailRules = MailRules {
        repeat: None,
        update_after: Span::days(1),
    };

    fn case() -> Case {
        let name = Name::parse("bad.example").expect("valid");
        let at = Timestamp::from_unix(0);
        Case {
            domain: name.clone(),
            zone: name,
            verdict: Verdict::NsFlux,
            level: Level::Report,
            peak_level: Level::Report,
            state: CaseState::Open,
            score: 80.0,
            first_detected_at: at,
            last_change_at: at,
            evaluated_at: at,
            due_at: None,
            pending_since: None,
            revision: 0,
            reported: false,
            told: Told::default(),
            assignee: None,
            dismissed_as: None,
            reviewed_at: None,
        }
    }

    /// The same after a mail at time 0 about 10 name servers and addresses.
    fn told() -> Case {
        Case {
            revision: 1,
            reported: true,
            told: Told {
                at: Some(Timestamp::from_unix(0)),
                verdicts: vec![Verdict::NsFlux],
                size: 10,
                ..Told::default()
            },
            ..case()
        }
    }

    fn context(days: i64) -> MailContext {
        MailContext {
            wanted: true,
            exemption: None,
            lead: None,
            joined: 0,
            open_members: 0,
            has_unheard: false,
            is_owed: false,
            told_at: Some(Timestamp::from_unix(0)),
            size: 10,
            was_over: false,
            is_by_person: false,
            has_room: true,
            now: Timestamp::from_unix(0) + Span::days(days),
        }
    }

    #[test]
    fn the_first_mail_is_held_by_exemption_campaign_cap_and_decision_and_by_nothing_else() {
        let decide = |case: &Case, context: MailContext| decide_mail(case, &context, &RULES);
        let free = context(0);
        assert_eq!(
            decide(&case(), free),
            Decision::Send(SendReason::FirstReport)
        );
        let held = [
            (
                MailContext {
                    exemption: Some(3),
                    ..free
                },
                HoldReason::Exempt(3),
            ),
            (
                MailContext {
                    lead: Some(9),
                    ..free
                },
                HoldReason::Campaign(9),
            ),
            (
                MailContext {
                    has_room: false,
                    ..free
                },
                HoldReason::HourlyCap,
            ),
            (
                MailContext {
                    wanted: false,
                    ..free
                },
                HoldReason::NoMailWanted,
            ),
        ];
        for (context, reason) in held {
            assert_eq!(decide(&case(), context), Decision::Hold(reason));
        }
        let acknowledged = Case {
            state: CaseState::Acknowledged,
            ..case()
        };
        assert_eq!(
            decide(&acknowledged, free),
            Decision::Hold(HoldReason::NotOpen)
        );
        // Nobody heard of revisions that were dropped.
        let unsent = Case {
            revision: 4,
            ..case()
        };
        assert_eq!(
            decide(&unsent, free),
            Decision::Send(SendReason::FirstReport)
        );
        let owed = MailContext {
            is_owed: true,
            ..free
        };
        assert_eq!(
            decide(&acknowledged, owed),
            Decision::Send(SendReason::FirstReport)
        );
        let again = MailContext {
            was_over: true,
            ..free
        };
        assert_eq!(decide(&unsent, again), Decision::Send(SendReason::Again));
    }

    #[test]
    fn words_of_a_reason_stand_for_it() {
        for reason in [
            SendReason::FirstReport,
            SendReason::CampaignGrew(1),
            SendReason::CampaignGrew(12),
            SendReason::Withdrawn,
        ] {
            assert_eq!(SendReason::parse(&reason.to_string()), Some(reason));
        }
        assert_eq!(SendReason::parse("1 more"), None);
    }

    #[test]
    fn what_a_dropped_update_told_is_told_again_whatever_it_was() {
        let missed = Case {
            told: Told {
                verdicts: Vec::new(),
                ..told().told
            },
            ..told()
        };
        assert_eq!(
            decide_mail(&missed, &context(1), &RULES),
            Decision::Send(SendReason::Missed)
        );
        assert_eq!(
            decide_mail(&missed, &context(0), &RULES),
            Decision::Hold(HoldReason::ToldLately)
        );
    }

    #[test]
    fn who_did_not_hear_is_told_at_once_and_news_come_first() {
        let unheard = MailContext {
            has_unheard: true,
            ..context(0)
        };
        // When somebody was told last is not said of a case that not everybody heard of.
        let mut case = told();
        case.told.at = None;
        let missed = Decision::Send(SendReason::Missed);
        assert_eq!(decide_mail(&case, &unheard, &RULES), missed);
        let exempt = MailContext {
            exemption: Some(3),
            ..unheard
        };
        assert_eq!(
            decide_mail(&case, &exempt, &RULES),
            Decision::Hold(HoldReason::Exempt(3))
        );
        case.verdict = Verdict::DoubleFlux;
        assert_eq!(
            decide_mail(&case, &unheard, &RULES),
            Decision::Send(SendReason::NewVerdict)
        );
        // One of its campaign is told in its mails, whatever its own level is.
        let quiet = Case {
            level: Level::Watch,
            ..told()
        };
        let later = MailContext {
            has_unheard: true,
            ..context(1)
        };
        assert_eq!(decide_mail(&quiet, &later, &RULES), missed);
    }

    #[test]
    fn exemption_holds_the_end_that_came_by_itself_and_not_what_a_person_decided() {
        let exempt = MailContext {
            exemption: Some(3),
            ..context(0)
        };
        let by_person = MailContext {
            is_by_person: true,
            ..exempt
        };
        for (state, reason) in [
            (CaseState::Mitigated, SendReason::Mitigated),
            (CaseState::Closed, SendReason::Closed),
            (CaseState::Dismissed, SendReason::Withdrawn),
        ] {
            let over = Case { state, ..told() };
            assert_eq!(
                decide_mail(&over, &exempt, &RULES),
                Decision::Hold(HoldReason::Exempt(3))
            );
            assert_eq!(
                decide_mail(&over, &by_person, &RULES),
                Decision::Send(reason)
            );
            let unheard = Case { state, ..case() };
            assert_eq!(
                decide_mail(&unheard, &by_person, &RULES),
                Decision::Hold(HoldReason::NeverTold)
            );
        }
    }

    #[test]
    fn later_mails_need_news_and_a_day() {
        let decide = |case: &Case, context: MailContext| decide_mail(case, &context, &RULES);
        assert_eq!(
            decide(&told(), context(30)),
            Decision::Hold(HoldReason::NothingNew)
        );
        let changed = Case {
            verdict: Verdict::DoubleFlux,
            ..told()
        };
        assert_eq!(
            decide(&changed, context(0)),
            Decision::Hold(HoldReason::ToldLately)
        );
        assert_eq!(
            decide(&changed, context(1)),
            Decision::Send(SendReason::NewVerdict)
        );
        let size = |size| MailContext { size, ..context(1) };
        assert_eq!(
            decide(&told(), size(49)),
            Decision::Hold(HoldReason::NothingNew)
        );
        assert_eq!(
            decide(&told(), size(50)),
            Decision::Send(SendReason::Growth)
        );
        let joined = MailContext {
            joined: 2,
            ..context(1)
        };
        let quiet = Case {
            level: Level::Watch,
            ..told()
        };
        assert_eq!(
            decide(&quiet, joined),
            Decision::Send(SendReason::CampaignGrew(2))
        );
    }

    #[test]
    fn reminders_go_to_cases_that_nobody_has_taken_up() {
        let rules = MailRules {
            repeat: Some(Span::days(7)),
            ..RULES
        };
        assert_eq!(
            decide_mail(&told(), &context(6), &rules),
            Decision::Hold(HoldReason::NothingNew)
        );
        assert_eq!(
            decide_mail(&told(), &context(7), &rules),
            Decision::Send(SendReason::Repeat)
        );
        let acknowledged = Case {
            state: CaseState::Acknowledged,
            ..told()
        };
        assert_eq!(
            decide_mail(&acknowledged, &context(7), &rules),
            Decision::Hold(HoldReason::NothingNew)
        );
    }

    #[test]
    fn the_end_is_told_once_the_whole_thread_is_over_and_only_to_who_was_told_of_the_beginning() {
        for (state, reason) in [
            (CaseState::Mitigated, SendReason::Mitigated),
            (CaseState::Closed, SendReason::Closed),
            (CaseState::Dismissed, SendReason::Withdrawn),
        ] {
            let over = Case { state, ..told() };
            assert_eq!(
                decide_mail(&over, &context(0), &RULES),
                Decision::Send(reason)
            );
            let others = MailContext {
                open_members: 1,
                ..context(0)
            };
            assert_eq!(
                decide_mail(&over, &others, &RULES),
                Decision::Hold(HoldReason::CampaignGoesOn)
            );
            let untold = Case { state, ..case() };
            assert_eq!(
                decide_mail(&untold, &context(0), &RULES),
                Decision::Hold(HoldReason::NeverTold)
            );
        }
    }
}
