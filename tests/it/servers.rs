//! Real servers for the tests: the primaries Knot, NSD and BIND, and the mail server Postfix.
//!
//! Each listens on loopback alone, on ports from [`free_port`], with its configuration, state and
//! log in a folder of its own under the directory that the test gives. A server ends when its value
//! is dropped; if the test process dies without dropping it (a kill, a `static`), a guard process
//! ends it instead. Nothing here touches what the host runs. `tests/install-servers` installs them.
//!
//! A start that fails panics with a sentence and the last lines of the server's log.

use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// The name of the TSIG key that every primary here asks for, with its final dot.
pub const TSIG_NAME: &str = "transfer.test.";

/// The secret of that key, for hmac-sha256: base64 of 32 bytes, made up for these tests.
pub const TSIG_SECRET: &str = "RFBkOeyFew4jcINfiMwl7ePyi/Jn1zru1dZc2L9V8kY=";

/// Further keys with the same secret: their names and algorithms.
pub const TSIG_OTHERS: [(&str, &str); 2] = [
    ("transfer384.test.", "hmac-sha384"),
    ("transfer512.test.", "hmac-sha512"),
];

/// The start of the name of a zone that BIND takes dynamic updates for; it cannot be replaced.
pub const DYNAMIC_PREFIX: &str = "dynamic.";

/// The name in the certificate of those that serve transfers over TLS.
pub const TLS_NAME: &str = "xot.test";

/// What a primary does beside answering.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// Sends a signed NOTIFY to this port of 127.0.0.1 when a zone changes.
    pub notify_port: Option<u16>,
    /// Serves transfers over TLS on this port of 127.0.0.1 (NSD and BIND).
    pub tls_port: Option<u16>,
    /// Lists its other zones in a catalog of this name (Knot).
    pub catalog: Option<String>,
    /// Leaves ::1 at its port to another (Knot).
    pub v4_only: bool,
    /// Answers at this port of ::1 too (Knot).
    pub more_v6_port: Option<u16>,
    /// Signs its zones and gives them a digest (RFC 8976) of this algorithm (Knot).
    pub zonemd: Option<&'static str>,
    /// Serves whoever asks from this machine, without a key (Knot).
    pub open: bool,
    /// Resolves for everybody, through the server at this port of 127.0.0.1 (BIND).
    pub resolves_through: Option<u16>,
}

/// The start of the name of a zone whose transfer every primary here denies, even with the key.
pub const REFUSED_PREFIX: &str = "refused.";

/// How long a server may take to start or to serve a new version.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(20);

/// How long a server may take to end before it is killed.
const END_WAIT_MAX: Duration = Duration::from_secs(8);

/// How long to pause between two looks at another process.
const POLL_PAUSE: Duration = Duration::from_millis(50);

/// How many lines of a server's log a panic shows.
const LOG_LINES_SHOWN: usize = 30;

/// The ports tried by [`free_port`]: below those that Linux gives to outgoing connections (32768
/// and up), so that no client can take one between the look and the server's start.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// The user and group that own delivered mail when the test runs as root: "nobody". Postfix's
/// virtual(8) refuses to deliver as root.
const NOBODY_ID: u32 = 65_534;

// ---- Primaries ----

/// Knot DNS: zones over AXFR and IXFR (from the differences of zone files), and dynamic updates.
pub struct Knot(Primary);

impl Knot {
    /// Starts Knot with `zones`, each an apex with its final dot and the text of its zone file.
    ///
    /// Returns when it answers for all of them. `dir` is made if it is missing; it has room for one
    /// server of each kind.
    ///
    /// # Panics
    ///
    /// If Knot is not installed or does not answer within 20 seconds.
    pub fn start(dir: &Path, zones: &[(&str, &str)]) -> Knot {
        Self::start_with(dir, zones, &Extras::default())
    }

    /// [`Knot::start`] with more than answering.
    ///
    /// # Panics
    ///
    /// As [`Knot::start`].
    pub fn start_with(dir: &Path, zones: &[(&str, &str)], extras: &Extras) -> Knot {
        Knot(Primary::start(Software::Knot, dir, zones, extras))
    }
}

/// NSD: zones over AXFR and IXFR (which it makes when a zone file is reloaded).
pub struct Nsd(Primary);

impl Nsd {
    /// Starts NSD with `zones`; see [`Knot::start`].
    ///
    /// # Panics
    ///
    /// If NSD is not installed or does not answer within 20 seconds.
    pub fn start(dir: &Path, zones: &[(&str, &str)]) -> Nsd {
        Self::start_with(dir, zones, &Extras::default())
    }

    /// [`Nsd::start`] with more than answering.
    ///
    /// # Panics
    ///
    /// As [`Nsd::start`].
    pub fn start_with(dir: &Path, zones: &[(&str, &str)], extras: &Extras) -> Nsd {
        Nsd(Primary::start(Software::Nsd, dir, zones, extras))
    }
}

/// BIND: zones over AXFR and IXFR (from the differences of zone files).
pub struct Bind(Primary);

impl Bind {
    /// Starts BIND with `zones`; see [`Knot::start`].
    ///
    /// # Panics
    ///
    /// If BIND is not installed or does not answer within 20 seconds.
    pub fn start(dir: &Path, zones: &[(&str, &str)]) -> Bind {
        Self::start_with(dir, zones, &Extras::default())
    }

