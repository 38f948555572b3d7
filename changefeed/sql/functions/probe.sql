-- Purpose:   prove that an owner expression runs, and learn which columns of the row it reads. Its text becomes a view
--            for a moment: the server then knows its dependencies better than any parsing of ours would.
-- Parameters: relation, source (its name, for messages), expression, runs_as (the role that trigger functions run as)
-- Returns:   the columns of the row that decide about the owner, possibly none
-- Raises:    where the expression does not run, or uses the row as a whole
-- Locks:     ACCESS SHARE on the tables it reads
-- Called by: changefeed.watch
create function changefeed.probe(relation regclass, source text, expression text, runs_as regrole) returns text[]
language plpgsql
as $probe$
declare
  reads text[];
begin
  begin
    execute format('create view changefeed.owner_probe as select (%s)::text as owner from %s as r', expression, relation);
    execute format('alter view changefeed.owner_probe owner to %s', runs_as);
    execute 'select owner from changefeed.owner_probe limit 1';
  exception when others then
    raise exception 'changefeed cannot watch %: its owner expression does not run: %', source, sqlerrm
      using errcode = sqlstate,
            hint = format('It runs as %s, over the row alias r, and must give one value: %s', runs_as, expression);
  end;
  select coalesce(array_agg(distinct a.attname::text), '{}') into reads
    from pg_catalog.pg_depend d
    join pg_catalog.pg_rewrite w on w.oid = d.objid
    join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid and a.attnum > 0
   where d.classid = 'pg_catalog.pg_rewrite'::regclass and w.ev_class = 'changefeed.owner_probe'::regclass
     and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = relation;
  drop view changefeed.owner_probe;
  begin
    execute format('create view changefeed.owner_probe as select (%s)::text as owner from (select %s from %s) as r',
                   expression, coalesce(nullif((select string_agg(quote_ident(c), ', ') from unnest(reads) as c), ''), '1'),
                   relation);
  exception when others then
    raise exception 'changefeed cannot watch %: its owner expression uses the row r as a whole', source
      using hint = format('Name the columns that it uses, as in r.workflow_id: %s', expression);
  end;
  drop view changefeed.owner_probe;
  return reads;
end
$probe$;
