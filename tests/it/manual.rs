//! The man pages and what packages install.

use std::process::Command;

use crate::harness::Bench;

/// Writes all man pages, and returns the paths.
fn pages(bench: &Bench) -> Vec<std::path::PathBuf> {
    let folder = bench.path().join("man");
    bench.run(0, &["man", "--to", folder.to_str().expect("text")]);
    let mut pages: Vec<_> = std::fs::read_dir(folder)
        .expect("the pages")
        .map(|entry| entry.expect("a page").path())
        .collect();
    pages.sort();
    pages
}

#[test]
fn mandoc_finds_nothing_to_say_of_any_page() {
    let bench = Bench::new("");
    let pages = pages(&bench);
    assert!(pages.len() > 50, "{}", pages.len());
    let output = Command::new("mandoc")
        .args(["-T", "lint"])
        .args(&pages)
        .output()
        .expect("mandoc is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    // Which system a page is for is known to BSD's pages alone; a page of another program may be installed or not.
    let is_known = |line: &&str| {
        !line.contains("referenced manual not found") && !line.contains("missing -mdoc")
    };
    let faults: Vec<&str> = said.lines().filter(is_known).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_man_page_has_exit_status_files_environment_examples_and_see_also() {
    let bench = Bench::new("");
    for page in pages(&bench) {
        let text = std::fs::read_to_string(&page).expect("a page");
        let wanted: &[&str] = if page.extension().is_some_and(|it| it == "5") {
            &["DESCRIPTION", "EXAMPLES", "SEE ALSO"]
        } else {
            &[
                "SYNOPSIS",
                "EXIT STATUS",
                "FILES",
                "ENVIRONMENT",
                "EXAMPLES",
                "SEE ALSO",
            ]
        };
        for section in wanted {
            let has = [format!(".SH \"{section}\""), format!(".SH {section}")]
                .iter()
                .any(|heading| text.lines().any(|line| line == heading));
            assert!(has, "{} has no {section}", page.display());
        }
        let named = text.matches("fluxwatch").count();
        assert!(named > 2, "{}", page.display());
    }
}

#[test]
fn every_key_of_the_template_is_in_the_page_of_the_configuration() {
    let bench = Bench::new("");
    let page = pages(&bench)
        .into_iter()
        .find(|page| page.ends_with("fluxwatch.toml.5"))
        .expect("the page");
    let page = std::fs::read_to_string(page).expect("read");
    for key in [
        "reverse_index",
        "primaries",
        "networks_min",
        "per_hour_max",
        "bounces",
        "timezone",
    ] {
        assert!(page.contains(&format!("\\fB{key}\\fR")), "{key}");
    }
}

#[test]
fn help_of_every_command_ends_with_an_example_of_it() {
    let bench = Bench::new("");
    for words in [
        vec!["poll"],
        vec!["cases", "dismiss"],
        vec!["config", "check"],
        vec![],
    ] {
        let help = bench.run(0, &[words.as_slice(), &["--help"]].concat());
        let (_, examples) = help.split_once("Examples:\n").expect("examples");
        assert!(examples.contains("  fluxwatch "), "{help}");
        assert!(words.iter().all(|word| examples.contains(word)), "{help}");
    }
}

#[test]
fn man_pages_name_pages_that_are_there_and_every_argument() {
    let bench = Bench::new("");
    let pages = pages(&bench);
    let there: Vec<String> = pages
        .iter()
        .map(|page| {
            page.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    for page in &pages {
        let text = std::fs::read_to_string(page)
            .expect("a page")
            .replace("\\-", "-");
        let plain = text
            .replace("\\fB", "")
            .replace("\\fI", "")
            .replace("\\fR", "");
        let related = plain.split(".SH \"SEE ALSO\"\n").nth(1).expect("see also");
        for name in related.split([' ', '\n']).filter(|it| it.contains('(')) {
            let name = name.split('(').next().expect("a name");
            assert!(
                there.iter().any(|it| it == name),
                "{}: {name}",
                page.display()
            );
        }
        let stem = page.file_stem().expect("a name").to_string_lossy();
        let head = plain.split(".SH NAME\n").nth(1).expect("a name");
        assert!(
            head.starts_with(&format!("{stem} - ")),
            "{}: {}",
            page.display(),
            &head[..80]
        );
    }
    let synopsis = |name: &str| {
        let page = pages
            .iter()
            .find(|it| it.file_stem().is_some_and(|stem| stem == name));
        let text = std::fs::read_to_string(page.expect("a page"))
            .expect("read")
            .replace("\\-", "-");
        let plain = text
            .replace("\\fB", "")
            .replace("\\fI", "")
            .replace("\\fR", "");
        let part = plain.split(".SH SYNOPSIS\n").nth(1).expect("a synopsis");
        part.split("\n.SH").next().expect("text").replace('\n', " ")
    };
    let import = synopsis("fluxwatch-import-zonefile");
    assert!(import.contains("[--config FILE]"), "{import}");
    assert!(import.contains("--zone ZONE"), "{import}");
    assert!(
        import.contains("FILE...") || import.contains("FILES..."),
        "{import}"
    );
    assert!(synopsis("fluxwatch-explain").contains(" DOMAIN"));
    assert!(synopsis("fluxwatch-cases-dismiss").contains("--reason REASON"));
}
