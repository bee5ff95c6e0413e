//! A file for what does not fit into memory, made when it is first written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// An anonymous file in the temporary folder that is gone with the process. There is none before it is written: most versions
/// of small zones need none.
#[derive(Debug, Default)]
pub struct SpoolFile(Option<File>);

/// Returns an anonymous file that is gone with the process.
///
/// # Errors
///
/// If the temporary folder cannot be written.
pub(super) fn make_spool() -> io::Result<File> {
    tempfile::tempfile()
}

impl Read for SpoolFile {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(file) => file.read(octets),
            None => Ok(0),
        }
    }
}

impl Write for SpoolFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if octets.is_empty() {
            return Ok(0);
        }
        match &mut self.0 {
            Some(file) => file.write(octets),
            None => self.0.insert(make_spool()?).write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), File::flush)
    }
}

impl Seek for SpoolFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.0 {
            Some(file) => file.seek(to),
            // Nothing was written: every place is the end.
            None => Ok(0),
        }
    }
}
