//! Months of the real root zone give the same chain of hashes on both engines.

use crate::harness::{Bench, both};
use crate::rootzone::{ROOT, feed_of};
use crate::servers::Postgres;
use crate::support::stores::has_no_file;

/// Takes a feed in. Returns the hash that its chain ends with, as the log has it, and whether it is sound.
fn end_of_chain(bench: &Bench, feed: &str) -> (String, String) {
    bench.write("root.ndjson", feed);
    let output = bench.command(&["-v", "poll"]).output().expect("it runs");
    let said = both(&output);
    let (_, hash) = said.rsplit_once("hash=").expect("a hash");
    (hash[..64].to_owned(), bench.run(0, &["db", "verify"]))
}

#[test]
fn months_of_the_root_zone_give_the_same_chain_on_both_engines() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    for (number, name) in ["rootzone-2018", "ris-2019"].into_iter().enumerate() {
        let Some(feed) = feed_of(name) else {
            return;
        };
        let url = server.url(&format!("months_{number}"));
        let there = end_of_chain(&Bench::on(&url, ROOT), &feed);
        assert!(there.1.starts_with("sound"), "{}", there.1);
        assert_eq!(there, end_of_chain(&Bench::new(ROOT), &feed), "{name}");
    }
}
