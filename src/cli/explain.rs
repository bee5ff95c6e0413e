//! `fluxwatch explain`.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::case::{Case, CaseState, Exemption, Standing, exemption_of, reopening_words};
use crate::cli::arguments::{ExplainCommand, ExplainFormat};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{stdout, write_json_pretty};
use crate::cli::plain::plain;
use crate::cli::session::{domain_of, load_config, open_for_lookups, open_pipeline};
use crate::count::counted;
use crate::detector::{Level, PlaneFinding};
use crate::dns::Name;
use crate::listing::CaseJson;
use crate::pipeline::{DomainFinding, Pipeline};
use crate::report::{Endpoint, PlaneSection, case_reference, section};
use crate::store::CaseRow;
use crate::time::{Clock, Span, Timestamp, WallClock};

/// An explanation, as scripts read it.
#[derive(Serialize)]
struct ExplainJson<'a> {
    domain: &'a Name,
    judged_at: Timestamp,
    policy: &'a str,
    verdict: Option<&'static str>,
    level: Option<&'static str>,
    score: Option<f64>,
    /// The number of the exemption by which nobody is told of it.
    exemption: Option<i64>,
    /// The case about it as it stands, if it was judged by then.
    case: Option<CaseJson>,
    planes: Vec<PlaneSection>,
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &ExplainCommand) -> Result<Done, Failure> {
    let config = load_config(config)?;
    let store = open_for_lookups(&config)?;
    let domain = domain_of(&store, &command.domain)?;
    let pipeline = open_pipeline(config, store)?;
    let at = match &command.at {
        Some(text) => Timestamp::parse_argument(text, WallClock.now())
            .map_err(|fault| Failure::usage(format!("--at: {fault}")))?,
        None => newest_event(&pipeline, &domain)?,
    };
    let zones = pipeline.store().zones();
    if zones.zones_enclosing(&domain)?.is_empty() {
        return Err(in_no_zone(&domain));
    }
    let policy = pipeline.config().detect.label();
    let found = pipeline.findings().find(&domain, at)?;
    let mut out = stdout();
    match command.format {
        ExplainFormat::Json => {
            let finding = found.finding.as_ref();
            let json = ExplainJson {
                domain: &domain,
                judged_at: at,
                policy: &policy,
                verdict: finding.map(|finding| finding.verdict.word()),
                level: finding.map(|finding| finding.level.word()),
                score: finding.map(|finding| (finding.score * 10.0).round() / 10.0),
                exemption: exemption_for(&pipeline, &found)?.map(|it| it.id),
                case: case_by(&pipeline, &domain, at)?
                    .as_ref()
                    .map(CaseJson::from),
                planes: planes(&found).map(section).collect(),
            };
            write_json_pretty(&mut out, &json)?;
            writeln!(out)?;
        }
        ExplainFormat::Text => print_text(&mut out, &pipeline, &domain, at, &found)?,
    }
    out.flush()?;
    Ok(Done::Well)
}

/// Returns the newest event time of the zones that hold the domain: the wall clock for live sources. Never before a case was
/// judged: what another zone told of its name servers may be newer.
fn newest_event(pipeline: &Pipeline, domain: &Name) -> Result<Timestamp, Failure> {
    let case = pipeline.store().desk().find_case(domain)?;
    let mut newest = None;
    for zone in pipeline.store().zones().zones_enclosing(domain)? {
        if let Some(zone) = pipeline.store().zones().find_view(&zone.apex, zone.view)? {
            let event = if zone.source_kind.is_live() {
                Some(WallClock.now())
            } else {
                pipeline
                    .store()
                    .zones()
                    .source_status(zone.source)?
                    .last_event_at
            };
            newest = newest.max(event);
        }
    }
    if newest.is_some() {
        newest = newest.max(case.map(|row| row.case.evaluated_at));
    }
    newest.ok_or_else(|| in_no_zone(domain))
}

/// Returns the error for a domain of which there is no history.
fn in_no_zone(domain: &Name) -> Failure {
    Failure::failed(format!("{domain} lies in no zone that is watched"))
        .hint("`fluxwatch status` lists the zones")
}

