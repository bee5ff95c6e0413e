//! Counts the records that hickory's zone transfer loses. This is why fluxwatch transfers zones with
//! a loop of its own (`src/source/transfer.rs`) and not with hickory.
//!
//! Measured: one AXFR of a zone whose size is known, from a real server on loopback, is received
//!
//! - by [`Client::zone_transfer`](ClientHandle::zone_transfer) of hickory-net 0.26, on both kinds of
//!   tokio's runtime, by a caller that does nothing with a message but count its records;
//! - by a plain loop over the same runtime's socket, which reads each message and counts the answers
//!   that its header announces. It must come to the zone's size, or the measurement is void.
//!
//! Why records are lost: hickory's `DnsMultiplexer` hands each message to the caller through a channel
//! of 8 places (32 in hickory-client 0.25) and does not wait for a free one. A message that finds the
//! channel full is dropped with a warning in the log, and the stream goes on. Unless the last message
//! is among those, the stream ends as that of a complete transfer does, and no caller can tell the two
//! apart; if it is, the stream ends when the server closes the connection or the time is over. How many
//! are dropped depends on how the two tasks are scheduled: two threads fare better than one, and some
//! transfers are complete. Known since 2023-10-05: <https://github.com/hickory-dns/hickory-dns/issues/2049>.
//!
//! `benches/hickory-transfer/run` makes the zone, starts the server (Knot) and runs this program.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use hickory_net::client::{Client, ClientHandle};
use hickory_net::proto::rr::{Name, RecordType};
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tracing::field::Visit;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// How long hickory may take for a whole transfer: long enough never to be what ends one.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server may be silent while the plain loop misses records.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long the plain loop looks for records beyond those it expects.
const AFTERMATH: Duration = Duration::from_millis(200);
/// The octets of a message's header.
const HEADER_LENGTH: usize = 12;

/// Runs the measurement that the command line asks for.
fn main() -> ExitCode {
    let result = Plan::from_arguments().and_then(|plan| plan.run());
    if let Err(error) = &result {
        eprintln!("hickory-transfer: {error}");
    }
    ExitCode::from(u8::from(result.is_err()))
}

/// What to measure, as the command line says.
struct Plan {
    /// Where the server listens.
    server: SocketAddr,
    /// The zone's apex, with its final dot.
    apex: String,
    /// The records of a complete transfer, the SOA counted twice.
    expected: u64,
    /// How often to transfer the zone on each kind of runtime.
    runs: u32,
}

impl Plan {
    /// Reads the command line.
    fn from_arguments() -> Result<Plan, Box<dyn Error>> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [server, apex, expected, runs] = arguments.as_slice() else {
            return Err(
                "usage: hickory-transfer ADDRESS:PORT APEX RECORDS RUNS; benches/hickory-transfer/run gives these".into(),
            );
        };
        Ok(Plan {
            server: server.parse()?,
            apex: apex.clone(),
            expected: expected.parse()?,
            runs: runs.parse()?,
        })
    }

    /// Transfers the zone as often as asked and prints the table.
    fn run(&self) -> Result<(), Box<dyn Error>> {
        tracing::subscriber::set_global_default(DropCounter)?;
        println!(
            "{:>3}  {:<7}  {:>8}  {:>8}  {:>6}  {:>8}  {:>10}  how hickory's stream ended",
            "run", "threads", "expected", "hickory", "%", "dropped", "plain loop"
        );
        let (mut transfers, mut incomplete, mut silent) = (0, 0, 0);
        for run in 1..=self.runs {
            for threads in [Threads::One, Threads::Many] {
                let runtime = threads.build_runtime()?;
                let hickory = runtime.block_on(self.count_with_hickory())?;
                let plain = runtime.block_on(self.count_plainly())?;
                println!(
                    "{run:>3}  {:<7}  {:>8}  {:>8}  {:>6}  {:>8}  {plain:>10}  {}",
                    threads.name(),
                    self.expected,
                    hickory.records,
                    percent(hickory.records, self.expected),
                    hickory.dropped,
                    hickory.end
                );
                if plain != self.expected {
                    return Err(format!(
                        "the plain loop counted {plain} records and not {}: the measurement is void",
                        self.expected
                    )
                    .into());
                }
                transfers += 1;
                if hickory.records != self.expected {
                    incomplete += 1;
                    silent += u32::from(!matches!(hickory.end, End::Error(_)));
                }
            }
        }
        println!(
            "\nhickory: {incomplete} of {transfers} transfers were incomplete, {silent} of these without an error."
        );
        println!("plain loop: all {transfers} transfers were complete.");
        Ok(())
    }

    /// Transfers the zone with hickory and counts the records that reach its caller.
    async fn count_with_hickory(&self) -> Result<Outcome, Box<dyn Error>> {
        let dropped_before = DROPPED.load(Ordering::Relaxed);
        let (connect, handle) = TcpClientStream::new(
            self.server,
            None,
            Some(TRANSFER_TIMEOUT),
            TokioRuntimeProvider::new(),
        );
        let (mut client, background) =
            Client::<TokioRuntimeProvider>::with_timeout(connect.await?, handle, TRANSFER_TIMEOUT);
        let background = tokio::spawn(background);
        let mut stream = client.zone_transfer(Name::from_ascii(&self.apex)?, None);
        let (mut records, mut end) = (0, End::Unclosed);
        while let Some(message) = stream.next().await {
            match message {
                Ok(message) => {
                    records += message.answers.len() as u64;
                    let last = message.answers.last();
                    if records > 1 && last.is_some_and(|it| it.record_type() == RecordType::SOA) {
                        end = End::Closed;
                    }
                }
                Err(error) => {
                    end = End::Error(error.to_string());
                    break;
                }
            }
        }
        background.abort();
        let dropped = DROPPED.load(Ordering::Relaxed) - dropped_before;
        Ok(Outcome {
            records,
            dropped,
            end,
        })
    }

    /// Transfers the zone with a plain loop and counts the records that the headers announce.
    async fn count_plainly(&self) -> Result<u64, Box<dyn Error>> {
        let mut stream = TcpStream::connect(self.server).await?;
        stream.write_all(&axfr_query(&self.apex)).await?;
        let (mut records, mut buffer) = (0, Vec::new());
        loop {
            let patience = if records < self.expected {
                SILENCE_MAX
            } else {
                AFTERMATH
            };
            match timeout(patience, read_message(&mut stream, &mut buffer)).await {
                Ok(read) => read?,
                Err(_) => return Ok(records),
            }
            // RFC 1035 §4.1.1: QR is the third octet's first bit, the rcode the fourth's last four.
            if buffer.len() < HEADER_LENGTH || buffer[2] & 0x80 == 0 || buffer[3] & 0x0f != 0 {
                return Err("the server refuses the transfer or sends what is no answer".into());
            }
            records += u64::from(u16::from_be_bytes([buffer[6], buffer[7]]));
        }
    }
}

