//! Zone transfers over TCP or TLS, signed and verified with TSIG (RFC 8945).
//!
//! Our own loop around NLnet Labs' message and TSIG types: hickory's zone transfer drops messages
//! when its channel is full and then reports a clean end (docs/developers/decisions.md). What a stream means is the
//! business of its [reader](super::xfr); here each message is checked and verified before it is
//! interpreted, and nothing is taken as done but an end that the reader has seen *and* a
//! verified signature over the whole stream.

use crate::source::rcode::{rcode_name, rcode_of};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::Class;
use domain::base::message_builder::{AdditionalBuilder, StreamTarget};
use domain::base::{Message, MessageBuilder, Name as WireName, Rtype, Ttl};
use domain::rdata::Soa;
use domain::rdata::tsig::Time48;
use domain::tsig::{Algorithm, ClientSequence, ClientTransaction, Key};
use tokio::time::timeout;

use crate::dns::{Name, RecordType, Serial};
use crate::source::catalog::{Catalog, CatalogReader};
use crate::source::signature::{SignatureSaid, words_of};
use crate::source::stream::Connection;
use crate::source::tls::TransferTls;
use crate::source::wire::{
    AnswerWalker, SoaNumbers, TYPE_SOA, WireError, WireRecord, read_question,
};
use crate::source::xfr::frame::{Asked, TransferFault, TransferReader};
use crate::source::xfr::steps::{StepSink, StepsEnd, StepsReader};
use crate::source::xfr::whole::{WholeReader, WholeSink};
use crate::source::zonemd::{ZoneDigester, Zonemd};
use crate::source::{Fetched, SourceError, check_rrset};
use crate::time::Span;
use crate::zone::{Intake, Limits, Refusal, Spool, Step, ZonemdRule};

/// Message ids. Over TCP they need not be hard to guess, only differ on one connection.
const SOA_QUERY_ID: u16 = 0x6601;
/// See [`SOA_QUERY_ID`].
const TRANSFER_QUERY_ID: u16 = 0x6602;
/// How long the message after a lone SOA may take before no more is expected. A primary that has steps has the
/// next one ready. Chosen by hand.
// RFC 1995 §4: one SOA is also how a primary that knows no IXFR begins the whole zone, or says that nothing is new.
const LONE_SOA_WAIT: Duration = Duration::from_secs(2);
/// What a step takes beside its records.
const STEP_OCTETS: u64 = 128;
/// Rcode NOERROR.
const NOERROR: u8 = 0;

/// A TSIG key, ready to sign.
#[derive(Clone)]
pub struct TransferKey(pub(super) Arc<Key>);

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
#[derive(Clone, Copy)]
pub struct TransferTarget<'a> {
    /// The zone's apex.
    pub apex: &'a Name,
    /// The primary's address.
    pub primary: SocketAddr,
    /// The key that signs, if any.
    pub key: Option<&'a TransferKey>,
    /// The trust of an encrypted connection, if it is to be one.
    pub tls: Option<&'a TransferTls>,
    /// What is done about the digest of a whole zone.
    pub zonemd: ZonemdRule,
    /// What it may cost.
    pub limits: &'a Limits,
}

/// What an incremental transfer brought.
#[derive(Debug)]
pub enum Steps {
    /// Nothing newer is there.
    UpToDate,
    /// The steps, the oldest first, each beginning where the one before it ended; at least one.
    Taken(Vec<Step>, SoaNumbers),
}

/// Asks a primary for the zone's SOA.
///
/// # Errors
///
/// [`Refusal`] for whatever the primary did wrong.
pub async fn query_soa(target: &TransferTarget<'_>) -> Result<SoaNumbers, Refusal> {
    query_soa_once(target).await.map_err(with_next_poll)
}

