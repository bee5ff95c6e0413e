-- What the abuse desk works with: who has a case and why it ended, what was told of it and in whose thread,
-- who is exempt, mails of every kind, notices that wait for approval, and what the operator is told of:
-- mass moves and zones that cannot be seen.

alter table abuse_case add column assignee text;
alter table abuse_case add column dismissed_as text;             -- a word of the program's list
alter table abuse_case add column reviewed_at integer;           -- the desk's first step since it opened (again)
alter table abuse_case add column told_at integer;               -- the last mail that told of it
alter table abuse_case add column told_verdicts text not null default '';   -- verdicts that were told, with commas
alter table abuse_case add column told_size integer not null default 0;     -- name servers and addresses that were told
alter table abuse_case add column thread_id integer references abuse_case (id);   -- the case whose mails tell of it
alter table abuse_case add column digest_due integer not null default 0 check (digest_due in (0, 1));
alter table abuse_case add column held text;                     -- why it is not mailed, in words; null: nothing holds it
update abuse_case set told_at = last_change_at, told_verdicts = verdict, thread_id = id where reported = 1;
create index case_by_thread on abuse_case (thread_id) where thread_id is not null;
create index case_for_digest on abuse_case (id) where digest_due = 1;

-- Who is never reported, why, by whom, until when. Never deleted: an ended one explains a silence.
create table exemption (
    id integer primary key,
    kind text not null check (kind in ('domain', 'subtree', 'nameserver', 'operator', 'address', 'account')),
    value text not null,
    reason text not null,
    author text not null,
    created_at integer not null,
    until_at integer,
    removed_at integer,
    removed_by text
) strict;

create table message_new (
    id integer primary key,
    case_id integer references abuse_case (id),   -- null for what is about no single case
    revision integer not null,
    kind text not null check (kind in ('report', 'update', 'closure', 'digest', 'bulk', 'blindness', 'notice', 'webhook')),
    recipient text not null,
    sender text not null,
    message_id text not null unique,
    subject text not null,
    octets blob not null,
    state text not null check (state in ('queued', 'sending', 'sent', 'dead', 'dropped')),
    attempt_count integer not null default 0,
    queued_at integer not null,
    next_attempt_at integer not null,
    sent_at integer,
    last_reply text,
    bounced_at integer,
    unique (case_id, revision, kind, recipient)
) strict;
insert into message_new (id, case_id, revision, kind, recipient, sender, message_id, subject, octets, state, attempt_count, queued_at, next_attempt_at, sent_at, last_reply)
    select id, case_id, revision, kind, recipient, sender, message_id, subject, octets, state, attempt_count, queued_at, next_attempt_at, sent_at, last_reply from message;
drop table message;
alter table message_new rename to message;
-- Finds what is due.
create index message_due on message (next_attempt_at) where state in ('queued', 'sending');
-- Counts what was queued and sent lately, for the caps.
create index message_by_time on message (queued_at);
create index message_by_sent on message (sent_at) where sent_at is not null;
-- Finds the message that a notification's address stands for.
create index message_by_sender on message (sender) where sender <> '';

-- Addresses whose mail came back.
create table bounced_recipient (
    recipient text primary key,
    bounced_at integer not null,
    reply text not null
) strict, without rowid;

-- Onward reports: drafted, approved by somebody, queued. The octets that were approved are those that are sent.
create table notice (
    id integer primary key,
    case_id integer not null references abuse_case (id),
    recipient text not null,
    party text not null,                 -- whom it concerns: 'registrar 1234', 'operator x.test.', 'network AS64500'
    state text not null check (state in ('drafted', 'approved', 'queued', 'rejected', 'void')),
    basis text not null,                 -- what the case said: another value voids the draft
    revision integer not null,
    sender text not null,
    message_id text not null unique,
    subject text not null,
    octets blob not null,
    sha256 blob not null,
    drafted_at integer not null,
    decided_at integer,
    decided_by text,
    note text
) strict;
create index notice_by_case on notice (case_id, recipient);
create index notice_approved on notice (id) where state = 'approved';

-- The same move of many names in one version: one note to the operator.
create table bulk_move (
    id integer primary key,
    version_id integer not null,
    zone_id integer not null references zone (id),
    at integer not null,
    kind text not null check (kind in ('nameservers', 'glue', 'version')),
    name_count integer not null,
    before text not null,
    after text not null,
    names text not null,                 -- some of them, with commas
    told_at integer,
    unique (version_id, kind, before, after)
) strict;
create index bulk_move_untold on bulk_move (id) where told_at is null;

-- Zones that cannot be seen, or not be believed.
create table blindness (
    id integer primary key,
    zone text not null,
    reason text not null,
    since_at integer not null,
    told_at integer,
    over_at integer
) strict;
create unique index blindness_open on blindness (zone) where over_at is null;

-- How often a suspect's own name servers were asked, and when they are asked next.
create table confirmation (
    case_id integer primary key references abuse_case (id),
    asked_count integer not null,
    next_at integer not null
) strict;
