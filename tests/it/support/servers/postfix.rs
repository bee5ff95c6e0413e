//! Postfix.

use super::certificate::make_certificate_of;
use super::process::{
    END_WAIT_MAX, Guard, WAIT_MAX, find_program, free_port, group_runs, lock, new_folder, owner_of,
    poll, require_success, tail_of, text_of, write,
};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

/// The user and group that own delivered mail when the test runs as root: "nobody". Postfix's
/// virtual(8) refuses to deliver as root.
pub const NOBODY_ID: u32 = 65_534;

/// Postfix, with SMTP on 127.0.0.1 alone.
///
/// Whatever is addressed to `registrar.example` or `desk.test` ends in one Maildir; every other
/// recipient is rejected with 554. It looks nothing up and sends nothing. It needs root: without
/// it, its commands go through `sudo -n`.
pub struct Postfix {
    pub dir: PathBuf,
    pub port: u16,
    pub running: Mutex<Option<Master>>,
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
    pub fn start_as(dir: &Path, with_tls: bool) -> Postfix {
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
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Returns the command `postfix VERB` for this instance.
    pub fn control(&self, verb: &str) -> Command {
        let mut command = as_root(find_program("postfix"));
        command
            .arg("-c")
            .arg(self.dir.join("etc"))
            .arg(verb)
            .stdin(Stdio::null());
        command
    }

    /// Connects and reads the first bytes of the greeting.
    pub fn read_greeting(&self) -> Result<(), String> {
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
pub fn postfix_main(dir: &Path, mail_owner_id: u32) -> String {
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
pub fn postfix_master(port: u16) -> String {
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
pub struct Master {
    pub pid: u32,
    pub guard: Guard,
}

impl Master {
    /// Waits until Postfix, which was told to stop, has ended; kills its processes if they do not.
    pub fn end(self) {
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
pub fn as_root(program: impl AsRef<OsStr>) -> Command {
    if owner_of(Path::new("/proc/self")) == 0 {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("-n").arg(program.as_ref());
    command
}
