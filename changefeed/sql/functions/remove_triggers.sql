-- Purpose:   drop triggers and trigger functions of a watch.
-- Parameters: watch_id; but, the names of functions that stay, with their triggers; holding: whether we hold locks on tables
--            of the application's already
-- Locks:     ACCESS EXCLUSIVE on the tables that lose a trigger (DROP TRIGGER knows no less)
-- Called by: changefeed.install, changefeed.unwatch
create function changefeed.remove_triggers(watch_id integer, but text[] default '{}', holding boolean default false) returns void
language plpgsql
set search_path = pg_catalog
as $remove_triggers$
declare
  gone record;
begin
  perform changefeed.lock_tables(
    array(select distinct t.relation from changefeed.triggers_of(watch_id) t where t.function_name <> all (but)),
    'access exclusive', holding);
  for gone in select t.* from changefeed.triggers_of(watch_id) t where t.function_name <> all (but) loop
    execute format('drop trigger %I on %s', gone.name, gone.relation);
  end loop;
  for gone in select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
               where n.nspname = 'changefeed' and p.proname <> all (but)
                 and (p.proname = 'capture_' || watch_id or p.proname ~ ('^parent_' || watch_id || '_')) loop
    execute format('drop function changefeed.%I()', gone.proname);
  end loop;
end
$remove_triggers$;
