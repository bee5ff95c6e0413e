//! The tables of a PostgreSQL database: made, brought up to date, and whether they are ours.

use std::fmt::Write;
use std::sync::LazyLock;

use crate::dns::RecordType;
use crate::store::frozen::{Part, SharedPacker};
use crate::store::migrations::{BEFORE, PACKS_SHARED, SCHEMA, SHARED};
use crate::store::postgres::db::Db;
use crate::store::postgres::dialect::{HOST_OF_DATA, translate_tables};
use crate::store::trees::{Pages, REVERSE_INDEXES, Tree};
use crate::store::value::{Fault, ValueRef};

/// The tables as they are made, of schema [`BEFORE`].
const TABLES: &str = include_str!("schema.sql");

/// How many rows migration 16 reads and writes at a time.
const ROWS_AT_A_TIME: usize = 50_000;

/// How the tables lie, beside what they say: what [`TABLES`] has from the start, and older databases get, in order. Not a
/// schema, since every program works with each of them.
const LAYOUTS: [&str; 3] = [
    // An index that knows of a count is written anew with each count; and a zone need not be looked up for every owner.
    "drop index if exists popularity_nothing;
     alter table popularity set (fillfactor = 80);
     alter table owner drop constraint if exists owner_zone_id_fkey",
    // They were of the data as it lies. Made anew by `Db::set_reverse_index`, if they are wanted.
    "drop index if exists record_by_host, past_by_host",
    // A version may change every count of a page: with room for all of them none needs another place in the index.
    "alter table popularity set (fillfactor = 50)",
];
/// The key in `meta` of how many of [`LAYOUTS`] a database has.
pub(in crate::store) const LAYOUT: &str = "layout";

/// Draws what a new database has: 16 octets that tell it from others, and 32 that are its secret.
pub(in crate::store) const DRAW_SECRETS: &str = "select uuid_send(gen_random_uuid()) as id,
            uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) as key";

/// Asks for the number under a key of `meta`.
pub(super) const NUMBER: &str = "select value from meta where key = ?";
/// The key of the schema that the tables have.
pub(super) const SCHEMA_KEY: &str = "schema";

/// Asks for the database's id and digest key.
pub(in crate::store) const SECRETS: &str = "
    select (select value from meta where key = 'database_id') as database_id,
           (select value from meta where key = 'digest_key') as digest_key";
/// Asks whether there is no schema to work in.
const NO_SCHEMA: &str = "select current_schema() is null";
/// Counts the tables of the schema, and those that have the name of ours.
const TABLES_FOUND: &str = "select count(*), count(*) filter (where table_name = 'meta')
                              from information_schema.tables
                             where table_schema = current_schema()";
/// Counts the indexes from data to owners.
static REVERSE_INDEXES_FOUND: LazyLock<String> = LazyLock::new(|| {
    let names = REVERSE_INDEXES.map(|(name, ..)| format!("'{name}'"));
    format!(
        "select count(*) from pg_indexes where schemaname = current_schema() and indexname in ({})",
        names.join(", ")
    )
});

/// The keys that a first load makes at its end: table, name, columns.
const LOADED_KEYS: [(&str, &str, &str); 3] = [
    ("owner", "owner_pkey", "primary key (id)"),
    ("owner", "owner_zone_id_name_key", "unique (zone_id, name)"),
    (
        "record",
        "record_pkey",
        "primary key (owner_id, rrtype, rdata)",
    ),
];

/// How many records, and owners, a database may have before a first version is written as its first: small zones are often
/// there before a large one.
// Chosen by hand: their keys are made anew within some hundredths of a second.
const FEW_ROWS: usize = 10_000;

/// How much memory of the server a first load sorts keys in, where the server's own setting is less: of a million owners
/// no key is then sorted on disk. Unit: MiB.
// Chosen by hand. It is taken once, by the one who polls, until the first load is over.
const SORTED_MIB: usize = 256;

/// SQLSTATEs for which a first load keeps the keys: a lock that was not got in time, a role that does not own the tables,
/// something that hangs on a key, a key of another name; or two who wait for each other.
const KEPT_FOR: [&str; 5] = ["55P03", "42501", "2BP01", "42704", "40P01"];

/// How long a first load waits for each of its tables, which somebody may be reading. Less than what a server waits until it
/// looks for two who wait for each other (`deadlock_timeout`, 1 s): else it might end the lookup.
const LOAD_LOCK_TIMEOUT: &str = "400ms";

