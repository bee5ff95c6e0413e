//! What a mail says agrees with history, and its commands work for whoever has no user name.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Bench, REPORT, both};
use crate::support::desk::{Feed, START, bench, read_mails};
use crate::support::sample::sample_bench;

/// Returns the text of a mail.
fn text_of(mail: &Value) -> &str {
    let parts = mail["parts"].as_array().expect("parts");
    let text = parts.iter().find(|part| part["type"] == "text/plain");
    text.and_then(|it| it["content"].as_str()).expect("a text")
}

/// Returns what stands behind a label of the first screen, with the lines below it.
fn field<'a>(text: &'a str, label: &str) -> Vec<&'a str> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(label));
    let first = lines.next().map(|line| line[label.len()..].trim());
    let below = lines.take_while(|line| line.starts_with("   "));
    first.into_iter().chain(below.map(str::trim)).collect()
}

/// Runs a command of a mail in an environment that names no user, and expects success.
fn paste(bench: &Bench, line: &str) {
    let program = env!("CARGO_BIN_EXE_fluxwatch");
    let line = line.trim().replacen("fluxwatch", program, 1);
    let output = Command::new("sh")
        .args(["-c", &line])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("FLUXWATCH_CONFIG", bench.config())
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{line}\n{}", both(&output));
}

/// Pastes each command of a text that changes a case.
fn paste_decisions(bench: &Bench, text: &str, wanted: &[&str]) {
    let is_decision = |line: &&str| {
        wanted
            .iter()
            .any(|word| line.contains(&format!("cases {word}")))
    };
    let decisions: Vec<&str> = text.lines().filter(is_decision).collect();
    assert_eq!(decisions.len(), wanted.len(), "{text}");
    for line in decisions {
        // Who pastes it puts a name and a reason in: what stands for them is refused.
        let filled = line.replace("YOU", "ada").replace("'...'", "'a move'");
        assert_ne!(filled, line);
        paste(bench, &filled);
    }
}

/// Asserts that the last change names what each plane lost and gained at that time.
fn check_last_change(text: &str, explained: &Value) -> usize {
    let said = field(text, "Last change").join("\n");
    let planes = explained["planes"].as_array().expect("planes");
    let newest = planes
        .iter()
        .filter_map(|it| it["transitions"][0]["at"].as_str());
    let newest = newest.max().expect("a change");
    assert!(said.starts_with(newest), "{newest}: {text}");
    let changed = planes
        .iter()
        .filter(|it| it["transitions"][0]["at"] == newest);
    let changed: Vec<&Value> = changed
        .map(|it| &it["transitions"][0]["added"][0])
        .collect();
    for added in &changed {
        let word = added["host"].as_str().map(|it| it.replace('.', "[.]"));
        let word = word.or_else(|| added["addresses"][0].as_str().map(str::to_owned));
        let word = word.expect("something came");
        assert!(said.contains(&format!("+ {word}")), "{word}: {text}");
    }
    changed.len()
}

/// Asserts that the mail says since when it goes on, and since when each plane is watched.
fn check_times(text: &str, explained: &Value) {
    let planes = explained["planes"].as_array().expect("planes");
    let oldest = planes.iter().filter_map(|plane| {
        let all = plane["transitions"].as_array().expect("a list");
        // The list of transitions may be cut: then its oldest is not the first change.
        let is_whole = plane["transitions_count"].as_u64() == Some(all.len() as u64);
        is_whole.then(|| all.last()?["at"].as_str()).flatten()
    });
    let since = field(text, "Since ").join(" ");
    let first = since.split("first detected ").nth(1).expect("a time");
    match oldest.min() {
        Some(oldest) => {
            assert!(since.starts_with(oldest), "{oldest}: {since}");
            assert!(first > oldest, "{since}");
        }
        // The lists of all planes that changed are cut: it goes on for longer than they say.
        None => assert!(*first > since[..19], "{since}"),
    }
    for plane in planes {
        let watched = plane["watched_since"].as_str().expect("a time");
        assert!(
            text.contains(&format!("watched since {watched} UTC")),
            "{text}"
        );
    }
}

