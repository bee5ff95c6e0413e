//! The abuse desk: when it is told, what it does, and what the mails look like to other programs.

use crate::harness::{Bench, REPORT, both, deliver, poll};
use crate::support::desk::{Feed, MAILDIR, START, bench, every_kind, live, read_mails};
use crate::support::rows::{copy_cases, digest, sql};
use fluxwatch::time::{Clock as _, SetClock, Span, Timestamp, WallClock};
use serde_json::Value;
use std::sync::Arc;

/// Returns the text of a header.
fn header<'a>(mail: &'a Value, name: &str) -> &'a str {
    mail["headers"][name].as_str().unwrap_or_default()
}

/// Returns the content of a part.
fn part<'a>(mail: &'a Value, kind: &str) -> &'a str {
    let parts = mail["parts"].as_array().expect("parts");
    let found = parts.iter().find(|part| part["type"] == kind);
    found
        .and_then(|part| part["content"].as_str())
        .unwrap_or_default()
}

#[test]
fn thirty_days_of_one_flux_domain_are_one_report_its_news_and_one_closure() {
    let bench = bench(&format!("{REPORT}digest = \"off\"\n{MAILDIR}"));
    let mut feed = Feed::default();
    feed.set(
        0,
        "bad.example.",
        "NS",
        &["ns1.first.test.".to_owned(), "ns2.first.test.".to_owned()],
    );
    feed.flux("bad.example.", 6, 24 * 14);
    feed.tick(30);
    live(&bench, &feed, (0..24 * 30).step_by(3));
    let mails = read_mails(&bench);
    let kinds: Vec<&str> = mails
        .iter()
        .map(|mail| header(mail, "X-Fluxwatch-Kind"))
        .collect();
    let subjects: Vec<&str> = mails.iter().map(|mail| header(mail, "Subject")).collect();
    assert_eq!(kinds.first(), Some(&"report"), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"closure"), "{kinds:?}");
    let updates = &kinds[1..kinds.len() - 1];
    assert!(
        updates.len() <= 2 && updates.iter().all(|kind| *kind == "update"),
        "{kinds:?}"
    );
    for mail in &mails[1..] {
        // One thread: the first mail is named by all.
        let first = header(&mails[0], "Message-ID");
        assert!(header(mail, "References").starts_with(first), "{mail}");
        let base = header(mail, "Subject").trim_start_matches("Re: ");
        assert_eq!(base, subjects[0]);
    }
    for (i, mail) in mails.iter().enumerate().skip(1) {
        assert_eq!(
            header(mail, "In-Reply-To"),
            header(&mails[i - 1], "Message-ID")
        );
    }
}

#[test]
fn thirty_domains_of_one_campaign_are_one_thread() {
    let bench = bench(&format!("{REPORT}digest = \"off\"\n{MAILDIR}"));
    let mut feed = Feed::default();
    // Thirty domains on one pool of throw-away name servers; the last ten join four days later.
    for n in 0..30_i64 {
        let domain = format!("d{n}.example.");
        let from = if n < 20 { 0 } else { 24 * 4 };
        feed.set(
            from,
            &domain,
            "NS",
            &["ns1.plain.test.".to_owned(), "ns2.plain.test.".to_owned()],
        );
        for turn in 1..15_i64 {
            let host = |k: i64| format!("ns.pool{:02}x.test.", (turn * 2 + k) % 40);
            // Each in an hour of its own, so that it is no mass move.
            feed.set(
                from + turn * 8 + n % 7,
                &domain,
                "NS",
                &[host(0), host(1), host(n % 5 + 2)],
            );
        }
    }
    feed.tick(12);
    live(&bench, &feed, (0..24 * 12).step_by(4));
    let cases = bench.cases();
    let peaks: Vec<String> = cases
        .iter()
        .map(|case| format!("{} {}", case["domain"], case["peak_level"]))
        .collect();
    let reported = |peak: &&String| peak.ends_with("\"report\"");
    assert_eq!(peaks.iter().filter(reported).count(), 30, "{peaks:#?}");
    let mails = read_mails(&bench);
    let first = header(&mails[0], "Message-ID").to_owned();
    let roots: Vec<&Value> = mails
        .iter()
        .filter(|mail| header(mail, "X-Fluxwatch-Kind") == "report")
        .collect();
    assert_eq!(roots.len(), 1, "one first report");
    assert!(
        mails[1..]
            .iter()
            .all(|mail| header(mail, "References").starts_with(&first))
    );
    assert!(mails.len() <= 10, "{} mails in 12 days", mails.len());
    let parts = mails
        .iter()
        .flat_map(|mail| mail["parts"].as_array().expect("parts"));
    let all: String = parts.filter_map(|part| part["content"].as_str()).collect();
    for n in 0..30 {
        assert!(all.contains(&format!("d{n}[.]example")), "d{n} was told");
    }
    // Every case knows that it was told.
    let untold = |case: &&Value| case["peak_level"] == "report" && case["told_at"].is_null();
    assert_eq!(cases.iter().filter(untold).count(), 0, "{cases:#?}");
}

