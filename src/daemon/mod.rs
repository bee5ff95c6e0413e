//! `fluxwatch run`: every source on its schedule, the outbox in between, a clean stop.

mod agenda;
mod log;
mod pruning;
mod schedule;
mod service;
mod systemd;
mod unread;

pub use log::log_report;
pub use schedule::{Timetable, is_digest_due};
pub use service::{ServiceError, Signals, Stopped, serve};
