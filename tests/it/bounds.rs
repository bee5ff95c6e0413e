//! Files and feeds that cost more than they should: each stops at a named limit, and the rest goes on.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::harness::{Bench, Running, both};
use crate::servers::Knot;
use crate::support::sources::{source, zone};
use crate::support::stores::has_no_file;

const SOA: &str = "@ 60 IN SOA ns1 host 7 3600 600 86400 300\n";
const ZONEFILE: &str = "[[source]]\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"zone\"\nrequire_final_newline = false\n";
const FEED: &str =
    "[[source]]\nname = \"f\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"feed\"\n";

/// Makes a pipe with a name.
fn make_pipe(path: &Path) {
    let status = Command::new("mkfifo").arg(path).status();
    assert!(status.expect("mkfifo is there").success());
}

/// Compresses octets into one gzip member.
fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(octets).expect("memory");
    encoder.finish().expect("memory")
}

/// Polls the zone file under limits, and expects it to be refused at the limit of this name.
fn refused_at(limits: &str, file: &[u8], key: &str) -> Duration {
    let bench = Bench::new(&format!("[limits]\n{limits}\n{ZONEFILE}"));
    bench.write("zone", file);
    let started = Instant::now();
    bench.run(3, &["poll"]);
    let took = started.elapsed();
    let row = bench.status("example.");
    assert_eq!(row["refused_reason"], "limit", "{row}");
    let sentence = row["last_error"].as_str().expect("a sentence");
    assert!(sentence.contains(key), "{sentence}");
    took
}

