//! Who may enter: users of the file, and people whom a proxy vouches for.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;

use crate::config::{ProxyConfig, WebConfig};
use crate::file;
use crate::people::{Role, USERS_FILE_OCTETS_MAX, User, Users, check_name};
use crate::web::secret::{draw_secret, form_token, hash_of};

/// How many passwords that were right are remembered: programs send theirs with every request.
const KNOWN_MAX: usize = 256;

/// How often the log tells at most that the file cannot be used.
// Every request reads it then.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Somebody who has entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name that the log keeps.
    pub name: String,
    /// What he may do.
    pub role: Role,
    /// Where a test mail to himself goes.
    pub mail: Option<String>,
    /// What his forms carry.
    pub form_token: String,
    /// Whether a proxy vouches for him: there is no session to end here.
    pub by_proxy: bool,
}

/// How the file of users stood when it was read.
type Stamp = (u64, i64, i64, u64);

/// The users of the file, as far as it could be read.
#[derive(Default)]
struct Held {
    /// How the file stood when `users` were read from it; `None` until it was read.
    stamp: Option<Stamp>,
    users: Arc<Users>,
    /// When the log told last that the file cannot be used.
    logged_at: Option<Instant>,
}

/// Who may enter.
pub(in crate::web) struct People {
    path: Option<PathBuf>,
    proxy: Option<ProxyConfig>,
    /// Of this process: what forms of those carry whom a proxy vouches for.
    own_secret: String,
    users: Mutex<Held>,
    /// Hashes of names and passwords that were right, each with the mark of the user then.
    known: Mutex<HashMap<[u8; 32], [u8; 32]>>,
}

impl People {
    /// Returns those that a configuration lets in.
    ///
    /// # Errors
    ///
    /// If the system gives no random octets.
    pub fn of(web: &WebConfig) -> Result<Self, std::io::Error> {
        Ok(Self {
            path: web.users_path.clone(),
            proxy: web.proxy.clone(),
            own_secret: draw_secret()?,
            // No stamp: the file may have changed since the configuration was read, so the first use reads it.
            users: Mutex::new(Held {
                users: Arc::new(web.users.clone()),
                ..Held::default()
            }),
            known: Mutex::default(),
        })
    }

    /// Returns the users, as the file has them now. A file that cannot be used leaves those who were there, and the
    /// next use reads it again.
    pub fn users(&self) -> Arc<Users> {
        let mut held = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &self.path else {
            return held.users.clone();
        };
        // Before the file is read: what is written meanwhile has another stamp.
        let stamp = stamp_of(path);
        if stamp.is_none() || stamp != held.stamp {
            match read_users(path) {
                Ok(users) => {
                    held.users = Arc::new(users);
                    held.stamp = stamp;
                }
                Err(fault) => held.log(path, &fault),
            }
        }
        held.users.clone()
    }

    /// Returns the user of a name and a password. Computes a hash: not for an asynchronous task.
    pub fn verify(&self, name: &str, password: &str) -> Option<User> {
        self.users().verify(name, password).cloned()
    }

    /// [`People::verify`] for programs, which send their passwords with every request: one that was right is known
    /// as long as the user's line stands. The key is a secret of this process, so that nothing is told by what is kept.
    pub fn verify_again(&self, name: &str, password: &str) -> Option<User> {
        let key = hash_of(&[&self.own_secret, name, password]);
        let users = self.users();
        let known = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&key).copied()
        };
        if let Some(user) = users.find(name)
            && known == Some(mark_of(user))
        {
            return Some(user.clone());
        }
        let user = users.verify(name, password)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(key, mark_of(user));
        Some(user.clone())
    }

    /// Returns whom a proxy vouches for: its headers count only if it connects from where it is known to.
    pub fn vouched_for(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Person> {
        let proxy = self.proxy.as_ref()?;
        if !proxy.from.contains(&peer) {
            return None;
        }
        let only = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?.to_str().ok()?.trim();
            // Two of them: one may be the client's own.
            values.next().is_none().then(|| value.to_owned())
        };
        let name = only(&proxy.name_header)?;
        let groups = only(&proxy.groups_header)?;
        let groups: Vec<&str> = groups.split(',').map(str::trim).collect();
        let is_in = |named: &[String]| named.iter().any(|group| groups.contains(&group.as_str()));
        let role = if is_in(&proxy.approvers) {
            Role::Approver
        } else if is_in(&proxy.reviewers) {
            Role::Reviewer
        } else if is_in(&proxy.viewers) {
            Role::Viewer
        } else {
            return None;
        };
        if check_name(&name).is_some() {
            return None;
        }
        let mail = name.contains('@').then(|| name.clone());
        Some(Person {
            form_token: form_token(&format!("{}{name}", self.own_secret)),
            by_proxy: true,
            mail,
            role,
            name,
        })
    }
}

