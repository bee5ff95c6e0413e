//! What `fluxwatch run` serves over HTTP: metrics, history, and changes that are pushed to a feed.
//!
//! Nothing here writes the database: pushed lines are handed to the workers of `run`, and the answer is
//! given when they are durable.

mod api;
mod attempts;
mod auth;
mod connections;
mod problem;
mod readers;
mod server;
mod state;

pub use readers::Readers;
pub use server::serve;
pub use state::{Pushed, PushedLines, WebState};
