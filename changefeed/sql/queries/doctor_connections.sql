-- How many more connections there can be, by each of the limits. Parameters: none.
select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0)
         - (select count(*) from pg_stat_activity a where a.backend_type = 'client backend')::int as server,
       (select r.rolconnlimit - (select count(*) from pg_stat_activity a where a.usesysid = r.oid)::int
          from pg_roles r where r.rolname = current_user and r.rolconnlimit >= 0) as role,
       (select d.datconnlimit - (select count(*) from pg_stat_activity a where a.datid = d.oid)::int
          from pg_database d where d.datname = current_database() and d.datconnlimit >= 0) as database
