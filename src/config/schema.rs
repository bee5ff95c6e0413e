//! The JSON Schema of the configuration, for editors.
//!
//! Types and defaults are those of the sections; what is said of a key is what the template says of it.

use std::collections::HashMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::config::template::{TemplateLine, read_template};
use crate::config::written::{
    CatalogSection, Every, FeedSection, FullEvery, ProbeSection, SourceKeys, SourceSection,
    TransferSection, Written, ZonefileSection,
};
use crate::time::Span;

/// The keys of a JSON Schema that stand for nothing in TOML, which has no null.
const NULL: &str = "null";

/// Returns the schema (JSON Schema, draft 7: what editors of TOML read).
pub fn schema() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<Written>().to_value();
    schema["title"] = json!("The configuration of fluxwatch");
    schema["additionalProperties"] = json!(false);
    schema["required"] = json!(["store"]);
    without_null(&mut schema);
    let notes = Notes::read();
    let sections: Option<Vec<String>> = schema["properties"]
        .as_object()
        .map(|it| it.keys().cloned().collect());
    for section in sections.unwrap_or_default() {
        notes.describe(&mut schema, &section);
    }
    schema
}

/// Takes out what says that a key may be null, and defaults that are.
fn without_null(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(without_null),
        Value::Object(map) => {
            map.values_mut().for_each(without_null);
            map.retain(|key, value| !(key == "default" && value.is_null()));
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = plain(text);
            }
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|it| it != NULL);
                if let [only] = &types[..] {
                    map["type"] = only.clone();
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|it| it["type"] != NULL);
                // Beside a reference nothing else counts in draft 7.
                if let [only] = &choices[..] {
                    let only = json!([only]);
                    map.remove("anyOf");
                    map.insert("allOf".to_owned(), only);
                }
            }
        }
        _ => {}
    }
}

/// Returns a doc comment without the places that its links lead to.
fn plain(text: &str) -> String {
    let mut parts = text.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once(')').map_or(part, |(_, rest)| rest));
    rest.fold(first, |text, part| text + part)
        .replace("[`", "`")
        .replace("`]", "`")
}

/// What the template says of keys: by section and key; of sources by kind.
struct Notes(HashMap<(String, String), String>);

impl Notes {
    /// Reads the template. The first note of a key counts.
    fn read() -> Self {
        let mut notes = HashMap::new();
        let mut section = String::new();
        for line in read_template() {
            match line {
                TemplateLine::Section(name) => section = name.trim_matches(['[', ']']).to_owned(),
                TemplateLine::Key { name, value, .. } if section == "source" && name == "kind" => {
                    section = format!("source.{}", value.trim_matches('"'));
                }
                TemplateLine::Key { name, note, .. } if !note.is_empty() => {
                    notes.entry((section.clone(), name)).or_insert(note);
                }
                TemplateLine::Key { .. } | TemplateLine::Prose(_) => {}
            }
        }
        Self(notes)
    }

    /// Describes the keys of a section, and of the tables below it.
    fn describe(&self, schema: &mut Value, section: &str) {
        let mut place = schema["properties"][section].clone();
        self.describe_keys(&mut place, &mut schema["definitions"], section);
        schema["properties"][section] = place;
    }

    /// Describes the keys of one schema, through what it refers to.
    fn describe_keys(&self, place: &mut Value, definitions: &mut Value, section: &str) {
        let named = place["$ref"].as_str().or(place["items"]["$ref"].as_str());
        let named = named
            .or(place["allOf"][0]["$ref"].as_str())
            .map(|it| it.replace("#/definitions/", ""));
        if let Some(name) = named {
            let mut meant = definitions[&name].clone();
            self.describe_keys(&mut meant, definitions, section);
            definitions[&name] = meant;
            return;
        }
        if let Some(kinds) = place.get_mut("oneOf").and_then(Value::as_array_mut) {
            for kind in kinds {
                let section = format!("{section}.{}", kind["title"].as_str().unwrap_or_default());
                self.describe_keys(kind, definitions, &section);
            }
        }
        let Some(keys) = place.get_mut("properties").and_then(Value::as_object_mut) else {
            return;
        };
        for (key, value) in keys {
            let of = |section: &str| self.0.get(&(section.to_owned(), key.clone()));
            // A catalog's transfers are those of a zone.
            let also = (section == "source.catalog")
                .then(|| of("source.transfer"))
                .flatten();
            match of(section).or(also) {
                Some(note) => value["description"] = json!(note),
                None => self.describe_keys(value, definitions, &format!("{section}.{key}")),
            }
        }
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema_of(json!({
            "type": "string",
            "pattern": "^([0-9]+[wdhms])+$",
            "description": "A length of time: 90s, 5m, 36h, 7d, 2w, 1h30m"
        }))
    }
}

impl JsonSchema for Every {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Every".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema_of(json!({"type": "string", "pattern": "^(soa|([0-9]+[wdhms])+)$"}))
    }
}

impl JsonSchema for FullEvery {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FullEvery".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema_of(json!({"type": "string", "pattern": "^(auto|off|([0-9]+[wdhms])+)$"}))
    }
}

impl JsonSchema for SourceSection {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let common = keys_of::<SourceKeys>(generator);
        let kinds = [
            (
                "transfer",
                keys_of::<TransferSection>(generator),
                &["zone", "primaries"][..],
            ),
            (
                "catalog",
                keys_of::<CatalogSection>(generator),
                &["zone", "primaries"],
            ),
            (
                "zonefile",
                keys_of::<ZonefileSection>(generator),
                &["zone", "path"],
            ),
            ("feed", keys_of::<FeedSection>(generator), &[]),
            ("probe", keys_of::<ProbeSection>(generator), &["domains"]),
        ];
        let kinds = kinds.map(|(kind, own, needed)| {
            let mut keys = common.clone();
            keys.extend(own);
            keys.insert("kind".to_owned(), json!({"const": kind}));
            let needed: Vec<&str> = ["name", "kind"].iter().chain(needed).copied().collect();
            json!({
                "title": kind,
                "type": "object",
                "properties": keys,
                "required": needed,
                "additionalProperties": false
            })
        });
        schema_of(json!({"description": "Where changes come from.", "oneOf": kinds}))
    }
}

/// Returns the keys of a section with what each may be.
fn keys_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let section = T::json_schema(generator).to_value();
    section["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default()
}

/// Returns a schema that is written as JSON.
fn schema_of(value: Value) -> Schema {
    Schema::try_from(value).expect("an object is a schema")
}
