//! Writes the owners of a zone's first version: they come in the order of their rows, so that every row is appended.

use crate::dns::{RecordType, wire_is_at_or_below};
use crate::evidence::leaf_of_there;
use crate::store::door::{Db, Table, ValueRef};
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::ledger::digests::FirstSlots;
use crate::store::ledger::first_hosts::FirstHosts;
use crate::store::ledger::tally::HostKey;
use crate::store::ledger::version::VersionTx;
use crate::zone::{FirstOwner, FirstRecord, HostNames, Slot, SortedBatch};

/// Rows of owners of one zone.
const OWNERS: Table = Table {
    name: "owner",
    columns: &["id", "name", "zone_id"],
    on_conflict: "",
};
/// Records of one version that were there before it.
const RECORDS: Table = Table {
    name: "record",
    columns: &["owner_id", "rrtype", "rdata", "ttl", "added_id", "baseline"],
    on_conflict: "",
};

/// A first version of so many owners is a load: a small one has them all in its first batch. Chosen by hand.
const OWNERS_LOADED_MIN: usize = 300;

/// Writes the owners of a first version.
pub struct FirstOwners<'v, 'a> {
    version: &'v mut VersionTx<'a>,
    names: HostNames,
    hosts: FirstHosts,
    slots: FirstSlots,
    /// The row of the next owner.
    next_id: i64,
    /// Whether some are written.
    is_begun: bool,
    /// Memory for what is hashed.
    text: Vec<u8>,
}

impl<'a> VersionTx<'a> {
    /// Begins to write the owners of a zone's first version, whose records name these name servers.
    pub fn begin_first(&mut self, mut names: HostNames) -> Result<FirstOwners<'_, 'a>, StoreError> {
        let store = self.writing.store;
        let hosts = store
            .ledger()
            .number_hosts(&mut names, &self.writing.zone.apex)?;
        let next_id = store.run(|db| db.value("select coalesce(max(id), 0) + 1 from owner", ()))?;
        Ok(FirstOwners {
            names,
            hosts,
            slots: FirstSlots::default(),
            next_id,
            is_begun: false,
            text: Vec::new(),
            version: self,
        })
    }
}

impl FirstOwners<'_, '_> {
    /// Writes owners, which come after those before them.
    pub fn apply(&mut self, batch: &SortedBatch) -> Result<(), StoreError> {
        let store = self.version.writing.store;
        if !self.is_begun && batch.len() >= OWNERS_LOADED_MIN {
            store.run(Db::begin_load)?;
        }
        self.is_begun = true;
        let mut owners = Vec::with_capacity(2 * batch.len());
        let (mut rows, mut records) = (Vec::new(), Vec::new());
        for owner in batch.owners() {
            owner.read_records(&self.names, &mut records);
            let id = self.next_id;
            self.next_id += 1;
            owners.extend([ValueRef::Integer(id), ValueRef::Text(owner.key)]);
            // The fields beside the names, which the records borrow.
            let hosts = &mut self.hosts;
            push_rows(self.version, hosts, (id, owner, &records), &mut rows)?;
            count_users(self.version, hosts, owner, &records)?;
            let sorted = records.iter().map(|rr| (rr.rtype.code(), rr.rdata));
            let leaf = leaf_of_there(owner.wire, sorted, &mut self.text);
            self.version.leaves.note_first(id, leaf);
            self.version.changes.note_first(owner.wire, &records);
            let slot = slot_of(store, id, owner, &records);
            let writing = &self.version.writing;
            self.slots
                .push(store.ledger(), (&writing.zone, writing.id), slot);
        }
        let (zone, version) = (self.version.writing.zone.id.0, self.version.writing.id);
        store.run(|db| {
            db.insert_rows_sharing(&OWNERS, &owners, &[ValueRef::Integer(zone)])?;
            let shared = [version, 1].map(ValueRef::Integer);
            db.insert_rows_sharing(&RECORDS, &rows, &shared)
        })
    }

