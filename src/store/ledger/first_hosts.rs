//! The name servers of a zone's first version: their rows are made before any record that names one, in the order of their
//! names, and their users are counted by number.

use std::collections::HashMap;

use crate::dns::{Name, operator_domain, push_relative_key};
use crate::store::caches::HostRow;
use crate::store::door::ValueRef;
use crate::store::error::StoreError;
use crate::store::ledger::Ledger;
use crate::store::ledger::names::HOSTS;
use crate::store::ledger::tally::{HostKey, POPULARITY, SINCE_WATCHING};
use crate::zone::HostNames;

/// How many name servers are looked up and written together.
const HOSTS_AT_ONCE: usize = 4_096;
/// Says that a name server has no operator's domain, since no owner elsewhere uses it.
const NO_OPERATOR: u32 = u32::MAX;

/// The name servers of a first version, by their numbers.
pub(in crate::store) struct FirstHosts {
    /// Their rows.
    rows: Vec<i64>,
    /// The numbers of their operators' domains.
    operators: Vec<u32>,
    /// How many owners use each, or each as an operator's domain.
    users: Vec<[u32; 2]>,
    /// The operators' domains of the owner that is being counted.
    owner_operators: Vec<u32>,
}

/// A name and what it is sorted by: the octets of its key behind what many keys begin with.
type Sorted = (u128, u32);

impl FirstHosts {
    /// Returns the row of a name server.
    pub fn row(&self, number: u32) -> i64 {
        self.rows[number as usize]
    }

    /// Returns the rows of a name server that is used elsewhere and of its operator's domain.
    pub fn key(&self, number: u32) -> HostKey {
        HostKey {
            id: self.row(number),
            operator_id: self.row(self.operators[number as usize]),
        }
    }

    /// Counts an owner as a user of a name server that is not at or below it.
    pub fn count_host(&mut self, number: u32) {
        self.users[number as usize][0] += 1;
        let operator = self.operators[number as usize];
        if !self.owner_operators.contains(&operator) {
            self.owner_operators.push(operator);
        }
    }

    /// Ends the count of an owner: it uses each of its operators once.
    pub fn end_owner(&mut self) {
        for operator in self.owner_operators.drain(..) {
            self.users[operator as usize][1] += 1;
        }
    }

    /// Returns the rows of the table of users: who is used, by how many, in the order of the table.
    fn counts(&self) -> Vec<(i64, u32)> {
        let mut counts = Vec::new();
        for (row, [of_host, of_operator]) in self.rows.iter().zip(&self.users) {
            if *of_host > 0 {
                counts.push((*row, *of_host));
            }
            if *of_operator > 0 {
                counts.push((-row, *of_operator));
            }
        }
        counts.sort_unstable();
        counts
    }
}

