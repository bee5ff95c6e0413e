//! What mails say, as the people read them who get them: the first screen, commands that can be pasted, the end.

use std::process::Command;

use fluxwatch::dns::Name;
use fluxwatch::templates::shell_word;
use serde_json::Value;

use crate::harness::{Bench, REPORT, both};
use crate::support::desk::{Feed, START, bench, read_mails};
use crate::support::sample::sample_bench;

/// Mail into the Maildir `desk`.
const MAILDIR: &str = "[smtp]\nurl = \"maildir://desk\"\n";
/// Shells that people paste commands into, with what keeps their start files out.
const SHELLS: [(&str, &[&str]); 4] = [
    ("sh", &["-c"]),
    ("bash", &["--norc", "-c"]),
    ("zsh", &["-f", "-c"]),
    ("fish", &["--no-config", "-c"]),
];
/// The most lines of the text of a usual report, and of its first screen.
const LINES_MAX: usize = 80;
/// See [`LINES_MAX`].
const FIRST_SCREEN: usize = 20;

/// Returns the content of the first part of a type, and that of an attachment by its name.
fn part<'a>(mail: &'a Value, kind: &str, name: Option<&str>) -> &'a str {
    let parts = mail["parts"].as_array().expect("parts");
    let found = parts
        .iter()
        .find(|part| part["type"] == kind && part["name"].as_str() == name);
    found
        .and_then(|part| part["content"].as_str())
        .unwrap_or_default()
}

/// Returns the commands of a text.
fn commands(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| line.starts_with("fluxwatch "))
        .collect()
}

/// Returns the lines of a text that say how many points a measure gives, with single spaces.
fn summands(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split_whitespace().collect());
    let is_summand = |words: &Vec<&str>| matches!(words[..], [points, "of", max, word, ..] if word != "shown," && points.parse::<f64>().is_ok() && max.parse::<u32>().is_ok());
    let found = lines.filter(is_summand);
    found.map(|words| words.join(" ")).collect()
}

