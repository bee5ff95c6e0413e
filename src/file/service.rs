//! Who runs the service, and what he may use. Whoever checks a configuration is often root, who may read all.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// The octets of the files of users and groups that are read at most.
const NAMES_OCTETS_MAX: u64 = 16 << 20;
/// The attribute in which a file keeps an access list beside its mode.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// What is asked of a file or folder, as the bits of a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// To read a file.
    Read = 4,
    /// To list a folder and read what is in it.
    List = 5,
    /// To list a folder and make files in it.
    Write = 7,
}

/// The user that runs the service: the owner of the database's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUser {
    /// His name; his number where he has none.
    pub name: String,
    /// The name of his group.
    pub group: String,
    uid: u32,
    gids: Vec<u32>,
}

impl ServiceUser {
    /// Returns the owner of a folder, or of the one that it will be made in; `None` if that is root or this user.
    pub fn of(folder: &Path) -> Option<Self> {
        let there = folder.ancestors().find_map(|it| match it {
            it if it.as_os_str().is_empty() => Path::new(".").metadata().ok(),
            it => it.metadata().ok(),
        })?;
        let (uid, gid) = (there.uid(), there.gid());
        if uid == 0 || uid == geteuid().as_raw() {
            return None;
        }
        let read = |path: &str| super::read_text(Path::new(path), NAMES_OCTETS_MAX);
        let users = read("/etc/passwd").unwrap_or_default();
        let groups = read("/etc/group").unwrap_or_default();
        Some(Self::named(uid, gid, &users, &groups))
    }

    /// Returns a user by his numbers, as passwd(5) and group(5) name him. Where they do not, his group is `gid`.
    fn named(uid: u32, gid: u32, users: &str, groups: &str) -> Self {
        let row_of = |text: &str, number: u32| -> Option<Vec<String>> {
            let mut rows = text.lines().map(|line| line.split(':'));
            let found =
                rows.find(|row| row.clone().nth(2).and_then(|it| it.parse().ok()) == Some(number));
            found.map(|row| row.map(str::to_owned).collect())
        };
        let user = row_of(users, uid);
        let name = user
            .as_ref()
            .map_or_else(|| uid.to_string(), |row| row[0].clone());
        let gid = user.and_then(|row| row.get(3)?.parse().ok()).unwrap_or(gid);
        let group = row_of(groups, gid);
        let joined = groups.lines().filter_map(|line| {
            let mut fields = line.split(':').skip(2);
            let gid = fields.next()?.parse().ok()?;
            let has_him = fields.next()?.split(',').any(|it| it == name);
            has_him.then_some(gid)
        });
        let gids = joined.chain([gid]).collect();
        Self {
            group: group.map_or_else(|| gid.to_string(), |row| row[0].clone()),
            name,
            uid,
            gids,
        }
    }

    /// Returns what keeps him from a file or folder: itself, or the first folder above it that he cannot enter. `None` if
    /// nothing does, as far as modes say.
    pub fn is_kept_out_by(&self, path: &Path, wanted: Use) -> Option<PathBuf> {
        let path = fs::canonicalize(path).ok()?;
        let above: Vec<&Path> = path.ancestors().skip(1).collect();
        let closed = above.into_iter().rev().find(|it| !self.may(it, 1));
        match closed {
            Some(folder) => Some(folder.to_owned()),
            None if !self.may(&path, wanted as u32) => Some(path),
            None => None,
        }
    }

    /// Returns whether he may do something with what is there. An access list may say more than the mode.
    fn may(&self, path: &Path, bits: u32) -> bool {
        let Ok(meta) = path.metadata() else {
            return true;
        };
        self.has_bits(&meta, bits)
            || rustix::fs::getxattr(path, ACCESS_LIST, &mut [0_u8; 0]).is_ok()
    }

    /// Returns whether a mode lets him do something.
    fn has_bits(&self, meta: &Metadata, bits: u32) -> bool {
        let of_him = match meta {
            meta if meta.uid() == self.uid => meta.mode() >> 6,
            meta if self.gids.contains(&meta.gid()) => meta.mode() >> 3,
            meta => meta.mode(),
        };
        of_him & bits == bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_named_with_all_his_groups() {
        let users =
            "root:x:0:0::/root:/bin/sh\nfluxwatch:x:997:996::/var/lib/fluxwatch:/bin/false\n";
        let groups = "fluxwatch:x:996:\nzones:x:50:bind,fluxwatch\nmail:x:8:postfix\n";
        let user = ServiceUser::named(997, 1, users, groups);
        assert_eq!((&*user.name, &*user.group), ("fluxwatch", "fluxwatch"));
        assert_eq!(user.gids, [50, 996]);
        let unknown = ServiceUser::named(4711, 4712, users, groups);
        assert_eq!((&*unknown.name, &*unknown.group), ("4711", "4712"));
    }

    #[test]
    fn modes_say_what_a_user_may_use() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("key");
        fs::write(&file, "x").expect("written");
        let meta = file.metadata().expect("there");
        let user = |uid: u32, gid: u32| ServiceUser::named(uid, gid, "", "");
        let stranger = user(4711, 4712);
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
        };
        let file_real = file.canonicalize().expect("there");
        for (bits, own, group, other) in [
            (0o600, true, false, false),
            (0o640, true, true, false),
            (0o604, true, false, true),
        ] {
            mode(&file, bits);
            mode(folder.path(), 0o755);
            for (who, may) in [
                (user(meta.uid(), 4712), own),
                (user(4711, meta.gid()), group),
                (stranger.clone(), other),
            ] {
                let kept = who.is_kept_out_by(&file, Use::Read);
                assert_eq!(kept, (!may).then(|| file_real.clone()), "{bits:o} {who:?}");
            }
        }
        // The folder above is closed: it is what is told.
        mode(folder.path(), 0o700);
        let closed = folder.path().canonicalize().expect("there");
        assert_eq!(stranger.is_kept_out_by(&file, Use::Read), Some(closed));
        assert_eq!(
            stranger.is_kept_out_by(&folder.path().join("none"), Use::Read),
            None
        );
    }
}
