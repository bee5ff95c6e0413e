//! Writes new registrations of names, as feeds tell of them.

use std::collections::{BTreeMap, HashMap};

use crate::dns::Name;
use crate::store::door::{IntoValue, Numbers, Table, ValueRef, params};
use crate::store::error::StoreError;
use crate::store::ledger::writing::Writing;
use crate::store::sqlite::dialect::{IN_ORDER, rows_of};
use crate::time::Timestamp;

/// Registrations of names.
const REGISTRATIONS: Table = Table {
    name: "registration",
    columns: &["owner_id", "version_id", "object", "created_at"],
    on_conflict: "on conflict (owner_id, version_id)
                    do update set object = excluded.object, created_at = excluded.created_at",
};

/// What a line of a feed tells of a name's registration.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// The name.
    pub owner: &'a Name,
    /// The registry's id of the object.
    pub object: Option<&'a str>,
    /// When it was created.
    pub created: Option<Timestamp>,
}

/// A registration as it is kept: the registry's id and the date of creation.
type Known = (Option<String>, Option<i64>);

/// Writes new registrations.
#[derive(Default)]
pub(in crate::store) struct Registrations {
    /// Whether the version tells of one.
    pub is_told: bool,
}

impl Registrations {
    /// Writes those whose id or date of creation is not the one known, as of the version. The first one known of a name
    /// is written too, and is no new one.
    pub fn note(
        &mut self,
        writing: &Writing<'_>,
        told: &[Registration<'_>],
    ) -> Result<(), StoreError> {
        let tells = |it: &&Registration<'_>| it.object.is_some() || it.created.is_some();
        let told: Vec<&Registration<'_>> = told.iter().filter(tells).collect();
        if told.is_empty() {
            return Ok(());
        }
        let mut names: Vec<&Name> = told.iter().map(|it| it.owner).collect();
        names.sort_unstable();
        names.dedup();
        let ids = writing.store.ledger().owner_ids(&writing.zone, &names)?;
        let ids: HashMap<&Name, i64> = names.into_iter().zip(ids).collect();
        let mut known = known_registrations(writing, ids.values().copied())?;
        let mut new: BTreeMap<i64, Known> = BTreeMap::new();
        for it in told {
            let id = ids[it.owner];
            let before = known.entry(id).or_default();
            let object = it.object.map(str::to_owned).or_else(|| before.0.clone());
            let now = (object, it.created.map(Timestamp::unix).or(before.1));
            if now != *before {
                before.clone_from(&now);
                new.insert(id, now);
            }
        }
        self.is_told |= !new.is_empty();
        let mut values = Vec::new();
        for (owner, (object, created)) in &new {
            values.extend([ValueRef::Integer(*owner), ValueRef::Integer(writing.id)]);
            values.extend([object.to_value(), created.to_value()]);
        }
        writing
            .store
            .run(|db| db.insert_rows(&REGISTRATIONS, &values))
    }
}

/// Returns the newest registrations of owners that are known as of the version.
fn known_registrations(
    writing: &Writing<'_>,
    owners: impl Iterator<Item = i64>,
) -> Result<HashMap<i64, Known>, StoreError> {
    let owners: Numbers = owners.collect();
    let rows: Vec<(i64, Known)> = writing.store.run(|db| {
        let sql = format!(
            "select r.owner_id, r.object, r.created_at
               from {list} w {IN_ORDER} registration r on r.owner_id = w.value
                    join version v on v.id = r.version_id
              where v.observed_at <= ?1
              order by v.observed_at, v.id",
            list = rows_of("?2")
        );
        db.query(&sql, params![writing.draft.observed_at, owners], |row| {
            let known = (row.get("object")?, row.get("created_at")?);
            Ok((row.get("owner_id")?, known))
        })
    })?;
    // Of each owner the last is kept.
    Ok(rows.into_iter().collect())
}
