//! The desk's console: pages that the server makes, which work without script.
//!
//! Who asks is known before a page is made (`enter`); a form says what it carries before it is read (`forms`). A page
//! looks at one state of the database; a step is a call of the desk's room. Names from zones are text everywhere.

mod about;
mod bulk;
mod case;
mod drafts;
mod enter;
mod exemptions;
mod forms;
mod login;
mod lookup;
mod mails;
mod numbers;
mod outbox;
mod plots;
mod queue;
mod related;
mod reply;
mod routes;
mod steps;
mod words;
mod zones;

pub(in crate::web) use routes::routes;
