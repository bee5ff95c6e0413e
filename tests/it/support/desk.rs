//! What a desk needs: a bench that mails, feeds of flux, the mails that were left.

use crate::harness::{Bench, REPORT, deliver, poll, python};
use fluxwatch::desk::notice::send_again;
use fluxwatch::time::{SetClock, Span, Timestamp};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

/// When the feeds of these tests begin.
pub const START: i64 = 1_780_000_000;

/// A feed, an address table, and mail into the Maildir `desk`.
pub const SOURCES: &str = "[[source]]\nname = \"feed\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"f.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\nregistrations = \"registrations.csv\"\n";

pub const MAILDIR: &str = "[smtp]\nurl = \"maildir://desk\"\n";

/// Reads mails with python's parser: headers, parts and defects, one JSON object a line.
pub const READ_MAILS: &str = r#"
import email, json, sys
from email import policy
for path in sys.argv[1:]:
    raw = open(path, "rb").read()
    m = email.message_from_bytes(raw, policy=policy.default)
    parts = []
    for p in m.walk():
        content = None if p.is_multipart() else p.get_content()
        if isinstance(content, bytes): content = content.decode()
        elif content is not None and not isinstance(content, str): content = str(content)
        parts.append({"type": p.get_content_type(), "name": p.get_filename(), "content": content})
    print(json.dumps({"path": path, "ascii": raw.isascii(), "count": len(m.keys()), "headers": {k: str(v) for k, v in m.items()},
        "tree": [p.get_content_type() for p in m.walk()], "defects": [str(d) for p in m.walk() for d in p.defects], "parts": parts}))
"#;

/// Reads every mail of the Maildir, in the order of their dates and then of their revisions.
pub fn read_mails(bench: &Bench) -> Vec<Value> {
    let files = bench.maildir();
    let paths: Vec<&std::path::Path> = files.iter().map(PathBuf::as_path).collect();
    let text = python(READ_MAILS, &paths);
    let mut mails: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("python prints JSON"))
        .collect();
    let key = |mail: &Value| {
        let date = mail["headers"]["Date"].as_str().unwrap_or_default();
        let date = python(
            "import sys\nfrom email.utils import parsedate_to_datetime as p\nprint(int(p(sys.argv[1]).timestamp()))",
            &[std::path::Path::new(date)],
        );
        let revision = mail["path"]
            .as_str()
            .and_then(|path| path.rsplit('.').nth(3));
        (
            date.trim().parse::<i64>().unwrap_or(0),
            revision.map(str::to_owned),
        )
    };
    mails.sort_by_cached_key(key);
    mails
}

/// A change feed of one zone.
#[derive(Default)]
pub struct Feed(pub Vec<(i64, String)>);

impl Feed {
    /// Adds an RRset, so many hours after the beginning.
    pub fn set(&mut self, hours: i64, name: &str, rrtype: &str, rdata: &[String]) {
        let at = START + hours * 3600;
        let line = serde_json::json!({"at": at, "zone": "example.", "rrname": name, "rrtype": rrtype, "op": "set", "ttl": 300, "rdata": rdata});
        self.0.push((at, line.to_string()));
    }

    /// Returns the lines up to so many hours, in the order of time.
    pub fn text(&self, hours: i64) -> String {
        let mut lines: Vec<_> = self
            .0
            .iter()
            .filter(|(at, _)| *at <= START + hours * 3600)
            .collect();
        lines.sort_by_key(|(at, _)| *at);
        lines.iter().fold(String::new(), |mut text, (_, line)| {
            writeln!(text, "{line}").expect("text grows");
            text
        })
    }

    /// Lets a domain rotate through throw-away name servers, every 6 hours.
    pub fn flux(&mut self, domain: &str, from: i64, to: i64) {
        for (turn, hours) in (from..to).step_by(6).enumerate() {
            let host = |n: usize| format!("ns.{}pool{:03}.test.", domain.replace('.', ""), n);
            self.set(hours, domain, "NS", &[host(turn * 2), host(turn * 2 + 1)]);
        }
    }

