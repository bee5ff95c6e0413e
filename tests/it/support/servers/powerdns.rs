//! PowerDNS.

use super::primary::{TSIG_NAME, TSIG_SECRET, serial_in};
use super::process::{
    Running, WAIT_MAX, command_of, find_program, free_port, lock, new_folder, poll,
    require_success, tail_of, text_of, write,
};
use std::fs::{self};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// PowerDNS with its zones in SQLite, on 127.0.0.1; it transfers to who signs with the key. Asked for an
/// IXFR it sends the whole zone.
pub struct PowerDns {
    pub dir: PathBuf,
    pub port: u16,
    pub running: Mutex<Option<Running>>,
}

/// The schema that Debian's package brings.
pub const PDNS_SCHEMA: &str = "/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql";

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
    pub fn load(&self, apex: &str, text: &str) {
        let path = self.dir.join("zone");
        write(&path, text);
        self.control(&[
            "load-zone",
            apex,
            path.to_str().expect("the directory is UTF-8"),
        ]);
    }

    /// Runs pdnsutil.
    pub fn control(&self, arguments: &[&str]) {
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
    pub fn wait_for(&self, serial: u32, apex: &str) {
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
