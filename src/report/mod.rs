//! What mails say, as plain data. Pure.
//!
//! - [`build_report`] says everything about a case: the first report, updates, the end, and what goes
//!   onward. [`evidence_csv`] and [`xarf`] say the same for machines.
//! - [`DigestReport`], [`BulkReport`] and [`BlindnessReport`] are for the administrator and the desk.
//! - [`Statistics`] counts what the desk did.
//!
//! Nothing is worded, escaped or defanged here; that is the templates' business. Every number is one that
//! the detector computed from stored rows.

mod advice;
mod alerts;
mod desk;
mod evidence;
mod plots;
mod statistics;
mod timeline;
mod xarf;

pub use advice::{Advice, Assessment, Others};
pub use alerts::{
    BlindLine, BlindnessReport, BulkLine, BulkReport, CaseLine, DigestReport, ExemptionLine,
    MailLine, MoreLines,
};
pub use desk::{
    ADDRESSES_MAX, AddressLine, BREVITY_MAX, CaseFacts, DeskReport, Ending, Endpoint, EvidenceLine,
    NAMES_MAX, NameLine, PlaneSection, RelatedLine, Reporter, TRANSITIONS_MAX, TermLine,
    Transition, build_report, case_reference, section,
};
pub use evidence::{evidence_csv, safe_cell};
pub use plots::{Cumulated, Lanes, LanesOf, PlotLane, cumulated, lanes, lanes_title};
pub use statistics::{DeskFact, MailFact, Statistics, StatisticsRow};
pub use timeline::{Lane, Run, Timeline};
pub use xarf::{XarfFacts, check_xarf, report_id, xarf};
