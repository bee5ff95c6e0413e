//! How a server stands: who polls into the database, whether the server is a standby, and which standbys follow it.

use crate::store::postgres::db::Db;
use crate::store::postgres::lock::Poller;
use crate::store::value::{Fault, ValueRef};
use crate::time::{Span, Timestamp};

/// How the server of a database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStanding {
    /// The host and port that answer, as the server knows itself.
    pub address: String,
    /// Now, by the server's clock.
    pub now: Timestamp,
    /// Who polls; `None` if nobody does. A standby does not know.
    pub poller: Option<Poller>,
    /// How the server takes part in replication.
    pub part: Part,
}

/// How far two clocks may be apart before it is told. Unit: seconds.
const APART_TOLD: i64 = 5;

impl ServerStanding {
    /// Says that a clock of this host's and the server's are apart, if they are.
    pub fn apart(&self, now: Timestamp) -> Option<String> {
        let ahead = now.since(self.now).as_seconds();
        let way = if ahead > 0 { "ahead of" } else { "behind" };
        let far = Span::seconds(ahead.abs());
        (ahead.abs() > APART_TOLD).then(|| {
            format!(
                "this machine's clock is {far} {way} the database server's: check that both are kept right (timedatectl, chronyc tracking)"
            )
        })
    }
}

/// How a server takes part in replication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// It takes writes.
    Primary {
        /// The standbys that are connected; `None` if this role may not see them.
        standbys: Option<Vec<Standby>>,
        /// Whether a commit waits for a standby (`synchronous_standby_names` is set).
        waits_for_standby: bool,
    },
    /// It follows another server and is only read.
    Standby {
        /// Whether it is connected to the one that it follows.
        is_connected: bool,
        /// The time of the newest commit that it has, by the clock of the primary; `None` before the first.
        newest_at: Option<Timestamp>,
        /// How old that is, where something newer is known or the primary is not connected; 0 in step. Unit: seconds.
        lag_s: i64,
    },
}

/// A standby that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standby {
    /// Its name (`application_name` of its connection).
    pub name: String,
    /// Whether a commit waits for it.
    pub is_synchronous: bool,
    /// How far what it shows is behind. Unit: octets of the server's log.
    pub lag_octets: i64,
    /// The same in time, as it was told last; 0 in step. Unit: seconds.
    pub lag_s: i64,
}

/// The address that answers, whether it is a standby, whether commits wait for one, and whether this role sees them.
const SERVER: &str =
    "select coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'a socket') as address,
        pg_is_in_recovery()::integer as is_standby,
        (current_setting('synchronous_standby_names') <> '')::integer as waits,
        pg_has_role(current_user, 'pg_read_all_stats', 'usage')::integer as sees,
        extract(epoch from clock_timestamp())::bigint as now";

/// The standbys of a primary.
const STANDBYS: &str = "select coalesce(application_name, '') as name,
        (coalesce(sync_state, '') in ('sync', 'quorum'))::integer as is_synchronous,
        coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint as lag_octets,
        coalesce(extract(epoch from replay_lag), 0)::bigint as lag_s
   from pg_stat_replication where state is distinct from 'backup' order by 1";

/// How far a standby is. One that has all that it received is in step as long as it is connected.
const AS_STANDBY: &str = "select (select count(*) from pg_stat_wal_receiver) as is_connected,
        extract(epoch from pg_last_xact_replay_timestamp())::bigint as newest_at,
        case when exists (select 1 from pg_stat_wal_receiver)
                  and pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
             else coalesce(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()), 0)::bigint
        end as lag_s";

impl Db {
    /// Returns how the server stands.
    pub(in crate::store) fn standing(&self) -> Result<ServerStanding, Fault> {
        let rows = self.rows_of(SERVER)?;
        let [server] = &rows[..] else {
            return Err(Fault::no_row());
        };
        let is_standby = server.number(1)? == 1;
        let part = match is_standby {
            true => self.as_standby()?,
            false => Part::Primary {
                waits_for_standby: server.number(2)? == 1,
                standbys: match server.number(3)? == 1 {
                    true => Some(self.standbys()?),
                    false => None,
                },
            },
        };
        Ok(ServerStanding {
            address: server.text(0)?,
            now: Timestamp::from_unix(server.number(4)?),
            // Locks are the primary's.
            poller: match is_standby {
                true => None,
                false => self.poller()?,
            },
            part,
        })
    }

    /// Returns how far a standby is.
    fn as_standby(&self) -> Result<Part, Fault> {
        let rows = self.rows_of(AS_STANDBY)?;
        let row = rows.first().ok_or_else(Fault::no_row)?;
        Ok(Part::Standby {
            is_connected: row.number(0)? > 0,
            newest_at: row.maybe(1)?.map(Timestamp::from_unix),
            lag_s: row.number(2)?,
        })
    }

    /// Returns the standbys that are connected.
    fn standbys(&self) -> Result<Vec<Standby>, Fault> {
        let rows = self.rows_of(STANDBYS)?;
        let read = |row: &Values| {
            Ok(Standby {
                name: row.text(0)?,
                is_synchronous: row.number(1)? == 1,
                lag_octets: row.number(2)?,
                lag_s: row.number(3)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Returns the rows of a statement that takes nothing.
    fn rows_of(&self, sql: &str) -> Result<Vec<Values>, Fault> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows(())?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..row.width()).map(|place| Ok(owned(row.value_at(place)?)));
            all.push(Values(values.collect::<Result<_, Fault>>()?));
        }
        Ok(all)
    }
}

/// The values of a row.
struct Values(Vec<Cell>);

/// A value of a row.
enum Cell {
    Null,
    Number(i64),
    Text(String),
}

/// Returns a value of its own.
fn owned(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Integer(number) => Cell::Number(number),
        ValueRef::Text(text) => Cell::Text(text.to_owned()),
        _ => Cell::Null,
    }
}

impl Values {
    /// Returns the number at a place; `None` for none.
    fn maybe(&self, place: usize) -> Result<Option<i64>, Fault> {
        match self.0.get(place) {
            Some(Cell::Number(number)) => Ok(Some(*number)),
            Some(Cell::Null) => Ok(None),
            _ => Err(Fault::no_row()),
        }
    }

    /// Returns the number at a place.
    fn number(&self, place: usize) -> Result<i64, Fault> {
        self.maybe(place)?.ok_or_else(Fault::no_row)
    }

    /// Returns the text at a place.
    fn text(&self, place: usize) -> Result<String, Fault> {
        match self.0.get(place) {
            Some(Cell::Text(text)) => Ok(text.clone()),
            _ => Err(Fault::no_row()),
        }
    }
}
