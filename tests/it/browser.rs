//! The console in a browser: Debian's Chromium walks through what a desk does in a day (tests/browser/walk.py), with script
//! and without, and axe-core looks at every page.
//!
//! It takes Chromium, its driver and npm, which `tests/browser/install` brings, and some minutes: `benches/full` runs it, and
//! `cargo test --test it browser -- --ignored` does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::console::PASSWORD;
use crate::harness::{Bench, REPORT, Running, both, python};
use crate::servers::Postfix;
use crate::support::desk::{Feed, bench};
use crate::support::lookups::python_with;
use crate::support::wait::until;

/// The WebDriver client.
const SELENIUM: &str = "selenium==4.30.0";
/// What looks for barriers.
const AXE: &str = "axe-core@4.10.3";

/// Returns the text of axe-core, which npm brings once for each place of the build.
fn axe() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe");
    let text = folder.join("package/axe.min.js");
    if !text.exists() {
        fs::create_dir_all(&folder).expect("made");
        let script = format!("npm pack --silent {AXE} && tar -xzf axe-core-*.tgz");
        let packed = Command::new("sh")
            .args(["-c", &script])
            .current_dir(&folder)
            .output();
        let packed = packed.expect("sh runs");
        assert!(
            packed.status.success() && text.exists(),
            "npm brings axe-core: {}",
            both(&packed)
        );
    }
    text
}

/// Copies the first case, so that there are 2,000: names that have `copy` in them, and 30 with each of two other words.
const COPIES: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
names = [r[1] for r in db.execute('pragma table_info(abuse_case)')]
row = dict(zip(names, db.execute(\"select * from abuse_case where domain = 'bad0.example.'\").fetchone()))
words = [f'spam{n}' for n in range(30)] + [f'junk{n}' for n in range(30)] + [f'copy{n}' for n in range(1936)]
with db:
    for n, word in enumerate(words):
        row.update(id=None, domain=f'{word}.example.', level=['report', 'review', 'watch'][n % 3] if word.startswith('copy') else 'review', campaign_id=None,
                   score=n % 1000 / 10, reported=0, told_at=None)
        db.execute(f\"insert into abuse_case ({', '.join(names)}) values ({', '.join('?' * len(names))})\", [row[k] for k in names])
";

/// Names that want to be more than text, in presentation format (RFC 1035 §5.1).
const NASTY: [&str; 3] = [
    r"<script>alert\(1\)<\047script>.example.",
    r#"\"><img\032src=x\032onerror=alert\(1\)>.example."#,
    r#"a\"\032style=\"background:url\(x\)\"\032onfocus=\"alert\(1\).example."#,
];

/// Returns a bench with 2,000 cases, of which four were mailed, and a port for its console.
fn desk_of_2000(postfix: &Postfix) -> (Bench, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let bench = bench(&format!(
        "{REPORT}[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n[[recipient]]\nregistrar = \"1234\"\naddress = \"abuse@desk.test\"\n\
         [web]\nlisten = \"127.0.0.1:{port}\"\nusers_file = \"users\"\napprove_by_other = true\n",
        postfix.port()
    ));
    bench.write_users(&[
        ("rolf", "reviewer", PASSWORD),
        ("anna", "approver", PASSWORD),
        ("adam", "approver", PASSWORD),
    ]);
    let registered = (0..4).map(|n| format!("bad{n}.example,2026-05-01,1234,account-{n}\n"));
    let registered: String = registered.collect();
    let heading = "domain,created,registrar,account\n";
    bench.write("registrations.csv", format!("{heading}{registered}"));
    let mut feed = Feed::default();
    for n in 0..4 {
        feed.flux(&format!("bad{n}.example."), 0, 96);
    }
    for domain in NASTY {
        feed.flux(domain, 0, 96);
    }
    bench.write("f.ndjson", feed.text(96));
    bench.run(0, &["poll"]);
    python(COPIES, &[&bench.path().join("fluxwatch.db")]);
    (bench, port)
}

#[test]
#[ignore = "takes Chromium and npm, and minutes; benches/full runs it"]
fn desk_works_in_a_browser_with_script_and_without_and_by_keyboard() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let postfix = Postfix::start(folder.path());
    let (python, axe) = (python_with(SELENIUM), axe());
    let (bench, port) = desk_of_2000(&postfix);
    let running = Running::start(&bench, &["run"]);
    until("it listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let settings = json!({
        "url": format!("http://localhost:{port}"),
        "maildir": postfix.maildir(),
        "command": [env!("CARGO_BIN_EXE_fluxwatch"), "--config", bench.config()],
        "axe": axe,
        "password": PASSWORD,
        "nasty": NASTY,
    });
    let settings = bench.write("walk.json", settings.to_string());
    let walk = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/walk.py");
    let walked = Command::new(python)
        .args([&walk, &settings])
        .stdin(Stdio::null())
        .output()
        .expect("python runs");
    assert!(
        walked.status.success(),
        "{}\n{}",
        both(&walked),
        running.log()
    );
    running.stop();
}
