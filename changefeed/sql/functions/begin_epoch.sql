-- Purpose:   the identity of the log: what it is now, beginning a new one where the old has ended.
-- Parameters: renew: begin a new one in any case (capture had stopped, so that changes are missing)
-- Returns:   sixteen hexadecimal digits. They stand for the uuid in the unlogged row (emptied by a crash and by
--            promotion), the cluster, the database and the start of its server (a copy keeps the uuid, not these).
-- Locks:     EXCLUSIVE on changefeed.epoch, so that two relays begin one epoch and not two
-- Called by: the relay when it connects, and when a prepared transaction of before has ended
create function changefeed.begin_epoch(renew boolean default false) returns text
language plpgsql
as $begin_epoch$
begin
  lock table changefeed.epoch in exclusive mode;
  if renew or not exists (select from changefeed.epoch e where e.started_at = pg_catalog.pg_postmaster_start_time()) then
    delete from changefeed.epoch;
    insert into changefeed.epoch (prepared)
      select coalesce(array_agg(p.gid), '{}') from pg_catalog.pg_prepared_xacts p
       where p.database = pg_catalog.current_database();
    -- Transaction ids may be given out again after a crash or a restore: rows from the future would be delivered late
    -- and to cursors that mean something else.
    delete from changefeed.event e where e.xid >= pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot());
  elsif exists (select from changefeed.epoch e, unnest(e.prepared) as gid
                 where gid not in (select p.gid from pg_catalog.pg_prepared_xacts p)) then
    -- It was prepared before, and has ended since: rows that it wrote to the emptied leaves are lost.
    delete from changefeed.epoch;
    insert into changefeed.epoch (prepared)
      select coalesce(array_agg(p.gid), '{}') from pg_catalog.pg_prepared_xacts p
       where p.database = pg_catalog.current_database();
  end if;
  return changefeed.epoch();
end
$begin_epoch$;
