-- Owner changes through a parent that are still in the log: for a process that begins, see changefeed/handover.py.
-- Parameters: $1 integer, how many at most, the newest.
select e.seq, e.xid, e.at, e.source, e.op, e.key, e.owner, e.owner_kind, e.data, e.before, e.partial, e.seen::text as seen
  from changefeed.event e
 where e.op = 'bulk' and e.owner is not null and e.data ->> 'reason' = 'owner'
 order by e.seq desc limit $1
