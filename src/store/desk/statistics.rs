//! What the desk did in a span of time, for statistics; and the removal of what is old.

use crate::case::DismissReason;
use crate::dns::Name;
use crate::store::desk::Desk;
use crate::store::desk::cases::{CaseEventRow, RawLine};
use crate::store::desk::outbox::MailKind;
use crate::store::door::{Fault, params};
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// A line of a case's log, with what statistics ask of its case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskEvent {
    /// The case.
    pub case_id: i64,
    /// Its domain.
    pub domain: Name,
    /// Its zone.
    pub zone: Name,
    /// When the case was first told of.
    pub reported_at: Option<Timestamp>,
    /// When fluxwatch last opened it before this line: at first, or again for new changes; the time of writing, since
    /// nobody knew of it before. That a person reopened it does not count: it was not over.
    pub opened_at: Timestamp,
    /// Whether nobody took a step with it between then and this line.
    pub is_first_step: bool,
    /// Why it was dismissed, if this line says so.
    pub dismissed_as: Option<DismissReason>,
    /// The line.
    pub line: CaseEventRow,
}

/// How many messages of a zone's cases went out, or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailCount {
    /// The zone; `None` for what is about no single case.
    pub zone: Option<Name>,
    /// The case's domain.
    pub domain: Option<Name>,
    /// What they are about.
    pub kind: String,
    /// Taken by the server.
    pub sent: u32,
    /// Refused, given up, or come back.
    pub failed: u32,
}

/// What a purge takes, or took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Cases that are over.
    pub cases: u32,
    /// Lines of their logs.
    pub events: u32,
    /// Their messages and notices.
    pub messages: u32,
}

/// The mails of no case (digests, alerts) that are done with and older than a time. The newest message stays: its number
/// would be given again.
const OLD_MAILS: &str =
    "(case_id is null and state in ('sent', 'dead', 'dropped') and queued_at < ?1
                          and id < (select max(id) from message))";
/// The cases that are over, and whose last line was written before a time. The newest case and the one with the
/// newest line stay: their numbers would be given again.
const OLD_CASES: &str = "select c.id
                           from abuse_case c
                          where c.state in ('dismissed', 'mitigated', 'closed')
                                and not exists (select 1
                                                  from case_event e
                                                 where e.case_id = c.id and coalesce(e.written_at, e.at) >= ?1)
                                and not exists (select 1
                                                  from message m
                                                 where m.case_id = c.id
                                                       and m.state in ('queued', 'sending'))
                                and c.id <> (select case_id from case_event order by id desc limit 1)
                                and c.id < (select max(id) from abuse_case)
                                and not exists (select 1
                                                  from abuse_case o
                                                 where o.thread_id = c.id and o.id <> c.id
                                                       and o.state in ('open', 'acknowledged'))";

