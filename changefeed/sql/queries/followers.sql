-- The leader's heartbeat, and whether anybody follows who would want to be rung.
-- Parameters: $1 integer, the class of our advisory locks; $2 integer, the followers' lock.
select exists (
  select from pg_locks l
   where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())
     and l.classid = $1::int::oid and l.objid = $2::int::oid and l.objsubid = 2 and l.granted
     and l.pid <> pg_backend_pid()
)
