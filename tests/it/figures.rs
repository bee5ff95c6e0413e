//! Every number of `explain` and of a report is that of the stored rows: recomputed by plain SQL, by another
//! program.

use std::collections::BTreeSet;

use crate::generator::{Options, generate};
use crate::harness::{Bench, REPORT, python};
use crate::support::rows::as_file;

/// Recomputes what `explain --format json` says from the database and the address table, and prints each
/// number that differs.
///
/// It knows the schema (docs/reference/schema.md) and the formulas (docs/explanation/detection.md), and nothing of the program.
/// The domains of the sample have no absences, providers, mass changes or new registrations, so that those
/// rules are not in it.
const RECOMPUTE: &str = r#"
import csv, ipaddress, json, sqlite3, sys
db = sqlite3.connect("file:%s?mode=ro" % sys.argv[1], uri=True)
sortable = lambda address: "%d%032x" % (address.version, int(address))
db.execute("create temp table asn (first text, last text, number int)")
for row in csv.reader(open(sys.argv[2])):
    if row and row[0][0].isdigit():
        db.execute("insert into asn values (?, ?, ?)", [sortable(ipaddress.ip_address(row[0])), sortable(ipaddress.ip_address(row[1])), int(row[2])])
said = json.load(open(sys.argv[3]))
now = db.execute("select unixepoch(?)", [said["judged_at"]]).fetchone()[0]
reverse = lambda text: ".".join(reversed(text.split(".")))
owners, hosts = {}, {}
for number, key, apex in db.execute("select o.id, o.name, z.name from owner o join zone z on z.id = o.zone_id where z.view = 'zone'"):
    apex = apex.rstrip(".")
    owners.setdefault((reverse(key) + "." if key not in ("", "@") else "") + apex, []).append(number)
for number, name in db.execute("select id, name from host"): hosts[number] = reverse(name)
differs = []
def check(what, mine, theirs):
    if str(mine) != str(theirs): differs.append("%s: %s by SQL, %s said" % (what, mine, theirs))
def intervals(owner, types):
    marks = ",".join("?" * len(owners.get(owner, [])))
    sql = """select rdata, a.id, a.observed_at, null, null, baseline from record r join version a on a.id = r.added_id where owner_id in (%s) and rrtype in (%s)
       union all select rdata, a.id, a.observed_at, d.id, d.observed_at, baseline from past_record p join version a on a.id = p.added_id join version d on d.id = p.removed_id
       where owner_id in (%s) and rrtype in (%s)""" % (marks, types, marks, types)
    return db.execute(sql, owners.get(owner, []) * 2).fetchall()
