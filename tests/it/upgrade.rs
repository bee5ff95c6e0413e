//! Cases that an earlier policy opened are judged anew by this one, once, and told of in one mail.

use std::fmt::Write as _;

use serde_json::Value;

use crate::harness::{Bench, REPORT};
use crate::scenarios::internet::table;
use crate::scenarios::others::tell_more;
use crate::scenarios::stories::tell;
use crate::support::desk::read_mails;
use crate::support::feeds::as_feed;
use crate::support::rows::sql;

/// Makes the database what policy 2026-11b left: names that only added secondaries, or tried three providers, were
/// reported, and one was watched; nobody had judged anew.
fn leave_as_before(bench: &Bench) {
    let mut statements = String::from("delete from meta where key = 'policy_judged';\n");
    for (domain, level, reported, hours) in [
        ("added.example.", "report", 1, 75),
        ("tried.example.", "report", 1, 54),
        ("quiet.example.", "watch", 0, 54),
    ] {
        let last = 1_790_000_000 + hours * 3_600;
        let case = format!("(select id from abuse_case where domain = '{domain}')");
        for (table, key) in [
            ("case_event", "case_id"),
            ("case_trait", "case_id"),
            ("abuse_case", "id"),
        ] {
            writeln!(statements, "delete from {table} where {key} in {case};").expect("text grows");
        }
        writeln!(
            statements,
            "insert into abuse_case (domain, zone_id, verdict, level, peak_level, state, score, first_detected_at, last_change_at, evaluated_at, revision, reported, told_at, told_verdicts)
             select '{domain}', id, 'ns-flux', '{level}', '{level}', 'open', 71.0, {last}, {last}, {}, {reported}, {reported}, {}, 'ns-flux'
               from zone where name = 'example.';",
            last + 3_600,
            last + 5_400
        )
        .expect("text grows");
    }
    sql(bench, &statements);
}

/// A story about another domain, as lines of a feed.
fn lines(feed: &str, domain: &str) -> Vec<Value> {
    let feed = feed.replace("subject.example.", domain);
    let lines = feed.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn open_cases_of_an_earlier_policy_are_judged_anew_and_those_that_fall_are_one_mail() {
    let bench = Bench::new(&format!(
        "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\n[enrich]\nasn = \"asn.csv\"\n{REPORT}digest = \"off\"\n[smtp]\nurl = \"maildir://desk\"\n"
    ));
    bench.write("asn.csv", table());
    let mut all = lines(&as_feed(&tell_more("L3", 500)), "added.example.");
    all.extend(lines(&as_feed(&tell_more("L1", 500)), "tried.example."));
    all.extend(lines(&as_feed(&tell_more("L1", 501)), "quiet.example."));
    all.extend(lines(&as_feed(&tell("M6", 500)), "flux.example."));
    all.sort_by_key(|line| line["at"].as_i64());
    let text: String = all.iter().map(|line| format!("{line}\n")).collect();
    bench.write("f.ndjson", text);
    bench.run(0, &["poll"]);
    let log_of_flux = bench.run(0, &["cases", "show", "flux.example"]);
    let mails = || read_mails(&bench);
    let before = mails().len();
    leave_as_before(&bench);

    bench.run(0, &["poll"]);
    let case = |domain: &str| -> Value {
        let all = bench.json(&["cases", "list", "--state", "all", "--format", "json"]);
        let mut all = all.as_array().expect("a list").iter();
        all.find(|it| it["domain"] == domain)
            .expect("a case")
            .clone()
    };
    assert_eq!(case("added.example.")["state"], "closed");
    assert_eq!(case("added.example.")["peak_level"], "report");
    let log = bench.run(0, &["cases", "show", "added.example"]);
    assert!(
        log.contains(
            "closed: judged anew by policy 2026-12, which does not suspect it (level report before)"
        ),
        "{log}"
    );
    assert_eq!(case("tried.example.")["peak_level"], "review");
    let log = bench.run(0, &["cases", "show", "tried.example"]);
    assert!(log.contains("level review instead of report"), "{log}");
    // What this policy says too is left alone, and so is what would be more.
    assert_eq!(
        bench.run(0, &["cases", "show", "flux.example"]),
        log_of_flux
    );
    let told = mails();
    assert_eq!(told.len(), before + 1, "one mail about all of them");
    let mut digests = told
        .iter()
        .filter(|it| it["headers"]["X-Fluxwatch-Kind"] == "digest");
    let digest = digests.next().expect("a digest").to_string();
    for word in ["added[.]example", "tried[.]example", "judged anew"] {
        assert!(digest.contains(word), "{word}: {digest}");
    }
    assert!(!digest.contains("quiet[.]example"), "{digest}");
    bench.run(0, &["poll"]);
    assert_eq!(mails().len(), before + 1, "once");
}
