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
    /// Reads the URL of a database: `postgres://ROLE@HOST[:PORT][,HOST…]/DATABASE[?OPTION=VALUE&…]`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words that follow the key.
    pub fn parse(text: &str, cache: PathBuf) -> Result<Self, String> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err("is no URL of the form postgres://ROLE@HOST/DATABASE".to_owned());
        }
        let config: Config =
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
        Ok(Self {
            config,
            password_file: None,
            ca_file: None,
            cache,
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
