-- Purpose:   capture the changes of a table from now on. Idempotent: called again it installs the new choice, and mends
--            what was lost (a trigger that was dropped or disabled, partitions that are new).
-- Parameters:
--   "table"      the table, partitioned or not; it must have a primary key, and the caller must own it
--   owner        a column, or an SQL expression over the row alias r that says who may see the row. The caller must own
--                the tables that it reads as well. Tables and functions in it are those of the search path now in force.
--   columns      what events carry; by default everything but json, jsonb, bytea and virtual generated columns
--   owner_kind   what an owner is; a session must have the same kind and value to receive the row
--   bulk_rows    after so many rows of one transaction: one event "refetch" instead of more rows; 0: never
--   fail_closed  an error of the capture fails the application's write, instead of being recorded
-- Returns:   the table's name as it stands in events
-- Raises:    where the table, a column or the owner cannot be watched; the hint says what to do
-- Locks:     SHARE ROW EXCLUSIVE on the table and on those that the owner expression reads, ACCESS EXCLUSIVE on those that
--            it read before and no longer does, waiting at most 3 s, because whoever waits for it makes every later writer
--            wait as well
-- Called by: administrators and migrations
--
-- It does nothing but take the search path along: the rest runs with a pinned one.
create function changefeed.watch(
  "table"     regclass,
  owner       text,
  columns     text[] default null,
  owner_kind  text default 'user',
  bulk_rows   integer default 10000,
  fail_closed boolean default false
) returns text
language sql
as $watch$
  select changefeed.install($1, $2, $3, $4, $5, $6, pg_catalog.current_schemas(false))
$watch$;
