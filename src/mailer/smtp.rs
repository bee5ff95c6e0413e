//! Delivers by SMTP (RFC 5321), one recipient a message.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::response::Severity;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use tokio::time::timeout;

use crate::mailer::{MailerError, parse_mailbox};
use crate::outbox::Attempt;

/// How long a connection may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a message may take from the connection to the server's last word.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);
/// The reply with which a server closes the connection (RFC 5321 §3.8).
const CLOSES: u16 = 421;
/// Replies that refuse the session, not the message: a wrong password is put right and the message
/// is tried again (RFC 4954 §6).
const SESSION_REPLIES: [u16; 4] = [530, 534, 535, 538];

/// How to reach the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpSettings {
    /// `smtp://`, `smtps://` or `maildir://`.
    pub url: String,
    /// The password, if the URL names a user.
    pub password: Option<String>,
    /// The authorities that may sign the server's certificate, PEM; `None` for the public ones.
    pub ca_pem: Option<String>,
}

/// A server.
pub struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl SmtpMailer {
    /// Prepares the way to a server; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`MailerError::Url`], never with the password in it.
    pub fn new(settings: &SmtpSettings) -> Result<Self, MailerError> {
        if !settings.url.starts_with("smtp://") && !settings.url.starts_with("smtps://") {
            return Err(MailerError::Url(format!(
                "{:?} has an unknown scheme",
                settings.url
            )));
        }
        // Exactly these: what the mail library does not know, it passes over, and sends in the clear.
        let query = settings.url.split_once('?').map(|(_, query)| query);
        if let Some(query) = query
            && !matches!(query, "tls=required" | "tls=opportunistic")
        {
            return Err(MailerError::Url(format!("{query:?} is no parameter")));
        }
        let is_encrypted = settings.url.starts_with("smtps://") || query == Some("tls=required");
        if settings.password.is_some() && !is_encrypted {
            let what = "a password is sent over TLS only";
            return Err(MailerError::InTheClear(what));
        }
        let url = match (&settings.password, settings.url.split_once('@')) {
            (Some(password), Some((user, host))) => {
                let encoded: String = password
                    .bytes()
                    .map(|octet| format!("%{octet:02X}"))
                    .collect();
                format!("{user}:{encoded}@{host}")
            }
            (Some(_), None) => {
                return Err(MailerError::NoUser);
            }
            (None, _) => settings.url.clone(),
        };
        let fault = |_| MailerError::Url(format!("{:?} cannot be used", settings.url));
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url).map_err(fault)?;
        if let Some(pem) = &settings.ca_pem {
            if !is_encrypted {
                return Err(MailerError::InTheClear("ca_file needs TLS"));
            }
            let parameters = parameters(&settings.url, pem)?;
            builder = builder.tls(match settings.url.starts_with("smtps://") {
                true => Tls::Wrapper(parameters),
                false => Tls::Required(parameters),
            });
        }
        let transport = builder.timeout(Some(COMMAND_TIMEOUT)).build();
        Ok(Self { transport })
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
        // lettre's own timeout covers the connection only: a server that takes it and then says nothing
        // would hold the sender for ever.
        let sent = timeout(DELIVERY_TIMEOUT, self.transport.send_raw(&envelope, octets)).await;
        let attempt = match sent {
            Ok(Ok(response)) => {
                let words = response.message().collect::<Vec<_>>().join(" ");
                let reply = format!("{} {words}", response.code());
                // RFC 5321 §4.2.1: only 2yz says that the message was taken; the library takes 3yz for it too.
                return match response.code().severity {
                    Severity::PositiveCompletion => Attempt::Delivered(reply),
                    _ => Attempt::Passing(format!("{reply}: no answer to a message")),
                };
            }
            Ok(Err(error)) => classify(&error),
            Err(_) => {
                let seconds = DELIVERY_TIMEOUT.as_secs();
                return Attempt::Unreachable(format!("no end of it after {seconds} s"));
            }
        };
        match attempt {
            Fault::Server(reply) => Attempt::Unreachable(reply),
            Fault::Later(reply) => Attempt::Passing(reply),
            // One that greets with 554, or is gone, refuses everything and not this message.
            Fault::Message(reply) if self.takes_sessions().await => Attempt::Refused(reply),
            Fault::Broken(reply) if self.takes_sessions().await => Attempt::Passing(reply),
            Fault::Message(reply) | Fault::Broken(reply) => Attempt::Unreachable(reply),
        }
    }

    /// Returns whether the server takes a session at all, encrypted and logged in as is configured. What it
    /// answers to the NOOP after that says nothing about it: some servers know none.
    async fn takes_sessions(&self) -> bool {
        matches!(
            timeout(COMMAND_TIMEOUT, self.transport.test_connection()).await,
            Ok(Ok(_))
        )
    }
}

/// Returns how a server is trusted that authorities of one's own sign.
fn parameters(url: &str, pem: &str) -> Result<TlsParameters, MailerError> {
    let fault = MailerError::Authorities;
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['/', '?']).next().unwrap_or_default();
    let host = rest.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    let mut builder = TlsParameters::builder(host.to_owned());
    let mut count = 0;
    for block in pem.split_inclusive("-----END CERTIFICATE-----") {
        if block.contains("-----BEGIN CERTIFICATE-----") {
            let certificate = Certificate::from_pem(block.as_bytes());
            builder = builder
                .add_root_certificate(certificate.map_err(|error| fault(error.to_string()))?);
            count += 1;
        }
    }
    if count == 0 {
        return Err(fault("holds no certificate in PEM".to_owned()));
    }
    builder
        .certificate_store(CertificateStore::None)
        .build()
        .map_err(|error| fault(error.to_string()))
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

/// Tells whose the fault is, and what may pass from what will not. Whatever is not surely permanent is tried
/// again.
fn classify(error: &SmtpError) -> Fault {
    let text = words_of(error);
    match error.status().map(u16::from) {
        // RFC 5321 §4.2.3 allows it at any command: many servers give it to one sender or recipient.
        Some(CLOSES) => Fault::Broken(text),
        Some(code) if SESSION_REPLIES.contains(&code) => Fault::Server(text),
        Some(_) if error.is_permanent() => Fault::Message(text),
        Some(_) => Fault::Later(text),
        None if error.is_timeout() => Fault::Server(text),
        // The library sends no message to a server that lacks what it needs: SMTPUTF8, 8BITMIME, STARTTLS.
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
