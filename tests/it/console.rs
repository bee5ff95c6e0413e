//! The desk's console over HTTP: who enters, what pages say, what steps do.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Bench, REPORT, Running, python};
use crate::support::desk::{Feed, bench};
use crate::support::rows::as_file;

/// The password of everybody here.
pub const PASSWORD: &str = "correct horse battery";

/// An answer of the console.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The lines of the head, in lower case up to the colon.
    pub head: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Returns the first header of a name.
    pub fn header(&self, name: &str) -> &str {
        let found = self.head.iter().find(|(it, _)| it == name);
        found.map_or("", |(_, value)| value)
    }

    /// Returns what stands between two texts of the body.
    pub fn between(&self, before: &str, after: &str) -> String {
        let rest = self.body.split_once(before).map_or("", |it| it.1);
        rest.split_once(after).map_or("", |it| it.0).to_owned()
    }
}

/// Somebody with a browser.
pub struct Browser {
    port: u16,
    /// Cookies, by name.
    pub cookies: Vec<(String, String)>,
}

impl Browser {
    /// Somebody who has not entered.
    pub fn new(port: u16) -> Self {
        Self {
            port,
            cookies: Vec::new(),
        }
    }

    /// Sends a request with more lines of its head.
    pub fn send(&mut self, method: &str, path: &str, lines: &str, body: &str) -> Answer {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {}\r\nContent-Length: {}\r\n{lines}\r\n",
            cookies.join("; "),
            body.len()
        );
        stream.write_all((head + body).as_bytes()).expect("sent");
        let mut text = Vec::new();
        stream.read_to_end(&mut text).expect("answered");
        let text = String::from_utf8_lossy(&text).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.lines();
        let status = lines.next().and_then(|it| it.split(' ').nth(1));
        let status = status.and_then(|it| it.parse().ok()).expect("a status");
        let head = lines.filter_map(|line| line.split_once(": "));
        let head: Vec<(String, String)> = head
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        for (_, line) in head.iter().filter(|(name, _)| name == "set-cookie") {
            let pair = line.split(';').next().expect("a pair");
            let (name, value) = pair.split_once('=').expect("a pair");
            self.cookies.retain(|(it, _)| it != name);
            if !line.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        Answer {
            status,
            head,
            body: body.to_owned(),
        }
    }

    /// Gets a page.
    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    /// Sends a form.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<String> = fields
            .iter()
            .map(|(n, v)| format!("{n}={}", escape(v)))
            .collect();
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        self.send("POST", path, kind, &body.join("&"))
    }

    /// Logs in.
    pub fn log_in(&mut self, name: &str, password: &str) -> Answer {
        let token = self.get("/login").between("name=\"token\" value=\"", "\"");
        self.post(
            "/login",
            &[
                ("token", &token),
                ("next", "/cases"),
                ("name", name),
                ("password", password),
            ],
        )
    }

    /// Returns the token of the forms of a page.
    pub fn token(&mut self) -> String {
        self.get("/about").between("name=\"token\" value=\"", "\"")
    }
}

/// Writes a value for a form.
fn escape(value: &str) -> String {
    let escape = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(octet).to_string()
        }
        _ => format!("%{octet:02X}"),
    };
    value.bytes().map(escape).collect()
}

/// A bench with so many cases, and the service on a port.
pub struct Desk {
    /// The folder.
    pub bench: Bench,
    /// The port.
    pub port: u16,
    /// The service.
    pub running: Running,
}

impl Desk {
    /// Starts the service with cases of flux, and more of the configuration in `[web]`.
    pub fn start(domains: usize, more: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let web = format!(
            "{REPORT}[smtp]\nurl = \"maildir://desk\"\n[web]\nlisten = \"127.0.0.1:{port}\"\nusers_file = \"users\"\n{more}"
        );
        let bench = bench(&web);
        bench.write_users(&[
            ("vera", "viewer", PASSWORD),
            ("rolf", "reviewer", PASSWORD),
            ("anna", "approver", PASSWORD),
            ("adam", "approver", PASSWORD),
        ]);
        let mut feed = Feed::default();
        for n in 0..domains {
            let domain = match n {
                0 => "bad.example.".to_owned(),
                n => format!("bad{n}.example."),
            };
            feed.flux(&domain, 0, 96);
        }
        bench.write("f.ndjson", feed.text(96));
        if more.contains("[[recipient]]") {
            let names = (1..domains).map(|n| format!("bad{n}.example,2026-05-01,1234\n"));
            let table = fs::read_to_string(bench.path().join("registrations.csv"));
            let table = table.expect("written") + &names.collect::<String>();
            bench.write("registrations.csv", table);
        }
        bench.run(0, &["poll"]);
        let running = Running::start(&bench, &["run"]);
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{}",
                running.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            bench,
            port,
            running,
        }
    }

    /// Returns somebody who has logged in.
    pub fn browser(&self, name: &str) -> Browser {
        let mut browser = Browser::new(self.port);
        let answer = browser.log_in(name, PASSWORD);
        assert_eq!(answer.status, 303, "{}", answer.body);
        browser
    }

    /// Returns the log of a case.
    pub fn log(&self, case: &str) -> Vec<Value> {
        let text = self
            .bench
            .run(0, &["cases", "log", case, "--format", "json"]);
        serde_json::from_str(&text).expect("JSON")
    }
}

