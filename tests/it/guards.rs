//! What others send is bounded, and what they may not see is not shown: mail servers, clients over HTTP, listings.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Bench, Running};
use crate::servers::{free_port, make_certificate_of};
use crate::support::smtp::{Scripted, Session, bench_of, rows};
use crate::support::wait::until;

/// Starts a mail server that greets and then answers each command as it is told; `None` closes. Returns its port.
fn mail_server(greeting: String, answer: impl Fn(&str) -> Option<String> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut out = stream.try_clone().expect("a socket can be shared");
            let mut said = Some(greeting.clone());
            let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
            while let Some(text) = said {
                if out.write_all(text.as_bytes()).is_err() {
                    break;
                }
                let Some(line) = lines.next() else { break };
                said = answer(&line);
            }
        }
    });
    port
}

/// Delivers one mail and returns where it stands and what was said last.
fn deliver_to(url: &str) -> (String, String) {
    let bench = bench_of(1, &format!("[smtp]\nurl = \"{url}\"\n"));
    let output = bench.command(&["poll"]).output().expect("it starts");
    assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
    let row = rows(&bench).remove(0);
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("last_reply"))
}

#[test]
fn server_that_speaks_before_the_handshake_gets_no_mail() {
    let port = mail_server("220 a\r\n".to_owned(), |line| {
        Some(match line.split(' ').next() {
            Some("EHLO") => "250-a\r\n250 STARTTLS\r\n".to_owned(),
            Some("STARTTLS") => "220 go on\r\n250 early\r\n".to_owned(),
            _ => "250 ok\r\n".to_owned(),
        })
    });
    for tls in ["required", "opportunistic"] {
        let (state, reply) = deliver_to(&format!("smtp://127.0.0.1:{port}?tls={tls}"));
        assert_eq!(state, "queued", "{reply}");
        assert!(reply.contains("spoke unasked: 250 early"), "{reply}");
    }
}

#[test]
fn reply_without_an_end_is_given_up_and_the_mail_waits() {
    let many = "220-and\r\n".repeat(150) + "220 a\r\n";
    let long = format!("220 {}\r\n", "x".repeat(4000));
    for (greeting, words) in [
        (many, "more than 100 lines"),
        (long, "longer than 2048 bytes"),
        ("220 a\r\n220 b\r\n".to_owned(), "spoke unasked: 220 b"),
    ] {
        let port = mail_server(greeting, |_| Some("250 ok\r\n".to_owned()));
        let (state, reply) = deliver_to(&format!("smtp://127.0.0.1:{port}"));
        assert_eq!(state, "queued", "{reply}");
        assert!(reply.contains(words), "{reply}");
    }
}

#[test]
fn mail_that_was_taken_is_sent_whatever_the_server_says_to_quit() {
    let port = mail_server("220 a\r\n".to_owned(), |line| match line {
        "DATA" => Some("354 go on\r\n".to_owned()),
        "." => Some("250 taken\r\n421 and now I close\r\n".to_owned()),
        "QUIT" => None,
        _ if ["EHLO ", "MAIL ", "RCPT "]
            .iter()
            .any(|it| line.starts_with(it)) =>
        {
            Some("250 ok\r\n".to_owned())
        }
        // Lines of the mail are not answered.
        _ => Some(String::new()),
    });
    let (state, reply) = deliver_to(&format!("smtp://127.0.0.1:{port}"));
    assert_eq!((state.as_str(), reply.as_str()), ("sent", "250 taken"));
}

/// A mail server under TLS from the first octet on; its arguments are the certificate, the key and the port.
const SMTPS: &str = r#"
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", int(sys.argv[3])))
while True:
    tcp, _ = listener.accept()
    try:
        tls = context.wrap_socket(tcp, server_side=True)
        lines = tls.makefile("rb")
        tls.sendall(b"220 a\r\n")
        in_mail = False
        for line in lines:
            word = line.strip().upper()
            if in_mail and word != b".": continue
            in_mail = word == b"DATA"
            if word.startswith(b"EHLO"): tls.sendall(b"250-a\r\n250 AUTH PLAIN\r\n")
            elif word.startswith(b"AUTH PLAIN"):
                good = line.split()[2] == b"AHVAYS5leGFtcGxlAHBhc3N3b3JkLW9mLWE="
                tls.sendall(b"235 in\r\n" if good else b"535 no\r\n")
            elif in_mail: tls.sendall(b"354 go on\r\n")
            elif word == b"QUIT": tls.sendall(b"221 bye\r\n"); break
            else: tls.sendall(b"250 ok\r\n")
        tls.close()
    except OSError: tcp.close()
