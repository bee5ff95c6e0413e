//! What a case was told, and what is not told after all: a mail that was dropped told nobody.
//!
//! A case keeps that it was told, and what, from the moment its mail is queued. Where the mail is dropped, that is taken
//! back here, so that it is told later. Which mail told a case that is told in the mails of another stands in its log: a
//! time would not do, for clocks are set and messages are tried anew.

use std::collections::BTreeSet;

use crate::case::{CaseState, HoldReason, SendReason, Told};
use crate::pipeline::error::PipelineError;
use crate::pipeline::notify::Notify;
use crate::pipeline::notify::compose::ACTOR;
use crate::pipeline::notify::passage::{is_dropped, is_first, is_report, since_closure};
use crate::store::{CaseEventRow, CaseRow, MailKind, MessageRow};

/// What the log says of a case whose first report was a line of the digest.
pub(in crate::pipeline) const TOLD_IN_DIGEST: &str = "told in the digest";

/// Returns what the log says of a case that was told in a mail of another one.
pub(in crate::pipeline) fn told_in_mail(lead: i64, revision: u32) -> String {
    format!("told: {} (mail {revision})", HoldReason::Campaign(lead))
}

/// How a case was told, as its log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    /// In a mail of its own, of this number.
    Own(u32),
    /// In the digest.
    Digest,
    /// In a mail of another case, of this number; `None` if fluxwatch before 0.2.0 wrote the line.
    InMailOf(i64, Option<u32>),
}

impl Telling {
    /// Reads a line of a case's log; `None` if it tells of something else.
    fn of(line: &CaseEventRow) -> Option<Self> {
        let note = line.event.note.as_str();
        if line.actor != ACTOR {
            return None;
        }
        if note == TOLD_IN_DIGEST {
            return Some(Self::Digest);
        }
        if let Some(rest) = note.strip_prefix("told: told in the mails of case ") {
            let (lead, rest) = rest.split_once(',')?;
            let revision = rest.split_once("(mail ");
            let revision = revision.and_then(|(_, it)| it.trim_end_matches(')').parse().ok());
            return Some(Self::InMailOf(lead.parse().ok()?, revision));
        }
        let mut words = note.split(' ');
        let kind = words.next()?;
        let is_mail = [MailKind::Report, MailKind::Update].map(MailKind::word);
        let revision = words.next()?.parse().ok()?;
        (is_mail.contains(&kind) && words.next() == Some("queued")).then_some(Self::Own(revision))
    }
}

/// Returns the numbers of the mails of a case that reached nobody and will not: one that reached one of its recipients
/// was told.
fn lost_revisions(messages: &[MessageRow]) -> BTreeSet<u32> {
    let of = |is_lost: bool| {
        let reports = messages.iter().filter(|row| is_report(row));
        let these = reports.filter(move |row| is_dropped(row) == is_lost);
        these
            .map(|row| row.message.revision)
            .collect::<BTreeSet<u32>>()
    };
    &of(true) - &of(false)
}