    /// [`Bind::start`] with more than answering.
    ///
    /// # Panics
    ///
    /// As [`Bind::start`].
    pub fn start_with(dir: &Path, zones: &[(&str, &str)], extras: &Extras) -> Bind {
        Bind(Primary::start(Software::Bind, dir, zones, extras))
    }
}

/// Lends each named server the methods of [`Primary`].
macro_rules! lends_primary {
    ($($server:ty),*) => { $(
        impl Deref for $server {
            type Target = Primary;
            fn deref(&self) -> &Primary {
                &self.0
            }
        }
    )* };
}
lends_primary!(Knot, Nsd, Bind);

/// What the three primaries have in common; a test for all of them takes a `&Primary`.
///
/// It answers any query on 127.0.0.1 and, where the host has it, ::1, over UDP and TCP; it
/// transfers a zone to who signs with the key, and those below [`REFUSED_PREFIX`] to nobody.
pub struct Primary {
    software: Software,
    dir: PathBuf,
    port: u16,
    zones: Vec<Zone>,
    running: Mutex<Option<Running>>,
}

impl Primary {
    /// Writes configuration and zones into a new folder of `dir`, starts the server and waits for it.
    fn start(software: Software, dir: &Path, zones: &[(&str, &str)], extras: &Extras) -> Primary {
        let dir = new_folder(dir, software.program());
        assert!(
            dir.as_os_str().len() < 90,
            "{}: too long a path for a control socket",
            dir.display()
        );
        let mut served = Vec::new();
        for (apex, text) in zones {
            let zone = Zone::new(&dir, served.len(), apex);
            write(&zone.path, text);
            served.push(zone);
        }
        let primary = Primary {
            software,
            dir,
            port: free_port(),
            zones: served,
            running: Mutex::new(None),
        };
        if extras.tls_port.is_some() {
            make_certificate(&primary.dir);
        }
        write(
            &primary.configuration_path(),
            &software.configuration(&primary.dir, primary.port, &primary.zones, extras),
        );
        primary.restart();
        primary
    }