#[test]
fn beyond_the_hourly_cap_cases_are_told_in_the_digest_and_none_is_lost() {
    let bench = bench(&format!("{REPORT}cases_per_hour_max = 2\n{MAILDIR}"));
    let mut feed = Feed::default();
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::hours(72)));
    for n in 0..6 {
        feed.set(
            0,
            &format!("d{n}.example."),
            "NS",
            &["ns1.plain.test.".to_owned()],
        );
        feed.flux(&format!("d{n}.example."), 6 + n, 70);
    }
    bench.write("f.ndjson", feed.text(72));
    let pipeline = bench.pipeline(clock.clone());
    pipeline.notify().last_digest_at().expect("noted");
    poll(&pipeline);
    deliver(&pipeline);
    let kinds = |bench: &Bench| -> Vec<String> {
        read_mails(bench)
            .iter()
            .map(|mail| header(mail, "X-Fluxwatch-Kind").to_owned())
            .collect()
    };
    assert_eq!(kinds(&bench), ["report", "report"]);
    let held = bench
        .cases()
        .iter()
        .filter(|case| {
            case["held"]
                .as_str()
                .is_some_and(|it| it.contains("hourly"))
        })
        .count();
    assert_eq!(held, 4);
    clock.set(Timestamp::from_unix(START) + Span::hours(80));
    pipeline.notify().queue_digest().expect("queued");
    deliver(&pipeline);
    let mails = read_mails(&bench);
    let digest = mails
        .iter()
        .find(|mail| header(mail, "X-Fluxwatch-Kind") == "digest")
        .expect("a digest");
    let text = part(digest, "text/plain");
    assert!(text.contains("too many for a mail each (4)"), "{text}");
    let all: String = mails.iter().map(|mail| part(mail, "text/plain")).collect();
    for n in 0..6 {
        assert!(all.contains(&format!("d{n}[.]example")), "d{n} was told");
    }
    // Told once: the next digest is silent about them.
    clock.set(Timestamp::from_unix(START) + Span::hours(104));
    pipeline.notify().queue_digest().expect("queued");
    deliver(&pipeline);
    let mails = read_mails(&bench);
    let last = mails.last().expect("a mail");
    assert!(part(last, "text/plain").contains("A quiet day"), "{last}");
    assert_eq!(header(last, "Precedence"), "bulk");
}

