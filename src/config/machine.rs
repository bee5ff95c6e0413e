//! Limits that nobody set are fitted to the machine: memory, and room in the temporary folder.
//!
//! The figures are read once, when the configuration is, and given to [`fit_limits`], which decides by them alone.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::zone::Limits;

/// One version may take this part of what the machine has: the other half is for all else.
const SHARE: u64 = 2;
/// What one name takes in the table of digests: 24 octets a place, of which at least three in eight are used.
const NAME_OCTETS: u64 = 64;
/// How many octets of text or wire may come for one octet of the spool, which holds neither signatures nor types
/// that are not kept. Chosen by hand.
const OCTETS_OF_SPOOLED: u64 = 8;
/// The least of each limit, however little the machine has: zones of some size must be watched at all.
const NAMES_MIN: u64 = 1_000_000;
const SPOOL_OCTETS_MIN: u64 = 64 << 20;

/// What the machine has. `None` for what cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Where spools are.
    pub temporary: PathBuf,
    /// Octets that are free there.
    pub free_octets: Option<u64>,
    /// Octets of memory that are available: to this control group, too.
    pub memory_octets: Option<u64>,
}

impl Machine {
    /// Looks at this machine.
    pub fn look() -> Self {
        let temporary = env::temp_dir();
        let free = rustix::fs::statvfs(&temporary).ok();
        let available = fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| memory_available(&text));
        let group = fs::read_to_string("/proc/self/cgroup")
            .ok()
            .and_then(|text| group_limit(&text, Path::new("/sys/fs/cgroup")));
        Self {
            temporary,
            free_octets: free.map(|it| it.f_bavail.saturating_mul(it.f_frsize)),
            // The least of both: a container sees the memory of the whole machine in /proc.
            memory_octets: available.into_iter().chain(group).min(),
        }
    }
}

/// Reads what `/proc/meminfo` says is available, in octets.
fn memory_available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|it| it.strip_prefix("MemAvailable:"));
    let kib: u64 = line?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// Returns the least `memory.max` of the control group (version 2) that `/proc/self/cgroup` names and of those
/// above it; `None` if there is no limit.
fn group_limit(text: &str, root: &Path) -> Option<u64> {
    let path = text.lines().find_map(|it| it.strip_prefix("0::/"))?;
    let folders = Path::new(path).ancestors().map(|it| root.join(it));
    let limits = folders.filter_map(|it| fs::read_to_string(it.join("memory.max")).ok());
    limits.filter_map(|it| it.trim().parse().ok()).min()
}

/// A limit that was not set, and why it is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FittedLimit {
    /// The key.
    pub key: &'static str,
    /// What holds.
    pub value: u64,
    /// Where it comes from, in words.
    pub reason: String,
    /// Whether the machine has less than the least that the limit may be.
    pub is_short: bool,
}

/// Fits the limits that `is_set` does not know to the machine. None is above [`Limits::DEFAULT`].
pub fn fit_limits(
    limits: &mut Limits,
    machine: &Machine,
    is_set: impl Fn(&str) -> bool,
) -> Vec<FittedLimit> {
    let mut fitted = Vec::new();
    let folder = machine.temporary.display();
    if !is_set("limits.names") {
        let share = machine.memory_octets.map(|it| it / SHARE / NAME_OCTETS);
        let of = format!("half of the available memory at {NAME_OCTETS} bytes a name");
        let limit = fit("limits.names", share, NAMES_MIN, Limits::DEFAULT.names, &of);
        limits.names = limit.value;
        fitted.push(limit);
    }
    if !is_set("limits.spool_octets") {
        let share = machine.free_octets.map(|it| it / SHARE);
        let of = format!("half of what is free in {folder}");
        let most = Limits::DEFAULT.spool_octets;
        let limit = fit("limits.spool_octets", share, SPOOL_OCTETS_MIN, most, &of);
        limits.spool_octets = limit.value;
        fitted.push(limit);
    }
    if !is_set("limits.octets") {
        let share = limits.spool_octets.saturating_mul(OCTETS_OF_SPOOLED);
        let of = format!("{OCTETS_OF_SPOOLED} times limits.spool_octets");
        let limit = fit("limits.octets", Some(share), 0, Limits::DEFAULT.octets, &of);
        limits.octets = limit.value;
        fitted.push(limit);
    }
    fitted
}