    /// Returns the port, the same for both families and for UDP and TCP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the IPv4 address and port.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    /// Returns the IPv6 address and port. Nothing answers there unless [`has_ipv6`].
    pub fn address_v6(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), self.port)
    }

    /// Returns the serial that the server answers with for the zone at `apex` now.
    ///
    /// # Panics
    ///
    /// If there is no answer, or no SOA in it.
    pub fn serial(&self, apex: &str) -> u32 {
        self.ask_serial(apex)
            .unwrap_or_else(|why| panic!("no serial of {apex}: {why}\n{}", self.log_tail()))
    }

    /// Replaces the zone at `apex` by the zone file `text` and returns when its serial is served.
    ///
    /// A serial that moves forward makes an IXFR. One that stays or goes backwards makes the server
    /// forget the history of all its zones, dynamic updates among it, and start anew on the same
    /// port, which takes it away for a moment: Knot and BIND would refuse such a zone file otherwise.
    ///
    /// # Panics
    ///
    /// If the server is stopped, does not know the zone, or does not serve the new serial within
    /// 20 seconds.
    pub fn replace_zone(&self, apex: &str, text: &str) {
        let zone = self.zones.iter().find(|zone| zone.apex == apex);
        let zone = zone
            .unwrap_or_else(|| panic!("{apex} is not a zone of this {}", self.software.program()));
        let serial = serial_in(text);
        // RFC 1982 §3.2: newer is up to 2^31 - 1 steps ahead.
        let steps = serial.wrapping_sub(self.serial(apex));
        if steps == 0 || steps >= 1 << 31 {
            self.stop();
            self.software.forget_history(&self.dir);
            write(&zone.path, text);
            self.restart();
        } else {
            write(&zone.path, text);
            self.reload(apex);
        }
        self.wait_until(&format!("serve serial {serial} of {apex}"), || {
            match self.ask_serial(apex)? {
                served if served == serial => Ok(()),
                served => Err(format!("it serves {served}")),
            }
        });
    }

    /// Replaces the zone file at `apex` by `text`, whose serial may stand, and has the server read it.
    ///
    /// # Panics
    ///
    /// If the server is stopped or does not know the zone.
    pub fn edit_zone(&self, apex: &str, text: &str) {
        let zone = self.zones.iter().find(|zone| zone.apex == apex);
        write(&zone.expect("the server has the zone").path, text);
        self.reload(apex);
    }

    /// Ends the server; its port refuses connections afterwards. Does nothing if it has ended.
    pub fn stop(&self) {
        if let Some(running) = lock(&self.running).take() {
            running.end();
        }
    }

    /// Starts the server again on the same port, with its zones as they were last; ends it before.
    ///
    /// # Panics
    ///
    /// As its `start`.
    pub fn restart(&self) {
        self.stop();
        let mut command = Command::new(unconfined(self.software.program(), &self.dir));
        command
            .args(self.software.arguments())
            .arg(self.configuration_path());
        *lock(&self.running) = Some(Running::spawn(command, &self.log_path()));
        self.wait_until("answer for its zones", || {
            self.zones
                .iter()
                .try_for_each(|zone| self.ask_serial(&zone.apex).map(drop))
        });
    }

    /// Sends `commands` (lines of nsupdate(1), such as `add a.example. 60 A 192.0.2.1`) as one
    /// dynamic update (RFC 2136) of the zone at `apex`, signed with the key.
    ///
    /// The server counts the serial up by one unless the commands change it. Knot takes updates of every
    /// zone, BIND of those below [`DYNAMIC_PREFIX`].
    ///
    /// # Panics
    ///
    /// If the update is refused.
    pub fn update(&self, apex: &str, commands: &str) {
        let input = format!(
            "server 127.0.0.1 {}\nzone {apex}\n{commands}\nsend\n",
            self.port()
        );
        let mut command = command_of("nsupdate");
        command
            .args(["-y", &tsig_option()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("nsupdate can be started");
        child
            .stdin
            .take()
            .expect("its input is a pipe")
            .write_all(input.as_bytes())
            .expect("nsupdate reads its input");
        let output = child.wait_with_output().expect("nsupdate ends");
        require_success(&format!("the update of {apex}"), &output, &self.log_path());
    }

    /// Returns the certificate of the authority that vouches for the server over TLS.
    pub fn tls_authority(&self) -> PathBuf {
        self.dir.join("tls.pem")
    }

    /// Returns the last lines of the server's log, under a line that says so.
    pub fn log_tail(&self) -> String {
        tail_of(&self.log_path())
    }

    /// Makes the running server read the zone's file again.
    fn reload(&self, apex: &str) {
        let mut command = match self.software {
            Software::Knot => {
                let mut command = command_of("knotc");
                command
                    .arg("-s")
                    .arg(self.dir.join("knot.sock"))
                    .args(["-b", "zone-reload", apex]);
                command
            }
            Software::Nsd => {
                let mut command = command_of("nsd-control");
                command
                    .arg("-c")
                    .arg(self.configuration_path())
                    .args(["reload", apex]);
                command
            }
            Software::Bind => {
                let pid = lock(&self.running)
                    .as_ref()
                    .expect("a stopped server cannot reload")
                    .server
                    .id();
                signal("HUP", pid)
            }
        };
        let output = command.output().expect("the reload can be asked for");
        require_success(&format!("the reload of {apex}"), &output, &self.log_path());
    }

    /// Asks for the SOA over TCP, signed; an error says what came instead.
    fn ask_serial(&self, apex: &str) -> Result<u32, String> {
        let port = self.port;
        let mut command = command_of("dig");
        let options = format!(
            "-r @127.0.0.1 -p {port} -y {} +tcp +short +time=2 +tries=1",
            tsig_option()
        );
        command
            .args(options.split(' '))
            .args(["-q", apex, "-t", "SOA"]);
        let output = command.output().expect("dig can be started");
        let text = text_of(&output);
        // The primary, the mailbox, then the serial.
        let serial = text
            .lines()
            .find_map(|line| line.split(' ').nth(2)?.parse().ok());
        serial
            .filter(|_| output.status.success())
            .ok_or(format!("dig got no serial but {text:?}"))
    }

    /// Polls `look` until it is `Ok`; panics with the log if the server has ended or takes too long.
    fn wait_until(&self, goal: &str, look: impl Fn() -> Result<(), String>) {
        let program = self.software.program();
        let has_ended = || lock(&self.running).as_mut().is_none_or(Running::has_ended);
        if let Err(why) = poll(WAIT_MAX, &has_ended, look) {
            panic!(
                "{program} on port {} did not {goal}: {why}\n{}",
                self.port,
                self.log_tail()
            );
        }
    }

    /// Returns where the server's configuration is.
    fn configuration_path(&self) -> PathBuf {
        self.dir.join("server.conf")
    }

    /// Returns where the server's output goes.
    fn log_path(&self) -> PathBuf {
        self.dir.join("log")
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A zone and where its zone file is.
struct Zone {
    apex: String,
    path: PathBuf,
}

impl Zone {
    /// Returns the `i`-th zone of the server in `dir`. Its file's name is harmless whatever the apex is.
    fn new(dir: &Path, i: usize, apex: &str) -> Zone {
        assert!(
            apex.ends_with('.'),
            "{apex}: an apex is written with its final dot"
        );
        let readable = apex
            .trim_end_matches('.')
            .replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "_");
        Zone {
            apex: apex.to_owned(),
            path: dir.join(format!("{i}-{readable}.zone")),
        }
    }

    /// Tells whether the zone is transferred to nobody.
    fn refuses_transfer(&self) -> bool {
        self.apex.starts_with(REFUSED_PREFIX)
    }
}

/// Which primary it is.
#[derive(Clone, Copy)]
enum Software {
    Knot,
    Nsd,
    Bind,
}

impl Software {
    /// Returns the daemon's name.
    fn program(self) -> &'static str {
        match self {
            Software::Knot => "knotd",
            Software::Nsd => "nsd",
            Software::Bind => "named",
        }
    }

    /// Returns the arguments that keep the daemon in the foreground; its configuration's path follows.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Software::Knot => &["-c"],
            Software::Nsd => &["-d", "-c"],
            Software::Bind => &["-g", "-n", "2", "-c"],
        }
    }

    /// Returns the whole configuration of the daemon.
    fn configuration(self, dir: &Path, port: u16, zones: &[Zone], extras: &Extras) -> String {
        let dir = dir.to_str().expect("the test's directory is UTF-8");
        match self {
            Software::Knot => knot_configuration(dir, port, zones, extras),
            Software::Nsd => nsd_configuration(dir, port, zones, extras),
            Software::Bind => bind_configuration(dir, port, zones, extras),
        }
    }

    /// Removes what the stopped daemon remembers of earlier versions of its zones.
    fn forget_history(self, dir: &Path) {
        for entry in fs::read_dir(dir)
            .expect("the server's folder can be listed")
            .flatten()
        {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if name == "journal" || name == "timers" {
                fs::remove_dir_all(&path).expect("Knot's databases can be removed");
            } else if name.ends_with(".jnl") || name.contains(".zone.ixfr") {
                fs::remove_file(&path).expect("a journal can be removed");
            }
        }
    }
}

