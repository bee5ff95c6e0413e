//! Opens and closes the intervals of records: the rows of `record` and `past_record`.

use std::collections::HashMap;

use crate::dns::{Rdata, Record};
use crate::store::door::{Db, Fault, IntoValue, Numbers, Table, Value, ValueRef, params};
use crate::store::error::StoreError;
use crate::store::ledger::open_row::OpenRow;
use crate::store::ledger::writing::{OwnerEdit, Writing};
use crate::store::sqlite::dialect::{IN_ORDER, rows_of};

/// Records that are there.
const RECORDS: Table = Table {
    name: "record",
    columns: &["owner_id", "rrtype", "rdata", "ttl", "added_id", "baseline"],
    on_conflict: "",
};
/// Records that were there.
const PAST_RECORDS: Table = Table {
    name: "past_record",
    columns: &[
        "bucket",
        "owner_id",
        "removed_id",
        "rrtype",
        "rdata",
        "ttl",
        "added_id",
        "baseline",
    ],
    on_conflict: "",
};
/// The key of a record that is there.
const RECORD_KEY: [&str; 3] = ["owner_id", "rrtype", "rdata"];
/// The key of a record that was there.
const PAST_KEY: [&str; 5] = ["bucket", "owner_id", "removed_id", "rrtype", "rdata"];

/// Which version added a record, and whether it was there before watching began.
type Origin = (i64, bool);

/// Records that this very version closed before, with their origins: they go on as they were when it opens them again.
type ClosedHere = HashMap<(i64, u16, Vec<u8>), Origin>;

/// Writes the intervals of records.
#[derive(Default)]
pub(in crate::store) struct Intervals {
    /// The TTL of the first record that the version brings: the zone's usual one, if it has none yet.
    pub first_ttl: Option<u32>,
}

