"""Runs commands over inputs of three sizes, and compares what a record, a change or a name costs."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time

RATIO_MAX = 1.5
# What a command may take by itself: less tells nothing.
LEAST_S = 0.3
BEGINS_AT = 1_790_000_000
CONFIG = """[store]
path = "fluxwatch.db"
[limits]
rrset_records = 1000000
[report]
from = "fluxwatch@registry.example"
desk = ["abuse@registry.example"]
org = "Registry"
contact = "noc@registry.example"
[smtp]
url = "maildir://FOLDER/sent"
"""


def line(second, zone, name, rrtype, rdata, op="set"):
    """A line of a feed."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(BEGINS_AT + second))
    return {"at": at, "zone": zone, "rrname": name, "rrtype": rrtype, "op": op, "ttl": 60, "rdata": rdata}


def address(i):
    """An address that no other number has, in one of a hundred networks."""
    return f"{11 + i % 100}.{i // 100 % 250}.{i // 25_000 % 250}.1"


def exchanged(zone, name, rrtype, value, count):
    """An RRset that is exchanged five times, a thousand records a line."""
    for i in range(6):
        values = [value(i * count + j) for j in range(count)]
        for begin in range(0, count, 1000):
            yield line(3600 * i, zone, name, rrtype, values[begin : begin + 1000], "add" if begin else "set")


def wide(count):
    """A name of one RRset."""
    return exchanged("bad.example.", "www.bad.example.", "A", address, count)


def wide_servers(count):
    """A delegation to many name servers."""
    return exchanged("example.", "bad.example.", "NS", lambda i: f"ns{i}.other.test.", count)


def busy(count):
    """A name that changes every minute."""
    for i in range(count):
        yield line(60 * i, "bad.example.", "www.bad.example.", "A", [address(i), address(i + 1)])


def below(count):
    """A domain with many names, of which one moves with every tenth that is new."""
    for i in range(count):
        yield line(60 * i, "bad.example.", f"www{i}.bad.example.", "A", [address(i)])


def campaign(count):
    """Delegations that go through the same name servers, each a second after the one before."""
    for i in range(6):
        for j in range(count):
            yield line(7200 * i + j, "example.", f"bad{j}.example.", "NS", [f"ns{i + n}.other{n}-{i}.test." for n in range(4)])


def moves(count):
    """Delegations that all move in one version to name servers of their own."""
    for i in range(2):
        for j in range(count):
            yield line(3600 * i, "example.", f"name{j}.example.", "NS", [f"ns{i}.name{j}.example."])


def zones(count):
    """Zones that are told at one time."""
    for i in range(2):
        for j in range(count):
            yield line(60 * i, f"name{j}.example.", f"www.name{j}.example.", "A", [address(i + j)])


LOOKUPS = [
    ["explain", "bad.example"],
    ["history", "www.bad.example"],
    ["history", "bad.example"],
    ["history", "www.bad.example", "--view", "timeline"],
    ["report", "preview", "1"],
    ["export", "--domain", "bad.example"],
    ["export", "--format", "ndjson", "--to", "days"],
    ["db", "verify"],
    ["cases"],
    ["status"],
]
CASES = {
    "wide": (wide, LOOKUPS, 1),
    "wide_servers": (wide_servers, LOOKUPS, 1),
    "busy": (busy, LOOKUPS, 1),
    "below": (below, LOOKUPS, 1),
    "campaign": (campaign, [["cases"], ["cases", "show", "1"], ["report", "preview", "1"], ["db", "verify"]], 4),
    "moves": (moves, [["db", "verify"]], 1),
    "zones": (zones, [["db", "verify"], ["status"]], 4),
}


def cpu_of(place, command, program):
    """Runs a command and returns the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(f"{place}/log", "w") as log:
        done = subprocess.run([program, "--config", "fluxwatch.toml", *command], cwd=place, stdout=log, stderr=log)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        with open(f"{place}/log") as log:
            sys.exit(f"{command}: status {done.returncode}\n{log.read()[-500:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(name, base, program, folder):
    """Returns whether no command of a case costs more than its input asks for."""
    lines, commands, divisor = CASES[name]
    counts = [base // divisor * factor for factor in (1, 4, 16)]
    costs = {}
    for count in counts:
        place = f"{folder}/{name}-{count}"
        os.makedirs(f"{place}/sent")
        with open(f"{place}/changes.ndjson", "w") as file:
            for told in lines(count):
                file.write(json.dumps(told) + "\n")
        with open(f"{place}/fluxwatch.toml", "w") as file:
            file.write(CONFIG.replace("FOLDER", place))
        for command in [["import", "feed", "changes.ndjson"], *commands]:
            costs.setdefault(" ".join(command), []).append(cpu_of(place, command, program))
        shutil.rmtree(place)
    is_linear = True
    for command, seconds in costs.items():
        ratio = seconds[-1] / counts[-1] / (max(seconds[0], LEAST_S / 16) / counts[0])
        is_over = ratio > RATIO_MAX and seconds[-1] > LEAST_S
        is_linear &= not is_over
        figures = ", ".join(f"{count}: {cpu:.2f}" for count, cpu in zip(counts, seconds))
        print(f"{name}: {command}: {figures} CPU s; ratio {ratio:.2f}{' - too much' if is_over else ''}", flush=True)
    return is_linear


program, folder, *arguments = sys.argv[1:]
base = 1000
if arguments[:1] == ["-n"]:
    base, arguments = int(arguments[1]), arguments[2:]
results = [measure(name, base, os.path.abspath(program), folder) for name in arguments or CASES]
sys.exit(0 if all(results) else 1)
