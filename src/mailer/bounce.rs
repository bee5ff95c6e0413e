//! Reads delivery status notifications (RFC 3464): which message came back, and why.
//!
//! The message is told by the address that the notification was sent to, never by the Message-ID that it
//! returns: anybody who saw a mail could make that up.

use mail_parser::{MessageParser, MimeHeaders, PartType};

/// What a notification says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A server on its way still tries.
    Delayed,
    /// A server on its way gave up. Its recipient may be reached another time.
    Undelivered,
    /// Its recipient cannot be reached.
    Bounced,
}

/// What a mail says of a message that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounce {
    /// The address that the notification was sent to: its extension names the message.
    pub to: Vec<String>,
    /// What became of the message.
    pub verdict: Verdict,
    /// `5.1.1`.
    pub status: String,
    /// What the other side said.
    pub diagnostic: String,
}

/// Returns what an action and a status of RFC 3464 §2.3 say; `None` for what is no fault.
fn verdict_of(action: &str, status: &str) -> Option<Verdict> {
    match action.to_ascii_lowercase().as_str() {
        "failed" if status.starts_with('5') => Some(Verdict::Bounced),
        // Postfix after its queue's life: 4.4.1, 4.7.1.
        "failed" => Some(Verdict::Undelivered),
        // RFC 3463 §3.5: delivery time expired. OpenSMTPD 6.8 says "delayed" of a message that it has given up.
        "delayed" if status == "4.4.7" => Some(Verdict::Undelivered),
        "delayed" => Some(Verdict::Delayed),
        _ => None,
    }
}

/// Returns the first part of a type in a mail that has this name as an attachment, decoded; `None` for the
/// name: one that is none.
pub fn read_part(octets: &[u8], content_type: &str, name: Option<&str>) -> Option<Vec<u8>> {
    let mail = MessageParser::default().parse(octets)?;
    let is_wanted = |part: &&mail_parser::MessagePart<'_>| {
        part.content_type().is_some_and(|it| {
            format!("{}/{}", it.ctype(), it.subtype().unwrap_or_default()) == content_type
        }) && part.attachment_name() == name
    };
    let part = mail.parts.iter().find(is_wanted)?;
    match &part.body {
        PartType::Text(text) | PartType::Html(text) => Some(text.as_bytes().to_vec()),
        PartType::Binary(octets) | PartType::InlineBinary(octets) => Some(octets.to_vec()),
        PartType::Message(_) | PartType::Multipart(_) => None,
    }
}

/// Reads a notification; `None` for any other mail.
pub fn read_bounce(octets: &[u8]) -> Option<Bounce> {
    let mail = MessageParser::default().parse(octets)?;
    let of_type = |part: &mail_parser::MessagePart<'_>, main: &str, sub: &str| {
        part.content_type()
            .is_some_and(|it| it.ctype() == main && it.subtype() == Some(sub))
    };
    let text_of = |part: &mail_parser::MessagePart<'_>| match &part.body {
        PartType::Text(text) | PartType::Html(text) => text.to_string(),
        PartType::Binary(octets) | PartType::InlineBinary(octets) => {
            String::from_utf8_lossy(octets).into_owned()
        }
        PartType::Message(inner) => {
            String::from_utf8_lossy(inner.raw_message.as_ref()).into_owned()
        }
        PartType::Multipart(_) => String::new(),
    };
    let status = mail
        .parts
        .iter()
        .find(|part| of_type(part, "message", "delivery-status"))
        .map(text_of)?;
    // RFC 3464 §2.1: the fields of each recipient are a block of their own. An address that stands for several
    // people has several; the worst one counts.
    let status = status.replace("\r\n", "\n");
    let blocks = status.split("\n\n").filter_map(|block| {
        let code = field(block, "status").unwrap_or_default();
        // RFC 3464 §2.3.4: a comment may follow the code.
        let code = code.split([' ', '(']).next().unwrap_or_default().to_owned();
        let verdict = verdict_of(&field(block, "action")?, &code)?;
        let diagnostic = field(block, "diagnostic-code").unwrap_or_default();
        Some((verdict, code, diagnostic))
    });
    let (verdict, status, diagnostic) = blocks.max_by_key(|(verdict, ..)| *verdict as u8)?;
    // The address with its extension: which field keeps it depends on the server that delivered.
    let to = ["to", "delivered-to", "x-original-to"];
    let head = String::from_utf8_lossy(octets);
    let head = head.split("\n\n").next().unwrap_or_default();
    let head = head.split("\r\n\r\n").next().unwrap_or_default();
    Some(Bounce {
        to: to.iter().filter_map(|name| field(head, name)).collect(),
        verdict,
        status,
        diagnostic,
    })
}

