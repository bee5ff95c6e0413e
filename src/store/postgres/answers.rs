//! What is kept of questions that are sent together: those that go with the next one, and the answers that came with
//! earlier ones.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use tokio_postgres::Row;

use crate::store::postgres::values::Sent;

/// What goes with the next question, and what came with earlier ones.
#[derive(Default)]
pub(super) struct Ahead {
    /// A transaction that reads is open, or is as soon as something is asked.
    pub(super) is_reading: Cell<bool>,
    /// The server was not told of it yet.
    pub(super) is_unsent: Cell<bool>,
    /// Whether it is yet to be looked at which schema the tables have.
    pub(super) checks_schema: Cell<bool>,
    /// Texts that are prepared with the next one that has to be.
    pub(super) texts: RefCell<Vec<String>>,
    pub(super) asked: RefCell<Vec<Asked>>,
    pub(super) answers: RefCell<Vec<Answer>>,
}

/// A question that goes with the next one.
pub(super) struct Asked {
    pub(super) sql: String,
    pub(super) sent: Vec<Sent>,
}

/// What a question was answered with that nobody has asked yet.
pub(super) struct Answer {
    /// In PostgreSQL's words.
    pub(super) sql: Arc<str>,
    pub(super) sent: Vec<Sent>,
    pub(super) rows: Vec<Row>,
}

impl Answer {
    /// Returns whether it answers a question.
    pub(super) fn is_of(&self, sql: &str, sent: &[Sent]) -> bool {
        *self.sql == *sql && self.sent == sent
    }
}
