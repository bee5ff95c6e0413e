//! Who asks: by a session of this console, or by the word of a proxy.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::time::Timestamp;
use crate::web::attempts::Caller;
use crate::web::console::reply::{POLICY, PageFault, Visit, fault_page, html, see_other};
use crate::web::form::query_of;
use crate::web::people::{Person, mark_of};
use crate::web::secret::{form_token, hash_of};
use crate::web::state::{Console, WebState};

/// The cookie of a session. The prefix has browsers take it only over TLS or loopback, from this host, for all paths.
pub(in crate::web::console) const COOKIE: &str = "__Host-fluxwatch";
/// How old the note of a session's last use may be. Unit: seconds.
const SEEN_EVERY_S: i64 = 60;

/// Lets a person on who has entered; sends anybody else to the page where one does.
pub(in crate::web::console) async fn enter(
    State(state): State<WebState>,
    Extension(caller): Extension<Caller>,
    mut request: Request,
    next: Next,
) -> Response {
    let console = state
        .console
        .clone()
        .expect("pages are served with a console alone");
    match find_person(&console, &caller, request.headers(), state.clock.now()).await {
        Ok(Some(person)) => {
            let back = page_before(&request);
            request.extensions_mut().insert(Visit {
                console,
                person,
                back,
            });
            next.run(request).await
        }
        Ok(None) => nobody(&console, &request),
        Err(_) => {
            let what = "The database cannot be read now. The log of fluxwatch says why.";
            fault_page(
                &console,
                None,
                StatusCode::SERVICE_UNAVAILABLE,
                ("Busy", what),
                page_before(&request).as_deref(),
            )
        }
    }
}

/// Returns the page that a step was sent from: what the browser says (Referer), if that is a page of this console; else the
/// page of what the step is about. `None` for what is no step.
fn page_before(request: &Request) -> Option<String> {
    if request.method() == Method::GET || request.method() == Method::HEAD {
        return None;
    }
    let text = |name| request.headers().get(name)?.to_str().ok();
    let own = text(header::REFERER).zip(text(header::HOST));
    let own = own.and_then(|(page, host)| page.split_once("://")?.1.strip_prefix(host));
    // Browsers take \ for /, and what begins with two of them for another host.
    let is_path = |page: &&str| page.starts_with('/') && !page.starts_with("//");
    let page = own.filter(is_path).filter(|page| !page.contains('\\'));
    let page = page.unwrap_or_else(|| request.uri().path());
    // Where steps are sent to is no page.
    let steps = ["/step", "/send", "/bulk"].into_iter();
    let about = steps.filter_map(|end| page.strip_suffix(end)).next();
    Some(about.unwrap_or(page).to_owned()).filter(|page| page != "/logout")
}

/// Answers somebody who has not entered.
fn nobody(console: &Console, request: &Request) -> Response {
    if request.method() != Method::GET {
        let what = "Your session is over. Log in, and repeat the step.";
        return fault_page(
            console,
            None,
            StatusCode::UNAUTHORIZED,
            ("Log in again", what),
            page_before(request).as_deref(),
        );
    }
    // A link from elsewhere, such as a mail that a browser shows: the cookie comes with the next request, which is of
    // this page (SameSite=Strict).
    let site = request.headers().get("sec-fetch-site");
    if site.is_some_and(|site| site == "cross-site") {
        let page = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0\"><title>fluxwatch</title></head><body><p>Opening the page of the console.</p></body></html>";
        return html(StatusCode::OK, page.to_owned());
    }
    let to = request
        .uri()
        .path_and_query()
        .map_or("/cases", |it| it.as_str());
    see_other(&format!("/login{}", query_of([("next", to)].into_iter())))
}

/// Returns who asks.
async fn find_person(
    console: &Console,
    caller: &Caller,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<Person>, PageFault> {
    if let Some(person) = console.people.vouched_for(caller.peer(), headers) {
        return Ok(Some(person));
    }
    let Some(secret) = cookie(headers, COOKIE) else {
        return Ok(None);
    };
    let hash = hash_of(&["session", &secret]);
    let found = console
        .desks
        .look(move |desk| Ok(desk.store().desk().session(&hash)?));
    let Some(session) = found.await?? else {
        return Ok(None);
    };
    let users = console.people.users();
    let settings = &console.settings;
    let user = users.find(&session.user).filter(|user| {
        mark_of(user) == session.mark
            && now.since(session.begun_at) < settings.session_max
            && now.since(session.seen_at) < settings.session_idle
    });
    if user.is_some() && now.since(session.seen_at).as_seconds() >= SEEN_EVERY_S {
        let desks = console.desks.clone();
        // Nobody waits for it: a poll may be writing.
        tokio::spawn(async move {
            let note = desks.note(move |store| store.desk().note_session_seen(&hash, now));
            if let Ok(Err(fault)) = note.await {
                tracing::warn!("console: the use of a session was not noted: {fault}");
            }
        });
    }
    Ok(user.map(|user| Person {
        name: user.name.clone(),
        role: user.role,
        mail: user.mail.clone(),
        form_token: form_token(&secret),
        by_proxy: false,
    }))
}

/// Returns the value of a cookie.
pub(in crate::web::console) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut found = pairs.filter_map(|pair| pair.trim().split_once('='));
    found
        .find(|(it, _)| *it == name)
        .map(|(_, value)| value.to_owned())
}

/// Adds what every answer of the console says to browsers.
pub(in crate::web::console) async fn guard(
    State(state): State<WebState>,
    request: Request,
    next: Next,
) -> Response {
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    let mut say = |name: &'static str, value: &'static str| {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    say("content-security-policy", POLICY);
    say("x-content-type-options", "nosniff");
    say("x-frame-options", "DENY");
    say("referrer-policy", "same-origin");
    say("cross-origin-opener-policy", "same-origin");
    say("cross-origin-resource-policy", "same-origin");
    say("cache-control", "no-store");
    if state.console.is_some_and(|it| it.settings.tls.is_some()) {
        say("strict-transport-security", "max-age=31536000");
    }
    answer
}
