"""Runs the service for a time under a steady load, and says whether anything grows. benches/soak tells the load."""

import atexit
import http.client
import json
import os
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

ZONES = [f"z{n}.soak.test" for n in range(10)]
DOMAINS = 40  # Of each zone.
# Name servers that the domains of a zone move among: what is kept of them in memory is whole after some minutes, and a
# campaign, which is of domains that share some, has no more than one zone's.
HOSTS = 500
WARM_UP_S = 300  # Until every domain has its case; at most a sixth of the time.
UPDATES_PER_S = 10
COMMANDS = 1600  # Of the desk, in the whole time.
SAMPLE_S = 10
TOKEN = "a-token-of-the-soak-alone"
TYPE_A, TYPE_NS, TYPE_SOA, CLASS_IN, CLASS_ANY = 1, 2, 6, 1, 255

CPU_RATIO_MAX = 1.2  # Of a change at the end, to one in the first minute after the warm-up.
# Of the median of the last fifth, to that of the middle one; beside what the database grew by, whose pages are kept.
MEMORY_RATIO_MAX = 1.15
LOG_RATIO_MAX = 1.2  # Octets of the log a change, the same two.
WAL_RATIO_MAX = 1.2  # Of the largest log of the second half, to that of the first; 16 MiB are its wanted size.
COUNT_GROWTH_MAX = 4  # Of descriptors and threads, second half to first.
STOP_S_MAX = 5
LOAD_SHARE_MIN = 0.95  # Of the updates, to be made in time; less says that the machine had no time for the load.

program, folder, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
database = f"{folder}/fluxwatch.db"
configuration = f"{folder}/fluxwatch.toml"
numbers = random.Random(20261128)


def free_port():
    """Returns a port of 127.0.0.1 that nobody uses."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


class Knot:
    """A primary with the zones, which tells the service of each change."""

    def __init__(self, notify_port):
        self.port, place = free_port(), f"{folder}/knot"
        os.mkdir(place)
        zones = ""
        for zone in ZONES:
            delegations = "".join(f"d{n} NS ns{n}.start.test.\n" for n in range(DOMAINS))
            with open(f"{place}/{zone}.zone", "w") as file:
                file.write(f"$ORIGIN {zone}.\n$TTL 300\n@ SOA ns host 1 3600 600 86400 300\n@ NS ns1.start.test.\n{delegations}")
            zones += f"  - domain: {zone}.\n    file: {place}/{zone}.zone\n    acl: all\n    notify: watcher\n"
        with open(f"{place}/knot.conf", "w") as file:
            file.write(
                f"server:\n    rundir: {place}\n    listen: 127.0.0.1@{self.port}\n    udp-workers: 1\n    tcp-workers: 2\n    background-workers: 1\n"
                f"log:\n  - target: stderr\n    any: warning\n"
                f"database:\n    storage: {place}\n    journal-db-max-size: 1G\n    timer-db-max-size: 10M\n    kasp-db-max-size: 10M\n    catalog-db-max-size: 10M\n"
                f"remote:\n  - id: watcher\n    address: 127.0.0.1@{notify_port}\n"
                f"acl:\n  - id: all\n    address: 127.0.0.1\n    action: [ transfer, update ]\n"
                f"template:\n  - id: default\n    zonefile-load: difference\n    zonefile-sync: -1\n    journal-max-depth: 10000\nzone:\n{zones}"
            )
        self.log = open(f"{place}/log", "w")
        self.child = subprocess.Popen(["knotd", "-c", f"{place}/knot.conf"], stdout=self.log, stderr=self.log)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.socket.connect(("127.0.0.1", self.port))
        for _ in range(100):
            try:
                if all(self.ask(question(zone, TYPE_SOA)) == 0 for zone in ZONES):
                    return
            except OSError:
                pass
            time.sleep(0.1)
        sys.exit(f"Knot does not answer; see {place}/log")

    def ask(self, message):
        """Sends a message and returns the response's code."""
        self.socket.send(message)
        while True:
            response = self.socket.recv(65535)
            if response[:2] == message[:2]:
                return response[3] & 15


def name(text):
    """Returns a name in wire format."""
    return b"".join(bytes([len(label)]) + label.encode() for label in text.strip(".").split(".")) + b"\0"


def question(zone, rrtype):
    """Returns a query."""
    return struct.pack(">HHHHHH", numbers.randrange(65536), 0, 1, 0, 0, 0) + name(zone) + struct.pack(">HH", rrtype, CLASS_IN)


