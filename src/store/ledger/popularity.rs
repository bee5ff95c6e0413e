//! How many names use a name server or an operator, by the week of their last NS change.
//!
//! The table is kept as history changes, never asked of history: an owner adds one for each of its name
//! servers and for each of their operators, under the week in which its NS records last changed, and each
//! version writes the difference. A name server below the owner itself is not counted: nobody vouches for
//! himself. `docs/explanation/detection.md`, "Popularity".

use std::collections::{BTreeSet, HashMap};

use crate::dns::{Name, SUFFIX_LIST, operator_domain};
use crate::store::door::{Db, Fault, Numbers, params};
use crate::store::error::StoreError;
use crate::store::ledger::Ledger;
use crate::store::ledger::tally::{DIFFERENCES_MAX, HostKey, Tally, week_of};
use crate::store::sqlite::dialect::{IN_ORDER, rows_of};
use crate::time::Timestamp;

/// The key in `meta` of the list of suffixes that told the operators.
const SUFFIXES_OF: &str = "suffixes_of";

impl Ledger<'_> {
    /// Returns how many names have used `host`, or any name server of its operator if `whole_operator`,
    /// without an NS change since the week of `before` (of seven UTC days, the first of which was 1970-01-01). Stops counting at `enough`.
    ///
    /// Counting stable users only keeps a campaign of churning names from vouching for itself. Looks up
    /// one row for each week in which any of the users last changed, of the oldest weeks first.
    pub fn stable_user_count(
        &self,
        host: &Name,
        whole_operator: bool,
        before: Timestamp,
        enough: u32,
    ) -> Result<u32, StoreError> {
        let Some(user_of) = self.counted_as(host, whole_operator)? else {
            return Ok(0);
        };
        self.store.run(|db| {
            let sql = "select count from popularity where user_of = ? and week < ? order by week";
            let mut statement = db.prepare(sql)?;
            let mut rows = statement.rows([user_of, week_of(before)])?;
            let mut count = 0_u32;
            while let Some(row) = rows.next()? {
                // A count below nothing is found and mended by others; here it is nothing.
                let users = row.get::<i64>("count")?.max(0);
                count = count.saturating_add(u32::try_from(users).unwrap_or(u32::MAX));
                if count >= enough {
                    break;
                }
            }
            Ok(count)
        })
    }

    /// [`Ledger::stable_user_count`] of several name servers, with one statement: for each, in the order in which they are
    /// named, that of all name servers of its operator, and its own.
    pub fn stable_user_counts(
        &self,
        hosts: &[&Name],
        before: Timestamp,
    ) -> Result<Vec<[u32; 2]>, StoreError> {
        let mut asked = Vec::with_capacity(hosts.len());
        for host in hosts {
            asked.push([self.counted_as(host, true)?, self.counted_as(host, false)?]);
        }
        let users_of: BTreeSet<i64> = asked.iter().flatten().flatten().copied().collect();
        if users_of.is_empty() {
            return Ok(vec![[0; 2]; hosts.len()]);
        }
        let users_of = Numbers::from_iter(users_of);
        let counts: Vec<(i64, i64)> = self.store.run(|db| {
            // A count below nothing is found and mended by others; here it is nothing.
            let sql = format!(
                "select w.value as user_of,
                        (select cast(coalesce(sum(case when p.count > 0 then p.count else 0 end), 0)
                                     as bigint)
                           from popularity p
                          where p.user_of = w.value and p.week < ?2) as user_count
                   from {list} w",
                list = rows_of("?1")
            );
            db.query(&sql, params![users_of, week_of(before)], |row| {
                Ok((row.get("user_of")?, row.get("user_count")?))
            })
        })?;
        let counts: HashMap<i64, i64> = counts.into_iter().collect();
        let count = |user_of: Option<i64>| {
            let known = user_of.and_then(|it| counts.get(&it)).copied();
            u32::try_from(known.unwrap_or(0)).unwrap_or(u32::MAX)
        };
        Ok(asked.into_iter().map(|both| both.map(count)).collect())
    }

    /// Returns under which number the users of a name server, or of its operator, are counted, if history knows it.
    fn counted_as(&self, host: &Name, whole_operator: bool) -> Result<Option<i64>, StoreError> {
        let row = self.find_host_row(host)?;
        Ok(match whole_operator {
            // As it was counted: another list of suffixes than this program's may have told the operators.
            true => match row.and_then(|row| row.operator_id) {
                Some(operator_id) => Some(-operator_id),
                None => self.find_host(&operator_domain(host))?.map(|id| -id),
            },
            false => row.map(|row| row.id),
        })
    }

    /// Returns whether the table is what the records say.
    pub(in crate::store) fn is_popularity_sound(&self) -> Result<bool, StoreError> {
        let hash = |user_of: i64, week: i64| {
            let octets = [user_of.to_be_bytes(), week.to_be_bytes()].concat();
            self.store.key.hash_owner(&octets)
        };
        // Sums of hashes, since neither side is held whole.
        let (mut wanted, mut found) = (0_u64, 0_u64);
        let mut tally = Tally::default();
        let mut add = |tally: &mut Tally| {
            for ((user_of, week), count) in tally.differences.drain() {
                wanted = wanted.wrapping_add(hash(user_of, week).wrapping_mul(count as u64));
            }
        };
        self.store.run(|db| {
            each_user(db, |hosts, week| {
                tally.count(hosts, week, 1);
                if tally.differences.len() >= DIFFERENCES_MAX {
                    add(&mut tally);
                }
                Ok(())
            })
        })?;
        add(&mut tally);
        self.store.run(|db| {
            let mut statement = db.prepare("select user_of, week, count from popularity")?;
            let mut rows = statement.scan(())?;
            while let Some(row) = rows.next()? {
                let one = hash(row.get("user_of")?, row.get("week")?);
                let count: i64 = row.get("count")?;
                found = found.wrapping_add(one.wrapping_mul(count as u64));
            }
            Ok(())
        })?;
        Ok(wanted == found)
    }

    /// Follows another list of suffixes: where it tells another operator of a name server that is known, the
    /// table is made anew. For who holds the poller's lock: programs with different lists take no turns.
    pub(in crate::store) fn follow_suffixes(&self) -> Result<(), StoreError> {
        let is_known = |db: &Db| {
            let sql =
                "select exists (select 1 from meta where key = ? and value = ?) as is_current";
            db.query_one(sql, params![SUFFIXES_OF, SUFFIX_LIST.as_bytes()], |row| {
                row.get("is_current")
            })
        };
        if self.store.run(is_known)? {
            return Ok(());
        }
        let tx = self.store.begin_batch()?;
        self.store.run(|db| {
            if tell_operators(db)? {
                build(db)?;
            }
            Ok(())
        })?;
        tx.commit()?;
        self.store.forget_hosts();
        Ok(())
    }

    /// Makes the counts anew from the records: users of name servers, and when owners last lost one.
    pub(in crate::store) fn recount_users(&self) -> Result<(), StoreError> {
        self.store.run(|db| {
            note_cuts(db)?;
            tell_operators(db)?;
            build(db)
        })?;
        self.store.forget_hosts();
        Ok(())
    }
}

