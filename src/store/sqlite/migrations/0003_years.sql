-- Smaller rows of what is past, a hash over each version, views of a zone, and the cut of retention.
--
-- Tables are made anew where a check or a key changes; the runner has foreign keys off meanwhile and
-- checks them before it commits. docs/schema.md explains every table.

create table source_new (
    id integer primary key,
    name text not null unique,
    kind text not null check (kind in ('transfer', 'catalog', 'zonefile', 'feed', 'import', 'probe', 'passive')),
    position text,                       -- where a followed feed goes on, as JSON
    last_event_at integer,               -- newest event time: recorded sources are judged at it
    last_attempt_at integer,
    last_success_at integer,
    last_error text,
    refused_reason text
) strict;
insert into source_new (id, name, kind, position, last_event_at, last_attempt_at, last_success_at, last_error, refused_reason)
    select id, name, kind, position, last_event_at, last_attempt_at, last_success_at, last_error, refused_reason from source;
drop table source;
alter table source_new rename to source;

-- A zone has one authoritative source: the row with the view 'zone'. What others saw of the same name
-- stands in rows of its own: 'parent' and 'child' are a probed domain as its parent's and its own name
-- servers tell it (apex: the domain), 'passive' is what was imported from passive DNS.
create table zone_new (
    id integer primary key,
    name text not null,                  -- the apex, with its final dot
    view text not null default 'zone' check (view in ('zone', 'parent', 'child', 'passive')),
    source_id integer not null references source (id),
    version_id integer,                  -- newest; null before the baseline
    serial integer,
    detected_version_id integer not null default 0,
    last_attempt_at integer,
    last_success_at integer,
    last_error text,
    refused_reason text,
    held integer not null default 0 check (held in (0, 1)),
    kept_count integer not null default 0,
    name_count integer not null default 0,
    delegation_count integer not null default 0,
    attempt_count integer not null default 0,
    failure_count integer not null default 0,
    version_count integer not null default 0,
    change_count integer not null default 0,     -- changed names, summed over the versions
    accept_requested integer not null default 0 check (accept_requested in (0, 1)),
    refresh_s integer,
    retry_s integer,
    usual_ttl integer,                   -- never changes once it is set: past_record.ttl leaves it out
    kept_since_at integer,               -- what was removed before this was pruned; null: nothing was
    unique (name, view)
) strict;
insert into zone_new (id, name, source_id, version_id, serial, detected_version_id, last_attempt_at, last_success_at, last_error, refused_reason, held,
        kept_count, name_count, delegation_count, attempt_count, failure_count, version_count, change_count, accept_requested, refresh_s, retry_s)
    select id, name, source_id, version_id, serial, detected_version_id, last_attempt_at, last_success_at, last_error, refused_reason, held,
        kept_count, name_count, delegation_count, attempt_count, failure_count, version_count, change_count, accept_requested, refresh_s, retry_s from zone;
drop table zone;
alter table zone_new rename to zone;
-- The first TTL that comes up serves as well as any: most zones have one for nearly all records.
update zone set usual_ttl = (select r.ttl from owner o join record r on r.owner_id = o.id where o.zone_id = zone.id limit 1);

create table version_new (
    id integer primary key,
    zone_id integer not null references zone (id),
    source_id integer not null references source (id),
    kind text not null check (kind in ('baseline', 'snapshot', 'feed', 'probe', 'passive')),
    serial integer,
    observed_at integer not null,        -- the change happened after the previous version's time, at or before this
    previous_id integer,
    changed_name_count integer not null default 0,
    bulk integer not null default 0 check (bulk in (0, 1))
) strict;
insert into version_new select id, zone_id, source_id, kind, serial, observed_at, previous_id, changed_name_count, bulk from version;
drop table version;
alter table version_new rename to version;
-- Finds a zone's version at a time or serial, newest first.
create index version_by_zone on version (zone_id, observed_at);

create table past_record_new (
    bucket integer not null,             -- of the removal: year * 12 + month - 1
    owner_id integer not null,
    removed_id integer not null,         -- version.id
    rrtype integer not null check (rrtype = 1 or rrtype = 2 or rrtype = 5 or rrtype = 28 or rrtype = 43),
    rdata any not null,
    ttl integer,                         -- null: the zone's usual_ttl
    added_id integer not null,
    baseline integer not null check (baseline in (0, 1)),
    primary key (bucket, owner_id, removed_id, rrtype, rdata)
) strict, without rowid;
insert into past_record_new
    select p.bucket, p.owner_id, p.removed_id, p.rrtype, p.rdata, nullif(p.ttl, z.usual_ttl), p.added_id, p.baseline
      from past_record p join owner o on o.id = p.owner_id join zone z on z.id = o.zone_id
     order by p.bucket, p.owner_id, p.removed_id, p.rrtype, p.rdata;
drop table past_record;
alter table past_record_new rename to past_record;

-- Owners that moved together in a version: how many had the same name-server move.
create table shared_change (
    version_id integer not null,
    owner_id integer not null,
    shared_count integer not null check (shared_count > 1),
    primary key (version_id, owner_id)
) strict, without rowid;
insert into shared_change select version_id, owner_id, shared_count from change where shared_count > 1;

-- Which owners changed in a version and how much, packed: docs/schema.md, "change". The program packs
-- the rows of old_change and drops it in the same transaction.
alter table change rename to old_change;
create table change (
    version_id integer primary key,
    octets blob not null
) strict;

-- The running hash: one row for each version as it was committed, and one for each cut of retention.
-- A version that more was added to has a row for each time; the last one holds.
create table chain (
    id integer primary key,
    zone_id integer not null references zone (id),
    kind text not null check (kind in ('version', 'start')),
    version_id integer not null,         -- of a start: the newest version of any zone at the time
    at integer not null,                 -- the version's time; of a start, the time it is the state of
    root blob not null check (length(root) = 32),
    hash blob not null check (length(hash) = 32)
) strict;
create index chain_by_zone on chain (zone_id, id);

-- The hashes that a report rests on: the newest of each zone that its finding looked at.
create table report_evidence (
    case_id integer not null references abuse_case (id),
    revision integer not null,
    zone_id integer not null references zone (id),
    hash blob not null check (length(hash) = 32),
    primary key (case_id, revision, zone_id)
) strict, without rowid;

-- Records that a probe has not seen lately. They end when that has lasted.
create table probe_absence (
    owner_id integer not null,
    rrtype integer not null,
    rdata any not null,
    since_at integer not null,
    miss_count integer not null,
    primary key (owner_id, rrtype, rdata)
) strict, without rowid;

-- Zones that were there before the chain begin it with their state, when the database is opened.
insert into meta (key, value) values ('chain_pending', 1);
