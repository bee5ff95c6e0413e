//! Cases that share what few others use are one campaign.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::harness::Bench;

/// A change feed.
#[derive(Default)]
struct Feed(Vec<(i64, String)>);

impl Feed {
    /// Adds an RRset, so many hours after the beginning.
    fn set(&mut self, hours: i64, name: &str, rrtype: &str, rdata: &[String]) {
        let at = 1_780_000_000 + hours * 3600;
        let line = serde_json::json!({"at": at, "zone": "example.", "rrname": name, "rrtype": rrtype, "op": "set", "ttl": 300, "rdata": rdata});
        self.0.push((at, line.to_string()));
    }

    /// Returns the lines in the order of time.
    fn text(mut self) -> String {
        self.0.sort_by_key(|(at, _)| *at);
        self.0.iter().fold(String::new(), |mut text, (_, line)| {
            writeln!(text, "{line}").expect("text grows");
            text
        })
    }
}

/// Two domains that rotate through one pool of throw-away name servers, one that has a pool of its own, a
/// quiet domain on the first pool, and two that rotate glue inside one pool of addresses.
fn feed() -> Feed {
    let mut feed = Feed::default();
    let pool = |name: &str, n: i64| {
        format!(
            "ns1.{name}{}.test.",
            [
                "quail", "otter", "heron", "badger", "marten", "lynx", "stoat", "raven"
            ][(n % 8) as usize]
        )
    };
    for turn in 0..12 {
        let hours = turn * 10;
        for (domain, offset) in [("one", 0), ("two", 3)] {
            let set = [pool("a", turn + offset), pool("a", turn + offset + 1)];
            feed.set(hours + offset, &format!("{domain}.example."), "NS", &set);
        }
        let set = [pool("b", turn), pool("b", turn + 1)];
        feed.set(hours + 1, "alone.example.", "NS", &set);
    }
    let quiet = [pool("a", 0), pool("a", 1)];
    feed.set(0, "quiet.example.", "NS", &quiet);
    for domain in ["glue-one", "glue-two"] {
        let host = format!("ns.{domain}.example.");
        feed.set(
            0,
            &format!("{domain}.example."),
            "NS",
            std::slice::from_ref(&host),
        );
        for turn in 0..20_i64 {
            let address = format!("10.{}.0.9", turn % 12);
            let shift = i64::from(domain == "glue-two");
            feed.set(turn * 4 + shift, &host, "A", &[address]);
        }
    }
    feed
}

/// A bench that has read the feed.
fn bench() -> Bench {
    let bench = Bench::new(
        "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n",
    );
    bench.write("f.ndjson", feed().text());
    let table: String = (0..256)
        .map(|n| format!("10.{n}.0.0,10.{n}.255.255,{}\n", 64_512 + n))
        .collect();
    bench.write("asn.csv", table);
    bench.run(0, &["poll"]);
    bench
}

#[test]
fn cases_with_a_common_pool_are_one_campaign_and_others_are_not() {
    let bench = bench();
    let campaigns: BTreeMap<String, Value> = bench
        .cases()
        .iter()
        .filter(|case| case["peak_level"] == "report")
        .map(|case| {
            (
                case["domain"].as_str().expect("text").to_owned(),
                case["campaign"].clone(),
            )
        })
        .collect();
    assert_eq!(campaigns.len(), 5, "{campaigns:?}");
    let of = |domain: &str| &campaigns[&format!("{domain}.example.")];
    assert!(
        of("one").is_string() && of("one") == of("two"),
        "{campaigns:?}"
    );
    assert!(
        of("glue-one").is_string() && of("glue-one") == of("glue-two"),
        "{campaigns:?}"
    );
    assert_ne!(of("one"), of("glue-one"));
    assert!(of("alone").is_null(), "{campaigns:?}");
    let shown = bench.run(0, &["cases", "show", "two.example"]);
    assert!(shown.contains("on its name servers: 1"), "{shown}");
    assert!(
        shown.contains("quiet.example") && shown.contains("joined campaign FC-"),
        "{shown}"
    );
    bench.run(0, &["db", "verify"]);
}

#[test]
fn a_case_that_shares_with_two_campaigns_makes_them_one() {
    let bench = bench();
    let mut bridge = Feed::default();
    let pool = |n: i64| {
        format!(
            "ns1.a{}.test.",
            ["quail", "otter", "heron", "badger"][(n % 4) as usize]
        )
    };
    for turn in 0..10_i64 {
        bridge.set(
            200 + turn * 6,
            "bridge.example.",
            "NS",
            &[pool(turn), pool(turn + 1), "ns.bridge.example.".to_owned()],
        );
        bridge.set(
            200 + turn * 6,
            "ns.bridge.example.",
            "A",
            &[format!("10.{turn}.0.9")],
        );
    }
    let mut text = feed().text();
    text += &bridge.text();
    bench.write("f.ndjson", text);
    bench.run(0, &["poll"]);
    let cases = bench.cases();
    let in_campaign: Vec<&Value> = cases
        .iter()
        .filter(|case| case["campaign"].is_string())
        .collect();
    assert_eq!(in_campaign.len(), 5, "{cases:?}");
    assert!(
        in_campaign
            .iter()
            .all(|case| case["campaign"] == in_campaign[0]["campaign"]),
        "{cases:?}"
    );
}
