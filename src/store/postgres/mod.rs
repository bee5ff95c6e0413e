//! PostgreSQL's side of the store: how a server is reached, asked and given its tables.

mod ahead;
mod answers;
pub(in crate::store) mod db;
mod dialect;
pub(in crate::store) mod faults;
pub(in crate::store) mod lock;
mod plan;
mod pooled;
pub(in crate::store) mod schema;
mod session;
mod sets;
pub(in crate::store) mod standing;
mod unanswered;
mod values;
