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
    /// Settings beside those of every server here.
    settings: RefCell<Vec<String>>,
    running: RefCell<Option<Running>>,
}

impl Postgres {
    /// Starts PostgreSQL with an empty cluster. `dir` is made if it is missing.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is not installed or does not answer within 90 seconds.
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    /// [`Postgres::start`] with settings.
    pub fn start_with(dir: &Path, settings: &[&str]) -> Self {
        let server = Self::in_folder(dir, "postgres", settings);
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

    /// Makes the folder of a server.
    fn in_folder(dir: &Path, name: &str, settings: &[&str]) -> Self {
        let server = Self {
            dir: new_folder(dir, name),
            port: free_port(),
            settings: RefCell::new(settings.iter().map(|it| (*it).to_owned()).collect()),
            running: RefCell::default(),
        };
        if is_root() {
            // A temporary folder lets nobody else through.
            fs::set_permissions(dir, fs::Permissions::from_mode(0o711))
                .expect("the mode can be set");
            chown(&server.dir, Some(NOBODY_ID), Some(NOBODY_ID)).expect("the folder can be given");
        }
        server
    }

    /// Starts a standby of this server in a folder of its own, which follows it under a name.
    pub fn standby(&self, dir: &Path, name: &str) -> Self {
        self.standby_by(dir, name, self.port)
    }

    /// [`Postgres::standby`] that reaches this server by another port.
    pub fn standby_by(&self, dir: &Path, name: &str, port: u16) -> Self {
        let standby = Self::in_folder(dir, name, &[]);
        let mut copy = standby.command("pg_basebackup");
        let from = format!("host=127.0.0.1 port={port} user=fluxwatch application_name={name}");
        copy.args(["-R", "-X", "stream", "-c", "fast", "-d", &from, "-D"]);
        let copied = copy
            .arg(standby.data())
            .output()
            .expect("pg_basebackup can be started");
        require_success("pg_basebackup", &copied, &standby.dir.join("log"));
        standby.go_on();
        standby
    }

    /// Makes a standby take writes. Returns when it does.
    pub fn promote(&self) {
        self.sql("select pg_promote(true, 60)");
    }

    /// Changes a setting that takes effect at once.
    pub fn set(&self, name: &str, value: &str) {
        self.sql(&format!("alter system set {name} = '{value}'"));
        self.sql("select pg_reload_conf()");
    }

    /// Gives the server a file in its folder, as its own.
    pub fn give(&self, name: &str, octets: &[u8]) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, octets).expect("the file can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the mode can be set");
        if is_root() {
            chown(&path, Some(NOBODY_ID), Some(NOBODY_ID)).expect("the file can be given");
        }
        path
    }

    /// Gives the server a folder, as its own.
    pub fn own(&self, folder: &Path) {
        if is_root() {
            chown(folder, Some(NOBODY_ID), Some(NOBODY_ID)).expect("the folder can be given");
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .expect("the mode can be set");
    }

    /// Runs a statement that may fail.
    pub fn sql_as_it_may(&self, sql: &str) {
        let _ = self.try_sql(sql);
    }

    /// Replaces who may log in, and how.
    pub fn let_in(&self, lines: &str) {
        fs::write(self.data().join("pg_hba.conf"), lines).expect("it can be written");
        self.sql("select pg_reload_conf()");
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the folder of the server.
    pub fn folder(&self) -> &Path {
        &self.dir
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
        for setting in self.settings.borrow().iter() {
            command.args(["-c", setting]);
        }
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
        self.url_at(self.port, schema)
    }

    /// Returns the URL of a schema by another port, at which something passes on to the server.
    pub fn url_at(&self, port: u16, schema: &str) -> String {
        let server = self
            .server()
            .replace(&self.port.to_string(), &port.to_string());
        format!("{server}?options=-csearch_path%3D{schema}")
    }

    /// Returns the URL of a schema of a cluster: of this server and another, whichever takes writes.
    pub fn url_of_both(&self, other: &Self, schema: &str) -> String {
        format!(
            "postgres://fluxwatch@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write&connect_timeout=3&options=-csearch_path%3D{schema}",
            self.port, other.port
        )
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
        self.try_sql_as("fluxwatch", "postgres", sql)
    }

    /// [`Postgres::sql`] in another database.
    pub fn sql_in(&self, database: &str, sql: &str) -> String {
        self.try_sql_as("fluxwatch", database, sql)
            .unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// [`Postgres::try_sql`] as a role, in a database.
    pub fn try_sql_as(&self, role: &str, database: &str, sql: &str) -> Result<String, String> {
        let url = format!("postgres://{role}@127.0.0.1:{}/{database}", self.port);
        let output = Command::new("psql")
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &url,
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
