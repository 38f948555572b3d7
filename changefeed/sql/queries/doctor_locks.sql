-- Who holds our advisory locks in this database. Parameters: $1 integer, their class.
select l.objid::int as number, l.mode, l.pid, a.usename as role, a.application_name as application, a.datname as database,
       coalesce(a.state, 'unknown') as state,
       extract(epoch from clock_timestamp() - coalesce(a.xact_start, a.state_change, a.backend_start))::float8 as seconds,
       a.xact_start is null and a.state is not null as idle,
       a.usename = current_user and a.application_name like 'changefeed %' as ours
  from pg_locks l
  left join pg_stat_activity a on a.pid = l.pid
 where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())
   and l.classid = $1::int::oid and l.objsubid = 2 and l.granted
 order by l.objid, l.pid