/// [`query_soa`] with what went wrong as it is.
async fn query_soa_once(target: &TransferTarget<'_>) -> Result<SoaNumbers, Refusal> {
    let id = SOA_QUERY_ID;
    let mut query = start_query(target.apex, Rtype::SOA, id).additional();
    let signer = match target.key {
        Some(key) => Some(
            ClientTransaction::request(key.0.clone(), &mut query, Time48::now())
                .map_err(|fault| Refusal::Tsig(fault.to_string()))?,
        ),
        None => None,
    };
    let mut connection = open(target).await?;
    connection.send(query.finish().as_stream_slice()).await?;
    let mut message = message_of(connection.receive().await?)?;
    check_header(message.as_slice(), id)?;
    if let Some(signer) = signer {
        let said = SignatureSaid::of(message.as_slice());
        signer
            .answer(&mut message, Time48::now())
            .map_err(|fault| said.refusal(&fault))?;
    }
    read_soa(message.as_slice(), target.apex)
}

/// Returns the SOA of an answer to a query for it.
pub(super) fn read_soa(message: &[u8], apex: &Name) -> Result<SoaNumbers, Refusal> {
    check_rcode(message)?;
    check_question(message, apex, TYPE_SOA, false)?;
    let mut walker = AnswerWalker::new(message).map_err(malformed)?;
    while let Some(record) = walker.next_record().map_err(malformed)? {
        if record.owner == apex.as_wire()
            && let Some(soa) = record.soa()
        {
            return Ok(soa);
        }
    }
    Err(Refusal::Malformed(
        "the answer to the SOA query holds no SOA".to_owned(),
    ))
}

/// Transfers what changed since a serial.
///
/// # Errors
///
/// [`TransferFault::WantsWhole`] or [`TransferFault::Stepless`] if the primary will or can not; [`TransferFault::Source`] if asking
/// it for the whole zone would end no better.
pub async fn fetch_steps(
    target: &TransferTarget<'_>,
    since: Serial,
) -> Result<Steps, TransferFault> {
    let mut held = HeldSteps::new(target.limits.delta_octets);
    let reader = StepsReader::new(target.apex, since, target.limits, &mut held);
    match run(target, reader).await {
        Ok(StepsEnd::UpToDate) => Ok(Steps::UpToDate),
        Ok(StepsEnd::Complete(soa)) => Ok(Steps::Taken(held.steps, soa)),
        Err(TransferFault::Source(SourceError::Refused(refusal))) => Err(match refusal {
            Refusal::Tsig(_)
            | Refusal::Tls(_)
            | Refusal::Unreachable(_)
            | Refusal::ForeignName(_) => refusal.into(),
            Refusal::Rcode(rcode) if rcode == "NOTIMP" || rcode == "FORMERR" => {
                TransferFault::Stepless(format!("the primary answers {rcode}"))
            }
            other => TransferFault::WantsWhole(other.to_string()),
        }),
        Err(fault) => Err(fault),
    }
}

/// Transfers the whole zone into the intake.
///
/// # Errors
///
/// [`SourceError::Refused`] for whatever the primary did wrong; what the intake took is then worthless.
pub async fn fetch_zone<S: Spool>(
    target: &TransferTarget<'_>,
    intake: &mut Intake<S>,
) -> Result<(Fetched, SoaNumbers), SourceError> {
    let limits = target.limits;
    let mut sink = ZoneSink { intake, limits };
    let (soa, zonemd) = run_whole(target, &mut sink).await?;
    let fetched = Fetched {
        serial: Some(soa.serial),
        counts: intake.finish()?,
        zonemd,
    };
    // Every zone has name servers (RFC 1035 §5.2); one that lost all it held looks like this.
    if fetched.counts.kept == 0 {
        let what = "the transfer holds no delegation and no address";
        return Err(Refusal::Malformed(what.to_owned()).into());
    }
    Ok((fetched, soa))
}

/// Transfers a catalog zone (RFC 9432).
///
/// # Errors
///
/// [`SourceError::Refused`] for whatever the primary did wrong, and for what is no catalog.
pub async fn fetch_catalog(
    target: &TransferTarget<'_>,
    members_max: u64,
) -> Result<(Catalog, SoaNumbers), SourceError> {
    let mut reader = CatalogReader::new(target.apex, members_max);
    let (soa, _) = run_whole(target, &mut reader).await?;
    Ok((reader.finish()?, soa))
}

