-- Purpose:   the text of a comparison: does any of these columns differ between NEW and OLD?
-- Returns:   changefeed.differs() of each, joined by "or"; "false" for none
-- Locks:     none
-- Called by: changefeed.install, changefeed.install_parent
create function changefeed.any_differs(relation regclass, columns text[]) returns text
language plpgsql stable set search_path = pg_catalog
as $any_differs$
begin
  return coalesce((select string_agg(changefeed.differs(relation, name), ' or ') from unnest(columns) as name), 'false');
end
$any_differs$;
