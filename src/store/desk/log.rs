//! What people did, in the order of time: steps with cases, which stand in the logs of those, and steps that are of no
//! single case.

use crate::case::CaseState;
use crate::store::desk::Desk;
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// Something that a person did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskLine {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// The case; `None` for what is of no single one.
    pub case_id: Option<i64>,
    /// The states of the case before and after; `None` without a case.
    pub states: Option<(Option<CaseState>, CaseState)>,
    /// What.
    pub note: String,
}

impl Desk<'_> {
    /// Notes what a person did that is of no single case.
    pub fn append_desk_event(
        &self,
        at: Timestamp,
        actor: &str,
        note: &str,
    ) -> Result<(), StoreError> {
        let sql = "insert into desk_event (at, actor, note) values (?, ?, ?)";
        self.store
            .run(|db| db.execute(sql, params![at, actor, note]))
            .map(|_| ())
    }

    /// Returns what people did since a time, oldest first; of more than so many lines the newest.
    pub fn people_did(&self, since: Timestamp, count: usize) -> Result<Vec<DeskLine>, StoreError> {
        type Raw = (
            i64,
            String,
            Option<i64>,
            Option<String>,
            Option<String>,
            String,
        );
        let rows: Vec<Raw> = self.store.run(|db| {
            // Answered from case_event_by_time and desk_event_by_time.
            let sql = "select at, actor, case_id, from_state, to_state, note, id
                         from case_event
                        where at >= ?1 and actor <> 'fluxwatch'
                       union all
                       select at, actor, null, null, null, note, id
                         from desk_event
                        where at >= ?1
                        order by at desc, id desc
                        limit ?2";
            db.query(sql, params![since, count as i64], |row| {
                Ok((
                    row.get("at")?,
                    row.get("actor")?,
                    row.get("case_id")?,
                    row.get("from_state")?,
                    row.get("to_state")?,
                    row.get("note")?,
                ))
            })
        })?;
        let state = |word: String| {
            let fault = || self.store.damaged(format!("case state {word:?}"));
            CaseState::parse(&word).ok_or_else(fault)
        };
        let read = |(at, actor, case_id, from, to, note): Raw| {
            let from = from.map(state).transpose()?;
            Ok(DeskLine {
                at: Timestamp::from_unix(at),
                actor,
                case_id,
                states: to.map(state).transpose()?.map(|to| (from, to)),
                note,
            })
        };
        rows.into_iter().rev().map(read).collect()
    }
}
