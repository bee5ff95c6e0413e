//! A mail that waits, and names a case that was dismissed or exempted meanwhile, is written anew without it: what it tells
//! of its own case is news all the same, and nobody else would tell it.

use crate::case::{Case, CaseState, SendReason};
use crate::mailer::{is_same_address, read_part};
use crate::pipeline::error::PipelineError;
use crate::pipeline::notify::Notify;
use crate::pipeline::notify::compose::{ACTOR, CaseMail};
use crate::pipeline::notify::letters::is_report;
use crate::pipeline::notify::told::{Heads, Heard, When, left_out_of};
use crate::report::case_reference;
use crate::store::{CaseRow, MailKind, MessageRow};
use crate::time::Timestamp;

/// What becomes of a message that is to leave.
pub(in crate::pipeline) enum Anew {
    /// It leaves as it is.
    Same(Box<MessageRow>),
    /// It leaves, with other octets.
    Written(Box<MessageRow>),
    /// It told of nothing else.
    Nothing,
    /// It waits, as this says: what was found of its case is not known without a table.
    Waits(String),
}

/// What a mail says of itself.
struct Written {
    /// When it was written.
    at: Option<Timestamp>,
    /// The time as of which its case was judged.
    judged_at: Option<Timestamp>,
    /// Its words.
    words: String,
}

