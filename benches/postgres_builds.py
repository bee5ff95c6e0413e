"""Two builds beside each other on one database of a PostgreSQL server: see benches/postgres-builds."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from pgserver import Server

OLD, NEW = sys.argv[1:3]
NAMES = 2_000
# Versions before the other build comes, and after.
FIRST, THEN = 9, 7
# A service looks every second; a zone is judged within a few. On a machine that does other work it takes a minute and more.
WAIT_S = 300
# What an engine says of a statement that does not fit its tables. Nobody can do anything with it.
RAW = ("does not exist", "syntax error", "panicked", "must not change result type")

faults = []


def check(is_right, what):
    """Notes what is wrong."""
    if not is_right:
        faults.append(what)
        print(f"WRONG: {what}", flush=True)


class Site:
    """A folder with a configuration and the files of a zone."""

    def __init__(self, folder, store):
        self.folder, self.versions = folder, 0
        folder.mkdir()
        self.configure(store)

    def configure(self, store):
        (self.folder / "fluxwatch.toml").write_text(
            f'[store]\n{store}\n[[source]]\nname = "z"\nkind = "zonefile"\nzone = "example."\npath = "z-*.zone"\n'
            'time_pattern = "z-%Y%m%d%H.zone"\nevery = "1s"\n[report]\nfrom = "fluxwatch@registrar.example"\n'
            'desk = ["desk@registrar.example"]\norg = "Example"\ncontact = "desk@registrar.example"\n[smtp]\nurl = "maildir://desk"\n'
        )

    def write(self, count):
        """Writes versions, in each of which 48 names move alike and a dozen each its own way."""
        for _ in range(count):
            self.versions += 1
            serial = self.versions

            def host(n):
                return f"op{n}x{serial}" if n < 12 else f"all{serial}" if n < 60 else f"infra{n % 7}"

            lines = [f"$TTL 60\n@ SOA ns1.infra.test. host.infra.test. {serial} 1 1 1 1\n"]
            lines += [f"d{n} NS a.{host(n)}.test.\nd{n} NS b.{host(n)}.test.\n" for n in range(NAMES)]
            # Where nobody finds half of it.
            half = self.folder / "half"
            half.write_text("".join(lines))
            half.rename(self.folder / f"z-202611{1 + serial * 3 // 24:02}{serial * 3 % 24:02}.zone")

    def run(self, program, *arguments):
        """Runs a command. Returns its status and what it said, both ways."""
        done = subprocess.run([program, "--config", self.folder / "fluxwatch.toml", *arguments], cwd=self.folder, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def start(self, program, name):
        """Starts a service."""
        log = open(self.folder / f"{name}.log", "w", encoding="utf-8")
        return subprocess.Popen([program, "--config", self.folder / "fluxwatch.toml", "run"], cwd=self.folder, stdout=log, stderr=log)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(encoding="utf-8")

    def mails(self):
        return sum(1 for path in self.folder.glob("desk/*/*") if path.is_file())


class Cut:
    """A way to a server that ends before the n-th message of a client; with one connection after another, all count."""

    def __init__(self, port):
        self.port, self.left = port, 0
        self.is_cut = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.own_port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self.ask, args=(near, far), daemon=True).start()
            threading.Thread(target=self.answer, args=(far, near), daemon=True).start()

    def ask(self, near, far):
        while octets := self.take(near):
            self.left -= 1
            if self.left < 0:
                # The client sees its connection end, and so does the server: as when the program is killed.
                self.is_cut = True
                break
            try:
                far.sendall(octets)
            except OSError:
                break
        for end in (near, far):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def answer(self, far, near):
        while octets := self.take(far):
            try:
                near.sendall(octets)
            except OSError:
                return

    @staticmethod
    def take(end):
        try:
            return end.recv(1 << 20)
        except OSError:
            return b""


def wait_until(what, is_so, tell=lambda: ""):
    """Waits until something is so."""
    until = time.monotonic() + WAIT_S
    while not is_so():
        if time.monotonic() > until:
            check(False, f"after {WAIT_S} s not yet: {what} {tell()}")
            return
        time.sleep(0.2)


def last_line(text):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "(nothing)"


def told(site, program):
    """Returns what a database tells: history, cases, whether it is sound."""
    everything = [site.run(program, "history", "*.example.", "--limit", "100000", "--format", "json")]
    everything.append(site.run(program, "explain", "d1.example"))
    everything.append(site.run(program, "db", "verify"))
    cases = json.loads(site.run(program, "cases", "list", "--state", "all", "--format", "json")[1])
    for case in cases:
        # The clock of whoever mails.
        case.pop("told_at", None)
    return [(status, out) for status, out, _ in everything] + [sorted(cases, key=lambda case: case["domain"])]


def is_said(text):
    """Whether somebody can do something with what a program said when it refused."""
    return "newer fluxwatch" in text and "hint: " in text and not any(raw in text for raw in RAW)


def schema(server, name):
    return int(server.sql(f"select value::bit(31)::integer from {name}.meta where key = 'schema'"))


def url(server, name, port=None):
    return f'url = "postgres://fluxwatch@127.0.0.1:{port or server.port}/postgres?options=-csearch_path%3D{name}"\ncache = "cache"'


def beside(server, folder, expected):
    """A service of the old build, and one of the new beside it. Returns the schemas of both."""
    server.sql("create schema beside_each_other")
    site = Site(folder / "beside", url(server, "beside_each_other"))
    site.write(FIRST)
    old = site.start(OLD, "old")
    wait_until("the old build stores the first versions", lambda: count_versions(server, "beside_each_other") == FIRST)
    before = schema(server, "beside_each_other")
    new = site.start(NEW, "new")
    wait_until("the new build stands by", lambda: "standing by" in site.log("new"))
    check(schema(server, "beside_each_other") == before, "the new build migrates while the old one polls")
    # A service that stands by leaves the tables alone; a command does not.
    status, out, said = site.run(NEW, "status")
    check(status == 0, f"new status: {status}, {said}")
    after = schema(server, "beside_each_other")
    print(json.dumps({"step": "a service of each, and `status` of the new", "schema_of_old": before, "schema_of_new": after}), flush=True)
    site.write(THEN)
    wait_until("all versions are stored, by whomever", lambda: count_versions(server, "beside_each_other") == FIRST + THEN)
    judged = lambda: is_settled(server, "beside_each_other")
    wait_until("they are judged, and what they lead to is sent", judged, lambda: what_waits(server, "beside_each_other") + site.log("new"))
    if after > before:
        wait_until("the old service has ended", lambda: old.poll() is not None)
        said = site.log("old")
        print(json.dumps({"step": "the old service", "status": old.poll(), "said": last_line(said)}), flush=True)
        check(old.poll() not in (0, None), "the old service did not end with a fault")
        check(is_said(said), f"the old service does not say what to do:\n{said}")
    else:
        check(old.poll() is None and new.poll() is None, "builds of one schema do not both go on")
    # What whoever is used to the old build types.
    for command in (["poll"], ["status"], ["history", "d1.example"], ["cases", "list"], ["cases", "close", "1", "--by", "ada"], ["exempt", "list"]):
        status, out, said = site.run(OLD, *command)
        print(json.dumps({"step": f"old {' '.join(command)}", "status": status, "said": last_line(said or out)}), flush=True)
        if command == ["poll"]:
            # Whoever else polls is told of before anything is looked at.
            check(status == 0 and "another fluxwatch" in said, f"old poll: status {status}, {said}")
        elif after > before:
            check(status != 0 and is_said(said), f"old {' '.join(command)}: status {status}, {said}")
        elif command[0] != "cases" or command[1] != "close":
            check(status == 0, f"old {' '.join(command)}: status {status}, {said}")
    waiting = site.start(OLD, "old-again") if after > before else None
    if waiting:
        wait_until("the old build stands by", lambda: "standing by" in site.log("old-again"))
    for service in (old, new):
        if service.poll() is None:
            service.send_signal(signal.SIGTERM)
            service.wait(30)
    if waiting:
        wait_until("the old service that stood by has ended", lambda: waiting.poll() is not None)
        said = site.log("old-again")
        print(json.dumps({"step": "an old service that stood by, when the new one ended", "status": waiting.poll(), "said": last_line(said)}), flush=True)
        check(waiting.poll() not in (0, None) and is_said(said), f"the old service that stood by: {waiting.poll()}, {said}")
        status, _, said = site.run(OLD, "poll")
        check(status != 0 and is_said(said), f"old poll, when nobody polls: status {status}, {said}")
    # One that stands by has nothing to end.
    wanted = (0,) if after > before else (0, -signal.SIGTERM)
    check(new.returncode in wanted, f"the new service ended with {new.returncode}:\n{site.log('new')}")
    if after > before:
        # Otherwise the old build has closed a case.
        check_told(told(site, NEW), expected, "after both")
        check(site.mails() == mails_expected, f"{site.mails()} mails, where the new build alone sends {mails_expected}")
    return before, after


def count_versions(server, name):
    try:
        return int(server.sql(f"select count(*) from {name}.version where kind <> 'passive'"))
    except subprocess.CalledProcessError:
        return -1


def is_settled(server, name):
    """Whether every version is judged and no mail waits."""
    waiting = f"select (select count(*) from {name}.zone where detected_version_id is distinct from version_id) + (select count(*) from {name}.message where state in ('queued', 'sending'))"
    return server.sql(waiting) == "0"


def what_waits(server, name):
    """Returns what is yet to be judged and sent."""
    zones = server.sql(f"select name, version_id, detected_version_id from {name}.zone")
    return f"zones: {zones}; messages: " + server.sql(f"select state, count(*) from {name}.message group by 1")


def check_told(found, expected, when):
    """Checks that a database tells what another one does; shows where it does not."""
    for number, (one, other) in enumerate(zip(found, expected)):
        if one != other:
            check(False, f"{when} it does not tell what the new build alone tells: answer {number}: {first_difference(str(one), str(other))}")
            return
    check(len(found) == len(expected), f"{when} it tells {len(found)} things, not {len(expected)}")


def first_difference(one, other):
    """Returns where two texts begin to differ."""
    at = next((at for at, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    return f"{one[max(0, at - 200):at + 200]!r} and not {other[max(0, at - 200):at + 200]!r}"


def kills(server, folder, expected, before):
    """Ends the connection of a migrating program before each of its messages."""
    server.sql("create schema killed")
    site = Site(folder / "killed", url(server, "killed"))
    site.write(FIRST)
    status, _, said = site.run(OLD, "poll")
    check(status == 0, f"the old build does not poll: {said}")
    site.write(THEN)
    server.run("pg_dump", "-p", server.port, "-h", "127.0.0.1", "-U", "fluxwatch", "-d", "postgres", "-n", "killed", "-Fc", "-f", server.data / "killed.dump")
    way, at, outcomes = Cut(server.port), 0, {}
    while True:
        server.sql("drop schema if exists killed cascade")
        server.run("pg_restore", "-p", server.port, "-h", "127.0.0.1", "-U", "fluxwatch", "-d", "postgres", server.data / "killed.dump")
        site.configure(url(server, "killed", way.own_port))
        way.left, way.is_cut = at, False
        # It looks, and migrates for that.
        status, _, said = site.run(NEW, "status")
        is_cut = way.is_cut
        way.left = 1 << 60
        found = schema(server, "killed")
        check(found in (before[0], before[1]), f"schema {found} after the end of message {at}")
        check(not any(raw in said for raw in RAW), f"message {at}: {said}")
        outcomes[found] = outcomes.get(found, 0) + 1
        site.configure(url(server, "killed"))
        if found == before[0]:
            check(site.run(OLD, "db", "verify")[1].startswith("sound"), f"not sound by the old build after message {at}")
        check(site.run(NEW, "db", "verify")[1].startswith("sound"), f"not sound by the new build after message {at}")
        if not is_cut:
            check(status == 0, f"nobody cut anything, and it ended with {status}: {said}")
            break
        at += 1
    print(json.dumps({"step": "a migration ended before each message", "messages": at, "schemas_found": outcomes}), flush=True)
    status, _, said = site.run(NEW, "poll")
    check(status == 0, f"the new build does not poll: {said}")
    check_told(told(site, NEW), expected, "after the last")


def main():
    """Tries both."""
    global mails_expected
    with tempfile.TemporaryDirectory() as made:
        made = pathlib.Path(made)
        os.chmod(made, 0o755)
        (made / "server").mkdir()
        server = Server(made / "server")
        try:
            server.sql("create schema alone")
            alone = Site(made / "alone", url(server, "alone"))
            # As both are told of it, in two parts.
            for count in (FIRST, THEN):
                alone.write(count)
                status, _, said = alone.run(NEW, "poll")
                check(status == 0, f"the new build does not poll: {said}")
            expected, mails_expected = told(alone, NEW), alone.mails()
            print(json.dumps({"step": "the new build alone", "cases": len(expected[-1]), "mails": mails_expected, "verify": expected[2][1].strip()}), flush=True)
            check(len(expected[-1]) >= 12, "there are no cases that could be lost")
            schemas = beside(server, made, expected)
            if schemas[1] > schemas[0]:
                kills(server, made, expected, schemas)
        finally:
            server.stop()
    print("nothing is wrong" if not faults else f"{len(faults)} things are wrong")
    sys.exit(bool(faults))


main()