    /// Ends the owners: writes who uses the name servers.
    pub fn finish(self) -> Result<(), StoreError> {
        let ledger = self.version.writing.store.ledger();
        ledger.write_first_users(&self.hosts)?;
        self.version.writing.store.run(Db::end_load)?;
        self.version.slots = Some(self.slots);
        Ok(())
    }
}

/// Appends the rows of an owner's records in the order of their table.
fn push_rows<'r>(
    version: &mut VersionTx<'_>,
    hosts: &FirstHosts,
    (id, owner, records): (i64, FirstOwner<'_>, &[FirstRecord<'r>]),
    rows: &mut Vec<ValueRef<'r>>,
) -> Result<(), StoreError> {
    if let Some(first) = records.first() {
        version.intervals.first_ttl.get_or_insert(first.ttl);
    }
    let begin = rows.len();
    for rr in records {
        let value = match (rr.rtype, rr.host) {
            (RecordType::Ns, Some(number)) => ValueRef::Integer(hosts.row(number)),
            // One of those that are too many to be numbered.
            (RecordType::Ns, None) => {
                let ledger = version.writing.store.ledger();
                ValueRef::Integer(if wire_is_at_or_below(rr.rdata, owner.wire) {
                    ledger.host_id_of_wire(rr.rdata)?
                } else {
                    ledger.host_key_of_wire(rr.rdata)?.id
                })
            }
            _ => ValueRef::Octets(rr.rdata),
        };
        let (code, ttl) = (rr.rtype.code().into(), rr.ttl.into());
        let row = [ValueRef::Integer(id), ValueRef::Integer(code), value];
        rows.extend(row);
        rows.push(ValueRef::Integer(ttl));
    }
    sort_name_servers(&mut rows[begin..]);
    Ok(())
}

