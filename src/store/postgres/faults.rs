//! Which faults of a server can pass while nobody touches it, and what helps against each.
//!
//! Classes of SQLSTATE are those of PostgreSQL's manual, appendix A.

use crate::store::value::Fault;

/// What is true after every fault that can pass.
const KEPT: &str = "what was committed is there, and the next pass goes on from it";

/// What a fault is, for whoever has to do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The server or the way to it is away, or it does not take this program in now.
    Away,
    /// It is a standby, and can only be read.
    Standby,
    /// Another transaction was in the way.
    Busy,
    /// It has no room, or no connection to spare.
    Full,
    /// It does not know the role, or not with this password, or has no such database.
    Refused,
    /// The role may not do this.
    Forbidden,
    /// Its certificate is not accepted.
    Untrusted,
    /// What stands before it gives each transaction another session.
    Pooled,
    /// What stands before it takes no options.
    Pooler,
    /// Whether a commit was done is not known.
    Unknown,
    /// Another server has the database now.
    Elsewhere,
    /// It reports damage.
    Damaged,
}

/// Returns what a fault is; `None` if it is none of the server's, or of a statement.
fn trouble(fault: &Fault) -> Option<Trouble> {
    if fault.is_away() {
        let says = |words| fault.to_string().contains(words);
        // Of several hosts each that answers is a standby.
        return Some(match says("database does not allow writes") {
            true => Trouble::Standby,
            false => Trouble::Away,
        });
    }
    if fault.is_untrusted() {
        return Some(Trouble::Untrusted);
    }
    if fault.is_elsewhere() {
        return Some(Trouble::Elsewhere);
    }
    if fault.is_unknown_commit() {
        return Some(Trouble::Unknown);
    }
    let state = fault.state()?;
    Some(match (&state[..2], state) {
        (_, "57014" | "55P03" | "40001" | "40P01" | "25P03" | "25P04") => Trouble::Busy,
        (_, "25006") => Trouble::Standby,
        (_, "53100" | "53200" | "53300" | "53400") => Trouble::Full,
        // A statement that was prepared is gone, or another one is there.
        (_, "26000" | "42P05") => Trouble::Pooled,
        (_, "08P01") if fault.to_string().contains("startup parameter") => Trouble::Pooler,
        ("08" | "57", _) => Trouble::Away,
        ("28", _) | (_, "3D000") => Trouble::Refused,
        (_, "42501" | "3F000") => Trouble::Forbidden,
        ("XX" | "58", _) => Trouble::Damaged,
        _ => return None,
    })
}

/// Returns whether a fault is a server's, or of the way to it.
pub(in crate::store) fn is_of_server(fault: &Fault) -> bool {
    trouble(fault).is_some() || fault.state().is_some()
}

/// Returns whether a fault can pass, for a service that runs: also a password, a certificate and rights are put right while
/// it waits.
pub(in crate::store) fn can_heal(fault: &Fault) -> bool {
    !matches!(trouble(fault), Some(Trouble::Damaged) | None)
}

/// Returns whether a fault is one of the configuration, here or at the server: nothing passes by itself.
pub(in crate::store) fn is_of_configuration(fault: &Fault) -> bool {
    matches!(
        trouble(fault),
        Some(
            Trouble::Refused
                | Trouble::Forbidden
                | Trouble::Untrusted
                | Trouble::Pooled
                | Trouble::Pooler
        )
    )
}

/// Returns what helps against a fault.
pub(in crate::store) fn cure(fault: &Fault) -> String {
    let order = match trouble(fault) {
        Some(Trouble::Away) => {
            "look whether the server runs and can be reached (`psql` with store.url)"
        }
        Some(Trouble::Standby) => {
            "name every host of the cluster in store.url, with target_session_attrs=read-write; a standby that was promoted takes writes"
        }
        Some(Trouble::Busy) => {
            "run the command again later; if that lasts, `fluxwatch status` says whether a commit waits for a standby, and `select * from pg_stat_activity` who holds a lock"
        }
        Some(Trouble::Full) => {
            "make room on the server's disk, or raise its max_connections; fluxwatch needs some 20"
        }
        Some(Trouble::Refused) => {
            return "check role and database of store.url, store.password_file, and the server's pg_hba.conf".to_owned();
        }
        Some(Trouble::Untrusted) => {
            return "renew the server's certificate (`openssl x509 -noout -dates -subject` shows it), or name the authority that signed it in store.ca_file".to_owned();
        }
        Some(Trouble::Pooled) => {
            return "add pool_mode=transaction to the options of store.url (postgres://…?pool_mode=transaction), or set pool_mode = session for this database in PgBouncer: fluxwatch otherwise keeps statements and a lock in its session".to_owned();
        }
        Some(Trouble::Pooler) => {
            return "add pool_mode=transaction to the options of store.url, which sends them with each transaction; or set ignore_startup_parameters = options in PgBouncer, and the schema by `alter role … set search_path = …`".to_owned();
        }
        Some(Trouble::Elsewhere) => {
            return "run the command again; the service does by itself".to_owned();
        }
        Some(Trouble::Unknown) => {
            return "look whether it is there before you do it again; a poller and the service look by themselves".to_owned();
        }
        Some(Trouble::Forbidden) => {
            return "give the role its rights: `how-to/run-on-postgresql.md` has the statements"
                .to_owned();
        }
        Some(Trouble::Damaged) => {
            return "read the server's log; restore the newest backup that is sound".to_owned();
        }
        None => {
            return "compare the tables with `fluxwatch db verify`: nobody but fluxwatch may change them".to_owned();
        }
    };
    format!("{order}; {KEPT}")
}