/// Returns Knot's configuration.
fn knot_configuration(dir: &str, port: u16, zones: &[Zone], extras: &Extras) -> String {
    let v6 = if has_ipv6() {
        format!(", ::1@{port}")
    } else {
        String::new()
    };
    let more = extras.more_v6_port.map(|port| format!(", ::1@{port}"));
    let v6 = if extras.v4_only { String::new() } else { v6 } + &more.unwrap_or_default();
    let key = TSIG_NAME;
    let mut others = String::new();
    let mut names = format!("\"{key}\"");
    for (name, algorithm) in TSIG_OTHERS {
        others += &format!(
            "  - id: \"{name}\"\n    algorithm: {algorithm}\n    secret: \"{TSIG_SECRET}\"\n"
        );
        names += &format!(", \"{name}\"");
    }
    let (mut remote, mut notify) = (String::new(), "");
    if let Some(port) = extras.notify_port {
        remote = format!(
            "remote:\n  - id: watcher\n    address: 127.0.0.1@{port}\n    key: \"{key}\"\n"
        );
        notify = "    notify: watcher\n";
    }
    let digest = extras.zonemd.map_or_else(String::new, |algorithm| {
        format!("    dnssec-signing: on\n    zonemd-generate: {algorithm}\n")
    });
    // The sizes are those of sparse files that Knot maps; its own are 20 GiB and more.
    let mut text = format!(
        "server:
    rundir: \"{dir}\"
    listen: [ 127.0.0.1@{port}{v6} ]
    udp-workers: 1
    tcp-workers: 2
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: \"{dir}\"
    journal-db-max-size: 1G
    kasp-db-max-size: 10M
    timer-db-max-size: 10M
    catalog-db-max-size: 10M
key:
  - id: \"{key}\"
    algorithm: hmac-sha256
    secret: \"{TSIG_SECRET}\"
{others}{remote}acl:
  - id: with-key
    key: [ {names} ]
    action: [ transfer, update, query ]
  - id: refused
    key: \"{key}\"
    action: [ query ]
  - id: open
    address: [ 127.0.0.0/8, ::1 ]
    action: [ transfer, query ]
template:
  - id: default
    zonefile-load: difference
    zonefile-sync: -1
{notify}{digest}zone:
"
    );
    if let Some(catalog) = &extras.catalog {
        text +=
            &format!("  - domain: \"{catalog}\"\n    catalog-role: generate\n    acl: with-key\n");
    }
    for zone in zones {
        let acl = if zone.refuses_transfer() {
            "refused"
        } else if extras.open {
            "[ with-key, open ]"
        } else {
            "with-key"
        };
        let (apex, file) = (&zone.apex, zone.path.display());
        text += &format!("  - domain: \"{apex}\"\n    file: \"{file}\"\n    acl: {acl}\n");
        if let Some(catalog) = &extras.catalog {
            text += &format!("    catalog-role: member\n    catalog-zone: \"{catalog}\"\n");
        }
    }
    text
}

/// Returns NSD's configuration.
fn nsd_configuration(dir: &str, port: u16, zones: &[Zone], extras: &Extras) -> String {
    let v6 = if has_ipv6() {
        format!("ip-address: ::1@{port}")
    } else {
        String::new()
    };
    let tls = extras.tls_port.map_or_else(String::new, |port| {
        format!("ip-address: 127.0.0.1@{port}\n    tls-port: {port}\n    tls-service-key: \"{dir}/tls.key\"\n    tls-service-pem: \"{dir}/tls.pem\"")
    });
    let mut others = String::new();
    for (name, algorithm) in TSIG_OTHERS {
        others += &format!(
            "key:\n    name: \"{name}\"\n    algorithm: {algorithm}\n    secret: \"{TSIG_SECRET}\"\n"
        );
    }
    // Debian's NSD limits answers to 200 a second and client unless the rates are 0.
    let mut text = format!(
        "server:
    ip-address: 127.0.0.1@{port}
    {v6}
    {tls}
    server-count: 1
    verbosity: 1
    username: \"\"
    chroot: \"\"
    database: \"\"
    zonesdir: \"{dir}\"
    pidfile: \"{dir}/nsd.pid\"
    xfrdfile: \"{dir}/xfrd.state\"
    xfrdir: \"{dir}\"
    zonelistfile: \"{dir}/zone.list\"
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
remote-control:
    control-enable: yes
    control-interface: \"{dir}/nsd.sock\"
key:
    name: \"{TSIG_NAME}\"
    algorithm: hmac-sha256
    secret: \"{TSIG_SECRET}\"
{others}"
    );
    for zone in zones {
        let (apex, file) = (&zone.apex, zone.path.display());
        text += &format!(
            "zone:\n    name: \"{apex}\"\n    zonefile: \"{file}\"\n    store-ixfr: yes\n    create-ixfr: yes\n"
        );
        if !zone.refuses_transfer() {
            text += &format!(
                "    provide-xfr: 127.0.0.1 {TSIG_NAME}\n    provide-xfr: ::1 {TSIG_NAME}\n"
            );
            for (name, _) in TSIG_OTHERS {
                text += &format!("    provide-xfr: 127.0.0.1 {name}\n");
            }
            if let Some(port) = extras.notify_port {
                text += &format!("    notify: 127.0.0.1@{port} {TSIG_NAME}\n");
            }
        }
    }
    text
}

