//! Opens and closes the intervals of records: the rows of `record` and `past_record`.

use std::collections::HashMap;

use crate::dns::{Name, Rdata, Record};
use crate::store::door::{Db, Each, Fault, ROWS_A_STATEMENT, ValueRef, params};
use crate::store::error::StoreError;
use crate::store::ledger::open_row::{OpenRow, RawRow, read_row};
use crate::store::ledger::writing::VersionTx;
use crate::store::sqlite::dialect::OR_FAIL;
use crate::zone::OwnerChange;

impl VersionTx<'_> {
    /// Returns the row of an owner, made if it is not there, and its open records.
    pub(in crate::store) fn owner_rows(
        &self,
        owner: &Name,
    ) -> Result<(i64, Vec<OpenRow>), StoreError> {
        let apex = &self.zone.apex;
        let key = owner
            .relative_key(apex)
            .ok_or_else(|| self.store.damaged(format!("{owner} is not in zone {apex}")))?;
        let mut owner_id = None;
        let rows = self.store.run(|db| {
            let sql = "select r.rrtype, r.rdata, r.ttl, r.added_id, r.baseline, o.id
                         from owner o left join record r on r.owner_id = o.id
                        where o.zone_id = ? and o.name = ?";
            let mut statement = db.prepare(sql)?;
            let mut found = statement.rows(params![self.zone.id, key])?;
            let mut rows = Vec::new();
            while let Some(row) = found.next()? {
                owner_id = Some(row.get("id")?);
                if row.get::<Option<u16>>("rrtype")?.is_some() {
                    rows.push(read_row(&row)?);
                }
            }
            Ok(rows)
        })?;
        match owner_id {
            Some(owner_id) => Ok((owner_id, self.finish_rows(rows)?)),
            None => Ok((
                self.store.ledger().make_owner(self.zone.id, &key)?,
                Vec::new(),
            )),
        }
    }

    /// Reads the open records of an owner.
    pub(in crate::store) fn open_rows(&self, owner_id: i64) -> Result<Vec<OpenRow>, StoreError> {
        let rows = self.store.run(|db| {
            db.query(
                "select rrtype, rdata, ttl, added_id, baseline from record where owner_id = ?",
                [owner_id],
                read_row,
            )
        })?;
        self.finish_rows(rows)
    }

    /// Returns rows as records.
    fn finish_rows(&self, rows: Vec<RawRow>) -> Result<Vec<OpenRow>, StoreError> {
        let read = |(code, value, ttl, added_id, baseline): RawRow| {
            let rdata = self.store.ledger().read_rdata(code, &value)?;
            Ok(OpenRow {
                record: Record { rdata, ttl },
                value,
                added_id,
                baseline,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Closes and opens the intervals of one owner.
    pub(in crate::store) fn write_intervals(
        &mut self,
        owner_id: i64,
        rows: &[OpenRow],
        change: &OwnerChange,
        baseline: bool,
    ) -> Result<(), StoreError> {
        let by_rdata: HashMap<&Rdata, &OpenRow> =
            rows.iter().map(|row| (&row.record.rdata, row)).collect();
        for gone in &change.removed {
            if let Some(row) = by_rdata.get(&gone.rdata) {
                self.close(owner_id, row)?;
            }
        }
        for new in &change.added {
            self.first_ttl.get_or_insert(new.ttl);
            self.open(owner_id, new, baseline)?;
        }
        for retimed in &change.retimed {
            let value = self.store.ledger().rdata_value(&retimed.rdata)?;
            let code = retimed.rdata.rtype().code();
            self.store.run(|db| {
                db.execute(
                    "update record set ttl = ? where owner_id = ? and rrtype = ? and rdata = ?",
                    params![retimed.ttl, owner_id, code, value],
                )
            })?;
        }
        Ok(())
    }

    /// Closes the interval of one record. One that this version itself opened was never there.
    fn close(&self, owner_id: i64, row: &OpenRow) -> Result<(), StoreError> {
        let code = row.record.rdata.rtype().code();
        let ttl = (self.zone.usual_ttl != Some(row.record.ttl)).then_some(row.record.ttl);
        self.store.run(|db| {
            let sql = "delete from record where owner_id = ? and rrtype = ? and rdata = ?";
            db.execute(sql, params![owner_id, code, row.value])?;
            if row.added_id == self.id {
                return Ok(());
            }
            let sql = "insert into past_record (bucket, owner_id, removed_id, rrtype, rdata, ttl,
                                                added_id, baseline) values (?, ?, ?, ?, ?, ?, ?, ?)";
            db.execute(sql, params![self.draft.observed_at.month_bucket(), owner_id, self.id, code, row.value, ttl, row.added_id, row.baseline])
                .map(|_| ())
        })
    }

    /// Opens the interval of one record. One that this version itself closed goes on as it was.
    fn open(&self, owner_id: i64, new: &Record, baseline: bool) -> Result<(), StoreError> {
        let value = self.store.ledger().rdata_value(&new.rdata)?;
        let code = new.rdata.rtype().code();
        self.store.run(|db| {
            let mut origin = (self.id, baseline);
            if self.draft.joins.is_some() {
                let sql = "delete from past_record
                            where bucket = ? and owner_id = ? and removed_id = ? and rrtype = ?
                                  and rdata = ?
                           returning added_id, baseline";
                let closed = db.query_first(
                    sql,
                    params![
                        self.draft.observed_at.month_bucket(),
                        owner_id,
                        self.id,
                        code,
                        value
                    ],
                    |row| Ok((row.get("added_id")?, row.get("baseline")?)),
                )?;
                origin = closed.unwrap_or(origin);
            }
            let sql = "insert into record (owner_id, rrtype, rdata, ttl, added_id, baseline)
                       values (?, ?, ?, ?, ?, ?)";
            db.execute(
                sql,
                params![owner_id, code, value, new.ttl, origin.0, origin.1],
            )
            .map(|_| ())
        })
    }
}

/// Writes the records of a first version, many with a statement: owner, type, data, TTL.
///
/// What a statement costs by itself is more than a row does. A statement of several rows that could be
/// taken back alone would first copy every page that it is about to change; `or fail` says that it is
/// not, since a fault takes back the whole transaction.
pub(in crate::store) fn insert_first(
    db: &Db,
    version: i64,
    rows: &[(i64, u16, ValueRef<'_>, u32)],
) -> Result<(), Fault> {
    let sql = |count| {
        let values = vec!["(?1, 1, ?, ?, ?, ?)"; count].join(", ");
        format!(
            "insert {OR_FAIL} into record (added_id, baseline, owner_id, rrtype, rdata, ttl)
             values {values}"
        )
    };
    let full = sql(ROWS_A_STATEMENT);
    for chunk in rows.chunks(ROWS_A_STATEMENT) {
        let mut statement = match chunk.len() {
            ROWS_A_STATEMENT => db.prepare(&full)?,
            rest => db.prepare(&sql(rest))?,
        };
        let number = ValueRef::Integer;
        let values = chunk.iter().flat_map(|(owner, code, value, ttl)| {
            [
                number(*owner),
                number((*code).into()),
                *value,
                number((*ttl).into()),
            ]
        });
        statement.execute(Each([number(version)].into_iter().chain(values)))?;
    }
    Ok(())
}
