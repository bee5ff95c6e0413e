-- Messages are tried beside each other, one at a time to a destination: its lane. A lane is computed and stored in the
-- index alone: a URL; of mails the domain of the recipient, which may stand behind a name and in angle brackets.

alter table message add column lane text generated always as (
    case kind when 'webhook' then 'webhook ' || recipient
              else 'mail ' || lower(rtrim(substr(recipient, instr(recipient, '@') + 1), '> ')) end) virtual;
-- Finds the oldest message of each recipient without a look at those that wait behind it.
create index message_by_lane on message (lane, recipient, next_attempt_at) where state in ('queued', 'sending');
drop index message_due;
-- Counts what was sent lately to a recipient, and what is in hand, for the caps.
create index message_by_recipient on message (recipient, sent_at) where sent_at is not null;
create index message_in_hand on message (recipient) where state = 'sending';
