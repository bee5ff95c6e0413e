//! Where the database is: a SQLite file, or a PostgreSQL server.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A SQLite file.
    File(PathBuf),
    /// A database of a PostgreSQL server.
    Server(Arc<ServerUrl>),
}

/// A database of a PostgreSQL server, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// Hosts, database, role and options.
    config: Config,
    /// The file that holds the password.
    password_file: Option<PathBuf>,
    /// The certificate authorities that the server's certificate must come from; `None` for Mozilla's.
    ca_file: Option<PathBuf>,
    /// Where this host keeps what it can find out again.
    cache: PathBuf,
    /// The settings of its `options`, where a pooler gives each transaction another session of the server.
    pooled: Option<Vec<(String, String)>>,
}

impl StoreUrl {
    /// Returns the file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }

    /// Returns the path beside which this host keeps its own files about the database: the database's own, or the
    /// cache of a server's.
    pub fn beside(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Server(server) => server.cache(),
        }
    }

    /// Returns whether it is known not to be there: a file that does not exist. Of a server only a connection tells.
    pub fn is_absent(&self) -> bool {
        self.file().is_some_and(|path| !path.exists())
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(server) => server.fmt(f),
        }
    }
}

impl From<&Path> for StoreUrl {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<&PathBuf> for StoreUrl {
    fn from(path: &PathBuf) -> Self {
        Self::File(path.clone())
    }
}

impl From<&Self> for StoreUrl {
    fn from(at: &Self) -> Self {
        at.clone()
    }
}

impl From<PathBuf> for StoreUrl {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl ServerUrl {
    /// Reads the URL of a database: `postgres://ROLE@HOST[:PORT][,HOST…]/DATABASE[?OPTION=VALUE&…]`. With the option
    /// `pool_mode=transaction` a pooler stands before the server that gives each transaction another session.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words that follow the key.
    pub fn parse(text: &str, cache: PathBuf) -> Result<Self, String> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err("is no URL of the form postgres://ROLE@HOST/DATABASE".to_owned());
        }
        let (text, is_pooled) = split_pool_mode(text)?;
        let mut config: Config =
            text.parse().map_err(
                |fault: tokio_postgres::Error| match std::error::Error::source(&fault) {
                    Some(cause) => format!("is no URL of a PostgreSQL database: {cause}"),
                    None => format!("is no URL of a PostgreSQL database: {fault}"),
                },
            )?;
        if config.get_hosts().is_empty() {
            return Err("names no host".to_owned());
        }
        if config.get_dbname().is_none() {
            return Err("names no database".to_owned());
        }
        let pooled = match is_pooled {
            true => {
                let settings = read_options(config.get_options().unwrap_or_default())?;
                // The pooler would refuse them, or drop them.
                let (plain, _) = split_off(&text, "options");
                config = plain.parse().map_err(|_| UNREADABLE.to_owned())?;
                Some(settings)
            }
            false => None,
        };
        Ok(Self {
            config,
            password_file: None,
            ca_file: None,
            cache,
            pooled,
        })
    }

    /// Has the password be read from a file whenever a session is opened.
    #[must_use]
    pub fn with_password_file(mut self, path: PathBuf) -> Self {
        self.password_file = Some(path);
        self
    }

    /// Gives this host another place for what it can find out again.
    #[must_use]
    pub fn with_cache(mut self, cache: PathBuf) -> Self {
        self.cache = cache;
        self
    }

    /// Has the server's certificate come from the authorities in a file.
    #[must_use]
    pub fn with_authorities(mut self, ca_file: PathBuf) -> Self {
        self.ca_file = Some(ca_file);
        self
    }

    /// Returns the file that holds the password.
    pub fn password_file(&self) -> Option<&Path> {
        self.password_file.as_deref()
    }

    /// Returns hosts, database, role and options.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the settings of its `options`, where a pooler gives each transaction another session of the server; `None`
    /// without one.
    pub fn pooled(&self) -> Option<&[(String, String)]> {
        self.pooled.as_deref()
    }

    /// Returns the file of the authorities that the server's certificate must come from; `None` for Mozilla's.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Returns where this host keeps what it can find out again.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Returns whether its password stands in the URL.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// Returns whether every host of it is this machine: an address of the loopback, `localhost`, or a socket.
    pub fn is_local(&self) -> bool {
        self.config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
            }
            Host::Unix(_) => true,
        })
    }
}

/// What is said of a URL that cannot be read.
const UNREADABLE: &str = "is no URL of a PostgreSQL database";

