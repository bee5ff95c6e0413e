//! Catalogs: which zones they list, and listed.

use std::collections::BTreeMap;

use crate::dns::{Name, Serial};
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::keys::SourceId;
use crate::store::zones::Zones;
use crate::store::zones::unwatched::{AWAITED, LEFT_CATALOG};
use crate::time::Timestamp;

/// A zone that a catalog lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// Its apex.
    pub zone: Name,
    /// The group that its operator put it into.
    pub group: Option<String>,
    /// The catalog that it may move to.
    pub change_of_ownership: Option<Name>,
}

/// Where a zone is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The catalog's source.
    pub source: SourceId,
    /// That source's name.
    pub source_name: String,
    /// The zone's label in the catalog.
    pub label: String,
    /// The catalog that the zone may move to.
    pub change_of_ownership: Option<Name>,
}

/// What a catalog's new version changes, by the members' labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CatalogChange {
    /// Members that are listed from now on.
    pub joined: BTreeMap<String, MemberRow>,
    /// Members that are not listed any more; `true` for one whose zone goes on elsewhere.
    pub left: BTreeMap<String, (Name, bool)>,
    /// Zones whose label is new: RFC 9432 §5.4, they begin anew and are fetched whole.
    pub reset: Vec<Name>,
    /// Members of other catalogs that move to this one: source, label.
    pub taken_over: Vec<(SourceId, String)>,
}

