//! The words of the DNS (RFC 9499), without I/O: names, serials, records.
//!
//! Every value here is canonical by construction: names are absolute and lower case with A-labels,
//! addresses are binary, RDATA is decompressed. Two values are equal exactly if the DNS treats them
//! as equal, whatever text they were written in.

mod name;
mod pasted;
mod record;
mod serial;
mod suffix;
mod unicode;

pub use name::{LABEL_OCTETS_MAX, NAME_OCTETS_MAX, Name, NameError};
pub(crate) use name::{label_text, push_relative_key, wire_is_at_or_below};
pub use pasted::refang;
pub use record::{Rdata, RdataError, Record, RecordType};
pub use serial::Serial;
pub use suffix::{
    SUFFIX_LIST, case_domain, is_under_private_suffix, operator_domain, shared_service,
};
pub use unicode::{UnicodeForm, unicode_form};
