//! What may be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Watches delegated and hosted domains for fast flux, from the authoritative side of DNS.
#[derive(Debug, Parser)]
#[command(name = "fluxwatch", version, about, long_about = None, propagate_version = false)]
pub struct Arguments {
    /// The configuration [default: $FLUXWATCH_CONFIG, ./fluxwatch.toml, /etc/fluxwatch/fluxwatch.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say more on stderr; twice for everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// One pass over every source: fetch, diff, store, detect, report, send
    Poll(PollCommand),
    /// Poll each source on its schedule, hear NOTIFY and HTTP, send mail, until SIGTERM; SIGHUP reads the configuration anew
    Run(RunCommand),
    /// Bring in snapshots or changes that something else recorded
    #[command(subcommand)]
    Import(ImportCommand),
    /// What changed for a name; which names used a name server or an address
    History(HistoryCommand),
    /// A name's records at two times, side by side
    Diff(DiffCommand),
    /// The detector's arithmetic for a domain, term by term
    Explain(ExplainCommand),
    /// The abuse desk's cases
    Cases(Box<CasesCommand>),
    /// Reports
    #[command(subcommand)]
    Report(ReportCommand),
    /// Mail that waits, was sent, or was given up
    Outbox(OutboxCommand),
    /// Who is never reported, why, by whom, until when
    Exempt(ExemptCommand),
    /// Who may use the console and the API
    #[command(subcommand)]
    Users(UsersCommand),
    /// What machines enter the API with
    #[command(subcommand)]
    Tokens(TokensCommand),
    /// What the desk did in a month, for compliance
    Stats(StatsCommand),
    /// Take old cases away, or the persons out of them
    #[command(subcommand)]
    Privacy(PrivacyCommand),
    /// Every zone: serial, last success, lag, last error
    Status(StatusCommand),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The database
    #[command(subcommand)]
    Db(DbCommand),
    /// Everything about a domain, with what it takes to check it elsewhere
    Export(ExportCommand),
    /// Replay a policy over stored history: what would have been reported, when, and by what
    Backtest(BacktestCommand),
    /// Check what `export` wrote; needs neither database nor configuration
    VerifyEvidence(VerifyEvidence),
    /// Print what completes these commands in a shell
    Completions(CompletionsCommand),
    /// Write the manual, a page for each command
    Man(ManCommand),
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsCommand {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManCommand {
    /// The folder of the pages [default: the first page, on stdout]
    #[arg(long, value_name = "FOLDER")]
    pub to: Option<PathBuf>,
}

/// `export`.
#[derive(Debug, Args)]
pub struct ExportCommand {
    /// Write the evidence about this domain, with what lies below it
    #[arg(long, conflicts_with = "format", required_unless_present = "format")]
    pub domain: Option<String>,
    /// The file of the evidence; must not exist [default: stdout]
    #[arg(long, short, value_name = "FILE", requires = "domain")]
    pub output: Option<PathBuf>,
    /// Write history for other engines: every record that came or went, a file a day, compressed with zstd
    #[arg(long, value_enum, requires = "to")]
    pub format: Option<ExportFormat>,
    /// The folder of the days; a day that is there is replaced
    #[arg(long, value_name = "FOLDER", requires = "format")]
    pub to: Option<PathBuf>,
    /// Only these zones
    #[arg(long, value_name = "ZONE", requires = "format")]
    pub zone: Vec<String>,
    /// From the day of this time on (UTC)
    #[arg(long, value_name = "TIME", requires = "format")]
    pub since: Option<String>,
    /// Up to the day of this time, that day included
    #[arg(long, value_name = "TIME", requires = "format")]
    pub until: Option<String>,
}

/// How history is written for other engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// day=YYYY-MM-DD/changes.parquet
    Parquet,
    /// day=YYYY-MM-DD/changes.ndjson.zst
    Ndjson,
    /// day=YYYY-MM-DD/changes.csv.zst
    Csv,
}

/// `backtest`.
#[derive(Debug, Args)]
pub struct BacktestCommand {
    /// From this time on
    #[arg(long, value_name = "TIME")]
    pub since: String,
    /// Up to this time [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// A file with the keys of [detect] [default: the configuration's]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Another such file, whose findings stand beside those of the first
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    pub format: StatsFormat,
}

/// `verify-evidence`.
#[derive(Debug, Args)]
pub struct VerifyEvidence {
    /// The bundle
    pub file: PathBuf,
}

/// `db`.
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Write a sound copy while polls run
    Backup(DbBackup),
    /// Check pages, references, intervals, counts and every hash
    Verify(DbVerify),
    /// Make anew what is counted from the records
    Recount,
    /// Forget what is older than [retention] keeps
    Prune(DbPrune),
    /// What it holds, octets a change, growth
    Stats(DbStats),
    /// Copy everything into another database: from a file to PostgreSQL, or back
    Move(DbMove),
}

