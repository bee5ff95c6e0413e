//! Passwords: argon2id (RFC 9106), written in the PHC string format.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use subtle::ConstantTimeEq;

/// The least number of characters of a password.
pub const PASSWORD_LENGTH_MIN: usize = 12;
/// Memory of one hash. Unit: KiB. The first recommendation of the OWASP password storage cheat sheet, 2025.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over that memory, from the same.
const PASSES: u32 = 2;
/// Octets of a hash.
const HASH_OCTETS: usize = 32;
/// The most memory that a line may ask for. Unit: KiB. A line is written by this program; this bounds an edited one.
const MEMORY_KIB_MAX: u32 = 256 * 1024;

/// Returns the hash of a password under a salt that nobody else has: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
pub fn hash_password(password: &str, salt: [u8; 16]) -> String {
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(HASH_OCTETS));
    let params = params.expect("these costs are within RFC 9106");
    let hash = derive(password, &salt, params).expect("a salt of 16 bytes is long enough");
    let (salt, hash) = (
        BASE64_STANDARD_NO_PAD.encode(salt),
        BASE64_STANDARD_NO_PAD.encode(hash),
    );
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${salt}${hash}")
}

/// Returns whether a password has this hash. Takes as long for a wrong password as for the right one.
pub fn verify_password(password: &str, hash: &str) -> bool {
    let Some((params, salt, wanted)) = read_hash(hash) else {
        return false;
    };
    match derive(password, &salt, params) {
        Some(found) => found.ct_eq(&wanted).into(),
        None => false,
    }
}

/// Returns whether a text is a hash that [`verify_password`] can use.
pub(super) fn is_hash(text: &str) -> bool {
    read_hash(text).is_some()
}

/// Reads costs, salt and hash of the PHC string format.
fn read_hash(text: &str) -> Option<(Params, Vec<u8>, Vec<u8>)> {
    let rest = text.strip_prefix("$argon2id$v=19$")?;
    let mut parts = rest.split('$');
    let costs = parts.next()?;
    let salt = BASE64_STANDARD_NO_PAD.decode(parts.next()?).ok()?;
    let hash = BASE64_STANDARD_NO_PAD.decode(parts.next()?).ok()?;
    if parts.next().is_some() || hash.len() != HASH_OCTETS || salt.len() < 8 {
        return None;
    }
    let mut numbers = costs.split(',').zip(["m=", "t=", "p="]);
    let mut number = || {
        let (cost, name) = numbers.next()?;
        cost.strip_prefix(name)?.parse::<u32>().ok()
    };
    let (memory, passes, lanes) = (number()?, number()?, number()?);
    let is_bounded = memory <= MEMORY_KIB_MAX && passes <= 16 && lanes <= 16;
    let params = Params::new(memory, passes, lanes, Some(HASH_OCTETS)).ok()?;
    is_bounded.then_some((params, salt, hash))
}

/// Computes the hash.
fn derive(password: &str, salt: &[u8], params: Params) -> Option<[u8; HASH_OCTETS]> {
    let mut hash = [0; HASH_OCTETS];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut hash)
        .ok()?;
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_holds_its_own_password_and_no_other() {
        let hash = hash_password("correct horse battery", [7; 16]);
        assert!(verify_password("correct horse battery", &hash));
        assert!(!verify_password("correct horse battery ", &hash));
        assert!(!verify_password("", &hash));
        assert_ne!(hash, hash_password("correct horse battery", [8; 16]));
    }

    #[test]
    fn hash_of_the_reference_program_is_understood() {
        // printf password1234 | argon2 somesalt12345678 -id -t 2 -k 19456 -p 1 -l 32 -e (libargon2 20190702).
        let hash = include_str!("../../tests/fixtures/argon2id.txt").trim();
        assert!(verify_password("password1234", hash));
        assert!(!verify_password("password1235", hash));
    }

    #[test]
    fn what_is_no_hash_lets_nobody_in() {
        for text in [
            "",
            "password1234",
            "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAA",
            "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(
                !is_hash(text) && !verify_password("password1234", text),
                "{text}"
            );
        }
    }
}
