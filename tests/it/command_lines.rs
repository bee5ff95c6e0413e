//! Every command line of the README and of the manual is run, each page's in a folder as the page supposes it: a zone with
//! three suspects, their reports and drafts of notices.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fluxwatch::cli::check_words;

use crate::book::pages;
use crate::console::{Browser, Desk};
use crate::harness::{Bench, REPORT};
use crate::support::desk::START;

/// The sources and what they are judged with.
const SOURCES: &str = "[[source]]\nname = \"epp-events\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"f.ndjson\"\ncomplete = true\n\
    [enrich]\nasn = \"asn.csv\"\nregistrations = \"registrations.csv\"\n";
/// Who is told.
const MAIL: &str = "[[recipient]]\nregistrar = \"1234\"\naddress = \"abuse@hoster.example\"\n[web]\nlisten = \"127.0.0.1:8053\"\nusers_file = \"users\"\n";
/// The configuration of the prepared folder.
const CONFIG: &str = "fluxwatch.toml";
/// A catalog whose primary is away.
const CATALOG: &str = "[[source]]\nname = \"catalog\"\nkind = \"catalog\"\nzone = \"catalog.example.\"\nprimaries = [\"127.0.0.1:9\"]\n";
/// Zone files of an archive.
const FILES: &str = "[[source]]\nname = \"czds\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"example-*.zone\"\ntime_pattern = \"example-%Y%m%d.zone\"\n";
/// The days of the zone files in the folder; the archive has those of a year before.
const ARCHIVE: [&str; 3] = ["20260701", "20260702", "20260703"];

/// Pages whose sources are others: the file's end, and its `[[source]]` in place of the feed.
const OTHER_SOURCES: [(&str, &str); 2] = [
    ("how-to/watch-many-zones.md", CATALOG),
    ("how-to/read-zone-files.md", FILES),
];
/// Makes the person known whom lines name with `--by`.
const ADA: &str = "fluxwatch users add ada --role approver";
/// What has to happen before a line has an effect, by its beginning.
const BEFORE: [(&str, &[&str]); 10] = [
    (
        "fluxwatch cases reopen",
        &[
            ADA,
            "fluxwatch cases close 2 --by ada",
            "fluxwatch cases close bad.example --by ada",
        ],
    ),
    (
        "fluxwatch exempt remove 1",
        &["fluxwatch exempt add domain a.example --reason a"],
    ),
    (
        "fluxwatch exempt remove 3",
        &[
            "fluxwatch exempt add domain a.example --reason a",
            "fluxwatch exempt add domain b.example --reason a",
            "fluxwatch exempt add domain c.example --reason a",
        ],
    ),
    ("fluxwatch outbox retry", &["sh fill-outbox"]),
    ("fluxwatch outbox drop", &["sh fill-outbox"]),
    (
        "fluxwatch tokens remove 3",
        &[
            "fluxwatch tokens add a --role viewer",
            "fluxwatch tokens add b --role viewer",
            "fluxwatch tokens add c --role viewer",
        ],
    ),
    (
        "fluxwatch users list",
        &["fluxwatch users add carl --role viewer"],
    ),
    (
        "fluxwatch users passwd",
        &["fluxwatch users add ada --role viewer"],
    ),
    (
        "fluxwatch users remove",
        &["fluxwatch users add ada --role viewer"],
    ),
    (
        "fluxwatch verify-evidence",
        &["fluxwatch export --domain bad.example -o bundle.json"],
    ),
];
/// Lines that end with another status than 0, by the page and a part of the line, and why.
const STATUSES: [(&str, &str, i32); 5] = [
    ("reference/commands.md", "db move", 4),
    // The server is away.
    ("how-to/run-on-postgresql.md", "db move", 4),
    // The primary of the catalog is away.
    ("how-to/watch-many-zones.md", "poll catalog.example.", 3),
    ("how-to/watch-many-zones.md", "status --failed", 1),
    // There is no campaign in the folder.
    ("reference/mails.md", "--campaign FC-1", 1),
];
/// Lines that are parsed and not run, and why.
const PARSED: [(&str, &str); 1] = [(
    "fluxwatch --config /etc/fluxwatch/fluxwatch.toml run",
    "does not end; `service` starts it in 20 tests",
)];
/// Programs of others in the manual, by the first word of a line, and where else they are run.
const OTHERS: [(&str, &str); 29] = [
    ("pdnsutil", "PowerDNS; tests/it/primaries.rs runs them"),
    ("rm", "the machine's"),
    ("benches/feed", "benches/full"),
    ("benches/large", "benches/full"),
    ("benches/many", "benches/full"),
    ("apt", "tests/package installs the package with dpkg"),
    ("benches/changes", "benches/full"),
    ("benches/hickory-transfer/run", "benches/full"),
    ("benches/ingest", "benches/full"),
    ("benches/soak", "benches/full"),
    ("cargo", "tests/run, and the tests themselves"),
    ("chgrp", "the machine's"),
    ("chmod", "the machine's"),
    ("chown", "the machine's"),
    ("curl", "below, over the console's port"),
    ("editor", "the machine's"),
    ("export", "the shell's"),
    ("cp", "the machine's"),
    ("FLUXWATCH_FUZZ_SECONDS=150", "benches/full"),
    ("FLUXWATCH_KILLS=100", "benches/full"),
    ("-H", "the second line of a curl"),
    ("install", "the machine's"),
    ("openssl", "the machine's"),
    ("packaging/build", "tests/package"),
    ("systemctl", "the machine's"),
    ("tests/run", "runs this test"),
    (
        "tests/on-postgres",
        "needs a server of its own: whoever changes the store runs it",
    ),
    ("unset", "the shell's"),
    ("useradd", "the machine's"),
];

