//! Delivers by SMTP (RFC 5321), one recipient a message.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::DEFAULT_MECHANISMS;
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Ehlo, Starttls};
use lettre::transport::smtp::extension::{Extension, ServerInfo};
use lettre::transport::smtp::response::{Response, Severity};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::mailer::blocking::run_blocking;
use crate::mailer::destination::{Destination, Encryption, SmtpSettings, Trust};
use crate::mailer::replies::{Handed, Replies};
use crate::mailer::{MailerError, parse_mailbox};
use crate::outbox::{Attempt, LEASE};

/// How long a connection to one address may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a message may take from the connection to the server's last word, and so each of its replies.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to see whether a server takes sessions.
const SESSION_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the server may take to say goodbye.
// The message is taken by then: waiting longer gains nothing.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an attempt may take in all: the message, the look whether the server takes another session, the goodbye.
const ATTEMPT_MAX: Duration = DELIVERY_TIMEOUT
    .saturating_add(SESSION_TIMEOUT)
    .saturating_add(QUIT_TIMEOUT);
const _: () = assert!(
    (ATTEMPT_MAX.as_secs() as i64) < LEASE.as_seconds(),
    "a lease covers the longest attempt"
);
/// The reply with which a server closes the connection (RFC 5321 §3.8).
const CLOSES: u16 = 421;
/// Replies that refuse the session, not the message: a wrong password is put right and the message
/// is tried again (RFC 4954 §6).
const SESSION_REPLIES: [u16; 4] = [530, 534, 535, 538];

/// A server.
pub struct SmtpMailer {
    destination: Destination,
    /// How long a message may take.
    patience: Duration,
}

impl SmtpMailer {
    /// Prepares the way to a server; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`MailerError::Url`], never with the password in it.
    pub fn new(settings: &SmtpSettings) -> Result<Self, MailerError> {
        Ok(Self {
            destination: Destination::new(settings)?,
            patience: DELIVERY_TIMEOUT,
        })
    }

    /// Delivers one message.
    pub async fn deliver(&self, sender: &str, recipient: &str, octets: &[u8]) -> Attempt {
        // What was queued before domains became A-labels has none.
        let (from, to) = match (parse_mailbox(sender), parse_mailbox(recipient)) {
            (Ok(from), Ok(to)) => (from.email, to.email),
            (Err(fault), _) | (_, Err(fault)) => return Attempt::Refused(fault.to_string()),
        };
        let envelope = match Envelope::new(Some(from), vec![to]) {
            Ok(envelope) => envelope,
            Err(fault) => return Attempt::Refused(fault.to_string()),
        };
        let handed = Handed::default();
        let sent = timeout(self.patience, self.send(&envelope, octets, &handed));
        let fault = match sent.await {
            Ok(Ok((connection, response))) => {
                quit(connection).await;
                return said(&response);
            }
            Ok(Err(fault)) => fault,
            // It may be this message's alone: of a relay that asks a slow server about its recipient, say.
            Err(_) => {
                let seconds = self.patience.as_secs();
                Fault::Broken(format!("no end of it after {seconds} s"))
            }
        };
        let attempt = match fault {
            Fault::Server(reply) => Attempt::Unreachable(reply),
            Fault::Later(reply) => Attempt::Passing(reply),
            // One that greets with 554, or is gone, refuses everything and not this message.
            Fault::Message(reply) if self.takes_sessions().await => Attempt::Refused(reply),
            Fault::Broken(reply) if self.takes_sessions().await => Attempt::Passing(reply),
            Fault::Message(reply) | Fault::Broken(reply) => Attempt::Unreachable(reply),
        };
        if handed.is_without_answer() {
            attempt.perhaps_sent()
        } else {
            attempt
        }
    }

    /// Sends one message. Returns the connection and what the server said to the end of the message.
    async fn send(
        &self,
        envelope: &Envelope,
        octets: &[u8],
        handed: &Handed,
    ) -> Result<(AsyncSmtpConnection, Response), Fault> {
        let mut connection = self.open(handed).await?;
        let sent = connection.send(envelope, octets).await;
        let response = sent.map_err(|error| classify(&error))?;
        Ok((connection, response))
    }

