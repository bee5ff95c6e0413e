//! SOA serials and their arithmetic (RFC 1982).

use std::fmt;

use serde::{Deserialize, Serialize};

/// An SOA serial.
///
/// It has no order: of two serials one may be newer than the other, or neither (RFC 1982 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Serial(pub u32);

impl Serial {
    /// Returns whether `self` comes after `other` (RFC 1982 §3.2).
    ///
    /// False for equal serials and for two that are exactly 2^31 apart, which have no order.
    pub fn is_newer_than(self, other: Self) -> bool {
        let ahead = self.0.wrapping_sub(other.0);
        ahead != 0 && ahead < 1 << 31
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_wrap_and_opposites_have_no_order() {
        assert!(Serial(1).is_newer_than(Serial(u32::MAX)));
        assert!(!Serial(u32::MAX).is_newer_than(Serial(1)));
        assert!(!Serial(7).is_newer_than(Serial(7)));
        assert!(!Serial(1 << 31).is_newer_than(Serial(0)));
        assert!(!Serial(0).is_newer_than(Serial(1 << 31)));
    }
}
