-- Purpose:   the columns of one table in the equalities that make up one step of an owner expression's way.
-- Parameters: texts, equalities as "a.x = b.y"; steps, the step of each; step; alias, the table's
-- Returns:   their names, each once, possibly none
-- Locks:     none
-- Called by: changefeed.chain_of
create function changefeed.columns_in(texts text[], steps integer[], step integer, alias text) returns text[]
language sql immutable set search_path = pg_catalog
return (
  select coalesce(array_agg(distinct (parse_ident(side))[2]), '{}')
    from unnest(columns_in.texts, columns_in.steps) as t (piece, nr),
         regexp_split_to_table(replace(t.piece, '::text', ''), ' = ') as side
   where t.nr = columns_in.step and (parse_ident(side))[1] = (parse_ident(columns_in.alias))[1]);
