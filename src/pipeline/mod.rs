//! The flow: fetch, compare, store, judge, notify, deliver.
//!
//! `poll` runs it once, `run` on a schedule in several workers, and `import`, `backtest` and the desk call parts of
//! it. Each step loads what it needs, computes with the pure rooms (`zone`, `detector`, `case`, `report`), and
//! commits once; it can be killed at any instruction and run again to the same end. The steps stand in folders, in the
//! order of the flow, and each folder is reached by a handle of its own:
//!
//! - [`Ingest`], from a source to history. [`Ingest::poll_files`] and [`Ingest::poll_feed`] read what was recorded.
//!   A transfer is split into [`Ingest::prepare_transfer`], [`run_transfer`] and [`Ingest::finish_transfer`], since
//!   only the middle one waits for a primary, and it needs nothing of the store: a slow primary holds nothing up.
//! - [`Judge`], from history to cases. Every version is stored in one transaction and judged in a later one; the
//!   watermark in the zone's row says which versions are judged, so that nothing is lost in between.
//! - [`Notify`], from a case to mail. A case's change and its message in the outbox share one transaction: no case
//!   without its report, no report twice. Delivery is apart from it, since a mail server may be away.
//! - [`Findings`], what is computed from history. The three above ask it; it writes nothing.
//! - [`Upkeep`], beside the flow: metrics, retention, clocks that were set.
//!
//! A handle holds what its folder may use and the handles that follow it, never the one before: `Notify` cannot judge,
//! and `Judge` cannot fetch. [`Pipeline`] owns the store, the configuration and the clock that all of them borrow, and
//! has no steps itself.
//!
//! What a source does wrong is an outcome ([`ZoneOutcome::Refused`]), recorded in the zone's row, and the pass goes on.
//! A [`PipelineError`] is the machine's or the administrator's fault and ends the pass.

mod backoff;
mod context;
mod error;
mod figures;
mod findings;
mod held_by;
mod ingest;
mod judge;
mod notify;
mod outcome;
mod parts;
mod surroundings;
mod troubles;
mod upkeep;

pub use context::{Pipeline, Setup};
pub use error::PipelineError;
pub use figures::{Stage, process_metrics, record_request, record_stage, record_start};
pub use findings::Findings;
pub use findings::canary::{CanaryState, check_canary};
pub use findings::find::DomainFinding;
pub use ingest::Ingest;
pub use ingest::catalog::{
    CatalogJob, CatalogOutcome, SweepJob, SweepOutcome, run_catalog, run_sweep,
};
pub use ingest::feed::FeedImport;
pub use ingest::files::FileImport;
pub use ingest::passive::PassiveImport;
pub use ingest::poll::{Transfers, tell_of_each_other};
pub use ingest::probe::{ProbeAnswers, ProbeJob};
pub use ingest::transfer::{AfterTransfer, TransferJob, TransferOutcome, run_transfer};
pub use judge::Judge;
pub use judge::backtest::Replayed;
pub use judge::docket::{Docket, Matter};
pub use judge::waiting::judging_waits;
pub use notify::Notify;
pub use notify::alerts::is_digest_due;
pub use notify::compose::{Addressee, CaseMail, PREVIEW_TOKEN, ReportParts};
pub use notify::deliver::STOP_GRACE;
pub use notify::ends::ToldEnd;
pub use notify::notices::{Approval, Deciding, Edit};
pub use notify::passage::{Unsent, Withdrawal};
pub use notify::reports::{Ending, notice_basis};
pub use outcome::CatalogSummary;
pub use outcome::DeliverySummary;
pub use outcome::PassiveSummary;
pub use outcome::{PollOptions, StoredSummary, Timings, ZoneOutcome, ZoneReport};
pub use parts::Stamp;
pub use parts::{
    Parts, TableInUse, check_parts, examine_parts, recorded_tables, recorded_warnings,
    table_warnings,
};
pub use surroundings::check_surroundings;
pub use troubles::{Troubles, read_held, write_held};
pub use upkeep::Upkeep;
pub use upkeep::clock::log_step;
pub use upkeep::metrics::metrics_page;
pub use upkeep::retention::{PrunePlan, Pruned, Retention, ZoneCut};