#[test]
fn people_enter_by_password_and_leave_everywhere() {
    let desk = Desk::start(1, "");
    let mut stranger = Browser::new(desk.port);
    let answer = stranger.get("/cases?level=report");
    assert_eq!(answer.status, 303);
    assert_eq!(
        answer.header("location"),
        "/login?next=%2Fcases%3Flevel%3Dreport"
    );
    assert_eq!(stranger.post("/logout", &[]).status, 401);
    // A wrong password, and a name that nobody has, say the same.
    let wrong = stranger.log_in("anna", "wrong password");
    let unknown = stranger.log_in("nobody", "wrong password");
    assert_eq!((wrong.status, unknown.status), (401, 401));
    assert_eq!(
        wrong.between("role=\"alert\"", "</div>"),
        unknown.between("role=\"alert\"", "</div>")
    );
    // A form without the cookie that it came with lets nobody in, whatever the password.
    let token = stranger
        .get("/login")
        .between("name=\"token\" value=\"", "\"");
    stranger.cookies.clear();
    let lured = stranger.post(
        "/login",
        &[("token", &token), ("name", "anna"), ("password", PASSWORD)],
    );
    assert_eq!(lured.status, 403);

    let mut anna = desk.browser("anna");
    let cookie = anna
        .cookies
        .iter()
        .find(|it| it.0 == "__Host-fluxwatch")
        .expect("a session")
        .1
        .clone();
    let mut again = Browser::new(desk.port);
    again
        .cookies
        .push(("__Host-fluxwatch".to_owned(), cookie.clone()));
    let page = again.get("/cases");
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("bad.example") && page.body.contains("FW-000001"),
        "{}",
        page.body
    );
    // A session that a browser brought is not the one that it logs in with.
    again.log_in("anna", PASSWORD);
    assert!(again.cookies.iter().all(|it| it.1 != cookie));
    assert_eq!(anna.get("/cases").status, 303, "the old one is over");
    let mut anna = desk.browser("anna");
    let token = anna.token();
    assert_eq!(anna.post("/logout", &[("token", &token)]).status, 303);
    assert_eq!(again.get("/cases").status, 303, "logged out everywhere");
    // Nothing that enters is in the database.
    desk.running.stop();
    let database = fs::read(as_file(&desk.bench)).expect("read");
    assert!(
        !database
            .windows(cookie.len())
            .any(|it| it == cookie.as_bytes())
    );
}

#[test]
fn another_password_or_no_line_ends_sessions_at_once() {
    let desk = Desk::start(1, "");
    let mut rolf = desk.browser("rolf");
    let mut vera = desk.browser("vera");
    assert_eq!(rolf.get("/cases").status, 200);
    let mut passwd = desk.bench.command(&["users", "passwd", "rolf"]);
    let mut child = passwd
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(b"another password\n")
        .expect("written");
    assert!(child.wait().expect("ended").success());
    assert_eq!(rolf.get("/cases").status, 303);
    assert_eq!(rolf.log_in("rolf", PASSWORD).status, 401);
    assert_eq!(rolf.log_in("rolf", "another password").status, 303);
    assert_eq!(vera.get("/cases").status, 200);
    desk.bench.run(0, &["users", "remove", "vera"]);
    assert_eq!(vera.get("/cases").status, 303);
    let list = desk.bench.run(0, &["users", "list", "--format", "json"]);
    assert!(
        list.contains("rolf") && !list.contains("vera") && !list.contains("argon2"),
        "{list}"
    );
    desk.running.stop();
}

#[test]
fn users_are_added_with_hashes_alone_and_plain_lines_are_refused() {
    let desk = bench("[web]\nlisten = \"127.0.0.1:5380\"\nusers_file = \"users\"\n");
    let add = |name: &str, password: &str, status: i32| {
        let mut command = desk.command(&["users", "add", name, "--role", "reviewer"]);
        command
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("started");
        let _ = child
            .stdin
            .take()
            .expect("piped")
            .write_all(password.as_bytes());
        let output = child.wait_with_output().expect("ended");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{said}");
        said
    };
    add("rolf", "correct horse battery\n", 0);
    let text = fs::read_to_string(desk.path().join("users")).expect("written");
    assert!(
        text.contains("rolf:reviewer::$argon2id$v=19$m=19456,t=2,p=1$"),
        "{text}"
    );
    assert!(!text.contains("horse"));
    let mode = fs::metadata(desk.path().join("users")).expect("there");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
        0o600
    );
    assert!(add("rolf", "correct horse battery\n", 1).contains("users passwd rolf"));
    assert!(add("anna", "short\n", 2).contains("shorter than 12"));
    assert!(add("fluxwatch", "correct horse battery\n", 2).contains("own name"));
    desk.run(0, &["config", "check"]);
    desk.write("users", "reader:0123456789abcdef\n");
    let said = desk.run_stderr(2, &["config", "check"]);
    assert!(
        said.contains("fluxwatch users add reader --role viewer") && !said.contains("0123456789"),
        "{said}"
    );
}

