//! Reverse lookups: which names used a name server or an address, now and in the past.
//!
//! Served by the partial indexes on RDATA: the first is there at once however many follow. First come records that
//! are there, then past ones.
//!
//! Whoever takes them slowly must not keep the write-ahead log from being moved. So they are read in pages, each in a
//! state of its own, and told between two. What is told is the state of the first page all the same: what came later
//! is left out, what ended later is told as there, once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::dns::{Name, RecordType};
use crate::store::caches::VersionRow;
use crate::store::door::{Fault, Numbers, Row, Value, params};
use crate::store::error::StoreError;
use crate::store::handle::StoreTx;
use crate::store::keys::View;
use crate::store::lookup::Lookup;
use crate::store::lookup::answer::{RecordRow, last_seen};
use crate::store::lookup::question::Wanted;
use crate::store::sqlite::dialect::{AS_HOST, IN_ORDER, rows_of};
use crate::store::zones::enclosing::SEEN_AT;
use crate::time::Timestamp;

/// How many rows are read in one state of the database...
const ROWS_A_PAGE: usize = if cfg!(test) { 3 } else { 1000 };
/// ...and how many at first: who wants to know whether there is any use reads no more.
const ROWS_AT_FIRST: usize = if cfg!(test) { 2 } else { 16 };
/// Of how many owners the names are kept from page to page, some 150 octets each: a name comes again in each month.
const OWNERS_KEPT_MAX: usize = if cfg!(test) { 2 } else { 100_000 };

/// What was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Used {
    /// A name server.
    Host(Name),
    /// Any name server at or below a name, such as an operator's domain.
    HostsBelow(Name),
    /// Any address from the first to the last, of one family.
    Addresses(IpAddr, IpAddr),
}

/// Where a reverse lookup goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct ReverseCursor {
    is_past: bool,
    rdata: Value,
    /// The owner; of past records after the month and before the version.
    place: [i64; 3],
}

impl fmt::Display for ReverseCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_past { "p" } else { "o" })?;
        match &self.rdata {
            Value::Integer(id) => write!(f, ":i{id}")?,
            Value::Octets(octets) => {
                f.write_str(":b")?;
                octets
                    .iter()
                    .try_for_each(|octet| write!(f, "{octet:02x}"))?;
            }
            _ => {}
        }
        self.place.iter().try_for_each(|part| write!(f, ":{part}"))
    }
}

impl ReverseCursor {
    /// Reads what [`ReverseCursor`] prints.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let is_past = match parts.next()? {
            "o" => false,
            "p" => true,
            _ => return None,
        };
        let rdata = parts.next()?;
        let rdata = match rdata.split_at_checked(1)? {
            ("i", id) => Value::Integer(id.parse().ok()?),
            ("b", digits) if digits.is_ascii() && digits.len() % 2 == 0 => {
                let pairs = (0..digits.len()).step_by(2);
                let octets = pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16));
                Value::Octets(octets.collect::<Result<_, _>>().ok()?)
            }
            _ => return None,
        };
        let mut place = [0; 3];
        for part in &mut place {
            *part = parts.next()?.parse().ok()?;
        }
        parts.next().is_none().then_some(Self {
            is_past,
            rdata,
            place,
        })
    }
}

/// A row of either table.
struct UserRow {
    rdata: Value,
    place: [i64; 3],
    /// `None` for the usual one of the zone.
    ttl: Option<u32>,
    baseline: bool,
    added_id: i64,
    /// Of a past record, also where it was there in the state that is told.
    removed_id: Option<i64>,
}

/// The versions at the ends of a row.
struct Ends<'a> {
    added: &'a VersionRow,
    /// The version that ended it, if it had ended in the state that is told.
    removed: Option<&'a VersionRow>,
    /// Of a past record: when its zone was last looked at while it was there.
    looked_at: Option<Timestamp>,
}

impl UserRow {
    /// Returns the row of the owner.
    fn owner_id(&self) -> i64 {
        self.place[usize::from(self.removed_id.is_some())]
    }

    /// Returns where a lookup goes on after the row.
    fn cursor(&self, is_past: bool) -> ReverseCursor {
        ReverseCursor {
            is_past,
            rdata: self.rdata.clone(),
            place: self.place,
        }
    }
}

