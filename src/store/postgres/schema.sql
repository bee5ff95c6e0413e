-- The tables of schema 13, as PostgreSQL has them; sqlite/migrations say what each column is for.
--
-- A varbit is a column of any type (values.rs): the data of a record, with the number of a host for a name server.

-- Lists as rows: how sets of keys are asked for. They are inlined into whoever asks.
create function numbers(bigint[]) returns table (value bigint) language sql immutable as 'select unnest($1)';
create function texts(text[]) returns table (value text) language sql immutable as 'select unnest($1)';
-- A number below 2^31 as the data of a record.
create function number_as_data(bigint) returns varbit language sql immutable as 'select $1::integer::bit(31)::varbit';
-- The number of a new row: one more than the largest, as SQLite numbers rows, so that none is left out. Whoever writes
-- holds the writers' lock.
create function next_id(of_table text) returns bigint language plpgsql volatile as $$
declare
    number bigint;
begin
    execute format('select coalesce(max(id), 0) + 1 from %I', of_table) into number;
    return number;
end $$;
create function random_digits(integer) returns text language sql volatile as $$
    select left(replace(gen_random_uuid()::text, '-', ''), $1) $$;

create table source (
    id bigint primary key default next_id('source'),
    name text collate "C" not null unique,
    kind text collate "C" not null check (kind in ('transfer', 'catalog', 'zonefile', 'feed', 'import', 'probe', 'passive')),
    position text collate "C",
    last_event_at bigint,
    last_attempt_at bigint,
    last_success_at bigint,
    last_error text collate "C",
    refused_reason text collate "C"
);

create table zone (
    id bigint primary key default next_id('zone'),
    name text collate "C" not null,
    view text collate "C" not null default 'zone' check (view in ('zone', 'parent', 'child', 'passive')),
    source_id bigint not null references source (id),
    version_id bigint,
    serial bigint,
    detected_version_id bigint not null default 0,
    last_attempt_at bigint,
    last_success_at bigint,
    last_error text collate "C",
    refused_reason text collate "C",
    held bigint not null default 0 check (held in (0, 1)),
    kept_count bigint not null default 0,
    name_count bigint not null default 0,
    delegation_count bigint not null default 0,
    attempt_count bigint not null default 0,
    failure_count bigint not null default 0,
    version_count bigint not null default 0,
    change_count bigint not null default 0,
    accept_requested bigint not null default 0 check (accept_requested in (0, 1)),
    refresh_s bigint,
    retry_s bigint,
    usual_ttl bigint,
    kept_since_at bigint,
    whole_at bigint,
    whole_tried_at bigint,
    stepped bigint not null default 0 check (stepped in (0, 1, 2)),
    drift_at bigint,
    drift_primary text collate "C",
    drift_count bigint not null default 0,
    drift_name_count bigint not null default 0,
    missed_count bigint not null default 0,
    missed_unknown_count bigint not null default 0,
    unique (name, view)
);

create table version (
    id bigint primary key default next_id('version'),
    zone_id bigint not null references zone (id),
    source_id bigint not null references source (id),
    kind text collate "C" not null check (kind in ('baseline', 'snapshot', 'feed', 'probe', 'passive')),
    serial bigint,
    observed_at bigint not null,
    previous_id bigint,
    changed_name_count bigint not null default 0,
    bulk bigint not null default 0 check (bulk in (0, 1)),
    seen_until_at bigint,
    drift bigint not null default 0 check (drift in (0, 1)),
    missed_max bigint check (missed_max >= 0)
);

create table meta (
    key text collate "C" primary key,
    value varbit not null
);

-- A version writes its owners by thousands, each of the zone whose row it has just read: that is not looked up for each.
create table owner (
    id bigint primary key default next_id('owner'),
    zone_id bigint not null,
    name text collate "C" not null,
    unique (zone_id, name)
);

create table host (
    id bigint primary key default next_id('host'),
    name text collate "C" not null unique,
    operator_id bigint
);