#[test]
fn steps_of_a_page_are_the_commands_under_the_persons_name() {
    let desk = Desk::start(3, "");
    let mut rolf = desk.browser("rolf");
    let page = rolf.get("/cases/FW-000001");
    assert_eq!(page.status, 200, "{}", page.body);
    for words in [
        "suspected of fast flux",
        "Change instants, cumulated",
        "class=\"lane-",
        "weighted change instants",
        "A dismissed case opens again only for flux that begins after",
        "together they count",
        "<td>counts 1</td>",
    ] {
        assert!(page.body.contains(words), "{words}\n{}", page.body);
    }
    let token = page.between("name=\"token\" value=\"", "\"");
    let mark = page.between("name=\"seen\" value=\"", "\"");
    let step = |browser: &mut Browser, more: &[(&str, &str)]| {
        let mut fields = vec![("token", token.as_str()), ("seen", mark.as_str())];
        fields.extend(more);
        browser.post("/cases/fw-1/step", &fields)
    };
    // No token, another's token, a page of elsewhere: nothing is done.
    assert_eq!(
        rolf.post("/cases/FW-1/step", &[("seen", &mark), ("step", "ack")])
            .status,
        403
    );
    let theirs = desk.browser("anna").token();
    assert_eq!(
        rolf.post(
            "/cases/FW-1/step",
            &[("token", &theirs), ("seen", &mark), ("step", "ack")]
        )
        .status,
        403
    );
    let cross = rolf.send(
        "POST",
        "/cases/FW-1/step",
        "Sec-Fetch-Site: cross-site\r\n",
        &format!("token={token}&seen={mark}&step=ack"),
    );
    assert_eq!(cross.status, 403);
    assert_eq!(
        step(&mut rolf, &[("step", "dismiss"), ("reason", "other")]).status,
        422
    );
    for (name, length, limit) in [("note", 4001, "4000"), ("to", 65, "64")] {
        let text = "x".repeat(length);
        let long = step(&mut rolf, &[("step", "assign"), (name, text.as_str())]);
        assert_eq!(long.status, 422, "{name}");
        let words = format!("at most {limit} characters");
        assert!(long.body.contains(&words), "{}", long.body);
    }
    assert!(desk.log("1").iter().all(|line| line["who"] == "fluxwatch"));
    let taken = step(&mut rolf, &[("step", "assign"), ("to", "rolf")]);
    assert_eq!(taken.header("location"), "/cases/FW-000001?done=assign");
    // The page is older than the case now.
    let stale = step(&mut rolf, &[("step", "ack")]);
    assert_eq!(stale.status, 409);
    assert!(
        stale.body.contains("changed since you opened its page"),
        "{}",
        stale.body
    );
    let back = stale.between("<p><a href=\"", "</a>");
    assert_eq!(back, "/cases/fw-1\">Back to the page that you came from");
    let token = rolf.token();
    let head = |page: &str| {
        format!("Content-Type: application/x-www-form-urlencoded\r\nReferer: {page}\r\n")
    };
    // The browser says where it was; another site's page is not led to.
    for (page, back) in [
        (
            "http://localhost/cases?level=report",
            "/cases?level=report\"",
        ),
        ("https://evil.example/cases", "/cases/1\""),
        ("http://localhost.evil.example/", "/cases/1\""),
        ("http://localhost//evil.example/", "/cases/1\""),
        ("http://localhost/\\evil.example/", "/cases/1\""),
    ] {
        let body = format!("token={token}&seen=old&step=ack");
        let stale = rolf.send("POST", "/cases/1/step", &head(page), &body);
        let link = stale.between("<p><a href=\"", ">Back to the page");
        assert_eq!(link, back, "{page}");
    }
    let log = desk.log("1");
    assert_eq!(
        log.iter().filter(|line| line["who"] == "rolf").count(),
        1,
        "{log:?}"
    );
    // A viewer sees no forms, and none of his is taken.
    let mut vera = desk.browser("vera");
    let page = vera.get("/cases/FW-000001");
    assert!(page.body.contains("assigned to rolf") && !page.body.contains("/step\""));
    let token = vera.token();
    assert_eq!(
        vera.post("/cases/1/step", &[("token", &token), ("step", "ack")])
            .status,
        403
    );
    assert_eq!(vera.get("/cases/FW-000099").status, 404);
    let csv = vera.get("/cases/FW-000001/plots/nameservers-names.csv");
    assert_eq!(csv.status, 200);
    assert!(csv.body.starts_with("value,group,from,to\r\n") && csv.body.lines().count() > 10);
    desk.running.stop();
}

