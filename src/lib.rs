//! fluxwatch watches hosted and delegated domains for fast flux from the authoritative side of DNS.
//!
//! The flow goes one way, each arrow a value type and one function of [`pipeline`]:
//!
//! ```text
//! source ─▶ zone (trust, diff) ─▶ store (history) ─▶ detector ─▶ case ─▶ report ─▶ outbox ─▶ mailer
//! ```
//!
//! A [`source`] hands every record of a version to the [`zone`] room's intake, which compares owners by
//! digest and only the changed ones exactly. The [`store`] keeps what changed, as intervals. The
//! [`detector`] is a pure function of stored intervals, of what [`enrich`] knows, and of a policy; its
//! findings move a [`case`], and a case that reaches level `report` puts a [`report`], worded by
//! [`templates`], into the [`outbox`], from where the [`mailer`] takes it. [`config`] says what is
//! watched, [`daemon`] when, [`web`] what is served over HTTP, and [`cli`] is what people
//! type; [`desk`] is what they decide, [`people`] who they are; both show the shapes of [`listing`]; [`export`] writes them for other engines. [`evidence`] hashes every version, so that an edit shows. [`dns`] and [`time`] are the words that all
//! of them use, [`place`] says where the database is, and [`mod@file`] opens what they read. docs/developers/architecture.md says who may import whom; a test keeps it.

pub mod case;
pub mod cli;
pub mod config;
pub mod count;
pub mod daemon;
pub mod desk;
pub mod detector;
pub mod dns;
pub mod enrich;
pub mod evidence;
pub mod export;
pub mod file;
pub mod listing;
pub mod mailer;
pub mod outbox;
pub mod people;
pub mod pipeline;
pub mod place;
pub mod report;
pub mod source;
pub mod store;
pub mod templates;
pub mod time;
pub mod web;
pub mod zone;
