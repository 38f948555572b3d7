-- Purpose:   change what the database itself must know: how long events are kept, how long a relay may be away before
--            capture stops, and whether writers may ring.
-- Parameters: each may be null: as it was. retention, max_absence: at least one second; doorbell: false where
--            PREPARE TRANSACTION is used, which NOTIFY makes fail
-- Raises:    where a duration is shorter than one second
-- Locks:     the row of changefeed.state
-- Called by: the relay when it starts, administrators
create function changefeed.configure(
  retention interval default null, max_absence interval default null, doorbell boolean default null
) returns void
language plpgsql
set search_path = pg_catalog
as $configure$
begin
  if retention < interval '1 second' or max_absence < interval '1 second' then
    raise exception 'changefeed: retention and max_absence must be at least one second'
      using errcode = 'invalid_parameter_value', hint = 'For example: select changefeed.configure(retention => ''24 hours'');';
  end if;
  update changefeed.state s
     set retention = coalesce(configure.retention, s.retention),
         max_absence = coalesce(configure.max_absence, s.max_absence),
         doorbell = coalesce(configure.doorbell, s.doorbell);
  -- The ring holds eight slots, five of them the retention: one is being filled, one sealed, one is spare.
  if retention is not null then
    execute format('create or replace function changefeed.slot(at timestamptz default pg_catalog.clock_timestamp()) '
                   'returns smallint language sql volatile '
                   'return (pg_catalog.floor(extract(epoch from at) / %s::numeric)::bigint %% 8::bigint)::smallint',
                   extract(epoch from retention) / 5);
  end if;
end
$configure$;
