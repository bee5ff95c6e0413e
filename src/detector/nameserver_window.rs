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
    /// Whether they are those that others use below the delegation, and not its own.
    pub is_operated: bool,
}

impl NameserverWindow {
    /// Returns whether a name server is known to be a provider's.
    pub(super) fn is_popular(&self, name: &Name) -> bool {
        self.popular.as_ref().is_some_and(|set| set.contains(name))
    }

    /// Returns whether a name server lay at or below another delegation at a time, which is judged for what it did then.
    pub(super) fn is_of_other(&self, host: &Name, at: Timestamp) -> bool {
        let operated = self.operated.as_ref();
        operated.is_some_and(|operated| operated.operator_at(host, at).is_some())
    }
}

/// Who is judged for the addresses of a name server, and for which time: what it did before and after is nobody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The delegation at or below which it lies, or the zone of its own that uses it.
    pub name: Name,
    /// The delegation came then: it is judged for what moves afterwards.
    pub after: Timestamp,
    /// Until when it answers, where it is gone.
    pub until: Option<Timestamp>,
}

impl Operator {
    /// Returns whether it is judged for what a name server did at a time.
    pub fn answers_at(&self, at: Timestamp) -> bool {
        self.after < at && self.until.is_none_or(|until| at <= until)
    }
}

/// Whose the name servers of a delegation are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operated {
    /// Those that lie at or below other delegations, each with these: they are judged for their addresses, and their
    /// customers are not.
    pub by_others: BTreeMap<Name, Vec<Operator>>,
    /// How many other names use those that are at or below the delegation.
    pub user_count: usize,
    /// The first of these names.
    pub users: Vec<Name>,
}

impl Operated {
    /// Returns who else is judged for what a name server did at a time.
    pub fn operator_at(&self, host: &Name, at: Timestamp) -> Option<&Operator> {
        let operators = self.by_others.get(host)?;
        operators.iter().find(|it| it.answers_at(at))
    }
}
