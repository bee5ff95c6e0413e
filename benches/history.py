"""Times `fluxwatch history` with a cold cache, process start included, and a floor of plain rows."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time

folder, domains, program, reverse = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] == "reverse"
database = folder + "/history.db"
config = folder + "/fluxwatch.toml"
# As it is installed: what a linker wrote takes the system longer to map than a file that was copied (1 ms a start).
installed = folder + "/fluxwatch"
shutil.copy(program, installed)
with open(installed, "rb") as file:
    os.fsync(file.fileno())
program = installed
with open(config, "w") as file:
    file.write(f'[store]\npath = "{database}"\nreverse_index = {str(reverse).lower()}\n')
MASK = (1 << 64) - 1


def label(number):
    """The name of a domain, as examples/make_history.rs makes it (splitmix64)."""
    z = state = (number + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return f"{(z ^ (z >> 31)) % 0xFFFF:x}-{number}.example"


def evict(path):
    """Makes the kernel forget the pages of a file."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def tell(what, times):
    times.sort()
    at = lambda share: times[int((len(times) - 1) * share)] * 1000
    print(f"{what}: p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, most {times[-1] * 1000:.1f} ms ({len(times)} runs)")


draw = random.Random(7)
for cold in (True, False):
    times = []
    for _ in range(300):
        name = label(draw.randrange(domains))
        if cold:
            evict(database)
        started = time.perf_counter()
        out = subprocess.run([program, "--config", config, "history", name, "--format", "ndjson"], check=True, stdout=subprocess.PIPE).stdout
        times.append(time.perf_counter() - started)
        assert out, name
    tell(f"fluxwatch history NAME, process start included, cache {'cold' if cold else 'warm'}", times)
times = []
for _ in range(100):
    started = time.perf_counter()
    subprocess.run([program, "--version"], check=True, stdout=subprocess.DEVNULL)
    times.append(time.perf_counter() - started)
tell("floor: fluxwatch --version", times)
times = []
for _ in range(100):
    started = time.perf_counter()
    subprocess.run(["/bin/true"], check=True, stdout=subprocess.DEVNULL)
    times.append(time.perf_counter() - started)
tell("floor: /bin/true", times)
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
