-- Purpose:   the text of a statement for a trigger function: where this column has changed, keep its former value.
-- Returns:   plpgsql; a value that is too large is not copied, but makes the event carry its key alone
-- Locks:     none
-- Called by: changefeed.install
create function changefeed.remember(relation regclass, name text) returns text
language plpgsql stable set search_path = pg_catalog
as $remember$
declare
  wide text := changefeed.wide(relation, 'old', array[name]);
  keep text := format('before := coalesce(before, ''{}'') || pg_catalog.jsonb_build_object(%L, old.%I);', name, name);
begin
  if wide <> 'false' then
    keep := format('if %s then partial := true; before := coalesce(before, ''{}''); else %s end if;', wide, keep);
  end if;
  return format('if %s then %s end if;', changefeed.differs(relation, name), keep);
end
$remember$;
