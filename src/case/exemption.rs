//! Who is never reported, why, by whom, until when. Pure.
//!
//! A domain, a subtree or an account exempts the domain. Name servers, operators and addresses exempt a
//! finding only if all that rotates is theirs: flux that hides half of itself behind an exempt operator
//! is reported all the same.

use std::net::IpAddr;

use serde::Serialize;

use crate::detector::{Finding, Level, Plane, PlaneFinding};
use crate::dns::Name;
use crate::time::Timestamp;

/// What an exemption covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exempt {
    /// One domain.
    Domain(Name),
    /// A name and everything below it.
    Subtree(Name),
    /// A name server.
    Nameserver(Name),
    /// Every name server of an operator domain.
    Operator(Name),
    /// Addresses, first and last.
    Addresses(IpAddr, IpAddr),
    /// Domains of an account of the registrar's.
    Account(String),
}

impl Exempt {
    /// The kinds, as they are typed.
    pub const KINDS: [&'static str; 6] = [
        "domain",
        "subtree",
        "nameserver",
        "operator",
        "address",
        "account",
    ];

    /// Reads what an exemption covers; `addresses` reads an address or prefix.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub fn parse(
        kind: &str,
        value: &str,
        addresses: impl Fn(&str) -> Option<(IpAddr, IpAddr)>,
    ) -> Result<Self, String> {
        let name = || Name::parse_pasted(value).map_err(|fault| format!("{value:?}: {fault}"));
        Ok(match kind {
            "domain" => Self::Domain(name()?),
            "subtree" => Self::Subtree(name()?),
            "nameserver" => Self::Nameserver(name()?),
            "operator" => Self::Operator(name()?),
            "address" => {
                let (first, last) = addresses(value)
                    .ok_or_else(|| format!("{value:?} is neither an address nor a prefix"))?;
                Self::Addresses(first, last)
            }
            "account" if !value.trim().is_empty() => Self::Account(value.trim().to_owned()),
            "account" => return Err("an account has a name".to_owned()),
            _ => return Err(format!("{kind:?} is none of {}", Self::KINDS.join(", "))),
        })
    }

    /// Returns whether it covers a domain whatever is found of it: by its name or its account.
    pub fn is_of_domain(&self) -> bool {
        matches!(self, Self::Domain(_) | Self::Subtree(_) | Self::Account(_))
    }
}

/// An exemption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    /// Its number.
    pub id: i64,
    /// What it covers.
    pub covers: Exempt,
    /// Why.
    pub reason: String,
    /// By whom.
    pub author: String,
    /// Until when; `None`: until it is removed.
    pub until: Option<Timestamp>,
}

/// How far an exemption reaches into a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// It holds every mail about it.
    Whole,
    /// Only some of what rotates is exempt, so the case is told as ever.
    Part,
}

/// Returns the exemption by which nobody is told of a finding, the one with the lowest number.
pub fn exemption_of<'a>(
    exemptions: &'a [Exemption],
    finding: &Finding,
    account: Option<&str>,
    now: Timestamp,
) -> Option<&'a Exemption> {
    let in_force = |it: &&Exemption| it.until.is_none_or(|until| now < until);
    let live: Vec<&Exemption> = exemptions.iter().filter(in_force).collect();
    let of_domain = live
        .iter()
        .find(|it| covers_domain(&it.covers, &finding.domain, account));
    of_domain.copied().or_else(|| {
        let planes = finding.planes();
        let mut suspect = planes
            .filter(|plane| plane.level >= Some(Level::Review))
            .peekable();
        suspect.peek()?;
        let covered = suspect.map(|plane| covering(&live, plane));
        let covered: Option<Vec<&Exemption>> = covered.collect();
        covered?.into_iter().min_by_key(|it| it.id)
    })
}

/// Returns the exemption by which nobody is told of a domain whatever it does: by its name or its account.
pub fn exemption_of_domain<'a>(
    exemptions: &'a [Exemption],
    domain: &Name,
    account: Option<&str>,
    now: Timestamp,
) -> Option<&'a Exemption> {
    exemptions
        .iter()
        .filter(|it| it.until.is_none_or(|until| now < until))
        .find(|it| covers_domain(&it.covers, domain, account))
}

/// Returns how far one exemption alone reaches into a finding; `None`: not at all.
pub fn reach_of(exemption: &Exemption, finding: &Finding, account: Option<&str>) -> Option<Reach> {
    let alone = std::slice::from_ref(exemption);
    if exemption_of(alone, finding, account, finding.now).is_some() {
        return Some(Reach::Whole);
    }
    // Below review nobody is told anyway.
    let planes = finding.planes();
    let mut suspect = planes.filter(|plane| plane.level >= Some(Level::Review));
    suspect
        .any(|plane| {
            plane
                .names
                .iter()
                .any(|it| covers_host(&exemption.covers, &it.host, &it.operator))
                || plane
                    .addresses
                    .iter()
                    .any(|it| covers_address(&exemption.covers, it.address))
        })
        .then_some(Reach::Part)
}

/// Returns an exemption that, with the others, covers everything that rotates on a plane.
fn covering<'a>(live: &[&'a Exemption], plane: &PlaneFinding) -> Option<&'a Exemption> {
    let mut first: Option<&'a Exemption> = None;
    let mut note = |it: Option<&'a Exemption>| {
        let found = it?;
        first = Some(first.map_or(
            found,
            |known| if known.id <= found.id { known } else { found },
        ));
        Some(())
    };
    let of_address = |address: IpAddr| {
        live.iter()
            .find(|it| covers_address(&it.covers, address))
            .copied()
    };
    if plane.plane == Plane::Nameservers {
        // A name server is covered by its name, or by every address it had.
        for name in &plane.names {
            let by_name = live
                .iter()
                .find(|it| covers_host(&it.covers, &name.host, &name.operator))
                .copied();
            if by_name.is_some() {
                note(by_name)?;
                continue;
            }
            let mut its = plane
                .addresses
                .iter()
                .filter(|it| it.host == name.host)
                .peekable();
            its.peek()?;
            its.try_for_each(|it| note(of_address(it.address)))?;
        }
    } else if plane.plane == Plane::Aliases {
        // Of a target only its name is known.
        for name in &plane.names {
            let covers = |it: &&&Exemption| covers_host(&it.covers, &name.host, &name.operator);
            note(live.iter().find(covers).copied())?;
        }
    } else {
        plane
            .addresses
            .iter()
            .try_for_each(|it| note(of_address(it.address)))?;
    }
    first
}

/// Returns whether a domain is exempt whatever it does.
fn covers_domain(covers: &Exempt, domain: &Name, account: Option<&str>) -> bool {
    match covers {
        Exempt::Domain(name) => name == domain,
        Exempt::Subtree(name) => domain.is_at_or_below(name),
        Exempt::Account(name) => account == Some(name),
        Exempt::Nameserver(_) | Exempt::Operator(_) | Exempt::Addresses(..) => false,
    }
}

/// Returns whether a name server is exempt by its name.
fn covers_host(covers: &Exempt, host: &Name, operator: &Name) -> bool {
    match covers {
        Exempt::Nameserver(name) => name == host,
        // A part of an operator's domain may be named, such as one customer's.
        Exempt::Operator(name) => {
            name == operator || (host.is_at_or_below(name) && name.is_at_or_below(operator))
        }
        _ => false,
    }
}

/// Returns whether an address is exempt.
fn covers_address(covers: &Exempt, address: IpAddr) -> bool {
    match covers {
        Exempt::Addresses(first, last) => {
            first.is_ipv4() == address.is_ipv4() && *first <= address && address <= *last
        }
        _ => false,
    }
}
