//! What `fluxwatch run` serves over HTTP: metrics, history, changes that are pushed to a feed, and the desk's console.
//!
//! `server` binds an address and lists the routes; a route names a handler of `api/`. A handler checks who asks
//! (`auth`), takes a database from `readers` (read-only, a few at a time: a lookup that takes long cannot keep the
//! others out for ever), and answers with JSON, text or a `problem` (RFC 9457). What all of them share is in `state`.
//!
//! Nothing here decides anything. Pushed lines are handed to the worker of `run` that
//! reads the feed, and the answer is given when they are durable: whoever pushes may forget them then. A step of the
//! desk is a function of the `desk` room, which opens the transaction and writes the audit row; the pages are in
//! `console/`, `people` says who enters, and `desks` keeps databases open for them.
//!
//! Clients may be slow or hostile. `connections` bounds how many there are and how long one may say nothing,
//! `attempts` slows down who tries passwords, and a body, a header and an answer have each a limit.

mod api;
mod attempts;
mod auth;
mod body;
mod connections;
mod console;
mod desks;
mod form;
mod people;
mod problem;
mod readers;
mod secret;
mod server;
mod state;
mod tls;

pub use desks::Desks;
pub use readers::Readers;
pub use secret::{draw_token, token_hash};
pub use server::serve;
pub use state::{Console, ConsoleError, Pushed, PushedLines, WebState};
pub use tls::load_tls;
