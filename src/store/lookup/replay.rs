//! What a replay of the detector over months needs: which owners changed, and when.

use std::collections::BTreeSet;

use crate::dns::Name;
use crate::store::door::{Fault, Rows, Statement};
use crate::store::error::StoreError;
use crate::store::keys::{EntityKey, View, ZoneId};
use crate::store::lookup::Lookup;
use crate::time::Timestamp;

/// An owner and when its name servers, addresses or aliases changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedOwner {
    /// The owner.
    pub key: EntityKey,
    /// The versions' times, each once, in order.
    pub times: Vec<Timestamp>,
    /// Whether name servers changed.
    pub nameservers: bool,
    /// Whether addresses changed.
    pub addresses: bool,
    /// Whether aliases changed.
    pub aliases: bool,
}

/// A row of one table: owner, versions at its ends, type.
type Move = (i64, [i64; 2], u16);

/// A table or a month of one, read in the order of owners.
struct Run<'a> {
    rows: Rows<'a>,
    head: Option<Move>,
}

impl Run<'_> {
    /// Goes on to the next row.
    fn advance(&mut self) -> Result<(), Fault> {
        // By place: every record of the range passes here.
        self.head = match self.rows.next()? {
            Some(row) => Some((row.at(0)?, [row.at(1)?, row.at(2)?], row.at(3)?)),
            None => None,
        };
        Ok(())
    }
}

impl Lookup<'_> {
    /// Calls `each` with every owner whose name servers or addresses changed from `since` to `until`, bulk
    /// versions left out, in the order of rows. Reads what is there and what is past once, side by side.
    ///
    /// All of it is one state of the database. Memory grows by 16 octets a version.
    ///
    /// # Errors
    ///
    /// [`StoreError`], or whatever `each` returns.
    pub fn each_changed_owner<E: From<StoreError>>(
        &self,
        since: Timestamp,
        until: Timestamp,
        mut each: impl FnMut(ChangedOwner) -> Result<(), E>,
    ) -> Result<(), E> {
        // Also so that what is read for too long is noticed: a statement by itself is no reading.
        let _reading = self.begin_page()?;
        let versions = self.version_times(since, until)?;
        let engine = |fault| self.store.engine(fault);
        let mut statements: Vec<Statement<'_>> = Vec::new();
        let open = "select owner_id, added_id, 0, rrtype
                      from record where rrtype in (1, 2, 5, 28) and baseline = 0
                     order by owner_id";
        statements.push(self.store.db.prepare(open).map_err(engine)?);
        for bucket in since.month_bucket()..=until.month_bucket().max(self.newest_bucket()?) {
            // The bucket stands literally: a statement of its own for each, all read at once.
            let past = format!(
                "select owner_id, case when baseline = 1 then 0 else added_id end, removed_id, rrtype
                   from past_record where bucket = {bucket} and rrtype in (1, 2, 5, 28)
                  order by owner_id"
            );
            statements.push(self.store.db.prepare(&past).map_err(engine)?);
        }
        let mut runs = Vec::new();
        for statement in &mut statements {
            let rows = statement.scan(()).map_err(engine)?;
            let mut run = Run { rows, head: None };
            run.advance().map_err(engine)?;
            runs.push(run);
        }
        let time_of = |id: i64| {
            let at = versions.binary_search_by_key(&id, |(id, _)| *id).ok()?;
            Some(versions[at].1)
        };
        while let Some(owner_id) = runs.iter().filter_map(|run| run.head.map(|it| it.0)).min() {
            let mut times = BTreeSet::new();
            let (mut nameservers, mut addresses, mut aliases) = (false, false, false);
            for run in &mut runs {
                while let Some((_, ends, rrtype)) = run.head.filter(|head| head.0 == owner_id) {
                    let within: Vec<i64> = ends.into_iter().filter_map(time_of).collect();
                    if !within.is_empty() {
                        times.extend(within);
                        nameservers |= rrtype == 2;
                        aliases |= rrtype == 5;
                        addresses |= matches!(rrtype, 1 | 28);
                    }
                    run.advance().map_err(engine)?;
                }
            }
            if let Some(key) = self.key_of(owner_id)?.filter(|_| !times.is_empty()) {
                each(ChangedOwner {
                    key,
                    times: times.into_iter().map(Timestamp::from_unix).collect(),
                    nameservers,
                    addresses,
                    aliases,
                })?;
            }
        }
        Ok(())
    }

    /// Returns the versions of a range that accuse somebody, in the order of their rows: row and time.
    fn version_times(
        &self,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        self.store.run(|db| {
            let sql = "select id, observed_at
                         from version
                        where observed_at >= ? and observed_at <= ? and bulk = 0 and drift = 0
                              and kind <> 'passive' and kind <> 'baseline'
                        order by id";
            db.query(sql, [since.unix(), until.unix()], |row| {
                Ok((row.get("id")?, row.get("observed_at")?))
            })
        })
    }

    /// Returns the month of the newest version: what was there in a range may have gone later.
    fn newest_bucket(&self) -> Result<i64, StoreError> {
        let newest: Option<i64> = self
            .store
            .run(|db| db.value("select max(observed_at) from version", ()))?;
        Ok(newest.map_or(0, |at| Timestamp::from_unix(at).month_bucket()))
    }

    /// Returns an owner's name and zone; `None` for the owners of what others recorded.
    fn key_of(&self, owner_id: i64) -> Result<Option<EntityKey>, StoreError> {
        let (zone, apex, view, key): (i64, String, String, String) = self.store.run(|db| {
            let sql = "select z.id, z.name as zone_name, z.view, o.name as owner_name
                         from owner o join zone z on z.id = o.zone_id where o.id = ?";
            db.query_one(sql, [owner_id], |row| {
                Ok((
                    row.get("id")?,
                    row.get("zone_name")?,
                    row.get("view")?,
                    row.get("owner_name")?,
                ))
            })
        })?;
        if view == View::Passive.word() {
            return Ok(None);
        }
        let apex = self.store.read_name(&apex)?;
        let owner = Name::from_relative_key(&key, &apex)
            .map_err(|fault| self.store.damaged(fault.to_string()))?;
        Ok(Some(EntityKey {
            zone: ZoneId(zone),
            apex,
            owner,
        }))
    }
}
