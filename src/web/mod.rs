//! What `fluxwatch run` serves over HTTP: metrics, history, and changes that are pushed to a feed.
//!
//! Nothing here writes the database: pushed lines are handed to the workers of `run`, and the answer is
//! given when they are durable.

mod attempts;
mod connections;
mod history;
mod readers;
mod server;

pub use readers::Readers;
pub use server::{Pushed, PushedLines, WebState, serve};
