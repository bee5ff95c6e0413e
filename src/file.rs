//! Opens the files that a configuration, a zone file or a command line names.
//!
//! Whoever names a pipe, a device, a socket or a folder by mistake gets a sentence at once: a pipe without
//! a writer is waited for without end, and a device may have none. Symbolic links are followed.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
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
