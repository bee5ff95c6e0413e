//! Writes a made zone: `make_zone DELEGATIONS VERSION [SHARE_PER_MILLE] > example.zone`.
//!
//! About 2.6 records a delegation: two name servers each, of 20,000 providers with a long tail; every
//! tenth has two of its own with IPv4 and IPv6 glue; every fifth is signed. In each version after the
//! first, SHARE_PER_MILLE (10 by default: 1 %) of the names change their name servers, others each time.

#[path = "../tests/it/support/numbers.rs"]
#[allow(dead_code)]
mod numbers;

use numbers::Numbers;
use std::io::{self, BufWriter, Write};

/// Returns the number that a seed leads to.
fn mix(seed: u64) -> u64 {
    Numbers(seed).draw()
}

fn main() -> io::Result<()> {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().unwrap_or(0));
    let count = numbers.next().unwrap_or(1_000_000);
    let version = numbers.next().unwrap_or(1);
    let share = numbers.next().unwrap_or(10);
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    writeln!(
        out,
        "$ORIGIN example.\n$TTL 86400\n@ IN SOA ns1.infra.test. host.infra.test. {version} 1800 900 604800 3600\n@ IN NS ns1.infra.test."
    )?;
    for n in 0..count {
        let moves = (2..=version)
            .rev()
            .find(|v| mix(n ^ (*v << 32)) % 1000 < share)
            .unwrap_or(1);
        let draw = mix(n.wrapping_mul(31) ^ moves) % 20_000;
        let provider = draw * draw / 20_000;
        let label = format!("{:x}-{n}", mix(n) & 0xffff);
        if n % 5 == 0 {
            writeln!(
                out,
                "{label} DS {} 13 2 {:016x}{:016x}{:016x}{:016x}",
                n & 0xffff,
                mix(n),
                mix(n + 1),
                mix(n + 2),
                mix(n + 3)
            )?;
        }
        if n % 10 == 0 {
            let (a, b, c) = (n >> 16 & 255, n >> 8 & 255, moves & 255);
            writeln!(out, "{label} NS ns1.{label}\n{label} NS ns2.{label}")?;
            for host in 1..3 {
                writeln!(
                    out,
                    "ns{host}.{label} A 10.{a}.{b}.{}\nns{host}.{label} AAAA 2001:db8:{:x}:{:x}::{host}",
                    c + host,
                    n >> 16,
                    n & 0xffff
                )?;
            }
        } else {
            writeln!(
                out,
                "{label} NS ns1.provider{provider}.test.\n{label} NS ns2.provider{provider}.test."
            )?;
        }
    }
    out.flush()
}
