//! `evidence.csv`: every change of a finding's planes, a line each. Pure.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::detector::{ChangePoint, Finding, Plane, PlaneFinding, SeenAddress};
use crate::dns::Name;

/// The heading. Times are UTC.
const HEADING: [&str; 10] = [
    "at",
    "zone",
    "serial",
    "plane",
    "owner",
    "rrtype",
    "change",
    "value",
    "mass_change",
    "network",
];

/// Returns the changes of the last 7 days, oldest first, as RFC 4180 CSV with a heading.
///
/// No cell begins with what a spreadsheet would take for a formula: see [`safe_cell`].
pub fn evidence_csv(finding: &Finding) -> Vec<u8> {
    let mut text = HEADING.join(",");
    text.push_str("\r\n");
    for plane in finding.planes() {
        let mut seen = Seen::new();
        for address in &plane.addresses {
            seen.entry(address.address).or_insert(address);
        }
        for point in &plane.points {
            for line in lines(plane, &seen, point) {
                let cells: Vec<String> = line.iter().map(|cell| quoted(&safe_cell(cell))).collect();
                text.push_str(&cells.join(","));
                text.push_str("\r\n");
            }
        }
    }
    text.into_bytes()
}

/// Returns a cell that no spreadsheet takes for a formula: one that begins with `=`, `+`, `-`, `@`, a tab
/// or a line break gets a `'` in front.
pub fn safe_cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

/// Quotes a cell where RFC 4180 asks for it; control characters become spaces.
fn quoted(text: &str) -> String {
    let plain: String = text
        .chars()
        // A line break within quotes is good CSV, and cut in two by many a script.
        .map(|it| if it.is_control() { ' ' } else { it })
        .collect();
    if plain.contains([',', '"', '\'', ' ']) {
        format!("\"{}\"", plain.replace('"', "\"\""))
    } else {
        plain
    }
}

/// What is known of addresses.
type Seen<'a> = HashMap<IpAddr, &'a SeenAddress>;

/// Returns what one instant changed.
fn lines(plane: &PlaneFinding, seen: &Seen<'_>, point: &ChangePoint) -> Vec<[String; 10]> {
    let mut lines = Vec::new();
    let mut push = |owner: &Name, rrtype: &str, change: &str, value: String, network: String| {
        lines.push([
            point.moment.at.to_string(),
            plane.zone.to_string(),
            point
                .moment
                .serial
                .map_or_else(String::new, |serial| serial.0.to_string()),
            match plane.plane {
                Plane::Nameservers => "nameservers".to_owned(),
                Plane::Addresses => "addresses".to_owned(),
                Plane::Aliases => "aliases".to_owned(),
            },
            owner.to_string(),
            rrtype.to_owned(),
            change.to_owned(),
            value,
            match (point.moment.drift, point.moment.bulk) {
                (true, _) => "drift",
                (false, true) => "yes",
                (false, false) => "no",
            }
            .to_owned(),
            network,
        ]);
    };
    let (before, after): (BTreeSet<&Name>, BTreeSet<&Name>) = (
        point.names_before.iter().collect(),
        point.names_after.iter().collect(),
    );
    for (names, change) in [
        (before.difference(&after), "removed"),
        (after.difference(&before), "added"),
    ] {
        for name in names {
            let rrtype = match plane.plane {
                Plane::Aliases => "CNAME",
                Plane::Nameservers | Plane::Addresses => "NS",
            };
            push(
                &plane.owner,
                rrtype,
                change,
                name.to_string(),
                String::new(),
            );
        }
    }
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (
        point.addresses_before.iter().collect(),
        point.addresses_after.iter().collect(),
    );
    for (addresses, change) in [
        (before.difference(&after), "removed"),
        (after.difference(&before), "added"),
    ] {
        for (host, address) in addresses {
            let rrtype = if address.is_ipv4() { "A" } else { "AAAA" };
            push(
                host,
                rrtype,
                change,
                address.to_string(),
                network_of(seen, *address),
            );
        }
    }
    lines
}

/// Returns what is known of an address's network.
fn network_of(seen: &Seen<'_>, address: IpAddr) -> String {
    seen.get(&address)
        .map_or_else(String::new, |it| match (it.asn, &it.asn_name) {
            (Some(asn), Some(name)) => format!("AS{asn} {name}"),
            (Some(asn), None) => format!("AS{asn}"),
            (None, _) => it.prefix.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_lines_and_quotes_stay_text() {
        for (cell, wanted) in [
            ("=cmd|'/c calc'!A0", "\"'=cmd|'/c calc'!A0\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@x", "\"'@x\""),
            ("\t=1", "\"' =1\""),
            ("a\"b,c\r\nd", "\"a\"\"b,c  d\""),
            ("ns1.example.", "ns1.example."),
        ] {
            assert_eq!(quoted(&safe_cell(cell)), wanted);
        }
    }
}
