//! Counts how many names use a name server, as a version changes it.

use std::collections::HashMap;

use crate::dns::Name;
use crate::store::door::{Numbers, Table, ValueRef};
use crate::store::error::StoreError;
use crate::store::keys::ZoneId;
use crate::store::ledger::Ledger;
use crate::store::ledger::open_row::OpenRow;
use crate::store::ledger::tally::{HostKey, SINCE_WATCHING, Tally, week_of};
use crate::store::ledger::writing::{OwnerEdit, Writing, hosts_elsewhere};
use crate::store::sqlite::dialect::{IN_ORDER, rows_of};
use crate::time::Timestamp;

/// Versions whose weeks are kept in memory.
const WEEKS_KNOWN_MAX: usize = 100_000;
/// The weeks in which owners last lost a name server.
const CUTS: Table = Table {
    name: "nameserver_cut",
    columns: &["owner_id", "week"],
    on_conflict: "on conflict (owner_id) do update set week = excluded.week",
};

/// Counts the users of name servers.
#[derive(Default)]
pub(in crate::store) struct Users {
    /// What is yet to be written.
    tally: Tally,
    /// The name servers of the owner that is being counted.
    hosts: Vec<HostKey>,
    /// The weeks of versions.
    weeks: HashMap<i64, i64>,
}

impl Users {
    /// Counts the owners of edits that move name servers: their records are written already.
    pub fn note(&mut self, writing: &Writing<'_>, edits: &[OwnerEdit]) -> Result<(), StoreError> {
        let edits: Vec<&OwnerEdit> = edits.iter().filter(|edit| edit.moves_ns()).collect();
        if edits.is_empty() {
            return Ok(());
        }
        let ledger = writing.store.ledger();
        let ids: Vec<i64> = edits.iter().map(|edit| edit.id).collect();
        // What an earlier part of the version took away goes on as it was: the records tell.
        let standing = writing.is_more().then(|| ledger.open_rows_of(&ids));
        let mut standing = standing.transpose()?;
        let after: Vec<Vec<OpenRow>> = edits
            .iter()
            .map(|edit| match &mut standing {
                Some(standing) => standing.remove(&edit.id).unwrap_or_default(),
                None => edit.name_servers_after(writing.id),
            })
            .collect();
        let before = edits.iter().flat_map(|edit| &edit.rows);
        self.read_weeks(writing, before.chain(after.iter().flatten()))?;
        let mut new_cuts = Vec::new();
        for (edit, after) in edits.iter().zip(&after) {
            // Of an owner without name servers nothing is known.
            let cut = if edit.has_ns() { edit.cut } else { 0 };
            self.uncount(writing, edit, cut)?;
            let noted = self.count_again(writing, edit, after, cut)?;
            if noted != cut {
                new_cuts.push((edit.id, noted));
            }
        }
        write_cuts(writing, &new_cuts)
    }

    /// Counts an owner of a first version with these name servers.
    pub fn count_first(
        &mut self,
        writing: &Writing<'_>,
        hosts: &[HostKey],
    ) -> Result<(), StoreError> {
        let tally = &mut self.tally;
        tally.count(hosts, SINCE_WATCHING, 1);
        writing.store.run(|db| tally.write(db, false))
    }

    /// Writes what is yet to be written of the counts.
    pub fn write(&mut self, writing: &Writing<'_>) -> Result<(), StoreError> {
        let tally = &mut self.tally;
        writing.store.run(|db| tally.write(db, true))
    }

    /// Takes off the count what an owner counted for before the edit.
    fn uncount(
        &mut self,
        writing: &Writing<'_>,
        edit: &OwnerEdit,
        cut: i64,
    ) -> Result<(), StoreError> {
        let Some(week) = self.last_added_week(&edit.rows) else {
            return Ok(());
        };
        self.find_hosts(writing, &edit.owner, &edit.rows)?;
        self.count_hosts(writing, week.max(cut), -1)
    }

    /// Counts an owner with the name servers that it has after the edit. Returns the week in which it last lost one, if
    /// that is later than any of them was added; else 0. `cut` is what was known of that before.
    fn count_again(
        &mut self,
        writing: &Writing<'_>,
        edit: &OwnerEdit,
        after: &[OpenRow],
        cut: i64,
    ) -> Result<i64, StoreError> {
        let this_week = week_of(writing.draft.observed_at);
        let last = if writing.is_more() {
            // What an earlier part of this version took away may be there again.
            let before = if cut == this_week { 0 } else { cut };
            let ledger = writing.store.ledger();
            before.max(ledger.last_removal_week(writing.zone.id, edit.id)?)
        } else if edit.is_cut() {
            cut.max(this_week)
        } else {
            cut
        };
        // Without name servers nobody is used; whoever comes next comes later.
        let Some(added) = self.last_added_week(after) else {
            return Ok(0);
        };
        let noted = if added < last { last } else { 0 };
        self.find_hosts(writing, &edit.owner, after)?;
        self.count_hosts(writing, added.max(noted), 1)?;
        Ok(noted)
    }

