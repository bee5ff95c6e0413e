//! The endpoints.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::Listener;
use axum::{BoxError, Extension, Router, middleware};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::pipeline::record_request;
use crate::web::api::{changes, document, enter, history, metrics};
use crate::web::attempts::{Attempts, note_client};
use crate::web::auth;
use crate::web::connections::Places;
use crate::web::console;
use crate::web::state::WebState;
use crate::web::tls::load_tls;

/// How long the head of a request may take, counted from the connection or from the answer before.
// Clients that send their heads an octet at a time could hold every connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// How many connections there may be at each address; who comes then waits.
const CONNECTIONS_MAX: usize = 128;
/// How long nothing may pass over a connection: longer than pushed lines may wait.
const SILENCE_MAX: Duration = Duration::from_secs(360);

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
    let tls = state.tls.as_ref().map(load_tls).transpose()?;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| std::io::Error::new(error.kind(), format!("{listen}: {error}")))?;
    on_bound();
    let mut router = Router::new()
        .route("/healthz", get(metrics::healthz))
        .route("/readyz", get(metrics::readyz));
    if state.metrics_zones_max.is_some() {
        router = router.route("/metrics", get(metrics::metrics));
    }
    if state.token.is_some() {
        router = router.route("/api/v1/changes", post(changes::push_changes));
    }
    if state.console.is_some() {
        let reading = Router::new()
            .route("/pdns/query/{*question}", get(history::query))
            .route("/api/v1/domains/{name}", get(history::domain))
            .route_layer(middleware::from_fn_with_state(
                state.clone(),
                auth::check_user,
            ));
        let desk = document::routes()
            .route_layer(middleware::from_fn_with_state(state.clone(), enter::enter));
        router = router
            .merge(reading)
            .merge(desk)
            .route("/api/v1/openapi.json", get(document::show))
            .merge(console::routes(&state));
    }
    let proxies = state.proxies.clone();
    let router = router
        .layer(middleware::from_fn_with_state(proxies, note_client))
        .layer(middleware::from_fn(check_host))
        .layer(middleware::from_fn(note_time))
        .with_state(state);
    let places = Places::new(listener, CONNECTIONS_MAX, SILENCE_MAX);
    accept(places, tls, &router, HEAD_TIMEOUT).await
}

/// Serves whoever connects.
async fn accept(
    mut places: Places,
    tls: Option<TlsAcceptor>,
    router: &Router,
    head_timeout: Duration,
) -> ! {
    let attempts = Attempts::default();
    // Dropped with this future: each connection then ends after the answer that it is at, so that nobody goes on with
    // a token or a password of an older configuration.
    let (_open, is_open) = watch::channel(());
    loop {
        let (connection, address) = places.accept().await;
        let caller = attempts.caller(address.ip());
        let service = TowerToHyperService::new(router.clone().layer(Extension(caller)));
        let (tls, is_open) = (tls.clone(), is_open.clone());
        tokio::spawn(async move {
            let Some(tls) = tls else {
                return talk(connection, service, is_open, head_timeout).await;
            };
            // A client that does not get through the handshake is its own affair.
            if let Ok(Ok(stream)) = timeout(head_timeout, tls.accept(connection)).await {
                talk(stream, service, is_open, head_timeout).await;
            }
        });
    }
}

/// Answers what comes over a connection, until its end or that of the configuration.
async fn talk<Io, S>(
    stream: Io,
    service: TowerToHyperService<S>,
    mut is_open: watch::Receiver<()>,
    head_timeout: Duration,
) where
    Io: AsyncRead + AsyncWrite + Unpin,
    TowerToHyperService<S>: HttpService<Incoming, ResBody = Body>,
    <TowerToHyperService<S> as HttpService<Incoming>>::Error: Into<BoxError>,
{
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    // A client that breaks off, or takes too long for its head, is its own affair.
    tokio::select! {
        _ = serving.as_mut() => {}
        _ = is_open.changed() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

/// Notes for the metrics how long an answer took.
async fn note_time(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let response = next.run(request).await;
    record_request(response.status().as_u16(), began.elapsed());
    response
}

/// Refuses what does not say which host it means (RFC 9112 §3.2).
async fn check_host(request: Request, next: Next) -> Response {
    let count = request.headers().get_all(header::HOST).iter().count();
    let is_sound = match request.version() {
        Version::HTTP_11 => count == 1,
        _ => count <= 1,
    };
    if is_sound {
        next.run(request).await
    } else {
        (StatusCode::BAD_REQUEST, "one Host is needed\n").into_response()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::web::api::changes::{BODY_GRACE, BodyFault, read_body};
    use axum::body::Body;
    use tokio::time::{Instant, timeout};

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
        tokio::spawn(async move { accept(places, None, &router, head_timeout).await });
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
