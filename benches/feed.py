"""Makes a month of a small zone as a feed, and has programs import it and judge it again: see benches/feed."""

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time

BEGIN, HOUR, DAY = 1_788_000_000, 3600, 86400
folder, count, programs = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
draw = random.Random(1)
events = []


def line(at, name, rrtype, rdata):
    events.append((at, json.dumps({"at": at, "zone": "example.", "rrname": name, "rrtype": rrtype, "op": "set", "ttl": 300, "rdata": rdata})))


def address():
    return f"10.{draw.randrange(30, 250)}.{draw.randrange(256)}.{draw.randrange(1, 255)}"


def words():
    return "".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(9))


def provider():
    # Some have most names, and most have few.
    number = int(200 ** draw.random())
    return [f"ns1.dns{number}.test.", f"ns2.dns{number}.test."]


def make_flux(n, changes):
    """Makes a month of a name in flux: of its name servers, of their addresses, or of its own."""
    name = f"flux{n}.example."
    start = BEGIN + DAY + draw.randrange(10 * DAY)
    period = (30 * DAY - (start - BEGIN)) // changes
    own = [f"ns1.{name}", f"ns2.{name}"]
    pool = [f"ns{k}.c{n // 3}pool{k}.test." for k in range(12)]
    if n % 3 == 1:
        line(start, name, "NS", own)
    for turn in range(changes):
        at = start + turn * period + draw.randrange(max(1, period // 2))
        if n % 3 == 0:
            new = [f"ns1.{words()}.test.", f"ns1.{words()}.test."] if draw.random() < 0.2 else draw.sample(pool, 3)
            line(at, name, "NS", new)
        elif n % 3 == 1:
            line(at, own[turn % 2], "A", [address() for _ in range(1 + n % 2)])
        else:
            line(at, "www." + name, "A", [address() for _ in range(5)])


def make_feed():
    for n in range(400):
        line(BEGIN, f"d{n}.example.", "NS", provider())
    for _ in range(400):
        line(BEGIN + DAY + draw.randrange(28 * DAY), f"d{draw.randrange(400)}.example.", "NS", provider())
    for n in range(24):
        make_flux(n, int((count - 800) / 24 * [0.4, 0.7, 1.0, 1.9][n // 3 % 4]))
    events.sort(key=lambda event: event[0])
    with open(f"{folder}/feed.ndjson", "w") as feed:
        feed.writelines(text + "\n" for _, text in events)
    with open(f"{folder}/asn.csv", "w") as table:
        table.writelines(f"10.{n}.0.0,10.{n}.255.255,{64512 + n}\n" for n in range(256))


def measure(command, log):
    """Runs a command. Returns its CPU seconds, its peak memory in MiB, and the most octets that its log had."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    longest = 0
    while True:
        ended, status, used = os.wait4(child.pid, os.WNOHANG)
        longest = max(longest, os.path.getsize(log) if os.path.exists(log) else 0)
        if ended:
            break
        time.sleep(0.02)
    if status != 0:
        sys.exit(f"{' '.join(command)}: {child.stderr.read().decode()[-500:]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss >> 10, longest


def told(program, config):
    """Returns a hash over what a program tells of its cases, and how many there are."""
    ask = lambda *words: subprocess.run([program, "--config", config, *words], capture_output=True).stdout
    cases = json.loads(ask("cases", "list", "--state", "all", "--format", "json"))
    whole = hashlib.sha256(json.dumps(cases, sort_keys=True).encode())
    for case in cases:
        for words in (["history", case["domain"], "--format", "json"], ["explain", case["domain"]], ["cases", "log", str(case["id"])]):
            # That no mail is wanted is noted at the time of the import.
            whole.update(re.sub(rb"(?m)^ *[0-9 :-]{19} (.*: no mail is wanted)$", rb"\1", ask(*words)))
    return whole.hexdigest(), len(cases)


make_feed()
answers = set()
for place, program in enumerate(programs):
    config, database = f"{folder}/{place}.toml", f"{folder}/{place}.db"
    with open(config, "w") as file:
        file.write(f'[store]\npath = "{database}"\n[enrich]\nasn = "{folder}/asn.csv"\n')
    run = [program, "--config", config]
    cpu, memory, log = measure([*run, "import", "feed", "--zone", "example.", "--complete", f"{folder}/feed.ndjson"], database + "-wal")
    print(f"{program}: import of {len(events):,} lines {cpu:.1f} CPU s, {cpu / len(events) * 1000:.2f} ms a line, {memory} MiB, log at most {log / 2**20:.1f} MiB", flush=True)
    cpu, memory, _ = measure([*run, "backtest", "--since", str(BEGIN), "--until", str(BEGIN + 14 * DAY)], database + "-wal")
    print(f"{program}: backtest of two weeks {cpu:.1f} CPU s, {memory} MiB", flush=True)
    digest, cases = told(program, config)
    print(f"{program}: {cases} cases, told {digest[:16]}", flush=True)
    answers.add(digest)
sys.exit(len(answers) > 1)
