//! Sources and zones: who feeds what, where each stands, what went wrong last.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dns::{Name, Serial};
use crate::store::door::{Fault, Numbers, Row, params};
use crate::store::error::StoreError;
use crate::store::keys::{SourceId, SourceKind, View, ZoneId};
use crate::store::sqlite::dialect::rows_of;
use crate::store::zones::Zones;
use crate::time::{Span, Timestamp};
use crate::zone::Refusal;

/// Before a zone's name: the key of its SOA's expire among the noted numbers.
const EXPIRE_KEY: &str = "soa_expire:";

/// What history holds of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneState {
    /// Its row.
    pub id: ZoneId,
    /// Its apex.
    pub apex: Name,
    /// Who says it.
    pub view: View,
    /// The source that feeds it.
    pub source: SourceId,
    /// How that source's changes arrive.
    pub source_kind: SourceKind,
    /// The newest version; `None` before the baseline.
    pub version_id: Option<i64>,
    /// When the newest version was seen.
    pub version_at: Option<Timestamp>,
    /// The newest serial.
    pub serial: Option<Serial>,
    /// The version up to which the detector has judged.
    pub detected_version_id: i64,
    /// Records in the state.
    pub kept_count: u64,
    /// Owner names in the state.
    pub name_count: u64,
    /// Owner names with NS records in the state.
    pub delegation_count: u64,
    /// Whether the newest version is of the zone's own source and was whole, or a step from one that was.
    pub newest_is_whole: bool,
    /// Whether somebody asked for the next version to be taken although it shrank. Transfers, catalogs and zone files
    /// take this as `poll --accept`; the next success clears it.
    pub accept_requested: bool,
    /// The TTL that records of the past leave out.
    pub usual_ttl: Option<u32>,
    /// What was removed before this was pruned.
    pub kept_since: Option<Timestamp>,
    /// When the whole zone was last transferred and compared.
    pub whole_at: Option<Timestamp>,
    /// When that was last due and failed.
    pub whole_tried_at: Option<Timestamp>,
    /// Whether steps were applied since then: what they led to may not be the primary's own zone.
    pub is_stepped: bool,
    /// Whether they left a CNAME beside another record, so that the whole zone is due.
    pub is_suspect: bool,
    /// Whether the newest version waits for `poll --accept`.
    pub held: bool,
}

/// Where a zone's history is known to be coarser than the zone was, or to have been wrong for a while.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fidelity {
    /// When a transfer of the whole zone last differed from the state that steps had led to.
    pub drift_at: Option<Timestamp>,
    /// The primary that was compared with.
    pub drift_primary: Option<String>,
    /// How often one differed.
    pub drifts: u64,
    /// Names that differed, new TTLs included, summed.
    pub drift_names: u64,
    /// At most so many versions did not arrive.
    pub missed_max: u64,
    /// How often an unknown number of versions may not have arrived.
    pub missed_unknown: u64,
}

/// One line of `fluxwatch status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneStatus {
    /// The zone; `None` for a feed that has not named any yet.
    pub zone: Option<Name>,
    /// The source's name.
    pub source: String,
    /// How its changes arrive.
    pub source_kind: SourceKind,
    /// The newest serial.
    pub serial: Option<Serial>,
    /// When the zone was last seen whole, changed or not.
    pub last_success_at: Option<Timestamp>,
    /// When that was last tried.
    pub last_attempt_at: Option<Timestamp>,
    /// What the last failed attempt said; `None` after a success.
    pub last_error: Option<String>,
    /// The one-word reason of the last refusal; `None` after a success.
    pub refused_reason: Option<String>,
    /// Records in the state.
    pub records: u64,
    /// Whether the newest version waits for `poll --accept`.
    pub held: bool,
    /// Feed lines of the source that were set aside.
    pub rejected_lines: u64,
    /// Attempts to see the zone.
    pub attempts: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Versions in history.
    pub versions: u64,
    /// Changed names, summed over the versions.
    pub changes: u64,
    /// What is known to lack in history.
    pub fidelity: Fidelity,
    /// The SOA's expire, in seconds; `None` if the zone was never transferred.
    pub expire_s: Option<i64>,
}

