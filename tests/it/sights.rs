//! When a zone was seen and when not: what moved meanwhile is held against nobody, and is judged once the zone is seen again.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use fluxwatch::time::{SetClock, Span, Timestamp};

use crate::benign::{Feed, accused, bench};
use crate::harness::{Bench, poll};
use crate::servers::{Extras, Knot};
use crate::support::rows::sql;
use crate::support::scripted::{ns, primary_with, zone_of};
use crate::support::sources::source;

/// A feed and the table of networks, with a source of the zone `cust.example.` before them.
fn sections(path: &str) -> String {
    format!(
        "[[source]]\nname = \"cust\"\nkind = \"zonefile\"\nzone = \"cust.example.\"\n{path}\n[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n"
    )
}

/// The beginning of what the made feeds tell, and so many hours later.
fn later(hours: i64) -> Timestamp {
    Timestamp::from_unix(1_790_000_000) + Span::hours(hours)
}

/// A zone file whose domain uses the name servers of an operator that nobody delegates.
fn customer(serial: usize, host: &str) -> String {
    format!(
        "$TTL 60\n@ SOA ns1.op.test. host.op.test. {serial} 1 1 1 1\n@ NS ns1.{host}.\n@ NS ns2.{host}.\nwww A 10.9.0.1\n"
    )
}

/// The name servers of that operator move every hour, as the registry of `test.` tells, which keeps their addresses.
fn moving(from: usize, to: usize) -> Feed {
    let mut feed = Feed::default();
    feed.set(0.0, "test.", "test.", "NS", &["a.nic.test.".into()]);
    for at in from..to {
        let host = format!("ns{}.op.test.", 1 + at % 2);
        let address = format!("10.{}.{}.1", 20 + at * 7 % 200, at % 250);
        feed.set(at as f64, "test.", &host, "A", &[address]);
    }
    feed
}

/// Writes a file as of so many hours after the beginning.
fn write_at(bench: &Bench, name: &str, hours: i64, text: String) {
    bench.write(name, text);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(later(hours).unix() as u64);
    let file = fs::File::options()
        .write(true)
        .open(bench.path().join(name));
    file.expect("it is there").set_modified(time).expect("set");
}

/// Returns the level that `explain` tells of the customer as of so many hours after the beginning.
fn level_at(bench: &Bench, hours: i64) -> Option<String> {
    let at = later(hours).to_string();
    let why = bench.json(&["explain", "cust.example", "--at", &at, "--format", "json"]);
    why["level"].as_str().map(str::to_owned)
}

#[test]
fn a_daily_file_that_is_late_says_nothing_of_times_after_its_own() {
    // Whether the files of three days are missing, and whether the domain had left on the first of them.
    for (is_late, has_left) in [(true, true), (true, false), (false, true), (false, false)] {
        let bench = bench(&moving(0, 1).0);
        bench.configure(&sections(
            "path = \"cust-*.zone\"\ntime_pattern = \"cust-%Y-%m-%d.zone\"",
        ));
        let clock = Arc::new(SetClock::new(later(24 * 9)));
        let write = |day: i64| {
            let host = match has_left && day > 9 {
                true => "other.test",
                false => "op.test",
            };
            let name = format!("cust-{}.zone", later(24 * day).to_date());
            bench.write(&name, customer(day as usize + 1, host));
        };
        (0..10).for_each(write);
        poll(&bench.pipeline(clock.clone()));
        if !is_late {
            (10..13).for_each(write);
        }
        // From two days after the newest file on.
        bench.write("f.ndjson", moving(255, 296).0);
        clock.set(later(297));
        poll(&bench.pipeline(clock.clone()));
        let is_accused = || accused(&bench).contains(&"cust.example.".to_owned());
        assert_eq!(is_accused(), !is_late && !has_left, "{is_late} {has_left}");
        if is_late {
            assert_eq!(level_at(&bench, 295), None);
        }
        write(13);
        clock.set(later(24 * 13));
        poll(&bench.pipeline(clock.clone()));
        assert_eq!(is_accused(), !has_left, "{is_late} {has_left}: read again");
        if is_late && !has_left {
            assert_eq!(level_at(&bench, 295), None, "nobody could know");
            let until = later(24 * 13).to_string();
            let found = bench.run(0, &["backtest", "--since", "2026-09-22", "--until", &until]);
            assert!(found.contains("cust.example"), "{found}");
        }
    }
}

