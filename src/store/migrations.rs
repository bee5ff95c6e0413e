//! The migrations that both engines take, as SQLite says them.
//!
//! PostgreSQL gets each through `postgres/dialect`, which names its types. What SQL alone does not do, an engine does
//! itself, after the text.

/// The number of the migration before the first of [`SHARED`]: each engine has that schema by texts of its own.
pub(in crate::store) const BEFORE: i32 = 13;

/// The migrations, in order. A merged one is never edited.
pub(in crate::store) const SHARED: [&str; 6] = [
    include_str!("migrations/0014_due.sql"),
    include_str!("migrations/0015_written.sql"),
    include_str!("migrations/0016_shared.sql"),
    include_str!("migrations/0017_ended.sql"),
    include_str!("migrations/0018_left.sql"),
    include_str!("migrations/0019_sights.sql"),
];

/// The migration after which rows of `old_shared_change` are packed.
pub(in crate::store) const PACKS_SHARED: i32 = 16;

/// The schema that this program knows.
pub(in crate::store) const SCHEMA: i32 = BEFORE + SHARED.len() as i32;
