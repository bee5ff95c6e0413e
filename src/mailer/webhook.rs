//! JSON to a URL, signed.

use std::io::ErrorKind;
use std::time::Duration;

use ring::hmac;
use ureq::Agent;

use crate::mailer::blocking::run_blocking;
use crate::outbox::{Attempt, LEASE};

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(20);
const _: () = assert!(
    (TIMEOUT.as_secs() as i64) < LEASE.as_seconds(),
    "a lease covers the longest attempt"
);
/// The most characters of an answer that are kept.
const REPLY_MAX: usize = 200;

/// A URL that is told.
#[derive(Clone)]
pub struct Webhook {
    url: String,
    secret: String,
    agent: Agent,
}

impl Webhook {
    /// Returns the webhook of a URL.
    pub fn new(url: &str, secret: &str) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // The body is signed for this URL: a redirection could carry it to somebody else.
            .max_redirects(0)
            .build();
        Self {
            url: url.to_owned(),
            secret: secret.to_owned(),
            agent: config.into(),
        }
    }

    /// Returns whether it is the one of a URL.
    pub fn is_at(&self, url: &str) -> bool {
        self.url == url
    }

    /// Posts one message. The receiver checks `X-Fluxwatch-Signature`: see [`signature`]; a message that
    /// is sent twice has the same `X-Fluxwatch-Id`.
    pub async fn deliver(&self, message_id: &str, octets: &[u8]) -> Attempt {
        let hook = self.clone();
        let (id, body) = (message_id.to_owned(), octets.to_vec());
        let posted = run_blocking("webhook", move || hook.post(&id, &body)).await;
        posted.unwrap_or_else(|fault| Attempt::Unreachable(fault.to_string()))
    }

    /// Posts one message and waits.
    fn post(&self, message_id: &str, body: &[u8]) -> Attempt {
        let sent = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header(
                "User-Agent",
                concat!("fluxwatch/", env!("CARGO_PKG_VERSION")),
            )
            .header("X-Fluxwatch-Id", message_id)
            .header("X-Fluxwatch-Signature", signature(&self.secret, body))
            .send(body);
        match sent {
            Ok(mut answer) => {
                let status = answer.status();
                let text = answer.body_mut().with_config().limit(4096).read_to_string();
                let text: String = text.unwrap_or_default().chars().take(REPLY_MAX).collect();
                let reply = format!("{status} {}", text.trim());
                // 408 and 429 ask for patience; every other 4xx and a redirection is for good.
                match status.as_u16() {
                    200..=299 => Attempt::Delivered(reply),
                    408 | 429 | 500..=599 => Attempt::Passing(reply),
                    _ => Attempt::Refused(reply),
                }
            }
            Err(fault) => {
                let attempt = Attempt::Unreachable(fault.to_string());
                if was_reached(&fault) {
                    attempt.perhaps_sent()
                } else {
                    attempt
                }
            }
        }
    }
}

/// Returns whether a receiver may have the post though it did not answer: all but what keeps from a connection.
fn was_reached(fault: &ureq::Error) -> bool {
    use ureq::{Error, Timeout};
    match fault {
        Error::HostNotFound
        | Error::ConnectionFailed
        | Error::BadUri(_)
        | Error::Timeout(Timeout::Resolve | Timeout::Connect) => false,
        Error::Io(fault) => fault.kind() != ErrorKind::ConnectionRefused,
        _ => true,
    }
}

/// Returns `sha256=` and the HMAC-SHA-256 (RFC 2104) of a body, in hexadecimal.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, body);
    let hex: String = tag.as_ref().iter().map(|it| format!("{it:02x}")).collect();
    format!("sha256={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        // RFC 4231 §4.3, test case 2.
        assert_eq!(
            signature("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
