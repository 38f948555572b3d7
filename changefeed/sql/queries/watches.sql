-- What is watched, and whether its triggers are all there and enabled.
select w.source, w.relation::oid as relation, w.owner, w.owner_kind, w.key, w.columns, w.bulk_rows, w.fail_closed, w.paused, w.version,
       (select count(*) from changefeed.triggers_of(w.id) t where t.relation = w.relation) as triggers,
       (select count(*) from changefeed.triggers_of(w.id) t where t.relation = w.relation and t.enabled) as enabled
  from changefeed.watch w
 where w.source not like 'changefeed.%'  -- a canary of doctor's is nobody's topic, and makes nobody read his numbers anew
 order by w.source
