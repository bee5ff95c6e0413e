//! Cases and their log.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use crate::case::{Case, CaseEvent, CaseState, DismissReason, Shared, Told, Traits};
use crate::detector::{Level, Verdict};
use crate::dns::Name;
use crate::store::caches::{CaseTraits, TraitKey};
use crate::store::desk::Desk;
use crate::store::door::{Db, Fault, IntoValue, Parameters, Row, Table, Texts, ValueRef, params};
use crate::store::error::StoreError;
use crate::store::keys::ZoneId;
use crate::store::sqlite::dialect::{IN_ORDER, RANDOM_DIGITS, by_index, texts_of};
use crate::time::Timestamp;

/// A case with its number.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseRow {
    /// The case's number.
    pub id: i64,
    /// The case.
    pub case: Case,
    /// The campaign it belongs to: the number of that one's first case.
    pub campaign: Option<i64>,
}

/// A line of a case's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseEventRow {
    /// 16 hexadecimal digits that no other line has, nor one that a restored database gives the same number.
    pub uid: String,
    /// When it was written; `None` of a judgement that fluxwatch before 0.2.0 wrote: it kept the event time alone.
    pub written_at: Option<Timestamp>,
    /// Who: `fluxwatch`, or a person.
    pub actor: String,
    /// What.
    pub event: CaseEvent,
}

/// Of the cases that share a name server or an address, so many are compared with another that has it: the first,
/// which a campaign began with. Chosen by hand.
const CASES_OF_TRAIT_MAX: i64 = 256;
/// Whether another case has a trait of one.
const HAS_OTHER: &str = "
    select exists (select 1 from case_trait where kind = ?1 and value = ?2 and case_id <> ?3)";
/// So many traits that a case shares are looked for one by one in another: with more all of the other's are read. Chosen by
/// hand.
const LOOKED_UP_MAX: usize = if cfg!(test) { 3 } else { 64 };
/// What cases share.
const TRAITS: Table = Table {
    name: "case_trait",
    columns: &["kind", "value", "case_id"],
    on_conflict: "on conflict do nothing",
};
/// Whether the domain of a case is at or below an apex, the second value of its statement.
const IS_BELOW: &str = "?2 = '.' or c.domain = ?2
                       or substr(c.domain, length(c.domain) - length(?2)) = '.' || ?2";

/// The columns of a case, in the order that [`read_case`] expects.
const COLUMNS: &str = "c.id, c.domain, z.name as zone, c.verdict, c.level, c.peak_level, c.state, c.score, c.first_detected_at, c.last_change_at, c.evaluated_at, c.revision, c.reported, c.told_size, c.digest_due,
     c.pending_since_at, c.campaign_id, c.told_at, c.reviewed_at, c.thread_id, c.due_at, c.assignee, c.dismissed_as, c.held, c.told_verdicts";

/// A line of a case's log as it stands in a row.
pub(super) struct RawLine {
    at: i64,
    written_at: Option<i64>,
    actor: String,
    from: Option<String>,
    to: String,
    note: String,
    uid: String,
}

impl RawLine {
    /// Reads the columns of these names.
    pub(super) fn read(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(Self {
            at: row.get("at")?,
            written_at: row.get("written_at")?,
            actor: row.get("actor")?,
            from: row.get("from_state")?,
            to: row.get("to_state")?,
            note: row.get("note")?,
            uid: row.get("uid")?,
        })
    }
}

/// A case as it stands in a row.
struct RawCase {
    id: i64,
    /// domain, zone, verdict, level, peak level, state
    words: [String; 6],
    score: f64,
    /// first detected, last change, evaluated
    times: [i64; 3],
    revision: u32,
    reported: bool,
    told_size: u32,
    digest_due: bool,
    /// pending since, campaign, told, reviewed, thread, due
    numbers: [Option<i64>; 6],
    /// assignee, dismissed as, held
    texts: [Option<String>; 3],
    told_verdicts: String,
}

/// The condition on the case about a domain.
const OF_DOMAIN: &str = "c.domain = ?";

/// Asks for the case of a condition.
fn one_case_sql(condition: &str) -> String {
    format!("select {COLUMNS} from abuse_case c join zone z on z.id = c.zone_id where {condition}")
}