/// Asserts that what came last is drawn, wherever its plane is.
fn check_newest_lane(text: &str, explained: &Value) {
    for plane in explained["planes"].as_array().expect("planes") {
        let owner = plane["owner"].as_str().expect("a name").replace('.', "[.]");
        let title = plane["title"].as_str().expect("a title").to_lowercase();
        let heading = format!("== Evidence: {title} of {owner}, zone ");
        let drawn = text.split(&heading).nth(1).unwrap_or_default();
        let drawn = drawn.split("\n== ").next().unwrap_or_default();
        let added = plane["transitions"][0]["added"].as_array();
        let added = added.cloned().unwrap_or_default();
        if !drawn.contains("# = there") || added.is_empty() {
            continue;
        }
        let labels = added.iter().flat_map(|it| {
            let addresses = it["addresses"].as_array().into_iter().flatten();
            addresses.chain([&it["host"]]).filter_map(Value::as_str)
        });
        let mut labels = labels.flat_map(|it| [it.to_owned(), it.replace('.', "[.]")]);
        let is_drawn = labels.any(|label| drawn.contains(&format!("#  {label}")));
        assert!(is_drawn, "{added:?}: {drawn}");
    }
}

/// Asserts that nothing is said of a time before watching began.
fn check_stillness(text: &str) {
    let since = text.split("--since ").nth(1).expect("a command");
    let since = since[..19].replace('T', " ");
    for line in text
        .lines()
        .filter(|it| it.starts_with("Not changed in 7 days"))
    {
        let watched = line.split("watched since ").nth(1).expect("a time");
        assert!(watched[..19] <= since[..], "{line}: {since}");
    }
}

/// Asserts that the report for machines says what the text says.
fn check_xarf_of(mail: &Value, text: &str) {
    let parts = mail["parts"].as_array().expect("parts");
    let json = parts.iter().find(|part| part["name"] == "xarf.json");
    let json = json
        .and_then(|it| it["content"].as_str())
        .expect("xarf.json");
    let xarf: Value = serde_json::from_str(json).expect("JSON");
    let since = field(text, "Since ").join(" ")[..19].replace(' ', "T") + "Z";
    assert_eq!(xarf["first_seen"], since, "{text}");
    let said = xarf["description"].as_str().expect("text");
    let counts = said.split("confidence ").nth(1).expect("a confidence");
    let counts = counts.split(". ").nth(1).unwrap_or_default();
    for count in counts.split("; ") {
        let of = ["name servers of ", "addresses of ", "alias of "];
        assert!(of.iter().any(|it| count.starts_with(it)), "{said}");
        assert!(!count.contains(": 0 changes"), "{said}");
    }
}

/// Asserts that each drawing says how many of how many it shows.
fn check_drawings(text: &str) {
    let evidence = text.split("== Evidence").skip(1);
    for plane in evidence {
        let plane = plane.split("== ").next().unwrap_or_default();
        if plane.contains("Not changed ") || text.contains("Left out here") {
            continue;
        }
        let is_lane = |line: &&str| {
            let cells = line.trim().split("  ").next().unwrap_or_default();
            cells.len() > 10 && cells.chars().all(|it| it == '#' || it == '.')
        };
        let lanes = plane.lines().filter(is_lane).count();
        // Every drawing of the sample leaves some out.
        let shown = format!("  {lanes} of ");
        let line = plane.lines().find(|line| line.starts_with(&shown));
        assert!(
            line.is_some_and(|line| line.contains(" shown, ")),
            "{plane}"
        );
    }
}

