//! Every threshold of the detector, each a key under `[detect]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dns::Name;
use crate::time::Span;

/// Names the formulas and defaults of this build in every finding.
pub const POLICY_VERSION: &str = "2026-12";

/// The same as a number, which is higher for each policy: open cases of an earlier one are judged anew.
pub const POLICY_NUMBER: i64 = 202_612;

/// The detector's thresholds. docs/explanation/detection.md gives the reason and the source of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectPolicy {
    /// How far back a value counts as seen before.
    pub memory: Span,
    /// Change instants in 7 days from which a domain is watched.
    pub watch_changes_7d_min: f64,
    /// An RRset that was gone for no longer than this went on, rather than began anew.
    pub absence_max: Span,
    /// Score from which a finding at level `report` is not held.
    pub certain_score_min: f64,
    /// How long a finding with a lower score must hold before its level is `report`.
    pub confirm_after: Span,
    /// How long a domain must have stood still for its case to close as mitigated.
    pub settled_after: Span,
    /// Name servers that a domain is moved to when it is suspended or sinkholed: all of a domain's there
    /// close its case as mitigated.
    #[schemars(with = "Vec<String>")]
    pub hold_nameservers: Vec<Name>,
    /// The name-server plane.
    pub nameservers: NameserverPolicy,
    /// The address plane.
    pub addresses: AddressPolicy,
    /// The alias plane.
    pub aliases: AliasPolicy,
    /// Asking a suspect's own name servers; left out: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<ConfirmPolicy>,
}

/// Asking the name servers of a domain whose name-server plane is suspected for its addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConfirmPolicy {
    /// Recursive resolvers of one's own, through which name servers are found.
    pub resolvers: Vec<String>,
    /// Root servers from which they are found instead.
    pub roots: Vec<String>,
    /// The port of authoritative servers.
    pub port: u16,
    /// How long between two questions about one domain.
    pub every: Span,
    /// How often a domain is asked about, in all.
    pub times: u32,
    /// The most domains that are asked about at a time.
    pub domains_max: u32,
    /// How long what is seen counts as there before, and what is not seen as still there.
    pub settle: Span,
    /// How long one answer may take.
    pub timeout: Span,
    /// Queries a second to one server.
    pub server_rate: u32,
}

impl Default for ConfirmPolicy {
    fn default() -> Self {
        Self {
            resolvers: Vec::new(),
            roots: Vec::new(),
            port: 53,
            every: Span::seconds(600),
            times: 18,
            domains_max: 20,
            settle: Span::seconds(1800),
            timeout: Span::seconds(3),
            server_rate: 2,
        }
    }
}

impl DetectPolicy {
    /// Returns what reports call the policy: its version, and whether thresholds were changed.
    pub fn label(&self) -> String {
        // Whom a site suspends to, and whom it asks, is no threshold.
        let of_site = Self {
            hold_nameservers: Vec::new(),
            confirm: None,
            ..self.clone()
        };
        if of_site == Self::default() {
            POLICY_VERSION.to_owned()
        } else {
            format!("{POLICY_VERSION} with thresholds of this site")
        }
    }

    /// Returns how many change instants in 7 days any rule asks for: no instant weighs more than 1, so a
    /// domain with fewer cannot even be watched.
    pub fn changes_min(&self) -> f64 {
        let rules = &self.nameservers;
        self.watch_changes_7d_min
            .min(rules.review_changes_7d_min)
            .min(rules.changes_7d_min)
            .min(rules.changes_3d_min)
            .min(self.addresses.changes_min)
            .min(self.aliases.changes_7d_min)
            .min(self.aliases.review_changes_7d_min)
    }

