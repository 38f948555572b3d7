-- Purpose:   stop capturing a table and remove everything that watch() installed, on it and on the tables that its owner
--            expression reads. Idempotent: a table that is not watched is left as it is. Events already recorded stay until
--            retention takes them. Of a table that was dropped, give the number that changefeed.watch shows.
-- Parameters: "table"
-- Returns:   whether it was watched
-- Locks:     SHARE ROW EXCLUSIVE on changefeed.watch; ACCESS EXCLUSIVE on the tables (DROP TRIGGER knows no less), waiting
--            at most 3 s
-- Called by: administrators and migrations
create function changefeed.unwatch("table" regclass) returns boolean
language plpgsql
set search_path = pg_catalog set lock_timeout = '3s'
as $unwatch$
declare
  watch_id integer;
begin
  lock table changefeed.watch in share row exclusive mode;
  select w.id into watch_id from changefeed.watch w where w.relation = $1;
  if watch_id is null then
    return false;
  end if;
  perform changefeed.remove_triggers(watch_id);
  delete from changefeed.watch w where w.id = watch_id;
  update changefeed.state s set watch_changes = s.watch_changes + 1;
  return true;
end
$unwatch$;
