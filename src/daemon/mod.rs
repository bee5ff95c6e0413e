//! `fluxwatch run`: workers beside each other, each source on its schedule, a clean stop.

mod agenda;
mod common;
mod crew;
mod error;
mod first_reading;
mod housekeeping;
mod judging;
mod listeners;
mod log;
mod post;
mod pruning;
mod schedule;
mod service;
mod settled;
mod standby;
mod stop;
mod systemd;
mod unread;
mod watch;

pub use error::ServiceError;
pub use log::log_report;
pub use schedule::Timetable;
pub use service::{Reload, Signals, serve, start_with};
pub use standby::stand_by;
