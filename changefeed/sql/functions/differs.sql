-- Purpose:   the text of a comparison: does this column's value differ between NEW and OLD?
-- Returns:   IS DISTINCT FROM for types whose equality is sameness. Otherwise the comparison of row images, which also
--            works for types without an equality (json, point) and sees what equality hides (citext, 1.0 and 1.00).
--            No operator is looked up that somebody could have put into a schema of his own: those that are used here
--            exist for exactly these types in pg_catalog.
-- Locks:     none
-- Called by: changefeed.any_differs, changefeed.remember
create function changefeed.differs(relation regclass, name text) returns text
language sql stable set search_path = pg_catalog
as $differs$
  select case
           when t.oid in ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype,
                          'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
             or (t.oid = 'text'::regtype and c.collisdeterministic)
           then format('new.%1$I is distinct from old.%1$I', name)
           when t.oid = 'varchar'::regtype and c.collisdeterministic
           then format('new.%1$I::text is distinct from old.%1$I::text', name)
           else format('pg_catalog.record_image_ne(row(new.%1$I), row(old.%1$I))', name)
         end
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    left join pg_collation c on c.oid = a.attcollation
   where a.attrelid = relation and a.attname = differs.name
$differs$;
