//! Asks authoritative servers about single domains: the delegation at the parent, and the domain's own
//! records at its own servers. By hickory's client, one question at a time.
//!
//! The parent's servers are found through resolvers, or by walking down from root servers. Every query
//! to a name server has a port of its own, a random id and a random case in its name (hickory calls it
//! case randomization), and is repeated over TCP when the answer was cut, or did not come back as it was
//! asked: a server that does not keep the case is believed over TCP only. A server is asked so often a
//! second and no more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_net::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_net::proto::rr::{
    Name as HickoryName, RData, Record as HickoryRecord, RecordType as HickoryType,
};
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::{DnsHandle, FirstAnswer};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::dns::{Name, Rdata, Record};
use crate::source::rcode::rcode_name;
use crate::zone::Refusal;

/// The most servers of one side that are asked; of a set that is larger the first in order of addresses.
// Whoever owns the domain decides how many servers it lists, and each costs queries.
const SERVERS_MAX: usize = 8;
/// The most name-server names whose addresses are looked for.
// Each name may cost a walk of its own from the root.
const HOSTS_MAX: usize = 13;
/// The most cuts on the way down from the root.
// A name may have 127 labels, and its owner may delegate at each.
const CUTS_MAX: usize = 16;
/// How deep looking for the address of a name server may look for addresses of others.
// Name servers that lie below each other's domains lead round in a circle.
const DEPTH_MAX: usize = 6;
/// How many parents' servers, and addresses of name servers, are remembered within a pass.
// A list of domains may be long, and its domains name the servers.
const KNOWN_MAX: usize = 100_000;