/// Takes `pool_mode` out of a URL's options. Returns the rest, and whether it is `transaction`.
fn split_pool_mode(text: &str) -> Result<(String, bool), String> {
    let (text, mode) = split_off(text, "pool_mode");
    match mode.as_deref() {
        None | Some("session") => Ok((text, false)),
        Some("transaction") => Ok((text, true)),
        Some(mode) => Err(format!(
            "has pool_mode={mode}: a pooler's mode is session or transaction"
        )),
    }
}

/// Takes an option out of a URL. Returns the rest, and the option's value as it is written.
fn split_off(text: &str, name: &str) -> (String, Option<String>) {
    let Some((base, options)) = text.split_once('?') else {
        return (text.to_owned(), None);
    };
    let (mut rest, mut found) = (Vec::new(), None);
    for option in options.split('&') {
        match option.split_once('=') {
            Some((key, value)) if key == name => found = Some(value.to_owned()),
            _ => rest.push(option),
        }
    }
    let rest = match rest.is_empty() {
        true => base.to_owned(),
        false => format!("{base}?{}", rest.join("&")),
    };
    (rest, found)
}

/// Reads the settings of a URL's `options`: `-c NAME=VALUE` or `--NAME=VALUE`, with `\` before a space of a value.
fn read_options(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut words = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => words
                .last_mut()
                .unwrap_or(&mut String::new())
                .extend(letters.next()),
            ' ' => words.push(String::new()),
            letter => words.last_mut().unwrap_or(&mut String::new()).push(letter),
        }
    }
    let mut words = words.into_iter().filter(|it| !it.is_empty());
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (
            word.as_str(),
            word.strip_prefix("--"),
            word.strip_prefix("-c"),
        ) {
            ("-c", ..) => words.next(),
            (_, Some(setting), _) => Some(setting.to_owned()),
            (_, _, setting) => setting.map(str::to_owned),
        };
        let setting = setting.as_deref().and_then(|it| it.split_once('='));
        let (name, value) = setting.ok_or_else(|| {
            format!("has options={text}: through a pooler only -c NAME=VALUE goes")
        })?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

/// Without role, password and options.
impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate();
        let hosts: Vec<String> = hosts
            .map(|(place, host)| {
                let port = ports.get(place).or(ports.first()).filter(|it| **it != 5432);
                let host = match host {
                    Host::Tcp(name) => name.clone(),
                    Host::Unix(path) => path.display().to_string(),
                };
                port.map_or(host.clone(), |port| format!("{host}:{port}"))
            })
            .collect();
        let database = self.config.get_dbname().unwrap_or_default();
        write!(f, "postgres://{}/{database}", hosts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &str) -> Result<ServerUrl, String> {
        let url = format!("postgres://a@127.0.0.1/b{options}");
        ServerUrl::parse(&url, PathBuf::from("cache"))
    }

    #[test]
    fn options_of_a_url_by_a_pooler_of_transactions_are_kept_from_it() {
        let server = parse("?options=-csearch_path%3Done&pool_mode=transaction&connect_timeout=3");
        let server = server.expect("sound");
        let setting = ("search_path".to_owned(), "one".to_owned());
        assert_eq!(server.pooled(), Some(&[setting][..]));
        assert_eq!(server.config().get_options(), None);
        assert_eq!(
            server.config().get_connect_timeout().map(|it| it.as_secs()),
            Some(3)
        );
        let none = parse("?pool_mode=transaction").expect("sound");
        assert_eq!(none.pooled(), Some(&[][..]));
    }

    #[test]
    fn options_of_another_url_stay_where_they_are() {
        for mode in ["", "&pool_mode=session"] {
            let server = parse(&format!("?options=-csearch_path%3Done{mode}")).expect("sound");
            assert_eq!(server.pooled(), None);
            assert_eq!(server.config().get_options(), Some("-csearch_path=one"));
        }
        let said = parse("?pool_mode=statement").expect_err("no mode of ours");
        assert!(said.contains("session or transaction"), "{said}");
    }

    #[test]
    fn settings_are_read_as_a_server_reads_them() {
        let read = |text| read_options(text).map(|all| all.into_iter().map(|(a, b)| a + "=" + &b));
        let read = |text| read(text).map(|all| all.collect::<Vec<_>>().join(";"));
        let text = r"-c search_path=one,\ public  --lock-timeout=5s -cjit=on";
        assert_eq!(
            read(text).as_deref(),
            Ok("search_path=one, public;lock_timeout=5s;jit=on")
        );
        assert_eq!(read("").as_deref(), Ok(""));
        assert!(read("-d 5").is_err());
        assert!(read("-c").is_err());
    }
}
