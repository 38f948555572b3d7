-- Settings of roles and databases by which triggers are silent, of roles that may write to a watched table.
-- Parameters: $1 oid[], the watched tables.
select coalesce(r.rolname::text, 'every role') as role, d.datname::text as database, s.setting
  from pg_db_role_setting p
 cross join unnest(p.setconfig) as s (setting)
  left join pg_roles r on r.oid = p.setrole
  left join pg_database d on d.oid = p.setdatabase
 where p.setdatabase in (0, (select o.oid from pg_database o where o.datname = current_database()))
   and (s.setting = 'session_replication_role=replica' or s.setting ~ '^changefeed\.skip=(on|true|yes|1)$')
   and (p.setrole = 0 or exists (
         select from unnest($1::oid[]) as t (oid)
          where to_regclass(t.oid::regclass::text) is not null and has_table_privilege(p.setrole, t.oid, 'insert, update, delete')))
 order by 1, 3