impl Desk<'_> {
    /// Returns the lines of all logs in `[from, to)`, oldest first.
    pub fn desk_events(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<DeskEvent>, StoreError> {
        type Raw = ([String; 2], RawLine, i64, Option<i64>, Option<i64>, bool);
        let rows: Vec<Raw> = self.store.run(|db| {
            let sql = "select c.domain, z.name, e.actor, e.to_state, e.note, e.from_state,
                              e.case_id, e.at, e.written_at,
                              coalesce(o.written_at, o.at) as opened_at,
                              (select min(m.queued_at)
                                 from message m where m.case_id = e.case_id and m.kind = 'report') as reported_at,
                              not exists (select 1
                                            from case_event p
                                           where p.case_id = e.case_id and p.id < e.id
                                                 and p.id > coalesce(o.id, 0)
                                                 and p.actor <> 'fluxwatch'
                                                 and p.from_state is distinct from p.to_state) as is_first,
                              e.uid
                         from case_event e
                              left join case_event o on o.id = (select max(i.id)
                                                                  from case_event i
                                                                 where i.case_id = e.case_id
                                                                       and i.id <= e.id
                                                                       and i.to_state = 'open'
                                                                       and (i.from_state is null
                                                                            or i.from_state <> 'open'
                                                                            and i.actor = 'fluxwatch'))
                              join abuse_case c on c.id = e.case_id
                              join zone z on z.id = c.zone_id
                        where e.at >= ? and e.at < ?
                        order by e.at, e.id";
            db.query(sql, params![from, to], |row| {
                Ok((
                    [row.get("domain")?, row.get("name")?],
                    RawLine::read(row)?,
                    row.get("case_id")?,
                    row.get("opened_at")?,
                    row.get("reported_at")?,
                    row.get("is_first")?,
                ))
            })
        })?;
        let read = |(names, line, case_id, opened_at, reported_at, is_first_step): Raw| {
            let [domain, zone] = names;
            let line = self.finish_line(line)?;
            Ok(DeskEvent {
                case_id,
                domain: self.store.read_name(&domain)?,
                zone: self.store.read_name(&zone)?,
                reported_at: reported_at.map(Timestamp::from_unix),
                opened_at: opened_at.map_or(line.event.at, Timestamp::from_unix),
                is_first_step,
                dismissed_as: DismissReason::of_note(&line.event.note),
                line,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Returns how many cases were opened and how many dismissed between each of some times and the next; one fewer than
    /// the times. Counted in case_event_by_time alone.
    pub fn opened_and_dismissed(&self, times: &[Timestamp]) -> Result<Vec<[u32; 2]>, StoreError> {
        self.store.run(|db| {
            let sql = "select count(*) filter (where to_state = 'open' and from_state is null)
                          as opened_count,
                        count(*) filter (where to_state = 'dismissed'
                                               and from_state is distinct from 'dismissed')
                          as dismissed_count
                         from case_event
                        where at >= ? and at < ?";
            let mut count = db.prepare(sql)?;
            let spans = times.windows(2);
            let counts = spans.map(|span| {
                count.query_one(params![span[0], span[1]], |row| {
                    Ok([row.get("opened_count")?, row.get("dismissed_count")?])
                })
            });
            counts.collect()
        })
    }

    /// Returns how many messages were sent in `[from, to)`, and of those queued then how many failed.
    pub fn mail_counts(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<MailCount>, StoreError> {
        type Raw = (Option<String>, Option<String>, String, u32, u32);
        let rows: Vec<Raw> = self.store.run(|db| {
            let sql = "select z.name, c.domain, m.kind,
                              count(*) filter (where m.sent_at >= ?1 and m.sent_at < ?2)
                                as sent_count,
                              count(*) filter (where (m.state = 'dead' and m.queued_at >= ?1
                                                      and m.queued_at < ?2)
                                                     or (m.bounced_at >= ?1 and m.bounced_at < ?2))
                                as failed_count
                         from message m left join abuse_case c on c.id = m.case_id
                              left join zone z on z.id = c.zone_id
                        group by z.name, c.domain, m.kind";
            db.query(sql, params![from, to], |row| {
                Ok((
                    row.get("name")?,
                    row.get("domain")?,
                    row.get("kind")?,
                    row.get("sent_count")?,
                    row.get("failed_count")?,
                ))
            })
        })?;
        let name = |text: Option<String>| text.map(|text| self.store.read_name(&text)).transpose();
        let counts = rows.into_iter().filter(|row| row.3 + row.4 > 0);
        counts
            .map(|(zone, domain, kind, sent, failed)| {
                Ok(MailCount {
                    zone: name(zone)?,
                    domain: name(domain)?,
                    kind,
                    sent,
                    failed,
                })
            })
            .collect()
    }

    /// Returns the lines of all logs after the one with a number: numbers, domains, and the lines.
    pub fn case_events_after(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, i64, CaseEventRow)>, StoreError> {
        let rows = self.store.run(|db| {
            let sql = "select id, case_id, at, written_at, actor, from_state, to_state, note, uid
                         from case_event where id > ? order by id limit ?";
            db.query(sql, [after, limit as i64], |row| {
                Ok((row.get("id")?, row.get("case_id")?, RawLine::read(row)?))
            })
        })?;
        rows.into_iter()
            .map(|(id, case_id, line)| Ok((id, case_id, self.finish_line(line)?)))
            .collect()
    }

    /// Returns whether a case ended after one time and by another, as a line of a case's log after one says.
    pub fn has_end_between(
        &self,
        event: i64,
        [after, by]: [Timestamp; 2],
    ) -> Result<bool, StoreError> {
        self.store.run(|db| {
            let sql = "select exists (select 1
                                        from case_event
                                       where id > ?1
                                             and to_state in ('dismissed', 'mitigated', 'closed')
                                             and from_state <> to_state
                                             and coalesce(written_at, at) > ?2
                                             and coalesce(written_at, at) <= ?3)";
            db.value(sql, params![event, after, by])
        })
    }

    /// Returns the cases whose logs have a line of the program of a time and in these words, in the order of the lines.
    pub fn cases_noted_at(&self, at: Timestamp, note: &str) -> Result<Vec<i64>, StoreError> {
        self.store.run(|db| {
            let sql = "select case_id
                         from case_event
                        where at = ?1 and actor = 'fluxwatch' and note = ?2
                        group by case_id order by min(id)";
            db.values(sql, params![at, note])
        })
    }

    /// Returns the number of the last line of the cases' logs that was written before a time; 0 if there is none.
    pub fn last_case_event_before(&self, at: Timestamp) -> Result<i64, StoreError> {
        self.store.run(|db| {
            let sql = "select coalesce(max(id), 0)
                         from case_event
                        where coalesce(written_at, at) < ?";
            db.value(sql, [at.unix()])
        })
    }

    /// Returns what [`Desk::purge_cases`] would take.
    pub fn purgeable(&self, before: Timestamp) -> Result<Purged, StoreError> {
        self.store.run(|db| {
            let count = |sql: String| -> Result<u32, Fault> { db.value(&sql, [before.unix()]) };
            Ok(Purged {
                cases: count(format!("select count(*) from ({OLD_CASES}) found"))?,
                events: count(format!(
                    "select (select count(*) from case_event where case_id in ({OLD_CASES}))
                          + (select count(*) from desk_event where at < ?1)"
                ))?,
                messages: count(format!(
                    "select (select count(*) from message where case_id in ({OLD_CASES}) or {OLD_MAILS})
                          + (select count(*) from notice where case_id in ({OLD_CASES}))"
                ))?,
            })
        })
    }

    /// Takes away the cases that are over and untouched since a time, with their logs and their mails; of what is of no
    /// case, the lines of the desk and the mails of before. History stays.
    pub fn purge_cases(&self, before: Timestamp) -> Result<Purged, StoreError> {
        let tx = self.store.begin_batch()?;
        let purged = self.purgeable(before)?;
        self.store.run(|db| {
            db.execute("create temp table purged (id integer primary key)", ())?;
            db.execute(&format!("insert into purged {OLD_CASES}"), [before.unix()])?;
            for table in [
                "message",
                "notice",
                "case_event",
                "case_trait",
                "report_evidence",
                "confirmation",
            ] {
                db.execute(
                    &format!("delete from {table} where case_id in (select id from purged)"),
                    (),
                )?;
            }
            db.execute(
                "update abuse_case set thread_id = null where thread_id in (select id from purged)",
                (),
            )?;
            db.execute(
                "delete from abuse_case where id in (select id from purged)",
                (),
            )?;
            db.execute("drop table purged", ())?;
            db.execute("delete from desk_event where at < ?1", [before.unix()])?;
            db.execute(
                &format!("delete from message where {OLD_MAILS}"),
                [before.unix()],
            )
        })?;
        tx.commit()?;
        Ok(purged)
    }

    /// Takes the persons out of the cases that are over and untouched since a time, and out of what of before is of no
    /// case: who did what, notes, addresses and octets of mails. The cases and the states they went through stay.
    pub fn anonymise_cases(&self, before: Timestamp) -> Result<Purged, StoreError> {
        let tx = self.store.begin_batch()?;
        let purged = self.purgeable(before)?;
        self.store.run(|db| {
            db.execute("create temp table purged (id integer primary key)", ())?;
            db.execute(&format!("insert into purged {OLD_CASES}"), [before.unix()])?;
            let these = "case_id in (select id from purged)";
            let sql = format!(
                "update case_event
                    set actor = 'somebody', note = 'taken out'
                  where actor <> 'fluxwatch' and {these}"
            );
            db.execute(&sql, ())?;
            let sql = format!(
                "update case_event
                    set note = 'a notice was decided on'
                  where (note like 'notice to %'
                         or note like 'the approval of the notice %')
                        and {these}"
            );
            db.execute(&sql, ())?;
            db.execute(
                "delete from bounced_recipient where bounced_at < ?1",
                [before.unix()],
            )?;
            // Recipients stay distinct: a case, revision and kind has each once.
            let sql = format!(
                "update message
                    set recipient = 'recipient-' || id, sender = '', octets = ?2, last_reply = null
                  where {these} or {OLD_MAILS}"
            );
            db.execute(&sql, params![before, b"".as_slice()])?;
            let sql = format!(
                "update notice
                    set recipient = 'recipient-' || id, sender = '', octets = ?1, decided_by = null,
                        note = null, paragraph = null, edited_by = null
                  where {these}"
            );
            db.execute(&sql, [b"".as_slice()])?;
            let sql = "update desk_event set actor = 'somebody', note = 'taken out' where at < ?1";
            db.execute(sql, [before.unix()])?;
            db.execute(
                "update abuse_case set assignee = null where id in (select id from purged)",
                (),
            )?;
            db.execute("drop table purged", ())
        })?;
        tx.commit()?;
        Ok(purged)
    }

    /// Returns the octets of the newest mail of a kind about a case.
    pub fn newest_mail(
        &self,
        case_id: i64,
        kind: MailKind,
    ) -> Result<Option<crate::store::MessageRow>, StoreError> {
        let rows = self.messages_of_case(case_id)?;
        Ok(rows.into_iter().rfind(|row| row.message.kind == kind))
    }
}
