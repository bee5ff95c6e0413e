//! The README says nothing that the program does not do.

use std::process::Command;

/// The README.
const README: &str = include_str!("../../README.md");

/// Returns the lines of the README's shell blocks.
fn shell_lines() -> Vec<&'static str> {
    README
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .flat_map(str::lines)
        .map(|line| line.split(" #").next().unwrap_or_default().trim())
        .collect()
}

#[test]
fn every_command_in_the_readme_exists() {
    let mut seen = 0;
    for line in shell_lines()
        .into_iter()
        .filter(|line| line.starts_with("fluxwatch "))
    {
        let words: Vec<&str> = line
            .split_whitespace()
            .skip(1)
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
            .take(2)
            .collect();
        let known = |words: &[&str]| {
            Command::new(env!("CARGO_BIN_EXE_fluxwatch"))
                .args(words)
                .arg("--help")
                .output()
                .is_ok_and(|output| output.status.success())
        };
        // The second word may be an argument, such as a domain.
        assert!(known(&words) || known(&words[..1]), "{line}");
        seen += 1;
    }
    assert!(seen >= 8, "the README shows the commands");
}

#[test]
fn readme_has_at_most_80_lines_and_a_picture_of_a_report_and_of_the_console() {
    assert!(README.lines().count() <= 80, "{}", README.lines().count());
    for picture in ["pictures/report.png", "pictures/console-"] {
        assert!(README.contains(picture), "{picture}");
    }
}

#[test]
fn readme_has_the_two_commands() {
    let lines = shell_lines();
    assert!(
        lines.contains(&"cargo run --release -- --config data/sample/fluxwatch.toml poll"),
        "{lines:?}"
    );
    assert!(lines.contains(&"tests/run"), "{lines:?}");
}
