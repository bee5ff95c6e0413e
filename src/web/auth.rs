//! Who may enter: users of history.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::web::attempts::{Busy, Caller};
use crate::web::problem::problem;
use crate::web::state::WebState;

/// Lets only those in that the configuration names (RFC 7617).
pub async fn check_user(
    State(state): State<WebState>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let given = given(request.headers(), "Basic").map(|given| BASE64_STANDARD.decode(given));
    let may_enter = match given {
        // Nobody guesses who gives nothing.
        None => Ok(false),
        Some(given) => {
            let users = state.users.iter().map(String::as_bytes);
            caller.may_enter(&given.unwrap_or_default(), users).await
        }
    };
    match may_enter {
        Ok(true) => next.run(request).await,
        Ok(false) => {
            let what = "wrong or missing user and password";
            let mut refused = problem(StatusCode::UNAUTHORIZED, what);
            let challenge =
                header::HeaderValue::from_static("Basic realm=\"fluxwatch\", charset=\"UTF-8\"");
            refused
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
            refused
        }
        Err(Busy) => {
            let what = "too many requests of an address that sent wrong passwords";
            let mut refused = problem(StatusCode::TOO_MANY_REQUESTS, what);
            let retry = header::HeaderValue::from_static("1");
            refused.headers_mut().insert(header::RETRY_AFTER, retry);
            refused
        }
    }
}

/// Returns what is given with a scheme of authorization (RFC 9110 §11.6.2), if it is this one.
pub(super) fn given<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (named, given) = value.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| given.trim())
}