/// A range of RDATA that is read in pages.
struct Range {
    rtype: RecordType,
    last: Value,
    /// The newest version of the state that is told.
    newest: i64,
    /// The pages of records that are there, in order.
    seen: Vec<SeenPage>,
}

/// A page of records that were there.
struct SeenPage {
    /// It begins after this record: RDATA and owner.
    after: (Value, i64),
    /// It ends with this record; `None` if it goes to the end of the range.
    to: Option<(Value, i64)>,
    /// The newest version when it was read.
    state: i64,
}

/// Rows that were read at once.
#[derive(Default)]
struct UsersPage {
    records: Vec<(RecordRow, ReverseCursor)>,
    /// Where the next page begins; `None` if there is none.
    next: Option<ReverseCursor>,
}

impl Range {
    /// Notes which records that are there a page has told.
    fn note_page(&mut self, from: &ReverseCursor, next: Option<&ReverseCursor>, state: i64) {
        let end = |cursor: &ReverseCursor| (cursor.rdata.clone(), cursor.place[0]);
        self.seen.push(SeenPage {
            after: end(from),
            to: next.map(end),
            state,
        });
    }

    /// Returns whether a row is told as one that had ended, or that was there; `None` if it is not told at all.
    fn has_ended(&self, row: &UserRow, view: View) -> Option<bool> {
        // What others recorded is written anew when more of it comes: a row's number says nothing of its age.
        if view != View::Passive && row.added_id > self.newest {
            return None;
        }
        let Some(removed_id) = row.removed_id else {
            return Some(false);
        };
        if removed_id <= self.newest {
            return Some(true);
        }
        // It ended meanwhile: the page that has its place may have told it as there, or come after its end.
        let here = key(&row.rdata, row.place[1]);
        let is_within = |page: &&SeenPage| {
            here > key(&page.after.0, page.after.1)
                && page
                    .to
                    .as_ref()
                    .is_none_or(|(rdata, owner)| here <= key(rdata, *owner))
        };
        let page = self.seen.partition_point(|page| {
            let to = page.to.as_ref();
            to.is_some_and(|(rdata, owner)| key(rdata, *owner) < here)
        });
        match self.seen.get(page).filter(is_within) {
            Some(page) if removed_id > page.state => None,
            Some(_) if view != View::Passive => Some(false),
            // An earlier lookup has told what lies before the cursor, in a state of its own.
            _ => Some(true),
        }
    }
}

/// Returns what orders records of one type as SQLite does: RDATA, then owners.
fn key(rdata: &Value, owner_id: i64) -> (i64, &[u8], i64) {
    match rdata {
        Value::Integer(id) => (*id, &[], owner_id),
        Value::Octets(octets) => (0, octets, owner_id),
        _ => (0, &[], owner_id),
    }
}

/// What many rows share, each read once.
#[derive(Default)]
struct Shared {
    zones: HashMap<i64, SharedZone>,
    /// By their rows, which never go.
    owners: HashMap<i64, SharedOwner>,
    sources: HashMap<i64, Arc<str>>,
}

/// An owner's name, and the row of its zone.
struct SharedOwner {
    name: Arc<Name>,
    zone_id: i64,
}

/// A zone, and when it was last looked at and was as its newest version left it.
#[derive(Clone)]
struct SharedZone {
    apex: Arc<Name>,
    view: View,
    usual_ttl: Option<u32>,
    looked_at: Option<Timestamp>,
}