/// Rows to be written, each as its table has it.
#[derive(Default)]
struct Rows<'e> {
    /// Keys of records that end.
    ended: Vec<(i64, u16, &'e Value)>,
    /// Records that were there: owner, type, data, TTL, origin.
    past: Vec<(i64, u16, &'e Value, Option<u32>, Origin)>,
    /// Keys of past records that go on.
    revived: Vec<(i64, u16, Value)>,
    /// Records that are there: owner, type, data, TTL, origin.
    opened: Vec<(i64, u16, Value, u32, Origin)>,
    /// Records with another TTL: it, owner, type, data.
    retimed: Vec<(u32, i64, u16, Value)>,
}

impl Intervals {
    /// Closes, opens and retimes the records of owners.
    pub fn note(&mut self, writing: &Writing<'_>, edits: &[OwnerEdit]) -> Result<(), StoreError> {
        let closed_here = if writing.is_more() {
            closed_by(writing, edits)?
        } else {
            ClosedHere::default()
        };
        let mut rows = Rows::default();
        for edit in edits {
            rows.close(writing, edit);
            for told in &edit.changes {
                for new in &told.change.added {
                    self.first_ttl.get_or_insert(new.ttl);
                    let value = writing.store.ledger().rdata_value(&new.rdata)?;
                    let origin = (writing.id, told.baseline);
                    rows.open(edit.id, new, value, origin, &closed_here);
                }
                for new in &told.change.retimed {
                    let value = writing.store.ledger().rdata_value(&new.rdata)?;
                    let code = new.rdata.rtype().code();
                    rows.retimed.push((new.ttl, edit.id, code, value));
                }
            }
        }
        writing.store.run(|db| rows.write(writing, db))
    }
}

impl<'e> Rows<'e> {
    /// Closes what an edit takes away. A record that this version itself opened was never there.
    fn close(&mut self, writing: &Writing<'_>, edit: &'e OwnerEdit) {
        if edit.removed().next().is_none() {
            return;
        }
        let by_rdata: HashMap<&Rdata, &OpenRow> = edit
            .rows
            .iter()
            .map(|row| (&row.record.rdata, row))
            .collect();
        for row in edit.removed().filter_map(|rr| by_rdata.get(&rr.rdata)) {
            let code = row.record.rdata.rtype().code();
            self.ended.push((edit.id, code, &row.value));
            if row.added_id != writing.id {
                let ttl = row.record.ttl;
                let ttl = (writing.zone.usual_ttl != Some(ttl)).then_some(ttl);
                let origin = (row.added_id, row.baseline);
                self.past.push((edit.id, code, &row.value, ttl, origin));
            }
        }
    }

    /// Opens a record. One that this version itself closed goes on as it was.
    fn open(
        &mut self,
        owner_id: i64,
        new: &Record,
        value: Value,
        origin: Origin,
        closed_here: &ClosedHere,
    ) {
        let code = new.rdata.rtype().code();
        let before = closed_here.get(&(owner_id, code, octets_of(&value)));
        if before.is_some() {
            self.revived.push((owner_id, code, value.clone()));
        }
        let origin = before.copied().unwrap_or(origin);
        self.opened.push((owner_id, code, value, new.ttl, origin));
    }

    /// Writes the rows. What ends goes first: the version may bring the same record again with another TTL.
    fn write(&self, writing: &Writing<'_>, db: &Db) -> Result<(), Fault> {
        let number = ValueRef::Integer;
        let bucket = number(writing.draft.observed_at.month_bucket());
        let (id, code) = (number(writing.id), |code: &u16| number((*code).into()));
        let mut values = Vec::new();
        for (owner, rrtype, value) in &self.ended {
            values.extend([number(*owner), code(rrtype), value.to_value()]);
        }
        db.delete_rows("record", &RECORD_KEY, &values)?;
        values.clear();
        for (owner, rrtype, value) in &self.revived {
            values.extend([bucket, number(*owner), id, code(rrtype), value.to_value()]);
        }
        db.delete_rows("past_record", &PAST_KEY, &values)?;
        values.clear();
        for (owner, rrtype, value, ttl, (added_id, baseline)) in &self.past {
            values.extend([bucket, number(*owner), id, code(rrtype), value.to_value()]);
            values.extend([ttl.to_value(), number(*added_id), baseline.to_value()]);
        }
        db.insert_rows(&PAST_RECORDS, &values)?;
        values.clear();
        for (owner, rrtype, value, ttl, (added_id, baseline)) in &self.opened {
            values.extend([
                number(*owner),
                code(rrtype),
                value.to_value(),
                ttl.to_value(),
            ]);
            values.extend([number(*added_id), baseline.to_value()]);
        }
        db.insert_rows(&RECORDS, &values)?;
        values.clear();
        for (ttl, owner, rrtype, value) in &self.retimed {
            values.extend([
                ttl.to_value(),
                number(*owner),
                code(rrtype),
                value.to_value(),
            ]);
        }
        db.update_rows("record", "ttl", &RECORD_KEY, &values)
    }
}

/// Returns which records of owners an earlier part of this version closed.
fn closed_by(writing: &Writing<'_>, edits: &[OwnerEdit]) -> Result<ClosedHere, StoreError> {
    let bucket = writing.draft.observed_at.month_bucket();
    let owners: Numbers = edits.iter().map(|edit| edit.id).collect();
    let rows = writing.store.run(|db| {
        let sql = format!(
            "select p.owner_id, p.rrtype, p.rdata, p.added_id, p.baseline
               from {list} w {IN_ORDER} past_record p
                    on p.bucket = ?1 and p.owner_id = w.value and p.removed_id = ?2",
            list = rows_of("?3")
        );
        db.query(&sql, params![bucket, writing.id, owners], |row| {
            let value: Value = row.get("rdata")?;
            let key = (row.get("owner_id")?, row.get("rrtype")?, octets_of(&value));
            Ok((key, (row.get("added_id")?, row.get("baseline")?)))
        })
    })?;
    Ok(rows.into_iter().collect())
}

/// Returns what tells the data of a record from that of another of its type.
fn octets_of(value: &Value) -> Vec<u8> {
    match value {
        Value::Integer(number) => number.to_be_bytes().to_vec(),
        Value::Octets(octets) => octets.clone(),
        Value::Null | Value::Real(_) | Value::Text(_) => Vec::new(),
    }
}
