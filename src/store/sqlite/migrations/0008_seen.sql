-- Until when each version was seen to be the zone's state. Versions from before this were seen at their own time, as
-- far as is known.
alter table version add column seen_until_at integer;  -- the last look at the zone that found it as this left it; null: its own time