/// Returns BIND's configuration.
fn bind_configuration(dir: &str, port: u16, zones: &[Zone], extras: &Extras) -> String {
    let v6 = if has_ipv6() { "::1;" } else { "none;" };
    let tls = extras.tls_port.map_or_else(String::new, |port| {
        format!("listen-on port {port} tls xot {{ 127.0.0.1; }};")
    });
    let tls_block = extras.tls_port.map_or_else(String::new, |_| {
        format!("tls xot {{ cert-file \"{dir}/tls.pem\"; key-file \"{dir}/tls.key\"; protocols {{ TLSv1.3; }}; }};\n")
    });
    let notify = extras.notify_port.map_or("notify no;".to_owned(), |port| {
        format!("notify explicit; notify-delay 0; also-notify {{ 127.0.0.1 port {port} key \"{TSIG_NAME}\"; }};")
    });
    let recursion = extras
        .resolves_through
        .map_or("recursion no;".to_owned(), |port| {
            format!("recursion yes; forward only; forwarders {{ 127.0.0.1 port {port}; }};")
        });
    let mut others = String::new();
    for (name, algorithm) in TSIG_OTHERS {
        others +=
            &format!("key \"{name}\" {{ algorithm {algorithm}; secret \"{TSIG_SECRET}\"; }};\n");
    }
    // Without the ratio BIND answers IXFR with the whole zone if the differences are larger, as they
    // are in small test zones.
    let mut text = format!(
        "options {{
    directory \"{dir}\";
    pid-file \"{dir}/named.pid\";
    session-keyfile \"{dir}/session.key\";
    lock-file none;
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 port {port} {{ {v6} }};
    {recursion}
    dnssec-validation no;
    empty-zones-enable no;
    {notify}
    {tls}
    ixfr-from-differences yes;
    max-ixfr-ratio unlimited;
    allow-transfer {{ none; }};
}};
controls {{ }};
key \"{TSIG_NAME}\" {{ algorithm hmac-sha256; secret \"{TSIG_SECRET}\"; }};
{others}{tls_block}"
    );
    for zone in zones {
        let (apex, file) = (&zone.apex, zone.path.display());
        let to = if zone.refuses_transfer() {
            "none;".to_owned()
        } else {
            let [(a, _), (b, _)] = TSIG_OTHERS;
            format!("key \"{TSIG_NAME}\"; key \"{a}\"; key \"{b}\";")
        };
        let update = if apex.starts_with(DYNAMIC_PREFIX) {
            format!("allow-update {{ key \"{TSIG_NAME}\"; }};")
        } else {
            String::new()
        };
        text += &format!(
            "zone \"{apex}\" {{ type primary; file \"{file}\"; allow-transfer {{ {to} }};\n    \
             check-names ignore; check-integrity no; {update} }};\n"
        );
    }
    text
}

/// Makes a certificate for [`TLS_NAME`] that vouches for itself, and its key.
fn make_certificate(dir: &Path) {
    make_certificate_of(dir, TLS_NAME);
}

/// Makes a certificate for a name that vouches for itself, and its key.
pub fn make_certificate_of(dir: &Path, name: &str) {
    let mut command = command_of("openssl");
    let subject = format!("/CN={name}");
    let name = format!("subjectAltName=DNS:{name}");
    command
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "30", "-subj", &subject, "-addext", &name])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(dir.join("tls.key"))
        .arg("-out")
        .arg(dir.join("tls.pem"));
    let output = command.output().expect("openssl can be started");
    require_success("the certificate", &output, &dir.join("log"));
}

/// Returns the serial in the SOA record of a zone file.
///
/// # Panics
///
/// If there is none that a reader this simple finds.
fn serial_in(text: &str) -> u32 {
    let lines = text
        .lines()
        .map(|line| line.split(';').next().unwrap_or_default());
    let words: Vec<&str> = lines
        .flat_map(|line| line.split([' ', '\t', '(', ')']))
        .filter(|word| !word.is_empty())
        .collect();
    let soa = words
        .iter()
        .position(|word| word.eq_ignore_ascii_case("SOA"))
        .expect("a zone file has a SOA record");
    // The primary, the mailbox, then the serial.
    let serial = words.get(soa + 3).and_then(|word| word.parse().ok());
    serial.expect("the third field of a SOA record is its serial")
}

/// Returns the key as dig and nsupdate take it.
pub(crate) fn tsig_option() -> String {
    format!("hmac-sha256:{TSIG_NAME}:{TSIG_SECRET}")
}

// ---- PowerDNS ----

/// PowerDNS with its zones in SQLite, on 127.0.0.1; it transfers to who signs with the key. Asked for an
/// IXFR it sends the whole zone.
pub struct PowerDns {
    dir: PathBuf,
    port: u16,
    running: Mutex<Option<Running>>,
}

