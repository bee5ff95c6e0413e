//! Daemons that a test started: their ports, their ends, what they print.

use super::primary::{TSIG_NAME, TSIG_SECRET};
use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take to start or to serve a new version.
pub const WAIT_MAX: Duration = Duration::from_secs(20);

/// How long a server may take to end before it is killed.
pub const END_WAIT_MAX: Duration = Duration::from_secs(8);

/// How long to pause between two looks at another process.
pub const POLL_PAUSE: Duration = Duration::from_millis(50);

/// How many lines of a server's log a panic shows.
pub const LOG_LINES_SHOWN: usize = 30;

/// The ports tried by [`free_port`]: below those that Linux gives to outgoing connections (32768
/// and up), so that no client can take one between the look and the server's start.
pub const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Returns the key as dig and nsupdate take it.
pub fn tsig_option() -> String {
    format!("hmac-sha256:{TSIG_NAME}:{TSIG_SECRET}")
}

/// Returns a port that is free on 127.0.0.1 and, where the host has it, ::1, for UDP and for TCP.
///
/// It is not among those that Linux gives to outgoing connections, and this process is not given
/// it twice.
pub fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let count = PORTS.end - PORTS.start;
    let next = NEXT.get_or_init(|| {
        AtomicU16::new((RandomState::new().build_hasher().finish() % u64::from(count)) as u16)
    });
    let is_free = |port: &u16| {
        let mut addresses = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, *port))];
        if has_ipv6() {
            addresses.push(SocketAddr::from((Ipv6Addr::LOCALHOST, *port)));
        }
        addresses
            .iter()
            .all(|address| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok())
    };
    let mut tried = (0..count).map(|_| PORTS.start + next.fetch_add(1, Ordering::Relaxed) % count);
    tried.find(is_free).expect("one of 20,000 ports is free")
}

/// Tells whether ::1 can be listened on here. Without it the primaries listen on 127.0.0.1 alone.
pub fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// A daemon that this process started, and its guard.
pub struct Running {
    pub server: Child,
    guard: Guard,
}

impl Running {
    /// Starts `command` with its output appended to the file `log`.
    pub fn spawn(mut command: Command, log: &Path) -> Running {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log can be written");
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        // In a group of its own: Ctrl-C in the terminal reaches it through the guard, in order.
        command.process_group(0);
        let server = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let guard = Guard::spawn(signal("TERM", server.id()));
        Running { server, guard }
    }

    /// Tells whether the daemon has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.server.try_wait(), Ok(Some(_)))
    }

    /// Asks the daemon to end, waits until its own children have ended too, and kills who has not.
    pub fn end(mut self) {
        let pid = self.server.id();
        if !self.has_ended() {
            let _ = signal("TERM", pid).output();
        }
        // Looks more often than elsewhere: tests stop many servers, and these end within milliseconds.
        let deadline = Instant::now() + END_WAIT_MAX;
        while (!self.has_ended() || group_runs(pid)) && Instant::now() < deadline {
            sleep(Duration::from_millis(5));
        }
        if group_runs(pid) {
            let _ = Command::new("/bin/sh")
                .args(["-c", "kill -s KILL -- \"-$1\"", "kill", &pid.to_string()])
                .output();
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
        self.guard.release();
    }
}

/// Tells whether a process of the group `id` runs (and is not merely unreaped).
pub fn group_runs(id: u32) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| fs::read_to_string(process.path().join("stat")).ok())
        .any(|stat| {
            // proc(5): the name in parentheses, which may hold anything; state; parent; group.
            let mut fields = stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .split_whitespace();
            let state = fields.next();
            state != Some("Z") && fields.nth(1) == Some(&id.to_string())
        })
}

/// A process that runs a command if this one dies without [`Guard::release`].
pub struct Guard(pub Child);