/// Returns those of [`REVERSE_INDEXES`] that are of records that are there.
fn of_records() -> impl Iterator<Item = (&'static str, &'static str, u16)> {
    let all = REVERSE_INDEXES.into_iter();
    all.filter(|(_, table, _)| *table == "record")
}

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
        let is_absent = self.numbers(NO_SCHEMA)? == [1];
        match is_absent {
            // SQLSTATE of a schema that is not there.
            true => Err(Fault::of_server(
                "3F000",
                "there is no schema of the search path that this role may use".to_owned(),
            )),
            false => Ok(()),
        }
    }

    /// Begins to read what an opening asks, all of it at once.
    pub(in crate::store) fn begin_opening(&self) -> Result<(), Fault> {
        self.begin_reading(false)?;
        for sql in [TABLES_FOUND, SECRETS, &REVERSE_INDEXES_FOUND] {
            self.ask_ahead(sql, ())?;
        }
        self.ask_ahead(NUMBER, [SCHEMA_KEY])
    }

    /// Returns what stands in the schema that the session works in.
    pub(in crate::store) fn find_schema(&self) -> Result<Found, Fault> {
        self.require_schema()?;
        match self.numbers(TABLES_FOUND)?[..] {
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
        if let Some(known) = self.schema.get() {
            return Ok(Some(known));
        }
        let number = self.number_under(SCHEMA_KEY)?;
        let number = number.and_then(|it| i32::try_from(it).ok());
        self.has_tables.set(number.is_some());
        Ok(number)
    }

    /// Returns the number under a key of `meta`, if there is one.
    fn number_under(&self, key: &str) -> Result<Option<i64>, Fault> {
        let mut statement = self.prepare(NUMBER)?;
        let mut rows = statement.rows([key])?;
        match rows.next()? {
            Some(row) => match row.value_at(0)? {
                ValueRef::Integer(number) => Ok(Some(number)),
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
                self.note_layout()?;
                BEFORE
            }
            Found::Schema(schema) => schema,
            Found::Foreign => return Ok(()),
        };
        let steps = usize::try_from(from - BEFORE).unwrap_or(0);
        for (number, sql) in (BEFORE + 1..).zip(SHARED).skip(steps) {
            self.run(&translate_tables(sql))?;
            if number == PACKS_SHARED {
                pack_shared(self)?;
            }
        }
        if from <= SCHEMA {
            self.schema.set(None);
            self.run(&format!(
                "insert into meta (key, value) values ('schema', number_as_data({SCHEMA}))
                     on conflict (key) do update set value = excluded.value"
            ))?;
        }
        Ok(())
    }

    /// Brings how the tables lie up to date, in one transaction.
    pub(in crate::store) fn lay_out(&self) -> Result<(), Fault> {
        if self.layout()? >= LAYOUTS.len() {
            return Ok(());
        }
        self.begin_writing()?;
        // Another program may have done it meanwhile.
        let done = self.layout().and_then(|from| {
            LAYOUTS
                .iter()
                .skip(from)
                .try_for_each(|sql| self.run(sql))?;
            self.note_layout()
        });
        match done {
            Ok(()) => self.commit(),
            Err(fault) => {
                let _ = self.roll_back();
                Err(fault)
            }
        }
    }

    /// Returns how many of [`LAYOUTS`] the tables have.
    fn layout(&self) -> Result<usize, Fault> {
        let known = self.number_under(LAYOUT)?;
        Ok(known.map_or(0, |it| usize::try_from(it).unwrap_or(usize::MAX)))
    }

    /// Notes that the tables have all of [`LAYOUTS`].
    fn note_layout(&self) -> Result<(), Fault> {
        self.run(&format!(
            "insert into meta (key, value) values ('{LAYOUT}', number_as_data({}))
                 on conflict (key) do update set value = excluded.value",
            LAYOUTS.len()
        ))
    }

    /// Returns whether there are all indexes from data to owners.
    pub(in crate::store) fn has_reverse_index(&self) -> Result<bool, Fault> {
        Ok(self.numbers(&REVERSE_INDEXES_FOUND)? == [REVERSE_INDEXES.len() as i64])
    }

    /// Makes or drops the indexes from data to owners, as configured.
    pub(in crate::store) fn set_reverse_index(&self, wanted: bool) -> Result<(), Fault> {
        let all = if wanted { REVERSE_INDEXES.len() } else { 0 };
        if self.numbers(&REVERSE_INDEXES_FOUND)? == [all as i64] {
            return Ok(());
        }
        for index in REVERSE_INDEXES {
            match wanted {
                true => self.make_reverse_index(index)?,
                false => self.run(&format!("drop index if exists {}", index.0))?,
            }
        }
        // How many names use a name server is known of an index of its own.
        match wanted {
            true => self.run("analyze record; analyze past_record"),
            false => Ok(()),
        }
    }

    /// Makes an index from data to owners.
    fn make_reverse_index(&self, (name, table, rrtype): (&str, &str, u16)) -> Result<(), Fault> {
        let column = match rrtype == RecordType::Ns.code() {
            true => format!("(rdata{HOST_OF_DATA})"),
            false => "rdata".to_owned(),
        };
        self.run(&format!(
            "create index if not exists {name} on {table} ({column}) where rrtype = {rrtype}"
        ))
    }

    /// Begins to write the first records of a database: the keys of their tables and the indexes from data to owners are
    /// made at the end, within the same transaction, from sorted rows instead of row by row. Whoever looks meanwhile waits,
    /// for what is hardly there yet. Does nothing where there are many records, where somebody is looking, in a trial, and
    /// where somebody's own tables or views hang on a key.
    pub(in crate::store) fn begin_load(&self) -> Result<(), Fault> {
        let is_first = format!(
            "select not exists (select 1 from record offset {FEW_ROWS})
                    and not exists (select 1 from owner offset {FEW_ROWS})"
        );
        if self.is_trial.get() || self.numbers(&is_first)? != [1] {
            return Ok(());
        }
        let with_reverse = self.has_reverse_index()?;
        let mut drops = String::new();
        for (name, ..) in of_records().filter(|_| with_reverse) {
            let _ = writeln!(drops, "drop index {name};");
        }
        for (table, name, _) in LOADED_KEYS {
            let _ = writeln!(drops, "alter table {table} drop constraint {name};");
        }
        let done = self.run(&format!(
            "savepoint load;
             set local lock_timeout = '{LOAD_LOCK_TIMEOUT}';
             lock table owner, record in access exclusive mode;
             {drops}
             set local lock_timeout = '20s';
             release savepoint load"
        ));
        match done {
            Ok(()) => self.loading.set(Some(with_reverse)),
            Err(fault) if fault.state().is_some_and(|state| KEPT_FOR.contains(&state)) => {
                self.run("rollback to savepoint load; release savepoint load")?;
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// Ends what [`Db::begin_load`] began.
    pub(in crate::store) fn end_load(&self) -> Result<(), Fault> {
        let Some(with_reverse) = self.loading.take() else {
            return Ok(());
        };
        self.run(&format!(
            "select set_config('maintenance_work_mem', greatest(
                 pg_size_bytes(current_setting('maintenance_work_mem')) / 1024, {SORTED_MIB} * 1024) || 'kB', true)"
        ))?;
        for (table, name, key) in LOADED_KEYS {
            self.run(&format!("alter table {table} add constraint {name} {key}"))?;
        }
        let mut indexes = of_records().filter(|_| with_reverse);
        indexes.try_for_each(|index| self.make_reverse_index(index))
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
            .map(|place| number_of(row.value_at(place)?))
            .collect()
    }
}

/// Packs the rows of schema 15 that say which owners moved alike in a version.
fn pack_shared(db: &Db) -> Result<(), Fault> {
    let sql = format!(
        "select version_id, owner_id, shared_count
           from old_shared_change
          where (version_id, owner_id) > (?, ?)
          order by version_id, owner_id limit {ROWS_AT_A_TIME}"
    );
    let (mut packer, mut parts) = (SharedPacker::default(), Vec::new());
    let mut after = [i64::MIN; 2];
    loop {
        let mut statement = db.prepare(&sql)?;
        let mut rows = statement.rows(after)?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let mut numbers = [0; 3];
            for (place, number) in numbers.iter_mut().enumerate() {
                *number = number_of(row.value_at(place)?)?;
            }
            count += 1;
            after = [numbers[0], numbers[1]];
            parts.extend(packer.take(numbers));
        }
        let is_end = count < ROWS_AT_A_TIME;
        if is_end {
            parts.extend(packer.end());
        }
        write_parts(db, &parts)?;
        parts.clear();
        if is_end {
            // The name of its key was taken when the new table was made.
            return db.run(
                "drop table old_shared_change;
                 alter index shared_change_pkey1 rename to shared_change_pkey",
            );
        }
    }
}

/// Writes parts that migration 16 packed.
fn write_parts(db: &Db, parts: &[Part]) -> Result<(), Fault> {
    let values: Vec<ValueRef<'_>> = parts
        .iter()
        .flat_map(|(version_id, first, octets)| {
            let numbers = [*version_id, *first].map(ValueRef::Integer);
            numbers.into_iter().chain([ValueRef::Octets(octets)])
        })
        .collect();
    db.insert_rows(
        "shared_change",
        &["version_id", "owner_id", "octets"],
        "",
        &values,
    )
}

/// Returns a value that is a number.
fn number_of(value: ValueRef<'_>) -> Result<i64, Fault> {
    match value {
        ValueRef::Integer(number) => Ok(number),
        other => Err(Fault::other(format!("{} for a number", other.type_name()))),
    }
}
