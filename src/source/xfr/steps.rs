//! Interprets an incremental transfer (IXFR, RFC 1995).
//!
//! ```text
//! Start ── SOA ──▶ Second ── SOA, our serial ──▶ Removed ── SOA ──▶ Added ─┬─ SOA of the version ─▶ Done
//!   │                 │                             ▲                      │
//!   │                 └── the whole zone            └──── SOA of the step ─┘
//!   └── one SOA that is not newer ──▶ Done
//! ```
//!
//! A primary may answer with the whole zone (RFC 1995 §4). That ends the transfer: the whole zone is then asked for
//! by itself, by a reader that compares it with what is held.

use crate::dns::{Name, RecordType, Serial};
use crate::source::wire::{SoaNumbers, WireRecord};
use crate::source::xfr::frame::{Asked, Frame, TransferFault, TransferReader, mismatch};
use crate::zone::Limits;

/// Takes the steps of an incremental transfer.
pub trait StepSink {
    /// A step begins at this serial, with what it removes.
    ///
    /// # Errors
    ///
    /// [`TransferFault`] if no more can be held.
    fn begin(&mut self, from: Serial) -> Result<(), TransferFault>;
    /// The step leads to this serial; what it adds follows.
    fn turn(&mut self, to: Serial);
    /// A record, of a kept type, that the step removes (`added` is false) or adds.
    ///
    /// # Errors
    ///
    /// [`TransferFault`] if no more can be held.
    fn take(
        &mut self,
        added: bool,
        owner: &[u8],
        rtype: RecordType,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), TransferFault>;
}

/// How an incremental transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepsEnd {
    /// The primary has nothing newer than what was asked from.
    UpToDate,
    /// Every step to the version of this SOA has arrived.
    Complete(SoaNumbers),
}

/// Where in a transfer the stream is, and from [`State::Second`] on the SOA that opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but empty messages so far.
    Start,
    /// After the opening SOA.
    Second(SoaNumbers),
    /// Among the records that a step from this serial removes.
    Removed(SoaNumbers, Serial),
    /// Among the records that a step to this serial adds.
    Added(SoaNumbers, Serial),
    /// After the end.
    Done(StepsEnd),
}

/// Interprets one incremental transfer.
pub struct StepsReader<'a, S> {
    frame: Frame<'a>,
    since: Serial,
    sink: &'a mut S,
    state: State,
}

impl<'a, S: StepSink> StepsReader<'a, S> {
    /// Starts a transfer of what changed since a serial in the zone at `apex`.
    pub fn new(apex: &'a Name, since: Serial, limits: &'a Limits, sink: &'a mut S) -> Self {
        Self {
            frame: Frame::new(apex, limits),
            since,
            sink,
            state: State::Start,
        }
    }

    /// Takes the opening SOA.
    fn open(&self, soa: SoaNumbers, is_single: bool) -> State {
        // RFC 1995 §4: one SOA alone means that the client is up to date, unless its serial is
        // newer: some primaries send the opening SOA in a message of its own.
        if is_single && !soa.serial.is_newer_than(self.since) {
            State::Done(StepsEnd::UpToDate)
        } else {
            State::Second(soa)
        }
    }

    /// Takes a SOA as the second record: the first step.
    fn begin_first(
        &mut self,
        opening: SoaNumbers,
        soa: SoaNumbers,
    ) -> Result<State, TransferFault> {
        if soa.serial == opening.serial {
            // A whole zone that is empty.
            return Err(answered_whole());
        }
        // RFC 1995 §4: the first step begins at the client's version.
        if soa.serial != self.since {
            return Err(TransferFault::WantsWhole(format!(
                "the first step begins at serial {}, not at {}",
                soa.serial, self.since
            )));
        }
        self.sink.begin(soa.serial)?;
        Ok(State::Removed(opening, soa.serial))
    }

    /// Takes the SOA that opens the additions of a step.
    fn turn(
        &mut self,
        opening: SoaNumbers,
        from: Serial,
        soa: SoaNumbers,
    ) -> Result<State, TransferFault> {
        // RFC 1982: a step that does not go forward is none.
        if !soa.serial.is_newer_than(from) {
            return Err(TransferFault::WantsWhole(format!(
                "a step leads from serial {from} to {}",
                soa.serial
            )));
        }
        self.sink.turn(soa.serial);
        Ok(State::Added(opening, soa.serial))
    }

    /// Takes the SOA after the additions of a step: the end, or the next step.
    fn begin_next(
        &mut self,
        opening: SoaNumbers,
        to: Serial,
        soa: SoaNumbers,
    ) -> Result<State, TransferFault> {
        // RFC 1995 §4: the SOA of the newest version stands at both ends, so that it begins no step.
        if to == opening.serial && soa.serial == to {
            return Ok(State::Done(StepsEnd::Complete(opening)));
        }
        // RFC 1995 §4: each step begins where the one before it ended.
        if soa.serial != to {
            return Err(TransferFault::WantsWhole(format!(
                "the steps end at serial {to}, the next begins at {}",
                soa.serial
            )));
        }
        self.sink.begin(to)?;
        Ok(State::Removed(opening, to))
    }

    /// Gives a record of a step on.
    fn take(&mut self, added: bool, record: &WireRecord<'_>) -> Result<(), TransferFault> {
        let Some(rtype) = RecordType::from_code(record.code) else {
            return Ok(());
        };
        self.frame.check_size(record, rtype)?;
        self.sink
            .take(added, record.owner, rtype, record.ttl, record.rdata)
    }
}

impl<S: StepSink> TransferReader for StepsReader<'_, S> {
    type End = StepsEnd;

    fn asked(&self) -> Asked {
        Asked::Since(self.since)
    }

    fn records(&self) -> u64 {
        self.frame.records()
    }

    fn end(&self) -> Option<StepsEnd> {
        match self.state {
            State::Done(end) => Some(end),
            _ => None,
        }
    }

    fn read_record(
        &mut self,
        record: &WireRecord<'_>,
        is_single: bool,
    ) -> Result<(), TransferFault> {
        let soa = self.frame.read(record)?;
        self.state = match (self.state, soa) {
            (State::Start, Some(soa)) => self.open(soa, is_single),
            (State::Start, None) => {
                return Err(mismatch("the transfer does not begin with the SOA"));
            }
            (State::Second(opening), Some(soa)) => self.begin_first(opening, soa)?,
            // RFC 1995 §4 allows it. Two records were read: to ask again costs one more connection.
            (State::Second(_), None) => return Err(answered_whole()),
            (State::Removed(opening, from), Some(soa)) => self.turn(opening, from, soa)?,
            (State::Added(opening, to), Some(soa)) => self.begin_next(opening, to, soa)?,
            (state @ State::Removed(..), None) => {
                self.take(false, record)?;
                state
            }
            (state @ State::Added(..), None) => {
                self.take(true, record)?;
                state
            }
            (State::Done(_), _) => return Err(mismatch("records after the closing SOA")),
        };
        Ok(())
    }
}

/// Returns the fault of a primary that gives the whole zone where steps were asked for.
fn answered_whole() -> TransferFault {
    TransferFault::WantsWhole("the primary answers with the whole zone".to_owned())
}
