-- Purpose:   may this table get our triggers, and would they see every change of its rows?
-- Parameters: relation; told: what the messages begin with
-- Raises:    where it is not a table, is ours, is temporary, has children by inheritance (a parent's triggers do not fire for
--            their rows), or does not belong to the caller
-- Locks:     none
-- Called by: changefeed.install
create function changefeed.check_table(relation regclass, told text) returns void
language plpgsql stable set search_path = pg_catalog
as $check_table$
declare
  class pg_class;
begin
  select c.* into class from pg_class c where c.oid = relation;
  if class.oid is null or class.relkind not in ('r', 'p') then
    raise exception '%: % is not a table', told, relation
      using errcode = 'wrong_object_type', hint = 'Triggers see the changes of tables; of a view, name the tables behind it.';
  elsif class.relnamespace = 'changefeed'::regnamespace and class.relname !~ '^canary_' then  -- doctor's, for a moment
    raise exception '%: % is a table of changefeed''s own', told, relation
      using errcode = 'wrong_object_type', hint = 'Name the table with its schema.';
  elsif class.relpersistence = 't' then
    raise exception '%: % is a temporary table', told, relation
      using errcode = 'wrong_object_type', hint = 'Nobody but its session can read it. Name a permanent table.';
  elsif class.relkind = 'r' and exists (select from pg_inherits i where i.inhparent = relation) then
    raise exception '%: other tables inherit from %', told, relation
      using errcode = 'wrong_object_type',
            hint = 'Triggers of a parent do not fire for rows of its children. Use partitions, or watch the children themselves.';
  elsif not pg_has_role(class.relowner, 'usage') then
    raise exception '%: % does not own %', told, current_user, relation
      using errcode = 'insufficient_privilege',
            hint = format('Run this as a member of %s (grant %s to %I), which need not be a superuser.',
                          class.relowner::regrole, class.relowner::regrole, current_user);
  end if;
end
$check_table$;