/// `db move`.
#[derive(Debug, Args)]
pub struct DbMove {
    /// Where to: postgres://ROLE@HOST/DATABASE, or a file that does not exist
    #[arg(long, value_name = "URL or FILE")]
    pub to: String,
    /// Holds the role's password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The certificate authorities of the server, as PEM
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// `db backup`.
#[derive(Debug, Args)]
pub struct DbBackup {
    /// The copy; must not exist
    pub file: PathBuf,
}

/// `db verify`.
#[derive(Debug, Args)]
pub struct DbVerify {
    /// Also look for this hash of a report, and say which version of which zone has it
    #[arg(long = "hash", value_name = "SHA256")]
    pub hashes: Vec<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = StatsFormat::Table)]
    pub format: StatsFormat,
}

/// `db prune`.
#[derive(Debug, Args)]
pub struct DbPrune {
    /// Count what would go, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Give the freed pages back to the file system, instead of keeping them for what comes
    #[arg(long)]
    pub shrink: bool,
}

/// `db stats`.
#[derive(Debug, Args)]
pub struct DbStats {
    /// How to print it
    #[arg(long, value_enum, default_value_t = StatsFormat::Table)]
    pub format: StatsFormat,
}

/// How numbers about the database are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatsFormat {
    /// For people
    Table,
    /// One JSON object
    Json,
}

/// `poll`.
#[derive(Debug, Args)]
pub struct PollCommand {
    /// Only these zones [default: all]
    pub zones: Vec<String>,
    /// Transfer in full although the serial stands; read files again although they stand
    #[arg(long)]
    pub full: bool,
    /// Take this zone's next version although it shrank
    #[arg(long, value_name = "ZONE")]
    pub accept: Vec<String>,
    /// If another fluxwatch polls into the database, wait for it
    #[arg(long)]
    pub wait: bool,
    /// Do everything on a copy of the database, send nothing, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print only what failed, and nothing if nothing did: for cron
    #[arg(short, long)]
    pub quiet: bool,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunCommand {
    /// If another fluxwatch polls into the database, wait for it
    #[arg(long)]
    pub wait: bool,
}

/// `import`.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Zone files, in the order of their times
    Zonefile(ImportZonefile),
    /// A change feed, NDJSON
    Feed(ImportFeed),
    /// Passive DNS that others recorded, in the common output format (NDJSON): shown beside the history,
    /// judged by nobody
    Pdns(ImportPassive),
    /// List the lines of feeds and of passive DNS that were set aside, newest first, with number and reason
    Rejected(ImportRejected),
}

