//! Makes the built-in table of autonomous systems: `make_asn_table TABLE DATE [FOLDER]`.
//!
//! TABLE is what `[enrich] asn` reads: CSV or a database in MaxMind's format, with IPv4 and IPv6. DATE is that of its
//! making (`2026-06-17`). Writes `ranges.bin` and `names.zst` into FOLDER (`data/asn`), and prints what
//! `data/asn/README.md` has to say of them.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fluxwatch::enrich::{AsnTable, pack_table};
use fluxwatch::time::Timestamp;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(date)) = (arguments.next(), arguments.next()) else {
        return Err("make_asn_table TABLE DATE [FOLDER]".into());
    };
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "data/asn".to_owned()));
    let made_at = Timestamp::parse_argument(&date, Timestamp::from_unix(0))?;
    let table = AsnTable::load(Path::new(&path))?;
    let (ranges, names) = pack_table(&table, made_at)?;
    fs::create_dir_all(&folder)?;
    let mut out = std::io::stdout();
    for (name, octets) in [("ranges.bin", &ranges), ("names.zst", &names)] {
        fs::write(folder.join(name), octets)?;
        writeln!(out, "{name}: {} bytes", octets.len())?;
    }
    writeln!(out, "{} ranges", table.summary().rows)?;
    for note in &table.summary().notes {
        writeln!(out, "{note}")?;
    }
    Ok(())
}
