//! Readers that stay: the write-ahead log has a bound whoever reads, and nothing waits for them.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use fluxwatch::case::{Exempt, Exemption};
use fluxwatch::dns::{Name, Rdata, Record, Serial};
use fluxwatch::pipeline::metrics_page;
use fluxwatch::store::{
    SourceChange, SourceId, SourceKind, Store, StoreError, StoreOptions, VersionDraft, VersionKind,
};
use fluxwatch::time::Timestamp;
use fluxwatch::zone::OwnerChange;

use crate::harness::{Bench, both};
use crate::support::stores::has_no_file;

/// How many names the zone has: enough to fill a pipe in every format.
const NAMES_COUNT: u32 = 1600;
/// When the first version was seen.
const BEGUN_AT: i64 = 1_790_000_000;
/// The log as it usually is, and what one transaction of these tests adds to it.
const USUAL_OCTETS: u64 = 18 << 20;

/// The formats that are printed as they are read.
const LOOKUPS: [&[&str]; 5] = [
    &["*.big.test", "--format", "csv"],
    &["*.big.test", "--format", "ndjson"],
    &["*.big.test", "--format", "cof"],
    &["*.big.test", "--format", "text"],
    &["--ns", "ns.host.test", "--format", "csv"],
];

/// Opens the database of a bench to write.
fn open(bench: &Bench) -> Store {
    let options = StoreOptions {
        reverse_index: true,
        create: true,
    };
    Store::open(bench.path().join("fluxwatch.db"), options).expect("opened")
}

/// Returns a name.
fn name(text: &str) -> Name {
    Name::parse(text).expect("valid")
}

/// Returns a record of a name server.
fn ns(host: &str) -> Record {
    Record {
        rdata: Rdata::Ns(name(host)),
        ttl: 60,
    }
}

/// Stores a version of `big.test`, in which each of some names changes in the same way.
fn write(store: &Store, source: SourceId, serial: u32, names: &[u32], change: &OwnerChange) {
    let zone = store
        .zones()
        .ensure_zone(&name("big.test"), source)
        .expect("made");
    let kind = match serial {
        1 => VersionKind::Baseline,
        _ => VersionKind::Snapshot,
    };
    let draft = VersionDraft {
        source,
        kind,
        serial: Some(Serial(serial)),
        observed_at: Timestamp::from_unix(BEGUN_AT + i64::from(serial)),
        joins: None,
        drift: false,
    };
    let mut tx = store.ledger().begin(&zone, draft).expect("begun");
    let told = names.iter().map(|id| SourceChange {
        owner: name(&format!("a-name-that-is-rather-long-{id:05}.big.test")),
        change: change.clone(),
        baseline: serial == 1,
    });
    tx.apply_changes(told.collect()).expect("applied");
    tx.commit(false).expect("committed");
}

/// Writes some hundred kilobytes in one transaction.
fn pad(store: &Store, round: u32) -> Result<(), StoreError> {
    let tx = store.begin_batch()?;
    for id in 0..100 {
        let exemption = Exemption {
            id: 0,
            covers: Exempt::Domain(name(&format!("d{id}.r{round}.example"))),
            // So long that every row needs pages of its own.
            reason: "x".repeat(6000),
            author: "ada".to_owned(),
            until: None,
        };
        store
            .desk()
            .add_exemption(&exemption, Timestamp::from_unix(BEGUN_AT))?;
    }
    tx.commit()
}

/// Returns what lines say, but for when records were last seen and for the order.
fn said(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text
        .lines()
        .filter_map(|line| {
            if line.starts_with(";;   zone times") {
                return None;
            }
            if let Ok(mut object) = serde_json::from_str::<serde_json::Value>(line) {
                let fields = object.as_object_mut().expect("an object");
                fields.retain(|key, _| !key.contains("last"));
                return Some(object.to_string());
            }
            let cells: Vec<&str> = line.split(',').collect();
            Some(match cells.len() {
                9 => [cells[0], cells[6], cells[7], cells[8]].join(","),
                _ => line.to_owned(),
            })
        })
        .collect();
    lines.sort();
    lines
}

