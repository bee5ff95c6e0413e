//! Sources and zones: who feeds what, where each stands, what went wrong last.

use crate::dns::{Name, Serial};
use crate::evidence::Hash;
use crate::store::door::{Fault, Row, params};
use crate::store::error::StoreError;
use crate::store::keys::{SourceId, SourceKind, View, ZoneId};
use crate::store::zones::Zones;
use crate::store::zones::attempts::{OF_ZONE, note_failed, note_seen};
use crate::store::zones::unwatched::returning;
use crate::time::{Span, Timestamp};
use crate::zone::Refusal;

/// Before a zone's name: the key of its SOA's expire among the noted numbers.
pub(super) const EXPIRE_KEY: &str = "soa_expire:";

/// Before the row of a zone: the key of [`ZoneState::ttls`] among the noted numbers.
pub(in crate::store) const TTLS_KEY: &str = "ttls:";

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
    /// The row of the newest version of any zone when this was read; 0 if there is none.
    pub newest_of_all: i64,
    /// The newest hash of a version in the zone's chain. A number of a version comes again for another one after a backup
    /// was restored; its hash does not.
    pub newest_hash: Option<Hash>,
    /// Tells apart states of the zone between which TTLs alone are new, which make no version; 0 before there were any.
    pub ttls: i64,
}

