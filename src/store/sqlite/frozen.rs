//! The code of merged migrations, as it was when they were merged. Never edited: a database of an old schema goes the
//! way that it always went, whatever the living code has become.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use crate::dns::{Name, SUFFIX_LIST, operator_domain};
use crate::time::Timestamp;

/// How many rows are written with one statement.
const ROWS_A_STATEMENT: usize = 64;

/// The key in `meta` of the list of suffixes that told the operators.
const SUFFIXES_OF: &str = "suffixes_of";

/// The rows of a name server that is counted and of its operator's domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct HostKey {
    pub id: i64,
    pub operator_id: i64,
}

/// Differences that are yet to be written, by user and week.
#[derive(Default)]
pub(in crate::store) struct Tally {
    pub(in crate::store) differences: HashMap<(i64, i64), i64>,
    pub(in crate::store) operators: Vec<i64>,
}

impl Tally {
    /// Adds, or with `by` -1 takes, what an owner with these name servers counts for.
    pub(in crate::store) fn count(&mut self, hosts: &[HostKey], week: i64, by: i64) {
        self.operators.clear();
        self.operators
            .extend(hosts.iter().map(|host| -host.operator_id));
        self.operators.sort_unstable();
        self.operators.dedup();
        let hosts = hosts.iter().map(|host| host.id);
        for user_of in hosts.chain(self.operators.iter().copied()) {
            *self.differences.entry((user_of, week)).or_default() += by;
        }
    }

    /// Writes the differences and forgets them, if there are many or it is the end.
    pub(in crate::store) fn write(
        &mut self,
        connection: &Connection,
        is_end: bool,
    ) -> rusqlite::Result<()> {
        if self.differences.len() < DIFFERENCES_MAX && !is_end {
            return Ok(());
        }
        let mut rows: Vec<((i64, i64), i64)> = self.differences.drain().collect();
        rows.retain(|(_, by)| *by != 0);
        // The order of the table: rows that are written after each other lie beside each other.
        rows.sort_unstable();
        let sql = |count| {
            let values = vec!["(?, ?, ?)"; count].join(", ");
            format!(
                "insert or fail into popularity (user_of, week, count) values {values} on conflict (user_of, week) do update set count = count + excluded.count"
            )
        };
        let full = sql(ROWS_A_STATEMENT);
        for chunk in rows.chunks(ROWS_A_STATEMENT) {
            let mut statement = match chunk.len() {
                ROWS_A_STATEMENT => connection.prepare_cached(&full)?,
                rest => connection.prepare_cached(&sql(rest))?,
            };
            let numbers = chunk
                .iter()
                .flat_map(|((user_of, week), by)| [*user_of, *week, *by]);
            for (number, place) in numbers.zip(1..) {
                statement.raw_bind_parameter(place, number)?;
            }
            statement.raw_execute()?;
        }
        connection
            .prepare_cached("delete from popularity where count = 0")?
            .execute([])?;
        Ok(())
    }
}

/// Differences that are kept in memory before they are written: some 50 octets each.
pub(in crate::store) const DIFFERENCES_MAX: usize = 200_000;

/// Returns the week of a time, in weeks since 1970-01-01; what was before counts as the first.
pub(in crate::store) fn week_of(at: Timestamp) -> i64 {
    at.unix().div_euclid(7 * 86_400).max(1)
}

/// Tells the operator of every name server that is counted: what SQL cannot say of migration 6.
pub(in crate::store) fn begin_operators(connection: &Connection) -> rusqlite::Result<()> {
    let mut mark = connection.prepare("update host set operator_id = 0 where id = ?")?;
    let mut marked = HashSet::new();
    each_user(connection, |hosts, _| {
        for host in hosts.iter().filter(|host| marked.insert(host.id)) {
            mark.execute([host.id])?;
        }
        Ok(())
    })?;
    tell_operators(connection).map(|_| ())
}

