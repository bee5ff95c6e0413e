//! Who may enter: users of history.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::people::User;
use crate::web::attempts::{Busy, Caller};
use crate::web::problem::problem;
use crate::web::state::{Console, WebState};

/// Lets users in who send their name and password with every request (RFC 7617).
pub async fn check_user(
    State(state): State<WebState>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let may_enter = match (given(request.headers(), "Basic"), &state.console) {
        // Nobody guesses who gives nothing.
        (Some(given), Some(console)) => {
            let user = check_password(console, &caller, given).await;
            user.map(|user| user.is_some())
        }
        _ => Ok(false),
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

/// Looks at what is given by basic authorization.
pub(super) async fn check_password(
    console: &Console,
    caller: &Caller,
    given: &str,
) -> Result<Option<User>, Busy> {
    let given = BASE64_STANDARD.decode(given).unwrap_or_default();
    let given = String::from_utf8(given).unwrap_or_default();
    let (name, password) = given.split_once(':').unwrap_or((&given, ""));
    let (name, password) = (name.to_owned(), password.to_owned());
    let (people, hashing) = (console.people.clone(), console.hashing.clone());
    let look = {
        let name = name.clone();
        move || people.verify_again(&name, &password)
    };
    caller.log_in(&name, hashing, look).await
}

/// Returns what is given with a scheme of authorization (RFC 9110 §11.6.2), if it is this one.
pub(super) fn given<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (named, given) = value.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| given.trim())
}
