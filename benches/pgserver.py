"""PostgreSQL for the scripts that measure a server."""

import glob
import os
import pathlib
import queue
import shutil
import socket
import subprocess
import threading
import time

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

    def round_trip(self):
        """Milliseconds that a statement of nothing takes over a connection that stays open: 2,000 of them."""
        text = self.data / "nothing.sql"
        text.write_text("select 1;\n")
        command = [f"{self.bin}/pgbench", "-n", "-M", "prepared", "-t", "2000", "-f", text, self.url]
        said = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
        return next(line.split("=")[1].strip() for line in said.splitlines() if line.startswith("latency average"))

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
