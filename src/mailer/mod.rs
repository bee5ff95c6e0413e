//! Mail on the wire: composes a message once, and delivers its octets by SMTP or into a Maildir; JSON to a
//! URL; and reads what came back.

mod blocking;
mod bounce;
mod destination;
mod maildir;
mod replies;
mod smtp;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use lettre::Address;
use lettre::address::AddressError;
use lettre::message::dkim::{
    DkimCanonicalization, DkimCanonicalizationType, DkimConfig, DkimSigningAlgorithm,
    DkimSigningKey,
};
use lettre::message::header::{
    ContentDisposition, ContentTransferEncoding, ContentType, HeaderName, HeaderValue,
};
use lettre::message::{Mailbox, MultiPart, MultiPartKind, SinglePart};

use crate::dns::Name;
use crate::outbox::Attempt;
use crate::time::Timestamp;

pub use bounce::{Bounce, Verdict, read_bounce, read_part};
pub use destination::SmtpSettings;
pub use webhook::{Webhook, signature};

/// Where mail goes.
#[derive(Clone)]
pub enum Mailer {
    /// To a server.
    Smtp(Arc<smtp::SmtpMailer>),
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
    /// A password or authorities for a connection that is not encrypted.
    #[error("smtp url: {0}; use smtps://host or smtp://host:587?tls=required")]
    InTheClear(&'static str),
    /// A password that nobody would log in with.
    #[error("smtp url: password_file is set, but the url names no user; use smtps://user@host")]
    NoUser,
    /// Authorities that cannot be used.
    #[error("smtp ca_file: {0}; name a file with certificates in PEM")]
    Authorities(String),
    /// The message cannot be put together.
    #[error("mail cannot be composed: {0}")]
    Compose(String),
    /// A key that cannot sign.
    #[error("[dkim] key_file: {0}")]
    Key(String),
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
    /// The first and the last mail of its thread, with their angle brackets.
    pub thread: Option<(&'a str, &'a str)>,
    /// For the header Date.
    pub date: Timestamp,
    /// The case's number.
    pub case_id: Option<i64>,
    /// What it is about, in a word.
    pub kind: &'a str,
    /// Whether it is for many to read at leisure.
    pub is_bulk: bool,
    /// One line.
    pub subject: &'a str,
    /// The text part.
    pub text: &'a str,
    /// The HTML part.
    pub html: &'a str,
    /// What else it carries.
    pub layout: Layout<'a>,
}

/// How a mail is built.
#[derive(Debug, Clone, Copy)]
pub enum Layout<'a> {
    /// multipart/alternative: text and HTML.
    Plain,
    /// multipart/mixed: that, `details.txt`, `xarf.json` and `evidence.csv`.
    Desk {
        /// What the text leaves out; empty if it leaves nothing out.
        details: &'a str,
        /// The report for machines.
        xarf: &'a [u8],
        /// Every change.
        csv: &'a [u8],
    },
    /// multipart/report (RFC 5965, RFC 6522): text, a feedback report, `xarf.json`.
    Xarf {
        /// The report for machines.
        xarf: &'a [u8],
    },
}

/// Signs mails (RFC 6376, RFC 8463).
pub struct Signer(DkimConfig);

impl Signer {
    /// Makes a signer; the key is PEM (PKCS#1) for RSA, 32 octets in base64 for Ed25519.
    ///
    /// # Errors
    ///
    /// [`MailerError::Key`], never with the key in it.
    pub fn new(
        domain: &str,
        selector: &str,
        key: &str,
        is_ed25519: bool,
    ) -> Result<Self, MailerError> {
        let algorithm = if is_ed25519 {
            DkimSigningAlgorithm::Ed25519
        } else {
            DkimSigningAlgorithm::Rsa
        };
        let key = DkimSigningKey::new(key, algorithm)
            .map_err(|fault| MailerError::Key(fault.to_string()))?;
        // Content-Type of a multipart mail is written later than lettre signs: listed, it would break
        // the signature.
        let headers = [
            "From",
            "Subject",
            "To",
            "Date",
            "Message-ID",
            "References",
            "In-Reply-To",
            "Auto-Submitted",
            "MIME-Version",
        ];
        let headers = headers.map(HeaderName::new_from_ascii_str).to_vec();
        let relaxed = DkimCanonicalization {
            header: DkimCanonicalizationType::Relaxed,
            body: DkimCanonicalizationType::Relaxed,
        };
        Ok(Self(DkimConfig::new(
            selector.to_owned(),
            domain.to_owned(),
            key,
            headers,
            relaxed,
        )))
    }
}

