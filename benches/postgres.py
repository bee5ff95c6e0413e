"""Measures a database on a PostgreSQL server beside one in a file: see benches/postgres."""

import glob
import json
import os
import pathlib
import queue
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

PROGRAM = os.path.abspath(sys.argv[1])
DELEGATIONS = int(sys.argv[2])
VERSIONS = int(sys.argv[3])
NAMES = 10_000
HZ = os.sysconf("SC_CLK_TCK")


class Server:
    """A PostgreSQL server of its own."""

    def __init__(self, folder):
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.data = folder / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.data.mkdir()
        os.chmod(folder, 0o755)
        self.owner = []
        if os.geteuid() == 0:
            shutil.chown(self.data, "postgres", "postgres")
            self.owner = ["runuser", "-u", "postgres", "--"]
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "fluxwatch", "-E", "UTF8", "--locale=C")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c shared_preload_libraries=pg_stat_statements -c shared_buffers=512MB -c max_wal_size=4GB -c autovacuum_naptime=10s"
        self.run("pg_ctl", "-D", self.data, "-l", self.data / "log", "-s", "-w", "-o", options, "start")
        self.pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        self.url = f"postgres://fluxwatch@127.0.0.1:{self.port}/postgres"
        self.way = SlowWay(self.port, 0.010)
        # Beside the tables: what is in their schema is fluxwatch's.
        self.sql("create schema beside; create extension pg_stat_statements schema beside")

    def run(self, name, *arguments):
        subprocess.run([*self.owner, f"{self.bin}/{name}", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

    def sql(self, text):
        done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-d", self.url, "-c", text], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def cpu(self):
        """CPU seconds of the server and all its processes, those that ended too."""
        total = 0
        for stat in glob.glob("/proc/[0-9]*/stat"):
            try:
                text = pathlib.Path(stat).read_text()
            except OSError:
                continue
            fields = text.rsplit(")", 1)[1].split()
            if int(stat.split("/")[2]) == self.pid:
                total += sum(map(int, fields[11:15]))
            elif int(fields[1]) == self.pid:
                total += sum(map(int, fields[11:13]))
        return total / HZ

    def wal(self):
        return int(self.sql("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"))

    def statements(self):
        """Statements that fluxwatch sent: what this script asks has names of its own."""
        return int(self.sql("select coalesce(sum(calls), 0) from beside.pg_stat_statements where query !~ 'pg_stat_statements|pg_database_size|pg_total_relation_size|pg_wal_lsn_diff|^vacuum'"))

    def size(self):
        self.sql("vacuum")
        return int(self.sql("select pg_database_size(current_database())"))

    def history(self):
        """Octets of what grows with every change, indexes included."""
        tables = "'past_record', 'change', 'shared_change', 'chain', 'version'"
        return int(self.sql(f"select coalesce(sum(pg_total_relation_size(oid)), 0) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace and relname in ({tables})"))

    def tables(self):
        text = self.sql("select format('%s: %s octets, %s a row', relname, pg_relation_size(oid), round(pg_relation_size(oid) / greatest(reltuples, 1))) from pg_class where relnamespace = 'public'::regnamespace and pg_relation_size(oid) > 100000 order by pg_relation_size(oid) desc")
        return text.splitlines()

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "fast", "-s", "stop")


class File:
    """A database in a file."""

    def __init__(self, folder):
        self.path = folder / "fluxwatch.db"

    def cpu(self):
        return 0.0

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


class SlowWay:
    """A way to a server on which every octet takes half a round trip; counts round trips: what was sent after an answer."""

    def __init__(self, port, round_trip_s):
        self.port, self.half_s, self.round_trips = port, round_trip_s / 2, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgres://fluxwatch@127.0.0.1:{self.listener.getsockname()[1]}/postgres"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.port))
            state = {"answered": True}
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for one, other, is_asking in ((near, far, True), (far, near, False)):
                waiting = queue.SimpleQueue()
                threading.Thread(target=self.take, args=(one, waiting, state, is_asking), daemon=True).start()
                threading.Thread(target=self.give, args=(other, waiting), daemon=True).start()

    def take(self, end, waiting, state, is_asking):
        while True:
            try:
                octets = end.recv(1 << 18)
            except OSError:
                octets = b""
            if is_asking and state["answered"]:
                self.round_trips += 1
            state["answered"] = not is_asking
            waiting.put((time.monotonic() + self.half_s, octets))
            if not octets:
                return

    def give(self, end, waiting):
        while True:
            at, octets = waiting.get()
            time.sleep(max(0, at - time.monotonic()))
            try:
                if not octets:
                    end.shutdown(socket.SHUT_WR)
                    return
                end.sendall(octets)
            except OSError:
                return


def write_zone(path, serial, moved):
    """Writes a zone in which some names have moved, each version other ones."""
    with open(path, "w", encoding="ascii") as zone:
        zone.write(f"example. 3600 IN SOA ns.example. h.example. {serial} 3600 900 1209600 300\n")
        zone.write("example. 3600 IN NS ns.example.\nns.example. 3600 IN A 192.0.2.1\n")
        for name in range(DELEGATIONS):
            host = name % 5_000 + moved.get(name, 0) * 5_000
            zone.write(f"d{name}.example. 3600 IN NS ns1.p{host}.test.\nd{name}.example. 3600 IN NS ns2.p{host}.test.\n")


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

    step("first version", 1, 0, "delegation", {})
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


def main():
    """Measures both."""
    with tempfile.TemporaryDirectory() as made:
        made = pathlib.Path(made)
        os.chmod(made, 0o755)
        (made / "file").mkdir()
        measure("SQLite", made / "file", File(made / "file"), ['path = "fluxwatch.db"'])
        (made / "server").mkdir()
        server = Server(made / "server")
        try:
            (made / "with-server").mkdir()
            measure("PostgreSQL", made / "with-server", server, [f'url = "{url}"\ncache = "cache"' for url in (server.url, server.way.url)])
        finally:
            server.stop()


main()
