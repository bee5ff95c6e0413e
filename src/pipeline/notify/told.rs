//! Who heard what of a case: what each row of the outbox says, and the lines of the case's log.
//!
//! A listener is an address of the desk, one of a zone, or a webhook. Each heard of a case what was sent to it since its
//! end was last told to it. What was dropped before it was sent told nobody; what a server may have, though it did not say so,
//! perhaps. Who heard nothing is told as if for the first time, and of no end; who heard a part is told the rest; who heard
//! all is told nothing twice.
//!
//! A case keeps that it was told, and what, from the moment its mail is queued. Where a mail does not leave after all, that
//! is taken back here: [`Notify::forget_told`]. Which mail told a case that is told in the mails of another stands in its
//! log: a time would not do, for clocks are set and messages are tried anew. So does which end of a thread was its own, and
//! which mail was written anew without it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use crate::case::{CaseState, Exemption, HoldReason, Letter, SendReason, StopReason, Told};
use crate::mailer::is_same_address;
use crate::pipeline::error::PipelineError;
use crate::pipeline::notify::Notify;
use crate::pipeline::notify::compose::ACTOR;
use crate::pipeline::notify::letters::{is_first, is_report, letter_of};
use crate::store::{CaseEventRow, CaseRow, MailKind, MessageRow, MessageState};
use crate::time::Timestamp;

/// What the log says of a case whose first report was a line of the digest.
pub(in crate::pipeline) const TOLD_IN_DIGEST: &str = "told in the digest";

/// The beginning of what the log says of a case that a digest does not tell, or did not after all.
const NOT_IN_DIGEST: &str = "not told in the digest: ";

/// Returns what the log says of a case that a digest does not tell, or did not after all.
pub(in crate::pipeline) fn not_in_digest(reason: StopReason) -> String {
    format!("{NOT_IN_DIGEST}{reason}")
}

/// Returns what the log says of a case that was told in a mail of another one.
pub(in crate::pipeline) fn told_in_mail(lead: i64, revision: u32) -> String {
    format!("told: {} (mail {revision})", HoldReason::Campaign(lead))
}

/// Returns what the log says of a case whose end was told in the closure of another one.
pub(in crate::pipeline) fn ended_in_mail(lead: i64, revision: u32) -> String {
    format!("its end is told in the closure of case {lead} (mail {revision})")
}

/// Returns what the log says of a case of which a message does not tell, though it was to.
pub(in crate::pipeline) fn left_out_of(message: i64, to: &str) -> String {
    format!(
        "not told in message {message} to {to} after all: it was dismissed or exempted meanwhile"
    )
}

/// How a case was told, as its log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    /// In a mail of its own, of this number.
    Own(u32),
    /// In the digest.
    Digest,
    /// Not in the digest that was to tell of it: that was dropped.
    NoDigest,
    /// In a mail of another case, of this number; `None` if fluxwatch before 0.2.0 wrote the line.
    InMailOf(i64, Option<u32>),
    /// Its end, in a closure of another case, of this number.
    EndInMailOf(i64, u32),
    /// Not in the message of this number, which was to tell of it.
    NotIn(i64),
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
        if note.starts_with(NOT_IN_DIGEST) {
            return Some(Self::NoDigest);
        }
        if let Some(rest) = note.strip_prefix("told: told in the mails of case ") {
            let (lead, rest) = rest.split_once(',')?;
            let revision = rest.split_once("(mail ");
            let revision = revision.and_then(|(_, it)| it.trim_end_matches(')').parse().ok());
            return Some(Self::InMailOf(lead.parse().ok()?, revision));
        }
        if let Some(rest) = note.strip_prefix("its end is told in the closure of case ") {
            let (lead, revision) = rest.split_once(" (mail ")?;
            let revision = revision.trim_end_matches(')').parse().ok()?;
            return Some(Self::EndInMailOf(lead.parse().ok()?, revision));
        }
        if let Some(rest) = note.strip_prefix("not told in message ") {
            return Some(Self::NotIn(rest.split(' ').next()?.parse().ok()?));
        }
        let mut words = note.split(' ');
        let kind = words.next()?;
        let is_mail = [MailKind::Report, MailKind::Update].map(MailKind::word);
        let revision = words.next()?.parse().ok()?;
        (is_mail.contains(&kind) && words.next() == Some("queued")).then_some(Self::Own(revision))
    }
}

