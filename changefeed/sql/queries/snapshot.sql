-- What a transaction sees, and what it must be compared with. Under REPEATABLE READ it holds for all that the transaction reads.
select pg_current_snapshot()::text as snapshot,
       pg_is_in_recovery() as standby,
       (select s.watch_changes from changefeed.state s) as watch_changes
