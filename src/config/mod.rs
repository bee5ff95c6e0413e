//! The configuration: as written, then resolved and checked.
//!
//! Unknown keys are an error. Every error names the file, the line and the key. Secrets come from
//! files only and are never shown.

mod check;
mod mail;
mod resolved;
mod written;

pub use check::ConfigError;
pub use resolved::{
    CanaryConfig, Config, DkimConfig, Feeding, KeySecret, MailConfig, MetricsConfig, NotifyConfig,
    Party, ProbeConfig, ProbeDomains, Recipient, RetentionConfig, Schedule, SendingLimits, Source,
    TlsSettings, TransferSettings, WebConfig, WebhookConfig,
};
pub use written::{DkimAlgorithm, Every, Profile, Written};

/// The documented template of the configuration, every key in it.
pub const TEMPLATE: &str = include_str!("../../data/config.template.toml");
