//! What most commands begin with: the configuration, the store, the pipeline.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::failure::Failure;
use crate::cli::log;
use crate::config::{Config, ConfigError};
use crate::desk::filter::domain_of_reference;
use crate::dns::Name;
use crate::file;
use crate::pipeline::{Pipeline, examine_parts};
use crate::place::StoreUrl;
use crate::store::{PollerLock, Store, StoreError, StoreOptions};
use crate::time::WallClock;

/// Where the configuration is looked for, after `--config` and `$FLUXWATCH_CONFIG`.
const PLACES: [&str; 2] = ["./fluxwatch.toml", "/etc/fluxwatch/fluxwatch.toml"];

/// Nothing is made, and the reverse index is left as it is.
const LOOKING: StoreOptions = StoreOptions {
    reverse_index: true,
    create: false,
};

/// The name that the log has for the program.
const FLUXWATCH: &str = "fluxwatch";

/// Finds the configuration.
pub fn find_config(path: Option<&Path>) -> Result<PathBuf, Failure> {
    let named = std::env::var_os("FLUXWATCH_CONFIG").map(PathBuf::from);
    if let Some(path) = path.map(Path::to_owned).or(named) {
        return Ok(path);
    }
    let mut places = PLACES.iter().map(PathBuf::from);
    // One that this user may not look at is there all the same, and says so when it is read.
    let is_there = |path: &PathBuf| path.try_exists().unwrap_or(true);
    places.find(is_there).ok_or_else(|| {
        let [here, usual] = PLACES;
        Failure::usage(format!("no configuration: neither {here} nor {usual} is there")).hint(
            "name one with --config or $FLUXWATCH_CONFIG; `fluxwatch config template` prints a start",
        )
    })
}

/// Finds and loads the configuration. Where it has a fault, what it names is looked at too, so that
/// everything that is wrong is told at once.
pub fn load_config(path: Option<&Path>) -> Result<Config, Failure> {
    let (config, mut faults) = Config::examine(&find_config(path)?)?;
    log::use_format(config.written.log.format);
    if faults.is_empty() {
        return Ok(config);
    }
    examine_parts(&config, &mut faults);
    faults.sort_by_key(|fault| fault.line);
    Err(ConfigError::Faults(faults).into())
}

/// Opens the database for a command that looks, or decides for the desk.
pub fn open_store(config: &Config) -> Result<Store, Failure> {
    let store = Store::open(&config.store_url, LOOKING)?;
    store.upkeep().limit_log(config.wal_bytes_max);
    Ok(store)
}

/// Opens the database to look things up, without a writer's start and end; migrates it if that has to be
/// first and this user may.
pub fn open_to_look(config: &Config) -> Result<Store, Failure> {
    let store = match Store::open_read_only(&config.store_url) {
        Err(older @ StoreError::Older { .. }) => match Store::open(&config.store_url, LOOKING) {
            // Who may not migrate is told that the database is older, which is the reason, not that it cannot be
            // written.
            Err(StoreError::Access { .. }) => return Err(older.into()),
            opened => opened?,
        },
        opened => opened?,
    };
    store.upkeep().limit_log(config.wal_bytes_max);
    Ok(store)
}

/// Opens the database to look up history: at `store.read_url`, where that is set and can be used.
pub fn open_for_lookups(config: &Config) -> Result<Store, Failure> {
    if config.read_url.is_none() {
        return open_to_look(config);
    }
    let (store, note) = match Store::open_for_lookups(config.read_url.as_ref(), &config.store_url) {
        // Both are older, and only the one that is written can be migrated.
        Err(StoreError::Older { .. }) => return open_to_look(config),
        opened => opened?,
    };
    if let Some(note) = note {
        let _ = writeln!(std::io::stderr(), "note: {note}");
    }
    Ok(store)
}

/// Makes the folder that the database and its lock lie in.
pub fn make_store_folder(config: &Config) -> Result<(), Failure> {
    match config.store_url.beside().parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.exists() => {
            file::make_folders(folder, 0o777).map_err(|error| {
                Failure::local(format!("{}: {error}", folder.display())).hint(file::cure(&error))
            })
        }
        _ => Ok(()),
    }
}

