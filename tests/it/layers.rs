//! Who may import whom (docs/architecture.md), kept by reading the `use` lines.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms and what they may import, from the words up.
const LAYERS: [(&str, &[&str]); 23] = [
    ("file", &[]),
    ("time", &[]),
    ("count", &[]),
    ("dns", &["time"]),
    ("zone", &["dns", "time", "count"]),
    ("evidence", &["dns", "time", "count"]),
    ("detector", &["dns", "time", "count", "zone"]),
    ("case", &["dns", "time", "count", "zone", "detector"]),
    (
        "report",
        &[
            "dns", "time", "count", "zone", "evidence", "detector", "case",
        ],
    ),
    (
        "outbox",
        &[
            "dns", "time", "count", "zone", "evidence", "detector", "case", "report",
        ],
    ),
    ("source", EDGE),
    ("store", EDGE),
    ("enrich", EDGE),
    ("templates", EDGE),
    ("mailer", EDGE),
    ("config", EDGE),
    (
        "pipeline",
        &[
            "file",
            "dns",
            "time",
            "count",
            "zone",
            "evidence",
            "detector",
            "case",
            "report",
            "outbox",
            "source",
            "store",
            "enrich",
            "templates",
            "mailer",
            "config",
            "listing",
        ],
    ),
    ("listing", &["dns", "time", "count", "case", "store"]),
    ("export", &["dns", "time", "count", "store"]),
    (
        "web",
        &[
            "dns", "time", "count", "store", "config", "pipeline", "listing",
        ],
    ),
    ("daemon", ALL),
    ("cli", ALL),
    ("main", ALL),
];
/// Words, model and the opening of files: what every edge may import.
const EDGE: &[&str] = &[
    "file", "dns", "time", "count", "zone", "evidence", "detector", "case", "report", "outbox",
];
/// Everything.
const ALL: &[&str] = &[
    "file",
    "dns",
    "time",
    "count",
    "zone",
    "evidence",
    "detector",
    "case",
    "report",
    "outbox",
    "source",
    "store",
    "enrich",
    "templates",
    "mailer",
    "config",
    "pipeline",
    "listing",
    "export",
    "web",
    "daemon",
    "cli",
];

/// Foreign crates and the rooms that may name them. serde, thiserror, tracing and tokio are free.
const OWNERS: [(&str, &[&str]); 41] = [
    ("axum", &["web"]),
    ("base64", &["report", "web"]),
    ("chrono", &["time"]),
    ("chrono_tz", &["time"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("comfy_table", &["cli"]),
    ("csv", &["enrich", "export", "cli"]),
    ("domain", &["source"]),
    ("flate2", &["source"]),
    ("glob", &["source"]),
    ("hickory_net", &["source"]),
    ("hyper", &["web"]),
    ("hyper_util", &["web"]),
    ("idna", &["dns"]),
    ("indicatif", &["cli"]),
    ("lettre", &["mailer"]),
    ("mail_parser", &["mailer"]),
    ("maxminddb", &["enrich"]),
    ("parquet", &["export"]),
    ("psl", &["dns"]),
    ("ring", &["source", "evidence", "mailer"]),
    ("rusqlite", &["store"]),
    ("rustix", &["config", "file", "store", "time"]),
    ("rustls", &["source", "mailer"]),
    ("sd_notify", &["daemon"]),
    (
        "serde_json",
        &[
            "source", "store", "evidence", "report", "pipeline", "export", "web", "cli",
        ],
    ),
    ("siphasher", &["zone"]),
    ("strsim", &["config"]),
    ("subtle", &["web"]),
    ("tempfile", &["source", "export", "cli"]),
    ("tera", &["templates"]),
    ("tokio_rustls", &["source", "mailer"]),
    ("tokio_stream", &["web"]),
    ("toml", &["config", "cli"]),
    ("unicode_security", &["dns"]),
    ("ureq", &["mailer"]),
    ("webpki", &["source"]),
    ("webpki_roots", &["source", "mailer"]),
    ("zstd", &["source", "enrich", "export"]),
];

/// Returns every source file with its room.
fn source_files() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the source can be read") {
            let path = entry.expect("the source can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&root).expect("below the root");
                let first = relative
                    .components()
                    .next()
                    .expect("a file")
                    .as_os_str()
                    .to_string_lossy();
                files.push((first.trim_end_matches(".rs").to_owned(), path));
            }
        }
    }
    files
}

/// Returns the code of a file: without its comments and its tests.
fn code_of(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("the source can be read");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Returns the words that follow `prefix` in a text: the modules or items that a path names.
fn paths_after<'a>(code: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let follows = |at: usize| {
        let rest = &code[at + prefix.len()..];
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    };
    let starts =
        |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    code.match_indices(prefix)
        .filter(|(at, _)| starts(*at))
        .map(|(at, _)| follows(at))
        .collect()
}

#[test]
fn rooms_import_only_what_their_layer_allows() {
    let rooms: BTreeSet<&str> = LAYERS.iter().map(|(room, _)| *room).collect();
    let mut faults = Vec::new();
    for (room, path) in source_files().iter().filter(|(room, _)| room != "lib") {
        let allowed = LAYERS
            .iter()
            .find(|(name, _)| name == room)
            .unwrap_or_else(|| panic!("room {room} has no layer"))
            .1;
        for imported in paths_after(&code_of(path), "crate::") {
            if rooms.contains(imported) && imported != room && !allowed.contains(&imported) {
                faults.push(format!("{} imports {imported}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn foreign_crates_stay_in_their_rooms() {
    let mut faults = Vec::new();
    for (room, path) in source_files() {
        let code = code_of(&path);
        for (name, owners) in OWNERS {
            if !paths_after(&code, &format!("{name}::")).is_empty()
                && !owners.contains(&room.as_str())
            {
                faults.push(format!("{} names {name}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn model_rooms_have_no_io_no_clock_and_no_log() {
    let mut faults = Vec::new();
    for (room, path) in source_files() {
        if ["dns", "zone", "detector", "case", "report", "outbox"].contains(&room.as_str()) {
            let code = code_of(&path);
            let words = [
                "std::fs",
                "std::net::Tcp",
                "std::net::Udp",
                "SystemTime",
                "Instant::now",
                "tracing::",
                "async fn",
                "println!",
                "std::env",
            ];
            faults.extend(
                words
                    .iter()
                    .filter(|word| {
                        code.contains(**word) && !(room == "report" && **word == "std::env")
                    })
                    .map(|word| format!("{}: {word}", path.display())),
            );
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn sql_stays_in_the_store() {
    for (room, path) in source_files() {
        let code = code_of(&path).to_lowercase();
        let has_sql = [
            "select ",
            "insert into",
            "update zone",
            "delete from",
            "pragma ",
        ]
        .iter()
        .any(|word| code.contains(word));
        assert!(!has_sql || room == "store", "{}", path.display());
    }
}
