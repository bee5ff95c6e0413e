//! The flow: fetch, apply, detect, open cases, queue reports, deliver. Each step loads, computes purely
//! and commits once; each can be killed at any instruction and run again.
//!
//! - [`Ingest::poll_files`] and [`Ingest::poll_feed`] read what was recorded; a transfer is split
//!   into [`Ingest::prepare_transfer`], [`run_transfer`] and [`Ingest::finish_transfer`], so that a
//!   slow primary holds nothing up.
//! - Every version is stored in one transaction, and judged in the next; the detector's watermark in
//!   the zone's row says where to go on.
//! - A case's change and its report in the outbox share one transaction.

mod backoff;
mod context;
mod error;
mod figures;
mod findings;
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
pub use figures::{Stage, note_request, note_stage, note_start, process_metrics};
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
pub use ingest::poll::Transfers;
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
pub use notify::notices::Approval;
pub use notify::reports::notice_basis;
pub use outcome::CatalogSummary;
pub use outcome::DeliverySummary;
pub use outcome::PassiveSummary;
pub use outcome::{PollOptions, StoredSummary, Timings, ZoneOutcome, ZoneReport};
pub use parts::Stamp;
pub use parts::{
    Parts, TableInUse, check_parts, examine_parts, noted_tables, noted_warnings, table_warnings,
};
pub use surroundings::check_surroundings;
pub use troubles::{Troubles, read_held, write_held};
pub use upkeep::Upkeep;
pub use upkeep::clock::log_step;
pub use upkeep::metrics::metrics_page;
pub use upkeep::retention::{PrunePlan, Pruned, Retention, ZoneCut};
