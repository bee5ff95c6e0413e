//! What a zone is to us: which owners changed, exactly how, and whether to believe it.
//!
//! A source hands every record to an [`Intake`], which keeps one keyed digest per owner name and
//! spools only the owners whose digest differs from the last version's. [`diff`] then compares those
//! owners record by record, and [`judge_size`] and [`is_bulk`] decide whether the new version is
//! plausible. The first version of a zone is compared with nothing: the intake sorts it instead. Nothing here reads a socket or a database; the spool is any `Read + Write + Seek`.

mod changeset;
mod delta;
mod digest;
mod first;
mod hosts;
mod intake;
mod limits;
mod reasons;
mod runs;
mod serials;
mod spool;
mod trust;

pub use changeset::{OwnerChange, apply, breaks_cname, diff, transition_signature, widest_grown};
pub use delta::{Step, StepOwner};
pub use digest::{DigestKey, DigestTable, Slot};
pub use first::{FirstOwner, FirstRecord, SortedBatch};
pub use hosts::HostNames;
pub use intake::{Batch, Candidate, Counts, Intake, IntakeError};
pub use limits::Limits;
pub use reasons::{REASONS, Reason};
pub use serials::{Missed, missed_between};
pub use spool::Spool;
pub use trust::{
    BulkMeasure, Refusal, TrustPolicy, ZonemdRule, is_bulk, judge_size, judge_transfer,
};
