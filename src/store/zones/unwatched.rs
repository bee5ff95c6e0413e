//! Zones that no source of the configuration feeds any more: their records stay open, and accuse nobody.

use std::collections::{BTreeMap, BTreeSet};

use crate::dns::Name;
use crate::store::door::{Numbers, params};
use crate::store::error::StoreError;
use crate::store::keys::{SourceKind, View};
use crate::store::sqlite::dialect::rows_of;
use crate::store::zones::Zones;
use crate::time::Timestamp;

/// The word of `zone.ended`, and the reason in `status`, of a zone that no source of the configuration feeds any more.
pub(in crate::store) const UNWATCHED: &str = "unwatched";
/// That of one that its catalog lists no more (RFC 9432).
pub(in crate::store) const LEFT_CATALOG: &str = "left-catalog";
/// The word of `zone.ended` of one that has a source again, which has not shown it yet: what stood in it when watching
/// ended may be long gone.
pub(in crate::store) const AWAITED: &str = "awaited";

/// When watching a zone ended, by the time of its own source. Null while it is watched. Of `z` and its source `s`.
pub(in crate::store) const ENDED_AT: &str = "
    case when z.ended is not null
         then case when s.kind in ('transfer', 'catalog', 'probe')
                   then coalesce(z.last_success_at, s.last_success_at, 0)
                   else coalesce(s.last_event_at, 0) end end";

/// Why a zone could not be seen until now: the reason of the gap that a success ends. Of a row of `zone`.
pub(in crate::store) const UNSEEN_FOR: &str = "case when ended is not null then 'unwatched'
          when last_error is null then 'not-asked'
          else coalesce(refused_reason, 'unknown') end";
/// Whether a row of `zone` waits for its source to show it.
pub(in crate::store) const IS_AWAITED: &str = "ended = 'awaited'";
/// What an update sets once the source has shown it.
pub(in crate::store) const IS_SHOWN: &str = "ended = nullif(ended, 'awaited')";

/// Returns whether a zone is not watched any more, as its administrator wants it, or not yet again: that is no failure.
pub fn is_ended(refused_reason: Option<&str>) -> bool {
    matches!(refused_reason, Some(UNWATCHED | LEFT_CATALOG | AWAITED))
}

/// Returns what `status` says of a zone that is not watched any more.
pub(in crate::store) fn ending(word: &str) -> &'static str {
    match word {
        LEFT_CATALOG => "its catalog does not list it any more",
        AWAITED => "its source has not shown it yet since it was put back",
        _ => "no source of the configuration feeds it any more",
    }
}

/// Returns what stands in `zone.ended` of a zone that gets a source of this kind: only what is looked at shows the whole
/// zone, and a feed tells of changes alone.
pub(in crate::store) fn returning(kind: SourceKind) -> Option<&'static str> {
    match kind {
        SourceKind::Feed | SourceKind::Import | SourceKind::Passive => None,
        SourceKind::Transfer | SourceKind::Catalog | SourceKind::Zonefile | SourceKind::Probe => {
            Some(AWAITED)
        }
    }
}

/// What a configuration watches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watched {
    /// The names of sources that say themselves which zones they feed.
    pub sources: BTreeSet<String>,
    /// The apexes of the zones that sources name, each with the kind of its source.
    pub zones: BTreeMap<Name, SourceKind>,
}

impl Watched {
    /// Adds a zone that a source of a kind names.
    pub fn name(&mut self, zone: &Name, kind: SourceKind) {
        self.zones.insert(zone.clone(), kind);
    }
}

/// Zones that are to be noted: rows of those whose watching ended, of those that are watched again, and of those that will be
/// when their source has shown them.
#[derive(Default)]
struct Noted {
    ended: Numbers,
    begun: Numbers,
    /// Of these, those that another source had until then: a feed goes on where it was read to, and what comes in place of
    /// something else does not.
    handed_over: Numbers,
    awaited: Numbers,
    /// The apexes of those whose watching ended.
    names: Vec<Name>,
}

