//! The desk's work item about one domain, and the decision to report. Pure.
//!
//! ```text
//!             finding            desk                 desk
//!   (none) ───────────▶ open ───────────▶ acknowledged ──┬─▶ dismissed
//!                       ▲ │ │                            ├─▶ closed
//!    new flux, or the   │ │ │ gone, suspended, still     ▼
//!    desk reopens it    │ │ └─────────────────────▶ mitigated
//!   ────────────────────┘ ▼ quiet, and never above watch
//!                       closed
//! ```
//!
//! From `open` the desk may go to any of the ends directly.
//!
//! A case opens with the first finding about its domain and keeps the highest level it reached. A finding
//! that would be reported is held at `review` for an hour first, unless its score leaves no doubt. New flux
//! reopens a case that is closed or mitigated. One that the desk dismissed was judged by a person: it opens
//! again only for flux that begins after a long stillness, or for another verdict than the dismissed one.
//!
//! - [`observe`] moves a case by what is found, [`take_step`] by what the desk does; each step is a
//!   [`CaseEvent`] of an append-only log.
//! - [`decide_mail`] says whether somebody is told now, and why or why not.
//! - [`exemption_of`] says who is never reported.
//! - [`stop_reason`] says why a message about a case may not leave; asked at every step on its way out.

mod campaign;
mod decision;
mod desk;
mod exemption;
mod passage;

pub use campaign::{Shared, Traits, campaign_reference};
pub use decision::{Decision, HoldReason, MailContext, MailRules, SendReason, decide_mail};
pub use desk::{
    DeskStep, DismissReason, StepRefused, TextUnfit, check_note, check_reason, check_texts,
    take_step,
};
pub use exemption::{Exempt, Exemption, Reach, exemption_of, exemption_of_domain, reach_of};
pub use passage::{Circumstances, Letter, StopReason, stop_reason};

use std::collections::BTreeSet;

use serde::Serialize;

use crate::detector::{DetectPolicy, Finding, Level, Verdict};
use crate::dns::Name;
use crate::time::{Span, Timestamp};

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

    /// Returns whether somebody works on a case in it, or should: it is not over.
    pub fn is_working(self) -> bool {
        matches!(self, Self::Open | Self::Acknowledged)
    }

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
    /// By when a change that was left unjudged is judged at the latest, whether another comes or not; event time. `None`
    /// if no change was left.
    pub due_at: Option<Timestamp>,
    /// Since when a report is held until it is confirmed; `None` if none is.
    pub pending_since: Option<Timestamp>,
    /// Number of the last mail about it; 0 before the first.
    pub revision: u32,
    /// Whether the desk has been told since the case was opened, or opened again.
    pub reported: bool,
    /// What the desk was told.
    pub told: Told,
    /// Whose it is.
    pub assignee: Option<String>,
    /// Why the desk dismissed it.
    pub dismissed_as: Option<DismissReason>,
    /// The desk's first step since it was opened, or opened again.
    pub reviewed_at: Option<Timestamp>,
}

impl Case {
    /// Returns by when a change that was left unjudged is judged; `None` if none was left, or the case is over: then the
    /// next change has it judged.
    pub fn judged_again_at(&self) -> Option<Timestamp> {
        let is_over = matches!(self.state, CaseState::Closed | CaseState::Mitigated);
        self.due_at.filter(|_| !is_over)
    }

    /// Says of the domain that it changed and was not judged since, and when it is; `None` if all was judged.
    pub fn left_words(&self) -> Option<String> {
        let at = self.judged_again_at()?.to_table();
        Some(format!(
            "changed after its last judgement; the first poll at or after {at} UTC judges it again"
        ))
    }
}

/// What the desk was told of a case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// When last.
    pub at: Option<Timestamp>,
    /// Every verdict that was told, in that order.
    pub verdicts: Vec<Verdict>,
    /// How many name servers and addresses were told last.
    pub size: u32,
    /// The case in whose mails this one is told: itself, or another of its campaign.
    pub thread: Option<i64>,
    /// Whether the next digest tells of it.
    pub digest_due: bool,
    /// Why it is not mailed though it might be, in words.
    pub held: Option<String>,
}

/// What the log says of a case that another policy has judged.
pub const JUDGED_ANEW: &str = "judged anew";

