//! What goes to the administrator and the desk beside cases: the digest, mass changes, zones that cannot be seen. And the
//! log of events.

use crate::pipeline::notify::Notify;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::case::{CaseState, JUDGED_ANEW};
use crate::config::{Config, MailConfig, Schedule};
use crate::detector::Level;
use crate::file;
use crate::mailer::{Draft, Layout, compose, envelope_address};
use crate::pipeline::error::PipelineError;
use crate::report::{
    BlindLine, BlindnessReport, BulkLine, BulkReport, CaseLine, DigestReport, ExemptionLine,
    MailLine, MoreLines, case_reference,
};
use crate::store::{
    Blindness, BulkKind, BulkMove, CaseRow, MailKind, MessageRow, NewMessage, ZoneStatus, is_ended,
};
use crate::templates::{RenderedMail, Words};
use crate::time::{Span, Timestamp};

/// Where it is kept when the last digest was made.
const DIGEST_AT: &str = "digest_at";
/// Where the last line of the cases' logs is kept that a digest told.
pub(in crate::pipeline) const DIGEST_EVENT: &str = "digest_event_id";
/// Where the last line of the cases' logs is kept that the log of events has.
const EVENTS_TOLD: &str = "events_told_id";
/// The most mass moves of one mail; the others come in the next.
pub(in crate::pipeline) const MOVES_MAX: usize = 50;
/// The most lines of a list in a mail.
const LINES_MAX: usize = 500;
/// The most lines of the cases' logs that are read at a time.
const EVENTS_AT_ONCE: usize = 1000;
/// How long a zone may at least be unseen.
// A primary that is restarted is no news.
const BLIND_MIN: Span = Span::hours(1);
/// How long before its end an exemption is reminded of.
const ENDING_WITHIN: Span = Span::days(7);

/// What time a digest is of.
#[derive(Debug, Clone, Copy)]
pub(in crate::pipeline) struct DigestSpan {
    /// Since when it tells.
    pub(in crate::pipeline) from: Timestamp,
    /// After which line of the cases' logs, and to which.
    pub(in crate::pipeline) events: (i64, i64),
    /// When it is written.
    pub(in crate::pipeline) now: Timestamp,
}

/// What the cases' logs say since the last digest.
struct CasesSince {
    opened: Vec<CaseLine>,
    lowered: Vec<CaseLine>,
    ended: Vec<CaseLine>,
    /// How many more there are of each.
    more: MoreLines,
    /// The last line of the logs that was read.
    last_event: i64,
}

/// A line of the log of events.
#[derive(Serialize)]
struct EventJson<'a> {
    id: i64,
    uid: &'a str,
    at: Timestamp,
    written_at: Option<Timestamp>,
    case: i64,
    domain: String,
    zone: String,
    verdict: &'static str,
    level: &'static str,
    score: f64,
    actor: &'a str,
    from: Option<&'static str>,
    to: &'static str,
    note: &'a str,
}

/// Returns whether a digest is due at `now`, the last one having been made at `last`.
pub fn is_digest_due(config: &Config, last: Timestamp, now: Timestamp) -> bool {
    let line = config.mail.as_ref().and_then(|mail| mail.digest.as_ref());
    let next = line.and_then(|line| line.next_after(last, config.zone));
    next.is_some_and(|next| next <= now)
}

