-- Purpose:   the transactions that go on writing although their changes are not captured: capture had stopped when they began
--            to. Ids rather than locks, because a snapshot says of an id whether its transaction has ended, and says it
--            of the very moment in which it shows what was written afterwards.
-- Locks:     none of ours; those of the lock table, for as long as it is copied
-- Called by: changefeed.extend
create function changefeed.writing_uncaptured() returns xid8[]
language sql volatile
set search_path = pg_catalog
return (
  -- A transaction has the first of its ids for itself, the others for its savepoints. The lock table knows the lower half of
  -- them; the next id lies behind all, and age() tells how far.
  select coalesce(array_agg((present.next - running.age)::text::xid8), '{}')
    from (select pg_snapshot_xmax(s)::text::bigint, pg_snapshot_xmax(s)::xid from pg_current_snapshot() as s) as present (next, xid)
   cross join lateral (
         select max(age(id.transactionid) - age(present.xid))
           from pg_locks as uncaptured
           join pg_locks as id on id.virtualtransaction = uncaptured.virtualtransaction and id.locktype = 'transactionid'
                              and id.mode = 'ExclusiveLock' and id.granted
          where uncaptured.locktype = 'advisory'
            and uncaptured.database = (select d.oid from pg_database d where d.datname = current_database())
            and (uncaptured.classid, uncaptured.objid, uncaptured.objsubid) = (1667785319, 4, 2)
            and uncaptured.granted
          group by uncaptured.virtualtransaction
         ) as running (age)
);
