//! Interprets zone transfers, message by message: AXFR (RFC 5936) and IXFR (RFC 1995). No I/O.
//!
//! The interpreter is given whole messages whose header and signature have been checked, and gives
//! the records on to a [`TransferSink`].
//!
//! ```text
//!                           ┌── not a SOA ──▶ Whole ── SOA of the version ──▶ Done
//! Start ── SOA ──▶ Second ──┤── SOA, same serial ───────────────────────────▶ Done (an empty zone)
//!                           └── SOA, our serial ──▶ Removed ── SOA ──▶ Added ─┬─ SOA of the version ─▶ Done
//!                                                      ▲                      │
//!                                                      └──── SOA of the step ─┘
//! ```

use crate::dns::{Name, RecordType, Serial};
use crate::source::SourceError;
use crate::source::wire::{AnswerWalker, SoaNumbers, TYPE_SOA, WireError, WireRecord};
use crate::zone::{Limits, Refusal};

/// What was asked of the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The whole zone.
    Whole,
    /// What changed since this serial.
    Since(Serial),
}

/// Takes what a transfer holds.
///
/// A sink of whole zones leaves out the functions of steps: the interpreter begins none where the whole
/// zone was asked for.
pub trait TransferSink {
    /// Every record of a whole zone, the opening SOA included, before it is taken.
    ///
    /// # Errors
    ///
    /// [`TransferFault`] if it cannot be.
    fn see(&mut self, record: &WireRecord<'_>) -> Result<(), TransferFault> {
        let _ = record;
        Ok(())
    }
    /// A record of a whole zone, of a kept type.
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
    /// A record of a whole zone, of another type or the opening SOA.
    fn take_other(&mut self, record: &WireRecord<'_>);
    /// A step of an incremental transfer begins at this serial, with what it removes.
    ///
    /// # Errors
    ///
    /// [`TransferFault`] if no more can be held.
    fn begin_step(&mut self, from: Serial) -> Result<(), TransferFault> {
        unreachable!("a step from {from} in a whole zone")
    }
    /// The step leads to this serial; what it adds follows.
    fn turn_step(&mut self, to: Serial) {
        unreachable!("a step to {to} in a whole zone")
    }
    /// A record, of a kept type, that the step removes (`added` is false) or adds.
    ///
    /// # Errors
    ///
    /// [`TransferFault`] if no more can be held.
    fn step(
        &mut self,
        added: bool,
        owner: &[u8],
        rtype: RecordType,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), TransferFault> {
        let _ = (added, owner, rtype, ttl, rdata);
        unreachable!("no step was begun")
    }
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

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The primary has nothing newer than what was asked from.
    UpToDate,
    /// The whole zone has arrived.
    Whole(SoaNumbers),
    /// Every step has arrived.
    Steps(SoaNumbers),
}

/// Where in a transfer the stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but empty messages so far.
    Start,
    /// After the opening SOA.
    Second,
    /// In a whole zone.
    Whole,
    /// Among the records that a step from this serial removes.
    Removed(Serial),
    /// Among the records that a step to this serial adds.
    Added(Serial),
    /// After the end.
    Done(Ended),
}

/// Interprets one transfer.
pub struct TransferInterpreter<'a> {
    apex: &'a Name,
    asked: Asked,
    limits: &'a Limits,
    state: State,
    /// The opening SOA, once it is there.
    opening: Option<SoaNumbers>,
    /// The canonical RDATA of the opening SOA.
    opening_rdata: Vec<u8>,
    records: u64,
}

impl<'a> TransferInterpreter<'a> {
    /// Starts a transfer of the zone at `apex`.
    pub fn new(apex: &'a Name, asked: Asked, limits: &'a Limits) -> Self {
        Self {
            apex,
            asked,
            limits,
            state: State::Start,
            opening: None,
            opening_rdata: Vec::new(),
            records: 0,
        }
    }

    /// Returns how many records have been read.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Returns how the transfer ended; `None` while more is to come.
    pub fn ended(&self) -> Option<Ended> {
        match self.state {
            State::Done(ended) => Some(ended),
            _ => None,
        }
    }

    /// Reads the answer section of one message.
    ///
    /// An empty one is allowed anywhere (RFC 9103 §10: it may be padding).
    ///
    /// # Errors
    ///
    /// [`TransferFault`].
    pub fn read_message<S: TransferSink>(
        &mut self,
        message: &[u8],
        sink: &mut S,
    ) -> Result<(), TransferFault> {
        let mut walker = AnswerWalker::new(message)?;
        let is_single = walker.left() == 1;
        while let Some(record) = walker.next_record()? {
            self.read_record(&record, is_single, sink)?;
        }
        Ok(())
    }

