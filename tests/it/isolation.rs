//! What is slow, dead or hostile holds up nothing else.
//!
//! Beside each trouble one check is made: a change that a primary announces is in history, pushed lines are answered,
//! signals are obeyed, and nothing that was acknowledged is lost. There is no hook that runs a command, so none hangs:
//! the hooks are webhooks.
//!
//! `FLUXWATCH_LOCK_S` sets for how long the database is locked (4 s by default; 60 for the real length).

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fluxwatch::store::{MailKind, NewMessage, Store, StoreOptions};
use fluxwatch::time::{Clock, WallClock};

use crate::harness::{Bench, REPORT};
use crate::servers::{Extras, Knot, free_port};
use crate::support::sources::{source, zone};
use crate::support::stores;

/// Within this a NOTIFY is in history and a push is answered.
const IN_TIME: Duration = Duration::from_secs(2);
/// Knot 3.2 sends a NOTIFY so long after the change, and knows no other delay.
const KNOT_WAITS: Duration = Duration::from_secs(1);
/// Within this SIGHUP is heard.
const HEARD: Duration = Duration::from_secs(1);
/// Within this SIGTERM ends the service.
const ENDED: Duration = Duration::from_secs(5);
/// How much longer all of it may take where the program is not optimised and other tests run beside it: looking into
/// history starts a process each time.
const DEBUG_FACTOR: u32 = 2;
/// How long a trouble may take to begin.
const BEGINS: Duration = Duration::from_secs(30);
/// The token of who pushes.
const TOKEN: &str = "open-sesame-treasury";

/// Returns a bound for this build.
fn bound(limit: Duration) -> Duration {
    if cfg!(debug_assertions) {
        limit * DEBUG_FACTOR
    } else {
        limit
    }
}

/// A service with one healthy zone on a real primary, a feed that is pushed to, and something beside them.
struct Stage {
    bench: Bench,
    _folder: tempfile::TempDir,
    knot: Knot,
    web: u16,
    environment: Vec<(&'static str, PathBuf)>,
}

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    hosts: Vec<(&'static str, String)>,
}

/// The service while it runs; killed when dropped.
struct Service {
    child: Child,
    log: PathBuf,
}

impl Stage {
    /// Prepares a stage; `more` are the sections of what stands beside.
    fn new(more: &str) -> Self {
        let (notify, web) = (free_port(), free_port());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let extras = Extras {
            notify_port: Some(notify),
            ..Extras::default()
        };
        let knot = Knot::start_with(folder.path(), &[("example.", &zone(1, 8))], &extras);
        let bench = Bench::new("");
        let key = bench.key_section();
        let healthy = source("example.", &[knot.address()], true);
        bench.configure(&format!(
            "{key}{healthy}every = \"1h\"\n[[source]]\nname = \"pushed\"\nkind = \"feed\"\nzone = \"pushed.example.\"\npush = true\ncomplete = true\n[notify]\nlisten = [\"127.0.0.1:{notify}\"]\n[web]\nlisten = \"127.0.0.1:{web}\"\ntoken_file = \"token\"\n{more}"
        ));
        let token = bench.write("token", TOKEN);
        fs::set_permissions(token, fs::Permissions::from_mode(0o600)).expect("the mode can be set");
        Self {
            bench,
            _folder: folder,
            knot,
            web,
            environment: Vec::new(),
        }
    }

    /// Queues a message to each recipient; one with a scheme is a URL.
    fn queue(&self, recipients: &[&str]) {
        let path = self.bench.store_url();
        let options = StoreOptions {
            reverse_index: true,
            create: true,
        };
        let store = Store::open(path, options).expect("the store opens");
        for (n, recipient) in recipients.iter().enumerate() {
            let message = NewMessage {
                case_id: None,
                kind: if recipient.contains("://") {
                    MailKind::Webhook
                } else {
                    MailKind::Notice
                },
                revision: 0,
                recipient: (*recipient).to_owned(),
                sender: "fluxwatch@registrar.example".to_owned(),
                message_id: format!("<{n}@registrar.example>"),
                subject: "x".to_owned(),
                octets: b"Subject: x\r\n\r\nx\r\n".to_vec(),
            };
            store
                .desk()
                .queue_message(&message, WallClock.now())
                .expect("queued");
        }
    }

