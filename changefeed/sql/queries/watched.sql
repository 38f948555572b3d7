-- How a table is watched: what explain and doctor compare the table, the row and the log with.
-- Parameters: $1 text, the table as schema.table; null: every table.
select w.id,
       w.source,
       w.relation::oid as relation,
       (select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.oid = w.relation) as name,
       w.owner, w.owner_kind, w.key, w.columns, w.parents::oid[] as parents, w.bulk_rows, w.fail_closed, w.paused, w.version,
       w.functions::text as functions,
       w.watched_at,
       array(select a.attname::text from pg_attribute a
              where a.attrelid = w.relation and a.attnum > 0 and not a.attisdropped order by a.attnum) as present,
       array(select format_type(a.atttypid, a.atttypmod) from pg_attribute a
              where a.attrelid = w.relation and a.attnum > 0 and not a.attisdropped order by a.attnum) as types,
       (select array_agg(a.attname::text order by k.nr)
          from pg_index i, unnest(i.indkey::int2[]) with ordinality as k (attnum, nr), pg_attribute a
         where i.indrelid = w.relation and i.indisprimary and k.nr <= i.indnkeyatts
           and a.attrelid = i.indrelid and a.attnum = k.attnum) as present_key,
       -- What the capture runs the owner expression with.
       (select substr(setting, length('search_path=') + 1)
          from pg_proc p, unnest(p.proconfig) as setting
         where p.pronamespace = 'changefeed'::regnamespace and p.proname = 'capture_' || w.id
           and setting like 'search_path=%') as path,
       (select count(*) from changefeed.triggers_of(w.id) t where t.relation = w.relation)::int as triggers,
       (select count(*) from changefeed.triggers_of(w.id) t where t.relation = w.relation and t.enabled)::int as enabled
  from changefeed.watch w
 where $1::text is null or w.source = $1 or w.relation = to_regclass($1)
 order by w.source
