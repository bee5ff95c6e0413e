//! What is said of a transaction signature (RFC 8945) that is wrong: keys, or clocks.
//!
//! A sound BADTIME never verifies: of 6 octets of other data the `domain` library (0.12.3, `Variables::sign`) hashes 8.
//! So what an answer says is read before it is verified. It decides only the words of a refusal.

use domain::base::iana::{Rcode, TsigRcode};
use domain::base::{Message, ParsedName};
use domain::rdata::Tsig;
use domain::rdata::tsig::Time48;
use domain::tsig::ValidationError;

use crate::source::rcode::{rcode_name, rcode_of};
use crate::time::{Span, Timestamp};
use crate::zone::Refusal;

/// How far two clocks may lie apart (RFC 8945 §10).
// RFC 8945 §10 recommends it; a clock that is further off is called a clock in the refusal.
const FUDGE: Span = Span::seconds(300);

/// What an answer says of the signature of its query, before its own signature is verified: who has another clock
/// can often not be proven, and has to be told all the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignatureSaid {
    rcode: u8,
    /// Whether it says BADTIME.
    is_bad_time: bool,
    /// What the other side's clock shows, if it says so.
    clock: Option<Timestamp>,
}

impl SignatureSaid {
    /// Reads it from an answer. Only one with NOTAUTH says anything.
    pub fn of(message: &[u8]) -> Self {
        let rcode = rcode_of(message);
        let silent = Self {
            rcode,
            is_bad_time: false,
            clock: None,
        };
        if rcode != Rcode::NOTAUTH.to_int() {
            return silent;
        }
        let said = Message::from_octets(message).ok().and_then(|message| {
            // RFC 8945 §5.1: the TSIG record is the last one of the message.
            let last = message.additional().ok()?.flatten().last()?;
            let record = last
                .to_record::<Tsig<&[u8], ParsedName<&[u8]>>>()
                .ok()
                .flatten()?;
            let tsig = record.data();
            // RFC 8945 §5.2.3: BADTIME has the client's time as the time signed, and the server's as other data.
            let clock = timestamp(tsig.other_time().unwrap_or(tsig.time_signed()));
            Some(Self {
                rcode,
                is_bad_time: tsig.error() == TsigRcode::BADTIME,
                // Some leave the time out where they do not sign.
                clock: Some(clock).filter(|clock| clock.unix() > 0),
            })
        });
        said.unwrap_or(silent)
    }

    /// Returns the refusal of an answer whose signature is wrong: *clock* where a clock is.
    pub fn refusal(&self, fault: &ValidationError) -> Refusal {
        let now = timestamp(Time48::now());
        let is_off = |clock: &Timestamp| now.since(*clock).as_seconds().abs() > FUDGE.as_seconds();
        let off = self.clock.filter(is_off);
        let clocks = match off {
            Some(clock) => {
                let apart = Span::seconds(now.since(clock).as_seconds().abs());
                format!(
                    "by the primary's clock it is {clock}, by this machine's {now}, {apart} apart"
                )
            }
            None => "the primary's clock and this machine's are too far apart".to_owned(),
        };
        let cure = format!("put right the clock that is wrong; {FUDGE} are allowed");
        let rcode = rcode_name(self.rcode);
        let is_bad_time = self.is_bad_time
            || matches!(
                fault,
                ValidationError::BadTime | ValidationError::ServerBadTime { .. }
            );
        Refusal::Tsig(match (is_bad_time, off) {
            (true, _) if self.is_bad_time => {
                format!("clock: the primary answers BADTIME: {clocks}; {cure}")
            }
            (true, _) => format!("clock: {clocks}; {cure}"),
            (false, Some(_)) => format!("{fault} (rcode {rcode}); clock: {clocks}; {cure}"),
            (false, None) if self.rcode == Rcode::NOERROR.to_int() => words_of(fault),
            // Of a key that is not known, and of a zone that they do not serve, some say nothing but the response code.
            (false, None) if matches!(fault, ValidationError::ServerUnsigned) => {
                let cure = match self.rcode == Rcode::NOTAUTH.to_int() {
                    true => {
                        "it does not know this key, the secrets differ, or it does not serve this zone; check the zone's name, and give the key the same name, algorithm and secret at both sides"
                    }
                    false => {
                        "it does not serve this zone (check the zone's name at both sides), or its access list does not name the key; give the key the same name, algorithm and secret at both sides"
                    }
                };
                format!("the primary answers {rcode} without a signature: {cure}")
            }
            (false, None) => format!("rcode {rcode}: {}", words_of(fault)),
        })
    }
}

/// Returns what is wrong with a signature, and whose side has to do what.
pub(super) fn words_of(fault: &ValidationError) -> String {
    let cure = match fault {
        ValidationError::ServerBadKey | ValidationError::BadKey => {
            "BADKEY: the primary does not know this key; give it the same name and algorithm at both sides"
        }
        ValidationError::ServerBadSig | ValidationError::BadSig | ValidationError::BadTrunc => {
            "BADSIG: the secrets differ; write the primary's secret into secret_file"
        }
        ValidationError::BadAlg => {
            "the primary signs with another algorithm; give the key the same algorithm at both sides"
        }
        ValidationError::ServerUnsigned | ValidationError::TooManyUnsigned => {
            "the primary does not sign its answer; let its access list name the key, not this machine's address alone"
        }
        _ => return fault.to_string(),
    };
    format!("{fault}: {cure}")
}

/// Returns a time of a signature as this program has times.
fn timestamp(time: Time48) -> Timestamp {
    Timestamp::from_unix(u64::from(time) as i64)
}
