//! How a command ends.

use std::path::Path;
use std::{fmt, io};

use crate::cli::plain::plain;
use crate::config::ConfigError;
use crate::daemon::ServiceError;
use crate::desk::DeskError;
use crate::dns::NameError;
use crate::file;
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

    /// A file that a command writes cannot be written: the command's fault if the name cannot be that of a new file.
    pub fn file(path: &Path, error: &io::Error) -> Self {
        let sentence = format!("{}: {error}", path.display());
        let failure = match error.kind() {
            io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory => Self::failed(sentence),
            _ => Self::local(sentence),
        };
        failure.hint(file::cure(error))
    }

    /// What stands where a name is wanted is none.
    pub fn not_a_name(text: &str, fault: &NameError) -> Self {
        let failure = Self::usage(format!("{text:?} is not a domain name: {fault}"));
        match fault {
            NameError::Address(_) => failure.hint("`fluxwatch history ADDRESS` shows who used it"),
            _ => failure,
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
            // Whoever reads, such as `head`, has what it wanted.
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
        let failure = match error {
            StoreError::Missing(_) => Self::failed(error.to_string()),
            StoreError::NoReverseIndex(_) | StoreError::TooManyNames(..) => {
                Self::usage(error.to_string())
            }
            _ if error.is_of_configuration() => Self::usage(error.to_string()),
            _ => Self::local(error.to_string()),
        };
        match error.cure() {
            Some(cure) => failure.hint(cure),
            None => failure,
        }
    }
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Store(error) => error.into(),
            PipelineError::Local(error) => Self::local(error.to_string()).hint(file::cure(&error)),
            PipelineError::Config(error) => error.into(),
            PipelineError::Mailer(error) => Self::usage(error.to_string()),
            PipelineError::Template(error) => Self::usage(error.to_string()),
            PipelineError::NoMail => Self::usage(error.to_string()),
            PipelineError::Xarf(_) => Self::failed(error.to_string()),
        }
    }
}

impl From<DeskError> for Failure {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::NotFound { sentence, hint } | DeskError::Refused { sentence, hint } => {
                let failure = Self::failed(sentence);
                match hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
            DeskError::Invalid { field, sentence } => match field {
                Some(field) => Self::usage(format!("--{field}: {sentence}")),
                None => Self::usage(sentence),
            },
            DeskError::Stale(_) => Self::failed(error.to_string()),
            DeskError::Name { text, fault } => Self::not_a_name(&text, &fault),
            DeskError::Store(error) => error.into(),
            DeskError::Pipeline(error) => error.into(),
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Pipeline(error) => error.into(),
            ServiceError::Signal(error) => Self::local(error.to_string()),
            ServiceError::Pooled => Self::usage(error.to_string()),
            // Whoever watches the service starts it anew; it does not after a fault of the machine, which would leave
            // nobody to stand by.
            ServiceError::Superseded | ServiceError::Died(_) | ServiceError::Thread(..) => {
                Self::failed(error.to_string())
            }
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
        match error.raw_os_error() {
            // A file is named by whoever opens it; what is left is what a command prints.
            Some(_) => Self::local(format!("standard output: {error}")).hint(file::cure(&error)),
            None => Self::local(error.to_string()),
        }
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
