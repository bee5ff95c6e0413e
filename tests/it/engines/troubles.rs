//! What goes wrong at a server: each is told with its cure and the right exit status, and a service goes on without being
//! started anew when it is over.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::engines::watched::{Pair, wait_until};
use crate::harness::{Bench, Running};
use crate::servers::Postgres;
use crate::support::stores::has_no_file;

/// The role of the tests comes in by trust, everybody else with a password.
const WITH_PASSWORDS: &str = "host all fluxwatch 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 trust\n";

/// Checks that a command fails with a status and says words, and a hint with others.
fn check_said(bench: &Bench, command: &[&str], status: i32, words: [&str; 2]) {
    let said = bench.run_stderr(status, command);
    let (sentence, hint) = said
        .split_once("hint: ")
        .unwrap_or_else(|| panic!("no hint: {said}"));
    assert!(sentence.contains(words[0]), "{said}");
    assert!(hint.contains(words[1]), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

/// Makes a role of its own that owns a schema. Returns the schema's URL.
fn role(server: &Postgres, name: &str, password: &str) -> String {
    server.sql(&format!(
        "create role {name} login password '{password}'; create schema {name} authorization {name}"
    ));
    format!(
        "postgres://{name}@127.0.0.1:{}/postgres?options=-csearch_path%3D{name}",
        server.port()
    )
}

#[test]
fn password_that_is_wrong_is_told_and_one_that_changes_is_read_again_by_a_service_that_runs() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let url = role(&server, "poller", "secret-one");
    server.let_in(WITH_PASSWORDS);
    let store = format!("{url}\"\npassword_file = \"db.password");
    let mut pair = Pair::new("poller", &store, &store);
    let write = |password: &str| {
        for bench in [&pair.first, &pair.second] {
            let path = bench.write("db.password", password);
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
                .expect("the mode can be set");
        }
    };
    write("secret-two\n");
    let words = ["password authentication failed", "store.password_file"];
    for command in [&["poll"][..], &["run"], &["status"]] {
        check_said(&pair.first, command, 2, words);
    }
    write("secret-one\n");
    let service = Running::start(&pair.first, &["run"]);
    pair.wait_for_newest(&server, "with the right password");
    server.sql("alter role poller password 'secret-three'");
    server.sql(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'poller'",
    );
    wait_until("it is held up", || {
        service.log().contains("held up")
            && service.log().contains("password authentication failed")
    });
    write("secret-three\n");
    pair.change();
    pair.wait_for_newest(&server, "after the password was changed");
    assert!(!service.log().contains("secret-"), "{}", service.log());
    service.stop();
}

#[test]
fn certificate_that_is_over_is_told_and_a_new_one_is_accepted() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    server.url("one");
    let over = certificate(folder.path(), "-60 days");
    let sound = certificate(folder.path(), "-1 days");
    let install = |(certificate, key): &(Vec<u8>, Vec<u8>)| {
        let certificate = server.give("server.crt", certificate);
        let key = server.give("server.key", key);
        server.sql(&format!(
            "alter system set ssl_cert_file = '{}'",
            certificate.display()
        ));
        server.sql(&format!(
            "alter system set ssl_key_file = '{}'",
            key.display()
        ));
        server.set("ssl", "on");
    };
    let url = format!(
        "postgres://fluxwatch@localhost:{}/postgres?options=-csearch_path%3Done\"\nca_file = \"ca.pem",
        server.port()
    );
    let pair = Pair::new("one", &url, &url);
    let trust = |octets: &[u8]| {
        pair.first.write("ca.pem", octets);
        pair.second.write("ca.pem", octets);
    };
    install(&over);
    trust(&over.0);
    let words = ["xpired", "renew the server's certificate"];
    for command in [&["poll"][..], &["run"], &["status"]] {
        check_said(&pair.first, command, 2, words);
    }
    // Another authority's.
    trust(&sound.0);
    check_said(&pair.first, &["poll"], 2, ["certificate", "store.ca_file"]);
    install(&sound);
    wait_until("the new certificate is in use", || {
        pair.first
            .command(&["poll"])
            .output()
            .is_ok_and(|it| it.status.success())
    });
    pair.check(&server);
}

