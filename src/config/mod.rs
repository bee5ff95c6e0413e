//! The configuration: as written, then resolved and checked.
//!
//! The file is read key by key (`reading`), then checked (`check`, `sources`, `mail`, `meant`): everything that is wrong
//! is told at once, in the order of the file, with line, key and cure (`fault`). Unknown keys are an error.
//! What the file names and what may come later is looked for separately (`surroundings`). Secrets come from
//! files only and are never shown. The template is also the source of the man page and of the schema (`template`).

mod address;
mod check;
mod console;
mod fault;
mod machine;
mod mail;
mod meant;
mod named;
mod reading;
mod resolved;
mod schema;
mod sources;
mod template;
mod torn;
mod url;
mod written;

pub use fault::{ConfigError, Fault, KeyLines, Weight};
pub use machine::FittedLimit;
pub use resolved::{
    CanaryConfig, CatalogSource, Config, DkimConfig, FeedSource, Feeding, KeySecret, MailConfig,
    MetricsConfig, NotifyConfig, Party, ProbeConfig, ProbeDomains, ProxyConfig, Recipient,
    RetentionConfig, Schedule, SendingLimits, Source, TlsSettings, TransferSettings,
    TransferSource, WebConfig, WebTlsFiles, WebhookConfig, ZonefileSource,
};
pub use schema::schema;
pub use template::{TemplateLine, read_template};
pub use written::{DkimAlgorithm, Every, FullEvery, LogFormat, Profile, Written};

/// The documented template of the configuration, every key in it.
pub const TEMPLATE: &str = include_str!("../../data/config.template.toml");
