//! `fluxwatch run`.

use std::path::Path;

use crate::cli::arguments::RunCommand;
use crate::cli::failure::{Done, Failure};
use crate::cli::session::{create_store, load_config, open_pipeline, runtime, take_lock};
use crate::daemon::serve;

/// Runs the command.
pub fn run(config: Option<&Path>, command: &RunCommand) -> Result<Done, Failure> {
    let config = load_config(config)?;
    let Some(_lock) = take_lock(&config, command.wait)? else {
        return Ok(Done::Well);
    };
    let store = create_store(&config)?;
    let pipeline = open_pipeline(config, store)?;
    runtime()?.block_on(serve(&pipeline))?;
    Ok(Done::Well)
}
