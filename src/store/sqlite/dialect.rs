//! What the shared statements say in words that only SQLite has, each with what another engine would say.
//!
//! These words were measured to pay, or have no common form. `postgres/dialect.rs` finds them in a statement and says
//! the other engine's instead.
//!
//! A number that is compared with the data of records has `/* as data */` behind it, for an engine whose columns have
//! types: `h.id /* as data */ = r.rdata`. Data that is compared as the number of a name server has [`AS_HOST`] behind it.
//!
//! What the wings still say beyond common SQL, "Another engine" in docs/developers/architecture.md lists.

use crate::store::sqlite::db::Db;
use crate::store::value::Fault;

/// Joins two tables in the order in which they stand. SQLite's planner keeps the order of a cross join; elsewhere it
/// is `join`, so that a condition follows: `on true` where there is none.
pub(in crate::store) const IN_ORDER: &str = "cross join";

/// Says of an insert of several rows that it is not taken back alone, since a fault takes back its transaction: SQLite
/// then copies no page before it changes it. Elsewhere it is empty.
pub(in crate::store) const OR_FAIL: &str = "or fail";

/// Follows the data of a name server's record where its index is to be used: elsewhere that is of the number.
pub(in crate::store) const AS_HOST: &str = " /* as host */";

/// Draws 16 hexadecimal digits.
pub(in crate::store) const RANDOM_DIGITS: &str = "lower(hex(randomblob(8)))";

/// Draws 24 hexadecimal digits.
pub(in crate::store) const RANDOM_TOKEN: &str = "lower(hex(randomblob(12)))";

/// Draws what a new database has: 16 octets that tell it from others, and 32 that are its secret.
pub(in crate::store) const DRAW_SECRETS: &str =
    "select randomblob(16) as id, randomblob(32) as key";

/// Has the table before it read by an index that the planner would pass over; elsewhere it is empty.
pub(in crate::store) fn by_index(name: &str) -> String {
    format!("indexed by {name}")
}

/// Returns the rows of a parameter that is a list of numbers, each in the column `value`; elsewhere it is
/// a function.
pub(in crate::store) fn rows_of(parameter: &str) -> String {
    format!("rarray({parameter})")
}

/// Returns the rows of a parameter that is a list of texts, each in the column `value`. The mark tells another engine
/// what they are.
pub(in crate::store) fn texts_of(parameter: &str) -> String {
    format!("rarray({parameter}) /* of texts */")
}

/// Returns a number that another connection's commit changes.
pub(in crate::store) fn data_version(db: &Db) -> Result<Option<i64>, Fault> {
    db.value("pragma data_version")
}

/// Returns which schema the database has.
pub(in crate::store) fn schema_number(db: &Db) -> Result<i32, Fault> {
    db.value("pragma user_version")
}
