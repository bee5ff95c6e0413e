"""Times `fluxwatch history` with a cold cache, process start included, and a floor of plain rows."""

import base64
import http.client
import os
import random
import socket
import sqlite3
import subprocess
import sys
import time

from timing import evict, install, mix, tell, time_lookups

folder, domains, changed, built, reverse = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5] == "reverse"
database = folder + "/history.db"
config = folder + "/fluxwatch.toml"
program = install(built + "/fluxwatch", folder)
with open(config, "w") as file:
    file.write(f'[store]\npath = "{database}"\nreverse_index = {str(reverse).lower()}\n')


def label(number):
    """The name of a domain, as examples/make_history.rs makes it."""
    return f"{mix(number) % 0xFFFF:x}-{number}.example"


draw = random.Random(7)
time_lookups(program, config, database, [label(draw.randrange(domains)) for _ in range(300)])
# The same while versions are written: with the cache emptied before every lookup, which is the writer's too, and emptied
# once, every name looked up once.
for every_time in (True, False):
    evict(database)
    writer = subprocess.Popen([built + "/examples/make_history", "write", folder, str(domains), "12", changed, sys.argv[5]], stdout=subprocess.PIPE)
    time.sleep(1)
    evict(database)
    times = []
    while writer.poll() is None and len(times) < 300:
        name = label(draw.randrange(domains))
        if every_time:
            evict(database)
        started = time.perf_counter()
        subprocess.run([program, "--config", config, "history", name, "--format", "ndjson"], check=True, stdout=subprocess.PIPE)
        times.append(time.perf_counter() - started)
    print(writer.communicate()[0].decode().strip())
    tell(f"fluxwatch history NAME while versions are written, cache emptied {'every time' if every_time else 'once'}", times)
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

# Over HTTP, one connection: the database is opened once.
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
for name, text in {
    "small.zone": "$ORIGIN small.test.\n@ 3600 SOA a. b. 1 3600 600 86400 3600\n@ 3600 NS a.\n",
    "run.toml": open(config).read() + f'[web]\nlisten = "127.0.0.1:{port}"\nusers_file = "{folder}/users"\n'
    f'[[source]]\nname = "small"\nkind = "zonefile"\nzone = "small.test."\npath = "{folder}/small.zone"\nevery = "20h"\n',
}.items():
    with open(f"{folder}/{name}", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(text)
if not os.path.exists(f"{folder}/users"):
    add = [program, "--config", folder + "/run.toml", "users", "add", "desk", "--role", "viewer"]
    subprocess.run(add, input=b"secret-of-the-desk\n", check=True, capture_output=True)
service = subprocess.Popen([program, "--config", folder + "/run.toml", "run"], stderr=subprocess.DEVNULL)
for _ in range(200):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        break
    except OSError:
        time.sleep(0.05)
client = http.client.HTTPConnection("127.0.0.1", port)
user = {"Authorization": "Basic " + base64.b64encode(b"desk:secret-of-the-desk").decode()}
names = [label(draw.randrange(domains)) for _ in range(500)]
for path in ("/pdns/query/", "/api/v1/domains/"):
    for again in ("", ", looked up before"):
        times = []
        for name in names:
            started = time.perf_counter()
            client.request("GET", path + name, headers=user)
            answer = client.getresponse()
            body = answer.read()
            times.append(time.perf_counter() - started)
            assert answer.status == 200 and body, answer.status
        tell(f"GET {path}NAME{again}", times)
service.terminate()
service.wait()

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
