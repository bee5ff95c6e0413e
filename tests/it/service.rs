//! `run` as a service: signals, metrics, pushed changes, files and feeds that change while it runs.

use crate::harness::{Bench, Running};
use crate::servers::free_port;
use crate::support::wait::until;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

/// A line of a feed: `d.example.` uses `host` from a time on.
fn line(at: i64, host: &str) -> String {
    format!(
        "{{\"at\":{at},\"zone\":\"example.\",\"rrname\":\"d.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"rdata\":[\"{host}.\"]}}\n"
    )
}

/// Returns the name servers that `d.example.` had, in order.
fn hosts(bench: &Bench) -> Vec<String> {
    let history = bench.json(&["history", "d.example", "--format", "json"]);
    let mut records = history["records"].as_array().expect("a list").clone();
    records.sort_by_key(|record| record["added_at"].as_str().map(str::to_owned));
    records
        .iter()
        .map(|record| {
            record["rdata"]
                .as_str()
                .expect("text")
                .trim_end_matches('.')
                .to_owned()
        })
        .collect()
}

/// Sends an HTTP request and returns status and body.
fn http(port: u16, request: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    let head = format!(
        "{request}Host: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let _ = stream.write_all(body.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}

const FEED: &str = "[[source]]\nname = \"events\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\nevery = \"1s\"\n";

#[test]
fn a_spool_that_was_moved_is_said_once_and_so_is_its_return() {
    let bench = Bench::new(
        "[[source]]\nname = \"s\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"spool\"\nevery = \"1s\"\n",
    );
    let (spool, away) = (bench.path().join("spool"), bench.path().join("away"));
    fs::create_dir(&spool).expect("the folder can be made");
    bench.run(0, &["poll"]);
    fs::rename(&spool, &away).expect("the folder can be moved");
    let running = Running::start(&bench, &["run"]);
    let attempt = || bench.json(&["status", "--format", "json"])[0]["last_attempt_at"].clone();
    until("the sentence", || running.log().contains("cannot read"));
    for _ in 0..2 {
        let before = attempt();
        until("the next pass", || attempt() != before);
    }
    assert_eq!(
        running.log().matches("cannot read").count(),
        1,
        "{}",
        running.log()
    );
    fs::rename(&away, &spool).expect("the folder can be moved");
    until("the return", || running.log().contains("is read again"));
    running.stop();
}

#[test]
fn feed_is_followed_through_rotation_and_truncation() {
    let bench = Bench::new(FEED);
    bench.write("f.ndjson", line(1_790_000_000, "ns0.test"));
    bench.run(0, &["poll"]);
    let append = |name: &str, text: &str| {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(bench.path().join(name))
            .expect("the feed");
        file.write_all(text.as_bytes()).expect("appended");
    };
    // Renamed some time ago: nobody writes there any more.
    let quiet = |name: &str, seconds: u64| {
        let file = fs::File::options()
            .append(true)
            .open(bench.path().join(name))
            .expect("the file");
        let at = std::time::SystemTime::now() - Duration::from_secs(seconds);
        file.set_modified(at).expect("a file's time can be set");
    };
    let rename = |from: &str, to: &str| {
        fs::rename(bench.path().join(from), bench.path().join(to)).expect("renamed")
    };
    // Lines written after the last poll, and the rotation right behind them.
    append("f.ndjson", &line(1_790_000_100, "ns1.test"));
    rename("f.ndjson", "f.ndjson.1");
    append("f.ndjson", &line(1_790_000_200, "ns2.test"));
    // The writer may still be at work in the renamed file: it is read, and not left yet.
    bench.run(0, &["poll"]);
    assert_eq!(hosts(&bench), ["ns0.test", "ns1.test"]);
    append("f.ndjson.1", &line(1_790_000_150, "ns1b.test"));
    quiet("f.ndjson.1", 60);
    bench.run(0, &["poll"]);
    assert_eq!(
        hosts(&bench),
        ["ns0.test", "ns1.test", "ns1b.test", "ns2.test"]
    );
    // Two rotations between two polls.
    append("f.ndjson", &line(1_790_000_300, "ns3.test"));
    rename("f.ndjson.1", "f.ndjson.2");
    rename("f.ndjson", "f.ndjson.1");
    std::thread::sleep(Duration::from_millis(20));
    append("f.ndjson", &line(1_790_000_400, "ns4.test"));
    rename("f.ndjson.2", "f.ndjson.3");
    rename("f.ndjson.1", "f.ndjson.2");
    rename("f.ndjson", "f.ndjson.1");
    quiet("f.ndjson.2", 120);
    quiet("f.ndjson.1", 60);
    quiet("f.ndjson.3", 600);
    append("f.ndjson", &line(1_790_000_500, "ns5.test"));
    bench.run(0, &["poll"]);
    assert_eq!(hosts(&bench).len(), 7);
    // Cut back in place (copytruncate), then written on.
    fs::write(
        bench.path().join("f.ndjson"),
        line(1_790_000_600, "ns6.test"),
    )
    .expect("cut back");
    bench.run(3, &["poll"]);
    assert_eq!(hosts(&bench).last().map(String::as_str), Some("ns6.test"));
    // Rotated and compressed before it was read to its end: said, not passed over.
    append("f.ndjson", &line(1_790_000_700, "ns7.test"));
    rename("f.ndjson", "f.ndjson.1.gz");
    append("f.ndjson", &line(1_790_000_800, "ns8.test"));
    bench.run(3, &["poll"]);
    let rows = bench.json(&["status", "--format", "json"]);
    assert!(rows.to_string().contains("rotated"), "{rows}");
    assert_eq!(hosts(&bench).last().map(String::as_str), Some("ns8.test"));
    bench.run(0, &["poll"]);
}

#[test]
fn feed_that_is_replaced_by_a_copy_of_itself_goes_on_and_a_rotated_copy_is_read_on_and_told() {
    let bench = Bench::new(FEED);
    let text = |hosts: std::ops::Range<i64>| -> String {
        let line = |n: i64| line(1_790_000_000 + 100 * n, &format!("ns{n}.test"));
        hosts.map(line).collect()
    };
    bench.write("f.ndjson", text(0..3));
    bench.run(0, &["poll"]);
    // As rsync does it, or as another host has it: another file, with the same lines and one more.
    let replace = |text: String| {
        let new = bench.write("new", text);
        fs::rename(new, bench.path().join("f.ndjson")).expect("renamed");
    };
    let is_told = || {
        let rows = bench.json(&["status", "--format", "json"]);
        rows.to_string().contains("rotated")
    };
    replace(text(0..4));
    bench.run(0, &["poll"]);
    assert!(!is_told(), "a copy is no other feed");
    assert_eq!(hosts(&bench).len(), 4);
    // One that says something else is another feed, as before.
    replace(text(4..6));
    bench.run(3, &["poll"]);
    assert!(is_told());
    assert_eq!(hosts(&bench).len(), 6);
    // What was read is gone, and a copy of it was rotated away: it may have lines that were not read.
    let copy = bench.write("f.ndjson.1", text(4..7));
    let at = std::time::SystemTime::now() - Duration::from_secs(60);
    let file = fs::File::options().append(true).open(copy);
    let file = file.expect("the file");
    file.set_modified(at).expect("a file's time can be set");
    replace(text(7..8));
    bench.run(3, &["poll"]);
    assert!(is_told());
    assert_eq!(hosts(&bench).len(), 8);
    bench.run(0, &["poll"]);
}

#[test]
fn spool_files_are_taken_whole_and_moved() {
    let bench = Bench::new(&FEED.replace("f.ndjson", "spool"));
    bench.write("spool/1", line(1_790_000_000, "ns0.test"));
    bench.write("spool/2", line(1_790_000_100, "ns1.test"));
    bench.write("spool/.3", "half a li");
    bench.run(0, &["poll"]);
    assert_eq!(hosts(&bench), ["ns0.test", "ns1.test"]);
    let there = |name: &str| bench.path().join("spool").join(name).exists();
    assert!(there("done/1") && there("done/2") && !there("1") && there(".3"));
    // A file of the same name keeps the first one; a bad line is set aside and the file is done.
    bench.write(
        "spool/1",
        format!("no line\n{}", line(1_790_000_200, "ns2.test")),
    );
    bench.run(3, &["poll"]);
    assert!(there("done/1.1"));
    assert_eq!(hosts(&bench).len(), 3);
}

#[test]
fn feed_comes_from_standard_input() {
    let bench = Bench::new("");
    let mut command = bench.command(&["import", "feed", "--zone", "example.", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    let text = line(1_790_000_000, "ns0.test") + &line(1_790_000_100, "ns1.test");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(text.as_bytes())
        .expect("read");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(hosts(&bench), ["ns0.test", "ns1.test"]);
}

/// A feed that is only pushed to, and metrics.
fn pushed(web: u16, metrics: u16) -> String {
    format!(
        "[[source]]\nname = \"pushed\"\nkind = \"feed\"\npush = true\n[web]\nlisten = \"127.0.0.1:{web}\"\ntoken_file = \"token\"\n[metrics]\nlisten = \"127.0.0.1:{metrics}\"\ntextfile = \"metrics.prom\"\n"
    )
}

#[test]
fn pushed_changes_are_durable_when_they_are_answered_and_metrics_tell_of_them() {
    let (web, metrics) = (free_port(), free_port());
    let bench = Bench::new(&pushed(web, metrics));
    let token = bench.write("token", "open-sesame-treasury\n");
    fs::set_permissions(token, fs::Permissions::from_mode(0o600)).expect("the mode can be set");
    let running = Running::start(&bench, &["run"]);
    until("the listener", || {
        TcpStream::connect(("127.0.0.1", web)).is_ok()
    });
    let post = |token: &str, body: &str| {
        http(
            web,
            &format!("POST /api/v1/changes HTTP/1.1\r\nAuthorization: Bearer {token}\r\n"),
            body,
        )
    };
    assert_eq!(post("wrong", &line(1_790_000_000, "ns0.test")).0, 401);
    assert_eq!(post("", "").0, 401);
    let (status, answer) = post(
        "open-sesame-treasury",
        &(line(1_790_000_000, "ns0.test") + &line(1_790_000_100, "ns1.test")),
    );
    assert_eq!(
        (status, answer.contains("\"versions\":2")),
        (202, true),
        "{answer}"
    );
    // It is there at once, for any other process.
    assert_eq!(hosts(&bench), ["ns0.test", "ns1.test"]);
    // Sent again, as who did not hear the answer does: nothing changes.
    let (status, answer) = post("open-sesame-treasury", &line(1_790_000_100, "ns1.test"));
    assert_eq!(
        (status, answer.contains("\"versions\":0")),
        (202, true),
        "{answer}"
    );
    let (status, answer) = post("open-sesame-treasury", "no line\n");
    assert_eq!(
        (status, answer.contains("\"rejected_lines\":1")),
        (202, true),
        "{answer}"
    );
    let (status, _) = http(
        web,
        "POST /api/v1/changes?source=other HTTP/1.1\r\nAuthorization: Bearer open-sesame-treasury\r\n",
        "",
    );
    assert_eq!(status, 404);
    assert_eq!(post("open-sesame-treasury", &"x".repeat(9 << 20)).0, 413);
    assert_eq!(
        http(web, "GET /metrics HTTP/1.1\r\n", "").0,
        404,
        "metrics have a port of their own"
    );
    let (status, page) = http(metrics, "GET /metrics HTTP/1.1\r\n", "");
    assert_eq!(status, 200);
    for wanted in [
        "fluxwatch_zone_changes_total{zone=\"example.\",source=\"pushed\"} 1",
        "fluxwatch_source_versions_total{source=\"pushed\"} 2",
        "fluxwatch_source_rejected_lines_total{source=\"pushed\"} 1",
        "# TYPE fluxwatch_source_polls_total counter",
        "fluxwatch_source_last_success_timestamp_seconds{source=\"pushed\"} ",
        "fluxwatch_sent_messages_total 0",
        "fluxwatch_database_bytes ",
        "fluxwatch_stage_seconds_count{stage=\"judge\"} ",
        "fluxwatch_notify_messages_total{result=\"taken\"} 0",
        "fluxwatch_http_request_seconds_sum{status=\"2xx\"} ",
        "process_open_fds ",
        "process_start_time_seconds ",
    ] {
        assert!(page.contains(wanted), "{wanted}\n{page}");
    }
    running.stop();
    assert!(!running_log(&bench).contains("open-sesame-treasury"));
}

/// Returns what the program said.
fn running_log(bench: &Bench) -> String {
    fs::read_to_string(bench.path().join("running.log")).unwrap_or_default()
}

#[test]
fn hangup_reads_the_configuration_anew_and_a_bad_one_is_told_and_not_taken() {
    let bench = Bench::new(FEED);
    bench.write("f.ndjson", line(1_790_000_000, "ns0.test"));
    let running = Running::start(&bench, &["run"]);
    until("the first line", || running.log().contains("1 version,"));
    // A sound file whose address is taken is not taken either.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("bound");
    bench.configure(&format!("{FEED}[metrics]\nlisten = \"{address}\"\n"));
    running.signal("HUP");
    until("the address", || running.log().contains("cannot listen on"));
    bench.configure("colour = 1\n");
    running.signal("HUP");
    until("the refusal", || {
        running.log().contains("not taken") && running.log().contains("colour")
    });
    bench.write(
        "f.ndjson",
        line(1_790_000_000, "ns0.test") + &line(1_790_000_100, "ns1.test"),
    );
    until("the old configuration at work", || {
        running.log().matches("1 version,").count() == 2
    });
    let second = FEED
        .replace("events", "more")
        .replace("f.ndjson", "g.ndjson");
    bench.write(
        "g.ndjson",
        line(1_790_000_200, "ns2.test").replace("example.", "second."),
    );
    bench.configure(&format!("{FEED}{second}"));
    running.signal("HUP");
    until("the new configuration", || {
        running.log().contains("configuration reloaded")
            && running.log().contains("watching 2 sources")
    });
    running.stop();
}

#[test]
fn systemd_is_told_ready_alive_and_stopping() {
    let bench = Bench::new(FEED);
    bench.write("f.ndjson", line(1_790_000_000, "ns0.test"));
    let path = bench.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a socket can be made");
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    let mut command = bench.command(&["run"]);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "2000000")
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("started");
    let mut buffer = [0; 4096];
    let mut next = || {
        let length = socket.recv(&mut buffer).expect("systemd is told");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let ready = next();
    assert!(
        ready.contains("READY=1") && ready.contains("STATUS=watching 1 source"),
        "{ready}"
    );
    assert!(next().contains("WATCHDOG=1"));
    // The loop goes round within half the watchdog's time, again and again.
    assert!(next().contains("WATCHDOG=1") && next().contains("WATCHDOG=1"));
    let pid = child.id().to_string();
    std::process::Command::new("kill")
        .args(["-HUP", &pid])
        .status()
        .expect("kill is there");
    let reloaded = (0..20)
        .map(|_| next())
        .find(|told| told.contains("RELOADING=1"));
    assert!(reloaded.is_some_and(|told| told.contains("MONOTONIC_USEC=")));
    std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .expect("kill is there");
    assert!(
        (0..20)
            .map(|_| next())
            .any(|told| told.contains("STOPPING=1"))
    );
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn compressed_zone_files_read_like_plain_ones() {
    let text = "example.\t3600\tin\tsoa\tns1.infra.test. host.infra.test. 7 3600 600 86400 300\nd.example.\t3600\tin\tns\tns1.infra.test.\nd.example.\t3600\tin\tns\tns2.infra.test.\n";
    let bench = Bench::new(
        "[[source]]\nname = \"czds\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z.zone*\"\n",
    );
    bench.write(
        "z.zone.zst",
        zstd::encode_all(text.as_bytes(), 3).expect("compressed"),
    );
    bench.run(0, &["poll"]);
    assert_eq!(hosts(&bench).len(), 2);
    // Cut off in the middle: refused, and the state stays.
    let whole = zstd::encode_all(
        (text.to_owned() + "e.example. 60 in ns x.test.\n").as_bytes(),
        3,
    )
    .expect("compressed");
    bench.write("z.zone.zst", &whole[..whole.len() - 9]);
    bench.run(3, &["poll"]);
    assert_eq!(bench.status("example.")["records"].as_u64(), Some(2));
    bench.write("z.zone.zst", whole);
    bench.run(0, &["poll"]);
    assert_eq!(bench.status("example.")["records"].as_u64(), Some(3));
}

#[test]
fn canary_that_is_not_seen_or_not_suspected_is_told() {
    let canary = "[canary]\ndomain = \"d.example.\"\nevery = \"36h\"\n";
    let mail = "[report]\nfrom = \"f@registrar.example\"\ndesk = [\"d@registrar.example\"]\norg = \"R\"\ncontact = \"a@registrar.example\"\n[smtp]\nurl = \"maildir://desk\"\n";
    let bench = Bench::new(&format!("{FEED}{canary}{mail}"));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs() as i64;
    bench.write("f.ndjson", "");
    assert!(
        bench
            .run_stderr(3, &["poll"])
            .contains("none was ever seen")
    );
    let day = 86_400;
    let changes = |count: i64, last: i64| {
        (0..=count)
            .map(|n| line(last - (count - n) * day, &format!("ns{n}.test")))
            .collect::<String>()
    };
    // Old changes, then two fresh ones: seen, but too few to be suspected.
    bench.write("f.ndjson", changes(2, now - 10 * day));
    assert!(
        bench
            .run_stderr(3, &["poll"])
            .contains("the last one seen was at")
    );
    bench.write(
        "f.ndjson",
        changes(2, now - 10 * day) + &line(now - 3600, "ns9.test"),
    );
    assert!(bench.run_stderr(3, &["poll"]).contains("no open case"));
    let well = Bench::new(&format!("{FEED}{canary}{mail}"));
    well.write("f.ndjson", changes(7, now - 3600));
    well.run(0, &["poll"]);
    assert_eq!(well.cases()[0]["domain"], "d.example.");
    assert!(well.maildir().is_empty(), "the canary's case is a test");
}

#[test]
fn held_zone_is_released_beside_the_service() {
    let zone = |serial: u32, count: u32| {
        let mut text =
            format!("@ 60 IN SOA a.test. b.test. {serial} 1 1 1 1\n@ 60 IN NS a.test.\n");
        (0..count).for_each(|n| text += &format!("d{n} 60 IN NS a.test.\n"));
        text
    };
    let bench = Bench::new(
        "[[source]]\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z.zone\"\nevery = \"1s\"\n",
    );
    bench.write("z.zone", zone(1, 200));
    let running = Running::start(&bench, &["run"]);
    let records = || bench.json(&["status", "--format", "json"])[0]["records"].as_u64();
    until("the first version", || {
        let status = bench.command(&["status"]).output();
        status.expect("it runs").status.success() && records() == Some(201)
    });
    std::thread::sleep(Duration::from_millis(1100));
    bench.write("z.zone", zone(2, 20));
    until("the hold", || bench.status("example.")["held"] == true);
    assert!(
        bench
            .run_stderr(0, &["poll", "--accept", "example."])
            .contains("will take")
    );
    until("the release", || records() == Some(21));
    assert_eq!(bench.status("example.")["held"], false);
    running.stop();
}
