//! The files and folders that a configuration names and that may come later.
//!
//! A pass finds that they are missing by itself and says so of the source; `config check` says it before.
//! A folder that is not there, or a file of another kind, is an error of `config check`; a file that is not
//! there yet is a warning, as is one that everybody can write, since what it says leads to reports.

use crate::config::FeedSource;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::config::{Config, Fault, Feeding, ProbeDomains, Source};
use crate::file::{self, ServiceUser, Use, folder_of};
use crate::pipeline::ingest::probe::read_targets;
use crate::source::expand_glob;
use crate::store::foreign_file;

/// The bit of a mode that lets everybody write.
const OTHERS_WRITE: u32 = 0o002;
/// The bit of a folder's mode that keeps others from replacing a file that is not theirs.
const STICKY: u32 = 0o1000;

/// The characters that make a pattern of a path.
const PATTERN: [char; 3] = ['*', '?', '['];

/// Returns what is wrong with the files and folders that a configuration names, in no order.
pub fn check_surroundings(config: &Config) -> Vec<Fault> {
    if config.is_torn {
        return Vec::new();
    }
    let mut check = Check {
        config,
        faults: Vec::new(),
    };
    check.store();
    check.writers();
    config
        .sources
        .iter()
        .for_each(|source| check.source(source));
    if let Some(metrics) = &config.metrics
        && let Some(path) = &metrics.textfile
    {
        check.file_to_write("metrics.textfile", path);
    }
    if let Some(path) = &config.events_path {
        check.file_to_write("events.path", path);
    }
    if let Some(mail) = &config.mail {
        if let Some(folder) = mail.url.strip_prefix("maildir://") {
            check.maildir("smtp.url", Path::new(folder));
        }
        if let Some(folder) = &mail.bounces {
            check.bounces(folder);
        }
    }
    if let Some(user) = ServiceUser::of(folder_of(config.store_url.beside())) {
        check.uses_of_service(&user);
    }
    check.faults
}

/// What was found so far.
struct Check<'a> {
    config: &'a Config,
    faults: Vec<Fault>,
}