def update(zone, domain, hosts):
    """Returns an UPDATE (RFC 2136) that gives a domain these name servers and no other."""
    head = struct.pack(">HHHHHH", numbers.randrange(65536), 5 << 11, 1, 0, 1 + len(hosts), 0)
    gone = name(domain) + struct.pack(">HHIH", TYPE_NS, CLASS_ANY, 0, 0)
    added = b"".join(name(domain) + struct.pack(">HHIH", TYPE_NS, CLASS_IN, 300, len(name(host))) + name(host) for host in hosts)
    return head + name(zone) + struct.pack(">HH", TYPE_SOA, CLASS_IN) + gone + added


class Load:
    """What goes on beside the service, each part at its own pace, until it is told to end."""

    def __init__(self, knot, web_port, metrics_port):
        self.knot, self.web_port, self.metrics_port = knot, web_port, metrics_port
        self.ends, self.updates, self.pushed, self.lookups, self.commands, self.faults = threading.Event(), 0, 0, 0, 0, []
        self.hosts = {}
        self.threads = [threading.Thread(target=part, daemon=True) for part in (self.update, self.push, self.look_up, self.work)]
        for thread in self.threads:
            thread.start()

    def paced(self, per_second):
        """Yields 0, 1, 2, … so many times a second, whatever each costs, until the end."""
        began, count = time.monotonic(), 0
        while not self.ends.wait(max(0, began + count / per_second - time.monotonic())):
            yield count
            count += 1

    def fault(self, sentence):
        """Notes what went wrong; each is a reason to fail."""
        if len(self.faults) < 20:
            self.faults.append(sentence)

    def end(self):
        """Ends the load and waits for its parts."""
        self.ends.set()
        for thread in self.threads:
            thread.join()

    def next_hosts(self, domain):
        """Returns two hosts that the domain does not have now, so that each update is a change."""
        before = self.hosts.get(domain, ())
        now = numbers.sample([host for host in numbers.sample(range(HOSTS), 6) if host not in before], 2)
        self.hosts[domain] = now
        return now

    def update(self):
        """Moves a domain to two other name servers."""
        for count in self.paced(UPDATES_PER_S):
            zone = ZONES[count % len(ZONES)]
            domain = f"d{numbers.randrange(DOMAINS)}.{zone}"
            try:
                hosts = [f"ns{host}.pool{host % 37}-{count % len(ZONES)}.test" for host in self.next_hosts(domain)]
                code = self.knot.ask(update(zone, domain, hosts))
            except OSError as fault:
                self.fault(f"update {count}: {fault}")
                continue
            if code == 0:
                self.updates += 1
            else:
                self.fault(f"update {count}: Knot answered {code}")

    def request(self, method, path, body=None):
        """Makes a request and returns status and body."""
        port = self.metrics_port if path == "/metrics" else self.web_port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}"} if body else {"Authorization": "Basic c29hazphLXBhc3N3b3JkLW9mLXRoZS1zb2Fr"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def push(self):
        """Pushes a line a second."""
        for count in self.paced(1):
            line = {"at": int(time.time()), "rrname": f"p{count % 50}.pushed.test.", "rrtype": "A", "op": "set", "ttl": 60,
                    "rdata": [f"10.{count >> 16 & 255}.{count >> 8 & 255}.{count & 255}"], "serial": count + 1}
            try:
                status, body = self.request("POST", "/api/v1/changes", json.dumps(line) + "\n")
            except OSError as fault:
                self.fault(f"push {count}: {fault}")
                continue
            # The first line is the zone's baseline, and no change.
            if status == 202:
                self.pushed += count > 0
            else:
                self.fault(f"push {count}: {status} {body[:200]}")

    def look_up(self):
        """Asks for a name and for the metrics, once a second."""
        for count in self.paced(1):
            path = "/metrics" if count % 10 == 0 else f"/pdns/query/d{count % DOMAINS}.{ZONES[count % len(ZONES)]}"
            try:
                status, body = self.request("GET", path)
            except OSError as fault:
                self.fault(f"GET {path}: {fault}")
                continue
            if status == 200:
                self.lookups += 1
            else:
                self.fault(f"GET {path}: {status} {body[:200]}")

    def work(self):
        """Runs the desk's commands, one after the other."""
        exemption = 0
        for count in self.paced(COMMANDS / (seconds + 1)):
            domain = f"d{count % DOMAINS}.{ZONES[count % len(ZONES)]}"
            commands = [
                ["cases", "list", "--format", "json"],
                ["history", domain, "--format", "json"],
                ["explain", domain],
                ["exempt", "add", "domain", f"exempt{count}.{ZONES[0]}", "--reason", "soak", "--by", "soak", "--until", "1d"],
                ["exempt", "list", "--format", "json"],
                ["exempt", "remove", str(exemption), "--by", "soak"],
                ["status", "--format", "json"],
                ["stats"],
                ["report", "preview", "1"],
                ["outbox", "list", "--format", "json"],
                ["db", "stats", "--format", "json"],
                ["cases", "note", "1", "--note", "looked at", "--by", "soak"],
            ]
            command = commands[count % len(commands)]
            done = run(command)
            self.commands += 1
            if command[:2] == ["exempt", "list"] and done.returncode == 0:
                exemption = json.loads(done.stdout)[-1]["id"]
            # There is no case 1 before a domain has moved a few times.
            if done.returncode and not (done.returncode == 1 and "1" in command):
                self.fault(f"{' '.join(command)}: status {done.returncode}: {done.stderr.strip()[:300]}")


