//! How the database is read from the command line: what a lookup covers, what may be pasted, who may look, and how long
//! the log grows.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fluxwatch::case::{Exempt, Exemption};
use fluxwatch::dns::Name;
use fluxwatch::store::{Store, StoreOptions};
use fluxwatch::time::Timestamp;

use crate::harness::{Bench, REPORT, both};
use crate::support::desk::Feed;
use crate::support::desk::bench as desk_bench;
use crate::support::lookups::{bench_of_two_zones, records, set};
use crate::support::stores::has_no_file;

/// A user who owns nothing: nobody of Debian.
const NOBODY: &str = "65534";

#[test]
fn names_below_a_hosted_apex_are_covered_as_those_below_a_delegation() {
    let bench = bench_of_two_zones();
    let www = "www.shop.example. A 192.0.2.200";
    assert_eq!(records(&bench, &["shop.example"]), set(&[www]));
    assert_eq!(records(&bench, &["shop.example", "--exact"]), set(&[]));
    assert_eq!(
        records(&bench, &["shop.example", "--at", "2026-03-02 13:00"]),
        set(&[www])
    );
    assert!(records(&bench, &["bad.example"]).contains("ns1.bad.example. A 192.0.2.1"));
    // The apex of a zone that delegates, and zones that lie below it.
    assert_eq!(records(&bench, &["example"]).len(), 9);
    for format in ["table", "json", "csv", "cof", "text"] {
        let text = bench.run(0, &["history", "shop.example", "--format", format]);
        assert!(text.contains("192.0.2.200"), "{format}: {text}");
    }
    let plot = bench.run(0, &["history", "shop.example", "--view", "timeline"]);
    assert!(plot.contains("www.shop.example"), "{plot}");
    let diff = [
        "diff",
        "shop.example",
        "2026-03-01",
        "2026-03-03",
        "--format",
        "json",
    ];
    let json = bench.json(&diff);
    assert_eq!(json["added"][0]["rrname"], "www.shop.example.");
    let exact = bench.run(
        0,
        &[
            "diff",
            "shop.example",
            "2026-03-01",
            "2026-03-03",
            "--exact",
        ],
    );
    assert!(exact.starts_with("no difference: 0 records"), "{exact}");
    // Without T2 it is now.
    let since = bench.json(&["diff", "bad.example", "2026-03-02", "--format", "json"]);
    assert_eq!(since["added"].as_array().map(Vec::len), Some(3), "{since}");
    let bundle = bench.run(0, &["export", "--domain", "shop.example"]);
    assert!(bundle.contains("www.shop.example."), "{bundle}");
}