/// A command line that a page shows.
#[derive(Debug)]
struct Shown {
    page: String,
    line: String,
}

/// Returns every page with the README, by its path from `docs/`.
fn all_pages() -> Vec<(String, String)> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let readme = fs::read_to_string(docs.join("../README.md")).expect("text");
    let mut all = vec![("README.md".to_owned(), readme)];
    for (path, text) in pages() {
        let name = path.strip_prefix(&docs).expect("below docs");
        all.push((name.to_string_lossy().into_owned(), text));
    }
    all.sort();
    all
}

/// Returns the command lines of a page: of its blocks, and of the examples of the generated page of commands.
fn lines_of(page: &str, text: &str) -> Vec<Shown> {
    let mut lines = Vec::new();
    let mut block: Option<&str> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(kind) = trimmed.strip_prefix("```") {
            block = if block.is_some() { None } else { Some(kind) };
            continue;
        }
        let is_indented = block.is_none() && line.starts_with("    fluxwatch ");
        let is_example = block == Some("text") && line.starts_with("  fluxwatch ");
        let command = match block {
            Some("sh") => Some(trimmed),
            Some("console") => trimmed.strip_prefix("$ "),
            _ => (is_indented || is_example).then_some(trimmed),
        };
        let command = command.filter(|it| !it.is_empty() && !it.starts_with('#'));
        lines.extend(command.map(|line| Shown {
            page: page.to_owned(),
            line: line.to_owned(),
        }));
    }
    lines
}

/// Returns what is run of a line, or nothing if it is a program of others: without comment, crontab's times and `cargo
/// run`, its absolute paths below a folder.
fn own(line: &str) -> Option<String> {
    let line = line.split(" # ").next().unwrap_or_default().trim();
    let line = line.strip_prefix("*/5 * * * * ").unwrap_or(line);
    let line = line.replace("cargo run --release -- ", "fluxwatch ");
    let is_own = line.split(" && ").any(|it| it.starts_with("fluxwatch "));
    let mut line = line.replace(" && systemctl enable --now fluxwatch", "");
    for folder in ["etc", "var", "usr", "srv", "archive", "backup"] {
        line = line.replace(&format!(" /{folder}/"), &format!(" root/{folder}/"));
    }
    is_own.then_some(line)
}