/// `import rejected`.
#[derive(Debug, Args)]
pub struct ImportRejected {
    /// Only lines of this source [default: of every source]
    pub source: Option<String>,
    /// At most so many lines
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub limit: usize,
    /// How to print it
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// What both imports have.
#[derive(Debug, Args)]
pub struct ImportOptions {
    /// The source's name in history
    #[arg(long, default_value = "import", value_name = "NAME")]
    pub source: String,
    /// Queue and send reports of cases that reach level report
    #[arg(long)]
    pub report: bool,
    /// Do everything on a copy of the database, send nothing, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `import zonefile`.
#[derive(Debug, Args)]
pub struct ImportZonefile {
    /// The zone's apex
    #[arg(long)]
    pub zone: String,
    /// The version's time, for a single file [default: by the name or the modification time]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// The time in the files' names, such as example-%Y%m%d%H%M.zone
    #[arg(long, value_name = "PATTERN", conflicts_with = "at")]
    pub time_pattern: Option<String>,
    /// Take files without their SOA
    #[arg(long)]
    pub no_soa: bool,
    /// Take files whose last line has no newline at its end
    #[arg(long)]
    pub no_final_newline: bool,
    /// Take the files although they shrank, or do not end with the SOA as the last one did
    #[arg(long)]
    pub accept: bool,
    /// The files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// What both imports have
    #[command(flatten)]
    pub options: ImportOptions,
}

/// `import feed`.
#[derive(Debug, Args)]
pub struct ImportFeed {
    /// The zone of lines that name none
    #[arg(long)]
    pub zone: Option<String>,
    /// The feed began with the whole zone
    #[arg(long)]
    pub complete: bool,
    /// The feed
    pub file: PathBuf,
    /// What both imports have
    #[command(flatten)]
    pub options: ImportOptions,
}

/// `import pdns`.
#[derive(Debug, Args)]
pub struct ImportPassive {
    /// The zone of all names [default: the nearest zone above each that history knows]
    #[arg(long)]
    pub zone: Option<String>,
    /// The source's name in history
    #[arg(long, default_value = "passive-dns", value_name = "NAME")]
    pub source: String,
    /// Do everything on a copy of the database, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The lines; - for standard input
    pub file: PathBuf,
}

/// `history`.
#[derive(Debug, Args)]
pub struct HistoryCommand {
    /// A name, with everything below it, whether it is a delegation or the apex of a zone (`--exact`: the name
    /// alone; `*.NAME`: only what lies below it); or an address or prefix. With or without the final dot, any case,
    /// U-label or A-label, defanged or not, out of a URL or a mail address; or the reference of a case (FW-000012)
    pub name: Option<String>,
    /// Who used this name server; `*.NAME` for any name server at or below a name
    #[arg(long, value_name = "HOST")]
    pub ns: Option<String>,
    /// Who used this address or prefix
    #[arg(long, value_name = "ADDRESS[/LENGTH]")]
    pub address: Option<String>,
    /// Only the name itself, not what lies below it
    #[arg(long)]
    pub exact: bool,
    /// The state as it was at this time
    #[arg(long, value_name = "TIME", conflicts_with_all = ["since", "until"])]
    pub at: Option<String>,
    /// What was there, and changed, from this time on
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// What was there, and changed, up to this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only these types: NS, A, AAAA, CNAME, DS
    #[arg(
        long = "type",
        short = 't',
        value_name = "TYPE[,TYPE]",
        value_delimiter = ','
    )]
    pub types: Vec<String>,
    /// Cases about these names too
    #[arg(long)]
    pub with_cases: bool,
    /// What a table shows [default: changes; of name servers and addresses, records]
    #[arg(long, value_enum)]
    pub view: Option<HistoryView>,
    /// At most so many names, or records of a reverse lookup [default: 1000 for table and json, else all]
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<usize>,
    /// Go on where an earlier page ended
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = HistoryFormat::Table)]
    pub format: HistoryFormat,
}

/// What a table of history shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HistoryView {
    /// What is there, and every change, newest first
    Changes,
    /// Every record with the times it was there
    Records,
    /// A plot of when each record was there
    Timeline,
}

/// `diff`.
#[derive(Debug, Args)]
pub struct DiffCommand {
    /// The name, with everything below it, whether it is a delegation or the apex of a zone; as for `history`
    pub name: String,
    /// The earlier time
    #[arg(value_name = "T1")]
    pub from: String,
    /// The later time [default: now]
    #[arg(value_name = "T2")]
    pub to: Option<String>,
    /// Only the name itself, not what lies below it
    #[arg(long)]
    pub exact: bool,
    /// At most so many names that differ
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub limit: usize,
    /// Go on where an earlier page ended
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = StatsFormat::Table)]
    pub format: StatsFormat,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainCommand {
    /// The domain, or the reference of its case (FW-000012)
    pub domain: String,
    /// Judge as of this time [default: the newest event time of its zone]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = ExplainFormat::Text)]
    pub format: ExplainFormat,
}

/// `cases`; alone it lists.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CasesCommand {
    /// What to do [default: list]
    #[command(subcommand)]
    pub action: Option<CasesAction>,
    /// How to list
    #[command(flatten)]
    pub list: CasesList,
}

/// What `cases` does.
#[derive(Debug, Subcommand)]
pub enum CasesAction {
    /// List cases, the most certain first
    List(CasesList),
    /// Show one case with its log and its mail
    Show(CasesShow),
    /// Somebody works on these cases
    Ack(CasesStep),
    /// These cases are nothing; of one that was reported, a closure is mailed
    ///
    /// A dismissed case opens again only for flux that begins after [detect] settled_after (14 days) without a change,
    /// or for another verdict than the one that was dismissed. Until then nobody is mailed, however often the domain
    /// changes. `fluxwatch cases reopen` opens it by hand.
    Dismiss(CasesDismiss),
    /// These cases are done; of one that was reported, a closure is mailed
    Close(CasesClose),
    /// These cases are not over after all
    Reopen(CasesStep),
    /// Write a note into these cases' logs
    Note(CasesStep),
    /// Whose these cases are
    Assign(CasesAssign),
    /// Show the log of one case: who, when, from, to, why; without a case, what people did with any
    Log(CasesLog),
}

