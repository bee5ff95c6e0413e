"""Runs two builds over the same data and compares what they print, mail and export: see benches/same."""

import base64
import collections
import difflib
import glob
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys

BEFORE, AFTER, FOLDER, COUNT = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), max(2000, int(sys.argv[4]))
BUILDS = {"before": BEFORE, "after": AFTER}
# When the clock of both stands still: after the last event of the data.
NOW = {"sample": "2026-12-01 12:00:00", "month": "2026-10-05 12:00:00", "schema 8": "2026-10-06 12:00:00"}
# The last days of each, replayed by 'backtest'.
BACKTESTED_FROM = {"sample": "2026-10-01", "month": "2026-09-18", "schema 8": "2026-10-01"}
# What is drawn at random for each mail, and what is made of it.
DRAWN = [(rb"(fluxwatch\.[0-9a-f]{12}\.[a-z0-9.-]+?\.)[0-9a-f]{24}@", rb"\1TOKEN@"), (rb"(=_fluxwatch_[a-z]_)[0-9a-f]{16}", rb"\1BOUNDARY"),
         (rb"(\"(?:report_id|sha256|seal|hash_of_mail)\": *\")[0-9a-f-]{36,64}\"", rb"\1DRAWN\"")]
LOOKED_AT = 12  # cases of each database whose every output is compared
REPORT = """[report]
from = "fluxwatch@registrar.example"
desk = ["abuse-desk@registrar.example"]
org = "Example Registrar"
contact = "abuse@registrar.example"
digest = "0 0 7 * * *"
[smtp]
url = "maildir://desk"
"""
# What a migration leaves behind for the program to pack, and which names moved alike, which is packed since.
NOT_COPIED = {"old_change", "shared_change"}

clock = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None) or sys.exit("benches/same needs faketime (Debian: apt-get install faketime)")


def run(build, data, *arguments, statuses=(0,)):
    """Runs one build in its folder of one data set; returns its stdout and its status."""
    environment = dict(os.environ, LD_PRELOAD=clock, FAKETIME=NOW[data], FAKETIME_DONT_FAKE_MONOTONIC="1", NO_FAKE_STAT="1", TZ="UTC", NO_COLOR="1")
    done = subprocess.run([BUILDS[build], "--config", "fluxwatch.toml", *arguments], cwd=FOLDER / data / build, env=environment, capture_output=True)
    if statuses and done.returncode not in statuses:
        sys.exit(f"{build}: {' '.join(arguments)} on the {data} ended with {done.returncode}:\n{done.stderr.decode()}")
    return done.stdout, done.returncode


def make_sample():
    """Puts the sample where both builds poll it."""
    for build in BUILDS:
        shutil.copytree("data/sample", FOLDER / "sample" / build)
        config = FOLDER / "sample" / build / "fluxwatch.toml"
        config.write_text(config.read_text().replace("../../fluxwatch-sample/", ""))


def make_month():
    """Makes a month and puts it where both builds poll it."""
    made = FOLDER / "made"
    made.mkdir()
    subprocess.run([sys.executable, "benches/month.py", "-", made, str(COUNT), "1"], check=True)
    for build in BUILDS:
        folder = FOLDER / "month" / build
        shutil.copytree(made, folder)
        source = '[[source]]\nname = "feed"\nkind = "feed"\nzone = "example."\npath = "feed.ndjson"\ncomplete = true\n'
        (folder / "fluxwatch.toml").write_text('[store]\npath = "fluxwatch.db"\n' + source + '[enrich]\nasn = "asn.csv"\n' + REPORT)


def begin(data):
    """Gives both builds the same empty database, so that both have the same keys. The older build makes it."""
    config = FOLDER / "empty.toml"
    config.write_text('[store]\npath = "empty.db"\n')
    empty = FOLDER / "empty.db"
    if not empty.exists():
        (FOLDER / "empty.ndjson").write_text("")
        subprocess.run([BEFORE, "--config", config, "import", "feed", "--zone", "none.example.", FOLDER / "empty.ndjson"], check=True, capture_output=True)
    for build in BUILDS:
        shutil.copy(empty, FOLDER / data / build / "fluxwatch.db")