impl Written {
    /// Reads a mail.
    fn of(octets: &[u8]) -> Self {
        let part = |kind: &str, name: Option<&str>| {
            let octets = read_part(octets, kind, name).unwrap_or_default();
            String::from_utf8_lossy(&octets).into_owned()
        };
        let json = part("application/json", Some("xarf.json"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
        let time = |key: &str| Timestamp::parse_rfc3339(json[key].as_str()?).ok();
        Self {
            at: time("timestamp"),
            judged_at: time("verified_at"),
            words: [
                part("text/plain", None),
                part("text/html", None),
                part("text/plain", Some("details.txt")),
            ]
            .concat(),
        }
    }
}

impl Notify<'_> {
    /// Returns the cases that a mail which waits names beside its own and may not name any more, and those of them that it
    /// was to tell of.
    fn withdrawn_in(
        &self,
        lead: &CaseRow,
        row: &MessageRow,
    ) -> Result<(bool, Vec<CaseRow>), PipelineError> {
        let desk = self.store.desk();
        let mut others = desk.cases_of_thread(lead.id)?;
        if let Some(campaign) = lead.campaign {
            others.extend(desk.cases_of_campaign(campaign)?);
        }
        others.sort_by_key(|it| it.id);
        others.dedup_by_key(|it| it.id);
        let exemptions = desk.exemptions_in_force(self.clock.now())?;
        let to = self.desk_addressees(&lead.case);
        let (mut is_named, mut told, mut written) = (false, Vec::new(), None);
        for other in others {
            if other.id == lead.id || !self.is_withdrawn(&other, &exemptions)? {
                continue;
            }
            let written = written.get_or_insert_with(|| Written::of(&row.message.octets));
            // Words that somebody else chose may name a case without its reference; none of another desk is named.
            is_named |= written.words.contains(&case_reference(other.id))
                || self.desk_addressees(&other.case) == to
                    && self.is_withdrawn_since(&other, written.at)?;
            if self.is_told_in(&other, lead.id, row.message.revision)?
                && !self.is_left_out_of(&other, row.id)?
            {
                told.push(other);
            }
        }
        Ok((is_named, told))
    }

    /// Returns whether a case was dismissed after a time, or an exemption that covers it was added.
    fn is_withdrawn_since(
        &self,
        row: &CaseRow,
        since: Option<Timestamp>,
    ) -> Result<bool, PipelineError> {
        let Some(since) = since else {
            return Ok(true);
        };
        let desk = self.store.desk();
        let dismissed = desk.end_of(row.id, CaseState::Dismissed)?;
        if row.case.state == CaseState::Dismissed
            && dismissed.is_some_and(|line| line.event.at > since)
        {
            return Ok(true);
        }
        let now = self.clock.now();
        let exemptions = desk.exemptions_in_force(now)?;
        let held_by = self.exemption_among(&exemptions, &row.case, None, now)?;
        let added = match held_by {
            Some(id) => desk.exemption(id)?.map(|it| it.created_at),
            None => None,
        };
        Ok(added.is_some_and(|at| at > since))
    }

    /// Writes a report or an update anew that names a case which may not be named any more: of the same kind and number and
    /// for the same reason, as its own case was judged then. Part of the transaction that takes it for delivery.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] of a mail that cannot be made, among others.
    pub(in crate::pipeline) fn write_anew(&self, row: MessageRow) -> Result<Anew, PipelineError> {
        let lead = match row.message.case_id {
            Some(id) if is_report(&row) && row.message.kind != MailKind::Webhook => {
                self.store.desk().case_by_id(id)?
            }
            _ => None,
        };
        let Some(lead) = lead else {
            return Ok(Anew::Same(Box::new(row)));
        };
        let (is_named, told) = self.withdrawn_in(&lead, &row)?;
        let mut to = self.desk_addressees(&lead.case).into_iter();
        let to = to.find(|to| is_same_address(&to.address, &row.message.recipient));
        let Some(to) = to.filter(|_| is_named) else {
            return Ok(Anew::Same(Box::new(row)));
        };
        if let Some(fault) = self.parts.waiting_for.first() {
            let fault = fault.in_one_line();
            return Ok(Anew::Waits(format!(
                "waits: without a table it cannot be written anew: {fault}"
            )));
        }
        let Some(reason) = self.reason_of(&lead, &row, told.len() as u32)? else {
            return Ok(Anew::Nothing);
        };
        let judged_at = Written::of(&row.message.octets).judged_at;
        let judged_at = judged_at.unwrap_or(lead.case.evaluated_at);
        let finding = self.findings.find(&lead.case.domain, judged_at)?.finding;
        let mut case = Case {
            revision: row.message.revision,
            ..lead.case.clone()
        };
        case.told.thread = Some(lead.id);
        if let Some(finding) = &finding {
            case.verdict = finding.verdict;
            case.level = finding.level;
            case.score = finding.score;
            case.last_change_at = finding.last_change_at;
            case.evaluated_at = finding.now;
        }
        let now = self.clock.now();
        let mail = CaseMail {
            case_id: lead.id,
            case: &case,
            finding: finding.as_ref(),
            kind: row.message.kind,
            reason,
            now,
            paragraph: None,
        };
        // A server that may have the other one is not to take this for it.
        let token = match token_of(&row.message.message_id) {
            Some(token) if !row.may_have_arrived() => token.to_owned(),
            _ => self.store.draw_token()?,
        };
        let message = self.compose_case_mail(&mail, &to, &token)?.message;
        self.store.desk().rewrite_message(row.id, &message)?;
        let (id, kind, shown) = (row.id, row.message.kind.word(), row.shown_recipient());
        let line = format!(
            "message {id} ({kind}) to {shown} written anew: a case that it named is dismissed or exempt by now"
        );
        self.note_line(&lead, &line, now)?;
        if !row.may_have_arrived() {
            self.leave_out(&told, &row)?;
        }
        Ok(Anew::Written(Box::new(MessageRow { message, ..row })))
    }

    /// Notes of cases that a message does not tell of them.
    pub(in crate::pipeline) fn leave_out(
        &self,
        told: &[CaseRow],
        row: &MessageRow,
    ) -> Result<(), PipelineError> {
        for member in told {
            let line = left_out_of(row.id, &row.shown_recipient());
            self.note_line(member, &line, self.clock.now())?;
            if member.case.reported {
                self.forget_of(member, &Heads::default())?;
            }
        }
        Ok(())
    }

    /// Writes a line of the program into a case's log, and says it.
    fn note_line(&self, row: &CaseRow, line: &str, now: Timestamp) -> Result<(), PipelineError> {
        tracing::info!(case = row.id, "case {}: {line}", row.id);
        let state = row.case.state;
        let desk = self.store.desk();
        Ok(desk.append_case_event(row.id, now, state, ACTOR, line)?)
    }

    /// Returns why a mail is written, if it tells of so many cases less than it was to; `None` if it told of nothing else,
    /// or nobody knows.
    fn reason_of(
        &self,
        lead: &CaseRow,
        row: &MessageRow,
        fewer: u32,
    ) -> Result<Option<SendReason>, PipelineError> {
        let begin = |kind: MailKind| format!("{} {} queued to ", kind.word(), row.message.revision);
        let of_mail = [MailKind::Report, MailKind::Update].map(begin);
        let log = self.store.desk().case_events(lead.id)?;
        let lines = log.iter().rev().filter(|line| line.actor == ACTOR);
        let mut noted = lines.filter_map(|line| {
            let note = line.event.note.as_str();
            let is_of_mail = of_mail.iter().any(|begin| note.starts_with(begin.as_str()));
            is_of_mail.then(|| SendReason::parse(note.split_once(": ")?.1))?
        });
        let noted = noted.next();
        if row.message.kind == MailKind::Report {
            let first = noted.filter(|reason| reason.is_first());
            if first.is_some() {
                return Ok(first);
            }
            // Its recipient had heard nothing of what the others were told the rest of.
            let hearing = self.hearing(lead, When::Before(row.id), &Heads::default())?;
            let heard = hearing.of_address(&row.message.recipient);
            return Ok(Some(match heard {
                Heard::Nothing { again: true } => SendReason::Again,
                _ => SendReason::FirstReport,
            }));
        }
        Ok(match noted {
            Some(SendReason::CampaignGrew(count)) if count <= fewer => None,
            Some(SendReason::CampaignGrew(count)) => Some(SendReason::CampaignGrew(count - fewer)),
            noted => noted,
        })
    }
}

/// Returns what tells a mail from every other in its Message-ID.
fn token_of(message_id: &str) -> Option<&str> {
    let (local, _) = message_id.split_once('@')?;
    Some(local.rsplit_once('.')?.1)
}
