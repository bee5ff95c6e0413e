//! Mail on the wire: composes a message once, and delivers its octets by SMTP or into a Maildir.

mod maildir;
mod smtp;

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, MultiPartKind, SinglePart};

use crate::outbox::Attempt;
use crate::time::Timestamp;

pub use smtp::SmtpSettings;

/// Where mail goes.
pub enum Mailer {
    /// To a server.
    Smtp(Box<smtp::SmtpMailer>),
    /// Into a Maildir.
    Maildir(maildir::MaildirMailer),
}

/// Why mail cannot be composed or a mailer not be made.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// A mailbox that is none.
    #[error("{0:?} is not a mail address: {1}")]
    Address(String, String),
    /// A URL that is none.
    #[error(
        "smtp url: {0}; use smtp://host:25, smtps://host, smtp://host:587?tls=required or maildir:///path"
    )]
    Url(String),
    /// The message cannot be put together.
    #[error("mail cannot be composed: {0}")]
    Compose(String),
}

/// A mail to be composed.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// From whom.
    pub from: &'a str,
    /// To the one recipient.
    pub to: &'a str,
    /// With its angle brackets.
    pub message_id: &'a str,
    /// For the header Date.
    pub date: Timestamp,
    /// The case's number.
    pub case_id: i64,
    /// One line.
    pub subject: &'a str,
    /// The text part.
    pub text: &'a str,
    /// The HTML part.
    pub html: &'a str,
}

/// Parses a mailbox: `desk@registrar.example` or `Name <desk@registrar.example>`.
///
/// # Errors
///
/// [`MailerError::Address`].
pub fn check_address(text: &str) -> Result<(), MailerError> {
    parse_mailbox(text).map(|_| ())
}

/// Returns the bare address of a mailbox, for the envelope, and its domain.
///
/// # Errors
///
/// [`MailerError::Address`].
pub fn envelope_address(text: &str) -> Result<(String, String), MailerError> {
    let mailbox = parse_mailbox(text)?;
    Ok((mailbox.email.to_string(), mailbox.email.domain().to_owned()))
}

/// Composes the octets of a mail; the same draft gives the same octets.
///
/// # Errors
///
/// [`MailerError`].
pub fn compose(draft: &Draft<'_>) -> Result<Vec<u8>, MailerError> {
    let header = |name: &'static str, value: String| {
        HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
    };
    let part = |kind: ContentType, text: &str| {
        SinglePart::builder()
            .header(kind)
            .header(ContentTransferEncoding::QuotedPrintable)
            .body(text.to_owned())
    };
    let digest = draft
        .message_id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, octet| {
            (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        });
    let body = MultiPart::builder()
        .kind(MultiPartKind::Alternative)
        .boundary(format!("=_fluxwatch_{digest:016x}"))
        .singlepart(part(ContentType::TEXT_PLAIN, draft.text))
        .singlepart(part(ContentType::TEXT_HTML, draft.html));
    let date = UNIX_EPOCH + Duration::from_secs(draft.date.unix().max(0) as u64);
    let message = lettre::Message::builder()
        .from(parse_mailbox(draft.from)?)
        .to(parse_mailbox(draft.to)?)
        .subject(draft.subject)
        .date(date)
        .message_id(Some(draft.message_id.to_owned()))
        // RFC 3834 §5: nobody answers this by machine.
        .raw_header(header("Auto-Submitted", "auto-generated".to_owned()))
        .raw_header(header("X-Auto-Response-Suppress", "All".to_owned()))
        .raw_header(header("X-Fluxwatch-Case", draft.case_id.to_string()))
        .multipart(body)
        .map_err(|fault| MailerError::Compose(fault.to_string()))?;
    Ok(message.formatted())
}

impl Mailer {
    /// Makes the mailer of a URL.
    ///
    /// # Errors
    ///
    /// [`MailerError::Url`].
    pub fn new(settings: &SmtpSettings) -> Result<Self, MailerError> {
        match settings.url.strip_prefix("maildir://") {
            Some("") => Err(MailerError::Url("maildir:// lacks the path".to_owned())),
            Some(path) => Ok(Self::Maildir(maildir::MaildirMailer::new(PathBuf::from(
                path,
            )))),
            None => Ok(Self::Smtp(Box::new(smtp::SmtpMailer::new(settings)?))),
        }
    }

    /// Tries to deliver one message.
    pub async fn deliver(
        &self,
        sender: &str,
        recipient: &str,
        message_id: &str,
        octets: &[u8],
    ) -> Attempt {
        match self {
            Self::Smtp(mailer) => mailer.deliver(sender, recipient, octets).await,
            Self::Maildir(mailer) => mailer.deliver(message_id, octets),
        }
    }
}

/// Parses a mailbox.
fn parse_mailbox(text: &str) -> Result<Mailbox, MailerError> {
    text.parse()
        .map_err(|fault: lettre::address::AddressError| {
            MailerError::Address(text.to_owned(), fault.to_string())
        })
}
