//! Interprets zone transfers, message by message: AXFR (RFC 5936) and IXFR (RFC 1995). No I/O.
//!
//! A reader is given whole messages whose header and signature have been checked, and gives the records on to a
//! sink. What was asked for decides which reader it is: a whole zone ([`whole`]) or the steps since a serial
//! ([`steps`]). `frame` holds what is checked in both.

pub(in crate::source) mod frame;
pub(in crate::source) mod steps;
pub(in crate::source) mod whole;

#[cfg(test)]
mod tests;
