//! Secrets that are handed out: drawn at random, kept by their hashes.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

/// Octets of a secret: 256 bits, which nobody guesses.
const OCTETS: usize = 32;

/// Draws a secret: 43 characters of base64url.
///
/// # Errors
///
/// If the system gives no random octets.
pub(in crate::web) fn draw_secret() -> Result<String, std::io::Error> {
    let mut octets = [0; OCTETS];
    SystemRandom::new()
        .fill(&mut octets)
        .map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(octets))
}

/// Returns the hash of texts, each with its length before it, so that no two lists have one hash by being cut
/// elsewhere.
pub(in crate::web) fn hash_of(texts: &[&str]) -> [u8; 32] {
    let mut octets = Vec::new();
    for text in texts {
        octets.extend((text.len() as u64).to_be_bytes());
        octets.extend(text.as_bytes());
    }
    let hash = digest(&SHA256, &octets);
    hash.as_ref().try_into().expect("SHA-256 has 32 octets")
}

/// What a token of a machine begins with: whoever finds one knows what it is.
const TOKEN_START: &str = "fwt_";

/// Draws a token for a machine.
///
/// # Errors
///
/// If the system gives no random octets.
pub fn draw_token() -> Result<String, std::io::Error> {
    Ok(format!("{TOKEN_START}{}", draw_secret()?))
}

/// Returns the hash by which a token is kept.
pub fn token_hash(token: &str) -> [u8; 32] {
    hash_of(&["token", token])
}

/// Returns the token that a form carries: who knows the secret behind it can make it, and from it nobody gets back.
pub(in crate::web) fn form_token(secret: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(hash_of(&["form", secret]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_hashes_tell_where_texts_end() {
        let secret = draw_secret().expect("random octets");
        assert_eq!(secret.len(), 43);
        assert_ne!(secret, draw_secret().expect("random octets"));
        assert_ne!(hash_of(&["ab", "c"]), hash_of(&["a", "bc"]));
        assert_ne!(form_token(&secret), secret);
    }
}
