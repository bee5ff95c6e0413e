//! Real servers for the tests: the primaries Knot, NSD, BIND, PowerDNS and YADIFA, the mail server Postfix the database PostgreSQL and PgBouncer before it.
//!
//! Each listens on loopback alone, on ports from [`free_port`], with its configuration, state and
//! log in a folder of its own under the directory that the test gives. A server ends when its value
//! is dropped; if the test process dies without dropping it (a kill, a `static`), a guard process
//! ends it instead. Nothing here touches what the host runs. `tests/install-servers` installs them.
//!
//! A start that fails panics with a sentence and the last lines of the server's log.

mod bind;
mod certificate;
mod knot;
mod nsd;
mod pgbouncer;
mod postfix;
mod postgres;
mod powerdns;
mod primary;
mod process;
mod yadifa;

pub use bind::Bind;
pub use certificate::{TLS_NAME, make_certificate_of};
pub use knot::Knot;
pub use nsd::Nsd;
pub use pgbouncer::{PgBouncer, url_by};
pub use postfix::Postfix;
pub use postgres::Postgres;
pub use powerdns::PowerDns;
pub use primary::{DYNAMIC_PREFIX, Extras, Primary, TSIG_NAME, TSIG_OTHERS, TSIG_SECRET};
pub use process::{
    Running, WAIT_MAX, command_of, find_program, free_port, lock, new_folder, poll,
    require_success, tail_of, text_of, tsig_option, unconfined, write,
};
pub use yadifa::Yadifa;
