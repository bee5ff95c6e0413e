//! Two hosts with one configuration, a feed that changes, and what must be true of its history afterwards.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fluxwatch::time::Timestamp;

use crate::harness::Bench;
use crate::servers::Postgres;

/// How long to wait for what must happen.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Waits until a condition holds.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < WAIT_MAX, "{what}: it did not come");
        sleep(Duration::from_millis(50));
    }
}

/// Two benches over one database, both with the feed of a zone in which one name changes.
pub struct Pair {
    pub first: Bench,
    pub second: Bench,
    schema: String,
    text: String,
    changes: u32,
}

impl Pair {
    /// The feed.
    pub const FEED: &str = "[[source]]\nname = \"f\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"f.ndjson\"\ncomplete = true\nevery = \"1s\"\n";

    /// Makes both: one reaches the database by a URL, the other by another.
    pub fn new(schema: &str, url: &str, other_url: &str) -> Self {
        let mut pair = Self {
            first: Bench::on(url, Self::FEED),
            second: Bench::on(other_url, Self::FEED),
            schema: schema.to_owned(),
            text: String::new(),
            changes: 0,
        };
        pair.change();
        pair
    }

    /// Has the name change once more.
    pub fn change(&mut self) {
        let at = Timestamp::parse_rfc3339("2026-11-01T00:00:00Z")
            .expect("a time")
            .unix();
        let at = Timestamp::from_unix(at + i64::from(self.changes));
        let host = self.newest_host(self.changes);
        self.text += &format!(
            "{{\"at\":\"{at}\",\"zone\":\"example.\",\"rrname\":\"a.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"ttl\":300,\"rdata\":[\"{host}\"]}}\n"
        );
        self.changes += 1;
        for bench in [&self.first, &self.second] {
            bench.write("f.ndjson", &self.text);
        }
    }

    /// Writes lines that are no changes of the name.
    pub fn append(&mut self, lines: &str) {
        self.text += lines;
        for bench in [&self.first, &self.second] {
            bench.write("f.ndjson", &self.text);
        }
    }

    /// Returns the name server of a change.
    fn newest_host(&self, change: u32) -> String {
        format!("ns{change}.one.test.")
    }

    /// Returns the versions that a server has: number, time and chain.
    pub fn versions(&self, server: &Postgres) -> BTreeSet<String> {
        let sql = format!("select id, observed_at from {}.version", self.schema);
        let rows = server.try_sql(&sql).unwrap_or_default();
        rows.lines().map(str::to_owned).collect()
    }

    /// Returns the name server of the newest change, as a database orders names.
    pub fn newest(&self) -> String {
        format!("test.one.ns{}", self.changes - 1)
    }

    /// Waits until the newest change is in the history of a server.
    pub fn wait_for_newest(&self, server: &Postgres, what: &str) {
        let host = self.newest();
        let sql = format!(
            "select count(*) from {}.host where name = '{host}'",
            self.schema
        );
        wait_until(&format!("{what}: {host}"), || {
            server.try_sql(&sql).is_ok_and(|count| count == "1")
        });
    }

    /// Checks that every change is in history once, and that history is sound.
    pub fn check(&self, server: &Postgres) {
        let schema = &self.schema;
        let count = server.sql(&format!(
            "select count(*), count(distinct observed_at) from {schema}.version"
        ));
        assert_eq!(count, format!("{0}|{0}", self.changes));
        assert!(self.second.run(0, &["db", "verify"]).starts_with("sound"));
    }
}
