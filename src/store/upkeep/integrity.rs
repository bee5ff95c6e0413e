//! Care of the database: whether it is sound, copies of it, what it holds.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::count::counted;
use crate::evidence::{Hash, chain_hash};
use crate::store::door::{Db, Row, Value, params};
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::keys::ZoneId;
use crate::store::ledger::chain::Link;
use crate::store::ledger::changes::unpack;
use crate::store::ledger::tally::week_of;
use crate::store::sqlite::file::PRIVATE;
use crate::store::sqlite::pages::{broken_references, check_pages, count_pages, measure_trees};
use crate::store::trees::{Pages, Tree};
use crate::store::upkeep::Upkeep;
use crate::store::zones::watched::ZoneState;
use crate::time::{Span, Timestamp};

/// The most faults that are told one by one.
const FAULTS_MAX: usize = 100;
/// How many links of a chain are checked in one state of the database.
const LINKS_AT_A_TIME: usize = 100;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// Zones looked at, each view of a name counted.
    pub zones: u64,
    /// Versions whose hash was computed anew from the records.
    pub versions: u64,
    /// Versions from before the cut of retention, of which the chain alone was checked.
    pub versions_before_cut: u64,
    /// Records, present and past.
    pub records: u64,
    /// What is wrong, a sentence each; empty if nothing is. At most 100.
    pub faults: Vec<String>,
    /// Whether something that was recorded is damaged, and not only what [`Upkeep::recount`] counts from it.
    pub is_damaged: bool,
}

impl Verification {
    /// Notes damage to what was recorded.
    fn fault(&mut self, what: impl Into<String>) {
        self.is_damaged = true;
        self.count_fault(what);
    }

    /// Notes a fault of something that is counted from the records, if there is room for the sentence.
    fn count_fault(&mut self, what: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(what.into());
        }
    }

    /// Adds what another check found.
    fn add(&mut self, other: Self) {
        self.zones += other.zones;
        self.versions += other.versions;
        self.versions_before_cut += other.versions_before_cut;
        self.records += other.records;
        self.is_damaged |= other.is_damaged;
        let room = FAULTS_MAX.saturating_sub(self.faults.len());
        self.faults.extend(other.faults.into_iter().take(room));
    }
}

/// One interval of an owner.
struct Interval {
    code: u16,
    value: Value,
    added: (i64, i64),
    removed: Option<(i64, i64)>,
    baseline: bool,
}

/// How much is in a table or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSize {
    /// Its name in the schema.
    pub name: String,
    /// Octets on disk.
    pub octets: u64,
    /// Rows; `None` for an index.
    pub rows: Option<u64>,
}

/// The least time of changes that growth is told from: a rate of some minutes says nothing of a year. Unit: days.
const GROWTH_DAYS_MIN: f64 = 1.0;

/// What the database holds.
#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseStats {
    /// Octets of the file, free pages included.
    pub file_octets: u64,
    /// Octets of free pages, which later rows take.
    pub free_octets: u64,
    /// Octets of the write-ahead log.
    pub wal_octets: u64,
    /// Zones, each view counted.
    pub zones: u64,
    /// Records that are there now.
    pub records: u64,
    /// Records that are gone.
    pub past_records: u64,
    /// Records added and removed since watching began, pruned ones not counted.
    pub changes: u64,
    /// Octets that a change takes: past records, lists of changes, versions and their hashes, by changes.
    pub octets_per_change: Option<f64>,
    /// Records added or removed in the last 30 days of event time.
    pub changes_lately: u64,
    /// Octets by which the database grows a day, as in the last 30 days; `None` before a day of changes is known.
    pub growth_octets_per_day: Option<f64>,
    /// Tables and indexes, the largest first.
    pub tables: Vec<TableSize>,
}