/// Returns a limit between the least and the most, with the reason.
fn fit(key: &'static str, share: Option<u64>, least: u64, most: u64, of: &str) -> FittedLimit {
    let (value, reason) = match share {
        None => (
            most,
            "the default; the machine does not say what it has".to_owned(),
        ),
        Some(share) if share < least => (least, format!("the least; {of} is {share}")),
        Some(share) if share > most => (most, format!("the default; {of} would be more")),
        Some(share) => (share, of.to_owned()),
    };
    FittedLimit {
        key,
        value,
        reason,
        is_short: share.is_some_and(|share| share < least),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with so much room and memory.
    fn machine(free_octets: u64, memory_octets: u64) -> Machine {
        Machine {
            temporary: PathBuf::from("/tmp"),
            free_octets: Some(free_octets),
            memory_octets: Some(memory_octets),
        }
    }

    /// Fits the defaults to a machine; returns names, octets of the spool, and of a version.
    fn fitted(machine: &Machine) -> (u64, u64, u64) {
        let mut limits = Limits::DEFAULT;
        fit_limits(&mut limits, machine, |_| false);
        (limits.names, limits.spool_octets, limits.octets)
    }

    #[test]
    fn limits_are_half_of_what_a_small_machine_has() {
        let names = (2 << 30) / 2 / NAME_OCTETS;
        assert_eq!(
            fitted(&machine(1 << 30, 2 << 30)),
            (names, 512 << 20, 4 << 30)
        );
    }

    #[test]
    fn limits_are_never_above_the_defaults() {
        let most = Limits::DEFAULT;
        let most = (most.names, most.spool_octets, most.octets);
        assert_eq!(fitted(&machine(1 << 50, 1 << 50)), most);
    }

    #[test]
    fn limits_have_a_floor_and_say_so() {
        let mut limits = Limits::DEFAULT;
        let fitted = fit_limits(&mut limits, &machine(24 << 20, 1 << 20), |_| false);
        assert_eq!(limits.names, NAMES_MIN);
        assert_eq!(limits.spool_octets, SPOOL_OCTETS_MIN);
        let short: Vec<_> = fitted
            .iter()
            .filter(|it| it.is_short)
            .map(|it| it.key)
            .collect();
        assert_eq!(short, ["limits.names", "limits.spool_octets"]);
        let spool = &fitted[1].reason;
        assert_eq!(spool, "the least; half of what is free in /tmp is 12582912");
    }

    #[test]
    fn limit_that_is_set_is_left_alone_and_the_length_follows_the_spool() {
        let mut limits = Limits {
            spool_octets: 5,
            ..Limits::DEFAULT
        };
        let is_set = |key: &str| key == "limits.spool_octets";
        let fitted = fit_limits(&mut limits, &machine(1 << 30, 1 << 30), is_set);
        assert_eq!((limits.spool_octets, limits.octets), (5, 40));
        assert!(fitted.iter().all(|it| it.key != "limits.spool_octets"));
    }

    #[test]
    fn defaults_hold_where_the_machine_says_nothing() {
        let silent = Machine {
            temporary: PathBuf::from("/tmp"),
            free_octets: None,
            memory_octets: None,
        };
        let most = Limits::DEFAULT;
        assert_eq!(
            fitted(&silent),
            (most.names, most.spool_octets, most.octets)
        );
    }

    #[test]
    fn memory_is_the_least_of_the_groups_above() {
        let folder = tempfile::tempdir().expect("a folder");
        let group = folder.path().join("system.slice/fluxwatch.service");
        fs::create_dir_all(&group).expect("made");
        fs::write(group.join("memory.max"), "max\n").expect("written");
        let above = folder.path().join("system.slice/memory.max");
        fs::write(above, "1048576\n").expect("written");
        let text = "0::/system.slice/fluxwatch.service\n";
        assert_eq!(group_limit(text, folder.path()), Some(1 << 20));
        assert_eq!(group_limit("0::/\n", folder.path()), None);
        let text = "MemTotal: 9 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(memory_available(text), Some(2 << 20));
    }
}