    /// Gathers the name servers of an owner that are not at or below it.
    fn find_hosts(
        &mut self,
        writing: &Writing<'_>,
        owner: &Name,
        rows: &[OpenRow],
    ) -> Result<(), StoreError> {
        self.hosts.clear();
        let ledger = writing.store.ledger();
        for host in hosts_elsewhere(owner, rows) {
            self.hosts.push(ledger.host_key_of_wire(host.as_wire())?);
        }
        Ok(())
    }

    /// Counts an owner with the name servers that were gathered.
    fn count_hosts(&mut self, writing: &Writing<'_>, week: i64, by: i64) -> Result<(), StoreError> {
        let tally = &mut self.tally;
        tally.count(&self.hosts, week, by);
        writing.store.run(|db| tally.write(db, false))
    }

    /// Returns the last week in which one of an owner's name servers was added, 0 for those that were there before;
    /// `None` without name servers.
    fn last_added_week(&self, rows: &[OpenRow]) -> Option<i64> {
        let rows = rows.iter().filter(|row| row.is_ns());
        rows.map(|row| {
            if row.baseline {
                0
            } else {
                self.weeks[&row.added_id]
            }
        })
        .max()
    }

    /// Reads the weeks of the versions that added name servers, unless they are known.
    fn read_weeks<'r>(
        &mut self,
        writing: &Writing<'_>,
        rows: impl Iterator<Item = &'r OpenRow>,
    ) -> Result<(), StoreError> {
        if self.weeks.len() >= WEEKS_KNOWN_MAX {
            self.weeks.clear();
        }
        let own = (writing.id, week_of(writing.draft.observed_at));
        self.weeks.extend([own]);
        let rows = rows.filter(|row| row.is_ns() && !row.baseline);
        let mut unknown: Vec<i64> = rows
            .map(|row| row.added_id)
            .filter(|id| !self.weeks.contains_key(id))
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        let versions: Vec<(i64, Timestamp)> = writing.store.run(|db| {
            let sql = format!(
                "select v.id, v.observed_at from {list} w {IN_ORDER} version v on v.id = w.value",
                list = rows_of("?")
            );
            db.query(&sql, [Numbers(unknown.clone())], |row| {
                Ok((row.get("id")?, row.get("observed_at")?))
            })
        })?;
        if versions.len() != unknown.len() {
            let what = "a name server's record of a version that is not there";
            return Err(writing.store.damaged(what.to_owned()));
        }
        let weeks = versions.into_iter().map(|(id, at)| (id, week_of(at)));
        self.weeks.extend(weeks);
        Ok(())
    }
}

/// Writes in which weeks owners last lost a name server; 0: never, as far as that matters.
fn write_cuts(writing: &Writing<'_>, cuts: &[(i64, i64)]) -> Result<(), StoreError> {
    let number = ValueRef::Integer;
    let (gone, there): (Vec<_>, Vec<_>) = cuts.iter().partition(|(_, week)| *week == 0);
    let gone: Vec<ValueRef<'_>> = gone.iter().map(|(owner, _)| number(*owner)).collect();
    let there: Vec<ValueRef<'_>> = there
        .iter()
        .flat_map(|(owner, week)| [number(*owner), number(*week)])
        .collect();
    writing.store.run(|db| {
        db.delete_rows(CUTS.name, &["owner_id"], &gone)?;
        db.insert_rows(&CUTS, &there)
    })
}

impl Ledger<'_> {
    /// Returns the week in which an owner last lost a name server, if that is later than any that it has; else 0.
    pub(in crate::store) fn cut_week(&self, owner_id: i64) -> Result<i64, StoreError> {
        let week = self.store.run(|db| {
            db.first_value(
                "select week from nameserver_cut where owner_id = ?",
                [owner_id],
            )
        })?;
        Ok(week.unwrap_or(0))
    }

    /// Returns the week in which an owner last lost a name server, as the records say; 0 if it never did.
    fn last_removal_week(&self, zone: ZoneId, owner_id: i64) -> Result<i64, StoreError> {
        let buckets = self.store.zones().buckets_since(zone, None)?;
        for bucket in buckets.into_iter().skip(1).rev() {
            let last: Option<i64> = self.store.run(|db| {
                let sql = "select max(v.observed_at)
                             from (select removed_id
                                     from past_record
                                    where bucket = ? and owner_id = ? and rrtype = 2
                                    order by removed_id desc limit 1024) p
                                  join version v on v.id = p.removed_id";
                db.value(sql, [bucket, owner_id])
            })?;
            if let Some(at) = last {
                return Ok(week_of(Timestamp::from_unix(at)));
            }
        }
        Ok(0)
    }
}