impl Desk<'_> {
    /// Returns the case about a domain.
    pub fn find_case(&self, domain: &Name) -> Result<Option<CaseRow>, StoreError> {
        self.one_case(OF_DOMAIN, &domain.to_string())
    }

    /// Tells a server that the case about a domain is asked for next.
    pub fn ask_ahead_of_case(&self, domain: &Name) -> Result<(), StoreError> {
        if !self.store.db.asks_ahead() {
            return Ok(());
        }
        let sql = one_case_sql(OF_DOMAIN);
        self.store
            .run(|db| db.ask_ahead(&sql, [domain.to_string()]))
    }

    /// Returns those of some domains that there is a case about.
    pub fn domains_with_case(&self, domains: &[&Name]) -> Result<HashSet<Name>, StoreError> {
        let asked: HashMap<String, &Name> = domains
            .iter()
            .map(|name| (name.to_string(), *name))
            .collect();
        let keys = Texts(asked.keys().cloned().collect());
        let found: Vec<String> = self.store.run(|db| {
            let sql = format!(
                "select c.domain from {list} w {IN_ORDER} abuse_case c on c.domain = w.value",
                list = texts_of("?")
            );
            db.values(&sql, [keys])
        })?;
        let found = found.iter().filter_map(|key| asked.get(key.as_str()));
        Ok(found.map(|name| (*name).clone()).collect())
    }

    /// Returns the cases about some domains.
    pub fn cases_about(&self, domains: &[&Name]) -> Result<HashMap<Name, CaseRow>, StoreError> {
        let keys = Texts(domains.iter().map(|name| name.to_string()).collect());
        let rows = self.store.run(|db| {
            let sql = format!(
                "select {COLUMNS}
                   from {list} w {IN_ORDER} abuse_case c on c.domain = w.value
                        {IN_ORDER} zone z on z.id = c.zone_id",
                list = texts_of("?")
            );
            db.query(&sql, [keys], read_case)
        })?;
        let cases = rows.into_iter().map(|raw| self.finish_case(raw));
        cases
            .map(|row| row.map(|row| (row.case.domain.clone(), row)))
            .collect()
    }

    /// Returns the case with a number.
    pub fn case_by_id(&self, id: i64) -> Result<Option<CaseRow>, StoreError> {
        self.one_case("c.id = ?", &id)
    }

    /// Returns the cases in any of `states`, the most certain and highest score first.
    pub fn cases(&self, states: &[CaseState]) -> Result<Vec<CaseRow>, StoreError> {
        let sql = format!("select {COLUMNS} from abuse_case c join zone z on z.id = c.zone_id");
        let rows = self.store.run(|db| db.query(&sql, (), read_case))?;
        let mut cases = rows
            .into_iter()
            .map(|raw| self.finish_case(raw))
            .collect::<Result<Vec<_>, _>>()?;
        cases.retain(|row| states.contains(&row.case.state));
        // Levels and verdicts are words in the rows, which sort otherwise than what they mean.
        cases.sort_by(|left, right| {
            right
                .case
                .level
                .cmp(&left.case.level)
                .then(right.case.score.total_cmp(&left.case.score))
                .then(left.case.domain.cmp(&right.case.domain))
        });
        Ok(cases)
    }

    /// Returns the number of the last line of the cases' logs; 0 if there is none.
    pub fn last_case_event(&self) -> Result<i64, StoreError> {
        self.store.run(|db| {
            let sql = "select coalesce(max(id), 0) from case_event";
            db.value(sql, ())
        })
    }

    /// Returns how many cases there are in each state, in the order of [`CaseState::ALL`].
    pub fn case_counts(&self) -> Result<Vec<(CaseState, u32)>, StoreError> {
        let counts: Vec<(String, u32)> = self.store.run(|db| {
            let sql = "select state, count(*) as case_count from abuse_case group by state";
            db.query(sql, (), |row| {
                Ok((row.get("state")?, row.get("case_count")?))
            })
        })?;
        let of = |state: CaseState| counts.iter().find(|(word, _)| word == state.word());
        Ok(CaseState::ALL
            .into_iter()
            .map(|state| (state, of(state).map_or(0, |(_, count)| *count)))
            .collect())
    }

    /// Returns the cases of a zone, or of all, that are open or acknowledged and were last judged at or
    /// before `judged_by`; in the order of their numbers. Found by the index on that time: left alone,
    /// SQLite goes through all cases for the sake of the order.
    pub fn cases_to_judge(
        &self,
        apex: Option<&Name>,
        judged_by: Timestamp,
    ) -> Result<Vec<CaseRow>, StoreError> {
        let sql = format!(
            "select {COLUMNS}
               from abuse_case c {by_due} {IN_ORDER} zone z on z.id = c.zone_id
              where c.state in ('open', 'acknowledged') and c.evaluated_at <= ?1
                    and (cast(?2 as text) is null or z.name = ?2)
              order by c.id",
            by_due = by_index("case_due")
        );
        let rows = self.store.run(|db| {
            db.query(
                &sql,
                params![judged_by, apex.map(Name::to_string)],
                read_case,
            )
        })?;
        rows.into_iter().map(|raw| self.finish_case(raw)).collect()
    }

    /// Returns the open cases of a zone that were judged after a time, in the order of their numbers.
    pub fn cases_ahead(&self, apex: &Name, after: Timestamp) -> Result<Vec<CaseRow>, StoreError> {
        let sql = format!(
            "select {COLUMNS}
               from abuse_case c {by_due} {IN_ORDER} zone z on z.id = c.zone_id
              where c.state in ('open', 'acknowledged') and c.evaluated_at > ?1 and z.name = ?2
              order by c.id",
            by_due = by_index("case_due")
        );
        let asked = params![after, apex.to_string()];
        let rows = self.store.run(|db| db.query(&sql, asked, read_case))?;
        rows.into_iter().map(|raw| self.finish_case(raw)).collect()
    }

    /// Returns the cases of a zone and of domains at or below it, or all, with changes that were left unjudged and are due by
    /// a time; in the order of their numbers. A zone above tells that a delegation is away, whichever zone says most of the
    /// domain. What is over is judged by the next change. Found by an index of these alone.
    pub fn cases_due(
        &self,
        apex: Option<&Name>,
        by: Timestamp,
    ) -> Result<Vec<CaseRow>, StoreError> {
        let sql = format!(
            "select {COLUMNS}
               from abuse_case c {by_due} {IN_ORDER} zone z on z.id = c.zone_id
              where c.due_at <= ?1 and c.state in ('open', 'acknowledged', 'dismissed')
                    and (cast(?2 as text) is null or z.name = ?2 or {IS_BELOW})
              order by c.id",
            by_due = by_index("case_left")
        );
        let rows = self
            .store
            .run(|db| db.query(&sql, params![by, apex.map(Name::to_string)], read_case))?;
        rows.into_iter().map(|raw| self.finish_case(raw)).collect()
    }

    /// Returns whether there is a case of a zone that [`Desk::cases_due`] returns by a time, or [`Desk::cases_to_judge`] by
    /// another.
    pub fn is_any_to_judge(
        &self,
        apex: &Name,
        due_by: Timestamp,
        judged_by: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "select exists (select 1
                              from abuse_case c {by_due} {IN_ORDER} zone z on z.id = c.zone_id
                             where c.due_at <= ?1 and c.state in ('open', 'acknowledged', 'dismissed')
                                   and (z.name = ?2 or {IS_BELOW}))
                    or exists (select 1
                                 from abuse_case c {by_judged} {IN_ORDER} zone z on z.id = c.zone_id
                                where c.state in ('open', 'acknowledged') and c.evaluated_at <= ?3
                                      and z.name = ?2)",
            by_due = by_index("case_left"),
            by_judged = by_index("case_due")
        );
        let asked = params![due_by, apex.to_string(), judged_by];
        self.store.run(|db| db.value(&sql, asked))
    }

    /// Notes by when a case with a change that was left unjudged is due; never earlier than was noted.
    pub fn set_due(&self, id: i64, due_at: Timestamp) -> Result<(), StoreError> {
        self.store.run(|db| {
            let sql = "update abuse_case set due_at = ?2 where id = ?1 and (due_at is null or due_at < ?2)";
            db.execute(sql, params![id, due_at])
        })?;
        Ok(())
    }

    /// Has the case judged by `due_at`, unless it is due before.
    pub fn set_due_by(&self, id: i64, due_at: Timestamp) -> Result<(), StoreError> {
        self.store.run(|db| {
            let sql = "update abuse_case set due_at = ?2 where id = ?1 and (due_at is null or due_at > ?2)";
            db.execute(sql, params![id, due_at])
        })?;
        Ok(())
    }

    /// Writes a case. Returns its number.
    ///
    /// Of a case whose words are as before, as most are that are judged again, only the rest is written: each list of
    /// words that SQLite checks a word against is a table that it builds, and these took longer than all else.
    pub fn save_case(&self, case: &Case) -> Result<i64, StoreError> {
        let zone = self
            .store
            .zones()
            .find_any_view(&case.zone)?
            .ok_or_else(|| self.store.damaged(format!("no zone {}", case.zone)))?;
        self.store.run(|db| {
            let domain = case.domain.to_string();
            let words = params![
                domain,
                zone.id,
                case.verdict.word(),
                case.level.word(),
                case.peak_level.word(),
                case.state.word()
            ];
            let sql = "select id
                         from abuse_case
                        where domain = ? and zone_id = ? and verdict = ? and level = ?
                              and peak_level = ? and state = ?";
            match db.first_value::<i64>(sql, words)? {
                Some(id) => {
                    write_numbers(db, id, case)?;
                    Ok(id)
                }
                None => write_whole(db, zone.id, case),
            }
        })
    }

    /// Appends lines to a case's log, written at one time by one actor.
    pub fn append_case_events(
        &self,
        id: i64,
        events: &[CaseEvent],
        actor: &str,
        written_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.store.run(|db| {
            let sql = format!(
                "insert into case_event (case_id, at, written_at, actor, from_state, to_state, note, uid)
                 values (?, ?, ?, ?, ?, ?, ?, {RANDOM_DIGITS})"
            );
            let mut append = db.prepare(&sql)?;
            for event in events {
                append.execute(params![
                    id,
                    event.at,
                    written_at,
                    actor,
                    event.from.map(CaseState::word),
                    event.to.word(),
                    event.note
                ])?;
            }
            Ok(())
        })
    }

    /// Notes what a case's finding rests on. Returns other cases that share enough with it to be of one campaign and
    /// are not: for each campaign the first, and those that are in none; in the order of their numbers. Those that
    /// are dismissed are none.
    ///
    /// What is shared counts as long as it was ever seen; a case is found by what the finding has now: what is new,
    /// or, for a case of no campaign, all of it. Of the cases that share one trait, the first
    /// [`CASES_OF_TRAIT_MAX`] are compared.
    ///
    /// What is noted of a case, and which of that others have, is read once and kept: a case that is judged again and
    /// again may have thousands of traits, of which each judgement brings a few. To be called by who judges alone, within
    /// a transaction.
    pub fn save_traits(
        &self,
        id: i64,
        case: &Case,
        traits: &Traits,
    ) -> Result<Vec<(i64, Shared)>, StoreError> {
        let mut all = Vec::with_capacity(traits.hosts.len() + traits.addresses.len());
        for host in &traits.hosts {
            all.push(TraitKey::Host(self.store.ledger().host_id(host)?));
        }
        all.extend(traits.addresses.iter().map(|address| match address {
            IpAddr::V4(address) => TraitKey::V4(address.octets()),
            IpAddr::V6(address) => TraitKey::V6(address.octets()),
        }));
        let known = (self.store.traits.borrow_mut()).take(id, &case.domain, case.first_detected_at);
        let mut own = match known {
            Some(known) => known,
            None => self.traits_of(id, case)?,
        };
        let (found, new) = self.store.run(|db| {
            let campaign: Option<i64> =
                db.value("select campaign_id from abuse_case where id = ?", [id])?;
            let new = all.iter().filter(|it| !own.noted.contains(it));
            let new: Vec<TraitKey> = new.copied().collect();
            let rows: Vec<ValueRef<'_>> = new.iter().flat_map(as_row).collect();
            db.insert_rows_sharing(&TRAITS, &rows, &[ValueRef::Integer(id)])?;
            own.noted.extend(&new);
            let mut is_shared = db.prepare(HAS_OTHER)?;
            for it in &new {
                let [kind, value] = as_row(it);
                if is_shared.value::<bool>(params![kind, value, id])? {
                    own.shared.insert(*it);
                }
            }
            let asked = match campaign {
                Some(_) => &new,
                None => &all,
            };
            let mut others: BTreeMap<i64, Option<i64>> = BTreeMap::new();
            for it in asked.iter().filter(|it| own.shared.contains(it)) {
                let [kind, value] = as_row(it);
                let numbers = params![kind, value, id, campaign, CASES_OF_TRAIT_MAX];
                others.extend(sharing(db, numbers)?);
            }
            Ok((joining(db, id, &own.shared, others)?, new))
        })?;
        self.store.traits.borrow_mut().put(id, own, &new);
        Ok(found)
    }

    /// Reads what is noted of a case, and which of that another has.
    fn traits_of(&self, id: i64, case: &Case) -> Result<CaseTraits, StoreError> {
        let read = |sql: &str| -> Result<HashSet<TraitKey>, StoreError> {
            let rows = self
                .store
                .run(|db| db.query(sql, [id], |row| row.value_at(0).map(trait_key)))?;
            Ok(rows.into_iter().collect())
        };
        let shared = "select value
                        from case_trait m
                       where case_id = ?
                             and exists (select 1
                                           from case_trait o
                                          where o.kind = m.kind and o.value = m.value
                                                and o.case_id <> m.case_id)";
        Ok(CaseTraits {
            domain: case.domain.clone(),
            first_detected_at: case.first_detected_at,
            noted: read("select value from case_trait where case_id = ?")?,
            shared: read(shared)?,
        })
    }

    /// Makes two cases, and the campaigns they belong to, one campaign. Returns its number and the cases
    /// that are new to it.
    pub fn join_campaign(&self, one: i64, other: i64) -> Result<(i64, Vec<i64>), StoreError> {
        self.store.run(|db| {
            let mut of = db.prepare("select campaign_id from abuse_case where id = ?")?;
            let mut of = |id: i64| of.value::<Option<i64>>([id]);
            let (mine, its) = (of(one)?, of(other)?);
            // The older name stays: it may have been mailed.
            let campaign = match (mine, its) {
                (Some(mine), Some(its)) => mine.min(its),
                (Some(known), None) | (None, Some(known)) => known,
                (None, None) => one.min(other),
            };
            let sql = "update abuse_case
                          set campaign_id = ?1
                        where (id in (?2, ?3) or campaign_id in (?4, ?5))
                              and campaign_id is distinct from ?1
                       returning id";
            let mut moved: Vec<i64> = db.values(sql, params![campaign, one, other, mine, its])?;
            moved.sort_unstable();
            Ok((campaign, moved))
        })
    }

    /// Appends a line to a case's log about what happens as it is written, and leaves the state as it is.
    pub fn append_case_event(
        &self,
        id: i64,
        at: Timestamp,
        state: CaseState,
        actor: &str,
        note: &str,
    ) -> Result<(), StoreError> {
        let event = CaseEvent {
            at,
            from: Some(state),
            to: state,
            note: note.to_owned(),
        };
        self.append_case_events(id, &[event], actor, at)
    }

    /// Returns the cases of a campaign, in the order of their numbers.
    pub fn cases_of_campaign(&self, campaign: i64) -> Result<Vec<CaseRow>, StoreError> {
        self.case_rows("c.campaign_id = ? order by c.id", campaign)
    }

    /// Returns the cases that a condition on a number names.
    fn case_rows(&self, condition: &str, value: i64) -> Result<Vec<CaseRow>, StoreError> {
        let sql = format!(
            "select {COLUMNS} from abuse_case c join zone z on z.id = c.zone_id where {condition}"
        );
        let rows = self.store.run(|db| db.query(&sql, [value], read_case))?;
        rows.into_iter().map(|raw| self.finish_case(raw)).collect()
    }

    /// Returns the names of domains that use the rare name servers of a campaign now and are not suspected, in order: also
    /// those whose case in it was dismissed or is over.
    pub fn bystanders_of_campaign(&self, campaign: i64) -> Result<BTreeSet<Name>, StoreError> {
        let hosts = self.hosts_of_campaign(campaign)?;
        let mut names = self.store.lookup().delegations_using(&hosts)?;
        self.leave_out_suspects(&mut names)?;
        Ok(names)
    }

    /// Returns the rare name servers that the findings of a campaign rest on.
    pub fn hosts_of_campaign(&self, campaign: i64) -> Result<BTreeSet<Name>, StoreError> {
        let ids: Vec<i64> = self.store.run(|db| {
            let sql = "select distinct t.value
                         from case_trait t join abuse_case c on c.id = t.case_id
                        where c.campaign_id = ? and t.kind = 'host'";
            db.values(sql, [campaign])
        })?;
        let mut hosts = BTreeSet::new();
        for id in ids {
            hosts.insert(self.store.ledger().host_name(id)?);
        }
        Ok(hosts)
    }

    /// Takes those of some names away about which a case is open that was ever at level review or above.
    pub fn leave_out_suspects(&self, names: &mut BTreeSet<Name>) -> Result<(), StoreError> {
        self.store.run(|db| {
            let sql = "select exists (select 1
                                        from abuse_case
                                       where domain = ? and state in ('open', 'acknowledged')
                                             and peak_level in ('report', 'review'))";
            let mut is_suspect = db.prepare(sql)?;
            for name in names.clone() {
                if is_suspect.value::<bool>([name.to_string()])? {
                    names.remove(&name);
                }
            }
            Ok(())
        })
    }

    /// Returns the cases that are told in the mails of another, in the order of their numbers; that other
    /// one is among them if it has been told.
    pub fn cases_of_thread(&self, thread: i64) -> Result<Vec<CaseRow>, StoreError> {
        self.case_rows("c.thread_id = ? order by c.id", thread)
    }

    /// Returns the cases that are over and whose end was not told, though they were, in the order of their numbers.
    pub fn cases_with_untold_end(&self) -> Result<Vec<CaseRow>, StoreError> {
        self.case_rows(
            "c.reported = ? and c.state not in ('open', 'acknowledged') order by c.id",
            1,
        )
    }

    /// Returns the cases that the next digest tells of, in the order of their numbers.
    pub fn cases_for_digest(&self) -> Result<Vec<CaseRow>, StoreError> {
        self.case_rows("c.digest_due = ? order by c.id", 1)
    }

    /// Takes a question about a case's domain: returns whether it may be asked now, and if so notes that it
    /// is, and when the next may be. There are `times` in all. A question that is due after `next_at` was planned by
    /// a clock that was ahead, and is due.
    pub fn take_question(
        &self,
        case_id: i64,
        now: Timestamp,
        next_at: Timestamp,
        times: u32,
    ) -> Result<bool, StoreError> {
        self.store
            .run(|db| {
                let sql =
                    "insert into confirmation (case_id, asked_count, next_at) values (?1, 1, ?3)
                     on conflict (case_id)
                       do update set asked_count = confirmation.asked_count + 1,
                                     next_at = excluded.next_at
                      where (confirmation.next_at <= ?2 or confirmation.next_at > ?3)
                            and confirmation.asked_count < ?4";
                db.execute(sql, params![case_id, now, next_at, times])
            })
            .map(|count| count > 0)
    }

    /// Returns whether a case was over at any time and is open again since.
    pub fn was_over(&self, id: i64) -> Result<bool, StoreError> {
        self.store.run(|db| {
            let sql = "select exists (select 1
                                        from case_event
                                       where case_id = ? and to_state = 'open'
                                             and from_state in ('dismissed', 'mitigated', 'closed'))";
            db.value(sql, [id])
        })
    }

    /// Returns the newest line of a case's log that moved it to a state.
    pub fn end_of(&self, id: i64, state: CaseState) -> Result<Option<CaseEventRow>, StoreError> {
        let rows = self.store.run(|db| {
            let sql = "select at, written_at, actor, from_state, to_state, note, uid
                         from case_event
                        where case_id = ?1 and to_state = ?2
                              and (from_state is null or from_state <> to_state)
                        order by id desc limit 1";
            db.query(sql, params![id, state.word()], RawLine::read)
        })?;
        let mut lines = rows.into_iter().map(|raw| self.finish_line(raw));
        lines.next().transpose()
    }

    /// Returns a case's log, oldest first.
    pub fn case_events(&self, id: i64) -> Result<Vec<CaseEventRow>, StoreError> {
        let rows = self.store.run(|db| {
            let sql = "select at, written_at, actor, from_state, to_state, note, uid
                         from case_event where case_id = ? order by id";
            db.query(sql, [id], RawLine::read)
        })?;
        rows.into_iter().map(|raw| self.finish_line(raw)).collect()
    }

    /// Turns the words of a line into values.
    pub(super) fn finish_line(&self, raw: RawLine) -> Result<CaseEventRow, StoreError> {
        let state = |word: &str| {
            CaseState::parse(word).ok_or_else(|| self.store.damaged(format!("case state {word:?}")))
        };
        Ok(CaseEventRow {
            uid: raw.uid,
            written_at: raw.written_at.map(Timestamp::from_unix),
            actor: raw.actor,
            event: CaseEvent {
                at: Timestamp::from_unix(raw.at),
                from: raw.from.as_deref().map(state).transpose()?,
                to: state(&raw.to)?,
                note: raw.note,
            },
        })
    }

    /// Returns the one case that a condition names.
    fn one_case(
        &self,
        condition: &str,
        value: &dyn IntoValue,
    ) -> Result<Option<CaseRow>, StoreError> {
        let sql = one_case_sql(condition);
        let raw = self
            .store
            .run(|db| db.query_first(&sql, [value], read_case))?;
        raw.map(|raw| self.finish_case(raw)).transpose()
    }

    /// Turns the words of a row into values.
    fn finish_case(&self, raw: RawCase) -> Result<CaseRow, StoreError> {
        let id = raw.id;
        let [domain, zone, verdict, level, peak_level, state] = &raw.words;
        let [
            pending_since,
            campaign,
            told_at,
            reviewed_at,
            thread,
            due_at,
        ] = raw.numbers;
        let [assignee, dismissed_as, held] = raw.texts;
        let bad =
            |what: &str, word: &str| self.store.damaged(format!("case {id}: {what} {word:?}"));
        let verdict_of = |word: &str| Verdict::parse(word).ok_or_else(|| bad("verdict", word));
        let reason_of = |word: &str| DismissReason::parse(word).ok_or_else(|| bad("reason", word));
        let told_verdicts = raw.told_verdicts.split(',').filter(|word| !word.is_empty());
        let told = Told {
            at: told_at.map(Timestamp::from_unix),
            verdicts: told_verdicts.map(verdict_of).collect::<Result<_, _>>()?,
            size: raw.told_size,
            thread,
            digest_due: raw.digest_due,
            held,
        };
        let case = Case {
            domain: self.store.read_name(domain)?,
            zone: self.store.read_name(zone)?,
            verdict: verdict_of(verdict)?,
            level: Level::parse(level).ok_or_else(|| bad("level", level))?,
            peak_level: Level::parse(peak_level).ok_or_else(|| bad("level", peak_level))?,
            state: CaseState::parse(state).ok_or_else(|| bad("state", state))?,
            score: raw.score,
            first_detected_at: Timestamp::from_unix(raw.times[0]),
            last_change_at: Timestamp::from_unix(raw.times[1]),
            evaluated_at: Timestamp::from_unix(raw.times[2]),
            due_at: due_at.map(Timestamp::from_unix),
            pending_since: pending_since.map(Timestamp::from_unix),
            revision: raw.revision,
            reported: raw.reported,
            told,
            assignee,
            dismissed_as: dismissed_as.as_deref().map(reason_of).transpose()?,
            reviewed_at: reviewed_at.map(Timestamp::from_unix),
        };
        Ok(CaseRow { id, case, campaign })
    }
}

