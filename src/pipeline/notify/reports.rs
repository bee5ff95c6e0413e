//! Decides who is told of a case, and queues what they are told.
//!
//! Called in the transaction that moves the cases, once all of a version are moved: so a campaign that is
//! found at once is one mail.

use crate::pipeline::notify::Notify;
use crate::pipeline::notify::compose::ACTOR;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use crate::case::{
    Case, CaseState, Decision, Exemption, HoldReason, MailContext, MailRules, SendReason,
    StopReason, Told, decide_mail,
};
use crate::config::{MailConfig, Party};
use crate::count::counted;
use crate::detector::{Finding, Level};
use crate::dns::Name;
use crate::enrich::Registration;
use crate::listing::CaseJson;
use crate::mailer::is_same_address;
use crate::pipeline::error::PipelineError;
use crate::pipeline::notify::compose::{Addressee, CaseMail};
use crate::pipeline::notify::ends::end_reason;
use crate::pipeline::notify::passage::Withdrawal;
use crate::pipeline::notify::told::{
    Heads, Heard, Hearing, TOLD_IN_DIGEST, When, ended_in_mail, is_to_be_looked_at, told_in_mail,
};
use crate::pipeline::outcome::PollOptions;
use crate::store::{CaseRow, MailKind, MessageState, NewMessage, NoticeState, Store};
use crate::time::{Span, Timestamp};

/// Rules where no mail is configured, and only webhooks are told.
const RULES: MailRules = MailRules {
    repeat: None,
    update_after: Span::days(1),
};

/// No case was judged.
static NONE: BTreeSet<i64> = BTreeSet::new();

/// What a pass over cases knows.
pub(in crate::pipeline) struct Notifying<'a> {
    exemptions: Vec<Exemption>,
    findings: &'a BTreeMap<i64, Finding>,
    /// The cases that were just judged: one of these without a finding has none.
    judged: &'a BTreeSet<i64>,
    wanted: bool,
    /// Whether a person asked for the mail: it goes to the desk alone.
    is_asked: bool,
    now: Timestamp,
    /// The exemptions that cases are known to be held by.
    exempt: RefCell<HashMap<i64, Option<i64>>>,
    /// The cases of campaigns in whose mails others may be told, as long as nothing was sent.
    leads: RefCell<HashMap<i64, Rc<[CaseRow]>>>,
}

/// What is told of a case that the desk ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// A closure goes to these; only to webhooks where there are none.
    Mailed(Vec<String>),
    /// Nothing, and why.
    Held(HoldReason),
}

/// Who gets which mail about a case.
struct Letters {
    /// Why there is one.
    reason: SendReason,
    /// Who heard what before.
    hearing: Hearing,
    /// Who did not hear all that was told; of a case in whose mails others are told, also of those.
    behind: BTreeSet<String>,
}

impl Letters {
    /// Returns the mail to a listener that heard so much: as if for the first time if that is nothing, and then no end.
    /// `None` where there is none to it.
    fn mail_to<'a>(&self, mail: &CaseMail<'a>, to: &str, heard: Heard) -> Option<CaseMail<'a>> {
        let first = |reason| CaseMail {
            kind: MailKind::Report,
            reason,
            ..*mail
        };
        match (heard, self.reason) {
            (Heard::Nothing { .. }, reason) if reason.is_end() => None,
            (_, SendReason::Asked) => Some(*mail),
            (Heard::Nothing { again: true }, _) => Some(first(SendReason::Again)),
            (Heard::Nothing { again: false }, _) => Some(first(SendReason::FirstReport)),
            // Where nobody is known to be behind, what was told is not known either.
            (Heard::All, SendReason::Missed) => {
                let is_behind = self.behind.is_empty() || self.behind.contains(to);
                is_behind.then_some(*mail)
            }
            _ => Some(*mail),
        }
    }
}

impl Notifying<'_> {
    /// Returns the cases of a campaign that were told of in a thread of their own, in the order of their numbers.
    fn leads_of(&self, campaign: i64, store: &Store) -> Result<Rc<[CaseRow]>, PipelineError> {
        if let Some(known) = self.leads.borrow().get(&campaign) {
            return Ok(Rc::clone(known));
        }
        let mut leads = store.desk().cases_of_campaign(campaign)?;
        leads.retain(|it| it.case.told.thread == Some(it.id) && it.case.reported);
        let leads: Rc<[CaseRow]> = leads.into();
        (self.leads.borrow_mut()).insert(campaign, Rc::clone(&leads));
        Ok(leads)
    }
}

