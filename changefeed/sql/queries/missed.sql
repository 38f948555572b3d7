-- What a snapshot could not see of some owners, and of nobody in particular ("refetch"), in pages by seq: for one session
-- that reads on from the log. Every page looks through the first page's snapshot, so that all of them are one window; the
-- floor is read with each, because a leaf may be emptied between two pages.
-- Parameters: $1 xid8, the snapshot's xmax; $2 xid8[], its xip; $3 text[], owners; $4 text, the window's snapshot or null
--             for the present one; $5 bigint, the last page's last seq; $6 integer, rows in a page. Locks: none.
select coalesce($4::text, pg_current_snapshot()::text) as snapshot,
       s.floor::text as floor,
       p.id::text as epoch_id,
       w.*
  from changefeed.state s
  left join changefeed.epoch p on p.started_at = pg_postmaster_start_time()
  left join lateral (
         select m.seq, m.xid, m.at, m.source, m.op, m.key, m.owner, m.owner_kind, m.data, m.before, m.partial,
                m.seen::text as seen
           from (select * from changefeed.event e where e.owner = any ($3) and e.xid >= $1
                 union all
                 select * from changefeed.event e where e.owner = any ($3) and e.xid = any ($2)
                 union all
                 select * from changefeed.event e
                  where e.op in ('bulk', 'truncate', 'error') and e.owner is null and e.xid >= $1
                 union all
                 select * from changefeed.event e
                  where e.op in ('bulk', 'truncate', 'error') and e.owner is null and e.xid = any ($2)) as m
          where m.seq > $5
            and pg_visible_in_snapshot(m.xid, coalesce($4::text::pg_snapshot, pg_current_snapshot()))
          order by m.seq limit $6
       ) as w on true
 order by w.seq