#[test]
fn history_of_an_apex_of_many_names_is_whole_by_pages_and_says_that_it_is_cut() {
    let bench = Bench::new("");
    let mut zone = String::from(
        "$ORIGIN example.\n$TTL 300\n@ SOA ns.host.test. x.test. 1 1 1 1 1\n@ NS ns.host.test.\n",
    );
    for n in 0..1500 {
        zone += &format!("d{n} NS ns{n}.host.test.\n");
    }
    let first = bench.write("z/example-20260301.zone", &zone);
    let changed = zone
        .replace(" 1 1 1 1 1\n", " 2 1 1 1 1\n")
        .replace("d7 NS ns7.", "d7 NS ns8.");
    let second = bench.write(
        "z/example-20260302.zone",
        changed.replace("d9 NS ns9.", "d9 NS ns8."),
    );
    let pattern = "example-%Y%m%d.zone";
    let import = [
        "import",
        "zonefile",
        "--zone",
        "example",
        "--time-pattern",
        pattern,
    ];
    let paths = [&first, &second].map(|path| path.to_str().expect("UTF-8"));
    bench.run(0, &[&import[..], &paths[..]].concat());
    let output = bench
        .command(&["history", "example", "--format", "json"])
        .output()
        .expect("it runs");
    assert!(
        both(&output).contains("this is not all of it"),
        "{}",
        both(&output)
    );
    // What is streamed is not cut: 1501 records, and two that are past.
    let csv = bench.run(0, &["history", "example", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 1 + 1503);
    let diff = [
        "diff",
        "example",
        "2026-03-01 12:00",
        "2026-03-03",
        "--limit",
        "1",
    ];
    let output = bench.command(&diff).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        shown.contains("+ ns8.host.test.") && shown.lines().count() == 3,
        "{shown}"
    );
    let after = said
        .split("--after ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let after = after.unwrap_or_else(|| panic!("no cursor: {said}"));
    let next = bench.run(0, &[&diff[..], &["--after", after]].concat());
    assert!(
        next.contains("d9.example") && !next.contains("d7.example"),
        "{next}"
    );
}

#[test]
fn every_usual_form_of_a_domain_is_taken_where_a_domain_is() {
    let bench = bench_of_two_zones();
    let expected = bench.json(&["history", "bad.example", "--format", "json"]);
    assert_eq!(
        expected["records"].as_array().map(Vec::len),
        Some(6),
        "{expected}"
    );
    for form in include_str!("../fixtures/faults/defanged.txt").lines() {
        let json = bench.json(&["history", form, "--format", "json"]);
        assert_eq!(json, expected, "{form}");
    }
    let diff = ["hxxps://bad[.]example:8443/x", "2026-03-02", "2026-03-20"];
    assert!(
        bench
            .run(0, &["diff", diff[0], diff[1], diff[2]])
            .contains("ns2.other.test.")
    );
    let hosts = records(&bench, &["--ns", "hxxp://ns[.]host[.]test/"]);
    assert_eq!(hosts.len(), 3);
    assert_eq!(
        records(&bench, &["192[.]0[.]2[.]200"]),
        set(&["www.shop.example. A 192.0.2.200"])
    );
    assert_eq!(records(&bench, &["hxxp://[2001:db8::7]:80/x"]).len(), 1);
    for wrong in [
        "bad.example good.example",
        "bad=x.example",
        "bad.example:x",
        "bad.example\\x",
    ] {
        let said = bench.run_stderr(2, &["history", wrong]);
        assert!(said.contains("may mean more than one name"), "{said}");
    }
    let said = bench.run_stderr(2, &["explain", "192.0.2.1"]);
    assert!(said.contains("is an address"), "{said}");
}

#[test]
fn exemption_before_the_first_poll_makes_the_database_and_takes_what_is_pasted() {
    if has_no_file() {
        return;
    }
    let bench = Bench::new("");
    let add = [
        "exempt",
        "add",
        "domain",
        "hxxp://Ok[.]example/",
        "--reason",
        "ours",
        "--by",
        "ada",
    ];
    let said = bench.run_stderr(0, &[&add[..], &["--dry-run"]].concat());
    assert!(said.contains("nothing was changed"), "{said}");
    assert!(!bench.path().join("fluxwatch.db").exists());
    bench.run(0, &add);
    let list = bench.run(0, &["exempt", "list"]);
    assert!(
        list.contains("domain ok.example ") && !list.contains("ok.example."),
        "{list}"
    );
    let json = bench.json(&["exempt", "list", "--format", "json"]);
    assert_eq!(json[0]["value"], "ok.example.");
}

#[test]
fn cases_are_written_by_their_reference_and_found_by_any_form_of_it() {
    let recipient = "[[recipient]]\nregistrar = \"1234\"\naddress = \"abuse@registrar.test\"\n";
    let smtp = "[smtp]\nurl = \"maildir://desk\"\n";
    let bench = desk_bench(&format!("{REPORT}{smtp}{recipient}"));
    let mut feed = Feed::default();
    feed.set(0, "bad.example.", "NS", &["ns1.plain.test.".to_owned()]);
    feed.flux("bad.example.", 6, 60);
    bench.write("f.ndjson", feed.text(60));
    let polled = bench.run(0, &["poll"]);
    assert!(
        polled.contains("FW-000001") && !polled.contains("bad.example."),
        "{polled}"
    );
    let listed = bench.run(0, &["cases"]);
    assert!(listed.contains("FW-000001"), "{listed}");
    let expected = bench.json(&["cases", "show", "bad.example", "--format", "json"]);
    assert_eq!(
        (&expected["id"], &expected["reference"]),
        (&1.into(), &"FW-000001".into())
    );
    assert!(
        expected["log"]
            .as_array()
            .is_some_and(|log| !log.is_empty()),
        "{expected}"
    );
    for form in [
        "1",
        "FW-1",
        "fw-000001",
        "FW-000001",
        "hxxp://bad[.]example/",
    ] {
        let shown = bench.json(&["cases", "show", form, "--format", "json"]);
        assert_eq!(shown, expected, "{form}");
    }
    let drafts = bench.run(0, &["report", "list"]);
    assert!(
        drafts.contains("abuse@registrar.test") && drafts.contains("FW-000001"),
        "{drafts}"
    );
    let drafts = bench.json(&["report", "list", "--format", "json"]);
    assert_eq!(
        (&drafts[0]["case"], &drafts[0]["state"]),
        (&1.into(), &"drafted".into())
    );
    let outbox = bench.run(0, &["outbox", "list", "--all"]);
    assert!(outbox.contains("FW-000001"), "{outbox}");
    // Reopened by a person: the time to the mitigation goes on from the detection, in this test some seconds ago.
    bench.run(0, &["cases", "close", "FW-1", "--mitigated", "--by", "ada"]);
    let month = || bench.json(&["stats", "--format", "json"])["all"].clone();
    let before = month()["mitigation_s"].as_i64().expect("a time");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let said = bench.run_stderr(0, &["cases", "reopen", "fw-1", "--by", "ada"]);
    assert!(said.contains("case FW-000001, bad.example: "), "{said}");
    bench.run(0, &["cases", "close", "1", "--mitigated", "--by", "ada"]);
    let after = month();
    assert_eq!(
        (&after["mitigated"], &after["reopened"]),
        (&2.into(), &1.into())
    );
    assert!(after["mitigation_s"].as_i64() > Some(before), "{after}");
}

#[test]
fn failed_zones_are_listed_by_themselves_and_by_the_exit_status() {
    let sources = "[[source]]\nname = \"one\"\nkind = \"zonefile\"\nzone = \"one.example.\"\npath = \"one.zone\"\n[[source]]\nname = \"two\"\nkind = \"zonefile\"\nzone = \"two.example.\"\npath = \"two.zone\"\n";
    let bench = Bench::new(sources);
    let zone = "$TTL 60\n@ SOA a.test. b.test. 1 1 1 1 1\n@ NS a.test.\n";
    bench.write("one.zone", format!("$ORIGIN one.example.\n{zone}"));
    bench.write("two.zone", format!("$ORIGIN two.example.\n{zone}"));
    bench.run(0, &["poll"]);
    assert_eq!(
        bench.run(0, &["status", "--failed"]),
        "no zone has failed\n"
    );
    bench.write("two.zone", "$ORIGIN two.example.\n@ NS (\n");
    bench.run(3, &["poll"]);
    let failed = bench.run(1, &["status", "--failed", "--format", "json"]);
    let failed: serde_json::Value = serde_json::from_str(&failed).expect("JSON");
    assert_eq!(
        (failed.as_array().map(Vec::len), &failed[0]["zone"]),
        (Some(1), &"two.example.".into())
    );
    bench.run(0, &["status", "--failed", "one.example"]);
    assert!(
        bench
            .run(0, &["status", "one.example"])
            .contains("one.example")
    );
    let said = bench.run_stderr(1, &["status", "three.example"]);
    assert!(
        said.contains("no source has the zone three.example"),
        "{said}"
    );
    let verified = bench.json(&["db", "verify", "--format", "json"]);
    assert_eq!(
        (&verified["sound"], &verified["zones"]),
        (&true.into(), &2.into())
    );
}

#[test]
fn records_of_one_minute_are_told_apart_by_their_seconds() {
    let bench = Bench::new(
        "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n",
    );
    let line = |at: &str, address: &str| {
        format!(
            "{{\"at\":\"{at}\",\"zone\":\"example.\",\"rrname\":\"a.example.\",\"rrtype\":\"A\",\"op\":\"set\",\"rdata\":[\"{address}\"]}}\n"
        )
    };
    let early = line("2026-03-01T12:00:00Z", "192.0.2.1");
    bench.write(
        "f.ndjson",
        early.clone() + &line("2026-03-01T12:05:00Z", "192.0.2.2"),
    );
    bench.run(0, &["poll"]);
    let view = || bench.run(0, &["history", "a.example", "--view", "records"]);
    assert!(view().contains("2026-03-01 12:05 "), "{}", view());
    let late = line("2026-03-01T12:05:07Z", "192.0.2.3");
    bench.write(
        "f.ndjson",
        early + &line("2026-03-01T12:05:00Z", "192.0.2.2") + &late,
    );
    bench.run(0, &["poll"]);
    assert!(view().contains("2026-03-01 12:05:07"), "{}", view());
}

#[test]
fn log_is_moved_into_the_database_before_it_has_grown_far() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("f.db");
    let options = StoreOptions {
        reverse_index: true,
        create: true,
    };
    let store = Store::open(&path, options).expect("made");
    let mut peak = 0;
    for id in 0..1800 {
        let exemption = exemption(&format!("d{id}.example"));
        let tx = store.begin_batch().expect("begun");
        store
            .desk()
            .add_exemption(&exemption, Timestamp::from_unix(1_790_000_000))
            .expect("added");
        tx.commit().expect("committed");
        peak = peak.max(store.upkeep().wal_octets());
    }
    // Each of them writes some pages of 4 KiB.
    assert!(peak > 8 << 20, "the test writes too little: {peak}");
    assert!(peak < 17 << 20, "{peak}");
    drop(store);
    assert!(
        !beside(&path, "-wal").exists(),
        "the last one takes the log away"
    );
}

