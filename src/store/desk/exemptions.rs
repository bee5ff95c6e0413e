//! Rows of exemptions.

use std::net::IpAddr;

use crate::case::{Exempt, Exemption};
use crate::store::desk::Desk;
use crate::store::door::{Fault, Row, params};
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// An exemption with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExemptionRow {
    /// The exemption.
    pub exemption: Exemption,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was removed, and by whom.
    pub removed: Option<(Timestamp, String)>,
}

impl ExemptionRow {
    /// Returns whether it holds at a time.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.removed.is_none() && self.exemption.until.is_none_or(|until| now < until)
    }

    /// Returns the word of its kind.
    pub fn kind(&self) -> &'static str {
        words(&self.exemption.covers).0
    }

    /// Returns what it covers, in words.
    pub fn value(&self) -> String {
        match &self.exemption.covers {
            Exempt::Addresses(first, last) => prefix_of(*first, *last),
            covers => words(covers).1,
        }
    }
}

/// Returns a range as an address, a prefix, or its two ends.
fn prefix_of(first: IpAddr, last: IpAddr) -> String {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    let width = if first.is_ipv4() { 32 } else { 128 };
    let differ = bits(first) ^ bits(last);
    let host = 128 - differ.leading_zeros();
    let is_prefix = bits(first) & differ == 0 && differ.count_ones() == host;
    match (host, is_prefix) {
        (0, _) => first.to_string(),
        (host, true) => format!("{first}/{}", width - host),
        _ => format!("{first}-{last}"),
    }
}

/// Returns the kind and value of a row.
fn words(covers: &Exempt) -> (&'static str, String) {
    match covers {
        Exempt::Domain(name) => ("domain", name.to_string()),
        Exempt::Subtree(name) => ("subtree", name.to_string()),
        Exempt::Nameserver(name) => ("nameserver", name.to_string()),
        Exempt::Operator(name) => ("operator", name.to_string()),
        Exempt::Addresses(first, last) => ("address", format!("{first}-{last}")),
        Exempt::Account(name) => ("account", name.clone()),
    }
}

/// The columns of an exemption, in the order that [`read`] expects.
const COLUMNS: &str =
    "id, kind, value, reason, author, created_at, until_at, removed_at, removed_by";

impl Desk<'_> {
    /// Adds an exemption; its number is given by the store. Returns it.
    pub fn add_exemption(&self, exemption: &Exemption, now: Timestamp) -> Result<i64, StoreError> {
        let (kind, value) = words(&exemption.covers);
        self.store.run(|db| {
            let sql = "insert into exemption (kind, value, reason, author, created_at, until_at)
                       values (?, ?, ?, ?, ?, ?)
                       returning id";
            let bound = params![
                kind,
                value,
                exemption.reason,
                exemption.author,
                now,
                exemption.until
            ];
            db.write_returning_one(sql, bound, |row| row.get("id"))
        })
    }

    /// Ends an exemption. Returns whether there was one with that number in force.
    pub fn remove_exemption(&self, id: i64, by: &str, now: Timestamp) -> Result<bool, StoreError> {
        self.store.run(|db| {
            let sql = "update exemption
                          set removed_at = ?2, removed_by = ?3
                        where id = ?1 and removed_at is null and (until_at is null or until_at > ?2)";
            db.execute(sql, params![id, now, by])
        })
        .map(|count| count > 0)
    }

    /// Returns all exemptions, ended ones too, in the order of their numbers.
    pub fn exemptions(&self) -> Result<Vec<ExemptionRow>, StoreError> {
        let sql = format!("select {COLUMNS} from exemption order by id");
        let rows = self.store.run(|db| db.query(&sql, (), read))?;
        rows.into_iter().map(|row| self.finish(row)).collect()
    }

    /// Returns the exemption with a number.
    pub fn exemption(&self, id: i64) -> Result<Option<ExemptionRow>, StoreError> {
        let sql = format!("select {COLUMNS} from exemption where id = ?");
        let row = self.store.run(|db| db.query_first(&sql, [id], read))?;
        row.map(|row| self.finish(row)).transpose()
    }

    /// Returns the exemptions in force at a time, in the order of their numbers.
    pub fn exemptions_in_force(&self, now: Timestamp) -> Result<Vec<Exemption>, StoreError> {
        // Ended ones stay for good, so that reading all of them would take longer every year.
        let sql = format!(
            "select {COLUMNS}
               from exemption
              where removed_at is null and (until_at is null or until_at > ?)
              order by id"
        );
        let rows = self.store.run(|db| db.query(&sql, [now.unix()], read))?;
        let rows = rows.into_iter().map(|row| self.finish(row));
        rows.map(|row| row.map(|it| it.exemption)).collect()
    }

    /// Turns the words of a row into values.
    fn finish(&self, raw: RawExemption) -> Result<ExemptionRow, StoreError> {
        let range = |text: &str| {
            let (first, last) = text.split_once('-')?;
            Some((first.parse::<IpAddr>().ok()?, last.parse::<IpAddr>().ok()?))
        };
        let covers = Exempt::parse(&raw.kind, &raw.value, range)
            .map_err(|fault| self.store.damaged(format!("exemption {}: {fault}", raw.id)))?;
        Ok(ExemptionRow {
            exemption: Exemption {
                id: raw.id,
                covers,
                reason: raw.reason,
                author: raw.author,
                until: raw.until_at.map(Timestamp::from_unix),
            },
            created_at: Timestamp::from_unix(raw.created_at),
            removed: raw
                .removed_at
                .map(|at| (Timestamp::from_unix(at), raw.removed_by.unwrap_or_default())),
        })
    }
}

/// An exemption as it stands in a row.
struct RawExemption {
    id: i64,
    kind: String,
    value: String,
    reason: String,
    author: String,
    created_at: i64,
    until_at: Option<i64>,
    removed_at: Option<i64>,
    removed_by: Option<String>,
}

/// Reads the columns of [`COLUMNS`].
fn read(row: &Row<'_>) -> Result<RawExemption, Fault> {
    Ok(RawExemption {
        id: row.get("id")?,
        kind: row.get("kind")?,
        value: row.get("value")?,
        reason: row.get("reason")?,
        author: row.get("author")?,
        created_at: row.get("created_at")?,
        until_at: row.get("until_at")?,
        removed_at: row.get("removed_at")?,
        removed_by: row.get("removed_by")?,
    })
}
