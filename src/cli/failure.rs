//! How a command ends.

use std::fmt;
use std::io;

use crate::cli::output::plain;
use crate::config::ConfigError;
use crate::daemon::ServiceError;
use crate::pipeline::PipelineError;
use crate::store::StoreError;

/// A command that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Everything was done.
    Well,
    /// Some zone, line or message failed.
    Partly,
    /// What was asked for is there, and should not be.
    Found,
}

/// A command that did not.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    sentence: String,
    hint: Option<String>,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What was asked for is not there, or cannot be had.
    Failed,
    /// The command line or the configuration.
    Usage,
    /// The machine or the database.
    Local,
    /// Whoever read stdout has gone.
    BrokenPipe,
}

impl Failure {
    /// What was asked for cannot be had.
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self {
            kind: Kind::Failed,
            sentence: sentence.into(),
            hint: None,
        }
    }

    /// The command line or the configuration is wrong.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            sentence: sentence.into(),
            hint: None,
        }
    }

    /// The machine or the database is at fault.
    pub fn local(sentence: impl Into<String>) -> Self {
        Self {
            kind: Kind::Local,
            sentence: sentence.into(),
            hint: None,
        }
    }

    /// Adds the cure.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the exit status.
    pub fn exit_status(&self) -> u8 {
        match self.kind {
            Kind::BrokenPipe => 0,
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Local => 4,
        }
    }

    /// Returns whether there is nobody to tell.
    pub fn is_broken_pipe(&self) -> bool {
        self.kind == Kind::BrokenPipe
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", plain(&self.sentence))?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing(_) => Self::failed(error.to_string()),
            StoreError::Access { ref cure, .. } => {
                let cure = cure.clone();
                Self::local(error.to_string()).hint(cure)
            }
            StoreError::LogFull { ref cure, .. } => {
                let cure = format!("{cure}; store.wal_bytes_max says how far the log may grow");
                Self::local(error.to_string()).hint(cure)
            }
            StoreError::ReadTooLong { .. } => Self::local(error.to_string()).hint(
                "run it when less is written, on a copy, or with a larger store.wal_bytes_max",
            ),
            StoreError::WrittenMeanwhile(_) => Self::local(error.to_string()).hint(
                "run the command again; a user who may write the database and its folder waits for no writer",
            ),
            StoreError::NoReverseIndex(_) => Self::usage(error.to_string())
                .hint("set store.reverse_index = true; the next poll makes the index"),
            StoreError::TooManyNames(..) => {
                Self::usage(error.to_string()).hint("name one of the domains below it")
            }
            _ => Self::local(error.to_string()),
        }
    }
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Store(error) => error.into(),
            PipelineError::Local(error) => Self::local(error.to_string()),
            PipelineError::Config(error) => error.into(),
            PipelineError::Mailer(error) => Self::usage(error.to_string()),
            PipelineError::Template(error) => Self::usage(error.to_string()),
            PipelineError::NoMail => Self::usage(error.to_string()),
            PipelineError::Xarf(_) => Self::failed(error.to_string()),
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Pipeline(error) => error.into(),
            ServiceError::Signal(error) => Self::local(error.to_string()),
            // Whoever watches the service starts it anew.
            ServiceError::Died(_) | ServiceError::Thread(..) => Self::failed(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                kind: Kind::BrokenPipe,
                sentence: String::new(),
                hint: None,
            };
        }
        Self::local(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}

impl From<csv::Error> for Failure {
    fn from(error: csv::Error) -> Self {
        match error.into_kind() {
            csv::ErrorKind::Io(error) => error.into(),
            other => Self::failed(format!("{other:?}")),
        }
    }
}