-- Of this and of past_record there are most rows: the columns stand in the order that leaves no gaps.
create table record (
    owner_id bigint not null,
    ttl bigint not null,
    added_id bigint not null,
    rrtype smallint not null,
    baseline smallint not null check (baseline in (0, 1)),
    rdata varbit not null,
    primary key (owner_id, rrtype, rdata)
);

create table registration (
    owner_id bigint not null,
    version_id bigint not null,
    object text collate "C",
    created_at bigint,
    primary key (owner_id, version_id)
);

create table rejected_line (
    id bigint primary key default next_id('rejected_line'),
    source_id bigint not null references source (id),
    line_number bigint not null,
    kind text collate "C" not null check (kind in ('unreadable', 'late')),
    reason text collate "C" not null,
    octets bytea not null,
    rejected_at bigint not null
);
-- By what stands for it: an index has no room for a line of any length.
create unique index rejected_line_once on rejected_line (source_id, line_number, sha256(octets));


create table source_file (
    source_id bigint not null references source (id),
    path text collate "C" not null,
    modified_at_ns bigint not null,
    size_bytes bigint not null,
    version_at bigint not null,
    refused_reason text collate "C",
    primary key (source_id, path)
);

create table abuse_case (
    id bigint primary key default next_id('abuse_case'),
    domain text collate "C" not null unique,
    zone_id bigint not null references zone (id),
    verdict text collate "C" not null check (verdict in ('double-flux', 'ns-flux', 'single-flux')),
    level text collate "C" not null check (level in ('watch', 'review', 'report')),
    peak_level text collate "C" not null check (peak_level in ('watch', 'review', 'report')),
    state text collate "C" not null check (state in ('open', 'acknowledged', 'dismissed', 'mitigated', 'closed')),
    score double precision not null,
    first_detected_at bigint not null,
    last_change_at bigint not null,
    evaluated_at bigint not null,
    revision bigint not null default 0,
    pending_since_at bigint,
    reported bigint not null default 0 check (reported in (0, 1)),
    campaign_id bigint,
    assignee text collate "C",
    dismissed_as text collate "C",
    reviewed_at bigint,
    told_at bigint,
    told_verdicts text collate "C" not null default '',
    told_size bigint not null default 0,
    thread_id bigint references abuse_case (id),
    digest_due bigint not null default 0 check (digest_due in (0, 1)),
    held text collate "C"
);

create table case_event (
    id bigint primary key default next_id('case_event'),
    case_id bigint not null references abuse_case (id),
    at bigint not null,
    actor text collate "C" not null,
    from_state text collate "C",
    to_state text collate "C" not null,
    note text collate "C" not null,
    uid text collate "C" not null default ''
);

create table gap (
    zone_id bigint not null references zone (id),
    from_at bigint not null,
    to_at bigint not null,
    reason text collate "C" not null,
    primary key (zone_id, from_at)
);

create table catalog_member (
    source_id bigint not null references source (id),
    label text collate "C" not null,
    zone_name text collate "C" not null,
    member_group text collate "C",
    change_of_ownership text collate "C",
    added_at bigint not null,
    removed_at bigint,
    primary key (source_id, label, added_at)
);

create table past_record (
    bucket smallint not null,
    rrtype smallint not null,
    baseline smallint not null check (baseline in (0, 1)),
    rdata varbit not null,
    owner_id bigint not null,
    removed_id bigint not null,
    added_id bigint not null,
    ttl bigint
);

create table shared_change (
    version_id bigint not null,
    owner_id bigint not null,
    shared_count bigint not null check (shared_count > 1),
    primary key (version_id, owner_id)
);

create table change (
    version_id bigint primary key,
    octets bytea not null
);