#[test]
fn an_independent_parser_reads_every_kind_of_mail() {
    let bench = every_kind();
    let mails = read_mails(&bench);
    let plain = ["multipart/alternative", "text/plain", "text/html"];
    let mixed = &["multipart/mixed"][..];
    let data = &["application/json", "text/csv"][..];
    let notice = [mixed, &plain, data].concat();
    let desk = [mixed, &plain, &["text/plain"], data].concat();
    let xarf = [
        "multipart/report",
        "text/plain",
        "message/feedback-report",
        "text/plain",
        "application/json",
    ];
    let mut kinds = std::collections::BTreeMap::new();
    for mail in &mails {
        let kind = header(mail, "X-Fluxwatch-Kind");
        let to_machine = header(mail, "To").contains("machine@");
        let wanted: Vec<&str> = match kind {
            "report" | "update" if to_machine => xarf.to_vec(),
            "report" | "update" => desk.clone(),
            "notice" => notice.clone(),
            _ => plain.to_vec(),
        };
        // python parses the fields of a feedback report as a message of its own.
        let tree: Vec<&str> = mail["tree"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(tree, wanted, "{kind}");
        assert_eq!(mail["defects"], serde_json::json!([]), "{kind}");
        assert_eq!(mail["ascii"], true, "{kind} is 7-bit");
        assert_eq!(header(mail, "Auto-Submitted"), "auto-generated");
        let text = part(mail, "text/plain");
        assert!(
            !text.contains("bad.example") && !text.contains("ns1.new.test"),
            "{text}"
        );
        *kinds.entry(kind.to_owned()).or_insert(0) += 1;
    }
    let seen: Vec<&str> = kinds.keys().map(String::as_str).collect();
    assert_eq!(
        seen,
        [
            "blindness",
            "bulk",
            "closure",
            "digest",
            "notice",
            "report",
            "update"
        ],
        "{kinds:?}"
    );
    let of = |kind: &str| {
        mails
            .iter()
            .find(|mail| header(mail, "X-Fluxwatch-Kind") == kind)
            .expect("a mail")
    };
    let bulk = part(of("bulk"), "text/plain").to_owned();
    assert!(
        bulk.contains("30 names")
            && bulk.contains("ns1[.]old[.]test")
            && bulk.contains("ns1[.]new[.]test"),
        "{bulk}"
    );
    assert!(part(of("blindness"), "text/plain").contains("blind[.]test"));
    let report = mails
        .iter()
        .find(|mail| {
            header(mail, "Subject").contains("bad[.]example")
                && header(mail, "X-Fluxwatch-Kind") == "report"
                && header(mail, "To").contains("abuse-desk@")
        })
        .expect("a report");
    let text = part(report, "text/plain");
    let lines: Vec<&str> = text.lines().take(3).collect();
    assert!(
        lines[0].contains("bad[.]example is suspected of fast flux") && lines[2].contains("score"),
        "{lines:?}"
    );
    for words in [
        "not established",
        "Registered",
        "Suggested action",
        "What would clear",
        "fluxwatch explain",
        "Account token",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(
        !text.contains("account-7"),
        "the account itself does not leave"
    );
    let html = part(report, "text/html");
    assert!(!html.contains("<a ") && !html.contains("<img") && html.contains("background:#8a1f11"));
}

/// Validates a report against the XARF v4 schemas, with formats.
fn faults_of(report: &Value) -> Vec<String> {
    let result = xarf::validate(report, xarf::ValidateOptions::default());
    let result = result.expect("the schemas are sound");
    result.errors.iter().map(|it| format!("{it:?}")).collect()
}

#[test]
fn every_xarf_report_is_valid_and_its_hashes_hold() {
    let bench = bench(&format!("{REPORT}{MAILDIR}"));
    let mut feed = Feed::default();
    // With a registration date, without one, an internationalised name, and one with an underscore.
    let domains = [
        "bad.example.",
        "plain.example.",
        "xn--bcher-kva.example.",
        "a_b.example.",
    ];
    for (n, domain) in domains.iter().enumerate() {
        feed.set(0, domain, "NS", &["ns1.plain.test.".to_owned()]);
        feed.flux(domain, 6 + n as i64, 72);
    }
    bench.write(
        "registrations.csv",
        "bad.example,2026-05-01,1234,account-7\nxn--bcher-kva.example,2026-05-02,1234\n",
    );
    let path = bench.write("f.ndjson", feed.text(72));
    let path = path.to_str().expect("text");
    bench.run(
        0,
        &["import", "feed", "--complete", "--zone", "example", path],
    );
    for domain in domains {
        let xarf = bench.run(0, &["report", "preview", domain, "--format", "xarf"]);
        assert!(
            !xarf.contains("account-7") && !xarf.contains("[.]\","),
            "{xarf}"
        );
        let json: Value = serde_json::from_str(&xarf).expect("JSON");
        let wanted = if domain.starts_with("bad") || domain.starts_with("xn--") {
            "suspicious_registration"
        } else {
            "threat_intelligence"
        };
        assert_eq!(json["type"], wanted, "{xarf}");
        assert_eq!(json["source_identifier"], domain.trim_end_matches('.'));
        assert_eq!(
            json["domain"].is_null(),
            !domain.starts_with("bad"),
            "{xarf}"
        );
        assert_eq!(faults_of(&json), Vec::<String>::new(), "{domain}: {xarf}");
        assert_eq!(fluxwatch::report::check_xarf(xarf.as_bytes()), Ok(()));
        // The validator does look: a wrong id, time and category are found.
        for (key, value) in [
            ("report_id", "case-1"),
            ("timestamp", "yesterday"),
            ("category", "flux"),
        ] {
            let mut bad = json.clone();
            bad[key] = value.into();
            assert_ne!(faults_of(&bad), Vec::<String>::new(), "{key}");
        }
    }
}

#[test]
fn nothing_in_a_zone_becomes_a_header_a_tag_a_template_or_a_formula() {
    let bench = bench(&format!("{REPORT}{MAILDIR}"));
    let long = format!(
        "{}.{}.{}.{}.example.",
        "a".repeat(63),
        "b".repeat(63),
        "c".repeat(63),
        "d".repeat(50)
    );
    // Presentation format (RFC 1035 §5.1): escapes for what cannot stand as it is.
    let nasty = [
        r"\013\010Bcc:\032x@evil.test.example.",
        r"\000nul.example.",
        r"<script>alert\(1\)<\047script>.example.",
        r"{{\032reference\032}}.example.",
        r"=cmd|'\032calc'!A0.example.",
        r"\226\128\174gpj.example.",
        r#"\"><img\032src=x>.example."#,
        &long,
    ];
    let mut feed = Feed::default();
    for (n, domain) in nasty.iter().enumerate() {
        let domain = *domain;
        feed.set(0, domain, "NS", &["ns1.plain.test.".to_owned()]);
        for turn in 0..12_i64 {
            let host = format!(
                "{}.pool{n}x{turn}.test.",
                domain.split(".example").next().unwrap_or("x")
            );
            let host = if domain.len() > 200 {
                format!("ns.pool{n}x{turn}.test.")
            } else {
                host
            };
            feed.set(6 + n as i64 + turn * 6, domain, "NS", &[host]);
        }
    }
    bench.write("f.ndjson", feed.text(100));
    bench.run(0, &["poll"]);
    let mails = read_mails(&bench);
    assert_eq!(mails.len(), nasty.len(), "{:#?}", bench.cases());
    let count = mails[0]["count"].clone();
    for mail in &mails {
        assert_eq!(
            mail["count"], count,
            "no header came of a name: {}",
            mail["headers"]
        );
        assert_eq!(mail["defects"], serde_json::json!([]));
        assert!(
            mail["headers"]["Bcc"].is_null()
                && header(mail, "To") == "abuse-desk@registrar.example"
        );
        let subject = header(mail, "Subject");
        assert!(
            !subject
                .chars()
                .any(|it| it.is_control() || it == '\u{202e}'),
            "{subject:?}"
        );
        let html = part(mail, "text/html");
        assert!(
            !html.contains("<script") && !html.contains("<img"),
            "{html}"
        );
        let text = part(mail, "text/plain");
        assert!(!text.contains('\0') && !text.contains('\u{202e}'), "{text}");
        let csv = part(mail, "text/csv");
        let formula = |line: &str| {
            line.split(',')
                .any(|cell| cell.trim_matches('"').starts_with(['=', '+', '@']))
        };
        assert!(!csv.lines().any(formula), "{csv}");
        let xarf: Value = serde_json::from_str(part(mail, "application/json")).expect("JSON");
        assert_eq!(xarf["xarf_version"], "4.2.0");
    }
    let all: String = mails.iter().map(|mail| part(mail, "text/plain")).collect();
    assert!(
        all.contains("reference"),
        "a template in a name stays text: {all}"
    );
}

#[test]
fn previews_and_dry_runs_change_nothing() {
    let bench = every_kind();
    let state = || digest(&bench);
    let before = state();
    let mails = bench.maildir().len();
    for arguments in [
        &["report", "preview", "bad.example"][..],
        &[
            "report",
            "preview",
            "worse.example",
            "--profile",
            "xarf",
            "--format",
            "eml",
        ],
        &["report", "preview", "worse.example", "--format", "html"],
        &[
            "report",
            "send",
            "worse.example",
            "--dry-run",
            "--by",
            "ada",
        ],
        &[
            "report",
            "approve",
            "bad.example",
            "--to",
            "abuse@other-registrar.example",
            "--by",
            "ada",
            "--dry-run",
        ],
        &["cases", "reopen", "bad.example", "--by", "ada", "--dry-run"],
        &["cases", "log", "bad.example"],
        &[
            "exempt",
            "add",
            "subtree",
            "example",
            "--reason",
            "x",
            "--by",
            "ada",
            "--dry-run",
        ],
        &["outbox", "retry", "--dry-run"],
        &[
            "privacy",
            "purge",
            "--before",
            "1s",
            "--recent",
            "--dry-run",
        ],
        &["stats"],
        &["poll", "--dry-run"],
    ] {
        let output = bench.command(arguments).output().expect("it runs");
        assert!(
            matches!(output.status.code(), Some(0 | 1 | 3)),
            "{arguments:?}: {}",
            both(&output)
        );
        assert_eq!(state(), before, "{arguments:?}");
    }
    assert_eq!(bench.maildir().len(), mails);
}

#[test]
fn the_commands_that_a_mail_prints_work_as_they_stand() {
    let bench = every_kind();
    let mails = read_mails(&bench);
    let report = mails.iter().find(|mail| {
        header(mail, "X-Fluxwatch-Kind") == "report" && header(mail, "To").contains("abuse-desk@")
    });
    let text = part(report.expect("a report"), "text/plain");
    let mut ran = 0;
    for line in text
        .lines()
        .filter_map(|line| line.strip_prefix("  fluxwatch "))
    {
        let words = line.split_whitespace().map(|it| it.trim_matches('\''));
        let words: Vec<&str> = words.collect();
        if matches!(words[1], "dismiss" | "ack" | "verify") {
            continue;
        }
        // Names are defanged in it, and taken that way.
        assert!(!line.contains(".example"), "{line}");
        let output = bench.run(0, &words);
        assert!(
            output.contains("bad.example") || output.contains("worse.example"),
            "{line}: {output}"
        );
        ran += 1;
    }
    assert_eq!(ran, 2, "explain, history: {text}");
}

#[test]
fn notices_wait_for_approval_and_a_changed_case_voids_it() {
    let rest = format!(
        "{REPORT}{MAILDIR}[[recipient]]\nregistrar = \"1234\"\naddress = \"abuse@other-registrar.example\"\n"
    );
    let bench = bench(&rest);
    let mut feed = Feed::default();
    feed.set(0, "bad.example.", "NS", &["ns1.plain.test.".to_owned()]);
    feed.flux("bad.example.", 6, 60);
    bench.write("f.ndjson", feed.text(60));
    bench.run(0, &["poll"]);
    let to = "abuse@other-registrar.example";
    let notices = |bench: &Bench| -> Vec<Value> {
        read_mails(bench)
            .into_iter()
            .filter(|mail| header(mail, "X-Fluxwatch-Kind") == "notice")
            .collect()
    };
    assert!(
        notices(&bench).is_empty(),
        "nothing leaves without approval"
    );
    let draft = bench.run(0, &["report", "preview", "bad.example", "--to", to]);
    // The desk moves the case: what was drafted is not what would be said now.
    bench.run(0, &["cases", "ack", "bad.example", "--by", "ada"]);
    let refused = bench.run_stderr(
        1,
        &[
            "report",
            "approve",
            "bad.example",
            "--to",
            to,
            "--by",
            "ada",
        ],
    );
    assert!(refused.contains("new draft"), "{refused}");
    let anew = bench.run(0, &["report", "preview", "bad.example", "--to", to]);
    assert_ne!(draft, anew);
    let approved = bench.run_stderr(
        0,
        &[
            "report",
            "approve",
            "bad.example",
            "--to",
            to,
            "--by",
            "ada",
            "--note",
            "called them",
        ],
    );
    assert!(
        approved.contains("sha256") && approved.contains("1 sent"),
        "{approved}"
    );
    let sent = notices(&bench);
    assert_eq!(sent.len(), 1);
    let octets =
        std::fs::read_to_string(sent[0]["path"].as_str().expect("a path")).expect("readable");
    assert_eq!(octets, anew, "what was approved is what was sent");
    assert!(part(&sent[0], "text/plain").contains("the sponsoring registrar (1234)"));
    let log = bench.run(0, &["cases", "log", "bad.example", "--format", "csv"]);
    assert!(
        log.contains("ada") && log.contains("approved, sha256") && log.contains("queued"),
        "{log}"
    );
    bench.run_stderr(
        1,
        &["report", "reject", "bad.example", "--to", to, "--by", "ada"],
    );
}

#[test]
fn exemptions_hold_mail_until_they_end_and_excuse_no_half() {
    let bench = bench(&format!("{REPORT}{MAILDIR}"));
    let mut feed = Feed::default();
    for (n, domain) in ["bad.example.", "worse.example.", "half.example."]
        .into_iter()
        .enumerate()
    {
        feed.set(0, domain, "NS", &["ns1.plain.test.".to_owned()]);
        feed.flux(domain, 6 + n as i64, 60);
    }
    bench.write("f.ndjson", feed.text(60));
    let rest = &["--reason", "ours", "--by", "ada"];
    let add = |kind: &str, value: &str| {
        let arguments = [&["exempt", "add", kind, value][..], rest].concat();
        bench.run(0, &arguments)
    };
    // The database must be there first.
    bench.write("empty.ndjson", "");
    bench.run(
        0,
        &[
            "import",
            "feed",
            bench.path().join("empty.ndjson").to_str().expect("text"),
        ],
    );
    add("domain", "bad.example");
    add("account", "account-8");
    add("nameserver", "ns.halfexamplepool001.test");
    bench.run(0, &["poll"]);
    let told = |bench: &Bench| -> Vec<String> {
        read_mails(bench)
            .iter()
            .map(|mail| header(mail, "Subject").to_owned())
            .collect()
    };
    let first = told(&bench);
    assert_eq!(first.len(), 2, "{first:?}");
    assert!(
        !first.iter().any(|it| it.contains("bad[.]example")),
        "{first:?}"
    );
    assert!(
        first.iter().any(|it| it.contains("half[.]example")),
        "one exempt name server of many excuses nothing"
    );
    let explained = bench.run(0, &["explain", "bad.example"]);
    assert!(explained.contains("Exempt by number 1"), "{explained}");
    let preview = bench.run(
        0,
        &[
            "exempt",
            "add",
            "operator",
            "halfexamplepool003.test",
            "--reason",
            "x",
            "--by",
            "ada",
            "--dry-run",
        ],
    );
    assert!(
        preview.contains("half.example") && preview.contains("still reported"),
        "{preview}"
    );
    bench.run(0, &["exempt", "remove", "1", "--by", "ada"]);
    bench.run_stderr(1, &["exempt", "remove", "1", "--by", "ada"]);
    // It is told when it is judged again: another turn.
    let mut more = feed.text(60);
    more += &serde_json::json!({"at": START + 66 * 3600, "zone": "example.", "rrname": "bad.example.", "rrtype": "NS", "op": "set", "ttl": 300, "rdata": ["ns.lastofall.test."]}).to_string();
    more.push('\n');
    bench.write("f.ndjson", more);
    bench.run(0, &["poll"]);
    assert!(told(&bench).iter().any(|it| it.contains("bad[.]example")));
    let all = bench.json(&["exempt", "list", "--all", "--format", "json"]);
    assert_eq!(
        (&all[0]["in_force"], &all[0]["removed_by"]),
        (&false.into(), &"ada".into())
    );
}

#[test]
fn the_desk_works_cases_by_number_and_by_filter_and_every_step_is_kept() {
    let bench = bench(&format!("{REPORT}{MAILDIR}"));
    let mut feed = Feed::default();
    for (n, domain) in ["bad.example.", "worse.example."].into_iter().enumerate() {
        feed.set(0, domain, "NS", &["ns1.plain.test.".to_owned()]);
        feed.flux(domain, 6 + n as i64, 60);
    }
    bench.write("f.ndjson", feed.text(60));
    bench.run(0, &["poll"]);
    bench.run_stderr(
        2,
        &[
            "cases",
            "dismiss",
            "bad.example",
            "--reason",
            "because",
            "--by",
            "ada",
        ],
    );
    bench.run_stderr(
        2,
        &[
            "cases",
            "dismiss",
            "bad.example",
            "--reason",
            "other",
            "--by",
            "ada",
        ],
    );
    bench.run(0, &["cases", "ack", "--verdict", "ns-flux", "--by", "ada"]);
    bench.run(
        0,
        &[
            "cases",
            "assign",
            "bad.example",
            "--to",
            "grace",
            "--by",
            "ada",
        ],
    );
    bench.run(
        0,
        &[
            "cases",
            "dismiss",
            "worse[.]example",
            "--reason",
            "dynamic-dns",
            "--note",
            "their own",
            "--by",
            "grace",
        ],
    );
    bench.run(
        0,
        &[
            "cases",
            "close",
            "bad.example",
            "--mitigated",
            "--by",
            "grace",
        ],
    );
    bench.run_stderr(3, &["cases", "ack", "bad.example", "--by", "ada"]);
    let cases = bench.cases();
    let of = |domain: &str| {
        cases
            .iter()
            .find(|case| case["domain"] == domain)
            .expect("a case")
    };
    assert_eq!(
        (
            &of("bad.example.")["state"],
            &of("bad.example.")["assignee"]
        ),
        (&"mitigated".into(), &"grace".into())
    );
    assert_eq!(of("worse.example.")["dismissed_as"], "dynamic-dns");
    let kinds: Vec<String> = read_mails(&bench)
        .iter()
        .map(|mail| header(mail, "X-Fluxwatch-Kind").to_owned())
        .collect();
    assert_eq!(
        kinds.iter().filter(|kind| *kind == "closure").count(),
        2,
        "{kinds:?}"
    );
    let log = bench.json(&["cases", "log", "worse.example", "--format", "json"]);
    let steps: Vec<(&str, &str)> = log
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| {
            (
                line["who"].as_str().unwrap_or(""),
                line["to"].as_str().unwrap_or(""),
            )
        })
        .collect();
    assert!(
        steps.contains(&("ada", "acknowledged")) && steps.contains(&("grace", "dismissed")),
        "{steps:?}"
    );
    bench.run(
        0,
        &[
            "cases",
            "reopen",
            "worse.example",
            "--by",
            "ada",
            "--note",
            "not so",
        ],
    );
    assert_eq!(
        bench
            .cases()
            .iter()
            .filter(|case| case["state"] == "open")
            .count(),
        1
    );
    let month = bench.json(&["stats", "--format", "json"]);
    assert_eq!(
        (
            &month["all"]["acknowledged"],
            &month["all"]["dismissed"]["dynamic-dns"]
        ),
        (&2.into(), &1.into())
    );
    assert!(
        bench
            .run(0, &["stats", "--format", "csv"])
            .lines()
            .next()
            .expect("a heading")
            .contains("dismissed_dynamic_dns")
    );
}

#[test]
fn old_cases_are_taken_away_or_their_persons_are() {
    let bench = bench(&format!("{REPORT}{MAILDIR}"));
    let mut feed = Feed::default();
    for (n, domain) in ["bad.example.", "worse.example."].into_iter().enumerate() {
        feed.set(0, domain, "NS", &["ns1.plain.test.".to_owned()]);
        feed.flux(domain, 6 + n as i64, 60);
    }
    bench.write("f.ndjson", feed.text(60));
    bench.run(0, &["poll"]);
    let close = ["--by", "ada", "--note", "spoke to Grace"];
    bench.run(
        0,
        &[&["cases", "close", "bad.example"][..], &close].concat(),
    );
    bench.run(
        0,
        &[
            "cases",
            "note",
            "worse.example",
            "--by",
            "ada",
            "--note",
            "later",
        ],
    );
    bench.run_stderr(2, &["privacy", "purge", "--before", "2099-01-01"]);
    bench.run_stderr(2, &["privacy", "purge", "--before", "1m"]);
    // What is younger stays.
    bench.run(0, &["privacy", "anonymise", "--before", "730d"]);
    let log = |bench: &Bench| bench.run(0, &["cases", "log", "bad.example"]);
    assert!(log(&bench).contains("Grace"));
    std::thread::sleep(std::time::Duration::from_secs(2));
    bench.run(0, &["privacy", "anonymise", "--before", "1s", "--recent"]);
    assert!(
        !log(&bench).contains("Grace") && !log(&bench).contains("ada"),
        "{}",
        log(&bench)
    );
    let outbox = bench.json(&["outbox", "list", "--all", "--format", "json"]);
    let of = |case: i64| {
        outbox
            .as_array()
            .expect("a list")
            .iter()
            .filter(move |row| row["case"] == case)
    };
    assert!(
        of(1).all(|row| row["recipient"] != "abuse-desk@registrar.example"),
        "{outbox}"
    );
    // What is open is nobody's to take.
    assert!(
        of(2).all(|row| row["recipient"] == "abuse-desk@registrar.example"),
        "{outbox}"
    );
    bench.run(0, &["privacy", "purge", "--before", "1s", "--recent"]);
    let left = bench.cases();
    assert_eq!(
        (left.len(), &left[0]["domain"]),
        (1, &"worse.example.".into())
    );
    assert!(
        bench.run(0, &["history", "bad.example"]).contains("pool"),
        "history stays"
    );
    bench.run(0, &["db", "verify"]);
}

/// Adds what is of no case, of long ago and of now: mails, and lines of the desk.
fn write_of_no_case(bench: &Bench) {
    let mut statements = String::new();
    for at in [1_000_000_000, WallClock.now().unix()] {
        statements += &format!(
            "insert into desk_event (at, actor, note) values ({at}, 'ada', 'message 1 to grace@desk.test dropped');
             insert into message (revision, kind, recipient, sender, message_id, subject, octets, state, queued_at, next_attempt_at)
                 select 0, 'digest', 'grace@desk.test', 'us', 'digest-{at}', 's', octets, 'sent', {at}, 0 from message where id = 1;"
        );
    }
    statements += "update notice set paragraph = 'Grace says', edited_by = 'ada';";
    sql(bench, &statements);
}

/// Returns what there is of no case, a line a row.
fn of_no_case(bench: &Bench) -> String {
    [
        "select actor, note from desk_event order by id",
        "select recipient, case when length(octets) > 0 then 1 else 0 end from message where case_id is null order by id",
        "select paragraph, edited_by from notice",
    ]
    .map(|question| sql(bench, question))
    .concat()
}

#[test]
fn persons_are_taken_out_of_what_is_of_no_case_and_out_of_drafts() {
    let bench = every_kind();
    write_of_no_case(&bench);
    let before = of_no_case(&bench);
    let is_there = |text: &str, what: &str| text.matches(what).count();
    assert_eq!(is_there(&before, "grace@desk.test|1"), 2, "{before}");
    let dry = ["privacy", "purge", "--before", "2010-01-01", "--dry-run"];
    let dry = both(&bench.command(&dry).output().expect("it runs"));
    assert!(dry.contains("1 log line, 1 message"), "{dry}");
    bench.run(0, &["privacy", "anonymise", "--before", "2010-01-01"]);
    let after = of_no_case(&bench);
    assert_eq!(is_there(&after, "grace@desk.test|1"), 1, "{after}");
    assert_eq!(is_there(&after, "somebody|taken out"), 1, "{after}");
    bench.run(0, &["privacy", "purge", "--before", "2010-01-01"]);
    let after = of_no_case(&bench);
    assert!(
        !after.contains("recipient-") && !after.contains("somebody"),
        "{after}"
    );
    assert_eq!(is_there(&after, "dropped"), 1, "{after}");
    // The drafts are of cases: their persons go when those do.
    assert!(after.contains("Grace says"), "{after}");
    let by = ["--by", "ada", "--note", "x"];
    bench.run(0, &[&["cases", "note", "worse.example"][..], &by].concat());
    std::thread::sleep(std::time::Duration::from_secs(2));
    bench.run(0, &["privacy", "anonymise", "--before", "1s", "--recent"]);
    let after = of_no_case(&bench);
    assert!(after.lines().any(|line| line == "|"), "{after}");
}

#[test]
fn a_campaign_is_told_to_each_desk_that_has_a_part_of_it_and_to_no_other() {
    let rest = format!(
        "{REPORT}digest = \"off\"\n{MAILDIR}[[zone]]\nname = \"sub.example.\"\ndesk = [\"other-desk@registrar.example\"]\n"
    );
    let bench = bench(&rest);
    let mut feed = Vec::new();
    // Two domains of one pool, in zones of two desks.
    for turn in 0..12_i64 {
        for (zone, domain, shift) in [
            ("example.", "one.example.", 0),
            ("sub.example.", "two.sub.example.", 2),
        ] {
            let hosts = [0, 1, 2].map(|n| format!("ns.pool{}x.test.", turn * 2 + n));
            let at = START + (turn * 6 + shift) * 3600;
            feed.push((at, serde_json::json!({"at": at, "zone": zone, "rrname": domain, "rrtype": "NS", "op": "set", "rdata": hosts}).to_string()));
        }
    }
    feed.sort();
    let text: String = feed.iter().map(|(_, line)| format!("{line}\n")).collect();
    let config = std::fs::read_to_string(bench.config()).expect("written");
    std::fs::write(
        bench.config(),
        config.replacen("zone = \"example.\"\n", "", 1),
    )
    .expect("written");
    bench.write("f.ndjson", text);
    bench.run(0, &["poll"]);
    let cases = bench.cases();
    assert!(
        cases.iter().all(|case| case["campaign"] == "FC-1"),
        "{cases:#?}"
    );
    let mails = read_mails(&bench);
    for (to, mine, others) in [
        (
            "abuse-desk@registrar.example",
            "one[.]example",
            "two[.]sub[.]example",
        ),
        (
            "other-desk@registrar.example",
            "two[.]sub[.]example",
            "one[.]example",
        ),
    ] {
        let texts: Vec<&str> = mails
            .iter()
            .filter(|mail| header(mail, "To") == to)
            .map(|mail| part(mail, "text/plain"))
            .collect();
        assert_eq!(texts.len(), 1, "{to}");
        assert!(
            texts[0].contains(mine) && !texts[0].contains(&format!(" {others}")),
            "{to}: {}",
            texts[0]
        );
    }
}

#[test]
fn who_stands_for_several_gets_one_notice_and_large_moves_are_told_before_small_ones() {
    let rest = format!(
        "{REPORT}bulk_names_min = 40\ndigest = \"off\"\n{MAILDIR}[events]\npath = \"no/such/folder/events.ndjson\"\n\
        [[recipient]]\nregistrar = \"1234\"\naddress = \"abuse@both.example\"\napproval = false\n\
        [[recipient]]\noperator = \"badexamplepool001.test\"\naddress = \"Abuse@both.example\"\napproval = false\n"
    );
    let bench = bench(&rest);
    let mut feed = Feed::default();
    feed.set(0, "bad.example.", "NS", &["ns1.plain.test.".to_owned()]);
    feed.flux("bad.example.", 6, 60);
    // Sixty small moves, and then a large one.
    for group in 0..61_i64 {
        let count = if group == 60 { 45 } else { 12 };
        for n in 0..count {
            let name = format!("g{group}n{n}.example.");
            feed.set(0, &name, "NS", &[format!("ns1.before{group}.test.")]);
            feed.set(1 + group, &name, "NS", &[format!("ns1.after{group}.test.")]);
        }
    }
    bench.write("f.ndjson", feed.text(70));
    // The log of events cannot be written: that stops nobody.
    bench.run(0, &["poll"]);
    bench.run(0, &["outbox", "retry"]);
    let mails = read_mails(&bench);
    let of = |kind: &str| {
        mails
            .iter()
            .filter(|mail| header(mail, "X-Fluxwatch-Kind") == kind)
            .collect::<Vec<_>>()
    };
    let notices = of("notice");
    assert_eq!(notices.len(), 1, "{notices:#?}");
    let text = part(notices[0], "text/plain");
    assert!(
        text.contains("sponsoring registrar (1234), and as the operator"),
        "{text}"
    );
    let bulk = of("bulk");
    assert_eq!(bulk.len(), 1);
    let text = part(bulk[0], "text/plain");
    assert!(
        text.contains("45 names") && text.contains("ns1[.]before60[.]test"),
        "{text}"
    );
}

#[test]
fn few_and_many_cases_of_a_text_or_a_zone_are_listed_alike() {
    let bench = bench("");
    let mut feed = Feed::default();
    feed.flux("bad.example.", 0, 96);
    bench.write("f.ndjson", feed.text(96));
    bench.run(0, &["poll"]);
    // More than are looked for by their names before the rest of a filter.
    copy_cases(
        &bench,
        1200,
        &[
            (
                "domain",
                "'many{n}.' || case when {n} % 3 = 0 then 'sub.' else '' end || 'example.'",
            ),
            ("score", "({n} * 7 % 1000) / 10.0"),
            (
                "state",
                "case when {n} % 2 = 0 then 'open' else 'closed' end",
            ),
        ],
    );
    let listed = |filter: &[&str]| -> Vec<String> {
        let fixed = ["cases", "list", "--format", "json"];
        let rows = bench.json(&[&fixed[..], filter].concat());
        let rows = rows.as_array().expect("a list").clone();
        let name = |row: &Value| row["domain"].as_str().expect("a name").to_owned();
        rows.iter().map(name).collect()
    };
    let many = listed(&["--text", "MANY", "--state", "all"]);
    assert_eq!(many.len(), 1200);
    let with = |is_wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        let wanted = many.iter().filter(|name| is_wanted(name));
        wanted.cloned().collect()
    };
    let few = listed(&["--text", "many11", "--state", "all"]);
    assert_eq!(
        few,
        with(&|name| name.starts_with("many11")),
        "in the same order"
    );
    assert_eq!(few.len(), 111);
    let below = listed(&["--zone", "sub.example", "--state", "all"]);
    assert_eq!(below, with(&|name| name.contains(".sub.")));
    assert_eq!(
        listed(&["--zone", "many3.sub.example", "--state", "all"]).len(),
        1
    );
    let closed = listed(&["--text", "many", "--state", "closed"]);
    assert_eq!(closed.len(), 600);
    let closed_few = listed(&[
        "--text",
        "many11",
        "--zone",
        "sub.example",
        "--state",
        "closed",
    ]);
    let is_few = |name: &&String| name.starts_with("many11") && name.contains(".sub.");
    assert_eq!(
        closed_few,
        closed.iter().filter(is_few).cloned().collect::<Vec<_>>()
    );
    // What stands for other letters in a pattern stands for itself.
    for text in ["many_1", "many%1", "an\\y"] {
        assert_eq!(
            listed(&["--text", text, "--state", "all"]),
            [""; 0],
            "{text}"
        );
    }
}