impl Zones<'_> {
    /// Notes which zones no source feeds any more, and which are fed again. Returns those that were watched until now. What
    /// was brought in by hand has no source that could end.
    pub fn note_watched(&self, watched: &Watched, now: Timestamp) -> Result<Vec<Name>, StoreError> {
        let Noted {
            ended,
            begun,
            handed_over,
            awaited,
            names,
        } = self.find_changed(watched)?;
        let marks = [
            (ended, Some(UNWATCHED)),
            (begun, None),
            (awaited, Some(AWAITED)),
        ];
        if marks.iter().all(|(zones, _)| zones.0.is_empty()) {
            return Ok(names);
        }
        let tx = self.store.begin_batch()?;
        self.store.run(|db| {
            let sql = format!(
                "insert into gap (zone_id, from_at, to_at, reason)
                 select id, last_success_at,
                        case when last_success_at > ?2 then last_success_at else ?2 end, 'unwatched'
                   from zone
                  where id in (select value from {zones}) and last_success_at is not null
                 on conflict do nothing",
                zones = rows_of("?1")
            );
            db.execute(&sql, params![handed_over, now])?;
            let sql = format!(
                "update zone
                    set ended = ?2
                  where id in (select value from {zones})",
                zones = rows_of("?1")
            );
            for (zones, mark) in marks {
                db.execute(&sql, params![zones, mark])?;
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
        let feeding = |id: i64| {
            let (.., kind) = sources.iter().find(|(known, ..)| *known == id)?;
            SourceKind::parse(kind)
        };
        let rows: Vec<(i64, String, String, i64, Option<String>)> = self.store.run(|db| {
            let sql = format!(
                "select id, name, view, source_id, ended
                   from zone
                  where view <> 'passive'
                        and (source_id in (select value from {gone}) or ended is not null)
                  order by name, view",
                gone = rows_of("?1")
            );
            db.query(&sql, [list], |row| {
                Ok((
                    row.get("id")?,
                    row.get("name")?,
                    row.get("view")?,
                    row.get("source_id")?,
                    row.get("ended")?,
                ))
            })
        })?;
        let mut noted = Noted::default();
        for (id, name, view, source, mark) in rows {
            let apex = self.store.read_name(&name)?;
            let named = watched.zones.get(&apex).copied();
            let named = named.filter(|_| view == View::Zone.word());
            let by_source = feeding(source).filter(|_| !gone.contains(&source));
            // What left its catalog is not fed by this; a source that names it feeds it again.
            let feeds = match mark.as_deref() {
                Some(LEFT_CATALOG) => named,
                _ => named.or(by_source),
            };
            match (feeds, mark.as_deref()) {
                (Some(kind), Some(UNWATCHED | LEFT_CATALOG)) if returning(kind).is_some() => {
                    noted.awaited.0.push(id);
                }
                (Some(kind), Some(_)) if returning(kind).is_none() => {
                    noted.begun.0.push(id);
                    if feeding(source) != Some(SourceKind::Feed) {
                        noted.handed_over.0.push(id);
                    }
                }
                (Some(_), _) | (None, Some(UNWATCHED | LEFT_CATALOG)) => {}
                (None, _) => {
                    noted.ended.0.push(id);
                    noted.names.push(apex);
                }
            }
        }
        Ok(noted)
    }
}

#[cfg(test)]
mod tests {
    use crate::store::handle::{Store, StoreOptions};
    use crate::store::zones::catalogs::{CatalogChange, MemberRow};
    use crate::zone::Refusal;

    use super::*;

    #[test]
    fn member_that_left_stays_ended_whatever_late_attempts_say_and_begins_when_it_is_seen_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("made");
        let zones = store.zones();
        let source = zones.ensure_source("cat", SourceKind::Catalog);
        let source = source.expect("made");
        let name = |text: &str| Name::parse(text).expect("valid");
        let (catalog, member) = (name("cat.test"), name("one.example"));
        let at = Timestamp::from_unix;
        let apply = |change: CatalogChange, at: Timestamp| {
            let applied = zones.apply_catalog(source, &catalog, None, &change, at);
            applied.expect("applied");
        };
        let row = MemberRow {
            zone: member.clone(),
            group: None,
            change_of_ownership: None,
        };
        let joins = || CatalogChange {
            joined: [("m1".to_owned(), row.clone())].into(),
            ..CatalogChange::default()
        };
        let attempt = |at: Timestamp, refusal: Option<&Refusal>| {
            let noted = zones.record_zone_attempt(&member, at, refusal);
            noted.expect("noted");
        };
        // What `status` says, and by when what stands in the zone counts.
        let standing = || {
            let rows = zones.status().expect("readable");
            let row = rows
                .into_iter()
                .find(|it| it.zone.as_ref() == Some(&member));
            let found = zones.zones_enclosing(&member).expect("readable");
            (row.expect("it is there").refused_reason, found[0].ended_at)
        };
        apply(joins(), at(1_000));
        attempt(at(2_000), None);
        assert_eq!(standing(), (None, None));
        let left = CatalogChange {
            left: [("m1".to_owned(), (member.clone(), false))].into(),
            ..CatalogChange::default()
        };
        apply(left, at(3_000));
        let ended = Some(LEFT_CATALOG.to_owned());
        assert_eq!(standing(), (ended.clone(), Some(at(2_000))));
        // A transfer that was in hand succeeds, another is refused.
        attempt(at(3_500), None);
        let refusal = Refusal::Timeout("no answer".to_owned());
        attempt(at(4_000), Some(&refusal));
        assert_eq!(standing(), (ended, Some(at(3_500))));
        apply(joins(), at(5_000));
        assert_eq!(standing().1, Some(at(3_500)), "nobody has seen it yet");
        attempt(at(6_000), None);
        assert_eq!(standing(), (None, None));
        let state = zones.find_zone(&member).expect("readable").expect("known");
        let gaps = zones.gaps(state.id).expect("readable");
        assert_eq!(gaps.len(), 1);
        assert_eq!((gaps[0].from, gaps[0].to), (at(3_500), at(6_000)));
        assert_eq!(gaps[0].reason, UNWATCHED);
    }

    #[test]
    fn source_that_names_a_zone_begins_it_again_whatever_it_was_ended_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("made");
        let zones = store.zones();
        let source = zones.ensure_source("cat", SourceKind::Catalog);
        let source = source.expect("made");
        let zone = Name::parse("one.example").expect("valid");
        zones.ensure_zone(&zone, source).expect("made");
        let at = Timestamp::from_unix;
        let seen = zones.record_zone_attempt(&zone, at(2_000), None);
        seen.expect("noted");
        let mut watched = Watched::default();
        watched.sources.insert("cat".to_owned());
        let mark_after = |ended: &str, watched: &Watched| -> Option<String> {
            let set = store.run(|db| db.execute("update zone set ended = ?", [ended]));
            set.expect("set");
            zones.note_watched(watched, at(9_000)).expect("noted");
            let mark = store.run(|db| db.value("select ended from zone", ()));
            mark.expect("readable")
        };
        let awaited = Some(AWAITED.to_owned());
        assert_eq!(
            mark_after(LEFT_CATALOG, &watched).as_deref(),
            Some(LEFT_CATALOG)
        );
        assert_eq!(mark_after(UNWATCHED, &watched), awaited);
        assert_eq!(mark_after(AWAITED, &watched), awaited);
        watched.name(&zone, SourceKind::Zonefile);
        for ended in [LEFT_CATALOG, UNWATCHED, AWAITED] {
            assert_eq!(mark_after(ended, &watched), awaited, "{ended}");
        }
        // A feed tells of changes alone: there is nothing to wait for.
        watched.name(&zone, SourceKind::Feed);
        for ended in [LEFT_CATALOG, UNWATCHED, AWAITED] {
            assert_eq!(mark_after(ended, &watched), None, "{ended}");
        }
        // What came and went before the feed took over is not known.
        let state = zones.find_zone(&zone).expect("readable").expect("known");
        let gaps = zones.gaps(state.id).expect("readable");
        assert_eq!(gaps.len(), 1);
        assert_eq!((gaps[0].from, gaps[0].to), (at(2_000), at(9_000)));
    }
}