    /// Returns what is wrong with the thresholds, each with its key.
    pub fn faults(&self) -> Vec<(String, String, &'static str)> {
        let (ns, address, alias) = (&self.nameservers, &self.addresses, &self.aliases);
        let scores = [
            ("certain_score_min", self.certain_score_min),
            ("nameservers.score_min", ns.score_min),
            ("nameservers.review_score_min", ns.review_score_min),
            ("addresses.score_min", address.score_min),
            ("aliases.score_min", alias.score_min),
        ];
        let shares = [
            ("addresses.prefix_ratio_min", address.prefix_ratio_min),
            ("addresses.novelty_min", address.novelty_min),
            ("addresses.shared_share_max", address.shared_share_max),
            ("aliases.novelty_min", alias.novelty_min),
        ];
        let numbers = [
            ("watch_changes_7d_min", self.watch_changes_7d_min),
            ("nameservers.changes_7d_min", ns.changes_7d_min),
            ("nameservers.changes_3d_min", ns.changes_3d_min),
            (
                "nameservers.review_changes_7d_min",
                ns.review_changes_7d_min,
            ),
            ("addresses.changes_min", address.changes_min),
            ("addresses.turnover_24h_min", address.turnover_24h_min),
            ("addresses.turnover_7d_min", address.turnover_7d_min),
            ("addresses.peers_size_min", address.peers_size_min),
            ("aliases.changes_7d_min", alias.changes_7d_min),
            ("aliases.review_changes_7d_min", alias.review_changes_7d_min),
        ];
        let mut faults = Vec::new();
        let mut check = |values: &[(&str, f64)], most: f64, kind: &str, cure: &'static str| {
            for (key, value) in values {
                if !(0.0..=most).contains(value) {
                    faults.push((
                        format!("detect.{key}"),
                        format!("{value} is not {kind}"),
                        cure,
                    ));
                }
            }
        };
        let cure = "write a number of 0.0 to 100.0";
        check(&scores, 100.0, "a score of 0 to 100", cure);
        let cure = "write a number of 0.0 to 1.0";
        check(&shares, 1.0, "a share of 0 to 1", cure);
        let cure = "write a number of 0.0 or more";
        check(&numbers, f64::MAX, "a number of 0 or more", cure);
        if self.memory < Span::days(7) {
            let what = format!("{} is less than the 7 days that are judged", self.memory);
            faults.push(("detect.memory".to_owned(), what, "write \"7d\" or more"));
        }
        faults
    }
}

impl Default for DetectPolicy {
    fn default() -> Self {
        Self {
            memory: Span::days(90),
            watch_changes_7d_min: 3.0,
            absence_max: Span::hours(24),
            certain_score_min: 70.0,
            confirm_after: Span::hours(1),
            settled_after: Span::days(14),
            hold_nameservers: Vec::new(),
            nameservers: NameserverPolicy::default(),
            addresses: AddressPolicy::default(),
            aliases: AliasPolicy::default(),
            confirm: None,
        }
    }
}

