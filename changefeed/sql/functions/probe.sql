-- Purpose:   prove that an owner expression runs, and learn what it reads. Its text becomes a view for a moment: the server
--            then knows its dependencies better than any parsing of ours would.
-- Parameters: relation; source, its name, for messages; expression; path, the search path that it is to run with; runs_as,
--            the role that it is to run as
-- Returns:   definition, the view's, written without a search path; reads, the columns of the row that decide about the
--            owner, possibly none; parents, the columns that it reads of each table, as an object of arrays by oid;
--            functions that it calls and that did not come with the server
-- Raises:    where the expression does not run, or uses the row as a whole
-- Locks:     ACCESS SHARE on the tables it reads
-- Called by: changefeed.install
create function changefeed.probe(
  relation regclass, source text, expression text, path text, runs_as regrole,
  out definition text, out reads text[], out parents jsonb, out functions text[]
)
language plpgsql
set search_path = pg_catalog set row_security = off
as $probe$
declare
  blank text;
begin
  begin
    perform set_config('search_path', path, true);
    -- A line of its own: the expression may end with a comment, but may not comment out what follows.
    execute format(e'create view changefeed.owner_probe as select (%s\n)::text as owner from %s as r', expression, relation);
    execute format('alter view changefeed.owner_probe owner to %s', runs_as);
    execute 'select owner from changefeed.owner_probe limit 1';
    perform set_config('search_path', 'pg_catalog', true);
  exception when others then
    raise exception 'changefeed cannot watch %: its owner expression does not run: %', source, sqlerrm
      using errcode = sqlstate,
            hint = format('It runs as %s, over the row alias r, and must give one value: %s', runs_as, expression);
  end;
  definition := pg_get_viewdef('changefeed.owner_probe'::regclass, false);
  if definition ~ '\mr\.\*' then
    raise exception 'changefeed cannot watch %: its owner expression uses the row r as a whole', source
      using errcode = 'feature_not_supported', hint = format('Name the columns that it uses, as in r.workflow_id: %s', expression);
  end if;
  select coalesce(array_agg(a.attname::text order by a.attnum), '{}'),
         format('(select %s)', string_agg(format('null::%s as %I', format_type(a.atttypid, a.atttypmod), a.attname), ', '))
    into reads, blank
    from changefeed.read_by_probe() p
    join pg_attribute a on a.attrelid = p.relation and a.attnum = p.attnum
   where p.relation = probe.relation;
  drop view changefeed.owner_probe;

  -- Once more with a row that comes from no table: what it still reads of tables, the expression itself reads.
  perform set_config('search_path', path, true);
  execute format(e'create view changefeed.owner_probe as select (%s\n)::text as owner from %s as r', expression, blank);
  perform set_config('search_path', 'pg_catalog', true);
  select coalesce(jsonb_object_agg(p.relation::oid, p.columns), '{}') into parents
    from (select p.relation, coalesce(jsonb_agg(a.attname order by a.attnum) filter (where a.attname is not null), '[]') as columns
            from changefeed.read_by_probe() p
            left join pg_attribute a on a.attrelid = p.relation and a.attnum = p.attnum and a.attnum > 0
           group by p.relation) as p;
  select coalesce(array_agg(distinct d.refobjid::regproc::text), '{}') into functions
    from pg_depend d join pg_rewrite w on w.oid = d.objid
   where d.classid = 'pg_rewrite'::regclass and w.ev_class = 'changefeed.owner_probe'::regclass
     and d.refclassid = 'pg_proc'::regclass;
  drop view changefeed.owner_probe;
end
$probe$;
