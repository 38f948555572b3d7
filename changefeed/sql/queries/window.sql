-- The same as poll.sql without a limit, for a window too large for one answer: read through a portal, whose snapshot is
-- one for all its pages. Parameters: $1 xid8, the snapshot's xmax; $2 xid8[], its xip.
select pg_current_snapshot()::text as snapshot, s.floor::text as floor, w.*
  from (
         select e.seq, e.xid, e.at, e.source, e.op, e.key, e.owner, e.owner_kind, e.data, e.before, e.partial,
                e.seen::text as seen
           from changefeed.event e where e.xid >= $1
         union all
         select e.seq, e.xid, e.at, e.source, e.op, e.key, e.owner, e.owner_kind, e.data, e.before, e.partial,
                e.seen::text as seen
           from changefeed.event e where e.xid = any ($2)
       ) as w
 cross join changefeed.state s
 order by w.seq
