//! Log lines: their priorities in systemd's journal, JSON, and a pass that says nothing while all is well.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use crate::harness::{Bench, Running, both};
use crate::support::wait::until;

/// A zone file that is sound.
const ZONE: &str = "$ORIGIN example.\n@ 300 IN SOA ns. h. 1 2 3 4 5\n@ 300 IN NS ns.other.test.\na 300 IN NS ns.other.test.\n";
/// The source that reads it.
const SOURCE: &str = "[[source]]\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z.zone\"\nevery = \"1s\"\n";

/// Returns a place with a zone file that is sound, and a configuration that reads it.
fn bench() -> Bench {
    let bench = Bench::new("");
    bench.write("z.zone", ZONE);
    bench.configure(SOURCE);
    bench
}

/// Runs a command with stderr as a journal or beside one, and returns what it wrote there.
fn written(bench: &Bench, is_journal: bool, arguments: &[&str]) -> String {
    let path = bench.path().join("stderr");
    let file = File::create(&path).expect("a file can be made");
    let meta = file.metadata().expect("it is there");
    let inode = meta.ino() + u64::from(!is_journal);
    let stream = format!("{}:{inode}", meta.dev());
    let mut command = bench.command(arguments);
    command.env("JOURNAL_STREAM", stream).stderr(file);
    command.output().expect("the program can be started");
    fs::read_to_string(path).expect("text")
}

#[test]
fn each_line_in_the_journal_has_its_priority_and_no_time() {
    let bench = bench();
    let lines = written(&bench, true, &["-v", "poll"]);
    assert!(lines.contains("<6> INFO zone example.: "), "{lines}");
    fs::remove_file(bench.path().join("z.zone")).expect("it is there");
    let lines = written(&bench, true, &["-v", "poll"]);
    let line = lines.lines().find(|it| it.starts_with("<3>ERROR "));
    assert!(line.is_some_and(|it| it.contains("z.zone")), "{lines}");
    let lines = written(&bench, true, &["status", "b.example"]);
    assert!(lines.lines().all(|it| it.starts_with("<3>")), "{lines}");
    let lines = written(&bench, false, &["-v", "poll"]);
    assert!(!lines.contains("<3>") && lines.starts_with("20"), "{lines}");
}

#[test]
fn text_does_not_repeat_what_its_sentence_says_and_json_has_every_field() {
    let bench = bench();
    let text = written(&bench, false, &["-v", "poll"]);
    let line = text.lines().find(|it| it.contains("zone example.: "));
    let line = line.expect("a line of the zone");
    assert!(
        line.contains("1 version, ") && line.contains(" source=z"),
        "{line}"
    );
    assert!(
        !line.contains("versions=") && !line.contains("zone=\""),
        "{line}"
    );
    bench.write("z.zone", ZONE.replace(" 1 2 3", " 2 2 3"));
    bench.configure(&format!("[log]\nformat = \"json\"\n{SOURCE}"));
    let text = written(&bench, false, &["-v", "poll", "--full"]);
    let of_zone = text.lines().find_map(|line| {
        let read: Value = serde_json::from_str(line).ok()?;
        (read["zone"] == "example.").then_some(read)
    });
    let line = of_zone.unwrap_or_else(|| panic!("{text}"));
    assert_eq!(
        (&line["level"], &line["versions"]),
        (&"INFO".into(), &1.into()),
        "{line}"
    );
    assert!(
        line["message"]
            .as_str()
            .is_some_and(|it| it.starts_with("zone example.: 1 version"))
    );
    assert!(line["timestamp"].is_string(), "{line}");
}

#[test]
fn quiet_pass_prints_only_what_failed() {
    let bench = bench();
    for _ in 0..2 {
        let output = bench.command(&["poll", "--quiet"]).output().expect("runs");
        assert_eq!(output.status.code(), Some(0), "{}", both(&output));
        assert_eq!(
            (output.stdout.len(), output.stderr.len()),
            (0, 0),
            "{}",
            both(&output)
        );
    }
    bench.write("z.zone", &ZONE[..ZONE.len() - 20]);
    let output = bench.command(&["poll", "--quiet"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(3), "{}", both(&output));
    assert!(both(&output).contains("refused ("), "{}", both(&output));
    assert!(
        !both(&output).contains("No domain is suspected"),
        "{}",
        both(&output)
    );
}

#[test]
fn zone_that_was_refused_has_a_line_when_it_is_seen_again() {
    let bench = bench();
    bench.write("z.zone", "$ORIGIN example.\n@ 300 IN NS \"\n");
    let running = Running::start(&bench, &["run"]);
    until("the refusal", || {
        running.log().contains("ERROR zone example.: ")
    });
    bench.write("z.zone", ZONE);
    until("the zone", || {
        running
            .log()
            .contains("zone example.: seen again; it was refused before (")
    });
    running.stop();
}
