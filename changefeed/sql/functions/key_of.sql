-- Purpose:   the columns of a table's primary key.
-- Returns:   their names, in the key's order
-- Raises:    where there is none, or where it is deferrable (two rows could share a key inside a transaction)
-- Locks:     none
-- Called by: changefeed.install
create function changefeed.key_of(relation regclass) returns text[]
language plpgsql stable set search_path = pg_catalog
as $key_of$
declare
  columns   text[];
  immediate boolean;
begin
  select i.indimmediate,
         (select array_agg(a.attname::text order by k.nr)
            from unnest(i.indkey::int2[]) with ordinality as k (attnum, nr)
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
           where k.nr <= i.indnkeyatts)
    into immediate, columns
    from pg_index i
   where i.indrelid = key_of.relation and i.indisprimary;
  if columns is null then
    raise exception 'changefeed cannot watch %: it has no primary key', relation
      using errcode = 'object_not_in_prerequisite_state', hint = format('Add one: alter table %s add primary key (…).', relation);
  elsif not immediate then
    raise exception 'changefeed cannot watch %: its primary key is deferrable', relation
      using errcode = 'object_not_in_prerequisite_state',
            hint = 'Make the primary key NOT DEFERRABLE: two rows could share a key within a transaction.';
  end if;
  return columns;
end
$key_of$;