/// Parses a mailbox: `desk@registrar.example` or `Name <desk@registrar.example>`.
pub fn check_address(text: &str) -> Result<(), MailerError> {
    parse_mailbox(text).map(|_| ())
}

/// Returns the bare address of a mailbox, for the envelope, and its domain.
pub fn envelope_address(text: &str) -> Result<(String, String), MailerError> {
    let mailbox = parse_mailbox(text)?;
    Ok((mailbox.email.to_string(), mailbox.email.domain().to_owned()))
}

/// Returns whether two texts name the same address, whatever the form of its domain and its case.
pub fn is_same_address(left: &str, right: &str) -> bool {
    let bare = |text: &str| envelope_address(text).map_or_else(|_| text.to_owned(), |it| it.0);
    bare(left).eq_ignore_ascii_case(&bare(right))
}

/// Composes the octets of a mail; the same draft gives the same octets, but for the time in a signature.
pub fn compose(draft: &Draft<'_>, signer: Option<&Signer>) -> Result<Vec<u8>, MailerError> {
    let date = UNIX_EPOCH + Duration::from_secs(draft.date.unix().max(0) as u64);
    let mut builder = lettre::Message::builder()
        .from(parse_mailbox(draft.from)?)
        .to(parse_mailbox(draft.to)?)
        .subject(draft.subject)
        .date(date)
        .message_id(Some(draft.message_id.to_owned()))
        // RFC 3834 §5: nobody answers this by machine.
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Auto-Response-Suppress", "All"))
        .raw_header(header("X-Fluxwatch-Kind", draft.kind));
    if let Some((first, last)) = draft.thread {
        // RFC 5322 §3.6.4: the thread's first mail, then the one before this.
        let references = if first == last {
            first.to_owned()
        } else {
            format!("{first} {last}")
        };
        builder = builder.in_reply_to(last.to_owned()).references(references);
    }
    if let Some(case_id) = draft.case_id {
        builder = builder.raw_header(header("X-Fluxwatch-Case", &case_id.to_string()));
    }
    if draft.is_bulk {
        // No standard header, but one that many autoresponders go by.
        builder = builder.raw_header(header("Precedence", "bulk"));
    }
    let mut message = builder
        .multipart(body_of(draft)?)
        .map_err(|fault| MailerError::Compose(fault.to_string()))?;
    if let Some(signer) = signer {
        message.sign(&signer.0);
    }
    Ok(message.formatted())
}