/// Makes a certificate for `localhost` that vouches for itself and is sound for 30 days from a time on, and its key.
fn certificate(folder: &Path, from: &str) -> (Vec<u8>, Vec<u8>) {
    let made = Command::new("faketime")
        .args(["-f", from, "openssl", "req", "-x509", "-newkey", "ec"])
        .args([
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "made.key", "-out", "made.pem"])
        .current_dir(folder)
        .output()
        .expect("tests/install-servers installs faketime and openssl");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let read = |name| std::fs::read(folder.join(name)).expect("it was made");
    (read("made.pem"), read("made.key"))
}

#[test]
fn server_without_room_for_connections_is_told_and_waited_for() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start_with(folder.path(), &["max_connections=24"]);
    let url = role(&server, "poller", "p");
    let mut pair = Pair::new("poller", &url, &url);
    let service = Running::start(&pair.first, &["run"]);
    pair.wait_for_newest(&server, "it polls");
    let fillers: Vec<Child> = (0..24).map(|_| sleeper(&server)).collect();
    let fillers = Fillers(fillers);
    wait_until("it is full", || {
        let output = pair.second.command(&["status"]).output();
        output.is_ok_and(|it| !it.status.success())
    });
    check_said(
        &pair.second,
        &["status"],
        4,
        ["connection", "max_connections"],
    );
    // The sessions of the service are ended, and its role gets no others: of those that are free, it would be the first.
    server.sql("alter role poller connection limit 0");
    server.sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'poller' and query not like '%pg_sleep%'");
    pair.change();
    wait_until("it is held up", || {
        service.log().contains("max_connections")
    });
    drop(fillers);
    server.sql("alter role poller connection limit -1");
    server.sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()");
    pair.wait_for_newest(&server, "there is room again");
    service.stop();
    pair.check(&server);
}

/// Connections that are only there.
struct Fillers(Vec<Child>);