/// Writes a case, new or not. Returns its number.
fn write_whole(db: &Db, zone: ZoneId, case: &Case) -> Result<i64, Fault> {
    let sql = "insert into abuse_case (domain, zone_id, verdict, level, peak_level, state,
                                       score, first_detected_at, last_change_at,
                                       evaluated_at, revision, pending_since_at, reported,
                                       told_at, told_verdicts, told_size, thread_id,
                                       digest_due, held, assignee, dismissed_as, reviewed_at, due_at)
               values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
               on conflict (domain)
                 do update set zone_id = excluded.zone_id, verdict = excluded.verdict,
                               level = excluded.level, peak_level = excluded.peak_level,
                               state = excluded.state, score = excluded.score,
                               last_change_at = excluded.last_change_at,
                               evaluated_at = excluded.evaluated_at,
                               revision = excluded.revision,
                               pending_since_at = excluded.pending_since_at,
                               reported = excluded.reported, told_at = excluded.told_at,
                               told_verdicts = excluded.told_verdicts,
                               told_size = excluded.told_size,
                               thread_id = excluded.thread_id,
                               digest_due = excluded.digest_due, held = excluded.held,
                               assignee = excluded.assignee,
                               dismissed_as = excluded.dismissed_as,
                               reviewed_at = excluded.reviewed_at,
                               due_at = excluded.due_at
               returning id";
    db.write_returning_one(
        sql,
        params![
            case.domain.to_string(),
            zone,
            case.verdict.word(),
            case.level.word(),
            case.peak_level.word(),
            case.state.word(),
            case.score,
            case.first_detected_at,
            case.last_change_at,
            case.evaluated_at,
            case.revision,
            case.pending_since,
            case.reported,
            case.told.at,
            told_verdicts(case),
            case.told.size,
            case.told.thread,
            case.told.digest_due,
            case.told.held,
            case.assignee,
            case.dismissed_as.map(DismissReason::word),
            case.reviewed_at,
            case.due_at
        ],
        |row| row.get("id"),
    )
}

