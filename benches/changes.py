"""Imports feeds of one domain that changes every minute, and compares what a change costs."""

import json
import os
import resource
import subprocess
import sys
import time

RATIO_MAX = 1.5
# What an import of so many changes may take.
CPU_COUNT = 16_000
CPU_MAX_S = 30
BEGINS_AT = 1_790_000_000

program, folder = sys.argv[1:3]
counts = [int(count) for count in sys.argv[3:]]


def lines(plane, count):
    """The lines of a feed."""
    for i in range(count):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(BEGINS_AT + 60 * i))
        address = lambda n: f"10.{(i + n) * 7 % 251}.{(i + n) // 251 % 251}.{n + 1}"
        if plane == "nameservers":
            zone, hosts = "example.", [f"ns-{i + n}.bad.example." for n in range(2)]
            sets = [("bad.example.", "NS", hosts), (hosts[1], "A", [address(1)])]
        else:
            zone, sets = "bad.example.", [("www.bad.example.", "A", [address(0), address(1)])]
        for name, rrtype, rdata in sets:
            yield {"at": at, "zone": zone, "rrname": name, "rrtype": rrtype, "op": "set", "ttl": 60, "rdata": rdata}


def cpu_of_import(plane, count):
    """Imports a feed and returns the CPU seconds that it took."""
    place = f"{folder}/{plane}-{count}"
    os.mkdir(place)
    with open(f"{place}/changes.ndjson", "w") as file:
        for line in lines(plane, count):
            file.write(json.dumps(line) + "\n")
    with open(f"{place}/fluxwatch.toml", "w") as file:
        file.write('[store]\npath = "fluxwatch.db"\n')
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [program, "--config", f"{place}/fluxwatch.toml", "import", "feed", f"{place}/changes.ndjson"]
    with open(f"{place}/log", "w") as log:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=log)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


is_constant = is_cheap = True
for plane in ("nameservers", "addresses"):
    costs = []
    for count in counts:
        cpu = cpu_of_import(plane, count)
        costs.append(cpu / count)
        is_over = count == CPU_COUNT and cpu > CPU_MAX_S
        is_cheap &= not is_over
        wanted = f"; wanted: at most {CPU_MAX_S} CPU s" if count == CPU_COUNT else ""
        print(f"{plane}, {count} changes: {cpu:.2f} CPU s, {1000 * cpu / count:.2f} ms a change{wanted}", flush=True)
    ratio = costs[-1] / costs[0]
    print(f"{plane}: a change after many costs {ratio:.2f} times one after few (at most {RATIO_MAX})")
    is_constant &= ratio <= RATIO_MAX
sys.exit(0 if is_constant and is_cheap else 1)
