//! The words for why a zone has no new version, for the manual.

/// A word of `refused_reason` in `status`.
#[derive(Debug, Clone, Copy)]
pub struct Reason {
    /// The word.
    pub word: &'static str,
    /// What happened.
    pub what: &'static str,
    /// What helps.
    pub cure: &'static str,
}

/// Makes a row of [`REASONS`].
const fn reason(word: &'static str, what: &'static str, cure: &'static str) -> Reason {
    Reason { word, what, cure }
}

/// Every word: those of [`Refusal::code`](super::Refusal::code), and those of a zone which left its catalog or
/// whose source is not configured any more.
pub const REASONS: [Reason; 20] = [
    reason(
        "unreachable",
        "no connection",
        "address and port in `primaries`, network, firewall, the primary; a primary that fails rests for 30 s, then longer, up to 30 min, while others are there",
    ),
    reason(
        "timeout",
        "silence of more than `limits.idle`, or more than `limits.transfer` in all",
        "the primary's load",
    ),
    reason(
        "ended-early",
        "the connection or the file ended before the zone did, or the file says of itself that it is cut \
         ([decisions](../developers/decisions.md), \"Files that are cut\")",
        "the primary's log; a file that is still being written; transfer the zone again",
    ),
    reason(
        "zonemd",
        "the records are not those of the digest that the zone carries (RFC 8976), or one is required and missing",
        "what signs the zone; a primary that serves a broken copy, or other TTLs or other capitals than were signed (findings/servers-spoil-digests.sh)",
    ),
    reason(
        "soa-mismatch",
        "the closing SOA is not the opening one",
        "usually the zone changed during the transfer; it passes",
    ),
    reason(
        "behind",
        "the primary's serial is older than history's, and not all primaries were reached",
        "the primary that is missing",
    ),
    reason(
        "rcode",
        "the primary answered with an error",
        "at the primary: its access list, the zone's name, its log; the sentence says which",
    ),
    reason(
        "tsig",
        "a signature is missing or wrong",
        "name, algorithm and secret of the key at both sides, both clocks (300 s); the sentence says which",
    ),
    reason(
        "tls",
        "the certificate or the key is not the one that is trusted",
        "`server_name`, `ca_file`, `pins`",
    ),
    reason(
        "foreign-name",
        "a name of another zone",
        "the primary is broken or hostile",
    ),
    reason(
        "malformed",
        "what arrived breaks the protocol or the file format; also a broken catalog",
        "the sentence has line or record",
    ),
    reason(
        "shrank",
        "**held**: far fewer records than before",
        "if that is right: `fluxwatch poll --accept ZONE`; beside a service that runs it leaves the request to it",
    ),
    reason(
        "limit",
        "more than a limit of `[limits]` (below); the sentence names it",
        "if the zone is right, raise that limit",
    ),
    reason(
        "unreadable",
        "a file that cannot be read; a pipe, a device, a socket or a folder in its place; or a folder that is not there",
        "permissions, the path, the mount; a regular file",
    ),
    reason(
        "rotated",
        "a feed's file went away before it was read to its end",
        "`fluxwatch import feed` of the old file; rotate later, or compress a day later",
    ),
    reason(
        "too-old",
        "a file whose time lies before what history holds",
        "its name or its time",
    ),
    reason(
        "local",
        "this machine could not take the version in: its temporary folder is full or cannot be written",
        "room in `$TMPDIR` (usually /tmp), or another folder there; the other sources go on, and the next look takes the version",
    ),
    reason(
        "unwatched",
        "no source of the configuration feeds the zone any more; nobody is suspected by what stood in it",
        "nothing; its history stays. Its source again, if that was not meant",
    ),
    reason(
        "awaited",
        "the zone has a source again, which has not shown it yet; nobody is suspected by what stood in it",
        "nothing: the first look at the source that succeeds ends it",
    ),
    reason(
        "left-catalog",
        "no catalog lists the zone any more",
        "nothing; its history stays",
    ),
];
