//! Statements that were sent and whose answers nobody has waited for: a program that writes sets of rows works the next one
//! out while the server writes the one before, and a server far away is waited for once and not for each.
//!
//! The statements of a session are done in the order in which they are sent, and after one that failed the server does none
//! until the transaction is taken back. So whoever writes may go on: the next statement that is waited for, and the commit at
//! the latest, fails with the first fault of those before it. The fault stays until the transaction, or the part of it, is
//! taken back: who passes over it cannot commit.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::task::{Context, Poll, Waker};

use tokio::task::JoinHandle;
use tokio_postgres::Error;

use crate::store::postgres::session::{runtime, wait_for_task};
use crate::store::value::Fault;

/// How many octets may be on their way: what is sent beyond waits for the oldest. Memory of this program.
// Chosen by hand: the sets of a version of 10,000 names take some 2 MiB.
const OCTETS_MAX: usize = 16 << 20;

/// What was sent and is not answered yet.
#[derive(Default)]
pub(super) struct Unanswered {
    waiting: RefCell<VecDeque<Sending>>,
    octets: Cell<usize>,
    /// The first fault since the transaction, or the part of it that was last taken back, began.
    fault: RefCell<Option<Fault>>,
    /// Whether the session's answers can no longer be told apart.
    is_confused: Cell<bool>,
}

/// A statement that was sent.
struct Sending {
    task: JoinHandle<Result<(), Error>>,
    octets: usize,
    is_copy: bool,
}

impl Unanswered {
    /// Sends a statement of so many octets, behind what was sent before.
    ///
    /// # Errors
    ///
    /// Those of [`Unanswered::settle`].
    pub(super) fn send(
        &self,
        (octets, is_copy): (usize, bool),
        sending: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Result<(), Fault> {
        self.fault()?;
        let runtime = runtime()?;
        let mut sending = Box::pin(sending);
        // Its first step puts it into the session's queue: in this order and no other.
        let first = {
            let _inside = runtime.enter();
            sending
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        };
        if let Poll::Ready(done) = first {
            // It was not sent, and what follows must not be stored without it.
            if let Err(fault) = done {
                self.keep_fault(fault.into());
            }
            return self.fault();
        }
        let task = runtime.spawn(sending);
        self.octets.set(self.octets.get() + octets);
        self.waiting.borrow_mut().push_back(Sending {
            task,
            octets,
            is_copy,
        });
        while self.octets.get() > OCTETS_MAX && self.wait_for_oldest() {}
        self.fault()
    }

    /// Waits for the answers to all that was sent.
    ///
    /// # Errors
    ///
    /// The first fault since the transaction, or the part of it that was last taken back, began.
    pub(super) fn settle(&self) -> Result<(), Fault> {
        while self.wait_for_oldest() {}
        self.fault()
    }

    /// Returns whether the session's answers can no longer be told apart: it is of no use any more. Says so once.
    pub(super) fn is_confused(&self) -> bool {
        self.is_confused.take()
    }

    /// Forgets the first fault, and returns it: what it was of is taken back.
    pub(super) fn take_fault(&self) -> Option<Fault> {
        self.fault.take()
    }

    /// Keeps a fault, if it is the first.
    pub(super) fn keep_fault(&self, fault: Fault) {
        self.fault.borrow_mut().get_or_insert(fault);
    }

    /// Returns the first fault, if there is one.
    fn fault(&self) -> Result<(), Fault> {
        match &*self.fault.borrow() {
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    /// Waits for the answer to what was sent first; false if there is nothing.
    fn wait_for_oldest(&self) -> bool {
        let Some(oldest) = self.waiting.borrow_mut().pop_front() else {
            return false;
        };
        self.octets.set(self.octets.get() - oldest.octets);
        if let Err(fault) = wait_for_task(oldest.task) {
            // What was sent after it is not done either.
            let rest = self.waiting.take();
            self.octets.set(0);
            self.keep_fault(fault);
            // Of a copy that a server does not begin tokio-postgres sends two ends, and takes the answer to the second for
            // that to the next statement.
            let has_copy = oldest.is_copy || rest.iter().any(|it| it.is_copy);
            self.is_confused.set(self.is_confused.get() || has_copy);
        }
        true
    }
}