/// Returns the feed: three domains whose name servers' addresses rotate every three hours, and two that stand.
fn feed() -> String {
    let mut lines = Vec::new();
    let mut set = |hours: i64, name: String, rrtype: &str, rdata: String| {
        let at = START + hours * 3600;
        let line = serde_json::json!({"at": at, "zone": "example.", "rrname": name, "rrtype": rrtype, "op": "set", "ttl": 300, "rdata": [rdata]});
        lines.push((at, format!("{line}\n")));
    };
    for (n, domain) in (0..).zip(["bad", "worse", "worst"]) {
        let host = format!("ns1.{domain}.example.");
        set(0, format!("{domain}.example."), "NS", host.clone());
        for turn in 0..40 {
            set(
                turn * 3 + n,
                host.clone(),
                "A",
                format!("10.{}.0.7", turn * 3 + n),
            );
        }
    }
    set(
        1,
        "www.customer.example.".to_owned(),
        "A",
        "192.0.2.7".to_owned(),
    );
    set(
        1,
        "ok.example.".to_owned(),
        "NS",
        "ns1.pool.example.".to_owned(),
    );
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Returns a configuration for `/etc/fluxwatch`, whose files are those of the folder that it stands for.
fn at_home(config: &str) -> String {
    let mut config = config.to_owned();
    for name in [
        "fluxwatch.db",
        "f.ndjson",
        "asn.csv",
        "registrations.csv",
        "users",
    ] {
        config = config.replace(&format!("\"{name}\""), &format!("\"../../../{name}\""));
    }
    config.replace("maildir://desk", "maildir://../../../desk")
}

/// Makes the folder that the pages suppose.
fn prepare() -> Bench {
    let bench = Bench::new("");
    let config = format!(
        "[store]\npath = \"fluxwatch.db\"\n{SOURCES}{REPORT}{MAIL}[smtp]\nurl = \"maildir://desk\"\n"
    );
    bench.write("fluxwatch.toml", &config);
    bench.write("new.toml", &config);
    bench.write("root/etc/fluxwatch/fluxwatch.toml", at_home(&config));
    bench.write("root/etc/fluxwatch/db.password", "a password\n");
    bench.write("stricter.toml", "[nameservers]\nfresh_min = 8\n");
    bench.write(
        "asn.csv",
        (0..256)
            .map(|n| format!("10.{n}.0.0,10.{n}.255.255,{}\n", 64_512 + n))
            .collect::<String>(),
    );
    bench.write(
        "registrations.csv",
        "bad.example,2026-05-01,1234,account-7\nworse.example,2026-05-01,1234,account-7\nworst.example,2026-05-01,1234,account-7\n",
    );
    bench.write("f.ndjson", feed());
    bench.write("changes.ndjson", feed().lines().next().expect("a line"));
    let sighting = "{\"rrname\":\"old.example.\",\"rrtype\":\"A\",\"rdata\":\"192.0.2.9\",\"time_first\":1700000000,\"time_last\":1700086400,\"count\":3}\n";
    bench.write("observed.ndjson", sighting);
    for day in ARCHIVE {
        let zone = format!(
            "$ORIGIN example.\n$TTL 300\n@ SOA ns.example. host.example. {day} 3600 600 86400 300\n@ NS ns.test.\nd NS ns{day}.test.\n"
        );
        bench.write(&format!("example-{day}.zone"), &zone);
        let day = day.replace("2026", "2025");
        bench.write(&format!("root/archive/example-{day}.zone.gz"), &zone);
    }
    bench.write(
        "example.zone",
        fs::read(bench.path().join("example-20260703.zone")).expect("read"),
    );
    for folder in [
        "root/var/backups",
        "root/backup",
        "root/srv/lake",
        "root/usr/local/share/man",
        "root/etc/bash_completion.d",
    ] {
        fs::create_dir_all(bench.path().join(folder)).expect("made");
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sample");
    for target in ["data", "root/usr/share/fluxwatch"] {
        let target = bench.path().join(target);
        fs::create_dir_all(&target).expect("made");
        copy(&data, &target.join("sample"));
    }
    // As packaging/build writes it: the database of a copy stands beside the copy.
    let sample = include_str!("../../data/sample/fluxwatch.toml").replace("../../", "");
    bench.write("root/usr/share/fluxwatch/sample/fluxwatch.toml", sample);
    bench.write("fill-outbox", FILL_OUTBOX);
    fs::create_dir(bench.path().join("bin")).expect("made");
    std::os::unix::fs::symlink(
        env!("CARGO_BIN_EXE_fluxwatch"),
        bench.path().join("bin/fluxwatch"),
    )
    .expect("linked");
    for line in ["fluxwatch users add vera --role viewer", "fluxwatch poll"] {
        let (status, said) = shell(bench.path(), CONFIG, line);
        assert_eq!(status, 0, "{line}: {said}");
    }
    bench
}

/// Queues messages that cannot be delivered, until there is a twelfth.
const FILL_OUTBOX: &str = "set -e
fluxwatch users add ada --role approver || true
sed -i 's|maildir://desk|smtp://127.0.0.1:9|' fluxwatch.toml
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do fluxwatch report send bad.example --by ada || true; done
sed -i 's|smtp://127.0.0.1:9|maildir://desk|' fluxwatch.toml
";

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(status.expect("cp is there").success());
}

/// Runs a line in a folder as a person there does, and returns its status and what it said.
fn shell(folder: &Path, config: &str, line: &str) -> (i32, String) {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut child = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", folder.join("bin").display()))
        .env("FLUXWATCH_CONFIG", config)
        .env("USER", "ada")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh is there");
    let mut stdin = child.stdin.take().expect("piped");
    // Whatever asks for no password leaves them unread.
    let _ = stdin.write_all(b"correct horse battery\ncorrect horse battery\n");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    (output.status.code().unwrap_or(-1), said.join(""))
}

/// Returns the configuration of a page's commands that name none.
fn config_of(page: &str) -> &'static str {
    match page {
        "tutorial.md" => "data/sample/fluxwatch.toml",
        _ => CONFIG,
    }
}