/// The schema that Debian's package brings.
const PDNS_SCHEMA: &str = "/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql";

impl PowerDns {
    /// Starts PowerDNS with one zone and returns when it answers for it.
    ///
    /// # Panics
    ///
    /// If PowerDNS is not installed or does not answer within 20 seconds.
    pub fn start(dir: &Path, apex: &str, text: &str) -> PowerDns {
        let dir = new_folder(dir, "pdns");
        let port = free_port();
        let place = dir.display();
        // Nothing is cached: a test asks for what it has just changed.
        let configuration = format!(
            "launch=gsqlite3\ngsqlite3-database={place}/zones.db\nlocal-address=127.0.0.1\nlocal-port={port}\nsocket-dir={place}\nallow-axfr-ips=\ndisable-axfr=no\nprimary=yes\nonly-notify=\ncache-ttl=0\nquery-cache-ttl=0\nnegquery-cache-ttl=0\nzone-cache-refresh-interval=0\nzone-metadata-cache-ttl=0\nsecurity-poll-suffix=\n"
        );
        write(&dir.join("pdns.conf"), &configuration);
        let schema =
            fs::read_to_string(PDNS_SCHEMA).expect("tests/install-servers brings the schema");
        let database =
            rusqlite::Connection::open(dir.join("zones.db")).expect("a database can be made");
        database.execute_batch(&schema).expect("the schema is SQL");
        drop(database);
        let server = PowerDns {
            dir,
            port,
            running: Mutex::new(None),
        };
        let key = TSIG_NAME.trim_end_matches('.');
        server.load(apex, text);
        server.control(&["import-tsig-key", key, "hmac-sha256", TSIG_SECRET]);
        server.control(&["activate-tsig-key", apex, key, "primary"]);
        let mut command = Command::new(find_program("pdns_server"));
        command.arg(format!("--config-dir={}", server.dir.display()));
        command.args(["--daemon=no", "--guardian=no", "--disable-syslog"]);
        *lock(&server.running) = Some(Running::spawn(command, &server.dir.join("log")));
        server.wait_for(serial_in(text), apex);
        server
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    /// Replaces the zone and returns when its serial is served.
    ///
    /// # Panics
    ///
    /// If that takes more than 20 seconds.
    pub fn replace_zone(&self, apex: &str, text: &str) {
        self.load(apex, text);
        self.wait_for(serial_in(text), apex);
    }

    /// Loads a zone into the database.
    fn load(&self, apex: &str, text: &str) {
        let path = self.dir.join("zone");
        write(&path, text);
        self.control(&[
            "load-zone",
            apex,
            path.to_str().expect("the directory is UTF-8"),
        ]);
    }

    /// Runs pdnsutil.
    fn control(&self, arguments: &[&str]) {
        let mut command = command_of("pdnsutil");
        command
            .arg(format!("--config-dir={}", self.dir.display()))
            .args(arguments);
        let output = command.output().expect("pdnsutil can be started");
        require_success(
            &format!("pdnsutil {}", arguments[0]),
            &output,
            &self.dir.join("log"),
        );
    }

    /// Waits until a serial is served.
    fn wait_for(&self, serial: u32, apex: &str) {
        let look = || {
            let mut command = command_of("dig");
            let options = format!(
                "-r @127.0.0.1 -p {} +tcp +short +time=2 +tries=1",
                self.port
            );
            command
                .args(options.split(' '))
                .args(["-q", apex, "-t", "SOA"]);
            let text = text_of(&command.output().expect("dig can be started"));
            match text.split(' ').nth(2).map(str::to_owned) {
                Some(served) if served == serial.to_string() => Ok(()),
                served => Err(format!("it serves {served:?}")),
            }
        };
        let has_ended = || lock(&self.running).as_mut().is_none_or(Running::has_ended);
        if let Err(why) = poll(WAIT_MAX, &has_ended, look) {
            panic!(
                "PowerDNS did not serve {serial}: {why}\n{}",
                tail_of(&self.dir.join("log"))
            );
        }
    }
}

impl Drop for PowerDns {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.running).take() {
            running.end();
        }
    }
}

// ---- Postfix ----

/// Postfix, with SMTP on 127.0.0.1 alone.
///
/// Whatever is addressed to `registrar.example` or `desk.test` ends in one Maildir; every other
/// recipient is rejected with 554. It looks nothing up and sends nothing. It needs root: without
/// it, its commands go through `sudo -n`.
pub struct Postfix {
    dir: PathBuf,
    port: u16,
    running: Mutex<Option<Master>>,
}

impl Postfix {
    /// Starts Postfix with an empty queue and an empty Maildir, and returns when it greets.
    ///
    /// `dir` is made if it is missing; it has room for one server of each kind.
    ///
    /// # Panics
    ///
    /// If Postfix is not installed, root's rights cannot be had, or it does not greet within 20 seconds.
    pub fn start(dir: &Path) -> Postfix {
        Self::start_as(dir, false)
    }

    /// [`Postfix::start`], with STARTTLS under [`Postfix::certificate`], whose name is `localhost`.
    ///
    /// # Panics
    ///
    /// As [`Postfix::start`].
    pub fn start_with_tls(dir: &Path) -> Postfix {
        Self::start_as(dir, true)
    }

