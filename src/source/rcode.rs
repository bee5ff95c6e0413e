//! Response codes by name.

/// Returns the mnemonic of an rcode.
pub(super) fn rcode_name(code: u8) -> String {
    domain::base::iana::Rcode::checked_from_int(code)
        .map_or_else(|| code.to_string(), |rcode| rcode.to_string())
}

/// Returns the rcode of the header.
pub(super) fn rcode_of(message: &[u8]) -> u8 {
    message[3] & 0x0f
}
