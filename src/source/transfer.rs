//! Zone transfers (RFC 5936) over TCP, signed and verified with TSIG (RFC 8945).
//!
//! Our own loop around NLnet Labs' message and TSIG types: hickory's zone transfer drops messages
//! when its channel is full and then reports a clean end (docs/design.md). The loop asks for the SOA
//! first, transfers when the serial is newer, and takes nothing as done but a closing SOA equal to
//! the opening one *and* a verified signature over the whole stream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::Class;
use domain::base::message_builder::StreamTarget;
use domain::base::{Message, MessageBuilder, Name as WireName, Rtype};
use domain::rdata::tsig::Time48;
use domain::tsig::{Algorithm, ClientSequence, ClientTransaction, Key, ValidationError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::dns::{Name, RecordType, Serial};
use crate::source::wire::{AnswerWalker, TYPE_SOA, WireError, read_question};
use crate::source::{Fetched, SourceError};
use crate::zone::{Intake, Refusal, Spool};

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the primary may be silent between two messages.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a whole transfer may take.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(3 * 3600);
/// The most octets of one transfer. `.com` is some 25 GB as text, less on the wire.
const TRANSFER_OCTETS_MAX: u64 = 64 << 30;
/// The most records of one transfer.
const TRANSFER_RECORDS_MAX: u64 = 2_000_000_000;
/// Message ids. Over TCP they need not be hard to guess, only differ on one connection.
const SOA_QUERY_ID: u16 = 0x6601;
/// See [`SOA_QUERY_ID`].
const TRANSFER_QUERY_ID: u16 = 0x6602;
/// Rcode NOERROR.
const NOERROR: u8 = 0;

/// A TSIG key, ready to sign.
#[derive(Clone)]
pub struct TransferKey(Arc<Key>);

impl TransferKey {
    /// Makes a key of its owner name, its algorithm's mnemonic (`hmac-sha256` and so on) and its
    /// secret in base64.
    ///
    /// # Errors
    ///
    /// A sentence that never contains the secret.
    pub fn new(name: &Name, algorithm: &str, secret_base64: &str) -> Result<Self, String> {
        let algorithm = match algorithm.to_ascii_lowercase().as_str() {
            "hmac-sha1" => Algorithm::Sha1,
            "hmac-sha256" => Algorithm::Sha256,
            "hmac-sha384" => Algorithm::Sha384,
            "hmac-sha512" => Algorithm::Sha512,
            other => {
                return Err(format!(
                    "unknown TSIG algorithm {other:?}; use hmac-sha256, hmac-sha384, hmac-sha512 or hmac-sha1"
                ));
            }
        };
        let key_name = WireName::from_octets(name.as_wire().to_vec())
            .map_err(|fault| format!("TSIG key name: {fault}"))?;
        let key_name = key_name
            .to_string()
            .parse()
            .map_err(|_| format!("TSIG key name {name} cannot be used"))?;
        let secret: Vec<u8> = domain::utils::base64::decode(secret_base64)
            .map_err(|_| format!("secret of TSIG key {name} is not base64"))?;
        let key = Key::new(algorithm, &secret, key_name, None, None)
            .map_err(|fault| format!("TSIG key {name}: {fault}"))?;
        Ok(Self(Arc::new(key)))
    }
}

/// What to transfer and from where.
pub struct TransferTarget<'a> {
    /// The zone's apex.
    pub apex: &'a Name,
    /// The primary's address.
    pub primary: SocketAddr,
    /// The key that signs, if any.
    pub key: Option<&'a TransferKey>,
    /// The serial that history holds.
    pub last_serial: Option<Serial>,
    /// Transfer although the serial stands.
    pub full: bool,
    /// Transfer although the serial went backwards.
    pub accept_older: bool,
}

/// Transfers the zone if the primary's serial is not the one history holds.
///
/// `Ok(None)` means that the serial stands. A serial that went backwards is taken only with
/// `accept_older`: one primary of several may lag.
///
/// # Errors
///
/// [`SourceError::Refused`] for whatever the primary did wrong; the intake is then worthless.
pub async fn fetch_zone<S: Spool>(
    target: &TransferTarget<'_>,
    intake: &mut Intake<S>,
) -> Result<Option<Fetched>, SourceError> {
    match timeout(TRANSFER_TIMEOUT, fetch_unbounded(target, intake)).await {
        Ok(result) => result,
        Err(_) => Err(Refusal::Timeout(format!(
            "transfer took more than {} s",
            TRANSFER_TIMEOUT.as_secs()
        ))
        .into()),
    }
}

