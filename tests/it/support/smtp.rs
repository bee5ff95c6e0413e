//! A mail server that says what a test wants.

use crate::harness::{Bench, REPORT};
use crate::support::desk::{Feed, bench};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a scripted server does with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// Takes the mail.
    Take,
    /// 451 to the recipient.
    Busy,
    /// 550 to the recipient.
    Refuse,
    /// Takes the mail and ends before it says so.
    TakeAndVanish,
    /// Ends while the mail arrives.
    VanishInData,
    /// Greets with 421.
    Closed,
    /// 354 to the end of the mail.
    Intermediate,
    /// 550 with what writes to a terminal.
    Escape,
    /// 421 to the recipient.
    CloseAtRecipient,
    /// Something to the recipient that is no reply.
    Babble,
}

/// A server that follows a script; when that is at its end, it takes everything.
pub struct Scripted {
    pub port: u16,
    pub taken: Arc<Mutex<Vec<String>>>,
    pub script: Arc<Mutex<VecDeque<Session>>>,
}

impl Scripted {
    /// Starts a server.
    pub fn start(script: &[Session]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("bound").port();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.iter().copied().collect::<VecDeque<_>>()));
        let (mails, steps) = (taken.clone(), script.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (mails, steps) = (mails.clone(), steps.clone());
                std::thread::spawn(move || {
                    let _ = Self::serve(stream, &mails, &steps);
                });
            }
        });
        Self {
            port,
            taken,
            script,
        }
    }

    /// Serves one session. A look whether the server takes sessions at all is no session of the script.
    pub fn serve(
        stream: TcpStream,
        taken: &Mutex<Vec<String>>,
        script: &Mutex<VecDeque<Session>>,
    ) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut out = stream.try_clone()?;
        let mut lines = BufReader::new(stream);
        if script.lock().expect("alive").front() == Some(&Session::Closed) {
            script.lock().expect("alive").pop_front();
            return out.write_all(b"421 closed\r\n");
        }
        out.write_all(b"220 scripted\r\n")?;
        let mut session = Session::Take;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let word = line
                .split([' ', ':', '\r'])
                .next()
                .unwrap_or_default()
                .to_uppercase();
            let answer = match word.as_str() {
                "EHLO" | "HELO" => "250 scripted\r\n",
                "MAIL" => {
                    session = script
                        .lock()
                        .expect("alive")
                        .pop_front()
                        .unwrap_or(Session::Take);
                    "250 ok\r\n"
                }
                "RCPT" if session == Session::Busy => "451 4.3.0 later\r\n",
                "RCPT" if session == Session::Refuse => "550 5.1.1 nobody\r\n",
                "RCPT" if session == Session::Escape => {
                    "550 5.1.1 \u{1b}[2Jnobody\u{7}\u{9b}1m\r\n"
                }
                "RCPT" if session == Session::Babble => "hello?\r\n",
                "RCPT" if session == Session::CloseAtRecipient => {
                    return out.write_all(b"421 4.7.0 try again later\r\n");
                }
                // RFC 5321 §4.5.1 asks for it, and not every server has it.
                "NOOP" => "500 5.5.1 unknown command\r\n",
                "DATA" => {
                    std::thread::sleep(Duration::from_millis(3));
                    out.write_all(b"354 go on\r\n")?;
                    if session == Session::VanishInData {
                        return Ok(());
                    }
                    let mut mail = String::new();
                    loop {
                        let mut line = String::new();
                        if lines.read_line(&mut line)? == 0 {
                            return Ok(());
                        }
                        if line == ".\r\n" {
                            break;
                        }
                        mail += &line;
                    }
                    if session == Session::Intermediate {
                        out.write_all(b"354 and then?\r\n")?;
                        continue;
                    }
                    taken.lock().expect("alive").push(mail);
                    if session == Session::TakeAndVanish {
                        return Ok(());
                    }
                    "250 queued\r\n"
                }
                "QUIT" => {
                    out.write_all(b"221 bye\r\n")?;
                    return Ok(());
                }
                _ => "250 ok\r\n",
            };
            out.write_all(answer.as_bytes())?;
        }
    }

    /// Returns how often each Message-ID was taken.
    pub fn ids(&self) -> BTreeMap<String, usize> {
        let mut ids = BTreeMap::new();
        for mail in self.taken.lock().expect("alive").iter() {
            let line = mail.lines().find(|line| line.starts_with("Message-ID:"));
            *ids.entry(line.expect("a Message-ID").to_owned())
                .or_insert(0) += 1;
        }
        ids
    }
}

/// A bench whose feed has so many flux domains that are no campaign, mailing to a port.
pub fn bench_of(domains: usize, smtp: &str) -> Bench {
    let bench = bench(&format!(
        "{REPORT}digest = \"off\"\ncases_per_hour_max = 1000\n{smtp}"
    ));
    let mut feed = Feed::default();
    for n in 0..domains {
        let domain = format!("d{n}.example.");
        feed.set(0, &domain, "NS", &["ns1.plain.test.".to_owned()]);
        feed.flux(&domain, 6 + (n as i64 % 6), 60);
    }
    bench.write("f.ndjson", feed.text(72));
    bench
}

/// Returns the rows of the outbox.
pub fn rows(bench: &Bench) -> Vec<Value> {
    let rows = bench.json(&["outbox", "list", "--all", "--format", "json"]);
    rows.as_array().expect("a list").clone()
}
