-- Purpose:   switch the capture of one table on again, and tell everybody who watches it to refetch, because what was
--            written during the pause is not in the log.
-- Parameters: "table"
-- Raises:    where the table is not watched
-- Locks:     SHARE ROW EXCLUSIVE on the table and on those that its owner expression reads, waiting at most 3 s
-- Called by: administrators
create function changefeed.resume("table" regclass) returns void
language plpgsql
set search_path = pg_catalog
as $resume$
begin
  perform changefeed.refetch(changefeed.switch($1, 'enable'), 'bulk');
end
$resume$;
