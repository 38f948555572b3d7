-- Purpose:   stop capturing a table and remove everything that watch() installed on it. Idempotent: a table that is not
--            watched is left as it is. Events already recorded stay until retention takes them.
-- Returns:   whether it was watched
-- Locks:     ACCESS EXCLUSIVE on the table (DROP TRIGGER knows no less), waiting at most 3 s
-- Called by: administrators and migrations
create function changefeed.unwatch("table" regclass) returns boolean
language plpgsql
set lock_timeout = '3s'
as $unwatch$
declare
  relation alias for $1;
  watch_id integer := (select w.id from changefeed.watch w where w.relation = $1);
  trigger  record;
begin
  if watch_id is null then
    return false;
  end if;
  for trigger in select * from changefeed.triggers_of(watch_id) loop
    execute format('drop trigger %I on %s', trigger.name, trigger.relation);
  end loop;
  execute format('drop function changefeed.%I()', 'capture_' || watch_id);
  delete from changefeed.watch w where w.id = watch_id;
  update changefeed.state s set watch_changes = s.watch_changes + 1;
  return true;
end
$unwatch$;
