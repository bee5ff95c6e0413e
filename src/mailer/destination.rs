//! Where a mail server is, and how it is spoken to: read from a URL.

use std::io;
use std::sync::Arc;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::mailer::MailerError;

/// The port of `smtp://` (RFC 5321).
const SMTP_PORT: u16 = 25;
/// The port of `smtp://` with a parameter `tls` (RFC 6409).
const SUBMISSION_PORT: u16 = 587;
/// The port of `smtps://` (RFC 8314 §7.3).
const SUBMISSIONS_PORT: u16 = 465;

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

/// Where a server is, and how it is spoken to.
pub(super) struct Destination {
    /// A name, or an address without brackets.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
    /// Who greets it.
    pub(super) hello: ClientId,
    /// Whether and how the session is encrypted.
    pub(super) encryption: Encryption,
    /// Who logs in; only in an encrypted session.
    pub(super) credentials: Option<Credentials>,
}

/// Whether and how a session is encrypted.
pub(super) enum Encryption {
    /// Not at all.
    None,
    /// If the server offers STARTTLS.
    Opportunistic(Trust),
    /// By STARTTLS, or no message leaves.
    Required(Trust),
    /// From the first octet on.
    Implicit(Trust),
}

/// Whose certificate is trusted.
pub(super) struct Trust {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

impl Destination {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// [`MailerError::Url`], never with the password in it.
    pub(super) fn new(settings: &SmtpSettings) -> Result<Self, MailerError> {
        let url = &settings.url;
        let unusable = || MailerError::Url(format!("{url:?} cannot be used"));
        let (scheme, rest) = url.split_once("://").ok_or_else(unusable)?;
        if !matches!(scheme, "smtp" | "smtps") {
            return Err(MailerError::Url(format!("{url:?} has an unknown scheme")));
        }
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        // Exactly these: what is passed over would be sent in the clear.
        if let Some(query) = query
            && !matches!(query, "tls=required" | "tls=opportunistic")
        {
            return Err(MailerError::Url(format!("{query:?} is no parameter")));
        }
        let is_encrypted = scheme == "smtps" || query == Some("tls=required");
        if settings.password.is_some() && !is_encrypted {
            let what = "a password is sent over TLS only";
            return Err(MailerError::InTheClear(what));
        }
        if settings.ca_pem.is_some() && !is_encrypted {
            return Err(MailerError::InTheClear("ca_file needs TLS"));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // From the right: a user's name may be a mail address.
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let default = match (scheme, query) {
            ("smtps", _) => SUBMISSIONS_PORT,
            (_, Some(_)) => SUBMISSION_PORT,
            _ => SMTP_PORT,
        };
        let (host, port) = split_port(place, default).ok_or_else(unusable)?;
        let credentials = match (&settings.password, user) {
            (Some(password), Some(user)) => {
                let user = decode_percent(user).ok_or_else(unusable)?;
                Some(Credentials::new(user, password.clone()))
            }
            (Some(_), None) => {
                return Err(MailerError::NoUser);
            }
            (None, _) => None,
        };
        let trust = || Trust::new(&host, settings.ca_pem.as_deref());
        let encryption = match (scheme, query) {
            ("smtps", _) => Encryption::Implicit(trust()?),
            (_, Some("tls=required")) => Encryption::Required(trust()?),
            (_, Some(_)) => Encryption::Opportunistic(trust()?),
            _ => Encryption::None,
        };
        let hello = match path.trim_matches('/') {
            "" => ClientId::default(),
            name => ClientId::Domain(name.to_owned()),
        };
        Ok(Self {
            host,
            port,
            hello,
            encryption,
            credentials,
        })
    }
}

impl Trust {
    /// Trusts the public authorities, or those of a PEM text.
    fn new(host: &str, ca_pem: Option<&str>) -> Result<Self, MailerError> {
        let fault = MailerError::Authorities;
        let name = ServerName::try_from(host.to_owned());
        let server_name = name.map_err(|_| {
            MailerError::Url(format!("{host:?} is no host that a certificate can name"))
        })?;
        let mut roots = RootCertStore::empty();
        match ca_pem {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    let certificate = certificate.map_err(|it| fault(it.to_string()))?;
                    let added = roots.add(certificate);
                    added.map_err(|it| fault(it.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(fault("holds no certificate in PEM".to_owned()));
                }
            }
        }
        // TLS 1.2 too: RFC 8314 §4.1 asks for it, and many servers of mail have no other.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|it| MailerError::Url(it.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
            server_name,
        })
    }

    /// Makes the encrypted connection.
    ///
    /// # Errors
    ///
    /// Of the connection, or of the certificate.
    pub(super) async fn encrypt(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(self.config.clone());
        let encrypted = connector.connect(self.server_name.clone(), tcp).await;
        encrypted.map_err(|error| io::Error::new(error.kind(), format!("TLS handshake: {error}")))
    }
}

/// Splits a host, its brackets taken off, from its port.
fn split_port(place: &str, default: u16) -> Option<(String, u16)> {
    let (host, rest) = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => port.parse().ok()?,
        None if rest.is_empty() => default,
        None => return None,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// Decodes `%40` and its like (RFC 3986 §2.1).
fn decode_percent(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let pair = [*high, *low];
                let digits = std::str::from_utf8(&pair).ok()?;
                octets.push(u8::from_str_radix(digits, 16).ok()?);
                rest = tail;
            }
            (b'%', _) => return None,
            (octet, tail) => {
                octets.push(*octet);
                rest = tail;
            }
        }
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a URL without password and authorities.
    fn read(url: &str) -> Result<Destination, String> {
        let settings = SmtpSettings {
            url: url.to_owned(),
            password: None,
            ca_pem: None,
        };
        Destination::new(&settings).map_err(|fault| fault.to_string())
    }

    #[test]
    fn url_says_host_port_and_encryption() {
        for (url, host, port, wanted) in [
            ("smtp://mx.example", "mx.example", 25, "none"),
            ("smtp://[2001:db8::1]:2525", "2001:db8::1", 2525, "none"),
            (
                "smtp://mx.example?tls=required",
                "mx.example",
                587,
                "required",
            ),
            (
                "smtp://mx.example:26?tls=opportunistic",
                "mx.example",
                26,
                "opportunistic",
            ),
            (
                "smtps://a%40b@192.0.2.1/me.example",
                "192.0.2.1",
                465,
                "implicit",
            ),
        ] {
            let read = read(url).expect(url);
            let encryption = match read.encryption {
                Encryption::None => "none",
                Encryption::Opportunistic(_) => "opportunistic",
                Encryption::Required(_) => "required",
                Encryption::Implicit(_) => "implicit",
            };
            assert_eq!(
                (read.host.as_str(), read.port, encryption),
                (host, port, wanted),
                "{url}"
            );
        }
        for url in [
            "smtp://",
            "smtp://[::1",
            "smtp://a:b",
            "http://a",
            "smtp://a?tls=no",
        ] {
            assert!(read(url).is_err(), "{url}");
        }
        assert_eq!(decode_percent("a%40b%25").as_deref(), Some("a@b%"));
        assert_eq!(decode_percent("a%4").as_deref(), None);
    }
}
