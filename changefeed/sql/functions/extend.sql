-- Purpose:   the relay is here: let capture go on for another max_absence.
-- Returns:   true where capture had stopped meanwhile, so that changes are missing and a new epoch must begin; also where
--            that is over already, because the clock went back: changefeed.uncaptured counts whoever wrote then. And once
--            more when the last transaction has ended that wrote while capture had stopped: it may have committed after
--            everybody had refetched.
-- Locks:     the row of changefeed.state; the advisory lock of those transactions, without waiting
-- Called by: the leading relay, every few minutes, and at once when it finds that capture has stopped
create function changefeed.extend() returns boolean
language sql
set search_path = pg_catalog
as $extend$
  update changefeed.state s
     set until = clock_timestamp() + s.max_absence,
         lapsed = former.expired or (former.lapsed and not former.settled),
         uncaptured = former.counted
    from (select t.until < clock_timestamp() or u.counted <> t.uncaptured as expired, t.lapsed, u.counted,
                 t.lapsed and pg_try_advisory_xact_lock(1667785319, 4) as settled
            from changefeed.state t, coalesce(pg_sequence_last_value('changefeed.uncaptured'), 0) as u (counted)
             for update of t) as former
  returning former.expired or former.settled
$extend$;