    /// Returns whether the server takes a session at all, encrypted and logged in as is configured.
    async fn takes_sessions(&self) -> bool {
        let look = async {
            let connection = self.open(&Handed::default()).await.ok()?;
            quit(connection).await;
            Some(())
        };
        matches!(timeout(SESSION_TIMEOUT, look).await, Ok(Some(())))
    }

    /// Opens a session, encrypted and logged in as is configured. What becomes of a message in it is noted in `handed`.
    async fn open(&self, handed: &Handed) -> Result<AsyncSmtpConnection, Fault> {
        let to = &self.destination;
        let tcp = connect(&to.host, to.port).await?;
        let peer = tcp.peer_addr().map_err(broken)?;
        let stream: Box<dyn AsyncTokioStream> = match &to.encryption {
            Encryption::None => Box::new(Replies::new(tcp, peer).noting(handed)),
            Encryption::Implicit(trust) => {
                let tls = trust.encrypt(tcp).await.map_err(broken)?;
                Box::new(Replies::new(tls, peer).noting(handed))
            }
            Encryption::Required(trust) => self.start_tls(tcp, (trust, true), handed).await?,
            Encryption::Opportunistic(trust) => self.start_tls(tcp, (trust, false), handed).await?,
        };
        let opened = AsyncSmtpConnection::connect_with_transport(stream, &to.hello).await;
        let mut connection = opened.map_err(|error| classify(&error))?;
        if let Some(credentials) = &to.credentials {
            // Only ever in an encrypted session: `Destination` has no credentials for another.
            let login = connection.auth(DEFAULT_MECHANISMS, credentials).await;
            login.map_err(|error| classify(&error))?;
        }
        Ok(connection)
    }

    /// Goes from clear text to TLS (RFC 3207), or stays in the clear where the server does not offer it and it
    /// is not required.
    ///
    /// The mail library does not do this: it keeps what it has read before the handshake. Here nothing is left of
    /// it (RFC 3207 §4.2), and a server that said more than it was asked is given up.
    async fn start_tls(
        &self,
        tcp: TcpStream,
        (trust, is_required): (&Trust, bool),
        handed: &Handed,
    ) -> Result<Box<dyn AsyncTokioStream>, Fault> {
        let peer = tcp.peer_addr().map_err(broken)?;
        let mut clear = Replies::new(tcp, peer);
        positive(&clear.read_reply().await.map_err(broken)?)?;
        let hello = Ehlo::new(self.destination.hello.clone()).to_string();
        let offered = ask(&mut clear, &hello).await?;
        let offered = ServerInfo::from_response(&offered).map_err(|error| classify(&error))?;
        if !offered.supports_feature(Extension::StartTls) {
            if is_required {
                let what = "the server does not offer STARTTLS";
                return Err(Fault::Message(what.to_owned()));
            }
            // The library wants a greeting and asks EHLO again; the server has given its own already.
            clear.greet_again();
            return Ok(Box::new(clear.noting(handed)));
        }
        ask(&mut clear, &Starttls.to_string()).await?;
        let tcp = clear.into_stream().map_err(broken)?;
        let tls = trust.encrypt(tcp).await.map_err(broken)?;
        Ok(Box::new(Replies::greeted(tls, peer).noting(handed)))
    }
}

/// Tells what the server's word to the end of a message means.
fn said(response: &Response) -> Attempt {
    let words = response.message().collect::<Vec<_>>().join(" ");
    let reply = format!("{} {words}", response.code());
    // RFC 5321 §4.2.1: only 2yz says that the message was taken; the library takes 3yz for it too.
    match response.code().severity {
        Severity::PositiveCompletion => Attempt::Delivered(reply),
        _ => Attempt::Passing(format!("{reply}: no answer to a message")).perhaps_sent(),
    }
}

