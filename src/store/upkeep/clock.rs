//! What the database says something waits for, when the wall clock was set.
//!
//! A process counts its waits on a clock that nobody sets. What must outlast the process is written as a time of the
//! wall clock, and goes wrong when that is set: it comes due by days too early or too late.

use crate::outbox::{LEASE, WAIT_MAX};
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::upkeep::Upkeep;
use crate::time::{Span, Step, Timestamp};

/// How often the wall clock was set while the service ran.
const CLOCK_STEPS: &str = "clock_steps";
/// When that was last, by the clock that it had then.
const CLOCK_STEP_AT: &str = "clock_step_at";
/// How far it was moved then, in seconds; negative if it was put back.
const CLOCK_STEP_BY: &str = "clock_step_by";

/// Waiting messages, with how long each has waited: it is given up after a length of time, not at a time.
const SHIFT_MESSAGES: &str = "update message
                                 set next_attempt_at = next_attempt_at + ?1,
                                     queued_at = queued_at + ?1
                               where state in ('queued', 'sending')";
/// When a suspect may be asked about again.
const SHIFT_QUESTIONS: &str = "update confirmation set next_at = next_at + ?1";
/// When the last digest was made, and when the program last pruned.
const WAITS: [&str; 2] = ["digest_at", "pruned_at"];
/// When a case was last told of: it is told of again when that is long ago.
const SHIFT_TOLD: &str = "update abuse_case set told_at = told_at + ?1 where told_at is not null";
/// Since when a report is held. That counts by the time of the case's zone, which is never earlier than its newest
/// version: after a step it goes on from where it was. ?1 is what the clock shows, ?2 what it would have shown.
const SHIFT_HOLDS: &str = "update abuse_case as c
                              set pending_since_at = pending_since_at
                                                     + case when n.at > ?1 then n.at else ?1 end
                                                     - case when n.at > ?2 then n.at else ?2 end
                             from (select z.id, coalesce(v.observed_at, 0) as at
                                     from zone z join source s on s.id = z.source_id
                                          left join version v on v.id = z.version_id
                                    where s.kind in ('transfer', 'catalog', 'probe')) n
                            where n.id = c.zone_id and c.pending_since_at is not null";
/// Since when a probe misses a record.
const SHIFT_ABSENCES: &str = "update probe_absence set since_at = since_at + ?1";
/// When a comparison of a whole zone last failed.
const SHIFT_COMPARISONS: &str =
    "update zone set whole_tried_at = whole_tried_at + ?1 where whole_tried_at is not null";

/// Messages that wait longer than any is made to, or are in the hands of a process for longer than any may have them.
/// Those that were queued in the future are queued now.
const SETTLE_MESSAGES: &str = "update message
                                  set next_attempt_at = ?1,
                                      queued_at = case when queued_at > ?1 then ?1
                                                       else queued_at end
                                where state in ('queued', 'sending')
                                      and next_attempt_at > case when state = 'sending' then cast(?3 as bigint)
                                                                 else cast(?2 as bigint) end";
/// Cases that were told of in the future.
const SETTLE_TOLD: &str = "update abuse_case set told_at = ?1 where told_at > ?1";
/// Records that are missed since a time of the future.
const SETTLE_ABSENCES: &str = "update probe_absence set since_at = ?1 where since_at > ?1";
/// Whole comparisons of the future.
const SETTLE_COMPARISONS: &str = "update zone
        set whole_tried_at = case when whole_tried_at > ?1 then ?1 else whole_tried_at end,
            whole_at = case when whole_at > ?1 then ?1 else whole_at end
      where whole_tried_at > ?1 or whole_at > ?1";
/// Cases of what is watched live that were judged in the future: left so, nothing that is seen until then would be
/// held against them. A case stays judged at the newest version of its zone.
const SETTLE_CASES: &str = "update abuse_case as c
                               set evaluated_at = case when n.at > ?1 then n.at else ?1 end
                              from (select z.id, coalesce(v.observed_at, 0) as at
                                      from zone z join source s on s.id = z.source_id
                                           left join version v on v.id = z.version_id
                                     where s.kind in ('transfer', 'catalog', 'probe')) n
                             where n.id = c.zone_id and c.evaluated_at > ?1
                                   and c.evaluated_at > n.at";