"#;

/// A process that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn mail_leaves_by_implicit_tls_with_a_password_to_whom_the_certificate_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    make_certificate_of(folder.path(), "localhost");
    let file = |name: &str| -> PathBuf { folder.path().join(name) };
    let port = free_port();
    let server = Command::new("python3")
        .args(["-c", SMTPS])
        .args([file("tls.pem"), file("tls.key")])
        .arg(port.to_string())
        .stderr(Stdio::null())
        .spawn();
    let _server = Server(server.expect("python3 is installed"));
    until("the server", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let deliver = |host: &str, password: &str, with_ca: bool| {
        let ca = if with_ca {
            format!("ca_file = \"{}\"\n", file("tls.pem").display())
        } else {
            String::new()
        };
        let smtp = format!(
            "[smtp]\nurl = \"smtps://u%40a.example@{host}:{port}\"\npassword_file = \"word\"\n{ca}"
        );
        let bench = bench_of(1, &smtp);
        let word = bench.write("word", password);
        fs::set_permissions(word, fs::Permissions::from_mode(0o600)).expect("the mode can be set");
        bench.command(&["poll"]).output().expect("it starts");
        let row = rows(&bench).remove(0);
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        (text("state"), text("last_reply"))
    };
    let sent = ("sent".to_owned(), "250 ok".to_owned());
    assert_eq!(deliver("localhost", "password-of-a\n", true), sent);
    for (host, password, with_ca, words) in [
        ("localhost", "another\n", true, "535"),
        ("localhost", "password-of-a\n", false, "TLS handshake"),
        ("127.0.0.1", "password-of-a\n", true, "TLS handshake"),
    ] {
        let (state, reply) = deliver(host, password, with_ca);
        assert_eq!(state, "queued", "{reply}");
        assert!(reply.contains(words), "{reply}");
    }
}

/// Sends a request as it is and returns status, head and body.
fn ask(port: u16, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    (status.unwrap_or(0), answer)
}

#[test]
fn wrong_passwords_are_slowed_down_and_logged_and_right_ones_still_enter() {
    let port = free_port();
    let bench = Bench::new(&format!(
        "[[source]]\nname = \"f\"\nkind = \"feed\"\npath = \"f.ndjson\"\n[web]\nlisten = \"127.0.0.1:{port}\"\nusers_file = \"users\"\n"
    ));
    bench.write("f.ndjson", "");
    bench.write_users(&[("desk", "viewer", "password-of-the-desk")]);
    bench.run(0, &["poll"]);
    let running = Running::start(&bench, &["run"]);
    until("the listener", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let get = |path: &str, login: &str| {
        let head = "Host: a\r\nConnection: close\r\n";
        ask(port, &format!("GET {path} HTTP/1.1\r\n{head}{login}\r\n"))
    };
    let right = "Authorization: Basic ZGVzazpwYXNzd29yZC1vZi10aGUtZGVzaw==\r\n";
    let wrong = "Authorization: Basic ZGVzazpwYXNzd29yZC1vZi10aGUtZGVzZg==\r\n";
    assert_eq!(get("/pdns/query/a.example", right).0, 200);
    for (question, words) in [
        ("192.0.2.0/999", "from 0 to 32"),
        ("192.0.2.0/33", "from 0 to 32"),
        ("2001:db8::/129", "from 0 to 128"),
    ] {
        let (status, answer) = get(&format!("/pdns/query/{question}"), right);
        assert_eq!(status, 400, "{answer}");
        assert!(answer.contains(words), "{answer}");
    }
    assert!(
        bench
            .run_stderr(2, &["history", "192.0.2.0/999"])
            .contains("from 0 to 32")
    );
    assert_eq!(get("/healthz", "").0, 200);
    assert_eq!(
        ask(port, "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").0,
        400
    );
    // Who sends no password guesses none.
    let started = Instant::now();
    (0..5).for_each(|_| assert_eq!(get("/pdns/query/a.example", "").0, 401));
    assert!(
        !running.log().contains("wrong password"),
        "{}",
        running.log()
    );
    let free = started.elapsed();
    let started = Instant::now();
    (0..5).for_each(|_| assert_eq!(get("/pdns/query/a.example", wrong).0, 401));
    let slow = started.elapsed();
    // 50, 100, 200 and 400 ms.
    assert!(
        slow >= Duration::from_millis(750) && slow > free,
        "{slow:?} {free:?}"
    );
    assert_eq!(get("/pdns/query/a.example", right).0, 200);
    let log = running.log();
    assert_eq!(
        log.matches("with a wrong password or token from 127.0.0.1")
            .count(),
        1,
        "{log}"
    );
    assert!(
        log.contains(" WARN ") && !log.contains("password-of"),
        "{log}"
    );
    running.stop();
}

#[test]
fn configuration_that_is_shown_hides_what_the_outbox_hides() {
    let bench = Bench::new(
        "[[webhook]]\nurl = \"https://hooks.example:8443/T0/B0/key?token=abc\"\nsecret_file = \"s\"\n",
    );
    let secret = bench.write("s", "secret-of-the-webhook\n");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).expect("the mode can be set");
    let shown = bench.run(0, &["config", "show"]);
    assert!(
        shown.contains("url = \"https://hooks.example:8443/\""),
        "{shown}"
    );
    assert!(!shown.contains("T0") && !shown.contains("abc"), "{shown}");
}