/// Thresholds of the name-server plane.
///
/// The gate sits in the gap between 4 changes in 7 days, the most that any of 1,458 root-zone
/// delegations made in 1,018 days, and slow flux, which makes 7 to 14.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NameserverPolicy {
    /// Weighted change instants in 7 days that open the gate.
    pub changes_7d_min: f64,
    /// Weighted change instants in 3 days that are reviewed where every other condition of the gate is met.
    pub changes_3d_min: f64,
    /// How long a value may have stayed for its leaving to be a step of a rotation.
    pub stay_max: Span,
    /// Values never seen before, in 7 days.
    pub fresh_min: u32,
    /// Autonomous systems of the name servers' addresses, in 7 days.
    pub networks_min: u32,
    /// Prefixes (/16, /32) that stand in where there is no table of autonomous systems.
    pub prefixes_min: u32,
    /// Operator domains of the name servers' names, in 7 days.
    pub operators_min: u32,
    /// Score from which an open gate is `report`.
    pub score_min: f64,
    /// Score of the review rule.
    pub review_score_min: f64,
    /// Weighted change instants in 7 days of the review rule.
    pub review_changes_7d_min: f64,
    /// Values never seen before of the review rule.
    pub review_fresh_min: u32,
    /// Autonomous systems of the review rule.
    pub review_networks_min: u32,
    /// Prefixes of the review rule.
    pub review_prefixes_min: u32,
    /// Operator domains of the review rule.
    pub review_operators_min: u32,
    /// Instants in 7 days at which something left that had stayed for at most
    /// [`settled_after`](DetectPolicy::settled_after), from which slow rotation is reviewed.
    pub review_slow_changes_7d_min: u32,
    /// Names never seen before, in 7 days, that are reviewed whatever their operators and networks.
    pub review_fresh_names_min: u32,
    /// Steps in 7 days that are reviewed where the spread is that of the gate, however little is fresh.
    pub review_steps_7d_min: u32,
    /// How many changes in 7 days are excused because name servers are a provider's; more are reviewed.
    pub provider_changes_7d_max: u32,
    /// Stable names that must use a name server for it to count as a provider's.
    pub popular_host_names: u32,
    /// Stable names that must use an operator domain for it to count as a provider.
    pub popular_operator_names: u32,
    /// How long a name must have kept its name servers to count as stable.
    pub popular_stable: Span,
    /// Names that must make the same move at one instant for it to count as a migration.
    pub shared_move_names: u32,
    /// How many shared moves excuse a name in 30 days.
    pub shared_moves_30d_max: u32,
    /// A name with more change instants in 30 days is not excused by a shared move.
    pub shared_move_changes_30d_max: u32,
}

impl Default for NameserverPolicy {
    fn default() -> Self {
        Self {
            changes_7d_min: 5.0,
            changes_3d_min: 3.0,
            stay_max: Span::hours(96),
            fresh_min: 3,
            networks_min: 4,
            prefixes_min: 10,
            operators_min: 4,
            score_min: 55.0,
            review_score_min: 45.0,
            review_changes_7d_min: 4.0,
            review_fresh_min: 3,
            review_networks_min: 3,
            review_prefixes_min: 7,
            review_operators_min: 3,
            review_slow_changes_7d_min: 10,
            review_fresh_names_min: 20,
            review_steps_7d_min: 20,
            provider_changes_7d_max: 10,
            popular_host_names: 20,
            popular_operator_names: 50,
            popular_stable: Span::days(30),
            shared_move_names: 10,
            shared_moves_30d_max: 2,
            shared_move_changes_30d_max: 4,
        }
    }
}

/// Thresholds of the address plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AddressPolicy {
    /// Distinct addresses (IPv6 by /48) in the window.
    pub addresses_min: u32,
    /// Autonomous systems in the window.
    pub networks_min: u32,
    /// Prefixes that stand in where there is no table of autonomous systems.
    pub prefixes_min: u32,
    /// Distinct prefixes divided by distinct addresses.
    pub prefix_ratio_min: f64,
    /// Weighted change instants in the window.
    pub changes_min: f64,
    /// Share of the added addresses that were never seen before.
    pub novelty_min: f64,
    /// Fresh addresses divided by the mean set size, in 24 hours.
    pub turnover_24h_min: f64,
    /// The same in 7 days.
    pub turnover_7d_min: f64,
    /// Mean time an address stayed.
    pub tenure_max: Span,
    /// Mean time an address stayed in 24 hours, above which a finding on the same networks is reviewed rather than reported.
    pub report_tenure_max: Span,
    /// Networks in 7 days below which a finding is reviewed rather than reported if all are hosting providers'.
    pub cloud_networks_min: u32,
    /// Addresses at a time, on average, from which a finding is reviewed rather than reported if some come back.
    pub peers_size_min: f64,
    /// Score from which an open gate is `report`.
    pub score_min: f64,
    /// Autonomous systems of the review rule.
    pub review_networks_min: u32,
    /// Prefixes of the review rule.
    pub review_prefixes_min: u32,
    /// Steps in 7 days that are reviewed where there are as many networks as the review rule asks for, however
    /// little is fresh.
    pub review_steps_7d_min: u32,
    /// Networks in 24 hours that are reviewed where addresses stay for at most 3 hours, however little is fresh.
    pub review_pool_networks_min: u32,
    /// Distinct addresses in 24 hours, at least three at a time, that are reviewed in however few networks, unless
    /// these are hosting providers'.
    pub review_crowd_24h_min: u32,
    /// Distinct addresses of one hosting network in 7 days, one or two at a time, that are reviewed.
    pub one_network_addresses_min: u32,
    /// Mean time such an address stayed.
    pub one_network_tenure_max: Span,
    /// Share of the addresses in published ranges of content networks and clouds from which a finding is
    /// reviewed rather than reported.
    pub shared_share_max: f64,
}

