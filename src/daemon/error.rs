//! What ends the service.

use crate::pipeline::PipelineError;
/// Why the service ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The pipeline cannot go on.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// Signals cannot be received.
    #[error("cannot listen for signals: {0}")]
    Signal(#[source] std::io::Error),
    /// Another service polls into the database.
    #[error(
        "another fluxwatch polls into the database now: this one's session with the server was lost, and the other was faster; this one ends, and stands by when it is started again"
    )]
    Superseded,
    /// Something between gives the session with the lock to others.
    #[error(
        "the session that holds the poller's lock is not this process' own: a pooler stands before the server that gives each transaction another session; add pool_mode=transaction to the options of store.url, or set pool_mode = session for this database in PgBouncer"
    )]
    Pooled,
    /// A worker panicked.
    #[error("the worker {0:?} ended by itself; the log has why")]
    Died(&'static str),
    /// A worker cannot be started.
    #[error("cannot start a thread for the worker {0:?}: {1}")]
    Thread(&'static str, #[source] std::io::Error),
}
