//! `fluxwatch export --domain` and `fluxwatch verify-evidence`.

use std::io::Write;
use std::path::Path;

use crate::cli::arguments::VerifyEvidence;
use crate::cli::failure::{Done, Failure};
use crate::cli::output::stdout;
use crate::cli::session::{domain_of, load_config, open_for_lookups};
use crate::count::counted;
use crate::evidence::Bundle;
use crate::file;
use crate::time::{Clock, WallClock};

/// The most octets of a bundle that is checked.
const BUNDLE_OCTETS_MAX: u64 = 1 << 30;

/// Writes the bundle about a domain.
pub fn export(config: Option<&Path>, domain: &str, output: Option<&Path>) -> Result<Done, Failure> {
    let store = open_for_lookups(&load_config(config)?)?;
    let domain = domain_of(&store, domain)?;
    let bundle = store.lookup().bundle(&domain, WallClock.now())?;
    if bundle.zones.is_empty() {
        return Err(Failure::failed(format!(
            "no history of {}",
            domain.to_text_without_dot()
        )));
    }
    match output {
        Some(path) => {
            // Never over something that is there: it may be evidence.
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(path)
                .map_err(|error| Failure::file(path, &error))?;
            file.write_all(bundle.to_text().as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|error| {
                    // Half a bundle is no evidence, and would be in the way of the next try.
                    let _ = std::fs::remove_file(path);
                    Failure::file(path, &error)
                })?;
        }
        None => {
            let mut out = stdout();
            out.write_all(bundle.to_text().as_bytes())?;
            out.flush()?;
        }
    }
    Ok(Done::Well)
}

/// Checks a bundle. Needs no database and no configuration.
pub fn verify(command: &VerifyEvidence) -> Result<Done, Failure> {
    let path = &command.file;
    let failed = |what: String| Failure::failed(format!("{}: {what}", path.display()));
    let text =
        file::read_text(path, BUNDLE_OCTETS_MAX).map_err(|error| failed(error.to_string()))?;
    let (bundle, verified) =
        Bundle::verify_text(&text).map_err(|fault| failed(fault.to_string()))?;
    let mut out = stdout();
    writeln!(
        out,
        "holds: {}, {} in {}, {}",
        bundle.domain.strip_suffix('.').unwrap_or(&bundle.domain),
        counted(verified.changes, "change"),
        counted(verified.links, "version"),
        counted(verified.reports, "report")
    )?;
    writeln!(
        out,
        "newest hashes, to be compared with one that was mailed or logged:"
    )?;
    for (zone, view, hash) in &verified.newest {
        let view = if view == "zone" {
            String::new()
        } else {
            format!(" ({view})")
        };
        writeln!(out, "  {hash}  zone {zone}{view}")?;
    }
    out.flush()?;
    Ok(Done::Well)
}
