//! PgBouncer before a PostgreSQL server.

use super::postgres::Postgres;
use super::process::{Running, WAIT_MAX, command_of, free_port, new_folder, poll, signal, tail_of};
use std::cell::Cell;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// PgBouncer on 127.0.0.1 alone.
pub struct PgBouncer {
    port: u16,
    running: Option<Running>,
    file: PathBuf,
    /// The port of its server.
    to: Cell<u16>,
}

impl PgBouncer {
    /// Starts it before a server, with a pool mode and further lines of its configuration.
    ///
    /// # Panics
    ///
    /// If it is not installed or does not listen within 20 seconds.
    pub fn start(dir: &Path, server: &Postgres, mode: &str, lines: &str) -> Self {
        let (folder, port) = (new_folder(dir, &format!("pgbouncer-{mode}")), free_port());
        let users = folder.join("users");
        fs::write(&users, "\"fluxwatch\" \"\"\n").expect("the folder can be written");
        let settings = format!(
            "[databases]\npostgres = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\nmax_client_conn = 200\ndefault_pool_size = 40\n{lines}\n",
            server.port(),
            users.display()
        );
        let file = folder.join("pgbouncer.ini");
        fs::write(&file, settings).expect("the folder can be written");
        for path in [&users, &file] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644))
                .expect("the mode can be set");
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))
            .expect("the mode can be set");
        let mut command = command_of("pgbouncer");
        if fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0) {
            // It refuses to run as root.
            command.args(["-u", "nobody"]);
        }
        command.arg(&file).current_dir(&folder);
        let log = dir.join(format!("pgbouncer-{mode}.log"));
        let running = Running::spawn(command, &log);
        let listens = || TcpStream::connect(("127.0.0.1", port)).map_err(|fault| fault.to_string());
        poll(WAIT_MAX, &|| false, listens)
            .unwrap_or_else(|said| panic!("PgBouncer does not answer: {said}\n{}", tail_of(&log)));
        Self {
            port,
            running: Some(running),
            file,
            to: Cell::new(server.port()),
        }
    }

    /// Sends its clients to another port, as whoever looks after a cluster does it: they stay connected.
    ///
    /// # Panics
    ///
    /// If its file cannot be written.
    pub fn send_to(&self, port: u16) {
        let settings = fs::read_to_string(&self.file).expect("the file can be read");
        let before = format!("host=127.0.0.1 port={}\n", self.to.replace(port));
        let after = format!("host=127.0.0.1 port={port}\n");
        fs::write(&self.file, settings.replace(&before, &after)).expect("it can be written");
        let id = self.running.as_ref().expect("it runs").server.id();
        let sent = signal("HUP", id).status().expect("kill is there");
        assert!(sent.success());
    }

    /// Returns the URL of a schema by it, whose transactions may each have another session.
    pub fn url(&self, schema: &str) -> String {
        url_by(self.port, schema)
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// [`PgBouncer::url`] by another port, at which something passes on to it.
pub fn url_by(port: u16, schema: &str) -> String {
    format!(
        "postgres://fluxwatch@127.0.0.1:{port}/postgres?pool_mode=transaction&options=-csearch_path%3D{schema}"
    )
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.end();
        }
    }
}
