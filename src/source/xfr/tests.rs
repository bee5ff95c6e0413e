//! What both readers are held to.

use proptest::prelude::*;

use crate::dns::{Name, RecordType, Serial};
use crate::source::wire::WireRecord;
use crate::source::xfr::frame::{Asked, TransferFault, TransferReader, text_of};
use crate::source::xfr::steps::{StepSink, StepsEnd, StepsReader};
use crate::source::xfr::whole::{WholeReader, WholeSink};
use crate::zone::Limits;

/// What a transfer gave, in words.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard(Vec<String>);

impl WholeSink for Heard {
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
}

impl StepSink for Heard {
    fn begin(&mut self, from: Serial) -> Result<(), TransferFault> {
        self.0.push(format!("from {from}"));
        Ok(())
    }

    fn turn(&mut self, to: Serial) {
        self.0.push(format!("to {to}"));
    }

    fn take(
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

/// How a transfer ended, whatever was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Whole,
    Steps(StepsEnd),
}

/// Interprets a transfer that comes in messages of these sizes, the last of which is repeated.
fn interpret(
    asked: Asked,
    records: &[Vec<u8>],
    sizes: &[usize],
) -> (Result<Option<Ended>, String>, Heard) {
    let apex = Name::parse("example").expect("valid");
    let (limits, mut heard) = (Limits::default(), Heard::default());
    let ended = match asked {
        Asked::Whole => {
            let reader = WholeReader::new(&apex, &limits, &mut heard);
            read(reader, records, sizes).map(|end| end.map(|_| Ended::Whole))
        }
        Asked::Since(since) => {
            let reader = StepsReader::new(&apex, since, &limits, &mut heard);
            read(reader, records, sizes).map(|end| end.map(Ended::Steps))
        }
    };
    (ended, heard)
}

/// Gives the messages to a reader.
fn read<R: TransferReader>(
    mut reader: R,
    records: &[Vec<u8>],
    sizes: &[usize],
) -> Result<Option<R::End>, String> {
    let (mut rest, mut i) = (records, 0);
    while !rest.is_empty() {
        let size = sizes
            .get(i)
            .or(sizes.last())
            .map_or(1, |size| (*size).min(rest.len()));
        // A message without records may stand anywhere, but not for ever.
        let size = if i >= sizes.len() { size.max(1) } else { size };
        i += 1;
        let (now, later) = rest.split_at(size);
        reader
            .read_message(&message(now))
            .map_err(|fault| fault.to_string())?;
        rest = later;
    }
    Ok(reader.end())
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
    let read = |closing: Vec<u8>| {
        let records = [record(Some(1), 0), record(None, 1), closing];
        interpret(Asked::Whole, &records, &[3]).0
    };
    assert_eq!(read(record(Some(1), 0)), Ok(Some(Ended::Whole)));
    let mut other = record(Some(1), 0);
    // The last number of a SOA, the time of negative answers.
    *other.last_mut().expect("not empty") = 2;
    let fault = read(other).expect_err("another SOA");
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
    let whole = [soa4.clone(), a.clone(), soa4.clone()];
    assert_eq!(ended(Asked::Whole, &whole), Ok(Some(Ended::Whole)));
    for whole in [&whole[..], &[soa4.clone(), soa4.clone()]] {
        let fault = ended(since, whole).expect_err("the whole zone instead of steps");
        assert!(fault.contains("answers with the whole zone"), "{fault}");
    }
    let steps = [
        soa4.clone(),
        soa1.clone(),
        a.clone(),
        soa4.clone(),
        b,
        soa4.clone(),
    ];
    assert!(matches!(
        ended(since, &steps),
        Ok(Some(Ended::Steps(StepsEnd::Complete(_))))
    ));
    assert_eq!(ended(since, &steps[..5]), Ok(None), "the end is missing");
    assert_eq!(
        ended(since, &[soa1]),
        Ok(Some(Ended::Steps(StepsEnd::UpToDate)))
    );
    let fault = ended(Asked::Whole, &[soa4.clone(), a.clone(), soa4, a]).expect_err("more follows");
    assert!(fault.contains("after the closing SOA"), "{fault}");
}
