//! What names a row of what is watched: zones, sources, their kinds and views, an owner in a zone.

use serde::{Deserialize, Serialize};

use crate::dns::Name;
use crate::time::Span;

/// A row of `zone`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ZoneId(pub(in crate::store) i64);

/// A row of `source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceId(pub(super) i64);

/// How a source's changes arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Zone transfers.
    Transfer,
    /// Transfers of the zones that a catalog lists.
    Catalog,
    /// Zone files.
    Zonefile,
    /// A change feed.
    Feed,
    /// Brought in by hand.
    Import,
    /// Questions to authoritative servers.
    Probe,
    /// Passive DNS that others recorded.
    Passive,
}

/// Who says what stands in a zone's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// The zone's own source; there is one for each zone.
    Zone,
    /// The name servers of the parent, asked by a probe. The apex is the domain that was asked about.
    Parent,
    /// The domain's own name servers, asked by a probe.
    Child,
    /// What others recorded of the zone's names.
    Passive,
}

impl View {
    /// Every view.
    const ALL: [Self; 4] = [Self::Zone, Self::Parent, Self::Child, Self::Passive];

    /// Returns the word in the database.
    pub fn word(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Parent => "parent",
            Self::Child => "child",
            Self::Passive => "passive",
        }
    }

    /// Returns the view that [`View::word`] gave `word` for.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.word() == word)
    }
}

impl SourceKind {
    /// Returns the word in the database and the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Catalog => "catalog",
            Self::Zonefile => "zonefile",
            Self::Feed => "feed",
            Self::Import => "import",
            Self::Probe => "probe",
            Self::Passive => "passive",
        }
    }

    /// Returns whether the source is judged by the wall clock rather than by its own event time.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Transfer | Self::Catalog | Self::Probe)
    }

    /// Returns the kind that [`SourceKind::word`] gave `word` for.
    pub(super) fn parse(word: &str) -> Option<Self> {
        [
            Self::Transfer,
            Self::Catalog,
            Self::Zonefile,
            Self::Feed,
            Self::Import,
            Self::Probe,
            Self::Passive,
        ]
        .into_iter()
        .find(|kind| kind.word() == word)
    }
}

/// An owner name in a zone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityKey {
    /// The zone.
    pub zone: ZoneId,
    /// Its apex.
    pub apex: Name,
    /// The owner.
    pub owner: Name,
}

/// How long after its last sight a record counts as gone.
pub(in crate::store) const AFTER_LAST: Span = Span::seconds(1);
