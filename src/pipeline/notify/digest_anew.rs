//! A digest that waits, and was overtaken by the end or the exemption of a case, is written anew as things are now.
//!
//! Digests follow each other without a hole, so that all that wait are dropped together: what is written in their place
//! begins where the oldest of them began, and tells what they told that may still be told. It goes to those alone who have
//! none of the digests that it stands for.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::StopReason;
use crate::config::MailConfig;
use crate::mailer::is_same_address;
use crate::pipeline::error::PipelineError;
use crate::pipeline::notify::Notify;
use crate::pipeline::notify::alerts::{DIGEST_EVENT, DigestSpan};
use crate::pipeline::notify::told::{TOLD_IN_DIGEST, left_out_of, not_in_digest};
use crate::store::{CaseRow, MailKind, MessageRow, MessageState};
use crate::templates::Words;
use crate::time::{Span, Timestamp};

/// Begins the name under which it is kept from when on a digest tells: behind it the time at which that was queued...
const FROM: &str = "digest_from.";
/// ...and that after which line of the cases' logs.
const AFTER: &str = "digest_after.";
/// For how long that is kept: longer than anything is tried.
const KEPT: Span = Span::days(100);
/// The span of a digest that an older program wrote, if it is the first.
const A_DAY: Span = Span::days(1);

/// Where a digest begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begin {
    /// The time from which on it tells.
    from: Timestamp,
    /// The line of the cases' logs after which it tells.
    after: i64,
}

/// The digests that do not leave.
struct Gone {
    rows: Vec<MessageRow>,
    /// The cases that they were the first report of, and whether each may still be told.
    told: BTreeMap<i64, (CaseRow, Option<StopReason>)>,
}

impl Gone {
    /// Returns whether a message is one of them.
    fn has(&self, message: i64) -> bool {
        self.rows.iter().any(|it| it.id == message)
    }
}

