//! How the zones and sources stand, for people and for metrics.

use std::sync::LazyLock;

use crate::dns::{Name, Serial};
use crate::store::door::Numbers;
use crate::store::error::StoreError;
use crate::store::keys::{SourceId, SourceKind, ZoneId};
use crate::store::sqlite::dialect::rows_of;
use crate::store::zones::Zones;
use crate::store::zones::unwatched::{AWAITED, ending, is_ended};
use crate::store::zones::watched::EXPIRE_KEY;
use crate::time::Timestamp;

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

impl ZoneStatus {
    /// Returns whether the last attempt failed, or a person has to decide. One that is not watched any more is as its
    /// administrator wants it.
    pub fn is_in_trouble(&self) -> bool {
        let reason = self.refused_reason.as_deref();
        let has_failed = reason.is_some() || self.last_error.is_some();
        (self.held || has_failed) && !is_ended(reason)
    }
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

/// The times in which a zone could not be seen, in order. Between two looks that succeeded it is told by their versions.
pub(in crate::store) const GAPS: &str = "select from_at, to_at, reason
       from gap
      where zone_id = ? and reason <> 'not-asked'
      order by from_at";

/// What changes whenever history or a case does. Sums: of two times the later one may stay while the other moves.
const MARK: &str = "select coalesce((select max(id) from version), 0)
   || '.' || coalesce((select max(id) from chain), 0)
   || '.' || coalesce((select id || '-' || uid
                         from case_event order by id desc limit 1), '0')
   || '.' || coalesce((select sum(evaluated_at) from abuse_case), 0)
   || '.' || coalesce((select sum(last_attempt_at) from source), 0)";
/// What changes whenever one of some zones is looked at.
static LOOKED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select coalesce(sum(last_attempt_at), 0)
           from zone where id in (select value from {list})",
        list = rows_of("?")
    )
});

impl Zones<'_> {
    /// Returns the times in which a zone could not be seen, in order.
    pub fn gaps(&self, zone: ZoneId) -> Result<Vec<Gap>, StoreError> {
        self.store.run(|db| {
            db.query(GAPS, [zone.0], |row| {
                Ok(Gap {
                    from: row.get("from_at")?,
                    to: row.get("to_at")?,
                    reason: row.get("reason")?,
                })
            })
        })
    }

    /// Returns a source's kind and newest event time.
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

    /// Returns what changes whenever history or a case does, or one of some zones was looked at; `None` for any zone,
    /// which reads a row of each.
    pub fn state_mark(&self, zones: Option<&[ZoneId]>) -> Result<String, StoreError> {
        if let Some(zones) = zones {
            self.ask_ahead_of_mark(zones)?;
        }
        self.store.run(|db| {
            let mark: String = db.value(MARK, ())?;
            let looked: i64 = match zones {
                Some(zones) => db.value(&LOOKED, [numbers_of(zones)]),
                None => db.value("select coalesce(sum(last_attempt_at), 0) from zone", ()),
            }?;
            Ok(format!("{mark}.{looked}"))
        })
    }

    /// Tells a server that [`Zones::state_mark`] of the zones that a name lies in is asked for next.
    pub fn ask_ahead_of_mark_at(&self, name: &Name) -> Result<(), StoreError> {
        let guessed = self.zones_guessed(name);
        let guessed: Vec<ZoneId> = guessed.iter().map(|zone| zone.id).collect();
        match guessed.is_empty() {
            true => Ok(()),
            false => self.ask_ahead_of_mark(&guessed),
        }
    }

    /// Tells a server that [`Zones::state_mark`] of some zones is asked for next.
    pub fn ask_ahead_of_mark(&self, zones: &[ZoneId]) -> Result<(), StoreError> {
        self.store.run(|db| {
            if !db.asks_ahead() {
                return Ok(());
            }
            db.ask_ahead(MARK, ())?;
            db.ask_ahead(&LOOKED, [numbers_of(zones)])
        })
    }

    /// Returns every zone, and every source that has none, in order of names.
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
                              coalesce(z.refused_reason, s.refused_reason) as refused, z.ended,
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
                        order by z.name nulls first, s.name";
            let mut statement = db.prepare(sql)?;
            let time = |value: Option<i64>| value.map(Timestamp::from_unix);
            statement.query([EXPIRE_KEY], |row| {
                Ok((
                    row.get::<Option<String>>("zone_name")?,
                    row.get::<String>("kind")?,
                    row.get::<Option<String>>("ended")?,
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
        let finish = |(name, kind, ended, mut status): (_, String, Option<String>, ZoneStatus)| {
            let name: Option<String> = name;
            let source_kind = SourceKind::parse(&kind)
                .ok_or_else(|| self.store.damaged(format!("source kind {kind:?}")))?;
            // Whatever an attempt that ended later said.
            let has_failed = status.last_error.is_some();
            // Why its source does not show it is worth more than that it has not.
            let ended = ended.filter(|word| word != AWAITED || !has_failed);
            if let Some(word) = ended {
                status.last_error = Some(ending(&word).to_owned());
                status.refused_reason = Some(word);
            }
            Ok(ZoneStatus {
                zone: name.map(|name| self.store.read_name(&name)).transpose()?,
                source_kind,
                ..status
            })
        };
        rows.into_iter().map(finish).collect()
    }
}

/// Returns the rows of zones.
fn numbers_of(zones: &[ZoneId]) -> Numbers {
    zones.iter().map(|zone| zone.0).collect()
}