impl Default for AddressPolicy {
    fn default() -> Self {
        Self {
            addresses_min: 8,
            networks_min: 5,
            prefixes_min: 20,
            prefix_ratio_min: 0.33,
            changes_min: 3.0,
            novelty_min: 0.5,
            turnover_24h_min: 2.0,
            turnover_7d_min: 5.0,
            tenure_max: Span::hours(48),
            report_tenure_max: Span::hours(12),
            cloud_networks_min: 10,
            peers_size_min: 20.0,
            score_min: 60.0,
            review_networks_min: 4,
            review_prefixes_min: 12,
            review_steps_7d_min: 20,
            review_pool_networks_min: 12,
            review_crowd_24h_min: 72,
            one_network_addresses_min: 20,
            one_network_tenure_max: Span::hours(12),
            shared_share_max: 0.8,
        }
    }
}

/// Thresholds of the alias plane.
///
/// Steering among content networks goes to and fro between two to five known ones; a service that is tried brings a new
/// operator a day at most. A rotation brings one at almost every change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AliasPolicy {
    /// Weighted changes in 7 days that open the gate.
    pub changes_7d_min: f64,
    /// Operators of targets never seen before, in 7 days.
    pub fresh_min: u32,
    /// Operators of targets, in 7 days.
    pub operators_min: u32,
    /// Share of the changes to targets of operators that count which bring one never seen before.
    pub novelty_min: f64,
    /// Mean time a target stayed, and the longest after which its leaving is a step of a rotation.
    pub tenure_max: Span,
    /// How long the rotation must have gone on.
    pub lasting_min: Span,
    /// Score from which an open gate is `report`.
    pub score_min: f64,
    /// Weighted changes in 7 days of the review rule.
    pub review_changes_7d_min: f64,
    /// Operators never seen before of the review rule.
    pub review_fresh_min: u32,
    /// Operators of the review rule.
    pub review_operators_min: u32,
    /// Changes in 7 days that are reviewed among so many operators as
    /// [`review_steps_operators_min`](Self::review_steps_operators_min), however little is fresh.
    pub review_steps_7d_min: u32,
    /// Operators of that rule.
    pub review_steps_operators_min: u32,
    /// Operators from which changes are watched.
    pub watch_operators_min: u32,
    /// Domains of which stable names must lead to an operator for it to count as known.
    pub popular_operator_domains: u32,
    /// How many known operators of a week are not counted; where there are more, none is known.
    pub popular_operators_7d_max: u32,
}

impl Default for AliasPolicy {
    fn default() -> Self {
        Self {
            changes_7d_min: 12.0,
            fresh_min: 12,
            operators_min: 12,
            novelty_min: 0.5,
            tenure_max: Span::hours(48),
            lasting_min: Span::hours(24),
            score_min: 60.0,
            review_changes_7d_min: 6.0,
            review_fresh_min: 6,
            review_operators_min: 7,
            review_steps_7d_min: 20,
            review_steps_operators_min: 8,
            watch_operators_min: 4,
            popular_operator_domains: 20,
            popular_operators_7d_max: 6,
        }
    }
}
