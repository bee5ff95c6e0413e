//! Clocks that differ: what is said of a signature that is refused for its time.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Bench, both};
use crate::servers::{Bind, Knot};

/// The environment in which a program's wall clock is what a file says, and nothing else is.
pub fn faked(file: &Path) -> Vec<(&'static str, OsString)> {
    let found = in_a_folder_of("/usr/lib", "faketime/libfaketimeMT.so.1");
    let library = found.expect("tests/install-servers installs faketime");
    vec![
        ("LD_PRELOAD", library.into()),
        ("FAKETIME_TIMESTAMP_FILE", file.into()),
        ("FAKETIME_NO_CACHE", "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ("NO_FAKE_STAT", "1".into()),
    ]
}

/// Returns the file of that name in one of the folders of a folder.
fn in_a_folder_of(folder: &str, name: &str) -> Option<PathBuf> {
    let folders = fs::read_dir(folder).ok()?.flatten();
    let files = folders.map(|entry| entry.path().join(name));
    files.into_iter().find(|path| path.exists())
}

#[test]
fn clocks_that_differ_are_called_clocks() {
    let bench = Bench::new("");
    let zone = "example. 60 SOA ns.example. h.example. 1 60 60 60 60\nexample. 60 NS ns.test.\n";
    let knot = Knot::start(&bench.path().join("knot"), &[("example.", zone)]);
    let bind = Bind::start(&bench.path().join("bind"), &[("example.", zone)]);
    let key = bench.key_section();
    let offset = bench.write("offset", "+10m\n");
    for primary in [knot.address(), bind.address()] {
        let source = crate::transfers::source("example.", &[primary], true);
        bench.configure(&format!("{key}{source}"));
        let output = bench
            .command(&["poll"])
            .envs(faked(&offset))
            .output()
            .expect("started");
        assert_eq!(output.status.code(), Some(3), "{}", both(&output));
        let said = bench.status("example.")["last_error"].to_string();
        assert!(
            said.contains("clock") && said.contains("put right"),
            "{said}"
        );
    }
}