impl Guard {
    /// Starts the guard: it reads from a pipe that only this process holds open.
    pub fn spawn(command: Command) -> Guard {
        let mut guard = Command::new("/bin/sh");
        guard
            .args(["-c", "read -r over || \"$@\"", "guard"])
            .arg(command.get_program())
            .args(command.get_args());
        // In a group of its own, so that Ctrl-C in the terminal leaves it to do its work.
        guard
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Guard(guard.spawn().expect("/bin/sh can be started"))
    }

    /// Ends the guard without its command.
    pub fn release(mut self) {
        let told = self
            .0
            .stdin
            .take()
            .map(|mut pipe| pipe.write_all(b"over\n"));
        debug_assert!(told.is_some(), "a guard is released once");
        let _ = self.0.wait();
    }
}

/// Returns a command that sends the signal `name` to the process `pid`.
pub fn signal(name: &str, pid: u32) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        "kill -s \"$1\" \"$2\"",
        "signal",
        name,
        &pid.to_string(),
    ]);
    command
}

/// Calls `look` until it is `Ok`; its last error returns after `wait_max`, or once `is_over`.
pub fn poll<T>(
    wait_max: Duration,
    is_over: &dyn Fn() -> bool,
    look: impl Fn() -> Result<T, String>,
) -> Result<T, String> {
    let deadline = Instant::now() + wait_max;
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(_) if is_over() => return Err("it has ended".to_owned()),
            Err(why) if Instant::now() > deadline => return Err(why),
            Err(_) => sleep(POLL_PAUSE),
        }
    }
}

/// Returns a command that runs `name` from PATH, in the language of its programmers.
pub fn command_of(name: &str) -> Command {
    let mut command = Command::new(find_program(name));
    command.env("LC_ALL", "C");
    command
}

/// Returns where the program `name` is: in PATH, or where daemons are.
///
/// # Panics
///
/// If it is nowhere.
pub fn find_program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut candidates = std::env::split_paths(&path)
        .chain(daemons)
        .map(|folder| folder.join(name));
    candidates
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!("{name} is not installed; tests/install-servers installs what these tests need")
        })
}

/// Returns the daemon `name`, or a copy of it in `dir` if AppArmor would keep it from files there.
pub fn unconfined(name: &str, dir: &Path) -> PathBuf {
    let program = find_program(name);
    let is_enforcing = fs::read("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|answer| answer.starts_with(b"Y"));
    if !is_enforcing
        || !Path::new("/etc/apparmor.d")
            .join(format!("usr.sbin.{name}"))
            .exists()
    {
        return program;
    }
    // A profile holds for the path of the program.
    let copy = dir.join(name);
    if !copy.exists() {
        fs::copy(program, &copy).expect("a daemon can be copied");
    }
    copy
}

/// Creates the folder `name` in `dir`, which may be missing too, and returns its absolute path.
pub fn new_folder(dir: &Path, name: &str) -> PathBuf {
    let folder = dir.join(name);
    fs::create_dir_all(dir).expect("the test's directory can be made");
    fs::create_dir(&folder).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; one server of a kind a directory",
            folder.display()
        )
    });
    folder.canonicalize().expect("the folder was just made")
}

/// Writes a file whole.
pub fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Returns the id of the user who owns `path`.
pub fn owner_of(path: &Path) -> u32 {
    fs::metadata(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .uid()
}

/// Returns what a command printed, on both streams, trimmed.
pub fn text_of(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}

/// Panics with what a command printed and the end of the server's log unless the command succeeded.
pub fn require_success(what: &str, output: &Output, log: &Path) {
    assert!(
        output.status.success(),
        "{what} failed: {}\n{}",
        text_of(output),
        tail_of(log)
    );
}

/// Returns the last lines of a log, under a line that says so.
pub fn tail_of(log: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(log).and_then(|mut file| file.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
    match read {
        Ok(_) => format!("--- the end of {} ---\n{}", log.display(), shown.join("\n")),
        Err(error) => format!("--- {} cannot be read: {error} ---", log.display()),
    }
}

/// Locks, also after a panic of another thread: what these hold is whole at any time.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