def make_schema_8():
    """Writes the month of the older build into a database of schema 8, and puts it where both builds go on with more changes."""
    for build in BUILDS:
        folder = FOLDER / "schema 8" / build
        shutil.copytree(FOLDER / "month" / "before", folder, ignore=shutil.ignore_patterns("desk"))
        newer = folder / "fluxwatch.db"
        older = folder / "older.db"
        copy_to_schema_8(newer, older)
        older.rename(newer)
        with open(folder / "feed.ndjson", "a") as feed:
            for turn in range(30):
                change = {"at": 1_791_000_000 + turn * 3600 * 4, "zone": "example.", "rrname": "d1.example.", "rrtype": "NS", "op": "set", "ttl": 60, "rdata": [f"ns{turn}.turning{turn}.test.", f"ns.other{turn}.test."]}
                feed.write(json.dumps(change) + "\n")


def copy_to_schema_8(newer, older):
    """Makes a database by the first eight migrations, and copies what its tables have in common with a newer one."""
    database = sqlite3.connect(newer)
    application = database.execute("pragma application_id").fetchone()[0]
    database.close()  # and with it the write-ahead log
    database = sqlite3.connect(older, isolation_level=None)
    database.execute("pragma foreign_keys = off")
    for path in sorted(glob.glob("src/store/sqlite/migrations/*.sql"))[:8]:
        database.executescript(pathlib.Path(path).read_text())
    database.execute("attach ? as newer", [str(newer)])
    columns_of = lambda schema, table: [row[0] for row in database.execute("select name from pragma_table_info(?, ?)", [table, schema])]
    tables = [row[0] for row in database.execute("select name from main.sqlite_schema where type = 'table' and name not like 'sqlite_%'")]
    database.execute("begin")
    for table in set(tables) - NOT_COPIED:
        there = columns_of("newer", table)
        columns = ", ".join(column for column in columns_of("main", table) if column in there)
        database.execute(f"delete from main.{table}")
        database.execute(f"insert into main.{table} ({columns}) select {columns} from newer.{table}")
    if "old_change" in tables:
        database.execute("drop table old_change")
    database.execute("commit")
    database.execute("detach newer")
    database.execute(f"pragma application_id = {application}")
    database.execute("pragma user_version = 8")
    database.close()


def answers(build, data):
    """Returns everything that a build says of a data set, by kind and by what was asked."""
    found = {}

    def ask(kind, *arguments, statuses=(0, 1, 3)):
        out, status = run(build, data, *arguments, statuses=statuses)
        found[kind, " ".join(arguments)] = out + f"\nexit status {status}\n".encode()
        return out

    ask("json", "poll", "--dry-run", statuses=(0, 3))
    cases = json.loads(run(build, data, "cases", "list", "--state", "all", "--format", "json")[0])
    for kind in ("json", "ndjson", "csv"):
        for what in ("cases list --state all", "status", "outbox list --all", "exempt list --all"):
            ask(kind, *what.split(), "--format", kind)
    for month in ("2026-08", "2026-09", "2026-10", "2026-11", "2026-12"):
        for kind in ("json", "csv"):
            ask(kind, "stats", "--month", month, "--format", kind)
    ask("json", "backtest", "--since", BACKTESTED_FROM[data], "--format", "json")
    ask("json", "db", "verify", "--format", "json")
    for name in ("example", "0.0.0.0/0"):
        ask("json", "history", name, "--format", "json", "--limit", "200")
    servers = set()
    for case in cases[:LOOKED_AT]:
        domain = case["domain"]
        ask("json", "cases", "show", domain, "--format", "json")
        ask("text", "cases", "show", domain)
        for kind in ("json", "ndjson", "csv"):
            ask(kind, "cases", "log", domain, "--format", kind)
        ask("json", "explain", domain, "--format", "json")
        ask("text", "explain", domain)
        history = ask("json", "history", domain, "--with-cases", "--format", "json")
        servers |= {word for word in re.findall(r'"(ns[^" ]*\.)"', history.decode())[:2]}
        for kind in ("ndjson", "csv", "cof", "text"):
            ask(kind, "history", domain, "--format", kind)
        ask("json", "diff", domain, "2026-08-01", "--format", "json")
        for part in ("eml", "text", "html", "details", "xarf", "csv"):
            ask("mail" if part in ("eml", "html", "details") else {"xarf": "json"}.get(part, part), "report", "preview", domain, "--format", part)
        for profile in ("desk", "xarf"):
            ask("mail", "report", "preview", domain, "--profile", profile)
        ask("json", "export", "--domain", domain)
    for server in sorted(servers)[:LOOKED_AT]:
        for kind in ("json", "cof", "csv"):
            ask(kind, "history", "--ns", server, "--format", kind)
    for kind in ("ndjson", "csv", "parquet"):
        run(build, data, "export", "--format", kind, "--to", f"days-{kind}")
        for path in sorted((FOLDER / data / build).glob(f"days-{kind}/**/*.*")):
            found["export", f"{kind} {path.parent.name}"] = path.read_bytes()
    mails = sorted((path.read_bytes() for path in (FOLDER / data / build).glob("desk/new/*")), key=key_of_mail)
    for number, (key, octets) in enumerate((key_of_mail(octets), octets) for octets in mails):
        found["mail", " ".join([*(word.decode() for word in key[:2]), str(number)])] = octets
    return found


