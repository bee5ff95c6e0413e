//! The tutorial shows what the program prints.

use std::path::Path;
use std::process::Command;

/// The tutorial.
const TUTORIAL: &str = include_str!("../../docs/tutorial.md");

/// Returns the commands that are shown, each with its output.
fn shown() -> Vec<(&'static str, &'static str)> {
    TUTORIAL
        .split("```console\n$ fluxwatch ")
        .skip(1)
        .filter_map(|rest| rest.split("```").next()?.split_once('\n'))
        .collect()
}

#[test]
fn every_output_of_the_tutorial_is_what_the_program_prints() {
    let folder = tempfile::tempdir().expect("a folder");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sample");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("made");
    let copied = Command::new("cp").arg("-r").arg(sample).arg(data).status();
    assert!(copied.expect("cp runs").success());
    let shown = shown();
    assert!(shown.len() >= 5, "{}", shown.len());
    for (line, expected) in shown {
        let output = Command::new(env!("CARGO_BIN_EXE_fluxwatch"))
            .args(line.split(' '))
            .env("FLUXWATCH_CONFIG", "data/sample/fluxwatch.toml")
            .current_dir(folder.path())
            .output()
            .expect("it runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{line}");
    }
}
