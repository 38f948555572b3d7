-- Purpose:   the identity of the log as it is, see changefeed.begin_epoch().
-- Returns:   sixteen hexadecimal digits; null where none has begun since the server lost it
-- Locks:     none
-- Called by: changefeed.begin_epoch, the relay
create function changefeed.epoch() returns text
language sql stable set search_path = pg_catalog
as $epoch$
  select left(encode(sha256(convert_to(concat_ws('/', e.id, c.system_identifier, d.oid, pg_postmaster_start_time()),
                                       'UTF8')), 'hex'), 16)
    from changefeed.epoch e, pg_control_system() c, pg_database d
   where d.datname = current_database() and e.started_at = pg_postmaster_start_time()
$epoch$;