/// Takes the lock of the one poller, before the database is opened. Says so if another has it.
pub fn take_lock(config: &Config, wait: bool) -> Result<Option<PollerLock>, Failure> {
    make_store_folder(config)?;
    Ok(try_lock(config, wait)?)
}

/// [`take_lock`] where the database's folder is there.
pub fn try_lock(config: &Config, wait: bool) -> Result<Option<PollerLock>, StoreError> {
    let lock = PollerLock::take(&config.store_url, wait)?;
    if lock.is_none() {
        let at = &config.store_url;
        let _ = writeln!(
            std::io::stderr(),
            "another fluxwatch{} polls into {at}, so this one ends (--wait waits for it). A service polls by itself: `fluxwatch status` says when it did, and SIGHUP lets it read a changed configuration",
            PollerLock::holder(at).map_or(String::new(), |it| format!(" ({it})"))
        );
    }
    Ok(lock)
}

/// Opens or makes the database for a command that polls.
pub fn create_store(config: &Config) -> Result<Store, Failure> {
    Ok(open_to_poll(config)?)
}

/// [`create_store`], with the fault as it is.
pub fn open_to_poll(config: &Config) -> Result<Store, StoreError> {
    let options = StoreOptions {
        reverse_index: config.reverse_index,
        create: true,
    };
    let store = Store::open(&config.store_url, options)?;
    store.upkeep().limit_log(config.wal_bytes_max);
    Ok(store)
}

/// Makes the pipeline with the machine's clock.
pub fn open_pipeline(config: Config, store: Store) -> Result<Pipeline, Failure> {
    Ok(Pipeline::new(store, Arc::new(config), Arc::new(WallClock))?)
}

/// Makes the pipeline of a poller with the machine's clock: a table that cannot be used stops judging alone.
pub fn open_watching(config: Config, store: Store) -> Result<Pipeline, Failure> {
    Ok(Pipeline::to_watch(
        store,
        Arc::new(config),
        Arc::new(WallClock),
    )?)
}

/// Makes the pipeline of a command by which somebody at the desk decides, with the machine's clock. Mail leaves while a table
/// cannot be used, so that what waits must be taken back then too: it is said, and no more.
pub fn open_deciding(config: Config, store: Store) -> Result<Pipeline, Failure> {
    let pipeline = open_watching(config, store)?;
    for fault in pipeline.waiting_for() {
        let sentence = format!(
            "note: whom an exemption covers by a table that cannot be used is not known: {}",
            fault.in_one_line()
        );
        writeln!(std::io::stderr(), "{sentence}")?;
    }
    Ok(pipeline)
}

/// A pipeline over a copy of the database, or over a transaction of a server, which is gone when this is dropped.
pub struct DryRun {
    /// Works on that; the mailer is never asked.
    pub pipeline: Pipeline,
    // Behind the pipeline: fields are dropped in order, and the pipeline has files in it open.
    _folder: tempfile::TempDir,
}

/// Makes a pipeline over a copy of the database, or over an empty one.
pub fn open_dry_run(mut config: Config) -> Result<DryRun, Failure> {
    let folder =
        tempfile::tempdir().map_err(|error| Failure::file(&std::env::temp_dir(), &error))?;
    let copy = folder.path().join("dry-run.db");
    let store = match &config.store_url {
        StoreUrl::Server(server) => {
            // Its digests are of a state that will never have been.
            let server = (**server).clone().with_cache(copy);
            config.store_url = StoreUrl::Server(Arc::new(server));
            let store = create_store(&config)?;
            store.begin_trial()?;
            store
        }
        StoreUrl::File(path) => {
            if path.exists() {
                Store::copy(path, &copy)?;
            }
            config.store_url = copy.into();
            create_store(&config)?
        }
    };
    Ok(DryRun {
        pipeline: open_watching(config, store)?,
        _folder: folder,
    })
}

/// Parses a name that was typed or pasted.
pub fn parse_name(text: &str) -> Result<Name, Failure> {
    Name::parse_pasted(text).map_err(|fault| Failure::not_a_name(text, &fault))
}