/// Returns the first field with a name, unfolded (RFC 5322 §2.2.3).
fn field(text: &str, name: &str) -> Option<String> {
    let mut found: Option<String> = None;
    for line in text.lines() {
        match (&mut found, line.starts_with([' ', '\t'])) {
            (Some(value), true) => {
                value.push(' ');
                value.push_str(line.trim());
            }
            (Some(_), false) => break,
            (None, _) => {
                if let Some((key, value)) = line.split_once(':')
                    && key.trim().eq_ignore_ascii_case(name)
                {
                    found = Some(value.trim().to_owned());
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DSN: &str = "From: MAILER-DAEMON@mx.example\r\nTo: bounce+00ff@registrar.example\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; desk@registrar.example\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1\r\n  User unknown\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: fluxwatch@registrar.example\r\nMessage-ID: <fluxwatch.1@registrar.example>\r\n\r\nbody\r\n--b--\r\n";

    #[test]
    fn a_notification_names_the_message_and_the_reason() {
        let bounce = read_bounce(DSN.as_bytes()).expect("a notification");
        assert_eq!(bounce.to, ["bounce+00ff@registrar.example"]);
        assert_eq!(bounce.verdict, Verdict::Bounced);
        assert_eq!(bounce.diagnostic, "smtp; 550 5.1.1 User unknown");
    }

    #[test]
    fn only_class_5_speaks_of_the_address_and_success_is_no_fate() {
        let verdict = |action: &str, status: &str| {
            let text = DSN
                .replace("Action: failed", &format!("Action: {action}"))
                .replace("Status: 5.1.1", &format!("Status: {status}"));
            read_bounce(text.as_bytes()).map(|it| it.verdict)
        };
        for (action, status, wanted) in [
            ("failed", "5.0.0", Some(Verdict::Bounced)),
            ("Failed", "5.1.1 (no such user)", Some(Verdict::Bounced)),
            ("failed", "4.4.1", Some(Verdict::Undelivered)),
            ("failed", "4.7.1", Some(Verdict::Undelivered)),
            ("failed", "", Some(Verdict::Undelivered)),
            ("delayed", "4.4.7", Some(Verdict::Undelivered)),
            ("delayed", "4.4.1", Some(Verdict::Delayed)),
            ("delayed", "5.0.0", Some(Verdict::Delayed)),
            ("relayed", "2.0.0", None),
            ("delivered", "2.0.0", None),
        ] {
            assert_eq!(verdict(action, status), wanted, "{action} {status}");
        }
        assert_eq!(read_bounce(b"From: a@b.example\r\n\r\nhello\r\n"), None);
    }

    #[test]
    fn the_worst_of_several_recipients_counts() {
        let second = "Action: failed\r\nStatus: 5.1.1";
        let text = DSN.replace(
            second,
            "Action: delayed\r\nStatus: 4.2.0\r\n\r\nFinal-Recipient: rfc822; b@registrar.example\r\nAction: failed\r\nStatus: 5.2.2",
        );
        let bounce = read_bounce(text.as_bytes()).expect("a notification");
        assert_eq!(
            (bounce.verdict, bounce.status.as_str()),
            (Verdict::Bounced, "5.2.2")
        );
    }
}
