//! Databases and files are known by what they are, not by how their paths are written.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use fluxwatch::store::{PollerLock, Store, StoreError, StoreOptions, foreign_file};
use fluxwatch::time::Timestamp;

use crate::harness::{Bench, both};
use crate::support::stores::has_no_file;

/// Makes the database as a poller does.
const CREATE: StoreOptions = StoreOptions {
    reverse_index: true,
    create: true,
};

/// Returns a source that takes the zone files of a pattern.
fn zone_files(pattern: &str) -> String {
    format!(
        "[[source]]\nname = \"files\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"{pattern}\"\ntime_pattern = \"%Y-%m-%d.zone\"\n"
    )
}

/// Writes three zone files, a day apart.
fn write_zones(bench: &Bench) {
    for day in 1..=3 {
        let soa = "example. 60 IN SOA ns.example. mail.example. 1 60 60 60 60";
        let text =
            format!("{soa}\nexample. 60 IN NS ns.example.\nns.example. 60 IN A 192.0.2.{day}\n");
        bench.write(&format!("zones/2026-11-0{day}.zone"), text);
    }
}

/// Counts the addresses that the zone's name server has had: one for each file.
fn versions(bench: &Bench) -> usize {
    let history = bench.json(&["history", "ns.example.", "--type", "A", "--format", "json"]);
    history["records"].as_array().expect("a list").len()
}

#[test]
fn second_poller_is_kept_out_behind_a_link_and_without_a_lock_file() {
    if has_no_file() {
        return;
    }
    let bench = Bench::new("");
    write_zones(&bench);
    let path = bench.path().join("fluxwatch.db");
    let held = PollerLock::take(&path, false).expect("looked");
    assert!(held.is_some());
    let _ = fs::remove_file(bench.path().join("fluxwatch.db.lock"));
    symlink("fluxwatch.db", bench.path().join("link.db")).expect("linked");
    symlink(bench.path(), bench.path().join("folder")).expect("linked");
    for named in ["link.db", "folder/fluxwatch.db", "./zones/../fluxwatch.db"] {
        let sources = zone_files("zones/*.zone");
        bench.write(
            "fluxwatch.toml",
            format!("[store]\npath = \"{named}\"\n{sources}"),
        );
        let said = bench.run_stderr(0, &["poll"]);
        assert!(said.contains("another fluxwatch polls"), "{named}: {said}");
    }
}

#[test]
fn database_behind_a_link_has_its_log_beside_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("far")).expect("made");
    let (real, link) = (folder.path().join("far/a.db"), folder.path().join("a.db"));
    Store::open(&real, CREATE).expect("made");
    symlink(&real, &link).expect("linked");
    let store = Store::open(&link, CREATE).expect("opened");
    note(&store).expect("written");
    assert!(
        store.upkeep().wal_octets() > 0,
        "the log is looked for beside the link"
    );
}

/// Writes something in a transaction of its own.
fn note(store: &Store) -> Result<(), StoreError> {
    let tx = store.begin_batch()?;
    store
        .zones()
        .ensure_source("feed", fluxwatch::store::SourceKind::Feed)?;
    tx.commit()
}

#[test]
fn nothing_is_written_into_a_database_that_is_gone_until_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, away) = (folder.path().join("a.db"), folder.path().join("away.db"));
    let store = Store::open(&path, CREATE).expect("made");
    note(&store).expect("there");
    fs::rename(&path, &away).expect("moved");
    assert!(matches!(store.is_still_there(), Err(StoreError::Gone(_))));
    assert!(matches!(note(&store), Err(StoreError::Gone(_))));
    fs::write(&path, "").expect("written");
    assert!(matches!(note(&store), Err(StoreError::Replaced(_))));
    fs::rename(&away, &path).expect("moved");
    note(&store).expect("there again");
}

#[test]
fn transaction_is_rolled_back_when_the_database_goes_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, away) = (folder.path().join("a.db"), folder.path().join("away.db"));
    let store = Store::open(&path, CREATE).expect("made");
    let tx = store.begin_batch().expect("there");
    store
        .zones()
        .ensure_source("feed", fluxwatch::store::SourceKind::Feed)
        .expect("written");
    fs::rename(&path, &away).expect("moved");
    assert!(matches!(tx.commit(), Err(StoreError::Gone(_))));
    fs::rename(&away, &path).expect("moved");
    assert_eq!(store.zones().source_kind("feed").expect("read"), None);
}

/// Counts the locks that this process has on a file, as SQLite takes them.
fn locks_on(path: &Path) -> usize {
    let inode = path.metadata().expect("there").ino();
    let (process, inode) = (format!(" {} ", std::process::id()), format!(":{inode} "));
    let locks = fs::read_to_string("/proc/locks").expect("Linux has it");
    let locks = locks.lines().filter(|it| it.contains("POSIX"));
    locks
        .filter(|it| it.contains(&process) && it.contains(&inode))
        .count()
}

#[test]
fn neither_the_lock_nor_a_look_at_the_header_drops_the_locks_of_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.db");
    let held = PollerLock::take(&path, false)
        .expect("looked")
        .expect("free");
    let store = Store::open(&path, CREATE).expect("made");
    note(&store).expect("written");
    let before = locks_on(&path);
    assert!(before > 0, "SQLite holds a lock while the database is open");
    assert_eq!(foreign_file(&path), None);
    drop(held);
    assert_eq!(locks_on(&path), before);
}

