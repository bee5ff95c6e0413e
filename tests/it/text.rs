//! Zone files, feeds and passive DNS as real writers leave them: cut, odd, compressed, rotated.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::harness::Bench;

/// Returns a file of `tests/fixtures/faults`.
fn fault(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/faults");
    folder.join(name).to_string_lossy().into_owned()
}

/// Imports a zone file of `example.` as of a day of November 2026 and returns stderr and stdout.
fn import(bench: &Bench, status: i32, day: u32, more: &[&str]) -> String {
    let at = format!("2026-11-{day:02}");
    let arguments = [
        &["import", "zonefile", "--zone", "example.", "--at", &at][..],
        more,
    ]
    .concat();
    bench.run(status, &arguments)
}

/// Returns how many records `example.` has now.
fn records(bench: &Bench) -> u64 {
    bench.status("example.")["records"]
        .as_u64()
        .expect("a number")
}

/// Returns the lines that were set aside, oldest first.
fn rejected(bench: &Bench) -> Vec<Value> {
    let rows = bench.json(&["import", "rejected", "--format", "json"]);
    let mut rows = rows.as_array().expect("a list").clone();
    rows.reverse();
    rows
}

/// Compresses text.
fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).expect("memory");
    gzip.finish().expect("memory")
}

#[test]
fn a_file_that_says_itself_that_it_is_cut_deletes_nothing() {
    for (whole, cuts) in [
        (
            "dig-1-whole.zone",
            &["dig-2-cut.zone", "dig-2-cut-old.zone"][..],
        ),
        ("quote-1-good.zone", &["quote-2-unclosed.zone"]),
    ] {
        let bench = Bench::new("");
        import(&bench, 0, 1, &[&fault(whole)]);
        let before = records(&bench);
        for (cut, day) in cuts.iter().zip(2..) {
            import(&bench, 3, day, &[&fault(cut)]);
            assert_eq!(records(&bench), before, "{cut}");
            let row = bench.status("example.");
            let error = row["last_error"].as_str().expect("a sentence");
            assert!(error.contains("line "), "{cut}: {error}");
        }
    }
}

#[test]
fn a_dump_without_comments_is_cut_if_the_last_one_of_its_source_was_closed() {
    let bench = Bench::new("");
    let whole = fs::read_to_string(fault("dig-1-whole.zone")).expect("the fixture is there");
    let bare: Vec<&str> = whole
        .lines()
        .filter(|line| !line.starts_with(';'))
        .collect();
    let path = bench.write("whole.zone", bare.join("\n") + "\n");
    // Its closing SOA is whole by itself, newline or not.
    let path_unended = bench.write("unended.zone", bare.join("\n"));
    let cut = bench.write("cut.zone", bare[..bare.len() - 2].join("\n") + "\n");
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    import(&bench, 0, 1, &[&text(&path)]);
    import(&bench, 0, 2, &[&text(&path_unended)]);
    let before = records(&bench);
    import(&bench, 3, 3, &[&text(&cut)]);
    assert_eq!(records(&bench), before);
    assert_eq!(bench.status("example.")["refused_reason"], "ended-early");
    // Another writer: accepted once, it is the rule from then on.
    import(&bench, 0, 4, &["--accept", &text(&cut)]);
    import(&bench, 0, 5, &[&text(&cut)]);
    assert_eq!(records(&bench), before - 1);
}

#[test]
fn odd_files_of_real_writers_are_taken() {
    for (file, more, count) in [
        ("nsap-ptr.zone", &[][..], 3),
        ("generate-nibble.zone", &[], 5),
        ("latin1-owner.zone", &[], 3),
        ("no-final-newline.zone", &["--no-final-newline"], 3),
        ("gz-without-suffix.zone", &[], 2),
    ] {
        let bench = Bench::new("");
        import(&bench, 0, 1, &[more, &[&fault(file)]].concat());
        assert_eq!(records(&bench), count, "{file}");
    }
    let bench = Bench::new("");
    import(&bench, 0, 1, &[&fault("latin1-owner.zone")]);
    let found = bench.json(&["history", "b\\228d.example", "--format", "json"]);
    assert_eq!(found["records"][0]["rdata"], "ns1.a.test.");
    let bench = Bench::new("");
    import(&bench, 0, 1, &[&fault("generate-nibble.zone")]);
    let found = bench.json(&["history", "2.0.example", "--format", "json"]);
    assert_eq!(found["records"][0]["rdata"], "h2.a.test.");
}