impl Held {
    /// Logs that the file cannot be used, unless that was logged a short while ago.
    fn log(&mut self, path: &Path, fault: &str) {
        if self.logged_at.is_some_and(|at| at.elapsed() < LOG_EVERY) {
            return;
        }
        self.logged_at = Some(Instant::now());
        tracing::error!(path = %path.display(), "the file of users is not used as it is now: {fault}");
    }
}

/// Returns what tells a user's line from another of his: another password or role ends what was begun with this one.
pub(in crate::web) fn mark_of(user: &User) -> [u8; 32] {
    hash_of(&[&user.name, user.role.word(), &user.hash])
}

/// Returns how a file stands; `None` if it is not there.
fn stamp_of(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.size()))
}

/// Reads the file of users.
fn read_users(path: &Path) -> Result<Users, String> {
    let text = file::read_text(path, USERS_FILE_OCTETS_MAX).map_err(|error| error.to_string())?;
    Users::parse(&text).map_err(|fault| format!("line {} {}", fault.line, fault.what))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration with a proxy at one address.
    fn behind_proxy() -> People {
        let group = |name: &str| vec![name.to_owned()];
        People {
            path: None,
            proxy: Some(ProxyConfig {
                name_header: "x-remote-user".to_owned(),
                groups_header: "x-remote-groups".to_owned(),
                from: vec![IpAddr::from([127, 0, 0, 1])],
                viewers: group("staff"),
                reviewers: group("abuse"),
                approvers: group("leads"),
            }),
            own_secret: "secret".to_owned(),
            users: Mutex::default(),
            known: Mutex::default(),
        }
    }

    #[test]
    fn file_of_users_that_could_not_be_read_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users");
        let people = People {
            path: Some(path.clone()),
            ..behind_proxy()
        };
        let hash = crate::people::hash_password("a password", [0; 16]);
        let whole = format!("vera:viewer::{hash}\n");
        let broken = whole.replacen(':', ";", 1);
        // What is written looks the same from outside: same file, time and size.
        let write = |text: &str| {
            fs::write(&path, text).expect("written");
            let file = fs::File::options().write(true).open(&path).expect("open");
            file.set_modified(std::time::UNIX_EPOCH).expect("set");
        };
        let has_vera = || people.users().find("vera").is_some();
        assert!(!has_vera(), "there is no file");
        write(&broken);
        assert!(!has_vera());
        write(&whole);
        assert!(has_vera());
        // A user who was removed stays only until the file can be read.
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        assert!(has_vera());
        fs::remove_dir(&path).expect("removed");
        fs::write(&path, "# nobody\n").expect("written");
        assert!(!has_vera());
    }

    /// Headers as a proxy writes them.
    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn headers_of_a_proxy_count_only_from_its_address_and_once() {
        let people = behind_proxy();
        let proxy = IpAddr::from([127, 0, 0, 1]);
        let of = |peer, lines: &[(&'static str, &'static str)]| {
            people.vouched_for(peer, &headers(lines)).map(|it| it.role)
        };
        let anna = ("x-remote-user", "anna");
        assert_eq!(
            of(proxy, &[anna, ("x-remote-groups", "staff, abuse")]),
            Some(Role::Reviewer)
        );
        assert_eq!(
            of(proxy, &[anna, ("x-remote-groups", "leads")]),
            Some(Role::Approver)
        );
        assert_eq!(of(proxy, &[anna, ("x-remote-groups", "guests")]), None);
        assert_eq!(of(proxy, &[anna]), None);
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(of(elsewhere, &[anna, ("x-remote-groups", "leads")]), None);
        let twice = [anna, ("x-remote-user", "eve"), ("x-remote-groups", "leads")];
        assert_eq!(of(proxy, &twice), None);
        let own = [("x-remote-user", "fluxwatch"), ("x-remote-groups", "leads")];
        assert_eq!(of(proxy, &own), None);
    }
}
