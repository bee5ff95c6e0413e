//! What it may cost to read a file: time, and what decompression makes of it.
//!
//! ```text
//! file ─▶ Packed ─▶ gzip or zstd ─▶ Unpacked ─▶ text
//!            └──────── Flow ───────────┘
//! ```

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flate2::bufread::GzDecoder;

use crate::time::Span;
use crate::zone::{Limits, Refusal};

/// How much decompression may make whatever its ratio. Chosen by hand: what is read in a fraction of a second
/// does no harm, and small zones are often little more than one line said again and again.
const RATIO_FREE_OCTETS: u64 = 16 << 20;
/// The most compressed octets that may make nothing: empty members, frames that are passed over.
const IDLE_OCTETS_MAX: u64 = 64 << 20;

/// More than a named limit allows. It travels in an [`io::Error`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OverLimit(String);

impl OverLimit {
    /// Returns the fault of whatever `what` says, which names the limit.
    pub fn new(what: String) -> Self {
        Self(what)
    }

    /// Returns whether an error of input is one of a limit.
    pub fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl From<OverLimit> for io::Error {
    fn from(fault: OverLimit) -> Self {
        Self::other(fault)
    }
}

impl From<OverLimit> for Refusal {
    fn from(fault: OverLimit) -> Self {
        Self::Limit(fault.0)
    }
}

/// How long a file has been read, against `limits.file`. It can pause while what was read is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileTime {
    limit: Span,
    /// What passed before the last pause.
    spent: Duration,
    /// Since when it runs; `None` in a pause.
    since: Option<Instant>,
}

impl FileTime {
    /// Starts in a pause, with nothing spent.
    pub fn new(limit: Span) -> Self {
        Self {
            limit,
            spent: Duration::ZERO,
            since: None,
        }
    }

    /// Goes on.
    pub fn start(&mut self) {
        self.since = Some(Instant::now());
    }

    /// Pauses.
    pub fn pause(&mut self) {
        self.spent += self.since.take().map_or(Duration::ZERO, |it| it.elapsed());
    }

    /// Refuses a file that has been read for too long.
    ///
    /// # Errors
    ///
    /// [`OverLimit`], which names the limit.
    pub fn check(&self) -> Result<(), OverLimit> {
        let spent = self.spent + self.since.map_or(Duration::ZERO, |it| it.elapsed());
        if spent.as_secs() >= self.limit.as_seconds().unsigned_abs() {
            Err(OverLimit(format!(
                "read for more than limits.file = {}",
                self.limit
            )))
        } else {
            Ok(())
        }
    }
}

/// What has gone into a decompressor, and what has come out. In octets.
#[derive(Debug, Default)]
pub(super) struct Flow {
    packed: AtomicU64,
    unpacked: AtomicU64,
    /// What had gone in when something last came out.
    packed_at_output: AtomicU64,
}

/// Counts what goes into a decompressor, and gives up one that makes nothing of it.
pub(super) struct Packed<R> {
    input: R,
    flow: Arc<Flow>,
}

impl<R: Read> Packed<R> {
    /// Counts in `flow`.
    pub fn new(input: R, flow: Arc<Flow>) -> Self {
        Self { input, flow }
    }
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        let before = self.flow.packed.fetch_add(length as u64, Ordering::Relaxed);
        // Never below 0: the other end stores what was counted here.
        let idle = before - self.flow.packed_at_output.load(Ordering::Relaxed);
        if idle > IDLE_OCTETS_MAX {
            Err(OverLimit(format!(
                "more than {IDLE_OCTETS_MAX} octets of compressed data that hold no text"
            ))
            .into())
        } else {
            Ok(length)
        }
    }
}

/// Counts what comes out of a decompressor, and gives it up beyond `limits.ratio`.
pub(super) struct Unpacked<R> {
    output: R,
    flow: Arc<Flow>,
    ratio_max: u64,
}

impl<R: Read> Unpacked<R> {
    /// Counts in `flow`.
    pub fn new(output: R, flow: Arc<Flow>, limits: &Limits) -> Self {
        Self {
            output,
            flow,
            ratio_max: limits.ratio,
        }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.output.read(buffer)?;
        let flow = &self.flow;
        let made = flow.unpacked.fetch_add(length as u64, Ordering::Relaxed) + length as u64;
        let packed = flow.packed.load(Ordering::Relaxed);
        // Something came out: what goes in from here on has to make something again.
        flow.packed_at_output.store(packed, Ordering::Relaxed);
        let allowed = packed.saturating_mul(self.ratio_max);
        if made > allowed.max(RATIO_FREE_OCTETS) {
            Err(OverLimit(format!(
                "decompresses to more than limits.ratio = {} times its size",
                self.ratio_max
            ))
            .into())
        } else {
            Ok(length)
        }
    }
}

/// Decompresses the members of a gzip file (RFC 1952 §2.2), one after the other, up to a number of them.
pub(super) struct Members<R> {
    /// The member in hand; `None` after the last.
    member: Option<GzDecoder<R>>,
    count: u64,
    count_max: u64,
}

impl<R: BufRead> Members<R> {
    /// Starts with the first.
    pub fn new(input: R, limits: &Limits) -> Self {
        Self {
            member: Some(GzDecoder::new(input)),
            count: 1,
            count_max: limits.gzip_members,
        }
    }

    /// Goes on with the next member, or ends.
    fn next_member(&mut self) -> io::Result<()> {
        let Some(ended) = self.member.take() else {
            return Ok(());
        };
        let mut input = ended.into_inner();
        if input.fill_buf()?.is_empty() {
            return Ok(());
        }
        self.count += 1;
        if self.count > self.count_max {
            let limit = self.count_max;
            let what = format!("gzip of more than limits.gzip_members = {limit}");
            return Err(OverLimit(what).into());
        }
        self.member = Some(GzDecoder::new(input));
        Ok(())
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let length = member.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            self.next_member()?;
        }
        Ok(0)
    }
}
