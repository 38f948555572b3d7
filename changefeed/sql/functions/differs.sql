-- Purpose:   the text of a comparison: does this column's value differ between NEW and OLD?
-- Returns:   IS DISTINCT FROM for types whose equality is sameness. Otherwise the comparison of row images, which also
--            works for types without an equality (json, point) and sees what equality hides (citext, 1.0 and 1.00).
-- Locks:     none
-- Called by: changefeed.watch
create function changefeed.differs(relation regclass, name text) returns text
language sql stable set search_path = pg_catalog
as $differs$
  select case
           when t.typtype = 'e'
             or t.oid in ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype,
                          'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
             or (t.oid in ('text'::regtype, 'varchar'::regtype) and c.collisdeterministic)
           then format('new.%1$I is distinct from old.%1$I', name)
           else format('record_image_ne(row(new.%1$I), row(old.%1$I))', name)
         end
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    left join pg_collation c on c.oid = a.attcollation
   where a.attrelid = relation and a.attname = differs.name
$differs$;
