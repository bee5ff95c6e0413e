//! PgBouncer before a PostgreSQL server.

use super::postgres::Postgres;
use super::process::{Running, WAIT_MAX, command_of, free_port, new_folder, poll, tail_of};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// PgBouncer on 127.0.0.1 alone.
pub struct PgBouncer {
    port: u16,
    running: Option<Running>,
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
        }
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.end();
        }
    }
}