/// Returns the domain that was typed or pasted, or that of a case by its reference (FW-000002).
pub fn domain_of(store: &Store, text: &str) -> Result<Name, Failure> {
    match domain_of_reference(store, text)? {
        Some(domain) => Ok(domain),
        None => parse_name(text),
    }
}

/// Parses a name that was typed or pasted, perhaps with `*.` before it. Returns whether that was there.
pub fn parse_names(text: &str) -> Result<(bool, Name), Failure> {
    Name::parse_wild(text).map_err(|fault| Failure::not_a_name(text, &fault))
}

/// Makes the runtime.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::local(format!("no threads can be started: {error}")))
}

/// Returns who does something: `--by`, else the user behind sudo, else the user. A name that is given is one of the
/// users of the console, where the configuration has any; of one that is not given and is none, a note is written: on
/// the console the same person has another name.
pub fn actor(by: Option<&str>, config: &Config) -> Result<String, Failure> {
    let who = known_actor(by, config)?.ok_or_else(|| {
        Failure::usage("fluxwatch cannot tell who you are").hint("pass --by NAME; the log keeps it")
    })?;
    if by.is_none() {
        tell_of_login(&who, config, "`--by NAME` tells the log who you are there");
    }
    Ok(who)
}

/// Returns the user whose own cases are asked for: the one behind sudo, else the user.
pub fn login(config: &Config) -> Result<String, Failure> {
    let who = known_actor(None, config)?.ok_or_else(|| {
        Failure::usage("fluxwatch cannot tell who you are").hint("pass --assignee NAME")
    })?;
    tell_of_login(&who, config, "`--assignee NAME` lists what is yours");
    Ok(who)
}

/// Says that a login is none of the users of the console, if it has some.
fn tell_of_login(who: &str, config: &Config, cure: &str) {
    if let Some(path) = not_a_user(who, config) {
        let _ = writeln!(
            std::io::stderr(),
            "note: fluxwatch takes you for {who}, your login, who is no user of {}; {cure}",
            path.display()
        );
    }
}

/// [`actor`], if there is one to be known of: of a job that a timer starts there may be none.
pub fn known_actor(by: Option<&str>, config: &Config) -> Result<Option<String>, Failure> {
    if let Some(name) = by {
        check_user(name.trim(), config)?;
    }
    let variable = |name| std::env::var(name).ok();
    let who = by
        .map(str::to_owned)
        .or_else(|| variable("SUDO_USER"))
        .or_else(|| variable("USER"))
        .or_else(|| variable("LOGNAME"));
    let who = who.map(|who| who.trim().to_owned());
    Ok(who.filter(|who| !who.is_empty()))
}

/// Refuses a name that is not one of the users of the console: a typing error would stand in the log for ever. People
/// whom a proxy vouches for are in no file, so that with one any name is taken.
fn check_user(name: &str, config: &Config) -> Result<(), Failure> {
    if name == FLUXWATCH {
        let what = "--by: the log has fluxwatch where the program itself does something";
        return Err(Failure::usage(what).hint("pass your own name"));
    }
    let is_placeholder = ["YOU", "NAME"].contains(&name);
    if is_placeholder || (!name.is_empty() && !name.chars().any(char::is_alphanumeric)) {
        let what = format!("--by: {name:?} stands for a name in an example");
        return Err(Failure::usage(what).hint("pass your own name; the log keeps it"));
    }
    let Some(path) = not_a_user(name, config) else {
        return Ok(());
    };
    let what = format!("--by: {name:?} is no user of {}", path.display());
    Err(Failure::usage(what).hint("`fluxwatch users list` lists them"))
}

/// Returns the file of the console's users if a name is in no line of it; `None` where there are no such users.
fn not_a_user<'a>(name: &str, config: &'a Config) -> Option<&'a Path> {
    let web = config.web.as_ref().filter(|web| web.proxy.is_none())?;
    let is_told_apart = !name.is_empty() && !web.users.is_empty();
    let is_unknown = is_told_apart && web.users.find(name).is_none();
    is_unknown.then(|| web.users_path.as_deref().unwrap_or(Path::new("users_file")))
}