def text(rdata): return str(ipaddress.ip_address(bytes(rdata)))
def load(plane):
    db.execute("drop table if exists iv")
    db.execute("create temp table iv (kind text, host text, value text, family int, number text, prefix text, b int, bt int, e int, et int, base int)")
    owner = plane["owner"]
    asked = [owner]
    if plane["is_nameservers"]:
        names = intervals(owner, "2")
        for rdata, b, bt, e, et, base in names:
            db.execute("insert into iv values ('n', null, ?, 0, 0, null, ?, ?, ?, ?, ?)", [hosts[rdata], b, bt, e, et, base])
        asked = sorted({hosts[row[0]] for row in names})
    for host in asked:
        for rdata, b, bt, e, et, base in intervals(host, "1, 28"):
            address = ipaddress.ip_address(bytes(rdata))
            prefix = str(ipaddress.ip_network((address, 16 if address.version == 4 else 32), strict=False))
            db.execute("insert into iv values ('a', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [host, str(address), address.version, sortable(address), prefix, b, bt, e, et, base])
one = lambda sql, *values: db.execute(sql, values).fetchone()[0]
HOLDS = "(%s > ? and %s <= ?)"
INSTANTS = """select v, t, max(fresh) as fresh, sum(fresh) as count from (
    select b as v, bt as t, not exists (select 1 from iv o where o.kind = iv.kind and o.value = iv.value and (o.base or o.bt < iv.bt)) as fresh, kind, value from iv where base = 0 group by b, kind, value
    union all select e, et, 0, kind, value from iv where e is not null) where t <= ? group by v"""
# What each instant weighs, and how much of it is fresh: an instant counts where something left, on the
# name-server plane something that had been there for at most 96 hours or that came and was gone so soon.
def steps(is_nameservers):
    rows = db.execute("select kind, host, value, b, bt, e, et, base from iv where bt <= ?", [now]).fetchall()
    left, by_instant, weights, carried = {}, {}, {}, 0
    whose = lambda row: "n" if row[0] == "n" else row[1]
    gone = [row for row in rows if row[5] is not None and row[6] <= now]
    for row in gone:
        key = (row[5], whose(row))
        left[key] = min(left.get(key, 1e18), 1e18 if row[7] else row[6] - row[4])
    for row in gone:
        key = (row[3], whose(row))
        if key in left and not row[7]: left[key] = min(left[key], row[6] - row[4])
    for (version, key), stay in left.items(): by_instant.setdefault(version, []).append((key, stay))
    names = {}
    for row in rows:
        if row[0] == "n": names.setdefault(row[2], []).append((row[4], row[6]))
    for version, t, fresh, count in sorted(db.execute(INSTANTS, [now]).fetchall(), key=lambda row: (row[1], row[0])):
        there = lambda host: any(b < t and (e is None or e > t) for b, e in names.get(host, []))
        stays = [stay for key, stay in by_instant.get(version, []) if not is_nameservers or key == "n" or there(key)]
        carried += count
        if not is_nameservers: weights[version] = ((1.0 if fresh else 0.34) if stays else 0.0, count)
        elif not stays: weights[version] = (0.0, 0)
        else:
            counts = min(stays) <= 96 * 3600
            weights[version] = ((1.0 if carried else 0.34) if counts else 0.0, carried if counts else 0)
            carried = 0
    return weights
def measure(hours, began):
    since = max(now - hours * 3600, began)
    inside = lambda: db.execute("select * from (%s) where t > ?" % INSTANTS, [now, since]).fetchall()
    points = inside()
    weighted = sum(weights[row[0]][0] for row in points)
    fresh = sum(weights[row[0]][1] for row in points)
    added = one("select count(*) from (select distinct b, host, value from iv where kind = 'a' and base = 0 and bt > ? and bt <= ?)", since, now)
    there = "kind = ? and bt <= %d and (et is null or et > %d)" % (now, since)
    stay = {}
    for kind in "an":
        seconds, removed = db.execute("select sum(min(coalesce(et, %d), %d) - max(bt, %d)), sum(et is not null and et > %d and et <= %d) from iv where %s" % (now, now, since, since, now, there), [kind]).fetchone()
        stay[kind] = (seconds or 0, removed or 0)
    tenures = [s / 3600 / r for s, r in stay.values() if r]
    addresses = one("select count(distinct value) from iv where %s" % there, "a")
    prefixes = one("select count(distinct prefix) from iv where %s" % there, "a")
    systems = one("select count(distinct number) from (select (select number from asn where first <= iv.number and iv.number <= last) as number from iv where %s) where number is not null" % there, "a")
    span = (now - since) / 3600
    size = stay["a"][0] / 3600 / span if span else 0
    return dict(points=points, c=weighted, fresh=fresh, added=added, tenure=min(tenures) if tenures else None, n=addresses, prefixes=prefixes, asn=systems,
        names=one("select count(distinct value) from iv where %s" % there, "n"), turnover=fresh / size if size else 0, novelty=fresh / added if added else 0, since=since)
counted = lambda count, noun: "%d %s%s" % (count, noun, "" if count == 1 else "s")
clamp = lambda x: max(0.0, min(1.0, x))
step = lambda tenure, steps: next((p for limit, p in steps if tenure is not None and tenure <= limit), 0.0)
hours = lambda tenure: "none left in the window" if tenure is None else "%.1f h" % tenure
for plane in said["planes"]:
    load(plane)
    weights = steps(plane["is_nameservers"])
    watched = one("select unixepoch(?)", plane["watched_since"])
    began = max(watched, one("select coalesce(min(iif(base, 0, bt)), 0) from iv where kind = ?", "n" if plane["is_nameservers"] else "a"))
    week = measure(168, began)
    for key, span in [("changes_24h", 24), ("changes_72h", 72), ("changes_7d", 168)]:
        check(key, sum(1 for row in week["points"] if now - row[1] < span * 3600), plane[key])
    check("names", week["names"], plane["names_count"])
    check("addresses", one("select count(*) from (select distinct host, value from iv where kind = 'a' and bt <= ? and (et is null or et > ?))", now, week["since"]), plane["addresses_count"])
    check("instants", len(week["points"]), plane["transitions_count"])
    terms = {term["name"]: term for term in plane["terms"]}
    def term(name, value, points):
        check(name, value, terms[name]["value"])
        check("points of " + name, "%.1f" % points, terms[name]["points"])
    if plane["is_nameservers"]:
        ops = one("select count(distinct substr(value, instr(value, '.') + 1)) from iv where kind = 'n' and bt <= ? and (et is null or et > ?)", now, week["since"])
        # The sample's name servers are one label below their operator domain, or deeper below the domain itself.
        scores = [40 * min(1, week["c"] / 8), 20 * min(1, week["fresh"] / 8), 25 * max(clamp((week["asn"] - 2) / 4), clamp((ops - 2) / 4)), step(week["tenure"], [(24, 15), (48, 10), (96, 5)])]
        term("change instants in 7 days, weighted", "%.2f" % week["c"], scores[0])
        term("values never seen before, 7 days", week["fresh"], scores[1])
        term("spread of name servers, 7 days", "%s, %s" % (counted(week["asn"], "autonomous system"), counted(ops, "operator domain")), scores[2])
        term("mean stay of a name server or its address", hours(week["tenure"]), scores[3])
        check("gate", "%.2f in 7 days, %.2f in 3 days" % (week["c"], measure(72, began)["c"]), plane["gates"][0]["value"])
    else:
        def rated(m, span):
            scores = [25 * min(1, m["c"] / (12 if span == 24 else 24)), 15 * clamp((m["n"] - 4) / 16), 30 * clamp((m["asn"] - 2) / 6), 15 * min(1, m["turnover"] / (4 if span == 24 else 10)), 5 * m["novelty"], step(m["tenure"], [(3, 10), (12, 7), (48, 4)])]
            gate = m["n"] >= 8 and m["asn"] >= 5 and m["prefixes"] / max(1, m["n"]) >= 0.33 and m["c"] >= 3 and m["novelty"] >= 0.5 and m["turnover"] >= (2 if span == 24 else 5) and m["tenure"] is not None and m["tenure"] <= 48
            return gate, sum(scores), scores
        day = measure(24, began)
        best, span = (day, "24 hours") if rated(day, 24)[:2] > rated(week, 168)[:2] else (week, "7 days")
        scores = rated(best, 24 if best is day else 168)[2]
        term("change instants, weighted", "%.2f in %s" % (best["c"], span), scores[0])
        term("distinct addresses", "%d in %s" % (best["n"], span), scores[1])
        term("spread of addresses", "%s in %s" % (counted(best["asn"], "autonomous system"), span), scores[2])
        term("turnover: fresh addresses / mean set size", "%.2f in %s" % (best["turnover"], span), scores[3])
        term("novelty: fresh / added addresses", "%.2f in %s" % (best["novelty"], span), scores[4])
        term("mean stay of an address", hours(best["tenure"]), scores[5])
        check("Holz", "%.1f" % (1.32 * week["n"] + 18.54 * week["asn"]), plane["holz"])
    check("score", "%.1f" % sum(scores), plane["score"])
    # The sets of every instant that is printed.
    for shown in plane["transitions"]:
        at = one("select unixepoch(?)", shown["at"])
        for side, when in [("before", "bt < ? and (et is null or et >= ?)"), ("after", "bt <= ? and (et is null or et > ?)")]:
            mine = sorted(db.execute("select distinct value from iv where kind = 'a' and " + when, [at, at]).fetchall())
            theirs = sorted((address,) for endpoint in shown[side] for address in endpoint["addresses"])
            check("%s %s" % (side, shown["at"]), mine, theirs)
        if shown["serial"] is not None:
            check("serial of " + shown["at"], one("select v.serial from version v join zone z on z.id = v.zone_id where z.name = ? and v.observed_at = ?", plane["zone"] + ".", at), shown["serial"])
print("\n".join(differs))
"#;

#[test]
fn every_number_of_explain_and_of_the_report_is_that_of_the_stored_rows() {
    let sample = generate(Options {
        seed: 20_261_101,
        names_seed: 7,
        shift_s: 0,
    });
    let sources = "[[source]]\nname = \"registry\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"registry/*.gz\"\ntime_pattern = \"example-%Y%m%d%H%M.zone.gz\"\n\
        [[source]]\nname = \"hosted\"\nkind = \"zonefile\"\nzone = \"paper-cycles.test.\"\npath = \"hosted/*.gz\"\ntime_pattern = \"hosted-%Y%m%d%H%M.zone.gz\"\n\
        [[source]]\nname = \"customers\"\nkind = \"feed\"\npath = \"customers.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n";
    let bench = Bench::new(&format!(
        "{sources}{REPORT}[smtp]\nurl = \"maildir://desk\"\n"
    ));
    for (name, octets) in &sample.files {
        bench.write(name, octets);
    }
    bench.run(0, &["poll"]);
    let database = as_file(&bench);
    let mut planes = BTreeSet::new();
    for case in bench.cases() {
        let domain = case["domain"].as_str().expect("text");
        let said = bench.json(&["explain", domain, "--format", "json"]);
        for plane in said["planes"].as_array().expect("a list") {
            planes.insert(plane["title"].as_str().expect("text").to_owned());
        }
        let file = bench.write("said.json", said.to_string());
        let differs = python(
            RECOMPUTE,
            &[&database, &bench.path().join("asn.csv"), &file],
        );
        assert_eq!(differs.trim(), "", "{domain}");
        // The report prints what explain computes.
        if case["level"] == "report" {
            let text = bench.run(
                0,
                &[
                    "report",
                    "preview",
                    domain,
                    "--format",
                    "text",
                    "--profile",
                    "desk",
                ],
            );
            // Long lines are broken at spaces.
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            // A domain that changes very often is judged once an hour: its report may be of a time before the last change.
            let judged = text.split("judged at ").nth(1).expect("its state");
            let at = judged[..19].replace(' ', "T") + "Z";
            let said = bench.json(&["explain", domain, "--at", &at, "--format", "json"]);
            let planes = said["planes"].as_array().expect("a list");
            for plane in planes.iter().filter(|it| it["transitions_count"] != 0) {
                for term in plane["terms"].as_array().expect("a list") {
                    let [name, value, points] =
                        ["name", "value", "points"].map(|key| term[key].as_str().expect("text"));
                    assert!(text.contains(&format!("{name}: {value}")), "{name}: {text}");
                    assert!(text.contains(points), "{points}");
                }
            }
        }
    }
    assert_eq!(planes.len(), 2, "both planes were looked at");
}
