-- Purpose:   the columns that events of a table carry: those that were asked for, or the default ones.
-- Parameters: relation; source, its name, for messages; wanted, or null
-- Returns:   their names. By default everything but json, jsonb and bytea, also under the name of a domain, and virtual
--            generated columns; where that leaves nothing, the primary key.
-- Raises:    where one does not exist, or is a virtual generated column
-- Locks:     none
-- Called by: changefeed.install
create function changefeed.columns_of(relation regclass, source text, wanted text[]) returns text[]
language plpgsql stable set search_path = pg_catalog
as $columns_of$
declare
  name text;
  kind "char";
begin
  foreach name in array coalesce(wanted, '{}') loop
    select a.attgenerated into kind
      from pg_attribute a where a.attrelid = relation and a.attname = name and a.attnum > 0 and not a.attisdropped;
    if not found then
      raise exception 'changefeed cannot watch %: it has no column %', source, coalesce(quote_ident(name), 'null')
        using errcode = 'undefined_column', hint = 'Name columns as they are written in the catalog, without quotes.';
    elsif kind = 'v' then
      raise exception 'changefeed cannot watch %: % is a virtual generated column', source, quote_ident(name)
        using errcode = 'feature_not_supported', hint = 'A trigger cannot see its value. Make it STORED, or do without it.';
    end if;
  end loop;
  if wanted is null then
    select array_agg(a.attname::text order by a.attnum) into wanted
      from pg_attribute a
     where a.attrelid = relation and a.attnum > 0 and not a.attisdropped and a.attgenerated <> 'v'
       and changefeed.base_type(a.atttypid) not in ('json'::regtype, 'jsonb'::regtype, 'bytea'::regtype);
  end if;
  return coalesce(nullif(wanted, '{}'), changefeed.key_of(relation));
end
$columns_of$;
