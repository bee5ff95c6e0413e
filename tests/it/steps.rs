//! Steps of the desk: each stands on record under a name, and is done whole or not at all wherever a kill comes.
//!
//! `FLUXWATCH_KILLS` sets how many times (20 by default); `benches/full` sets 200.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fluxwatch::desk::zones::accept;
use fluxwatch::dns::Name;
use fluxwatch::time::{Clock, SetClock, WallClock};
use serde_json::{Value, json};

use crate::console::{Browser, Desk, PASSWORD};
use crate::disk_faults::build_library;
use crate::harness::{Bench, REPORT, Running, both};
use crate::support::desk::{Feed, bench};
use crate::support::kills::kills;
use crate::support::rows::{copy_cases, sql};
use crate::support::stores::has_no_file;

/// What people did, as `cases log` has it.
fn people_did(bench: &Bench) -> Vec<Value> {
    let log = bench.json(&["cases", "log", "--format", "json"]);
    log.as_array().expect("a list").clone()
}

/// Returns who did what in a log: `anna FW-000001 message 1 …`.
fn lines(log: &[Value]) -> Vec<String> {
    let word = |line: &Value, key: &str| line[key].as_str().unwrap_or("-").to_owned();
    let lines = log.iter().map(|line| {
        let words = ["who", "case", "note"].map(|key| word(line, key));
        words.join(" ")
    });
    lines.collect()
}

#[test]
fn steps_with_messages_and_zones_stand_in_the_log_under_the_persons_name() {
    let bench = reported("");
    sql(
        &bench,
        "update message set state = 'dead', last_reply = '550 no' where id = 1;
         update zone set held = 1;
         insert into message (case_id, revision, kind, recipient, sender, message_id, subject, octets, state, queued_at, next_attempt_at)
             select null, 1, 'digest', recipient, sender, 'digest@x', subject, octets, 'dead', queued_at, next_attempt_at
               from message where id = 1;",
    );
    let digest = bench.json(&["outbox", "list", "--all", "--format", "json"]);
    let digest = digest
        .as_array()
        .expect("a list")
        .iter()
        .find(|it| it["kind"] == "digest");
    let digest = digest.expect("it is there")["id"].to_string();
    bench.run(0, &["outbox", "retry", "1", "--by", "anna"]);
    sql(
        &bench,
        "update message set state = 'dead' where kind = 'digest';",
    );
    bench.run(0, &["outbox", "drop", &digest, "--by", "adam"]);
    let zone = Name::parse("example.").expect("a name");
    let store = bench.pipeline(Arc::new(SetClock::new(WallClock.now())));
    let accepted = accept(store.store(), &zone, "anna", WallClock.now());
    accepted.expect("it is held");
    drop(store);
    bench.run(0, &["poll", "--accept", "example"]);
    let log = people_did(&bench);
    let did = lines(&log);
    assert!(
        did.iter()
            .any(|it| it.starts_with("anna FW-000001 message 1 to abuse")
                && it.ends_with("to be tried again; it was dead")),
        "{did:?}"
    );
    assert!(
        did.iter()
            .any(|it| it.starts_with(&format!("adam - message {digest} to "))
                && it.ends_with(" dropped")),
        "{did:?}"
    );
    let accepted = "- zone example: its next version accepted although it shrank";
    assert_eq!(
        did.iter().filter(|it| it.ends_with(accepted)).count(),
        2,
        "{did:?}"
    );
    assert!(did.contains(&format!("anna {accepted}")), "{did:?}");
    assert!(
        did.iter().all(|it| !it.starts_with("fluxwatch")),
        "the program is no person: {did:?}"
    );
    assert_eq!(
        bench.json(&["cases", "log", "--since", "2100-01-01", "--format", "json"]),
        json!([])
    );
    let table = bench.run(0, &["cases", "log"]);
    assert!(
        table.contains("FW-000001") && table.contains("dropped"),
        "{table}"
    );
}

