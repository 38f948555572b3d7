-- Purpose:   put the triggers of one watch on a table, or replace them.
-- Parameters: relation; prefix, of the triggers' names; function_name; inserts: whether INSERT is among them
-- Locks:     SHARE ROW EXCLUSIVE on the table and its partitions
-- Called by: changefeed.install, changefeed.install_parent
create function changefeed.place_triggers(relation regclass, prefix text, function_name text, inserts boolean) returns void
language plpgsql
set search_path = pg_catalog
as $place_triggers$
declare
  leaf regclass;
begin
  -- Whoever makes a partition makes its triggers, and may do so only with EXECUTE on their function. It gives the owner
  -- nothing to call: the schema stays closed to him, and his own table he can write to anyway.
  if exists (select from pg_class c where c.oid = relation and c.relkind = 'p') then
    execute format('grant execute on function changefeed.%I() to %s', function_name,
                   (select c.relowner::regrole from pg_class c where c.oid = relation));
  end if;

  -- "!" sorts before letters: capture comes before the application's own triggers, so that a trigger of the
  -- application's that writes to the same row is recorded after the change that caused it. OR REPLACE, because to drop
  -- a trigger takes ACCESS EXCLUSIVE. The whole row is compared, by its image: to name columns would forbid the
  -- application to drop them.
  if inserts then
    execute format('create or replace trigger %I after insert on %s for each row execute function changefeed.%I()',
                   prefix || '_insert', relation, function_name);
  end if;
  execute format('create or replace trigger %I after update on %s for each row '
                 'when (old.* operator(pg_catalog.*<>) new.*) execute function changefeed.%I()',
                 prefix || '_update', relation, function_name);
  execute format('create or replace trigger %I after delete on %s for each row execute function changefeed.%I()',
                 prefix || '_delete', relation, function_name);
  for leaf in select relation
               union
              select t.relid from pg_partition_tree(relation) t join pg_class c on c.oid = t.relid and c.relkind in ('r', 'p') loop
    execute format('create or replace trigger %I after truncate on %s execute function changefeed.%I()',
                   prefix || '_truncate', leaf, function_name);
  end loop;
end
$place_triggers$;
