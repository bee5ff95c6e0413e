-- The console and the API: who is logged in, tokens of machines, answers to steps that are sent twice, and what a person
-- wrote into a draft. The tables of sessions and tokens keep hashes alone: what enters cannot be read out of a copy.

create table web_session (
    token_hash blob not null primary key check (length(token_hash) = 32),
    user_name text not null,
    -- A hash of the user's line in the file of users: another password or role ends the session.
    user_mark blob not null check (length(user_mark) = 32),
    begun_at integer not null,
    seen_at integer not null
) strict, without rowid;
create index web_session_by_user on web_session (user_name);

create table api_token (
    id integer primary key,
    name text not null,
    token_hash blob not null unique check (length(token_hash) = 32),
    role text not null check (role in ('viewer', 'reviewer', 'approver')),
    created_at integer not null,
    created_by text not null,
    ends_at integer,
    revoked_at integer,
    revoked_by text,
    used_at integer
) strict;

-- What a step over HTTP was answered with, by the key that its sender gave (Idempotency-Key). Forgotten after a day.
create table api_answer (
    sender text not null,
    key text not null,
    request_hash blob not null check (length(request_hash) = 32),
    at integer not null,
    status integer not null,
    body text not null,
    primary key (sender, key)
) strict, without rowid;
create index api_answer_by_time on api_answer (at);

-- The paragraph that people wrote into a draft, and who edited it and the drafts that it replaces: names with commas
-- between them. No name has a comma.
alter table notice add column paragraph text;
alter table notice add column edited_by text;

-- The queue: filters and every order of it are answered from this index alone, so that a filter that lets few cases
-- through does not read every row.
create index case_queue on abuse_case
    (level, score desc, id, state, verdict, zone_id, campaign_id, assignee, domain, first_detected_at, last_change_at);
create index notice_drafted on notice (case_id) where state = 'drafted';
-- A case's log, and where it stands, without a look at the logs of all others.
create index case_event_by_case on case_event (case_id);
