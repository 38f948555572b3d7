-- Purpose:   the text of a test: are these columns of NEW or OLD so large that an event should carry the key alone? It
--            asks for lengths only, which a value that is stored out of line knows without being fetched, so that a
--            text of 300 MB is neither copied nor refused.
-- Returns:   a comparison with 64 KiB; "false" where no column can be large
-- Locks:     none
-- Called by: changefeed.install, changefeed.remember
create function changefeed.wide(relation regclass, row_name text, columns text[]) returns text
language sql stable set search_path = pg_catalog
as $wide$
  select coalesce(
    string_agg(format(case when t.oid in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'bytea'::regtype)
                           then 'coalesce(pg_catalog.octet_length(%s.%I), 0)::bigint'
                           else 'coalesce(pg_catalog.pg_column_size(%s.%I), 0)::bigint' end, row_name, a.attname),
               ' + ' order by a.attnum) || ' > 65536',
    'false')
    from pg_attribute a
    join pg_type t on t.oid = changefeed.base_type(a.atttypid)
   where a.attrelid = relation and a.attname = any (columns) and a.attlen = -1 and a.attstorage in ('x', 'e')
     -- varchar(n): n characters of at most four bytes each
     and not (t.oid in ('varchar'::regtype, 'bpchar'::regtype) and a.atttypmod between 1 and 1000)
$wide$;
