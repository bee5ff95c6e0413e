//! Zones and sources as text.

use std::net::SocketAddr;

/// A zone with `names` delegations and the given serial.
pub fn zone(serial: u32, names: u32) -> String {
    let mut text = format!(
        "$ORIGIN example.\n$TTL 3600\n@ IN SOA ns1.infra.test. host.infra.test. {serial} 3600 600 86400 300\n@ IN NS ns1.infra.test.\n"
    );
    for n in 0..names {
        text.push_str(&format!("d{n} IN NS ns1.d{n}.example.\nd{n} IN NS ns2.infra.test.\nns1.d{n} IN A 192.0.2.{}\nns1.d{n} IN AAAA 2001:db8::{n:x}\n", n % 250 + 1));
    }
    text
}

/// A source that transfers `zone` from `primaries`.
pub fn source(zone: &str, primaries: &[SocketAddr], keyed: bool) -> String {
    let primaries: Vec<String> = primaries
        .iter()
        .map(|address| format!("\"{address}\""))
        .collect();
    let key = if keyed {
        "key = \"transfer.test.\"\n"
    } else {
        ""
    };
    format!(
        "[[source]]\nname = \"{zone}\"\nkind = \"transfer\"\nzone = \"{zone}\"\nprimaries = [{}]\n{key}",
        primaries.join(", ")
    )
}