def run(arguments):
    """Runs a command of the program."""
    return subprocess.run([program, "--config", configuration, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)


def write_configuration(knot_port, notify_port, web_port, metrics_port):
    """Writes what the service reads."""
    text = f'[store]\npath = "{database}"\n[notify]\nlisten = ["127.0.0.1:{notify_port}"]\n'
    text += f'[web]\nlisten = "127.0.0.1:{web_port}"\ntoken_file = "{folder}/token"\nusers_file = "{folder}/users"\n[metrics]\nlisten = "127.0.0.1:{metrics_port}"\n'
    for number, zone in enumerate(ZONES):
        text += f'[[source]]\nname = "zone{number}"\nkind = "transfer"\nzone = "{zone}."\nprimaries = ["127.0.0.1:{knot_port}"]\nevery = "1s"\nnotify = true\n'
    text += '[[source]]\nname = "pushed"\nkind = "feed"\nzone = "pushed.test."\npush = true\ncomplete = true\n'
    text += '[report]\nfrom = "fluxwatch@registrar.example"\ndesk = ["abuse-desk@registrar.example"]\norg = "Example Registrar"\ncontact = "abuse@registrar.example"\n'
    text += f'[smtp]\nurl = "maildir://{folder}/desk"\n'
    for path, content in ((configuration, text), (f"{folder}/token", TOKEN + "\n")):
        with open(path, "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
    if not os.path.exists(f"{folder}/users"):
        add = [program, "--config", configuration, "users", "add", "soak", "--role", "viewer"]
        subprocess.run(add, input=b"a-password-of-the-soak\n", check=True, capture_output=True)


def size(path):
    """Returns octets of a file; 0 if there is none."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def sample(pid, began, load):
    """Returns what the service uses now."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{pid}/status") as file:
        status = dict(line.split(":", 1) for line in file)
    return {
        "at": time.monotonic() - began,
        "cpu": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        "rss": int(status["VmRSS"].split()[0]) / 1024,
        "threads": int(status["Threads"]),
        "fds": len(os.listdir(f"/proc/{pid}/fd")),
        "log": size(f"{folder}/log") / 1024,
        "db": size(database) / 1048576,
        "wal": size(database + "-wal") / 1048576,
        "changes": load.updates + load.pushed,
    }


def line_of(samples):
    """Returns the newest sample as a line; CPU is that of the time since the one before."""
    before, now = samples[-2], samples[-1]
    cpu = 100 * (now["cpu"] - before["cpu"]) / (now["at"] - before["at"])
    return f"{now['at']:6.0f} s {cpu:5.1f} % CPU {now['rss']:7.1f} MiB {now['fds']:4} fds {now['threads']:3} threads {now['log']:8.0f} KiB log {now['db']:7.1f} MiB db {now['wal']:6.1f} MiB wal {now['changes']:7} changes"


def between(samples, start, end):
    """Returns the samples of a time."""
    return [it for it in samples if start <= it["at"] <= end]


def per_change(samples, key):
    """Returns what one change cost in a time."""
    first, last = samples[0], samples[-1]
    return (last[key] - first[key]) / max(1, last["changes"] - first["changes"])


def growth(samples):
    """Compares the end with the beginning: rows of what, begin, end, the most that the end may be."""
    warm = min(WARM_UP_S, seconds / 6)
    early = between(samples, warm, warm + max(60, seconds / 60) + SAMPLE_S)
    late = between(samples, seconds - max(60, min(300, seconds / 4)) - SAMPLE_S, seconds + SAMPLE_S)
    half = [between(samples, warm, seconds / 2), between(samples, seconds / 2, seconds + SAMPLE_S)]
    middle, end = between(samples, seconds * 0.4, seconds * 0.6), between(samples, seconds * 0.8, seconds + SAMPLE_S)
    median = lambda them: statistics.median(it["rss"] for it in them)
    cpu, log = ([per_change(them, key) for them in (early, late)] for key in ("cpu", "log"))
    rows = [("CPU, ms a change", 1000 * cpu[0], 1000 * cpu[1], 1000 * cpu[0] * CPU_RATIO_MAX)]
    grown = end[-1]["db"] - middle[-1]["db"]
    rows.append(("memory, MiB", median(middle), median(end), median(middle) * MEMORY_RATIO_MAX + grown))
    for key in ("fds", "threads"):
        first, second = (max(it[key] for it in them) for them in half)
        rows.append((key, first, second, first + COUNT_GROWTH_MAX))
    rows.append(("log, KiB a change", log[0], log[1], log[0] * LOG_RATIO_MAX))
    first, second = (max(it["wal"] for it in them) for them in half)
    rows.append(("write-ahead log, MiB", first, second, max(first * WAL_RATIO_MAX, 16)))
    return rows


def changes_in_history():
    """Returns how many changes history holds: names that changed, summed over the versions."""
    count = 0
    for zone in [*ZONES, "pushed.test"]:
        listed = run(["history", f"*.{zone}", "--format", "json", "--limit", "1000000"])
        changes = json.loads(listed.stdout)["changes"] if listed.returncode == 0 else []
        count += sum(1 for it in changes if it["removed"] or zone == "pushed.test")
    return count


def begin_second():
    """Starts a second service on the same database."""
    return subprocess.Popen([program, "--config", configuration, "run"], stdout=subprocess.DEVNULL, stderr=open(f"{folder}/second.log", "w"))


def end_second(child):
    """Ends the second service, if it waits; returns how it stood, in words, and whether that is right."""
    said = open(f"{folder}/second.log").read().strip()[:200]
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=STOP_S_MAX)
        return f"waited: {said}", "another fluxwatch" in said
    return f"ended with {child.returncode}: {said}", "another fluxwatch" in said


