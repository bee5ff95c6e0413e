//! The endpoints.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::config::CanaryConfig;
use crate::pipeline::metrics_page;
use crate::store::{Store, StoreError};
use crate::time::Clock;
use crate::web::connections::Places;
use crate::web::history;
use crate::web::readers::Readers;

/// The most octets of one pushed body.
const BODY_OCTETS_MAX: usize = 8 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long pushed lines may wait for the loop.
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
    /// To the loop.
    pub pushes: mpsc::Sender<PushedLines>,
}

/// Which feed lines are pushed to.
#[derive(Deserialize)]
struct PushQuery {
    source: Option<String>,
}

/// Serves until the future is dropped.
///
/// # Errors
///
/// If the address cannot be bound; the error names it.
pub async fn serve(listen: SocketAddr, state: WebState) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| std::io::Error::new(error.kind(), format!("{listen}: {error}")))?;
    let mut router = Router::new();
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
    let places = Places::new(listener, CONNECTIONS_MAX, SILENCE_MAX);
    axum::serve(places, router.with_state(state)).await
}

/// `GET /metrics`.
async fn metrics(State(state): State<WebState>) -> Response {
    let read = tokio::task::spawn_blocking(move || {
        let store = Store::open_read_only(&state.store_path)?;
        let zones_max = state.metrics_zones_max.unwrap_or(0);
        metrics_page(&store, state.canary.as_ref(), state.clock.now(), zones_max)
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

/// `POST /api/v1/changes`: lines of the change feed. 202 once they are durable. The token is looked at
/// before the body is read.
async fn push_changes(
    State(state): State<WebState>,
    Query(query): Query<PushQuery>,
    request: Request,
) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let wanted = state.token.as_deref().unwrap_or_default();
    if !given.is_some_and(|given| is_same(given, wanted.as_bytes())) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (
            StatusCode::UNAUTHORIZED,
            challenge,
            "wrong or missing token\n",
        )
            .into_response();
    }
    let body = axum::body::to_bytes(request.into_body(), BODY_OCTETS_MAX);
    let lines = match timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(lines)) => lines,
        Ok(Err(_)) => {
            let what = format!("more than {BODY_OCTETS_MAX} octets, or cut off\n");
            return (StatusCode::PAYLOAD_TOO_LARGE, what).into_response();
        }
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let (answer, answered) = oneshot::channel();
    let push = PushedLines {
        source: query.source,
        lines,
        answer,
    };
    if state.pushes.try_send(push).is_err() {
        let retry = [(header::RETRY_AFTER, "5")];
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            retry,
            "too much is waiting\n",
        )
            .into_response();
    }
    match timeout(PUSH_TIMEOUT, answered).await {
        Ok(Ok(pushed)) => {
            let status = match pushed {
                Pushed::Taken { .. } => StatusCode::ACCEPTED,
                Pushed::NoSuchFeed => StatusCode::NOT_FOUND,
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

/// Compares without telling by its time where the first difference is.
pub(super) fn is_same(given: &[u8], wanted: &[u8]) -> bool {
    let differs = given
        .iter()
        .zip(wanted)
        .fold(0, |sum, (given, wanted)| sum | (given ^ wanted));
    given.len() == wanted.len() && !wanted.is_empty() && differs == 0
}