    /// Starts the service and waits until the healthy zone is in history and pushes are heard.
    fn start(&self) -> Service {
        let log = self.bench.path().join("running.log");
        let child = self
            .bench
            .command(&["run"])
            .envs(self.environment.iter().map(|(key, path)| (key, path)))
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("the log can be made"))
            .spawn()
            .expect("the program starts");
        let mut service = Service { child, log };
        service.until("the healthy zone", BEGINS, || {
            self.has("d1.example", "ns2.infra.test")
        });
        service.until("the listener", BEGINS, || {
            TcpStream::connect(("127.0.0.1", self.web)).is_ok()
        });
        service
    }

    /// Returns whether history knows that a name uses a name server.
    fn has(&self, name: &str, host: &str) -> bool {
        let output = self
            .bench
            .command(&["history", name, "--format", "json"])
            .output()
            .expect("the program starts");
        String::from_utf8_lossy(&output.stdout).contains(host)
    }

    /// Has the primary change a delegation, which it announces.
    fn change(&self, host: &str) {
        let commands = format!("update add d1.example. 3600 NS {host}.");
        self.knot.update("example.", &commands);
    }

    /// Pushes a change. Returns whether the answer says that it is durable.
    fn push(&self, host: &str) -> bool {
        let at = WallClock.now().unix();
        let line = format!(
            "{{\"at\":{at},\"rrname\":\"p.pushed.example.\",\"rrtype\":\"NS\",\"op\":\"add\",\"rdata\":[\"{host}.\"]}}\n"
        );
        post(self.web, "pushed", line.as_bytes(), bound(ENDED)) == Some(202)
    }
}

