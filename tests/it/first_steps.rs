//! What a stranger meets in the first hour: with the sample, and with a zone of his own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use crate::generator::generate;
use crate::harness::Bench;
use crate::support::sample::{COMMITTED, bench_with};

/// Returns the sample after its first poll.
fn polled_sample() -> Bench {
    let bench = bench_with(&generate(COMMITTED));
    bench.run(0, &["poll"]);
    bench
}

/// Returns the reference and the domain of a case of a level.
fn case_of_level(bench: &Bench, level: &str) -> (String, String) {
    let cases = bench.cases();
    let case = cases.iter().find(|it| it["level"] == level);
    let case = case.unwrap_or_else(|| panic!("no case at {level}: {cases:?}"));
    let domain = case["domain"].as_str().expect("text").trim_end_matches('.');
    (
        format!("FW-{:06}", case["id"].as_i64().expect("a number")),
        domain.to_owned(),
    )
}

#[test]
fn step_that_ends_a_reported_case_says_that_a_closure_is_mailed() {
    let bench = polled_sample();
    let (reported, _) = case_of_level(&bench, "report");
    let (watched, _) = case_of_level(&bench, "watch");
    let step = |case: &str, more: &[&str]| {
        let arguments = ["cases", "dismiss", case, "--reason", "test", "--by", "ada"];
        bench.run_stderr(0, &[&arguments, more].concat())
    };
    let before = bench.maildir().len();
    let would = step(&reported, &["--dry-run"]);
    assert!(would.contains("a closure would be mailed to "), "{would}");
    assert_eq!(bench.maildir().len(), before);
    let done = step(&reported, &[]);
    assert!(done.contains("a closure is mailed to "), "{done}");
    assert_eq!(bench.maildir().len(), before + 1);
    // Nobody was told of the other one.
    let done = step(&watched, &[]);
    assert!(!done.contains("closure"), "{done}");
    assert_eq!(bench.maildir().len(), before + 1);
    for command in ["dismiss", "close"] {
        let help = bench.run(0, &["cases", command, "--help"]);
        assert!(help.contains("a closure is mailed"), "{help}");
    }
}

#[test]
fn placeholders_of_an_example_are_refused_with_a_cure() {
    let bench = polled_sample();
    let (case, _) = case_of_level(&bench, "report");
    let dismiss = ["cases", "dismiss", &case, "--reason", "test"];
    for (more, cure) in [
        (&["--by", "YOU"][..], "pass your own name"),
        (&["--by", "..."], "pass your own name"),
        (&["--by", "ada", "--note", "..."], "write your own words"),
        (&["--by", "ada", "--note", "'…'"], "write your own words"),
    ] {
        let said = bench.run_stderr(2, &[&dismiss, more].concat());
        assert!(said.contains(cure), "{more:?}: {said}");
    }
    let exempt = [
        "exempt",
        "add",
        "domain",
        "a.example",
        "--by",
        "ada",
        "--reason",
        "...",
    ];
    assert!(
        bench
            .run_stderr(2, &exempt)
            .contains("write your own words")
    );
    let log = bench.run(0, &["cases", "log", &case]);
    assert!(!log.contains("dismissed"), "{log}");
}

#[test]
fn reference_of_a_case_stands_for_its_domain() {
    let bench = polled_sample();
    let (case, domain) = case_of_level(&bench, "report");
    for (before, after) in [
        (&["explain"][..], &[][..]),
        (&["history"], &[]),
        (&["diff"], &["2026-11-01T12:00:00Z", "2026-11-02T12:00:00Z"]),
    ] {
        let of = |name: &str| bench.run(0, &[before, &[name], after].concat());
        assert_eq!(of(&case), of(&domain), "{before:?}");
        assert_eq!(of(&case.to_lowercase()), of(&domain), "{before:?}");
    }
    let said = bench.run_stderr(1, &["explain", "FW-000099"]);
    assert!(said.contains("no case FW-000099"), "{said}");
    for more in [&[][..], &["--at", "2026-11-02T12:00:00Z"]] {
        let asked = [&["explain", "bad.elsewhere.invalid"], more].concat();
        let said = bench.run_stderr(1, &asked);
        assert!(said.contains("lies in no zone that is watched"), "{said}");
        assert!(
            said.contains("`fluxwatch status` lists the zones"),
            "{said}"
        );
    }
}

#[test]
fn preview_of_what_was_never_sent_says_so_before_the_mail() {
    let bench = polled_sample();
    let (watched, _) = case_of_level(&bench, "watch");
    let preview =
        |case: &str| bench.run_stderr(0, &["report", "preview", case, "--format", "text"]);
    let said = preview(&watched);
    assert!(
        said.starts_with(&format!(
            "not sent: no mail about case {watched}, at level watch"
        )),
        "{said}"
    );
    let (reported, _) = case_of_level(&bench, "report");
    assert_eq!(preview(&reported), "");
}