#[test]
fn a_report_says_every_plane_of_the_last_change_since_when_and_how_much_it_draws() {
    let bench = sample_bench();
    bench.run(0, &["poll"]);
    let (mut most_planes, mut is_young) = (0, false);
    for mail in &read_mails(&bench) {
        let text = text_of(mail);
        assert!(!text.contains("\n\n\n"), "two blank lines: {text}");
        let domain = text.split_whitespace().next().expect("a domain");
        let state = field(text, "State ").join(" ");
        let at = state["judged at ".len()..][..19].replace(' ', "T") + "Z";
        let explained = bench.json(&["explain", domain, "--at", &at, "--format", "json"]);
        most_planes = most_planes.max(check_last_change(text, &explained));
        check_times(text, &explained);
        check_drawings(text);
        check_newest_lane(text, &explained);
        check_stillness(text);
        check_xarf_of(mail, text);
        is_young |= text.contains("Not changed since watching began, ");
    }
    assert!(
        is_young,
        "one of them has a plane that is watched for some days"
    );
    assert_eq!(most_planes, 2, "one of them is double flux");
}

#[test]
fn the_decisions_of_a_mail_are_taken_where_nobody_is_logged_in() {
    let bench = bench(&format!(
        "{REPORT}digest = \"off\"\n[smtp]\nurl = \"maildir://desk\"\n"
    ));
    let mut feed = Feed::default();
    feed.set(0, "bad.example.", "NS", &["ns1.plain.test.".to_owned()]);
    feed.flux("bad.example.", 6, 72);
    bench.write("f.ndjson", feed.text(72));
    bench.run(0, &["poll"]);
    let mails = read_mails(&bench);
    paste_decisions(&bench, text_of(&mails[0]), &["ack", "dismiss"]);
    bench.run(0, &["poll"]);
    let mails = read_mails(&bench);
    let closing = mails
        .iter()
        .find(|mail| mail["headers"]["X-Fluxwatch-Kind"] == "closure");
    paste_decisions(&bench, text_of(closing.expect("a closing")), &["reopen"]);
}

#[test]
fn an_address_of_a_name_server_is_drawn_with_its_name_where_the_line_has_room() {
    let bench = bench(&format!(
        "{REPORT}digest = \"off\"\n[smtp]\nurl = \"maildir://desk\"\n"
    ));
    let mut feed = String::new();
    let mut line = |at: i64, name: &str, rrtype: &str, rdata: &[String]| {
        let line = serde_json::json!({"at": START + at, "zone": "example.", "rrname": name, "rrtype": rrtype, "op": "set", "ttl": 60, "rdata": rdata});
        feed += &format!("{line}\n");
    };
    let hosts = [
        "a.fast.example.",
        "the-longest-of-its-servers.fast.example.",
    ];
    line(
        -9 * 86_400,
        "fast.example.",
        "NS",
        &hosts.map(str::to_owned),
    );
    for (place, host) in hosts.iter().enumerate() {
        line(-9 * 86_400, host, "A", &[format!("10.{place}.0.1")]);
    }
    for turn in 0..20_i64 {
        for (place, host) in hosts.iter().enumerate() {
            let address = format!("10.{}.{place}.9", turn + 2);
            line(turn * 3600 + place as i64, host, "A", &[address]);
        }
    }
    bench.write("f.ndjson", feed);
    bench.run(0, &["poll"]);
    bench.run(0, &["report", "send", "fast.example", "--by", "ada"]);
    let mails = read_mails(&bench);
    let mail = mails.last().expect("a mail");
    let details = mail["parts"].as_array().expect("parts");
    let details = details.iter().find(|part| part["name"] == "details.txt");
    let details = details
        .and_then(|it| it["content"].as_str())
        .expect("details");
    let lanes = details
        .lines()
        .filter(|line| line.starts_with("  #") || line.starts_with("  ."));
    let lanes: Vec<&str> = lanes.collect();
    let named = |host: &str| lanes.iter().filter(|lane| lane.ends_with(host)).count();
    assert!(named("a[.]fast[.]example") > 0, "{details}");
    assert_eq!(named("servers[.]fast[.]example"), 0, "{details}");
    assert!(lanes.iter().all(|lane| lane.len() <= 78), "{lanes:#?}");
}
