-- Whether anybody watches a zone. It stood in refused_reason, which every attempt writes: a transfer that was in hand when its
-- catalog dropped the zone made it a watched one again.

alter table zone add column ended text;   -- 'unwatched', 'left-catalog'; 'awaited': it has a source again, which has not shown it yet
update zone
   set ended = refused_reason, refused_reason = null, last_error = null
 where refused_reason in ('unwatched', 'left-catalog');
