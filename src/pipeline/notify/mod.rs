//! From a case to mail, and what is told to whoever runs this.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::config::Config;
use crate::config::MailConfig;
use crate::pipeline::context::Pipeline;
use crate::pipeline::findings::Findings;
use crate::pipeline::held_by::HeldBy;
use crate::pipeline::parts::Parts;
use crate::store::Store;
use crate::time::Clock;

pub(in crate::pipeline) mod alerts;
pub(in crate::pipeline) mod anew;
pub(in crate::pipeline) mod compose;
pub(in crate::pipeline) mod deliver;
pub(in crate::pipeline) mod digest_anew;
pub(in crate::pipeline) mod ends;
pub(in crate::pipeline) mod lanes;
pub(in crate::pipeline) mod letters;
pub(in crate::pipeline) mod notices;
pub(in crate::pipeline) mod passage;
pub(in crate::pipeline) mod reports;
pub(in crate::pipeline) mod told;

/// From a case to mail.
#[derive(Clone, Copy)]
pub struct Notify<'a> {
    store: &'a Store,
    config: &'a Arc<Config>,
    parts: &'a Parts,
    clock: &'a Arc<dyn Clock>,
    unmade_count: &'a AtomicU64,
    held_by: &'a RefCell<HeldBy>,
    findings: Findings<'a>,
}

impl<'a> Notify<'a> {
    /// Returns the mail settings, if any mail is to be sent.
    fn mail(self) -> Option<&'a MailConfig> {
        self.config.mail.as_ref()
    }
}

impl Pipeline {
    /// From a case to mail.
    pub fn notify(&self) -> Notify<'_> {
        Notify {
            store: &self.store,
            config: &self.config,
            parts: &self.parts,
            clock: &self.clock,
            unmade_count: &self.unmade_count,
            held_by: &self.held_by,
            findings: self.findings(),
        }
    }
}
