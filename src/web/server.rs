//! The endpoints.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::Listener;
use axum::{Extension, Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::StreamExt;

use crate::config::CanaryConfig;
use crate::pipeline::{Troubles, metrics_page};
use crate::store::StoreError;
use crate::time::Clock;
use crate::web::attempts::{Attempts, Busy, Caller};
use crate::web::connections::Places;
use crate::web::history;
use crate::web::readers::Readers;

/// The most octets of one pushed body.
const BODY_OCTETS_MAX: usize = 8 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a body may take before its rate counts.
const BODY_GRACE: Duration = Duration::from_secs(5);
/// The least rate of a body. Unit: octets a second. A modem of 1998 has five times as much.
const BODY_RATE_MIN: u32 = 1024;
/// How long the head of a request may take, counted from the connection or from the answer before.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// How long pushed lines may wait for a worker.
const PUSH_TIMEOUT: Duration = Duration::from_secs(300);

/// How many connections there may be at each address; who comes then waits.
const CONNECTIONS_MAX: usize = 128;
/// How long nothing may pass over a connection: longer than pushed lines may wait.
const SILENCE_MAX: Duration = Duration::from_secs(360);

/// Lines that were pushed, and where their answer goes.
pub struct PushedLines {
    /// The feed; `None` for the only one that takes them.
    pub source: Option<String>,
    /// The lines.
    pub lines: Bytes,
    /// What became of them.
    pub answer: oneshot::Sender<Pushed>,
}

/// What became of pushed lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Pushed {
    /// They are in history, or were there already.
    Taken {
        /// New versions of zones.
        versions: u64,
        /// Names whose records changed.
        changed_names: u64,
        /// Lines that were set aside; the rest were taken.
        rejected_lines: u64,
    },
    /// There is no such feed, or it takes no pushed lines.
    NoSuchFeed,
    /// As many bodies as may wait for this feed wait already. Nothing of this one was taken.
    Busy,
}

/// What the endpoints share.
#[derive(Clone)]
pub struct WebState {
    /// The database.
    pub store_path: PathBuf,
    /// Now.
    pub clock: Arc<dyn Clock>,
    /// The canary, for the metrics.
    pub canary: Option<CanaryConfig>,
    /// Zones are told one by one only while there are no more than this; `None` serves no metrics.
    pub metrics_zones_max: Option<usize>,
    /// The token of who pushes; `None` takes no pushed lines.
    pub token: Option<String>,
    /// Who may read history, each `user:password`; empty serves none.
    pub users: Vec<String>,
    /// Who looks history up.
    pub readers: Readers,
    /// To whoever reads feeds.
    pub pushes: mpsc::Sender<PushedLines>,
    /// What holds the service up.
    pub troubles: Arc<Troubles>,
}

/// Which feed lines are pushed to.
#[derive(Deserialize)]
struct PushQuery {
    source: Option<String>,
}

/// Serves until the future is dropped. Calls `on_bound` once the address is listened on.
///
/// # Errors
///
/// If the address cannot be bound; the error names it.
pub async fn serve(
    listen: SocketAddr,
    state: WebState,
    on_bound: impl FnOnce(),
) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| std::io::Error::new(error.kind(), format!("{listen}: {error}")))?;
    on_bound();
    let mut router = Router::new().route("/healthz", get(healthz));
    if state.metrics_zones_max.is_some() {
        router = router.route("/metrics", get(metrics));
    }
    if state.token.is_some() {
        router = router.route("/api/v1/changes", post(push_changes));
    }
    if !state.users.is_empty() {
        let reading = Router::new()
            .route("/pdns/query/{*question}", get(history::query))
            .route("/api/v1/domains/{name}", get(history::domain))
            .route_layer(middleware::from_fn_with_state(
                state.clone(),
                history::check_user,
            ));
        router = router.merge(reading);
    }
    let router = router
        .layer(middleware::from_fn(check_host))
        .with_state(state);
    accept(
        Places::new(listener, CONNECTIONS_MAX, SILENCE_MAX),
        &router,
        HEAD_TIMEOUT,
    )
    .await
}