/// Returns a shell that finds the program and the bench's configuration.
fn shell(bench: &Bench, (name, options): (&str, &[&str]), line: &str) -> String {
    let bin = bench.path().join("bin");
    std::fs::create_dir_all(&bin).expect("the folder can be made");
    let link = bin.join("fluxwatch");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fluxwatch"), &link).expect("linked");
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(name)
        .args(options)
        .arg(line)
        .current_dir(bench.path())
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("FLUXWATCH_CONFIG", bench.config())
        .env("HOME", bench.path())
        .output()
        .unwrap_or_else(|fault| panic!("{name} is installed by tests/install-servers: {fault}"));
    assert!(output.status.success(), "{name}: {line}\n{}", both(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Asserts that a text fits the screen and answers what is asked first.
fn check_first_screen(text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() <= LINES_MAX, "{} lines\n{text}", lines.len());
    assert!(!text.contains("\n\n\n"), "two blank lines: {text}");
    let first = lines[..FIRST_SCREEN].join("\n");
    for word in [
        "suspected of fast flux",
        "How sure  ",
        "Since  ",
        "Last change  ",
        "What to do  ",
        "judged at ",
        "zone ",
    ] {
        assert!(first.contains(word), "{word:?} is not in\n{first}");
    }
    let [evidence, arithmetic] = ["== Evidence", "== Arithmetic"].map(|heading| {
        text.find(heading)
            .unwrap_or_else(|| panic!("{heading}: {text}"))
    });
    assert!(evidence < arithmetic, "{text}");
    for line in lines {
        let is_command = line.trim_start().starts_with("fluxwatch ");
        assert!(line.chars().count() <= 78 || is_command, "{line}");
        assert!(!line.contains('`'), "{line}");
    }
}

#[test]
fn the_first_20_of_at_most_80_lines_of_a_report_say_what_how_sure_since_when_what_changed_and_what_to_do()
 {
    let bench = sample_bench();
    bench.run(0, &["poll"]);
    let mails = read_mails(&bench);
    assert_eq!(mails.len(), 3);
    for mail in &mails {
        check_first_screen(part(mail, "text/plain", None));
        let details = part(mail, "text/plain", Some("details.txt"));
        for word in ["Harmless explanations", "[met]", "before:", "Watched since"] {
            assert!(details.contains(word), "{word}: {details}");
        }
        let html = part(mail, "text/html", None);
        assert!(!html.contains('`') && !html.contains("<a "), "{html}");
        let places = ["How sure", "What to do", "Evidence:", "Arithmetic:"].map(|it| html.find(it));
        assert!(places.is_sorted() && places[0].is_some(), "{places:?}");
        // No text is in base64: it costs a point at rspamd, and nobody can read it in a queue.
        let path = mail["path"].as_str().expect("a path");
        let raw = std::fs::read_to_string(path).expect("7-bit");
        for head in raw.split("Content-Type: text/").skip(1) {
            let head = head.split("\r\n\r\n").next().unwrap_or_default();
            assert!(head.contains("quoted-printable"), "{head}");
        }
        let body = raw.split_once("\r\n\r\n").expect("a body").1;
        assert!(body.lines().all(|line| line.len() <= 78), "a long line");
    }
}

#[test]
fn the_commands_of_a_report_show_its_numbers_in_every_shell() {
    let bench = sample_bench();
    bench.run(0, &["poll"]);
    for mail in &read_mails(&bench) {
        let text = part(mail, "text/plain", None);
        let of = |word: &str| {
            let line = commands(text).into_iter().find(|it| it.contains(word));
            line.unwrap_or_else(|| panic!("no {word} in {text}"))
        };
        let value = |label: &str| {
            let line = text.lines().find(|line| line.starts_with(label));
            line.map_or("", |line| line[label.len()..].trim())
        };
        let explained = shell(&bench, SHELLS[0], of(" explain "));
        let past = shell(&bench, SHELLS[0], of(" history "));
        for other in &SHELLS[1..] {
            assert_eq!(shell(&bench, *other, of(" explain ")), explained);
            assert_eq!(shell(&bench, *other, of(" history ")), past);
        }
        // Every summand of the mail is one of the command, which also shows planes that do not count.
        let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let counted = summands(&explained);
        let counted = counted.iter().filter(|it| said.contains(it.as_str()));
        let summands = summands(text);
        assert!(summands.len() >= 4, "{text}");
        assert_eq!(counted.count(), summands.len(), "{text}\n{explained}");
        let score = value("How sure")
            .split_whitespace()
            .nth(2)
            .expect("a score");
        assert!(explained.lines().next().unwrap_or_default().contains(score));
        // The newest change of the history is the mail's last change.
        let last = &value("Last change")[..19];
        let changes = past.split("Changes, newest first").nth(1).expect("changes");
        let newest = changes.lines().nth(2).unwrap_or_default();
        assert!(newest.contains(last), "{last}: {past}");
        // The hash is that of the state the mail describes.
        let verified = shell(&bench, SHELLS[0], of(" verify "));
        let state = text.lines().find(|line| line.trim().starts_with("zone "));
        let state = state.expect("a state").trim();
        let serial = state.split("serial ").nth(1).map(|it| it.split(',').next());
        let serial = serial.flatten().unwrap_or("nothing up to");
        assert!(verified.contains(serial), "{state}: {verified}");
    }
    bench.run(1, &["db", "verify", "--hash", &"0".repeat(64)]);
    bench.run(2, &["db", "verify", "--hash", "12"]);
}

#[test]
fn a_name_is_one_word_of_a_command_whatever_is_in_it() {
    let bench = Bench::new("");
    for name in [
        "bad.example.",
        r"a'b.example.",
        r"a\'b\\c.example.",
        r"$\(touch\032x\)`id`.example.",
        r"a!b*?{c,d}~.example.",
        r"\013\010x\000.example.",
    ] {
        let name = Name::parse(name).expect("a name");
        let word = shell_word(&name.to_text_without_dot());
        for one in SHELLS {
            let told = shell(&bench, one, &format!("printf '%s' {word}"));
            assert_eq!(
                Name::parse_pasted(&told),
                Ok(name.clone()),
                "{one:?}: {word}"
            );
        }
    }
}

#[test]
fn a_closing_says_who_ended_the_case_and_why() {
    let bench = bench(&format!("{REPORT}digest = \"off\"\n{MAILDIR}"));
    let mut feed = Feed::default();
    feed.set(0, "bad.example.", "NS", &["ns1.plain.test.".to_owned()]);
    feed.flux("bad.example.", 6, 72);
    bench.write("f.ndjson", feed.text(72));
    bench.run(0, &["poll"]);
    let dismissed = [
        "--reason",
        "migration",
        "--by",
        "ada",
        "--note",
        "moved to ns1.new.test",
    ];
    let step = [&["cases", "dismiss", "bad.example"], &dismissed[..]].concat();
    bench.run(0, &step);
    bench.run(0, &["poll"]);
    let mails = read_mails(&bench);
    let is_closing = |mail: &&Value| mail["headers"]["X-Fluxwatch-Kind"] == "closure";
    let closing = mails.iter().find(is_closing).expect("a closing");
    for kind in ["text/plain", "text/html"] {
        let said = part(closing, kind, None);
        for word in [
            "Ended by",
            "ada",
            "dismissed as migration: moved to ns1[.]new[.]test",
        ] {
            assert!(said.contains(word), "{word}: {said}");
        }
        assert!(!said.contains('`'), "{said}");
    }
}

#[test]
fn the_report_of_a_campaign_fits_80_lines_too() {
    let bench = bench(&format!("{REPORT}digest = \"off\"\n{MAILDIR}"));
    let mut feed = Feed::default();
    for n in 0..30_i64 {
        let domain = format!("d{n}.example.");
        feed.set(0, &domain, "NS", &["ns1.plain.test.".to_owned()]);
        for turn in 0..12_i64 {
            let host = |k: i64| format!("ns.pool{:03}.test.", (n + turn * 2 + k) % 40);
            feed.set(6 + n % 3 + turn * 6, &domain, "NS", &[host(0), host(1)]);
        }
    }
    bench.write("f.ndjson", feed.text(100));
    bench.run(0, &["poll"]);
    let mails = read_mails(&bench);
    let longest = mails.iter().map(|mail| part(mail, "text/plain", None));
    let longest = longest.max_by_key(|text| text.lines().count());
    let text = longest.expect("a mail");
    check_first_screen(text);
    let campaign = mails
        .iter()
        .find(|mail| part(mail, "text/plain", None).contains("== Campaign"));
    let campaign = campaign.expect("a campaign");
    let details = part(campaign, "text/plain", Some("details.txt"));
    assert!(details.matches("double-flux").count() + details.matches("ns-flux").count() > 5);
}

#[test]
fn the_cells_of_flux_by_the_minute_differ_from_each_other() {
    let bench = bench(&format!("{REPORT}digest = \"off\"\n{MAILDIR}"));
    let line = |minutes: i64, name: &str, rrtype: &str, rdata: String| {
        let at = START + minutes * 60;
        let line = serde_json::json!({"at": at, "zone": "example.", "rrname": name, "rrtype": rrtype, "op": "set", "ttl": 60, "rdata": [rdata]});
        format!("{line}\n")
    };
    let host = "ns.fast.example.";
    let mut feed = line(-9 * 24 * 60, "fast.example.", "NS", host.to_owned());
    feed += &line(-9 * 24 * 60, host, "A", "10.1.0.1".to_owned());
    for turn in 0..40 {
        feed += &line(turn * 10, host, "A", format!("10.{}.0.9", turn + 2));
    }
    bench.write("f.ndjson", feed);
    bench.run(0, &["poll"]);
    bench.run(0, &["report", "send", "fast.example", "--by", "ada"]);
    let mails = read_mails(&bench);
    let last = mails.last().expect("a mail");
    let details = part(last, "text/plain", Some("details.txt"));
    let is_lane = |line: &&str| {
        let cells = line.trim().split("  ").next().unwrap_or_default();
        cells.len() > 10 && cells.chars().all(|it| it == '#' || it == '.')
    };
    let lanes: Vec<&str> = details.lines().filter(is_lane).collect();
    assert_eq!(lanes.len(), 16, "{details}");
    let mut cells: Vec<&str> = lanes.iter().map(|lane| &lane[..38]).collect();
    assert!(
        cells.iter().all(|it| it.contains('#') && it.contains('.')),
        "{lanes:#?}"
    );
    cells.sort_unstable();
    cells.dedup();
    assert!(cells.len() >= 15, "{lanes:#?}");
}
