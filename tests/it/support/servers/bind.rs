//! BIND.

use super::primary::{
    DYNAMIC_PREFIX, Extras, Primary, Software, TSIG_NAME, TSIG_OTHERS, TSIG_SECRET, Zone,
};
use super::process::has_ipv6;
use std::ops::Deref;
use std::path::Path;

/// BIND: zones over AXFR and IXFR (from the differences of zone files).
pub struct Bind(pub Primary);

impl Deref for Bind {
    type Target = Primary;
    fn deref(&self) -> &Primary {
        &self.0
    }
}

impl Bind {
    /// Starts BIND with `zones`; see [`Knot::start`].
    ///
    /// # Panics
    ///
    /// If BIND is not installed or does not answer within 20 seconds.
    pub fn start(dir: &Path, zones: &[(&str, &str)]) -> Bind {
        Self::start_with(dir, zones, &Extras::default())
    }

    /// [`Bind::start`] with more than answering.
    ///
    /// # Panics
    ///
    /// As [`Bind::start`].
    pub fn start_with(dir: &Path, zones: &[(&str, &str)], extras: &Extras) -> Bind {
        Bind(Primary::start(Software::Bind, dir, zones, extras))
    }
}

/// Returns BIND's configuration.
pub fn bind_configuration(dir: &str, port: u16, zones: &[Zone], extras: &Extras) -> String {
    let v6 = if has_ipv6() { "::1;" } else { "none;" };
    let tls = extras.tls_port.map_or_else(String::new, |port| {
        format!("listen-on port {port} tls xot {{ 127.0.0.1; }};")
    });
    let tls_block = extras.tls_port.map_or_else(String::new, |_| {
        format!("tls xot {{ cert-file \"{dir}/tls.pem\"; key-file \"{dir}/tls.key\"; protocols {{ TLSv1.3; }}; }};\n")
    });
    let notify = extras.notify_port.map_or("notify no;".to_owned(), |port| {
        format!("notify explicit; notify-delay 0; also-notify {{ 127.0.0.1 port {port} key \"{TSIG_NAME}\"; }};")
    });
    let recursion = extras
        .resolves_through
        .map_or("recursion no;".to_owned(), |port| {
            format!("recursion yes; forward only; forwarders {{ 127.0.0.1 port {port}; }};")
        });
    let mut others = String::new();
    for (name, algorithm) in TSIG_OTHERS {
        others +=
            &format!("key \"{name}\" {{ algorithm {algorithm}; secret \"{TSIG_SECRET}\"; }};\n");
    }
    // Without the ratio BIND answers IXFR with the whole zone if the differences are larger, as they
    // are in small test zones.
    let mut text = format!(
        "options {{
    directory \"{dir}\";
    pid-file \"{dir}/named.pid\";
    session-keyfile \"{dir}/session.key\";
    lock-file none;
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 port {port} {{ {v6} }};
    {recursion}
    dnssec-validation no;
    empty-zones-enable no;
    {notify}
    {tls}
    ixfr-from-differences yes;
    max-ixfr-ratio unlimited;
    allow-transfer {{ none; }};
}};
controls {{ }};
key \"{TSIG_NAME}\" {{ algorithm hmac-sha256; secret \"{TSIG_SECRET}\"; }};
{others}{tls_block}"
    );
    for zone in zones {
        let (apex, file) = (&zone.apex, zone.path.display());
        let to = if zone.refuses_transfer() {
            "none;".to_owned()
        } else {
            let [(a, _), (b, _)] = TSIG_OTHERS;
            format!("key \"{TSIG_NAME}\"; key \"{a}\"; key \"{b}\";")
        };
        let update = if apex.starts_with(DYNAMIC_PREFIX) {
            format!("allow-update {{ key \"{TSIG_NAME}\"; }};")
        } else {
            String::new()
        };
        text += &format!(
            "zone \"{apex}\" {{ type primary; file \"{file}\"; allow-transfer {{ {to} }};\n    \
             check-names ignore; check-integrity no; {update} }};\n"
        );
    }
    text
}
