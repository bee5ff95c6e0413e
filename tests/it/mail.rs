//! The outbox against a real Postfix: nothing is lost while the server is down.

use crate::generator::{Options, generate};
use crate::harness::{Bench, REPORT, python};
use crate::servers::Postfix;

/// Prints the Message-IDs of mails, one a line.
const MESSAGE_IDS: &str = "import email, sys\nfor p in sys.argv[1:]:\n    print(email.message_from_binary_file(open(p, 'rb'))['Message-ID'])\n";

/// A bench with the sample's feed and mail to `port`.
pub fn bench_with_feed(port: u16) -> Bench {
    let sample = generate(Options {
        seed: 20_261_101,
        names_seed: 7,
        shift_s: 0,
    });
    let bench = Bench::new(&format!(
        "[[source]]\nname = \"customers\"\nkind = \"feed\"\npath = \"customers.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n{REPORT}[smtp]\nurl = \"smtp://127.0.0.1:{port}\"\n"
    ));
    for (name, octets) in sample.files.iter().filter(|(name, _)| !name.contains('/')) {
        bench.write(name, octets);
    }
    bench
}

#[test]
fn report_waits_while_the_server_is_down_and_arrives_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let postfix = Postfix::start(folder.path());
    postfix.stop();
    let bench = bench_with_feed(postfix.port());
    bench.run(3, &["poll"]);
    let waiting = bench.json(&["outbox", "list", "--format", "json"]);
    assert_eq!(
        (
            waiting.as_array().map(Vec::len),
            &waiting[0]["state"],
            waiting[0]["attempts"].as_i64()
        ),
        (Some(1), &"queued".into(), Some(1)),
        "{waiting}"
    );
    assert!(
        waiting[0]["last_reply"]
            .as_str()
            .expect("a reply")
            .contains("Connection"),
        "{waiting}"
    );
    bench.run_stderr(3, &["outbox", "retry"]);
    assert!(
        bench
            .run_stderr(0, &["outbox", "retry", "--dry-run"])
            .contains("1 message would be tried")
    );

    postfix.restart();
    // Not due yet: a poll leaves it alone, and says nothing failed.
    bench.run(0, &["poll"]);
    bench.run(0, &["outbox", "retry"]);
    let mails = postfix.wait_for_mails(1, 20);
    assert_eq!(
        python(MESSAGE_IDS, &[&mails[0]]).trim(),
        waiting[0]["message_id"].as_str().expect("text")
    );
    bench.run(0, &["outbox", "retry"]);
    bench.run(0, &["poll"]);
    assert_eq!(postfix.mails().len(), 1);
    assert!(
        bench
            .json(&["outbox", "list", "--format", "json"])
            .as_array()
            .is_some_and(Vec::is_empty)
    );
}

#[test]
fn recipient_that_the_server_refuses_is_kept_as_dead() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let postfix = Postfix::start(folder.path());
    let bench = bench_with_feed(postfix.port());
    let config = std::fs::read_to_string(bench.config()).expect("written");
    bench.write(
        "fluxwatch.toml",
        config.replace("abuse-desk@registrar.example", "desk@elsewhere.example"),
    );
    bench.run(3, &["poll"]);
    let rows = bench.json(&["outbox", "list", "--format", "json"]);
    assert_eq!(rows[0]["state"], "dead", "{rows}");
    assert!(
        rows[0]["last_reply"]
            .as_str()
            .expect("a reply")
            .contains("554"),
        "{rows}"
    );
    let case = rows[0]["case"].to_string();
    assert!(bench.run(0, &["cases", "show", &case]).contains("dead"));
}

#[test]
fn every_recipient_gets_a_message_of_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let postfix = Postfix::start(folder.path());
    let bench = bench_with_feed(postfix.port());
    let config = std::fs::read_to_string(bench.config()).expect("written");
    bench.write(
        "fluxwatch.toml",
        config.replace(
            "[\"abuse-desk@registrar.example\"]",
            "[\"abuse-desk@registrar.example\", \"Second Desk <second@desk.test>\"]",
        ),
    );
    bench.run(0, &["poll"]);
    let mails = postfix.wait_for_mails(2, 20);
    let ids = python(MESSAGE_IDS, &[&mails[0], &mails[1]]);
    let ids: std::collections::BTreeSet<&str> = ids.lines().collect();
    assert_eq!(ids.len(), 2);
}

#[test]
fn preview_prints_the_octets_that_were_mailed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let postfix = Postfix::start(folder.path());
    let bench = bench_with_feed(postfix.port());
    bench.run(0, &["poll"]);
    let mails = postfix.wait_for_mails(1, 20);
    let case = bench
        .cases()
        .into_iter()
        .find(|case| case["level"] == "report")
        .expect("a case");
    let preview = bench.run(
        0,
        &["report", "preview", case["domain"].as_str().expect("text")],
    );
    let delivered = std::fs::read_to_string(&mails[0]).expect("delivered");
    // Postfix adds its own headers in front and writes bare newlines.
    let body = delivered.find("From: fluxwatch").expect("the header From");
    assert_eq!(
        delivered[body..].trim_end(),
        preview.replace("\r\n", "\n").trim_end()
    );
}

#[test]
fn flux_that_begins_again_after_its_case_was_over_is_mailed_again() {
    let bench = Bench::new(&format!(
        "[[source]]\nname = \"feed\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"f.ndjson\"\n{REPORT}[smtp]\nurl = \"maildir://desk\"\n"
    ));
    let mut feed = String::new();
    let mut set = |hours: i64, name: &str, hosts: &[String]| {
        let at = 1_780_000_000 + hours * 3600;
        let line = serde_json::json!({"at": at, "rrname": name, "rrtype": "NS", "op": "set", "rdata": hosts});
        feed += &format!("{line}\n");
    };
    for burst in 0..2 {
        for turn in 0..8 {
            let hosts = [0, 1].map(|n| {
                let letter = char::from(b'a' + (turn * 2 + n) as u8);
                format!("ns.{letter}{letter}throw{letter}{burst}.test.")
            });
            set(burst * 24 * 40 + turn * 10, "bad.example.", &hosts);
        }
        // Another name moves now and then, so that time goes on: a feed is judged by its own time.
        for day in 1..30 {
            let host = format!("ns.still{}.test.", day % 2);
            set(burst * 24 * 40 + 80 + day * 24, "other.example.", &[host]);
        }
    }
    let lines: Vec<&str> = feed.split_inclusive('\n').collect();
    let mut mails = Vec::new();
    let mut states = Vec::new();
    // Up to the end of the first burst, of the quiet after it, of the second burst.
    for end in [8, 37, 45] {
        bench.write("f.ndjson", lines[..end].concat());
        bench.run(0, &["poll"]);
        mails.push(bench.maildir().len());
        let cases = bench.json(&["cases", "list", "--state", "all", "--format", "json"]);
        let case = cases.as_array().expect("a list").iter();
        let mut case = case.filter(|case| case["domain"] == "bad.example.");
        let state = case.next().expect("a case")["state"].clone();
        states.push(state);
    }
    assert_eq!(states, ["open", "mitigated", "open"]);
    // The report, its closure, the second report.
    assert_eq!(mails, [1, 2, 3]);
}
