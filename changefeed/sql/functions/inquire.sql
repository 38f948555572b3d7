-- Purpose:   ask every process that follows the log what it knows of an owner's sessions. The answers come as rows of
--            changefeed.testimony, one a process, within a moment.
-- Parameters: owner_kind, owner
-- Returns:   the number of the inquiry
-- Locks:     the row of changefeed.state
-- Called by: `changefeed explain`, `changefeed doctor`
--
-- A row and a counter that every look at the log reads, as with changefeed.kick(): a process is asked without a query of
-- its own, and any role may NOTIFY.
create function changefeed.inquire(owner_kind text, owner text) returns bigint
language plpgsql
set search_path = pg_catalog
as $inquire$
declare
  number bigint;
begin
  delete from changefeed.inquiry i where i.at < clock_timestamp() - interval '1 minute';
  insert into changefeed.inquiry as i (owner_kind, owner) values (inquire.owner_kind, inquire.owner) returning i.id into number;
  update changefeed.state s set inquiries = s.inquiries + 1;
  perform pg_notify('changefeed', '') from changefeed.state s where s.doorbell;
  return number;
end
$inquire$;
