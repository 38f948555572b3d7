-- Purpose:   the identity of the log: what it is now, beginning a new one where the old has ended.
-- Parameters: renew: begin a new one in any case (capture had stopped, so that changes are missing)
-- Returns:   sixteen hexadecimal digits. They stand for the uuid in the unlogged row (emptied by a crash and by
--            promotion), the cluster, the database and the start of its server (a copy keeps the uuid, not these).
-- Locks:     EXCLUSIVE on changefeed.epoch, so that two relays begin one epoch and not two; the row of changefeed.state
-- Called by: the relay when it connects, and when a prepared transaction of before has ended
create function changefeed.begin_epoch(renew boolean default false) returns text
language plpgsql
set search_path = pg_catalog
as $begin_epoch$
declare
  last changefeed.epoch;
begin
  lock table changefeed.epoch in exclusive mode;
  select e.* into last from changefeed.epoch e where e.started_at = pg_postmaster_start_time();
  -- Where a transaction that was prepared before has ended since, rows that it wrote to the emptied leaves are lost.
  if not renew and last.id is not null and last.prepared <@ changefeed.prepared() then
    return changefeed.epoch();
  end if;
  delete from changefeed.epoch;
  insert into changefeed.epoch (prepared) values (changefeed.prepared());
  if last.id is null then
    -- Transaction ids may be given out again after a crash or a restore. Rows from the future would be delivered late, and
    -- to cursors that mean something else; seals and the floor, which are snapshots, would claim to have seen what is new.
    delete from changefeed.event e where e.xid >= pg_snapshot_xmax(pg_current_snapshot());
    update changefeed.state s set floor = null where s.floor is not null;
    update changefeed.leaf l set sealed_at = null, snapshot = null where l.sealed_at is not null;
  end if;
  return changefeed.epoch();
end
$begin_epoch$;
