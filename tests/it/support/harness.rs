//! A folder with a configuration and a database, and the program run in it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use fluxwatch::config::Config;
use fluxwatch::people::hash_password;
use fluxwatch::pipeline::{Pipeline, PollOptions, ZoneReport};
use fluxwatch::place::StoreUrl;
use fluxwatch::store::{Store, StoreOptions};
use fluxwatch::time::{SetClock, Timestamp};
use serde_json::Value;

use crate::servers::{TSIG_NAME, TSIG_SECRET};
use crate::support::stores::store_lines;

/// Reports and mail as every test that mails has them.
pub const REPORT: &str = "[report]\nfrom = \"fluxwatch@registrar.example\"\ndesk = [\"abuse-desk@registrar.example\"]\norg = \"Example Registrar\"\ncontact = \"abuse@registrar.example\"\n";

/// A temporary folder with a configuration.
pub struct Bench {
    folder: tempfile::TempDir,
    /// The lines of `[store]`.
    store: String,
}

impl Bench {
    /// Makes a folder whose configuration is a store and `rest`.
    pub fn new(rest: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let store = store_lines(folder.path());
        let bench = Self { folder, store };
        bench.configure(rest);
        bench
    }

    /// Makes a folder whose configuration is a database of a server and `rest`.
    pub fn on(url: &str, rest: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let store = format!("url = \"{url}\"\ncache = \"cache\"\n");
        let bench = Self { folder, store };
        bench.configure(rest);
        bench
    }

    /// Writes the configuration anew. Where it names no table, networks are those of [`networks`].
    pub fn configure(&self, rest: &str) {
        if rest.contains("[enrich]") {
            return self.configure_bare(rest);
        }
        self.write("networks.csv", networks());
        let end = if rest.ends_with('\n') { "" } else { "\n" };
        self.configure_bare(&format!("{rest}{end}[enrich]\nasn = \"networks.csv\"\n"));
    }

    /// Writes the configuration anew, without a table of its own where it names none.
    pub fn configure_bare(&self, rest: &str) {
        fs::write(self.config(), format!("[store]\n{}{rest}", self.store))
            .expect("the folder can be written");
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns where the database is.
    pub fn store_url(&self) -> StoreUrl {
        let config = Config::load(&self.config()).expect("the test's configuration is sound");
        config.store_url
    }

    /// Returns the configuration file.
    pub fn config(&self) -> PathBuf {
        self.path().join("fluxwatch.toml")
    }

    /// Writes a file of the folder.
    pub fn write(&self, name: &str, octets: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder"))
            .expect("the folder can be made");
        fs::write(&path, octets).expect("the file can be written");
        path
    }

    /// Writes the TSIG key that the primaries ask for and returns its section.
    pub fn key_section(&self) -> String {
        self.key_section_with(TSIG_SECRET)
    }

    /// Writes a TSIG key with another secret.
    pub fn key_section_with(&self, secret: &str) -> String {
        let path = self.write("transfer.key", secret);
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the mode can be set");
        format!(
            "[[key]]\nname = \"{TSIG_NAME}\"\nalgorithm = \"hmac-sha256\"\nsecret_file = \"transfer.key\"\n"
        )
    }

    /// Writes the file `users` with each of some users: name, role, password.
    pub fn write_users(&self, users: &[(&str, &str, &str)]) {
        let line = |(name, role, password): &(&str, &str, &str)| {
            let hash = hash_password(password, [7; 16]);
            format!("{name}:{role}:{name}@registrar.example:{hash}\n")
        };
        let path = self.write("users", users.iter().map(line).collect::<String>());
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the mode can be set");
    }

    /// Returns the program with this configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fluxwatch"));
        command
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .stdin(Stdio::null())
            .env_remove("FLUXWATCH_LOG");
        command
    }

    /// Runs the program and expects an exit status.
    pub fn run(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.output(status, arguments);
        String::from_utf8(output.stdout).expect("stdout is UTF-8")
    }

    /// Runs the program, expects an exit status, and returns stderr.
    pub fn run_stderr(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.output(status, arguments);
        String::from_utf8(output.stderr).expect("stderr is UTF-8")
    }