impl Service {
    /// Returns what it has said so far.
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal.
    fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let kill = kill
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string());
        assert!(kill.status().expect("kill is there").success());
    }

    /// Waits until something holds and returns how long it took; the service lives all the while.
    fn until(&mut self, what: &str, limit: Duration, holds: impl Fn() -> bool) -> Duration {
        let began = Instant::now();
        loop {
            let is_so = holds();
            let took = began.elapsed();
            let ended = self.child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "ended with {ended:?}: {}", self.tail());
            if is_so && took <= limit {
                return took;
            }
            assert!(
                took <= limit,
                "{what}: not within {limit:?}: {}",
                self.tail()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns the end of what it said.
    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Waits until it has a file open.
    fn begins_to_read(&mut self, path: &Path) {
        let id = self.child.id();
        self.until("the look into the file", BEGINS, || has_open(id, path));
    }

    /// Has it read the configuration anew; returns how long it took to hear of it.
    fn reload(&mut self) -> Duration {
        let heard = |log: &str| {
            log.matches("configuration reloaded").count()
                + log.matches("reloading the configuration").count()
        };
        let (path, before) = (self.log.clone(), heard(&self.log()));
        let began = Instant::now();
        self.signal("HUP");
        self.until("SIGHUP", bound(HEARD), || {
            heard(&fs::read_to_string(&path).unwrap_or_default()) > before
        });
        began.elapsed()
    }

    /// Ends it; returns how long that took.
    fn end(mut self) -> Duration {
        let began = Instant::now();
        self.signal("TERM");
        let limit = bound(ENDED);
        let status = loop {
            match self.child.try_wait().expect("it can be asked") {
                Some(status) => break status,
                None if began.elapsed() > limit => {
                    panic!("SIGTERM: not within {limit:?}: {}", self.tail())
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let took = began.elapsed();
        assert_eq!(status.code(), Some(0), "{}", self.tail());
        took
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns whether a process has a file open.
fn has_open(id: u32, path: &Path) -> bool {
    let entries = fs::read_dir(format!("/proc/{id}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|it| fs::read_link(it.path()).ok())
        .any(|it| it == path)
}

/// Posts lines to a feed and returns the status of the answer, if there is one in time.
fn post(port: u16, feed: &str, body: &[u8], limit: Duration) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    let head = format!(
        "POST /api/v1/changes?source={feed} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split(' ').nth(1)?.parse().ok()
}

/// The check that is made beside every trouble: the announced change and the push come in time, twice.
fn check_flow(stage: &Stage, service: &mut Service, acknowledged: &mut Acknowledged) {
    for _ in 0..2 {
        let n = acknowledged.hosts.len();
        let host = format!("n{n}.hoster.test");
        stage.change(&host);
        let noted = service.until("a NOTIFY", KNOT_WAITS + bound(IN_TIME), || {
            stage.has("d1.example", &host)
        });
        acknowledged.hosts.push(("d1.example", host));
        let host = format!("p{n}.hoster.test");
        let pushed = service.until("the answer to a push", bound(IN_TIME), || stage.push(&host));
        acknowledged.hosts.push(("p.pushed.example", host));
        eprintln!("NOTIFY in history after {noted:?}, push answered after {pushed:?}");
    }
}

/// Checks that signals are heard, and that everything that was acknowledged is there when the service has ended.
fn check_end(stage: &Stage, mut service: Service, acknowledged: &Acknowledged) {
    let heard = service.reload();
    let ended = service.end();
    eprintln!("SIGHUP heard after {heard:?}, ended {ended:?} after SIGTERM");
    check_kept(stage, acknowledged);
}

/// Checks that everything that was acknowledged is there, in a sound database.
fn check_kept(stage: &Stage, acknowledged: &Acknowledged) {
    stage.bench.run(0, &["db", "verify"]);
    for (name, host) in &acknowledged.hosts {
        assert!(
            stage.has(name, host),
            "{name} {host} was acknowledged and is lost"
        );
    }
}

/// Makes every check beside a trouble that has begun.
fn check(stage: &Stage, mut service: Service) {
    let mut acknowledged = Acknowledged::default();
    check_flow(stage, &mut service, &mut acknowledged);
    check_end(stage, service, &acknowledged);
}

/// Accepts connections and answers each as `serve` does, in a thread of its own. Returns the port and how many came.
fn server(serve: fn(TcpStream)) -> (u16, impl Fn() -> usize) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("bound").port();
    let came = Arc::new(AtomicUsize::new(0));
    let count = came.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || serve(stream));
        }
    });
    (port, move || came.load(Ordering::SeqCst))
}

/// Says nothing until the other side goes.
fn silence(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// A mail server that takes 8 s for each reply.
fn slow_replies(mut stream: TcpStream) {
    let mut octets = [0; 4096];
    let mut reply: &[u8] = b"220 slow\r\n";
    loop {
        std::thread::sleep(Duration::from_secs(8));
        if stream.write_all(reply).is_err() {
            return;
        }
        let asked = match stream.read(&mut octets) {
            Ok(count @ 1..) => &octets[..count],
            _ => return,
        };
        reply = if asked.starts_with(b"DATA") {
            b"354 go on\r\n"
        } else {
            b"250 ok\r\n"
        };
    }
}

/// A primary that sends a byte a second of an answer that never ends.
fn slow_bytes(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 512]);
    for octet in [0xff, 0xff].into_iter().chain(std::iter::repeat(0)) {
        if stream.write_all(&[octet]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Messages to one destination, and to others behind the same server.
const MAILS: [&str; 6] = [
    "a@one.example",
    "b@one.example",
    "c@one.example",
    "d@two.example",
    "e@three.example",
    "f@four.example",
];

/// Checks the service beside a mail server.
fn check_mail_server(serve: fn(TcpStream)) {
    let (port, came) = server(serve);
    let stage = Stage::new(&format!(
        "{REPORT}digest = \"off\"\n[smtp]\nurl = \"smtp://127.0.0.1:{port}\"\n"
    ));
    stage.queue(&MAILS);
    let mut service = stage.start();
    service.until("the session", BEGINS, || came() > 0);
    check(&stage, service);
}

#[test]
fn mail_server_that_says_nothing_holds_up_mail_alone() {
    check_mail_server(silence);
}

#[test]
fn mail_server_of_eight_seconds_a_reply_holds_up_mail_alone() {
    check_mail_server(slow_replies);
}

#[test]
fn silent_webhook_holds_up_nothing_else() {
    let (port, came) = server(silence);
    let url = format!("http://127.0.0.1:{port}/hook");
    let stage = Stage::new(&format!(
        "{REPORT}digest = \"off\"\n[smtp]\nurl = \"maildir://desk\"\n[[webhook]]\nurl = \"{url}\"\nsecret_file = \"token\"\n"
    ));
    stage.queue(&[&url, &url, &url, &url]);
    let mut service = stage.start();
    service.until("the request", BEGINS, || came() > 0);
    check(&stage, service);
}

#[test]
fn primary_of_a_byte_a_second_holds_up_its_own_zones_alone() {
    let (port, came) = server(slow_bytes);
    let zones: String = (0..6)
        .map(|n| {
            let apex = format!("slow{n}.test.");
            source(&apex, &[([127, 0, 0, 1], port).into()], false)
        })
        .collect();
    let stage = Stage::new(&zones);
    let mut service = stage.start();
    service.until("the connection", BEGINS, || came() > 0);
    check(&stage, service);
}

#[test]
fn zone_file_that_takes_long_holds_up_nothing_else() {
    let stage = Stage::new(
        "[[source]]\nname = \"big\"\nkind = \"zonefile\"\nzone = \"big.test.\"\npath = \"big.zone\"\nevery = \"1s\"\n",
    );
    // Types that are not kept: what takes long is reading alone.
    let mut text = String::from(
        "$TTL 3600\n@ SOA ns.big.test. host.big.test. 1 3600 600 86400 300\n@ NS ns.other.test.\n",
    );
    for n in 0..4_000_000 {
        text += &format!("a{n} TXT x\n");
    }
    let mut service = stage.start();
    let path = stage.bench.write("big.zone", text);
    let path = path.canonicalize().expect("written");
    service.begins_to_read(&path);
    let mut acknowledged = Acknowledged::default();
    check_flow(&stage, &mut service, &mut acknowledged);
    assert!(
        has_open(service.child.id(), &path),
        "the file was read too fast to be a trouble"
    );
    check_end(&stage, service, &acknowledged);
}

#[test]
fn eight_mebibytes_of_bad_lines_hold_up_their_own_feed_alone() {
    let stage = Stage::new(
        "[[source]]\nname = \"flood\"\nkind = \"feed\"\nzone = \"flood.test.\"\npush = true\n",
    );
    let service = stage.start();
    let web = stage.web;
    let flood = std::thread::spawn(move || {
        let body = b"x\n".repeat(4 << 20);
        post(web, "flood", &body, Duration::from_secs(60))
    });
    // The body is taken in a moment; what follows takes longer.
    std::thread::sleep(Duration::from_millis(500));
    check(&stage, service);
    let _ = flood.join();
}

#[test]
fn reader_that_stays_holds_up_nothing() {
    let stage = Stage::new("");
    let names: String = (0..20_000)
        .map(|n| format!("{{\"at\":1790000000,\"rrname\":\"r{n}.pushed.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"rdata\":[\"ns.hoster.test.\"]}}\n"))
        .collect();
    let feed = stage.bench.write("names.ndjson", names);
    let feed = feed.to_str().expect("text");
    stage.bench.run(
        0,
        &[
            "import",
            "feed",
            "--zone",
            "pushed.example.",
            "--complete",
            feed,
        ],
    );
    let service = stage.start();
    // Nobody reads what it prints.
    let mut reader = stage
        .bench
        .command(&["history", "*.pushed.example", "--format", "csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    std::thread::sleep(Duration::from_millis(500));
    check(&stage, service);
    let _ = reader.kill();
    let _ = reader.wait();
}

#[test]
fn thousands_of_changes_of_one_name_hold_up_nothing_else() {
    let stage = Stage::new(&format!(
        "{REPORT}digest = \"off\"\n[smtp]\nurl = \"maildir://desk\"\n[[source]]\nname = \"busy\"\nkind = \"feed\"\nzone = \"busy.test.\"\npath = \"busy.ndjson\"\ncomplete = true\nevery = \"1s\"\n"
    ));
    stage.bench.write("busy.ndjson", "");
    let mut service = stage.start();
    let lines: String = (0..4000)
        .map(|n| {
            let at = 1_790_000_000 + n * 60;
            format!("{{\"at\":{at},\"rrname\":\"flux.busy.test.\",\"rrtype\":\"NS\",\"op\":\"set\",\"rdata\":[\"ns{n}.h{n}.test.\",\"ns{}.g{}.test.\"]}}\n", n / 2, n / 3)
        })
        .collect();
    stage.bench.write("busy.ndjson", lines);
    service.until("the first of the changes", BEGINS, || {
        stage.has("flux.busy.test", "ns1.h1.test")
    });
    check(&stage, service);
}

/// A file system in memory at a folder; gone when dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// Mounts one of so many KiB, or says in a line that it cannot.
    fn at(path: PathBuf, size_kib: u64) -> Option<Self> {
        fs::create_dir_all(&path).expect("the folder can be made");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size_kib}k"), "tmpfs"]);
        let done = mount.arg(&path).stderr(Stdio::null()).status();
        if done.is_ok_and(|it| it.success()) {
            return Some(Self(path));
        }
        eprintln!("absent: the right to mount; a full temporary folder was not tested");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn source_that_fills_the_temporary_folder_is_refused_alone() {
    let mut stage = Stage::new(
        "[[source]]\nname = \"big\"\nkind = \"zonefile\"\nzone = \"big.test.\"\npath = \"big.zone\"\nevery = \"1s\"\n",
    );
    let Some(mounted) = Mounted::at(stage.bench.path().join("small"), 2048) else {
        return;
    };
    stage.environment.push(("TMPDIR", mounted.0.clone()));
    let head = |serial| {
        format!(
            "$TTL 3600\n@ SOA ns.big.test. host.big.test. {serial} 3600 600 86400 300\n@ NS ns.other.test.\n"
        )
    };
    // A first version of this size waits in memory; what differs from the one before does not.
    stage.bench.write("big.zone", head(1));
    let mut service = stage.start();
    service.until("the first version", BEGINS, || {
        stage.bench.status("big.test.")["serial"] == 1
    });
    let mut text = head(2);
    for n in 0..60_000 {
        text += &format!("a{n} NS ns{n}.other-name-server-of-some-length.test.\n");
    }
    stage.bench.write("big.zone", text);
    service.until("the refusal", BEGINS, || {
        !stage.bench.status("big.test.")["refused_reason"].is_null()
    });
    check(&stage, service);
}

/// Another process that holds the database's lock; it lets go when dropped.
struct Locker(Child);

impl Locker {
    /// Takes the lock.
    fn start(stage: &Stage) -> Self {
        let program = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)\nc.execute('begin immediate')\nprint('locked', flush=True)\nsys.stdin.read()\n";
        let mut command = match stores::server() {
            Some(server) => {
                let mut command = Command::new("psql");
                let schema = stores::schema_of(stage.bench.path());
                command.env("PGOPTIONS", format!("-csearch_path={schema}"));
                command.args(["-X", "-q", "-A", "-t", "-d", &server]);
                command
            }
            None => {
                let mut command = Command::new("python3");
                command.args(["-c", program]);
                command.arg(stage.bench.path().join("fluxwatch.db"));
                command
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/install-servers installs it");
        if stores::server().is_some() {
            // The lock of whoever writes, as long as the session stays: it waits for its next statement.
            let sql = format!(
                "begin; select 'locked' from pg_advisory_xact_lock({}, hashtext(current_schema()));\n",
                0x666c_7501
            );
            let pipe = child.stdin.as_mut().expect("a pipe");
            pipe.write_all(sql.as_bytes()).expect("psql reads");
        }
        let mut said = [0; 6];
        let out = child.stdout.as_mut().expect("a pipe");
        out.read_exact(&mut said).expect("it locks the database");
        Self(child)
    }
}

impl Drop for Locker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn locked_database_is_waited_for_and_ends_nothing() {
    let seconds = std::env::var("FLUXWATCH_LOCK_S")
        .ok()
        .and_then(|it| it.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(4));
    let stage = Stage::new("");
    let mut service = stage.start();
    let lock = Locker::start(&stage);
    let locked = Instant::now();
    stage.change("locked.hoster.test");
    let web = stage.web;
    let early = std::thread::spawn(move || {
        let line = b"{\"at\":1790000000,\"rrname\":\"q.pushed.example.\",\"rrtype\":\"NS\",\"op\":\"add\",\"rdata\":[\"early.hoster.test.\"]}\n";
        post(web, "pushed", line, Duration::from_secs(120))
    });
    let heard = service.reload();
    while locked.elapsed() < length {
        service.until("a sign of life", bound(HEARD), || true);
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(lock);
    let mut acknowledged = Acknowledged::default();
    let noted = service.until("a NOTIFY under the lock", bound(IN_TIME), || {
        stage.has("d1.example", "locked.hoster.test")
    });
    let pushed = service.until("the answer to a push", bound(IN_TIME), || {
        stage.push("unlocked.hoster.test")
    });
    eprintln!(
        "SIGHUP heard after {heard:?} under the lock; after it: NOTIFY {noted:?}, push {pushed:?}"
    );
    acknowledged
        .hosts
        .push(("d1.example", "locked.hoster.test".to_owned()));
    acknowledged
        .hosts
        .push(("p.pushed.example", "unlocked.hoster.test".to_owned()));
    if early.join().expect("answered or not") == Some(202) {
        acknowledged
            .hosts
            .push(("q.pushed.example", "early.hoster.test".to_owned()));
    }
    check_flow(&stage, &mut service, &mut acknowledged);
    // And SIGTERM is obeyed under another lock.
    let lock = Locker::start(&stage);
    stage.change("last.hoster.test");
    let ended = service.end();
    eprintln!("ended {ended:?} after SIGTERM under the lock");
    drop(lock);
    check_kept(&stage, &acknowledged);
}
