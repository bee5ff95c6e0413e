//! The database over years: verified, backed up, pruned, damaged.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Bench, both, python};
use crate::support::rows::{keep, put_back, sql};
use crate::support::stores::{has_no_file, server};

/// A configuration with one feed.
const FEED: &str =
    "[[source]]\nname = \"feed\"\nkind = \"feed\"\nzone = \"busy.test.\"\npath = \"f.ndjson\"\n";
/// 2024-01-01.
const START: i64 = 1_704_067_200;
/// A day.
const DAY: i64 = 86_400;

/// A feed of `days` days in which `names` names change once a day.
fn feed(days: i64, names: i64) -> String {
    let mut text = String::new();
    for day in 0..=days {
        for name in 0..names {
            let address = format!("10.{}.{}.{name}", day / 250, day % 250);
            let at = START + day * DAY;
            writeln!(text, r#"{{"at":{at},"rrname":"n{name}.busy.test.","rrtype":"A","op":"set","ttl":60,"rdata":["{address}"]}}"#).expect("text grows");
        }
    }
    text
}

/// A bench that has read a feed.
fn bench_of(days: i64, names: i64, rest: &str) -> Bench {
    let bench = Bench::new(&format!("{FEED}{rest}"));
    bench.write("f.ndjson", feed(days, names));
    bench.run(0, &["poll"]);
    bench
}

#[test]
fn database_is_sound_and_an_edit_of_it_is_named() {
    let bench = bench_of(40, 3, "");
    let text = bench.run(0, &["db", "verify"]);
    assert!(
        text.starts_with("sound: 1 zone, 123 records, 41 versions"),
        "{text}"
    );
    let edits = [
        (
            "update past_record set rdata = x'0a000063' where rdata = x'0a000500'",
            "are not those that were hashed",
        ),
        (
            "delete from past_record where rdata = x'0a000701'",
            "are not those that were hashed",
        ),
        (
            "update version set observed_at = observed_at + 1 where id = 9",
            "does not follow from the one before",
        ),
        (
            "update version set serial = 7 where id = 9",
            "does not follow from the one before",
        ),
        (
            "update zone set kept_count = 99",
            "its row says 99 records, there are 3",
        ),
        (
            "delete from chain where id = 12",
            "does not follow from the one before",
        ),
        (
            "delete from owner where id = 2",
            "records whose owner is not there",
        ),
        (
            match server() {
                Some(_) => "update change set octets = '\\x0105' where version_id = 5",
                None => "update change set octets = x'0105' where version_id = 5",
            },
            "version 5",
        ),
    ];
    for (edit, sentence) in edits {
        let kept = keep(&bench);
        sql(&bench, edit);
        let output = bench.command(&["db", "verify"]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(4), "{edit}: {}", both(&output));
        assert!(
            both(&output).contains(sentence),
            "{edit}: {}",
            both(&output)
        );
        // What is counted from sound records is counted anew; anything else comes back from a backup alone.
        if edit.contains("kept_count") {
            assert!(
                both(&output).contains("`fluxwatch db recount`"),
                "{}",
                both(&output)
            );
            bench.run(0, &["db", "recount"]);
            bench.run(0, &["db", "verify"]);
        } else {
            assert!(both(&output).contains("hint: restore"), "{}", both(&output));
        }
        put_back(&bench, &kept);
    }
    bench.run(0, &["db", "verify"]);
}

#[test]
fn lookup_names_a_version_that_is_lost() {
    let bench = bench_of(3, 2, "");
    sql(
        &bench,
        "update version set previous_id = 9999 where id = (select max(removed_id) from past_record)",
    );
    let told = bench.run_stderr(4, &["history", "*.busy.test"]);
    assert!(told.contains("version 9999"), "{told}");
}

#[test]
fn log_line_of_a_zone_has_the_hash_that_its_chain_ends_with() {
    let bench = bench_of(3, 2, "");
    bench.write("f.ndjson", feed(6, 2));
    let output = bench.command(&["-v", "poll"]).output().expect("it runs");
    let as_text = match server() {
        Some(_) => "encode(hash, 'hex')",
        None => "lower(hex(hash))",
    };
    let hash = sql(
        &bench,
        &format!("select {as_text} from chain order by id desc limit 1"),
    );
    let line = format!("hash={}", hash.trim());
    assert!(both(&output).contains(&line), "{line}: {}", both(&output));
}

#[test]
fn pruned_database_is_sound_and_keeps_what_it_should() {
    // Two years of changes, of which one is kept.
    let bench = Bench::new(&format!("{FEED}[retention]\nkeep = \"365d\"\n"));
    // One name stands from before the cut to this day.
    let standing = format!(
        r#"{{"at":{START},"rrname":"old.busy.test.","rrtype":"A","op":"set","ttl":60,"rdata":["192.0.2.1"]}}"#
    ) + "\n";
    bench.write("f.ndjson", standing.clone() + &feed(730, 2));
    bench.run(0, &["poll"]);
    // The poll has pruned already: what follows has nothing to do.
    let name = ["history", "n0.busy.test", "--format", "json"];
    let history = bench.json(&name);
    let removed: Vec<&str> = history["records"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["removed_at"].as_str())
        .collect();
    assert!(
        removed.iter().all(|at| *at >= "2024-12-01"),
        "{:?}",
        removed.first()
    );
    assert!(
        removed.len() > 365 && removed.len() < 400,
        "{}",
        removed.len()
    );
    let text = bench.run(0, &["db", "verify"]);
    assert!(
        text.contains("before the cut of retention by the chain alone"),
        "{text}"
    );
    assert!(bench.run(0, &["db", "prune"]).contains("nothing is older"));
    // An edit of what is kept is still named, also of the state at the cut.
    sql(
        &bench,
        "update past_record set added_id = added_id - 1 where removed_id = (select min(removed_id) from past_record)",
    );
    let output = bench.command(&["db", "verify"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(4), "{}", both(&output));
    // A line about a time that was forgotten is set aside, not taken for news.
    let late = format!(
        r#"{{"at":{},"rrname":"new.busy.test.","rrtype":"A","op":"set","rdata":["10.9.9.9"]}}"#,
        START + 20 * DAY
    );
    let mut text = standing + &feed(730, 2);
    writeln!(text, "{late}").expect("text grows");
    bench.write("f.ndjson", text);
    let output = bench.command(&["poll"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(3), "{}", both(&output));
    assert_eq!(
        sql(&bench, "select reason from rejected_line").trim(),
        "history before 2024-12-01T00:00:00Z has been pruned"
    );
}

#[test]
fn dry_prune_counts_what_a_prune_takes_and_changes_nothing() {
    let bench = bench_of(400, 2, "");
    bench.configure(&format!(
        "{FEED}[[zone]]\nname = \"busy.test.\"\nkeep = \"180d\"\n"
    ));
    let before = bench.json(&["history", "n1.busy.test", "--format", "json"]);
    let text = bench.run(0, &["db", "prune", "--dry-run"]);
    let counted: Vec<&str> = text
        .lines()
        .last()
        .expect("a row")
        .split_whitespace()
        .collect();
    assert_eq!(&counted[..2], ["busy.test", "zone"], "{text}");
    assert_eq!(
        bench.json(&["history", "n1.busy.test", "--format", "json"]),
        before
    );
    let taken = bench.run(0, &["db", "prune", "--shrink"]);
    assert!(
        taken.ends_with(&format!("{} past records removed\n", counted[4])),
        "{text}{taken}"
    );
    bench.run(0, &["db", "verify"]);
    // The records that are there, and the changes since the cut, are as they were.
    let after = bench.json(&["history", "n1.busy.test", "--format", "json"]);
    let kept = |history: &Value| -> Vec<Value> {
        let records = history["records"].as_array().expect("a list").iter();
        records
            .filter(|it| {
                it["removed_at"]
                    .as_str()
                    .is_none_or(|at| at >= "2024-08-01")
            })
            .cloned()
            .collect()
    };
    assert_eq!(
        kept(&after),
        after["records"].as_array().expect("a list").clone()
    );
    assert_eq!(kept(&before), kept(&after));
}

#[test]
fn budget_takes_the_oldest_months_and_leaves_what_the_detector_needs() {
    let bench = bench_of(400, 10, "");
    bench.configure(&format!("{FEED}[retention]\nsize_bytes_max = 1\n"));
    let text = bench.run(0, &["db", "prune"]);
    assert!(text.contains("stay: the detector looks back"), "{text}");
    let history = bench.json(&["history", "n1.busy.test", "--format", "json"]);
    let count = history["records"].as_array().expect("a list").len();
    assert!((90..125).contains(&count), "{count}");
    bench.run(0, &["db", "verify"]);
    let short = format!("{FEED}[retention]\nkeep = \"30d\"\n");
    bench.configure(&short);
    let text = bench.run_stderr(2, &["config", "check"]);
    assert!(text.contains("less than detect.memory"), "{text}");
}

#[test]
fn backup_is_sound_private_and_never_written_over() {
    if has_no_file() {
        return;
    }
    let bench = bench_of(40, 3, "");
    let copy = bench.path().join("copy.db");
    let target = copy.to_str().expect("text");
    let text = bench.run(0, &["db", "backup", target]);
    assert!(text.contains("sound"), "{text}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&copy).expect("there").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let text = bench.run_stderr(2, &["db", "backup", target]);
    assert!(
        text.contains("copy.db exists already") && text.contains("name a new file"),
        "{text}"
    );
    let before = bench.json(&["history", "n1.busy.test", "--format", "json"]);
    fs::rename(&copy, bench.path().join("fluxwatch.db")).expect("restored");
    assert_eq!(
        bench.json(&["history", "n1.busy.test", "--format", "json"]),
        before
    );
    bench.run(0, &["db", "verify"]);
}

#[test]
fn stats_tell_sizes_and_growth() {
    let bench = bench_of(40, 3, "");
    let stats = bench.json(&["db", "stats", "--format", "json"]);
    assert_eq!(
        (stats["records"].as_u64(), stats["past_records"].as_u64()),
        (Some(3), Some(120))
    );
    assert_eq!(
        (stats["changes"].as_u64(), stats["changes_30d"].as_u64()),
        (Some(240), Some(180))
    );
    assert!(
        stats["growth_bytes_per_day"].as_f64() > Some(1.0),
        "{stats}"
    );
    assert!(bench.run(0, &["db", "stats"]).contains("past_record"));
}

/// Runs the program in a shell, after some commands of the shell's own.
fn shell(bench: &Bench, before: &str, arguments: &str) -> (Option<i32>, String) {
    let program = env!("CARGO_BIN_EXE_fluxwatch");
    let config = bench.config();
    let script = format!(
        "{before}\nexec {program} --config {} {arguments}",
        config.display()
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(bench.path())
        .output()
        .expect("bash runs");
    (output.status.code(), both(&output))
}

/// Opens the database of a bench again and finds everything that was committed.
fn check_sound(bench: &Bench, versions: usize) {
    let text = bench.run(0, &["db", "verify"]);
    assert!(text.contains(&format!(" {versions} versions")), "{text}");
}

#[test]
fn full_disk_stops_the_poll_with_a_sentence_and_loses_nothing() {
    if has_no_file() {
        return;
    }
    let bench = bench_of(10, 60, "");
    bench.write("f.ndjson", feed(100, 60));
    // A limit on the size of files does what a full disk does, for the program that meets it. What is to be stored has many times
    // the room that is left, in the database and in its log, whenever the log is written back.
    let size = fs::metadata(bench.path().join("fluxwatch.db"))
        .expect("it is there")
        .len();
    let room = format!("trap '' XFSZ; ulimit -f {}", size / 1024 + 100);
    let (status, text) = shell(&bench, &room, "poll");
    assert_eq!(status, Some(4), "{text}");
    assert!(
        text.contains("stderr: error: database ") && !text.contains("panicked"),
        "{text}"
    );
    assert!(text.contains("\nhint: "), "{text}");
    let text = bench.run(0, &["db", "verify"]);
    assert!(text.starts_with("sound"), "{text}");
    // With room again it goes on to the end.
    bench.run(0, &["poll"]);
    check_sound(&bench, 101);
}

#[test]
fn folder_that_cannot_be_written_stops_the_poll_with_a_sentence() {
    if has_no_file() {
        return;
    }
    let bench = bench_of(10, 3, "");
    if Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|it| it.stdout == b"0\n")
    {
        // Root writes anywhere; a folder that is a file is closed to everybody.
        let text = fs::read_to_string(bench.config()).expect("readable");
        bench.write("blocked", "");
        let text = text.replace("fluxwatch.db", "blocked/fluxwatch.db");
        fs::write(bench.config(), text).expect("written");
    } else {
        let closed = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o500);
        fs::set_permissions(bench.path(), closed).expect("closed");
    }
    let output = bench.command(&["poll"]).output().expect("it runs");
    let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
    fs::set_permissions(bench.path(), open).expect("opened");
    assert_eq!(output.status.code(), Some(4), "{}", both(&output));
    assert!(
        both(&output).contains("stderr: error: database "),
        "{}",
        both(&output)
    );
}

#[test]
fn flipped_octet_and_cut_log_are_named_or_do_no_harm() {
    if has_no_file() {
        return;
    }
    let bench = bench_of(200, 20, "");
    let path = bench.path().join("fluxwatch.db");
    let sound = fs::read(&path).expect("readable");
    // In the middle of a page of records: SQLite reads on, the hashes do not agree.
    let needle = [10, 0, 77, 5];
    let place = sound
        .windows(4)
        .position(|it| it == needle)
        .expect("the record is there");
    let mut flipped = sound.clone();
    flipped[place + 2] ^= 0x55;
    fs::write(&path, &flipped).expect("written");
    let output = bench.command(&["db", "verify"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(4), "{}", both(&output));
    // In the head of a page: SQLite itself says so.
    let mut torn = sound.clone();
    let middle = sound.len() / 4096 / 2 * 4096;
    torn[middle..middle + 64].fill(0xa5);
    fs::write(&path, &torn).expect("written");
    let output = bench.command(&["db", "verify"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(4), "{}", both(&output));
    assert!(!both(&output).contains("panicked"), "{}", both(&output));
    fs::write(&path, &sound).expect("written");
    // A log that was cut off is what a power cut leaves: the last commits are gone, whole.
    bench.write("f.ndjson", feed(220, 20));
    cut_log(&bench, &path);
    let text = bench.run(0, &["db", "verify"]);
    assert!(text.starts_with("sound"), "{text}");
    bench.run(0, &["poll"]);
    check_sound(&bench, 221);
}

/// Polls, kills the poller's log off in the middle, and leaves what is then on the disk.
fn cut_log(bench: &Bench, path: &Path) {
    // A reader that stays keeps the log from being moved into the database.
    let program = "
import os, sqlite3, subprocess, sys
db = sqlite3.connect(sys.argv[1]); db.execute('begin'); db.execute('select count(*) from version').fetchone()
subprocess.run([sys.argv[2], '--config', sys.argv[3], 'poll'], check=True, stdout=subprocess.DEVNULL)
wal = sys.argv[1] + '-wal'; size = os.path.getsize(wal); data = open(wal, 'rb').read(); base = open(sys.argv[1], 'rb').read()
db.close()
open(sys.argv[1], 'wb').write(base); open(wal, 'wb').write(data[:size * 2 // 3])
os.path.exists(sys.argv[1] + '-shm') and os.remove(sys.argv[1] + '-shm')
print(size)
";
    let fluxwatch = Path::new(env!("CARGO_BIN_EXE_fluxwatch"));
    let size = python(program, &[path, fluxwatch, &bench.config()]);
    assert!(
        size.trim().parse::<u64>().is_ok_and(|size| size > 100_000),
        "{size}"
    );
}
