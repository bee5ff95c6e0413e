//! The tables of a PostgreSQL database: made, brought up to date, and whether they are ours.

use crate::store::postgres::db::Db;
use crate::store::trees::{Pages, REVERSE_INDEXES, Tree};
use crate::store::value::{Fault, ValueRef};

/// The tables as they are made.
const TABLES: &str = include_str!("schema.sql");

/// The schema that [`TABLES`] makes: that of SQLite's migration of this number.
const MADE: i32 = 13;

/// What a migration after [`MADE`] changes, in order.
const MIGRATIONS: [&str; 1] = [
    // 14: by when a case with a change that was left unjudged is judged.
    "alter table abuse_case add column due_at bigint;
     create index case_left on abuse_case (due_at) where due_at is not null",
];

/// The schema that this program knows.
pub(in crate::store) const SCHEMA: i32 = MADE + MIGRATIONS.len() as i32;

/// Draws what a new database has: 16 octets that tell it from others, and 32 that are its secret.
pub(in crate::store) const DRAW_SECRETS: &str = "select uuid_send(gen_random_uuid()) as id,
            uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) as key";

/// What stands in the schema that a session works in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Found {
    /// No table at all.
    Nothing,
    /// Tables of something else.
    Foreign,
    /// Ours, of this schema.
    Schema(i32),
}

impl Db {
    /// Checks that there is a schema to work in.
    pub(super) fn require_schema(&self) -> Result<(), Fault> {
        let is_absent = self.numbers("select current_schema() is null")? == [1];
        match is_absent {
            // SQLSTATE of a schema that is not there.
            true => Err(Fault::of_server(
                "3F000",
                "there is no schema of the search path that this role may use".to_owned(),
            )),
            false => Ok(()),
        }
    }

    /// Returns what stands in the schema that the session works in.
    pub(in crate::store) fn find_schema(&self) -> Result<Found, Fault> {
        self.require_schema()?;
        let tables = "select count(*), count(*) filter (where table_name = 'meta')
                        from information_schema.tables
                       where table_schema = current_schema()";
        match self.numbers(tables)?[..] {
            [0, _] => Ok(Found::Nothing),
            [_, 1] => match self.schema_number()? {
                Some(schema) => Ok(Found::Schema(schema)),
                None => Ok(Found::Foreign),
            },
            _ => Ok(Found::Foreign),
        }
    }

    /// Returns which schema the tables have.
    pub(in crate::store) fn schema_number(&self) -> Result<Option<i32>, Fault> {
        let mut statement = self.prepare("select value from meta where key = 'schema'")?;
        let mut rows = statement.rows(())?;
        match rows.next()? {
            Some(row) => match row.value_at(0)? {
                ValueRef::Integer(number) => Ok(number.try_into().ok()),
                _ => Ok(None),
            },
            None => Ok(None),
        }
    }

    /// Makes the tables, or brings them up to date, in one transaction.
    pub(in crate::store) fn migrate(&self) -> Result<(), Fault> {
        self.begin_writing()?;
        let done = self.migrate_inside();
        match done {
            Ok(()) => self.commit(),
            Err(fault) => {
                let _ = self.roll_back();
                Err(fault)
            }
        }
    }

    /// [`Db::migrate`] inside a transaction: another program may have done it meanwhile.
    fn migrate_inside(&self) -> Result<(), Fault> {
        let from = match self.find_schema()? {
            Found::Nothing => {
                self.run(TABLES)?;
                MADE
            }
            Found::Schema(schema) => schema,
            Found::Foreign => return Ok(()),
        };
        let steps = usize::try_from(from - MADE).unwrap_or(0);
        for sql in MIGRATIONS.iter().skip(steps) {
            self.run(sql)?;
        }
        if from <= SCHEMA {
            self.run(&format!(
                "insert into meta (key, value) values ('schema', number_as_data({SCHEMA}))
                     on conflict (key) do update set value = excluded.value"
            ))?;
        }
        Ok(())
    }

    /// Returns whether there are the indexes from data to owners.
    pub(in crate::store) fn has_reverse_index(&self) -> Result<bool, Fault> {
        let names = REVERSE_INDEXES
            .map(|(name, ..)| format!("'{name}'"))
            .join(", ");
        let sql = format!(
            "select count(*) from pg_indexes
              where schemaname = current_schema() and indexname in ({names})"
        );
        Ok(self.numbers(&sql)? == [REVERSE_INDEXES.len() as i64])
    }

    /// Makes or drops the indexes from data to owners, as configured.
    pub(in crate::store) fn set_reverse_index(&self, wanted: bool) -> Result<(), Fault> {
        if self.has_reverse_index()? == wanted {
            return Ok(());
        }
        for (name, table, rrtype) in REVERSE_INDEXES {
            self.run(&match wanted {
                true => format!(
                    "create index if not exists {name} on {table} (rdata) where rrtype = {rrtype}"
                ),
                false => format!("drop index if exists {name}"),
            })?;
        }
        Ok(())
    }

    /// Returns the tables in an order in which each comes after those that it refers to.
    pub(in crate::store) fn table_names() -> Vec<&'static str> {
        let tables = TABLES
            .lines()
            .filter_map(|line| line.strip_prefix("create table "));
        tables.filter_map(|rest| rest.split(' ').next()).collect()
    }

    /// Counts the pages of all tables and indexes; none is counted as free, since the server keeps that to itself.
    pub(in crate::store) fn count_pages(&self) -> Result<Pages, Fault> {
        let sql = "select coalesce(sum(relpages), 0), current_setting('block_size')::bigint from (
                       select pg_relation_size(c.oid) / current_setting('block_size')::bigint as relpages
                         from pg_class c join pg_namespace n on n.oid = c.relnamespace
                        where n.nspname = current_schema() and c.relkind in ('r', 'i', 't')) of_each";
        match self.numbers(sql)?[..] {
            [all, octets_each] => Ok(Pages {
                all,
                free: 0,
                octets_each,
            }),
            _ => Err(Fault::no_row()),
        }
    }

    /// Returns every table and index with its octets, the largest first.
    pub(in crate::store) fn measure_trees(&self) -> Result<Vec<Tree>, Fault> {
        let sql = "select c.relname::text, pg_relation_size(c.oid), c.relkind in ('r', 'p')
                     from pg_class c join pg_namespace n on n.oid = c.relnamespace
                    where n.nspname = current_schema() and c.relkind in ('r', 'i')
                    order by 2 desc, 1";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows(())?;
        let mut trees = Vec::new();
        while let Some(row) = rows.next()? {
            let (ValueRef::Text(name), ValueRef::Integer(octets), ValueRef::Integer(is_table)) =
                (row.value_at(0)?, row.value_at(1)?, row.value_at(2)?)
            else {
                return Err(Fault::no_row());
            };
            trees.push(Tree {
                name: name.to_owned(),
                octets,
                is_table: is_table != 0,
            });
        }
        Ok(trees)
    }

    /// Returns the numbers in the only row of a statement.
    fn numbers(&self, sql: &str) -> Result<Vec<i64>, Fault> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows(())?;
        let row = rows.next()?.ok_or_else(Fault::no_row)?;
        (0..row.width())
            .map(|place| match row.value_at(place)? {
                ValueRef::Integer(number) => Ok(number),
                other => Err(Fault::other(format!("{} for a number", other.type_name()))),
            })
            .collect()
    }
}
