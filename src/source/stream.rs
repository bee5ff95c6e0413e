//! The octets of a transfer: connections, and messages read ahead of the reader.
//!
//! The socket is emptied as fast as it fills by a task of its own, behind a buffer with a limit: a
//! Knot with its default settings closes a connection whose reader stalls for half a second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::source::tls::TransferTls;
use crate::zone::Refusal;

/// The most octets of messages that wait to be interpreted.
// Knot closes a connection whose reader stalls for half a second, and comparing a zone may take longer than that.
const AHEAD_OCTETS_MAX: usize = 16 << 20;
/// The most messages that wait to be interpreted.
// An empty message takes nothing of the octets above, so that the count needs a bound of its own.
const AHEAD_MESSAGES_MAX: usize = 4096;
/// How much is read from the socket at a time.
const READ_OCTETS: usize = 256 << 10;

/// A connection, encrypted or not.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection to a primary.
pub(super) struct Connection {
    stream: BufReader<Box<dyn Duplex>>,
    idle: Duration,
}

/// A message with its right to a part of the buffer.
type ReadAhead = Result<(Vec<u8>, OwnedSemaphorePermit), Refusal>;

/// Messages of a connection, read ahead.
pub(super) struct MessageStream {
    messages: mpsc::Receiver<ReadAhead>,
    reader: JoinHandle<()>,
}

impl Connection {
    /// Opens a connection.
    pub async fn open(
        primary: SocketAddr,
        tls: Option<&TransferTls>,
        connect: Duration,
        idle: Duration,
    ) -> Result<Self, Refusal> {
        let stream = match timeout(connect, TcpStream::connect(primary)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Refusal::Unreachable(format!("{primary}: {error}"))),
            Err(_) => {
                let limit = connect.as_secs();
                return Err(Refusal::Unreachable(format!(
                    "{primary}: no answer in {limit} s"
                )));
            }
        };
        // Small writes, each a whole message: nothing to gather.
        let _ = stream.set_nodelay(true);
        let stream: Box<dyn Duplex> = match tls {
            Some(tls) => Box::new(tls.connect(stream, connect).await?),
            None => Box::new(stream),
        };
        Ok(Self {
            stream: BufReader::with_capacity(READ_OCTETS, stream),
            idle,
        })
    }

    /// Writes one message; its length stands in front already.
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), Refusal> {
        let write = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        match timeout(self.idle, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Refusal::EndedEarly(format!(
                "connection broke while asking: {error}"
            ))),
            Err(_) => Err(Refusal::Timeout("the query could not be sent".to_owned())),
        }
    }

    /// Reads one message, without its length.
    pub async fn receive(&mut self) -> Result<Vec<u8>, Refusal> {
        let read = async {
            let length = self.stream.read_u16().await?;
            let mut octets = vec![0; length as usize];
            self.stream.read_exact(&mut octets).await?;
            Ok::<_, std::io::Error>(octets)
        };
        match timeout(self.idle, read).await {
            Ok(Ok(octets)) => Ok(octets),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Refusal::EndedEarly(
                    "the connection was closed before the answer was complete".to_owned(),
                ))
            }
            Ok(Err(error)) => Err(Refusal::EndedEarly(format!(
                "the connection broke before the answer was complete: {error}"
            ))),
            Err(_) => Err(Refusal::Timeout(format!(
                "the primary sent no whole message in {} s",
                self.idle.as_secs()
            ))),
        }
    }

    /// Reads messages ahead from now on.
    pub fn into_messages(mut self) -> MessageStream {
        let (sender, messages) = mpsc::channel(AHEAD_MESSAGES_MAX);
        // Counts octets and not messages: a primary may send 60,000 messages of one record as well as 10 of 64 KiB.
        let room = Arc::new(Semaphore::new(AHEAD_OCTETS_MAX));
        let reader = tokio::spawn(async move {
            loop {
                let message = self.receive().await;
                // After a fault the stream is out of step: what follows could be taken for the length of a message.
                let is_last = message.is_err();
                let ahead = match message {
                    Ok(octets) => {
                        // Two octets hold the length (RFC 1035 §4.2.2): a message always fits into the whole room.
                        let size = octets.len() as u32;
                        let permit = room.clone().acquire_many_owned(size).await;
                        Ok((octets, permit.expect("the semaphore is never closed")))
                    }
                    Err(refusal) => Err(refusal),
                };
                if sender.send(ahead).await.is_err() || is_last {
                    return;
                }
            }
        });
        MessageStream { messages, reader }
    }
}

impl MessageStream {
    /// Returns the next message. After a fault there is none.
    pub async fn next(&mut self) -> Result<Vec<u8>, Refusal> {
        match self.messages.recv().await {
            Some(ahead) => ahead.map(|(octets, _)| octets),
            None => Err(Refusal::EndedEarly(
                "the connection is at its end".to_owned(),
            )),
        }
    }
}

impl Drop for MessageStream {
    fn drop(&mut self) {
        // A transfer that was refused half-way must not keep its connection, nor the primary's place for one.
        self.reader.abort();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // However the octets of a stream arrive, the messages are the same, in order, none lost.
        #[test]
        fn any_split_into_reads_gives_the_same_messages(
            sizes in prop::collection::vec(0_usize..3000, 0..20),
            reads in prop::collection::vec(1_usize..700, 1..12),
        ) {
            let messages: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, size)| vec![i as u8; *size]).collect();
            let mut octets = Vec::new();
            for message in &messages {
                octets.extend((message.len() as u16).to_be_bytes());
                octets.extend(message);
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let heard = runtime.block_on(async {
                let (near, mut far) = tokio::io::duplex(512);
                tokio::spawn(async move {
                    let (mut rest, mut i) = (octets.as_slice(), 0);
                    while !rest.is_empty() {
                        let (now, later) = rest.split_at(reads[i % reads.len()].min(rest.len()));
                        far.write_all(now).await.expect("the reader is there");
                        tokio::task::yield_now().await;
                        (rest, i) = (later, i + 1);
                    }
                });
                let connection = Connection {
                    stream: BufReader::with_capacity(READ_OCTETS, Box::new(near)),
                    idle: Duration::from_secs(10),
                };
                let mut stream = connection.into_messages();
                let mut heard = Vec::new();
                while let Ok(message) = stream.next().await {
                    heard.push(message);
                }
                heard
            });
            prop_assert_eq!(heard, messages);
        }
    }
}