/// Serves whoever connects.
async fn accept(mut places: Places, router: &Router, head_timeout: Duration) -> ! {
    let attempts = Attempts::default();
    // Dropped with this future: each connection then ends after the answer that it is at, so that nobody goes on with
    // a token or a password of an older configuration.
    let (_open, is_open) = watch::channel(());
    loop {
        let (connection, address) = places.accept().await;
        let caller = attempts.caller(address.ip());
        let service = TowerToHyperService::new(router.clone().layer(Extension(caller)));
        let mut is_open = is_open.clone();
        tokio::spawn(async move {
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(head_timeout)
                .serve_connection(TokioIo::new(connection), service);
            tokio::pin!(serving);
            // A client that breaks off, or takes too long for its head, is its own affair.
            tokio::select! {
                _ = serving.as_mut() => {}
                _ = is_open.changed() => {
                    serving.as_mut().graceful_shutdown();
                    let _ = serving.await;
                }
            }
        });
    }
}

/// Refuses what does not say which host it means (RFC 9112 §3.2).
async fn check_host(request: Request, next: Next) -> Response {
    let count = request.headers().get_all(header::HOST).iter().count();
    let is_sound = match request.version() {
        Version::HTTP_11 => count == 1,
        _ => count <= 1,
    };
    match is_sound {
        true => next.run(request).await,
        false => (StatusCode::BAD_REQUEST, "one Host is needed\n").into_response(),
    }
}

/// `GET /healthz`: whether the database can be read. It tells nothing else, so that it needs no password.
async fn healthz(State(state): State<WebState>) -> Response {
    let Some(place) = state.readers.enter() else {
        // As many lookups as may be at a time: they are being answered.
        return "ok\n".into_response();
    };
    let read = tokio::task::spawn_blocking(move || place.open().map(drop));
    match read.await {
        Ok(Ok(())) => "ok\n".into_response(),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database cannot be read\n",
        )
            .into_response(),
    }
}

/// `GET /metrics`.
async fn metrics(State(state): State<WebState>) -> Response {
    let Some(place) = state.readers.enter() else {
        let retry = [(header::RETRY_AFTER, "1")];
        let what = "too many lookups at a time\n";
        return (StatusCode::SERVICE_UNAVAILABLE, retry, what).into_response();
    };
    let read = tokio::task::spawn_blocking(move || {
        let store = place.open()?;
        let zones_max = state.metrics_zones_max.unwrap_or(0);
        let (canary, now) = (state.canary.as_ref(), state.clock.now());
        let page = metrics_page(&store, canary, now, zones_max)?;
        Ok(page + &state.troubles.metrics(now))
    });
    match read.await {
        Ok(Ok(page)) => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], page).into_response()
        }
        Ok(Err(error)) => broken(&error),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Logs a fault of the database and says that there is one.
fn broken(error: &StoreError) -> Response {
    tracing::error!(%error, "metrics: {error}");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Returns what is given with a scheme of authorization (RFC 9110 §11.6.2), if it is this one.
pub(super) fn given<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (named, given) = value.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| given.trim())
}

/// Returns why a body was not taken.
enum BodyFault {
    /// More octets than one may have, or the client broke off.
    TooLarge,
    /// It took too long, or came too slowly.
    TooSlow,
}

/// Reads a body as long as it comes fast enough.
async fn read_body(body: Body, started: Instant) -> Result<Bytes, BodyFault> {
    let mut octets = Vec::new();
    let mut chunks = body.into_data_stream();
    loop {
        let earned = Duration::from_secs(octets.len() as u64) / BODY_RATE_MIN;
        let until = started + BODY_TIMEOUT.min(BODY_GRACE + earned);
        match timeout_at(until, chunks.next()).await {
            Ok(Some(Ok(chunk))) if octets.len() + chunk.len() <= BODY_OCTETS_MAX => {
                octets.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => return Err(BodyFault::TooLarge),
            Ok(None) => return Ok(Bytes::from(octets)),
            Err(_) => return Err(BodyFault::TooSlow),
        }
    }
}

/// `POST /api/v1/changes`: lines of the change feed. 202 once they are durable. The token is looked at
/// before the body is read.
async fn push_changes(
    State(state): State<WebState>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<PushQuery>,
    request: Request,
) -> Response {
    let may_enter = match given(request.headers(), "Bearer") {
        None => Ok(false),
        Some(given) => {
            let token = state.token.as_deref().unwrap_or_default().as_bytes();
            caller
                .may_enter(given.as_bytes(), [token].into_iter())
                .await
        }
    };
    match may_enter {
        Ok(true) => {}
        Ok(false) => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
            let what = "wrong or missing token\n";
            return (StatusCode::UNAUTHORIZED, challenge, what).into_response();
        }
        Err(Busy) => {
            let retry = [(header::RETRY_AFTER, "1")];
            let what = "too many requests of an address that sent wrong tokens\n";
            return (StatusCode::TOO_MANY_REQUESTS, retry, what).into_response();
        }
    }
    let lines = match read_body(request.into_body(), Instant::now()).await {
        Ok(lines) => lines,
        Err(BodyFault::TooLarge) => {
            let what = format!("more than {BODY_OCTETS_MAX} octets, or cut off\n");
            return (StatusCode::PAYLOAD_TOO_LARGE, what).into_response();
        }
        Err(BodyFault::TooSlow) => {
            let (grace, limit) = (BODY_GRACE.as_secs(), BODY_TIMEOUT.as_secs());
            let what = format!(
                "the body took more than {limit} s, or came with less than {BODY_RATE_MIN} bytes a second after {grace} s\n"
            );
            return (StatusCode::REQUEST_TIMEOUT, what).into_response();
        }
    };
    let (answer, answered) = oneshot::channel();
    let push = PushedLines {
        source: query.source,
        lines,
        answer,
    };
    if state.pushes.try_send(push).is_err() {
        return too_much_waits();
    }
    match timeout(PUSH_TIMEOUT, answered).await {
        Ok(Ok(Pushed::Busy)) => too_much_waits(),
        Ok(Ok(pushed)) => {
            let status = match pushed {
                Pushed::Taken { .. } => StatusCode::ACCEPTED,
                Pushed::NoSuchFeed | Pushed::Busy => StatusCode::NOT_FOUND,
            };
            let body = serde_json::to_string(&pushed).unwrap_or_default() + "\n";
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        // The lines may or may not be in history; sending them again changes nothing.
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not known whether it is stored; send it again\n",
        )
            .into_response(),
    }
}