impl Notify<'_> {
    /// Notes where a digest begins that is written now. Of two in one second that of the earlier counts.
    pub(in crate::pipeline) fn note_digest(
        &self,
        (from, after): (Timestamp, i64),
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let desk = self.store.desk();
        let (from_key, after_key) = keys_of(now);
        let known = desk.saved_number(&after_key)?;
        if known.is_none_or(|known| after < known) {
            desk.save_number(&from_key, from.unix())?;
            desk.save_number(&after_key, after)?;
        }
        for of in [FROM, AFTER] {
            let old = format!("{of}{}", (now - KEPT).unix());
            desk.forget_numbers_between(of, &old)?;
        }
        Ok(())
    }

    /// Returns where the digest begins that was queued at a time.
    fn begin_of(&self, queued_at: Timestamp) -> Result<Begin, PipelineError> {
        let desk = self.store.desk();
        let (from_key, after_key) = keys_of(queued_at);
        let kept = desk
            .saved_number(&from_key)?
            .zip(desk.saved_number(&after_key)?);
        if let Some((from, after)) = kept {
            let from = Timestamp::from_unix(from);
            return Ok(Begin { from, after });
        }
        let before = desk.digest_before(queued_at)?;
        let from = before.unwrap_or(queued_at - A_DAY);
        let after = desk.last_case_event_before(from)?;
        Ok(Begin { from, after })
    }

    /// Returns whether a digest may say of somebody what is not so any more: a case ended, or somebody was exempted, after
    /// it was queued.
    pub(in crate::pipeline) fn is_outdated(&self, row: &MessageRow) -> Result<bool, PipelineError> {
        if row.message.kind != MailKind::Digest {
            return Ok(false);
        }
        let desk = self.store.desk();
        let (now, queued_at) = (self.clock.now(), row.queued_at);
        let begin = self.begin_of(queued_at)?;
        let mut exemptions = desk.exemptions()?.into_iter();
        // By a clock that was ahead somebody is exempted after what is written now, and would be for ever.
        let is_between = |at: Timestamp| at > queued_at && at <= now;
        if exemptions.any(|it| it.is_in_force(now) && is_between(it.created_at))
            || desk.has_end_between(begin.after, [queued_at, now])?
        {
            return Ok(true);
        }
        // Within the second in which it was queued times do not tell what came first.
        for told in self.told_in_digest(queued_at)? {
            if !told.case.state.is_working() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the cases whose first report the digest of a time is, but those that it did not tell after all.
    fn told_in_digest(&self, queued_at: Timestamp) -> Result<Vec<CaseRow>, PipelineError> {
        let desk = self.store.desk();
        let mut rows = Vec::new();
        for id in desk.cases_noted_at(queued_at, TOLD_IN_DIGEST)? {
            if self.is_told_in_digest(id, queued_at)? {
                rows.extend(desk.case_by_id(id)?);
            }
        }
        Ok(rows)
    }

    /// Writes one digest for each of the desk who does not get another, in place of one that does not leave, and of all
    /// others that wait if it is dropped. Part of the transaction that stopped it.
    pub(in crate::pipeline) fn write_digest_anew(
        &self,
        stopped: &MessageRow,
        state: MessageState,
    ) -> Result<(), PipelineError> {
        let Some(mail) = self.mail() else {
            return Ok(());
        };
        let now = self.clock.now();
        let gone = self.take_digests(stopped, state)?;
        let (mut is_written, mut done) = (false, Vec::<&String>::new());
        for address in &mail.desk {
            let is_done = done.iter().any(|it| is_same_address(it, address));
            done.push(address);
            let missing = match is_done {
                true => BTreeSet::new(),
                false => self.digests_missing(address, &gone)?,
            };
            if !missing.is_empty() {
                self.write_digest_to(mail, address, (&gone, &missing), now)?;
                is_written = true;
            }
        }
        for (row, reason) in gone.told.values() {
            match reason {
                Some(reason) => self.forget_digest(row, *reason, &gone, now)?,
                None if is_written => {
                    self.note_of_case(Some(row.id), TOLD_IN_DIGEST, now)?;
                }
                None => {}
            }
        }
        if is_written {
            tracing::info!("digest written anew, as things are now");
        }
        Ok(())
    }

    /// Drops the digests that wait, if one of them is dropped. Returns all that do not leave.
    fn take_digests(
        &self,
        stopped: &MessageRow,
        state: MessageState,
    ) -> Result<Gone, PipelineError> {
        let desk = self.store.desk();
        let mut rows = vec![stopped.head()];
        if state == MessageState::Dropped {
            let note = format!("dropped: {}", StopReason::Overtaken);
            for waiting in desk.waiting_digests()? {
                desk.drop_message(waiting.id, &note)?;
                rows.push(waiting);
            }
        }
        let mut told = BTreeMap::new();
        for at in rows.iter().map(|it| it.queued_at).collect::<BTreeSet<_>>() {
            for row in self.told_in_digest(at)? {
                let reason = self.stop_of_digest(&row.case)?;
                told.insert(row.id, (row, reason));
            }
        }
        Ok(Gone { rows, told })
    }

    /// Returns of which times an address of the desk gets no digest.
    fn digests_missing(
        &self,
        address: &str,
        gone: &Gone,
    ) -> Result<BTreeSet<Timestamp>, PipelineError> {
        let desk = self.store.desk();
        let times: BTreeSet<Timestamp> = gone.rows.iter().map(|it| it.queued_at).collect();
        let mut missing = BTreeSet::new();
        for at in times {
            let after = self.begin_of(at)?.after;
            let mut has = false;
            for it in desk.digests_since(at)? {
                let leaves = it.state != MessageState::Dropped && !gone.has(it.id);
                // What was written anew begins as early.
                has |= leaves
                    && is_same_address(&it.message.recipient, address)
                    && (it.queued_at == at || self.begin_of(it.queued_at)?.after <= after);
            }
            if !has {
                missing.insert(at);
            }
        }
        Ok(missing)
    }

    /// Writes the digest that an address gets in place of those of some times.
    fn write_digest_to(
        &self,
        mail: &MailConfig,
        address: &String,
        (gone, missing): (&Gone, &BTreeSet<Timestamp>),
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let desk = self.store.desk();
        let mut begins = Vec::new();
        let mut of_these = BTreeSet::new();
        for at in missing {
            begins.push(self.begin_of(*at)?);
            of_these.extend(self.told_in_digest(*at)?.into_iter().map(|row| row.id));
        }
        let Some(begin) = begins.into_iter().min_by_key(|begin| begin.after) else {
            return Ok(());
        };
        let told = || {
            gone.told
                .values()
                .filter(|(row, _)| of_these.contains(&row.id))
        };
        let still = told().filter(|(_, reason)| reason.is_none());
        let still: Vec<CaseRow> = still.map(|(row, _)| row.clone()).collect();
        // Of what is not told any more nothing is said of the opening either.
        let left_out: BTreeSet<i64> = told().map(|(row, _)| row.id).collect();
        // What came later is in the next one.
        let until = desk.saved_number(DIGEST_EVENT)?.unwrap_or(0);
        let written = desk
            .digests_since(begin.from + Span::seconds(1))?
            .into_iter();
        let mut moves = Vec::new();
        for at in written.map(|it| it.queued_at).collect::<BTreeSet<_>>() {
            moves.extend(desk.bulk_moves_told_at(at)?);
        }
        let span = DigestSpan {
            from: begin.from,
            events: (begin.after, until),
            now,
        };
        let (mut report, _) = self.digest(mail, (&still, &moves), &left_out, &span)?;
        report.more.bulk = 0;
        self.note_digest((begin.from, begin.after), now)?;
        let to = std::slice::from_ref(address);
        self.queue_for(mail, to, MailKind::Digest, Words::Digest(&report), now)
    }

    /// Notes of a case which of the digests that were its first report do not leave: who is told of it later is told as if
    /// for the first time.
    fn forget_digest(
        &self,
        row: &CaseRow,
        reason: StopReason,
        gone: &Gone,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let desk = self.store.desk();
        let (mut lines, mut has_one) = (Vec::new(), false);
        for at in gone
            .rows
            .iter()
            .map(|it| it.queued_at)
            .collect::<BTreeSet<_>>()
        {
            if !self.is_told_in_digest(row.id, at)? {
                continue;
            }
            for digest in desk.digests_of(at)? {
                let leaves = digest.state != MessageState::Dropped && !gone.has(digest.id);
                has_one |= leaves || digest.may_have_arrived();
                if gone.has(digest.id) {
                    lines.push(left_out_of(digest.id, &digest.shown_recipient()));
                }
            }
        }
        if !has_one {
            lines = vec![not_in_digest(reason)];
        }
        for line in lines {
            self.note_of_case(Some(row.id), &line, now)?;
        }
        self.forget_told(row.id, &[])
    }
}

/// Returns the names under which it is kept where the digest of a time begins.
fn keys_of(queued_at: Timestamp) -> (String, String) {
    let at = queued_at.unix();
    (format!("{FROM}{at}"), format!("{AFTER}{at}"))
}
