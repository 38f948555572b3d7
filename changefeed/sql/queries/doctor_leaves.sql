-- The log's leaves: how large each is, whether it is being written to by the clock, and who writes to one whose time is over.
select c.relname::text as name, l.slot, l.sealed_at, pg_total_relation_size(l.relation)::bigint as bytes,
       pg_relation_size(l.relation) > 0 as filled,
       l.slot in (changefeed.slot(clock_timestamp()), changefeed.slot(clock_timestamp() - interval '1 second')) as current,
       w.pid, w.role, w.application, w.database, w.state, w.seconds
  from changefeed.leaf l
  join pg_class c on c.oid = l.relation
  left join lateral (
         select k.pid, a.usename as role, a.application_name as application, a.datname as database,
                coalesce(a.state, 'unknown') as state,
                extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds
           from pg_locks k
           left join pg_stat_activity a on a.pid = k.pid
          where k.relation = l.relation::oid and k.mode = 'RowExclusiveLock' and k.granted
            and k.database = (select oid from pg_database where datname = current_database())
          order by a.xact_start limit 1
       ) as w on true
 order by l.slot
