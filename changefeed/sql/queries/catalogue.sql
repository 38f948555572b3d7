-- Watched tables as they are now: how they are called, their columns, and how a row's owner is resolved. A domain is what
-- it stands for. The search path is the one that is pinned to the capture trigger's function.
-- Parameters: $1 text[], sources.
select w.source, w.owner, w.owner_kind, w.key, w.columns as watched,
       n.nspname as schema, c.relname as name,
       (select substr(setting, length('search_path=') + 1)
          from pg_proc p cross join unnest(p.proconfig) as setting
         where p.pronamespace = (select oid from pg_namespace where nspname = 'changefeed')
           and p.proname = 'capture_' || w.id and setting like 'search\_path=%') as path,
       (select jsonb_object_agg(a.attname, jsonb_build_array(format_type(b.oid, null), b.typcategory))
          from pg_attribute a
          join pg_type t on t.oid = a.atttypid
          join pg_type b on b.oid = case t.typtype when 'd' then t.typbasetype else t.oid end
         where a.attrelid = w.relation and a.attnum > 0 and not a.attisdropped)::text as columns
  from changefeed.watch w
  join pg_class c on c.oid = w.relation
  join pg_namespace n on n.oid = c.relnamespace
 where w.source = any ($1)
