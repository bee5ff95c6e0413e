//! PostgreSQL.

use super::postfix::NOBODY_ID;
use super::process::{Running, free_port, new_folder, poll, require_success, tail_of};
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long to wait until it answers. It syncs its files first, and a disk that others use takes its time.
const START_WAIT_MAX: Duration = Duration::from_secs(90);

/// PostgreSQL on 127.0.0.1 alone, with a cluster of its own. It commits as a server does: to the disk.
pub struct Postgres {
    dir: PathBuf,
    port: u16,
    running: RefCell<Option<Running>>,
}

impl Postgres {
    /// Starts PostgreSQL with an empty cluster. `dir` is made if it is missing.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is not installed or does not answer within 90 seconds.
    pub fn start(dir: &Path) -> Self {
        let server = Self {
            dir: new_folder(dir, "postgres"),
            port: free_port(),
            running: RefCell::default(),
        };
        if is_root() {
            // A temporary folder lets nobody else through.
            fs::set_permissions(dir, fs::Permissions::from_mode(0o711))
                .expect("the mode can be set");
            chown(&server.dir, Some(NOBODY_ID), Some(NOBODY_ID)).expect("the folder can be given");
        }
        let data = server.data();
        let mut make = server.command("initdb");
        make.args([
            "-A",
            "trust",
            "-U",
            "fluxwatch",
            "-E",
            "UTF8",
            "--locale=C",
            "-D",
        ]);
        let made = make.arg(data).output().expect("initdb can be started");
        require_success("initdb", &made, &server.dir.join("log"));
        server.go_on();
        server
    }

    /// Returns the folder of the cluster.
    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Returns a program of PostgreSQL's, run as a user that it accepts: it refuses root.
    fn command(&self, name: &str) -> Command {
        let versions =
            fs::read_dir("/usr/lib/postgresql").expect("tests/install-servers installs PostgreSQL");
        let programs = versions.map(|it| it.expect("readable").path().join("bin").join(name));
        let program = programs
            .filter(|it| it.exists())
            .max()
            .expect("PostgreSQL has its programs");
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command
                .arg(format!("--reuid={NOBODY_ID}"))
                .arg(format!("--regid={NOBODY_ID}"))
                .arg("--clear-groups")
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .current_dir(&self.dir)
            .env("LC_ALL", "C")
            .env_remove("PGOPTIONS");
        command
    }

    /// Starts the server over its cluster, after a stop or a kill.
    pub fn go_on(&self) {
        let log = self.dir.join("log");
        self.spawn(&log);
        let answers = || match self.try_sql("select 1") {
            Ok(_) => Ok(()),
            Err(said) => {
                // Children of a server that was killed may still be about to notice: until then none starts.
                let has_ended = self
                    .running
                    .borrow_mut()
                    .as_mut()
                    .is_some_and(Running::has_ended);
                if has_ended {
                    self.spawn(&log);
                }
                Err(said)
            }
        };
        poll(START_WAIT_MAX, &|| false, answers)
            .unwrap_or_else(|said| panic!("PostgreSQL does not answer: {said}\n{}", tail_of(&log)));
    }

    /// Starts the server's process.
    fn spawn(&self, log: &Path) {
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .arg("-p")
            .arg(self.port.to_string())
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            .args(["-c", "shared_buffers=32MB", "-c", "max_connections=60"]);
        let before = self.running.replace(Some(Running::spawn(command, log)));
        if let Some(before) = before {
            before.end();
        }
    }

    /// Kills the server as a power failure would: every process at once.
    pub fn kill(&self) {
        let running = self.running.take().expect("it runs");
        signal_group("KILL", running.server.id());
        running.end();
    }

    /// Returns the URL of a schema of its own, which is made.
    pub fn url(&self, schema: &str) -> String {
        self.sql(&format!("create schema if not exists {schema}"));
        format!("{}?options=-csearch_path%3D{schema}", self.server())
    }

    /// Returns the URL of the server's database.
    fn server(&self) -> String {
        format!("postgres://fluxwatch@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs a statement. Returns its rows, a line each, with `|` between columns.
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql)
            .unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// [`Postgres::sql`] of a server that may be away.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        let output = Command::new("psql")
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &self.server(),
                "-c",
                sql,
            ])
            .env("PGOPTIONS", "-c client_min_messages=error")
            .output()
            .expect("psql can be started");
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }
}

/// Sends a signal to every process of a group.
fn signal_group(name: &str, id: u32) {
    let status = Command::new("/bin/sh")
        .args([
            "-c",
            "kill -s \"$1\" -- \"-$2\"",
            "kill",
            name,
            &id.to_string(),
        ])
        .status();
    assert!(status.expect("a shell is there").success());
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // TERM would wait for who is connected.
            signal_group("INT", running.server.id());
            running.end();
        }
    }
}

/// Returns whether this process is root's.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}
