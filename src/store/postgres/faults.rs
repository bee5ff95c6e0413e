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
    /// It reports damage.
    Damaged,
}

/// Returns what a fault is; `None` if it is none of the server's, or of a statement.
fn trouble(fault: &Fault) -> Option<Trouble> {
    if fault.is_away() {
        return Some(Trouble::Away);
    }
    let state = fault.state()?;
    Some(match (&state[..2], state) {
        (_, "57014" | "55P03" | "40001" | "40P01" | "25P03" | "25P04") => Trouble::Busy,
        (_, "25006") => Trouble::Standby,
        (_, "53100" | "53200" | "53300" | "53400") => Trouble::Full,
        ("08" | "57", _) => Trouble::Away,
        ("28", _) | (_, "3D000") => Trouble::Refused,
        (_, "42501" | "3F000") => Trouble::Forbidden,
        ("XX" | "58", _) => Trouble::Damaged,
        _ => return None,
    })
}

/// Returns whether a fault is a server's, or of the way to it.
pub(in crate::store) fn is_of_server(fault: &Fault) -> bool {
    fault.is_away() || fault.state().is_some()
}

/// Returns whether a fault can pass. A password that is refused stays refused until somebody changes it here or there.
pub(in crate::store) fn can_heal(fault: &Fault) -> bool {
    matches!(
        trouble(fault),
        Some(Trouble::Away | Trouble::Standby | Trouble::Busy | Trouble::Full)
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
            "look who holds a lock (`select * from pg_stat_activity`), or run the command again later"
        }
        Some(Trouble::Full) => {
            "make room on the server's disk, or raise its max_connections; fluxwatch needs some 20"
        }
        Some(Trouble::Refused) => {
            return "check role and database of store.url, store.password_file, and the server's pg_hba.conf".to_owned();
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
