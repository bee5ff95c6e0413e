//! Writes how a zone came to its state: by the primary's own steps, or whole; and what drift that showed.

use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::ledger::draft::{Comparison, ReadFile};
use crate::store::ledger::writing::Writing;

/// How a version came.
#[derive(Default)]
pub(in crate::store) struct Way {
    /// Whether the primary itself told the step from the version before to this one.
    pub is_step: bool,
    /// Whether an owner has from now on what cannot stand beside a CNAME (RFC 1034 §3.6.2).
    pub breaks_cname: bool,
    /// Set if it is a whole zone from a primary, with which the state is compared.
    pub compared: Option<Comparison>,
    /// Set if it is a zone file.
    pub file: Option<ReadFile>,
}

impl Way {
    /// Writes it into the zone's row, and what is noted of its file. `name_count`: names that differed; `is_news`: whether
    /// the version said anything new.
    pub fn write(
        &self,
        writing: &Writing<'_>,
        name_count: u64,
        is_news: bool,
    ) -> Result<(), StoreError> {
        if let Some(file) = &self.file {
            write_file(writing, file, is_news)?;
        }
        let id = writing.zone.id;
        writing.store.run(|db| {
            if self.is_step {
                let stepped = if self.breaks_cname { 2 } else { 1 };
                db.write(
                    "update zone set stepped = ?2 where id = ?1 and stepped < ?2",
                    params![id, stepped],
                )?;
            }
            let Some(Comparison { at, primary }) = self.compared else {
                return Ok(());
            };
            db.write(
                "update zone
                    set whole_at = ?2, whole_tried_at = null, stepped = 0
                  where id = ?1",
                params![id, at],
            )?;
            if writing.draft.drift && name_count > 0 {
                let sql = "update zone
                              set drift_at = ?2, drift_primary = ?3, drift_count = drift_count + 1,
                                  drift_name_count = drift_name_count + ?4
                            where id = ?1";
                let (primary, names) = (primary.to_string(), name_count as i64);
                db.write(sql, params![id, at, primary, names])?;
            }
            Ok(())
        })
    }
}

/// Notes by what a zone file is known again. What its version says of the source is there, if it says anything.
fn write_file(writing: &Writing<'_>, file: &ReadFile, is_news: bool) -> Result<(), StoreError> {
    let (zones, source) = (writing.store.zones(), writing.draft.source);
    zones.set_file_mark(source, &file.path, &file.mark)?;
    if let Some(ends_with_soa) = file.new_ending {
        zones.save_file_ending(source, writing.zone.id, ends_with_soa)?;
    }
    match is_news {
        true => Ok(()),
        false => zones.save_event_time(source, writing.draft.observed_at),
    }
}
