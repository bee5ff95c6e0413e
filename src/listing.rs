//! The shapes of history and cases that scripts rely on: JSON and the passive DNS common output format.
//! Fields may be added, never renamed. Pure.

use std::net::IpAddr;

use serde::Serialize;

use crate::case::{CaseState, campaign_reference};
use crate::dns::{Name, RecordType, Serial, refang};
use crate::store::{CaseEventRow, CaseRow, ChangeRow, Coarse, Gap, RecordRow, Used, View, Wanted};
use crate::time::Timestamp;

/// A record.
#[derive(Debug, Serialize)]
pub struct RecordJson<'a> {
    rrname: &'a Name,
    rrtype: RecordType,
    rdata: String,
    /// Null where it is not known: passive DNS has none.
    ttl: Option<u32>,
    zone: &'a Name,
    added_at: Timestamp,
    added_serial: Option<Serial>,
    removed_at: Option<Timestamp>,
    removed_serial: Option<Serial>,
    source: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    baseline: bool,
    /// Whether it came by no change of the zone; left out where it did not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    added_by_drift: bool,
    /// The same of its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    removed_by_drift: bool,
    /// Left out for the zone's own view.
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<View>,
}

impl<'a> From<&'a RecordRow> for RecordJson<'a> {
    fn from(record: &'a RecordRow) -> Self {
        Self {
            rrname: &record.owner,
            rrtype: record.rdata.rtype(),
            rdata: record.rdata.to_string(),
            ttl: (record.view != View::Passive).then_some(record.ttl),
            zone: &record.zone,
            added_at: record.added_at,
            added_serial: record.added_serial,
            removed_at: record.removed_at,
            removed_serial: record.removed_serial,
            source: &record.source,
            baseline: record.baseline,
            added_by_drift: record.drift[0],
            removed_by_drift: record.drift[1],
            view: (record.view != View::Zone).then_some(record.view),
        }
    }
}

/// A change.
#[derive(Debug, Serialize)]
pub struct ChangeJson<'a> {
    at: Timestamp,
    rrname: &'a Name,
    rrtype: RecordType,
    serial: Option<Serial>,
    added: Vec<String>,
    removed: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    bulk: bool,
    /// No change of the zone: found when the whole zone differed from the state to which its steps had led.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    drift: bool,
    /// At most so many versions between this one and the one before did not arrive; 0: an unknown number.
    #[serde(skip_serializing_if = "Option::is_none")]
    missed_versions_max: Option<u32>,
}

impl<'a> From<&'a ChangeRow> for ChangeJson<'a> {
    fn from(change: &'a ChangeRow) -> Self {
        Self {
            at: change.at,
            rrname: &change.owner,
            rrtype: change.rtype,
            serial: change.serial,
            added: change.added.iter().map(ToString::to_string).collect(),
            removed: change.removed.iter().map(ToString::to_string).collect(),
            bulk: change.bulk,
            drift: change.drift,
            missed_versions_max: change.missed.map(|missed| missed.stored()),
        }
    }
}

/// A time in which a zone could not be seen.
#[derive(Debug, Serialize)]
pub struct GapJson<'a> {
    zone: &'a Name,
    from: Timestamp,
    to: Timestamp,
    reason: &'a str,
}

impl<'a> From<&'a (Name, Gap)> for GapJson<'a> {
    fn from((zone, gap): &'a (Name, Gap)) -> Self {
        Self {
            zone,
            from: gap.from,
            to: gap.to,
            reason: &gap.reason,
        }
    }
}

/// A zone of which versions did not arrive since watching began.
#[derive(Debug, Serialize)]
pub struct CoarseJson<'a> {
    zone: &'a Name,
    /// At most so many.
    missed_versions_max: u64,
    /// How often an unknown number.
    missed_unknown: u64,
}

impl<'a> From<&'a (Name, Coarse)> for CoarseJson<'a> {
    fn from((zone, coarse): &'a (Name, Coarse)) -> Self {
        Self {
            zone,
            missed_versions_max: coarse.missed_max,
            missed_unknown: coarse.unknown,
        }
    }
}

