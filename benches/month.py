"""Makes a month of a zone, imports it, and says who is suspected: see benches/month. With "-" for the program, it only makes the files."""

import collections
import datetime
import json
import random
import resource
import subprocess
import sys
import time

BEGIN = 1_788_000_000
HOUR, DAY = 3600, 86400
program, folder, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
draw = random.Random(seed)
words = lambda: "".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(9))
events = []


def pair(provider):
    return [f"ns1.dns{provider}.test.", f"ns2.dns{provider}.test."]


def line(at, name, rrtype, rdata):
    events.append((at, json.dumps({"at": at, "zone": "example.", "rrname": name, "rrtype": rrtype, "op": "set", "ttl": 86400, "rdata": rdata})))


def address(network):
    return f"10.{network}.{draw.randrange(256)}.{draw.randrange(1, 255)}"


def provider():
    # Some have most names, and most have few.
    return int(2000 ** draw.random())


for n in range(count):
    line(BEGIN, f"d{n}.example.", "NS", pair(provider()))

moved = set()


def other():
    """A name that nothing else happens to."""
    while True:
        n = draw.randrange(count)
        if n not in moved:
            moved.add(n)
            return f"d{n}.example."


month = lambda: BEGIN + DAY + draw.randrange(24 * DAY)
for _ in range(int(count * 4e-4 * 30)):
    line(month(), other(), "NS", pair(provider()))
for _ in range(6):
    at, target = month(), 3000 + draw.randrange(50)
    for _ in range(200):
        line(at, other(), "NS", pair(target))
triers = set()
for _ in range(20):
    at, name = month(), other()
    triers.add(name)
    for step in range(3):
        line(at + step * 26 * HOUR, name, "NS", pair(5000 + draw.randrange(100000)))
for _ in range(60):
    # Secondaries, a day each; a mistyped name and its correction; an expiry and another holder.
    at, name, own = month(), other(), pair(provider())
    line(BEGIN, name, "NS", own)
    for step in range(3):
        own = own + [f"ns{step}.{words()}.test."]
        line(at + step * DAY, name, "NS", own)
    at, name, target = month(), other(), pair(provider())
    for step, slip in enumerate([[target[0].replace("dns", "dsn")], [target[0]]]):
        line(at + step * HOUR, name, "NS", slip + target[1:])
    at, name = month(), other()
    line(at, name, "NS", [])
    line(at + 9 * DAY, name, "NS", pair(provider()))
    line(at + 10 * DAY, name, "NS", pair(provider()))

hosters = {"failing.example.": 150, "moving.example.": 12}
for hoster, customers in hosters.items():
    own = [f"ns1.{hoster}", f"ns2.{hoster}"]
    line(BEGIN, hoster, "NS", own)
    for host in own:
        line(BEGIN, host, "A", [address(1)])
    for _ in range(customers):
        line(BEGIN, other(), "NS", own)
sites = [address(2 + n) for n in range(6)]
for turn in range(24 * 24):
    line(BEGIN + 2 * DAY + turn * HOUR, "ns1.failing.example.", "A", [draw.choice(sites)])
for turn in range(8):
    line(BEGIN + 9 * DAY + turn * 12 * HOUR, "ns1.moving.example.", "A", [address(20 + turn)])

fluxes = [f"flux{n}.example." for n in range(20)]
for n, name in enumerate(fluxes):
    start = BEGIN + DAY + draw.randrange(12 * DAY)
    own = [f"ns1.{name}", f"ns2.{name}"]
    if n % 4 == 0:
        for turn in range(28):
            line(start + turn * 12 * HOUR, name, "NS", [f"ns1.{words()}.test.", f"ns1.{words()}.test."])
        continue
    if n % 4 == 1:
        for turn in range(14):
            line(start + turn * DAY, name, "NS", [f"ns1.{words()}.test.", f"ns1.{words()}.test."])
        continue
    line(start, name, "NS", own)
    period = [90 * 60, 6 * HOUR][n % 4 - 2]
    for turn in range(14 * DAY // period):
        line(start + turn * period, own[turn % 2], "A", [address(30 + draw.randrange(220))])

events.sort(key=lambda event: event[0])
with open(f"{folder}/feed.ndjson", "w") as feed:
    feed.writelines(text + "\n" for _, text in events)
with open(f"{folder}/asn.csv", "w") as table:
    table.writelines(f"10.{n}.0.0,10.{n}.255.255,{64512 + n}\n" for n in range(256))
with open(f"{folder}/fluxwatch.toml", "w") as config:
    config.write(f'[store]\npath = "month.db"\n[enrich]\nasn = "asn.csv"\n')
if program == "-":
    sys.exit()
run = lambda *arguments: subprocess.run([program, "--config", f"{folder}/fluxwatch.toml", *arguments], capture_output=True, text=True, check=True).stdout
started = time.perf_counter()
run("import", "feed", "--zone", "example.", "--complete", f"{folder}/feed.ndjson")
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"{count:,} delegations, {len(events) - count:,} changes: imported and judged in {used.ru_utime + used.ru_stime:.0f} CPU s, {time.perf_counter() - started:.0f} s, {used.ru_maxrss >> 10} MiB")
cases = json.loads(run("cases", "list", "--state", "all", "--format", "json"))
peak = {case["domain"]: case["peak_level"] for case in cases}
levels = collections.Counter(peak.values())
print("cases by their highest level:", dict(levels))
missed = [name for name in fluxes if peak.get(name) != "report"]
told = {name for name, level in peak.items() if level == "report"}
accused = told - set(fluxes) - set(hosters)
reviewed = {name for name, level in peak.items() if level == "review"} - set(fluxes) - set(hosters) - triers
days = collections.Counter()
for case in cases:
    if case["domain"] in told:
        log = run("cases", "show", case["domain"])
        rose = next(text for text in log.splitlines() if "level report" in text or "to report" in text)
        days[next(word for word in rose.split() if word.startswith("20"))[:10]] += 1
most = max(days.values(), default=0)
print(f"fluxes reported: {len(fluxes) - len(missed)} of {len(fluxes)}{' (missed: ' + ', '.join(missed) + ')' if missed else ''}")
print("hosters:", {name: peak.get(name, "none") for name in hosters})
print(f"others reported: {len(accused)} {sorted(accused)[:5]}")
print(f"others reviewed: {len(reviewed)} {sorted(reviewed)[:5]}; of {len(triers)} that tried three providers in three days: {sum(peak.get(name) == 'review' for name in triers)}")
benign = count - len(fluxes) - len(hosters)
wrong = len(accused | reviewed) + sum(peak.get(name) in ("review", "report") for name in triers)
# Poisson: half the 97.5 % quantile of chi square with 2 (k + 1) degrees, by Wilson and Hilferty.
k = wrong + 1
above = k * (1 - 1 / (9 * k) + 1.96 / (3 * k**0.5)) ** 3
print(f"undeserved reviews and reports: {wrong} of {benign:,} benign names in a month: {1e4 * wrong / benign:.2f} of 10,000 (95 %: at most {1e4 * above / benign:.2f})")
print(f"at most {most} reports a day")
sys.exit(bool(missed or accused or reviewed or most > 15))