#[test]
fn restored_backup_has_a_log_again() {
    if has_no_file() {
        return;
    }
    let bench = bench_of_two_zones();
    let copy = bench.path().join("copy.db");
    bench.run(0, &["db", "backup", copy.to_str().expect("UTF-8")]);
    let database = bench.path().join("fluxwatch.db");
    fs::rename(&copy, &database).expect("restored");
    let expected = records(&bench, &["example"]);
    bench.run(
        0,
        &[
            "exempt",
            "add",
            "domain",
            "a.example",
            "--reason",
            "x",
            "--by",
            "ada",
        ],
    );
    // The version of the file format for who reads: 2 is a write-ahead log (sqlite.org/fileformat2.html, 1.3.3).
    assert_eq!(fs::read(&database).expect("read")[19], 2);
    assert_eq!(records(&bench, &["example"]), expected);
}

/// Returns an exemption of a domain.
fn exemption(domain: &str) -> Exemption {
    Exemption {
        id: 0,
        covers: Exempt::Domain(Name::parse(domain).expect("valid")),
        // So long that every row needs a page of its own.
        reason: "x".repeat(6000),
        author: "ada".to_owned(),
        until: None,
    }
}

/// Returns the path of a file beside the database.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// A folder of the database that another user may only read, and the program where he can run it.
struct Open {
    bench: Bench,
    program: PathBuf,
}

