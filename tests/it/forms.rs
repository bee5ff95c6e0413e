//! The forms of the console: who may send each, and that nothing that is typed becomes a tag, an attribute or a header.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::console::{Answer, Browser, Desk};
use crate::harness::both;
use crate::support::lookups::python_with;

/// What somebody may type who wants it to be more than text.
const CORPUS: [&str; 9] = [
    "\"><script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    "\" onfocus=\"alert(1)\" autofocus=\"",
    "</textarea></title><svg onload=alert(1)>",
    "{{ 7 * 191 }}{% include \"base.html\" %}",
    "javascript:alert(1)//",
    "a\r\nSet-Cookie: stolen=1\r\n\r\n<html>",
    "\u{202e}gpj.exe\u{2066}\u{0}",
    "=HYPERLINK(\"http://evil.example\")",
];

/// Fails if an answer took what was typed for anything but text.
fn check_is_text(what: &str, typed: &str, answer: &Answer) {
    assert!(
        answer.status < 500,
        "{what} of {typed:?}: {}",
        answer.status
    );
    for (name, value) in &answer.head {
        assert!(
            !value.contains("stolen") && name != "stolen",
            "{what} of {typed:?}: {name}: {value}"
        );
    }
    let kind = answer.header("content-type");
    // What is no page is data: no browser takes it for one.
    if kind.starts_with("application/") && kind.ends_with("json") {
        return;
    }
    for words in [
        "<script>alert",
        "<img src=x",
        "<svg onload",
        "\" onfocus=\"",
        "1337",
        "href=\"javascript",
        "\u{202e}",
        "\u{2066}",
    ] {
        assert!(
            !answer.body.contains(words),
            "{what} of {typed:?}: {words}\n{}",
            answer.body
        );
    }
    assert!(
        !kind.starts_with("text/html")
            || answer
                .header("content-security-policy")
                .contains("default-src 'none'"),
        "{what}: a page without a policy"
    );
}

/// Returns the fields of each form that takes text, with what is typed in every one.
fn forms<'a>(typed: &'a str, mark: &'a str) -> Vec<(&'static str, Vec<(&'static str, &'a str)>)> {
    vec![
        (
            "/cases/1/step",
            vec![("seen", mark), ("step", "note"), ("note", typed)],
        ),
        (
            "/cases/1/step",
            vec![("seen", mark), ("step", "assign"), ("to", typed)],
        ),
        ("/cases/1/step", vec![("seen", typed), ("step", "ack")]),
        (
            "/cases/1/step",
            vec![("seen", mark), ("step", typed), ("reason", typed)],
        ),
        (
            "/cases/bulk",
            vec![("step", "note"), ("note", typed), ("text", "bad")],
        ),
        (
            "/cases/bulk",
            vec![
                ("step", "assign"),
                ("to", typed),
                ("text", typed),
                ("zone", typed),
            ],
        ),
        (
            "/cases/bulk",
            vec![
                ("step", "note"),
                ("note", typed),
                ("confirmed", "1"),
                ("case", typed),
            ],
        ),
        (
            "/exemptions",
            vec![
                ("kind", "account"),
                ("value", typed),
                ("reason", typed),
                ("until", "9d"),
            ],
        ),
        (
            "/exemptions",
            vec![
                ("kind", typed),
                ("value", typed),
                ("reason", typed),
                ("until", typed),
            ],
        ),
        (
            "/exemptions",
            vec![
                ("kind", "account"),
                ("value", typed),
                ("reason", typed),
                ("confirmed", "1"),
            ],
        ),
        ("/exemptions", vec![("remove", typed)]),
        ("/outbox", vec![("message", typed), ("step", typed)]),
        ("/zones", vec![("accept", typed)]),
        (
            "/login",
            vec![("name", typed), ("password", typed), ("next", typed)],
        ),
    ]
}

