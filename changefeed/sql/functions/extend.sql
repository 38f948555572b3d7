-- Purpose:   the relay is here: let capture go on for another max_absence.
-- Returns:   true where capture had stopped meanwhile, so that changes are missing and a new epoch must begin. And once
--            more when the last transaction has ended that wrote while capture had stopped: it may have committed after
--            everybody had refetched.
-- Locks:     the row of changefeed.state; the advisory lock of those transactions, without waiting
-- Called by: the leading relay, every few minutes
create function changefeed.extend() returns boolean
language sql
set search_path = pg_catalog
as $extend$
  update changefeed.state s
     set until = clock_timestamp() + s.max_absence,
         lapsed = former.expired or (former.lapsed and not former.settled)
    from (select t.until < clock_timestamp() as expired, t.lapsed,
                 t.lapsed and pg_try_advisory_xact_lock(1667785319, 4) as settled
            from changefeed.state t for update) as former
  returning former.expired or former.settled
$extend$;
