//! Problems, as RFC 9457 words them.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A problem (RFC 9457).
#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    detail: String,
}

/// Answers with a problem.
pub(in crate::web) fn problem(status: StatusCode, detail: impl Into<String>) -> Response {
    let body = Problem {
        title: status.canonical_reason().unwrap_or("error"),
        status: status.as_u16(),
        detail: detail.into(),
    };
    let body = serde_json::to_string(&body).unwrap_or_default() + "\n";
    (
        status,
        [(header::CONTENT_TYPE, "application/problem+json")],
        body,
    )
        .into_response()
}
