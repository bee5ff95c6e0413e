//! What mails beside cases say: the digest, mass changes, zones that cannot be seen. Plain data.

use serde::Serialize;

use crate::report::Reporter;

/// A case in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseLine {
    /// `FW-000012`.
    pub reference: String,
    /// Without its final dot.
    pub domain: String,
    /// `double-flux`, `ns-flux` or `single-flux`.
    pub verdict: &'static str,
    /// `report`, `review` or `watch`: now.
    pub level: &'static str,
    /// `open` and so on.
    pub state: &'static str,
    /// One decimal.
    pub score: String,
    /// What happened, or why it is here.
    pub note: String,
}

/// A message in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MailLine {
    /// Its number; 0 for an address.
    pub id: i64,
    /// To whom.
    pub recipient: String,
    /// What was said.
    pub reply: String,
}

/// An exemption in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExemptionLine {
    /// Its number.
    pub id: i64,
    /// `domain` and so on.
    pub kind: &'static str,
    /// What it covers.
    pub value: String,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub until: String,
}

/// A mass move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BulkLine {
    /// Without its final dot.
    pub zone: String,
    /// Event time.
    pub at: String,
    /// What moved.
    pub what: &'static str,
    /// How many names.
    pub name_count: u32,
    /// From.
    pub before: Vec<String>,
    /// To.
    pub after: Vec<String>,
    /// Some of the names.
    pub names: Vec<String>,
}

/// A zone that cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlindLine {
    /// Without its final dot.
    pub zone: String,
    /// Why.
    pub reason: String,
    /// Whether it is watched all the same: its serial went back.
    pub is_watched: bool,
    /// Since when.
    pub since: String,
    /// When it ended.
    pub over: Option<String>,
}

/// How many lines of the lists of a digest have no place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct MoreLines {
    /// Cases that are told here, as too many for mails of their own: the next digest has them.
    pub overflow: usize,
    /// Cases that opened.
    pub opened: usize,
    /// Cases that stay at a lower level.
    pub lowered: usize,
    /// Cases that ended.
    pub ended: usize,
    /// Mass moves: the next digest has them.
    pub bulk: usize,
    /// Zones that cannot be seen.
    pub blind: usize,
    /// Messages that were given up.
    pub dead: usize,
    /// Addresses whose mail came back.
    pub bounced: usize,
}

/// A day of the desk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DigestReport {
    /// Where people reach the console, without a slash at its end; `None` for nowhere.
    pub console: Option<String>,
    /// The day, for the subject.
    pub day: String,
    /// From when.
    pub from: String,
    /// Until when.
    pub to: String,
    /// Whether there is nothing but the heartbeat.
    pub is_quiet: bool,
    /// Cases that are told here because there were too many for mails of their own.
    pub overflow: Vec<CaseLine>,
    /// How many lines of each list stand in the next digest, or nowhere.
    pub more: MoreLines,
    /// Cases that opened, or opened again, at review or above.
    pub opened: Vec<CaseLine>,
    /// Cases that stay, at a lower level than before, because another policy has judged them.
    pub lowered: Vec<CaseLine>,
    /// Cases that ended.
    pub ended: Vec<CaseLine>,
    /// How many cases are open, and how many acknowledged.
    pub open_count: usize,
    /// See [`DigestReport::open_count`].
    pub acknowledged_count: usize,
    /// Notices that wait for approval.
    pub drafted_count: u32,
    /// Mass moves too small for a note of their own.
    pub bulk: Vec<BulkLine>,
    /// Zones that cannot be seen, or could not.
    pub blind: Vec<BlindLine>,
    /// Messages that were given up.
    pub dead: Vec<MailLine>,
    /// Addresses whose mail came back.
    pub bounced: Vec<MailLine>,
    /// Exemptions that end within a week, or ended.
    pub ending: Vec<ExemptionLine>,
    /// Zones that are watched.
    pub zone_count: usize,
    /// Records in them.
    pub record_count: u64,
    /// Who reports.
    pub reporter: Reporter,
    /// Version of the program.
    pub program_version: &'static str,
}

/// Mass moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BulkReport {
    /// The moves.
    pub moves: Vec<BulkLine>,
    /// How many names, over all.
    pub name_count: u64,
    /// Who reports.
    pub reporter: Reporter,
    /// Version of the program.
    pub program_version: &'static str,
}

/// Zones that cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlindnessReport {
    /// The first zones.
    pub zones: Vec<BlindLine>,
    /// How many there are.
    pub zones_count: usize,
    /// When this was found.
    pub at: String,
    /// Who reports.
    pub reporter: Reporter,
    /// Version of the program.
    pub program_version: &'static str,
}
