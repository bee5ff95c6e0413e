//! Clocks that differ: what is said of a signature that is refused for its time.

use crate::harness::{Bench, both};
use crate::servers::{Bind, Knot};
use crate::support::clocks::faked;

#[test]
fn clocks_that_differ_are_called_clocks() {
    let bench = Bench::new("");
    let zone = "example. 60 SOA ns.example. h.example. 1 60 60 60 60\nexample. 60 NS ns.test.\n";
    let knot = Knot::start(&bench.path().join("knot"), &[("example.", zone)]);
    let bind = Bind::start(&bench.path().join("bind"), &[("example.", zone)]);
    let key = bench.key_section();
    let offset = bench.write("offset", "+10m\n");
    for primary in [knot.address(), bind.address()] {
        let source = crate::support::sources::source("example.", &[primary], true);
        bench.configure(&format!("{key}{source}"));
        let output = bench
            .command(&["poll"])
            .envs(faked(&offset))
            .output()
            .expect("started");
        assert_eq!(output.status.code(), Some(3), "{}", both(&output));
        let said = bench.status("example.")["last_error"].to_string();
        assert!(
            said.contains("clock") && said.contains("put right"),
            "{said}"
        );
    }
}