/// [`fetch_zone`] without its deadline.
async fn fetch_unbounded<S: Spool>(
    target: &TransferTarget<'_>,
    intake: &mut Intake<S>,
) -> Result<Option<Fetched>, SourceError> {
    let mut stream = connect(target.primary).await?;
    let serial = query_soa(target, &mut stream).await?;
    if Some(serial) == target.last_serial && !target.full {
        return Ok(None);
    }
    if let Some(last) = target.last_serial
        && last.is_newer_than(serial)
        && !target.accept_older
    {
        return Err(Refusal::Behind(format!(
            "{} has serial {serial}, history holds {last}",
            target.primary
        ))
        .into());
    }
    // A connection of its own: some primaries close after one answer.
    drop(stream);
    let mut stream = connect(target.primary).await?;
    transfer(target, &mut stream, serial, intake)
        .await
        .map(Some)
}

/// Opens the connection.
async fn connect(primary: SocketAddr) -> Result<TcpStream, Refusal> {
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(primary)).await {
        Ok(Ok(stream)) => {
            // Small writes, each a whole message: nothing to gather.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(Refusal::Unreachable(format!("{primary}: {error}"))),
        Err(_) => Err(Refusal::Unreachable(format!(
            "{primary}: no answer in {} s",
            CONNECT_TIMEOUT.as_secs()
        ))),
    }
}

/// Builds a query for the zone's apex.
fn start_query(
    apex: &Name,
    rtype: Rtype,
    id: u16,
) -> domain::base::message_builder::AdditionalBuilder<StreamTarget<Vec<u8>>> {
    let mut builder =
        MessageBuilder::from_target(StreamTarget::new_vec()).expect("a vector takes a header");
    builder.header_mut().set_id(id);
    let mut question = builder.question();
    let name = WireName::from_octets(apex.as_wire()).expect("a canonical name is a wire name");
    question
        .push((name, rtype, Class::IN))
        .expect("a vector takes a question");
    question.additional()
}

/// Asks for the SOA and returns its serial.
async fn query_soa(target: &TransferTarget<'_>, stream: &mut TcpStream) -> Result<Serial, Refusal> {
    let id = SOA_QUERY_ID;
    let mut query = start_query(target.apex, Rtype::SOA, id);
    let signer = match target.key {
        Some(key) => Some(
            ClientTransaction::request(key.0.clone(), &mut query, Time48::now())
                .map_err(|fault| Refusal::Tsig(fault.to_string()))?,
        ),
        None => None,
    };
    send(stream, query.finish().as_stream_slice()).await?;
    let mut message = receive(stream, Vec::new(), "the SOA").await?;
    check_header(message.as_slice(), id)?;
    if let Some(signer) = signer {
        let rcode = rcode_of(message.as_slice());
        signer
            .answer(&mut message, Time48::now())
            .map_err(|fault| tsig_refusal(&fault, rcode))?;
    }
    check_rcode(message.as_slice())?;
    check_question(message.as_slice(), target.apex, TYPE_SOA, true)?;
    let mut walker = AnswerWalker::new(message.as_slice()).map_err(malformed)?;
    while let Some(record) = walker.next_record().map_err(malformed)? {
        if record.code == TYPE_SOA && record.owner == target.apex.as_wire() {
            return Ok(serial_of(record.rdata));
        }
    }
    Err(Refusal::Malformed(
        "the answer to the SOA query holds no SOA".to_owned(),
    ))
}

/// Where in a transfer the stream is.
enum Progress {
    /// Nothing but empty messages so far.
    Start,
    /// After the opening SOA.
    Within(Serial),
    /// After the closing SOA.
    Done(Serial),
}