#[test]
fn nothing_that_is_typed_into_a_form_or_the_api_becomes_markup_or_a_header() {
    let desk = Desk::start(2, "");
    let mut anna = desk.browser("anna");
    let token = anna.token();
    let machine = desk.bench.run(
        0,
        &[
            "tokens", "add", "machine", "--role", "reviewer", "--by", "anna",
        ],
    );
    let head = format!(
        "Authorization: Bearer {}\r\nContent-Type: application/json\r\nIf-Match: *\r\n",
        machine.trim()
    );
    for typed in CORPUS {
        let mark = anna.get("/cases/1").between("name=\"seen\" value=\"", "\"");
        for (path, mut fields) in forms(typed, &mark) {
            fields.push(("token", &token));
            let answer = anna.post(path, &fields);
            check_is_text(path, typed, &answer);
        }
        let body = serde_json::json!({"step": "note", "note": typed}).to_string();
        let answer = anna.send("POST", "/api/v1/cases/2/steps", &head, &body);
        check_is_text("the API", typed, &answer);
        assert_eq!(
            answer.header("content-type"),
            "application/json",
            "{}",
            answer.body
        );
        let escaped: String = typed.bytes().map(|it| format!("%{it:02x}")).collect();
        for path in [
            "/cases?text=",
            "/cases?sort=",
            "/cases?after=",
            "/cases?campaign=",
            "/lookup?q=",
            "/lookup?one=",
            "/numbers?month=",
            "/cases/",
            "/login?next=",
        ] {
            check_is_text(path, typed, &anna.get(&format!("{path}{escaped}")));
        }
        for path in [
            "/api/v1/cases?text=",
            "/api/v1/cases?after=",
            "/api/v1/cases/",
            "/api/v1/users?ns=",
        ] {
            let answer = anna.send("GET", &format!("{path}{escaped}"), &head, "");
            let kind = answer.header("content-type").to_owned();
            check_is_text(path, typed, &answer);
            assert!(kind.ends_with("json"), "{path}: {kind}");
            serde_json::from_str::<Value>(&answer.body).expect("JSON");
        }
    }
    // What was kept is text wherever it comes back.
    for path in [
        "/cases",
        "/cases/1",
        "/cases/2",
        "/exemptions",
        "/outbox",
        "/drafts",
    ] {
        check_is_text(path, "what was kept", &anna.get(path));
    }
    desk.running.stop();
}

/// A recipient whose notices wait for approval.
const DRAFTED: &str =
    "[[recipient]]\nregistrar = \"1234\"\naddress = \"abuse@other-registrar.example\"\n";

/// Returns the text of an attribute: what a browser would make of it.
fn unescaped(text: &str) -> String {
    let pairs = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
    ];
    let text = pairs
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    text.replace("&amp;", "&")
}

#[test]
fn what_is_typed_into_a_draft_is_text_on_its_page_in_its_mail_and_in_the_log() {
    let desk = Desk::start(CORPUS.len(), DRAFTED);
    let mut anna = desk.browser("anna");
    let token = anna.token();
    let drafts = anna.get("/drafts").body;
    let links = drafts.split("href=\"").skip(1);
    let links = links.map(|it| it.split('"').next().unwrap_or_default());
    let mut paths: Vec<&str> = links.filter(|it| it.contains("/notices/")).collect();
    paths.dedup();
    assert_eq!(paths.len(), CORPUS.len(), "a draft each: {drafts}");
    let mut taken = 0;
    for (typed, first) in CORPUS.iter().zip(paths) {
        let seen = anna.get(first).between("<code>", "</code>");
        let mut fields = vec![("token", token.as_str()), ("seen", &seen), ("step", "edit")];
        fields.push(("paragraph", typed));
        let edited = anna.post(first, &fields);
        check_is_text("an edited draft", typed, &edited);
        let place = edited.header("location").split('?').next();
        let path = place
            .filter(|it| !it.is_empty())
            .unwrap_or(first)
            .to_owned();
        taken += usize::from(edited.status == 303);
        let page = anna.get(&path);
        check_is_text("a draft", typed, &page);
        // The mail keeps the signs of direction that a person typed: they are no markup.
        if !typed.contains('\u{202e}') {
            check_is_text("HTML", typed, &anna.get(&format!("{path}/html")));
        }
        // Files: in them is what was typed, and no browser takes them for pages.
        for part in ["text", "html", "details", "xarf", "csv"] {
            let answer = anna.get(&format!("{path}/{part}"));
            let is_file = answer
                .header("content-disposition")
                .starts_with("attachment")
                && answer.header("x-content-type-options") == "nosniff";
            assert!(is_file || answer.status == 404, "{part}: {:?}", answer.head);
        }
        let eml = anna.get(&format!("{path}/eml")).body;
        let head = eml.split("\r\n\r\n").next().unwrap_or_default();
        assert!(!head.contains("Set-Cookie"), "{typed:?}: {head}");
        let seen = page.between("<code>", "</code>");
        let mut fields = vec![("token", token.as_str()), ("seen", &seen)];
        fields.extend([("step", "reject"), ("note", *typed)]);
        let rejected = anna.post(&path, &fields);
        check_is_text("a rejected draft", typed, &rejected);
        check_is_text("its page", typed, &anna.get(&path));
        let case = path.split("/notices/").next().unwrap_or_default();
        let case = anna.get(case);
        check_is_text("its case", typed, &case);
        let word = typed
            .split(['\r', '\u{202e}', '\u{2066}'])
            .find(|it| !it.is_empty());
        let word = word.unwrap_or_default();
        assert!(
            rejected.status != 303 || unescaped(&case.body).contains(word),
            "{typed:?} is in the log of its case"
        );
    }
    assert!(taken >= 6, "{taken} paragraphs were taken");
    desk.running.stop();
}

