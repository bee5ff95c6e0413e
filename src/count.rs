//! Counts with their nouns, as people read them: `1 version`, `2 versions`. Pure.

use std::fmt::Display;

/// Returns a count with its noun in agreement: `1 version`, `0 versions`, `2 other cases`.
///
/// `noun` is given for one thing; its last word takes the plural.
pub fn counted(count: impl Display, noun: &str) -> String {
    let count = count.to_string();
    match count.as_str() {
        "1" => format!("1 {noun}"),
        _ => format!("{count} {}", plural(noun)),
    }
}

/// Returns the plural of a noun: `addresses`, `entries`, `versions`.
fn plural(noun: &str) -> String {
    let before_last = noun.chars().rev().nth(1);
    let is_consonant = |it: char| !matches!(it, 'a' | 'e' | 'i' | 'o' | 'u');
    match noun {
        _ if noun.ends_with(['s', 'x']) || noun.ends_with("ch") || noun.ends_with("sh") => {
            format!("{noun}es")
        }
        _ if noun.ends_with('y') && before_last.is_some_and(is_consonant) => {
            format!("{}ies", &noun[..noun.len() - 1])
        }
        _ => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_agree_with_their_counts() {
        for (count, noun, wanted) in [
            (0, "version", "0 versions"),
            (1, "version", "1 version"),
            (2, "version", "2 versions"),
            (1, "address", "1 address"),
            (2, "address", "2 addresses"),
            (3, "entry", "3 entries"),
            (2, "delay", "2 delays"),
            (2, "prefix", "2 prefixes"),
            (11, "other case", "11 other cases"),
        ] {
            assert_eq!(counted(count, noun), wanted);
        }
    }
}
