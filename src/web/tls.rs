//! TLS of the console (rustls): versions 1.2 and 1.3.

use std::fs::File;
use std::io::{BufReader, Error, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::WebTlsFiles;

/// Loads the certificate and its key.
///
/// # Errors
///
/// A sentence that names the key of the configuration and the file.
pub fn load_tls(files: &WebTlsFiles) -> Result<TlsAcceptor, Error> {
    let fault = |key: &str, path: &Path, what: &dyn std::fmt::Display| {
        let what = format!("{key}: {}: {what}", path.display());
        Error::new(ErrorKind::InvalidInput, what)
    };
    let (certificate, key) = (&files.certificate, &files.key);
    let of_certificate = |what: &dyn std::fmt::Display| fault("web.certificate", certificate, what);
    let of_key = |what: &dyn std::fmt::Display| fault("web.key", key, what);
    let open = |path: &Path| File::open(path).map(BufReader::new);
    let chain =
        CertificateDer::pem_reader_iter(open(certificate).map_err(|it| of_certificate(&it))?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|it| of_certificate(&it))?;
    if chain.is_empty() {
        return Err(of_certificate(&"holds no certificate in PEM"));
    }
    let private = PrivateKeyDer::from_pem_reader(open(key).map_err(|it| of_key(&it))?)
        .map_err(|it| of_key(&it))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|it| of_certificate(&it))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|it| of_key(&it))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