impl Open {
    /// Opens a bench to others; `None` if the tests do not run as root.
    fn new(bench: Bench) -> Option<Self> {
        let output = Command::new("id").arg("-u").output().expect("id runs");
        if output.stdout != b"0\n" {
            eprintln!("skipped: only root can be another user");
            return None;
        }
        let program = bench.path().join("fluxwatch");
        fs::copy(env!("CARGO_BIN_EXE_fluxwatch"), &program).expect("copied");
        let open = Self { bench, program };
        open.mode(".", 0o755);
        open.mode("fluxwatch.toml", 0o644);
        open.mode("fluxwatch.db", 0o644);
        Some(open)
    }

    /// Sets the mode of a file.
    fn mode(&self, name: &str, mode: u32) {
        let path = self.bench.path().join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode is set");
    }

    /// Runs the program as nobody, over the configuration in a folder.
    fn run_in(&self, folder: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        command
            .arg(&self.program)
            .arg("--config")
            .arg(folder.join("fluxwatch.toml"));
        command
            .args(arguments)
            .env("USER", "nobody")
            .output()
            .expect("setpriv runs")
    }

    /// Runs the program as nobody and expects an exit status. Returns what it said.
    fn run(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run_in(self.bench.path(), arguments);
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?}: {}",
            both(&output)
        );
        both(&output)
    }

    /// Returns the names of files beside the database.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.bench.path()).expect("read");
        let names = entries.map(|it| it.expect("read").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|it| it.starts_with("fluxwatch.db-")).collect();
        names.sort();
        names
    }
}

#[test]
fn who_may_only_read_file_and_folder_sees_everything_and_leaves_nothing_behind() {
    if has_no_file() {
        return;
    }
    let bench = bench_of_two_zones();
    bench.run(0, &["history", "bad.example"]);
    let Some(open) = Open::new(bench) else { return };
    assert_eq!(open.files(), [""; 0], "root leaves none either");
    let shown = open.run(0, &["history", "bad.example"]);
    assert!(shown.contains("ns2.other.test."), "{shown}");
    for arguments in [
        &["diff", "bad.example", "2026-03-02"][..],
        &["explain", "bad.example"],
        &["status"],
        &["cases", "--state", "all"],
        &["exempt", "list"],
        &["outbox"],
        &["report", "list"],
        &["stats"],
        &["db", "stats"],
        &["db", "verify"],
        &["export", "--domain", "bad.example"],
        &["backtest", "--since", "2026-03-01"],
        &["db", "prune", "--dry-run"],
    ] {
        open.run(0, arguments);
        assert_eq!(open.files(), [""; 0], "{arguments:?}");
    }
    let copy = tempfile::tempdir().expect("a folder");
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o777)).expect("set");
    let file = copy.path().join("copy.db");
    open.run(0, &["db", "backup", file.to_str().expect("UTF-8")]);
    let said = open.run(
        4,
        &["exempt", "add", "domain", "a.example", "--reason", "x"],
    );
    assert!(
        said.contains("fluxwatch.db (mode 0644, owner 0:0)") && said.contains("hint: "),
        "{said}"
    );
    open.mode("fluxwatch.db", 0o600);
    let said = open.run(4, &["history", "bad.example"]);
    assert!(
        said.contains("mode 0600") && said.contains("sudo -u '#0'"),
        "{said}"
    );
}

