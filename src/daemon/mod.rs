//! `fluxwatch run`: every source on its schedule, the outbox in between, a clean stop.

mod schedule;
mod service;

pub use schedule::{ScheduleError, Timetable, check_schedules};
pub use service::{ServiceError, serve};
