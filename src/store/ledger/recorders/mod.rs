//! The recorders of a version: each keeps what it needs of the edits and writes its own tables.
//!
//! | recorder | from an edit | when the version ends |
//! |---|---|---|
//! | [`intervals`] | closes, opens and retimes records | |
//! | [`changes`] | counts what changed, and who moved alike | `change`, `shared_change`, `bulk_move` |
//! | [`leaves`] | hashes what happened to the owner | the tree's root, for the chain |
//! | [`users`] | counts the name servers' users | `popularity` |
//! | [`registrations`] | | `registration`, as the feed tells |
//! | [`way`] | | how the zone came to its state |

pub(in crate::store) mod changes;
pub(in crate::store) mod intervals;
pub(in crate::store) mod leaves;
pub(in crate::store) mod registrations;
pub(in crate::store) mod users;
pub(in crate::store) mod way;