impl Zones<'_> {
    /// Returns the source called `name`, made if it is not there.
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
    pub fn ensure_zone(&self, apex: &Name, source: SourceId) -> Result<ZoneState, StoreError> {
        self.ensure_view(apex, View::Zone, source)
    }

    /// [`Zones::ensure_zone`] of any view.
    pub fn ensure_view(
        &self,
        apex: &Name,
        view: View,
        source: SourceId,
    ) -> Result<ZoneState, StoreError> {
        if let Some(zone) = self.find_view(apex, view)?
            // Read far more often than it changes: a row that is as it should be is not written again.
            && zone.source == source
        {
            return Ok(zone);
        }
        self.store.run(|db| {
            let kind: String = db.value("select kind from source where id = ?", [source.0])?;
            let mark = SourceKind::parse(&kind).and_then(returning);
            let sql = "insert into zone (name, view, source_id) values (?1, ?2, ?3)
                       on conflict (name, view)
                         do update set source_id = excluded.source_id,
                                       ended = case when zone.ended is not null then ?4 end";
            db.execute(sql, params![apex.to_string(), view.word(), source, mark])
        })?;
        Ok(self.find_view(apex, view)?.expect("the row was just made"))
    }

    /// Returns what history holds of a zone; `None` if it has never met it.
    pub fn find_zone(&self, apex: &Name) -> Result<Option<ZoneState>, StoreError> {
        self.find_view(apex, View::Zone)
    }

    /// Returns the zone's own view, or that of a probe where there is none.
    pub fn find_any_view(&self, apex: &Name) -> Result<Option<ZoneState>, StoreError> {
        for view in [View::Zone, View::Parent, View::Child] {
            if let Some(zone) = self.find_view(apex, view)? {
                return Ok(Some(zone));
            }
        }
        Ok(None)
    }

    /// [`Zones::find_zone`] of any view.
    pub fn find_view(&self, apex: &Name, view: View) -> Result<Option<ZoneState>, StoreError> {
        let row = self.store.run(|db| {
            let sql = "select z.id, z.source_id, s.kind, z.version_id, v.observed_at, z.serial,
                              z.detected_version_id, z.kept_count, z.name_count, z.delegation_count,
                              coalesce(v.kind <> 'feed' and v.source_id = z.source_id, false) as newest_is_whole,
                              z.accept_requested, z.usual_ttl, z.kept_since_at, z.whole_at,
                              z.whole_tried_at, z.held, z.stepped,
                              (select coalesce(max(id), 0) from version) as newest_of_all,
                              (select c.hash
                                 from chain c where c.zone_id = z.id and c.kind = 'version'
                                order by c.id desc limit 1) as newest_hash,
                              (select m.value
                                 from meta m where m.key = ?3 || cast(z.id as text)) as ttls
                         from zone z join source s on s.id = z.source_id
                              left join version v on v.id = z.version_id
                        where z.name = ?1 and z.view = ?2";
            let name = apex.to_string();
            db.query_first(sql, [&name, view.word(), TTLS_KEY], |row| read_zone(row, apex, view))
        })?;
        match row {
            Some(None) => Err(self.store.damaged(format!("source kind of zone {apex}"))),
            Some(state) => Ok(state),
            None => Ok(None),
        }
    }

    /// Returns the name of the source that feeds a zone, if history knows the zone.
    pub fn source_of_zone(&self, apex: &Name) -> Result<Option<String>, StoreError> {
        self.store.run(|db| {
            let sql = "select s.name
                         from zone z join source s on s.id = z.source_id
                        where z.name = ? and z.view = 'zone'";
            db.first_value(sql, [apex.to_string()])
        })
    }

    /// Returns the apexes of every zone that a source feeds, in order.
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
    /// When it failed first is never later than now, whatever a clock said that was ahead, nor is its last success. Of a zone
    /// that failed before this was noted it is the last success: nobody knows better.
    pub fn record_zone_attempt(
        &self,
        apex: &Name,
        at: Timestamp,
        refusal: Option<&Refusal>,
    ) -> Result<(), StoreError> {
        let Some(refusal) = refusal else {
            return self.record_zones_seen(std::slice::from_ref(apex), at);
        };
        self.store
            .run(|db| note_failed(db, OF_ZONE, &apex.to_string(), at, refusal))
    }

    /// Notes that a zone was seen whole, and that something older of it was refused.
    pub fn record_partial_attempt(
        &self,
        apex: &Name,
        at: Timestamp,
        refusal: &Refusal,
    ) -> Result<(), StoreError> {
        self.record_zones_seen(std::slice::from_ref(apex), at)?;
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

    /// Notes that zones were seen whole, changed or not, in one transaction. Of a zone that was seen last by a clock that was
    /// ahead, what it could not be seen for ends now, and is judged again. A zone that is transferred, has changed, and was not
    /// asked for longer than an hour was not seen meanwhile either: what has left it may have left at any time since.
    pub fn record_zones_seen(&self, apexes: &[Name], at: Timestamp) -> Result<(), StoreError> {
        if apexes.is_empty() {
            return Ok(());
        }
        let tx = self.store.begin_batch()?;
        self.store.run(|db| {
            let names = apexes.iter().map(Name::to_string);
            note_seen(db, OF_ZONE, names, at)
        })?;
        tx.commit()
    }

    /// Asks the poller, which may be another process, to take a zone's next version although it shrank.
    /// False if history does not know the zone.
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
    pub fn save_soa_timers(
        &self,
        apex: &Name,
        refresh_s: u32,
        retry_s: u32,
        expire_s: u32,
    ) -> Result<(), StoreError> {
        let key = format!("{EXPIRE_KEY}{apex}");
        if self.store.desk().saved_number(&key)? != Some(expire_s.into()) {
            self.store.desk().save_number(&key, expire_s.into())?;
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
    pub fn record_failed_comparison(&self, zone: ZoneId, at: Timestamp) -> Result<(), StoreError> {
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

    /// Notes how an attempt at a source ended that has no zone of its own, such as a feed.
    pub fn record_source_attempt(
        &self,
        source: SourceId,
        at: Timestamp,
        refusal: Option<&Refusal>,
    ) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                let sql = "update source
                              set last_attempt_at = ?2,
                                  last_success_at = case when cast(?3 as text) is null or last_success_at > ?2 then ?2
                                                         else last_success_at end,
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
    pub fn save_event_time(&self, source: SourceId, at: Timestamp) -> Result<(), StoreError> {
        self.store.run(|db| {
            db.write(
                "update source
                        set last_event_at = case when last_event_at > ?2 then last_event_at
                                                 else ?2 end
                      where id = ?1",
                params![source, at],
            )
        })
    }

    /// Returns the kind of the source of this name; `None` if there is none.
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
        newest_of_all: row.get("newest_of_all")?,
        newest_hash: row.get("newest_hash")?,
        ttls: row.get::<Option<i64>>("ttls")?.unwrap_or_default(),
        is_stepped: row.get::<i64>("stepped")? > 0,
        is_suspect: row.get::<i64>("stepped")? == 2,
    }))
}
