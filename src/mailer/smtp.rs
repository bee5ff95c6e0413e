//! Delivers by SMTP (RFC 5321), one recipient a message.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use tokio::time::timeout;

use crate::mailer::MailerError;
use crate::outbox::Attempt;

/// How long a connection may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a message may take from the connection to the server's last word.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);
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
        let is_encrypted =
            settings.url.starts_with("smtps://") || settings.url.contains("tls=required");
        if settings.password.is_some() && !is_encrypted {
            let advice = "a password is sent over TLS only: use smtps:// or ?tls=required";
            return Err(MailerError::Url(advice.to_owned()));
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
                return Err(MailerError::Url(
                    "password_file is set, but the url names no user".to_owned(),
                ));
            }
            (None, _) => settings.url.clone(),
        };
        let fault = |_| MailerError::Url(format!("{:?} cannot be used", settings.url));
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url).map_err(fault)?;
        if let Some(pem) = &settings.ca_pem {
            let parameters = parameters(&settings.url, pem)?;
            builder = match (settings.url.starts_with("smtps://"), is_encrypted) {
                (true, _) => builder.tls(Tls::Wrapper(parameters)),
                (_, true) => builder.tls(Tls::Required(parameters)),
                _ => {
                    let advice = "ca_file needs smtps:// or ?tls=required";
                    return Err(MailerError::Url(advice.to_owned()));
                }
            };
        }
        let transport = builder.timeout(Some(COMMAND_TIMEOUT)).build();
        Ok(Self { transport })
    }

    /// Delivers one message.
    pub async fn deliver(&self, sender: &str, recipient: &str, octets: &[u8]) -> Attempt {
        let (Ok(from), Ok(to)) = (sender.parse(), recipient.parse()) else {
            return Attempt::Refused(format!("{sender} or {recipient} is not a mail address"));
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
                return Attempt::Delivered(format!("{} {words}", response.code()));
            }
            Ok(Err(error)) => classify(&error),
            Err(_) => {
                let seconds = DELIVERY_TIMEOUT.as_secs();
                return Attempt::Unreachable(format!("no end of it after {seconds} s"));
            }
        };
        match attempt {
            Attempt::Refused(reply) if !self.takes_sessions().await => Attempt::Unreachable(reply),
            attempt => attempt,
        }
    }

    /// Returns whether the server takes a session at all. One that greets with 554 refuses everything,
    /// not this message.
    async fn takes_sessions(&self) -> bool {
        matches!(
            timeout(COMMAND_TIMEOUT, self.transport.test_connection()).await,
            Ok(Ok(true))
        )
    }
}

/// Returns how a server is trusted that authorities of one's own sign.
fn parameters(url: &str, pem: &str) -> Result<TlsParameters, MailerError> {
    let fault = |what: String| MailerError::Url(format!("ca_file: {what}"));
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

/// Tells what may pass from what will not. Whatever is not surely permanent is tried again.
fn classify(error: &SmtpError) -> Attempt {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    let refuses_session = error
        .status()
        .is_some_and(|code| SESSION_REPLIES.contains(&code.into()));
    if error.is_permanent() && !refuses_session {
        Attempt::Refused(text)
    } else if error.status().is_some() {
        Attempt::Passing(text)
    } else {
        Attempt::Unreachable(text)
    }
}
