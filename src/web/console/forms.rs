//! Forms: read within bounds, and only if they carry the token that the person's pages have.

use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use crate::people::Role;
use crate::web::body::{BodyFault, read_small, too_slow};
use crate::web::console::reply::{PageFault, Visit};
use crate::web::form::Fields;

/// The most octets of a form.
pub(in crate::web::console) const OCTETS_MAX: usize = 256 << 10;

/// Reads the form of a request that changes something, and lets it on only with the person's token. A page of
/// somewhere else has none; a browser says so too (Fetch Metadata).
pub(in crate::web::console) async fn read_form(mut request: Request, next: Next) -> Response {
    let visit = request.extensions().get::<Visit>().cloned();
    let visit = visit.expect("whoever comes here has entered");
    if request.method() == Method::GET || request.method() == Method::HEAD {
        return next.run(request).await;
    }
    let is_own = is_of_own_page(request.headers());
    let body = std::mem::take(request.body_mut());
    let fields = match read_small(body, OCTETS_MAX).await {
        Ok(body) => Fields::parse(&String::from_utf8_lossy(&body)),
        Err(BodyFault::TooLarge) => {
            let what = "The form is larger than a form can be.".to_owned();
            return visit.answer(Err(PageFault::Invalid(what)));
        }
        Err(BodyFault::TooSlow) => {
            return visit.answer(Err(PageFault::TooSlow(too_slow())));
        }
    };
    let token = fields.exact("token").as_bytes();
    let is_right = bool::from(token.ct_eq(visit.person.form_token.as_bytes()));
    if !is_right || !is_own {
        let what = "This form is not of a page that you have open now. Load the page again and repeat the step.".to_owned();
        return visit.answer(Err(PageFault::Forbidden(what)));
    }
    request.extensions_mut().insert(fields);
    next.run(request).await
}

/// Returns whether a browser says that a request comes from a page of this console; others say nothing of it.
pub(in crate::web::console) fn is_of_own_page(headers: &HeaderMap) -> bool {
    let said = headers.get("sec-fetch-site");
    said.is_none_or(|said| said == "same-origin" || said == "none")
}

/// Refuses a person whose role does not do this.
pub(in crate::web::console) fn require(visit: &Visit, role: Role) -> Result<(), PageFault> {
    if visit.person.role >= role {
        return Ok(());
    }
    let (needed, has) = (role.word(), visit.person.role.word());
    let what = format!("This takes the role {needed}; yours is {has}.");
    Err(PageFault::Forbidden(what))
}
