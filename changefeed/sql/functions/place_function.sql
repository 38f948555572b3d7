-- Purpose:   make a trigger function of a watch, or replace it.
-- Parameters: name; body; path, the search path that it runs with; row_security: false where it reads tables, whose row
--            level security would otherwise hide an owner
-- Locks:     none
-- Called by: changefeed.install, changefeed.install_parent
create function changefeed.place_function(name text, body text, path text, reads_tables boolean) returns void
language plpgsql
set search_path = pg_catalog
as $place_function$
begin
  -- Its rights are those of the log's owner, so that the application's role needs none. The path is pinned, temporary
  -- tables last: otherwise one by the name of a parent would forge an owner.
  execute format('create or replace function changefeed.%I() returns trigger language plpgsql security definer '
                 'set search_path = %s%s as %L', name, path, case when reads_tables then ' set row_security = off' end, body);
  execute format('revoke all on function changefeed.%I() from public', name);
  execute format('alter function changefeed.%I() owner to %s', name,
                 (select n.nspowner::regrole from pg_namespace n where n.nspname = 'changefeed'));
end
$place_function$;
