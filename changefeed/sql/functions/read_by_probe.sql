-- Purpose:   what the view that changefeed.probe() has made reads.
-- Returns:   tables with their columns; column 0: the table, but no column of it
-- Locks:     none
-- Called by: changefeed.probe
create function changefeed.read_by_probe() returns table (relation regclass, attnum integer)
language plpgsql stable set search_path = pg_catalog
as $read_by_probe$
begin
  return query
    select distinct d.refobjid::regclass, d.refobjsubid
      from pg_depend d
      join pg_rewrite w on w.oid = d.objid
     where d.classid = 'pg_rewrite'::regclass and w.ev_class = 'changefeed.owner_probe'::regclass
       and d.refclassid = 'pg_class'::regclass and d.refobjid <> w.ev_class;
end
$read_by_probe$;