/// One line of a case's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseEvent {
    /// When; of a judgement event time: that of the change that was judged.
    pub at: Timestamp,
    /// The state before; `None` for a new case.
    pub from: Option<CaseState>,
    /// The state after.
    pub to: CaseState,
    /// What happened.
    pub note: String,
}

/// For how long a delegation has been gone before it counts as gone. Registries tell a change of name servers as what is
/// removed and what is added, and a feed, a transfer or a file may show what is in between. Chosen by hand.
pub const GONE_AFTER: Span = Span::seconds(600);

/// The same of one that may well come back. It went in a mass change: a publication that lacks a part of its zone is right
/// again the next day. Or it was gone for longer within [`RETURNS_WITHIN`] before and came back: who takes a domain away
/// with each rotation would have the desk told of an end and a beginning each time.
pub const GONE_AT_LAST_AFTER: Span = Span::days(1);

/// For how long it is known of a delegation that it came back.
pub const RETURNS_WITHIN: Span = Span::days(7);

/// Whether the domain is still there to be suspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is delegated, or its zone is hosted.
    Active,
    /// Its delegation went so lately that it may come back: it counts as gone from then on, unless it does.
    Away(Timestamp),
    /// Its delegation is gone.
    Gone,
    /// All its name servers are those that suspended domains are moved to.
    OnHold,
}

impl Standing {
    /// Returns it by the name servers that a domain has now, whether its zone once delegated it, and the
    /// name servers of suspended domains.
    pub fn of(hosts: &BTreeSet<Name>, was_delegated: bool, hold: &[Name]) -> Self {
        match hosts.is_empty() {
            true if was_delegated => Self::Gone,
            false if hosts.iter().all(|host| hold.contains(host)) => Self::OnHold,
            _ => Self::Active,
        }
    }

    /// Returns the same at a time, of a delegation that counts as gone from another on.
    pub fn until(self, gone_at: Option<Timestamp>, now: Timestamp) -> Self {
        match gone_at {
            Some(gone_at) if self == Self::Gone && now < gone_at => Self::Away(gone_at),
            _ => self,
        }
    }
}

/// What is known of a domain when its case is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// What is suspected; `None` if nothing is.
    pub finding: Option<&'a Finding>,
    /// The last change of what is the domain's own, suspected or not; `None` if none is known.
    pub last_change_at: Option<Timestamp>,
    /// Whether it is still there.
    pub standing: Standing,
    /// Whether its zone can be seen: nobody knows of one that cannot be seen that it stood still.
    pub is_seen: bool,
    /// The time of the judgement; event time.
    pub now: Timestamp,
}

/// Returns what an observation makes of a case, and what the log says of it.
///
/// `None` if there was no case and there is no finding. The events are empty if nothing that a
/// person would want to read has changed.
///
/// A finding at level `report` is held at `review` until it has held for
/// [`confirm_after`](DetectPolicy::confirm_after) and another change that counts was seen, unless its score
/// leaves no doubt ([`certain_score_min`](DetectPolicy::certain_score_min)) or the case was at `report` before.
///
/// While a delegation is away no case opens, and one that somebody works on, or should, waits for whether it comes back.
pub fn observe(
    case: Option<&Case>,
    observation: &Observation<'_>,
    policy: &DetectPolicy,
) -> Option<(Case, Vec<CaseEvent>)> {
    let is_active = observation.standing == Standing::Active;
    match (case, observation.finding) {
        (Some(case), _)
            if case.state.is_working()
                && let Standing::Away(gone_at) = observation.standing =>
        {
            Some((await_return(case, gone_at, observation.now), Vec::new()))
        }
        (None, Some(finding)) if is_active => Some(open_case(finding, policy)),
        (None, _) => None,
        (Some(case), Some(finding)) if is_active => Some(update_case(case, finding, policy)),
        (Some(case), _) => Some(quieten_case(case, observation, policy)),
    }
}

/// Leaves a case as it is until its delegation counts as gone.
fn await_return(case: &Case, gone_at: Timestamp, now: Timestamp) -> Case {
    Case {
        evaluated_at: now,
        due_at: Some(gone_at),
        ..case.clone()
    }
}