impl Drop for Fillers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Holds a connection as a role that has no right to the last ones.
fn sleeper(server: &Postgres) -> Child {
    let url = format!("postgres://poller@127.0.0.1:{}/postgres", server.port());
    Command::new("psql")
        .args(["-X", "-q", "-d", &url, "-c", "select pg_sleep(600)"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("psql can be started")
}

#[test]
fn full_disk_of_the_server_is_told_and_waited_for() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let small = server.folder().join("small");
    let Some(_mounted) = Mounted::small(&small) else {
        eprintln!("skipped: a small file system cannot be mounted here (it takes root)");
        return;
    };
    server.own(&small);
    server.sql(&format!(
        "create tablespace small location '{}'",
        small.display()
    ));
    server.sql("alter role fluxwatch set default_tablespace = small");
    let url = server.url("one");
    let mut pair = Pair::new("one", &url, &url);
    let service = Running::start(&pair.first, &["run"]);
    pair.wait_for_newest(&server, "it polls");
    // What is left is taken by something else, and what there is has to grow.
    let filler = small.join("filler");
    let full = Command::new("dd")
        .args(["if=/dev/zero", "bs=8k", &format!("of={}", filler.display())])
        .output()
        .expect("dd is there");
    assert!(!full.status.success());
    server.sql_as_it_may(
        "create table one.grows as select repeat('x', 8000) from generate_series(1, 10)",
    );
    let mut many = String::new();
    for n in 0..2_000 {
        many += &format!(
            "{{\"at\":\"2026-11-02T00:00:00Z\",\"zone\":\"example.\",\"rrname\":\"m{n}.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"ttl\":300,\"rdata\":[\"ns{n}.many.test.\"]}}\n"
        );
    }
    pair.append(&many);
    wait_until("it is held up", || {
        service.log().contains("make room on the server's disk")
    });
    let said = pair.second.run_stderr(0, &["status"]);
    assert!(!said.is_empty());
    std::fs::remove_file(&filler).expect("it was made");
    wait_until("everything is there", || {
        server.sql("select count(*) from one.host where name like 'test.many.ns%'") == "2000"
    });
    service.stop();
    assert!(pair.second.run(0, &["db", "verify"]).starts_with("sound"));
}

/// A file system that ends with this value.
struct Mounted(std::path::PathBuf);

impl Mounted {
    /// Mounts 24 MiB of memory; `None` where that is not allowed.
    fn small(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(at)
            .output()
            .ok()?;
        mounted.status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Also while the server has files open in it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn standby_alone_is_told_by_poll_and_waited_for_by_the_service() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let primary = Postgres::start(folder.path());
    primary.url("one");
    Bench::on(&primary.url("one"), "").run(0, &["poll"]);
    let standby = primary.standby(folder.path(), "other");
    let url = standby.url_at(standby.port(), "one");
    let strict = url.replace("?options", "?target_session_attrs=read-write&options");
    let words = ["database", "name every host of the cluster in store.url"];
    for url in [&url, &strict] {
        let pair = Pair::new("one", url, url);
        check_said(&pair.first, &["poll"], 4, words);
        check_said(
            &pair.first,
            &[
                "exempt",
                "add",
                "domain",
                "a.example",
                "--reason",
                "ours",
                "--by",
                "alice",
            ],
            4,
            words,
        );
    }
    // Who only looks may.
    let pair = Pair::new("one", &url, &url);
    let said = pair.first.run_stderr(0, &["status"]);
    assert!(
        said.contains("is a standby at") && said.contains("follows its primary"),
        "{said}"
    );
    let service = Running::start(&pair.first, &["run"]);
    wait_until("it is held up", || {
        service.log().contains("name every host of the cluster")
    });
    primary.kill();
    standby.promote();
    pair.wait_for_newest(&standby, "after the promotion");
    service.stop();
}

/// Has the database be of a schema in which a table that is written with each version has another name.
fn migrate_by_hand(server: &Postgres, schema: &str, [from, to]: [&str; 2]) {
    let writers = 0x666c_7501;
    server.sql(&format!(
        "set search_path = one; begin; select pg_advisory_xact_lock({writers}, hashtext('one'));
         alter table {from} rename to {to};
         update meta set value = number_as_data({schema}) where key = 'schema'; commit"
    ));
}

#[test]
fn service_that_polls_and_one_that_stands_by_refuse_what_a_newer_program_has_migrated_and_lose_nothing()
 {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let url = server.url("one");
    let mut pair = Pair::new("one", &url, &url);
    let polls = Running::start(&pair.first, &["run"]);
    pair.wait_for_newest(&server, "it polls");
    let stands_by = Running::start(&pair.second, &["run"]);
    wait_until("the second stands by", || {
        stands_by.log().contains("standing by")
    });
    let known = server.sql("select value::bit(31)::integer from one.meta where key = 'schema'");
    migrate_by_hand(&server, "99", ["change", "packed_change"]);
    let before = pair.versions(&server);
    pair.change();
    wait_until("both refuse", || polls.has_ended() && stands_by.has_ended());
    for service in [polls, stands_by] {
        let said = service.log();
        assert_eq!(service.wait(), Some(4), "{said}");
        assert!(
            said.contains("schema 99, made by a newer fluxwatch") && said.contains("hint: "),
            "{said}"
        );
        assert!(!said.contains("does not exist"), "{said}");
    }
    let words = ["made by a newer fluxwatch", "run the newer fluxwatch"];
    for command in [
        &["poll"][..],
        &["run"],
        &["status"],
        &["history", "a.example"],
        &["cases", "list"],
        &["db", "verify"],
    ] {
        check_said(&pair.first, command, 4, words);
    }
    assert_eq!(pair.versions(&server), before);
    migrate_by_hand(&server, &known, ["packed_change", "change"]);
    pair.first.run(0, &["poll"]);
    pair.check(&server);
}

#[test]
fn lock_that_another_program_holds_is_told_and_waited_for() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let url = server.url("one");
    let mut pair = Pair::new("one", &url, &url);
    let service = Running::start(&pair.first, &["run"]);
    pair.wait_for_newest(&server, "it polls");
    let holds = "begin; lock table zone, source in access exclusive mode; select pg_sleep(600)";
    let holder = Command::new("psql")
        .args(["-X", "-q", "-d", &url, "-c", holds])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let holder = Fillers(vec![holder.expect("psql can be started")]);
    let asleep = "from pg_stat_activity where wait_event = 'PgSleep'";
    wait_until("it holds the lock", || {
        server.sql(&format!("select count(*) {asleep}")) == "1"
    });
    pair.change();
    check_said(
        &pair.second,
        &["status"],
        4,
        ["lock timeout", "run the command again later"],
    );
    wait_until("it is held up", || {
        service.log().contains("lock timeout") && service.log().contains("who holds a lock")
    });
    server.sql(&format!("select pg_terminate_backend(pid) {asleep}"));
    drop(holder);
    pair.change();
    pair.wait_for_newest(&server, "the lock is free");
    service.stop();
    pair.check(&server);
}