#[test]
fn filters_live_in_the_address_and_a_step_with_many_touches_what_was_shown() {
    let desk = Desk::start(6, "");
    let mut rolf = desk.browser("rolf");
    let references = |page: &Answer| page.body.matches("data-case=\"FW-").count();
    let all = rolf.get("/cases");
    assert_eq!(references(&all), 6, "{}", all.body);
    assert_eq!(references(&rolf.get("/cases?text=bad3")), 1);
    assert_eq!(references(&rolf.get("/cases?text=bad3&state=dismissed")), 0);
    assert_eq!(
        references(&rolf.get("/cases?zone=example&sort=domain&older=2026-01-01")),
        0
    );
    assert!(
        rolf.get("/cases?level=certain")
            .body
            .contains("is none of report, review, watch")
    );
    let token = rolf.token();
    let preview = rolf.post(
        "/cases/bulk",
        &[
            ("token", &token),
            ("text", "bad"),
            ("state", "waiting"),
            ("step", "dismiss"),
            ("reason", "test"),
        ],
    );
    assert_eq!(preview.status, 200, "{}", preview.body);
    assert!(preview.body.contains("6 cases would be touched"));
    assert!(
        desk.log("2").iter().all(|line| line["who"] == "fluxwatch"),
        "a preview changes nothing"
    );
    let shown: Vec<String> = preview
        .body
        .split("name=\"case\" value=\"")
        .skip(1)
        .map(|it| it.split('"').next().expect("a value").to_owned())
        .collect();
    assert_eq!(shown.len(), 6);
    // One case moves between the preview and the step: it is left alone.
    desk.bench
        .run(0, &["cases", "note", "3", "--note", "wait", "--by", "anna"]);
    let mut fields = vec![
        ("token", token.as_str()),
        ("confirmed", "1"),
        ("step", "dismiss"),
        ("reason", "test"),
    ];
    fields.extend(shown.iter().map(|it| ("case", it.as_str())));
    let done = rolf.post("/cases/bulk", &fields);
    assert!(
        done.body.contains("Done with 5 of 6 cases"),
        "{}",
        done.body
    );
    assert_eq!(references(&rolf.get("/cases")), 1);
    assert_eq!(references(&rolf.get("/cases?state=dismissed")), 5);
    assert_eq!(
        references(&rolf.post("/cases/bulk", &fields)),
        0,
        "replayed, it changes nothing"
    );
    assert_eq!(
        desk.log("2")
            .iter()
            .filter(|line| line["who"] == "rolf")
            .count(),
        1
    );
    desk.running.stop();
}

#[test]
fn every_page_says_what_browsers_may_not_do() {
    let desk = Desk::start(1, "");
    let mut vera = desk.browser("vera");
    for path in [
        "/cases",
        "/cases/FW-000001",
        "/about",
        "/login",
        "/static/style.css",
        "/cases/FW-000099",
    ] {
        let answer = vera.get(path);
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        for inline in ["style=", "<style", "<script>", "onclick", "javascript:"] {
            assert!(!answer.body.contains(inline), "{path}: {inline}");
        }
    }
    let cookie = Browser::new(desk.port).log_in("vera", PASSWORD);
    let line = cookie.header("set-cookie");
    for words in [
        "__Host-fluxwatch=",
        "Secure",
        "HttpOnly",
        "SameSite=Strict",
        "Path=/",
    ] {
        assert!(line.contains(words), "{line}");
    }
    desk.running.stop();
}

/// A notice to the registrar of `bad.example`, which somebody has to approve.
const REGISTRAR: &str =
    "[[recipient]]\nregistrar = \"1234\"\naddress = \"abuse@other-registrar.example\"\n";

