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
    decide_mail, exemption_of, exemption_of_domain,
};
use crate::config::MailConfig;
use crate::count::counted;
use crate::detector::{Finding, Level};
use crate::dns::Name;
use crate::enrich::Registration;
use crate::listing::CaseJson;
use crate::pipeline::error::PipelineError;
use crate::pipeline::notify::compose::{Addressee, CaseMail};
use crate::pipeline::outcome::PollOptions;
use crate::store::{CaseRow, MailKind, NewMessage, NoticeState, Store};
use crate::time::{Span, Timestamp};

/// Rules where no mail is configured, and only webhooks are told.
const RULES: MailRules = MailRules {
    repeat: None,
    update_after: Span::days(1),
};

/// What a pass over cases knows.
struct Notifying<'a> {
    exemptions: Vec<Exemption>,
    findings: &'a BTreeMap<i64, Finding>,
    wanted: bool,
    now: Timestamp,
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
    /// of the cases that were just judged. Part of the transaction that moves the cases.
    pub(in crate::pipeline) fn notify_of(
        &self,
        ids: &BTreeSet<i64>,
        findings: &BTreeMap<i64, Finding>,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        if ids.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let has_way = self.mail().is_some() || !self.config.webhooks.is_empty();
        let notifying = Notifying {
            exemptions: self.store.desk().exemptions_in_force(now)?,
            findings,
            wanted: options.mail_wanted && has_way,
            now,
            leads: RefCell::default(),
        };
        let mut leads = BTreeSet::new();
        for id in ids {
            leads.extend(self.tell(*id, &notifying)?);
        }
        // A lead whose members have news may owe an update although nothing of its own changed.
        for id in leads.difference(ids) {
            self.tell(*id, &notifying)?;
        }
        // Those that were asked before a member of theirs was.
        for id in leads.intersection(ids) {
            self.tell(*id, &notifying)?;
        }
        Ok(())
    }

    /// Decides on one case. Returns the case in whose mails it is told, if that is another.
    fn tell(&self, id: i64, notifying: &Notifying<'_>) -> Result<Option<i64>, PipelineError> {
        let Some(row) = self.store.desk().case_by_id(id)? else {
            return Ok(None);
        };
        let finding = notifying.findings.get(&id);
        let context = self.mail_context(&row, finding, notifying)?;
        let rules = self.mail().map_or(RULES, |mail| mail.rules);
        match decide_mail(&row.case, &context, &rules) {
            Decision::Send(reason) => {
                self.send(&row, finding, reason, notifying)?;
                Ok(None)
            }
            Decision::Hold(reason) => {
                self.record_hold(&row, reason, context.size, notifying.now)?;
                Ok(context.lead)
            }
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
        let joined = members().filter(|it| is_news(&it.case)).count();
        let since = notifying.now - Span::hours(1);
        let cap = self.mail().map_or(u32::MAX, |mail| mail.cases_per_hour_max);
        Ok(MailContext {
            // The canary's case is a test of the monitor, and accuses nobody.
            wanted: notifying.wanted && !self.findings.is_canary(&case.domain),
            exemption: self.exemption_among(
                &notifying.exemptions,
                &case.domain,
                finding,
                notifying.now,
            ),
            lead: self.lead_of(row, notifying)?,
            joined: joined as u32,
            open_members: members().filter(|it| is_working(&it.case)).count() as u32,
            size: finding.map_or(case.told.size, size_of),
            // Once the digest is to tell of a case it does, or the desk would read of it twice.
            has_room: !case.told.digest_due
                && self.store.desk().cases_told_since(since, notifying.now)? < cap,
            now: notifying.now,
        })
    }

    /// Returns the exemption by which nobody is told of a domain or finding.
    fn exemption_among(
        &self,
        exemptions: &[Exemption],
        domain: &Name,
        finding: Option<&Finding>,
        now: Timestamp,
    ) -> Option<i64> {
        if exemptions.is_empty() {
            return None;
        }
        let account = self.registration_of(domain).and_then(|it| it.account);
        let account = account.as_deref();
        let covering = match finding {
            Some(finding) => exemption_of(exemptions, finding, account, now),
            None => exemption_of_domain(exemptions, domain, account, now),
        };
        covering.map(|it| it.id)
    }

    /// Returns the other case in whose mails a case is told: that of its thread, or one of its campaign
    /// that was told of and is not over.
    fn lead_of(
        &self,
        row: &CaseRow,
        notifying: &Notifying<'_>,
    ) -> Result<Option<i64>, PipelineError> {
        let to = self.desk_addressees(&row.case);
        // A lead speaks only to those who would hear of this case, and not at all where it is exempt.
        let leads = |it: &CaseRow| {
            it.id != row.id
                && it.case.told.thread == Some(it.id)
                && it.case.reported
                && self.desk_addressees(&it.case) == to
                && self
                    .exemption_among(&notifying.exemptions, &it.case.domain, None, notifying.now)
                    .is_none()
        };
        if let Some(thread) = row.case.told.thread {
            if thread == row.id {
                return Ok(None);
            }
            let lead = self.store.desk().case_by_id(thread)?.filter(leads);
            if lead.is_some() {
                return Ok(lead.map(|it| it.id));
            }
        }
        let Some(campaign) = row.campaign else {
            return Ok(None);
        };
        let members = notifying.leads_of(campaign, self.store)?;
        Ok(members.iter().find(|it| leads(it)).map(|it| it.id))
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
        case.reported = if is_working(&case) || reason != SendReason::Asked {
            !reason.is_end()
        } else {
            row.case.reported
        };
        case.told.at = Some(notifying.now);
        case.told.thread = Some(row.id);
        case.told.digest_due = false;
        case.told.held = None;
        if !case.told.verdicts.contains(&case.verdict) {
            case.told.verdicts.push(case.verdict);
        }
        let looked = self.check_before_mail(&case, finding)?;
        let finding = looked.as_ref().or(finding);
        case.told.size = finding.map_or(case.told.size, size_of);
        let mail = CaseMail {
            case_id: row.id,
            case: &case,
            finding,
            kind: match reason {
                _ if reason.is_end() => MailKind::Closure,
                _ if reason.is_first() => MailKind::Report,
                _ => MailKind::Update,
            },
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
        let mut count = 0;
        for to in self.desk_addressees(&case) {
            count += usize::from(self.queue_case_mail(&mail, &to)?);
        }
        self.queue_webhooks(row, &mail)?;
        if !reason.is_end() {
            self.draft_notices(&mail)?;
        }
        self.store.desk().save_case(&case)?;
        let note = format!(
            "{} {} queued to {}: {reason}",
            mail.kind.word(),
            case.revision,
            counted(count, "recipient")
        );
        tracing::info!(case = row.id, "case {}: {note}", row.id);
        self.store
            .desk()
            .append_case_event(row.id, notifying.now, case.state, ACTOR, &note)?;
        if reason.is_end() {
            self.close_thread(row.id)
        } else {
            self.report_members(row, notifying)
        }
    }

    /// Judges the domain of a case at the newest version before a mail about it, where that is not what `finding` was
    /// judged at: a mail describes what its reader finds. `None` where the finding is of that time, says what the
    /// newest does not, or the case is over.
    fn check_before_mail(
        &self,
        case: &Case,
        finding: Option<&Finding>,
    ) -> Result<Option<Finding>, PipelineError> {
        if !is_working(case) {
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
    fn queue_case_mail(&self, mail: &CaseMail<'_>, to: &Addressee) -> Result<bool, PipelineError> {
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

    /// Notes that the cases of a campaign were told in the mail of one of them.
    fn report_members(
        &self,
        row: &CaseRow,
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
                || !is_news(&member.case)
                || self.desk_addressees(&member.case) != to
            {
                continue;
            }
            let finding = notifying.findings.get(&member.id);
            let domain = &member.case.domain;
            if self
                .exemption_among(&notifying.exemptions, domain, finding, notifying.now)
                .is_some()
            {
                continue;
            }
            let mut case = member.case.clone();
            case.reported = true;
            case.told.at = Some(notifying.now);
            case.told.thread = Some(row.id);
            case.told.digest_due = false;
            if !case.told.verdicts.contains(&case.verdict) {
                case.told.verdicts.push(case.verdict);
            }
            case.told.size = finding.map_or(case.told.size, size_of);
            let reason = HoldReason::Campaign(row.id);
            case.told.held = Some(reason.to_string());
            case.revision += 1;
            self.store.desk().save_case(&case)?;
            let mail = CaseMail {
                case_id: member.id,
                case: &case,
                finding,
                kind: MailKind::Notice,
                reason: SendReason::FirstReport,
                now: notifying.now,
                paragraph: None,
            };
            self.draft_notices(&mail)?;
            let note = format!("told: {reason}");
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

    /// Notes that the members of a thread whose end was told are done with.
    fn close_thread(&self, id: i64) -> Result<(), PipelineError> {
        for member in self.store.desk().cases_of_thread(id)? {
            if member.id != id && member.case.reported {
                let mut case = member.case;
                case.reported = false;
                self.store.desk().save_case(&case)?;
            }
        }
        Ok(())
    }

    /// Queues what webhooks are told.
    fn queue_webhooks(&self, row: &CaseRow, mail: &CaseMail<'_>) -> Result<(), PipelineError> {
        if self.config.webhooks.is_empty() {
            return Ok(());
        }
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
        let octets = body.to_string().into_bytes();
        for hook in &self.config.webhooks {
            let what = format!("{}.{}.hook", row.id, mail.case.revision);
            let token = self.store.draw_token()?;
            let message = NewMessage {
                case_id: Some(row.id),
                kind: MailKind::Webhook,
                revision: mail.case.revision,
                recipient: hook.url.clone(),
                sender: String::new(),
                message_id: self.message_id(&what, &token, "webhook"),
                subject: format!("{} of case {}", mail.kind.word(), row.id),
                octets: octets.clone(),
            };
            self.store.desk().queue_message(&message, mail.now)?;
        }
        Ok(())
    }

    /// Drafts the notices of a case; those that need no approval are approved.
    fn draft_notices(&self, mail: &CaseMail<'_>) -> Result<(), PipelineError> {
        let Some(finding) = mail.finding else {
            return Ok(());
        };
        for to in self.notice_addressees(finding) {
            self.draft_for_addressee(mail, &to)?;
        }
        Ok(())
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
            self.store
                .desk()
                .move_notice(id, NoticeState::Approved, by)?;
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
        if !is_working(&case) {
            // It ended meanwhile, and stands among those that did.
            self.store.desk().save_case(&case)?;
            return Ok(());
        }
        let finding = self.findings.find(&case.domain, case.evaluated_at)?.finding;
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
            reason: SendReason::FirstReport,
            now,
            paragraph: None,
        };
        self.queue_webhooks(row, &mail)?;
        self.draft_notices(&mail)?;
        let note = "told in the digest";
        Ok(self
            .store
            .desk()
            .append_case_event(row.id, now, case.state, ACTOR, note)?)
    }

    /// Tells the desk of a case once more, because somebody asked. Returns how many messages were queued. The caller
    /// read `row` in the transaction that it commits after this: a poller may have moved the case before.
    pub fn send_again(&self, row: &CaseRow, by: &str) -> Result<usize, PipelineError> {
        let notifying = Notifying {
            exemptions: self.store.desk().exemptions_in_force(self.clock.now())?,
            findings: &BTreeMap::new(),
            wanted: true,
            now: self.clock.now(),
            leads: RefCell::default(),
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
        let options = PollOptions {
            mail_wanted: true,
            ..PollOptions::default()
        };
        let row = self.store.desk().case_by_id(id)?;
        // What is still open waits for its next judgement: only ends are told here.
        if row.is_some_and(|row| !is_working(&row.case)) {
            self.notify_of(&BTreeSet::from([id]), &BTreeMap::new(), &options)
        } else {
            Ok(())
        }
    }

    /// Returns what is told of a case that the desk has ended, `row` as it stands then. `None` of a case that goes on, and
    /// of one of which nobody was told.
    pub fn ending_of_case(&self, row: &CaseRow) -> Result<Option<Ending>, PipelineError> {
        if is_working(&row.case) || !row.case.reported {
            return Ok(None);
        }
        let now = self.clock.now();
        let notifying = Notifying {
            exemptions: self.store.desk().exemptions_in_force(now)?,
            findings: &BTreeMap::new(),
            wanted: self.mail().is_some() || !self.config.webhooks.is_empty(),
            now,
            leads: RefCell::default(),
        };
        let context = self.mail_context(row, None, &notifying)?;
        let rules = self.mail().map_or(RULES, |mail| mail.rules);
        Ok(Some(match decide_mail(&row.case, &context, &rules) {
            Decision::Send(_) => {
                let to = self.desk_addressees(&row.case).into_iter();
                Ending::Mailed(to.map(|it| it.address).collect())
            }
            Decision::Hold(reason) => Ending::Held(reason),
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
        && is_working(case)
        && case.level == Level::Report
        && !case.told.verdicts.contains(&case.verdict);
    is_reportable(case) || is_other
}

/// Returns whether a case is not over.
fn is_working(case: &Case) -> bool {
    matches!(case.state, CaseState::Open | CaseState::Acknowledged)
}

/// Returns how many name servers and addresses a finding has.
fn size_of(finding: &Finding) -> u32 {
    let planes = finding.planes();
    planes
        .map(|plane| (plane.names.len() + plane.addresses.len()) as u32)
        .sum()
}