#[test]
fn words_of_others_steer_no_terminal_in_any_listing() {
    let bench = Bench::new(
        "[[source]]\nname = \"f\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n",
    );
    bench.write("f.ndjson", "\u{1b}[2J\u{9b}1m\u{7} no line\r\u{202e}\n");
    bench.run(3, &["poll"]);
    let is_plain = |text: &str| {
        !text
            .chars()
            .any(|it| (it.is_control() && it != '\n') || it == '\u{202e}')
    };
    for format in ["table", "json", "ndjson", "csv"] {
        let text = bench.run(0, &["import", "rejected", "--format", format]);
        assert!(
            text.contains("no line") && is_plain(&text),
            "{format}: {text:?}"
        );
    }
    // What a person writes is shown to another one.
    let server = Scripted::start(&[]);
    let bench = bench_of(
        1,
        &format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", server.port),
    );
    bench.run(0, &["poll"]);
    let note = "seen\u{1b}]0;x\u{7}\u{9b}2J by me";
    bench.run(0, &["cases", "note", "1", "--by", "ada", "--note", note]);
    for look in [
        &["cases", "show", "1"][..],
        &["cases", "show", "1", "--format", "json"],
        &["cases", "log", "1", "--format", "csv"],
        &["cases", "log", "1", "--format", "ndjson"],
    ] {
        let text = bench.run(0, look).replace("\r\n", "\n");
        assert!(
            text.contains("by me") && is_plain(&text),
            "{look:?}: {text:?}"
        );
    }
    let fault = bench.run_stderr(2, &["status", "a\u{1b}[2J.example"]);
    assert!(is_plain(&fault), "{fault:?}");
}

#[test]
fn metrics_count_cases_and_mails_as_the_listings_do() {
    let server = Scripted::start(&[Session::Refuse, Session::Busy]);
    let smtp = format!(
        "[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n[metrics]\ntextfile = \"m.prom\"\n",
        server.port
    );
    let bench = bench_of(4, &smtp);
    bench.run(3, &["poll"]);
    // The report of the first is dead; a dismissal would drop it.
    bench.run(
        0,
        &["cases", "dismiss", "2", "--by", "ada", "--reason", "test"],
    );
    bench.run(0, &["poll"]);
    let page = fs::read_to_string(bench.path().join("m.prom")).expect("written");
    let value = |name: &str, label: &str, of: &str| -> usize {
        let start = format!("{name}{{{label}=\"{of}\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&start));
        line.expect(&start).parse().expect("a number")
    };
    for state in ["queued", "sending", "dead"] {
        let listed = rows(&bench)
            .iter()
            .filter(|row| row["state"] == state)
            .count();
        assert_eq!(
            value("fluxwatch_unsent_messages", "state", state),
            listed,
            "{state}"
        );
    }
    assert_eq!(value("fluxwatch_unsent_messages", "state", "dead"), 1);
    for state in ["open", "acknowledged", "dismissed", "mitigated", "closed"] {
        let listed = bench
            .cases()
            .iter()
            .filter(|case| case["state"] == state)
            .count();
        assert_eq!(value("fluxwatch_cases", "state", state), listed, "{state}");
    }
    assert_eq!(value("fluxwatch_cases", "state", "dismissed"), 1);
}

#[test]
fn no_unit_leaves_secrets_in_a_core_dump() {
    for name in ["fluxwatch.service", "fluxwatch-poll.service"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/systemd");
        let unit = fs::read_to_string(path.join(name)).expect("the unit is there");
        assert!(unit.lines().any(|line| line == "LimitCORE=0"), "{name}");
    }
}