/// A case.
#[derive(Debug, Serialize)]
pub struct CaseJson {
    /// Its number.
    pub id: i64,
    /// With its final dot.
    pub domain: String,
    zone: String,
    /// `double-flux`, `ns-flux` or `single-flux`.
    pub verdict: &'static str,
    /// `report`, `review` or `watch`.
    pub level: &'static str,
    /// The highest it reached.
    pub peak_level: &'static str,
    /// `open` and so on.
    pub state: &'static str,
    /// 0 to 100, one decimal.
    pub score: f64,
    /// Event time.
    pub first_detected_at: Timestamp,
    /// Event time; of the last judgement.
    pub last_change_at: Timestamp,
    /// By when a change since then is judged, if one was left.
    due_at: Option<Timestamp>,
    campaign: Option<String>,
    attack: [&'static str; 1],
    /// Whose it is.
    assignee: Option<String>,
    /// Why the desk dismissed it.
    dismissed_as: Option<&'static str>,
    /// When somebody was last told of it.
    told_at: Option<Timestamp>,
    /// Why it is not mailed though it might be.
    held: Option<String>,
}

impl From<&CaseRow> for CaseJson {
    fn from(row: &CaseRow) -> Self {
        let case = &row.case;
        Self {
            id: row.id,
            domain: case.domain.to_string(),
            zone: case.zone.to_string(),
            verdict: case.verdict.word(),
            level: case.level.word(),
            peak_level: case.peak_level.word(),
            state: case.state.word(),
            score: (case.score * 10.0).round() / 10.0,
            first_detected_at: case.first_detected_at,
            last_change_at: case.last_change_at,
            due_at: case.judged_again_at(),
            campaign: row.campaign.map(campaign_reference),
            attack: ["T1568.001"],
            assignee: case.assignee.clone(),
            dismissed_as: case.dismissed_as.map(|why| why.word()),
            told_at: case.told.at,
            held: case.told.held.clone(),
        }
    }
}

/// The headings of a case's log as tables have it.
pub const LOG_HEADINGS: [&str; 5] = ["written (utc)", "as of", "who", "state", "what"];

/// Returns the two times of a line of a case's log as tables have them: when it was written, and of a judgement the event
/// time that it is of. That of the other lines is that of writing, which stands once.
pub fn log_times(written_at: Option<Timestamp>, at: Timestamp) -> [String; 2] {
    let as_of = Some(at).filter(|at| written_at != Some(*at));
    [written_at, as_of].map(|it| it.map_or_else(String::new, Timestamp::to_table))
}

/// A line of a case's log, in the order in which they were written.
#[derive(Debug, Serialize)]
pub struct CaseLogJson {
    /// When; of a judgement the time of the change that was judged.
    pub at: Timestamp,
    /// When the line was written; `None` of a judgement that fluxwatch before 0.2.0 wrote.
    pub written_at: Option<Timestamp>,
    /// Whoever took the step: a person, or fluxwatch.
    pub who: String,
    /// The state before; `None` where the case began.
    pub from: Option<&'static str>,
    /// The state after.
    pub to: &'static str,
    /// What the person wrote, or why fluxwatch took the step.
    pub note: String,
}

impl From<CaseEventRow> for CaseLogJson {
    fn from(line: CaseEventRow) -> Self {
        Self {
            at: line.event.at,
            written_at: line.written_at,
            who: line.actor,
            from: line.event.from.map(CaseState::word),
            to: line.event.to.word(),
            note: line.event.note,
        }
    }
}

/// A history.
#[derive(Debug, Serialize)]
pub struct HistoryJson<'a> {
    /// The name that was asked for; of reverse lookups what was.
    pub name: String,
    /// Sorted by name, type, time.
    pub records: Vec<RecordJson<'a>>,
    /// Oldest first.
    pub changes: Vec<ChangeJson<'a>>,
    /// Times in which a zone could not be seen.
    pub gaps: Vec<GapJson<'a>>,
    /// Zones of which versions did not arrive: what came and went between two that did is not here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub coarse: Vec<CoarseJson<'a>>,
    /// Cases about the names, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cases: Option<Vec<CaseJson>>,
    /// Where the next page begins; `None` if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A record in the passive DNS common output format (draft-dulaunoy-dnsop-passive-dns-cof). Both pairs of
/// times are those of the zone: no sensor saw answers. What was imported from passive DNS has one pair.
#[derive(Debug, Serialize)]
pub struct CofJson<'a> {
    rrname: &'a Name,
    rrtype: RecordType,
    rdata: String,
    time_first: i64,
    time_last: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone_time_first: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone_time_last: Option<i64>,
    bailiwick: &'a Name,
}

