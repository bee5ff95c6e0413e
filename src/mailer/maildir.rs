//! Delivers into a Maildir: written whole to `tmp`, synced, renamed into `new`.
//!
//! The file's name is made of the Message-ID, so that a message delivered again after a crash finds
//! itself there and is not delivered twice. A file of that name that holds something else is another mail:
//! the message is written beside it. What root makes belongs to the owner of the folder that it is made in: a person
//! who polls by hand leaves a Maildir that the service can go on with.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ring::digest;

use crate::file;
use crate::outbox::Attempt;

/// A Maildir.
#[derive(Clone)]
pub struct MaildirMailer {
    root: PathBuf,
}

impl MaildirMailer {
    /// Returns the Maildir at `root`; it is made at the first delivery.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Delivers one message.
    pub fn deliver(&self, message_id: &str, octets: &[u8]) -> Attempt {
        match self.write(message_id, octets) {
            Ok(reply) => Attempt::Delivered(reply),
            Err(error) => Attempt::Passing(format!("{}: {error}", self.root.display())),
        }
    }

    /// Writes the file unless it is there already.
    fn write(&self, message_id: &str, octets: &[u8]) -> io::Result<String> {
        let [tmp, new, cur] = ["tmp", "new", "cur"].map(|folder| self.root.join(folder));
        for folder in [&tmp, &new, &cur] {
            file::make_folders(folder, 0o700)?;
        }
        let name: String = message_id
            .chars()
            // Nothing that leads out of the folder, or that a Maildir gives a meaning to, such as `:`.
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@'))
            .collect();
        let name = match find(&new, &cur, &name)? {
            Some(path) if fs::read(&path)? != octets => {
                let digest = digest::digest(&digest::SHA256, octets);
                let tail: String = digest.as_ref()[..8]
                    .iter()
                    .map(|it| format!("{it:02x}"))
                    .collect();
                format!("{name}.{tail}")
            }
            Some(_) => return Ok(format!("already in {}", self.root.display())),
            None => name,
        };
        if find(&new, &cur, &name)?.is_some() {
            return Ok(format!("already in {}", self.root.display()));
        }
        let temporary = tmp.join(&name);
        let mut file = file::make_anew(&temporary, 0o600)?;
        file.write_all(octets)?;
        // Before the rename, or a crash could leave an empty file under the final name.
        file.sync_all()?;
        fs::rename(&temporary, new.join(&name))?;
        // And the folder: a rename is durable with it alone.
        File::open(&new)?.sync_all()?;
        Ok(format!("written to {}", new.join(&name).display()))
    }
}

/// Returns the file of a message, also when it was read meanwhile.
fn find(new: &Path, cur: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    let path = new.join(name);
    if path.exists() {
        return Ok(Some(path));
    }
    let mut read = fs::read_dir(cur)?.flatten();
    let found = read.find(|it| it.file_name().to_string_lossy().split(':').next() == Some(name));
    Ok(found.map(|it| it.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_delivered_again_is_there_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mailer = MaildirMailer::new(folder.path().join("desk"));
        for _ in 0..2 {
            assert!(matches!(
                mailer.deliver("<a.1@x.example>", b"Subject: x\r\n\r\nbody\r\n"),
                Attempt::Delivered(_)
            ));
        }
        let files: Vec<_> = fs::read_dir(folder.path().join("desk/new"))
            .expect("made")
            .collect();
        assert_eq!(files.len(), 1);
        let seen = folder.path().join("desk/cur/a.1@x.example:2,S");
        fs::rename(files[0].as_ref().expect("readable").path(), &seen).expect("moved");
        mailer.deliver("<a.1@x.example>", b"Subject: x\r\n\r\nbody\r\n");
        assert_eq!(
            fs::read(seen).expect("still there"),
            b"Subject: x\r\n\r\nbody\r\n"
        );
        assert_eq!(
            fs::read_dir(folder.path().join("desk/new"))
                .expect("made")
                .count(),
            0
        );
    }

    #[test]
    fn another_mail_of_the_same_name_is_written_beside_it_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mailer = MaildirMailer::new(folder.path().join("desk"));
        for octets in [&b"one"[..], b"two", b"two", b"one"] {
            assert!(matches!(
                mailer.deliver("<a.1@x.example>", octets),
                Attempt::Delivered(_)
            ));
        }
        let files = fs::read_dir(folder.path().join("desk/new")).expect("made");
        assert_eq!(files.count(), 2);
    }
}
