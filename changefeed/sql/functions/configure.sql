-- Purpose:   change what the database itself must know: how long events are kept, how long a relay may be away before
--            capture stops, and whether writers may ring.
-- Parameters: each may be null: as it was. retention at least 1 s.
-- Raises:    where a duration is not positive
-- Locks:     the row of changefeed.state
-- Called by: the relay when it starts, administrators
create function changefeed.configure(
  retention interval default null, max_absence interval default null, doorbell boolean default null
) returns void
language plpgsql
as $configure$
begin
  if retention < interval '1 second' or max_absence < interval '1 second' then
    raise exception 'changefeed: retention and max_absence must be at least one second';
  end if;
  update changefeed.state s
     set retention = coalesce(configure.retention, s.retention),
         max_absence = coalesce(configure.max_absence, s.max_absence),
         doorbell = coalesce(configure.doorbell, s.doorbell);
  -- The ring holds eight slots, five of them the retention: one is being filled, one sealed, one is spare.
  if retention is not null then
    execute format('create or replace function changefeed.slot() returns smallint language sql volatile '
                   'return ((extract(epoch from clock_timestamp()) / %s)::bigint %% 8)::smallint',
                   extract(epoch from retention) / 5);
  end if;
end
$configure$;
