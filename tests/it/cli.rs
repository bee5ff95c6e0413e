//! What a person meets: exit statuses, sentences, formats of names and times.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{Bench, REPORT};
use crate::support::stores::has_no_file;

/// A feed about one hosted name.
const FEED: &str = r#"{"at":"2026-11-01T00:00:00Z","zone":"example.","rrname":"www.bücher.example","rrtype":"A","op":"set","ttl":60,"rdata":["192.0.2.1"]}
{"at":"2026-11-02T00:00:00Z","zone":"example.","rrname":"www.bücher.example","rrtype":"A","op":"set","ttl":60,"rdata":["192.0.2.2"]}
"#;
const SOURCE: &str = "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\n";

#[test]
fn names_are_understood_however_they_are_pasted() {
    let bench = Bench::new(SOURCE);
    bench.write("f.ndjson", FEED);
    bench.run(0, &["poll"]);
    let expected = bench.json(&["history", "www.xn--bcher-kva.example.", "--format", "json"]);
    assert_eq!(expected["changes"].as_array().map(Vec::len), Some(1));
    for name in [
        "WWW.BÜCHER.example",
        "www[.]bücher[.]example",
        "hxxps://www.xn--bcher-kva.example/path",
        "www.xn--bcher-kva.example",
    ] {
        assert_eq!(
            bench.json(&["history", name, "--format", "json"]),
            expected,
            "{name}"
        );
    }
    assert!(
        bench
            .run(0, &["history", "never.seen.test"])
            .contains("no history of never.seen.test\n")
    );
    let hint = |name: &str| bench.run_stderr(0, &["history", name]);
    assert!(hint("never.seen.test").contains("it lies in no zone that is watched"));
    let below = format!("never.{}", "xn--bcher-kva.example");
    assert!(hint(&below).contains("`fluxwatch history --ns never."));
    bench.run(2, &["history", "a..b"]);
}

