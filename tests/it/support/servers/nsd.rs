//! NSD.

use super::primary::{Extras, Primary, Software, TSIG_NAME, TSIG_OTHERS, TSIG_SECRET, Zone};
use super::process::has_ipv6;
use std::ops::Deref;
use std::path::Path;

/// NSD: zones over AXFR and IXFR (which it makes when a zone file is reloaded).
pub struct Nsd(pub Primary);

impl Deref for Nsd {
    type Target = Primary;
    fn deref(&self) -> &Primary {
        &self.0
    }
}

impl Nsd {
    /// Starts NSD with `zones`; see [`Knot::start`].
    ///
    /// # Panics
    ///
    /// If NSD is not installed or does not answer within 20 seconds.
    pub fn start(dir: &Path, zones: &[(&str, &str)]) -> Nsd {
        Self::start_with(dir, zones, &Extras::default())
    }

    /// [`Nsd::start`] with more than answering.
    ///
    /// # Panics
    ///
    /// As [`Nsd::start`].
    pub fn start_with(dir: &Path, zones: &[(&str, &str)], extras: &Extras) -> Nsd {
        Nsd(Primary::start(Software::Nsd, dir, zones, extras))
    }
}

/// Returns NSD's configuration.
pub fn nsd_configuration(dir: &str, port: u16, zones: &[Zone], extras: &Extras) -> String {
    let v6 = if has_ipv6() {
        format!("ip-address: ::1@{port}")
    } else {
        String::new()
    };
    let tls = extras.tls_port.map_or_else(String::new, |port| {
        format!("ip-address: 127.0.0.1@{port}\n    tls-port: {port}\n    tls-service-key: \"{dir}/tls.key\"\n    tls-service-pem: \"{dir}/tls.pem\"")
    });
    let mut others = String::new();
    for (name, algorithm) in TSIG_OTHERS {
        others += &format!(
            "key:\n    name: \"{name}\"\n    algorithm: {algorithm}\n    secret: \"{TSIG_SECRET}\"\n"
        );
    }
    // Debian's NSD limits answers to 200 a second and client unless the rates are 0.
    let mut text = format!(
        "server:
    ip-address: 127.0.0.1@{port}
    {v6}
    {tls}
    server-count: 1
    verbosity: 1
    username: \"\"
    chroot: \"\"
    database: \"\"
    zonesdir: \"{dir}\"
    pidfile: \"{dir}/nsd.pid\"
    xfrdfile: \"{dir}/xfrd.state\"
    xfrdir: \"{dir}\"
    zonelistfile: \"{dir}/zone.list\"
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
remote-control:
    control-enable: yes
    control-interface: \"{dir}/nsd.sock\"
key:
    name: \"{TSIG_NAME}\"
    algorithm: hmac-sha256
    secret: \"{TSIG_SECRET}\"
{others}"
    );
    for zone in zones {
        let (apex, file) = (&zone.apex, zone.path.display());
        text += &format!(
            "zone:\n    name: \"{apex}\"\n    zonefile: \"{file}\"\n    store-ixfr: yes\n    create-ixfr: yes\n"
        );
        if !zone.refuses_transfer() {
            text += &format!(
                "    provide-xfr: 127.0.0.1 {TSIG_NAME}\n    provide-xfr: ::1 {TSIG_NAME}\n"
            );
            for (name, _) in TSIG_OTHERS {
                text += &format!("    provide-xfr: 127.0.0.1 {name}\n");
            }
            if let Some(port) = extras.notify_port {
                text += &format!("    notify: 127.0.0.1@{port} {TSIG_NAME}\n");
            }
        }
    }
    text
}