#[test]
fn a_pipe_where_a_file_is_expected_is_refused_at_once() {
    let feed = FEED.replace("example.", "other.");
    let bench = Bench::new(&format!("{ZONEFILE}include = true\n{feed}"));
    make_pipe(&bench.path().join("zone"));
    make_pipe(&bench.path().join("feed"));
    make_pipe(&bench.path().join("pipe"));
    let text = bench.run(3, &["poll"]);
    assert_eq!(
        text.matches("is a pipe (FIFO), not a file").count(),
        2,
        "{text}"
    );
    assert_eq!(bench.status("example.")["refused_reason"], "unreadable");

    fs::remove_file(bench.path().join("zone")).expect("there");
    bench.write("zone", format!("{SOA}$INCLUDE pipe\n"));
    let text = bench.run(3, &["poll"]);
    assert!(
        text.contains("$INCLUDE") && text.contains("pipe (FIFO)"),
        "{text}"
    );

    let pipe = bench.path().join("pipe");
    let pipe = pipe.to_str().expect("text");
    for arguments in [
        &["import", "feed", pipe][..],
        &["import", "pdns", "--source", "p", pipe],
        &["import", "zonefile", "--zone", "example.", pipe],
        &["verify-evidence", pipe],
        &["--config", pipe, "status"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_fluxwatch"))
            .current_dir(bench.path())
            .args(arguments)
            .output()
            .expect("started");
        assert!(
            both(&output).contains("is a pipe (FIFO)"),
            "{arguments:?} {}",
            both(&output)
        );
    }
}

#[test]
fn a_database_that_is_a_pipe_is_refused_at_once() {
    if has_no_file() {
        return;
    }
    let bench = Bench::new("");
    make_pipe(&bench.path().join("fluxwatch.db"));
    for (status, arguments) in [
        (4, &["status"][..]),
        (4, &["poll"]),
        (2, &["config", "check"]),
    ] {
        let output = bench.command(arguments).output().expect("started");
        let said = both(&output);
        assert!(
            said.contains("fluxwatch.db") && said.contains("is a pipe"),
            "{said}"
        );
        assert_eq!(output.status.code(), Some(status), "{said}");
    }
}

#[test]
fn what_the_configuration_names_is_checked_to_be_a_file() {
    for (key, section) in [
        ("enrich.asn", "[enrich]\nasn = \"pipe\"\n"),
        (
            "enrich.registrations",
            "[enrich]\nregistrations = \"pipe\"\n",
        ),
        (
            "key.secret_file",
            "[[key]]\nname = \"k.\"\nsecret_file = \"pipe\"\n",
        ),
        (
            "source.domains",
            "[[source]]\nname = \"p\"\nkind = \"probe\"\ndomains = \"pipe\"\nresolvers = [\"127.0.0.1:5399\"]\n",
        ),
        (
            "source.path",
            "[[source]]\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"pipe\"\n",
        ),
        (
            "source.path",
            "[[source]]\nname = \"f\"\nkind = \"feed\"\npath = \"pipe\"\n",
        ),
    ] {
        let bench = Bench::new(section);
        make_pipe(&bench.path().join("pipe"));
        let output = bench
            .command(&["config", "check"])
            .output()
            .expect("started");
        let said = both(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(key) && said.contains("pipe"), "{said}");
        assert!(
            said.contains("is no file") || said.contains("is a pipe"),
            "{said}"
        );
    }
}

#[test]
fn a_spool_passes_over_what_is_no_file_and_says_so() {
    let bench = Bench::new(FEED);
    let line = "{\"at\":1795000000,\"rrname\":\"a.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"rdata\":[\"ns1.test.\"]}\n";
    bench.write("feed/1.ndjson", line);
    make_pipe(&bench.path().join("feed/2.ndjson"));
    symlink("/dev/zero", bench.path().join("feed/3.ndjson")).expect("linked");
    let output = bench
        .command(&["poll"])
        .env("FLUXWATCH_LOG", "warn")
        .output()
        .expect("started");
    assert_eq!(output.status.code(), Some(0), "{}", both(&output));
    let said = both(&output);
    assert!(
        said.contains("passed over 2 entries") && said.contains("2.ndjson is a pipe"),
        "{said}"
    );
    assert!(bench.path().join("feed/done/1.ndjson").exists());
}

#[test]
fn gzip_members_of_one_octet_cost_no_more_than_their_number() {
    let comment = gzip(b"x").repeat(60_000);
    let file = [
        gzip(format!("{SOA}a NS ns1\n;").as_bytes()),
        comment,
        gzip(b"\n"),
    ]
    .concat();
    let bench = Bench::new(ZONEFILE);
    bench.write("zone", &file);
    let started = Instant::now();
    bench.run(0, &["poll"]);
    // The square of it took a minute in this build.
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
    refused_at("gzip_members = 50000", &file, "limits.gzip_members = 50000");
}

#[test]
fn what_decompression_makes_of_little_is_limited() {
    let blank = [&[b' '; 1000][..], b"\n"].concat().repeat(20 << 10);
    let text = [SOA.as_bytes(), b"a NS ns1\n;", &blank, b"\n"].concat();
    refused_at("", &gzip(&text), "limits.ratio = 200");
    let zstd = zstd::encode_all(&text[..], 1).expect("memory");
    refused_at("", &zstd, "limits.ratio = 200");
    let idle = b"\x50\x2a\x4d\x18\x04\x00\x00\x00none".repeat(6 << 20);
    let text = [idle, zstd::encode_all(&text[..], 1).expect("memory")].concat();
    refused_at("", &text, "compressed data that hold no text");
}

#[test]
fn what_generate_makes_is_limited_in_octets_and_in_time() {
    let words = "$ ".repeat(20_000);
    let text = format!("{SOA}$GENERATE 0-65535 a$ TXT {words}\na NS ns1\n");
    let limit = "generate_octets = 1000000";
    refused_at(limit, text.as_bytes(), "limits.generate_octets = 1000000");
    let took = refused_at(
        "generate_octets = 1000000000000\nfile = \"1s\"",
        text.as_bytes(),
        "limits.file = 1s",
    );
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn a_feed_is_read_no_longer_than_the_limit() {
    let bench = Bench::new("[limits]\nratio = 1000000\nfile = \"1s\"\n");
    let lines = zstd::encode_all(&vec![b'\n'; 64 << 20][..], 1).expect("memory");
    let path = bench.write("lines.zst", lines);
    let path = path.to_str().expect("text");
    for arguments in [
        &["import", "feed", path][..],
        &["import", "pdns", "--source", "p", path],
    ] {
        let text = bench.run(3, arguments);
        assert!(text.contains("limits.file = 1s"), "{text}");
    }
}

/// A zone with one RRset of so many records, and another owner between each two of them, or none.
fn zone_of_rrset(serial: u32, records: u32, scattered: bool) -> String {
    let mut text = zone(serial, 1);
    for n in 0..records {
        text.push_str(&format!("many A 198.51.100.{n}\n"));
        if scattered {
            text.push_str(&format!("o{n} A 192.0.2.1\n"));
        }
    }
    text
}

#[test]
fn an_rrset_of_too_many_records_refuses_the_file() {
    for scattered in [false, true] {
        let text = zone_of_rrset(1, 11, scattered);
        refused_at(
            "rrset_records = 10",
            text.as_bytes(),
            "limits.rrset_records = 10",
        );
        let bench = Bench::new(&format!("[limits]\nrrset_records = 10\n{ZONEFILE}"));
        bench.write("zone", zone_of_rrset(1, 10, scattered));
        bench.run(0, &["poll"]);
        // It grows: in the second version only the scattered part of it is new.
        bench.write("zone", zone_of_rrset(2, 11, scattered));
        bench.run(3, &["poll"]);
        assert_eq!(bench.status("example.")["serial"], 1);
    }
}

#[test]
fn an_rrset_of_too_many_records_refuses_transfer_and_steps() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let knot = Knot::start(folder.path(), &[("example.", &zone_of_rrset(1, 9, false))]);
    let bench = Bench::new("");
    let limits = "[limits]\nrrset_records = 10\n";
    let transfer = source("example.", &[knot.address()], true);
    bench.configure(&format!("{limits}{}{transfer}", bench.key_section()));
    bench.run(0, &["poll"]);
    knot.replace_zone("example.", &zone_of_rrset(2, 12, false));
    for arguments in [&["poll"][..], &["poll", "--full"]] {
        bench.run(3, arguments);
        let row = bench.status("example.");
        assert_eq!(
            (&row["refused_reason"], &row["serial"]),
            (&"limit".into(), &1.into())
        );
        assert!(
            row["last_error"].to_string().contains("many.example. A: "),
            "{row}"
        );
    }
}

#[test]
fn a_feed_line_that_makes_an_rrset_too_large_is_set_aside() {
    let bench = Bench::new(&format!("[limits]\nrrset_records = 10\n{FEED}"));
    let line = |n: u32| {
        let at = 1_795_000_000 + n;
        format!(
            "{{\"at\":{at},\"rrname\":\"a.example.\",\"rrtype\":\"A\",\"op\":\"add\",\"rdata\":[\"192.0.2.{n}\"]}}\n"
        )
    };
    bench.write("feed", (1..=12).map(line).collect::<String>());
    bench.run(3, &["poll"]);
    assert_eq!(bench.status("example.")["records"], 10);
    let rejected = bench.json(&["import", "rejected", "--format", "json"]);
    let rejected = rejected.as_array().expect("a list");
    assert_eq!(rejected.len(), 2);
    let reason = rejected[0]["reason"].as_str().expect("text");
    assert!(reason.contains("limits.rrset_records = 10"), "{reason}");
}

/// Returns how many lines were set aside, by `status`.
fn set_aside(bench: &Bench) -> u64 {
    let rows = bench.json(&["status", "--format", "json"]);
    rows[0]["rejected_lines"].as_u64().expect("a number")
}

#[test]
fn lines_that_cannot_be_read_are_set_aside_many_at_a_time() {
    let bench = Bench::new(FEED);
    let lines: String = (0..3000).map(|n| format!("bad {n}\n")).collect();
    bench.write("feed", &lines);
    let started = Instant::now();
    bench.run(3, &["poll"]);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(set_aside(&bench), 3000);
}

#[test]
fn a_killed_pass_sets_no_line_aside_twice() {
    let bench = Bench::new(FEED);
    let lines: String = (0..300_000).map(|n| format!("bad {n}\n")).collect();
    bench.write("feed", &lines);
    for wait_ms in [150, 300, 600] {
        let running = Running::start(&bench, &["poll"]);
        std::thread::sleep(Duration::from_millis(wait_ms));
        drop(running);
    }
    // Where the machine is fast, the last of the killed passes had come to the end.
    bench.command(&["poll"]).output().expect("started");
    assert_eq!(set_aside(&bench), 300_000);
    bench.run(0, &["poll"]);
    assert_eq!(set_aside(&bench), 300_000);
}

#[test]
fn a_last_line_without_end_is_set_aside_once_it_is_too_long() {
    let bench = Bench::new(FEED);
    let line = |host: &str, at: u32| {
        format!(
            "{{\"at\":{at},\"rrname\":\"a.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"rdata\":[\"{host}.\"]}}\n"
        )
    };
    let mut feed = format!("{}{}", line("ns1.test", 1_795_000_000), "x".repeat(100_000));
    bench.write("feed", &feed);
    bench.run(0, &["poll"]);
    assert_eq!(set_aside(&bench), 0, "it may still be written");
    feed.push_str(&"x".repeat(300_000));
    bench.write("feed", &feed);
    bench.run(3, &["poll"]);
    feed.push_str(&"x".repeat(300_000));
    bench.write("feed", &feed);
    // What has come of the line since is passed over, and the end of it too.
    bench.run(0, &["poll"]);
    feed.push_str(&format!("x\n{}", line("ns2.test", 1_795_000_100)));
    bench.write("feed", &feed);
    bench.run(0, &["poll"]);
    assert_eq!(set_aside(&bench), 1);
    let history = bench.run(0, &["history", "a.example"]);
    assert!(history.contains("ns2.test"), "{history}");
}