/// Makes a copy of the prepared folder for a page.
fn folder_for(bench: &Bench, page: &str, scratch: &Path, n: usize) -> PathBuf {
    let folder = scratch.join(n.to_string());
    copy(bench.path(), &folder);
    // A feed's position knows the file itself, not a copy of it.
    let feed = folder.join("f.ndjson");
    fs::remove_file(&feed).expect("removed");
    fs::hard_link(bench.path().join("f.ndjson"), feed).expect("linked");
    if let Some((_, source)) = OTHER_SOURCES.iter().find(|(it, _)| *it == page) {
        let config = fs::read_to_string(folder.join("fluxwatch.toml")).expect("read");
        let start = config.find("[[source]]").expect("a source");
        let end = config.find("[enrich]").expect("a section");
        fs::write(
            folder.join("fluxwatch.toml"),
            format!("{}{source}{}", &config[..start], &config[end..]),
        )
        .expect("written");
        fs::remove_file(folder.join("fluxwatch.db")).expect("removed");
    }
    folder
}

#[test]
fn every_command_line_of_the_manual_ends_as_it_should() {
    let bench = prepare();
    let scratch = tempfile::tempdir().expect("a folder");
    let (mut faults, mut run, mut parsed, mut folders) = (Vec::new(), 0, 0, 0);
    for (page, text) in all_pages() {
        // A line of the page of commands stands alone; lines of another page follow each other.
        let is_alone = page == "reference/commands.md";
        let mut folder: Option<PathBuf> = None;
        for shown in lines_of(&page, &text) {
            let Some(line) = own(&shown.line) else {
                continue;
            };
            if PARSED.iter().any(|(it, _)| shown.line.starts_with(it)) {
                parsed += 1;
                continue;
            }
            let at = folder.take().filter(|_| !is_alone).unwrap_or_else(|| {
                folders += 1;
                folder_for(&bench, &page, scratch.path(), folders)
            });
            let before = BEFORE.iter().filter(|(it, _)| line.starts_with(it));
            let config = config_of(&page);
            let named = line.contains("--by ada").then_some(&ADA);
            for line in named
                .into_iter()
                .chain(before.flat_map(|(_, lines)| *lines))
            {
                shell(&at, config, line);
            }
            let wanted = STATUSES
                .iter()
                .find(|(of, part, _)| *of == page && line.contains(part));
            let wanted = wanted.map_or(0, |(_, _, status)| *status);
            let (status, said) = shell(&at, config, &line);
            run += 1;
            if status != wanted {
                faults.push(format!("{page}: {line}: {status}\n{said}"));
            }
            folder = Some(at);
        }
    }
    eprintln!("{run} command lines were run in {folders} folders, {parsed} parsed");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(run > 130, "{run}");
}

