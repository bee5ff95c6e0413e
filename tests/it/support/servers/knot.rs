//! Knot DNS.

use super::primary::{Extras, Primary, Software, TSIG_NAME, TSIG_OTHERS, TSIG_SECRET, Zone};
use super::process::has_ipv6;
use std::ops::Deref;
use std::path::Path;

/// Knot DNS: zones over AXFR and IXFR (from the differences of zone files), and dynamic updates.
pub struct Knot(pub Primary);

impl Deref for Knot {
    type Target = Primary;
    fn deref(&self) -> &Primary {
        &self.0
    }
}

impl Knot {
    /// Starts Knot with `zones`, each an apex with its final dot and the text of its zone file.
    ///
    /// Returns when it answers for all of them. `dir` is made if it is missing; it has room for one
    /// server of each kind.
    ///
    /// # Panics
    ///
    /// If Knot is not installed or does not answer within 20 seconds.
    pub fn start(dir: &Path, zones: &[(&str, &str)]) -> Knot {
        Self::start_with(dir, zones, &Extras::default())
    }

    /// [`Knot::start`] with more than answering.
    ///
    /// # Panics
    ///
    /// As [`Knot::start`].
    pub fn start_with(dir: &Path, zones: &[(&str, &str)], extras: &Extras) -> Knot {
        Knot(Primary::start(Software::Knot, dir, zones, extras))
    }
}

/// Returns Knot's configuration.
pub fn knot_configuration(dir: &str, port: u16, zones: &[Zone], extras: &Extras) -> String {
    let v6 = if has_ipv6() {
        format!(", ::1@{port}")
    } else {
        String::new()
    };
    let more = extras.more_v6_port.map(|port| format!(", ::1@{port}"));
    let v6 = if extras.v4_only { String::new() } else { v6 } + &more.unwrap_or_default();
    let key = TSIG_NAME;
    let mut others = String::new();
    let mut names = format!("\"{key}\"");
    for (name, algorithm) in TSIG_OTHERS {
        others += &format!(
            "  - id: \"{name}\"\n    algorithm: {algorithm}\n    secret: \"{TSIG_SECRET}\"\n"
        );
        names += &format!(", \"{name}\"");
    }
    let (mut remote, mut notify) = (String::new(), "");
    if let Some(port) = extras.notify_port {
        remote = format!(
            "remote:\n  - id: watcher\n    address: 127.0.0.1@{port}\n    key: \"{key}\"\n"
        );
        notify = "    notify: watcher\n";
    }
    let digest = extras.zonemd.map_or_else(String::new, |algorithm| {
        format!("    dnssec-signing: on\n    zonemd-generate: {algorithm}\n")
    });
    // The sizes are those of sparse files that Knot maps; its own are 20 GiB and more.
    let mut text = format!(
        "server:
    rundir: \"{dir}\"
    listen: [ 127.0.0.1@{port}{v6} ]
    udp-workers: 1
    tcp-workers: 2
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: \"{dir}\"
    journal-db-max-size: 1G
    kasp-db-max-size: 10M
    timer-db-max-size: 10M
    catalog-db-max-size: 10M
key:
  - id: \"{key}\"
    algorithm: hmac-sha256
    secret: \"{TSIG_SECRET}\"
{others}{remote}acl:
  - id: with-key
    key: [ {names} ]
    action: [ transfer, update, query ]
  - id: refused
    key: \"{key}\"
    action: [ query ]
  - id: open
    address: [ 127.0.0.0/8, ::1 ]
    action: [ transfer, query ]
template:
  - id: default
    zonefile-load: difference
    zonefile-sync: -1
{notify}{digest}zone:
"
    );
    if let Some(catalog) = &extras.catalog {
        text +=
            &format!("  - domain: \"{catalog}\"\n    catalog-role: generate\n    acl: with-key\n");
    }
    for zone in zones {
        let acl = if zone.refuses_transfer() {
            "refused"
        } else if extras.open {
            "[ with-key, open ]"
        } else {
            "with-key"
        };
        let (apex, file) = (&zone.apex, zone.path.display());
        text += &format!("  - domain: \"{apex}\"\n    file: \"{file}\"\n    acl: {acl}\n");
        if let Some(catalog) = &extras.catalog {
            text += &format!("    catalog-role: member\n    catalog-zone: \"{catalog}\"\n");
        }
    }
    text
}
