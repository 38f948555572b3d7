-- Purpose:   tell everybody who watches a table to refetch it, because something is not, or not rightly, in the log.
-- Parameters: source, the table's name in events; reason, "bulk" or "owner"
-- Locks:     none
-- Called by: changefeed.install, changefeed.resume
create function changefeed.refetch(source text, reason text) returns void
language plpgsql
set search_path = pg_catalog
as $refetch$
begin
  insert into changefeed.event (source, op, data) values (refetch.source, 'bulk', jsonb_build_object('reason', refetch.reason));
  perform pg_notify('changefeed', refetch.source) from changefeed.state s where s.doorbell;
end
$refetch$;