/// Notes the week in which each owner last lost a name server, where that is later than any that it has and
/// the records still tell. What is noted of the time before the cut of retention stays.
fn note_cuts(db: &Db) -> Result<(), Fault> {
    // Those noted before their owner got another or lost the last, and those that the records would tell.
    let sql = "delete from nameserver_cut
                where week <= coalesce((select max(case when r.baseline = 1 then 0
                                                        when a.observed_at < 604800 then 1
                                                        else a.observed_at / 604800 end)
                                          from record r join version a on a.id = r.added_id
                                         where r.owner_id = nameserver_cut.owner_id and r.rrtype = 2),
                                       9223372036854775807)
                      or week > coalesce((select z.kept_since_at / 604800
                                            from owner o join zone z on z.id = o.zone_id
                                           where o.id = nameserver_cut.owner_id),
                                         0)";
    db.execute(sql, ())?;
    // By months, each of which is in the order of its owners.
    let mut next = db.prepare("select min(bucket) from past_record where bucket > ?")?;
    let sql = format!(
        "insert into nameserver_cut (owner_id, week)
         select owner_id, week
           from (select p.owner_id as owner_id,
                        max(case when d.observed_at < 604800 then 1
                                 else d.observed_at / 604800 end) as week
                   from past_record p {IN_ORDER} version d on d.id = p.removed_id
                  where p.bucket = ? and p.rrtype = 2
                  group by p.owner_id) as lost
          where week > (select max(case when r.baseline = 1 then 0
                                        when a.observed_at < 604800 then 1
                                        else a.observed_at / 604800 end)
                          from record r join version a on a.id = r.added_id
                         where r.owner_id = lost.owner_id and r.rrtype = 2)
         on conflict (owner_id)
           do update set week = case when excluded.week > nameserver_cut.week then excluded.week
                                     else nameserver_cut.week end"
    );
    let mut note = db.prepare(&sql)?;
    // Before any month. A server keeps them in 16 bits, and takes nothing else to compare them with.
    let mut bucket = -1;
    while let Some(month) = next.value::<Option<i64>>([bucket])? {
        bucket = month;
        note.execute([month])?;
    }
    Ok(())
}

