//! Zones that no source of the configuration feeds any more: their records stay open, and accuse nobody.

use std::collections::BTreeSet;

use crate::dns::Name;
use crate::store::door::{Numbers, params};
use crate::store::error::StoreError;
use crate::store::keys::{SourceKind, View};
use crate::store::sqlite::dialect::rows_of;
use crate::store::zones::Zones;
use crate::time::Timestamp;

/// The word of `refused_reason` for a zone that no source of the configuration feeds any more.
pub(in crate::store) const UNWATCHED: &str = "unwatched";
/// That of one that its catalog lists no more (RFC 9432).
pub(in crate::store) const LEFT_CATALOG: &str = "left-catalog";

/// Returns whether a zone is not watched any more, as its administrator wants it: that is no failure.
pub fn is_ended(refused_reason: Option<&str>) -> bool {
    matches!(refused_reason, Some(UNWATCHED | LEFT_CATALOG))
}

/// Returns the SQL of when watching a zone ended, by the time of its own source: of one that no source feeds any more, or
/// no catalog lists. Null while it is watched. Of `z` and its source `s`.
pub(in crate::store) fn ended_at() -> String {
    format!(
        "case when z.refused_reason in ('{UNWATCHED}', '{LEFT_CATALOG}')
              then case when s.kind in ('transfer', 'catalog', 'probe')
                        then coalesce(z.last_success_at, s.last_success_at, 0)
                        else coalesce(s.last_event_at, 0) end end"
    )
}

/// What a configuration watches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watched {
    /// The names of sources that say themselves which zones they feed.
    pub sources: BTreeSet<String>,
    /// The apexes of the zones that the other sources feed.
    pub zones: BTreeSet<Name>,
}

/// Zones that are to be noted: rows of those whose watching ended, and of those that are watched again.
#[derive(Default)]
struct Noted {
    ended: Vec<i64>,
    begun: Vec<i64>,
    /// The apexes of the former.
    names: Vec<Name>,
}

impl Zones<'_> {
    /// Notes which zones no source feeds any more, and which are fed again. Returns those that were watched until now. What
    /// was brought in by hand has no source that could end.
    pub fn note_watched(&self, watched: &Watched, now: Timestamp) -> Result<Vec<Name>, StoreError> {
        let Noted {
            ended,
            begun,
            names,
        } = self.find_changed(watched)?;
        if ended.is_empty() && begun.is_empty() {
            return Ok(names);
        }
        let tx = self.store.begin_batch()?;
        self.store.run(|db| {
            let mut end = db.prepare(
                "update zone
                    set refused_reason = ?2,
                        last_error = 'no source of the configuration feeds it any more'
                  where id = ?1",
            )?;
            for id in &ended {
                end.execute(params![id, UNWATCHED])?;
            }
            // Meanwhile nobody looked.
            let mut gap = db.prepare(
                "insert into gap (zone_id, from_at, to_at, reason)
                 select z.id, z.last_success_at, ?2, z.refused_reason
                   from zone z join source s on s.id = z.source_id
                  where z.id = ?1 and z.last_success_at < ?2
                        and s.kind in ('transfer', 'catalog')
                 on conflict do nothing",
            )?;
            let mut begin = db.prepare(
                "update zone
                    set refused_reason = null, last_error = null
                  where id = ?1",
            )?;
            for id in &begun {
                gap.execute(params![id, now])?;
                begin.execute(params![id])?;
            }
            Ok(())
        })?;
        tx.commit()?;
        Ok(names)
    }

    /// Returns which zones are to be noted.
    fn find_changed(&self, watched: &Watched) -> Result<Noted, StoreError> {
        let sources: Vec<(i64, String, String)> = self.store.run(|db| {
            db.query("select id, name, kind from source", (), |row| {
                Ok((row.get("id")?, row.get("name")?, row.get("kind")?))
            })
        })?;
        let by_hand = [SourceKind::Import, SourceKind::Passive].map(SourceKind::word);
        let gone = sources.iter().filter(|(_, name, kind)| {
            !watched.sources.contains(name) && !by_hand.contains(&kind.as_str())
        });
        let gone: BTreeSet<i64> = gone.map(|(id, ..)| *id).collect();
        let list: Numbers = gone.iter().copied().collect();
        let rows: Vec<(i64, String, String, i64, Option<String>)> = self.store.run(|db| {
            let sql = format!(
                "select id, name, view, source_id, refused_reason
                   from zone
                  where view <> 'passive'
                        and (source_id in (select value from {gone}) or refused_reason = '{UNWATCHED}')
                  order by name, view",
                gone = rows_of("?1")
            );
            db.query(&sql, [list], |row| {
                Ok((
                    row.get("id")?,
                    row.get("name")?,
                    row.get("view")?,
                    row.get("source_id")?,
                    row.get("refused_reason")?,
                ))
            })
        })?;
        let mut noted = Noted::default();
        for (id, name, view, source, reason) in rows {
            let apex = self.store.read_name(&name)?;
            let is_watched = !gone.contains(&source)
                || (view == View::Zone.word() && watched.zones.contains(&apex));
            match (is_watched, reason.as_deref()) {
                (true, Some(UNWATCHED)) => noted.begun.push(id),
                (false, Some(UNWATCHED | LEFT_CATALOG)) | (true, _) => {}
                (false, _) => {
                    noted.ended.push(id);
                    noted.names.push(apex);
                }
            }
        }
        Ok(noted)
    }
}