def key_of_mail(octets):
    """Returns what tells mails apart, whichever build made them."""
    header = lambda name: (re.search(rb"(?m)^" + name + rb": *(.*?)\r?$", octets) or [b"", b""])[1]
    return header(b"X-Fluxwatch-Kind"), header(b"Subject"), header(b"To"), masked(octets)


def opened(octets):
    """Returns a mail, or a bundle that holds some, with what is encoded in it readable."""
    octets = re.sub(rb"(?:[A-Za-z0-9+/]{60,76}(?:\\r\\n|\r?\n))+[A-Za-z0-9+/=]{4,76}", lambda text: decoded(text[0]), octets)
    return re.sub(rb"=\r?\n", b"", octets)


def decoded(text):
    """Returns the octets of base64, or the text if it is none."""
    try:
        return base64.b64decode(re.sub(rb"\\r\\n|\s", b"", text), validate=True)
    except ValueError:
        return text


def masked(octets, rules=()):
    """Returns an output without what is drawn at random and what is expected to differ."""
    octets = opened(octets)
    for pattern, stand_in in [*DRAWN, *rules]:
        octets = re.sub(pattern, stand_in, octets)
    return octets


def read_expected():
    """Reads benches/same.expected: data set, kind, part of what was asked, pattern, stand-in, and why, between tabs."""
    rules = []
    for line in open("benches/same.expected"):
        if line.strip() and not line.startswith("#"):
            data, kind, asked, pattern, stand_in, why = line.rstrip("\n").split("\t")
            rules.append((data, kind, asked, pattern.encode(), stand_in.encode(), why))
    return rules


def compare(data, rules, used):
    """Compares both builds on a data set; returns how many outputs of each kind are the same, are as expected, and differ."""
    both = {build: answers(build, data) for build in BUILDS}
    counts = collections.defaultdict(collections.Counter)
    shown = 0
    for key in sorted(set(both["before"]) | set(both["after"])):
        kind, asked = key
        pair = [both[build].get(key, b"") for build in BUILDS]
        if masked(pair[0]) == masked(pair[1]):
            counts[kind]["same"] += 1
            continue
        held = [rule for rule in rules if rule[0] in ("*", data) and rule[1] in ("*", kind) and (rule[2] == "*" or rule[2] in asked)]
        replaced = [(pattern, stand_in) for _, _, _, pattern, stand_in, _ in held]
        if masked(pair[0], replaced) == masked(pair[1], replaced):
            counts[kind]["as expected"] += 1
            used.update(rule[5] for rule in held if any(re.search(rule[3], octets) for octets in pair))
            continue
        counts[kind]["different"] += 1
        if shown < int(os.environ.get("SHOWN", 10)):
            shown += 1
            print(f"--- {data}, {kind}: {asked}")
            lines = [masked(octets, replaced).decode(errors="replace").splitlines() for octets in pair]
            for text in list(difflib.unified_diff(*lines, "before", "after", n=0, lineterm=""))[2:12]:
                print(f"    {text[:300]}")
    return counts


def main():
    rules, used, different = read_expected(), collections.Counter(), 0
    make_sample()
    make_month()
    for data in ("sample", "month", "schema 8"):
        begin(data) if data != "schema 8" else make_schema_8()
        for build in BUILDS:
            run(build, data, "poll", statuses=(0, 3))
        for kind, count in sorted(compare(data, rules, used).items()):
            print(f"{data + ':':10} {kind:7} {count['same']:5} the same, {count['as expected']:4} differ as expected, {count['different']:4} differ", flush=True)
            different += count["different"]
    for why, count in used.items():
        print(f"expected, {count} outputs: {why}")
    sys.exit(different > 0)


main()
