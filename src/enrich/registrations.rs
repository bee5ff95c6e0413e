//! The registrar's own records of its domains: when they were registered, by whom, for which account.

use std::fs;
use std::path::Path;

use crate::dns::Name;
use crate::enrich::ListError;
use crate::time::Timestamp;

/// The most octets of a file.
const OCTETS_MAX: u64 = 4 << 30;

/// Registrations from CSV: `domain,created[,registrar[,account]]`.
///
/// The file is kept as it is, with one number of 8 octets a row, sorted by domain: a lookup is one binary
/// search over the text.
#[derive(Debug, Default)]
pub struct Registrations {
    text: String,
    /// Where each row begins, in the order of the rows' domains.
    rows: Vec<u64>,
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
    /// Reads a file. A first row whose second field is no time is its heading. Fields hold no commas and
    /// no quotes; a domain that comes twice counts by its last row.
    ///
    /// # Errors
    ///
    /// [`ListError`].
    pub fn load(path: &Path) -> Result<Self, ListError> {
        let unreadable = |fault: String| ListError::Unreadable {
            path: path.to_owned(),
            fault,
        };
        let size = fs::metadata(path)
            .map_err(|fault| unreadable(fault.to_string()))?
            .len();
        if size > OCTETS_MAX {
            return Err(unreadable(format!("more than {OCTETS_MAX} octets")));
        }
        let text = fs::read_to_string(path).map_err(|fault| unreadable(fault.to_string()))?;
        let mut keyed: Vec<(Name, u64)> = Vec::new();
        let mut at = 0;
        for (i, line) in text.split_inclusive('\n').enumerate() {
            let begins = at as u64;
            at += line.len();
            let row = line.trim();
            if row.is_empty() || row.starts_with('#') {
                continue;
            }
            match parse(row) {
                Ok((domain, _)) => keyed.push((domain, begins)),
                Err(_) if i == 0 => {}
                Err(what) => {
                    return Err(ListError::Line {
                        path: path.to_owned(),
                        line: i + 1,
                        what,
                    });
                }
            }
        }
        keyed.sort_by(|left, right| left.0.cmp(&right.0).then(right.1.cmp(&left.1)));
        keyed.dedup_by(|later, first| later.0 == first.0);
        Ok(Self {
            rows: keyed.into_iter().map(|(_, begins)| begins).collect(),
            text,
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

    /// Returns the registration of a domain.
    pub fn find(&self, domain: &Name) -> Option<Registration> {
        let row = |at: &u64| {
            let rest = self.text.get(*at as usize..).unwrap_or_default();
            parse(rest.lines().next().unwrap_or_default().trim()).ok()
        };
        let order = |at: &u64| row(at).map(|(name, _)| name.cmp(domain));
        let found = self
            .rows
            .binary_search_by(|at| order(at).unwrap_or(std::cmp::Ordering::Less));
        let (_, registration) = row(self.rows.get(found.ok()?)?)?;
        Some(registration)
    }
}

/// Reads a row.
fn parse(row: &str) -> Result<(Name, Registration), String> {
    let mut fields = row.split(',').map(|field| field.trim().trim_matches('"'));
    let domain = fields.next().unwrap_or_default();
    let domain = Name::parse(domain).map_err(|fault| format!("domain {domain:?}: {fault}"))?;
    let created = fields.next().ok_or("the field created is missing")?;
    // Relative times would mean another day each time the file is read.
    let created_at = Timestamp::parse_absolute(created)
        .map_err(|fault| format!("created {created:?}: {fault}"))?;
    let mut word = || fields.next().filter(|it| !it.is_empty()).map(str::to_owned);
    let registration = Registration {
        created_at,
        registrar: word(),
        account: word(),
    };
    Ok((domain, registration))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn domains_are_found_whatever_the_order_of_rows() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        let rows = "domain,created,registrar,account\nzeta.example,2026-01-02T03:04:05Z,R1,A7\nAlpha.example.,2026-05-01,R2\nzeta.example,2026-02-01,R1,A8\n";
        file.write_all(rows.as_bytes()).expect("written");
        let list = Registrations::load(file.path()).expect("sound");
        assert_eq!(list.len(), 2);
        let find = |text: &str| list.find(&Name::parse(text).expect("a name"));
        let zeta = find("zeta.example").expect("there");
        assert_eq!(zeta.account.as_deref(), Some("A8"), "the last row counts");
        assert_eq!(zeta.created_at.to_date(), "2026-02-01");
        let alpha = find("alpha.example").expect("there");
        assert_eq!(
            (alpha.registrar.as_deref(), alpha.account),
            (Some("R2"), None)
        );
        assert_eq!(find("beta.example"), None);
    }

    #[test]
    fn rows_that_cannot_be_read_name_their_line() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(b"a.example,2026-01-01\nb.example,soon\n")
            .expect("written");
        let fault = Registrations::load(file.path())
            .expect_err("no time")
            .to_string();
        assert!(fault.contains("line 2"), "{fault}");
    }
}