impl Notify<'_> {
    /// Decides on each of some cases whether somebody is told of it, and queues that; `findings` are those
    /// of the cases, which were just judged. Part of the transaction that moves the cases.
    pub(in crate::pipeline) fn notify_of(
        &self,
        ids: &BTreeSet<i64>,
        findings: &BTreeMap<i64, Finding>,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.tell_of(
            ids,
            &Notifying {
                judged: ids,
                wanted: options.mail_wanted && self.has_way(),
                ..self.notifying(findings)?
            },
        )
    }

    /// Returns whether anybody can be told.
    pub(in crate::pipeline) fn has_way(&self) -> bool {
        self.mail().is_some() || !self.config.webhooks.is_empty()
    }

    /// Returns what a pass knows that judged nothing.
    pub(in crate::pipeline) fn notifying<'a>(
        &self,
        findings: &'a BTreeMap<i64, Finding>,
    ) -> Result<Notifying<'a>, PipelineError> {
        let now = self.clock.now();
        Ok(Notifying {
            exemptions: self.store.desk().exemptions_in_force(now)?,
            findings,
            judged: &NONE,
            wanted: self.has_way(),
            is_asked: false,
            now,
            exempt: RefCell::default(),
            leads: RefCell::default(),
        })
    }

    /// Decides on each of some cases, and on those in whose mails they are told.
    pub(in crate::pipeline) fn tell_of(
        &self,
        ids: &BTreeSet<i64>,
        notifying: &Notifying<'_>,
    ) -> Result<(), PipelineError> {
        let mut leads = BTreeSet::new();
        for id in ids {
            leads.extend(self.tell(*id, notifying)?);
        }
        // A lead whose members have news may owe an update although nothing of its own changed.
        for id in leads.difference(ids) {
            self.tell(*id, notifying)?;
        }
        // Those that were asked before a member of theirs was.
        for id in leads.intersection(ids) {
            self.tell(*id, notifying)?;
        }
        Ok(())
    }

    /// Decides on one case. Returns the case in whose mails it is told or was told until now, if that is another.
    fn tell(&self, id: i64, notifying: &Notifying<'_>) -> Result<Option<i64>, PipelineError> {
        let Some(mut row) = self.store.desk().case_by_id(id)? else {
            return Ok(None);
        };
        // The end of a thread is its lead's to tell, whoever of it was the last.
        let thread = row.case.told.thread;
        let over = thread.filter(|thread| !row.case.state.is_working() && *thread != id);
        // What waits and does not leave once the case is over told nobody that it began.
        if !row.case.state.is_working() && self.forget_unheard(&row)? {
            row.case.reported = false;
            row.case.told = Told::default();
        }
        let finding = notifying.findings.get(&id);
        let context = self.mail_context(&row, finding, notifying)?;
        let rules = self.mail().map_or(RULES, |mail| mail.rules);
        match decide_mail(&row.case, &context, &rules) {
            Decision::Send(reason) => {
                let left = self.take_over(&row, reason, notifying)?;
                self.send(&row, finding, reason, notifying)?;
                Ok(left.or(over))
            }
            Decision::Hold(reason) => {
                let reason = self.worded(reason);
                self.record_hold(&row, reason, context.size, notifying.now)?;
                if !row.case.state.is_working() {
                    match reason {
                        HoldReason::NoWay => self.note_held_end()?,
                        HoldReason::Campaign(_) | HoldReason::CampaignGoesOn if context.wanted => {
                            self.post_end(id, notifying.now)?;
                        }
                        _ => {}
                    }
                }
                Ok(context.lead.or(over))
            }
        }
    }

    /// Returns why nobody is told, with regard to whether anybody can be.
    fn worded(&self, reason: HoldReason) -> HoldReason {
        match reason {
            HoldReason::NoMailWanted if !self.has_way() => HoldReason::NoWay,
            reason => reason,
        }
    }

    /// Gathers what the decision asks for.
    fn mail_context(
        &self,
        row: &CaseRow,
        finding: Option<&Finding>,
        notifying: &Notifying<'_>,
    ) -> Result<MailContext, PipelineError> {
        let case = &row.case;
        let members = match case.told.thread {
            Some(thread) if thread == row.id => self.store.desk().cases_of_thread(row.id)?,
            _ => Vec::new(),
        };
        let members = || members.iter().filter(|it| it.id != row.id);
        let unheard = match case.level {
            Level::Report => self.behind(row, &Heads::default())?,
            _ => BTreeSet::new(),
        };
        let has_unheard =
            !unheard.is_empty() || !self.members_behind(members(), notifying)?.is_empty();
        let mut joined = 0;
        for member in members().filter(|it| is_news(&it.case)) {
            // Of an exempt one the mail would say nothing.
            joined += u32::from(self.exemption_held_by(member, notifying)?.is_none());
        }
        let mut open_members = 0;
        for member in members().filter(|it| it.case.state.is_working()) {
            // Nor does its end wait for an exempt one, which may go on for ever.
            open_members += u32::from(self.exemption_held_by(member, notifying)?.is_none());
        }
        let told_at = match has_unheard {
            true => row.case.told.at,
            false => self.last_told_at(row, &Heads::default())?,
        };
        let since = notifying.now - Span::hours(1);
        let cap = self.mail().map_or(u32::MAX, |mail| mail.cases_per_hour_max);
        let exemption = self.exemption_held_by(row, notifying)?;
        Ok(MailContext {
            // The canary's case is a test of the monitor, and accuses nobody.
            wanted: notifying.wanted && !self.findings.is_canary(&case.domain),
            exemption,
            lead: self.lead_of(row, notifying)?,
            joined,
            open_members,
            has_unheard,
            is_owed: self.is_owed(row)?,
            told_at,
            size: finding.map_or(case.told.size, size_of),
            was_over: !case.reported && self.first_reason(row)? == SendReason::Again,
            // Only an exemption asks for it.
            is_by_person: exemption.is_some() && self.was_ended_by_person(row)?,
            // Once the digest is to tell of a case it does, or the desk would read of it twice.
            has_room: !case.told.digest_due
                && self.store.desk().cases_told_since(since, notifying.now)? < cap,
            now: notifying.now,
        })
    }

    /// Returns who did not hear all that was told of some cases in the mails of another, of those that go on.
    fn members_behind<'a>(
        &self,
        members: impl Iterator<Item = &'a CaseRow>,
        notifying: &Notifying<'_>,
    ) -> Result<BTreeSet<String>, PipelineError> {
        let (mut behind, heads) = (BTreeSet::new(), Heads::default());
        for member in members.filter(|it| is_to_be_told_anew(it)) {
            if self.exemption_held_by(member, notifying)?.is_none() {
                behind.extend(self.behind(member, &heads)?);
            }
        }
        Ok(behind)
    }

    /// Returns the exemption by which nobody is told of a case.
    fn exemption_held_by(
        &self,
        row: &CaseRow,
        notifying: &Notifying<'_>,
    ) -> Result<Option<i64>, PipelineError> {
        if let Some(known) = notifying.exempt.borrow().get(&row.id) {
            return Ok(*known);
        }
        let (now, finding) = (notifying.now, notifying.findings.get(&row.id));
        // What was just judged and has no finding needs no second look: only its name or account can be exempt.
        let of_domains: Vec<Exemption>;
        let exemptions = if finding.is_none() && notifying.judged.contains(&row.id) {
            let all = notifying.exemptions.iter();
            of_domains = all.filter(|it| it.covers.is_of_domain()).cloned().collect();
            &of_domains
        } else {
            &notifying.exemptions
        };
        let held_by = self.exemption_among(exemptions, &row.case, finding, now)?;
        notifying.exempt.borrow_mut().insert(row.id, held_by);
        Ok(held_by)
    }

    /// Returns whether a case is over because a person ended it, as its log has it.
    fn was_ended_by_person(&self, row: &CaseRow) -> Result<bool, PipelineError> {
        if row.case.state.is_working() {
            return Ok(false);
        }
        let end = self.store.desk().end_of(row.id, row.case.state)?;
        Ok(end.is_some_and(|line| line.actor != ACTOR))
    }

    /// Returns the other case in whose mails a case is told: that of its thread, or one of its campaign
    /// that was told of. News are told by a case that goes on; an end is told with its thread, whose lead may be over.
    ///
    /// Of a lead that is exempt nothing is told but the end that a person gave it: see [`decide_mail`]. No mail of a lead
    /// names a case that is exempt, so its end is told in a mail of its own.
    fn lead_of(
        &self,
        row: &CaseRow,
        notifying: &Notifying<'_>,
    ) -> Result<Option<i64>, PipelineError> {
        let to = self.desk_addressees(&row.case);
        let is_over = !row.case.state.is_working();
        if is_over && self.exemption_held_by(row, notifying)?.is_some() {
            return Ok(None);
        }
        // A lead speaks only to those who would hear of this case, and not at all where it is exempt.
        let leads = |it: &CaseRow| -> Result<bool, PipelineError> {
            Ok(it.id != row.id
                && it.case.told.thread == Some(it.id)
                && it.case.reported
                && (is_over || it.case.state.is_working())
                && self.desk_addressees(&it.case) == to
                && (self.exemption_held_by(it, notifying)?.is_none()
                    || is_over && self.was_ended_by_person(it)?))
        };
        if let Some(thread) = row.case.told.thread {
            if thread == row.id {
                return Ok(None);
            }
            if let Some(lead) = self.store.desk().case_by_id(thread)?
                && leads(&lead)?
            {
                return Ok(Some(thread));
            }
        }
        let Some(campaign) = row.campaign else {
            return Ok(None);
        };
        for member in notifying.leads_of(campaign, self.store)?.iter() {
            if leads(member)? {
                return Ok(Some(member.id));
            }
        }
        Ok(None)
    }

    /// Makes a case that has news the lead of a thread whose lead is over: those of it that go on are told in its mails
    /// from now on. Returns the lead that it was; its end may be due.
    fn take_over(
        &self,
        row: &CaseRow,
        reason: SendReason,
        notifying: &Notifying<'_>,
    ) -> Result<Option<i64>, PipelineError> {
        let desk = self.store.desk();
        let thread = row.case.told.thread.filter(|thread| *thread != row.id);
        let Some(thread) = thread.filter(|_| !reason.is_end()) else {
            return Ok(None);
        };
        let lead = desk.case_by_id(thread)?;
        if lead.is_none_or(|lead| lead.case.state.is_working()) {
            return Ok(None);
        }
        let to = self.desk_addressees(&row.case);
        for member in desk.cases_of_thread(thread)? {
            let is_other = member.id != row.id && member.id != thread;
            if is_other
                && member.case.state.is_working()
                && self.desk_addressees(&member.case) == to
            {
                let mut case = member.case;
                case.told.thread = Some(row.id);
                if case.told.held.is_some() {
                    case.told.held = Some(HoldReason::Campaign(row.id).to_string());
                }
                desk.save_case(&case)?;
            }
        }
        notifying.leads.borrow_mut().clear();
        Ok(Some(thread))
    }

    /// Notes why nobody is told of a case, where it might be.
    fn record_hold(
        &self,
        row: &CaseRow,
        reason: HoldReason,
        size: u32,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let mut case = row.case.clone();
        // Told before sizes were kept, or in a digest: growth is compared with what is there now.
        if case.told.at.is_some() && case.told.size == 0 {
            case.told.size = size;
        }
        let is_member = case.told.thread.is_some_and(|thread| thread != row.id);
        if reason.is_silencing() {
            case.told.held = Some(reason.to_string());
        } else if !is_member {
            case.told.held = None;
        }
        // What the digest was to tell of is not told by it once there is another reason to tell nobody.
        case.told.digest_due &= matches!(reason, HoldReason::HourlyCap | HoldReason::Campaign(_));
        match reason {
            HoldReason::Campaign(lead) if is_reportable(&case) || case.told.thread.is_none() => {
                case.told.thread = Some(lead);
            }
            HoldReason::HourlyCap => {
                // The digest goes to the desk: who else would be told of it waits for an hour with room.
                let digest_tells = |mail: &MailConfig| {
                    let to = self.desk_addressees(&case);
                    let to: Vec<&String> = to.iter().map(|it| &it.address).collect();
                    mail.digest.is_some() && to == mail.desk.iter().collect::<Vec<_>>()
                };
                case.told.digest_due = self.mail().is_some_and(digest_tells);
            }
            _ => {}
        }
        if case == row.case {
            return Ok(());
        }
        self.store.desk().save_case(&case)?;
        if let Some(held) = case
            .told
            .held
            .as_ref()
            .filter(|_| case.told.held != row.case.told.held)
        {
            let note = format!("no mail: {held}");
            tracing::info!(case = row.id, "case {}: {note}", row.id);
            self.store
                .desk()
                .append_case_event(row.id, now, case.state, ACTOR, &note)?;
        }
        Ok(())
    }

    /// Returns who gets which mail about a case, of which some did not hear all.
    fn letters(
        &self,
        row: &CaseRow,
        reason: SendReason,
        behind: BTreeSet<String>,
    ) -> Result<Letters, PipelineError> {
        Ok(Letters {
            reason,
            hearing: self.hearing(row, When::Now, &Heads::default())?,
            behind,
        })
    }

    /// Queues the mails about a case, and notes what was told.
    fn send(
        &self,
        row: &CaseRow,
        finding: Option<&Finding>,
        reason: SendReason,
        notifying: &Notifying<'_>,
    ) -> Result<(), PipelineError> {
        // What is sent makes this case one that others may be told in.
        notifying.leads.borrow_mut().clear();
        let mut case = row.case.clone();
        case.revision += 1;
        // A mail that was asked for about a case that is over begins nothing.
        case.reported = if case.state.is_working() || !notifying.is_asked {
            !reason.is_end()
        } else {
            row.case.reported
        };
        let behind = match reason {
            SendReason::Missed => self.behind_of_thread(row, notifying)?,
            _ => BTreeSet::new(),
        };
        let letters = self.letters(row, reason, behind)?;
        // Of what was told before, not everybody heard.
        if is_to_be_looked_at(row) {
            case.told.verdicts.clear();
        }
        case.told.at = Some(notifying.now);
        case.told.thread = Some(row.id);
        case.told.digest_due = false;
        case.told.held = None;
        if !case.told.verdicts.contains(&case.verdict) {
            case.told.verdicts.push(case.verdict);
        }
        let looked = self.check_before_mail(&case, finding)?;
        let finding = looked.as_ref().or(finding);
        // Who is told what he missed alone is told in whole: the others know of the size before.
        if reason != SendReason::Missed {
            case.told.size = finding.map_or(case.told.size, size_of);
        }
        let mail = CaseMail {
            case_id: row.id,
            case: &case,
            finding,
            kind: kind_of(reason),
            reason,
            now: notifying.now,
            paragraph: None,
        };
        if let Some(finding) = finding {
            let evidence = self.evidence_of(finding)?;
            let hashes: Vec<_> = evidence
                .iter()
                .map(|(_, zone, link)| (*zone, link.hash))
                .collect();
            self.store
                .ledger()
                .note_evidence(row.id, case.revision, &hashes)?;
        }
        let mut counts = vec![(mail.kind, reason, 0_usize)];
        for to in self.desk_addressees(&case) {
            let heard = letters.hearing.of_address(&to.address);
            if let Some(mail) = letters.mail_to(&mail, &to.address, heard) {
                let count = usize::from(self.queue_case_mail(&mail, &to)?);
                match counts
                    .iter_mut()
                    .find(|it| (it.0, it.1) == (mail.kind, mail.reason))
                {
                    Some(known) => known.2 += count,
                    None => counts.push((mail.kind, mail.reason, count)),
                }
            }
        }
        self.queue_webhooks(row, &mail, &letters)?;
        // Others than the desk are told of what the program decided, never of what a person asked for.
        if reason.is_end() {
            let over = StopReason::Over(case.state);
            self.withdraw(row, Withdrawal::Notices, over)?;
        } else if !notifying.is_asked {
            self.draft_notices(&mail)?;
        }
        self.store.desk().save_case(&case)?;
        self.note_queued(row.id, &case, &counts, notifying.now)?;
        if reason.is_end() {
            self.close_thread((row.id, case.revision), notifying)
        } else if notifying.is_asked {
            Ok(())
        } else {
            self.report_members(row, (case.revision, reason), notifying)
        }
    }

    /// Notes in the log of a case what was queued about it, and to how many: the first of `counts` is what was decided,
    /// the others are as what those get it who heard nothing before.
    fn note_queued(
        &self,
        id: i64,
        case: &Case,
        counts: &[(MailKind, SendReason, usize)],
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let others = counts.iter().skip(1).any(|(.., count)| *count > 0);
        // What was decided is the last line: see `reason_of`.
        for (i, (kind, reason, count)) in counts.iter().enumerate().rev() {
            if *count == 0 && (i > 0 || others) {
                continue;
            }
            let note = format!(
                "{} {} queued to {}: {reason}",
                kind.word(),
                case.revision,
                counted(*count, "recipient")
            );
            tracing::info!(case = id, "case {id}: {note}");
            let desk = self.store.desk();
            desk.append_case_event(id, now, case.state, ACTOR, &note)?;
        }
        Ok(())
    }

    /// Returns who did not hear all that was told of a case and of those that are told in its mails.
    fn behind_of_thread(
        &self,
        row: &CaseRow,
        notifying: &Notifying<'_>,
    ) -> Result<BTreeSet<String>, PipelineError> {
        let mut behind = self.behind(row, &Heads::default())?;
        let members = self.store.desk().cases_of_thread(row.id)?;
        let members = members.iter().filter(|it| it.id != row.id);
        behind.extend(self.members_behind(members, notifying)?);
        Ok(behind)
    }

    /// Judges the domain of a case at the newest version before a mail about it, where that is not what `finding` was
    /// judged at: a mail describes what its reader finds. `None` where the finding is of that time, says what the
    /// newest does not, or the case is over.
    fn check_before_mail(
        &self,
        case: &Case,
        finding: Option<&Finding>,
    ) -> Result<Option<Finding>, PipelineError> {
        if !case.state.is_working() {
            return Ok(None);
        }
        let judged_at = finding.map(|finding| finding.now);
        let newest = self.newest_version_at(&case.domain)?;
        let at = newest.max(Some(case.evaluated_at)).max(judged_at);
        let Some(at) = at.filter(|at| judged_at.is_none_or(|judged_at| *at > judged_at)) else {
            return Ok(None);
        };
        let looked = self.findings.find(&case.domain, at)?.finding;
        Ok(looked.filter(|looked| finding.is_none_or(|known| looked.level >= known.level)))
    }

    /// Queues a mail about a case to one addressee. One that cannot be composed is kept among the dead, and
    /// leaves the others alone. Returns whether it was queued.
    pub(in crate::pipeline) fn queue_case_mail(
        &self,
        mail: &CaseMail<'_>,
        to: &Addressee,
    ) -> Result<bool, PipelineError> {
        let token = self.store.draw_token()?;
        match self.compose_case_mail(mail, to, &token) {
            Ok(parts) => self.store.desk().queue_message(&parts.message, mail.now)?,
            Err(fault) if fault.is_of_one_mail() => {
                let dead = NewMessage {
                    case_id: Some(mail.case_id),
                    kind: mail.kind,
                    revision: mail.case.revision,
                    recipient: to.address.clone(),
                    sender: String::new(),
                    message_id: token,
                    subject: format!("{} of case {}", mail.kind.word(), mail.case_id),
                    octets: Vec::new(),
                };
                self.keep_dead(&dead, &fault, mail.now)?;
                return Ok(false);
            }
            Err(fault) => return Err(fault),
        }
        Ok(true)
    }

    /// Keeps a message that cannot be composed among the dead, and says so.
    pub(in crate::pipeline) fn keep_dead(
        &self,
        message: &NewMessage,
        fault: &PipelineError,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let (to, what) = (&message.recipient, &message.subject);
        tracing::error!(recipient = to, "{what} to {to} cannot be made: {fault}");
        let reason = format!("cannot be made: {fault}");
        self.unmade_count.fetch_add(1, Ordering::Relaxed);
        Ok(self.store.desk().keep_dead_message(message, &reason, now)?)
    }

    /// Notes that the cases of a campaign were told in the mail of one of them, of this number and for this reason. A mail to
    /// those who missed one tells them of what they missed.
    fn report_members(
        &self,
        row: &CaseRow,
        (told_by, why): (u32, SendReason),
        notifying: &Notifying<'_>,
    ) -> Result<(), PipelineError> {
        let mut members = self.store.desk().cases_of_thread(row.id)?;
        if let Some(campaign) = row.campaign {
            members.extend(self.store.desk().cases_of_campaign(campaign)?);
        }
        let to = self.desk_addressees(&row.case);
        let mut seen = BTreeSet::from([row.id]);
        for member in members {
            if !seen.insert(member.id)
                || !(is_to_be_told_anew(&member)
                    || is_news(&member.case) && why != SendReason::Missed)
                || self.desk_addressees(&member.case) != to
            {
                continue;
            }
            if self.exemption_held_by(&member, notifying)?.is_some() {
                continue;
            }
            // One that was not judged in this pass is told with what its last judgement found.
            let (domain, at) = (&member.case.domain, member.case.evaluated_at);
            let known = notifying.findings.get(&member.id);
            let computed = match known {
                Some(_) => None,
                None => self.findings.find(domain, at)?.finding,
            };
            let finding = known.or(computed.as_ref());
            let reason = match member.case.reported {
                true if member.case.told.verdicts.is_empty() => SendReason::Missed,
                true if is_news(&member.case) => SendReason::NewVerdict,
                true => SendReason::Missed,
                false => self.first_reason(&member)?,
            };
            let behind = self.behind(&member, &Heads::default())?;
            let letters = self.letters(&member, reason, behind)?;
            let mut case = member.case.clone();
            if is_to_be_looked_at(&member) {
                case.told.verdicts.clear();
            }
            case.reported = true;
            case.told.at = Some(notifying.now);
            case.told.thread = Some(row.id);
            case.told.digest_due = false;
            if !case.told.verdicts.contains(&case.verdict) {
                case.told.verdicts.push(case.verdict);
            }
            case.told.size = finding.map_or(case.told.size, size_of);
            case.told.held = Some(HoldReason::Campaign(row.id).to_string());
            case.revision += 1;
            self.store.desk().save_case(&case)?;
            let mail = CaseMail {
                case_id: member.id,
                case: &case,
                finding,
                kind: MailKind::Report,
                reason,
                now: notifying.now,
                paragraph: None,
            };
            self.queue_webhooks(&member, &mail, &letters)?;
            self.draft_notices(&mail)?;
            let note = told_in_mail(row.id, told_by);
            self.store.desk().append_case_event(
                member.id,
                notifying.now,
                case.state,
                ACTOR,
                &note,
            )?;
        }
        Ok(())
    }

    /// Notes that the members of a thread whose end was told are done with, and tells webhooks so of each.
    fn close_thread(
        &self,
        (id, revision): (i64, u32),
        notifying: &Notifying<'_>,
    ) -> Result<(), PipelineError> {
        let now = notifying.now;
        for member in self.store.desk().cases_of_thread(id)? {
            if member.id == id || !member.case.reported {
                continue;
            }
            // The closure names no exempt one: what is to be told of its end is told by itself.
            if self.exemption_held_by(&member, notifying)?.is_some() {
                let mut case = member.case.clone();
                case.told.thread = Some(member.id);
                self.store.desk().save_case(&case)?;
                continue;
            }
            let mut case = member.case.clone();
            case.reported = false;
            let reason = end_reason(case.state);
            if let Some(reason) = reason.filter(|_| !self.config.webhooks.is_empty()) {
                case.revision += 1;
                let mail = CaseMail {
                    case_id: member.id,
                    case: &case,
                    finding: None,
                    kind: MailKind::Closure,
                    reason,
                    now,
                    paragraph: None,
                };
                let letters = self.letters(&member, reason, BTreeSet::new())?;
                self.queue_webhooks(&member, &mail, &letters)?;
            }
            self.store.desk().save_case(&case)?;
            let note = ended_in_mail(id, revision);
            self.store
                .desk()
                .append_case_event(member.id, now, case.state, ACTOR, &note)?;
        }
        Ok(())
    }

    /// Queues what webhooks are told.
    fn queue_webhooks(
        &self,
        row: &CaseRow,
        mail: &CaseMail<'_>,
        letters: &Letters,
    ) -> Result<(), PipelineError> {
        for hook in &self.config.webhooks {
            // Of a case whose closure waited for others it heard before.
            if mail.reason.is_end() && letters.hearing.has_end(&hook.url) {
                continue;
            }
            let heard = letters.hearing.of_url(&hook.url);
            if let Some(mail) = letters.mail_to(mail, &hook.url, heard) {
                self.queue_post(row, &mail, &hook.url)?;
            }
        }
        Ok(())
    }

    /// Queues a post to a webhook.
    pub(in crate::pipeline) fn queue_post(
        &self,
        row: &CaseRow,
        mail: &CaseMail<'_>,
        url: &str,
    ) -> Result<(), PipelineError> {
        let told = CaseRow {
            case: mail.case.clone(),
            ..row.clone()
        };
        let mut body = serde_json::json!({
            "event": mail.kind.word(),
            "reason": mail.reason.to_string(),
            "revision": mail.case.revision,
            "at": mail.now,
            "case": CaseJson::from(&told),
        });
        if let Some(page) = self.case_page(row.id) {
            body["page"] = page.into();
        }
        let what = format!("{}.{}.hook", row.id, mail.case.revision);
        let token = self.store.draw_token()?;
        let message = NewMessage {
            case_id: Some(row.id),
            kind: MailKind::Webhook,
            revision: mail.case.revision,
            recipient: url.to_owned(),
            sender: String::new(),
            message_id: self.message_id(&what, &token, "webhook"),
            subject: format!("{} of case {}", mail.kind.word(), row.id),
            octets: body.to_string().into_bytes(),
        };
        Ok(self.store.desk().queue_message(&message, mail.now)?)
    }

    /// Drafts the notices of a case; those that need no approval are approved.
    fn draft_notices(&self, mail: &CaseMail<'_>) -> Result<(), PipelineError> {
        let recipients = self.mail().into_iter().flat_map(|it| &it.recipients);
        let mut others = recipients.filter(|it| !matches!(it.party, Party::Zone(_)));
        if others.next().is_none() {
            return Ok(());
        }
        let Some(finding) = mail.finding else {
            let at = mail.case.evaluated_at;
            let what = format!("nothing is found of the domain at {at} that one could rest on");
            return self.note_no_notice(mail, &what);
        };
        let addressees = self.notice_addressees(finding);
        if addressees.is_empty() {
            return Ok(());
        }
        if let Some(reason) = self.stop_of_notices(mail.case, Some(finding))? {
            return self.note_no_notice(mail, &reason.to_string());
        }
        for to in addressees {
            // What the desk missed is nothing new for whom the last notice reached.
            let is_of_desk = matches!(mail.reason, SendReason::Missed | SendReason::FirstReport);
            if !is_of_desk || !self.is_noticed(mail, &to.address)? {
                self.draft_for_addressee(mail, &to)?;
            }
        }
        Ok(())
    }

    /// Returns whether the last notice of a case to an address was sent, or will be, and told what a mail tells.
    fn is_noticed(&self, mail: &CaseMail<'_>, address: &str) -> Result<bool, PipelineError> {
        let desk = self.store.desk();
        let messages = desk.message_heads(mail.case_id)?;
        let last = messages.iter().rfind(|it| {
            it.message.kind == MailKind::Notice && is_same_address(&it.message.recipient, address)
        });
        let Some(last) =
            last.filter(|it| it.state != MessageState::Dropped || it.may_have_arrived())
        else {
            return Ok(false);
        };
        let notices = desk.notices_of_case(mail.case_id)?;
        let notice = notices
            .iter()
            .find(|it| it.message.message_id == last.message.message_id);
        let verdict = |basis: &str| basis.split(' ').next().map(str::to_owned);
        let now = verdict(&notice_basis(mail.case));
        Ok(mail.reason == SendReason::Missed || notice.is_some_and(|it| verdict(&it.basis) == now))
    }

    /// Notes why nobody beside the desk is told of a case.
    fn note_no_notice(&self, mail: &CaseMail<'_>, why: &str) -> Result<(), PipelineError> {
        let (id, note) = (mail.case_id, format!("no notice is drafted: {why}"));
        tracing::info!(case = id, "case {id}: {note}");
        let state = mail.case.state;
        Ok(self
            .store
            .desk()
            .append_case_event(id, mail.now, state, ACTOR, &note)?)
    }

    /// Drafts the notice to one addressee, and approves it where nobody has to. Returns its number; `None` if it cannot
    /// be made: then the draft of before stands, and the log of the case says why.
    pub(in crate::pipeline) fn draft_for_addressee(
        &self,
        mail: &CaseMail<'_>,
        to: &Addressee,
    ) -> Result<Option<i64>, PipelineError> {
        let notice = CaseMail {
            kind: MailKind::Notice,
            ..*mail
        };
        let token = self.store.draw_token()?;
        let message = match self.compose_case_mail(&notice, to, &token) {
            Ok(parts) => parts.message,
            // The others are told all the same; the case's log says who was not.
            Err(fault) if fault.is_of_one_mail() => {
                let note = format!("notice to {} cannot be made: {fault}", to.address);
                tracing::error!(case = mail.case_id, "case {}: {note}", mail.case_id);
                let state = mail.case.state;
                self.store
                    .desk()
                    .append_case_event(mail.case_id, mail.now, state, ACTOR, &note)?;
                return Ok(None);
            }
            Err(fault) => return Err(fault),
        };
        let basis = notice_basis(mail.case);
        let drafted = self
            .store
            .desk()
            .draft_notice(&message, &to.party, &basis, mail.now)?;
        if let Some(id) = drafted.filter(|_| !to.approval) {
            let by = Some((ACTOR, mail.now, Some("its recipient needs no approval")));
            let step = (NoticeState::Drafted, NoticeState::Approved);
            self.store.desk().move_notice(id, step, by)?;
        }
        Ok(drafted)
    }

    /// Notes that a case was told in the digest, and tells those who do not get the digest.
    pub(in crate::pipeline) fn record_reported_in_digest(
        &self,
        row: &CaseRow,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let mut case = row.case.clone();
        case.told.digest_due = false;
        case.told.held = None;
        if !case.state.is_working() {
            // It ended meanwhile, and stands among those that did.
            self.store.desk().save_case(&case)?;
            return Ok(());
        }
        let finding = self.findings.find(&case.domain, case.evaluated_at)?.finding;
        let reason = self.first_reason(row)?;
        case.revision += 1;
        case.reported = true;
        case.told.at = Some(now);
        case.told.thread.get_or_insert(row.id);
        case.told.size = finding.as_ref().map_or(0, size_of);
        if !case.told.verdicts.contains(&case.verdict) {
            case.told.verdicts.push(case.verdict);
        }
        self.store.desk().save_case(&case)?;
        let mail = CaseMail {
            case_id: row.id,
            case: &case,
            finding: finding.as_ref(),
            kind: MailKind::Report,
            reason,
            now,
            paragraph: None,
        };
        let letters = self.letters(row, reason, BTreeSet::new())?;
        self.queue_webhooks(row, &mail, &letters)?;
        self.draft_notices(&mail)?;
        Ok(self
            .store
            .desk()
            .append_case_event(row.id, now, case.state, ACTOR, TOLD_IN_DIGEST)?)
    }

    /// Tells the desk of a case once more, because somebody asked. Returns how many messages were queued. The caller
    /// read `row` in the transaction that it commits after this: a poller may have moved the case before.
    pub fn send_again(&self, row: &CaseRow, by: &str) -> Result<usize, PipelineError> {
        let findings = BTreeMap::new();
        let notifying = Notifying {
            is_asked: true,
            ..self.notifying(&findings)?
        };
        let reason = match row.case.revision {
            0 => SendReason::FirstReport,
            _ => SendReason::Asked,
        };
        let note = "a new revision was asked for";
        self.store
            .desk()
            .append_case_event(row.id, notifying.now, row.case.state, by, note)?;
        self.send(row, None, reason, &notifying)?;
        Ok(self.desk_addressees(&row.case).len())
    }

    /// Tells of a case after the desk did something with it: the end of one that was told of is told.
    pub fn notify_after_step(&self, id: i64) -> Result<(), PipelineError> {
        let Some(row) = self.store.desk().case_by_id(id)? else {
            return Ok(());
        };
        // What is still open waits for its next judgement: only ends are told here, and what takes them back.
        if row.case.state.is_working() {
            self.post_reopening(&row, self.clock.now())
        } else {
            let mut ids = BTreeSet::from([id]);
            // The end of its thread may be due all the same.
            if self.forget_unheard(&row)? {
                ids.extend(row.case.told.thread);
            }
            let findings = BTreeMap::new();
            self.tell_of(&ids, &self.notifying(&findings)?)
        }
    }

    /// Returns what is told of a case that the desk ends, `row` as it stands then. `None` of a case that goes on, and
    /// of one of which nobody was told. What waits and is dropped by a dismissal counts as dropped.
    pub fn ending_of_case(&self, row: &CaseRow) -> Result<Option<Ending>, PipelineError> {
        if row.case.state.is_working() || !row.case.reported {
            return Ok(None);
        }
        let when = match row.case.state {
            CaseState::Dismissed => When::Dismissed,
            _ => When::Now,
        };
        let hearing = self.hearing(row, when, &Heads::default())?;
        if hearing.is_nobody() {
            return Ok(Some(Ending::Held(HoldReason::NeverTold)));
        }
        let findings = BTreeMap::new();
        let context = MailContext {
            // Its log does not say so before the step is taken.
            is_by_person: true,
            ..self.mail_context(row, None, &self.notifying(&findings)?)?
        };
        let rules = self.mail().map_or(RULES, |mail| mail.rules);
        Ok(Some(match decide_mail(&row.case, &context, &rules) {
            Decision::Send(_) => {
                let to = self.desk_addressees(&row.case).into_iter();
                let to = to.map(|it| it.address);
                let is_nothing =
                    |to: &String| matches!(hearing.of_address(to), Heard::Nothing { .. });
                let to: Vec<String> = to.filter(|to| !is_nothing(to)).collect();
                let mut urls = self.config.webhooks.iter().map(|it| it.url.as_str());
                let is_posted = urls.any(|url| {
                    let heard = hearing.of_url(url);
                    !hearing.has_end(url) && !matches!(heard, Heard::Nothing { .. })
                });
                match to.is_empty() && !is_posted {
                    true => Ending::Held(HoldReason::NobodyLeft),
                    false => Ending::Mailed(to),
                }
            }
            Decision::Hold(reason) => Ending::Held(self.worded(reason)),
        }))
    }

    /// Returns what the registrar's records say of a domain.
    pub fn registration_of(&self, domain: &Name) -> Option<Registration> {
        self.parts.knowledge.registrations.as_ref()?.find(domain)
    }

    /// Returns domains of an account, by the registrar's records; no more than so many.
    pub fn domains_of_account(&self, account: &str, count: usize) -> Vec<Name> {
        let registrations = self.parts.knowledge.registrations.as_ref();
        registrations.map_or_else(Vec::new, |it| it.of_account(account, count))
    }
}

