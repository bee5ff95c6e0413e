//! People who use the console and the API: their roles, their passwords, the file that names them. Pure.
//!
//! A line of the file is `name:role:mail:hash`. The hash is argon2id in the PHC string format, made by
//! `fluxwatch users`; the mail address may be empty. Nothing here reads a file or draws a random number.

mod password;
mod role;
mod users;

pub use password::{PASSWORD_LENGTH_MIN, hash_password, verify_password};
pub use role::Role;
pub use users::{LineFault, USERS_FILE_OCTETS_MAX, User, Users, check_name};