impl Lookup<'_> {
    /// Calls `each` with every record of `used` that was there in the wanted time, after `cursor`, until
    /// `each` says no. It is given where to go on after the record.
    ///
    /// No transaction is open while `each` works, unless the caller has begun one: it may take as long as it likes.
    /// What is told is one state of the database, but for when records were last seen, what retention takes
    /// meanwhile, and what others recorded (passive DNS), which is as it is when it is read.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; [`StoreError::NoReverseIndex`] if the database keeps none.
    pub fn users_of<E: From<StoreError>>(
        &self,
        used: &Used,
        wanted: &Wanted,
        cursor: Option<&ReverseCursor>,
        mut each: impl FnMut(RecordRow, ReverseCursor) -> Result<bool, E>,
    ) -> Result<(), E> {
        if !self.store.has_reverse_index {
            return Err(StoreError::NoReverseIndex(self.store.path.clone()).into());
        }
        let mut shared = Shared::default();
        let (newest, ranges) = {
            let _reading = self.begin_page()?;
            (self.newest_version()?, self.ranges_of(used)?)
        };
        for (rtype, first, last) in ranges {
            // Of name servers each is a range; those before the cursor's have been told whole.
            let cursor = match (cursor.map(|cursor| &cursor.rdata), &first) {
                (Some(Value::Integer(at)), Value::Integer(id)) if id < at => continue,
                (Some(Value::Integer(at)), Value::Integer(id)) if id > at => None,
                _ => cursor,
            };
            let mut range = Range {
                rtype,
                last,
                newest,
                seen: Vec::new(),
            };
            for is_past in [false, true] {
                let mut from = match cursor {
                    // What lies before the cursor has been told.
                    Some(cursor) if cursor.is_past && !is_past => continue,
                    Some(cursor)
                        if cursor.is_past == is_past && is_same_type(&cursor.rdata, rtype) =>
                    {
                        cursor.clone()
                    }
                    _ => ReverseCursor {
                        is_past,
                        rdata: first.clone(),
                        place: [-1; 3],
                    },
                };
                let mut rows_max = ROWS_AT_FIRST;
                loop {
                    let asked = (wanted, rows_max);
                    let page = self.users_page(&mut range, asked, &from, &mut shared)?;
                    rows_max = ROWS_A_PAGE;
                    for (record, here) in page.records {
                        if !each(record, here)? {
                            return Ok(());
                        }
                    }
                    match page.next {
                        Some(next) => from = next,
                        None => break,
                    }
                }
            }
        }
        Ok(())
    }

    /// Begins to read a state of the database, unless one is being read.
    pub(in crate::store) fn begin_page(&self) -> Result<Option<StoreTx<'_>>, StoreError> {
        if self.store.db.is_in_transaction() {
            Ok(None)
        } else {
            self.store.begin_reading().map(Some)
        }
    }

    /// Returns the newest version of any zone; 0 if there is none.
    pub(in crate::store) fn newest_version(&self) -> Result<i64, StoreError> {
        self.store
            .run(|db| db.value("select coalesce(max(id), 0) from version", ()))
    }

    /// Reads the next rows of a range, no more than so many, in one state of the database.
    fn users_page(
        &self,
        range: &mut Range,
        (wanted, rows_max): (&Wanted, usize),
        from: &ReverseCursor,
        shared: &mut Shared,
    ) -> Result<UsersPage, StoreError> {
        let _reading = self.begin_page()?;
        let state = self.newest_version()?;
        let is_past = from.is_past;
        let place = if is_past {
            from.place
        } else {
            [from.place[0], 0, 0]
        };
        let rows = self.store.run(|db| {
            let mut statement = db.prepare(&users_sql(range.rtype, is_past))?;
            let limit = rows_max as i64;
            let bound = params![from.rdata, range.last, place[0], place[1], place[2], limit];
            statement.query(bound, |row| read_user(row, is_past))
        })?;
        let mut page = UsersPage::default();
        if rows.len() == rows_max {
            page.next = rows.last().map(|row| row.cursor(is_past));
        }
        let ends = rows
            .iter()
            .flat_map(|row| [Some(row.added_id), row.removed_id]);
        let mut ends: Vec<i64> = ends.flatten().collect();
        ends.sort_unstable();
        ends.dedup();
        // A few versions, which each record would be joined to.
        let versions = self.versions(ends)?;
        let version = |id: i64| {
            let found = versions.binary_search_by_key(&id, |row| row.end.version_id);
            let found = found.map(|at| &versions[at]);
            found.map_err(|_| self.lost_version(id))
        };
        self.know_owners(&rows, shared)?;
        let known = (&shared.owners, &shared.zones);
        for row in rows {
            let (owner, zone) = self.user_owner(&row, known)?;
            let Some(has_ended) = range.has_ended(&row, zone.view) else {
                continue;
            };
            let removed = row.removed_id.map(version).transpose()?;
            let ends = Ends {
                added: version(row.added_id)?,
                removed: removed.filter(|_| has_ended),
                looked_at: removed.and_then(|it| it.before),
            };
            let removed_at = ends.removed.map(|it| it.end.at);
            if wanted.has_stay(ends.added.end.at, removed_at) {
                let here = row.cursor(is_past);
                let source = match shared.sources.entry(ends.added.source_id) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => {
                        let name = self.store.zones().source_name(ends.added.source_id)?;
                        unknown.insert(name.into())
                    }
                };
                let record = self.finish_user(range.rtype, row, &ends, (owner, zone), source)?;
                page.records.push((record, here));
            }
        }
        if !is_past {
            range.note_page(from, page.next.as_ref(), state);
        }
        Ok(page)
    }

    /// Returns the ranges of RDATA to look through: type, first and last.
    fn ranges_of(&self, used: &Used) -> Result<Vec<(RecordType, Value, Value)>, StoreError> {
        let (host, whole) = match used {
            Used::Host(host) => (host, false),
            Used::HostsBelow(host) => (host, true),
            Used::Addresses(first, last) => {
                let octets = |address: &IpAddr| match address {
                    IpAddr::V4(address) => Value::Octets(address.octets().to_vec()),
                    IpAddr::V6(address) => Value::Octets(address.octets().to_vec()),
                };
                let rtype = if first.is_ipv4() {
                    RecordType::A
                } else {
                    RecordType::Aaaa
                };
                return Ok(vec![(rtype, octets(first), octets(last))]);
            }
        };
        let mut ids = self.hosts_of(host, whole)?;
        ids.sort_unstable();
        let range = |id: i64| (RecordType::Ns, Value::Integer(id), Value::Integer(id));
        Ok(ids.into_iter().map(range).collect())
    }

    /// Reads the owners of some rows, as far as they are not known, and their zones.
    fn know_owners(&self, rows: &[UserRow], shared: &mut Shared) -> Result<(), StoreError> {
        if shared.owners.len() > OWNERS_KEPT_MAX {
            shared.owners.clear();
        }
        let owners = rows.iter().map(UserRow::owner_id);
        let mut unknown: Vec<i64> = owners
            .filter(|id| !shared.owners.contains_key(id))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        // In the order in which they lie.
        unknown.sort_unstable();
        unknown.dedup();
        let read: Vec<(i64, i64, String)> = self.store.run(|db| {
            let sql = format!(
                "select o.id, o.zone_id, o.name
                   from {list} w {IN_ORDER} owner o on o.id = w.value",
                list = rows_of("?")
            );
            let asked = Numbers::from_iter(unknown);
            db.query(&sql, [asked], |row| {
                Ok((row.at(0)?, row.at(1)?, row.at(2)?))
            })
        })?;
        for (id, zone_id, key) in read {
            let zone = match shared.zones.entry(zone_id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(self.shared_zone(zone_id)?),
            };
            let name = Name::from_relative_key(&key, &zone.apex)
                .map_err(|fault| self.store.damaged(fault.to_string()))?;
            let name = Arc::new(name);
            shared.owners.insert(id, SharedOwner { name, zone_id });
        }
        Ok(())
    }

    /// Returns the owner of a row and its zone, which were read.
    fn user_owner<'a>(
        &self,
        row: &UserRow,
        (owners, zones): (&'a HashMap<i64, SharedOwner>, &'a HashMap<i64, SharedZone>),
    ) -> Result<(&'a SharedOwner, &'a SharedZone), StoreError> {
        let id = row.owner_id();
        let found = owners.get(&id);
        let found = found.and_then(|owner| Some((owner, zones.get(&owner.zone_id)?)));
        found.ok_or_else(|| {
            self.store
                .damaged(format!("history refers to owner {id}, which is not there"))
        })
    }

    /// Returns a row as a record.
    fn finish_user(
        &self,
        rtype: RecordType,
        row: UserRow,
        ends: &Ends<'_>,
        (owner, zone): (&SharedOwner, &SharedZone),
        source: &Arc<str>,
    ) -> Result<RecordRow, StoreError> {
        let (added, removed) = (ends.added, ends.removed);
        let added_at = added.end.at;
        let removed_at = removed.map(|it| it.end.at);
        // Of a past record, also of one that was there in the state that is told.
        let looked_at = match removed_at {
            Some(_) => ends.looked_at,
            None => ends.looked_at.or(zone.looked_at),
        };
        Ok(RecordRow {
            owner: Arc::clone(&owner.name),
            rdata: self.store.ledger().read_rdata(rtype.code(), &row.rdata)?,
            ttl: row.ttl.or(zone.usual_ttl).unwrap_or_default(),
            zone: Arc::clone(&zone.apex),
            view: zone.view,
            added_at,
            added_serial: added.end.serial,
            removed_at,
            removed_serial: removed.and_then(|it| it.end.serial),
            last_seen_at: last_seen(zone.view, added_at, removed_at, looked_at),
            source: Arc::clone(source),
            baseline: row.baseline,
            drift: [added.end.drift, removed.is_some_and(|it| it.end.drift)],
        })
    }

    /// Reads what the records of a zone share.
    fn shared_zone(&self, id: i64) -> Result<SharedZone, StoreError> {
        let (name, view, looked_at, usual_ttl) = self.store.run(|db| {
            let sql = format!(
                "select z.name, z.view, z.usual_ttl, n.observed_at, n.seen_until_at, {SEEN_AT} as seen_at
                   from zone z left join version n on n.id = z.version_id
                  where z.id = ?"
            );
            db.query_one(&sql, [id], |row| {
                let newest: Option<i64> = row.get("observed_at")?;
                let later: [Option<i64>; 2] = [row.get("seen_until_at")?, row.get("seen_at")?];
                let looked_at = newest.map(|at| later.into_iter().flatten().fold(at, i64::max));
                let words: (String, String) = (row.get("name")?, row.get("view")?);
                Ok((words.0, words.1, looked_at, row.get("usual_ttl")?))
            })
        })?;
        Ok(SharedZone {
            view: View::parse(&view)
                .ok_or_else(|| self.store.damaged(format!("view {view:?} of zone {name}")))?,
            apex: Arc::new(self.store.read_name(&name)?),
            usual_ttl,
            looked_at: looked_at.map(Timestamp::from_unix),
        })
    }
}

