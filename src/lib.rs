//! fluxwatch.
pub mod case;
pub mod detector;
pub mod dns;
pub mod enrich;
pub mod mailer;
pub mod outbox;
pub mod report;
pub mod source;
pub mod store;
pub mod templates;
pub mod time;
pub mod zone;
