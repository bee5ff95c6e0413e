//! When a zone was seen, and when not: what moved while nobody could see it is held against nobody.
//!
//! An attempt that succeeds is a sight of the zone as it is then. A file says nothing of times after its own. Many are
//! written anew only when the zone changes, and others come each day: one is late when it is older than twice the longest
//! time that passed between two files of the four weeks before it.

use crate::dns::Name;
use crate::store::caches::Unseen;
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::keys::{SourceId, ZoneId};
use crate::store::zones::Zones;
use crate::time::{Span, Timestamp};

/// How old a file is at least when it is late: a daily one may be some hours late. Chosen by hand.
const LATE_AFTER_MIN: Span = Span::hours(36);
/// How far back before the newest file it is looked how often files come.
const RHYTHM_SPAN: Span = Span::days(28);
/// For how long files must have come that this is known: while a zone is set up it changes more often than ever again.
const RHYTHM_SPAN_MIN: Span = Span::days(7);
/// The reason of a gap between two files of which the later one was late.
const LATE: &str = "late";
/// The reason of a gap in which a feed could not be read: what happened in it is known once its lines are read, so that it only
/// says what is to be judged.
const OF_FEED: &str = "feed unreadable";

/// A time in which a zone could not be seen, after which nobody has judged what moved in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapToJudge {
    /// The zone's row.
    pub zone: ZoneId,
    /// The zone's apex.
    pub apex: Name,
    /// When it had been seen last.
    pub from: Timestamp,
    /// When it was seen again.
    pub to: Timestamp,
}

