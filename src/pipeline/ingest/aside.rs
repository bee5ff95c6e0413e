//! Lines of a feed that are set aside: many in one transaction, since a feed may hold nothing else.

use crate::pipeline::error::PipelineError;
use crate::pipeline::ingest::Ingest;
use crate::store::{RejectKind, SetAside, SourceId};

/// How many lines wait at most to be stored.
// A feed of rubbish must neither fill memory nor open a transaction for each of its lines.
const WAITING_MAX: usize = 2000;
/// How many octets of lines wait at most to be stored.
// A line may have 256 KiB, so that the count of lines alone would bound nothing.
const WAITING_OCTETS_MAX: usize = 8 << 20;
/// How many lines of a pass are logged.
// The database keeps every line; the log need only show what is wrong.
const LOGGED_MAX: u64 = 100;

/// The lines that one pass sets aside.
pub(in crate::pipeline) struct Aside {
    source: SourceId,
    waiting: Vec<SetAside>,
    waiting_octets: usize,
    count: u64,
}

impl Aside {
    /// Starts a pass over a source.
    pub fn new(source: SourceId) -> Self {
        Self {
            source,
            waiting: Vec::new(),
            waiting_octets: 0,
            count: 0,
        }
    }

    /// Returns how many lines the pass has set aside.
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// Logs a line that is set aside, the first ones of a pass.
fn log(count: u64, line: &SetAside) {
    let (number, reason) = (line.number, &line.reason);
    if count <= LOGGED_MAX {
        tracing::warn!(line = number, reason, "line {number} set aside: {reason}");
    } else if count == LOGGED_MAX + 1 {
        tracing::warn!(
            line = number,
            "more than {LOGGED_MAX} lines set aside: the others are not logged; `fluxwatch import rejected` lists them"
        );
    }
}

impl Ingest<'_> {
    /// Sets a line aside. It is durable after [`Ingest::store_aside`], which is called before the place
    /// behind it is noted: after a kill it is read again, and stands there once.
    pub(in crate::pipeline) fn set_aside(
        &self,
        aside: &mut Aside,
        kind: RejectKind,
        number: u64,
        octets: &[u8],
        reason: String,
    ) -> Result<(), PipelineError> {
        let line = SetAside {
            kind,
            number,
            octets: octets.to_vec(),
            reason,
        };
        aside.count += 1;
        log(aside.count, &line);
        aside.waiting_octets += line.octets.len() + line.reason.len();
        aside.waiting.push(line);
        if aside.waiting.len() >= WAITING_MAX || aside.waiting_octets >= WAITING_OCTETS_MAX {
            self.store_aside(aside)?;
        }
        Ok(())
    }

    /// Stores the lines that wait.
    pub(in crate::pipeline) fn store_aside(&self, aside: &mut Aside) -> Result<(), PipelineError> {
        let now = self.clock.now();
        self.store
            .zones()
            .reject_lines(aside.source, &aside.waiting, now)?;
        // Only after the commit: what failed to be stored waits for the next attempt.
        aside.waiting.clear();
        aside.waiting_octets = 0;
        Ok(())
    }
}