/// Sorts an owner's rows of name servers, which are sorted by names, by the rows of their names.
fn sort_name_servers(rows: &mut [ValueRef<'_>]) {
    const WIDTH: usize = 4;
    // Few, and mostly sorted.
    for at in 1..rows.len() / WIDTH {
        let mut at = at * WIDTH;
        while at > 0
            && let (ValueRef::Integer(before), ValueRef::Integer(this)) =
                (rows[at - WIDTH + 2], rows[at + 2])
            && before > this
        {
            let (left, right) = rows.split_at_mut(at);
            left[at - WIDTH..].swap_with_slice(&mut right[..WIDTH]);
            at -= WIDTH;
        }
    }
}

/// Counts an owner as a user of its name servers.
fn count_users(
    version: &mut VersionTx<'_>,
    hosts: &mut FirstHosts,
    owner: FirstOwner<'_>,
    records: &[FirstRecord<'_>],
) -> Result<(), StoreError> {
    let name_servers = records.iter().filter(|rr| rr.rtype == RecordType::Ns);
    let elsewhere = name_servers.filter(|rr| !wire_is_at_or_below(rr.rdata, owner.wire));
    if elsewhere.clone().all(|rr| rr.host.is_some()) {
        elsewhere
            .filter_map(|rr| rr.host)
            .for_each(|number| hosts.count_host(number));
        hosts.end_owner();
        return Ok(());
    }
    // An operator is used once, by whichever of its name servers.
    let ledger = version.writing.store.ledger();
    let key = |rr: &FirstRecord<'_>| match rr.host {
        Some(number) => Ok(hosts.key(number)),
        None => ledger.host_key_of_wire(rr.rdata),
    };
    let keys: Vec<HostKey> = elsewhere.map(key).collect::<Result<_, _>>()?;
    version.users.count_first(&version.writing, &keys)
}

/// Returns the digest of an owner, for the table that the next version is compared with.
fn slot_of(store: &Store, id: i64, owner: FirstOwner<'_>, records: &[FirstRecord<'_>]) -> Slot {
    let digest = |rr: &FirstRecord<'_>| store.key.digest_record(rr.rtype.code(), rr.ttl, rr.rdata);
    let digests = records.iter().map(digest);
    Slot {
        hash: store.key.hash_owner(owner.wire),
        digest: digests.fold(0, u64::wrapping_add),
        id,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Cursor;

    use proptest::prelude::*;

    use crate::dns::{Name, Rdata, Record, Serial};
    use crate::store::handle::StoreOptions;
    use crate::store::keys::SourceKind;
    use crate::store::ledger::draft::{VersionDraft, VersionKind};
    use crate::time::Timestamp;
    use crate::zone::{Candidate, Intake};

    use super::*;

    /// What must be the same, each with names in place of the numbers of name servers, whose order is none of history; nor is
    /// a zone's `usual_ttl`, that of whichever record came first: rows of the past leave it out where it is theirs.
    const TABLES: [&str; 8] = [
        "select zone_id, id, name from owner order by id",
        "select r.owner_id, r.rrtype, coalesce(h.name, hex(r.rdata)), r.ttl, r.added_id, r.baseline
           from record r left join host h on r.rrtype = 2 and h.id = r.rdata
          order by 1, 2, 3",
        "select h.name, o.name from host h left join host o on o.id = h.operator_id order by 1",
        "select h.name, p.user_of < 0, p.week, p.count
           from popularity p join host h on h.id = abs(p.user_of)
          order by 1, 2, 3",
        "select id, zone_id, source_id, kind, serial, observed_at, previous_id, changed_name_count, bulk from version",
        "select name, version_id, serial, kept_count, name_count, delegation_count from zone order by name",
        "select zone_id, kind, version_id, at, hex(root), hex(hash) from chain order by id",
        "select count(*) from change",
    ];

    fn name(text: &str) -> Name {
        Name::parse(text).expect("valid")
    }

    fn store(folder: &tempfile::TempDir, file: &str) -> Store {
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        Store::open(folder.path().join(file), options).expect("opened")
    }

    /// Writes the first version of a zone, sorted in runs of so many octets; or, without, as any version is written.
    fn write(store: &Store, apex: &Name, rows: &[(Name, Record)], run_octets: Option<usize>) {
        let source = store
            .zones()
            .ensure_source("s", SourceKind::Import)
            .expect("made");
        let zone = store.zones().ensure_zone(apex, source).expect("made");
        let draft = VersionDraft {
            source,
            kind: VersionKind::Baseline,
            serial: Some(Serial(7)),
            observed_at: Timestamp::from_unix(1_700_000_000),
            joins: None,
            drift: false,
        };
        let mut version = store.ledger().begin(&zone, draft).expect("begun");
        match run_octets {
            Some(octets) => {
                let spool = Cursor::new(Vec::new());
                let mut intake = Intake::first_in_runs(store.key, apex, spool, octets);
                for (owner, rr) in rows {
                    let (wire, rdata) = (owner.as_wire(), rr.rdata.to_wire());
                    let taken = intake.take(wire, rr.rdata.rtype(), rr.ttl, &rdata);
                    taken.expect("a cursor does not fail");
                }
                intake.finish().expect("a cursor does not fail");
                let mut owners = version.begin_first(intake.take_hosts()).expect("begun");
                while let Some(batch) = intake.next_sorted().expect("a cursor does not fail") {
                    owners.apply(&batch).expect("written");
                }
                owners.finish().expect("written");
            }
            None => {
                let mut owners: BTreeMap<String, Candidate> = BTreeMap::new();
                for (owner, rr) in rows {
                    let key = owner.relative_key(apex).expect("in the zone");
                    let candidate = owners.entry(key).or_insert_with(|| Candidate {
                        owner: owner.clone(),
                        records: Vec::new(),
                        extends_last: false,
                    });
                    candidate.records.push(rr.clone());
                }
                let candidates = owners.into_values().collect();
                version.apply_candidates(candidates).expect("written");
            }
        }
        version.commit(false).expect("committed");
    }

    /// Returns every row of the tables.
    fn dump(store: &Store) -> Vec<Vec<String>> {
        let connection = rusqlite::Connection::open(&store.path).expect("opened");
        let rows = |sql: &&str| {
            let mut statement = connection.prepare(sql).expect("sound");
            let width = statement.column_count();
            let mut rows = statement.query(()).expect("run");
            let mut lines = Vec::new();
            while let Some(row) = rows.next().expect("read") {
                let value = |at| format!("{:?}", row.get_ref(at).expect("there"));
                lines.push((0..width).map(value).collect::<Vec<_>>().join("|"));
            }
            lines
        };
        TABLES.iter().map(rows).collect()
    }

    /// Returns a zone's digests, in order.
    fn digests(table: &crate::zone::DigestTable) -> Vec<(u64, u64, i64)> {
        let slots = table.iter().map(|slot| (slot.hash, slot.digest, slot.id));
        let mut slots: Vec<_> = slots.collect();
        slots.sort_unstable();
        slots
    }

    fn any_rows() -> impl Strategy<Value = Vec<(Name, Record)>> {
        let owner = prop::sample::select(vec![
            "example",
            "a.example",
            "a-b.example",
            "b.a.example",
            "ns.a.example",
            "b.example",
            "\\000\\.x.example",
            "ns1.b.example",
            "c.b.a.example",
            "z.example",
        ]);
        let host = prop::sample::select(vec![
            "ns1.op.net",
            "ns2.op.net",
            "op.net",
            "ns.a.example",
            "a.example",
            "ns.b.co.uk",
            ".",
        ]);
        let rdata = prop_oneof![
            4 => host.prop_map(|host| Rdata::Ns(name(host))),
            2 => (0_u8..4).prop_map(|octet| Rdata::A([192, 0, 2, octet].into())),
            1 => (0_u8..3).prop_map(|octet| Rdata::Ds(vec![0, octet, 13, 2, 9].into())),
        ];
        let row = (owner, rdata, 60_u32..62);
        let row = row.prop_map(|(owner, rdata, ttl)| (name(owner), Record { rdata, ttl }));
        prop::collection::vec(row, 1..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        // Whatever the order, the duplicates and the length of a run, and whatever is there of another zone.
        #[test]
        fn sorted_first_version_is_row_by_row_what_any_version_would_be(one in any_rows(), two in any_rows(), run_octets in 1_usize..2000) {
            let folder = tempfile::tempdir().expect("a folder");
            let (fast, careful) = (store(&folder, "fast.db"), store(&folder, "careful.db"));
            let below = |rows: &[(Name, Record)]| {
                let apex = name("a.example");
                let rows = rows.iter().filter(|(owner, _)| owner.is_at_or_below(&apex));
                rows.cloned().collect::<Vec<_>>()
            };
            for (apex, rows) in [("example", one), ("a.example", below(&two))] {
                if !rows.is_empty() {
                    write(&fast, &name(apex), &rows, Some(run_octets));
                    write(&careful, &name(apex), &rows, None);
                }
            }
            prop_assert_eq!(dump(&fast), dump(&careful));
            let verified = fast.upkeep().verify(|_| ()).expect("verified");
            prop_assert!(verified.faults.is_empty(), "{:?}", verified.faults);
        }
    }

    #[test]
    fn digests_of_a_sorted_first_version_are_those_of_its_records() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder, "f.db");
        let apex = name("example");
        let row = |n: u32| {
            let rdata = Rdata::Ns(name(&format!("ns{}.op{}.net", n % 7, n % 31)));
            (
                name(&format!("d{}.example", n * 7919 % 6_000)),
                Record { rdata, ttl: 60 },
            )
        };
        let rows: Vec<_> = (0..12_000).map(row).collect();
        write(&store, &apex, &rows, Some(50_000));
        let zone = store
            .zones()
            .find_zone(&apex)
            .expect("read")
            .expect("there");
        let cached = digests(&store.ledger().load_digests(&zone).expect("loaded"));
        assert_eq!(cached.len(), 6_000);
        let file = store
            .path
            .with_extension("db.digests")
            .join(zone.id.0.to_string());
        assert!(file.is_file(), "they come from their file");
        store.ledger().drop_digests(&zone);
        let rebuilt = digests(&store.ledger().load_digests(&zone).expect("made anew"));
        assert_eq!(cached, rebuilt);
    }
}