/// Opens a case.
fn open_case(finding: &Finding, policy: &DetectPolicy) -> (Case, Vec<CaseEvent>) {
    let (level, pending_since) = hold(None, finding, policy);
    let case = Case {
        domain: finding.domain.clone(),
        zone: finding.zone.clone(),
        verdict: finding.verdict,
        level,
        peak_level: level,
        state: CaseState::Open,
        score: finding.score,
        first_detected_at: finding.now,
        last_change_at: finding.last_change_at,
        evaluated_at: finding.now,
        due_at: None,
        pending_since,
        revision: 0,
        reported: false,
        told: Told::default(),
        assignee: None,
        dismissed_as: None,
        reviewed_at: None,
    };
    let mut note = format!(
        "opened: suspected {}, level {}",
        finding.verdict.word(),
        level.word()
    );
    if pending_since.is_some() {
        note = format!("{note}, {}", confirmation(policy));
    }
    let event = CaseEvent {
        at: finding.now,
        from: None,
        to: CaseState::Open,
        note,
    };
    (case, vec![event])
}

/// For how long a report is held at most, or for twice [`confirm_after`](DetectPolicy::confirm_after) if that is longer: what
/// was found in a week that is over confirms nothing of this one.
const HELD_MAX: Span = Span::days(7);

/// Returns the level that a finding gives a case, and since when a report of it is held.
fn hold(
    case: Option<&Case>,
    finding: &Finding,
    policy: &DetectPolicy,
) -> (Level, Option<Timestamp>) {
    // A case that is held since a time of the future was judged while the clock was ahead: it is held from now on.
    let since = case.and_then(|case| case.pending_since);
    let since = since.map(|since| since.min(finding.now));
    // Between two steps a slow rotation may fall short of a report for some hours: it goes on all the same.
    let held_max = HELD_MAX.max(Span::seconds(
        policy.confirm_after.as_seconds().saturating_mul(2),
    ));
    let since = since.filter(|since| finding.now.since(*since) < held_max);
    match finding.level {
        Level::Report => {}
        Level::Review => return (Level::Review, since),
        Level::Watch => return (Level::Watch, None),
    }
    let was_reported = case.is_some_and(|case| case.level == Level::Report || case.reported);
    // The same rows say the same again: what confirms a suspicion is that the rotation went on.
    let went_on = since.is_none_or(|since| finding.last_step_at > since);
    let is_certain = finding.is_open() && finding.score >= policy.certain_score_min;
    let has_held = since.is_some_and(|since| finding.now.since(since) >= policy.confirm_after);
    let is_confirmed = is_certain || has_held || policy.confirm_after <= Span::seconds(0);
    if was_reported || (went_on && is_confirmed) {
        (Level::Report, None)
    } else {
        (Level::Review, Some(since.unwrap_or(finding.now)))
    }
}

/// Says what a report waits for.
fn confirmation(policy: &DetectPolicy) -> String {
    format!(
        "report if it goes on for {} or longer",
        policy.confirm_after
    )
}

/// Says what opens a dismissed case again, by the rule of `opens_again`; `dismissed` is the verdict that was
/// dismissed, where it is of one case.
pub fn reopening_words(policy: &DetectPolicy, dismissed: Option<Verdict>) -> String {
    let than = dismissed.map_or_else(String::new, |it| format!(" than {}", it.word()));
    format!(
        "opens again only for flux that begins after {} without a change, or for another verdict{than}",
        policy.settled_after
    )
}

/// Returns whether a case that is over opens again with a finding.
fn opens_again(case: &Case, finding: &Finding, policy: &DetectPolicy) -> bool {
    // By event time: judging the same records again finds nothing new.
    let is_new = finding.last_change_at > case.last_change_at;
    match case.state {
        CaseState::Open | CaseState::Acknowledged => false,
        CaseState::Closed | CaseState::Mitigated => is_new,
        // A person judged what was in view: other flux is another question.
        CaseState::Dismissed => {
            let has_rested =
                finding.last_change_at.since(case.last_change_at) >= policy.settled_after;
            is_new
                && finding.level >= Level::Review
                && (has_rested || finding.verdict != case.verdict)
        }
    }
}