/// What a listener heard of a case since its end was last told to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum Heard {
    /// All that was told, or will.
    All,
    /// Not what was told last, as far as is known.
    Part,
    /// Nothing: the mails that would have told it did not leave.
    Nothing {
        /// Whether it was told of the case and of its end before.
        again: bool,
    },
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fortune {
    /// It was sent, or will be.
    Leaves,
    /// It does not leave any more, and nobody knows whether it did.
    Unknown,
    /// It does not leave.
    Lost,
}

/// A message that tells of a case, or of its end.
#[derive(Debug, Clone)]
struct Line {
    id: i64,
    revision: u32,
    is_closure: bool,
    /// Whether it ends what was told of the case: its own closure, or that of the thread that it was in.
    is_end: bool,
    /// Whether it tells its recipient of the case for the first time, as far as is known.
    is_first: bool,
    recipient: String,
    /// Whether it is mail; `false` of a post.
    is_mail: bool,
    /// Whether its recipient is one of those that are configured now.
    is_current: bool,
    /// Whether it is not sent yet, and in nobody's hands.
    waits: bool,
    /// Whether a server has it, or may have.
    may_have_arrived: bool,
    /// Whether it was stopped because its address was not configured.
    is_stranded: bool,
    fortune: Fortune,
}

/// Of which time it is asked who heard of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum When {
    /// Now.
    Now,
    /// Once what waits about it is dropped by a dismissal.
    Dismissed,
    /// When the message of a number is to leave.
    Before(i64),
}

/// Who heard what of a case.
#[derive(Debug, Clone, Default)]
pub(in crate::pipeline) struct Hearing {
    /// What told of it, and of its end, in the order in which it was queued.
    lines: Vec<Line>,
    /// Whether a digest told of it since it was opened that is not among `lines`: nobody knows to whom.
    has_digest: bool,
    /// Whether the digest was to tell of it since it was opened, and did not.
    is_digest_lost: bool,
    /// Whether nothing told of it after the digest.
    is_digest_last: bool,
}

impl Hearing {
    /// Returns what an address of a mail heard. One that has no mail of the case stands in for those that are configured
    /// no more.
    pub(in crate::pipeline) fn of_address(&self, address: &str) -> Heard {
        let mail = || self.lines.iter().filter(|it| it.is_mail);
        let is_own = |it: &&Line| is_same_address(&it.recipient, address);
        let heard = if mail().any(|it| is_own(&it)) {
            self.fold(mail().filter(is_own))
        } else {
            self.fold(mail().filter(|it| !it.is_current))
        };
        match heard {
            Some(_) if self.is_digest_last => Heard::All,
            Some(Heard::Nothing { .. }) if self.has_digest => Heard::Part,
            Some(heard) => heard,
            None if self.is_digest_lost || self.is_posted_alone() => {
                Heard::Nothing { again: false }
            }
            None => Heard::All,
        }
    }

    /// Returns what a webhook heard.
    pub(in crate::pipeline) fn of_url(&self, url: &str) -> Heard {
        let own = self.lines.iter().filter(|it| !it.is_mail);
        let heard = self.fold(own.filter(|it| it.recipient == url));
        heard.unwrap_or(Heard::All)
    }

    /// Returns whether the end was the last that a webhook heard.
    pub(in crate::pipeline) fn has_end(&self, url: &str) -> bool {
        let own = self.lines.iter().filter(|it| !it.is_mail);
        let mut own = own.filter(|it| it.recipient == url && it.fortune != Fortune::Lost);
        own.next_back().is_some_and(|it| it.is_closure)
    }

    /// Returns whether webhooks heard of the case, and no address could: no mail was configured then.
    fn is_posted_alone(&self) -> bool {
        !self.has_digest && !self.lines.is_empty() && self.lines.iter().all(|it| !it.is_mail)
    }

    /// Returns whether a mail of it was stopped because its address was not configured.
    fn is_stranded(&self) -> bool {
        self.lines.iter().any(|it| it.is_stranded)
    }