/// Waits for something.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_second_person_approves_what_the_first_edited_and_what_was_shown_is_sent() {
    let desk = Desk::start(1, &format!("approve_by_other = true\n{REGISTRAR}"));
    let mut anna = desk.browser("anna");
    let drafts = anna.get("/drafts");
    assert!(
        drafts.body.contains("abuse@other-registrar.example"),
        "{}",
        drafts.body
    );
    let path = drafts.between("<a href=\"/cases/FW-000001/notices/", "\"");
    let path = format!("/cases/FW-000001/notices/{path}");
    let first = anna.get(&path).between("<code>", "</code>");
    let act = |browser: &mut Browser, path: &str, seen: &str, more: &[(&str, &str)]| {
        let token = browser.token();
        let mut fields = vec![("token", token.as_str()), ("seen", seen)];
        fields.extend(more);
        browser.post(path, &fields)
    };
    let words = "Please act.\r\n<b>See http://evil.example</b>";
    let edited = act(
        &mut anna,
        &path,
        &first,
        &[("step", "edit"), ("paragraph", words)],
    );
    assert_eq!(edited.status, 303, "{}", edited.body);
    let path = edited
        .header("location")
        .split('?')
        .next()
        .expect("a path")
        .to_owned();
    let page = anna.get(&path);
    assert!(
        page.body.contains("Please act.") && !page.body.contains("<b>See"),
        "{}",
        page.body
    );
    let shown = page.between("<code>", "</code>");
    assert_ne!(shown, first);
    // The draft of before, who may not, and who wrote it: nothing is approved.
    let approve = [("step", "approve")];
    assert_eq!(act(&mut anna, &path, &first, &approve).status, 409);
    let own = act(&mut anna, &path, &shown, &approve);
    assert_eq!(own.status, 409);
    assert!(
        own.body.contains("another person has to approve it"),
        "{}",
        own.body
    );
    for name in ["vera", "rolf"] {
        assert_eq!(
            act(&mut desk.browser(name), &path, &shown, &approve).status,
            403
        );
    }
    desk.bench.run_stderr(
        1,
        &[
            "report",
            "approve",
            "1",
            "--to",
            "abuse@other-registrar.example",
            "--by",
            "anna",
        ],
    );
    let mut adam = desk.browser("adam");
    assert_eq!(
        act(&mut adam, &path, &shown, &[("step", "test")]).status,
        303
    );
    let octets = adam.get(&format!("{path}/eml")).body;
    assert_eq!(act(&mut adam, &path, &shown, &approve).status, 303);
    let mails = |to: &str| -> Vec<String> {
        let files = desk.bench.maildir().into_iter();
        let texts = files.map(|path| fs::read_to_string(path).expect("readable"));
        texts
            .filter(|text| text.contains(&format!("To: {to}")))
            .collect()
    };
    until("the notice", || {
        mails("abuse@other-registrar.example").len() == 1
    });
    assert_eq!(
        mails("abuse@other-registrar.example")[0],
        octets,
        "what was shown is what was sent"
    );
    until("the test", || mails("adam@registrar.example").len() == 1);
    assert_eq!(
        act(&mut adam, &path, &shown, &approve).status,
        404,
        "once is enough"
    );
    let log: Vec<String> = desk
        .log("1")
        .iter()
        .map(|it| format!("{} {}", it["who"], it["note"]))
        .collect();
    for words in [
        "\"anna\" \"draft of the notice",
        "\"adam\" \"test of the notice",
        "\"adam\" \"notice to abuse@other-registrar.example approved",
    ] {
        assert!(
            log.iter().any(|line| line.contains(words)),
            "{words}: {log:#?}"
        );
    }
    desk.running.stop();
}

#[test]
fn who_wrote_into_a_draft_does_not_approve_it_after_another_saved_it() {
    let desk = Desk::start(1, &format!("approve_by_other = true\n{REGISTRAR}"));
    let mut anna = desk.browser("anna");
    // Who takes the case up can write into its draft.
    desk.bench.run(0, &["cases", "ack", "1", "--by", "rolf"]);
    let first = anna
        .get("/drafts")
        .between("<a href=\"/cases/FW-000001/notices/", "\"");
    let mut path = format!("/cases/FW-000001/notices/{first}");
    let edit = [("step", "edit"), ("paragraph", "Please act.")];
    let act = |browser: &mut Browser, path: &str, step: &[(&str, &str)]| {
        let token = browser.token();
        let seen = browser.get(path).between("<code>", "</code>");
        let mut fields = vec![("token", token.as_str()), ("seen", &seen)];
        fields.extend(step);
        browser.post(path, &fields)
    };
    for name in ["anna", "rolf"] {
        let edited = act(&mut desk.browser(name), &path, &edit);
        assert_eq!(edited.status, 303, "{}", edited.body);
        let location = edited.header("location");
        path = location.split('?').next().expect("a path").to_owned();
    }
    assert!(anna.get(&path).body.contains("Edited by anna, rolf."));
    let own = act(&mut anna, &path, &[("step", "approve")]);
    assert_eq!(own.status, 409);
    assert!(
        own.body.contains("another person has to approve it"),
        "{}",
        own.body
    );
    let to = "abuse@other-registrar.example";
    let by_command = |name| ["report", "approve", "1", "--to", to, "--by", name];
    desk.bench.run_stderr(1, &by_command("anna"));
    desk.bench.run_stderr(2, &by_command("Anna"));
    let other = act(&mut desk.browser("adam"), &path, &[("step", "approve")]);
    assert_eq!(other.status, 303, "{}", other.body);
    desk.running.stop();
}