/// The kind of tokio's runtime that a transfer runs on.
#[derive(Clone, Copy)]
enum Threads {
    /// One thread for hickory's background task and for the caller.
    One,
    /// A thread for the caller and one per core for the background task, as tokio does by default.
    Many,
}

impl Threads {
    /// Returns the word for the table.
    fn name(self) -> &'static str {
        match self {
            Threads::One => "one",
            Threads::Many => "many",
        }
    }

    /// Makes a new runtime of this kind.
    fn build_runtime(self) -> std::io::Result<Runtime> {
        let mut builder = match self {
            Threads::One => Builder::new_current_thread(),
            Threads::Many => Builder::new_multi_thread(),
        };
        builder.enable_all().build()
    }
}

/// What came of one transfer with hickory.
struct Outcome {
    /// The records that reached the caller.
    records: u64,
    /// The messages that hickory dropped, by its own warnings.
    dropped: u64,
    /// How the stream ended.
    end: End,
}

/// How hickory's stream ended.
enum End {
    /// With the closing SOA and no error, as a complete transfer does.
    Closed,
    /// Without the closing SOA and without an error.
    Unclosed,
    /// With an error.
    Error(String),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Closed => f.write_str("no error, closing SOA seen"),
            End::Unclosed => f.write_str("no error, no closing SOA"),
            End::Error(error) => write!(f, "error: {error}"),
        }
    }
}

/// How often hickory has warned that it dropped a message.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// A log that only counts hickory's warnings of a dropped message.
struct DropCounter;

impl Subscriber for DropCounter {
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("hickory_net::xfer")
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = MessageText::default();
        event.record(&mut text);
        if text.0.starts_with("error notifying wait") {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The text of one event of the log.
#[derive(Default)]
struct MessageText(String);

impl Visit for MessageText {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Returns the query for the whole zone at `apex`, with its length in front.
fn axfr_query(apex: &str) -> Vec<u8> {
    // RFC 1035 §4.1: an id, no flags, one question; then the name, AXFR (252) and IN (1).
    let mut message = vec![0x66, 0x03, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in apex.split_terminator('.') {
        message.push(u8::try_from(label.len()).expect("a label has at most 63 octets"));
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 252, 0, 1]);
    let length = u16::try_from(message.len()).expect("a query is short");
    [&length.to_be_bytes(), message.as_slice()].concat()
}

/// Reads one message into `buffer`.
async fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    let length = stream.read_u16().await?;
    buffer.resize(usize::from(length), 0);
    stream.read_exact(buffer).await?;
    Ok(())
}

/// Returns `part` in percent of `whole`, rounded down so that nothing but all is 100.
fn percent(part: u64, whole: u64) -> String {
    let hundredths = part * 10_000 / whole.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