impl Check<'_> {
    /// Notes something that is wrong.
    fn error(&mut self, key: &str, what: String, cure: &str) {
        self.faults.push(self.config.error(key, &what, cure));
    }

    /// Notes something that may come.
    fn warn(&mut self, key: &str, what: String, cure: &str) {
        self.faults.push(self.config.warning(key, &what, cure));
    }

    /// Looks at the database's file and folder.
    fn store(&mut self) {
        let Some(path) = self.config.store_url.file().map(Path::to_owned) else {
            self.folder_of_cache();
            return;
        };
        if path.as_os_str().is_empty() {
            return;
        }
        let kind = path.metadata().ok().and_then(|meta| file::odd_kind(&meta));
        if let Some(kind) = kind {
            self.error(
                "store.path",
                format!("{} is {kind}", path.display()),
                "name a file",
            );
        } else if names_folder(&path) {
            let what = format!("{} names a folder", path.display());
            self.error("store.path", what, "name a file");
        } else if let Some(what) = foreign_file(&path) {
            let what = format!("{} {what}", path.display());
            self.error(
                "store.path",
                what,
                "name a file of its own: fluxwatch makes it",
            );
        }
        self.store_folder("store.path", &path);
    }

    /// Looks at the folder of a server's cache.
    fn folder_of_cache(&mut self) {
        let cache = self.config.store_url.beside().to_owned();
        self.store_folder("store.cache", &cache);
    }

    /// Looks at the folder that a file of the store lies in.
    fn store_folder(&mut self, key: &str, path: &Path) {
        let folder = folder_of(path);
        if folder.exists() && !folder.is_dir() {
            self.error(
                key,
                format!("{} is no folder", folder.display()),
                "name a file in a folder",
            );
        } else if !folder.exists() {
            self.warn(
                key,
                format!("{} is not there yet", folder.display()),
                "the first poll makes it",
            );
        } else {
            self.folder_to_write(key, folder);
        }
    }

    /// Looks at who may write the configuration and the tables and templates that it names.
    fn writers(&mut self) {
        let config = self.config;
        self.written_by_all("store", &config.path);
        let tables = [
            ("enrich.asn", &config.asn_path),
            ("enrich.hosting_asns", &config.hosting_path),
            ("enrich.shared_ranges", &config.shared_path),
            ("enrich.registrations", &config.registrations_path),
        ];
        for (key, path) in tables {
            if let Some(path) = path {
                self.written_by_all(key, path);
            }
        }
        let templates = config
            .mail
            .as_ref()
            .and_then(|mail| mail.templates.as_ref());
        if let Some(path) = templates {
            self.written_by_all("report.templates", path);
        }
    }

    /// Warns of a file or folder that everybody can write or replace.
    fn written_by_all(&mut self, key: &str, path: &Path) {
        let mode = |path: &Path| path.metadata().ok().map(|meta| meta.permissions().mode());
        let is_open = mode(path).is_some_and(|mode| mode & OTHERS_WRITE != 0);
        let folder = folder_of(path);
        let is_replaceable =
            mode(folder).is_some_and(|mode| mode & (OTHERS_WRITE | STICKY) == OTHERS_WRITE);
        let (what, cure) = match (is_open, is_replaceable) {
            (true, _) => (
                format!("everybody can write {}", path.display()),
                format!("chmod o-w {}", path.display()),
            ),
            (false, true) => (
                format!(
                    "everybody can replace {}: its folder is open",
                    path.display()
                ),
                format!("chmod o-w {}", folder.display()),
            ),
            (false, false) => return,
        };
        self.warn(key, what, &cure);
    }

    /// Warns of a folder that fluxwatch writes into and that this user cannot write.
    fn folder_to_write(&mut self, key: &str, folder: &Path) {
        if is_folder(folder) && !file::is_writable(folder) {
            let what = format!("this user cannot write {}", folder.display());
            let cure = "let the user that runs fluxwatch write it, or check as that user";
            self.warn(key, what, cure);
        }
    }

    /// Looks whether the user that runs the service may use what is named: another user checks, who may use more.
    fn uses_of_service(&mut self, user: &ServiceUser) {
        self.use_of_service(user, "store", &self.config.path, Use::Read);
        for (key, path) in self.config.named_paths() {
            match key.as_str() {
                // Its folder is his.
                "store.path" => {}
                "events.path" | "metrics.textfile" => {
                    self.use_of_service(user, &key, folder_of(&path), Use::Write);
                }
                "report.bounces" => self.use_of_service(user, &key, &path.join("new"), Use::Write),
                // Files that were read are moved into folders below it.
                _ if path.is_dir() && key.starts_with("source[") => {
                    self.use_of_service(user, &key, &path, Use::Write);
                }
                _ if path.is_dir() => self.use_of_service(user, &key, &path, Use::List),
                // One of a thousand files that are alike is enough.
                _ => {
                    let pattern = path.to_string_lossy();
                    let files = match pattern.contains(PATTERN) {
                        true => expand_glob(&pattern).unwrap_or_default(),
                        false => vec![path.clone()],
                    };
                    if let Some(file) = files.last() {
                        self.use_of_service(user, &key, file, Use::Read);
                    }
                }
            }
        }
        let maildir = self.config.mail.as_ref();
        let maildir = maildir.and_then(|mail| mail.url.strip_prefix("maildir://"));
        if let Some(folder) = maildir.map(Path::new) {
            let inner = ["new", "cur", "tmp"].map(|it| folder.join(it));
            match folder.is_dir() {
                true => inner
                    .iter()
                    .for_each(|it| self.use_of_service(user, "smtp.url", it, Use::Write)),
                false => self.use_of_service(user, "smtp.url", folder_of(folder), Use::Write),
            }
        }
    }

    /// Warns of something that the user that runs the service may not use.
    fn use_of_service(&mut self, user: &ServiceUser, key: &str, path: &Path, wanted: Use) {
        let Some(closed) = user.is_kept_out_by(path, wanted) else {
            return;
        };
        let ServiceUser { name, group, .. } = user;
        let is_above = path.canonicalize().is_ok_and(|real| real != closed);
        let (path, closed) = (path.display(), closed.display());
        let (verb, bits) = match wanted {
            Use::Read => ("read", "r"),
            Use::List => ("read", "rx"),
            Use::Write => ("write", "rwx"),
        };
        let what = format!(
            "{path}: the user {name}, who owns the database's folder, cannot {verb} it; the service runs as that user"
        );
        let cure = match is_above {
            true => format!(
                "{name} cannot enter {closed}: name a file in a folder that {name} can enter, such as /etc/fluxwatch"
            ),
            false => format!("chgrp {group} {path} && chmod g+{bits} {path}"),
        };
        self.warn(key, what, &cure);
    }

    /// Looks at what a source reads.
    fn source(&mut self, source: &Source) {
        let key = |key: &str| format!("{}.{key}", source.place);
        match &source.feeding {
            Feeding::Zonefile(files) => self.zone_files(&key("path"), &files.path),
            Feeding::Feed(FeedSource {
                path: Some(path), ..
            }) => match path.is_dir() {
                // Files that were read are moved into folders below it.
                true => self.folder_to_write(&key("path"), path),
                false => self.file_to_come(&key("path"), path),
            },
            Feeding::Probe(probe) => {
                if let ProbeDomains::List(path) = &probe.domains {
                    self.domains(&key("domains"), path);
                }
            }
            Feeding::Transfer(_) | Feeding::Catalog(_) | Feeding::Feed(_) => {}
        }
    }

    /// Looks at zone files or their pattern.
    fn zone_files(&mut self, key: &str, path: &str) {
        if !path.contains(PATTERN) {
            let path = Path::new(path);
            if path.is_dir() {
                let cure = "name a file, or a pattern such as folder/*.zone";
                self.error(key, format!("{} is a folder", path.display()), cure);
            } else {
                self.file_to_come(key, path)
            }
            return;
        }
        let fixed = Path::new(path).ancestors();
        let fixed = fixed.filter(|part| !part.to_string_lossy().contains(PATTERN));
        let folder = fixed.map(Path::to_owned).next().unwrap_or_default();
        match expand_glob(path) {
            Err(fault) => self.error(
                key,
                format!("{path:?}: {fault}"),
                "write * for any text in a name",
            ),
            Ok(_) if !is_folder(&folder) => {
                self.error(
                    key,
                    format!("{} is no folder", folder.display()),
                    "make it, or name another",
                );
            }
            Ok(files) if files.is_empty() => {
                self.warn(key, format!("{path} matches no file yet"), "");
            }
            // One of a thousand files that are alike is enough.
            Ok(files) => {
                if let Some(file) = files.last() {
                    self.written_by_all(key, file);
                }
            }
        }
    }

    /// Looks at a file that others write, and that may not be there yet.
    fn file_to_come(&mut self, key: &str, path: &Path) {
        let folder = if names_folder(path) {
            path
        } else {
            folder_of(path)
        };
        if !is_folder(folder) {
            self.error(
                key,
                format!("{} is no folder", folder.display()),
                "make it, or name another",
            );
        } else if !path.exists() {
            self.warn(key, format!("{} is not there yet", path.display()), "");
        } else if let Err(fault) = file::open(path) {
            // What is no file says what to do itself.
            let cure = match fault.kind() {
                std::io::ErrorKind::InvalidInput => "",
                _ => "let the user that runs fluxwatch read it",
            };
            self.error(key, format!("{}: {fault}", path.display()), cure);
        } else {
            self.written_by_all(key, path);
        }
    }

    /// Looks at a file that fluxwatch writes.
    fn file_to_write(&mut self, key: &str, path: &Path) {
        let folder = folder_of(path);
        if path.is_dir() || names_folder(path) {
            self.error(
                key,
                format!("{} is a folder", path.display()),
                "name a file",
            );
        } else if !is_folder(folder) {
            self.error(
                key,
                format!("{} is no folder", folder.display()),
                "make it, or name another",
            );
        } else {
            self.folder_to_write(key, folder);
        }
    }

    /// Looks at a list of domains.
    fn domains(&mut self, key: &str, path: &Path) {
        match read_targets(path) {
            Err(fault) => self.error(key, fault.to_string(), "write a domain on each line"),
            Ok(targets) if targets.is_empty() => {
                self.error(
                    key,
                    format!(
                        "{} names no domain: the probe would ask nothing",
                        path.display()
                    ),
                    "write a domain on each line",
                );
            }
            Ok(_) => self.written_by_all(key, path),
        }
    }

    /// Looks at the Maildir that mail leaves into; the first delivery makes it.
    fn maildir(&mut self, key: &str, folder: &Path) {
        if folder.exists() && !folder.is_dir() {
            self.error(
                key,
                format!("{} is no folder", folder.display()),
                "name a Maildir",
            );
        } else if !is_folder(folder_of(folder)) {
            let what = format!("{} is not there yet", folder_of(folder).display());
            self.warn(key, what, "the first delivery makes it");
        } else {
            let written = if folder.exists() {
                folder
            } else {
                folder_of(folder)
            };
            self.folder_to_write(key, written);
        }
    }

    /// Looks at the Maildir that bounces arrive in.
    fn bounces(&mut self, folder: &Path) {
        if folder.exists() && !folder.join("new").is_dir() {
            let what = format!("{} is no Maildir: it has no folder new", folder.display());
            self.error(
                "report.bounces",
                what,
                "name the Maildir that the mail server delivers into",
            );
        } else if !folder.exists() {
            let what = format!("{} is not there yet", folder.display());
            self.warn(
                "report.bounces",
                what,
                "the mail server makes it with the first bounce",
            );
        }
    }
}

/// Returns whether a path ends as that of a folder does, whether or not there is one.
fn names_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// Returns whether there is such a folder; the working folder where the path is empty.
fn is_folder(path: &Path) -> bool {
    path.as_os_str().is_empty() || path.is_dir()
}
