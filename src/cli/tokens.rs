//! `fluxwatch tokens`: what machines enter the API with.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::arguments::{TokensAdd, TokensCommand, TokensList, TokensRemove};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{Row, print_list, stdout};
use crate::cli::session::{actor, load_config, open_store, open_to_look};
use crate::cli::users::role_of;
use crate::people::{Role, check_name};
use crate::store::TokenRow;
use crate::time::{Clock, Span, Timestamp, WallClock};
use crate::web::{draw_token, token_hash};

/// A token, as scripts read it.
#[derive(Serialize)]
struct TokenJson {
    id: i64,
    name: String,
    role: Role,
    created_at: Timestamp,
    created_by: String,
    ends_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    used_at: Option<Timestamp>,
    in_force: bool,
}

impl TokenJson {
    /// Returns a token as it stands at a time.
    fn new(row: TokenRow, now: Timestamp) -> Self {
        Self {
            in_force: row.is_in_force(now),
            id: row.id,
            name: row.name,
            role: row.role,
            created_at: row.created_at,
            created_by: row.created_by,
            ends_at: row.ends_at,
            revoked_at: row.revoked.map(|it| it.0),
            used_at: row.used_at,
        }
    }
}

impl Row for TokenJson {
    const HEADINGS: &'static [&'static str] = &[
        "id",
        "name",
        "role",
        "created at",
        "created by",
        "ends at",
        "revoked at",
        "used at",
        "in force",
    ];
    const TABLE_HEADINGS: &'static [&'static str] =
        &["id", "name", "role", "ends (utc)", "last used (utc)"];

    fn cells(&self) -> Vec<String> {
        let time = |at: Option<Timestamp>| at.map_or_else(String::new, |at| at.to_string());
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.role.word().to_owned(),
            self.created_at.to_string(),
            self.created_by.clone(),
            time(self.ends_at),
            time(self.revoked_at),
            time(self.used_at),
            self.in_force.to_string(),
        ]
    }

    fn table_cells(&self) -> Vec<String> {
        let end = match (self.revoked_at, self.ends_at) {
            (Some(at), _) => format!("revoked {}", at.to_minute()),
            (None, Some(at)) => at.to_minute(),
            (None, None) => "never".to_owned(),
        };
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.role.word().to_owned(),
            end,
            self.used_at
                .map_or_else(|| "never".to_owned(), Timestamp::to_minute),
        ]
    }
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &TokensCommand) -> Result<Done, Failure> {
    match command {
        TokensCommand::Add(add) => run_add(config, add),
        TokensCommand::List(list) => run_list(config, list),
        TokensCommand::Remove(remove) => run_remove(config, remove),
    }
}

/// Makes a token and prints it: nobody can read it again.
fn run_add(config: Option<&Path>, add: &TokensAdd) -> Result<Done, Failure> {
    if let Some(what) = check_name(&add.name) {
        return Err(Failure::usage(format!("the name {:?} {what}", add.name)));
    }
    let now = WallClock.now();
    let ends_at = match &add.until {
        None => None,
        Some(text) => Some(read_end(text, now)?),
    };
    let config = load_config(config)?;
    let who = actor(add.by.as_deref(), &config)?;
    let store = open_store(&config)?;
    let token = draw_token().map_err(|error| Failure::local(error.to_string()))?;
    let row = TokenRow {
        id: 0,
        name: add.name.clone(),
        role: role_of(add.role),
        created_at: now,
        created_by: who,
        ends_at,
        revoked: None,
        used_at: None,
    };
    store.desk().add_token(&token_hash(&token), &row)?;
    let mut out = stdout();
    writeln!(out, "{token}")?;
    out.flush()?;
    writeln!(
        std::io::stderr(),
        "keep it in a file: it is not shown again. Sent as: Authorization: Bearer TOKEN"
    )?;
    Ok(Done::Well)
}

/// Reads when a token ends: a time to come, or a span from now.
fn read_end(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let end = match Span::parse(text) {
        Ok(span) => now + span,
        Err(_) => Timestamp::parse_absolute(text)
            .map_err(|fault| Failure::usage(format!("--until: {fault}")))?,
    };
    match end > now {
        true => Ok(end),
        false => Err(Failure::usage(format!("--until: {end} is over"))),
    }
}

/// Lists tokens.
fn run_list(config: Option<&Path>, list: &TokensList) -> Result<Done, Failure> {
    let store = open_to_look(&load_config(config)?)?;
    let now = WallClock.now();
    let rows = store.desk().tokens()?.into_iter();
    let rows = rows.map(|row| TokenJson::new(row, now));
    let rows: Vec<TokenJson> = rows.filter(|row| list.all || row.in_force).collect();
    print_list(
        &rows,
        list.format,
        "there is no token; `fluxwatch tokens add NAME` makes one",
    )?;
    Ok(Done::Well)
}

/// Takes a token back.
fn run_remove(config: Option<&Path>, remove: &TokensRemove) -> Result<Done, Failure> {
    let config = load_config(config)?;
    let who = actor(remove.by.as_deref(), &config)?;
    let store = open_store(&config)?;
    let now = WallClock.now();
    let id = id_of(&store.desk().tokens()?, &remove.token, now)?;
    if !store.desk().revoke_token(id, &who, now)? {
        return Err(not_in_force(&remove.token));
    }
    writeln!(std::io::stderr(), "token {id} lets nobody in any more")?;
    Ok(Done::Well)
}

/// Returns the number of the token that is meant: by its number, or by a name that one alone has.
fn id_of(tokens: &[TokenRow], text: &str, now: Timestamp) -> Result<i64, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let of_name = tokens
        .iter()
        .filter(|row| row.name == text && row.is_in_force(now));
    let ids: Vec<i64> = of_name.map(|row| row.id).collect();
    match ids[..] {
        [] => Err(not_in_force(text)),
        [id] => Ok(id),
        _ => {
            let numbers: Vec<String> = ids.iter().map(i64::to_string).collect();
            let what = format!("{} tokens are called {text:?}", ids.len());
            Err(Failure::usage(what)
                .hint(format!("name one by its number: {}", numbers.join(", "))))
        }
    }
}

/// Returns the error for a token that is not there, or lets nobody in.
fn not_in_force(text: &str) -> Failure {
    Failure::failed(format!("no token {text} is in force"))
        .hint("`fluxwatch tokens list` lists them")
}