/// Writes what of a case may change beside its zone, verdict, levels and state.
fn write_numbers(db: &Db, id: i64, case: &Case) -> Result<usize, Fault> {
    let sql = "update abuse_case
                  set score = ?, last_change_at = ?, evaluated_at = ?, revision = ?,
                      pending_since_at = ?, reported = ?, told_at = ?, told_verdicts = ?,
                      told_size = ?, thread_id = ?, digest_due = ?, held = ?, assignee = ?,
                      dismissed_as = ?, reviewed_at = ?, due_at = ?
                where id = ?";
    db.execute(
        sql,
        params![
            case.score,
            case.last_change_at,
            case.evaluated_at,
            case.revision,
            case.pending_since,
            case.reported,
            case.told.at,
            told_verdicts(case),
            case.told.size,
            case.told.thread,
            case.told.digest_due,
            case.told.held,
            case.assignee,
            case.dismissed_as.map(DismissReason::word),
            case.reviewed_at,
            case.due_at,
            id
        ],
    )
}

/// Returns the verdicts that were told of a case, as they are written.
fn told_verdicts(case: &Case) -> String {
    let words = case.told.verdicts.iter().map(|it| it.word());
    words.collect::<Vec<_>>().join(",")
}

/// Returns those of some cases, with their campaigns, that share enough with a case: of each campaign the first. `known`
/// holds each trait of the case that any other has.
fn joining(
    db: &Db,
    id: i64,
    known: &HashSet<TraitKey>,
    others: BTreeMap<i64, Option<i64>>,
) -> Result<Vec<(i64, Shared)>, Fault> {
    let (mut found, mut campaigns) = (Vec::new(), BTreeSet::new());
    for (other, campaign) in others {
        if campaign.is_some_and(|campaign| campaigns.contains(&campaign)) {
            continue;
        }
        let shared = match known.len() <= LOOKED_UP_MAX {
            true => looked_up(db, known, other)?,
            false => counted_through(db, id, other)?,
        };
        if shared.joins() {
            campaigns.extend(campaign);
            found.push((other, shared));
        }
    }
    Ok(found)
}