/// Returns what a notice rests on: another value voids what was drafted or approved.
pub fn notice_basis(case: &Case) -> String {
    format!(
        "{} {} {} {}",
        case.verdict.word(),
        case.level.word(),
        case.state.word(),
        case.revision
    )
}

/// Returns whether a case is at level report and nobody was told of it.
fn is_reportable(case: &Case) -> bool {
    case.state == CaseState::Open && case.level == Level::Report && !case.reported
}

/// Returns whether a member of a campaign is to be told in the next mail of its lead: it never was, or
/// another kind of flux is suspected now.
fn is_news(case: &Case) -> bool {
    let is_other = case.reported
        && case.state.is_working()
        && case.level == Level::Report
        && !case.told.verdicts.contains(&case.verdict);
    is_reportable(case) || is_other
}

/// Returns whether a member of a campaign was told, and not to everybody.
fn is_to_be_told_anew(row: &CaseRow) -> bool {
    is_to_be_looked_at(row) && row.case.state.is_working() && row.case.level == Level::Report
}

/// Returns what a mail is that is sent for a reason.
fn kind_of(reason: SendReason) -> MailKind {
    match reason {
        _ if reason.is_end() => MailKind::Closure,
        _ if reason.is_first() => MailKind::Report,
        _ => MailKind::Update,
    }
}

/// Returns how many name servers and addresses a finding has.
fn size_of(finding: &Finding) -> u32 {
    let planes = finding.planes();
    planes
        .map(|plane| (plane.names.len() + plane.addresses.len()) as u32)
        .sum()
}
