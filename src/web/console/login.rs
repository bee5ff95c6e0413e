//! Logging in and out.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::people::User;
use crate::store::SessionRow;
use crate::time::Timestamp;
use crate::web::attempts::Caller;
use crate::web::body::{BodyFault, read_small, too_slow};
use crate::web::console::enter::{COOKIE, cookie};
use crate::web::console::forms::{OCTETS_MAX, is_of_own_page};
use crate::web::console::reply::{Page, PageFault, Visit, fault_page, html, see_other, with_base};
use crate::web::form::Fields;
use crate::web::people::mark_of;
use crate::web::secret::{draw_secret, form_token, hash_of};
use crate::web::state::{Console, WebState};

/// The cookie that the form for logging in goes with: whoever lures a browser into somebody else's session has none.
const LOGIN_COOKIE: &str = "__Host-fluxwatch-login";

/// `GET /login`.
pub(in crate::web::console) async fn show(
    State(state): State<WebState>,
    request: Request,
) -> Response {
    let console = state
        .console
        .expect("pages are served with a console alone");
    let fields = Fields::parse(request.uri().query().unwrap_or_default());
    let held = cookie(request.headers(), LOGIN_COOKIE);
    let next = local_page(fields.find("next")).to_owned();
    show_form(
        &console,
        held,
        StatusCode::OK,
        json!({"next": next, "fault": null}),
    )
}

/// Shows the form.
fn show_form(
    console: &Console,
    held: Option<String>,
    status: StatusCode,
    mut says: serde_json::Value,
) -> Response {
    let Some(secret) = held.or_else(|| draw_secret().ok()) else {
        let what = "The system gives no random bytes.";
        return fault_page(
            console,
            None,
            StatusCode::INTERNAL_SERVER_ERROR,
            ("Broken", what),
            None,
        );
    };
    says["login_token"] = json!(form_token(&secret));
    says["has_users"] = json!(console.settings.users_path.is_some());
    match console
        .pages
        .render("login.html", &with_base(None, "Log in", says))
    {
        Ok(page) => with_cookie(html(status, page), LOGIN_COOKIE, Some(&secret)),
        Err(fault) => {
            tracing::error!("console: {fault}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// `POST /login`.
pub(in crate::web::console) async fn log_in(
    State(state): State<WebState>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let console = state
        .console
        .clone()
        .expect("pages are served with a console alone");
    let held = cookie(request.headers(), LOGIN_COOKIE);
    let old = cookie(request.headers(), COOKIE);
    let is_own = is_of_own_page(request.headers());
    let body = match read_small(request.into_body(), OCTETS_MAX).await {
        Err(BodyFault::TooSlow) => return refuse_slow(&console, held),
        // Nothing of it is right then, the token neither.
        read => read.unwrap_or_default(),
    };
    let fields = Fields::parse(&String::from_utf8_lossy(&body));
    let next = local_page(fields.find("next")).to_owned();
    let again = |held, status, fault: &str| {
        show_form(
            &console,
            held,
            status,
            json!({"next": next, "fault": fault}),
        )
    };
    let expected = held.as_deref().map(form_token);
    if !is_own || expected.as_deref() != Some(fields.exact("token")) {
        let fault = "The form was out of date. Log in again; your browser has to accept cookies.";
        return again(held, StatusCode::FORBIDDEN, fault);
    }
    let name = fields.exact("name").trim().to_owned();
    let password = fields.exact("password").to_owned();
    let (people, hashing) = (console.people.clone(), console.hashing.clone());
    let look = {
        let name = name.clone();
        move || people.verify(&name, &password)
    };
    let Ok(found) = caller.log_in(&name, hashing, look).await else {
        let fault = "Too many attempts. Wait a minute, and log in again.";
        return again(held, StatusCode::TOO_MANY_REQUESTS, fault);
    };
    let Some(user) = found else {
        return again(
            held,
            StatusCode::UNAUTHORIZED,
            "The name or the password is wrong.",
        );
    };
    match begin_session(&console, &user, old, state.clock.now()).await {
        Ok(secret) => {
            tracing::info!(user = user.name, "console: {} logged in", user.name);
            let entered = with_cookie(see_other(&next), COOKIE, Some(&secret));
            with_cookie(entered, LOGIN_COOKIE, None)
        }
        Err(_) => {
            let fault = "The database cannot be written now. Try again in a moment.";
            again(held, StatusCode::SERVICE_UNAVAILABLE, fault)
        }
    }
}

/// Answers a form for logging in that took too long to arrive.
fn refuse_slow(console: &Console, held: Option<String>) -> Response {
    let says = json!({"next": local_page(None), "fault": too_slow()});
    show_form(console, held, StatusCode::REQUEST_TIMEOUT, says)
}

/// Begins a session under a new secret; one that the browser had is over. Returns the secret.
async fn begin_session(
    console: &Console,
    user: &User,
    old: Option<String>,
    now: Timestamp,
) -> Result<String, PageFault> {
    let secret = draw_secret().map_err(|fault| PageFault::Broken(fault.to_string()))?;
    let hash = hash_of(&["session", &secret]);
    let session = SessionRow {
        user: user.name.clone(),
        mark: mark_of(user),
        begun_at: now,
        seen_at: now,
    };
    let settings = &console.settings;
    let over = [now - settings.session_max, now - settings.session_idle];
    let begun = console.desks.note(move |store| {
        if let Some(old) = old {
            store.desk().end_session(&hash_of(&["session", &old]))?;
        }
        store.desk().begin_session(&hash, &session, over)
    });
    begun
        .await?
        .map_err(|fault| PageFault::Broken(fault.to_string()))?;
    Ok(secret)
}

/// `POST /logout`: ends every session of the person.
pub(in crate::web::console) async fn log_out(Extension(visit): Extension<Visit>) -> Response {
    let page = end_sessions(&visit).await;
    visit.answer(page)
}

/// Ends every session of a person.
async fn end_sessions(visit: &Visit) -> Page {
    let name = visit.person.name.clone();
    let ended = visit
        .console
        .desks
        .note(move |store| store.desk().end_sessions_of(&name));
    ended
        .await?
        .map_err(|fault| PageFault::Broken(fault.to_string()))?;
    tracing::info!(
        user = visit.person.name,
        "console: {} logged out",
        visit.person.name
    );
    Ok(with_cookie(see_other("/login"), COOKIE, None))
}

/// Returns a page of this console that a form names, and the queue for anything else.
fn local_page(next: Option<&str>) -> &str {
    let is_local = |next: &&str| {
        next.starts_with('/')
            && !next.starts_with("//")
            && next.bytes().all(|it| it.is_ascii_graphic() && it != b'\\')
            && !next.starts_with("/login")
    };
    next.filter(is_local).unwrap_or("/cases")
}

/// Sets a cookie, or takes it back.
fn with_cookie(mut answer: Response, name: &str, value: Option<&str>) -> Response {
    let rest = "Path=/; Secure; HttpOnly; SameSite=Strict";
    let line = match value {
        Some(value) => format!("{name}={value}; {rest}"),
        None => format!("{name}=; {rest}; Max-Age=0"),
    };
    if let Ok(line) = HeaderValue::from_str(&line) {
        answer.headers_mut().append(header::SET_COOKIE, line);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere_after_logging_in() {
        assert_eq!(
            local_page(Some("/cases/FW-000002?a=b")),
            "/cases/FW-000002?a=b"
        );
        for next in [
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "/a\r\nb",
            "",
            "/login?next=/",
        ] {
            assert_eq!(local_page(Some(next)), "/cases", "{next}");
        }
    }
}
