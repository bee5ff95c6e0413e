"""Measures a database on a PostgreSQL server beside one in a file: see benches/postgres."""

import base64
import http.client
import json
import os
import pathlib
import random
import resource
import socket
import subprocess
import sys
import tempfile
import time

from pgserver import Server
from timing import tell

PROGRAM = os.path.abspath(sys.argv[1])
DELEGATIONS = int(sys.argv[2])
VERSIONS = int(sys.argv[3])
NAMES = 10_000
LOOKUPS = 500
# Commands, each of which opens the database anew.
COMMANDS = 50


class File:
    """A database in a file."""

    def __init__(self, folder):
        self.path = folder / "fluxwatch.db"

    def cpu(self):
        return 0.0

    def round_trip(self):
        return "nothing"

    def wal(self):
        return 0

    def statements(self):
        return 0

    def history(self):
        return 0

    def tables(self):
        return []

    def size(self):
        return sum(path.stat().st_size for path in self.path.parent.glob("fluxwatch.db*") if path.is_file())

    def stop(self):
        pass


def write_zone(path, serial, moved, apex="example"):
    """Writes a zone in which some names have moved, each version other ones."""
    with open(path, "w", encoding="ascii") as zone:
        zone.write(f"{apex}. 3600 IN SOA ns.{apex}. h.{apex}. {serial} 3600 900 1209600 300\n")
        zone.write(f"{apex}. 3600 IN NS ns.{apex}.\nns.{apex}. 3600 IN A 192.0.2.1\n")
        for name in range(DELEGATIONS):
            host = name % 5_000 + moved.get(name, 0) * 5_000
            zone.write(f"d{name}.{apex}. 3600 IN NS ns1.p{host}.test.\nd{name}.{apex}. 3600 IN NS ns2.p{host}.test.\n")