/// Returns the planes that history knows.
fn planes(found: &DomainFinding) -> impl Iterator<Item = &PlaneFinding> {
    let own = found.addresses.iter().chain(&found.aliases);
    found.nameservers.iter().chain(own)
}

/// Prints the explanation in words.
fn print_text(
    out: &mut impl Write,
    pipeline: &Pipeline,
    domain: &Name,
    at: Timestamp,
    found: &DomainFinding,
) -> Result<(), Failure> {
    let policy = pipeline.config().detect.label();
    let case = case_by(pipeline, domain, at)?;
    let pending_since = case.as_ref().and_then(|row| row.case.pending_since);
    let is_watched = found
        .finding
        .as_ref()
        .is_some_and(|finding| finding.level == Level::Watch);
    let word = if is_watched {
        "watched for"
    } else {
        "suspected"
    };
    match &found.finding {
        Some(finding) => writeln!(
            out,
            "{domain} at {at}: {word} {}, level {}, score {:.1} (detection policy {policy})",
            finding.verdict.word(),
            finding.level.word(),
            finding.score
        )?,
        None => writeln!(
            out,
            "{domain} at {at}: nothing is suspected (detection policy {policy})"
        )?,
    }
    if found.finding.is_some() {
        let why = match pipeline.judge().standing(domain, at)? {
            Standing::Active | Standing::Away(_) => None,
            Standing::Gone => Some("its delegation is gone"),
            Standing::OnHold => Some("all its name servers are those of suspended domains"),
        };
        if let Some(why) = why {
            writeln!(out, "No case is about it: {why}.")?;
        }
    }
    writeln!(
        out,
        "Networks are those of the table of autonomous systems of {}.",
        pipeline.table_label()
    )?;
    if let Some(since) = pending_since {
        writeln!(
            out,
            "Held at review since {since}: reported once another step is seen {} later or more.",
            pipeline.config().detect.confirm_after
        )?;
    }
    if let Some(row) = &case
        && let Some(words) = case_words(pipeline, row, found)?
    {
        writeln!(out, "{}", plain(&words))?;
    }
    if let Some(exemption) = exemption_for(pipeline, found)? {
        let until = exemption
            .until
            .map_or_else(String::new, |at| format!(" until {at}"));
        writeln!(
            out,
            "Exempt by number {}{until}: nobody is told of it ({}; {}).",
            exemption.id, exemption.reason, exemption.author
        )?;
    }
    for plane in planes(found) {
        print_plane(out, plane, at)?;
    }
    if planes(found).next().is_none() {
        writeln!(
            out,
            "History holds neither name servers nor changing addresses of it. In a hosted zone, ask for the apex."
        )?;
    }
    Ok(())
}

/// Returns the case about a domain as it stands, unless it was judged after a time: that says nothing of the time.
fn case_by(pipeline: &Pipeline, domain: &Name, at: Timestamp) -> Result<Option<CaseRow>, Failure> {
    let case = pipeline.store().desk().find_case(domain)?;
    Ok(case.filter(|row| row.case.evaluated_at <= at))
}

/// Says where the case about the domain stands, where that is not what is found: it was judged at another time, or is
/// over. `None` where they agree, and where a hold says why they do not.
fn case_words(
    pipeline: &Pipeline,
    row: &CaseRow,
    found: &DomainFinding,
) -> Result<Option<String>, Failure> {
    let (case, reference) = (&row.case, case_reference(row.id));
    let stands = match case.state {
        CaseState::Dismissed => dismissal_words(pipeline, row)?,
        CaseState::Closed | CaseState::Mitigated => {
            format!("is {}; new changes open it again", case.state.word())
        }
        _ if case.judged_again_at().is_none()
            && (case.pending_since.is_some() || says_the_same(case, found)) =>
        {
            return Ok(None);
        }
        CaseState::Open | CaseState::Acknowledged => format!(
            "stands at suspected {}, level {}, score {:.1}, as of its last judgement at {} UTC",
            case.verdict.word(),
            case.level.word(),
            case.score,
            case.evaluated_at.to_table()
        ),
    };
    let left = case.left_words();
    let left = left.map_or_else(String::new, |words| format!("; the domain {words}"));
    Ok(Some(format!("Case {reference} {stands}{left}.")))
}