/// Transfers a whole zone and verifies its digest.
async fn run_whole<S: WholeSink>(
    target: &TransferTarget<'_>,
    sink: &mut S,
) -> Result<(SoaNumbers, Zonemd), SourceError> {
    let digester = ZoneDigester::new(target.zonemd, target.apex);
    let mut digested = Digested { digester, sink };
    let reader = WholeReader::new(target.apex, target.limits, &mut digested);
    match run(target, reader).await {
        Ok(soa) => Ok((soa, digested.digester.finish()?)),
        Err(TransferFault::Source(SourceError::Refused(refusal))) => {
            Err(with_next_poll(refusal).into())
        }
        Err(TransferFault::Source(error)) => Err(error),
        Err(TransferFault::WantsWhole(what) | TransferFault::Stepless(what)) => {
            Err(Refusal::Malformed(what).into())
        }
    }
}

/// Runs a transfer within its time.
async fn run<R: TransferReader>(
    target: &TransferTarget<'_>,
    mut reader: R,
) -> Result<R::End, TransferFault> {
    let limit = duration(target.limits.transfer);
    let result = timeout(limit, run_unbounded(target, &mut reader)).await;
    let records = reader.records();
    match result {
        Ok(Ok(end)) => Ok(end),
        Ok(Err(TransferFault::Source(SourceError::Refused(refusal)))) => {
            Err(at_record(refusal, records).into())
        }
        Ok(Err(fault)) => Err(fault),
        Err(_) => Err(Refusal::Timeout(format!(
            "transfer of more than limits.transfer = {}, after {records} records",
            target.limits.transfer
        ))
        .into()),
    }
}

/// [`run`] without its deadline.
async fn run_unbounded<R: TransferReader>(
    target: &TransferTarget<'_>,
    reader: &mut R,
) -> Result<R::End, TransferFault> {
    let (id, asked) = (TRANSFER_QUERY_ID, reader.asked());
    let (mut query, rtype) = match asked {
        Asked::Whole => (
            start_query(target.apex, Rtype::AXFR, id).additional(),
            Rtype::AXFR,
        ),
        Asked::Since(serial) => (ixfr_query(target.apex, serial, id), Rtype::IXFR),
    };
    let mut signer = match target.key {
        Some(key) => Some(
            ClientSequence::request(key.0.clone(), &mut query, Time48::now())
                .map_err(|fault| Refusal::Tsig(fault.to_string()))?,
        ),
        None => None,
    };
    let mut connection = open(target).await?;
    connection.send(query.finish().as_stream_slice()).await?;
    let mut stream = connection.into_messages();
    let (mut octets, mut first) = (0_u64, true);
    let end = loop {
        // One record so far is an opening SOA whose serial is newer, or the answer would be over.
        let is_lone = asked != Asked::Whole && reader.records() == 1;
        let received = if is_lone {
            after_lone_soa(stream.next()).await?
        } else {
            stream.next().await?
        };
        let mut message = message_of(received)?;
        // Before anything is believed: what a stranger makes us read counts, too.
        octets += message.as_slice().len() as u64;
        if octets > target.limits.octets {
            let what = format!(
                "transfer of more than limits.octets = {}",
                target.limits.octets
            );
            return Err(Refusal::Limit(what).into());
        }
        check_header(message.as_slice(), id)?;
        // RFC 8945 §5.3.1: the signature comes before anything the message says is believed.
        if let Some(signer) = &mut signer {
            let said = SignatureSaid::of(message.as_slice());
            signer
                .answer(&mut message, Time48::now())
                .map_err(|fault| said.refusal(&fault))?;
        }
        check_rcode(message.as_slice())?;
        check_question(message.as_slice(), target.apex, rtype.to_int(), true)?;
        // Servers that take IXFR for a query of any type (hickory-dns, dnsmasq) answer that the zone has no
        // such record, and send no more.
        if first && asked != Asked::Whole && answer_count(message.as_slice()) == 0 {
            let what = "the primary answers with no record".to_owned();
            return Err(TransferFault::Stepless(what));
        }
        first = false;
        reader.read_message(message.as_slice())?;
        if let Some(end) = reader.end() {
            break end;
        }
    };
    if let Some(signer) = signer {
        // RFC 8945 §5.3.1: the last message must be signed.
        signer
            .done()
            .map_err(|fault| Refusal::Tsig(words_of(&fault)))?;
    }
    Ok(end)
}