#[test]
fn what_cannot_be_taken_says_what_it_is_and_what_helps() {
    for (file, words) in [
        ("bind-raw.zone", "in BIND's raw format"),
        ("no-final-newline.zone", "require_final_newline = false"),
    ] {
        let bench = Bench::new("");
        import(&bench, 3, 1, &[&fault(file)]);
        let row = bench.status("example.");
        let error = row["last_error"].as_str().expect("a sentence");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn types_and_forms_that_servers_write_are_read() {
    let bench = Bench::new("");
    // SOA in the unknown form: ns1. host. 7 3600 600 86400 300.
    let zone = "$TTL 0s\nexample. 1d IN TYPE6 \\# 31 036e733100 04686f737400 00000007 00000e10 00000258 00015180 0000012c\nexample. NS ns1.a.test.\nwww ALIAS other.test.\napex ANAME other.test.\ngeo LUA A \"ifportup(443, {'192.0.2.1'})\"\nw WINS 192.0.2.1\nw WINS-R L2 C3 example.\nx TYPE65280 \\# 1 00\nok 0s IN A 192.0.2.1\n";
    let path = bench.write("z.zone", zone);
    import(&bench, 0, 1, &[&path.to_string_lossy()]);
    let row = bench.status("example.");
    assert_eq!(
        (&row["records"], &row["serial"]),
        (&Value::from(2), &Value::from(7))
    );
    for (line, words) in [
        ("x AXFR y\n", "AXFR is a type of queries"),
        ("x TYPE250 \\# 0\n", "TYPE250 is a type of queries"),
        ("x 60 ANY A 192.0.2.1\n", "class ANY"),
        ("x NONE A 192.0.2.1\n", "class NONE"),
    ] {
        let path = bench.write("meta.zone", format!("{zone}{line}"));
        import(&bench, 3, 2, &[&path.to_string_lossy()]);
        let row = bench.status("example.");
        let error = row["last_error"].as_str().expect("a sentence");
        assert!(
            error.contains(words) && error.contains("line 11"),
            "{error}"
        );
    }
}

#[test]
fn rdata_that_is_none_of_its_type_is_set_aside_and_listed() {
    let bench = Bench::new("");
    bench.run(3, &["import", "feed", &fault("feed-ns-with-glue.ndjson")]);
    let rows = rejected(&bench);
    let numbers: Vec<&Value> = rows.iter().map(|row| &row["line"]).collect();
    assert_eq!(numbers, [1, 2, 3]);
    for row in &rows {
        let reason = row["reason"].as_str().expect("a sentence");
        assert!(reason.contains("is not one name"), "{reason}");
        assert!(
            row["text"]
                .as_str()
                .is_some_and(|text| text.starts_with("{\"at\""))
        );
        assert_eq!(
            (&row["source"], &row["kind"]),
            (&Value::from("import"), &Value::from("unreadable"))
        );
    }
    assert_eq!(records(&bench), 1, "line 4 was taken");
    let passive = bench.write(
        "p.ndjson",
        "{\"rrname\":\"a.example.\",\"rrtype\":\"NS\",\"rdata\":\"ns1.a. ns2.a.\",\"time_first\":1,\"time_last\":2}\n{\"rrname\":\"a\u{1b}[2J.example.\",\"rrtype\":\"A\",\"rdata\":\"192.0.2.1\",\"time_first\":1,\"time_last\":2}\n",
    );
    bench.run(
        3,
        &[
            "import",
            "pdns",
            "--zone",
            "example.",
            &passive.to_string_lossy(),
        ],
    );
    let table = bench.run(0, &["import", "rejected", "passive-dns"]);
    assert!(
        table.contains("is not one name") && table.contains("\\u{1b}"),
        "{table}"
    );
    assert!(
        !table.contains('\u{1b}'),
        "nothing in a line steers the terminal"
    );
    assert_eq!(
        bench
            .run(
                0,
                &["import", "rejected", "--limit", "2", "--format", "ndjson"]
            )
            .lines()
            .count(),
        2
    );
    bench.run(1, &["import", "rejected", "nobody"]);
}

/// A line of a feed about one name.
fn line(name: &str, minute: u32) -> String {
    format!(
        "{{\"at\":\"2026-11-01T00:{minute:02}:00Z\",\"zone\":\"example.\",\"rrname\":\"{name}.example.\",\"rrtype\":\"NS\",\"op\":\"add\",\"rdata\":[\"ns1.{name}.test.\"]}}\n"
    )
}

#[test]
fn a_feed_goes_on_through_names_that_keep_the_extension() {
    for rotated in ["changes.1.ndjson", "changes-20261101.ndjson"] {
        let bench =
            Bench::new("[[source]]\nname = \"f\"\nkind = \"feed\"\npath = \"changes.ndjson\"\n");
        let path = bench.write("changes.ndjson", line("a", 0));
        // Another feed in the same folder, written later.
        bench.write("changes-eu.ndjson", "not this feed's\n");
        bench.run(0, &["poll"]);
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .expect("it is there");
        file.write_all(line("b", 1).as_bytes()).expect("written");
        file.set_modified(SystemTime::now() - Duration::from_secs(60))
            .expect("the time can be set");
        fs::rename(&path, bench.path().join(rotated)).expect("renamed");
        bench.write("changes.ndjson", line("c", 2));
        bench.run(0, &["poll"]);
        assert_eq!(records(&bench), 3, "{rotated}");
    }
}

#[test]
fn feeds_are_decompressed_by_their_first_octets() {
    let bench = Bench::new(
        "[[source]]\nname = \"f\"\nkind = \"feed\"\npath = \"spool\"\n\n[[source]]\nname = \"g\"\nkind = \"feed\"\nzone = \"other.\"\npath = \"followed\"\n",
    );
    bench.write("spool/1", gzip(&line("a", 0)));
    bench.write(
        "spool/2",
        zstd::encode_all(line("b", 1).as_bytes(), 1).expect("memory"),
    );
    bench.write("spool/3", line("c", 2));
    bench.write("followed", gzip(&line("d", 3)));
    let listing = bench.run(3, &["poll"]);
    assert_eq!(records(&bench), 3, "{listing}");
    assert!(listing.contains("compressed by gzip"), "{listing}");
    let packed = bench.write("by-hand", gzip(&line("e", 4)));
    bench.run(0, &["import", "feed", &packed.to_string_lossy()]);
    assert_eq!(records(&bench), 4);
}

#[test]
fn a_folder_that_was_moved_is_one_sentence() {
    let bench = Bench::new(
        "[[source]]\nname = \"s\"\nkind = \"feed\"\nzone = \"a.\"\npath = \"spool\"\n\n[[source]]\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"zones/*.zone\"\ntime_pattern = \"%Y%m%d.zone\"\n",
    );
    fs::create_dir(bench.path().join("spool")).expect("made");
    for day in 1..=30 {
        bench.write(
            &format!("real/202611{day:02}.zone"),
            "@ SOA a b 1 1 1 1 1\n@ NS ns1.test.\n",
        );
    }
    let link = |name: String| {
        let target = bench.path().join("real").join(&name);
        std::os::unix::fs::symlink(target, bench.path().join("zones").join(&name)).expect("linked");
    };
    fs::create_dir(bench.path().join("zones")).expect("made");
    (1..=28).for_each(|day| link(format!("202611{day:02}.zone")));
    bench.run(0, &["poll"]);
    let shows = |words: &str| {
        let listing = bench.run(3, &["poll"]);
        let status = bench.run(0, &["status", "--format", "csv"]);
        assert!(status.contains(words), "{status}");
        assert!(listing.lines().count() < 12, "{listing}");
    };
    // What the links lead to is away, then the folder of the links.
    fs::rename(bench.path().join("real"), bench.path().join("moved")).expect("renamed");
    shows("27 more files the same");
    fs::rename(bench.path().join("zones"), bench.path().join("zones.old")).expect("renamed");
    shows("zones is not there; was it moved, or is it not mounted?");
    fs::rename(bench.path().join("spool"), bench.path().join("spool.old")).expect("renamed");
    let listing = bench.run(3, &["poll"]);
    assert!(listing.contains("spool"), "{listing}");
    assert!(
        !bench.path().join("spool").exists(),
        "a spool that was moved is not made anew"
    );
}