    /// Reads one record and moves the state.
    fn read_record<S: TransferSink>(
        &mut self,
        record: &WireRecord<'_>,
        is_single: bool,
        sink: &mut S,
    ) -> Result<(), TransferFault> {
        self.records += 1;
        if self.records > self.limits.records {
            let what = format!(
                "transfer of more than limits.records = {}",
                self.limits.records
            );
            return Err(Refusal::Limit(what).into());
        }
        if !crate::dns::wire_is_at_or_below(record.owner, self.apex.as_wire()) {
            // RFC 5936 §2.2: only records of the zone.
            return Err(Refusal::ForeignName(text_of(record.owner)).into());
        }
        let soa = (record.code == TYPE_SOA).then(|| record.soa());
        if soa.is_some() && record.owner != self.apex.as_wire() {
            let owner = text_of(record.owner);
            return Err(
                Refusal::Malformed(format!("SOA of {owner}, which is not the apex")).into(),
            );
        }
        self.state = match (self.state, soa) {
            (State::Start, Some(soa)) => {
                sink.see(record)?;
                sink.take_other(record);
                record.canonical_rdata(&mut self.opening_rdata)?;
                self.open(soa, is_single)
            }
            // RFC 5936 §2.2: the first and the last record are the same SOA.
            (State::Start, None) => {
                return Err(mismatch(
                    "the transfer does not begin with the SOA".to_owned(),
                ));
            }
            (State::Second, Some(soa)) => self.second_soa(soa, record, sink)?,
            (State::Second, None) => {
                self.take(record, sink)?;
                State::Whole
            }
            (State::Whole, Some(soa)) => self.close_whole(soa, record)?,
            (State::Whole, None) => {
                self.take(record, sink)?;
                State::Whole
            }
            (State::Removed(from), Some(soa)) => open_additions(from, soa, sink)?,
            (State::Added(to), Some(soa)) => self.after_step(to, soa, sink)?,
            (state @ State::Removed(_), None) => self.take_step(false, record, sink, state)?,
            (state @ State::Added(_), None) => self.take_step(true, record, sink, state)?,
            (State::Done(_), _) => {
                return Err(mismatch("records after the closing SOA".to_owned()));
            }
        };
        Ok(())
    }

    /// Takes the opening SOA.
    fn open(&mut self, soa: SoaNumbers, is_single: bool) -> State {
        self.opening = Some(soa);
        match self.asked {
            // RFC 1995 §4: one SOA alone means that the client is up to date, unless its serial is
            // newer: some primaries send the opening SOA in a message of its own.
            Asked::Since(ours) if is_single && !soa.serial.is_newer_than(ours) => {
                State::Done(Ended::UpToDate)
            }
            _ => State::Second,
        }
    }

    /// Takes a SOA as the second record: an empty zone, or the first step.
    fn second_soa<S: TransferSink>(
        &self,
        soa: SoaNumbers,
        record: &WireRecord<'_>,
        sink: &mut S,
    ) -> Result<State, TransferFault> {
        let opening = self.opening.expect("the state is after the opening SOA");
        match self.asked {
            _ if soa.serial == opening.serial => self.close_whole(soa, record),
            Asked::Since(ours) if soa.serial == ours => {
                sink.begin_step(ours)?;
                Ok(State::Removed(ours))
            }
            // RFC 1995 §4: the first step begins at the client's version.
            Asked::Since(ours) => Err(TransferFault::WantsWhole(format!(
                "the first step begins at serial {}, not at {ours}",
                soa.serial
            ))),
            Asked::Whole => Err(mismatch(format!(
                "opened with serial {}, closed with {}",
                opening.serial, soa.serial
            ))),
        }
    }

    /// Takes the closing SOA of a whole zone.
    fn close_whole(
        &self,
        soa: SoaNumbers,
        record: &WireRecord<'_>,
    ) -> Result<State, TransferFault> {
        let opening = self.opening.expect("the state is after the opening SOA");
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
        Ok(State::Done(Ended::Whole(opening)))
    }

    /// Takes the SOA after the additions of a step: the end, or the next step.
    fn after_step<S: TransferSink>(
        &self,
        to: Serial,
        soa: SoaNumbers,
        sink: &mut S,
    ) -> Result<State, TransferFault> {
        let opening = self.opening.expect("the state is after the opening SOA");
        if to == opening.serial && soa.serial == to {
            return Ok(State::Done(Ended::Steps(opening)));
        }
        // RFC 1995 §4: each step begins where the one before it ended.
        if soa.serial == to {
            sink.begin_step(to)?;
            return Ok(State::Removed(to));
        }
        Err(TransferFault::WantsWhole(format!(
            "the steps end at serial {to}, the next begins at {}",
            soa.serial
        )))
    }