#[test]
fn name_that_is_no_users_is_refused_where_there_are_users() {
    let bench = reported("[web]\nlisten = \"127.0.0.1:5380\"\nusers_file = \"users\"\n");
    bench.write_users(&[("anna", "approver", PASSWORD)]);
    let refused = bench.run_stderr(2, &["cases", "ack", "fw-1", "--by", "ana"]);
    assert!(
        refused.contains("\"ana\" is no user of") && refused.contains("fluxwatch users list"),
        "{refused}"
    );
    for command in [
        &["outbox", "retry", "--by", "ana"][..],
        &[
            "exempt",
            "add",
            "domain",
            "ok.example",
            "--reason",
            "ours",
            "--by",
            "ana",
        ],
        &["report", "send", "FW-1", "--by", "ana"],
        &[
            "tokens", "add", "machine", "--role", "viewer", "--by", "ana",
        ],
        &["cases", "note", "1", "--note", "x", "--by", "fluxwatch"],
    ] {
        bench.run(2, command);
    }
    for case in ["FW-1", "fw-000001", "1", "Fw-0001"] {
        bench.run(
            0,
            &["cases", "note", case, "--note", "seen", "--by", "anna"],
        );
    }
    assert_eq!(lines(&people_did(&bench)), vec!["anna FW-000001 seen"; 4]);
    for (login, is_told) in [("root", true), ("adam", false)] {
        let mut command = bench.command(&["cases", "note", "1", "--note", "mine"]);
        command.env("USER", login).env_remove("SUDO_USER");
        let output = command.output().expect("the program can be started");
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.success(), "{said}");
        let note = "note: fluxwatch takes you for root, your login, who is no user of ";
        assert_eq!(
            said.contains(note) && said.contains("`--by NAME`"),
            is_told,
            "{said}"
        );
    }
}

/// A bench with a case that was mailed to the desk, and a draft of a notice that waits.
fn reported(more: &str) -> Bench {
    let bench = bench(&format!(
        "{REPORT}[smtp]\nurl = \"maildir://desk\"\n[[recipient]]\nregistrar = \"1234\"\naddress = \"abuse@registrar.test\"\n{more}"
    ));
    if more.contains("users_file") {
        bench.write_users(&[
            ("anna", "approver", PASSWORD),
            ("adam", "approver", PASSWORD),
        ]);
    }
    let mut feed = Feed::default();
    feed.flux("bad.example.", 0, 96);
    bench.write("f.ndjson", feed.text(96));
    bench.run(0, &["poll"]);
    assert_eq!(bench.cases().len(), 1);
    bench
}

/// Returns a copy of a bench.
fn copy(bench: &Bench) -> Bench {
    let copy = Bench::new("");
    let copied = Command::new("cp")
        .args(["-a", "-T"])
        .args([bench.path(), copy.path()])
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "not copied");
    copy
}

/// Returns what a step changes: the case, what people did, notices, messages, exemptions. Without what is drawn or of the
/// clock, and without what a later pass adds: an approved notice is queued, a queued message is tried.
fn state(bench: &Bench) -> Value {
    let strip = |mut rows: Value, keys: &[&str]| {
        let rows_of = rows.as_array_mut().into_iter().flatten();
        for row in rows_of.filter_map(Value::as_object_mut) {
            row.retain(|key, _| keys.contains(&key.as_str()));
            let later = match row.get("state").and_then(Value::as_str) {
                Some("sending") => Some("queued"),
                Some("queued") if keys.contains(&"decided_by") => Some("approved"),
                _ => None,
            };
            if let Some(word) = later {
                row.insert("state".to_owned(), json!(word));
            }
        }
        rows
    };
    let shown = bench.json(&["cases", "show", "1", "--format", "json"]);
    let messages = bench.json(&["outbox", "list", "--all", "--format", "json"]);
    let messages = messages.as_array().into_iter().flatten();
    let messages: Vec<&Value> = messages.filter(|it| it["kind"] != "notice").collect();
    json!({
        "state": shown["state"], "assignee": shown["assignee"], "dismissed_as": shown["dismissed_as"],
        "notices": strip(shown["notices"].clone(), &["recipient", "state", "decided_by"]),
        "messages": strip(json!(messages), &["id", "kind", "recipient", "state"]),
        "exemptions": strip(bench.json(&["exempt", "list", "--all", "--format", "json"]), &["id", "value", "author", "in_force"]),
        "did": strip(bench.json(&["cases", "log", "--format", "json"]), &["who", "note", "case"]),
    })
}

/// Returns a program of a bench that is killed at a call.
fn killed_at(
    bench: &Bench,
    library: &Path,
    arguments: &[&str],
    (calls, at): (&str, u64),
) -> Command {
    let mut command = bench.command(arguments);
    command
        .env("LD_PRELOAD", library)
        .env("FAIL_UNDER", bench.path())
        .env("FAIL_CALLS", calls)
        .env("FAIL_AT", at.to_string())
        .env("FAIL_AS", "kill");
    command
}