/// Returns the parts of a mail.
fn body_of(draft: &Draft<'_>) -> Result<MultiPart, MailerError> {
    // Boundaries are made of the Message-ID: the same each time, and in no text.
    let digest = draft
        .message_id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, octet| {
            // FNV-1a: short, and the same on every machine.
            (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        });
    let boundary = |part: &str| format!("=_fluxwatch_{part}_{digest:016x}");
    let text = SinglePart::builder()
        .header(ContentType::TEXT_PLAIN)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(draft.text.to_owned());
    let alternative = || {
        MultiPart::builder()
            .kind(MultiPartKind::Alternative)
            .boundary(boundary("a"))
            .singlepart(text.clone())
            .singlepart(
                SinglePart::builder()
                    .header(ContentType::TEXT_HTML)
                    .header(ContentTransferEncoding::QuotedPrintable)
                    .body(draft.html.to_owned()),
            )
    };
    Ok(match draft.layout {
        Layout::Plain => alternative(),
        Layout::Desk { details, xarf, csv } => {
            let mixed = MultiPart::builder()
                .kind(MultiPartKind::Mixed)
                .boundary(boundary("m"))
                .multipart(alternative());
            let mixed = if details.is_empty() {
                mixed
            } else {
                mixed.singlepart(text_attachment("text/plain", "details.txt", details)?)
            };
            let csv = String::from_utf8_lossy(csv);
            mixed
                .singlepart(attachment("application/json", "xarf.json", xarf)?)
                .singlepart(text_attachment("text/csv", "evidence.csv", &csv)?)
        }
        Layout::Xarf { xarf } => {
            // RFC 5965 §3.1: these three fields, each once.
            let report = format!(
                "Feedback-Type: xarf\r\nUser-Agent: fluxwatch/{}\r\nVersion: 1\r\n",
                env!("CARGO_PKG_VERSION")
            );
            let kind = format!(
                "multipart/report; report-type=feedback-report; boundary=\"{}\"",
                boundary("r")
            );
            MultiPart::builder()
                .header(content_type(&kind)?)
                .singlepart(text)
                .singlepart(
                    SinglePart::builder()
                        .header(content_type("message/feedback-report")?)
                        .header(ContentTransferEncoding::SevenBit)
                        .header(ContentDisposition::inline())
                        .body(report),
                )
                .singlepart(attachment("application/json", "xarf.json", xarf)?)
        }
    })
}

/// Returns an attachment in base64. The names of attachments are the program's own: nothing of a zone is in them.
fn attachment(kind: &str, name: &str, octets: &[u8]) -> Result<SinglePart, MailerError> {
    Ok(SinglePart::builder()
        .header(content_type(&format!("{kind}; name=\"{name}\""))?)
        .header(ContentTransferEncoding::Base64)
        .header(ContentDisposition::attachment(name))
        .body(octets.to_vec()))
}

/// Returns an attachment of text.
fn text_attachment(kind: &str, name: &str, text: &str) -> Result<SinglePart, MailerError> {
    let kind = format!("{kind}; charset=utf-8; name=\"{name}\"");
    Ok(SinglePart::builder()
        .header(content_type(&kind)?)
        // Text in base64 looks like something to hide (rspamd: MIME_BASE64_TEXT_BOGUS), and no line of it can
        // be read in a queue.
        .header(ContentTransferEncoding::QuotedPrintable)
        .header(ContentDisposition::attachment(name))
        .body(text.to_owned()))
}

/// Returns a content type.
fn content_type(text: &str) -> Result<ContentType, MailerError> {
    ContentType::parse(text).map_err(|fault| MailerError::Compose(fault.to_string()))
}

/// Returns a header.
fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

