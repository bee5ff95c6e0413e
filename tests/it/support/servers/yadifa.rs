//! YADIFA.

use crate::servers::{
    Running, TSIG_NAME, TSIG_SECRET, WAIT_MAX, command_of, find_program, free_port, lock,
    new_folder, poll, require_success, tail_of, text_of, tsig_option, write,
};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// YADIFA with one zone, on 127.0.0.1; it transfers to and takes updates from who signs with the key.
pub struct Yadifa {
    pub dir: PathBuf,
    pub apex: String,
    pub port: u16,
    pub running: Mutex<Option<Running>>,
}

impl Yadifa {
    /// Starts YADIFA with one zone and returns when it answers for it.
    ///
    /// # Panics
    ///
    /// If YADIFA is not installed or does not answer within 20 seconds.
    pub fn start(dir: &Path, apex: &str, text: &str) -> Self {
        let dir = new_folder(dir, "yadifa");
        for name in ["zones", "keys", "xfr", "log"] {
            new_folder(&dir, name);
        }
        write(&dir.join("zones/zone"), text);
        let port = free_port();
        write(&dir.join("yadifad.conf"), &configuration(&dir, apex, port));
        let server = Self {
            dir,
            apex: apex.to_owned(),
            port,
            running: Mutex::new(None),
        };
        let mut command = Command::new(find_program("yadifad"));
        command.arg("-c").arg(server.dir.join("yadifad.conf"));
        let running = Running::spawn(command, &server.dir.join("output"));
        *lock(&server.running) = Some(running);
        let has_ended = || {
            lock(&server.running)
                .as_mut()
                .is_none_or(Running::has_ended)
        };
        if let Err(why) = poll(WAIT_MAX, &has_ended, || server.ask_serial()) {
            panic!("YADIFA: {why}\n{}", tail_of(&server.dir.join("output")));
        }
        server
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    /// Sends `commands` (lines of nsupdate(1)) as one signed update.
    ///
    /// # Panics
    ///
    /// If the update is refused.
    pub fn update(&self, commands: &str) {
        let mut command = command_of("nsupdate");
        command
            .args(["-y", &tsig_option()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("nsupdate can be started");
        let (port, apex) = (self.port, &self.apex);
        let input = format!("server 127.0.0.1 {port}\nzone {apex}\n{commands}\nsend\n");
        let mut pipe = child.stdin.take().expect("its input is a pipe");
        pipe.write_all(input.as_bytes())
            .expect("nsupdate reads its input");
        drop(pipe);
        let output = child.wait_with_output().expect("nsupdate ends");
        require_success("the update", &output, &self.dir.join("output"));
    }

    /// Asks for the serial; an error says what came instead.
    pub fn ask_serial(&self) -> Result<u32, String> {
        let mut command = command_of("dig");
        let (port, key) = (self.port, tsig_option());
        let options = format!("-r @127.0.0.1 -p {port} -y {key} +tcp +short +time=2 +tries=1");
        command
            .args(options.split(' '))
            .args(["-q", &self.apex, "-t", "SOA"]);
        let text = text_of(&command.output().expect("dig can be started"));
        let serial = text
            .lines()
            .find_map(|line| line.split(' ').nth(2)?.parse().ok());
        serial.ok_or(format!("dig got no serial but {text:?}"))
    }
}

impl Drop for Yadifa {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.running).take() {
            running.end();
        }
    }
}

/// Returns YADIFA's configuration.
pub fn configuration(dir: &Path, apex: &str, port: u16) -> String {
    let (dir, key) = (dir.display(), TSIG_NAME.trim_end_matches('.'));
    let apex = apex.trim_end_matches('.');
    // It runs as who started it only if it is told that user's name.
    let mut command = command_of("id");
    let user = text_of(&command.arg("-un").output().expect("id can be started"));
    format!(
        "<main>
    chroot off
    daemonize off
    uid \"{user}\"
    pidfile \"{dir}/yadifad.pid\"
    logpath \"{dir}/log\"
    datapath \"{dir}/zones\"
    keyspath \"{dir}/keys\"
    xfrpath \"{dir}/xfr\"
    listen 127.0.0.1 port {port}
    allow-query any
    allow-control none
</main>
<key>
    name {key}
    algorithm hmac-sha256
    secret {TSIG_SECRET}
</key>
<channels>
    out STDOUT
</channels>
<loggers>
    server prod out
    database prod out
    zone prod out
    system prod out
</loggers>
<zone>
    domain {apex}
    type primary
    file zone
    allow-update key {key}
    allow-transfer key {key}
</zone>
"
    )
}
