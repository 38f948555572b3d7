-- Everything that watch() put on the application's tables, then the objects of the schema. The schema itself holds
-- Alembic's version table until the very end of the downgrade, and goes with it.
do $unwatch$
declare
  relation regclass;
begin
  for relation in select w.relation from changefeed.watch w join pg_catalog.pg_class c on c.oid = w.relation loop
    perform changefeed.unwatch(relation);
  end loop;
end
$unwatch$;

do $drop$
declare
  item record;
begin
  for item in
    select p.oid::regprocedure as name from pg_catalog.pg_proc p
      join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     where n.nspname = 'changefeed' and p.proname <> 'slot'
  loop
    execute format('drop function %s cascade', item.name);
  end loop;
end
$drop$;

drop table changefeed.event, changefeed.leaf, changefeed.state, changefeed.epoch, changefeed.watch, changefeed.kick,
  changefeed.ticket;
drop function changefeed.slot();
