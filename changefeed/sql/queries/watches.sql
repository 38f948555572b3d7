-- What is watched, and whether its triggers are all there and enabled: the four of its own, and at least three on each table
-- that its owner expression reads.
select w.source, w.relation::oid as relation, w.owner, w.owner_kind, w.key, w.columns, w.bulk_rows, w.fail_closed, w.paused, w.version,
       not exists (select from pg_class c where c.oid = w.relation) as dropped,
       (select count(*) from changefeed.triggers_of(w.id) t
         where t.relation = w.relation and t.function_name = 'capture_' || w.id) as triggers,
       (select count(*) from changefeed.triggers_of(w.id) t
         where t.relation = w.relation and t.function_name = 'capture_' || w.id and t.enabled) as enabled,
       (select coalesce(sum(greatest(0, 3 - (select count(*) from changefeed.triggers_of(w.id) t
                                              where t.relation = p.relation and t.enabled
                                                and t.function_name like 'parent\_%'))), 0)::integer
          from unnest(w.parents) as p (relation)) as parents_silent
  from changefeed.watch w
 where w.source not like 'changefeed.%'  -- a canary of doctor's is nobody's topic, and makes nobody read his numbers anew
 order by w.source
