//! `fluxwatch users`: the file of users, which `[web] users_file` names.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde::Serialize;

use crate::cli::arguments::{RoleWord, UsersAdd, UsersCommand, UsersList, UsersNamed};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{Row, print_list};
use crate::cli::session::find_config;
use crate::config::Config;
use crate::file;
use crate::people::{
    PASSWORD_LENGTH_MIN, Role, USERS_FILE_OCTETS_MAX, User, Users, check_name, hash_password,
};

/// What the file begins with.
const HEAD: &str = "# Made by `fluxwatch users`: name:role:mail:hash\n";

/// A user, as scripts read him.
#[derive(Serialize)]
struct UserJson {
    name: String,
    role: Role,
    mail: Option<String>,
}

impl Row for UserJson {
    const HEADINGS: &'static [&'static str] = &["name", "role", "mail"];
    const TABLE_HEADINGS: &'static [&'static str] = &["name", "role", "mail"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.role.word().to_owned(),
            self.mail.clone().unwrap_or_default(),
        ]
    }

    fn table_cells(&self) -> Vec<String> {
        self.cells()
    }
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &UsersCommand) -> Result<Done, Failure> {
    let path = users_path(config)?;
    match command {
        UsersCommand::Add(add) => run_add(&path, add),
        UsersCommand::Passwd(named) => run_passwd(&path, named),
        UsersCommand::List(list) => run_list(&path, list),
        UsersCommand::Remove(named) => run_remove(&path, named),
    }
}

/// Returns the file that the configuration names. Other faults of the configuration do not matter here, and one of
/// the file itself is what this command mends.
fn users_path(config: Option<&Path>) -> Result<PathBuf, Failure> {
    let (config, _) = Config::examine(&find_config(config)?)?;
    let named = config.web.and_then(|web| web.users_path);
    named.ok_or_else(|| {
        Failure::usage("the configuration names no file of users")
            .hint("add users_file to [web], such as \"/etc/fluxwatch/web.users\"")
    })
}

/// Adds a user.
fn run_add(path: &Path, add: &UsersAdd) -> Result<Done, Failure> {
    if let Some(what) = check_name(&add.name) {
        return Err(Failure::usage(format!("the name {:?} {what}", add.name)));
    }
    let mail = add.mail.as_deref().map(str::trim);
    if mail.is_some_and(|mail| !mail.contains('@') || mail.contains([':', '\n', ' '])) {
        return Err(Failure::usage(format!(
            "--mail: {:?} is no mail address",
            mail.unwrap_or_default()
        )));
    }
    let mut users = read_users(path)?;
    if users.find(&add.name).is_some() {
        return Err(
            Failure::failed(format!("{} is there already", add.name)).hint(format!(
                "set a password: fluxwatch users passwd {}",
                add.name
            )),
        );
    }
    users.set(User {
        name: add.name.clone(),
        role: role_of(add.role),
        mail: mail.map(str::to_owned),
        hash: hash_password(&read_password(&add.name)?, draw_salt()?),
    });
    write_users(path, &users)?;
    tell(&format!(
        "{} may enter as {}",
        add.name,
        role_of(add.role).word()
    ))
}

/// Sets a password anew.
fn run_passwd(path: &Path, named: &UsersNamed) -> Result<Done, Failure> {
    let mut users = read_users(path)?;
    let user = users
        .find(&named.name)
        .ok_or_else(|| no_user(path, named))?;
    let user = User {
        hash: hash_password(&read_password(&named.name)?, draw_salt()?),
        ..user.clone()
    };
    users.set(user);
    write_users(path, &users)?;
    tell(&format!(
        "{} has a new password; his sessions are over",
        named.name
    ))
}

/// Lists users.
fn run_list(path: &Path, list: &UsersList) -> Result<Done, Failure> {
    let users = read_users(path)?;
    let rows = users.all().iter().map(|user| UserJson {
        name: user.name.clone(),
        role: user.role,
        mail: user.mail.clone(),
    });
    print_list(
        &rows.collect::<Vec<_>>(),
        list.format,
        "the file names no user; `fluxwatch users add NAME --role ROLE` adds one",
    )?;
    Ok(Done::Well)
}

/// Takes a user out.
fn run_remove(path: &Path, named: &UsersNamed) -> Result<Done, Failure> {
    let mut users = read_users(path)?;
    if !users.remove(&named.name) {
        return Err(no_user(path, named));
    }
    write_users(path, &users)?;
    tell(&format!("{} may not enter any more", named.name))
}