/// Brings a case up to a finding; a closed or mitigated one opens again if something new changed.
fn update_case(case: &Case, finding: &Finding, policy: &DetectPolicy) -> (Case, Vec<CaseEvent>) {
    let mut events = Vec::new();
    let reopens = opens_again(case, finding, policy);
    // What begins again is held, and told, like what is new.
    let mut begun = case.clone();
    if reopens {
        begun.reported = false;
        begun.reviewed_at = None;
        begun.dismissed_as = None;
        begun.told = Told {
            thread: case.told.thread,
            ..Told::default()
        };
        // Of what had moved when it was over nobody is told again: it waits for a step of its own.
        let is_old = finding.last_step_at <= case.last_change_at;
        if is_old {
            begun.level = Level::Watch;
            begun.pending_since = Some(finding.now);
        }
    }
    let (level, pending_since) = hold(Some(&begun), finding, policy);
    let state = if reopens { CaseState::Open } else { case.state };
    let mut tell = |from: CaseState, note: String| {
        events.push(CaseEvent {
            at: finding.now,
            from: Some(from),
            to: state,
            note,
        });
    };
    if reopens {
        tell(
            case.state,
            format!("reopened: new changes, level {}", level.word()),
        );
    }
    if level > case.peak_level {
        tell(
            state,
            format!(
                "level rose from {} to {}: suspected {}",
                case.peak_level.word(),
                level.word(),
                finding.verdict.word()
            ),
        );
    } else if finding.verdict != case.verdict && level >= Level::Review {
        tell(
            state,
            format!(
                "suspected {}, before that {}",
                finding.verdict.word(),
                case.verdict.word()
            ),
        );
    }
    if pending_since.is_some() && case.pending_since.is_none() {
        tell(state, format!("held: {}", confirmation(policy)));
    }
    let is_dismissed = state == CaseState::Dismissed;
    let updated = Case {
        zone: finding.zone.clone(),
        // That of a dismissed case is the one that was dismissed.
        verdict: if is_dismissed {
            case.verdict
        } else {
            finding.verdict
        },
        level,
        peak_level: case.peak_level.max(level),
        state,
        score: finding.score,
        // A window that is shorter today may show an older change than was seen before.
        last_change_at: case.last_change_at.max(finding.last_change_at),
        evaluated_at: finding.now,
        due_at: None,
        pending_since,
        ..begun
    };
    (updated, events)
}