impl Mailer {
    /// Makes the mailer of a URL.
    pub fn new(settings: &SmtpSettings) -> Result<Self, MailerError> {
        match settings.url.strip_prefix("maildir://") {
            Some("") => Err(MailerError::Url("maildir:// lacks the path".to_owned())),
            Some(path) => Ok(Self::Maildir(maildir::MaildirMailer::new(PathBuf::from(
                path,
            )))),
            None => Ok(Self::Smtp(Arc::new(smtp::SmtpMailer::new(settings)?))),
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

/// Parses a mailbox; its domain is in A-labels then, for a server without SMTPUTF8 (RFC 6531) takes no other.
fn parse_mailbox(text: &str) -> Result<Mailbox, MailerError> {
    let fault = |fault: String| MailerError::Address(text.to_owned(), fault);
    let mut mailbox: Mailbox = text
        .parse()
        .map_err(|it: AddressError| fault(it.to_string()))?;
    if !mailbox.email.domain().is_ascii() {
        let domain = Name::parse(mailbox.email.domain()).map_err(|it| fault(it.to_string()))?;
        mailbox.email = Address::new(mailbox.email.user(), domain.to_text_without_dot())
            .map_err(|it| fault(it.to_string()))?;
    }
    Ok(mailbox)
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders, PartType};

    use super::*;
    use crate::templates::{Templates, made_up};

    /// Returns a mail with its parts decoded: what a reader sees, and what stands in golden files.
    fn decoded(octets: &[u8]) -> String {
        let raw = String::from_utf8_lossy(octets);
        let head = raw.split("\r\n\r\n").next().unwrap_or_default();
        let mut text = head.replace("\r\n", "\n") + "\n";
        let mail = MessageParser::default().parse(octets).expect("a mail");
        for part in &mail.parts[1..] {
            let kind = part.content_type().expect("a type");
            let sub = kind.subtype().unwrap_or_default();
            let name = part.attachment_name().unwrap_or_default();
            text += &format!("\n---- {}/{sub} {name}\n", kind.ctype());
            match &part.body {
                PartType::Text(body) | PartType::Html(body) => text += &body.replace("\r\n", "\n"),
                PartType::Binary(body) | PartType::InlineBinary(body) => {
                    text += &String::from_utf8_lossy(body).replace("\r\n", "\n");
                }
                PartType::Message(_) | PartType::Multipart(_) => {}
            }
        }
        text
    }

    /// Compares with a file of `tests/golden/`; `FLUXWATCH_GOLDEN=write` writes it, to be read before it
    /// is committed.
    fn check_golden(name: &str, text: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(name);
        if std::env::var_os("FLUXWATCH_GOLDEN").is_some() {
            std::fs::write(&path, text).expect("the folder can be written");
        }
        let golden = std::fs::read_to_string(&path).expect("the golden file is there");
        assert_eq!(text, golden, "{}", path.display());
    }

    /// Composes a made-up mail.
    fn mail_of(words: crate::templates::Words<'_>, layout: Layout<'_>, thread: bool) -> Vec<u8> {
        let templates = Templates::load(None, &[]).expect("the built-in templates are sound");
        let words_of = templates.render("", words).expect("rendered");
        let id = "<fluxwatch.00.1.2@registrar.example>";
        let first = "<fluxwatch.00.1.1@registrar.example>";
        let draft = Draft {
            from: "fluxwatch@registrar.example",
            to: "Desk <desk@registrar.example>",
            message_id: id,
            thread: thread.then_some((first, first)),
            date: Timestamp::from_unix(1_795_000_000),
            case_id: (!matches!(words.folder(), "digest" | "bulk" | "blindness")).then_some(1),
            kind: words.folder(),
            is_bulk: words.folder() == "digest",
            subject: &words_of.subject,
            text: &words_of.text,
            html: &words_of.html,
            layout,
        };
        compose(&draft, None).expect("composed")
    }

    /// Returns the details of a made-up mail.
    fn details_of(words: crate::templates::Words<'_>) -> String {
        let templates = Templates::load(None, &[]).expect("the built-in templates are sound");
        templates.render("", words).expect("rendered").details
    }

    #[test]
    fn mails_say_what_the_golden_files_say() {
        let (xarf, csv): (&[u8], &[u8]) = (b"{\"xarf_version\": \"4.2.0\"}\n", b"at,zone\r\n");
        let mut last = "";
        for made_up in made_up::all() {
            let words = made_up.words();
            let folder = words.folder();
            let layout = match folder {
                "report" | "update" => Layout::Desk {
                    details: &details_of(words),
                    xarf,
                    csv,
                },
                "notice" => Layout::Xarf { xarf },
                _ => Layout::Plain,
            };
            let is_later = matches!(folder, "update" | "closure");
            let mail = mail_of(words, layout, is_later);
            assert!(mail.is_ascii(), "{folder} is not 7-bit");
            // The second digest is that of a quiet day.
            let name = if folder == last {
                "quiet-digest"
            } else {
                folder
            };
            check_golden(&format!("{name}.eml"), &decoded(&mail));
            last = folder;
        }
    }

    #[test]
    fn the_same_draft_gives_the_same_octets() {
        let report = made_up::report();
        let words = crate::templates::Words::Report(&report);
        let mail = || mail_of(words, Layout::Plain, true);
        assert_eq!(mail(), mail());
        let text = String::from_utf8(mail()).expect("7-bit");
        for header in [
            "In-Reply-To: <fluxwatch.00.1.1@registrar.example>",
            "References: <fluxwatch.00.1.1@registrar.example>",
            "Auto-Submitted: auto-generated",
        ] {
            assert!(text.contains(header), "{header}");
        }
    }
}