/// Which cases, by whom, and why.
#[derive(Debug, Args)]
pub struct CasesStep {
    /// The cases' numbers, references (FW-000012) or domains
    #[arg(required_unless_present_any = ["campaign", "zone", "verdict", "level", "state"])]
    pub cases: Vec<String>,
    /// All of this campaign (FC-3)
    #[arg(long, value_name = "CAMPAIGN")]
    pub campaign: Option<String>,
    /// All at or below this zone
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// All with this verdict: double-flux, ns-flux or single-flux
    #[arg(long, value_name = "VERDICT")]
    pub verdict: Option<String>,
    /// All at this level: report, review or watch
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<String>,
    /// All in these states; with another filter alone: open and acknowledged
    #[arg(long, value_name = "STATE[,STATE]", value_delimiter = ',')]
    pub state: Vec<String>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Who, for the log [default: the user]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Say what would be done, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `cases dismiss`.
#[derive(Debug, Args)]
pub struct CasesDismiss {
    /// content-network, migration, registrar-change, dynamic-dns, test, duplicate, insufficient-evidence,
    /// already-suspended, not-ours, or other (with a note)
    #[arg(long, value_name = "REASON")]
    pub reason: String,
    /// Which
    #[command(flatten)]
    pub step: CasesStep,
}

/// `cases close`.
#[derive(Debug, Args)]
pub struct CasesClose {
    /// Because somebody acted on the domain
    #[arg(long)]
    pub mitigated: bool,
    /// Which
    #[command(flatten)]
    pub step: CasesStep,
}

/// `cases assign`.
#[derive(Debug, Args)]
pub struct CasesAssign {
    /// To whom; left out: to nobody
    #[arg(long, value_name = "NAME")]
    pub to: Option<String>,
    /// Which
    #[command(flatten)]
    pub step: CasesStep,
}

/// `cases log`.
#[derive(Debug, Args)]
pub struct CasesLog {
    /// The case's number, its reference (FW-000012), or its domain [default: all cases, outbox and zones]
    pub case: Option<String>,
    /// Only lines since then: a time, or a span back from now (7d)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `exempt`; alone it lists.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ExemptCommand {
    /// What to do [default: list]
    #[command(subcommand)]
    pub action: Option<ExemptAction>,
    /// How to list
    #[command(flatten)]
    pub list: ExemptList,
}

/// What `exempt` does.
#[derive(Debug, Subcommand)]
pub enum ExemptAction {
    /// List exemptions
    List(ExemptList),
    /// Add one, and show the open cases that it touches
    Add(ExemptAdd),
    /// End one
    Remove(ExemptRemove),
}

/// `exempt list`.
#[derive(Debug, Args)]
pub struct ExemptList {
    /// Ended ones too
    #[arg(long)]
    pub all: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `exempt add`.
#[derive(Debug, Args)]
pub struct ExemptAdd {
    /// domain, subtree, nameserver, operator, address or account
    pub kind: String,
    /// The name, address or prefix, or account. Name servers, operators and addresses exempt a domain only
    /// if all that rotates is theirs
    pub value: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Until when, a time, or a span from now such as 90d [default: until it is removed]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Who, for the record [default: the user]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Only show the open cases that it would touch
    #[arg(long)]
    pub dry_run: bool,
}

/// `exempt remove`.
#[derive(Debug, Args)]
pub struct ExemptRemove {
    /// Its number
    pub id: i64,
    /// Who, for the record [default: the user]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `users`.
#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// Add a user; the password is read from standard input
    Add(UsersAdd),
    /// Set a user's password anew and end his sessions; the password is read from standard input
    Passwd(UsersNamed),
    /// List users
    List(UsersList),
    /// Take a user out and end his sessions
    Remove(UsersNamed),
}

/// `users add`.
#[derive(Debug, Args)]
pub struct UsersAdd {
    /// The name, as the log keeps it
    pub name: String,
    /// What he may do: a viewer reads, a reviewer decides on cases, an approver sends mail too
    #[arg(long, value_enum)]
    pub role: RoleWord,
    /// Where he gets test mails
    #[arg(long, value_name = "ADDRESS")]
    pub mail: Option<String>,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleWord {
    /// Read every page
    Viewer,
    /// Take steps with cases, edit and reject drafts
    Reviewer,
    /// Approve drafts, send, exempt, decide on the outbox and on held zones
    Approver,
}

/// `users passwd`, `users remove`.
#[derive(Debug, Args)]
pub struct UsersNamed {
    /// The name
    pub name: String,
}

/// `users list`.
#[derive(Debug, Args)]
pub struct UsersList {
    /// How to print it
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `tokens`.
#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// Make a token and print it once
    Add(TokensAdd),
    /// List tokens
    List(TokensList),
    /// Take a token back
    Remove(TokensRemove),
}

/// `tokens add`.
#[derive(Debug, Args)]
pub struct TokensAdd {
    /// The machine's name, as the log keeps it
    pub name: String,
    /// What it may do
    #[arg(long, value_enum)]
    pub role: RoleWord,
    /// Until when, a time, or a span from now such as 365d [default: until it is removed]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Who, for the record [default: the user]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `tokens list`.
#[derive(Debug, Args)]
pub struct TokensList {
    /// Ended ones too
    #[arg(long)]
    pub all: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `tokens remove`.
#[derive(Debug, Args)]
pub struct TokensRemove {
    /// Its number, or its name where one alone has it
    pub token: String,
    /// Who, for the record [default: the user]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `stats`.
#[derive(Debug, Args)]
pub struct StatsCommand {
    /// The month, such as 2026-11 (UTC) [default: this month]
    #[arg(long, value_name = "YYYY-MM")]
    pub month: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = MonthFormat::Table)]
    pub format: MonthFormat,
}

/// How the numbers of a month are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MonthFormat {
    /// For people
    Table,
    /// One JSON object
    Json,
    /// RFC 4180 with a heading
    Csv,
}

/// `privacy`.
#[derive(Debug, Subcommand)]
pub enum PrivacyCommand {
    /// Take away cases that are over and untouched since, with their logs and mails; history stays
    Purge(PrivacyBefore),
    /// Take the persons, notes and mails out of them; the cases stay
    Anonymise(PrivacyBefore),
}

/// Which cases.
#[derive(Debug, Args)]
pub struct PrivacyBefore {
    /// Untouched since this time, such as 730d or 2024-11-01
    #[arg(long, value_name = "TIME")]
    pub before: String,
    /// Also cases that were touched in the last 30 days
    #[arg(long)]
    pub recent: bool,
    /// Count, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `cases list`.
#[derive(Debug, Args)]
pub struct CasesList {
    /// In these states: open, acknowledged, dismissed, mitigated, closed, or all
    #[arg(
        long,
        value_name = "STATE[,STATE]",
        value_delimiter = ',',
        default_value = "open,acknowledged"
    )]
    pub state: Vec<String>,
    /// Of this campaign (FC-3)
    #[arg(long, value_name = "CAMPAIGN")]
    pub campaign: Option<String>,
    /// At or below this zone
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// With this verdict: double-flux, ns-flux or single-flux
    #[arg(long, value_name = "VERDICT")]
    pub verdict: Option<String>,
    /// At this level: report, review or watch
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
    /// Only of this assignee; - for nobody's
    #[arg(long, value_name = "NAME")]
    pub assignee: Option<String>,
    /// Only those assigned to the user
    #[arg(long, conflicts_with = "assignee")]
    pub mine: bool,
    /// Only those first detected so long ago or longer, such as 7d, or by a time
    #[arg(long, value_name = "TIME")]
    pub older: Option<String>,
    /// Only those with this text in the domain
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
}

/// `cases show`.
#[derive(Debug, Args)]
pub struct CasesShow {
    /// The case's number, its reference (FW-000012), or its domain
    pub case: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t = StatsFormat::Table)]
    pub format: StatsFormat,
}

