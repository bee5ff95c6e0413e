//! `fluxwatch run`.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use crate::cli::arguments::RunCommand;
use crate::cli::failure::{Done, Failure};
use crate::cli::session::{
    load_config, make_store_folder, open_to_poll, open_watching, runtime, try_lock,
};
use crate::config::{Config, ConfigError, Fault};
use crate::daemon::{Signals, serve, stand_by, start_with};
use crate::pipeline::{Setup, check_surroundings, examine_parts};
use crate::store::Store;

/// Runs the command.
pub fn run(config: Option<&Path>, command: &RunCommand) -> Result<Done, Failure> {
    let config = load_config(config)?;
    if let Err(fault) = make_store_folder(&config) {
        // Perhaps it is not mounted yet: what is tried again below says so.
        tracing::error!("{fault}");
    }
    // A signal ends the program at once as long as it only waits for the lock.
    let lock = || match config.store_url.file() {
        Some(_) => try_lock(&config, command.wait),
        None => stand_by(&config.store_url).map(Some),
    };
    let sleep = |time| {
        std::thread::sleep(time);
        false
    };
    let Some(Some(lock)) = start_with(lock, sleep)? else {
        return Ok(Done::Well);
    };
    let runtime = runtime()?;
    let mut signals = runtime.block_on(async { Signals::new() })?;
    let open = || open_to_poll(&config);
    let Some(store) = start_with(open, |time| signals.wait(&runtime, time))? else {
        return Ok(Done::Well);
    };
    warn_of(&config);
    let pipeline = open_watching(config, store)?;
    let served = serve(pipeline, &lock, &runtime, &mut signals, reload);
    // A worker that was cut off, or a name that is being looked up, must not keep the program.
    runtime.shutdown_background();
    Ok(served.map(|()| Done::Well)?)
}

/// Logs what is sound and hardly meant, and what the configuration names that is not there. None of it stops the
/// other sources.
fn warn_of(config: &Config) {
    let mut faults = check_surroundings(config);
    faults.extend(config.warnings.iter().cloned());
    faults.sort_by_key(|fault| fault.line);
    for fault in faults {
        tracing::warn!("{}", fault.in_one_line());
    }
}

/// Reads the configuration anew, with what it names; everything that is wrong if it cannot be taken over.
fn reload(before: &Config) -> Result<Setup, Vec<String>> {
    let unreadable = |fault: ConfigError| vec![fault.to_string()];
    let (config, mut faults) = Config::examine(&before.path).map_err(unreadable)?;
    let parts = examine_parts(&config, &mut faults);
    // A database that cannot be opened now holds the workers up, and they say so.
    if let (Some(parts), Ok(store)) = (&parts, Store::open_read_only(&before.store_url)) {
        faults.extend(parts.check_answers(&config, &store));
    }
    faults.sort_by_key(|fault| fault.line);
    let mut faults: Vec<String> = faults.iter().map(Fault::in_one_line).collect();
    if config.is_torn {
        return Err(faults);
    }
    let is_same_store =
        (&before.store_url, before.reverse_index) == (&config.store_url, config.reverse_index);
    if !is_same_store {
        faults.push("[store] cannot change while the program runs; start it anew".to_owned());
    }
    if config.written.source.is_empty() && !before.sources.is_empty() {
        let file = config.path.display();
        faults.push(format!("{file} has no [[source]] any more, as a file that is half written; stop the program to watch nothing"));
    }
    let held = listened(before);
    for address in listened(&config) {
        // What this program listens on cannot be bound once more, and need not be.
        if !held.contains(&address)
            && let Err(fault) = TcpListener::bind(address)
        {
            faults.push(format!("cannot listen on {address}: {fault}"));
        }
    }
    match parts {
        Some(parts) if faults.is_empty() => {
            warn_of(&config);
            Ok(Setup::with(Arc::new(config), parts))
        }
        _ => Err(faults),
    }
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
