//! What a version is written from, and what is told when it is.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::dns::Serial;
use crate::evidence::Hash;
use crate::store::keys::SourceId;
use crate::store::zones::feeds::FileMark;
use crate::time::Timestamp;
use crate::zone::{Missed, Slot};

/// What kind of version it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionKind {
    /// The zone's first: its records were there when watching began.
    Baseline,
    /// A version compared with the one before, or the step that led to it.
    Snapshot,
    /// Changes as a feed told them.
    Feed,
    /// What a probe found that it had not found before, or has not found for long.
    Probe,
}

impl VersionKind {
    /// Returns the word in the database.
    pub(in crate::store) fn word(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Snapshot => "snapshot",
            Self::Feed => "feed",
            Self::Probe => "probe",
        }
    }
}

/// A version to be written.
#[derive(Debug, Clone, Copy)]
pub struct VersionDraft {
    /// Where it comes from.
    pub source: SourceId,
    /// What kind it is.
    pub kind: VersionKind,
    /// Its serial, if known.
    pub serial: Option<Serial>,
    /// When it was seen. A feed may tell late of an RRset that has not changed since.
    pub observed_at: Timestamp,
    /// More of a version that is there already, because it arrived in parts or a second time: the one
    /// that was seen at this very time.
    pub joins: Option<i64>,
    /// Whether what it changes is no change of the zone: it was found when the whole zone differed from the state to which
    /// its steps had led.
    pub drift: bool,
}

/// What was written.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The version; `None` if neither a record nor the serial was new.
    pub version_id: Option<i64>,
    /// Owner names whose records changed.
    pub changed_name_count: u64,
    /// Owner names of which TTLs alone are new.
    pub retimed_name_count: u64,
    /// Versions between this one and the one before that did not arrive, as far as the serials tell.
    pub missed: Option<Missed>,
    /// Whether an owner has from now on what cannot stand beside a CNAME (RFC 1034 §3.6.2).
    pub breaks_cname: bool,
    /// Records in the zone now.
    pub record_count: u64,
    /// The zone's serial now.
    pub serial: Option<Serial>,
    /// The newest hash of the zone's chain; `None` if nothing was appended to it.
    pub hash: Option<Hash>,
    /// The zone's [`ttls`](crate::store::ZoneState::ttls) now.
    pub ttls: i64,
    /// New digests: hash, and the slot or `None` for an owner that is gone.
    pub digests: Vec<(u64, Option<Slot>)>,
}

/// A whole zone that came from a primary, with which the state is compared.
#[derive(Debug, Clone, Copy)]
pub struct Comparison {
    /// When it came, by the machine's clock.
    pub at: Timestamp,
    /// Who gave it.
    pub primary: SocketAddr,
}

/// A zone file that was read, and by what it is known again.
#[derive(Debug, Clone)]
pub struct ReadFile {
    /// Its path.
    pub path: PathBuf,
    /// What it was like.
    pub mark: FileMark,
    /// Whether it ended with its SOA, if that is not what is noted of the file before.
    pub new_ending: Option<bool>,
}
