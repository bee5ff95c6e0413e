-- When a line of a case's log was written. The time of a judgement is that of the change that was judged; the program wrote
-- the line then or later. Every other line has the time of writing.

alter table case_event add column written_at integer;   -- the clock's; null: a judgement of before, nobody kept when
update case_event
   set written_at = at
 where actor <> 'fluxwatch'
       or not (note like 'opened: %' or note like 'reopened: %' or note like 'level rose from %'
               or note like 'suspected %' or note like 'held: %' or note like 'closed: quiet%'
               or note like 'mitigated: %' or note like 'joined campaign %'
               or note like 'its campaign is part of %');