/// Answers a push for which there is no room. Nothing of it was taken.
fn too_much_waits() -> Response {
    let retry = [(header::RETRY_AFTER, "5")];
    let what = "too much is waiting\n";
    (StatusCode::SERVICE_UNAVAILABLE, retry, what).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    /// Serves one page, and says where.
    async fn serve_page(head_timeout: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        // The grace is over in a moment.
        let nearly = BODY_GRACE - Duration::from_millis(500);
        let page = move |body: Body| async move {
            match read_body(body, Instant::now() - nearly).await {
                Ok(body) => format!("{} octets\n", body.len()),
                Err(BodyFault::TooLarge) => "too large\n".to_owned(),
                Err(BodyFault::TooSlow) => "too slow\n".to_owned(),
            }
        };
        let router = Router::new()
            .route("/", post(page))
            .layer(middleware::from_fn(check_host));
        let places = Places::new(listener, 8, SILENCE_MAX);
        tokio::spawn(async move { accept(places, &router, head_timeout).await });
        address
    }

    /// Sends octets, and returns what comes until the server closes.
    async fn answer(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        let read = timeout(Duration::from_secs(10), read).await;
        read.expect("the server closes").expect("read");
        answer
    }

    #[tokio::test]
    async fn head_that_does_not_end_loses_its_place() {
        let address = serve_page(Duration::from_millis(100)).await;
        let started = Instant::now();
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let mut said = b"GET / HTTP/1.1\r\n".to_vec();
        // A line now and then is no head.
        while stream.write_all(&said).await.is_ok() {
            said = b"X-More: x\r\n".to_vec();
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(started.elapsed() < Duration::from_secs(10), "it may go on");
        }
        assert_eq!(answer(address, "").await, "", "silence is no head either");
    }

    #[tokio::test]
    async fn host_is_needed_once() {
        let address = serve_page(HEAD_TIMEOUT).await;
        for (head, status) in [
            ("HTTP/1.1\r\n", "400"),
            ("HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "400"),
            ("HTTP/1.1\r\nHost: a\r\n", "200"),
            ("HTTP/1.0\r\n", "200"),
        ] {
            let request = format!("POST / {head}Connection: close\r\nContent-Length: 0\r\n\r\n");
            let answer = answer(address, &request).await;
            assert_eq!(answer.split(' ').nth(1), Some(status), "{head:?} {answer}");
        }
    }

    #[tokio::test]
    async fn body_that_stops_is_refused_and_a_steady_one_is_not() {
        let address = serve_page(HEAD_TIMEOUT).await;
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3000\r\n\r\n";
        let cut = format!("{head}{}", "x".repeat(500));
        assert!(answer(address, &cut).await.ends_with("too slow\n"));
        let whole = format!("{head}{}", "x".repeat(3000));
        assert!(answer(address, &whole).await.ends_with("3000 octets\n"));
    }
}