#[test]
fn database_with_a_second_name_is_refused_with_the_cure() {
    if has_no_file() {
        return;
    }
    let bench = Bench::new(&zone_files("zones/*.zone"));
    write_zones(&bench);
    bench.run(0, &["poll"]);
    let second = bench.path().join("second.db");
    fs::hard_link(bench.path().join("fluxwatch.db"), &second).expect("linked");
    let said = bench.run_stderr(4, &["poll"]);
    assert!(said.contains("remove the other name"), "{said}");
    fs::remove_file(second).expect("removed");
    bench.run(0, &["poll"]);
}

#[test]
fn recount_makes_no_database() {
    if has_no_file() {
        return;
    }
    let bench = Bench::new("");
    let said = bench.run_stderr(1, &["db", "recount"]);
    assert!(said.contains("no database at"), "{said}");
    assert!(!bench.path().join("fluxwatch.db").exists());
}

/// Polls the files under a pattern, with the configuration of the folder named as it is written here.
fn poll_as(bench: &Bench, config: &Path, pattern: &str) {
    bench.configure(&zone_files(pattern));
    let mut poll = Command::new(env!("CARGO_BIN_EXE_fluxwatch"));
    poll.arg("--config").arg(config).arg("poll");
    let output = poll.current_dir(bench.path()).output().expect("started");
    let status = output.status.code();
    assert_eq!(status, Some(0), "{pattern}: {}", both(&output));
}

#[test]
fn zone_files_are_known_under_every_spelling_of_their_path() {
    let bench = Bench::new("");
    write_zones(&bench);
    let there = bench.path().to_owned();
    symlink(there.join("zones"), there.join("linked")).expect("linked");
    let (absolute, relative) = (bench.config(), Path::new("fluxwatch.toml"));
    poll_as(&bench, relative, "zones/*.zone");
    assert_eq!(versions(&bench), 3);
    for (config, pattern) in [
        (&*absolute, "zones/*.zone"),
        (relative, "./zones/../zones/*.zone"),
        (relative, "linked/*.zone"),
        (relative, "zones/*.zone"),
    ] {
        poll_as(&bench, config, pattern);
        assert_eq!(versions(&bench), 3, "{pattern}");
    }
}

#[test]
fn marks_that_an_older_version_kept_by_their_spelling_are_found() {
    if has_no_file() {
        return;
    }
    let bench = Bench::new(&zone_files("zones/*.zone"));
    write_zones(&bench);
    bench.run(0, &["poll"]);
    let path = bench.path().join("fluxwatch.db");
    let store = Store::open(&path, CREATE).expect("opened");
    let source = store
        .zones()
        .ensure_source("files", fluxwatch::store::SourceKind::Zonefile)
        .expect("there");
    for (real, _) in store.zones().file_marks(source).expect("read") {
        let name = real.file_name().expect("a file");
        let spelled = Path::new("s/zones").join(name);
        store
            .zones()
            .move_file_mark(source, &real, &spelled)
            .expect("moved");
    }
    drop(store);
    bench.run(0, &["poll"]);
    let store = Store::open(&path, CREATE).expect("opened");
    let marks = store.zones().file_marks(source).expect("read");
    assert_eq!(marks.len(), 3);
    assert!(
        marks.iter().all(|(path, _)| path.is_absolute()),
        "{marks:?}"
    );
}

#[test]
fn files_whose_names_are_no_utf_8_are_read_once() {
    let bench = Bench::new("");
    write_zones(&bench);
    let mut files = Vec::new();
    for day in 1..=2_u64 {
        let file = bench
            .path()
            .join(OsStr::from_bytes(&[0xf6, b'0' + day as u8]));
        fs::copy(
            bench.path().join(format!("zones/2026-11-0{day}.zone")),
            &file,
        )
        .expect("copied");
        let time =
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_790_000_000 + day * 86_400);
        let opened = fs::File::options().append(true).open(&file);
        opened.and_then(|it| it.set_modified(time)).expect("dated");
        files.push(file);
    }
    for _ in 0..2 {
        let mut import = Command::new(env!("CARGO_BIN_EXE_fluxwatch"));
        import.arg("--config").arg(bench.config());
        import.args(["import", "zonefile", "--zone", "example."]);
        // The older one is refused if it is taken for one that nobody has read.
        let done = import.args(&files).output().expect("run");
        assert!(done.status.success(), "{done:?}");
    }
    assert_eq!(versions(&bench), 2);
}

#[test]
fn link_that_leads_to_another_file_each_day_is_one_file() {
    if has_no_file() {
        return;
    }
    let bench = Bench::new(
        "[[source]]\nname = \"files\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"latest.zone\"\n",
    );
    write_zones(&bench);
    let latest = bench.path().join("latest.zone");
    for day in 1..=3 {
        let _ = fs::remove_file(&latest);
        let file = bench.path().join(format!("zones/2026-11-0{day}.zone"));
        let at =
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_793_000_000 + day * 86_400);
        let file_times = fs::FileTimes::new().set_modified(at);
        fs::File::options()
            .write(true)
            .open(&file)
            .and_then(|it| it.set_times(file_times))
            .expect("dated");
        symlink(&file, &latest).expect("linked");
        bench.run(0, &["poll"]);
        assert_eq!(versions(&bench), usize::try_from(day).expect("small"));
    }
    let store = Store::open(bench.path().join("fluxwatch.db"), CREATE).expect("opened");
    let zone = fluxwatch::dns::Name::parse("example.").expect("a name");
    let newest = store
        .zones()
        .find_zone(&zone)
        .expect("read")
        .expect("there")
        .version_at;
    assert_eq!(
        newest,
        Some(Timestamp::from_unix(1_793_000_000 + 3 * 86_400))
    );
}
