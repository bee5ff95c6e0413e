//! Benches with the sample.

use crate::generator::{Options, Sample, generate};
use crate::harness::Bench;
use crate::support::stores::store_lines;

/// The options that `data/sample/` was made with.
pub const COMMITTED: Options = Options {
    seed: 20_261_101,
    names_seed: 7,
    shift_s: 0,
};

/// Makes a bench with a sample and the committed configuration, its paths moved into the bench.
pub fn bench_with(sample: &Sample) -> Bench {
    let written =
        include_str!("../../../data/sample/fluxwatch.toml").replace("../../fluxwatch-sample/", "");
    let written = written.replace("paper-cycles.test.", &sample.roles["double-flux"]);
    let bench = Bench::new("");
    for (name, octets) in &sample.files {
        bench.write(name, octets);
    }
    let store = store_lines(bench.path());
    bench.write(
        "fluxwatch.toml",
        written.replace("path = \"fluxwatch.db\"\n", &store),
    );
    bench
}

/// Makes a bench with the committed sample.
pub fn sample_bench() -> Bench {
    bench_with(&generate(COMMITTED))
}