/// Notes when owners last lost a name server and fills the table: what SQL cannot say of migration 7.
pub(in crate::store) fn begin_popularity(connection: &Connection) -> rusqlite::Result<()> {
    note_cuts(connection)?;
    build(connection)
}

/// Notes the week in which each owner last lost a name server, where that is later than any that it has and
/// the records still tell. What is noted of the time before the cut of retention stays.
fn note_cuts(connection: &Connection) -> rusqlite::Result<()> {
    // Those noted before their owner got another or lost the last, and those that the records would tell.
    let sql = "delete from nameserver_cut where week <= coalesce((select max(iif(r.baseline, 0, max(a.observed_at / 604800, 1))) from record r join version a on a.id = r.added_id
                  where r.owner_id = nameserver_cut.owner_id and r.rrtype = 2), 9223372036854775807)
               or week > coalesce((select z.kept_since_at / 604800 from owner o join zone z on z.id = o.zone_id where o.id = nameserver_cut.owner_id), 0)";
    connection.execute(sql, [])?;
    // By months, each of which is in the order of its owners.
    let mut next = connection.prepare("select min(bucket) from past_record where bucket > ?")?;
    let mut note = connection.prepare(
        "insert into nameserver_cut (owner_id, week)
         select owner_id, week from (select p.owner_id as owner_id, max(max(d.observed_at / 604800, 1)) as week
                                       from past_record p cross join version d on d.id = p.removed_id where p.bucket = ? and p.rrtype = 2 group by p.owner_id) as lost
          where week > (select max(iif(r.baseline, 0, max(a.observed_at / 604800, 1))) from record r join version a on a.id = r.added_id
                         where r.owner_id = lost.owner_id and r.rrtype = 2)
         on conflict (owner_id) do update set week = max(week, excluded.week)",
    )?;
    let mut bucket = i64::MIN;
    while let Some(month) = next.query_row([bucket], |row| row.get::<_, Option<i64>>(0))? {
        bucket = month;
        note.execute([month])?;
    }
    Ok(())
}

/// Writes the operator of each name server that is counted, as this program's list of suffixes has it.
/// Returns whether any was another before.
fn tell_operators(connection: &Connection) -> rusqlite::Result<bool> {
    let mut find = connection.prepare("select id from host where name = ?")?;
    let mut insert = connection.prepare("insert into host (name) values (?)")?;
    let mut update = connection.prepare("update host set operator_id = ? where id = ?")?;
    // By number, a thousand at a time: operators get rows of their own on the way, which are told later.
    let mut page = connection
        .prepare("select id, name, operator_id from host where id > ? and operator_id is not null order by id limit 1000")?;
    let (mut after, mut is_new) = (0, false);
    loop {
        let rows = page.query_map([after], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let rows: Vec<(i64, String, i64)> = rows.collect::<rusqlite::Result<_>>()?;
        let Some((last, ..)) = rows.last() else { break };
        after = *last;
        for (id, name, known) in rows {
            let key = operator_key(&name);
            let operator = match key.as_deref() {
                None => id,
                Some(key) => match find.query_map([key], |row| row.get(0))?.next() {
                    Some(operator) => operator?,
                    None => insert.insert([key])?,
                },
            };
            if known != operator {
                is_new = true;
                update.execute([operator, id])?;
            }
        }
    }
    connection.execute(
        "insert or replace into meta (key, value) values (?, ?)",
        params![SUFFIXES_OF, SUFFIX_LIST.as_bytes()],
    )?;
    Ok(is_new)
}

/// Returns the key of a name server's operator domain; `None` if that is the name server itself.
fn operator_key(key: &str) -> Option<String> {
    let root = Name::root();
    // A key that this program did not write is found by `db verify`; here it stands for itself.
    let host = Name::from_relative_key(key, &root).ok()?;
    let operator = operator_domain(&host);
    (operator != host).then(|| operator.relative_key(&root))?
}

/// Fills the table from the records.
fn build(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("delete from popularity", [])?;
    let mut tally = Tally::default();
    each_user(connection, |hosts, week| {
        tally.count(hosts, week, 1);
        tally.write(connection, false)
    })?;
    tally.write(connection, true)
}

/// Calls `each` with the name servers of every owner, those below itself left out, and the week of its last
/// NS change.
fn each_user(
    connection: &Connection,
    mut each: impl FnMut(&[HostKey], i64) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "select r.owner_id, z.name, o.name, h.id, coalesce(h.operator_id, 0), h.name, iif(r.baseline, null, v.observed_at), c.week
           from record r cross join owner o on o.id = r.owner_id cross join zone z on z.id = o.zone_id cross join host h on h.id = r.rdata
                left join version v on v.id = r.added_id left join nameserver_cut c on c.owner_id = r.owner_id
          where r.rrtype = 2 order by r.owner_id",
    )?;
    let mut rows = statement.query([])?;
    let (mut owner, mut hosts, mut week) = (0, Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let owner_id: i64 = row.get(0)?;
        if owner_id != owner {
            each(&hosts, week)?;
            (owner, week) = (owner_id, 0);
            hosts.clear();
        }
        let zone = row.get_ref(1)?.as_str()?;
        let is_below = is_key_below(zone, row.get_ref(2)?.as_str()?, row.get_ref(5)?.as_str()?);
        if !is_below {
            hosts.push(HostKey {
                id: row.get(3)?,
                operator_id: row.get(4)?,
            });
        }
        let added = row.get::<_, Option<i64>>(6)?;
        let added = added.map_or(0, |at| week_of(Timestamp::from_unix(at)));
        week = week
            .max(added)
            .max(row.get::<_, Option<i64>>(7)?.unwrap_or(0));
    }
    each(&hosts, week)
}