/// Counts those of some traits that a case has: a look for each.
fn looked_up(db: &Db, traits: &HashSet<TraitKey>, case: i64) -> Result<Shared, Fault> {
    let mut shared = Shared::default();
    let sql =
        "select exists (select 1 from case_trait where kind = ?1 and value = ?2 and case_id = ?3)";
    let mut has = db.prepare(sql)?;
    for it in traits {
        let [kind, value] = as_row(it);
        if has.value::<bool>(params![kind, value, case])? {
            match it {
                TraitKey::Host(_) => shared.hosts += 1,
                _ => shared.addresses += 1,
            }
        }
    }
    Ok(shared)
}

/// Counts what two cases share by a look at all that the other has.
fn counted_through(db: &Db, id: i64, other: i64) -> Result<Shared, Fault> {
    let sql = format!(
        "select count(*) filter (where o.kind = 'host') as host_count,
                count(*) filter (where o.kind = 'address') as address_count
           from case_trait o
                {IN_ORDER} case_trait m on m.kind = o.kind and m.value = o.value
                           and m.case_id = ?1
          where o.case_id = ?2"
    );
    db.query_one(&sql, [id, other], |row| {
        Ok(Shared {
            hosts: row.get("host_count")?,
            addresses: row.get("address_count")?,
        })
    })
}