create table chain (
    id bigint primary key default next_id('chain'),
    zone_id bigint not null references zone (id),
    kind text collate "C" not null check (kind in ('version', 'start')),
    version_id bigint not null,
    at bigint not null,
    root bytea not null check (octet_length(root) = 32),
    hash bytea not null check (octet_length(hash) = 32)
);

create table report_evidence (
    case_id bigint not null references abuse_case (id),
    revision bigint not null,
    zone_id bigint not null references zone (id),
    hash bytea not null check (octet_length(hash) = 32),
    primary key (case_id, revision, zone_id)
);

create table probe_absence (
    owner_id bigint not null,
    rrtype bigint not null,
    rdata varbit not null,
    since_at bigint not null,
    miss_count bigint not null,
    primary key (owner_id, rrtype, rdata)
);

create table case_trait (
    kind text collate "C" not null check (kind in ('host', 'address')),
    value varbit not null,
    case_id bigint not null references abuse_case (id),
    primary key (kind, value, case_id)
);

create table exemption (
    id bigint primary key default next_id('exemption'),
    kind text collate "C" not null check (kind in ('domain', 'subtree', 'nameserver', 'operator', 'address', 'account')),
    value text collate "C" not null,
    reason text collate "C" not null,
    author text collate "C" not null,
    created_at bigint not null,
    until_at bigint,
    removed_at bigint,
    removed_by text collate "C"
);

create table message (
    id bigint primary key default next_id('message'),
    case_id bigint references abuse_case (id),
    revision bigint not null,
    kind text collate "C" not null check (kind in ('report', 'update', 'closure', 'digest', 'bulk', 'blindness', 'notice', 'webhook')),
    recipient text collate "C" not null,
    sender text collate "C" not null,
    message_id text collate "C" not null unique,
    subject text collate "C" not null,
    octets bytea not null,
    state text collate "C" not null check (state in ('queued', 'sending', 'sent', 'dead', 'dropped')),
    attempt_count bigint not null default 0,
    queued_at bigint not null,
    next_attempt_at bigint not null,
    sent_at bigint,
    last_reply text collate "C",
    bounced_at bigint,
    fate text collate "C" check (fate in ('delayed', 'undelivered', 'bounced')),
    lane text collate "C" generated always as (
        case kind when 'webhook' then 'webhook ' || recipient
                  else 'mail ' || lower(rtrim(substr(recipient, strpos(recipient, '@') + 1), '> ')) end) stored,
    unique (case_id, revision, kind, recipient)
);

create table bounced_recipient (
    recipient text collate "C" primary key,
    bounced_at bigint not null,
    reply text collate "C" not null
);

create table notice (
    id bigint primary key default next_id('notice'),
    case_id bigint not null references abuse_case (id),
    recipient text collate "C" not null,
    party text collate "C" not null,
    state text collate "C" not null check (state in ('drafted', 'approved', 'queued', 'rejected', 'void')),
    basis text collate "C" not null,
    revision bigint not null,
    sender text collate "C" not null,
    message_id text collate "C" not null unique,
    subject text collate "C" not null,
    octets bytea not null,
    sha256 bytea not null,
    drafted_at bigint not null,
    decided_at bigint,
    decided_by text collate "C",
    note text collate "C",
    paragraph text collate "C",
    edited_by text collate "C"
);

create table bulk_move (
    id bigint primary key default next_id('bulk_move'),
    version_id bigint not null,
    zone_id bigint not null references zone (id),
    at bigint not null,
    kind text collate "C" not null check (kind in ('nameservers', 'glue', 'version')),
    name_count bigint not null,
    before text collate "C" not null,
    after text collate "C" not null,
    names text collate "C" not null,
    told_at bigint
);
-- By what stands for them: an index has no room for sets of name servers of any length.
create unique index bulk_move_once on bulk_move (version_id, kind, md5(before), md5(after));


create table blindness (
    id bigint primary key default next_id('blindness'),
    zone text collate "C" not null,
    reason text collate "C" not null,
    since_at bigint not null,
    told_at bigint,
    over_at bigint
);