/// Returns the failure where nobody has a name.
fn no_user(path: &Path, named: &UsersNamed) -> Failure {
    Failure::failed(format!("{}: no user {}", path.display(), named.name))
        .hint("`fluxwatch users list` lists them")
}

/// Returns the role of a word.
pub fn role_of(word: RoleWord) -> Role {
    match word {
        RoleWord::Viewer => Role::Viewer,
        RoleWord::Reviewer => Role::Reviewer,
        RoleWord::Approver => Role::Approver,
    }
}

/// Says what was done.
fn tell(what: &str) -> Result<Done, Failure> {
    writeln!(io::stderr(), "{what}")?;
    Ok(Done::Well)
}

/// Reads the file; one that is not there names nobody.
fn read_users(path: &Path) -> Result<Users, Failure> {
    let text = match file::read_text(path, USERS_FILE_OCTETS_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Users::default()),
        Err(error) => return Err(Failure::file(path, &error)),
    };
    Users::parse(&text).map_err(|fault| {
        let what = format!("{}: line {} {}", path.display(), fault.line, fault.what);
        Failure::usage(what).hint(fault.cure)
    })
}

/// Replaces the file whole, with the mode and the owner that it had. A new one can be read by its owner alone, and by the
/// group of a folder that this user may give it to: the service reads what root made. The unfinished file keeps others
/// from writing at the same time.
fn write_users(path: &Path, users: &Users) -> Result<(), Failure> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    let mut out = file::make(&unfinished, 0o600)
        .map_err(|error| {
            let failure = Failure::file(&unfinished, &error);
            match error.kind() {
                io::ErrorKind::AlreadyExists => failure.hint(
                    "another `fluxwatch users` writes now; if none does, one was cut off: remove this file",
                ),
                _ => failure,
            }
        })?;
    let replaced = (|| {
        if let Ok(meta) = fs::metadata(path) {
            let mode = meta.permissions().mode() & 0o770;
            out.set_permissions(fs::Permissions::from_mode(mode))?;
            let own = out.metadata()?;
            if (own.uid(), own.gid()) != (meta.uid(), meta.gid()) {
                chown(&unfinished, Some(meta.uid()), Some(meta.gid()))?;
            }
        } else if let Some(folder) = path.parent().and_then(|it| fs::metadata(it).ok()) {
            let is_of_others = folder.gid() != out.metadata()?.gid();
            if is_of_others && chown(&unfinished, None, Some(folder.gid())).is_ok() {
                out.set_permissions(fs::Permissions::from_mode(0o640))?;
            }
        }
        out.write_all(format!("{HEAD}{}", users.to_text()).as_bytes())?;
        out.sync_all()?;
        fs::rename(&unfinished, path)
    })();
    replaced.map_err(|error| {
        // What is left of it would keep the next one from writing.
        let _ = fs::remove_file(&unfinished);
        Failure::file(path, &error)
    })
}

/// Draws a salt.
fn draw_salt() -> Result<[u8; 16], Failure> {
    let mut salt = [0; 16];
    SystemRandom::new()
        .fill(&mut salt)
        .map_err(|_| Failure::local("the system gives no random bytes"))?;
    Ok(salt)
}

/// Reads a password: twice and unseen from a terminal, else the first line of standard input.
fn read_password(name: &str) -> Result<String, Failure> {
    let password = if io::stdin().is_terminal() {
        let first = ask_unseen(&format!("password of {name}: "))?;
        if ask_unseen("once more: ")? != first {
            return Err(Failure::failed("the two passwords differ"));
        }
        first
    } else {
        read_line()?
    };
    if password.chars().count() < PASSWORD_LENGTH_MIN {
        let what = format!("the password is shorter than {PASSWORD_LENGTH_MIN} characters");
        return Err(Failure::usage(what));
    }
    if password.chars().any(char::is_control) {
        return Err(Failure::usage("the password holds a control character"));
    }
    Ok(password)
}

/// Reads a line of standard input, without its end.
fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Asks for a line that the terminal does not show.
fn ask_unseen(question: &str) -> Result<String, Failure> {
    let mut err = io::stderr();
    write!(err, "{question}")?;
    err.flush()?;
    let shown = tcgetattr(io::stdin()).map_err(io::Error::from)?;
    let mut unseen = shown.clone();
    unseen.local_modes.remove(LocalModes::ECHO);
    let set = |modes| tcsetattr(io::stdin(), OptionalActions::Flush, modes);
    set(&unseen).map_err(io::Error::from)?;
    let line = read_line();
    set(&shown).map_err(io::Error::from)?;
    writeln!(err)?;
    line
}
