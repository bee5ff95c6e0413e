//! What others wrote, made harmless for a terminal.

use std::borrow::Cow;

/// Returns whether a character moves the cursor, or the direction of writing, of who prints it.
pub fn is_steering(it: char) -> bool {
    let is_direction = matches!(it, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    it.is_control() || is_direction
}

/// Returns a text that others wrote as a terminal shows it: what steers a terminal stands as `\u{…}`. Ends of lines
/// and tabs stay.
pub fn plain(text: &str) -> Cow<'_, str> {
    let is_bad = |it: char| is_steering(it) && !matches!(it, '\n' | '\t');
    if !text.contains(is_bad) {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if is_bad(character) {
            plain.extend(character.escape_unicode())
        } else {
            plain.push(character)
        }
    }
    plain.into()
}
