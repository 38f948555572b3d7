-- What a snapshot could not see, the snapshot that comes next, and whatever else decides about cursors: in ONE statement
-- under READ COMMITTED, so that all of it is true at the same moment. At most $3 rows, in any order inside the LIMIT and
-- by seq outside: with an ORDER BY inside, the planner would walk the whole sequence to find a few rows.
-- Parameters: $1 xid8, the snapshot's xmax; $2 xid8[], its xip; $3 integer. Locks: none.
--
-- "begun": the next transaction id. A snapshot does not tell who is running beyond its xmax, which is the latest that has
-- ended and one; only from "begun" on nobody has begun yet.
--
-- "leased": capture goes on, and nobody has gone uncaptured since the leader last counted, nor has one of those ended whom it
-- knew. Whoever reads the lease with an old snapshot (REPEATABLE READ) finds it expired long after it was extended, and
-- only the sequence tells. What such a one has written is visible here no later than what others wrote to the same row after
-- it: so whoever heeds this before the events tells nobody the later change without the earlier one.
select pg_current_snapshot()::text as snapshot,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint + age(pg_snapshot_xmax(pg_current_snapshot())::xid) as begun,
       s.floor::text as floor,
       s.watch_changes,
       s.kicks,
       s.inquiries,
       s.until > clock_timestamp() and u.counted = s.uncaptured
         and not exists (select from unnest(s.lapsed) as x (id)
                          where pg_visible_in_snapshot(x.id, pg_current_snapshot())) as leased,
       pg_is_in_recovery() as standby,
       p.id::text as epoch_id,
       cardinality(p.prepared) > 0 as prepared,
       w.*
  from changefeed.state s
 cross join coalesce(pg_sequence_last_value('changefeed.uncaptured'), 0) as u (counted)
  left join changefeed.epoch p on p.started_at = pg_postmaster_start_time()
  left join lateral (
         (select e.seq, e.xid, e.at, e.source, e.op, e.key, e.owner, e.owner_kind, e.data, e.before, e.partial,
                 e.seen::text as seen
            from changefeed.event e where e.xid >= $1 limit $3)
         union all
         (select e.seq, e.xid, e.at, e.source, e.op, e.key, e.owner, e.owner_kind, e.data, e.before, e.partial,
                 e.seen::text as seen
            from changefeed.event e where e.xid = any ($2) limit $3)
         limit $3
       ) as w on true
 order by w.seq
