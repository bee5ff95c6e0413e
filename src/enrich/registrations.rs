//! The registrar's own records of its domains: when they were registered, by whom, for which account.

use std::path::Path;

use crate::dns::Name;
use crate::enrich::table::{
    Column, ColumnNumbers, Layout, TableError, TableSummary, each_row, field, read_text, reader,
    unreadable, written_at,
};
use crate::time::Timestamp;

/// The rows of the file.
const ROWS: [Layout; 1] = [Layout {
    columns: &[
        Column(&["domain", "domain_name", "name", "fqdn"]),
        Column(&[
            "created",
            "created_at",
            "creation_date",
            "crdate",
            "registered",
            "registered_at",
        ]),
        Column(&[
            "registrar",
            "registrar_id",
            "registrar_name",
            "sponsor",
            "clid",
        ]),
        Column(&["account", "account_id", "customer", "customer_id"]),
    ],
    needed: 2,
}];

/// Registrations from CSV: `domain,created[,registrar[,account]]`.
///
/// The file is kept as it is, with one number of 8 octets a row, sorted by domain: a lookup is one binary
/// search over the text.
#[derive(Debug, Default)]
pub struct Registrations {
    text: String,
    /// Where the columns are.
    places: ColumnNumbers,
    /// Where each row begins, in the order of the rows' domains.
    rows: Vec<u64>,
    /// Where the rows with an account begin, in the order of their accounts.
    by_account: Vec<u64>,
    summary: TableSummary,
}

/// A registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// When the domain was registered.
    pub created_at: Timestamp,
    /// The sponsoring registrar, if the file says.
    pub registrar: Option<String>,
    /// The registrant's account, if the file says. Never leaves the machine.
    pub account: Option<String>,
}

impl Registrations {
    /// Reads a file. A heading may name the columns in another order, and others beside them. A domain that
    /// comes twice counts by its last row.
    ///
    /// # Errors
    ///
    /// [`TableError`]; also for a file without rows.
    pub fn load(path: &Path) -> Result<Self, TableError> {
        let text = read_text(path)?;
        let mut keyed: Vec<(Name, u64)> = Vec::new();
        let mut accounts: Vec<(String, u64)> = Vec::new();
        let places = each_row(path, &text, &ROWS, |row, places, begins| {
            let (domain, registration) = parse(row, places)?;
            keyed.push((domain, begins));
            accounts.extend(registration.account.map(|account| (account, begins)));
            Ok(())
        })?;
        accounts.sort_unstable();
        let row_count = keyed.len();
        // Of equal domains the last row first: the first one is kept below.
        keyed.sort_by(|left, right| left.0.cmp(&right.0).then(right.1.cmp(&left.1)));
        keyed.dedup_by(|later, first| later.0 == first.0);
        if keyed.is_empty() {
            return Err(unreadable(path, "is empty: no registration would be known"));
        }
        let mut notes = Vec::new();
        if row_count > keyed.len() {
            let twice = row_count - keyed.len();
            notes.push(format!(
                "{twice} rows are of a domain that has a later one, which counts"
            ));
        }
        let summary = TableSummary {
            rows: keyed.len(),
            unit: "domains",
            made_at: written_at(path),
            notes,
        };
        Ok(Self {
            rows: keyed.into_iter().map(|(_, begins)| begins).collect(),
            by_account: accounts.into_iter().map(|(_, begins)| begins).collect(),
            places,
            text,
            summary,
        })
    }

    /// Returns how many domains there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns what the file holds.
    pub fn summary(&self) -> &TableSummary {
        &self.summary
    }

    /// Returns the registration of a domain.
    pub fn find(&self, domain: &Name) -> Option<Registration> {
        let (_, registration) = self.row(self.row_of(domain)?)?;
        Some(registration)
    }

    /// Returns domains of an account, in order; no more than so many.
    pub fn of_account(&self, account: &str, count: usize) -> Vec<Name> {
        let account_at = |at: &u64| self.row(*at).and_then(|(_, it)| it.account);
        let first = self
            .by_account
            .partition_point(|at| account_at(at).as_deref() < Some(account));
        let its = self.by_account.iter().skip(first);
        let its = its.map_while(|at| {
            let (domain, registration) = self.row(*at)?;
            (registration.account.as_deref() == Some(account)).then_some((*at, domain))
        });
        // Of a domain that comes twice the last row counts.
        let counts = |(at, domain): &(u64, Name)| self.row_of(domain) == Some(*at);
        let mut domains: Vec<Name> = its.filter(counts).map(|it| it.1).take(count).collect();
        domains.sort();
        domains
    }

