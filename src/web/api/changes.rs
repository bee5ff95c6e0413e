//! `/api/v1/changes`: lines of a change feed that are pushed.

use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::StreamExt;

use crate::web::attempts::{Busy, Caller};
use crate::web::auth::given;
pub(in crate::web) use crate::web::body::BodyFault;
use crate::web::state::{Pushed, PushedLines, WebState};

/// The most octets of one pushed body.
const BODY_OCTETS_MAX: usize = 8 << 20;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a body may take before its rate counts.
pub(in crate::web) const BODY_GRACE: Duration = Duration::from_secs(5);

/// The least rate of a body. Unit: octets a second. A modem of 1998 has five times as much.
const BODY_RATE_MIN: u32 = 1024;

/// How long pushed lines may wait for a worker.
const PUSH_TIMEOUT: Duration = Duration::from_secs(300);

/// Which feed lines are pushed to.
#[derive(Deserialize)]
pub(in crate::web) struct PushQuery {
    source: Option<String>,
}

/// `POST /api/v1/changes`: lines of the change feed. 202 once they are durable. The token is looked at
/// before the body is read.
pub(in crate::web) async fn push_changes(
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
            "fluxwatch does not know whether it stored this; send it again\n",
        )
            .into_response(),
    }
}

/// Answers a push for which there is no room. Nothing of it was taken.
fn too_much_waits() -> Response {
    let retry = [(header::RETRY_AFTER, "5")];
    let what = "too many changes wait to be stored; send this again later\n";
    (StatusCode::SERVICE_UNAVAILABLE, retry, what).into_response()
}

/// Reads a body as long as it comes fast enough.
pub(in crate::web) async fn read_body(body: Body, started: Instant) -> Result<Bytes, BodyFault> {
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