impl Zones<'_> {
    /// Returns the time in which a zone could not be seen right before `at`, if there is one: what had changed by then may
    /// have changed at any time since it was seen. A version that was read later, with a time of its own, is a sight of it.
    pub fn unseen_at(&self, zone: ZoneId, at: Timestamp) -> Result<Option<Unseen>, StoreError> {
        let spans = self.store.spans.borrow();
        let known = spans
            .as_ref()
            .and_then(|it| it.unseen.get(&(zone, at)).copied());
        drop(spans);
        if let Some(known) = known {
            return Ok(known);
        }
        let (failed, is_of_files) = self.failed_at(zone, at)?;
        let late = match is_of_files {
            true => self.late_at(zone, at)?,
            false => None,
        };
        let both = [failed, late];
        let unseen = both.into_iter().flatten().reduce(|one, other| Unseen {
            since: one.since.min(other.since),
            known_at: one.known_at.min(other.known_at),
        });
        if let Some(known) = &mut *self.store.spans.borrow_mut() {
            known.unseen.insert((zone, at), unseen);
        }
        Ok(unseen)
    }

    /// [`Zones::unseen_at`] of a zone whose source failed, or was none of the configuration, or of whose files one was late;
    /// and whether it comes as files at all.
    fn failed_at(&self, zone: ZoneId, at: Timestamp) -> Result<(Option<Unseen>, bool), StoreError> {
        self.store.run(|db| {
            // The last time goes on until the version that ends it is stored and judged.
            let sql = format!("select min(since_at) as since_at, min(known_at) as known_at,
                              (select count(*)
                                 from zone z join source s on s.id = z.source_id
                                where z.id = ?1 and s.kind in ('zonefile', 'import')) as file_count
                         from (select from_at as since_at, coalesce(known_at, from_at) as known_at
                                 from gap
                                where zone_id = ?1 and from_at < ?2 and to_at >= ?2 and reason <> '{OF_FEED}'
                               union all
                               select seen_at,
                                      case when ended is null then coalesce(failed_at, seen_at)
                                           else seen_at end
                                 from (select z.*, case when s.kind = 'feed' and z.ended is null
                                                        then coalesce(s.last_success_at, z.last_success_at)
                                                        else z.last_success_at end as seen_at
                                         from zone z join source s on s.id = z.source_id
                                        where z.id = ?1) as zone
                                where seen_at < ?2
                                      and (failed_at is not null
                                           or last_error is not null and last_attempt_at <> last_success_at
                                           or ended is not null)) as unseen");
            let times: (Option<Timestamp>, Option<Timestamp>, i64) =
                db.query_one(&sql, params![zone, at], |row| {
                    Ok((
                        row.get("since_at")?,
                        row.get("known_at")?,
                        row.get("file_count")?,
                    ))
                })?;
            let (Some(since), Some(known_at), files) = times else {
                return Ok((None, times.2 > 0));
            };
            let sql = "select max(observed_at) from version
                        where zone_id = ?1 and observed_at >= ?2 and observed_at < ?3
                              and kind <> 'feed'";
            let read: Option<Timestamp> = db.value(sql, params![zone, since, at])?;
            let unseen = Unseen {
                since: read.unwrap_or(since),
                known_at: read.map_or(known_at, |read| known_at.max(read)),
            };
            Ok((Some(unseen), files > 0))
        })
    }

    /// [`Zones::unseen_at`] of a zone whose newest file of before `at` was late then.
    pub fn late_at(&self, zone: ZoneId, at: Timestamp) -> Result<Option<Unseen>, StoreError> {
        self.store.run(|db| {
            // What is imported line by line is no file.
            let sql = "select coalesce(v.seen_until_at, v.observed_at)
                         from zone z join source s on s.id = z.source_id
                              join version v on v.zone_id = z.id
                        where z.id = ?1 and s.kind in ('zonefile', 'import') and v.observed_at < ?2
                              and (v.kind <> 'feed' or s.kind = 'import')
                        order by v.observed_at desc, v.id desc limit 1";
            let newest: Option<Timestamp> = db.first_value(sql, params![zone, at])?;
            let Some(newest) = newest.filter(|newest| *newest + LATE_AFTER_MIN < at) else {
                return Ok(None);
            };
            let sql = "select min(observed_at) as first_at, max(observed_at - before_at) as longest
                         from (select observed_at,
                                      lag(coalesce(seen_until_at, observed_at))
                                        over (order by observed_at, id) as before_at
                                 from version
                                where zone_id = ?1 and kind <> 'feed' and observed_at <= ?2
                                      and observed_at >= coalesce((select max(observed_at)
                                                                     from version
                                                                    where zone_id = ?1 and kind <> 'feed'
                                                                          and observed_at <= ?3), 0)) as files";
            let rhythm = params![zone, newest, newest - RHYTHM_SPAN];
            let (first, longest): (Option<Timestamp>, Option<i64>) =
                db.query_one(sql, rhythm, |row| {
                    Ok((row.get("first_at")?, row.get("longest")?))
                })?;
            let is_known = first.is_some_and(|first| newest.since(first) >= RHYTHM_SPAN_MIN);
            Ok(longest.filter(|_| is_known).and_then(|longest| {
                let late_after = LATE_AFTER_MIN.max(Span::seconds(longest.saturating_mul(2)));
                let known_at = newest + late_after;
                (known_at < at).then_some(Unseen {
                    since: newest,
                    known_at,
                })
            }))
        })
    }

    /// Returns whether a zone could not be read at a time, and cannot be since.
    pub fn is_failing(&self, apex: &Name, at: Timestamp) -> Result<bool, StoreError> {
        self.store.run(|db| {
            let sql = "select exists (select 1
                                        from zone
                                       where name = ?1 and view = 'zone' and failed_at <= ?2)";
            db.value(sql, params![apex.to_string(), at])
        })
    }

    /// Notes that a feed cannot be read: its zones are not seen.
    pub fn note_feed_unseen(&self, source: SourceId, at: Timestamp) -> Result<(), StoreError> {
        self.store.run(|db| {
            let sql = "update zone
                          set failed_at = ?2
                        where source_id = ?1 and view = 'zone' and (failed_at is null or failed_at > ?2)";
            db.execute(sql, params![source, at])
        })?;
        Ok(())
    }

    /// Notes that a feed was read to its end. After it could not be, what moved meanwhile is to be judged.
    pub fn note_feed_seen(&self, source: SourceId, at: Timestamp) -> Result<(), StoreError> {
        let failing = "source_id = ?1 and view = 'zone' and failed_at is not null";
        let is_failing = self.store.run(|db| {
            let sql = format!("select exists (select 1 from zone where {failing})");
            db.value::<bool>(&sql, [source.0])
        })?;
        if !is_failing {
            return Ok(());
        }
        let tx = self.store.begin_batch()?;
        self.store.run(|db| {
            let sql = format!(
                "insert into gap (zone_id, from_at, to_at, reason, known_at, judged)
                 select z.id, s.last_success_at,
                        case when s.last_success_at > ?2 then s.last_success_at else ?2 end,
                        '{OF_FEED}', z.failed_at, 0
                   from zone z join source s on s.id = z.source_id
                  where z.source_id = ?1 and z.view = 'zone' and z.failed_at is not null
                        and s.last_success_at is not null
                 on conflict do nothing"
            );
            db.execute(&sql, params![source, at])?;
            let sql = format!("update zone set failed_at = null where {failing}");
            db.execute(&sql, [source.0])
        })?;
        tx.commit()
    }

    /// Notes that a file of a time came after one that was late by then: what moved in between is to be judged.
    pub fn note_late_file(
        &self,
        zone: ZoneId,
        late: Unseen,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.store.run(|db| {
            let sql = "insert into gap (zone_id, from_at, to_at, reason, known_at, judged)
                       values (?1, ?2, ?3, ?4, ?5, 0) on conflict do nothing";
            db.execute(sql, params![zone, late.since, at, LATE, late.known_at])
        })?;
        Ok(())
    }

    /// Returns the time of the newest file of a zone, or that of its newest version: a file that is as the one before is none.
    pub fn newest_sight(&self, zone: ZoneId) -> Result<Option<Timestamp>, StoreError> {
        self.store.run(|db| {
            let sql = "select coalesce(v.seen_until_at, v.observed_at)
                         from zone z join version v on v.id = z.version_id
                        where z.id = ?";
            db.first_value(sql, [zone.0])
        })
    }

    /// Returns the times in which zones could not be seen, after which nobody has judged what moved in them.
    pub fn gaps_to_judge(&self) -> Result<Vec<GapToJudge>, StoreError> {
        let rows: Vec<(ZoneId, String, Timestamp, Timestamp)> = self.store.run(|db| {
            let sql = "select g.zone_id, z.name, g.from_at, g.to_at
                         from gap g join zone z on z.id = g.zone_id
                        where g.judged = 0
                        order by g.to_at, g.zone_id, g.from_at";
            db.query(sql, (), |row| {
                Ok((
                    row.get("zone_id")?,
                    row.get("name")?,
                    row.get("from_at")?,
                    row.get("to_at")?,
                ))
            })
        })?;
        let read = |(zone, name, from, to): (ZoneId, String, _, _)| {
            Ok(GapToJudge {
                zone,
                apex: self.store.read_name(&name)?,
                from,
                to,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Notes that what moved in some of these times was judged, in one transaction.
    pub fn note_gaps_judged(&self, gaps: &[GapToJudge]) -> Result<(), StoreError> {
        let tx = self.store.begin_batch()?;
        self.store.run(|db| {
            let sql = "update gap set judged = 1 where zone_id = ? and from_at = ?";
            let mut judged = db.prepare(sql)?;
            for gap in gaps {
                judged.execute(params![gap.zone, gap.from])?;
            }
            Ok(())
        })?;
        tx.commit()
    }
}
