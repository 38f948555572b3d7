-- Purpose:   put texts into the {{placeholders}} of a template, all at once: what was put in is not looked at again, so
--            that a column called {{id}} stays a column.
-- Parameters: template; parts, an object of texts by placeholder
-- Returns:   the text; a placeholder without a part is left out
-- Locks:     none
-- Called by: changefeed.install, changefeed.install_parent
create function changefeed.fill(template text, parts jsonb) returns text
language sql immutable set search_path = pg_catalog
return (
  select string_agg(case when nr % 2 = 0 then fill.parts ->> piece else piece end, '' order by nr)
    from regexp_split_to_table(fill.template, '\{\{|\}\}') with ordinality as pieces (piece, nr));
