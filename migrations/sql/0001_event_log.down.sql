-- Everything that watch() put on the application's tables, then the objects of the schema. The schema itself holds
-- Alembic's version table until the very end of the downgrade, and goes with it.
do $unwatch$
declare
  relation regclass;
begin
  for relation in select w.relation from changefeed.watch w loop
    perform changefeed.unwatch(relation);
  end loop;
end
$unwatch$;

do $drop$
declare
  name text;
begin
  -- As texts, and if they exist: some go with others, of which nobody need hear.
  perform set_config('client_min_messages', 'warning', true);
  foreach name in array array(
    select p.oid::regprocedure::text from pg_catalog.pg_proc p
      join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     where n.nspname = 'changefeed' and p.proname <> 'slot')
  loop
    execute format('drop function if exists %s cascade', name);
  end loop;
end
$drop$;

drop table changefeed.event, changefeed.leaf, changefeed.state, changefeed.epoch, changefeed.watch, changefeed.kick,
  changefeed.ticket, changefeed.presence, changefeed.testimony, changefeed.inquiry;
drop function changefeed.slot(timestamptz);
