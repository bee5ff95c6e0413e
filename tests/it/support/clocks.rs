//! A wall clock that says what a test wants.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

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
pub fn in_a_folder_of(folder: &str, name: &str) -> Option<PathBuf> {
    let folders = fs::read_dir(folder).ok()?.flatten();
    let files = folders.map(|entry| entry.path().join(name));
    files.into_iter().find(|path| path.exists())
}