/// A field of a form with its value.
type Field = (&'static str, &'static str);

/// The forms that change something, each with the least role that may send it.
const STEPS: [(&str, &str, &[Field]); 9] = [
    ("reviewer", "/cases/1/step", &[("step", "ack")]),
    (
        "reviewer",
        "/cases/bulk",
        &[("step", "ack"), ("confirmed", "1")],
    ),
    (
        "reviewer",
        "/cases/1/notices/1",
        &[("step", "reject"), ("seen", "x")],
    ),
    (
        "approver",
        "/cases/1/notices/1",
        &[("step", "approve"), ("seen", "x")],
    ),
    ("approver", "/cases/1/send", &[]),
    ("approver", "/outbox", &[("message", "1"), ("step", "drop")]),
    (
        "approver",
        "/exemptions",
        &[
            ("kind", "domain"),
            ("value", "bad.example"),
            ("reason", "x"),
            ("confirmed", "1"),
        ],
    ),
    ("approver", "/exemptions", &[("remove", "1")]),
    ("approver", "/zones", &[("accept", "example.")]),
];

#[test]
fn forms_of_each_role_are_refused_to_those_below_and_without_the_sessions_token() {
    let desk = Desk::start(1, "");
    let (mut vera, mut rolf, mut anna) = (
        desk.browser("vera"),
        desk.browser("rolf"),
        desk.browser("anna"),
    );
    let tokens = [&mut vera, &mut rolf, &mut anna].map(Browser::token);
    for (least, path, fields) in STEPS {
        let with = |token: &str| -> Vec<(String, String)> {
            let all = fields
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
            all.chain([("token".to_owned(), token.to_owned())])
                .collect()
        };
        let send = |browser: &mut Browser, token: &str| {
            let fields = with(token);
            let fields: Vec<(&str, &str)> = fields
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            browser.post(path, &fields).status
        };
        assert_eq!(send(&mut vera, &tokens[0]), 403, "a viewer at {path}");
        if least == "approver" {
            assert_eq!(
                send(&mut rolf, &tokens[1]),
                403,
                "a reviewer at {path} {fields:?}"
            );
        }
        assert_eq!(send(&mut anna, ""), 403, "no token at {path}");
        assert_eq!(
            send(&mut anna, &tokens[1]),
            403,
            "another's token at {path}"
        );
        assert_eq!(
            send(&mut Browser::new(desk.port), &tokens[2]),
            401,
            "no session at {path}"
        );
        let foreign = "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: cross-site\r\nOrigin: https://evil.example\r\n";
        let body: Vec<String> = with(&tokens[2])
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        assert_eq!(
            anna.send("POST", path, foreign, &body.join("&")).status,
            403,
            "a page of elsewhere at {path}"
        );
    }
    assert_eq!(
        desk.bench.json(&["cases", "log", "--format", "json"]),
        serde_json::json!([]),
        "nothing was done"
    );
    assert_eq!(
        desk.bench.json(&["exempt", "list", "--format", "json"]),
        serde_json::json!([])
    );
    desk.running.stop();
}

/// What tries the API out by its document.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// What is to hold of every answer. That every value which fits its type is taken is not among it: a name, a time and an
/// ETag have rules that a schema does not tell.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,ignored_auth,unsupported_method";

#[test]
#[ignore = "takes minutes and a package of PyPI; benches/full runs it"]
fn api_answers_only_what_its_document_says_and_never_with_a_fault_of_its_own() {
    let desk = Desk::start(2, "");
    let token = desk.bench.run(
        0,
        &[
            "tokens", "add", "machine", "--role", "reviewer", "--by", "anna",
        ],
    );
    let python = python_with(SCHEMATHESIS);
    let tried = Command::new(python.with_file_name("schemathesis"))
        .arg("run")
        .arg(format!(
            "http://127.0.0.1:{}/api/v1/openapi.json",
            desk.port
        ))
        .args(["-H", &format!("Authorization: Bearer {}", token.trim())])
        .args([
            "--checks",
            CHECKS,
            "--max-examples",
            "50",
            "--seed",
            "20261129",
            "--no-color",
        ])
        .current_dir(desk.bench.path())
        .stdin(Stdio::null())
        .output()
        .expect("schemathesis runs");
    assert!(
        tried.status.success(),
        "{}\n{}",
        both(&tried),
        desk.running.log()
    );
    desk.running.stop();
}
