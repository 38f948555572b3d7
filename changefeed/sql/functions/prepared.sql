-- Purpose:   the prepared transactions of this database.
-- Returns:   their names, each after its number, because a name may be used again
-- Locks:     none
-- Called by: changefeed.begin_epoch
create function changefeed.prepared() returns text[]
language sql stable set search_path = pg_catalog
return array(select format('%s %s', p.transaction, p.gid) from pg_prepared_xacts p where p.database = current_database());
