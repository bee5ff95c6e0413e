//! Hears NOTIFY messages (RFC 1996), over UDP and TCP: Knot sends them over TCP, BIND and NSD over UDP.
//!
//! A NOTIFY is a hint: all it does is mark a zone as due. It is believed only if it comes from an
//! address of one of the zone's primaries, and if it is signed, only with the source's key.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use domain::base::iana::{Opcode, Rcode};
use domain::base::message_builder::StreamTarget;
use domain::base::{Message, MessageBuilder};
use domain::rdata::tsig::Time48;
use domain::tsig::{Key, ServerTransaction};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::count::counted;
use crate::dns::Name;
use crate::source::TransferKey;
use crate::source::wire::{TYPE_SOA, read_question};

/// The most octets of a NOTIFY. One has a question, perhaps a SOA and a signature.
const MESSAGE_OCTETS_MAX: usize = 4096;
/// The most connections that are open at a time.
// Over TCP anybody can connect; the primaries that are known are few.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take to send its message.
// The places are few: a connection that sends nothing must give its own up.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How often messages that did not fit are logged, at most.
// A flood of messages must not become a flood of lines.
const DROPPED_EVERY: Duration = Duration::from_secs(60);
/// The most messages of one connection.
// A client that goes on sending would keep its place for good.
const MESSAGES_OF_CONNECTION_MAX: u32 = 1000;

/// Who may send a NOTIFY for which zone.
#[derive(Default)]
pub struct NotifyTable {
    senders: Vec<Sender>,
    zones: HashMap<Name, u32>,
    /// Whether unsigned messages are refused where the source has a key.
    pub signed_only: bool,
}

/// The primaries of a source.
struct Sender {
    addresses: Vec<IpAddr>,
    key: Option<TransferKey>,
}

impl NotifyTable {
    /// Adds the primaries of a source; returns its number.
    pub fn add_sender(&mut self, primaries: &[SocketAddr], key: Option<TransferKey>) -> u32 {
        self.senders.push(Sender {
            addresses: primaries.iter().map(SocketAddr::ip).collect(),
            key,
        });
        self.senders.len() as u32 - 1
    }

    /// Takes the zones of a source out.
    pub fn forget_zones(&mut self, sender: u32) {
        self.zones.retain(|_, known| *known != sender);
    }

    /// Returns whether a message from this address may be heard at all.
    fn knows(&self, address: IpAddr) -> bool {
        self.senders
            .iter()
            .any(|sender| sender.addresses.contains(&address))
    }

    /// Adds a zone of a source.
    pub fn add_zone(&mut self, zone: Name, sender: u32) {
        self.zones.insert(zone, sender);
    }
}

/// What is answered to a message, and the zone that it marks.
#[derive(Debug, PartialEq, Eq)]
pub struct NotifyAnswer {
    /// The answer, without a length in front; `None` for what is not answered at all.
    pub reply: Option<Vec<u8>>,
    /// The zone that is due now.
    pub zone: Option<Name>,
    /// Why none is, for the log.
    pub refused: Option<&'static str>,
}

impl NotifyAnswer {
    /// Passes a message over.
    fn silence(why: &'static str) -> Self {
        Self {
            reply: None,
            zone: None,
            refused: Some(why),
        }
    }
}