#[test]
fn unreadable_lines_are_set_aside_and_the_rest_go_on() {
    let bench = Bench::new(SOURCE);
    bench.write("f.ndjson", format!("not json\n{FEED}{{\"at\":1,\"rrname\":\"a.test\",\"rrtype\":\"A\",\"op\":\"set\",\"rdata\":[]}}\n"));
    let out = bench.run(3, &["poll"]);
    assert!(
        out.contains("2 lines set aside") && out.contains(" example "),
        "{out}"
    );
    assert_eq!(bench.status("example.")["rejected_lines"], 2);
    // Once said; the next pass has nothing new, and reading it all again sets nothing aside twice.
    bench.run(0, &["poll"]);
    bench.run(3, &["poll", "--full"]);
    assert_eq!(bench.status("example.")["rejected_lines"], 2);
    assert_eq!(
        bench.json(&["history", "www.bücher.example", "--format", "json"])["changes"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[test]
fn log_says_as_much_as_it_is_told_to() {
    let bench = Bench::new(SOURCE);
    bench.write("f.ndjson", FEED);
    let poll = |level: &str| {
        let output = bench
            .command(&["poll"])
            .env("FLUXWATCH_LOG", level)
            .output();
        let output = output.expect("the program can be started");
        assert_eq!(output.status.code(), Some(0), "{level}");
        String::from_utf8(output.stderr).expect("stderr is UTF-8")
    };
    assert!(poll("info").contains("zone example.: 2 versions"));
    assert_eq!(poll("error"), "");
    assert!(poll("error,fluxwatch=debug").contains("DEBUG"));
    assert_eq!(poll("debug,fluxwatch=off"), "");
    let warning = poll("fluxwatch=loud");
    assert!(
        warning.starts_with("warning: FLUXWATCH_LOG=fluxwatch=loud: "),
        "{warning}"
    );
}

#[test]
fn late_lines_that_contradict_history_are_set_aside() {
    let bench = Bench::new(SOURCE);
    bench.write("f.ndjson", FEED);
    bench.run(0, &["poll"]);
    let line = |at: &str, address: &str| {
        format!(
            "{{\"at\":\"{at}\",\"zone\":\"example.\",\"rrname\":\"www.bücher.example\",\"rrtype\":\"A\",\"op\":\"set\",\"ttl\":60,\"rdata\":[\"{address}\"]}}\n"
        )
    };
    bench.write(
        "f.ndjson",
        format!("{FEED}{}", line("2026-11-01T12:00:00Z", "192.0.2.1")),
    );
    bench.run(0, &["poll"]);
    bench.write(
        "f.ndjson",
        format!(
            "{FEED}{}{}",
            line("2026-11-01T12:00:00Z", "192.0.2.1"),
            line("2026-11-01T13:00:00Z", "192.0.2.9")
        ),
    );
    bench.run(3, &["poll"]);
    assert_eq!(
        bench.json(&["history", "www.bücher.example", "--format", "json"])["changes"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    // Another RRset that has not changed since may be told of late.
    let other = line("2026-11-01T14:00:00Z", "192.0.2.7").replace("www.", "mail.");
    bench.write(
        "f.ndjson",
        format!(
            "{FEED}{}{}{other}",
            line("2026-11-01T12:00:00Z", "192.0.2.1"),
            line("2026-11-01T13:00:00Z", "192.0.2.9")
        ),
    );
    bench.run(0, &["poll"]);
    assert_eq!(
        bench.json(&["history", "mail.bücher.example", "--format", "json"])["records"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[test]
fn first_set_is_a_baseline_unless_the_feed_is_complete() {
    for (complete, baseline) in [("false", true), ("true", false)] {
        let bench = Bench::new(&format!("{SOURCE}complete = {complete}\n"));
        let later = FEED
            .lines()
            .nth(1)
            .expect("two lines")
            .replace("www.", "new.");
        bench.write("f.ndjson", format!("{FEED}{later}\n"));
        bench.run(0, &["poll"]);
        let history = bench.json(&["history", "new.bücher.example", "--format", "json"]);
        assert_eq!(
            history["records"][0]["baseline"] == true,
            baseline,
            "{history}"
        );
        assert_eq!(
            history["changes"].as_array().map(Vec::len),
            Some(usize::from(!baseline)),
            "{history}"
        );
    }
}

#[test]
fn configuration_errors_name_the_file_the_line_and_the_key() {
    let bench = Bench::new("[report]\ncolour = \"red\"\n");
    let error = bench.run_stderr(2, &["config", "check"]);
    assert!(
        error.contains("fluxwatch.toml, line 4")
            && error.contains("colour")
            && error.contains("hint:"),
        "{error}"
    );
    bench.configure("[[source]]\nname = \"a\"\nkind = \"feed\"\npath = \"x\"\ncron = \"often\"\n");
    assert!(bench.run_stderr(2, &["poll"]).contains("\"often\""));
    bench.configure("[enrich]\nasn = \"nowhere.csv\"\n");
    assert!(
        bench
            .run_stderr(2, &["config", "check"])
            .contains("nowhere.csv")
    );
    bench.configure(&format!(
        "{}[smtp]\nurl = \"maildir://desk\"\n",
        REPORT.replace("abuse-desk@registrar.example", "nobody at all")
    ));
    assert!(
        bench
            .run_stderr(2, &["config", "check"])
            .contains("nobody at all")
    );
    bench.configure(SOURCE);
    assert!(bench.run(0, &["config", "check"]).contains("no errors"));
    assert!(
        bench
            .run_stderr(2, &["poll", "--no-such-flag"])
            .contains("--no-such-flag")
    );
}

/// An authority made for this test; its key was thrown away.
const CA_PEM: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBgDCCASegAwIBAgIUe1Dj+qM8TWsWfYptUms6HXZI/o0wCgYIKoZIzj0EAwIw\n\
FTETMBEGA1UEAwwKRXhhbXBsZSBDQTAgFw0yNjExMjUwNzU0NDNaGA8yMTI2MTEw\n\
MTA3NTQ0M1owFTETMBEGA1UEAwwKRXhhbXBsZSBDQTBZMBMGByqGSM49AgEGCCqG\n\
SM49AwEHA0IABNhy4/nX1wCkWGeaTRD+b/ZiwPLFyQGWDA51uVHYnG70QComju11\n\
drEd9HKygm7adynRP7zsTS6mOMDOj9HN/lSjUzBRMB0GA1UdDgQWBBStWx/zXvfc\n\
GAJVTmeD/YyHCmC99jAfBgNVHSMEGDAWgBStWx/zXvfcGAJVTmeD/YyHCmC99jAP\n\
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIHEKbbH8O0ryqVLZ8MUC\n\
LGArVki7yYpoo30a3/JGy2uzAiBZNBlieqPNZ4g+zSkU4yKcSlWh4XHXInNL/aRN\n\
a8bbwA==\n\
-----END CERTIFICATE-----\n";

#[test]
fn faults_of_mail_settings_name_the_file_and_the_key() {
    let bench = Bench::new("");
    let smtp = "[smtp]\nurl = \"maildir://desk\"\n";
    let report = |from: &str, to: &str| REPORT.replace(from, to);
    for (text, words) in [
        (
            report("[\"abuse-desk@registrar.example\"]", "[\"abuse-desk\"]"),
            "report.desk",
        ),
        (
            report("\"fluxwatch@registrar.example\"", "\"fluxwatch@\""),
            "report.from",
        ),
        (format!("{REPORT}digest = \"never\"\n"), "report.digest"),
        (
            format!("{REPORT}[[recipient]]\nzone = \"example.\"\naddress = \"x\"\n"),
            "recipient.address",
        ),
        (
            format!("{REPORT}[[recipient]]\naddress = \"x@y.example\"\n"),
            "one of zone, registrar",
        ),
        (
            format!("{REPORT}language = \"de\"\n"),
            "needs [report] templates",
        ),
        (format!("{REPORT}bounces = \"b\"\n"), "bounces needs bounce"),
        (format!("{REPORT}repeat = \"5m\"\n"), "repeat"),
    ] {
        bench.configure(&format!("{text}{smtp}"));
        let fault = bench.run_stderr(2, &["config", "check"]);
        assert!(fault.contains(words), "{words}: {fault}");
    }
}

#[test]
fn shells_complete_every_command_and_the_manual_has_a_page_for_each() {
    let bench = Bench::new("");
    let bash = bench.run(0, &["completions", "bash"]);
    for command in ["poll", "cases", "exempt", "verify-evidence"] {
        assert!(bash.contains(command), "{command}");
    }
    assert!(bench.run(0, &["man"]).contains(".TH FLUXWATCH 1"));
    let folder = bench.path().join("man");
    bench.run(0, &["man", "--to", folder.to_str().expect("text")]);
    for page in ["fluxwatch.1", "fluxwatch-cases-dismiss.1"] {
        assert!(folder.join(page).exists(), "{page}");
    }
}

#[test]
fn template_with_every_key_uncommented_is_sound() {
    let bench = Bench::new("");
    let template = bench.run(0, &["config", "template"]);
    let is_key = |line: &str| {
        line.starts_with("# [")
            || line.strip_prefix("# ").is_some_and(|rest| {
                rest.split_once(" = ").is_some_and(|(key, _)| {
                    key.chars()
                        .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
                })
            })
    };
    // A database is a file or on a server: here it is a file.
    let is_of_server = |line: &str| {
        [
            "# url = \"postgres",
            "# read_url = \"postgres",
            "# password_file = \"/etc/fluxwatch/db.",
            "# ca_file = \"/etc/fluxwatch/db-",
            "# cache = ",
        ]
        .iter()
        .any(|key| line.starts_with(key))
    };
    let lines = template.lines().filter(|line| !is_of_server(line));
    let mut text: String = lines.map(|line| if is_key(line) { line[2..].to_owned() } else { line.to_owned() } + "\n").collect();
    for (secret, content) in [
        (
            "transfer.key",
            "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=",
        ),
        ("smtp.password", "secret"),
        ("smtp-ca.pem", CA_PEM),
        ("dkim.pem", "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="),
        ("hook.secret", "secret-of-a-webhook"),
        (
            "templates/de/mail/report/subject.txt",
            "Verdacht: {{ domain | defang }}",
        ),
        ("push.token", "token-of-who-pushes"),
        (
            "web.users",
            concat!("reader:viewer::", include_str!("../fixtures/argon2id.txt")),
        ),
        ("web.pem", CA_PEM),
        ("web.key", "a private key"),
        ("domains.txt", "bad.example www.bad.example\n"),
        ("ca.pem", CA_PEM),
        ("asn.csv", "192.0.2.0,192.0.2.255,64500\n"),
        ("hosting.txt", "64500\n"),
        ("cdn.csv", "# source: x\n# date: y\n192.0.2.0/24\n"),
        ("registrations.csv", "bad.example,2026-01-01\n"),
    ] {
        let path = bench.write(secret, content);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .expect("the mode can be set");
    }
    for (documented, here) in [
        ("/etc/fluxwatch/", ""),
        ("/usr/share/fluxwatch/", ""),
        ("/var/lib/fluxwatch/", ""),
        ("/srv/zones/", ""),
        ("/var/spool/fluxwatch/", ""),
        ("smtp://127.0.0.1:25", "smtps://user@127.0.0.1"),
        ("/var/lib/node_exporter/", ""),
        ("/var/mail/", ""),
        ("/var/log/fluxwatch/", ""),
        ("algorithm = \"rsa\"", "algorithm = \"ed25519\""),
        ("push = false", "push = true"),
    ] {
        text = text.replace(documented, here);
    }
    bench.write("fluxwatch.toml", &text);
    assert!(
        bench
            .run(0, &["config", "check"])
            .contains("5 sources, 1 key;")
    );
    let shown = bench.run(0, &["config", "show"]);
    for key in shown
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, _)| key)
    {
        assert!(
            text.contains(&format!("{key} = ")),
            "{key} is not in the template"
        );
    }
    assert!(!shown.contains("c2VjcmV0"), "a secret is shown");
    // What the template shows commented out are the defaults.
    let plain: String = template
        .lines()
        .filter(|line| !line.starts_with("[report]") && !line.starts_with("[smtp]"))
        .collect::<Vec<_>>()
        .join("\n");
    bench.write(
        "fluxwatch.toml",
        plain.split("from = ").next().expect("a start"),
    );
    let defaults = bench.run(0, &["config", "show"]);
    let policies = |text: &str| {
        text.split("[detect]")
            .nth(1)
            .and_then(|rest| rest.split("[report]").next())
            // A section that is there is a switch that is on.
            .and_then(|rest| rest.split("[detect.confirm]").next())
            .map(str::trim)
            .map(str::to_owned)
    };
    assert_eq!(policies(&shown), policies(&defaults));
}

#[test]
fn databases_of_others_and_of_the_future_are_left_alone() {
    if has_no_file() {
        return;
    }
    let bench = Bench::new(SOURCE);
    bench.write("f.ndjson", FEED);
    assert!(bench.run_stderr(1, &["status"]).contains("no database"));
    bench.run(0, &["poll"]);
    let database = bench.path().join("fluxwatch.db");
    let mode = std::fs::metadata(&database)
        .expect("made")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let change = |sql: &str| {
        crate::harness::python(
            &format!(
                "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1]); db.execute(\"{sql}\"); db.commit(); db.close()"
            ),
            &[&database],
        )
    };
    change("pragma user_version = 99");
    let before = std::fs::read(&database).expect("there");
    let error = bench.run_stderr(4, &["poll"]);
    assert!(
        error.contains("newer fluxwatch") && error.contains("Nothing was touched"),
        "{error}"
    );
    assert!(std::fs::read(&database).expect("there") == before);
    change("pragma application_id = 7");
    assert!(bench.run_stderr(4, &["status"]).contains("not fluxwatch's"));
    bench.write(
        "fluxwatch.db",
        "this is no database, it is a letter, and rather long for one",
    );
    assert!(bench.run_stderr(4, &["status"]).contains("fluxwatch.db"));
}

#[test]
fn zone_file_that_shrank_is_held_until_it_is_accepted() {
    let bench = Bench::new(
        "[[source]]\nname = \"files\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"example.zone\"\n",
    );
    let zone = |serial: u32, names: u32| {
        let records: String = (0..names)
            .map(|n| format!("d{n} NS ns1.infra.test.\n"))
            .collect();
        format!("$TTL 60\n@ SOA ns1.infra.test. host.infra.test. {serial} 1 1 1 1\n{records}")
    };
    bench.write("example.zone", zone(1, 600));
    bench.run(0, &["poll"]);
    bench.write("example.zone", zone(2, 300));
    for _ in 0..2 {
        assert!(bench.run(3, &["poll"]).contains("--accept"));
        let status = bench.status("example.");
        assert_eq!(
            (
                &status["held"],
                status["serial"].as_u64(),
                status["records"].as_u64()
            ),
            (&true.into(), Some(1), Some(600))
        );
    }
    bench.run(2, &["poll", "--accept", "other.test."]);
    bench.run(0, &["poll", "--accept", "example."]);
    let status = bench.status("example.");
    assert_eq!(
        (
            &status["held"],
            status["serial"].as_u64(),
            status["records"].as_u64()
        ),
        (&false.into(), Some(2), Some(300))
    );
}

#[test]
fn imports_queue_no_mail_unless_it_is_asked_for() {
    let sample = crate::generator::generate(crate::generator::Options {
        seed: 20_261_101,
        names_seed: 7,
        shift_s: 0,
    });
    let feed = &sample
        .files
        .iter()
        .find(|(name, _)| name == "customers.ndjson")
        .expect("a feed")
        .1;
    let table = &sample
        .files
        .iter()
        .find(|(name, _)| name == "asn.csv")
        .expect("a table")
        .1;
    let mail = format!(
        "[enrich]\nasn = \"asn.csv\"\n{}[smtp]\nurl = \"maildir://desk\"\n",
        REPORT
    );
    for (flag, mails) in [(None, 0), (Some("--report"), 1)] {
        let bench = Bench::new(&mail);
        bench.write("asn.csv", table);
        let path = bench.write("c.ndjson", feed);
        let path = path.to_string_lossy();
        let arguments: Vec<&str> = ["import", "feed", "--complete", &path]
            .into_iter()
            .chain(flag)
            .collect();
        bench.run(0, &arguments);
        assert!(bench.cases().iter().any(|case| case["level"] == "report"));
        assert_eq!(bench.maildir().len(), mails);
    }
}

#[test]
fn explain_says_what_is_missing() {
    let bench = Bench::new(SOURCE);
    bench.write("f.ndjson", FEED);
    bench.run(0, &["poll"]);
    let text = bench.run(0, &["explain", "bücher.example"]);
    assert!(
        text.contains("nothing is suspected")
            && text.contains("[not met] distinct addresses: 2 (needed: 8)"),
        "{text}"
    );
    let json = bench.json(&[
        "explain",
        "bücher.example",
        "--format",
        "json",
        "--at",
        "2026-11-01T12:00:00Z",
    ]);
    assert_eq!(json["level"], serde_json::Value::Null);
    bench.run(1, &["explain", "elsewhere.test."]);
}