/// Waits for the message after one that held a newer SOA and nothing else. Some primaries send the opening SOA
/// in a message of its own; others (dnsmasq) answer the question for IXFR with their SOA, and send no more.
async fn after_lone_soa(
    next: impl Future<Output = Result<Vec<u8>, Refusal>>,
) -> Result<Vec<u8>, TransferFault> {
    let what =
        || TransferFault::Stepless("the primary answers with its SOA and no more".to_owned());
    match timeout(LONE_SOA_WAIT, next).await {
        Ok(Ok(received)) => Ok(received),
        Ok(Err(Refusal::EndedEarly(_))) | Err(_) => Err(what()),
        Ok(Err(refusal)) => Err(refusal.into()),
    }
}

/// Holds the steps of an incremental transfer.
pub(super) struct HeldSteps {
    pub steps: Vec<Step>,
    octets: u64,
    octets_max: u64,
}

impl HeldSteps {
    /// Starts with no step; gives up beyond `octets_max`.
    pub fn new(octets_max: u64) -> Self {
        Self {
            steps: Vec::new(),
            octets: 0,
            octets_max,
        }
    }

    /// Gives up steps that are too long to be held.
    fn check_octets(&self) -> Result<(), TransferFault> {
        if self.octets <= self.octets_max {
            return Ok(());
        }
        let limit = self.octets_max;
        let what = format!("more than limits.delta_octets = {limit}");
        Err(TransferFault::WantsWhole(what))
    }
}

impl StepSink for HeldSteps {
    fn begin(&mut self, from: Serial) -> Result<(), TransferFault> {
        self.steps.push(Step::new(from));
        // Steps that do nothing take memory too.
        self.octets += STEP_OCTETS;
        self.check_octets()
    }

    fn turn(&mut self, to: Serial) {
        self.steps.last_mut().expect("a step was begun").to = to;
    }

    fn take(
        &mut self,
        added: bool,
        owner: &[u8],
        rtype: RecordType,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), TransferFault> {
        let step = self.steps.last_mut().expect("a step was begun");
        let before = step.octets();
        if added {
            step.add(owner, rtype, ttl, rdata)
        } else {
            step.remove(owner, rtype, ttl, rdata)
        }
        self.octets += (step.octets() - before) as u64;
        self.check_octets()
    }
}

/// Shows the records of a whole zone to its digester on their way to another sink.
struct Digested<'a, S> {
    digester: ZoneDigester,
    sink: &'a mut S,
}

impl<S: WholeSink> WholeSink for Digested<'_, S> {
    fn see(&mut self, record: &WireRecord<'_>) -> Result<(), TransferFault> {
        Ok(self.digester.take(record)?)
    }

    fn take(
        &mut self,
        owner: &[u8],
        rtype: RecordType,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), TransferFault> {
        self.sink.take(owner, rtype, ttl, rdata)
    }

    fn take_other(&mut self, record: &WireRecord<'_>) {
        self.sink.take_other(record);
    }
}

/// Gives the records of a whole zone to the intake.
struct ZoneSink<'a, S> {
    intake: &'a mut Intake<S>,
    limits: &'a Limits,
}

impl<S: Spool> WholeSink for ZoneSink<'_, S> {
    fn take(
        &mut self,
        owner: &[u8],
        rtype: RecordType,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), TransferFault> {
        self.intake
            .take(owner, rtype, ttl, rdata)
            .map_err(SourceError::from)?;
        check_rrset(self.limits, self.intake, owner, rtype)?;
        let names = self.limits.names;
        if self
            .intake
            .has_more_names(names)
            .map_err(SourceError::from)?
        {
            let what = format!("transfer of more than limits.names = {names}");
            return Err(Refusal::Limit(what).into());
        }
        if self.intake.spooled_octets() > self.limits.spool_octets {
            let limit = self.limits.spool_octets;
            let what = format!("more changed owners than limits.spool_octets = {limit}");
            return Err(Refusal::Limit(what).into());
        }
        Ok(())
    }

    fn take_other(&mut self, _: &WireRecord<'_>) {
        self.intake.count_other();
    }
}

