//! The file of users: a line for each, `name:role:mail:hash`.

use crate::people::password::{hash_password, is_hash, verify_password};
use crate::people::role::Role;

/// The longest file of users that is read.
pub const USERS_FILE_OCTETS_MAX: u64 = 1 << 20;
/// The most characters of a name.
const NAME_LENGTH_MAX: usize = 64;
/// The most users of a file.
const USERS_MAX: usize = 1000;
/// What a person writes whom fluxwatch would not tell from itself in a log.
const ACTOR: &str = "fluxwatch";

/// Somebody who may enter.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name that the log keeps.
    pub name: String,
    /// What he may do.
    pub role: Role,
    /// Where a test mail to himself goes.
    pub mail: Option<String>,
    /// The hash of his password.
    pub hash: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "User({}, {}, hash not shown)",
            self.name,
            self.role.word()
        )
    }
}

impl User {
    /// Returns the line of the file.
    fn to_line(&self) -> String {
        let mail = self.mail.as_deref().unwrap_or_default();
        format!("{}:{}:{mail}:{}", self.name, self.role.word(), self.hash)
    }
}

/// A line that names nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, in words that follow "line 3".
    pub what: String,
    /// The cure.
    pub cure: String,
}

/// Those who may enter, in the order of the file; no name is there twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users(Vec<User>);

impl Users {
    /// Reads the text of the file. Empty lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    ///
    /// [`LineFault`] of the first line that names nobody.
    pub fn parse(text: &str) -> Result<Self, LineFault> {
        let mut users = Self::default();
        for (i, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let user = parse_line(line).and_then(|user| match users.find(&user.name) {
                Some(_) => Err((
                    format!("names {} a second time", user.name),
                    "take one of the two lines out".to_owned(),
                )),
                None => Ok(user),
            });
            match user {
                Ok(user) if users.0.len() < USERS_MAX => users.0.push(user),
                Ok(_) => {
                    return Err(LineFault {
                        line: i + 1,
                        what: format!("is one more than the {USERS_MAX} users that there may be"),
                        cure: "take out those who have gone".to_owned(),
                    });
                }
                Err((what, cure)) => {
                    return Err(LineFault {
                        line: i + 1,
                        what,
                        cure,
                    });
                }
            }
        }
        Ok(users)
    }

    /// Returns the text of the file.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|user| user.to_line() + "\n").collect()
    }

    /// Returns all, in the order of the file.
    pub fn all(&self) -> &[User] {
        &self.0
    }

    /// Returns whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the user with a name.
    pub fn find(&self, name: &str) -> Option<&User> {
        self.0.iter().find(|user| user.name == name)
    }

    /// Adds a user, or puts him in the place of the one with his name.
    pub fn set(&mut self, user: User) {
        match self.0.iter_mut().find(|it| it.name == user.name) {
            Some(place) => *place = user,
            None => self.0.push(user),
        }
    }

    /// Takes a user out. Returns whether he was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let count = self.0.len();
        self.0.retain(|user| user.name != name);
        self.0.len() < count
    }

    /// Returns the user with a name and a password. Takes as long for a name that nobody has as for one that
    /// somebody has: a hash is computed either way.
    pub fn verify(&self, name: &str, password: &str) -> Option<&User> {
        match self.find(name) {
            Some(user) => verify_password(password, &user.hash).then_some(user),
            None => {
                let _ = std::hint::black_box(hash_password(password, [0; 16]));
                None
            }
        }
    }
}

/// Returns what is wrong with a name, in words that follow it; `None` if it can be kept in the log.
pub fn check_name(name: &str) -> Option<&'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_@+".contains(c);
    if name.is_empty() || name.len() > NAME_LENGTH_MAX {
        return Some("has not 1 to 64 characters");
    }
    if name.eq_ignore_ascii_case(ACTOR) {
        return Some("is the program's own name in the log");
    }
    match name.chars().all(is_plain) {
        true => None,
        false => Some("has characters other than letters, digits and .-_@+"),
    }
}

/// Reads a line. Gives what is wrong with it, and the cure.
fn parse_line(line: &str) -> Result<User, (String, String)> {
    let fault = |what: &str, cure: &str| Err((what.to_owned(), cure.to_owned()));
    let parts: Vec<&str> = line.splitn(4, ':').collect();
    let [name, role, mail, hash] = parts[..] else {
        return plain_line(line);
    };
    let Some(role) = Role::parse(role) else {
        return plain_line(line);
    };
    if let Some(what) = check_name(name) {
        return fault(
            &format!("names {name:?}, which {what}"),
            "name the user otherwise: fluxwatch users add NAME",
        );
    }
    if !is_hash(hash) {
        let cure = format!("set the password anew: fluxwatch users passwd {name}");
        return fault("has no argon2id hash", &cure);
    }
    Ok(User {
        name: name.to_owned(),
        role,
        mail: (!mail.is_empty()).then(|| mail.to_owned()),
        hash: hash.to_owned(),
    })
}

/// Refuses what is no line of the file; one with a password in clear with the command that mends it.
fn plain_line(line: &str) -> Result<User, (String, String)> {
    match line.split_once(':') {
        Some((name, _)) if check_name(name).is_none() => Err((
            "holds a password in clear".to_owned(),
            format!("take the line out and run: fluxwatch users add {name} --role viewer"),
        )),
        _ => Err((
            "is not name:role:mail:hash".to_owned(),
            "take the line out; `fluxwatch users add NAME` writes one".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of two.
    fn two() -> Users {
        let mut users = Users::default();
        for (name, role) in [("anna", Role::Approver), ("bert", Role::Viewer)] {
            users.set(User {
                name: name.to_owned(),
                role,
                mail: (role == Role::Approver).then(|| "anna@registrar.example".to_owned()),
                hash: hash_password("correct horse battery", [1; 16]),
            });
        }
        users
    }

    #[test]
    fn file_is_read_as_it_was_written() {
        let users = two();
        assert_eq!(Users::parse(&users.to_text()), Ok(users.clone()));
        let anna = users.verify("anna", "correct horse battery");
        assert_eq!(anna.map(|it| it.role), Some(Role::Approver));
        assert_eq!(users.verify("anna", "wrong"), None);
        assert_eq!(users.verify("nobody", "correct horse battery"), None);
    }

    #[test]
    fn plain_line_is_refused_with_the_command_that_mends_it() {
        let fault = Users::parse("# desk\n\nreader:0123456789abcdef\n").expect_err("in clear");
        assert_eq!(fault.line, 3);
        assert!(fault.what.contains("in clear"), "{fault:?}");
        assert!(
            fault
                .cure
                .ends_with("fluxwatch users add reader --role viewer")
        );
        assert!(
            !format!("{fault:?}").contains("0123456789abcdef"),
            "a secret is shown"
        );
    }

    #[test]
    fn lines_that_name_nobody_are_refused() {
        let twice = two().to_text() + &two().to_text();
        assert!(
            Users::parse(&twice)
                .expect_err("twice")
                .what
                .contains("a second time")
        );
        for line in [
            "x",
            ":viewer::h",
            "a b:viewer::h",
            "fluxwatch:viewer::h",
            "c:viewer::plain",
        ] {
            assert!(Users::parse(line).is_err(), "{line}");
        }
    }
}
