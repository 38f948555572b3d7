-- Purpose:   the relay is here: let capture go on for another max_absence.
-- Returns:   true where capture had stopped meanwhile, so that changes are missing and a new epoch must begin
-- Locks:     the row of changefeed.state
-- Called by: the leading relay, every few minutes
create function changefeed.extend() returns boolean
language sql
as $extend$
  update changefeed.state s set until = clock_timestamp() + s.max_absence
    from (select until < clock_timestamp() as expired from changefeed.state for update) as former
  returning former.expired
$extend$;
