//! How a statement is sent, and with which settings: those of a session, or, where a pooler gives each transaction another
//! one, of each transaction.

use std::sync::Arc;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, Statement};

use crate::place::ServerUrl;
use crate::store::postgres::session::SETTINGS;
use crate::store::value::Fault;

/// How a statement is sent.
#[derive(Clone)]
pub(super) enum Plan {
    /// The session has it prepared.
    Prepared(Statement),
    /// It is sent whole each time; its parameters have these types.
    Whole(Arc<[Type]>),
}

impl Plan {
    /// Returns the types of its parameters.
    pub(super) fn parameters(&self) -> &[Type] {
        match self {
            Self::Prepared(statement) => statement.params(),
            Self::Whole(types) => types,
        }
    }

    /// Asks it.
    pub(super) async fn query(
        &self,
        client: &Client,
        sql: &str,
        sent: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        match self {
            Self::Prepared(statement) => client.query(statement, sent).await,
            Self::Whole(types) => client.query_typed(sql, &typed(types, sent)).await,
        }
    }

    /// Runs it. Returns how many rows it changed.
    pub(super) async fn execute(
        &self,
        client: &Client,
        sql: &str,
        sent: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        match self {
            Self::Prepared(statement) => client.execute(statement, sent).await,
            Self::Whole(types) => client.execute_typed(sql, &typed(types, sent)).await,
        }
    }
}

/// Returns parameters with their types.
pub(super) fn typed<'s>(
    types: &[Type],
    sent: &[&'s (dyn ToSql + Sync)],
) -> Vec<(&'s (dyn ToSql + Sync), Type)> {
    sent.iter().copied().zip(types.iter().cloned()).collect()
}

/// Returns what each transaction begins with, in SQL: the settings that a session has otherwise. `None` without a pooler
/// that gives each transaction another one.
pub(super) fn settings_of_transactions(server: &ServerUrl) -> Option<Box<str>> {
    let own = SETTINGS.iter().copied();
    let named = server.pooled()?.iter();
    let all = own.chain(named.map(|(name, value)| (name.as_str(), value.as_str())));
    let set = all.map(|(name, value)| {
        let [name, value] = [name, value].map(|text| text.replace('\'', "''"));
        format!("set_config('{name}', '{value}', true)")
    });
    let set: Vec<String> = set.collect();
    Some(format!("select {}", set.join(", ")).into())
}

/// Reads the numbers of types, as `{20,25}`.
pub(super) fn read_types(oids: &str) -> Result<Arc<[Type]>, Fault> {
    let oids = oids.trim_matches(['{', '}']);
    let read = |oid: &str| {
        let found = oid.parse().ok().and_then(Type::from_oid);
        found.ok_or_else(|| Fault::other(format!("a value of the type {oid}, which is not known")))
    };
    oids.split(',')
        .filter(|oid| !oid.is_empty())
        .map(read)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_begin_a_transaction_with_those_of_the_url() {
        let url = "postgres://a@127.0.0.1/b?pool_mode=transaction&options=-csearch_path%3Do'ne";
        let server = ServerUrl::parse(url, "cache".into()).expect("sound");
        let settings = settings_of_transactions(&server).expect("it is pooled");
        assert!(settings.starts_with("select set_config('jit', 'off', true)"));
        assert!(settings.ends_with(", set_config('search_path', 'o''ne', true)"));
        let plain = ServerUrl::parse("postgres://a@127.0.0.1/b", "cache".into()).expect("sound");
        assert_eq!(settings_of_transactions(&plain), None);
    }

    #[test]
    fn types_are_read_as_a_server_tells_them() {
        assert_eq!(
            *read_types("{20,25}").expect("sound"),
            [Type::INT8, Type::TEXT]
        );
        assert_eq!(*read_types("{}").expect("sound"), []);
        assert!(read_types("{4000000000}").is_err());
    }
}