impl Zones<'_> {
    /// Returns the members of a catalog now, by label.
    pub fn catalog_members(
        &self,
        source: SourceId,
    ) -> Result<BTreeMap<String, MemberRow>, StoreError> {
        let rows = self.store.run(|db| {
            let sql = "select label, zone_name, member_group, change_of_ownership
                         from catalog_member where source_id = ? and removed_at is null";
            db.query(sql, [source.0], |row| {
                Ok((
                    row.get("label")?,
                    row.get::<String>("zone_name")?,
                    row.get("member_group")?,
                    row.get::<Option<String>>("change_of_ownership")?,
                ))
            })
        })?;
        let member =
            |(label, zone, group, owner): (String, String, Option<String>, Option<String>)| {
                let row = MemberRow {
                    zone: self.store.read_name(&zone)?,
                    group,
                    change_of_ownership: owner
                        .map(|owner| self.store.read_name(&owner))
                        .transpose()?,
                };
                Ok((label, row))
            };
        rows.into_iter().map(member).collect()
    }

    /// Returns where a zone is listed now.
    pub fn catalog_of(&self, zone: &Name) -> Result<Option<Listing>, StoreError> {
        let row: Option<(i64, String, String, Option<String>)> = self.store.run(|db| {
            let sql = "select m.source_id, s.name, m.label, m.change_of_ownership
                         from catalog_member m join source s on s.id = m.source_id
                        where m.zone_name = ? and m.removed_at is null";
            db.query_first(sql, [zone.to_string()], |row| {
                Ok((
                    row.get("source_id")?,
                    row.get("name")?,
                    row.get("label")?,
                    row.get("change_of_ownership")?,
                ))
            })
        })?;
        let Some((source, source_name, label, owner)) = row else {
            return Ok(None);
        };
        Ok(Some(Listing {
            source: SourceId(source),
            source_name,
            label,
            change_of_ownership: owner
                .map(|owner| self.store.read_name(&owner))
                .transpose()?,
        }))
    }

    /// Writes a catalog's new version: its serial, who joined and who left. The history of a zone that
    /// left stays, and `status` says that it is not watched any more.
    pub fn apply_catalog(
        &self,
        source: SourceId,
        apex: &Name,
        serial: Option<Serial>,
        change: &CatalogChange,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let tx = self.store.begin_batch()?;
        self.store.run(|db| {
            let sql = "update catalog_member
                          set removed_at = case when added_at > ?3 then added_at else ?3 end
                        where source_id = ?1 and label = ?2 and removed_at is null";
            let mut leave = db.prepare(sql)?;
            for (other, label) in &change.taken_over {
                leave.execute(params![other.0, label, at])?;
            }
            // Whom another source has taken over is watched by it.
            let sql = "update zone
                          set ended = ?2
                        where name = ?1 and view = 'zone' and source_id = ?3";
            let mut unwatch = db.prepare(sql)?;
            for (label, (zone, goes_on)) in &change.left {
                leave.execute(params![source, label, at])?;
                if !goes_on {
                    unwatch.execute(params![zone.to_string(), LEFT_CATALOG, source])?;
                }
            }
            let sql = "insert into catalog_member (source_id, label, zone_name, member_group,
                                                   change_of_ownership, added_at)
                       values (?, ?, ?, ?, ?, ?)
                       on conflict (source_id, label, added_at)
                         do update set zone_name = excluded.zone_name,
                                       member_group = excluded.member_group,
                                       change_of_ownership = excluded.change_of_ownership,
                                       removed_at = null";
            let mut join = db.prepare(sql)?;
            // Who was not watched is waited for.
            let sql = "insert into zone (name, source_id) values (?1, ?2)
                       on conflict (name, view)
                         do update set source_id = excluded.source_id,
                                       ended = case when zone.ended is not null then ?3 end";
            let mut own = db.prepare(sql)?;
            for (label, member) in &change.joined {
                let owner = member.change_of_ownership.as_ref().map(Name::to_string);
                join.execute(params![
                    source,
                    label,
                    member.zone.to_string(),
                    member.group,
                    owner,
                    at
                ])?;
                own.execute(params![member.zone.to_string(), source, AWAITED])?;
            }
            let mut reset = db.prepare(
                "update zone
                    set serial = null
                  where name = ? and view = 'zone'",
            )?;
            for zone in &change.reset {
                reset.execute([zone.to_string()])?;
            }
            db.execute(
                "update zone set serial = ?2 where name = ?1 and view = 'zone'",
                params![apex.to_string(), serial],
            )
            .map(|_| ())
        })?;
        tx.commit()
    }

    /// Returns members of a catalog that were not compared whole after `before`, or wait for
    /// `poll --accept`; those for longest first, at most `limit`. One whose comparison failed after
    /// `tried_before` is left out, and those that wait for `poll --accept` come last, so that they keep no
    /// other from its turn.
    pub fn members_not_whole_since(
        &self,
        source: SourceId,
        before: Timestamp,
        tried_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<Name>, StoreError> {
        let rows = self.store.run(|db| {
            let sql = "select z.name
                         from catalog_member m
                              join zone z on z.name = m.zone_name and z.view = 'zone'
                        where m.source_id = ?1 and m.removed_at is null and z.version_id is not null
                              and ((z.held = 1 and z.whole_tried_at is not null)
                                   or ((z.whole_at is null or z.whole_at <= ?2 or z.stepped = 2)
                                       and (z.whole_tried_at is null or z.whole_tried_at <= ?3)))
                        order by z.held, z.stepped < 2, z.whole_at nulls first limit ?4";
            db.values::<String>(sql, params![source, before, tried_before, limit as i64])
        })?;
        rows.iter().map(|name| self.store.read_name(name)).collect()
    }

    /// Returns the members of a catalog with the serials that history holds.
    pub fn member_serials(
        &self,
        source: SourceId,
    ) -> Result<Vec<(Name, Option<Serial>)>, StoreError> {
        let rows = self.store.run(|db| {
            let sql = "select z.name,
                              case when z.version_id is null then null else z.serial end as known_serial
                         from catalog_member m
                              join zone z on z.name = m.zone_name and z.view = 'zone'
                        where m.source_id = ? and m.removed_at is null
                        order by z.name";
            db.query(sql, [source.0], |row| {
                Ok((row.get::<String>("name")?, row.get("known_serial")?))
            })
        })?;
        let read =
            |(name, serial): (String, Option<Serial>)| Ok((self.store.read_name(&name)?, serial));
        rows.into_iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::store::handle::{Store, StoreOptions};
    use crate::store::keys::SourceKind;

    use super::*;

    #[test]
    fn member_whose_comparison_just_failed_keeps_no_other_from_its_turn() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("made");
        let source = store
            .zones()
            .ensure_source("cat", SourceKind::Catalog)
            .expect("made");
        let at = Timestamp::from_unix;
        for (zone, whole_at, tried_at, held) in [
            ("failing.", 1_000, Some(9_000), false),
            ("held.", 2_000, Some(9_000), true),
            ("failed.", 3_000, Some(5_000), false),
            ("waiting.", 4_000, None, false),
            ("compared.", 9_000, None, false),
        ] {
            let name = Name::parse(zone).expect("valid");
            let state = store.zones().ensure_zone(&name, source).expect("made");
            store
                .run(|db| {
                    let sql = "insert into version (zone_id, source_id, kind, observed_at)
                               values (?1, ?2, 'baseline', 1)";
                    let version = db.insert(sql, params![state.id, source])?;
                    let sql = "insert into catalog_member (source_id, label, zone_name, added_at)
                               values (?1, ?2, ?2, 1)";
                    db.execute(sql, params![source, zone])?;
                    let sql = "update zone
                                  set version_id = ?2, whole_at = ?3, whole_tried_at = ?4, held = ?5
                                where id = ?1";
                    db.execute(sql, params![state.id, version, whole_at, tried_at, held])
                })
                .expect("written");
        }
        let due = |limit: usize| -> Vec<String> {
            let due = store
                .zones()
                .members_not_whole_since(source, at(8_000), at(6_000), limit);
            due.expect("readable").iter().map(Name::to_string).collect()
        };
        assert_eq!(due(9), ["failed.", "waiting.", "held."]);
        assert_eq!(due(1), ["failed."]);
    }
}