#[test]
fn lists_that_are_cut_or_empty_say_so() {
    let bench = polled_sample();
    let (_, domain) = case_of_level(&bench, "report");
    let told = bench.run(0, &["explain", &domain]);
    let more = told
        .lines()
        .find(|line| line.contains(" more: fluxwatch history "));
    let more = more.unwrap_or_else(|| panic!("{told}"));
    let (_, command) = more.split_once("fluxwatch ").expect("a command");
    let changes = bench.run(0, &command.split(' ').collect::<Vec<_>>());
    assert!(changes.contains("Changes, newest first"), "{changes}");
    for (command, says) in [
        (&["report", "list"][..], "no draft waits for approval"),
        (&["outbox", "list"], "no message waits"),
        (&["exempt", "list"], "no exemption is in force"),
        (&["import", "rejected"], "no line was set aside"),
        (&["tokens", "list"], "there is no token"),
    ] {
        let said = bench.run(0, command);
        assert!(said.starts_with(says), "{command:?}: {said}");
    }
}

#[test]
fn check_of_a_configuration_says_its_faults_and_nothing_between_them() {
    let bench = Bench::new(
        "[[source]]\nname = \"a\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"none/a.zone\"\n",
    );
    let printed = bench.run(2, &["config", "check"]);
    assert_eq!(printed, "");
    let bench = Bench::new(
        "[[source]]\nname = \"a\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"a.zone\"\n",
    );
    let printed = bench.run(0, &["config", "check"]);
    let first = printed.lines().next().unwrap_or_default();
    assert!(
        first.contains("no errors; 1 source, 0 keys; no mail is sent"),
        "{printed}"
    );
    assert!(printed.contains("\nlimit "), "{printed}");
}

/// Another user than the one that runs the tests, who has no name here.
const STRANGER: (u32, u32) = (47_110, 47_111);

#[test]
fn what_root_makes_by_hand_belongs_to_the_user_of_the_service() {
    let bench = bench_with(&generate(COMMITTED));
    if chown(bench.path(), Some(STRANGER.0), Some(STRANGER.1)).is_err() {
        eprintln!("absent: root; what root leaves to the service was not tested");
        return;
    }
    bench.run(0, &["poll"]);
    let mut folders = vec![bench.path().to_owned()];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let shown = path
                .strip_prefix(bench.path())
                .expect("inside")
                .display()
                .to_string();
            let is_made = ["desk", "fluxwatch.db"]
                .iter()
                .any(|start| shown.starts_with(start));
            let meta = path.metadata().expect("there");
            if is_made {
                assert_eq!((meta.uid(), meta.gid()), STRANGER, "{shown}");
                count += 1;
            }
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    assert!(count > 6, "{count}");
}

#[test]
fn check_warns_of_what_the_user_of_the_service_cannot_read() {
    let folder = Bench::new("");
    let state = folder.path().join("state");
    fs::create_dir(&state).expect("made");
    if chown(&state, Some(STRANGER.0), Some(STRANGER.1)).is_err() {
        eprintln!("absent: root; what the service cannot read was not tested");
        return;
    }
    // The folders above belong to the tests alone.
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    };
    open(folder.path(), 0o755);
    let key = folder.key_section();
    let zone = folder.write("example.zone", "$TTL 60\n@ SOA a. b. 1 1 1 1 1\n@ NS a.\n");
    let sources = format!(
        "{key}[[source]]\nname = \"a\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"example.zone\"\n[smtp]\nurl = \"maildir://desk\"\n[report]\nfrom = \"a@b.example\"\ndesk = [\"c@d.example\"]\norg = \"Org\"\ncontact = \"e@f.example\"\n[enrich]\nasn = \"networks.csv\"\n"
    );
    fs::write(
        folder.config(),
        format!("[store]\npath = \"state/fluxwatch.db\"\n{sources}"),
    )
    .expect("written");
    let warned = |file: &str| {
        let said = folder.run_stderr(0, &["config", "check"]);
        let lines = said.lines();
        let about = lines.filter(|line| line.contains(file) && line.contains("cannot read it"));
        (about.count() > 0, said)
    };
    let (is_warned, said) = warned("transfer.key");
    assert!(is_warned, "{said}");
    let key = folder.path().join("transfer.key");
    let cure = format!(
        "chgrp {} {} && chmod g+r {}",
        STRANGER.1,
        key.display(),
        key.display()
    );
    assert!(said.contains(&cure), "{said}");
    assert!(!warned("example.zone").0, "{said}");
    // The Maildir would be made in a folder that is not his.
    assert!(said.contains("cannot write it"), "{said}");
    // The cure cures.
    chown(&key, None, Some(STRANGER.1)).expect("changed");
    open(&key, 0o640);
    assert!(!warned("transfer.key").0);
    open(&zone, 0o600);
    let (is_warned, said) = warned("example.zone");
    assert!(is_warned, "{said}");
}
