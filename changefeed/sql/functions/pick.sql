-- Purpose:   an object of some columns of a row, as the text of an expression for a trigger function.
-- Parameters: row_name 'new', 'old' or an alias; columns, at least one
-- Returns:   jsonb_build_object('a', new.a, …), in pieces of fifty, because a function takes at most 100 arguments
-- Locks:     none
-- Called by: changefeed.install
create function changefeed.pick(row_name text, columns text[]) returns text
language sql immutable set search_path = pg_catalog
as $pick$
  select string_agg(format('pg_catalog.jsonb_build_object(%s)', piece), ' || ' order by nr)
    from (select (position - 1) / 50 as nr,
                 string_agg(format('%L, %s.%I', name, row_name, name), ', ' order by position) as piece
            from unnest(columns) with ordinality as c (name, position)
           group by 1) as pieces
$pick$;