    /// Returns whether nobody heard of the case, though it was to be told.
    pub(in crate::pipeline) fn is_nobody(&self) -> bool {
        let mut each: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
        for line in &self.lines {
            each.entry(&line.recipient).or_default().push(line);
        }
        let each = each.into_values();
        let heard: Vec<Heard> = each.filter_map(|of| self.fold(of.into_iter())).collect();
        let is_nothing = |it: &Heard| matches!(it, Heard::Nothing { .. });
        let was_to_be_told = self.is_digest_lost || !heard.is_empty();
        !self.has_digest && was_to_be_told && heard.iter().all(is_nothing)
    }

    /// Returns what some messages, of one listener, told of the case; `None` if nothing since they told its end.
    fn fold<'a>(&self, lines: impl Iterator<Item = &'a Line>) -> Option<Heard> {
        let mut told: Vec<&Line> = Vec::new();
        let mut again = false;
        for line in lines {
            if !line.is_closure {
                told.push(line);
            } else if line.is_end && line.fortune != Fortune::Lost {
                again |= told.iter().any(|it| it.fortune != Fortune::Lost);
                told.clear();
            }
        }
        let last = told.last()?;
        let is_lost = told.iter().all(|it| it.fortune == Fortune::Lost);
        Some(if is_lost && told.iter().any(|it| it.is_first) {
            Heard::Nothing { again }
        } else if last.fortune == Fortune::Leaves {
            Heard::All
        } else {
            Heard::Part
        })
    }
}

/// The messages of cases, as long as they do not change.
pub(in crate::pipeline) type Heads = RefCell<HashMap<i64, Rc<[MessageRow]>>>;

/// What the log of a case says of mails about other cases.
#[derive(Default)]
struct InMails {
    /// The case and the revision of each that told of it.
    told_in: BTreeSet<(i64, u32)>,
    /// The same of each that told its end.
    ended_in: BTreeSet<(i64, u32)>,
    /// The messages in which it is left out.
    left_out: BTreeSet<i64>,
}

