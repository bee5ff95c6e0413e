//! Interprets the transfer of a whole zone (AXFR, RFC 5936).
//!
//! ```text
//! Start ── SOA ──▶ Open ── the same SOA ──▶ Done
//!                   ▲ └── another record ──┐
//!                   └──────────────────────┘
//! ```

use crate::dns::{Name, RecordType};
use crate::source::wire::{SoaNumbers, WireRecord};
use crate::source::xfr::frame::{Asked, Frame, TransferFault, TransferReader, mismatch};
use crate::zone::Limits;

/// Takes the records of a whole zone.
pub trait WholeSink {
    /// Every record, the opening SOA included, before it is taken.
    ///
    /// # Errors
    ///
    /// [`TransferFault`] if it cannot be.
    fn see(&mut self, record: &WireRecord<'_>) -> Result<(), TransferFault> {
        let _ = record;
        Ok(())
    }
    /// A record of a kept type.
    ///
    /// # Errors
    ///
    /// [`TransferFault`] if it cannot be taken.
    fn take(
        &mut self,
        owner: &[u8],
        rtype: RecordType,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), TransferFault>;
    /// A record of another type, or the opening SOA.
    fn take_other(&mut self, record: &WireRecord<'_>);
}

/// Where in a transfer the stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but empty messages so far.
    Start,
    /// After the opening SOA.
    Open(SoaNumbers),
    /// After the closing one.
    Done(SoaNumbers),
}

/// Interprets the transfer of one whole zone.
pub struct WholeReader<'a, S> {
    frame: Frame<'a>,
    sink: &'a mut S,
    state: State,
    /// The canonical RDATA of the opening SOA.
    opening_rdata: Vec<u8>,
}

impl<'a, S: WholeSink> WholeReader<'a, S> {
    /// Starts a transfer of the zone at `apex`.
    pub fn new(apex: &'a Name, limits: &'a Limits, sink: &'a mut S) -> Self {
        Self {
            frame: Frame::new(apex, limits),
            sink,
            state: State::Start,
            opening_rdata: Vec::new(),
        }
    }

    /// Takes the closing SOA.
    fn close(
        &self,
        opening: SoaNumbers,
        soa: SoaNumbers,
        record: &WireRecord<'_>,
    ) -> Result<State, TransferFault> {
        if soa.serial != opening.serial {
            return Err(mismatch(format!(
                "opened with serial {}, closed with {}",
                opening.serial, soa.serial
            )));
        }
        // RFC 5936 §2.2: the first and the last record are the same SOA, not only its serial. BIND compares all of it.
        let mut closing = Vec::new();
        record.canonical_rdata(&mut closing)?;
        if closing != self.opening_rdata {
            return Err(mismatch(format!(
                "the closing SOA is another one than the opening, both of serial {}",
                soa.serial
            )));
        }
        Ok(State::Done(opening))
    }

    /// Gives a record that is no SOA on.
    fn take(&mut self, record: &WireRecord<'_>) -> Result<(), TransferFault> {
        self.sink.see(record)?;
        match RecordType::from_code(record.code) {
            Some(rtype) => {
                // Only what is kept takes memory; records of other types are counted and digested where they lie.
                self.frame.check_size(record, rtype)?;
                self.sink
                    .take(record.owner, rtype, record.ttl, record.rdata)
            }
            None => {
                self.sink.take_other(record);
                Ok(())
            }
        }
    }
}

impl<S: WholeSink> TransferReader for WholeReader<'_, S> {
    type End = SoaNumbers;

    fn asked(&self) -> Asked {
        Asked::Whole
    }

    fn records(&self) -> u64 {
        self.frame.records()
    }

    fn end(&self) -> Option<SoaNumbers> {
        match self.state {
            State::Done(soa) => Some(soa),
            State::Start | State::Open(_) => None,
        }
    }

    fn read_record(&mut self, record: &WireRecord<'_>, _: bool) -> Result<(), TransferFault> {
        let soa = self.frame.read(record)?;
        self.state = match (self.state, soa) {
            (State::Start, Some(soa)) => {
                self.sink.see(record)?;
                self.sink.take_other(record);
                // Canonical, since the closing SOA may be compressed in another way.
                record.canonical_rdata(&mut self.opening_rdata)?;
                State::Open(soa)
            }
            // RFC 5936 §2.2: the first and the last record are the same SOA.
            (State::Start, None) => {
                return Err(mismatch("the transfer does not begin with the SOA"));
            }
            (State::Open(opening), Some(soa)) => self.close(opening, soa, record)?,
            (State::Open(opening), None) => {
                self.take(record)?;
                State::Open(opening)
            }
            (State::Done(_), _) => return Err(mismatch("records after the closing SOA")),
        };
        Ok(())
    }
}
