-- Purpose:   the leaf that an event of a moment belongs to: a ring of eight, five of them the retention.
-- Parameters: at, now by default
-- Returns:   0 to 7. The width of a slot is a constant that changefeed.configure() bakes in, so that the default of
--            event.slot reads no table and is inlined into the INSERT.
-- Locks:     none
-- Called by: the default of changefeed.event.slot, changefeed.rotate
create function changefeed.slot(at timestamptz default pg_catalog.clock_timestamp()) returns smallint
language sql volatile
return (pg_catalog.floor(extract(epoch from at) / 17280::numeric)::bigint % 8::bigint)::smallint;

alter table changefeed.event alter column slot set default changefeed.slot();
