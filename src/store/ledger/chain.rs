//! The running hash over a zone's versions: written with each version, computed anew from the records.

use std::collections::hash_map;

use crate::dns::{Name, Rdata, Serial};
use crate::evidence::{ChainHead, Entry, Hash, Merkle, Op, chain_hash, leaf};
use crate::store::caches::{Additions, Pairs};
use crate::store::door::{Each, Fault, Row, Value, params};
use crate::store::error::StoreError;
use crate::store::keys::ZoneId;
use crate::store::ledger::Ledger;
use crate::store::zones::watched::ZoneState;
use crate::time::Timestamp;

/// One row of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its row.
    pub id: i64,
    /// What it says besides its root.
    pub head: ChainHead,
    /// The version; of a start, the newest version of any zone at the time it was made.
    pub version_id: i64,
    /// Hash over the version's changes, or over the state at the cut.
    pub root: Hash,
    /// Hash over it and the link before.
    pub hash: Hash,
}

/// A link that is yet to be hashed.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct NewLink {
    /// What it says besides its root.
    pub head: ChainHead,
    /// As [`Link::version_id`].
    pub version_id: i64,
    /// As [`Link::root`].
    pub root: Hash,
}

/// A version, as far as its root needs it.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct VersionKey {
    /// Its row.
    pub id: i64,
    /// Its time.
    pub at: Timestamp,
    /// Its serial, if known.
    pub serial: Option<Serial>,
    /// Whether it is a zone's first, whose owners are not listed.
    pub is_baseline: bool,
}

/// A link from which on a chain can be computed from the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Start {
    /// Its row.
    pub id: i64,
    /// It is the state just before this.
    pub at: Timestamp,
    /// The newest version of any zone when it was made.
    pub newest_id: i64,
}

impl Start {
    /// Returns whether a version is part of the state that was hashed.
    pub fn holds(&self, version_id: i64, at: Timestamp) -> bool {
        version_id <= self.newest_id && at < self.at
    }
}

/// The columns of a link, in the order that [`read_link`] expects, and its zone.
const LINK: &str = "select c.id, c.kind, c.at, v.serial, c.version_id, c.root, c.hash, c.zone_id
                      from chain c left join version v on v.id = c.version_id and c.kind = 'version'";

/// Reads a row of [`LINK`].
fn read_link(row: &Row<'_>) -> Result<Link, Fault> {
    Ok(Link {
        id: row.get("id")?,
        head: ChainHead {
            is_start: row.get::<String>("kind")? == "start",
            at: row.get("at")?,
            serial: row.get("serial")?,
        },
        version_id: row.get("version_id")?,
        root: row.get("root")?,
        hash: row.get("hash")?,
    })
}

/// Records that a version added to an owner and that are there.
const ADDED_OPEN: &str = "select rrtype, rdata, baseline, added_id, 0 as removed_id, ttl
                            from record where owner_id = ?1 and added_id = ?2";
/// Records of an owner that a version added or removed, and that went in one month.
const MOVED_PAST: &str =
    "select rrtype, rdata, baseline, added_id, removed_id, ttl from past_record
      where bucket = ?3 and owner_id = ?1 and (added_id = ?2 or removed_id = ?2)";

/// The same of those that one other version removed, or this.
const MOVED_BY: &str =
    "select rrtype, rdata, baseline, added_id, removed_id, ttl
       from past_record
      where bucket = ?3 and owner_id = ?1 and removed_id = ?4 and (added_id = ?2 or removed_id = ?2)";
/// How many past records of an owner in a month are looked through for those of one version. Of an owner with more,
/// whose versions would each cost as much as all of them have records, [`Additions`] are kept. Chosen by hand.
const LOOKED_THROUGH_MAX: i64 = 1000;
/// How many additions are kept: 16 octets each.
const ADDITIONS_MAX: usize = 2_000_000;

/// A record that a version added or removed, or both.
pub(in crate::store) struct Moved {
    pub rdata: Rdata,
    /// Seconds, as last seen; `None`: the zone's usual TTL.
    pub ttl: Option<u32>,
    pub baseline: bool,
    pub is_added: bool,
    pub is_removed: bool,
}

/// Records that were there just before a time, as versions up to a row made them, and still are.
const THERE_OPEN: &str =
    "select r.rrtype, r.rdata, a.observed_at from record r join version a on a.id = r.added_id
      where r.owner_id = ?1 and r.added_id <= ?2 and a.observed_at < ?3";