/// A source as `status` tells it, for sources that failed before they named a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// Its row.
    pub id: SourceId,
    /// How its changes arrive.
    pub kind: SourceKind,
    /// The newest event time it brought.
    pub last_event_at: Option<Timestamp>,
}

/// A time in which a zone could not be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The last success before the failures.
    pub from: Timestamp,
    /// The first success after them.
    pub to: Timestamp,
    /// The word of the last refusal.
    pub reason: String,
}

/// Where a followed feed goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FeedPosition {
    /// Octets that have been read.
    pub offset: u64,
    /// Lines that have been read.
    pub line_number: u64,
    /// Keyed checksum of the octets just before `offset`: whether it is still the same file.
    pub tail_checksum: u64,
    /// The file's device and inode, by which it is found again under another name.
    #[serde(default)]
    pub file: Option<(u64, u64)>,
    /// Whether it lies within a line that was set aside for its length, and whose end has not been read.
    #[serde(default)]
    pub in_long_line: bool,
}

/// A zone file as it was when it was last looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMark {
    /// Modification time in nanoseconds since the epoch.
    pub modified_at_ns: i64,
    /// Size in octets.
    pub size_bytes: i64,
    /// The version time that was given to it.
    pub version_at: Timestamp,
    /// Why it was refused, if it was.
    pub refused_reason: Option<String>,
}

/// Why a feed line was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectKind {
    /// It could not be read.
    Unreadable,
    /// It is older than the newest change of its RRset and history says otherwise.
    Late,
}

impl RejectKind {
    /// Returns its word in the database.
    fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Late => "late",
        }
    }
}

/// A line to set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Why, for programs.
    pub kind: RejectKind,
    /// Its number in the feed, from 1.
    pub number: u64,
    /// Its octets.
    pub octets: Vec<u8>,
    /// Why, for people.
    pub reason: String,
}

/// A line that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// The source's name.
    pub source: String,
    /// Its number in its file, from 1.
    pub line: u64,
    /// `unreadable` or `late`.
    pub kind: String,
    /// Why, in a sentence.
    pub reason: String,
    /// The line without its newline, as it was read.
    pub octets: Vec<u8>,
    /// When it was set aside.
    pub rejected_at: Timestamp,
}

