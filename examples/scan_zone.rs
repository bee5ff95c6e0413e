//! Scans a zone file with NLnet Labs' scanner and throws its records away: the floor of benches/ingest.

#![allow(clippy::print_stdout, reason = "what it counts is its output")]

use std::error::Error;
use std::fs::File;

use domain::base::Name;
use domain::base::iana::Class;
use domain::zonefile::inplace::Zonefile;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: scan_zone FILE")?;
    let mut scanner = Zonefile::load(&mut File::open(path)?)?;
    scanner.set_origin(Name::from_octets(b"\x07example\x00".to_vec().into())?);
    scanner.set_default_class(Class::IN);
    let mut entries = 0_u64;
    while scanner
        .next_entry()
        .map_err(|fault| fault.to_string())?
        .is_some()
    {
        entries += 1;
    }
    println!("{entries} entries");
    Ok(())
}