/// Returns whether a name server is at or below an owner, by their keys.
fn is_key_below(zone: &str, owner: &str, host: &str) -> bool {
    let root = Name::root();
    let apex = Name::parse(zone);
    let owner = apex.and_then(|apex| Name::from_relative_key(owner, &apex));
    let host = Name::from_relative_key(host, &root);
    matches!((owner, host), (Ok(owner), Ok(host)) if host.is_at_or_below(&owner))
}

/// What a version did to one owner.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct ChangeCounts {
    /// NS records added and removed.
    pub ns: [u32; 2],
    /// Addresses added and removed.
    pub address: [u32; 2],
    /// Records of other types, added or removed.
    pub other: u32,
}

/// Bit of the byte of counts: the counts of other than NS records follow.
const MORE: u8 = 0x40;

/// Bit of the byte of counts: all five counts follow.
const WIDE: u8 = 0x80;

/// Packs owners, which are sorted by their rows, each once.
pub(in crate::store) fn pack<'a>(owners: impl Iterator<Item = (i64, &'a ChangeCounts)>) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut last = 0;
    for (owner_id, counts) in owners {
        push_varint(&mut octets, owner_id.wrapping_sub(last) as u64);
        last = owner_id;
        let rest = [counts.address[0], counts.address[1], counts.other];
        if counts.ns.iter().any(|count| *count > 7) {
            octets.push(WIDE);
            counts
                .ns
                .iter()
                .chain(&rest)
                .for_each(|count| push_varint(&mut octets, u64::from(*count)));
            continue;
        }
        let ns = counts.ns[0] as u8 | (counts.ns[1] as u8) << 3;
        if rest == [0; 3] {
            octets.push(ns);
        } else {
            octets.push(ns | MORE);
            rest.iter()
                .for_each(|count| push_varint(&mut octets, u64::from(*count)));
        }
    }
    octets
}

/// Appends a number, seven bits an octet, the lowest first.
fn push_varint(octets: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        octets.push(number as u8 | 0x80);
        number >>= 7;
    }
    octets.push(number as u8);
}