#[test]
fn exemptions_outbox_and_zones_are_shown_and_changed_by_who_may() {
    let desk = Desk::start(2, "");
    let mut anna = desk.browser("anna");
    let token = anna.token();
    let wanted = [
        ("token", token.as_str()),
        ("kind", "domain"),
        ("value", "bad[.]example"),
        ("reason", "our own test"),
    ];
    let preview = anna.post("/exemptions", &wanted);
    assert!(
        preview.body.contains("It touches 1 open cases") && preview.body.contains("FW-000001"),
        "{}",
        preview.body
    );
    assert!(
        !anna.get("/exemptions").body.contains("our own test"),
        "a preview adds nothing"
    );
    let confirmed: Vec<(&str, &str)> = wanted.iter().copied().chain([("confirmed", "1")]).collect();
    assert_eq!(
        desk.browser("rolf").post("/exemptions", &confirmed).status,
        403,
        "another's token"
    );
    assert_eq!(anna.post("/exemptions", &confirmed).status, 303);
    assert_eq!(
        anna.post("/exemptions", &confirmed).status,
        303,
        "sent twice"
    );
    let list = desk.bench.run(0, &["exempt", "list", "--format", "json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list[0]["author"], "anna");
    assert!(
        anna.get("/cases/FW-000001")
            .body
            .contains("Exemption 1 covers all of it")
    );
    assert_eq!(
        anna.post("/exemptions", &[("token", &token), ("remove", "1")])
            .status,
        303
    );
    assert_eq!(
        anna.post("/exemptions", &[("token", &token), ("remove", "1")])
            .status,
        404
    );
    let page = anna.get("/zones");
    assert!(
        page.body.contains(">example<") && page.body.contains("ok"),
        "{}",
        page.body
    );
    let accepted = anna.post("/zones", &[("token", &token), ("accept", "example.")]);
    assert_eq!(accepted.status, 409);
    assert!(accepted.body.contains("is not held"), "{}", accepted.body);
    assert_eq!(anna.get("/outbox").status, 200);
    assert_eq!(
        anna.post(
            "/outbox",
            &[("token", &token), ("message", "99"), ("step", "drop")]
        )
        .status,
        409
    );
    let numbers = anna.get("/numbers?month=2026-05");
    assert!(
        numbers.body.contains("<h2>2026-05</h2>"),
        "{}",
        numbers.body
    );
    assert_eq!(anna.get("/numbers?month=May").status, 422);
    let found = anna.get("/lookup?q=bad.example&one=2026-05-29&other=2026-05-30");
    for words in [
        "There is a case about it",
        "badexamplepool",
        "class=\"gone\"",
        "there now",
    ] {
        assert!(found.body.contains(words), "{words}: {}", found.body);
    }
    let used = anna.get("/lookup?used=1&q=ns.badexamplepool000.test");
    assert!(
        used.body.contains("bad.example") && !used.body.contains("<h2>Changes"),
        "{}",
        used.body
    );
    assert!(
        anna.get("/lookup?q=192.0.2.0/99")
            .body
            .contains("from 0 to 32")
    );
    let sent = anna.get("/cases/FW-000001").between("/messages/", "\"");
    let mail = anna.get(&format!("/cases/FW-000001/messages/{sent}"));
    assert!(
        mail.body.contains("suspected of fast flux") && mail.body.contains("xarf"),
        "{}",
        mail.body
    );
    let html = anna.get(&format!("/cases/FW-000001/messages/{sent}/html"));
    assert!(
        html.header("content-disposition").starts_with("attachment"),
        "never a page of the console"
    );
    desk.running.stop();
}

#[test]
fn nothing_in_a_zone_or_a_note_becomes_markup_on_any_page() {
    let desk = Desk::start(0, "");
    let mut feed = Feed::default();
    for domain in [
        r"<script>alert\(1\)<\047script>.example.",
        r"{{7*7}}.example.",
        r#"a\"onmouseover=alert\(1\)\".example."#,
        r"\226\128\174gpj.example.",
        "xn--pypal-4ve.example.",
    ] {
        feed.flux(domain, 0, 96);
    }
    desk.bench.write("f.ndjson", feed.text(96));
    desk.running.stop();
    desk.bench.run(0, &["poll"]);
    let running = Running::start(&desk.bench, &["run"]);
    until("the listener", || {
        TcpStream::connect(("127.0.0.1", desk.port)).is_ok()
    });
    let mut rolf = Browser::new(desk.port);
    assert_eq!(rolf.log_in("rolf", PASSWORD).status, 303);
    let token = rolf.token();
    let note = "<img src=x onerror=alert(2)> {{ 7 * 7 }} \u{202e}";
    let page = rolf.get("/cases/FW-000001");
    let mark = page.between("name=\"seen\" value=\"", "\"");
    let noted = rolf.post(
        "/cases/1/step",
        &[
            ("token", &token),
            ("seen", &mark),
            ("step", "note"),
            ("note", note),
        ],
    );
    assert_eq!(noted.status, 303, "{}", noted.body);
    let mut paths: Vec<String> = [
        "/cases",
        "/cases?state=all&sort=domain",
        "/drafts",
        "/outbox",
        "/exemptions",
        "/zones",
        "/numbers",
        "/about",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.extend((1..=5).map(|id| format!("/cases/{id}")));
    let typed = "%22%3E%3Cscript%3Ealert(3)%3C/script%3E";
    paths.extend([
        format!("/cases?text={typed}&zone={typed}"),
        format!("/lookup?q={typed}"),
        format!("/lookup?q=*.example&since={typed}"),
        "/lookup?q=*.example".to_owned(),
        format!("/login?next={typed}"),
        format!("/cases/{typed}"),
    ]);
    for path in paths {
        let answer = rolf.get(&path);
        assert!(
            [200, 404, 422].contains(&answer.status),
            "{path}: {} {}",
            answer.status,
            answer.body
        );
        for words in [
            "<script>",
            "<img",
            "onmouseover=alert\\(1\\)\"",
            "\" onmouse",
            "49}}",
            ">49",
            "\u{202e}",
            "\u{2066}",
        ] {
            assert!(
                !answer.body.contains(words),
                "{path}: {words}\n{}",
                answer.body
            );
        }
    }
    assert!(
        rolf.get("/cases/1")
            .body
            .contains("&lt;img src=x onerror=alert(2)&gt;")
    );
    assert!(rolf.get("/cases").body.contains("Unicode form withheld"));
    // Nothing that is typed ends a line of the head.
    let split = rolf.get("/login?next=/a%0d%0aSet-Cookie:%20x=y");
    assert!(split.head.iter().all(|(_, value)| !value.contains("x=y")));
    running.stop();
}

#[test]
fn a_proxy_vouches_for_people_from_its_own_address_alone() {
    let proxy = |from: &str| {
        format!(
            "[web.proxy]\nname_header = \"X-Remote-User\"\ngroups_header = \"X-Remote-Groups\"\nfrom = [\"{from}\"]\nviewers = [\"staff\"]\nreviewers = [\"abuse\"]\n"
        )
    };
    let desk = Desk::start(1, &proxy("127.0.0.1"));
    let mut browser = Browser::new(desk.port);
    let head = "X-Remote-User: carl\r\nX-Remote-Groups: staff,abuse\r\n";
    let page = browser.send("GET", "/cases/1", head, "");
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("carl, reviewer") && !page.body.contains("Log out"));
    let token = page.between("name=\"token\" value=\"", "\"");
    let mark = page.between("name=\"seen\" value=\"", "\"");
    let body = format!("token={token}&seen={mark}&step=ack");
    assert_eq!(
        browser.send("POST", "/cases/1/step", head, &body).status,
        303
    );
    assert!(desk.log("1").iter().any(|line| line["who"] == "carl"));
    let nobody = browser.send(
        "GET",
        "/cases",
        "X-Remote-User: carl\r\nX-Remote-Groups: guests\r\n",
        "",
    );
    assert_eq!(nobody.status, 303);
    desk.running.stop();
    let elsewhere = Desk::start(1, &proxy("192.0.2.1"));
    assert_eq!(
        Browser::new(elsewhere.port)
            .send("GET", "/cases", head, "")
            .status,
        303
    );
    elsewhere.running.stop();
}

#[test]
fn pages_come_over_tls_with_the_certificate_that_is_named() {
    let desk = Desk::start(1, "");
    desk.running.stop();
    let folder = desk.bench.path();
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            "web.key",
            "-out",
            "web.pem",
        ])
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success());
    let config = fs::read_to_string(desk.bench.config()).expect("read");
    let config = config.replace(
        "users_file = \"users\"\n",
        "users_file = \"users\"\ncertificate = \"web.pem\"\nkey = \"web.key\"\n",
    );
    fs::write(desk.bench.config(), config).expect("written");
    let running = Running::start(&desk.bench, &["run"]);
    until("the listener", || {
        TcpStream::connect(("127.0.0.1", desk.port)).is_ok()
    });
    let script = "import ssl, sys, urllib.request\ncontext = ssl.create_default_context(cafile=sys.argv[2])\nanswer = urllib.request.urlopen('https://localhost:' + sys.argv[1] + '/login', context=context)\nprint(answer.status, answer.headers['strict-transport-security'], 'name=\"password\"' in answer.read().decode())";
    let port = desk.port.to_string();
    let said = python(
        script,
        &[std::path::Path::new(&port), &folder.join("web.pem")],
    );
    assert_eq!(said.trim(), "200 max-age=31536000 True");
    running.stop();
}