    /// Lets time go on: another name changes once a day.
    pub fn tick(&mut self, days: i64) {
        for day in 0..days {
            self.set(
                day * 24 + 1,
                "tick.example.",
                "A",
                &[format!("192.0.2.{}", day % 250)],
            );
        }
    }
}

/// A bench with files that the sources name.
pub fn bench(rest: &str) -> Bench {
    let bench = Bench::new(&format!("{SOURCES}{rest}"));
    let table: String = (0..256)
        .map(|n| format!("10.{n}.0.0,10.{n}.255.255,{}\n", 64_512 + n))
        .collect();
    bench.write("asn.csv", table);
    bench.write(
        "registrations.csv",
        "bad.example,2026-05-01,1234,account-7\nworse.example,2019-05-01,99\n",
    );
    bench.write("f.ndjson", "");
    bench
}

/// Runs passes over a feed from hour to hour, as a timer would, and the operator's mails after each.
pub fn live(bench: &Bench, feed: &Feed, hours: impl Iterator<Item = i64>) {
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
    let pipeline = bench.pipeline(clock.clone());
    for hour in hours {
        clock.set(Timestamp::from_unix(START) + Span::hours(hour));
        bench.write("f.ndjson", feed.text(hour));
        poll(&pipeline);
        pipeline.notify().queue_alerts().expect("told");
        deliver(&pipeline);
    }
}

/// A configuration under which mails of every kind leave: two of the desk, notices to a registrar and a
/// network.
pub fn every_kind() -> Bench {
    let rest = format!(
        "{REPORT}bulk_names_min = 20\nblind_intervals = 3\nbounce = \"bounce@registrar.example\"\n{MAILDIR}\
        [[recipient]]\nzone = \"example.\"\naddress = \"machine@registrar.example\"\nprofile = \"xarf\"\n\
        [[recipient]]\nregistrar = \"1234\"\naddress = \"abuse@other-registrar.example\"\nprofile = \"xarf\"\n\
        [[recipient]]\nnetwork = 64516\naddress = \"abuse@hoster.example\"\napproval = false\n"
    );
    let bench = bench(&rest);
    let source = "[[source]]\nname = \"blind\"\nkind = \"transfer\"\nzone = \"blind.test.\"\nprimaries = [\"127.0.0.1:9\"]\nevery = \"5m\"\n";
    let config = std::fs::read_to_string(bench.config()).expect("written");
    let config = config.replacen("[enrich]", &format!("{source}[enrich]"), 1);
    std::fs::write(bench.config(), config).expect("written");
    let mut feed = Feed::default();
    for n in 0..30 {
        feed.set(
            0,
            &format!("moved{n}.example."),
            "NS",
            &["ns1.old.test.".to_owned(), "ns2.old.test.".to_owned()],
        );
        feed.set(
            20,
            &format!("moved{n}.example."),
            "NS",
            &["ns1.new.test.".to_owned(), "ns2.new.test.".to_owned()],
        );
    }
    feed.set(0, "bad.example.", "NS", &["ns1.bad.example.".to_owned()]);
    for (turn, hours) in (0..72).step_by(3).enumerate() {
        feed.set(
            hours,
            "ns1.bad.example.",
            "A",
            &[format!("10.{}.0.7", turn + 3)],
        );
    }
    feed.flux("worse.example.", 5, 72);
    feed.tick(30);
    live(
        &bench,
        &feed,
        [0, 24, 48, 72, 96, 24 * 20, 24 * 21, 24 * 29].into_iter(),
    );
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::days(30)));
    let pipeline = bench.pipeline(clock);
    let row = pipeline.store().desk().case_by_id(1);
    let row = row.expect("readable").expect("there");
    send_again(&pipeline, &row, "ada", None).expect("queued");
    pipeline.notify().queue_digest().expect("queued");
    deliver(&pipeline);
    bench
}
