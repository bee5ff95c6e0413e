//! Opens the files that a configuration, a zone file or a command line names, and makes those that fluxwatch writes.
//!
//! What root makes belongs to the owner of the folder that it is made in, for the service runs as that user.
//!
//! Whoever names a pipe, a device, a socket or a folder by mistake gets a sentence at once: a pipe without
//! a writer is waited for without end, and a device may have none. Symbolic links are followed.

mod service;

pub use service::{ServiceUser, Use};

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use rustix::fs::{Access, OFlags, access};

/// Opens a file to read it.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] with a sentence for what is no regular file; or if it cannot be opened.
pub fn open(path: &Path) -> io::Result<File> {
    // Before it is opened, which alone makes some devices do something.
    require_file(&fs::metadata(path)?)?;
    // A pipe that took the file's place meanwhile is not waited for.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    require_file(&file.metadata()?)?;
    Ok(file)
}

/// Reads a whole file of at most `octets_max` octets.
///
/// # Errors
///
/// As [`open`]; [`io::ErrorKind::FileTooLarge`] for a longer one.
pub fn read(path: &Path, octets_max: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let read = open(path)?.take(octets_max + 1).read_to_end(&mut octets)?;
    if read as u64 > octets_max {
        Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("more than {octets_max} octets"),
        ))
    } else {
        Ok(octets)
    }
}

/// Reads a whole file of at most `octets_max` octets of UTF-8.
///
/// # Errors
///
/// As [`read`]; [`io::ErrorKind::InvalidData`] for what is no UTF-8.
pub fn read_text(path: &Path, octets_max: u64) -> io::Result<String> {
    let octets = read(path, octets_max)?;
    String::from_utf8(octets)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the text is not UTF-8"))
}

/// Gives a file or folder that root has just made at `path` to the owner of the folder that it lies in: the service runs
/// as that user, and could not use it. Nothing happens where another user made it. Never what was there before: the path
/// could lead to anything.
pub fn give_to_owner_of_folder(made: &File, path: &Path) {
    let owner = folder_of(path).metadata();
    if let (Ok(folder), Ok(file)) = (owner, made.metadata())
        && folder.uid() != file.uid()
    {
        let _ = fchown(made, Some(folder.uid()), Some(folder.gid()));
    }
}

/// Makes a file that is not there, with a mode. It belongs to the owner of its folder.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`] if it is there, be it a link that leads nowhere; or if it cannot be made.
pub fn make(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let made = options.create_new(true).write(true).mode(mode).open(path)?;
    give_to_owner_of_folder(&made, path);
    Ok(made)
}

/// [`make`]s a file anew: what a write that was cut off left at its place is removed, and no link is followed.
///
/// # Errors
///
/// If it cannot be made.
pub fn make_anew(path: &Path, mode: u32) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(fault),
        _ => make(path, mode),
    }
}

/// Opens a file to append to it, or [`make`]s it.
///
/// # Errors
///
/// If it can be neither opened nor made.
pub fn append_or_make(path: &Path, mode: u32) -> io::Result<File> {
    match OpenOptions::new().append(true).open(path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => make(path, mode),
        opened => opened,
    }
}

/// Makes a folder and those above it that are not there, with a mode. Each belongs to the owner of the one that it is
/// made in.
///
/// # Errors
///
/// If one cannot be made.
pub fn make_folders(path: &Path, mode: u32) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_folders(above, mode)?;
    }
    match fs::DirBuilder::new().mode(mode).create(path) {
        // Another process was faster.
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(fault) => Err(fault),
        Ok(()) => {
            // A link that took the folder's place meanwhile is given to nobody.
            let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
            let mut options = OpenOptions::new();
            options.read(true).custom_flags(flags.bits().cast_signed());
            if let Ok(made) = options.open(path) {
                give_to_owner_of_folder(&made, path);
            }
            Ok(())
        }
    }
}

/// Returns the folder that a file lies in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Returns whether this user may write a file, or make one in a folder.
pub fn is_writable(path: &Path) -> bool {
    access(path, Access::WRITE_OK).is_ok()
}

