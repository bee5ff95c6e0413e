//! The tables that are in use: what is logged and kept of them.

use crate::pipeline::error::PipelineError;
use crate::pipeline::judge::waiting::judging_waits;
use crate::pipeline::parts::{TableInUse, WAITS_KEY, made_key, rows_key, table_warnings};
use crate::pipeline::troubles::Troubles;
use crate::pipeline::upkeep::Upkeep;
use crate::pipeline::upkeep::metrics::{metrics_page, write_textfile};

impl Upkeep<'_> {
    /// Replaces the file of metrics, if one is configured. A file that cannot be written is told and
    /// does not stop the program. `troubles` are those of the service, if this is one.
    pub fn write_metrics(&self, troubles: &Troubles) -> Result<(), PipelineError> {
        let Some(metrics) = &self.config.metrics else {
            return Ok(());
        };
        let Some(path) = &metrics.textfile else {
            return Ok(());
        };
        let canary = self.config.canary.as_ref();
        let mut page = metrics_page(self.store, canary, self.clock.now(), metrics.zones_max)?;
        page.push_str(&troubles.metrics(self.clock.now()));
        if let Err(error) = write_textfile(path, &page) {
            tracing::error!(path = %path.display(), "metrics were not written to {}: {error}", path.display());
        }
        Ok(())
    }

    /// Logs the tables that are in use, and keeps what `status` says of them. For the poller alone.
    pub fn record_tables(&self) -> Result<(), PipelineError> {
        let tables = self.parts.tables(self.config);
        for table in &tables {
            let TableInUse { key, path, summary } = table;
            let (path, rows, unit) = (path.display(), summary.rows, summary.unit);
            let date = summary
                .made_at
                .map_or(String::new(), |at| format!(", of {}", at.to_date()));
            tracing::info!(key, rows, "table {key}: {path}: {rows} {unit}{date}");
            for note in &summary.notes {
                tracing::warn!(key, "table {key}: {note}");
            }
            self.record_number_once(&rows_key(key), summary.rows as i64)?;
            if let Some(at) = summary.made_at {
                self.record_number_once(&made_key(key), at.unix())?;
            }
        }
        for fault in table_warnings(self.config, &tables, self.clock.now()) {
            tracing::warn!(key = "enrich.asn", "{}", fault.in_one_line());
        }
        let count = self.parts.waiting_for.len() as i64;
        if count > 0 || judging_waits(self.store)? {
            self.record_number_once(WAITS_KEY, count)
        } else {
            Ok(())
        }
    }

    /// Keeps a number under a name, unless it is kept already: a pass that finds nothing new writes nothing.
    pub(in crate::pipeline) fn record_number_once(
        &self,
        name: &str,
        value: i64,
    ) -> Result<(), PipelineError> {
        if self.store.desk().saved_number(name)? != Some(value) {
            self.store.desk().save_number(name, value)?;
        }
        Ok(())
    }
}