    /// Returns the certificate of a Postfix with STARTTLS; it vouches for itself.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("tls.pem")
    }

    /// Starts Postfix, with STARTTLS or without.
    fn start_as(dir: &Path, with_tls: bool) -> Postfix {
        let dir = new_folder(dir, "postfix");
        for name in ["etc", "queue", "mail"] {
            new_folder(&dir, name);
        }
        // Postfix's own users pass through here; see `postfix_main`.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o711))
            .expect("the folder's mode can be set");
        let mut mail_owner_id = owner_of(&dir);
        if mail_owner_id == 0 {
            mail_owner_id = NOBODY_ID;
            std::os::unix::fs::chown(dir.join("mail"), Some(NOBODY_ID), Some(NOBODY_ID))
                .expect("root can give folders away");
        }
        let postfix = Postfix {
            dir,
            port: free_port(),
            running: Mutex::new(None),
        };
        let main = postfix.dir.join("etc/main.cf");
        let mut text = postfix_main(&postfix.dir, mail_owner_id);
        if with_tls {
            make_certificate_of(&postfix.dir, "localhost");
            let dir = postfix.dir.display();
            text += &format!(
                "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {dir}/tls.pem\nsmtpd_tls_key_file = {dir}/tls.key\nsmtpd_tls_received_header = yes\n"
            );
        }
        write(&main, &text);
        // Postfix waits about 2 seconds before it trusts a configuration file that is newer than that.
        let main = File::options()
            .write(true)
            .open(main)
            .expect("the file was just written");
        main.set_modified(SystemTime::now() - Duration::from_secs(10))
            .expect("a file's time can be set");
        write(
            &postfix.dir.join("etc/master.cf"),
            &postfix_master(postfix.port),
        );
        postfix.restart();
        postfix
    }

    /// Returns the port of SMTP on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the Maildir that all mail ends in. It exists from the first delivery on.
    pub fn maildir(&self) -> PathBuf {
        self.dir.join("mail/all")
    }

    /// Returns the mails delivered so far, oldest first.
    ///
    /// Each starts with `Return-Path:`, `X-Original-To:` and `Delivered-To:` from Postfix. One message
    /// to several recipients is several mails.
    pub fn mails(&self) -> Vec<PathBuf> {
        let folders = ["new", "cur"].map(|name| self.maildir().join(name));
        let entries = folders
            .iter()
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flatten()
            .flatten();
        let mut mails: Vec<_> = entries
            .map(|entry| {
                (
                    entry
                        .metadata()
                        .and_then(|metadata| metadata.modified())
                        .ok(),
                    entry.path(),
                )
            })
            .collect();
        mails.sort();
        mails.into_iter().map(|(_, path)| path).collect()
    }

    /// Waits until at least `count` mails are delivered and returns them all, oldest first.
    ///
    /// # Panics
    ///
    /// If it takes longer than `timeout_s` seconds.
    pub fn wait_for_mails(&self, count: usize, timeout_s: u64) -> Vec<PathBuf> {
        let look = || match self.mails() {
            mails if mails.len() >= count => Ok(mails),
            mails => Err(format!("there were {} after {timeout_s} s", mails.len())),
        };
        poll(Duration::from_secs(timeout_s), &|| false, look).unwrap_or_else(|why| {
            panic!(
                "of {count} mails that should have come, {why}\n{}",
                self.log_tail()
            )
        })
    }

    /// Ends Postfix; its port refuses connections afterwards. Does nothing if it has ended.
    pub fn stop(&self) {
        if let Some(master) = lock(&self.running).take() {
            let _ = self.control("stop").output();
            master.end();
        }
    }

    /// Starts Postfix again on the same port, with its queue and its Maildir as they were; ends it before.
    ///
    /// # Panics
    ///
    /// As [`Postfix::start`].
    pub fn restart(&self) {
        self.stop();
        // Set up before: no need for Postfix to check its queue, which takes most of a start.
        if self.dir.join("queue/pid").exists() {
            write(&self.dir.join("queue/quick-start"), "");
        }
        // Before the start: dropped by a panic below, it stops what has been started.
        let guard = Guard::spawn(self.control("stop"));
        let output = self.control("start").output();
        let output = output
            .unwrap_or_else(|error| panic!("postfix cannot be started as root (sudo -n): {error}"));
        require_success("the start of postfix", &output, &self.log_path());
        let pid_file = self.dir.join("queue/pid/master.pid");
        let pid = text_of(
            &as_root("cat")
                .arg(pid_file)
                .output()
                .expect("cat can be started"),
        );
        let pid = pid.trim().parse().unwrap_or_else(|_| {
            panic!(
                "postfix left no process id but {pid:?}\n{}",
                self.log_tail()
            )
        });
        *lock(&self.running) = Some(Master { pid, guard });
        if let Err(why) = poll(WAIT_MAX, &|| !group_runs(pid), || self.read_greeting()) {
            panic!(
                "postfix on port {} does not greet: {why}\n{}",
                self.port,
                self.log_tail()
            );
        }
    }

    /// Returns the last lines of Postfix's log, under a line that says so.
    pub fn log_tail(&self) -> String {
        tail_of(&self.log_path())
    }

    /// Returns where Postfix logs.
    fn log_path(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Returns the command `postfix VERB` for this instance.
    fn control(&self, verb: &str) -> Command {
        let mut command = as_root(find_program("postfix"));
        command
            .arg("-c")
            .arg(self.dir.join("etc"))
            .arg(verb)
            .stdin(Stdio::null());
        command
    }

    /// Connects and reads the first bytes of the greeting.
    fn read_greeting(&self) -> Result<(), String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .map_err(|error| error.to_string())?;
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .map_err(|error| error.to_string())?;
        let mut greeting = [0; 3];
        stream
            .read_exact(&mut greeting)
            .map_err(|error| error.to_string())?;
        if &greeting == b"220" {
            Ok(())
        } else {
            Err(format!("it says {}", greeting.escape_ascii()))
        }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.stop();
        if owner_of(&self.dir) != 0 {
            // These belong to Postfix's users and would be in the way of whoever removes the directory.
            let _ = as_root("rm")
                .arg("-rf")
                .arg(self.dir.join("queue"))
                .arg(self.dir.join("data"))
                .output();
        }
    }
}

