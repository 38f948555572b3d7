-- Purpose:   switch the capture of one table off for a while, for everybody. What is written meanwhile is not seen.
--            To silence one's own transaction alone: set local changefeed.skip = on.
-- Parameters: "table"
-- Raises:    where the table is not watched
-- Locks:     SHARE ROW EXCLUSIVE on the table and on those that its owner expression reads, waiting at most 3 s
-- Called by: administrators
create function changefeed.pause("table" regclass) returns void
language plpgsql
set search_path = pg_catalog
as $pause$
begin
  perform changefeed.switch($1, 'disable');
end
$pause$;
