//! Reads delivery status notifications (RFC 3464): which message came back, and why.
//!
//! The message is told by the address that the notification was sent to, never by the Message-ID that it
//! returns: anybody who saw a mail could make that up.

use mail_parser::{MessageParser, MimeHeaders, PartType};

/// What a mail says of a message that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounce {
    /// The address that the notification was sent to: its extension names the message.
    pub to: Vec<String>,
    /// `5.1.1`.
    pub status: String,
    /// What the other side said.
    pub diagnostic: String,
}

impl Bounce {
    /// Returns whether the message will not arrive: a status of class 5.
    pub fn is_permanent(&self) -> bool {
        self.status.starts_with('5')
    }
}

/// Returns the first part of a type in a mail, decoded; `None` if there is none.
pub fn read_part(octets: &[u8], content_type: &str) -> Option<Vec<u8>> {
    let mail = MessageParser::default().parse(octets)?;
    let is_wanted = |part: &&mail_parser::MessagePart<'_>| {
        part.content_type().is_some_and(|it| {
            format!("{}/{}", it.ctype(), it.subtype().unwrap_or_default()) == content_type
        })
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
    // RFC 3464 §2.3: a recipient that failed has the action "failed".
    let action = field(&status, "action")?;
    if !action.eq_ignore_ascii_case("failed") {
        return None;
    }
    let to = ["to", "delivered-to", "x-original-to"];
    let head = String::from_utf8_lossy(octets);
    let head = head.split("\n\n").next().unwrap_or_default();
    let head = head.split("\r\n\r\n").next().unwrap_or_default();
    Some(Bounce {
        to: to.iter().filter_map(|name| field(head, name)).collect(),
        status: field(&status, "status").unwrap_or_default(),
        diagnostic: field(&status, "diagnostic-code").unwrap_or_default(),
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
        assert!(bounce.is_permanent());
        assert_eq!(bounce.diagnostic, "smtp; 550 5.1.1 User unknown");
    }

    #[test]
    fn delays_and_other_mails_are_no_bounces() {
        let delayed = DSN.replace("Action: failed", "Action: delayed");
        assert_eq!(read_bounce(delayed.as_bytes()), None);
        assert_eq!(read_bounce(b"From: a@b.example\r\n\r\nhello\r\n"), None);
        let passing = DSN.replace("Status: 5.1.1", "Status: 4.4.7");
        assert!(
            !read_bounce(passing.as_bytes())
                .expect("a notification")
                .is_permanent()
        );
    }
}