class Zone:
    """The files of a zone, in the order of their times."""

    def __init__(self, folder):
        self.folder, self.serial, self.moved, self.next, self.at = folder, 0, {}, 0, 1_780_000_000

    def write(self, versions, names, same=False):
        """Writes versions in each of which so many names move: other ones, or the same."""
        for old in self.folder.glob("z-*.zone"):
            old.unlink()
        for _ in range(versions):
            self.serial += 1
            # One that moved three times within a week is judged by itself.
            self.at += 4 * 86_400 if same else 3_600
            first = 0 if same else self.next
            for n in range(first, first + names):
                name = n % DELEGATIONS
                self.moved[name] = self.moved.get(name, 0) + 1
            self.next += 0 if same else names
            path = self.folder / f"z-{self.serial:04}.zone"
            write_zone(path, self.serial, self.moved)
            os.utime(path, (self.at, self.at))

    def configure(self, store):
        (self.folder / "fluxwatch.toml").write_text(
            f"[store]\n{store}\n[[source]]\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z-*.zone\"\n"
        )

    def poll(self):
        """Runs a pass. Returns its CPU seconds and how long it took."""
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run([PROGRAM, "--config", self.folder / "fluxwatch.toml", "poll"], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"poll: {done.returncode}\n{done.stdout}{done.stderr}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - began


def cpu_of(pid):
    """CPU seconds of a process that runs."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def look_up(name, folder, engine, store):
    """Times lookups of names: by a service over one connection, and by commands."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "lookups.toml"
    config.write_text(f'[store]\n{store}\n[web]\nlisten = "127.0.0.1:{port}"\nusers_file = "users"\n')
    command = [PROGRAM, "--config", config]
    subprocess.run([*command, "users", "add", "desk", "--role", "viewer"], input=b"secret-of-the-desk\n", check=True, capture_output=True)
    service = subprocess.Popen([*command, "run"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        client = http.client.HTTPConnection("127.0.0.1", port)
        user = {"Authorization": "Basic " + base64.b64encode(b"desk:secret-of-the-desk").decode()}
        draw = random.Random(7)
        names = [f"d{draw.randrange(DELEGATIONS)}.example" for _ in range(LOOKUPS)]
        for path in ("/api/v1/domains/", "/pdns/query/"):
            for again in ("", ", looked up before"):
                times, before = [], engine.statements()
                for domain in names:
                    began = time.perf_counter()
                    client.request("GET", path + domain, headers=user)
                    answer = client.getresponse()
                    body = answer.read()
                    times.append(time.perf_counter() - began)
                    if answer.status != 200 or domain.encode() not in body:
                        sys.exit(f"{path}{domain}: {answer.status}")
                tell(f"{name}: GET {path}NAME{again} (wanted: p50 2 ms)", times)
                print(f"  statements each: {(engine.statements() - before) / len(names):.1f}; one of nothing takes {engine.round_trip()}", flush=True)
        times = []
        for domain in names[:COMMANDS]:
            began = time.perf_counter()
            subprocess.run([*command, "history", domain, "--format", "json"], check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - began)
        tell(f"{name}: fluxwatch history NAME, connection included", times)
    finally:
        service.terminate()
        service.wait()


def write_together(name, folder, engine, store, count):
    """A service takes versions of so many zones in: their workers read beside each other, and write in turn."""
    apexes = [f"together{count}{letter}" for letter in "ab"[:count]]
    config = folder / "together.toml"
    sources = [f'[[source]]\nname = "{apex}"\nkind = "zonefile"\nzone = "{apex}."\npath = "{apex}/z-*.zone"\nevery = "1s"\n' for apex in apexes]
    config.write_text(f"[store]\n{store}\n" + "".join(sources))
    later, at = [], 1_790_000_000
    for apex in apexes:
        (folder / apex).mkdir()
        moved = {}
        for version in range(VERSIONS + 1):
            if version:
                moved.update({(version - 1) * NAMES + n: 1 for n in range(NAMES)})
            path = folder / apex / f"z-{version:04}.zone"
            put = path if version == 0 else path.with_suffix(".later")
            write_zone(put, version + 1, moved, apex)
            at += 3_600
            os.utime(put, (at, at))
            later += [(put, path)] if version else []
    done = subprocess.run([PROGRAM, "--config", config, "poll"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"poll: {done.returncode}\n{done.stdout}{done.stderr}")

    def are_stored():
        shown = subprocess.run([PROGRAM, "--config", config, "status", "--format", "json"], capture_output=True, text=True, check=True).stdout
        serials = {zone["zone"]: zone["serial"] for zone in json.loads(shown)}
        return all(serials[f"{apex}."] == VERSIONS + 1 for apex in apexes)

    service = subprocess.Popen([PROGRAM, "--config", config, "run"], stderr=subprocess.DEVNULL)
    try:
        time.sleep(5)
        of_server, of_program, began = engine.cpu(), cpu_of(service.pid), time.monotonic()
        for put, path in later:
            put.rename(path)
        while not are_stored():
            if time.monotonic() - began > 600:
                sys.exit("the versions were not stored within 10 minutes")
            time.sleep(0.3)
        wall = time.monotonic() - began
        changes = 4 * NAMES * len(later)
        print(json.dumps({
            "engine": name, "what": f"{len(later)} versions of {NAMES} names of {count} zones by one service, until they are stored", "wall_s": round(wall, 2),
            "program_s": round(cpu_of(service.pid) - of_program, 2), "server_s": round(engine.cpu() - of_server, 2), "changes_a_second": round(changes / wall),
        }), flush=True)
    finally:
        service.terminate()
        service.wait()


def measure(name, folder, engine, stores):
    """Prints what an engine costs. `stores`: how it is reached, and then, if there are two, how over a slow way."""
    zone = Zone(folder)
    zone.configure(stores[0])

    def look():
        return {"wal": engine.wal(), "statements": engine.statements(), "octets": engine.size(), "history": engine.history(), "server": engine.cpu()}

    def step(what, versions, names, unit, idle, same=False):
        zone.write(versions, names, same)
        before = look()
        program, wall = zone.poll()
        time.sleep(0.5)
        server = engine.cpu() - before["server"] - idle.get("server", 0)
        program, wall, after = program - idle.get("program", 0), wall - idle.get("wall", 0), look()
        count = versions * (DELEGATIONS if unit == "delegation" else names if unit == "changed_name" else 1)
        row = {
            "engine": name, "what": what, "program_s": round(program, 2), "server_s": round(server, 2), "wall_s": round(wall, 2),
            f"program_us_a_{unit}": round(program * 1e6 / count, 1), f"server_us_a_{unit}": round(server * 1e6 / count, 1),
            "statements_a_version": round((after["statements"] - before["statements"] - idle.get("statements", 0)) / versions, 1),
            "wal_octets": round((after["wal"] - before["wal"]) / count), "octets": round((after["octets"] - before["octets"]) / count, 1),
        }
        if unit == "changed_name":
            # Of each name two records go and two come.
            row["history_octets_a_change"] = round((after["history"] - before["history"]) / count / 4, 1)
        print(json.dumps(row), flush=True)
        return row

    first = step("first version", 1, 0, "delegation", {})
    if VERSIONS == 0:
        look_up(name, folder, engine, stores[0])
        return first
    before = look()
    program, wall = zone.poll()
    time.sleep(0.5)
    idle = {"program": program, "wall": wall, "server": engine.cpu() - before["server"], "statements": engine.statements() - before["statements"]}
    print(json.dumps({"engine": name, "what": "a pass without a change", **{key: round(value, 3) for key, value in idle.items()}}), flush=True)
    step(f"{VERSIONS} versions of {NAMES} names", VERSIONS, NAMES, "changed_name", idle)
    for line in engine.tables():
        print(line)
    step(f"{VERSIONS} versions of 1 name", VERSIONS, 1, "version", idle)
    step(f"{4 * VERSIONS} versions of the same {NAMES} names", 4 * VERSIONS, NAMES, "changed_name", idle, same=True)
    look_up(name, folder, engine, stores[0])
    for count in (1, 2):
        write_together(name, folder, engine, stores[0], count)
    for store in stores[1:]:
        zone.configure(store)
        engine.way.round_trips = 0
        _, nothing = zone.poll()
        of_nothing = engine.way.round_trips
        zone.write(2, NAMES)
        engine.way.round_trips = 0
        _, wall = zone.poll()
        trips = engine.way.round_trips - of_nothing
        print(json.dumps({"engine": name, "what": f"2 versions of {NAMES} names, round trip 10 ms", "wall_s_a_version": round((wall - nothing) / 2, 2),
                          "round_trips_a_version": trips / 2, "round_trips_of_a_pass_without_a_change": of_nothing}), flush=True)
    return first


def main():
    """Measures both."""
    with tempfile.TemporaryDirectory() as made:
        made = pathlib.Path(made)
        os.chmod(made, 0o755)
        (made / "file").mkdir()
        file = measure("SQLite", made / "file", File(made / "file"), ['path = "fluxwatch.db"'])
        (made / "server").mkdir()
        server = Server(made / "server")
        try:
            (made / "with-server").mkdir()
            there = measure("PostgreSQL", made / "with-server", server, [f'url = "{url}"\ncache = "cache"' for url in (server.url, server.way.url)])
            ratio = (there["program_s"] + there["server_s"]) / file["program_s"]
            print(json.dumps({"what": f"first version of {DELEGATIONS} delegations, CPU of server and program to a file's", "ratio": round(ratio, 2), "wanted": 1.3}))
        finally:
            server.stop()


main()