#[test]
fn what_moved_while_a_zone_could_not_be_read_is_judged_when_it_is_read_unchanged() {
    let bench = bench(&moving(0, 1).0);
    bench.configure(&sections("path = \"cust.zone\""));
    let clock = Arc::new(SetClock::new(later(990)));
    write_at(&bench, "cust.zone", 989, customer(1, "op.test"));
    poll(&bench.pipeline(clock.clone()));
    fs::remove_file(bench.path().join("cust.zone")).expect("it was there");
    clock.set(later(998));
    poll(&bench.pipeline(clock.clone()));
    bench.write("f.ndjson", moving(1000, 1022).0);
    clock.set(later(1023));
    poll(&bench.pipeline(clock.clone()));
    assert_eq!(accused(&bench), ["op.test."], "it cannot be seen");
    write_at(&bench, "cust.zone", 989, customer(1, "op.test"));
    clock.set(later(1024));
    poll(&bench.pipeline(clock.clone()));
    assert_eq!(accused(&bench), ["cust.example.", "op.test."]);
    assert_eq!(level_at(&bench, 1022), None);
    assert_eq!(level_at(&bench, 1024).as_deref(), Some("report"));
    let until = later(1030).to_string();
    let found = bench.run(0, &["backtest", "--since", "2026-10-20", "--until", &until]);
    assert!(found.contains("cust.example"), "{found}");
}

#[test]
fn what_was_reported_before_anybody_knew_that_a_zone_cannot_be_read_stays_so() {
    let bench = bench(&moving(0, 1).0);
    bench.configure(&sections("path = \"cust.zone\""));
    let clock = Arc::new(SetClock::new(later(999)));
    write_at(&bench, "cust.zone", 989, customer(1, "op.test"));
    poll(&bench.pipeline(clock.clone()));
    fs::remove_file(bench.path().join("cust.zone")).expect("it was there");
    bench.write("f.ndjson", moving(1000, 1024).0);
    clock.set(later(1024));
    poll(&bench.pipeline(clock.clone()));
    let told = |hours| {
        let levels = [1020, hours].map(|at| level_at(&bench, at));
        levels.map(Option::unwrap_or_default)
    };
    assert_eq!(accused(&bench), ["cust.example.", "op.test."]);
    assert_eq!(told(1030), ["report", "report"], "while it cannot be read");
    // The domain had left: what moved since the zone was seen last does not count.
    write_at(&bench, "cust.zone", 1031, customer(2, "other.test"));
    clock.set(later(1032));
    poll(&bench.pipeline(clock.clone()));
    assert_eq!(told(1032), ["report", ""]);
    let cases = bench.cases();
    let of_customer = |case: &&serde_json::Value| case["domain"] == "cust.example.";
    let case = cases.iter().find(of_customer).expect("it was opened");
    assert_eq!(case["level"], "watch", "{case}");
}

#[test]
fn a_case_of_a_zone_whose_file_never_changes_ends_when_its_name_servers_rest() {
    // The file is never written again; or each day, as it was.
    for is_touched in [false, true] {
        let bench = bench(&moving(0, 1).0);
        bench.configure(&sections("path = \"cust.zone\""));
        let clock = Arc::new(SetClock::new(later(999)));
        write_at(&bench, "cust.zone", 989, customer(1, "op.test"));
        poll(&bench.pipeline(clock.clone()));
        let mut feed = moving(1000, 1048);
        bench.write("f.ndjson", &feed.0);
        clock.set(later(1048));
        poll(&bench.pipeline(clock.clone()));
        let now = bench.json(&["explain", "cust.example", "--format", "json"]);
        assert_eq!(now["level"], "report", "{now}");
        let end = 1048 + 24 * 16;
        feed.set(
            end as f64,
            "test.",
            "tick.op.test.",
            "A",
            &["10.9.1.1".into()],
        );
        bench.write("f.ndjson", &feed.0);
        if is_touched {
            write_at(&bench, "cust.zone", end - 2, customer(1, "op.test"));
        }
        for hours in [0, 1] {
            clock.set(later(end + hours));
            poll(&bench.pipeline(clock.clone()));
        }
        let cases = bench.cases();
        let of_customer = |case: &&serde_json::Value| case["domain"] == "cust.example.";
        let case = cases.iter().find(of_customer).expect("it was opened");
        assert_eq!(case["state"], "mitigated", "{is_touched}: {case}");
    }
}

