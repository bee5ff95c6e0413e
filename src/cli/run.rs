//! `fluxwatch run`.

use std::path::Path;

use crate::cli::arguments::RunCommand;
use crate::cli::failure::{Done, Failure};
use crate::cli::session::{create_store, load_config, open_pipeline, runtime, take_lock};
use crate::config::Config;
use crate::daemon::{Stopped, serve};
use crate::pipeline::{Pipeline, check_parts};

/// Runs the command.
pub fn run(config: Option<&Path>, command: &RunCommand) -> Result<Done, Failure> {
    let config = load_config(config)?;
    let Some(_lock) = take_lock(&config, command.wait)? else {
        return Ok(Done::Well);
    };
    let store = create_store(&config)?;
    let mut pipeline = open_pipeline(config, store)?;
    let runtime = runtime()?;
    loop {
        let reload = || reload(&pipeline);
        match runtime.block_on(serve(&pipeline, &reload))? {
            Stopped::Ended => return Ok(Done::Well),
            Stopped::Reload(config) => pipeline.reconfigure(*config)?,
        }
    }
}

/// Reads the configuration anew; a sentence if it cannot be taken over.
fn reload(pipeline: &Pipeline) -> Result<Config, String> {
    let before = pipeline.config();
    let config = load_config(Some(&before.path)).map_err(|failure| failure.to_string())?;
    check_parts(&config).map_err(|fault| fault.to_string())?;
    let is_same_store =
        (&before.store_path, before.reverse_index) == (&config.store_path, config.reverse_index);
    if !is_same_store {
        return Err("[store] cannot change while the program runs".to_owned());
    }
    Ok(config)
}
