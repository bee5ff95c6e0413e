//! What a request is answered with: a page, a file, a redirection, or why not.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::desk::DeskError;
use crate::store::StoreError;
use crate::web::desks::Busy;
use crate::web::people::Person;
use crate::web::state::Console;

/// What no page may do beyond showing itself: no script or style but the two files, no frame around it, no form to
/// elsewhere (CSP, level 3).
pub(in crate::web::console) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Why a page is not what was asked for.
#[derive(Debug)]
pub(in crate::web::console) enum PageFault {
    /// It is not there.
    NotFound(String),
    /// The person may not do this.
    Forbidden(String),
    /// It cannot be done as things stand.
    Refused(String),
    /// What was sent cannot be meant.
    Invalid(String),
    /// The form took too long to arrive.
    TooSlow(String),
    /// Too much at a time.
    Busy,
    /// The database, or the program.
    Broken(String),
}

impl From<Busy> for PageFault {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

impl From<DeskError> for PageFault {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::NotFound { sentence, .. } => Self::NotFound(sentence),
            DeskError::Refused { sentence, .. } => Self::Refused(sentence),
            DeskError::Stale(case) => Self::Refused(format!(
                "Case {case} changed since you opened its page. Look at it again, and decide on what it says now."
            )),
            DeskError::Invalid { .. } | DeskError::Name { .. } => Self::Invalid(error.to_string()),
            DeskError::Store(StoreError::NoReverseIndex(_)) => Self::Refused(error.to_string()),
            DeskError::Store(_) | DeskError::Pipeline(_) => Self::Broken(error.to_string()),
        }
    }
}

impl PageFault {
    /// Returns the status, a heading and the sentence.
    fn parts(self) -> (StatusCode, &'static str, String) {
        match self {
            Self::NotFound(what) => (StatusCode::NOT_FOUND, "Not found", what),
            Self::Forbidden(what) => (StatusCode::FORBIDDEN, "Not allowed", what),
            Self::Refused(what) => (StatusCode::CONFLICT, "Nothing was changed", what),
            Self::Invalid(what) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Check what you entered",
                what,
            ),
            Self::TooSlow(what) => (StatusCode::REQUEST_TIMEOUT, "Too slow", what),
            Self::Busy => {
                let what = "Too many pages are being read. Try again in a moment.".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, "Busy", what)
            }
            Self::Broken(what) => {
                // What is wrong with the machine is for the log.
                tracing::error!("console: {what}");
                let what =
                    "The database cannot be used now. The log of fluxwatch says why.".to_owned();
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Something is broken",
                    what,
                )
            }
        }
    }
}

/// A page, or why there is none.
pub(in crate::web::console) type Page = Result<Response, PageFault>;

/// Who asks, and what makes pages.
#[derive(Clone)]
pub(in crate::web::console) struct Visit {
    /// What the console shares.
    pub console: Console,
    /// Who asks.
    pub person: Person,
    /// The page that a step was sent from.
    pub back: Option<String>,
}

impl Visit {
    /// Answers with a page of a template, which sees what the base sees beside its own.
    pub fn page(&self, template: &str, title: &str, says: Value) -> Page {
        let says = with_base(Some(&self.person), title, says);
        let page = self.console.pages.render(template, &says);
        let page = page.map_err(|fault| PageFault::Broken(fault.to_string()))?;
        Ok(html(StatusCode::OK, page))
    }

    /// Answers with a page, or with one that says why there is none.
    pub fn answer(&self, page: Page) -> Response {
        page.unwrap_or_else(|fault| {
            let (status, heading, what) = fault.parts();
            let (person, back) = (Some(&self.person), self.back.as_deref());
            fault_page(&self.console, person, status, (heading, &what), back)
        })
    }
}

/// Answers with a page that says why there is no other, and leads back to the one before it.
pub(in crate::web::console) fn fault_page(
    console: &Console,
    person: Option<&Person>,
    status: StatusCode,
    (heading, what): (&str, &str),
    back: Option<&str>,
) -> Response {
    let says = with_base(person, heading, json!({"what": what, "back": back}));
    match console.pages.render("fault.html", &says) {
        Ok(page) => html(status, page),
        Err(fault) => {
            tracing::error!("console: {fault}");
            (status, format!("{heading}\n")).into_response()
        }
    }
}

/// Adds what the base template sees.
pub(in crate::web::console) fn with_base(
    person: Option<&Person>,
    title: &str,
    mut says: Value,
) -> Value {
    use crate::people::Role;
    says["title"] = json!(title);
    says["person"] = match person {
        Some(it) => json!({
            "name": it.name,
            "role": it.role.word(),
            "token": it.form_token,
            "mail": it.mail,
            "by_proxy": it.by_proxy,
            "reviews": it.role >= Role::Reviewer,
            "approves": it.role >= Role::Approver,
        }),
        None => Value::Null,
    };
    says
}

/// Answers with HTML that nobody keeps.
pub(in crate::web::console) fn html(status: StatusCode, page: String) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(header::CONTENT_TYPE, kind)], page).into_response()
}

/// Answers the script of a page.
pub(in crate::web::console) fn json_answer(says: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, says.to_string()).into_response()
}

/// Sends the browser to another page of the console (303: with GET).
pub(in crate::web::console) fn see_other(to: &str) -> Response {
    let to = HeaderValue::from_str(to).unwrap_or_else(|_| HeaderValue::from_static("/cases"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// Answers with a file that the browser saves, whatever is in it.
pub(in crate::web::console) fn download(
    name: &str,
    kind: &'static str,
    octets: Vec<u8>,
) -> Response {
    let is_sound = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let name: String = name.chars().filter(|c| is_sound(*c)).collect();
    let said = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    let said = said.expect("only letters, digits and -._ are in it");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, said),
    ];
    (headers, octets).into_response()
}
