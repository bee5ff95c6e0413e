//! Judges again what nothing new was seen of: what was found may have come to rest.
//!
//! A case is looked at again a whole number of hours after its last judgement, whenever somebody asks: so a history
//! that is imported at once is reviewed and reported at the same times as one that was followed.
//!
//! A change that was left unjudged, since its case had been judged shortly before, is judged once it is due, whether
//! another change comes or not. It is judged as of the last change until then, which is event time. Of a file or a feed
//! that says no more, the wall clock says that no change is to be waited for any longer.

use crate::pipeline::findings::find::{INTERVALS_MAX, QUICK_INTERVALS_MAX};
use crate::pipeline::findings::windows::Range;
use crate::pipeline::judge::Judge;
use crate::pipeline::judge::detect::REEVALUATE_AFTER;
use crate::pipeline::judge::look::Look;
use std::collections::{HashMap, HashSet};

use crate::case::{Case, Standing};
use crate::detector::{DetectPolicy, Level};
use crate::dns::Name;
use crate::pipeline::error::PipelineError;
use crate::pipeline::judge::detect::Judged;
use crate::pipeline::outcome::PollOptions;
use crate::store::CaseRow;
use crate::time::{Span, Timestamp};

/// Cases with changes that were left unjudged.
#[derive(Default)]
struct Left {
    /// Those that are judged now.
    due: Vec<CaseRow>,
    /// The numbers of those of them whose delegation counts as gone.
    gone: HashSet<i64>,
    /// The numbers of those that are judged later, each with its time.
    put_off: Vec<(i64, Timestamp)>,
}

/// For how long what a feed that stands still has to tell may be on its way: many are delivered each hour, and a delivery may
/// end between the removal and the return of a delegation. Chosen by hand.
const ON_ITS_WAY: Span = Span::hours(2);

/// How many looks a day has.
const REEVALUATIONS_A_DAY: i64 = 24;