/// Runs one AXFR and feeds the intake.
async fn transfer<S: Spool>(
    target: &TransferTarget<'_>,
    stream: &mut TcpStream,
    soa_serial: Serial,
    intake: &mut Intake<S>,
) -> Result<Fetched, SourceError> {
    let id = TRANSFER_QUERY_ID;
    let mut query = start_query(target.apex, Rtype::AXFR, id);
    let mut signer = match target.key {
        Some(key) => Some(
            ClientSequence::request(key.0.clone(), &mut query, Time48::now())
                .map_err(|fault| Refusal::Tsig(fault.to_string()))?,
        ),
        None => None,
    };
    send(stream, query.finish().as_stream_slice()).await?;
    let mut progress = Progress::Start;
    let (mut octets, mut first, mut buffer, started) = (0_u64, true, Vec::new(), Instant::now());
    let mut records = 0_u64;
    while !matches!(progress, Progress::Done(_)) {
        let mut message = receive(stream, std::mem::take(&mut buffer), "the transfer")
            .await
            .map_err(|refusal| at_record(refusal, records))?;
        octets += message.as_slice().len() as u64;
        if octets > TRANSFER_OCTETS_MAX {
            return Err(Refusal::Limit(format!(
                "transfer of more than {TRANSFER_OCTETS_MAX} octets after {} s",
                started.elapsed().as_secs()
            ))
            .into());
        }
        check_header(message.as_slice(), id)?;
        // RFC 8945 §5.3.1: the signature comes before anything the message says is believed.
        if let Some(signer) = &mut signer {
            let rcode = rcode_of(message.as_slice());
            signer
                .answer(&mut message, Time48::now())
                .map_err(|fault| tsig_refusal(&fault, rcode))?;
        }
        check_rcode(message.as_slice())?;
        check_question(message.as_slice(), target.apex, Rtype::AXFR.to_int(), first)?;
        first = false;
        take_message(
            target.apex,
            message.as_slice(),
            &mut progress,
            intake,
            &mut records,
        )?;
        buffer = message.into_octets();
    }
    if let Some(signer) = signer {
        // RFC 8945 §5.3.1: the last message must be signed.
        signer
            .done()
            .map_err(|fault| tsig_refusal(&fault, NOERROR))?;
    }
    let Progress::Done(serial) = progress else {
        unreachable!("the loop ends when the transfer is done")
    };
    if serial != soa_serial && soa_serial.is_newer_than(serial) {
        return Err(Refusal::SoaMismatch(format!(
            "asked for serial {soa_serial}, the transfer is of {serial}"
        ))
        .into());
    }
    let counts = intake.finish()?;
    Ok(Fetched {
        serial: Some(serial),
        counts,
    })
}

/// Feeds the records of one message to the intake and moves `progress`.
fn take_message<S: Spool>(
    apex: &Name,
    message: &[u8],
    progress: &mut Progress,
    intake: &mut Intake<S>,
    records: &mut u64,
) -> Result<(), SourceError> {
    let mut walker = AnswerWalker::new(message).map_err(malformed)?;
    while let Some(record) = walker.next_record().map_err(malformed)? {
        *records += 1;
        if *records > TRANSFER_RECORDS_MAX {
            return Err(Refusal::Limit(format!(
                "transfer of more than {TRANSFER_RECORDS_MAX} records"
            ))
            .into());
        }
        if !crate::dns::wire_is_at_or_below(record.owner, apex.as_wire()) {
            let owner = Name::from_wire(record.owner)
                .map(|name| name.to_string())
                .unwrap_or_default();
            return Err(Refusal::ForeignName(owner).into());
        }
        let is_apex_soa = record.code == TYPE_SOA && record.owner == apex.as_wire();
        *progress = match (&progress, is_apex_soa) {
            // RFC 5936 §2.2: the first and the last record are the same SOA.
            (Progress::Start, true) => {
                intake.count_other();
                Progress::Within(serial_of(record.rdata))
            }
            (Progress::Start, false) => {
                return Err(Refusal::SoaMismatch(
                    "the transfer does not begin with the SOA".to_owned(),
                )
                .into());
            }
            (Progress::Within(first), true) => {
                let last = serial_of(record.rdata);
                if last != *first {
                    return Err(Refusal::SoaMismatch(format!(
                        "opened with serial {first}, closed with {last}"
                    ))
                    .into());
                }
                Progress::Done(last)
            }
            (Progress::Done(_), _) => {
                return Err(
                    Refusal::SoaMismatch("records after the closing SOA".to_owned()).into(),
                );
            }
            (Progress::Within(first), false) => {
                match RecordType::from_code(record.code) {
                    Some(rtype) => intake.take(record.owner, rtype, record.ttl, record.rdata)?,
                    None => intake.count_other(),
                }
                Progress::Within(*first)
            }
        };
    }
    Ok(())
}

