//! Asks one primary for the serials of many zones: SOA queries over UDP, many in flight, few at a time.
//!
//! A sweep only tells which zones are to be transferred; an answer that somebody forged costs a transfer
//! too many, or one that comes a poll later. Signed queries (TSIG) take signed answers only.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use domain::base::{Message, Rtype};
use domain::rdata::tsig::Time48;
use domain::tsig::{ClientTransaction, Key};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::dns::Name;
use crate::source::signature::SignatureSaid;
use crate::source::transfer::{TransferKey, check_header, read_soa, start_query};
use crate::source::wire::SoaNumbers;
use crate::zone::Refusal;

/// The most queries that wait for their answers.
// More at once could overrun the socket's buffer, or the rate limit of the primary.
const IN_FLIGHT_MAX: usize = 256;
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a query is sent before its zone is given up.
// A forged or lost answer costs one transfer too many, or one that comes a poll later: it never changes history.
const TRIES_MAX: u32 = 3;
/// So many queries in a row without an answer mean that the primary is not there, or no longer.
const SILENT_MAX: u32 = 600;
/// The most octets of an answer. A SOA with its signature has a few hundred.
const ANSWER_OCTETS_MAX: usize = 4096;

/// What a primary said of one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swept {
    /// Its SOA.
    Soa(SoaNumbers),
    /// The answer does not fit into a datagram: ask over TCP.
    OverTcp,
    /// No answer, or none that is believed.
    Refused(Refusal),
}

/// A query that waits for its answer.
struct InFlight {
    zone: usize,
    tries: u32,
    signer: Option<ClientTransaction<Arc<Key>>>,
}

/// A sweep under way.
struct Sweep<'a> {
    primary: SocketAddr,
    key: Option<&'a TransferKey>,
    zones: &'a [Name],
    socket: UdpSocket,
    answers: Vec<Option<Swept>>,
    next: usize,
    in_flight: HashMap<u16, InFlight>,
    deadlines: VecDeque<(Instant, u16, usize)>,
    ids: Ids,
    /// Queries that nobody answered in time, since the last answer.
    silent: u32,
    has_answered: bool,
}

/// Message ids that cannot be foretold.
struct Ids {
    seed: RandomState,
    count: u64,
}

impl Ids {
    /// Returns the next one.
    fn next(&mut self) -> u16 {
        self.count += 1;
        let mut hasher = self.seed.build_hasher();
        hasher.write_u64(self.count);
        // The standard library's hasher with keys of this process: who does not know them cannot foretell an id
        // from those that he saw.
        hasher.finish() as u16
    }
}