impl Zones<'_> {
    /// Returns the source called `name`, made if it is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Engine`].
    pub fn ensure_source(&self, name: &str, kind: SourceKind) -> Result<SourceId, StoreError> {
        self.store
            .run(|db| {
                // Asked for with every transfer; a row that is as it should be is not written again.
                let known: Option<(i64, String)> = db.query_first(
                    "select id, kind
                       from source where name = ?",
                    [name],
                    |row| Ok((row.get("id")?, row.get("kind")?)),
                )?;
                match known {
                    Some((id, known)) if known == kind.word() => Ok(id),
                    _ => {
                        let sql = "insert into source (name, kind) values (?, ?)
                                   on conflict (name)
                                     do update set kind = excluded.kind
                                   returning id";
                        db.write_returning_one(sql, params![name, kind.word()], |row| row.get("id"))
                    }
                }
            })
            .map(SourceId)
    }

    /// Returns the zone with this apex, made if it is not there, and makes `source` its source.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn ensure_zone(&self, apex: &Name, source: SourceId) -> Result<ZoneState, StoreError> {
        self.ensure_view(apex, View::Zone, source)
    }

    /// [`Zones::ensure_zone`] of any view.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn ensure_view(
        &self,
        apex: &Name,
        view: View,
        source: SourceId,
    ) -> Result<ZoneState, StoreError> {
        if let Some(zone) = self.find_view(apex, view)?
            && zone.source == source
        {
            return Ok(zone);
        }
        self.store.run(|db| {
            let sql = "insert into zone (name, view, source_id) values (?, ?, ?)
                       on conflict (name, view) do update set source_id = excluded.source_id";
            db.execute(sql, params![apex.to_string(), view.word(), source])
        })?;
        Ok(self.find_view(apex, view)?.expect("the row was just made"))
    }

    /// Returns what history holds of a zone; `None` if it has never met it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn find_zone(&self, apex: &Name) -> Result<Option<ZoneState>, StoreError> {
        self.find_view(apex, View::Zone)
    }

    /// Returns the zone's own view, or that of a probe where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn find_any_view(&self, apex: &Name) -> Result<Option<ZoneState>, StoreError> {
        for view in [View::Zone, View::Parent, View::Child] {
            if let Some(zone) = self.find_view(apex, view)? {
                return Ok(Some(zone));
            }
        }
        Ok(None)
    }

    /// [`Zones::find_zone`] of any view.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn find_view(&self, apex: &Name, view: View) -> Result<Option<ZoneState>, StoreError> {
        let row = self.store.run(|db| {
            let sql = "select z.id, z.source_id, s.kind, z.version_id, v.observed_at, z.serial,
                              z.detected_version_id, z.kept_count, z.name_count, z.delegation_count,
                              coalesce(v.kind <> 'feed' and v.source_id = z.source_id, 0) as newest_is_whole,
                              z.accept_requested, z.usual_ttl, z.kept_since_at, z.whole_at,
                              z.whole_tried_at, z.held, z.stepped
                         from zone z join source s on s.id = z.source_id
                              left join version v on v.id = z.version_id
                        where z.name = ? and z.view = ?";
            db.query_first(sql, [&apex.to_string(), view.word()], |row| read_zone(row, apex, view))
        })?;
        match row {
            Some(None) => Err(self.store.damaged(format!("source kind of zone {apex}"))),
            Some(state) => Ok(state),
            None => Ok(None),
        }
    }

    /// Returns the name of the source that feeds a zone, if history knows the zone.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn source_of_zone(&self, apex: &Name) -> Result<Option<String>, StoreError> {
        self.store.run(|db| {
            let sql = "select s.name
                         from zone z join source s on s.id = z.source_id
                        where z.name = ? and z.view = 'zone'";
            db.first_value(sql, [apex.to_string()])
        })
    }

    /// Returns the apexes of every zone that a source feeds, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn zones_of_source(&self, source: SourceId) -> Result<Vec<Name>, StoreError> {
        let names = self.store.run(|db| {
            db.values::<String>(
                "select name from zone where source_id = ? and view = 'zone' order by name",
                [source.0],
            )
        })?;
        names
            .iter()
            .map(|name| self.store.read_name(name))
            .collect()
    }

    /// Notes how an attempt at a zone ended: `None` is a success. A success after failures leaves a gap.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_zone_attempt(
        &self,
        apex: &Name,
        at: Timestamp,
        refusal: Option<&Refusal>,
    ) -> Result<(), StoreError> {
        if refusal.is_none() {
            return self.note_zones_seen(std::slice::from_ref(apex), at);
        }
        self.store
            .run(|db| {
                let sql = "update zone
                              set last_attempt_at = ?2, last_error = ?3, refused_reason = ?4,
                                  held = ?5, attempt_count = attempt_count + 1,
                                  failure_count = failure_count + 1
                            where name = ?1 and view = 'zone'";
                let held = refusal.is_some_and(Refusal::is_held);
                db.execute(
                    sql,
                    params![
                        apex.to_string(),
                        at,
                        refusal.map(ToString::to_string),
                        refusal.map(Refusal::code),
                        held
                    ],
                )
            })
            .map(|_| ())
    }

    /// Notes that a zone was seen whole, and that something older of it was refused.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_zone_partly(
        &self,
        apex: &Name,
        at: Timestamp,
        refusal: &Refusal,
    ) -> Result<(), StoreError> {
        self.note_zones_seen(std::slice::from_ref(apex), at)?;
        self.store
            .run(|db| {
                let sql = "update zone
                              set last_error = ?2, refused_reason = ?3,
                                  failure_count = failure_count + 1
                            where name = ?1 and view = 'zone'";
                db.execute(
                    sql,
                    params![apex.to_string(), refusal.to_string(), refusal.code()],
                )
            })
            .map(|_| ())
    }

    /// Notes that zones were seen whole, changed or not. More than one are noted in one transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_zones_seen(&self, apexes: &[Name], at: Timestamp) -> Result<(), StoreError> {
        let tx = match apexes.len() {
            0 => return Ok(()),
            1 => None,
            _ => Some(self.store.begin_batch()?),
        };
        self.store.run(|db| {
            // A pass over files that took the newest and refused an older one leaves no time unseen.
            let mut gap = db.prepare(
                "insert into gap (zone_id, from_at, to_at, reason)
                 select id, last_success_at,
                        case when last_success_at > ?2 then last_success_at else ?2 end,
                        coalesce(refused_reason, 'unknown')
                   from zone
                  where name = ?1 and view = 'zone' and last_error is not null
                        and last_success_at is not null
                        and not (last_attempt_at = last_success_at
                                 and source_id in
                                   (select id
                                      from source
                                     where kind in ('zonefile', 'import')))
                 on conflict do nothing",
            )?;
            let sql = "update zone
                          set last_attempt_at = ?2, last_success_at = ?2, last_error = null,
                              refused_reason = null, held = 0, accept_requested = 0,
                              attempt_count = attempt_count + 1
                        where name = ?1 and view = 'zone'";
            let mut seen = db.prepare(sql)?;
            for apex in apexes {
                let name = apex.to_string();
                gap.execute(params![name, at])?;
                seen.execute(params![name, at])?;
            }
            Ok(())
        })?;
        tx.map_or(Ok(()), crate::store::StoreTx::commit)
    }

    /// Asks the poller, which may be another process, to take a zone's next version although it shrank.
    /// False if history does not know the zone.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn request_accept(&self, apex: &Name) -> Result<bool, StoreError> {
        let changed = self.store.run(|db| {
            db.execute(
                "update zone set accept_requested = 1 where name = ? and view = 'zone'",
                [apex.to_string()],
            )
        })?;
        Ok(changed > 0)
    }

    /// [`Zones::request_accept`], only while the zone is held. False if it is not, or history does not know it: then
    /// nothing was asked for, and a later version that shrank is held as ever.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn request_accept_of_held(&self, apex: &Name) -> Result<bool, StoreError> {
        let changed = self.store.run(|db| {
            db.execute(
                "update zone set accept_requested = 1 where name = ? and view = 'zone' and held = 1",
                [apex.to_string()],
            )
        })?;
        Ok(changed > 0)
    }

    /// Keeps the timers of a zone's SOA.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_soa_timers(
        &self,
        apex: &Name,
        refresh_s: u32,
        retry_s: u32,
        expire_s: u32,
    ) -> Result<(), StoreError> {
        let key = format!("{EXPIRE_KEY}{apex}");
        if self.store.desk().noted_number(&key)? != Some(expire_s.into()) {
            self.store.desk().note_number(&key, expire_s.into())?;
        }
        self.store
            .run(|db| {
                let sql = "update zone
                              set refresh_s = ?2, retry_s = ?3
                            where name = ?1 and view = 'zone'
                                  and (refresh_s is distinct from ?2 or retry_s is distinct from ?3)";
                db.execute(sql, params![apex.to_string(), refresh_s, retry_s])
            })
            .map(|_| ())
    }

    /// Notes that the whole zone was to be transferred and compared, and that this failed.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_whole_failed(&self, zone: ZoneId, at: Timestamp) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                db.execute(
                    "update zone set whole_tried_at = ?2 where id = ?1",
                    params![zone, at],
                )
            })
            .map(|_| ())
    }

    /// Returns refresh and retry of a zone's newest SOA, if they are known.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn soa_timers(&self, apex: &Name) -> Result<Option<(Span, Span)>, StoreError> {
        let row: Option<(Option<i64>, Option<i64>)> = self.store.run(|db| {
            db.query_first(
                "select refresh_s, retry_s from zone where name = ? and view = 'zone'",
                [apex.to_string()],
                |row| Ok((row.get("refresh_s")?, row.get("retry_s")?)),
            )
        })?;
        Ok(row.and_then(|(refresh, retry)| Some((Span::seconds(refresh?), Span::seconds(retry?)))))
    }

    /// Returns the times in which a zone could not be seen, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn gaps(&self, zone: ZoneId) -> Result<Vec<Gap>, StoreError> {
        self.store.run(|db| {
            db.query(
                "select from_at, to_at, reason from gap where zone_id = ? order by from_at",
                [zone.0],
                |row| {
                    Ok(Gap {
                        from: row.get("from_at")?,
                        to: row.get("to_at")?,
                        reason: row.get("reason")?,
                    })
                },
            )
        })
    }

    /// Notes how an attempt at a source ended that has no zone of its own, such as a feed.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_source_attempt(
        &self,
        source: SourceId,
        at: Timestamp,
        refusal: Option<&Refusal>,
    ) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                let sql = "update source
                              set last_attempt_at = ?2,
                                  last_success_at = case when ?3 is null then ?2 else last_success_at end,
                                  last_error = ?3, refused_reason = ?4
                            where id = ?1";
                db.execute(
                    sql,
                    params![
                        source,
                        at,
                        refusal.map(ToString::to_string),
                        refusal.map(Refusal::code)
                    ],
                )
            })
            .map(|_| ())
    }

    /// Moves a source's newest event time forward; never back.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_event_time(&self, source: SourceId, at: Timestamp) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                db.execute(
                    "update source
                        set last_event_at = case when last_event_at > ?2 then last_event_at
                                                 else ?2 end
                      where id = ?1",
                    params![source, at],
                )
            })
            .map(|_| ())
    }

    /// Returns a source's kind and newest event time.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn source_status(&self, source: SourceId) -> Result<SourceStatus, StoreError> {
        let (kind, last_event_at) = self.store.run(|db| {
            db.query_one(
                "select kind, last_event_at from source where id = ?",
                [source.0],
                |row| {
                    Ok((
                        row.get::<String>("kind")?,
                        row.get::<Option<i64>>("last_event_at")?,
                    ))
                },
            )
        })?;
        let kind = SourceKind::parse(&kind)
            .ok_or_else(|| self.store.damaged(format!("source kind {kind:?}")))?;
        Ok(SourceStatus {
            id: source,
            kind,
            last_event_at: last_event_at.map(Timestamp::from_unix),
        })
    }

    /// Returns the kind of the source of this name; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn source_kind(&self, name: &str) -> Result<Option<SourceKind>, StoreError> {
        let kind: Option<String> = self
            .store
            .run(|db| db.first_value("select kind from source where name = ?", [name]))?;
        let read = |kind: String| {
            SourceKind::parse(&kind)
                .ok_or_else(|| self.store.damaged(format!("source kind {kind:?}")))
        };
        kind.map(read).transpose()
    }

    /// Returns where a feed goes on; the start if it was never read.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn feed_position(&self, source: SourceId) -> Result<FeedPosition, StoreError> {
        let text: Option<String> = self
            .store
            .run(|db| db.value("select position from source where id = ?", [source.0]))?;
        match text {
            Some(text) => {
                serde_json::from_str(&text).map_err(|fault| self.store.damaged(fault.to_string()))
            }
            None => Ok(FeedPosition::default()),
        }
    }

    /// Returns what changes whenever history or a case does, or one of some zones was looked at; `None` for any zone,
    /// which reads a row of each.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn state_mark(&self, zones: Option<&[ZoneId]>) -> Result<String, StoreError> {
        self.store.run(|db| {
            // Sums: of two times the later one may stay while the other moves.
            let sql = "select coalesce((select max(id) from version), 0)
   || '.' || coalesce((select max(id) from chain), 0)
   || '.' || coalesce((select id || '-' || uid
                         from case_event order by id desc limit 1), '0')
   || '.' || coalesce((select sum(evaluated_at) from abuse_case), 0)
   || '.' || coalesce((select sum(last_attempt_at) from source), 0)";
            let mark: String = db.value(sql, ())?;
            let looked: i64 = match zones {
                Some(zones) => {
                    let sql = format!(
                        "select coalesce(sum(last_attempt_at), 0)
                           from zone where id {in_list}",
                        in_list = format_args!("in (select value from {})", rows_of("?"))
                    );
                    db.value(&sql, [zones.iter().map(|zone| zone.0).collect::<Numbers>()])
                }
                None => db.value("select coalesce(sum(last_attempt_at), 0) from zone", ()),
            }?;
            Ok(format!("{mark}.{looked}"))
        })
    }

    /// Notes where a feed goes on.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn set_feed_position(
        &self,
        source: SourceId,
        position: &FeedPosition,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(position).expect("numbers have a JSON form");
        self.store
            .run(|db| {
                db.execute(
                    "update source set position = ?2 where id = ?1",
                    params![source, text],
                )
            })
            .map(|_| ())
    }

    /// Returns what is known of a zone file.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn file_mark(&self, source: SourceId, path: &Path) -> Result<Option<FileMark>, StoreError> {
        self.store.run(|db| {
            let sql = "select modified_at_ns, size_bytes, version_at, refused_reason
                         from source_file where source_id = ? and path = ?";
            db.query_first(sql, params![source, path.to_string_lossy()], read_mark)
        })
    }

    /// Returns the marks of all files of a source with the paths that they stand under, in no order.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn file_marks(&self, source: SourceId) -> Result<Vec<(PathBuf, FileMark)>, StoreError> {
        self.store.run(|db| {
            let sql = "select modified_at_ns, size_bytes, version_at, refused_reason, path
                         from source_file where source_id = ?";
            let mut marks = db.prepare(sql)?;
            let marks = marks.query([source.0], |row| {
                Ok((PathBuf::from(row.get::<String>("path")?), read_mark(row)?))
            })?;
            Ok(marks)
        })
    }

    /// Moves the mark of a zone file to another spelling of its path.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn move_file_mark(
        &self,
        source: SourceId,
        from: &Path,
        to: &Path,
    ) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                db.execute(
                    "update or replace source_file
                        set path = ?3
                      where source_id = ?1 and path = ?2",
                    params![source, from.to_string_lossy(), to.to_string_lossy()],
                )
            })
            .map(|_| ())
    }

    /// Notes that a zone file was looked at.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn set_file_mark(
        &self,
        source: SourceId,
        path: &Path,
        mark: &FileMark,
    ) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                let sql = "insert into source_file (source_id, path, modified_at_ns, size_bytes,
                                                    version_at, refused_reason)
                           values (?, ?, ?, ?, ?, ?)
                           on conflict (source_id, path)
                             do update set modified_at_ns = excluded.modified_at_ns,
                                           size_bytes = excluded.size_bytes,
                                           version_at = excluded.version_at,
                                           refused_reason = excluded.refused_reason";
                db.execute(
                    sql,
                    params![
                        source,
                        path.to_string_lossy(),
                        mark.modified_at_ns,
                        mark.size_bytes,
                        mark.version_at,
                        mark.refused_reason
                    ],
                )
            })
            .map(|_| ())
    }

    /// Returns whether the last file that a source brought of a zone ended with its SOA, as a dump of a transfer
    /// does. False if there was none.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn ended_with_soa(&self, source: SourceId, zone: ZoneId) -> Result<bool, StoreError> {
        Ok(self.store.desk().noted_number(&ending_key(source, zone))? == Some(1))
    }

    /// Notes how the last file that a source brought of a zone ended.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_file_ending(
        &self,
        source: SourceId,
        zone: ZoneId,
        ends_with_soa: bool,
    ) -> Result<(), StoreError> {
        if self.ended_with_soa(source, zone)? == ends_with_soa {
            return Ok(());
        }
        self.store
            .desk()
            .note_number(&ending_key(source, zone), ends_with_soa.into())
    }

    /// Sets lines of a feed aside, in one transaction. A line that was set aside before is not set aside again.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn reject_lines(
        &self,
        source: SourceId,
        lines: &[SetAside],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        let tx = self.store.begin_batch()?;
        self.store.run(|db| {
            let sql = "insert into rejected_line (source_id, line_number, kind, reason,
                                                            octets, rejected_at)
                       values (?, ?, ?, ?, ?, ?)
                       on conflict do nothing";
            let mut insert = db.prepare(sql)?;
            for line in lines {
                let number = line.number as i64;
                let values = params![
                    source,
                    number,
                    line.kind.word(),
                    line.reason,
                    line.octets,
                    at
                ];
                insert.execute(values)?;
            }
            Ok(())
        })?;
        tx.commit()
    }

    /// Returns the lines that were set aside, of one source or of all, newest first, at most `limit`. Those of
    /// one second follow their line numbers: what cannot be read is set aside before what is late.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn rejected_lines(
        &self,
        source: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RejectedRow>, StoreError> {
        self.store.run(|db| {
            let sql = "select s.name, r.line_number, r.kind, r.reason, r.octets, r.rejected_at
                         from rejected_line r join source s on s.id = r.source_id
                         where ?1 is null or s.name = ?1
                         order by r.rejected_at desc, r.line_number desc, r.id desc limit ?2";
            db.query(sql, params![source, limit as i64], |row| {
                Ok(RejectedRow {
                    source: row.get("name")?,
                    line: row.get::<i64>("line_number")? as u64,
                    kind: row.get("kind")?,
                    reason: row.get("reason")?,
                    octets: row.get("octets")?,
                    rejected_at: row.get("rejected_at")?,
                })
            })
        })
    }

    /// Returns every zone, and every source that has none, in order of names.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn status(&self) -> Result<Vec<ZoneStatus>, StoreError> {
        let rows = self.store.run(|db| {
            let sql = "select z.name as zone_name, s.name as source_name, s.kind, z.serial,
                              case when s.kind = 'feed'
                                        and (z.last_success_at is null
                                             or s.last_success_at > z.last_success_at)
                                   then s.last_success_at
                                   else z.last_success_at end as success_at,
                              coalesce(z.last_attempt_at, s.last_attempt_at) as attempt_at,
                              coalesce(z.last_error, s.last_error) as error,
                              coalesce(z.refused_reason, s.refused_reason) as refused,
                              coalesce(z.kept_count, 0) as kept_count, coalesce(z.held, 0) as held,
                              (select count(*) from rejected_line r where r.source_id = s.id) as rejected_count,
                              coalesce(z.attempt_count, 0) as attempt_count,
                              coalesce(z.failure_count, 0) as failure_count,
                              coalesce(z.version_count, 0) as version_count,
                              coalesce(z.change_count, 0) as change_count, z.drift_at,
                              z.drift_primary, coalesce(z.drift_count, 0) as drift_count,
                              coalesce(z.drift_name_count, 0) as drift_name_count,
                              coalesce(z.missed_count, 0) as missed_count,
                              coalesce(z.missed_unknown_count, 0) as missed_unknown_count,
                              (select m.value
                                 from meta m where m.key = ?1 || z.name and z.view = 'zone') as expire_s
                         from source s
                              left join zone z on z.source_id = s.id and z.view <> 'passive'
                        where z.id is not null or s.last_attempt_at is not null
                        order by z.name, s.name";
            let mut statement = db.prepare(sql)?;
            let time = |value: Option<i64>| value.map(Timestamp::from_unix);
            statement.query([EXPIRE_KEY], |row| {
                Ok((
                    row.get::<Option<String>>("zone_name")?,
                    row.get::<String>("kind")?,
                    ZoneStatus {
                        zone: None,
                        source: row.get("source_name")?,
                        source_kind: SourceKind::Import,
                        serial: row.get("serial")?,
                        last_success_at: time(row.get("success_at")?),
                        last_attempt_at: time(row.get("attempt_at")?),
                        last_error: row.get("error")?,
                        refused_reason: row.get("refused")?,
                        records: row.get::<i64>("kept_count")? as u64,
                        held: row.get("held")?,
                        rejected_lines: row.get::<i64>("rejected_count")? as u64,
                        attempts: row.get::<i64>("attempt_count")? as u64,
                        failures: row.get::<i64>("failure_count")? as u64,
                        versions: row.get::<i64>("version_count")? as u64,
                        changes: row.get::<i64>("change_count")? as u64,
                        fidelity: Fidelity {
                            drift_at: time(row.get("drift_at")?),
                            drift_primary: row.get("drift_primary")?,
                            drifts: row.get::<i64>("drift_count")? as u64,
                            drift_names: row.get::<i64>("drift_name_count")? as u64,
                            missed_max: row.get::<i64>("missed_count")? as u64,
                            missed_unknown: row.get::<i64>("missed_unknown_count")? as u64,
                        },
                        expire_s: row.get("expire_s")?,
                    },
                ))
            })
        })?;
        let finish = |(name, kind, status): (Option<String>, String, ZoneStatus)| {
            let source_kind = SourceKind::parse(&kind)
                .ok_or_else(|| self.store.damaged(format!("source kind {kind:?}")))?;
            Ok(ZoneStatus {
                zone: name.map(|name| self.store.read_name(&name)).transpose()?,
                source_kind,
                ..status
            })
        };
        rows.into_iter().map(finish).collect()
    }
}