impl Notify<'_> {
    /// Returns whether nobody hears of a case any more once what is lost is lost: its first report was among that.
    pub(in crate::pipeline) fn is_unheard(
        &self,
        case_id: i64,
        is_lost: impl Fn(&MessageRow) -> bool,
    ) -> Result<bool, PipelineError> {
        let messages = self.store.desk().message_heads(case_id)?;
        // Each recipient has closures of its own.
        let mut recipients: Vec<&str> = messages
            .iter()
            .map(|it| it.message.recipient.as_str())
            .collect();
        recipients.sort_unstable();
        recipients.dedup();
        let told = recipients
            .into_iter()
            .flat_map(|to| since_closure(&messages, move |row| row.message.recipient == to));
        let told: Vec<&MessageRow> = told.collect();
        let by_mail = self.mail().is_some();
        let mut firsts = told.iter().filter(|row| is_first(row));
        let has_first = firsts.any(|row| row.message.kind == MailKind::Report || !by_mail);
        Ok(has_first && told.iter().all(|row| is_lost(row)))
    }

    /// Returns the reason for the first mail about a case since it was opened, or opened again.
    pub(in crate::pipeline) fn first_reason(
        &self,
        row: &CaseRow,
    ) -> Result<SendReason, PipelineError> {
        let was_over = row.case.revision > 0 && self.store.desk().was_over(row.id)?;
        Ok(SendReason::first(&row.case, was_over))
    }

    /// Notes of a case whose mails were dropped, and of the cases that were told in them, that nobody was told. Of one that
    /// was told before, only what the dropped mail told is forgotten. Part of the transaction that drops them.
    pub(in crate::pipeline) fn forget_told(
        &self,
        row: &CaseRow,
        dropped: &[MessageRow],
    ) -> Result<(), PipelineError> {
        let desk = self.store.desk();
        let is_unheard = self.is_unheard(row.id, is_dropped)?;
        let messages = desk.message_heads(row.id)?;
        let lost = lost_revisions(&messages);
        let just = dropped.iter().map(|it| it.message.revision);
        let just: BTreeSet<u32> = just.filter(|it| lost.contains(it)).collect();
        for member in desk.cases_of_thread(row.id)? {
            if member.id != row.id && member.case.reported {
                self.forget_member(row.id, &member, (&just, is_unheard))?;
            }
        }
        let Some(now) = desk.case_by_id(row.id)?.filter(|it| it.case.reported) else {
            return Ok(());
        };
        let reports = messages.iter().filter(|row| is_report(row));
        let left = reports
            .filter(|row| !is_dropped(row))
            .map(|row| row.message.revision);
        let newest = left.max();
        if is_unheard {
            self.forget_case(&now)
        } else if just.iter().any(|it| newest.is_none_or(|left| *it > left)) {
            self.forget_last(&now)
        } else {
            Ok(())
        }
    }

    /// Takes back what a case was told in a mail of its lead, if that mail was dropped: `just` now, or all of them.
    fn forget_member(
        &self,
        lead: i64,
        member: &CaseRow,
        (just, all): (&BTreeSet<u32>, bool),
    ) -> Result<(), PipelineError> {
        let log = self.store.desk().case_events(member.id)?;
        let begins = log.iter().rposition(|line| {
            let event = &line.event;
            event.to == CaseState::Open && event.from != Some(event.to)
        });
        let since = log.get(begins.unwrap_or_default()..).unwrap_or_default();
        let mut tellings: Vec<Telling> = since.iter().filter_map(Telling::of).collect();
        let was_lost = match tellings.pop() {
            Some(Telling::InMailOf(case, revision)) if case == lead => {
                all || revision.is_none_or(|it| just.contains(&it)) && !just.is_empty()
            }
            _ => false,
        };
        if !was_lost {
            return Ok(());
        }
        for telling in tellings {
            if self.was_heard(member.id, telling)? {
                return self.forget_last(member);
            }
        }
        self.forget_case(member)
    }

    /// Returns whether somebody heard what a line of a case's log says that it was told, or will.
    fn was_heard(&self, case_id: i64, telling: Telling) -> Result<bool, PipelineError> {
        let (of, revision) = match telling {
            Telling::Digest => return Ok(true),
            Telling::Own(revision) => (case_id, Some(revision)),
            Telling::InMailOf(lead, revision) => (lead, revision),
        };
        let lost = lost_revisions(&self.store.desk().message_heads(of)?);
        Ok(revision.is_none_or(|it| !lost.contains(&it)))
    }

    /// Notes of a case that nobody was told of it.
    fn forget_case(&self, row: &CaseRow) -> Result<(), PipelineError> {
        let mut case = row.case.clone();
        case.reported = false;
        case.told = Told::default();
        self.store.desk().save_case(&case)?;
        Ok(())
    }

    /// Notes of a case that what it was told last is not known to anybody: without what was told, the next mail is due.
    fn forget_last(&self, row: &CaseRow) -> Result<(), PipelineError> {
        let mut case = row.case.clone();
        case.told.verdicts.clear();
        self.store.desk().save_case(&case)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::CaseEvent;
    use crate::time::Timestamp;

    fn line(actor: &str, note: &str) -> CaseEventRow {
        CaseEventRow {
            uid: String::new(),
            written_at: None,
            actor: actor.to_owned(),
            event: CaseEvent {
                at: Timestamp::from_unix(0),
                from: Some(CaseState::Open),
                to: CaseState::Open,
                note: note.to_owned(),
            },
        }
    }

    #[test]
    fn lines_of_the_log_say_which_mail_told_a_case() {
        let before = format!("told: {}", HoldReason::Campaign(7));
        for (note, telling) in [
            (
                told_in_mail(7, 3).as_str(),
                Some(Telling::InMailOf(7, Some(3))),
            ),
            (before.as_str(), Some(Telling::InMailOf(7, None))),
            (TOLD_IN_DIGEST, Some(Telling::Digest)),
            (
                "report 1 queued to 2 recipients: first report of this case",
                Some(Telling::Own(1)),
            ),
            (
                "update 12 queued to 1 recipient: another kind of flux is suspected now",
                Some(Telling::Own(12)),
            ),
            (
                "closure 2 queued to 1 recipient: the case is mitigated",
                None,
            ),
            ("no mail: told in the mails of case 7", None),
            ("report if it goes on for 1h or longer", None),
        ] {
            assert_eq!(Telling::of(&line(ACTOR, note)), telling, "{note}");
            assert_eq!(Telling::of(&line("ada", note)), None, "{note}");
        }
    }
}