/// Asks `primary` for the SOA of every zone. Returns the answers in the order of `zones`.
///
/// [`Refusal::Unreachable`] for all of them means that it answers nothing over UDP.
pub async fn sweep_serials(
    primary: SocketAddr,
    key: Option<&TransferKey>,
    zones: &[Name],
) -> Vec<Swept> {
    let local: SocketAddr = match primary {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // No route to it, or no such family here: it is not reached, and others may be.
    let reach = async {
        let socket = UdpSocket::bind(local).await?;
        socket.connect(primary).await?;
        Ok::<_, io::Error>(socket)
    };
    let socket = match reach.await {
        Ok(socket) => socket,
        Err(error) => {
            let refusal = Refusal::Unreachable(format!("{primary}: {error}"));
            return vec![Swept::Refused(refusal); zones.len()];
        }
    };
    let mut sweep = Sweep {
        primary,
        key,
        zones,
        socket,
        answers: vec![None; zones.len()],
        next: 0,
        in_flight: HashMap::new(),
        deadlines: VecDeque::new(),
        ids: Ids {
            seed: RandomState::new(),
            count: 0,
        },
        silent: 0,
        has_answered: false,
    };
    sweep.run().await;
    let lost = || {
        Swept::Refused(Refusal::Unreachable(format!(
            "{primary}: no answer over UDP"
        )))
    };
    // A primary that has answered nothing at all is not there, rather than slow.
    let is_there = sweep.has_answered;
    let answers = sweep.answers.into_iter();
    answers
        .map(|answer| answer.filter(|_| is_there).unwrap_or_else(lost))
        .collect()
}

impl Sweep<'_> {
    /// Sends and receives until every zone has its answer or is given up.
    async fn run(&mut self) {
        let mut buffer = [0; ANSWER_OCTETS_MAX];
        loop {
            while self.next < self.zones.len() && self.in_flight.len() < IN_FLIGHT_MAX {
                let zone = self.next;
                self.next += 1;
                self.ask(zone, 1).await;
            }
            let Some((deadline, ..)) = self.deadlines.front().copied() else {
                if self.next >= self.zones.len() {
                    return;
                }
                continue;
            };
            match timeout_at(deadline, self.socket.recv(&mut buffer)).await {
                Ok(Ok(length)) => {
                    self.take(&buffer[..length]);
                    // Whatever else has arrived is taken without asking the timer again.
                    while let Ok(length) = self.socket.try_recv(&mut buffer) {
                        self.take(&buffer[..length]);
                    }
                }
                // A port that refuses, or a route that is gone, is said at once and again at each call;
                // the queries run into their deadlines.
                Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(_) => {}
            }
            self.expire().await;
            // A primary that is gone must not cost the time limit of every one of its zones.
            if self.silent > SILENT_MAX {
                return;
            }
        }
    }

    /// Sends the query of a zone.
    async fn ask(&mut self, zone: usize, tries: u32) {
        let mut id = self.ids.next();
        // Ends soon: at most IN_FLIGHT_MAX of the 65,536 ids are taken.
        while self.in_flight.contains_key(&id) {
            id = self.ids.next();
        }
        let mut query = start_query(&self.zones[zone], Rtype::SOA, id).additional();
        let signed = self
            .key
            .map(|key| ClientTransaction::request(key.0.clone(), &mut query, Time48::now()))
            .transpose();
        let signer = match signed {
            Ok(signer) => signer,
            Err(fault) => {
                self.answers[zone] = Some(Swept::Refused(Refusal::Tsig(fault.to_string())));
                return;
            }
        };
        // What cannot be sent is treated as what was lost on the way.
        let _ = self.socket.send(query.finish().as_dgram_slice()).await;
        let flight = InFlight {
            zone,
            tries,
            signer,
        };
        self.in_flight.insert(id, flight);
        self.deadlines
            .push_back((Instant::now() + ANSWER_TIMEOUT, id, zone));
    }

    /// Takes a datagram. One that is no answer to a query in flight is passed over.
    fn take(&mut self, octets: &[u8]) {
        let Some(id) = octets.first_chunk().map(|id| u16::from_be_bytes(*id)) else {
            return;
        };
        let Some(flight) = self.in_flight.get(&id) else {
            return;
        };
        let zone = flight.zone;
        let Ok(mut message) = Message::from_octets(octets.to_vec()) else {
            return;
        };
        // Any message with an id in flight shows that the primary is there; what it says is checked below.
        self.silent = 0;
        self.has_answered = true;
        // Before the signature: of a message that was cut it covers what is not here. Nothing in it is believed,
        // only that the question is better asked over TCP.
        let is_cut = octets.len() > 2 && octets[2] & 0x02 != 0;
        if is_cut {
            self.in_flight.remove(&id);
            self.answers[zone] = Some(Swept::OverTcp);
            return;
        }
        let answer = check_header(message.as_slice(), id).and_then(|()| {
            let flight = self.in_flight.remove(&id).expect("it was just there");
            if let Some(signer) = flight.signer {
                let said = SignatureSaid::of(message.as_slice());
                signer
                    .answer(&mut message, Time48::now())
                    .map_err(|fault| said.refusal(&fault))?;
            }
            read_soa(message.as_slice(), &self.zones[zone])
        });
        self.in_flight.remove(&id);
        self.answers[zone] = Some(match answer {
            Ok(soa) => Swept::Soa(soa),
            Err(refusal) => Swept::Refused(refusal),
        });
    }

    /// Repeats or gives up the queries that have waited too long.
    async fn expire(&mut self) {
        let now = Instant::now();
        while let Some((deadline, id, zone)) = self.deadlines.front().copied() {
            let is_waiting = self
                .in_flight
                .get(&id)
                .is_some_and(|flight| flight.zone == zone);
            if is_waiting && deadline > now {
                return;
            }
            // An id may be in use again for another zone, so that an old deadline is one only if its zone still
            // waits.
            self.deadlines.pop_front();
            if !is_waiting {
                continue;
            }
            let flight = self.in_flight.remove(&id).expect("it waits");
            self.silent += 1;
            if flight.tries < TRIES_MAX {
                self.ask(zone, flight.tries + 1).await;
            } else {
                let what = format!("{}: no answer to {TRIES_MAX} queries", self.primary);
                self.answers[zone] = Some(Swept::Refused(Refusal::Timeout(what)));
            }
        }
    }
}
