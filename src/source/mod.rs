//! Where changes come from: transfers, catalogs, zone files, change feeds, probes, passive DNS.
//!
//! This room turns octets into records and knows nothing of the store. A transfer ([`fetch_zone`], `xfr` for
//! the order of records, `transfer` for sockets and TSIG) or a zone file ([`read_zonefile`]) hands every record of a
//! version to an [`Intake`] and says at the end which serial it was; the intake finds what changed. A feed
//! ([`FeedReader`]) and a probe give only what they saw, line by line or answer by answer.
//!
//! A source decides whether what arrived is complete and well-formed: that a transfer ends with the SOA that it began
//! with, that a file is not cut, that a message is signed. Whether it is plausible (how much may vanish at once) is the
//! `zone` room's business. Whatever is wrong with the other side is a [`Refusal`] with a reason, and the version is
//! refused whole; only a fault of this machine is a [`SourceError::Local`].
//!
//! What is read was written by strangers. Every reader has a limit of octets, records, depth or time (`bounds`,
//! `compression`, and those of [`TransferTarget`]), and is fuzzed (`fuzz`).
//!
//! A new kind of source is a reader here, a type in `config` ([`Feeding`](crate::config::Feeding)), a word in the
//! database (`SourceKind`) and a step in `pipeline/ingest`. "Where to add" in docs/developers/architecture.md has the
//! rest.

mod bounds;
mod catalog;
mod compression;
mod dump;
mod feed;
mod fields;
#[doc(hidden)]
pub mod fuzz;
mod generate;
mod notify;
mod passive;
mod plain;
mod probe;
mod rcode;
mod rrtypes;
mod signature;
mod spool;
mod stream;
mod sweep;
mod tls;
mod transfer;
mod wire;
mod words;
mod xfr;
mod zonefile;
mod zonemd;

pub use bounds::OverLimit;
pub use catalog::{Catalog, CatalogMember};
pub use compression::{open_text, require_plain};
pub use feed::{
    FeedLine, FeedOp, FeedPart, FeedReader, FeedSubject, LINE_OCTETS_MAX, ReadLine, RejectedLine,
    file_identity, find_feed_parts,
};
pub use notify::{NotifyAnswer, NotifyListener, NotifyTable, answer_notify, notify_counts};
pub use passive::SightingLine;
pub use probe::{ProbeSettings, ProbeTarget, Probed, Sightings, probe};
pub use spool::SpoolFile;
pub use sweep::{Swept, sweep_serials};
pub use tls::TransferTls;
pub use transfer::{
    Steps, TransferKey, TransferTarget, fetch_catalog, fetch_steps, fetch_zone, query_soa,
};
pub use wire::SoaNumbers;
pub use xfr::frame::TransferFault;
pub use zonefile::{FileRead, ZonefileRules, expand_glob, read_zonefile};
pub use zonemd::Zonemd;

use crate::dns::{Name, RecordType, Serial};
use crate::zone::{Counts, Intake, IntakeError, Limits, Refusal, Spool};

/// A version that arrived whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// The serial of its SOA; `None` for a zone file that need not have one.
    pub serial: Option<Serial>,
    /// What it holds.
    pub counts: Counts,
    /// What the digest that it carries said.
    pub zonemd: Zonemd,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The other side's fault: recorded, retried at the next poll.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// This machine's fault: stops the program.
    #[error("{0}")]
    Local(#[source] std::io::Error),
}

impl From<IntakeError> for SourceError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Spool(error) => Self::Local(error),
            IntakeError::Rdata(fault) => Self::Refused(Refusal::Malformed(fault.to_string())),
            IntakeError::Name(fault) => Self::Refused(Refusal::Malformed(fault.to_string())),
        }
    }
}

/// Refuses an RRset that has more records than allowed, as far as its records follow each other; of those
/// that do not, whoever stores the version counts them.
fn check_rrset<S: Spool>(
    limits: &Limits,
    intake: &Intake<S>,
    owner: &[u8],
    rtype: RecordType,
) -> Result<(), Refusal> {
    let records = intake.rrset_records(rtype);
    if records <= limits.rrset_records {
        return Ok(());
    }
    let owner = Name::from_wire(owner).map(|name| name.to_string());
    let fault = limits.rrset_fault(&owner.unwrap_or_default(), rtype, records);
    fault.map_or(Ok(()), |what| Err(Refusal::Limit(what)))
}