#[test]
fn who_may_only_read_shares_the_log_of_a_writer_or_is_told_what_lacks() {
    if has_no_file() {
        return;
    }
    let Some(open) = Open::new(bench_of_two_zones()) else {
        return;
    };
    let path = open.bench.path().join("fluxwatch.db");
    let options = StoreOptions {
        reverse_index: true,
        create: false,
    };
    let writer = Store::open(&path, options).expect("opened");
    // Nothing is in the log yet.
    open.run(0, &["history", "bad.example"]);
    let add = |domain: &str| {
        let at = Timestamp::from_unix(1_790_000_000);
        writer
            .desk()
            .add_exemption(&exemption(domain), at)
            .expect("added");
    };
    add("a.example");
    let list = ["exempt", "list", "--format", "csv"];
    assert!(open.run(0, &list).contains("a.example."));
    add("b.example");
    assert!(open.run(0, &list).contains("b.example."));
    assert_eq!(open.files(), ["fluxwatch.db-shm", "fluxwatch.db-wal"]);
    for (name, other) in [
        ("fluxwatch.db-wal", "fluxwatch.db-shm"),
        ("fluxwatch.db-shm", "fluxwatch.db-wal"),
    ] {
        open.mode(name, 0o600);
        open.mode(other, 0o644);
        let said = open.run(4, &list);
        assert!(said.contains(&format!("{name} (mode 0600")), "{said}");
    }
    // What a crash leaves where the log's index is gone: a log that nobody may write cannot be read.
    let left = tempfile::tempdir().expect("a folder");
    fs::set_permissions(left.path(), fs::Permissions::from_mode(0o755)).expect("set");
    for name in ["fluxwatch.db", "fluxwatch.db-wal", "fluxwatch.toml"] {
        let copy = left.path().join(name);
        fs::copy(open.bench.path().join(name), &copy).expect("copied");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).expect("set");
    }
    let output = open.run_in(left.path(), &list);
    let said = both(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains("its log (-wal) holds") && said.contains("sudo -u '#0' fluxwatch poll"),
        "{said}"
    );
    // The cure that it names.
    let mut cure = Command::new(&open.program);
    cure.arg("--config")
        .arg(left.path().join("fluxwatch.toml"))
        .arg("status");
    assert!(cure.status().expect("it runs").success());
    let output = open.run_in(left.path(), &list);
    assert!(both(&output).contains("b.example."), "{}", both(&output));
}

#[test]
fn read_only_mount_is_read() {
    if has_no_file() {
        return;
    }
    let Some(open) = Open::new(bench_of_two_zones()) else {
        return;
    };
    let mount = tempfile::tempdir().expect("a folder");
    let at = mount.path().to_str().expect("UTF-8");
    let from = open.bench.path().to_str().expect("UTF-8");
    let run = |arguments: &[&str]| {
        let output = Command::new("mount").args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !run(&["--bind", from, at]) {
        eprintln!("skipped: this machine lets nobody mount");
        return;
    }
    let is_read_only = run(&["-o", "remount,ro,bind", at]);
    let mut command = Command::new(&open.program);
    command
        .arg("--config")
        .arg(mount.path().join("fluxwatch.toml"));
    let shown = command
        .args(["history", "bad.example"])
        .output()
        .expect("it runs");
    let status = Command::new("umount")
        .arg(at)
        .status()
        .expect("umount runs");
    assert!(status.success());
    if is_read_only {
        assert_eq!(shown.status.code(), Some(0), "{}", both(&shown));
        assert!(both(&shown).contains("ns2.other.test."), "{}", both(&shown));
        assert_eq!(open.files(), [""; 0]);
    }
}