/// Reads a message from `from` and says what to answer. Pure but for the time that a signature is
/// checked at.
pub fn answer_notify(octets: &[u8], from: IpAddr, table: &NotifyTable) -> NotifyAnswer {
    // A response, or what is no message: never answered, so that nobody can make us echo.
    if octets.len() < 12 || octets[2] & 0x80 != 0 {
        return NotifyAnswer::silence("not a request");
    }
    if !table.knows(from) {
        return NotifyAnswer::silence("not from a primary");
    }
    let Ok(mut message) = Message::from_octets(octets.to_vec()) else {
        return NotifyAnswer::silence("not a message");
    };
    if message.header().opcode() != Opcode::NOTIFY {
        return refuse(&message, Rcode::NOTIMP, "not a NOTIFY");
    }
    // RFC 1996 §3.7: one question, the zone's SOA.
    let zone = match read_question(octets) {
        Ok((1, name, TYPE_SOA)) => Name::from_wire(&name).ok(),
        _ => None,
    };
    let Some(zone) = zone else {
        return refuse(&message, Rcode::FORMERR, "no question for a SOA");
    };
    // The address before the key: a signature costs much to verify, and a stranger's is not worth it.
    let sender = table
        .zones
        .get(&zone)
        .map(|sender| &table.senders[*sender as usize])
        .filter(|sender| sender.addresses.contains(&from));
    let Some(sender) = sender else {
        return refuse(&message, Rcode::NOTAUTH, "not a zone of this primary");
    };
    match &sender.key {
        None => accept(&message, None, zone),
        Some(key) => {
            let verified =
                ServerTransaction::request::<Arc<Key>, _>(&key.0, &mut message, Time48::now());
            match verified {
                Ok(None) if table.signed_only => refuse(&message, Rcode::REFUSED, "not signed"),
                Ok(signer) => accept(&message, signer, zone),
                Err(fault) => NotifyAnswer {
                    reply: fault
                        .build_message(&message, empty_message())
                        .ok()
                        .map(|built| built.finish().as_dgram_slice().to_vec()),
                    zone: None,
                    refused: Some("wrong signature"),
                },
            }
        }
    }
}

/// Returns an empty message to be built.
fn empty_message() -> MessageBuilder<StreamTarget<Vec<u8>>> {
    MessageBuilder::from_target(StreamTarget::new_vec()).expect("a vector takes a header")
}

/// Acknowledges a NOTIFY (RFC 1996 §4.7).
fn accept(
    message: &Message<Vec<u8>>,
    signer: Option<ServerTransaction<Arc<Key>>>,
    zone: Name,
) -> NotifyAnswer {
    NotifyAnswer {
        reply: reply(message, Rcode::NOERROR, signer),
        zone: Some(zone),
        refused: None,
    }
}

/// Answers with an error.
fn refuse(message: &Message<Vec<u8>>, rcode: Rcode, why: &'static str) -> NotifyAnswer {
    NotifyAnswer {
        reply: reply(message, rcode, None),
        zone: None,
        refused: Some(why),
    }
}

/// Builds an answer.
fn reply(
    message: &Message<Vec<u8>>,
    rcode: Rcode,
    signer: Option<ServerTransaction<Arc<Key>>>,
) -> Option<Vec<u8>> {
    let builder = empty_message();
    let mut answer = builder.start_answer(message, rcode).ok()?;
    answer.header_mut().set_opcode(message.header().opcode());
    answer.header_mut().set_aa(true);
    let mut additional = answer.additional();
    if let Some(signer) = signer {
        signer.answer(&mut additional, Time48::now()).ok()?;
    }
    Some(additional.finish().as_dgram_slice().to_vec())
}

/// Hears NOTIFY messages until it is dropped.
pub struct NotifyListener {
    /// The zones that are due, as they are marked.
    pub due: mpsc::Receiver<Name>,
    tasks: JoinSet<()>,
}

/// What was done with the messages that this process heard.
static HEARD: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
/// The words of [`HEARD`].
const RESULTS: [&str; 3] = ["taken", "left to the schedule", "passed over"];

