//! What a replay of the detector over months needs: which owners changed, and when.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::dns::Name;
use crate::store::door::{Fault, Numbers, Rows, Statement};
use crate::store::error::StoreError;
use crate::store::keys::{EntityKey, View, ZoneId};
use crate::store::lookup::Lookup;
use crate::store::sqlite::dialect::{IN_ORDER, rows_of};
use crate::time::Timestamp;

/// The names of how many owners are asked for at once.
const OWNERS_AT_ONCE: usize = if cfg!(test) { 3 } else { 1000 };

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

/// What of an owner changed, by its row.
#[derive(Default)]
struct Changed {
    owner_id: i64,
    times: Vec<Timestamp>,
    nameservers: bool,
    addresses: bool,
    aliases: bool,
}

impl Changed {
    /// Takes in that a record of a type came or went.
    fn note(&mut self, rrtype: u16, at: Timestamp) {
        self.times.push(at);
        self.nameservers |= rrtype == 2;
        self.aliases |= rrtype == 5;
        self.addresses |= matches!(rrtype, 1 | 28);
    }
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
            Some(Timestamp::from_unix(versions[at].1))
        };
        let mut zones = HashMap::new();
        let mut waiting: Vec<Changed> = Vec::with_capacity(OWNERS_AT_ONCE);
        while let Some(owner_id) = runs.iter().filter_map(|run| run.head.map(|it| it.0)).min() {
            let mut changed = Changed {
                owner_id,
                ..Changed::default()
            };
            for run in &mut runs {
                while let Some((_, ends, rrtype)) = run.head.filter(|head| head.0 == owner_id) {
                    for at in ends.into_iter().filter_map(time_of) {
                        changed.note(rrtype, at);
                    }
                    run.advance().map_err(engine)?;
                }
            }
            if !changed.times.is_empty() {
                waiting.push(changed);
            }
            if waiting.len() == OWNERS_AT_ONCE {
                self.name_changed(&mut waiting, &mut zones, &mut each)?;
            }
        }
        self.name_changed(&mut waiting, &mut zones, &mut each)
    }

    /// Calls `each` with owners that changed, in the order in which they stand, and with their names; leaves out the
    /// owners of what others recorded.
    fn name_changed<E: From<StoreError>>(
        &self,
        waiting: &mut Vec<Changed>,
        zones: &mut HashMap<i64, Option<Name>>,
        each: &mut impl FnMut(ChangedOwner) -> Result<(), E>,
    ) -> Result<(), E> {
        let ids = waiting.iter().map(|changed| changed.owner_id).collect();
        let mut names = self.names_of(ids)?;
        for mut changed in waiting.drain(..) {
            let (zone, key) = (names.remove(&changed.owner_id))
                .ok_or_else(|| self.store.damaged(format!("no owner {}", changed.owner_id)))?;
            let apex = match zones.entry(zone) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.judged_apex(zone)?),
            };
            let Some(apex) = apex else { continue };
            let owner = Name::from_relative_key(&key, apex)
                .map_err(|fault| self.store.damaged(fault.to_string()))?;
            changed.times.sort_unstable();
            changed.times.dedup();
            each(ChangedOwner {
                key: EntityKey {
                    zone: ZoneId(zone),
                    apex: apex.clone(),
                    owner,
                },
                times: changed.times,
                nameservers: changed.nameservers,
                addresses: changed.addresses,
                aliases: changed.aliases,
            })?;
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

    /// Returns the zones and the keys of owners, by their rows.
    fn names_of(&self, owners: Numbers) -> Result<HashMap<i64, (i64, String)>, StoreError> {
        let sql = format!(
            "select o.id, o.zone_id, o.name from {list} w {IN_ORDER} owner o on o.id = w.value",
            list = rows_of("?")
        );
        // By place: every owner that changed passes here.
        let names: Vec<_> = self.store.run(|db| {
            db.query(&sql, [owners], |row| {
                Ok((row.at(0)?, (row.at(1)?, row.at(2)?)))
            })
        })?;
        Ok(names.into_iter().collect())
    }

    /// Returns the apex of a zone; `None` for what others recorded, by which nobody is judged.
    fn judged_apex(&self, zone: i64) -> Result<Option<Name>, StoreError> {
        let (apex, view): (String, String) = self.store.run(|db| {
            db.query_one("select name, view from zone where id = ?", [zone], |row| {
                Ok((row.get("name")?, row.get("view")?))
            })
        })?;
        if view == View::Passive.word() {
            return Ok(None);
        }
        self.store.read_name(&apex).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use crate::dns::Rdata;
    use crate::store::handle::{Store, StoreOptions};
    use crate::store::lookup::sieve::tests::{HOUR, START, name, tell};

    use super::*;

    #[test]
    fn every_owner_that_changed_is_named_once_with_its_times_however_many_are_asked_for_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("opened");
        let ns = |n: usize| Rdata::Ns(name(&format!("ns{n}.op.net")));
        let owners: Vec<String> = (0..2 * OWNERS_AT_ONCE + 1)
            .map(|n| format!("d{n}.example"))
            .collect();
        // There when watching began, and never moved.
        tell(&store, START, "calm.example", &[ns(0)]);
        let (mut at, mut expected) = (START, Vec::new());
        for (n, owner) in owners.iter().enumerate() {
            let mut times = Vec::new();
            for round in 0..=n {
                at += HOUR;
                // All but the first replace one name server by another: both are told of one instant.
                tell(&store, at, owner, &[ns(round), ns(round + 1)]);
                times.push(Timestamp::from_unix(at));
            }
            expected.push((name(owner), times));
        }
        at += HOUR;
        let address = Rdata::A([192, 0, 2, 1].into());
        tell(&store, at, "d0.example", &[address]);
        expected[0].1.push(Timestamp::from_unix(at));

        let mut found = Vec::new();
        let (since, until) = (Timestamp::from_unix(START), Timestamp::from_unix(at));
        let told = store.lookup().each_changed_owner(since, until, |changed| {
            let kinds = (changed.nameservers, changed.addresses, changed.aliases);
            let has_address = changed.key.owner == name("d0.example");
            assert_eq!(kinds, (true, has_address, false), "{}", changed.key.owner);
            assert_eq!(changed.key.apex, name("example"));
            found.push((changed.key.owner, changed.times));
            Ok::<_, StoreError>(())
        });
        told.expect("read");
        assert_eq!(found, expected);
    }
}
