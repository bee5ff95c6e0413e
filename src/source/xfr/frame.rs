//! What is checked of every record of a transfer, and the faults that end one.

use crate::dns::{Name, RecordType, Serial};
use crate::source::SourceError;
use crate::source::wire::{AnswerWalker, SoaNumbers, WireError, WireRecord};
use crate::zone::{Limits, Refusal};

/// What was asked of the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The whole zone.
    Whole,
    /// What changed since this serial.
    Since(Serial),
}

/// Why a transfer cannot be interpreted on.
#[derive(Debug, thiserror::Error)]
pub enum TransferFault {
    /// It breaks off here.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The incremental transfer is not one that fits; the whole zone is to be asked for.
    #[error("{0}")]
    WantsWhole(String),
    /// The primary knows no incremental transfers: the whole zone is to be asked for, also the next time.
    #[error("{0}")]
    Stepless(String),
}

impl From<Refusal> for TransferFault {
    fn from(refusal: Refusal) -> Self {
        Self::Source(refusal.into())
    }
}

impl From<WireError> for TransferFault {
    fn from(fault: WireError) -> Self {
        Refusal::Malformed(fault.to_string()).into()
    }
}

/// Reads the answer to one question.
pub trait TransferReader {
    /// What a complete answer is.
    type End;

    /// Returns the question.
    fn asked(&self) -> Asked;

    /// Returns how many records have been read.
    fn records(&self) -> u64;

    /// Returns how the transfer ended; `None` while more is to come.
    fn end(&self) -> Option<Self::End>;

    /// Reads one record. `is_single` if its message holds no other.
    fn read_record(
        &mut self,
        record: &WireRecord<'_>,
        is_single: bool,
    ) -> Result<(), TransferFault>;

    /// Reads the answer section of one message.
    ///
    /// An empty one is allowed anywhere (RFC 9103 §10: it may be padding).
    fn read_message(&mut self, message: &[u8]) -> Result<(), TransferFault> {
        let mut walker = AnswerWalker::new(message)?;
        let is_single = walker.left() == 1;
        while let Some(record) = walker.next_record()? {
            self.read_record(&record, is_single)?;
        }
        Ok(())
    }
}

/// What holds for every record of a transfer, whatever was asked for.
pub(super) struct Frame<'a> {
    apex: &'a Name,
    limits: &'a Limits,
    records: u64,
}

impl<'a> Frame<'a> {
    /// Starts a transfer of the zone at `apex`.
    pub fn new(apex: &'a Name, limits: &'a Limits) -> Self {
        Self {
            apex,
            limits,
            records: 0,
        }
    }

    /// Returns how many records have been read.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Counts a record and checks that it may stand in the zone. Returns the numbers of a SOA.
    pub fn read(&mut self, record: &WireRecord<'_>) -> Result<Option<SoaNumbers>, Refusal> {
        self.records += 1;
        // Counted before anything else, so that records which are thrown away take from the limit as well.
        if self.records > self.limits.records {
            return Err(Refusal::Limit(format!(
                "transfer of more than limits.records = {}",
                self.limits.records
            )));
        }
        if !crate::dns::wire_is_at_or_below(record.owner, self.apex.as_wire()) {
            // RFC 5936 §2.2: only records of the zone.
            return Err(Refusal::ForeignName(text_of(record.owner)));
        }
        let soa = record.soa();
        if soa.is_some() && record.owner != self.apex.as_wire() {
            let owner = text_of(record.owner);
            return Err(Refusal::Malformed(format!(
                "SOA of {owner}, which is not the apex"
            )));
        }
        Ok(soa)
    }

    /// Refuses a kept record that is too large to be one.
    pub fn check_size(&self, record: &WireRecord<'_>, rtype: RecordType) -> Result<(), Refusal> {
        if record.rdata.len() as u64 <= self.limits.record_octets {
            return Ok(());
        }
        Err(Refusal::Limit(format!(
            "{rtype} record of {} with {} octets, more than limits.record_octets = {}",
            text_of(record.owner),
            record.rdata.len(),
            self.limits.record_octets
        )))
    }
}

/// Returns the fault of SOA records that do not belong together.
pub(super) fn mismatch(what: impl Into<String>) -> TransferFault {
    Refusal::SoaMismatch(what.into()).into()
}

/// Returns an owner for a message to people.
pub(super) fn text_of(owner: &[u8]) -> String {
    Name::from_wire(owner)
        .map(|name| name.to_string())
        .unwrap_or_default()
}