/// Opens the connection.
async fn open(target: &TransferTarget<'_>) -> Result<Connection, Refusal> {
    Connection::open(
        target.primary,
        target.tls,
        duration(target.limits.connect),
        duration(target.limits.idle),
    )
    .await
}

/// Returns a span of at least a second as the machine counts it.
fn duration(span: Span) -> Duration {
    Duration::from_secs(span.as_seconds().max(1) as u64)
}

/// Builds a query for the zone's apex.
pub(super) fn start_query(
    apex: &Name,
    rtype: Rtype,
    id: u16,
) -> domain::base::message_builder::QuestionBuilder<StreamTarget<Vec<u8>>> {
    let mut builder =
        MessageBuilder::from_target(StreamTarget::new_vec()).expect("a vector takes a header");
    builder.header_mut().set_id(id);
    let mut question = builder.question();
    let name = WireName::from_octets(apex.as_wire()).expect("a canonical name is a wire name");
    question
        .push((name, rtype, Class::IN))
        .expect("a vector takes a question");
    question
}

/// Builds a query for what changed since a serial.
fn ixfr_query(apex: &Name, since: Serial, id: u16) -> AdditionalBuilder<StreamTarget<Vec<u8>>> {
    let mut authority = start_query(apex, Rtype::IXFR, id).authority();
    let name = WireName::from_octets(apex.as_wire()).expect("a canonical name is a wire name");
    let root = WireName::<Vec<u8>>::root_vec();
    // RFC 1995 §3: the client's SOA stands in the authority section; only its serial is looked at.
    let soa = Soa::new(
        root.clone(),
        root,
        domain::base::Serial(since.0),
        Ttl::ZERO,
        Ttl::ZERO,
        Ttl::ZERO,
        Ttl::ZERO,
    );
    authority
        .push((name, Ttl::ZERO, soa))
        .expect("a vector takes a record");
    authority.additional()
}

/// Returns the octets as a message.
fn message_of(octets: Vec<u8>) -> Result<Message<Vec<u8>>, Refusal> {
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

/// Adds to a refusal that nobody has to do anything about once that the next poll asks again.
fn with_next_poll(refusal: Refusal) -> Refusal {
    const AGAIN: &str = "; nothing of it was taken, and the next poll asks again. If it fails again, look into the primary's log and at firewalls on the way";
    match refusal {
        Refusal::EndedEarly(text) => Refusal::EndedEarly(text + AGAIN),
        Refusal::Timeout(text) => Refusal::Timeout(text + AGAIN),
        other => other,
    }
}

/// Checks id, QR, opcode and TC.
pub(super) fn check_header(message: &[u8], id: u16) -> Result<(), Refusal> {
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

/// Returns how many records the answer section has, as the header says.
fn answer_count(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[6], message[7]])
}

/// Refuses every rcode but NOERROR.
fn check_rcode(message: &[u8]) -> Result<(), Refusal> {
    match rcode_of(message) {
        NOERROR => Ok(()),
        code => Err(Refusal::Rcode(rcode_name(code))),
    }
}

/// Checks that the question is ours. RFC 5936 §2.2.1: the messages of a transfer may leave it out but for the first, and axfrdns
/// leaves it out there too; over a connection nobody else answers.
fn check_question(
    message: &[u8],
    apex: &Name,
    code: u16,
    may_be_left_out: bool,
) -> Result<(), Refusal> {
    match read_question(message).map_err(malformed)? {
        (0, ..) if may_be_left_out => Ok(()),
        (1, name, asked) if name == apex.as_wire() && asked == code => Ok(()),
        _ => Err(Refusal::Malformed(
            "the question is not the one that was asked".to_owned(),
        )),
    }
}

/// Turns a wire fault into a refusal.
fn malformed(fault: WireError) -> Refusal {
    Refusal::Malformed(fault.to_string())
}