/// Returns the query for some records of one table in a range of RDATA, after a place. That the place alone is the
/// lower end matters: the search begins there, and not at the first of the same RDATA.
fn users_sql(rtype: RecordType, is_past: bool) -> String {
    // The type stands literally, so that the partial index serves.
    let code = rtype.code();
    let as_host = if rtype == RecordType::Ns { AS_HOST } else { "" };
    if is_past {
        format!(
            "select p.rdata, p.bucket, p.owner_id, p.removed_id, p.ttl, p.baseline, p.added_id
               from past_record p
              where p.rrtype = {code} and p.rdata{as_host} <= ?2
                    and (p.rdata{as_host}, p.bucket, p.owner_id, p.removed_id) > (?1, ?3, ?4, ?5)
              order by p.rdata{as_host}, p.bucket, p.owner_id, p.removed_id limit ?6"
        )
    } else {
        format!(
            "select r.rdata, r.owner_id, 0 as place_2, 0 as place_3, r.ttl, r.baseline, r.added_id
               from record r
              where r.rrtype = {code} and r.rdata{as_host} <= ?2
                    and (r.rdata{as_host}, r.owner_id) > (?1, ?3) and ?4 = ?5
              order by r.rdata{as_host}, r.owner_id limit ?6"
        )
    }
}

/// Returns whether a value is the RDATA of a type.
fn is_same_type(rdata: &Value, rtype: RecordType) -> bool {
    matches!(rdata, Value::Integer(_)) == (rtype == RecordType::Ns)
}

/// Reads a row: by place, for a name server has millions.
fn read_user(row: &Row<'_>, is_past: bool) -> Result<UserRow, Fault> {
    let place = [row.at(1)?, row.at(2)?, row.at(3)?];
    Ok(UserRow {
        rdata: row.at(0)?,
        place,
        ttl: row.at(4)?,
        baseline: row.at(5)?,
        added_id: row.at(6)?,
        removed_id: is_past.then_some(place[2]),
    })
}