/// Reads the mark of a zone file from the first four columns.
fn read_mark(row: &Row<'_>) -> Result<FileMark, Fault> {
    Ok(FileMark {
        modified_at_ns: row.get("modified_at_ns")?,
        size_bytes: row.get("size_bytes")?,
        version_at: row.get("version_at")?,
        refused_reason: row.get("refused_reason")?,
    })
}

/// Returns the name under which the ending of a source's last file of a zone is kept.
fn ending_key(source: SourceId, zone: ZoneId) -> String {
    format!("file_ends_with_soa {} {}", source.0, zone.0)
}

/// Reads a zone's row; `None` for a source kind that this program does not write.
fn read_zone(row: &Row<'_>, apex: &Name, view: View) -> Result<Option<ZoneState>, Fault> {
    let kind: String = row.get("kind")?;
    let Some(source_kind) = SourceKind::parse(&kind) else {
        return Ok(None);
    };
    Ok(Some(ZoneState {
        id: row.get("id")?,
        apex: apex.clone(),
        view,
        source: row.get("source_id")?,
        source_kind,
        version_id: row.get("version_id")?,
        version_at: row.get("observed_at")?,
        serial: row.get("serial")?,
        detected_version_id: row.get("detected_version_id")?,
        kept_count: row.get::<i64>("kept_count")? as u64,
        name_count: row.get::<i64>("name_count")? as u64,
        delegation_count: row.get::<i64>("delegation_count")? as u64,
        newest_is_whole: row.get("newest_is_whole")?,
        accept_requested: row.get("accept_requested")?,
        usual_ttl: row.get("usual_ttl")?,
        kept_since: row.get("kept_since_at")?,
        whole_at: row.get("whole_at")?,
        whole_tried_at: row.get("whole_tried_at")?,
        held: row.get("held")?,
        is_stepped: row.get::<i64>("stepped")? > 0,
        is_suspect: row.get::<i64>("stepped")? == 2,
    }))
}
