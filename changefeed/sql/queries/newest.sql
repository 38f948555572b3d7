-- The newest part of the log as it was at a place, the newest transactions first: what a process that starts keeps in
-- memory, see changefeed/seed.py. Read through a portal, and no further than there is room for. Of each leaf one index, from
-- its end. What was committed after the place does not count, or the limit would look like the end of the log.
-- Parameters: $1 text, the place's snapshot; $2 integer, how many rows at most. Locks: none.
select e.seq, e.xid, e.at, e.source, e.op, e.key, e.owner, e.owner_kind, e.data, e.before, e.partial, e.seen::text as seen
  from changefeed.event e
 where pg_visible_in_snapshot(e.xid, $1::text::pg_snapshot)
 order by e.xid desc limit $2