impl Notify<'_> {
    /// Does what follows a pass, of `poll` and of `run`: writes the log of events, and queues the mails about blind
    /// zones and mass changes, and the digest if it is due.
    pub fn after_pass(&self) -> Result<(), PipelineError> {
        self.tell_ends_again()?;
        self.queue_alerts()?;
        if is_digest_due(self.config, self.last_digest_at()?, self.clock.now()) {
            self.queue_digest()?;
        }
        Ok(())
    }

    /// Queues the alerts about what cannot be seen and what moved in masses, and writes the log of events.
    pub fn queue_alerts(&self) -> Result<(), PipelineError> {
        // Before the question of mail: the log of events is written whether or not anybody gets mail.
        self.write_events()?;
        let Some(mail) = self.mail() else {
            return Ok(());
        };
        self.alert_blindness(mail)?;
        self.alert_mass_changes(mail)
    }

    /// Returns when the last digest was made; now, if there was none: the first comes at its next time.
    pub fn last_digest_at(&self) -> Result<Timestamp, PipelineError> {
        if let Some(at) = self.store.desk().saved_number(DIGEST_AT)? {
            return Ok(Timestamp::from_unix(at));
        }
        let now = self.clock.now();
        self.store.desk().save_number(DIGEST_AT, now.unix())?;
        Ok(now)
    }

    /// Queues the digest of what happened since the last, to each of the desk.
    pub fn queue_digest(&self) -> Result<(), PipelineError> {
        if self.parts.is_waiting() {
            // What it would say of cases cannot be computed; it is made when it can.
            return Ok(());
        }
        let tx = self.store.begin_batch()?;
        self.write_digest()?;
        Ok(tx.commit()?)
    }

    /// Has the next digest tell nothing of what is in the cases' logs so far, where none comes by itself.
    pub(in crate::pipeline) fn begin_digest_here(&self) -> Result<(), PipelineError> {
        match self.mail() {
            Some(mail) if mail.digest.is_none() => {
                let last = self.store.desk().last_case_event()?;
                Ok(self.store.desk().save_number(DIGEST_EVENT, last)?)
            }
            _ => Ok(()),
        }
    }

    /// [`Notify::queue_digest`] as a part of a transaction.
    pub(in crate::pipeline) fn write_digest(&self) -> Result<(), PipelineError> {
        let Some(mail) = self.mail() else {
            return Ok(());
        };
        let from = self.last_digest_at()?;
        let now = self.clock.now();
        let after = self.store.desk().saved_number(DIGEST_EVENT)?.unwrap_or(0);
        self.note_digest((from, after), now)?;
        let mut overflow = self.cases_of_digest()?;
        // What does not fit is told in the next.
        let more_cases = overflow.len().saturating_sub(LINES_MAX);
        overflow.truncate(LINES_MAX);
        let moves = self.store.desk().untold_bulk_moves(0, MOVES_MAX)?;
        let told = overflow.iter().map(|row| row.id).collect();
        let span = DigestSpan {
            from,
            events: (after, i64::MAX),
            now,
        };
        let (mut report, last_event) = self.digest(mail, (&overflow, &moves), &told, &span)?;
        report.more.overflow = more_cases;
        let words = Words::Digest(&report);
        self.queue_for(mail, &mail.desk, MailKind::Digest, words, now)?;
        for row in overflow {
            self.record_reported_in_digest(&row, now)?;
        }
        for it in &moves {
            self.store.desk().record_bulk_alert(it.id, now)?;
        }
        self.store.desk().save_number(DIGEST_AT, now.unix())?;
        self.store.desk().save_number(DIGEST_EVENT, last_event)?;
        tracing::info!("digest queued");
        Ok(())
    }

    /// Returns the cases whose first report the digest is. One that ended meanwhile, fell below level report or is exempt
    /// is not among them, and not told by a later digest either.
    fn cases_of_digest(&self) -> Result<Vec<CaseRow>, PipelineError> {
        let mut rows = Vec::new();
        for row in self.store.desk().cases_for_digest()? {
            match self.stop_of_digest(&row.case)? {
                Some(reason) => self.leave_out_of_digest(row.id, reason)?,
                None => rows.push(row),
            }
        }
        Ok(rows)
    }

    /// Gathers what a digest says beside the cases whose first report it is and the mass moves, and the last line of the
    /// cases' logs that it tells. The openings of `left_out` are not told.
    pub(in crate::pipeline) fn digest(
        &self,
        mail: &MailConfig,
        (overflow, moves): (&[CaseRow], &[BulkMove]),
        left_out: &BTreeSet<i64>,
        span: &DigestSpan,
    ) -> Result<(DigestReport, i64), PipelineError> {
        let DigestSpan { from, events, now } = *span;
        let CasesSince {
            opened,
            lowered,
            ended,
            mut more,
            last_event,
        } = self.cases_between(events, left_out)?;
        let bulk_count = self.store.desk().untold_bulk_count()? as usize;
        more.bulk = bulk_count.saturating_sub(moves.len());
        let blind = self.store.desk().blindness_since(from)?;
        more.blind = blind.len().saturating_sub(LINES_MAX);
        let (dead, bounced) = (self.dead_lines()?, self.bounced_lines(from)?);
        more.dead = dead.len().saturating_sub(LINES_MAX);
        more.bounced = bounced.len().saturating_sub(LINES_MAX);
        let working = self
            .store
            .desk()
            .cases(&[CaseState::Open, CaseState::Acknowledged])?;
        let count = |state: CaseState| working.iter().filter(|it| it.case.state == state).count();
        let statuses = self.store.zones().status()?;
        let web = self.config.web.as_ref();
        let mut report = DigestReport {
            console: web.and_then(|web| web.public_url.clone()),
            day: now.to_date(),
            from: from.to_minute(),
            to: now.to_minute(),
            is_quiet: false,
            overflow: overflow.iter().map(|row| case_line(row, "")).collect(),
            more,
            opened,
            lowered,
            ended,
            open_count: count(CaseState::Open),
            acknowledged_count: count(CaseState::Acknowledged),
            drafted_count: self.store.desk().drafted_notice_count()?,
            bulk: moves.iter().map(bulk_line).collect(),
            blind: blind.iter().take(LINES_MAX).map(blind_line).collect(),
            dead: dead.into_iter().take(LINES_MAX).collect(),
            bounced: bounced.into_iter().take(LINES_MAX).collect(),
            ending: self.ending_exemptions(from, now)?,
            zone_count: statuses.iter().filter(|it| it.zone.is_some()).count(),
            record_count: statuses.iter().map(|it| it.records).sum(),
            reporter: mail.reporter.clone(),
            program_version: env!("CARGO_PKG_VERSION"),
        };
        report.is_quiet = report.overflow.is_empty()
            && report.opened.is_empty()
            && report.lowered.is_empty()
            && report.ended.is_empty()
            && report.bulk.is_empty()
            && report.blind.is_empty()
            && report.dead.is_empty()
            && report.bounced.is_empty()
            && report.ending.is_empty();
        Ok((report, last_event))
    }

    /// Sorts what the cases' logs say after one line and to another, and returns it with the last line that was read. The
    /// openings of cases that are told in another list are left out, and all of exempt ones.
    fn cases_between(
        &self,
        (mut last_event, until): (i64, i64),
        left_out: &BTreeSet<i64>,
    ) -> Result<CasesSince, PipelineError> {
        let now = self.clock.now();
        let exemptions = self.store.desk().exemptions_in_force(now)?;
        let mut exempt: HashMap<i64, bool> = HashMap::new();
        let [mut opened, mut lowered, mut ended]: [Vec<CaseLine>; 3] = Default::default();
        let mut more = MoreLines::default();
        loop {
            let events = self
                .store
                .desk()
                .case_events_after(last_event, EVENTS_AT_ONCE)?;
            let events: Vec<_> = events.into_iter().filter(|it| it.0 <= until).collect();
            let Some((last, ..)) = events.last() else {
                break;
            };
            last_event = *last;
            for (_, case_id, line) in events {
                let event = &line.event;
                let is_lowered = event.note.starts_with(JUDGED_ANEW);
                // A line that moves the case nowhere, such as a note of the desk.
                if event.from == Some(event.to) && !is_lowered {
                    continue;
                }
                let Some(row) = self.store.desk().case_by_id(case_id)? else {
                    continue;
                };
                let is_worth_it = row.case.peak_level >= Level::Review || is_lowered;
                // The log is read to its end all the same, so that the next digest begins there.
                let is_full = opened.len() + lowered.len() + ended.len() >= LINES_MAX;
                let (list, more) = match event.to {
                    _ if !is_worth_it => continue,
                    _ if is_lowered => (&mut lowered, &mut more.lowered),
                    CaseState::Open if left_out.contains(&case_id) => continue,
                    CaseState::Open => (&mut opened, &mut more.opened),
                    CaseState::Acknowledged => continue,
                    // It is open again, and stands among those that were opened.
                    _ if row.case.state.is_working() => continue,
                    _ => (&mut ended, &mut more.ended),
                };
                let is_exempt = match exempt.get(&case_id) {
                    Some(known) => *known,
                    None => (self.exemption_among(&exemptions, &row.case, None, now)?).is_some(),
                };
                exempt.insert(case_id, is_exempt);
                if is_exempt {
                    continue;
                }
                let told = case_line(&row, &event.note);
                let mut known = list.iter_mut();
                // What happened to it twice stands there once, as it was the last time.
                match known.find(|it| it.reference == told.reference) {
                    Some(known) => *known = told,
                    None if is_full => *more += 1,
                    None => list.push(told),
                }
            }
        }
        Ok(CasesSince {
            opened,
            lowered,
            ended,
            more,
            last_event,
        })
    }

    /// Returns the messages that no server takes.
    fn dead_lines(&self) -> Result<Vec<MailLine>, PipelineError> {
        let rows = self.store.desk().dead_messages()?.into_iter();
        Ok(rows.map(mail_line).collect())
    }

    /// Returns the mail that came back, or did not arrive, since `from`.
    fn bounced_lines(&self, from: Timestamp) -> Result<Vec<MailLine>, PipelineError> {
        let bounced = self.store.desk().bounced_since(from)?.into_iter();
        let bounced = bounced.map(|(recipient, _, reply)| MailLine {
            id: 0,
            recipient,
            reply,
        });
        let undelivered = self.store.desk().undelivered_since(from)?.into_iter();
        Ok(bounced.chain(undelivered.map(mail_line)).collect())
    }

    /// Returns the exemptions that end within a week, or ended since `from`.
    fn ending_exemptions(
        &self,
        from: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<ExemptionLine>, PipelineError> {
        let rows = self.store.desk().exemptions()?.into_iter();
        let ending = rows.filter(|row| {
            row.removed.is_none()
                && row
                    .exemption
                    .until
                    .is_some_and(|until| until > from && until <= now + ENDING_WITHIN)
        });
        let line = |row: crate::store::ExemptionRow| ExemptionLine {
            id: row.exemption.id,
            kind: row.kind(),
            value: row.value(),
            reason: row.exemption.reason.clone(),
            until: row
                .exemption
                .until
                .map_or_else(String::new, Timestamp::to_minute),
        };
        Ok(ending.map(line).collect())
    }

    /// Finds the zones that cannot be seen, and tells of those that nobody was told of.
    fn alert_blindness(&self, mail: &MailConfig) -> Result<(), PipelineError> {
        let now = self.clock.now();
        let known = self.store.desk().blindness_since(now)?;
        let mut found = Vec::new();
        for status in self.store.zones().status()? {
            if let Some((reason, since)) = self.blindness_of(&status, mail, now)? {
                found.push((name_of(&status), reason, since));
            }
        }
        let blind: HashSet<&String> = found.iter().map(|(zone, ..)| zone).collect();
        let over: Vec<&Blindness> = known
            .iter()
            .filter(|it| !blind.contains(&it.zone))
            .collect();
        if found.is_empty() && over.is_empty() {
            return Ok(());
        }
        let tx = self.store.begin_batch()?;
        for (zone, reason, since) in &found {
            self.store.desk().record_blindness(zone, reason, *since)?;
        }
        for it in over {
            self.store.desk().end_blindness(it.id, now)?;
            if it.is_watched() {
                continue;
            }
            tracing::info!(zone = it.zone, "{} is seen again", it.zone);
        }
        let untold = self.store.desk().untold_blindness()?;
        if !untold.is_empty() {
            let report = BlindnessReport {
                zones: untold.iter().take(LINES_MAX).map(blind_line).collect(),
                zones_count: untold.len(),
                at: now.to_minute(),
                reporter: mail.reporter.clone(),
                program_version: env!("CARGO_PKG_VERSION"),
            };
            let words = Words::Blindness(&report);
            self.queue_for(mail, &mail.operator, MailKind::Blindness, words, now)?;
            for it in &untold {
                let (zone, why) = (&it.zone, &it.reason);
                match it.is_watched() {
                    true => tracing::error!(zone, "{zone} is to be looked at: {why}"),
                    false => tracing::error!(zone, "{zone} cannot be watched: {why}"),
                }
                self.store.desk().record_blindness_alert(it.id, now)?;
            }
        }
        Ok(tx.commit()?)
    }

    /// Returns why a zone cannot be seen, or be believed, and since when; `None` if it can.
    fn blindness_of(
        &self,
        status: &ZoneStatus,
        mail: &MailConfig,
        now: Timestamp,
    ) -> Result<Option<(String, Timestamp)>, PipelineError> {
        // Its administrator took it out.
        if is_ended(status.refused_reason.as_deref()) {
            return Ok(None);
        }
        let since = status
            .last_success_at
            .or(status.last_attempt_at)
            .unwrap_or(now);
        let error = status.last_error.as_deref().unwrap_or("no reason is known");
        if status.held {
            return Ok(Some((format!("held: {error}"), since)));
        }
        if let Some(reason @ ("tsig" | "shrank")) = status.refused_reason.as_deref() {
            return Ok(Some((format!("refused ({reason}): {error}"), since)));
        }
        // What was imported, belongs to a source that is no longer configured, or is a suspect that was
        // asked, is not waited for.
        let Some(source) = self
            .config
            .sources
            .iter()
            .find(|it| it.name == status.source && !it.asks_suspects())
        else {
            return Ok(None);
        };
        let interval = match &source.schedule {
            Schedule::Every(span) => *span,
            Schedule::Soa => {
                let timers = match &status.zone {
                    Some(zone) => self.store.zones().soa_timers(zone)?,
                    None => None,
                };
                timers.map_or(Span::hours(1), |it| it.0).min(Span::days(1))
            }
            Schedule::Cron(line, zone) => {
                let next = line.next_after(now, *zone);
                let second = next.and_then(|at| line.next_after(at, *zone));
                let gap = next.zip(second).map(|(next, second)| second.since(next));
                gap.unwrap_or(Span::hours(1))
            }
        };
        let count = i64::from(mail.blind_intervals);
        let patience = Span::seconds(interval.as_seconds().saturating_mul(count)).max(BLIND_MIN);
        // One that was never seen has no time to count from.
        let is_long = match status.last_success_at {
            Some(at) => now.since(at) > patience,
            None => status.failures >= u64::from(mail.blind_intervals),
        };
        let is_blind = status.last_error.is_some() && is_long;
        Ok(is_blind.then(|| {
            let reason = format!("not seen for {count} of its intervals of {interval}: {error}");
            (reason, since)
        }))
    }

    /// Tells of mass moves that are large enough for a mail.
    fn alert_mass_changes(&self, mail: &MailConfig) -> Result<(), PipelineError> {
        let large = self
            .store
            .desk()
            .untold_bulk_moves(mail.bulk_names_min, MOVES_MAX)?;
        if large.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let report = BulkReport {
            moves: large.iter().map(bulk_line).collect(),
            name_count: large.iter().map(|it| u64::from(it.name_count)).sum(),
            reporter: mail.reporter.clone(),
            program_version: env!("CARGO_PKG_VERSION"),
        };
        let tx = self.store.begin_batch()?;
        let words = Words::Bulk(&report);
        self.queue_for(mail, &mail.operator, MailKind::Bulk, words, now)?;
        for it in large {
            self.store.desk().record_bulk_alert(it.id, now)?;
        }
        Ok(tx.commit()?)
    }

    /// Queues a mail that is about no single case. What cannot be made is kept among the dead, and stops nothing.
    pub(in crate::pipeline) fn queue_for(
        &self,
        mail: &MailConfig,
        recipients: &[String],
        kind: MailKind,
        words: Words<'_>,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let words = self.parts.templates.render(&mail.language, words);
        let mut told = HashSet::new();
        for to in recipients {
            let recipient = envelope_address(to)?.0;
            // An address that stands in the list twice gets one mail.
            if !told.insert(recipient.to_lowercase()) {
                continue;
            }
            let token = self.store.draw_token()?;
            let composed = match &words {
                Ok(words) => self.compose_for(mail, to, kind, words, (&token, now)),
                Err(fault) => Err(PipelineError::Template(fault.clone())),
            };
            match composed {
                Ok(message) => self.store.desk().queue_message(&message, now)?,
                Err(fault) if fault.is_of_one_mail() => {
                    let dead = NewMessage {
                        case_id: None,
                        kind,
                        revision: 0,
                        recipient,
                        sender: String::new(),
                        message_id: token,
                        subject: kind.word().to_owned(),
                        octets: Vec::new(),
                    };
                    self.keep_dead(&dead, &fault, now)?;
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Puts a mail that is about no single case together for one address.
    fn compose_for(
        &self,
        mail: &MailConfig,
        to: &str,
        kind: MailKind,
        words: &RenderedMail,
        (token, now): (&str, Timestamp),
    ) -> Result<NewMessage, PipelineError> {
        let (_, domain) = envelope_address(&mail.from)?;
        let what = format!("{}.{}", kind.word(), now.unix());
        let message_id = self.message_id(&what, token, &domain);
        let draft = Draft {
            from: &mail.from,
            to,
            message_id: &message_id,
            thread: None,
            date: now,
            case_id: None,
            kind: kind.word(),
            is_bulk: kind == MailKind::Digest,
            subject: &words.subject,
            text: &words.text,
            html: &words.html,
            layout: Layout::Plain,
        };
        Ok(NewMessage {
            case_id: None,
            kind,
            revision: 0,
            recipient: envelope_address(to)?.0,
            sender: self.sender_of(&message_id)?,
            octets: compose(&draft, self.parts.signer.as_ref())?,
            message_id,
            subject: words.subject.clone(),
        })
    }

    /// Appends what happened to cases to the log of events: at least once each, in order; a line's `uid`
    /// tells one that comes twice after a crash. Its `id` does not tell it from what a restored database
    /// numbers anew.
    fn write_events(&self) -> Result<(), PipelineError> {
        let Some(path) = &self.config.events_path else {
            return Ok(());
        };
        match self.append_events(path) {
            // A log that cannot be written stops nobody from watching; its lines are written later.
            Err(PipelineError::Local(fault)) => {
                tracing::error!(path = %path.display(), "events were not written to {}: {fault}", path.display());
                Ok(())
            }
            other => other,
        }
    }

    /// Appends what the log of events does not have yet.
    fn append_events(&self, path: &Path) -> Result<(), PipelineError> {
        let mut last = self.store.desk().saved_number(EVENTS_TOLD)?.unwrap_or(0);
        loop {
            let events = self.store.desk().case_events_after(last, EVENTS_AT_ONCE)?;
            let Some((newest, ..)) = events.last() else {
                return Ok(());
            };
            let newest = *newest;
            let mut text = Vec::new();
            for (id, case_id, line) in &events {
                let Some(row) = self.store.desk().case_by_id(*case_id)? else {
                    continue;
                };
                let json = EventJson {
                    id: *id,
                    uid: &line.uid,
                    at: line.event.at,
                    written_at: line.written_at,
                    case: *case_id,
                    domain: row.case.domain.to_string(),
                    zone: row.case.zone.to_string(),
                    verdict: row.case.verdict.word(),
                    level: row.case.level.word(),
                    score: (row.case.score * 10.0).round() / 10.0,
                    actor: &line.actor,
                    from: line.event.from.map(CaseState::word),
                    to: line.event.to.word(),
                    note: &line.event.note,
                };
                serde_json::to_writer(&mut text, &json)
                    .map_err(|fault| PipelineError::Local(fault.into()))?;
                text.push(b'\n');
            }
            let file = file::append_or_make(path, 0o640);
            let mut file = file.map_err(PipelineError::Local)?;
            let length = file.metadata().map_err(PipelineError::Local)?.len();
            let written = file.write_all(&text).and_then(|()| file.sync_data());
            if let Err(fault) = written {
                // Half a line would be half of the next one too.
                let _ = file.set_len(length);
                return Err(PipelineError::Local(fault));
            }
            self.store.desk().save_number(EVENTS_TOLD, newest)?;
            last = newest;
        }
    }
}

/// Returns a message as a line.
fn mail_line(row: MessageRow) -> MailLine {
    MailLine {
        id: row.id,
        recipient: row.shown_recipient(),
        reply: row.last_reply.unwrap_or_default(),
    }
}

/// Returns a case as a line.
fn case_line(row: &CaseRow, note: &str) -> CaseLine {
    CaseLine {
        reference: case_reference(row.id),
        domain: row.case.domain.to_text_without_dot(),
        verdict: row.case.verdict.word(),
        level: row.case.level.word(),
        state: row.case.state.word(),
        score: format!("{:.1}", row.case.score),
        note: note.to_owned(),
    }
}

/// Returns a mass move as a line.
fn bulk_line(moved: &BulkMove) -> BulkLine {
    let list = |text: &str| -> Vec<String> {
        let names = text.split(',').filter(|it| !it.is_empty());
        names
            .map(|it| it.trim_end_matches('.').to_owned())
            .collect()
    };
    BulkLine {
        zone: moved.zone.to_text_without_dot(),
        at: moved.at.to_minute(),
        what: match moved.kind {
            BulkKind::Nameservers => "the same move of the name servers",
            BulkKind::Glue => "other addresses of the name server",
            BulkKind::Version => "a mass change",
        },
        name_count: moved.name_count,
        before: list(&moved.before),
        after: list(&moved.after),
        names: list(&moved.names),
    }
}

/// Returns a zone that cannot be seen as a line.
fn blind_line(it: &Blindness) -> BlindLine {
    BlindLine {
        zone: it.zone.trim_end_matches('.').to_owned(),
        reason: it.reason.clone(),
        is_watched: it.is_watched(),
        since: it.since.to_minute(),
        over: it.over_at.map(Timestamp::to_minute),
    }
}

/// Returns the name that a zone, or a source without one, goes by.
fn name_of(status: &ZoneStatus) -> String {
    status
        .zone
        .as_ref()
        .map_or_else(|| status.source.clone(), ToString::to_string)
}
