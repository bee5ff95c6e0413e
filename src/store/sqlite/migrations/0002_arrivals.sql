-- Catalogs as sources, gaps in what was seen, and counters of attempts.
--
-- `source` is made anew because its check of `kind` grows; the runner has foreign keys off meanwhile
-- and checks them before it commits.

create table source_new (
    id integer primary key,
    name text not null unique,
    kind text not null check (kind in ('transfer', 'catalog', 'zonefile', 'feed', 'import')),
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

-- Counted since the database was made, for metrics.
alter table zone add column attempt_count integer not null default 0;
alter table zone add column failure_count integer not null default 0;
alter table zone add column version_count integer not null default 0;
alter table zone add column change_count integer not null default 0;    -- changed names, summed over the versions
update zone set version_count = (select count(*) from version v where v.zone_id = zone.id),
                change_count = (select coalesce(sum(changed_name_count), 0) from version v where v.zone_id = zone.id);
-- Set by `poll --accept` beside a running poller; the next success takes it back.
alter table zone add column accept_requested integer not null default 0 check (accept_requested in (0, 1));
-- The newest SOA's timers, for sources that go by them.
alter table zone add column refresh_s integer;
alter table zone add column retry_s integer;

-- Times in which a zone could not be seen: from the last success before failures to the next success.
-- What changed meanwhile has the time of the next success.
create table gap (
    zone_id integer not null references zone (id),
    from_at integer not null,
    to_at integer not null,
    reason text not null,                -- the word of the last refusal
    primary key (zone_id, from_at)
) strict, without rowid;

-- Members of catalog zones (RFC 9432), those that left included. Their history stays whatever happens here.
create table catalog_member (
    source_id integer not null references source (id),
    label text not null,                 -- the unique label under zones.CATALOG
    zone_name text not null,             -- the member's apex, with its final dot
    member_group text,
    change_of_ownership text,            -- the catalog that the member may move to
    added_at integer not null,
    removed_at integer,                  -- null while it is a member
    primary key (source_id, label, added_at)
) strict, without rowid;
create index catalog_member_open on catalog_member (zone_name) where removed_at is null;