impl Upkeep<'_> {
    /// Moves what waits by a step of the wall clock, in one transaction, so that everything comes due when it would
    /// have without the step. What happened keeps the time that it was given.
    pub fn shift_waits(&self, step: Step) -> Result<(), StoreError> {
        let by = step.by().as_seconds();
        let tx = self.store.begin_batch()?;
        for sql in [
            SHIFT_MESSAGES,
            SHIFT_QUESTIONS,
            SHIFT_TOLD,
            SHIFT_ABSENCES,
            SHIFT_COMPARISONS,
        ] {
            self.store.run(|db| db.execute(sql, [by]))?;
        }
        self.change_waits(|at| at.saturating_add(by))?;
        let clocks = [step.now.unix(), step.unset.unix()];
        self.store.run(|db| db.execute(SHIFT_HOLDS, clocks))?;
        self.settle(step.now)?;
        let count = self.store.desk().saved_number(CLOCK_STEPS)?.unwrap_or(0);
        self.store
            .desk()
            .save_number(CLOCK_STEPS, count.saturating_add(1))?;
        self.store
            .desk()
            .save_number(CLOCK_STEP_AT, step.now.unix())?;
        self.store.desk().save_number(CLOCK_STEP_BY, by)?;
        tx.commit()
    }

    /// Makes due what waits for longer than the program ever waits: the wall clock was ahead when that was written,
    /// and was put right while no service ran. Writes only if there is any.
    pub fn settle_waits(&self, now: Timestamp) -> Result<(), StoreError> {
        let tx = self.store.begin_batch()?;
        self.settle(now)?;
        tx.commit()
    }

    /// [`Upkeep::settle_waits`] as a part of the caller's transaction.
    fn settle(&self, now: Timestamp) -> Result<(), StoreError> {
        let (latest, leased) = (now + WAIT_MAX, now + LEASE);
        self.change_waits(|at| at.min(now.unix()))?;
        self.store.run(|db| {
            db.execute(SETTLE_MESSAGES, params![now, latest, leased])?;
            for sql in [
                SETTLE_TOLD,
                SETTLE_ABSENCES,
                SETTLE_COMPARISONS,
                SETTLE_CASES,
            ] {
                db.execute(sql, [now.unix()])?;
            }
            Ok(())
        })
    }

    /// Changes when the last digest was made, and when the program last pruned, where that makes a difference.
    fn change_waits(&self, change: impl Fn(i64) -> i64) -> Result<(), StoreError> {
        let desk = self.store.desk();
        for name in WAITS {
            if let Some(at) = desk.saved_number(name)?
                && change(at) != at
            {
                desk.save_number(name, change(at))?;
            }
        }
        Ok(())
    }

    /// Returns how often the wall clock was set while the service ran, when that was last, and how far it was moved.
    pub fn clock_steps(&self) -> Result<(u64, Option<(Timestamp, Span)>), StoreError> {
        let count = self.store.desk().saved_number(CLOCK_STEPS)?.unwrap_or(0);
        let at = self.store.desk().saved_number(CLOCK_STEP_AT)?;
        let by = self.store.desk().saved_number(CLOCK_STEP_BY)?;
        let last = at
            .zip(by)
            .map(|(at, by)| (Timestamp::from_unix(at), Span::seconds(by)));
        Ok((count.unsigned_abs(), last))
    }
}

#[cfg(test)]
mod tests {
    use crate::dns::Name;
    use crate::outbox::Next;
    use crate::store::desk::outbox::{MailKind, MessageRow, NewMessage, SendingCaps, Way};
    use crate::store::handle::{Store, StoreOptions};
    use crate::store::keys::SourceKind;

    use super::*;