/// Writes one message with its length in front.
async fn send(stream: &mut TcpStream, octets: &[u8]) -> Result<(), Refusal> {
    match timeout(IDLE_TIMEOUT, stream.write_all(octets)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Refusal::EndedEarly(format!(
            "connection broke while asking: {error}"
        ))),
        Err(_) => Err(Refusal::Timeout("the query could not be sent".to_owned())),
    }
}

/// Reads one message into `buffer`.
async fn receive(
    stream: &mut TcpStream,
    mut buffer: Vec<u8>,
    what: &str,
) -> Result<Message<Vec<u8>>, Refusal> {
    let read = async {
        let length = stream.read_u16().await?;
        buffer.resize(length as usize, 0);
        stream.read_exact(&mut buffer).await?;
        Ok::<_, std::io::Error>(buffer)
    };
    let octets = match timeout(IDLE_TIMEOUT, read).await {
        Ok(Ok(octets)) => octets,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(Refusal::EndedEarly(format!(
                "the connection was closed before {what} was complete"
            )));
        }
        Ok(Err(error)) => {
            return Err(Refusal::EndedEarly(format!(
                "the connection broke before {what} was complete: {error}"
            )));
        }
        Err(_) => {
            return Err(Refusal::Timeout(format!(
                "silent for {} s before {what} was complete",
                IDLE_TIMEOUT.as_secs()
            )));
        }
    };
    Message::from_octets(octets)
        .map_err(|_| Refusal::Malformed("message is shorter than its header".to_owned()))
}

/// Adds to a refusal how far the transfer had come.
fn at_record(refusal: Refusal, records: u64) -> Refusal {
    match refusal {
        Refusal::EndedEarly(text) => {
            Refusal::EndedEarly(format!("{text}, after {records} records"))
        }
        Refusal::Timeout(text) => Refusal::Timeout(format!("{text}, after {records} records")),
        other => other,
    }
}

/// Checks id, QR, opcode and TC.
fn check_header(message: &[u8], id: u16) -> Result<(), Refusal> {
    if message[..2] != id.to_be_bytes() {
        return Err(Refusal::Malformed("message with a foreign id".to_owned()));
    }
    if message[2] & 0x80 == 0 || message[2] & 0x78 != 0 {
        return Err(Refusal::Malformed(
            "message is no answer to a query".to_owned(),
        ));
    }
    if message[2] & 0x02 != 0 {
        return Err(Refusal::Malformed("truncated message over TCP".to_owned()));
    }
    Ok(())
}

/// Returns the rcode of the header.
fn rcode_of(message: &[u8]) -> u8 {
    message[3] & 0x0f
}

/// Refuses every rcode but NOERROR.
fn check_rcode(message: &[u8]) -> Result<(), Refusal> {
    match rcode_of(message) {
        NOERROR => Ok(()),
        code => Err(Refusal::Rcode(rcode_name(code))),
    }
}

/// Returns the mnemonic of an rcode.
fn rcode_name(code: u8) -> String {
    domain::base::iana::Rcode::checked_from_int(code)
        .map_or_else(|| code.to_string(), |rcode| rcode.to_string())
}

/// Turns a failed verification into a refusal that names the answer's rcode, if it had one.
fn tsig_refusal(fault: &ValidationError, rcode: u8) -> Refusal {
    if rcode == NOERROR {
        Refusal::Tsig(fault.to_string())
    } else {
        Refusal::Tsig(format!("{fault} (rcode {})", rcode_name(rcode)))
    }
}

/// Checks that the question is ours. RFC 5936 §2.2.1: later messages may leave it out.
fn check_question(message: &[u8], apex: &Name, code: u16, first: bool) -> Result<(), Refusal> {
    match read_question(message).map_err(malformed)? {
        (0, ..) if !first => Ok(()),
        (1, name, asked) if name == apex.as_wire() && asked == code => Ok(()),
        _ => Err(Refusal::Malformed(
            "the question is not the one that was asked".to_owned(),
        )),
    }
}

/// Returns the serial of the walker's SOA RDATA.
fn serial_of(rdata: &[u8]) -> Serial {
    Serial(u32::from_be_bytes(
        rdata
            .try_into()
            .expect("the walker leaves the four octets of the serial"),
    ))
}

/// Turns a wire fault into a refusal.
fn malformed(fault: WireError) -> Refusal {
    Refusal::Malformed(fault.to_string())
}
