//! What a pass is asked for, and what came of it.

use std::collections::HashSet;
use std::fmt;

use crate::dns::{Name, Serial};
use crate::evidence::Hash;
use crate::zone::Refusal;

/// What a pass over a source does.
#[derive(Debug, Clone, Default)]
pub struct PollOptions {
    /// Transfer in full although the serial stands; read files again although they stand.
    pub full: bool,
    /// Zones whose next version is taken although it shrank.
    pub accept: HashSet<Name>,
    /// Whether cases that reach `report` are mailed.
    pub mail_wanted: bool,
}

/// What a pass found of one zone (or of a feed without a zone).
#[derive(Debug, Clone)]
pub struct ZoneReport {
    /// The source.
    pub source: String,
    /// The zone; `None` for a feed that could not be read.
    pub zone: Option<Name>,
    /// What happened.
    pub outcome: ZoneOutcome,
    /// How long its parts took; of transfers.
    pub timings: Option<Timings>,
}

/// How long the parts of a transfer took, in milliseconds of wall time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// On the network, and comparing with what is known.
    pub fetched_ms: u64,
    /// Until it was durable.
    pub stored_ms: u64,
    /// Until it was judged; `None` if that was left to another worker.
    pub judged_ms: Option<u64>,
}

/// What happened to a zone in one pass.
#[derive(Debug, Clone)]
pub enum ZoneOutcome {
    /// Nothing new.
    Unchanged {
        /// The serial that stands.
        serial: Option<Serial>,
    },
    /// Versions were stored.
    Stored(StoredSummary),
    /// The newest version was not taken.
    Refused(Refusal),
    /// A catalog's new version was taken.
    Catalog(CatalogSummary),
    /// So many zones of a catalog have the serial that history holds.
    SerialsStand(u64),
    /// Passive DNS was brought in.
    Sightings(PassiveSummary),
    /// Feed lines were set aside; the rest went on.
    LinesRejected(u64),
}

/// What was stored of a zone in one pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredSummary {
    /// Whether it was the zone's first version.
    pub baseline: bool,
    /// New versions.
    pub versions: u64,
    /// Names whose records changed, summed over the versions.
    pub changed_names: u64,
    /// Versions that changed too much to accuse anybody.
    pub bulk_versions: u64,
    /// Records in the state.
    pub records: u64,
    /// The newest serial.
    pub serial: Option<Serial>,
    /// Whether a serial went backwards.
    pub serial_regressed: bool,
    /// Names whose records in history were not those of the primary's own zone under the same serial, new
    /// TTLs included.
    pub drift_names: u64,
    /// Versions that did not arrive, at most.
    pub missed_max: u64,
    /// Versions before which an unknown number may not have arrived.
    pub missed_unknown: u64,
    /// The newest hash of the zone's chain: what a later edit has to agree with.
    pub hash: Option<Hash>,
}

impl StoredSummary {
    /// Adds what was stored after it.
    pub(in crate::pipeline) fn add(&mut self, later: &Self) {
        self.baseline |= later.baseline;
        self.versions += later.versions;
        self.changed_names += later.changed_names;
        self.bulk_versions += later.bulk_versions;
        self.records = later.records;
        self.serial = later.serial;
        self.serial_regressed |= later.serial_regressed;
        self.drift_names += later.drift_names;
        self.missed_max += later.missed_max;
        self.missed_unknown += later.missed_unknown;
        self.hash = later.hash.or(self.hash);
    }
}

/// What a pass found of a catalog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CatalogSummary {
    /// Zones that it lists and that are watched.
    pub members: u64,
    /// Zones that are watched from now on.
    pub joined: u64,
    /// Zones that are not watched any more.
    pub left: u64,
    /// Zones that it lists and that are not watched, because they lie outside of its scope or belong to
    /// another source.
    pub refused: u64,
    /// Zones whose label is new: they begin anew.
    pub reset: u64,
}

/// What an import of passive DNS found of one zone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PassiveSummary {
    /// Records and times that were told.
    pub sightings: u64,
    /// Those that history did not have.
    pub new: u64,
}

/// What a pass over the outbox did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliverySummary {
    /// Messages that were taken.
    pub sent: u64,
    /// Messages that were tried and wait for another attempt.
    pub waiting: u64,
    /// Messages that were due and not tried, for the server did not answer.
    pub untried: u64,
    /// Messages that were given up or refused, or could not be composed since the last pass.
    pub dead: u64,
}

impl fmt::Display for DeliverySummary {
    /// Writes what became of the messages, each clause only if it has any: `3 sent, 1 given up`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} sent", self.sent)?;
        for (count, what) in [
            (self.waiting, "tried again later"),
            (self.untried, "not tried because the server does not answer"),
            (self.dead, "given up"),
        ] {
            if count > 0 {
                write!(formatter, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}