create table confirmation (
    case_id bigint primary key references abuse_case (id),
    asked_count bigint not null,
    next_at bigint not null
);

-- Counts are changed all the time. A page with room for all its rows once more, and no index that knows of the count, let
-- each be written anew in place.
create table popularity (
    user_of bigint not null,
    week bigint not null,
    count bigint not null,
    primary key (user_of, week)
) with (fillfactor = 50);

create table nameserver_cut (
    owner_id bigint primary key,
    week bigint not null
);

create table web_session (
    token_hash bytea not null primary key check (octet_length(token_hash) = 32),
    user_name text collate "C" not null,
    user_mark bytea not null check (octet_length(user_mark) = 32),
    begun_at bigint not null,
    seen_at bigint not null
);

create table api_token (
    id bigint primary key default next_id('api_token'),
    name text collate "C" not null,
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    role text collate "C" not null check (role in ('viewer', 'reviewer', 'approver')),
    created_at bigint not null,
    created_by text collate "C" not null,
    ends_at bigint,
    revoked_at bigint,
    revoked_by text collate "C",
    used_at bigint
);

create table api_answer (
    sender text collate "C" not null,
    key text collate "C" not null,
    request_hash bytea not null check (octet_length(request_hash) = 32),
    at bigint not null,
    status bigint not null,
    body text collate "C" not null,
    etag text collate "C",
    primary key (sender, key)
);

create table desk_event (
    id bigint primary key default next_id('desk_event'),
    at bigint not null,
    actor text collate "C" not null,
    note text collate "C" not null
);

create index past_record_by_owner on past_record (owner_id, bucket);
create index catalog_member_open on catalog_member (zone_name) where removed_at is null;
create index version_by_zone on version (zone_id, observed_at);
create index chain_by_zone on chain (zone_id, id);
create index case_due on abuse_case (evaluated_at) where state in ('open', 'acknowledged');
create index case_by_campaign on abuse_case (campaign_id) where campaign_id is not null;
create index case_trait_by_case on case_trait (case_id);
create index case_by_thread on abuse_case (thread_id) where thread_id is not null;
create index case_for_digest on abuse_case (id) where digest_due = 1;
create index message_by_time on message (queued_at);
create index message_by_sent on message (sent_at) where sent_at is not null;
create index message_by_sender on message (sender) where sender <> '';
create index notice_by_case on notice (case_id, recipient);
create index notice_approved on notice (id) where state = 'approved';
create index bulk_move_untold on bulk_move (id) where told_at is null;
create unique index blindness_open on blindness (zone) where over_at is null;
create index version_drift on version (zone_id, observed_at) where drift = 1;
create index message_by_fate on message (id) where fate is not null;
create index message_by_lane on message (lane, recipient, next_attempt_at) where state in ('queued', 'sending');
create index message_by_recipient on message (recipient, sent_at) where sent_at is not null;
create index message_in_hand on message (recipient) where state = 'sending';
create index web_session_by_user on web_session (user_name);
create index api_answer_by_time on api_answer (at);
create index case_queue on abuse_case (level, score desc, id, state, verdict, zone_id, campaign_id, assignee, domain, first_detected_at, last_change_at);
create index notice_drafted on notice (case_id) where state = 'drafted';
create index case_event_by_case on case_event (case_id);
create index desk_event_by_time on desk_event (at);
create index case_event_by_time on case_event (at, to_state, from_state);
create index case_queue_by_change on abuse_case (last_change_at desc, id, level, state, verdict, campaign_id, assignee, domain, first_detected_at);
create index case_queue_by_age on abuse_case (first_detected_at, id, level, state, verdict, campaign_id, assignee, domain);
create index case_queue_by_domain on abuse_case (domain, id, level, state, verdict, campaign_id, assignee, first_detected_at);
create index case_by_assignee on abuse_case (assignee, level, score desc, id) where assignee is not null;