impl Upkeep<'_> {
    /// Checks everything: SQLite's own structures, references, intervals, counts, and every hash.
    /// `progress` is told what is being looked at.
    ///
    /// A poller may be at work: what has to agree is read in one state of the database, each zone and each part of its
    /// chain in one of its own.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot even be read on; what is read and wrong is a fault.
    pub fn verify(&self, mut progress: impl FnMut(&str)) -> Result<Verification, StoreError> {
        let mut found = Verification::default();
        progress("pages and indexes");
        self.verify_pages(&mut found)?;
        if !found.faults.is_empty() {
            return Ok(found);
        }
        for zone in self.every_view()? {
            found.zones += 1;
            progress(&format!("zone {}", zone.apex));
            {
                // One state for the row and its records: a poll between the two would look like a wrong count.
                let _reading = self.store.begin_reading()?;
                // Its row says what its records are in this state.
                if let Some(zone) = self.store.zones().find_view(&zone.apex, zone.view)? {
                    self.verify_zone(&zone, &mut found)?;
                }
            }
            self.verify_chain(&zone, &mut found)?;
        }
        progress("users of name servers");
        let _reading = self.store.begin_reading()?;
        // Counted from the records, so that `db recount` mends it; nothing that was recorded is lost.
        if !self.store.ledger().is_popularity_sound()? {
            found.count_fault("the counts of names by name server are not those of the records");
        }
        self.verify_reports(&mut found)?;
        Ok(found)
    }

    /// Makes anew whatever is counted from the records: each zone's records, names and delegations, and the users
    /// of name servers. For who holds the poller's lock.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing has changed then.
    pub fn recount(&self, mut progress: impl FnMut(&str)) -> Result<(), StoreError> {
        // One transaction: half of the counts made anew would agree with nothing.
        let tx = self.store.begin_batch()?;
        for zone in self.every_view()? {
            progress(&format!("zone {}", zone.apex));
            self.store.run(|db| {
                let sql = "update zone
                              set (kept_count, name_count, delegation_count) =
                                    (select coalesce(sum(records), 0), count(nullif(records, 0)),
                                            count(nullif(has_ns, 0))
                                       from (select (select count(*)
                                                       from record r where r.owner_id = o.id) as records,
                                                    case when exists (select 1
                                                              from record r
                                                             where r.owner_id = o.id
                                                                   and r.rrtype = 2) then 1 else 0 end
                                                        as has_ns
                                               from owner o where o.zone_id = ?1) found) where id = ?1";
                db.execute(sql, [zone.id.0])
            })?;
        }
        progress("users of name servers");
        self.store.ledger().recount_users()?;
        tx.commit()
    }

    /// Lets SQLite check its structures and the references between tables.
    fn verify_pages(&self, found: &mut Verification) -> Result<(), StoreError> {
        // A server keeps its pages and its references itself.
        if let Some(db) = self.store.db.sqlite() {
            let engine = |fault| self.store.engine(fault);
            for line in check_pages(db).map_err(engine)? {
                found.fault(format!("pages: {line}"));
            }
            if !found.faults.is_empty() {
                return Ok(());
            }
            for (table, parent) in broken_references(db).map_err(engine)? {
                found.fault(format!(
                    "a row of {table} refers to a row of {parent} that is not there"
                ));
            }
        }
        // What no declared key holds together.
        let counts = [
            (
                "records whose owner is not there",
                "select count(*)
                   from record r
                  where not exists (select 1 from owner o where o.id = r.owner_id)",
            ),
            (
                "past records whose owner is not there",
                "select count(*)
                   from past_record p
                  where not exists (select 1 from owner o where o.id = p.owner_id)",
            ),
            (
                "name-server records whose host is not there",
                "select count(*)
                   from record r
                  where rrtype = 2 and not exists (select 1 from host h where h.id /* as data */ = r.rdata)",
            ),
            (
                "past name-server records whose host is not there",
                "select count(*)
                   from past_record r
                  where rrtype = 2 and not exists (select 1 from host h where h.id /* as data */ = r.rdata)",
            ),
            (
                "weeks of lost name servers whose owner is not there",
                "select count(*)
                   from nameserver_cut c
                  where not exists (select 1 from owner o where o.id = c.owner_id)",
            ),
            (
                "hosts whose operator is not there",
                "select count(*)
                   from host h
                  where operator_id is not null
                        and not exists (select 1 from host o where o.id = h.operator_id)",
            ),
        ];
        for (what, sql) in counts {
            let count: i64 = self.store.run(|db| db.value(sql, ()))?;
            if count > 0 {
                found.fault(format!("{count} {what}"));
            }
        }
        Ok(())
    }

    /// Checks the intervals of a zone's owners, and that the counts are those of the records.
    fn verify_zone(&self, zone: &ZoneState, found: &mut Verification) -> Result<(), StoreError> {
        let (mut kept, mut names, mut delegations) = (0, 0, 0);
        let buckets = self.store.zones().buckets_since(zone.id, None)?;
        self.store.ledger().each_owner(zone.id, &zone.apex, |owner_id, owner| {
            let intervals = self.intervals_of(zone.id, owner_id, &buckets)?;
            found.records += intervals.len() as u64;
            let open = intervals.iter().filter(|it| it.removed.is_none());
            let (count, has_ns) = open.fold((0, false), |(count, has_ns), it| {
                (count + 1, has_ns || it.code == 2)
            });
            kept += count;
            names += u64::from(count > 0);
            delegations += u64::from(has_ns);
            for what in overlaps(&intervals) {
                found.fault(format!("zone {}, {owner}: {what}", zone.apex));
            }
            if !self.is_cut_sound(zone, owner_id, &intervals)? {
                found.count_fault(format!(
                    "zone {}, {owner}: the week in which it last lost a name server is not that of the records",
                    zone.apex
                ));
            }
            Ok(())
        })?;
        let counted = [
            ("records", zone.kept_count, kept),
            ("names", zone.name_count, names),
            ("delegations", zone.delegation_count, delegations),
        ];
        for (what, said, counted) in counted {
            if said != counted {
                found.count_fault(format!(
                    "zone {}: its row says {said} {what}, there are {counted}",
                    zone.apex
                ));
            }
        }
        Ok(())
    }

    /// Returns whether what is noted of an owner's last lost name server is what its records say.
    fn is_cut_sound(
        &self,
        zone: &ZoneState,
        owner_id: i64,
        intervals: &[Interval],
    ) -> Result<bool, StoreError> {
        let week = |at: i64| week_of(Timestamp::from_unix(at));
        let nameservers = || intervals.iter().filter(|it| it.code == 2);
        let open = nameservers().filter(|it| it.removed.is_none());
        let added = open.map(|it| if it.baseline { 0 } else { week(it.added.0) });
        let lost = nameservers().filter_map(|it| it.removed);
        let lost = lost.map(|(at, _)| week(at)).max().unwrap_or(0);
        let noted = self.store.ledger().cut_week(owner_id)?;
        Ok(match added.max() {
            None => noted == 0,
            Some(added) if lost > added => noted == lost,
            // Nothing that is still there was lost later; what was pruned may have been.
            Some(added) => {
                noted == 0
                    || zone
                        .kept_since
                        .is_some_and(|cut| noted > added && noted <= week_of(cut))
            }
        })
    }

    /// Returns every interval of an owner; a version of another zone at either end counts as time 0.
    fn intervals_of(
        &self,
        zone: ZoneId,
        owner_id: i64,
        buckets: &[i64],
    ) -> Result<Vec<Interval>, StoreError> {
        let open = "
            select r.rrtype, r.rdata, a.observed_at as added_at, r.added_id, null as removed_at,
                   null as removed_id, r.baseline
              from record r left join version a on a.id = r.added_id and a.zone_id = ?2
             where r.owner_id = ?1";
        let past = "
            select p.rrtype, p.rdata, a.observed_at as added_at, p.added_id,
                   d.observed_at as removed_at, p.removed_id, p.baseline
              from past_record p left join version a on a.id = p.added_id and a.zone_id = ?2
                   left join version d on d.id = p.removed_id and d.zone_id = ?2
             where p.bucket = ?3 and p.owner_id = ?1";
        let mut intervals = Vec::new();
        for bucket in buckets {
            let rows = self.store.run(|db| {
                let mut statement = db.prepare(if *bucket == 0 { open } else { past })?;
                let read = |row: &Row<'_>| {
                    // By place: names cost 8 % of a check of every record.
                    let time = |place| row.at::<Option<i64>>(place).map(|time| time.unwrap_or(0));
                    Ok(Interval {
                        code: row.at(0)?,
                        value: row.at(1)?,
                        added: (time(2)?, row.at(3)?),
                        removed: match row.at::<Option<i64>>(5)? {
                            Some(id) => Some((time(4)?, id)),
                            None => None,
                        },
                        baseline: row.at(6)?,
                    })
                };
                match bucket {
                    0 => statement.query(params![owner_id, zone], read),
                    _ => statement.query(params![owner_id, zone, bucket], read),
                }
            })?;
            intervals.extend(rows);
        }
        Ok(intervals)
    }

    /// Checks a zone's chain. Retention that cuts it meanwhile takes what later parts of the check would need: then it
    /// is checked anew.
    fn verify_chain(&self, zone: &ZoneState, found: &mut Verification) -> Result<(), StoreError> {
        loop {
            let mut part = Verification::default();
            if self.verify_links(zone, &mut part)? {
                found.add(part);
                return Ok(());
            }
        }
    }

    /// Checks a zone's chain: each hash by the one before, and each root by the records, from the last cut
    /// of retention on. Returns whether that stood all the time.
    fn verify_links(&self, zone: &ZoneState, found: &mut Verification) -> Result<bool, StoreError> {
        let start = self.store.ledger().last_start(zone.id)?;
        let (mut before, mut after) = (Hash::default(), 0);
        loop {
            let _reading = self.store.begin_reading()?;
            if self.store.ledger().last_start(zone.id)? != start {
                return Ok(false);
            }
            let links = self
                .store
                .ledger()
                .chain_after(zone.id, after, LINKS_AT_A_TIME)?;
            let Some(last) = links.last() else { break };
            after = last.id;
            for link in &links {
                if link.hash != chain_hash(before, &zone.apex, link.head, link.root) {
                    found.fault(format!(
                        "zone {}: the hash of link {} of {} does not follow from the one before: a version's time, serial or hash was changed",
                        zone.apex, link.id, link.head.at
                    ));
                }
                before = link.hash;
                let is_before_cut = start.is_some_and(|start| {
                    link.id < start.id
                        && (link.head.is_start || start.holds(link.version_id, link.head.at))
                });
                if link.head.is_start {
                    if !is_before_cut {
                        self.verify_start(zone, link.head.at, link.version_id, link.root, found)?;
                    }
                } else if is_before_cut {
                    found.versions_before_cut += 1;
                } else {
                    self.verify_version(zone, link, found)?;
                }
            }
        }
        let unlinked: i64 = self.store.run(|db| {
            let sql = "select count(*)
                         from version v
                        where v.zone_id = ?1 and v.kind <> 'passive'
                              and v.id > coalesce((select c.version_id
                                                     from chain c
                                                    where c.zone_id = ?1 and c.kind = 'start'
                                                    order by c.id limit 1),
                                                  0)
                              and not exists (select 1
                                                from chain c
                                               where c.zone_id = ?1 and c.version_id = v.id
                                                     and c.kind = 'version')";
            db.value(sql, [zone.id.0])
        })?;
        if unlinked > 0 {
            found.fault(format!(
                "zone {}: no link in the chain for {}",
                zone.apex,
                counted(unlinked, "version")
            ));
        }
        Ok(true)
    }

    /// Checks the state that a cut of retention left.
    fn verify_start(
        &self,
        zone: &ZoneState,
        at: Timestamp,
        newest_id: i64,
        root: Hash,
        found: &mut Verification,
    ) -> Result<(), StoreError> {
        if self
            .store
            .ledger()
            .state_root(zone.id, &zone.apex, at, newest_id)?
            != root
        {
            found.fault(format!(
                "zone {}: the state before {at} is not the one that was hashed",
                zone.apex
            ));
        }
        Ok(())
    }

    /// Checks a version's time, root and list of changes by the records.
    fn verify_version(
        &self,
        zone: &ZoneState,
        link: &Link,
        found: &mut Verification,
    ) -> Result<(), StoreError> {
        let (version_id, root) = (link.version_id, link.root);
        let is_superseded: bool = self.store.run(|db| {
            let sql = "select exists (select 1
                         from chain
                        where zone_id = ? and id > ? and version_id = ?
                              and kind = 'version')";
            db.value(sql, params![zone.id, link.id, version_id])
        })?;
        if is_superseded {
            return Ok(());
        }
        let version = match self.store.ledger().version_key(version_id) {
            Ok(version) => version,
            Err(StoreError::Engine { fault, .. }) if fault.is_no_row() => {
                found.fault(format!(
                    "zone {}: version {version_id} is not there",
                    zone.apex
                ));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        found.versions += 1;
        if version.at != link.head.at {
            found.fault(format!(
                "zone {}: version {version_id} of {} says that it is of {}: its hash does not follow from the one before",
                zone.apex, link.head.at, version.at
            ));
        }
        if self.store.ledger().root_of(zone.id, &zone.apex, version)? != root {
            found.fault(format!(
                "zone {}: the changes of version {version_id} of {} are not those that were hashed",
                zone.apex, version.at
            ));
        }
        let said: i64 = self.store.run(|db| {
            db.value(
                "select changed_name_count from version where id = ?",
                [version_id],
            )
        })?;
        // A list that cannot be read is a fault that was found, not one that ends the check.
        let listed = match self.store.ledger().changes_of(version_id) {
            Ok(owners) => Some(
                owners
                    .iter()
                    .filter(|(_, counts)| !counts.is_zero())
                    .count() as i64,
            ),
            Err(StoreError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        if listed != Some(said) {
            found.fault(format!(
                "zone {}: version {version_id} of {} says: {}; its list does not",
                zone.apex,
                version.at,
                counted(said, "changed name")
            ));
        }
        Ok(())
    }

    /// Checks that the hash each report rests on is in a chain.
    fn verify_reports(&self, found: &mut Verification) -> Result<(), StoreError> {
        let missing: Vec<(i64, i64)> = self.store.run(|db| {
            let sql = "select e.case_id, e.revision
                         from report_evidence e
                              left join chain c on c.hash = e.hash and c.zone_id = e.zone_id
                        where c.id is null limit 100";
            db.query(sql, (), |row| {
                Ok((row.get("case_id")?, row.get("revision")?))
            })
        })?;
        for (case_id, revision) in missing {
            found.fault(format!(
                "report {revision} of case {case_id} rests on a hash that is in no chain any more"
            ));
        }
        Ok(())
    }

    /// Writes a sound copy of the database to `to`, which must not exist. A poller may be at work.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing is left at `to` then.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let file = |fault| StoreError::File {
            path: to.to_owned(),
            fault,
        };
        if to.exists() {
            return Err(file(std::io::ErrorKind::AlreadyExists.into()));
        }
        let temporary = crate::store::sqlite::file::with_suffix(to, ".part");
        // What an interrupted backup left; nobody else writes there.
        match std::fs::remove_file(&temporary) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => return Err(file(fault)),
            _ => {}
        }
        // Made first, so that what it will hold is nobody else's to read.
        let mut options = OpenOptions::new();
        options.create_new(true).write(true).mode(PRIVATE);
        drop(options.open(&temporary).map_err(file)?);
        let copied = self
            .store
            .write_copy(&temporary)
            .and_then(|()| Self::check_copy(&temporary))
            .and_then(|()| {
                let sync = |path: &Path| std::fs::File::open(path)?.sync_all();
                sync(&temporary)
                    .and_then(|()| std::fs::rename(&temporary, to))
                    .and_then(
                        |()| match to.parent().filter(|it| !it.as_os_str().is_empty()) {
                            Some(folder) => sync(folder),
                            None => Ok(()),
                        },
                    )
                    .map_err(file)
            });
        if copied.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        copied
    }

    /// Checks the pages of a copy.
    fn check_copy(path: &Path) -> Result<(), StoreError> {
        let store = Store::open_read_only(path)?;
        let mut found = Verification::default();
        store.upkeep().verify_pages(&mut found)?;
        match found.faults.into_iter().next() {
            Some(fault) => Err(store.damaged(fault)),
            None => Ok(()),
        }
    }

    /// Counts the pages; a server's are counted as if none were free.
    pub(in crate::store) fn pages(&self) -> Result<Pages, StoreError> {
        self.store.run(|db| match db {
            Db::Sqlite(db) => count_pages(db),
            Db::Postgres(db) => db.count_pages(),
        })
    }

    /// Returns every table and index with its octets, the largest first.
    fn trees(&self) -> Result<Vec<Tree>, StoreError> {
        self.store.run(|db| match db {
            Db::Sqlite(db) => measure_trees(db),
            Db::Postgres(db) => db.measure_trees(),
        })
    }

    /// Returns what the database holds. Reads every page.
    pub fn stats(&self) -> Result<DatabaseStats, StoreError> {
        let _reading = self.store.begin_reading()?;
        let number = |sql: &str| -> Result<u64, StoreError> {
            self.store
                .run(|db| db.value::<Option<i64>>(sql, ()))
                .map(|number| number.unwrap_or(0) as u64)
        };
        let pages = self.pages()?;
        let mut tables = Vec::new();
        for tree in self.trees()? {
            let rows = if tree.is_table {
                Some(number(&format!("select count(*) from \"{}\"", tree.name))?)
            } else {
                None
            };
            tables.push(TableSize {
                name: tree.name,
                octets: tree.octets as u64,
                rows,
            });
        }
        let rows_of = |name: &str| {
            let table = tables.iter().find(|table| table.name == name);
            table.and_then(|table| table.rows).unwrap_or(0)
        };
        let octets_of = |name: &str| {
            let table = tables.iter().find(|table| table.name == name);
            table.map_or(0, |table| table.octets)
        };
        let past = rows_of("past_record");
        let added_open = number("select count(*) from record where baseline = 0")?;
        let added_past = number("select count(*) from past_record where baseline = 0")?;
        let changes = past + added_open + added_past;
        let of_changes = [
            "past_record",
            "past_by_host",
            "past_by_a",
            "past_by_aaaa",
            "change",
            "shared_change",
            "version",
            "version_by_zone",
            "chain",
            "chain_by_zone",
        ];
        let of_changes: u64 = of_changes.into_iter().map(octets_of).sum();
        let octets_per_change = (changes > 0).then(|| of_changes as f64 / changes as f64);
        let newest = number("select max(observed_at) from version")?;
        let since = Timestamp::from_unix(newest as i64) - Span::days(30);
        let (changes_lately, days) = self.changes_since(since)?;
        let growth_octets_per_day = octets_per_change
            .filter(|_| days >= GROWTH_DAYS_MIN)
            .map(|octets| octets * changes_lately as f64 / days);
        Ok(DatabaseStats {
            file_octets: (pages.all * pages.octets_each) as u64,
            free_octets: (pages.free * pages.octets_each) as u64,
            wal_octets: self.wal_octets(),
            zones: rows_of("zone"),
            records: rows_of("record"),
            past_records: past,
            changes,
            octets_per_change,
            changes_lately,
            growth_octets_per_day,
            tables,
        })
    }

    /// Returns how many records versions after a time added and removed, and over how many days.
    fn changes_since(&self, since: Timestamp) -> Result<(u64, f64), StoreError> {
        let (mut count, mut first, mut last) = (0, i64::MAX, 0);
        self.store.run(|db| {
            let sql = "select v.observed_at, c.octets
                         from version v left join change c on c.version_id = v.id
                        where v.observed_at > ?";
            let mut statement = db.prepare(sql)?;
            let mut rows = statement.rows([since.unix()])?;
            while let Some(row) = rows.next()? {
                let at: i64 = row.get("observed_at")?;
                (first, last) = (first.min(at), last.max(at));
                let octets: Option<Vec<u8>> = row.get("octets")?;
                for (_, counts) in unpack(&octets.unwrap_or_default()).unwrap_or_default() {
                    let all = counts.ns.iter().chain(&counts.address).sum::<u32>() + counts.other;
                    count += u64::from(all);
                }
            }
            Ok(())
        })?;
        Ok((count, (last - first.min(last)) as f64 / 86_400.0))
    }
}