#[test]
fn a_case_of_a_zone_that_cannot_be_read_does_not_end_for_having_stood_still() {
    for is_away in [true, false] {
        let (bench, poll_at) = watched();
        write_at(&bench, "cust.zone", 989, customer(1, "op.test"));
        poll_at(&bench, 999);
        let mut feed = moving(1000, 1024);
        bench.write("f.ndjson", &feed.0);
        poll_at(&bench, 1024);
        assert!(is_accused(&bench));
        if is_away {
            fs::remove_file(bench.path().join("cust.zone")).expect("it was there");
        }
        let mut pass_day = |day: i64| {
            let (at, address) = (1024 + 24 * day, format!("10.9.1.{day}"));
            feed.set(at as f64, "test.", "tick.test.", "A", &[address]);
            bench.write("f.ndjson", &feed.0);
            poll_at(&bench, at);
        };
        (1..18).for_each(&mut pass_day);
        let state = |bench: &Bench| {
            let of_customer = |case: &&serde_json::Value| case["domain"] == "cust.example.";
            let cases = bench.cases();
            let case = cases.iter().find(of_customer).expect("it was opened");
            case["state"].as_str().map(str::to_owned)
        };
        let expected = if is_away { "open" } else { "mitigated" };
        assert_eq!(state(&bench).as_deref(), Some(expected));
        write_at(&bench, "cust.zone", 989, customer(1, "op.test"));
        (18..20).for_each(&mut pass_day);
        assert_eq!(
            state(&bench).as_deref(),
            Some("mitigated"),
            "it is seen again"
        );
    }
}

/// A bench with the customer's zone and the feed, its clock, and what polls it at some hours after the beginning.
fn watched() -> (Bench, impl Fn(&Bench, i64)) {
    let bench = bench(&moving(0, 1).0);
    bench.configure(&sections("path = \"cust.zone\""));
    let clock = Arc::new(SetClock::new(later(990)));
    let poll_at = move |bench: &Bench, hours| {
        clock.set(later(hours));
        poll(&bench.pipeline(clock.clone()));
    };
    (bench, poll_at)
}

/// Returns whether the customer is accused.
fn is_accused(bench: &Bench) -> bool {
    accused(bench).contains(&"cust.example.".to_owned())
}

#[test]
fn zone_that_failed_before_it_was_noted_since_when_is_not_seen_since_it_was_seen_last() {
    for is_upgraded in [true, false] {
        let (bench, poll_at) = watched();
        write_at(&bench, "cust.zone", 989, customer(1, "op.test"));
        poll_at(&bench, 990);
        fs::remove_file(bench.path().join("cust.zone")).expect("it was there");
        poll_at(&bench, 991);
        if is_upgraded {
            sql(&bench, "update zone set failed_at = null");
        }
        bench.write("f.ndjson", moving(1000, 1024).0);
        poll_at(&bench, 1024);
        assert!(!is_accused(&bench), "{is_upgraded}");
    }
}

#[test]
fn a_clock_that_was_ahead_lets_nothing_count_that_moves_while_a_zone_cannot_be_read() {
    // At the first attempt that failed; at the last one that did not.
    for [seen, failed] in [[990, 1100], [1100, 991]] {
        let (bench, poll_at) = watched();
        write_at(&bench, "cust.zone", 989, customer(1, "op.test"));
        poll_at(&bench, seen);
        fs::remove_file(bench.path().join("cust.zone")).expect("it was there");
        poll_at(&bench, failed);
        poll_at(&bench, 999);
        bench.write("f.ndjson", moving(1000, 1024).0);
        poll_at(&bench, 1024);
        assert!(!is_accused(&bench), "{seen} {failed}");
    }
}

#[test]
fn a_zone_that_a_clock_ahead_says_is_seen_again_is_not_unseen_until_then() {
    let (bench, poll_at) = watched();
    write_at(&bench, "cust.zone", 989, customer(1, "op.test"));
    poll_at(&bench, 990);
    fs::remove_file(bench.path().join("cust.zone")).expect("it was there");
    poll_at(&bench, 991);
    write_at(&bench, "cust.zone", 989, customer(1, "op.test"));
    poll_at(&bench, 1100);
    poll_at(&bench, 999);
    bench.write("f.ndjson", moving(1000, 1024).0);
    poll_at(&bench, 1024);
    assert!(is_accused(&bench));
}

#[test]
fn what_moves_while_a_feed_cannot_be_read_accuses_nobody_and_is_judged_once_it_is_read() {
    for has_left in [false, true] {
        let bench = bench(&moving(0, 1).0);
        let of_customer = sections("path = \"cust.ndjson\"\ncomplete = true");
        bench.configure(&of_customer.replace("kind = \"zonefile\"", "kind = \"feed\""));
        let clock = Arc::new(SetClock::new(later(990)));
        let poll_at = |hours| {
            clock.set(later(hours));
            poll(&bench.pipeline(clock.clone()));
        };
        let set = |feed: &mut Feed, at: f64, host: &str| {
            let hosts = [1, 2].map(|n| format!("ns{n}.{host}."));
            feed.set(at, "cust.example.", "cust.example.", "NS", &hosts);
        };
        let mut feed = Feed::default();
        set(&mut feed, 0.0, "op.test");
        let path = bench.write("cust.ndjson", &feed.0);
        poll_at(990);
        let away = bench.path().join("away");
        fs::rename(&path, &away).expect("moved");
        poll_at(991);
        bench.write("f.ndjson", moving(1000, 1024).0);
        poll_at(1024);
        assert_eq!(accused(&bench), ["op.test."], "it cannot be seen");
        if has_left {
            set(&mut feed, 999.5, "other.test");
        }
        fs::rename(&away, &path).expect("moved");
        bench.write("cust.ndjson", &feed.0);
        poll_at(1025);
        assert_eq!(is_accused(&bench), !has_left, "it is read again");
        if !has_left {
            assert_eq!(level_at(&bench, 1024).as_deref(), Some("report"));
        }
    }
}

