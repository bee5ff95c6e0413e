"""Times `fluxwatch history` with a cold cache, process start included, and a floor of plain rows."""

import os
import random
import sqlite3
import subprocess
import sys
import time

from timing import evict, install, mix, tell, time_lookups

folder, domains, program, reverse = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] == "reverse"
database = folder + "/history.db"
config = folder + "/fluxwatch.toml"
program = install(program, folder)
with open(config, "w") as file:
    file.write(f'[store]\npath = "{database}"\nreverse_index = {str(reverse).lower()}\n')


def label(number):
    """The name of a domain, as examples/make_history.rs makes it."""
    return f"{mix(number) % 0xFFFF:x}-{number}.example"


draw = random.Random(7)
time_lookups(program, config, database, [label(draw.randrange(domains)) for _ in range(300)])
if reverse:
    for cold in (True, False):
        if cold:
            evict(database)
        started = time.perf_counter()
        child = subprocess.Popen([program, "--config", config, "history", "--ns", "ns1.p0.test", "--format", "ndjson"], stdout=subprocess.PIPE)
        line = os.read(child.stdout.fileno(), 65536)
        first = time.perf_counter() - started
        count = line.count(b"\n") + sum(chunk.count(b"\n") for chunk in iter(lambda: child.stdout.read(1 << 20), b""))
        print(f"fluxwatch history --ns, cache {'cold' if cold else 'warm'}: first output after {first * 1000:.1f} ms, all {count} records after {time.perf_counter() - started:.2f} s")
        child.wait()

# The floor: a row for each record that was added or removed, with an index to find a domain's.
plain = folder + "/plain.db"
if os.path.exists(plain):
    os.remove(plain)
db = sqlite3.connect(plain)
db.execute("pragma journal_mode = wal")
db.execute("create table event(domain integer, at integer, op integer, rrtype integer, rdata integer, ttl integer)")
db.execute("create index event_by_domain on event(domain)")
count, moved = 0, max(1, domains // 100)
for version in range(100):
    rows = []
    for number in sorted(draw.sample(range(domains), moved)):
        rows += [(number, version, op, 2, draw.randrange(140000), 86400) for op in (0, 0, 1, 1)]
    with db:
        db.executemany("insert into event values (?, ?, ?, ?, ?, ?)", rows)
    count += len(rows)
db.execute("pragma wal_checkpoint(truncate)")
print(f"floor: plain rows with an index, {count} changes: {os.path.getsize(plain) / count:.1f} octets a change")
times = []
for _ in range(2000):
    started = time.perf_counter()
    db.execute("select * from event where domain = ?", (draw.randrange(domains),)).fetchall()
    times.append(time.perf_counter() - started)
tell("floor: plain rows, in the process", times)
