//! What the primaries have in common: the key, the zones, a server that starts, reloads and ends.

use super::bind::bind_configuration;
use super::certificate::make_certificate;
use super::knot::knot_configuration;
use super::nsd::nsd_configuration;
use super::process::{
    Running, WAIT_MAX, command_of, free_port, lock, new_folder, poll, require_success, signal,
    tail_of, text_of, tsig_option, unconfined, write,
};
use std::fs::{self};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

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

/// What the three primaries have in common; a test for all of them takes a `&Primary`.
///
/// It answers any query on 127.0.0.1 and, where the host has it, ::1, over UDP and TCP; it
/// transfers a zone to who signs with the key, and those below [`REFUSED_PREFIX`] to nobody.
pub struct Primary {
    pub software: Software,
    pub dir: PathBuf,
    pub port: u16,
    pub zones: Vec<Zone>,
    pub running: Mutex<Option<Running>>,
}

impl Primary {
    /// Writes configuration and zones into a new folder of `dir`, starts the server and waits for it.
    pub fn start(
        software: Software,
        dir: &Path,
        zones: &[(&str, &str)],
        extras: &Extras,
    ) -> Primary {
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
    pub fn reload(&self, apex: &str) {
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
    pub fn ask_serial(&self, apex: &str) -> Result<u32, String> {
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
    pub fn wait_until(&self, goal: &str, look: impl Fn() -> Result<(), String>) {
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
    pub fn configuration_path(&self) -> PathBuf {
        self.dir.join("server.conf")
    }

    /// Returns where the server's output goes.
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("log")
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A zone and where its zone file is.
pub struct Zone {
    pub apex: String,
    pub path: PathBuf,
}

impl Zone {
    /// Returns the `i`-th zone of the server in `dir`. Its file's name is harmless whatever the apex is.
    pub fn new(dir: &Path, i: usize, apex: &str) -> Zone {
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
    pub fn refuses_transfer(&self) -> bool {
        self.apex.starts_with(REFUSED_PREFIX)
    }
}

/// Which primary it is.
#[derive(Clone, Copy)]
pub enum Software {
    Knot,
    Nsd,
    Bind,
}

impl Software {
    /// Returns the daemon's name.
    pub fn program(self) -> &'static str {
        match self {
            Software::Knot => "knotd",
            Software::Nsd => "nsd",
            Software::Bind => "named",
        }
    }

    /// Returns the arguments that keep the daemon in the foreground; its configuration's path follows.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Software::Knot => &["-c"],
            Software::Nsd => &["-d", "-c"],
            Software::Bind => &["-g", "-n", "2", "-c"],
        }
    }

    /// Returns the whole configuration of the daemon.
    pub fn configuration(self, dir: &Path, port: u16, zones: &[Zone], extras: &Extras) -> String {
        let dir = dir.to_str().expect("the test's directory is UTF-8");
        match self {
            Software::Knot => knot_configuration(dir, port, zones, extras),
            Software::Nsd => nsd_configuration(dir, port, zones, extras),
            Software::Bind => bind_configuration(dir, port, zones, extras),
        }
    }

    /// Removes what the stopped daemon remembers of earlier versions of its zones.
    pub fn forget_history(self, dir: &Path) {
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

/// Returns the serial in the SOA record of a zone file.
///
/// # Panics
///
/// If there is none that a reader this simple finds.
pub fn serial_in(text: &str) -> u32 {
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
