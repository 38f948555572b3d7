-- The oldest open transactions that this role may see, but for this one. Parameters: $1 float8, seconds that they are old at
-- least; $2 text, the database, null: every one.
select a.pid, a.datname as database, a.usename as role, a.application_name as application, a.state,
       extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds
  from pg_stat_activity a
 where a.xact_start < clock_timestamp() - make_interval(secs => $1) and a.pid <> pg_backend_pid()
   and a.backend_type = 'client backend' and ($2::text is null or a.datname = $2)
 order by a.xact_start limit 3
