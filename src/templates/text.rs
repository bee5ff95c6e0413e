//! Lines that fit a mail reader of 80 columns, and words that any shell takes as they are.

/// The most characters of a line that can be broken.
const LINE_CHARACTERS_MAX: usize = 78;
/// A gap of so many spaces separates a label from its value.
const GAP: &str = "  ";

/// Breaks long lines at spaces, and indents what follows below the line's value.
///
/// A command (a line that begins with `fluxwatch`, however far indented) stays whole: it is to be pasted. So
/// does a word that is longer than a line, such as a name of 250 octets.
pub fn wrapped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let bare = line.strip_suffix('\n').unwrap_or(line);
        let is_command = bare.trim_start().starts_with("fluxwatch ");
        if bare.chars().count() > LINE_CHARACTERS_MAX && !is_command {
            break_line(bare, &mut out)
        } else {
            out.push_str(bare)
        }
        out.push_str(&line[bare.len()..]);
    }
    out
}

/// Breaks one line.
fn break_line(line: &str, out: &mut String) {
    let hang = " ".repeat(hanging_indent(line));
    let lead = line.len() - line.trim_start().len();
    let mut width = lead;
    out.push_str(&line[..lead]);
    let mut is_first = true;
    // Gaps inside a line are kept: they line its columns up.
    for word in line[lead..].split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if !is_first && width + length > LINE_CHARACTERS_MAX && length > 0 {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out.push_str(&hang);
            width = hang.len();
        }
        out.push_str(word);
        width += word.chars().count();
        is_first = false;
    }
    out.truncate(out.trim_end_matches(' ').len());
}

/// Returns where the value of a line begins: after its label and a gap, else two columns further in.
fn hanging_indent(line: &str) -> usize {
    let lead = line.len() - line.trim_start().len();
    let rest = &line[lead..];
    let value = rest.find(GAP).map(|gap| {
        let after = rest[gap..].len() - rest[gap..].trim_start().len();
        line[..lead + gap].chars().count() + after
    });
    match value {
        Some(value) if value <= LINE_CHARACTERS_MAX / 3 => value,
        // A sentence goes on at the margin, an item of a list below its first word.
        _ if lead == 0 => 0,
        _ => lead + GAP.len(),
    }
}

/// Returns a domain as one word of a command: defanged, in single quotes.
///
/// sh, bash, dash, zsh and fish take what is in the quotes as it is. Without them, zsh takes
/// `bad[.]example` for a pattern and refuses the command. Whatever is no letter, digit, hyphen or
/// underscore is written as a decimal escape (RFC 1035 §5.1): a quote would end the word, fish reads two
/// backslashes as one, and what is pasted is cut at a `/` or `?`, as of a URL.
pub fn shell_word(domain: &str) -> String {
    let mut word = String::with_capacity(domain.len() + 8);
    let mut rest = domain.chars();
    let escape = |it: char| {
        if it.is_ascii() {
            format!("\\{:03}", u32::from(it))
        } else {
            it.to_string()
        }
    };
    while let Some(it) = rest.next() {
        match it {
            '\\' => match rest.next() {
                Some(digit) if digit.is_ascii_digit() => word.extend(['\\', digit]),
                Some(escaped) => word.push_str(&escape(escaped)),
                None => word.push_str(&escape(it)),
            },
            '.' | '-' | '_' => word.push(it),
            _ if it.is_ascii_alphanumeric() => word.push(it),
            _ => word.push_str(&escape(it)),
        }
    }
    format!("'{}'", super::defang(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_below_their_value_and_commands_are_not() {
        let text = format!("What to do      {}\n", "word ".repeat(20).trim_end());
        let lines: Vec<String> = wrapped(&text).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.chars().count() <= 78));
        assert!(lines[1].starts_with("                word"), "{lines:?}");
        let command = format!("  fluxwatch explain '{}' --at x\n", "a".repeat(100));
        assert_eq!(wrapped(&command), command);
        let long = format!("{}\n\nx  y\n", "a".repeat(100));
        assert_eq!(wrapped(&long), long);
    }

    #[test]
    fn no_name_ends_the_word_that_it_is() {
        for (name, wanted) in [
            ("bad.example", "'bad[.]example'"),
            ("a'b.example", "'a\\039b[.]example'"),
            ("a\\'b.example", "'a\\039b[.]example'"),
            ("a\\\\b.example", "'a\\092b[.]example'"),
            ("*.example", "'\\042[.]example'"),
            ("$(reboot).example", "'\\036\\040reboot\\041[.]example'"),
            ("a\\032b\\.c.example", "'a\\032b\\046c[.]example'"),
        ] {
            assert_eq!(shell_word(name), wanted);
        }
    }
}
