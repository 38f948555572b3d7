-- Purpose:   the triggers of one watch that may be altered or dropped: those on partitions that follow their parent's
--            are left out.
-- Returns:   the table, the trigger's name, whether it is enabled, and its function. On the watched table itself four:
--            insert, update, delete, truncate.
-- Locks:     none
-- Called by: changefeed.remove_triggers, changefeed.switch, the status command
create function changefeed.triggers_of(watch_id integer)
  returns table (relation regclass, name text, enabled boolean, function_name text)
language sql stable set search_path = pg_catalog
as $triggers_of$
  select t.tgrelid::regclass, t.tgname::text, t.tgenabled <> 'D', p.proname::text
    from pg_trigger t
    join pg_proc p on p.oid = t.tgfoid
    join pg_namespace n on n.oid = p.pronamespace
   where n.nspname = 'changefeed' and t.tgparentid = 0
     and (p.proname = 'capture_' || watch_id or p.proname ~ ('^parent_' || watch_id || '_'))
   order by t.tgrelid, t.tgname
$triggers_of$;