#[test]
fn what_moved_while_a_transferred_zone_was_not_asked_for_accuses_those_that_stayed_and_not_who_left()
 {
    let serial = Arc::new(AtomicU32::new(1));
    let asked_for = Arc::clone(&serial);
    let address = primary_with(
        move || asked_for.load(Ordering::SeqCst),
        |asked, serial| {
            let mut records = zone_of(serial, "ns1.infra.test");
            let end = records.pop().expect("its second SOA");
            let new = if serial == 1 { "op" } else { "other" };
            for (domain, provider) in [("leaves", new), ("stays", "op")] {
                let hosts = [1, 2].map(|n| format!("ns{n}.{provider}.test"));
                records.extend(hosts.iter().map(|host| ns(domain, host)));
            }
            records.push(end);
            asked.send(&records);
        },
    );
    // Whether fluxwatch was stopped, or asked every hour.
    for is_stopped in [true, false] {
        serial.store(1, Ordering::SeqCst);
        let bench = bench(&moving(0, 1).0);
        bench.configure(&format!(
            "{}[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n",
            source("example.", &[address], false)
        ));
        let clock = Arc::new(SetClock::new(later(990)));
        let poll_at = |hours| {
            clock.set(later(hours));
            poll(&bench.pipeline(clock.clone()))
        };
        poll_at(990);
        if !is_stopped {
            (991..1050).for_each(|at| drop(poll_at(at)));
        }
        serial.store(2, Ordering::SeqCst);
        bench.write("f.ndjson", moving(1000, 1048).0);
        poll_at(1050);
        let found = accused(&bench);
        assert!(found.contains(&"stays.example.".to_owned()), "{found:?}");
        let is_named = found.contains(&"leaves.example.".to_owned());
        assert_eq!(is_named, !is_stopped, "{found:?}");
    }
}

#[test]
fn what_moved_while_a_probe_could_not_ask_is_judged_once_it_can_and_what_was_told_before_stays_told()
 {
    let server = "a.root-servers.probed.";
    let soa = format!("$TTL 3600\n@ SOA {server} h.probed. 1 1 1 1 1\n@ NS {server}\n");
    let root = format!("$ORIGIN .\n{soa}{server} A 127.0.0.1\nprobed. NS {server}\n");
    let tld = format!(
        "$ORIGIN probed.\n{soa}{server} A 127.0.0.1\ncust NS ns1.op.test.\ncust NS ns2.op.test.\n"
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let zones = [(".", root.as_str()), ("probed.", tld.as_str())];
    let only = Extras {
        v4_only: true,
        ..Extras::default()
    };
    let knot = Knot::start_with(folder.path(), &zones, &only);
    let port = knot.port();
    let probe = format!(
        "[[source]]\nname = \"portfolio\"\nkind = \"probe\"\ndomains = \"domains.txt\"\nroots = [\"127.0.0.1:{port}\"]\nport = {port}\nserver_rate = 1000\ntimeout = \"1s\"\n"
    );
    let level_of = |bench: &Bench, hours| {
        let at = later(hours).to_string();
        let why = bench.json(&["explain", "cust.probed", "--at", &at, "--format", "json"]);
        why["level"].as_str().map(str::to_owned)
    };
    // Whether its name servers moved before it was known that nobody can ask.
    for is_told_before in [false, true] {
        let bench = bench(&moving(0, 1).0);
        bench.write("domains.txt", "cust.probed\n");
        let of_feed = "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n";
        bench.configure(&format!("{probe}{of_feed}"));
        let clock = Arc::new(SetClock::new(later(990)));
        let poll_at = |hours| {
            clock.set(later(hours));
            poll(&bench.pipeline(clock.clone()));
        };
        let is_accused = || accused(&bench).contains(&"cust.probed.".to_owned());
        poll_at(990);
        knot.stop();
        if !is_told_before {
            poll_at(998);
        }
        bench.write("f.ndjson", moving(1000, 1024).0);
        poll_at(1024);
        assert_eq!(is_accused(), is_told_before);
        knot.restart();
        poll_at(1030);
        assert!(is_accused(), "{is_told_before}: it can ask again");
        let told = level_of(&bench, 1023);
        assert_eq!(
            told.as_deref() == Some("report"),
            is_told_before,
            "{told:?}"
        );
    }
}
