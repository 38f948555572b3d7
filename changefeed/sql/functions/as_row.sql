-- Purpose:   some columns of NEW or OLD as a table of one row, as text: what an owner expression then reads instead of
--            the table itself.
-- Parameters: row_name 'new' or 'old'; columns, possibly none
-- Returns:   (select new.a as a, …)
-- Locks:     none
-- Called by: changefeed.install, changefeed.install_parent
create function changefeed.as_row(row_name text, columns text[]) returns text
language sql immutable set search_path = pg_catalog
return (
  select format('(select %s)', string_agg(format('%1$s.%2$I as %2$I', as_row.row_name, name), ', ' order by nr))
    from unnest(as_row.columns) with ordinality as c (name, nr));
