//! Registrable domains by the Public Suffix List (its rule `*` for top-level domains it lacks).

use psl::Psl;

use crate::dns::Name;

/// The list that this program has: what operators were told by. `Cargo.toml` pins it.
pub const SUFFIX_LIST: &str = "psl 2.1.247";

/// Returns how many labels the public suffix of a name has, and the list's part that it is of.
fn suffix(name: &Name) -> (usize, Option<psl::Type>) {
    let labels: Vec<&[u8]> = name.labels().collect();
    let found = psl::List.find(labels.iter().rev().copied());
    // Its length is that of the labels with a dot between each two.
    let (mut length, mut count) = (0, 0);
    for label in labels.iter().rev() {
        if length >= found.len {
            break;
        }
        length += label.len() + usize::from(count > 0);
        count += 1;
    }
    (count, found.typ)
}

/// Returns the registrable domain of a name; `None` for a public suffix and the root.
fn registrable(name: &Name) -> Option<Name> {
    match suffix(name) {
        (0, _) => None,
        (count, _) => name.last_labels(count + 1),
    }
}

/// Returns the operator domain of a name server: its registrable domain, or itself.
pub fn operator_domain(host: &Name) -> Name {
    registrable(host).unwrap_or_else(|| host.clone())
}

/// Returns the registrable domain of the service that lets others have names below its own and below which a name
/// lies: that of `d1.cdn.example` where `cdn.example` is in the list's private part is `cdn.example`. `None` for a name
/// below no such service.
pub fn shared_service(name: &Name) -> Option<Name> {
    let (mut count, mut of) = suffix(name);
    if of != Some(psl::Type::Private) {
        return None;
    }
    // What encloses the service's suffixes is a registry's.
    while of == Some(psl::Type::Private) && count > 1 {
        let above = name.last_labels(count - 1)?;
        (count, of) = suffix(&above);
    }
    name.last_labels(count + 1)
}

/// Returns whether a name lies under a suffix of the list's private part: that of a service which lets
/// others have names below its own, such as dynamic DNS.
pub fn is_under_private_suffix(name: &Name) -> bool {
    suffix(name).1 == Some(psl::Type::Private)
}

/// Returns the domain that a case about `owner` in the zone `apex` is about.
///
/// A hosted zone is one domain, its apex. Where the apex is a public suffix (a dynamic DNS service,
/// say), each registrable domain below it is another customer's.
pub fn case_domain(apex: &Name, owner: &Name) -> Name {
    match registrable(owner) {
        Some(domain) if domain.is_below(apex) => domain,
        _ => apex.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_the_one_that_is_compiled_in() {
        let lock = include_str!("../../Cargo.lock")
            .replace("name = \"", "")
            .replace("\"\nversion = \"", " ");
        assert!(lock.contains(&format!("\n{SUFFIX_LIST}\"\n")));
    }

    #[test]
    fn names_below_a_service_are_of_the_service() {
        let service = |text: &str| {
            let name = Name::parse(text).expect("valid");
            shared_service(&name).map(|it| it.to_string())
        };
        assert_eq!(
            service("d111.cloudfront.net").as_deref(),
            Some("cloudfront.net.")
        );
        assert_eq!(
            service("build-7.team.netlify.app").as_deref(),
            Some("netlify.app.")
        );
        assert_eq!(
            service("x.elb.us-east-1.amazonaws.com").as_deref(),
            Some("amazonaws.com.")
        );
        assert_eq!(service("bot1.duckdns.org").as_deref(), Some("duckdns.org."));
        assert_eq!(service("www.example.co.uk"), None);
        assert_eq!(service("edge.bad.test"), None);
        assert_eq!(service("."), None);
    }

    #[test]
    fn operators_are_registrable_domains() {
        let operator = |text: &str| operator_domain(&Name::parse(text).expect("valid")).to_string();
        assert_eq!(operator("ns1.dns.provider.co.uk"), "provider.co.uk.");
        assert_eq!(operator("ns1.provider.example"), "provider.example.");
        assert_eq!(operator("com"), "com.");
        assert_eq!(
            operator("ns1.customer.blogspot.com"),
            "customer.blogspot.com."
        );
        assert_eq!(operator("ns1.city.kawasaki.jp"), "city.kawasaki.jp.");
        assert_eq!(operator("ns1.xn--55qx5d.cn"), "ns1.xn--55qx5d.cn.");
        assert_eq!(operator("."), ".");
        assert_eq!(
            operator(r"ns1.pro\.vider.example"),
            r"pro\046vider.example."
        );
        assert_eq!(operator(r"ns\.1.provider.example"), "provider.example.");
    }

    #[test]
    fn a_hosted_zone_is_one_domain_and_a_suffix_is_many() {
        let domain = |apex: &str, owner: &str| {
            case_domain(
                &Name::parse(apex).expect("valid"),
                &Name::parse(owner).expect("valid"),
            )
            .to_string()
        };
        assert_eq!(domain("bad.example", "www.bad.example"), "bad.example.");
        assert_eq!(
            domain("sub.bad.example", "www.sub.bad.example"),
            "sub.bad.example."
        );
        assert_eq!(
            domain("duckdns.org", "a.customer.duckdns.org"),
            "customer.duckdns.org."
        );
    }
}