/// Notes that nothing is found any more, or that the domain is not there to be suspected. A case that was
/// never above `watch` closes; any other closes as mitigated when the domain is gone, suspended, or has
/// stood still for long.
fn quieten_case(
    case: &Case,
    observation: &Observation<'_>,
    policy: &DetectPolicy,
) -> (Case, Vec<CaseEvent>) {
    let now = observation.now;
    let is_working = case.state.is_working();
    let moved_at = observation.finding.map(|finding| finding.last_change_at);
    // Any change of the domain counts against standing still, suspected or not.
    let seen_at = moved_at.max(observation.last_change_at);
    let last_change_at = seen_at.map_or(case.last_change_at, |at| at.max(case.last_change_at));
    let stood = now.since(last_change_at);
    let end = match observation.standing {
        _ if !is_working => None,
        // Nobody was told of it and nobody took it up, so that nobody waits for its end.
        _ if case.state == CaseState::Open && case.peak_level == Level::Watch => Some((
            CaseState::Closed,
            "closed: quiet, and never above watch".to_owned(),
        )),
        Standing::Gone => Some((
            CaseState::Mitigated,
            "mitigated: the delegation is gone".to_owned(),
        )),
        Standing::OnHold => Some((
            CaseState::Mitigated,
            "mitigated: moved to the name servers of suspended domains".to_owned(),
        )),
        Standing::Active if observation.is_seen && stood >= policy.settled_after => Some((
            CaseState::Mitigated,
            format!("mitigated: stood still for {}", policy.settled_after),
        )),
        Standing::Active | Standing::Away(_) => None,
    };
    let events = end.iter().map(|(state, note)| CaseEvent {
        at: now,
        from: Some(case.state),
        to: *state,
        note: note.clone(),
    });
    let events = events.collect();
    // What moved it there is no new flux.
    let quiet = Case {
        level: Level::Watch,
        state: end.map_or(case.state, |(state, _)| state),
        score: 0.0,
        last_change_at,
        evaluated_at: now,
        due_at: None,
        // What comes back goes on: a report that was held is not held anew for each time that the domain was away.
        pending_since: (case.pending_since).filter(|_| observation.standing != Standing::Active),
        ..case.clone()
    };
    (quiet, events)
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
            last_step_at: now,
            now,
            nameservers: None,
            addresses: None,
            aliases: None,
        }
    }

    /// Looks at a case.
    fn look(
        case: Option<&Case>,
        finding: Option<&Finding>,
        standing: Standing,
        at: i64,
    ) -> Option<(Case, Vec<CaseEvent>)> {
        let observation = Observation {
            finding,
            last_change_at: None,
            standing,
            is_seen: true,
            now: Timestamp::from_unix(at),
        };
        observe(case, &observation, &DetectPolicy::default())
    }

    /// Looks at a case whose domain is there.
    fn see(case: Option<&Case>, level: Option<Level>, at: i64) -> (Case, Vec<CaseEvent>) {
        let finding = level.map(|level| finding(level, at));
        look(case, finding.as_ref(), Standing::Active, at).expect("there is a case")
    }

    /// A case that was reported, at time 3610.
    fn reported() -> Case {
        let (case, _) = see(None, Some(Level::Report), 10);
        let (mut case, _) = see(Some(&case), Some(Level::Report), 3610);
        assert_eq!(case.level, Level::Report);
        case.revision = 1;
        case.reported = true;
        case
    }

    #[test]
    fn quiet_watch_cases_close_and_reopen_with_new_changes() {
        let (case, _) = see(None, Some(Level::Watch), 10);
        let (closed, events) = see(Some(&case), None, 20);
        assert_eq!((closed.state, events.len()), (CaseState::Closed, 1));
        let (reopened, _) = see(Some(&closed), Some(Level::Watch), 30);
        assert_eq!(
            (reopened.state, reopened.first_detected_at),
            (CaseState::Open, Timestamp::from_unix(10))
        );
        assert_eq!(look(None, None, Standing::Active, 1), None);
    }

    #[test]
    fn reports_are_held_until_two_judgements_an_hour_apart_agree() {
        let (case, events) = see(None, Some(Level::Report), 10);
        assert_eq!(
            (case.level, case.peak_level),
            (Level::Review, Level::Review)
        );
        assert!(
            events[0].note.contains("report if it goes on"),
            "{}",
            events[0].note
        );
        let (soon, events) = see(Some(&case), Some(Level::Report), 3609);
        assert_eq!((soon.level, events.len()), (Level::Review, 0));
        let (later, _) = see(Some(&soon), Some(Level::Report), 3610);
        assert_eq!((later.level, later.pending_since), (Level::Report, None));
        // Falling short of it for a while is no end of it.
        let (short, _) = see(Some(&soon), Some(Level::Review), 3000);
        assert_eq!(short.pending_since, case.pending_since);
        let (again, _) = see(Some(&short), Some(Level::Report), 3700);
        assert_eq!(again.level, Level::Report);
        // What comes to rest, or does not come again within a week, begins anew.
        for (between, at, next) in [
            (Level::Watch, 3000, 3700),
            (Level::Review, 700_000, 700_100),
        ] {
            let (dropped, _) = see(Some(&soon), Some(between), at);
            assert_eq!(dropped.pending_since, None);
            let (again, _) = see(Some(&dropped), Some(Level::Report), next);
            assert_eq!(again.level, Level::Review);
            assert_eq!(again.pending_since, Some(Timestamp::from_unix(next)));
        }
    }

    #[test]
    fn a_report_is_held_for_longer_than_a_week_where_the_policy_asks_for_it() {
        let policy = DetectPolicy {
            confirm_after: Span::days(8),
            ..DetectPolicy::default()
        };
        let mut case: Option<Case> = None;
        for day in 0..=8 {
            let at = 10 + day * 86_400;
            let finding = finding(Level::Report, at);
            let observation = Observation {
                finding: Some(&finding),
                last_change_at: None,
                standing: Standing::Active,
                is_seen: true,
                now: Timestamp::from_unix(at),
            };
            case = observe(case.as_ref(), &observation, &policy).map(|(case, _)| case);
            let level = case.as_ref().map(|case| case.level);
            let is_over = day == 8;
            assert_eq!(level == Some(Level::Report), is_over, "{day}");
        }
    }

    #[test]
    fn reported_cases_stay_open_when_quiet_and_are_not_held_again() {
        let (quiet, _) = see(Some(&reported()), None, 4000);
        assert_eq!(
            (quiet.state, quiet.level, quiet.peak_level),
            (CaseState::Open, Level::Watch, Level::Report)
        );
        // It was at report before: no second hold.
        let (again, _) = see(Some(&quiet), Some(Level::Report), 5000);
        assert_eq!(again.level, Level::Report);
    }

    #[test]
    fn steps_of_the_desk_follow_the_states_and_leave_a_line_each() {
        let case = reported();
        let step = |case: &Case, step: &DeskStep| {
            take_step(case, step, Some("why"), Timestamp::from_unix(9000))
        };
        let (acknowledged, event) = step(&case, &DeskStep::Acknowledge).expect("open");
        assert_eq!(
            (event.from, event.to, event.note.as_str()),
            (
                Some(CaseState::Open),
                CaseState::Acknowledged,
                "acknowledged: why"
            )
        );
        assert_eq!(acknowledged.reviewed_at, Some(Timestamp::from_unix(9000)));
        assert!(step(&acknowledged, &DeskStep::Acknowledge).is_err());
        assert!(step(&acknowledged, &DeskStep::Reopen).is_err());
        let dismiss = DeskStep::Dismiss(DismissReason::DynamicDns);
        let (dismissed, event) = step(&acknowledged, &dismiss).expect("acknowledged");
        assert_eq!(event.note, "dismissed as dynamic-dns: why");
        assert!(step(&dismissed, &dismiss).is_err());
        assert!(step(&dismissed, &DeskStep::Close { mitigated: true }).is_err());
        let (open, _) = step(&dismissed, &DeskStep::Reopen).expect("dismissed");
        assert_eq!(
            (
                open.state,
                open.reported,
                open.dismissed_as,
                open.reviewed_at
            ),
            (CaseState::Open, true, None, None)
        );
        let (assigned, event) =
            step(&open, &DeskStep::Assign(Some("ada".to_owned()))).expect("always");
        assert_eq!(
            (assigned.assignee.as_deref(), event.to),
            (Some("ada"), CaseState::Open)
        );
    }

    #[test]
    fn dismissed_cases_open_again_for_other_flux_only() {
        let (dismissed, _) = take_step(
            &reported(),
            &DeskStep::Dismiss(DismissReason::Migration),
            None,
            Timestamp::from_unix(4000),
        )
        .expect("open");
        let (same, events) = see(Some(&dismissed), Some(Level::Report), 5000);
        assert_eq!((same.state, events.len()), (CaseState::Dismissed, 0));
        let mut other = finding(Level::Report, 6000);
        other.verdict = Verdict::DoubleFlux;
        let (open, _) = look(Some(&same), Some(&other), Standing::Active, 6000).expect("a case");
        assert_eq!((open.state, open.dismissed_as), (CaseState::Open, None));
        let (later, _) = see(Some(&same), Some(Level::Report), 5000 + 15 * 86_400);
        assert_eq!(later.state, CaseState::Open);
    }

    #[test]
    fn flux_that_begins_again_is_held_and_told_again() {
        let day = 86_400;
        let (over, _) = see(Some(&reported()), None, 20 * day);
        assert_eq!(over.state, CaseState::Mitigated);
        let (again, _) = see(Some(&over), Some(Level::Report), 30 * day);
        assert_eq!((again.state, again.level), (CaseState::Open, Level::Review));
        let (confirmed, _) = see(Some(&again), Some(Level::Report), 30 * day + 3600);
        assert_eq!(
            (confirmed.level, confirmed.reported),
            (Level::Report, false)
        );
        // Flux that only paused within one case is not.
        let (paused, _) = see(Some(&reported()), None, 5 * day);
        let (on, _) = see(Some(&paused), Some(Level::Report), 6 * day);
        assert_eq!((on.level, on.reported), (Level::Report, true));
    }

    #[test]
    fn case_that_is_over_is_told_again_only_of_a_step_that_came_since() {
        let (over, _) = look(Some(&reported()), None, Standing::Gone, 5000).expect("a case");
        assert_eq!(over.state, CaseState::Mitigated);
        let found = |step: i64, at: i64| Finding {
            last_step_at: Timestamp::from_unix(step),
            score: 100.0,
            ..finding(Level::Report, at)
        };
        let see = |case: &Case, step: i64, at: i64| {
            look(Some(case), Some(&found(step, at)), Standing::Active, at).expect("a case")
        };
        // It is back, and what moved is what had moved.
        let (back, events) = see(&over, 3610, 9000);
        assert_eq!((back.state, back.level), (CaseState::Open, Level::Review));
        assert!(events[0].note.contains("reopened"), "{events:?}");
        assert_eq!(see(&back, 3610, 90_000).0.level, Level::Review);
        assert_eq!(see(&back, 91_000, 91_000).0.level, Level::Report);
    }

    #[test]
    fn delegation_that_is_away_opens_and_ends_no_case_and_a_hold_outlasts_one_that_is_gone() {
        let (case, moving) = (reported(), finding(Level::Report, 4000));
        let gone_at = Timestamp::from_unix(4600);
        let away = Standing::Away(gone_at);
        let (kept, events) = look(Some(&case), Some(&moving), away, 4000).expect("a case");
        let expected = Case {
            evaluated_at: moving.now,
            due_at: Some(gone_at),
            ..case
        };
        assert_eq!((kept, events.len()), (expected, 0));
        assert_eq!(look(None, Some(&moving), away, 4000), None);
        let (held, _) = see(None, Some(Level::Report), 10);
        let (gone, _) = look(Some(&held), None, Standing::Gone, 1000).expect("a case");
        assert_eq!(gone.state, CaseState::Mitigated);
        let (back, _) = see(Some(&gone), Some(Level::Report), 5000);
        assert_eq!((back.state, back.level), (CaseState::Open, Level::Report));
        // Of one that comes back after a week nothing is confirmed.
        let (later, _) = see(Some(&gone), Some(Level::Report), 700_000);
        assert_eq!(later.level, Level::Review);
    }

    #[test]
    fn cases_are_mitigated_when_the_domain_is_gone_suspended_or_still() {
        let case = reported();
        let moving = finding(Level::Report, 4000);
        for standing in [Standing::Gone, Standing::OnHold] {
            let (mitigated, events) =
                look(Some(&case), Some(&moving), standing, 4000).expect("a case");
            assert_eq!(
                (mitigated.state, events.len()),
                (CaseState::Mitigated, 1),
                "{standing:?}"
            );
            // The move itself is no new flux; a later one is.
            let (still, _) =
                look(Some(&mitigated), Some(&moving), Standing::Active, 5000).expect("a case");
            assert_eq!(still.state, CaseState::Mitigated);
            let (reopened, _) = see(Some(&mitigated), Some(Level::Watch), 9000);
            assert_eq!(reopened.state, CaseState::Open);
            // A domain that is not there is not suspected.
            assert_eq!(look(None, Some(&moving), standing, 4000), None);
        }
        let day = 86_400;
        let (waiting, _) = see(Some(&case), None, 13 * day);
        assert_eq!(waiting.state, CaseState::Open);
        let (mitigated, events) = see(Some(&waiting), None, 15 * day);
        assert_eq!(mitigated.state, CaseState::Mitigated);
        assert!(events[0].note.contains("stood still"), "{}", events[0].note);
        // A change that is no finding is a change all the same.
        // Nor does it stand still where nobody can see it.
        let unseen = Observation {
            finding: None,
            last_change_at: None,
            standing: Standing::Active,
            is_seen: false,
            now: Timestamp::from_unix(15 * day),
        };
        let (unseen, events) =
            observe(Some(&waiting), &unseen, &DetectPolicy::default()).expect("a case");
        assert_eq!((unseen.state, events.len()), (CaseState::Open, 0));
        let moved = Observation {
            finding: None,
            last_change_at: Some(Timestamp::from_unix(15 * day - 60)),
            standing: Standing::Active,
            is_seen: true,
            now: Timestamp::from_unix(15 * day),
        };
        let (moving, events) =
            observe(Some(&waiting), &moved, &DetectPolicy::default()).expect("a case");
        assert_eq!((moving.state, events.len()), (CaseState::Open, 0));
        let dismissed = Case {
            state: CaseState::Dismissed,
            ..case
        };
        let (kept, _) = look(Some(&dismissed), None, Standing::Gone, 15 * day).expect("a case");
        assert_eq!(kept.state, CaseState::Dismissed);
    }
}
