//! Writes how a zone came to its state: by the primary's own steps, or whole; and what drift that showed.

use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::ledger::draft::Comparison;
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
}

impl Way {
    /// Writes it into the zone's row. `name_count`: names that differed.
    pub fn write(&self, writing: &Writing<'_>, name_count: u64) -> Result<(), StoreError> {
        let id = writing.zone.id;
        writing.store.run(|db| {
            if self.is_step {
                let stepped = if self.breaks_cname { 2 } else { 1 };
                db.execute(
                    "update zone set stepped = ?2 where id = ?1 and stepped < ?2",
                    params![id, stepped],
                )?;
            }
            let Some(Comparison { at, primary }) = self.compared else {
                return Ok(());
            };
            db.execute(
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
                db.execute(sql, params![id, at, primary, names])?;
            }
            Ok(())
        })
    }
}