/// The steps of the desk, as a person takes them.
const STEPS: [&[&str]; 7] = [
    &[
        "cases", "dismiss", "1", "--reason", "test", "--note", "ours", "--by", "anna",
    ],
    &["cases", "close", "1", "--mitigated", "--by", "anna"],
    &["cases", "assign", "1", "--to", "adam", "--by", "anna"],
    &[
        "report",
        "reject",
        "1",
        "--to",
        "abuse@registrar.test",
        "--note",
        "not theirs",
        "--by",
        "anna",
    ],
    &["outbox", "drop", "1", "--by", "anna"],
    &[
        "exempt",
        "add",
        "domain",
        "bad.example",
        "--reason",
        "ours",
        "--by",
        "anna",
    ],
    &[
        "report",
        "approve",
        "1",
        "--to",
        "abuse@registrar.test",
        "--by",
        "anna",
    ],
];

#[test]
fn step_that_is_killed_is_done_whole_or_not_at_all() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = build_library(folder.path());
    // Mail cannot leave: what a delivery adds is no part of the step.
    let before = reported("");
    let config = fs::read_to_string(before.config()).expect("written");
    fs::write(
        before.config(),
        config.replace("maildir://desk", "smtp://127.0.0.1:9"),
    )
    .expect("written");
    sql(
        &before,
        "update message set state = 'dead', next_attempt_at = 9000000000 where id = 1;",
    );
    let first = state(&before);
    let (mut done, mut ends) = (0, BTreeSet::new());
    let rounds = kills().div_ceil(STEPS.len() as u32);
    for (number, step) in STEPS.iter().enumerate() {
        let whole = copy(&before);
        let told = folder.path().join("told");
        let mut command = killed_at(&whole, &library, step, ("memory", 0));
        let output = command.env("FAIL_COUNT", &told).output().expect("it runs");
        assert!(
            matches!(output.status.code(), Some(0 | 3)),
            "{step:?}: {}",
            both(&output)
        );
        let count: u64 = fs::read_to_string(&told)
            .expect("told")
            .trim()
            .parse()
            .expect("a number");
        let last = state(&whole);
        assert_ne!(first, last, "{step:?} changes nothing");
        for round in 0..rounds {
            // From the first statement to the end: what comes before is the configuration.
            let at = count / 4
                + (count * 3 / 4) * u64::from(round * 7 + number as u32 % 7 + 1)
                    / u64::from(rounds * 7 + 1);
            let bench = copy(&before);
            let output = killed_at(&bench, &library, step, ("memory", at))
                .output()
                .expect("it runs");
            let is_killed = output.status.code().is_none();
            let found = state(&bench);
            assert!(
                found == first || found == last,
                "{step:?} killed at {at} of {count}: {found:#}"
            );
            ends.insert((number, found == first));
            done += u32::from(is_killed);
        }
    }
    assert!(done * 10 >= kills() * 9, "{done} kills");
    assert!(
        ends.iter().any(|it| it.1) && ends.iter().any(|it| !it.1),
        "kills came before and after commits"
    );
}

