-- Purpose:   enable or disable all triggers of one watch.
-- Parameters: relation; verb 'enable' or 'disable'
-- Raises:    where the table is not watched
-- Locks:     SHARE ROW EXCLUSIVE on the table, waiting at most 3 s
-- Called by: changefeed.pause, changefeed.resume
create function changefeed.switch(relation regclass, verb text) returns void
language plpgsql
set lock_timeout = '3s'
as $switch$
declare
  watch_id integer := (select w.id from changefeed.watch w where w.relation = $1);
  trigger  record;
begin
  if watch_id is null then
    raise exception 'changefeed does not watch %', relation
      using hint = format('Call changefeed.watch(%L, …) first.', relation);
  end if;
  for trigger in select * from changefeed.triggers_of(watch_id) loop
    execute format('alter table %s %s trigger %I', trigger.relation, verb, trigger.name);
  end loop;
  update changefeed.state s set watch_changes = s.watch_changes + 1;
end
$switch$;
