-- The first schema: zones, their versions, records as intervals, cases and the outbox.
--
-- Times are whole UTC seconds in columns that end in _at. Names are in presentation form; an owner
-- is relative to its apex with the labels reversed (ns1.bad.example. in example. is 'bad.ns1'), so
-- that everything below a name is one range. RDATA is host.id for NS and wire octets for the rest.
-- `record` holds the open intervals, that is the state; `past_record` the closed ones, in buckets by
-- the month of the removal (year * 12 + month - 1), so that pruning takes one contiguous range.
-- The checks of rrtype are spelled out: for `in` with more than two values SQLite builds a table at
-- every insert, which cost half of a baseline.

create table meta (
    key text primary key,
    value any not null
) strict, without rowid;

create table source (
    id integer primary key,
    name text not null unique,
    kind text not null check (kind in ('transfer', 'zonefile', 'feed', 'import')),
    position text,                       -- where a followed feed goes on, as JSON
    last_event_at integer,               -- newest event time: recorded sources are judged at it
    last_attempt_at integer,
    last_success_at integer,
    last_error text,
    refused_reason text
) strict;

create table zone (
    id integer primary key,
    name text not null unique,           -- the apex, with its final dot
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
    delegation_count integer not null default 0
) strict;

create table version (
    id integer primary key,
    zone_id integer not null references zone (id),
    source_id integer not null references source (id),
    kind text not null check (kind in ('baseline', 'snapshot', 'feed')),
    serial integer,
    observed_at integer not null,        -- the change happened after the previous version's time, at or before this
    previous_id integer,
    changed_name_count integer not null default 0,
    bulk integer not null default 0 check (bulk in (0, 1))
) strict;
-- Finds a zone's version at a time or serial, newest first.
create index version_by_zone on version (zone_id, observed_at);

create table owner (
    id integer primary key,
    zone_id integer not null references zone (id),
    name text not null,
    unique (zone_id, name)
) strict;

create table host (
    id integer primary key,
    name text not null unique            -- absolute, labels reversed: test.a.ns1
) strict;

create table record (
    owner_id integer not null,
    rrtype integer not null check (rrtype = 1 or rrtype = 2 or rrtype = 5 or rrtype = 28 or rrtype = 43),
    rdata any not null,
    ttl integer not null,                -- as last seen
    added_id integer not null,           -- version.id
    baseline integer not null check (baseline in (0, 1)),
    primary key (owner_id, rrtype, rdata)
) strict, without rowid;

create table past_record (
    bucket integer not null,
    owner_id integer not null,
    removed_id integer not null,         -- version.id
    rrtype integer not null check (rrtype = 1 or rrtype = 2 or rrtype = 5 or rrtype = 28 or rrtype = 43),
    rdata any not null,
    ttl integer not null,
    added_id integer not null,
    baseline integer not null check (baseline in (0, 1)),
    primary key (bucket, owner_id, removed_id, rrtype, rdata)
) strict, without rowid;

-- The index of changes by time: which owners changed in a version, and how much.
create table change (
    version_id integer not null,
    owner_id integer not null,
    ns_added integer not null,
    ns_removed integer not null,
    address_added integer not null,
    address_removed integer not null,
    other_changed integer not null,
    shared_count integer not null default 0,  -- owners with the same name-server move in this version; 0 if fewer than two
    primary key (version_id, owner_id)
) strict, without rowid;

-- A new registration of a name, as a feed told it: the detector's memory starts anew.
create table registration (
    owner_id integer not null,
    version_id integer not null,
    object text,
    created_at integer,
    primary key (owner_id, version_id)
) strict, without rowid;

-- Lines of a feed that were set aside.
create table rejected_line (
    id integer primary key,
    source_id integer not null references source (id),
    line_number integer not null,
    kind text not null check (kind in ('unreadable', 'late')),
    reason text not null,
    octets blob not null,
    rejected_at integer not null,
    unique (source_id, line_number, octets)
) strict;

-- Zone files that were looked at, so that an unchanged file is not read again.
create table source_file (
    source_id integer not null references source (id),
    path text not null,
    modified_at_ns integer not null,
    size_bytes integer not null,
    version_at integer not null,
    refused_reason text,
    primary key (source_id, path)
) strict, without rowid;

create table abuse_case (
    id integer primary key,
    domain text not null unique,         -- with its final dot
    zone_id integer not null references zone (id),
    verdict text not null check (verdict in ('double-flux', 'ns-flux', 'single-flux')),
    level text not null check (level in ('watch', 'review', 'report')),
    peak_level text not null check (peak_level in ('watch', 'review', 'report')),
    state text not null check (state in ('open', 'acknowledged', 'dismissed', 'mitigated', 'closed')),
    score real not null,
    first_detected_at integer not null,
    last_change_at integer not null,
    evaluated_at integer not null,
    revision integer not null default 0  -- of the desk's report; 0 before the first
) strict;

-- Appended, never rewritten.
create table case_event (
    id integer primary key,
    case_id integer not null references abuse_case (id),
    at integer not null,
    actor text not null,
    from_state text,
    to_state text not null,
    note text not null
) strict;

create table message (
    id integer primary key,
    case_id integer not null references abuse_case (id),
    revision integer not null,
    kind text not null check (kind in ('report')),
    recipient text not null,
    sender text not null,
    message_id text not null unique,
    subject text not null,
    octets blob not null,
    state text not null check (state in ('queued', 'sending', 'sent', 'dead')),
    attempt_count integer not null default 0,
    queued_at integer not null,
    next_attempt_at integer not null,
    sent_at integer,
    last_reply text,
    unique (case_id, revision, kind, recipient)
) strict;
-- Finds what is due.
create index message_due on message (next_attempt_at) where state in ('queued', 'sending');
