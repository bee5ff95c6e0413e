//! What is known of a delegation and its name servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::detector::timeline::{LeftOut, Stay};
use crate::dns::Name;
use crate::time::Timestamp;

/// What history says of a delegation.
#[derive(Debug, Clone)]
pub struct NameserverWindow {
    /// The zone.
    pub zone: Name,
    /// The delegation.
    pub owner: Name,
    /// When watching of the zone began.
    pub watched_since: Timestamp,
    /// NS names, as far back as the memory goes.
    pub names: Vec<Stay<Name>>,
    /// Addresses of any of those name servers, in any zone that history holds.
    pub addresses: Vec<(Name, Stay<IpAddr>)>,
    /// Every new registration that is known; of those by the time that is judged the last counts.
    pub resets: Vec<Timestamp>,
    /// Those of the name servers that are a provider's; `None` if nobody has looked.
    pub popular: Option<Arc<BTreeSet<Name>>>,
    /// Whose the name servers are; `None` if nobody has looked.
    pub operated: Option<Operated>,
    /// The part that is left out, where there are more intervals than are replayed.
    pub left_out: Option<LeftOut>,
}

impl NameserverWindow {
    /// Returns whether a name server is known to be a provider's.
    pub(super) fn is_popular(&self, name: &Name) -> bool {
        self.popular.as_ref().is_some_and(|set| set.contains(name))
    }

    /// Returns whether a name server lay at or below another delegation at a time, which is judged for what it did then.
    pub(super) fn is_of_other(&self, host: &Name, at: Timestamp) -> bool {
        let operated = self.operated.as_ref();
        let operator = operated.and_then(|operated| operated.by_others.get(host));
        operator.is_some_and(|it| it.until.is_none_or(|until| at <= until))
    }
}

/// Whose a name server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The delegation at or below which it lies, or the hosted zone of its own that uses it.
    pub name: Name,
    /// Until when it answers for the name server, where that went: what this has done since is nobody else's.
    pub until: Option<Timestamp>,
}

/// Whose the name servers of a delegation are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operated {
    /// Those that lie at or below another delegation, each with that one: it is judged for their addresses, and its
    /// customers are not.
    pub by_others: BTreeMap<Name, Operator>,
    /// How many other names use those that are at or below the delegation.
    pub user_count: usize,
    /// The first of these names.
    pub users: Vec<Name>,
}
