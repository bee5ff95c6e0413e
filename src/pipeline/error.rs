//! What stops the pipeline, which of it can pass while nobody touches the machine, and what is recorded of a source that
//! cannot be read.

use std::path::Path;

use crate::config::ConfigError;
use crate::mailer::MailerError;
use crate::source::SourceError;
use crate::store::StoreError;
use crate::templates::TemplateError;
use crate::zone::Refusal;

/// What stops the pipeline.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The database, or the machine under it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the machine's own, such as the spool.
    #[error("{0}")]
    Local(#[source] std::io::Error),
    /// A mail that cannot be worded.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A mail that cannot be composed or a mailer that cannot be made.
    #[error(transparent)]
    Mailer(#[from] MailerError),
    /// What the configuration names cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Mail was asked for where none is configured.
    #[error("mail needs [report] and [smtp]; add both to the configuration")]
    NoMail,
    /// A report for machines that is not sound.
    #[error("xarf.json: {0}")]
    Xarf(String),
}

impl PipelineError {
    /// Returns whether the same work can be done later, with this program and this configuration.
    ///
    /// As [`StoreError::can_heal`](crate::store::StoreError::can_heal) for the database. A file of the machine's own,
    /// such as the spool of a version, can be written again when there is space. What the configuration names and mails
    /// that cannot be worded stay what they are until somebody puts them right.
    pub fn can_heal(&self) -> bool {
        match self {
            Self::Store(fault) => fault.can_heal(),
            Self::Local(_) => true,
            Self::Template(_)
            | Self::Mailer(_)
            | Self::Config(_)
            | Self::NoMail
            | Self::Xarf(_) => false,
        }
    }

    /// Returns whether one mail cannot be made, and nothing else is wrong.
    pub(in crate::pipeline) fn is_of_one_mail(&self) -> bool {
        matches!(self, Self::Template(_) | Self::Mailer(_) | Self::Xarf(_))
    }
}

/// Returns what is recorded of a source's fault: the other side's, or this machine's while it took the version in.
pub(in crate::pipeline) fn refusal_of(error: SourceError) -> Refusal {
    match error {
        SourceError::Refused(refusal) => refusal,
        SourceError::Local(error) => spool_refusal(&error),
    }
}

/// Returns the refusal of a version that cannot be kept in the temporary folder until it is whole. The other
/// sources go on.
pub(in crate::pipeline) fn spool_refusal(error: &dyn std::fmt::Display) -> Refusal {
    let folder = std::env::temp_dir();
    Refusal::Local(format!(
        "the temporary folder {}: {error}; make room there, or name another folder in $TMPDIR",
        folder.display()
    ))
}

/// Returns the refusal of a path that cannot be opened or listed. Says which folder is away, since it is what
/// was moved or not mounted, rather than every file in it.
pub(in crate::pipeline) fn away(path: &Path, error: &dyn std::fmt::Display) -> Refusal {
    let folders = path.ancestors().skip(1);
    let named = folders.filter(|folder| !folder.as_os_str().is_empty());
    // The highest folder that is not there: what lies in it cannot be there either.
    let missing = named.take_while(|folder| !folder.is_dir()).last();
    let path = path.display();
    Refusal::Unreadable(match missing {
        Some(folder) => format!(
            "{path}: the folder {} is not there; was it moved, or is it not mounted?",
            folder.display()
        ),
        None => format!("{path}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn full_temporary_folder_can_pass() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(PipelineError::Local(full).can_heal());
    }

    #[test]
    fn faults_of_the_database_pass_as_the_database_says() {
        let foreign = StoreError::Foreign {
            path: "other.db".into(),
        };
        assert!(!PipelineError::from(foreign).can_heal());
        let missing = StoreError::Missing("fluxwatch.db".into());
        assert!(PipelineError::from(missing).can_heal());
    }

    #[test]
    fn mail_that_is_not_configured_does_not_come_by_itself() {
        assert!(!PipelineError::NoMail.can_heal());
    }
}