impl Ledger<'_> {
    /// Makes the rows of the name servers of a first version of the zone `apex`, and of their operators' domains, which get
    /// numbers of their own.
    pub(in crate::store) fn number_hosts(
        &self,
        names: &mut HostNames,
        apex: &Name,
    ) -> Result<FirstHosts, StoreError> {
        let key = &self.store.key;
        let mut operators = vec![NO_OPERATOR; names.len()];
        for (number, operator) in (0..).zip(&mut operators) {
            if names.is_used(number) {
                let host = Name::from_wire(names.name(number));
                let host = host.map_err(|fault| self.store.damaged(fault.to_string()))?;
                *operator = names.number_any(key, operator_domain(&host).as_wire());
            }
        }
        operators.resize(names.len(), NO_OPERATOR);
        let mut hosts = FirstHosts {
            rows: vec![0; names.len()],
            users: vec![[0; 2]; names.len()],
            operators,
            owner_operators: Vec::new(),
        };
        let order = sort_hosts(names, apex);
        let known = self.choose_rows(names, &mut hosts, &order)?;
        for numbers in order.chunks(HOSTS_AT_ONCE) {
            self.write_first_hosts(names, &hosts, &known, numbers)?;
        }
        Ok(hosts)
    }

    /// Gives each name server the row that it has, or the next new one in this order. Returns those that have rows, each with
    /// that of its operator's domain.
    fn choose_rows(
        &self,
        names: &HostNames,
        hosts: &mut FirstHosts,
        order: &[u32],
    ) -> Result<HashMap<u32, Option<i64>>, StoreError> {
        let mut known: HashMap<u32, Option<i64>> = HashMap::new();
        let mut newest = None;
        for numbers in order.chunks(HOSTS_AT_ONCE) {
            let mut there: HashMap<u32, HostRow> = HashMap::new();
            for number in numbers {
                let row = self.known_host(names.name(*number));
                there.extend(row.map(|row| (*number, row)));
            }
            let unknown = numbers.iter().filter(|it| !there.contains_key(it));
            let unknown: Vec<u32> = unknown.copied().collect();
            if !unknown.is_empty() {
                let before = match newest {
                    Some(newest) => newest,
                    None => self.newest_host()?,
                };
                // In an empty database nothing is there to be found.
                if before > 0 {
                    there.extend(self.first_rows_of(names, &unknown)?);
                }
                newest = Some(before);
            }
            for number in numbers {
                hosts.rows[*number as usize] = match there.get(number) {
                    Some(row) => {
                        known.insert(*number, row.operator_id);
                        row.id
                    }
                    None => {
                        let new = newest.map_or(1, |newest| newest + 1);
                        newest = Some(new);
                        new
                    }
                };
            }
        }
        Ok(known)
    }

    /// Writes the rows of those name servers that have none, and the operators of those that had none.
    fn write_first_hosts(
        &self,
        names: &HostNames,
        hosts: &FirstHosts,
        known: &HashMap<u32, Option<i64>>,
        numbers: &[u32],
    ) -> Result<(), StoreError> {
        let (mut new, mut told) = (Vec::new(), Vec::new());
        for number in numbers {
            let row = hosts.row(*number);
            let operator = match hosts.operators[*number as usize] {
                NO_OPERATOR => None,
                operator => Some(hosts.row(operator)),
            };
            match (known.get(number), operator) {
                (None, _) => new.push((row, key_of(names, *number), operator)),
                (Some(None), Some(operator)) => told.extend([operator, row].map(ValueRef::Integer)),
                (Some(_), _) => {}
            }
        }
        let mut values = Vec::with_capacity(new.len() * HOSTS.columns.len());
        for (row, key, operator) in &new {
            let operator = operator.map_or(ValueRef::Null, ValueRef::Integer);
            values.extend([ValueRef::Integer(*row), ValueRef::Text(key), operator]);
        }
        self.store.run(|db| {
            db.insert_rows(&HOSTS, &values)?;
            db.update_rows("host", "operator_id", &["id"], &told)
        })?;
        // Of a small version the next one may name the same.
        if hosts.rows.len() <= HOSTS_AT_ONCE {
            for number in numbers {
                let operator = match hosts.operators[*number as usize] {
                    NO_OPERATOR => known.get(number).copied().flatten(),
                    operator => Some(hosts.row(operator)),
                };
                self.know_host(names.name(*number), hosts.row(*number), operator);
            }
        }
        Ok(())
    }

    /// Returns the rows of those name servers that are there, by their numbers.
    fn first_rows_of(
        &self,
        names: &HostNames,
        numbers: &[u32],
    ) -> Result<HashMap<u32, HostRow>, StoreError> {
        let keys: Vec<String> = numbers.iter().map(|it| key_of(names, *it)).collect();
        let rows = self.host_rows_of_keys(keys.clone())?;
        let row = |(number, key): (&u32, &String)| Some((*number, *rows.get(key)?));
        Ok(numbers.iter().zip(&keys).filter_map(row).collect())
    }

    /// Writes who uses the name servers of a first version.
    pub(in crate::store) fn write_first_users(&self, hosts: &FirstHosts) -> Result<(), StoreError> {
        let counts = hosts.counts();
        for counts in counts.chunks(HOSTS_AT_ONCE) {
            let values: Vec<ValueRef<'_>> = counts
                .iter()
                .flat_map(|(user_of, count)| [*user_of, SINCE_WATCHING, i64::from(*count)])
                .map(ValueRef::Integer)
                .collect();
            self.store.run(|db| db.add_counts(&POPULARITY, &values))?;
        }
        Ok(())
    }
}

/// Returns a name server's key.
fn key_of(names: &HostNames, number: u32) -> String {
    let mut key = String::new();
    push_relative_key(names.name(number), &[0], &mut key);
    key
}

/// Returns the numbers of name servers in nearly the order of their keys: first those that are not in the zone, then those
/// that are, by the octets behind its own key. Keys that have sixteen octets in common may stand in any order: what counts is
/// that rows beside each other are written after each other.
fn sort_hosts(names: &HostNames, apex: &Name) -> Vec<u32> {
    let mut apex_key = String::new();
    push_relative_key(apex.as_wire(), &[0], &mut apex_key);
    let (mut elsewhere, mut within): (Vec<Sorted>, Vec<Sorted>) = (Vec::new(), Vec::new());
    let mut key = String::new();
    for number in 0..names.len() as u32 {
        key.clear();
        push_relative_key(names.name(number), &[0], &mut key);
        match key.strip_prefix(apex_key.as_str()) {
            Some(rest) if !apex_key.is_empty() => within.push((first_octets(rest), number)),
            _ => elsewhere.push((first_octets(&key), number)),
        }
    }
    elsewhere.sort_unstable();
    within.sort_unstable();
    let sorted = elsewhere.into_iter().chain(within);
    sorted.map(|(_, number)| number).collect()
}

/// Returns the first sixteen octets of a key as a number of the same order.
fn first_octets(key: &str) -> u128 {
    let mut first = [0; 16];
    let length = key.len().min(first.len());
    first[..length].copy_from_slice(&key.as_bytes()[..length]);
    u128::from_be_bytes(first)
}
