//! A session of a PostgreSQL server: how it is opened, and how a program that waits gets its answers.
//!
//! Whoever asks waits, as with a file. The socket is driven by a thread of the store's own, so that it does not matter
//! whether who asks runs on a thread of another runtime.

use std::fs;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::place::ServerUrl;
use crate::store::value::Fault;

/// How long to wait for a connection to one host, where the URL does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After how long without an answer to its probes a connection is given up. Unit: seconds.
const SILENCE_S: u64 = 30;
/// How long an answer may take. A verification of a large database or a first version takes minutes at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1800);

/// What a session works with, whatever the server's own settings are.
const SETTINGS: &str = "
    set jit = off;
    set standard_conforming_strings = on;
    set client_min_messages = warning;
    set synchronous_commit = on;
    set lock_timeout = '20s';
    set idle_in_transaction_session_timeout = '10min';
    set default_transaction_isolation = 'read committed';";

/// Returns the thread that drives the sockets.
fn runtime() -> Result<&'static Runtime, Fault> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let made = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("postgres")
        .enable_all()
        .build()
        .map_err(|fault| Fault::other(fault.to_string()))?;
    // Another thread may have been faster; its runtime is used, and this one ends.
    Ok(RUNTIME.get_or_init(|| made))
}

/// Waits for an answer.
pub(super) fn wait<T>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Fault> {
    let _inside = runtime()?.enter();
    match pollster::block_on(tokio::time::timeout(ANSWER_TIMEOUT, answer)) {
        Ok(answer) => answer.map_err(Fault::from),
        Err(_) => Err(Fault::away(format!(
            "no answer within {} s",
            ANSWER_TIMEOUT.as_secs()
        ))),
    }
}

/// Opens a session.
pub(super) fn connect(server: &ServerUrl) -> Result<Client, Fault> {
    let mut config = server.config().clone();
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    config.keepalives_idle(Duration::from_secs(SILENCE_S / 2));
    config.keepalives_interval(Duration::from_secs(5));
    config.tcp_user_timeout(Duration::from_secs(SILENCE_S));
    if config.get_application_name().is_none() {
        config.application_name("fluxwatch");
    }
    let is_plain = server.is_local() && server.ca_file().is_none();
    let client = if is_plain {
        config.ssl_mode(SslMode::Disable);
        let (client, connection) = wait(config.connect(NoTls))?;
        runtime()?.spawn(connection);
        client
    } else {
        config.ssl_mode(SslMode::Require);
        let tls = MakeRustlsConnect::new(tls_config(server)?);
        let (client, connection) = wait(config.connect(tls))?;
        runtime()?.spawn(connection);
        client
    };
    wait(client.batch_execute(SETTINGS))?;
    Ok(client)
}

/// Returns how TLS is spoken: the server's name and its certificate are checked.
fn tls_config(server: &ServerUrl) -> Result<ClientConfig, Fault> {
    let mut authorities = RootCertStore::empty();
    match server.ca_file() {
        Some(path) => {
            let named = |fault: String| Fault::other(format!("{}: {fault}", path.display()));
            let text = fs::read(path).map_err(|fault| named(fault.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&text) {
                let certificate = certificate.map_err(|fault| named(fault.to_string()))?;
                authorities
                    .add(certificate)
                    .map_err(|fault| named(fault.to_string()))?;
            }
        }
        None => authorities.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|fault| Fault::other(fault.to_string()))?;
    Ok(config
        .with_root_certificates(authorities)
        .with_no_client_auth())
}

/// A fault of the server or of the way to it.
impl From<tokio_postgres::Error> for Fault {
    fn from(fault: tokio_postgres::Error) -> Self {
        if let Some(said) = fault.as_db_error() {
            let mut text = said.message().to_owned();
            for more in [said.detail(), said.hint()].into_iter().flatten() {
                text.push_str("; ");
                text.push_str(more);
            }
            return Self::of_server(said.code().code(), text);
        }
        let mut text = fault.to_string();
        let mut cause = std::error::Error::source(&fault);
        while let Some(more) = cause {
            text = format!("{text}: {more}");
            cause = more.source();
        }
        // Without words of the server it is the connection, or a value that was not sent.
        match fault.is_closed() || is_of_connection(&fault) {
            true => Self::away(text),
            false => Self::other(text),
        }
    }
}

/// Returns whether a fault that is not the server's is the network's.
fn is_of_connection(fault: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(fault);
    while let Some(it) = cause {
        if it.is::<std::io::Error>() {
            return true;
        }
        cause = it.source();
    }
    fault.to_string().starts_with("error connecting")
        || fault.to_string().starts_with("error communicating")
        || fault.to_string().starts_with("timeout waiting")
}
