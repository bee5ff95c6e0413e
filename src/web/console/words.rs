//! How values read on pages: names, times, ages.

use serde_json::{Value, json};

use crate::dns::{Name, UnicodeForm, unicode_form};
use crate::time::Timestamp;

/// Returns a name as pages show it: its A-labels, and its own script where that can be shown.
pub(in crate::web::console) fn name(name: &Name) -> Value {
    let unicode = match unicode_form(name) {
        UnicodeForm::Shown(unicode) => Some(unicode),
        UnicodeForm::None => None,
        UnicodeForm::Withheld => {
            Some("Unicode form withheld: it could be taken for another name".to_owned())
        }
    };
    json!({"text": name.to_text_without_dot(), "unicode": unicode})
}

/// Returns a time as pages show it: UTC to the minute, for programs, and how long ago.
pub(in crate::web::console) fn time(at: Timestamp, now: Timestamp) -> Value {
    json!({"text": at.to_minute(), "machine": at.to_string(), "age": age(at, now)})
}

/// Returns how long ago a time was, in one unit.
fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.since(at).as_seconds();
    let is_ahead = seconds < 0;
    let seconds = seconds.abs();
    let (count, unit) = match seconds {
        0..3600 => (seconds / 60, "min"),
        3600..172_800 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    match is_ahead {
        true => format!("in {count} {unit}"),
        false => format!("{count} {unit}"),
    }
}