/// The same of records that went later, in one month.
const THERE_PAST: &str = "select p.rrtype, p.rdata, a.observed_at
                            from past_record p join version a on a.id = p.added_id
                                 join version d on d.id = p.removed_id
                           where p.bucket = ?4 and p.owner_id = ?1 and p.added_id <= ?2
                                 and a.observed_at < ?3
                                 and (p.removed_id > ?2 or d.observed_at >= ?3)";

impl Ledger<'_> {
    /// Returns what the chain needs of a version.
    pub(in crate::store) fn version_key(&self, id: i64) -> Result<VersionKey, StoreError> {
        self.store.run(|db| {
            let sql = "select observed_at, serial, kind = 'baseline' as is_baseline
                         from version where id = ?";
            db.query_one(sql, [id], |row| {
                Ok(VersionKey {
                    id,
                    at: row.get("observed_at")?,
                    serial: row.get("serial")?,
                    is_baseline: row.get("is_baseline")?,
                })
            })
        })
    }

    /// Returns the version of a zone that an instant of a feed is more of: the one with the same time
    /// and serial, or the newest if it has the same serial. Row and time.
    pub fn find_version(
        &self,
        zone: &ZoneState,
        serial: Option<Serial>,
        at: Timestamp,
    ) -> Result<Option<(i64, Timestamp)>, StoreError> {
        let exact = self.store.run(|db| {
            let sql = "select id
                         from version
                        where zone_id = ? and observed_at = ? and serial is not distinct from ?
                        order by id desc limit 1";
            db.first_value(sql, params![zone.id, at, serial])
        })?;
        let newest = zone
            .version_id
            .zip(zone.version_at)
            .filter(|_| serial.is_some() && zone.serial == serial);
        Ok(exact.map(|id| (id, at)).or(newest))
    }

    /// Returns the links of a zone's chain after `after` (0: all), oldest first, at most `limit`.
    pub fn chain_after(
        &self,
        zone: ZoneId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Link>, StoreError> {
        let rows = self.store.run(|db| {
            let sql = format!("{LINK} where c.zone_id = ? and c.id > ? order by c.id limit ?");
            db.query(&sql, params![zone, after, limit as i64], read_link)
        })?;
        Ok(rows)
    }

    /// Returns the newest hash of a zone's chain; `None` before its first version.
    pub fn newest_hash(&self, zone: ZoneId) -> Result<Option<Hash>, StoreError> {
        self.store.run(|db| {
            db.query_first(
                "select hash from chain where zone_id = ? order by id desc limit 1",
                [zone.0],
                |row| row.get("hash").map(Hash),
            )
        })
    }

    /// Returns the newest link, up to a time, of each view of a zone that has one.
    pub fn links_at(&self, apex: &Name, at: Timestamp) -> Result<Vec<(ZoneId, Link)>, StoreError> {
        let sql = format!(
            "{LINK}
              where c.id in (select (select o.id
                                       from chain o
                                      where o.zone_id = z.id and o.at <= ?2
                                      order by o.id desc limit 1)
                               from zone z where z.name = ?1)
              order by c.zone_id"
        );
        self.store.run(|db| {
            db.query(&sql, params![apex.to_string(), at], |row| {
                Ok((row.get("zone_id")?, read_link(row)?))
            })
        })
    }

    /// Returns the link that has a hash, and the name of its zone.
    pub fn link_of_hash(&self, hash: Hash) -> Result<Option<(Name, Link)>, StoreError> {
        let sql = format!("{LINK} where c.hash = ?");
        let found = self.store.run(|db| {
            db.query_first(&sql, [hash.0], |row| {
                Ok((row.get("zone_id")?, read_link(row)?))
            })
        })?;
        let Some((zone, link)): Option<(i64, Link)> = found else {
            return Ok(None);
        };
        let name: String = self
            .store
            .run(|db| db.value("select name from zone where id = ?", [zone]))?;
        Ok(Some((self.store.read_name(&name)?, link)))
    }

    /// Notes which hashes a report rests on.
    pub fn note_evidence(
        &self,
        case_id: i64,
        revision: u32,
        hashes: &[(ZoneId, Hash)],
    ) -> Result<(), StoreError> {
        self.store.run(|db| {
            let sql = "insert into report_evidence (case_id, revision, zone_id, hash)
                       values (?, ?, ?, ?)
                       on conflict (case_id, revision, zone_id) do update set hash = excluded.hash";
            let mut insert = db.prepare(sql)?;
            for (zone, hash) in hashes {
                insert.execute(params![case_id, revision, zone, hash])?;
            }
            Ok(())
        })
    }

    /// Appends a link to a zone's chain, whose newest hash may be known. Returns the new one.
    pub(in crate::store) fn append_link(
        &self,
        zone: ZoneId,
        apex: &Name,
        link: &NewLink,
        before: Option<Hash>,
    ) -> Result<Hash, StoreError> {
        let NewLink {
            head,
            version_id,
            root,
        } = *link;
        let before = match before {
            Some(before) => before,
            None => self.newest_hash(zone)?.unwrap_or_default(),
        };
        let hash = chain_hash(before, apex, head, root);
        let kind = if head.is_start { "start" } else { "version" };
        self.store.run(|db| {
            let sql = "insert into chain (zone_id, kind, version_id, at, root, hash)
                       values (?, ?, ?, ?, ?, ?)";
            db.write(sql, params![zone, kind, version_id, head.at, root, hash])
                .map(|()| hash)
        })
    }

    /// Returns what a version did to an owner, from the records; empty if nothing.
    ///
    /// `months` is what [`Zones::buckets_since`](crate::store::Zones::buckets_since) gives for the version's time: a record that it added
    /// went, if at all, at or after that.
    pub(in crate::store) fn entries_of(
        &self,
        months: &[i64],
        owner_id: i64,
        version: VersionKey,
    ) -> Result<Vec<Entry<'static>>, StoreError> {
        let mut entries = Vec::new();
        for moved in self.moves_of(months, owner_id, version.id)? {
            if moved.is_added {
                let op = if moved.baseline { Op::There } else { Op::Added };
                entries.push(Entry::new(op, &moved.rdata));
            }
            if moved.is_removed {
                entries.push(Entry::new(Op::Removed, &moved.rdata));
            }
        }
        Ok(entries)
    }

    /// Returns the records of an owner that a version added or removed; see [`Ledger::entries_of`].
    pub(in crate::store) fn moves_of(
        &self,
        months: &[i64],
        owner_id: i64,
        version_id: i64,
    ) -> Result<Vec<Moved>, StoreError> {
        let mut moves = Vec::new();
        let mut take = |sql: &str, numbers: &[i64]| -> Result<(), StoreError> {
            let rows = self.store.run(|db| {
                // By place: names cost 8 % of a check of every record.
                db.query(sql, Each(numbers), |row| {
                    Ok((
                        row.at::<u16>(0)?,
                        row.at::<Value>(1)?,
                        row.at::<bool>(2)?,
                        row.at::<i64>(3)?,
                        row.at::<i64>(4)?,
                        row.at::<Option<u32>>(5)?,
                    ))
                })
            })?;
            for (code, value, baseline, added_id, removed_id, ttl) in rows {
                moves.push(Moved {
                    rdata: self.read_rdata(code, &value)?,
                    ttl,
                    baseline,
                    is_added: added_id == version_id,
                    is_removed: removed_id == version_id,
                });
            }
            Ok(())
        };
        take(ADDED_OPEN, &[owner_id, version_id])?;
        for month in &months[1..] {
            match self.removals_of(owner_id, *month, version_id)? {
                None => take(MOVED_PAST, &[owner_id, version_id, *month])?,
                Some(removals) => removals
                    .iter()
                    .try_for_each(|by| take(MOVED_BY, &[owner_id, version_id, *month, *by]))?,
            }
        }
        Ok(moves)
    }

    /// Returns the versions that removed in one month what a version had added to an owner, and that version itself,
    /// in order; `None` where that is not known and few records are to be looked through.
    fn removals_of(
        &self,
        owner_id: i64,
        month: i64,
        version_id: i64,
    ) -> Result<Option<Vec<i64>>, StoreError> {
        let mut known = self.store.additions.borrow_mut();
        let Some(known) = &mut *known else {
            return Ok(None);
        };
        if known.count > ADDITIONS_MAX {
            *known = Additions::default();
        }
        let pairs = match known.by_owner.entry((owner_id, month)) {
            hash_map::Entry::Occupied(pairs) => pairs.into_mut(),
            hash_map::Entry::Vacant(unknown) => {
                let pairs = self.additions_of(owner_id, month)?;
                known.count += 1 + pairs.as_ref().map_or(0, Vec::len);
                unknown.insert(pairs)
            }
        };
        Ok(pairs.as_ref().map(|pairs| {
            let first = pairs.partition_point(|(added, _)| *added < version_id);
            let mine = pairs[first..].iter();
            let mine = mine.take_while(|(added, _)| *added == version_id);
            let mut removals: Vec<i64> = mine.map(|(_, removed)| *removed).collect();
            if let Err(place) = removals.binary_search(&version_id) {
                removals.insert(place, version_id);
            }
            removals
        }))
    }

    /// Reads which version added and which removed each record of an owner that went in one month, each pair once, in
    /// order; `None` for at most [`LOOKED_THROUGH_MAX`] records.
    fn additions_of(&self, owner_id: i64, month: i64) -> Result<Option<Pairs>, StoreError> {
        self.store.run(|db| {
            let sql = "select exists (select 1
                         from past_record
                        where bucket = ? and owner_id = ? limit 1 offset ?)";
            let numbers = [month, owner_id, LOOKED_THROUGH_MAX];
            let has_many: bool = db.value(sql, numbers)?;
            if !has_many {
                return Ok(None);
            }
            let sql = "select added_id, removed_id
                         from past_record where bucket = ? and owner_id = ?";
            let mut pairs = db.query(sql, [month, owner_id], |row| {
                Ok((row.get("added_id")?, row.get("removed_id")?))
            })?;
            pairs.sort_unstable();
            pairs.dedup();
            Ok(Some(pairs))
        })
    }

    /// Returns the leaf of an owner in a version, from the records; `None` if the version did nothing to it.
    pub(in crate::store) fn leaf_of(
        &self,
        months: &[i64],
        owner: &Name,
        owner_id: i64,
        version: VersionKey,
    ) -> Result<Option<Hash>, StoreError> {
        let mut entries = self.entries_of(months, owner_id, version)?;
        Ok((!entries.is_empty()).then(|| leaf(owner.as_wire(), &mut entries)))
    }

    /// Calls `each` with every leaf of a version in the order of its tree, from the records.
    pub(in crate::store) fn each_leaf(
        &self,
        zone: ZoneId,
        apex: &Name,
        version: VersionKey,
        mut each: impl FnMut(i64, Hash),
    ) -> Result<(), StoreError> {
        let months = self.store.zones().buckets_since(zone, Some(version.at))?;
        let mut tell = |owner_id: i64, owner: &Name| -> Result<(), StoreError> {
            let hash = self.leaf_of(&months, owner, owner_id, version)?;
            hash.into_iter().for_each(|hash| each(owner_id, hash));
            Ok(())
        };
        if version.is_baseline {
            // A first version lists no owners: they are the zone's.
            return self.each_owner(zone, apex, tell);
        }
        for (owner_id, _) in self.changes_of(version.id)? {
            tell(owner_id, &self.owner_name(owner_id, apex)?)?;
        }
        Ok(())
    }

    /// Calls `each` with every owner of a zone, in the order of their rows.
    pub(in crate::store) fn each_owner(
        &self,
        zone: ZoneId,
        apex: &Name,
        mut each: impl FnMut(i64, &Name) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let engine = |fault| self.store.engine(fault);
        let sql = "select id, name from owner where zone_id = ? order by id";
        let mut statement = self.store.db.prepare(sql).map_err(engine)?;
        let mut rows = statement.scan([zone.0]).map_err(engine)?;
        while let Some(row) = rows.next().map_err(engine)? {
            // By place: every owner of the zone passes here.
            let (owner_id, key): (i64, String) =
                (row.at(0).map_err(engine)?, row.at(1).map_err(engine)?);
            let owner = Name::from_relative_key(&key, apex)
                .map_err(|fault| self.store.damaged(fault.to_string()))?;
            each(owner_id, &owner)?;
        }
        Ok(())
    }

    /// Returns the root over a zone's state just before `at`, as the versions up to `newest_id` made it.
    pub(in crate::store) fn state_root(
        &self,
        zone: ZoneId,
        apex: &Name,
        at: Timestamp,
        newest_id: i64,
    ) -> Result<Hash, StoreError> {
        let buckets: Vec<i64> = self.store.zones().buckets_since(zone, Some(at))?;
        let mut tree = Merkle::default();
        self.each_owner(zone, apex, |owner_id, owner| {
            let mut entries = Vec::new();
            for bucket in &buckets {
                let rows = self.store.run(|db| {
                    let sql = if *bucket == 0 { THERE_OPEN } else { THERE_PAST };
                    let mut statement = db.prepare(sql)?;
                    let read = |row: &Row<'_>| {
                        Ok((
                            row.get::<u16>("rrtype")?,
                            row.get::<Value>("rdata")?,
                            row.get::<i64>("observed_at")?,
                        ))
                    };
                    match bucket {
                        0 => statement.query(params![owner_id, newest_id, at], read),
                        _ => statement.query(params![owner_id, newest_id, at, bucket], read),
                    }
                })?;
                for (code, value, added_at) in rows {
                    let mut entry = Entry::new(Op::There, &self.read_rdata(code, &value)?);
                    // The versions that would tell since when it is there are before the cut.
                    entry.rdata.to_mut().extend(added_at.to_be_bytes());
                    entries.push(entry);
                }
            }
            if !entries.is_empty() {
                tree.push(leaf(owner.as_wire(), &mut entries));
            }
            Ok(())
        })?;
        Ok(tree.root())
    }

    /// Computes the link that makes the state just before `at` where computing a zone's chain anew
    /// begins: its root, and the newest version of any zone, up to which it holds.
    pub(in crate::store) fn compute_start(
        &self,
        zone: ZoneId,
        apex: &Name,
        at: Timestamp,
    ) -> Result<(Hash, i64), StoreError> {
        let newest_id: i64 = self
            .store
            .run(|db| db.value("select coalesce(max(id), 0) from version", ()))?;
        Ok((self.state_root(zone, apex, at, newest_id)?, newest_id))
    }

    /// Returns a zone's last start; `None` if the whole chain can be computed from the first version on.
    pub(in crate::store) fn last_start(&self, zone: ZoneId) -> Result<Option<Start>, StoreError> {
        self.store.run(|db| {
            let sql = "select id, at, version_id
                         from chain where zone_id = ? and kind = 'start'
                        order by id desc limit 1";
            db.query_first(sql, [zone.0], |row| {
                Ok(Start {
                    id: row.get("id")?,
                    at: row.get("at")?,
                    newest_id: row.get("version_id")?,
                })
            })
        })
    }

    /// Appends a start to a zone's chain. Returns the new hash.
    pub(in crate::store) fn append_start(
        &self,
        zone: ZoneId,
        apex: &Name,
        at: Timestamp,
        (root, version_id): (Hash, i64),
    ) -> Result<Hash, StoreError> {
        let head = ChainHead {
            is_start: true,
            at,
            serial: None,
        };
        let link = NewLink {
            head,
            version_id,
            root,
        };
        self.append_link(zone, apex, &link, None)
    }

    /// Begins the chains of zones that were there before there were any.
    pub(in crate::store) fn begin_chains(&self) -> Result<(), StoreError> {
        let tx = self.store.begin_batch()?;
        let zones: Vec<(i64, String, i64)> = self.store.run(|db| {
            let sql = "select z.id, z.name, v.observed_at
                         from zone z join version v on v.id = z.version_id
                        where not exists (select 1 from chain c where c.zone_id = z.id)";
            db.query(sql, (), |row| {
                Ok((row.get("id")?, row.get("name")?, row.get("observed_at")?))
            })
        })?;
        for (id, name, newest_at) in zones {
            let at = Timestamp::from_unix(newest_at + 1);
            let (zone, apex) = (ZoneId(id), self.store.read_name(&name)?);
            let start = self.compute_start(zone, &apex, at)?;
            self.append_start(zone, &apex, at, start)?;
        }
        self.store
            .run(|db| db.execute("delete from meta where key = 'chain_pending'", ()))?;
        tx.commit()
    }

    /// Returns the root of a version, from the records.
    pub(in crate::store) fn root_of(
        &self,
        zone: ZoneId,
        apex: &Name,
        version: VersionKey,
    ) -> Result<Hash, StoreError> {
        let mut tree = Merkle::default();
        self.each_leaf(zone, apex, version, |_, hash| tree.push(hash))?;
        Ok(tree.root())
    }
}