/// Returns what is impossible about an owner's intervals, a sentence each.
fn overlaps(intervals: &[Interval]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut by_record: HashMap<(u16, Datum<'_>), Vec<&Interval>> = HashMap::new();
    for one in intervals {
        if one.added.0 == 0 || one.removed.is_some_and(|removed| removed.0 == 0) {
            faults.push(
                "a record begins or ends with a version that the zone does not have".to_owned(),
            );
            continue;
        }
        if one.removed.is_some_and(|removed| removed < one.added) {
            faults.push("a record ends before it begins".to_owned());
        }
        let record = (one.code, Datum::of(&one.value));
        by_record.entry(record).or_default().push(one);
    }
    for stays in by_record.values_mut() {
        // In the order of their beginnings, where any two meet two neighbours do.
        stays.sort_unstable_by_key(|stay| stay.added);
        let meets = |pair: &&[&Interval]| pair[0].removed.is_none_or(|end| pair[1].added < end);
        let count = stays.windows(2).filter(meets).count();
        faults.extend(vec![
            "a record is there twice at one time".to_owned();
            count
        ]);
    }
    faults
}

/// A record's data as it is stored, to be told from others.
#[derive(PartialEq, Eq, Hash)]
enum Datum<'a> {
    Nothing,
    Number(i64),
    Octets(&'a [u8]),
}

impl<'a> Datum<'a> {
    /// Returns that of a stored value.
    fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Nothing,
            Value::Integer(number) => Self::Number(*number),
            Value::Real(number) => Self::Number(number.to_bits() as i64),
            Value::Text(text) => Self::Octets(text.as_bytes()),
            Value::Octets(octets) => Self::Octets(octets),
        }
    }
}
