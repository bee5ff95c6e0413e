//! The lines that the manual gives for a primary, at real primaries.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::harness::Bench;
use crate::servers::{
    PowerDns, Running, TSIG_SECRET, WAIT_MAX, command_of, free_port, new_folder, poll, tail_of,
    text_of, unconfined,
};

/// The page.
const PAGE: &str = include_str!("../../docs/how-to/set-up-the-primary.md");

/// A zone with its SOA, a name server and a delegation.
const ZONE: &str = "$TTL 300\n@ SOA ns1.registry.example. host.registry.example. 7 3600 600 86400 300\n@ NS ns1.registry.example.\nns1 A 192.0.2.53\na NS ns1.a.test.\n";

/// Returns the block of code below a heading of the page.
fn block(heading: &str) -> &'static str {
    let below = PAGE
        .split(&format!("\n## {heading}\n"))
        .nth(1)
        .expect("the heading");
    let code = below.split("```").nth(1).expect("a block");
    code.split_once('\n').expect("a language").1
}

/// Returns a block for this machine: the zone's file, the secret, loopback addresses.
fn here(heading: &str, zone: &Path, notify_port: u16) -> String {
    let mut text = block(heading).replace("SECRET", TSIG_SECRET);
    for folder in ["/var/lib/bind", "/var/lib/knot", "/var/lib/nsd"] {
        text = text.replace(
            &format!("{folder}/registry.example.zone"),
            &zone.display().to_string(),
        );
    }
    text.replace("192.0.2.10", "127.0.0.1")
        .replace("5399", &notify_port.to_string())
}

/// Expects fluxwatch to take the zone with the lines that the page has for it.
fn expect_transfer(primary: SocketAddr, notify_port: u16) {
    let lines = block("fluxwatch")
        .replace("/etc/fluxwatch/transfer.key", "transfer.key")
        .replace("192.0.2.1:53", &primary.to_string())
        .replace("192.0.2.10:5399", &format!("127.0.0.1:{notify_port}"));
    let bench = Bench::new("");
    bench.key_section();
    bench.configure(&lines);
    bench.run(0, &["config", "check"]);
    bench.run(0, &["poll"]);
    let status = bench.status("registry.example.");
    assert_eq!(status["serial"], 7, "{status}");
    // Without the key it is nobody's.
    bench.configure(&lines.replace("key = \"transfer.example.\"\n", ""));
    bench.run(3, &["poll", "--full"]);
}

/// Starts a server with its own settings and those of the page, and has fluxwatch take the zone.
fn check(program: &str, arguments: &[&str], heading: &str, own: impl Fn(&str, u16) -> String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = new_folder(folder.path(), program);
    let zone = folder.join("zone");
    fs::write(&zone, ZONE).expect("written");
    let (port, notify_port) = (free_port(), free_port());
    let place = folder.to_str().expect("text");
    let text = own(place, port) + &here(heading, &zone, notify_port);
    let (configuration, log) = (folder.join("server.conf"), folder.join("log"));
    fs::write(&configuration, text).expect("written");
    let mut command = Command::new(unconfined(program, &folder));
    command.args(arguments).arg(&configuration);
    let running = Running::spawn(command, &log);
    let answers = || {
        let mut dig = command_of("dig");
        let options =
            format!("-r @127.0.0.1 -p {port} +short +time=2 +tries=1 registry.example. SOA");
        let text = text_of(
            &dig.args(options.split(' '))
                .output()
                .expect("dig is installed"),
        );
        match text.contains(" 7 ") {
            true => Ok(()),
            false => Err(text),
        }
    };
    if let Err(why) = poll(WAIT_MAX, &|| false, answers) {
        panic!("{program}: {why}\n{}", tail_of(&log));
    }
    expect_transfer(SocketAddr::from(([127, 0, 0, 1], port)), notify_port);
    running.end();
}

#[test]
fn bind_with_the_lines_of_the_manual_sends_the_zone() {
    check("named", &["-g", "-n", "2", "-c"], "BIND", |place, port| {
        format!(
            "options {{ directory \"{place}\"; pid-file \"{place}/named.pid\"; session-keyfile \"{place}/session.key\"; lock-file none; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; empty-zones-enable no; }};\ncontrols {{ }};\n"
        )
    });
}

#[test]
fn knot_with_the_lines_of_the_manual_sends_the_zone() {
    check("knotd", &["-c"], "Knot", |place, port| {
        format!(
            "server:\n    rundir: \"{place}\"\n    listen: 127.0.0.1@{port}\n    udp-workers: 1\n    tcp-workers: 2\n    background-workers: 1\nlog:\n  - target: stderr\n    any: info\ndatabase:\n    storage: \"{place}\"\n    journal-db-max-size: 1G\n    kasp-db-max-size: 10M\n    timer-db-max-size: 10M\n    catalog-db-max-size: 10M\n"
        )
    });
}

#[test]
fn nsd_with_the_lines_of_the_manual_sends_the_zone() {
    check("nsd", &["-d", "-c"], "NSD", |place, port| {
        format!(
            "server:\n    ip-address: 127.0.0.1@{port}\n    server-count: 1\n    username: \"\"\n    chroot: \"\"\n    database: \"\"\n    zonesdir: \"{place}\"\n    pidfile: \"{place}/nsd.pid\"\n    xfrdfile: \"{place}/xfrd.state\"\n    xfrdir: \"{place}\"\n    zonelistfile: \"{place}/zone.list\"\n    rrl-ratelimit: 0\nremote-control:\n    control-enable: no\n"
        )
    });
}

#[test]
fn powerdns_with_the_commands_of_the_manual_sends_the_zone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = PowerDns::start(folder.path(), "registry.example.", ZONE);
    let commands = block("PowerDNS")
        .replace("SECRET", TSIG_SECRET)
        .replace("192.0.2.10", "127.0.0.1");
    for line in commands.lines() {
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        server.control(&words);
    }
    expect_transfer(server.address(), free_port());
}