/// Starts a service on a port, under a library that may kill it.
fn serve(bench: &Bench, library: Option<(&Path, &Path, u64)>, port: u16) -> std::process::Child {
    let mut command = bench.command(&["run"]);
    if let Some((library, armed, at)) = library {
        command
            .env("LD_PRELOAD", library)
            .env("FAIL_UNDER", bench.path())
            .env("FAIL_CALLS", "write")
            .env("FAIL_AT", at.to_string())
            .env("FAIL_AS", "kill")
            .env("FAIL_ARMED", armed);
    }
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it can be started");
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "it does not listen"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// Sends a request and returns what comes back, which may be nothing.
fn send(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let mut answer = Vec::new();
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn step_of_the_api_with_a_key_that_is_killed_is_taken_once_when_it_is_sent_again() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = build_library(folder.path());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let before = reported(&format!(
        "[web]\nlisten = \"127.0.0.1:{port}\"\nusers_file = \"users\"\n"
    ));
    let token = before.run(
        0,
        &[
            "tokens", "add", "machine", "--role", "reviewer", "--by", "anna",
        ],
    );
    let token = token.trim();
    let head = format!("Host: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n");
    let mut service = serve(&before, None, port);
    let case = send(port, &format!("GET /api/v1/cases/1 HTTP/1.1\r\n{head}\r\n"));
    let etag = case
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .expect("an ETag")
        .to_owned();
    service.kill().expect("it is ours");
    service.wait().expect("it ends");
    let body = "{\"step\":\"note\",\"note\":\"from the machine\"}";
    let request = format!(
        "POST /api/v1/cases/1/steps HTTP/1.1\r\n{head}Content-Type: application/json\r\nIf-Match: {etag}\r\nIdempotency-Key: one\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (mut at, mut killed) = (1, 0);
    loop {
        let bench = copy(&before);
        let armed = folder.path().join("armed");
        let _ = fs::remove_file(&armed);
        let mut service = serve(&bench, Some((&library, &armed, at)), port);
        fs::write(&armed, "").expect("written");
        let answer = send(port, &request);
        let is_over = answer.starts_with("HTTP/1.1 200");
        let _ = service.kill();
        service.wait().expect("it ends");
        killed += u32::from(!is_over);
        let mut service = serve(&bench, None, port);
        let again = send(port, &request);
        assert!(
            again.starts_with("HTTP/1.1 200"),
            "killed at write {at}: {again}"
        );
        service.kill().expect("it is ours");
        service.wait().expect("it ends");
        let notes = bench.json(&["cases", "log", "--format", "json"]);
        assert_eq!(
            lines(notes.as_array().expect("a list")),
            ["machine FW-000001 from the machine"],
            "killed at write {at}"
        );
        if is_over || at > 60 {
            break;
        }
        at += 4;
    }
    assert!(killed >= 3, "only {killed} kills");
}

#[test]
fn step_of_a_machine_is_answered_once_and_tells_of_the_closure() {
    let desk = Desk::start(1, "");
    let token = desk.bench.run(
        0,
        &[
            "tokens", "add", "machine", "--role", "reviewer", "--by", "anna",
        ],
    );
    let head = format!(
        "Authorization: Bearer {}\r\nContent-Type: application/json\r\nIf-Match: *\r\nIdempotency-Key: k\r\n",
        token.trim()
    );
    let mut machine = Browser::new(desk.port);
    let mut step = || machine.send("POST", "/api/v1/cases/1/steps", &head, "{\"step\":\"ack\"}");
    let first = step();
    assert!(first.body.contains("\"ending\":null"), "{}", first.body);
    desk.bench.run(
        0,
        &["cases", "note", "1", "--note", "meanwhile", "--by", "rolf"],
    );
    let again = step();
    // With another ETag the machine would believe that it had seen the note.
    assert_eq!(
        (again.header("etag"), &again.body),
        (first.header("etag"), &first.body)
    );
    // Whoever ends a case by machine is told of the mail, as one at the command line is.
    let ends = "{\"step\":\"dismiss\",\"reason\":\"test\"}";
    let ended = machine.send(
        "POST",
        "/api/v1/cases/1/steps",
        &head.replace(": k\r", ": e\r"),
        ends,
    );
    assert!(
        ended.body.contains("a closure is mailed to "),
        "{}",
        ended.body
    );
    desk.running.stop();
}

#[test]
fn wrong_passwords_behind_a_named_proxy_slow_their_own_address_down() {
    let desk = Desk::start(1, "proxies = [\"127.0.0.1\"]\n");
    let enter = |from: &str, name: &str, password: &str| {
        let mut browser = Browser::new(desk.port);
        let token = browser
            .get("/login")
            .between("name=\"token\" value=\"", "\"");
        let body = format!("token={token}&name={name}&password={password}");
        let lines = format!(
            "X-Forwarded-For: 203.0.113.9, {from}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        );
        let started = Instant::now();
        let answer = browser.send("POST", "/login", &lines, &body);
        (answer.status, started.elapsed())
    };
    for guess in 0..6 {
        assert_eq!(
            enter("192.0.2.66", &format!("guess{guess}"), "wrong").0,
            401
        );
    }
    let (status, waited) = enter("192.0.2.66", "vera", &PASSWORD.replace(' ', "+"));
    assert!(
        status == 303 && waited >= Duration::from_secs(1),
        "{status} after {waited:?}"
    );
    let (status, waited_elsewhere) = enter("192.0.2.77", "anna", &PASSWORD.replace(' ', "+"));
    assert!(
        status == 303 && waited_elsewhere < waited,
        "{status} after {waited_elsewhere:?}"
    );
    assert!(
        desk.running.log().contains("192.0.2.66"),
        "the log names the client: {}",
        desk.running.log()
    );
    desk.running.stop();
}

#[test]
fn preview_of_an_exemption_finds_cases_by_name_and_looks_at_few_histories() {
    let bench = reported("");
    bench.write("registrations.csv", "domain,created,registrar,account\nbad.example,2026-05-01,1234,account-7\ncopy3.example,2026-05-01,1234,account-7\ncopy4.example,2026-05-01,1234,account-8\n");
    copy_cases(
        &bench,
        600,
        &[
            ("domain", "'copy{n}.example.'"),
            ("level", "'review'"),
            ("campaign_id", "null"),
        ],
    );
    let preview = |kind: &str, value: &str| {
        bench.run(
            0,
            &[
                "exempt",
                "add",
                kind,
                value,
                "--reason",
                "ours",
                "--dry-run",
                "--by",
                "anna",
            ],
        )
    };
    let all = preview("subtree", "example");
    assert_eq!(all.matches("no mail any more").count(), 601, "{all}");
    let one = preview("domain", "copy5.example");
    assert!(
        one.contains("copy5.example") && one.matches("no mail").count() == 1,
        "{one}"
    );
    let account = preview("account", "account-7");
    assert!(
        account.contains("bad.example")
            && account.contains("copy3.example")
            && account.matches("no mail").count() == 2,
        "{account}"
    );
    // The one that rests on the name server is looked at first, whatever its level.
    sql(
        &bench,
        "update abuse_case set level = 'review', score = 0 where id = 1;",
    );
    let host = preview("nameserver", "ns.badexamplepool000.test");
    assert!(
        host.contains("bad.example") && host.contains("only a part of what rotates"),
        "{host}"
    );
    assert!(
        host.contains("301 more cases of level report and review may be touched"),
        "{host}"
    );
    let operator = preview("operator", "badexamplepool000.test");
    assert!(operator.contains("bad.example"), "{operator}");
}

#[test]
fn plot_of_months_counts_what_the_statistics_of_a_month_count() {
    let desk = Desk::start(3, "");
    desk.bench.run(
        0,
        &["cases", "dismiss", "2", "--reason", "test", "--by", "rolf"],
    );
    let log = desk.log("1");
    let month = log[0]["at"].as_str().expect("a time")[..7].to_owned();
    let mut vera = desk.browser("vera");
    let page = vera.get(&format!("/numbers?month={month}")).body;
    let stats = desk
        .bench
        .json(&["stats", "--month", &month, "--format", "json"]);
    let opened = &stats["all"]["opened"];
    assert_eq!(opened, 3, "{stats}");
    assert!(
        page.contains(&format!("<th scope=\"row\">{month}</th><td>{opened}</td>")),
        "{page}"
    );
    desk.running.stop();
}

#[test]
fn page_of_a_case_names_what_has_its_campaign_its_servers_or_its_account() {
    let bench = bench(&format!("{REPORT}[smtp]\nurl = \"maildir://desk\"\n"));
    bench.write("registrations.csv", "domain,created,registrar,account\nbad.example,2026-05-01,1234,account-7\nsibling.example,2026-05-01,1234,account-7\nother.example,2026-05-01,1234,account-8\n");
    let mut feed = Feed::default();
    feed.flux("bad.example.", 0, 96);
    // Another domain rests on one of its name servers, and a quiet one is on the last two.
    let host = |n: usize| format!("ns.badexamplepool{n:03}.test.");
    feed.flux("worse.example.", 0, 90);
    feed.set(
        93,
        "worse.example.",
        "NS",
        &[host(30), "ns.worseexamplepool099.test.".to_owned()],
    );
    feed.set(94, "quiet.example.", "NS", &[host(30), host(31)]);
    bench.write("f.ndjson", feed.text(96));
    let port = free_port();
    let config = fs::read_to_string(bench.config()).expect("written");
    fs::write(
        bench.config(),
        format!("{config}[web]\nlisten = \"127.0.0.1:{port}\"\nusers_file = \"users\"\n"),
    )
    .expect("written");
    bench.write_users(&[("vera", "viewer", PASSWORD)]);
    bench.run(0, &["poll"]);
    let running = Running::start(&bench, &["run"]);
    crate::support::wait::until("it listens", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let mut vera = Browser::new(port);
    assert_eq!(vera.log_in("vera", PASSWORD).status, 303);
    let page = vera.get("/cases/bad.example").body;
    let related = page.split_once("Related names").expect("there are some").1;
    let related = related.split_once("<h2>").expect("a section follows").0;
    let about = |heading: &str| {
        related
            .split_once(heading)
            .map_or("", |it| it.1)
            .split("<h3>")
            .next()
            .unwrap_or("")
            .to_owned()
    };
    assert!(
        about("with the same name servers").contains("worse.example"),
        "{related}"
    );
    assert!(
        about("and not suspected").contains("quiet.example"),
        "{related}"
    );
    let account = about("Of the same account: 0 cases, 1 other domains");
    assert!(
        account.contains("sibling.example") && !account.contains("other.example"),
        "{related}"
    );
    assert!(
        !page.contains("account-7"),
        "the account itself is not told"
    );
    running.stop();
}

/// Returns a port that is free now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("bound").port()
}
