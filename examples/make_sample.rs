//! Writes the sample zones of `data/sample/`: `cargo run --example make_sample [FOLDER]`.

#[path = "../data/sample/generator.rs"]
mod generator;
#[path = "../tests/it/support/numbers.rs"]
#[allow(dead_code)]
mod numbers;

use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args()
        .nth(1)
        .map_or_else(|| PathBuf::from("data/sample"), PathBuf::from);
    let sample = generator::generate(generator::Options {
        seed: 20_261_101,
        names_seed: 7,
        shift_s: 0,
    });
    for (name, octets) in &sample.files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().ok_or("a sample file lies in a folder")?)?;
        fs::write(path, octets)?;
    }
    for (role, domain) in &sample.roles {
        eprintln!("{role}: {domain}");
    }
    Ok(())
}