impl<'a> From<&'a RecordRow> for CofJson<'a> {
    fn from(record: &'a RecordRow) -> Self {
        let (first, last) = (record.added_at.unix(), record.last_seen_at.unix());
        let is_of_zone = record.view != View::Passive;
        Self {
            rrname: &record.owner,
            rrtype: record.rdata.rtype(),
            rdata: record.rdata.to_string(),
            time_first: first,
            time_last: last,
            zone_time_first: is_of_zone.then_some(first),
            zone_time_last: is_of_zone.then_some(last),
            bailiwick: &record.zone,
        }
    }
}

/// Parses an address or a prefix, as it may be pasted.
pub fn parse_addresses(text: &str) -> Option<Used> {
    let text = refang(text).ok()?;
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
        None => (text.as_str(), None),
    };
    match address.parse().ok()? {
        IpAddr::V4(address) => {
            let length = length.unwrap_or(32);
            if length > 32 {
                return None;
            }
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            let first = u32::from(address) & mask;
            Some(Used::Addresses(
                IpAddr::V4(first.into()),
                IpAddr::V4((first | !mask).into()),
            ))
        }
        IpAddr::V6(address) => {
            let length = length.unwrap_or(128);
            if length > 128 {
                return None;
            }
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            let first = u128::from(address) & mask;
            Some(Used::Addresses(
                IpAddr::V6(first.into()),
                IpAddr::V6((first | !mask).into()),
            ))
        }
    }
}

/// Returns what is wrong with an address that has a length behind its slash which no prefix has; `None` for all
/// else, also for an address that the path of a URL follows.
pub fn wrong_prefix(text: &str) -> Option<String> {
    let text = text.trim();
    if text.contains("://") {
        return None;
    }
    let (address, length) = text.rsplit_once('/')?;
    let is_number = !length.is_empty() && length.bytes().all(|it| it.is_ascii_digit());
    let plain = || refang(address).ok()?.parse().ok();
    let address: IpAddr = address.parse().ok().or_else(plain)?;
    let length_max = if address.is_ipv4() { 32 } else { 128 };
    let fits = length.parse().is_ok_and(|length: u32| length <= length_max);
    (is_number && !fits)
        .then(|| format!("{text:?} is no prefix: the length of one is from 0 to {length_max}"))
}

/// Which part of a history is wanted, as it was typed or stands in a query.
#[derive(Debug, Clone, Default)]
pub struct WantedText<'a> {
    /// Types, such as `NS`, in any case.
    pub types: Vec<&'a str>,
    /// The state at this time; excludes the other two.
    pub at: Option<&'a str>,
    /// From this time on.
    pub since: Option<&'a str>,
    /// Up to this time.
    pub until: Option<&'a str>,
}

impl WantedText<'_> {
    /// Reads it at `now`.
    ///
    /// # Errors
    ///
    /// A sentence that names what cannot be read.
    pub fn parse(&self, now: Timestamp) -> Result<Wanted, String> {
        let time = |text: Option<&str>| -> Result<Option<Timestamp>, String> {
            let parse =
                |text| Timestamp::parse_argument(text, now).map_err(|fault| fault.to_string());
            text.map(parse).transpose()
        };
        let types = self.types.iter().map(|word| {
            RecordType::parse(&word.to_uppercase()).ok_or_else(|| {
                let all = RecordType::ALL.map(|it| it.mnemonic());
                format!("type {word:?} is none of {}", all.join(", "))
            })
        });
        let types = types.collect::<Result<_, _>>()?;
        if let Some(at) = time(self.at)? {
            return Ok(Wanted {
                types,
                ..Wanted::at(at)
            });
        }
        let (since, until) = (time(self.since)?, time(self.until)?);
        if since.zip(until).is_some_and(|(since, until)| since > until) {
            return Err("since is after until".to_owned());
        }
        Ok(Wanted {
            types,
            since,
            until,
        })
    }
}