    /// Gives a record of a whole zone on.
    fn take<S: TransferSink>(
        &self,
        record: &WireRecord<'_>,
        sink: &mut S,
    ) -> Result<(), TransferFault> {
        sink.see(record)?;
        match RecordType::from_code(record.code) {
            Some(rtype) => {
                self.check_size(record, rtype)?;
                sink.take(record.owner, rtype, record.ttl, record.rdata)
            }
            None => {
                sink.take_other(record);
                Ok(())
            }
        }
    }

    /// Gives a record of a step on. Returns the state, which stays.
    fn take_step<S: TransferSink>(
        &self,
        added: bool,
        record: &WireRecord<'_>,
        sink: &mut S,
        state: State,
    ) -> Result<State, TransferFault> {
        if let Some(rtype) = RecordType::from_code(record.code) {
            self.check_size(record, rtype)?;
            sink.step(added, record.owner, rtype, record.ttl, record.rdata)?;
        }
        Ok(state)
    }

    /// Refuses a kept record that is too large to be one.
    fn check_size(&self, record: &WireRecord<'_>, rtype: RecordType) -> Result<(), Refusal> {
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

/// Takes the SOA that opens the additions of a step.
fn open_additions<S: TransferSink>(
    from: Serial,
    soa: SoaNumbers,
    sink: &mut S,
) -> Result<State, TransferFault> {
    // RFC 1982: a step that does not go forward is none.
    if !soa.serial.is_newer_than(from) {
        return Err(TransferFault::WantsWhole(format!(
            "a step leads from serial {from} to {}",
            soa.serial
        )));
    }
    sink.turn_step(soa.serial);
    Ok(State::Added(soa.serial))
}

/// Returns the fault of SOA records that do not belong together.
fn mismatch(what: String) -> TransferFault {
    Refusal::SoaMismatch(what).into()
}

/// Returns an owner for a message to people.
fn text_of(owner: &[u8]) -> String {
    Name::from_wire(owner)
        .map(|name| name.to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a transfer gave, in words.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Heard(Vec<String>);

    impl TransferSink for Heard {
        fn take(
            &mut self,
            owner: &[u8],
            rtype: RecordType,
            ttl: u32,
            rdata: &[u8],
        ) -> Result<(), TransferFault> {
            self.0
                .push(format!("{} {rtype} {ttl} {rdata:?}", text_of(owner)));
            Ok(())
        }

        fn take_other(&mut self, record: &WireRecord<'_>) {
            self.0.push(format!("other {}", record.code));
        }

        fn begin_step(&mut self, from: Serial) -> Result<(), TransferFault> {
            self.0.push(format!("from {from}"));
            Ok(())
        }

        fn turn_step(&mut self, to: Serial) {
            self.0.push(format!("to {to}"));
        }

        fn step(
            &mut self,
            added: bool,
            owner: &[u8],
            rtype: RecordType,
            _: u32,
            rdata: &[u8],
        ) -> Result<(), TransferFault> {
            self.0
                .push(format!("{added} {} {rtype} {rdata:?}", text_of(owner)));
            Ok(())
        }
    }

    /// A record of `example.`: the SOA with a serial, or an address of a name.
    fn record(soa: Option<u32>, owner: u8) -> Vec<u8> {
        let (mut octets, rdata) = match soa {
            Some(serial) => {
                let mut rdata = vec![0, 0];
                for number in [serial, 1, 1, 1, 1] {
                    rdata.extend(number.to_be_bytes());
                }
                (b"\x07example\x00\x00\x06".to_vec(), rdata)
            }
            None => {
                let name = [&[1, b'a' + owner % 20][..], b"\x07example\x00\x00\x01"].concat();
                (name, vec![192, 0, 2, owner])
            }
        };
        octets.extend([0, 1, 0, 0, 0, 60]);
        octets.extend((rdata.len() as u16).to_be_bytes());
        octets.extend(rdata);
        octets
    }

    /// A message of these records.
    fn message(records: &[Vec<u8>]) -> Vec<u8> {
        let mut octets = vec![0, 1, 0x84, 0, 0, 0];
        octets.extend((records.len() as u16).to_be_bytes());
        octets.extend([0, 0, 0, 0]);
        records.iter().for_each(|record| octets.extend(record));
        octets
    }

    /// Interprets a transfer that comes in messages of these sizes, the last of which is repeated.
    fn interpret(
        asked: Asked,
        records: &[Vec<u8>],
        sizes: &[usize],
    ) -> (Result<Option<Ended>, String>, Heard) {
        let apex = Name::parse("example").expect("valid");
        let limits = Limits::default();
        let mut interpreter = TransferInterpreter::new(&apex, asked, &limits);
        let (mut rest, mut heard, mut i) = (records, Heard::default(), 0);
        while !rest.is_empty() {
            let size = sizes
                .get(i)
                .or(sizes.last())
                .map_or(1, |size| (*size).min(rest.len()));
            // A message without records may stand anywhere, but not for ever.
            let size = if i >= sizes.len() { size.max(1) } else { size };
            i += 1;
            let (now, later) = rest.split_at(size);
            if let Err(fault) = interpreter.read_message(&message(now), &mut heard) {
                return (Err(fault.to_string()), heard);
            }
            rest = later;
        }
        (Ok(interpreter.ended()), heard)
    }

    /// Sound transfers and others: SOA records with few serials among addresses.
    fn any_transfer() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let rr = prop_oneof![
            3 => (0_u8..20).prop_map(|owner| record(None, owner)),
            1 => (1_u32..5).prop_map(|serial| record(Some(serial), 0)),
        ];
        let wild = prop::collection::vec(rr, 0..14).prop_map(|mut all| {
            all.insert(0, record(Some(4), 0));
            all
        });
        let whole = prop::collection::vec(0_u8..20, 1..10).prop_map(|owners| {
            let mut all = vec![record(Some(4), 0)];
            all.extend(owners.into_iter().map(|owner| record(None, owner)));
            all.push(record(Some(4), 0));
            all
        });
        let steps = prop::collection::vec(
            (
                prop::collection::vec(0_u8..20, 0..4),
                prop::collection::vec(0_u8..20, 0..4),
            ),
            3,
        )
        .prop_map(|steps| {
            let mut all = vec![record(Some(4), 0)];
            for (from, (removed, added)) in (1..).zip(steps) {
                all.push(record(Some(from), 0));
                all.extend(removed.into_iter().map(|owner| record(None, owner)));
                all.push(record(Some(from + 1), 0));
                all.extend(added.into_iter().map(|owner| record(None, owner)));
            }
            all.push(record(Some(4), 0));
            all
        });
        prop_oneof![wild, whole, steps]
    }

    #[test]
    fn closing_soa_that_differs_in_more_than_its_serial_ends_no_transfer() {
        let apex = Name::parse("example.").expect("valid");
        let limits = Limits::default();
        let read = |closing: Vec<u8>| {
            let mut interpreter = TransferInterpreter::new(&apex, Asked::Whole, &limits);
            let octets = message(&[record(Some(1), 0), record(None, 1), closing]);
            let read = interpreter.read_message(&octets, &mut Heard::default());
            read.map(|()| interpreter.ended().is_some())
        };
        assert!(read(record(Some(1), 0)).expect("sound"));
        let mut other = record(Some(1), 0);
        // The last number of a SOA, the time of negative answers.
        *other.last_mut().expect("not empty") = 2;
        let fault = read(other).expect_err("another SOA").to_string();
        assert!(fault.contains("another one than the opening"), "{fault}");
    }

    proptest! {
        // However a transfer is split into messages, it says the same and ends the same. The one
        // difference that the protocol makes, a SOA alone in the first message, is no newer serial here.
        #[test]
        fn any_split_into_messages_is_the_same_transfer(
            records in any_transfer(),
            sizes in prop::collection::vec(0_usize..5, 1..8),
            asked in prop_oneof![Just(Asked::Whole), Just(Asked::Since(Serial(1)))],
        ) {
            prop_assert_eq!(interpret(asked, &records, &sizes), interpret(asked, &records, &[records.len()]));
        }
    }

    #[test]
    fn sound_transfers_end_and_nothing_may_follow() {
        let [soa4, soa1, a, b] = [
            record(Some(4), 0),
            record(Some(1), 0),
            record(None, 1),
            record(None, 2),
        ];
        let ended = |asked, records: &[Vec<u8>]| interpret(asked, records, &[1]).0;
        let since = Asked::Since(Serial(1));
        assert!(matches!(
            ended(Asked::Whole, &[soa4.clone(), a.clone(), soa4.clone()]),
            Ok(Some(Ended::Whole(_)))
        ));
        assert!(matches!(
            ended(since, &[soa4.clone(), a.clone(), soa4.clone()]),
            Ok(Some(Ended::Whole(_)))
        ));
        let steps = [
            soa4.clone(),
            soa1.clone(),
            a.clone(),
            soa4.clone(),
            b,
            soa4.clone(),
        ];
        assert!(matches!(ended(since, &steps), Ok(Some(Ended::Steps(_)))));
        assert_eq!(ended(since, &steps[..5]), Ok(None), "the end is missing");
        assert_eq!(ended(since, &[soa1]), Ok(Some(Ended::UpToDate)));
        let fault =
            ended(Asked::Whole, &[soa4.clone(), a.clone(), soa4, a]).expect_err("more follows");
        assert!(fault.contains("after the closing SOA"), "{fault}");
    }
}
