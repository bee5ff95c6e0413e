//! The JSON Schema of the configuration takes what the program takes.

use std::fmt::Write as _;

use fluxwatch::config::{TemplateLine, read_template, schema};
use serde_json::Value;

use crate::harness::Bench;

/// Returns a configuration as JSON, as editors of TOML read it.
fn as_json(text: &str) -> Value {
    let read: toml::Value = toml::from_str(text).expect("TOML");
    serde_json::to_value(read).expect("JSON")
}

/// Returns the template with every key in use, each source with the keys of its kind.
fn template_in_use() -> String {
    let mut text = String::new();
    for line in read_template() {
        match line {
            TemplateLine::Prose(_) => {}
            TemplateLine::Section(section) => {
                let _ = writeln!(text, "{section}");
            }
            TemplateLine::Key { name, value, .. } => {
                let _ = writeln!(text, "{name} = {value}");
            }
        }
    }
    text
}

/// Returns the faults of a configuration by the schema.
fn faults(text: &str) -> Vec<String> {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let found = as_json(text);
    let faults = validator.iter_errors(&found);
    faults
        .map(|it| format!("{}: {it}", it.instance_path()))
        .collect()
}

#[test]
fn schema_takes_the_template_with_every_key_in_use() {
    let text = template_in_use();
    assert!(text.lines().count() > 150, "{text}");
    assert_eq!(faults(&text), [""; 0], "{text}");
}

#[test]
fn schema_refuses_what_the_program_refuses() {
    let store = "[store]\npath = \"x.db\"\n";
    assert_eq!(faults(store), [""; 0]);
    for broken in [
        "revers_index = true",
        "reverse_index = 1",
        "[detect]\nmemory = 90",
        "[detect]\nmemory = \"90 days\"",
        "[detect.nameservers]\nfresh_mn = 3",
        "[[source]]\nname = \"a\"\nkind = \"transfr\"",
        "[[source]]\nname = \"a\"\nkind = \"feed\"\nprimaries = [\"192.0.2.1\"]",
        "[[source]]\nname = \"a\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [\"192.0.2.1\"]\nzonemd = \"always\"",
        "[reprot]\nfrom = \"a@b.example\"",
    ] {
        let text = format!("{store}{broken}\n");
        assert!(!faults(&text).is_empty(), "{text}");
    }
    assert!(!faults("[limits]\n").is_empty(), "no [store]");
}

#[test]
fn command_prints_the_schema_with_what_the_template_says_of_each_key() {
    let bench = Bench::new("");
    let printed: Value = serde_json::from_str(&bench.run(0, &["config", "schema"])).expect("JSON");
    assert_eq!(printed, schema());
    let text = printed.to_string();
    assert!(
        text.contains("the SQLite database, created with mode 0600"),
        "{text}"
    );
    let unread = ["[`", "\"null\"", "As in", "]("]
        .into_iter()
        .find(|it| text.contains(it));
    assert_eq!(unread, None, "{text}");
}
