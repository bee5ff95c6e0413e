//! Bodies of forms and steps: small ones, which do not keep a connection for long.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use tokio::time::timeout;

/// How long a form or a step may take to arrive.
// The largest form has 256 KiB: at 13 KB a second it is there.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Why a body was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum BodyFault {
    /// More octets than one may have, or the client broke off.
    TooLarge,
    /// It took too long, or came too slowly.
    TooSlow,
}

/// Returns in a sentence what is wrong with a form that took too long.
pub(in crate::web) fn too_slow() -> String {
    let limit = TIMEOUT.as_secs();
    format!("The form took more than {limit} s to arrive. Nothing was changed; send it again.")
}

/// Reads a form or a step of at most `octets_max`.
pub(in crate::web) async fn read_small(body: Body, octets_max: usize) -> Result<Bytes, BodyFault> {
    read_within(body, octets_max, TIMEOUT).await
}

/// [`read_small`] with another time limit.
async fn read_within(body: Body, octets_max: usize, limit: Duration) -> Result<Bytes, BodyFault> {
    match timeout(limit, to_bytes(body, octets_max)).await {
        Ok(read) => read.map_err(|_| BodyFault::TooLarge),
        Err(_) => Err(BodyFault::TooSlow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn body_that_never_ends_is_given_up() {
        let limit = Duration::from_millis(20);
        let endless = tokio_stream::pending::<Result<Bytes, std::io::Error>>();
        let read = read_within(Body::from_stream(endless), 4, limit).await;
        assert_eq!(read, Err(BodyFault::TooSlow));
        let read = read_within(Body::from("12345"), 4, limit).await;
        assert_eq!(read, Err(BodyFault::TooLarge));
        let read = read_within(Body::from("1234"), 4, limit).await;
        assert_eq!(read, Ok(Bytes::from("1234")));
    }
}