def main():
    """Runs the soak and returns the exit status."""
    notify_port, web_port, metrics_port = free_port(), free_port(), free_port()
    knot = Knot(notify_port)
    write_configuration(knot.port, notify_port, web_port, metrics_port)
    atexit.register(knot.child.terminate)
    first = run(["poll"])
    if first.returncode not in (0, 3):
        sys.exit(f"the first poll failed: {first.stderr}")
    log = open(f"{folder}/log", "w")
    service = subprocess.Popen([program, "--config", configuration, "run"], stdout=log, stderr=log)
    time.sleep(2)
    second, load = begin_second(), Load(knot, web_port, metrics_port)
    began = time.monotonic()
    samples = [sample(service.pid, began, load)]
    while time.monotonic() < began + seconds and service.poll() is None:
        time.sleep(max(0, began + len(samples) * SAMPLE_S - time.monotonic()))
        if service.poll() is None:
            samples.append(sample(service.pid, began, load))
            print(line_of(samples), flush=True)
    load.end()
    verdicts = [(f"{what}: {one:.2f} at first, {other:.2f} at the end, at most {most:.2f}", other <= most) for what, one, other, most in growth(samples)]
    verdicts.append((f"{load.updates} updates, {load.pushed} pushes, {load.lookups} lookups, {load.commands} commands; faults: {'; '.join(load.faults) or 'none'}", not load.faults))
    # What a change costs can be compared only while as many are made.
    asked = int(seconds * UPDATES_PER_S * LOAD_SHARE_MIN)
    verdicts.append((f"{load.updates} updates made, at least {asked} asked", load.updates >= asked))
    made = load.updates + load.pushed
    for _ in range(30):
        if (stored := changes_in_history()) >= made:
            break
        time.sleep(1)
    verdicts.append((f"{stored} changes in history of {made}", stored == made))
    said, is_right = end_second(second)
    verdicts.append((f"the second service {said}", is_right))
    told = time.monotonic()
    if service.poll() is None:
        service.send_signal(signal.SIGTERM)
    try:
        status = service.wait(timeout=60)
    except subprocess.TimeoutExpired:
        service.kill()
        status = "none, killed after 60 s"
    took = time.monotonic() - told
    verdicts.append((f"SIGTERM: status {status} after {took:.1f} s, at most {STOP_S_MAX}", status == 0 and took <= STOP_S_MAX))
    verified = run(["db", "verify"])
    verdicts.append((f"db verify: {(verified.stdout or verified.stderr).strip()[:200]}", verified.returncode == 0))
    print()
    for sentence, is_right in verdicts:
        print(f"{'ok    ' if is_right else 'FAILED'} {sentence}")
    return 0 if all(is_right for _, is_right in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