/// How it is asked.
#[derive(Debug, Clone)]
pub struct ProbeSettings {
    /// Recursive resolvers; where there are none, the roots are asked.
    pub resolvers: Vec<SocketAddr>,
    /// Root servers.
    pub roots: Vec<SocketAddr>,
    /// The port of authoritative servers.
    pub port: u16,
    /// How long one answer may take.
    pub timeout: Duration,
    /// Queries a second to one server.
    pub server_rate: u32,
    /// Domains that are asked about at a time.
    pub domains_at_once: usize,
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTarget {
    /// The domain.
    pub domain: Name,
    /// Names at or below it whose addresses are asked for besides its own.
    pub names: Vec<Name>,
}

/// What one side said: the records of every owner that was asked for; empty where there are none.
pub type Sightings = BTreeMap<Name, BTreeSet<Record>>;

/// What was said about a domain.
#[derive(Debug)]
pub struct Probed {
    /// What was asked about.
    pub target: ProbeTarget,
    /// NS records at the parent, and the addresses that it gives for those at or below the domain.
    pub parent: Result<Sightings, Refusal>,
    /// NS records and addresses at the domain's own servers, all of them put together.
    pub child: Result<Sightings, Refusal>,
}

/// Asks about every target, several at a time, and gives each on as it is done. Ends early when nobody
/// listens any more.
pub async fn probe(settings: ProbeSettings, targets: Vec<ProbeTarget>, done: mpsc::Sender<Probed>) {
    let at_once = Arc::new(Semaphore::new(settings.domains_at_once));
    let prober = Arc::new(Prober {
        settings,
        pace: Mutex::default(),
        parents: Mutex::default(),
        hosts: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    for target in targets {
        let Ok(permit) = at_once.clone().acquire_owned().await else {
            return;
        };
        // Ended tasks keep their results until they are joined: a list of a million domains would keep a million.
        while tasks.try_join_next().is_some() {}
        let (prober, done) = (prober.clone(), done.clone());
        if done.is_closed() {
            return;
        }
        tasks.spawn(async move {
            let probed = prober.probe(target).await;
            // Nobody listens only when the program ends.
            let _ = done.send(probed).await;
            drop(permit);
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// A future in a box: looking for an address may have to look for another.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the tasks of one pass share.
struct Prober {
    settings: ProbeSettings,
    /// When each server may be asked next.
    pace: Mutex<HashMap<IpAddr, Instant>>,
    /// Servers of zones that domains are delegated from.
    parents: Mutex<HashMap<Name, Vec<SocketAddr>>>,
    /// Addresses of name servers.
    hosts: Mutex<HashMap<Name, Vec<SocketAddr>>>,
}

impl Prober {
    /// Asks about one domain.
    async fn probe(&self, target: ProbeTarget) -> Probed {
        let parent = self.ask_parent(&target.domain).await;
        let child = match &parent {
            Ok(seen) => self.ask_child(&target, seen).await,
            Err(refusal) => Err(refusal.clone()),
        };
        Probed {
            target,
            parent,
            child,
        }
    }

    /// Asks the parent's servers for the delegation.
    async fn ask_parent(&self, domain: &Name) -> Result<Sightings, Refusal> {
        let servers = self.find_parent(domain).await?;
        let mut seen = Sightings::from([(domain.clone(), BTreeSet::new())]);
        let mut refusal = no_server(domain);
        let mut is_answered = false;
        for server in servers {
            match self.ask(server, domain, HickoryType::NS, false).await {
                Ok(answer) => {
                    is_answered = true;
                    // A parent refers in the authority section; one that serves the child zone too answers with
                    // authority.
                    let ns = [&answer.answers, &answer.authorities];
                    take(&mut seen, ns.into_iter().flatten(), |owner| owner == domain);
                    let hosts = hosts_of(&seen, domain);
                    let is_glue =
                        |owner: &Name| owner.is_at_or_below(domain) && hosts.contains(owner);
                    take(&mut seen, answer.additionals.iter(), is_glue);
                }
                Err(fault) => refusal = fault,
            }
        }
        if is_answered { Ok(seen) } else { Err(refusal) }
    }

    /// Asks the domain's own servers.
    async fn ask_child(
        &self,
        target: &ProbeTarget,
        parent: &Sightings,
    ) -> Result<Sightings, Refusal> {
        let mut servers = BTreeSet::new();
        let mut refusal = no_server(&target.domain);
        let hosts = hosts_of(parent, &target.domain);
        if hosts.is_empty() {
            // Not delegated: there is nobody to ask, and nothing to be seen.
            return Ok(Sightings::from([(target.domain.clone(), BTreeSet::new())]));
        }
        for host in hosts.iter().take(HOSTS_MAX) {
            let glue = parent.get(host).into_iter().flatten();
            let glue: Vec<IpAddr> = glue.filter_map(|rr| rr.rdata.address()).collect();
            if glue.is_empty() {
                match self.find_host(host, 0).await {
                    Ok(found) => servers.extend(found),
                    Err(fault) => refusal = fault,
                }
            } else {
                servers.extend(
                    glue.into_iter()
                        .map(|it| SocketAddr::new(it, self.settings.port)),
                )
            }
        }
        let mut names: BTreeSet<&Name> = target.names.iter().collect();
        names.insert(&target.domain);
        let mut seen: Sightings = names
            .iter()
            .map(|name| ((*name).clone(), BTreeSet::new()))
            .collect();
        let mut is_answered = false;
        // All of them and not the first that answers: servers that disagree are what fast flux looks like from
        // outside.
        for server in servers.into_iter().take(SERVERS_MAX) {
            match self.ask_server(server, &target.domain, &names).await {
                Ok(of_server) => {
                    is_answered = true;
                    for (owner, records) in of_server {
                        seen.entry(owner).or_default().extend(records);
                    }
                }
                Err(fault) => refusal = fault,
            }
        }
        if is_answered { Ok(seen) } else { Err(refusal) }
    }

    /// Asks one server of a domain everything; it must answer all of it with authority.
    async fn ask_server(
        &self,
        server: SocketAddr,
        domain: &Name,
        names: &BTreeSet<&Name>,
    ) -> Result<Sightings, Refusal> {
        let mut seen = Sightings::new();
        let addresses = names
            .iter()
            .flat_map(|name| [(*name, HickoryType::A), (*name, HickoryType::AAAA)]);
        for (name, rtype) in [(domain, HickoryType::NS)].into_iter().chain(addresses) {
            let answer = self.ask(server, name, rtype, false).await?;
            // A resolver in the place of a server would give what it cached, without saying how old it is.
            if !answer.metadata.authoritative {
                return Err(Refusal::Malformed(format!(
                    "{server} has no authority for {name}"
                )));
            }
            take(&mut seen, answer.answers.iter(), |owner| owner == name);
        }
        Ok(seen)
    }

    /// Returns the servers of the zone that a domain is delegated from.
    async fn find_parent(&self, domain: &Name) -> Result<Vec<SocketAddr>, Refusal> {
        let Some(above) = domain.parent() else {
            return Err(Refusal::Malformed(
                "the root zone has no parent to ask; take it out of the list of domains".to_owned(),
            ));
        };
        if let Some(known) = look(&self.parents, &above) {
            return Ok(known);
        }
        let servers = if self.settings.resolvers.is_empty() {
            self.walk(domain, HickoryType::NS, 0).await?.servers
        } else {
            self.find_parent_by_resolver(&above).await?
        };
        if servers.is_empty() {
            return Err(no_server(&above));
        }
        remember(&self.parents, above, &servers);
        Ok(servers)
    }

    /// Asks resolvers for the nearest zone at or above a name.
    async fn find_parent_by_resolver(&self, above: &Name) -> Result<Vec<SocketAddr>, Refusal> {
        let mut name = Some(above.clone());
        while let Some(zone) = name {
            let answer = self.resolve(&zone, HickoryType::NS).await?;
            let mut seen = Sightings::new();
            take(&mut seen, answer.answers.iter(), |owner| *owner == zone);
            let hosts = hosts_of(&seen, &zone);
            let mut servers = BTreeSet::new();
            for host in hosts.iter().take(HOSTS_MAX) {
                // One of them that has no address does not matter while another has.
                servers.extend(self.find_host(host, 0).await.unwrap_or_default());
            }
            if !servers.is_empty() {
                return Ok(servers.into_iter().take(SERVERS_MAX).collect());
            }
            name = zone.parent();
        }
        Err(no_server(above))
    }

    /// Returns the addresses of a name server.
    fn find_host<'a>(
        &'a self,
        host: &'a Name,
        depth: usize,
    ) -> Boxed<'a, Result<Vec<SocketAddr>, Refusal>> {
        Box::pin(async move {
            if let Some(known) = look(&self.hosts, host) {
                return Ok(known);
            }
            if depth > DEPTH_MAX {
                return Err(Refusal::Limit(format!(
                    "name servers of name servers of {host}, more than {DEPTH_MAX} deep"
                )));
            }
            let mut addresses = BTreeSet::new();
            for rtype in [HickoryType::A, HickoryType::AAAA] {
                let answers = if self.settings.resolvers.is_empty() {
                    self.walk(host, rtype, depth).await?.answers
                } else {
                    self.resolve(host, rtype).await?.answers.clone()
                };
                for record in &answers {
                    addresses.extend(match &record.data {
                        RData::A(address) => Some(IpAddr::V4(address.0)),
                        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                        _ => None,
                    });
                }
            }
            let port = self.settings.port;
            let found: Vec<SocketAddr> = addresses
                .into_iter()
                .map(|it| SocketAddr::new(it, port))
                .collect();
            remember(&self.hosts, host.clone(), &found);
            Ok(found)
        })
    }

    /// Asks resolvers, the next one where one fails.
    async fn resolve(&self, name: &Name, rtype: HickoryType) -> Result<DnsResponse, Refusal> {
        let mut refusal = no_server(name);
        for resolver in &self.settings.resolvers {
            match self.ask(*resolver, name, rtype, true).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => refusal = fault,
            }
        }
        Err(refusal)
    }

    /// Walks from the roots down to the servers that answer for a name with authority, or, asked for NS
    /// records, to those that delegate it.
    async fn walk(&self, name: &Name, rtype: HickoryType, depth: usize) -> Result<Walked, Refusal> {
        let mut servers = self.settings.roots.clone();
        let mut zone = Name::root();
        // Each turn goes at least one label down, but a name may have 127 and each cut costs queries.
        for _ in 0..CUTS_MAX {
            let (answer, _) = self.ask_any(&servers, name, rtype).await?;
            let mut seen = Sightings::new();
            let is_cut = |owner: &Name| owner.is_below(&zone) && name.is_at_or_below(owner);
            take(&mut seen, answer.authorities.iter(), is_cut);
            let cut = seen
                .iter()
                .find(|(_, records)| records.iter().any(|rr| matches!(rr.rdata, Rdata::Ns(_))));
            let Some(cut) = cut
                .map(|(owner, _)| owner.clone())
                .filter(|_| !answer.metadata.authoritative)
            else {
                return Ok(Walked {
                    servers,
                    answers: answer.answers.clone(),
                });
            };
            // The parent's servers are wanted, not the child's.
            if cut == *name && rtype == HickoryType::NS {
                return Ok(Walked {
                    servers,
                    answers: Vec::new(),
                });
            }
            let hosts = hosts_of(&seen, &cut);
            // Only what lies in the zone that was asked is its to say.
            let is_glue = |owner: &Name| hosts.contains(owner) && owner.is_at_or_below(&zone);
            let mut glue = Sightings::new();
            take(&mut glue, answer.additionals.iter(), is_glue);
            let addresses = glue.values().flatten().filter_map(|rr| rr.rdata.address());
            let mut next: BTreeSet<SocketAddr> = addresses
                .map(|it| SocketAddr::new(it, self.settings.port))
                .collect();
            for host in hosts.iter().take(HOSTS_MAX) {
                if next.is_empty() && !host.is_at_or_below(&cut) {
                    next.extend(self.find_host(host, depth + 1).await.unwrap_or_default());
                }
            }
            if next.is_empty() {
                return Err(no_server(&cut));
            }
            servers = next.into_iter().take(SERVERS_MAX).collect();
            zone = cut;
        }
        Err(Refusal::Limit(format!(
            "more than {CUTS_MAX} delegations on the way to {name}"
        )))
    }

    /// Asks servers in turn until one answers.
    async fn ask_any(
        &self,
        servers: &[SocketAddr],
        name: &Name,
        rtype: HickoryType,
    ) -> Result<(DnsResponse, SocketAddr), Refusal> {
        let mut refusal = no_server(name);
        for server in servers {
            match self.ask(*server, name, rtype, false).await {
                Ok(answer) => return Ok((answer, *server)),
                Err(fault) => refusal = fault,
            }
        }
        Err(refusal)
    }

    /// Asks one server one question, when its turn has come.
    async fn ask(
        &self,
        server: SocketAddr,
        name: &Name,
        rtype: HickoryType,
        recursion_desired: bool,
    ) -> Result<DnsResponse, Refusal> {
        let labels = name.labels();
        let hickory = HickoryName::from_labels(labels)
            .map_err(|fault| Refusal::Malformed(format!("{name}: {fault}")))?;
        let mut options = DnsRequestOptions::default();
        options.recursion_desired = recursion_desired;
        // With the random id and port, one more thing that a forger off the path has to guess.
        options.case_randomization = true;
        let timeout = self.settings.timeout;
        self.wait_for_turn(server.ip()).await;
        let provider = TokioRuntimeProvider::new();
        let udp = UdpClientStream::builder(server, provider.clone())
            .with_timeout(Some(timeout))
            .exchange();
        let asked = tokio::time::timeout(
            timeout,
            udp.lookup(Query::query(hickory.clone(), rtype), options)
                .first_answer(),
        );
        match asked.await {
            Ok(Ok(answer)) if !answer.metadata.truncation => return check(server, name, answer),
            // Nobody is there, or it takes too long: TCP would only take longer.
            Err(_) => {
                return Err(Refusal::Timeout(format!(
                    "{server} did not answer about {name} within {} ms",
                    timeout.as_millis()
                )));
            }
            // A cut answer, or one that does not repeat the case: TCP settles it.
            Ok(_) => {}
        }
        self.wait_for_turn(server.ip()).await;
        let fault = |what: String| Refusal::Unreachable(format!("{server} about {name}: {what}"));
        let over_tcp = async {
            let tcp = TcpClientStream::exchange(server, None, timeout, None, provider)
                .await
                .map_err(|error| fault(error.to_string()))?;
            // Nobody forges an answer over TCP from beside the path, so that the case proves nothing more.
            options.case_randomization = false;
            let asked = tcp
                .lookup(Query::query(hickory, rtype), options)
                .first_answer();
            asked.await.map_err(|error| fault(error.to_string()))
        };
        match tokio::time::timeout(timeout, over_tcp).await {
            Ok(answer) => check(server, name, answer?),
            Err(_) => Err(Refusal::Timeout(format!(
                "{server} did not answer about {name} over TCP within {} ms",
                timeout.as_millis()
            ))),
        }
    }

    /// Waits until a server may be asked again.
    async fn wait_for_turn(&self, server: IpAddr) {
        let every = Duration::from_secs(1) / self.settings.server_rate.max(1);
        let turn = {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if pace.len() >= KNOWN_MAX {
                pace.retain(|_, turn| *turn > now);
            }
            let turn = pace.get(&server).copied().unwrap_or(now).max(now);
            pace.insert(server, turn + every);
            turn
        };
        sleep_until(turn).await;
    }
}

/// Where a walk ended.
struct Walked {
    servers: Vec<SocketAddr>,
    answers: Vec<HickoryRecord>,
}

/// Refuses an answer that is an error. That a name does not exist is an answer.
fn check(server: SocketAddr, name: &Name, answer: DnsResponse) -> Result<DnsResponse, Refusal> {
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer),
        code => {
            let code = rcode_name(code.low());
            Err(Refusal::ProbeRcode(format!(
                "{code} from {server} about {name}"
            )))
        }
    }
}

/// Adds the kept records of some owners.
fn take<'a>(
    seen: &mut Sightings,
    records: impl Iterator<Item = &'a HickoryRecord>,
    is_wanted: impl Fn(&Name) -> bool,
) {
    for record in records {
        let Ok(owner) = name_of(&record.name) else {
            continue;
        };
        let rdata = match &record.data {
            RData::A(address) => Rdata::A(address.0),
            RData::AAAA(address) => Rdata::Aaaa(address.0),
            RData::NS(host) => match name_of(&host.0) {
                Ok(host) => Rdata::Ns(host),
                Err(_) => continue,
            },
            RData::CNAME(target) => match name_of(&target.0) {
                Ok(target) => Rdata::Cname(target),
                Err(_) => continue,
            },
            _ => continue,
        };
        if is_wanted(&owner) {
            let ttl = record.ttl;
            seen.entry(owner).or_default().insert(Record { rdata, ttl });
        }
    }
}

/// Returns a name of hickory's as ours.
fn name_of(name: &HickoryName) -> Result<Name, crate::dns::NameError> {
    let mut wire = Vec::with_capacity(name.len() + 1);
    for label in name.iter() {
        wire.push(label.len() as u8);
        wire.extend(label.to_ascii_lowercase());
    }
    wire.push(0);
    Name::from_wire(&wire)
}

/// Returns the name servers that were seen for an owner.
fn hosts_of(seen: &Sightings, owner: &Name) -> BTreeSet<Name> {
    let records = seen.get(owner).into_iter().flatten();
    let host = |record: &Record| match &record.rdata {
        Rdata::Ns(host) => Some(host.clone()),
        _ => None,
    };
    records.filter_map(host).collect()
}

/// Returns that there was nobody to ask.
fn no_server(name: &Name) -> Refusal {
    Refusal::Unreachable(format!("no name server of {name} has an address"))
}

/// Returns what is remembered of a name.
fn look(known: &Mutex<HashMap<Name, Vec<SocketAddr>>>, name: &Name) -> Option<Vec<SocketAddr>> {
    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.get(name).cloned()
}

/// Remembers servers for the rest of the pass.
fn remember(known: &Mutex<HashMap<Name, Vec<SocketAddr>>>, name: Name, servers: &[SocketAddr]) {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() < KNOWN_MAX {
        known.insert(name, servers.to_vec());
    }
}
