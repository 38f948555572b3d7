-- Purpose:   the leaf that an event of this moment belongs to: a ring of eight, five of them the retention.
-- Returns:   0 to 7, from the clock. The width of a slot is a constant that changefeed.configure() bakes in, so that
--            the default of event.slot reads no table and is inlined into the INSERT.
-- Locks:     none
-- Called by: the default of changefeed.event.slot
create function changefeed.slot() returns smallint
language sql volatile
return ((extract(epoch from clock_timestamp()) / 17280)::bigint % 8)::smallint;

alter table changefeed.event alter column slot set default changefeed.slot();
