//! Which faults of the pipeline can pass while nobody touches the machine.

use crate::pipeline::PipelineError;

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
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::store::StoreError;

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
