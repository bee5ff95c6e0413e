-- What becomes of a message after the server took it, and what tells a line of a case's log from the line that a
-- restored database gives the same number.

alter table message add column fate text check (fate in ('delayed', 'undelivered', 'bounced'));   -- what came back; null: nothing
update message set fate = 'bounced' where bounced_at is not null;
-- Finds what came back and nobody has dropped.
create index message_by_fate on message (id) where fate is not null;

alter table case_event add column uid text not null default '';   -- random
update case_event set uid = lower(hex(randomblob(8)));