impl Judge<'_> {
    /// Judges the open cases of a zone at the end of a pass over its source, or notes that they are to be.
    pub(in crate::pipeline) fn reevaluate(
        &self,
        apex: &Name,
        look: Look,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        if let Some(docket) = &self.docket {
            docket.note_again(apex, look);
            return Ok(());
        }
        self.judge_left(Some(apex), |_| true, look, options)?;
        self.reevaluate_due(Some(apex), |_| true, look.now, options)?;
        self.reevaluate_ahead(apex, look.now, options)
    }

    /// Judges the open cases of a zone that were judged after its newest time, by what other zones told of their name
    /// servers: each at every look that was due by the newest time of these.
    fn reevaluate_ahead(
        &self,
        apex: &Name,
        now: Timestamp,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        if self.parts.is_waiting() {
            return Ok(());
        }
        loop {
            let mut due = Vec::new();
            let mut times = HashMap::new();
            for row in self.store.desk().cases_ahead(apex, now)? {
                let known = self.newest_of_servers(&row.case)?;
                let looked_at = row.case.evaluated_at + REEVALUATE_AFTER;
                if let Some(known) = known.filter(|known| *known >= looked_at) {
                    let next = next_reevaluation(&row.case, &self.config.detect, known);
                    times.insert(row.id, next);
                    due.push(row);
                }
            }
            if due.is_empty() {
                return Ok(());
            }
            self.judge_cases(due.into_iter(), &|row| Ok(times[&row.id]), options)?;
        }
    }

    /// Returns the newest time of the sources of the zones that hold the addresses of a domain's name servers.
    fn newest_of_servers(&self, case: &Case) -> Result<Option<Timestamp>, PipelineError> {
        let at = case.evaluated_at;
        let zones = self.store.zones();
        let mut newest = None;
        for host in self.findings.nameservers_at(&case.domain, at)? {
            for zone in zones.zones_enclosing(&host)? {
                if !zone.is_judged_at(at) {
                    continue;
                }
                let Some(zone) = zones.find_view(&zone.apex, zone.view)? else {
                    continue;
                };
                let told = match zone.source_kind.is_live() {
                    true => Some(self.clock.now()),
                    false => zones.source_status(zone.source)?.last_event_at,
                };
                newest = newest.max(told);
            }
        }
        Ok(newest)
    }

    /// Returns how the cases of a recorded source are looked at after a pass over it, whose newest time is `now`. What stood
    /// still, or was read whole, says by the wall clock that nothing came; a feed that brought something may bring more of the
    /// same time.
    pub(in crate::pipeline) fn look_at_recorded(&self, now: Timestamp, says_no_more: bool) -> Look {
        let known_until = match says_no_more {
            true => now.max(self.clock.now()),
            false => now,
        };
        Look {
            now,
            known_until,
            gone_until: known_until,
        }
    }

    /// [`Judge::look_at_recorded`] of a feed: what brings a delegation back may be on its way ([`ON_ITS_WAY`]).
    pub(in crate::pipeline) fn look_at_feed(&self, now: Timestamp, stood_still: bool) -> Look {
        let look = self.look_at_recorded(now, stood_still);
        Look {
            gone_until: now.max(look.known_until - ON_ITS_WAY),
            ..look
        }
    }

    /// Judges the open cases of some zones of a source up to `now`, or notes that they are to be.
    pub(in crate::pipeline) fn reevaluate_swept(
        &self,
        source: &str,
        zones: &[Name],
        now: Timestamp,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        let zones: HashSet<&Name> = zones.iter().collect();
        match &self.docket {
            Some(docket) => {
                // Few of many zones have an open case.
                let desk = self.store.desk();
                let mut cases = desk.cases_to_judge(None, now - REEVALUATE_AFTER)?;
                cases.extend(desk.cases_due(None, now)?);
                let due = cases.into_iter().map(|row| row.case.zone);
                docket.note_sweep(source, due.filter(|it| zones.contains(it)).collect(), now);
                Ok(())
            }
            None => self.reevaluate_among(|zone| zones.contains(zone), now, options),
        }
    }

    /// Judges the open cases of some zones up to `now`.
    pub(in crate::pipeline) fn reevaluate_among(
        &self,
        is_among: impl Fn(&Name) -> bool,
        now: Timestamp,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        self.judge_left(None, &is_among, Look::live(now), options)?;
        self.reevaluate_due(None, is_among, now, options)
    }

    /// Judges the open cases of a zone as they were looked at before a version of it came.
    pub(in crate::pipeline) fn reevaluate_before(
        &self,
        apex: &Name,
        version_at: Timestamp,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        let before = version_at - Span::seconds(1);
        let (desk, judged_by) = (self.store.desk(), before - REEVALUATE_AFTER);
        // Asked with every version, and mostly there is none.
        if !desk.is_any_to_judge(apex, before, judged_by)? {
            return Ok(());
        }
        self.judge_left(Some(apex), |_| true, Look::live(before), options)?;
        self.reevaluate_due(Some(apex), |_| true, before, options)
    }

    /// Judges the cases of some zones with changes that were left unjudged and are due by the time of a look.
    fn judge_left(
        &self,
        apex: Option<&Name>,
        is_among: impl Fn(&Name) -> bool,
        look: Look,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        if self.parts.is_waiting() {
            return Ok(());
        }
        loop {
            let mut cases = self.store.desk().cases_due(apex, look.known_until)?;
            cases.retain(|row| is_among(&row.case.zone));
            let left = self.look_at_left(cases, look.gone_until)?;
            for (id, until) in &left.put_off {
                self.store.desk().set_due(*id, *until)?;
            }
            let is_done = left.put_off.is_empty();
            let time_of = |row: &CaseRow| self.last_left(&row.case, left.gone.contains(&row.id));
            self.judge_cases(left.due.into_iter(), &time_of, options)?;
            if is_done {
                return Ok(());
            }
        }
    }

    /// Tells apart cases with changes that were left unjudged. That of a busy domain is put off: it is judged once an hour,
    /// and when its change was left nobody looked whether it is busy. One whose delegation counts as gone only after
    /// `gone_until` stays due.
    fn look_at_left(
        &self,
        cases: Vec<CaseRow>,
        gone_until: Timestamp,
    ) -> Result<Left, PipelineError> {
        let mut left = Left::default();
        if cases.is_empty() {
            return Ok(left);
        }
        // One state of the database for all of them, so that what is kept of their owners is not read anew.
        let reading = self.store.begin_reading()?;
        for row in cases {
            let case = &row.case;
            let at = case.due_at.unwrap_or(case.evaluated_at);
            let until = case.evaluated_at + REEVALUATE_AFTER;
            let standing = self.standing(&case.domain, at)?;
            if standing == Standing::Gone {
                if at > gone_until {
                    continue;
                }
                left.gone.insert(row.id);
            } else if case.due_at.is_some_and(|at| at < until) && self.is_busy(&case.domain, at)? {
                // That it is gone is judged as soon as it counts as gone.
                let until = match standing {
                    Standing::Away(gone_at) => until.min(gone_at),
                    _ => until,
                };
                left.put_off.push((row.id, until));
                continue;
            }
            left.due.push(row);
        }
        drop(reading);
        Ok(left)
    }

    /// Returns whether a domain is busy at a time.
    fn is_busy(&self, domain: &Name, at: Timestamp) -> Result<bool, PipelineError> {
        let quick = self.findings.range(at, QUICK_INTERVALS_MAX);
        Ok(self.findings.has_many_names(domain)? || self.findings.is_busy(domain, &quick)?)
    }

    /// Returns as of when the changes of a case that were left unjudged are judged: the last of them until it is due. That a
    /// delegation `is_gone` is judged when it is due.
    fn last_left(&self, case: &Case, is_gone: bool) -> Result<Timestamp, PipelineError> {
        let due_at = case.due_at.unwrap_or(case.evaluated_at);
        if is_gone {
            return Ok(due_at);
        }
        let range = Range {
            only_times: true,
            ..self.findings.range(due_at, INTERVALS_MAX)
        };
        let windows = self.findings.load_windows(&case.domain, &range)?;
        let last = windows.change_times().filter(|at| *at <= due_at).max();
        // Of a line that came late nothing is newer than what was judged.
        Ok(last.map_or(case.evaluated_at, |at| at.max(case.evaluated_at)))
    }

    /// Judges the open cases of some zones at each look that was due by `now`.
    fn reevaluate_due(
        &self,
        apex: Option<&Name>,
        is_among: impl Fn(&Name) -> bool,
        now: Timestamp,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        if self.parts.is_waiting() {
            return Ok(());
        }
        loop {
            let cases = self
                .store
                .desk()
                .cases_to_judge(apex, now - REEVALUATE_AFTER)?;
            let among = cases.into_iter().filter(|row| is_among(&row.case.zone));
            let next = |row: &CaseRow| Ok(next_reevaluation(&row.case, &self.config.detect, now));
            if !self.judge_cases(among, &next, options)? {
                return Ok(());
            }
        }
    }

    /// Judges cases, each as of a time of its own. Returns whether there was any.
    fn judge_cases(
        &self,
        cases: impl Iterator<Item = CaseRow>,
        time_of: &dyn Fn(&CaseRow) -> Result<Timestamp, PipelineError>,
        options: &PollOptions,
    ) -> Result<bool, PipelineError> {
        let mut cases = cases.peekable();
        let is_any = cases.peek().is_some();
        while cases.peek().is_some() {
            let mut judged = Judged::default();
            let reading = self.store.begin_reading()?;
            while let Some(row) = cases.next_if(|_| !judged.is_full()) {
                let at = time_of(&row)?;
                let judgement = self.judge_whole(&row.case.domain, at)?;
                let standing = self.standing(&row.case.domain, at)?;
                judged.add(row.case.domain, judgement, standing);
            }
            drop(reading);
            let tx = self.store.begin_batch()?;
            self.move_cases(judged, options)?;
            tx.commit()?;
        }
        Ok(is_any)
    }
}

/// Returns when a case that is due by `now` is judged next, a whole number of hours after the last time.
///
/// One whose report is held is judged every hour. Any other is judged at the last look by `now`, and once a day before
/// that: time alone closes it, and only changes make it worse. Of one of which nothing was found, or that was at level
/// report, time brings only the end of having stood still for long.
pub(in crate::pipeline) fn next_reevaluation(
    case: &Case,
    policy: &DetectPolicy,
    now: Timestamp,
) -> Timestamp {
    let hour = REEVALUATE_AFTER.as_seconds();
    let looks_until = |at: Timestamp| at.since(case.evaluated_at).as_seconds().div_euclid(hour);
    let is_quiet = case.level == Level::Watch && case.score <= 0.0;
    let looks = if case.pending_since.is_some() {
        1
    } else if is_quiet || case.peak_level == Level::Report {
        let settled_at = case.last_change_at + policy.settled_after;
        // The first look at which it has settled.
        looks_until(settled_at - Span::seconds(1)) + 1
    } else {
        REEVALUATIONS_A_DAY
    };
    let looks = looks.max(1).min(looks_until(now));
    case.evaluated_at + Span::seconds(looks.max(1) * hour)
}
