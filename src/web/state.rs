//! What the endpoints share, and what they hand to the workers of `run`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::config::{CanaryConfig, WebConfig, WebTlsFiles};
use crate::pipeline::Troubles;
use crate::place::StoreUrl;
use crate::templates::{Pages, TemplateError};
use crate::time::Clock;
use crate::web::desks::Desks;
use crate::web::people::People;
use crate::web::readers::Readers;

/// What the endpoints share.
#[derive(Clone)]
pub struct WebState {
    /// The database.
    pub store_url: StoreUrl,
    /// Now.
    pub clock: Arc<dyn Clock>,
    /// The canary, for the metrics.
    pub canary: Option<CanaryConfig>,
    /// Zones are told one by one only while there are no more than this; `None` serves no metrics.
    pub metrics_zones_max: Option<usize>,
    /// The token of who pushes; `None` takes no pushed lines.
    pub token: Option<String>,
    /// Reverse proxies that are believed when they tell from where a request came.
    pub proxies: Arc<[IpAddr]>,
    /// The certificate and its key; `None` speaks no TLS. Whether people enter or not: tokens cross the network too.
    pub tls: Option<WebTlsFiles>,
    /// Where people enter; `None` for nowhere.
    pub console: Option<Console>,
    /// Who looks history up.
    pub readers: Readers,
    /// The same, for lookups of history: perhaps at a standby.
    pub lookups: Readers,
    /// To whoever reads feeds.
    pub pushes: mpsc::Sender<PushedLines>,
    /// What holds the service up.
    pub troubles: Arc<Troubles>,
}

/// What the console and the API share.
#[derive(Clone)]
pub struct Console {
    /// Who may enter.
    pub(in crate::web) people: Arc<People>,
    /// The desk.
    pub(in crate::web) desks: Desks,
    /// The words of the pages.
    pub(in crate::web) pages: Arc<Pages>,
    /// The section of the configuration.
    pub(in crate::web) settings: Arc<WebConfig>,
    /// How many passwords are hashed at a time: each takes 19 MiB.
    pub(in crate::web) hashing: Arc<Semaphore>,
}

/// How many passwords are hashed at a time.
const HASHING_MAX: usize = 2;

/// Why nobody can enter.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The system gives no random octets.
    #[error("{0}")]
    Random(#[from] std::io::Error),
    /// A page cannot be worded.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl Console {
    /// Makes what the console and the API share.
    pub fn new(web: &WebConfig, desks: Desks) -> Result<Self, ConsoleError> {
        Ok(Self {
            people: Arc::new(People::of(web)?),
            desks,
            pages: Arc::new(Pages::load()?),
            settings: Arc::new(web.clone()),
            hashing: Arc::new(Semaphore::new(HASHING_MAX)),
        })
    }
}

/// Lines that were pushed, and where their answer goes.
pub struct PushedLines {
    /// The feed; `None` for the only one that takes them.
    pub source: Option<String>,
    /// The lines.
    pub lines: Bytes,
    /// What became of them.
    pub answer: oneshot::Sender<Pushed>,
}

/// What became of pushed lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Pushed {
    /// They are in history, or were there already.
    Taken {
        /// New versions of zones.
        versions: u64,
        /// Names whose records changed.
        changed_names: u64,
        /// Lines that were set aside; the rest were taken.
        rejected_lines: u64,
    },
    /// There is no such feed, or it takes no pushed lines.
    NoSuchFeed,
    /// As many bodies as may wait for this feed wait already. Nothing of this one was taken.
    Busy,
}
