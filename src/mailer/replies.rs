//! What a mail server says, one bounded reply for each command, and not an octet more.
//!
//! RFC 5321 §4.2: a reply is one or more lines; all but the last have a `-` behind the code. The mail library reads
//! ahead of a reply's end and looks at its length late. So it reads through this.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The most octets of a line. RFC 5321 §4.5.3.1.5 lets a line have 512; Postfix breaks its own at 2,048.
const LINE_OCTETS_MAX: usize = 2048;
/// The most lines of a reply: a server with every extension in use answers EHLO with some 20.
const LINES_MAX: usize = 100;
/// How many octets are read at a time.
const CHUNK_OCTETS: usize = 1024;
/// The most characters of unasked words that an error repeats.
const UNASKED_SHOWN_MAX: usize = 80;
/// What stands for the greeting of a server that has greeted already.
const GREETING: &[u8] = b"220 greeted before\r\n";

/// Whether a message was handed to a server that did not say what became of it. Shared with who waits for the server: the
/// connection may be gone by then.
#[derive(Clone, Default)]
pub(super) struct Handed(Arc<AtomicBool>);

impl Handed {
    /// Notes a reply by its first octets: the server asks for the message, or refuses it.
    fn note(&self, line: &[u8]) {
        match line.first() {
            // RFC 5321 §4.1.1.4: after 354 the server takes what comes for the message.
            Some(b'3') if line.starts_with(b"354") => self.0.store(true, Ordering::Relaxed),
            Some(b'4' | b'5') => self.0.store(false, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Returns whether the server may have the message.
    pub(super) fn is_without_answer(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection to a mail server that hands on one reply for each command.
///
/// Whatever the server says behind a reply, before the next command, ends the connection at that command: it may
/// not be taken for the reply to it, nor, behind STARTTLS, for something that was said under TLS (RFC 3207 §4.2).
pub(super) struct Replies<S> {
    stream: S,
    peer: SocketAddr,
    /// The line that is not whole yet.
    line: Vec<u8>,
    /// Whole lines that are not handed on yet.
    ready: Vec<u8>,
    /// The lines of this reply.
    line_count: usize,
    /// Whether the reply is whole: what comes now was not asked for.
    is_whole: bool,
    /// What came that was not asked for.
    unasked: Vec<u8>,
    handed: Handed,
}

impl<S> fmt::Debug for Replies<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replies({})", self.peer)
    }
}

impl<S> Replies<S> {
    /// Awaits the greeting.
    pub(super) fn new(stream: S, peer: SocketAddr) -> Self {
        Self {
            stream,
            peer,
            line: Vec::new(),
            ready: Vec::new(),
            line_count: 0,
            is_whole: false,
            unasked: Vec::new(),
            handed: Handed::default(),
        }
    }

    /// Notes there whether a message was handed over.
    pub(super) fn noting(self, handed: &Handed) -> Self {
        Self {
            handed: handed.clone(),
            ..self
        }
    }

    /// Wraps a connection whose server has greeted: who reads is handed a greeting of ours.
    pub(super) fn greeted(stream: S, peer: SocketAddr) -> Self {
        Self {
            ready: GREETING.to_vec(),
            is_whole: true,
            ..Self::new(stream, peer)
        }
    }

    /// Hands the greeting on once more, of ours.
    pub(super) fn greet_again(&mut self) {
        self.ready = GREETING.to_vec();
    }

    /// Takes octets that arrived, up to the end of the reply.
    fn take(&mut self, octets: &[u8]) -> io::Result<()> {
        for (i, octet) in octets.iter().enumerate() {
            self.line.push(*octet);
            if self.line.len() > LINE_OCTETS_MAX {
                return Err(fault(format!(
                    "a line of the reply is longer than {LINE_OCTETS_MAX} bytes"
                )));
            }
            if *octet == b'\n' {
                self.take_line()?;
                // What stands behind the end of the reply is kept apart: it was said before the next command was.
                if self.is_whole {
                    self.unasked.extend_from_slice(&octets[i + 1..]);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes the line that is whole now.
    fn take_line(&mut self) -> io::Result<()> {
        self.line_count += 1;
        if self.line_count > LINES_MAX {
            return Err(fault(format!("the reply has more than {LINES_MAX} lines")));
        }
        // A server that takes the message with a word in Latin-1 has taken it.
        let text = String::from_utf8_lossy(&self.line);
        self.ready.extend_from_slice(text.as_bytes());
        // RFC 5321 §4.2.1.
        self.is_whole = self.line.get(3) != Some(&b'-');
        if self.is_whole {
            self.handed.note(&self.line);
        }
        self.line.clear();
        Ok(())
    }

    /// Returns the error of a server that speaks when it was not asked.
    fn unasked_fault(&self) -> io::Error {
        let words = String::from_utf8_lossy(&self.unasked);
        let words: String = words.trim_end().chars().take(UNASKED_SHOWN_MAX).collect();
        fault(format!("the server spoke unasked: {words}"))
    }
}

impl<S: AsyncRead + Unpin> Replies<S> {
    /// Reads one reply.
    ///
    /// # Errors
    ///
    /// If it is too long, or the connection ends in it.
    pub(super) async fn read_reply(&mut self) -> io::Result<String> {
        let mut reply = Vec::new();
        let mut chunk = [0; CHUNK_OCTETS];
        loop {
            let count = self.read(&mut chunk).await?;
            if count == 0 {
                return Err(fault(
                    "the server closed in the middle of a reply".to_owned(),
                ));
            }
            reply.extend_from_slice(&chunk[..count]);
            if self.is_whole && self.ready.is_empty() {
                return Ok(String::from_utf8_lossy(&reply).into_owned());
            }
        }
    }

    /// Returns the connection below, if nothing that was not asked for came over it.
    ///
    /// What arrives later is read by whoever has it then: by TLS, to which words in the clear are no handshake.
    ///
    /// # Errors
    ///
    /// If the server spoke unasked.
    pub(super) fn into_stream(self) -> io::Result<S> {
        if self.unasked.is_empty() {
            Ok(self.stream)
        } else {
            Err(self.unasked_fault())
        }
    }

    /// Looks whether the server said something since its reply.
    fn poll_unasked(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let mut chunk = [0; CHUNK_OCTETS];
        let mut read = ReadBuf::new(&mut chunk);
        // That the connection has ended is seen by who awaits the reply.
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.stream).poll_read(context, &mut read) {
            self.unasked.extend_from_slice(read.filled());
        }
        if self.unasked.is_empty() {
            Ok(())
        } else {
            Err(self.unasked_fault())
        }
    }
}

/// Returns the error of a server that does not keep to the protocol.
fn fault(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Replies<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let replies = self.get_mut();
        loop {
            if !replies.ready.is_empty() {
                let count = replies.ready.len().min(buffer.remaining());
                buffer.put_slice(&replies.ready[..count]);
                replies.ready.drain(..count);
                return Poll::Ready(Ok(()));
            }
            if replies.is_whole {
                let what = "the reply cannot be understood".to_owned();
                return Poll::Ready(Err(fault(what)));
            }
            let mut chunk = [0; CHUNK_OCTETS];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut replies.stream).poll_read(context, &mut read))?;
            // The end of the connection; the library says what that means where it reads.
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            replies.take(read.filled())?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Replies<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let replies = self.get_mut();
        if replies.is_whole {
            replies.poll_unasked(context)?;
        }
        let count = ready!(Pin::new(&mut replies.stream).poll_write(context, octets))?;
        if count > 0 {
            replies.is_whole = false;
            replies.line_count = 0;
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> AsyncTokioStream for Replies<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// Returns our end and the server's.
    fn pair() -> (Replies<DuplexStream>, DuplexStream) {
        let (ours, server) = duplex(1 << 20);
        let peer = SocketAddr::from(([127, 0, 0, 1], 25));
        (Replies::new(ours, peer), server)
    }

    /// Returns what is read of a reply, or why it is not taken.
    async fn reply_to(said: &[u8]) -> Result<String, String> {
        let (mut ours, mut server) = pair();
        server.write_all(said).await.expect("there is room");
        drop(server);
        ours.read_reply().await.map_err(|fault| fault.to_string())
    }

    #[tokio::test]
    async fn reply_is_bounded_in_its_lines_and_in_their_length() {
        let sound = "250-first\r\n250 last\r\n";
        assert_eq!(reply_to(sound.as_bytes()).await.as_deref(), Ok(sound));
        let latin = reply_to(b"250 \xfcbernommen\r\n").await.expect("taken");
        assert_eq!(latin, "250 \u{fffd}bernommen\r\n");
        let long = format!("250 {}\r\n", "x".repeat(LINE_OCTETS_MAX));
        let fault = reply_to(long.as_bytes()).await.expect_err("too long");
        assert!(fault.contains("longer than 2048 bytes"), "{fault}");
        // Not once the line has ended: one that never ends is refused as well.
        let endless = reply_to(&long.as_bytes()[..LINE_OCTETS_MAX + 1]).await;
        assert!(endless.expect_err("too long").contains("longer than"));
        let lines = |count: usize| "250-x\r\n".repeat(count - 1) + "250 x\r\n";
        assert!(reply_to(lines(LINES_MAX).as_bytes()).await.is_ok());
        let fault = reply_to(lines(LINES_MAX + 1).as_bytes()).await;
        assert!(fault.expect_err("too many").contains("more than 100 lines"));
        let cut = reply_to(b"250-first\r\n").await.expect_err("cut off");
        assert!(cut.contains("closed"), "{cut}");
    }

    #[tokio::test]
    async fn what_is_said_behind_a_reply_is_never_the_next_one() {
        for is_late in [false, true] {
            let (mut ours, mut server) = pair();
            let said: &[u8] = if is_late {
                b"220 a\r\n"
            } else {
                b"220 a\r\n250 b\r\n"
            };
            server.write_all(said).await.expect("there is room");
            assert_eq!(ours.read_reply().await.expect("a reply"), "220 a\r\n");
            if is_late {
                server.write_all(b"250 b\r\n").await.expect("there is room");
            }
            let fault = ours.write_all(b"NOOP\r\n").await.expect_err("refused");
            assert_eq!(fault.to_string(), "the server spoke unasked: 250 b");
            assert!(ours.into_stream().is_err());
        }
    }

    #[tokio::test]
    async fn message_is_handed_over_from_354_until_it_is_refused() {
        for (answer, may_be_taken) in [("451 no\r\n", false), ("250 ok\r\n", true)] {
            let (ours, mut server) = pair();
            let handed = Handed::default();
            let mut ours = ours.noting(&handed);
            for text in ["220 a\r\n", "250 b\r\n", "354-go\r\n354 on\r\n"] {
                assert!(!handed.is_without_answer());
                server.write_all(text.as_bytes()).await.expect("room");
                ours.read_reply().await.expect("a reply");
                ours.write_all(b"NEXT\r\n").await.expect("sent");
            }
            assert!(handed.is_without_answer());
            server.write_all(answer.as_bytes()).await.expect("room");
            ours.read_reply().await.expect("a reply");
            assert_eq!(handed.is_without_answer(), may_be_taken, "{answer}");
        }
    }

    #[tokio::test]
    async fn reply_after_a_command_is_its_own() {
        let (mut ours, mut server) = pair();
        for text in ["220 a\r\n", "250-b\r\n250 c\r\n", "354 d\r\n"] {
            server.write_all(text.as_bytes()).await.expect("room");
            assert_eq!(ours.read_reply().await.expect("a reply"), text);
            ours.write_all(b"NEXT\r\n").await.expect("sent");
        }
        let read = ours.read_reply();
        drop(server);
        assert!(read.await.is_err());
    }
}