/// Ends a session. What the server says to it changes nothing of what it said before.
async fn quit(mut connection: AsyncSmtpConnection) {
    let _ = timeout(QUIT_TIMEOUT, connection.quit()).await;
}

/// Connects to the first address of a host that takes a connection.
async fn connect(host: &str, port: u16) -> Result<TcpStream, Fault> {
    let mut fault = Fault::Broken(format!("{host}: no address is known"));
    for address in addresses(host, port).await.map_err(broken)? {
        fault = match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => broken(error),
            Err(_) => Fault::Server("connection timed out".to_owned()),
        };
    }
    Err(fault)
}

/// Returns the addresses of a host: itself, or what the system's resolver says.
async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let host = host.to_owned();
    run_blocking("lookup", move || (host.as_str(), port).to_socket_addrs())
        .await?
        .map(Iterator::collect)
}

/// Sends a command and returns the reply, which is positive.
async fn ask(clear: &mut Replies<TcpStream>, command: &str) -> Result<Response, Fault> {
    clear.write_all(command.as_bytes()).await.map_err(broken)?;
    clear.flush().await.map_err(broken)?;
    positive(&clear.read_reply().await.map_err(broken)?)
}

/// Returns a reply that says yes.
fn positive(text: &str) -> Result<Response, Fault> {
    let parsed: Result<Response, SmtpError> = text.parse();
    let reply = parsed.map_err(|error| classify(&error))?;
    if reply.code().severity == Severity::PositiveCompletion {
        return Ok(reply);
    }
    let is_permanent = reply.code().severity == Severity::PermanentNegativeCompletion;
    let code = u16::from(reply.code());
    Err(Fault::of_code(
        code,
        is_permanent,
        text.trim_end().to_owned(),
    ))
}

/// Returns the fault of a session that broke off.
fn broken(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::TimedOut => Fault::Server(error.to_string()),
        _ => Fault::Broken(error.to_string()),
    }
}

/// Why an attempt failed.
enum Fault {
    /// Of the server: it does not answer, or lets nobody in.
    Server(String),
    /// Of this message, and it may pass.
    Later(String),
    /// Of this message, for good, if the server takes sessions at all.
    Message(String),
    /// The session ended, or never began: of this message, if the server takes another session.
    Broken(String),
}

impl Fault {
    /// Tells whose the fault is by the code of a reply.
    fn of_code(code: u16, is_permanent: bool, text: String) -> Self {
        match code {
            // RFC 5321 §4.2.3 allows it at any command: many servers give it to one sender or recipient.
            CLOSES => Self::Broken(text),
            code if SESSION_REPLIES.contains(&code) => Self::Server(text),
            _ if is_permanent => Self::Message(text),
            _ => Self::Later(text),
        }
    }
}

/// Tells whose the fault is, and what may pass from what will not. Whatever is not surely permanent is tried
/// again.
fn classify(error: &SmtpError) -> Fault {
    let text = words_of(error);
    match error.status().map(u16::from) {
        Some(code) => Fault::of_code(code, error.is_permanent(), text),
        None if error.is_timeout() => Fault::Server(text),
        // The library sends no message to a server that lacks what it needs: SMTPUTF8, 8BITMIME.
        None if error.is_client() => Fault::Message(text),
        None => Fault::Broken(text),
    }
}

/// Returns what the server replied, its code first; where it replied nothing that can be read, what went
/// wrong, down to the first cause.
fn words_of(error: &SmtpError) -> String {
    let mut source = std::error::Error::source(error);
    if let Some(code) = error.status() {
        let words = source.map(ToString::to_string).unwrap_or_default();
        return format!("{code} {words}").trim_end().to_owned();
    }
    let mut text = error.to_string().trim_end().to_owned();
    while let Some(cause) = source {
        let words = cause.to_string();
        // The library's own text ends with its cause already.
        if !text.ends_with(words.trim_end()) {
            text = format!("{text}: {}", words.trim_end());
        }
        source = cause.source();
    }
    text
}
