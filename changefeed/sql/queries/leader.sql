-- The backend that holds the leader's lock, and how long ago it last said something (its heartbeat). One that is at work
-- for it, and not waiting for it to take the answer, is no sign of a frozen process.
-- Parameters: $1 integer, the class of our advisory locks; $2 integer, the leader's lock.
select l.pid,
       case when a.state = 'active' and a.wait_event_type is distinct from 'Client' then 0
            else extract(epoch from clock_timestamp() - a.state_change) end::float8 as silent
  from pg_locks l
  join pg_stat_activity a on a.pid = l.pid
 where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())
   and l.classid = $1::int::oid and l.objid = $2::int::oid and l.objsubid = 2 and l.granted
