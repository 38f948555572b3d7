-- Purpose:   enable or disable all triggers of one watch.
-- Parameters: relation; verb 'enable' or 'disable'
-- Returns:   the table's name in events
-- Raises:    where the table is not watched
-- Locks:     SHARE ROW EXCLUSIVE on changefeed.watch, on the table and on those that its owner expression reads, waiting at
--            most 3 s: so whoever was writing has ended. See changefeed.lock_tables
-- Called by: changefeed.pause, changefeed.resume
create function changefeed.switch(relation regclass, verb text) returns text
language plpgsql
set search_path = pg_catalog set lock_timeout = '3s'
as $switch$
declare
  watch   changefeed.watch;
  trigger record;
begin
  lock table changefeed.watch in share row exclusive mode;
  select w.* into watch from changefeed.watch w where w.relation = switch.relation;
  if watch.id is null then
    raise exception 'changefeed does not watch %', relation
      using errcode = 'object_not_in_prerequisite_state', hint = format('Call changefeed.watch(%L, …) first.', relation);
  end if;
  perform changefeed.lock_tables(
    array(select distinct t.relation from changefeed.triggers_of(watch.id) t), 'share row exclusive');
  for trigger in select * from changefeed.triggers_of(watch.id) loop
    execute format('alter table %s %s trigger %I', trigger.relation, verb, trigger.name);
  end loop;
  update changefeed.watch w set paused = (verb = 'disable') where w.id = watch.id;
  update changefeed.state s set watch_changes = s.watch_changes + 1;
  return watch.source;
end
$switch$;
