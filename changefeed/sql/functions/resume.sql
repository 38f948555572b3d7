-- Purpose:   switch the capture of one table on again, and tell everybody who watches it to refetch, because what was
--            written during the pause is not in the log.
-- Raises:    where the table is not watched
-- Locks:     SHARE ROW EXCLUSIVE on the table, waiting at most 3 s
-- Called by: administrators
create function changefeed.resume("table" regclass) returns void
language plpgsql
as $resume$
begin
  perform changefeed.switch($1, 'enable');
  update changefeed.watch w set paused = false where w.relation = $1;
  insert into changefeed.event (source, op, data)
    select w.source, 'bulk', '{"reason": "bulk"}' from changefeed.watch w where w.relation = $1;
  perform pg_catalog.pg_notify('changefeed', '') from changefeed.state s where s.doorbell;
end
$resume$;
