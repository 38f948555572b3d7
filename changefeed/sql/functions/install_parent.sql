-- Purpose:   put triggers on a table that an owner expression reads, so that owner changes are captured where they happen.
-- Parameters: watch, the dependent table's; relation, the parent; reads, the parent's columns that the expression reads;
--            definition, the expression's, see changefeed.chain_of; path, the search path that it runs with
-- Returns:   the name of the trigger function
-- Locks:     SHARE ROW EXCLUSIVE on the parent
-- Called by: changefeed.install
create function changefeed.install_parent(
  watch changefeed.watch, relation regclass, reads text[], definition text, path text
) returns text
language plpgsql
set search_path = pg_catalog
as $install_parent$
declare
  name  text := format('parent_%s_%s', watch.id, relation::oid);
  step  record;
  parts jsonb;
begin
  select c.*, format('(select (%s)::text from %%s as %s%s)', replace(c.owner, '%', '%%'), replace(c.alias, '%', '%%'),
                     replace(c.onward, '%', '%%')) as walk
    into step from changefeed.chain_of(definition) c where c.relation = install_parent.relation;
  if step.walk is null then
    raise notice 'changefeed: the owner expression of % is not one that tells which owners a change of % concerns, so such a change tells everybody who watches % to refetch',
      watch.source, relation, watch.source
      using hint = format('Where it can be written as one, use (select p.owner from %s p where p.key = r.column).', relation);
    parts := jsonb_build_object('before', 'refetch := ''owner'';', 'before_and_after', 'refetch := ''owner'';', 'linked_moved', 'true');
  else
    parts := jsonb_build_object(
      'before', format('was_owner := %s;', format(step.walk, changefeed.as_row('old', step.picked))),
      'before_and_after', format(e'was_owner := %s;\n      event_owner := %s;',
                                 format(step.walk, changefeed.as_row('old', step.picked)),
                                 format(step.walk, changefeed.as_row('new', step.picked))),
      'linked_moved', changefeed.any_differs(relation, step.linked));
  end if;
  perform changefeed.place_function(
    name,
    changefeed.fill(changefeed.parent_template(watch.fail_closed),
                    parts || changefeed.common_parts(watch)
                          || jsonb_build_object('moved', changefeed.any_differs(relation, reads))),
    path, true);
  -- A row that comes new can be what an expression of another kind was waiting for; to one of the known kind it can only
  -- give an owner to rows that had none.
  perform changefeed.place_triggers(relation, '!changefeed_parent_' || watch.id, name, inserts => step.walk is null);
  return name;
end
$install_parent$;