/// Returns Postfix's main.cf. Mail is delivered as the user `mail_owner_id`.
///
/// The paths of state and mail are relative to the queue, which is every daemon's working directory:
/// so a test's directory may be closed to Postfix's users (mode 0700), as temporary directories are.
fn postfix_main(dir: &Path, mail_owner_id: u32) -> String {
    let dir = dir.to_str().expect("the test's directory is UTF-8");
    format!(
        "compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = ../data
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
myhostname = mx.desk.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
local_transport = error:5.1.1 no mail for this host
default_transport = error:5.1.2 no mail leaves this host
relay_transport = error:5.1.2 no mail leaves this host
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
in_flow_delay = 0
notify_classes =
virtual_mailbox_domains = registrar.example, desk.test
virtual_mailbox_base = /proc/self/cwd/../mail
virtual_mailbox_maps = static:all/
virtual_mailbox_limit = 0
virtual_minimum_uid = 1
virtual_uid_maps = static:{mail_owner_id}
virtual_gid_maps = static:{mail_owner_id}
"
    )
}

/// Returns Postfix's master.cf: SMTP in, the queue, and delivery to the Maildir. No way out.
fn postfix_master(port: u16) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd
pickup  unix       n - n 60    1 pickup
cleanup unix       n - n -     0 cleanup
qmgr    unix       n - n 300   1 qmgr
rewrite unix       - - n -     - trivial-rewrite
bounce  unix       - - n -     0 bounce
defer   unix       - - n -     0 bounce
trace   unix       - - n -     0 bounce
flush   unix       n - n 1000? 0 flush
error   unix       - - n -     - error
retry   unix       - - n -     - error
virtual unix       - n n -     - virtual
postlog unix-dgram n - n -     1 postlogd
tlsmgr  unix       - - n 1000? 1 tlsmgr
"
    )
}

/// Postfix's running master process, the leader of the group of all its processes.
struct Master {
    pid: u32,
    guard: Guard,
}

impl Master {
    /// Waits until Postfix, which was told to stop, has ended; kills its processes if they do not.
    fn end(self) {
        let look = || {
            if group_runs(self.pid) {
                Err(String::new())
            } else {
                Ok(())
            }
        };
        if poll(END_WAIT_MAX, &|| false, look).is_err() {
            let _ = as_root("kill")
                .args(["-KILL", "--", &format!("-{}", self.pid)])
                .output();
        }
        self.guard.release();
    }
}

/// Returns the command `program`, run as root.
fn as_root(program: impl AsRef<OsStr>) -> Command {
    if owner_of(Path::new("/proc/self")) == 0 {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("-n").arg(program.as_ref());
    command
}

// ---- Ports, processes, files ----

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
pub(crate) struct Running {
    server: Child,
    guard: Guard,
}

impl Running {
    /// Starts `command` with its output appended to the file `log`.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Running {
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
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.server.try_wait(), Ok(Some(_)))
    }

    /// Asks the daemon to end, waits until its own children have ended too, and kills who has not.
    pub(crate) fn end(mut self) {
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
fn group_runs(id: u32) -> bool {
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
struct Guard(Child);

impl Guard {
    /// Starts the guard: it reads from a pipe that only this process holds open.
    fn spawn(command: Command) -> Guard {
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
    fn release(mut self) {
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
fn signal(name: &str, pid: u32) -> Command {
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
pub(crate) fn poll<T>(
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
pub(crate) fn command_of(name: &str) -> Command {
    let mut command = Command::new(find_program(name));
    command.env("LC_ALL", "C");
    command
}

/// Returns where the program `name` is: in PATH, or where daemons are.
///
/// # Panics
///
/// If it is nowhere.
pub(crate) fn find_program(name: &str) -> PathBuf {
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
pub(crate) fn unconfined(name: &str, dir: &Path) -> PathBuf {
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
pub(crate) fn new_folder(dir: &Path, name: &str) -> PathBuf {
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
pub(crate) fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Returns the id of the user who owns `path`.
fn owner_of(path: &Path) -> u32 {
    fs::metadata(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .uid()
}

/// Returns what a command printed, on both streams, trimmed.
pub(crate) fn text_of(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}

/// Panics with what a command printed and the end of the server's log unless the command succeeded.
pub(crate) fn require_success(what: &str, output: &Output, log: &Path) {
    assert!(
        output.status.success(),
        "{what} failed: {}\n{}",
        text_of(output),
        tail_of(log)
    );
}

/// Returns the last lines of a log, under a line that says so.
pub(crate) fn tail_of(log: &Path) -> String {
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
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