    /// Returns where the row of a domain begins.
    fn row_of(&self, domain: &Name) -> Option<u64> {
        let order = |at: &u64| self.row(*at).map(|(name, _)| name.cmp(domain));
        let found = self
            .rows
            // Every row was read once at the start, so that none fails here.
            .binary_search_by(|at| order(at).unwrap_or(std::cmp::Ordering::Less));
        self.rows.get(found.ok()?).copied()
    }

    /// Returns the row that begins at a place of the text.
    fn row(&self, at: u64) -> Option<(Name, Registration)> {
        let mut row = csv::StringRecord::new();
        let rest = self.text.get(at as usize..).unwrap_or_default();
        reader(rest).read_record(&mut row).ok()?;
        parse(&row, &self.places).ok()
    }
}

/// Reads a row.
fn parse(row: &csv::StringRecord, places: &ColumnNumbers) -> Result<(Name, Registration), String> {
    let domain = field(row, places, 0).unwrap_or_default();
    let domain = Name::parse(domain).map_err(|fault| format!("domain {domain:?}: {fault}"))?;
    let created = field(row, places, 1).ok_or("the field created is missing")?;
    // Relative times would mean another day each time the file is read.
    let created_at = Timestamp::parse_absolute(created)
        .map_err(|fault| format!("created {created:?}: {fault}"))?;
    let word = |column| field(row, places, column).map(str::to_owned);
    let registration = Registration {
        created_at,
        registrar: word(2),
        account: word(3),
    };
    Ok((domain, registration))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(text: &str) -> Result<Registrations, TableError> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("written");
        Registrations::load(file.path())
    }

    fn find(list: &Registrations, text: &str) -> Option<Registration> {
        list.find(&Name::parse(text).expect("a name"))
    }

    #[test]
    fn domains_are_found_whatever_the_order_of_rows() {
        let rows = "domain,created,registrar,account\nzeta.example,2026-01-02T03:04:05Z,R1,A7\nAlpha.example.,2026-05-01,R2\nzeta.example,2026-02-01,R1,A8\n";
        let list = load(rows).expect("sound");
        assert_eq!(list.len(), 2);
        assert!(list.summary().notes[0].starts_with("1 rows"));
        let zeta = find(&list, "zeta.example").expect("there");
        assert_eq!(zeta.account.as_deref(), Some("A8"), "the last row counts");
        assert_eq!(zeta.created_at.to_date(), "2026-02-01");
        let alpha = find(&list, "alpha.example").expect("there");
        assert_eq!(
            (alpha.registrar.as_deref(), alpha.account),
            (Some("R2"), None)
        );
        assert_eq!(find(&list, "beta.example"), None);
    }

    #[test]
    fn quoted_commas_belong_to_their_field() {
        let rows = "iron-moss.example,2026-10-01,\"Example Registrar, Inc.\",acct-77\n# later\n\nslow-reed.example,2026-10-02,\"The \"\"Best\"\" Registrar\",\"a,b\"\n";
        let list = load(rows).expect("sound");
        let words = |name: &str| {
            let found = find(&list, name).expect("there");
            (
                found.registrar.unwrap_or_default(),
                found.account.unwrap_or_default(),
            )
        };
        let pair = |registrar: &str, account: &str| (registrar.to_owned(), account.to_owned());
        assert_eq!(
            words("iron-moss.example"),
            pair("Example Registrar, Inc.", "acct-77")
        );
        assert_eq!(
            words("slow-reed.example"),
            pair("The \"Best\" Registrar", "a,b")
        );
    }

    #[test]
    fn a_heading_names_its_columns_in_any_order() {
        let rows =
            "\u{feff}Registrar-ID,status,Domain Name,Created At\n1234,ok,a.example,2026-01-01\n";
        let found = find(&load(rows).expect("sound"), "a.example").expect("there");
        assert_eq!(found.registrar.as_deref(), Some("1234"));
    }

    #[test]
    fn rows_that_cannot_be_read_name_their_line() {
        for (rows, what) in [
            ("a.example,2026-01-01\nb.example,soon\n", "line 2: created"),
            (
                "a.example,soon\nb.example,2026-01-01\n",
                "line 1: created \"soon\"",
            ),
            (
                "a.example,soon\nb.example,2026-01-01\n",
                "nor is it a heading, which names domain, created",
            ),
            (
                "a.example,2026-01-01,Example Registrar, Inc.,a7\n",
                "line 1: 5 fields",
            ),
            ("a.example,2026-01-01, \"Example, Inc.\"\n", "line 1: "),
            (
                "a.example,2026-01-01,\"R1\nb.example,2026-01-01,R2\n",
                "quote not closed",
            ),
            ("a.example;2026-01-01\n", "line 1"),
            ("domain,created\n", "is empty"),
            ("", "is empty"),
        ] {
            let fault = load(rows).expect_err(rows).to_string();
            assert!(fault.contains(what), "{rows}{fault}");
        }
    }
}