/// Starts a lookup, and waits until it prints. Nobody takes any more of it.
fn begin_to_look(bench: &Bench, arguments: &[&str]) -> (Child, BufReader<ChildStdout>, String) {
    let arguments = [&["history"], arguments].concat();
    let mut child = bench
        .command(&arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let out = child.stdout.take().expect("it is a pipe");
    // Small, so that what is printed waits in the program and not here.
    let mut out = BufReader::with_capacity(16, out);
    let mut first = String::new();
    out.read_line(&mut first).expect("it prints");
    (child, out, first)
}

#[test]
fn output_that_nobody_takes_keeps_no_log_and_tells_one_state() {
    if has_no_file() {
        return;
    }
    let bench = Bench::new("");
    let store = open(&bench);
    let source = store.zones().ensure_source("made", SourceKind::Transfer);
    let source = source.expect("made");
    let all: Vec<u32> = (0..NAMES_COUNT).collect();
    let first = OwnerChange {
        added: vec![ns("ns.host.test")],
        ..OwnerChange::default()
    };
    write(&store, source, 1, &all, &first);
    let expected: Vec<Vec<String>> = LOOKUPS
        .iter()
        .map(|lookup| said(&bench.run(0, &[&["history"], *lookup].concat())))
        .collect();
    assert!(expected.iter().all(|lines| lines.len() > 1000));

    let looking: Vec<_> = LOOKUPS
        .iter()
        .map(|lookup| begin_to_look(&bench, lookup))
        .collect();
    let (mut peak, mut serial) = (0, 1);
    for round in 0..25 {
        let some: Vec<u32> = (0..200)
            .map(|it| (round * 200 + it) % NAMES_COUNT)
            .collect();
        let (mut added, mut removed) = (vec![ns("ns.other.test")], vec![ns("ns.host.test")]);
        if round * 200 / NAMES_COUNT % 2 == 1 {
            std::mem::swap(&mut added, &mut removed);
        }
        let change = OwnerChange {
            added,
            removed,
            ..OwnerChange::default()
        };
        serial += 1;
        write(&store, source, serial, &some, &change);
        pad(&store, round).expect("written");
        store.upkeep().checkpoint().expect("moved");
        peak = peak.max(store.upkeep().wal_octets());
        // A lookup that is just reading a page keeps its state for that long.
        let is_let_go = (0..200).any(|_| {
            let standing = store.upkeep().log_standing().expect("a file");
            if !standing.held_for.is_zero() {
                std::thread::sleep(Duration::from_millis(20));
                store.upkeep().checkpoint().expect("moved");
            }
            standing.held_for.is_zero()
        });
        assert!(is_let_go, "somebody keeps an old state");
    }
    assert!(peak > 1 << 20, "the test writes too little: {peak}");
    assert!(peak < USUAL_OCTETS, "{peak}");

    for (i, (mut child, mut out, mut text)) in looking.into_iter().enumerate() {
        assert!(
            child.try_wait().expect("there").is_none(),
            "{:?} did not wait: the test prints too little",
            LOOKUPS[i]
        );
        out.read_to_string(&mut text).expect("read on");
        assert!(child.wait().expect("it ends").success());
        assert!(
            said(&text) == expected[i],
            "{:?} tells another state",
            LOOKUPS[i]
        );
    }
}

/// Another program that reads one state of the database until it is told to go.
struct Stranger(Child);

impl Stranger {
    /// Begins to read.
    fn begin(database: &Path) -> Self {
        let program = "import sqlite3, sys\nc = sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True, isolation_level=None)\nc.execute('begin')\nc.execute('select count(*) from zone').fetchall()\nprint('reading', flush=True)\nsys.stdin.read()";
        let mut child = Command::new("python3")
            .args(["-c", program])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed by tests/install-servers");
        let mut line = String::new();
        let out = child.stdout.take().expect("it is a pipe");
        BufReader::new(out).read_line(&mut line).expect("it reads");
        assert_eq!(line, "reading\n");
        Self(child)
    }

    /// Ends it.
    fn end(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("it ends");
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn stranger_who_stays_is_named_and_the_log_stops_at_its_bound() {
    if has_no_file() {
        return;
    }
    let bench = Bench::new("");
    let store = open(&bench);
    let max = 70 << 20;
    store.upkeep().limit_log(Some(max));
    let stranger = Stranger::begin(&bench.path().join("fluxwatch.db"));
    let pid = stranger.0.id();
    let (mut slowest, mut round) = (Duration::ZERO, 0);
    let refused = loop {
        let begun_at = Instant::now();
        if let Err(refused) = pad(&store, round) {
            break refused;
        }
        let written = begun_at.elapsed();
        store.upkeep().checkpoint().expect("moved as far as it can");
        slowest = slowest.max(begun_at.elapsed().saturating_sub(written));
        round += 1;
        assert!(
            store.upkeep().wal_octets() < max + (4 << 20),
            "without a bound"
        );
    };
    assert!(
        slowest < Duration::from_secs(2),
        "a move waited {slowest:?}"
    );
    let sentence = refused.to_string();
    assert!(matches!(refused, StoreError::LogFull { .. }), "{sentence}");
    let who = format!("process {pid} (python3) reads an old state");
    assert!(sentence.contains(&who), "{sentence}");
    assert!(
        !store
            .upkeep()
            .log_standing()
            .expect("a file")
            .held_for
            .is_zero()
    );
    let page = metrics_page(&store, None, Timestamp::from_unix(BEGUN_AT), 10).expect("read");
    let octets = format!("fluxwatch_wal_bytes {}\n", store.upkeep().wal_octets());
    assert!(page.contains(&octets), "{page}");
    assert!(page.contains("fluxwatch_oldest_reader_seconds "), "{page}");

    // Who looks is told, and may look.
    let cure = format!("`kill {pid}`");
    let set_max = || bench.configure(&format!("wal_bytes_max = {max}\n"));
    set_max();
    let status = bench.run_stderr(0, &["status"]);
    assert!(status.contains(&cure), "{status}");
    let feed = bench.write(
        "feed.ndjson",
        "{\"at\":1790000000,\"zone\":\"example.\",\"rrname\":\"a.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"rdata\":[\"ns.host.test.\"]}\n",
    );
    let import = ["import", "feed", feed.to_str().expect("text")];
    let refused = bench.run_stderr(4, &import);
    assert!(
        refused.contains(&cure) && refused.contains("store.wal_bytes_max"),
        "{refused}"
    );
    // Where the disk has room for more, the log of the program tells it once.
    bench.configure("");
    let log = bench.run_stderr(0, &[&["-v"], &import[..]].concat());
    let told =
        format!("since process {pid} (python3) reads an old state; end what still reads: {cure}");
    assert_eq!(log.matches(&told).count(), 1, "{log}");

    stranger.end();
    pad(&store, round).expect("written again");
    store.upkeep().checkpoint().expect("moved");
    assert!(
        store
            .upkeep()
            .log_standing()
            .expect("a file")
            .held_for
            .is_zero()
    );
    set_max();
    bench.run(0, &import);
}

#[test]
fn reading_of_ours_ends_before_it_fills_the_disk() {
    if has_no_file() {
        return;
    }
    let bench = Bench::new("");
    let store = open(&bench);
    let source = store.zones().ensure_source("made", SourceKind::Transfer);
    let names: Vec<u32> = (0..NAMES_COUNT).collect();
    let change = OwnerChange {
        added: vec![ns("ns.host.test")],
        ..OwnerChange::default()
    };
    write(&store, source.expect("made"), 1, &names, &change);
    store.upkeep().limit_log(Some(16 << 20));
    let reader = Store::open_read_only(bench.path().join("fluxwatch.db")).expect("opened");
    let all = |reader: &Store| reader.upkeep().verify(|_| ()).map(|found| found.faults);
    assert_eq!(all(&reader).expect("nobody writes"), Vec::<String>::new());

    let reading = reader.begin_reading().expect("begun");
    reader.zones().status().expect("the state is taken");
    for round in 0..16 {
        pad(&store, round).expect("written");
    }
    // One of many questions on the same state.
    let (since, until) = (Timestamp::from_unix(0), Timestamp::from_unix(2 * BEGUN_AT));
    let ended = (0..200).find_map(|_| {
        let ask = |_| Ok::<_, StoreError>(());
        reader.lookup().each_changed_owner(since, until, ask).err()
    });
    assert!(
        matches!(ended, Some(StoreError::ReadTooLong { .. })),
        "{ended:?}"
    );
    drop(reading);
    assert_eq!(all(&reader).expect("a new state"), Vec::<String>::new());
}

#[test]
fn least_size_of_the_log_is_checked() {
    let bench = Bench::new("");
    bench.configure("wal_bytes_max = 1000\n");
    let said = bench.command(&["config", "check"]).output();
    let said = both(&said.expect("started"));
    assert!(
        said.contains("store.wal_bytes_max") && said.contains("33554432"),
        "{said}"
    );
}
