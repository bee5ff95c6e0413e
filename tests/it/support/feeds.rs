//! Stories as lines of a feed.

use crate::scenarios::stories::{Story, What};
use std::fmt::Write as _;

/// Tells a story as a feed of the whole program: the parent zone, and the domain's own where it has addresses.
pub fn as_feed(story: &Story) -> String {
    const EPOCH: i64 = 1_790_000_000;
    let domain = story.domain.to_string();
    let mut text = String::new();
    let mut line = |at: i64, zone: &str, name: &str, rrtype: &str, rdata: &[String]| {
        let line = serde_json::json!({"at": EPOCH + at, "zone": zone, "rrname": name, "rrtype": rrtype, "op": "set", "ttl": 300, "rdata": rdata});
        writeln!(text, "{line}").expect("text grows");
    };
    let before = story.before.iter().map(|what| (-60 * 86_400, what));
    for (at, what) in before.chain(story.events.iter().map(|(at, what)| (*at, what))) {
        match what {
            What::Ns(set, _) => {
                let set: Vec<String> = set.iter().map(ToString::to_string).collect();
                line(at, "example.", &domain, "NS", &set);
            }
            What::Glue(host, set) => {
                let set: Vec<String> = set.iter().map(ToString::to_string).collect();
                line(at, "example.", &host.to_string(), "A", &set);
            }
            What::Address(owner, set) => {
                let set: Vec<String> = set.iter().map(ToString::to_string).collect();
                line(at, &domain, &owner.to_string(), "A", &set);
            }
            What::Alias(owner, target) => {
                let target: Vec<String> = target.iter().map(ToString::to_string).collect();
                line(at, &domain, &owner.to_string(), "CNAME", &target);
            }
            What::Registered => {}
        }
    }
    text
}
