//! History, cases and the outbox, in a SQLite file or a PostgreSQL database.
//!
//! This room owns the database and all SQL. The rest of the program sees values and a narrow set of
//! functions: begin, apply and commit a version; history and window of a name; counts; cases; outbox.
//! History is appended, never rewritten; a zone's serial, state and changes advance in one transaction.

mod caches;
mod desk;
mod door;
mod error;
mod frozen;
mod handle;
mod keys;
mod ledger;
mod lookup;
mod migrations;
mod open;
mod poller;
mod postgres;
mod ranges;
mod sets;
mod sqlite;
mod trees;
mod upkeep;
mod value;
mod zones;

pub use caches::Unseen;
pub use desk::Desk;
pub use desk::alerts::{Blindness, SERIAL_WENT_BACK};
pub use desk::cases::{CaseEventRow, CaseRow};
pub use desk::exemptions::ExemptionRow;
pub use desk::log::DeskLine;
pub use desk::notices::{NoticeEdit, NoticeRow, NoticeState};
pub use desk::outbox::{
    DueMessage, Fate, MailKind, MessageRow, MessageState, NewMessage, SendingCaps, Way, shown_url,
};
pub use desk::queue::{
    COUNTED_BEFORE_STEP_MAX, COUNTED_MAX, CaseMailState, QueueFilter, QueueOrder, QueuePage, Whose,
    is_place,
};
pub use desk::sessions::SessionRow;
pub use desk::statistics::{DeskEvent, MailCount, Purged};
pub use desk::tokens::{KeptAnswer, TokenRow};
pub use error::StoreError;
pub use handle::{Store, StoreOptions, StoreTx};
pub use keys::{EntityKey, SourceId, SourceKind, View, ZoneId};
pub use ledger::Ledger;
pub use ledger::chain::Link;
pub use ledger::digests::Newest;
pub use ledger::draft::{Committed, Comparison, ReadFile, VersionDraft, VersionKind};
pub use ledger::moves::{BulkKind, BulkMove};
pub use ledger::passive::Sighting;
pub use ledger::recorders::registrations::Registration;
pub use ledger::version::{SourceChange, VersionTx};
pub use lookup::Lookup;
pub use lookup::answer::{ChangeRow, Coarse, History, RecordRow};
pub use lookup::export::{ExportRange, MoveKind, MoveRow};
pub use lookup::judged::{OwnerChanges, WaitingVersion};
pub use lookup::pages::HistoryPages;
pub use lookup::question::{CoveredName, HistoryScope, Wanted};
pub use lookup::replay::ChangedOwner;
pub use lookup::reverse::{ReverseCursor, Used};
pub use lookup::rrsets::UsedHost;
pub use lookup::sieve::Stir;
pub use lookup::sight::{Sight, SightRange};
pub use lookup::window::{Extent, Interval, NewestIntervals};
pub use poller::PollerLock;
pub use postgres::lock::Poller;
pub use postgres::standing::{Part, ServerStanding, Standby};
pub use sqlite::log::{LogReader, LogStanding};
pub use sqlite::migrate::foreign_file;
pub use sqlite::turn::end_waits;
pub use upkeep::Upkeep;
pub use upkeep::integrity::{DatabaseStats, TableSize, Verification};
pub use upkeep::retention::{PruneCount, PruneStep};
pub use value::Fault;
pub use zones::Zones;
pub use zones::catalogs::{CatalogChange, Listing, MemberRow};
pub use zones::enclosing::EnclosingZone;
pub use zones::feeds::{FeedPosition, FileMark, RejectKind, RejectedRow, SetAside};
pub use zones::sights::GapToJudge;
pub use zones::status::{Fidelity, Gap, SourceStatus, ZoneStatus};
pub use zones::unwatched::{Watched, is_ended};
pub use zones::watched::ZoneState;
