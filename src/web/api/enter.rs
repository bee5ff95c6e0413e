//! Who asks the API: a machine by its token, or a person by name and password.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::people::Role;
use crate::time::Timestamp;
use crate::web::attempts::{Busy, Caller};
use crate::web::auth::{check_password, given};
use crate::web::problem::problem;
use crate::web::secret::token_hash;
use crate::web::state::{Console, WebState};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct Asker {
    /// The name that the log keeps.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// How old the note of a token's last use may be. Unit: seconds.
const USED_EVERY_S: i64 = 3600;

/// Lets on who may ask.
pub(in crate::web) async fn enter(
    State(state): State<WebState>,
    Extension(caller): Extension<Caller>,
    mut request: Request,
    next: Next,
) -> Response {
    let console = state
        .console
        .clone()
        .expect("the API is served with a console alone");
    let headers = request.headers();
    let now = state.clock.now();
    let asker = match (given(headers, "Bearer"), given(headers, "Basic")) {
        (Some(token), _) => of_token(&console, &caller, token.to_owned(), now).await,
        (None, Some(word)) => check_password(&console, &caller, word).await.map(|user| {
            user.map(|it| Asker {
                name: it.name,
                role: it.role,
            })
        }),
        (None, None) => Ok(None),
    };
    match asker {
        Ok(Some(asker)) => {
            request.extensions_mut().insert(asker);
            next.run(request).await
        }
        Ok(None) => {
            let what = "a token, or a user and password, is missing or wrong";
            let mut refused = problem(StatusCode::UNAUTHORIZED, what);
            let challenge =
                HeaderValue::from_static("Bearer, Basic realm=\"fluxwatch\", charset=\"UTF-8\"");
            refused
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
            refused
        }
        Err(Busy) => {
            let what = "too many requests of an address that sent wrong tokens or passwords";
            let mut refused = problem(StatusCode::TOO_MANY_REQUESTS, what);
            refused
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            refused
        }
    }
}

/// Returns whom a token lets in.
async fn of_token(
    console: &Console,
    caller: &Caller,
    token: String,
    now: Timestamp,
) -> Result<Option<Asker>, Busy> {
    // Tokens have no accounts whose password somebody could guess: the address alone is slowed down.
    caller.wait().await?;
    let desks = console.desks.clone();
    let hash = token_hash(&token);
    let noting = caller.clone();
    let looked = desks.look(move |desk| {
        let row = desk.store().desk().token(&hash)?;
        let row = row.filter(|row| row.is_in_force(now));
        if row.is_none() {
            noting.note_failure();
        }
        Ok(row)
    });
    let Some(row) = looked.await.ok().and_then(Result::ok).flatten() else {
        return Ok(None);
    };
    if row
        .used_at
        .is_none_or(|at| now.since(at).as_seconds() >= USED_EVERY_S)
    {
        // Nobody waits for it: a poll may be writing.
        tokio::spawn(async move {
            let note = desks.note(move |store| store.desk().note_token_used(row.id, now));
            let _ = note.await;
        });
    }
    Ok(Some(Asker {
        name: row.name,
        role: row.role,
    }))
}
