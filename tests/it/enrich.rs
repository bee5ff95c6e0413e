//! What is known beyond the zones, from files that others write.

use std::net::IpAddr;
use std::process::Command;

use fluxwatch::enrich::AsnTable;

use crate::harness::{Bench, both};
use crate::scenarios::internet::table;
use crate::scenarios::stories::tell;
use crate::support::feeds::as_feed;
use crate::support::lookups::python_with;

/// Writes an address table in MaxMind's format: IPv4 in a tree of IPv6, as the published ones are.
const WRITER: &str = r#"
import sys
from mmdb_writer import MMDBWriter
from netaddr import IPSet
writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test-ASN", languages=["en"], int_type="u32")
for prefixes, number, name in [
    (["192.0.2.0/25", "192.0.2.128/26"], 64500, "Net One"),
    (["198.51.100.0/24"], 64501, "Net Two"),
    (["2001:db8::/33", "2001:db8:8000::/33"], 64502, "Net Six"),
]:
    writer.insert_network(IPSet(prefixes), {"autonomous_system_number": number, "autonomous_system_organization": name})
writer.to_db_file(sys.argv[1])
empty = MMDBWriter(ip_version=4, database_type="Test-Country", languages=["en"])
empty.insert_network(IPSet(["192.0.2.0/24"]), {"country": "XX"})
empty.to_db_file(sys.argv[2])
# By default an integer has the width of its value.
widths = MMDBWriter(ip_version=4, database_type="Test-Widths")
for prefix, number in [("192.0.2.0/25", 100), ("192.0.2.128/25", 70000), ("198.51.100.0/24", 4200000000)]:
    widths.insert_network(IPSet([prefix]), {"autonomous_system_number": number})
widths.to_db_file(sys.argv[3])
# The names of IPinfo.
ipinfo = MMDBWriter(ip_version=4, database_type="Test-IPinfo")
ipinfo.insert_network(IPSet(["192.0.2.0/24"]), {"asn": "AS64500", "as_name": "Net One", "as_domain": "one.test", "country": "XX"})
ipinfo.insert_network(IPSet(["198.51.100.0/24"]), {"asn": "", "country": "XX"})
ipinfo.to_db_file(sys.argv[4])
"#;

#[test]
fn tables_in_maxminds_format_say_what_they_hold() {
    let bench = Bench::new("[enrich]\nasn = \"asn.mmdb\"\n");
    let script = bench.write("write.py", WRITER);
    let [path, other, widths, ipinfo] = ["asn.mmdb", "country.mmdb", "widths.mmdb", "ipinfo.mmdb"]
        .map(|name| bench.path().join(name));
    let output = Command::new(python_with("mmdb_writer==0.2.6"))
        .args([&script, &path, &other, &widths, &ipinfo])
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", both(&output));
    let table = AsnTable::load(&path).expect("sound");
    let asn = |text: &str| table.lookup(text.parse::<IpAddr>().expect("an address"));
    assert_eq!(
        ["192.0.2.0", "192.0.2.191", "192.0.2.192", "198.51.100.7"].map(asn),
        [Some(64500), Some(64500), None, Some(64501)]
    );
    assert_eq!(
        ["2001:db8::1", "2001:db8:ffff::1", "2001:db9::"].map(asn),
        [Some(64502), Some(64502), None]
    );
    assert_eq!(table.name(64502), Some("Net Six"));
    assert_eq!(table.families(), (true, true));
    let checked = bench.run(0, &["config", "check"]);
    assert!(checked.contains("no errors"), "{checked}");
    let table = AsnTable::load(&widths).expect("integers of any width");
    let asn = |text: &str| table.lookup(text.parse::<IpAddr>().expect("an address"));
    assert_eq!(
        ["192.0.2.1", "192.0.2.129", "198.51.100.1"].map(asn),
        [Some(100), Some(70_000), Some(4_200_000_000)]
    );
    let table = AsnTable::load(&ipinfo).expect("the names of IPinfo");
    let asn = |text: &str| table.lookup(text.parse::<IpAddr>().expect("an address"));
    assert_eq!(["192.0.2.1", "198.51.100.1"].map(asn), [Some(64500), None]);
    assert_eq!(table.name(64500), Some("Net One"));
    let fault = AsnTable::load(&other)
        .expect_err("no autonomous systems")
        .to_string();
    assert!(fault.contains("Test-Country"), "{fault}");
    bench.write("asn.mmdb", "no database");
    let refused = bench.run_stderr(2, &["config", "check"]);
    assert!(refused.contains("asn.mmdb"), "{refused}");
}

/// Polls a story with a section `[enrich]`, and returns the highest level of its case and what `explain` says.
fn judged(id: &str, enrich: &str, files: &[(&str, &str)]) -> (Option<String>, String) {
    let bench = Bench::new(&format!(
        "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\n[enrich]\nasn = \"asn.csv\"\n{enrich}"
    ));
    bench.write("asn.csv", table());
    for (name, text) in files {
        bench.write(name, text);
    }
    bench.write("f.ndjson", as_feed(&tell(id, 502)));
    bench.run(0, &["poll"]);
    let cases = bench.json(&["cases", "list", "--state", "all", "--format", "json"]);
    let peak = cases[0]["peak_level"].as_str().map(str::to_owned);
    (peak, bench.run(0, &["explain", "subject.example"]))
}

#[test]
fn flux_inside_published_ranges_is_reviewed_and_says_whose_they_are() {
    let list =
        "# source: https://cdn.test/ips\n# date: 2026-11-01\n0.0.0.0/1,half\n128.0.0.0/1,half\n";
    let key = "shared_ranges = \"cdn.csv\"\n";
    let (peak, told) = judged("M10", key, &[("cdn.csv", list)]);
    assert_eq!(peak.as_deref(), Some("review"));
    let line =
        "100 % of the addresses lie in the published ranges of https://cdn.test/ips (2026-11-01)";
    assert!(told.contains(line), "{told}");
    let (peak, told) = judged("M10", "", &[]);
    assert_eq!(peak.as_deref(), Some("report"));
    assert!(
        told.contains("no list of such ranges is configured"),
        "{told}"
    );
}

#[test]
fn rotation_in_a_hosting_network_is_reviewed_where_the_network_is_known() {
    let key = "hosting_asns = \"hosting.txt\"\n";
    let (peak, told) = judged("M11", key, &[("hosting.txt", "AS200003 Example\n")]);
    assert_eq!(peak.as_deref(), Some("review"), "{told}");
    let (peak, _) = judged("M11", key, &[("hosting.txt", "200004\n")]);
    assert_eq!(peak.as_deref(), Some("watch"));
}

#[test]
fn nothing_before_a_registration_counts() {
    // Throw-away name servers for two weeks; registered anew near the end.
    let key = "registrations = \"r.csv\"\n";
    let late = "domain,created,registrar\nsubject.example,2026-10-05T12:00:00Z,R1\n";
    let (peak, told) = judged("M7", key, &[("r.csv", late)]);
    assert!(
        told.contains("registered anew at 2026-10-05T12:00:00Z"),
        "{told}"
    );
    assert!(told.contains("nothing is suspected"), "{told}");
    // Before that day it was what it was.
    assert_eq!(peak.as_deref(), Some("report"));
}