#[test]
fn machines_take_steps_with_tokens_once_and_on_what_they_saw() {
    let desk = Desk::start(2, "");
    let add = |name: &str, role: &str| {
        let token = desk.bench.run(
            0,
            &[
                "tokens", "add", name, "--role", role, "--until", "1d", "--by", "anna",
            ],
        );
        format!("Authorization: Bearer {}\r\n", token.trim())
    };
    let (reader, ticket) = (add("reader", "viewer"), add("ticket-system", "reviewer"));
    let mut machine = Browser::new(desk.port);
    let refused = machine.get("/api/v1/cases");
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (401, "application/problem+json")
    );
    assert_eq!(
        machine
            .send(
                "GET",
                "/api/v1/cases",
                "Authorization: Bearer fwt_wrong\r\n",
                ""
            )
            .status,
        401
    );
    let read = |machine: &mut Browser, path: &str| -> Value {
        let answer = machine.send("GET", path, &reader, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    };
    let page = read(&mut machine, "/api/v1/cases?limit=1&sort=domain");
    assert_eq!(page["cases"].as_array().map(Vec::len), Some(1), "{page}");
    let next = page["next"]
        .as_str()
        .expect("there is a second")
        .replace('~', "%7E");
    let rest = read(
        &mut machine,
        &format!("/api/v1/cases?limit=1&sort=domain&after={next}"),
    );
    assert_ne!(page["cases"][0]["id"], rest["cases"][0]["id"]);
    assert_eq!(rest["next"], Value::Null);
    for path in [
        "/api/v1/status",
        "/api/v1/zones",
        "/api/v1/outbox",
        "/api/v1/exemptions?all=1",
        "/api/v1/openapi.json",
    ] {
        read(&mut machine, path);
    }
    let used = read(
        &mut machine,
        "/api/v1/users?ns=ns.badexamplepool000.test&since=5000d",
    );
    assert_eq!(used["records"][0]["rrname"], "bad.example.");
    assert_eq!(
        machine
            .send("GET", "/api/v1/cases?level=certain", &reader, "")
            .status,
        400
    );
    let case = machine.send("GET", "/api/v1/cases/FW-1", &reader, "");
    let etag = case.header("etag").to_owned();
    let step = |machine: &mut Browser, who: &str, more: &str, body: &str| {
        machine.send(
            "POST",
            "/api/v1/cases/1/steps",
            &format!("{who}Content-Type: application/json\r\n{more}"),
            body,
        )
    };
    let seen = format!("If-Match: {etag}\r\n");
    let body = "{\"step\":\"ack\"}";
    assert_eq!(step(&mut machine, &reader, &seen, body).status, 403);
    assert_eq!(step(&mut machine, &ticket, "", body).status, 428);
    assert_eq!(
        machine
            .send(
                "POST",
                "/api/v1/cases/1/steps",
                &format!("{ticket}{seen}"),
                body
            )
            .status,
        415
    );
    for odd in [
        "",
        "[]",
        "{\"step\":\"send\"}",
        "{\"step\":\"ack\",\"x\":1}",
        "{\"step\":\"dismiss\"}",
        "{\"step\":\"note\"}",
    ] {
        assert_eq!(step(&mut machine, &ticket, &seen, odd).status, 400, "{odd}");
    }
    let keyed = format!("{seen}Idempotency-Key: one\r\n");
    let taken = step(&mut machine, &ticket, &keyed, body);
    assert_eq!(taken.status, 200, "{}", taken.body);
    let again = step(&mut machine, &ticket, &keyed, body);
    assert_eq!(
        (again.status, &again.body),
        (200, &taken.body),
        "sent again, it is taken once"
    );
    assert_eq!(
        step(&mut machine, &ticket, &keyed, "{\"step\":\"reopen\"}").status,
        409
    );
    let stale = step(&mut machine, &ticket, &seen, "{\"step\":\"close\"}");
    assert_eq!(stale.status, 412, "{}", stale.body);
    assert_eq!(
        desk.log("1")
            .iter()
            .filter(|line| line["who"] == "ticket-system")
            .count(),
        1
    );
    let nobody = desk
        .bench
        .run_stderr(1, &["tokens", "remove", "nobody", "--by", "anna"]);
    assert!(nobody.contains("no token nobody is in force"), "{nobody}");
    desk.bench
        .run(0, &["tokens", "remove", "ticket-system", "--by", "anna"]);
    assert_eq!(
        machine.send("GET", "/api/v1/status", &ticket, "").status,
        401
    );
    assert_eq!(machine.get("/readyz").status, 200);
    desk.running.stop();
    let database = fs::read(as_file(&desk.bench)).expect("read");
    assert!(
        !database.windows(4).any(|it| it == b"fwt_"),
        "tokens are kept as hashes"
    );
}

#[test]
fn mails_of_the_desk_lead_to_the_page_of_their_case_and_those_of_others_do_not() {
    let url = "https://fluxwatch.registrar.example";
    let desk = Desk::start(1, &format!("public_url = \"{url}/\"\n{REGISTRAR}"));
    until("the report", || !desk.bench.maildir().is_empty());
    let text = desk
        .bench
        .run(0, &["report", "preview", "1", "--format", "text"]);
    assert!(
        text.contains(&format!("Its page        {url}/cases/FW-000001")),
        "{text}"
    );
    let html = desk
        .bench
        .run(0, &["report", "preview", "1", "--format", "html"]);
    assert_eq!(html.matches("href=").count(), 1, "{html}");
    assert!(
        html.contains(&format!("href=\"{url}/cases/FW-000001\""))
            || html.contains("href=\"https:&#x2F;&#x2F;"),
        "{html}"
    );
    let notice = desk.bench.run(
        0,
        &[
            "report",
            "preview",
            "1",
            "--to",
            "abuse@other-registrar.example",
        ],
    );
    assert!(!notice.contains("fluxwatch.registrar.example"), "{notice}");
    desk.running.stop();
}