impl Notify<'_> {
    /// Returns who heard what of a case.
    pub(in crate::pipeline) fn hearing(
        &self,
        row: &CaseRow,
        when: When,
        heads: &Heads,
    ) -> Result<Hearing, PipelineError> {
        // Of one that was never told nobody heard.
        if row.case.revision == 0 {
            return Ok(Hearing::default());
        }
        let log = self.store.desk().case_events(row.id)?;
        let opened = log.iter().rposition(|line| {
            let event = &line.event;
            event.to == CaseState::Open && event.from != Some(event.to)
        });
        let opened = opened.unwrap_or_default();
        let tellings = log.iter().enumerate();
        let tellings = tellings.filter_map(|(i, line)| Some((i, line, Telling::of(line)?)));
        let (mut digest, mut last) = (None, None);
        let mut digests_at = BTreeSet::new();
        let mut in_mails = InMails::default();
        let mut is_digest_lost = false;
        for (i, line, telling) in tellings {
            let before = last.replace(telling);
            match telling {
                Telling::Own(_) => {}
                Telling::EndInMailOf(lead, revision) => {
                    in_mails.ended_in.insert((lead, revision));
                    last = before;
                }
                Telling::NotIn(message) => {
                    in_mails.left_out.insert(message);
                    last = before;
                }
                Telling::Digest => {
                    digest = Some(i);
                    digests_at.insert(line.event.at);
                }
                Telling::NoDigest => {
                    digests_at.clear();
                    is_digest_lost = digest.take().is_some_and(|at| at >= opened);
                    last = before.filter(|it| *it != Telling::Digest);
                }
                Telling::InMailOf(lead, revision) => {
                    let of_lead = self.heads_of(lead, heads)?;
                    let revision = revision.or_else(|| mail_at(&of_lead, line.event.at));
                    (in_mails.told_in).extend(revision.map(|revision| (lead, revision)));
                }
            }
        }
        let mut lines = self.lines_of(row, row.id, when, heads, |_| true)?;
        let digests = self.digest_lines(row, when, (&digests_at, &in_mails.left_out))?;
        // Where the outbox has none of them any more, those who heard of it are not known.
        let has_digest = digests.is_empty() && digest.is_some_and(|at: usize| at >= opened);
        lines.extend(digests);
        lines.extend(self.lines_of_leads(row, when, heads, &in_mails)?);
        lines.sort_by_key(|line| line.id);
        let is_digest_lost = is_digest_lost && digest.is_none();
        Ok(Hearing {
            lines,
            has_digest,
            is_digest_lost,
            is_digest_last: has_digest && last == Some(Telling::Digest),
        })
    }

    /// Returns the mails about other cases that told of one, or of its end.
    fn lines_of_leads(
        &self,
        row: &CaseRow,
        when: When,
        heads: &Heads,
        in_mails: &InMails,
    ) -> Result<Vec<Line>, PipelineError> {
        let mut lines = Vec::new();
        let others = in_mails.told_in.iter().chain(&in_mails.ended_in);
        let leads: BTreeSet<i64> = others.map(|(lead, _)| *lead).collect();
        for lead in leads {
            let told = |it: &MessageRow| {
                it.message.kind != MailKind::Webhook
                    && (letter_of(it) == Some(Letter::Closure)
                        || in_mails.told_in.contains(&(lead, it.message.revision)))
            };
            let has_line = in_mails.ended_in.iter().any(|(of, _)| *of == lead);
            let mut of_lead = self.lines_of(row, lead, when, heads, told)?;
            // A mail that waits is written anew without who may not be named: see `write_anew`.
            let waits = of_lead.iter().any(|it| it.waits && !it.is_closure);
            let is_left_out = waits && {
                let exemptions = self.store.desk().exemptions_in_force(self.clock.now())?;
                self.is_withdrawn(row, &exemptions)?
            };
            for line in &mut of_lead {
                if line.is_closure {
                    // Before 0.2.0 the log did not say whose end a closure told.
                    line.is_end = match has_line {
                        true => in_mails.ended_in.contains(&(lead, line.revision)),
                        false => row.case.told.thread == Some(lead),
                    };
                } else if in_mails.left_out.contains(&line.id) {
                    line.fortune = Fortune::Lost;
                } else if line.waits && is_left_out {
                    line.fortune = match line.may_have_arrived {
                        true => Fortune::Unknown,
                        false => Fortune::Lost,
                    };
                }
            }
            lines.extend(of_lead);
        }
        Ok(lines)
    }

    /// Returns the digests of some times as what they are to a case that each of them tells for the first time.
    fn digest_lines(
        &self,
        row: &CaseRow,
        when: When,
        (times, left_out): (&BTreeSet<Timestamp>, &BTreeSet<i64>),
    ) -> Result<Vec<Line>, PipelineError> {
        let mut messages = Vec::new();
        for at in times {
            messages.extend(self.store.desk().digests_of(*at)?);
        }
        if let When::Before(id) = when {
            messages.retain(|it| it.id < id);
        }
        // One that waits is written anew without who may not be told of any more: see `write_digest_anew`.
        let is_taken_back = messages.iter().any(is_waiting) && {
            let exemptions = self.store.desk().exemptions_in_force(self.clock.now())?;
            !row.case.state.is_working() || self.is_withdrawn(row, &exemptions)?
        };
        let current = self.desk_addressees(&row.case);
        let line = |it: MessageRow| {
            let is_current = self.mail().is_none()
                || (current.iter()).any(|to| is_same_address(&to.address, &it.message.recipient));
            let fortune = match left_out.contains(&it.id) {
                true => Fortune::Lost,
                false => fortune_of(&it, is_taken_back || !is_current),
            };
            Line {
                id: it.id,
                revision: 0,
                is_closure: false,
                is_end: false,
                is_first: true,
                is_mail: true,
                is_current,
                waits: is_waiting(&it),
                may_have_arrived: it.may_have_arrived(),
                is_stranded: is_stranded(&it),
                fortune,
                recipient: it.message.recipient,
            }
        };
        Ok(messages.into_iter().map(line).collect())
    }

    /// Returns whether the log of a case says that the digest of a time told of it, and nothing after that says that one did
    /// not.
    pub(in crate::pipeline) fn is_told_in_digest(
        &self,
        id: i64,
        queued_at: Timestamp,
    ) -> Result<bool, PipelineError> {
        let log = self.store.desk().case_events(id)?;
        let mut is_told = false;
        for line in &log {
            is_told = match Telling::of(line) {
                Some(Telling::Digest) => is_told || line.event.at == queued_at,
                Some(Telling::NoDigest | Telling::NotIn(_)) => false,
                _ => is_told,
            };
        }
        Ok(is_told)
    }

    /// Returns whether no mail of another case may name a case now: it is dismissed, or exempt.
    pub(in crate::pipeline) fn is_withdrawn(
        &self,
        row: &CaseRow,
        exemptions: &[Exemption],
    ) -> Result<bool, PipelineError> {
        let now = self.clock.now();
        Ok(row.case.state == CaseState::Dismissed
            || (self.exemption_among(exemptions, &row.case, None, now)?).is_some())
    }

    /// Returns whether the log of a case says that it was told in a mail of another one, of a number, or its end was.
    pub(in crate::pipeline) fn is_told_in(
        &self,
        row: &CaseRow,
        lead: i64,
        revision: u32,
    ) -> Result<bool, PipelineError> {
        let log = self.store.desk().case_events(row.id)?;
        let told = [
            Telling::InMailOf(lead, Some(revision)),
            Telling::EndInMailOf(lead, revision),
        ];
        let mut tellings = log.iter().filter_map(Telling::of);
        Ok(tellings.any(|it| told.contains(&it)))
    }

    /// Returns whether the log of a case says that a message does not tell of it.
    pub(in crate::pipeline) fn is_left_out_of(
        &self,
        row: &CaseRow,
        message: i64,
    ) -> Result<bool, PipelineError> {
        let log = self.store.desk().case_events(row.id)?;
        let mut tellings = log.iter().filter_map(Telling::of);
        Ok(tellings.any(|it| it == Telling::NotIn(message)))
    }

    /// Notes of a case that nobody heard of though it was to be told that nobody did, so that its end is not told.
    pub(in crate::pipeline) fn forget_unheard(&self, row: &CaseRow) -> Result<bool, PipelineError> {
        let is_unheard =
            row.case.reported && (self.hearing(row, When::Now, &Heads::default())?).is_nobody();
        if is_unheard {
            self.forget_of(row, &Heads::default())?;
        }
        Ok(is_unheard)
    }

    /// Returns the messages of a case, kept or read.
    fn heads_of(&self, case: i64, heads: &Heads) -> Result<Rc<[MessageRow]>, PipelineError> {
        if let Some(known) = heads.borrow().get(&case) {
            return Ok(Rc::clone(known));
        }
        let read: Rc<[MessageRow]> = self.store.desk().message_heads(case)?.into();
        heads.borrow_mut().insert(case, Rc::clone(&read));
        Ok(read)
    }

    /// Returns those messages of a case that tell of `row`, which is that case or was told in its mails.
    fn lines_of(
        &self,
        row: &CaseRow,
        case: i64,
        when: When,
        heads: &Heads,
        is_chosen: impl Fn(&MessageRow) -> bool,
    ) -> Result<Vec<Line>, PipelineError> {
        let current = self.desk_addressees(&row.case);
        let is_own = case == row.id;
        let mut lines = Vec::new();
        for it in self
            .heads_of(case, heads)?
            .iter()
            .filter(|it| is_chosen(it))
        {
            let is_mail = it.message.kind != MailKind::Webhook;
            let letter = letter_of(it);
            let is_before = match when {
                When::Before(id) => it.id < id,
                _ => true,
            };
            if !is_before || !matches!(letter, Some(Letter::Report | Letter::Closure)) {
                continue;
            }
            let is_closure = letter == Some(Letter::Closure);
            let recipient = it.message.recipient.clone();
            let is_current = !is_mail
                || self.mail().is_none()
                || (current.iter()).any(|to| is_same_address(&to.address, &recipient));
            let is_taken_back = is_own && when == When::Dismissed && !is_closure;
            lines.push(Line {
                id: it.id,
                revision: it.message.revision,
                is_closure,
                is_end: is_closure,
                waits: is_waiting(it),
                may_have_arrived: it.may_have_arrived(),
                is_stranded: is_stranded(it),
                is_first: is_first(it) || !is_own,
                is_mail,
                is_current,
                fortune: fortune_of(it, is_taken_back || !is_current),
                recipient,
            });
        }
        Ok(lines)
    }

    /// Returns who of those that are told of a case now did not hear all of it: addresses and URLs. Nobody, unless that is
    /// noted of the case.
    pub(in crate::pipeline) fn behind(
        &self,
        row: &CaseRow,
        heads: &Heads,
    ) -> Result<BTreeSet<String>, PipelineError> {
        if !is_to_be_looked_at(row) && !self.lacks_mail(row, heads)? {
            return Ok(BTreeSet::new());
        }
        let hearing = self.hearing(row, When::Now, heads)?;
        let to = self.desk_addressees(&row.case).into_iter();
        let to = to.map(|it| it.address);
        let mail = to.filter(|to| hearing.of_address(to) != Heard::All);
        let urls = self.config.webhooks.iter().map(|it| it.url.clone());
        let posts = urls.filter(|url| hearing.of_url(url) != Heard::All);
        Ok(mail.chain(posts).collect())
    }

    /// Returns whether a case was told while no mail was configured, and mail is by now.
    fn lacks_mail(&self, row: &CaseRow, heads: &Heads) -> Result<bool, PipelineError> {
        let is_asked = row.case.reported && self.mail().is_some();
        if !is_asked || self.config.webhooks.is_empty() {
            return Ok(false);
        }
        let messages = self.heads_of(row.case.told.thread.unwrap_or(row.id), heads)?;
        let is_post = |it: &MessageRow| it.message.kind == MailKind::Webhook;
        Ok(!messages.is_empty() && messages.iter().all(is_post))
    }

    /// Returns when somebody was last told of a case: of one of which not everybody heard all, and nobody is behind, when the
    /// newest mail was queued that is not lost.
    pub(in crate::pipeline) fn last_told_at(
        &self,
        row: &CaseRow,
        heads: &Heads,
    ) -> Result<Option<Timestamp>, PipelineError> {
        if !is_to_be_looked_at(row) {
            return Ok(row.case.told.at);
        }
        let thread = row.case.told.thread.unwrap_or(row.id);
        let messages = self.heads_of(thread, heads)?;
        let is_told = |it: &&MessageRow| is_report(it) && fortune_of(it, false) == Fortune::Leaves;
        Ok(messages.iter().filter(is_told).map(|it| it.queued_at).max())
    }

    /// Returns whether a case that the desk took up was to be told since it was opened, and nobody heard of it.
    pub(in crate::pipeline) fn is_owed(&self, row: &CaseRow) -> Result<bool, PipelineError> {
        let case = &row.case;
        if case.state != CaseState::Acknowledged || case.reported || case.revision == 0 {
            return Ok(false);
        }
        let log = self.store.desk().case_events(row.id)?;
        let last = log.iter().rev().find_map(|line| {
            let event = &line.event;
            let is_opening = event.to == CaseState::Open && event.from != Some(event.to);
            match Telling::of(line) {
                Some(Telling::Own(_) | Telling::InMailOf(..) | Telling::Digest) => Some(true),
                _ => is_opening.then_some(false),
            }
        });
        Ok(last == Some(true) && self.hearing(row, When::Now, &Heads::default())?.is_nobody())
    }

    /// Returns the reason for the first mail about a case since it was opened, or opened again.
    pub(in crate::pipeline) fn first_reason(
        &self,
        row: &CaseRow,
    ) -> Result<SendReason, PipelineError> {
        let was_over = row.case.revision > 0 && self.store.desk().was_over(row.id)?;
        Ok(SendReason::first(&row.case, was_over))
    }

    /// Notes of a case of which messages do not leave, and of the cases that were told in them, who is to be told anew: all,
    /// or those who did not hear what was told last. Part of the transaction that drops them.
    pub(in crate::pipeline) fn forget_told(
        &self,
        id: i64,
        dropped: &[MessageRow],
    ) -> Result<(), PipelineError> {
        let desk = self.store.desk();
        let heads = Heads::default();
        let Some(row) = desk.case_by_id(id)? else {
            return Ok(());
        };
        let mut cases = Vec::new();
        // A post tells of one case alone.
        if dropped
            .iter()
            .any(|it| is_report(it) && it.message.kind != MailKind::Webhook)
        {
            cases = desk.cases_of_thread(id)?;
            // Those that were told in its mails may be told in another's by now.
            if let Some(campaign) = row.campaign {
                cases.extend(desk.cases_of_campaign(campaign)?);
            }
        }
        cases.push(row);
        let mut seen = BTreeSet::new();
        for row in cases {
            if row.case.reported && seen.insert(row.id) {
                self.forget_of(&row, &heads)?;
            }
        }
        Ok(())
    }

    /// Notes of a case who is to be told anew.
    pub(in crate::pipeline) fn forget_of(
        &self,
        row: &CaseRow,
        heads: &Heads,
    ) -> Result<(), PipelineError> {
        let mut case = row.case.clone();
        case.told.at = None;
        let hearing = self.hearing(row, When::Now, heads)?;
        if hearing.is_nobody() {
            case.reported = false;
            case.told = Told::default();
        } else {
            let asked = CaseRow {
                case: case.clone(),
                ..row.clone()
            };
            // Whose address is taken out and put back hears what he did not.
            if self.behind(&asked, heads)?.is_empty() && !hearing.is_stranded() {
                return Ok(());
            }
        }
        self.store.desk().save_case(&case)?;
        Ok(())
    }
}