/// Returns how many NOTIFY messages this process heard, by what was done with them.
pub fn notify_counts() -> [(&'static str, u64); 3] {
    let count = |at: usize| (RESULTS[at], HEARD[at].load(Ordering::Relaxed));
    [count(0), count(1), count(2)]
}

/// What the tasks of a listener share.
#[derive(Clone)]
struct Hearing {
    table: Arc<RwLock<NotifyTable>>,
    due: mpsc::Sender<Name>,
    dropped: Arc<Mutex<Dropped>>,
}

/// The messages that did not fit since that was last logged.
#[derive(Default)]
struct Dropped {
    count: u64,
    told_at: Option<Instant>,
}

impl Dropped {
    /// Counts a message. Returns how many to tell of now: one line in [`DROPPED_EVERY`] at most.
    fn add(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        let is_told = self.told_at.is_some_and(|at| now - at < DROPPED_EVERY);
        (!is_told).then(|| {
            self.told_at = Some(now);
            std::mem::take(&mut self.count)
        })
    }
}

impl NotifyListener {
    /// Listens on UDP and TCP of every address.
    ///
    /// # Errors
    ///
    /// If one cannot be bound; the error names it.
    pub async fn bind(listen: &[SocketAddr], table: Arc<RwLock<NotifyTable>>) -> io::Result<Self> {
        // What does not fit is dropped: a primary repeats a NOTIFY, and the schedule comes around.
        let (sender, due) = mpsc::channel(4096);
        let hearing = Hearing {
            table,
            due: sender,
            dropped: Arc::default(),
        };
        let mut tasks = JoinSet::new();
        for address in listen {
            let name =
                |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
            let udp = UdpSocket::bind(address).await.map_err(name)?;
            // Port 0 is for tests; both must share what was given.
            let local = udp.local_addr().map_err(name)?;
            let tcp = TcpListener::bind(local).await.map_err(name)?;
            tasks.spawn(hear_datagrams(udp, hearing.clone()));
            tasks.spawn(hear_connections(tcp, hearing.clone()));
        }
        Ok(Self { due, tasks })
    }
}

impl NotifyListener {
    /// Ends listening; its ports are free when this returns.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Hearing {
    /// Answers one message and marks its zone.
    fn hear(&self, octets: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        let answer = {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            answer_notify(octets, from.ip().to_canonical(), &table)
        };
        match (&answer.zone, answer.refused) {
            (Some(zone), _) => {
                tracing::debug!(%zone, %from, "zone {zone}: NOTIFY from {from}");
                // Never waits: a full queue must not hold up answers, or primaries would repeat what is not
                // answered.
                let is_left = self.due.try_send(zone.clone()).is_err();
                HEARD[usize::from(is_left)].fetch_add(1, Ordering::Relaxed);
                if is_left {
                    let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(count) = dropped.add(Instant::now()) {
                        let messages = counted(count, "NOTIFY message");
                        tracing::warn!(%zone, count, "zone {zone}: too many NOTIFY messages at once; {messages} since the last such line left to the schedule");
                    }
                }
            }
            (None, why) => {
                let why = why.unwrap_or_default();
                HEARD[2].fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%from, "NOTIFY from {from} passed over: {why}");
            }
        }
        answer.reply
    }
}

/// Answers datagrams.
async fn hear_datagrams(socket: UdpSocket, hearing: Hearing) {
    let mut buffer = [0; MESSAGE_OCTETS_MAX];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            // Such as the echo of an answer that its sender no longer wanted.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if let Some(reply) = hearing.hear(&buffer[..length], from) {
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

/// Answers connections.
async fn hear_connections(listener: TcpListener, hearing: Hearing) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = room
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // Strangers do not take the room of the primaries.
        let is_known = {
            let table = hearing.table.read().unwrap_or_else(PoisonError::into_inner);
            table.knows(from.ip().to_canonical())
        };
        if !is_known {
            continue;
        }
        let hearing = hearing.clone();
        tokio::spawn(async move {
            hear_connection(stream, from, &hearing).await;
            drop(permit);
        });
    }
}

