//! A primary that answers as a test wants.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub const SOA: u16 = 6;

pub const IXFR: u16 = 251;

/// A query that a scenario answers.
pub struct Asked {
    pub id: [u8; 2],
    pub rtype: u16,
    /// The serial of an IXFR query.
    pub since: u32,
    /// The question's octets.
    pub question: Vec<u8>,
    /// The whole query.
    pub octets: Vec<u8>,
    pub stream: TcpStream,
    /// How many queries of this type came before.
    pub count: usize,
}

impl Asked {
    /// Sends a message with these answers.
    pub fn send(&mut self, answers: &[Vec<u8>]) {
        let message = self.message(0, answers);
        self.send_raw(&message);
    }

    /// Returns a message.
    pub fn message(&self, rcode: u8, answers: &[Vec<u8>]) -> Vec<u8> {
        let mut message = self.id.to_vec();
        message.extend([0x84, rcode, 0, 1]);
        message.extend((answers.len() as u16).to_be_bytes());
        message.extend([0, 0, 0, 0]);
        message.extend(&self.question);
        answers.iter().for_each(|answer| message.extend(answer));
        message
    }

    /// Sends octets as a message. A client that has gone is no fault of the script.
    pub fn send_raw(&mut self, message: &[u8]) {
        let framed = [&(message.len() as u16).to_be_bytes()[..], message].concat();
        let _ = self.stream.write_all(&framed);
    }
}

/// Returns a name in wire form.
pub fn name(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend(label.bytes());
    }
    wire.push(0);
    wire
}

/// Returns a record.
pub fn rr(owner: &str, rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let mut record = name(owner);
    record.extend(rtype.to_be_bytes());
    record.extend([0, 1, 0, 0, 14, 16]);
    record.extend((rdata.len() as u16).to_be_bytes());
    record.extend(rdata);
    record
}

/// Returns the SOA of `example.`.
pub fn soa(serial: u32) -> Vec<u8> {
    let mut rdata = [name("ns1.infra.test"), name("host.infra.test")].concat();
    for number in [serial, 3600, 600, 86400, 300] {
        rdata.extend(number.to_be_bytes());
    }
    rr("example", SOA, &rdata)
}

/// Returns an NS record.
pub fn ns(owner: &str, host: &str) -> Vec<u8> {
    rr(&format!("{owner}.example"), 2, &name(host))
}

/// Returns a zone of 20 delegations whose `d0` uses `host`.
pub fn zone_of(serial: u32, host: &str) -> Vec<Vec<u8>> {
    let mut records = vec![
        soa(serial),
        rr("example", 2, &name("ns1.infra.test")),
        ns("d0", host),
    ];
    records.extend((1..20).map(|n| ns(&format!("d{n}"), "ns1.infra.test")));
    records.push(soa(serial));
    records
}

/// Starts a primary that answers SOA queries with `serial` and transfers with `script`.
pub fn primary(serial: u32, script: impl Fn(&mut Asked) + Send + Sync + 'static) -> SocketAddr {
    primary_with(move || serial, move |asked, _| script(asked))
}

/// [`primary`] whose serial moves: the script is told the serial of the time.
pub fn primary_with(
    serial: impl Fn() -> u32 + Send + Sync + 'static,
    script: impl Fn(&mut Asked, u32) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("bound");
    let script = Arc::new(script);
    let count = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (script, count, serial) = (script.clone(), count.clone(), serial());
            thread::spawn(move || {
                serve(stream, serial, &|asked| script(asked, serial), &count);
            });
        }
    });
    address
}

/// Answers the queries of one connection.
pub fn serve(mut stream: TcpStream, serial: u32, script: &dyn Fn(&mut Asked), count: &AtomicUsize) {
    loop {
        let mut length = [0; 2];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut octets = vec![0; u16::from_be_bytes(length) as usize];
        stream.read_exact(&mut octets).expect("a whole query");
        let end = 12
            + octets[12..]
                .iter()
                .position(|octet| *octet == 0)
                .expect("a name")
            + 5;
        let rtype = u16::from_be_bytes([octets[end - 4], octets[end - 3]]);
        let since = match rtype {
            // The serial stands before the last four numbers of the SOA, which ends the query unless it
            // is signed.
            IXFR => {
                let rdata = end
                    + octets[end..]
                        .windows(4)
                        .position(|it| it == [0, 6, 0, 1])
                        .expect("a SOA")
                    + 10;
                u32::from_be_bytes(octets[rdata + 2..rdata + 6].try_into().expect("four"))
            }
            _ => 0,
        };
        let mut asked = Asked {
            id: [octets[0], octets[1]],
            rtype,
            since,
            question: octets[12..end].to_vec(),
            octets,
            stream: stream.try_clone().expect("cloned"),
            count: 0,
        };
        if rtype == SOA && asked.octets.len() == end {
            asked.send(&[soa(serial)]);
        } else {
            asked.count = count.fetch_add(1, Ordering::SeqCst);
            script(&mut asked);
        }
    }
}