/// `report`.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// List notices that wait for approval, by recipient
    List(ReportList),
    /// What was queued last, or would be
    Preview(ReportPreview),
    /// Tell the desk of a case once more
    Send(ReportSend),
    /// Approve the notice of a case to a recipient, as it was drafted
    Approve(ReportDecide),
    /// Reject the notice of a case to a recipient
    Reject(ReportDecide),
}

/// `report list`.
#[derive(Debug, Args)]
pub struct ReportList {
    /// How to print it
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `report preview`.
#[derive(Debug, Args)]
pub struct ReportPreview {
    /// The case's number, its reference (FW-000012), or its domain
    pub case: String,
    /// As it would be built for this profile, now [default: the mail that was queued last, if there is one]
    #[arg(long, value_enum)]
    pub profile: Option<PreviewProfile>,
    /// The notice to this recipient, whole, as it was drafted
    #[arg(long, value_name = "ADDRESS", conflicts_with = "profile")]
    pub to: Option<String>,
    /// Which part
    #[arg(long, value_enum, default_value_t = PreviewFormat::Eml)]
    pub format: PreviewFormat,
}

/// How a mail is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PreviewProfile {
    /// Text and HTML, with xarf.json and evidence.csv
    Desk,
    /// multipart/report with xarf.json
    Xarf,
}