/// Writes the operator of each name server that is counted, as this program's list of suffixes has it.
/// Returns whether any was another before.
fn tell_operators(db: &Db) -> Result<bool, Fault> {
    let mut find = db.prepare("select id from host where name = ?")?;
    let mut update = db.prepare("update host set operator_id = ? where id = ?")?;
    // By number, a thousand at a time: operators get rows of their own on the way, which are told later.
    let mut page = db.prepare(
        "select id, name, operator_id
           from host where id > ? and operator_id is not null
          order by id limit 1000",
    )?;
    let (mut after, mut is_new) = (0, false);
    loop {
        let rows: Vec<(i64, String, i64)> = page.query([after], |row| {
            Ok((row.get("id")?, row.get("name")?, row.get("operator_id")?))
        })?;
        let Some((last, ..)) = rows.last() else { break };
        after = *last;
        for (id, name, known) in rows {
            let key = operator_key(&name);
            let operator = match key.as_deref() {
                None => id,
                Some(key) => match find.first_value([key])? {
                    Some(operator) => operator,
                    None => db.insert("insert into host (name) values (?)", [key])?,
                },
            };
            if known != operator {
                is_new = true;
                update.execute([operator, id])?;
            }
        }
    }
    db.execute(
        "insert into meta (key, value) values (?, ?)
         on conflict (key) do update set value = excluded.value",
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
fn build(db: &Db) -> Result<(), Fault> {
    db.execute("delete from popularity", ())?;
    let mut tally = Tally::default();
    each_user(db, |hosts, week| {
        tally.count(hosts, week, 1);
        tally.write(db, false)
    })?;
    tally.write(db, true)
}

/// Calls `each` with the name servers of every owner, those below itself left out, and the week of its last
/// NS change.
fn each_user(
    db: &Db,
    mut each: impl FnMut(&[HostKey], i64) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let sql = format!(
        "select r.owner_id, z.name, o.name, h.id, coalesce(h.operator_id, 0), h.name,
                case when r.baseline = 1 then null else v.observed_at end, c.week
           from record r {IN_ORDER} owner o on o.id = r.owner_id
                {IN_ORDER} zone z on z.id = o.zone_id
                {IN_ORDER} host h on h.id /* as data */ = r.rdata
                left join version v on v.id = r.added_id
                left join nameserver_cut c on c.owner_id = r.owner_id
          where r.rrtype = 2
          order by r.owner_id"
    );
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.scan(())?;
    let (mut owner, mut hosts, mut week) = (0, Vec::new(), 0);
    while let Some(row) = rows.next()? {
        // By place: every delegation there is passes here.
        let owner_id: i64 = row.at(0)?;
        if owner_id != owner {
            each(&hosts, week)?;
            (owner, week) = (owner_id, 0);
            hosts.clear();
        }
        let zone = row.text_at(1)?;
        let is_below = is_key_below(zone, row.text_at(2)?, row.text_at(5)?);
        if !is_below {
            hosts.push(HostKey {
                id: row.at(3)?,
                operator_id: row.at(4)?,
            });
        }
        let added = row.at::<Option<i64>>(6)?;
        let added = added.map_or(0, |at| week_of(Timestamp::from_unix(at)));
        week = week.max(added).max(row.at::<Option<i64>>(7)?.unwrap_or(0));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::dns::{Rdata, Record};
    use crate::store::handle::{Store, StoreOptions};
    use crate::store::keys::{EntityKey, SourceKind};
    use crate::store::ledger::draft::{VersionDraft, VersionKind};
    use crate::store::ledger::version::SourceChange;
    use crate::store::zones::watched::ZoneState;
    use crate::zone::diff;

    use super::*;

    const OWNERS: [&str; 2] = ["a.example", "ns.c.example"];
    const HOSTS: [&str; 6] = [
        "ns1.op.net",
        "ns2.op.net",
        "op.net",
        "ns.a.example",
        "a.example",
        "ns.other.co.uk",
    ];

    /// Few, so that what was taken away comes back.
    const MASKS: [u8; 6] = [0, 0b1, 0b11, 0b11_1001, 0b1_0100, 0b11_1111];

    fn name(text: &str) -> Name {
        Name::parse(text).expect("valid")
    }

    /// Makes an owner have the hosts of a mask, in a version of its own or as more of the last.
    fn tell(
        store: &Store,
        source: crate::store::SourceId,
        at: Timestamp,
        owner: &str,
        mask: u8,
        joins: bool,
    ) {
        let zone: ZoneState = store
            .zones()
            .ensure_zone(&name("example"), source)
            .expect("a zone");
        let newest = zone
            .version_id
            .zip(zone.version_at)
            .filter(|(_, newest)| joins && at >= *newest);
        let draft = VersionDraft {
            source,
            kind: match zone.version_id {
                None => VersionKind::Baseline,
                Some(_) => VersionKind::Feed,
            },
            serial: None,
            observed_at: newest.map_or(at, |(_, newest)| newest),
            joins: newest.map(|(id, _)| id),
            drift: false,
        };
        let is_baseline = draft.kind == VersionKind::Baseline;
        let mut tx = store.ledger().begin(&zone, draft).expect("begun");
        let before = tx
            .rrsets(&[(&name(owner), crate::dns::RecordType::Ns)])
            .expect("read")
            .remove(0);
        let hosts = HOSTS
            .iter()
            .enumerate()
            .filter(|(at, _)| mask >> at & 1 == 1);
        let after: Vec<Record> = hosts
            .map(|(_, host)| Record {
                rdata: Rdata::Ns(name(host)),
                ttl: 300,
            })
            .collect();
        tx.apply_changes(vec![SourceChange {
            owner: name(owner),
            change: diff(&before, &after),
            baseline: is_baseline,
        }])
        .expect("applied");
        tx.commit(false).expect("committed");
    }

    /// Returns the stable users of a host, as history tells them.
    fn users(
        store: &Store,
        zone: &ZoneState,
        host: &Name,
        whole_operator: bool,
        before: Timestamp,
    ) -> u32 {
        let mut users = BTreeSet::new();
        for owner in OWNERS {
            let key = EntityKey {
                zone: zone.id,
                apex: zone.apex.clone(),
                owner: name(owner),
            };
            let stays = store
                .lookup()
                .window(&key, Timestamp::from_unix(i64::MIN))
                .expect("read");
            let uses = |it: &Name| {
                if whole_operator {
                    operator_domain(it) == operator_domain(host)
                } else {
                    it == host
                }
            };
            let is_user = stays.iter().any(|stay| {
                let Rdata::Ns(it) = &stay.value else {
                    return false;
                };
                stay.removed.is_none() && uses(it) && !it.is_at_or_below(&key.owner)
            });
            let added = stays
                .iter()
                .filter(|stay| !stay.baseline)
                .map(|stay| stay.added.at);
            let ends = added.chain(
                stays
                    .iter()
                    .filter_map(|stay| stay.removed)
                    .map(|end| end.at),
            );
            let last = ends.map(week_of).max().unwrap_or(0);
            if is_user && last < week_of(before) {
                users.insert(owner);
            }
        }
        users.len() as u32
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        // Whatever is told, in whatever parts and however late: the counts are those of history.
        #[test]
        fn counts_are_those_of_history(told in prop::collection::vec((0..OWNERS.len(), prop::sample::select(&MASKS[..]), -150..300_i64, any::<bool>()), 1..8)) {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let options = StoreOptions { reverse_index: false, create: true };
            let store = Store::open(folder.path().join("f.db"), options).expect("opened");
            let source = store.zones().ensure_source("feed", SourceKind::Feed).expect("made");
            let mut at = Timestamp::from_unix(1_790_000_000);
            // When each was last told of: what comes late is of one that has not changed since.
            let mut last = [at; OWNERS.len()];
            for (owner, mask, hours, joins) in told {
                let told_at = if joins {
                    at
                } else {
                    Timestamp::from_unix(at.unix() + hours * 3600).max(last[owner])
                };
                tell(&store, source, told_at, OWNERS[owner], mask, joins);
                at = at.max(told_at);
                last[owner] = last[owner].max(told_at);
            }
            prop_assert!(store.ledger().is_popularity_sound().expect("read"));
            let zone = store.zones().find_zone(&name("example")).expect("read").expect("there");
            let hosts = HOSTS.map(name);
            for back in 0..4 {
                let before = Timestamp::from_unix(at.unix() + (1 - back) * 7 * 86_400);
                let all: Vec<&Name> = hosts.iter().collect();
                let together = store.ledger().stable_user_counts(&all, before).expect("read");
                for (host, together) in hosts.iter().zip(together) {
                    for whole_operator in [false, true] {
                        let counted = store.ledger().stable_user_count(host, whole_operator, before, u32::MAX).expect("read");
                        prop_assert_eq!(counted, users(&store, &zone, host, whole_operator, before), "{} {} {}", host, whole_operator, back);
                        prop_assert_eq!(counted, together[usize::from(!whole_operator)]);
                    }
                }
            }
        }
    }

    #[test]
    fn another_list_of_suffixes_counts_anew() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f.db");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let at = Timestamp::from_unix(1_790_000_000);
        let later = Timestamp::from_unix(1_791_000_000);
        let host = name("ns1.op.net");
        {
            let store = Store::open(&path, options).expect("opened");
            let source = store
                .zones()
                .ensure_source("feed", SourceKind::Feed)
                .expect("made");
            tell(&store, source, at, "a.example", 0b10_0001, false);
            tell(&store, source, at, "ns.c.example", 0b00_0010, false);
            assert_eq!(
                store
                    .ledger()
                    .stable_user_count(&host, true, later, 9)
                    .expect("read"),
                2
            );
            // As a program left it whose list of suffixes had `op.net`.
            store
                .db
                .run(
                    "delete from meta
                      where key = 'suffixes_of';
                     update host
                        set operator_id = id
                      where operator_id is not null;
                     delete from popularity
                      where user_of < 0;
                     insert into popularity
                     select -id, 0, 1
                       from host
                      where name like 'net.op.%'",
                )
                .expect("written");
        }
        let store = Store::open(&path, options).expect("opened");
        assert_eq!(
            store
                .ledger()
                .stable_user_count(&host, true, later, 9)
                .expect("read"),
            2
        );
        assert!(store.ledger().is_popularity_sound().expect("read"));
    }

    #[test]
    fn name_server_that_the_same_version_brings_back_was_not_lost() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("opened");
        let source = store
            .zones()
            .ensure_source("feed", SourceKind::Feed)
            .expect("made");
        let at = |hours: i64| Timestamp::from_unix(1_790_000_000 + hours * 3600);
        let stable_at = |hours: i64| {
            store
                .ledger()
                .stable_user_count(&name("ns1.op.net"), false, at(hours), 9)
                .expect("read")
        };
        tell(&store, source, at(0), "a.example", 0b11, false);
        tell(&store, source, at(200), "a.example", 0b1, false);
        assert_eq!(
            (stable_at(200), stable_at(368)),
            (0, 1),
            "it lost the other"
        );
        tell(&store, source, at(200), "a.example", 0b11, true);
        assert_eq!((stable_at(200), stable_at(368)), (1, 1));
    }

    #[test]
    fn name_server_lost_before_there_were_counts_is_noted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f.db");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let at = |hours: i64| Timestamp::from_unix(1_790_000_000 + hours * 3600);
        {
            let store = Store::open(&path, options).expect("opened");
            let source = store
                .zones()
                .ensure_source("feed", SourceKind::Feed)
                .expect("made");
            tell(&store, source, at(0), "a.example", 0b11, false);
            tell(&store, source, at(200), "a.example", 0b1, false);
            // As schema 5 had it.
            store
                .db
                .run("drop table shared_change; create table shared_change (version_id integer not null, owner_id integer not null, shared_count integer not null, primary key (version_id, owner_id)) strict, without rowid;
                                alter table case_event drop column written_at; drop index case_left; alter table abuse_case drop column due_at; drop table desk_event; drop index case_event_by_time; drop index case_queue_by_change;
                                drop index case_queue_by_age; drop index case_queue_by_domain; drop index case_by_assignee;
                                drop table web_session; drop table api_token; drop table api_answer;
                                alter table notice drop column paragraph; alter table notice drop column edited_by;
                                drop index case_queue; drop index notice_drafted; drop index case_event_by_case;
                                drop table popularity; drop table nameserver_cut; alter table host drop column operator_id; alter table version drop column seen_until_at;
                                drop index version_drift; alter table version drop column drift; alter table version drop column missed_max;
                                alter table zone drop column failed_at; drop index gap_to_judge; alter table gap drop column known_at; alter table gap drop column judged;
                                alter table zone drop column ended; alter table zone drop column whole_at; alter table zone drop column whole_tried_at; alter table zone drop column stepped; alter table zone drop column drift_at; alter table zone drop column drift_primary;
                                alter table zone drop column drift_count; alter table zone drop column drift_name_count; alter table zone drop column missed_count; alter table zone drop column missed_unknown_count;
                                drop index message_by_lane; drop index message_by_recipient; drop index message_in_hand; alter table message drop column lane; create index message_due on message (next_attempt_at);
                                drop index message_by_fate; alter table message drop column fate; alter table case_event drop column uid; delete from meta where key = 'suffixes_of';
                                pragma user_version = 5")
                .expect("written");
        }
        let store = Store::open(&path, options).expect("opened");
        let stable_at = |hours: i64| {
            store
                .ledger()
                .stable_user_count(&name("ns1.op.net"), true, at(hours), 9)
                .expect("read")
        };
        assert_eq!((stable_at(200), stable_at(368)), (0, 1));
        assert_eq!(
            store.upkeep().verify(|_| {}).expect("readable").faults,
            Vec::<String>::new()
        );
    }

    #[test]
    fn wrong_count_is_found_and_mended() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("opened");
        let source = store
            .zones()
            .ensure_source("feed", SourceKind::Feed)
            .expect("made");
        tell(
            &store,
            source,
            Timestamp::from_unix(1_790_000_000),
            "a.example",
            1,
            false,
        );
        store
            .db
            .run(
                "update popularity
                    set count = -2
                  where user_of > 0;
                 insert into nameserver_cut
                 select id, 2960
                   from owner;
                 update zone
                    set name_count = 7",
            )
            .expect("written");
        let found = store.upkeep().verify(|_| {}).expect("readable");
        assert_eq!(
            found.faults,
            [
                "zone example., a.example.: the week in which it last lost a name server is not that of the records",
                "zone example.: its row says 7 names, there are 1",
                "the counts of names by name server are not those of the records"
            ]
        );
        assert!(!found.is_damaged);
        // A question is answered all the same.
        let later = Timestamp::from_unix(1_791_000_000);
        let users = || {
            store
                .ledger()
                .stable_user_count(&name("ns1.op.net"), false, later, 9)
                .expect("read")
        };
        assert_eq!(users(), 0);
        let both = store
            .ledger()
            .stable_user_counts(&[&name("ns1.op.net")], later);
        assert_eq!(both.expect("read")[0][1], 0);
        store.upkeep().recount(|_| {}).expect("written");
        assert_eq!(
            store.upkeep().verify(|_| {}).expect("readable").faults,
            Vec::<String>::new()
        );
        assert_eq!(users(), 1);
    }
}
