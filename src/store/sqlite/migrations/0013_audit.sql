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
