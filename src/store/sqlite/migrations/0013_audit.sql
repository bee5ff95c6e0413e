-- What people do that is of no single case, under their names; what a step that is sent again is answered with, whole;
-- and the lines of all logs by time.

-- A line for each step of a person with messages of no case, and with held zones: the log of a case has the others.
create table desk_event (
    id integer primary key,
    at integer not null,
    actor text not null,
    note text not null
) strict;
create index desk_event_by_time on desk_event (at);

-- The ETag of the case after the step; null in answers of before.
alter table api_answer add column etag text;

-- Statistics and mails ask for the lines of a span of time; the plot of months counts in the index alone.
create index case_event_by_time on case_event (at, to_state, from_state);

-- The queue in its other orders, and of one person: each is answered from one index. Those of an order hold every column
-- that is filtered by, as case_queue does.
create index case_queue_by_change on abuse_case
    (last_change_at desc, id, level, state, verdict, campaign_id, assignee, domain, first_detected_at);
create index case_queue_by_age on abuse_case
    (first_detected_at, id, level, state, verdict, campaign_id, assignee, domain);
create index case_queue_by_domain on abuse_case
    (domain, id, level, state, verdict, campaign_id, assignee, first_detected_at);
create index case_by_assignee on abuse_case (assignee, level, score desc, id) where assignee is not null;
