-- Purpose:   the type that a domain stands for, through domains over domains; any other type itself.
-- Locks:     none
-- Called by: changefeed.columns_of, changefeed.wide
create function changefeed.base_type(type oid) returns oid
language sql stable set search_path = pg_catalog
as $base_type$
  with recursive base as (
    select t.oid, t.typbasetype from pg_type t where t.oid = $1
    union all
    select t.oid, t.typbasetype from base b join pg_type t on t.oid = b.typbasetype
  )
  select b.oid from base b where b.typbasetype = 0
$base_type$;
