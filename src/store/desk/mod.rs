//! The desk: cases, exemptions, notices, the outbox, alerts and statistics.

pub(in crate::store) mod alerts;
pub(in crate::store) mod cases;
pub(in crate::store) mod exemptions;
pub(in crate::store) mod notices;
pub(in crate::store) mod outbox;
pub(in crate::store) mod statistics;
