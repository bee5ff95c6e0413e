"""Measures a database on a PostgreSQL server beside one in a file: see benches/postgres."""

import glob
import json
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
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
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c shared_buffers=512MB -c max_wal_size=4GB -c autovacuum_naptime=10s"
        self.run("pg_ctl", "-D", self.data, "-l", self.data / "log", "-s", "-w", "-o", options, "start")
        self.pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        self.url = f"postgres://fluxwatch@127.0.0.1:{self.port}/postgres"

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

    def size(self):
        self.sql("vacuum")
        return int(self.sql("select pg_database_size(current_database())"))

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

    def size(self):
        return sum(path.stat().st_size for path in self.path.parent.glob("fluxwatch.db*") if path.is_file())

    def stop(self):
        pass


def write_zone(path, serial, moved):
    """Writes a zone in which some names have moved, each version other ones."""
    with open(path, "w", encoding="ascii") as zone:
        zone.write(f"example. 3600 IN SOA ns.example. h.example. {serial} 3600 900 1209600 300\n")
        zone.write("example. 3600 IN NS ns.example.\nns.example. 3600 IN A 192.0.2.1\n")
        for name in range(DELEGATIONS):
            host = name % 5_000 + moved.get(name, 0) * 5_000
            zone.write(f"d{name}.example. 3600 IN NS ns1.p{host}.test.\nd{name}.example. 3600 IN NS ns2.p{host}.test.\n")


def poll(folder):
    """Runs a pass. Returns its CPU seconds and how long it took."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([PROGRAM, "--config", folder / "fluxwatch.toml", "poll"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"poll: {done.returncode}\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.monotonic() - began


def measure(name, folder, engine, store):
    """Prints what an engine costs."""
    (folder / "fluxwatch.toml").write_text(
        f"[store]\n{store}\n[[source]]\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z.zone\"\n"
    )
    rows = []

    def step(what, count, unit, work):
        size, wal, cpu = engine.size(), engine.wal(), engine.cpu()
        program, wall = work()
        time.sleep(0.5)
        server = engine.cpu() - cpu
        rows.append({
            "engine": name, "what": what, "program_s": round(program, 2), "server_s": round(server, 2), "wall_s": round(wall, 2),
            f"program_us_a_{unit}": round(program * 1e6 / count, 1), f"server_us_a_{unit}": round(server * 1e6 / count, 1),
            "wal_octets": round((engine.wal() - wal) / count), "octets": round((engine.size() - size) / count, 1),
        })
        print(json.dumps(rows[-1]), flush=True)

    moved = {}
    serial = 1
    write_zone(folder / "z.zone", serial, moved)
    step("first version", DELEGATIONS, "delegation", lambda: poll(folder))
    # The first change of a name is another one's price than the next: it is not counted.
    def versions(count, names):
        nonlocal serial
        cpu = wall = 0.0
        for _ in range(count):
            serial += 1
            for n in range(names):
                name = (serial * names + n) % DELEGATIONS
                moved[name] = moved.get(name, 0) + 1
            write_zone(folder / "z.zone", serial, moved)
            one, took = poll(folder)
            cpu, wall = cpu + one, wall + took
        return cpu, wall
    idle = poll(folder)
    print(json.dumps({"engine": name, "what": "a pass without a change", "program_s": round(idle[0], 3), "wall_s": round(idle[1], 2)}), flush=True)
    step(f"{VERSIONS} versions of {NAMES} names", VERSIONS * NAMES, "changed_name", lambda: versions(VERSIONS, NAMES))
    step(f"{VERSIONS} versions of 1 name", VERSIONS, "version", lambda: versions(VERSIONS, 1))


def main():
    """Measures both."""
    with tempfile.TemporaryDirectory() as made:
        made = pathlib.Path(made)
        os.chmod(made, 0o755)
        (made / "file").mkdir()
        measure("SQLite", made / "file", File(made / "file"), 'path = "fluxwatch.db"')
        (made / "server").mkdir()
        server = Server(made / "server")
        try:
            (made / "with-server").mkdir()
            measure("PostgreSQL", made / "with-server", server, f'url = "{server.url}"\ncache = "cache"')
        finally:
            server.stop()


main()
