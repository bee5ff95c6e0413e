//! History, cases and the outbox, in SQLite.
//!
//! This room owns the database and all SQL. The rest of the program sees values and a narrow set of
//! functions: begin, apply and commit a version; history and window of a name; counts; cases; outbox.
//! History is appended, never rewritten; a zone's serial, state and changes advance in one transaction.

mod cases;
mod catalogs;
mod digests;
mod history;
mod open;
mod outbox;
mod rows;
mod version;
mod window;
mod zones;

pub use cases::{CaseEventRow, CaseRow};
pub use catalogs::{CatalogChange, Listing, MemberRow};
pub use history::{ChangeRow, History, HistoryScope, RecordRow};
pub use open::{PollerLock, Store, StoreError, StoreOptions, StoreTx};
pub use outbox::{MessageRow, MessageState, NewMessage};
pub use version::{Committed, VersionDraft, VersionKind, VersionTx};
pub use window::{EntityKey, Interval, OwnerChanges};
pub use zones::{
    FeedPosition, FileMark, Gap, RejectKind, SourceId, SourceKind, SourceStatus, ZoneId, ZoneState,
    ZoneStatus,
};