/// Returns what helps against a fault of the system about a file, as an order.
pub fn cure(fault: &io::Error) -> &'static str {
    match fault.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on its file system (`df` shows what is free), then run the command again"
        }
        io::ErrorKind::PermissionDenied => {
            "let this user read and write it (`ls -l` shows whose it is)"
        }
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            "make the folder that it lies in, or mount its file system"
        }
        io::ErrorKind::ReadOnlyFilesystem => "mount its file system so that it can be written",
        io::ErrorKind::InvalidInput | io::ErrorKind::AlreadyExists => "name another file",
        _ => "look for what the system says of the disk (`dmesg`), then run the command again",
    }
}

/// Returns what stands in a file's place, in words; `None` for a regular file.
pub fn odd_kind(meta: &Metadata) -> Option<&'static str> {
    let kind = meta.file_type();
    match kind {
        _ if kind.is_file() => None,
        _ if kind.is_dir() => Some("a folder"),
        _ if kind.is_fifo() => Some("a pipe (FIFO)"),
        _ if kind.is_socket() => Some("a socket"),
        _ if kind.is_char_device() || kind.is_block_device() => Some("a device"),
        _ if kind.is_symlink() => Some("a symbolic link"),
        _ => Some("of an unknown kind"),
    }
}

/// Refuses what is no regular file.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] with a sentence.
pub fn require_file(meta: &Metadata) -> io::Result<()> {
    match odd_kind(meta) {
        None => Ok(()),
        Some(kind) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("is {kind}, not a file; name a regular file"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_is_no_file_is_refused_by_its_kind() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let _socket = UnixListener::bind(folder.path().join("socket")).expect("bound");
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("link")).expect("linked");
        for (path, kind) in [
            (folder.path().to_owned(), "a folder"),
            (folder.path().join("socket"), "a socket"),
            (folder.path().join("link"), "a device"),
            ("/dev/null".into(), "a device"),
        ] {
            let fault = open(&path).expect_err(kind);
            assert_eq!(fault.kind(), io::ErrorKind::InvalidInput);
            assert!(fault.to_string().contains(kind), "{fault}");
        }
    }

    #[test]
    fn what_root_makes_belongs_to_the_owner_of_its_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        // Only root can give anything away; for another user all stays his own.
        let owner = match std::os::unix::fs::chown(root, Some(4711), Some(4712)) {
            Ok(()) => (4711, 4712),
            Err(_) => {
                let meta = root.metadata().expect("there");
                (meta.uid(), meta.gid())
            }
        };
        make_folders(&root.join("a/b"), 0o700).expect("made");
        make_folders(&root.join("a/b"), 0o700).expect("there");
        drop(make(&root.join("a/b/file"), 0o600).expect("made"));
        drop(make_anew(&root.join("a/b/file"), 0o600).expect("made anew"));
        drop(append_or_make(&root.join("a/log"), 0o600).expect("made"));
        for path in ["a", "a/b", "a/b/file", "a/log"] {
            let meta = root.join(path).metadata().expect("there");
            assert_eq!((meta.uid(), meta.gid()), owner, "{path}");
        }
        // What was there stays whose it was, and what a link leads to is left alone.
        let other = tempfile::NamedTempFile::new().expect("a file");
        let before = other.path().metadata().expect("there").uid();
        std::os::unix::fs::symlink(other.path(), root.join("a/link")).expect("linked");
        append_or_make(&root.join("a/link"), 0o600).expect("opened");
        assert_eq!(other.path().metadata().expect("there").uid(), before);
        drop(make_anew(&root.join("a/link"), 0o600).expect("made anew"));
        assert!(!root.join("a/link").is_symlink());
        assert!(other.path().exists());
    }

    #[test]
    fn full_disk_and_closed_folder_have_cures_of_their_own() {
        let cure_of = |kind| cure(&io::Error::from(kind));
        assert!(cure_of(io::ErrorKind::StorageFull).contains("make room"));
        assert!(cure_of(io::ErrorKind::PermissionDenied).contains("let this user"));
        assert!(cure(&io::Error::from_raw_os_error(5)).contains("dmesg"));
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        fs::write(&path, "12345").expect("written");
        assert_eq!(read_text(&path, 5).expect("fits"), "12345");
        let fault = read(&path, 4).expect_err("too long").to_string();
        assert_eq!(fault, "more than 4 octets");
        fs::write(&path, b"\xff").expect("written");
        assert!(read_text(&path, 5).is_err());
    }
}