    /// Runs the program, expects an exit status, and returns what it wrote.
    fn output(&self, status: i32, arguments: &[&str]) -> Output {
        let output = self
            .command(arguments)
            .output()
            .expect("the program can be started");
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?}\n{}",
            both(&output)
        );
        output
    }

    /// Runs the program, expects success, and reads its JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(0, arguments);
        serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{arguments:?}: {fault}\n{text}"))
    }

    /// Returns the one row of `status` about a zone.
    pub fn status(&self, zone: &str) -> Value {
        let rows = self.json(&["status", "--format", "json"]);
        let found = rows
            .as_array()
            .expect("a list")
            .iter()
            .find(|row| row["zone"] == zone);
        found
            .unwrap_or_else(|| panic!("no zone {zone} in {rows}"))
            .clone()
    }

    /// Returns every case as JSON.
    pub fn cases(&self) -> Vec<Value> {
        self.json(&["cases", "list", "--state", "all", "--format", "json"])
            .as_array()
            .expect("a list")
            .clone()
    }

    /// Returns the files of the Maildir `desk`.
    pub fn maildir(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.path().join("desk/new")) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.expect("the folder can be read").path())
            .collect();
        files.sort();
        files
    }

    /// Makes a pipeline with a clock that the test moves.
    pub fn pipeline(&self, clock: Arc<SetClock>) -> Pipeline {
        let config = Config::load(&self.config()).expect("the test's configuration is sound");
        let store = Store::open(
            &config.store_url,
            StoreOptions {
                reverse_index: config.reverse_index,
                create: true,
            },
        )
        .expect("the store opens");
        Pipeline::new(store, Arc::new(config), clock).expect("the pipeline is sound")
    }
}

/// The networks of tests: each /16 of 10.0.0.0/8 and each other /8 is one, but for those of documentation.
pub fn networks() -> String {
    let private = (0..256).map(|n| format!("10.{n}.0.0,10.{n}.255.255,{}\n", 64_512 + n));
    let others = (11..224).filter(|n| ![127, 192, 198, 203].contains(n));
    let others = others.map(|n| format!("{n}.0.0.0,{n}.255.255.255,{}\n", 65_000 + n));
    private.chain(others).collect()
}

/// The program while it runs; killed when dropped.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts the program; what it says goes into a file.
    pub fn start(bench: &Bench, arguments: &[&str]) -> Self {
        Self::start_with(bench, arguments, Vec::new())
    }

    /// [`Running::start`] in an environment.
    pub fn start_with(
        bench: &Bench,
        arguments: &[&str],
        environment: Vec<(&'static str, OsString)>,
    ) -> Self {
        let log = bench.path().join("running.log");
        let file = fs::File::create(&log).expect("the log can be made");
        let child = bench
            .command(arguments)
            .envs(environment)
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the program can be started");
        Self { child, log }
    }

    /// Returns the number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns whether it has ended.
    pub fn has_ended(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        stat.map_or(true, |stat| {
            stat.rsplit(')')
                .next()
                .is_some_and(|it| it.starts_with(" Z"))
        })
    }

    /// Waits until it ends by itself. Returns its exit status.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("it can be waited for").code()
    }

    /// Returns what it has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .expect("kill is there");
        assert!(status.success(), "the program has ended: {}", self.log());
    }

    /// Ends it as systemd does and expects a clean end.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the program said:\n{}", self.log());
        }
    }
}

/// Runs one pass of a pipeline over all its sources.
pub fn poll(pipeline: &Pipeline) -> Vec<ZoneReport> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let config = pipeline.config().clone();
    let sources: Vec<_> = config.sources.iter().collect();
    let mut reports = Vec::new();
    let options = PollOptions {
        mail_wanted: true,
        ..PollOptions::default()
    };
    runtime
        .block_on(
            pipeline
                .ingest()
                .poll(&sources, None, &options, &mut |report| reports.push(report)),
        )
        .expect("the pass ends");
    reports
}

/// Empties a pipeline's outbox.
pub fn deliver(pipeline: &Pipeline) -> fluxwatch::pipeline::DeliverySummary {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime
        .block_on(pipeline.notify().deliver())
        .expect("the outbox can be read")
}

/// Parses a time.
pub fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect("the test's time is valid")
}

/// Returns both outputs, for a failed assertion.
pub fn both(output: &Output) -> String {
    format!(
        "stdout: {}\nstderr: {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a python program as an independent reader and returns what it prints.
pub fn python(program: &str, arguments: &[&Path]) -> String {
    let output = Command::new("python3")
        .arg("-c")
        .arg(program)
        .args(arguments)
        .output()
        .expect("python3 is installed by tests/install-servers");
    assert!(output.status.success(), "{}", both(&output));
    String::from_utf8(output.stdout).expect("python prints UTF-8")
}

/// Returns the folder of shared data that lies beside the repository, or says in one line that it is
/// not there.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
        .join(name);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!(
        "absent: {name} (real zone data beside the repository); what needs it was not tested"
    );
    None
}

/// Reads a gzip file whole.
pub fn gunzip(path: &Path) -> String {
    use std::io::Read;
    let mut text = String::new();
    let file = fs::File::open(path).expect("the data is there");
    flate2::read::MultiGzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("the data is gzip of UTF-8");
    text
}
