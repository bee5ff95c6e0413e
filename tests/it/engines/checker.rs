//! What must be true of a database on a server after anything that was done to those who write it.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::harness::Bench;
use crate::servers::Postgres;

/// Faults of a history: a statement each that gives a row for whatever is wrong.
const INVARIANTS: [(&str, &str); 8] = [
    (
        "a version is there twice",
        "select id::text from version group by id having count(*) > 1",
    ),
    (
        "an instant of a zone has two versions",
        "select zone_id || ' ' || observed_at from version group by zone_id, observed_at having count(*) > 1",
    ),
    (
        "a zone's newest version is not its last",
        "select z.name from zone z where z.version_id is distinct from
             (select max(v.id) from version v where v.zone_id = z.id)",
    ),
    (
        "a record is open twice",
        "select owner_id || ' ' || rdata from record group by owner_id, rrtype, rdata having count(*) > 1",
    ),
    (
        "an owner or a name server is there twice",
        "select name from owner group by zone_id, name having count(*) > 1
         union all select name from host group by name having count(*) > 1",
    ),
    (
        "a past record ends before it begins, or ends twice",
        "select owner_id || ' ' || added_id || ' ' || removed_id from past_record
          group by owner_id, rrtype, rdata, added_id, removed_id having count(*) > 1 or added_id >= removed_id",
    ),
    (
        "an interval overlaps the one that is open",
        "select p.owner_id::text from past_record p join record r
             on (r.owner_id, r.rrtype, r.rdata) = (p.owner_id, p.rrtype, p.rdata)
          where p.removed_id > r.added_id",
    ),
    (
        "a domain has two cases, or a Message-ID two messages",
        "select domain from abuse_case group by domain having count(*) > 1
         union all select message_id from message group by message_id having count(*) > 1",
    ),
];

/// Returns what is wrong with a schema.
pub fn faults(server: &Postgres, schema: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, sql) in INVARIANTS {
        match server.try_sql(&format!("set search_path = {schema}, pg_catalog; {sql}")) {
            Ok(rows) => faults.extend(rows.lines().map(|row| format!("{name}: {row}"))),
            Err(said) => panic!("{name}: {said}"),
        }
    }
    faults
}

/// Returns the Message-IDs of the mails of a bench.
pub fn message_ids(bench: &Bench) -> Vec<String> {
    let id = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).expect("readable");
        let line = text.lines().find(|line| line.starts_with("Message-ID:"));
        line.expect("an identifier").to_owned()
    };
    bench.maildir().iter().map(id).collect()
}

/// Checks that no Message-ID is there twice. Returns how many there are.
pub fn check_mails(bench: &Bench) -> usize {
    let ids = message_ids(bench);
    let once: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(ids.len(), once.len(), "{ids:?}");
    ids.len()
}

/// Returns how often a note stands in the log of the first case.
pub fn count_note(bench: &Bench, note: &str) -> usize {
    let lines = bench.json(&["cases", "log", "1", "--format", "json"]);
    let lines: &Vec<Value> = lines.as_array().expect("a list");
    lines.iter().filter(|line| line["note"] == note).count()
}
