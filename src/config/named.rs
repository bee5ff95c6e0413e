//! The files and folders that a configuration names, key by key.

use std::path::{Path, PathBuf};

use toml::Value;

use crate::config::reading::PATH_KEYS;
use crate::config::resolved::Config;

/// Keys that name a file in one section alone.
const PATHS_OF_SECTIONS: [&str; 2] = ["web.certificate", "web.key"];

impl Config {
    /// Returns each file and folder that the configuration names, with its key as faults name it. A pattern is returned
    /// as it stands.
    pub fn named_paths(&self) -> Vec<(String, PathBuf)> {
        let written = Value::try_from(&self.written);
        let mut named = Vec::new();
        if let Ok(written) = &written {
            add_named(written, "", &mut named);
        }
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let paths = named.into_iter();
        paths.map(|(key, text)| (key, folder.join(text))).collect()
    }
}

/// Adds what a value names, and what is in it.
fn add_named<'a>(value: &'a Value, key: &str, named: &mut Vec<(String, &'a str)>) {
    match value {
        Value::Table(table) => {
            for (name, below) in table {
                let key = match key {
                    "" => name.clone(),
                    key => format!("{key}.{name}"),
                };
                let is_path =
                    PATH_KEYS.contains(&name.as_str()) || PATHS_OF_SECTIONS.contains(&key.as_str());
                match below {
                    Value::String(text) if is_path => named.push((key, text)),
                    below => add_named(below, &key, named),
                }
            }
        }
        Value::Array(list) => {
            for (n, below) in list.iter().enumerate() {
                add_named(below, &format!("{key}[{n}]"), named);
            }
        }
        _ => {}
    }
}
