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
use tokio::task::{JoinHandle, unconstrained};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::file::read_text;
use crate::place::ServerUrl;
use crate::store::value::Fault;

/// How long to wait for a connection to one host, where the URL does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the first answers of a session may take after that: who takes connections may still be stuck.
pub(super) const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// After how long without an answer to its probes a connection is given up. Unit: seconds.
const SILENCE_S: u64 = 30;
/// How long an answer may take. A verification of a large database or a first version takes minutes at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1800);

/// What a session works with, whatever the server's own settings are. What is asked of many keys is looked up, and not
/// found by reading a whole table: what is asked lately lies in memory. A client whose host is gone, or that does not take
/// what it asked for, is given up after half a minute: its locks are then free.
pub(super) const SETTINGS: [(&str, &str); 8] = [
    ("jit", "off"),
    ("random_page_cost", "1.1"),
    ("work_mem", "16MB"),
    ("standard_conforming_strings", "on"),
    ("client_min_messages", "warning"),
    ("synchronous_commit", "on"),
    ("lock_timeout", "20s"),
    ("idle_in_transaction_session_timeout", "10min"),
];
/// Those of a session alone.
const SESSION_SETTINGS: [(&str, &str); 5] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "30s"),
    ("default_transaction_isolation", "read committed"),
];

/// Returns what gives a session its settings, in SQL.
pub(super) fn settings_of_sessions() -> String {
    let all = SETTINGS.iter().chain(&SESSION_SETTINGS);
    all.map(|(name, value)| format!("set {name} = '{value}'; "))
        .collect()
}

/// Returns the thread that drives the sockets.
pub(super) fn runtime() -> Result<&'static Runtime, Fault> {
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
    wait_at_most(ANSWER_TIMEOUT, answer)
}

/// Waits for an answer that may take so long.
pub(super) fn wait_at_most<T>(
    time: Duration,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Fault> {
    within(time, answer)?.map_err(Fault::from)
}

/// Waits for a task that waits for an answer.
pub(super) fn wait_for_task(task: Driver) -> Result<(), Fault> {
    match within(ANSWER_TIMEOUT, task)? {
        Ok(answer) => answer.map_err(Fault::from),
        Err(fault) => Err(Fault::away(fault.to_string())),
    }
}

/// Waits for what may take so long.
fn within<T>(time: Duration, work: impl Future<Output = T>) -> Result<T, Fault> {
    let _inside = runtime()?.enter();
    // It is made inside of the runtime, and only there. Who waits may himself be a task of another runtime that has not
    // rested for long: such a one would never be told that a task of ours has ended.
    let work = unconstrained(async { tokio::time::timeout(time, work).await });
    pollster::block_on(work)
        .map_err(|_| Fault::away(format!("no answer within {} s", time.as_secs())))
}

/// A task of the thread that drives the sockets.
pub(super) type Driver = JoinHandle<Result<(), tokio_postgres::Error>>;

/// Opens a session, which has yet to be given its settings. Returns it and what drives its socket.
pub(super) fn connect(server: &ServerUrl) -> Result<(Client, Driver), Fault> {
    let mut config = server.config().clone();
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if let Some(password) = password(server)? {
        config.password(password);
    }
    config.keepalives_idle(Duration::from_secs(SILENCE_S / 2));
    config.keepalives_interval(Duration::from_secs(5));
    config.tcp_user_timeout(Duration::from_secs(SILENCE_S));
    if config.get_application_name().is_none() {
        config.application_name(format!("fluxwatch {}", this_process()));
    }
    // Not only the way to each host, also what is said first: a server may take a connection and never speak.
    let hosts = u32::try_from(config.get_hosts().len()).unwrap_or(u32::MAX);
    let each = config.get_connect_timeout().copied();
    let most = each.unwrap_or(CONNECT_TIMEOUT).saturating_mul(hosts) + GREETING_TIMEOUT;
    let is_plain = server.is_local() && server.ca_file().is_none();
    if is_plain {
        config.ssl_mode(SslMode::Disable);
        let (client, connection) = wait_at_most(most, config.connect(NoTls))?;
        Ok((client, runtime()?.spawn(connection)))
    } else {
        config.ssl_mode(SslMode::Require);
        let tls = MakeRustlsConnect::new(tls_config(server)?);
        let (client, connection) = wait_at_most(most, config.connect(tls))?;
        Ok((client, runtime()?.spawn(connection)))
    }
}

/// The most octets of a password's file.
const PASSWORD_OCTETS_MAX: u64 = 4_096;

/// Returns the password as its file has it now: it may have been changed since the configuration was read.
fn password(server: &ServerUrl) -> Result<Option<String>, Fault> {
    let Some(path) = server.password_file() else {
        return Ok(None);
    };
    let named = |fault: &dyn std::fmt::Display| {
        // SQLSTATE of a login that is refused.
        let text = format!("store.password_file {}: {fault}", path.display());
        Fault::of_server("28000", text)
    };
    let text = read_text(path, PASSWORD_OCTETS_MAX).map_err(|fault| named(&fault))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(named(&"is empty")),
        password => Ok(Some(password.to_owned())),
    }
}

/// The most octets of a host's name that are told: a session's name has 63.
const HOST_OCTETS_MAX: usize = 29;

/// Returns this host's name and this process' number, as the server's lists show them.
pub(super) fn this_process() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let plain = |letter: char| match letter.is_ascii_graphic() {
        true => letter,
        false => '?',
    };
    let host: String = name.chars().take(HOST_OCTETS_MAX).map(plain).collect();
    format!("{host} {}", std::process::id())
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
        if is_of_certificate(&fault) {
            return Self::untrusted(text);
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

/// Returns whether the server's certificate was not accepted.
fn is_of_certificate(fault: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(fault);
    while let Some(it) = cause {
        let inner = it.downcast_ref::<std::io::Error>();
        let inner = inner.and_then(|it| it.get_ref());
        let of_tls = |it: &(dyn std::error::Error + 'static)| {
            matches!(
                it.downcast_ref::<rustls::Error>(),
                Some(rustls::Error::InvalidCertificate(_))
            )
        };
        if of_tls(it) || inner.is_some_and(|it| of_tls(it)) {
            return true;
        }
        cause = it.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::{runtime, within};

    #[test]
    fn task_of_another_runtime_that_has_not_rested_is_told_that_one_of_ours_has_ended() {
        let other = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let told = other.block_on(async {
            loop {
                let one_more = pin!(tokio::task::coop::consume_budget());
                if one_more
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
                {
                    break;
                }
            }
            let ours = runtime().expect("a runtime").spawn(async {});
            within(Duration::from_secs(5), ours)
        });
        assert!(matches!(told, Ok(Ok(()))), "{told:?}");
    }
}