#[test]
fn every_other_line_of_the_manual_is_of_a_program_that_is_named_here() {
    let lines = all_pages()
        .into_iter()
        .flat_map(|(page, text)| lines_of(&page, &text));
    let others: Vec<Shown> = lines.filter(|it| own(&it.line).is_none()).collect();
    let first = |line: &str| {
        line.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let unknown: Vec<String> = others
        .iter()
        .filter(|it| !OTHERS.iter().any(|(word, _)| *word == first(&it.line)))
        .map(|it| format!("{}: {}", it.page, it.line))
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    for (word, _) in OTHERS.iter().filter(|(word, _)| word.contains('/')) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(word);
        assert!(path.is_file(), "{word}");
    }
    eprintln!("{} lines are of other programs", others.len());
}

#[test]
fn every_command_in_the_text_of_the_manual_is_understood() {
    let mut faults = Vec::new();
    let mut count = 0;
    // The sentences of the log begin with the program's name too.
    let pages = all_pages().into_iter();
    for (page, text) in pages.filter(|(page, _)| page != "reference/log.md") {
        let outside = text.split("```").step_by(2).collect::<Vec<_>>().join("\n");
        for span in outside.split('`').skip(1).step_by(2) {
            let span = span.split_whitespace().collect::<Vec<_>>().join(" ");
            if !span.starts_with("fluxwatch ") {
                continue;
            }
            count += 1;
            let words: Vec<String> = span.split(' ').map(str::to_owned).collect();
            let fault = check_words(&words).err().unwrap_or_default();
            // A command that is named, without what it wants, is no line to be typed.
            let is_mere_name =
                fault.contains("required arguments") || fault.contains("Usage: fluxwatch");
            let is_wrong = !fault.is_empty() && (!is_mere_name || fault.contains("error: un"));
            if is_wrong {
                faults.push(format!("{page}: {span}: {fault}"));
            }
        }
    }
    assert!(count > 40, "{count}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Returns the paths that the manual's calls of curl ask for, each with its page.
fn curls() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (page, text) in all_pages() {
        let lines = text
            .split("```sh")
            .skip(1)
            .filter_map(|it| it.split("```").next());
        for line in lines
            .flat_map(str::lines)
            .filter(|it| it.contains("http://127.0.0.1:8053/") || it.contains("https://fluxwatch"))
        {
            let path = line
                .split("://")
                .nth(1)
                .and_then(|it| it.split_once('/'))
                .map_or("", |it| it.1);
            let path = path.split([' ', '\'', '"']).next().unwrap_or_default();
            found.push((page.clone(), format!("/{path}")));
        }
    }
    found
}

#[test]
fn every_curl_of_the_manual_asks_for_what_the_service_answers() {
    let token = tempfile::NamedTempFile::new().expect("a file");
    fs::write(token.path(), "0123456789abcdef0123\n").expect("written");
    let more = format!(
        "token_file = {:?}\n[[source]]\nname = \"pushed\"\nkind = \"feed\"\nzone = \"pushed.test.\"\npush = true\n",
        token.path()
    );
    let desk = Desk::start(12, &more);
    let mut client = Browser::new(desk.port);
    let user = "Authorization: Basic dmVyYTpjb3JyZWN0IGhvcnNlIGJhdHRlcnk=\r\n";
    let calls = curls();
    assert!(calls.len() >= 8, "{calls:?}");
    for (page, path) in calls {
        let answer = match path.as_str() {
            "/api/v1/changes" => client.send(
                "POST",
                &path,
                "Authorization: Bearer 0123456789abcdef0123\r\n",
                "",
            ),
            // A step wants the role; that it is there, and asks for it, is what counts here.
            path if path.ends_with("/steps") => {
                client.send("POST", path, user, "{\"step\":\"ack\"}")
            }
            path => client.send("GET", path, user, ""),
        };
        let expected: &[u16] = match path.as_str() {
            "/api/v1/changes" => &[200, 202],
            path if path.ends_with("/steps") => &[403, 415, 428],
            _ => &[200],
        };
        assert!(
            expected.contains(&answer.status),
            "{page}: {path}: {} {}",
            answer.status,
            answer.body
        );
    }
    desk.running.stop();
}
