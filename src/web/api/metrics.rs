//! `/healthz` and `/metrics`.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::pipeline::{metrics_page, process_metrics};
use crate::store::StoreError;
use crate::web::state::WebState;

/// `GET /healthz`: whether the database can be read. It tells nothing else, so that it needs no password.
pub(in crate::web) async fn healthz(State(state): State<WebState>) -> Response {
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

/// `GET /readyz`: whether the database can be read, nothing holds the service up, and every zone is seen within its
/// limit. It names none, so that it needs no password.
pub(in crate::web) async fn readyz(State(state): State<WebState>) -> Response {
    let late = |what: &'static str| (StatusCode::SERVICE_UNAVAILABLE, what).into_response();
    if state.troubles.line().is_some() {
        return late("something holds the service up\n");
    }
    let Some(place) = state.readers.enter() else {
        return "ready\n".into_response();
    };
    let now = state.clock.now();
    let read = tokio::task::spawn_blocking(move || {
        let open = place.open()?.desk().blindness_since(now)?;
        Ok::<_, StoreError>(open.iter().any(|it| it.over_at.is_none()))
    });
    match read.await {
        Ok(Ok(false)) => "ready\n".into_response(),
        Ok(Ok(true)) => late("a zone is not seen within its limit\n"),
        _ => late("the database cannot be read\n"),
    }
}

/// `GET /metrics`.
pub(in crate::web) async fn metrics(State(state): State<WebState>) -> Response {
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
        Ok(page + &state.troubles.metrics(now) + &process_metrics())
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