/// Reads the columns of [`COLUMNS`].
fn read_case(row: &Row<'_>) -> Result<RawCase, Fault> {
    let text = |column: &str| row.get::<String>(column);
    Ok(RawCase {
        id: row.get("id")?,
        words: [
            text("domain")?,
            text("zone")?,
            text("verdict")?,
            text("level")?,
            text("peak_level")?,
            text("state")?,
        ],
        score: row.get("score")?,
        times: [
            row.get("first_detected_at")?,
            row.get("last_change_at")?,
            row.get("evaluated_at")?,
        ],
        revision: row.get("revision")?,
        reported: row.get("reported")?,
        told_size: row.get("told_size")?,
        digest_due: row.get("digest_due")?,
        numbers: [
            row.get("pending_since_at")?,
            row.get("campaign_id")?,
            row.get("told_at")?,
            row.get("reviewed_at")?,
            row.get("thread_id")?,
            row.get("due_at")?,
        ],
        texts: [
            row.get("assignee")?,
            row.get("dismissed_as")?,
            row.get("held")?,
        ],
        told_verdicts: text("told_verdicts")?,
    })
}

/// Returns the first cases that share a trait with a case, with their campaigns, of those that are not dismissed and not
/// of the same one.
fn sharing(db: &Db, numbers: impl Parameters) -> Result<Vec<(i64, Option<i64>)>, Fault> {
    let sql = format!(
        "select c.id, c.campaign_id
           from (select case_id
                   from case_trait where kind = ?1 and value = ?2 and case_id <> ?3
                  order by case_id limit ?5) o
                {IN_ORDER} abuse_case c on c.id = o.case_id
          where c.state <> 'dismissed'
                and (c.campaign_id is null or c.campaign_id is distinct from ?4)"
    );
    db.query(&sql, numbers, |row| {
        Ok((row.get("id")?, row.get("campaign_id")?))
    })
}

