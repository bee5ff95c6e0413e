//! `fluxwatch run`.

use std::io::Write;
use std::path::Path;

use crate::cli::arguments::RunCommand;
use crate::cli::failure::{Done, Failure};
use crate::cli::session::{create_store, load_config, make_store_folder, open_pipeline, runtime};
use crate::daemon::serve;
use crate::store::PollerLock;

/// Runs the command.
pub fn run(config: Option<&Path>, command: &RunCommand) -> Result<Done, Failure> {
    let config = load_config(config)?;
    make_store_folder(&config)?;
    let Some(_lock) = PollerLock::take(&config.store_path, command.wait)? else {
        writeln!(
            std::io::stderr(),
            "another fluxwatch polls into {}; nothing to do (--wait waits for it)",
            config.store_path.display()
        )?;
        return Ok(Done::Well);
    };
    let store = create_store(&config)?;
    let pipeline = open_pipeline(config, store)?;
    runtime()?.block_on(serve(&pipeline))?;
    Ok(Done::Well)
}
