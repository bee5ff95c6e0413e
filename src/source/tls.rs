//! Zone transfers over TLS (RFC 9103): TLS 1.3, ALPN `dot`, a certificate or a pinned key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::zone::Refusal;

/// The protocol's name in the handshake (RFC 9103 §7.1).
const ALPN_DOT: &[u8] = b"dot";
/// The octets of a SHA-256 digest.
const PIN_OCTETS: usize = 32;

/// How a primary is trusted.
#[derive(Clone)]
pub struct TransferTls {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
    /// Refuse a primary that does not negotiate ALPN. NSD 4.6 does not.
    strict_alpn: bool,
}

impl fmt::Debug for TransferTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransferTls({:?})", self.server_name)
    }
}

impl TransferTls {
    /// Makes a trust of the name in the certificate and of what vouches for it: certificates in PEM,
    /// or pins (base64 of the SHA-256 of the key's SubjectPublicKeyInfo, RFC 7858 §4.2), or, with
    /// neither, the public authorities.
    ///
    /// # Errors
    ///
    /// A sentence that says which of them cannot be used.
    pub fn new(
        server_name: &str,
        ca_pem: Option<&[u8]>,
        pins: &[String],
        strict_alpn: bool,
    ) -> Result<Self, String> {
        let name = ServerName::try_from(server_name.trim_end_matches('.').to_owned())
            .map_err(|_| format!("server_name: {server_name:?} is no name of a server"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            // RFC 9103 §7.1: TLS 1.3 or later.
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|fault| fault.to_string())?;
        let mut config = if pins.is_empty() {
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots(ca_pem)?), provider)
                    .build()
                    .map_err(|fault| format!("ca_file: {fault}"))?;
            builder.with_webpki_verifier(verifier).with_no_client_auth()
        } else {
            let pins = pins
                .iter()
                .map(|pin| read_pin(pin))
                .collect::<Result<_, _>>()?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(PinVerifier { pins, provider }))
                .with_no_client_auth()
        };
        config.alpn_protocols = vec![ALPN_DOT.to_vec()];
        Ok(Self {
            config: Arc::new(config),
            server_name: name,
            strict_alpn,
        })
    }

    /// Makes the encrypted connection.
    ///
    /// # Errors
    ///
    /// [`Refusal::Tls`], or [`Refusal::Timeout`].
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        limit: Duration,
    ) -> Result<TlsStream<TcpStream>, Refusal> {
        let connector = TlsConnector::from(self.config.clone());
        let stream = match timeout(limit, connector.connect(self.server_name.clone(), stream)).await
        {
            Ok(Ok(stream)) => stream,
            Ok(Err(fault)) => return Err(Refusal::Tls(fault.to_string())),
            Err(_) => return Err(Refusal::Timeout("TLS handshake".to_owned())),
        };
        if self.strict_alpn && stream.get_ref().1.alpn_protocol() != Some(ALPN_DOT) {
            return Err(Refusal::Tls(
                "the primary did not negotiate ALPN \"dot\"".to_owned(),
            ));
        }
        Ok(stream)
    }
}

/// Returns the authorities of a PEM text, or the public ones.
fn roots(ca_pem: Option<&[u8]>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = ca_pem else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|fault| format!("ca_file: {fault}"))?;
        roots
            .add(certificate)
            .map_err(|fault| format!("ca_file: {fault}"))?;
    }
    if roots.is_empty() {
        return Err("ca_file: holds no certificate".to_owned());
    }
    Ok(roots)
}

/// Reads a pin.
fn read_pin(pin: &str) -> Result<[u8; PIN_OCTETS], String> {
    let octets: Option<Vec<u8>> = domain::utils::base64::decode(pin).ok();
    octets
        .and_then(|octets| octets.try_into().ok())
        .ok_or_else(|| format!("pin: {pin:?} is not base64 of a SHA-256"))
}

/// Trusts the keys that are pinned, whoever signed their certificate and however old it is.
#[derive(Debug)]
struct PinVerifier {
    pins: Vec<[u8; PIN_OCTETS]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let certificate = webpki::EndEntityCert::try_from(end_entity)
            .map_err(|_| TlsError::InvalidCertificate(CertificateError::BadEncoding))?;
        // The key and not the certificate: it stays the same when the certificate is renewed.
        let key = certificate.subject_public_key_info();
        let digest = ring::digest::digest(&ring::digest::SHA256, &key);
        if self
            .pins
            .iter()
            .any(|pin| pin.as_slice() == digest.as_ref())
        {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(TlsError::General(
                "the primary's key is not the pinned one".to_owned(),
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_that_cannot_be_used_says_why() {
        let fault = |name: &str, ca: Option<&[u8]>, pins: &[String]| {
            TransferTls::new(name, ca, pins, false)
                .err()
                .unwrap_or_default()
        };
        assert!(fault("primary.example.", None, &[]).is_empty());
        assert!(fault("a b", None, &[]).contains("server_name"));
        assert!(fault("primary.example", Some(b"no pem"), &[]).contains("no certificate"));
        assert!(fault("primary.example", None, &["c2hvcnQ=".to_owned()]).contains("SHA-256"));
    }
}
