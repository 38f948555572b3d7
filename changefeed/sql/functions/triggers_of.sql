-- Purpose:   the triggers of one watch that may be altered or dropped: those on partitions that follow their parent's
--            are left out.
-- Locks:     none
-- Called by: changefeed.unwatch, changefeed.pause, changefeed.resume, the status command
create function changefeed.triggers_of(watch_id integer)
  returns table (relation regclass, name text, enabled boolean)
language sql stable set search_path = pg_catalog
as $triggers_of$
  select t.tgrelid::regclass, t.tgname::text, t.tgenabled <> 'D'
    from pg_trigger t
    join pg_proc p on p.oid = t.tgfoid
    join pg_namespace n on n.oid = p.pronamespace
   where n.nspname = 'changefeed' and t.tgparentid = 0
     and p.proname in ('capture_' || watch_id, 'parent_' || watch_id)
   order by t.tgrelid, t.tgname
$triggers_of$;
