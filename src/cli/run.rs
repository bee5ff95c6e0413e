//! `fluxwatch run`.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use crate::cli::arguments::RunCommand;
use crate::cli::failure::{Done, Failure};
use crate::cli::session::{create_store, load_config, open_pipeline, runtime, take_lock};
use crate::config::Config;
use crate::daemon::{Signals, Stopped, serve};
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
    let mut signals = runtime.block_on(async { Signals::new() })?;
    loop {
        let reload = || reload(&pipeline);
        match runtime.block_on(serve(&pipeline, &mut signals, &reload))? {
            Stopped::Ended => return Ok(Done::Well),
            Stopped::Reload(config) => {
                // It was checked a moment ago; a file that went away since leaves the old one in place.
                if let Err(fault) = pipeline.reconfigure(*config) {
                    tracing::error!("configuration not taken, going on with the old one: {fault}");
                }
            }
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
    let held = listened(before);
    for address in listened(&config) {
        if !held.contains(&address) {
            TcpListener::bind(address)
                .map_err(|fault| format!("cannot listen on {address}: {fault}"))?;
        }
    }
    Ok(config)
}

/// Returns every address that a configuration listens on.
fn listened(config: &Config) -> Vec<SocketAddr> {
    let notify = config.notify.iter().flat_map(|notify| notify.listen.iter());
    let metrics = config
        .metrics
        .iter()
        .filter_map(|metrics| metrics.listen.as_ref());
    let web = config.web.iter().map(|web| &web.listen);
    notify.chain(metrics).chain(web).copied().collect()
}