    /// The right time.
    const NOW: i64 = 1_790_000_000;
    /// A day.
    const DAY: i64 = 86_400;

    /// Returns an empty store, and the folder that it is in.
    fn empty() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("made");
        (folder, store)
    }

    /// Queues a message that has its own Message-ID.
    fn queue(store: &Store, id: &str, at: i64) {
        let message = NewMessage {
            case_id: None,
            kind: MailKind::Digest,
            revision: 0,
            recipient: "desk@registrar.example".to_owned(),
            sender: String::new(),
            message_id: format!("<{id}@registrar.example>"),
            subject: id.to_owned(),
            octets: vec![0],
        };
        store
            .desk()
            .queue_message(&message, Timestamp::from_unix(at))
            .expect("queued");
    }

    /// Takes the next message that is due, if there is one.
    fn take(store: &Store, now: i64) -> Option<String> {
        lease(store, Timestamp::from_unix(now), 9).map(|row| row.message.subject)
    }

    /// Leases the oldest message that is due, if fewer were sent to its recipient within an hour.
    fn lease(store: &Store, now: Timestamp, per_recipient_max: u32) -> Option<MessageRow> {
        let caps = SendingCaps {
            since: now - Span::hours(1),
            per_recipient_max,
            in_all_max: 100,
        };
        let due = store.desk().oldest_due(Way::Mail, now).expect("readable");
        let oldest = due.first()?;
        store
            .desk()
            .lease_message(oldest.id, &caps, now)
            .expect("readable")
    }

    /// Returns a step from the right time.
    fn step(by: i64) -> Step {
        Step {
            by_ms: by * 1000,
            unset: Timestamp::from_unix(NOW),
            now: Timestamp::from_unix(NOW + by),
        }
    }

    #[test]
    fn a_step_moves_what_waits_and_not_what_happened() {
        for by in [-DAY, 3 * DAY] {
            let (_folder, store) = empty();
            queue(&store, "waits", NOW + 60);
            queue(&store, "sent", NOW - 10);
            assert_eq!(take(&store, NOW), Some("sent".to_owned()));
            let sent = Timestamp::from_unix(NOW);
            assert!(
                store
                    .desk()
                    .finish_attempt(2, 1, &Next::Sent, "250", sent)
                    .expect("noted")
            );
            for key in ["digest_at", "pruned_at", "digest_event"] {
                store.desk().save_number(key, NOW - 100).expect("noted");
            }
            store.upkeep().shift_waits(step(by)).expect("shifted");
            assert_eq!(take(&store, NOW + by + 59), None);
            assert_eq!(take(&store, NOW + by + 60), Some("waits".to_owned()));
            let number = |key| store.desk().saved_number(key).expect("readable");
            assert_eq!(number("digest_at"), Some(NOW - 100 + by));
            assert_eq!(number("pruned_at"), Some(NOW - 100 + by));
            assert_eq!(number("digest_event"), Some(NOW - 100));
            let sent = store.desk().messages(false).expect("readable")[1].sent_at;
            assert_eq!(sent, Some(Timestamp::from_unix(NOW)));
            let told = store.upkeep().clock_steps().expect("readable");
            let last = (Timestamp::from_unix(NOW + by), Span::seconds(by));
            assert_eq!(told, (1, Some(last)));
        }
    }

    #[test]
    fn what_waits_longer_than_anything_may_is_due() {
        let (_folder, store) = empty();
        queue(&store, "ahead", NOW + 3 * DAY);
        queue(&store, "waits", NOW + 3600);
        store
            .desk()
            .save_number("digest_at", NOW + DAY)
            .expect("noted");
        let now = Timestamp::from_unix(NOW);
        assert_eq!(take(&store, NOW), None);
        store.upkeep().settle_waits(now).expect("settled");
        assert_eq!(take(&store, NOW), Some("ahead".to_owned()));
        assert_eq!(take(&store, NOW), None);
        assert_eq!(
            store.desk().saved_number("digest_at").expect("readable"),
            Some(NOW)
        );
        // A lease is shorter than a wait.
        store
            .upkeep()
            .settle_waits(now - Span::hours(1))
            .expect("settled");
        assert_eq!(take(&store, NOW - 3600), Some("ahead".to_owned()));
    }

    #[test]
    fn what_was_sent_while_the_clock_was_ahead_uses_no_room_of_this_hour() {
        let (_folder, store) = empty();
        queue(&store, "sent", NOW + DAY);
        assert_eq!(take(&store, NOW + DAY), Some("sent".to_owned()));
        let later = Timestamp::from_unix(NOW + DAY);
        assert!(
            store
                .desk()
                .finish_attempt(1, 1, &Next::Sent, "250", later)
                .expect("noted")
        );
        let count = |now: i64| {
            let now = Timestamp::from_unix(now);
            store
                .desk()
                .sent_since(now - Span::hours(1), now)
                .expect("readable")
        };
        assert_eq!((count(NOW), count(NOW + DAY)), (0, 1));
        queue(&store, "next", NOW);
        let now = Timestamp::from_unix(NOW);
        assert!(lease(&store, now, 1).is_some());
    }

    /// Puts an open case about a name of a zone that is watched live, and returns since when it is held after a step.
    fn held_after(by: i64, version_at: i64, held_since: i64) -> i64 {
        let (_folder, store) = empty();
        put_case(&store, "live.", SourceKind::Transfer, version_at);
        let held = "update abuse_case set pending_since_at = ?1";
        store
            .run(|db| db.execute(held, [held_since]))
            .expect("written");
        store.upkeep().shift_waits(step(by)).expect("shifted");
        let since = "select pending_since_at from abuse_case";
        store.run(|db| db.value(since, ())).expect("readable")
    }

    #[test]
    fn a_report_that_is_held_has_been_held_for_as_long_after_a_step_as_before() {
        // By the time of its zone: the clock's, or that of its newest version if that is later.
        let (held, old) = (NOW - 600, NOW - 2 * DAY);
        assert_eq!(held_after(3 * DAY, NOW - 700, held), held + 3 * DAY);
        assert_eq!(held_after(-DAY, old, held), held - DAY);
        assert_eq!(held_after(-DAY, NOW - 700, held), held - 700);
    }

    /// Puts an open case about a name of a zone that has one version. It was judged a day ahead.
    fn put_case(store: &Store, name: &str, kind: SourceKind, version_at: i64) {
        let source = store.zones().ensure_source(name, kind).expect("made");
        let apex = Name::parse(name).expect("a name");
        let zone = store.zones().ensure_zone(&apex, source).expect("made");
        store
            .run(|db| {
                let sql = "insert into version (zone_id, source_id, kind, observed_at)
                           values (?1, ?2, 'baseline', ?3)";
                let version = db.insert(sql, params![zone.id, source, version_at])?;
                db.execute(
                    "update zone set version_id = ?2 where id = ?1",
                    [zone.id.0, version],
                )?;
                let sql = "insert into abuse_case (domain, zone_id, verdict, level, peak_level,
                                                   state, score, first_detected_at, last_change_at,
                                                   evaluated_at, revision)
                           values ('bad.' || ?1, ?2, 'ns-flux', 'report', 'report', 'open', 90, ?3,
                                   ?3, ?4, 1)";
                db.execute(sql, params![name, zone.id, NOW, NOW + DAY])
            })
            .expect("written");
    }

    #[test]
    fn cases_of_live_zones_that_were_judged_in_the_future_are_judged_again() {
        let (_folder, store) = empty();
        put_case(&store, "live.", SourceKind::Transfer, NOW + 50);
        put_case(&store, "recorded.", SourceKind::Feed, NOW + 50);
        store
            .upkeep()
            .settle_waits(Timestamp::from_unix(NOW))
            .expect("settled");
        let judged: Vec<i64> = store
            .run(|db| db.values("select evaluated_at from abuse_case order by id", ()))
            .expect("readable");
        assert_eq!(judged, [NOW + 50, NOW + DAY]);
    }
}