/// Which part of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PreviewFormat {
    /// The whole mail
    Eml,
    /// The text
    Text,
    /// details.txt: what the text leaves out
    Details,
    /// The HTML
    Html,
    /// xarf.json
    Xarf,
    /// evidence.csv
    Csv,
}

/// `report send`.
#[derive(Debug, Args)]
pub struct ReportSend {
    /// The case's number, its reference (FW-000012), or its domain
    pub case: String,
    /// Who, for the log [default: the user]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Say who would be told, send nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `report approve`, `report reject`.
#[derive(Debug, Args)]
pub struct ReportDecide {
    /// The case's number, its reference (FW-000012), or its domain
    pub case: String,
    /// The recipient's address
    #[arg(long, value_name = "ADDRESS")]
    pub to: String,
    /// Who, for the log [default: the user]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `outbox`; alone it lists.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct OutboxCommand {
    /// What to do [default: list]
    #[command(subcommand)]
    pub action: Option<OutboxAction>,
    /// How to list
    #[command(flatten)]
    pub list: OutboxList,
}

/// What `outbox` does.
#[derive(Debug, Subcommand)]
pub enum OutboxAction {
    /// List messages that are not sent yet, or came back
    List(OutboxList),
    /// Try messages again now, dead ones too
    Retry(OutboxRetry),
    /// Take a message out: it is kept, and never sent
    Drop(OutboxDrop),
}

/// `outbox drop`.
#[derive(Debug, Args)]
pub struct OutboxDrop {
    /// The messages' numbers
    #[arg(required = true)]
    pub messages: Vec<i64>,
    /// Who, for the record [default: the user]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Say what would be taken out, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `outbox list`.
#[derive(Debug, Args)]
pub struct OutboxList {
    /// Sent ones too
    #[arg(long)]
    pub all: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `outbox retry`.
#[derive(Debug, Args)]
pub struct OutboxRetry {
    /// The message's number, also of one that came back [default: all that are not sent]
    pub message: Option<i64>,
    /// Who, for the record [default: the user]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Say what would be tried, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `status`.
#[derive(Debug, Args)]
pub struct StatusCommand {
    /// Only these zones [default: all]
    pub zones: Vec<String>,
    /// Only zones whose last attempt failed and zones that are held; exit status 1 if there are any, or if the
    /// service is held up
    #[arg(long)]
    pub failed: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and everything it names
    Check(ConfigCheck),
    /// Print it as it was understood, without secrets
    Show,
    /// Print a documented template with every key
    Template,
    /// Print the JSON Schema of the configuration, for editors
    Schema,
}

/// `config check`.
#[derive(Debug, Args)]
pub struct ConfigCheck {
    /// How to print it
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    pub format: CheckFormat,
}

/// How a check is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// Sentences for people
    Text,
    /// One JSON object
    Json,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// Columns for people
    Table,
    /// One JSON array
    Json,
    /// One JSON object a line
    Ndjson,
    /// RFC 4180 with a heading
    Csv,
}

/// How a history is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HistoryFormat {
    /// Columns for people, newest change first
    Table,
    /// One JSON object
    Json,
    /// One JSON object a record, then one a change
    Ndjson,
    /// dnsdbq's columns
    Csv,
    /// Passive DNS common output format, one object a line
    Cof,
    /// dnsdbq's text
    Text,
}

/// How an explanation is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// Words
    Text,
    /// One JSON object
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_is_described_without_contradiction() {
        Arguments::command().debug_assert();
    }
}