/// Returns whether a case says what is found.
fn says_the_same(case: &Case, found: &DomainFinding) -> bool {
    let tenths = |score: f64| (score * 10.0).round();
    match &found.finding {
        Some(finding) => {
            case.level == finding.level
                && case.verdict == finding.verdict
                && tenths(case.score) == tenths(finding.score)
        }
        None => case.score == 0.0,
    }
}

/// Says by whom a case was dismissed, and what opens it again.
fn dismissal_words(pipeline: &Pipeline, row: &CaseRow) -> Result<String, Failure> {
    let log = pipeline.store().desk().case_events(row.id)?.into_iter();
    let last = log
        .filter(|line| line.event.to == CaseState::Dismissed)
        .rfind(|line| line.event.from != Some(CaseState::Dismissed));
    let by = last.map_or_else(String::new, |line| {
        format!(" by {} at {} UTC", line.actor, line.event.at.to_table())
    });
    let reason = row.case.dismissed_as;
    let reason = reason.map_or_else(String::new, |it| format!(" as {}", it.word()));
    let reopening = reopening_words(&pipeline.config().detect, Some(row.case.verdict));
    Ok(format!("is dismissed{reason}{by}: it {reopening}"))
}

/// Returns the exemption by which nobody is told of what is found now.
fn exemption_for(pipeline: &Pipeline, found: &DomainFinding) -> Result<Option<Exemption>, Failure> {
    let Some(finding) = &found.finding else {
        return Ok(None);
    };
    let now = WallClock.now();
    let live = pipeline.store().desk().exemptions_in_force(now)?;
    let registration = pipeline.notify().registration_of(&finding.domain);
    let account = registration.and_then(|it| it.account);
    Ok(exemption_of(&live, finding, account.as_deref(), now).cloned())
}

/// Prints one plane.
fn print_plane(out: &mut impl Write, plane: &PlaneFinding, at: Timestamp) -> Result<(), Failure> {
    let words = section(plane);
    writeln!(
        out,
        "\n{} of {} in zone {}: level {}, score {} of 100",
        words.title,
        words.owner,
        words.zone,
        plane.level.map_or("none", Level::word),
        words.score
    )?;
    writeln!(
        out,
        "  watched since {} UTC; {} in 24 hours, {} in 72 hours, {} in 7 days",
        words.watched_since,
        counted(words.changes_24h, "change instant"),
        words.changes_72h,
        words.changes_7d
    )?;
    for term in &words.terms {
        writeln!(
            out,
            "  {:>5} of {:>3}  {}: {}",
            term.points, term.points_max, term.name, term.value
        )?;
    }
    for gate in &words.gates {
        writeln!(
            out,
            "  [{}] {}: {} (needed: {})",
            if gate.passed { "met" } else { "not met" },
            gate.name,
            gate.value,
            gate.needed
        )?;
    }
    for check in &words.checks {
        writeln!(out, "  checked: {}: {}", check.name, plain(&check.result))?;
    }
    if let Some(holz) = &words.holz {
        writeln!(
            out,
            "  for reference: {holz} by the score of Holz et al. 2008 (flux above 142.38)"
        )?;
    }
    for transition in &words.transitions {
        let serial = transition
            .serial
            .map_or_else(String::new, |serial| format!(" serial {serial}"));
        writeln!(out, "  {}{serial} ({})", transition.at, transition.counts)?;
        writeln!(out, "    before: {}", endpoints(&transition.before))?;
        writeln!(out, "    after:  {}", endpoints(&transition.after))?;
    }
    let left_out = words.transitions_count - words.transitions.len();
    if left_out > 0 {
        writeln!(
            out,
            "  {left_out} more: fluxwatch history {} --since {} --until {at}",
            words.owner,
            at - Span::days(7)
        )?;
    }
    Ok(())
}

/// Joins endpoints in one line.
fn endpoints(endpoints: &[Endpoint]) -> String {
    let one = |endpoint: &Endpoint| match (&endpoint.host, endpoint.addresses.is_empty()) {
        (Some(host), true) => host.clone(),
        (Some(host), false) => format!("{host} ({})", endpoint.addresses.join(", ")),
        (None, _) => endpoint.addresses.join(", "),
    };
    endpoints.iter().map(one).collect::<Vec<_>>().join(", ")
}
