//! History, cases and the outbox, in SQLite.
//!
//! This room owns the database and all SQL. The rest of the program sees values and a narrow set of
//! functions: begin, apply and commit a version; history and window of a name; counts; cases; outbox.
//! History is appended, never rewritten; a zone's serial, state and changes advance in one transaction.

mod aliases;
mod bundle;
mod care;
mod cases;
mod catalogs;
mod chain;
mod changes;
mod clock;
mod desk;
mod digests;
mod exemptions;
mod export;
mod faults;
mod history;
mod intervals;
mod lock;
mod log;
mod notices;
mod open;
mod operator;
mod outbox;
mod pages;
mod passive;
mod popularity;
mod probe;
mod reading;
mod replay;
mod retention;
mod reverse;
mod rows;
mod schema;
mod stays;
mod turn;
mod version;
mod window;
mod zones;

pub use care::{DatabaseStats, TableSize, Verification};
pub use cases::{CaseEventRow, CaseRow};
pub use catalogs::{CatalogChange, Listing, MemberRow};
pub use chain::Link;
pub use desk::{DeskEvent, MailCount, Purged};
pub use exemptions::ExemptionRow;
pub use export::{ExportRange, MoveKind, MoveRow};
pub use history::{
    ChangeRow, Coarse, CoveredName, EnclosingZone, History, HistoryScope, RecordRow, Wanted,
};
pub use lock::PollerLock;
pub use log::{LogReader, LogStanding};
pub use notices::{NoticeRow, NoticeState};
pub use open::{Store, StoreError, StoreOptions, StoreTx};
pub use operator::{Blindness, BulkKind, BulkMove};
pub use outbox::{
    DueMessage, Fate, MailKind, MessageRow, MessageState, NewMessage, SendingCaps, Way, shown_url,
};
pub use pages::HistoryPages;
pub use passive::Sighting;
pub use replay::ChangedOwner;
pub use retention::{PruneCount, PruneStep};
pub use reverse::{ReverseCursor, Used};
pub use schema::foreign_file;
pub use turn::end_waits;
pub use version::{Committed, Comparison, VersionDraft, VersionKind, VersionTx};
pub use window::{EntityKey, Extent, Interval, NewestIntervals, OwnerChanges, WaitingVersion};
pub use zones::{
    FeedPosition, Fidelity, FileMark, Gap, RejectKind, RejectedRow, SetAside, SourceId, SourceKind,
    SourceStatus, View, ZoneId, ZoneState, ZoneStatus,
};