/// Returns the kind and the value of a trait.
fn as_row(key: &TraitKey) -> [ValueRef<'_>; 2] {
    match key {
        TraitKey::Host(row) => [ValueRef::Text("host"), ValueRef::Integer(*row)],
        TraitKey::V4(octets) => [ValueRef::Text("address"), ValueRef::Octets(octets)],
        TraitKey::V6(octets) => [ValueRef::Text("address"), ValueRef::Octets(octets)],
        // Of no finding.
        TraitKey::Other => [ValueRef::Null, ValueRef::Null],
    }
}

/// Returns the key of a trait: of the two kinds one is a number and the other is octets.
fn trait_key(value: ValueRef<'_>) -> TraitKey {
    match value {
        ValueRef::Integer(row) => TraitKey::Host(row),
        ValueRef::Octets(octets) => match (octets.try_into(), octets.try_into()) {
            (Ok(octets), _) => TraitKey::V4(octets),
            (_, Ok(octets)) => TraitKey::V6(octets),
            _ => TraitKey::Other,
        },
        _ => TraitKey::Other,
    }
}

#[cfg(test)]
mod tests {
    use crate::store::handle::{Store, StoreOptions};
    use crate::store::keys::SourceKind;

    use super::*;

    #[test]
    fn case_is_found_as_it_was_saved_last_whatever_of_it_changed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("opened");
        let name = |text: &str| Name::parse(text).expect("valid");
        let source = store.zones().ensure_source("feed", SourceKind::Feed);
        let zone = name("example");
        let made = store.zones().ensure_zone(&zone, source.expect("made"));
        made.expect("made");
        let at = |hour: i64| Timestamp::from_unix(1_790_000_000 + 3600 * hour);
        let first = Case {
            domain: name("bad.example"),
            zone,
            verdict: Verdict::NsFlux,
            level: Level::Review,
            peak_level: Level::Review,
            state: CaseState::Open,
            score: 50.5,
            first_detected_at: at(0),
            last_change_at: at(0),
            evaluated_at: at(0),
            pending_since: None,
            revision: 0,
            reported: false,
            told: Told::default(),
            assignee: None,
            dismissed_as: None,
            reviewed_at: None,
            due_at: None,
        };
        let looked_at_again = Case {
            due_at: Some(at(5)),
            score: 60.25,
            last_change_at: at(1),
            evaluated_at: at(2),
            pending_since: Some(at(2)),
            ..first.clone()
        };
        let worse = Case {
            level: Level::Report,
            peak_level: Level::Report,
            verdict: Verdict::DoubleFlux,
            ..looked_at_again.clone()
        };
        let told = Case {
            due_at: None,
            pending_since: None,
            revision: 1,
            reported: true,
            told: Told {
                at: Some(at(3)),
                verdicts: vec![Verdict::DoubleFlux, Verdict::NsFlux],
                size: 7,
                thread: Some(1),
                digest_due: true,
                held: Some("one mail an hour".to_owned()),
            },
            assignee: Some("anna".to_owned()),
            ..worse.clone()
        };
        let over = Case {
            state: CaseState::Dismissed,
            dismissed_as: Some(DismissReason::ALL[0]),
            reviewed_at: Some(at(4)),
            told: Told::default(),
            assignee: None,
            ..told.clone()
        };
        for case in [&first, &looked_at_again, &worse, &told, &over, &first] {
            let id = store.desk().save_case(case).expect("saved");
            assert_eq!(id, 1);
            let found = store.desk().find_case(&case.domain).expect("read");
            assert_eq!(found.map(|row| row.case).as_ref(), Some(case));
        }
    }

    /// Makes a store with some cases in it.
    fn with_cases(path: &std::path::Path, cases: &[Case]) -> Store {
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(path, options).expect("opened");
        let source = store.zones().ensure_source("feed", SourceKind::Feed);
        let made = store
            .zones()
            .ensure_zone(&cases[0].zone, source.expect("made"));
        made.expect("made");
        for case in cases {
            store.desk().save_case(case).expect("saved");
        }
        store
    }

    /// Addresses with their cases, and the campaigns of all cases.
    type Noted = (Vec<(Vec<u8>, i64)>, Vec<Option<i64>>);

    /// Returns the traits that are noted, and the campaigns of all cases.
    fn noted(store: &Store) -> Noted {
        let read = store.run(|db| {
            let sql = "select value, case_id from case_trait where kind = 'address' order by 1, 2";
            let traits = db.query(sql, (), |row| Ok((row.at(0)?, row.at(1)?)))?;
            let campaigns = db.values("select campaign_id from abuse_case order by id", ())?;
            Ok((traits, campaigns))
        });
        read.expect("read")
    }

    /// Thirty cases about as many domains.
    fn thirty_cases() -> Vec<Case> {
        let name = |text: &str| Name::parse(text).expect("valid");
        let at = Timestamp::from_unix(1_790_000_000);
        (0..30)
            .map(|n| Case {
                domain: name(&format!("bad{n}.example")),
                zone: name("example"),
                verdict: Verdict::SingleFlux,
                level: Level::Review,
                peak_level: Level::Review,
                state: CaseState::Open,
                score: 50.0,
                first_detected_at: at,
                last_change_at: at,
                evaluated_at: at,
                pending_since: None,
                revision: 0,
                reported: false,
                told: Told::default(),
                assignee: None,
                dismissed_as: None,
                reviewed_at: None,
                due_at: None,
            })
            .collect()
    }

    #[test]
    fn traits_that_are_kept_find_the_cases_that_traits_read_anew_find() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cases = thirty_cases();
        let kept = with_cases(&folder.path().join("kept.db"), &cases);
        let anew = with_cases(&folder.path().join("anew.db"), &cases);
        let mut numbers = 7_u64;
        let mut draw = |below: u64| {
            numbers = numbers
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (numbers >> 33) % below
        };
        let mut found = 0;
        for step in 0..500 {
            let n = draw(30);
            let id = n as i64 + 1;
            // Each has addresses of its own, and some that three have.
            let addresses = (0..1 + draw(12)).map(|_| {
                let of = if draw(4) == 0 { 100 + n / 3 } else { n };
                let last = draw(20) as u8;
                match draw(5) {
                    0 => IpAddr::from([0x2001, 0xdb8, of as u16, 0, 0, 0, 0, u16::from(last)]),
                    _ => IpAddr::from([192, 0, of as u8, last]),
                }
            });
            let traits = Traits {
                addresses: addresses.collect(),
                ..Traits::default()
            };
            let is_taken_back = draw(12) == 0;
            let case = &cases[n as usize];
            let [told, told_anew] = [&kept, &anew].map(|store| {
                // A careful store keeps nothing.
                anew.traits.take();
                let tx = store.begin_batch().expect("begun");
                let others = store.desk().save_traits(id, case, &traits).expect("saved");
                for (other, _) in &others {
                    store.desk().join_campaign(id, *other).expect("joined");
                }
                match is_taken_back {
                    true => drop(tx),
                    false => tx.commit().expect("committed"),
                }
                others
            });
            found += told.len();
            if step % 10 == 0 {
                // Looking for what is shared counts as looking through all does.
                let own = kept.desk().traits_of(id, case).expect("read").shared;
                for other in (1..=30).filter(|other| *other != id) {
                    let counts = kept.run(|db| {
                        let through = counted_through(db, id, other)?;
                        Ok((looked_up(db, &own, other)?, through))
                    });
                    let (looked_up, through) = counts.expect("counted");
                    assert_eq!(looked_up, through, "step {step}: {id} and {other}");
                }
            }
            assert_eq!(told, told_anew, "step {step}");
            assert_eq!(noted(&kept), noted(&anew), "step {step}");
        }
        assert!(found >= 10, "{found}");
    }
}