/// Answers the messages of one connection.
async fn hear_connection(mut stream: TcpStream, from: SocketAddr, hearing: &Hearing) {
    for _ in 0..MESSAGES_OF_CONNECTION_MAX {
        let read = async {
            let length = stream.read_u16().await? as usize;
            if length > MESSAGE_OCTETS_MAX {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            let mut octets = vec![0; length];
            stream.read_exact(&mut octets).await?;
            Ok::<_, io::Error>(octets)
        };
        let Ok(Ok(octets)) = timeout(CONNECTION_TIMEOUT, read).await else {
            return;
        };
        let Some(reply) = hearing.hear(&octets, from) else {
            return;
        };
        let framed = [&(reply.len() as u16).to_be_bytes()[..], &reply].concat();
        if !matches!(
            timeout(CONNECTION_TIMEOUT, stream.write_all(&framed)).await,
            Ok(Ok(()))
        ) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(signed_only: bool) -> NotifyTable {
        let mut table = NotifyTable {
            signed_only,
            ..NotifyTable::default()
        };
        let name = Name::parse("k.test").expect("valid");
        let key = TransferKey::new(&name, "hmac-sha256", "c2VjcmV0").expect("sound");
        let plain = table.add_sender(&["192.0.2.1:53".parse().expect("an address")], None);
        let signed = table.add_sender(&["192.0.2.2:53".parse().expect("an address")], Some(key));
        table.add_zone(Name::parse("plain.test").expect("valid"), plain);
        table.add_zone(Name::parse("signed.test").expect("valid"), signed);
        table
    }

    /// A NOTIFY for a zone.
    fn notify(zone: &[u8]) -> Vec<u8> {
        let mut octets = vec![0, 7, 0x24, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        octets.extend(zone);
        octets.extend([0, 6, 0, 1]);
        octets
    }

    const PLAIN: &[u8] = b"\x05PLAIN\x04test\x00";
    const SIGNED: &[u8] = b"\x06signed\x04test\x00";

    #[test]
    fn only_the_zones_primaries_are_believed() {
        let table = table(false);
        let at = |octets: &[u8], from: &str| {
            answer_notify(octets, from.parse().expect("an address"), &table)
        };
        let good = at(&notify(PLAIN), "192.0.2.1");
        assert_eq!(good.zone, Name::parse("plain.test").ok());
        let reply = good.reply.expect("acknowledged");
        assert_eq!((reply[1], reply[2] & 0xf8, reply[3] & 15), (7, 0xa0, 0));
        assert_eq!(at(&notify(PLAIN), "192.0.2.9").reply, None);
        let foreign = at(&notify(PLAIN), "192.0.2.2");
        assert_eq!(
            (foreign.zone, foreign.refused),
            (None, Some("not a zone of this primary"))
        );
        let mut response = notify(PLAIN);
        response[2] |= 0x80;
        assert_eq!(at(&response, "192.0.2.1").reply, None);
    }

    #[test]
    fn an_unsigned_message_is_refused_where_signed_ones_are_asked_for() {
        let from = "192.0.2.2".parse().expect("an address");
        assert!(
            answer_notify(&notify(SIGNED), from, &table(false))
                .zone
                .is_some()
        );
        let refused = answer_notify(&notify(SIGNED), from, &table(true));
        assert_eq!((refused.zone, refused.refused), (None, Some("not signed")));
    }

    #[test]
    fn messages_that_do_not_fit_are_one_line_a_minute_with_their_count() {
        let mut dropped = Dropped::default();
        let start = Instant::now();
        assert_eq!(dropped.add(start), Some(1));
        for second in 1..60 {
            assert_eq!(dropped.add(start + Duration::from_secs(second)), None);
        }
        assert_eq!(dropped.add(start + DROPPED_EVERY), Some(60));
    }

    #[test]
    fn a_question_of_another_class_is_no_notify() {
        let mut octets = notify(PLAIN);
        let last = octets.len() - 1;
        octets[last] = 3;
        let from = "192.0.2.1".parse().expect("an address");
        let answer = answer_notify(&octets, from, &table(false));
        assert_eq!(
            (answer.zone, answer.refused),
            (None, Some("no question for a SOA"))
        );
    }

    proptest! {
        #[test]
        fn arbitrary_octets_never_panic(octets in prop::collection::vec(any::<u8>(), 0..120), tail in prop::collection::vec(any::<u8>(), 0..80)) {
            let from = "192.0.2.2".parse().expect("an address");
            let _ = answer_notify(&octets, from, &table(true));
            let mut longer = notify(SIGNED);
            longer[11] = 1;
            longer.extend(tail);
            let _ = answer_notify(&longer, from, &table(true));
        }
    }
}