/// Returns whether somebody may not have heard what a case was told last: then it does not say when that was.
pub(in crate::pipeline) fn is_to_be_looked_at(row: &CaseRow) -> bool {
    row.case.reported && row.case.told.at.is_none()
}

/// Returns whether a message is not sent yet, and in nobody's hands.
fn is_waiting(row: &MessageRow) -> bool {
    matches!(row.state, MessageState::Queued | MessageState::Dead)
}

/// Returns what becomes of a message, or what would be if it were taken back as long as it waits.
fn fortune_of(row: &MessageRow, is_taken_back: bool) -> Fortune {
    let is_lost = match row.state {
        MessageState::Dead if is_stranded(row) => true,
        MessageState::Queued | MessageState::Dead => is_taken_back,
        MessageState::Dropped => row.sent_at.is_none(),
        MessageState::Sending | MessageState::Sent => false,
    };
    match is_lost {
        true if row.may_have_arrived() => Fortune::Unknown,
        true => Fortune::Lost,
        false => Fortune::Leaves,
    }
}

/// Returns what is noted of a message whose address the configuration does not name.
pub(in crate::pipeline) fn stranded_note() -> String {
    format!("not sent: {}", StopReason::NoAddressee)
}

/// Returns whether a message was stopped because the configuration did not name its address.
fn is_stranded(row: &MessageRow) -> bool {
    let note = row.last_reply.as_deref().unwrap_or_default();
    row.state == MessageState::Dead && note.contains(&stranded_note())
}

/// Returns the number of the mail of a case by which another was told at a time: of the newest that was queued by then. One
/// that an older program tried anew counts as queued later: so the oldest, if there is none.
fn mail_at(messages: &[MessageRow], at: Timestamp) -> Option<u32> {
    let reports = || {
        let mail = messages.iter();
        mail.filter(|it| matches!(it.message.kind, MailKind::Report | MailKind::Update))
    };
    let newest = reports().rfind(|it| it.queued_at <= at);
    newest
        .or_else(|| reports().next())
        .map(|it| it.message.revision)
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
                "not told in the digest: the case is exempt by number 3",
                Some(Telling::NoDigest),
            ),
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
            (
                ended_in_mail(7, 3).as_str(),
                Some(Telling::EndInMailOf(7, 3)),
            ),
            (
                left_out_of(12, "desk@registrar.example").as_str(),
                Some(Telling::NotIn(12)),
            ),
            ("no mail: told in the mails of case 7", None),
            ("report if it goes on for 1h or longer", None),
        ] {
            assert_eq!(Telling::of(&line(ACTOR, note)), telling, "{note}");
            assert_eq!(Telling::of(&line("ada", note)), None, "{note}");
        }
    }
}
