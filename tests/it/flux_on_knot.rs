//! A domain in a real Knot zone begins to flux; the report is read out of a real Postfix.

use std::collections::BTreeSet;
use std::sync::Arc;

use fluxwatch::time::{SetClock, Span};
use serde_json::Value;

use crate::harness::{Bench, REPORT, at, deliver, poll, python};
use crate::servers::{Knot, Postfix};

/// A registry's zone in which `bad.example.` has two name servers of its own.
const ZONE: &str = "$ORIGIN example.\n$TTL 3600\n@ IN SOA ns1.infra.test. host.infra.test. 1 3600 600 86400 300\n@ IN NS ns1.infra.test.\n\
    bad IN NS ns1.bad\nbad IN NS ns2.bad\nns1.bad IN A 10.1.0.1\nns2.bad IN A 10.2.0.1\n\
    good IN NS ns1.infra.test.\ngood IN NS ns2.infra.test.\n";

/// Reads a delivered mail with python's parser and prints what matters as JSON.
const READ_MAIL: &str = r#"
import email, json, sys
from email import policy
m = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=policy.default)
print(json.dumps({
    "headers": {k: str(v) for k, v in m.items()}, "defects": [str(d) for p in m.walk() for d in p.defects],
    "tree": [p.get_content_type() for p in m.walk()],
    "text": m.get_body(("plain",)).get_content(), "details": [p.get_content() for p in m.walk() if p.get_filename() == "details.txt"], "html": m.get_body(("html",)).get_content()}))
"#;

#[test]
fn flux_on_a_real_primary_is_mailed_with_the_evidence() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let knot = Knot::start(&folder.path().join("knot"), &[("example.", ZONE)]);
    let postfix = Postfix::start(&folder.path().join("postfix"));
    let bench = Bench::new("");
    let source = format!(
        "[[source]]\nname = \"tld\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [\"{}\"]\nkey = \"transfer.test.\"\n",
        knot.address()
    );
    let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", postfix.port());
    bench.configure(&format!("{}{source}{REPORT}{smtp}", bench.key_section()));

    // Event time is compressed by the clock that is given; TSIG goes on by the machine's.
    let clock = Arc::new(SetClock::new(at("2026-11-01T00:00:00Z")));
    let pipeline = bench.pipeline(clock.clone());
    poll(&pipeline);
    let mut done: Vec<(String, u32, String, String)> = Vec::new();
    let mut glue = ["10.1.0.1".to_owned(), "10.2.0.1".to_owned()];
    let mut hosts = ["ns1".to_owned(), "ns2".to_owned()];
    for step in 1..=8_usize {
        let now = at("2026-11-01T00:00:00Z") + Span::hours(3 * step as i64);
        let side = step % 2;
        let before = set_text(&hosts, &glue);
        let address = format!("10.{}.0.7", 10 + step);
        let commands = if step % 4 == 0 {
            // Another name server altogether, with its address.
            let host = format!("ns{}", step + 10);
            let commands = format!(
                "update delete bad.example. NS {0}.bad.example.\nupdate delete {0}.bad.example. A\nupdate add bad.example. 3600 NS {host}.bad.example.\nupdate add {host}.bad.example. 3600 A {address}\n",
                hosts[side]
            );
            hosts[side] = host;
            commands
        } else {
            format!(
                "update delete {0}.bad.example. A\nupdate add {0}.bad.example. 3600 A {address}\n",
                hosts[side]
            )
        };
        glue[side] = address;
        knot.update("example.", &commands);
        clock.set(now);
        poll(&pipeline);
        done.push((
            now.to_table(),
            knot.serial("example."),
            before,
            set_text(&hosts, &glue),
        ));
    }
    let summary = deliver(&pipeline);
    assert_eq!((summary.sent, summary.waiting, summary.dead), (1, 0, 0));

    let mails = postfix.wait_for_mails(1, 20);
    let mail: Value =
        serde_json::from_str(&python(READ_MAIL, &[&mails[0]])).expect("python prints JSON");
    let header = |name: &str| {
        mail["headers"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let case = bench
        .cases()
        .into_iter()
        .find(|case| case["domain"] == "bad.example.")
        .expect("a case");
    assert_eq!(
        (&case["verdict"], &case["level"]),
        (&"ns-flux".into(), &"report".into()),
        "{case}"
    );
    assert_eq!(
        (header("To"), header("X-Original-To")),
        (
            "abuse-desk@registrar.example".to_owned(),
            "abuse-desk@registrar.example".to_owned()
        )
    );
    assert_eq!(
        header("Subject"),
        format!(
            "[FW-{:06}] Suspected fast flux: bad[.]example",
            case["id"].as_i64().expect("a number")
        )
    );
    assert_eq!(
        (header("Auto-Submitted"), header("X-Fluxwatch-Case")),
        ("auto-generated".to_owned(), case["id"].to_string())
    );
    let queued = bench.json(&["outbox", "list", "--all", "--format", "json"]);
    assert_eq!(
        header("Message-ID"),
        queued[0]["message_id"].as_str().expect("text")
    );
    assert_eq!(
        mail["tree"],
        serde_json::json!([
            "multipart/mixed",
            "multipart/alternative",
            "text/plain",
            "text/html",
            "text/plain",
            "application/json",
            "text/csv"
        ])
    );
    assert_eq!(mail["defects"], serde_json::json!([]));
    // Long lines are broken below their value.
    let details = mail["details"][0].as_str().expect("text");
    let details = details.replace(&format!("\n{}", " ".repeat(13)), " ");
    assert!(details.contains("  (counts 1)\n"), "{details}");
    check_evidence(&without_counts(&details), &done);
    let html = mail["html"].as_str().expect("text");
    assert!(
        !html.contains("bad.example") && !html.contains("<a ") && html.contains("bad[.]example"),
        "{html}"
    );
    assert_eq!(bench.cases().len(), 1, "nobody else is accused");
}

/// The name servers with their addresses, as the report writes them.
fn set_text(hosts: &[String; 2], glue: &[String; 2]) -> String {
    let parts: BTreeSet<String> = hosts
        .iter()
        .zip(glue)
        .map(|(host, address)| format!("{host}[.]bad[.]example at {address}"))
        .collect();
    parts.into_iter().collect::<Vec<_>>().join(", ")
}

/// Takes from the line of each transition what it counts.
fn without_counts(text: &str) -> String {
    let bare = |line: &str| match line.contains("  serial ") {
        true => line.split("  (").next().unwrap_or_default().to_owned(),
        false => line.to_owned(),
    };
    text.lines().map(|line| bare(line) + "\n").collect()
}

/// Every transition in the report is one that was made, with its time, serial, before and after; and
/// none of those up to the report is missing.
fn check_evidence(text: &str, done: &[(String, u32, String, String)]) {
    let reported: Vec<_> = done
        .iter()
        .filter(|(time, serial, ..)| text.contains(&format!("{time}  serial {serial}\n")))
        .collect();
    assert!(reported.len() >= 3, "{text}");
    assert_eq!(
        reported.len(),
        text.matches("    before:").count(),
        "a transition that nobody made\n{text}"
    );
    assert_eq!(
        reported.iter().map(|it| &it.0).collect::<Vec<_>>(),
        done.iter()
            .take(reported.len())
            .map(|it| &it.0)
            .collect::<Vec<_>>(),
        "a gap"
    );
    for (time, serial, before, after) in reported {
        // Hosts are in canonical order, as the set is.
        let block =
            format!("{time}  serial {serial}\n    before:  {before}\n    after:   {after}\n");
        assert!(text.contains(&block), "expected\n{block}in\n{text}");
    }
}
