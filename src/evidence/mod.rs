//! What makes an edit of history visible: a hash over each version, chained to the one before. Pure.
//!
//! - [`leaf`] hashes what a version did to one owner, [`Merkle`] all owners of a version into its root
//!   (RFC 9162 §2.1.1), [`chain_hash`] the root and the version's time and serial to the hash before it.
//! - A bundle about one domain needs only that domain's changes: an audit path (RFC 9162 §2.1.3) leads
//!   from its leaf to the root. [`Bundle::verify`] checks one without a database.
//!
//! docs/reference/evidence.md says what this proves and what it does not.

mod bundle;
mod merkle;

pub use bundle::{
    Bundle, BundleChain, BundleChange, BundleFault, BundleLeaf, BundleLink, BundleReport, Verified,
};
pub use merkle::{
    ChainHead, Entry, Hash, Merkle, Op, audit_path, chain_hash, hash_octets, leaf, leaf_of_there,
    root_of_path,
};
